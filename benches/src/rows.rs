//! Rows of an orders table, as changes and as the columns of a base file: eight columns of the source, seeded.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use hudi_core::change::{ChangeBatch, Op, SnapshotPart, StreamPosition};

/// Numbers that look random and are the same in every run.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// A sequence of its own for each seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Rows of these ids.
#[must_use]
pub fn rows(ids: &[i64], seed: u64) -> RecordBatch {
    let mut random = Seeded::new(seed);
    let mut draw = |bound: u64| -> Vec<u64> { ids.iter().map(|_| random.below(bound)).collect() };
    let (customers, regions, statuses) = (draw(200_000), draw(8), draw(5));
    let (amounts, quantities, times, notes) = (draw(10_000_000), draw(1000), draw(1 << 45), draw(1 << 40));
    let text = |choice: u64, prefix: &str| format!("{prefix}-{choice}");
    let mut note = StringBuilder::new();
    notes.iter().for_each(|n| note.append_value(format!("note {n:016x}")));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(ids.to_vec()))),
        ("customer_id", Arc::new(customers.iter().map(|v| Some(*v as i64)).collect::<Int64Array>())),
        ("region", Arc::new(regions.iter().map(|v| Some(text(*v, "region"))).collect::<StringArray>())),
        ("status", Arc::new(statuses.iter().map(|v| Some(text(*v, "status"))).collect::<StringArray>())),
        ("amount", Arc::new(decimals(&amounts))),
        ("quantity", Arc::new(quantities.iter().map(|v| Some(*v as i32)).collect::<Int32Array>())),
        ("ordered_at", Arc::new(timestamps(&times))),
        ("note", Arc::new(note.finish())),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap_or_else(|e| unreachable!("{e}"))
}

fn decimals(values: &[u64]) -> Decimal128Array {
    let array = values.iter().map(|v| Some(i128::from(*v))).collect::<Decimal128Array>();
    array.with_precision_and_scale(14, 4).unwrap_or_else(|e| unreachable!("{e}"))
}

fn timestamps(values: &[u64]) -> TimestampMicrosecondArray {
    let array = values.iter().map(|v| Some(1_700_000_000_000_000 + *v as i64)).collect::<TimestampMicrosecondArray>();
    array.with_timezone("UTC")
}

/// The rows as changes at offsets from `first_offset` on.
#[must_use]
pub fn changes(rows: RecordBatch, op: Op, first_offset: i64) -> ChangeBatch {
    let count = rows.num_rows();
    let offsets: Vec<i64> = (first_offset..).take(count).collect();
    ChangeBatch {
        topic: "shop.orders".into(),
        source: "shop".into(),
        identity: None,
        run: Some("run".into()),
        key_columns: vec!["id".to_owned()],
        unsent: vec![None; rows.num_columns()],
        rows,
        whole_schema: false,
        ops: vec![op; count],
        orders: Arc::new(Int64Array::from(offsets.clone())),
        partitions: vec![0; count],
        positions: offsets.iter().map(|at| Some(StreamPosition([*at as u64, 0, 0]))).collect(),
        source_ts_ms: offsets.iter().map(|at| Some(1_700_000_000_000 + at)).collect(),
        snapshots: vec![SnapshotPart::None; count],
        other_keys: None,
        fingerprints: offsets.iter().map(|at| *at as u64).collect(),
        offsets,
    }
}

/// `count` different ids below `below`.
#[must_use]
pub fn sample(count: usize, below: i64, seed: u64) -> Vec<i64> {
    let mut random = Seeded::new(seed);
    let mut chosen = std::collections::BTreeSet::new();
    while chosen.len() < count {
        chosen.insert(random.below(below as u64) as i64);
    }
    let mut ids: Vec<i64> = chosen.into_iter().collect();
    // Not in the order of the file.
    for i in (1..ids.len()).rev() {
        ids.swap(i, random.below(i as u64 + 1) as usize);
    }
    ids
}
