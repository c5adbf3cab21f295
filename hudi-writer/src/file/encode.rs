//! [`BaseFileEncoder`]: batches with meta columns to the bytes of one base file, its footer included.
//!
//! The footer holds what Hudi's Java needs to go on: the bloom filter, the least and the greatest record key, the Avro
//! schema. Row groups are closed by bytes, so that memory follows one row group and not the file.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use hudi_core::bloom::BloomFilter;
use hudi_core::properties::keys;
use hudi_core::schema::{avro, meta};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::parquet_schema::parquet_schema;
use crate::error::{Error, Result, format};
use crate::settings::FileCompression;

/// Where parquet's Avro readers look for the schema.
const AVRO_SCHEMA: &str = "parquet.avro.schema";
/// Tells Spark that dates are those of the proleptic calendar: without it, it refuses dates before 1582 and times before
/// 1900 unless it is told by a setting. The value is a version that writes them so.
const SPARK_VERSION: (&str, &str) = ("org.apache.spark.version", "3.5.0");
/// What kind of records a file was written from.
const WRITER_MODEL: &str = "writer.model.name";

/// How the base files of a table are encoded: made once, shared by its files.
#[derive(Debug, Clone)]
pub(crate) struct EncoderSpec(Arc<Spec>);

#[derive(Debug)]
struct Spec {
    schema: SchemaRef,
    avro_schema: String,
    options: ArrowWriterOptions,
    row_group_bytes: usize,
}

/// The settings of an encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoding {
    pub(crate) compression: FileCompression,
    pub(crate) row_group_bytes: usize,
}

/// What stands in the footer of a finished file, and how many rows it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) rows: u64,
}

impl EncoderSpec {
    /// For the table `table` of these columns, meta columns not among them.
    pub(crate) fn new(table: &str, columns: &Schema, encoding: Encoding) -> Result<Self> {
        let schema = Arc::new(meta::with_meta_fields(columns));
        let parquet = parquet_schema(&avro::record_name(table).full_name(), &schema)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties(encoding.compression))
            .with_parquet_schema(parquet)
            .with_skip_arrow_metadata(true);
        let avro_schema = avro::to_avro(table, &schema).map_err(format)?;
        let row_group_bytes = encoding.row_group_bytes;
        Ok(Self(Arc::new(Spec { schema, avro_schema, options, row_group_bytes })))
    }

    /// The columns of a file, meta columns first.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }
}

fn properties(compression: FileCompression) -> WriterProperties {
    let codec = match compression {
        FileCompression::Uncompressed => Compression::UNCOMPRESSED,
        FileCompression::Snappy => Compression::SNAPPY,
        FileCompression::Zstd(level) => Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default()),
    };
    // Every value differs in these: a dictionary would be built to be thrown away.
    let unique = [meta::COMMIT_SEQNO, meta::RECORD_KEY];
    // Nobody looks for pages by these.
    let coarse = [meta::COMMIT_SEQNO, meta::FILE_NAME, meta::PARTITION_PATH, meta::COMMIT_TIME];
    let mut builder = WriterProperties::builder().set_compression(codec).set_max_row_group_row_count(None);
    for name in unique {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    for name in coarse {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::Chunk);
    }
    builder.build()
}

/// Encodes one base file.
pub(crate) struct BaseFileEncoder {
    spec: EncoderSpec,
    writer: ArrowWriter<Vec<u8>>,
    bloom: BloomFilter,
    least_key: Option<String>,
    greatest_key: Option<String>,
    rows: u64,
    path: String,
}

impl BaseFileEncoder {
    /// Begins a file. `bloom` may hold keys already: those of the file's previous version.
    pub(crate) fn new(spec: &EncoderSpec, path: &str, bloom: BloomFilter) -> Result<Self> {
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&spec.0.schema), spec.0.options.clone())
            .map_err(Error::columns("encode", path))?;
        let path = path.to_owned();
        Ok(Self { spec: spec.clone(), writer, bloom, least_key: None, greatest_key: None, rows: 0, path })
    }

    /// The filter, for keys that are new to the file.
    pub(crate) fn bloom(&mut self) -> &mut BloomFilter {
        &mut self.bloom
    }

    /// Adds rows, meta columns first.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.note_keys(batch)?;
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(Error::columns("encode", &self.path))?;
        if self.writer.in_progress_size() >= self.spec.0.row_group_bytes {
            self.writer.flush().map_err(Error::columns("encode", &self.path))?;
        }
        Ok(())
    }

    fn note_keys(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys = batch.column_by_name(meta::RECORD_KEY).and_then(|c| c.as_any().downcast_ref::<StringArray>());
        let keys = keys.ok_or_else(|| Error::corrupt(&self.path, "rows without record keys"))?;
        if keys.null_count() > 0 {
            return Err(Error::corrupt(&self.path, "a row's record key is null"));
        }
        let Some(first) = (!keys.is_empty()).then(|| keys.value(0)) else { return Ok(()) };
        let (mut least, mut greatest) = (first, first);
        for key in keys.iter().flatten() {
            if java_less(key, least) {
                least = key;
            } else if java_less(greatest, key) {
                greatest = key;
            }
        }
        if self.least_key.as_deref().is_none_or(|key| java_less(least, key)) {
            self.least_key = Some(least.to_owned());
        }
        if self.greatest_key.as_deref().is_none_or(|key| java_less(key, greatest)) {
            self.greatest_key = Some(greatest.to_owned());
        }
        Ok(())
    }

    /// Takes the bytes that are ready.
    pub(crate) fn take_bytes(&mut self) -> Bytes {
        // The rows of the row group in work are not among these; the writer keeps count of where it is by itself.
        Bytes::from(std::mem::take(self.writer.inner_mut()))
    }

    /// Ends the file: its last bytes.
    pub(crate) fn finish(mut self) -> Result<(Bytes, Encoded)> {
        let mut entry = |key: &str, value: String| {
            self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        };
        entry(AVRO_SCHEMA, self.spec.0.avro_schema.clone());
        entry(WRITER_MODEL, "avro".to_owned());
        entry(SPARK_VERSION.0, SPARK_VERSION.1.to_owned());
        entry(keys::FOOTER_BLOOM_FILTER, self.bloom.to_footer_text());
        entry(keys::FOOTER_BLOOM_TYPE_CODE, hudi_core::bloom::TYPE_CODE.to_owned());
        if let (Some(least), Some(greatest)) = (self.least_key.take(), self.greatest_key.take()) {
            entry(keys::FOOTER_MIN_RECORD_KEY, least);
            entry(keys::FOOTER_MAX_RECORD_KEY, greatest);
        }
        let rows = self.rows;
        let bytes = self.writer.into_inner().map_err(Error::columns("encode", &self.path))?;
        Ok((Bytes::from(bytes), Encoded { rows }))
    }
}

/// Whether Java sorts `a` before `b`: by UTF-16 units, which differ from code points above U+FFFF.
pub(crate) fn java_less(a: &str, b: &str) -> bool {
    let differs = a.bytes().zip(b.bytes()).find(|(x, y)| x != y);
    match differs {
        None => a.len() < b.len(),
        Some((x, y)) if x >= 0xee && y >= 0xee => a.encode_utf16().lt(b.encode_utf16()),
        Some((x, y)) => x < y,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_java_orders_them() {
        let texts = ["", "a", "ab", "b", "é", "日本", "日本x", "\u{ffee}", "😀", "😀x", "\u{e000}"];
        for a in texts {
            for b in texts {
                assert_eq!(java_less(a, b), a.encode_utf16().lt(b.encode_utf16()), "{a:?} {b:?}");
            }
        }
    }
}
