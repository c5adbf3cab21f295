//! Two and three [`Ingest`]s on the same tables, in one thread and seeded: partitions move between them while they commit, with and
//! without a drain; some learn late that a partition is gone; some die. Whatever happens: every row and every dead letter once.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hudi_writer::ingest::{Ended, Held, Ingest, IngestSettings, Outcome, TableTemplate, Triggers};
use hudi_writer::{Clock, Compute, NewTable, TableWriter, WriterSettings};

use crate::ingest_world::{Log, Message, Placed, Unsteady, Walking, assert_truth, letter, original, pause, placed};
use crate::model::Seeded;

type Place = (&'static str, i32);

/// The tables, with their topics, and whether they have a key.
const TABLES: [(&str, &str, bool); 4] =
    [("lone", "a", true), ("twin", "b", true), ("twain", "b", true), ("keyless", "c", false)];

/// What all share.
struct World {
    log: Log,
    store: Unsteady,
    clock: Arc<Walking>,
    random: RefCell<Seeded>,
    /// Who reads each partition.
    group: RefCell<BTreeMap<Place, usize>>,
    /// Nothing moves any more, and nobody dies.
    is_over: Cell<bool>,
    seed: u64,
    tally: RefCell<Tally>,
}

/// What happened, to see that something did.
#[derive(Debug, Default)]
struct Tally {
    commits: u64,
    conflicts: u64,
    covered: u64,
    failures: u64,
    reloads: u64,
    moves: u64,
    deaths: u64,
}

impl World {
    fn new(seed: u64, consumers: usize) -> Self {
        let mut random = Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut log = Log::default();
        log.fill("a", 2, &[("lone", true)], 25, &mut random);
        log.fill("b", 2, &[("twin", true), ("twain", true)], 25, &mut random);
        log.fill("c", 2, &[("keyless", false)], 15, &mut random);
        let group = log.0.keys().map(|place| (*place, random.below(consumers as u64) as usize)).collect();
        let store = Unsteady::new(seed, 3);
        store.loses_answers.store(seed.is_multiple_of(4), std::sync::atomic::Ordering::SeqCst);
        Self {
            log,
            store,
            clock: Arc::default(),
            random: RefCell::new(random),
            group: RefCell::new(group),
            is_over: Cell::new(false),
            seed,
            tally: RefCell::default(),
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    /// With a name of its own for each table, nothing but the lease stands between consumers; with one for all, a lock of the process.
    fn template(&self, table: &str, topic: &str, keyed: bool, consumer: usize) -> TableTemplate {
        let name = if self.seed.is_multiple_of(2) { consumer } else { 0 };
        let settings = WriterSettings { keyless_partitions: true, ..WriterSettings::default() };
        let url = format!("memory:///ingest/{}/{table}/{name}", self.seed);
        let builder = TableWriter::builder(url).store(Arc::new(self.store.clone()), table).settings(settings);
        let builder = builder.clock(self.clock.clone()).compute(Compute::inline());
        TableTemplate::new(builder, NewTable::new(table, keyed.then_some("id"))).topic(topic)
    }

    fn ingest(&self, consumer: usize) -> Ingest {
        let triggers = Triggers { rows: 6, age_ms: 3_000, ..Triggers::default() };
        let settings = IngestSettings { triggers, checkpoint_messages: 5, rest_ms: 50, ..IngestSettings::default() };
        let mut ingest = Ingest::new(settings, self.clock.clone()).unwrap();
        for (table, topic, keyed) in TABLES {
            ingest.add_table(table, self.template(table, topic, keyed, consumer)).unwrap();
        }
        ingest
    }
}

/// One consumer: its ingest, decoders that hold rows back, and how far it read.
struct Consumer<'a> {
    world: &'a World,
    number: usize,
    ingest: Ingest,
    decoders: BTreeMap<&'static str, Vec<Placed>>,
    read: BTreeMap<Place, i64>,
}

impl<'a> Consumer<'a> {
    fn new(world: &'a World, number: usize) -> Self {
        Self { world, number, ingest: world.ingest(number), decoders: BTreeMap::new(), read: BTreeMap::new() }
    }

    async fn live(mut self, steps: usize) {
        for _ in 0..steps {
            self.follow_the_group().await;
            match self.world.below(40) {
                0 => self.die(),
                1 => self.move_something(),
                2..=25 => self.read_some(),
                26..=32 => self.start(),
                _ => self.go_on().await,
            }
            pause(1).await;
        }
        self.world.is_over.set(true);
        while !self.has_all() {
            self.follow_the_group().await;
            self.read_some();
            self.flush_all();
            self.ingest.drain_all();
            for outcome in self.ingest.commit_due().await {
                self.hear(&outcome);
            }
            self.reread();
            self.world.clock.advance(20_000);
        }
        self.count();
    }

    /// All that it reads is in the tables.
    fn has_all(&self) -> bool {
        let group = self.world.group.borrow();
        let own = group.iter().filter(|(_, owner)| **owner == self.number);
        own.map(|(place, _)| place).all(|(topic, partition)| {
            let end = self.world.log.0[&(*topic, *partition)].len() as i64;
            self.read.get(&(*topic, *partition)) == Some(&end)
                && self.ingest.reloads().is_empty()
                && self.ingest.report().iter().all(|report| report.uncommitted_rows == 0)
        }) && self.ingest.report().iter().all(|report| report.uncommitted_bytes == 0)
    }

    /// Takes partitions that came to it; gives those away that went, unless it does not know yet.
    async fn follow_the_group(&mut self) {
        let owned: BTreeSet<Place> = {
            let group = self.world.group.borrow();
            group.iter().filter(|(_, owner)| **owner == self.number).map(|(place, _)| *place).collect()
        };
        let gone: Vec<Place> = self.read.keys().filter(|place| !owned.contains(*place)).copied().collect();
        let knows = self.world.is_over.get() || self.world.below(4) == 0;
        for place in gone.into_iter().filter(|_| knows) {
            self.give_away(place).await;
        }
        let new: Vec<Place> = owned.into_iter().filter(|place| !self.read.contains_key(place)).collect();
        if !new.is_empty() {
            for outcome in self.ingest.open().await {
                self.hear(&outcome);
            }
        }
        for place in new {
            // One that could not be opened says nothing: the others do, or it is read from its beginning.
            let next = self.ingest.start_offset(place.0, place.1).unwrap_or(0);
            self.begin(place, next + self.too_far(place));
        }
    }

    /// Somebody may be told a place too far: the tables notice, if they know the partition.
    fn too_far(&self, place: Place) -> i64 {
        let own = TABLES.iter().filter(|(_, topic, _)| *topic == place.0);
        let mut known = own.map(|(table, _, _)| self.ingest.position(table, place.0, place.1));
        match known.all(|known| known.is_some()) && self.world.below(4) == 0 {
            true => self.world.below(4) as i64,
            false => 0,
        }
    }

    async fn give_away(&mut self, place: Place) {
        if self.world.below(2) == 0 {
            self.flush_all();
            self.ingest.drain(&[hudi_writer::ingest::TopicPartition::new(place.0, place.1)]);
            for outcome in self.ingest.commit_due().await {
                self.hear(&outcome);
            }
        }
        self.ingest.release(place.0, place.1);
        self.read.remove(&place);
    }

    fn begin(&mut self, place: Place, next: i64) {
        self.flush_all();
        self.ingest.assign(place.0, place.1, next);
        self.read.insert(place, next);
    }

    fn reread(&mut self) {
        for position in self.ingest.reloads() {
            let place = self
                .world
                .log
                .0
                .keys()
                .find(|place| (place.0, place.1) == (&*position.place.topic, position.place.partition));
            self.begin(*place.unwrap(), position.next.unwrap_or(0));
        }
    }

    fn read_some(&mut self) {
        let flow = self.ingest.flow();
        assert_eq!(flow.pause, vec![]);
        for (topic, partition) in self.read.keys().copied().collect::<Vec<_>>() {
            for _ in 0..self.world.below(5) {
                self.read_one(topic, partition);
            }
        }
    }

    fn read_one(&mut self, topic: &'static str, partition: i32) {
        let offset = self.read[&(topic, partition)];
        let Some(message) = self.world.log.0[&(topic, partition)].get(offset as usize) else { return };
        match message {
            Message::Change(table, _) | Message::Bad(table) if !self.ingest.wants(table, topic, partition, offset) => {}
            Message::Change(table, change) => {
                self.decoders.entry(table).or_default().push((partition, offset, change.clone()));
                self.hold(table);
                if self.world.below(4) == 0 {
                    self.flush(table);
                }
            }
            Message::Bad(table) => self.ingest.dead_letter(table, letter(topic, partition, offset)).unwrap(),
            Message::Skip => {}
        }
        self.ingest.advance(topic, partition, offset + 1);
        self.read.insert((topic, partition), offset + 1);
    }

    fn hold(&mut self, table: &str) {
        let rows = self.decoders.get(table).map_or(0, Vec::len);
        self.ingest.hold(table, Held { rows, bytes: rows * 100 }).unwrap();
    }

    fn flush(&mut self, table: &str) {
        let rows = self.decoders.get_mut(table).map(std::mem::take).unwrap_or_default();
        self.hold(table);
        if rows.is_empty() {
            return;
        }
        let topic = TABLES.iter().find(|(of, _, _)| *of == table).unwrap().1;
        let originals: Vec<_> =
            rows.iter().map(|(partition, offset, _)| original(topic, *partition, *offset)).collect();
        self.ingest.take(table, placed(topic, &rows), originals).unwrap();
    }

    fn flush_all(&mut self) {
        TABLES.iter().for_each(|(table, _, _)| self.flush(table));
    }

    fn start(&mut self) {
        for due in self.ingest.due() {
            self.flush(&due.table);
        }
        self.ingest.start();
    }

    /// Waits for a commit, but not for long.
    async fn go_on(&mut self) {
        for _ in 0..self.world.below(60) {
            // Dropped half-way, nothing is lost.
            let polled = futures::poll!(std::pin::pin!(self.ingest.next()));
            if let std::task::Poll::Ready(Some(outcome)) = polled {
                self.hear(&outcome);
            }
            pause(1).await;
        }
        self.reread();
    }

    fn hear(&mut self, outcome: &Outcome) {
        let mut tally = self.world.tally.borrow_mut();
        match &outcome.ended {
            Ended::Committed { .. } => tally.commits += 1,
            Ended::Failed { error, retry_at_ms } => {
                assert!(retry_at_ms.is_some(), "seed {}: {}: {error}", self.world.seed, outcome.table);
                tally.failures += 1;
            }
            Ended::Nothing | Ended::Unfounded(_) | Ended::Reload => {}
        }
    }

    fn count(&self) {
        let mut tally = self.world.tally.borrow_mut();
        for report in self.ingest.report() {
            tally.reloads += report.counters.reloads;
            tally.conflicts += report.counters.conflicts;
            tally.covered += report.counters.covered;
        }
    }

    fn die(&mut self) {
        if self.world.is_over.get() {
            return;
        }
        self.count();
        self.world.tally.borrow_mut().deaths += 1;
        *self = Self::new(self.world, self.number);
    }

    fn move_something(&self) {
        if self.world.is_over.get() {
            return;
        }
        let mut group = self.world.group.borrow_mut();
        let at = self.world.below(group.len() as u64) as usize;
        let to = self.world.below(consumers(self.world.seed) as u64) as usize;
        *group.values_mut().nth(at).unwrap() = to;
        self.world.tally.borrow_mut().moves += 1;
    }
}

/// Two or three.
const fn consumers(seed: u64) -> usize {
    2 + (seed / 2 % 2) as usize
}

async fn race(seed: u64, sum: &mut Tally) {
    let world = World::new(seed, consumers(seed));
    let lives = (0..consumers(seed)).map(|number| Consumer::new(&world, number).live(60));
    futures::future::join_all(lives).await;
    world.clock.advance(120_000);
    for (table, topic, keyed) in TABLES {
        // What the dead left is rolled back.
        world.store.loses_answers.store(false, std::sync::atomic::Ordering::SeqCst);
        let _ = world.template(table, topic, keyed, 9).builder.open().await.unwrap();
        assert_truth(&world.store.inner, table, &world.log).await;
    }
    let tally = world.tally.into_inner();
    sum.commits += tally.commits;
    sum.conflicts += tally.conflicts;
    sum.covered += tally.covered;
    sum.failures += tally.failures;
    sum.reloads += tally.reloads;
    sum.moves += tally.moves;
    sum.deaths += tally.deaths;
}

#[tokio::test]
async fn several_ingests_write_every_row_and_every_dead_letter_once() {
    let mut sum = Tally::default();
    // More of them, or others, by hand.
    let number = |name: &str, usually| std::env::var(name).map_or(usually, |text| text.parse().unwrap());
    let (first, seeds) = (number("INGEST_FIRST", 0), number("INGEST_SEEDS", 50));
    let begun = hudi_writer::SystemClock.now_ms();
    for seed in first..first + seeds {
        println!("seed {seed}");
        race(seed, &mut sum).await;
    }
    println!("{seeds} schedules in {} ms: {sum:?}", hudi_writer::SystemClock.now_ms() - begun);
    assert!(
        sum.conflicts.min(sum.covered).min(sum.failures).min(sum.reloads).min(sum.deaths) > 0,
        "nothing happened: {sum:?}"
    );
}
