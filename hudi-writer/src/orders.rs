//! Orders in the form in which they are stored: the epoch before the position, and never null.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray, StringBuilder};
use hudi_core::change::{MAX_LONG_POSITION, columns};
use hudi_core::checkpoint::Epochs;
use hudi_core::error::Error as FormatError;
use hudi_core::merge::{OrderValue, Orders};

use crate::error::{Error, Result, format};

/// What an order is where nothing has one: below all positions of all epochs.
const LOWEST_TEXT: &str = "00";

/// The orders with the epoch before each: in the top 7 bits, or as two hexadecimal digits.
pub(crate) fn with_epochs(orders: &ArrayRef, epochs: &Epochs) -> Result<ArrayRef> {
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

/// Orders as they are stored: where a change is judged by arrival and nothing was stored, the `least` one that a row of its
/// source can have.
pub(crate) fn stored_orders(orders: &ArrayRef, least: OrderValue<'_>) -> ArrayRef {
    if orders.null_count() == 0 {
        return Arc::clone(orders);
    }
    match (Orders::of(orders), least) {
        (Some(Orders::Long(long)), least) => {
            let least = if let OrderValue::Long(least) = least { least } else { 0 };
            Arc::new(long.iter().map(|order| order.or(Some(least))).collect::<Int64Array>())
        }
        (Some(Orders::Text(text)), least) => {
            let least = if let OrderValue::Text(least) = least { least } else { LOWEST_TEXT };
            Arc::new(text.iter().map(|order| order.or(Some(least))).collect::<StringArray>())
        }
        (None, _) => Arc::clone(orders),
    }
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
