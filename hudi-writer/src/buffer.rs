//! [`Buffer`]: changes that wait for the commit, in the order of their arrival, and their way into one [`ChangeSet`].

use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, concat, filter, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use hudi_core::change::{ChangeBatch, MAX_LONG_POSITION, Op, OrderKind, columns};
use hudi_core::error::Error as FormatError;
use hudi_core::merge::Orders;

use crate::changes::{ChangeSet, OriginRun, Origins};
use crate::error::{Error, Result, format};

/// What an order is where nothing has one: below all positions.
const LOWEST_TEXT: &str = "0";

/// Changes of one batch that were taken, with their keys and partitions.
#[derive(Debug)]
struct Part {
    rows: RecordBatch,
    unsent: Vec<Option<BooleanBuffer>>,
    ops: Vec<Op>,
    orders: ArrayRef,
    source_ts_ms: Int64Array,
    keys: StringArray,
    partitions: StringArray,
    origins: OriginRun,
}

/// Changes that wait for the commit.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    parts: Vec<Part>,
    rows: usize,
    bytes: usize,
}

impl Buffer {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the rows of a batch for which `taken` holds. `epoch` goes before their orders.
    pub(crate) fn add(
        &mut self,
        batch: &ChangeBatch,
        taken: &BooleanArray,
        keys: StringArray,
        partitions: StringArray,
        epoch: u8,
    ) -> Result<()> {
        if taken.true_count() == 0 {
            return Ok(());
        }
        let failed = || Error::columns("filter the changes of", &batch.topic);
        let orders = with_epoch(&batch.orders, epoch)?;
        let all = taken.true_count() == taken.len();
        let keep =
            |array: &dyn Array| if all { Ok(arrow::array::make_array(array.to_data())) } else { filter(array, taken) };
        let mask = |mask: &BooleanBuffer| -> BooleanBuffer {
            if all {
                mask.clone()
            } else {
                mask.iter().zip(taken.values()).filter(|(_, t)| *t).map(|(m, _)| m).collect()
            }
        };
        let rows = if all { batch.rows.clone() } else { filter_record_batch(&batch.rows, taken).map_err(failed())? };
        let kept = (0..taken.len()).filter(|row| taken.value(*row));
        let part = Part {
            unsent: batch.unsent.iter().map(|m| m.as_ref().map(mask).filter(|m| m.count_set_bits() > 0)).collect(),
            ops: kept.clone().map(|row| batch.ops[row]).collect(),
            orders: keep(&orders).map_err(failed())?,
            source_ts_ms: downcast(keep(&batch.source_ts_ms).map_err(failed())?)?,
            keys: downcast(keep(&keys).map_err(failed())?)?,
            partitions: downcast(keep(&partitions).map_err(failed())?)?,
            origins: OriginRun {
                topic: Arc::clone(&batch.topic),
                partitions: kept.clone().map(|row| batch.partitions[row]).collect(),
                offsets: kept.map(|row| batch.offsets[row]).collect(),
            },
            rows,
        };
        self.rows += part.ops.len();
        self.bytes += part.rows.get_array_memory_size() + part.keys.get_array_memory_size() + part.ops.len() * 48;
        self.parts.push(part);
        Ok(())
    }

    /// All changes in the table's columns.
    pub(crate) fn into_change_set(self, table: &SchemaRef, kind: OrderKind) -> Result<ChangeSet> {
        let parts = self.parts;
        let ops: Vec<Op> = parts.iter().flat_map(|part| part.ops.iter().copied()).collect();
        let orders = joined(parts.iter().map(|part| Arc::clone(&part.orders)).collect(), &kind.data_type())?;
        let mut table_columns = Vec::with_capacity(table.fields().len());
        let mut unsent = Vec::with_capacity(table.fields().len());
        for field in table.fields() {
            let ours = match field.name().as_str() {
                columns::OP => {
                    Some(Arc::new(ops.iter().map(|op| Some(op.letter())).collect::<StringArray>()) as ArrayRef)
                }
                columns::ORDER => Some(stored_orders(&orders)),
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
            columns,
            keys: downcast(joined(parts.iter().map(|p| Arc::new(p.keys.clone()) as _).collect(), &DataType::Utf8)?)?,
            partitions: downcast(joined(
                parts.iter().map(|p| Arc::new(p.partitions.clone()) as _).collect(),
                &DataType::Utf8,
            )?)?,
            ops,
            orders,
            unsent,
            origins: Origins::new(parts.into_iter().map(|part| part.origins).collect()),
        })
    }
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

fn source_times(parts: &[Part]) -> ArrayRef {
    let micros = parts.iter().flat_map(|part| part.source_ts_ms.iter().map(|ms| ms.map(|ms| ms.saturating_mul(1000))));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// Orders as they are stored: where a change is judged by arrival and nothing was stored, the lowest.
fn stored_orders(orders: &ArrayRef) -> ArrayRef {
    match Orders::of(orders) {
        Some(Orders::Long(long)) => Arc::new(long.iter().map(|order| order.or(Some(0))).collect::<Int64Array>()),
        Some(Orders::Text(text)) => {
            Arc::new(text.iter().map(|order| order.or(Some(LOWEST_TEXT))).collect::<StringArray>())
        }
        None => Arc::clone(orders),
    }
}

fn with_epoch(orders: &ArrayRef, epoch: u8) -> Result<ArrayRef> {
    let Some(Orders::Long(long)) = Orders::of(orders) else {
        return Ok(Arc::clone(orders));
    };
    if let Some(wide) = long.iter().flatten().find(|order| !(0..=MAX_LONG_POSITION).contains(order)) {
        let reason = format!("position {wide} does not fit 56 bits");
        return Err(format(FormatError::Schema { column: columns::ORDER.to_owned(), reason }));
    }
    if epoch == 0 {
        return Ok(Arc::clone(orders));
    }
    let epoch = i64::from(epoch) << 56;
    Ok(Arc::new(long.unary::<_, arrow::datatypes::Int64Type>(|order| order | epoch)))
}
