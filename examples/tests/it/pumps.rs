//! The loop from a broker to tables, by a script in place of a broker: partitions that come and go, topics and tables that change under
//! it, and what cannot be written for a while.

#![allow(clippy::disallowed_methods, reason = "tests that wait for a loop to turn")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use examples::{Decoders, Failure, Feed, Format, Limits, OnBadMessage, Pump, PumpSettings, Route, Schemas, Watch};
use hudi_writer::ingest::{Ingest, IngestSettings, TableTemplate, Triggers};
use hudi_writer::{Clock, NewTable, SecondSnapshot, SystemClock, TableWriter, WriterSettings};
use kafka_source::offsets::{OnGap, OnRemade, Policy, Refusal, Unread};
use kafka_source::{CapturedRecord, Error, Event};

use crate::cells::Cell as Value;
use crate::replays::sound_rows;
use crate::script::{Script, place};
use crate::shop::{delete, item, record, schema, snapshot_row, upsert};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

/// A group of brokers, and tables in a folder.
struct World {
    folder: tempfile::TempDir,
    script: Script,
    on_bad: OnBadMessage,
    ingest: IngestSettings,
    watch: Arc<Watch>,
}

impl World {
    fn new() -> Self {
        let triggers = Triggers { age_ms: 20, ..Triggers::default() };
        let ingest = IngestSettings { triggers, rest_ms: 10, max_rest_ms: 20, ..IngestSettings::default() };
        let limits = Limits { failing_ms: 0, ..Limits::default() };
        let watch = Arc::new(Watch::new(limits, SystemClock.now_ms()));
        let folder = tempfile::tempdir().unwrap();
        Self { folder, script: Script::default(), on_bad: OnBadMessage::DeadLetter, ingest, watch }
    }

    fn table(&self, topic: &str) -> PathBuf {
        self.folder.path().join(topic.rsplit('.').next().unwrap())
    }

    fn pump(&self, script: &Script) -> Pump<Script> {
        let decoders = Decoders::new(Format::DebeziumJson, Some(schema()), Schemas::None);
        let ingest = Ingest::new(self.ingest.clone(), Arc::new(SystemClock)).unwrap();
        let feed = Feed::new(ingest, decoders.into_feed(self.on_bad));
        let folder = self.folder.path().to_owned();
        let routes = move |topic: &str| {
            let name = topic.rsplit('.').next().unwrap();
            if name == "astray" {
                return Err(Failure::usage("no table for it"));
            }
            let table = folder.join(name).to_str().unwrap().to_owned();
            let key: &[&str] = if name == "by_name" { &["name"] } else { &[] };
            let on_second_snapshot = if name == "bounded" { SecondSnapshot::Replace } else { SecondSnapshot::Keep };
            let builder = TableWriter::builder(&table);
            let builder = builder.settings(WriterSettings { on_second_snapshot, ..WriterSettings::default() });
            let template = TableTemplate::new(builder, NewTable::new(name, key.iter().copied()));
            Ok(Route { table, template })
        };
        let settings = PumpSettings { look_every_ms: 2, tell_every_ms: 5, rest_ms: 5, ..PumpSettings::default() };
        Pump::new(script.clone(), feed, Box::new(routes), settings, Arc::new(SystemClock), Arc::clone(&self.watch))
    }

    /// Pumps until something holds, and then to the end.
    async fn until(&self, holds: impl AsyncFn() -> bool) -> Result<(), Failure> {
        self.pump_until(&self.script, holds).await
    }

    async fn pump_until(&self, script: &Script, holds: impl AsyncFn() -> bool) -> Result<(), Failure> {
        let stop = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        patiently(self.pump(script).run(stop)).await
    }

    /// Until the group was told that the tables are so far.
    async fn until_told(&self, offsets: &[(&str, i32, i64)]) -> Result<(), Failure> {
        self.until(async || self.is_told(offsets)).await
    }

    fn is_told(&self, offsets: &[(&str, i32, i64)]) -> bool {
        let brokers = self.script.lock();
        offsets.iter().all(|(topic, partition, next)| brokers.told.get(&place(topic, *partition)) == Some(next))
    }

    async fn rows(&self, topic: &str) -> Rows {
        rows(&self.table(topic)).await
    }

    fn complaints(&self) -> String {
        self.watch.complaints(SystemClock.now_ms()).join(", ")
    }
}

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap()
}

type Rows = BTreeMap<i64, String>;

async fn rows(table: &Path) -> Rows {
    let mut rows = Rows::new();
    for row in sound_rows(table).await {
        match (&row.cells["id"], &row.cells["name"]) {
            (Value::Int(id), Value::Text(name)) => drop(rows.insert(*id, name.clone())),
            other => panic!("{other:?}"),
        }
    }
    rows
}

fn named(rows: impl IntoIterator<Item = (i64, &'static str)>) -> Rows {
    rows.into_iter().map(|(id, name)| (id, name.to_owned())).collect()
}

/// An insert at a place in the source's log.
fn insert(topic: &str, partition: i32, at: i64, id: i64, name: &str) -> CapturedRecord {
    of(topic, partition, upsert(at, 'c', id, &item(id, name, 1)))
}

fn of(topic: &str, partition: i32, record: CapturedRecord) -> CapturedRecord {
    CapturedRecord { topic: topic.to_owned(), partition, ..record }
}

/// So many inserts of rows of a partition's own, named `name`.
fn inserts(topic: &str, partition: i32, at: std::ops::Range<i64>, name: &str) -> Vec<CapturedRecord> {
    at.map(|at| insert(topic, partition, at, at, name)).collect()
}

const T: &str = "shop.public.items";
const OTHER: &str = "shop.public.others";

#[tokio::test]
async fn each_table_has_the_key_that_it_is_to_have() {
    let world = World::new();
    for topic in ["shop.public.by_name", "shop.public.others"] {
        world.script.produce([insert(topic, 0, 0, 1, "a"), insert(topic, 0, 1, 2, "a")]);
    }
    world.script.assign(&[place("shop.public.by_name", 0), place("shop.public.others", 0)]);
    world.until_told(&[("shop.public.by_name", 0, 2), ("shop.public.others", 0, 2)]).await.unwrap();
    assert_eq!(world.rows("shop.public.by_name").await, named([(2, "a")]));
    assert_eq!(world.rows("shop.public.others").await, named([(1, "a"), (2, "a")]));
}

#[tokio::test]
async fn several_topics_become_tables_and_the_group_is_told_how_far() {
    let world = World::new();
    world.script.produce([insert(T, 0, 1, 1, "one"), insert(T, 1, 2, 2, "two"), of(T, 1, delete(3, 2))]);
    world.script.produce([insert("shop.public.others", 0, 4, 9, "nine")]);
    world.script.assign(&[place(T, 0), place(T, 1), place("shop.public.others", 0)]);
    world.until_told(&[(T, 0, 1), (T, 1, 2), ("shop.public.others", 0, 1)]).await.unwrap();
    assert_eq!(world.rows(T).await, named([(1, "one")]));
    assert_eq!(world.rows("shop.public.others").await, named([(9, "nine")]));
    assert!(world.script.lock().closed && world.complaints().is_empty());
    let metrics = world.watch.metrics();
    let table = world.table(T);
    let sample = |name: &str, value: u64| format!("{name}{{table=\"{}\"}} {value}\n", table.display());
    let samples =
        [("cdc_upserts_total", 2), ("cdc_deletes_total", 1), ("cdc_stopped", 0), ("cdc_freshness_seconds_count", 1)];
    for (name, value) in samples {
        assert!(metrics.contains(&sample(name, value)) || name.ends_with("count"), "{name}: {metrics}");
    }
    for part in [
        "cdc_messages_total 4\n",
        "cdc_lag_messages{topic=\"shop.public.items\",partition=\"1\"} 0\n",
        "process_resident_memory_bytes ",
        "cdc_commit_stage_seconds_bucket{stage=\"write\",le=\"+Inf\"}",
        "cdc_store_requests_total{table=",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
}

#[tokio::test]
async fn what_is_held_at_the_end_is_committed() {
    let mut world = World::new();
    world.ingest.triggers = Triggers::default();
    world.script.produce(inserts(T, 0, 0..30, "x"));
    world.script.assign(&[place(T, 0)]);
    world.until(async || world.watch.messages() == 30).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 30);
    assert!(world.is_told(&[(T, 0, 30)]));
}

#[tokio::test]
async fn a_pump_may_end_where_the_messages_end() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.assign(&[place(T, 0), place(T, 1)]);
    let settings = PumpSettings { until_the_end: true, look_every_ms: 2, ..PumpSettings::default() };
    let pump = world.pump(&world.script).with(settings);
    patiently(pump.run(std::future::pending())).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 20);
}

#[tokio::test]
async fn what_is_asked_back_is_committed_before_it_goes() {
    let mut world = World::new();
    world.ingest.triggers = Triggers::default();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.assign(&[place(T, 0)]);
    let script = world.script.clone();
    let is_over = async || {
        if world.watch.messages() == 20 && !script.lock().told.contains_key(&place(T, 1)) {
            script.lock().told.insert(place(T, 1), -1);
            script.event(Event::Revoked(vec![place(T, 0)]));
        }
        world.table(T).exists() && script.lock().told.contains_key(&place(T, 1))
    };
    world.until(is_over).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 20);
    // The next owner goes on from there.
    let next = world.script.another();
    next.produce(inserts(T, 0, 20..25, "y"));
    next.assign(&[place(T, 0)]);
    world.pump_until(&next, async || world.watch.messages() == 25).await.unwrap();
    assert_eq!(next.lock().told.get(&place(T, 0)), Some(&25));
    assert_eq!(world.rows(T).await.len(), 25);
}

#[tokio::test]
async fn what_is_lost_is_read_by_another_and_nothing_is_doubled() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.assign(&[place(T, 0)]);
    let script = world.script.clone();
    let next = world.script.another();
    next.assign(&[place(T, 0)]);
    next.produce(inserts(T, 0, 20..40, "y"));
    let lose = async || {
        if world.watch.messages() >= 7 {
            script.event(Event::Lost(vec![place(T, 0)]));
        }
        next.lock().told.get(&place(T, 0)) == Some(&40)
    };
    let told = async || next.lock().told.get(&place(T, 0)) == Some(&40);
    let (one, other) = tokio::join!(world.until(lose), world.pump_until(&next, told));
    one.unwrap();
    other.unwrap();
    assert_eq!(world.rows(T).await.len(), 40);
}

#[tokio::test]
async fn offsets_that_are_gone_end_it_with_advice_unless_the_gap_is_allowed() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.assign(&[place(T, 0)]);
    world.until_told(&[(T, 0, 20)]).await.unwrap();
    world.script.produce(inserts(T, 0, 20..40, "x"));
    world.script.expire(&place(T, 0), 30);
    let later = world.script.another();
    later.assign(&[place(T, 0)]);
    let refused = world.pump_until(&later, async || false).await.unwrap_err().to_string();
    assert!(refused.contains("want offset 20") && refused.contains("10 messages are gone"), "{refused}");
    assert!(refused.contains("allow the gap"), "{refused}");
    let policy = Policy { on_gap: OnGap::Earliest, ..Policy::default() };
    let later = world.script.another();
    later.lock().policy = policy;
    later.assign(&[place(T, 0)]);
    let told = async || later.lock().told.get(&place(T, 0)) == Some(&40);
    world.pump_until(&later, told).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 30);
    assert!(world.watch.metrics().contains("cdc_messages_lost_total 10\n"));
}

/// Two tables that hold all of their topics, and another consumer to whom a part of what came since is gone.
async fn behind(world: &World) -> Script {
    let places = [place(T, 0), place(T, 1), place(OTHER, 0)];
    world.script.produce(inserts(T, 0, 0..20, "x").into_iter().chain(inserts(T, 1, 100..110, "x")));
    world.script.produce(inserts(OTHER, 0, 0..5, "x"));
    world.script.assign(&places);
    world.until_told(&[(T, 0, 20), (T, 1, 10), (OTHER, 0, 5)]).await.unwrap();
    world.script.produce(inserts(T, 0, 20..40, "x").into_iter().chain(inserts(T, 1, 110..120, "x")));
    world.script.produce(inserts(OTHER, 0, 5..10, "x"));
    world.script.expire(&place(T, 0), 30);
    let later = world.script.another();
    later.assign(&places);
    later
}

#[tokio::test]
async fn what_is_gone_stops_the_table_that_wants_it_and_the_others_go_on() {
    let world = World::new();
    let later = behind(&world).await;
    let goes_on = async || {
        let brokers = later.lock();
        brokers.told.get(&place(OTHER, 0)) == Some(&10) && brokers.is_held_back(T, 1) && !brokers.is_read(T, 0)
    };
    world.pump_until(&later, goes_on).await.unwrap();
    assert_eq!((world.rows(T).await.len(), world.rows(OTHER).await.len()), (30, 10));
    let complaints = world.complaints();
    for part in ["items has stopped", "items/0: ", "want offset 20", "10 messages are gone", "allow the gap"] {
        assert!(complaints.contains(part), "{part}: {complaints}");
    }
    assert!(world.watch.metrics().contains(&format!("cdc_stopped{{table=\"{}\"}} 1\n", world.table(T).display())));
}

#[tokio::test]
async fn a_table_that_has_stopped_is_not_read_for_after_a_rebalance() {
    let world = World::new();
    let (later, read, is_anew) = (behind(&world).await, Cell::new(0), Cell::new(false));
    let places = [place(T, 0), place(T, 1), place(OTHER, 0)];
    let told = |next| later.lock().told.get(&place(OTHER, 0)) == Some(&next);
    let is_lost = || places.iter().all(|place| !later.lock().is_read(&place.topic, place.partition));
    let goes_on = async || {
        if told(10) && later.lock().is_held_back(T, 1) && read.get() == 0 {
            read.set(world.watch.messages());
            later.event(Event::Lost(places.to_vec()));
        } else if read.get() > 0 && is_lost() && !is_anew.replace(true) {
            later.produce(inserts(OTHER, 0, 10..15, "x"));
            later.assign(&places);
        }
        told(15)
    };
    world.pump_until(&later, goes_on).await.unwrap();
    assert_eq!(world.watch.messages() - read.get(), 5);
    assert_eq!((world.rows(T).await.len(), world.rows(OTHER).await.len()), (30, 15));
}

#[tokio::test]
async fn what_is_gone_ends_it_where_a_table_that_stops_is_to() {
    let world = World::new();
    let later = behind(&world).await;
    let settings = PumpSettings { stops_with_a_table: true, look_every_ms: 2, ..PumpSettings::default() };
    let ended = patiently(world.pump(&later).with(settings).run(std::future::pending())).await.unwrap_err().to_string();
    assert!(ended.contains("want offset 20") && later.lock().closed, "{ended}");
}

#[tokio::test]
async fn an_end_that_a_table_did_not_come_to_is_a_failure() {
    let world = World::new();
    let later = behind(&world).await;
    let settings = PumpSettings { until_the_end: true, look_every_ms: 2, ..PumpSettings::default() };
    let ended = patiently(world.pump(&later).with(settings).run(std::future::pending())).await.unwrap_err().to_string();
    assert!(ended.contains("items has stopped") && ended.contains("want offset 20"), "{ended}");
    assert_eq!((world.rows(T).await.len(), world.rows(OTHER).await.len()), (30, 10));
}

#[tokio::test]
async fn what_goes_away_while_it_is_read_stops_its_table_alone() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.produce(inserts(OTHER, 0, 0..5, "x"));
    world.script.assign(&[place(T, 0), place(OTHER, 0)]);
    let (script, is_gone) = (world.script.clone(), Cell::new(false));
    let goes_on = async || {
        if world.is_told(&[(T, 0, 20), (OTHER, 0, 5)]) && !is_gone.replace(true) {
            let error = Error::Gap { topic: T.to_owned(), partition: 0, wanted: 20, earliest: 30 };
            script.event(Event::Refused(Refusal { place: place(T, 0), error }));
            script.produce(inserts(OTHER, 0, 5..10, "x"));
        }
        world.is_told(&[(OTHER, 0, 10)]) && script.lock().is_held_back(T, 0)
    };
    world.until(goes_on).await.unwrap();
    assert!(world.complaints().contains("items has stopped: shop.public.items/0: the tables want offset 20"));
}

/// The table is deleted under the loop once it holds all, and so many of its topic's first messages are gone by then.
async fn deleted(world: &World, gone: i64, is_assigned_anew: bool) -> Result<(), Failure> {
    world.script.assign(&[place(T, 0)]);
    let (script, is_deleted, is_lost) = (world.script.clone(), Cell::new(false), Cell::new(false));
    let deletes = async || {
        if world.is_told(&[(T, 0, 20)]) && !is_deleted.replace(true) {
            std::fs::remove_dir_all(world.table(T)).unwrap();
            script.expire(&place(T, 0), gone);
            script.produce(inserts(T, 0, 20..25, "y"));
            if is_assigned_anew {
                script.event(Event::Lost(vec![place(T, 0)]));
            }
        }
        let waits = is_assigned_anew && is_deleted.get() && !is_lost.get();
        if waits && !script.lock().is_read(T, 0) {
            is_lost.set(true);
            script.assign(&[place(T, 0)]);
        }
        world.is_told(&[(T, 0, 25)])
    };
    world.until(deletes).await
}

#[tokio::test]
async fn a_table_that_is_deleted_when_its_topic_begins_later_stops_or_the_gap_is_told() {
    for is_assigned_anew in [false, true] {
        let world = World::new();
        world.script.produce(inserts(T, 0, 0..20, "x"));
        let refused = deleted(&world, 8, is_assigned_anew).await.unwrap_err().to_string();
        assert!(refused.contains("want offset 0") && refused.contains("8 messages are gone"), "{refused}");
        assert!(!world.table(T).join(".hoodie/hoodie.properties").exists(), "it was made anew");
        for unread in [Unread::Earliest, Unread::Latest] {
            let world = World::new();
            world.script.produce(inserts(T, 0, 0..20, "x"));
            let policy = Policy { on_gap: OnGap::Earliest, unread: Unread::Earliest, ..Policy::default() };
            world.script.lock().policy = policy;
            if unread == Unread::Latest {
                // It was begun by another.
                world.script.assign(&[place(T, 0)]);
                world.until_told(&[(T, 0, 20)]).await.unwrap();
                world.script.lock().told.clear();
                world.script.lock().policy = Policy { unread, ..policy };
            }
            deleted(&world, 8, is_assigned_anew).await.unwrap();
            assert_eq!(world.rows(T).await.len(), 17, "{unread:?}");
            assert!(world.watch.metrics().contains("cdc_messages_lost_total 8\n"), "{}", world.watch.metrics());
        }
    }
}

#[tokio::test]
async fn a_table_that_is_deleted_lacks_nothing_that_it_never_had() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.expire(&place(T, 0), 5);
    deleted(&world, 5, false).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 20);
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.expire(&place(T, 0), 5);
    let refused = deleted(&world, 8, false).await.unwrap_err().to_string();
    assert!(refused.contains("want offset 5") && refused.contains("3 messages are gone"), "{refused}");
}

#[tokio::test]
async fn a_topic_that_was_made_anew_ends_it_with_advice_unless_that_is_allowed() {
    let world = World::new();
    world.script.make_anew(T, "first");
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.assign(&[place(T, 0)]);
    world.until_told(&[(T, 0, 20)]).await.unwrap();
    world.script.make_anew(T, "second");
    world.script.produce(inserts(T, 0, 20..50, "y"));
    let later = world.script.another();
    later.assign(&[place(T, 0)]);
    let refused = world.pump_until(&later, async || false).await.unwrap_err().to_string();
    assert!(refused.contains("made anew since") && refused.contains("allow a topic"), "{refused}");
    let later = world.script.another();
    later.lock().policy = Policy { on_remade: OnRemade::Earliest, ..Policy::default() };
    later.assign(&[place(T, 0)]);
    let told = async || later.lock().told.get(&place(T, 0)) == Some(&30);
    world.pump_until(&later, told).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 50);
    // It is known now.
    let later = world.script.another();
    later.produce(inserts(T, 0, 50..60, "z"));
    later.assign(&[place(T, 0)]);
    let told = async || later.lock().told.get(&place(T, 0)) == Some(&40);
    world.pump_until(&later, told).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 60);
}

#[tokio::test]
async fn a_partition_that_is_added_is_read_from_its_beginning() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..5, "x"));
    world.script.assign(&[place(T, 0)]);
    let script = world.script.clone();
    let grow = async || {
        if world.is_told(&[(T, 0, 5)]) && !script.lock().told.contains_key(&place(T, 1)) {
            script.lock().told.insert(place(T, 1), -1);
            script.produce(inserts(T, 1, 100..110, "new"));
            script.assign(&[place(T, 1)]);
        }
        world.is_told(&[(T, 1, 10)])
    };
    world.until(grow).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 15);
}

#[tokio::test]
async fn a_table_that_is_deleted_under_it_is_made_anew_from_the_beginning() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.assign(&[place(T, 0)]);
    let script = world.script.clone();
    let is_deleted = Cell::new(false);
    let deletes = async || {
        if world.is_told(&[(T, 0, 20)]) && !is_deleted.replace(true) {
            std::fs::remove_dir_all(world.table(T)).unwrap();
            script.produce(inserts(T, 0, 20..25, "y"));
        }
        world.is_told(&[(T, 0, 25)])
    };
    world.until(deletes).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 25);
}

#[tokio::test]
async fn a_second_snapshot_has_ended_where_its_topic_does() {
    let (world, topic) = (World::new(), "shop.public.bounded");
    let row = |run, partition, at, id, part| of(topic, partition, snapshot_row(run, at, id, part));
    let first = "first_in_data_collection";
    world.script.produce([row("one", 1, 0, 2, first), row("one", 1, 1, 4, "true"), row("one", 0, 2, 1, "last")]);
    world.script.assign(&[place(topic, 0), place(topic, 1)]);
    let is_second = Cell::new(false);
    let is_replaced = async || {
        if world.is_told(&[(topic, 0, 1), (topic, 1, 2)]) && !is_second.replace(true) {
            let rows = [row("two", 1, 3, 4, first), row("two", 0, 4, 1, "true"), row("two", 0, 5, 3, "last")];
            world.script.produce(rows);
        }
        // Nothing comes behind it.
        world.is_told(&[(topic, 0, 3), (topic, 1, 3)]) && world.rows(topic).await.len() == 3
    };
    world.until(is_replaced).await.unwrap();
    assert_eq!(world.rows(topic).await, named([(1, "a"), (3, "a"), (4, "a")]));
}

/// Copies a table, as a back-up does.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[tokio::test]
async fn a_copy_of_a_table_is_read_on_from_where_it_was_copied() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.assign(&[place(T, 0)]);
    world.until_told(&[(T, 0, 20)]).await.unwrap();
    let backup = tempfile::tempdir().unwrap();
    copy_folder(&world.table(T), &backup.path().join("items"));
    let goes_on = world.script.another();
    goes_on.produce(inserts(T, 0, 20..30, "y"));
    goes_on.assign(&[place(T, 0)]);
    let moved = goes_on.another();
    moved.assign(&[place(T, 0)]);
    let put_back = goes_on.another();
    put_back.assign(&[place(T, 0)]);
    let told = |script: &Script| script.lock().told.get(&place(T, 0)) == Some(&30);
    world.pump_until(&goes_on, async || told(&goes_on)).await.unwrap();

    // Elsewhere.
    let elsewhere = World::new();
    copy_folder(&backup.path().join("items"), &elsewhere.table(T));
    elsewhere.pump_until(&moved, async || told(&moved)).await.unwrap();
    assert_eq!((elsewhere.watch.messages(), elsewhere.rows(T).await.len()), (10, 30));

    // In its own place.
    std::fs::remove_dir_all(world.table(T)).unwrap();
    copy_folder(&backup.path().join("items"), &world.table(T));
    world.pump_until(&put_back, async || told(&put_back)).await.unwrap();
    assert_eq!(world.rows(T).await, elsewhere.rows(T).await);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_tried_again_and_the_others_go_on() {
    let world = World::new();
    std::fs::write(world.table(T), "no folder").unwrap();
    world.script.produce(inserts(T, 0, 0..20, "x"));
    world.script.produce(inserts("shop.public.others", 0, 0..20, "x"));
    world.script.assign(&[place(T, 0), place("shop.public.others", 0)]);
    let mended = async || {
        if world.is_told(&[("shop.public.others", 0, 20)]) && world.complaints().contains("has not been committed") {
            let _ = std::fs::remove_file(world.table(T));
        }
        world.is_told(&[(T, 0, 20)])
    };
    world.until(mended).await.unwrap();
    assert_eq!((world.rows(T).await.len(), world.rows("shop.public.others").await.len()), (20, 20));
    assert_eq!(world.complaints(), "");
}

#[tokio::test]
async fn a_table_that_cannot_go_on_stops_alone_and_its_messages_stay() {
    let mut world = World::new();
    world.on_bad = OnBadMessage::Stop;
    world.script.produce(inserts(T, 0, 0..10, "x"));
    world.script.produce([of(T, 0, record(10, Some(r#"{"id":1}"#), Some("{")))]);
    world.script.produce(inserts("shop.public.others", 0, 0..20, "x"));
    world.script.assign(&[place(T, 0), place("shop.public.others", 0)]);
    let others = async || world.is_told(&[("shop.public.others", 0, 20)]) && world.script.lock().is_held_back(T, 0);
    world.until(others).await.unwrap();
    assert!(world.complaints().contains("items has stopped") && world.complaints().contains("items/0@10: malformed"));
    assert!(world.script.lock().told.get(&place(T, 0)).is_none_or(|told| *told <= 10));
    // Where none is left it ends. So it does where only the table shows that a message is none: this row is nowhere.
    let nowhere = World { folder: tempfile::tempdir().unwrap(), script: Script::default(), ..world };
    nowhere.script.produce(inserts(T, 0, 0..1, "x"));
    nowhere.script.produce([of(T, 0, upsert(2, 'u', 9, &item(9, "__debezium_unavailable_value", 1)))]);
    nowhere.script.assign(&[place(T, 0)]);
    let world =
        World { ingest: IngestSettings { dead_letters_per_minute: Some(0), ..nowhere.ingest.clone() }, ..nowhere };
    let ended = world.until(async || false).await.unwrap_err().to_string();
    assert!(ended.contains("dead letters"), "{ended}");
    let world = World { folder: tempfile::tempdir().unwrap(), script: Script::default(), ..world };
    world.script.produce([of(T, 0, record(0, Some(r#"{"id":1}"#), Some("{")))]);
    world.script.assign(&[place(T, 0)]);
    let ended = world.until(async || false).await.unwrap_err().to_string();
    assert!(ended.contains("items/0@0: malformed"), "{ended}");
}

#[tokio::test]
async fn more_dead_letters_than_allowed_stop_the_table() {
    let mut world = World::new();
    world.ingest.dead_letters_per_minute = Some(2);
    world.script.produce(inserts(T, 0, 0..3, "x"));
    for at in 3..8 {
        world.script.produce([of(T, 0, record(at, Some(r#"{"id":1}"#), Some("{")))]);
    }
    world.script.assign(&[place(T, 0)]);
    let ended = world.until(async || false).await.unwrap_err().to_string();
    assert!(ended.contains("more than 2 dead letters a minute"), "{ended}");
}

#[tokio::test]
async fn a_topic_without_a_table_is_not_read_and_that_is_told() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..5, "x"));
    world.script.produce(inserts("shop.public.astray", 0, 0..5, "x"));
    world.script.assign(&[place(T, 0), place("shop.public.astray", 0)]);
    world.until_told(&[(T, 0, 5)]).await.unwrap();
    assert!(world.script.lock().is_held_back("shop.public.astray", 0));
    assert!(world.complaints().contains("shop.public.astray: no table for it"));
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for_and_what_waiting_does_not_cure_ends_it() {
    let world = World::new();
    world.script.produce(inserts(T, 0, 0..5, "x"));
    world.script.assign(&[place(T, 0)]);
    world.script.error(Error::Unavailable { doing: "to ask".to_owned(), source: "away".into() });
    world.until_told(&[(T, 0, 5)]).await.unwrap();
    world.script.produce(inserts(T, 0, 5..10, "x"));
    world.script.error(Error::Ended { reason: "fenced".to_owned() });
    let ended = world.until(async || false).await.unwrap_err().to_string();
    assert!(ended.contains("fenced"), "{ended}");
}

#[tokio::test]
async fn memory_that_is_used_up_holds_messages_back_until_there_is_room() {
    let mut world = World::new();
    let triggers = Triggers { bytes: 60_000, age_ms: 60_000, ..Triggers::default() };
    world.ingest = IngestSettings { budget_bytes: 80_000, table_share_bytes: 60_000, triggers, ..world.ingest };
    world.script.produce((0..400).map(|at| insert(T, 0, at, at, "x")));
    world.script.assign(&[place(T, 0)]);
    world.until(async || world.watch.messages() == 400).await.unwrap();
    assert_eq!(world.rows(T).await.len(), 400);
}
