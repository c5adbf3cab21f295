//! Debezium's JSON, with and without inline schema, to batches of changes: [`DebeziumJson`].
//!
//! The envelope is read once, and `after` goes straight into the columns before `op` is known: what turns out to be no such row is
//! taken back. Types come from the inline schema; without one, from the declared schema; with neither, from the values.
//!
//! Not here: flattened events, other wire formats of the same envelope.

use hudi_core::change::{ChangeBatch, Op};

use super::buffer::{Buffer, left_to_the_buffer};
use super::envelope::{self, Image, MEMBERS, Seen};
use super::event::{Event, Read, in_value, wanted};
use super::mongo::DocumentChange;
use super::rows::Absent;
use super::schema::ValueSchema;
use super::settings::DebeziumBuilder;
use super::source::{Connector, Source, malformed};
use super::topic::Topic;
use crate::decoder::{Decoded, Decoder, Message, SkipReason};
use crate::error::{DecodeError, Part};
use crate::scan::Scan;

/// Settings of a [`DebeziumJson`].
pub type DebeziumJsonBuilder = DebeziumBuilder<DebeziumJson>;

impl DebeziumBuilder<DebeziumJson> {
    /// The decoder.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where the stored schema has a column of a type that no decoder gives.
    pub fn build(self) -> Result<DebeziumJson, DecodeError> {
        Ok(DebeziumJson { buffer: Buffer::new(self.settings)? })
    }
}

/// Decodes Debezium's JSON.
///
/// * `c`, `u`, `r` give a row of `after`, the whole one: a column that it lacks is null. `d` gives one of the key and what
///   `before` has; a column that it lacks was not sent.
/// * `t` gives a row of [`Op::Truncate`], which holds nothing and has no key; the key columns stay what they are.
/// * The columns that the source calls the key are those of the message key. With [`key_columns`](DebeziumJsonBuilder::key_columns)
///   other than these, an update that changes them gives two rows, a delete of the old key and the update, if `before` tells it.
/// * Without any key an update gives two rows as well, a delete of `before` and the update: all of its values tell the row.
/// * A message key must be a JSON object, or null; one that is other JSON is passed over if the user names the key columns.
/// * A row whose key changed tells its other one, from the headers of its two messages or from `before` and `after`.
/// * MongoDB: a row is `id` (the key's extended JSON, without white space) and `document` (as sent). With a declared schema its members are
///   columns, extended JSON's values take the declared types, and the key is `_id` (whose type is lost if it is declared as text); an update
///   that brings no document gives a row of what changed, if that is not inside of a member.
/// * Columns are named as the source names them, letters that no table can have made `_`.
///
/// ```
/// use cdc_decoders::debezium::DebeziumJson;
/// use cdc_decoders::{Decoded, Decoder, Message};
///
/// # fn main() -> Result<(), cdc_decoders::DecodeError> {
/// let mut decoder = DebeziumJson::builder().build()?;
/// let value = br#"{"before":null,"after":{"id":1,"name":"Ada"},"op":"c",
///     "source":{"connector":"postgresql","name":"shop","ts_ms":1795390369744,"lsn":34}}"#;
/// let (topic, key) = ("shop.public.customers", Some(&br#"{"id":1}"#[..]));
/// let message = Message { topic, partition: 0, offset: 7, timestamp_ms: None, key, value: Some(value), headers: &[] };
/// assert_eq!(decoder.decode(&message)?, Decoded::Added { rows: 1 });
/// let batch = decoder.flush()?.expect("one row");
/// assert_eq!((batch.rows.num_columns(), batch.key_columns), (2, vec!["id".to_owned()]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DebeziumJson {
    buffer: Buffer,
}

/// The envelope's members; `after` is read already, if it could be.
#[derive(Default)]
pub(crate) struct Members<'a> {
    pub(crate) seen: Seen,
    pub(crate) before: Image,
    pub(crate) after: Image,
    pub(crate) after_is_read: bool,
    /// MongoDB: what an update changed.
    pub(crate) update: Image,
    pub(crate) op: Option<&'a str>,
    pub(crate) source: Option<Source<'a>>,
}

impl DebeziumJson {
    /// The settings of a new decoder.
    #[must_use]
    pub fn builder() -> DebeziumJsonBuilder {
        DebeziumBuilder::default()
    }
}

impl Decoder for DebeziumJson {
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let Some(value) = message.value else { return Ok(Decoded::Skipped(SkipReason::Tombstone)) };
        self.buffer.decode(message, || envelope::control(value), |buffer| buffer.take_envelope(message, value))
    }

    left_to_the_buffer!();
}

impl Buffer {
    fn take_envelope(&mut self, message: &Message<'_>, value: &[u8]) -> Result<Decoded, DecodeError> {
        let Some(mut payload) = self.topic.open(value, &self.settings.plain)? else { return Ok(Decoded::FlushFirst) };
        if payload.scan.null().map_err(in_value)? {
            payload.end().map_err(in_value)?;
            return Ok(Decoded::Skipped(SkipReason::Tombstone));
        }
        if let Some(ValueSchema::Control(reason)) = self.topic.meaning() {
            let reason = *reason;
            payload.scan.skip().and_then(|()| payload.end()).map_err(in_value)?;
            return Ok(Decoded::Skipped(reason));
        }
        let Some(key) = self.read_key(message, || envelope::is_truncate(payload.scan.clone()))? else {
            return Ok(Decoded::FlushFirst);
        };
        let members = self.members(&mut payload.scan)?;
        payload.end().map_err(in_value)?;
        if !members.seen.is_change() {
            return members.seen.control().map(Decoded::Skipped).ok_or_else(no_envelope);
        }
        let Some(op) = operation(members.op)? else { return Ok(Decoded::Skipped(SkipReason::LogicalMessage)) };
        self.take_members(message, op, key, &members, &payload.scan)
    }

    /// Adds the change that the members of an envelope are.
    pub(crate) fn take_members<'a>(
        &mut self,
        message: &Message<'a>,
        op: Op,
        key: Option<Scan<'a>>,
        members: &Members<'a>,
        payload: &Scan<'a>,
    ) -> Result<Decoded, DecodeError> {
        let source = members.source.as_ref().ok_or(wanted("want an object as `source`"))?;
        source.check()?;
        let Members { before, after, update, .. } = *members;
        if source.connector == Connector::Mongo {
            return self.take_document(&DocumentChange { message, source, op, key, before, after, update, payload });
        }
        let (before, after) = (object(payload, before)?, object(payload, after)?);
        let read = if members.after_is_read { Read::After } else { Read::Nothing };
        // The image is the whole row: a column that it lacks, the source has no more.
        let absent = Absent::Null;
        self.apply(&Event { message, source, op, key, before, after, read, absent })
    }

    /// Reads the envelope, and `after` into the columns unless the old key may have to go before it.
    pub(crate) fn members<'a>(&mut self, scan: &mut Scan<'a>) -> Result<Members<'a>, DecodeError> {
        let Topic { rows, envelope, source, key, .. } = &mut self.topic;
        let mut members = Members::default();
        scan.expect(b'{', "want an object: Debezium's envelope").map_err(in_value)?;
        while let Some(member) = envelope.member(scan, members.seen.members, MEMBERS).map_err(in_value)? {
            if members.seen.twice(member) {
                return Err(in_value(scan.syntax("a member that comes twice")));
            }
            match member {
                envelope::BEFORE => members.before = Image::read(scan).map_err(in_value)?,
                envelope::AFTER if scan.peek() == b'{' && !key.overridden() => {
                    let from = scan.at();
                    rows.read(scan, Part::Value, false, &self.unavailable)?;
                    members.after = Image::Object(from, scan.at());
                    members.after_is_read = true;
                }
                envelope::AFTER => members.after = Image::read(scan).map_err(in_value)?,
                envelope::UPDATE_DESCRIPTION => members.update = Image::read(scan).map_err(in_value)?,
                envelope::SOURCE if scan.peek() == b'{' => {
                    members.source = Some(source.read(scan).map_err(malformed)?);
                }
                envelope::OP if scan.peek() == b'"' => members.op = Some(scan.string().map_err(in_value)?.raw),
                _ => scan.skip().map_err(in_value)?,
            }
        }
        Ok(members)
    }
}

pub(crate) fn no_envelope() -> DecodeError {
    DecodeError::Unsupported {
        what: "a message that is no Debezium envelope".to_owned(),
        why: "it has neither `op` nor `source`; if a transform flattened it, decode its topic as flattened",
    }
}

/// The operation of a change; `None` for a message of the source's log.
pub(crate) fn operation(op: Option<&str>) -> Result<Option<Op>, DecodeError> {
    match op {
        Some("c") => Ok(Some(Op::Insert)),
        Some("u") => Ok(Some(Op::Update)),
        Some("r") => Ok(Some(Op::Snapshot)),
        Some("d") => Ok(Some(Op::Delete)),
        Some("m") => Ok(None),
        Some(envelope::TRUNCATE) => Ok(Some(Op::Truncate)),
        Some(other) => Err(DecodeError::Unsupported {
            what: format!("operation `{}`", other.chars().take(16).collect::<String>()),
            why: "c, u, d, r and t are decoded",
        }),
        None => Err(wanted("want a text as `op`")),
    }
}

pub(crate) fn object<'a>(scan: &Scan<'a>, image: Image) -> Result<Option<Scan<'a>>, DecodeError> {
    match image {
        Image::Object(from, to) => Ok(Some(scan.part(from, to))),
        Image::Absent | Image::Null => Ok(None),
        Image::Text(..) | Image::Other => Err(wanted("want an object or null as `before` and `after`")),
    }
}
