//! Arrow types as Glue and Hive spell them, and the columns of a Glue table.
//!
//! The spelling is that of Hudi's own Hive sync with timestamps supported: lower case throughout, no blanks. It holds for
//! table versions 6, 8 and 9 alike. A type that the sync does not know is refused, with the column's name: a column that
//! engines cannot read would take every query of the table down.
//!
//! Partition keys are not taken out here, and Spark's own copy of the schema is not made here.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use hudi_core::schema::meta;

/// Where a field's metadata holds what the column is for: Avro's name for it.
const DOC_KEY: &str = "doc";

const MAX_NAME_CHARS: usize = 255;
const MAX_COMMENT_CHARS: usize = 255;
const MAX_TYPE_CHARS: usize = 131_072;

/// What timestamps are in Glue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// `timestamp`.
    #[default]
    Timestamp,
    /// `bigint`, the number that stands in the files: readers of logs that fail on timestamps read it.
    Bigint,
}

/// One column of a Glue table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// The name, in lower case: engines of this family compare names so.
    pub name: String,
    /// The Hive type, in lower case, without blanks.
    pub type_text: String,
    /// What the column is for, cut to the 255 characters that Glue takes.
    pub comment: Option<String>,
    /// Parameters by key.
    pub parameters: BTreeMap<String, String>,
}

impl Column {
    /// A column without comment.
    pub fn new(name: impl Into<String>, type_text: impl Into<String>) -> Self {
        Self { name: name.into(), type_text: type_text.into(), ..Self::default() }
    }
}

/// Why a schema has no Glue columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A column's type, or a type inside it, has no Hive spelling.
    #[error("column `{column}`: Glue has no type for {arrow_type}: {wanted}")]
    UnsupportedType {
        /// The column, with the path into it: `a.b`, `a[]`, `a{}` for a map's value.
        column: String,
        /// Arrow's name of the type.
        arrow_type: String,
        /// What would do instead.
        wanted: &'static str,
    },
    /// A name that Glue or a Hive type text cannot hold.
    #[error("column `{column}`: {reason}")]
    BadName {
        /// The column, with the path into it.
        column: String,
        /// What is wrong with its name.
        reason: &'static str,
    },
    /// Two columns, or two fields of one struct, whose names differ only in case.
    #[error("columns `{first}` and `{second}` have one name in Glue, where case does not count")]
    SameName {
        /// The one that stands first.
        first: String,
        /// The other.
        second: String,
    },
    /// A type whose text is longer than Glue takes.
    #[error("column `{column}`: its type takes {chars} characters, Glue takes at most {MAX_TYPE_CHARS}")]
    TypeTooLong {
        /// The column.
        column: String,
        /// The length of the type's text.
        chars: usize,
    },
}

/// The columns of a Glue table: Hudi's five meta columns, whether `schema` has them or not, then the others in order.
///
/// # Errors
/// The first column that Glue cannot hold, by name.
pub fn columns(schema: &Schema, timestamps: Timestamps) -> Result<Vec<Column>, Error> {
    let data: Vec<&Field> =
        schema.fields().iter().map(AsRef::as_ref).filter(|f| !meta::NAMES.contains(&f.name().as_str())).collect();
    distinct(meta::NAMES.into_iter().chain(data.iter().map(|f| f.name().as_str())), "")?;
    let mut columns: Vec<_> = meta::NAMES.into_iter().map(|name| Column::new(name, "string")).collect();
    for field in data {
        columns.push(column(field, timestamps)?);
    }
    Ok(columns)
}

/// The Hive spelling of `data_type`, the type of `column`.
///
/// # Errors
/// [`Error::UnsupportedType`] with the path to what has none, and the errors of names inside structs.
pub fn type_text(column: &str, data_type: &DataType, timestamps: Timestamps) -> Result<String, Error> {
    let unsupported =
        |wanted| Err(Error::UnsupportedType { column: column.to_owned(), arrow_type: data_type.to_string(), wanted });
    let text = match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Time32(TimeUnit::Millisecond) => "int",
        DataType::Int64 | DataType::Time64(TimeUnit::Microsecond) => "bigint",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 => "string",
        DataType::Binary | DataType::FixedSizeBinary(_) => "binary",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, _) => match timestamps {
            Timestamps::Timestamp => "timestamp",
            Timestamps::Bigint => "bigint",
        },
        DataType::Decimal128(precision, scale) => {
            if !(1..=38).contains(precision) || *scale < 0 || *scale as u8 > *precision {
                return unsupported("want a precision of 1 to 38 and a scale of 0 to the precision");
            }
            return Ok(format!("decimal({precision},{scale})"));
        }
        DataType::List(item) => {
            let item = type_text(&format!("{column}[]"), item.data_type(), timestamps)?;
            return Ok(format!("array<{item}>"));
        }
        DataType::Map(entries, _) => return map_text(column, entries, timestamps),
        DataType::Struct(fields) => return struct_text(column, fields, timestamps),
        DataType::UInt8 | DataType::UInt16 => return unsupported("want Int32"),
        DataType::UInt32 => return unsupported("want Int64"),
        DataType::UInt64 => return unsupported("want Decimal128(20, 0)"),
        DataType::Float16 => return unsupported("want Float32"),
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => return unsupported("want Utf8"),
        DataType::LargeBinary | DataType::BinaryView => return unsupported("want Binary"),
        DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_) | DataType::LargeListView(_) => {
            return unsupported("want List");
        }
        DataType::Timestamp(..) => return unsupported("want a timestamp in milli- or microseconds"),
        DataType::Time32(_) | DataType::Time64(_) => return unsupported("want a time in milli- or microseconds"),
        DataType::Date64 => return unsupported("want Date32"),
        DataType::Decimal32(..) | DataType::Decimal64(..) => return unsupported("want Decimal128"),
        DataType::Decimal256(..) => return unsupported("want Utf8: Hive's decimals have 38 digits"),
        _ => return unsupported("leave the column out or write it as Utf8"),
    };
    Ok(text.to_owned())
}

/// What a field's documentation says of it, cut to what Glue takes.
pub(crate) fn comment(field: &Field) -> Option<String> {
    field.metadata().get(DOC_KEY).map(|doc| doc.chars().take(MAX_COMMENT_CHARS).collect())
}

fn column(field: &Field, timestamps: Timestamps) -> Result<Column, Error> {
    let column = field.name();
    check_name(column, column)?;
    let type_text = type_text(column, field.data_type(), timestamps)?;
    let chars = type_text.chars().count();
    if chars > MAX_TYPE_CHARS {
        return Err(Error::TypeTooLong { column: column.clone(), chars });
    }
    Ok(Column { comment: comment(field), ..Column::new(column.to_lowercase(), type_text) })
}

fn map_text(column: &str, entries: &Field, timestamps: Timestamps) -> Result<String, Error> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::UnsupportedType {
            column: column.to_owned(),
            arrow_type: entries.data_type().to_string(),
            wanted: "want a map of key and value",
        });
    };
    match fields.as_ref() {
        [key, value] if *key.data_type() == DataType::Utf8 => {
            Ok(format!("map<string,{}>", type_text(&format!("{column}{{}}"), value.data_type(), timestamps)?))
        }
        _ => Err(Error::UnsupportedType {
            column: column.to_owned(),
            arrow_type: entries.data_type().to_string(),
            wanted: "want a map with keys of Utf8",
        }),
    }
}

fn struct_text(column: &str, fields: &Fields, timestamps: Timestamps) -> Result<String, Error> {
    if fields.is_empty() {
        return Err(Error::UnsupportedType {
            column: column.to_owned(),
            arrow_type: "Struct()".to_owned(),
            wanted: "want at least one field",
        });
    }
    distinct(fields.iter().map(|f| f.name().as_str()), &format!("{column}."))?;
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        let path = format!("{column}.{}", field.name());
        check_name(&path, field.name())?;
        if !field.name().chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(Error::BadName { column: path, reason: "a struct's field has letters, digits and `_` only" });
        }
        let of = type_text(&path, field.data_type(), timestamps)?;
        parts.push(format!("{}:{of}", field.name().to_lowercase()));
    }
    Ok(format!("struct<{}>", parts.join(",")))
}

fn check_name(path: &str, name: &str) -> Result<(), Error> {
    let reason = match name.chars().count() {
        0 => "an empty name",
        n if n > MAX_NAME_CHARS => "a name of more than 255 characters",
        _ if name.contains(['\n', '\r']) => "a line feed in the name",
        _ => return Ok(()),
    };
    Err(Error::BadName { column: path.to_owned(), reason })
}

/// Refuses two names that are one without case; `prefix` leads to them in the error.
fn distinct<'a>(names: impl Iterator<Item = &'a str>, prefix: &str) -> Result<(), Error> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for name in names {
        if let Some(first) = seen.insert(name.to_lowercase(), name) {
            return Err(Error::SameName { first: format!("{prefix}{first}"), second: format!("{prefix}{name}") });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn spelled(data_type: &DataType) -> Result<String, Error> {
        type_text("c", data_type, Timestamps::Timestamp)
    }

    fn all(schema: &Schema) -> Result<Vec<Column>, Error> {
        columns(schema, Timestamps::Timestamp)
    }

    fn check(data_type: DataType, expect: &str) {
        assert_eq!(spelled(&data_type).unwrap(), expect, "{data_type}");
    }

    fn check_refused(data_type: DataType, expect: &str) {
        let error = spelled(&data_type).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        assert!(error.starts_with("column `c"), "{error}");
    }

    fn field(name: &str, data_type: DataType) -> Field {
        Field::new(name, data_type, true)
    }

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(field("element", item)))
    }

    fn map(key: DataType, value: DataType) -> DataType {
        let entries = DataType::Struct(vec![Field::new("key", key, false), field("value", value)].into());
        DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
    }

    fn record(fields: Vec<Field>) -> DataType {
        DataType::Struct(fields.into())
    }

    #[test]
    fn flat_types_are_spelled_as_hive_does() {
        check(DataType::Boolean, "boolean");
        check(DataType::Int8, "int");
        check(DataType::Int16, "int");
        check(DataType::Int32, "int");
        check(DataType::Int64, "bigint");
        check(DataType::Float32, "float");
        check(DataType::Float64, "double");
        check(DataType::Utf8, "string");
        check(DataType::Binary, "binary");
        check(DataType::FixedSizeBinary(16), "binary");
        check(DataType::Date32, "date");
        check(DataType::Decimal128(38, 10), "decimal(38,10)");
        check(DataType::Decimal128(5, 0), "decimal(5,0)");
        check(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "timestamp");
        check(DataType::Timestamp(TimeUnit::Millisecond, None), "timestamp");
        check(DataType::Time32(TimeUnit::Millisecond), "int");
        check(DataType::Time64(TimeUnit::Microsecond), "bigint");
    }

    #[test]
    fn timestamps_are_numbers_if_asked_for() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let nested = record(vec![field("a", list(micros))]);
        assert_eq!(type_text("c", &nested, Timestamps::Bigint).unwrap(), "struct<a:array<bigint>>");
    }

    #[test]
    fn nested_types_are_spelled_inside_out() {
        check(list(DataType::Int64), "array<bigint>");
        check(list(list(DataType::Utf8)), "array<array<string>>");
        check(map(DataType::Utf8, DataType::Decimal128(9, 2)), "map<string,decimal(9,2)>");
        check(
            record(vec![field("Aa", DataType::Int32), field("b", list(record(vec![field("c", DataType::Date32)])))]),
            "struct<aa:int,b:array<struct<c:date>>>",
        );
    }

    #[test]
    fn a_type_without_spelling_is_refused_with_its_path() {
        check_refused(DataType::UInt64, "column `c`: Glue has no type for UInt64: want Decimal128(20, 0)");
        check_refused(list(DataType::Float16), "column `c[]`: Glue has no type for Float16");
        check_refused(map(DataType::Utf8, DataType::Date64), "column `c{}`: Glue has no type for Date64");
        check_refused(map(DataType::Int32, DataType::Utf8), "want a map with keys of Utf8");
        check_refused(record(vec![field("d", DataType::LargeUtf8)]), "column `c.d`: Glue has no type for LargeUtf8");
        check_refused(record(vec![]), "want at least one field");
        check_refused(DataType::Timestamp(TimeUnit::Nanosecond, None), "want a timestamp in milli- or microseconds");
        check_refused(DataType::Time64(TimeUnit::Nanosecond), "want a time in milli- or microseconds");
        check_refused(DataType::Decimal128(5, 6), "want a precision of 1 to 38");
        check_refused(DataType::Decimal128(5, -1), "want a precision of 1 to 38");
        check_refused(DataType::Decimal256(50, 2), "Hive's decimals have 38 digits");
        check_refused(DataType::Null, "leave the column out");
        check_refused(DataType::Duration(TimeUnit::Second), "leave the column out");
    }

    #[test]
    fn meta_columns_stand_first_once() {
        let plain = Schema::new(vec![field("Id", DataType::Int64), field("region", DataType::Utf8)]);
        let mut fields = vec![field("Id", DataType::Int64)];
        fields.extend(meta::NAMES.map(|name| field(name, DataType::Utf8)));
        fields.push(field("region", DataType::Utf8));
        let names: Vec<_> = all(&plain).unwrap().into_iter().map(|c| c.name).collect();
        assert_eq!(names[..5], meta::NAMES);
        assert_eq!(names[5..], ["id", "region"]);
        assert_eq!(all(&plain), all(&Schema::new(fields)));
    }

    #[test]
    fn a_comment_comes_from_the_fields_doc_and_is_cut() {
        let doc = HashMap::from([("doc".to_owned(), "é".repeat(300))]);
        let schema = Schema::new(vec![field("a", DataType::Utf8).with_metadata(doc), field("b", DataType::Utf8)]);
        let columns = all(&schema).unwrap();
        assert_eq!(columns[5].comment, Some("é".repeat(255)));
        assert_eq!(columns[6].comment, None);
    }

    #[test]
    fn names_that_differ_only_in_case_are_refused() {
        let schema = Schema::new(vec![field("Id", DataType::Utf8), field("iD", DataType::Utf8)]);
        assert_eq!(all(&schema), Err(Error::SameName { first: "Id".to_owned(), second: "iD".to_owned() }));
        let schema = Schema::new(vec![field("_HOODIE_record_key", DataType::Utf8)]);
        assert!(matches!(all(&schema), Err(Error::SameName { first, .. }) if first == "_hoodie_record_key"));
        check_same(record(vec![field("x", DataType::Utf8), field("X", DataType::Utf8)]), "c.x", "c.X");
    }

    fn check_same(data_type: DataType, first: &str, second: &str) {
        let expect = Error::SameName { first: first.to_owned(), second: second.to_owned() };
        assert_eq!(spelled(&data_type), Err(expect));
    }

    #[test]
    fn names_that_glue_cannot_hold_are_refused() {
        let refused = |name: &str| all(&Schema::new(vec![field(name, DataType::Utf8)])).unwrap_err().to_string();
        assert_eq!(refused(""), "column ``: an empty name");
        assert!(refused(&"x".repeat(256)).ends_with("a name of more than 255 characters"));
        assert!(refused("a\nb").ends_with("a line feed in the name"));
        let nested = spelled(&record(vec![field("a:b", DataType::Utf8)])).unwrap_err().to_string();
        assert_eq!(nested, "column `c.a:b`: a struct's field has letters, digits and `_` only");
    }

    #[test]
    fn a_type_longer_than_glue_takes_is_refused() {
        let wide = record((0..10_000).map(|n| field(&format!("field_{n:08}"), DataType::Utf8)).collect());
        let error = all(&Schema::new(vec![field("wide", wide)])).unwrap_err();
        assert!(matches!(error, Error::TypeTooLong { ref column, chars } if column == "wide" && chars > 131_072));
    }
}
