//! [`ChangeSet`]: all changes of one commit in the table's columns, with their keys; [`Spot`], where a key belongs; and
//! [`KeyTable`], which finds keys.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use hashbrown::{DefaultHashBuilder, HashTable};
use hudi_core::change::{Op, Origin, columns};
use hudi_core::merge::{Changes, Orders, Override};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The end of a chain.
const END: u32 = u32::MAX;

/// Changes in the table's columns (meta columns not among them). Row `i` of every member speaks of the same change.
#[derive(Debug)]
pub(crate) struct ChangeSet {
    pub(crate) columns: RecordBatch,
    /// Empty texts where the table has no key: new rows get theirs when they are written.
    pub(crate) keys: StringArray,
    pub(crate) partitions: StringArray,
    pub(crate) ops: Vec<Op>,
    /// Null: judged by arrival.
    pub(crate) orders: Orders,
    /// For each column: the changes that did not send it.
    pub(crate) unsent: Vec<Option<BooleanBuffer>>,
    /// The other keys of rows whose key changed; `None` where no row's did.
    pub(crate) others: Option<OtherKeys>,
    /// The changes of runs of the connector from before the last full snapshot of the source.
    pub(crate) old: Option<BooleanBuffer>,
    pub(crate) origins: Origins,
    /// How many changes more there were: from before a truncate.
    pub(crate) covered: u64,
    /// One of the changes is no change of a row of its own: stored rows become it that a truncate covers.
    pub(crate) mark: Option<u32>,
}

/// For each change of a row whose key changed, the other one: for a delete the key that the row has from then on, for an
/// insert the key that it had. Null for all others.
#[derive(Debug, Clone)]
pub(crate) struct OtherKeys {
    pub(crate) keys: StringArray,
    /// The partition that a row of that key belongs in; empty where rows are found by their key.
    pub(crate) partitions: StringArray,
}

/// Where changes came from, run by run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(Vec<OriginRun>);

/// Changes of one topic that came together.
#[derive(Debug, Clone)]
pub(crate) struct OriginRun {
    pub(crate) topic: Arc<str>,
    pub(crate) partitions: Vec<i32>,
    pub(crate) offsets: Vec<i64>,
}

impl Origins {
    pub(crate) fn new(runs: Vec<OriginRun>) -> Self {
        Self(runs)
    }

    /// The same, after these runs.
    pub(crate) fn after(&self, runs: impl Iterator<Item = OriginRun>) -> Self {
        Self(runs.chain(self.0.iter().cloned()).collect())
    }

    /// The origins of the changes for which the mask holds.
    fn filtered(&self, holds: &BooleanBuffer) -> Self {
        let mut first = 0;
        let runs = self.0.iter().map(|run| {
            let length = run.offsets.len();
            first += length;
            run.filtered(&holds.slice(first - length, length))
        });
        Self(runs.collect())
    }

    /// Where a change came from.
    pub(crate) fn of(&self, change: u32) -> Option<Origin> {
        let mut row = change as usize;
        for run in &self.0 {
            if let Some(offset) = run.offsets.get(row) {
                return Some(Origin { topic: Arc::clone(&run.topic), partition: run.partitions[row], offset: *offset });
            }
            row -= run.offsets.len();
        }
        None
    }
}

impl OriginRun {
    /// Of the changes for which the mask holds.
    pub(crate) fn filtered(&self, holds: &BooleanBuffer) -> Self {
        let kept = || holds.set_indices();
        Self {
            topic: Arc::clone(&self.topic),
            partitions: kept().map(|row| self.partitions[row]).collect(),
            offsets: kept().map(|row| self.offsets[row]).collect(),
        }
    }
}

impl OtherKeys {
    /// Of the changes for which the mask holds.
    pub(crate) fn filtered(&self, holds: &BooleanArray) -> Result<Self> {
        Ok(Self { keys: filtered_text(&self.keys, holds)?, partitions: filtered_text(&self.partitions, holds)? })
    }
}

/// The texts for which the mask holds.
pub(crate) fn filtered_text(texts: &StringArray, holds: &BooleanArray) -> Result<StringArray> {
    let kept = filter(texts, holds).map_err(Error::columns("filter", "changes"))?;
    Ok(kept.as_string::<i32>().clone())
}

/// The bits for which the mask holds.
pub(crate) fn filtered_bits(bits: &BooleanBuffer, holds: &BooleanBuffer) -> BooleanBuffer {
    holds.set_indices().map(|row| bits.value(row)).collect()
}

/// Where a row belongs: its key, and the partition that it is looked for in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Spot {
    /// Empty where rows are found by their key.
    pub(crate) partition: String,
    pub(crate) key: String,
}

/// The same, borrowed; hashed and compared as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SpotRef<'a> {
    pub(crate) partition: &'a str,
    pub(crate) key: &'a str,
}

impl Spot {
    pub(crate) fn as_ref(&self) -> SpotRef<'_> {
        SpotRef { partition: &self.partition, key: &self.key }
    }
}

impl SpotRef<'_> {
    pub(crate) fn to_spot(self) -> Spot {
        Spot { partition: self.partition.to_owned(), key: self.key.to_owned() }
    }
}

impl hashbrown::Equivalent<Spot> for SpotRef<'_> {
    fn equivalent(&self, spot: &Spot) -> bool {
        *self == spot.as_ref()
    }
}

impl ChangeSet {
    /// The changes that came.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> + use<'_> {
        (0..self.ops.len() as u32).filter(|change| Some(*change) != self.mark)
    }

    /// Where the row of a change belongs; `by_key`: rows are found by their key, whatever their partition.
    pub(crate) fn spot(&self, change: u32, by_key: bool) -> SpotRef<'_> {
        let partition = if by_key { "" } else { self.partitions.value(change as usize) };
        SpotRef { partition, key: self.keys.value(change as usize) }
    }

    /// Where the row of a change belongs by its other key, if its key changed.
    pub(crate) fn other_spot(&self, change: u32) -> Option<SpotRef<'_>> {
        let OtherKeys { keys, partitions } = self.others.as_ref()?;
        let row = change as usize;
        keys.is_valid(row).then(|| SpotRef { partition: partitions.value(row), key: keys.value(row) })
    }

    /// When the source committed a change, in microseconds since 1970 UTC.
    pub(crate) fn source_time(&self, change: u32) -> Option<i64> {
        let times = self.columns.column_by_name(columns::SOURCE_TS)?;
        let times = times.as_primitive_opt::<TimestampMicrosecondType>()?;
        times.is_valid(change as usize).then(|| times.value(change as usize))
    }

    /// The same but for some changes.
    pub(crate) fn without(&self, left_out: &HashSet<u32>) -> Result<Self> {
        let rows = self.ops.len() as u32;
        let holds: BooleanArray = (0..rows).map(|change| Some(!left_out.contains(&change))).collect();
        let failed = || Error::columns("filter", "changes");
        let bits = |mask: &BooleanBuffer| filtered_bits(mask, holds.values());
        let orders = match &self.orders {
            Orders::Long(long) => filter(long, &holds),
            Orders::Text(text) => filter(text, &holds),
        };
        let orders = Orders::of(&orders.map_err(failed())?);
        Ok(Self {
            columns: filter_record_batch(&self.columns, &holds).map_err(failed())?,
            keys: filtered_text(&self.keys, &holds)?,
            partitions: filtered_text(&self.partitions, &holds)?,
            ops: holds.values().set_indices().map(|row| self.ops[row]).collect(),
            orders: orders.ok_or_else(|| Error::corrupt(columns::ORDER, "neither long nor text"))?,
            unsent: self.unsent.iter().map(|unsent| unsent.as_ref().map(bits)).collect(),
            others: self.others.as_ref().map(|others| others.filtered(&holds)).transpose()?,
            old: self.old.as_ref().map(bits),
            origins: self.origins.filtered(holds.values()),
            covered: self.covered,
            mark: self.mark.map(|mark| mark - left_out.iter().filter(|change| **change < mark).count() as u32),
        })
    }

    /// The changes as they are folded.
    pub(crate) fn to_fold(&self) -> Changes<'_> {
        Changes { ops: &self.ops, orders: &self.orders, unsent: &self.unsent }
    }
}

/// A row that is written: the image of a change, but for some columns.
#[derive(Debug, Clone)]
pub(crate) struct RowWrite {
    pub(crate) image: u32,
    pub(crate) overrides: Box<[Override]>,
}

/// The keys of some changes, each with its changes in the order of their arrival.
#[derive(Debug)]
pub(crate) struct KeyTable {
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    keys: StringArray,
    /// The changes. What follows speaks of places in it.
    changes: Vec<u32>,
    heads: Vec<u32>,
    tails: Vec<u32>,
    /// The next change of the same key.
    next: Vec<u32>,
}

impl KeyTable {
    /// The keys of these changes, given in the order of their arrival.
    pub(crate) fn new(keys: &StringArray, changes: Vec<u32>) -> Self {
        let mut table = Self {
            table: HashTable::with_capacity(changes.len()),
            hasher: DefaultHashBuilder::default(),
            keys: keys.clone(),
            heads: Vec::with_capacity(changes.len()),
            tails: Vec::with_capacity(changes.len()),
            next: vec![END; changes.len()],
            changes,
        };
        for place in 0..table.changes.len() as u32 {
            table.add(place);
        }
        table
    }

    fn key_at(&self, place: u32) -> &str {
        self.keys.value(self.changes[place as usize] as usize)
    }

    fn add(&mut self, place: u32) {
        let hash = self.hasher.hash_one(self.key_at(place));
        let found = self.table.find(hash, |id| self.key_at(self.heads[*id as usize]) == self.key_at(place));
        if let Some(id) = found.copied() {
            self.next[self.tails[id as usize] as usize] = place;
            self.tails[id as usize] = place;
            return;
        }
        let id = self.heads.len() as u32;
        self.heads.push(place);
        self.tails.push(place);
        let (heads, keys, hasher, changes) = (&self.heads, &self.keys, &self.hasher, &self.changes);
        let key_of = |id: u32| keys.value(changes[heads[id as usize] as usize] as usize);
        self.table.insert_unique(hash, id, |id| hasher.hash_one(key_of(*id)));
    }

    /// How many different keys there are; their ids are below it, in the order of their first arrival.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// All different keys, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.heads.iter().map(|place| self.key_at(*place))
    }

    /// The id of a key.
    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |id| self.key_at(self.heads[*id as usize]) == key).copied()
    }

    /// The changes of a key, in the order of their arrival.
    pub(crate) fn chain(&self, id: u32) -> impl Iterator<Item = u32> + use<'_> {
        let following = |place: &u32| Some(self.next[*place as usize]).filter(|next| *next != END);
        std::iter::successors(Some(self.heads[id as usize]), following).map(|place| self.changes[place as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_key_stay_in_the_order_of_their_arrival() {
        let keys = StringArray::from(vec!["a", "b", "a", "c", "a", "b"]);
        let table = KeyTable::new(&keys, vec![0, 1, 2, 4, 5]);
        assert_eq!(table.len(), 2);
        let chain = |key: &str| table.chain(table.find(key).unwrap()).collect::<Vec<_>>();
        assert_eq!((chain("a"), chain("b")), (vec![0, 2, 4], vec![1, 5]));
        assert_eq!(table.find("c"), None);
    }
}
