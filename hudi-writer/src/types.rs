//! The types that a table's files have: everything nullable, nested names as parquet's standard has them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};

/// The schema in the form in which files hold it.
pub(crate) fn table_schema(schema: &Schema) -> Schema {
    Schema::new(fields(schema.fields()))
}

fn fields(fields: &Fields) -> Fields {
    fields.iter().map(|field| named(field.name(), field)).collect()
}

fn named(name: &str, field: &Field) -> FieldRef {
    Arc::new(Field::new(name, data_type(field.data_type()), true))
}

fn data_type(of: &DataType) -> DataType {
    match of {
        DataType::List(element) => DataType::List(named("element", element)),
        DataType::Struct(children) => DataType::Struct(fields(children)),
        DataType::Map(entries, _) => map(entries),
        other => other.clone(),
    }
}

fn map(entries: &Field) -> DataType {
    let DataType::Struct(children) = entries.data_type() else {
        return entries.data_type().clone();
    };
    let key = Arc::new(Field::new("key", children.first().map_or(DataType::Utf8, |f| f.data_type().clone()), false));
    let value = children.get(1).map(|field| named("value", field));
    let children: Fields = std::iter::once(key).chain(value).collect();
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(children), false)), false)
}
