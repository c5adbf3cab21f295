//! [`Settled`]: where every column of moved rows really stands, and what is remembered of them after the commit.
//!
//! A column that was filled from a row which may still change is *owed* by the delete of its move. What is owed goes with the
//! value, through further moves, until that delete comes. Not here: the values themselves.

use std::collections::{HashMap, HashSet};

use hudi_core::change::OrderKind;
use hudi_core::merge::{OrderValue, RowRef, RowState};

use super::ids::{MoveRef, Spotted};
use super::memory::{Given, Holder, Owed, RowMemory, Since};
use super::pairs::Pairs;
use super::trace::{Lane, Numbers, Traced};
use crate::changes::Spot;

/// What the moves of a commit come to. Rows are given by their [`Numbers`].
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Of inserts, each column that was not sent: (change, column, row that it stands in).
    pub(super) fills: Vec<(u32, usize, u32)>,
    /// Of stored rows, columns that were owed: (lane, column, row that it stands in).
    pub(super) patches: Vec<(usize, usize, u32)>,
    /// The rows to remember, each with where its columns stand.
    pub(super) given: Vec<(Given, Vec<u32>)>,
    /// The columns to remember as owed.
    pub(super) owed: Vec<Owed>,
}

impl Settled {
    /// Every row that a value is taken from, with the column; those that are patched too.
    pub(super) fn sources(&self, numbers: Numbers) -> impl Iterator<Item = (u32, usize)> {
        let fills = self.fills.iter().map(|(_, column, row)| (*row, *column));
        let of_patch =
            move |(lane, column, row): &(usize, usize, u32)| [(*row, *column), (numbers.stored(*lane), *column)];
        let given = self.given.iter().flat_map(|(_, stands)| stands.iter().copied().zip(0..));
        fills.chain(self.patches.iter().flat_map(of_patch)).chain(given)
    }

    /// Whether the memory stays what it was.
    pub(super) fn is_as_before(&self, memory: &RowMemory, numbers: Numbers) -> bool {
        let are_same = self.given.iter().map(|(given, _)| given).eq(&memory.given);
        let stay = |(row, (_, stands)): (usize, &(Given, Vec<u32>))| stands.iter().all(|at| *at == numbers.given(row));
        let mut owed: (Vec<&Owed>, Vec<&Owed>) = (self.owed.iter().collect(), memory.owed.iter().collect());
        owed.0.sort_unstable();
        owed.1.sort_unstable();
        are_same && owed.0 == owed.1 && self.given.iter().enumerate().all(stay)
    }
}

/// Everything that settling looks at.
pub(super) struct Settling<'a> {
    pub(super) spotted: Spotted<'a>,
    pub(super) pairs: &'a Pairs<'a>,
    pub(super) traced: &'a Traced<'a>,
    pub(super) numbers: Numbers,
    /// The key of each lane.
    pub(super) spots: &'a [Spot],
    pub(super) lane_of: &'a hashbrown::HashMap<Spot, usize>,
    pub(super) memory: &'a RowMemory,
    /// Rows of the memory whose insert has come.
    pub(super) is_taken: &'a [bool],
    /// Those of them whose insert is put off again.
    pub(super) kept: &'a HashSet<usize>,
    /// Changes that are no part of the commit.
    pub(super) put_off: &'a HashSet<u32>,
    pub(super) kind: OrderKind,
    pub(super) now_ms: i64,
}

/// Who settles a column.
#[derive(Debug, Clone, Copy)]
enum Creditor {
    /// An entry of the memory.
    Owed(usize),
    /// An insert of this commit whose delete has not come.
    Taker(u32),
}

/// Where a value stands in the end, and who may still change it.
#[derive(Debug, Clone, Copy)]
struct End {
    row: u32,
    creditor: Option<Creditor>,
}

/// What the memory says of columns, by row and column.
type Tags = HashMap<(u32, usize), usize>;

impl Settling<'_> {
    pub(super) fn settle(&self) -> Settled {
        let tags = self.tags();
        let mut settled = Settled::default();
        self.settle_fills(&tags, &mut settled);
        self.settle_lanes(&tags, &mut settled);
        self.settle_given(&tags, &mut settled);
        settled.owed.extend(self.memory.owed.iter().filter(|owed| self.is_elsewhere(&owed.holder)).cloned());
        settled
    }

    /// The row of a lane after the commit.
    fn state(&self, lane: usize) -> &RowState<'_> {
        let Lane { state, lacking, .. } = &self.traced.lanes[lane];
        let is_put_off = lacking.open.first().is_some_and(|change| self.put_off.contains(change));
        lacking.before.as_ref().filter(|_| is_put_off).unwrap_or(state)
    }

    /// Whether a row that owes columns was not looked at.
    fn is_elsewhere(&self, holder: &Holder) -> bool {
        match holder {
            Holder::Row(spot) => !self.lane_of.contains_key(spot),
            Holder::Given(_) => false,
        }
    }

    fn tags(&self) -> Tags {
        let schema = self.spotted.changes.columns.schema_ref();
        let mut tags = Tags::new();
        for (entry, owed) in self.memory.owed.iter().enumerate() {
            let number = match &owed.holder {
                Holder::Row(spot) => self.lane_of.get(spot).map(|lane| self.numbers.stored(*lane)),
                Holder::Given(id) => {
                    let row = self.memory.given.iter().position(|given| given.id == *id);
                    row.map(|row| self.numbers.given(row))
                }
            };
            let Some(number) = number else { continue };
            let columns = owed.columns.iter().filter_map(|name| schema.index_of(name).ok());
            tags.extend(columns.map(|column| ((number, column), entry)));
        }
        tags
    }

    /// Follows a value to where it stands.
    fn end_of(&self, tags: &Tags, row: u32, column: usize) -> End {
        let mut end = End { row, creditor: None };
        // No way is longer: each step is another insert or another entry.
        for _ in 0..=self.traced.fills.len() + tags.len() {
            let filled = self.traced.fills.get(&end.row).filter(|_| self.was_not_sent(end.row, column));
            let next = if let Some(fill) = filled {
                if fill.is_provisional {
                    end.creditor = end.creditor.or(Some(Creditor::Taker(end.row)));
                }
                fill.from.value_of(column)
            } else if let Some(entry) = tags.get(&(end.row, column)) {
                let id = self.memory.owed[*entry].id.as_ref(self.kind);
                let Some(giver) = self.pairs.first_giver(id).filter(|giver| !self.put_off.contains(giver)) else {
                    end.creditor = end.creditor.or(Some(Creditor::Owed(*entry)));
                    return end;
                };
                self.traced.captured.get(&giver).and_then(|row| row.as_ref()?.value_of(column))
            } else {
                None
            };
            let Some(RowRef::Change(row)) = next else { return end };
            end.row = row;
        }
        end
    }

    fn was_not_sent(&self, change: u32, column: usize) -> bool {
        self.spotted.changes.unsent[column].as_ref().is_some_and(|mask| mask.value(change as usize))
    }

    fn settle_fills(&self, tags: &Tags, settled: &mut Settled) {
        let columns = self.spotted.changes.unsent.len();
        for change in self.traced.fills.keys() {
            for column in (0..columns).filter(|column| self.was_not_sent(*change, *column)) {
                settled.fills.push((*change, column, self.end_of(tags, *change, column).row));
            }
        }
        settled.fills.sort_unstable();
    }

    /// The columns that can be owed by anybody.
    fn owed_columns(&self, tags: &Tags) -> Vec<usize> {
        let unsent = self.spotted.changes.unsent.iter();
        let mut columns: Vec<usize> = tags.keys().map(|(_, column)| *column).collect();
        columns.extend(unsent.enumerate().filter(|(_, mask)| mask.is_some()).map(|(column, _)| column));
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    fn settle_lanes(&self, tags: &Tags, settled: &mut Settled) {
        let columns = self.owed_columns(tags);
        for number in 0..self.traced.lanes.len() {
            let mut owes = Owes::default();
            for column in &columns {
                let Some(RowRef::Change(row)) = self.state(number).value_of(*column) else { continue };
                let end = self.end_of(tags, row, *column);
                owes.note(*column, end.creditor);
                if row == self.numbers.stored(number) && end.row != row {
                    settled.patches.push((number, *column, end.row));
                }
            }
            self.remember(&owes, &Holder::Row(self.spots[number].clone()), settled);
        }
    }

    /// Rows that a delete took away, whose insert has not come: those of before, and those of this commit.
    fn settle_given(&self, tags: &Tags, settled: &mut Settled) {
        let columns = self.spotted.changes.unsent.len();
        let is_kept = |row: usize| !self.is_taken[row] || self.kept.contains(&row);
        for (row, given) in self.memory.given.iter().enumerate().filter(|(row, _)| is_kept(*row)) {
            let number = self.numbers.given(row);
            self.give(tags, given.clone(), (0..columns).map(|_| Some(number)), settled);
        }
        for (id, giver) in self.pairs.givers.iter().filter(|(_, giver)| !self.put_off.contains(giver)) {
            let Some(Some(state)) = self.traced.captured.get(giver) else { continue };
            let has_come = match self.pairs.taker_of.get(giver) {
                Some(taker) => !self.put_off.contains(taker),
                None => self.has_come(id),
            };
            if has_come {
                continue;
            }
            let number = |column| match state.value_of(column) {
                Some(RowRef::Change(row)) => Some(row),
                _ => None,
            };
            let given = Given { id: id.to_id(), since: self.since(*giver) };
            self.give(tags, given, (0..columns).map(number), settled);
        }
    }

    /// Whether the insert of a move came in an earlier commit: the row is there, as of the move or later.
    fn has_come(&self, id: &MoveRef<'_>) -> bool {
        if self.memory.owed.iter().any(|owed| owed.id.as_ref(self.kind).is_of(id)) {
            return true;
        }
        let lane = self.lane_of.get(&id.new).map(|lane| self.state(*lane));
        lane.is_some_and(|row| row.is_there() && id.order != OrderValue::Lowest && row.order() >= id.order)
    }

    fn give(&self, tags: &Tags, given: Given, columns: impl Iterator<Item = Option<u32>>, settled: &mut Settled) {
        let mut owes = Owes::default();
        let mut stands = vec![];
        for (column, row) in columns.enumerate() {
            let Some(row) = row else { return };
            let end = self.end_of(tags, row, column);
            owes.note(column, end.creditor);
            stands.push(end.row);
        }
        self.remember(&owes, &Holder::Given(given.id.clone()), settled);
        settled.given.push((given, stands));
    }

    fn since(&self, change: u32) -> Since {
        Since { at_ms: self.now_ms, source_time: self.spotted.changes.source_time(change) }
    }

    fn remember(&self, owes: &Owes, holder: &Holder, settled: &mut Settled) {
        let schema = self.spotted.changes.columns.schema_ref();
        for (creditor, columns) in &owes.0 {
            let (id, since) = match creditor {
                Creditor::Owed(entry) => (self.memory.owed[*entry].id.clone(), self.memory.owed[*entry].since),
                Creditor::Taker(change) => match self.spotted.taken(*change) {
                    Some(id) => (id.to_id(), self.since(*change)),
                    None => continue,
                },
            };
            let columns = columns.iter().map(|column| schema.field(*column).name().clone()).collect();
            settled.owed.push(Owed { id, since, holder: holder.clone(), columns });
        }
    }
}

/// What one row owes, by creditor.
#[derive(Debug, Default)]
struct Owes(Vec<(Creditor, Vec<usize>)>);

impl Owes {
    fn note(&mut self, column: usize, creditor: Option<Creditor>) {
        let Some(creditor) = creditor else { return };
        let same = |other: &Creditor| match (creditor, other) {
            (Creditor::Owed(a), Creditor::Owed(b)) => a == *b,
            (Creditor::Taker(a), Creditor::Taker(b)) => a == *b,
            _ => false,
        };
        match self.0.iter_mut().find(|(other, _)| same(other)) {
            Some((_, columns)) => columns.push(column),
            None => self.0.push((creditor, vec![column])),
        }
    }
}
