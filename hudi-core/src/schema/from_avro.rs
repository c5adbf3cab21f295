//! Avro JSON to Arrow: of tables of any writer.
//!
//! Wider than what we write: also forms that only some readers take, so that such a table is understood before it is
//! refused. Format section 4.5; all table versions.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The Arrow schema of an Avro record. Timestamps are in UTC; list elements are named `element`, map entries `key_value`.
///
/// Errors: `Corrupt` if it is not the JSON of an Avro record; `Schema` for a union of more than null and one type, or a type
/// that Arrow has not.
pub fn from_avro(json: &str) -> Result<Schema> {
    let value: Value = serde_json::from_str(json).map_err(|e| corrupt(e.to_string()))?;
    let mut reader = Reader::default();
    match reader.data_type(&value, "", "")?.0 {
        DataType::Struct(fields) => Ok(Schema::new(fields)),
        _ => Err(corrupt("not a record")),
    }
}

fn corrupt(reason: impl Into<String>) -> Error {
    Error::corrupt("Avro schema", reason)
}

/// Types by full name: Avro says a named type once and refers to it afterwards.
#[derive(Default)]
struct Reader {
    named: HashMap<String, DataType>,
}

impl Reader {
    /// The type, and whether it can be null.
    fn data_type(&mut self, avro: &Value, namespace: &str, path: &str) -> Result<(DataType, bool)> {
        match avro {
            Value::String(name) => Ok((self.by_name(name, namespace, path)?, false)),
            Value::Array(branches) => self.union(branches, namespace, path),
            Value::Object(members) => Ok((self.complex(members, namespace, path)?, false)),
            _ => Err(corrupt(format!("`{path}` has no type"))),
        }
    }

    fn by_name(&self, name: &str, namespace: &str, path: &str) -> Result<DataType> {
        Ok(match name {
            "boolean" => DataType::Boolean,
            "int" => DataType::Int32,
            "long" => DataType::Int64,
            "float" => DataType::Float32,
            "double" => DataType::Float64,
            "string" => DataType::Utf8,
            "bytes" => DataType::Binary,
            "null" => DataType::Null,
            other => {
                let known = self.named.get(other).or_else(|| self.named.get(&format!("{namespace}.{other}")));
                known.cloned().ok_or_else(|| Error::schema(path, format!("type `{other}` is not defined")))?
            }
        })
    }

    fn union(&mut self, branches: &[Value], namespace: &str, path: &str) -> Result<(DataType, bool)> {
        let is_null = |branch: &&Value| branch.as_str() == Some("null");
        let mut others = branches.iter().filter(|b| !is_null(b));
        match (others.next(), others.next()) {
            (Some(only), None) => {
                let (data_type, _) = self.data_type(only, namespace, path)?;
                Ok((data_type, branches.iter().any(|b| is_null(&b))))
            }
            _ => Err(Error::schema(path, "a union of more than null and one type is not supported")),
        }
    }

    fn complex(&mut self, avro: &Map<String, Value>, namespace: &str, path: &str) -> Result<DataType> {
        let kind = avro.get("type").ok_or_else(|| corrupt(format!("`{path}` has no type")))?;
        let Some(name) = kind.as_str() else {
            return Ok(self.data_type(kind, namespace, path)?.0);
        };
        match name {
            "record" => self.record(avro, namespace, path),
            "array" => {
                let (element, is_nullable) = self.member(avro, "items", namespace, path)?;
                Ok(DataType::List(Arc::new(Field::new("element", element, is_nullable))))
            }
            "map" => {
                let (value, is_nullable) = self.member(avro, "values", namespace, path)?;
                Ok(map_of(value, is_nullable))
            }
            "enum" => self.define(avro, namespace, DataType::Utf8),
            "fixed" => {
                let size = avro.get("size").and_then(Value::as_i64).and_then(|size| i32::try_from(size).ok());
                let size = size.ok_or_else(|| corrupt(format!("`{path}` is fixed and has no size")))?;
                let data_type = logical(avro, DataType::FixedSizeBinary(size), path)?;
                self.define(avro, namespace, data_type)
            }
            other => logical(avro, self.by_name(other, namespace, path)?, path),
        }
    }

    fn member(
        &mut self,
        avro: &Map<String, Value>,
        name: &str,
        namespace: &str,
        path: &str,
    ) -> Result<(DataType, bool)> {
        let member = avro.get(name).ok_or_else(|| corrupt(format!("`{path}` has no `{name}`")))?;
        self.data_type(member, namespace, path)
    }

    fn record(&mut self, avro: &Map<String, Value>, namespace: &str, path: &str) -> Result<DataType> {
        let inner = full_name(avro, namespace).rsplit_once('.').map_or(String::new(), |(ns, _)| ns.to_owned());
        let fields = avro.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or_else(|| corrupt(format!("record `{path}` has no fields")))?;
        let fields = fields.iter().map(|f| self.field(f, &inner, path)).collect::<Result<Vec<_>>>()?;
        self.define(avro, namespace, DataType::Struct(fields.into()))
    }

    fn field(&mut self, avro: &Value, namespace: &str, path: &str) -> Result<Field> {
        let members = avro.as_object().ok_or_else(|| corrupt(format!("a field of `{path}` is no object")))?;
        let name = members.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| corrupt(format!("a field of `{path}` has no name")))?;
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let (data_type, is_nullable) = self.member(members, "type", namespace, &path)?;
        Ok(Field::new(name, data_type, is_nullable))
    }

    fn define(&mut self, avro: &Map<String, Value>, namespace: &str, data_type: DataType) -> Result<DataType> {
        self.named.insert(full_name(avro, namespace), data_type.clone());
        Ok(data_type)
    }
}

fn full_name(avro: &Map<String, Value>, enclosing: &str) -> String {
    let text = |member| avro.get(member).and_then(Value::as_str);
    let name = text("name").unwrap_or_default();
    match text("namespace").unwrap_or(enclosing) {
        "" => name.to_owned(),
        _ if name.contains('.') => name.to_owned(),
        namespace => format!("{namespace}.{name}"),
    }
}

fn map_of(value: DataType, is_nullable: bool) -> DataType {
    let key = Field::new("key", DataType::Utf8, false);
    let entries = DataType::Struct(vec![key, Field::new("value", value, is_nullable)].into());
    DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
}

/// The type under its logical type; an unknown one stands for nothing, as Avro says.
fn logical(avro: &Map<String, Value>, plain: DataType, path: &str) -> Result<DataType> {
    let utc = || Some(Arc::from("UTC"));
    let Some(name) = avro.get("logicalType").and_then(Value::as_str) else { return Ok(plain) };
    Ok(match (name, &plain) {
        ("date", DataType::Int32) => DataType::Date32,
        ("time-millis", DataType::Int32) => DataType::Time32(TimeUnit::Millisecond),
        ("time-micros", DataType::Int64) => DataType::Time64(TimeUnit::Microsecond),
        ("timestamp-millis", DataType::Int64) => DataType::Timestamp(TimeUnit::Millisecond, utc()),
        ("timestamp-micros", DataType::Int64) => DataType::Timestamp(TimeUnit::Microsecond, utc()),
        ("timestamp-nanos", DataType::Int64) => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
        ("local-timestamp-millis", DataType::Int64) => DataType::Timestamp(TimeUnit::Millisecond, None),
        ("local-timestamp-micros", DataType::Int64) => DataType::Timestamp(TimeUnit::Microsecond, None),
        ("decimal", DataType::FixedSizeBinary(_) | DataType::Binary) => decimal(avro, path)?,
        _ => plain,
    })
}

fn decimal(avro: &Map<String, Value>, path: &str) -> Result<DataType> {
    let number = |name| avro.get(name).and_then(Value::as_u64).and_then(|n| u8::try_from(n).ok());
    let precision = number("precision").filter(|p| (1..=38).contains(p));
    let scale = number("scale").unwrap_or(0);
    match precision.filter(|p| scale <= *p) {
        Some(precision) => Ok(DataType::Decimal128(precision, scale as i8)),
        None => Err(Error::schema(path, "a decimal needs a precision from 1 to 38 and a scale up to it")),
    }
}
