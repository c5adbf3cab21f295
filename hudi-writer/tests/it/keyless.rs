//! Tables without a key: rows are only added, each once.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use futures::TryStreamExt;
use hudi_core::change::Op;
use hudi_core::dead_letter::Stage;
use hudi_core::properties::keys;
use hudi_core::schema::meta;
use hudi_writer::{Error, Index, NewTable, ReadOptions, Table, TableWriter, WriterSettings};

use crate::model::{Change, Model, assert_is, batch, commit};

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
async fn updates_and_deletes_are_refused_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TableWriter::builder(folder.path().to_str().unwrap()).create(&keyless()).await.unwrap();
    let changes = [Op::Insert, Op::Update, Op::Delete, Op::Snapshot].map(|op| Change::new(op, 1, 10));
    let taken = writer.write(&batch(&changes, 0)).unwrap();
    assert_eq!((taken.upserts, taken.deletes), (2, 0));
    let refused: Vec<_> = taken.refused.iter().map(|refused| (refused.origin.offset, refused.stage)).collect();
    assert_eq!(refused, [(1, Stage::Key), (2, Stage::Key)]);
    assert!(taken.refused.iter().all(|refused| refused.reason.contains("--key")));
    // A part of a row is none.
    let _ = writer.write(&batch(&[Change::new(Op::Insert, 2, 11).without_name()], 4)).unwrap();
    let committed = commit(&mut writer).await;
    assert_eq!((committed.inserted_rows, committed.dead_letters), (2, 1));
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
