//! Dead letters that are sent again: which are left, and how their changes are taken.
//!
//! What a commit kept stands in `.hoodie/.cdc/dead_letters/<instant>.jsonl`, what a later one made of it in
//! `.hoodie/.cdc/applied_letters/<instant>.jsonl`; each is there before the instant that it is named after completes, and counts if that
//! did. Not here: what may be done about a letter, and how its message is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use hudi_core::change::{ChangeBatch, Op, OrderKind, Origin, SnapshotPart};
use hudi_core::dead_letter::{AppliedLetter, DeadLetter};
use hudi_core::instant::{Action, InstantTime};
use hudi_core::layout;

use crate::error::{Error, Result, format};
use crate::table::Table;

/// Under which a commit tells how many changes were to delete a row, whether it was there or not.
pub(crate) const DELETES_KEY: &str = "cdc.deletes";

/// A dead letter, and the commit that kept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLetter {
    /// The commit.
    pub of: InstantTime,
    /// The letter.
    pub letter: DeadLetter,
}

/// Where a message stood.
type Place = (Arc<str>, i32, i64);

impl Table {
    /// The dead letters that the table keeps, each message once, by where they stood.
    ///
    /// # Errors
    /// Whatever the store says; [`Error::Corrupt`] for a file that is none.
    pub async fn dead_letters(&self) -> Result<Vec<KeptLetter>> {
        let mut letters: BTreeMap<Place, KeptLetter> = BTreeMap::new();
        for (of, text) in self.committed_files(&layout::dead_letters_dir()).await? {
            for line in text.lines() {
                let letter = DeadLetter::from_json_line(line).map_err(format)?;
                letters.insert(place(&letter.original.origin), KeptLetter { of, letter });
            }
        }
        Ok(letters.into_values().collect())
    }

    /// Those of them that did not become rows of `into` since, which is mostly the table itself.
    ///
    /// # Errors
    /// As [`dead_letters`](Self::dead_letters).
    pub async fn letters_left(&self, into: &Self) -> Result<Vec<KeptLetter>> {
        let mut applied: BTreeMap<Place, InstantTime> = BTreeMap::new();
        for (at, text) in into.committed_files(&layout::applied_letters_dir()).await? {
            for line in text.lines() {
                applied.insert(place(&AppliedLetter::parse(line).map_err(format)?), at);
            }
        }
        let mut letters = self.dead_letters().await?;
        // One that the same commit made a letter of again is left.
        letters.retain(|kept| applied.get(&place(&kept.letter.original.origin)).is_none_or(|at| *at <= kept.of));
        Ok(letters)
    }

    /// The last commit with a change that was to delete a row, whether it was there or not: a row that is not there may have been
    /// deleted up to then.
    ///
    /// # Errors
    /// Whatever the store says; [`Error::Format`] where a commit cannot be read.
    pub async fn last_delete(&self) -> Result<Option<InstantTime>> {
        for instant in self.timeline.completed_writes().rev() {
            let metadata = self.commit_metadata(instant).await?;
            let deletes = metadata.write_stats().any(|stat| stat.num_deletes > 0);
            let is_told = metadata.extra_metadata.contains_key(DELETES_KEY);
            if deletes || is_told || instant.action == Action::ReplaceCommit {
                return Ok(Some(instant.time));
            }
        }
        Ok(None)
    }

    /// The files of commits in a folder, in their order.
    async fn committed_files(&self, folder: &str) -> Result<Vec<(InstantTime, String)>> {
        let (objects, _) = self.store.list_folder(folder).await?;
        let first = self.timeline.completed_writes().next().map(|instant| instant.time);
        let is_committed = |time: &InstantTime| {
            // What was before the first was archived.
            first.is_some_and(|first| *time < first) || self.timeline.completed_writes().any(|of| of.time == *time)
        };
        let mut files = vec![];
        for object in objects {
            let name = layout::split(&object.path).1.strip_suffix(".jsonl");
            let Some(time) = name.and_then(|name| InstantTime::parse(name).ok()).filter(is_committed) else { continue };
            let text = self.store.get_text(&object.path).await?;
            files.push((time, text.ok_or_else(|| Error::corrupt(&*object.path, "it went while it was read"))?));
        }
        files.sort();
        Ok(files)
    }
}

fn place(origin: &Origin) -> Place {
    (Arc::clone(&origin.topic), origin.partition, origin.offset)
}

/// The changes of a letter: below whatever came since. A row that a snapshot read, or that tells no position, is taken where there is
/// none.
pub(crate) fn below_all(batch: &ChangeBatch) -> ChangeBatch {
    let is_judged_by_arrival = |row: usize| batch.ops[row] == Op::Snapshot || batch.orders.is_null(row);
    let orders: ArrayRef = match batch.order_kind() {
        OrderKind::Long => {
            let orders = batch.orders.as_primitive::<Int64Type>();
            let order = |row| if is_judged_by_arrival(row) { 0 } else { orders.value(row) };
            Arc::new((0..batch.num_rows()).map(order).collect::<Int64Array>())
        }
        OrderKind::Text => {
            let orders = batch.orders.as_string::<i32>();
            let lowest = |row: usize| "0".repeat(orders.value(row).len());
            let order = |row| if is_judged_by_arrival(row) { lowest(row) } else { orders.value(row).to_owned() };
            Arc::new((0..batch.num_rows()).map(|row| Some(order(row))).collect::<StringArray>())
        }
    };
    let op = |op: &Op| if *op == Op::Snapshot { Op::Insert } else { *op };
    ChangeBatch {
        orders,
        ops: batch.ops.iter().map(op).collect(),
        snapshots: vec![SnapshotPart::None; batch.num_rows()],
        ..batch.clone()
    }
}
