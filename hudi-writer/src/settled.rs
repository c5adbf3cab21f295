//! [`Settled`]: a batch in the columns of the table, which may be others than those that the source names.
//!
//! Not here: which column takes which ([`hudi_core::schema::place`]), and the types, which are made those of the table when all
//! changes of a commit are joined.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hudi_core::change::{ChangeBatch, Op};
use hudi_core::checkpoint::Verdict;
use hudi_core::schema::mapping::Moment;
use hudi_core::schema::{ColumnMap, Incoming, OnSchemaConflict, Place, place};

use crate::buffer::with_our_columns;
use crate::error::{Error, Result, format};
use crate::fit::losses;

/// A batch in the columns of the table.
pub(crate) struct Settled<'a> {
    pub(crate) batch: Cow<'a, ChangeBatch>,
    /// The table's columns with it.
    pub(crate) columns: SchemaRef,
    pub(crate) map: ColumnMap,
    /// The rows with a value that goes nowhere, with the reason; no values in it.
    pub(crate) refused: BTreeMap<usize, String>,
}

/// What a batch is settled in.
pub(crate) struct Settling<'a> {
    /// The table's columns; `None`: it has none yet.
    pub(crate) columns: Option<&'a SchemaRef>,
    pub(crate) map: &'a ColumnMap,
    /// The columns of key and partition.
    pub(crate) fixed: &'a [String],
    pub(crate) on_conflict: OnSchemaConflict,
    /// A column that messages with all columns do not have was dropped.
    pub(crate) follows_drops: bool,
    /// What a deleted row was is of use: the table keeps it, or finds the row by it.
    pub(crate) reads_deleted: bool,
    pub(crate) keeps_every_change: bool,
}

impl Settling<'_> {
    /// Finds the table's columns for those of the batch; the rows that are not new have no say.
    pub(crate) fn settle<'b>(&self, batch: &'b ChangeBatch, verdicts: &[Verdict]) -> Result<Settled<'b>> {
        let is_new = |row: &usize| verdicts[*row] == Verdict::New && batch.ops[*row] != Op::Truncate;
        let new = rows_where(batch.num_rows(), &is_new);
        let with_image = |row: &usize| is_new(row) && (self.reads_deleted || batch.ops[*row] != Op::Delete);
        let with_image = rows_where(batch.num_rows(), &with_image);
        let incoming = with_our_columns(batch.rows.schema_ref(), batch.order_kind(), self.keeps_every_change);
        let has_values = |field: &Arc<Field>| match batch.rows.column_by_name(field.name()) {
            Some(column) if self.fixed.contains(field.name()) => any_value(column, &new),
            Some(column) => any_value(column, &with_image),
            None => true,
        };
        let has_values: Vec<bool> = incoming.fields().iter().map(has_values).collect();
        let (from, to) = moments(batch, &new);
        let has_image = with_image.as_ref().is_none_or(|rows| rows.count_set_bits() > 0);
        let placed = place(
            self.columns.map(|columns| &**columns),
            self.map,
            Incoming {
                topic: &batch.topic,
                schema: &incoming,
                has_values: &has_values,
                is_whole: self.follows_drops && batch.whole_schema && has_image,
                from,
                to,
                fixed: self.fixed,
            },
            self.on_conflict,
        );
        let placed = placed.map_err(format)?;
        let mut moving = Moving::new(batch, &placed.schema, with_image);
        for (column, (place, has_values)) in
            placed.places.iter().zip(&has_values).enumerate().take(batch.rows.num_columns())
        {
            moving.column(column, place, *has_values);
        }
        let (batch, refused) = moving.finish()?;
        Ok(Settled { batch, columns: Arc::new(placed.schema), map: placed.map, refused })
    }
}

/// The rows for which it holds; `None`: all.
fn rows_where(rows: usize, holds: &dyn Fn(&usize) -> bool) -> Option<BooleanBuffer> {
    let mask = BooleanBuffer::collect_bool(rows, |row| holds(&row));
    (mask.count_set_bits() < rows).then_some(mask)
}

fn any_value(column: &ArrayRef, rows: &Option<BooleanBuffer>) -> bool {
    match (rows, column.nulls()) {
        (None, _) => column.null_count() < column.len(),
        (Some(rows), None) => rows.count_set_bits() > 0,
        (Some(rows), Some(valid)) => (rows & valid.inner()).count_set_bits() > 0,
    }
}

/// The moments of the first and the last of the rows.
fn moments(batch: &ChangeBatch, rows: &Option<BooleanBuffer>) -> (Moment, Moment) {
    let is_asked = |row: &usize| rows.as_ref().is_none_or(|rows| rows.value(*row));
    let asked = || (0..batch.num_rows()).filter(is_asked);
    let positions = || asked().filter_map(|row| batch.positions[row]);
    let times = || asked().filter_map(|row| batch.source_time_ms(row));
    let from = Moment { position: positions().min(), ts_ms: times().min() };
    (from, Moment { position: positions().max(), ts_ms: times().max() })
}

/// A batch on its way into other columns.
struct Moving<'a, 't> {
    batch: &'a ChangeBatch,
    table: &'t Schema,
    /// The rows whose values count; `None`: all.
    counting: Option<BooleanBuffer>,
    fields: Vec<Arc<Field>>,
    columns: Vec<ArrayRef>,
    unsent: Vec<Option<BooleanBuffer>>,
    is_another: bool,
    refused: BTreeMap<usize, String>,
}

impl<'a, 't> Moving<'a, 't> {
    fn new(batch: &'a ChangeBatch, table: &'t Schema, counting: Option<BooleanBuffer>) -> Self {
        let (fields, columns, unsent) = (vec![], vec![], vec![]);
        Self { batch, table, counting, fields, columns, unsent, is_another: false, refused: BTreeMap::new() }
    }

    fn column(&mut self, number: usize, place: &Place, has_values: bool) {
        let values = self.batch.rows.column(number);
        let mask = self.batch.unsent[number].clone();
        if let Some(reason) = &place.refused {
            let has_value =
                values.nulls().map_or_else(|| BooleanBuffer::new_set(values.len()), |valid| valid.inner().clone());
            self.refuse(&has_value, reason);
        }
        let Some(name) = &place.column else {
            self.is_another = true;
            return;
        };
        let to = self.table.field_with_name(name).map_or(DataType::Null, |field| field.data_type().clone());
        let goes_nowhere = place.refused.is_some() || (!has_values && *values.data_type() != to);
        let lost = if goes_nowhere { None } else { losses(values, &to) };
        if let Some(lost) = lost {
            let (from, column) = (values.data_type(), self.batch.rows.schema_ref().field(number).name());
            self.refuse(
                &lost,
                &format!("column `{column}`: the table has {to}, which has fewer digits than this {from}"),
            );
        }
        self.is_another |= goes_nowhere || name != self.batch.rows.schema_ref().field(number).name();
        let values = if goes_nowhere { new_null_array(&to, values.len()) } else { Arc::clone(values) };
        for other in place.others.iter().filter(|_| mask.is_some()) {
            let to = self.table.field_with_name(other).map_or(DataType::Null, |field| field.data_type().clone());
            self.push(other, new_null_array(&to, values.len()), mask.clone());
        }
        self.push(name, values, mask);
    }

    fn push(&mut self, name: &str, values: ArrayRef, mask: Option<BooleanBuffer>) {
        self.fields.push(Arc::new(Field::new(name, values.data_type().clone(), true)));
        self.columns.push(values);
        self.unsent.push(mask);
    }

    fn refuse(&mut self, rows: &BooleanBuffer, reason: &str) {
        let counts = |row: &usize| self.counting.as_ref().is_none_or(|counting| counting.value(*row));
        for row in rows.set_indices().filter(counts) {
            self.refused.entry(row).or_insert_with(|| reason.to_owned());
        }
    }

    fn finish(self) -> Result<(Cow<'a, ChangeBatch>, BTreeMap<usize, String>)> {
        if !self.is_another && self.columns.len() == self.batch.rows.num_columns() {
            return Ok((Cow::Borrowed(self.batch), self.refused));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.batch.num_rows()));
        let schema = Arc::new(Schema::new(self.fields));
        let rows = RecordBatch::try_new_with_options(schema, self.columns, &options)
            .map_err(Error::columns("place the columns of", &self.batch.topic))?;
        Ok((Cow::Owned(ChangeBatch { rows, unsent: self.unsent, ..self.batch.clone() }), self.refused))
    }
}
