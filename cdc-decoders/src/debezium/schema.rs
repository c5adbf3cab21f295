//! Connect schemas (as Debezium writes them inline) and Avro schemas (as a registry holds them) to the plan of a row.
//!
//! Both say the same thing in two notations; Avro's is turned into Connect's ([`Connect`]) first. Parsed once a schema, never a
//! message. The meaning of the semantic names follows Debezium's `io.debezium.time`, `io.debezium.data` and Kafka Connect's
//! `org.apache.kafka.connect.data`.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::plan::{FieldPlan, Reading, Unit, check_names};
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
    /// Reads the `schema` member of a message; `null` where the converter had none. `flat`: it is the row's own, no envelope's.
    pub(crate) fn from_inline(text: &str, flat: bool) -> Result<Self, DecodeError> {
        if text.trim() == "null" {
            return Ok(Self::Unknown);
        }
        let schema: Connect = parse(text)?;
        let name = schema.name.as_deref().unwrap_or_default();
        let own = name.strip_prefix("io.debezium.").unwrap_or_default();
        Ok(match own.rsplit('.').next().unwrap_or_default() {
            "SchemaChangeValue" => Self::Control(SkipReason::SchemaChange),
            "TransactionMetadataValue" => Self::Control(SkipReason::Transaction),
            "Heartbeat" => Self::Control(SkipReason::Heartbeat),
            "Notification" => Self::Control(SkipReason::Notification),
            _ => match schema.after() {
                Some(_) if flat => return Err(not_flattened()),
                Some(after) if after.kind == "string" => Self::Documents,
                Some(after) => Self::Rows(row_plan(after)?),
                None if flat => Self::Rows(row_plan(&schema)?),
                None => Self::Unknown,
            },
        })
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

    fn named(kind: &str, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::of(kind) }
    }

    /// The row of an envelope; `None` where this is no envelope.
    fn after(&self) -> Option<&Self> {
        let member = |name: &str| self.fields.iter().find(|f| f.field.as_deref() == Some(name));
        (self.kind == "struct" && member("source").is_some() && member("op").is_some()).then_some(())?;
        member("after")
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

/// An Avro schema, in any of its notations.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Avro {
    Name(String),
    Union(Vec<Avro>),
    Object(Box<AvroObject>),
}

#[derive(Debug, Clone, Deserialize)]
struct AvroObject {
    #[serde(rename = "type")]
    kind: Avro,
    name: Option<String>,
    namespace: Option<String>,
    #[serde(default)]
    fields: Vec<AvroField>,
    items: Option<Avro>,
    values: Option<Avro>,
    #[serde(rename = "logicalType")]
    logical_type: Option<String>,
    precision: Option<i32>,
    scale: Option<i32>,
    #[serde(rename = "connect.name")]
    connect_name: Option<String>,
    #[serde(rename = "connect.parameters")]
    connect_parameters: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
struct AvroField {
    name: String,
    #[serde(rename = "type")]
    kind: Avro,
}

fn avro_to_connect(text: &str) -> Result<Connect, DecodeError> {
    let avro: Avro = parse(text)?;
    AvroNames::default().connect(&avro, "", MAX_DEPTH)
}

/// The named types seen so far, by full name: Avro writes a type once and refers to it afterwards.
#[derive(Default)]
struct AvroNames {
    seen: HashMap<String, Connect>,
}

impl AvroNames {
    fn connect(&mut self, avro: &Avro, namespace: &str, depth: u32) -> Result<Connect, DecodeError> {
        let bad = |reason: String| DecodeError::schema("(Avro)", reason);
        let depth = depth.checked_sub(1).ok_or_else(|| bad("nested too deeply".to_owned()))?;
        match avro {
            Avro::Name(name) => self.by_name(name, namespace).ok_or_else(|| bad(format!("no such type: `{name}`"))),
            Avro::Union(branches) => {
                let mut others = branches.iter().filter(|b| !matches!(b, Avro::Name(n) if n == "null"));
                match (others.next(), others.next()) {
                    (Some(only), None) => self.connect(only, namespace, depth),
                    _ => Err(bad("a union of several types".to_owned())),
                }
            }
            Avro::Object(object) => self.object(object, namespace, depth),
        }
    }

    fn by_name(&self, name: &str, namespace: &str) -> Option<Connect> {
        let kind = match name {
            "int" => "int32",
            "long" => "int64",
            "float" | "double" | "string" | "bytes" | "boolean" => name,
            _ => return self.seen.get(&full_name(name, namespace)).or_else(|| self.seen.get(name)).cloned(),
        };
        Some(Connect::of(kind))
    }

    fn object(&mut self, object: &AvroObject, namespace: &str, depth: u32) -> Result<Connect, DecodeError> {
        let kind = match &object.kind {
            Avro::Name(kind) => kind.as_str(),
            nested => return self.connect(nested, namespace, depth),
        };
        let name = object.name.as_deref().unwrap_or_default();
        let mut connect = match kind {
            "record" => return self.record(object, name, namespace, depth),
            "array" => Connect { items: self.inner(object.items.as_ref(), namespace, depth)?, ..Connect::of("array") },
            "map" => Connect { values: self.inner(object.values.as_ref(), namespace, depth)?, ..Connect::of("map") },
            "enum" => Connect::of("string"),
            "fixed" => Connect::of("bytes"),
            other => self.connect(&Avro::Name(other.to_owned()), namespace, depth)?,
        };
        connect = with_meaning(connect, object);
        if matches!(kind, "enum" | "fixed") {
            let namespace = object.namespace.as_deref().unwrap_or(namespace);
            self.seen.insert(full_name(name, namespace), connect.clone());
        }
        Ok(connect)
    }

    fn record(&mut self, object: &AvroObject, name: &str, namespace: &str, depth: u32) -> Result<Connect, DecodeError> {
        let namespace = object.namespace.as_deref().or_else(|| Some(name.rsplit_once('.')?.0)).unwrap_or(namespace);
        let mut record = Connect { name: object.connect_name.clone(), ..Connect::of("struct") };
        for field in &object.fields {
            let schema = self.connect(&field.kind, namespace, depth)?;
            record.fields.push(Connect { field: Some(field.name.clone()), ..schema });
        }
        self.seen.insert(full_name(name, namespace), record.clone());
        Ok(record)
    }

    fn inner(&mut self, avro: Option<&Avro>, namespace: &str, depth: u32) -> Result<Option<Box<Connect>>, DecodeError> {
        avro.map(|avro| self.connect(avro, namespace, depth).map(Box::new)).transpose()
    }
}

/// Adds what `connect.name` says; without it, what Avro's own logical types say in Connect's words.
fn with_meaning(connect: Connect, object: &AvroObject) -> Connect {
    if let Some(name) = &object.connect_name {
        return Connect { name: Some(name.clone()), parameters: object.connect_parameters.clone(), ..connect };
    }
    match object.logical_type.as_deref() {
        Some("decimal") => {
            let mut parameters = BTreeMap::from([("scale".to_owned(), object.scale.unwrap_or(0).to_string())]);
            parameters.extend(object.precision.map(|p| ("connect.decimal.precision".to_owned(), p.to_string())));
            Connect { parameters: Some(parameters), ..Connect::named("bytes", "org.apache.kafka.connect.data.Decimal") }
        }
        Some("date") => Connect::named("int32", "io.debezium.time.Date"),
        Some("time-millis") => Connect::named("int32", "io.debezium.time.Time"),
        Some("time-micros") => Connect::named("int64", "io.debezium.time.MicroTime"),
        Some("timestamp-millis" | "local-timestamp-millis") => Connect::named("int64", "io.debezium.time.Timestamp"),
        Some("timestamp-micros" | "local-timestamp-micros") => {
            Connect::named("int64", "io.debezium.time.MicroTimestamp")
        }
        Some("timestamp-nanos" | "local-timestamp-nanos") => Connect::named("int64", "io.debezium.time.NanoTimestamp"),
        _ => connect,
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
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
            assert_eq!(ValueSchema::from_inline(&schema, false).unwrap(), ValueSchema::Control(reason));
        }
        assert_eq!(ValueSchema::from_inline("null", false).unwrap(), ValueSchema::Unknown);
    }
}
