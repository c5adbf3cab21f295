//! Arrow schemas as the Avro JSON that Hudi writes into commits and footers, and back.
//!
//! Values are not converted here. Format sections 2.5, 4.2 and 4.5; all table versions.

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use serde_json::{Map, Value};

pub use super::from_avro::from_avro;
use super::meta;
use crate::error::{Error, Result};
use crate::properties::keys;

/// The full name of a table's Avro record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordName {
    /// `<table>_record`.
    pub name: String,
    /// `hoodie.<table>`.
    pub namespace: String,
}

impl RecordName {
    /// Namespace and name, joined by a dot.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }
}

/// The name of a table's record; what Avro does not take in the table's name becomes `__`.
pub fn record_name(table: &str) -> RecordName {
    let table = sanitized(table);
    RecordName { name: format!("{table}_record"), namespace: format!("{}.{table}", keys::AVRO_NAMESPACE) }
}

/// The Avro schema of the columns, JSON in one line. Meta columns are among them if they are among `columns`.
///
/// Every nullable column is `["null", T]` with default null. Errors: `Schema` for a type that not every reader takes.
pub fn to_avro(table: &str, columns: &Schema) -> Result<String> {
    let name = record_name(table);
    let full_name = name.full_name();
    Ok(record(&name.name, &name.namespace, &full_name, "", columns.fields())?.to_string())
}

/// The length in bytes of the smallest fixed that holds every decimal of this precision (1 to 38).
pub fn decimal_bytes(precision: u8) -> usize {
    const GREATEST_PRECISION: [u8; 16] = [2, 4, 6, 9, 11, 14, 16, 18, 21, 23, 26, 28, 31, 33, 35, 38];
    GREATEST_PRECISION.iter().position(|greatest| precision <= *greatest).map_or(16, |at| at + 1)
}

fn record(name: &str, namespace: &str, children: &str, path: &str, fields: &Fields) -> Result<Value> {
    let fields = fields.iter().map(|f| field(f, children, path)).collect::<Result<Vec<_>>>()?;
    Ok(json_object([
        ("type", "record".into()),
        ("name", name.into()),
        ("namespace", namespace.into()),
        ("fields", Value::Array(fields)),
    ]))
}

/// `namespace` is the full name of the record that the field is in.
fn field(field: &Field, namespace: &str, path: &str) -> Result<Value> {
    let path = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
    let mut out = Map::new();
    out.insert("name".to_owned(), field.name().as_str().into());
    let avro = avro_type(field.data_type(), field.name(), namespace, &path)?;
    out.insert("type".to_owned(), nullable(avro, field.is_nullable()));
    if meta::NAMES.contains(&field.name().as_str()) {
        out.insert("doc".to_owned(), "".into());
    }
    if field.is_nullable() {
        out.insert("default".to_owned(), Value::Null);
    }
    Ok(Value::Object(out))
}

fn nullable(avro: Value, is_nullable: bool) -> Value {
    if is_nullable { Value::Array(vec!["null".into(), avro]) } else { avro }
}

fn avro_type(data_type: &DataType, name: &str, namespace: &str, path: &str) -> Result<Value> {
    Ok(match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Utf8 => "string".into(),
        DataType::Binary => "bytes".into(),
        DataType::Date32 => json_object([("type", "int".into()), ("logicalType", "date".into())]),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            json_object([("type", "long".into()), ("logicalType", "timestamp-micros".into())])
        }
        DataType::Decimal128(precision, scale @ 0..) => decimal(*precision, *scale, &format!("{namespace}.{name}")),
        DataType::List(element) => {
            let items = avro_type(element.data_type(), name, namespace, path)?;
            json_object([("type", "array".into()), ("items", nullable(items, element.is_nullable()))])
        }
        DataType::Map(entries, _) => {
            let value = map_value(entries, path)?;
            let values = avro_type(value.data_type(), name, namespace, path)?;
            json_object([("type", "map".into()), ("values", nullable(values, value.is_nullable()))])
        }
        DataType::Struct(fields) => record(name, namespace, &format!("{namespace}.{name}"), path, fields)?,
        other => return Err(Error::schema(path, format!("{other} has no form that all of Hudi's readers take"))),
    })
}

fn decimal(precision: u8, scale: i8, namespace: &str) -> Value {
    json_object([
        ("type", "fixed".into()),
        ("name", "fixed".into()),
        ("namespace", namespace.into()),
        ("size", decimal_bytes(precision).into()),
        ("logicalType", "decimal".into()),
        ("precision", precision.into()),
        ("scale", scale.into()),
    ])
}

fn map_value<'a>(entries: &'a Field, path: &str) -> Result<&'a Field> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 && fields[0].data_type() == &DataType::Utf8 => Ok(&fields[1]),
        _ => Err(Error::schema(path, "the keys of a map must be strings")),
    }
}

fn json_object<const N: usize>(members: [(&str, Value); N]) -> Value {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Runs of characters that Avro does not take become `__`, and so do digits at the beginning.
fn sanitized(name: &str) -> String {
    const MASK: &str = "__";
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let tail = name.trim_start_matches(|c| !is_first(c));
    let mut out = String::from(if tail.len() < name.len() { MASK } else { "" });
    let mut in_run = false;
    for c in tail.chars() {
        let legal = c.is_ascii_alphanumeric() || c == '_';
        match (legal, in_run) {
            (true, _) => out.push(c),
            (false, false) => out.push_str(MASK),
            (false, true) => {}
        }
        in_run = !legal;
    }
    out
}
