//! Histories of inserts, updates, deletes and snapshot rows, against the model, by index and by partitioning.

use std::num::NonZeroU32;

use hudi_core::change::Op;
use hudi_core::commit::WriteStat;
use hudi_writer::{Index, NewTable, Table, TableWriter, WriterSettings};

use crate::model::{Change, Model, Seeded, assert_is, batch, commit};

fn bucket(buckets: u32) -> Index {
    Index::Bucket(NonZeroU32::new(buckets).unwrap())
}

/// [`history_at`] in a folder of its own.
async fn history(seed: u64, table: NewTable) {
    let folder = tempfile::tempdir().unwrap();
    history_at(folder.path().to_str().unwrap(), seed, table).await;
}

/// Random histories in several commits, the table opened anew now and then.
pub(crate) async fn history_at(url: &str, seed: u64, table: NewTable) {
    let mut random = Seeded(seed);
    let mut writer = TableWriter::builder(url).create(&table).await.unwrap();
    let (mut model, mut offset, mut order) = (Model::default(), 0, 100);
    let may_move = writer.index() == Index::GlobalSimple;
    for round in 0..8 {
        for _ in 0..=random.below(2) {
            let mut changes: Vec<Change> = (0..=random.below(60)).map(|_| change(&mut random, &mut order)).collect();
            if may_move {
                changes.iter_mut().for_each(|change| moved(change, &mut random));
            }
            changes.iter().for_each(|change| model.apply(change));
            let taken = writer.write(&batch(&changes, offset)).unwrap();
            assert_eq!(taken.refused, []);
            offset += changes.len() as i64;
        }
        commit(&mut writer).await;
        model.committed();
        assert_is(writer.table(), &model).await;
        if random.below(3) == 0 {
            writer = TableWriter::builder(url).open().await.unwrap();
            assert_eq!(writer.checkpoint().next_offset("shop.orders", 0), Some(offset), "round {round}");
        }
    }
    assert_is(&Table::open(url).await.unwrap(), &model).await;
}

fn change(random: &mut Seeded, order: &mut i64) -> Change {
    let op = [Op::Insert, Op::Update, Op::Update, Op::Update, Op::Delete, Op::Snapshot][random.below(6) as usize];
    *order += 1;
    // Some come late, some at once.
    let late = if random.below(5) == 0 { random.below(30) as i64 } else { 0 };
    let change = Change::new(op, random.below(40) as i64, *order - late);
    if op == Op::Update && random.below(3) == 0 { change.without_name() } else { change }
}

/// The change, in any region or without one.
fn moved(change: &mut Change, random: &mut Seeded) {
    change.region = match (random.below(4), change.op) {
        (0, Op::Delete) => None,
        // Its name may not be there either.
        (0, Op::Update) => None,
        (any, _) => Some(format!("r{any}")),
    };
}

#[tokio::test]
async fn tables_are_their_model_whatever_the_index() {
    for seed in 0..6 {
        history(seed, NewTable::new("t", ["id"])).await;
        history(seed, NewTable::new("t", ["id"]).index(bucket(3))).await;
        history(seed, NewTable::new("t", ["id"]).index(Index::GlobalSimple)).await;
    }
}

#[tokio::test]
async fn tables_are_their_model_when_partitioned() {
    for seed in 10..14 {
        let partitioned = NewTable::new("t", ["region", "id"]).partition_by(["region"]);
        history(seed, partitioned.clone()).await;
        history(seed, partitioned.clone().index(bucket(2))).await;
        history(seed, NewTable::new("t", ["id"]).partition_by(["region"])).await;
    }
}

#[tokio::test]
async fn new_rows_fill_small_files_before_new_ones_are_begun() {
    let folder = tempfile::tempdir().unwrap();
    let settings = WriterSettings { target_file_bytes: 1 << 20, ..WriterSettings::default() };
    let builder = TableWriter::builder(folder.path().to_str().unwrap()).settings(settings);
    let mut writer = builder.create(&NewTable::new("t", ["id"])).await.unwrap();
    let mut model = Model::default();
    for round in 0..3 {
        let changes: Vec<Change> =
            (0..20_000).map(|i| Change::new(Op::Insert, round * 20_000 + i, round + 1)).collect();
        changes.iter().for_each(|change| model.apply(change));
        writer.write(&batch(&changes, round * 20_000)).unwrap().refused.is_empty().then_some(()).unwrap();
        commit(&mut writer).await;
    }
    let files = writer.table().files().await.unwrap();
    assert!((2..=4).contains(&files.len()), "{files:?}");
    assert!(files.iter().all(|file| file.size_bytes < 2 << 20), "{files:?}");
    assert_is(writer.table(), &model).await;
}

#[tokio::test]
async fn small_commits_of_new_rows_rewrite_small_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = WriterSettings { target_file_bytes: 1 << 20, ..WriterSettings::default() };
    let builder = TableWriter::builder(folder.path().to_str().unwrap()).settings(settings);
    let mut writer = builder.create(&NewTable::new("t", ["id"])).await.unwrap();
    let (mut model, mut written, mut largest) = (Model::default(), 0, 0);
    for round in 0..40 {
        let changes: Vec<Change> =
            (0..1_000).map(|i| Change::new(Op::Insert, 1_000_000 + round * 1_000 + i, round + 1)).collect();
        changes.iter().for_each(|change| model.apply(change));
        writer.write(&batch(&changes, round * 1_000)).unwrap().refused.is_empty().then_some(()).unwrap();
        let committed = commit(&mut writer).await;
        (written, largest) = (written + committed.bytes, largest.max(committed.bytes));
    }
    let files = writer.table().files().await.unwrap();
    let stored: u64 = files.iter().map(|file| file.size_bytes).sum();
    assert!(stored > 1 << 20 && largest < 400 << 10, "{stored} bytes, {largest} in one commit: {files:?}");
    assert!(written < 6 * stored, "{written} bytes were written for {stored}");
    assert_is(writer.table(), &model).await;
    // A file that is rewritten anyway takes new rows up to the whole size.
    let (old, new) = (Change::new(Op::Update, 1_000_000, 50), Change::new(Op::Insert, 2_000_000, 50));
    model.apply(&old);
    model.apply(&new);
    let _ = writer.write(&batch(&[old, new], 40_000)).unwrap();
    assert_eq!(commit(&mut writer).await.files, 1);
    assert_is(writer.table(), &model).await;
}

#[tokio::test]
async fn memory_follows_row_groups_and_large_files_go_out_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let settings = WriterSettings { row_group_bytes: 1 << 20, ..WriterSettings::default() };
    let builder = TableWriter::builder(folder.path().to_str().unwrap()).settings(settings);
    let mut writer = builder.create(&NewTable::new("t", ["id"]).index(bucket(1))).await.unwrap();
    let mut random = Seeded(7);
    let mut text = || (0..400).map(|_| char::from(b'a' + random.below(26) as u8)).collect::<String>();
    let mut model = Model::default();
    let changes: Vec<Change> =
        (0..60_000).map(|id| Change { name: Some(Some(text())), ..Change::new(Op::Insert, id, 1) }).collect();
    changes.iter().for_each(|change| model.apply(change));
    let _ = writer.write(&batch(&changes, 0)).unwrap();
    commit(&mut writer).await;
    let update = [Change::new(Op::Update, 59_999, 2), Change::new(Op::Delete, 0, 2)];
    update.iter().for_each(|change| model.apply(change));
    let _ = writer.write(&batch(&update, 60_000)).unwrap();
    let committed = commit(&mut writer).await;
    assert_eq!((committed.updated_rows, committed.deleted_rows), (1, 1));
    assert!(committed.bytes > 10 << 20, "{committed:?}");
    assert_is(writer.table(), &model).await;
}

#[tokio::test]
async fn statistics_say_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let builder = TableWriter::builder(folder.path().to_str().unwrap());
    let mut writer = builder.create(&NewTable::new("t", ["id"])).await.unwrap();
    let first: Vec<Change> = (0..10).map(|id| Change::new(Op::Insert, id, 1)).collect();
    let _ = writer.write(&batch(&first, 0)).unwrap();
    commit(&mut writer).await;
    let second = [Change::new(Op::Update, 1, 2), Change::new(Op::Delete, 2, 2), Change::new(Op::Insert, 77, 2)];
    let older = [Change::new(Op::Update, 3, 0), Change::new(Op::Delete, 999, 3)];
    let _ = writer.write(&batch(&[&second[..], &older[..]].concat(), 10)).unwrap();
    let committed = commit(&mut writer).await;
    assert_eq!((committed.inserted_rows, committed.updated_rows, committed.deleted_rows), (1, 1, 1));
    assert_eq!((committed.ignored_changes, committed.files), (1, 1));
    let table = writer.table();
    let [before, last] = table.timeline().completed_writes().collect::<Vec<_>>()[..] else { panic!("two commits") };
    let metadata = table.commit_metadata(last).await.unwrap();
    let stat: &WriteStat = metadata.write_stats().next().unwrap();
    assert_eq!((stat.num_writes, stat.num_inserts, stat.num_update_writes, stat.num_deletes), (10, 1, 1, 1));
    assert_eq!(stat.prev_commit, Some(before.time.to_string()));
    assert_eq!(stat.file_size_in_bytes, stat.total_write_bytes);
}
