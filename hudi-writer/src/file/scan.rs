//! Base files read without holding them: the decoder says which bytes it needs, and batches go to a [`BatchSink`].

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};

use crate::compute::Compute;
use crate::error::{Error, Result};
use crate::fit::fit;
use crate::store::TableStore;

/// The first guess of how much of a file's end holds its footer.
const FOOTER_GUESS_BYTES: u64 = 64 << 10;
/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;

/// What a base file's footer says.
#[derive(Debug, Clone)]
pub(crate) struct BaseFileFooter {
    pub(crate) path: String,
    metadata: ArrowReaderMetadata,
}

impl BaseFileFooter {
    /// The value of a key in the footer's own map.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let pairs = self.parquet().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    pub(crate) fn rows(&self) -> u64 {
        u64::try_from(self.parquet().file_metadata().num_rows()).unwrap_or(0)
    }

    pub(super) fn parquet(&self) -> &Arc<ParquetMetaData> {
        self.metadata.metadata()
    }

    /// The file's columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// A decoder of these columns; of all, where none are named.
    fn decoder(&self, columns: Option<&[&str]>) -> Result<ParquetPushDecoder> {
        self.decoder_of(columns, None)
    }

    /// The same, of a selection of the rows.
    fn decoder_of(&self, columns: Option<&[&str]>, rows: Option<RowSelection>) -> Result<ParquetPushDecoder> {
        let mut builder =
            ParquetPushDecoderBuilder::new_with_metadata(self.metadata.clone()).with_batch_size(BATCH_ROWS);
        if let Some(rows) = rows {
            builder = builder.with_row_selection(rows);
        }
        if let Some(names) = columns {
            let schema = self.parquet().file_metadata().schema_descr();
            let roots = schema.root_schema().get_fields().iter().enumerate();
            let wanted = roots.filter(|(_, field)| names.contains(&field.name())).map(|(i, _)| i);
            builder = builder.with_projection(ProjectionMask::roots(schema, wanted.collect::<Vec<_>>()));
        }
        builder.build().map_err(Error::columns("decode", &self.path))
    }
}

/// Reads the footer of a base file.
pub(crate) async fn read_footer(store: &TableStore, path: &str, size_bytes: u64) -> Result<BaseFileFooter> {
    let failed = || Error::columns("read the footer of", path);
    let mut decoder = ParquetMetaDataPushDecoder::try_new(size_bytes)
        .map_err(failed())?
        .with_page_index_policy(PageIndexPolicy::Skip);
    let guess = size_bytes.saturating_sub(FOOTER_GUESS_BYTES)..size_bytes;
    let mut wanted = vec![guess];
    loop {
        let bytes = store.get_ranges(path, &wanted).await?;
        decoder.push_ranges(wanted, bytes).map_err(failed())?;
        match decoder.try_decode().map_err(failed())? {
            DecodeResult::NeedsData(ranges) => wanted = ranges,
            DecodeResult::Data(metadata) => {
                let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
                let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(failed())?;
                return Ok(BaseFileFooter { path: path.to_owned(), metadata });
            }
            DecodeResult::Finished => return Err(Error::corrupt(path, "no parquet footer")),
        }
    }
}

/// The rows of a file, batch by batch, as they are asked for.
pub(crate) struct BatchReader {
    store: TableStore,
    path: String,
    decoder: Option<ParquetPushDecoder>,
    compute: Compute,
}

impl BatchReader {
    /// Reads these columns; all, where none are named.
    pub(crate) fn new(
        store: &TableStore,
        footer: &BaseFileFooter,
        columns: Option<&[&str]>,
        compute: &Compute,
    ) -> Result<Self> {
        let decoder = Some(footer.decoder(columns)?);
        Ok(Self { store: store.clone(), path: footer.path.clone(), decoder, compute: compute.clone() })
    }

    /// Reads these columns of some rows, given by their numbers, in ascending order.
    pub(crate) fn of_rows(
        store: &TableStore,
        footer: &BaseFileFooter,
        columns: &[&str],
        rows: &[u64],
        compute: &Compute,
    ) -> Result<Self> {
        let ranges = rows.iter().map(|row| *row as usize..*row as usize + 1);
        let selection = RowSelection::from_consecutive_ranges(ranges, footer.rows() as usize);
        let decoder = Some(footer.decoder_of(Some(columns), Some(selection))?);
        Ok(Self { store: store.clone(), path: footer.path.clone(), decoder, compute: compute.clone() })
    }

    /// The next batch; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(mut decoder) = self.decoder.take() {
            let path = self.path.clone();
            let work = move || {
                let decoded = decoder.try_decode().map_err(Error::columns("decode", &path))?;
                Ok((decoder, decoded))
            };
            let (mut decoder, decoded) = self.compute.run(work).await?;
            match decoded {
                DecodeResult::Finished => return Ok(None),
                DecodeResult::Data(batch) => {
                    self.decoder = Some(decoder);
                    return Ok(Some(batch));
                }
                DecodeResult::NeedsData(ranges) => {
                    let bytes = self.store.get_ranges(&self.path, &ranges).await?;
                    decoder.push_ranges(ranges, bytes).map_err(Error::columns("decode", &self.path))?;
                    self.decoder = Some(decoder);
                }
            }
        }
        Ok(None)
    }
}

/// What batches of a file go to.
pub(crate) trait BatchSink: Send + 'static {
    /// Takes the next batch, in the file's order. Runs where computing is done.
    fn take(&mut self, batch: RecordBatch) -> Result<()>;

    /// Bytes that are ready to leave; asked for now and then.
    fn output(&mut self) -> Option<Bytes> {
        None
    }
}

/// Sends the rows of a file to a sink, which comes back; what it puts out goes to `output`.
pub(crate) async fn scan<S: BatchSink>(
    store: &TableStore,
    footer: &BaseFileFooter,
    columns: Option<&[&str]>,
    compute: &Compute,
    mut sink: S,
    mut output: Option<&mut crate::store::Upload>,
) -> Result<S> {
    let mut decoder = footer.decoder(columns)?;
    loop {
        let path = footer.path.clone();
        let step = compute.run(move || decode_some(decoder, sink, &path)).await?;
        (decoder, sink) = (step.decoder, step.sink);
        if let (Some(bytes), Some(upload)) = (step.output, output.as_mut()) {
            upload.write(bytes).await?;
        }
        match step.next {
            Next::Pause => {}
            Next::Done => return Ok(sink),
            Next::Fetch(ranges) => {
                let bytes = store.get_ranges(&footer.path, &ranges).await?;
                decoder.push_ranges(ranges, bytes).map_err(Error::columns("decode", &footer.path))?;
            }
        }
    }
}

enum Next {
    Fetch(Vec<std::ops::Range<u64>>),
    Pause,
    Done,
}

struct Step<S> {
    decoder: ParquetPushDecoder,
    sink: S,
    output: Option<Bytes>,
    next: Next,
}

/// Decodes until bytes are wanted, bytes are ready, or the file ends.
fn decode_some<S: BatchSink>(mut decoder: ParquetPushDecoder, mut sink: S, path: &str) -> Result<Step<S>> {
    loop {
        let next = match decoder.try_decode().map_err(Error::columns("decode", path))? {
            DecodeResult::NeedsData(ranges) => Next::Fetch(ranges),
            DecodeResult::Finished => Next::Done,
            DecodeResult::Data(batch) => {
                sink.take(batch)?;
                Next::Pause
            }
        };
        let output = sink.output();
        if output.is_some() || !matches!(next, Next::Pause) {
            return Ok(Step { decoder, sink, output, next });
        }
    }
}

/// The batch with the columns of `schema`, by name: absent ones null, narrower ones widened.
pub(crate) fn align(batch: &RecordBatch, schema: &SchemaRef, path: &str) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match batch.column_by_name(field.name()) {
            None => new_null_array(field.data_type(), batch.num_rows()),
            Some(column) => fit(column, field.data_type()).map_err(Error::columns("widen a column of", path))?,
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(Error::columns("align", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, ListArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    #[test]
    fn rows_of_javas_files_get_the_tables_types() {
        // Java's lists of two levels call their elements `array`, and have none that are null.
        let element = Arc::new(Field::new("array", DataType::Int32, false));
        let list =
            ListArray::new(element, OffsetBuffer::from_lengths([2, 0]), Arc::new(Int32Array::from(vec![1, 2])), None);
        let columns: Vec<(&str, ArrayRef)> =
            vec![("n", Arc::new(Int32Array::from(vec![7, 8]))), ("l", Arc::new(list.clone()))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let of_table = DataType::List(Arc::new(Field::new("element", DataType::Int32, true)));
        let table: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("l", of_table.clone(), true),
            Field::new("n", DataType::Int64, true),
            Field::new("added", DataType::Utf8, true),
        ]));
        let aligned = align(&batch, &table, "f").unwrap();
        assert_eq!(aligned.column(0).data_type(), &of_table);
        assert_eq!(arrow::array::AsArray::as_list::<i32>(aligned.column(0)).value(0).len(), 2);
        assert_eq!(arrow::array::AsArray::as_primitive::<Int64Type>(aligned.column(1)).values(), &[7, 8]);
        assert_eq!(aligned.column(2).null_count(), 2);
    }
}
