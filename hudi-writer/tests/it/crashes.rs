//! The store dies after its n-th changing call, for every n: the table is the old or the new one, the next opening heals
//! it, and what is sent again leads to the model.

use std::sync::Arc;

use hudi_core::change::Op;
use hudi_writer::testing::DyingStore;
use hudi_writer::{Error, Index, NewTable, Table, TableWriter, WriterBuilder};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use crate::model::{Change, Model, StillClock, any_original, assert_is, batch, rows_of};

/// The changes of each commit, and the offset of its first.
fn commits() -> Vec<(i64, Vec<Change>)> {
    let insert = (0..12).map(|id| Change::new(Op::Insert, id, 1)).collect();
    let upsert = (6..18).map(|id| Change::new(Op::Update, id, 2)).collect();
    let delete = (0..9).step_by(2).map(|id| Change::new(Op::Delete, id, 3)).collect();
    // Later than all before it.
    let truncate = Change::truncate(4).at(1000);
    let refill =
        vec![truncate, Change::new(Op::Insert, 50, 5), Change::new(Op::Insert, 51, 3), Change::new(Op::Insert, 3, 5)];
    let go_on = vec![Change::new(Op::Update, 50, 6), Change::new(Op::Insert, 52, 6)];
    vec![(0, insert), (12, upsert), (24, delete), (29, refill), (33, go_on)]
}

/// The models after no commit, the first, the second, …
fn models() -> Vec<Model> {
    let mut models = vec![Model::default()];
    for (_, changes) in commits() {
        let mut model = models.last().unwrap().clone();
        model.commit(&changes);
        models.push(model);
    }
    models
}

fn tables() -> [NewTable; 4] {
    [
        NewTable::new("t", ["id"]),
        NewTable::new("t", ["id"]).index(Index::Bucket(std::num::NonZeroU32::new(2).unwrap())),
        NewTable::new("t", ["region", "id"]).partition_by(["region"]),
        NewTable::new("t", ["id"]).partition_by(["region"]),
    ]
}

fn builder(store: Arc<dyn ObjectStore>, url: &str) -> WriterBuilder {
    TableWriter::builder(url).store(store, "base/t").clock(Arc::new(StillClock::default()))
}

/// Sends everything that the table does not have yet, commit by commit.
async fn send(store: Arc<dyn ObjectStore>, url: &str, table: &NewTable) -> Result<(), Error> {
    let mut writer = builder(store, url).open_or_create(table).await?;
    for (offset, changes) in commits() {
        let _ = writer.write(&batch(&changes, offset))?;
        let _ = writer.commit(&any_original).await?;
    }
    Ok(())
}

/// Kills the store after each of its changing calls; how many there were.
async fn die_everywhere(store: &dyn Fn() -> Arc<dyn ObjectStore>, table: &NewTable, name: &str) -> u64 {
    let models = models();
    for lives in 0.. {
        let url = format!("memory:///{name}/{lives}");
        let inner = store();
        let dying = DyingStore::new(Arc::clone(&inner), lives);
        let survived = send(Arc::new(dying.clone()), &url, table).await.is_ok();

        let seen = match Table::open_in(Arc::clone(&inner), "base/t", &url).await {
            Ok(table) => rows_of(&table).await,
            Err(Error::NotFound { .. }) => Default::default(),
            Err(error) => panic!("after {lives} calls the table cannot be read: {error}"),
        };
        assert!(models.iter().any(|model| model.rows() == seen), "after {lives} calls: {seen:?}");

        send(Arc::clone(&inner), &url, table).await.unwrap();
        let healed = Table::open_in(inner, "base/t", &url).await.unwrap();
        assert_is(&healed, models.last().unwrap()).await;
        assert_eq!(healed.timeline().pending().count(), 0, "after {lives} calls");
        if survived {
            assert_eq!(dying.changes(), lives.min(dying.changes()));
            return dying.changes();
        }
    }
    unreachable!("some number of calls is enough")
}

#[tokio::test]
async fn a_store_that_dies_at_any_call_leaves_the_old_table_or_the_new() {
    for (i, table) in tables().iter().enumerate() {
        let calls = die_everywhere(&|| Arc::new(InMemory::new()), table, &format!("m{i}")).await;
        assert!(calls > 20, "{calls}");
    }
}

#[tokio::test]
async fn so_does_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicU64::new(0);
    let fresh = || -> Arc<dyn ObjectStore> {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let path = folder.path().join(n.to_string());
        std::fs::create_dir_all(&path).unwrap();
        Arc::new(LocalFileSystem::new_with_prefix(path).unwrap())
    };
    die_everywhere(&fresh, &tables()[0], "folder").await;
}

#[tokio::test]
async fn a_recovery_that_dies_is_healed_by_the_next() {
    let table = &tables()[0];
    // In the second commit, and in that which replaces.
    for dies_at in [6, 7, 8, 9, 22, 23, 24, 25, 26, 27, 28, 29] {
        for lives in 0..8 {
            let url = format!("memory:///recovery/{dies_at}/{lives}");
            let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let _ = send(Arc::new(DyingStore::new(Arc::clone(&inner), dies_at)), &url, table).await;
            let _ = builder(Arc::new(DyingStore::new(Arc::clone(&inner), lives)), &url).open().await;
            send(Arc::clone(&inner), &url, table).await.unwrap();
            let healed = Table::open_in(inner, "base/t", &url).await.unwrap();
            assert_is(&healed, models().last().unwrap()).await;
        }
    }
}
