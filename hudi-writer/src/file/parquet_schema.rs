//! The parquet schema of a base file, as Hudi's Java can read *and rewrite* it.
//!
//! Differs from what arrow would choose: decimals are always `FIXED_LEN_BYTE_ARRAY` of the least size (Java cannot rewrite
//! others), list elements are named `element`, map entries `key_value`, and every column is optional.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use hudi_core::error::Error as FormatError;
use hudi_core::schema::avro::decimal_bytes;
use parquet::basic::{LogicalType, Repetition, TimeUnit as ParquetTimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use crate::error::{Error, Result, format};

/// The parquet schema of these columns; `name` is the message's name.
pub(super) fn parquet_schema(name: &str, schema: &Schema) -> Result<SchemaDescriptor> {
    let fields = schema.fields().iter().map(|field| field_type(field)).collect::<Result<Vec<_>>>()?;
    let message = Type::group_type_builder(name).with_fields(fields).build().map_err(failed(name))?;
    Ok(SchemaDescriptor::new(Arc::new(message)))
}

fn failed(name: &str) -> impl FnOnce(ParquetError) -> Error + use<'_> {
    Error::columns("build the parquet schema of", name)
}

fn field_type(field: &Field) -> Result<TypePtr> {
    named_type(field.name(), field.data_type(), Repetition::OPTIONAL)
}

fn named_type(name: &str, data_type: &DataType, repetition: Repetition) -> Result<TypePtr> {
    let micros = LogicalType::timestamp(true, ParquetTimeUnit::MICROS);
    let primitive = |physical, logical: Option<LogicalType>| {
        Type::primitive_type_builder(name, physical).with_repetition(repetition).with_logical_type(logical).build()
    };
    let built = match data_type {
        DataType::Boolean => primitive(Physical::BOOLEAN, None),
        DataType::Int32 => primitive(Physical::INT32, None),
        DataType::Int64 => primitive(Physical::INT64, None),
        DataType::Float32 => primitive(Physical::FLOAT, None),
        DataType::Float64 => primitive(Physical::DOUBLE, None),
        DataType::Utf8 => primitive(Physical::BYTE_ARRAY, Some(LogicalType::String)),
        DataType::Binary => primitive(Physical::BYTE_ARRAY, None),
        DataType::Date32 => primitive(Physical::INT32, Some(LogicalType::Date)),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => primitive(Physical::INT64, Some(micros)),
        DataType::Decimal128(precision, scale) => decimal(name, *precision, *scale, repetition),
        DataType::List(element) => return list(name, element, repetition),
        DataType::Map(entries, _) => return map(name, entries, repetition),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| field_type(field)).collect::<Result<Vec<_>>>()?;
            Type::group_type_builder(name).with_repetition(repetition).with_fields(fields).build()
        }
        other => {
            let reason = format!("{other} has no form that all of Hudi's readers take");
            return Err(format(FormatError::Schema { column: name.to_owned(), reason }));
        }
    };
    built.map(Arc::new).map_err(failed(name))
}

fn decimal(name: &str, precision: u8, scale: i8, repetition: Repetition) -> Result<Type, ParquetError> {
    let logical = LogicalType::decimal(i32::from(scale), i32::from(precision));
    Type::primitive_type_builder(name, Physical::FIXED_LEN_BYTE_ARRAY)
        .with_repetition(repetition)
        .with_length(decimal_bytes(precision) as i32)
        .with_precision(i32::from(precision))
        .with_scale(i32::from(scale))
        .with_logical_type(Some(logical))
        .build()
}

fn list(name: &str, element: &Field, repetition: Repetition) -> Result<TypePtr> {
    let element = named_type("element", element.data_type(), Repetition::OPTIONAL)?;
    let repeated = group("list", Repetition::REPEATED, vec![element], None)?;
    group(name, repetition, vec![repeated], Some(LogicalType::List))
}

fn map(name: &str, entries: &Field, repetition: Repetition) -> Result<TypePtr> {
    let DataType::Struct(fields) = entries.data_type() else {
        let reason = "a map without a struct of entries".to_owned();
        return Err(format(FormatError::Schema { column: name.to_owned(), reason }));
    };
    let value = fields.get(1).map_or(&DataType::Utf8, |field| field.data_type());
    let key = named_type("key", &DataType::Utf8, Repetition::REQUIRED)?;
    let value = named_type("value", value, Repetition::OPTIONAL)?;
    let repeated = group("key_value", Repetition::REPEATED, vec![key, value], None)?;
    group(name, repetition, vec![repeated], Some(LogicalType::Map))
}

fn group(name: &str, repetition: Repetition, fields: Vec<TypePtr>, logical: Option<LogicalType>) -> Result<TypePtr> {
    Type::group_type_builder(name)
        .with_repetition(repetition)
        .with_fields(fields)
        .with_logical_type(logical)
        .build()
        .map(Arc::new)
        .map_err(failed(name))
}
