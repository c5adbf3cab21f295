//! The three programs as a user runs them: what they print, how they end, what they leave.

use std::path::{Path, PathBuf};
use std::process::Command;

use kafka_source::CapturedRecord;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::shop::{SCHEMA, TOPIC, capture, delete, envelope, item, key, record, tombstone, upsert};

const REPLAY: &str = env!("CARGO_BIN_EXE_replay");
const INSPECT: &str = env!("CARGO_BIN_EXE_inspect");
const QUICKSTART: &str = env!("CARGO_BIN_EXE_quickstart");
/// Real changes of an orders table, and their schema.
const ORDERS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/data/orders.jsonl.gz"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/data/orders.schema.json"),
];

/// How a program ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Ended {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

impl Ended {
    #[track_caller]
    fn well(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// With a code, and one clear message that has this in it.
    #[track_caller]
    fn failed(self, code: i32, message: &str) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.starts_with("error: ") && self.err.contains(message), "{message}: {}", self.err);
        assert!(code == 2 || self.err.lines().count() == 1, "{}", self.err);
        self.out
    }
}

/// A folder with the capture of a few messages, and their schema.
struct Shop(TempDir);

impl Shop {
    fn new(records: &[CapturedRecord]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        capture(folder.path(), records);
        std::fs::write(folder.path().join("schema.json"), SCHEMA).unwrap();
        Self(folder)
    }

    fn replayed(records: &[CapturedRecord]) -> Self {
        let shop = Self::new(records);
        shop.replay(&[]).well();
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn replay(&self, more: &[&str]) -> Ended {
        let usual =
            ["--format", "debezium-json", "--input", "capture.jsonl", "--table", "items", "--schema", "schema.json"];
        run(self.0.path(), REPLAY, &[&usual, more].concat())
    }

    fn summary(&self, more: &[&str]) -> Map<String, Value> {
        serde_json::from_str(self.replay(more).well().lines().last().unwrap()).unwrap()
    }

    fn inspect(&self, more: &[&str]) -> Ended {
        run(self.0.path(), INSPECT, &[&["--table", "items"], more].concat())
    }

    fn rows(&self, more: &[&str]) -> Vec<Map<String, Value>> {
        let text = self.inspect(&[&["--output", "jsonl"], more].concat()).well();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one base file.
    fn data_file(&self) -> PathBuf {
        let text = self.inspect(&["--files"]).well();
        let [line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        let (size, name) = line.trim_start().split_once(' ').unwrap();
        let path = self.path("items").join(name);
        assert_eq!(std::fs::metadata(&path).unwrap().len().to_string(), size);
        path
    }
}

fn messages() -> Vec<CapturedRecord> {
    let heartbeat = CapturedRecord {
        topic: "__debezium-heartbeat.shop".to_owned(),
        ..record(0, Some(r#"{"serverName":"shop"}"#), Some(r#"{"ts_ms":1700000000000}"#))
    };
    let empty = r#"{"id":4,"name":null,"stock":null,"price":null,"photo":null}"#;
    vec![
        heartbeat,
        upsert(0, 'r', 1, &item(1, "one", 10)),
        upsert(1, 'c', 2, &item(2, "two", 20)),
        upsert(2, 'u', 1, &item(1, "one, later", 11)),
        delete(3, 2),
        tombstone(4, 2),
        record(5, Some(r#"{"id":1}"#), Some("{")),
        upsert(6, 'c', 4, empty),
    ]
}

/// The summary's numbers in their order, but for the truncates.
fn numbers(summary: &Map<String, Value>) -> [u64; 5] {
    assert!(summary.keys().eq([
        "commits",
        "upserts",
        "deletes",
        "truncates",
        "redelivered",
        "dead_letters",
        "waiting",
        "ghosts",
        "skipped",
        "checkpoint"
    ]));
    ["commits", "upserts", "deletes", "redelivered", "dead_letters"].map(|name| summary[name].as_u64().unwrap())
}

#[test]
fn replay_tells_in_its_last_line_what_it_did() {
    let all = messages();
    let shop = Shop::new(&all[..5]);
    let summary = shop.summary(&[]);
    assert_eq!(numbers(&summary), [1, 3, 1, 0, 0]);
    assert_eq!(summary["skipped"], json!({}));
    assert_eq!(summary["checkpoint"]["topics"][TOPIC]["partitions"]["0"]["next"], 4);

    // The capture grows: the table's checkpoint says where to go on.
    capture(shop.0.path(), &all);
    let summary = shop.summary(&["--commit-every-rows", "1"]);
    assert_eq!(numbers(&summary), [1, 1, 0, 0, 1]);
    assert_eq!(summary["skipped"], json!({"committed_before": 4, "tombstone": 1}));
    assert_eq!(summary["checkpoint"]["topics"][TOPIC]["partitions"]["0"]["next"], 7);

    let again = shop.summary(&["--index", "simple", "--key", "id", "--topic", TOPIC]);
    assert_eq!(numbers(&again), [0, 0, 0, 0, 0]);
    assert_eq!((&again["skipped"], &again["checkpoint"]), (&json!({"committed_before": 7}), &summary["checkpoint"]));
    assert!(shop.inspect(&["--check"]).well().contains("1 files, 2 rows, 0 problems"));

    // Another pipeline of the same table has its own checkpoint; older changes win nothing.
    let other = shop.summary(&["--pipeline", "other"]);
    assert_eq!((&other["skipped"], &other["dead_letters"]), (&json!({"tombstone": 1}), &json!(1)));
    let names: Vec<_> = shop.rows(&[]).iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, [json!("one, later"), Value::Null]);
}

#[test]
fn a_usage_that_is_wrong_or_refused_ends_with_2_and_leaves_nothing() {
    let shop = Shop::new(&messages());
    let refused: [(&[&str], &str); 10] = [
        (&["--partition-by", "name", "--index", "bucket:4"], "`name`"),
        (&["--set", "hoodie.table.version=8"], "hoodie.table.version"),
        (&["--set", "colour=red"], "colour"),
        (&["--set", "nothing"], "hoodie.KEY=VALUE"),
        (&["--index", "bucket:0"], "bucket:N"),
        (&["--index", "bloom"], "simple"),
        (&["--table-type", "mor"], "mor"),
        (&["--pipeline", "a b"], "pipeline"),
        (&["--commit-every-rows", "0"], "commit-every-rows"),
        (&["--key", "7up"], "7up"),
    ];
    for (arguments, message) in refused {
        shop.replay(arguments).failed(2, message);
        assert!(!shop.path("items").exists(), "{arguments:?}");
    }
    run(shop.0.path(), REPLAY, &[]).failed(2, "--input");
    run(shop.0.path(), INSPECT, &[]).failed(2, "--table");
    shop.inspect(&["--check", "--files"]).failed(2, "--files");
    shop.inspect(&["--timeline", "--output", "jsonl"]).failed(2, "--output");
    let usual = ["--format", "debezium-json", "--input", "capture.jsonl"];
    let with = |more: &[&str]| run(shop.0.path(), REPLAY, &[&usual, more].concat());
    with(&["--table", "gs://bucket/items"]).failed(2, "gs");
    #[cfg(not(feature = "s3"))]
    with(&["--table", "s3://bucket/items"]).failed(2, "s3");
    with(&["--table", "items", "--schema", "capture.jsonl"]).failed(2, "capture.jsonl");
    with(&["--table", "items", "--schema", "none.json"]).failed(2, "none.json");
}

#[test]
fn a_table_stays_what_it_was_made_as() {
    let shop = Shop::replayed(&messages());
    for (arguments, message) in [
        (["--index", "bucket:4"], "index"),
        (["--key", "name"], "key"),
        (["--partition-by", "id"], "partition columns"),
    ] {
        shop.replay(&arguments).failed(2, message);
    }
    assert_eq!(shop.summary(&[])["commits"], 0);
}

#[test]
fn a_capture_with_rows_of_several_topics_asks_for_one() {
    let mut records = messages();
    let others = records[1..3].iter().cloned().map(|record| CapturedRecord { topic: "others".to_owned(), ..record });
    records.extend(others.collect::<Vec<_>>());
    let shop = Shop::new(&records);
    shop.replay(&[]).failed(2, "--topic");
    assert_eq!(shop.summary(&["--topic", "others"])["upserts"], 2);
}

#[test]
fn several_tables_come_from_one_capture() {
    let mut records = messages();
    let of = |topic: &str, records: &[CapturedRecord]| {
        let topic = topic.to_owned();
        records.iter().cloned().map(|record| CapturedRecord { topic: topic.clone(), ..record }).collect::<Vec<_>>()
    };
    records.extend(of("shop.public.others", &messages()[1..3]));
    records.extend(of("shop.public.broken", &[record(0, Some(r#"{"id":1}"#), Some("{"))]));
    let shop = Shop::new(&records);
    let usual = ["--format", "debezium-json", "--input", "capture.jsonl", "--schema", "schema.json", "--tables"];
    let with = |more: &[&str]| run(shop.0.path(), REPLAY, &[&usual[..], more].concat());

    // What is broken does not hold the others up.
    let out = with(&["lake/{schema}/{table}"]).failed(1, "shop.public.broken/0@0");
    let done: Map<String, Value> = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&done["commits"], &done["upserts"], &done["deletes"]), (&json!(2), &json!(6), &json!(1)));
    assert_eq!(done["tables"]["shop.public.others"]["table"], "lake/public/others");
    assert_eq!(done["tables"][TOPIC]["checkpoint"]["topics"][TOPIC]["partitions"]["0"]["next"], 7);
    let rows =
        |table: &str| run(shop.0.path(), INSPECT, &["--table", table, "--output", "jsonl"]).well().lines().count();
    assert_eq!((rows("lake/public/items"), rows("lake/public/others")), (2, 2));
    assert!(!shop.path("lake/public/broken").exists());

    with(&["lake/{schema}"]).failed(2, "meet in one table");
    with(&["lake/{tabel}"]).failed(2, "{table}");
    with(&["lake/items"]).failed(2, "{table}");
    with(&["lake/{table}", "--table", "items"]).failed(2, "--table");
}

#[test]
fn a_failure_ends_with_1_and_one_message() {
    let shop = Shop::new(&messages());
    shop.replay(&["--stop-on-bad-message"]).failed(1, &format!("{TOPIC}/0@5: malformed value"));
    let usual = ["--format", "debezium-json", "--table", "items", "--topic", TOPIC, "--input"];
    run(shop.0.path(), REPLAY, &[&usual[..], &["nowhere.jsonl"]].concat()).failed(1, "nowhere.jsonl");

    let text = std::fs::read_to_string(shop.path("capture.jsonl")).unwrap();
    let cut = text.len() - 10;
    for (damaged, place) in [
        (format!("{text}not a record\n"), "line 9"),
        (text[..cut].to_owned(), "line 8"),
        (text.replace("\"offset\":2", "\"offset\":\"2\""), "line 4"),
        (text.replacen("\"value\":\"", "\"value\":\"*", 1), "line 1"),
    ] {
        std::fs::write(shop.path("damaged.jsonl"), damaged).unwrap();
        let message = format!("damaged.jsonl, {place}: ");
        run(shop.0.path(), REPLAY, &[&usual[..], &["damaged.jsonl"]].concat()).failed(1, &message);
    }

    let bad = Shop::new(&[record(0, Some(r#"{"id":1}"#), Some("{"))]);
    bad.replay(&[]).failed(1, &format!("{TOPIC}/0@0"));
    assert!(!bad.path("items").exists());
    bad.inspect(&[]).failed(1, "no Hudi table");
    let only_control = Shop::new(&messages()[..1]);
    only_control.replay(&[]).failed(1, "no message holds a row");
}

/// The items, then one that lies before them in the source's log, but is newer.
fn restored() -> Vec<CapturedRecord> {
    let earlier = envelope(10, "\"u\"", "null", &item(1, "restored", 7));
    let earlier = earlier.replace("1080", "990");
    let mut records = messages()[1..3].to_vec();
    records.extend([upsert(2, 'u', 2, &item(2, "two, later", 21)), record(3, Some(key(1)), Some(earlier))]);
    records
}

#[test]
fn a_source_that_went_back_stops_a_replay_unless_a_new_epoch_is_allowed() {
    let all = restored();
    let shop = Shop::replayed(&all[..3]);
    let before = shop.rows(&[]);
    capture(shop.0.path(), &all);
    for arguments in [&[][..], &["--on-source-went-back", "stop"]] {
        let ended = shop.replay(arguments);
        assert!(ended.err.contains("take a new snapshot") && ended.err.contains("new-epoch"), "{}", ended.err);
        ended.failed(1, &format!("the source `shop` went back: {TOPIC}/0@3 "));
        assert_eq!(shop.rows(&[]), before);
    }
    shop.replay(&["--on-source-went-back", "go-on"]).failed(2, "new-epoch");

    let summary = shop.summary(&["--on-source-went-back", "new-epoch"]);
    assert_eq!((numbers(&summary), &summary["checkpoint"]["sources"]["shop"]["epoch"]), ([1, 1, 0, 0, 0], &json!(1)));
    let rows = shop.rows(&[]);
    let shown: Vec<_> = rows.iter().map(|row| (&row["name"], row["_cdc_order"].as_i64().unwrap() >> 56)).collect();
    assert_eq!(shown, [(&json!("restored"), 1), (&json!("two, later"), 0)]);
    assert_eq!(shop.summary(&[])["commits"], 0);
}

#[test]
fn inspect_shows_rows_as_lines_with_explicit_nulls() {
    let shop = Shop::replayed(&messages());
    let mut rows = shop.rows(&["--query", "snapshot"]);
    for row in &mut rows {
        assert!(row.remove("_cdc_order").unwrap().is_i64() && row.remove("_cdc_source_ts").unwrap().is_string());
    }
    let expected = json!([
        {"id": 1, "name": "one, later", "stock": 11, "price": 12.34, "photo": "ff00", "_cdc_op": "u"},
        {"id": 4, "name": null, "stock": null, "price": null, "photo": null, "_cdc_op": "c"},
    ]);
    assert_eq!(json!(rows), expected);

    let rows = shop.rows(&["--meta"]);
    let meta = [
        "_hoodie_commit_time",
        "_hoodie_commit_seqno",
        "_hoodie_record_key",
        "_hoodie_partition_path",
        "_hoodie_file_name",
    ];
    assert!(rows[0].keys().take(5).eq(meta));
    assert_eq!((&rows[1]["_hoodie_record_key"], &rows[1]["_hoodie_partition_path"]), (&json!("4"), &json!("")));
    let file = shop.data_file();
    assert_eq!(rows[0]["_hoodie_file_name"], file.file_name().unwrap().to_str().unwrap());

    let text = shop.inspect(&["--limit", "1"]).well();
    assert!(text.contains("one, later") && text.ends_with("1 of 2 rows\n"), "{text}");
}

#[test]
fn inspect_shows_the_timeline() {
    let shop = Shop::new(&messages());
    shop.replay(&["--commit-every-rows", "2"]).well();
    let text = shop.inspect(&["--timeline"]).well();
    let (checkpoints, instants): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with(' '));
    let counts: Vec<_> = instants.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    let expected = [
        "commit completed: 2 inserted, 0 updated, 0 deleted, 1 files",
        "commit completed: 0 inserted, 1 updated, 1 deleted, 1 files",
        "commit completed: 1 inserted, 0 updated, 0 deleted, 1 files",
    ];
    assert_eq!(counts, expected);
    assert!(checkpoints.iter().all(|line| line.trim().starts_with("cdc.checkpoint.default {")), "{text}");
}

/// What a check prints and says of a table whose one base file (path and bytes) was meddled with.
fn check_of_broken(meddle: impl FnOnce(&Path, &[u8])) -> Ended {
    let shop = Shop::replayed(&messages());
    assert_eq!(shop.inspect(&["--check"]).well(), "1 files, 2 rows, 0 problems\n");
    let file = shop.data_file();
    meddle(&file, &std::fs::read(&file).unwrap());
    shop.inspect(&["--check"])
}

/// The path of a base file that has another file group, or another instant, in its name.
fn renamed(file: &Path, group: Option<&str>, instant: Option<&str>) -> PathBuf {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let [old_group, token, old_instant] = name.split('_').collect::<Vec<_>>()[..] else { panic!("{name}") };
    let (group, instant) = (group.unwrap_or(old_group), instant.unwrap_or(old_instant));
    file.with_file_name(format!("{group}_{token}_{instant}.parquet"))
}

#[test]
fn a_check_finds_what_is_broken() {
    let truncated = check_of_broken(|file, bytes| std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap());
    let out = truncated.failed(1, "the table is not what its timeline says");
    assert!(out.contains(".parquet") && out.contains(" bytes, recorded "), "{out}");

    let deleted = check_of_broken(|file, _| std::fs::remove_file(file).unwrap());
    let out = deleted.failed(1, "the table is not what its timeline says");
    assert!(out.contains(".parquet: committed, but it is not what is read"), "{out}");

    let uncommitted = check_of_broken(|file, bytes| {
        std::fs::write(renamed(file, None, Some("20991231235959999")), bytes).unwrap();
    });
    let out = uncommitted.failed(1, "the table is not what its timeline says");
    assert!(out.contains("_20991231235959999.parquet: no commit lists it"), "{out}");

    let doubled = check_of_broken(|file, bytes| {
        std::fs::write(renamed(file, Some("00000000-0000-0000-0000-000000000000-0"), None), bytes).unwrap();
    });
    let out = doubled.failed(1, "the table is not what its timeline says");
    assert!(out.contains("key stands twice in its partition: 4") && out.contains("2 files, 4 rows"), "{out}");

    let stranger = check_of_broken(|file, _| std::fs::write(file.with_file_name("notes.txt"), "milk").unwrap());
    let out = stranger.failed(1, "the table is not what its timeline says");
    assert!(out.contains("notes.txt: neither a base file"), "{out}");
}

#[test]
fn quickstart_makes_a_table_and_then_finds_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path(), QUICKSTART, &[]).well();
    assert!(first.contains(" commits: ") && first.contains(" 0 problems"), "{first}");
    let second = run(folder.path(), QUICKSTART, &[]).well();
    assert!(second.contains("Nothing to do"), "{second}");
    let timeline =
        |text: &str| text.lines().filter(|line| line.contains(" commit: ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(timeline(&first), timeline(&second));
    assert!(timeline(&first).len() > 1);

    // The same messages by `replay`: the same rows.
    let [input, schema] = ORDERS;
    let arguments = [
        "--format",
        "debezium-json",
        "--input",
        input,
        "--schema",
        schema,
        "--table",
        "replayed",
        "--index",
        "bucket:4",
    ];
    run(folder.path(), REPLAY, &arguments).well();
    let rows = |table: &str| {
        let text = run(folder.path(), INSPECT, &["--table", table, "--output", "jsonl"]).well();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert!(rows("quickstart-table") == rows("replayed"));
}
