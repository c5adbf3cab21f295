//! Rows of batches, beside each other.

use arrow::array::{Array, ArrayRef};
use hudi_core::change::{ChangeBatch, Op, Origin, SnapshotPart, StreamPosition};

/// A row with all that belongs to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) batch: &'a ChangeBatch,
    pub(super) row: usize,
}

/// What a change is, whatever company its row is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) origin: Origin,
    op: Op,
    fingerprint: u64,
    position: Option<StreamPosition>,
    snapshot: SnapshotPart,
    source_ts_ms: Option<i64>,
    /// As Arrow prints it.
    order: String,
}

/// All rows of some batches.
pub(super) fn rows_of(batches: &[ChangeBatch]) -> impl Iterator<Item = Row<'_>> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| Row { batch, row }))
}

/// All changes of some batches.
pub(super) fn changes_of(batches: &[ChangeBatch]) -> Vec<Change> {
    rows_of(batches).map(|row| row.change()).collect()
}

impl Row<'_> {
    pub(super) fn change(&self) -> Change {
        let Row { batch, row } = *self;
        let ts = &batch.source_ts_ms;
        Change {
            origin: batch.origin(row),
            op: batch.ops[row],
            fingerprint: batch.fingerprints[row],
            position: batch.positions[row],
            snapshot: batch.snapshots[row],
            source_ts_ms: ts.is_valid(row).then(|| ts.value(row)),
            order: format!("{:?}", batch.orders.slice(row, 1)),
        }
    }

    /// The columns: name, value, whether it was not sent.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&str, ArrayRef, bool)> {
        let columns = self.batch.rows.columns().iter().zip(&self.batch.unsent);
        self.batch.rows.schema_ref().fields().iter().zip(columns).map(|(field, (column, unsent))| {
            let unsent = unsent.as_ref().is_some_and(|mask| mask.value(self.row));
            (field.name().as_str(), column.slice(self.row, 1), unsent)
        })
    }

    /// The other key of a row whose key changed.
    fn other_key(&self) -> Option<ArrayRef> {
        let keys = self.batch.other_keys.as_ref()?;
        keys.is_valid(self.row).then(|| std::sync::Arc::new(keys.slice(self.row, 1)) as ArrayRef)
    }
}

impl PartialEq for Row<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.change() == other.change()
            && self.batch.key_columns == other.batch.key_columns
            && self.batch.source == other.batch.source
            && self.batch.run == other.batch.run
            && self.other_key() == other.other_key()
            && self.cells().eq(other.cells())
    }
}
