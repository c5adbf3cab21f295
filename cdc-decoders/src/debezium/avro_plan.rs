//! What an Avro schema says of the keys and values that follow it: learnt once an id, never looked at again.
//!
//! Not here: the messages ([`super::avro`]), and how records go into the columns ([`super::record`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::metadata::Names;
use super::plan::FieldPlan;
use super::record::RecordPlan;
use super::schema::control;
use super::source::{self, Source};
use crate::avro::{Cursor, Field, ScalarStep, Schema, Shape, TypeId, Wire};
use crate::decoder::SkipReason;
use crate::error::DecodeError;
use crate::fault::Scanned;
use crate::wire::SchemaId;

/// A type that may be null at the top.
#[derive(Debug)]
pub(crate) struct Top<T> {
    null: Option<usize>,
    pub(crate) plan: T,
}

impl<T> Top<T> {
    /// Whether a value is there; nothing may follow if not.
    #[inline]
    pub(crate) fn is_there(&self, cursor: &mut Cursor<'_>) -> Scanned<bool> {
        match self.null {
            Some(null) if cursor.is_null(null)? => cursor.end().map(|()| false),
            _ => Ok(true),
        }
    }
}

/// What a schema says of values.
#[derive(Debug)]
pub(crate) enum ValuePlan {
    /// Debezium's envelope.
    Envelope(EnvelopePlan),
    /// A flattened row.
    Row(Arc<RecordPlan>),
    /// No changes.
    Control(SkipReason, Wire),
    /// None of Debezium's own.
    Unknown,
}

/// How envelopes are read.
#[derive(Debug)]
pub(crate) struct EnvelopePlan {
    pub(crate) members: Vec<Member>,
    pub(crate) before: Option<Arc<RecordPlan>>,
    /// `None`: an envelope without rows, as that of a message in the source's log.
    pub(crate) after: Option<Arc<RecordPlan>>,
    /// `before` and `after` are of one type.
    pub(crate) alike: bool,
}

/// A member of the envelope.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) kind: MemberKind,
    null: Option<usize>,
    /// To pass over it where it is not null.
    pub(crate) wire: Wire,
}

impl Member {
    /// Whether it is not null.
    #[inline]
    pub(crate) fn is_there(&self, cursor: &mut Cursor<'_>) -> Scanned<bool> {
        match self.null {
            Some(null) => cursor.is_null(null).map(|null| !null),
            None => Ok(true),
        }
    }
}

/// Which member it is.
#[derive(Debug)]
pub(crate) enum MemberKind {
    Before,
    After,
    Source(SourcePlan),
    Op,
    Other,
}

/// How source blocks are read: of each field the number, where its value is wanted, else how it is passed over.
#[derive(Debug)]
pub(crate) struct SourcePlan {
    fields: Vec<SourceField>,
}

#[derive(Debug)]
enum SourceField {
    Wanted(u8, ScalarStep),
    Skipped(Wire),
}

impl SourcePlan {
    fn new(schema: &Schema, id: TypeId) -> Result<Self, DecodeError> {
        let Shape::Record(fields) = &schema.get(id).shape else {
            return Err(DecodeError::schema("source", "want a record"));
        };
        let field = |field: &Field| {
            Ok(match source::member_number(&field.name).filter(|number| source::is_wanted(*number)) {
                Some(number) => SourceField::Wanted(number, ScalarStep::new(schema, field.kind)?),
                None => SourceField::Skipped(Wire::of(schema, field.kind)?),
            })
        };
        Ok(Self { fields: fields.iter().map(field).collect::<Result<_, _>>()? })
    }

    /// Reads a block.
    pub(crate) fn read<'a>(&self, cursor: &mut Cursor<'a>, source: &mut Source<'a>) -> Scanned<()> {
        for field in &self.fields {
            match field {
                SourceField::Wanted(number, step) => source.read_scalar(*number, step.read(cursor)?),
                SourceField::Skipped(wire) => wire.skip(cursor)?,
            }
        }
        Ok(())
    }
}

impl EnvelopePlan {
    /// The plan of a record; `None` where it is no envelope.
    fn new(schema: &Schema, record: TypeId, placeholder: &str) -> Result<Option<Self>, DecodeError> {
        let Shape::Record(fields) = &schema.get(record).shape else { return Ok(None) };
        let inner = |name: &str| schema.field(record, name).map(|kind| schema.optional(kind).0);
        let is = |id: TypeId, wanted: fn(&Shape) -> bool| wanted(&schema.get(id).shape);
        let (Some(source), Some(op)) = (inner("source"), inner("op")) else { return Ok(None) };
        if !is(source, |shape| matches!(shape, Shape::Record(_))) || !is(op, |shape| *shape == Shape::Text) {
            return Ok(None);
        }
        let members = fields.iter().map(|field| {
            let (id, null) = schema.optional(field.kind);
            let kind = match field.name.as_str() {
                "before" => MemberKind::Before,
                "after" => MemberKind::After,
                "source" => MemberKind::Source(SourcePlan::new(schema, id)?),
                "op" => MemberKind::Op,
                _ => MemberKind::Other,
            };
            Ok(Member { kind, null, wire: Wire::of(schema, id)? })
        });
        let members = members.collect::<Result<_, DecodeError>>()?;
        let row = |id: TypeId| RecordPlan::new(schema, id, placeholder, |_| None).map(Arc::new);
        let (before, after) = (inner("before"), inner("after"));
        let alike = before == after;
        let after = after.map(row).transpose()?;
        let before = if alike { after.clone() } else { before.map(row).transpose()? };
        Ok(Some(Self { members, before, after, alike }))
    }

    /// What stands as the operation, told without decoding the rest.
    pub(crate) fn op<'a>(&self, mut cursor: Cursor<'a>) -> Option<&'a str> {
        for member in &self.members {
            let there = member.is_there(&mut cursor).ok()?;
            match member.kind {
                MemberKind::Op if there => return cursor.text().ok(),
                _ if there => member.wire.skip(&mut cursor).ok()?,
                _ => {}
            }
        }
        None
    }
}

/// What a schema says of keys.
#[derive(Debug)]
pub(crate) struct KeyPlan {
    pub(crate) wire: Wire,
    /// `None`: no record, and so no columns.
    pub(crate) record: Option<RecordPlan>,
    /// The record's fields, as the source names them.
    pub(crate) names: Vec<String>,
}

/// A schema that was learnt.
#[derive(Debug)]
pub(crate) struct Learnt {
    value: Result<Top<ValuePlan>, DecodeError>,
    key: Result<Top<KeyPlan>, DecodeError>,
}

impl Learnt {
    /// Reads a schema's text.
    pub(crate) fn new(text: &str, placeholder: &str, flat: Option<&Names>) -> Self {
        match Schema::parse(text) {
            Ok(schema) => Self { value: value_plan(&schema, placeholder, flat), key: key_plan(&schema, placeholder) },
            Err(error) => Self { value: Err(error.clone()), key: Err(error) },
        }
    }

    /// What it says of values; an error where none can be decoded by it.
    pub(crate) fn value(&self) -> Result<&Top<ValuePlan>, DecodeError> {
        self.value.as_ref().map_err(Clone::clone)
    }

    /// What it says of keys; an error where none can be decoded by it.
    pub(crate) fn key(&self) -> Result<&Top<KeyPlan>, DecodeError> {
        self.key.as_ref().map_err(Clone::clone)
    }
}

fn value_plan(schema: &Schema, placeholder: &str, flat: Option<&Names>) -> Result<Top<ValuePlan>, DecodeError> {
    let (root, null) = schema.optional(schema.root());
    let declared = schema.get(root);
    let name = declared.meaning.connect_name.as_deref().or(declared.name.as_deref());
    let plan = match name.and_then(control) {
        Some(reason) => ValuePlan::Control(reason, Wire::of(schema, root)?),
        None => match (EnvelopePlan::new(schema, root, placeholder)?, flat) {
            (Some(plan), _) => ValuePlan::Envelope(plan),
            (None, Some(names)) if matches!(declared.shape, Shape::Record(_)) => {
                let aside = |name: &str| names.get(name).copied();
                ValuePlan::Row(Arc::new(RecordPlan::new(schema, root, placeholder, aside)?))
            }
            _ => ValuePlan::Unknown,
        },
    };
    Ok(Top { null, plan })
}

fn key_plan(schema: &Schema, placeholder: &str) -> Result<Top<KeyPlan>, DecodeError> {
    let (root, null) = schema.optional(schema.root());
    let wire = Wire::of(schema, root)?;
    let is_record = matches!(schema.get(root).shape, Shape::Record(_));
    let record = is_record.then(|| RecordPlan::new(schema, root, placeholder, |_| None)).transpose()?;
    let fields = record.iter().flat_map(RecordPlan::fields);
    let names = fields.map(|field| field.source_name.clone()).collect();
    Ok(Top { null, plan: KeyPlan { wire, record, names } })
}

/// The schemas that a topic's messages follow.
#[derive(Debug, Default)]
pub(crate) struct AvroSchemas {
    /// That of the last envelope.
    pub(crate) value: Option<Arc<Learnt>>,
    /// The columns of the rows, as it has them.
    pub(crate) fields: Vec<FieldPlan>,
    /// That of the last key.
    pub(crate) key: Option<Arc<Learnt>>,
}

/// The schemas that were learnt, by id.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    placeholder: String,
    /// Values are rows, and these of their fields no columns.
    flat: Option<Names>,
    /// Ordered: of the few that most topics have, one is found faster than it is hashed.
    known: BTreeMap<SchemaId, Arc<Learnt>>,
}

impl Schemas {
    /// None yet.
    pub(crate) fn new(placeholder: String, flat: Option<Names>) -> Self {
        Self { placeholder, flat, ..Self::default() }
    }

    /// Learns a schema. One that is refused is known as such: its messages are errors.
    pub(crate) fn learn(&mut self, id: SchemaId, text: &str) -> Result<(), DecodeError> {
        let learnt = Learnt::new(text, &self.placeholder, self.flat.as_ref());
        // As a value: what is a key's schema says nothing of values.
        let checked = learnt.value().map(drop);
        self.known.insert(id, Arc::new(learnt));
        checked
    }

    /// The schema of an id, if it is known.
    #[inline]
    pub(crate) fn get(&self, id: SchemaId) -> Option<&Arc<Learnt>> {
        self.known.get(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debezium::source::Order;

    #[test]
    fn what_a_schema_is_of_is_told_by_its_name_and_shape() {
        let record = |name: &str, fields: &str| {
            format!(r#"{{"type":"record","name":"{name}","connect.name":"{name}","fields":[{fields}]}}"#)
        };
        let source = r#"{"name":"source","type":{"type":"record","name":"S","fields":[{"name":"lsn","type":"long"}]}}"#;
        let op = r#"{"name":"op","type":"string"}"#;
        let after =
            r#"{"name":"after","type":["null",{"type":"record","name":"V","fields":[{"name":"id","type":"int"}]}]}"#;
        let kind = |text: &str| match Learnt::new(text, "x", None).value().map(|top| match &top.plan {
            ValuePlan::Envelope(plan) => {
                if plan.after.is_some() {
                    "rows"
                } else {
                    "no rows"
                }
            }
            ValuePlan::Row(_) => "row",
            ValuePlan::Control(reason, _) => reason.as_str(),
            ValuePlan::Unknown => "unknown",
        }) {
            Ok(kind) => kind.to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(kind(&record("t.Envelope", &[after, source, op].join(","))), "rows");
        assert_eq!(kind(&format!("[\"null\",{}]", record("t.Envelope", &[after, source, op].join(",")))), "rows");
        assert_eq!(kind(&record("io.debezium.connector.postgresql.MessageValue", &[source, op].join(","))), "no rows");
        assert_eq!(kind(&record("t.Value", op)), "unknown");
        assert_eq!(kind(r#""string""#), "unknown");
        for (name, reason) in [
            ("io.debezium.connector.mariadb.SchemaChangeValue", "schema_change"),
            ("io.debezium.connector.common.Heartbeat", "heartbeat"),
            ("io.debezium.connector.common.TransactionMetadataValue", "transaction"),
            ("io.debezium.connector.common.Notification", "notification"),
        ] {
            assert_eq!(kind(&record(name, op)), reason);
        }
        let twice = after.replace(r#"{"name":"id""#, r#"{"name":"ID","type":"int"},{"name":"id""#);
        assert!(kind(&record("t.Envelope", &[&twice, source, op].join(","))).contains("but for case"));
    }

    #[test]
    fn a_refused_schema_is_known_as_such() {
        let mut schemas = Schemas::default();
        let id = SchemaId::Id(7);
        assert!(schemas.get(id).is_none());
        assert!(!schemas.learn(id, "{").unwrap_err().can_go_on());
        let learnt = schemas.get(id).unwrap();
        assert!(learnt.value().is_err() && learnt.key().is_err());
        schemas.learn(id, r#""string""#).unwrap();
        assert!(schemas.get(id).unwrap().key().is_ok());
    }

    #[test]
    fn scalars_of_a_source_block_are_put_by_name() {
        let text = r#"{"type":"record","name":"S","fields":[{"name":"connector","type":"string"},{"name":"ts_ms","type":"long"},
            {"name":"table","type":"string"},{"name":"sequence","type":["null","string"]},{"name":"lsn","type":["long","null"]}]}"#;
        let schema = Schema::parse(text).unwrap();
        let plan = SourcePlan::new(&schema, schema.root()).unwrap();
        let body = b"\x14postgresql\x0a\x02t\x02\x14[\"1\",\"34\"]\0\x44";
        let mut cursor = Cursor::new(body, 0);
        let mut source = Source::default();
        plan.read(&mut cursor, &mut source).unwrap();
        cursor.end().unwrap();
        assert_eq!((source.order(), source.ts_ms), (Ok(Some(Order::Long(34))), Some(5)));
        assert_eq!(source.stream_position().unwrap().0, [1, 34, 0]);
    }
}
