//! Debezium's JSON without inline schema to columns, beside serde_json: into a typed struct that borrows all it can, and into `Value`.
//!
//! Ours makes Arrow columns of a declared schema; the baselines drop what they parsed, message by message.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::borrow::Cow;
use std::hint::black_box;

use benches::debezium::{MESSAGE_BYTES, messages};
use cdc_decoders::debezium::{DebeziumJson, DeclaredSchema};
use cdc_decoders::{Decoded, Decoder, Message};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;

const MESSAGES: usize = 10_000;

const SCHEMA: &str = r#"{"type":"struct","fields":[
    {"type":"int32","field":"id"},
    {"type":"string","optional":true,"field":"name"},
    {"type":"string","optional":true,"field":"email"},
    {"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"12"},"field":"balance"},
    {"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","field":"created_at"},
    {"type":"boolean","optional":true,"field":"active"}]}"#;

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

fn decode(decoder: &mut DebeziumJson, messages: &[(Vec<u8>, Vec<u8>)]) -> usize {
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

fn decode_debezium_json(criterion: &mut Criterion) {
    let messages = messages(MESSAGES, 42);
    assert!(messages.iter().all(|(_, value)| value.len() == MESSAGE_BYTES));
    let mut group = criterion.benchmark_group("decode_debezium_json");
    for throughput in [Throughput::Bytes((MESSAGES * MESSAGE_BYTES) as u64), Throughput::Elements(MESSAGES as u64)] {
        let unit = if matches!(throughput, Throughput::Bytes(_)) { "bytes" } else { "messages" };
        group.throughput(throughput);
        let schema = DeclaredSchema::from_json(SCHEMA).unwrap();
        let mut declared = DebeziumJson::builder().declared(schema).build().unwrap();
        let mut inferred = DebeziumJson::builder().build().unwrap();
        group.bench_function(BenchmarkId::new("ours", unit), |b| b.iter(|| decode(&mut declared, &messages)));
        group.bench_function(BenchmarkId::new("ours_inferred", unit), |b| b.iter(|| decode(&mut inferred, &messages)));
        group.bench_function(BenchmarkId::new("typed", unit), |b| {
            b.iter(|| {
                messages.iter().for_each(|(_, m)| drop(black_box(serde_json::from_slice::<Envelope<'_>>(m).unwrap())))
            });
        });
        group.bench_function(BenchmarkId::new("value", unit), |b| {
            b.iter(|| {
                messages
                    .iter()
                    .for_each(|(_, m)| drop(black_box(serde_json::from_slice::<serde_json::Value>(m).unwrap())))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode_debezium_json);
criterion_main!(benches);
