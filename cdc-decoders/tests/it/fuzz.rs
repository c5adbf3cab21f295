//! Bad bytes: nothing panics, and nothing of them is left in the batches.

use std::path::Path;

use cdc_decoders::debezium::{DebeziumAvro, DebeziumJson, DeclaredSchema};
use cdc_decoders::testing::{Conformance, Sample, conformance};
use cdc_decoders::{Decoder, SchemaId};

use crate::capture::{folder, records, schemas};

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
