//! The form of a [`RowMemory`] in the store: one parquet file, a row an entry.
//!
//! The column [`ENTRY`] says in JSON what the entry is; the others are the table's columns of the row that is remembered,
//! null where none is. Ours alone, no part of Hudi's format.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde::{Deserialize, Serialize};

use super::memory::{Given, Owed, RowMemory};
use super::waiting::Waiting;
use crate::changes::Spot;
use crate::error::{Error, Result};

/// The column that says what an entry is. No column of a source is called so: ours begin with `_cdc_`.
const ENTRY: &str = "_cdc_memory";

#[derive(Serialize, Deserialize)]
enum Entry {
    Given(Given),
    Waiting(Waiting),
    Owed(Owed),
    Stale(Spot),
}

impl RowMemory {
    /// The file's bytes.
    pub(crate) fn to_file(&self, path: &str) -> Result<Bytes> {
        let failed = || Error::columns("encode", path);
        let with_row = self.given.iter().cloned().map(Entry::Given);
        let with_row = with_row.chain(self.waiting.iter().cloned().map(Entry::Waiting));
        let entries = with_row.chain(self.owed.iter().cloned().map(Entry::Owed));
        let entries = entries.chain(self.stale.iter().cloned().map(Entry::Stale));
        // An entry of ours is always text.
        let texts = entries.map(|entry| serde_json::to_string(&entry).unwrap_or_default());
        let entries: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        let mut fields = vec![Arc::new(Field::new(ENTRY, DataType::Utf8, false))];
        let mut columns = vec![entries];
        let rows = match (&self.rows, &self.waiting_rows) {
            (Some(given), Some(waiting)) => {
                Some(concat_batches(given.schema_ref(), [given, waiting]).map_err(failed())?)
            }
            (given, waiting) => given.clone().or_else(|| waiting.clone()),
        };
        for (column, field) in rows.iter().flat_map(|rows| rows.columns().iter().zip(rows.schema_ref().fields())) {
            let none = new_null_array(field.data_type(), self.owed.len() + self.stale.len());
            columns.push(concat(&[&**column, &*none]).map_err(failed())?);
            // An entry that is no row has null in every column.
            fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(failed())?;
        encoded(&batch).map_err(Error::columns("encode", path))
    }

    /// Reads what [`Self::to_file`] wrote.
    pub(crate) fn of_file(bytes: Bytes, path: &str) -> Result<Self> {
        let failed = || Error::columns("decode", path);
        let mut memory = Self::default();
        let mut reader = decoded(bytes).map_err(Error::columns("decode", path))?;
        let Some(batch) = reader.next().transpose().map_err(failed())? else { return Ok(memory) };
        let corrupt = |reason: String| Error::corrupt(path, reason);
        let entries = batch.column_by_name(ENTRY).and_then(|column| column.as_string_opt::<i32>());
        let entries = entries.ok_or_else(|| corrupt(format!("want the column {ENTRY}")))?;
        for text in entries.iter().flatten() {
            match serde_json::from_str(text).map_err(|error| corrupt(error.to_string()))? {
                Entry::Given(given) => memory.given.push(given),
                Entry::Waiting(waiting) => memory.waiting.push(waiting),
                Entry::Owed(owed) => memory.owed.push(owed),
                Entry::Stale(spot) => drop(memory.stale.insert(spot)),
            }
        }
        let columns: Vec<usize> = (1..batch.num_columns()).collect();
        let rows = batch.project(&columns).map_err(failed())?;
        let (given, waiting) = (memory.given.len(), memory.waiting.len());
        memory.rows = Some(rows.slice(0, given)).filter(|_| given > 0);
        memory.waiting_rows = Some(rows.slice(given, waiting)).filter(|_| waiting > 0);
        Ok(memory)
    }
}

fn encoded(batch: &RecordBatch) -> parquet::errors::Result<Bytes> {
    let mut writer = ArrowWriter::try_new(vec![], batch.schema(), None)?;
    writer.write(batch)?;
    writer.into_inner().map(Bytes::from)
}

/// All rows in one batch.
fn decoded(bytes: Bytes) -> parquet::errors::Result<ParquetRecordBatchReader> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let rows = usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
    reader.with_batch_size(rows.max(1)).build()
}

#[cfg(test)]
mod tests {
    use super::super::ids::MoveId;
    use super::super::memory::{Holder, Since};
    use super::*;

    fn id(order: i64) -> MoveId {
        let spot = |key: &str| Spot { partition: "p=1".to_owned(), key: key.to_owned() };
        MoveId { old: spot("a"), new: spot("b"), order: order.to_string() }
    }

    #[test]
    fn a_memory_is_read_back_as_it_was() {
        let since = Since { at_ms: 7, source_time: None };
        let columns: [(&str, ArrayRef); 2] = [
            ("text", Arc::new(StringArray::from(vec![Some("x"), None]))),
            ("number", Arc::new(arrow::array::Decimal128Array::from(vec![1, 2]))),
        ];
        let rows =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
        let owed = |holder| Owed { id: id(3), since, holder, columns: vec!["text".to_owned()] };
        let memory = RowMemory {
            given: vec![Given { id: id(1), since }, Given { id: id(2), since }],
            rows: Some(rows.clone()),
            owed: vec![owed(Holder::Row(id(3).new)), owed(Holder::Given(id(1)))],
            stale: [id(1).old, id(1).new].into(),
            waiting: vec![Waiting::sample()],
            waiting_rows: Some(rows.slice(1, 1)),
        };
        let without_given = RowMemory { given: vec![], rows: None, ..memory.clone() };
        let without_waiting = RowMemory { waiting: vec![], waiting_rows: None, ..memory.clone() };
        for memory in [memory, without_given, without_waiting] {
            let read = RowMemory::of_file(memory.to_file("f").unwrap(), "f").unwrap();
            assert_eq!((read.given, read.owed, read.stale), (memory.given, memory.owed, memory.stale));
            assert_eq!(read.waiting, memory.waiting);
            let columns = |rows: Option<RecordBatch>| rows.map(|rows| rows.columns().to_vec());
            assert_eq!(columns(read.rows), columns(memory.rows));
            assert_eq!(columns(read.waiting_rows), columns(memory.waiting_rows));
        }
    }
}
