//! What stands beside a row of a snapshot, and of a row whose key changed.

use arrow::array::Array;
use cdc_decoders::debezium::{DebeziumJson, DeclaredSchema};
use cdc_decoders::testing::Sample;
use cdc_decoders::{Decoded, Decoder, Message, SkipReason};
use hudi_core::change::{ChangeBatch, Op, SnapshotPart};
use serde_json::Value;

use crate::capture::{folder, records};
use crate::cells::{Cell, cell};

const MARIA: &str = r#"{"connector":"mariadb","name":"m","ts_ms":17,"file":"b.000002","pos":7,"row":1}"#;

fn envelope(op: &str, before: &str, after: &str) -> String {
    format!(r#"{{"before":{before},"after":{after},"source":{MARIA},"op":"{op}","ts_ms":1}}"#)
}

fn sample(key: &str, header: Option<(&str, &str)>, value: &str) -> Sample {
    let headers = header.map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec())));
    Sample { headers: headers.into_iter().collect(), ..Sample::new("t", 5, Some(key), Some(value)) }
}

fn flush(decoder: &mut DebeziumJson) -> ChangeBatch {
    let batch = decoder.flush().unwrap().unwrap();
    batch.validate().unwrap();
    batch
}

/// The other keys in short: `-` where there is none.
fn other_keys(batch: &ChangeBatch) -> Vec<String> {
    let Some(keys) = &batch.other_keys else { return vec![] };
    assert_eq!(keys.column_names(), batch.key_columns);
    let one = |row: usize| {
        let cells = keys.columns().iter().map(|column| match cell(column, row) {
            Cell::Int(value) => value.to_string(),
            Cell::Text(text) => text,
            other => panic!("{other:?}"),
        });
        cells.collect::<Vec<_>>().join("/")
    };
    (0..keys.len()).map(|row| if keys.is_null(row) { "-".to_owned() } else { one(row) }).collect()
}

const OLD: &str = "__debezium.oldkey";
const NEW: &str = "__debezium.newkey";

#[test]
fn a_moved_row_tells_its_other_key() {
    let wrapped = r#"{"schema":{"type":"struct","fields":[]},"payload":{"id":8}}"#;
    let mut decoder = DebeziumJson::builder().build().unwrap();
    for (key, header, value) in [
        (r#"{"id":1}"#, None, envelope("c", "null", r#"{"id":1}"#)),
        (r#"{"id":1}"#, Some((NEW, r#"{"id":7}"#)), envelope("d", r#"{"id":1}"#, "null")),
        (r#"{"id":7}"#, Some((OLD, r#"{"id":1}"#)), envelope("c", "null", r#"{"id":7}"#)),
        (r#"{"id":7}"#, Some((NEW, wrapped)), envelope("d", r#"{"id":7}"#, "null")),
        // What speaks of something else, or cannot be read.
        (r#"{"id":2}"#, Some((OLD, r#"{"id":1}"#)), envelope("d", r#"{"id":2}"#, "null")),
        (r#"{"id":2}"#, Some((NEW, r#"{"id":1}"#)), envelope("u", "null", r#"{"id":2}"#)),
        (r#"{"id":3}"#, Some((NEW, "Struct{id=1}")), envelope("d", r#"{"id":3}"#, "null")),
        (r#"{"id":4}"#, Some((NEW, r#"{"other":1}"#)), envelope("d", r#"{"id":4}"#, "null")),
    ] {
        let decoded = sample(key, header, &value).with(|message| decoder.decode(message));
        assert_eq!(decoded, Ok(Decoded::Added { rows: 1 }), "{value}");
    }
    let batch = flush(&mut decoder);
    assert_eq!(other_keys(&batch), ["-", "7", "1", "8", "-", "-", "-", "-"]);
    // A tombstone has the header too, and is one.
    let tombstone = Sample { value: None, ..sample(r#"{"id":1}"#, Some((NEW, r#"{"id":7}"#)), "") };
    let decoded = tombstone.with(|message| decoder.decode(message));
    assert_eq!(decoded, Ok(Decoded::Skipped(SkipReason::Tombstone)));
    // None in the next batch.
    let plain = sample(r#"{"id":1}"#, None, &envelope("d", r#"{"id":1}"#, "null"));
    assert_eq!(plain.with(|message| decoder.decode(message)), Ok(Decoded::Added { rows: 1 }));
    assert!(flush(&mut decoder).other_keys.is_none());
}

#[test]
fn other_keys_are_typed_as_the_rows_own() {
    let schema = r#"{"type":"struct","fields":[{"type":"int32","field":"id"},{"type":"string","field":"part-no"}]}"#;
    let declared = || DebeziumJson::builder().declared(DeclaredSchema::from_json(schema).unwrap()).build().unwrap();
    let key = r#"{"part-no":"x","id":1}"#;
    let delete = envelope("d", key, "null");
    let mut decoder = declared();
    let moved = sample(key, Some((NEW, r#"{"id":2,"part-no":"y"}"#)), &delete);
    assert_eq!(moved.with(|message| decoder.decode(message)), Ok(Decoded::Added { rows: 1 }));
    // A bad one leaves no trace.
    let bad = sample(key, Some((NEW, r#"{"id":2147483648,"part-no":"y"}"#)), &delete);
    let error = bad.with(|message| decoder.decode(message)).unwrap_err();
    assert!(error.can_go_on() && error.to_string().contains("`id`"), "{error}");
    assert_eq!(moved.with(|message| decoder.decode(message)), Ok(Decoded::Added { rows: 1 }));
    let batch = flush(&mut decoder);
    assert_eq!(other_keys(&batch), ["y/2", "y/2"]);
    let keys = batch.other_keys.as_ref().unwrap();
    for name in &batch.key_columns {
        let typed = batch.rows.schema().field_with_name(name).unwrap().data_type().clone();
        assert_eq!(keys.column_by_name(name).unwrap().data_type(), &typed, "{name}");
    }
}

#[test]
fn a_row_moved_by_the_users_key_tells_it_too() {
    let columns = vec!["region".to_owned(), "part_no".to_owned()];
    let mut decoder = DebeziumJson::builder().key_columns(columns).build().unwrap();
    let update = envelope("u", r#"{"id":1,"part-no":4,"region":"eu"}"#, r#"{"id":1,"part-no":4,"region":"us"}"#);
    let same = envelope("u", r#"{"part-no":4,"region":"us"}"#, r#"{"part-no":4,"region":"us"}"#);
    for value in [same, update] {
        let decoded = sample(r#"{"id":1}"#, None, &value).with(|message| decoder.decode(message));
        assert!(matches!(decoded, Ok(Decoded::Added { .. })), "{decoded:?}");
    }
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops, [Op::Update, Op::Delete, Op::Update]);
    assert_eq!(other_keys(&batch), ["-", "us/4", "eu/4"]);
}

#[test]
fn a_move_that_fails_half_way_leaves_no_trace() {
    let schema = r#"{"type":"struct","fields":[{"type":"string","field":"region"},{"type":"int32","field":"n"}]}"#;
    let keyed = DebeziumJson::builder().key_columns(vec!["region".to_owned()]);
    let mut decoder = keyed.declared(DeclaredSchema::from_json(schema).unwrap()).build().unwrap();
    let update = |n: &str| envelope("u", r#"{"region":"eu","n":1}"#, &format!(r#"{{"region":"us","n":{n}}}"#));
    let insert = sample("{}", None, &envelope("c", "null", r#"{"region":"ap","n":1}"#));
    assert_eq!(insert.with(|message| decoder.decode(message)), Ok(Decoded::Added { rows: 1 }));
    // The old row and its new key are read by then.
    let error = sample("{}", None, &update("\"x\"")).with(|message| decoder.decode(message)).unwrap_err();
    assert!(error.can_go_on() && error.to_string().contains("`n`"), "{error}");
    assert_eq!(insert.with(|message| decoder.decode(message)), Ok(Decoded::Added { rows: 1 }));
    assert_eq!(
        sample("{}", None, &update("2")).with(|message| decoder.decode(message)),
        Ok(Decoded::Added { rows: 2 })
    );
    assert_eq!(other_keys(&flush(&mut decoder)), ["-", "-", "us", "eu"]);
}

#[test]
fn a_key_that_never_changes_may_be_any() {
    let update = envelope("u", "null", r#"{"id":1,"region":"us"}"#);
    let keyed = || DebeziumJson::builder().key_columns(vec!["id".to_owned(), "region".to_owned()]);
    let decode =
        |decoder: &mut DebeziumJson| sample(r#"{"id":1}"#, None, &update).with(|message| decoder.decode(message));
    assert!(!decode(&mut keyed().build().unwrap()).unwrap_err().can_go_on());
    assert_eq!(decode(&mut keyed().keys_never_change().build().unwrap()), Ok(Decoded::Added { rows: 1 }));
}

#[test]
fn signals_are_skipped_and_end_no_batch() {
    let mut decoder = DebeziumJson::builder().signals("public.dbz_signal").build().unwrap();
    let value = envelope("c", "null", r#"{"id":1}"#);
    let at = |topic: &str| Sample { topic: topic.to_owned(), ..sample(r#"{"id":1}"#, None, &value) };
    for (topic, expected) in [
        ("pg.public.orders", Decoded::Added { rows: 1 }),
        ("pg.public.dbz_signal", Decoded::Skipped(SkipReason::Signal)),
        ("public.dbz_signal", Decoded::Skipped(SkipReason::Signal)),
        ("pg.public.orders", Decoded::Added { rows: 1 }),
        ("pg.xpublic.dbz_signal", Decoded::FlushFirst),
    ] {
        assert_eq!(at(topic).with(|message| decoder.decode(message)), Ok(expected), "{topic}");
    }
    assert_eq!(flush(&mut decoder).num_rows(), 2);
}

/// A message without its wrapper, by a parser that is not ours.
fn parsed(bytes: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(bytes).unwrap();
    if value.get("payload").is_some() { value["payload"].take() } else { value }
}

/// The key in a header, in short.
fn header(message: &Message<'_>, name: &str, columns: &[String]) -> Option<String> {
    let key = parsed(message.header(name)?);
    Some(columns.iter().map(|column| key[column].to_string()).collect::<Vec<_>>().join("/"))
}

#[test]
fn the_captures_tell_their_snapshots_and_their_moves() {
    let Some(folder) = folder() else { return };
    for (capture, moves) in [("pg/json", 54), ("pg/json-schema", 54), ("maria/json", 46), ("pg/incremental", 54)] {
        let mut decoder = DebeziumJson::builder().build().unwrap();
        let (mut moved, mut parts) = (0, [0; 4]);
        for record in records(&folder.join(capture)) {
            record.with(|message| {
                if !matches!(decoder.decode(message).unwrap(), Decoded::Added { .. }) {
                    return;
                }
                let batch = flush(&mut decoder);
                let value = parsed(message.value.unwrap());
                let told = match value["op"].as_str().unwrap() {
                    "d" => header(message, NEW, &batch.key_columns),
                    "c" => header(message, OLD, &batch.key_columns),
                    _ => None,
                };
                assert_eq!(other_keys(&batch).pop(), told, "{capture} {}", batch.origin(0));
                moved += usize::from(told.is_some());
                let part = match value["source"]["snapshot"].as_str() {
                    Some("incremental") => SnapshotPart::Incremental,
                    Some("last" | "last_in_data_collection") => SnapshotPart::FullLast,
                    Some("true" | "first" | "first_in_data_collection") => SnapshotPart::Full,
                    _ => SnapshotPart::None,
                };
                assert!(batch.snapshots.iter().all(|found| *found == part), "{capture} {}", batch.origin(0));
                parts[part as usize] += 1;
            });
        }
        assert_eq!(moved, moves, "{capture}");
        assert!(
            parts[SnapshotPart::Full as usize] > 250 && parts[SnapshotPart::FullLast as usize] >= 9,
            "{capture} {parts:?}"
        );
        assert_eq!(parts[SnapshotPart::Incremental as usize] > 0, capture.ends_with("incremental"));
    }
}
