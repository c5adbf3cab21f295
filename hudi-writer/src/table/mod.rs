//! One table as it stands: its properties, timeline, schema and files.

mod below;
mod create;
mod gates;
mod history;
mod index;
mod state;

pub use below::tables_below;
pub use state::Table;
pub(crate) use state::{columns_of, read_properties, read_timeline};

pub(crate) use create::create;
pub(crate) use gates::{apply, gate_for_completing, gate_for_writing};
pub(crate) use history::{History, read_history};
pub(crate) use index::{is_immutable, stored_index};
