//! [`Assignment`]: which partitions are ours, what of them is in flight, and what a rebalance does to that.
//!
//! ```text
//!   assigned ─► waiting ── begin(offset) ─► reading ── revoked ─► draining ── committed, or given up ─► gone
//!                                              │                     │
//!                                              └──────── lost ───────┴─► gone at once, what was taken with it
//! ```
//!
//! Waiting or reading, a partition may be refused: it stays ours and rests, until it is assigned anew.
//!
//! The rule: *drain what was taken, commit, give up; a lost partition is fenced, not drained.* The broker waits for the answer to an
//! assignment or a revocation, one at a time; a client library that asks is answered by [`Action::Assign`] or [`Action::Unassign`],
//! with all that it named. Only a partition that is being read hands messages on, each offset once and rising.
//!
//! Beside it, back-pressure: what was handed on and is not committed counts against a budget in bytes. Above it all partitions are
//! paused, below half of it they go on. Partitions may be held back besides, one by one.
//!
//! A pure state machine: events in, actions out. No broker, no clock. Where a partition begins is not decided here
//! ([`crate::offsets`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::partition::TopicPartition;

/// Commits free what was taken in pieces of about this size.
const PIECE_BYTES: u64 = 64 * 1024;

/// What the client library is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Answer to an assignment: fetch these, each from its offset.
    Assign(Vec<(TopicPartition, i64)>),
    /// Fetch these, which are all that are being read, anew: each from its offset.
    Reassign(Vec<(TopicPartition, i64)>),
    /// Answer to a revocation: fetch these no longer.
    Unassign(Vec<TopicPartition>),
    /// Tell the group how far the tables are: a courtesy to monitors.
    Commit(Vec<(TopicPartition, i64)>),
    /// Fetch nothing of these for now.
    Pause(Vec<TopicPartition>),
    /// Fetch these again.
    Resume(Vec<TopicPartition>),
}

/// What the client library waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Reading,
    Refused,
    Draining,
}

#[derive(Debug)]
struct Held {
    state: State,
    /// The next offset to hand on: all below were handed on, or will never be.
    next: i64,
    /// The tables have everything below.
    committed: i64,
    /// What was handed on and not committed: up to which offset, how many bytes.
    taken: VecDeque<(i64, u64)>,
}

impl Held {
    const fn waiting() -> Self {
        Self { state: State::Waiting, next: 0, committed: 0, taken: VecDeque::new() }
    }

    fn is_in_flight(&self) -> bool {
        self.committed < self.next
    }

    fn is_draining(&self) -> bool {
        self.state == State::Draining && self.is_in_flight()
    }

    fn take(&mut self, offset: i64, bytes: u64) {
        self.next = offset + 1;
        match self.taken.back_mut() {
            Some((up_to, piece)) if *piece < PIECE_BYTES => (*up_to, *piece) = (offset, *piece + bytes),
            _ => self.taken.push_back((offset, bytes)),
        }
    }

    /// Whether it is news that the tables have everything below `covered`.
    fn commit(&mut self, covered: i64) -> bool {
        // A table may be further than we are: another consumer reads on where we were too slow.
        let covered = covered.min(self.next);
        let news = covered > self.committed && self.state != State::Waiting;
        if news {
            self.committed = covered;
            while self.taken.front().is_some_and(|(up_to, _)| *up_to < covered) {
                self.taken.pop_front();
            }
        }
        news
    }

    fn in_flight_bytes(&self) -> u64 {
        self.taken.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// The partitions of one consumer in its group.
#[derive(Debug)]
pub struct Assignment {
    held: BTreeMap<Arc<str>, BTreeMap<i32, Held>>,
    asked: Option<Asked>,
    budget_bytes: u64,
    in_flight_bytes: u64,
    paused: bool,
    /// Rest whatever is in flight.
    held_back: BTreeSet<TopicPartition>,
}

impl Assignment {
    /// No partition yet; at most about `budget_bytes` in flight.
    #[must_use]
    pub fn new(budget_bytes: u64) -> Self {
        Self {
            held: BTreeMap::new(),
            asked: None,
            budget_bytes,
            in_flight_bytes: 0,
            paused: false,
            held_back: BTreeSet::new(),
        }
    }

    /// These become ours, once [`begin`](Self::begin) says where. An eager group names all that are ours, a cooperative one only those
    /// that were added; nothing that is named was being read.
    pub fn assigned(&mut self, partitions: Vec<TopicPartition>) -> Vec<Action> {
        self.forget_question();
        for place in &partitions {
            self.held_back.remove(place);
            self.held.entry(Arc::clone(&place.topic)).or_default().insert(place.partition, Held::waiting());
        }
        self.count();
        if partitions.is_empty() {
            return vec![Action::Assign(partitions.into_iter().map(|place| (place, 0)).collect())];
        }
        self.asked = Some(Asked::Assigned(partitions));
        vec![]
    }

    /// The partitions that [`begin`](Self::begin) is to give an offset.
    #[must_use]
    pub fn waiting(&self) -> &[TopicPartition] {
        match &self.asked {
            Some(Asked::Assigned(partitions)) => partitions,
            _ => &[],
        }
    }

    /// The assigned partitions begin here; those that were [refused](Self::refuse) rest there. Nothing happens unless all that wait are
    /// named: they are answered for together.
    pub fn begin(&mut self, starts: &BTreeMap<TopicPartition, i64>) -> Vec<Action> {
        let Some(Asked::Assigned(partitions)) = &self.asked else { return vec![] };
        let at: Option<Vec<_>> = partitions.iter().map(|p| Some((p.clone(), *starts.get(p)?))).collect();
        let Some(at) = at else { return vec![] };
        self.asked = None;
        for (place, offset) in &at {
            if let Some(held) = self.get_mut(&place.topic, place.partition).filter(|held| held.state != State::Refused)
            {
                *held = Held { state: State::Reading, next: *offset, committed: *offset, taken: VecDeque::new() };
            }
        }
        let is_refused = |place: &TopicPartition| self.next_offset(place).is_none();
        let rests = |place: &TopicPartition| self.paused || self.held_back.contains(place) || is_refused(place);
        let places: Vec<_> = at.iter().map(|(place, _)| place.clone()).filter(rests).collect();
        let pause = Some(Action::Pause(places)).filter(|action| *action != Action::Pause(vec![]));
        [Action::Assign(at)].into_iter().chain(pause).collect()
    }

    /// These are read no further, for where they go on is gone. What was taken of them may still be committed. They stay so until
    /// they are assigned anew.
    pub fn refuse(&mut self, places: &[TopicPartition]) -> Option<Action> {
        let read = self.of_reading(places);
        for place in places {
            if let Some(held) = self.get_mut(&place.topic, place.partition).filter(|held| held.state != State::Draining)
            {
                held.state = State::Refused;
            }
        }
        read.map(Action::Pause)
    }

    /// These are asked back. Those of which nothing is in flight are given up at once, the others are drained first: see
    /// [`draining`](Self::draining).
    pub fn revoked(&mut self, partitions: Vec<TopicPartition>) -> Vec<Action> {
        self.forget_question();
        for place in &partitions {
            if let Some(held) = self.get_mut(&place.topic, place.partition) {
                held.state = if held.is_in_flight() { State::Draining } else { State::Waiting };
            }
        }
        self.asked = Some(Asked::Revoked(partitions));
        self.end_drain(false)
    }

    /// These are lost: another consumer may read them already. What was taken of them must not be written.
    pub fn lost(&mut self, partitions: Vec<TopicPartition>) -> Vec<Action> {
        self.forget_question();
        self.drop_all(&partitions);
        let mut actions = vec![Action::Unassign(partitions)];
        actions.extend(self.balance());
        actions
    }

    /// What was taken of these has to be committed, or given up, before they can go.
    #[must_use]
    pub fn draining(&self) -> Vec<TopicPartition> {
        self.places(Held::is_draining).collect()
    }

    /// Whether a revocation waits for its drain.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        matches!(self.asked, Some(Asked::Revoked(_)))
    }

    /// What is still in flight of the partitions that are drained will not be written by us: they go as they are. Their next owner
    /// reads it again.
    pub fn give_up(&mut self) -> Vec<Action> {
        self.end_drain(true)
    }

    /// Whether a message may be handed on. One that is counts as in flight.
    pub fn take(&mut self, topic: &str, partition: i32, offset: i64, bytes: u64) -> bool {
        let Some(held) = self.get_mut(topic, partition) else { return false };
        if held.state != State::Reading || offset < held.next {
            return false;
        }
        held.take(offset, bytes);
        self.in_flight_bytes += bytes;
        true
    }

    /// The tables' commits cover, of every partition, what is below `covered` of it.
    pub fn committed(&mut self, covered: impl Fn(&TopicPartition) -> Option<i64>) -> Vec<Action> {
        let mut news = vec![];
        for place in self.places(|held| held.state != State::Waiting).collect::<Vec<_>>() {
            let Some(covered) = covered(&place) else { continue };
            let Some(held) = self.get_mut(&place.topic, place.partition) else { continue };
            if held.commit(covered) {
                news.push((place.clone(), held.committed));
            }
        }
        self.count();
        let mut actions: Vec<_> =
            Some(Action::Commit(news)).filter(|a| *a != Action::Commit(vec![])).into_iter().collect();
        actions.extend(self.end_drain(false));
        actions.extend(self.balance());
        actions
    }

    /// Reading goes on at the same offset or further: what is between is not there.
    pub fn skip_to(&mut self, place: &TopicPartition, offset: i64) {
        if let Some(held) = self.get_mut(&place.topic, place.partition).filter(|held| held.state == State::Reading) {
            let all_committed = !held.is_in_flight();
            held.next = held.next.max(offset);
            if all_committed {
                held.committed = held.next;
            }
        }
    }

    /// Fetches everything anew that is being read, from where it is: a client library that failed to fetch a partition does not go on
    /// with it by itself.
    #[must_use]
    pub fn fetch_anew(&self) -> Vec<Action> {
        if self.reading().next().is_none() {
            return vec![];
        }
        let at = |place: TopicPartition| Some((place.clone(), self.next_offset(&place)?));
        let rests = self.reading().filter(|place| self.paused || self.held_back.contains(place)).collect::<Vec<_>>();
        let pause = (!rests.is_empty()).then_some(Action::Pause(rests));
        [Action::Reassign(self.reading().filter_map(at).collect())].into_iter().chain(pause).collect()
    }

    /// Pauses or resumes by what is in flight.
    pub fn balance(&mut self) -> Option<Action> {
        let free = self.in_flight_bytes <= self.budget_bytes / 2;
        if self.paused && free {
            self.paused = false;
            let go_on = self.reading().filter(|place| !self.held_back.contains(place)).collect();
            return Some(Action::Resume(go_on)).filter(|action| *action != Action::Resume(vec![]));
        }
        if self.is_over() {
            self.paused = true;
            return Some(Action::Pause(self.reading().collect()));
        }
        None
    }

    /// These are read no further until they are [let go](Self::let_go).
    pub fn hold_back(&mut self, places: &[TopicPartition]) -> Option<Action> {
        self.held_back.extend(places.iter().cloned());
        self.of_reading(places).map(Action::Pause)
    }

    /// These are read on, unless too much is in flight.
    pub fn let_go(&mut self, places: &[TopicPartition]) -> Option<Action> {
        for place in places {
            self.held_back.remove(place);
        }
        self.of_reading(places).filter(|_| !self.paused).map(Action::Resume)
    }

    fn of_reading(&self, places: &[TopicPartition]) -> Option<Vec<TopicPartition>> {
        let read: Vec<_> = places.iter().filter(|place| self.next_offset(place).is_some()).cloned().collect();
        Some(read).filter(|read| !read.is_empty())
    }

    /// A partition is read again from `offset` on: what was handed on from there counts no more. Whether it is being read.
    pub fn go_back(&mut self, place: &TopicPartition, offset: i64) -> bool {
        let held = self.get_mut(&place.topic, place.partition).filter(|held| held.state == State::Reading);
        let Some(held) = held else { return false };
        held.next = offset;
        held.committed = held.committed.min(offset);
        held.taken.retain(|(up_to, _)| *up_to < offset);
        self.count();
        true
    }

    /// Whether too much is in flight, and nothing was done about it yet.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        !self.paused && self.in_flight_bytes > self.budget_bytes
    }

    /// Whether nothing is fetched because too much is in flight.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// What was handed on and is not committed, in bytes.
    #[must_use]
    pub const fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    /// The partitions that are being read.
    pub fn reading(&self) -> impl Iterator<Item = TopicPartition> {
        self.places(|held| held.state == State::Reading)
    }

    /// The next offset of a partition that is being read.
    #[must_use]
    pub fn next_offset(&self, place: &TopicPartition) -> Option<i64> {
        let held = self.held.get(&*place.topic)?.get(&place.partition)?;
        (held.state == State::Reading).then_some(held.next)
    }

    /// The library asks something new: what it asked before is settled for it.
    fn forget_question(&mut self) {
        if let Some(Asked::Assigned(partitions) | Asked::Revoked(partitions)) = self.asked.take() {
            self.drop_all(&partitions);
        }
    }

    /// Answers a revocation once nothing of it is in flight, or at once.
    fn end_drain(&mut self, at_once: bool) -> Vec<Action> {
        let waits = !at_once && self.places(Held::is_draining).next().is_some();
        let Some(Asked::Revoked(partitions)) = self.asked.take_if(|asked| !waits && matches!(asked, Asked::Revoked(_)))
        else {
            return vec![];
        };
        self.drop_all(&partitions);
        let mut actions = vec![Action::Unassign(partitions)];
        actions.extend(self.balance());
        actions
    }

    fn drop_all(&mut self, partitions: &[TopicPartition]) {
        for place in partitions {
            if let Some(held) = self.held.get_mut(&*place.topic) {
                held.remove(&place.partition);
            }
        }
        self.held.retain(|_, held| !held.is_empty());
        self.count();
    }

    fn count(&mut self) {
        self.in_flight_bytes = self.held.values().flat_map(BTreeMap::values).map(Held::in_flight_bytes).sum();
    }

    fn get_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Held> {
        self.held.get_mut(topic)?.get_mut(&partition)
    }

    fn places(&self, which: impl Fn(&Held) -> bool) -> impl Iterator<Item = TopicPartition> {
        let all = self
            .held
            .iter()
            .flat_map(|(topic, held)| held.iter().map(move |(partition, held)| (topic, partition, held)));
        all.filter(move |(_, _, held)| which(held))
            .map(|(topic, partition, _)| TopicPartition::new(Arc::clone(topic), *partition))
    }

    /// The places that are held, whatever their state.
    #[must_use]
    pub fn held(&self) -> BTreeSet<TopicPartition> {
        self.places(|_| true).collect()
    }
}
