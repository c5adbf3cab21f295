//! The parameters by which Spark knows a table that Glue holds: `spark.sql.sources.*`.
//!
//! Text and order are those of Hudi's own sync: the schema as Spark's JSON, the partition columns last, cut into parts of 4000 UTF-16
//! units; the blank after the comma in lists and maps is theirs. Unlike theirs, names are escaped.

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use hudi_core::schema::meta;
use serde_json::Value;

/// What every key about the schema begins with: those that are no longer written are surplus.
pub const SCHEMA_PREFIX: &str = "spark.sql.sources.schema.";

const PROVIDER: &str = "spark.sql.sources.provider";
const VERSION: &str = "spark.sql.create.version";
const PART_UNITS: usize = 4000;

/// The parameters of a table with these columns, meta columns not among them.
pub fn parameters(columns: &Schema, partition_fields: &[String], version: Option<&str>) -> Vec<(String, String)> {
    let mut parameters = vec![(PROVIDER.to_owned(), "hudi".to_owned())];
    parameters.extend(version.map(|version| (VERSION.to_owned(), version.to_owned())));
    let parts = cut(&schema_json(columns, partition_fields));
    parameters.push((format!("{SCHEMA_PREFIX}numParts"), parts.len().to_string()));
    parameters.extend(parts.into_iter().enumerate().map(|(n, part)| (format!("{SCHEMA_PREFIX}part.{n}"), part)));
    if !partition_fields.is_empty() {
        parameters.push((format!("{SCHEMA_PREFIX}numPartCols"), partition_fields.len().to_string()));
        let columns = partition_fields.iter().enumerate();
        parameters.extend(columns.map(|(n, column)| (format!("{SCHEMA_PREFIX}partCol.{n}"), column.clone())));
    }
    parameters
}

fn schema_json(columns: &Schema, partition_fields: &[String]) -> String {
    let all = meta::with_meta_fields(columns);
    let data = all.fields().iter().filter(|field| !partition_fields.contains(field.name()));
    let mut fields: Vec<String> = data.map(|field| field_json(field)).collect();
    fields.extend(partition_fields.iter().map(|name| match all.field_with_name(name) {
        Ok(field) => field_json(field),
        Err(_) => field_json(&Field::new(name, DataType::Utf8, true)),
    }));
    format!(r#"{{"type":"struct","fields":[{}]}}"#, fields.join(","))
}

fn field_json(field: &Field) -> String {
    let name = Value::from(field.name().as_str());
    let (data_type, nullable) = (type_json(field.data_type()), field.is_nullable());
    format!(r#"{{"name":{name},"type":{data_type},"nullable":{nullable},"metadata":{{}}}}"#)
}

/// What has no type here has none in Glue either, and is refused there.
fn type_json(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Time32(_) => "integer",
        DataType::Int64 | DataType::Time64(_) => "long",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Binary | DataType::FixedSizeBinary(_) => "binary",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, Some(_)) => "timestamp",
        DataType::Timestamp(..) => "timestamp_ntz",
        DataType::Decimal128(precision, scale) => return format!(r#""decimal({precision},{scale})""#),
        DataType::List(item) => {
            let (of, nullable) = (type_json(item.data_type()), item.is_nullable());
            return format!(r#"{{"type":"array", "elementType":{of},"containsNull":{nullable}}}"#);
        }
        DataType::Map(entries, _) => return map_json(entries),
        DataType::Struct(fields) => return struct_json(fields),
        _ => "string",
    };
    format!("\"{name}\"")
}

fn map_json(entries: &Field) -> String {
    let DataType::Struct(fields) = entries.data_type() else { return "\"string\"".to_owned() };
    let [key, value] = fields.as_ref() else { return "\"string\"".to_owned() };
    let (of, nullable) = (type_json(value.data_type()), value.is_nullable());
    let key = type_json(key.data_type());
    format!(r#"{{"type":"map", "keyType":{key},"valueType":{of},"valueContainsNull":{nullable}}}"#)
}

fn struct_json(fields: &Fields) -> String {
    let fields: Vec<String> = fields.iter().map(|field| field_json(field)).collect();
    format!(r#"{{"type":"struct","fields":[{}]}}"#, fields.join(","))
}

/// Parts of at most [`PART_UNITS`] UTF-16 units, as Java counts them.
fn cut(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut units) = (Vec::new(), String::new(), 0);
    for c in text.chars() {
        if units + c.len_utf16() > PART_UNITS {
            parts.push(std::mem::take(&mut part));
            units = 0;
        }
        part.push(c);
        units += c.len_utf16();
    }
    parts.push(part);
    parts
}
