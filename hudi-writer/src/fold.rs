//! What becomes of every row: the changes of each key, folded onto what is stored of it.

use hudi_core::change::Op;
use hudi_core::merge::{Fate, Folder, Override, RowRef};

use crate::changes::{ChangeSet, KeyTable, RowWrite};
use crate::cow::Edit;
use crate::error::{Error, Result};
use crate::index::Found;

/// What becomes of the rows of one partition.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// For each file that was looked into: its rows that change, by their number.
    pub(crate) edits: Vec<Vec<Edit>>,
    /// Rows that are stored nowhere yet.
    pub(crate) inserts: Vec<RowWrite>,
    /// Changes that lack columns which stand nowhere.
    pub(crate) unfilled: Vec<u32>,
    /// Deletes of keys that are neither stored nor come with the same changes.
    pub(crate) not_found: Vec<u32>,
    /// How many changes were older than what they met.
    pub(crate) ignored: u64,
}

/// Where a key's row is stored: file, row of it, and entry among what was found in it.
#[derive(Debug, Clone, Copy)]
struct Stored {
    file: usize,
    row: u64,
    entry: usize,
}

/// Folds every key onto its stored row. `order_column` is that of `_cdc_order` among the changes' columns.
pub(crate) fn fold(changes: &ChangeSet, keys: &KeyTable, found: &[Found], order_column: usize) -> Result<Folded> {
    let stored = where_stored(keys, found)?;
    let mut folded = Folded { edits: found.iter().map(|_| vec![]).collect(), ..Folded::default() };
    let mut folder = Folder::new(changes.to_fold());
    for id in 0..keys.len() as u32 {
        let at = stored[id as usize];
        let order = at.map(|at| found[at.file].orders.value(at.entry));
        let write = match folder.fold(keys.chain(id), order) {
            Fate::Untouched => continue,
            Fate::Removed => None,
            Fate::Written { image, order } => Some(row_write(image, order, folder.overrides(), order_column)),
        };
        match (at, write) {
            (Some(at), write) => folded.edits[at.file].push(Edit { row: at.row, write }),
            (None, Some(write)) => folded.inserts.push(write),
            (None, None) => {
                let only_deletes = keys.chain(id).all(|change| changes.ops[change as usize] == Op::Delete);
                folded.not_found.extend(keys.chain(id).filter(|_| only_deletes));
            }
        }
    }
    for edits in &mut folded.edits {
        edits.sort_unstable_by_key(|edit| edit.row);
    }
    folded.unfilled.extend(folder.unfilled());
    folded.ignored = folder.ignored();
    Ok(folded)
}

fn where_stored(keys: &KeyTable, found: &[Found]) -> Result<Vec<Option<Stored>>> {
    let mut stored: Vec<Option<Stored>> = vec![None; keys.len()];
    for (file, found) in found.iter().enumerate() {
        for (entry, (id, row)) in found.rows.iter().enumerate() {
            let place = &mut stored[*id as usize];
            if place.replace(Stored { file, row: *row, entry }).is_some() {
                return Err(Error::corrupt(&found.path, "a record key stands twice in its partition: run a check"));
            }
        }
    }
    Ok(stored)
}

fn row_write(image: u32, order: RowRef, overrides: &[Override], order_column: usize) -> RowWrite {
    let kept_order = (order != RowRef::Change(image)).then_some(Override { column: order_column, from: order });
    RowWrite { image, overrides: overrides.iter().copied().chain(kept_order).collect() }
}
