//! Partition values from paths, and which partitions stand in Glue after which commits.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use glue_catalog::partition::PartitionScheme;
use glue_catalog::settings::PartitionValues;
use glue_catalog::testing::FakeTable;
use glue_catalog::window::{Window, window};
use glue_catalog::{Outcome, SyncSettings};
use hudi_core::instant::{Action, Instant, InstantTime};
use hudi_core::properties::{KeyGenerator, NewTable, TableProperties};
use hudi_core::timeline::Timeline;
use hudi_core::version::TimelineLayout;

use crate::world::{BASE, World, days, field, id, new_table, orders, outcome, properties, stamp};

fn table_of(change: impl FnOnce(&mut NewTable), fields: &[&str]) -> TableProperties {
    let mut new = new_table("t", fields);
    change(&mut new);
    new.to_properties().unwrap()
}

/// The same, with folders named otherwise than our own tables have them.
fn spelled(fields: &[&str], hive_style: bool, url_encode: bool) -> TableProperties {
    let mut text = properties("t", fields).to_text(0);
    for (key, value) in [
        ("hoodie.datasource.write.hive_style_partitioning", hive_style),
        ("hoodie.datasource.write.partitionpath.urlencode", url_encode),
    ] {
        text = text.replace(&format!("{key}=true"), &format!("{key}={value}"));
    }
    TableProperties::parse(&text).unwrap()
}

fn all_types() -> Schema {
    Schema::new(vec![
        field("s", DataType::Utf8),
        field("Region", DataType::Utf8),
        field("i", DataType::Int32),
        field("l", DataType::Int64),
        field("d", DataType::Date32),
        field("b", DataType::Boolean),
        field("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        field("dec", DataType::Decimal128(10, 2)),
    ])
}

fn scheme(properties: &TableProperties) -> PartitionScheme {
    PartitionScheme::of(properties, &all_types(), &SyncSettings::new("db")).unwrap()
}

fn check(scheme: &PartitionScheme, path: &str, expect: &[&str]) {
    assert_eq!(scheme.values(path).unwrap(), expect, "{path}");
}

fn check_refused(scheme: &PartitionScheme, path: &str, expect: &str) {
    let reason = scheme.values(path).unwrap_err();
    assert!(reason.contains(expect), "{path}: {reason}");
}

#[test]
fn values_are_read_from_hive_style_paths() {
    let one = scheme(&spelled(&["s"], true, true));
    check(&one, "s=2024-01-01", &["2024-01-01"]);
    check(&one, "s=a%2Fb%3Dc %41", &["a/b=c A"]);
    check(&one, "s=x=y", &["x=y"]);
    check(&one, "s=__HIVE_DEFAULT_PARTITION__", &["__HIVE_DEFAULT_PARTITION__"]);
    check(&one, "s=default", &["default"]);
    check(&one, "s=Größe", &["Größe"]);
    check_refused(&one, "other=1", "does not begin with `s=`");
    check_refused(&one, "s=", "is empty");
    check_refused(&one, &format!("s={}", "x".repeat(1025)), "more than 1024 characters");
    let several = scheme(&spelled(&["s", "Region", "i"], true, true));
    check(&several, "s=a/Region=EU%2Fwest/i=-7", &["a", "EU/west", "-7"]);
    check(&several, "s=a/region=EU/i=7", &["a", "EU", "7"]);
    check_refused(&several, "s=a/Region=b", "its path has 2 parts, for 3 keys (s, Region, i)");
    let keys: Vec<_> = several.keys().iter().map(|key| (key.name.as_str(), key.type_text.as_str())).collect();
    assert_eq!(keys, [("s", "string"), ("region", "string"), ("i", "int")]);
}

#[test]
fn values_are_read_from_plain_paths() {
    let one = scheme(&spelled(&["s"], false, false));
    check(&one, "EU", &["EU"]);
    check(&one, "2023/04/03/12", &["2023/04/03/12"]);
    check(&one, "a%2Fb", &["a%2Fb"]);
    check(&one, "s=named", &["named"]);
    let encoded = scheme(&spelled(&["s"], false, true));
    check(&encoded, "a%2Fb", &["a/b"]);
    check(&encoded, "100%", &["100%"]);
    let several = scheme(&spelled(&["s", "i"], false, false));
    check(&several, "EU/2024", &["EU", "2024"]);
    check_refused(&several, "EU", "its path has 1 parts, for 2 keys (s, i)");
}

#[test]
fn a_day_of_three_folders_is_one_value_if_asked_for() {
    let settings = SyncSettings { partition_values: PartitionValues::SlashEncodedDay, ..SyncSettings::new("db") };
    let days = PartitionScheme::of(&spelled(&["s"], false, false), &all_types(), &settings).unwrap();
    check(&days, "2024/02/29", &["2024-02-29"]);
    check(&days, "y=2024/m=02/d=28", &["2024-02-28"]);
    check_refused(&days, "2024/02/30", "no day as yyyy/mm/dd");
    check_refused(&days, "2024-02-28", "no day as yyyy/mm/dd");
    let two = PartitionScheme::of(&spelled(&["s", "i"], false, false), &all_types(), &settings).unwrap_err();
    assert!(two.to_string().contains("one partition column"), "{two}");
    let settings = SyncSettings { partition_values: PartitionValues::AsInPath, ..SyncSettings::new("db") };
    let raw = PartitionScheme::of(&spelled(&["s"], true, true), &all_types(), &settings).unwrap();
    check(&raw, "s=a%2Fb", &["a%2Fb"]);
}

#[test]
fn a_key_has_a_type_that_takes_its_paths() {
    for (column, expect, good, bad) in [
        ("s", "string", "anything", ""),
        ("i", "int", "-2147483648", "2147483648"),
        ("l", "bigint", "9223372036854775807", "2023-11-14"),
        ("d", "date", "2024-02-29", "2023-02-29"),
        ("d", "date", "0001-01-01", "19675"),
        ("b", "boolean", "true", "yes"),
        ("ts", "string", "1700000000000000", ""),
        ("dec", "string", "1E+3", ""),
        ("absent", "string", "x", ""),
    ] {
        let one = scheme(&spelled(&[column], true, true));
        assert_eq!(one.keys()[0].type_text, expect, "{column}");
        check(&one, &format!("{column}={good}"), &[good]);
        check(&one, &format!("{column}=__HIVE_DEFAULT_PARTITION__"), &["__HIVE_DEFAULT_PARTITION__"]);
        if !bad.is_empty() {
            check_refused(&one, &format!("{column}={bad}"), "breaks every query of the table");
        }
    }
    let other = table_of(
        |new| new.key_generator = KeyGenerator::Other("org.apache.hudi.keygen.TimestampBasedKeyGenerator".to_owned()),
        &["l"],
    );
    assert_eq!(scheme(&other).keys()[0].type_text, "string", "such paths are not the column's values");
}

#[test]
fn a_chosen_type_counts_and_must_be_one() {
    let chosen = |text: &str| {
        let mut settings = SyncSettings::new("db");
        settings.key_types.insert("dec".to_owned(), text.to_owned());
        PartitionScheme::of(&spelled(&["dec"], true, true), &all_types(), &settings)
    };
    let decimal = chosen("Decimal(10,2)").unwrap();
    check(&decimal, "dec=12345678.90", &["12345678.90"]);
    check(&decimal, "dec=-0.5", &["-0.5"]);
    for bad in ["123456789", "1.234", "1E+3", "1.", ".5", "x"] {
        check_refused(&decimal, &format!("dec={bad}"), "is no decimal(10,2)");
    }
    let moment = chosen("timestamp").unwrap();
    check(&moment, "dec=2024-01-01 23%3A59%3A59.123", &["2024-01-01 23:59:59.123"]);
    check_refused(&moment, "dec=2024-01-01", "is no timestamp");
    assert!(chosen("array<int>").unwrap_err().to_string().contains("want string, varchar(n)"));
    let mut settings = SyncSettings::new("db");
    settings.key_types.insert("other".to_owned(), "string".to_owned());
    let error = PartitionScheme::of(&spelled(&["dec"], true, true), &all_types(), &settings).unwrap_err();
    assert!(error.to_string().contains("want one of (dec)"), "{error}");
}

#[test]
fn the_window_is_what_completed_since() {
    let at = |ms| InstantTime::from_millis(ms);
    let done = |ms| Instant::requested(at(ms), Action::Commit).completed(None);
    let timeline = |instants: &[Instant]| Timeline::from_instants(TimelineLayout::V1, instants.iter().copied());
    let writes = |timeline: &Timeline, synced, pending: &[InstantTime]| match window(timeline, synced, pending) {
        Window::Writes(writes) => Some(writes.iter().filter_map(|i| i.time.to_millis()).collect::<Vec<_>>()),
        _ => None,
    };
    let three = timeline(&[done(1), done(2), done(3)]);
    assert_eq!(window(&three, None, &[]), Window::All);
    assert_eq!(writes(&three, Some(at(1)), &[]), Some(vec![2, 3]));
    assert_eq!(writes(&three, Some(at(3)), &[]), Some(vec![]));
    assert_eq!(writes(&three, Some(at(3)), &[at(2)]), Some(vec![2]), "it was pending then");
    assert_eq!(writes(&three, Some(at(3)), &[at(9)]), Some(vec![]), "it was rolled back since");
    assert_eq!(window(&timeline(&[done(2), done(3)]), Some(at(1)), &[]), Window::All, "it was archived");
    assert_eq!(window(&three, Some(at(4)), &[]), Window::Behind);
    let restored = Instant::requested(at(5), Action::Restore).completed(None);
    assert_eq!(window(&timeline(&[done(1), restored]), Some(at(4)), &[]), Window::All);
    let rolled_back = Instant::requested(at(5), Action::Rollback).completed(None);
    assert_eq!(window(&timeline(&[done(1), rolled_back]), Some(at(4)), &[]), Window::All);
}

#[tokio::test(start_paused = true)]
async fn partitions_have_the_whole_storage_descriptor_of_the_table() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, ["dt=a%2Fb"]);
    world.sync(&table).await;
    let partitions = world.glue.partitions(&id("orders"));
    assert_eq!(partitions[0].values, ["a/b"]);
    let storage = &partitions[0].storage;
    assert_eq!(storage.location.as_deref(), Some("s3://bucket/orders/dt=a%2Fb"));
    let of_table = world.table("orders").storage;
    assert_eq!(storage.columns, of_table.columns);
    assert_eq!(storage.input_format, of_table.input_format);
    assert_eq!(storage.output_format, of_table.output_format);
    assert_eq!(storage.serde, of_table.serde);
    assert!(partitions[0].parameters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn places_are_never_s3a() {
    let world = World::new();
    let mut table = orders();
    table.set_location("s3a://bucket/orders/");
    table.write(1000, ["dt=a", "dt=b"]);
    world.sync(&table).await;
    assert_eq!(world.table("orders").storage.location.as_deref(), Some(BASE));
    // Somebody else's sync, as Athena answers no rows from.
    let s3a = |text: &str| Some(text.replace("s3://", "s3a://"));
    world.glue.edit(&id("orders"), |t| t.storage.location = s3a(BASE));
    world.glue.edit_partition(&id("orders"), &["a"], |p| {
        let mut p = p.unwrap();
        p.storage.location = s3a("s3://bucket/orders/dt=a");
        Some(p)
    });
    let reports = world.sync(&table).await;
    assert_eq!((reports[0].added, reports[0].updated), (0, 1));
    assert_eq!(world.table("orders").storage.location.as_deref(), Some(BASE));
    assert_eq!(world.places("orders")[0].1, "s3://bucket/orders/dt=a");
    let mut elsewhere = orders();
    elsewhere.set_location("file:///tmp/orders");
    elsewhere.write(1000, ["dt=a"]);
    assert_eq!(world.refused(&elsewhere).await, "location = `file:///tmp/orders`: want s3://BUCKET/PREFIX");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_cannot_be_is_refused_before_anything_is_written() {
    let world = World::new();
    let mut table = FakeTable::new(BASE, properties("orders", &["i"]), all_types());
    table.write(1000, ["i=1", "i=2023-11-14"]);
    let error = world.refused(&table).await;
    assert!(error.starts_with("table db.orders, partition `i=2023-11-14`: `2023-11-14` is no int"), "{error}");
    assert_eq!(world.glue.writes(), 0);
    let mut table = FakeTable::new(BASE, spelled(&["s"], true, true), all_types());
    table.write(1000, ["s=%41", "s=A"]);
    let error = world.refused(&table).await;
    assert!(error.contains("its values (A) are those of `s=%41`"), "{error}");
    assert_eq!(world.glue.writes(), 0);
    // It is gone again, and never was in Glue.
    let mut cured = FakeTable::new(BASE, properties("cured", &["i"]), all_types());
    cured.write(1000, ["i=1"]);
    world.sync(&cured).await;
    cured.write(2000, ["i=2023-11-14", "i=2"]);
    cured.delete_partitions(3000, &["i=2023-11-14"]);
    world.sync(&cured).await;
    assert_eq!(world.values("cured"), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn the_types_of_keys_that_glue_has_stay_if_the_values_fit() {
    let world = World::new();
    let mut table = FakeTable::new(BASE, properties("t", &["d"]), all_types());
    table.write(1000, ["d=2024-01-01"]);
    world.sync(&table).await;
    world.glue.edit_partition(&id("t"), &["2024-01-01"], |_| None);
    world.glue.edit(&id("t"), |t| t.partition_keys[0].type_text = "string".to_owned());
    table.write(2000, ["d=19675"]);
    world.sync(&table).await;
    assert_eq!(world.table("t").partition_keys[0].type_text, "string");
    assert_eq!(world.values("t"), ["19675"]);
    let mut chosen = World::new();
    chosen.glue.add_database(None, "db");
    chosen.settings.key_types.insert("d".to_owned(), "string".to_owned());
    let mut table = FakeTable::new(BASE, properties("t", &["d"]), all_types());
    table.write(1000, ["d=19675"]);
    chosen.sync(&table).await;
    assert_eq!(chosen.values("t"), ["19675"]);
    chosen.settings.key_types.insert("d".to_owned(), "bigint".to_owned());
    let error = chosen.refused(&table).await;
    assert!(error.contains("partitioned by (d string) in Glue, and the table that is synced by (d bigint)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn partitions_without_data_are_dropped_and_come_back() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..3));
    world.sync(&table).await;
    table.delete_partitions(2000, &["dt=day-00001"]);
    world.sync(&table).await;
    assert_eq!(world.values("orders"), ["day-00000", "day-00002"]);
    table.delete_partitions(3000, &["dt=day-00000"]);
    table.write(4000, days(0..1));
    table.write(4500, days(7..8));
    table.delete_partitions(5000, &["dt=day-00007"]);
    world.sync(&table).await;
    assert_eq!(world.values("orders"), ["day-00000", "day-00002"]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_which_some_files_are_replaced_stays() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..3));
    world.sync(&table).await;
    table.replace_some_files(2000, &["dt=day-00001"]);
    world.sync(&table).await;
    assert_eq!(world.values("orders"), ["day-00000", "day-00001", "day-00002"]);
    assert_eq!(table.lists(), 2, "the commit alone does not tell");
}

#[tokio::test(start_paused = true)]
async fn what_a_process_knows_does_not_hide_what_another_dropped() {
    let world = World::new();
    let mut table = orders();
    let process = world.process();
    table.write(1000, days(0..2));
    process.sync(&table, &world.settings).await.unwrap();
    table.delete_partitions(2000, &["dt=day-00000"]);
    world.sync(&table).await;
    table.write(3000, days(0..1));
    process.sync(&table, &world.settings).await.unwrap();
    assert_eq!(world.values("orders"), ["day-00000", "day-00001"]);
    table.delete_partitions(4000, &["dt=day-00001"]);
    process.sync(&table, &world.settings).await.unwrap();
    table.write(5000, days(1..2));
    process.sync(&table, &world.settings).await.unwrap();
    assert_eq!(world.values("orders"), ["day-00000", "day-00001"]);
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_comes_after_the_archive_compares_everything() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..3));
    world.sync(&table).await;
    table.write(2000, days(3..4));
    table.delete_partitions(3000, &["dt=day-00000"]);
    table.write(4000, days(4..5));
    table.archive_before(4000);
    world.glue.forget_calls();
    let reports = world.sync(&table).await;
    assert_eq!((reports[0].added, reports[0].dropped), (2, 1));
    assert_eq!(world.values("orders"), ["day-00001", "day-00002", "day-00003", "day-00004"]);
    world.glue.forget_calls();
    world.sync(&table).await;
    assert_eq!(world.glue.calls(), ["GetTable"]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_completes_late_is_not_missed() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    table.begin(2000);
    table.write(3000, days(1..2));
    world.sync(&table).await;
    assert_eq!(world.table("orders").parameters["glue_catalog.pending_instants"], "19700101000002000");
    world.glue.forget_calls();
    world.sync(&table).await;
    assert_eq!(world.glue.calls(), ["GetTable"]);
    table.write(2000, days(5..6));
    world.sync(&table).await;
    assert_eq!(world.values("orders"), ["day-00000", "day-00001", "day-00005"]);
    assert!(!world.table("orders").parameters.contains_key("glue_catalog.pending_instants"));
    assert_eq!(stamp(&world.table("orders")), Some("19700101000003000"));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_was_set_back_is_compared_once() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    table.write(2000, days(1..2));
    world.sync(&table).await;
    table.restore(3000, 1000, &["dt=day-00000"]);
    world.sync(&table).await;
    assert_eq!(world.values("orders"), ["day-00000"]);
    assert_eq!(stamp(&world.table("orders")), Some("19700101000001000"));
    world.glue.forget_calls();
    assert_eq!(outcome(&world.sync(&table).await), &Outcome::Unchanged);
    assert_eq!(world.glue.calls(), ["GetTable"]);
}

#[tokio::test(start_paused = true)]
async fn partitions_that_another_sync_left_undecoded_are_replaced() {
    let mut world = World::new();
    world.settings.partition_values = PartitionValues::AsInPath;
    let mut table = orders();
    table.write(1000, ["dt=a%2Fb", "dt=c"]);
    world.sync(&table).await;
    assert_eq!(world.values("orders"), ["a%2Fb", "c"]);
    // As Hudi's own sync leaves it: nothing tells how the values were made.
    world.glue.edit(&id("orders"), |t| drop(t.parameters.remove("glue_catalog.partition_values")));
    world.settings.partition_values = PartitionValues::Decoded;
    let reports = world.sync(&table).await;
    assert_eq!((reports[0].added, reports[0].updated, reports[0].dropped), (1, 0, 1));
    assert_eq!(world.values("orders"), ["a/b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_registered_before_the_first_data() {
    let world = World::new();
    let mut table = orders();
    assert_eq!(world.sync(&table).await, []);
    table.write(1000, Vec::<String>::new());
    assert_eq!(outcome(&world.sync(&table).await), &Outcome::NothingYet);
    let columns = crate::world::columns();
    table.set_columns(None);
    assert_eq!(world.sync(&table).await, []);
    assert_eq!(world.glue.writes(), 0);
    table.set_columns(Some(columns));
    table.write(2000, days(0..1));
    assert_eq!(outcome(&world.sync(&table).await), &Outcome::Synced);
}
