//! The snapshot query: the latest committed slice of every file group, slice by slice, in bounded memory.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use futures::Stream;
use hudi_core::file_slice::FileSlice;
use hudi_core::instant::InstantTime;
use hudi_core::layout;
use hudi_core::schema::meta;

use crate::compute::Compute;
use crate::error::{Error, Result};
use crate::file::{BatchReader, align, read_footer};
use crate::table::Table;

/// What of a table is read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// The columns, by name, in this order; all where none are named.
    pub columns: Option<Vec<String>>,
    /// Hudi's five meta columns come first.
    pub meta_columns: bool,
}

/// A base file that the snapshot reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Its path below the table.
    pub path: String,
    /// The partition that it stands in; empty for a table without partitions.
    pub partition: String,
    /// Its file group.
    pub file_id: String,
    /// The instant that wrote it.
    pub instant: InstantTime,
    /// Its bytes.
    pub size_bytes: u64,
}

impl Table {
    /// The base files that a snapshot reads, by partition and file group.
    ///
    /// # Errors
    /// [`Error::Store`] where the table cannot be listed.
    pub async fn files(&self) -> Result<Vec<DataFile>> {
        let mut files = vec![];
        for (partition, slices) in self.slices().await? {
            for slice in slices {
                let Some(base) = &slice.base else { continue };
                files.push(DataFile {
                    path: layout::data_file(&partition, &base.name.to_string()),
                    partition: partition.clone(),
                    file_id: slice.file_id.to_string(),
                    instant: base.name.instant,
                    size_bytes: base.size_bytes,
                });
            }
        }
        Ok(files)
    }

    /// The columns of a snapshot; `None` before the first commit with rows.
    ///
    /// # Errors
    /// [`Error::Refused`] for a column that the table does not have.
    pub fn snapshot_schema(&self, options: &ReadOptions) -> Result<Option<SchemaRef>> {
        let Some(columns) = &self.columns else { return Ok(None) };
        let all = if options.meta_columns { meta::with_meta_fields(columns) } else { Schema::clone(columns) };
        let Some(names) = &options.columns else { return Ok(Some(Arc::new(all))) };
        let wanted = names.iter().map(|name| {
            let field = all
                .field_with_name(name)
                .map_err(|_| Error::refused(format!("column `{name}`"), "the table has none of this name"))?;
            Ok(Arc::new(field.clone()))
        });
        Ok(Some(Arc::new(Schema::new(wanted.collect::<Result<Vec<_>>>()?))))
    }

    /// All rows of the table, as it was when it was opened.
    ///
    /// One batch is held at a time, and one row group of encoded bytes. Dropped half-way, nothing is left behind.
    ///
    /// # Errors
    /// As [`Table::snapshot_schema`]; the stream ends with the first error of the store or of a file.
    pub async fn snapshot(
        &self,
        options: &ReadOptions,
    ) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + use<>> {
        let schema = self.snapshot_schema(options)?;
        let mut slices = VecDeque::new();
        if schema.is_some() {
            for (partition, of_partition) in self.slices().await? {
                slices.extend(of_partition.into_iter().map(|slice| (partition.clone(), slice)));
            }
        }
        let schema = schema.unwrap_or_else(|| Arc::new(Schema::empty()));
        let reader = SnapshotReader { table: self.clone(), schema, slices, current: None, compute: Compute::default() };
        Ok(futures::stream::try_unfold(reader, |mut reader| async move {
            let batch = reader.next().await?;
            Ok(batch.map(|batch| (batch, reader)))
        }))
    }
}

struct SnapshotReader {
    table: Table,
    schema: SchemaRef,
    slices: VecDeque<(String, FileSlice)>,
    current: Option<(BatchReader, String)>,
    compute: Compute,
}

impl SnapshotReader {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((reader, path)) = &mut self.current {
                match reader.next().await? {
                    Some(batch) => return align(&batch, &self.schema, path).map(Some),
                    None => self.current = None,
                }
            }
            let Some((partition, slice)) = self.slices.pop_front() else { return Ok(None) };
            self.current = open(&self.table, &partition, &slice, &self.schema, &self.compute).await?;
        }
    }
}

/// The rows of a slice. A slice with log files would be merged here; copy-on-write tables have none.
async fn open(
    table: &Table,
    partition: &str,
    slice: &FileSlice,
    schema: &Schema,
    compute: &Compute,
) -> Result<Option<(BatchReader, String)>> {
    if !slice.logs.is_empty() {
        let what = format!("file group {} in `{partition}`", slice.file_id);
        return Err(Error::refused(what, "it has log files, and the table is copy-on-write"));
    }
    let Some(base) = &slice.base else { return Ok(None) };
    let path = layout::data_file(partition, &base.name.to_string());
    let footer = read_footer(&table.store, &path, base.size_bytes).await?;
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let reader = BatchReader::new(&table.store, &footer, Some(&names), compute)?;
    Ok(Some((reader, path)))
}
