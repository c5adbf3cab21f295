//! Real captures lead to the database's own final state.

use std::collections::BTreeMap;
use std::path::Path;

use cdc_decoders::debezium::{DebeziumJson, DeclaredSchema};
use cdc_decoders::{Decoded, Decoder};
use hudi_core::change::ChangeBatch;
use hudi_core::checkpoint::{Checkpoint, Verdict};
use serde_json::Value;

use crate::capture::{Record, folder, records, truth};
use crate::cells::{Losses, Table, matches};

const TABLES: [&str; 6] = ["customers", "orders", "order_items", "profiles", "all_types", "defaults_probe"];

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
    mut decoder: DebeziumJson,
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

fn fold(batches: &[ChangeBatch]) -> (Table, usize) {
    let (mut table, mut checkpoint, mut redelivered) = (Table::default(), Checkpoint::default(), 0);
    for batch in batches {
        let verdicts = checkpoint.judge(batch).unwrap();
        redelivered += verdicts.iter().filter(|v| **v == Verdict::Redelivered).count();
        assert!(!verdicts.contains(&Verdict::Covered));
        table.fold(batch, |row| verdicts[row] == Verdict::New);
    }
    (table, redelivered)
}

#[track_caller]
fn compare(what: &str, table: &Table, truth: &[serde_json::Map<String, Value>], losses: Losses) {
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
        let place =
            rows.iter().position(|row| is(&row)).unwrap_or_else(|| panic!("{what}: no row {key:?} of {expected:?}"));
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

fn of_table<'a>(records: &'a [Record], table: &str) -> Vec<&'a Record> {
    records.iter().filter(|record| record.table() == table).collect()
}

/// The schemas that were sent with, or registered for, the same tables.
fn declared(folder: &Path, set: &str, table: &str) -> [DeclaredSchema; 2] {
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
            let decoders: Vec<(&str, Box<dyn Fn() -> DebeziumJson>)> = if capture.inline {
                vec![("inline", Box::new(plain))]
            } else {
                let [connect, avro] = declared(&folder, capture.set, table);
                let with = |schema: DeclaredSchema| {
                    Box::new(move || DebeziumJson::builder().declared(schema.clone()).build().unwrap())
                        as Box<dyn Fn() -> _>
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
    eprintln!("{ran} captures ran");
    assert_eq!(ran, 11);
}
