//! Connect schemas (as Debezium writes them inline) and Avro schemas (as a registry holds them) to the plan of a row.
//!
//! Both say the same thing in two notations; Avro's is turned into Connect's ([`Connect`]) first. Parsed once a schema, never a
//! message. The meaning of the semantic names follows Debezium's `io.debezium.time`, `io.debezium.data` and Kafka Connect's
//! `org.apache.kafka.connect.data`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::plan::{FieldPlan, Reading, Unit, check_names};
use super::wrapping::Wrapping;
use crate::avro::{Schema, Shape, Type, TypeId};
use crate::decoder::SkipReason;
use crate::error::DecodeError;

/// The deepest nesting of a schema's types.
const MAX_DEPTH: u32 = 32;

/// A row's schema that the user declares, for messages that bring none.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredSchema {
    fields: Vec<FieldPlan>,
}

impl DeclaredSchema {
    /// Reads a schema: Connect's JSON or Avro's, of an envelope (its `after` counts) or of a bare row, or a whole message
    /// `{"schema":…,"payload":…}`.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where the text is none of these, or a column cannot be kept.
    pub fn from_json(text: &str) -> Result<Self, DecodeError> {
        let text = text.trim();
        if text.starts_with(['[', '"']) {
            return Self::from_connect(&avro_to_connect(text)?);
        }
        let probe: Probe<'_> = parse(text)?;
        match (probe.schema, probe.kind.map(RawValue::get)) {
            (Some(schema), None) => Self::from_json(schema.get()),
            (_, Some(r#""struct""#)) => Self::from_connect(&parse(text)?),
            _ => Self::from_connect(&avro_to_connect(text)?),
        }
    }

    fn from_connect(schema: &Connect) -> Result<Self, DecodeError> {
        let row = match schema.after() {
            Some(after) => after,
            None => schema,
        };
        Ok(Self { fields: row_plan(row)? })
    }

    pub(crate) fn fields(&self) -> &[FieldPlan] {
        &self.fields
    }
}

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|e| DecodeError::schema("(whole)", format!("not a schema: {e}")))
}

/// What a value's inline schema says of its messages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueSchema {
    /// Changes of rows with these fields.
    Rows(Vec<FieldPlan>),
    /// Changes of documents, each in a text.
    Documents,
    /// No changes.
    Control(SkipReason),
    /// None of Debezium's own: the payload has to tell.
    Unknown,
}

impl ValueSchema {
    /// Reads the `schema` member of a message; `null` where the converter had none.
    pub(crate) fn from_inline(text: &str, wrapping: Wrapping) -> Result<Self, DecodeError> {
        if text.trim() == "null" {
            return Ok(Self::Unknown);
        }
        let schema: Connect = parse(text)?;
        Ok(match schema.name.as_deref().and_then(control) {
            Some(reason) => Self::Control(reason),
            None => match (wrapping, schema.images(wrapping)) {
                (Wrapping::Row, Some(_)) => return Err(not_flattened()),
                (Wrapping::Row, None) => Self::Rows(row_plan(&schema)?),
                (_, Some(after)) if after.kind == "string" => Self::Documents,
                (_, Some(after)) => Self::Rows(row_plan(after)?),
                (_, None) => Self::Unknown,
            },
        })
    }
}

/// Why messages are skipped whose schema has this name; `None` where they may hold changes.
pub(crate) fn control(schema_name: &str) -> Option<SkipReason> {
    match schema_name.strip_prefix("io.debezium.")?.rsplit('.').next()? {
        "SchemaChangeValue" => Some(SkipReason::SchemaChange),
        "TransactionMetadataValue" => Some(SkipReason::Transaction),
        "Heartbeat" => Some(SkipReason::Heartbeat),
        "Notification" => Some(SkipReason::Notification),
        _ => None,
    }
}

/// The error of an envelope where flattened rows are wanted.
pub(crate) fn not_flattened() -> DecodeError {
    DecodeError::Unsupported {
        what: "an envelope that is not flattened".to_owned(),
        why: "the decoder of flattened events is for topics that a transform unwrapped: decode this one as envelopes",
    }
}

/// A Connect schema, as the JSON converter writes it.
#[derive(Debug, Clone, Default, Deserialize)]
struct Connect {
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    field: Option<String>,
    #[serde(default)]
    parameters: Option<BTreeMap<String, String>>,
    #[serde(default)]
    fields: Vec<Connect>,
    items: Option<Box<Connect>>,
    values: Option<Box<Connect>>,
}

impl Connect {
    fn of(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }

    /// The row of an envelope; `None` where this is no envelope.
    fn after(&self) -> Option<&Self> {
        (self.kind == "struct" && self.member("source").is_some() && self.member("op").is_some()).then_some(())?;
        self.member("after")
    }

    /// The same where images may come without the rest of the envelope.
    fn images(&self, wrapping: Wrapping) -> Option<&Self> {
        self.after().or_else(|| self.member("after").filter(|_| wrapping == Wrapping::Images))
    }

    fn member(&self, name: &str) -> Option<&Self> {
        self.fields.iter().find(|f| f.field.as_deref() == Some(name))
    }

    fn parameter(&self, name: &str) -> Option<i32> {
        self.parameters.as_ref()?.get(name)?.trim().parse().ok()
    }
}

fn row_plan(row: &Connect) -> Result<Vec<FieldPlan>, DecodeError> {
    if row.kind != "struct" {
        return Err(DecodeError::schema("after", format!("the row is `{}`: want a struct", row.kind)));
    }
    let fields = struct_plan(row, MAX_DEPTH)?;
    check_names(&fields, true)?;
    Ok(fields)
}

fn struct_plan(schema: &Connect, depth: u32) -> Result<Vec<FieldPlan>, DecodeError> {
    let plan = |field: &Connect| {
        let name = field.field.as_deref().ok_or_else(|| DecodeError::schema("(unnamed)", "a field without `field`"))?;
        Ok(FieldPlan::new(name, reading(field, name, depth)?))
    };
    schema.fields.iter().map(plan).collect()
}

/// How the values of a schema are read: by the semantic name where we know it *and* the wire type is the one that belongs to
/// it, else by the wire type.
fn reading(schema: &Connect, column: &str, depth: u32) -> Result<Reading, DecodeError> {
    let depth = depth.checked_sub(1).ok_or_else(|| DecodeError::schema(column, "nested too deeply"))?;
    if let Some(reading) = schema.name.as_deref().and_then(|name| semantic(schema, name)) {
        return Ok(reading);
    }
    let inner = |member: Option<&Connect>| {
        let member = member.ok_or_else(|| DecodeError::schema(column, "an array or map without the type inside"))?;
        reading(member, column, depth).map(Box::new)
    };
    Ok(match schema.kind.as_str() {
        "boolean" => Reading::Boolean,
        "int8" | "int16" | "int32" => Reading::Int32,
        "int64" => Reading::Int64,
        "float" | "float32" => Reading::Float32,
        "double" | "float64" => Reading::Float64,
        "string" => Reading::Text,
        "bytes" => Reading::Bytes,
        "array" => Reading::List(inner(schema.items.as_deref())?),
        "map" => Reading::Map(inner(schema.values.as_deref())?),
        MIXED => Reading::Mixed,
        "struct" if schema.fields.is_empty() => return Err(DecodeError::schema(column, "a struct without fields")),
        "struct" => Reading::Struct(struct_plan(schema, depth)?),
        other => return Err(DecodeError::schema(column, format!("no such type: `{other}`"))),
    })
}

fn semantic(schema: &Connect, name: &str) -> Option<Reading> {
    Some(match (name, schema.kind.as_str()) {
        ("io.debezium.time.Date" | "org.apache.kafka.connect.data.Date", "int32") => Reading::Date,
        ("io.debezium.time.IsoDate", "string") => Reading::IsoDate,
        ("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp", "int64") => {
            Reading::Timestamp(Unit::Millis)
        }
        ("io.debezium.time.MicroTimestamp", "int64") => Reading::Timestamp(Unit::Micros),
        ("io.debezium.time.NanoTimestamp", "int64") => Reading::Timestamp(Unit::Nanos),
        ("io.debezium.time.IsoTimestamp", "string") => Reading::IsoTimestamp,
        ("io.debezium.time.ZonedTimestamp", "string") => Reading::ZonedTimestamp,
        ("io.debezium.time.Time" | "org.apache.kafka.connect.data.Time", "int32") => Reading::Micros(Unit::Millis),
        ("io.debezium.time.MicroTime" | "io.debezium.time.MicroDuration", "int64") => Reading::Micros(Unit::Micros),
        ("io.debezium.time.NanoTime" | "io.debezium.time.NanoDuration", "int64") => Reading::Micros(Unit::Nanos),
        ("io.debezium.time.IsoTime", "string") => Reading::IsoTime,
        ("org.apache.kafka.connect.data.Decimal", "bytes") => decimal(schema),
        ("io.debezium.data.VariableScaleDecimal", "struct") => Reading::VariableScaleDecimal,
        _ => return None,
    })
}

/// A decimal that fits a column is one; else it becomes text. Debezium writes a negative scale of PostgreSQL as one above
/// the precision (11 bits without sign): its zeros behind the point mean nothing.
fn decimal(schema: &Connect) -> Reading {
    let scale = schema.parameter("scale").unwrap_or(0);
    let precision = schema.parameter("connect.decimal.precision");
    let fits = |p: &i32| (1..=38).contains(p) && (0..=*p).contains(&scale);
    match precision.filter(fits).and_then(|p| Some((u8::try_from(p).ok()?, i8::try_from(scale).ok()?))) {
        Some((precision, scale)) => Reading::Decimal { precision, scale },
        None => Reading::DecimalText { scale, trim: precision.is_some_and(|p| scale > p) },
    }
}

/// The kind of a union of several types, which Connect has not.
const MIXED: &str = "union";
/// The most types of a row.
const MAX_UNFOLDED: usize = 1 << 16;

fn avro_to_connect(text: &str) -> Result<Connect, DecodeError> {
    let schema = Schema::parse(text)?;
    let (root, _) = schema.optional(schema.root());
    if matches!(schema.get(root).shape, Shape::Union(_)) {
        return Err(DecodeError::schema("(Avro)", "a union of several types"));
    }
    FromAvro { schema: &schema, left: MAX_UNFOLDED }.connect(root, MAX_DEPTH)
}

/// The columns of a record, in its order.
pub(crate) fn avro_row_plan(schema: &Schema, record: TypeId) -> Result<Vec<FieldPlan>, DecodeError> {
    row_plan(&FromAvro { schema, left: MAX_UNFOLDED }.connect(record, MAX_DEPTH)?)
}

/// Turns Avro's notation into Connect's.
struct FromAvro<'a> {
    schema: &'a Schema,
    left: usize,
}

impl FromAvro<'_> {
    fn connect(&mut self, id: TypeId, depth: u32) -> Result<Connect, DecodeError> {
        let bad = |reason: &str| DecodeError::schema("(Avro)", reason);
        let depth = depth.checked_sub(1).ok_or_else(|| bad("nested too deeply, or a type that holds itself"))?;
        self.left = self.left.checked_sub(1).ok_or_else(|| bad("too many types"))?;
        let (id, _) = self.schema.optional(id);
        let kind = self.schema.get(id);
        let connect = match &kind.shape {
            Shape::Boolean => Connect::of("boolean"),
            Shape::Int => Connect::of("int32"),
            Shape::Long => Connect::of("int64"),
            Shape::Float => Connect::of("float"),
            Shape::Double => Connect::of("double"),
            Shape::Bytes | Shape::Fixed(_) => Connect::of("bytes"),
            Shape::Null | Shape::Text | Shape::Enum(_) => Connect::of("string"),
            Shape::Array(items) => match self.map_entry(*items) {
                Some(value) => Connect { values: Some(Box::new(self.connect(value, depth)?)), ..Connect::of("map") },
                None => Connect { items: Some(Box::new(self.connect(*items, depth)?)), ..Connect::of("array") },
            },
            Shape::Map(value) => Connect { values: Some(Box::new(self.connect(*value, depth)?)), ..Connect::of("map") },
            Shape::Union(_) => return Ok(Connect::of(MIXED)),
            Shape::Record(fields) => {
                let mut record = Connect::of("struct");
                for field in fields {
                    let schema = self.connect(field.kind, depth)?;
                    record.fields.push(Connect { field: Some(field.name.clone()), ..schema });
                }
                record
            }
        };
        Ok(with_meaning(connect, kind))
    }

    /// The values' type, where the elements of an array stand for a map's entries: a map whose keys are no text.
    fn map_entry(&self, items: TypeId) -> Option<TypeId> {
        let (entry, _) = self.schema.optional(items);
        let internal = self.schema.get(entry).meaning.connect_internal.as_deref();
        (internal == Some("MapEntry")).then(|| self.schema.field(entry, "value"))?
    }
}

/// Adds what `connect.name` says; without it, what Avro's own logical types say in Connect's words.
fn with_meaning(connect: Connect, of: &Type) -> Connect {
    let meaning = &of.meaning;
    if let Some(name) = &meaning.connect_name {
        let parameters = Some(meaning.connect_parameters.clone());
        return Connect { name: Some(name.clone()), parameters, ..connect };
    }
    let named = |name: &str| Connect { name: Some(name.to_owned()), ..connect.clone() };
    match (meaning.logical_type.as_deref(), &of.name) {
        (Some("decimal"), _) => {
            let mut parameters = BTreeMap::from([("scale".to_owned(), meaning.scale.unwrap_or(0).to_string())]);
            parameters.extend(meaning.precision.map(|p| ("connect.decimal.precision".to_owned(), p.to_string())));
            Connect { parameters: Some(parameters), ..named("org.apache.kafka.connect.data.Decimal") }
        }
        (Some("date"), _) => named("io.debezium.time.Date"),
        (Some("time-millis"), _) => named("io.debezium.time.Time"),
        (Some("time-micros"), _) => named("io.debezium.time.MicroTime"),
        (Some("timestamp-millis" | "local-timestamp-millis"), _) => named("io.debezium.time.Timestamp"),
        (Some("timestamp-micros" | "local-timestamp-micros"), _) => named("io.debezium.time.MicroTimestamp"),
        (Some("timestamp-nanos" | "local-timestamp-nanos"), _) => named("io.debezium.time.NanoTimestamp"),
        (_, Some(name)) => named(name),
        _ => connect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"type":"struct","optional":true,"field":"after","name":"t.Value","fields":[
        {"type":"int64","optional":false,"field":"id"},
        {"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"price"},
        {"type":"array","items":{"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","version":1},"optional":true,"field":"seen"}]}"#;

    fn plan() -> Vec<FieldPlan> {
        vec![
            FieldPlan::new("id", Reading::Int64),
            FieldPlan::new("price", Reading::Decimal { precision: 10, scale: 2 }),
            FieldPlan::new("seen", Reading::List(Box::new(Reading::Timestamp(Unit::Micros)))),
        ]
    }

    #[test]
    fn a_row_is_found_in_every_wrapping() {
        let envelope = format!(
            r#"{{"type":"struct","name":"t.Envelope","optional":false,"fields":[{ROW},{{"type":"struct","field":"source","fields":[]}},{{"type":"string","field":"op"}}]}}"#
        );
        let message = format!(r#"{{"schema":{envelope},"payload":null}}"#);
        let avro_row = r#"{"type":"record","name":"Value","namespace":"t","fields":[{"name":"id","type":"long"},
            {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}]},
            {"name":"seen","type":[{"type":"array","items":["null",{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}]},"null"]}]}"#;
        let avro_envelope = format!(
            r#"["null",{{"type":"record","name":"Envelope","namespace":"t","fields":[{{"name":"before","type":["null",{avro_row}]}},
            {{"name":"after","type":["null","Value"]}},{{"name":"source","type":"string"}},{{"name":"op","type":"string"}}]}}]"#
        );
        for text in [ROW, &envelope, &message, avro_row, &avro_envelope] {
            assert_eq!(DeclaredSchema::from_json(text).unwrap().fields(), plan(), "{text}");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for bad in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"type":"string"}"#,
            r#"{"type":"struct","fields":[{"type":"int7","field":"x"}]}"#,
            r#"["int","long"]"#,
            r#""x""#,
            r#"{"schema":null}"#,
        ] {
            let error = DeclaredSchema::from_json(bad).unwrap_err();
            assert!(!error.can_go_on(), "{bad}");
        }
        let nested =
            format!("{}{}{}", r#"{"type":"array","items":"#.repeat(100), r#"{"type":"int32"}"#, "}".repeat(100));
        let row = format!(r#"{{"type":"struct","fields":[{}]}}"#, nested.replacen('{', r#"{"field":"x","#, 1));
        assert!(DeclaredSchema::from_json(&row).unwrap_err().to_string().contains("deeply"));
    }

    #[test]
    fn decimals_that_fit_no_column_become_text() {
        let with = |parameters: &str| {
            let schema: Connect = parse(&format!(
                r#"{{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{parameters}}}"#
            ))
            .unwrap();
            reading(&schema, "x", 9).unwrap()
        };
        assert_eq!(
            with(r#"{"scale":"38","connect.decimal.precision":"38"}"#),
            Reading::Decimal { precision: 38, scale: 38 }
        );
        assert_eq!(with(r#"{"scale":"2"}"#), Reading::DecimalText { scale: 2, trim: false });
        assert_eq!(
            with(r#"{"scale":"30","connect.decimal.precision":"65"}"#),
            Reading::DecimalText { scale: 30, trim: false }
        );
        assert_eq!(
            with(r#"{"scale":"2046","connect.decimal.precision":"5"}"#),
            Reading::DecimalText { scale: 2046, trim: true }
        );
        assert_eq!(
            with(r#"{"scale":"-2","connect.decimal.precision":"5"}"#),
            Reading::DecimalText { scale: -2, trim: false }
        );
    }

    #[test]
    fn control_messages_are_told_by_their_schema() {
        for (name, reason) in [
            ("io.debezium.connector.mysql.SchemaChangeValue", SkipReason::SchemaChange),
            ("io.debezium.connector.common.Heartbeat", SkipReason::Heartbeat),
            ("io.debezium.connector.common.TransactionMetadataValue", SkipReason::Transaction),
            ("io.debezium.connector.common.Notification", SkipReason::Notification),
        ] {
            let schema = format!(r#"{{"type":"struct","fields":[],"name":"{name}"}}"#);
            assert_eq!(ValueSchema::from_inline(&schema, Wrapping::Envelope).unwrap(), ValueSchema::Control(reason));
        }
        assert_eq!(ValueSchema::from_inline("null", Wrapping::Envelope).unwrap(), ValueSchema::Unknown);
    }
}
