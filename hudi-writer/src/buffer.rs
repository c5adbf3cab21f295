//! [`Buffer`]: changes that wait for the commit, in the order of their arrival, and their way into one [`ChangeSet`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, concat, filter, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use hudi_core::change::{ChangeBatch, Op, OrderKind, columns};
use hudi_core::checkpoint::Epochs;
use hudi_core::merge::{OrderValue, Orders};

use crate::changes::{ChangeSet, OriginRun, Origins, OtherKeys};
use crate::error::{Error, Result};
use crate::orders::{stored_orders, with_epochs};
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

    /// All changes in the table's columns. `old_runs`: those of the connector from before the last full snapshot.
    pub(crate) fn into_change_set(
        self,
        table: &SchemaRef,
        kind: OrderKind,
        old_runs: &HashSet<String>,
    ) -> Result<ChangeSet> {
        let Self { parts, truncations, .. } = self;
        let all = parts.iter().map(|part| part.ops.len()).sum::<usize>();
        let truncation = |part: &Part| truncations.get(&part.source);
        let parts = parts.into_iter().map(|part| match truncation(&part) {
            Some(truncation) => part.not_covered_by(truncation),
            None => Ok(part),
        });
        let parts = parts.collect::<Result<Vec<Part>>>()?;
        let least = |part: &Part| truncation(part).map_or(OrderValue::Lowest, Truncation::order);
        let ops: Vec<Op> = parts.iter().flat_map(|part| part.ops.iter().copied()).collect();
        let orders = joined(parts.iter().map(|part| Arc::clone(&part.orders)).collect(), &kind.data_type())?;
        let mut table_columns = Vec::with_capacity(table.fields().len());
        let mut unsent = Vec::with_capacity(table.fields().len());
        for field in table.fields() {
            let ours = match field.name().as_str() {
                columns::OP => {
                    Some(Arc::new(ops.iter().map(|op| Some(op.letter())).collect::<StringArray>()) as ArrayRef)
                }
                columns::ORDER => {
                    let of_parts = parts.iter().map(|part| stored_orders(&part.orders, least(part)));
                    Some(joined(of_parts.collect(), &kind.data_type())?)
                }
                columns::SOURCE_TS => Some(source_times(&parts)),
                _ => None,
            };
            unsent.push(if ours.is_none() { joined_masks(&parts, field.name()) } else { None });
            table_columns.push(match ours {
                Some(column) => column,
                None => source_column(&parts, field.name(), field.data_type())?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(ops.len()));
        let columns = RecordBatch::try_new_with_options(Arc::clone(table), table_columns, &options)
            .map_err(Error::columns("join", "the changes of a commit"))?;
        let orders = Orders::of(&orders).ok_or_else(|| Error::corrupt(columns::ORDER, "neither long nor text"))?;
        Ok(ChangeSet {
            covered: (all - ops.len()) as u64,
            columns,
            keys: downcast(joined(parts.iter().map(|p| Arc::new(p.keys.clone()) as _).collect(), &DataType::Utf8)?)?,
            partitions: downcast(joined(
                parts.iter().map(|p| Arc::new(p.partitions.clone()) as _).collect(),
                &DataType::Utf8,
            )?)?,
            ops,
            orders,
            unsent,
            others: joined_others(&parts)?,
            old: old_changes(&parts, old_runs),
            origins: Origins::new(parts.into_iter().map(|part| part.origins).collect()),
        })
    }
}

impl Part {
    /// The changes for which the mask holds.
    fn filtered(self, holds: &BooleanArray) -> Result<Self> {
        if holds.true_count() == holds.len() {
            return Ok(Self { unsent: self.unsent.into_iter().map(|mask| mask.filter(any)).collect(), ..self });
        }
        let failed = || Error::columns("filter", "changes");
        let keep = |array: &dyn Array| filter(array, holds).map_err(failed());
        let mask = |mask: &BooleanBuffer| -> BooleanBuffer {
            mask.iter().zip(holds.values()).filter(|(_, holds)| *holds).map(|(mask, _)| mask).collect()
        };
        let kept = (0..holds.len()).filter(|row| holds.value(*row));
        Ok(Self {
            source: self.source,
            run: self.run,
            rows: filter_record_batch(&self.rows, holds).map_err(failed())?,
            unsent: self.unsent.iter().map(|unsent| unsent.as_ref().map(mask).filter(any)).collect(),
            ops: kept.clone().map(|row| self.ops[row]).collect(),
            orders: keep(&self.orders)?,
            source_ts_ms: downcast(keep(&self.source_ts_ms)?)?,
            keys: downcast(keep(&self.keys)?)?,
            partitions: downcast(keep(&self.partitions)?)?,
            others: match self.others {
                Some(OtherKeys { keys, partitions }) => {
                    Some(OtherKeys { keys: downcast(keep(&keys)?)?, partitions: downcast(keep(&partitions)?)? })
                }
                None => None,
            },
            origins: OriginRun {
                topic: self.origins.topic,
                partitions: kept.clone().map(|row| self.origins.partitions[row]).collect(),
                offsets: kept.map(|row| self.origins.offsets[row]).collect(),
            },
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

/// The columns that the table has beside those of the source.
pub(crate) fn with_our_columns(source: &Schema, kind: OrderKind) -> Schema {
    use arrow::datatypes::{Field, TimeUnit};
    let mut fields: Vec<Arc<Field>> = source.fields().iter().map(Arc::clone).collect();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    fields.push(Arc::new(Field::new(columns::OP, DataType::Utf8, true)));
    fields.push(Arc::new(Field::new(columns::ORDER, kind.data_type(), true)));
    fields.push(Arc::new(Field::new(columns::SOURCE_TS, micros, true)));
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
            None => new_null_array(data_type, part.rows.num_rows()),
            Some(column) if column.data_type() == data_type => Arc::clone(column),
            Some(column) => cast(column, data_type).map_err(Error::columns("widen", name))?,
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
