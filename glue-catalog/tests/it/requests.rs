//! How many calls a sync takes, and how long it takes where each answer does.

use glue_catalog::Outcome;
use glue_catalog::clock::Clock;
use glue_catalog::settings::Stamping;
use glue_catalog::testing::Limits;

use crate::world::{World, days, id, orders, outcome, stamp};

fn count(calls: &[&str], name: &str) -> usize {
    calls.iter().filter(|call| **call == name).count()
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_partitions_come_at_a_thousand_a_second_and_more() {
    let world = World::new();
    world.glue.set_limits(Limits { latency_ms: 20, ..Limits::default() });
    let mut table = orders();
    table.write(1000, days(0..10_000));
    let began = world.clock.now_ms();
    let reports = world.sync(&table).await;
    let took_ms = world.clock.now_ms() - began;
    assert_eq!(reports[0].added, 10_000);
    assert_eq!(world.values("orders").len(), 10_000);
    let calls = world.glue.calls();
    assert_eq!(count(&calls, "BatchCreatePartition"), 100);
    assert_eq!(calls.len(), 104, "GetTable, CreateTable, GetTable and UpdateTable besides");
    assert!(took_ms <= 10_000, "{took_ms} ms");
    assert!(took_ms < 700, "four calls at once: {took_ms} ms");
}

#[tokio::test(start_paused = true)]
async fn three_new_partitions_take_three_calls() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..10_000));
    world.sync(&table).await;
    table.write(2000, days(10_000..10_003));
    world.glue.forget_calls();
    let reports = world.sync(&table).await;
    assert_eq!(reports[0].added, 3);
    assert_eq!(world.glue.calls(), ["GetTable", "BatchCreatePartition", "UpdateTable"]);
    assert_eq!((table.lists(), table.commits_read()), (1, 1), "the table is listed for the first sync only");
    assert_eq!(world.values("orders").len(), 10_003);
}

#[tokio::test(start_paused = true)]
async fn nothing_changed_takes_one_read_and_no_write() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..3));
    world.sync(&table).await;
    world.glue.forget_calls();
    assert_eq!(outcome(&world.sync(&table).await), &Outcome::Unchanged);
    assert_eq!(world.glue.calls(), ["GetTable"]);
    assert_eq!(world.glue.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn commits_to_partitions_that_this_process_saw_take_two_calls() {
    let world = World::new();
    let mut table = orders();
    let process = world.process();
    for at in 1..=3 {
        table.write(at * 1000, days(0..3));
        world.glue.forget_calls();
        process.sync(&table, &world.settings).await.unwrap();
    }
    assert_eq!(world.glue.calls(), ["GetTable", "UpdateTable"]);
    // Another process syncs in between: what this one knows may be gone.
    table.write(4000, days(3..4));
    world.sync(&table).await;
    table.write(5000, days(0..1));
    world.glue.forget_calls();
    process.sync(&table, &world.settings).await.unwrap();
    assert_eq!(world.glue.calls(), ["GetTable", "BatchCreatePartition", "BatchGetPartition", "UpdateTable"]);
}

#[tokio::test(start_paused = true)]
async fn a_lazy_stamp_moves_with_changes_and_before_it_is_archived() {
    let mut world = World::new();
    world.settings.stamping = Stamping::Lazy;
    let process = world.process();
    let mut table = orders();
    table.write(1000, days(0..3));
    process.sync(&table, &world.settings).await.unwrap();
    let mut updates = Vec::new();
    for at in 2..=9 {
        table.write(at * 1000, days(0..3));
        world.glue.forget_calls();
        process.sync(&table, &world.settings).await.unwrap();
        updates.push(world.glue.writes());
    }
    assert_eq!(updates, [1, 0, 1, 0, 0, 0, 1, 0], "when half of the commits are newer");
    table.write(10_000, days(3..4));
    process.sync(&table, &world.settings).await.unwrap();
    assert_eq!(stamp(&world.table("orders")), Some("19700101000010000"));
}

#[tokio::test(start_paused = true)]
async fn throttled_at_ten_calls_a_second_it_completes() {
    let world = World::new();
    world.glue.set_limits(Limits { latency_ms: 20, calls_per_second: Some(10), ..Limits::default() });
    let mut table = orders();
    table.write(1000, days(0..10_000));
    let began = world.clock.now_ms();
    world.sync(&table).await;
    let took_ms = world.clock.now_ms() - began;
    assert_eq!(world.values("orders").len(), 10_000);
    assert!(took_ms < 60_000, "104 calls at ten a second are eleven seconds at best: {took_ms} ms");
    let (calls, throttled) = (world.glue.calls().len(), world.glue.throttled());
    assert!(throttled > 0 && throttled * 3 < calls, "{throttled} of {calls} calls throttled");
}

#[tokio::test(start_paused = true)]
async fn deletes_go_by_twenty_five_and_lists_by_segments() {
    let mut world = World::new();
    let mut table = orders();
    table.write(1000, days(0..2500));
    world.sync(&table).await;
    let gone = days(0..60);
    table.delete_partitions(2000, &gone.iter().map(String::as_str).collect::<Vec<_>>());
    world.glue.forget_calls();
    let reports = world.sync(&table).await;
    assert_eq!(reports[0].dropped, 60);
    assert_eq!(count(&world.glue.calls(), "BatchDeletePartition"), 3);
    world.settings.full = true;
    world.glue.set_limits(Limits { page_size: 100, ..Limits::default() });
    world.glue.edit_partition(&id("orders"), &["day-02400"], |_| None);
    world.glue.forget_calls();
    let reports = world.sync(&table).await;
    assert_eq!((reports[0].added, reports[0].updated, reports[0].dropped), (1, 0, 0));
    let lists = count(&world.glue.calls(), "GetPartitions");
    assert!((25..=1 + 10 * 4).contains(&lists), "{lists} pages");
}

#[tokio::test(start_paused = true)]
async fn a_table_without_partitions_takes_two_calls() {
    let world = World::new();
    let mut table = glue_catalog::testing::FakeTable::new(
        "s3://bucket/plain",
        crate::world::properties("plain", &[]),
        crate::world::columns(),
    );
    table.write(1000, [""]);
    world.sync(&table).await;
    assert_eq!(world.glue.calls(), ["GetTable", "CreateTable"]);
    assert_eq!(stamp(&world.table("plain")), Some("19700101000001000"));
    world.glue.forget_calls();
    table.write(2000, [""]);
    world.sync(&table).await;
    assert_eq!(world.glue.calls(), ["GetTable", "UpdateTable"]);
    assert_eq!(world.glue.archived(), 0);
}

#[tokio::test(start_paused = true)]
async fn wide_partitions_go_in_smaller_batches() {
    let world = World::new();
    let fields: Vec<_> = (0..2000)
        .map(|n| crate::world::field(&format!("a_rather_long_column_name_{n:05}"), arrow::datatypes::DataType::Utf8))
        .chain(crate::world::columns().fields().iter().map(|f| f.as_ref().clone()))
        .collect();
    let mut table = orders();
    table.set_columns(Some(arrow::datatypes::Schema::new(fields)));
    table.write(1000, days(0..50));
    world.sync(&table).await;
    assert_eq!(world.values("orders").len(), 50);
    let batches = count(&world.glue.calls(), "BatchCreatePartition");
    assert!(batches > 5, "{batches} calls: the columns take the room of partitions");
}
