//! [`Session`]: what a writer holds between two commits.

use arrow::datatypes::SchemaRef;
use hudi_core::change::Origin;
use hudi_core::dead_letter::DeadLetter;
use hudi_core::key::KeySpec;

use crate::buffer::Buffer;
use crate::components::Components;
use crate::remembered::Remembered;
use crate::settings::{Index, Mode, SecondSnapshot};
use crate::table::Table;

/// The table as it stands, and what waits to be committed to it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) parts: Components,
    pub(crate) table: Table,
    pub(crate) keys: KeySpec,
    pub(crate) index: Index,
    pub(crate) mode: Mode,
    /// The table's columns once the buffered changes are in it.
    pub(crate) columns: Option<SchemaRef>,
    pub(crate) buffer: Buffer,
    pub(crate) letters: Vec<DeadLetter>,
    /// Letters of earlier commits that became changes.
    pub(crate) applied: Vec<Origin>,
    /// What the pipeline remembers of rows beside the table.
    pub(crate) memory: Remembered,
    /// Whoever sends the changes says that for now there are no more.
    pub(crate) all_has_come: bool,
}

impl Session {
    /// Whether later full snapshots of the source bound the table.
    pub(crate) fn replaces(&self) -> bool {
        self.parts.settings.on_second_snapshot == SecondSnapshot::Replace
    }
}
