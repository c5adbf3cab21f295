//! Tables back to columns.

mod snapshot;

pub use snapshot::{DataFile, ReadOptions};
