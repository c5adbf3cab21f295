//! Record keys and partition paths, column by column.
//!
//! Holds what a table's key generator makes of rows, and which rows it cannot take. Does not hold what follows from a key:
//! `bucket`, `bloom`. Format sections 3.2, 6.1 to 6.4; table versions 6, 8 and 9.

use std::fmt::Write as _;

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use arrow::temporal_conversions::date32_to_datetime;

use crate::error::{Error, Result};
pub use crate::properties::KeyGenerator;
use crate::properties::{TableProperties, keys};

/// The folder of rows whose partition value is null.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";
const NULL_VALUE: &str = "__null__";
const EMPTY_VALUE: &str = "__empty__";

/// How a table makes keys and partition paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// The columns of the record key, in its order; empty: the writer makes a key up for each new row.
    pub record_key_fields: Vec<String>,
    /// The partition columns; empty: not partitioned.
    pub partition_fields: Vec<String>,
    /// What makes them.
    pub generator: KeyGenerator,
    /// Whether partition folders are named `column=value`.
    pub hive_style: bool,
    /// Whether partition values are escaped in paths.
    pub url_encode: bool,
}

/// The record keys of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Keys {
    /// One a row; null where the row is refused.
    pub keys: StringArray,
    /// The rows that can have no key, with the reason; no values in it.
    pub refused: Vec<(usize, String)>,
}

/// The partition paths of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionPaths {
    /// One a row, encoded, without slash at either end; null where the row is refused.
    pub paths: StringArray,
    /// The rows that can be in no partition, with the reason; no values in it.
    pub refused: Vec<(usize, String)>,
}

impl KeySpec {
    /// That of an existing table. Whether we write with it, [`Self::verify`] tells.
    pub fn of(table: &TableProperties) -> Self {
        Self {
            record_key_fields: table.record_key_fields().to_vec(),
            partition_fields: table.partition_fields().to_vec(),
            generator: table.key_generator().clone(),
            hive_style: table.hive_style(),
            url_encode: table.url_encode(),
        }
    }

    /// Whether the table has no key: rows can be added, and none can be found again.
    pub fn is_keyless(&self) -> bool {
        self.record_key_fields.is_empty()
    }

    /// Whether keys and partition paths can be made, and in one form only.
    ///
    /// Errors: `Unsupported` for a generator that we do not write with, and for the complex one with one key column;
    /// `BadProperty` where the number of columns is not the generator's.
    pub fn verify(&self) -> Result<()> {
        let (keys, partitions) = (self.record_key_fields.len(), self.partition_fields.len());
        match &self.generator {
            KeyGenerator::Simple if keys <= 1 && partitions == 1 => Ok(()),
            KeyGenerator::Simple => Err(self.miscounted("at most one key column, and one partition column")),
            KeyGenerator::NonPartitioned if partitions == 0 => Ok(()),
            KeyGenerator::NonPartitioned => Err(self.miscounted("no partition column")),
            KeyGenerator::Complex if keys == 1 => Err(Error::unsupported(
                format!("{} with one key column", keys::COMPLEX_KEY_GENERATOR),
                "Hudi's releases disagree whether the key is `value` or `column:value`, so rows would double: \
                 use one partition column, or two key columns",
            )),
            KeyGenerator::Complex => Ok(()),
            KeyGenerator::Other(name) => {
                Err(Error::unsupported(format!("key generator {name}"), "tables with it are read and not written"))
            }
        }
    }

    fn miscounted(&self, want: &str) -> Error {
        let value = format!("{} of ({})", self.generator.class(), self.record_key_fields.join(","));
        Error::bad_property(keys::KEYGENERATOR_CLASS, value, want)
    }

    /// Whether the columns are there and of types that Hudi's writers print alike.
    ///
    /// Errors: `Schema` naming the column; and those of [`Self::verify`].
    pub fn verify_columns(&self, schema: &Schema) -> Result<()> {
        self.verify()?;
        for name in self.record_key_fields.iter().chain(&self.partition_fields) {
            let field = schema.field_with_name(name).map_err(|_| absent(name))?;
            if !is_key_type(field.data_type()) {
                return Err(unusable(name, field.data_type()));
            }
        }
        Ok(())
    }

    /// The record key of each row.
    ///
    /// One column: its value, and null or empty is refused. Several: `a:1,b:2`, and what reads back ambiguously is refused.
    /// Errors: those of [`Self::verify_columns`]; `MissingProperty` for a table without a key.
    pub fn record_keys(&self, batch: &RecordBatch) -> Result<Keys> {
        self.verify()?;
        if self.is_keyless() {
            let want = "the columns that tell rows apart".to_owned();
            return Err(Error::MissingProperty { key: keys::RECORDKEY_FIELDS.to_owned(), want });
        }
        let columns = KeyColumn::all(&self.record_key_fields, batch)?;
        Ok(match &columns[..] {
            [KeyColumn { values: Values::Text(text), .. }] => text_keys(text),
            [column] => single_keys(column, batch.num_rows()),
            several => composite_keys(several, batch.num_rows()),
        })
    }

    /// The partition path of each row: `""` for all of a table without partitions, [`NULL_PARTITION`] for null; an empty
    /// value is refused, and so is one that would be another's folder or none.
    ///
    /// Errors: those of [`Self::verify_columns`].
    pub fn partition_paths(&self, batch: &RecordBatch) -> Result<PartitionPaths> {
        self.verify()?;
        let columns = KeyColumn::all(&self.partition_fields, batch)?;
        let mut paths = StringBuilder::with_capacity(batch.num_rows(), batch.num_rows() * 16);
        let mut refused = Vec::new();
        let (mut path, mut value) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            path.clear();
            match self.path_of_row(&columns, row, &mut path, &mut value) {
                Ok(()) => paths.append_value(&path),
                Err(reason) => {
                    paths.append_null();
                    refused.push((row, reason));
                }
            }
        }
        Ok(PartitionPaths { paths: paths.finish(), refused })
    }

    fn path_of_row(
        &self,
        columns: &[KeyColumn<'_>],
        row: usize,
        path: &mut String,
        value: &mut String,
    ) -> Result<(), String> {
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                path.push('/');
            }
            if self.hive_style {
                path.push_str(column.name);
                path.push('=');
            }
            value.clear();
            if !column.write(row, value)? {
                path.push_str(NULL_PARTITION);
                continue;
            }
            self.verify_partition_value(column.name, value)?;
            if self.url_encode {
                escape_partition_value(value, path);
            } else {
                path.push_str(value);
            }
        }
        Ok(())
    }

    fn verify_partition_value(&self, column: &str, value: &str) -> Result<(), String> {
        let reason = if value.is_empty() {
            "is empty, which shares its folder with null"
        } else if value == NULL_PARTITION {
            "is the name of the folder of nulls"
        } else if !self.hive_style && value.starts_with('.') {
            "begins with a dot, which hides its folder"
        } else if !self.url_encode && value.contains([':', '/', '%']) {
            "holds a `:`, `/` or `%`, which makes another folder or an unreadable table without url encoding"
        } else {
            return Ok(());
        };
        Err(format!("partition column `{column}` {reason}"))
    }
}

/// Whether every Hudi finds the key in the same bucket; the reason if not. `fields` are the table's record key fields.
///
/// Releases split a key at `:` and `,` by different rules, which agree on a single key without `:`, and on several whose values
/// hold neither.
pub fn bucket_safe(key: &str, fields: &[String]) -> Result<(), String> {
    let count = |wanted: u8| key.bytes().filter(|b| *b == wanted).count();
    let safe = match fields.len() {
        0 | 1 => count(b':') == 0,
        several => count(b':') == several && count(b',') == several - 1,
    };
    if safe {
        Ok(())
    } else {
        Err("the key holds a `:` or `,`, at which Hudi's releases split it differently".to_owned())
    }
}

/// Appends the value as it stands in a partition path under url encoding.
pub fn escape_partition_value(value: &str, out: &mut String) {
    let must_escape = |c: char| {
        matches!(c, '\0'..='\x1f' | '\x7f')
            || matches!(c, '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^')
    };
    let mut rest = value;
    while let Some(at) = rest.find(must_escape) {
        out.push_str(&rest[..at]);
        // What is escaped is one byte long. Writing to a String cannot fail.
        let _ = write!(out, "%{:02X}", rest.as_bytes()[at]);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// What [`escape_partition_value`] escaped. `%` without two hexadecimal digits stands for itself.
pub fn unescape_partition_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                out.push(char::from(code));
                rest = &after[2..];
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A column that is part of a key or path.
struct KeyColumn<'a> {
    name: &'a str,
    values: Values<'a>,
}

enum Values<'a> {
    Text(&'a StringArray),
    Int(&'a Int32Array),
    Long(&'a Int64Array),
    Boolean(&'a BooleanArray),
    Date(&'a Date32Array),
    Micros(&'a TimestampMicrosecondArray),
    Decimal(&'a Decimal128Array, i8),
}

impl<'a> KeyColumn<'a> {
    fn all(names: &'a [String], batch: &'a RecordBatch) -> Result<Vec<Self>> {
        names.iter().map(|name| Self::new(name, batch)).collect()
    }

    fn new(name: &'a str, batch: &'a RecordBatch) -> Result<Self> {
        let column = batch.column_by_name(name).ok_or_else(|| absent(name))?;
        let values = match column.data_type() {
            DataType::Utf8 => Values::Text(column.as_string()),
            DataType::Int32 => Values::Int(column.as_primitive::<Int32Type>()),
            DataType::Int64 => Values::Long(column.as_primitive::<Int64Type>()),
            DataType::Boolean => Values::Boolean(column.as_boolean()),
            DataType::Date32 => Values::Date(column.as_primitive::<Date32Type>()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Values::Micros(column.as_primitive::<TimestampMicrosecondType>())
            }
            DataType::Decimal128(_, scale) => Values::Decimal(column.as_primitive::<Decimal128Type>(), *scale),
            other => return Err(unusable(name, other)),
        };
        Ok(Self { name, values })
    }

    /// Appends the value's text; `false` if it is null. The error is a reason to refuse the row.
    fn write(&self, row: usize, out: &mut String) -> Result<bool, String> {
        let is_null = match &self.values {
            Values::Text(a) => a.is_null(row),
            Values::Int(a) => a.is_null(row),
            Values::Long(a) => a.is_null(row),
            Values::Boolean(a) => a.is_null(row),
            Values::Date(a) => a.is_null(row),
            Values::Micros(a) => a.is_null(row),
            Values::Decimal(a, _) => a.is_null(row),
        };
        if is_null {
            return Ok(false);
        }
        // Writing to a String cannot fail.
        let _ = match &self.values {
            Values::Text(a) => out.write_str(a.value(row)),
            Values::Int(a) => write!(out, "{}", a.value(row)),
            Values::Long(a) => write!(out, "{}", a.value(row)),
            Values::Boolean(a) => write!(out, "{}", a.value(row)),
            Values::Micros(a) => write!(out, "{}", a.value(row)),
            Values::Decimal(a, scale) => write_big_decimal(a.value(row), *scale, out),
            Values::Date(a) => {
                let date = date32_to_datetime(a.value(row));
                let date = date.ok_or_else(|| format!("column `{}` holds a day outside the calendar", self.name))?;
                write!(out, "{}", date.format("%Y-%m-%d"))
            }
        };
        Ok(true)
    }
}

fn is_key_type(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::Int32
            | DataType::Int64
            | DataType::Boolean
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, Some(_))
            | DataType::Decimal128(..)
    )
}

fn absent(column: &str) -> Error {
    Error::schema(column, "is part of the key or partition and not among the columns")
}

fn unusable(column: &str, found: &DataType) -> Error {
    let want = "string, int, long, boolean, date, timestamp in microseconds or decimal";
    Error::schema(column, format!("{found} cannot be part of a key or partition: want {want}"))
}

/// The column itself, but for empty texts.
fn text_keys(text: &StringArray) -> Keys {
    let offsets = text.offsets();
    let has_empty = text.null_count() > 0 || offsets.windows(2).any(|pair| pair[0] == pair[1]);
    if !has_empty {
        return Keys { keys: text.clone(), refused: Vec::new() };
    }
    let usable = BooleanBuffer::collect_bool(text.len(), |row| text.is_valid(row) && offsets[row] != offsets[row + 1]);
    let reason = |row| if text.is_null(row) { "the record key is null" } else { "the record key is empty" };
    let refused = (0..text.len()).filter(|row| !usable.value(*row)).map(|row| (row, reason(row).to_owned())).collect();
    let keys = StringArray::new(offsets.clone(), text.values().clone(), Some(NullBuffer::new(usable)));
    Keys { keys, refused }
}

fn single_keys(column: &KeyColumn<'_>, rows: usize) -> Keys {
    collect_keys(rows, |row, key| match column.write(row, key)? {
        true => Ok(()),
        false => Err("the record key is null".to_owned()),
    })
}

fn composite_keys(columns: &[KeyColumn<'_>], rows: usize) -> Keys {
    collect_keys(rows, |row, key| {
        let mut says_something = false;
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                key.push(',');
            }
            key.push_str(column.name);
            key.push(':');
            let from = key.len();
            if !column.write(row, key)? {
                key.push_str(NULL_VALUE);
                continue;
            }
            match &key[from..] {
                "" => key.push_str(EMPTY_VALUE),
                value => {
                    verify_key_part(column.name, value)?;
                    says_something = true;
                }
            }
        }
        if says_something { Ok(()) } else { Err("all columns of the record key are null or empty".to_owned()) }
    })
}

/// Hudi escapes nothing: these would read back as other columns, or as null.
fn verify_key_part(column: &str, value: &str) -> Result<(), String> {
    if value.contains([':', ',']) {
        return Err(format!(
            "key column `{column}` holds a `:` or `,`, which makes a key of several columns ambiguous"
        ));
    }
    if value == NULL_VALUE || value == EMPTY_VALUE {
        return Err(format!("key column `{column}` holds the text that stands for null or empty"));
    }
    Ok(())
}

fn collect_keys(rows: usize, mut write: impl FnMut(usize, &mut String) -> Result<(), String>) -> Keys {
    let mut keys = StringBuilder::with_capacity(rows, rows * 16);
    let mut refused = Vec::new();
    let mut key = String::new();
    for row in 0..rows {
        key.clear();
        match write(row, &mut key) {
            Ok(()) => keys.append_value(&key),
            Err(reason) => {
                keys.append_null();
                refused.push((row, reason));
            }
        }
    }
    Keys { keys: keys.finish(), refused }
}

/// As `java.math.BigDecimal.toString` prints: plain, but in exponents where the scale is negative or the value tiny.
fn write_big_decimal(unscaled: i128, scale: i8, out: &mut String) -> std::fmt::Result {
    if unscaled < 0 {
        out.push('-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    let (scale, length) = (i64::from(scale), digits.len() as i64);
    let exponent = length - 1 - scale;
    if scale == 0 {
        return out.write_str(&digits);
    }
    if scale < 0 || exponent < -6 {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if exponent > 0 { "+" } else { "" };
        let exponent = if exponent == 0 { String::new() } else { format!("E{sign}{exponent}") };
        return write!(out, "{first}{point}{rest}{exponent}");
    }
    match usize::try_from(length - scale) {
        Ok(whole) if whole > 0 => write!(out, "{}.{}", &digits[..whole], &digits[whole..]),
        _ => write!(out, "0.{digits:0>width$}", width = scale as usize),
    }
}
