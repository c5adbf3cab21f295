//! Debezium's flattened events in JSON, with and without inline schema, to batches of changes: [`DebeziumFlatJson`].
//!
//! Flattening (`ExtractNewRecordState`) leaves the row, and of the envelope what its user asked for: as members of the row, or as
//! headers. Not here: the names of these ([`super::metadata`]), other wire formats of flattened rows.

use hudi_core::change::{ChangeBatch, Op, SnapshotPart};

use super::buffer::Buffer;
use super::envelope;
use super::event::{Event, OLD_KEY, Read, in_value, wanted};
use super::json::operation;
use super::metadata::{self, Names, Tag, header_text};
use super::rows::Absent;
use super::schema::{ValueSchema, not_flattened};
use super::settings::{DebeziumBuilder, FlatSettings, Flattened, sealed::Sealed};
use super::source::{Connector, Source};
use super::tombstone::Tombstones;
use crate::decoder::{Decoded, Decoder, Message, SkipReason};
use crate::error::{DecodeError, Part};
use crate::scan::Scan;

/// Settings of a [`DebeziumFlatJson`].
pub type DebeziumFlatJsonBuilder = DebeziumBuilder<DebeziumFlatJson>;

impl Sealed for DebeziumFlatJson {}
impl Flattened for DebeziumFlatJson {}

impl DebeziumBuilder<DebeziumFlatJson> {
    /// The decoder.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where the stored schema has a column of a type that no decoder gives, or the connector is none.
    pub fn build(mut self) -> Result<DebeziumFlatJson, DecodeError> {
        let hints = Hints::new(&self.settings.flat)?;
        self.settings.plain.flat = Some(self.settings.flat.fields.fields());
        Ok(DebeziumFlatJson { buffer: Buffer::new(self.settings)?, hints })
    }
}

/// Decodes Debezium's flattened events in JSON.
///
/// * A row is a change: `r`, `c` or `u` as `__op` says; without it an update that holds the whole row. Members that the transform added
///   are no columns; which these are says [`add_fields`](DebeziumBuilder::add_fields).
/// * A delete is a row whose `__deleted` is "true" or whose `__op` is `d`; or no row: a Kafka null, the text `null`, a null with schema. In
///   each case it gives the key alone: what the image of a deleted row holds beside may be the type's default. Only without any key
///   is the image kept. A null right behind the deleted row of the same key is its tombstone, and skipped. Deletes by a null
///   need a key.
/// * What orders the changes comes from `add.fields` or `add.headers`: PostgreSQL `lsn` (and `sequence`, to recognise what is sent again),
///   MySQL and MariaDB `file`, `pos`, `row`; Oracle `commit_scn`, `txSeq`; SQL Server `commit_lsn`, `change_lsn`, `event_serial_no`; Db2 the
///   first two of these; MongoDB `ord`, `source.ts_ms`. Without them orders are null: judged by arrival.
/// * The source's name and connector come from the same places, else from the headers that Debezium adds itself
///   (`__debezium.context.…`), else the name from the topic (its first part) and the connector from the position's members.
/// * A changed key is a delete and a row, as with the envelope. Key columns of the user's that are not in the message key need
///   [`keys_never_change`](DebeziumBuilder::keys_never_change): the row before an update is not there.
/// * The transform drops truncates. Schema changes, heartbeats, transactions pass it unchanged, and are skipped.
///
/// ```
/// use cdc_decoders::debezium::DebeziumFlatJson;
/// use cdc_decoders::{Decoded, Decoder, Message};
///
/// # fn main() -> Result<(), cdc_decoders::DecodeError> {
/// let mut decoder = DebeziumFlatJson::builder().add_fields("op,lsn,source.ts_ms").build()?;
/// let value = br#"{"id":1,"name":"Ada","__deleted":"false","__op":"c","__lsn":34,"__source_ts_ms":1795390369744}"#;
/// let (topic, key) = ("shop.public.customers", Some(&br#"{"id":1}"#[..]));
/// let message = Message { topic, partition: 0, offset: 7, timestamp_ms: None, key, value: Some(value), headers: &[] };
/// assert_eq!(decoder.decode(&message)?, Decoded::Added { rows: 1 });
/// let batch = decoder.flush()?.expect("one row");
/// assert_eq!((batch.rows.num_columns(), &*batch.source), (2, "shop"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DebeziumFlatJson {
    buffer: Buffer,
    hints: Hints,
}

impl DebeziumFlatJson {
    /// The settings of a new decoder.
    #[must_use]
    pub fn builder() -> DebeziumFlatJsonBuilder {
        DebeziumBuilder::default()
    }
}

impl Decoder for DebeziumFlatJson {
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let Self { buffer, hints } = self;
        buffer.decode(message, || control(message), |buffer| buffer.take_flat(message, hints))
    }

    fn flush(&mut self) -> Result<Option<ChangeBatch>, DecodeError> {
        self.buffer.flush()
    }

    fn buffered_rows(&self) -> usize {
        self.buffer.rows()
    }

    fn buffered_bytes(&self) -> usize {
        self.buffer.bytes
    }

    fn clamped(&self) -> u64 {
        self.buffer.clamped()
    }
}

/// Where to look for what the row does not tell.
#[derive(Debug)]
pub(crate) struct Hints {
    /// The headers that the transform added.
    headers: Names,
    /// The user's word on what sends the changes.
    connector: Connector,
    tombstones: Tombstones,
}

impl Hints {
    pub(crate) fn new(settings: &FlatSettings) -> Result<Self, DecodeError> {
        let (headers, tombstones) = (settings.headers.headers(), settings.tombstones);
        Ok(Self { headers, connector: settings.connector()?, tombstones })
    }
}

/// What the transform's members and headers tell of a change.
#[derive(Debug, Default)]
pub(crate) struct Told<'a> {
    op: Option<&'a str>,
    deleted: bool,
    source: Source<'a>,
    /// What Debezium's own headers say.
    connector: Connector,
    name: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// What the headers tell.
    pub(crate) fn by_headers(message: &Message<'a>, hints: &Hints) -> Result<Self, DecodeError> {
        let mut told = Self::default();
        for header in message.headers {
            let Some(text) = header.value.and_then(header_text) else { continue };
            match header.name {
                "__debezium.context.connectorName" => told.connector = Connector::parse(text),
                "__debezium.context.connectorLogicalName" => told.name = Some(text),
                name => {
                    if let Some(tag) = hints.headers.get(name) {
                        told.read_text(*tag, text)?;
                    }
                }
            }
        }
        Ok(told)
    }

    fn read_text(&mut self, tag: Tag, text: &'a str) -> Result<(), DecodeError> {
        match tag {
            metadata::OP => self.op = Some(text),
            metadata::DELETED => self.deleted = text == "true",
            metadata::NOTHING => {}
            member => self.source.read_text(member, text)?,
        }
        Ok(())
    }

    /// What a member of the row tells.
    #[inline]
    fn read(&mut self, tag: Tag, value: Scan<'a>) -> Result<(), DecodeError> {
        match tag {
            metadata::OP | metadata::DELETED => match header_text(value.rest().as_bytes()) {
                Some(text) => self.read_text(tag, text),
                None => Ok(()),
            },
            metadata::NOTHING => Ok(()),
            member => self.source.read(member, value),
        }
    }

    /// What happened; `None` for a message of the source's log.
    fn op(&self, message: &Message<'_>, snapshot: SnapshotPart) -> Result<Option<Op>, DecodeError> {
        if self.deleted {
            return Ok(Some(Op::Delete));
        }
        match self.op {
            None if snapshot != SnapshotPart::None => Ok(Some(Op::Snapshot)),
            None if message.header(OLD_KEY).is_some() => Ok(Some(Op::Insert)),
            None => Ok(Some(Op::Update)),
            Some(envelope::TRUNCATE) => Err(DecodeError::Unsupported {
                what: "a flattened truncate".to_owned(),
                why: "the transform drops these, and what is left of one does not tell what it emptied",
            }),
            op => operation(op),
        }
    }
}

impl Buffer {
    fn take_flat(&mut self, message: &Message<'_>, hints: &Hints) -> Result<Decoded, DecodeError> {
        let Some(value) = message.value else { return self.delete_by_null(message, hints) };
        let Some(mut payload) = self.topic.open(value, &self.settings.plain)? else { return Ok(Decoded::FlushFirst) };
        if payload.scan.null().map_err(in_value)? {
            payload.end().map_err(in_value)?;
            return self.delete_by_null(message, hints);
        }
        if let Some(ValueSchema::Control(reason)) = self.topic.meaning() {
            let reason = *reason;
            payload.scan.skip().and_then(|()| payload.end()).map_err(in_value)?;
            return Ok(Decoded::Skipped(reason));
        }
        let Some(key) = self.read_key(message, || false)? else { return Ok(Decoded::FlushFirst) };
        payload.scan.peek();
        let from = payload.scan.at();
        self.topic.rows.read(&mut payload.scan, Part::Value, false, &self.unavailable)?;
        let row = payload.scan.part(from, payload.scan.at());
        payload.end().map_err(in_value)?;
        if self.topic.rows.grew()
            && let Some(reason) = no_row(message, row.clone())?
        {
            return Ok(Decoded::Skipped(reason));
        }
        let mut told = Told::by_headers(message, hints)?;
        for (tag, from, to) in self.topic.rows.told() {
            told.read(*tag, payload.scan.part(*from, *to))?;
        }
        self.take_row(message, hints, key, row, told)
    }

    fn take_row<'a>(
        &mut self,
        message: &Message<'a>,
        hints: &Hints,
        key: Option<Scan<'a>>,
        row: Scan<'a>,
        mut told: Told<'a>,
    ) -> Result<Decoded, DecodeError> {
        if row.rest().trim_matches(['{', '}', ' ', '\n', '\r', '\t']).is_empty() {
            return Err(wanted("want a row with columns"));
        }
        let source = self.source(message, hints, &mut told);
        let Some(op) = told.op(message, source.snapshot)? else {
            return Ok(Decoded::Skipped(SkipReason::LogicalMessage));
        };
        let deleted = op == Op::Delete;
        let (before, after, read) =
            if deleted { (Some(row), None, Read::Before) } else { (None, Some(row), Read::After) };
        // The image is the whole row, but with MongoDB.
        let partial = op == Op::Update && source.connector == Connector::Mongo;
        let absent = if partial { Absent::NotSent } else { Absent::Null };
        let event = Event { message, source: &source, op, key, before, after, read, absent };
        let decoded = self.apply(&event)?;
        if let Decoded::Added { .. } = decoded {
            self.topic.deletes.note(message, deleted);
        }
        Ok(decoded)
    }

    /// A delete that comes as no row: by its key, unless it is the tombstone of one that came as a row.
    fn delete_by_null(&mut self, message: &Message<'_>, hints: &Hints) -> Result<Decoded, DecodeError> {
        if hints.tombstones == Tombstones::Skip || self.topic.deletes.take(message) {
            return Ok(Decoded::Skipped(SkipReason::Tombstone));
        }
        let Some(key) = self.read_key(message, || true)? else { return Ok(Decoded::FlushFirst) };
        if key.is_none() {
            return Err(DecodeError::Malformed { part: Part::Key, offset: 0, reason: NO_KEY });
        }
        let mut told = Told::by_headers(message, hints)?;
        let source = self.source(message, hints, &mut told);
        let (op, read, absent) = (Op::Delete, Read::Nothing, Absent::NotSent);
        self.apply(&Event { message, source: &source, op, key, before: None::<Scan<'_>>, after: None, read, absent })
    }

    /// The source, by all that is known of it.
    fn source<'a>(&mut self, message: &Message<'a>, hints: &Hints, told: &mut Told<'a>) -> Source<'a> {
        let mut source = std::mem::take(&mut told.source);
        source.flattened = true;
        if source.connector == Connector::Other {
            let known = [hints.connector, told.connector, source.connector_by_position(), self.topic.connector];
            source.connector = known.into_iter().find(|one| *one != Connector::Other).unwrap_or_default();
        }
        self.topic.connector = source.connector;
        if source.name.is_empty() {
            source.name = told.name.unwrap_or_else(|| first_part(message.topic, source.connector)).into();
        }
        source
    }
}

const NO_KEY: &str = "a delete that is no row needs a message key: an object of the key columns";

/// The source's name, by the topic that Debezium makes of it: `name.schema.table`, of SQL Server `name.database.schema.table`.
fn first_part(topic: &str, connector: Connector) -> &str {
    let behind = if connector == Connector::SqlServer { 3 } else { 2 };
    topic.rmatch_indices('.').nth(behind - 1).map_or(topic, |(dot, _)| &topic[..dot])
}

/// Why what passed the transform unchanged is skipped; `None` for a row.
fn no_row(message: &Message<'_>, payload: Scan<'_>) -> Result<Option<SkipReason>, DecodeError> {
    let seen = envelope::seen(payload).map_err(in_value)?;
    if seen.is_envelope() {
        return Err(not_flattened());
    }
    let of_heartbeat = || message.key.is_some_and(|key| memchr::memmem::find(key, b"\"serverName\"").is_some());
    Ok(seen.control_alone().filter(|reason| *reason != SkipReason::Heartbeat || of_heartbeat()))
}

/// Why a message holds no change, told without decoding it: for messages of another topic than the buffered ones.
fn control(message: &Message<'_>) -> Option<SkipReason> {
    no_row(message, envelope::unwrapped(message.value?).ok()?).ok()?
}
