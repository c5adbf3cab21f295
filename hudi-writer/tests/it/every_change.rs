//! Tables that keep every change, and changes that are ordered by arrival.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use hudi_core::change::{ChangeBatch, Op, StreamPosition, columns};
use hudi_core::properties::keys;
use hudi_core::schema::meta;
use hudi_writer::{Error, Index, Mode, NewTable, ReadOptions, Table, TableWriter, check_table};

use crate::model::{Change, Model, Seeded, any_original, assert_is, batch, commit};

fn every_change(key: &[&str]) -> NewTable {
    NewTable::new("t", key.iter().copied()).mode(Mode::History)
}

/// All rows as texts of some columns, nulls as `-`, in ascending order; the table is sound.
async fn rows_of(table: &Table, names: &[&str]) -> Vec<String> {
    assert_eq!(check_table(table).await.unwrap().problems, Vec::<String>::new());
    let wanted = names.iter().map(|name| (*name).to_owned()).collect();
    let options = ReadOptions { columns: Some(wanted), meta_columns: false };
    let batches: Vec<RecordBatch> = table.snapshot(&options).await.unwrap().try_collect().await.unwrap();
    let value = |batch: &RecordBatch, column: usize, row: usize| {
        let column = batch.column(column);
        match column.as_string_opt::<i32>() {
            _ if column.is_null(row) => "-".to_owned(),
            Some(text) => text.value(row).to_owned(),
            None => column.as_primitive::<Int64Type>().value(row).to_string(),
        }
    };
    let row = |batch: &RecordBatch, row| {
        (0..names.len()).map(|column| value(batch, column, row)).collect::<Vec<_>>().join(" ")
    };
    let mut rows: Vec<String> =
        batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|at| row(batch, at)).collect::<Vec<_>>()).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn every_change_is_a_row_with_what_it_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        TableWriter::builder(folder.path().to_str().unwrap()).create(&every_change(&["id"])).await.unwrap();
    let properties = writer.table().properties();
    assert_eq!(properties.get(keys::RECORDKEY_FIELDS), Some(columns::CHANGE));
    assert_eq!((properties.source_key(), writer.index()), (["id".to_owned()].as_slice(), Index::Simple));
    let changes = [
        Change::new(Op::Snapshot, 1, 0),
        Change::new(Op::Update, 1, 5).without_name(),
        Change::new(Op::Update, 1, 4),
        Change::new(Op::Delete, 1, 6),
        Change::truncate(7),
        Change::new(Op::Update, 2, 3).without_name().without_region(),
    ];
    for (offset, change) in changes.iter().enumerate() {
        let taken = writer.write(&batch(std::slice::from_ref(change), offset as i64)).unwrap();
        assert_eq!((taken.refused.len(), writer.buffered_rows()), (0, offset % 2 + 1));
        if offset % 2 == 1 {
            let committed = commit(&mut writer).await;
            assert_eq!((committed.inserted_rows, committed.updated_rows, committed.dead_letters), (2, 0, 0));
        }
    }
    let rows = rows_of(writer.table(), &["id", columns::OP, columns::ORDER, "name", "amount", columns::UNSENT]).await;
    let wanted = [
        "- t 7 - - -",
        "1 d 6 name 1 at 6 60 -",
        "1 r 0 name 1 at 0 0 -",
        "1 u 4 name 1 at 4 40 -",
        "1 u 5 - 50 name",
        "2 u 3 - 30 region,name",
    ];
    assert_eq!(rows, wanted);
    let keys = rows_of(writer.table(), &[columns::CHANGE]).await;
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 6);
    assert!(keys.iter().any(|key| key.starts_with("shop|1|shop.orders/0@0|r|")), "{keys:?}");
    let source = writer.source_columns().unwrap();
    assert_eq!(
        source.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
        ["id", "region", "name", "amount"]
    );
    // One file takes them all, under the keys that Hudi finds them by.
    assert_eq!(writer.table().files().await.unwrap().len(), 1);
    let options = ReadOptions { columns: None, meta_columns: true };
    let batches: Vec<_> = writer.table().snapshot(&options).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    for batch in batches {
        assert_eq!(batch.column_by_name(meta::RECORD_KEY), batch.column_by_name(columns::CHANGE));
    }
}

/// Whatever is done anew after a writer died, and however the changes are cut into batches and commits: the rows are the same.
#[tokio::test]
async fn what_is_done_anew_doubles_nothing() {
    let mut random = Seeded(5);
    let ops = [Op::Insert, Op::Update, Op::Delete, Op::Snapshot, Op::Truncate];
    let mut changes: Vec<Change> = vec![];
    for order in 1..60 {
        let change = match ops[random.below(5) as usize] {
            Op::Truncate => Change::truncate(order),
            op => Change::new(op, random.below(5) as i64, order).at(order),
        };
        // Now and then one place of the source's log has the same change several times.
        (0..=random.below(4) / 3 * 2).for_each(|_| changes.push(change.clone()));
    }
    let place = |from: usize, to: usize| {
        let mut sent = batch(&changes[from..to], from as i64);
        let place = |change: &Change| Some(StreamPosition([change.order as u64, 0, 0]));
        sent.positions = changes[from..to].iter().map(place).collect();
        sent.fingerprints = changes[from..to].iter().map(|change| change.order as u64).collect();
        sent
    };
    let mut tables = vec![];
    for seed in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().to_str().unwrap();
        let mut writer = TableWriter::builder(url).create(&every_change(&["id"])).await.unwrap();
        let mut random = Seeded(seed);
        let mut at = 0;
        while at < changes.len() {
            let to = (at + 1 + random.below(9) as usize).min(changes.len());
            let sent = place(at, to);
            if seed > 0 && random.below(3) == 0 {
                // Died before its commit.
                let _ = writer.write(&sent).unwrap();
                writer = TableWriter::builder(url).open().await.unwrap();
                at = writer.checkpoint().next_offset("shop.orders", 0).unwrap_or(0) as usize;
                continue;
            }
            assert_eq!(writer.write(&sent).unwrap().refused, []);
            at = to;
            if random.below(2) == 0 || at == changes.len() {
                commit(&mut writer).await;
                // What the broker sends again is known.
                assert_eq!(writer.write(&sent).unwrap().covered, sent.num_rows() as u64);
            }
        }
        tables.push(rows_of(writer.table(), &[columns::CHANGE, "id", "name", "amount", columns::OP]).await);
    }
    assert_eq!(tables[0].len(), changes.len());
    tables[1..].iter().for_each(|table| assert_eq!(*table, tables[0]));
}

#[tokio::test]
async fn a_change_stands_in_the_partition_that_its_image_names() {
    let folder = tempfile::tempdir().unwrap();
    let table = every_change(&["id"]).partition_by(["region"]);
    let mut writer = TableWriter::builder(folder.path().to_str().unwrap()).create(&table).await.unwrap();
    let changes = [
        Change::new(Op::Insert, 1, 1).in_region("a"),
        Change::new(Op::Update, 1, 2).in_region("b"),
        Change::new(Op::Delete, 1, 3).without_region(),
    ];
    let _ = writer.write(&batch(&changes, 0)).unwrap();
    commit(&mut writer).await;
    assert_eq!(rows_of(writer.table(), &["region", columns::OP]).await, ["- d", "a c", "b u"]);
    let folders: BTreeSet<String> =
        writer.table().files().await.unwrap().into_iter().map(|file| file.partition).collect();
    let wanted = ["region=__HIVE_DEFAULT_PARTITION__", "region=a", "region=b"].map(str::to_owned);
    assert_eq!(folders, wanted.into());
}

/// A table without a key has changes too; what a row was before an update is none of its own.
#[tokio::test]
async fn changes_of_rows_without_a_key_are_kept_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TableWriter::builder(folder.path().to_str().unwrap()).create(&every_change(&[])).await.unwrap();
    let changes = [Op::Insert, Op::Delete, Op::Update, Op::Delete].map(|op| Change::new(op, 1, 1));
    let mut sent = batch(&changes, 0);
    sent.offsets = vec![0, 1, 1, 2];
    let taken = writer.write(&sent).unwrap();
    assert_eq!((taken.upserts, taken.deletes, taken.refused.len()), (2, 1, 0));
    commit(&mut writer).await;
    assert_eq!(rows_of(writer.table(), &[columns::OP]).await, ["c", "d", "u"]);
}

/// What the source's connector sends again by another partition would be another row, where no key keeps it to one.
#[tokio::test]
async fn changes_of_rows_without_a_key_come_by_one_partition() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TableWriter::builder(folder.path().to_str().unwrap()).create(&every_change(&[])).await.unwrap();
    let _ = writer.write(&batch(&[Change::new(Op::Insert, 1, 1)], 0)).unwrap();
    let second = ChangeBatch { partitions: vec![1], ..batch(&[Change::new(Op::Insert, 2, 2)], 0) };
    assert!(writer.write(&second).unwrap_err().to_string().contains("partition 1"));
}

#[tokio::test]
async fn an_index_of_every_change_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let table = every_change(&["id"]).index(Index::GlobalSimple);
    let refused = TableWriter::builder(folder.path().to_str().unwrap()).create(&table).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
}

/// Changes of a source that tells no position.
fn untold(changes: &[Change], first_offset: i64) -> ChangeBatch {
    let rows = changes.len();
    let orders = Arc::new(Int64Array::from(vec![None; rows]));
    ChangeBatch { orders, positions: vec![None; rows], ..batch(changes, first_offset) }
}

#[tokio::test]
async fn without_positions_changes_are_numbered_as_they_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut writer = TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
    let mut model = Model::default();
    let change = |op, id, arrival| Change { order: arrival, ..Change::new(op, id, 100 - arrival) };
    let first = [change(Op::Snapshot, 1, 0), change(Op::Insert, 2, 1), change(Op::Update, 1, 2)];
    let second = [change(Op::Update, 2, 3), change(Op::Delete, 1, 4), change(Op::Insert, 3, 5)];
    for (changes, offset) in [(&first, 0), (&second, 3)] {
        changes.iter().for_each(|change| model.apply(change));
        let _ = writer.write(&untold(changes, offset)).unwrap();
        commit(&mut writer).await;
        model.committed();
        assert_is(writer.table(), &model).await;
        // The same offsets again change nothing, and count nothing.
        let arrivals = writer.checkpoint().arrivals;
        assert_eq!(writer.write(&untold(changes, offset)).unwrap().covered, 3);
        writer = TableWriter::builder(url).open().await.unwrap();
        assert_eq!((writer.checkpoint().arrivals, writer.checkpoint().sources.len()), (arrivals, 0));
    }
    assert_eq!(writer.checkpoint().arrivals, 5);
    // What would count as older than all of these is refused: the source tells positions now.
    let told = batch(&[Change::new(Op::Update, 2, 4)], 6);
    assert!(writer.write(&told).unwrap_err().to_string().contains("arrival"));
    assert_is(&Table::open(url).await.unwrap(), &model).await;
}

#[tokio::test]
async fn a_source_that_told_positions_goes_on_telling_them() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut writer = TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
    let _ = writer.write(&batch(&[Change::new(Op::Insert, 1, 1000)], 0)).unwrap();
    commit(&mut writer).await;
    let error = writer.write(&untold(&[Change::new(Op::Update, 1, 1)], 1)).unwrap_err().to_string();
    assert!(error.contains("add.fields"), "{error}");
    assert_eq!(writer.checkpoint().arrivals, 0);
    // Its snapshot rows have none.
    assert_eq!(writer.write(&untold(&[Change::new(Op::Snapshot, 1, 1)], 1)).unwrap().upserts, 1);
}

/// A delete may come as nothing but its key.
#[tokio::test]
async fn a_delete_without_a_position_counts_where_others_tell_theirs() {
    let texts = |batch: ChangeBatch| {
        let numbers = batch.orders.as_primitive::<Int64Type>();
        let orders = numbers.iter().map(|order| order.map(|order| format!("{order:08}"))).collect::<StringArray>();
        // Where no place in the stream is told, only the order shows that orders are.
        ChangeBatch { orders: Arc::new(orders), positions: vec![None; batch.num_rows()], ..batch }
    };
    let longs = |batch: ChangeBatch| ChangeBatch { positions: vec![None; batch.num_rows()], ..batch };
    for told in [&texts as &dyn Fn(ChangeBatch) -> ChangeBatch, &longs] {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().to_str().unwrap();
        let mut writer = TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
        let inserts = [1, 2, 3].map(|id| Change::new(Op::Insert, id, 1000 + id));
        let _ = writer.write(&told(batch(&inserts, 0))).unwrap();
        commit(&mut writer).await;
        let mut writer = TableWriter::builder(url).open().await.unwrap();
        assert!(writer.checkpoint().sources.values().all(|source| source.ordered));
        assert_eq!(writer.write(&untold(&[Change::new(Op::Delete, 1, 0)], 3)).unwrap().deletes, 1);
        let _ = writer.write(&told(batch(&[Change::new(Op::Update, 2, 2000)], 4))).unwrap();
        let _ = writer.write(&untold(&[Change::new(Op::Delete, 2, 0)], 5)).unwrap();
        // What comes late is still older than the row that was deleted.
        let _ = writer.write(&told(batch(&[Change::new(Op::Update, 2, 1500)], 6))).unwrap();
        commit(&mut writer).await;
        assert_eq!((writer.checkpoint().arrivals, rows_of(writer.table(), &["id"]).await), (0, vec!["3".to_owned()]));
        let _ = writer.write(&told(batch(&[Change::new(Op::Insert, 1, 3000)], 7))).unwrap();
        commit(&mut writer).await;
        assert_eq!(rows_of(writer.table(), &["id"]).await, ["1", "3"]);
    }
}

#[tokio::test]
async fn two_writers_number_on_above_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().to_str().unwrap();
    let mut one = TableWriter::builder(url).create(&NewTable::new("t", ["id"])).await.unwrap();
    let mut other = TableWriter::builder(url).open().await.unwrap();
    let insert = |ids: std::ops::Range<i64>| ids.map(|id| Change::new(Op::Insert, id, 0)).collect::<Vec<_>>();
    let second = |batch: ChangeBatch| ChangeBatch { partitions: vec![1; batch.num_rows()], ..batch };
    let _ = one.write(&untold(&insert(0..3), 0)).unwrap();
    commit(&mut one).await;
    let _ = other.write(&second(untold(&insert(10..12), 0))).unwrap();
    // The first dealt with the same file group: the other looks again.
    let _ = other.commit(&any_original).await.unwrap();
    let mut other = TableWriter::builder(url).open().await.unwrap();
    let _ = other.write(&second(untold(&insert(10..12), 0))).unwrap();
    let _ = one.write(&untold(&insert(0..1), 3)).unwrap();
    commit(&mut other).await;
    assert_eq!(other.checkpoint().arrivals, 5);
    let orders = rows_of(other.table(), &[columns::ORDER]).await;
    assert_eq!(orders, ["1", "2", "3", "4", "5"]);
}
