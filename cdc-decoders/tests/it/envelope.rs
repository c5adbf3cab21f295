//! What becomes of each kind of message.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, Field, Int64Type, Schema};
use cdc_decoders::debezium::{DebeziumJson, DeclaredSchema};
use cdc_decoders::testing::Sample;
use cdc_decoders::{DecodeError, Decoded, Decoder, SkipReason};
use hudi_core::change::{ChangeBatch, Op, StreamPosition};

const PG: &str = r#"{"version":"3.6.3.Final","connector":"postgresql","name":"pg","ts_ms":17,"sequence":"[\"12\",\"34\"]","lsn":34}"#;
const MARIA: &str =
    r#"{"connector":"mariadb","name":"m","ts_ms":17,"server_id":4242,"file":"b.000002","pos":7,"row":1}"#;
const RUN: &str = "__debezium.context.runId";

fn plain() -> DebeziumJson {
    DebeziumJson::builder().build().unwrap()
}

fn envelope(source: &str, op: &str, before: &str, after: &str) -> String {
    format!(r#"{{"before":{before},"after":{after},"source":{source},"op":"{op}","ts_ms":1}}"#)
}

fn decode(decoder: &mut DebeziumJson, sample: &Sample) -> Result<Decoded, DecodeError> {
    sample.with(|message| decoder.decode(message))
}

#[track_caller]
fn add(decoder: &mut DebeziumJson, key: Option<&str>, value: &str) {
    let decoded = decode(decoder, &Sample::new("t", 5, key, Some(value)));
    assert!(matches!(decoded, Ok(Decoded::Added { .. })), "{decoded:?}");
}

#[track_caller]
fn refuse(decoder: &mut DebeziumJson, key: Option<&str>, value: &str) -> DecodeError {
    let rows = decoder.buffered_rows();
    let error = decode(decoder, &Sample::new("t", 5, key, Some(value))).unwrap_err();
    assert_eq!(decoder.buffered_rows(), rows);
    error
}

fn flush(decoder: &mut DebeziumJson) -> ChangeBatch {
    let batch = decoder.flush().unwrap().unwrap();
    batch.validate().unwrap();
    batch
}

/// A row in short: `name=value`, `name=?` for a column that was not sent.
fn row(batch: &ChangeBatch, row: usize) -> String {
    let schema = batch.rows.schema();
    let cell = |i: usize| {
        let column = batch.rows.column(i);
        let value = match (batch.unsent[i].as_ref().is_some_and(|m| m.value(row)), column.data_type()) {
            (true, _) => "?".to_owned(),
            _ if column.is_null(row) => "null".to_owned(),
            (_, DataType::Int64) => column.as_primitive::<Int64Type>().value(row).to_string(),
            (_, DataType::Boolean) => column.as_boolean().value(row).to_string(),
            _ => column.as_string::<i32>().value(row).to_owned(),
        };
        format!("{}={value}", schema.field(i).name())
    };
    (0..batch.rows.num_columns()).map(cell).collect::<Vec<_>>().join(" ")
}

/// Without a key the whole row tells which one is meant: what it was goes before what it is.
#[test]
fn an_update_without_a_key_is_a_delete_of_the_old_row_and_the_new_one() {
    let mut decoder = plain();
    let (old, new) = (r#"{"a":1,"b":"x"}"#, r#"{"a":2,"b":"x"}"#);
    add(&mut decoder, None, &envelope(PG, "c", "null", old));
    add(&mut decoder, None, &envelope(PG, "u", old, new));
    add(&mut decoder, None, &envelope(PG, "u", "null", new));
    add(&mut decoder, None, &envelope(PG, "d", new, "null"));
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops, [Op::Insert, Op::Delete, Op::Update, Op::Update, Op::Delete]);
    let rows: Vec<_> = (0..5).map(|i| row(&batch, i)).collect();
    assert_eq!(rows, ["a=1 b=x", "a=1 b=x", "a=2 b=x", "a=2 b=x", "a=2 b=x"]);
    assert!(batch.unsent.iter().all(Option::is_none) && !batch.whole_schema);
}

#[test]
fn operations_give_rows() {
    let mut decoder = plain();
    add(&mut decoder, Some(r#"{"id":1}"#), &envelope(PG, "r", "null", r#"{"id":1,"a":"x"}"#));
    add(&mut decoder, Some(r#"{"id":2}"#), &envelope(PG, "c", "null", r#"{"id":2,"a":null}"#));
    add(&mut decoder, Some(r#"{"id":2}"#), &envelope(PG, "u", r#"{"id":2,"a":null}"#, r#"{"id":2}"#));
    add(&mut decoder, Some(r#"{"id":2}"#), &envelope(PG, "d", r#"{"id":9,"a":"y","b":true}"#, "null"));
    add(&mut decoder, Some(r#"{"id":3}"#), &envelope(PG, "d", "null", "null"));
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops, [Op::Snapshot, Op::Insert, Op::Update, Op::Delete, Op::Delete]);
    let rows: Vec<_> = (0..5).map(|i| row(&batch, i)).collect();
    assert_eq!(
        rows,
        ["id=1 a=x b=null", "id=2 a=null b=null", "id=2 a=null b=null", "id=2 a=y b=true", "id=3 a=? b=?"]
    );
    assert_eq!((&*batch.topic, &*batch.source, &batch.key_columns), ("t", "pg", &vec!["id".to_owned()]));
    let orders = batch.orders.as_primitive::<Int64Type>();
    assert!(orders.is_null(0) && orders.values()[1..] == [34; 4]);
    assert_eq!(batch.positions[0], None);
    assert_eq!(batch.positions[1], Some(StreamPosition([12, 34, 0])));
    assert_eq!(batch.source_ts_ms.values(), &[17; 5]);
    assert_eq!(batch.offsets, [5; 5]);
    assert!(decoder.flush().unwrap().is_none());
}

const ID: &str = r#"{"id":1}"#;

fn truncate(source: &str) -> String {
    envelope(source, "t", "null", "null")
}

#[test]
fn a_truncate_holds_nothing_and_keeps_its_place() {
    let mut decoder = plain();
    let earlier = PG.replace("34", "33").replace("17", "16");
    add(&mut decoder, Some(ID), &envelope(&earlier, "c", "null", r#"{"id":1,"a":"x"}"#));
    add(&mut decoder, None, &truncate(PG));
    add(&mut decoder, Some(ID), &envelope(PG, "u", "null", r#"{"id":1,"b":true}"#));
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops, [Op::Insert, Op::Truncate, Op::Update]);
    let rows: Vec<_> = (0..3).map(|i| row(&batch, i)).collect();
    assert_eq!(rows, ["id=1 a=x b=null", "id=null a=null b=null", "id=1 a=null b=true"]);
    assert_eq!(batch.orders.as_primitive::<Int64Type>().values(), &[33, 34, 34]);
    assert_eq!(batch.positions[1], Some(StreamPosition([12, 34, 0])));
    assert_eq!(batch.source_ts_ms.values(), &[16, 17, 17]);
    // The same in every re-delivery, and in whatever company.
    add(&mut decoder, None, &truncate(PG));
    assert_eq!(flush(&mut decoder).fingerprints[0], batch.fingerprints[1]);
}

#[test]
fn a_truncate_before_any_row_has_the_columns_that_are_declared_or_none() {
    let mut decoder = plain();
    add(&mut decoder, None, &truncate(MARIA));
    let batch = flush(&mut decoder);
    assert_eq!((batch.num_rows(), batch.rows.num_columns(), batch.key_columns.len()), (1, 0, 0));
    assert_eq!((&*batch.source, batch.identity.as_deref()), ("m", Some("4242")));

    let fields = r#"{"type":"struct","fields":[{"type":"int64","field":"id"},{"type":"string","field":"a"}]}"#;
    let declared = DebeziumJson::builder().declared(DeclaredSchema::from_json(fields).unwrap());
    let stored = Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("a", DataType::Utf8, true)]);
    for builder in [declared, DebeziumJson::builder().known(&stored)] {
        let mut decoder = builder.key_columns(vec!["a".to_owned()]).build().unwrap();
        add(&mut decoder, None, &truncate(PG));
        let batch = flush(&mut decoder);
        assert_eq!((row(&batch, 0), batch.key_columns), ("id=null a=null".to_owned(), vec!["a".to_owned()]));
    }
    let envelope = format!(
        r#"{{"type":"struct","name":"t.Envelope","fields":[{},{{"type":"struct","field":"source","fields":[]}},{{"type":"string","field":"op"}}]}}"#,
        fields.replacen('{', r#"{"field":"after","#, 1)
    );
    let mut decoder = plain();
    add(&mut decoder, None, &format!(r#"{{"schema":{envelope},"payload":{}}}"#, truncate(PG)));
    assert_eq!(row(&flush(&mut decoder), 0), "id=null a=null");
}

#[test]
fn a_truncate_says_nothing_about_the_key() {
    let insert = envelope(PG, "c", "null", ID);
    for key in [None, Some("null"), Some(r#"{"schema":null,"payload":null}"#)] {
        let mut decoder = plain();
        for message in [(key, &truncate(PG)), (Some(ID), &insert), (key, &truncate(PG)), (Some(ID), &insert)] {
            add(&mut decoder, message.0, message.1);
        }
        assert_eq!(flush(&mut decoder).key_columns, ["id"]);
        add(&mut decoder, key, &truncate(PG));
        assert_eq!(flush(&mut decoder).key_columns, ["id"], "alone, later");
    }
    // Nor does it end a batch of rows that have none.
    let mut decoder = plain();
    for value in [&truncate(PG), &insert, &truncate(PG), &insert] {
        add(&mut decoder, None, value);
    }
    assert!(flush(&mut decoder).key_columns.is_empty());
    // A row without a key does, as ever.
    add(&mut decoder, Some(ID), &insert);
    let sample = Sample::new("t", 5, None, Some(&insert));
    assert_eq!(decode(&mut decoder, &sample), Ok(Decoded::FlushFirst));
}

#[test]
fn a_truncate_that_contradicts_itself_is_refused() {
    for (before, after) in [("null", ID), (ID, "null")] {
        let mut decoder = plain();
        let error = refuse(&mut decoder, Some(ID), &envelope(PG, "t", before, after));
        assert!(error.can_go_on() && error.to_string().contains("truncate"), "{error}");
    }
    let unordered = truncate(&PG.replace(r#""lsn":34"#, r#""lsn":null"#));
    assert!(refuse(&mut plain(), None, &unordered).to_string().contains("lsn"));
}

#[test]
fn messages_without_a_change_are_skipped_and_named() {
    let wrapped = |name: &str, payload: &str| {
        format!(r#"{{"schema":{{"type":"struct","fields":[],"name":"{name}"}},"payload":{payload}}}"#)
    };
    let row =
        r#"{"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}],"name":"t.Value"},"payload":null}"#;
    let message = format!(r#"{{"op":"m","source":{PG},"message":{{"prefix":"p","content":"AA=="}}}}"#);
    for (value, reason) in [
        ("null", SkipReason::Tombstone),
        (row, SkipReason::Tombstone),
        (r#"{"ts_ms":1}"#, SkipReason::Heartbeat),
        (&wrapped("io.debezium.connector.common.Heartbeat", r#"{"ts_ms":1}"#), SkipReason::Heartbeat),
        (r#"{"status":"END","id":"7:9","event_count":1,"data_collections":[],"ts_ms":1}"#, SkipReason::Transaction),
        (
            &wrapped(
                "io.debezium.connector.common.TransactionMetadataValue",
                r#"{"status":"END","id":"1","event_count":1,"data_collections":[]}"#,
            ),
            SkipReason::Transaction,
        ),
        (r#"{"source":{},"databaseName":"d","ddl":"DROP","tableChanges":[],"ts_ms":1}"#, SkipReason::SchemaChange),
        (r#"{"id":"1","aggregate_type":"x","type":"y","additional_data":null}"#, SkipReason::Notification),
        (&message, SkipReason::LogicalMessage),
    ] {
        let mut decoder = plain();
        let sample = Sample::new("t", 0, Some(r#"{"id":1}"#), Some(value));
        assert_eq!(decode(&mut decoder, &sample), Ok(Decoded::Skipped(reason)), "{value}");
        // Between changes of another topic too.
        add(&mut decoder, Some(r#"{"id":1}"#), &envelope(PG, "c", "null", r#"{"id":1}"#));
        if reason != SkipReason::LogicalMessage {
            let other = Sample { topic: "other".to_owned(), ..sample };
            assert_eq!(decode(&mut decoder, &other), Ok(Decoded::Skipped(reason)), "{value}");
        }
        assert_eq!(decoder.buffered_rows(), 1);
    }
    assert_eq!(decode(&mut plain(), &Sample::new("t", 0, None, None)), Ok(Decoded::Skipped(SkipReason::Tombstone)));
}

#[test]
fn what_is_not_decoded_is_refused_by_name_and_the_rest_goes_on() {
    let mut decoder = plain();
    assert!(refuse(&mut decoder, None, &envelope(PG, "x", "null", "{}")).to_string().contains("`x`"));
    assert!(refuse(&mut decoder, None, r#"{"id":1,"name":"flat"}"#).to_string().contains("no Debezium envelope"));
    add(&mut decoder, None, &envelope(PG, "c", "null", r#"{"id":1}"#));
    let vitess = PG.replace("postgresql", "vitess");
    let error = refuse(&mut plain(), None, &envelope(&vitess, "c", "null", r#"{"id":1}"#));
    assert!(!error.can_go_on() && error.to_string().contains("vitess"));
}

#[test]
fn malformed_messages_say_where_and_hold_no_values() {
    let after = r#"{"id":1,"secret":"hidden"}"#;
    let good = envelope(PG, "c", "null", after);
    let mut decoder = plain();
    for (value, offset) in [
        (format!("{good}x"), good.len()),
        (good.replace("\"op\":\"c\"", "\"op\":c"), good.find("\"op\":").unwrap() + 5),
        (good.replace("\"secret\":", "\"id\":"), good.find("\"hidden\"").unwrap() - 4),
        (good.replace("\"ts_ms\":1}", "\"op\":1}"), good.rfind("\"ts_ms\":").unwrap() + 5),
        (String::new(), 0),
    ] {
        let error = refuse(&mut decoder, None, &value);
        assert!(error.can_go_on() && !error.to_string().contains("hidden"), "{error}");
        let DecodeError::Malformed { offset: at, .. } = error else { panic!("{error}") };
        assert_eq!(at, offset, "{value}");
    }
    let mut bytes = good.clone().into_bytes();
    *bytes.iter_mut().rfind(|b| **b == b'h').unwrap() = 0xff;
    let sample = Sample { value: Some(bytes), ..Sample::new("t", 0, None, None) };
    assert!(decode(&mut decoder, &sample).unwrap_err().to_string().contains("UTF-8"));
    for broken in [
        good.replace(after, "null"),
        good.replace(after, "\"hidden\""),
        good.replace(PG, "null"),
        good.replace("\"op\":\"c\"", "\"op\":null"),
        envelope(PG, "d", "null", "null"),
        good.replace("\"lsn\":34", "\"lsn\":null"),
        good.replace("\"lsn\":34", "\"lsn\":1.5"),
        good.replace("\"name\":\"pg\",", ""),
    ] {
        let error = refuse(&mut decoder, None, &broken);
        assert!(error.can_go_on() && !error.to_string().contains("hidden"), "{error}");
    }
    for key in ["{", "5", "\"hidden\"", "Struct{id=1}"] {
        let error = refuse(&mut decoder, Some(key), &good);
        assert!(error.can_go_on() && error.to_string().contains("key"), "{error}");
    }
    add(&mut decoder, None, &good);
    assert_eq!(row(&flush(&mut decoder), 0), "id=1 secret=hidden");
}

#[test]
fn a_bad_value_names_its_column_and_leaves_no_trace() {
    let schema = r#"{"type":"struct","fields":[{"type":"int32","field":"id"},{"type":"string","field":"a"},
        {"type":"int32","name":"io.debezium.time.Date","field":"day"}]}"#;
    let mut decoder = DebeziumJson::builder().declared(DeclaredSchema::from_json(schema).unwrap()).build().unwrap();
    let change = |after: &str| envelope(PG, "c", "null", after);
    for (after, column) in [
        (r#"{"id":1,"a":"x","day":-2147472692,"new":5,"id2":2147483648,"a2":1,"day":1}"#, "twice"),
        (r#"{"id":2147483648,"a":"x"}"#, "`id`"),
        (r#"{"id":1,"a":5}"#, "`a`"),
        (r#"{"day":-2147472692,"new":7,"id":1.5}"#, "`id`"),
        (r#"{"id":1,"A":"x"}"#, "`A`"),
        (r#"{"id":1,"_hoodie_x":"x"}"#, "`_hoodie_x`"),
    ] {
        let error = refuse(&mut decoder, None, &change(after));
        assert!(error.can_go_on() && error.to_string().contains(column), "{error}");
        assert_eq!(decoder.clamped(), 0);
    }
    add(&mut decoder, None, &change(r#"{"id":1,"a":"x","day":-2147472692,"extra":true}"#));
    add(&mut decoder, None, &change(r#"{"id":2,"a":"y","day":0}"#));
    assert_eq!((decoder.clamped(), decoder.buffered_rows()), (1, 2));
    let batch = flush(&mut decoder);
    let names: Vec<_> = batch.rows.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["id", "a", "day", "extra"]);
    assert_eq!(batch.rows.column(2).as_primitive::<Date32Type>().values(), &[2_932_896, 0]);
    assert_eq!(decoder.clamped(), 1);
}

#[test]
fn what_a_batch_has_one_of_ends_it() {
    let schema = |column: &str| {
        format!(
            r#"{{"type":"struct","fields":[{{"type":"struct","field":"after","fields":[{{"type":"int32","field":"{column}"}}]}},{{"type":"struct","field":"source","fields":[]}},{{"type":"string","field":"op"}}]}}"#
        )
    };
    let wrapped = |column: &str| {
        format!(
            r#"{{"schema":{},"payload":{}}}"#,
            schema(column),
            envelope(PG, "c", "null", &format!(r#"{{"{column}":1}}"#))
        )
    };
    let base = Sample::new("t", 0, Some(r#"{"id":1}"#), Some(&envelope(MARIA, "c", "null", r#"{"id":1}"#)));
    let value = |text: &str| Some(text.as_bytes().to_vec());
    let run = |run: &str| vec![(RUN.to_owned(), value(run))];
    let with = |from: &str, to: &str| Sample {
        value: value(&envelope(&MARIA.replace(from, to), "c", "null", r#"{"id":1}"#)),
        ..base.clone()
    };
    let inline = Sample { value: value(&wrapped("id")), ..base.clone() };
    for (what, first, second, flushes) in [
        ("topic", base.clone(), Sample { topic: "u".into(), ..base.clone() }, true),
        ("source", base.clone(), with("\"m\"", "\"n\""), true),
        ("identity", base.clone(), with("4242", "4243"), true),
        ("identity of a snapshot", base.clone(), with("4242", "0"), false),
        ("identity after a snapshot", with("4242", "0"), base.clone(), false),
        ("run", Sample { headers: run("a"), ..base.clone() }, Sample { headers: run("b"), ..base.clone() }, true),
        ("no run", Sample { headers: run("a"), ..base.clone() }, base.clone(), true),
        ("key", base.clone(), Sample { key: value(r#"{"id":1,"k":2}"#), ..base.clone() }, true),
        ("no key", base.clone(), Sample { key: None, ..base.clone() }, true),
        ("schema", inline.clone(), Sample { value: value(&wrapped("x")), ..base.clone() }, true),
        ("no schema", inline.clone(), base.clone(), true),
        ("schema after none", base.clone(), inline.clone(), true),
        (
            "schema with other words",
            inline.clone(),
            Sample {
                value: value(&wrapped("id").replace("\"type\":\"int32\"", "\"type\":\"int32\",\"doc\":\"x\"")),
                ..base.clone()
            },
            false,
        ),
        ("partition", base.clone(), Sample { partition: 1, offset: 0, ..base.clone() }, false),
        (
            "white space",
            base.clone(),
            Sample {
                value: value(&envelope(MARIA, "c", "null", "{ \"id\" : 1 }").replace(',', " ,\n")),
                ..base.clone()
            },
            false,
        ),
    ] {
        let mut decoder = plain();
        assert_eq!(decode(&mut decoder, &first), Ok(Decoded::Added { rows: 1 }), "{what}");
        let decoded = decode(&mut decoder, &second);
        if flushes {
            assert_eq!(decoded, Ok(Decoded::FlushFirst), "{what}");
            assert_eq!(flush(&mut decoder).num_rows(), 1);
            assert_eq!(decode(&mut decoder, &second), Ok(Decoded::Added { rows: 1 }), "{what}");
        } else {
            assert_eq!(decoded, Ok(Decoded::Added { rows: 1 }), "{what}");
        }
        let batch = flush(&mut decoder);
        assert_eq!(batch.num_rows(), if flushes { 1 } else { 2 }, "{what}");
        if what.starts_with("identity of") || what.starts_with("identity after") {
            assert_eq!(batch.identity.as_deref(), Some("4242"));
        }
    }
}

#[test]
fn keys_that_the_user_names_move_rows() {
    let mut decoder = DebeziumJson::builder().key_columns(vec!["region".to_owned(), "id".to_owned()]).build().unwrap();
    let key = Some(r#"{"id":1}"#);
    let update = |before: &str, after: &str| envelope(MARIA, "u", before, after);
    add(&mut decoder, key, &update(r#"{"id":1,"region":"eu","a":"x"}"#, r#"{"id":1,"region":"us","a":"y"}"#));
    add(&mut decoder, key, &update(r#"{"id":1,"region":"us","a":"y"}"#, r#"{"id":1,"region":"us","a":"z"}"#));
    add(&mut decoder, key, &update(r#"{"id":1,"region":null}"#, r#"{"id":1,"region":"ap"}"#));
    add(&mut decoder, Some("\"1\""), &envelope(MARIA, "d", r#"{"id":1,"region":"ap"}"#, "null"));
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops, [Op::Delete, Op::Update, Op::Update, Op::Delete, Op::Update, Op::Delete]);
    let rows: Vec<_> = (0..6).map(|i| row(&batch, i)).collect();
    assert_eq!(rows[..4], ["id=1 region=eu a=x", "id=1 region=us a=y", "id=1 region=us a=z", "id=1 region=null a=?"]);
    assert_eq!(rows[5], "id=1 region=ap a=?");
    assert_eq!(batch.key_columns, ["region", "id"]);
    assert_ne!(batch.fingerprints[0], batch.fingerprints[1]);

    // The same columns as the message's: a moved row comes as two messages.
    let mut decoder = DebeziumJson::builder().key_columns(vec!["id".to_owned()]).build().unwrap();
    add(&mut decoder, key, &update(r#"{"id":2}"#, r#"{"id":1}"#));
    assert_eq!(flush(&mut decoder).num_rows(), 1);
}

#[test]
fn a_key_column_that_the_image_lacks_comes_from_the_key() {
    let mut decoder = plain();
    add(&mut decoder, Some(r#"{"id":1,"shard":7}"#), &envelope(PG, "c", "null", r#"{"a":"x","id":1}"#));
    add(&mut decoder, Some(r#"{"id":2,"shard":8}"#), &envelope(PG, "u", "null", r#"{"a":"y","id":2}"#));
    let batch = flush(&mut decoder);
    assert_eq!([row(&batch, 0), row(&batch, 1)], ["a=x id=1 shard=7", "a=y id=2 shard=8"]);
    assert_eq!(batch.key_columns, ["id", "shard"]);
}

#[test]
fn the_placeholder_is_a_value_only_where_the_source_sends_all() {
    const HOLDER: &str = r#"{"id":1,"a":"__debezium_unavailable_value"}"#;
    let header = |name: &str| vec![(name.to_owned(), Some(b"x".to_vec()))];
    let (none, run, old) = (vec![], header(RUN), header("__debezium.oldkey"));
    let oracle = r#"{"connector":"oracle","name":"o","scn":"5","commit_scn":"6"}"#;
    for (source, op, headers, sent) in [
        (PG, "u", &run, false),
        (PG, "d", &run, false),
        (PG, "c", &old, false),
        (PG, "c", &none, false),
        (PG, "c", &run, true),
        (PG, "r", &none, true),
        (oracle, "c", &run, false),
        (oracle, "r", &run, true),
        (MARIA, "u", &run, true),
    ] {
        let (before, after) = if op == "d" { (HOLDER, "null") } else { ("null", HOLDER) };
        let value = envelope(source, op, before, after);
        let sample = Sample { headers: headers.clone(), ..Sample::new("t", 0, Some(r#"{"id":1}"#), Some(&value)) };
        let mut decoder = plain();
        assert_eq!(decode(&mut decoder, &sample), Ok(Decoded::Added { rows: 1 }));
        let expected = if sent { "id=1 a=__debezium_unavailable_value" } else { "id=1 a=?" };
        assert_eq!(row(&flush(&mut decoder), 0), expected, "{source} {op} {headers:?}");
    }
    let mut decoder = DebeziumJson::builder().unavailable_placeholder("n/a").build().unwrap();
    add(&mut decoder, None, &envelope(PG, "u", "null", r#"{"id":1,"a":"n/a"}"#));
    assert_eq!(row(&flush(&mut decoder), 0), "id=1 a=?");
}

#[test]
fn a_placeholder_that_is_no_value_of_its_column_is_not_sent_or_an_error() {
    let schema = r#"{"type":"struct","fields":[{"type":"int32","field":"id"},{"type":"bytes","field":"b"},
        {"type":"array","items":{"type":"string","name":"io.debezium.time.ZonedTimestamp"},"field":"l"}]}"#;
    let mut decoder = DebeziumJson::builder().declared(DeclaredSchema::from_json(schema).unwrap()).build().unwrap();
    let after = r#"{"id":1,"b":"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==","l":["__debezium_unavailable_value"]}"#;
    add(&mut decoder, None, &envelope(PG, "u", "null", after));
    let error = refuse(&mut decoder, None, &envelope(PG, "r", "null", after));
    assert!(error.to_string().contains("`l`"), "{error}");
    let batch = flush(&mut decoder);
    let unsent: Vec<_> = batch.unsent.iter().map(|mask| mask.as_ref().is_some_and(|m| m.value(0))).collect();
    assert_eq!(unsent, [false, true, true]);
}

#[test]
fn members_may_stand_in_any_order_and_the_payload_before_the_schema() {
    let row_schema =
        r#"{"type":"struct","field":"after","fields":[{"type":"int64","field":"id"},{"type":"string","field":"a"}]}"#;
    let schema = format!(
        r#"{{"type":"struct","fields":[{row_schema},{{"type":"struct","field":"source","fields":[]}},{{"type":"string","field":"op"}}]}}"#
    );
    let envelope = |id: u8| {
        format!(
            r#"{{ "ts_ms" : 1 , "op" : "c" , "source" : {PG} , "after" : {{ "a" : "x" , "id" : {id} }} , "before" : null }}"#
        )
    };
    for value in [
        envelope(1),
        format!(r#" {{ "payload" : {} , "schema" : {schema} }} "#, envelope(1)),
        format!(r#"{{"schema":{schema},"payload":{}}}"#, envelope(1)),
        format!(r#"{{"schema":null,"payload":{}}}"#, envelope(1)),
    ] {
        let mut decoder = plain();
        add(&mut decoder, Some(r#"{ "schema" : null , "payload" : { "id" : 1 } }"#), &value);
        add(&mut decoder, Some(r#"{"payload":{"id":2},"schema":null}"#), &value.replace("\"id\" : 1", "\"id\" : 2"));
        let batch = flush(&mut decoder);
        assert_eq!(batch.key_columns, ["id"]);
        for (i, id) in ["1", "2"].iter().enumerate() {
            let row = row(&batch, i);
            assert!(row == format!("id={id} a=x") || row == format!("a=x id={id}"), "{row}");
        }
    }
}

#[test]
fn fingerprints_are_those_of_key_operation_and_image_alone() {
    let fingerprint = |key: &str, value: &str, headers: &[(&str, &str)]| {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), Some(v.as_bytes().to_vec()))).collect();
        let mut decoder = plain();
        let sample = Sample { headers, ..Sample::new("t", 0, Some(key), Some(value)) };
        assert_eq!(decode(&mut decoder, &sample), Ok(Decoded::Added { rows: 1 }));
        flush(&mut decoder).fingerprints[0]
    };
    let value = envelope(PG, "c", "null", r#"{"id":1,"a":"x"}"#);
    let first = fingerprint(r#"{"id":1}"#, &value, &[(RUN, "a")]);
    let again = value.replace("\"ts_ms\":1}", "\"ts_ms\":999}");
    assert_eq!(fingerprint(r#"{"id":1}"#, &again, &[(RUN, "b")]), first);
    assert_eq!(
        fingerprint(r#"{"schema":null,"payload":{"id":1}}"#, &format!(r#"{{"schema":null,"payload":{value}}}"#), &[]),
        first
    );
    for (key, value) in [
        (r#"{"id":2}"#, value.clone()),
        (r#"{"id":1}"#, value.replace("\"op\":\"c\"", "\"op\":\"u\"")),
        (r#"{"id":1}"#, value.replace("\"x\"", "\"y\"")),
    ] {
        assert_ne!(fingerprint(key, &value, &[]), first);
    }
}

#[test]
fn a_column_of_nulls_waits_for_its_first_value_or_the_tables_type() {
    let change = |after: &str| envelope(MARIA, "c", "null", after);
    let types = |decoder: &mut DebeziumJson| -> Vec<_> {
        let schema = flush(decoder).rows.schema();
        schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    };
    let named = |name: &str, data_type| (name.to_owned(), data_type);
    let mut decoder = plain();
    add(&mut decoder, None, &change(r#"{"id":1,"a":null,"b":{"x":[1]}}"#));
    assert_eq!(types(&mut decoder), [named("id", DataType::Int64), named("b", DataType::Utf8)]);
    add(&mut decoder, None, &change(r#"{"id":1,"a":1.5,"b":null}"#));
    assert_eq!(
        types(&mut decoder),
        [named("id", DataType::Int64), named("a", DataType::Float64), named("b", DataType::Utf8)]
    );

    let stored = [
        ("_hoodie_commit_time", DataType::Utf8),
        ("id", DataType::Int64),
        ("a", DataType::Boolean),
        ("_cdc_op", DataType::Utf8),
    ];
    let stored = Schema::new(stored.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
    let mut decoder = DebeziumJson::builder().known(&stored).build().unwrap();
    add(&mut decoder, None, &change(r#"{"id":1,"a":null,"b":null}"#));
    assert_eq!(types(&mut decoder), [named("id", DataType::Int64), named("a", DataType::Boolean)]);
}

#[test]
fn a_key_column_keeps_its_type() {
    let mut decoder = plain();
    add(&mut decoder, Some(r#"{"id":1}"#), &envelope(MARIA, "c", "null", r#"{"id":1}"#));
    let error = refuse(&mut decoder, Some(r#"{"id":1.5}"#), &envelope(MARIA, "c", "null", r#"{"id":1.5}"#));
    assert!(error.to_string().contains("key column"), "{error}");
    add(&mut decoder, Some(r#"{"id":2}"#), &envelope(MARIA, "c", "null", r#"{"id":2}"#));
    assert_eq!(row(&flush(&mut decoder), 1), "id=2");
}

#[test]
fn a_key_of_the_users_that_could_leave_rows_behind_is_refused() {
    let keyed = || DebeziumJson::builder().key_columns(vec!["id".to_owned(), "region".to_owned()]).build().unwrap();
    let (key, row) = (Some(r#"{"id":1}"#), r#"{"id":1,"region":"b"}"#);
    add(&mut keyed(), key, &envelope(PG, "c", "null", row));
    let error = refuse(&mut keyed(), key, &envelope(PG, "u", "null", row));
    assert!(!error.can_go_on() && error.to_string().contains("REPLICA IDENTITY FULL"), "{error}");
    let error = refuse(&mut keyed(), key, &envelope(PG, "d", r#"{"id":1,"region":""}"#, "null"));
    assert!(error.can_go_on() && error.to_string().contains("region"), "{error}");
    for source in [PG, MARIA] {
        add(&mut keyed(), key, &envelope(source, "d", r#"{"id":1,"region":"a"}"#, "null"));
        let mut moved = keyed();
        add(&mut moved, key, &envelope(source, "u", r#"{"id":1,"region":"a"}"#, row));
        assert_eq!(flush(&mut moved).ops, [Op::Delete, Op::Update]);
    }
    add(&mut keyed(), key, &envelope(MARIA, "d", r#"{"id":1,"region":""}"#, "null"));
}
