//! MongoDB's documents: as one text, and as columns.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use cdc_decoders::debezium::{DebeziumJson, DebeziumJsonBuilder, DeclaredSchema};
use cdc_decoders::testing::{Sample, conformance};
use cdc_decoders::{DecodeError, Decoded, Decoder};
use hudi_core::change::{ChangeBatch, Op, SnapshotPart};
use serde_json::{Value, json};

use crate::cells::{Cell, cell};

const OID: &str = r#"{"$oid": "596e275826f08b2730779e1f"}"#;

const DECLARED: &str = r#"{"type":"struct","fields":[
    {"type":"string","field":"_id"},{"type":"string","field":"name"},{"type":"int32","field":"small"},{"type":"int64","field":"n"},
    {"type":"double","field":"d"},{"type":"boolean","field":"b"},
    {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"price"},
    {"type":"string","name":"io.debezium.time.ZonedTimestamp","field":"at"},
    {"type":"int64","name":"io.debezium.time.MicroTimestamp","field":"ts"},
    {"type":"int32","name":"io.debezium.time.Date","field":"day"},
    {"type":"bytes","field":"bin"},
    {"type":"array","items":{"type":"int64"},"field":"list"},
    {"type":"struct","fields":[{"type":"int64","field":"x"},{"type":"string","field":"y"}],"field":"at_home"},
    {"type":"map","keys":{"type":"string"},"values":{"type":"int64"},"field":"counts"},
    {"type":"string","field":"rest"}]}"#;

fn typed() -> DebeziumJsonBuilder {
    DebeziumJson::builder().declared(DeclaredSchema::from_json(DECLARED).unwrap())
}

/// A message of a document; the images are texts, as the connector sends them.
fn message(op: &str, id: &str, members: &[(&str, Value)]) -> Sample {
    let mut value = json!({"op": op, "ts_ms": 1, "source": {
        "version": "3.6", "connector": "mongodb", "name": "rs", "ts_ms": 1_558_965_508_000_i64, "snapshot": "false",
        "db": "inventory", "collection": "customers", "ord": 1, "wallTime": null}});
    for (name, member) in members {
        value[*name] = member.clone();
    }
    Sample::new("rs.inventory.customers", 3, Some(&json!({ "id": id }).to_string()), Some(&value.to_string()))
}

fn document(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[track_caller]
fn add(decoder: &mut DebeziumJson, sample: &Sample) {
    assert_eq!(sample.with(|message| decoder.decode(message)), Ok(Decoded::Added { rows: 1 }));
}

#[track_caller]
fn refuse(decoder: &mut DebeziumJson, sample: &Sample) -> DecodeError {
    let error = sample.with(|message| decoder.decode(message)).unwrap_err();
    assert_eq!(decoder.buffered_rows(), 0);
    error
}

fn flush(decoder: &mut DebeziumJson) -> ChangeBatch {
    let batch = decoder.flush().unwrap().unwrap();
    batch.validate().unwrap();
    batch
}

/// The columns of a row that were sent and are not null, but for maps.
fn row(batch: &ChangeBatch, row: usize) -> Vec<(String, Cell)> {
    let schema = batch.rows.schema();
    let sent = |i: &usize| !batch.unsent[*i].as_ref().is_some_and(|mask| mask.value(row));
    let is_map = |i: &usize| matches!(schema.field(*i).data_type(), DataType::Map(..));
    let all = (0..batch.rows.num_columns()).filter(sent).filter(|i| !is_map(i));
    all.map(|i| (schema.field(i).name().clone(), cell(batch.rows.column(i), row)))
        .filter(|(_, c)| *c != Cell::Null)
        .collect()
}

fn text(name: &str, text: &str) -> (String, Cell) {
    (name.to_owned(), Cell::Text(text.to_owned()))
}

#[test]
fn without_schema_a_row_is_the_id_and_the_document() {
    let full = r#"{"_id": {"$oid": "596e275826f08b2730779e1f"}, "name": "Anne \"A\"", "n": {"$numberLong": "7"}}"#;
    let mut decoder = DebeziumJson::builder().build().unwrap();
    let snapshot = message("r", "\"a b\"", &[("after", document("{}"))]);
    let snapshot = String::from_utf8(snapshot.value.unwrap()).unwrap().replace("\"false\"", "\"last\"");
    add(&mut decoder, &Sample::new("rs.inventory.customers", 0, Some(r#"{"id":"\"a b\""}"#), Some(&snapshot)));
    add(&mut decoder, &message("c", OID, &[("before", Value::Null), ("after", document(full))]));
    add(&mut decoder, &message("u", "{ \"a\" : 1,\"b\":\" x\\\" \" }", &[("after", document(r#"{"_id":1}"#))]));
    add(&mut decoder, &message("d", "1004", &[("after", Value::Null)]));
    add(&mut decoder, &message("d", "1004", &[("before", document(r#"{"_id":1004}"#)), ("after", Value::Null)]));
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops, [Op::Snapshot, Op::Insert, Op::Update, Op::Delete, Op::Delete]);
    assert_eq!(batch.snapshots[0], SnapshotPart::FullLast);
    assert_eq!(batch.key_columns, ["id"]);
    assert_eq!(row(&batch, 0), [text("id", "\"a b\""), text("document", "{}")]);
    assert_eq!(row(&batch, 1), [text("id", r#"{"$oid":"596e275826f08b2730779e1f"}"#), text("document", full)]);
    assert_eq!(row(&batch, 2), [text("id", r#"{"a":1,"b":" x\" "}"#), text("document", r#"{"_id":1}"#)]);
    assert_eq!(row(&batch, 3), [text("id", "1004")]);
    assert_eq!(row(&batch, 4), [text("id", "1004"), text("document", r#"{"_id":1004}"#)]);
    // What a delete does not bring was not sent.
    assert!(batch.unsent[1].as_ref().unwrap().value(3));
    assert_eq!(batch.orders.as_primitive::<Int64Type>().value(1), 1_558_965_508 << 24 | 1);
    assert!(batch.positions[1].is_some());
}

#[test]
fn with_a_schema_the_members_are_columns() {
    let full = r#"{"_id": {"$oid": "596e275826f08b2730779e1f"}, "name": "Anne", "small": {"$numberInt": "5"},
        "n": {"$numberLong": "-9223372036854775808"}, "d": {"$numberDouble": "NaN"}, "b": true,
        "price": {"$numberDecimal": "1.5E+1"}, "at": {"$date": 1700000000123}, "ts": {"$date": {"$numberLong": "-1"}},
        "day": {"$date": "2023-11-14T22:13:20.123Z"}, "bin": {"$binary": {"base64": "AAE=", "subType": "00"}},
        "list": [1, {"$numberLong": "2"}, null], "at_home": {"y": {"$oid": "ff"}, "x": 1},
        "counts": {"a": {"$numberLong": "1"}}, "rest": {"deep": [ {"$numberLong": "1"} ]},
        "fresh": {"$numberLong": "9"}, "odd": {"$regularExpression": {"pattern": "x", "options": ""}}}"#;
    let mut decoder = typed().build().unwrap();
    add(&mut decoder, &message("c", OID, &[("after", document(full))]));
    // A member that is gone is null: the document is whole.
    add(
        &mut decoder,
        &message(
            "u",
            OID,
            &[(
                "after",
                document(
                    r#"{"_id":1,"at":{"$timestamp":{"t":5,"i":1}},"bin":{"$binary":"AQ==","$type":"00"},"name":7,"d":1.5}"#,
                ),
            )],
        ),
    );
    let batch = flush(&mut decoder);
    assert_eq!(batch.key_columns, ["_id"]);
    let cell = |name: &str, cell: Cell| (name.to_owned(), cell);
    let home = [("x".to_owned(), Cell::Int(1)), ("y".to_owned(), Cell::Text("ff".to_owned()))].into();
    let first: Vec<_> = row(&batch, 0).into_iter().filter(|(name, _)| name != "d").collect();
    assert_eq!(
        first,
        [
            text("_id", "596e275826f08b2730779e1f"),
            text("name", "Anne"),
            cell("small", Cell::Int(5)),
            cell("n", Cell::Int(i64::MIN)),
            cell("b", Cell::Bool(true)),
            cell("price", Cell::Decimal("15.00".to_owned())),
            cell("at", Cell::Timestamp(1_700_000_000_123_000)),
            cell("ts", Cell::Timestamp(-1000)),
            cell("day", Cell::Date(19_675)),
            cell("bin", Cell::Bytes(vec![0, 1])),
            cell("list", Cell::List(vec![Cell::Int(1), Cell::Int(2), Cell::Null])),
            cell("at_home", Cell::Struct(home)),
            text("rest", r#"{"deep":[{"$numberLong":"1"}]}"#),
            cell("fresh", Cell::Int(9)),
            text("odd", r#"{"$regularExpression": {"pattern": "x", "options": ""}}"#),
        ]
    );
    let doubles = batch.rows.column_by_name("d").unwrap().as_primitive::<arrow::datatypes::Float64Type>();
    assert!(doubles.value(0).is_nan() && doubles.value(1) == 1.5);
    assert_eq!(batch.rows.column_by_name("counts").unwrap().as_map().value_length(0), 1);
    assert_eq!(row(&batch, 1)[..2], [text("_id", "596e275826f08b2730779e1f"), text("name", "7")]);
    assert_eq!(
        batch.rows.column_by_name("at").unwrap().data_type(),
        &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))
    );
    assert!(batch.unsent.iter().all(Option::is_none));
}

fn update(description: Value) -> Sample {
    message("u", OID, &[("after", Value::Null), ("updateDescription", description)])
}

#[test]
fn an_update_without_document_is_a_part_of_a_row_or_refused() {
    let description = json!({"removedFields": ["b", "rest"], "updatedFields": r#"{"name":"X","n":{"$numberLong":"3"}}"#, "truncatedArrays": null});
    let mut decoder = typed().build().unwrap();
    add(&mut decoder, &update(description.clone()));
    add(&mut decoder, &update(json!({"removedFields": null, "updatedFields": null, "truncatedArrays": []})));
    let batch = flush(&mut decoder);
    assert_eq!(
        row(&batch, 0),
        [text("_id", "596e275826f08b2730779e1f"), text("name", "X"), ("n".to_owned(), Cell::Int(3))]
    );
    let sent: Vec<_> = (0..batch.rows.num_columns())
        .filter(|i| !batch.unsent[*i].as_ref().is_some_and(|mask| mask.value(0)))
        .map(|i| batch.rows.schema().field(i).name().clone())
        .collect();
    assert_eq!(sent, ["_id", "name", "n", "b", "rest"]);

    let mut decoder = DebeziumJson::builder().build().unwrap();
    for sample in [update(description), message("u", OID, &[("patch", document("{}"))])] {
        let error = refuse(&mut decoder, &sample);
        assert!(error.can_go_on() && error.to_string().contains("capture.mode=change_streams_update_full"), "{error}");
    }
}

#[test]
fn what_an_update_changes_inside_of_a_member_is_refused() {
    for description in [
        json!({"updatedFields": r#"{"at_home.x":1}"#}),
        json!({"removedFields": ["list.0"]}),
        json!({"truncatedArrays": [{"field": "list", "size": 1}]}),
    ] {
        let error = refuse(&mut typed().build().unwrap(), &update(description.clone()));
        assert!(error.can_go_on() && error.to_string().contains("update_full"), "{description}: {error}");
    }
}

#[test]
fn a_value_of_another_type_is_refused_by_name() {
    for (member, column) in [
        (r#""small":{"$numberLong":"2147483648"}"#, "`small`"),
        (r#""n":"7""#, "`n`"),
        (r#""n":{"$oid":"ff"}"#, "`n`"),
        (r#""price":"AAAA""#, "`price`"),
        (r#""price":{"$numberDecimal":"NaN"}"#, "`price`"),
        (r#""bin":"AAAA""#, "`bin`"),
        (r#""at":{"$date":"yesterday"}"#, "`at`"),
        (r#""at":{"$numberLong":"5"}"#, "`at`"),
        (r#""b":{"$numberLong":"1"}"#, "`b`"),
        (r#""list":{"a":1}"#, "`list`"),
        (r#""at_home":{"z":1}"#, "`at_home`"),
    ] {
        let sample = message("c", OID, &[("after", document(&format!("{{{member}}}")))]);
        let error = refuse(&mut typed().build().unwrap(), &sample);
        assert!(error.can_go_on() && error.to_string().contains(column), "{member}: {error}");
    }
    let mut decoder = DebeziumJson::builder().build().unwrap();
    refuse(&mut decoder, &message("c", OID, &[("after", document("[1]"))]));
    for bad in ["{", "{}x", ""] {
        refuse(&mut decoder, &message("c", OID, &[("after", document(bad))]));
        refuse(&mut decoder, &message("c", bad, &[("after", document("{}"))]));
    }
    let no_key = Sample { key: None, ..message("c", OID, &[("after", document("{}"))]) };
    assert!(refuse(&mut decoder, &no_key).to_string().contains("key"));
    refuse(&mut decoder, &message("c", OID, &[("after", json!({"a": 1}))]));
}

#[test]
fn the_key_is_the_documents_own() {
    let keyed = |name: &str| DebeziumJson::builder().key_columns(vec![name.to_owned()]).build().unwrap();
    let sample = message("c", OID, &[("after", document("{}"))]);
    let error = refuse(&mut keyed("name"), &sample);
    assert!(!error.can_go_on() && error.to_string().contains("`_id`"), "{error}");
    add(&mut keyed("id"), &sample);
    let mut decoder = typed().key_columns(vec!["_id".to_owned()]).build().unwrap();
    add(&mut decoder, &sample);
    add(&mut decoder, &message("u", OID, &[("after", document("{}"))]));
    assert_eq!(flush(&mut decoder).key_columns, ["_id"]);
}

fn wrapped(sample: &Sample) -> Sample {
    const SCHEMA: &str = r#"{"type":"struct","name":"rs.Envelope","fields":[{"type":"string","name":"io.debezium.data.Json","field":"before"},
        {"type":"string","name":"io.debezium.data.Json","field":"after"},{"type":"struct","field":"source","fields":[]},{"type":"string","field":"op"}]}"#;
    let value = String::from_utf8(sample.value.clone().unwrap()).unwrap();
    Sample { value: Some(format!(r#"{{"schema":{SCHEMA},"payload":{value}}}"#).into_bytes()), ..sample.clone() }
}

#[test]
fn an_inline_schema_says_that_documents_come() {
    for builder in [DebeziumJson::builder, typed] {
        let samples = [
            message("c", OID, &[("after", document(r#"{"name":"x"}"#))]),
            message("d", OID, &[("after", Value::Null)]),
        ];
        let (mut with, mut without) = (builder().build().unwrap(), builder().build().unwrap());
        for sample in &samples {
            add(&mut with, &wrapped(sample));
            add(&mut without, sample);
        }
        let (with, without) = (flush(&mut with), flush(&mut without));
        assert_eq!((with.rows, with.key_columns), (without.rows, without.key_columns));
    }
}

#[test]
fn bad_bytes_leave_no_trace() {
    let full = r#"{"_id": {"$oid": "596e275826f08b2730779e1f"}, "name": "Anne \"é\"", "n": {"$numberLong": "7"}, "price": {"$numberDecimal": "1.50"}}"#;
    let mut samples = vec![
        message("r", OID, &[("after", document(full))]),
        message("u", "1", &[("after", document(full))]),
        message("d", OID, &[("before", document(full)), ("after", Value::Null)]),
    ];
    for (offset, sample) in (0..).zip(&mut samples) {
        sample.offset = offset;
    }
    let boxed = |builder: DebeziumJsonBuilder| Box::new(builder.build().unwrap()) as Box<dyn Decoder>;
    conformance(|| boxed(DebeziumJson::builder()), &samples).unwrap();
    conformance(|| boxed(typed()), &samples).unwrap();
    let wrapped: Vec<_> = samples.iter().map(wrapped).collect();
    conformance(|| boxed(DebeziumJson::builder()), &wrapped).unwrap();
}
