//! Bad bytes: nothing panics, and nothing of them is left in the batches.

use std::collections::BTreeMap;
use std::path::Path;

use cdc_decoders::debezium::{
    DebeziumAvro, DebeziumCloudEvents, DebeziumFlatAvro, DebeziumFlatJson, DebeziumJson, DeclaredSchema,
};
use cdc_decoders::testing::{Conformance, Fuzzed, Sample, conformance};
use cdc_decoders::{Decoder, SchemaId};

use crate::capture::{Record, folder, records, schemas};
use crate::cloudevents::as_event;

const SOURCE: &str = r#""source":{"version":"3.6.3.Final","connector":"postgresql","name":"pg","ts_ms":17,"snapshot":null,"db":"d","sequence":"[\"12\",\"34\"]","lsn":34,"xmin":null}"#;

const SCHEMA: &str = r#"{"type":"struct","fields":[{"type":"int32","field":"id"},{"type":"string","field":"name"},
    {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"price"},
    {"type":"array","items":{"type":"int64","name":"io.debezium.time.MicroTimestamp"},"field":"seen"},
    {"type":"struct","fields":[{"type":"double","field":"x"},{"type":"bytes","field":"wkb"}],"field":"at"},
    {"type":"map","keys":{"type":"string"},"values":{"type":"string"},"field":"tags"},
    {"type":"struct","name":"io.debezium.data.VariableScaleDecimal","fields":[],"field":"free"}]}"#;

fn samples() -> Vec<Sample> {
    let row = |id: i64| {
        format!(
            r#"{{"id":{id},"name":"a\u00e9\uD83D\uDE42 \"{id}\"","price":"AJY=","seen":[1732197132954446,null],"at":{{"x":1.5E3,"wkb":"AAE="}},"tags":{{"k":"v","n":null}},"free":{{"scale":1,"value":"gw=="}}}}"#
        )
    };
    let message = |offset: i64, op: &str, before: String, after: String| {
        let value =
            format!(r#"{{"before":{before},"after":{after},{SOURCE},"transaction":null,"op":"{op}","ts_ms":1}}"#);
        Sample::new("t", offset, Some(&format!(r#"{{"id":{offset}}}"#)), Some(&value))
    };
    let truncate = |offset: i64| Sample { key: None, ..message(offset, "t", "null".into(), "null".into()) };
    vec![
        truncate(0),
        message(1, "r", "null".into(), row(1)),
        message(2, "c", "null".into(), row(2)),
        Sample::new("t", 3, Some(r#"{"id":2}"#), None),
        message(4, "u", row(4), row(4)),
        truncate(5),
        message(6, "d", row(6), "null".into()),
        truncate(7),
    ]
}

fn boxed(builder: cdc_decoders::debezium::DebeziumJsonBuilder) -> Box<dyn Decoder> {
    Box::new(builder.build().unwrap())
}

#[test]
fn without_schema() {
    conformance(|| boxed(DebeziumJson::builder()), &samples()).unwrap();
}

#[test]
fn with_a_declared_schema() {
    let schema = DeclaredSchema::from_json(SCHEMA).unwrap();
    conformance(|| boxed(DebeziumJson::builder().declared(schema.clone())), &samples()).unwrap();
}

#[test]
fn with_keys_of_the_users() {
    let keys = || vec!["name".to_owned()];
    conformance(|| boxed(DebeziumJson::builder().key_columns(keys())), &samples()).unwrap();
}

#[test]
fn with_an_inline_schema() {
    let envelope = format!(
        r#"{{"type":"struct","name":"t.Envelope","fields":[{},{{"type":"struct","field":"source","fields":[]}},{{"type":"string","field":"op"}}]}}"#,
        SCHEMA.replacen('{', r#"{"field":"after","#, 1)
    );
    let wrap = |schema: &str, payload: Option<Vec<u8>>| {
        payload.map(|p| format!(r#"{{"schema":{schema},"payload":{}}}"#, std::str::from_utf8(&p).unwrap()).into_bytes())
    };
    let key = r#"{"type":"struct","fields":[{"type":"int32","field":"id"}],"name":"t.Key"}"#;
    let samples: Vec<_> = samples()
        .into_iter()
        .map(|s| Sample { key: wrap(key, s.key.clone()), value: wrap(&envelope, s.value.clone()), ..s })
        .collect();
    conformance(|| boxed(DebeziumJson::builder()), &samples).unwrap();
}

/// The suite for Avro, with the schemas of a capture.
fn avro<'a>(capture: &Path, samples: &'a [Sample]) -> Conformance<'a> {
    let suite = Conformance::new(|| Box::new(DebeziumAvro::builder().build().unwrap()), samples);
    schemas(capture).into_iter().fold(suite, |suite, (id, text)| suite.schema(SchemaId::Id(id), text))
}

#[test]
fn on_real_messages_in_avro() {
    let Some(folder) = folder() else { return };
    for capture in ["pg/avro", "maria/avro"] {
        let path = folder.join(capture);
        let records = records(&path);
        for table in ["all_types", "evolving", "events_nokey"] {
            let of_table: Vec<_> = records.iter().filter(|r| r.table() == table).map(|r| r.sample()).collect();
            let step = of_table.len().div_ceil(12);
            let samples: Vec<_> = of_table.into_iter().step_by(step).collect();
            avro(&path, &samples).run().unwrap_or_else(|e| panic!("{capture} {table}: {e}"));
        }
        let emptied: Vec<_> = records.iter().filter(|r| r.table() == "audit_log").map(|r| r.sample()).collect();
        let truncate = emptied.iter().position(|sample| sample.key.is_none()).unwrap();
        avro(&path, &emptied[truncate - 2..truncate + 3]).run().unwrap();
    }
}

#[test]
fn on_real_messages() {
    let Some(folder) = folder() else { return };
    for capture in ["pg/json", "maria/json"] {
        let records = records(&folder.join(capture));
        let samples: Vec<_> = records.iter().filter(|r| r.table() == "all_types").take(6).map(|r| r.sample()).collect();
        conformance(|| boxed(DebeziumJson::builder()), &samples).unwrap();
        let emptied: Vec<_> = records.iter().filter(|r| r.table() == "audit_log").collect();
        let truncate = emptied.iter().position(|r| r.is_truncate()).unwrap();
        let samples: Vec<_> = emptied[truncate - 2..truncate + 3].iter().map(|r| r.sample()).collect();
        conformance(|| boxed(DebeziumJson::builder()), &samples).unwrap();
    }
}

/// A decoder with the samples that it is fuzzed by.
struct Target {
    name: &'static str,
    make: fn() -> Box<dyn Decoder>,
    samples: Vec<Sample>,
    schemas: BTreeMap<u32, String>,
}

/// Every decoder on real messages of the table with the most types, and on those of the table whose schema changes.
fn targets(folder: &Path) -> Vec<Target> {
    let json: fn() -> Box<dyn Decoder> = || boxed(DebeziumJson::builder());
    let avro: fn() -> Box<dyn Decoder> = || Box::new(DebeziumAvro::builder().build().unwrap());
    let flat: fn() -> Box<dyn Decoder> = || Box::new(DebeziumFlatJson::builder().build().unwrap());
    let flat_avro: fn() -> Box<dyn Decoder> = || Box::new(DebeziumFlatAvro::builder().build().unwrap());
    let events: fn() -> Box<dyn Decoder> = || Box::new(DebeziumCloudEvents::builder().build().unwrap());
    let made = |name: &'static str, make, capture: &str, sample: fn(&Record) -> Option<Sample>| {
        let path = folder.join(capture);
        let records = records(&path);
        let of_tables = records.iter().filter(|r| ["all_types", "evolving"].contains(&r.table()));
        let of_tables: Vec<_> = of_tables.filter(|r| r.value().is_some()).filter_map(sample).collect();
        let step = of_tables.len().div_ceil(8);
        let topic = of_tables[0].topic.clone();
        let samples = of_tables.into_iter().step_by(step).filter(|sample| sample.topic == topic).collect();
        let schemas = if capture.contains("avro") { schemas(&path) } else { BTreeMap::new() };
        Target { name, make, samples, schemas }
    };
    let target = |name, make, capture| made(name, make, capture, |record| Some(record.sample()));
    vec![
        target("JSON", json, "pg/json"),
        target("JSON with schema", json, "maria/json-schema"),
        target("flattened JSON", flat, "pg/flat-rewrite"),
        target("flattened JSON with schema", flat, "maria/flat-tombstone-schema"),
        target("flattened Avro", flat_avro, "pg/flat-avro"),
        target("Avro of PostgreSQL", avro, "pg/avro"),
        target("Avro of MariaDB", avro, "maria/avro"),
        made("CloudEvents", events, "pg/json", as_event),
        made("CloudEvents with schema", events, "maria/json-schema", as_event),
    ]
}

/// Bytes of memory that the process holds, where the system tells.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Fuzzes by `count` mutations from a seed of the environment: `CDC_FUZZ_SEED`.
fn fuzz(target: &Target, count: usize) {
    let seed = std::env::var("CDC_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let suite = Conformance::new(target.make, &target.samples);
    let schemas = target.schemas.iter();
    let suite = schemas.fold(suite, |suite, (id, text)| suite.schema(SchemaId::Id(*id), text));
    let (mut told, mut most) = (Fuzzed::default(), 0);
    let before = resident_bytes();
    for part in 0..count.div_ceil(100_000) {
        let fuzzed = suite.fuzz(seed + part as u64, count.min(100_000));
        told += fuzzed.unwrap_or_else(|e| panic!("{}, seed {}: {e}", target.name, seed + part as u64));
        most = most.max(resident_bytes().saturating_sub(before));
    }
    println!("{}: {told:?}, {} KiB more than before", target.name, most >> 10);
    assert!(told.added > 0 && told.refused > 0, "{}", target.name);
    // A few batches of some hundred messages; one decimal of a kilobyte can take half a megabyte, no more.
    assert!(most < 512 << 20, "{}: {most} bytes", target.name);
}

#[test]
fn mutated_messages_harm_nothing_but_themselves() {
    let Some(folder) = folder() else { return };
    for target in targets(&folder) {
        fuzz(&target, 4000);
    }
}

/// Ten million mutations of each decoder, or `CDC_FUZZ_COUNT`; of one decoder alone, if `CDC_FUZZ_ONLY` is in its name.
#[test]
#[ignore = "takes long: run it in release, by itself"]
fn very_many_mutated_messages_harm_nothing_but_themselves() {
    let Some(folder) = folder() else { return };
    let count = std::env::var("CDC_FUZZ_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(10_000_000);
    let only = std::env::var("CDC_FUZZ_ONLY").unwrap_or_default();
    for target in targets(&folder).iter().filter(|target| target.name.contains(&only)) {
        fuzz(target, count);
    }
}
