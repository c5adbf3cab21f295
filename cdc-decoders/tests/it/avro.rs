//! Debezium in Avro: the rows of real captures, beside those that JSON gave of the same run of the database, and the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use cdc_decoders::Decoder;
use cdc_decoders::debezium::{DebeziumAvro, DebeziumJson};
use hudi_core::change::{ChangeBatch, Op, StreamPosition};

use crate::capture::{Record, folder, records, schemas, truth};
use crate::captures::{TABLES, compare, declared, decode_with, fold, of_table};
use crate::cells::{Cell, Losses, cell};

fn avro() -> DebeziumAvro {
    DebeziumAvro::builder().build().unwrap()
}

/// A change with all that two formats of one event agree in.
#[derive(Debug, PartialEq)]
struct Change {
    op: Op,
    order: Option<i64>,
    position: Option<StreamPosition>,
    /// `None`: not sent.
    cells: BTreeMap<String, Option<Cell>>,
}

/// The changes of a table, those of a key in their order: the partitions differ, for the keys are written in other bytes.
fn changes(batches: &[ChangeBatch]) -> BTreeMap<String, Vec<Change>> {
    let mut changes = BTreeMap::<String, Vec<Change>>::new();
    for batch in batches {
        batch.validate().unwrap();
        let orders = batch.orders.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let columns = batch.rows.schema().fields().clone();
            let of = |i: usize| {
                let sent = batch.unsent[i].as_ref().is_none_or(|mask| !mask.value(row));
                (columns[i].name().clone(), sent.then(|| cell(batch.rows.column(i), row)))
            };
            let key = |name: &String| format!("{:?}", cell(batch.rows.column_by_name(name).unwrap(), row));
            let key = batch.key_columns.iter().map(key).collect::<Vec<_>>().join("/");
            changes.entry(key).or_default().push(Change {
                op: batch.ops[row],
                order: orders.is_valid(row).then(|| orders.value(row)),
                position: batch.positions[row],
                cells: (0..columns.len()).map(of).collect(),
            });
        }
    }
    changes
}

/// Every table of a capture; the topic of schema changes is none.
fn tables(records: &[Record]) -> BTreeSet<String> {
    let of_rows = records.iter().filter(|record| !record.topic.ends_with(".avro"));
    of_rows.map(|record| record.table().to_owned()).collect()
}

/// Compares the rows of a table; what is lost to the Avro converter is counted.
fn same_rows(what: &str, avro: &[ChangeBatch], json: &[ChangeBatch]) -> [usize; 2] {
    let (avro, json) = (changes(avro), changes(json));
    let [mut rows, mut defaults] = [0, 0];
    assert_eq!(avro.keys().collect::<Vec<_>>(), json.keys().collect::<Vec<_>>(), "{what}: keys");
    for (key, expected) in &json {
        let found = &avro[key];
        assert_eq!(found.len(), expected.len(), "{what}: rows of {key}");
        for (found, expected) in found.iter().zip(expected) {
            rows += 1;
            assert_eq!(
                (found.op, found.order, found.position),
                (expected.op, expected.order, expected.position),
                "{what}"
            );
            assert_eq!(found.cells.keys().collect::<Vec<_>>(), expected.cells.keys().collect::<Vec<_>>(), "{what}");
            for (name, cell) in &expected.cells {
                // The converter writes a column's default for NULL.
                let has_default =
                    what.contains("defaults_probe") || what.contains("evolving") && name == "added_default";
                let lost = has_default && *cell == Some(Cell::Null) && found.cells[name] != *cell;
                defaults += usize::from(lost);
                let same = |a: &Option<Cell>, b: &Option<Cell>| format!("{a:?}") == format!("{b:?}");
                assert!(
                    lost || same(&found.cells[name], cell),
                    "{what}: {name} of {expected:?}: {:?}",
                    found.cells[name]
                );
            }
        }
    }
    [rows, defaults]
}

#[test]
fn every_table_has_the_rows_that_json_gave_of_the_same_run() {
    let Some(folder) = folder() else { return };
    let [mut rows, mut defaults] = [0, 0];
    for set in ["pg", "maria"] {
        let own = records(&folder.join(set).join("avro"));
        let schemas = schemas(&folder.join(set).join("avro"));
        for variant in ["json", "json-schema"] {
            let twin = records(&folder.join(set).join(variant));
            for table in &tables(&own) {
                if variant == "json" && table == "evolving" {
                    continue;
                }
                let json = if variant == "json" {
                    DebeziumJson::builder().declared(declared(&folder, set, table)[0].clone()).build().unwrap()
                } else {
                    DebeziumJson::builder().build().unwrap()
                };
                let (expected, _) = decode_with(json, &schemas, &of_table(&twin, table), usize::MAX);
                for batch_rows in [usize::MAX, 7] {
                    let what = format!("{set} {table}, as {variant}, {batch_rows} rows");
                    let (found, _) = decode_with(avro(), &schemas, &of_table(&own, table), batch_rows);
                    let [more, lost] = same_rows(&what, &found, &expected);
                    rows += more;
                    defaults += lost;
                }
            }
        }
    }
    println!("{rows} rows compared, {defaults} values lost to defaults");
    assert!(rows > 9000 && defaults > 0, "{rows} {defaults}");
}

fn leads_to_the_truth(set: &Path, variant: &str, losses: Losses) -> usize {
    let all = records(&set.join(variant));
    let schemas = schemas(&set.join(variant));
    let mut again = 0;
    for table in TABLES.iter().filter(|table| **table != "defaults_probe") {
        for rows in [usize::MAX, 100, 1] {
            let (batches, _) = decode_with(avro(), &schemas, &of_table(&all, table), rows);
            let (folded, redelivered) = fold(&batches);
            compare(&format!("{variant} {table}, {rows} rows"), &folded, &truth(set, table), losses);
            again += redelivered;
        }
    }
    again
}

#[test]
fn the_captures_lead_to_the_databases_own_state() {
    let Some(folder) = folder() else { return };
    let maria = Losses { year_adjusted: true, wrapped: true, ..Losses::default() };
    assert_eq!(leads_to_the_truth(&folder.join("pg"), "avro", Losses::default()), 0);
    assert_eq!(leads_to_the_truth(&folder.join("maria"), "avro", maria), 0);
    // A restarted connector sent changes again, with the ids of older schemas.
    assert!(leads_to_the_truth(&folder.join("pg-killed"), "killed-avro", Losses::default()) > 100);
}

#[test]
fn every_message_is_taken_or_skipped_for_a_reason() {
    let Some(folder) = folder() else { return };
    for capture in ["pg/avro", "maria/avro", "pg-killed/killed-avro"] {
        let path = folder.join(capture);
        let records = records(&path);
        let all: Vec<_> = records.iter().collect();
        let (batches, skipped) = decode_with(avro(), &schemas(&path), &all, usize::MAX);
        // An update of a row without a key is two.
        let messages =
            |batch: &ChangeBatch| (0..batch.num_rows()).map(|row| batch.origin(row)).collect::<BTreeSet<_>>().len();
        let rows: usize = batches.iter().map(messages).sum();
        let told: usize = skipped.values().sum();
        assert_eq!(rows + told, records.len(), "{capture}");
        let manifest: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path.join("manifest.json")).unwrap()).unwrap();
        let ops = manifest["topics"].as_object().unwrap().values().flat_map(|topic| topic["ops"].as_object().unwrap());
        let count = |names: &[&str]| {
            let of = ops.clone().filter(|(op, _)| names.contains(&op.as_str()));
            of.map(|(_, n)| usize::try_from(n.as_u64().unwrap()).unwrap()).sum::<usize>()
        };
        assert_eq!(rows, count(&["c", "u", "d", "r", "t"]), "{capture}");
        assert_eq!(skipped.get("tombstone").copied().unwrap_or(0), count(&["tombstone"]), "{capture}");
        assert_eq!(skipped.get("schema_change").copied().unwrap_or(0), count(&["ddl"]), "{capture}");
        assert_eq!(avro().buffered_rows(), 0);
    }
}
