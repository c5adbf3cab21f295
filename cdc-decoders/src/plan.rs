//! How the values of a field are read, and the Arrow type they get: one [`Reading`] for each pair of wire type and semantic name.
//!
//! The types are those that every Hudi reader and writer takes: no time of day, no unsigned number, no timestamp without zone or
//! below the microsecond.

use arrow::datatypes::{DataType, Field, Fields};

use crate::columns::{list_type, map_type, timestamp_type};
use crate::error::DecodeError;

/// The unit of a number that tells a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// How a value on the wire is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reading {
    Boolean,
    Int32,
    Int64,
    Float32,
    Float64,
    Text,
    /// Base64 with padding.
    Bytes,
    /// Days since 1970.
    Date,
    IsoDate,
    /// A wall clock without zone, counted from 1970 as if it were UTC.
    Timestamp(Unit),
    IsoTimestamp,
    /// An instant as text with an offset.
    ZonedTimestamp,
    /// A time of day or a duration; `Int64` microseconds.
    Micros(Unit),
    IsoTime,
    /// Base64 of an unscaled number, or a number.
    Decimal {
        precision: u8,
        scale: i8,
    },
    /// The same, of a precision that no column has: plain text. `trim` drops zeros at the end of the fraction.
    DecimalText {
        scale: i32,
        trim: bool,
    },
    /// `{"scale":…,"value":base64}`: plain text.
    VariableScaleDecimal,
    List(Box<Reading>),
    /// An object, or an array of pairs.
    Map(Box<Reading>),
    Struct(Vec<FieldPlan>),
    /// One of several types, which the value tells: plain text.
    Mixed,
    /// From the values themselves; the column knows what it is so far.
    Inferred,
    /// No column: the member tells of the change, what says its tag.
    Told(u8),
    /// The stored column has a type whose values cannot be told without a schema.
    Refused(DataType),
}

/// A field of a row or struct.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldPlan {
    /// The name on the wire.
    pub(crate) source_name: String,
    /// The name of the column.
    pub(crate) name: String,
    pub(crate) reading: Reading,
}

impl FieldPlan {
    pub(crate) fn new(source_name: &str, reading: Reading) -> Self {
        Self { source_name: source_name.to_owned(), name: column_name(source_name), reading }
    }
}

impl Reading {
    /// The Arrow type of what is read. `Null` for what is inferred.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 | Self::Micros(_) | Self::IsoTime => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Text | Self::DecimalText { .. } | Self::VariableScaleDecimal | Self::Mixed => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date | Self::IsoDate => DataType::Date32,
            Self::Timestamp(_) | Self::IsoTimestamp | Self::ZonedTimestamp => timestamp_type(),
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::List(element) => list_type(element.data_type()),
            Self::Map(value) => map_type(value.data_type()),
            Self::Struct(fields) => {
                let field = |f: &FieldPlan| Field::new(&f.name, f.reading.data_type(), true);
                DataType::Struct(fields.iter().map(field).collect::<Fields>())
            }
            Self::Inferred | Self::Told(_) => DataType::Null,
            Self::Refused(stored) => stored.clone(),
        }
    }
}

/// The column's name for a field's: letters, digits and `_` of ASCII, a digit not first.
/// Everything else is refused by one Hudi reader or another; Debezium's own adjustment for Avro does the same.
pub(crate) fn column_name(source_name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let mut name: String = source_name.chars().map(legal).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// Why a source's column cannot have its name; `None` where it can.
pub(crate) fn reserved(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    (lower.starts_with("_cdc_") || lower.starts_with("_hoodie_"))
        .then_some("names that start with `_cdc_` or `_hoodie_` are the table's own: rename the column on the way")
}

/// Refuses reserved names, and names that are equal but for case, at every depth.
pub(crate) fn check_names(fields: &[FieldPlan], top: bool) -> Result<(), DecodeError> {
    let mut seen = std::collections::HashSet::new();
    for field in fields {
        if let Some(why) = reserved(&field.name).filter(|_| top) {
            return Err(DecodeError::schema(&field.source_name, why));
        }
        if !seen.insert(field.name.to_ascii_lowercase()) {
            return Err(DecodeError::schema(
                &field.source_name,
                "another column's name is the same, but for case or letters that no table can have",
            ));
        }
        let mut inner = &field.reading;
        while let Reading::List(element) | Reading::Map(element) = inner {
            inner = element;
        }
        if let Reading::Struct(members) = inner {
            check_names(members, false)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_legal() {
        for (source, name) in [
            ("id", "id"),
            ("a-b.c", "a_b_c"),
            ("1st", "_1st"),
            ("größe", "gr__e"),
            ("", "_"),
            ("$x", "_x"),
            ("MiXed", "MiXed"),
        ] {
            assert_eq!(column_name(source), name);
        }
    }

    #[test]
    fn names_that_collide_or_are_reserved_are_refused() {
        let fields = |names: &[&str]| names.iter().map(|n| FieldPlan::new(n, Reading::Text)).collect::<Vec<_>>();
        for bad in [["a-b", "a_b"], ["ID", "id"], ["x", "_hoodie_y"], ["_CDC_op", "x"]] {
            assert!(check_names(&fields(&bad), true).is_err(), "{bad:?}");
        }
        check_names(&fields(&["a", "b", "_op"]), true).unwrap();
        let nested = [FieldPlan::new("s", Reading::List(Box::new(Reading::Struct(fields(&["x", "X"])))))];
        assert!(check_names(&nested, true).is_err());
    }
}
