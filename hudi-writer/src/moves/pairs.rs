//! [`Pairs`]: the deletes and the inserts of rows that move, each with its other half where both are in the same commit.

use std::collections::HashMap;

use hudi_core::change::Op;

use super::ids::{MoveRef, Spotted};

/// The changes of one commit that speak of moves.
#[derive(Debug, Default)]
pub(super) struct Pairs<'a> {
    /// Deletes of rows that go on under another key, sorted by move, then by arrival.
    pub(super) givers: Vec<(MoveRef<'a>, u32)>,
    /// Inserts of rows that had another key, sorted alike.
    pub(super) takers: Vec<(MoveRef<'a>, u32)>,
    /// Of each insert that has one, its delete.
    pub(super) giver_of: HashMap<u32, u32>,
    /// Of each delete that has one, its insert.
    pub(super) taker_of: HashMap<u32, u32>,
}

impl<'a> Pairs<'a> {
    /// Of halves that say the same, the first belong together, the second, and so on.
    pub(super) fn of(spotted: Spotted<'a>) -> Self {
        let mut pairs = Self::default();
        if spotted.changes.others.is_none() {
            return pairs;
        }
        for (change, op) in (0..).zip(&spotted.changes.ops) {
            match op {
                Op::Delete => pairs.givers.extend(spotted.given(change).map(|id| (id, change))),
                Op::Truncate => {}
                Op::Insert | Op::Update | Op::Snapshot => {
                    pairs.takers.extend(spotted.taken(change).map(|id| (id, change)));
                }
            }
        }
        pairs.givers.sort_unstable();
        pairs.takers.sort_unstable();
        pairs.marry();
        pairs
    }

    fn marry(&mut self) {
        let mut takers = self.takers.iter().peekable();
        for (id, giver) in &self.givers {
            while takers.next_if(|(of, _)| of < id).is_some() {}
            if let Some((_, taker)) = takers.next_if(|(of, _)| of == id) {
                self.giver_of.insert(*taker, *giver);
                self.taker_of.insert(*giver, *taker);
            }
        }
    }

    /// Deletes whose insert is not in the commit.
    pub(super) fn lone_givers(&self) -> impl Iterator<Item = &(MoveRef<'a>, u32)> {
        self.givers.iter().filter(|(_, giver)| !self.taker_of.contains_key(giver))
    }

    /// The first delete of a move.
    pub(super) fn first_giver(&self, id: MoveRef<'_>) -> Option<u32> {
        let at = self.givers.partition_point(|(of, _)| *of < id);
        self.givers.get(at).filter(|(of, _)| *of == id).map(|(_, giver)| *giver)
    }

    /// The first insert of a move.
    pub(super) fn first_taker(&self, id: MoveRef<'_>) -> Option<u32> {
        let at = self.takers.partition_point(|(of, _)| *of < id);
        self.takers.get(at).filter(|(of, _)| *of == id).map(|(_, taker)| *taker)
    }
}
