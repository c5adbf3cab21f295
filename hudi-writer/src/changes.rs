//! [`ChangeSet`]: all changes of one commit in the table's columns, with their keys; and [`KeyTable`], which finds them.

use std::hash::BuildHasher;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use hashbrown::{DefaultHashBuilder, HashTable};
use hudi_core::change::{Op, Origin};
use hudi_core::merge::{Changes, Orders, Override};

/// The end of a chain.
const END: u32 = u32::MAX;

/// Changes in the table's columns (meta columns not among them). Row `i` of every member speaks of the same change.
#[derive(Debug)]
pub(crate) struct ChangeSet {
    pub(crate) columns: RecordBatch,
    pub(crate) keys: StringArray,
    pub(crate) partitions: StringArray,
    pub(crate) ops: Vec<Op>,
    /// Null: judged by arrival.
    pub(crate) orders: Orders,
    /// For each column: the changes that did not send it.
    pub(crate) unsent: Vec<Option<BooleanBuffer>>,
    pub(crate) origins: Vec<Origin>,
}

impl ChangeSet {
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
    heads: Vec<u32>,
    tails: Vec<u32>,
    /// For change `rows[0] + i`: the next change of the same key. Indexed by change.
    next: Vec<u32>,
}

impl KeyTable {
    /// The keys of these changes, given in the order of their arrival.
    pub(crate) fn new(keys: &StringArray, changes: impl IntoIterator<Item = u32>) -> Self {
        let changes = changes.into_iter();
        let mut table = Self {
            table: HashTable::with_capacity(changes.size_hint().0),
            hasher: DefaultHashBuilder::default(),
            keys: keys.clone(),
            heads: Vec::with_capacity(changes.size_hint().0),
            tails: vec![],
            next: vec![END; keys.len()],
        };
        for change in changes {
            table.add(change);
        }
        table
    }

    fn add(&mut self, change: u32) {
        let key = self.keys.value(change as usize);
        let hash = self.hasher.hash_one(key);
        let found = self.table.find(hash, |id| self.keys.value(self.heads[*id as usize] as usize) == key);
        if let Some(id) = found.copied() {
            self.next[self.tails[id as usize] as usize] = change;
            self.tails[id as usize] = change;
            return;
        }
        let id = self.heads.len() as u32;
        self.heads.push(change);
        self.tails.push(change);
        let (heads, keys, hasher) = (&self.heads, &self.keys, &self.hasher);
        self.table.insert_unique(hash, id, |id| hasher.hash_one(keys.value(heads[*id as usize] as usize)));
    }

    /// How many different keys there are; their ids are below it, in the order of their first arrival.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The id of a key.
    pub(crate) fn find(&self, key: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |id| self.keys.value(self.heads[*id as usize] as usize) == key).copied()
    }

    /// The text of a key.
    pub(crate) fn key(&self, id: u32) -> &str {
        self.keys.value(self.heads[id as usize] as usize)
    }

    /// The changes of a key, in the order of their arrival.
    pub(crate) fn chain(&self, id: u32) -> impl Iterator<Item = u32> + use<'_> {
        let following = |change: &u32| Some(self.next[*change as usize]).filter(|next| *next != END);
        std::iter::successors(Some(self.heads[id as usize]), following)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_key_stay_in_the_order_of_their_arrival() {
        let keys = StringArray::from(vec!["a", "b", "a", "c", "a", "b"]);
        let table = KeyTable::new(&keys, [0, 1, 2, 4, 5]);
        assert_eq!(table.len(), 2);
        let chain = |key: &str| table.chain(table.find(key).unwrap()).collect::<Vec<_>>();
        assert_eq!((chain("a"), chain("b")), (vec![0, 2, 4], vec![1, 5]));
        assert_eq!(table.find("c"), None);
        assert_eq!(table.key(1), "b");
    }
}
