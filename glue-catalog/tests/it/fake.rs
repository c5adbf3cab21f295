//! That the stand-in is as strict as Glue: what it let through, no test of a sync would find.

use std::collections::BTreeSet;

use glue_catalog::catalog::{Catalog, CatalogError, ErrorKind, PageRequest};
use glue_catalog::model::{Partition, Table, TableId};
use glue_catalog::testing::Limits;
use glue_catalog::types::Column;

use crate::world::{World, id};

fn table() -> Table {
    Table {
        name: "T".to_owned(),
        partition_keys: vec![Column::new("a", "string"), Column::new("b", "int")],
        ..Table::default()
    }
}

fn partition(n: usize) -> Partition {
    Partition { values: vec![format!("v{n}"), n.to_string()], ..Partition::default() }
}

async fn world() -> World {
    let world = World::new();
    world.glue.create_table(&id("t"), &table(), &[]).await.unwrap();
    world
}

fn code<T: std::fmt::Debug>(answer: Result<T, CatalogError>) -> String {
    answer.unwrap_err().code
}

#[tokio::test(start_paused = true)]
async fn entries_have_limits() {
    let world = world().await;
    let (glue, t) = (&world.glue, id("t"));
    let partitions: Vec<_> = (0..1001).map(partition).collect();
    let values: Vec<_> = partitions.iter().map(|p| p.values.clone()).collect();
    assert_eq!(code(glue.batch_create_partition(&t, &partitions[..101]).await), "ValidationException");
    assert_eq!(code(glue.batch_create_partition(&t, &[]).await), "ValidationException");
    assert_eq!(glue.batch_create_partition(&t, &partitions[..100]).await.unwrap(), []);
    assert_eq!(code(glue.batch_update_partition(&t, &partitions[..101]).await), "ValidationException");
    assert_eq!(code(glue.batch_delete_partition(&t, &values[..26]).await), "ValidationException");
    assert_eq!(glue.batch_delete_partition(&t, &values[..25]).await.unwrap(), []);
    assert_eq!(code(glue.batch_get_partition(&t, &values).await), "ValidationException");
    assert_eq!(glue.batch_get_partition(&t, &values[..1000]).await.unwrap().partitions.len(), 75);
}

#[tokio::test(start_paused = true)]
async fn answers_fail_in_part() {
    let world = world().await;
    let (glue, t) = (&world.glue, id("t"));
    glue.batch_create_partition(&t, &[partition(1)]).await.unwrap();
    let errors = glue.batch_create_partition(&t, &[partition(0), partition(1), partition(2)]).await.unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!((&errors[0].values, errors[0].error.kind), (&partition(1).values, ErrorKind::AlreadyExists));
    let errors = glue.batch_delete_partition(&t, &[partition(2).values, partition(9).values]).await.unwrap();
    assert_eq!((&errors[0].values, errors[0].error.kind), (&partition(9).values, ErrorKind::NotFound));
    let errors = glue.batch_update_partition(&t, &[partition(2), partition(1)]).await.unwrap();
    assert_eq!((errors.len(), errors[0].error.kind), (1, ErrorKind::NotFound));
    assert_eq!(glue.partitions(&t).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn values_and_names_have_limits() {
    let world = world().await;
    let (glue, t) = (&world.glue, id("t"));
    let with = |values: &[&str]| Partition {
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        ..Partition::default()
    };
    assert_eq!(code(glue.batch_create_partition(&t, &[with(&["a"])]).await), "InvalidInputException");
    assert_eq!(code(glue.batch_create_partition(&t, &[with(&["a", ""])]).await), "ValidationException");
    assert_eq!(code(glue.batch_create_partition(&t, &[with(&["a", &"x".repeat(1025)])]).await), "ValidationException");
    let refused = |change: fn(&mut Table)| {
        let mut table = table();
        change(&mut table);
        async move { code(glue.update_table(&id("t"), &table, true).await) }
    };
    assert_eq!(refused(|t| t.name = String::new()).await, "ValidationException");
    assert_eq!(refused(|t| drop(t.parameters.insert("k".repeat(256), String::new()))).await, "ValidationException");
    assert_eq!(
        refused(|t| drop(t.parameters.insert("k".to_owned(), "v".repeat(512_001)))).await,
        "ValidationException"
    );
    assert_eq!(refused(|t| t.storage.columns = [Column::new("A", "int")].into()).await, "InvalidInputException");
    assert_eq!(refused(|t| t.storage.location = Some("x".repeat(2057))).await, "ValidationException");
    assert_eq!(refused(|t| t.partition_keys[0].comment = Some("x".repeat(256))).await, "ValidationException");
    assert_eq!(refused(|t| t.partition_keys[0].type_text = "x".repeat(131_073)).await, "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn versions_conflict_and_names_are_lower_case() {
    let world = world().await;
    let glue = &world.glue;
    let upper = TableId { name: "T".to_owned(), ..id("t") };
    let first = glue.get_table(&upper).await.unwrap().unwrap();
    assert_eq!((first.name.as_str(), first.version_id.as_deref()), ("t", Some("0")));
    glue.update_table(&id("t"), &first, true).await.unwrap();
    let stale = glue.update_table(&id("t"), &first, true).await.unwrap_err();
    assert_eq!((stale.kind, stale.code.as_str()), (ErrorKind::Conflict, "ConcurrentModificationException"));
    glue.update_table(&id("t"), &Table { version_id: None, ..first.clone() }, false).await.unwrap();
    assert_eq!(glue.archived(), 1);
    assert_eq!(glue.get_table(&id("t")).await.unwrap().unwrap().version_id.as_deref(), Some("2"));
    glue.batch_create_partition(&id("t"), &[partition(0)]).await.unwrap();
    let other = Table { partition_keys: vec![Column::new("a", "string")], version_id: None, ..first };
    assert_eq!(code(glue.update_table(&id("t"), &other, true).await), "InvalidInputException");
    assert_eq!(code(glue.create_table(&id("t"), &other, &[]).await), "AlreadyExistsException");
    let elsewhere = TableId { database: "none".to_owned(), ..id("t") };
    assert_eq!(code(glue.create_table(&elsewhere, &other, &[]).await), "EntityNotFoundException");
    assert_eq!(glue.get_table(&elsewhere).await.unwrap(), None);
    assert_eq!(code(glue.batch_create_partition(&elsewhere, &[partition(0)]).await), "EntityNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn segments_and_pages_have_every_partition_once() {
    let world = world().await;
    let (glue, t) = (&world.glue, id("t"));
    for from in (0..500).step_by(100) {
        let partitions: Vec<_> = (from..from + 100).map(partition).collect();
        glue.batch_create_partition(&t, &partitions).await.unwrap();
    }
    glue.set_limits(Limits { page_size: 7, ..Limits::default() });
    let (mut seen, mut count) = (BTreeSet::new(), 0);
    for segment in 0..10 {
        let mut request = PageRequest { segment: Some((segment, 10)), ..PageRequest::default() };
        loop {
            let page = glue.get_partitions(&t, &request).await.unwrap();
            assert!(page.partitions.len() <= 7);
            count += page.partitions.len();
            seen.extend(page.partitions.into_iter().map(|partition| partition.values));
            request.next_token = page.next_token;
            if request.next_token.is_none() {
                break;
            }
        }
    }
    assert_eq!((seen.len(), count), (500, 500));
    let page = glue.get_partitions(&t, &PageRequest::default()).await.unwrap();
    let strange = PageRequest { next_token: page.next_token, segment: Some((0, 10)), exclude_columns: true };
    assert_eq!(code(glue.get_partitions(&t, &strange).await), "InvalidInputException");
    let many = PageRequest { segment: Some((0, 11)), ..PageRequest::default() };
    assert_eq!(code(glue.get_partitions(&t, &many).await), "InvalidInputException");
}

#[tokio::test(start_paused = true)]
async fn calls_above_the_rate_are_throttled() {
    let world = world().await;
    world.glue.set_limits(Limits { calls_per_second: Some(2), ..Limits::default() });
    for _ in 0..2 {
        world.glue.get_table(&id("t")).await.unwrap();
    }
    let third = world.glue.get_table(&id("t")).await.unwrap_err();
    assert_eq!((third.kind, third.code.as_str()), (ErrorKind::Throttled, "ThrottlingException"));
    glue_catalog::clock::Clock::sleep(&*world.clock, 1000).await;
    world.glue.get_table(&id("t")).await.unwrap();
    assert_eq!(world.glue.throttled(), 1);
}
