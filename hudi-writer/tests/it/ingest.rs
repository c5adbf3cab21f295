//! One [`Ingest`]: when tables commit, what is held meanwhile, and what becomes of a table that cannot be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hudi_core::change::Op;
use hudi_writer::ingest::{
    Condition, Ended, Flow, Given, Held, Ingest, IngestSettings, Outcome, Position, TableReport, TableTemplate,
    TopicPartition, Triggers, Why,
};
use hudi_writer::{
    Attempt, Clock, CommitOutcome, Compute, Error, HeldLock, Lock, NewTable, Table, TableWriter, WriterBuilder,
    WriterSettings,
};

use crate::ingest_world::{
    Log, Message, Placed, Unsteady, Walking, assert_truth, dead_letters, letter, original, placed,
};
use crate::model::{Change, Seeded, any_original, batch};

/// A store, a clock, and an ingest of tables below the store's root.
struct Rig {
    store: Unsteady,
    clock: Arc<Walking>,
    ingest: Ingest,
    name: &'static str,
}

impl Rig {
    fn new(name: &'static str, settings: IngestSettings) -> Self {
        Self::of(name, settings, Unsteady::new(0, 0), Arc::default())
    }

    fn of(name: &'static str, settings: IngestSettings, store: Unsteady, clock: Arc<Walking>) -> Self {
        let ingest = Ingest::new(settings, clock.clone()).unwrap();
        Self { store, clock, ingest, name }
    }

    fn builder(&self, table: &str) -> WriterBuilder {
        let url = format!("memory:///ingest/{}/{table}", self.name);
        let builder = TableWriter::builder(url).store(Arc::new(self.store.clone()), table);
        builder.clock(self.clock.clone()).compute(Compute::inline())
    }

    fn template(&self, table: &str) -> TableTemplate {
        TableTemplate::new(self.builder(table), NewTable::new(table, Vec::<String>::new()))
    }

    /// Tables, each fed from the topic of its name.
    fn with(mut self, tables: &[&str]) -> Self {
        for table in tables {
            self.ingest.add_table(table, self.template(table).topic(*table)).unwrap();
        }
        self
    }

    /// Another process at the same place.
    fn another(&self) -> Self {
        Self::of(self.name, IngestSettings::default(), self.store.clone(), self.clock.clone())
    }

    /// New rows, one at each offset.
    fn take(&mut self, table: &str, topic: &str, partition: i32, offsets: std::ops::Range<i64>) {
        let rows = inserts(partition, offsets.clone());
        let originals: Vec<_> = offsets.clone().map(|offset| original(topic, partition, offset)).collect();
        self.ingest.take(table, placed(topic, &rows), originals).unwrap();
        self.ingest.advance(topic, partition, offsets.end);
    }

    fn due(&mut self) -> String {
        let due = self.ingest.due();
        due.iter().map(|due| format!("{} {:?}", due.table, due.why)).collect::<Vec<_>>().join(", ")
    }

    async fn commit(&mut self) -> String {
        told(&self.ingest.commit_due().await)
    }

    async fn drain(&mut self) -> String {
        self.ingest.drain_all();
        self.commit().await
    }

    async fn open(&self, table: &str) -> Table {
        Table::open_in(self.store.inner.clone(), table, table).await.unwrap()
    }

    /// The ids of the table's rows.
    async fn ids(&self, table: &str) -> Vec<i64> {
        crate::model::rows_of(&self.open(table).await).await.into_keys().collect()
    }

    fn report(&self, table: &str) -> TableReport {
        self.ingest.report().into_iter().find(|report| &*report.table == table).unwrap()
    }

    fn position(&self, table: &str) -> Option<i64> {
        self.ingest.position(table, table, 0)
    }
}

fn inserts(partition: i32, offsets: std::ops::Range<i64>) -> Vec<Placed> {
    let insert = |offset| Change::new(Op::Insert, i64::from(partition) * 1000 + offset, offset + 1);
    offsets.map(|offset| (partition, offset, insert(offset))).collect()
}

fn told(outcomes: &[Outcome]) -> String {
    let told = |outcome: &Outcome| match &outcome.ended {
        Ended::Committed { committed, .. } => format!("{} +{}", outcome.table, committed.inserted_rows),
        Ended::Nothing => format!("{} nothing", outcome.table),
        Ended::Unfounded(waits) => format!("{} unfounded {}", outcome.table, waits.changes),
        Ended::Reload => format!("{} reload", outcome.table),
        Ended::Failed { retry_at_ms: Some(_), .. } => format!("{} failed", outcome.table),
        Ended::Failed { error, .. } => format!("{} stopped: {error}", outcome.table),
    };
    let mut told: Vec<String> = outcomes.iter().map(told).collect();
    told.sort();
    told.join(", ")
}

fn position(topic: &str, partition: i32, next: Option<i64>) -> Position {
    Position { place: TopicPartition::new(topic, partition), next }
}

#[tokio::test]
async fn a_table_commits_by_rows_by_bytes_or_by_age() {
    let triggers = Triggers { rows: 10, bytes: 50_000, age_ms: 1_000 };
    let mut rig = Rig::new("triggers", IngestSettings { triggers, ..IngestSettings::default() }).with(&["a", "b"]);
    let own = Triggers { rows: 3, ..triggers };
    rig.ingest.add_table("c", rig.template("c").triggers(own)).unwrap();
    for table in ["a", "b", "c"] {
        rig.take(table, table, 0, 0..2);
    }
    assert_eq!((rig.due().as_str(), rig.commit().await.as_str()), ("", ""));
    rig.take("c", "c", 0, 2..3);
    assert_eq!(rig.due(), "c Rows");
    rig.take("a", "a", 0, 2..8);
    rig.ingest.hold("a", Held { rows: 2, bytes: 100 }).unwrap();
    assert_eq!(rig.due(), "a Rows, c Rows");
    // Nothing is committed past what decoders hold.
    assert_eq!(rig.commit().await, "c +3");
    rig.ingest.hold("a", Held { rows: 0, bytes: 50_000 }).unwrap();
    assert_eq!((rig.due().as_str(), rig.commit().await.as_str()), ("a Bytes", ""));
    rig.ingest.hold("a", Held::default()).unwrap();
    assert_eq!(rig.due(), "");
    rig.clock.advance(1_000);
    assert_eq!((rig.due().as_str(), rig.commit().await.as_str()), ("a Age, b Age", "a +8, b +2"));
    assert_eq!((rig.position("a"), rig.position("b"), rig.position("c")), (Some(8), Some(2), Some(3)));
    assert_eq!(rig.ids("a").await, (0..8).collect::<Vec<_>>());
}

/// Changes that a decoder held until their table was due are due when it hands them over.
#[tokio::test]
async fn what_waited_in_a_decoder_has_waited() {
    let triggers = Triggers { age_ms: 1_000, ..Triggers::default() };
    let mut rig = Rig::new("decoder", IngestSettings { triggers, ..IngestSettings::default() }).with(&["a"]);
    rig.ingest.hold("a", Held { rows: 1, bytes: 100 }).unwrap();
    rig.clock.advance(999);
    assert_eq!(rig.due(), "");
    rig.clock.advance(1);
    assert_eq!(rig.due(), "a Age");
    rig.take("a", "a", 0, 0..1);
    rig.ingest.hold("a", Held::default()).unwrap();
    assert_eq!((rig.due().as_str(), rig.commit().await.as_str()), ("a Age", "a +1"));
    rig.take("a", "a", 0, 1..2);
    assert_eq!(rig.due(), "");
}

#[tokio::test]
async fn a_table_is_made_of_its_template_when_the_first_row_comes() {
    let mut rig = Rig::new("template", IngestSettings::default());
    let template = rig.template("new");
    rig.ingest = rig.ingest.templates(move |table| (table == "new").then(|| template.clone()));
    assert!(rig.ingest.take("other", placed("t", &inserts(0, 0..1)), vec![]).is_err());
    rig.ingest.dead_letter("new", letter("t", 0, 0)).unwrap();
    let truncate = placed("t", &[(0, 1, Change::truncate(2))]);
    rig.ingest.take("new", truncate, vec![]).unwrap();
    let mut keyless = placed("t", &[(0, 2, Change::new(Op::Update, 9, 3))]);
    keyless.key_columns.clear();
    rig.ingest.take("new", keyless, vec![]).unwrap();
    assert_eq!(rig.drain().await, "new unfounded 1");
    assert!(matches!(rig.builder("new").open().await, Err(Error::NotFound { .. })));
    rig.take("new", "t", 0, 3..6);
    // What came before says nothing of the key, but has one.
    assert_eq!(rig.drain().await, "new +4");
    let table = rig.open("new").await;
    assert_eq!(table.properties().record_key_fields(), ["id"]);
    assert_eq!(dead_letters(&rig.store.inner, &table, "new").await, [("t".to_owned(), 0, 0)]);
    assert_eq!(rig.ingest.position("new", "t", 0), Some(6));
}

#[tokio::test]
async fn what_nothing_makes_a_table_of_stops_once_it_is_much() {
    let triggers = Triggers { bytes: 300, ..Triggers::default() };
    let mut rig = Rig::new("unfounded", IngestSettings { triggers, ..IngestSettings::default() }).with(&["a"]);
    let mut keyless = placed("a", &[0, 1, 2].map(|at| (0, at, Change::new(Op::Update, at, at))));
    keyless.key_columns.clear();
    rig.ingest.take("a", keyless, vec![]).unwrap();
    let stopped = rig.commit().await;
    assert!(stopped.starts_with("a stopped") && stopped.contains("3 changes have no key"), "{stopped}");
}

#[tokio::test]
async fn what_says_what_a_table_is_ends_the_wait_for_it() {
    let triggers = Triggers { rows: 1, ..Triggers::default() };
    let mut rig = Rig::new("waits", IngestSettings { triggers, ..IngestSettings::default() }).with(&["a"]);
    rig.ingest.take("a", placed("a", &[(0, 0, Change::truncate(2))]), vec![]).unwrap();
    assert_eq!(rig.commit().await, "a unfounded 0");
    assert_eq!(rig.commit().await, "");
    rig.take("a", "a", 0, 1..2);
    assert_eq!(rig.commit().await, "a +1");
}

#[tokio::test]
async fn at_the_end_positions_are_told_that_no_change_carries() {
    let mut rig = Rig::new("end", IngestSettings::default()).with(&["a", "none"]);
    rig.take("a", "a", 0, 0..2);
    rig.drain().await;
    rig.ingest.advance("a", 0, 7);
    rig.ingest.advance("none", 0, 7);
    assert_eq!(rig.drain().await, "");
    rig.ingest.conclude();
    assert_eq!(rig.commit().await, "a +0, none unfounded 0");
    assert_eq!((rig.position("a"), rig.commit().await.as_str()), (Some(7), ""));
    rig.ingest.conclude();
    assert_eq!(rig.commit().await, "a nothing, none unfounded 0");
}

#[tokio::test]
async fn a_table_that_is_another_than_was_asked_for_takes_nothing() {
    let mut rig = Rig::new("another", IngestSettings::default()).with(&["a"]);
    rig.take("a", "a", 0, 0..2);
    rig.drain().await;
    for (given, wanted) in [(Given { key: true, ..Given::default() }, false), (Given::default(), true)] {
        let mut other = rig.another();
        let mut template = other.template("a").topic("a").given(given);
        template.table.key = vec!["name".to_owned()];
        other.ingest.add_table("a", template).unwrap();
        other.ingest.assign("a", 0, 2);
        other.take("a", "a", 0, 2..3);
        assert_eq!(other.drain().await == "a +1", wanted, "{given:?}");
    }
}

#[tokio::test]
async fn a_table_that_its_caller_stops_takes_nothing_until_it_is_restarted() {
    let mut rig = Rig::new("stops", IngestSettings::default()).with(&["a"]);
    rig.take("a", "a", 0, 0..2);
    assert!(rig.ingest.stop("a", "no schema") && !rig.ingest.stop("b", "none"));
    assert_eq!(rig.drain().await, "");
    assert_eq!(rig.report("a").condition, Condition::Stopped { reason: "no schema".to_owned() });
    assert!(rig.ingest.restart("a"));
    rig.ingest.assign("a", 0, 0);
    rig.take("a", "a", 0, 0..2);
    assert_eq!(rig.drain().await, "a +2");
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_read_from_its_beginning_once() {
    let mut rig = Rig::new("anew", IngestSettings::default()).with(&["t"]);
    rig.ingest.identify("t", "one");
    rig.take("t", "t", 0, 0..10);
    rig.drain().await;
    let mut other = rig.another().with(&["t"]);
    for ingest in [&mut rig, &mut other] {
        ingest.ingest.open().await;
        ingest.ingest.identify("t", "another");
        ingest.ingest.begin_anew("t", 0, 0);
    }
    rig.ingest.dead_letter("t", letter("t", 0, 0)).unwrap();
    let changed = placed("t", &[(0, 1, Change::new(Op::Update, 3, 50)), (0, 2, Change::new(Op::Delete, 4, 51))]);
    rig.ingest.take("t", changed, vec![original("t", 0, 1), original("t", 0, 2)]).unwrap();
    rig.ingest.advance("t", 0, 3);
    assert_eq!(rig.drain().await, "t +0");
    assert_eq!(rig.position("t"), Some(3));
    let table = rig.open("t").await;
    assert_eq!(dead_letters(&rig.store.inner, &table, "t").await, [("t".to_owned(), 0, 0)]);
    assert_eq!(rig.ids("t").await, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(rig.ingest.writer("t").unwrap().committed().topics["t"].id.as_deref(), Some("another"));
    // Who comes later does not begin anew again.
    other.take("t", "t", 0, 0..1);
    assert_eq!((other.drain().await.as_str(), other.position("t")), ("t nothing", Some(3)));
}

#[tokio::test]
async fn memory_stays_within_the_budget_and_one_batch_a_table() {
    let budget_bytes = 200_000;
    let triggers = Triggers { bytes: 100_000, ..Triggers::default() };
    let settings = IngestSettings { budget_bytes, table_share_bytes: 100_000, triggers, ..IngestSettings::default() };
    let tables = ["a", "b", "c", "d", "e"];
    let mut rig = Rig::of("budget", settings, Unsteady::new(7, 20), Arc::default()).with(&tables);
    let mut random = Seeded(1);
    let mut next = [0_i64; 5];
    let (mut most, mut largest, mut pauses, mut reasons) = (0, 0, 0, vec![]);
    tables.iter().for_each(|table| rig.ingest.assign(table, 0, 0));
    for _ in 0..3_000 {
        let at = random.below(5) as usize;
        pauses += rig.ingest.flow().pause.len();
        if !rig.ingest.is_paused(tables[at], 0) {
            let (from, before) = (next[at], rig.ingest.memory_bytes());
            next[at] += 1 + random.below(60) as i64;
            rig.take(tables[at], tables[at], 0, from..next[at]);
            largest = largest.max(rig.ingest.memory_bytes() - before);
        }
        most = most.max(rig.ingest.memory_bytes());
        reasons.extend(rig.ingest.due().into_iter().map(|due| due.why));
        rig.ingest.start();
        let polled = futures::poll!(std::pin::pin!(rig.ingest.next()));
        drop(polled);
    }
    assert!(most > budget_bytes * 9 / 10 && most <= budget_bytes + largest * tables.len(), "{most} with {largest}");
    assert!(pauses > 0 && reasons.contains(&Why::Memory));
    rig.drain().await;
    assert_eq!(rig.ingest.memory_bytes(), 0);
    for (table, next) in tables.iter().zip(next) {
        assert_eq!(rig.ids(table).await.len() as i64, next);
    }
}

#[tokio::test]
async fn a_table_that_fails_rests_alone_and_is_tried_again_ever_later() {
    let triggers = Triggers { rows: 2, bytes: 4_000, ..Triggers::default() };
    let settings = IngestSettings { triggers, table_share_bytes: 4_000, ..IngestSettings::default() };
    let mut rig = Rig::new("broken", settings).with(&["bad", "good"]);
    rig.store.breaks(Some("bad"));
    let (mut rests, mut next) = (vec![], 0);
    for _ in 0..8 {
        rig.take("good", "good", 0, next..next + 2);
        rig.take("bad", "bad", 0, next..next + 2);
        next += 2;
        let outcomes = rig.ingest.commit_due().await;
        assert_eq!(told(&outcomes), "bad failed, good +2");
        let Condition::Resting { until_ms, .. } = rig.report("bad").condition else { panic!("it rests") };
        rests.push(until_ms - rig.clock.now_ms());
        // Not before its rest is over.
        assert_eq!(rig.due(), "");
        rig.clock.advance(until_ms - rig.clock.now_ms());
        assert_eq!(rig.due(), "bad Bytes");
    }
    assert!(rests[0] <= 1_000 && rests[..6].is_sorted(), "{rests:?}");
    assert!(*rests.last().unwrap() > 20_000 && rests.iter().all(|rest| *rest <= 60_000), "{rests:?}");
    let flow = rig.ingest.flow();
    assert_eq!(flow, Flow { pause: vec![TopicPartition::new("bad", 0)], resume: vec![] });
    rig.store.breaks(None);
    assert_eq!(rig.commit().await, "bad +16");
    assert_eq!(rig.ingest.flow(), Flow { pause: vec![], resume: vec![TopicPartition::new("bad", 0)] });
    assert_eq!((rig.ids("bad").await.len(), rig.ids("good").await.len()), (16, 16));
    assert_eq!((rig.report("bad").counters.failures, rig.report("bad").condition), (8, Condition::Ready));
}

#[tokio::test]
async fn a_slow_table_holds_nobody_up() {
    let triggers = Triggers { rows: 2, ..Triggers::default() };
    let mut rig = Rig::new("slow", IngestSettings { triggers, ..IngestSettings::default() });
    let lock: Arc<dyn Lock> = Arc::new(Gate(Arc::new(AtomicBool::new(true))));
    let slow = TableTemplate { builder: rig.builder("slow").lock(lock), ..rig.template("slow") };
    rig.ingest.add_table("slow", slow).unwrap();
    let mut rig = rig.with(&["quick"]);
    rig.take("slow", "slow", 0, 0..2);
    rig.take("quick", "quick", 0, 0..2);
    assert_eq!(rig.ingest.start(), 2);
    let first = rig.ingest.next().await.unwrap();
    assert_eq!(told(&[first]), "quick +2");
    rig.take("quick", "quick", 0, 2..4);
    rig.take("slow", "slow", 0, 2..4);
    assert_eq!((rig.report("slow").condition, rig.report("slow").uncommitted_rows), (Condition::Committing, 4));
    assert_eq!(rig.ingest.start(), 1);
    assert_eq!(told(&[rig.ingest.next().await.unwrap()]), "quick +2");
}

/// A lock that somebody else holds while the gate is shut.
#[derive(Debug)]
struct Gate(Arc<AtomicBool>);

#[derive(Debug)]
struct Open;

#[async_trait::async_trait]
impl Lock for Gate {
    async fn try_acquire(&self) -> Result<Attempt, Error> {
        match self.0.load(Ordering::SeqCst) {
            true => Ok(Attempt::Busy { owner: "another".to_owned() }),
            false => Ok(Attempt::Held(Box::new(Open))),
        }
    }
}

#[async_trait::async_trait]
impl HeldLock for Open {
    fn valid_until_ms(&self) -> i64 {
        i64::MAX
    }

    fn was_left_behind(&self) -> bool {
        false
    }

    async fn renew(&mut self) -> Result<bool, Error> {
        Ok(true)
    }

    async fn release(&mut self) -> Result<bool, Error> {
        Ok(true)
    }
}

#[tokio::test]
async fn five_tries_without_the_lock_end_with_the_error_and_the_next_turn_commits() {
    let mut rig = Rig::new("locked", IngestSettings::default());
    let gate = Arc::new(AtomicBool::new(true));
    let settings = WriterSettings { lock_wait_ms: 0, ..WriterSettings::default() };
    let builder = rig.builder("t").lock(Arc::new(Gate(Arc::clone(&gate)))).settings(settings);
    rig.ingest.add_table("t", TableTemplate { builder, ..rig.template("t") }).unwrap();
    rig.take("t", "t", 0, 0..3);
    rig.ingest.drain_all();
    let outcomes = rig.ingest.commit_due().await;
    let [
        Outcome {
            ended: Ended::Failed { error: Error::Locked { .. }, retry_at_ms: Some(retry_at_ms) }, took_ms, ..
        },
    ] = outcomes.as_slice()
    else {
        panic!("{outcomes:?}")
    };
    // Four waits between five tries: of 200, 400, 800 and 1,600 ms, each at least half as long.
    assert!((1_500..=3_100).contains(took_ms), "{took_ms}");
    assert_eq!((rig.report("t").counters.locked, rig.report("t").uncommitted_rows), (5, 3));
    gate.store(false, Ordering::SeqCst);
    rig.clock.advance(retry_at_ms - rig.clock.now_ms());
    assert_eq!(rig.drain().await, "t +3");
}

#[tokio::test]
async fn after_a_conflict_what_the_table_has_is_dropped_and_the_rest_is_done_again() {
    let mut random = Seeded(5);
    let mut log = Log::default();
    log.fill("t", 1, &[("t", true)], 60, &mut random);
    let mut rig = Rig::new("redo", IngestSettings::default()).with(&["t"]);
    let messages = log.0[&("t", 0)].clone();
    let upto = |rig: &mut Rig, from: usize, to: usize| hand_over(&mut rig.ingest, &messages, from, to);
    upto(&mut rig, 0, 10);
    rig.drain().await;
    upto(&mut rig, 10, 40);
    // Another consumer was given the partition and went on to 25; it does not know the letters that we hold.
    let mut other = rig.another().with(&["t"]);
    assert_eq!(told(&other.ingest.open().await), "t nothing");
    assert_eq!(other.ingest.start_offset("t", 0), Some(10));
    other.ingest.assign("t", 0, 10);
    hand_over(&mut other.ingest, &messages, 10, 25);
    other.drain().await;
    upto(&mut rig, 40, 60);
    rig.drain().await;
    let counters = rig.report("t").counters;
    assert!(counters.conflicts == 1 && counters.covered > 0, "{counters:?}");
    assert_truth(&rig.store.inner, "t", &log).await;
}

/// Hands the messages of one partition over.
fn hand_over(ingest: &mut Ingest, messages: &[Message], from: usize, to: usize) {
    for (offset, message) in (0..).zip(messages).take(to).skip(from) {
        match message {
            Message::Change(table, change) => {
                let row = placed("t", &[(0, offset, change.clone())]);
                ingest.take(table, row, vec![original("t", 0, offset)]).unwrap();
            }
            Message::Bad(table) => ingest.dead_letter(table, letter("t", 0, offset)).unwrap(),
            Message::Skip => {}
        }
        ingest.advance("t", 0, offset + 1);
    }
}

#[tokio::test]
async fn positions_of_an_idle_partition_are_committed_after_a_while_or_many_messages() {
    let mut rig = Rig::new("idle", IngestSettings::default()).with(&["t"]);
    rig.take("t", "t", 0, 0..2);
    rig.drain().await;
    rig.ingest.advance("t", 0, 100);
    assert_eq!((rig.due().as_str(), rig.position("t")), ("", Some(2)));
    rig.clock.advance(299_999);
    assert_eq!(rig.due(), "");
    rig.clock.advance(1);
    assert_eq!(rig.due(), "t Positions");
    assert_eq!((rig.commit().await.as_str(), rig.position("t")), ("t +0", Some(100)));
    rig.clock.advance(300_000);
    assert_eq!(rig.due(), "");
    rig.ingest.advance("t", 0, 100_099);
    assert_eq!(rig.due(), "");
    rig.ingest.advance("t", 0, 100_100);
    assert_eq!(rig.due(), "t Positions");
    rig.commit().await;
    let counters = rig.report("t").counters;
    assert_eq!((counters.commits, counters.checkpoints, counters.files), (3, 2, 1));
    assert_eq!(rig.ingest.committable(), [position("t", 0, Some(100_100))]);
}

#[tokio::test]
async fn tables_of_one_topic_each_go_on_from_where_they_are() {
    let mut rig = Rig::new("several", IngestSettings::default());
    for table in ["a", "b"] {
        rig.ingest.add_table(table, rig.template(table).topic("t")).unwrap();
    }
    rig.ingest.assign("t", 0, 0);
    rig.take("a", "t", 0, 5..8);
    rig.take("b", "t", 0, 2..4);
    rig.ingest.advance("t", 0, 10);
    // Both say where they begin before either says more.
    assert_eq!(rig.due(), "a Begin, b Begin");
    assert_eq!(rig.commit().await, "a +0, b +0");
    assert_eq!(rig.ingest.committable(), [position("t", 0, Some(2))]);
    rig.ingest.advance("t", 0, 20);
    rig.clock.advance(60_000);
    rig.ingest.start();
    rig.store.breaks(Some("b"));
    let outcomes = rig.commit().await;
    assert_eq!(outcomes, "a +3, b failed");
    assert_eq!(rig.ingest.committable(), [position("t", 0, Some(2))]);
    rig.store.breaks(None);
    let mut rig = rig.another();
    for table in ["a", "b"] {
        rig.ingest.add_table(table, rig.template(table).topic("t")).unwrap();
    }
    rig.ingest.open().await;
    assert_eq!(rig.ingest.start_offsets(), [position("t", 0, Some(2))]);
    rig.ingest.assign("t", 0, 2);
    let wants = |table| (0..30).filter(|at| rig.ingest.wants(table, "t", 0, *at)).min();
    assert_eq!((wants("a"), wants("b")), (Some(20), Some(2)));
    // Read again for both: what a table has is dropped for it alone.
    rig.take("a", "t", 0, 5..8);
    rig.take("a", "t", 0, 21..22);
    rig.take("b", "t", 0, 2..4);
    rig.clock.advance(60_000);
    assert_eq!(rig.commit().await, "a +1, b +2");
    assert_eq!((rig.ids("a").await, rig.ids("b").await), (vec![5, 6, 7, 21], vec![2, 3]));
    assert_eq!(rig.report("a").counters.covered, 3);
}

#[tokio::test]
async fn a_table_that_cannot_say_where_it_begins_holds_back_those_that_share_its_topic() {
    let settings = IngestSettings { dead_letters_per_minute: Some(1), ..IngestSettings::default() };
    let mut rig = Rig::new("newcomer", settings);
    for table in ["a", "new"] {
        rig.ingest.add_table(table, rig.template(table).topic("t")).unwrap();
    }
    rig.ingest.assign("t", 0, 0);
    rig.take("a", "t", 0, 0..3);
    rig.take("new", "t", 0, 3..4);
    rig.store.breaks(Some("new"));
    // Were it further than the other's first row, nobody would look for that row any more.
    assert_eq!(rig.drain().await, "a +0, new failed");
    assert_eq!(rig.ingest.committable(), [position("t", 0, Some(0))]);
    // One that stopped still stands for what it had.
    rig.ingest.dead_letter("new", letter("t", 0, 4)).unwrap();
    rig.ingest.dead_letter("new", letter("t", 0, 5)).unwrap_err();
    rig.ingest.advance("t", 0, 6);
    rig.store.breaks(None);
    rig.clock.advance(60_000);
    assert_eq!((rig.drain().await.as_str(), rig.report("a").uncommitted_rows), ("", 3));
    assert!(rig.ingest.restart("new"));
    assert_eq!(rig.ingest.reloads(), [position("t", 0, Some(3))]);
    rig.ingest.assign("t", 0, 3);
    rig.take("new", "t", 0, 3..4);
    // What the other holds is not taken again.
    assert!(!rig.ingest.wants("a", "t", 0, 2) && rig.ingest.wants("a", "t", 0, 3));
    assert!(rig.ingest.wants("new", "t", 0, 4) && !rig.ingest.wants("new", "t", 0, 3));
    assert_eq!(rig.drain().await, "a +3, new +0, new +1");
    assert_eq!((rig.ids("a").await, rig.ids("new").await), (vec![0, 1, 2], vec![3]));
}

#[tokio::test]
async fn a_table_behind_the_place_where_reading_began_is_read_again_from_where_it_is() {
    let mut rig = Rig::new("gap", IngestSettings::default()).with(&["t"]);
    rig.take("t", "t", 0, 0..10);
    rig.drain().await;
    let mut rig = rig.another().with(&["t"]);
    rig.ingest.assign("t", 0, 20);
    rig.take("t", "t", 0, 20..25);
    assert_eq!(rig.drain().await, "t reload");
    assert_eq!(rig.ingest.reloads(), [position("t", 0, Some(10))]);
    assert_eq!(rig.report("t").condition, Condition::Reloading);
    // What was read before that is passed over.
    rig.take("t", "t", 0, 25..30);
    rig.ingest.dead_letter("t", letter("t", 0, 30)).unwrap();
    assert_eq!((rig.drain().await.as_str(), rig.ingest.memory_bytes()), ("", 0));
    rig.ingest.assign("t", 0, 11);
    assert_eq!(rig.ingest.reloads().len(), 1);
    rig.ingest.assign("t", 0, 10);
    assert_eq!(rig.ingest.reloads(), []);
    rig.take("t", "t", 0, 10..30);
    assert_eq!(rig.drain().await, "t +20");
    assert_eq!(rig.ids("t").await, (0..30).collect::<Vec<_>>());
    assert_eq!(rig.report("t").counters.reloads, 1);
    // Once the table was opened, that is known at once.
    rig.ingest.release("t", 0);
    rig.ingest.assign("t", 0, 31);
    assert_eq!(rig.ingest.reloads(), [position("t", 0, Some(30))]);
    assert!(!rig.ingest.wants("t", "t", 0, 31));
}

#[tokio::test]
async fn a_table_that_went_back_is_noticed_in_the_middle_of_reading() {
    let mut rig = Rig::new("restored", IngestSettings::default()).with(&["t"]);
    rig.take("t", "t", 0, 0..10);
    rig.drain().await;
    rig.take("t", "t", 0, 10..15);
    rig.clock.advance(1_000);
    // Somebody removes the table; another consumer, who reads from the beginning, makes it anew.
    let store = &rig.store;
    let objects = futures::TryStreamExt::try_collect::<Vec<_>>(object_store::ObjectStore::list(store, None));
    for object in objects.await.unwrap() {
        object_store::ObjectStoreExt::delete(store, &object.location).await.unwrap();
    }
    let mut other = rig.builder("t").create(&NewTable::new("t", ["id"])).await.unwrap();
    let rows = inserts(0, 0..3);
    let _ = other.write(&placed("t", &rows)).unwrap();
    assert!(matches!(other.commit(&any_original).await.unwrap(), CommitOutcome::Committed(_)));
    assert_eq!(rig.drain().await, "t reload");
    assert_eq!(rig.ingest.reloads(), [position("t", 0, Some(3))]);
    rig.ingest.assign("t", 0, 3);
    rig.take("t", "t", 0, 3..15);
    assert_eq!(rig.drain().await, "t +12");
    assert_eq!(rig.ids("t").await, (0..15).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_drain_commits_exactly_the_tables_that_hold_something_of_the_partition() {
    let mut rig = Rig::new("drain", IngestSettings::default());
    for table in ["a", "b", "c"] {
        rig.ingest.add_table(table, rig.template(table)).unwrap();
    }
    rig.take("a", "t", 0, 0..2);
    rig.take("b", "t", 1, 0..2);
    rig.take("c", "u", 0, 0..2);
    rig.ingest.hold("c", Held { rows: 1, bytes: 1 }).unwrap();
    assert_eq!(rig.ingest.drain(&[TopicPartition::new("t", 2)]), Vec::<Arc<str>>::new());
    assert_eq!(rig.ingest.drain(&[TopicPartition::new("t", 1)]), ["b".into()]);
    // What decoders hold may be of any partition.
    assert_eq!(rig.ingest.drain(&[TopicPartition::new("u", 9)]), ["c".into()]);
    rig.ingest.hold("c", Held::default()).unwrap();
    assert_eq!(rig.commit().await, "a +0, b +0, b +2, c +2");
    assert_eq!((rig.report("a").uncommitted_rows, rig.report("b").uncommitted_rows), (2, 0));
}

#[tokio::test]
async fn too_many_dead_letters_a_minute_stop_the_table_until_it_is_restarted() {
    let settings = IngestSettings { dead_letters_per_minute: Some(3), ..IngestSettings::default() };
    let mut rig = Rig::new("letters", settings).with(&["t", "u"]);
    rig.take("t", "t", 0, 0..4);
    rig.drain().await;
    for offset in 4..7 {
        rig.ingest.dead_letter("t", letter("t", 0, offset)).unwrap();
    }
    let stopped = rig.ingest.dead_letter("t", letter("t", 0, 7)).unwrap_err().to_string();
    assert!(stopped.contains("more than 3 dead letters") && stopped.contains("the first, t/0@4: bad"), "{stopped}");
    assert!(matches!(rig.report("t").condition, Condition::Stopped { .. }));
    rig.take("t", "t", 0, 8..9);
    rig.take("u", "u", 0, 0..1);
    assert_eq!(rig.drain().await, "u +1");
    assert_eq!(rig.ingest.flow().pause, [TopicPartition::new("t", 0)]);
    assert_eq!(rig.ingest.committable()[0], position("t", 0, Some(4)));
    assert!(rig.ingest.restart("t") && !rig.ingest.restart("u"));
    assert_eq!(rig.ingest.reloads(), [position("t", 0, Some(4))]);
    rig.clock.advance(60_000);
    rig.ingest.assign("t", 0, 4);
    rig.take("t", "t", 0, 4..9);
    assert_eq!(rig.drain().await, "t +5");
}

#[tokio::test]
async fn a_table_that_stops_while_it_commits_stays_so() {
    let settings = IngestSettings { dead_letters_per_minute: Some(1), ..IngestSettings::default() };
    let mut rig = Rig::of("stops", settings, Unsteady::new(3, 10), Arc::default()).with(&["t"]);
    rig.ingest.assign("t", 0, 0);
    rig.take("t", "t", 0, 0..3);
    rig.ingest.drain_all();
    assert_eq!(rig.ingest.start(), 1);
    rig.take("t", "t", 0, 3..4);
    rig.ingest.dead_letter("t", letter("t", 0, 4)).unwrap();
    rig.ingest.dead_letter("t", letter("t", 0, 5)).unwrap_err();
    // What is under way counts until it ends.
    assert!(rig.ingest.memory_bytes() > 0 && !rig.ingest.restart("t"));
    assert_eq!(rig.commit().await, "t +3");
    assert!(matches!(rig.report("t").condition, Condition::Stopped { .. }));
    assert_eq!((rig.ingest.memory_bytes(), rig.drain().await.as_str()), (0, ""));
    assert!(rig.ingest.restart("t"));
    assert_eq!(rig.ingest.reloads(), [position("t", 0, Some(3))]);
}

#[tokio::test]
async fn rows_that_a_table_refuses_count_as_dead_letters_before_anything_is_committed() {
    let settings = IngestSettings { dead_letters_per_minute: Some(2), ..IngestSettings::default() };
    let mut rig = Rig::new("refused", settings).with(&["t"]);
    let mut rows = inserts(0, 0..4);
    rig.take("t", "t", 0, 0..1);
    rig.drain().await;
    rows.iter_mut().for_each(|(_, offset, _)| *offset += 1);
    let mut keyless = placed("t", &rows);
    keyless.unsent[0] = Some((0..4).map(|row| row != 3).collect());
    rig.ingest.take("t", keyless.clone(), vec![]).unwrap();
    let stopped = rig.drain().await;
    assert!(stopped.contains("the change t/0@1") && stopped.contains("not at hand"), "{stopped}");
    rig.ingest.restart("t");
    rig.ingest.assign("t", 0, 1);
    let originals: Vec<_> = (1..5).map(|offset| original("t", 0, offset)).collect();
    rig.ingest.take("t", keyless, originals).unwrap();
    let stopped = rig.drain().await;
    assert!(stopped.contains("more than 2 dead letters") && stopped.contains("t/0@1: the source did not"), "{stopped}");
    assert_eq!(rig.ids("t").await, [0]);
}

#[tokio::test]
async fn a_second_topic_is_refused_unless_it_is_allowed() {
    let mut rig = Rig::new("topics", IngestSettings::default()).with(&["t"]);
    rig.ingest.add_table("both", rig.template("both").several_topics()).unwrap();
    rig.take("t", "t", 0, 0..1);
    let refused = rig.ingest.take("t", placed("u", &inserts(1, 0..1)), vec![]).unwrap_err().to_string();
    assert!(refused.contains("the topic u for the table t"), "{refused}");
    assert!(rig.ingest.add_table("x", rig.template("x").topic("t").topic("u")).is_err());
    rig.take("both", "v", 0, 0..1);
    rig.take("both", "w", 1, 0..1);
    assert_eq!(rig.drain().await, "both +2");
    // A table that is there says itself which topic feeds it.
    let mut rig = rig.another();
    rig.ingest.add_table("both", rig.template("both").topic("v")).unwrap();
    rig.take("both", "v", 0, 1..2);
    assert!(rig.drain().await.contains("stopped"));
}

#[tokio::test]
async fn a_report_tells_how_fresh_a_table_is() {
    let mut rig = Rig::new("fresh", IngestSettings::default()).with(&["t"]);
    rig.take("t", "t", 0, 0..3);
    let times = batch(&inserts(0, 0..3).into_iter().map(|(_, _, change)| change).collect::<Vec<_>>(), 0).source_ts_ms;
    rig.clock.advance(500);
    let report = rig.report("t");
    assert_eq!(report.oldest_uncommitted_source_ms, Some(times.value(0)));
    assert_eq!((report.waited_ms, report.newest_committed_source_ms), (Some(500), None));
    rig.drain().await;
    let report = rig.report("t");
    assert_eq!((report.oldest_uncommitted_source_ms, report.waited_ms), (None, None));
    assert_eq!(report.newest_committed_source_ms, Some(times.value(2)));
    assert_eq!((report.counters.received_rows, report.counters.upserts, report.counters.commits), (3, 3, 1));
}

#[tokio::test]
async fn a_wait_for_the_next_commit_that_is_dropped_loses_nothing() {
    let triggers = Triggers { rows: 2, ..Triggers::default() };
    let settings = IngestSettings { triggers, ..IngestSettings::default() };
    let mut rig = Rig::of("dropped", settings, Unsteady::new(3, 10), Arc::default()).with(&["t"]);
    rig.take("t", "t", 0, 0..2);
    assert_eq!(rig.ingest.start(), 1);
    let mut waits = 0;
    let outcome = loop {
        let polled = futures::poll!(std::pin::pin!(rig.ingest.next()));
        if let std::task::Poll::Ready(outcome) = polled {
            break outcome.unwrap();
        }
        waits += 1;
    };
    assert!(waits > 5 && told(&[outcome]) == "t +2");
    assert!(!rig.ingest.is_committing() && rig.ingest.next().await.is_none());
    assert_eq!(rig.ids("t").await, [0, 1]);
}

#[test]
fn settings_that_cannot_be_used_are_refused_by_name() {
    let usual = IngestSettings::default;
    let wrong = [
        (IngestSettings { tries: 0, ..usual() }, "tries"),
        (IngestSettings { table_share_bytes: usize::MAX, ..usual() }, "table_share_bytes"),
        (IngestSettings { triggers: Triggers { rows: 0, ..Triggers::default() }, ..usual() }, "triggers.rows"),
        (IngestSettings { max_rest_ms: 1, ..usual() }, "max_rest_ms"),
        (IngestSettings { checkpoint_age_ms: -1, ..usual() }, "checkpoint_age_ms"),
    ];
    for (settings, name) in wrong {
        let refused = Ingest::new(settings, Arc::new(Walking::default())).unwrap_err().to_string();
        assert!(refused.starts_with(name), "{refused}");
    }
}
