//! [`Buffer`]: changes that wait for the commit, in the order of their arrival, and their way into one [`ChangeSet`].

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StringBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, concat, filter, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use hudi_core::change::{ChangeBatch, MAX_LONG_POSITION, Op, OrderKind, columns};
use hudi_core::checkpoint::Epochs;
use hudi_core::error::Error as FormatError;
use hudi_core::merge::Orders;

use crate::changes::{ChangeSet, OriginRun, Origins};
use crate::error::{Error, Result, format};

/// What an order is where nothing has one: below all positions of all epochs.
const LOWEST_TEXT: &str = "00";

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

    /// Takes the rows of a batch for which `taken` holds. The epoch of each goes before its order.
    pub(crate) fn add(
        &mut self,
        batch: &ChangeBatch,
        taken: &BooleanArray,
        keys: StringArray,
        partitions: StringArray,
        epochs: &Epochs,
    ) -> Result<()> {
        if taken.true_count() == 0 {
            return Ok(());
        }
        let failed = || Error::columns("filter the changes of", &batch.topic);
        let orders = with_epochs(&batch.orders, epochs)?;
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

/// The orders with the epoch before each: in the top 7 bits, or as two hexadecimal digits.
fn with_epochs(orders: &ArrayRef, epochs: &Epochs) -> Result<ArrayRef> {
    match Orders::of(orders) {
        Some(Orders::Long(long)) => long_with_epochs(orders, &long, epochs),
        Some(Orders::Text(text)) => {
            let mut with = StringBuilder::with_capacity(text.len(), text.values().len() + 2 * text.len());
            for (rows, epoch) in epochs.runs(text.len()) {
                let epoch = format!("{epoch:02x}");
                for row in rows {
                    if text.is_null(row) {
                        with.append_null();
                    } else {
                        // What was written becomes part of the value that is appended next.
                        (with.write_str(&epoch)).map_err(Error::columns("order", "changes"))?;
                        with.append_value(text.value(row));
                    }
                }
            }
            Ok(Arc::new(with.finish()))
        }
        None => Ok(Arc::clone(orders)),
    }
}

fn long_with_epochs(orders: &ArrayRef, long: &Int64Array, epochs: &Epochs) -> Result<ArrayRef> {
    if let Some(wide) = long.iter().flatten().find(|order| !(0..=MAX_LONG_POSITION).contains(order)) {
        let reason = format!("position {wide} does not fit 56 bits");
        return Err(format(FormatError::Schema { column: columns::ORDER.to_owned(), reason }));
    }
    if epochs.runs(long.len()).all(|(_, epoch)| epoch == 0) {
        return Ok(Arc::clone(orders));
    }
    let mut with = long.values().to_vec();
    for (rows, epoch) in epochs.runs(long.len()) {
        with[rows].iter_mut().for_each(|order| *order |= i64::from(epoch) << 56);
    }
    Ok(Arc::new(Int64Array::new(with.into(), long.nulls().cloned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> Epochs {
        let mut epochs = Epochs::default();
        [0, 0, 1, 127, 0].into_iter().enumerate().for_each(|(row, epoch)| epochs.push(row, epoch));
        epochs
    }

    #[test]
    fn a_later_epoch_is_above_all_positions_of_an_earlier_one() {
        let long = [Some(7), None, Some(0), Some(MAX_LONG_POSITION), Some(MAX_LONG_POSITION)];
        let long: ArrayRef = Arc::new(Int64Array::from(long.to_vec()));
        let expected = [Some(7), None, Some(1 << 56), Some(i64::MAX), Some(MAX_LONG_POSITION)];
        assert_eq!(*with_epochs(&long, &epochs()).unwrap(), Int64Array::from(expected.to_vec()));

        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("07"), None, Some("00"), Some("zz"), Some("zz")]));
        let with = with_epochs(&text, &epochs()).unwrap();
        let expected = StringArray::from(vec![Some("0007"), None, Some("0100"), Some("7fzz"), Some("00zz")]);
        assert_eq!(*with, expected);
        assert!(expected.iter().flatten().all(|order| LOWEST_TEXT < order));
    }
}
