//! What Hudi's own sync sends to Glue, field by field.
//!
//! `java_rules.json` was made from the rules of Hudi's sync alone, without this crate. Where we depart from them stands in
//! [`as_we_mean_it`], and nowhere else.

use glue_catalog::model::{Partition, StorageDescriptor, Table};
use glue_catalog::settings::Strategy;
use glue_catalog::testing::FakeTable;
use glue_catalog::types::Column;
use hudi_core::instant::InstantTime;
use hudi_core::schema::avro::from_avro;
use hudi_core::version::TableType;
use serde_json::{Map, Value, json};

use crate::world::{World, id, new_table};

const CASES: &str = include_str!("java_rules.json");

#[tokio::test(start_paused = true)]
async fn glue_holds_what_javas_sync_sends() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        check(&case).await;
    }
}

async fn check(case: &Value) {
    let (name, given) = (case["case"].as_str().unwrap(), &case["given"]);
    let mut world = World::new();
    world.settings.strategy = match given["strategy"].as_str().unwrap() {
        "ro" => Strategy::ReadOptimized,
        "rt" => Strategy::RealTime,
        _ => Strategy::All,
    };
    world.sync(&table(given)).await;
    let mut sent: Vec<String> = Vec::new();
    for expected in case["tables"].as_array().unwrap() {
        let table = expected["Name"].as_str().unwrap();
        let found = table_json(&world.table(table));
        compare(&as_we_mean_it(expected, given), &found, &format!("{name}: {table}"));
        sent.push(table.to_owned());
    }
    sent.sort();
    let found: Vec<String> = world.glue.tables().into_iter().map(|id| id.name).collect();
    assert_eq!(found, sent, "{name}");
    let partitions = case["partitions"].as_array().unwrap();
    let all: usize = sent.iter().map(|table| world.glue.partitions(&id(table)).len()).sum();
    assert_eq!(all, partitions.len(), "{name}");
    for expected in partitions {
        let (table, expected) = (expected["table"].as_str().unwrap(), &expected["PartitionInput"]);
        let found = world.glue.partitions(&id(table)).into_iter().map(|partition| partition_json(&partition));
        let found = found.into_iter().find(|partition| partition["Values"] == expected["Values"]).unwrap();
        compare(&without_empty_comments(expected), &found, &format!("{name}: {table} {}", expected["Values"]));
    }
}

fn table(given: &Value) -> FakeTable {
    let text = |key: &str| given[key].as_str().unwrap();
    let list =
        |key: &str| -> Vec<&str> { given[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect() };
    let mut new = new_table(text("table"), &list("partition_fields"));
    if list("partition_fields").len() > 1 {
        new.record_key_fields = vec!["id".to_owned(), "text".to_owned()];
    }
    new.table_type = TableType::from_name(text("type")).unwrap();
    let columns = from_avro(&given["schema"].to_string()).unwrap();
    let mut table = FakeTable::new(text("location"), new.to_properties().unwrap(), columns);
    let at_ms = InstantTime::parse(text("instant")).unwrap().to_millis().unwrap();
    let paths = list("paths");
    table.write(at_ms, if paths.is_empty() { vec![""] } else { paths });
    table
}

/// Our departures from the rules, all of them.
fn as_we_mean_it(expected: &Value, given: &Value) -> Value {
    let mut expected = without_empty_comments(expected);
    // We say how partition values were made, so that they need not be compared all again.
    if !given["partition_fields"].as_array().unwrap().is_empty() {
        expected["Parameters"]["glue_catalog.partition_values"] = json!("decoded");
    }
    expected
}

/// An empty comment is none.
fn without_empty_comments(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, value)| !(*key == "Comment" && value.as_str() == Some("")));
            Value::Object(kept.map(|(key, value)| (key.clone(), without_empty_comments(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_empty_comments).collect()),
        other => other.clone(),
    }
}

fn compare(expected: &Value, found: &Value, at: &str) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let keys = |of: &Map<String, Value>| {
                let mut keys: Vec<String> = of.keys().cloned().collect();
                keys.sort();
                keys
            };
            assert_eq!(keys(expected), keys(found), "{at}");
            for (key, value) in expected {
                compare(value, &found[key], &format!("{at}.{key}"));
            }
        }
        (Value::Array(expected), Value::Array(found)) => {
            assert_eq!(expected.len(), found.len(), "{at}");
            for (n, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(expected, found, &format!("{at}[{n}]"));
            }
        }
        (expected, found) => assert_eq!(expected, found, "{at}"),
    }
}

/// A `TableInput`; what is not set is not there.
fn table_json(table: &Table) -> Value {
    assert!(table.last_access_ms.is_some() && table.last_analyzed_ms.is_some(), "the time of the sync");
    assert_eq!((&table.description, &table.owner, &table.retention), (&None, &None, &None));
    json!({
        "Name": table.name,
        "TableType": table.table_type,
        "Parameters": table.parameters,
        "PartitionKeys": table.partition_keys.iter().map(column_json).collect::<Vec<_>>(),
        "StorageDescriptor": storage_json(&table.storage),
    })
}

fn partition_json(partition: &Partition) -> Value {
    assert!(partition.parameters.is_empty());
    json!({ "Values": partition.values, "StorageDescriptor": storage_json(&partition.storage) })
}

fn storage_json(storage: &StorageDescriptor) -> Value {
    let serde = storage.serde.as_ref().unwrap();
    let ours = StorageDescriptor {
        columns: storage.columns.clone(),
        location: storage.location.clone(),
        input_format: storage.input_format.clone(),
        output_format: storage.output_format.clone(),
        serde: storage.serde.clone(),
        ..StorageDescriptor::default()
    };
    assert_eq!(*storage, ours, "nothing else is said");
    json!({
        "Location": storage.location,
        "InputFormat": storage.input_format,
        "OutputFormat": storage.output_format,
        "SerdeInfo": { "SerializationLibrary": serde.library, "Parameters": serde.parameters },
        "Columns": storage.columns.iter().map(column_json).collect::<Vec<_>>(),
    })
}

fn column_json(column: &Column) -> Value {
    let mut json = json!({ "Name": column.name, "Type": column.type_text });
    if let Some(comment) = &column.comment {
        json["Comment"] = json!(comment);
    }
    json
}
