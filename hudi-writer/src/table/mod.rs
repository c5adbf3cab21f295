//! One table as it stands: its properties, timeline, schema and files.

mod create;
mod gates;
mod history;
mod state;

pub use state::Table;
pub(crate) use state::{columns_of, read_properties, read_timeline};

pub(crate) use create::{create, stored_index};
pub(crate) use gates::{apply, drop_metadata_table, gate_for_writing, is_immutable};
pub(crate) use history::{History, read_history};
