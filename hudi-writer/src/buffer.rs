//! [`Buffer`]: changes that wait for the commit, in the order of their arrival, and their way into one [`ChangeSet`].

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StringBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, filter, filter_record_batch, nullif};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hudi_core::change::{ChangeBatch, Op, OrderKind, columns};
use hudi_core::checkpoint::Epochs;
use hudi_core::merge::{OrderValue, Orders};

use crate::changes::{ChangeSet, OriginRun, Origins, OtherKeys, filtered_bits, filtered_text};
use crate::error::{Error, Result};
use crate::fit::fit;
use crate::orders::{stored_orders, with_epochs};
use crate::settings::Mode;
use crate::truncation::{Truncation, micros};

/// Changes of one batch that were taken, with their keys and partitions.
#[derive(Debug)]
struct Part {
    source: Arc<str>,
    run: Option<Arc<str>>,
    rows: RecordBatch,
    unsent: Vec<Option<BooleanBuffer>>,
    ops: Vec<Op>,
    orders: ArrayRef,
    source_ts_ms: Int64Array,
    keys: StringArray,
    partitions: StringArray,
    others: Option<OtherKeys>,
    origins: OriginRun,
}

/// Changes that wait for the commit.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    parts: Vec<Part>,
    rows: usize,
    bytes: usize,
    /// The last truncate of each source, whether it is in the table or not.
    truncations: HashMap<Arc<str>, Truncation>,
    /// One that is not in the table yet.
    to_carry_out: Option<Truncation>,
}

impl Buffer {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes the last truncate of a source, and whether stored rows must go for it.
    pub(crate) fn truncate(&mut self, source: &Arc<str>, truncation: Truncation, is_new: bool) {
        if is_new {
            self.to_carry_out = Some(truncation.clone());
        }
        self.truncations.insert(Arc::clone(source), truncation);
    }

    /// The truncate that stored rows must go for.
    pub(crate) fn truncation(&self) -> Option<&Truncation> {
        self.to_carry_out.as_ref()
    }

    /// Takes the rows of a batch for which `taken` holds. The epoch of each goes before its order.
    pub(crate) fn add(
        &mut self,
        batch: &ChangeBatch,
        taken: &BooleanArray,
        (keys, partitions): (StringArray, StringArray),
        others: Option<OtherKeys>,
        epochs: &Epochs,
    ) -> Result<()> {
        if taken.true_count() == 0 {
            return Ok(());
        }
        let part = Part {
            source: Arc::clone(&batch.source),
            run: batch.run.clone(),
            rows: batch.rows.clone(),
            unsent: batch.unsent.clone(),
            ops: batch.ops.clone(),
            orders: with_epochs(&batch.orders, epochs)?,
            source_ts_ms: batch.source_ts_ms.clone(),
            keys,
            partitions,
            others,
            origins: OriginRun {
                topic: Arc::clone(&batch.topic),
                partitions: batch.partitions.clone(),
                offsets: batch.offsets.clone(),
            },
        };
        let part = part.filtered(taken)?;
        self.rows += part.ops.len();
        self.bytes += part.rows.get_array_memory_size() + part.keys.get_array_memory_size() + part.ops.len() * 48;
        self.parts.push(part);
        Ok(())
    }

    /// All changes in the table's columns. Where deleted rows are kept, and some go for a truncate, it is the last of them.
    pub(crate) fn into_change_set(self, shape: &Shape) -> Result<ChangeSet> {
        let Self { mut parts, truncations, to_carry_out, .. } = self;
        let Shape { columns: table, kind, mode, .. } = shape;
        let all = parts.iter().map(|part| part.ops.len()).sum::<usize>();
        let mark = to_carry_out.filter(|_| *mode == Mode::SoftDelete).map(|truncation| Part::of(&truncation, *kind));
        let marks = usize::from(mark.is_some());
        parts.extend(mark);
        let truncation = |part: &Part| truncations.get(&part.source);
        let parts = parts.into_iter().map(|part| match truncation(&part) {
            Some(truncation) => part.not_covered_by(truncation),
            None => Ok(part),
        });
        let parts = parts.collect::<Result<Vec<Part>>>()?;
        let least = |part: &Part| truncation(part).map_or(OrderValue::Lowest, Truncation::order);
        let ops: Vec<Op> = parts.iter().flat_map(|part| part.ops.iter().copied()).collect();
        let orders = joined(parts.iter().map(|part| Arc::clone(&part.orders)).collect(), &kind.data_type())?;
        let text = |of: fn(&Part) -> &StringArray| {
            downcast::<StringArray>(joined(
                parts.iter().map(|p| Arc::new(of(p).clone()) as _).collect(),
                &DataType::Utf8,
            )?)
        };
        let (keys, partitions) = (text(|part| &part.keys)?, text(|part| &part.partitions)?);
        let mut table_columns = Vec::with_capacity(table.fields().len());
        let mut unsent = Vec::with_capacity(table.fields().len());
        for field in table.fields() {
            let ours = match field.name().as_str() {
                columns::ORDER => {
                    let of_parts = parts.iter().map(|part| stored_orders(&part.orders, least(part)));
                    Some(joined(of_parts.collect(), &kind.data_type())?)
                }
                name => our_column(name, &parts, &ops, &keys, *mode),
            };
            let (column, mask) = match ours {
                Some(column) => (column, None),
                None => shape.source_column(&parts, &ops, field)?,
            };
            table_columns.push(column);
            unsent.push(mask);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(ops.len()));
        let columns = RecordBatch::try_new_with_options(Arc::clone(table), table_columns, &options)
            .map_err(Error::columns("join", "the changes of a commit"))?;
        let orders = Orders::of(&orders).ok_or_else(|| Error::corrupt(columns::ORDER, "neither long nor text"))?;
        Ok(ChangeSet {
            covered: (all + marks - ops.len()) as u64,
            mark: (marks > 0).then(|| ops.len() as u32 - 1),
            columns,
            keys,
            partitions,
            ops,
            orders,
            unsent,
            others: joined_others(&parts)?,
            old: old_changes(&parts, &shape.old_runs),
            origins: Origins::new(parts.into_iter().map(|part| part.origins).collect()),
        })
    }
}

/// A column that the table has beside those of the source; not the orders.
fn our_column(name: &str, parts: &[Part], ops: &[Op], keys: &StringArray, mode: Mode) -> Option<ArrayRef> {
    match (name, mode) {
        (columns::OP, _) => Some(Arc::new(ops.iter().map(|op| Some(op.letter())).collect::<StringArray>())),
        (columns::SOURCE_TS, _) => Some(source_times(parts)),
        (columns::CHANGE, Mode::History) => Some(Arc::new(keys.clone())),
        (columns::UNSENT, Mode::History) => Some(unsent_names(parts)),
        _ => None,
    }
}

/// What the changes of a commit are made to fit.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// The table's columns.
    pub(crate) columns: SchemaRef,
    pub(crate) kind: OrderKind,
    pub(crate) mode: Mode,
    /// The columns of the record key.
    pub(crate) key: Vec<String>,
    /// The runs of the connector from before the last full snapshot.
    pub(crate) old_runs: HashSet<String>,
}

impl Shape {
    /// A column of the source in all parts, and the changes that did not send it.
    fn source_column(&self, parts: &[Part], ops: &[Op], field: &Field) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
        let (name, data_type) = (field.name(), field.data_type());
        let column = source_column(parts, name, data_type)?;
        let mask = joined_masks(parts, name);
        match self.mode {
            Mode::Upsert => Ok((column, mask)),
            // What was not sent is told by name.
            Mode::History => Ok((column, None)),
            Mode::SoftDelete => kept_from_deletes(&column, mask, ops, self.key.contains(name)),
        }
    }
}

/// A delete says nothing but the key of the values that a row had, and a truncate not even that: they are kept as they stand.
fn kept_from_deletes(
    column: &ArrayRef,
    mask: Option<BooleanBuffer>,
    ops: &[Op],
    is_key: bool,
) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
    let says_nothing = |op: &Op| *op == Op::Truncate || (*op == Op::Delete && !is_key);
    let is_deleted: BooleanBuffer = ops.iter().map(says_nothing).collect();
    if !any(&is_deleted) {
        return Ok((Arc::clone(column), mask));
    }
    let nulled = nullif(column, &BooleanArray::new(is_deleted.clone(), None));
    let column = nulled.map_err(Error::columns("mask", "the changes of a commit"))?;
    let mask = mask.map_or_else(|| is_deleted.clone(), |mask| &mask | &is_deleted);
    Ok((column, Some(mask)))
}

impl Part {
    /// What rows become that are marked for a truncate.
    fn of(truncation: &Truncation, kind: OrderKind) -> Self {
        let orders: ArrayRef = match (truncation.order(), kind) {
            (OrderValue::Long(order), _) => Arc::new(Int64Array::from(vec![order])),
            (OrderValue::Text(order), _) => Arc::new(StringArray::from(vec![order])),
            (OrderValue::Lowest, kind) => new_null_array(&kind.data_type(), 1),
        };
        let empty = || StringArray::from(vec![""]);
        Self {
            source: "".into(),
            rows: RecordBatch::new_empty(Arc::new(Schema::empty())),
            unsent: vec![],
            ops: vec![Op::Truncate],
            orders,
            source_ts_ms: Int64Array::from(vec![truncation.source_time().map(|micros| micros / 1000)]),
            keys: empty(),
            partitions: empty(),
            others: None,
            run: None,
            origins: OriginRun { topic: "".into(), partitions: vec![0], offsets: vec![0] },
        }
    }

    /// The changes for which the mask holds.
    fn filtered(self, holds: &BooleanArray) -> Result<Self> {
        if holds.true_count() == holds.len() {
            return Ok(Self { unsent: self.unsent.into_iter().map(|mask| mask.filter(any)).collect(), ..self });
        }
        let failed = || Error::columns("filter", "changes");
        let keep = |array: &dyn Array| filter(array, holds).map_err(failed());
        let bits = |mask: &BooleanBuffer| filtered_bits(mask, holds.values());
        Ok(Self {
            source: self.source,
            run: self.run,
            rows: filter_record_batch(&self.rows, holds).map_err(failed())?,
            unsent: self.unsent.iter().map(|unsent| unsent.as_ref().map(bits).filter(any)).collect(),
            ops: holds.values().set_indices().map(|row| self.ops[row]).collect(),
            orders: keep(&self.orders)?,
            source_ts_ms: downcast(keep(&self.source_ts_ms)?)?,
            keys: filtered_text(&self.keys, holds)?,
            partitions: filtered_text(&self.partitions, holds)?,
            others: self.others.map(|others| others.filtered(holds)).transpose()?,
            origins: self.origins.filtered(holds.values()),
        })
    }

    /// The changes that a truncate leaves.
    fn not_covered_by(self, truncation: &Truncation) -> Result<Self> {
        let orders = Orders::of(&self.orders).ok_or_else(|| Error::corrupt(columns::ORDER, "neither long nor text"))?;
        let survives = |row: usize| {
            // A snapshot's position lies.
            let order = if self.ops[row] == Op::Snapshot { OrderValue::Lowest } else { orders.value(row) };
            let source_time = self.source_ts_ms.is_valid(row).then(|| micros(self.source_ts_ms.value(row)));
            !truncation.covers(order, source_time)
        };
        let survives: BooleanArray = (0..self.ops.len()).map(|row| Some(survives(row))).collect();
        self.filtered(&survives)
    }
}

/// Whether the mask holds anywhere.
fn any(mask: &BooleanBuffer) -> bool {
    mask.count_set_bits() > 0
}

/// For each change, the columns that it did not send; null: none.
fn unsent_names(parts: &[Part]) -> ArrayRef {
    let mut names = StringBuilder::new();
    for part in parts {
        let schema = part.rows.schema_ref();
        let masks = part.unsent.iter().enumerate().filter_map(|(column, mask)| Some((column, mask.as_ref()?)));
        let masks: Vec<(&str, &BooleanBuffer)> =
            masks.map(|(column, mask)| (schema.field(column).name().as_str(), mask)).collect();
        for row in 0..part.ops.len() {
            let mut before = "";
            for (name, _) in masks.iter().filter(|(_, mask)| mask.value(row)) {
                // Writing to a builder in memory cannot fail.
                let _ = write!(names, "{before}{name}");
                before = ",";
            }
            if before.is_empty() { names.append_null() } else { names.append_value("") }
        }
    }
    Arc::new(names.finish())
}

/// The columns that the table has beside those of the source.
pub(crate) fn with_our_columns(source: &Schema, kind: OrderKind, keeps_every_change: bool) -> Schema {
    use arrow::datatypes::TimeUnit;
    let mut fields: Vec<Arc<Field>> = source.fields().iter().map(Arc::clone).collect();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    fields.push(Arc::new(Field::new(columns::OP, DataType::Utf8, true)));
    fields.push(Arc::new(Field::new(columns::ORDER, kind.data_type(), true)));
    fields.push(Arc::new(Field::new(columns::SOURCE_TS, micros, true)));
    if keeps_every_change {
        fields.extend([columns::CHANGE, columns::UNSENT].map(|name| Arc::new(Field::new(name, DataType::Utf8, true))));
    }
    Schema::new(fields)
}

fn downcast<T: Clone + 'static>(array: ArrayRef) -> Result<T> {
    let found = array.as_any().downcast_ref::<T>().cloned();
    found.ok_or_else(|| Error::corrupt("changes", format!("a column is unexpectedly {}", array.data_type())))
}

fn joined(arrays: Vec<ArrayRef>, data_type: &DataType) -> Result<ArrayRef> {
    match arrays.as_slice() {
        [] => return Ok(new_null_array(data_type, 0)),
        [only] => return Ok(Arc::clone(only)),
        _ => {}
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
    concat(&arrays).map_err(Error::columns("join", "the changes of a commit"))
}

/// A column of the source in all parts: absent ones null, narrower ones widened.
fn source_column(parts: &[Part], name: &str, data_type: &DataType) -> Result<ArrayRef> {
    let mut arrays = Vec::with_capacity(parts.len());
    for part in parts {
        arrays.push(match part.rows.column_by_name(name) {
            None => new_null_array(data_type, part.ops.len()),
            Some(column) => fit(column, data_type).map_err(Error::columns("widen", name))?,
        });
    }
    joined(arrays, data_type)
}

fn joined_masks(parts: &[Part], name: &str) -> Option<BooleanBuffer> {
    let mask_of = |part: &Part| part.rows.schema_ref().index_of(name).ok().and_then(|i| part.unsent[i].clone());
    if parts.iter().all(|part| mask_of(part).is_none()) {
        return None;
    }
    let mut builder = BooleanBufferBuilder::new(parts.iter().map(|part| part.ops.len()).sum());
    for part in parts {
        match mask_of(part) {
            Some(mask) => builder.append_buffer(&mask),
            None => builder.append_n(part.ops.len(), false),
        }
    }
    Some(builder.finish())
}

/// The changes of old runs, if there are any.
fn old_changes(parts: &[Part], old_runs: &HashSet<String>) -> Option<BooleanBuffer> {
    let is_old = |part: &Part| part.run.as_deref().is_some_and(|run| old_runs.contains(run));
    if !parts.iter().any(is_old) {
        return None;
    }
    let mut old = BooleanBufferBuilder::new(parts.iter().map(|part| part.ops.len()).sum());
    parts.iter().for_each(|part| old.append_n(part.ops.len(), is_old(part)));
    Some(old.finish())
}

/// The other keys of all parts, if any has some.
fn joined_others(parts: &[Part]) -> Result<Option<OtherKeys>> {
    if parts.iter().all(|part| part.others.as_ref().is_none_or(|others| others.keys.null_count() == others.keys.len()))
    {
        return Ok(None);
    }
    let all = |of: fn(&OtherKeys) -> &StringArray| {
        let of_part = |part: &Part| match &part.others {
            Some(others) => Arc::new(of(others).clone()) as ArrayRef,
            None => new_null_array(&DataType::Utf8, part.ops.len()),
        };
        downcast(joined(parts.iter().map(of_part).collect(), &DataType::Utf8)?)
    };
    Ok(Some(OtherKeys { keys: all(|others| &others.keys)?, partitions: all(|others| &others.partitions)? }))
}

fn source_times(parts: &[Part]) -> ArrayRef {
    let micros = parts.iter().flat_map(|part| part.source_ts_ms.iter().map(|ms| ms.map(micros)));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
