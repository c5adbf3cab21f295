//! Debezium's JSON, with and without inline schema, to batches of changes: [`DebeziumJson`].
//!
//! The envelope is read once, and `after` goes straight into the columns before `op` is known: what turns out to be no such row is
//! taken back. Types come from the inline schema; without one, from the declared schema; with neither, from the values.
//!
//! Not here: flattened events, other wire formats of the same envelope.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use hudi_core::change::{ChangeBatch, Op};

use super::changes::{Changes, fingerprint};
use super::envelope::{self, Image, MEMBERS, Seen};
use super::key::KeyRead;
use super::plan::column_name;
use super::rows::Absent;
use super::schema::{DeclaredSchema, ValueSchema};
use super::source::{Connector, Source, malformed};
use super::topic::{Plain, Topic};
use super::unavailable::{DEFAULT_PLACEHOLDER, Unavailable};
use crate::decoder::{Decoded, Decoder, Message, SkipReason};
use crate::error::{DecodeError, Part};
use crate::scan::{Fault, Scan, Scanned};

/// Beyond this much, a message waits for a flush: an array's texts must stay below 2^31 bytes.
const MAX_BUFFERED_BYTES: usize = 1 << 30;
/// What a row takes beside its image, about.
const ROW_BYTES: usize = 96;

const RUN_ID: &str = "__debezium.context.runId";
const OLD_KEY: &str = "__debezium.oldkey";

/// Settings of a [`DebeziumJson`].
#[derive(Debug, Default)]
pub struct DebeziumJsonBuilder {
    plain: Plain,
    key_columns: Option<Vec<String>>,
    placeholder: Option<String>,
}

impl DebeziumJsonBuilder {
    /// The schema of rows whose messages bring none.
    #[must_use]
    pub fn declared(mut self, schema: DeclaredSchema) -> Self {
        self.plain.declared = Some(schema);
        self
    }

    /// The stored schema of the table that the changes go on with: without inline and declared schema its columns keep their types
    /// as long as the values allow. Columns that the table added are passed over.
    #[must_use]
    pub fn known(mut self, stored: &Schema) -> Self {
        self.plain.known = Some(stored.clone());
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
    /// [`DecodeError::Schema`] where the stored schema has a column of a type that no decoder gives.
    pub fn build(self) -> Result<DebeziumJson, DecodeError> {
        self.plain.rows()?;
        Ok(DebeziumJson {
            plain: self.plain,
            key_columns: self.key_columns,
            unavailable: Unavailable::new(self.placeholder.as_deref().unwrap_or(DEFAULT_PLACEHOLDER)),
            topic: Topic::default(),
            parked: HashMap::new(),
            changes: Changes::default(),
            bytes: 0,
        })
    }
}

const NO_OLD_KEY: &str = "the source does not send the row before an update, so that a row which changes it would be left behind: \
                          use the columns of the message key, or let the source send it (PostgreSQL: REPLICA IDENTITY FULL)";
const UNTOLD_OLD_KEY: &str = "it is not in the message key, and `before` does not tell what it was, or holds a value that also stands \
                              there when the source does not know";

/// Whether a value is what PostgreSQL puts for a column that it knows nothing of.
fn is_a_default(value: &str) -> bool {
    matches!(value, "null" | "0" | "0.0" | "false" | "\"\"")
}

/// Decodes Debezium's JSON.
///
/// * `c`, `u`, `r` give a row of `after`; `d` one of the key and what `before` has. A column that the image lacks was not sent.
/// * `t` gives a row of [`Op::Truncate`], which holds nothing and has no key; the key columns stay what they are.
/// * The columns that the source calls the key are those of the message key. With [`key_columns`](DebeziumJsonBuilder::key_columns)
///   other than these, an update that changes them gives two rows, a delete of the old key and the update, if `before` tells it.
/// * Without any key an update gives two rows as well, a delete of `before` and the update: all of its values tell the row.
/// * A message key must be a JSON object, or null; one that is other JSON is passed over if the user names the key columns.
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
    plain: Plain,
    key_columns: Option<Vec<String>>,
    unavailable: Unavailable,
    /// The topic of the last message.
    topic: Topic,
    /// The others seen so far.
    parked: HashMap<Arc<str>, Topic>,
    changes: Changes,
    bytes: usize,
}

/// The envelope's members; `after` is read already, if it could be.
#[derive(Default)]
struct Members<'a> {
    seen: Seen,
    before: Image,
    after: Image,
    after_is_read: bool,
    op: Option<&'a str>,
    source: Option<Source<'a>>,
}

/// A message about to give rows.
struct Change<'m, 'a> {
    message: &'m Message<'a>,
    source: &'m Source<'m>,
    op: Op,
    key: Option<Scan<'a>>,
    before: Option<Scan<'a>>,
    after: Option<Scan<'a>>,
    after_is_read: bool,
}

impl Change<'_, '_> {
    fn fingerprint(&self, op: Op, image: Option<&Scan<'_>>) -> u64 {
        fingerprint(self.key.as_ref().map_or("", Scan::rest), op, image.map_or("", Scan::rest))
    }

    /// Whether a value may be missing with the placeholder in its place (see [`super::unavailable`]).
    fn leaves_out(&self) -> bool {
        match (self.source.connector, self.op) {
            (Connector::Postgres, Op::Insert) => {
                self.message.headers.is_empty() || self.message.header(OLD_KEY).is_some()
            }
            (Connector::Postgres | Connector::Oracle, Op::Insert | Op::Update | Op::Delete) => true,
            _ => false,
        }
    }
}

impl DebeziumJson {
    /// The settings of a new decoder.
    #[must_use]
    pub fn builder() -> DebeziumJsonBuilder {
        DebeziumJsonBuilder::default()
    }

    /// Makes the topic the current one.
    fn enter(&mut self, name: &str) -> Result<(), DecodeError> {
        let next = match self.parked.remove(name) {
            Some(known) => known,
            None => Topic::new(name, &self.plain)?,
        };
        let last = std::mem::replace(&mut self.topic, next);
        if last.entered {
            self.parked.insert(Arc::clone(&last.name), last);
        }
        Ok(())
    }

    fn take(&mut self, message: &Message<'_>, value: &[u8]) -> Result<Decoded, DecodeError> {
        let Some(mut payload) = self.topic.open(value, &self.plain)? else { return Ok(Decoded::FlushFirst) };
        if payload.scan.null().map_err(in_value)? {
            payload.end().map_err(in_value)?;
            return Ok(Decoded::Skipped(SkipReason::Tombstone));
        }
        if let Some(ValueSchema::Control(reason)) = self.topic.meaning() {
            let reason = *reason;
            payload.scan.skip().and_then(|()| payload.end()).map_err(in_value)?;
            return Ok(Decoded::Skipped(reason));
        }
        let is_truncate = || envelope::is_truncate(payload.scan.clone());
        let fixed = self.changes.speak_of_rows();
        let key = match self.topic.key.read(message.key, self.key_columns.as_deref(), fixed, is_truncate)? {
            KeyRead::Same(key) => key,
            KeyRead::Changed(key) => {
                self.topic.rows.set_keys(self.topic.key.columns());
                key
            }
            KeyRead::FlushFirst => return Ok(Decoded::FlushFirst),
        };
        let members = self.members(&mut payload.scan)?;
        payload.end().map_err(in_value)?;
        if !members.seen.is_change() {
            return members.seen.control().map(Decoded::Skipped).ok_or_else(no_envelope);
        }
        let Some(op) = operation(members.op)? else { return Ok(Decoded::Skipped(SkipReason::LogicalMessage)) };
        let source = members.source.as_ref().ok_or(wanted("want an object as `source`"))?;
        source.check()?;
        let run = message.header(RUN_ID);
        if self.changes.excludes(source, run) {
            return Ok(Decoded::FlushFirst);
        }
        let rows = self.changes.len();
        let before = object(&payload.scan, members.before)?;
        let after = object(&payload.scan, members.after)?;
        let change = Change { message, source, op, key, before, after, after_is_read: members.after_is_read };
        if self.topic.key.overridden() {
            self.tells_the_old_key(&change)?;
        }
        match op {
            Op::Delete => self.delete(&change)?,
            Op::Insert | Op::Update | Op::Snapshot => self.upsert(&change)?,
            Op::Truncate => self.truncate(&change)?,
        }
        self.changes.note(source, run);
        Ok(Decoded::Added { rows: self.changes.len() - rows })
    }

    /// Reads the envelope, and `after` into the columns unless the old key may have to go before it.
    fn members<'a>(&mut self, scan: &mut Scan<'a>) -> Result<Members<'a>, DecodeError> {
        let Topic { rows, envelope, source, key, .. } = &mut self.topic;
        let mut members = Members::default();
        scan.expect(b'{', "want an object: Debezium's envelope").map_err(in_value)?;
        while let Some(member) = envelope.member(scan, members.seen.members, MEMBERS).map_err(in_value)? {
            if members.seen.twice(member) {
                return Err(in_value(scan.syntax("a member that comes twice")));
            }
            match member {
                envelope::BEFORE => members.before = image(scan).map_err(in_value)?,
                envelope::AFTER if scan.peek() == b'{' && !key.overridden() => {
                    let from = scan.at();
                    rows.read(scan, Part::Value, false, &self.unavailable)?;
                    members.after = Image::Object(from, scan.at());
                    members.after_is_read = true;
                }
                envelope::AFTER => members.after = image(scan).map_err(in_value)?,
                envelope::SOURCE if scan.peek() == b'{' => {
                    members.source = Some(source.read(scan).map_err(malformed)?);
                }
                envelope::OP if scan.peek() == b'"' => members.op = Some(scan.string().map_err(in_value)?.raw),
                _ => scan.skip().map_err(in_value)?,
            }
        }
        Ok(members)
    }

    /// The delete of the row that the key names, with what `before` has of it.
    fn delete(&mut self, change: &Change<'_, '_>) -> Result<(), DecodeError> {
        if change.key.is_none() && change.before.is_none() {
            return Err(wanted("a delete needs a key, or an object as `before`"));
        }
        if change.after_is_read {
            self.topic.rows.clear_open();
        }
        self.delete_row(change, change.key.clone())
    }

    fn delete_row(&mut self, change: &Change<'_, '_>, key: Option<Scan<'_>>) -> Result<(), DecodeError> {
        let rows = &mut self.topic.rows;
        if let Some(mut key) = key {
            rows.read(&mut key, Part::Key, false, &self.unavailable)?;
        }
        if let Some(mut before) = change.before.clone() {
            self.bytes += before.rest().len();
            rows.read(&mut before, Part::Value, true, &self.unavailable)?;
        }
        rows.close(Absent::NotSent, change.leaves_out())?;
        self.bytes += ROW_BYTES;
        let fingerprint = change.fingerprint(Op::Delete, change.before.as_ref());
        self.changes.push(change.message, change.source, Op::Delete, fingerprint)
    }

    fn upsert(&mut self, change: &Change<'_, '_>) -> Result<(), DecodeError> {
        let Some(after) = &change.after else { return Err(wanted("want an object as `after`")) };
        let leaves = change.op == Op::Update && self.leaves_its_row(change)?;
        if leaves {
            if change.after_is_read {
                self.topic.rows.clear_open();
            }
            self.delete_row(change, None)?;
        }
        let rows = &mut self.topic.rows;
        if leaves || !change.after_is_read {
            rows.read(&mut after.clone(), Part::Value, false, &self.unavailable)?;
        }
        if let Some(key) = &change.key
            && rows.lacks_a_key()
        {
            rows.read(&mut key.clone(), Part::Key, true, &self.unavailable)?;
        }
        let absent = if change.op == Op::Update { Absent::NotSent } else { Absent::Null };
        rows.close(absent, change.leaves_out())?;
        self.bytes += after.rest().len() + ROW_BYTES;
        let fingerprint = change.fingerprint(change.op, change.after.as_ref());
        self.changes.push(change.message, change.source, change.op, fingerprint)
    }

    /// A row that holds nothing. One that tells of a row contradicts itself, and too much would be lost by believing it.
    fn truncate(&mut self, change: &Change<'_, '_>) -> Result<(), DecodeError> {
        if change.before.is_some() || change.after.is_some() {
            return Err(wanted("want no row in a truncate event"));
        }
        self.topic.rows.close(Absent::Null, false)?;
        self.bytes += ROW_BYTES;
        self.changes.push(change.message, change.source, Op::Truncate, change.fingerprint(Op::Truncate, None))
    }

    /// Refuses what may leave a row behind: the user's key has a column that is not in the message key, and `before` does not
    /// tell what it was. PostgreSQL without REPLICA IDENTITY FULL sends no `before` with updates, and with deletes one that
    /// holds the type's default wherever it knows nothing.
    fn tells_the_old_key(&self, change: &Change<'_, '_>) -> Result<(), DecodeError> {
        if !matches!(change.op, Op::Update | Op::Delete) {
            return Ok(());
        }
        for column in self.topic.key.columns() {
            let in_key = change.key.as_ref().map(|key| member(key.clone(), column)).transpose().map_err(in_value)?;
            if in_key.flatten().is_some() {
                continue;
            }
            let Some(before) = &change.before else {
                let what = format!("key column `{column}`, which is not in the message key");
                return Err(DecodeError::UnsupportedSource { what, why: NO_OLD_KEY });
            };
            let old = member(before.clone(), column).map_err(in_value)?;
            let by_default = change.source.connector == Connector::Postgres && old.is_some_and(is_a_default);
            if old.is_none() || by_default {
                return Err(DecodeError::Value { column: column.clone(), reason: UNTOLD_OLD_KEY.to_owned() });
            }
        }
        Ok(())
    }

    /// Whether an update needs a delete before it: it changes the user's key columns, or there is no key, and what the row was tells it.
    fn leaves_its_row(&self, change: &Change<'_, '_>) -> Result<bool, DecodeError> {
        if self.topic.key.columns().is_empty() {
            return Ok(change.before.is_some());
        }
        Ok(self.topic.key.overridden() && self.moves(change)?)
    }

    /// Whether an update changes the user's key columns.
    fn moves(&self, change: &Change<'_, '_>) -> Result<bool, DecodeError> {
        let (Some(before), Some(after)) = (&change.before, &change.after) else { return Ok(false) };
        let mut moved = false;
        for column in self.topic.key.columns() {
            let old = member(before.clone(), column).map_err(in_value)?;
            let new = member(after.clone(), column).map_err(in_value)?;
            moved |= old.is_some() && new.is_some() && old != new;
        }
        Ok(moved)
    }
}

impl Decoder for DebeziumJson {
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let Some(value) = message.value else { return Ok(Decoded::Skipped(SkipReason::Tombstone)) };
        if !self.topic.entered || *self.topic.name != *message.topic {
            if !self.changes.is_empty() {
                return Ok(envelope::control(value).map_or(Decoded::FlushFirst, Decoded::Skipped));
            }
            self.enter(message.topic)?;
        } else if self.bytes > 0 && self.bytes + value.len() > MAX_BUFFERED_BYTES {
            return Ok(Decoded::FlushFirst);
        }
        let (rows, bytes) = (self.changes.len(), self.bytes);
        self.topic.rows.begin();
        let decoded = self.take(message, value);
        if !matches!(decoded, Ok(Decoded::Added { .. })) {
            self.topic.rows.roll_back();
            self.changes.truncate(rows);
            self.bytes = bytes;
        }
        decoded
    }

    fn flush(&mut self) -> Result<Option<ChangeBatch>, DecodeError> {
        if self.changes.is_empty() {
            return Ok(None);
        }
        self.bytes = 0;
        let finished = self.topic.rows.finish();
        let (rows, unsent) = finished.map_err(|e| {
            self.topic.rows.clear_open();
            self.changes = Changes::default();
            DecodeError::schema("(batch)", e.to_string())
        })?;
        let keys = self.topic.key.columns_of_batch(self.key_columns.as_deref());
        let batch = self.changes.finish(Arc::clone(&self.topic.name), keys, rows, unsent);
        Ok(Some(ChangeBatch { whole_schema: self.topic.meaning().is_some(), ..batch }))
    }

    fn buffered_rows(&self) -> usize {
        self.changes.len()
    }

    fn buffered_bytes(&self) -> usize {
        self.bytes
    }

    fn clamped(&self) -> u64 {
        self.topic.clamped() + self.parked.values().map(Topic::clamped).sum::<u64>()
    }
}

fn in_value(fault: Fault) -> DecodeError {
    fault.in_part(Part::Value)
}

const fn wanted(reason: &'static str) -> DecodeError {
    DecodeError::Malformed { part: Part::Value, offset: 0, reason }
}

fn no_envelope() -> DecodeError {
    DecodeError::Unsupported {
        what: "a message that is no Debezium envelope".to_owned(),
        why: "it has neither `op` nor `source`; events flattened by a transform are not decoded",
    }
}

/// The operation of a change; `None` for a message of the source's log.
fn operation(op: Option<&str>) -> Result<Option<Op>, DecodeError> {
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

fn image(scan: &mut Scan<'_>) -> Scanned<Image> {
    let kind = scan.peek();
    let from = scan.at();
    scan.skip()?;
    Ok(match kind {
        b'{' => Image::Object(from, scan.at()),
        b'n' => Image::Null,
        _ => Image::Other,
    })
}

fn object<'a>(scan: &Scan<'a>, image: Image) -> Result<Option<Scan<'a>>, DecodeError> {
    match image {
        Image::Object(from, to) => Ok(Some(scan.part(from, to))),
        Image::Absent | Image::Null => Ok(None),
        Image::Other => Err(wanted("want an object or null as `before` and `after`")),
    }
}

/// The value of a column in a row's object, as it stands there.
fn member<'a>(mut object: Scan<'a>, column: &str) -> Scanned<Option<&'a str>> {
    object.expect(b'{', "want an object")?;
    let mut first = true;
    while object.member(first)? {
        first = false;
        let name = object.key()?.to_text()?;
        object.peek();
        let from = object.at();
        object.skip()?;
        if *name == *column || column_name(&name) == column {
            return Ok(Some(object.since(from)));
        }
    }
    Ok(None)
}
