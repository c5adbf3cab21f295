//! A change taken apart ([`Event`]), and what it does to the columns: which image is read, and what its lack of a column means.
//!
//! Not here: how the parts are found in a message, for each wire format does that in its own file.

use hudi_core::change::Op;

use super::buffer::Buffer;
use super::changes::fingerprint;
use super::envelope;
use super::image::{RowImage, Take};
use super::rows::{Absent, Placeholder};
use super::source::{Connector, Source};
use crate::decoder::{Decoded, Message};
use crate::error::{DecodeError, Part};
use crate::scan::{Fault, Scan};

/// What a row takes beside its image, about.
const ROW_BYTES: usize = 96;

const RUN_ID: &str = "__debezium.context.runId";
/// The header of an inserted row that had another key before.
pub(crate) const OLD_KEY: &str = "__debezium.oldkey";
const NEW_KEY: &str = "__debezium.newkey";

const NO_OLD_KEY: &str = "the source does not send the row before an update, so that a row which changes it would be left behind: \
                          use the columns of the message key, or let the source send it (PostgreSQL: REPLICA IDENTITY FULL)";
const UNTOLD_OLD_KEY: &str = "it is not in the message key, and `before` does not tell what it was, or holds a value that also stands \
                              there when the source does not know";

/// A message about to give rows; `K` and `V` are what its key and its rows are written in.
pub(crate) struct Event<'m, 'a, K, V> {
    pub(crate) message: &'m Message<'a>,
    pub(crate) source: &'m Source<'m>,
    pub(crate) op: Op,
    pub(crate) key: Option<K>,
    pub(crate) before: Option<V>,
    pub(crate) after: Option<V>,
    /// What is in the columns already.
    pub(crate) read: Read,
    /// What it means that `after` lacks a column.
    pub(crate) absent: Absent,
}

/// Which image of a message was read into the columns before it was known what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    Nothing,
    After,
    /// The image of a row that was deleted, of which the key alone can be trusted.
    Before,
}

impl<K: RowImage, V: RowImage> Event<'_, '_, K, V> {
    fn fingerprint(&self, op: Op, image: Option<&V>) -> u64 {
        fingerprint(self.key.as_ref().map_or(&[][..], K::raw), op, image.map_or(&[][..], V::raw))
    }

    /// Whether a value may be missing with the placeholder in its place (see [`super::unavailable`]).
    fn placeholder(&self) -> Placeholder {
        match (self.source.connector, self.op) {
            (_, Op::Snapshot | Op::Truncate) => Placeholder::Value,
            (Connector::Postgres | Connector::Other, Op::Insert)
                if !self.message.headers.is_empty() && self.message.header(OLD_KEY).is_none() =>
            {
                Placeholder::Value
            }
            // A flattened row may not tell its connector.
            (Connector::Postgres | Connector::Oracle | Connector::Other, Op::Upsert) => Placeholder::MayBeNew,
            (Connector::Postgres | Connector::Oracle | Connector::Other, _) => Placeholder::NotSent,
            _ => Placeholder::Value,
        }
    }

    /// The other key of a row whose key changed, from the header that only its two messages have.
    fn other_key(&self) -> Option<Scan<'_>> {
        let header = match self.op {
            Op::Delete => NEW_KEY,
            Op::Insert => OLD_KEY,
            _ => return None,
        };
        object_in(self.message.header(header)?)
    }

    /// Refuses what may leave a row behind: the user's key has a column that is not in the message key, and `before` does not
    /// tell what it was. PostgreSQL without REPLICA IDENTITY FULL sends no `before` with updates, and with deletes one that
    /// holds the type's default wherever it knows nothing.
    fn tells_the_old_key(&self, columns: &[String]) -> Result<(), DecodeError> {
        if !matches!(self.op, Op::Update | Op::Upsert | Op::Delete) {
            return Ok(());
        }
        for column in columns {
            let in_key = self.key.as_ref().map(|key| key.held(column)).transpose();
            if in_key.map_err(|fault| fault.in_part(Part::Key))?.flatten().is_some() {
                continue;
            }
            let Some(before) = &self.before else {
                let what = format!("key column `{column}`, which is not in the message key");
                return Err(DecodeError::UnsupportedSource { what, why: NO_OLD_KEY });
            };
            let old = before.held(column).map_err(in_value)?;
            let by_default = self.source.connector == Connector::Postgres && old.is_some_and(|old| old.is_a_default);
            if old.is_none() || by_default {
                return Err(DecodeError::Value { column: column.clone(), reason: UNTOLD_OLD_KEY.to_owned() });
            }
        }
        Ok(())
    }

    /// `before` and `after` of an update that changes the user's key columns.
    fn moves(&self, columns: &[String]) -> Result<Option<[&V; 2]>, DecodeError> {
        let (Some(before), Some(after)) = (&self.before, &self.after) else { return Ok(None) };
        let mut moved = false;
        for column in columns {
            let old = before.held(column).map_err(in_value)?;
            let new = after.held(column).map_err(in_value)?;
            moved |= old.zip(new).is_some_and(|(old, new)| old.raw != new.raw);
        }
        Ok(moved.then_some([before, after]))
    }
}

impl Buffer {
    /// Adds the rows that a change gives.
    pub(crate) fn apply(
        &mut self,
        event: &Event<'_, '_, impl RowImage, impl RowImage>,
    ) -> Result<Decoded, DecodeError> {
        let run = event.message.header(RUN_ID);
        if self.changes.excludes(event.source, run) {
            return Ok(Decoded::FlushFirst);
        }
        let rows = self.changes.len();
        let fixed = self.settings.keys_never_change || self.topic.documents.is_some();
        let overridden = self.topic.key.overridden() && !fixed;
        if overridden {
            event.tells_the_old_key(self.topic.key.columns())?;
        }
        match event.op {
            Op::Delete => self.delete(event)?,
            Op::Update | Op::Upsert if overridden => self.update(event)?,
            Op::Update if self.tells_rows_by_image() && event.before.is_some() => self.replace(event)?,
            Op::Insert | Op::Update | Op::Upsert | Op::Snapshot => self.upsert(event)?,
            Op::Truncate => self.truncate(event)?,
        }
        self.bytes += self.topic.rows.plain_bytes();
        self.changes.note(event.source, run);
        Ok(Decoded::Added { rows: self.changes.len() - rows })
    }

    /// The delete of the row that the key names, with what `before` has of it.
    fn delete(&mut self, event: &Event<'_, '_, impl RowImage, impl RowImage>) -> Result<(), DecodeError> {
        if event.key.is_none() && event.before.is_none() {
            return Err(wanted("a delete needs a key, or an object as `before`"));
        }
        match event.read {
            Read::Nothing => self.delete_row(event, event.key.as_ref())?,
            Read::After => {
                self.topic.rows.clear_open();
                self.delete_row(event, event.key.as_ref())?;
            }
            Read::Before => self.delete_read_row(event)?,
        }
        self.moved(event)
    }

    /// The delete of a row that is in the columns: of it the key stays; all of it, where there is no key.
    fn delete_read_row(&mut self, event: &Event<'_, '_, impl RowImage, impl RowImage>) -> Result<(), DecodeError> {
        let rows = &mut self.topic.rows;
        rows.keep_key();
        if let Some(key) = &event.key
            && rows.lacks_a_key()
        {
            key.read(rows, Take { part: Part::Key, first_wins: true, unavailable: &self.unavailable })?;
        }
        self.close_deleted(event)
    }

    fn delete_row<K: RowImage>(
        &mut self,
        event: &Event<'_, '_, K, impl RowImage>,
        key: Option<&K>,
    ) -> Result<(), DecodeError> {
        let rows = &mut self.topic.rows;
        let take = |part, first_wins| Take { part, first_wins, unavailable: &self.unavailable };
        if let Some(key) = key {
            key.read(rows, take(Part::Key, false))?;
        }
        if let Some(before) = &event.before {
            self.bytes += before.memory_bytes();
            before.read(rows, take(Part::Value, true))?;
        }
        self.close_deleted(event)
    }

    fn close_deleted(&mut self, event: &Event<'_, '_, impl RowImage, impl RowImage>) -> Result<(), DecodeError> {
        if self.topic.rows.lacks_a_key() {
            return Err(wanted("a delete does not tell all columns of the key"));
        }
        self.topic.rows.close(Absent::NotSent, event.placeholder())?;
        self.bytes += ROW_BYTES;
        let fingerprint = event.fingerprint(Op::Delete, event.before.as_ref());
        self.changes.push(event.message, event.source, Op::Delete, fingerprint)
    }

    /// An update that may change the key columns that the user names: then the old row goes.
    fn update(&mut self, event: &Event<'_, '_, impl RowImage, impl RowImage>) -> Result<(), DecodeError> {
        let Some([before, after]) = event.moves(self.topic.key.columns())? else { return self.upsert(event) };
        self.delete_row(event, None)?;
        self.other_key([after, before])?;
        self.upsert(event)?;
        self.other_key([before, after])
    }

    /// Whether nothing but all of its values tells a row.
    fn tells_rows_by_image(&self) -> bool {
        self.topic.key.columns().is_empty()
    }

    /// An update of a row that only its values tell: the row that it was goes, the one that it is comes.
    fn replace(&mut self, event: &Event<'_, '_, impl RowImage, impl RowImage>) -> Result<(), DecodeError> {
        let Some(after) = &event.after else { return Err(wanted("want a row as `after`")) };
        if event.read == Read::After {
            self.topic.rows.clear_open();
        }
        self.delete_row(event, None)?;
        let take = Take { part: Part::Value, first_wins: false, unavailable: &self.unavailable };
        after.read(&mut self.topic.rows, take)?;
        self.close_upserted(event, after)
    }

    fn upsert(&mut self, event: &Event<'_, '_, impl RowImage, impl RowImage>) -> Result<(), DecodeError> {
        let Some(after) = &event.after else { return Err(wanted("want a row as `after`")) };
        let rows = &mut self.topic.rows;
        let take = |part, first_wins| Take { part, first_wins, unavailable: &self.unavailable };
        if event.read == Read::Nothing {
            after.read(rows, take(Part::Value, false))?;
        }
        if let Some(key) = &event.key
            && rows.lacks_a_key()
        {
            key.read(rows, take(Part::Key, true))?;
        }
        self.close_upserted(event, after)?;
        self.moved(event)
    }

    fn close_upserted<V: RowImage>(
        &mut self,
        event: &Event<'_, '_, impl RowImage, V>,
        after: &V,
    ) -> Result<(), DecodeError> {
        // What no value looks like is not that of a new row.
        let (op, placeholder) = match (event.op, event.placeholder()) {
            (Op::Upsert, Placeholder::MayBeNew) if self.topic.rows.surely_lacks() => (Op::Update, Placeholder::NotSent),
            told => told,
        };
        self.topic.rows.close(event.absent, placeholder)?;
        self.bytes += after.memory_bytes() + ROW_BYTES;
        let fingerprint = event.fingerprint(op, Some(after));
        self.changes.push(event.message, event.source, op, fingerprint)
    }

    /// A row that holds nothing. One that tells of a row contradicts itself, and too much would be lost by believing it.
    fn truncate(&mut self, event: &Event<'_, '_, impl RowImage, impl RowImage>) -> Result<(), DecodeError> {
        if event.before.is_some() || event.after.is_some() {
            return Err(wanted("want no row in a truncate event"));
        }
        self.topic.rows.close(Absent::Null, Placeholder::Value)?;
        self.bytes += ROW_BYTES;
        self.changes.push(event.message, event.source, Op::Truncate, event.fingerprint(Op::Truncate, None))
    }

    /// Notes the other key of the last row, if its message tells one.
    fn moved(&mut self, event: &Event<'_, '_, impl RowImage, impl RowImage>) -> Result<(), DecodeError> {
        let Some(key) = event.other_key() else { return Ok(()) };
        let take = Take { part: Part::Key, first_wins: false, unavailable: &self.unavailable };
        self.topic.moved.push(self.changes.len() - 1, &self.topic.rows, |keys| key.read(keys, take))
    }

    /// The other key of the last row: the user's columns, each from the first image that has it.
    fn other_key<V: RowImage>(&mut self, images: [&V; 2]) -> Result<(), DecodeError> {
        let take = Take { part: Part::Value, first_wins: false, unavailable: &self.unavailable };
        let columns = self.topic.key.columns();
        self.topic.moved.push(self.changes.len() - 1, &self.topic.rows, |keys| {
            for column in columns {
                let [first, second] = images;
                let _ = first.read_column(column, keys, take)? || second.read_column(column, keys, take)?;
            }
            Ok(())
        })
    }
}

/// The object in a header, with or without schema. What else some header converter wrote there tells nothing.
fn object_in(header: &[u8]) -> Option<Scan<'_>> {
    let scan = envelope::unwrapped(header).ok()?;
    let mut whole = scan.clone();
    (whole.peek() == b'{').then_some(())?;
    whole.skip().and_then(|()| whole.end()).ok()?;
    Some(scan)
}

pub(crate) fn in_value(fault: Fault) -> DecodeError {
    fault.in_part(Part::Value)
}

pub(crate) const fn wanted(reason: &'static str) -> DecodeError {
    DecodeError::Malformed { part: Part::Value, offset: 0, reason }
}
