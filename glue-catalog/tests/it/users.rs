//! What users made of Glue's table stays, what is ours is put right, and what is not ours is left alone.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};
use glue_catalog::difference::needs_cascade;
use glue_catalog::model::Table;
use glue_catalog::plan::Warning;
use glue_catalog::testing::FakeTable;
use glue_catalog::types::Column;
use glue_catalog::{Outcome, SyncSettings};

use crate::world::{BASE, World, columns, days, field, id, orders, outcome, properties, stamp};

/// Everything that a user can say of a table.
fn decorate(table: &mut Table) {
    table.description = Some("what was ordered".to_owned());
    table.owner = Some("sales".to_owned());
    table.retention = Some(7);
    table.last_access_ms = Some(1);
    table.parameters.insert("classification".to_owned(), "parquet".to_owned());
    table.storage.parameters.insert("cost-center".to_owned(), "42".to_owned());
    table.storage.sort_columns = vec![("id".to_owned(), 1)];
    table.storage.serde.as_mut().unwrap().name = Some("mine".to_owned());
    table.storage.serde.as_mut().unwrap().parameters.insert("own".to_owned(), "yes".to_owned());
    table.partition_keys[0].comment = Some("the day".to_owned());
    let mut columns = table.storage.columns.to_vec();
    columns[5].comment = Some("the number".to_owned());
    columns[5].parameters.insert("pii".to_owned(), "no".to_owned());
    table.storage.columns = columns.into();
}

#[tokio::test(start_paused = true)]
async fn what_users_say_stays() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    world.sync(&table).await;
    world.glue.edit(&id("orders"), decorate);
    world.glue.edit_partition(&id("orders"), &["day-00000"], |p| {
        let mut p = p.unwrap();
        p.parameters.insert("checked".to_owned(), "yes".to_owned());
        Some(p)
    });
    let decorated = world.table("orders");
    world.glue.forget_calls();
    assert_eq!(outcome(&world.sync(&table).await), &Outcome::Unchanged);
    assert_eq!(world.glue.writes(), 0, "a user's words are no difference");
    let mut more: Vec<_> = columns().fields().iter().map(|f| f.as_ref().clone()).collect();
    more.push(field("amount", DataType::Float64));
    table.set_columns(Some(Schema::new(more)));
    table.write(2000, days(0..2));
    world.sync(&table).await;
    let mut expected = decorated;
    let mut columns = expected.storage.columns.to_vec();
    columns.push(Column::new("amount", "double"));
    expected.storage.columns = columns.into();
    let found = world.table("orders");
    expected.parameters.clone_from(&found.parameters);
    assert_eq!(found, expected);
    assert_eq!(found.parameters["classification"], "parquet");
    assert_eq!(stamp(&found), Some("19700101000002000"));
    assert_eq!(world.glue.partitions(&id("orders"))[0].parameters["checked"], "yes");
}

#[tokio::test(start_paused = true)]
async fn what_is_ours_is_put_right() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    world.sync(&table).await;
    let good = world.content();
    world.glue.edit(&id("orders"), |t| {
        t.table_type = None;
        t.parameters.insert("hudi.metadata-listing-enabled".to_owned(), "TRUE".to_owned());
        t.parameters.remove("spark.sql.sources.provider");
        t.parameters.insert("spark.sql.sources.schema.part.7".to_owned(), "left over".to_owned());
        t.storage.output_format = None;
        t.storage.serde.as_mut().unwrap().parameters.clear();
        let mut columns = t.storage.columns.to_vec();
        columns[6].type_text = "int".to_owned();
        columns.swap(0, 5);
        columns.push(Column::new("gone", "string"));
        t.storage.columns = columns.into();
    });
    let reports = world.sync(&table).await;
    assert_eq!(world.content(), good);
    let changes: Vec<String> = reports[0].changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "change column name from int to string",
            "remove column gone",
            "put columns in order",
            "set table type to `EXTERNAL_TABLE`",
            "set output format to `org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat`",
            "set SerDe parameter hoodie.query.as.ro.table to `false`",
            "set SerDe parameter path to `s3://bucket/orders`",
            "set SerDe parameter serialization.format to `1`",
            "set parameter hudi.metadata-listing-enabled from `TRUE` to `FALSE`",
            "set parameter spark.sql.sources.provider to `hudi`",
            "remove parameter spark.sql.sources.schema.part.7",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_as_plain_parquet_is_made_one_of_hudi_with_its_partitions() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..3));
    world.sync(&table).await;
    let good = world.content();
    let parquet = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat";
    world.glue.edit(&id("orders"), |t| t.storage.input_format = Some(parquet.to_owned()));
    for day in ["day-00000", "day-00001"] {
        world.glue.edit_partition(&id("orders"), &[day], |p| {
            let mut p = p.unwrap();
            p.storage.input_format = Some(parquet.to_owned());
            Some(p)
        });
    }
    world.glue.edit_partition(&id("orders"), &["day-00002"], |p| {
        let mut p = p.unwrap();
        let mut columns = p.storage.columns.to_vec();
        columns[5].type_text = "string".to_owned();
        p.storage.columns = columns.into();
        Some(p)
    });
    let reports = world.sync(&table).await;
    assert_eq!(reports[0].updated, 3, "the class of two, a type of the third");
    assert_eq!(world.content(), good);
}

#[tokio::test(start_paused = true)]
async fn another_place_is_an_error_unless_told_to_recreate() {
    let mut world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    world.sync(&table).await;
    world.glue.edit(&id("orders"), decorate);
    let mut moved = orders();
    moved.set_location("s3://bucket/elsewhere");
    moved.write(2000, days(3..4));
    let before = world.content();
    let error = world.refused(&moved).await;
    let expect =
        "table db.orders is at s3://bucket/orders in Glue, and the table that is synced at s3://bucket/elsewhere";
    assert!(error.starts_with(expect), "{error}");
    assert_eq!(world.content(), before);
    world.settings.recreate = true;
    world.sync(&moved).await;
    let places = [("day-00003".to_owned(), "s3://bucket/elsewhere/dt=day-00003".to_owned())];
    assert_eq!(world.places("orders"), places);
    let found = world.table("orders");
    assert_eq!(found.storage.location.as_deref(), Some("s3://bucket/elsewhere"));
    assert_eq!((found.description.as_deref(), found.owner.as_deref()), (Some("what was ordered"), Some("sales")));
    assert_eq!(found.storage.columns[5].comment.as_deref(), Some("the number"));
    assert_eq!(stamp(&found), Some("19700101000002000"));
    world.glue.forget_calls();
    world.sync(&moved).await;
    assert_eq!(world.glue.calls(), ["GetTable"]);
}

#[tokio::test(start_paused = true)]
async fn other_partition_keys_are_an_error_unless_told_to_recreate() {
    let mut world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    world.sync(&table).await;
    let mut other = FakeTable::new(BASE, properties("orders", &["name"]), columns());
    other.write(2000, ["name=x"]);
    let error = world.refused(&other).await;
    assert!(error.contains("partitioned by (dt) in Glue, and the table that is synced by (name)"), "{error}");
    world.settings.recreate = true;
    world.sync(&other).await;
    assert_eq!(world.values("orders"), ["x"]);
    assert_eq!(world.table("orders").partition_keys[0].name, "name");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_table_of_files_is_left_alone() {
    for (edit, what) in [
        ((|t| t.target = Some("other.orders".to_owned())) as fn(&mut Table), "a link to other.orders"),
        (|t| t.table_type = Some("VIRTUAL_VIEW".to_owned()), "of type VIRTUAL_VIEW"),
        (|t| drop(t.parameters.insert("table_type".to_owned(), "ICEBERG".to_owned())), "a table of format ICEBERG"),
    ] {
        let mut world = World::new();
        world.settings.recreate = true;
        let mut table = orders();
        table.write(1000, days(0..1));
        world.sync(&table).await;
        world.glue.edit(&id("orders"), edit);
        world.glue.forget_calls();
        let error = world.refused(&table).await;
        assert!(error.starts_with(&format!("table db.orders is {what} in Glue")), "{error}");
        assert_eq!(world.glue.writes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn projection_that_somebody_switched_on_is_told_of() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    world.sync(&table).await;
    world.glue.edit(&id("orders"), |t| drop(t.parameters.insert("projection.enabled".to_owned(), "true".to_owned())));
    let reports = world.sync(&table).await;
    assert_eq!(reports[0].warnings, [Warning::PartitionProjection]);
    assert_eq!(world.table("orders").parameters["projection.enabled"], "true");
}

#[tokio::test(start_paused = true)]
async fn a_slash_at_the_end_is_no_other_place() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    world.sync(&table).await;
    world.glue.edit(&id("orders"), |t| t.storage.location = Some(format!("{BASE}/")));
    assert_eq!(outcome(&world.sync(&table).await), &Outcome::Unchanged);
}

fn of(types: &[&str]) -> Vec<Column> {
    types.iter().enumerate().map(|(n, text)| Column::new(format!("c{n}"), *text)).collect()
}

#[test]
fn partitions_follow_only_what_athena_refuses_otherwise() {
    for (from, to, expect) in [
        (&["int"][..], &["int"][..], false),
        (&["int"], &["int", "string"], false),
        (&["int", "string"], &["int"], false),
        (&["int"], &["bigint"], true),
        (&["float"], &["double"], true),
        (&["struct<a:int>"], &["struct<a:int,b:string>"], false),
        (&["struct<a:int,b:string>"], &["struct<a:int,x:int,b:string>"], true),
        (&["struct<a:int,b:string>"], &["struct<a:int>"], true),
        (&["struct<a:struct<x:int>>"], &["struct<a:struct<x:int,y:map<string,decimal(9,2)>>,b:date>"], false),
        (&["struct<a:struct<x:int>,b:date>"], &["struct<a:struct<y:int,x:int>,b:date>"], true),
        (&["array<struct<a:int>>"], &["array<struct<a:int,b:int>>"], true),
        (&["string", "int"], &["string", "int"], false),
    ] {
        assert_eq!(needs_cascade(&of(from), &of(to)), expect, "{from:?} to {to:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wider_type_reaches_every_partition_and_moves_none() {
    let world = World::new();
    let with = |data_type: DataType| {
        Schema::new(vec![field("id", DataType::Int64), field("n", data_type), field("dt", DataType::Utf8)])
    };
    let mut table = FakeTable::new(BASE, properties("orders", &["dt"]), with(DataType::Int32));
    table.write(1000, days(0..230));
    world.sync(&table).await;
    // Where a partition is that somebody put elsewhere is not the business of types.
    world.glue.edit_partition(&id("orders"), &["day-00003"], |p| {
        let mut p = p.unwrap();
        p.storage.location = Some("s3://bucket/moved".to_owned());
        p.parameters.insert("own".to_owned(), "yes".to_owned());
        Some(p)
    });
    table.set_columns(Some(with(DataType::Int64)));
    table.write(2000, days(229..231));
    world.glue.forget_calls();
    let reports = world.sync(&table).await;
    assert_eq!((reports[0].added, reports[0].updated), (1, 230));
    for partition in world.glue.partitions(&id("orders")) {
        assert_eq!(partition.storage.columns[6].type_text, "bigint", "{:?}", partition.values);
    }
    let moved = &world.glue.partitions(&id("orders"))[3];
    assert_eq!(moved.storage.location.as_deref(), Some("s3://bucket/moved"));
    assert_eq!(moved.parameters["own"], "yes");
    let calls = world.glue.calls();
    assert_eq!(calls.iter().filter(|call| **call == "BatchUpdatePartition").count(), 3);
    assert_eq!(table.lists(), 1, "the table itself is not listed for it");
    let mut more: Vec<_> = with(DataType::Int64).fields().iter().map(|f| f.as_ref().clone()).collect();
    more.push(field("x", DataType::Utf8));
    table.set_columns(Some(Schema::new(more)));
    table.write(3000, days(0..1));
    let reports = world.sync(&table).await;
    assert_eq!(reports[0].updated, 0, "a column more needs no partition");
}

#[tokio::test(start_paused = true)]
async fn indexes_are_made_once() {
    let mut world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    world.settings.partition_indexes = vec![vec!["dt".to_owned()]];
    world.sync(&table).await;
    assert_eq!(world.glue.indexes(&id("orders")).len(), 1);
    assert_eq!(world.glue.indexes(&id("orders"))[0].name, "hudi_managed_[dt]");
    world.glue.forget_calls();
    world.sync(&table).await;
    assert_eq!(world.glue.calls(), ["GetTable"]);
    // Asked for later, of a table that is there.
    let mut world = World::new();
    world.sync(&table).await;
    world.settings.partition_indexes = vec![vec!["dt".to_owned()]];
    world.glue.forget_calls();
    world.sync(&table).await;
    assert_eq!(world.glue.calls(), ["GetTable", "GetPartitionIndexes", "CreatePartitionIndex", "UpdateTable"]);
    world.glue.forget_calls();
    world.sync(&table).await;
    assert_eq!(world.glue.calls(), ["GetTable"]);
}

#[tokio::test(start_paused = true)]
async fn catalogs_and_databases_are_each_tables_own() {
    let mut world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    world.settings = SyncSettings { catalog_id: Some("123456789012".to_owned()), ..SyncSettings::new("Shop") };
    world.settings.parameters = BTreeMap::from([("team".to_owned(), "sales".to_owned())]);
    world.settings.create_database = false;
    let error = world.refused(&table).await;
    assert!(error.contains("CreateTable: EntityNotFoundException"), "{error}");
    world.settings.create_database = true;
    world.sync(&table).await;
    let ids = world.glue.tables();
    assert_eq!(ids.len(), 1);
    assert_eq!(ids[0].to_string(), "123456789012.shop.orders");
    assert_eq!(world.glue.table(&ids[0]).unwrap().parameters["team"], "sales");
    assert_eq!(world.glue.partitions(&ids[0]).len(), 1);
    world.settings.skip_archive = false;
    table.write(2000, days(1..2));
    world.sync(&table).await;
    assert_eq!(world.glue.archived(), 1);
}
