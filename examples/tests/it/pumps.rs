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
use hudi_writer::{Clock, NewTable, SystemClock, TableWriter};
use kafka_source::offsets::{OnGap, OnRemade, Policy};
use kafka_source::{CapturedRecord, Error, Event};

use crate::cells::Cell as Value;
use crate::replays::sound_rows;
use crate::script::{Script, place};
use crate::shop::{delete, item, record, schema, upsert};

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
            let template = TableTemplate::new(TableWriter::builder(&table), NewTable::new(name, key.iter().copied()));
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
    // Where none is left it ends.
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
