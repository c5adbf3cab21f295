//! `lambda_kafka` under a runtime API of our own: events twice, kills, rivals, deadlines, records that are none; and what it takes.
//!
//! What a table must hold is what `replay` makes of the same messages.

#![allow(clippy::disallowed_methods, reason = "how long a process takes is measured by the machine's clock")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hudi_writer::TableWriter;
use kafka_source::{CaptureReader, CapturedHeader, CapturedRecord};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::function::{Answer, Function, event, program};
use crate::replays::{Replay, sound_rows};
use crate::shop::{SCHEMA, TOPIC, delete, item, record, tombstone, upsert};

/// Real changes of an orders table, and their schema.
const ORDERS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/data/orders.jsonl.gz"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/data/orders.schema.json"),
];

fn orders() -> Vec<CapturedRecord> {
    CaptureReader::open(ORDERS[0]).unwrap().map(Result::unwrap).collect()
}

/// A folder of tables, and what functions are told of it.
struct Lake {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Lake {
    fn new(schema: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("schema.json"), schema).unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let variables = [
            ("HUDI_TABLES", path("{table}")),
            ("HUDI_FORMAT", "debezium-json".to_owned()),
            ("HUDI_SCHEMA", path("schema.json")),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Self { folder, variables }
    }

    fn of_items() -> Self {
        Self::new(SCHEMA)
    }

    fn of_orders() -> Self {
        Self::new(&std::fs::read_to_string(ORDERS[1]).unwrap())
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn start(&self) -> Function {
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Function::start(&variables)
    }

    fn table(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The rows of a sound table, in an order.
    async fn rows(&self, name: &str) -> Vec<String> {
        rows(&self.table(name)).await
    }

    async fn ids(&self, name: &str) -> Vec<String> {
        let rows = sound_rows(&self.table(name)).await;
        let mut ids: Vec<_> = rows.iter().map(|row| format!("{:?}", row.cells["id"])).collect();
        ids.sort();
        ids
    }

    async fn next(&self, name: &str, topic: &str, partition: i32) -> Option<i64> {
        let writer = TableWriter::builder(self.table(name).to_str().unwrap()).open().await.unwrap();
        writer.committed().next_offset(topic, partition)
    }

    /// Instants that were requested, and those that were completed.
    fn instants(&self, name: &str) -> (usize, usize) {
        let Ok(files) = std::fs::read_dir(self.table(name).join(".hoodie")) else { return (0, 0) };
        let names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let count = |end: &str| names.iter().filter(|name| name.ends_with(end) && !name.starts_with('.')).count();
        (count(".commit.requested"), count(".commit"))
    }

    /// What stands in the dead letters, by offset.
    fn letters(&self, name: &str) -> Vec<(i64, Value)> {
        let Ok(files) = std::fs::read_dir(self.table(name).join(".hoodie/.cdc/dead_letters")) else { return vec![] };
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let text = texts.collect::<String>();
        let letters = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut letters: Vec<_> = letters.map(|letter| (letter["offset"].as_i64().unwrap(), letter)).collect();
        letters.sort_by_key(|(offset, _)| *offset);
        letters
    }

    /// The lock of a table, held by somebody else.
    fn hold(&self, name: &str) -> File {
        let file = OpenOptions::new().write(true).open(self.table(name).join(".hoodie/.cdc/table.lock")).unwrap();
        file.lock().unwrap();
        file
    }
}

async fn rows(table: &Path) -> Vec<String> {
    let mut rows: Vec<_> = sound_rows(table).await.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

/// What `replay` makes of the orders.
async fn replayed(records: &[CapturedRecord]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let schema = std::fs::read_to_string(ORDERS[1]).unwrap();
    let declared = Some(cdc_decoders::debezium::DeclaredSchema::from_json(&schema).unwrap());
    Replay { declared, ..Replay::default() }.run(folder.path(), records).await.unwrap();
    rows(folder.path()).await
}

/// Records as Lambda brings them: so many an event, of several partitions, each in its order.
fn events(records: &[CapturedRecord], a_partition: usize) -> Vec<Vec<CapturedRecord>> {
    let mut partitions: BTreeMap<i32, Vec<CapturedRecord>> = BTreeMap::new();
    for record in records {
        partitions.entry(record.partition).or_default().push(record.clone());
    }
    let longest = partitions.values().map(Vec::len).max().unwrap();
    let chunk = |at: usize| {
        let of_each = partitions.values().map(|of| of.iter().skip(at * a_partition).take(a_partition));
        of_each.flatten().cloned().collect()
    };
    (0..longest.div_ceil(a_partition)).map(chunk).collect()
}

fn inserts(offsets: std::ops::Range<i64>) -> Vec<CapturedRecord> {
    offsets.map(|offset| upsert(offset, 'c', offset, &item(offset, "one", 1))).collect()
}

fn of(topic: &str, partition: i32, record: CapturedRecord) -> CapturedRecord {
    CapturedRecord { topic: topic.to_owned(), partition, ..record }
}

#[tokio::test]
async fn an_event_is_one_commit_and_sent_again_it_is_none() {
    let (lake, records) = (Lake::of_orders(), orders());
    let mut function = lake.start();
    let events = events(&records, 400);
    assert!(events.len() > 3, "{}", events.len());
    for (number, of_event) in events.iter().enumerate() {
        let text = event(of_event);
        function.invoke(&text).is_done();
        let told = function.metrics();
        assert_eq!((&told["Commits"], &told["CommittedBefore"]), (&json!(1.0), &json!(0.0)), "{told}");
        assert_eq!(told["Records"], of_event.len() as f64);
        assert_eq!(told["ColdStarts"], f64::from(u8::from(number == 0)));
        assert!(told["Freshness"].is_number() && told["PeakMemory"].as_f64().unwrap() > 1e6, "{told}");
        assert_eq!(told["_aws"]["CloudWatchMetrics"][0]["Namespace"], "HudiCdc");
        function.invoke(&text).is_done();
        let told = function.metrics();
        assert_eq!((&told["Commits"], &told["CommittedBefore"]), (&json!(0.0), &told["Records"]), "{told}");
    }
    // To an instance that never saw them.
    let mut another = lake.start();
    another.invoke(&event(events.last().unwrap())).is_done();
    assert_eq!(another.metrics()["Commits"], 0.0);
    assert!(another.log().contains("passed over"), "{}", another.log());
    assert_eq!(lake.instants("orders"), (events.len(), events.len()));
    assert_eq!(lake.rows("orders").await, replayed(&records).await);
}

#[tokio::test]
async fn a_function_that_is_killed_at_any_moment_and_called_again_leaves_the_same_table() {
    let (lake, records) = (Lake::of_orders(), orders());
    let events = events(&records, 60);
    let mut function = lake.start();
    // How long a start and an invocation take here: the moments are spread over both.
    let begun = Instant::now();
    function.invoke(&event(&events[0])).is_done();
    let whole = begun.elapsed();
    let (mut pending, mut done_before) = (0, 0);
    for (number, of_event) in events.iter().enumerate().skip(1) {
        let (text, before) = (event(of_event), lake.instants("orders"));
        let time = Duration::from_secs(30);
        function.send(&text, time);
        std::thread::sleep(whole * (number as u32 % 12) / 10);
        function.kill();
        let after = lake.instants("orders");
        pending += usize::from(after.0 > after.1);
        done_before += usize::from(after.1 > before.1);
        function = lake.start();
        function.invoke(&text).is_done();
    }
    assert_eq!(lake.rows("orders").await, replayed(&records).await);
    println!("{} kills: {pending} left a commit half done, {done_before} came after it", events.len() - 1);
    assert!(pending > 0 && done_before > 0, "{pending} {done_before} of {}", events.len());
}

#[tokio::test]
async fn two_instances_at_once_write_different_partitions_of_one_table() {
    let (lake, records) = (Lake::of_orders(), orders());
    let partition = |keep: &dyn Fn(i32) -> bool| -> Vec<String> {
        let of = records.iter().filter(|record| keep(record.partition)).cloned().collect::<Vec<_>>();
        events(&of, 150).iter().map(|records| event(records)).collect()
    };
    let halves = [partition(&|number| number == 0), partition(&|number| number != 0)];
    let mut functions = [lake.start(), lake.start()];
    for at in 0..halves.iter().map(Vec::len).max().unwrap() {
        let called = functions.iter_mut().zip(&halves).filter_map(|(function, half)| {
            half.get(at).map(|text| {
                function.send(text, Duration::from_secs(60));
                &*function
            })
        });
        for function in called.collect::<Vec<_>>() {
            function.answer().is_done();
        }
    }
    assert_eq!(lake.rows("orders").await, replayed(&records).await);
}

#[tokio::test]
async fn a_partition_that_another_instance_went_on_with_is_taken_back_from_where_it_is() {
    let lake = Lake::of_items();
    let (mut one, mut other) = (lake.start(), lake.start());
    one.invoke(&event(&inserts(0..2))).is_done();
    other.invoke(&event(&inserts(2..4))).is_done();
    // What it knows is old: neither a gap, nor taken for granted.
    one.invoke(&event(&inserts(4..6))).is_done();
    other.invoke(&event(&inserts(3..7))).is_done();
    assert_eq!(other.metrics()["CommittedBefore"], 3.0);
    // It begins just where the other instance was, but somebody has been there.
    one.invoke(&event(&inserts(6..8))).is_done();
    assert_eq!((one.metrics()["Rows"].as_f64(), lake.ids("items").await.len()), (Some(1.0), 8));
    assert_eq!(lake.instants("items"), (5, 5));
}

#[tokio::test]
async fn while_somebody_holds_the_lock_it_waits_and_before_the_deadline_it_answers() {
    for partial in ["false", "true"] {
        let lake = Lake::of_items().with("HUDI_PARTIAL_FAILURES", partial).with("HUDI_DEADLINE_MARGIN", "500ms");
        let mut function = lake.start();
        function.invoke(&event(&inserts(0..2))).is_done();
        let held = lake.hold("items");
        let begun = Instant::now();
        let answer = function.invoke_within(&event(&inserts(2..4)), Duration::from_secs(2));
        let took = begun.elapsed();
        assert!((1_400..2_000).contains(&took.as_millis()), "{took:?}");
        match partial {
            "true" => assert_eq!(answer.undone(), [(format!("{TOPIC}-0"), 2)]),
            _ => answer.failed("not committed before the deadline"),
        }
        assert_eq!(function.metrics()["PartitionsUndone"], 1.0);
        assert_eq!(lake.instants("items"), (1, 1));

        // It is given back while the function waits for it.
        function.send(&event(&inserts(2..4)), Duration::from_secs(30));
        assert_eq!(function.answer_within(Duration::from_millis(700)), None);
        drop(held);
        function.answer().is_done();
        assert_eq!(lake.ids("items").await.len(), 4);
        // There is no time at all.
        let answer = function.invoke_within(&event(&inserts(4..5)), Duration::from_millis(100));
        assert_ne!(answer, Answer::Response(json!({"batchItemFailures": []})));
    }
}

/// Of partition 0: two rows, a message that is none, and one that no key tells; of partition 1: rows.
fn with_bad_records() -> Vec<CapturedRecord> {
    let mut records = inserts(0..2);
    records.push(record(2, Some(r#"{"id":2}"#), Some("{")));
    records.push(upsert(3, 'c', 3, &item(3, "three", 3)));
    records.extend(inserts(4..6).into_iter().map(|record| of(TOPIC, 1, record)));
    records
}

#[tokio::test]
async fn a_bad_record_is_a_dead_letter_and_the_rest_goes_on() {
    let lake = Lake::of_items();
    let mut function = lake.start();
    let mut text: Value = serde_json::from_str(&event(&with_bad_records())).unwrap();
    // Not even base64: whoever calls us is no Lambda.
    let of_first = text["records"][format!("{TOPIC}-0")].as_array_mut().unwrap();
    of_first.insert(1, json!({"topic": TOPIC, "partition": 0, "offset": 1, "value": "%", "headers": []}));
    of_first.remove(2);
    function.invoke(&text.to_string()).is_done();
    let letters = lake.letters("items");
    assert_eq!(letters.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((letters[0].1["stage"].as_str(), letters[1].1["partition"].as_i64()), (Some("decode"), Some(0)));
    assert!(letters[0].1["reason"].as_str().unwrap().contains("base64"), "{letters:?}");
    let told = function.metrics();
    assert_eq!((&told["DeadLetters"], &told["Rows"], &told["Commits"]), (&json!(2.0), &json!(4.0), &json!(1.0)));
    assert_eq!(lake.ids("items").await.len(), 4);
    function.invoke(&text.to_string()).is_done();
    assert_eq!((function.metrics()["Commits"].as_f64(), lake.letters("items").len()), (Some(0.0), 2));
    assert!(!function.log().contains("three"), "a value stands in the log");
}

#[tokio::test]
async fn by_setting_a_bad_record_ends_its_partition_there_and_everything_before_it_is_committed() {
    let partial = || Lake::of_items().with("HUDI_BAD_RECORD", "stop").with("HUDI_PARTIAL_FAILURES", "true");
    let lake = partial();
    let mut function = lake.start();
    let undone = [(format!("{TOPIC}-0"), 2)];
    assert_eq!(function.invoke(&event(&with_bad_records())).undone(), undone);
    assert_eq!((lake.instants("items"), lake.ids("items").await.len()), ((1, 1), 4));
    assert_eq!((lake.next("items", TOPIC, 0).await, lake.next("items", TOPIC, 1).await), (Some(2), Some(6)));
    assert_eq!(lake.letters("items"), []);
    // Lambda sends it again, as often as it is told to; then goes on behind it, if somebody says so.
    assert_eq!(function.invoke(&event(&with_bad_records()[2..4])).undone(), undone);
    assert_eq!(lake.instants("items"), (1, 1));
    let mended = [inserts(2..3), with_bad_records()[3..4].to_vec()].concat();
    function.invoke(&event(&mended)).is_done();
    assert_eq!(lake.ids("items").await.len(), 6);

    // Without partial answers nothing is answered but the failure.
    let lake = Lake::of_items().with("HUDI_BAD_RECORD", "stop");
    let mut function = lake.start();
    function.invoke(&event(&with_bad_records())).failed(&format!("{TOPIC}/0, from 2 on: {TOPIC}/0@2"));
    assert_eq!((function.metrics()["Failed"].as_f64(), lake.ids("items").await.len()), (Some(1.0), 4));

    // What no table can take: found by an override, and by the table itself, which lies behind the decoder.
    for (variable, value, bad) in [
        ("HUDI_OVERRIDES", "stock:type=decimal(3,0)", upsert(2, 'c', 2, &item(2, "two", 2_000_000_000))),
        ("HUDI_PARTITION_BY", "name", upsert(2, 'c', 2, &item(2, "", 2))),
    ] {
        let lake = partial().with(variable, value).with("HUDI_PARTITION_IMMUTABLE", "true");
        let mut function = lake.start();
        let records = [inserts(0..2), vec![bad], inserts(3..5)].concat();
        let others = inserts(5..7).into_iter().map(|record| of(TOPIC, 1, record)).collect();
        let answer = function.invoke(&event(&[records, others].concat()));
        assert_eq!(answer.undone(), undone, "{variable}: {}", function.log());
        assert_eq!((lake.instants("items"), lake.ids("items").await.len()), ((1, 1), 4), "{variable}");
    }
}

#[tokio::test]
async fn a_schema_that_cannot_be_asked_for_ends_its_partition_there() {
    let lake = Lake::of_items()
        .with("HUDI_FORMAT", "debezium-avro")
        .with("HUDI_REGISTRY", "http://127.0.0.1:9")
        .with("HUDI_PARTIAL_FAILURES", "true");
    let mut lake = lake;
    lake.variables.remove("HUDI_SCHEMA");
    let mut function = lake.start();
    let framed = record(7, None::<&str>, Some([0, 0, 0, 0, 1, 2]));
    assert_eq!(function.invoke(&event(&[framed])).undone(), [(format!("{TOPIC}-0"), 7)]);
    assert!(function.log().contains("schemas/ids/1"), "{}", function.log());
}

#[tokio::test]
async fn each_topic_has_its_table_and_one_that_fails_does_not_hold_up_the_others() {
    let lake = Lake::of_items().with("HUDI_PARTIAL_FAILURES", "true");
    let template = lake.table("{schema}/{table}").to_str().unwrap().to_owned();
    let lake = lake.with("HUDI_TABLES", &template);
    let mut function = lake.start();
    let topics = ["shop.public.items", "shop.public.goods", "shop.public.things"];
    let all = |offsets: std::ops::Range<i64>| -> Vec<CapturedRecord> {
        let of_topic =
            |topic: &str| inserts(offsets.clone()).into_iter().map(|record| of(topic, 0, record)).collect::<Vec<_>>();
        topics.iter().flat_map(|topic| of_topic(topic)).collect()
    };
    function.invoke(&event(&all(0..3))).is_done();
    assert_eq!(function.metrics()["Commits"], 3.0);
    assert_eq!(function.metrics()["tables"].as_object().unwrap().len(), 3);

    let held = lake.hold("public/goods");
    let answer = function.invoke_within(&event(&all(3..5)), Duration::from_secs(3));
    assert_eq!(answer.undone(), [("shop.public.goods-0".to_owned(), 3)]);
    drop(held);
    // A topic that no table can be told for.
    let lost = of("things", 0, inserts(0..1).remove(0));
    let answer = function.invoke(&event(&[all(3..5), vec![lost]].concat()));
    assert_eq!(answer.undone(), [("things-0".to_owned(), 0)]);
    for table in ["public/items", "public/goods", "public/things"] {
        assert_eq!(lake.ids(table).await.len(), 5, "{table}");
    }
}

#[tokio::test]
async fn what_is_no_row_moves_the_position_all_the_same() {
    let lake = Lake::of_items();
    let mut function = lake.start();
    // There is no table yet, and nothing to make it of.
    function.invoke(&event(&[tombstone(0, 1), tombstone(1, 2)])).is_done();
    assert_eq!(lake.instants("items"), (0, 0));
    let header = CapturedHeader { name: "h".to_owned(), value: Some(vec![0, 200, 255]) };
    let mut rows = inserts(2..4);
    rows[0].headers = vec![header.clone(), CapturedHeader { value: None, ..header }];
    function.invoke(&event(&[rows, vec![delete(4, 3), tombstone(5, 3)]].concat())).is_done();
    assert_eq!((lake.next("items", TOPIC, 0).await, lake.ids("items").await.len()), (Some(6), 1));
    function.invoke(&event(&[tombstone(6, 3), tombstone(7, 3)])).is_done();
    assert_eq!((function.metrics()["Commits"].as_f64(), lake.next("items", TOPIC, 0).await), (Some(1.0), Some(8)));
    let mut function = lake.start();
    function.invoke(&event(&inserts(8..9))).is_done();
    assert_eq!(function.metrics()["GapOffsets"], 0.0);
    // A truncate of a table that is not there is done.
    let source = upsert(0, 'c', 0, "null").value.unwrap();
    let truncate = String::from_utf8(source).unwrap().replace("\"op\":\"c\"", "\"op\":\"t\"");
    function.invoke(&event(&[of("shop.public.others", 0, record(0, None::<&str>, Some(truncate)))])).is_done();
    // No dead letter tells what a table is.
    let other = of("shop.public.others", 0, record(1, Some("1"), Some("{")));
    function.invoke(&event(&[other])).failed("there is no table yet");
}

#[tokio::test]
async fn a_table_begins_anywhere_and_from_then_on_nothing_is_left_out_in_silence() {
    let lake = Lake::of_items().with("HUDI_PARTIAL_FAILURES", "true");
    let mut function = lake.start();
    function.invoke(&event(&inserts(50..52))).is_done();
    let fresh = inserts(90..91).into_iter().map(|record| of(TOPIC, 1, record)).collect();
    let with_gap = event(&[inserts(54..56), fresh].concat());
    assert_eq!(function.invoke(&with_gap).undone(), [(format!("{TOPIC}-0"), 54)]);
    assert!(function.log().contains("wants offset 52, but the event begins at 54"), "{}", function.log());
    assert_eq!((lake.next("items", TOPIC, 0).await, lake.next("items", TOPIC, 1).await), (Some(52), Some(91)));
    let lake = lake.with("HUDI_ON_GAP", "go-on");
    let mut function = lake.start();
    function.invoke(&with_gap).is_done();
    assert_eq!((function.metrics()["GapOffsets"].as_f64(), lake.ids("items").await.len()), (Some(2.0), 5));
    assert!(function.log().contains("goes on behind a gap"));
}

#[test]
fn events_of_others_are_refused_by_name() {
    let lake = Lake::of_items();
    let mut function = lake.start();
    let kinesis = json!({"Records": [{"eventSource": "aws:kinesis", "kinesis": {"data": "e30="}}]});
    let dynamodb = json!({"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {}}]});
    let sqs = json!({"Records": [{"eventSource": "aws:sqs", "body": "secret"}]});
    for (text, message) in [
        (kinesis.to_string(), "Kinesis: its sequence numbers"),
        (dynamodb.to_string(), "DynamoDB Streams"),
        (sqs.to_string(), "aws:sqs: want one of Kafka"),
        ("{}".to_owned(), "event of Kafka"),
        ("[".to_owned(), "event of Kafka"),
        (json!({"eventSource": "aws:kafka", "records": {"t-0": [{"topic": "t"}]}}).to_string(), "record 0 of t-0"),
    ] {
        function.invoke(&text).failed(message);
    }
    assert!(!function.log().contains("secret"));
    function.invoke(&event(&inserts(0..1))).is_done();
}

#[test]
fn what_it_is_told_wrongly_it_says_before_the_first_event() {
    for (variable, value, message) in [
        ("HUDI_TABELS", "x", "HUDI_TABELS: there is no such setting; did you mean HUDI_TABLES?"),
        ("HUDI_QWERTYUIOP", "hunter2", "HUDI_QWERTYUIOP: there is no such setting"),
        ("HUDI_FORMAT", "debezium_json", "HUDI_FORMAT: want one of debezium-json, "),
        ("HUDI_MODE", "append", "HUDI_MODE: want one of upsert, soft, history"),
        ("HUDI_INDEX", "bloom", "HUDI_INDEX: want `simple`"),
        ("HUDI_ON_GAP", "jump", "HUDI_ON_GAP: want one of stop, go-on"),
        ("HUDI_DEADLINE_MARGIN", "soon", "HUDI_DEADLINE_MARGIN: want a time"),
        ("HUDI_PARTIAL_FAILURES", "yes", "HUDI_PARTIAL_FAILURES: want true or false"),
        ("HUDI_CONCURRENT_COMMITS", "0", "HUDI_CONCURRENT_COMMITS: want a whole number above 0"),
        ("HUDI_PROPERTIES", "hoodie.x", "HUDI_PROPERTIES: want KEY=VALUE"),
        ("HUDI_REGISTRY", "host:8081", "registry: "),
        ("HUDI_CONFIG", "/nowhere.toml", "/nowhere.toml: "),
    ] {
        let lake = Lake::of_items().with(variable, value);
        let function = lake.start();
        function.answer().failed(message);
        let (code, told) = function.ended();
        assert!(code == 2 && told.contains(message) && !told.contains("hunter2"), "{code} {told}");
    }
    let mut lake = Lake::of_items();
    lake.variables.remove("HUDI_TABLES");
    lake.start().answer().failed("HUDI_TABLES: want the place of the tables");
}

#[tokio::test]
async fn a_file_says_what_is_otherwise_for_some_tables() {
    let lake = Lake::of_items();
    let file = lake.table("function.toml");
    let told = "[[override]]\ntopics = [\"*.goods\"]\nmode = \"history\"\n";
    std::fs::write(&file, told).unwrap();
    let lake = lake.with("HUDI_CONFIG", file.to_str().unwrap());
    let mut function = lake.start();
    let twice = vec![upsert(0, 'c', 1, &item(1, "one", 1)), upsert(1, 'u', 1, &item(1, "one", 2))];
    let goods = twice.iter().cloned().map(|record| of("shop.public.goods", 0, record)).collect();
    function.invoke(&event(&[twice, goods].concat())).is_done();
    assert_eq!((lake.ids("items").await.len(), lake.ids("goods").await.len()), (1, 2));
    for nothing in [
        "[log]\nlevel = \"debug\"",
        "[commit]\nage = \"5s\"",
        "[kafka]\nbrokers = \"a:1\"",
        "[[override]]\ntopics = [\"a\"]\ncommit = { rows = 1 }",
    ] {
        std::fs::write(&file, nothing).unwrap();
        lake.start().answer().failed("says nothing to a function");
    }
}

/// Ten thousand records, each an insert of a row of its own.
fn ten_thousand() -> Vec<CapturedRecord> {
    (0..10_000)
        .map(|offset| upsert(offset, 'c', offset, &item(offset, &format!("the item of number {offset}"), 7)))
        .collect()
}

#[tokio::test]
async fn what_it_takes_is_told() {
    let lake = Lake::of_items();
    let text = event(&ten_thousand());
    let mut function = lake.start();
    let begun = Instant::now();
    function.invoke(&text).is_done();
    let took = begun.elapsed();
    let (asked, first_line) = function.cold_start();
    let peak_mb = function.peak_bytes() / 1_000_000;
    println!(
        "{}: asks for an event {asked:?} after its start, its handler's first line comes {first_line:?} after; 10,000 records in an event \
         of {} bytes: {took:?}, {peak_mb} MB at most",
        program(),
        text.len()
    );
    assert_eq!(lake.ids("items").await.len(), 10_000);
    assert!(peak_mb <= 256, "{peak_mb} MB");
}

/// Of the program that `LAMBDA_TEST_PROGRAM` names, built as docs/lambda.md says; `LAMBDA_TEST_BYTES` is what it may have.
#[tokio::test]
#[ignore = "the program is to be built for it"]
async fn built_for_lambda_it_is_small_and_quick() {
    let bytes = std::fs::metadata(program()).unwrap().len();
    println!("{}: {bytes} bytes", program());
    let most = std::env::var("LAMBDA_TEST_BYTES").map_or(20_000_000, |most| most.parse().unwrap());
    assert!(bytes <= most, "{bytes} bytes, {most} at most");
    let lake = Lake::of_items();
    let mut firsts = vec![];
    for number in 0..5 {
        let mut function = lake.start();
        function.invoke(&event(&inserts(number..number + 1))).is_done();
        firsts.push(function.cold_start());
    }
    println!("from its start until it asks for an event, and until its handler's first line: {firsts:?}");
    let best = firsts.iter().map(|(_, first_line)| *first_line).min().unwrap();
    assert!(best <= Duration::from_millis(50), "{best:?}");
    let mut function = lake.start();
    let records = ten_thousand().into_iter().map(|record| of("shop.public.many", 0, record)).collect::<Vec<_>>();
    let begun = Instant::now();
    function.invoke(&event(&records)).is_done();
    let peak_mb = function.peak_bytes() / 1_000_000;
    println!("10,000 records: {:?}, {peak_mb} MB at most", begun.elapsed());
    assert!(peak_mb <= 256, "{peak_mb} MB");
}

#[test]
fn every_variable_is_told_of() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |path: PathBuf| -> BTreeSet<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let words =
            text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).filter(|word| word.starts_with("HUDI_"));
        words.filter(|word| word.len() > 5).map(str::to_owned).collect()
    };
    let told = names(root.join("../docs/lambda.md"));
    let known = names(root.join("src/lambda/settings.rs"));
    assert_eq!(told, known);
}
