//! The types that a table's files have: everything nullable, nested names as parquet's standard has them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use hudi_core::change::ChangeBatch;

use crate::error::{Error, Result};

/// The batch in the types that a table's files have.
pub(crate) fn with_table_types(batch: &ChangeBatch) -> Result<Cow<'_, ChangeBatch>> {
    let wanted: SchemaRef = Arc::new(table_schema(batch.rows.schema_ref()));
    if *wanted == **batch.rows.schema_ref() {
        return Ok(Cow::Borrowed(batch));
    }
    let failed = || Error::columns("convert the changes of", &batch.topic);
    let mut columns = Vec::with_capacity(wanted.fields().len());
    for (column, field) in batch.rows.columns().iter().zip(wanted.fields()) {
        columns.push(cast(column, field.data_type()).map_err(failed())?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let rows = RecordBatch::try_new_with_options(wanted, columns, &options).map_err(failed())?;
    Ok(Cow::Owned(ChangeBatch { rows, ..batch.clone() }))
}

/// The schema in the form in which files hold it.
fn table_schema(schema: &Schema) -> Schema {
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
