//! Stand-ins for tests: a strict Glue in memory, a table of no files.

mod fake;
mod table;

pub use fake::{FakeGlue, Fault, Limits};
pub use table::FakeTable;
