//! Tables that keep deleted rows, against a model of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use hudi_core::change::{Op, columns};
use hudi_core::instant::Action;
use hudi_core::properties::keys;
use hudi_writer::{Error, Index, Mode, NewTable, ReadOptions, Table, TableWriter, check_table};

use crate::key_changes::stories;
use crate::model::{Change, Seeded, any_original, batch, commit, moves};

/// A stored row: region, name, amount, operation, order.
type Kept = (Option<String>, Option<String>, Option<i64>, String, i64);

/// What the table must hold, by key.
#[derive(Debug, Default)]
struct Model {
    rows: BTreeMap<i64, Kept>,
    times: BTreeMap<i64, i64>,
    truncated: Option<(i64, i64)>,
}

impl Model {
    /// Applies all changes of a commit: truncates first, whenever they came.
    fn commit(&mut self, changes: &[Change]) {
        let truncates = changes.iter().filter(|change| change.op == Op::Truncate);
        let last = truncates.map(|t| (t.order, t.time.unwrap())).max().filter(|last| Some(*last) > self.truncated);
        if let Some((at, then)) = last {
            self.truncated = last;
            for (id, (.., op, order)) in &mut self.rows {
                if *order < at && self.times[id] <= then && op != "d" && op != "t" {
                    (*op, *order) = ("t".to_owned(), at);
                    self.times.insert(*id, then);
                }
            }
        }
        changes.iter().for_each(|change| self.apply(change));
    }

    fn apply(&mut self, change: &Change) {
        let own = if change.op == Op::Snapshot { 0 } else { change.order };
        let is_covered = self.truncated.is_some_and(|(at, then)| own < at && change.time.unwrap() <= then);
        let stored = self.rows.get(&change.id).cloned();
        let is_older = change.op != Op::Snapshot && stored.as_ref().is_some_and(|row| change.order < row.4);
        if change.op == Op::Truncate || is_covered || is_older {
            return;
        }
        let letter = change.op.letter().to_owned();
        let row = match (change.op, &stored) {
            (Op::Delete, Some((region, name, amount, ..))) => (region.clone(), name.clone(), *amount, letter, own),
            (Op::Delete, None) => (None, None, None, letter, own),
            _ => {
                let unsent = change.name.is_none() || change.region.is_none();
                if unsent && stored.is_none() {
                    return;
                }
                let before = stored.clone().unwrap_or_default();
                let name = change.name.clone().unwrap_or(before.1);
                let region = change.region.clone().or(before.0);
                let least = self.truncated.map_or(0, |(at, _)| at);
                let order = match change.op {
                    Op::Snapshot => stored.map_or(least, |row| row.4),
                    _ => own,
                };
                (region, name, change.amount, letter, order)
            }
        };
        self.rows.insert(change.id, row);
        self.times.insert(change.id, change.time.unwrap());
    }
}

async fn rows_of(table: &Table) -> BTreeMap<i64, Kept> {
    let batches: Vec<RecordBatch> = table.snapshot(&ReadOptions::default()).await.unwrap().try_collect().await.unwrap();
    let mut rows = BTreeMap::new();
    for batch in batches {
        let text = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap().as_string::<i32>();
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let long = |name: &str, row: usize| {
            let column = batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        for row in 0..batch.num_rows() {
            let (op, order) = (text(columns::OP, row).unwrap(), long(columns::ORDER, row).unwrap());
            let kept = (text("region", row), text("name", row), long("amount", row), op, order);
            assert_eq!(rows.insert(long("id", row).unwrap(), kept), None, "a key stands twice");
        }
    }
    rows
}

async fn assert_is(table: &Table, model: &Model) {
    assert_eq!(rows_of(table).await, model.rows);
    assert_eq!(check_table(table).await.unwrap().problems, Vec::<String>::new());
}

/// A table that keeps deleted rows, beside its model.
struct Shop {
    folder: tempfile::TempDir,
    writer: TableWriter,
    model: Model,
    offset: i64,
}

impl Shop {
    async fn new(table: NewTable) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let builder = TableWriter::builder(folder.path().to_str().unwrap());
        let writer = builder.create(&table.mode(Mode::SoftDelete)).await.unwrap();
        Self { folder, writer, model: Model::default(), offset: 0 }
    }

    fn write(&mut self, changes: &[Change]) -> Vec<Change> {
        let timed = |(change, at): (&Change, i64)| change.clone().at(change.time.unwrap_or(at));
        let changes: Vec<Change> = changes.iter().zip(self.offset..).map(timed).collect();
        assert_eq!(self.writer.write(&batch(&changes, self.offset)).unwrap().refused, []);
        self.offset += changes.len() as i64;
        changes
    }

    async fn commit(&mut self, changes: &[Change]) {
        let changes = self.write(changes);
        self.model.commit(&changes);
        commit(&mut self.writer).await;
        assert_is(self.writer.table(), &self.model).await;
    }
}

fn tables() -> Vec<NewTable> {
    let bucket = Index::Bucket(NonZeroU32::new(3).unwrap());
    vec![
        NewTable::new("t", ["id"]),
        NewTable::new("t", ["id"]).index(bucket),
        NewTable::new("t", ["id"]).index(Index::GlobalSimple),
        NewTable::new("t", ["id"]).partition_by(["region"]),
    ]
}

#[tokio::test]
async fn a_deleted_row_stays_with_its_values_and_comes_back() {
    for table in tables() {
        let mut kept = Shop::new(table).await;
        kept.commit(&[Change::new(Op::Insert, 1, 1), Change::new(Op::Insert, 2, 1)]).await;
        let key_only = Change { name: Some(None), amount: None, ..Change::new(Op::Delete, 1, 3) }.without_region();
        kept.commit(std::slice::from_ref(&key_only)).await;
        assert_eq!(kept.model.rows[&1].3, "d");
        assert_eq!(kept.model.rows[&1].1.as_deref(), Some("name 1 at 1"));
        // What is older stays older than the delete; a part is filled from what was kept; a whole row replaces it.
        kept.commit(&[Change::new(Op::Update, 1, 2)]).await;
        kept.commit(&[Change::new(Op::Update, 1, 4).without_name()]).await;
        assert_eq!(kept.model.rows[&1].1.as_deref(), Some("name 1 at 1"));
        kept.commit(&[Change { order: 5, ..key_only.clone() }, Change::new(Op::Insert, 1, 6)]).await;
        // A key that nobody knows is kept alone, and known from then on.
        kept.commit(&[Change { id: 9, order: 7, ..key_only }]).await;
        assert_eq!(kept.model.rows[&9], (None, None, None, "d".to_owned(), 7));
        kept.commit(&[Change::new(Op::Insert, 9, 6)]).await;
        kept.commit(&[Change::new(Op::Snapshot, 9, 0)]).await;
        assert_eq!((kept.model.rows[&9].3.as_str(), kept.model.rows[&9].4), ("r", 7));
    }
}

#[tokio::test]
async fn a_truncate_marks_the_rows_that_it_covers() {
    for table in tables() {
        let mut kept = Shop::new(table).await;
        let inserts: Vec<Change> = (0..6).map(|id| Change::new(Op::Insert, id, 10 + id)).collect();
        kept.commit(&inserts).await;
        kept.commit(&[Change::new(Op::Delete, 0, 16)]).await;
        kept.commit(&[Change::new(Op::Insert, 5, 30)]).await;
        let late = Change::new(Op::Update, 2, 15);
        kept.commit(&[Change::truncate(20).at(500), late, Change::new(Op::Update, 3, 21).without_name()]).await;
        let letters: String = kept.model.rows.values().map(|row| row.3.as_str()).collect();
        assert_eq!(letters, "dttutc");
        // Nothing was replaced, so that there is nothing to replace either.
        let last = *kept.writer.table().timeline().completed_writes().next_back().unwrap();
        assert_eq!(last.action, Action::Commit);
        kept.commit(&[Change::new(Op::Insert, 1, 22), Change::new(Op::Insert, 2, 19)]).await;
        kept.commit(&[Change::truncate(40).at(900)]).await;
    }
}

#[tokio::test]
async fn tables_that_keep_deleted_rows_are_their_model() {
    for (seed, table) in tables().into_iter().cycle().take(12).enumerate() {
        let regions = 3 * table.partition_by.len() as u64;
        let mut kept = Shop::new(table).await;
        let (mut random, mut order) = (Seeded(seed as u64), 100);
        for _ in 0..8 {
            let mut of_commit = vec![];
            for _ in 0..=random.below(2) {
                let changes: Vec<Change> =
                    (0..=random.below(25)).map(|_| any_change(&mut random, &mut order, regions)).collect();
                of_commit.extend(kept.write(&changes));
            }
            kept.model.commit(&of_commit);
            let _ = kept.writer.commit(&any_original).await.unwrap();
            assert_is(kept.writer.table(), &kept.model).await;
            if random.below(3) == 0 {
                let builder = TableWriter::builder(kept.folder.path().to_str().unwrap());
                kept.writer = builder.open().await.unwrap();
            }
        }
    }
}

fn any_change(random: &mut Seeded, order: &mut i64, regions: u64) -> Change {
    *order += 1;
    if random.below(40) == 0 {
        return Change::truncate(*order).at(*order);
    }
    let op = [Op::Insert, Op::Update, Op::Update, Op::Delete, Op::Snapshot][random.below(5) as usize];
    let late = if random.below(5) == 0 { random.below(30) as i64 } else { 0 };
    let mut change = Change::new(op, random.below(30) as i64, *order - late).at(*order);
    if regions > 0 {
        change.region = Some(format!("r{}", random.below(regions)));
    }
    match (op, random.below(3)) {
        (Op::Update, 0) => change.without_name(),
        (Op::Delete, 0) => Change { name: Some(None), amount: None, ..change }.without_region(),
        _ => change,
    }
}

/// The name of a row that is alive.
fn alive(rows: &BTreeMap<i64, Kept>, id: i64) -> Option<String> {
    rows.get(&id).filter(|row| row.3 != "d" && row.3 != "t").and_then(|row| row.1.clone())
}

/// A row whose key changes takes its values along, and stays, deleted, under the old one.
#[tokio::test]
async fn a_row_that_changes_its_key_is_kept_under_the_old_one() {
    for (table, (story, changes, names)) in
        tables().iter().flat_map(|table| stories().into_iter().map(move |s| (table, s)))
    {
        let ends = changes.len() - 1;
        for cuts in (0..ends).map(|at| 1_u32 << at).chain([0]) {
            let mut kept = Shop::new(table.clone()).await;
            kept.write(&(0..6).map(|id| Change::new(Op::Insert, id, 1)).collect::<Vec<_>>());
            commit(&mut kept.writer).await;
            for (at, change) in changes.iter().enumerate() {
                kept.write(std::slice::from_ref(change));
                if cuts >> at & 1 == 1 || at == ends {
                    assert_eq!(commit(&mut kept.writer).await.dead_letters, 0, "{story}");
                }
            }
            let rows = rows_of(kept.writer.table()).await;
            for (id, name) in names.iter().cloned() {
                assert_eq!(alive(&rows, id), name, "{story}, cut {cuts:b}: {id}");
            }
            let left: BTreeSet<i64> = changes.iter().filter(|c| c.op == Op::Delete).map(|c| c.id).collect();
            assert!(left.iter().all(|id| rows.contains_key(id)), "{story}");
            assert_eq!(check_table(kept.writer.table()).await.unwrap().problems, Vec::<String>::new());
        }
    }
}

/// What a row is still owed comes with its delete, beside a truncate that marks others.
#[tokio::test]
async fn a_truncate_takes_no_change_out_of_its_commit() {
    for table in tables() {
        let mut kept = Shop::new(table).await;
        let [leaves, comes] = moves(1, 11, 10);
        let inserts: Vec<Change> = (0..3).map(|id| Change::new(Op::Insert, id, 1)).collect();
        for of_commit in
            [inserts, vec![comes], vec![Change::new(Op::Update, 1, 9)], vec![leaves, Change::truncate(2).at(900)]]
        {
            kept.write(&of_commit);
            commit(&mut kept.writer).await;
        }
        let rows = rows_of(kept.writer.table()).await;
        let letters: Vec<&str> = rows.values().map(|row| row.3.as_str()).collect();
        assert_eq!((letters, alive(&rows, 11)), (vec!["t", "d", "t", "c"], Some("name 1 at 9".to_owned())));
        assert_eq!(check_table(kept.writer.table()).await.unwrap().problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_table_has_its_mode_for_its_whole_life() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || TableWriter::builder(folder.path().to_str().unwrap());
    let soft = NewTable::new("t", ["id"]).mode(Mode::SoftDelete);
    assert_eq!(builder().open_or_create(&soft).await.unwrap().mode(), Mode::SoftDelete);
    let writer = builder().open_or_create(&soft).await.unwrap();
    assert_eq!(writer.table().properties().get(keys::TABLE_MODE), Some("soft-delete"));
    for other in [NewTable::new("t", ["id"]), NewTable::new("t", ["id"]).mode(Mode::History)] {
        let refused = builder().open_or_create(&other).await.unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }) && refused.to_string().contains("`soft-delete`"), "{refused}");
    }
    let path = folder.path().join(hudi_core::layout::properties());
    let text = std::fs::read_to_string(&path).unwrap().replace("=soft-delete", "=softly");
    std::fs::write(&path, text).unwrap();
    let error = builder().open().await.unwrap_err().to_string();
    assert!(error.contains(keys::TABLE_MODE) && error.contains("history"), "{error}");
    let elsewhere = tempfile::tempdir().unwrap();
    let keyless = NewTable::new("t", Vec::<String>::new()).mode(Mode::SoftDelete);
    let refused = TableWriter::builder(elsewhere.path().to_str().unwrap()).create(&keyless).await.unwrap_err();
    assert!(refused.to_string().contains("--key"), "{refused}");
}

/// Where a row's partition never changes, a delete that names another one meets no row: it is told, and leaves none behind.
#[tokio::test]
async fn a_delete_in_the_wrong_partition_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = NewTable::new("t", ["id"]).partition_by(["region"]).mode(Mode::SoftDelete);
    table.partition_immutable = true;
    let mut writer = TableWriter::builder(folder.path().to_str().unwrap()).create(&table).await.unwrap();
    let changes = [Change::new(Op::Insert, 1, 1), Change::new(Op::Insert, 2, 1)].map(|change| change.at(1));
    let _ = writer.write(&batch(&changes, 0)).unwrap();
    commit(&mut writer).await;
    let wrong = Change::new(Op::Delete, 1, 2).in_region("elsewhere").at(2);
    let _ = writer.write(&batch(&[wrong, Change::new(Op::Delete, 2, 2).at(2)], 2)).unwrap();
    let committed = commit(&mut writer).await;
    assert_eq!((committed.updated_rows, committed.inserted_rows, committed.dead_letters), (1, 0, 1));
    let letters: String = rows_of(writer.table()).await.values().map(|row| row.3.as_str()).collect();
    assert_eq!(letters, "cd");
}
