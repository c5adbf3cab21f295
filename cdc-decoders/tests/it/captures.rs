//! Real captures lead to the database's own final state.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use cdc_decoders::debezium::{DebeziumJson, DeclaredSchema};
use cdc_decoders::{Decoded, Decoder, SchemaId};
use hudi_core::change::{ChangeBatch, Op};
use hudi_core::checkpoint::{Checkpoint, SourceWentBack, Verdict};
use serde_json::Value;

use crate::capture::{Record, folder, records, truth};
use crate::cells::{Cell, Losses, Table, matches};

/// `audit_log` was emptied once.
pub(crate) const TABLES: [&str; 7] =
    ["customers", "orders", "order_items", "profiles", "all_types", "defaults_probe", "audit_log"];

type Make = Box<dyn Fn() -> DebeziumJson>;

struct Capture {
    set: &'static str,
    variant: &'static str,
    inline: bool,
    losses: Losses,
}

fn captures() -> Vec<Capture> {
    let none = Losses::default();
    let maria = Losses { year_adjusted: true, wrapped: true, ..none };
    let doubles = Losses { doubles: true, iso: true, hex: true, ..none };
    let connect = Losses { millis: true, base64: true, wrapped: false, ..maria };
    let capture = |set, variant, inline, losses| Capture { set, variant, inline, losses };
    vec![
        capture("pg", "json", false, none),
        capture("pg", "json-schema", true, none),
        capture("pg", "double-isostring", true, doubles),
        capture("pg", "tx-heartbeat", false, none),
        capture("pg", "incremental", false, none),
        capture("pg-burst", "json", false, none),
        capture("maria", "json", false, maria),
        capture("maria", "json-schema", true, maria),
        capture("maria", "string-connect", true, connect),
        capture("maria", "incremental", false, maria),
        capture("maria-killed", "killed", false, maria),
    ]
}

/// Decodes the records of one table; a batch at least every `rows`.
fn decode(
    decoder: DebeziumJson,
    records: &[&Record],
    rows: usize,
) -> (Vec<ChangeBatch>, BTreeMap<&'static str, usize>) {
    decode_with(decoder, &BTreeMap::new(), records, rows)
}

/// The same by any decoder, which may ask for schemas.
pub(crate) fn decode_with(
    mut decoder: impl Decoder,
    schemas: &BTreeMap<u32, String>,
    records: &[&Record],
    rows: usize,
) -> (Vec<ChangeBatch>, BTreeMap<&'static str, usize>) {
    let (mut batches, mut skipped) = (vec![], BTreeMap::new());
    for record in records {
        loop {
            match record.with(|message| decoder.decode(message)) {
                Ok(Decoded::Added { .. }) => {}
                Ok(Decoded::Skipped(reason)) => *skipped.entry(reason.as_str()).or_default() += 1,
                Ok(Decoded::FlushFirst) => {
                    batches.push(decoder.flush().unwrap().expect("rows to flush"));
                    continue;
                }
                Ok(Decoded::NeedsSchema(SchemaId::Id(id))) => {
                    decoder.learn(SchemaId::Id(id), &schemas[&id]).unwrap();
                    continue;
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => panic!("{}/{}@{}: {error}", record.topic, record.partition, record.offset),
            }
            break;
        }
        if decoder.buffered_rows() >= rows {
            batches.extend(decoder.flush().unwrap());
        }
    }
    batches.extend(decoder.flush().unwrap());
    (batches, skipped)
}

pub(crate) fn fold(batches: &[ChangeBatch]) -> (Table, usize) {
    let (mut table, mut checkpoint, mut redelivered) = (Table::default(), Checkpoint::default(), 0);
    for batch in batches {
        let verdicts = checkpoint.judge(batch, SourceWentBack::Stop).unwrap().verdicts;
        redelivered += verdicts.iter().filter(|v| **v == Verdict::Redelivered).count();
        assert!(!verdicts.contains(&Verdict::Covered));
        table.fold(batch, |row| verdicts[row] == Verdict::New);
    }
    (table, redelivered)
}

#[track_caller]
pub(crate) fn compare(what: &str, table: &Table, truth: &[serde_json::Map<String, Value>], losses: Losses) {
    let mut rows: Vec<_> = table.alive().collect();
    assert_eq!(rows.len(), truth.len(), "{what}: rows");
    for expected in truth {
        let key: Vec<_> = ["id", "order_id", "line_no"]
            .into_iter()
            .filter(|k| expected.contains_key(*k) && (*k != "order_id" || !expected.contains_key("id")))
            .collect();
        let is = |row: &&crate::cells::Row| {
            key.iter().all(|k| matches(k, &expected[*k], &row.cells[*k], None, Losses::default()))
        };
        let place = rows.iter().position(is).unwrap_or_else(|| panic!("{what}: no row {key:?} of {expected:?}"));
        let row = rows.swap_remove(place);
        assert_eq!(row.cells.len(), expected.len(), "{what}: columns");
        for (column, value) in expected {
            let cell = &row.cells[column];
            assert!(
                matches(column, value, cell, row.op, losses),
                "{what}: {column} of {:?}: want {value}, have {cell:?} by {:?}",
                expected.get("id"),
                row.op
            );
        }
    }
}

pub(crate) fn of_table<'a>(records: &'a [Record], table: &str) -> Vec<&'a Record> {
    records.iter().filter(|record| record.table() == table).collect()
}

/// The schemas that were sent with, or registered for, the same tables.
pub(crate) fn declared(folder: &Path, set: &str, table: &str) -> [DeclaredSchema; 2] {
    let set = folder.join(set.split('-').next().unwrap());
    let inline = records(&set.join("json-schema"));
    let message = of_table(&inline, table).into_iter().find_map(Record::value).unwrap();
    let avro = set.join("avro");
    let subjects: Value = serde_json::from_slice(&std::fs::read(avro.join("subjects.json")).unwrap()).unwrap();
    let is = |subject: &&String| subject.ends_with(&format!(".{table}-value"));
    let subject = subjects.as_object().unwrap().keys().find(is).unwrap();
    let id = &subjects[subject][0]["id"];
    let avsc = std::fs::read_to_string(avro.join(format!("schemas/{id}.avsc"))).unwrap();
    [std::str::from_utf8(message).unwrap(), &avsc].map(|text| DeclaredSchema::from_json(text).unwrap())
}

fn plain() -> DebeziumJson {
    DebeziumJson::builder().build().unwrap()
}

#[test]
fn every_capture_leads_to_the_databases_own_state() {
    let Some(folder) = folder() else { return };
    let mut ran = 0;
    for capture in captures() {
        let set = folder.join(capture.set);
        let all = records(&set.join(capture.variant));
        for table in TABLES {
            let records = of_table(&all, table);
            let expected = truth(&set, table);
            let decoders: Vec<(&str, Make)> = if capture.inline {
                vec![("inline", Box::new(plain))]
            } else {
                let [connect, avro] = declared(&folder, capture.set, table);
                let with = |schema: DeclaredSchema| {
                    Box::new(move || DebeziumJson::builder().declared(schema.clone()).build().unwrap()) as Make
                };
                vec![("Connect", with(connect)), ("Avro", with(avro))]
            };
            for (schema, make) in decoders {
                for rows in [usize::MAX, 100, 1] {
                    let what = format!("{}/{} {table}, {schema} schema, {rows} rows", capture.set, capture.variant);
                    let (batches, _) = decode(make(), &records, rows);
                    let (folded, redelivered) = fold(&batches);
                    compare(&what, &folded, &expected, capture.losses);
                    assert!(capture.variant == "killed" || redelivered == 0, "{what}: {redelivered} re-delivered");
                }
            }
        }
        ran += 1;
    }
    println!("{ran} shared captures replayed to the database's own state, with schema");
    assert_eq!(ran, 11);
}

/// A message without its wrapper, by a parser that is not ours.
fn parsed(bytes: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(bytes).unwrap();
    if value.get("payload").is_some() { value["payload"].take() } else { value }
}

/// The last image of every row as the wire has it; what stands for "not sent" left as it was. Also the keys of the changes that
/// came again, under a new run of the connector.
fn wire_state(records: &[&Record], placeholders: &[&str]) -> (BTreeMap<String, BTreeMap<String, Value>>, usize) {
    let (mut rows, mut seen, mut again) = (BTreeMap::<String, BTreeMap<String, Value>>::new(), HashSet::new(), 0);
    for record in records {
        let Some(value) = record.value().map(parsed).filter(|v| !v.is_null()) else { continue };
        let sample = record.sample();
        let (op, source) = (value["op"].as_str().unwrap(), &value["source"]);
        let key = sample.key.as_ref().map(|key| parsed(key).to_string()).unwrap_or_default();
        assert_eq!(key.is_empty(), op == "t");
        let place = [&source["file"], &source["pos"], &source["row"], &source["lsn"]].map(Value::to_string);
        if op != "r" && !seen.insert((place, op.to_owned(), key.clone(), value["after"].to_string())) {
            again += 1;
            continue;
        }
        if op == "t" {
            rows.clear();
            continue;
        }
        if op == "d" {
            rows.remove(&key);
            continue;
        }
        let row = rows.entry(key).or_default();
        for (column, value) in value["after"].as_object().unwrap() {
            let held = value.as_str().is_some_and(|text| op == "u" && placeholders.contains(&text));
            if !held || !row.contains_key(column) {
                row.insert(column.clone(), value.clone());
            }
        }
    }
    (rows, again)
}

/// Whether an inferred cell is what the wire had.
fn same(wire: &Value, cell: &Cell) -> bool {
    match (wire, cell) {
        (Value::Null, cell) => *cell == Cell::Null,
        (Value::Bool(w), Cell::Bool(c)) => w == c,
        (Value::Number(w), Cell::Int(c)) => w.as_i64() == Some(*c),
        (Value::Number(w), Cell::Float(c)) => w.as_f64() == Some(*c),
        (Value::String(w), Cell::Float(c)) => w == "NaN" && c.is_nan() || w.parse() == Ok(*c),
        (Value::String(w), Cell::Text(c)) => w == c,
        (Value::Number(w), Cell::Text(c)) => c.parse().ok() == w.as_f64(),
        (Value::Object(_) | Value::Array(_), Cell::Text(c)) => {
            serde_json::from_str::<Value>(c).is_ok_and(|c| c == *wire)
        }
        _ => false,
    }
}

#[test]
fn without_any_schema_the_values_are_those_of_the_wire() {
    let Some(folder) = folder() else { return };
    let placeholders = ["__debezium_unavailable_value", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="];
    let without: Vec<_> = captures().into_iter().filter(|capture| !capture.inline).collect();
    println!("{} shared captures replayed without any schema", without.len());
    for capture in without {
        let all = records(&folder.join(capture.set).join(capture.variant));
        for table in TABLES {
            let records = of_table(&all, table);
            let held = if capture.set.starts_with("pg") { &placeholders[..] } else { &[] };
            let (expected, again) = wire_state(&records, held);
            for rows in [usize::MAX, 50] {
                let what = format!("{}/{} {table}, {rows} rows", capture.set, capture.variant);
                let (folded, redelivered) = fold(&decode(plain(), &records, rows).0);
                assert_eq!(redelivered, again, "{what}: re-delivered");
                let alive: Vec<_> = folded.alive().collect();
                assert_eq!(alive.len(), expected.len(), "{what}: rows");
                for wire in expected.values() {
                    let is = |row: &&&crate::cells::Row| {
                        wire.iter().all(|(column, value)| {
                            row.cells.get(column).map_or(value.is_null(), |cell| same(value, cell))
                        })
                    };
                    assert!(alive.iter().any(|row| is(&row)), "{what}: no row is {wire:?}");
                }
            }
        }
    }
}

#[test]
fn what_a_restarted_connector_sent_again_is_recognised() {
    let Some(folder) = folder() else { return };
    let all = records(&folder.join("maria-killed/killed"));
    let (mut again, mut redelivered) = (0, 0);
    for table in TABLES {
        let records = of_table(&all, table);
        again += wire_state(&records, &[]).1;
        redelivered += fold(&decode(plain(), &records, 100).0).1;
    }
    assert!(again > 1000, "{again}");
    assert_eq!(redelivered, again);
}

#[test]
fn a_truncate_ends_no_batch_and_changes_no_key() {
    let Some(folder) = folder() else { return };
    let mut truncates = 0;
    for capture in captures() {
        let all = records(&folder.join(capture.set).join(capture.variant));
        let records = of_table(&all, "audit_log");
        let sent = records.iter().filter(|record| record.is_truncate()).count();
        let without: Vec<_> = records.iter().filter(|record| !record.is_truncate()).copied().collect();
        let (batches, _) = decode(plain(), &records, usize::MAX);
        let (others, _) = decode(plain(), &without, usize::MAX);
        let ops = batches.iter().flat_map(|batch| &batch.ops);
        assert_eq!(ops.filter(|op| **op == Op::Truncate).count(), sent);
        assert_eq!(batches.len(), others.len(), "{}/{}", capture.set, capture.variant);
        assert!(batches.iter().all(|batch| batch.key_columns == ["id"]));
        truncates += sent;
        // Alone, before the topic said anything of its columns and its key.
        let truncate = records.iter().find(|record| record.is_truncate()).copied().unwrap();
        let (alone, _) = decode(plain(), &[truncate], usize::MAX);
        assert_eq!((alone.len(), alone[0].num_rows(), alone[0].key_columns.len()), (1, 1, 0));
        alone[0].validate().unwrap();
    }
    assert_eq!(truncates, 12);
}

#[test]
fn every_message_of_every_capture_is_taken_skipped_or_refused_for_a_reason() {
    let Some(folder) = folder() else { return };
    let flat = [
        "pg/flat-delete-to-tombstone",
        "pg/flat-rewrite",
        "pg/flat-tombstone",
        "maria/flat-rewrite",
        "maria/flat-tombstone-schema",
    ];
    let others = ["maria/json-defaults", "maria-resnapshot/killed"];
    let captures = captures().iter().map(|c| format!("{}/{}", c.set, c.variant)).collect::<Vec<_>>();
    for capture in captures.iter().map(String::as_str).chain(flat).chain(others) {
        let path = folder.join(capture);
        let manifest: Value = serde_json::from_slice(&std::fs::read(path.join("manifest.json")).unwrap()).unwrap();
        let ops = manifest["topics"].as_object().unwrap().values().flat_map(|topic| topic["ops"].as_object().unwrap());
        let count = |names: &[&str]| {
            ops.clone().filter(|(op, _)| names.contains(&op.as_str())).map(|(_, n)| n.as_u64().unwrap()).sum::<u64>()
        };
        let mut seen = BTreeMap::<String, u64>::new();
        let mut decoder = plain();
        for record in records(&path) {
            let name = loop {
                match record.with(|message| decoder.decode(message)) {
                    Ok(Decoded::Added { .. }) => break "row".to_owned(),
                    Ok(Decoded::Skipped(reason)) => break reason.as_str().to_owned(),
                    Ok(_) => drop(decoder.flush().unwrap().unwrap()),
                    Err(error) if error.can_go_on() => break error.to_string(),
                    Err(error) => panic!("{capture}: {error}"),
                }
            };
            *seen.entry(name).or_default() += 1;
        }
        let mut take = |part: &str| {
            seen.iter()
                .find(|(name, _)| name.contains(part))
                .map(|(name, _)| name.clone())
                .and_then(|name| seen.remove(&name))
                .unwrap_or(0)
        };
        assert_eq!(take("tombstone"), count(&["tombstone", "text null", "schema+null payload"]), "{capture}");
        assert_eq!(take("schema_change"), count(&["ddl"]), "{capture}");
        assert_eq!(take("transaction"), count(&["BEGIN", "END"]), "{capture}");
        assert_eq!(take("heartbeat"), count(&["heartbeat"]), "{capture}");
        if flat.contains(&capture) {
            assert!(take("no Debezium envelope") > 1000, "{capture}");
        } else {
            assert_eq!(take("row"), count(&["c", "u", "d", "r", "r(incremental)", "t"]), "{capture}");
        }
        assert!(seen.is_empty(), "{capture}: {seen:?}");
    }
}
