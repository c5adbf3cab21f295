//! What Glue must hold, as far as Java's rules do not say it already.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use glue_catalog::SyncSettings;
use glue_catalog::desired::{BASE_FILES, BASE_FILES_AND_LOGS, Desired};
use glue_catalog::location;
use glue_catalog::model::Table;
use glue_catalog::settings::Strategy;
use glue_catalog::targets::verify_distinct;
use glue_catalog::types::Timestamps;

use crate::world::{columns, field, merge_on_read, properties};

fn desired(settings: &SyncSettings) -> Vec<Table> {
    let of = Desired::of("s3://bucket/Lake/t", &merge_on_read("T", &["dt"]), &columns(), settings);
    of.unwrap().tables
}

fn refused(settings: &SyncSettings) -> String {
    let of = Desired::of("s3://bucket/t", &merge_on_read("T", &["dt"]), &columns(), settings);
    of.unwrap_err().to_string()
}

fn settings() -> SyncSettings {
    SyncSettings::new("db")
}

fn named(tables: &[Table]) -> Vec<(&str, &str)> {
    let format = |table: &Table| match table.storage.input_format.as_deref() {
        Some(BASE_FILES) => "base files",
        Some(BASE_FILES_AND_LOGS) => "base files and logs",
        _ => "?",
    };
    tables.iter().map(|table| (table.name.as_str(), format(table))).collect()
}

#[test]
fn a_merge_on_read_table_has_tables_by_strategy() {
    let logs = "base files and logs";
    assert_eq!(named(&desired(&settings())), [("t_ro", "base files"), ("t_rt", logs), ("t", logs)]);
    let two = SyncSettings { snapshot_table: false, ..settings() };
    assert_eq!(named(&desired(&two)), [("t_ro", "base files"), ("t_rt", logs)]);
    let plain = SyncSettings { ro_suffix: false, snapshot_table: false, ..settings() };
    assert_eq!(named(&desired(&plain)), [("t", "base files"), ("t_rt", logs)]);
    let ro = SyncSettings { strategy: Strategy::ReadOptimized, ..settings() };
    assert_eq!(named(&desired(&ro)), [("t", "base files")]);
    let rt = SyncSettings { strategy: Strategy::RealTime, table_name: Some("Other".to_owned()), ..settings() };
    assert_eq!(named(&desired(&rt)), [("other", logs)]);
}

#[test]
fn names_that_are_one_in_glue_are_refused() {
    let both = SyncSettings { ro_suffix: false, ..settings() };
    let expect = "the base files of `T` and the base files and logs of `T` would both be `t` in Glue";
    assert!(refused(&both).starts_with(expect), "{}", refused(&both));
    let tables = [("Orders".to_owned(), "db.Orders".to_owned()), ("orders".to_owned(), "db.orders".to_owned())];
    let error = verify_distinct(tables).unwrap_err().to_string();
    assert!(error.starts_with("Orders and orders would both be `db.orders` in Glue"), "{error}");
    let twice = Schema::new(vec![field("Dt", DataType::Utf8), field("dt", DataType::Utf8)]);
    let error = Desired::of("s3://bucket/t", &properties("t", &["dt"]), &twice, &settings()).unwrap_err();
    assert!(error.to_string().contains("`Dt` and `dt` have one name in Glue"), "{error}");
    let long = SyncSettings { table_name: Some("x".repeat(253)), ..settings() };
    assert!(refused(&long).contains("at most 255 characters"));
    assert!(refused(&SyncSettings { table_name: Some(" ".to_owned()), ..settings() }).contains("a name"));
}

#[test]
fn timestamps_of_tables_with_logs_are_as_asked() {
    let at = Schema::new(vec![
        field("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("dt", DataType::Utf8),
    ]);
    let settings = SyncSettings { realtime_timestamps: Timestamps::Bigint, ..settings() };
    let tables = Desired::of("s3://bucket/t", &merge_on_read("t", &["dt"]), &at, &settings).unwrap().tables;
    let types: Vec<_> = tables.iter().map(|t| (t.name.as_str(), t.storage.columns[5].type_text.as_str())).collect();
    assert_eq!(types, [("t_ro", "timestamp"), ("t_rt", "bigint"), ("t", "bigint")]);
}

#[test]
fn what_only_athena_reads_is_set_if_asked_for() {
    let parameter = |settings: &SyncSettings, key: &str| desired(settings)[0].parameters.get(key).cloned();
    let native = "athena_enable_native_hudi_connector_implementation";
    assert_eq!(parameter(&settings(), native), None);
    for (asked, text) in [(true, "true"), (false, "false")] {
        let settings = SyncSettings { native_connector: Some(asked), ..settings() };
        assert_eq!(parameter(&settings, native).as_deref(), Some(text));
    }
    assert_eq!(parameter(&settings(), "hudi.metadata-listing-enabled").as_deref(), Some("FALSE"));
    let listing = SyncSettings { metadata_listing: true, ..settings() };
    assert_eq!(parameter(&listing, "hudi.metadata-listing-enabled").as_deref(), Some("TRUE"));
    let indexed = SyncSettings { partition_indexes: vec![vec!["dt".to_owned()]], ..settings() };
    assert_eq!(parameter(&indexed, "partition_filtering.enabled").as_deref(), Some("true"));
    let without = SyncSettings { spark: false, ..settings() };
    let of_spark =
        |settings: &SyncSettings| desired(settings)[0].parameters.keys().any(|key| key.starts_with("spark."));
    assert!(of_spark(&settings()) && !of_spark(&without));
    let version = SyncSettings { spark_version: Some("3.5.1".to_owned()), ..settings() };
    assert_eq!(parameter(&version, "spark.sql.create.version").as_deref(), Some("3.5.1"));
    for table in desired(&settings()) {
        assert!(table.parameters.keys().all(|key| !key.starts_with("projection")), "partitions are never computed");
    }
}

#[test]
fn settings_that_glue_cannot_hold_are_refused() {
    let indexes = |columns: &[&str]| columns.iter().map(|name| vec![(*name).to_owned()]).collect();
    let four = SyncSettings { partition_indexes: indexes(&["dt", "dt", "dt", "dt"]), ..settings() };
    assert_eq!(refused(&four), "partition_indexes = `4`: want at most three: a table has no more");
    let stranger = SyncSettings { partition_indexes: indexes(&["id"]), ..settings() };
    assert_eq!(refused(&stranger), "partition_indexes = `id`: want partition columns, which are (dt)");
    let mut long = settings();
    long.parameters.insert("k".repeat(256), "v".to_owned());
    assert!(refused(&long).ends_with("want keys of 1 to 255 characters"));
    let mut long = settings();
    long.serde_parameters.insert("k".to_owned(), "v".repeat(512_001));
    assert!(refused(&long).ends_with("want values of at most 512000 characters"));
    assert!(refused(&SyncSettings::new("")).contains("a name of 1 to 255 characters"));
    let error = Desired::of(
        "s3://bucket/t",
        &properties("t", &[]),
        &Schema::new(vec![field("u", DataType::UInt64)]),
        &settings(),
    );
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "table t: column `u`: Glue has no type for UInt64: want Decimal128(20, 0)");
}

#[test]
fn comments_come_from_the_schema() {
    let doc = |text: &str| HashMap::from([("doc".to_owned(), text.to_owned())]);
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false).with_metadata(doc("the order's number")),
        field("dt", DataType::Utf8).with_metadata(doc(&"d".repeat(300))),
    ]);
    let table = &Desired::of("s3://bucket/t", &properties("t", &["dt"]), &schema, &settings()).unwrap().tables[0];
    assert_eq!(table.storage.columns[5].comment.as_deref(), Some("the order's number"));
    assert_eq!(table.partition_keys[0].comment, Some("d".repeat(255)));
}

#[test]
fn places_are_spelled_as_athena_reads_them() {
    for (from, to) in [
        ("s3://b/a/b", "s3://b/a/b"),
        ("s3a://b/a/", "s3://b/a"),
        ("s3n://b", "s3://b"),
        ("s3://b/With%20Percent/x=1//", "s3://b/With%20Percent/x=1"),
    ] {
        assert_eq!(location::normal(from).unwrap(), to);
        assert!(location::is_same(from, to));
    }
    for bad in ["file:///x", "/x", "s3://", "s3:///x", "hdfs://n/x"] {
        assert!(location::normal(bad).unwrap_err().to_string().contains("want s3://BUCKET/PREFIX"), "{bad}");
    }
    assert!(location::normal(&format!("s3://b/{}", "x".repeat(2056))).is_err());
    assert!(!location::is_same("s3://b/a", "s3://b/A"));
    assert!(!location::is_same("s3://b/a", "s3://c/a"));
}
