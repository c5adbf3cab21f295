//! Schemas that change on the way: which column of the table takes what, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    StructArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use hudi_core::change::{ChangeBatch, Op, columns};
use hudi_core::commit::CommitMetadata;
use hudi_core::dead_letter::Stage;
use hudi_core::instant::{Action, Instant, InstantTime};
use hudi_core::layout;
use hudi_core::version::TimelineLayout;
use hudi_writer::{
    CommitOutcome, Index, NewTable, OnSchemaConflict, ReadOptions, Table, TableWriter, WriterSettings, check_table,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::model::{Change, any_original, batch, commit, type_of};

/// Updates of rows with these columns; the first is the key.
fn rows(columns: &[(&str, ArrayRef)], first_offset: i64) -> ChangeBatch {
    let count = columns[0].1.len() as i64;
    let changes: Vec<Change> = (0..count).map(|i| Change::new(Op::Update, i, first_offset + i + 1)).collect();
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let arrays = columns.iter().map(|(_, column)| Arc::clone(column)).collect();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    ChangeBatch { unsent: vec![None; columns.len()], rows, ..batch(&changes, first_offset) }
}

/// The same, out of messages that name all columns.
fn whole(columns: &[(&str, ArrayRef)], first_offset: i64) -> ChangeBatch {
    ChangeBatch { whole_schema: true, ..rows(columns, first_offset) }
}

/// The batch by another partition of its topic.
fn in_partition(partition: i32, batch: ChangeBatch) -> ChangeBatch {
    ChangeBatch { partitions: vec![partition; batch.num_rows()], ..batch }
}

fn ints<const N: usize>(values: [i64; N]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts<const N: usize>(values: [&str; N]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn flags<const N: usize>(values: [Option<bool>; N]) -> ArrayRef {
    Arc::new(BooleanArray::from(values.to_vec()))
}

async fn create(folder: &Path) -> TableWriter {
    TableWriter::builder(folder.to_str().unwrap()).create(&NewTable::new("t", ["id"])).await.unwrap()
}

async fn open(folder: &Path, on_schema_conflict: OnSchemaConflict) -> TableWriter {
    let settings = WriterSettings { on_schema_conflict, ..WriterSettings::default() };
    TableWriter::builder(folder.to_str().unwrap()).settings(settings).open().await.unwrap()
}

/// Commits a batch of which no row is refused.
async fn put(writer: &mut TableWriter, sent: &ChangeBatch) {
    assert_eq!(writer.write(sent).unwrap().refused, []);
    commit(writer).await;
}

/// Some columns of all rows by key, nulls as `-`; the table is sound.
async fn values(folder: &Path, names: &[&str]) -> BTreeMap<String, String> {
    let table = Table::open(folder.to_str().unwrap()).await.unwrap();
    assert_eq!(check_table(&table).await.unwrap().problems, Vec::<String>::new());
    let wanted = std::iter::once("id").chain(names.iter().copied()).map(str::to_owned).collect();
    let options = ReadOptions { columns: Some(wanted), meta_columns: false };
    let batches: Vec<RecordBatch> = table.snapshot(&options).await.unwrap().try_collect().await.unwrap();
    let mut values = BTreeMap::new();
    for batch in &batches {
        let options = FormatOptions::new().with_null("-");
        let columns: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let texts: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            values.insert(texts[0].clone(), texts[1..].join(" "));
        }
    }
    values
}

fn expected<const N: usize>(rows: [(&str, &str); N]) -> BTreeMap<String, String> {
    rows.into_iter().map(|(key, values)| (key.to_owned(), values.to_owned())).collect()
}

#[tokio::test]
async fn a_column_of_another_meaning_stops_the_writer_and_nothing_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    put(&mut writer, &rows(&[("id", ints([1, 2])), ("amount", ints([10, 20]))], 0)).await;
    let error = writer.write(&rows(&[("id", ints([2])), ("amount", flags([Some(true)]))], 2)).unwrap_err().to_string();
    for named in ["`amount`", "Int64", "Boolean", "on_schema_conflict", "new-column", "`amount_v2`", "dead-letter"] {
        assert!(error.contains(named), "{named} in {error}");
    }
    assert_eq!(writer.checkpoint().next_offset("shop.orders", 0), Some(2));
    assert_eq!(writer.commit(&any_original).await.unwrap(), CommitOutcome::Empty);
    // What is in the table already has no say, nor has a column without any value.
    let mut again = rows(&[("id", ints([2])), ("amount", flags([Some(true)]))], 0);
    again.offsets = vec![1];
    assert_eq!(writer.write(&again).unwrap().covered, 1);
    put(&mut writer, &rows(&[("id", ints([2])), ("amount", flags([None]))], 2)).await;
    assert_eq!(values(folder.path(), &["amount"]).await, expected([("1", "10"), ("2", "-")]));
}

#[tokio::test]
async fn a_new_meaning_goes_on_in_a_new_column_over_restarts_and_others_commits() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    put(&mut writer, &rows(&[("id", ints([1, 2, 3])), ("amount", ints([10, 20, 30]))], 0)).await;
    let mut writer = open(folder.path(), OnSchemaConflict::NewColumn).await;
    put(&mut writer, &rows(&[("id", ints([2])), ("amount", flags([Some(true)]))], 3)).await;
    assert_eq!(
        values(folder.path(), &["amount", "amount_v2"]).await,
        expected([("1", "10 -"), ("2", "- true"), ("3", "30 -")])
    );
    commit_as_others_do(folder.path());
    // Without the setting too: where it stands is known.
    let mut writer = open(folder.path(), OnSchemaConflict::Stop).await;
    put(&mut writer, &rows(&[("id", ints([3])), ("amount", flags([Some(false)]))], 4)).await;
    let known = writer.source_columns().unwrap();
    assert_eq!(known.field_with_name("amount").unwrap().data_type(), &DataType::Boolean);
    assert_eq!(known.fields().len(), 2);
    // A late message of the old meaning goes where it belongs.
    put(&mut writer, &rows(&[("id", ints([4])), ("amount", ints([40]))], 5)).await;
    let mut writer = open(folder.path(), OnSchemaConflict::NewColumn).await;
    let third = |value| Arc::new(arrow::array::BinaryArray::from_iter_values([value])) as ArrayRef;
    put(&mut writer, &rows(&[("id", ints([5])), ("amount", third(b"x"))], 6)).await;
    let all = values(folder.path(), &["amount", "amount_v2", "amount_v3"]).await;
    let wanted = [("1", "10 - -"), ("2", "- true -"), ("3", "- false -"), ("4", "40 - -"), ("5", "- - 78")];
    assert_eq!(all, expected(wanted));
    let map = Table::open(folder.path().to_str().unwrap()).await.unwrap().column_map().await.unwrap();
    let renamed: Vec<_> = map.renamed().collect();
    assert_eq!(renamed, [("amount", ["amount", "amount_v2", "amount_v3"].map(str::to_owned).as_slice())]);
    assert_eq!(&map, writer.column_map());
}

/// A commit that carries nothing of ours but the schema, above all others.
fn commit_as_others_do(folder: &Path) {
    let timeline = folder.join(layout::timeline_dir(TimelineLayout::V1));
    let names = std::fs::read_dir(&timeline).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let last = names.filter(|name| name.ends_with(".commit")).max().unwrap();
    let ours = CommitMetadata::from_json(&std::fs::read(timeline.join(&last)).unwrap()).unwrap();
    let mut theirs = CommitMetadata::default();
    theirs.set_schema(ours.schema().unwrap());
    let last = InstantTime::parse(last.strip_suffix(".commit").unwrap()).unwrap();
    let requested = Instant::requested(last.next(0), Action::Commit);
    for (instant, body) in [(requested, ""), (requested.inflight(), ""), (requested.completed(None), &theirs.to_json())]
    {
        std::fs::write(folder.join(layout::timeline_file(TimelineLayout::V1, &instant)), body).unwrap();
    }
}

#[tokio::test]
async fn rows_that_do_not_fit_are_refused_and_all_others_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    put(&mut writer, &rows(&[("id", ints([1, 2, 3])), ("amount", ints([10, 20, 30]))], 0)).await;
    let mut writer = open(folder.path(), OnSchemaConflict::DeadLetter).await;
    let amounts = flags([Some(true), None, Some(true)]);
    let mut sent = rows(&[("id", ints([1, 2, 3])), ("amount", amounts)], 3);
    sent.ops[2] = Op::Delete;
    let taken = writer.write(&sent).unwrap();
    assert_eq!((taken.upserts, taken.deletes, taken.refused.len()), (1, 1, 1));
    let refused = &taken.refused[0];
    assert_eq!((refused.stage, refused.origin.offset), (Stage::Schema, 3));
    assert!(["`amount`", "Int64", "Boolean"].iter().all(|named| refused.reason.contains(named)), "{}", refused.reason);
    commit(&mut writer).await;
    assert_eq!(values(folder.path(), &["amount"]).await, expected([("1", "10"), ("2", "-")]));
}

#[tokio::test]
async fn a_column_that_was_dropped_stays_and_comes_back_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    put(&mut writer, &whole(&[("id", ints([1, 2, 3])), ("x", ints([1, 2, 3])), ("y", ints([7, 7, 7]))], 0)).await;
    put(&mut writer, &whole(&[("id", ints([2])), ("y", ints([8]))], 3)).await;
    assert_eq!(values(folder.path(), &["x", "y"]).await, expected([("1", "1 7"), ("2", "- 8"), ("3", "3 7")]));
    assert_eq!(writer.column_map().dropped("shop.orders").collect::<Vec<_>>(), ["x"]);
    // It is no more even for the next writer; of the same type its old values would be taken for new ones.
    let back = whole(&[("id", ints([3, 4])), ("x", ints([30, 40])), ("y", ints([9, 9]))], 4);
    let mut writer = open(folder.path(), OnSchemaConflict::Stop).await;
    let error = writer.write(&back).unwrap_err().to_string();
    assert!(error.contains("`x`") && error.contains("dropped") && error.contains("`x_v2`"), "{error}");
    let mut writer = open(folder.path(), OnSchemaConflict::DeadLetter).await;
    assert_eq!(writer.write(&back).unwrap().refused.len(), 2);
    let mut writer = open(folder.path(), OnSchemaConflict::NewColumn).await;
    put(&mut writer, &back).await;
    let mut writer = open(folder.path(), OnSchemaConflict::Stop).await;
    put(&mut writer, &whole(&[("id", ints([5])), ("x", ints([50])), ("y", ints([9]))], 6)).await;
    let wanted = [("1", "1 -"), ("2", "- -"), ("3", "- 30"), ("4", "- 40"), ("5", "- 50")];
    assert_eq!(values(folder.path(), &["x", "x_v2"]).await, expected(wanted));
    assert_eq!(writer.column_map().dropped("shop.orders").count(), 0);
}

/// Partitions of a topic are read at different speeds: what is from before a change of the schema comes after what is from behind it.
#[tokio::test]
async fn late_rows_neither_drop_a_column_nor_bring_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    let at = |place: i64, batch: ChangeBatch| {
        let mut batch = in_partition(place as i32 % 2, batch);
        (batch.offsets, batch.positions) = (vec![place], rows(&[("id", ints([1]))], place).positions);
        batch.source_ts_ms = rows(&[("id", ints([1]))], place).source_ts_ms;
        batch
    };
    let with = |id: i64, x: i64| whole(&[("id", ints([id])), ("x", ints([x]))], 0);
    let without = |id: i64| whole(&[("id", ints([id]))], 0);
    // From place 20 on there is an x, at 40 it goes, and at 60 there is another.
    put(&mut writer, &at(11, without(1))).await;
    put(&mut writer, &at(21, with(2, 2))).await;
    put(&mut writer, &at(14, without(3))).await;
    assert_eq!(writer.column_map().dropped("shop.orders").count(), 0);
    put(&mut writer, &at(41, without(4))).await;
    assert_eq!(writer.column_map().dropped("shop.orders").collect::<Vec<_>>(), ["x"]);
    put(&mut writer, &at(24, with(5, 5))).await;
    assert_eq!(writer.column_map().dropped("shop.orders").collect::<Vec<_>>(), ["x"]);
    let mut writer = open(folder.path(), OnSchemaConflict::NewColumn).await;
    put(&mut writer, &at(61, with(6, 6))).await;
    let mut writer = open(folder.path(), OnSchemaConflict::Stop).await;
    put(&mut writer, &at(30, with(7, 7))).await;
    put(&mut writer, &at(44, without(8))).await;
    assert_eq!(writer.column_map().dropped("shop.orders").count(), 0);
    put(&mut writer, &at(64, with(9, 9))).await;
    let old = [("1", "- -"), ("2", "2 -"), ("3", "- -"), ("4", "- -"), ("5", "5 -")];
    let mut wanted = expected(old);
    wanted.extend(expected([("6", "- 6"), ("7", "7 -"), ("8", "- -"), ("9", "- 9")]));
    assert_eq!(values(folder.path(), &["x", "x_v2"]).await, wanted);
}

#[tokio::test]
async fn of_several_topics_each_has_its_own_columns() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    let other = |batch: ChangeBatch| ChangeBatch { topic: "other".into(), source: "other".into(), ..batch };
    put(&mut writer, &whole(&[("id", ints([1])), ("x", ints([1]))], 0)).await;
    put(&mut writer, &other(whole(&[("id", ints([11])), ("y", ints([11]))], 0))).await;
    put(&mut writer, &whole(&[("id", ints([2])), ("x", ints([2]))], 1)).await;
    // Neither ever had the other's, so that it drops nothing, and brings nothing back.
    put(&mut writer, &whole(&[("id", ints([3])), ("x", ints([3])), ("y", ints([3]))], 2)).await;
    put(&mut writer, &other(whole(&[("id", ints([12])), ("x", ints([12])), ("y", ints([12]))], 1))).await;
    let wanted = [("1", "1 -"), ("11", "- 11"), ("12", "12 12"), ("2", "2 -"), ("3", "3 3")];
    assert_eq!(values(folder.path(), &["x", "y"]).await, expected(wanted));
}

/// Of several tables in one topic each may have columns that the others have not.
#[tokio::test]
async fn tables_that_share_a_topic_drop_nothing_of_each_other() {
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path()).await);
    let settings = WriterSettings { tables_share_topics: true, ..WriterSettings::default() };
    let builder = TableWriter::builder(folder.path().to_str().unwrap()).settings(settings);
    let mut writer = builder.open().await.unwrap();
    for round in 0..3 {
        put(&mut writer, &whole(&[("id", ints([round])), ("x", ints([round]))], 2 * round)).await;
        put(&mut writer, &whole(&[("id", ints([10 + round]))], 2 * round + 1)).await;
    }
    let wanted = [("0", "0"), ("1", "1"), ("2", "2"), ("10", "-"), ("11", "-"), ("12", "-")];
    assert_eq!(values(folder.path(), &["x"]).await, expected(wanted));
}

/// One message may give two rows: neither is written without the other, and it is one dead letter.
#[tokio::test]
async fn a_message_is_refused_as_a_whole_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    put(&mut writer, &rows(&[("id", ints([1, 2])), ("n", ints([1, 2]))], 0)).await;
    let mut writer = open(folder.path(), OnSchemaConflict::DeadLetter).await;
    let mut moved = rows(&[("id", ints([1, 9, 2])), ("n", flags([None, Some(true), None]))], 2);
    (moved.ops, moved.offsets) = (vec![Op::Delete, Op::Update, Op::Update], vec![2, 2, 3]);
    let taken = writer.write(&moved).unwrap();
    assert_eq!((taken.upserts, taken.deletes), (1, 0));
    assert_eq!(taken.refused.iter().map(|refused| refused.origin.offset).collect::<Vec<_>>(), [2]);
    commit(&mut writer).await;
    assert_eq!(values(folder.path(), &["n"]).await, expected([("1", "1"), ("2", "-")]));
}

#[tokio::test]
async fn two_writers_agree_on_where_columns_stand() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    let columns = |x: i64| [("id", ints([x])), ("x", ints([x])), ("y", ints([x]))];
    put(&mut writer, &whole(&columns(1), 0)).await;
    put(&mut writer, &in_partition(1, whole(&columns(2), 0))).await;
    let mut one = open(folder.path(), OnSchemaConflict::Stop).await;
    let mut other = open(folder.path(), OnSchemaConflict::Stop).await;
    // Both see a column go, of different partitions: the same, then others.
    let _ = one.write(&whole(&[("id", ints([3])), ("y", ints([3]))], 5)).unwrap();
    let _ = other.write(&in_partition(1, whole(&[("id", ints([4])), ("x", ints([4]))], 1))).unwrap();
    let with = commit(&mut one).await.instant;
    assert_eq!(other.commit(&any_original).await.unwrap(), CommitOutcome::Conflicted { with });
    let mut other = open(folder.path(), OnSchemaConflict::Stop).await;
    put(&mut other, &in_partition(1, whole(&[("id", ints([4])), ("x", ints([4]))], 1))).await;
    let dropped: Vec<&str> = other.column_map().dropped("shop.orders").collect();
    assert_eq!(dropped, ["x", "y"]);
    let wanted = [("1", "1 1"), ("2", "2 2"), ("3", "- 3"), ("4", "4 -")];
    assert_eq!(values(folder.path(), &["x", "y"]).await, expected(wanted));
}

#[tokio::test]
async fn numbers_with_more_digits_than_the_column_holds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    put(&mut writer, &rows(&[("id", ints([1])), ("n", Arc::new(Float64Array::from(vec![0.5])))], 0)).await;
    let taken = writer.write(&rows(&[("id", ints([2, 3])), ("n", ints([7, (1 << 53) + 1]))], 1)).unwrap();
    let refused: Vec<_> = taken.refused.iter().map(|r| (r.origin.offset, r.stage)).collect();
    assert_eq!((taken.upserts, refused), (1, vec![(2, Stage::Schema)]));
    assert!(taken.refused[0].reason.contains("`n`") && taken.refused[0].reason.contains("Float64"));
    commit(&mut writer).await;
    assert_eq!(values(folder.path(), &["n"]).await, expected([("1", "0.5"), ("2", "7.0")]));
}

/// Other engines than Hudi's own read old files under some wider types as other values, or not at all.
#[tokio::test]
async fn a_column_that_outgrows_its_files_has_all_of_them_written_anew() {
    let short = |values: &[i32]| -> ArrayRef { Arc::new(Int32Array::from(values.to_vec())) };
    let wide = |numbers: [i64; 2]| -> ArrayRef {
        Arc::new(Decimal128Array::from(numbers.map(i128::from).to_vec()).with_precision_and_scale(12, 2).unwrap())
    };
    let ids: ArrayRef = Arc::new(Int64Array::from((1..=60).collect::<Vec<_>>()));
    let many: Vec<i32> = (1..=60).collect();
    for (table, groups) in [
        (NewTable::new("t", ["id"]).index(Index::Bucket(8.try_into().unwrap())), 8),
        (NewTable::new("t", ["id"]).partition_by(["p"]), 2),
        (NewTable::new("t", ["id"]).partition_by(["p"]).index(Index::GlobalSimple), 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().to_str().unwrap();
        let mut writer = TableWriter::builder(url).create(&table).await.unwrap();
        let of_two: ArrayRef =
            Arc::new(StringArray::from_iter_values((1..=60).map(|id| if id < 30 { "x" } else { "y" })));
        let first = [("id", Arc::clone(&ids)), ("n", short(&many)), ("m", short(&many)), ("p", of_two)];
        let _ = writer.write(&rows(&first, 0)).unwrap();
        assert_eq!(commit(&mut writer).await.files, groups);
        // Every engine reads an int as a long: one file is written.
        let second = [("id", ints([1])), ("n", short(&[1])), ("m", ints([1])), ("p", texts(["x"]))];
        let _ = writer.write(&rows(&second, 60)).unwrap();
        assert_eq!(commit(&mut writer).await.files, 1);
        let third = [("id", ints([1, 61])), ("n", wide([150, 250])), ("m", ints([1, 2])), ("p", texts(["x", "x"]))];
        let _ = writer.write(&rows(&third, 61)).unwrap();
        let grown = commit(&mut writer).await;
        assert_eq!((grown.inserted_rows, grown.updated_rows, grown.deleted_rows, grown.files), (1, 1, 0, groups));
        let mut wanted: BTreeMap<String, String> =
            (2..=60).map(|id| (format!("{id}"), format!("{id}.00 {id}"))).collect();
        wanted.extend(expected([("1", "1.50 1"), ("61", "2.50 2")]));
        assert_eq!(values(folder.path(), &["n", "m"]).await, wanted);
        for file in writer.table().files().await.unwrap() {
            let bytes = std::fs::read(folder.path().join(&file.path)).unwrap();
            let stored = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
            assert_eq!(stored.schema().field_with_name("n").unwrap().data_type(), &DataType::Decimal128(12, 2));
        }
        // Once is enough.
        let _ = writer.write(&rows(&third, 63)).unwrap();
        assert!(commit(&mut writer).await.files < groups);
    }
}

#[tokio::test]
async fn structs_grow_and_old_rows_keep_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    let of = |fields: [(&str, ArrayRef); 2]| -> ArrayRef {
        let types: Fields = fields.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
        Arc::new(StructArray::new(types, fields.map(|(_, column)| column).to_vec(), None))
    };
    put(&mut writer, &rows(&[("id", ints([1, 2])), ("s", of([("a", ints([1, 2])), ("b", texts(["x", "y"]))]))], 0))
        .await;
    // One field gone, another new: as many as before, in another order.
    put(&mut writer, &rows(&[("id", ints([2])), ("s", of([("c", texts(["z"])), ("a", ints([22]))]))], 2)).await;
    let wanted = [("1", "{a: 1, b: x, c: -}"), ("2", "{a: 22, b: -, c: z}")];
    assert_eq!(values(folder.path(), &["s"]).await, expected(wanted));
}

/// An update that does not send a column leaves it as it stands, in whatever column that is.
#[tokio::test]
async fn what_was_not_sent_stays_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    put(&mut writer, &rows(&[("id", ints([1, 2])), ("amount", ints([10, 20]))], 0)).await;
    let mut writer = open(folder.path(), OnSchemaConflict::NewColumn).await;
    let mut partial = rows(&[("id", ints([1, 2])), ("amount", flags([None, Some(true)])), ("y", ints([7, 8]))], 2);
    partial.unsent[1] = Some(BooleanBuffer::from_iter([true, false]));
    put(&mut writer, &partial).await;
    let wanted = [("1", "10 - 7"), ("2", "- true 8")];
    assert_eq!(values(folder.path(), &["amount", "amount_v2", "y"]).await, expected(wanted));
}

#[tokio::test]
async fn keys_keep_their_type_whatever_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    let short: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    put(&mut writer, &rows(&[("id", short), ("n", ints([1, 2]))], 0)).await;
    for setting in [OnSchemaConflict::Stop, OnSchemaConflict::NewColumn, OnSchemaConflict::DeadLetter] {
        let mut writer = open(folder.path(), setting).await;
        let error = writer.write(&rows(&[("id", texts(["2"])), ("n", ints([2]))], 2)).unwrap_err().to_string();
        assert!(["`id`", "Int32", "Utf8", "key"].iter().all(|named| error.contains(named)), "{error}");
    }
    // The text of a key is the same.
    let mut writer = open(folder.path(), OnSchemaConflict::Stop).await;
    put(&mut writer, &rows(&[("id", ints([2])), ("n", ints([22]))], 2)).await;
    assert_eq!(type_of(writer.table(), "id"), DataType::Int64);
    assert_eq!(values(folder.path(), &["n"]).await, expected([("1", "1"), ("2", "22")]));
}

/// Of a deleted row only the key counts: what else its image says, in whatever type, is of no use.
#[tokio::test]
async fn images_of_deleted_rows_change_no_column() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    put(&mut writer, &rows(&[("id", ints([1, 2])), ("n", ints([1, 2]))], 0)).await;
    let mut sent = rows(&[("id", ints([2])), ("n", flags([Some(true)]))], 2);
    sent.ops = vec![Op::Delete];
    put(&mut writer, &sent).await;
    assert_eq!(values(folder.path(), &["n"]).await, expected([("1", "1")]));
    let names: Vec<String> = writer.table().columns().unwrap().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["id", "n", columns::OP, columns::ORDER, columns::SOURCE_TS]);
}

/// A source's own column may have the name that another's second one has.
#[tokio::test]
async fn a_name_that_is_taken_is_given_another_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = create(folder.path()).await;
    put(&mut writer, &rows(&[("id", ints([1])), ("a", ints([1]))], 0)).await;
    let mut writer = open(folder.path(), OnSchemaConflict::NewColumn).await;
    put(&mut writer, &rows(&[("id", ints([2])), ("a", flags([Some(true)]))], 1)).await;
    let both = rows(&[("id", ints([3])), ("a", flags([Some(true)])), ("a_v2", ints([3]))], 2);
    assert!(open(folder.path(), OnSchemaConflict::Stop).await.write(&both).unwrap_err().to_string().contains("`a_v2`"));
    put(&mut writer, &both).await;
    put(&mut writer, &rows(&[("id", ints([4])), ("a", ints([4])), ("a_v2", ints([44]))], 3)).await;
    let wanted = [("1", "1 - -"), ("2", "- true -"), ("3", "- true 3"), ("4", "4 - 44")];
    assert_eq!(values(folder.path(), &["a", "a_v2", "a_v2_v2"]).await, expected(wanted));
}
