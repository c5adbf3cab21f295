//! From tables to Glue, by a stand-in of it: one sync, which commits are anything to it, the loop beside the pump, the function.

#![allow(clippy::disallowed_methods, reason = "a clock that runs quicker is made of the machine's")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use examples::config::GlueConfig;
use examples::glue::{Beside, Changes, GlueTargets, SyncSummary, Syncer, beside};
use examples::{
    Decoders, Failure, Feed, Format, Limits, OnBadMessage, Pump, PumpSettings, ReplaySettings, Replayer, Route,
    Schemas, Watch,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use glue_catalog::Outcome;
use glue_catalog::model::TableId;
use glue_catalog::testing::{FakeGlue, Fault};
use hudi_core::instant::InstantTime;
use hudi_writer::ingest::{Ingest, IngestSettings, TableTemplate, Triggers};
use hudi_writer::{Clock, Index, NewTable, SystemClock, Table, TableWriter};
use kafka_source::CapturedRecord;

use crate::script::{Script, place};
use crate::shop::{TOPIC, envelope, item, key, record, schema, upsert};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(30);

/// The machine's clock, quicker: rests of minutes take a second.
#[derive(Debug)]
struct Quick {
    began_ms: i64,
    /// So many times as quick.
    times: i64,
}

impl Quick {
    fn new(times: i64) -> Arc<Self> {
        Arc::new(Self { began_ms: SystemClock.now_ms(), times })
    }
}

impl Clock for Quick {
    fn now_ms(&self) -> i64 {
        self.began_ms + (SystemClock.now_ms() - self.began_ms) * self.times
    }

    fn unique_id(&self) -> u128 {
        SystemClock.unique_id()
    }

    fn sleep(&self, ms: i64) -> BoxFuture<'static, ()> {
        let real = Duration::from_micros((ms.max(0) * 1000 / self.times).unsigned_abs());
        async move { tokio::time::sleep(real).await }.boxed()
    }
}

impl glue_catalog::clock::Clock for Quick {
    fn now_ms(&self) -> i64 {
        Clock::now_ms(self)
    }

    fn unique_id(&self) -> u128 {
        Clock::unique_id(self)
    }

    fn sleep(&self, ms: i64) -> BoxFuture<'static, ()> {
        Clock::sleep(self, ms)
    }
}

/// A folder of tables that engines find in a bucket, and a Glue.
struct World {
    folder: tempfile::TempDir,
    clock: Arc<Quick>,
    glue: Arc<FakeGlue>,
}

impl World {
    fn new() -> Self {
        Self::quick(1)
    }

    /// Where time goes so many times as quick.
    fn quick(times: i64) -> Self {
        let clock = Quick::new(times);
        let glue = Arc::new(FakeGlue::new(Arc::clone(&clock) as _));
        Self { folder: tempfile::tempdir().unwrap(), clock, glue }
    }

    fn syncer(&self) -> Syncer {
        self.syncer_to(&GlueConfig { database: Some("shop".to_owned()), ..GlueConfig::default() })
    }

    fn syncer_to(&self, config: &GlueConfig) -> Syncer {
        let root = self.folder.path().canonicalize().unwrap().to_str().unwrap().to_owned();
        let targets: GlueTargets = config.targets().unwrap();
        let syncer = Syncer::new(Arc::clone(&self.glue) as _, Arc::clone(&self.clock) as _, targets);
        syncer.found_at(move |table| table.url().replace(&format!("file://{root}"), "s3://lake"))
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().canonicalize().unwrap().join(name).to_str().unwrap().to_owned()
    }

    fn partitions(&self, name: &str) -> Vec<String> {
        self.glue.partitions(&id(name)).into_iter().map(|partition| partition.values.join("/")).collect()
    }
}

fn id(name: &str) -> TableId {
    TableId { catalog_id: None, database: "shop".to_owned(), name: name.to_owned() }
}

/// A table of items by their names, with so many buckets that hardly two keys meet in one.
fn by_name() -> NewTable {
    let mut table = NewTable::new("items", ["id"]).partition_by(["name"]).index(Index::Bucket(64.try_into().unwrap()));
    table.partition_immutable = true;
    table
}

fn plain() -> NewTable {
    NewTable::new("items", ["id"])
}

/// Commits messages to a table, all at once.
async fn commit(at: &str, table: &NewTable, records: &[CapturedRecord]) {
    let decoders = Decoders::new(Format::DebeziumJson, Some(schema()), Schemas::None);
    let template = TableTemplate::new(TableWriter::builder(at), table.clone());
    let route = (TOPIC.to_owned(), Route { table: at.to_owned(), template });
    let feed = decoders.into_feed(OnBadMessage::Stop);
    let mut replayer = Replayer::open(ReplaySettings::default(), feed, [route]).await.unwrap();
    for record in records {
        replayer.feed(&record.as_message(&record.headers())).await.unwrap();
    }
    let (_, failures) = replayer.finish().await.unwrap();
    assert!(failures.is_empty(), "{failures:?}");
}

fn insert(at: i64, id: i64, name: &str) -> CapturedRecord {
    upsert(at, 'c', id, &item(id, name, 1))
}

async fn newest(at: &str) -> InstantTime {
    Table::open(at).await.unwrap().timeline().completed_writes().next_back().unwrap().time
}

#[tokio::test]
async fn glue_says_of_a_table_what_the_table_says() {
    let (world, syncer) = (World::new(), World::syncer);
    let (at, syncer) = (world.at("items"), syncer(&world));
    commit(&at, &by_name(), &[insert(0, 1, "a b"), insert(1, 2, "c/d")]).await;
    let plans = syncer.plan(&at).await.unwrap();
    assert!(plans[0].to_string().contains("create table at s3://lake/items"), "{}", plans[0]);
    assert_eq!(world.glue.writes(), 0, "a plan writes nothing");
    let reports = syncer.sync(&at).await.unwrap();
    assert_eq!((reports.len(), &reports[0].outcome, reports[0].added), (1, &Outcome::Synced, 2));
    let table = world.glue.table(&id("items")).unwrap();
    assert_eq!(table.storage.location.as_deref(), Some("s3://lake/items"));
    assert_eq!(table.parameters["last_commit_time_sync"], newest(&at).await.to_string());
    let types: Vec<(&str, &str)> =
        table.storage.columns.iter().map(|column| (column.name.as_str(), column.type_text.as_str())).collect();
    assert!(types.contains(&("id", "bigint")) && types.contains(&("price", "decimal(4,2)")), "{types:?}");
    assert_eq!(table.partition_keys[0].name, "name");
    assert_eq!(world.partitions("items"), ["a b", "c/d"]);
    let locations: Vec<_> =
        world.glue.partitions(&id("items")).into_iter().filter_map(|partition| partition.storage.location).collect();
    assert_eq!(locations, ["s3://lake/items/name=a b", "s3://lake/items/name=c%2Fd"]);
    world.glue.forget_calls();
    assert_eq!(syncer.sync(&at).await.unwrap()[0].outcome, Outcome::Unchanged);
    assert_eq!(world.glue.calls(), ["GetTable"]);
}

#[tokio::test]
async fn a_truncate_takes_a_partition_out_of_glue_only_if_nothing_is_left_in_it() {
    let world = World::new();
    let (at, syncer) = (world.at("items"), world.syncer());
    let old = [insert(1, 1, "mixed"), insert(2, 2, "mixed"), insert(3, 3, "old")];
    commit(&at, &by_name(), &old).await;
    syncer.sync(&at).await.unwrap();
    // Later than the truncate, and read before it.
    commit(&at, &by_name(), &[CapturedRecord { partition: 1, offset: 0, ..insert(20, 20, "mixed") }]).await;
    let truncate = record(10, None::<&str>, Some(envelope(10, "\"t\"", "null", "null")));
    commit(&at, &by_name(), &[truncate]).await;
    let table = Table::open(&at).await.unwrap();
    let last = *table.timeline().completed_writes().next_back().unwrap();
    let last = table.commit_metadata(&last).await.unwrap();
    let replaced: Vec<String> = last.partition_to_replace_file_ids.unwrap().into_keys().collect();
    assert_eq!((replaced, last.partition_to_write_stats.len()), (vec!["name=mixed".into(), "name=old".into()], 0));
    let report = &syncer.sync(&at).await.unwrap()[0];
    assert_eq!((report.dropped, world.partitions("items")), (1, vec!["mixed".to_owned()]));
}

#[tokio::test]
async fn a_table_is_not_in_glue_before_it_has_rows() {
    let world = World::new();
    let (at, syncer) = (world.at("items"), world.syncer());
    let missing = syncer.sync(&at).await.unwrap_err();
    assert!(matches!(missing, Failure::Failed(_)), "{missing:?}");
    assert_eq!(world.glue.tables(), []);
}

#[tokio::test]
async fn two_tables_of_one_name_are_refused_and_a_folder_tells_them_apart() {
    let world = World::new();
    let tables = ["public/items", "crm/items"].map(|name| world.at(name));
    for (number, at) in (0..).zip(&tables) {
        commit(at, &plain(), &[insert(0, number, "a")]).await;
    }
    let below = hudi_writer::tables_below(&world.at("")).await.unwrap();
    assert_eq!(below, [tables[1].clone(), tables[0].clone()]);
    let refused = world.syncer().verify_distinct(&below).await.unwrap_err();
    assert!(matches!(&refused, Failure::Usage(told) if told.contains("shop.items")), "{refused:?}");
    world.syncer().sync(&tables[0]).await.unwrap();
    let other = world.syncer().sync(&tables[1]).await.unwrap_err();
    assert!(matches!(&other, Failure::Usage(told) if told.contains("s3://lake/public/items")), "{other:?}");
    let config = GlueConfig {
        database: Some("{parent}".to_owned()),
        table: Some("{parent}_{name}".to_owned()),
        ..GlueConfig::default()
    };
    let syncer = world.syncer_to(&config);
    syncer.verify_distinct(&below).await.unwrap();
    let mut summary = SyncSummary::default();
    for at in &below {
        summary.take(&syncer.sync(at).await.unwrap()[0]).unwrap();
    }
    assert_eq!(summary, SyncSummary { changed: 2, ..SyncSummary::default() });
    let names: Vec<String> = world.glue.tables().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["crm.crm_items", "public.public_items", "shop.items"]);
}

/// Whether the newest commit is anything to Glue; it is told then.
async fn is_due(changes: &mut Changes, at: &str) -> bool {
    let is_due = changes.are_due(&Table::open(at).await.unwrap(), &[newest(at).await]).await.unwrap();
    if is_due {
        changes.ended(true);
    }
    is_due
}

#[tokio::test]
async fn only_new_partitions_dropped_ones_and_columns_are_anything_to_glue() {
    let world = World::new();
    let (at, mut changes) = (world.at("items"), Changes::default());
    let mut due = vec![];
    let commits = [
        ("the first", insert(0, 1, "a")),
        ("an update", upsert(1, 'u', 1, &item(1, "a", 2))),
        ("another partition", insert(2, 2, "b")),
        ("a row more of it", insert(3, 3, "b")),
        ("and one more", insert(4, 4, "b")),
        ("a delete", record(5, Some(key(1)), Some(envelope(5, "\"d\"", &item(1, "a", 2), "null")))),
        ("a truncate", record(6, None::<&str>, Some(envelope(6, "\"t\"", "null", "null")))),
        ("a partition that comes back", insert(7, 5, "b")),
    ];
    for (what, message) in commits {
        commit(&at, &by_name(), &[message]).await;
        if is_due(&mut changes, &at).await {
            due.push(what);
        }
    }
    assert_eq!(due, ["the first", "another partition", "a truncate", "a partition that comes back"]);
    let (at, mut changes) = (world.at("plain"), Changes::default());
    commit(&at, &plain(), &[insert(0, 1, "a")]).await;
    assert!(is_due(&mut changes, &at).await);
    commit(&at, &plain(), &[insert(1, 2, "b")]).await;
    assert!(!is_due(&mut changes, &at).await);
    changes.ended(false);
    assert!(is_due(&mut changes, &at).await, "what failed is tried again");
}

#[tokio::test]
async fn after_many_commits_glue_is_told_that_there_is_nothing_new() {
    let world = World::new();
    let (at, mut changes) = (world.at("items"), Changes::default());
    commit(&at, &by_name(), &[insert(0, 1, "a")]).await;
    let mut due = vec![];
    for commits in 1..=450 {
        if is_due(&mut changes, &at).await {
            due.push(commits);
        }
    }
    assert_eq!(due, [1, 201, 401]);
}

/// A pump with syncs beside it.
struct Pumped {
    world: World,
    script: Script,
    watch: Arc<Watch>,
}

impl Pumped {
    /// Where time goes so many times as quick.
    fn quick(times: i64) -> Self {
        let limits = Limits { unsynced_ms: 0, silence_ms: i64::MAX, ..Limits::default() };
        let watch = Arc::new(Watch::new(limits, SystemClock.now_ms()));
        Self { world: World::quick(times), script: Script::default(), watch }
    }

    /// Until something holds, and then to the end.
    async fn until(&self, holds: impl AsyncFn() -> bool) {
        let decoders = Decoders::new(Format::DebeziumJson, Some(schema()), Schemas::None);
        let triggers = Triggers { age_ms: 20, ..Triggers::default() };
        let ingest = IngestSettings { triggers, rest_ms: 10, max_rest_ms: 20, ..IngestSettings::default() };
        let feed = Feed::new(
            Ingest::new(ingest, Arc::new(SystemClock)).unwrap(),
            decoders.into_feed(OnBadMessage::DeadLetter),
        );
        let at = self.world.at("items");
        let routes = move |_: &str| {
            let template = TableTemplate::new(TableWriter::builder(&at), by_name());
            Ok(Route { table: at.clone(), template })
        };
        let times = self.world.clock.times;
        let settings =
            PumpSettings { look_every_ms: 2 * times, tell_every_ms: 5 * times, rest_ms: 5, ..PumpSettings::default() };
        let (watch, clock) = (Arc::clone(&self.watch), Arc::clone(&self.world.clock));
        let pump = Pump::new(
            self.script.clone(),
            feed,
            Box::new(routes),
            settings,
            Arc::clone(&clock) as _,
            Arc::clone(&watch),
        );
        let (syncs, notes) = Beside::new(self.world.syncer(), clock as _, watch);
        let stop = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let pumped = beside(pump.noting(Some(notes)).run(stop), Some(syncs), &*self.world.clock);
        tokio::time::timeout(PATIENCE, pumped).await.unwrap().unwrap();
    }

    /// Another process is to go on.
    fn begins_again(&mut self) {
        self.script = self.script.another();
        self.script.assign(&[place(TOPIC, 0)]);
    }

    fn produce(&self, records: impl IntoIterator<Item = CapturedRecord>) {
        self.script.produce(records);
    }

    fn is_committed(&self, next: i64) -> bool {
        self.script.lock().told.get(&place(TOPIC, 0)) == Some(&next)
    }

    fn metric(&self, name: &str) -> f64 {
        let metrics = self.watch.metrics();
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

#[tokio::test]
async fn what_a_pump_commits_is_in_glue_when_it_has_ended() {
    let mut pumped = Pumped::quick(1);
    pumped.produce([insert(0, 1, "a"), insert(1, 2, "b")]);
    pumped.script.assign(&[place(TOPIC, 0)]);
    pumped.until(async || pumped.is_committed(2)).await;
    assert_eq!(pumped.world.partitions("items"), ["a", "b"]);
    // Another process goes on: what it finds and what it adds.
    pumped.begins_again();
    pumped.produce([upsert(2, 'u', 1, &item(1, "a", 7)), insert(3, 3, "c")]);
    pumped.until(async || pumped.is_committed(4)).await;
    assert_eq!(pumped.world.partitions("items"), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_sync_that_fails_is_told_of_and_made_good_and_fails_no_commit() {
    let pumped = Pumped::quick(100);
    let denied =
        |times| Fault::Fails { operation: "GetTable", code: "AccessDeniedException", times, carried_out: false };
    pumped.world.glue.add_fault(denied(2));
    pumped.produce([insert(0, 1, "a")]);
    pumped.script.assign(&[place(TOPIC, 0)]);
    let seen = std::cell::Cell::new(false);
    pumped
        .until(async || {
            let complaints = pumped.watch.complaints(Clock::now_ms(&*pumped.world.clock)).join(", ");
            if complaints.contains("has not been synced to Glue for") {
                assert!(complaints.contains("AccessDeniedException") && pumped.is_committed(1), "{complaints}");
                seen.set(true);
            }
            pumped.metric("cdc_glue_syncs_total") > 0.0
        })
        .await;
    assert_eq!((pumped.metric("cdc_glue_sync_failures_total"), pumped.metric("cdc_glue_failing_seconds")), (2.0, 0.0));
    assert_eq!((pumped.watch.complaints(Clock::now_ms(&*pumped.world.clock)), seen.get()), (vec![], true));
    assert_eq!(pumped.world.partitions("items"), ["a"]);
}

#[tokio::test]
async fn a_glue_that_does_not_answer_holds_up_no_commit_and_no_end() {
    let pumped = Pumped::quick(100);
    let limits = glue_catalog::testing::Limits { latency_ms: 1_000_000_000, ..Default::default() };
    pumped.world.glue.set_limits(limits);
    pumped.script.assign(&[place(TOPIC, 0)]);
    for at in 0..5 {
        pumped.produce([insert(at, at, "a")]);
    }
    pumped.until(async || pumped.is_committed(5)).await;
    assert_eq!(pumped.world.partitions("items"), [""; 0]);
    let rows = crate::replays::sound_rows(Path::new(&pumped.world.at("items"))).await;
    assert_eq!(rows.len(), 5);
}

#[cfg(feature = "lambda")]
mod function {
    //! The function, in this process: only so is there a stand-in of Glue.

    use examples::lambda::{Handler, Invocation, LambdaSettings};

    use super::*;
    use crate::function::event;

    struct Called {
        world: World,
        handler: Handler,
    }

    impl Called {
        fn new() -> Self {
            let world = World::new();
            let schema = world.at("schema.json");
            std::fs::write(&schema, crate::shop::SCHEMA).unwrap();
            let variables = [
                ("HUDI_TABLES", world.at("{table}")),
                ("HUDI_FORMAT", "debezium-json".to_owned()),
                ("HUDI_SCHEMA", schema),
                ("HUDI_PARTITION_BY", "name".to_owned()),
                ("HUDI_PARTITION_IMMUTABLE", "true".to_owned()),
                ("HUDI_INDEX", "bucket:2".to_owned()),
            ];
            let variables = variables.map(|(name, value)| (name.to_owned(), value));
            let settings = LambdaSettings::from_variables(variables).unwrap();
            let handler = Handler::new(settings, Arc::new(SystemClock)).syncing(Some(world.syncer()));
            Self { world, handler }
        }

        /// All of it is committed, whatever Glue says.
        async fn call(&mut self, records: &[CapturedRecord]) {
            let deadline_ms = SystemClock.now_ms() + 4_000;
            let invocation = Invocation { request_id: "1".to_owned(), deadline_ms, event: event(records).into() };
            let answer = self.handler.handle(&invocation).await.unwrap();
            assert_eq!(answer, r#"{"batchItemFailures":[]}"#);
            assert!(SystemClock.now_ms() < deadline_ms);
        }
    }

    #[tokio::test]
    async fn what_an_invocation_commits_is_in_glue_when_it_is_answered() {
        let mut called = Called::new();
        called.call(&[insert(0, 1, "a"), insert(1, 2, "b")]).await;
        assert_eq!(called.world.partitions("items"), ["a", "b"]);
        called.world.glue.forget_calls();
        called.call(&[upsert(2, 'u', 1, &item(1, "a", 5))]).await;
        assert_eq!(called.world.glue.calls(), [""; 0], "it is nothing to Glue");
        called.call(&[insert(3, 3, "c")]).await;
        assert_eq!(called.world.partitions("items"), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn what_glue_refuses_or_does_not_answer_is_due_at_the_next_event() {
        let mut called = Called::new();
        let denied =
            Fault::Fails { operation: "GetTable", code: "AccessDeniedException", times: 1, carried_out: false };
        called.world.glue.add_fault(denied);
        called.call(&[insert(0, 1, "a")]).await;
        assert_eq!(called.world.partitions("items"), [""; 0]);
        let limits = |latency_ms| glue_catalog::testing::Limits { latency_ms, ..Default::default() };
        called.world.glue.set_limits(limits(1_000_000_000));
        called.call(&[upsert(1, 'u', 1, &item(1, "a", 5))]).await;
        assert_eq!(called.world.partitions("items"), [""; 0]);
        called.world.glue.set_limits(limits(0));
        called.call(&[upsert(2, 'u', 1, &item(1, "a", 6))]).await;
        assert_eq!(called.world.partitions("items"), ["a"]);
    }
}

#[cfg(feature = "glue")]
mod program {
    //! `glue_sync` as a user runs it.

    use std::io::{Read, Write};
    use std::process::Command;

    use glue_catalog::aws::{ClientSettings, GlueClient};
    use glue_catalog::catalog::{Catalog, PageRequest};
    use glue_catalog::model::Table;
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check_refused(arguments: &[&str], message: &str) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_glue_sync"));
        let program = program.args(arguments).env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
        let output = program.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.starts_with("error: "), "{:?}: {told}", output.status);
        assert!(told.contains(message) && output.stdout.is_empty(), "{message}: {told}");
    }

    #[tokio::test]
    async fn glue_sync_refuses_what_cannot_be_before_it_asks_anybody() {
        let world = World::new();
        let at = world.at("public/items");
        commit(&at, &plain(), &[insert(0, 1, "a")]).await;
        check_refused(&["--database", "shop"], "--below");
        check_refused(&["--table", &at], "glue.database");
        check_refused(&["--table", &at, "--database", "shop", "--name", "{schema}"], "glue.table");
        // Nothing but S3 is anything to Athena.
        check_refused(&["--table", &at, "--database", "shop"], "s3://BUCKET/PREFIX");
        check_refused(&["--table", &at, "--database", "shop", "--dry-run"], "s3://BUCKET/PREFIX");
        let config = world.at("pipeline.toml");
        std::fs::write(&config, "[glue]\ndatabas = \"shop\"").unwrap();
        check_refused(&["--table", &at, "--config", &config], "did you mean `database`?");
    }

    /// What it prints; the last line is JSON.
    fn sync(arguments: &[&str]) -> (String, Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_glue_sync")).args(arguments).output().unwrap();
        let (out, told) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && told.is_empty(), "{:?}: {out}{told}", output.status);
        let last = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        (out, last)
    }

    async fn in_glue(client: &GlueClient, name: &str) -> (Table, Vec<String>) {
        let table = client.get_table(&id(name)).await.unwrap().unwrap();
        let page = client.get_partitions(&id(name), &PageRequest::default()).await.unwrap();
        (table, page.partitions.into_iter().map(|partition| partition.storage.location.unwrap()).collect())
    }

    /// At `s3://`, where `HUDI_TEST_S3` names a server of S3 and Glue that the AWS variables lead to.
    #[tokio::test]
    async fn all_tables_below_a_place_are_in_glue_when_synced_at_s3() {
        let Ok(url) = std::env::var("HUDI_TEST_S3") else {
            println!("SKIPPED: no HUDI_TEST_S3; run it by .ci/peers/s3.sh");
            return;
        };
        let address = url.strip_prefix("http://").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let head = format!("PUT /lake HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.read_to_string(&mut String::new()).unwrap();
        let tables = ["s3://lake/deep/public/items", "s3://lake/deep/crm/items"];
        commit(tables[0], &by_name(), &[insert(0, 1, "a b"), insert(1, 2, "c/d")]).await;
        commit(tables[1], &plain(), &[insert(0, 1, "a")]).await;
        let options = ["--below", "s3://lake/deep", "--database", "shop", "--name", "{parent}_{name}"];
        let (out, last) = sync(&[&options[..], &["--dry-run"]].concat());
        assert!(out.contains("shop.public_items:\n  create table at s3://lake/deep/public/items"), "{out}");
        assert_eq!((&last["changed"], &last["added"]), (&json!(2), &json!(2)));
        let client = GlueClient::new(&ClientSettings::default()).await;
        assert!(client.get_table(&id("public_items")).await.unwrap().is_none(), "it was dry");
        let (_, last) = sync(&options);
        assert_eq!((&last["changed"], &last["added"], &last["failed"]), (&json!(2), &json!(2), &json!(0)));
        let (table, places) = in_glue(&client, "public_items").await;
        assert_eq!(table.parameters["last_commit_time_sync"], newest(tables[0]).await.to_string());
        assert_eq!(places, ["s3://lake/deep/public/items/name=a b", "s3://lake/deep/public/items/name=c%2Fd"]);
        assert_eq!(in_glue(&client, "crm_items").await.0.storage.location.as_deref(), Some(tables[1]));
        let (_, last) = sync(&options);
        assert_eq!((&last["changed"], &last["unchanged"]), (&json!(0), &json!(2)));
        commit(tables[0], &by_name(), &[insert(2, 3, "e")]).await;
        let (_, last) = sync(&["--table", tables[0], "--database", "shop", "--name", "{parent}_{name}"]);
        assert_eq!((&last["changed"], &last["added"]), (&json!(1), &json!(1)));
    }
}
