//! [`fit`]: a column in the type that the table has for it, and [`losses`]: the rows whose values would lose digits by that.
//!
//! Structs are fitted by the names of their fields, at every depth: absent ones are null, those that are no more are left out.
//! Which types fit into which is `hudi-core`'s affair.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type};
use arrow::error::ArrowError;

/// The column in this type. What does not fit is an error, never a null.
pub(crate) fn fit(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match (column.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(column)),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            Ok(Arc::new(fit_struct(column.as_struct(), fields, by_name)?))
        }
        (DataType::List(_), DataType::List(element)) => {
            let list = column.as_list::<i32>();
            let values = fit(list.values(), element.data_type())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls)?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let DataType::Struct(fields) = entries.data_type() else { return cast_strictly(column, to) };
            let map = column.as_map();
            let fitted = fit_struct(map.entries(), fields, by_place)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, fitted, nulls, *sorted)?))
        }
        _ => cast_strictly(column, to),
    }
}

fn cast_strictly(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// Finds the child for a field.
type Find = for<'a> fn(&'a StructArray, usize, &Field) -> Option<&'a ArrayRef>;

fn by_name<'a>(from: &'a StructArray, _: usize, field: &Field) -> Option<&'a ArrayRef> {
    from.column_by_name(field.name())
}

/// The key and value of a map have the names that their writer gave them.
fn by_place<'a>(from: &'a StructArray, place: usize, _: &Field) -> Option<&'a ArrayRef> {
    from.columns().get(place)
}

fn fit_struct(from: &StructArray, fields: &Fields, find: Find) -> Result<StructArray, ArrowError> {
    let child = |(place, field): (usize, &Arc<Field>)| match find(from, place, field) {
        Some(child) => fit(child, field.data_type()),
        None => Ok(new_null_array(field.data_type(), from.len())),
    };
    let children = fields.iter().enumerate().map(child).collect::<Result<Vec<_>, _>>()?;
    StructArray::try_new_with_length(fields.clone(), children, from.nulls().cloned(), from.len())
}

/// The rows in which a number has more digits than the type holds; `None`: no row.
pub(crate) fn losses(column: &ArrayRef, to: &DataType) -> Option<BooleanBuffer> {
    let lost = match (column.data_type(), to) {
        (DataType::Int32, DataType::Float32) => {
            let values = column.as_primitive::<Int32Type>().values();
            values.iter().map(|value| *value as f32 as i64 != i64::from(*value)).collect()
        }
        (DataType::Int64, DataType::Float32) => {
            let values = column.as_primitive::<Int64Type>().values();
            values.iter().map(|value| *value as f32 as i128 != i128::from(*value)).collect()
        }
        (DataType::Int64, DataType::Float64) => {
            let values = column.as_primitive::<Int64Type>().values();
            values.iter().map(|value| *value as f64 as i128 != i128::from(*value)).collect()
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let from = column.as_struct();
            let lost = |field: &Arc<Field>| losses(from.column_by_name(field.name())?, field.data_type());
            fields.iter().filter_map(lost).reduce(|a, b| &a | &b)?
        }
        (DataType::List(_), DataType::List(element)) => {
            let list = column.as_list::<i32>();
            in_any_element(&losses(list.values(), element.data_type())?, list.value_offsets())
        }
        (DataType::Map(..), DataType::Map(entries, _)) => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let map = column.as_map();
            in_any_element(&losses(map.values(), fields.get(1)?.data_type())?, map.value_offsets())
        }
        _ => return None,
    };
    let lost = column.nulls().map_or(lost.clone(), |valid| &lost & valid.inner());
    (lost.count_set_bits() > 0).then_some(lost)
}

fn in_any_element(elements: &BooleanBuffer, offsets: &[i32]) -> BooleanBuffer {
    let any = |row: &[i32]| (row[0]..row[1]).any(|element| elements.value(element as usize));
    offsets.windows(2).map(any).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{Float64Type, Schema};

    fn of(fields: &[(&str, DataType)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect())
    }

    fn list_of(element: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("element", element, true)))
    }

    #[test]
    fn structs_are_fitted_by_name_at_every_depth() {
        let (a, b): (ArrayRef, ArrayRef) =
            (Arc::new(Int32Array::from(vec![1, 2])), Arc::new(StringArray::from(vec!["x", "y"])));
        let fields =
            Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("gone", DataType::Utf8, true)]);
        let inner: ArrayRef = Arc::new(StructArray::new(fields, vec![Arc::clone(&a), b], None));
        let element = Arc::new(Field::new("item", inner.data_type().clone(), true));
        let list: ArrayRef = Arc::new(ListArray::new(element, OffsetBuffer::from_lengths([2, 0]), inner, None));
        // As many fields as before, so that a match by place would go wrong unnoticed.
        let wanted = of(&[("new", DataType::Utf8), ("a", DataType::Int64)]);
        let fitted = fit(&list, &list_of(wanted)).unwrap();
        let inner = fitted.as_list::<i32>().values().as_struct();
        assert_eq!(inner.column(0).null_count(), 2);
        assert_eq!(inner.column(1).as_primitive::<Int64Type>().values(), &[1, 2]);
        let schema = Schema::new(vec![Field::new("l", fitted.data_type().clone(), true)]);
        RecordBatch::try_new(Arc::new(schema), vec![fitted]).unwrap();
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![1 << 40]));
        fit(&wide, &DataType::Int32).unwrap_err();
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        fit(&text, &DataType::Int64).unwrap_err();
    }

    #[test]
    fn digits_that_a_fraction_cannot_hold_are_told() {
        let (exact, wide) = ((1 << 53), (1 << 53) + 1);
        let longs: ArrayRef = Arc::new(Int64Array::from(vec![Some(exact), Some(wide), None, Some(i64::MAX)]));
        let lost = |column: &ArrayRef, to| losses(column, &to).map(|rows| rows.set_indices().collect::<Vec<_>>());
        assert_eq!(lost(&longs, DataType::Float64), Some(vec![1, 3]));
        assert_eq!(lost(&longs.slice(0, 1), DataType::Float64), None);
        assert_eq!(
            fit(&longs.slice(0, 1), &DataType::Float64).unwrap().as_primitive::<Float64Type>().value(0),
            exact as f64
        );
        let element = Arc::new(Field::new("element", DataType::Int64, true));
        let list: ArrayRef = Arc::new(ListArray::new(element, OffsetBuffer::from_lengths([1, 3]), longs, None));
        assert_eq!(lost(&list, list_of(DataType::Float64)), Some(vec![1]));
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![1 << 24, (1 << 24) + 1]));
        assert_eq!(lost(&ints, DataType::Float32), Some(vec![1]));
        let fractions: ArrayRef = Arc::new(Float64Array::from(vec![0.1]));
        assert_eq!(lost(&fractions, DataType::Float64), None);
    }
}
