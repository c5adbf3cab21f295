//! A sync that dies at any call, before or after it was carried out: the next one leaves what an undisturbed one leaves.

use arrow::datatypes::{DataType, Schema};
use glue_catalog::settings::PartitionValues;
use glue_catalog::testing::{FakeTable, Fault};
use glue_catalog::{Error, SyncSettings};

use crate::world::{BASE, World, columns, days, field, id, merge_on_read, orders, properties};

/// Syncs `before` undisturbed, then `after` by a process that dies at every one of its calls, and once more.
async fn check(before: Option<&FakeTable>, after: &FakeTable, settings: &SyncSettings) -> usize {
    let world = || async {
        let mut world = World::new();
        world.settings = SyncSettings { recreate: false, full: false, ..settings.clone() };
        if let Some(before) = before {
            world.sync(before).await;
            world.glue.edit(&id("orders"), |t| t.description = Some("mine".to_owned()));
        }
        world.settings = settings.clone();
        world.glue.forget_calls();
        world
    };
    let undisturbed = world().await;
    undisturbed.sync(after).await;
    let (expected, calls) = (undisturbed.content(), undisturbed.glue.calls().len());
    for call in 1..=calls {
        for carried_out in [false, true] {
            let world = world().await;
            world.glue.add_fault(Fault::DiesAt { call, carried_out });
            world.process().sync(after, &world.settings).await.unwrap_err();
            world.glue.clear_faults();
            world.sync(after).await;
            let content = world.content();
            assert_eq!(content.len(), expected.len(), "died at call {call}, carried out: {carried_out}");
            for (found, expected) in content.iter().zip(&expected) {
                assert_eq!(found, expected, "died at call {call}, carried out: {carried_out}");
            }
            world.glue.forget_calls();
            world.sync(after).await;
            assert_eq!(world.glue.writes(), 0, "died at call {call}, carried out: {carried_out}");
        }
    }
    calls
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_dies_anywhere() {
    let mut table = orders();
    table.write(1000, days(0..450));
    assert_eq!(check(None, &table, &SyncSettings::new("db")).await, 9);
    assert_eq!(check(None, &table, &SyncSettings::new("new_database")).await, 11);
}

#[tokio::test(start_paused = true)]
async fn a_first_sync_of_three_tables_dies_anywhere() {
    let mut table = FakeTable::new(BASE, merge_on_read("orders", &["dt"]), columns());
    table.write(1000, days(0..150));
    let settings = SyncSettings { partition_indexes: vec![vec!["dt".to_owned()]], ..SyncSettings::new("db") };
    assert_eq!(check(None, &table, &settings).await, 18);
}

#[tokio::test(start_paused = true)]
async fn a_sync_of_all_kinds_of_change_dies_anywhere() {
    let with = |data_type: DataType| {
        Schema::new(vec![field("id", DataType::Int64), field("n", data_type), field("dt", DataType::Utf8)])
    };
    let mut before = FakeTable::new(BASE, properties("orders", &["dt"]), with(DataType::Int32));
    before.write(1000, days(0..150));
    let mut after = before.clone();
    after.set_columns(Some(with(DataType::Int64)));
    after.write(2000, days(100..260));
    let gone = days(0..30);
    after.delete_partitions(3000, &gone.iter().map(String::as_str).collect::<Vec<_>>());
    let settings = SyncSettings { partition_indexes: vec![vec!["dt".to_owned()]], ..SyncSettings::new("db") };
    assert_eq!(check(Some(&before), &after, &settings).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_comparison_of_everything_dies_anywhere() {
    let mut before = orders();
    before.write(1000, ["dt=a%2Fb", "dt=c", "dt=d"]);
    let mut after = before.clone();
    after.write(2000, ["dt=e"]);
    let settings = SyncSettings { full: true, partition_values: PartitionValues::AsInPath, ..SyncSettings::new("db") };
    let calls = check(Some(&before), &after, &settings).await;
    assert!(calls >= 3, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_made_anew_dies_anywhere() {
    let mut before = orders();
    before.write(1000, days(0..3));
    let mut after = FakeTable::new("s3://bucket/b", properties("orders", &["dt"]), columns());
    after.write(2000, days(2..5));
    let settings = SyncSettings { recreate: true, ..SyncSettings::new("db") };
    let mut world = World::new();
    world.settings = settings;
    world.sync(&before).await;
    world.sync(&after).await;
    let (expected, calls) = (world.content(), 6);
    for call in 1..=calls {
        for carried_out in [false, true] {
            world.sync(&before).await;
            world.glue.forget_calls();
            world.glue.add_fault(Fault::DiesAt { call, carried_out });
            world.process().sync(&after, &world.settings).await.unwrap_err();
            world.glue.clear_faults();
            world.sync(&after).await;
            assert_eq!(world.content(), expected, "died at call {call}, carried out: {carried_out}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_are_asked_for_again() {
    for operation in ["GetTable", "CreateTable", "CreateDatabase", "BatchCreatePartition", "UpdateTable"] {
        for carried_out in [false, true] {
            for code in ["OperationTimeoutException", "InternalServiceException", "ThrottlingException"] {
                let mut world = World::new();
                world.settings.database = "new".to_owned();
                let mut table = orders();
                table.write(1000, days(0..250));
                world.glue.add_fault(Fault::Fails { operation, code, times: 2, carried_out });
                world.sync(&table).await;
                let ids = world.glue.tables();
                assert_eq!(world.glue.partitions(&ids[0]).len(), 250, "{operation} {code}");
                world.glue.forget_calls();
                world.sync(&table).await;
                assert_eq!(world.glue.calls(), ["GetTable"], "{operation} {code}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn partitions_that_fail_alone_are_tried_again_or_told_of() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..150));
    let values = vec!["day-00120".to_owned()];
    let fault = |code, times| Fault::PartitionFails { values: values.clone(), code, times };
    world.glue.add_fault(fault("InternalServiceException", 2));
    world.sync(&table).await;
    assert_eq!(world.values("orders").len(), 150);
    table.delete_partitions(2000, &["dt=day-00120"]);
    world.glue.add_fault(fault("ThrottlingException", 3));
    world.sync(&table).await;
    assert_eq!(world.values("orders").len(), 149);
    table.write(3000, days(120..121));
    world.glue.add_fault(fault("AccessDeniedException", 1));
    let error = world.process().sync(&table, &world.settings).await.unwrap_err();
    assert!(matches!(error, Error::Catalog { .. }));
    assert_eq!(
        error.to_string(),
        "table db.orders: BatchCreatePartition: AccessDeniedException: partition (day-00120): told to fail"
    );
    world.sync(&table).await;
    assert_eq!(world.values("orders").len(), 150);
}

#[tokio::test(start_paused = true)]
async fn what_no_other_try_would_cure_is_told_at_once() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    let code = "AccessDeniedException";
    world.glue.add_fault(Fault::Fails { operation: "CreateTable", code, times: 1, carried_out: false });
    let error = world.refused(&table).await;
    assert_eq!(error, "table db.orders: CreateTable: AccessDeniedException: told to fail");
    assert_eq!(world.glue.calls(), ["GetTable", "CreateTable"]);
}
