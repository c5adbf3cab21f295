//! What becomes of each kind of message in Avro. Bodies are written by another implementation, from JSON.

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use arrow::array::{Array, AsArray};
use cdc_decoders::debezium::{DebeziumAvro, KeyFormat};
use cdc_decoders::testing::Sample;
use cdc_decoders::{DecodeError, Decoded, Decoder, Framing, SchemaId, SkipReason};
use hudi_core::change::{ChangeBatch, Op, SnapshotPart};
use serde_json::{Value, json};

use crate::cells::{Cell, cell};

const SOURCE: &str = r#"{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[
    {"name":"version","type":"string"},{"name":"connector","type":"string"},{"name":"name","type":"string"},{"name":"ts_ms","type":"long"},
    {"name":"snapshot","type":[{"type":"string","connect.default":"false"},"null"],"default":"false"},
    {"name":"sequence","type":["null","string"],"default":null},{"name":"lsn","type":["null","long"],"default":null}]}"#;

/// The schema of an envelope whose rows have these fields.
fn envelope(fields: &str) -> String {
    format!(
        r#"{{"type":"record","name":"Envelope","namespace":"pg.t","connect.name":"pg.t.Envelope","fields":[
            {{"name":"before","type":["null",{{"type":"record","name":"Value","fields":[{fields}]}}],"default":null}},
            {{"name":"after","type":["null","Value"],"default":null}},
            {{"name":"source","type":{SOURCE}}},
            {{"name":"op","type":"string"}},{{"name":"ts_ms","type":["null","long"],"default":null}}]}}"#
    )
}

fn key(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"Key","namespace":"pg.t","fields":[{fields}]}}"#)
}

const ID: &str = r#"{"name":"id","type":"int"}"#;
const NAME: &str = r#"{"name":"name","type":["null","string"],"default":null}"#;

fn source() -> Value {
    json!({"version": "3", "connector": "postgresql", "name": "pg", "ts_ms": 17, "snapshot": "false",
        "sequence": "[\"12\",\"34\"]", "lsn": 34})
}

fn event(op: &str, before: Value, after: Value) -> Value {
    json!({"before": before, "after": after, "source": source(), "op": op, "ts_ms": 1})
}

/// The body of a value, written by another implementation.
fn body(schema: &str, value: &Value) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    let value = Avro::try_from(value.clone()).unwrap().resolve(&schema).unwrap();
    GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap()
}

/// The id of the first schema of a rig's registry.
const FIRST: u32 = 100;

/// The id of the schema at a place.
const fn at(place: u32) -> SchemaId {
    SchemaId::Id(FIRST + place)
}

fn framed(place: u32, body: Vec<u8>) -> Vec<u8> {
    [&[0][..], &(FIRST + place).to_be_bytes(), &body].concat()
}

/// A decoder and the schemas that its registry has, by their places.
struct Rig {
    decoder: DebeziumAvro,
    schemas: Vec<String>,
    offset: i64,
}

impl Rig {
    fn new(schemas: &[String]) -> Self {
        Self::with(DebeziumAvro::builder().build().unwrap(), schemas)
    }

    fn with(decoder: DebeziumAvro, schemas: &[String]) -> Self {
        Self { decoder, schemas: schemas.to_vec(), offset: 0 }
    }

    /// A message of value schema `value` and key schema `key`.
    fn sample(&mut self, key: Option<(u32, Value)>, value: (u32, Value)) -> Sample {
        self.offset += 1;
        let write = |(id, value): &(u32, Value)| framed(*id, body(&self.schemas[*id as usize], value));
        Sample {
            topic: "pg.t".to_owned(),
            offset: self.offset,
            key: key.as_ref().map(write),
            value: Some(write(&value)),
            ..Sample::default()
        }
    }

    fn offer(&mut self, sample: &Sample) -> Result<Decoded, DecodeError> {
        loop {
            match sample.with(|message| self.decoder.decode(message)) {
                Ok(Decoded::NeedsSchema(SchemaId::Id(id))) => {
                    self.decoder.learn(SchemaId::Id(id), &self.schemas[(id - FIRST) as usize]).unwrap();
                }
                other => return other,
            }
        }
    }

    #[track_caller]
    fn add(&mut self, key: Option<(u32, Value)>, value: (u32, Value)) {
        let sample = self.sample(key, value);
        let decoded = self.offer(&sample);
        assert!(matches!(decoded, Ok(Decoded::Added { .. })), "{decoded:?}");
    }

    #[track_caller]
    fn refuse(&mut self, key: Option<(u32, Value)>, value: (u32, Value)) -> DecodeError {
        let rows = self.decoder.buffered_rows();
        let sample = self.sample(key, value);
        let error = self.offer(&sample).unwrap_err();
        assert_eq!(self.decoder.buffered_rows(), rows);
        error
    }

    fn flush(&mut self) -> ChangeBatch {
        let batch = self.decoder.flush().unwrap().unwrap();
        batch.validate().unwrap();
        batch
    }
}

/// A row in short: `name=value`, `name=?` for a column that was not sent.
fn row(batch: &ChangeBatch, row: usize) -> String {
    let schema = batch.rows.schema();
    let show = |i: usize| {
        let value = match cell(batch.rows.column(i), row) {
            _ if batch.unsent[i].as_ref().is_some_and(|mask| mask.value(row)) => "?".to_owned(),
            Cell::Null => "null".to_owned(),
            Cell::Int(value) => value.to_string(),
            Cell::Text(text) => text,
            other => format!("{other:?}"),
        };
        format!("{}={value}", schema.field(i).name())
    };
    (0..schema.fields().len()).map(show).collect::<Vec<_>>().join(" ")
}

fn rows(batch: &ChangeBatch) -> Vec<String> {
    (0..batch.num_rows()).map(|i| row(batch, i)).collect()
}

fn customers() -> Rig {
    Rig::new(&[envelope(&format!("{ID},{NAME}")), key(ID)])
}

fn id(id: i32) -> Option<(u32, Value)> {
    Some((1, json!({"id": id})))
}

#[test]
fn operations_give_rows() {
    let mut rig = customers();
    let snapshot = |part: &str| {
        let mut event = event("r", Value::Null, json!({"id": 1, "name": "x"}));
        event["source"]["snapshot"] = json!(part);
        event
    };
    rig.add(id(1), (0, snapshot("first")));
    rig.add(id(1), (0, snapshot("last_in_data_collection")));
    rig.add(id(1), (0, snapshot("incremental")));
    rig.add(id(2), (0, event("c", Value::Null, json!({"id": 2, "name": null}))));
    rig.add(id(2), (0, event("u", json!({"id": 2, "name": null}), json!({"id": 2, "name": "y"}))));
    rig.add(id(2), (0, event("d", json!({"id": 9, "name": "z"}), Value::Null)));
    rig.add(id(3), (0, event("d", Value::Null, Value::Null)));
    rig.add(None, (0, event("t", Value::Null, Value::Null)));
    let batch = rig.flush();
    assert_eq!(batch.ops[2..], [Op::Snapshot, Op::Insert, Op::Update, Op::Delete, Op::Delete, Op::Truncate]);
    assert_eq!(
        batch.snapshots[..4],
        [SnapshotPart::Full, SnapshotPart::FullLast, SnapshotPart::Incremental, SnapshotPart::None]
    );
    assert_eq!(rows(&batch)[3..], ["id=2 name=null", "id=2 name=y", "id=2 name=z", "id=3 name=?", "id=null name=null"]);
    assert_eq!(
        (&*batch.source, batch.key_columns.as_slice(), batch.source_ts_ms.value(0)),
        ("pg", &["id".to_owned()][..], 17)
    );
    assert_eq!((batch.orders.is_null(0), batch.orders.is_valid(7)), (true, true));
    assert_eq!(batch.positions[3].unwrap().0, [12, 34, 0]);
}

#[test]
fn contradictions_are_refused() {
    let mut rig = customers();
    let one = json!({"id": 1, "name": "x"});
    let all = [
        (id(1), event("c", Value::Null, Value::Null), "`after`"),
        (None, event("d", Value::Null, Value::Null), "a delete"),
        (None, event("t", Value::Null, one.clone()), "truncate"),
        (id(1), event("x", Value::Null, one.clone()), "operation `x`"),
    ];
    for (key, value, words) in all {
        let error = rig.refuse(key, (0, value));
        assert!(error.can_go_on() && error.to_string().contains(words), "{error}");
    }
    let mut nameless = event("c", Value::Null, one);
    nameless["source"]["lsn"] = Value::Null;
    assert!(matches!(rig.refuse(id(1), (0, nameless)), DecodeError::Position { field: "lsn", .. }));
}

#[test]
fn a_schema_is_asked_for_once_and_a_refused_one_stays_refused() {
    let mut rig = customers();
    let sample = rig.sample(id(1), (0, event("c", Value::Null, json!({"id": 1, "name": "x"}))));
    let ask = |rig: &mut Rig| sample.with(|message| rig.decoder.decode(message));
    assert_eq!(ask(&mut rig).unwrap(), Decoded::NeedsSchema(at(0)));
    assert!(rig.decoder.learn(at(0), "no schema").is_err());
    assert!(!ask(&mut rig).unwrap_err().can_go_on());
    rig.decoder.learn(at(0), &rig.schemas[0]).unwrap();
    assert_eq!(ask(&mut rig).unwrap(), Decoded::NeedsSchema(at(1)));
    assert_eq!(rig.decoder.buffered_rows(), 0);
    rig.decoder.learn(at(1), &rig.schemas[1]).unwrap();
    assert_eq!(ask(&mut rig).unwrap(), Decoded::Added { rows: 1 });
    // A schema that is none of an envelope is learnt, for it may be a key's.
    let text = framed(2, vec![2, b'x']);
    rig.decoder.learn(at(2), r#""string""#).unwrap();
    let error = Sample { value: Some(text), ..sample.clone() }.with(|message| rig.decoder.decode(message)).unwrap_err();
    assert!(error.can_go_on() && error.to_string().contains("no Debezium envelope"), "{error}");
}

#[test]
fn other_columns_wait_for_a_flush_and_other_ids_do_not() {
    let both = envelope(&format!("{ID},{NAME}"));
    let more = envelope(&format!(r#"{ID},{NAME},{{"name":"more","type":["null","long"]}}"#));
    let mut rig = Rig::new(&[both.clone(), key(ID), both.replace("\"default\":null", "\"default\": null"), more]);
    let new = |n: u32| (n, event("c", Value::Null, json!({"id": 1, "name": "x"})));
    rig.add(id(1), new(0));
    rig.add(id(1), new(2));
    let wider = (3, event("u", Value::Null, json!({"id": 1, "name": "x", "more": 5})));
    let sample = rig.sample(id(1), wider.clone());
    assert_eq!(rig.offer(&sample).unwrap(), Decoded::FlushFirst);
    assert_eq!(rig.flush().rows.num_columns(), 2);
    rig.add(id(1), wider);
    // An old one that comes again.
    let sample = rig.sample(id(1), new(0));
    assert_eq!(rig.offer(&sample).unwrap(), Decoded::FlushFirst);
    assert_eq!(rows(&rig.flush()), ["id=1 name=x more=5"]);
    rig.add(id(1), new(0));
    assert_eq!(rows(&rig.flush()), ["id=1 name=x"]);
    // Another key.
    rig.schemas.push(key(r#"{"name":"name","type":"string"}"#));
    rig.add(id(1), new(0));
    let sample = rig.sample(Some((4, json!({"name": "x"}))), new(0));
    assert_eq!(rig.offer(&sample).unwrap(), Decoded::FlushFirst);
    rig.flush();
    assert_eq!(rig.offer(&sample).unwrap(), Decoded::Added { rows: 1 });
    assert_eq!(rig.flush().key_columns, ["name"]);
}

#[test]
fn a_record_that_may_be_null_at_the_top_is_read_or_a_tombstone() {
    let schema = format!("[\"null\",{}]", envelope(&format!("{ID},{NAME}")));
    let mut rig = Rig::new(&[schema, format!("[\"null\",{}]", key(ID))]);
    rig.add(id(1), (0, event("c", Value::Null, json!({"id": 1, "name": "x"}))));
    let null = Sample { value: Some(framed(0, vec![0])), ..rig.sample(id(1), (0, Value::Null)) };
    assert_eq!(rig.offer(&null).unwrap(), Decoded::Skipped(SkipReason::Tombstone));
    let more = Sample { value: Some(framed(0, vec![0, 0])), ..null };
    assert!(matches!(rig.offer(&more), Err(DecodeError::Malformed { offset: 6, .. })));
    rig.add(Some((1, Value::Null)), (0, event("t", Value::Null, Value::Null)));
    assert_eq!(rig.flush().key_columns, ["id"]);
}

#[test]
fn other_messages_are_told_by_their_schemas_names() {
    let record = |name: &str| {
        format!(
            r#"{{"type":"record","name":"{name}","connect.name":"{name}","fields":[{{"name":"x","type":"string"}}]}}"#
        )
    };
    let message = format!(
        r#"{{"type":"record","name":"io.debezium.connector.postgresql.MessageValue","fields":[{{"name":"op","type":"string"}},{{"name":"source","type":{SOURCE}}}]}}"#
    );
    let mut rig = Rig::new(&[
        envelope(&format!("{ID},{NAME}")),
        key(ID),
        record("io.debezium.connector.common.Heartbeat"),
        record("io.debezium.connector.common.TransactionMetadataValue"),
        record("io.debezium.connector.mariadb.SchemaChangeValue"),
        record("io.debezium.connector.common.Notification"),
        message,
        record("pg.t.Value"),
    ]);
    rig.add(id(1), (0, event("c", Value::Null, json!({"id": 1, "name": "x"}))));
    let x = json!({"x": "y"});
    for (schema, reason) in [
        (2, SkipReason::Heartbeat),
        (3, SkipReason::Transaction),
        (4, SkipReason::SchemaChange),
        (5, SkipReason::Notification),
    ] {
        let sample = rig.sample(None, (schema, x.clone()));
        assert_eq!(rig.offer(&sample).unwrap(), Decoded::Skipped(reason));
        // So they are among the rows of another topic, without a flush.
        let elsewhere = Sample { topic: "other".to_owned(), ..sample.clone() };
        assert_eq!(rig.offer(&elsewhere).unwrap(), Decoded::Skipped(reason));
        let cut = Sample { value: sample.value.map(|v| v[..v.len() - 1].to_vec()), ..sample };
        assert!(rig.offer(&cut).is_err());
    }
    let logical = rig.sample(id(1), (6, json!({"op": "m", "source": source()})));
    assert_eq!(rig.offer(&logical).unwrap(), Decoded::Skipped(SkipReason::LogicalMessage));
    assert!(rig.refuse(id(1), (7, x)).to_string().contains("no Debezium envelope"));
    assert_eq!(rows(&rig.flush()), ["id=1 name=x"]);
}

const PLACEHOLDER: &str = "__debezium_unavailable_value";

/// One column of every type that can hold the placeholder, and the placeholder in it.
fn placeholders() -> Vec<(&'static str, Value)> {
    let codes: Vec<u32> = PLACEHOLDER.bytes().map(u32::from).collect();
    vec![
        (r#""string""#, json!(PLACEHOLDER)),
        (r#"["null","string"]"#, json!("X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==")),
        (r#"["string","null"]"#, json!("5f5f646562657a69756d5f756e617661696c61626c655f76616c7565")),
        (
            r#"{"type":"string","connect.name":"io.debezium.data.Json"}"#,
            json!(format!("{{\"{PLACEHOLDER}\":\"{PLACEHOLDER}\"}}")),
        ),
        (r#"{"type":"string","connect.name":"io.debezium.time.ZonedTimestamp"}"#, json!(PLACEHOLDER)),
        (r#""bytes""#, json!(PLACEHOLDER)),
        (r#"{"type":"array","items":["null","string"]}"#, json!([PLACEHOLDER])),
        (r#"["null",{"type":"array","items":"bytes"}]"#, json!([PLACEHOLDER])),
        (r#"{"type":"array","items":["null","int"]}"#, json!(codes)),
        (r#"{"type":"array","items":"long"}"#, json!(codes)),
        (r#"{"type":"array","items":{"type":"int","connect.name":"io.debezium.time.Date"}}"#, json!(codes)),
        (r#"{"type":"array","items":["null","string"]}"#, json!(["b68a35a7-17ad-35b3-af2a-ae46edb4545a"])),
        (r#"{"type":"map","values":["null","string"]}"#, json!({PLACEHOLDER: PLACEHOLDER})),
    ]
}

#[test]
fn what_stands_for_a_value_not_sent_is_known_in_every_type() {
    for (kind, value) in placeholders() {
        let fields = format!(r#"{ID},{{"name":"x","type":{kind}}}"#);
        let mut rig = Rig::new(&[envelope(&fields), key(ID)]);
        rig.add(id(1), (0, event("u", Value::Null, json!({"id": 1, "x": value}))));
        let batch = rig.flush();
        let unsent = batch.unsent[1].as_ref().is_some_and(|mask| mask.value(0));
        assert!(unsent && batch.rows.column(1).is_null(0), "{kind} {value}");
        // Where the source sends all values it is one, unless the column cannot hold it.
        let sample = rig.sample(id(1), (0, event("r", Value::Null, json!({"id": 1, "x": value}))));
        if kind.contains("ZonedTimestamp") {
            assert!(rig.offer(&sample).unwrap_err().to_string().contains("placeholder"));
        } else {
            assert_eq!(rig.offer(&sample).unwrap(), Decoded::Added { rows: 1 }, "{kind}");
            let batch = rig.flush();
            assert!(batch.unsent[1].is_none() && batch.rows.column(1).is_valid(0), "{kind}");
        }
    }
    let builder = DebeziumAvro::builder().unavailable_placeholder("gone");
    let mut rig = Rig::with(builder.build().unwrap(), &[envelope(&format!("{ID},{NAME}")), key(ID)]);
    rig.add(id(1), (0, event("u", Value::Null, json!({"id": 1, "name": "gone"}))));
    rig.add(id(1), (0, event("u", Value::Null, json!({"id": 1, "name": PLACEHOLDER}))));
    assert_eq!(rows(&rig.flush()), ["id=1 name=?".to_owned(), format!("id=1 name={PLACEHOLDER}")]);
}

#[test]
fn decimals_that_no_column_can_hold_and_unions_of_several_types_become_text() {
    let decimal = |scale: i32, precision: &str| {
        format!(
            r#"{{"type":"bytes","connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal","scale":{scale},
                "precision":64,"connect.parameters":{{"scale":"{scale}"{precision}}}}}"#
        )
    };
    let fields = format!(
        r#"{ID},{{"name":"money","type":["null",{}]}},{{"name":"odd","type":["null",{}]}},
            {{"name":"several","type":["null","int","string",{{"type":"array","items":"int"}}]}}"#,
        decimal(2, ""),
        decimal(2046, r#","connect.decimal.precision":"5""#),
    );
    // The other implementation refuses such decimals: it is shown bytes.
    let plain = fields.replace(r#""logicalType":"decimal","#, "");
    let mut rig = Rig::new(&[envelope(&plain), key(ID)]);
    let small = "\u{1}";
    let row_of =
        |several: Value| event("c", Value::Null, json!({"id": 1, "money": small, "odd": small, "several": several}));
    rig.add(id(1), (0, row_of(json!(5))));
    rig.add(id(1), (0, row_of(json!("five"))));
    rig.add(id(1), (0, row_of(Value::Null)));
    let error = rig.refuse(id(1), (0, row_of(json!([5]))));
    assert!(error.can_go_on() && error.to_string().contains("`several`"), "{error}");
    let batch = rig.flush();
    let odd = format!("0.{}1", "0".repeat(2045));
    let expected = |several: &str| format!("id=1 money=0.01 odd={odd} several={several}");
    assert_eq!(rows(&batch), ["5", "five", "null"].map(expected));
}

#[test]
fn a_schema_that_explodes_or_whose_columns_collide_is_an_error_of_its_messages() {
    let itself = r#"{"name":"x","type":{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}}"#;
    for (fields, words) in [
        (format!("{ID},{itself}"), "itself"),
        (format!(r#"{ID},{{"name":"ID","type":"int"}}"#), "but for case"),
        (format!(r#"{ID},{{"name":"_cdc_x","type":"int"}}"#), "rename"),
    ] {
        let mut rig = customers();
        rig.decoder.learn(at(9), &envelope(&fields)).unwrap_err();
        let sample = Sample {
            value: Some(framed(9, vec![0; 40])),
            ..rig.sample(id(1), (0, event("t", Value::Null, Value::Null)))
        };
        let error = rig.offer(&sample).unwrap_err();
        assert!(!error.can_go_on() && error.to_string().contains(words), "{error}");
        // Other schemas are as good as before.
        rig.add(id(1), (0, event("c", Value::Null, json!({"id": 1, "name": "x"}))));
    }
}

#[test]
fn keys_may_be_written_in_anything() {
    let value = |op: &str| event(op, Value::Null, if op == "d" { Value::Null } else { json!({"id": 1, "name": "x"}) });
    let rig = |format: KeyFormat, users: Option<&str>| {
        let mut builder = DebeziumAvro::builder().key_format(format);
        if let Some(column) = users {
            builder = builder.key_columns(vec![column.to_owned()]).keys_never_change();
        }
        Rig::with(builder.build().unwrap(), &[envelope(&format!("{ID},{NAME}")), key(ID), r#""string""#.to_owned()])
    };
    for (format, users, key, keys) in [
        (KeyFormat::Auto, None, &br#"{"id":1}"#[..], &["id"][..]),
        (KeyFormat::Json, None, br#"{"schema":{"type":"struct"},"payload":{"id":1}}"#, &["id"]),
        (KeyFormat::Opaque, Some("id"), b"Struct{id=1}", &["id"]),
        (KeyFormat::Opaque, None, b"Struct{id=1}", &[]),
        (KeyFormat::Avro, Some("id"), b"\0\0\0\0\x66\x02k", &["id"]),
    ] {
        let mut rig = rig(format, users);
        let sample = Sample { key: Some(key.to_vec()), ..rig.sample(None, (0, value("c"))) };
        assert_eq!(rig.offer(&sample).unwrap(), Decoded::Added { rows: 1 }, "{format:?}");
        assert_eq!(rig.flush().key_columns, keys, "{format:?}");
    }
    // A delete takes what names its row from the key.
    let mut deletes = rig(KeyFormat::Auto, None);
    let sample = Sample { key: Some(br#"{"id":7}"#.to_vec()), ..deletes.sample(None, (0, value("d"))) };
    assert_eq!(deletes.offer(&sample).unwrap(), Decoded::Added { rows: 1 });
    deletes.add(id(8), (0, value("d")));
    assert_eq!(rows(&deletes.flush()), ["id=7 name=?", "id=8 name=?"]);
    for (format, key) in [
        (KeyFormat::Auto, &b"Struct{id=1}"[..]),
        (KeyFormat::Auto, b"\0\0\0\0\x66\x02k"),
        (KeyFormat::Avro, br#"{"id":1}"#),
        (KeyFormat::Json, b"\0\0\0\0\x65\x02"),
        (KeyFormat::Auto, b""),
    ] {
        let mut rig = rig(format, None);
        let sample = Sample { key: Some(key.to_vec()), ..rig.sample(None, (0, value("c"))) };
        assert!(rig.offer(&sample).unwrap_err().can_go_on(), "{format:?} {key:?}");
    }
}

#[test]
fn a_key_may_be_older_than_its_row_but_not_of_another_kind() {
    let long = r#"{"name":"id","type":"long"}"#;
    let mut rig = Rig::new(&[envelope(&format!("{long},{NAME}")), key(ID), key(r#"{"name":"id","type":"string"}"#)]);
    rig.add(id(7), (0, event("d", Value::Null, Value::Null)));
    assert_eq!(rows(&rig.flush()), ["id=7 name=?"]);
    let error = rig.refuse(Some((2, json!({"id": "7"}))), (0, event("d", Value::Null, Value::Null)));
    assert!(error.can_go_on() && error.to_string().contains("`id`"), "{error}");
    // What only the key has is a column of its own.
    rig.schemas.push(key(r#"{"name":"shard","type":"string"}"#));
    rig.add(Some((3, json!({"shard": "a"}))), (0, event("d", Value::Null, Value::Null)));
    assert_eq!(rows(&rig.flush()), ["id=? name=? shard=a"]);
}

#[test]
fn rows_whose_key_changed_tell_the_other_key() {
    let mut rig = customers();
    let header = |name: &str, key: &str| vec![(name.to_owned(), Some(key.as_bytes().to_vec()))];
    let gone = rig.sample(id(1), (0, event("d", json!({"id": 1, "name": "x"}), Value::Null)));
    let gone = Sample { headers: header("__debezium.newkey", r#"{"id":9}"#), ..gone };
    let come = rig.sample(id(9), (0, event("c", Value::Null, json!({"id": 9, "name": PLACEHOLDER}))));
    let come = Sample { headers: header("__debezium.oldkey", r#"{"id":1}"#), ..come };
    for sample in [gone, come] {
        assert_eq!(rig.offer(&sample).unwrap(), Decoded::Added { rows: 1 });
    }
    let batch = rig.flush();
    let others = batch.other_keys.as_ref().unwrap().column(0).as_primitive::<arrow::datatypes::Int32Type>();
    assert_eq!(
        (others.values().as_ref(), rows(&batch)),
        (&[9, 1][..], vec!["id=1 name=x".to_owned(), "id=9 name=?".to_owned()])
    );
}

#[test]
fn an_update_that_changes_the_users_key_gives_two_rows() {
    let builder = || DebeziumAvro::builder().key_columns(vec!["name".to_owned()]);
    let schemas = [envelope(&format!("{ID},{NAME}")), key(ID)];
    let mut rig = Rig::with(builder().build().unwrap(), &schemas);
    let update = |old: Value, new: &str| event("u", old, json!({"id": 1, "name": new}));
    rig.add(id(1), (0, update(json!({"id": 1, "name": "a"}), "a")));
    rig.add(id(1), (0, update(json!({"id": 1, "name": "a"}), "b")));
    let batch = rig.flush();
    assert_eq!(rows(&batch), ["id=1 name=a", "id=1 name=a", "id=1 name=b"]);
    assert_eq!(
        (batch.ops.as_slice(), batch.key_columns.as_slice()),
        (&[Op::Update, Op::Delete, Op::Update][..], &["name".to_owned()][..])
    );
    let others = batch.other_keys.as_ref().unwrap();
    let names = others.column(0).as_string::<i32>();
    assert_eq!((others.is_null(0), names.value(1), names.value(2)), (true, "b", "a"));
    // What the source does not know, it sends as null or as the type's default.
    for old in [json!({"id": 1, "name": null}), json!({"id": 1, "name": ""})] {
        let error = rig.refuse(id(1), (0, update(old, "b")));
        assert!(error.can_go_on() && error.to_string().contains("`name`"), "{error}");
    }
    assert!(!rig.refuse(id(1), (0, update(Value::Null, "b"))).can_go_on());
}

#[test]
fn ids_stand_in_headers_in_longer_frames_or_nowhere() {
    let schema = envelope(&format!("{ID},{NAME}"));
    let (value, id) =
        (body(&schema, &event("c", Value::Null, json!({"id": 1, "name": "x"}))), body(&key(ID), &json!({"id": 1})));
    let uuid = |n: u8| [n; 16];
    let header = |name: &str, bytes: Vec<u8>| (name.to_owned(), Some(bytes));
    let cases = [
        (
            [&[0][..], &5_u64.to_be_bytes(), &value].concat(),
            [&[0][..], &6_u64.to_be_bytes(), &id].concat(),
            vec![],
            [SchemaId::GlobalId(5), SchemaId::GlobalId(6)],
        ),
        (
            [&[3, 0][..], &uuid(5), &value].concat(),
            [&[3, 0][..], &uuid(6), &id].concat(),
            vec![],
            [SchemaId::Uuid(uuid(5)), SchemaId::Uuid(uuid(6))],
        ),
        (
            value.clone(),
            id.clone(),
            vec![
                header("__value_schema_id", [&[1][..], &uuid(5)].concat()),
                header("__key_schema_id", vec![0, 0, 0, 0, 6]),
            ],
            [SchemaId::Uuid(uuid(5)), SchemaId::Id(6)],
        ),
        (
            value.clone(),
            br#"{"id":1}"#.to_vec(),
            vec![header("apicurio.value.globalId", 5_u64.to_be_bytes().to_vec())],
            [SchemaId::GlobalId(5), SchemaId::Id(0)],
        ),
    ];
    for (value, key_bytes, headers, ids) in cases {
        let mut decoder = DebeziumAvro::builder().build().unwrap();
        let sample =
            Sample { topic: "t".into(), key: Some(key_bytes), value: Some(value), headers, ..Sample::default() };
        let mut asked = vec![];
        loop {
            match sample.with(|message| decoder.decode(message)).unwrap() {
                Decoded::NeedsSchema(id) => {
                    decoder.learn(id, &if asked.is_empty() { schema.clone() } else { key(ID) }).unwrap();
                    asked.push(id);
                }
                other => break assert_eq!(other, Decoded::Added { rows: 1 }),
            }
        }
        assert!(ids.starts_with(&asked) && !asked.is_empty(), "{asked:?}");
        assert_eq!(rows(&decoder.flush().unwrap().unwrap()), ["id=1 name=x"]);
    }
    let mut own = DebeziumAvro::builder().unframed(schema.as_str(), Some(key(ID))).build().unwrap();
    let sample = Sample { topic: "t".into(), key: Some(id), value: Some(value), ..Sample::default() };
    assert_eq!(sample.with(|message| own.decode(message)).unwrap(), Decoded::Added { rows: 1 });
    assert_eq!(own.flush().unwrap().unwrap().key_columns, ["id"]);
    assert!(DebeziumAvro::builder().framing(Framing::None).build().is_err());
    let avro_keys = DebeziumAvro::builder().unframed(schema.as_str(), None).key_format(KeyFormat::Avro);
    assert!(avro_keys.build().is_err());
}

#[test]
fn a_body_that_is_compressed_is_inflated_once() {
    use std::io::Write;
    let schema = envelope(&format!("{ID},{NAME}"));
    let long = "x".repeat(10_000);
    let value = body(&schema, &event("c", Value::Null, json!({"id": 1, "name": long})));
    let mut zlib = flate2::write::ZlibEncoder::new([&[3, 5][..], &[7; 16]].concat(), flate2::Compression::default());
    zlib.write_all(&value).unwrap();
    let value = zlib.finish().unwrap();
    assert!(value.len() < 500);
    let mut decoder = DebeziumAvro::builder().framing(Framing::Glue).build().unwrap();
    decoder.learn(SchemaId::Uuid([7; 16]), &schema).unwrap();
    let sample =
        Sample { topic: "t".into(), key: Some(br#"{"id":1}"#.to_vec()), value: Some(value), ..Sample::default() };
    assert_eq!(sample.with(|message| decoder.decode(message)).unwrap(), Decoded::Added { rows: 1 });
    assert_eq!(rows(&decoder.flush().unwrap().unwrap()), [format!("id=1 name={long}")]);
}

#[test]
fn values_that_do_not_fit_name_their_column_and_place() {
    let mut rig = customers();
    let mut sample = rig.sample(id(1), (0, event("c", Value::Null, json!({"id": 1, "name": "xyz"}))));
    let value = sample.value.as_mut().unwrap();
    let place = value.windows(3).position(|bytes| bytes == b"xyz").unwrap();
    value[place + 1] = 0xff;
    let error = rig.offer(&sample).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { offset, .. } if offset == place + 1), "{error}");
    assert!(!error.to_string().contains("xyz"));
    let date = r#"{"name":"at","type":{"type":"string","connect.name":"io.debezium.time.ZonedTimestamp"}}"#;
    let mut rig = Rig::new(&[envelope(&format!("{ID},{date}")), key(ID)]);
    let error = rig.refuse(id(1), (0, event("c", Value::Null, json!({"id": 1, "at": "yesterday"}))));
    assert!(matches!(&error, DecodeError::Value { column, .. } if column == "at"));
    assert!(!error.to_string().contains("yesterday"));
}
