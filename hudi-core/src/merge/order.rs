//! Values of the ordering column, compared as readers compare them.

use arrow::array::{Array, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;

/// An ordering column of either kind.
#[derive(Debug, Clone)]
pub enum Orders {
    /// 64-bit positions.
    Long(Int64Array),
    /// Padded text.
    Text(StringArray),
}

/// One row's order. A row without one is below all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderValue<'a> {
    /// The row has no order.
    Lowest,
    /// A 64-bit position.
    Long(i64),
    /// Padded text.
    Text(&'a str),
}

impl Orders {
    /// The column as orders; `None` where its type is neither `Int64` nor `Utf8`.
    #[must_use]
    pub fn of(column: &dyn Array) -> Option<Self> {
        if let Some(long) = column.as_primitive_opt::<Int64Type>() {
            return Some(Self::Long(long.clone()));
        }
        column.as_string_opt::<i32>().map(|text| Self::Text(text.clone()))
    }

    /// The order of row `row`.
    #[must_use]
    pub fn value(&self, row: usize) -> OrderValue<'_> {
        match self {
            Self::Long(column) if column.is_valid(row) => OrderValue::Long(column.value(row)),
            Self::Text(column) if column.is_valid(row) => OrderValue::Text(column.value(row)),
            _ => OrderValue::Lowest,
        }
    }
}
