//! `kafka_to_hudi` against a real broker, that of `HUDI_TEST_KAFKA`; `.ci/peers/broker.sh` brings one. Without it nothing is tested here.
//!
//! What a table must hold is what `load` says that it sent, whatever is killed meanwhile.

#![allow(clippy::disallowed_methods, reason = "tests that wait for a real broker")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use hudi_writer::{ReadOptions, Table, check_table};
use kafka_source::{CaptureReader, CapturedRecord};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::shop::{SCHEMA, item, record, upsert};

const PROGRAM: &str = env!("CARGO_BIN_EXE_kafka_to_hudi");
const LOAD: &str = env!("CARGO_BIN_EXE_load");

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A broker, topics of this test's own, and a folder of tables.
struct World {
    brokers: String,
    prefix: String,
    folder: tempfile::TempDir,
}

impl World {
    /// `None` and a word about it where there is no broker.
    fn new() -> Option<Self> {
        let Ok(brokers) = std::env::var("HUDI_TEST_KAFKA") else {
            eprintln!("SKIPPED: no HUDI_TEST_KAFKA; run it by .ci/peers/broker.sh");
            return None;
        };
        let prefix = format!("w{}n{}", std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
        Some(Self { brokers, prefix, folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn topic(&self, table: &str) -> String {
        format!("{}.public.{table}", self.prefix)
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap()
    }

    async fn make_topic(&self, table: &str, partitions: i32) -> String {
        let name = self.topic(table);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        // One that was just deleted may be there for a moment.
        for _ in 0..100 {
            let made = self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
            if made[0].is_ok() {
                return name;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} cannot be made");
    }

    fn produce(&self, records: &[CapturedRecord]) {
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        for record in records {
            let mut message = BaseRecord::<[u8], [u8]>::to(&record.topic).partition(record.partition);
            if let Some(key) = &record.key {
                message = message.key(key);
            }
            if let Some(value) = &record.value {
                message = message.payload(value);
            }
            producer.send(message).map_err(|(error, _)| error).unwrap();
            producer.poll(Duration::ZERO);
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn arguments(&self, topics: &str) -> Vec<String> {
        self.arguments_with(topics, "", "")
    }

    /// With more in its file: of `[kafka]`, and behind all.
    fn arguments_with(&self, topics: &str, kafka: &str, more: &str) -> Vec<String> {
        std::fs::write(self.path("schema.json"), SCHEMA).unwrap();
        let config = self.path("pipeline.toml");
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\ngroup = \"{}\"\ntopic_pattern = \"^{}\\\\.public\\\\.{topics}$\"\n{kafka}\n\
             [kafka.client]\n\"session.timeout.ms\" = \"3000\"\n\"heartbeat.interval.ms\" = \"500\"\n\"topic.metadata.refresh.interval.ms\" = \"500\"\n\
             \"statistics.interval.ms\" = \"200\"\n[format]\nname = \"debezium-json\"\n[tables]\nurl = \"{}/{{table}}\"\n\
             [commit]\nage = \"200ms\"\n{more}",
            self.brokers,
            self.prefix,
            self.prefix,
            self.folder.path().display()
        );
        std::fs::write(&config, text).unwrap();
        vec!["--config".to_owned(), config.to_str().unwrap().to_owned()]
    }

    /// Starts the program on all topics, its log in a file.
    fn start(&self, more: &[&str]) -> Running {
        self.start_on(".*", more)
    }

    fn start_on(&self, topics: &str, more: &[&str]) -> Running {
        let mut command = Command::new(PROGRAM);
        command.args(self.arguments(topics)).args(more);
        self.run(command)
    }

    fn run(&self, mut command: Command) -> Running {
        let log = self.path(&format!("log{}", WORLDS.fetch_add(1, Ordering::Relaxed)));
        let child = command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        Running { child, log }
    }

    /// Runs the program until it read everything: in a group of its own, as members that were killed count as such for a while.
    fn catch_up(&self) -> Running {
        let arguments = self.arguments(".*");
        let text = std::fs::read_to_string(&arguments[1]).unwrap();
        let group = |more: &str| format!("group = \"{}{more}\"", self.prefix);
        let alone = format!("-{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        std::fs::write(self.path("alone.toml"), text.replace(&group(""), &group(&alone))).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.path("alone.toml")).arg("--until-the-end");
        let mut running = self.run(command);
        let code = running.wait();
        assert_eq!(code, 0, "{}", running.log());
        running
    }

    fn load(&self, messages: u64, rate: u64, tables: u32) -> Child {
        let number = |number: u64| number.to_string();
        let mut command = Command::new(LOAD);
        command.args(["--brokers", &self.brokers, "--prefix", &self.prefix, "--keys", "2000", "--deletes", "10"]);
        command.args(["--messages", &number(messages), "--rate", &number(rate), "--tables", &number(tables.into())]);
        command.arg("--state").arg(self.path("state.jsonl")).stdout(Stdio::null()).spawn().unwrap()
    }

    /// What the load says that the tables hold, by table and id.
    fn expected(&self) -> BTreeMap<String, BTreeMap<i64, Value>> {
        let mut tables: BTreeMap<String, BTreeMap<i64, Value>> = BTreeMap::new();
        for line in std::fs::read_to_string(self.path("state.jsonl")).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let table = line["topic"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
            tables.entry(table).or_default().insert(line["row"]["id"].as_i64().unwrap(), line["row"].clone());
        }
        tables
    }

    async fn check_load(&self) {
        for (table, expected) in self.expected() {
            let rows = rows(&self.path(&table)).await;
            let ids: BTreeSet<_> = expected.keys().chain(rows.keys()).collect();
            let differ: Vec<_> = ids.iter().filter(|id| expected.get(id) != rows.get(id)).take(5).collect();
            assert!(differ.is_empty(), "{table}: {differ:?}, of {} rows, want {}", rows.len(), expected.len());
        }
    }
}

/// The rows of a table without our columns, by id.
async fn rows(table: &Path) -> BTreeMap<i64, Value> {
    let table = Table::open(table.to_str().unwrap()).await.unwrap();
    let report = check_table(&table).await.unwrap();
    assert!(report.is_ok(), "{:#?}", report.problems);
    let batches: Vec<_> = table.snapshot(&ReadOptions::default()).await.unwrap().try_collect().await.unwrap();
    let mut lines = vec![];
    let mut writer = arrow_json::LineDelimitedWriter::new(&mut lines);
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let mut rows = BTreeMap::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let mut row: Value = serde_json::from_slice(line).unwrap();
        row.as_object_mut().unwrap().retain(|name, _| !name.starts_with("_cdc_"));
        assert!(rows.insert(row["id"].as_i64().unwrap(), row).is_none(), "a row twice");
    }
    rows
}

async fn row_count(table: &Path) -> usize {
    if Table::open(table.to_str().unwrap()).await.is_ok() { rows(table).await.len() } else { 0 }
}

/// The program, as it runs.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The code with which it ends.
    fn wait(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            if begun.elapsed() > PATIENCE {
                self.kill();
                panic!("it does not end: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until something holds.
    async fn until(&mut self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}: {}", self.log());
            assert!(begun.elapsed() < PATIENCE, "not {what}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until its log says something so many times.
    async fn until_it_says(&mut self, what: &str, text: &str, times: usize) {
        let log = self.log.clone();
        let says = async || std::fs::read_to_string(&log).unwrap().matches(text).count() >= times;
        self.until(what, says).await;
    }

    /// Ends it as an orchestrator does.
    fn terminate(&mut self) {
        self.signal("TERM");
        let code = self.wait();
        assert_eq!(code, 0, "{}", self.log());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Status and body of a GET.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// So many inserts of a topic's partition, with ids of its own.
fn inserts(topic: &str, partition: i32, ids: std::ops::Range<i64>) -> Vec<CapturedRecord> {
    let insert = |id| CapturedRecord {
        topic: topic.to_owned(),
        partition,
        ..upsert(id, 'c', id, &item(id, "x", 1).replace("\"BNI=\"", "null").replace("\"/wA=\"", "null"))
    };
    ids.map(insert).collect()
}

#[tokio::test]
async fn a_consumer_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let Some(world) = World::new() else { return };
    let mut load = world.load(40_000, 5_000, 3);
    let mut kills = 0;
    while load.try_wait().unwrap().is_none() {
        let mut running = world.start(&[]);
        tokio::time::sleep(Duration::from_millis(900 + 377 * (kills % 4))).await;
        running.kill();
        kills += 1;
    }
    assert!(load.wait().unwrap().success() && kills > 3, "{kills} kills");
    world.catch_up();
    world.check_load().await;
    // Once more, and there is nothing to do.
    let before = timeline(&world.path("t0"));
    world.catch_up();
    assert_eq!(timeline(&world.path("t0")), before);
}

fn timeline(table: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(table.join(".hoodie")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with("commit")).collect()
}

#[tokio::test]
async fn two_of_a_group_write_the_same_tables_and_one_is_killed() {
    let Some(world) = World::new() else { return };
    let mut load = world.load(40_000, 4_000, 2);
    let mut stays = world.start(&[]);
    stays.until_it_says("reads everything", "the partition is read place", 6).await;
    for _ in 0..2 {
        let mut other = world.start(&[]);
        other.until_it_says("reads something", "the partition is read place", 1).await;
        other.kill();
    }
    let mut third = world.start(&[]);
    assert!(load.wait().unwrap().success());
    tokio::time::sleep(Duration::from_secs(2)).await;
    third.terminate();
    stays.terminate();
    world.catch_up();
    world.check_load().await;
    let log = stays.log();
    assert!(log.contains("the partition is read no more"), "nothing was taken from it: {log}");
}

#[tokio::test]
async fn it_ends_well_when_it_is_asked_to_and_at_once_when_asked_twice() {
    let Some(world) = World::new() else { return };
    let topic = world.make_topic("items", 1).await;
    world.produce(&inserts(&topic, 0, 0..500));
    let mut running = world.start(&["--commit-age", "1h"]);
    running.until("it reads", async || running_log(&world).contains("the partition is read")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    running.terminate();
    assert_eq!(row_count(&world.path("items")).await, 500);

    // A registry that takes requests and does not answer keeps it from ending.
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", registry.local_addr().unwrap());
    let framed = CapturedRecord { value: Some(vec![0, 0, 0, 0, 7, 1]), ..record(500, Some("k"), Some("v")) };
    world.produce(&[CapturedRecord { topic, ..framed }]);
    let mut running = world.start(&["--format", "debezium-avro", "--registry", &url]);
    let (_stream, _) = registry.accept().unwrap();
    running.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    running.signal("TERM");
    let begun = Instant::now();
    assert_eq!(running.wait(), 130, "{}", running.log());
    assert!(begun.elapsed() < Duration::from_secs(3));
}

/// All logs so far.
fn running_log(world: &World) -> String {
    let entries = std::fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let logs = entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("log"));
    logs.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test]
async fn what_the_broker_does_not_have_any_more_ends_it_with_advice() {
    let Some(world) = World::new() else { return };
    let topic = world.make_topic("items", 1).await;
    world.produce(&inserts(&topic, 0, 0..100));
    world.catch_up();
    world.produce(&inserts(&topic, 0, 100..200));
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(150)).unwrap();
    world.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    let mut running = world.start(&[]);
    assert_eq!(running.wait(), 1);
    let log = running.log();
    assert!(
        log.contains("want offset 100") && log.contains("earliest is 150") && log.contains("allow the gap"),
        "{log}"
    );

    // Deleted, and made anew: shorter than it was.
    world.admin().delete_topics(&[&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.make_topic("items", 1).await;
    world.produce(&inserts(&topic, 0, 300..350));
    let mut running = world.start(&[]);
    assert_eq!(running.wait(), 1);
    let log = running.log();
    assert!(log.contains("want offset 100") && log.contains("allow a topic that was made anew"), "{log}");
    assert_eq!(row_count(&world.path("items")).await, 100);
}

#[tokio::test]
async fn what_is_gone_of_one_topic_stops_its_table_and_the_others_go_on() {
    let Some(world) = World::new() else { return };
    let (topic, other) = (world.make_topic("items", 1).await, world.make_topic("others", 1).await);
    world.produce(&inserts(&topic, 0, 0..100));
    world.produce(&inserts(&other, 0, 0..10));
    world.catch_up();
    world.produce(&inserts(&topic, 0, 100..200));
    world.produce(&inserts(&other, 0, 10..50));
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(150)).unwrap();
    world.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    let port = free_port();
    let watched = format!("127.0.0.1:{port}");
    let mut running = world.start(&["--watch", &watched]);
    running.until("the other", async || row_count(&world.path("others")).await == 50).await;
    let is_told =
        |body: &str| ["items has stopped", "want offset 100", "earliest is 150"].iter().all(|p| body.contains(p));
    running.until("told", async || get(port, "/healthz").is_some_and(|(s, body)| s == 503 && is_told(&body))).await;
    running.terminate();
    assert_eq!(row_count(&world.path("items")).await, 100);

    let mut command = Command::new(PROGRAM);
    command.args(world.arguments_with(".*", "on_gap = \"earliest\"", "")).args(["--watch", &watched]);
    let mut running = world.run(command);
    running.until("goes on", async || row_count(&world.path("items")).await == 150).await;
    let is_counted = |text: &str| text.contains("cdc_messages_lost_total 50\n");
    running.until("counted", async || get(port, "/metrics").is_some_and(|(_, text)| is_counted(&text))).await;
    running.terminate();
}

#[tokio::test]
async fn a_table_that_is_deleted_when_its_topic_begins_later_stops_with_advice() {
    let Some(world) = World::new() else { return };
    let topic = world.make_topic("items", 1).await;
    world.produce(&inserts(&topic, 0, 0..100));
    let mut running = world.start(&[]);
    running.until("the first", async || row_count(&world.path("items")).await == 100).await;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(40)).unwrap();
    world.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    std::fs::remove_dir_all(world.path("items")).unwrap();
    world.produce(&inserts(&topic, 0, 100..110));
    assert_eq!(running.wait(), 1, "{}", running.log());
    let log = running.log();
    assert!(log.contains("want offset 0") && log.contains("40 messages are gone"), "{log}");
    assert!(!world.path("items").join(".hoodie/hoodie.properties").exists(), "it was made anew");
}

/// A disk of a few megabytes that only one process has: by its place below the world's folder.
struct SmallDisk {
    folder: PathBuf,
    of: u32,
}

impl SmallDisk {
    /// Starts the program with it, and with a file on it that takes most of its room.
    fn start(world: &World, arguments: &[String]) -> (Self, Running) {
        let folder = world.path("small");
        std::fs::create_dir(&folder).unwrap();
        let script = "mount -t tmpfs -o size=8m tmpfs \"$0\" && head -c 6m /dev/zero >\"$0/ballast\" && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(&folder).arg(PROGRAM).args(arguments);
        let running = world.run(command);
        (Self { folder, of: running.child.id() }, running)
    }

    /// Where its process sees it, from outside.
    fn path(&self, name: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.of)).join(self.folder.strip_prefix("/").unwrap()).join(name)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Text that no compression makes much smaller.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 58) as usize])
    };
    (0..bytes).map(letter).collect()
}

#[tokio::test]
async fn a_full_disk_is_told_and_once_there_is_room_it_goes_on() {
    let Some(world) = World::new() else { return };
    let (topic, other) = (world.make_topic("items", 1).await, world.make_topic("others", 1).await);
    let large = |id: i64| CapturedRecord {
        topic: topic.clone(),
        ..upsert(
            id,
            'c',
            id,
            &item(id, &noise(id as u64, 3_000), 1).replace("\"BNI=\"", "null").replace("\"/wA=\"", "null"),
        )
    };
    world.produce(&inserts(&topic, 0, 0..100));
    let small = world.path("small").join("items");
    let port = free_port();
    let more = format!(
        "[watch]\nmax_failing = \"1s\"\naddress = \"127.0.0.1:{port}\"\n[[override]]\ntopics = [\"*.items\"]\nurl = \"{}\"\n",
        small.display()
    );
    let (disk, mut running) = SmallDisk::start(&world, &world.arguments_with(".*", "", &more));
    let metric = |name: &str, table: &Path| {
        let label = format!("{name}{{table=\"{}\"}} ", table.display());
        let (_, text) = get(port, "/metrics")?;
        text.lines().find_map(|line| line.strip_prefix(&label)?.parse::<u64>().ok())
    };
    running.until("the first", async || metric("cdc_upserts_total", &small) == Some(100)).await;

    // 3 MB of them: more than there is room for.
    world.produce(&(100..1_100).map(large).collect::<Vec<_>>());
    let is_told = |body: &str| {
        [small.to_str().unwrap(), "has not been committed", "No space left", "make some"]
            .iter()
            .all(|p| body.contains(p))
    };
    running.until("told", async || get(port, "/healthz").is_some_and(|(s, body)| s == 503 && is_told(&body))).await;
    world.produce(&inserts(&other, 0, 0..50));
    running.until("the other", async || row_count(&world.path("others")).await == 50).await;
    let log = running.log();
    let told = log.lines().find(|line| line.contains("it is tried again")).unwrap_or_else(|| panic!("{log}"));
    assert!(is_told(&told.replace("not committed", "has not been committed")), "{told}");
    assert_eq!(metric("cdc_upserts_total", &small), Some(100));

    std::fs::remove_file(disk.path("ballast")).unwrap();
    running.until("all rows", async || metric("cdc_upserts_total", &small) == Some(1_100)).await;
    running.until("well", async || get(port, "/healthz") == Some((200, "ok\n".to_owned()))).await;
    assert!(metric("cdc_commit_failures_total", &small) > Some(0));
    copy_folder(&disk.path("items"), &world.path("copied"));
    let rows = rows(&world.path("copied")).await;
    assert_eq!(rows.len(), 1_100);
    for (id, row) in rows {
        let name = if id < 100 { "x".to_owned() } else { noise(id as u64, 3_000) };
        assert!(row["name"] == name && row["stock"] == 1, "{id}");
    }
    running.terminate();
}

#[tokio::test]
async fn partitions_and_topics_that_come_later_are_read_from_their_beginning() {
    let Some(world) = World::new() else { return };
    let topic = world.make_topic("items", 1).await;
    world.produce(&inserts(&topic, 0, 0..100));
    let mut running = world.start(&[]);
    running.until("the first", async || row_count(&world.path("items")).await == 100).await;
    let more = NewPartitions::new(&topic, 2);
    world.admin().create_partitions([&more], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.produce(&inserts(&topic, 1, 1_000..1_100));
    let other = world.make_topic("others", 1).await;
    world.produce(&inserts(&other, 0, 0..50));
    running.until("the partition", async || row_count(&world.path("items")).await == 200).await;
    running.until("the topic", async || row_count(&world.path("others")).await == 50).await;
    running.terminate();
}

#[tokio::test]
async fn a_table_that_is_deleted_and_a_place_that_cannot_be_written_cost_nothing_but_time() {
    let Some(world) = World::new() else { return };
    let (topic, other) = (world.make_topic("items", 1).await, world.make_topic("others", 1).await);
    std::fs::write(world.path("others"), "no folder").unwrap();
    world.produce(&inserts(&topic, 0, 0..100));
    world.produce(&inserts(&other, 0, 0..100));
    let port = free_port();
    let mut running = world.start(&["--watch", &format!("127.0.0.1:{port}")]);
    running.until("the first", async || row_count(&world.path("items")).await == 100).await;
    std::fs::remove_dir_all(world.path("items")).unwrap();
    world.produce(&inserts(&topic, 0, 100..110));
    running.until("made anew", async || row_count(&world.path("items")).await == 110).await;
    let metric = |name: &str, table: &str| {
        let label = format!("{name}{{table=\"{}\"}} ", world.path(table).display());
        let (_, text) = get(port, "/metrics")?;
        text.lines().find_map(|line| line.strip_prefix(&label)?.parse::<u64>().ok())
    };
    running.until("a failure", async || metric("cdc_commit_failures_total", "others") > Some(0)).await;
    assert_eq!(get(port, "/healthz"), Some((200, "ok\n".to_owned())), "it failed for less than a minute");
    std::fs::remove_file(world.path("others")).unwrap();
    running.until("mended", async || row_count(&world.path("others")).await == 100).await;
    running.until("told", async || metric("cdc_upserts_total", "others") == Some(100)).await;
    assert!(metric("cdc_reloads_total", "items") > Some(0));
    let (status, text) = get(port, "/metrics").unwrap();
    assert_eq!(status, 200);
    for part in
        ["cdc_messages_total ", "cdc_lag_messages{", "cdc_freshness_seconds_bucket{", "process_resident_memory_bytes "]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(get(port, "/nothing").unwrap().0, 404);
    running.terminate();
}

#[tokio::test]
async fn a_bad_message_that_is_to_stop_a_table_makes_it_unwell() {
    let Some(world) = World::new() else { return };
    let (topic, other) = (world.make_topic("items", 1).await, world.make_topic("others", 1).await);
    let mut records = inserts(&topic, 0, 0..10);
    records.push(CapturedRecord { topic: topic.clone(), ..record(10, Some("{\"id\":1}"), Some("{")) });
    world.produce(&records);
    world.produce(&inserts(&other, 0, 0..10));
    let port = free_port();
    let mut command = Command::new(PROGRAM);
    command.args(world.arguments_with(".*", "", "[errors]\nbad_message = \"stop\"\n"));
    command.args(["--watch", &format!("127.0.0.1:{port}"), "--log-json"]);
    let mut running = world.run(command);
    running.until("unwell", async || get(port, "/healthz").is_some_and(|(status, _)| status == 503)).await;
    let (_, body) = get(port, "/healthz").unwrap();
    assert!(body.contains("items has stopped") && body.contains(&format!("{topic}/0@10: malformed")), "{body}");
    running.until("the other", async || row_count(&world.path("others")).await == 10).await;
    running.terminate();
    for line in running.log().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
    }
}

/// Answers with the schemas of a folder, as a registry does; ends with the process.
fn registry(port: u16, schemas: PathBuf) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..read]);
            let id = text.split(' ').nth(1).unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
            let (status, body) = match std::fs::read_to_string(schemas.join(format!("{id}.avsc"))) {
                Ok(schema) => ("200 OK", serde_json::json!({ "schema": schema }).to_string()),
                Err(_) => ("404 Not Found", "{}".to_owned()),
            };
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    });
}

#[tokio::test]
async fn a_registry_that_is_away_is_waited_for_while_others_go_on() {
    let Some(world) = World::new() else { return };
    let Some(folder) = crate::capture::folder() else { return };
    let folder = folder.join("pg/avro");
    let all = CaptureReader::open(folder.join("records.jsonl.gz")).unwrap().map(Result::unwrap);
    let records: Vec<_> = all.filter(|record| record.topic.ends_with(".customers")).collect();
    let partitions = records.iter().map(|record| record.partition).max().unwrap() + 1;
    let topic = world.make_topic("customers", partitions).await;
    let records: Vec<_> = records.into_iter().map(|record| CapturedRecord { topic: topic.clone(), ..record }).collect();
    world.produce(&records);
    let port = free_port();
    let watch = free_port();
    let (url, watched) = (format!("http://127.0.0.1:{port}"), format!("127.0.0.1:{watch}"));
    let arguments = ["--format", "debezium-avro", "--registry", &url, "--watch", &watched];
    let mut running = world.start(&arguments);
    let waits = |body: &str| body.contains("partitions wait") && body.contains(&url);
    running.until("it waits", async || get(watch, "/healthz").is_some_and(|(_, body)| waits(&body))).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    registry(port, folder.join("schemas"));
    let truth = crate::capture::truth(&crate::capture::folder().unwrap().join("pg"), "customers");
    running.until("all rows", async || row_count(&world.path("customers")).await == truth.len()).await;
    running.until("well", async || get(watch, "/healthz") == Some((200, "ok\n".to_owned()))).await;
    running.terminate();
    let mut list: BTreeSet<i64> = truth.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    for id in rows(&world.path("customers")).await.into_keys() {
        assert!(list.remove(&id), "{id}");
    }
}
