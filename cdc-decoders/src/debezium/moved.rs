//! The other keys of rows whose key changed: for a delete the key that the row has from then on, for an insert the one that it had.
//!
//! They are rare, so they stand in columns of their own until the batch is finished. Not here: which message tells of a move
//! ([`super::event`]).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StructArray, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;

use super::rows::{Absent, Placeholder, Rows};
use crate::error::DecodeError;

/// The other keys of the buffered rows.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Typed as the rows' own.
    keys: Option<Rows>,
    /// The row of each.
    at: Vec<usize>,
    /// How many there were when the message began.
    kept: usize,
}

impl Moved {
    /// From here on [`Self::roll_back`] takes everything back.
    pub(crate) fn begin(&mut self) {
        self.kept = self.at.len();
        if let Some(keys) = &mut self.keys {
            keys.begin();
        }
    }

    /// As it was at [`Self::begin`].
    pub(crate) fn roll_back(&mut self) {
        self.at.truncate(self.kept);
        if let Some(keys) = &mut self.keys {
            keys.roll_back();
        }
    }

    /// Notes the other key of row `row`, which `read` reads into the open row of the keys' columns. One that does not tell all key columns tells none.
    pub(crate) fn push(
        &mut self,
        row: usize,
        rows: &Rows,
        read: impl FnOnce(&mut Rows) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let keys = match &mut self.keys {
            Some(keys) => keys,
            None => {
                let mut keys = rows.keys_alone()?;
                keys.begin();
                self.keys.insert(keys)
            }
        };
        read(keys)?;
        if keys.lacks_a_key() {
            keys.clear_open();
            return Ok(());
        }
        keys.close(Absent::Null, Placeholder::Value)?;
        self.at.push(row);
        Ok(())
    }

    /// The other keys of a batch's rows; `None` where no row's key changed. `self` is empty afterwards.
    pub(crate) fn finish(
        &mut self,
        key_columns: &[String],
        rows: &Schema,
        count: usize,
    ) -> Result<Option<StructArray>, ArrowError> {
        let taken = std::mem::take(self);
        let Some(mut keys) = taken.keys.filter(|_| !taken.at.is_empty()) else { return Ok(None) };
        let (batch, _) = keys.finish()?;
        let places = places(&taken.at, count);
        let column = |name: &String| -> Result<(Arc<Field>, ArrayRef), ArrowError> {
            let field = Arc::new(rows.field_with_name(name)?.clone());
            let values = match batch.column_by_name(name) {
                Some(values) => take(values, &places, None)?,
                None => new_null_array(field.data_type(), count),
            };
            Ok((field, values))
        };
        let (fields, columns): (Vec<_>, Vec<_>) =
            key_columns.iter().map(column).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        StructArray::try_new(fields.into(), columns, places.logical_nulls()).map(Some)
    }
}

/// For each row the place of its other key.
fn places(at: &[usize], count: usize) -> UInt32Array {
    let mut places = vec![None; count];
    for (place, row) in at.iter().enumerate() {
        if let Some(slot) = places.get_mut(*row) {
            *slot = u32::try_from(place).ok();
        }
    }
    UInt32Array::from(places)
}
