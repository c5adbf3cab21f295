//! Debezium's envelope in Avro to columns, beside arrow-avro: real messages of a recorded topic, again and again.
//!
//! Ours makes a batch of changes: the row images, typed for the table, with keys, operations, positions and fingerprints. arrow-avro
//! makes a batch of all columns of the envelope (`all`), or of the row after the change and the operation alone (`after`).

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_avro::reader::{Decoder as ArrowDecoder, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cdc_decoders::debezium::DebeziumAvro;
use cdc_decoders::{Decoded, Decoder, Message, SchemaId};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;

const MESSAGES: usize = 5_000;

/// One topic's messages of one schema.
struct Topic {
    name: String,
    messages: Vec<(Option<Vec<u8>>, Vec<u8>)>,
    value_id: u32,
    schemas: Vec<(u32, String)>,
}

impl Topic {
    fn schema(&self) -> &str {
        &self.schemas.iter().find(|(id, _)| *id == self.value_id).unwrap().1
    }

    fn bytes(&self) -> usize {
        self.messages.iter().map(|(_, value)| value.len()).sum()
    }
}

fn capture() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/cdc-captures/pg/avro");
    if !path.is_dir() {
        println!("SKIPPED: no capture in {}", path.display());
        return None;
    }
    Some(path)
}

fn id_of(value: &[u8]) -> u32 {
    u32::from_be_bytes(*value[1..].first_chunk().unwrap())
}

/// The inserts, updates and deletes of a table, repeated.
fn topic(capture: &Path, table: &str) -> Topic {
    let file = std::fs::File::open(capture.join("records.jsonl.gz")).unwrap();
    let lines = BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
    let records = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let of_table = records.filter(|record| record["topic"].as_str().unwrap().ends_with(&format!(".{table}")));
    let bytes = |value: &Value| value.as_str().map(|text| STANDARD.decode(text).unwrap());
    let messages: Vec<_> = of_table.filter_map(|r| Some((bytes(&r["key"]), bytes(&r["value"])?))).collect();
    let ids = messages.iter().flat_map(|(key, value)| key.iter().chain([value])).map(|bytes| id_of(bytes));
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let text = |id: u32| std::fs::read_to_string(capture.join(format!("schemas/{id}.avsc"))).unwrap();
    Topic {
        name: table.to_owned(),
        value_id: id_of(&messages[0].1),
        schemas: ids.into_iter().map(|id| (id, text(id))).collect(),
        messages: messages.iter().cycle().take(MESSAGES).cloned().collect(),
    }
}

fn ours(topic: &Topic) -> DebeziumAvro {
    let mut decoder = DebeziumAvro::builder().build().unwrap();
    topic.schemas.iter().for_each(|(id, text)| decoder.learn(SchemaId::Id(*id), text).unwrap());
    decoder
}

fn decode(decoder: &mut DebeziumAvro, topic: &Topic) -> usize {
    for (offset, (key, value)) in topic.messages.iter().enumerate() {
        let message = Message {
            topic: &topic.name,
            partition: 0,
            offset: offset as i64,
            timestamp_ms: None,
            key: key.as_deref(),
            value: Some(value),
            headers: &[],
        };
        assert_eq!(decoder.decode(&message).unwrap(), Decoded::Added { rows: 1 });
    }
    black_box(decoder.flush().unwrap().unwrap()).num_rows()
}

/// The schema without the members of the envelope that nobody asked for.
fn after_alone(schema: &str) -> String {
    let mut schema: Value = serde_json::from_str(schema).unwrap();
    let members = schema["fields"].as_array_mut().unwrap();
    let row = members[0]["type"].clone();
    members.retain(|member| ["after", "op"].contains(&member["name"].as_str().unwrap()));
    members[0]["type"] = row;
    schema.to_string()
}

fn arrow_avro(topic: &Topic, reader: Option<String>) -> ArrowDecoder {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let id = Fingerprint::Id(topic.value_id);
    store.set(id, AvroSchema::new(topic.schema().to_owned())).unwrap();
    let builder = ReaderBuilder::new().with_writer_schema_store(store).with_active_fingerprint(id);
    let builder = builder.with_batch_size(MESSAGES);
    match reader {
        Some(schema) => builder.with_reader_schema(AvroSchema::new(schema)).build_decoder().unwrap(),
        None => builder.build_decoder().unwrap(),
    }
}

fn decode_arrow(decoder: &mut ArrowDecoder, topic: &Topic) -> usize {
    for (_, value) in &topic.messages {
        assert_eq!(decoder.decode(value).unwrap(), value.len());
    }
    black_box(decoder.flush().unwrap().unwrap()).num_rows()
}

/// The shortest of some runs, taken by turns, so that a busy machine slows all alike.
fn ratios(topic: &Topic) {
    let (mut own, mut all) = (ours(topic), arrow_avro(topic, None));
    let mut after = arrow_avro(topic, Some(after_alone(topic.schema())));
    let mut best = [Duration::MAX; 3];
    #[allow(clippy::disallowed_methods, reason = "a bench tells the time")]
    let mut time = |place: usize, run: &mut dyn FnMut() -> usize| {
        let start = std::time::Instant::now();
        assert_eq!(run(), MESSAGES);
        best[place] = best[place].min(start.elapsed());
    };
    for _ in 0..60 {
        time(0, &mut || decode(&mut own, topic));
        time(1, &mut || decode_arrow(&mut all, topic));
        time(2, &mut || decode_arrow(&mut after, topic));
    }
    let [own, all, after] = best.map(|best| best.as_nanos() as f64 / MESSAGES as f64);
    println!(
        "{}: {own:.0} ns a message of {} bytes; arrow-avro, all columns {all:.0} ns: {:.2} x; after and op {after:.0} ns: {:.2} x",
        topic.name,
        topic.bytes() / MESSAGES,
        all / own,
        after / own
    );
}

fn decode_avro(criterion: &mut Criterion) {
    let Some(capture) = capture() else { return };
    for table in ["customers", "orders", "all_types"] {
        let topic = topic(&capture, table);
        ratios(&topic);
        let mut group = criterion.benchmark_group("decode_avro");
        group.throughput(Throughput::Bytes(topic.bytes() as u64));
        let mut own = ours(&topic);
        group.bench_function(BenchmarkId::new("ours", table), |b| b.iter(|| decode(&mut own, &topic)));
        for (name, reader) in [("arrow_avro_all", None), ("arrow_avro_after", Some(after_alone(topic.schema())))] {
            let mut decoder = arrow_avro(&topic, reader);
            group.bench_function(BenchmarkId::new(name, table), |b| b.iter(|| decode_arrow(&mut decoder, &topic)));
        }
        group.finish();
    }
}

criterion_group!(benches, decode_avro);
criterion_main!(benches);
