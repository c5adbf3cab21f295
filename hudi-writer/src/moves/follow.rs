//! [`follow`]: from the changes of a commit to the same changes with every moved row whole, and the memory after them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use hudi_core::change::OrderKind;
use hudi_core::merge::{Folder, Orders, RowRef, RowState};

use super::apply::Values;
use super::ids::Spotted;
use super::memory::{Holder, RowMemory, Window};
use super::pairs::Pairs;
use super::settle::{Settled, Settling};
use super::trace::{Lane, Numbers, Place, Taker, Traced, Tracer};
use crate::changes::{ChangeSet, Spot, SpotRef};
use crate::commit::Scope;
use crate::error::Result;
use crate::file::align;
use crate::plan::Planner;
use crate::settings::Index;
use crate::table::Table;
use crate::whereabouts::Whereabouts;

/// What following the moves of a commit came to.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) changes: Arc<ChangeSet>,
    /// The memory after the commit; `None`: it is what it was.
    pub(crate) memory: Option<RowMemory>,
    /// What was looked at.
    pub(crate) scope: Scope,
    /// How much fell out of the memory's window.
    pub(crate) forgotten: u64,
    /// Another memory would have made a difference.
    pub(crate) depends_on_memory: bool,
    /// Of the changes that were followed, those that wait for a row that may come later: no part of the commit.
    pub(crate) put_off: Vec<u32>,
}

/// The keys that are looked at, each with its changes.
#[derive(Debug, Default)]
struct Lanes {
    spots: Vec<Spot>,
    of: hashbrown::HashMap<Spot, usize>,
    chains: Vec<Vec<u32>>,
}

/// What is to be followed.
struct Asked {
    lanes: Lanes,
    /// By insert of which columns were not sent.
    takers: HashMap<u32, Taker>,
    givers: HashSet<u32>,
    /// Rows of the memory whose insert has come.
    is_taken: Vec<bool>,
    /// Halves of moves are in the commit without the other.
    has_lone: bool,
}

impl Lanes {
    fn add(&mut self, spot: SpotRef<'_>) -> usize {
        if let Some(lane) = self.of.get(&spot) {
            return *lane;
        }
        let lane = self.spots.len();
        self.spots.push(spot.to_spot());
        self.of.insert(spot.to_spot(), lane);
        self.chains.push(vec![]);
        lane
    }

    /// Gives every key its changes.
    fn fill(&mut self, spotted: Spotted<'_>) {
        if self.spots.is_empty() {
            return;
        }
        for change in 0..spotted.changes.ops.len() as u32 {
            if let Some(lane) = self.of.get(&spotted.own(change)) {
                self.chains[*lane].push(change);
            }
        }
    }

    /// Leaves out the keys that nothing happens to, but for these.
    fn without_idle(self, needed: &HashSet<usize>) -> (Self, Vec<Option<usize>>) {
        let (mut kept, mut numbers) = (Self::default(), vec![]);
        for (lane, (spot, chain)) in self.spots.into_iter().zip(self.chains).enumerate() {
            let is_kept = !chain.is_empty() || needed.contains(&lane);
            numbers.push(is_kept.then(|| kept.add(spot.as_ref())));
            if is_kept && let Some(last) = kept.chains.last_mut() {
                *last = chain;
            }
        }
        (kept, numbers)
    }
}

impl Asked {
    fn of(spotted: Spotted<'_>, pairs: &Pairs<'_>, memory: &RowMemory, kind: OrderKind) -> Self {
        let folder = Folder::new(spotted.changes.to_fold());
        let mut given_rows: HashMap<u32, usize> = HashMap::new();
        let taker_of = |row: usize| pairs.first_taker(memory.given[row].id.as_ref(kind));
        let is_taken =
            (0..memory.given.len()).map(|row| taker_of(row).map(|taker| given_rows.insert(taker, row)).is_some());
        let is_taken: Vec<bool> = is_taken.collect();
        let (mut lanes, mut needed) = (Lanes::default(), HashSet::new());
        let mut takers = HashMap::new();
        for (id, change) in pairs.takers.iter().filter(|(_, change)| folder.lacks_columns(*change)) {
            let (own, lane) = (lanes.add(id.new), lanes.add(id.old));
            needed.extend([own, lane]);
            let giver = pairs.giver_of.get(change).copied();
            takers.insert(*change, Taker { lane, giver, given: given_rows.get(change).copied() });
        }
        let mut givers: HashSet<u32> = takers.values().filter_map(|taker| taker.giver).collect();
        for (id, giver) in pairs.lone_givers() {
            needed.extend([lanes.add(id.old), lanes.add(id.new)]);
            givers.insert(*giver);
        }
        for owed in &memory.owed {
            let holder = if let Holder::Row(spot) = &owed.holder { Some(lanes.add(spot.as_ref())) } else { None };
            if let Some(giver) = pairs.first_giver(owed.id.as_ref(kind)) {
                needed.extend(holder);
                needed.insert(lanes.add(owed.id.old.as_ref()));
                givers.insert(giver);
            }
        }
        lanes.fill(spotted);
        let (lanes, numbers) = lanes.without_idle(&needed);
        for taker in takers.values_mut() {
            taker.lane = numbers[taker.lane].unwrap_or_default();
        }
        let has_lone = pairs.takers.len() != pairs.giver_of.len() || pairs.givers.len() != pairs.taker_of.len();
        Self { lanes, takers, givers, is_taken, has_lone }
    }

    fn is_nothing(&self) -> bool {
        self.lanes.spots.is_empty() && !self.is_taken.contains(&true)
    }
}

/// Follows the rows of the commit whose key changes, with what is remembered of earlier ones.
///
/// `overdue`: those that waited for long enough.
pub(crate) async fn follow(
    planner: &Planner<'_>,
    table: &Table,
    memory: &Arc<RowMemory>,
    window: Window,
    arrivals: i64,
    overdue: &HashSet<u32>,
) -> Result<Followed> {
    let changes = Arc::clone(planner.changes);
    if changes.others.is_none() && memory.knows_no_move() {
        let (memory, scope, put_off) = (None, Scope::Nothing, vec![]);
        return Ok(Followed { changes, memory, scope, forgotten: 0, depends_on_memory: false, put_off });
    }
    let now_ms = planner.clock.now_ms();
    let kind = kind_of(&changes.orders);
    let mut remembered = RowMemory::clone(memory);
    let mut is_changed = match planner.truncation {
        Some(truncation) => remembered.truncate(truncation, kind)?,
        None => false,
    };
    let by_key = planner.index == Index::GlobalSimple;
    let following = Following { planner, table, by_key, arrivals, kind, now_ms, overdue };
    let mut followed = following.run(changes, Arc::new(remembered)).await?;
    is_changed |= followed.is_changed;
    followed.memory.stale.clone_from(&memory.stale);
    followed.memory.waiting.clone_from(&memory.waiting);
    followed.memory.waiting_rows.clone_from(&memory.waiting_rows);
    let forgotten = followed.memory.keep_within(window, now_ms)?;
    if forgotten > 0 {
        let url = planner.store.url();
        tracing::warn!(table = url, forgotten, "halves of moves whose other half did not come within the window");
    }
    Ok(Followed {
        changes: followed.changes,
        memory: (is_changed || forgotten > 0).then_some(followed.memory),
        scope: followed.scope,
        forgotten,
        depends_on_memory: followed.has_lone || !memory.knows_no_move(),
        put_off: followed.put_off,
    })
}

fn kind_of(orders: &Orders) -> OrderKind {
    match orders {
        Orders::Long(_) => OrderKind::Long,
        Orders::Text(_) => OrderKind::Text,
    }
}

struct Following<'a> {
    planner: &'a Planner<'a>,
    table: &'a Table,
    by_key: bool,
    arrivals: i64,
    kind: OrderKind,
    now_ms: i64,
    overdue: &'a HashSet<u32>,
}

struct Reached {
    changes: Arc<ChangeSet>,
    memory: RowMemory,
    is_changed: bool,
    scope: Scope,
    has_lone: bool,
    put_off: Vec<u32>,
}

impl Following<'_> {
    async fn run(&self, changes: Arc<ChangeSet>, memory: Arc<RowMemory>) -> Result<Reached> {
        let Self { by_key, arrivals, kind, now_ms, .. } = *self;
        let (all, remembered) = (Arc::clone(&changes), Arc::clone(&memory));
        let asking = move || {
            let spotted = Spotted { changes: &all, by_key, arrivals };
            Ok(Asked::of(spotted, &Pairs::of(spotted), &remembered, kind))
        };
        let asked = self.planner.compute.run(asking).await?;
        let has_lone = asked.has_lone;
        if asked.is_nothing() {
            let memory = RowMemory::clone(&memory);
            let (scope, put_off) = (Scope::Nothing, vec![]);
            return Ok(Reached { changes, memory, is_changed: false, scope, has_lone, put_off });
        }
        let spots: Vec<&Spot> = asked.lanes.spots.iter().collect();
        let whereabouts = self.planner.look_for(self.table, &spots).await?;
        let (all, remembered) = (Arc::clone(&changes), Arc::clone(&memory));
        let overdue = self.overdue.clone();
        let settling = move || {
            let spotted = Spotted { changes: &all, by_key, arrivals };
            let traced = asked.trace(spotted, &whereabouts);
            let left_out = asked.left_out(&traced, &overdue);
            let settled = asked.settle(spotted, &traced, &remembered, &left_out.put_off, (kind, now_ms));
            Ok((settled, left_out, asked, whereabouts))
        };
        let (settled, left_out, asked, whereabouts) = self.planner.compute.run(settling).await?;
        let scope = whereabouts.scope.clone();
        let (stored, stored_rows) = self.read(&settled, asked.numbers(&changes), &whereabouts).await?;
        let spec = self.planner.keys.clone();
        let applying = move || {
            let numbers = asked.numbers(&changes);
            let given = memory.rows.as_ref().map(|rows| align(rows, changes.columns.schema_ref(), "row memory"));
            let values = Values { changes: &changes, numbers, stored, stored_rows, given: given.transpose()? };
            let patches = values.patches(&settled)?;
            let filled = match settled.fills.is_empty() && patches.is_empty() {
                true => Arc::clone(&changes),
                false => Arc::new(values.changes(&settled, &patches, &asked.lanes.spots, &spec)?),
            };
            let is_changed = !settled.is_as_before(&memory, numbers);
            Ok((left_out.of(filled)?, values.memory(settled)?, is_changed, left_out.put_off))
        };
        let (changes, memory, is_changed, put_off) = self.planner.compute.run(applying).await?;
        Ok(Reached { changes, memory, is_changed, scope, has_lone, put_off })
    }

    /// Reads the stored rows that values are taken from; with each lane's row among them.
    async fn read(
        &self,
        settled: &Settled,
        numbers: Numbers,
        whereabouts: &Whereabouts,
    ) -> Result<(Option<RecordBatch>, Vec<Option<usize>>)> {
        let mut rows = vec![None; numbers.lanes];
        let (mut lanes, mut columns) = (vec![], BTreeSet::new());
        for (number, column) in settled.sources(numbers) {
            let Place::Stored(lane) = numbers.place(number) else { continue };
            columns.insert(column);
            if rows[lane].is_none() {
                rows[lane] = Some(lanes.len());
                lanes.push(lane);
            }
        }
        Ok((self.planner.read_stored(whereabouts, &lanes, columns).await?, rows))
    }
}

impl Asked {
    fn numbers(&self, changes: &ChangeSet) -> Numbers {
        Numbers { changes: changes.ops.len(), lanes: self.lanes.spots.len() }
    }

    /// Follows the lanes, from where they are stored.
    fn trace<'a>(&'a self, spotted: Spotted<'a>, whereabouts: &'a Whereabouts) -> Traced<'a> {
        let numbers = self.numbers(spotted.changes);
        let state = |lane: usize| {
            RowState::new(whereabouts.order(lane).map(|order| (RowRef::Change(numbers.stored(lane)), order)))
        };
        let lanes = self.lanes.chains.iter().enumerate().map(|(lane, chain)| Lane::new(chain.clone(), state(lane)));
        let tracer = Tracer::new(spotted, numbers, &self.takers, self.givers.clone(), lanes.collect());
        tracer.run()
    }

    fn settle(
        &self,
        spotted: Spotted<'_>,
        traced: &Traced<'_>,
        memory: &RowMemory,
        put_off: &[u32],
        (kind, now_ms): (OrderKind, i64),
    ) -> Settled {
        let pairs = Pairs::of(spotted);
        let kept = put_off.iter().filter_map(|change| self.takers.get(change)?.given).collect();
        let put_off = put_off.iter().copied().collect();
        let settling = Settling {
            spotted,
            pairs: &pairs,
            traced,
            numbers: self.numbers(spotted.changes),
            spots: &self.lanes.spots,
            lane_of: &self.lanes.of,
            memory,
            is_taken: &self.is_taken,
            kept: &kept,
            put_off: &put_off,
            kind,
            now_ms,
        };
        settling.settle()
    }

    /// The changes that the commit goes without.
    ///
    /// An insert waits if the delete of its old key has not come: its row may come yet. If it has come it found no row, and there is
    /// none to come, unless that waits itself.
    fn left_out(&self, traced: &Traced<'_>, overdue: &HashSet<u32>) -> LeftOut {
        let is_open = |taker: &u32| self.takers.get(taker).filter(|taker| taker.given.is_none());
        let lacks: Vec<(&u32, &Taker, usize)> = (traced.lanes.iter().enumerate())
            .flat_map(|(lane, of)| of.lacking.open.iter().map(move |change| (change, lane)))
            .filter_map(|(change, lane)| is_open(change).map(|taker| (change, taker, lane)))
            .collect();
        let may_come = |(change, taker, _): &&(&u32, &Taker, usize)| taker.giver.is_none() && !overdue.contains(change);
        let mut lanes: BTreeSet<usize> = lacks.iter().filter(may_come).map(|(_, _, lane)| *lane).collect();
        loop {
            let gives =
                |taker: &Taker| taker.giver.is_some_and(|giver| traced.lanes[taker.lane].lacking.open.contains(&giver));
            let waits = |(_, taker, _): &&(&u32, &Taker, usize)| lanes.contains(&taker.lane) && gives(taker);
            let more: Vec<usize> = lacks.iter().filter(waits).map(|(_, _, lane)| *lane).collect();
            let before = lanes.len();
            lanes.extend(more);
            if lanes.len() == before {
                break;
            }
        }
        let mut put_off: Vec<u32> = lanes.iter().flat_map(|lane| traced.lanes[*lane].lacking.open.clone()).collect();
        put_off.sort_unstable();
        let overtaken = traced.lanes.iter().flat_map(|lane| lane.lacking.overtaken.iter().copied()).collect();
        LeftOut { put_off, overtaken }
    }
}

/// Changes that a commit goes without.
struct LeftOut {
    put_off: Vec<u32>,
    /// A later change of the commit says all of the row.
    overtaken: Vec<u32>,
}

impl LeftOut {
    fn of(&self, changes: Arc<ChangeSet>) -> Result<Arc<ChangeSet>> {
        let all: HashSet<u32> = self.put_off.iter().chain(&self.overtaken).copied().collect();
        if all.is_empty() {
            return Ok(changes);
        }
        let mut changes = changes.without(&all)?;
        changes.covered += self.overtaken.len() as u64;
        Ok(Arc::new(changes))
    }
}
