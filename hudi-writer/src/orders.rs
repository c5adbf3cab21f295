//! Orders in the form in which they are stored: the epoch before the position, and never null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use hudi_core::change::{MAX_LONG_POSITION, columns};
use hudi_core::error::Error as FormatError;
use hudi_core::merge::{OrderValue, Orders};

use crate::error::{Result, format};

/// What an order is where nothing has one: below all positions.
const LOWEST_TEXT: &str = "0";

/// Orders with the epoch of their source.
pub(crate) fn with_epoch(orders: &ArrayRef, epoch: u8) -> Result<ArrayRef> {
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
    Ok(Arc::new(long.unary::<_, Int64Type>(|order| order | epoch)))
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
