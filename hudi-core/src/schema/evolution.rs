//! Which changes of a schema a table can follow, and for which of them its old files must be written anew.
//!
//! The rule is what was executed on Hudi 0.14 to 1.1 and hudi-rs with copy-on-write tables of version 6: what reads right in
//! all of them, and what Java rewrites right. On merge-on-read some of it must wait until the old logs are compacted:
//! [`Evolution::needs_compaction`]. SQL engines follow less of it: [`outgrown`]. Values are not converted here.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};

use super::{avro, names};
use crate::error::{Error, Result};

/// The schema that holds both a table's rows and the incoming ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evolution {
    /// The table's columns, widened where needed, then the new ones.
    pub schema: Schema,
    /// Whether it is another than the table's.
    pub changed: bool,
    /// Columns that a merge-on-read table can change only after the logs of the old schema are compacted.
    pub needs_compaction: Vec<String>,
}

/// The schema after rows of `incoming` have come to a table of `table`, both without meta columns.
///
/// A new column is nullable, at the end. A column that is absent in `incoming` stays, nullable. A type grows where every
/// reader takes it; a narrower incoming type leaves the table's as it is.
///
/// Errors: `Schema` naming the column, and both types, of any other change; and for names that readers do not take.
pub fn evolve(table: &Schema, incoming: &Schema) -> Result<Evolution> {
    names::verify(incoming)?;
    let mut merging = Merging { needs_compaction: Vec::new() };
    let fields = merging.fields(table.fields(), incoming.fields(), "")?;
    let schema = Schema::new_with_metadata(fields, table.metadata().clone());
    let changed = schema.fields() != table.fields();
    Ok(Evolution { schema, changed, needs_compaction: merging.needs_compaction })
}

/// The table's column after values of `incoming` have come to it: the same, or wider. Its name is the table's.
///
/// Errors: `Schema` naming the column, and both types, where it cannot follow.
pub fn evolve_column(table: &FieldRef, incoming: &Field) -> Result<FieldRef> {
    Merging { needs_compaction: Vec::new() }.field(table, incoming, table.name(), false)
}

/// The columns of `grown` whose type is so much wider than in `table` that not every engine reads files of before rightly.
///
/// Of the SQL engines over Hive's or Glue's catalog Presto 0.287 reads an int as a decimal of other digits, Trino 476 as another float, both
/// without an error; they refuse text for anything else, and decimals of more than 18 digits for fewer. Spark and hudi-rs read all of them.
pub fn outgrown<'a>(table: &Schema, grown: &'a Schema) -> Vec<&'a str> {
    let is_outgrown = |field: &&FieldRef| {
        table.fields().find(field.name()).is_some_and(|(_, old)| is_misread(old.data_type(), field.data_type()))
    };
    grown.fields().iter().filter(is_outgrown).map(|field| field.name().as_str()).collect()
}

/// Whether an engine misreads values of the type `old` in a column of the wider type `new`.
fn is_misread(old: &DataType, new: &DataType) -> bool {
    use DataType::{Binary, Decimal128, Float32, Float64, Int32, Int64, Utf8};
    match (old, new) {
        (Int32, Int64) | (Int32 | Int64 | Float32, Float64) | (Utf8, Binary) => false,
        (Decimal128(p, s), Decimal128(q, t)) => s != t || (*p <= LONG_DECIMAL) != (*q <= LONG_DECIMAL),
        // Within them no type grows: fields are added.
        (old, new) if old.is_nested() || new.is_nested() => false,
        (old, new) => old != new,
    }
}

/// Engines hold decimals of up to so many digits as a long, and longer ones otherwise.
const LONG_DECIMAL: u8 = 18;

struct Merging {
    needs_compaction: Vec<String>,
}

impl Merging {
    fn fields(&mut self, table: &Fields, incoming: &Fields, path: &str) -> Result<Fields> {
        let mut merged: Vec<FieldRef> = Vec::with_capacity(incoming.len());
        for field in table {
            merged.push(match incoming.find(field.name()) {
                Some((_, incoming)) => self.field(field, incoming, &joined(path, field.name()), !path.is_empty())?,
                None => as_nullable(field),
            });
        }
        for field in incoming.iter().filter(|field| table.find(field.name()).is_none()) {
            let column = joined(path, field.name());
            if let Some(other) = table.iter().find(|other| other.name().eq_ignore_ascii_case(field.name())) {
                let reason = format!("differs from the table's `{}` in case only", other.name());
                return Err(Error::schema(column, reason));
            }
            merged.push(as_nullable(field));
        }
        Ok(merged.into())
    }

    fn field(&mut self, table: &FieldRef, incoming: &Field, column: &str, nested: bool) -> Result<FieldRef> {
        let data_type = self.data_type(table.data_type(), incoming.data_type(), column, nested)?;
        let nullable = table.is_nullable() || incoming.is_nullable();
        if data_type == *table.data_type() && nullable == table.is_nullable() {
            return Ok(Arc::clone(table));
        }
        Ok(Arc::new(table.as_ref().clone().with_data_type(data_type).with_nullable(nullable)))
    }

    /// `nested`: within a struct, list or map, where Java's vectorized readers take no wider type.
    fn data_type(&mut self, table: &DataType, incoming: &DataType, column: &str, nested: bool) -> Result<DataType> {
        match (table, incoming) {
            (DataType::Struct(table), DataType::Struct(incoming)) => {
                Ok(DataType::Struct(self.fields(table, incoming, column)?))
            }
            (DataType::List(table), DataType::List(incoming)) => {
                Ok(DataType::List(self.field(table, incoming, column, true)?))
            }
            (DataType::Map(table, sorted), DataType::Map(incoming, _)) => {
                Ok(DataType::Map(self.entries(table, incoming, column)?, *sorted))
            }
            (table, incoming) if holds(table, incoming) => Ok(table.clone()),
            (table, incoming) => match wider(table, incoming) {
                Some(growth) if !nested => {
                    if growth.needs_compaction {
                        self.needs_compaction.push(column.to_owned());
                    }
                    Ok(growth.to)
                }
                _ => Err(refused(column, table, incoming)),
            },
        }
    }

    /// Keys and values by their places: their names are the writer's.
    fn entries(&mut self, table: &FieldRef, incoming: &Field, column: &str) -> Result<FieldRef> {
        let (DataType::Struct(ours), DataType::Struct(theirs)) = (table.data_type(), incoming.data_type()) else {
            return Err(refused(column, table.data_type(), incoming.data_type()));
        };
        let (2, 2) = (ours.len(), theirs.len()) else {
            return Err(refused(column, table.data_type(), incoming.data_type()));
        };
        let value = self.field(&ours[1], &theirs[1], column, true)?;
        let fields = DataType::Struct(vec![Arc::clone(&ours[0]), value].into());
        Ok(Arc::new(table.as_ref().clone().with_data_type(fields)))
    }
}

/// Whether a column of type `wide` takes values of type `narrow` as it is.
fn holds(wide: &DataType, narrow: &DataType) -> bool {
    use DataType::{Binary, Date32, Decimal128, Float32, Float64, Int32, Int64, Timestamp, Utf8};
    match (wide, narrow) {
        (Timestamp(a, Some(_)), Timestamp(b, Some(_))) => a == b,
        (Int64, Int32) | (Float32, Int32 | Int64) | (Float64, Int32 | Int64 | Float32) | (Binary, Utf8) => true,
        (Utf8, Int32 | Int64 | Float32 | Float64 | Decimal128(..) | Date32) => true,
        (Decimal128(p, s), Decimal128(q, t)) => whole_digits(*p, *s) >= whole_digits(*q, *t) && s >= t,
        (Decimal128(p, s), Int32) => whole_digits(*p, *s) >= INT_DIGITS,
        (Decimal128(p, s), Int64) => whole_digits(*p, *s) >= LONG_DIGITS,
        (wide, narrow) => wide == narrow,
    }
}

const INT_DIGITS: i16 = 10;
const LONG_DIGITS: i16 = 19;

struct Growth {
    to: DataType,
    needs_compaction: bool,
}

/// The type to which a column of type `table` grows for values of type `incoming`.
fn wider(table: &DataType, incoming: &DataType) -> Option<Growth> {
    use DataType::{Binary, Date32, Decimal128, Float32, Float64, Int32, Int64, Utf8};
    let (to, needs_compaction) = match (table, incoming) {
        (Int32, Int64 | Float32 | Float64) | (Int64, Float32 | Float64) | (Float32, Float64) | (Utf8, Binary) => {
            (incoming.clone(), false)
        }
        (Int32 | Int64 | Float64 | Date32 | Decimal128(..), Utf8) => (Utf8, true),
        (Int32, Decimal128(p, s)) if whole_digits(*p, *s) >= INT_DIGITS => (incoming.clone(), true),
        (Decimal128(p, s), Decimal128(q, t)) => {
            let scale = *s.max(t);
            let precision = whole_digits(*p, *s).max(whole_digits(*q, *t)) + i16::from(scale);
            let precision = u8::try_from(precision).ok().filter(|p| *p <= 38)?;
            let same_fixed = scale == *s && avro::decimal_bytes(precision) == avro::decimal_bytes(*p);
            (Decimal128(precision, scale), !same_fixed)
        }
        _ => return None,
    };
    Some(Growth { to, needs_compaction })
}

fn whole_digits(precision: u8, scale: i8) -> i16 {
    i16::from(precision) - i16::from(scale)
}

fn refused(column: &str, table: &DataType, incoming: &DataType) -> Error {
    let reason = format!("the table has {table} and cannot follow to {incoming}: want a new column, or a full rewrite");
    Error::schema(column, reason)
}

fn as_nullable(field: &FieldRef) -> FieldRef {
    match field.is_nullable() {
        true => Arc::clone(field),
        false => Arc::new(field.as_ref().clone().with_nullable(true)),
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
