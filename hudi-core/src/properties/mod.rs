//! The table's properties: the names, the text, the typed view, a new table's, and how the file is changed.

pub mod keys;
pub mod text;

mod new_table;
mod table;
mod update;

pub use new_table::NewTable;
pub use table::{BaseFileFormat, KeyGenerator, Mode, TableIndex, TableProperties, Timezone};
pub use update::{Change, PropertiesFile, Recovery, Step, UpdateProtocol, recovery, update};
