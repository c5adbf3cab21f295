//! Commits: what they carry, what is told from what was there already, and what is refused by the row.

use hudi_core::change::{Op, OrderKind, columns};
use hudi_core::layout;
use hudi_core::version::TimelineLayout;
use hudi_writer::{CommitOutcome, Error, NewTable, Table, TableWriter, WriterSettings};

use crate::model::{Change, Model, any_original, assert_is, batch, commit, rows_of, type_of};

fn inserts(ids: std::ops::Range<i64>, order: i64) -> Vec<Change> {
    ids.map(|id| Change::new(Op::Insert, id, order)).collect()
}

#[tokio::test]
async fn what_is_in_the_table_is_not_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut writer = TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
    let changes = batch(&inserts(0..5, 1), 0);
    assert_eq!(writer.write(&changes).unwrap().upserts, 5);
    commit(&mut writer).await;
    assert_eq!(writer.commit(&any_original).await.unwrap(), CommitOutcome::Empty);

    let mut writer = TableWriter::builder(url).open().await.unwrap();
    assert_eq!(writer.write(&changes).unwrap().covered, 5);
    assert_eq!(writer.commit(&any_original).await.unwrap(), CommitOutcome::Empty);

    // The connector restarts: the same changes under new offsets, and one that is new.
    let mut again = batch(&inserts(0..6, 1), 5);
    again.run = Some("run 2".into());
    again.positions = batch(&inserts(0..6, 1), 0).positions;
    again.fingerprints = (0..6).collect();
    again.source_ts_ms = batch(&inserts(0..6, 1), 0).source_ts_ms;
    let taken = writer.write(&again).unwrap();
    assert_eq!((taken.redelivered, taken.upserts), (5, 1));
    commit(&mut writer).await;
    assert_eq!(rows_of(writer.table()).await.len(), 6);
}

#[tokio::test]
async fn a_deleted_row_stays_deleted_when_its_insert_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut writer = TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
    let history = [Change::new(Op::Insert, 1, 1), Change::new(Op::Delete, 1, 2)];
    for (offset, change) in history.iter().enumerate() {
        let _ = writer.write(&batch(std::slice::from_ref(change), offset as i64)).unwrap();
        commit(&mut writer).await;
    }
    let mut again = batch(&history[..1], 2);
    (again.run, again.positions) = (Some("run 2".into()), batch(&history[..1], 0).positions);
    again.source_ts_ms = batch(&history[..1], 0).source_ts_ms;
    assert_eq!(writer.write(&again).unwrap().redelivered, 1);
    commit(&mut writer).await;
    assert_is(writer.table(), &Model::default()).await;
}

#[tokio::test]
async fn a_source_that_went_back_stops_the_writer_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        TableWriter::builder(folder.path().to_str().unwrap()).create(&NewTable::new("t", ["id"])).await.unwrap();
    let _ = writer.write(&batch(&inserts(0..5, 1), 100)).unwrap();
    let mut restored = batch(&inserts(0..1, 1), 105);
    (restored.run, restored.positions) = (Some("run 2".into()), batch(&inserts(0..1, 1), 1).positions);
    let error = writer.write(&restored).unwrap_err();
    assert!(matches!(error, Error::SourceWentBack { .. }), "{error}");
    assert_eq!(writer.checkpoint().next_offset("shop.orders", 0), Some(105));
}

#[tokio::test]
async fn a_commit_carries_schema_checkpoints_of_all_pipelines_and_the_streamers_key() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut writer = TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
    let _ = writer.write(&batch(&inserts(0..5, 1), 0)).unwrap();
    commit(&mut writer).await;
    let other = WriterSettings { pipeline: "other".to_owned(), ..WriterSettings::default() };
    let mut writer = TableWriter::builder(url).settings(other).open().await.unwrap();
    assert_eq!(writer.checkpoint().next_offset("shop.orders", 0), None);
    writer.advance("shop.orders", 3, 9);
    let committed = commit(&mut writer).await;
    assert_eq!(committed.files, 0);

    let table = Table::open(url).await.unwrap();
    let last = table.timeline().completed_writes().next_back().unwrap();
    let metadata = table.commit_metadata(last).await.unwrap();
    let keys: Vec<&str> = metadata.extra_metadata.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["cdc.attempt", "cdc.checkpoint.default", "cdc.checkpoint.other", "deltastreamer.checkpoint.key", "schema"]
    );
    assert_eq!(metadata.extra_metadata["deltastreamer.checkpoint.key"], "shop.orders,3:9");
    assert_eq!(type_of(&table, columns::ORDER), OrderKind::Long.data_type());
    let writer = TableWriter::builder(url).open().await.unwrap();
    assert_eq!(writer.checkpoint().next_offset("shop.orders", 0), Some(5));
}

#[tokio::test]
async fn a_partial_change_of_a_row_that_is_nowhere_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        TableWriter::builder(folder.path().to_str().unwrap()).create(&NewTable::new("t", ["id"])).await.unwrap();
    let changes = [Change::new(Op::Update, 1, 1).without_name(), Change::new(Op::Insert, 2, 1)];
    let mut model = Model::default();
    changes.iter().for_each(|change| model.apply(change));
    let _ = writer.write(&batch(&changes, 0)).unwrap();
    let committed = commit(&mut writer).await;
    assert_eq!(committed.dead_letters, 1);
    let letters = std::fs::read_to_string(folder.path().join(layout::dead_letters(committed.instant))).unwrap();
    assert!(letters.contains(r#""stage":"write""#) && letters.contains(r#""offset":0"#), "{letters}");
    assert_is(writer.table(), &model).await;
}

#[tokio::test]
async fn rows_without_a_key_are_refused_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let table = NewTable::new("t", ["name", "id"]).partition_by(["name"]);
    let mut writer = TableWriter::builder(folder.path().to_str().unwrap()).create(&table).await.unwrap();
    let mut changes = inserts(0..3, 1);
    changes[0].name = Some(Some(String::new()));
    changes[1] = Change::new(Op::Update, 1, 1).without_name();
    let taken = writer.write(&batch(&changes, 0)).unwrap();
    assert_eq!(taken.upserts, 1);
    let offsets: Vec<i64> = taken.refused.iter().map(|refused| refused.origin.offset).collect();
    assert_eq!(offsets, [0, 1]);
    assert!(taken.refused[1].reason.contains("did not send `name`"), "{:?}", taken.refused);
}

#[tokio::test]
async fn a_delete_in_the_wrong_partition_is_told_where_partitions_are_outside_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = NewTable::new("t", ["id"]).partition_by(["region"]);
    table.partition_immutable = true;
    let mut writer = TableWriter::builder(folder.path().to_str().unwrap()).create(&table).await.unwrap();
    let _ = writer.write(&batch(&inserts(0..3, 1), 0)).unwrap();
    commit(&mut writer).await;
    let wrong = Change::new(Op::Delete, 1, 2).in_region("elsewhere");
    let _ = writer.write(&batch(&[wrong, Change::new(Op::Delete, 2, 2)], 3)).unwrap();
    let committed = commit(&mut writer).await;
    assert_eq!((committed.deleted_rows, committed.dead_letters), (1, 1));
    assert_eq!(rows_of(writer.table()).await.len(), 2);
}

#[tokio::test]
async fn columns_are_added_and_widened_as_the_changes_bring_them() {
    use arrow::array::{Float64Array, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        TableWriter::builder(folder.path().to_str().unwrap()).create(&NewTable::new("t", ["id"])).await.unwrap();
    let _ = writer.write(&batch(&inserts(0..3, 1), 0)).unwrap();
    commit(&mut writer).await;
    let mut wider = batch(&inserts(2..5, 2), 3);
    let fields = vec![
        Field::new("id", DataType::Int64, true),
        Field::new("amount", DataType::Float64, true),
        Field::new("extra", DataType::Int64, true),
    ];
    let columns: Vec<arrow::array::ArrayRef> = vec![
        wider.rows.column(0).clone(),
        std::sync::Arc::new(Float64Array::from(vec![0.5; 3])),
        std::sync::Arc::new(Int64Array::from(vec![7; 3])),
    ];
    wider.rows = arrow::array::RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns).unwrap();
    wider.unsent = vec![None; 3];
    let _ = writer.write(&wider).unwrap();
    commit(&mut writer).await;
    assert_eq!(type_of(writer.table(), "amount"), DataType::Float64);
    let names: Vec<&str> = writer.table().columns().unwrap().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["id", "region", "name", "amount", columns::OP, columns::ORDER, columns::SOURCE_TS, "extra"]);
    let report = hudi_writer::check_table(writer.table()).await.unwrap();
    assert_eq!((report.rows, report.problems), (5, vec![]));

    // Narrower again is no loss; text is another meaning.
    let _ = writer.write(&batch(&inserts(9..10, 3), 6)).unwrap();
    commit(&mut writer).await;
    let mut text = batch(&inserts(9..10, 4), 7);
    text.rows = text.rows.project(&[0, 2]).unwrap();
    let renamed = Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("Extra", DataType::Utf8, true)]);
    text.rows = arrow::array::RecordBatch::try_new(std::sync::Arc::new(renamed), text.rows.columns().to_vec()).unwrap();
    text.unsent = vec![None; 2];
    assert!(writer.write(&text).unwrap_err().to_string().contains("Extra"));
}

#[tokio::test]
async fn two_writers_of_one_process_do_not_overwrite_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut one = TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
    let mut other = TableWriter::builder(url).open().await.unwrap();
    let _ = one.write(&batch(&inserts(0..3, 1), 0)).unwrap();
    let _ = other.write(&batch(&inserts(0..3, 1), 0)).unwrap();
    let with = commit(&mut one).await.instant;
    assert_eq!(other.commit(&any_original).await.unwrap(), CommitOutcome::Conflicted { with });
    let mut other = TableWriter::builder(url).open().await.unwrap();
    assert_eq!(other.write(&batch(&inserts(0..4, 1), 0)).unwrap().covered, 3);
    commit(&mut other).await;
    assert_eq!(rows_of(other.table()).await.len(), 4);
}

#[tokio::test]
async fn the_timeline_holds_all_three_states_and_no_markers() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        TableWriter::builder(folder.path().to_str().unwrap()).create(&NewTable::new("t", ["id"])).await.unwrap();
    let _ = writer.write(&batch(&inserts(0..3, 1), 0)).unwrap();
    let instant = commit(&mut writer).await.instant;
    let names = |of: &std::path::Path| -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(of).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let hoodie = folder.path().join(layout::timeline_dir(TimelineLayout::V1));
    let files: Vec<String> = names(&hoodie).into_iter().filter(|name| name.starts_with("20")).collect();
    assert_eq!(
        files,
        [format!("{instant}.commit"), format!("{instant}.commit.requested"), format!("{instant}.inflight")]
    );
    assert!(!folder.path().join(layout::batched_markers(instant, 0)).exists());
    assert!(names(folder.path()).contains(&layout::PARTITION_METADATA_FILE.to_owned()));
}
