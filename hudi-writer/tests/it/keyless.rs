//! Tables without a key: each row once, told by all of its values.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use futures::TryStreamExt;
use hudi_core::change::{ChangeBatch, Op};
use hudi_core::dead_letter::Stage;
use hudi_core::layout;
use hudi_core::properties::keys;
use hudi_core::schema::meta;
use hudi_writer::{
    CommitOutcome, Error, Index, NewTable, ReadOptions, Table, TableWriter, WriterSettings, check_table,
};

use crate::model::{Change, Model, Seeded, any_original, assert_is, batch, commit, texts};

fn keyless() -> NewTable {
    NewTable::new("t", Vec::<String>::new())
}

fn inserts(ids: std::ops::Range<i64>) -> Vec<Change> {
    ids.map(|id| Change::new(if id % 3 == 0 { Op::Snapshot } else { Op::Insert }, id, 10 + id)).collect()
}

/// The values of a meta column, of all rows.
async fn all(table: &Table, column: &str) -> Vec<String> {
    let options = ReadOptions { columns: Some(vec![column.to_owned()]), meta_columns: true };
    let batches: Vec<_> = table.snapshot(&options).await.unwrap().try_collect().await.unwrap();
    batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().map(|v| v.unwrap().to_owned())).collect()
}

#[tokio::test]
async fn rows_are_added_and_keep_the_key_that_was_made_up_for_them() {
    for table in [keyless(), keyless().partition_by(["region"])] {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().to_str().unwrap();
        let mut writer = TableWriter::builder(url).create(&table).await.unwrap();
        let (mut model, mut before) = (Model::default(), BTreeSet::new());
        for round in 0..4 {
            let changes = inserts(round * 10..round * 10 + 10);
            changes.iter().for_each(|change| model.apply(change));
            assert_eq!(writer.write(&batch(&changes, round * 10)).unwrap().upserts, 10);
            let committed = commit(&mut writer).await;
            assert_eq!((committed.inserted_rows, committed.updated_rows), (10, 0));
            assert_is(writer.table(), &model).await;
            let made: Vec<String> = all(writer.table(), meta::RECORD_KEY).await;
            let unique: BTreeSet<String> = made.iter().cloned().collect();
            assert_eq!((unique.len(), made.len()), (model.stored.len(), model.stored.len()));
            assert!(before.is_subset(&unique), "a row's key changed");
            before = unique;
            writer = TableWriter::builder(url).open().await.unwrap();
        }
        // As many files as partitions: small ones are filled.
        let partitions = if table.partition_by.is_empty() { 1 } else { 3 };
        assert_eq!(writer.table().files().await.unwrap().len(), partitions);
    }
}

#[tokio::test]
async fn the_table_is_one_of_hudis_own_without_a_key() {
    for (partition_by, class) in
        [(vec![], keys::NON_PARTITIONED_KEY_GENERATOR), (vec!["region"], keys::SIMPLE_KEY_GENERATOR)]
    {
        let folder = tempfile::tempdir().unwrap();
        let builder = TableWriter::builder(folder.path().to_str().unwrap());
        let mut writer = builder.create(&keyless().partition_by(partition_by)).await.unwrap();
        let properties = writer.table().properties();
        assert_eq!((properties.get(keys::RECORDKEY_FIELDS), writer.index()), (None, Index::Simple));
        assert_eq!(properties.get(keys::KEYGENERATOR_CLASS), Some(class));
        let _ = writer.write(&batch(&[Change::new(Op::Insert, 1, 10)], 0)).unwrap();
        let instant = commit(&mut writer).await.instant;
        assert_eq!(all(writer.table(), meta::RECORD_KEY).await, [format!("{instant}_0_0")]);
    }
}

#[tokio::test]
async fn changes_that_do_not_tell_their_row_are_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TableWriter::builder(folder.path().to_str().unwrap()).create(&keyless()).await.unwrap();
    let changes = [Op::Insert, Op::Update, Op::Delete, Op::Snapshot].map(|op| Change::new(op, 1, 10));
    let mut sent = batch(&changes, 0);
    // Of the deleted row the source told a part only.
    sent.unsent[2] = Some([false, false, true, false].into_iter().collect());
    let taken = writer.write(&sent).unwrap();
    assert_eq!((taken.upserts, taken.deletes), (2, 0));
    let refused: Vec<_> = taken.refused.iter().map(|refused| (refused.origin.offset, refused.stage)).collect();
    assert_eq!(refused, [(1, Stage::Key), (2, Stage::Key)]);
    assert!(taken.refused.iter().all(|refused| refused.reason.contains("--key")));
    // A part of a row is none, and nothing is what this one was.
    let unknown = [Change::new(Op::Insert, 2, 11).without_name(), Change::new(Op::Delete, 7, 12)];
    let _ = writer.write(&batch(&unknown, 4)).unwrap();
    let committed = commit(&mut writer).await;
    assert_eq!((committed.inserted_rows, committed.deleted_rows, committed.dead_letters), (2, 0, 2));
    let letters = layout::dead_letters(committed.instant);
    let letters = std::fs::read_to_string(folder.path().join(letters)).unwrap();
    assert!(letters.contains(r#""offset":5"#) && letters.contains("--key"), "{letters}");
}

/// The same rows over and over, changed and removed: the table holds each as often as a plain list does.
#[tokio::test]
async fn a_delete_removes_one_of_equal_rows_and_an_update_changes_one() {
    for (seed, partition_by) in [(1, vec![]), (2, vec!["region"]), (3, vec!["region"]), (4, vec![])] {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().to_str().unwrap();
        let mut writer = TableWriter::builder(url).create(&keyless().partition_by(partition_by)).await.unwrap();
        let (mut random, mut list, mut offset, mut letters) = (Seeded(seed), vec![], 0, 0);
        for round in 0..8 {
            for _ in 0..random.below(12) {
                let (before, after) = (any_row(&mut random), any_row(&mut random));
                let at = list.iter().position(|row: &Change| row.text() == before.text());
                let sent = match random.below(4) {
                    0 | 1 => {
                        list.push(after.clone());
                        one(&[(Op::Insert, after)], offset)
                    }
                    2 => {
                        letters += u64::from(at.is_none());
                        at.map(|at| list.swap_remove(at));
                        one(&[(Op::Delete, before)], offset)
                    }
                    _ => {
                        letters += u64::from(at.is_none());
                        if let Some(at) = at {
                            list[at] = after.clone();
                        }
                        one(&[(Op::Delete, before), (Op::Update, after)], offset)
                    }
                };
                offset += 1;
                assert_eq!(writer.write(&sent).unwrap().refused, []);
            }
            if random.below(2) == 0 && round < 7 {
                continue;
            }
            if let CommitOutcome::Committed(done) = writer.commit(&any_original).await.unwrap() {
                letters -= done.dead_letters;
            }
            let mut wanted: Vec<String> = list.iter().map(Change::text).collect();
            wanted.sort_unstable();
            assert_eq!((values_of(writer.table()).await, letters), (wanted, 0), "seed {seed}, round {round}");
            assert_eq!(check_table(writer.table()).await.unwrap().problems, Vec::<String>::new());
            writer = TableWriter::builder(url).open().await.unwrap();
        }
        assert!(!list.is_empty());
    }
}

/// An update that sends a part of the row takes the rest from what the row was.
#[tokio::test]
async fn an_update_is_filled_from_the_image_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TableWriter::builder(folder.path().to_str().unwrap()).create(&keyless()).await.unwrap();
    let (old, new) = (Change::new(Op::Insert, 1, 10), Change::new(Op::Insert, 1, 20));
    let partial = Change { name: None, ..new.clone() };
    let filled = Change { name: old.name.clone(), ..new };
    let _ = writer.write(&batch(std::slice::from_ref(&old), 0)).unwrap();
    let _ = writer.write(&one(&[(Op::Delete, old), (Op::Update, partial)], 1)).unwrap();
    // It is that row for what comes next, in the same commit and in another.
    let third = Change::new(Op::Insert, 1, 30);
    let changed = [(Op::Delete, filled), (Op::Update, Change { name: None, ..third.clone() })];
    let _ = writer.write(&one(&changed, 2)).unwrap();
    assert_eq!(commit(&mut writer).await.dead_letters, 0);
    let filled = Change { name: Some(Some("name 1 at 10".to_owned())), ..third };
    assert_eq!(values_of(writer.table()).await, [filled.text()]);
    let _ = writer.write(&one(&[(Op::Delete, filled)], 3)).unwrap();
    assert_eq!(commit(&mut writer).await.deleted_rows, 1);
    assert_eq!(values_of(writer.table()).await, Vec::<String>::new());
}

/// One of twelve rows.
fn any_row(random: &mut Seeded) -> Change {
    let id = random.below(4) as i64;
    Change::new(Op::Insert, id, 1).in_region(format!("r{}", random.below(3)))
}

/// One message's changes, at one place of the source's log.
fn one(changes: &[(Op, Change)], offset: i64) -> ChangeBatch {
    let changes: Vec<Change> =
        changes.iter().map(|(op, change)| Change { op: *op, time: Some(offset), ..change.clone() }).collect();
    let mut sent = batch(&changes, offset);
    let first = sent.positions[0];
    sent.offsets.iter_mut().for_each(|at| *at = offset);
    sent.positions.iter_mut().for_each(|at| *at = first);
    sent
}

/// All rows, each as one text, in ascending order.
async fn values_of(table: &Table) -> Vec<String> {
    let batches: Vec<_> = table.snapshot(&ReadOptions::default()).await.unwrap().try_collect().await.unwrap();
    let mut values: Vec<String> = batches.iter().flat_map(texts).collect();
    values.sort_unstable();
    values
}

#[tokio::test]
async fn what_the_source_sends_again_is_not_added_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut writer = TableWriter::builder(url).create(&keyless()).await.unwrap();
    let changes: Vec<Change> = (0..10).map(|id| Change::new(Op::Insert, id, 10 + id)).collect();
    let mut model = Model::default();
    changes.iter().for_each(|change| model.apply(change));
    let _ = writer.write(&batch(&changes, 0)).unwrap();
    commit(&mut writer).await;
    let mut writer = TableWriter::builder(url).open().await.unwrap();
    // Under new offsets, by another run of the connector.
    let mut again = batch(&changes, 0);
    again.run = Some("run 2".into());
    again.offsets = (10..20).collect();
    assert_eq!(writer.write(&again).unwrap().redelivered, 10);
    commit(&mut writer).await;
    assert_is(writer.table(), &model).await;
}

#[tokio::test]
async fn a_second_partition_is_refused_unless_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut writer = TableWriter::builder(url).create(&keyless()).await.unwrap();
    let _ = writer.write(&batch(&inserts(0..3), 0)).unwrap();
    commit(&mut writer).await;
    let mut second = batch(&inserts(3..6), 0);
    second.partitions = vec![1; 3];
    let settings = WriterSettings { keyless_partitions: true, ..WriterSettings::default() };
    let mut reopened = TableWriter::builder(url).settings(settings).open().await.unwrap();
    for writer in [&mut writer, &mut TableWriter::builder(url).open().await.unwrap()] {
        let refused = writer.write(&second).unwrap_err();
        assert!(matches!(&refused, Error::Refused { .. }) && refused.to_string().contains("partition 1"), "{refused}");
    }
    assert_eq!(reopened.write(&second).unwrap().upserts, 3);
    commit(&mut reopened).await;
    let mut model = Model::default();
    inserts(0..6).iter().for_each(|change| model.apply(change));
    assert_is(reopened.table(), &model).await;
}
