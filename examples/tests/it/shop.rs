//! A made-up shop: messages of its table of items, as Debezium's connector for PostgreSQL sends them, and captures of them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cdc_decoders::debezium::DeclaredSchema;
use kafka_source::{CapturedHeader, CapturedRecord};

pub(crate) const TOPIC: &str = "shop.public.items";

/// The schema of the items, as Debezium would write it inline.
pub(crate) const SCHEMA: &str = r#"{"type":"struct","fields":[
    {"type":"int64","optional":false,"field":"id"},
    {"type":"string","optional":true,"field":"name"},
    {"type":"int32","optional":true,"field":"stock"},
    {"type":"bytes","optional":true,"field":"price","name":"org.apache.kafka.connect.data.Decimal",
     "parameters":{"scale":"2","connect.decimal.precision":"4"}},
    {"type":"bytes","optional":true,"field":"photo"}]}"#;

pub(crate) fn schema() -> DeclaredSchema {
    DeclaredSchema::from_json(SCHEMA).unwrap()
}

/// An item: its columns but for the key, as JSON.
pub(crate) fn item(id: i64, name: &str, stock: i32) -> String {
    format!(r#"{{"id":{id},"name":"{name}","stock":{stock},"price":"BNI=","photo":"/wA="}}"#)
}

/// An insert (`c`), update (`u`) or snapshot row (`r`).
pub(crate) fn upsert(offset: i64, op: char, id: i64, row: &str) -> CapturedRecord {
    record(offset, Some(&key(id)), Some(&envelope(offset, &format!("\"{op}\""), "null", row)))
}

/// A row of a full snapshot that a run of the connector reads; `part`: which it is, in Debezium's words.
pub(crate) fn snapshot_row(run: &str, offset: i64, id: i64, part: &str) -> CapturedRecord {
    let value = envelope(offset, "\"r\"", "null", &item(id, "a", 1));
    let value = value.replace(r#""snapshot":null"#, &format!(r#""snapshot":"{part}""#));
    let name = "__debezium.context.runId".to_owned();
    let headers = vec![CapturedHeader { name, value: Some(run.as_bytes().to_vec()) }];
    CapturedRecord { headers, ..record(offset, Some(&key(id)), Some(&value)) }
}

pub(crate) fn delete(offset: i64, id: i64) -> CapturedRecord {
    let before = format!(r#"{{"id":{id},"name":null,"stock":null,"price":null,"photo":null}}"#);
    record(offset, Some(&key(id)), Some(&envelope(offset, "\"d\"", &before, "null")))
}

pub(crate) fn tombstone(offset: i64, id: i64) -> CapturedRecord {
    record(offset, Some(&key(id)), None::<&str>)
}

pub(crate) fn key(id: i64) -> String {
    format!(r#"{{"id":{id}}}"#)
}

pub(crate) fn envelope(offset: i64, op: &str, before: &str, after: &str) -> String {
    let lsn = 1_000 + offset * 8;
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"version":"3.6.3.Final","connector":"postgresql","name":"shop","ts_ms":{ts},"snapshot":null,"db":"shop","sequence":"[\"{lsn}\",\"{lsn}\"]","schema":"public","table":"items","txId":7,"lsn":{lsn},"xmin":null}},"transaction":null,"op":{op},"ts_ms":{ts}}}"#,
        ts = 1_700_000_000_000 + offset,
    )
}

/// A message with these bytes.
pub(crate) fn record(offset: i64, key: Option<impl AsRef<[u8]>>, value: Option<impl AsRef<[u8]>>) -> CapturedRecord {
    let bytes = |bytes: &dyn AsRef<[u8]>| bytes.as_ref().to_vec();
    CapturedRecord {
        topic: TOPIC.to_owned(),
        partition: 0,
        offset,
        timestamp_ms: Some(1_700_000_000_000 + offset),
        key: key.map(|key| bytes(&key)),
        value: value.map(|value| bytes(&value)),
        headers: vec![],
    }
}

/// Writes a capture.
pub(crate) fn capture(folder: &Path, records: &[CapturedRecord]) -> PathBuf {
    let base64 = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
    let mut text = String::new();
    for record in records {
        let line = serde_json::json!({
            "topic": record.topic, "partition": record.partition, "offset": record.offset,
            "timestamp": record.timestamp_ms, "key": base64(&record.key), "value": base64(&record.value),
            "headers": record.headers.iter().map(|header| (&header.name, base64(&header.value))).collect::<Vec<_>>(),
        });
        writeln!(text, "{line}").unwrap();
    }
    let path = folder.join("capture.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}
