//! Debezium's flattened events in JSON, with and without inline schema, to batches of changes: [`DebeziumFlatJson`].
//!
//! Not here: what flattening added to a row, and what a row or a null is by it ([`super::flat`]).

use hudi_core::change::ChangeBatch;

use super::buffer::{Buffer, left_to_the_buffer};
use super::envelope;
use super::event::{in_value, wanted};
use super::flat::{FlatRow, Hints, Told};
use super::schema::{ValueSchema, not_flattened};
use super::settings::{DebeziumBuilder, Flattened, sealed::Sealed};
use super::wrapping::Wrapping;
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
        self.settings.plain.told = Some(self.settings.flat.fields.fields());
        self.settings.plain.wrapping = Wrapping::Row;
        Ok(DebeziumFlatJson { buffer: Buffer::new(self.settings)?, hints })
    }
}

/// Decodes Debezium's flattened events in JSON.
///
/// * A row is a change: `r`, `c` or `u` as `__op` says; without it an update that holds the whole row, and a value that looks like the
///   placeholder for one not sent is taken for that. Members that the transform added are no columns; which these are says [`add_fields`](DebeziumBuilder::add_fields).
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

    left_to_the_buffer!();
}

impl Buffer {
    fn take_flat(&mut self, message: &Message<'_>, hints: &Hints) -> Result<Decoded, DecodeError> {
        let Some(value) = message.value else { return self.take_null(message, hints) };
        let Some(mut payload) = self.topic.open(value, &self.settings.plain)? else { return Ok(Decoded::FlushFirst) };
        if payload.scan.null().map_err(in_value)? {
            payload.end().map_err(in_value)?;
            return self.take_null(message, hints);
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
        if row.rest().bytes().all(|byte| matches!(byte, b'{' | b'}' | b' ' | b'\n' | b'\r' | b'\t')) {
            return Err(wanted("want a row with columns"));
        }
        if self.topic.rows.grew()
            && let Some(reason) = no_row(message, row.clone())?
        {
            return Ok(Decoded::Skipped(reason));
        }
        let mut told = Told::by_headers(message, hints)?;
        for (tag, from, to) in self.topic.rows.told() {
            told.read(*tag, payload.scan.part(*from, *to))?;
        }
        let end_of_columns = self.topic.rows.told().first().map(|(_, at, _)| at - from);
        self.take_row(message, hints, key, FlatRow::new(row, end_of_columns), told)
    }

    fn take_null(&mut self, message: &Message<'_>, hints: &Hints) -> Result<Decoded, DecodeError> {
        if self.is_tombstone(message, hints) {
            return Ok(Decoded::Skipped(SkipReason::Tombstone));
        }
        match self.read_key(message, || true)? {
            Some(key) => self.delete_by_null(message, hints, key),
            None => Ok(Decoded::FlushFirst),
        }
    }
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
