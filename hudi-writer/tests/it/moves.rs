//! Rows that move from one partition to another, under the global index.

use hudi_core::change::Op;
use hudi_core::properties::keys;
use hudi_writer::{CheckReport, Index, NewTable, Table, TableWriter, check_table};

use crate::model::{Change, any_original, assert_is, batch, commit, damage_rows};
use crate::shop::Shop;

impl Shop {
    async fn by_region() -> Self {
        Self::new(&NewTable::new("t", ["id"]).partition_by(["region"])).await
    }
}

fn change(op: Op, id: i64, region: &str, order: i64) -> Change {
    Change::new(op, id, order).in_region(region)
}

#[tokio::test]
async fn a_partition_column_outside_the_key_asks_for_the_global_index() {
    let shop = Shop::by_region().await;
    assert_eq!(shop.writer.index(), Index::GlobalSimple);
    assert_eq!(shop.writer.table().properties().get(keys::INDEX_TYPE), Some("GLOBAL_SIMPLE"));
    let within = Shop::new(&NewTable::new("t", ["region", "id"]).partition_by(["region"])).await;
    assert_eq!(within.writer.index(), Index::Simple);
    let mut immutable = NewTable::new("t", ["id"]).partition_by(["region"]);
    immutable.partition_immutable = true;
    assert_eq!(Shop::new(&immutable).await.writer.index(), Index::Simple);
}

#[tokio::test]
async fn a_row_moves_in_one_commit_that_deletes_and_inserts() {
    let mut shop = Shop::by_region().await;
    shop.commit(&[change(Op::Insert, 1, "a", 10), change(Op::Insert, 2, "a", 10), change(Op::Insert, 3, "b", 10)])
        .await;
    let committed = shop.commit(&[change(Op::Update, 1, "b", 20)]).await;
    assert_eq!((committed.deleted_rows, committed.inserted_rows, committed.updated_rows), (1, 1, 0));
    let table = shop.writer.table();
    let metadata = table.commit_metadata(table.timeline().completed_writes().next_back().unwrap()).await.unwrap();
    let stats: Vec<_> = metadata
        .write_stats()
        .map(|s| (s.partition_path.as_str(), s.num_deletes, s.num_inserts, s.num_writes))
        .collect();
    assert_eq!(stats, [("region=a", 1, 0, 1), ("region=b", 0, 1, 2)]);
}

#[tokio::test]
async fn an_older_change_moves_nothing() {
    let mut shop = Shop::by_region().await;
    shop.commit(&[change(Op::Insert, 1, "a", 10)]).await;
    let committed = shop.commit(&[change(Op::Update, 1, "b", 9)]).await;
    assert_eq!((committed.files, committed.ignored_changes), (0, 1));
    assert_eq!(shop.model.rows()[&1].0, "a");
}

#[tokio::test]
async fn a_move_takes_values_that_were_not_sent_along() {
    let mut shop = Shop::by_region().await;
    let large = |id: i64| format!("{id} ").repeat(300_000);
    let named = |id: i64, region| Change { name: Some(Some(large(id))), ..change(Op::Insert, id, region, 10) };
    shop.commit(&(0..6).map(|id| named(id, if id < 4 { "a" } else { "b" })).collect::<Vec<_>>()).await;
    let moves = [
        change(Op::Update, 3, "b", 20).without_name(),
        change(Op::Update, 0, "c", 20),
        change(Op::Update, 4, "c", 21).without_name(),
        change(Op::Update, 1, "b", 22).without_name(),
        change(Op::Update, 1, "c", 23).without_name(),
        change(Op::Update, 5, "b", 23).without_name(),
    ];
    shop.commit(&moves).await;
    for (id, region) in [(3, "b"), (4, "c"), (1, "c"), (5, "b"), (2, "a")] {
        assert_eq!(shop.model.rows()[&id].0, region);
        assert_eq!(shop.model.rows()[&id].1, Some(large(id)));
    }
}

#[tokio::test]
async fn a_snapshot_row_that_moves_keeps_the_stored_order() {
    let mut shop = Shop::by_region().await;
    shop.commit(&[change(Op::Insert, 1, "a", 10), change(Op::Insert, 2, "a", 10)]).await;
    shop.commit(&[change(Op::Snapshot, 1, "b", 0)]).await;
    assert_eq!(shop.model.rows()[&1].0, "b");
    // Older than what is stored, although the snapshot came between.
    let committed = shop.commit(&[change(Op::Update, 1, "c", 9)]).await;
    assert_eq!((committed.ignored_changes, shop.model.rows()[&1].0.as_str()), (1, "b"));
    shop.commit(&[change(Op::Update, 1, "c", 11)]).await;
    assert_eq!(shop.model.rows()[&1].0, "c");
}

#[tokio::test]
async fn chains_of_moves_deletes_and_inserts_in_one_batch_end_where_the_last_says() {
    let mut shop = Shop::by_region().await;
    shop.commit(&(0..8).map(|id| change(Op::Insert, id, "a", 10)).collect::<Vec<_>>()).await;
    let chains = [
        // There and back.
        change(Op::Update, 0, "b", 20),
        change(Op::Update, 0, "a", 21),
        // Moved and deleted.
        change(Op::Update, 1, "b", 22),
        change(Op::Delete, 1, "b", 23),
        // Deleted, and inserted elsewhere.
        change(Op::Delete, 2, "a", 24),
        change(Op::Insert, 2, "c", 25),
        // Deleted by key alone.
        Change::new(Op::Delete, 3, 26).without_region(),
        // Deleted by a before-image that is not what is stored.
        change(Op::Delete, 4, "z", 27),
        // Moved out of order.
        change(Op::Update, 5, "c", 29),
        change(Op::Update, 5, "b", 28),
        // Inserted, moved and moved again.
        change(Op::Insert, 9, "a", 30),
        change(Op::Update, 9, "b", 31).without_name(),
        change(Op::Update, 9, "c", 32).without_name(),
    ];
    let committed = shop.commit(&chains).await;
    assert_eq!((committed.updated_rows, committed.inserted_rows, committed.deleted_rows), (1, 3, 5));
    let regions: Vec<(i64, String)> = shop.model.rows().into_iter().map(|(id, row)| (id, row.0)).collect();
    let want = [(0, "a"), (2, "c"), (5, "c"), (6, "a"), (7, "a"), (9, "c")];
    assert_eq!(regions, want.map(|(id, region)| (id, region.to_owned())));
}

#[tokio::test]
async fn a_row_whose_partition_column_was_not_sent_stays_where_it_is() {
    let mut shop = Shop::by_region().await;
    shop.commit(&[change(Op::Insert, 1, "a", 10), change(Op::Insert, 2, "b", 10)]).await;
    let stays = [
        Change::new(Op::Update, 1, 20).without_region(),
        // Moved, and then changed without a word of the partition.
        change(Op::Update, 2, "c", 20),
        Change::new(Op::Update, 2, 21).without_region(),
    ];
    let committed = shop.commit(&stays).await;
    assert_eq!((committed.updated_rows, committed.inserted_rows, committed.deleted_rows), (1, 1, 1));
    assert_eq!((shop.model.rows()[&1].0.as_str(), shop.model.rows()[&2].0.as_str()), ("a", "c"));
    // Stored nowhere: nobody knows its partition.
    let _ = shop.writer.write(&batch(&[Change::new(Op::Update, 7, 22).without_region()], shop.offset)).unwrap();
    assert_eq!(commit(&mut shop.writer).await.dead_letters, 1);
    assert_is(shop.writer.table(), &shop.model).await;
}

#[tokio::test]
async fn with_several_partition_columns_each_is_taken_from_where_it_stands() {
    let table = NewTable::new("t", ["id", "name"]).partition_by(["region", "amount"]);
    let mut shop = Shop::new(&table).await;
    assert_eq!(shop.writer.index(), Index::GlobalSimple);
    let named = |change: Change, amount| Change { name: Some(Some("n".to_owned())), amount: Some(amount), ..change };
    shop.commit(&[named(change(Op::Insert, 1, "a", 10), 1), named(change(Op::Insert, 2, "a", 10), 1)]).await;
    shop.commit(&[named(Change::new(Op::Update, 1, 20).without_region(), 2)]).await;
    let files = shop.writer.table().files().await.unwrap();
    let partitions: Vec<&str> = files.iter().map(|file| file.partition.as_str()).collect();
    assert_eq!(partitions, ["region=a/amount=1", "region=a/amount=2"]);
}

#[tokio::test]
async fn deletes_that_lack_the_partition_column_find_their_rows() {
    let mut shop = Shop::by_region().await;
    shop.commit(&[change(Op::Insert, 1, "a", 10), change(Op::Insert, 2, "b", 10)]).await;
    let delete = Change::new(Op::Delete, 1, 20);
    let mut keys_only = batch(std::slice::from_ref(&delete), shop.offset);
    keys_only.rows = keys_only.rows.project(&[0]).unwrap();
    keys_only.unsent.truncate(1);
    assert_eq!(shop.writer.write(&keys_only).unwrap().refused, []);
    shop.model.apply(&delete);
    commit(&mut shop.writer).await;
    shop.model.committed();
    assert_is(shop.writer.table(), &shop.model).await;
}

#[tokio::test]
async fn a_table_with_any_global_index_of_hudis_is_joined() {
    for name in ["GLOBAL_SIMPLE", "GLOBAL_BLOOM"] {
        let mut table = NewTable::new("t", ["id"]).partition_by(["region"]);
        table.properties = vec![(keys::INDEX_TYPE.to_owned(), name.to_owned())];
        let mut shop = Shop::new(&table).await;
        assert_eq!(shop.writer.table().properties().get(keys::INDEX_TYPE), Some(name));
        assert_eq!(shop.writer.index(), Index::GlobalSimple);
        shop.commit(&[change(Op::Insert, 1, "a", 10)]).await;
        shop.commit(&[change(Op::Update, 1, "b", 20)]).await;
    }
}

#[tokio::test]
async fn a_key_in_two_partitions_is_found_by_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut immutable = NewTable::new("t", ["id"]).partition_by(["region"]);
    immutable.partition_immutable = true;
    let mut writer = TableWriter::builder(url).create(&immutable).await.unwrap();
    let _ = writer.write(&batch(&[change(Op::Insert, 1, "a", 10), change(Op::Insert, 1, "b", 11)], 0)).unwrap();
    commit(&mut writer).await;
    assert_eq!(check_table(writer.table()).await.unwrap().problems, Vec::<String>::new());
    let path = folder.path().join(hudi_core::layout::properties());
    let text = std::fs::read_to_string(&path).unwrap().replace(&format!("{}=true\n", keys::PARTITION_IMMUTABLE), "");
    std::fs::write(&path, text).unwrap();
    let CheckReport { problems, .. } = check_table(&Table::open(url).await.unwrap()).await.unwrap();
    assert!(problems.len() == 1 && problems[0].contains("key stands twice in the table: 1"), "{problems:?}");
}

/// Damages the rows of every file outside of a partition.
async fn damage_all_but(shop: &Shop, partition: &str) {
    for file in shop.writer.table().files().await.unwrap() {
        if file.partition != partition {
            damage_rows(&shop.folder.path().join(&file.path));
        }
    }
}

#[tokio::test]
async fn files_that_cannot_hold_a_key_are_not_read() {
    let mut shop = Shop::by_region().await;
    let rows: Vec<Change> = (0..400).map(|id| change(Op::Insert, id, &format!("p{}", id % 20), 10)).collect();
    shop.commit(&rows).await;
    damage_all_but(&shop, "region=p5").await;
    // One key lies between those of the other files, which their filters do not know, and one beyond.
    let changes = [change(Op::Update, 205, "p5", 20), change(Op::Insert, 999, "p5", 20)];
    let _ = shop.writer.write(&batch(&changes, shop.offset)).unwrap();
    let committed = commit(&mut shop.writer).await;
    assert_eq!((committed.files, committed.updated_rows, committed.inserted_rows), (1, 1, 1));
    let _ = shop.writer.write(&batch(&[change(Op::Update, 206, "p5", 20)], shop.offset + 2)).unwrap();
    shop.writer.commit(&any_original).await.unwrap_err();
}
