//! What becomes of every row: the changes of each key, folded onto what is stored of it, and the partition that it ends in.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use hudi_core::change::Op;
use hudi_core::merge::{Fate, Folder, Override, RowRef};

use crate::changes::{ChangeSet, KeyTable, RowWrite};
use crate::cow::Edit;
use crate::error::{Error, Result};
use crate::index::Found;

/// What becomes of the rows of some keys.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// For each file that was looked into: its rows that change, by their number.
    pub(crate) edits: Vec<Vec<Edit>>,
    /// By partition: rows that are stored nowhere, or in another partition that they leave.
    pub(crate) inserts: BTreeMap<String, Vec<RowWrite>>,
    /// The stored rows that inserted ones take values from.
    pub(crate) carried: Carried,
    /// Changes that lack columns which stand nowhere.
    pub(crate) unfilled: Vec<u32>,
    /// Deletes of keys that are neither stored nor come with the same changes.
    pub(crate) not_found: Vec<u32>,
    /// How many changes were older than what they met.
    pub(crate) ignored: u64,
}

/// Stored rows whose values go to another file. The `i`-th of them is referred to as the change of number
/// `changes + i`.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// (file that was looked into, row of it).
    pub(crate) rows: Vec<(usize, u64)>,
    /// The columns that are taken from them, among the changes' columns.
    pub(crate) columns: BTreeSet<usize>,
}

/// What the folding of some keys is done with.
pub(crate) struct Folding<'a> {
    pub(crate) changes: &'a ChangeSet,
    pub(crate) keys: &'a KeyTable,
    /// What was found in each file that was looked into.
    pub(crate) found: &'a [Found],
    pub(crate) home: Home<'a>,
    /// The column of `_cdc_order` among the changes' columns.
    pub(crate) order_column: usize,
    /// Deleted rows are kept.
    pub(crate) keeps_deleted: bool,
    /// A key that is stored nowhere is not deleted.
    pub(crate) must_be_found: bool,
}

/// Where rows belong.
pub(crate) enum Home<'a> {
    /// All in the partition whose files were looked into.
    Partition(&'a str),
    /// Each in the partition that its columns name.
    ByRow {
        /// The partition columns among the changes' columns, in the order of the path.
        columns: &'a [usize],
        /// The partition of each file that was looked into.
        files: &'a [String],
    },
}

/// Where a key's row is stored: file, row of it, and entry among what was found in it.
#[derive(Debug, Clone, Copy)]
struct Stored {
    file: usize,
    row: u64,
    entry: usize,
}

/// Folds every key onto its stored row.
pub(crate) fn fold(folding: &Folding<'_>) -> Result<Folded> {
    let Folding { changes, keys, found, .. } = folding;
    let stored = folding.where_stored()?;
    let mut folded = Folded { edits: found.iter().map(|_| vec![]).collect(), ..Folded::default() };
    let mut folder = Folder::new(changes.to_fold()).keeping_deleted(folding.keeps_deleted);
    for id in 0..keys.len() as u32 {
        let at = stored[id as usize];
        let order = at.map(|at| found[at.file].orders.value(at.entry));
        let only_deletes = || keys.chain(id).all(|change| changes.ops[change as usize] == Op::Delete);
        // A row that is kept although a truncate covers it is marked first.
        let mark = changes.mark.filter(|_| at.is_some_and(|at| is_covered(&found[at.file], at.row)));
        match folder.fold(mark.into_iter().chain(keys.chain(id)), order) {
            Fate::Untouched => {}
            Fate::Removed => match at {
                Some(at) => folded.edits[at.file].push(Edit { row: at.row, write: None }),
                None if only_deletes() => folded.not_found.extend(keys.chain(id)),
                None => {}
            },
            Fate::Written { .. } if at.is_none() && folding.must_be_found && only_deletes() => {
                folded.not_found.extend(keys.chain(id));
            }
            Fate::Written { image, order } => {
                let write = row_write(image, order, folder.overrides(), folding.order_column);
                folding.put(write, at, &mut folded)?;
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

impl Folding<'_> {
    /// Where the row of each key is stored. Rows that a truncate covers are no more, unless they are kept.
    fn where_stored(&self) -> Result<Vec<Option<Stored>>> {
        let mut stored: Vec<Option<Stored>> = vec![None; self.keys.len()];
        for (file, found) in self.found.iter().enumerate() {
            let is_gone = |row: u64| !self.keeps_deleted && is_covered(found, row);
            for (entry, (id, row)) in found.rows.iter().enumerate().filter(|(_, (_, row))| !is_gone(*row)) {
                let place = &mut stored[*id as usize];
                if place.replace(Stored { file, row: *row, entry }).is_some() {
                    let why = "a record key stands twice where it may once: run a check";
                    return Err(Error::corrupt(&found.path, why));
                }
            }
        }
        Ok(stored)
    }

    /// Puts a row where it belongs: onto its stored row, or into its partition, out of the one that it leaves.
    fn put(&self, mut write: RowWrite, at: Option<Stored>, folded: &mut Folded) -> Result<()> {
        let (target, leaves) = self.target(&write, at)?;
        if let Some(at) = at {
            if !leaves {
                folded.edits[at.file].push(Edit { row: at.row, write: Some(write) });
                return Ok(());
            }
            self.carry(&mut write, at, &mut folded.carried);
            folded.edits[at.file].push(Edit { row: at.row, write: None });
        }
        match folded.inserts.get_mut(&*target) {
            Some(rows) => rows.push(write),
            None => drop(folded.inserts.insert(target.into_owned(), vec![write])),
        }
        Ok(())
    }

    /// The partition that a row belongs in, and whether it is another than where it is stored.
    fn target(&self, write: &RowWrite, at: Option<Stored>) -> Result<(Cow<'_, str>, bool)> {
        match self.home {
            Home::Partition(partition) => Ok((Cow::Borrowed(partition), false)),
            Home::ByRow { columns, files } => {
                let stored = at.map(|at| files[at.file].as_str());
                let target = self.path(write, stored, columns)?;
                let leaves = stored.is_some_and(|stored| stored != target);
                Ok((target, leaves))
            }
        }
    }

    /// The partition's path that the columns of a row name, each taken from where its value stands.
    fn path(&self, write: &RowWrite, stored: Option<&str>, columns: &[usize]) -> Result<Cow<'_, str>> {
        let own = self.changes.partitions.value(write.image as usize);
        let path_of = |from: RowRef| match from {
            RowRef::Change(change) => Ok(self.changes.partitions.value(change as usize)),
            RowRef::Stored => stored.ok_or_else(|| Error::corrupt(own, "a new row takes a stored partition")),
        };
        let from = |column: &usize| write.overrides.iter().find(|o| o.column == *column).map(|o| o.from);
        if columns.iter().all(|column| from(column).is_none()) {
            return Ok(Cow::Borrowed(own));
        }
        let mut segments = Vec::with_capacity(columns.len());
        for (level, column) in columns.iter().enumerate() {
            let path = path_of(from(column).unwrap_or(RowRef::Change(write.image)))?;
            if columns.len() == 1 {
                return Ok(Cow::Owned(path.to_owned()));
            }
            let segment = path.split('/').nth(level).filter(|_| path.split('/').count() == columns.len());
            segments.push(segment.ok_or_else(|| Error::corrupt(path, "want one folder for each partition column"))?);
        }
        Ok(Cow::Owned(segments.join("/")))
    }

    /// Makes a row independent of the file that it leaves: the values that it takes from there are carried.
    fn carry(&self, write: &mut RowWrite, at: Stored, carried: &mut Carried) {
        let number = RowRef::Change((self.changes.ops.len() + carried.rows.len()) as u32);
        let mut takes = false;
        for instead in write.overrides.iter_mut().filter(|o| o.from == RowRef::Stored) {
            instead.from = number;
            carried.columns.insert(instead.column);
            takes = true;
        }
        if takes {
            carried.rows.push((at.file, at.row));
        }
    }
}

fn is_covered(found: &Found, row: u64) -> bool {
    found.covered.as_ref().is_some_and(|covered| covered.binary_search(&row).is_ok())
}

fn row_write(image: u32, order: RowRef, overrides: &[Override], order_column: usize) -> RowWrite {
    let kept_order = (order != RowRef::Change(image)).then_some(Override { column: order_column, from: order });
    RowWrite { image, overrides: overrides.iter().copied().chain(kept_order).collect() }
}
