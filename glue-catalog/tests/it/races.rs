//! Syncs beside others, and beside people.

use arrow::datatypes::{DataType, Schema};
use glue_catalog::testing::{FakeTable, Fault, Limits};
use glue_catalog::{Error, Outcome};

use crate::world::{World, columns, days, field, id, orders, outcome, stamp};

#[tokio::test(start_paused = true)]
async fn two_first_syncs_at_once_leave_what_one_leaves() {
    for latency_ms in [1, 7, 20] {
        let mut table = orders();
        table.write(1000, days(0..730));
        let alone = World::new();
        alone.sync(&table).await;
        let world = World::new();
        world.glue.set_limits(Limits { latency_ms, calls_per_second: Some(50), page_size: 100, processed: 30 });
        let (a, b) = (world.process(), world.process());
        let (a, b) = tokio::join!(a.sync(&table, &world.settings), b.sync(&table, &world.settings));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a[0].added + b[0].added, 730);
        assert_eq!(world.content(), alone.content());
    }
}

#[tokio::test(start_paused = true)]
async fn syncs_of_an_older_and_a_newer_table_leave_the_newer() {
    let mut older = orders();
    older.write(1000, days(0..300));
    let mut newer = older.clone();
    let mut fields: Vec<_> = columns().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(field("amount", DataType::Float64));
    newer.set_columns(Some(Schema::new(fields)));
    newer.write(2000, days(200..500));
    newer.delete_partitions(3000, &["dt=day-00007"]);
    let alone = World::new();
    alone.sync(&newer).await;
    for latency_ms in 1..=12 {
        let world = World::new();
        world.glue.set_limits(Limits { latency_ms, ..Limits::default() });
        let (a, b) = (world.process(), world.process());
        let late = async {
            glue_catalog::clock::Clock::sleep(&*world.clock, 30).await;
            b.sync(&newer, &world.settings).await
        };
        let (a, b) = tokio::join!(a.sync(&older, &world.settings), late);
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(outcome(&b), &Outcome::Synced, "{latency_ms} ms");
        assert!(matches!(outcome(&a), Outcome::Synced | Outcome::Behind { .. }));
        world.sync(&newer).await;
        // That a partition has a column less is no difference to an engine.
        let seen =
            |world: &World| (world.table("orders").parameters, world.table("orders").storage, world.places("orders"));
        assert_eq!(seen(&world), seen(&alone), "{latency_ms} ms");
        assert!(matches!(outcome(&world.sync(&older).await), Outcome::Behind { .. }));
        assert_eq!(seen(&world), seen(&alone), "{latency_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_was_overtaken_leaves_its_partitions_to_be_compared() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..2));
    world.sync(&table).await;
    let mut older = table.clone();
    older.write(2000, days(5..6));
    let mut newer = older.clone();
    newer.delete_partitions(3000, &["dt=day-00005"]);
    // The newer one is through before the older one's last call.
    world.glue.edit_before("UpdateTable", &id("orders"), |t| {
        t.parameters.insert("last_commit_time_sync".to_owned(), "19700101000003000".to_owned());
    });
    let reports = world.sync(&older).await;
    assert_eq!(outcome(&reports), &Outcome::Behind { synced: "19700101000003000".to_owned() });
    assert_eq!(world.values("orders").len(), 3, "what the newer one had dropped");
    assert_eq!(stamp(&world.table("orders")), None);
    world.sync(&newer).await;
    assert_eq!(world.values("orders"), ["day-00000", "day-00001"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_user_says_during_a_sync_is_not_lost() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..2));
    world.sync(&table).await;
    table.write(2000, days(2..3));
    world.glue.edit_before("UpdateTable", &id("orders"), |t| t.description = Some("said meanwhile".to_owned()));
    world.glue.edit_before("BatchCreatePartition", &id("orders"), |t| t.owner = Some("sales".to_owned()));
    assert_eq!(outcome(&world.sync(&table).await), &Outcome::Synced);
    let found = world.table("orders");
    assert_eq!(found.description.as_deref(), Some("said meanwhile"));
    assert_eq!(found.owner.as_deref(), Some("sales"));
    assert_eq!(stamp(&found), Some("19700101000002000"));
    assert_eq!(world.values("orders").len(), 3);
    let mut first = FakeTable::new("s3://bucket/b", crate::world::properties("b", &["dt"]), columns());
    first.write(1000, days(0..2));
    world.glue.edit_before("UpdateTable", &id("b"), |t| t.description = Some("said at once".to_owned()));
    world.sync(&first).await;
    assert_eq!(world.table("b").description.as_deref(), Some("said at once"));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_removed_during_a_sync_is_made_again() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..2));
    world.sync(&table).await;
    let expected = world.content();
    table.write(2000, days(0..1));
    let code = "EntityNotFoundException";
    world.glue.add_fault(Fault::Fails { operation: "UpdateTable", code, times: 1, carried_out: false });
    world.sync(&table).await;
    assert_eq!(world.values("orders").len(), 2);
    assert_eq!(expected.len(), world.content().len());
}

#[tokio::test(start_paused = true)]
async fn others_that_never_let_go_are_told_of() {
    let world = World::new();
    let mut table = orders();
    table.write(1000, days(0..2));
    world.sync(&table).await;
    table.write(2000, days(2..3));
    let code = "ConcurrentModificationException";
    world.glue.add_fault(Fault::Fails { operation: "UpdateTable", code, times: 100, carried_out: false });
    let error = world.process().sync(&table, &world.settings).await.unwrap_err();
    assert!(matches!(error, Error::Contended { tries: 6, .. }), "{error}");
    world.glue.clear_faults();
    world.sync(&table).await;
    assert_eq!(stamp(&world.table("orders")), Some("19700101000002000"));
}

#[tokio::test(start_paused = true)]
async fn a_stamp_of_the_future_is_replaced_if_everything_is_to_be_compared() {
    let mut world = World::new();
    let mut table = orders();
    table.write(1000, days(0..2));
    world.sync(&table).await;
    world.glue.edit(&id("orders"), |t| {
        t.parameters.insert("last_commit_time_sync".to_owned(), "99990101000000000".to_owned());
    });
    world.glue.edit_partition(&id("orders"), &["day-00001"], |_| None);
    assert!(matches!(outcome(&world.sync(&table).await), Outcome::Behind { .. }));
    world.settings.full = true;
    assert_eq!(outcome(&world.sync(&table).await), &Outcome::Synced);
    assert_eq!(world.values("orders").len(), 2);
    assert_eq!(stamp(&world.table("orders")), Some("19700101000001000"));
}
