//! Flattened events: what each message becomes, and that the captures say the same as the envelopes of the same run.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use cdc_decoders::debezium::{
    DebeziumFlatAvro, DebeziumFlatJson, DebeziumFlatJsonBuilder, DebeziumJson, DeclaredSchema, Tombstones,
};
use cdc_decoders::testing::{Sample, conformance};
use cdc_decoders::{DecodeError, Decoded, Decoder, SchemaId, SkipReason};
use hudi_core::change::{ChangeBatch, Op, OrderKind, SnapshotPart, StreamPosition};

use crate::capture::{Record, folder, records, schemas, truth};
use crate::cells::{Cell, Losses, Table, cell, matches};

const ID: Option<&str> = Some(r#"{"id":1}"#);

fn flat() -> DebeziumFlatJsonBuilder {
    DebeziumFlatJson::builder()
}

fn plain() -> DebeziumFlatJson {
    flat().build().unwrap()
}

fn sample(key: Option<&str>, value: Option<&str>, headers: &[(&str, &str)]) -> Sample {
    let header = |(name, value): &(&str, &str)| ((*name).to_owned(), Some(value.as_bytes().to_vec()));
    Sample { headers: headers.iter().map(header).collect(), ..Sample::new("shop.public.t", 5, key, value) }
}

fn decode(decoder: &mut dyn Decoder, sample: &Sample) -> Result<Decoded, DecodeError> {
    sample.with(|message| decoder.decode(message))
}

#[track_caller]
fn add(decoder: &mut DebeziumFlatJson, key: Option<&str>, value: Option<&str>) {
    assert_eq!(decode(decoder, &sample(key, value, &[])), Ok(Decoded::Added { rows: 1 }), "{value:?}");
}

#[track_caller]
fn refuse(decoder: &mut DebeziumFlatJson, key: Option<&str>, value: Option<&str>) -> DecodeError {
    let rows = decoder.buffered_rows();
    let error = decode(decoder, &sample(key, value, &[])).unwrap_err();
    assert_eq!(decoder.buffered_rows(), rows);
    error
}

fn flush(decoder: &mut dyn Decoder) -> ChangeBatch {
    let batch = decoder.flush().unwrap().unwrap();
    batch.validate().unwrap();
    batch
}

/// A row in short: `name=value`; columns that were not sent are left out.
fn row(batch: &ChangeBatch, row: usize) -> String {
    let schema = batch.rows.schema();
    let sent = |i: &usize| !batch.unsent[*i].as_ref().is_some_and(|mask| mask.value(row));
    let print = |i: usize| {
        let value = match cell(batch.rows.column(i), row) {
            Cell::Null => "null".to_owned(),
            Cell::Int(value) => value.to_string(),
            Cell::Text(text) => text,
            other => format!("{other:?}"),
        };
        format!("{}={value}", schema.field(i).name())
    };
    (0..batch.rows.num_columns()).filter(sent).map(print).collect::<Vec<_>>().join(" ")
}

fn orders(batch: &ChangeBatch) -> Vec<Option<i64>> {
    batch.orders.as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn rows_are_changes_and_what_the_transform_added_is_no_column() {
    let mut decoder = plain();
    for value in [
        r#"{"id":1,"a":"x","__deleted":"false","__op":"r","__lsn":30,"__source_ts_ms":17,"__table":"t","__source_snapshot":"last"}"#,
        r#"{"id":1,"a":"y","__deleted":"false","__op":"c","__lsn":31,"__source_ts_ms":18,"__table":"t"}"#,
        r#"{"id":1,"__deleted":"false","__op":"u","__lsn":32,"__source_ts_ms":19,"__sequence":"[\"12\",\"32\"]"}"#,
        r#"{"id":1,"a":"","__deleted":"true","__op":"d","__lsn":33,"__source_ts_ms":20,"__table":"t","__ts_ms":99}"#,
    ] {
        add(&mut decoder, ID, Some(value));
    }
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops, [Op::Snapshot, Op::Insert, Op::Update, Op::Delete]);
    assert_eq!((0..4).map(|i| row(&batch, i)).collect::<Vec<_>>(), ["id=1 a=x", "id=1 a=y", "id=1 a=null", "id=1"]);
    assert_eq!(batch.rows.num_columns(), 2);
    assert_eq!(orders(&batch), [None, Some(31), Some(32), Some(33)]);
    assert_eq!(batch.positions, [None, None, Some(StreamPosition([12, 32, 0])), None]);
    assert_eq!(batch.source_ts_ms.values(), &[17, 18, 19, 20]);
    assert_eq!(batch.snapshots[0], SnapshotPart::FullLast);
    assert_eq!((&*batch.source, &batch.key_columns), ("shop", &vec!["id".to_owned()]));
}

#[test]
fn without_anything_added_a_row_is_whole_new_or_not_and_judged_by_arrival() {
    let mut decoder = plain();
    add(&mut decoder, ID, Some(r#"{"id":1,"a":"x"}"#));
    add(&mut decoder, ID, Some(r#"{"id":1,"b":2}"#));
    add(&mut decoder, ID, None);
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops, [Op::Upsert, Op::Upsert, Op::Delete]);
    // The second image has no such column any more: null, not unsent.
    assert_eq!([row(&batch, 0), row(&batch, 1), row(&batch, 2)], ["id=1 a=x b=null", "id=1 a=null b=2", "id=1"]);
    assert_eq!((orders(&batch), batch.positions), (vec![None; 3], vec![None; 3]));
    assert_eq!(batch.source_ts_ms.null_count(), 3);
}

#[test]
fn every_null_is_a_delete_but_for_the_tombstone_of_a_deleted_row() {
    let deleted = Some(r#"{"id":1,"__deleted":"true"}"#);
    let alive = Some(r#"{"id":1,"__deleted":"false"}"#);
    let with_schema = r#"{"schema":{"type":"struct","fields":[{"type":"int64","field":"id"}],"optional":true,"name":"t.Value"},"payload":null}"#;
    let (added, skipped) = (Decoded::Added { rows: 1 }, Decoded::Skipped(SkipReason::Tombstone));
    let mut decoder = plain();
    for (value, expected) in [
        (None, added),
        (Some("null"), added),
        (Some(" null "), added),
        (Some(with_schema), added),
        (Some(r#"{"schema":null,"payload":null}"#), added),
        (alive, added),
        (deleted, added),
        (None, skipped),
        // That was its tombstone; this one is none.
        (None, added),
        (deleted, added),
        (Some("null"), skipped),
        (deleted, added),
        (alive, added),
        (None, added),
    ] {
        assert_eq!(decode(&mut decoder, &sample(ID, value, &[])), Ok(expected), "{value:?}");
    }
    // The deleted row of another key, or of another partition, is another.
    add(&mut decoder, ID, deleted);
    add(&mut decoder, Some(r#"{"id":2}"#), None);
    add(&mut decoder, ID, deleted);
    let elsewhere = Sample { partition: 1, ..sample(ID, None, &[]) };
    assert_eq!(decode(&mut decoder, &elsewhere), Ok(added));
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops.iter().filter(|op| **op == Op::Delete).count(), batch.num_rows() - 2);
    assert!((0..batch.num_rows()).all(|i| row(&batch, i).starts_with("id=")));

    let mut decoder = flat().tombstones(Tombstones::Skip).build().unwrap();
    for value in [None, Some("null"), Some(with_schema)] {
        assert_eq!(decode(&mut decoder, &sample(ID, value, &[])), Ok(skipped), "{value:?}");
    }
}

#[test]
fn a_delete_tells_its_key_or_is_refused() {
    let mut decoder = plain();
    for key in [None, Some("null"), Some(r#"{"schema":null,"payload":null}"#)] {
        let error = refuse(&mut decoder, key, None);
        assert!(error.can_go_on() && error.to_string().contains("needs a message key"), "{error}");
    }
    // With a key of the user's that is not in the message.
    let keyed = || flat().key_columns(vec!["id".to_owned(), "region".to_owned()]);
    let error = refuse(&mut keyed().build().unwrap(), ID, None);
    assert!(!error.can_go_on() && error.to_string().contains("`region`"), "{error}");
    let mut decoder = keyed().keys_never_change().build().unwrap();
    let error = refuse(&mut decoder, ID, None);
    assert!(error.can_go_on() && error.to_string().contains("all columns of the key"), "{error}");
    add(&mut decoder, ID, Some(r#"{"id":1,"region":"eu","a":5,"__deleted":"true"}"#));
    assert_eq!(row(&flush(&mut decoder), 0), "id=1 region=eu");
    // A row without key keeps its image: there is nothing else.
    let mut decoder = plain();
    add(&mut decoder, None, Some(r#"{"x":1,"y":"z","__deleted":"true"}"#));
    let batch = flush(&mut decoder);
    assert_eq!((row(&batch, 0), batch.key_columns.len()), ("x=1 y=z".to_owned(), 0));
    // One whose image lacks it takes it from the message key.
    let mut decoder = plain();
    add(&mut decoder, ID, Some(r#"{"x":1,"__deleted":"true"}"#));
    assert_eq!(row(&flush(&mut decoder), 0), "id=1");
}

#[test]
fn keys_of_the_users_must_not_leave_rows_behind() {
    let keyed = || flat().key_columns(vec!["region".to_owned()]);
    let update = Some(r#"{"id":1,"region":"eu","__op":"u","__lsn":5}"#);
    let error = refuse(&mut keyed().build().unwrap(), ID, update);
    assert!(!error.can_go_on() && error.to_string().contains("`region`"), "{error}");
    add(&mut keyed().build().unwrap(), ID, Some(r#"{"id":1,"region":"eu","__op":"c","__lsn":5}"#));
    add(&mut keyed().keys_never_change().build().unwrap(), ID, update);
    // PostgreSQL puts a default where it knows nothing.
    let deleted = |region: &str| format!(r#"{{"id":1,"region":{region},"__deleted":"true","__lsn":5}}"#);
    let error = refuse(&mut keyed().build().unwrap(), ID, Some(&deleted("\"\"")));
    assert!(error.can_go_on() && error.to_string().contains("region"), "{error}");
    add(&mut keyed().build().unwrap(), ID, Some(&deleted("\"eu\"")));
}

#[test]
fn the_row_behind_a_changed_key_is_an_insert_if_nothing_says_what_it_is() {
    let mut decoder = plain();
    let moved =
        sample(ID, Some(r#"{"id":1,"a":"__debezium_unavailable_value"}"#), &[("__debezium.oldkey", r#"{"id":2}"#)]);
    assert_eq!(decode(&mut decoder, &moved), Ok(Decoded::Added { rows: 1 }));
    let batch = flush(&mut decoder);
    assert_eq!((&batch.ops[..], row(&batch, 0)), (&[Op::Insert][..], "id=1".to_owned()));
    assert_eq!(cell(batch.other_keys.unwrap().column(0), 0), Cell::Int(2));
}

#[test]
fn headers_tell_as_well_as_members() {
    let wrapped =
        |kind: &str, value: &str| format!(r#"{{"schema":{{"type":"{kind}","optional":true}},"payload":{value}}}"#);
    let (op, lsn) = (wrapped("string", "\"c\""), wrapped("int64", "34"));
    let sequence = wrapped("string", r#""[\"12\",\"34\"]""#);
    for headers in [
        [("__op", "c"), ("__lsn", "34"), ("__source_ts_ms", "17"), ("__sequence", r#"["12","34"]"#)],
        [("__op", "\"c\""), ("__lsn", "\"34\""), ("__source_ts_ms", "17"), ("__sequence", r#""[\"12\",\"34\"]""#)],
        [("__op", &op), ("__lsn", &lsn), ("__source_ts_ms", "17"), ("__sequence", &sequence)],
    ] {
        let mut decoder = plain();
        let decoded = decode(&mut decoder, &sample(ID, Some(r#"{"id":1,"a":"x"}"#), &headers));
        assert_eq!(decoded, Ok(Decoded::Added { rows: 1 }), "{headers:?}");
        let batch = flush(&mut decoder);
        assert_eq!((&batch.ops[..], orders(&batch)), (&[Op::Insert][..], vec![Some(34)]), "{headers:?}");
        assert_eq!(batch.positions, [Some(StreamPosition([12, 34, 0]))], "{headers:?}");
        assert_eq!(batch.source_ts_ms.values(), &[17]);
    }
    // Of a delete without row too.
    let mut decoder = plain();
    let headers =
        [("__op", "d"), ("__lsn", "35"), ("__debezium.newkey", r#"{"id":2}"#), ("__debezium.context.runId", "r1")];
    assert_eq!(decode(&mut decoder, &sample(ID, Some("null"), &headers)), Ok(Decoded::Added { rows: 1 }));
    let batch = flush(&mut decoder);
    assert_eq!((&batch.ops[..], orders(&batch), batch.run.as_deref()), (&[Op::Delete][..], vec![Some(35)], Some("r1")));
    assert_eq!(cell(batch.other_keys.unwrap().column(0), 0), Cell::Int(2));
    // Members win.
    let mut decoder = plain();
    let both = sample(ID, Some(r#"{"id":1,"__lsn":36}"#), &[("__lsn", "35")]);
    assert_eq!(decode(&mut decoder, &both), Ok(Decoded::Added { rows: 1 }));
    assert_eq!(orders(&flush(&mut decoder)), [Some(36)]);
}

#[test]
fn names_of_the_users_are_followed() {
    let builder = || {
        flat()
            .add_fields("op:action,lsn,source.ts_ms:at")
            .add_fields_prefix("m_")
            .add_headers("lsn:at")
            .add_headers_prefix("h-")
    };
    let mut decoder = builder().build().unwrap();
    // `__op` and `m_table` are columns then.
    let value = r#"{"id":1,"__op":"own","m_table":"own","m_action":"c","m_lsn":34,"m_at":17,"__deleted":"false"}"#;
    add(&mut decoder, ID, Some(value));
    assert_eq!(
        decode(&mut decoder, &sample(ID, None, &[("h-at", "35"), ("__lsn", "99")])),
        Ok(Decoded::Added { rows: 1 })
    );
    let batch = flush(&mut decoder);
    assert_eq!(row(&batch, 0), "id=1 __op=own m_table=own");
    assert_eq!((&batch.ops[..], orders(&batch)), (&[Op::Insert, Op::Delete][..], vec![Some(34), Some(35)]));
    assert_eq!(batch.source_ts_ms.value(0), 17);
}

#[test]
fn a_member_that_is_none_of_its_kind_is_refused_by_name() {
    let mut decoder = plain();
    for (value, field) in [
        (r#"{"id":1,"__lsn":"hidden"}"#, "lsn"),
        (r#"{"id":1,"__lsn":1.5}"#, "lsn"),
        (r#"{"id":1,"__file":"binlog","__pos":1}"#, "file"),
        (r#"{"id":1,"__file":"binlog.1","__pos":null}"#, "pos"),
        (r#"{"id":1,"__op":"hidden-and-long-op"}"#, "hidden-and-long-"),
        (r#"{"id":1,"__op":"t"}"#, "truncate"),
        (r#"{}"#, "columns"),
        (r#"{"id":1,"id":2}"#, "twice"),
        (r#"{"id":1,"__op":"c","__op":"d"}"#, "twice"),
    ] {
        let error = refuse(&mut decoder, ID, Some(value));
        assert!(error.can_go_on() && error.to_string().contains(field), "{value}: {error}");
    }
    let bad = sample(ID, Some(r#"{"id":1}"#), &[("__lsn", "hidden")]);
    let error = decode(&mut decoder, &bad).unwrap_err();
    assert!(error.to_string().contains("lsn") && !error.to_string().contains("hidden"), "{error}");
    let error = flat().connector("vitess").build().unwrap_err();
    assert!(error.to_string().contains("vitess"), "{error}");
}

#[test]
fn every_connectors_position_is_read() {
    let lsns = r#""__commit_lsn":"00000027:00000ac0:0007","__change_lsn":"00000027:00000ac0:0002""#;
    let sql_server = format!(r#"{{"id":1,"__op":"u",{lsns},"__event_serial_no":2}}"#);
    let mut decoder = plain();
    add(&mut decoder, ID, Some(&sql_server));
    add(&mut decoder, ID, None);
    let batch = flush(&mut decoder);
    assert_eq!((batch.order_kind(), batch.orders.null_count()), (OrderKind::Text, 1));
    assert_eq!(batch.orders.as_string::<i32>().value(0).len(), 48);
    assert!(batch.positions[0].is_some());
    // A batch of deletes that tell nothing is of the same form.
    add(&mut decoder, ID, None);
    assert_eq!(flush(&mut decoder).order_kind(), OrderKind::Text);
    let mut told = flat().connector("sqlserver").build().unwrap();
    add(&mut told, ID, None);
    assert_eq!(flush(&mut told).order_kind(), OrderKind::Text);
    let mut by_header = plain();
    let header = [("__debezium.context.connectorName", "db2"), ("__debezium.context.connectorLogicalName", "the.name")];
    assert_eq!(decode(&mut by_header, &sample(ID, None, &header)), Ok(Decoded::Added { rows: 1 }));
    let batch = flush(&mut by_header);
    assert_eq!((batch.order_kind(), &*batch.source), (OrderKind::Text, "the.name"));

    for (value, order, position) in [
        (r#"{"id":1,"__file":"binlog.000002","__pos":7,"__row":3}"#, 2 << 32 | 7, Some([2, 7, 3])),
        (r#"{"id":1,"__scn":"100","__commit_scn":"120","__txSeq":4}"#, 120, Some([120, 4, 0])),
        (r#"{"id":1,"__source_scn":"100"}"#, 100, None),
        (r#"{"id":1,"__ord":2,"__source_ts_ms":1700000000000}"#, 1_700_000_000 << 24 | 2, Some([1_700_000_000, 2, 0])),
    ] {
        let mut decoder = plain();
        add(&mut decoder, ID, Some(value));
        let batch = flush(&mut decoder);
        assert_eq!(orders(&batch), [Some(order)], "{value}");
        assert_eq!(batch.positions, [position.map(StreamPosition)], "{value}");
    }
}

#[test]
fn orders_of_two_forms_are_in_two_batches() {
    let mut decoder = plain();
    add(&mut decoder, ID, Some(r#"{"id":1,"__lsn":7}"#));
    let text =
        sample(ID, Some(r#"{"id":1,"__commit_lsn":"1:2:3","__change_lsn":"1:2:3","__source_name":"shop"}"#), &[]);
    assert_eq!(decode(&mut decoder, &text), Ok(Decoded::FlushFirst));
    assert_eq!(flush(&mut decoder).order_kind(), OrderKind::Long);
    assert_eq!(decode(&mut decoder, &text), Ok(Decoded::Added { rows: 1 }));
    assert_eq!(flush(&mut decoder).order_kind(), OrderKind::Text);
}

#[test]
fn fingerprints_are_those_of_the_columns_alone() {
    let fingerprint = |value: &str| {
        let mut decoder = plain();
        add(&mut decoder, ID, Some(value));
        flush(&mut decoder).fingerprints[0]
    };
    let first = fingerprint(r#"{"id":1,"a":"x","__deleted":"false","__op":"u","__lsn":7,"__ts_ms":1}"#);
    assert_eq!(fingerprint(r#"{"id":1,"a":"x","__deleted":"false","__op":"u","__lsn":7,"__ts_ms":2}"#), first);
    assert_ne!(fingerprint(r#"{"id":1,"a":"y","__deleted":"false","__op":"u","__lsn":7,"__ts_ms":1}"#), first);
    assert_ne!(fingerprint(r#"{"id":1,"a":"x","__deleted":"false","__op":"c","__lsn":7,"__ts_ms":1}"#), first);
    assert_ne!(fingerprint(r#"{"id":1,"a":"x"}"#), fingerprint(r#"{"id":1,"a":"y"}"#));
    let fingerprint = |offset: usize, lsn: i64, name: &str| {
        let mut sample = avro_samples().swap_remove(offset);
        sample.value = Some(avro(1, b"", 1, [Some(name), Some("false"), Some("c")], Some(lsn), [None, None]));
        let mut decoder = flat_avro();
        assert_eq!(decode(&mut decoder, &sample), Ok(Decoded::Added { rows: 1 }));
        flush(&mut decoder).fingerprints[0]
    };
    assert_eq!(fingerprint(0, 7, "x"), fingerprint(1, 8, "x"));
    assert_ne!(fingerprint(0, 7, "x"), fingerprint(0, 7, "y"));
}

#[test]
fn the_source_is_named_by_the_topic_where_nothing_else_names_it() {
    for (topic, value, source) in [
        ("shop.public.t", r#"{"id":1}"#, "shop"),
        ("my.shop.public.t", r#"{"id":1}"#, "my.shop"),
        ("my.shop.dbo.t", r#"{"id":1,"__commit_lsn":"1:2:3","__change_lsn":"1:2:3"}"#, "my"),
        ("t", r#"{"id":1}"#, "t"),
        ("public.t", r#"{"id":1}"#, "public.t"),
        ("t", r#"{"id":1,"__source_name":"told"}"#, "told"),
    ] {
        let mut decoder = plain();
        let at = Sample { topic: topic.to_owned(), ..sample(ID, Some(value), &[]) };
        assert_eq!(decode(&mut decoder, &at), Ok(Decoded::Added { rows: 1 }));
        assert_eq!(&*flush(&mut decoder).source, source, "{topic} {value}");
    }
}

#[test]
fn what_passes_the_transform_unchanged_is_skipped_and_named() {
    let ddl = r#"{"source":{"connector":"mariadb"},"ts_ms":1,"databaseName":"d","schemaName":null,"ddl":"DROP","tableChanges":[]}"#;
    let transaction = r#"{"status":"END","id":"7:9","event_count":1,"data_collections":[],"ts_ms":1}"#;
    let heartbeat = r#"{"schema":{"type":"struct","fields":[],"name":"io.debezium.connector.common.Heartbeat"},"payload":{"ts_ms":1}}"#;
    for (key, value, reason) in [
        (r#"{"databaseName":"d"}"#, ddl, SkipReason::SchemaChange),
        (r#"{"id":"7:9"}"#, transaction, SkipReason::Transaction),
        (r#"{"serverName":"s"}"#, r#"{"ts_ms":1}"#, SkipReason::Heartbeat),
        (r#"{"serverName":"s"}"#, heartbeat, SkipReason::Heartbeat),
        (
            r#"{"id":"1"}"#,
            r#"{"id":"1","type":"x","aggregate_type":"y","additional_data":{}}"#,
            SkipReason::Notification,
        ),
    ] {
        let message = sample(Some(key), Some(value), &[]);
        assert_eq!(decode(&mut plain(), &message), Ok(Decoded::Skipped(reason)), "{value}");
        // Between rows of another topic too.
        let mut decoder = plain();
        add(&mut decoder, ID, Some(r#"{"id":1}"#));
        let elsewhere = Sample { topic: "other".to_owned(), ..message };
        let expected = if value == heartbeat { Decoded::FlushFirst } else { Decoded::Skipped(reason) };
        let decoded = decode(&mut decoder, &elsewhere);
        assert!(decoded == Ok(expected) || decoded == Ok(Decoded::Skipped(reason)), "{value}: {decoded:?}");
        assert_eq!(row(&flush(&mut decoder), 0), "id=1");
    }
    // Rows of tables that have such columns.
    for value in [
        r#"{"ts_ms":1}"#,
        r#"{"status":"new","id":"7","event_count":1,"data_collections":[],"more":1}"#,
        r#"{"id":"1","aggregate_type":"y","additional_data":{},"payload":"x"}"#,
        r#"{"op":"c","source":"web"}"#,
    ] {
        add(&mut plain(), ID, Some(value));
    }
}

#[test]
fn an_envelope_is_refused_as_one() {
    let envelope = r#"{"before":null,"after":{"id":1},"source":{"connector":"mariadb"},"op":"c"}"#;
    let schema = r#"{"type":"struct","fields":[{"type":"struct","field":"after","fields":[]},{"type":"struct","field":"source","fields":[]},{"type":"string","field":"op"}]}"#;
    for value in [envelope.to_owned(), format!(r#"{{"schema":{schema},"payload":{envelope}}}"#)] {
        let error = refuse(&mut plain(), ID, Some(&value));
        assert!(error.can_go_on() && error.to_string().contains("not flattened"), "{error}");
    }
}

#[test]
fn the_placeholder_is_a_value_only_where_the_source_sends_all() {
    const RUN: (&str, &str) = ("__debezium.context.runId", "r");
    let postgres = ("__debezium.context.connectorName", "postgresql");
    let maria = ("__debezium.context.connectorName", "mariadb");
    let old = ("__debezium.oldkey", r#"{"id":2}"#);
    for (op, headers, sent) in [
        ("u", &[RUN, postgres][..], false),
        ("c", &[RUN, postgres, old], false),
        ("c", &[RUN, postgres], true),
        ("c", &[], false),
        ("u", &[], false),
        ("r", &[], true),
        ("u", &[RUN, maria], true),
    ] {
        let value = format!(r#"{{"id":1,"a":"__debezium_unavailable_value","__op":"{op}"}}"#);
        let mut decoder = plain();
        assert_eq!(decode(&mut decoder, &sample(ID, Some(&value), headers)), Ok(Decoded::Added { rows: 1 }));
        let expected = if sent { "id=1 a=__debezium_unavailable_value" } else { "id=1" };
        assert_eq!(row(&flush(&mut decoder), 0), expected, "{op} {headers:?}");
    }
}

const ROW: &str = r#"{"type":"struct","fields":[{"type":"int32","field":"id"},{"type":"string","field":"name"},
    {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"price"},
    {"type":"string","field":"__deleted"},{"type":"string","field":"__op"},{"type":"int64","field":"__lsn"}],"name":"t.Value"}"#;

fn samples() -> Vec<Sample> {
    let key = |id: i64| Some(format!(r#"{{"id":{id}}}"#));
    let row = |id: i64, op: &str| {
        let deleted = op == "d";
        Some(format!(
            r#"{{"id":{id},"name":"a\u00e9 \"{id}\"","price":"AJY=","__deleted":"{deleted}","__op":"{op}","__lsn":{id}}}"#
        ))
    };
    let messages = [
        (key(1), row(1, "r")),
        (key(2), row(2, "c")),
        (key(2), row(3, "u")),
        (key(3), row(3, "d")),
        (key(4), None),
        (key(4), row(4, "c")),
    ];
    let sample = |(offset, (key, value)): (i64, (Option<String>, Option<String>))| {
        Sample::new("t", offset, key.as_deref(), value.as_deref())
    };
    (0..).zip(messages).map(sample).collect()
}

#[test]
fn bad_bytes_leave_no_trace() {
    let boxed = |builder: DebeziumFlatJsonBuilder| Box::new(builder.build().unwrap()) as Box<dyn Decoder>;
    conformance(|| boxed(flat()), &samples()).unwrap();
    let schema = DeclaredSchema::from_json(ROW).unwrap();
    conformance(|| boxed(flat().declared(schema.clone())), &samples()).unwrap();
    let wrap = |sample: Sample| {
        let value = sample
            .value
            .map(|value| format!(r#"{{"schema":{ROW},"payload":{}}}"#, String::from_utf8(value).unwrap()).into_bytes());
        Sample { value, ..sample }
    };
    conformance(|| boxed(flat()), &samples().into_iter().map(wrap).collect::<Vec<_>>()).unwrap();
}

#[test]
fn a_schema_types_the_columns_and_leaves_out_what_is_none() {
    let mut batches = vec![];
    for declared in [true, false] {
        let schema = DeclaredSchema::from_json(ROW).unwrap();
        let mut decoder = if declared { flat().declared(schema).build().unwrap() } else { plain() };
        for sample in samples() {
            let value = sample.value.as_ref().map(|value| String::from_utf8(value.clone()).unwrap());
            let value =
                if declared { value } else { value.map(|value| format!(r#"{{"schema":{ROW},"payload":{value}}}"#)) };
            let sample = Sample { value: value.map(String::into_bytes), ..sample };
            assert_eq!(decode(&mut decoder, &sample), Ok(Decoded::Added { rows: 1 }));
        }
        batches.push(flush(&mut decoder));
    }
    assert_eq!(batches[0].rows, batches[1].rows);
    assert_eq!((orders(&batches[0]), &batches[0].ops), (orders(&batches[1]), &batches[1].ops));
    let names: Vec<_> = batches[0].rows.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["id", "name", "price"]);
    assert_eq!(cell(batches[0].rows.column(2), 0), Cell::Decimal("1.50".to_owned()));
}

#[test]
fn the_schema_of_a_flattened_document_is_not_that_of_its_collection() {
    let value = |name: &str| {
        format!(
            r#"{{"schema":{{"type":"struct","fields":[{{"type":"int64","field":"{name}"}}]}},"payload":{{"{name}":1}}}}"#
        )
    };
    for (connector, whole) in [("mongodb", false), ("mariadb", true)] {
        let header = [
            ("__debezium.context.connectorName", connector),
            ("__op", "u"),
            ("__file", "b.1"),
            ("__pos", "7"),
            ("__ord", "1"),
            ("__source_ts_ms", "7"),
        ];
        let mut decoder = plain();
        for (key, name) in [(ID, "a"), (ID, "b")] {
            let row = sample(key, Some(&value(name)), &header);
            if name == "b" {
                assert_eq!(decode(&mut decoder, &row), Ok(Decoded::FlushFirst));
                assert_eq!(flush(&mut decoder).whole_schema, whole);
            }
            assert_eq!(decode(&mut decoder, &row), Ok(Decoded::Added { rows: 1 }), "{connector}");
        }
        // What a document's update lacks was not sent.
        let without = sample(Some(r#"{"id":1}"#), Some(&value("b").replace(r#":{"b":1}"#, r#":{"b":2}"#)), &header);
        assert_eq!(decode(&mut decoder, &without), Ok(Decoded::Added { rows: 1 }));
        assert_eq!(flush(&mut decoder).num_rows(), 2);
    }
}

// ---- Avro ------------------------------------------------------------------------------------------------------------

const VALUE: SchemaId = SchemaId::Id(1);
const OPTIONAL: SchemaId = SchemaId::Id(2);
const KEY: SchemaId = SchemaId::Id(3);

const RECORD: &str = r#"{"type":"record","name":"t.Value","fields":[{"name":"id","type":"int"},{"name":"a","type":["null","string"]},
    {"name":"__deleted","type":["null","string"]},{"name":"__op","type":["null","string"]},{"name":"__lsn","type":["null","long"]},
    {"name":"__sequence","type":["null","string"]},{"name":"__source_snapshot","type":["null","string"]}]}"#;

fn flat_avro() -> DebeziumFlatAvro {
    let mut decoder = DebeziumFlatAvro::builder().build().unwrap();
    decoder.learn(VALUE, RECORD).unwrap();
    decoder.learn(OPTIONAL, &format!("[\"null\",{RECORD}]")).unwrap();
    decoder.learn(KEY, r#"{"type":"record","name":"t.Key","fields":[{"name":"id","type":"int"}]}"#).unwrap();
    decoder
}

/// A frame and what follows: `None` a branch of null, a text, or a small number.
fn avro(
    id: u8,
    branch: &[u8],
    number: i64,
    texts: [Option<&str>; 3],
    lsn: Option<i64>,
    more: [Option<&str>; 2],
) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, id];
    let long = |bytes: &mut Vec<u8>, value: i64| {
        let mut zigzag = (value << 1 ^ value >> 63).cast_unsigned();
        while zigzag >= 0x80 {
            bytes.push((zigzag & 0x7f) as u8 | 0x80);
            zigzag >>= 7;
        }
        bytes.push(zigzag as u8);
    };
    let text = |bytes: &mut Vec<u8>, value: Option<&str>| {
        bytes.push(if value.is_some() { 2 } else { 0 });
        if let Some(value) = value {
            long(bytes, value.len() as i64);
            bytes.extend(value.as_bytes());
        }
    };
    bytes.extend(branch);
    long(&mut bytes, number);
    texts.into_iter().for_each(|value| text(&mut bytes, value));
    bytes.push(if lsn.is_some() { 2 } else { 0 });
    lsn.into_iter().for_each(|lsn| long(&mut bytes, lsn));
    more.into_iter().for_each(|value| text(&mut bytes, value));
    bytes
}

fn avro_samples() -> Vec<Sample> {
    let key = |id: u8| Some(vec![0, 0, 0, 0, 3, id << 1]);
    let sequence = Some(r#"["12","32"]"#);
    let messages = [
        (key(1), Some(avro(1, b"", 1, [Some("x"), Some("false"), Some("r")], Some(30), [None, Some("last")]))),
        (key(1), Some(avro(1, b"", 1, [None, Some("false"), Some("c")], Some(31), [None, None]))),
        (key(1), Some(avro(1, b"", 1, [Some("y"), Some("false"), Some("u")], Some(32), [sequence, None]))),
        (key(1), Some(avro(2, b"\x02", 1, [Some(""), Some("true"), Some("d")], Some(33), [None, None]))),
        (key(2), None),
        (key(3), Some(b"\0\0\0\0\x02\0".to_vec())),
        (Some(br#"{"id":4}"#.to_vec()), None),
        (key(5), Some(avro(2, b"\x02", 5, [Some("z"), None, None], None, [None, None]))),
    ];
    let sample = |(offset, (key, value))| Sample { offset, key, value, ..sample(None, None, &[]) };
    (0..).zip(messages).map(sample).collect()
}

#[test]
fn flattened_records_are_changes_too() {
    let mut decoder = flat_avro();
    for sample in avro_samples() {
        assert_eq!(decode(&mut decoder, &sample), Ok(Decoded::Added { rows: 1 }), "{}", sample.offset);
    }
    let batch = flush(&mut decoder);
    let rows: Vec<_> = (0..8).map(|i| row(&batch, i)).collect();
    assert_eq!(rows, ["id=1 a=x", "id=1 a=null", "id=1 a=y", "id=1", "id=2", "id=3", "id=4", "id=5 a=z"]);
    let ops = [Op::Snapshot, Op::Insert, Op::Update, Op::Delete, Op::Delete, Op::Delete, Op::Delete, Op::Upsert];
    assert_eq!((batch.rows.num_columns(), &batch.ops[..]), (2, &ops[..]));
    assert_eq!(orders(&batch), [None, Some(31), Some(32), Some(33), None, None, None, None]);
    assert_eq!(batch.positions[2], Some(StreamPosition([12, 32, 0])));
    assert_eq!((batch.snapshots[0], &*batch.source), (SnapshotPart::FullLast, "shop"));
}

#[test]
fn a_null_in_avro_asks_for_the_schema_of_its_key_and_may_be_a_tombstone() {
    let [deleted, null] = [3, 4].map(|place| avro_samples().swap_remove(place));
    let mut decoder = DebeziumFlatAvro::builder().build().unwrap();
    assert_eq!(decode(&mut decoder, &null), Ok(Decoded::NeedsSchema(KEY)));
    let mut decoder = flat_avro();
    assert_eq!(decode(&mut decoder, &deleted), Ok(Decoded::Added { rows: 1 }));
    let tombstone = Sample { value: None, ..deleted.clone() };
    assert_eq!(decode(&mut decoder, &tombstone), Ok(Decoded::Skipped(SkipReason::Tombstone)));
    assert_eq!(decode(&mut decoder, &tombstone), Ok(Decoded::Added { rows: 1 }));
    let error = decode(&mut decoder, &Sample { key: None, ..null }).unwrap_err();
    assert!(error.can_go_on() && error.to_string().contains("message key"), "{error}");
}

#[test]
fn what_is_no_flattened_record_is_refused_or_skipped() {
    let named = |name: &str, fields: &str| {
        format!(r#"{{"type":"record","name":"{name}","connect.name":"{name}","fields":[{fields}]}}"#)
    };
    let heartbeat = named("io.debezium.connector.common.Heartbeat", r#"{"name":"ts_ms","type":"long"}"#);
    let envelope = named(
        "t.Envelope",
        r#"{"name":"source","type":{"type":"record","name":"S","fields":[]}},{"name":"op","type":"string"}"#,
    );
    let framed =
        |id: u8, body: &[u8]| Sample { value: Some([&[0, 0, 0, 0, id], body].concat()), ..sample(ID, None, &[]) };
    let mut decoder = flat_avro();
    decoder.learn(SchemaId::Id(7), &heartbeat).unwrap();
    decoder.learn(SchemaId::Id(8), &envelope).unwrap();
    decoder.learn(SchemaId::Id(9), r#""string""#).unwrap();
    assert_eq!(decode(&mut decoder, &framed(7, b"\x02")), Ok(Decoded::Skipped(SkipReason::Heartbeat)));
    let error = decode(&mut decoder, &framed(8, b"\x02c")).unwrap_err();
    assert!(error.can_go_on() && error.to_string().contains("not flattened"), "{error}");
    assert!(decode(&mut decoder, &framed(9, b"\x02c")).unwrap_err().to_string().contains("record"));
    assert_eq!(decode(&mut decoder, &avro_samples()[0]), Ok(Decoded::Added { rows: 1 }));
}

#[test]
fn bad_bytes_in_avro_leave_no_trace() {
    conformance(|| Box::new(flat_avro()), &avro_samples()).unwrap();
}

// ---- captures ------------------------------------------------------------------------------------------------------

/// A change as a test compares it.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    op: Op,
    key: Vec<Cell>,
    sent: BTreeMap<String, Cell>,
    order: Option<i64>,
    ts_ms: Option<i64>,
    other_key: Option<Vec<Cell>>,
}

/// The changes of each row, by table and key: by partition they differ where the key's bytes do.
type Stream = BTreeMap<(String, String), Vec<Change>>;

fn stream(mut decoder: Box<dyn Decoder>, capture: &Path) -> Stream {
    let schemas = if capture.join("schemas").is_dir() { schemas(capture) } else { BTreeMap::new() };
    let mut stream = Stream::new();
    let take = |decoder: &mut dyn Decoder, stream: &mut Stream| {
        let Some(batch) = decoder.flush().unwrap() else { return };
        batch.validate().unwrap();
        let table = batch.topic.rsplit('.').next().unwrap().to_owned();
        // What a row without a key was before an update, no flattened message tells.
        let is_old = |row: &usize| {
            batch.key_columns.is_empty()
                && batch.ops.get(row + 1) == Some(&Op::Update)
                && batch.origin(*row) == batch.origin(row + 1)
        };
        for row in (0..batch.num_rows()).filter(|row| !is_old(row)) {
            let change = change(&batch, row);
            stream.entry((table.clone(), format!("{:?}", change.key))).or_default().push(change);
        }
    };
    for record in records(capture) {
        loop {
            match record.with(|message| decoder.decode(message)) {
                Ok(Decoded::NeedsSchema(SchemaId::Id(id))) => {
                    decoder.learn(SchemaId::Id(id), &schemas[&id]).unwrap();
                }
                Ok(Decoded::FlushFirst) => take(&mut *decoder, &mut stream),
                Ok(_) => break,
                Err(error) => panic!("{}/{}@{}: {error}", record.topic, record.partition, record.offset),
            }
        }
        if decoder.buffered_rows() >= 300 {
            take(&mut *decoder, &mut stream);
        }
    }
    take(&mut *decoder, &mut stream);
    stream
}

fn change(batch: &ChangeBatch, row: usize) -> Change {
    let schema = batch.rows.schema();
    let sent = |i: &usize| !batch.unsent[*i].as_ref().is_some_and(|mask| mask.value(row));
    let cells = (0..batch.rows.num_columns()).filter(sent);
    let key = |name: &String| cell(batch.rows.column_by_name(name).unwrap(), row);
    let other = batch.other_keys.as_ref().filter(|keys| !keys.is_null(row));
    Change {
        op: batch.ops[row],
        key: batch.key_columns.iter().map(key).collect(),
        sent: cells.map(|i| (schema.field(i).name().clone(), cell(batch.rows.column(i), row))).collect(),
        order: orders(batch)[row],
        ts_ms: batch.source_ts_ms.is_valid(row).then(|| batch.source_ts_ms.value(row)),
        other_key: other.map(|keys| keys.columns().iter().map(|column| cell(column, row)).collect()),
    }
}

/// What a capture of flattened rows has lost of what the envelopes of the same run say.
#[derive(Clone, Copy)]
struct Lost {
    /// Deletes without row: no order, no time.
    deletes: bool,
    /// Nothing was added to rows either.
    rows: bool,
    /// NULL came as the default.
    nulls: bool,
}

/// The envelopes' changes, less what is lost.
fn less(envelopes: Stream, lost: Lost) -> Stream {
    let less = |mut change: Change| {
        if change.op == Op::Delete && !change.key.is_empty() {
            change.sent.retain(|_, cell| change.key.contains(cell));
        }
        if lost.rows && change.op != Op::Delete {
            // Only the row behind a changed key is told apart.
            change.op = if change.other_key.is_some() { Op::Insert } else { Op::Upsert };
        }
        if lost.rows || (lost.deletes && change.op == Op::Delete) {
            (change.order, change.ts_ms) = (None, None);
        }
        change
    };
    envelopes
        .into_iter()
        .map(|(place, changes)| {
            (place, changes.into_iter().filter(|c| c.op != Op::Truncate).map(less).collect::<Vec<_>>())
        })
        .filter(|(_, changes)| !changes.is_empty())
        .collect()
}

fn compare(what: &str, flat: Stream, envelopes: Stream, lost: Lost) {
    assert_eq!(flat.keys().collect::<Vec<_>>(), envelopes.keys().collect::<Vec<_>>(), "{what}");
    for (place, changes) in flat {
        let expected = &envelopes[&place];
        assert_eq!(changes.len(), expected.len(), "{what} {place:?}");
        for (change, mut expected) in changes.into_iter().zip(expected.clone()) {
            if change.op == Op::Delete && !change.key.is_empty() {
                expected.sent = change.sent.clone();
                assert_eq!(change.sent.len(), change.key.len(), "{what} {place:?}: {change:?}");
            }
            if lost.rows {
                // An update could lack what looks like the placeholder; that this is none is not told.
                const PLACEHOLDER: &str = "__debezium_unavailable_value";
                let is = |cell: &Cell| match cell {
                    Cell::Text(text) => text == PLACEHOLDER,
                    Cell::Bytes(bytes) => bytes == PLACEHOLDER.as_bytes(),
                    _ => false,
                };
                expected.sent.retain(|name, cell| change.sent.contains_key(name) || !is(cell));
            }
            if lost.nulls {
                let nulls: Vec<_> =
                    expected.sent.iter().filter(|(_, c)| **c == Cell::Null).map(|(n, _)| n.clone()).collect();
                for name in nulls {
                    expected.sent.insert(name.clone(), change.sent[&name].clone());
                }
            }
            // The snapshot of each connector was taken at a moment of its own.
            if change.op == Op::Snapshot {
                expected.ts_ms = change.ts_ms;
            }
            // NaN is not itself.
            assert_eq!(format!("{change:?}"), format!("{expected:?}"), "{what} {place:?}");
        }
    }
}

#[test]
fn the_captures_say_what_the_envelopes_of_the_same_run_say() {
    let Some(folder) = folder() else { return };
    let rewritten = Lost { deletes: false, rows: false, nulls: true };
    let by_null = Lost { deletes: true, rows: false, nulls: false };
    let bare = Lost { deletes: true, rows: true, nulls: false };
    for (flattened, envelopes, lost) in [
        ("pg/flat-rewrite", "pg/json", rewritten),
        ("pg/flat-tombstone", "pg/json", by_null),
        ("pg/flat-delete-to-tombstone", "pg/json", by_null),
        ("maria/flat-rewrite", "maria/json", rewritten),
        ("maria/flat-tombstone-schema", "maria/json-schema", bare),
        ("pg/flat-avro", "pg/json-schema", Lost { nulls: true, ..bare }),
    ] {
        let decoder: Box<dyn Decoder> = match flattened.ends_with("avro") {
            true => Box::new(DebeziumFlatAvro::builder().build().unwrap()),
            false => Box::new(plain()),
        };
        let flat = stream(decoder, &folder.join(flattened));
        let envelopes = stream(Box::new(DebeziumJson::builder().build().unwrap()), &folder.join(envelopes));
        compare(flattened, flat, less(envelopes, lost), lost);
    }
}

#[test]
fn every_message_of_the_captures_is_a_row_or_a_schema_change() {
    let Some(folder) = folder() else { return };
    for (capture, rows, schema_changes) in [
        ("pg/flat-rewrite", 1377, 0),
        ("pg/flat-tombstone", 1377, 0),
        ("pg/flat-delete-to-tombstone", 1377, 0),
        ("maria/flat-rewrite", 1380, 31),
        ("maria/flat-tombstone-schema", 1380, 31),
    ] {
        let mut decoder = plain();
        let mut seen = BTreeMap::<&str, usize>::new();
        for record in records(&folder.join(capture)) {
            let name = loop {
                match record.with(|message| decoder.decode(message)) {
                    Ok(Decoded::Added { rows: 1 }) => break "row",
                    Ok(Decoded::Skipped(reason)) => break reason.as_str(),
                    Ok(Decoded::FlushFirst) => drop(flush(&mut decoder)),
                    other => panic!("{capture}: {other:?}"),
                }
            };
            *seen.entry(name).or_default() += 1;
        }
        let expected = [("row", rows), ("schema_change", schema_changes)].into_iter().filter(|(_, count)| *count > 0);
        assert_eq!(seen, expected.collect(), "{capture}");
    }
}

#[test]
fn with_order_the_captures_lead_to_the_databases_own_state() {
    let Some(folder) = folder() else { return };
    for (set, variant) in [("pg", "flat-rewrite"), ("pg", "flat-tombstone"), ("maria", "flat-rewrite")] {
        let all = records(&folder.join(set).join(variant));
        for table in ["customers", "orders", "order_items", "profiles"] {
            let schema = declared(&folder, set, table);
            let mut decoder = flat().declared(schema).build().unwrap();
            for record in all.iter().filter(|record| record.table() == table) {
                assert_eq!(record.with(|message| decoder.decode(message)), Ok(Decoded::Added { rows: 1 }));
            }
            let mut folded = Table::default();
            folded.fold(&flush(&mut decoder), |_| true);
            let alive: Vec<_> = folded.alive().collect();
            let truth = truth(&folder.join(set), table);
            assert_eq!(alive.len(), truth.len(), "{set}/{variant} {table}");
            let losses = Losses { year_adjusted: true, wrapped: true, ..Losses::default() };
            for expected in truth {
                let is = |row: &&&crate::cells::Row| {
                    expected.iter().all(|(name, value)| matches(name, value, &row.cells[name], row.op, losses))
                };
                assert!(alive.iter().any(|row| is(&row)), "{set}/{variant} {table}: no row is {expected:?}");
            }
        }
    }
}

fn declared(folder: &Path, set: &str, table: &str) -> DeclaredSchema {
    let inline = records(&folder.join(set).join("json-schema"));
    let message = inline.iter().filter(|record| record.table() == table).find_map(Record::value).unwrap();
    DeclaredSchema::from_json(std::str::from_utf8(message).unwrap()).unwrap()
}
