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
                Op::Insert | Op::Update | Op::Upsert | Op::Snapshot => {
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
        self.marry_where(|giver, taker| giver == taker);
        self.marry_where(|giver, taker| giver.is_of(taker));
    }

    /// Marries halves between the same keys, in their order, that have no other half yet.
    fn marry_where(&mut self, is_other_half: impl Fn(&MoveRef<'_>, &MoveRef<'_>) -> bool) {
        let Self { givers, takers, giver_of, taker_of } = self;
        let mut first = 0;
        for (id, giver) in givers.iter() {
            first += takers[first..].iter().take_while(|(of, _)| (of.old, of.new) < (id.old, id.new)).count();
            let mut between = takers[first..].iter().take_while(|(of, _)| of.has_keys_of(id));
            let other = between.find(|(of, taker)| !giver_of.contains_key(taker) && is_other_half(id, of));
            if let Some((_, taker)) = other.filter(|_| !taker_of.contains_key(giver)) {
                giver_of.insert(*taker, *giver);
                taker_of.insert(*giver, *taker);
            }
        }
    }

    /// Deletes whose insert is not in the commit.
    pub(super) fn lone_givers(&self) -> impl Iterator<Item = &(MoveRef<'a>, u32)> {
        self.givers.iter().filter(|(_, giver)| !self.taker_of.contains_key(giver))
    }

    /// The first delete of a move.
    pub(super) fn first_giver(&self, id: MoveRef<'_>) -> Option<u32> {
        first_of(&self.givers, id)
    }

    /// The first insert of a move.
    pub(super) fn first_taker(&self, id: MoveRef<'_>) -> Option<u32> {
        first_of(&self.takers, id)
    }
}

/// The first half of a move that says the same; else that may be of the same.
fn first_of(halves: &[(MoveRef<'_>, u32)], id: MoveRef<'_>) -> Option<u32> {
    let from = halves.partition_point(|(of, _)| (of.old, of.new) < (id.old, id.new));
    let between = || halves[from..].iter().take_while(|(of, _)| of.has_keys_of(&id));
    let half = between().find(|(of, _)| *of == id).or_else(|| between().find(|(of, _)| of.is_of(&id)));
    half.map(|(_, change)| *change)
}
