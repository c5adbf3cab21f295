//! The oracle: a plain map of key to row, changes made of the same seed, and the comparison with a table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringBuilder, StructArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::TryStreamExt;
use hudi_core::change::{ChangeBatch, Op, Origin, SnapshotPart, StreamPosition, columns};
use hudi_core::dead_letter::Original;
use hudi_writer::{CommitOutcome, Committed, ReadOptions, Table, TableWriter, check_table};

/// A row: region, name, amount.
pub(crate) type Row = (String, Option<String>, Option<i64>);

/// A change; `None` for the name: the source did not send it. The same of the region, but that a delete's is null.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) op: Op,
    pub(crate) id: i64,
    pub(crate) region: Option<String>,
    pub(crate) name: Option<Option<String>>,
    pub(crate) amount: Option<i64>,
    pub(crate) order: i64,
    /// When the source committed it, in milliseconds after [`EPOCH_MS`]. `None`: as many as its offset.
    pub(crate) time: Option<i64>,
    /// Where the row's key changed, its other one: a delete's new one, an insert's old one.
    pub(crate) other: Option<i64>,
}

/// The beginning of the tests' time.
const EPOCH_MS: i64 = 1_700_000_000_000;

impl Change {
    pub(crate) fn new(op: Op, id: i64, order: i64) -> Self {
        let name = Some(Some(format!("name {id} at {order}")));
        Self {
            op,
            id,
            region: Some(format!("r{}", id % 3)),
            name,
            amount: Some(order * 10),
            order,
            time: None,
            other: None,
        }
    }

    pub(crate) fn without_name(self) -> Self {
        Self { name: None, ..self }
    }

    pub(crate) fn in_region(self, region: impl Into<String>) -> Self {
        Self { region: Some(region.into()), ..self }
    }

    pub(crate) fn at(self, time: i64) -> Self {
        Self { time: Some(time), ..self }
    }

    /// The source empties its table.
    pub(crate) fn truncate(order: i64) -> Self {
        Self { op: Op::Truncate, id: 0, region: None, name: None, amount: None, order, time: Some(order), other: None }
    }

    /// The row as one text.
    pub(crate) fn text(&self) -> String {
        format!("{} {:?} {:?} {:?}", self.id, self.region, self.name.clone().flatten(), self.amount)
    }

    pub(crate) fn without_region(self) -> Self {
        Self { region: None, ..self }
    }

    /// The delete of a row that has another key from now on.
    pub(crate) fn leaves(old: i64, new: i64, order: i64) -> Self {
        Self { other: Some(new), ..Self::new(Op::Delete, old, order) }
    }

    /// The insert of a row that had another key, without its name.
    pub(crate) fn comes(new: i64, old: i64, order: i64) -> Self {
        Self { other: Some(old), ..Self::new(Op::Insert, new, order).without_name() }
    }
}

/// Both changes of a row whose key changes.
pub(crate) fn moves(old: i64, new: i64, order: i64) -> [Change; 2] {
    [Change::leaves(old, new, order), Change::comes(new, old, order)]
}

/// A move: old key, new key, order.
type MoveId = (i64, i64, i64);

/// What the table must hold: rows with their order, by key. Within a commit a delete is remembered, beyond it is not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) stored: BTreeMap<i64, (Row, i64)>,
    deleted: BTreeMap<i64, i64>,
    /// Source times of the stored rows, where changes tell them.
    times: BTreeMap<i64, i64>,
    /// The last truncate: order and time.
    truncated: Option<(i64, i64)>,
    /// Names of rows that left, and have not come.
    left: BTreeMap<MoveId, Option<String>>,
    /// Moves of rows that came, and have not left.
    came: BTreeSet<MoveId>,
}

impl Model {
    /// Applies all changes of a commit as the table must: truncates first, whenever they came.
    pub(crate) fn commit(&mut self, changes: &[Change]) {
        let truncates = changes.iter().filter(|change| change.op == Op::Truncate);
        self.truncated = truncates.map(|t| (t.order, t.time.unwrap())).chain(self.truncated).max();
        let covered = |order, time: &i64| self.truncated.is_some_and(|(at, then)| order < at && *time <= then);
        let gone = self.stored.iter().filter(|(id, (_, order))| covered(*order, self.times.get(*id).unwrap_or(&0)));
        for id in gone.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.stored.remove(&id);
        }
        let mut changes: Vec<&Change> = changes.iter().collect();
        if changes.iter().any(|change| change.other.is_some()) {
            // As it was at the source.
            changes.sort_by_key(|change| (change.order, change.op != Op::Delete));
        }
        changes.into_iter().for_each(|change| self.apply(change));
        self.committed();
    }

    /// The name of a row that comes from another key.
    fn name_from(&mut self, old: i64, change: &Change) -> Option<Option<String>> {
        let id = (old, change.id, change.order);
        if let Some(name) = self.left.remove(&id) {
            return Some(name);
        }
        let ((_, name, _), order) = self.stored.get(&old)?;
        (*order <= change.order).then(|| {
            self.came.insert(id);
            name.clone()
        })
    }

    /// A row leaves for another key.
    fn leave(&mut self, change: &Change, new: i64) {
        let id = (change.id, new, change.order);
        let Some(((_, name, _), _)) = self.stored.get(&change.id).cloned() else { return };
        match self.stored.get_mut(&new) {
            Some((row, _)) if self.came.remove(&id) => row.1 = name,
            _ => drop(self.left.insert(id, name)),
        }
    }

    /// Applies a change as the table must.
    pub(crate) fn apply(&mut self, change: &Change) {
        let own = if change.op == Op::Snapshot { 0 } else { change.order };
        let covered = |(at, then)| own < at && change.time.unwrap_or(0) <= then;
        if change.op == Op::Truncate || self.truncated.is_some_and(covered) {
            return;
        }
        let stored = self.stored.get(&change.id);
        let deleted = self.deleted.get(&change.id).copied().unwrap_or(i64::MIN);
        let order = stored.map_or(deleted, |(_, order)| *order);
        if change.op != Op::Snapshot && change.order < order {
            return;
        }
        if change.op == Op::Delete {
            change.other.iter().for_each(|new| self.leave(change, *new));
            self.stored.remove(&change.id);
            self.deleted.insert(change.id, change.order);
            return;
        }
        let stored = stored.cloned();
        let from = change.other.filter(|_| change.name.is_none()).and_then(|old| self.name_from(old, change));
        if change.name.is_some() {
            self.came.retain(|(_, new, _)| *new != change.id);
        }
        let name = match (&change.name, &stored) {
            (Some(name), _) => name.clone(),
            (None, _) if from.is_some() => from.flatten(),
            (None, Some(((_, name, _), _))) => name.clone(),
            (None, None) => return,
        };
        let Some(region) = change.region.clone().or_else(|| Some(stored?.0.0)) else { return };
        let least = self.truncated.map_or(0, |(at, _)| at);
        let order = match change.op {
            Op::Snapshot if order == i64::MIN => least,
            Op::Snapshot => order,
            _ => change.order,
        };
        self.stored.insert(change.id, ((region, name, change.amount), order));
        self.times.insert(change.id, change.time.unwrap_or(0));
    }

    /// A commit ends.
    pub(crate) fn committed(&mut self) {
        self.deleted.clear();
    }

    pub(crate) fn rows(&self) -> BTreeMap<i64, Row> {
        self.stored.iter().map(|(id, (row, _))| (*id, row.clone())).collect()
    }
}

/// Changes at offsets from `first_offset` on.
pub(crate) fn batch(changes: &[Change], first_offset: i64) -> ChangeBatch {
    let rows = changes.len();
    let speaks_of_a_row = |change: &Change| change.op != Op::Truncate;
    let mut names = StringBuilder::new();
    changes.iter().for_each(|change| names.append_option(change.name.clone().flatten()));
    let own: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(changes.iter().map(|c| speaks_of_a_row(c).then_some(c.id)).collect::<Int64Array>())),
        ("region", Arc::new(changes.iter().map(|c| c.region.as_deref()).collect::<StringArray>())),
        ("name", Arc::new(names.finish())),
        ("amount", Arc::new(changes.iter().map(|c| c.amount).collect::<Int64Array>())),
    ];
    let fields: Vec<Field> =
        own.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let is_upsert = |change: &Change| speaks_of_a_row(change) && change.op != Op::Delete;
    let mask = |unsent: BooleanBuffer| (unsent.count_set_bits() > 0).then_some(unsent);
    let unsent_regions: BooleanBuffer = changes.iter().map(|c| c.region.is_none() && is_upsert(c)).collect();
    let unsent_names: BooleanBuffer = changes.iter().map(|c| c.name.is_none() && is_upsert(c)).collect();
    ChangeBatch {
        topic: "shop.orders".into(),
        source: "shop".into(),
        identity: None,
        run: Some("run 1".into()),
        key_columns: vec!["id".to_owned()],
        rows: RecordBatch::try_new(Arc::new(Schema::new(fields)), own.into_iter().map(|(_, column)| column).collect())
            .unwrap(),
        whole_schema: false,
        ops: changes.iter().map(|c| c.op).collect(),
        orders: Arc::new(changes.iter().map(|c| (c.op != Op::Snapshot).then_some(c.order)).collect::<Int64Array>()),
        unsent: vec![None, mask(unsent_regions), mask(unsent_names), None],
        partitions: vec![0; rows],
        offsets: (first_offset..).take(rows).collect(),
        positions: (first_offset..).take(rows).map(|at| Some(StreamPosition([at as u64, 0, 0]))).collect(),
        source_ts_ms: (first_offset..).zip(changes).map(|(at, c)| Some(EPOCH_MS + c.time.unwrap_or(at))).collect(),
        snapshots: vec![SnapshotPart::None; rows],
        other_keys: other_keys(changes),
        fingerprints: (first_offset..).take(rows).map(|at| at as u64).collect(),
    }
}

fn other_keys(changes: &[Change]) -> Option<StructArray> {
    let others: Int64Array = changes.iter().map(|change| change.other).collect();
    let moved = others.nulls().cloned();
    let field = Arc::new(Field::new("id", DataType::Int64, true));
    (others.null_count() < changes.len()).then(|| StructArray::new(vec![field].into(), vec![Arc::new(others)], moved))
}

/// The rows of a batch as texts.
pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let (ids, amounts) = (column("id").as_primitive::<Int64Type>(), column("amount").as_primitive::<Int64Type>());
    let text = |name: &str, row: usize| {
        let texts = column(name).as_string::<i32>();
        texts.is_valid(row).then(|| texts.value(row).to_owned())
    };
    let row = |row: usize| Change {
        op: Op::Insert,
        id: ids.value(row),
        region: text("region", row),
        name: Some(text("name", row)),
        amount: amounts.is_valid(row).then(|| amounts.value(row)),
        order: 0,
        time: None,
        other: None,
    };
    (0..batch.num_rows()).map(|at| row(at).text()).collect()
}

/// The table's rows by key; fails where a key stands twice.
pub(crate) async fn rows_of(table: &Table) -> BTreeMap<i64, Row> {
    try_rows_of(table).await.unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// The table's rows by key; says what is wrong where they cannot be read, or a key stands twice.
pub(crate) async fn try_rows_of(table: &Table) -> Result<BTreeMap<i64, Row>, String> {
    let batches = table.snapshot(&ReadOptions::default()).await.map_err(|e| e.to_string())?;
    let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(|e| e.to_string())?;
    let mut rows = BTreeMap::new();
    for batch in batches {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let (ids, amounts) = (column("id").as_primitive::<Int64Type>(), column("amount").as_primitive::<Int64Type>());
        let (regions, names) = (column("region").as_string::<i32>(), column("name").as_string::<i32>());
        for row in 0..batch.num_rows() {
            let name = names.is_valid(row).then(|| names.value(row).to_owned());
            let amount = amounts.is_valid(row).then(|| amounts.value(row));
            let before = rows.insert(ids.value(row), (regions.value(row).to_owned(), name, amount));
            if before.is_some() {
                return Err(format!("key {} stands twice", ids.value(row)));
            }
        }
    }
    Ok(rows)
}

/// The orders that the table stores, by key.
async fn orders_of(table: &Table) -> BTreeMap<i64, i64> {
    let options = ReadOptions { columns: Some(vec!["id".to_owned(), columns::ORDER.to_owned()]), meta_columns: false };
    // Before the first row there are no columns to name.
    let Ok(batches) = table.snapshot(&options).await else { return BTreeMap::new() };
    let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
    let long = |batch: &RecordBatch, column| batch.column(column).as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(|batch| long(batch, 0).into_iter().zip(long(batch, 1))).collect()
}

/// The table is the model, and is sound.
pub(crate) async fn assert_is(table: &Table, model: &Model) {
    assert_eq!(rows_of(table).await, model.rows());
    assert_eq!(orders_of(table).await, model.stored.iter().map(|(id, (_, order))| (*id, *order)).collect());
    let report = check_table(table).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.rows, model.stored.len() as u64);
}

/// A message for every origin.
pub(crate) fn any_original(origin: &Origin) -> Option<Original> {
    Some(Original { origin: origin.clone(), timestamp_ms: None, key: None, value: None, headers: vec![] })
}

/// Commits, and there was something to commit.
pub(crate) async fn commit(writer: &mut TableWriter) -> Committed {
    match writer.commit(&any_original).await.unwrap() {
        CommitOutcome::Committed(committed) => committed,
        other => panic!("{other:?}"),
    }
}

/// Makes the rows of a base file unreadable; its footer stays.
pub(crate) fn damage_rows(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let (_, [a, b, c, d, ..]) = bytes.split_last_chunk::<8>().unwrap();
    let end = bytes.len() - 8 - u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    bytes[4..end].fill(0xff);
    std::fs::write(path, bytes).unwrap();
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The Arrow type of a column of the table.
pub(crate) fn type_of(table: &Table, column: &str) -> DataType {
    table.columns().unwrap().field_with_name(column).unwrap().data_type().clone()
}
