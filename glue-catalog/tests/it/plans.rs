//! What a sync says that it would do.

use arrow::datatypes::{DataType, Schema};
use glue_catalog::GlueSync;
use glue_catalog::testing::FakeTable;

use crate::world::{BASE, World, columns, days, field, id, merge_on_read, orders, properties};

async fn plan(world: &World, table: &FakeTable) -> String {
    let process: GlueSync = world.process();
    let before = world.content();
    world.glue.forget_calls();
    let plans = process.plan(table, &world.settings).await.unwrap();
    assert_eq!(world.content(), before);
    assert_eq!(world.glue.writes(), 0, "to look is not to touch");
    plans.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn a_plan_tells_what_is_made_changed_and_dropped() {
    let world = World::new();
    let mut table = orders();
    assert_eq!(plan(&world, &table).await, "");
    table.write(1000, Vec::<String>::new());
    assert_eq!(plan(&world, &table).await, "db.orders: nothing before the first commit with data");
    table.write(2000, days(0..2));
    assert_eq!(
        plan(&world, &table).await,
        "db.orders:
  create table at s3://bucket/orders, 8 columns
  add partition (day-00000) at s3://bucket/orders/dt=day-00000
  add partition (day-00001) at s3://bucket/orders/dt=day-00001"
    );
    world.sync(&table).await;
    assert_eq!(plan(&world, &table).await, "db.orders: nothing changes");
    table.write(3000, days(1..14));
    table.delete_partitions(4000, &["dt=day-00000"]);
    table.set_columns(Some(Schema::new(vec![
        field("id", DataType::Int64),
        field("name", DataType::Binary),
        field("extra", DataType::Date32),
        field("dt", DataType::Utf8),
    ])));
    world.glue.edit(&id("orders"), |t| drop(t.parameters.insert("projection.enabled".to_owned(), "true".to_owned())));
    let text = plan(&world, &table).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["db.orders:", "  change column name from string to binary", "  add column extra date"]);
    assert!(lines[3].starts_with("  set parameter spark.sql.sources.schema.part.0 from `{"), "{}", lines[3]);
    assert!(lines[3].chars().count() < 250 && lines[3].contains('…'), "{}", lines[3]);
    assert_eq!(lines[4], "  add partition (day-00002) at s3://bucket/orders/dt=day-00002");
    assert_eq!(
        lines[14..],
        [
            "  add partition: 2 more",
            "  update partition (day-00001)",
            "  drop partition (day-00000)",
            "  beware: `projection.enabled` is set: Athena does not see the partitions that stand in Glue",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_merge_on_read_table_has_three_plans() {
    let world = World::new();
    let mut table = FakeTable::new(BASE, merge_on_read("orders", &["dt"]), columns());
    table.write(1000, days(0..1));
    let text = plan(&world, &table).await;
    let names: Vec<&str> = text.lines().filter(|line| line.ends_with(':')).collect();
    assert_eq!(names, ["db.orders_ro:", "db.orders_rt:", "db.orders:"]);
    assert_eq!(table.lists(), 1, "what is read is read once");
}

#[tokio::test(start_paused = true)]
async fn a_plan_tells_of_a_table_that_is_made_anew() {
    let mut world = World::new();
    let mut table = orders();
    table.write(1000, days(0..1));
    world.sync(&table).await;
    let mut other = FakeTable::new("s3://bucket/b", properties("orders", &["dt"]), columns());
    other.write(1000, days(0..1));
    world.settings.recreate = true;
    let text = plan(&world, &other).await;
    let expect = "db.orders:\n  delete table and create it anew: table db.orders is at s3://bucket/orders in Glue";
    assert!(text.starts_with(expect), "{text}");
    let mut older = orders();
    older.write(500, days(0..1));
    world.settings.recreate = false;
    assert_eq!(plan(&world, &older).await, "db.orders: was synced up to 19700101000001000 already, which is newer");
}
