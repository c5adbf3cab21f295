//! The oracle: a plain map of key to row, changes made of the same seed, and the comparison with a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringBuilder};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::TryStreamExt;
use hudi_core::change::{ChangeBatch, Op, Origin, StreamPosition};
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
}

impl Change {
    pub(crate) fn new(op: Op, id: i64, order: i64) -> Self {
        let name = Some(Some(format!("name {id} at {order}")));
        Self { op, id, region: Some(format!("r{}", id % 3)), name, amount: Some(order * 10), order }
    }

    pub(crate) fn without_name(self) -> Self {
        Self { name: None, ..self }
    }

    pub(crate) fn in_region(self, region: impl Into<String>) -> Self {
        Self { region: Some(region.into()), ..self }
    }

    pub(crate) fn without_region(self) -> Self {
        Self { region: None, ..self }
    }
}

/// What the table must hold: rows with their order, by key. Within a commit a delete is remembered, beyond it is not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model(pub(crate) BTreeMap<i64, (Row, i64)>, BTreeMap<i64, i64>);

impl Model {
    /// Applies a change as the table must.
    pub(crate) fn apply(&mut self, change: &Change) {
        let stored = self.0.get(&change.id);
        let deleted = self.1.get(&change.id).copied().unwrap_or(i64::MIN);
        let order = stored.map_or(deleted, |(_, order)| *order);
        if change.op != Op::Snapshot && change.order < order {
            return;
        }
        if change.op == Op::Delete {
            self.0.remove(&change.id);
            self.1.insert(change.id, change.order);
            return;
        }
        let name = match (&change.name, stored) {
            (Some(name), _) => name.clone(),
            (None, Some(((_, name, _), _))) => name.clone(),
            (None, None) => return,
        };
        let Some(region) = change.region.clone().or_else(|| Some(stored?.0.0.clone())) else { return };
        let order = if change.op == Op::Snapshot { order.max(0) } else { change.order };
        self.0.insert(change.id, ((region, name, change.amount), order));
    }

    /// A commit ends.
    pub(crate) fn committed(&mut self) {
        self.1.clear();
    }

    pub(crate) fn rows(&self) -> BTreeMap<i64, Row> {
        self.0.iter().map(|(id, (row, _))| (*id, row.clone())).collect()
    }
}

/// Changes at offsets from `first_offset` on.
pub(crate) fn batch(changes: &[Change], first_offset: i64) -> ChangeBatch {
    let rows = changes.len();
    let mut names = StringBuilder::new();
    changes.iter().for_each(|change| names.append_option(change.name.clone().flatten()));
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(changes.iter().map(|c| Some(c.id)).collect::<Int64Array>())),
        ("region", Arc::new(changes.iter().map(|c| c.region.as_deref()).collect::<StringArray>())),
        ("name", Arc::new(names.finish())),
        ("amount", Arc::new(changes.iter().map(|c| c.amount).collect::<Int64Array>())),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let mask = |unsent: BooleanBuffer| (unsent.count_set_bits() > 0).then_some(unsent);
    let unsent_regions: BooleanBuffer = changes.iter().map(|c| c.region.is_none() && c.op != Op::Delete).collect();
    let unsent_names: BooleanBuffer = changes.iter().map(|c| c.name.is_none() && c.op != Op::Delete).collect();
    ChangeBatch {
        topic: "shop.orders".into(),
        source: "shop".into(),
        identity: None,
        run: Some("run 1".into()),
        key_columns: vec!["id".to_owned()],
        rows: RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns.into_iter().map(|(_, column)| column).collect(),
        )
        .unwrap(),
        ops: changes.iter().map(|c| c.op).collect(),
        orders: Arc::new(changes.iter().map(|c| (c.op != Op::Snapshot).then_some(c.order)).collect::<Int64Array>()),
        unsent: vec![None, mask(unsent_regions), mask(unsent_names), None],
        partitions: vec![0; rows],
        offsets: (first_offset..).take(rows).collect(),
        positions: (first_offset..).take(rows).map(|at| Some(StreamPosition([at as u64, 0, 0]))).collect(),
        source_ts_ms: (first_offset..).take(rows).map(|at| Some(1_700_000_000_000 + at)).collect(),
        fingerprints: (first_offset..).take(rows).map(|at| at as u64).collect(),
    }
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

/// The table is the model, and is sound.
pub(crate) async fn assert_is(table: &Table, model: &Model) {
    assert_eq!(rows_of(table).await, model.rows());
    let report = check_table(table).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.rows, model.0.len() as u64);
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
