//! [`Traced`]: the rows of some keys, followed change by change, each insert of a moved row with the old key's row as it
//! stood then.
//!
//! Keys depend on each other, and in circles (two rows swap their keys). Their single changes do not: a row is followed until it
//! needs another, which is followed first, as far as it is needed. Not here: where keys are stored, and the values of columns.

use std::collections::{HashMap, HashSet};

use hudi_core::change::Op;
use hudi_core::merge::{Folder, OrderValue, RowRef, RowState, Step};

use super::ids::Spotted;

/// An insert of a row that had another key, of which columns were not sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taker {
    /// The lane of its old key.
    pub(super) lane: usize,
    /// The delete of the old key, if it is in the commit.
    pub(super) giver: Option<u32>,
    /// The row that the delete took away in an earlier commit.
    pub(super) given: Option<usize>,
}

/// A key, and what happens to it.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    /// Its changes, in the order of their arrival.
    pub(super) chain: Vec<u32>,
    pub(super) state: RowState<'a>,
    pub(super) lacking: Lacking<'a>,
    next: usize,
    /// Followed until another is where it is needed.
    is_waiting: bool,
    /// Inserts that want its row as it is after all changes up to their order.
    asked: Vec<u32>,
}

impl<'a> Lane<'a> {
    pub(super) fn new(chain: Vec<u32>, state: RowState<'a>) -> Self {
        Self { chain, state, lacking: Lacking::default(), next: 0, is_waiting: false, asked: vec![] }
    }
}

/// The changes of a key that lack columns which stand nowhere.
#[derive(Debug, Default)]
pub(super) struct Lacking<'a> {
    /// Those from the first such change on that no later one made irrelevant, with what came after it.
    pub(super) open: Vec<u32>,
    /// The row before them.
    pub(super) before: Option<RowState<'a>>,
    /// Such changes that a later one made irrelevant.
    pub(super) overtaken: Vec<u32>,
    /// Another key's row needs what stands in none yet.
    is_given: bool,
}

impl<'a> Lacking<'a> {
    fn lack(&mut self, change: u32, before: &RowState<'a>) {
        if self.open.is_empty() {
            self.before = Some(before.clone());
        }
        self.open.push(change);
    }

    /// A change that says all of the row, or that there is none.
    fn overtake(&mut self, change: u32) {
        match self.is_given {
            true => self.open.push(change),
            false => self.overtaken.append(&mut self.open),
        }
    }

    /// The delete of a row that goes on under another key, and is not there.
    fn give(&mut self, change: u32) {
        if !self.open.is_empty() {
            self.open.push(change);
            self.is_given = true;
        }
    }
}

/// The numbers of rows: changes first, then the stored row of each lane, then the rows in the memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) changes: usize,
    pub(super) lanes: usize,
}

/// What a number speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Change(usize),
    Stored(usize),
    Given(usize),
}

impl Numbers {
    pub(super) fn stored(self, lane: usize) -> u32 {
        (self.changes + lane) as u32
    }

    pub(super) fn given(self, row: usize) -> u32 {
        (self.changes + self.lanes + row) as u32
    }

    pub(super) fn place(self, number: u32) -> Place {
        let number = number as usize;
        match number.checked_sub(self.changes) {
            None => Place::Change(number),
            Some(lane) if lane < self.lanes => Place::Stored(lane),
            Some(beyond) => Place::Given(beyond - self.lanes),
        }
    }
}

/// Where the columns of an insert stand that were not sent.
#[derive(Debug)]
pub(super) struct Fill<'a> {
    pub(super) from: RowState<'a>,
    /// The delete has not come: the old row may still change.
    pub(super) is_provisional: bool,
}

/// Rows at the end of all changes, and what was seen on the way.
#[derive(Debug)]
pub(super) struct Traced<'a> {
    pub(super) lanes: Vec<Lane<'a>>,
    /// By insert.
    pub(super) fills: HashMap<u32, Fill<'a>>,
    /// By delete: the row that it took away. By insert: the old key's row then.
    pub(super) captured: HashMap<u32, Option<RowState<'a>>>,
}

/// Follows lanes.
pub(super) struct Tracer<'a> {
    spotted: Spotted<'a>,
    numbers: Numbers,
    takers: &'a HashMap<u32, Taker>,
    givers: HashSet<u32>,
    folder: Folder<'a>,
    traced: Traced<'a>,
}

/// A lane, and what is wanted of it; nothing: its end.
#[derive(Debug, Clone, Copy)]
struct Goal {
    lane: usize,
    until: Option<u32>,
}

impl<'a> Tracer<'a> {
    pub(super) fn new(
        spotted: Spotted<'a>,
        numbers: Numbers,
        takers: &'a HashMap<u32, Taker>,
        givers: HashSet<u32>,
        mut lanes: Vec<Lane<'a>>,
    ) -> Self {
        for (change, taker) in takers.iter().filter(|(_, taker)| taker.giver.is_none() && taker.given.is_none()) {
            lanes[taker.lane].asked.push(*change);
        }
        let traced = Traced { lanes, fills: HashMap::new(), captured: HashMap::new() };
        Self { spotted, numbers, takers, givers, folder: Folder::new(spotted.changes.to_fold()), traced }
    }

    /// Follows all lanes to their ends.
    pub(super) fn run(mut self) -> Traced<'a> {
        for lane in 0..self.traced.lanes.len() {
            let mut goals = vec![Goal { lane, until: None }];
            while let Some(goal) = goals.last() {
                match self.advance(*goal) {
                    None => {
                        self.traced.lanes[goal.lane].is_waiting = false;
                        goals.pop();
                    }
                    // Rows cannot need each other in a circle: somebody says so who is wrong.
                    Some(Goal { lane, until: Some(until) }) if self.traced.lanes[lane].is_waiting => {
                        self.traced.captured.insert(until, None);
                    }
                    Some(needed) => {
                        self.traced.lanes[goal.lane].is_waiting = true;
                        goals.push(needed);
                    }
                }
            }
        }
        self.traced
    }

    /// Goes on with a lane until what is wanted is there; another goal where that must be reached first.
    fn advance(&mut self, Goal { lane, until }: Goal) -> Option<Goal> {
        loop {
            if until.is_some_and(|until| self.traced.captured.contains_key(&until)) {
                return None;
            }
            let at = &self.traced.lanes[lane];
            let Some(change) = at.chain.get(at.next).copied() else {
                self.answer(lane, None);
                if let Some(until) = until {
                    self.traced.captured.entry(until).or_insert(None);
                }
                return None;
            };
            let is_snapshot = self.spotted.changes.ops[change as usize] == Op::Snapshot;
            let order = if is_snapshot { OrderValue::Lowest } else { self.spotted.order(change) };
            self.answer(lane, Some(order));
            match self.fill_of(lane, change) {
                Ok(fill) => self.apply(lane, change, fill),
                Err(needed) => return Some(needed),
            }
        }
    }

    /// Answers those who asked for the row as it is before a change of this order; at the end, all.
    fn answer(&mut self, lane: usize, before: Option<OrderValue<'_>>) {
        let Traced { lanes, captured, .. } = &mut self.traced;
        let Lane { asked, state, .. } = &mut lanes[lane];
        asked.retain(|taker| {
            let order = self.spotted.order(*taker);
            let by_arrival = |of: OrderValue<'_>| of == OrderValue::Lowest;
            let waits = before.is_some_and(|before| by_arrival(order) || by_arrival(before) || before <= order);
            if !waits {
                // What is newer is another row that has the key since.
                let is_the_row = state.is_there() && (order == OrderValue::Lowest || state.order() <= order);
                captured.entry(*taker).or_insert_with(|| is_the_row.then(|| state.clone()));
            }
            waits
        });
    }

    /// Where the columns stand that a change lacks, if it is an insert of a moved row and they are the old row's.
    fn fill_of(&self, lane: usize, change: u32) -> Result<Option<Fill<'a>>, Goal> {
        let Some(taker) = self.takers.get(&change) else { return Ok(None) };
        let settled = |from: RowState<'a>| Some(Fill { from, is_provisional: false });
        if let Some(giver) = taker.giver {
            match self.traced.captured.get(&giver) {
                None => return Err(Goal { lane: taker.lane, until: Some(giver) }),
                Some(Some(row)) => return Ok(settled(row.clone())),
                Some(None) => {}
            }
        }
        let order = self.spotted.order(change);
        if let Some(row) = taker.given {
            return Ok(settled(RowState::new(Some((RowRef::Change(self.numbers.given(row)), order)))));
        }
        let own = &self.traced.lanes[lane].state;
        let came_before = own.is_there() && order != OrderValue::Lowest && own.order() == order;
        if came_before || taker.giver.is_some() {
            return Ok(None);
        }
        match self.traced.captured.get(&change) {
            None => Err(Goal { lane: taker.lane, until: Some(change) }),
            Some(row) => Ok(row.clone().map(|from| Fill { from, is_provisional: true })),
        }
    }

    fn apply(&mut self, lane: usize, change: u32, fill: Option<Fill<'a>>) {
        let Traced { lanes, fills, captured } = &mut self.traced;
        let Lane { state, next, lacking, .. } = &mut lanes[lane];
        let was_there = state.is_there();
        let before = self.givers.contains(&change).then(|| state.clone());
        let step = self.folder.step(state, change, fill.is_some());
        *next += 1;
        let is_giver = self.spotted.changes.ops[change as usize] == Op::Delete && self.spotted.given(change).is_some();
        match step {
            // Which leaves the row as it was.
            Step::Unfilled => lacking.lack(change, state),
            Step::Applied if is_giver && !was_there => lacking.give(change),
            Step::Applied => lacking.overtake(change),
            Step::Ignored => {}
        }
        if let Some(before) = before {
            let is_taken_away = step == Step::Applied && was_there;
            captured.insert(change, is_taken_away.then_some(before));
        }
        if let Some(fill) = fill.filter(|_| step == Step::Applied) {
            fills.insert(change, fill);
        }
    }
}
