//! Debezium's JSON in each of its shapes to columns, beside serde_json: envelopes without and with their schema, and flattened rows.
//!
//! Ours makes Arrow columns; the baselines drop what they parsed, message by message: `typed` structs that borrow all they can, and
//! `value`, `serde_json::Value`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hint::black_box;

use benches::debezium::{ENVELOPE, MESSAGE_BYTES, flat_messages, messages, messages_with_schema};
use cdc_decoders::debezium::{DebeziumFlatJson, DebeziumJson, DeclaredSchema};
use cdc_decoders::{Decoded, Decoder, Message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;

const MESSAGES: usize = 10_000;

type Messages = Vec<(Vec<u8>, Vec<u8>)>;
type Parse = fn(&[u8]);

#[derive(Deserialize)]
#[allow(dead_code)]
struct Envelope<'a> {
    #[serde(borrow)]
    before: Option<Row<'a>>,
    #[serde(borrow)]
    after: Option<Row<'a>>,
    #[serde(borrow)]
    source: Source<'a>,
    #[serde(borrow)]
    transaction: Option<Transaction<'a>>,
    #[serde(borrow)]
    op: Cow<'a, str>,
    ts_ms: Option<i64>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Row<'a> {
    id: i32,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    email: Option<Cow<'a, str>>,
    #[serde(borrow)]
    balance: Option<Cow<'a, str>>,
    created_at: Option<i64>,
    active: Option<bool>,
}

#[derive(Deserialize)]
#[allow(dead_code, non_snake_case)]
struct Source<'a> {
    version: &'a str,
    connector: &'a str,
    name: &'a str,
    ts_ms: i64,
    snapshot: Option<&'a str>,
    db: &'a str,
    #[serde(borrow)]
    sequence: Option<Cow<'a, str>>,
    schema: &'a str,
    table: &'a str,
    txId: Option<i64>,
    lsn: Option<i64>,
    xmin: Option<i64>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Transaction<'a> {
    id: &'a str,
    total_order: i64,
    data_collection_order: i64,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct FlatRow<'a> {
    id: i32,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    email: Option<Cow<'a, str>>,
    #[serde(borrow)]
    balance: Option<Cow<'a, str>>,
    created_at: Option<i64>,
    active: Option<bool>,
    #[serde(rename = "__deleted")]
    deleted: &'a str,
    #[serde(rename = "__op")]
    op: &'a str,
    #[serde(rename = "__table")]
    table: &'a str,
    #[serde(rename = "__lsn")]
    lsn: Option<i64>,
    #[serde(rename = "__source_ts_ms")]
    source_ts_ms: Option<i64>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Wrapped<'a> {
    #[serde(borrow)]
    schema: Schema<'a>,
    #[serde(borrow)]
    payload: Envelope<'a>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Schema<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    fields: Vec<Schema<'a>>,
    optional: Option<bool>,
    name: Option<&'a str>,
    version: Option<i32>,
    field: Option<&'a str>,
    default: Option<&'a str>,
    #[serde(borrow)]
    parameters: Option<BTreeMap<&'a str, &'a str>>,
}

fn decode(decoder: &mut dyn Decoder, messages: &Messages) -> usize {
    for (offset, (key, value)) in messages.iter().enumerate() {
        let message = Message {
            topic: "shop.public.customers",
            partition: 0,
            offset: offset as i64,
            timestamp_ms: None,
            key: Some(key),
            value: Some(value),
            headers: &[],
        };
        assert_eq!(decoder.decode(&message).unwrap(), Decoded::Added { rows: 1 });
    }
    black_box(decoder.flush().unwrap().unwrap()).num_rows()
}

/// Ours and the baselines, each in bytes and in messages.
fn compare(
    criterion: &mut Criterion,
    group: &str,
    messages: &Messages,
    decoders: &mut [(&str, &mut dyn Decoder)],
    baselines: &[(&str, Parse)],
) {
    let bytes = messages.iter().map(|(_, value)| value.len() as u64).sum();
    let mut group = criterion.benchmark_group(group);
    for (unit, throughput) in [("bytes", Throughput::Bytes(bytes)), ("messages", Throughput::Elements(MESSAGES as u64))]
    {
        group.throughput(throughput);
        for (name, decoder) in &mut *decoders {
            group.bench_function(BenchmarkId::new(*name, unit), |b| b.iter(|| decode(&mut **decoder, messages)));
        }
        for (name, parse) in baselines {
            group.bench_function(BenchmarkId::new(*name, unit), |b| {
                b.iter(|| messages.iter().for_each(|(_, message)| parse(message)));
            });
        }
    }
    group.finish();
}

fn value(message: &[u8]) {
    drop(black_box(serde_json::from_slice::<serde_json::Value>(message).unwrap()));
}

fn json(criterion: &mut Criterion) {
    let messages = messages(MESSAGES, 42);
    assert!(messages.iter().all(|(_, value)| value.len() == MESSAGE_BYTES));
    let schema = DeclaredSchema::from_json(ENVELOPE).unwrap();
    let mut declared = DebeziumJson::builder().declared(schema).build().unwrap();
    let mut inferred = DebeziumJson::builder().build().unwrap();
    let mut decoders: [(&str, &mut dyn Decoder); 2] = [("ours", &mut declared), ("ours_inferred", &mut inferred)];
    let typed: Parse = |message| drop(black_box(serde_json::from_slice::<Envelope<'_>>(message).unwrap()));
    compare(criterion, "decode_debezium_json", &messages, &mut decoders, &[("typed", typed), ("value", value)]);
}

fn flat_json(criterion: &mut Criterion) {
    let messages = flat_messages(MESSAGES, 42);
    let schema = DeclaredSchema::from_json(ENVELOPE).unwrap();
    let mut declared = DebeziumFlatJson::builder().declared(schema).build().unwrap();
    let mut inferred = DebeziumFlatJson::builder().build().unwrap();
    let mut decoders: [(&str, &mut dyn Decoder); 2] = [("ours", &mut declared), ("ours_inferred", &mut inferred)];
    let typed: Parse = |message| drop(black_box(serde_json::from_slice::<FlatRow<'_>>(message).unwrap()));
    compare(criterion, "decode_debezium_flat_json", &messages, &mut decoders, &[("typed", typed)]);
}

fn json_with_schema(criterion: &mut Criterion) {
    let messages = messages_with_schema(MESSAGES, 42);
    let mut inline = DebeziumJson::builder().build().unwrap();
    let typed: Parse = |message| drop(black_box(serde_json::from_slice::<Wrapped<'_>>(message).unwrap()));
    let mut decoders: [(&str, &mut dyn Decoder); 1] = [("ours", &mut inline)];
    compare(criterion, "decode_debezium_json_with_schema", &messages, &mut decoders, &[("typed", typed)]);
}

criterion_group!(benches, json, flat_json, json_with_schema);
criterion_main!(benches);
