//! Truncates: what is from before is gone, what is from after stays, whenever either comes.

use std::num::NonZeroU32;

use hudi_core::change::Op;
use hudi_core::commit::{CommitMetadata, WriteOperation};
use hudi_core::instant::Action;
use hudi_writer::{CommitOutcome, Index, NewTable, TableWriter, WriterSettings};

use crate::model::{Change, Model, Seeded, any_original, assert_is, batch, commit, damage_rows};
use crate::shop::Shop;

impl Shop {
    async fn plain() -> Self {
        Self::new(&NewTable::new("t", ["id"])).await
    }

    fn ids(&self) -> Vec<i64> {
        self.model.stored.keys().copied().collect()
    }

    /// The newest commit: what it is, and what it says.
    async fn newest(&self) -> (Action, CommitMetadata) {
        let table = self.writer.table();
        let instant = table.timeline().completed_writes().next_back().unwrap();
        (instant.action, table.commit_metadata(instant).await.unwrap())
    }

    fn truncated_at(&self) -> Option<(String, Option<i64>)> {
        let at = self.writer.committed().sources.get("shop")?.truncated_at.clone()?;
        Some((at.order, at.ts_ms.map(|ms| ms - 1_700_000_000_000)))
    }
}

/// A change whose source time is as many milliseconds as its order.
fn change(op: Op, id: i64, order: i64) -> Change {
    Change::new(op, id, order).at(order)
}

fn inserts(ids: std::ops::Range<i64>, order: i64) -> Vec<Change> {
    ids.map(|id| change(Op::Insert, id, order)).collect()
}

fn bucket(buckets: u32) -> Index {
    Index::Bucket(NonZeroU32::new(buckets).unwrap())
}

fn tables() -> Vec<NewTable> {
    let within = NewTable::new("t", ["region", "id"]).partition_by(["region"]);
    vec![
        NewTable::new("t", ["id"]),
        NewTable::new("t", ["id"]).index(bucket(3)),
        within.clone(),
        within.index(bucket(2)),
        NewTable::new("t", ["id"]).index(Index::GlobalSimple),
        NewTable::new("t", ["id"]).partition_by(["region"]),
    ]
}

#[tokio::test]
async fn a_truncate_replaces_file_groups_and_new_rows_get_others() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        shop.commit(&inserts(0..9, 10)).await;
        let before = shop.writer.table().files().await.unwrap();
        let committed = shop.commit(&[vec![Change::truncate(20)], inserts(5..12, 30)].concat()).await;
        assert_eq!((committed.deleted_rows, committed.inserted_rows, committed.updated_rows), (9, 7, 0));
        let (action, metadata) = shop.newest().await;
        assert_eq!((action, metadata.operation_type), (Action::ReplaceCommit, WriteOperation::InsertOverwriteTable));
        let mut replaced: Vec<_> = metadata.replaced_file_ids().map(|(p, id)| (p.to_owned(), id.to_owned())).collect();
        replaced.sort();
        let mut all: Vec<_> = before.iter().map(|file| (file.partition.clone(), file.file_id.clone())).collect();
        all.sort();
        assert_eq!(replaced, all);
        assert!(metadata.write_stats().all(|stat| !replaced.iter().any(|(_, id)| *id == stat.file_id)));
        assert_eq!(shop.truncated_at(), Some(("20".to_owned(), Some(20))));
        // The table goes on as any other.
        shop.reopen().await;
        let committed = shop.commit(&[change(Op::Update, 5, 40), change(Op::Insert, 50, 40)]).await;
        assert_eq!((committed.updated_rows, committed.inserted_rows), (1, 1));
        assert_eq!(shop.newest().await.0, Action::Commit);
    }
}

#[tokio::test]
async fn rows_before_and_after_a_truncate_of_one_batch_are_told_apart() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        shop.commit(&inserts(0..4, 10)).await;
        let changes = [
            change(Op::Update, 0, 20),
            change(Op::Insert, 9, 21),
            Change::truncate(30),
            change(Op::Insert, 1, 31),
            change(Op::Update, 1, 32).without_name(),
            // From before, and from between, after the truncate came.
            change(Op::Update, 2, 22),
            change(Op::Insert, 8, 23),
            Change::truncate(40),
            change(Op::Insert, 3, 41),
            change(Op::Insert, 7, 39),
        ];
        let committed = shop.commit(&changes).await;
        assert_eq!((shop.ids(), committed.ignored_changes), (vec![3], 7));
        assert_eq!(shop.truncated_at(), Some(("40".to_owned(), Some(40))));
    }
}

#[tokio::test]
async fn file_groups_with_survivors_are_rewritten_in_place() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        // Later than the truncate, which comes after them.
        let rows: Vec<Change> = (0..12).map(|id| change(Op::Insert, id, if id % 4 < 2 { 10 } else { 50 })).collect();
        shop.commit(&rows).await;
        let before = shop.writer.table().files().await.unwrap().len();
        let committed = shop.commit(&[Change::truncate(30)]).await;
        assert_eq!((committed.deleted_rows, committed.inserted_rows), (6, 0));
        assert_eq!(shop.ids(), [2, 3, 6, 7, 10, 11]);
        let (action, metadata) = shop.newest().await;
        let replaced = metadata.replaced_file_ids().count();
        assert_eq!(action, Action::ReplaceCommit);
        assert_eq!(shop.writer.table().files().await.unwrap().len(), before - replaced);
    }
}

#[tokio::test]
async fn covered_rows_fill_no_column_that_was_not_sent() {
    for rows in [inserts(0..2, 10), [inserts(0..2, 10), inserts(5..6, 50)].concat()] {
        let mut shop = Shop::plain().await;
        shop.commit(&rows).await;
        shop.write(&[Change::truncate(20), change(Op::Update, 0, 30).without_name()]);
        shop.model.commit(&[Change::truncate(20)]);
        assert_eq!(commit(&mut shop.writer).await.dead_letters, 1);
        shop.assert_is_model().await;
    }
}

#[tokio::test]
async fn changes_from_before_that_come_later_stay_out() {
    let mut shop = Shop::plain().await;
    shop.commit(&inserts(0..3, 10)).await;
    shop.commit(&[Change::truncate(20)]).await;
    assert!(shop.ids().is_empty(), "{:?}", shop.ids());
    shop.reopen().await;
    // By another partition of the topic.
    let late = [change(Op::Insert, 5, 15), change(Op::Update, 1, 19), change(Op::Insert, 6, 21)];
    let mut by_another = batch(&late, 0);
    by_another.partitions = vec![1; 3];
    assert_eq!(shop.writer.write(&by_another).unwrap().upserts, 3);
    shop.model.commit(&late);
    assert_eq!(commit(&mut shop.writer).await.ignored_changes, 2);
    assert_eq!(shop.ids(), [6]);
    shop.assert_is_model().await;
}

#[tokio::test]
async fn a_truncate_that_comes_again_is_ignored() {
    let mut shop = Shop::plain().await;
    shop.commit(&inserts(0..3, 10)).await;
    shop.commit(&[Change::truncate(20), change(Op::Insert, 1, 30)]).await;
    // By the broker, by the connector under a new offset, by another partition, and one that is older.
    let mut again = batch(&[Change::truncate(20)], 3);
    assert_eq!(shop.writer.write(&again).unwrap().covered, 1);
    again.run = Some("run 2".into());
    again.offsets = vec![9];
    assert_eq!(shop.writer.write(&again).unwrap().redelivered, 1);
    let mut by_another = batch(&[Change::truncate(20), Change::truncate(15)], 0);
    by_another.partitions = vec![1; 2];
    assert_eq!(shop.writer.write(&by_another).unwrap().truncates, 2);
    let CommitOutcome::Committed(committed) = shop.writer.commit(&any_original).await.unwrap() else { panic!() };
    assert_eq!((committed.files, committed.deleted_rows), (0, 0));
    assert_eq!(shop.truncated_at(), Some(("20".to_owned(), Some(20))));
    shop.assert_is_model().await;
}

#[tokio::test]
async fn a_snapshot_taken_after_a_truncate_survives_it_whenever_either_comes() {
    let mut shop = Shop::plain().await;
    shop.commit(&[change(Op::Snapshot, 1, 0).at(5), change(Op::Snapshot, 2, 0).at(25)]).await;
    // Row 2 stores the lowest order, and was read after the truncate.
    shop.commit(&[Change::truncate(20), change(Op::Snapshot, 3, 0).at(19), change(Op::Snapshot, 4, 0).at(21)]).await;
    assert_eq!(shop.ids(), [2, 4]);
    // Row 4 has the truncate's order: what is from before does not touch it.
    let committed = shop.commit(&[change(Op::Update, 4, 19), change(Op::Delete, 2, 18)]).await;
    assert_eq!((committed.ignored_changes, shop.ids()), (2, vec![2, 4]));
    shop.commit(&[change(Op::Update, 4, 22), Change::truncate(30), change(Op::Snapshot, 5, 0).at(31)]).await;
    assert_eq!(shop.ids(), [5]);
    assert_eq!(shop.model.stored[&5].1, 30);
}

#[tokio::test]
async fn a_truncate_of_an_empty_table_replaces_nothing() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        let committed = shop.commit(&[Change::truncate(20)]).await;
        assert_eq!((committed.files, shop.newest().await.0), (0, Action::ReplaceCommit));
        shop.reopen().await;
        shop.commit(&[inserts(0..2, 10), inserts(2..4, 30)].concat()).await;
        assert_eq!(shop.ids(), [2, 3]);
    }
}

#[tokio::test]
async fn a_table_can_be_truncated_again_and_again() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        for round in 1..5 {
            shop.commit(&inserts(0..8, round * 100)).await;
            shop.commit(&[Change::truncate(round * 100 + 1)]).await;
            assert_eq!((shop.ids(), shop.newest().await.0), (vec![], Action::ReplaceCommit));
            assert_eq!(shop.writer.table().files().await.unwrap(), []);
            if round % 2 == 0 {
                shop.reopen().await;
            }
        }
        // Nothing is left to replace.
        shop.commit(&[Change::truncate(900)]).await;
        assert_eq!(shop.newest().await.1.replaced_file_ids().count(), 0);
    }
}

#[tokio::test]
async fn a_table_without_a_key_is_truncated_too() {
    for table in
        [NewTable::new("t", Vec::<String>::new()), NewTable::new("t", Vec::<String>::new()).partition_by(["region"])]
    {
        let mut shop = Shop::new(&table).await;
        shop.commit(&[inserts(0..5, 10), inserts(5..8, 50)].concat()).await;
        shop.commit(&[inserts(10..12, 20), vec![Change::truncate(30)], inserts(12..15, 40)].concat()).await;
        assert_eq!(shop.ids(), [5, 6, 7, 12, 13, 14]);
        shop.commit(&[Change::truncate(60)]).await;
        assert!(shop.ids().is_empty(), "{:?}", shop.ids());
    }
}

#[tokio::test]
async fn statistics_and_rows_tell_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let settings = WriterSettings { row_group_bytes: 1 << 20, ..WriterSettings::default() };
    let builder = TableWriter::builder(folder.path().to_str().unwrap()).settings(settings);
    let mut writer = builder.create(&NewTable::new("t", ["id"])).await.unwrap();
    let mut model = Model::default();
    let mut random = Seeded(3);
    // Several row groups, of which only the last has a survivor.
    let mut text = || (0..100).map(|_| char::from(b'a' + random.below(26) as u8)).collect::<String>();
    let mut rows: Vec<Change> =
        inserts(0..30_000, 10).into_iter().map(|row| Change { name: Some(Some(text())), ..row }).collect();
    rows.push(change(Op::Insert, 30_000, 50));
    let _ = writer.write(&batch(&rows, 0)).unwrap();
    model.commit(&rows);
    commit(&mut writer).await;
    for (round, truncate) in [Change::truncate(30), Change::truncate(60)].into_iter().enumerate() {
        let _ = writer.write(&batch(std::slice::from_ref(&truncate), 30_001 + round as i64)).unwrap();
        model.commit(&[truncate]);
        commit(&mut writer).await;
        assert_is(writer.table(), &model).await;
        assert_eq!(model.stored.len(), 1 - round);
    }
}

#[tokio::test]
async fn files_of_which_nothing_is_left_are_not_read() {
    let mut shop = Shop::new(&NewTable::new("t", ["region", "id"]).partition_by(["region"])).await;
    shop.commit(&inserts(0..300, 10)).await;
    for file in shop.writer.table().files().await.unwrap() {
        damage_rows(&shop.folder.path().join(&file.path));
    }
    let committed = shop.commit(&[Change::truncate(20), change(Op::Insert, 1, 30)]).await;
    assert_eq!((committed.deleted_rows, committed.inserted_rows), (300, 1));
}

#[tokio::test]
async fn a_truncate_that_cannot_be_followed_is_refused() {
    let mut shop = Shop::plain().await;
    shop.commit(&inserts(0..3, 10)).await;
    let mut without_position = batch(&[Change::truncate(20)], shop.offset);
    without_position.orders = arrow::array::new_null_array(without_position.orders.data_type(), 1);
    let mut of_another = batch(&[Change::truncate(20)], shop.offset + 1);
    of_another.source = "elsewhere".into();
    for (sent, reason) in [(without_position, "position"), (of_another, "several sources")] {
        let taken = shop.writer.write(&sent).unwrap();
        assert_eq!((taken.truncates, taken.refused.len()), (0, 1));
        assert!(taken.refused[0].reason.contains(reason), "{taken:?}");
    }
    commit(&mut shop.writer).await;
    shop.assert_is_model().await;
}

/// Random histories with truncates, late changes and snapshot rows, in several batches and commits.
async fn history(seed: u64, table: &NewTable) {
    let mut shop = Shop::new(table).await;
    let may_move = shop.writer.index() == Index::GlobalSimple;
    let (mut random, mut order) = (Seeded(seed), 100);
    for round in 0..10 {
        let mut of_commit = vec![];
        for _ in 0..=random.below(3) {
            let mut changes: Vec<Change> =
                (0..=random.below(30)).map(|_| any_change(&mut random, &mut order)).collect();
            if may_move {
                let regions = ["a", "b", "c"];
                changes.iter_mut().filter(|c| c.op != Op::Truncate).for_each(|change| {
                    change.region = Some(regions[random.below(3) as usize].to_owned());
                });
            }
            if table.key.is_empty() {
                changes.retain(|change| matches!(change.op, Op::Insert | Op::Snapshot | Op::Truncate));
                changes.iter_mut().zip(shop.offset..).for_each(|(change, at)| change.id = at);
            }
            shop.write(&changes);
            of_commit.extend(changes);
        }
        shop.model.commit(&of_commit);
        let _ = shop.writer.commit(&any_original).await.unwrap();
        shop.assert_is_model().await;
        if random.below(3) == 0 {
            shop.reopen().await;
            assert_eq!(shop.writer.checkpoint().next_offset("shop.orders", 0).unwrap_or(0), shop.offset, "{round}");
        }
    }
}

fn any_change(random: &mut Seeded, order: &mut i64) -> Change {
    *order += 1;
    if random.below(25) == 0 {
        // Some are re-delivered, or late.
        return Change::truncate(*order - random.below(8) as i64);
    }
    let op = [Op::Insert, Op::Update, Op::Update, Op::Delete, Op::Snapshot][random.below(5) as usize];
    let late = if random.below(3) == 0 { random.below(40) as i64 } else { 0 };
    let made = change(op, random.below(40) as i64, *order - late);
    match op {
        // Read before or after the last truncate.
        Op::Snapshot => made.at(*order + 10 - random.below(20) as i64),
        Op::Update if random.below(3) == 0 => made.without_name(),
        _ => made,
    }
}

#[tokio::test]
async fn tables_are_their_model_whatever_is_truncated() {
    for seed in 0..4 {
        for table in tables() {
            history(seed, &table).await;
        }
        history(seed, &NewTable::new("t", Vec::<String>::new())).await;
    }
}
