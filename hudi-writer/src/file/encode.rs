//! [`BaseFileEncoder`]: batches with meta columns to the bytes of one base file, its footer included.
//!
//! The footer holds what Hudi's Java needs to go on: the bloom filter, the least and the greatest record key, the Avro
//! schema. Row groups are closed by bytes, so that memory follows one row group and not the file.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use bytes::Bytes;
use hashbrown::DefaultHashBuilder;
use hudi_core::bloom::BloomFilter;
use hudi_core::properties::keys;
use hudi_core::schema::{avro, meta};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

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

/// Rows that tell whether a column's values repeat.
const SAMPLE_ROWS: usize = 8192;

/// How the base files of a table are encoded: made once, shared by its files.
#[derive(Debug, Clone)]
pub(crate) struct EncoderSpec(Arc<Spec>);

#[derive(Debug)]
struct Spec {
    schema: SchemaRef,
    avro_schema: String,
    parquet_schema: SchemaDescriptor,
    encoding: Encoding,
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
        let parquet_schema = parquet_schema(&avro::record_name(table).full_name(), &schema)?;
        let avro_schema = avro::to_avro(table, &schema).map_err(format)?;
        Ok(Self(Arc::new(Spec { schema, avro_schema, parquet_schema, encoding })))
    }

    /// A writer for a file that begins with these rows.
    fn writer(&self, first: &RecordBatch, path: &str) -> Result<ArrowWriter<Vec<u8>>> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties(self.0.encoding.compression, first))
            .with_parquet_schema(self.0.parquet_schema.clone())
            .with_skip_arrow_metadata(true);
        ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&self.0.schema), options)
            .map_err(Error::columns("encode", path))
    }

    /// The columns of a file, meta columns first.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }
}

/// The properties of a file that begins with these rows.
fn properties(compression: FileCompression, first: &RecordBatch) -> WriterProperties {
    let codec = match compression {
        FileCompression::Uncompressed => Compression::UNCOMPRESSED,
        FileCompression::Snappy => Compression::SNAPPY,
        FileCompression::Zstd(level) => Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default()),
    };
    let mut builder = WriterProperties::builder().set_compression(codec).set_max_row_group_row_count(None);
    // Nobody looks for rows by these.
    for name in [meta::COMMIT_SEQNO, meta::PARTITION_PATH, meta::FILE_NAME] {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::None);
    }
    for (field, column) in first.schema_ref().fields().iter().zip(first.columns()) {
        if mostly_differ(column) {
            builder = builder.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false);
        }
    }
    builder.build()
}

/// Whether nearly every value is another: a dictionary would be built only to be thrown away.
fn mostly_differ(column: &ArrayRef) -> bool {
    let sample = column.slice(0, column.len().min(SAMPLE_ROWS));
    let hasher = DefaultHashBuilder::default();
    let hashes: Vec<u64> = match sample.data_type() {
        DataType::Utf8 => sample.as_string::<i32>().iter().flatten().map(|v| hasher.hash_one(v)).collect(),
        DataType::Int32 => hashes(&hasher, sample.as_primitive::<Int32Type>()),
        DataType::Int64 => hashes(&hasher, sample.as_primitive::<Int64Type>()),
        DataType::Timestamp(..) => hashes(&hasher, sample.as_primitive::<TimestampMicrosecondType>()),
        DataType::Decimal128(..) => hashes(&hasher, sample.as_primitive::<Decimal128Type>()),
        _ => return false,
    };
    let values = hashes.len();
    let distinct = hashes.into_iter().collect::<HashSet<u64>>().len();
    values >= SAMPLE_ROWS / 8 && distinct * 20 > values * 19
}

fn hashes<T: ArrowPrimitiveType>(hasher: &DefaultHashBuilder, column: &PrimitiveArray<T>) -> Vec<u64>
where
    T::Native: std::hash::Hash,
{
    column.iter().flatten().map(|value| hasher.hash_one(value)).collect()
}

/// Encodes one base file.
pub(crate) struct BaseFileEncoder {
    spec: EncoderSpec,
    /// Made for the first rows.
    writer: Option<ArrowWriter<Vec<u8>>>,
    bloom: BloomFilter,
    least_key: Option<String>,
    greatest_key: Option<String>,
    rows: u64,
    path: String,
}

impl BaseFileEncoder {
    /// Begins a file. `bloom` may hold keys already: those of the file's previous version.
    pub(crate) fn new(spec: &EncoderSpec, path: &str, bloom: BloomFilter) -> Self {
        let (spec, path) = (spec.clone(), path.to_owned());
        Self { spec, writer: None, bloom, least_key: None, greatest_key: None, rows: 0, path }
    }

    /// The filter, for keys that are new to the file.
    pub(crate) fn bloom(&mut self) -> &mut BloomFilter {
        &mut self.bloom
    }

    /// Adds rows, meta columns first.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.note_keys(batch)?;
        self.rows += batch.num_rows() as u64;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.spec.writer(batch, &self.path)?),
        };
        writer.write(batch).map_err(Error::columns("encode", &self.path))?;
        if writer.in_progress_size() >= self.spec.0.encoding.row_group_bytes {
            writer.flush().map_err(Error::columns("encode", &self.path))?;
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
        self.writer.as_mut().map(|writer| Bytes::from(std::mem::take(writer.inner_mut()))).unwrap_or_default()
    }

    /// Ends the file: its last bytes.
    pub(crate) fn finish(mut self) -> Result<(Bytes, Encoded)> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.spec.writer(&RecordBatch::new_empty(Arc::clone(self.spec.schema())), &self.path)?,
        };
        let mut entry = |key: &str, value: String| {
            writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
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
        let bytes = writer.into_inner().map_err(Error::columns("encode", &self.path))?;
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
