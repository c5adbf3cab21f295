//! The columns of a topic's row images, whatever the syntax: rows are closed one by one, marked where a column was not sent, and
//! taken back when a message turns out to be bad.
//!
//! Not here: how a value is read ([`crate::debezium`] has a reader for each syntax), which image of a message is read, and what
//! happened to the row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use crate::columns::Column;
use crate::error::DecodeError;
use crate::plan::FieldPlan;

/// One column of the row images; `S` is what a syntax knows of it.
#[derive(Debug)]
pub(crate) struct ImageColumn<S> {
    pub(crate) source_name: String,
    pub(crate) name: String,
    pub(crate) syntax: S,
    pub(crate) column: Column,
    /// The rows in which it was not sent, in order.
    unsent: Vec<usize>,
    pub(crate) key: bool,
}

impl<S> ImageColumn<S> {
    /// An empty column of a field.
    pub(crate) fn new(field: &FieldPlan, syntax: S) -> Result<Self, DecodeError> {
        let data_type = field.reading.data_type();
        let column = Column::new(&data_type)
            .ok_or_else(|| DecodeError::schema(&field.source_name, format!("no column is of type {data_type}")))?;
        let (source_name, name) = (field.source_name.clone(), field.name.clone());
        Ok(Self { source_name, name, syntax, column, unsent: Vec::new(), key: false })
    }

    fn not_sent(&mut self, row: usize) {
        self.column.truncate(row);
        self.column.push_null();
        self.unsent.push(row);
    }
}

/// A value that looks like the placeholder.
#[derive(Debug, Clone, Copy)]
struct Lookalike {
    column: usize,
    /// It is no value of its column, so it can be nothing else.
    certain: bool,
}

/// What a value is that looks like the placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placeholder {
    /// A value: the source sends all.
    Value,
    /// The placeholder.
    NotSent,
    /// The placeholder, but a value if the row is new.
    MayBeNew,
}

/// What it means that an image lacks a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// The source had no such column: the image is the whole row.
    Null,
    /// The source did not send it.
    NotSent,
}

/// The columns, the rows in them, and what a message did to them so far.
#[derive(Debug)]
pub(crate) struct Images<S> {
    columns: Vec<ImageColumn<S>>,
    by_name: HashMap<String, usize>,
    /// Closed rows.
    rows: usize,
    /// Closed rows whose image may lack columns that the row has.
    partial: Vec<usize>,
    /// The key columns, there or not.
    keys: Vec<String>,
    lookalikes: Vec<Lookalike>,
    open: Open,
    undo: Undo,
}

/// How much of the open row was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Open {
    #[default]
    Nothing,
    Something,
    /// Every column.
    Whole,
}

#[derive(Debug, Default)]
struct Undo {
    rows: usize,
    columns: usize,
    /// Columns as they were before this message widened them.
    replaced: Vec<(usize, Column)>,
}

impl<S> Default for Images<S> {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            by_name: HashMap::new(),
            rows: 0,
            partial: Vec::new(),
            keys: Vec::new(),
            lookalikes: Vec::new(),
            open: Open::Nothing,
            undo: Undo::default(),
        }
    }
}

impl<S> Images<S> {
    /// Adds a column; its place.
    pub(crate) fn add(&mut self, mut column: ImageColumn<S>) -> usize {
        column.key = self.keys.contains(&column.name);
        self.by_name.insert(column.source_name.clone(), self.columns.len());
        self.columns.push(column);
        if self.open == Open::Whole {
            self.open = Open::Something;
        }
        self.columns.len() - 1
    }

    /// Adds a column that the closed rows did not have; its place. Those that may lack columns did not send it.
    pub(crate) fn add_late(&mut self, mut column: ImageColumn<S>) -> usize {
        (column.column.len()..self.rows).for_each(|_| column.column.push_null());
        column.unsent.clone_from(&self.partial);
        self.add(column)
    }

    /// Closed rows.
    pub(crate) const fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> &[ImageColumn<S>] {
        &self.columns
    }

    pub(crate) fn columns_mut(&mut self) -> &mut [ImageColumn<S>] {
        &mut self.columns
    }

    /// The place of the column that the source names so.
    pub(crate) fn place(&self, source_name: &str) -> Option<usize> {
        self.by_name.get(source_name).copied()
    }

    /// The column at a place that [`Self::place`] or [`Self::add`] told.
    #[inline]
    pub(crate) fn column(&mut self, place: usize) -> &mut ImageColumn<S> {
        self.open = Open::Something;
        &mut self.columns[place]
    }

    /// Whether nothing of the open row was read and there are so many columns: then each is to get its value now, by
    /// [`Self::column_of_begun`].
    #[inline]
    pub(crate) fn begin_whole(&mut self, columns: usize) -> bool {
        let whole = self.open == Open::Nothing && self.columns.len() == columns;
        if whole {
            self.open = Open::Whole;
        }
        whole
    }

    /// Says that the open row gets some columns, or one after the other.
    #[inline]
    pub(crate) const fn begin_part(&mut self) {
        self.open = Open::Something;
    }

    /// The column at a place, in a row that [began](Self::begin_whole).
    #[inline]
    pub(crate) fn column_of_begun(&mut self, place: usize) -> &mut ImageColumn<S> {
        &mut self.columns[place]
    }

    /// Whether the open row has a value of the column.
    #[inline]
    pub(crate) fn is_read(&self, place: usize) -> bool {
        self.columns[place].column.len() > self.rows
    }

    /// Calls the column by another name of the source's.
    pub(crate) fn rename(&mut self, place: usize, source_name: &str) {
        self.columns[place].source_name = source_name.to_owned();
        self.by_name.insert(source_name.to_owned(), place);
    }

    /// Says which columns are the key.
    pub(crate) fn set_keys(&mut self, names: &[String]) {
        self.keys = names.to_vec();
        for column in &mut self.columns {
            column.key = names.contains(&column.name);
        }
    }

    /// From here on [`Self::roll_back`] takes everything back.
    pub(crate) fn begin(&mut self) {
        self.undo.rows = self.rows;
        self.undo.columns = self.columns.len();
        self.undo.replaced.clear();
        self.lookalikes.clear();
        self.open = Open::Nothing;
    }

    /// As it was at [`Self::begin`].
    pub(crate) fn roll_back(&mut self) {
        for added in self.columns.drain(self.undo.columns..) {
            self.by_name.remove(&added.source_name);
        }
        for (place, before) in self.undo.replaced.drain(..).rev() {
            if let Some(column) = self.columns.get_mut(place) {
                column.column = before;
            }
        }
        self.rows = self.undo.rows;
        self.partial.truncate(self.partial.partition_point(|row| *row < self.rows));
        self.clear_open();
    }

    /// Takes back what was read of the open row.
    pub(crate) fn clear_open(&mut self) {
        let rows = self.rows;
        for column in &mut self.columns {
            column.column.truncate(rows);
            let sent = column.unsent.partition_point(|row| *row < rows);
            column.unsent.truncate(sent);
        }
        self.lookalikes.clear();
        self.open = Open::Nothing;
    }

    /// Takes back what was read of the open row but for the key; nothing, where there is no key.
    pub(crate) fn keep_key(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        self.open = Open::Something;
        for column in self.columns.iter_mut().filter(|column| !column.key) {
            column.column.truncate(self.rows);
        }
        self.lookalikes.retain(|lookalike| self.columns.get(lookalike.column).is_some_and(|column| column.key));
    }

    /// Whether the open row added a column.
    pub(crate) const fn grew(&self) -> bool {
        self.columns.len() > self.undo.columns
    }

    /// The key columns, there or not.
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Notes that the open row's value of a column looks like the placeholder, and may be one.
    #[cold]
    pub(crate) fn looks_unsent(&mut self, place: usize) {
        self.lookalikes.push(Lookalike { column: place, certain: false });
    }

    /// Notes that the open row has the placeholder where no value of the column can look so.
    #[cold]
    pub(crate) fn must_be_unsent(&mut self, place: usize) {
        let column = &mut self.columns[place].column;
        column.truncate(self.rows);
        column.push_null();
        self.lookalikes.push(Lookalike { column: place, certain: true });
    }

    /// Notes what a column was before the open row widened it. A key column keeps its type.
    #[cold]
    pub(crate) fn widened(&mut self, place: usize, before: Column) -> Result<(), DecodeError> {
        let column = &self.columns[place];
        let held = before.data_type();
        let change = (column.key && held != DataType::Null).then(|| DecodeError::Value {
            column: column.source_name.clone(),
            reason: format!("a key column keeps its type: it is {held}, the value wants {}", column.column.data_type()),
        });
        self.undo.replaced.push((place, before));
        change.map_or(Ok(()), Err)
    }

    /// Whether the open row has no value of a key column.
    pub(crate) fn lacks_a_key(&self) -> bool {
        let read = |column: &&ImageColumn<S>| column.key && column.column.len() > self.rows;
        self.columns.iter().filter(read).count() < self.keys.len()
    }

    /// Whether the open row has the placeholder where no value of the column can look so.
    pub(crate) fn surely_lacks(&self) -> bool {
        self.lookalikes.iter().any(|lookalike| lookalike.certain)
    }

    /// Closes the open row. `absent` says what columns mean that it lacks, `placeholder` what values are that look like it.
    pub(crate) fn close(&mut self, absent: Absent, placeholder: Placeholder) -> Result<(), DecodeError> {
        let row = self.rows;
        for lookalike in self.lookalikes.drain(..) {
            let column = &mut self.columns[lookalike.column];
            match placeholder {
                Placeholder::NotSent => column.not_sent(row),
                Placeholder::MayBeNew => column.unsent.push(row),
                Placeholder::Value if lookalike.certain => {
                    return Err(DecodeError::Value {
                        column: column.source_name.clone(),
                        reason: "the placeholder for a value not sent stands where the source sends all values"
                            .to_owned(),
                    });
                }
                Placeholder::Value => {}
            }
        }
        if self.open != Open::Whole {
            for column in self.columns.iter_mut().filter(|column| column.column.len() == row) {
                match absent {
                    Absent::Null => column.column.push_null(),
                    Absent::NotSent => column.not_sent(row),
                }
            }
        }
        self.open = Open::Nothing;
        if absent == Absent::NotSent {
            self.partial.push(row);
        }
        self.rows += 1;
        Ok(())
    }

    /// The closed rows, and for each column the rows that did not send it; empty afterwards. Columns of which only nulls were
    /// ever seen have no type yet and are left out.
    pub(crate) fn finish(&mut self) -> Result<(RecordBatch, Vec<Option<BooleanBuffer>>), ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.partial.clear();
        let (mut fields, mut arrays, mut unsent): (Vec<Field>, Vec<ArrayRef>, Vec<_>) = Default::default();
        for column in &mut self.columns {
            let untyped = matches!(column.column, Column::Null(_));
            let array = column.column.finish()?;
            let missing = std::mem::take(&mut column.unsent);
            if !untyped {
                fields.push(Field::new(&column.name, array.data_type().clone(), true));
                arrays.push(array);
                unsent.push(mask(&missing, rows));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
        Ok((batch, unsent))
    }
}

fn mask(set: &[usize], rows: usize) -> Option<BooleanBuffer> {
    if set.is_empty() {
        return None;
    }
    let mut mask = BooleanBufferBuilder::new(rows);
    mask.append_n(rows, false);
    set.iter().for_each(|row| mask.set_bit(*row, true));
    Some(mask.finish())
}
