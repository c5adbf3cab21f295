//! `replay` by the names of its formats, and with what a command line says of them.

use std::path::Path;
use std::process::{Command, Output};

use kafka_source::{CaptureReader, CapturedRecord};
use serde_json::{Map, Value, json};

use crate::capture::{folder, truth};
use crate::shop::{SCHEMA, capture, delete, item, key, record, snapshot_row, tombstone, upsert};

const REPLAY: &str = env!("CARGO_BIN_EXE_replay");
const INSPECT: &str = env!("CARGO_BIN_EXE_inspect");

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

#[track_caller]
fn replay(folder: &Path, arguments: &[&str]) -> Map<String, Value> {
    let done = run(folder, REPLAY, &[&["--input", "capture.jsonl", "--table", "t"], arguments].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_str(std::str::from_utf8(&done.stdout).unwrap().lines().last().unwrap()).unwrap()
}

/// With exit code 2 and a message that has this in it, or 1.
#[track_caller]
fn fails(folder: &Path, code: i32, arguments: &[&str], message: &str) {
    let done = run(folder, REPLAY, &[&["--input", "capture.jsonl", "--table", "t"], arguments].concat());
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(code), "{error}");
    assert!(error.starts_with("error: ") && error.contains(message), "{message}: {error}");
}

fn rows(folder: &Path) -> Vec<Map<String, Value>> {
    let done = run(folder, INSPECT, &["--table", "t", "--output", "jsonl"]);
    let text = String::from_utf8(done.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn column(folder: &Path, name: &str) -> Vec<Value> {
    rows(folder).into_iter().map(|mut row| row.remove(name).unwrap_or_default()).collect()
}

/// A folder with these messages of a shop, and their schema.
fn shop(records: &[CapturedRecord]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    capture(folder.path(), records);
    std::fs::write(folder.path().join("schema.json"), SCHEMA).unwrap();
    folder
}

const JSON: [&str; 4] = ["--format", "debezium-json", "--schema", "schema.json"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&JSON, more].concat()
}

#[test]
fn every_format_has_a_name() {
    let Some(captures) = folder() else { return };
    for (name, format) in [
        ("pg/json", "debezium-json"),
        ("maria/avro", "debezium-avro"),
        ("pg/flat-delete-to-tombstone", "debezium-flat-json"),
        ("pg/flat-avro", "debezium-flat-avro"),
    ] {
        let place = captures.join(name);
        let records = CaptureReader::open(place.join("records.jsonl.gz")).unwrap().map(Result::unwrap);
        let records: Vec<_> = records.filter(|record| record.topic.ends_with(".customers")).collect();
        let folder = shop(&records);
        let schemas = place.join("schemas");
        let more: &[&str] = if format.ends_with("avro") { &["--schemas", schemas.to_str().unwrap()] } else { &[] };
        let arguments = [&["--format", format], more].concat();
        assert_eq!(replay(folder.path(), &arguments)["dead_letters"], 0, "{name}");
        let mut ids = column(folder.path(), "id");
        let mut expected: Vec<_> = truth(&captures.join(name.split_once('/').unwrap().0), "customers")
            .into_iter()
            .map(|mut row| row.remove("id").unwrap())
            .collect();
        ids.sort_by_key(Value::as_i64);
        expected.sort_by_key(Value::as_i64);
        assert_eq!(ids, expected, "{name}");
        assert_eq!(replay(folder.path(), &arguments)["commits"], 0, "{name}");
    }
}

#[test]
fn cloudevents_have_a_name_too() {
    let event = |offset: i64, op: &str, id: i64, data: &str| {
        let lsn = 1_000 + offset;
        let event = format!(
            r#"{{"id":"name:shop;lsn:{lsn};txId:5","source":"/debezium/postgresql/shop","specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2020-01-13T13:55:39.738Z","datacontenttype":"application/json","iodebeziumop":"{op}","iodebeziumconnector":"postgresql","iodebeziumname":"shop","iodebeziumtsms":"1578923739738","iodebeziumsnapshot":"false","iodebeziumdb":"shop","iodebeziumschema":"public","iodebeziumtable":"items","iodebeziumlsn":"{lsn}","iodebeziumtxId":"5","data":{data}}}"#
        );
        record(offset, Some(&key(id)), Some(&event))
    };
    let row = |id, name| format!(r#"{{"before":null,"after":{}}}"#, item(id, name, 1));
    let gone = r#"{"before":{"id":2},"after":null}"#;
    let folder = shop(&[
        event(0, "r", 1, &row(1, "a")),
        event(1, "c", 2, &row(2, "b")),
        event(2, "u", 1, &row(1, "c")),
        event(3, "d", 2, gone),
    ]);
    let done = replay(folder.path(), &["--format", "cloudevents"]);
    assert_eq!(
        (&done["upserts"], &done["deletes"], column(folder.path(), "name")),
        (&json!(3), &json!(1), vec![json!("c")])
    );
}

#[test]
fn what_a_format_does_not_know_is_refused_before_anything_is_read() {
    let folder = shop(&[upsert(0, 'c', 1, &item(1, "a", 1))]);
    for (format, setting) in [
        ("debezium-json", "framing=id"),
        ("debezium-json", "nulls=skip"),
        ("debezium-avro", "add.fields=op"),
        ("debezium-flat-json", "nulls=maybe"),
        ("debezium-flat-avro", "framing=loose"),
        ("cloudevents", "key.format=json"),
    ] {
        fails(folder.path(), 2, &["--format", format, "--set-format", setting], setting);
    }
    fails(folder.path(), 2, &["--format", "debezium-flat-json", "--set-format", "connector=dbase"], "dbase");
    fails(folder.path(), 2, &["--format", "goldengate"], "goldengate");
    fails(folder.path(), 2, &with(&["--override", "name"]), "name");
    fails(folder.path(), 2, &with(&["--override", "name:hash=k"]), "`k`");
    assert!(!folder.path().join("t").exists());
}

#[test]
fn a_schema_that_is_not_at_hand_stops_and_says_which() {
    let Some(captures) = folder() else { return };
    let records = CaptureReader::open(captures.join("pg/avro/records.jsonl.gz")).unwrap().map(Result::unwrap);
    let records: Vec<_> = records.filter(|record| record.topic.ends_with(".customers")).take(3).collect();
    let folder = shop(&records);
    fails(folder.path(), 2, &["--format", "debezium-avro"], "--schemas");
    fails(folder.path(), 1, &["--format", "debezium-avro", "--schemas", "."], ".avsc");
}

#[test]
fn settings_of_a_format_are_followed() {
    let flat = |offset, key: &str, value: Option<&str>| record(offset, Some(key), value);
    let folder = shop(&[
        flat(0, &key(1), Some(r#"{"id":1,"name":"a","x_op":"c","x_lsn":100}"#)),
        flat(1, &key(2), Some(r#"{"id":2,"name":"GONE","x_op":"u","x_lsn":101}"#)),
        flat(2, &key(1), None),
    ]);
    let settings = [
        "add.fields=op,lsn",
        "add.fields.prefix=x_",
        "nulls=skip",
        "connector=postgresql",
        "unavailable.value.placeholder=GONE",
    ];
    let settings = settings.map(|setting| ["--set-format", setting]).concat();
    let done = replay(folder.path(), &[&["--format", "debezium-flat-json"], &settings[..]].concat());
    // The second row lacks its name, and there is no row to take it from.
    assert_eq!(
        (&done["upserts"], &done["dead_letters"], &done["skipped"]),
        (&json!(2), &json!(1), &json!({"tombstone": 1}))
    );
    assert_eq!(
        (column(folder.path(), "name"), column(folder.path(), "_cdc_order")),
        (vec![json!("a")], vec![json!(100)])
    );
}

fn life_of_an_item() -> Vec<CapturedRecord> {
    vec![
        upsert(0, 'c', 1, &item(1, "a", 1)),
        upsert(1, 'u', 1, &item(1, "b", 2)),
        delete(2, 1),
        tombstone(3, 1),
        upsert(4, 'c', 2, &item(2, "c", 3)),
    ]
}

#[test]
fn a_table_keeps_deleted_rows_or_every_change_if_it_is_made_so() {
    let mut ops = vec![];
    for mode in ["upsert", "soft", "history"] {
        let folder = shop(&life_of_an_item());
        replay(folder.path(), &with(&["--mode", mode, "--commit-every-rows", "2"]));
        let other = if mode == "soft" { "upsert" } else { "soft" };
        fails(folder.path(), 2, &with(&["--mode", other]), "mode");
        assert_eq!(replay(folder.path(), &with(&[]))["commits"], 0);
        let mut of = column(folder.path(), "_cdc_op");
        of.sort_by_key(|op| op.to_string());
        ops.push(of);
    }
    assert_eq!(json!(ops), json!([["c"], ["c", "d"], ["c", "c", "d", "u"]]));
}

#[test]
fn columns_are_overridden_on_the_command_line() {
    let folder = shop(&[upsert(0, 'c', 1, &item(1, "a", 1)), upsert(1, 'c', 2, &item(2, "5", 1))]);
    std::fs::write(folder.path().join("pepper"), "salted, not only peppered\n").unwrap();
    let rules = ["photo:drop", "shop.*.price:null", "name:hash=pepper", "stock:type=string"];
    let rules = rules.map(|rule| ["--override", rule]).concat();
    replay(folder.path(), &with(&[&rules[..], &["--hash-key", "pepper=pepper"]].concat()));
    let row = rows(folder.path()).remove(0);
    assert!(!row.contains_key("photo"), "{row:?}");
    assert_eq!((&row["price"], &row["stock"], row["name"].as_str().unwrap().len()), (&Value::Null, &json!("1"), 64));
}

#[test]
fn a_column_that_comes_to_mean_something_else_stops_or_goes_on_as_another() {
    let changed = SCHEMA.replace(
        r#"{"type":"int32","optional":true,"field":"stock"}"#,
        r#"{"type":"boolean","optional":true,"field":"stock"}"#,
    );
    let first = [upsert(0, 'c', 1, &item(1, "a", 1))];
    let second = upsert(1, 'c', 2, &item(2, "b", 1).replace(r#""stock":1"#, r#""stock":true"#));
    let changed_shop = || {
        let folder = shop(&first);
        replay(folder.path(), &with(&[]));
        capture(folder.path(), &[first[0].clone(), second.clone()]);
        std::fs::write(folder.path().join("schema.json"), &changed).unwrap();
        folder
    };
    let folder = changed_shop();
    fails(folder.path(), 1, &with(&[]), "stock");
    assert_eq!(rows(folder.path()).len(), 1);
    let done = replay(folder.path(), &with(&["--on-schema-conflict", "new-column"]));
    assert_eq!((&done["upserts"], column(folder.path(), "stock_v2")), (&json!(1), vec![Value::Null, json!(true)]));
    let folder = changed_shop();
    let done = replay(folder.path(), &with(&["--on-schema-conflict", "dead-letter"]));
    assert_eq!((&done["dead_letters"], rows(folder.path()).len()), (&json!(1), 1));
}

#[test]
fn a_second_snapshot_replaces_the_table_if_asked_for() {
    let snapshots = [
        snapshot_row("one", 0, 1, "first_in_data_collection"),
        snapshot_row("one", 1, 2, "last"),
        snapshot_row("two", 2, 1, "first_in_data_collection"),
        snapshot_row("two", 3, 3, "last"),
    ];
    for (what, ids) in [("keep", json!([1, 2, 3])), ("replace", json!([1, 3]))] {
        let folder = shop(&snapshots);
        let done = replay(folder.path(), &with(&["--resnapshot", what]));
        assert_eq!(
            (&done["ghosts"], json!(column(folder.path(), "id"))),
            (&json!(3 - ids.as_array().unwrap().len()), ids)
        );
    }
    let folder = shop(&snapshots);
    fails(folder.path(), 2, &with(&["--resnapshot", "replace", "--mode", "history"]), "keeps what is deleted");
}
