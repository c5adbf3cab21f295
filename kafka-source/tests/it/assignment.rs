//! The assignment against a model of its surroundings: a client library that asks, tables that commit, messages that come whether
//! they should or not. All short stories, and long ones by seed.

use std::collections::{BTreeMap, BTreeSet};

use kafka_source::TopicPartition;
use kafka_source::assignment::{Action, Assignment};

const PARTITIONS: i32 = 3;
const BUDGET_BYTES: u64 = 100;

/// What can happen. Partitions are given as a set of bits.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The group gives these to us.
    Assign(u8),
    /// The tables' checkpoints say where.
    Begin,
    /// A message comes, so far from where the partition is.
    Message {
        partition: i32,
        ahead: i64,
        bytes: u64,
    },
    /// The tables commit all of a partition, but the last few messages.
    Commit {
        partition: i32,
        but: i64,
    },
    /// The group wants these back.
    Revoke(u8),
    /// These are lost.
    Lose(u8),
    /// What is drained will not be written by us.
    GiveUp,
    FetchAnew,
    /// Where a partition goes on is gone.
    Refuse(i32),
}

#[derive(Debug, PartialEq)]
enum Asked {
    Assigned,
    Revoked { places: Vec<TopicPartition>, drain: bool },
}

/// What the model knows of a partition that is ours.
struct Ours {
    next: i64,
    told: i64,
    draining: bool,
    refused: bool,
}

impl Ours {
    fn is_read(&self) -> bool {
        !self.draining && !self.refused
    }
}

struct World {
    assignment: Assignment,
    asked: Option<Asked>,
    waiting: Vec<TopicPartition>,
    /// Of those that wait.
    refused: BTreeSet<TopicPartition>,
    ours: BTreeMap<TopicPartition, Ours>,
    /// Where the tables are, whoever wrote them.
    tables: BTreeMap<TopicPartition, i64>,
    paused: bool,
    story: Vec<Step>,
}

fn place(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn places(bits: u8) -> Vec<TopicPartition> {
    (0..PARTITIONS).filter(|partition| bits >> partition & 1 == 1).map(place).collect()
}

impl World {
    fn new() -> Self {
        Self {
            assignment: Assignment::new(BUDGET_BYTES),
            asked: None,
            waiting: vec![],
            refused: BTreeSet::new(),
            ours: BTreeMap::new(),
            tables: (0..PARTITIONS).map(|p| (place(p), 10)).collect(),
            paused: false,
            story: vec![],
        }
    }

    fn step(&mut self, step: Step) {
        self.story.push(step);
        match step {
            Step::Assign(bits) => self.assign(bits),
            Step::Begin => self.begin(),
            Step::Message { partition, ahead, bytes } => self.message(&place(partition), ahead, bytes),
            Step::Commit { partition, but } => self.commit(&place(partition), but),
            Step::Revoke(bits) => self.revoke(bits),
            Step::Lose(bits) => self.lose(bits),
            Step::GiveUp => self.give_up(),
            Step::FetchAnew => {
                let actions = self.assignment.fetch_anew();
                self.act(actions);
            }
            Step::Refuse(partition) => self.refuse(&place(partition)),
        }
        self.check();
    }

    fn assign(&mut self, bits: u8) {
        if self.asked.is_some() {
            return;
        }
        let new: Vec<_> = places(bits).into_iter().filter(|p| !self.ours.contains_key(p)).collect();
        self.asked = Some(Asked::Assigned);
        self.waiting.clone_from(&new);
        self.refused.clear();
        let actions = self.assignment.assigned(new);
        self.act(actions);
    }

    fn begin(&mut self) {
        let starts = self.tables.clone();
        assert_eq!(self.assignment.waiting(), self.waiting, "{:?}", self.story);
        let actions = self.assignment.begin(&starts);
        self.act(actions);
    }

    fn refuse(&mut self, place: &TopicPartition) {
        let action = self.assignment.refuse(std::slice::from_ref(place));
        if self.waiting.contains(place) {
            self.refused.insert(place.clone());
        }
        let read = self.ours.get_mut(place).filter(|ours| ours.is_read());
        let pause = read.map(|ours| {
            ours.refused = true;
            Action::Pause(vec![place.clone()])
        });
        assert_eq!(action, pause, "{:?}", self.story);
    }

    fn message(&mut self, place: &TopicPartition, ahead: i64, bytes: u64) {
        let ours = self.ours.get_mut(place).filter(|ours| ours.is_read());
        let offset = ours.as_ref().map_or(self.tables[place], |ours| ours.next) + ahead;
        let taken = self.assignment.take(&place.topic, place.partition, offset, bytes);
        let expect = ours.as_ref().is_some_and(|ours| offset >= ours.next);
        assert_eq!(taken, expect, "offset {offset} of {place}: {:?}", self.story);
        if let Some(ours) = ours.filter(|_| taken) {
            ours.next = offset + 1;
        }
        let actions = self.assignment.balance();
        self.act(actions);
    }

    /// The tables go on with what we handed on, or with what another consumer did: theirs is never taken back.
    fn commit(&mut self, place: &TopicPartition, but: i64) {
        let next = self.ours.get(place).map_or(self.tables[place] + 5, |ours| ours.next) - but;
        let table = self.tables.get_mut(place).unwrap();
        *table = next.max(*table);
        let tables = self.tables.clone();
        let actions = self.assignment.committed(|place| tables.get(place).copied());
        self.act(actions);
    }

    fn revoke(&mut self, bits: u8) {
        if self.asked.is_some() {
            return;
        }
        let places: Vec<_> = places(bits).into_iter().filter(|p| self.ours.contains_key(p)).collect();
        for place in &places {
            self.ours.get_mut(place).unwrap().draining = true;
        }
        self.asked = Some(Asked::Revoked { places: places.clone(), drain: true });
        let actions = self.assignment.revoked(places);
        self.act(actions);
    }

    fn lose(&mut self, bits: u8) {
        if self.asked.is_some() {
            return;
        }
        let places: Vec<_> = places(bits).into_iter().filter(|p| self.ours.contains_key(p)).collect();
        self.asked = Some(Asked::Revoked { places: places.clone(), drain: false });
        let actions = self.assignment.lost(places);
        self.act(actions);
    }

    fn give_up(&mut self) {
        if let Some(Asked::Revoked { drain, .. }) = &mut self.asked {
            *drain = false;
        }
        let actions = self.assignment.give_up();
        self.act(actions);
    }

    fn act(&mut self, actions: impl IntoIterator<Item = Action>) {
        for action in actions {
            match action {
                Action::Assign(starts) => self.assigned(starts),
                Action::Reassign(starts) => {
                    let reading = self.ours.iter().filter(|(_, ours)| ours.is_read());
                    let wanted: Vec<_> = reading.map(|(place, ours)| (place.clone(), ours.next)).collect();
                    assert_eq!(starts, wanted, "{:?}", self.story);
                    self.paused = false;
                }
                Action::Unassign(places) => self.unassigned(&places),
                Action::Commit(offsets) => offsets.into_iter().for_each(|(place, offset)| self.told(&place, offset)),
                Action::Pause(places) => {
                    assert!(!places.is_empty());
                    assert!(places.iter().all(|p| self.ours.contains_key(p)), "{:?}", self.story);
                    self.paused = true;
                }
                Action::Resume(places) => {
                    assert!(self.paused, "{:?}", self.story);
                    let reading: Vec<_> =
                        self.ours.iter().filter(|(_, o)| o.is_read()).map(|(p, _)| p.clone()).collect();
                    assert_eq!(places, reading, "{:?}", self.story);
                    self.paused = false;
                }
            }
        }
    }

    /// Every question is answered once, with all that it named.
    fn assigned(&mut self, starts: Vec<(TopicPartition, i64)>) {
        assert_eq!(self.asked.take(), Some(Asked::Assigned), "{:?}", self.story);
        let named: Vec<_> = starts.iter().map(|(place, _)| place.clone()).collect();
        assert_eq!(named, std::mem::take(&mut self.waiting), "{:?}", self.story);
        for (place, at) in starts {
            assert_eq!(at, self.tables[&place]);
            let refused = self.refused.contains(&place);
            self.ours.insert(place, Ours { next: at, told: at, draining: false, refused });
        }
    }

    fn unassigned(&mut self, places: &[TopicPartition]) {
        let Some(Asked::Revoked { places: named, drain }) = self.asked.take() else {
            panic!("nothing was asked back: {:?}", self.story)
        };
        assert_eq!(places, named, "{:?}", self.story);
        for place in places {
            let ours = self.ours.remove(place).unwrap();
            assert!(!drain || self.tables[place] >= ours.next, "{place} was not drained: {:?}", self.story);
        }
    }

    /// The group is told only what the tables have, of what we handed on, and each time more.
    fn told(&mut self, place: &TopicPartition, offset: i64) {
        let ours = self.ours.get_mut(place).unwrap();
        assert!(offset > ours.told && offset <= ours.next && offset <= self.tables[place], "{:?}", self.story);
        ours.told = offset;
    }

    fn check(&self) {
        let held: BTreeSet<_> = self.ours.keys().chain(&self.waiting).cloned().collect();
        assert_eq!(self.assignment.held(), held, "{:?}", self.story);
        let in_flight =
            |(place, ours): (&TopicPartition, &Ours)| ours.told < ours.next && self.tables[place] < ours.next;
        let any = self.ours.iter().any(in_flight);
        assert!(any || self.assignment.in_flight_bytes() == 0, "{:?}", self.story);
        assert!(self.asked.is_none() || self.assignment.is_draining() || !self.waiting.is_empty(), "{:?}", self.story);
    }

    /// Whatever came before: once the tables have everything, nothing waits and nothing is paused.
    fn end(mut self) {
        self.step(Step::Begin);
        for partition in 0..PARTITIONS {
            self.step(Step::Commit { partition, but: 0 });
        }
        assert_eq!(self.asked, None, "a question stays open: {:?}", self.story);
        assert_eq!(self.assignment.draining(), []);
        assert_eq!(self.assignment.in_flight_bytes(), 0, "{:?}", self.story);
        assert!(!self.assignment.is_paused(), "{:?}", self.story);
    }
}

#[test]
fn every_short_story_ends_well() {
    let steps = [
        Step::Assign(0b11),
        Step::Assign(0b10),
        Step::Begin,
        Step::Message { partition: 0, ahead: 0, bytes: 60 },
        Step::Message { partition: 1, ahead: 2, bytes: 60 },
        Step::Commit { partition: 0, but: 0 },
        Step::Revoke(0b01),
        Step::Revoke(0b11),
        Step::Lose(0b11),
        Step::GiveUp,
        Step::FetchAnew,
        Step::Refuse(0),
    ];
    for story in 0..steps.len().pow(5) {
        // Nothing happens before an assignment.
        let mut world = World::new();
        world.step(Step::Assign(0b01));
        world.step(Step::Begin);
        let mut rest = story;
        for _ in 0..5 {
            world.step(steps[rest % steps.len()]);
            rest /= steps.len();
        }
        world.end();
    }
}

/// Numbers that a seed gives.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn step(&mut self) -> Step {
        let bits = u8::try_from(self.roll(8)).unwrap();
        let partition = i32::try_from(self.roll(3)).unwrap();
        match self.roll(22) {
            0 | 1 => Step::Assign(bits),
            2 | 3 => Step::Begin,
            4..=11 => {
                Step::Message { partition, ahead: i64::try_from(self.roll(6)).unwrap() - 2, bytes: self.roll(60) }
            }
            12..=15 => Step::Commit { partition, but: i64::try_from(self.roll(3)).unwrap() },
            16 | 17 => Step::Revoke(bits),
            18 => Step::Lose(bits),
            19 => Step::FetchAnew,
            20 => Step::Refuse(partition),
            _ => Step::GiveUp,
        }
    }
}

#[test]
fn long_stories_end_well() {
    for seed in 1..=2000_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut world = World::new();
        for _ in 0..100 {
            world.step(dice.step());
        }
        world.end();
    }
}

#[test]
fn a_partition_that_is_held_back_rests_whatever_else_goes_on() {
    let mut assignment = Assignment::new(BUDGET_BYTES);
    let _ = assignment.assigned(places(0b111));
    assert_eq!(assignment.hold_back(&[place(2)]), None);
    let starts = (0..3).map(|partition| (place(partition), 0)).collect();
    let actions = assignment.begin(&starts);
    assert_eq!(actions[1..], [Action::Pause(vec![place(2)])]);
    assert_eq!(assignment.hold_back(&[place(1), place(7)]), Some(Action::Pause(vec![place(1)])));
    // All rest, and those that may go on do.
    assert!(assignment.take("t", 0, 0, BUDGET_BYTES + 1));
    assert_eq!(assignment.balance(), Some(Action::Pause(places(0b111))));
    assert_eq!(assignment.let_go(&[place(2)]), None);
    let done = assignment.committed(|of| (of.partition == 0).then_some(1));
    assert_eq!(done[1..], [Action::Resume(vec![place(0), place(2)])]);
    assert_eq!(assignment.let_go(&[place(1)]), Some(Action::Resume(vec![place(1)])));
}

#[test]
fn a_partition_that_is_refused_rests_until_it_is_assigned_anew() {
    let mut assignment = Assignment::new(BUDGET_BYTES);
    let _ = assignment.assigned(places(0b11));
    assert_eq!(assignment.refuse(&[place(1)]), None);
    let starts = (0..2).map(|partition| (place(partition), 5)).collect();
    let actions = assignment.begin(&starts);
    assert_eq!(actions[0], Action::Assign(vec![(place(0), 5), (place(1), 5)]), "all are answered for");
    assert_eq!(actions[1..], [Action::Pause(vec![place(1)])]);
    assert!(assignment.take("t", 0, 5, 1) && !assignment.take("t", 1, 5, 1));
    // What was taken before may still be committed.
    assert_eq!(assignment.refuse(&[place(0)]), Some(Action::Pause(vec![place(0)])));
    assert!(!assignment.take("t", 0, 6, 1));
    assert_eq!(assignment.let_go(&places(0b11)), None);
    assert_eq!(assignment.committed(|_| Some(6)), [Action::Commit(vec![(place(0), 6)])]);
    assert_eq!(assignment.fetch_anew(), []);
    assert_eq!(assignment.revoked(places(0b11)), [Action::Unassign(places(0b11))]);
    let _ = assignment.assigned(places(0b10));
    let _ = assignment.begin(&starts_at(5));
    assert!(assignment.take("t", 1, 5, 1));
}

fn starts_at(offset: i64) -> BTreeMap<TopicPartition, i64> {
    (0..PARTITIONS).map(|partition| (place(partition), offset)).collect()
}

#[test]
fn a_partition_that_is_read_again_hands_on_again_what_it_did() {
    let mut assignment = Assignment::new(1 << 20);
    let _ = assignment.assigned(places(0b1));
    let _ = assignment.begin(&BTreeMap::from([(place(0), 5)]));
    for offset in 5..8 {
        assert!(assignment.take("t", 0, offset, 100_000));
    }
    assert!(assignment.go_back(&place(0), 6) && !assignment.go_back(&place(1), 6));
    assert_eq!((assignment.in_flight_bytes(), assignment.next_offset(&place(0))), (100_000, Some(6)));
    assert!(!assignment.take("t", 0, 5, 1) && assignment.take("t", 0, 6, 100_000));
    assert_eq!(assignment.committed(|_| Some(7)), [Action::Commit(vec![(place(0), 7)])]);
    assert_eq!(assignment.in_flight_bytes(), 0);
}

#[test]
fn what_is_taken_is_bounded_and_freed_by_commits() {
    let mut world = World::new();
    world.step(Step::Assign(0b11));
    world.step(Step::Begin);
    world.step(Step::Message { partition: 0, ahead: 0, bytes: 60 });
    assert!(!world.paused);
    world.step(Step::Message { partition: 1, ahead: 0, bytes: 60 });
    assert!(world.paused);
    world.step(Step::Assign(0b100));
    world.step(Step::Begin);
    assert!(world.paused, "a partition that is added meanwhile is paused too");
    world.step(Step::Commit { partition: 0, but: 0 });
    assert!(world.paused, "half of the budget has to be free");
    world.step(Step::Commit { partition: 1, but: 0 });
    assert!(!world.paused);
}

#[test]
fn many_small_messages_are_freed_as_they_are_committed() {
    let mut assignment = Assignment::new(1 << 20);
    let _ = assignment.assigned(vec![place(0)]);
    let _ = assignment.begin(&BTreeMap::from([(place(0), 0)]));
    for offset in 0..10_000 {
        assert!(assignment.take("t", 0, offset, 100));
    }
    assert_eq!(assignment.in_flight_bytes(), 1_000_000);
    let _ = assignment.committed(|_| Some(5_000));
    let left = assignment.in_flight_bytes();
    assert!((500_000..=570_000).contains(&left), "{left} bytes for half of the messages");
    let _ = assignment.committed(|_| Some(10_000));
    assert_eq!(assignment.in_flight_bytes(), 0);
}

#[test]
fn a_skip_leaves_nothing_in_flight_that_nobody_can_commit() {
    let mut assignment = Assignment::new(1 << 20);
    let _ = assignment.assigned(vec![place(0)]);
    let _ = assignment.begin(&BTreeMap::from([(place(0), 5)]));
    assignment.skip_to(&place(0), 9);
    assert_eq!(assignment.next_offset(&place(0)), Some(9));
    assert!(!assignment.take("t", 0, 8, 1));
    assert_eq!(assignment.revoked(vec![place(0)]), [Action::Unassign(vec![place(0)])]);
}
