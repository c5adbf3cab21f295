//! Debezium's envelope in Avro to batches of changes: [`DebeziumAvro`].
//!
//! The envelope is read once, by the plan of its schema, and `after` goes straight into the columns before `op` is known: what turns
//! out to be no such row is taken back. A schema that is not known is asked for.
//!
//! Not here: flattened events, other formats of the same envelope, where schemas come from.

use std::collections::HashMap;
use std::sync::Arc;

use hudi_core::change::{ChangeBatch, Op};

use super::avro_plan::{EnvelopePlan, KeyPlan, Learnt, MemberKind, Schemas, Top, ValuePlan};
use super::avro_rows::{AvroRows, Held, RecordPlan, Take, Whose};
use super::changes::{Changes, fingerprint};
use super::envelope;
use super::json::{
    MAX_BUFFERED_BYTES, NO_OLD_KEY, ROW_BYTES, RUN_ID, UNTOLD_OLD_KEY, in_value, leaves_out, no_envelope, operation,
    wanted,
};
use super::key::{Key, KeyRead};
use super::plan::FieldPlan;
use super::rows::Absent;
use super::source::{Connector, Source};
use super::unavailable::{DEFAULT_PLACEHOLDER, Unavailable};
use crate::avro::Cursor;
use crate::decoder::{Decoded, Decoder, Message, SkipReason};
use crate::error::{DecodeError, Part};
use crate::fault::Fault;
use crate::scan::Scan;
use crate::wire::{Framed, Framing, SchemaId, begins_as_frame, is_named};

/// The ids under which the user's own schemas are kept, for messages without frame.
const OWN_KEY: SchemaId = SchemaId::GlobalId(u64::MAX);
const OWN_VALUE: SchemaId = SchemaId::GlobalId(u64::MAX - 1);

/// How `after` is taken.
const NEW: Take = Take { part: Part::Value, whose: Whose::Rows, first_wins: false };

/// What the message keys are written in; they may differ from the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyFormat {
    /// As they show: Avro where they have a registry's frame or a header that names a schema, else JSON.
    #[default]
    Auto,
    /// Avro, framed as the values are.
    Avro,
    /// JSON, with or without inline schema.
    Json,
    /// Something that holds no columns, as plain text: it is passed over.
    Opaque,
}

/// Settings of a [`DebeziumAvro`].
#[derive(Debug, Default)]
pub struct DebeziumAvroBuilder {
    framing: Framing,
    key_format: KeyFormat,
    unframed: Option<(String, Option<String>)>,
    key_columns: Option<Vec<String>>,
    placeholder: Option<String>,
}

impl DebeziumAvroBuilder {
    /// Where the ids of the schemas stand.
    #[must_use]
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// What the message keys are written in.
    #[must_use]
    pub fn key_format(mut self, format: KeyFormat) -> Self {
        self.key_format = format;
        self
    }

    /// The schemas of values and keys that come without frame ([`Framing::None`], which this sets).
    #[must_use]
    pub fn unframed(mut self, value: impl Into<String>, key: Option<String>) -> Self {
        self.framing = Framing::None;
        self.unframed = Some((value.into(), key));
        self
    }

    /// The key columns, in place of those of the message key.
    #[must_use]
    pub fn key_columns(mut self, names: Vec<String>) -> Self {
        self.key_columns = Some(names);
        self
    }

    /// The connector's `unavailable.value.placeholder`, if it is not the default.
    #[must_use]
    pub fn unavailable_placeholder(mut self, placeholder: impl Into<String>) -> Self {
        self.placeholder = Some(placeholder.into());
        self
    }

    /// The decoder.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where the schemas of unframed messages are none, or are missing.
    pub fn build(self) -> Result<DebeziumAvro, DecodeError> {
        let placeholder = self.placeholder.unwrap_or_else(|| DEFAULT_PLACEHOLDER.to_owned());
        let mut schemas = Schemas::default();
        if self.framing == Framing::None {
            let missing = || DecodeError::schema("(Avro)", "messages without frame need schemas of the user's");
            let (value, key) = self.unframed.ok_or_else(missing)?;
            schemas.learn(OWN_VALUE, &value, &placeholder)?;
            match key {
                Some(key) => schemas.learn(OWN_KEY, &key, &placeholder)?,
                None if self.key_format == KeyFormat::Avro => return Err(missing()),
                None => {}
            }
        }
        let reader = Reader {
            framing: self.framing,
            key_format: self.key_format,
            key_columns: self.key_columns,
            unavailable: Unavailable::new(&placeholder),
            placeholder,
        };
        Ok(DebeziumAvro { reader, schemas, work: Work::default(), parked: HashMap::new() })
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
    reader: Reader,
    schemas: Schemas,
    work: Work,
    /// The other topics seen so far.
    parked: HashMap<Arc<str>, Topic>,
}

/// The settings.
#[derive(Debug)]
struct Reader {
    framing: Framing,
    key_format: KeyFormat,
    key_columns: Option<Vec<String>>,
    placeholder: String,
    unavailable: Unavailable,
}

/// What is buffered.
#[derive(Debug, Default)]
struct Work {
    /// The topic of the last message.
    topic: Topic,
    changes: Changes,
    bytes: usize,
}

/// What is remembered of a topic.
#[derive(Debug, Default)]
struct Topic {
    name: Arc<str>,
    /// False in the one that stands where there was no topic yet.
    entered: bool,
    rows: AvroRows,
    key: Key,
    /// The schema of the last envelope.
    schema: Option<Arc<Learnt>>,
    /// The columns of the rows, as the schema has them.
    fields: Vec<FieldPlan>,
    /// The schema of the last key.
    key_schema: Option<Arc<Learnt>>,
    /// Values moved to the ends in columns that were given up for others.
    clamped: u64,
}

/// The key of a message, opened.
#[derive(Debug)]
enum Opened<'a> {
    /// Nothing, or nothing that holds columns.
    None,
    Json(&'a [u8]),
    Avro(Framed<'a>, Arc<Learnt>),
    /// Avro of a schema that is not known.
    Unknown(SchemaId),
}

/// A key that names a row.
#[derive(Debug, Clone)]
enum KeyImage<'a> {
    Json(Scan<'a>),
    Avro(Cursor<'a>, &'a RecordPlan),
}

impl KeyImage<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Json(scan) => scan.rest().as_bytes(),
            Self::Avro(record, _) => record.rest(),
        }
    }

    /// Whether it has a column.
    fn has(&self, column: &str) -> Result<bool, DecodeError> {
        let in_key = |fault: Fault| fault.in_part(Part::Key);
        match self {
            Self::Json(scan) => super::json::member(scan.clone(), column).map(|value| value.is_some()).map_err(in_key),
            Self::Avro(record, plan) => plan.value(*record, column).map(|value| value.is_some()).map_err(in_key),
        }
    }
}

/// The envelope's members; `after` is read already, if it could be.
#[derive(Default)]
struct Members<'a> {
    before: Option<Cursor<'a>>,
    after: Option<Cursor<'a>>,
    after_is_read: bool,
    op: Option<&'a str>,
    source: Option<Source<'a>>,
}

/// A message about to give rows.
struct Change<'m, 'a> {
    message: &'m Message<'a>,
    reader: &'m Reader,
    plan: &'m EnvelopePlan,
    source: &'m Source<'m>,
    op: Op,
    key: Option<KeyImage<'m>>,
    before: Option<Cursor<'m>>,
    after: Option<Cursor<'m>>,
    after_is_read: bool,
}

impl Change<'_, '_> {
    fn fingerprint(&self, op: Op, image: Option<Cursor<'_>>) -> u64 {
        let key = self.key.as_ref().map_or(&[][..], KeyImage::bytes);
        fingerprint(key, op, image.as_ref().map_or(&[][..], Cursor::rest))
    }

    fn leaves_out(&self) -> bool {
        leaves_out(self.message, self.source.connector, self.op)
    }

    /// `before` with its plan, if it is there.
    fn before_row(&self) -> Option<(Cursor<'_>, &RecordPlan)> {
        self.before.zip(self.plan.before.as_deref())
    }

    /// `after` with its plan, if it is there.
    fn after_row(&self) -> Option<(Cursor<'_>, &RecordPlan)> {
        self.after.zip(self.plan.after.as_deref())
    }
}

impl DebeziumAvro {
    /// The settings of a new decoder.
    #[must_use]
    pub fn builder() -> DebeziumAvroBuilder {
        DebeziumAvroBuilder::default()
    }

    /// Makes the topic the current one.
    fn enter(&mut self, name: &str) {
        let new = || Topic { name: name.into(), entered: true, ..Topic::default() };
        let next = self.parked.remove(name).unwrap_or_else(new);
        let last = std::mem::replace(&mut self.work.topic, next);
        if last.entered {
            self.parked.insert(Arc::clone(&last.name), last);
        }
    }

    fn take(&mut self, message: &Message<'_>, value: &[u8]) -> Result<Decoded, DecodeError> {
        let framed = self.reader.open(message, Part::Value, value)?;
        let id = framed.id.unwrap_or(OWN_VALUE);
        let Some(learnt) = self.schemas.get(id, Part::Value) else { return Ok(Decoded::NeedsSchema(id)) };
        let top = learnt.value()?;
        let mut cursor = Cursor::new(&framed.body, framed.frame_bytes);
        if let Some(reason) = skipped(top, cursor)? {
            return Ok(Decoded::Skipped(reason));
        }
        let ValuePlan::Envelope(plan) = &top.plan else { return Err(no_envelope()) };
        top.is_there(&mut cursor).map_err(in_value)?;
        let key = match self.open_key(message)? {
            Opened::Unknown(id) => return Ok(Decoded::NeedsSchema(id)),
            key => key,
        };
        if !self.work.topic.fits(&learnt, plan)? {
            return Ok(Decoded::FlushFirst);
        }
        self.work.take(&self.reader, message, &key, plan, cursor)
    }

    fn open_key<'a>(&mut self, message: &Message<'a>) -> Result<Opened<'a>, DecodeError> {
        let Some(key) = message.key else { return Ok(Opened::None) };
        let is_avro = match self.reader.key_format {
            KeyFormat::Auto if self.reader.framing == Framing::None => self.schemas.get(OWN_KEY, Part::Key).is_some(),
            KeyFormat::Auto => begins_as_frame(key) || is_named(Part::Key, |name| message.header(name)),
            KeyFormat::Avro => true,
            KeyFormat::Json => false,
            KeyFormat::Opaque => return Ok(Opened::None),
        };
        if !is_avro {
            return Ok(Opened::Json(key));
        }
        let framed = self.reader.open(message, Part::Key, key)?;
        let id = framed.id.unwrap_or(OWN_KEY);
        let learnt = self.schemas.get(id, Part::Key);
        Ok(learnt.map_or(Opened::Unknown(id), |learnt| Opened::Avro(framed, learnt)))
    }

    /// Why a message holds no change, told without decoding it: for messages of another topic than the buffered ones.
    fn control(&mut self, message: &Message<'_>, value: &[u8]) -> Option<SkipReason> {
        let framed = self.reader.open(message, Part::Value, value).ok()?;
        let learnt = self.schemas.get(framed.id.unwrap_or(OWN_VALUE), Part::Value)?;
        skipped(learnt.value().ok()?, Cursor::new(&framed.body, framed.frame_bytes)).ok()?
    }
}

impl Reader {
    fn open<'a>(&self, message: &Message<'_>, part: Part, bytes: &'a [u8]) -> Result<Framed<'a>, DecodeError> {
        self.framing.open(bytes, part, |name| message.header(name))
    }
}

/// Why a value holds no change, if its schema or its lack says so.
fn skipped(top: &Top<ValuePlan>, mut cursor: Cursor<'_>) -> Result<Option<SkipReason>, DecodeError> {
    if !top.is_there(&mut cursor).map_err(in_value)? {
        return Ok(Some(SkipReason::Tombstone));
    }
    let ValuePlan::Control(reason, wire) = &top.plan else { return Ok(None) };
    wire.skip(&mut cursor).and_then(|()| cursor.end()).map_err(in_value)?;
    Ok(Some(*reason))
}

impl Topic {
    /// Makes the columns fit a schema; false where they hold rows of another one.
    fn fits(&mut self, learnt: &Arc<Learnt>, plan: &EnvelopePlan) -> Result<bool, DecodeError> {
        let Some(after) = &plan.after else { return Ok(true) };
        if self.schema.as_ref().is_some_and(|last| Arc::ptr_eq(last, learnt)) {
            return Ok(true);
        }
        if self.schema.is_none() || self.fields != after.fields() {
            if self.rows.len() > 0 {
                return Ok(false);
            }
            let rows = AvroRows::from_plan(after)?;
            self.clamped += self.rows.clamped();
            self.rows = rows;
            self.rows.set_keys(self.key.columns());
            self.rows.begin();
            self.fields = after.fields().to_vec();
        }
        self.schema = Some(Arc::clone(learnt));
        Ok(true)
    }

    /// Reads a key; `None` where its columns would change those of buffered rows. `is_of_no_row` as [`Key::read`] asks it.
    fn read_key<'k>(
        &mut self,
        key: &'k Opened<'k>,
        users: Option<&[String]>,
        fixed: bool,
        is_of_no_row: impl FnOnce() -> bool,
    ) -> Result<KeyRead<KeyImage<'k>>, DecodeError> {
        if let Opened::Avro(framed, learnt) = key
            && let Some((record, plan)) = record_of_key(framed, learnt.key()?, users.is_some())?
        {
            return Ok(self.read_record(record, plan, learnt, users, fixed));
        }
        self.key_schema = None;
        let json = if let Opened::Json(bytes) = key { Some(*bytes) } else { None };
        let read = self.key.read(json, users, fixed, is_of_no_row)?;
        Ok(read.map(KeyImage::Json))
    }

    fn read_record<'k>(
        &mut self,
        record: Cursor<'k>,
        plan: &'k KeyPlan,
        learnt: &Arc<Learnt>,
        users: Option<&[String]>,
        fixed: bool,
    ) -> KeyRead<KeyImage<'k>> {
        let image = plan.record.as_ref().map(|plan| KeyImage::Avro(record, plan));
        if self.key_schema.as_ref().is_some_and(|last| Arc::ptr_eq(last, learnt)) {
            return KeyRead::Same(image);
        }
        let read = match self.key.named(&plan.names, users, fixed) {
            KeyRead::Same(_) => KeyRead::Same(image),
            KeyRead::Changed(_) => KeyRead::Changed(image),
            KeyRead::FlushFirst => return KeyRead::FlushFirst,
        };
        self.key_schema = Some(Arc::clone(learnt));
        read
    }

    const fn clamped(&self) -> u64 {
        self.clamped + self.rows.clamped()
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

impl Work {
    fn take(
        &mut self,
        reader: &Reader,
        message: &Message<'_>,
        key: &Opened<'_>,
        plan: &EnvelopePlan,
        mut cursor: Cursor<'_>,
    ) -> Result<Decoded, DecodeError> {
        let fixed = self.changes.speak_of_rows();
        let is_truncate = || plan.op(cursor) == Some(envelope::TRUNCATE);
        let key = match self.topic.read_key(key, reader.key_columns.as_deref(), fixed, is_truncate)? {
            KeyRead::Same(key) => key,
            KeyRead::Changed(key) => {
                self.topic.rows.set_keys(self.topic.key.columns());
                key
            }
            KeyRead::FlushFirst => return Ok(Decoded::FlushFirst),
        };
        let members = self.members(plan, &mut cursor)?;
        cursor.end().map_err(in_value)?;
        let Some(op) = operation(members.op)? else { return Ok(Decoded::Skipped(SkipReason::LogicalMessage)) };
        let source = members.source.as_ref().ok_or(wanted("want a record as `source`"))?;
        source.check()?;
        let run = message.header(RUN_ID);
        if self.changes.excludes(source, run) {
            return Ok(Decoded::FlushFirst);
        }
        let rows = self.changes.len();
        let Members { before, after, after_is_read, .. } = members;
        let change = Change { message, reader, plan, source, op, key, before, after, after_is_read };
        self.add(&change)?;
        self.changes.note(source, run);
        Ok(Decoded::Added { rows: self.changes.len() - rows })
    }

    /// Reads the envelope, and `after` into the columns unless the old key may have to go before it.
    fn members<'a>(&mut self, plan: &EnvelopePlan, cursor: &mut Cursor<'a>) -> Result<Members<'a>, DecodeError> {
        let Topic { rows, key, .. } = &mut self.topic;
        let mut members = Members::default();
        for member in &plan.members {
            if !member.is_there(cursor).map_err(in_value)? {
                continue;
            }
            let from = cursor.at();
            match (&member.kind, &plan.after) {
                (MemberKind::Source(source), _) => members.source = Some(source.read(cursor).map_err(in_value)?),
                (MemberKind::Op, _) => members.op = Some(cursor.text().map_err(in_value)?),
                (MemberKind::After, Some(after)) if !key.overridden() => {
                    rows.read(cursor, after, NEW, |_, _| ())?;
                    members.after = Some(cursor.part(from));
                    members.after_is_read = true;
                }
                (kind, _) => {
                    member.wire.skip(cursor).map_err(in_value)?;
                    match kind {
                        MemberKind::Before => members.before = Some(cursor.part(from)),
                        MemberKind::After => members.after = Some(cursor.part(from)),
                        _ => {}
                    }
                }
            }
        }
        Ok(members)
    }

    fn add(&mut self, change: &Change<'_, '_>) -> Result<(), DecodeError> {
        if self.topic.key.overridden() {
            self.tells_the_old_key(change)?;
        }
        match change.op {
            Op::Delete => self.delete(change),
            Op::Insert | Op::Update | Op::Snapshot => self.upsert(change),
            Op::Truncate => self.truncate(change),
        }
    }

    /// The delete of the row that the key names, with what `before` has of it.
    fn delete(&mut self, change: &Change<'_, '_>) -> Result<(), DecodeError> {
        if change.key.is_none() && change.before.is_none() {
            return Err(wanted("a delete needs a key, or a record as `before`"));
        }
        if change.after_is_read {
            self.topic.rows.clear_open();
        }
        self.delete_row(change, change.key.as_ref())
    }

    fn delete_row(&mut self, change: &Change<'_, '_>, key: Option<&KeyImage<'_>>) -> Result<(), DecodeError> {
        if let Some(key) = key {
            self.read_key(key, change.reader, false)?;
        }
        if let Some((mut before, plan)) = change.before_row() {
            let whose = if change.plan.alike { Whose::Rows } else { Whose::Another };
            let take = Take { part: Part::Value, whose, first_wins: true };
            self.topic.rows.read(&mut before, plan, take, |_, _| ())?;
        }
        self.topic.rows.close(Absent::NotSent, change.leaves_out())?;
        self.push(change, Op::Delete, change.before)
    }

    fn read_key(&mut self, key: &KeyImage<'_>, reader: &Reader, first_wins: bool) -> Result<(), DecodeError> {
        let take = Take { part: Part::Key, whose: Whose::Another, first_wins };
        match key {
            KeyImage::Json(scan) => self.topic.rows.read_json(&mut scan.clone(), &reader.unavailable),
            KeyImage::Avro(record, plan) => self.topic.rows.read(&mut record.clone(), plan, take, |_, _| ()),
        }
    }

    fn upsert(&mut self, change: &Change<'_, '_>) -> Result<(), DecodeError> {
        let Some((mut after, plan)) = change.after_row() else { return Err(wanted("want a record as `after`")) };
        if change.op == Op::Update && self.topic.key.overridden() && self.moves(change)? {
            self.delete_row(change, None)?;
        }
        if !change.after_is_read {
            self.topic.rows.read(&mut after, plan, NEW, |_, _| ())?;
        }
        if let Some(key) = &change.key
            && self.topic.rows.lacks_a_key()
        {
            self.read_key(key, change.reader, true)?;
        }
        let absent = if change.op == Op::Update { Absent::NotSent } else { Absent::Null };
        self.topic.rows.close(absent, change.leaves_out())?;
        self.push(change, change.op, change.after)
    }

    /// A row that holds nothing. One that tells of a row contradicts itself, and too much would be lost by believing it.
    fn truncate(&mut self, change: &Change<'_, '_>) -> Result<(), DecodeError> {
        if change.before.is_some() || change.after.is_some() {
            return Err(wanted("want no row in a truncate event"));
        }
        self.topic.rows.close(Absent::Null, false)?;
        self.push(change, Op::Truncate, None)
    }

    fn push(&mut self, change: &Change<'_, '_>, op: Op, image: Option<Cursor<'_>>) -> Result<(), DecodeError> {
        let row_bytes = change.plan.after.as_ref().map_or(0, |plan| plan.row_bytes());
        self.bytes += image.map_or(0, |image| image.rest().len()) + row_bytes + ROW_BYTES;
        self.changes.push(change.message, change.source, op, change.fingerprint(op, image))
    }

    /// Refuses what may leave a row behind, as [`DebeziumJson`](super::DebeziumJson) does: the user's key has a column that is
    /// not in the message key, and `before` does not tell what it was.
    fn tells_the_old_key(&self, change: &Change<'_, '_>) -> Result<(), DecodeError> {
        if !matches!(change.op, Op::Update | Op::Delete) {
            return Ok(());
        }
        for column in self.topic.key.columns() {
            if change.key.as_ref().map_or(Ok(false), |key| key.has(column))? {
                continue;
            }
            let Some((before, plan)) = change.before_row() else {
                let what = format!("key column `{column}`, which is not in the message key");
                return Err(DecodeError::UnsupportedSource { what, why: NO_OLD_KEY });
            };
            let old = plan.value(before, column).map_err(in_value)?;
            let by_default = change.source.connector == Connector::Postgres && old.is_some_and(Held::is_a_default);
            if old.is_none() || by_default {
                return Err(DecodeError::Value { column: column.clone(), reason: UNTOLD_OLD_KEY.to_owned() });
            }
        }
        Ok(())
    }

    /// Whether an update changes the user's key columns.
    fn moves(&self, change: &Change<'_, '_>) -> Result<bool, DecodeError> {
        let (Some((before, old)), Some((after, new))) = (change.before_row(), change.after_row()) else {
            return Ok(false);
        };
        let mut moved = false;
        for column in self.topic.key.columns() {
            let old = old.value(before, column).map_err(in_value)?;
            let new = new.value(after, column).map_err(in_value)?;
            moved |= old.zip(new).is_some_and(|(old, new)| old.raw != new.raw);
        }
        Ok(moved)
    }
}

impl Decoder for DebeziumAvro {
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let Some(value) = message.value else { return Ok(Decoded::Skipped(SkipReason::Tombstone)) };
        let bytes = self.work.bytes;
        if !self.work.topic.entered || *self.work.topic.name != *message.topic {
            if !self.work.changes.is_empty() {
                return Ok(self.control(message, value).map_or(Decoded::FlushFirst, Decoded::Skipped));
            }
            self.enter(message.topic);
        } else if bytes > 0 && bytes + value.len() > MAX_BUFFERED_BYTES {
            return Ok(Decoded::FlushFirst);
        }
        let rows = self.work.changes.len();
        self.work.topic.rows.begin();
        let decoded = self.take(message, value);
        if !matches!(decoded, Ok(Decoded::Added { .. })) {
            self.work.topic.rows.roll_back();
            self.work.changes.truncate(rows);
            self.work.bytes = bytes;
        }
        decoded
    }

    /// A text that is no schema is remembered as such: messages that follow it are errors from then on.
    fn learn(&mut self, id: SchemaId, schema: &str) -> Result<(), DecodeError> {
        self.schemas.learn(id, schema, &self.reader.placeholder)
    }

    fn flush(&mut self) -> Result<Option<ChangeBatch>, DecodeError> {
        let Work { topic, changes, bytes } = &mut self.work;
        if changes.is_empty() {
            return Ok(None);
        }
        *bytes = 0;
        let finished = topic.rows.finish();
        let (rows, unsent) = finished.map_err(|e| {
            topic.rows.clear_open();
            *changes = Changes::default();
            DecodeError::schema("(batch)", e.to_string())
        })?;
        let keys = topic.key.columns_of_batch(self.reader.key_columns.as_deref());
        Ok(Some(changes.finish(Arc::clone(&topic.name), keys, rows, unsent)))
    }

    fn buffered_rows(&self) -> usize {
        self.work.changes.len()
    }

    fn buffered_bytes(&self) -> usize {
        self.work.bytes
    }

    fn clamped(&self) -> u64 {
        self.work.topic.clamped() + self.parked.values().map(Topic::clamped).sum::<u64>()
    }
}
