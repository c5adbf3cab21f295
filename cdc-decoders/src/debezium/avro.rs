//! Debezium's envelope in Avro to batches of changes: [`DebeziumAvro`].
//!
//! The envelope is read once, by the plan of its schema, and `after` goes straight into the columns before `op` is known: what turns
//! out to be no such row is taken back. A schema that is not known is asked for.
//!
//! Not here: flattened events, other formats of the same envelope, where schemas come from.

use std::sync::Arc;

use hudi_core::change::ChangeBatch;

use super::avro_plan::{EnvelopePlan, KeyPlan, Learnt, MemberKind, Schemas, Top, ValuePlan};
use super::buffer::{Buffer, left_to_the_buffer};
use super::envelope;
use super::event::{Event, Read, in_value, wanted};
use super::image::{Held, RowImage, Take};
use super::json::{no_envelope, operation};
use super::key::KeyRead;
use super::metadata::Names;
use super::record::{Record, RecordPlan, Whose};
use super::rows::{Absent, Rows};
use super::settings::{AvroSettings, DebeziumBuilder, InAvro, KeyFormat, Settings, sealed};
use super::source::Source;
use super::topic::Topic;
use super::unavailable::DEFAULT_PLACEHOLDER;
use crate::avro::Cursor;
use crate::decoder::{Decoded, Decoder, Message, SkipReason};
use crate::error::{DecodeError, Part};
use crate::fault::{Fault, Scanned};
use crate::scan::Scan;
use crate::wire::{Framed, Framing, SchemaId, begins_as_frame, is_named};

/// The ids under which the user's own schemas are kept, for messages without frame.
const OWN_KEY: SchemaId = SchemaId::GlobalId(u64::MAX);
const OWN_VALUE: SchemaId = SchemaId::GlobalId(u64::MAX - 1);

/// Settings of a [`DebeziumAvro`].
pub type DebeziumAvroBuilder = DebeziumBuilder<DebeziumAvro>;

impl sealed::Sealed for DebeziumAvro {}
impl InAvro for DebeziumAvro {}

impl DebeziumBuilder<DebeziumAvro> {
    /// The decoder.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where the schemas of messages without frame are none, or are missing.
    pub fn build(self) -> Result<DebeziumAvro, DecodeError> {
        let registered = Registered::new(&self.settings, None)?;
        Ok(DebeziumAvro { buffer: Buffer::new(self.settings)?, registered })
    }
}

/// Decodes Debezium's envelope in Avro, as [`DebeziumJson`](super::DebeziumJson) does in JSON: the same rows.
///
/// * The id before a message (or in its headers: [`Framing`]) names its schema. One that is not known is asked for by
///   [`Decoded::NeedsSchema`]; [`learn`](Decoder::learn) takes its text, references to other subjects written out.
/// * A new id whose rows have the same columns is no new schema. Other columns: [`Decoded::FlushFirst`] where rows are buffered.
/// * Types come from `connect.name`, else from Avro's logical types. A union of several types and a decimal that no column can hold
///   become text.
/// * Key and value are read independently ([`KeyFormat`]).
/// * NULL in a column that has a default arrives as the default where the converter writes it so; that cannot be told here.
///
/// ```
/// use cdc_decoders::debezium::DebeziumAvro;
/// use cdc_decoders::{Decoded, Decoder, Message, SchemaId};
///
/// # fn main() -> Result<(), cdc_decoders::DecodeError> {
/// let mut decoder = DebeziumAvro::builder().build()?;
/// let value = b"\0\0\0\0\x07\0\x02\x02\x14postgresql\x08shop\x44\x02c";
/// let (topic, key) = ("shop.public.customers", Some(&b"\0\0\0\0\x08\x02"[..]));
/// let message = Message { topic, partition: 0, offset: 7, timestamp_ms: None, key, value: Some(value), headers: &[] };
/// assert_eq!(decoder.decode(&message)?, Decoded::NeedsSchema(SchemaId::Id(7)));
/// decoder.learn(SchemaId::Id(7), r#"{"type":"record","name":"shop.Envelope","fields":[
///     {"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"int"}]}]},
///     {"name":"after","type":["null","Value"]},
///     {"name":"source","type":{"type":"record","name":"Source","fields":[
///         {"name":"connector","type":"string"},{"name":"name","type":"string"},{"name":"lsn","type":"long"}]}},
///     {"name":"op","type":"string"}]}"#)?;
/// let key = r#"{"type":"record","name":"shop.Key","fields":[{"name":"id","type":"int"}]}"#;
/// assert_eq!(decoder.decode(&message)?, Decoded::NeedsSchema(SchemaId::Id(8)));
/// decoder.learn(SchemaId::Id(8), key)?;
/// assert_eq!(decoder.decode(&message)?, Decoded::Added { rows: 1 });
/// let batch = decoder.flush()?.expect("one row");
/// assert_eq!((batch.rows.num_columns(), batch.key_columns), (1, vec!["id".to_owned()]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DebeziumAvro {
    buffer: Buffer,
    registered: Registered,
}

impl DebeziumAvro {
    /// The settings of a new decoder.
    #[must_use]
    pub fn builder() -> DebeziumAvroBuilder {
        DebeziumBuilder::default()
    }
}

impl Decoder for DebeziumAvro {
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let Some(value) = message.value else { return Ok(Decoded::Skipped(SkipReason::Tombstone)) };
        let opened = match self.registered.open(&self.buffer.settings.avro, message, value)? {
            Ok(opened) => opened,
            Err(unknown) => return Ok(Decoded::NeedsSchema(unknown)),
        };
        let control = || opened.skipped().ok()?;
        self.buffer.decode(message, control, |buffer| buffer.take_record(message, &opened))
    }

    /// A text that is no schema is remembered as such: messages that follow it are errors from then on.
    fn learn(&mut self, id: SchemaId, schema: &str) -> Result<(), DecodeError> {
        self.registered.learn(id, schema)
    }

    left_to_the_buffer!();
}

/// The schemas that were learnt, and messages whose schemas are among them.
#[derive(Debug)]
pub(crate) struct Registered {
    schemas: Schemas,
}

/// A message without its frames, and the schemas that it was written with.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    value: Framed<'a>,
    pub(crate) schema: &'a Arc<Learnt>,
    pub(crate) key: OpenedKey<'a>,
}

/// The key of a message.
#[derive(Debug)]
pub(crate) enum OpenedKey<'a> {
    /// Nothing, or nothing that holds columns.
    None,
    Json(&'a [u8]),
    Avro(Framed<'a>, &'a Arc<Learnt>),
}

impl Registered {
    /// None but the user's own, if there are to be any. `flat`: values are rows, and these of their fields no columns.
    pub(crate) fn new(settings: &Settings, flat: Option<Names>) -> Result<Self, DecodeError> {
        let placeholder = settings.placeholder.clone().unwrap_or_else(|| DEFAULT_PLACEHOLDER.to_owned());
        let mut registered = Self { schemas: Schemas::new(placeholder, flat) };
        registered.learn_own(&settings.avro)?;
        Ok(registered)
    }

    /// Learns a schema.
    pub(crate) fn learn(&mut self, id: SchemaId, schema: &str) -> Result<(), DecodeError> {
        self.schemas.learn(id, schema)
    }

    fn learn_own(&mut self, settings: &AvroSettings) -> Result<(), DecodeError> {
        if settings.framing != Framing::None {
            return Ok(());
        }
        let missing = || DecodeError::schema("(Avro)", "messages without frame need schemas of the user's");
        let (value, key) = settings.unframed.as_ref().ok_or_else(missing)?;
        self.schemas.learn(OWN_VALUE, value)?;
        match key {
            Some(key) => self.schemas.learn(OWN_KEY, key),
            None if settings.key_format == KeyFormat::Avro => Err(missing()),
            None => Ok(()),
        }
    }

    /// Takes the frames off a message. The inner error is the id of a schema that is not known.
    #[inline]
    pub(crate) fn open<'a>(
        &'a self,
        settings: &AvroSettings,
        message: &Message<'a>,
        value: &'a [u8],
    ) -> Result<Result<Opened<'a>, SchemaId>, DecodeError> {
        let (value, schema) = match self.framed(settings, message, Part::Value, value)? {
            Ok(known) => known,
            Err(unknown) => return Ok(Err(unknown)),
        };
        schema.value()?;
        let key = self.open_key_of(settings, message)?;
        Ok(key.map(|key| Opened { value, schema, key }))
    }

    /// The same of the message's key alone.
    #[inline]
    pub(crate) fn open_key_of<'a>(
        &'a self,
        settings: &AvroSettings,
        message: &Message<'a>,
    ) -> Result<Result<OpenedKey<'a>, SchemaId>, DecodeError> {
        match message.key {
            Some(key) => self.open_key(settings, message, key),
            None => Ok(Ok(OpenedKey::None)),
        }
    }

    #[inline]
    fn open_key<'a>(
        &'a self,
        settings: &AvroSettings,
        message: &Message<'a>,
        key: &'a [u8],
    ) -> Result<Result<OpenedKey<'a>, SchemaId>, DecodeError> {
        let is_avro = match settings.key_format {
            KeyFormat::Auto if settings.framing == Framing::None => self.schemas.get(OWN_KEY).is_some(),
            KeyFormat::Auto => begins_as_frame(key) || is_named(Part::Key, |name| message.header(name)),
            KeyFormat::Avro => true,
            KeyFormat::Json => false,
            KeyFormat::Opaque => return Ok(Ok(OpenedKey::None)),
        };
        if !is_avro {
            return Ok(Ok(OpenedKey::Json(key)));
        }
        Ok(self.framed(settings, message, Part::Key, key)?.map(|(key, schema)| OpenedKey::Avro(key, schema)))
    }

    #[inline]
    #[allow(clippy::type_complexity)]
    fn framed<'a>(
        &'a self,
        settings: &AvroSettings,
        message: &Message<'_>,
        part: Part,
        bytes: &'a [u8],
    ) -> Result<Result<(Framed<'a>, &'a Arc<Learnt>), SchemaId>, DecodeError> {
        let framed = settings.framing.open(bytes, part, |name| message.header(name))?;
        let own = if part == Part::Key { OWN_KEY } else { OWN_VALUE };
        let id = framed.id.unwrap_or(own);
        Ok(self.schemas.get(id).map(|schema| (framed, schema)).ok_or(id))
    }
}

impl Opened<'_> {
    /// The value, from its first byte on.
    pub(crate) fn body(&self) -> Cursor<'_> {
        Cursor::new(&self.value.body, self.value.frame_bytes)
    }

    /// Why the value holds no change, if its schema or its lack says so.
    pub(crate) fn skipped(&self) -> Result<Option<SkipReason>, DecodeError> {
        let (top, mut cursor) = (self.schema.value()?, self.body());
        if !top.is_there(&mut cursor).map_err(in_value)? {
            return Ok(Some(SkipReason::Tombstone));
        }
        let ValuePlan::Control(reason, wire) = &top.plan else { return Ok(None) };
        wire.skip(&mut cursor).and_then(|()| cursor.end()).map_err(in_value)?;
        Ok(Some(*reason))
    }
}

/// A key that names a row, in its syntax.
#[derive(Debug, Clone)]
pub(crate) enum KeyImage<'a> {
    Json(Scan<'a>),
    Avro(Record<'a>),
}

impl RowImage for KeyImage<'_> {
    fn raw(&self) -> &[u8] {
        match self {
            Self::Json(object) => object.raw(),
            Self::Avro(record) => record.raw(),
        }
    }

    fn memory_bytes(&self) -> usize {
        self.raw().len()
    }

    fn read(&self, rows: &mut Rows, take: Take<'_>) -> Result<(), DecodeError> {
        match self {
            Self::Json(object) => RowImage::read(object, rows, take),
            Self::Avro(record) => record.read(rows, take),
        }
    }

    fn held(&self, column: &str) -> Scanned<Option<Held<'_>>> {
        match self {
            Self::Json(object) => object.held(column),
            Self::Avro(record) => record.held(column),
        }
    }

    fn read_column(&self, column: &str, rows: &mut Rows, take: Take<'_>) -> Result<bool, DecodeError> {
        match self {
            Self::Json(object) => object.read_column(column, rows, take),
            Self::Avro(record) => record.read_column(column, rows, take),
        }
    }
}

impl Topic {
    /// Makes the columns fit a schema; false where they hold rows of another one.
    pub(crate) fn fits(&mut self, schema: &Arc<Learnt>, row: Option<&Arc<RecordPlan>>) -> Result<bool, DecodeError> {
        let Some(after) = row else { return Ok(true) };
        if self.avro.value.as_ref().is_some_and(|last| Arc::ptr_eq(last, schema)) {
            return Ok(true);
        }
        if self.avro.value.is_none() || self.avro.fields != after.fields() {
            if self.rows.len() > 0 {
                return Ok(false);
            }
            self.replace_rows(Rows::from_plan(after.fields())?);
            self.avro.fields = after.fields().to_vec();
        }
        self.avro.value = Some(Arc::clone(schema));
        Ok(true)
    }

    /// Reads a key, as [`Key::read`](super::key::Key::read) does.
    #[inline]
    fn read_opened_key<'k>(
        &mut self,
        key: &'k OpenedKey<'k>,
        users: Option<&[String]>,
        fixed: bool,
        is_of_no_row: impl FnOnce() -> bool,
    ) -> Result<KeyRead<KeyImage<'k>>, DecodeError> {
        if let OpenedKey::Avro(framed, schema) = key
            && let Some((body, plan)) = record_of_key(framed, schema.key()?, users.is_some())?
        {
            return Ok(self.read_record_of_key(body, plan, schema, users, fixed));
        }
        self.avro.key = None;
        let json = if let OpenedKey::Json(bytes) = key { Some(*bytes) } else { None };
        Ok(self.key.read(json, users, fixed, is_of_no_row)?.map(KeyImage::Json))
    }

    #[inline]
    fn read_record_of_key<'k>(
        &mut self,
        body: Cursor<'k>,
        plan: &'k KeyPlan,
        schema: &Arc<Learnt>,
        users: Option<&[String]>,
        fixed: bool,
    ) -> KeyRead<KeyImage<'k>> {
        let image = plan.record.as_ref().map(|plan| KeyImage::Avro(Record { body, plan, whose: Whose::Another }));
        if self.avro.key.as_ref().is_some_and(|last| Arc::ptr_eq(last, schema)) {
            return KeyRead::Same(image);
        }
        let read = match self.key.named(&plan.names, users, fixed) {
            KeyRead::Same(_) => KeyRead::Same(image),
            KeyRead::Changed(_) => KeyRead::Changed(image),
            KeyRead::FlushFirst => return KeyRead::FlushFirst,
        };
        self.avro.key = Some(Arc::clone(schema));
        read
    }
}

/// The record of a key with its plan; `None` where it holds no columns, which only does if the user names them, or is null.
fn record_of_key<'k>(
    framed: &'k Framed<'_>,
    top: &'k Top<KeyPlan>,
    named_by_user: bool,
) -> Result<Option<(Cursor<'k>, &'k KeyPlan)>, DecodeError> {
    let in_key = |fault: Fault| fault.in_part(Part::Key);
    let mut cursor = Cursor::new(&framed.body, framed.frame_bytes);
    if !top.is_there(&mut cursor).map_err(in_key)? {
        return Ok(None);
    }
    let from = cursor.at();
    top.plan.wire.skip(&mut cursor).and_then(|()| cursor.end()).map_err(in_key)?;
    match top.plan.record {
        Some(_) => Ok(Some((cursor.part(from), &top.plan))),
        None if named_by_user => Ok(None),
        None => Err(in_key(cursor.syntax("want a record, or null"))),
    }
}

/// The envelope's members; `after` is read already, if it could be.
#[derive(Default)]
struct Members<'a> {
    before: Option<Record<'a>>,
    after: Option<Record<'a>>,
    after_is_read: bool,
    op: Option<&'a str>,
    source: Option<Source<'a>>,
}

impl Buffer {
    /// Reads the message's key: what names a row, if it has that. `None`: its columns would change those of buffered rows.
    /// `is_of_no_row` is asked where there is none and that would matter.
    #[inline]
    pub(crate) fn read_opened_key<'k>(
        &mut self,
        key: &'k OpenedKey<'k>,
        is_of_no_row: impl FnOnce() -> bool,
    ) -> Result<Option<Option<KeyImage<'k>>>, DecodeError> {
        let fixed = self.changes.speak_of_rows();
        let users = self.settings.key_columns.as_deref();
        Ok(match self.topic.read_opened_key(key, users, fixed, is_of_no_row)? {
            KeyRead::Same(key) => Some(key),
            KeyRead::Changed(key) => {
                self.topic.set_keys();
                Some(key)
            }
            KeyRead::FlushFirst => None,
        })
    }

    #[inline]
    fn take_record(&mut self, message: &Message<'_>, opened: &Opened<'_>) -> Result<Decoded, DecodeError> {
        if let Some(reason) = opened.skipped()? {
            return Ok(Decoded::Skipped(reason));
        }
        let (top, mut cursor) = (opened.schema.value()?, opened.body());
        let ValuePlan::Envelope(plan) = &top.plan else { return Err(no_envelope()) };
        if !self.topic.fits(opened.schema, plan.after.as_ref())? {
            return Ok(Decoded::FlushFirst);
        }
        top.is_there(&mut cursor).map_err(in_value)?;
        let is_truncate = || plan.op(cursor) == Some(envelope::TRUNCATE);
        let Some(key) = self.read_opened_key(&opened.key, is_truncate)? else { return Ok(Decoded::FlushFirst) };
        let mut members = Members::default();
        self.members_of_record(plan, &mut cursor, &mut members)?;
        cursor.end().map_err(in_value)?;
        let Some(op) = operation(members.op)? else { return Ok(Decoded::Skipped(SkipReason::LogicalMessage)) };
        let source = members.source.as_ref().ok_or(wanted("want a record as `source`"))?;
        source.check()?;
        let Members { before, after, .. } = members;
        let read = if members.after_is_read { Read::After } else { Read::Nothing };
        let absent = Absent::Null;
        self.apply(&Event { message, source, op, key, before, after, read, absent })
    }

    /// Reads the envelope, and `after` into the columns unless the old key may have to go before it.
    fn members_of_record<'a>(
        &mut self,
        envelope: &'a EnvelopePlan,
        cursor: &mut Cursor<'a>,
        members: &mut Members<'a>,
    ) -> Result<(), DecodeError> {
        let Topic { rows, key, .. } = &mut self.topic;
        let take = Take { part: Part::Value, first_wins: false, unavailable: &self.unavailable };
        for member in &envelope.members {
            if !member.is_there(cursor).map_err(in_value)? {
                continue;
            }
            let from = cursor.at();
            match (&member.kind, &envelope.before, &envelope.after) {
                (MemberKind::Source(source), ..) => {
                    source.read(cursor, members.source.get_or_insert_default()).map_err(in_value)?;
                }
                (MemberKind::Op, ..) => members.op = Some(cursor.text().map_err(in_value)?),
                (MemberKind::After, _, Some(plan)) => {
                    if key.overridden() {
                        member.wire.skip(cursor).map_err(in_value)?;
                    } else {
                        rows.read_record(cursor, plan, Whose::Rows, take, |_, _, _| ())?;
                        members.after_is_read = true;
                    }
                    members.after = Some(Record { body: cursor.part(from), plan, whose: Whose::Rows });
                }
                (kind, before, _) => {
                    member.wire.skip(cursor).map_err(in_value)?;
                    if let (MemberKind::Before, Some(plan)) = (kind, before) {
                        let whose = if envelope.alike { Whose::Rows } else { Whose::Another };
                        members.before = Some(Record { body: cursor.part(from), plan, whose });
                    }
                }
            }
        }
        Ok(())
    }
}
