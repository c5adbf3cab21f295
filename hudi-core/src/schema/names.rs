//! Which column names every reader and writer of Hudi takes.
//!
//! Executed on Hudi 0.14 to 1.1 and hudi-rs; all table versions.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Fields, Schema};

use crate::error::{Error, Result};

/// Whether the name is a letter or `_`, then letters, digits and `_`, ASCII only.
pub fn is_legal(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') && bytes.all(is_word)
}

/// The legal name nearest to this one: illegal characters become `_`, and so does nothing at all.
pub fn legal_name(name: &str) -> String {
    let digit_first = name.starts_with(|c: char| c.is_ascii_digit());
    let prefix = if digit_first || name.is_empty() { "_" } else { "" };
    let body = name.chars().map(|c| if c.is_ascii() && is_word(c as u8) { c } else { '_' });
    prefix.chars().chain(body).collect()
}

/// Verifies all names of a schema, nested ones too.
///
/// Errors: `Schema` for an illegal name, or two names of one level that are equal ignoring case.
pub fn verify(schema: &Schema) -> Result<()> {
    verify_fields("", schema.fields())
}

fn verify_fields(path: &str, fields: &Fields) -> Result<()> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for field in fields {
        let column = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
        if !is_legal(field.name()) {
            return Err(Error::schema(
                column,
                "want a name of letters, digits and `_` that does not begin with a digit",
            ));
        }
        if let Some(other) = seen.insert(field.name().to_ascii_lowercase(), field.name()) {
            return Err(Error::schema(
                column,
                format!("differs from `{other}` in case only, which Hudi's readers do not tell apart"),
            ));
        }
        verify_type(&column, field.data_type())?;
    }
    Ok(())
}

fn verify_type(column: &str, data_type: &DataType) -> Result<()> {
    match data_type {
        DataType::Struct(fields) => verify_fields(column, fields),
        DataType::List(element) => verify_type(column, element.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields.iter().try_for_each(|f| verify_type(column, f.data_type())),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
