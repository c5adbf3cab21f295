//! What is buffered between two flushes, and what is remembered of each topic: what all decoders of Debezium's have in common.
//!
//! Not here: how a message is taken apart, and what it does to a row ([`super::event`]).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::error::ArrowError;
use hudi_core::change::ChangeBatch;

use super::changes::{Changes, Images};
use super::key::KeyRead;
use super::settings::Settings;
use super::topic::Topic;
use super::unavailable::{DEFAULT_PLACEHOLDER, Unavailable};
use crate::decoder::{Decoded, Message, SkipReason};
use crate::error::DecodeError;
use crate::scan::Scan;

/// Beyond this much, a message waits for a flush: an array's texts must stay below 2^31 bytes.
const MAX_BUFFERED_BYTES: usize = 1 << 30;

/// Changes of one topic, and what is known of all.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) settings: Settings,
    pub(crate) unavailable: Unavailable,
    /// The topic of the last message.
    pub(crate) topic: Topic,
    /// The others seen so far.
    parked: HashMap<Arc<str>, Topic>,
    pub(crate) changes: Changes,
    pub(crate) bytes: usize,
}

impl Buffer {
    /// Nothing buffered.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where the stored schema has a column of a type that no decoder gives.
    pub(crate) fn new(settings: Settings) -> Result<Self, DecodeError> {
        settings.plain.rows()?;
        let unavailable = Unavailable::new(settings.placeholder.as_deref().unwrap_or(DEFAULT_PLACEHOLDER));
        Ok(Self {
            settings,
            unavailable,
            topic: Topic::default(),
            parked: HashMap::new(),
            changes: Changes::default(),
            bytes: 0,
        })
    }

    /// Decodes a message by `take`, with its topic the current one. What is not added leaves no trace.
    ///
    /// `control` says why a message holds no change, without decoding it: asked for messages of another topic than the buffered ones.
    #[inline]
    pub(crate) fn decode(
        &mut self,
        message: &Message<'_>,
        control: impl FnOnce() -> Option<SkipReason>,
        take: impl FnOnce(&mut Self) -> Result<Decoded, DecodeError>,
    ) -> Result<Decoded, DecodeError> {
        if !self.topic.entered || *self.topic.name != *message.topic {
            if self.settings.is_signal(message.topic) {
                return Ok(Decoded::Skipped(SkipReason::Signal));
            }
            if !self.changes.is_empty() {
                return Ok(control().map_or(Decoded::FlushFirst, Decoded::Skipped));
            }
            self.enter(message.topic)?;
        } else if self.bytes > 0 && self.bytes + message.value.map_or(0, <[u8]>::len) > MAX_BUFFERED_BYTES {
            return Ok(Decoded::FlushFirst);
        }
        let (rows, bytes) = (self.changes.len(), self.bytes);
        self.topic.begin();
        let decoded = take(self);
        if !matches!(decoded, Ok(Decoded::Added { .. })) {
            self.topic.roll_back();
            self.changes.truncate(rows);
            self.bytes = bytes;
        }
        decoded
    }

    /// Makes the topic the current one.
    fn enter(&mut self, name: &str) -> Result<(), DecodeError> {
        let next = match self.parked.remove(name) {
            Some(known) => known,
            None => Topic::new(name, &self.settings.plain)?,
        };
        let last = std::mem::replace(&mut self.topic, next);
        if last.entered {
            self.parked.insert(Arc::clone(&last.name), last);
        }
        Ok(())
    }

    /// Reads the message's key: its object, if it has one. `None`: its columns would change those of buffered rows.
    /// `is_of_no_row` is asked where there is none and that would matter.
    pub(crate) fn read_key<'a>(
        &mut self,
        message: &Message<'a>,
        is_of_no_row: impl FnOnce() -> bool,
    ) -> Result<Option<Option<Scan<'a>>>, DecodeError> {
        let fixed = self.changes.speak_of_rows();
        let users = self.settings.key_columns.as_deref();
        Ok(match self.topic.key.read(message.key, users, fixed, is_of_no_row)? {
            KeyRead::Same(key) => Some(key),
            KeyRead::Changed(key) => {
                self.topic.set_keys();
                Some(key)
            }
            KeyRead::FlushFirst => None,
        })
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) -> Result<Option<ChangeBatch>, DecodeError> {
        if self.changes.is_empty() {
            return Ok(None);
        }
        self.bytes = 0;
        let batch = self.batch().map_err(|e| {
            self.topic.rows.clear_open();
            self.changes = Changes::default();
            DecodeError::schema("(batch)", e.to_string())
        })?;
        Ok(Some(batch))
    }

    fn batch(&mut self) -> Result<ChangeBatch, ArrowError> {
        let (rows, unsent) = self.topic.rows.finish()?;
        let key_columns = self.topic.key_columns(self.settings.key_columns.as_deref());
        let other_keys = self.topic.moved.finish(&key_columns, rows.schema_ref(), rows.num_rows())?;
        let topic = Arc::clone(&self.topic.name);
        let whole_schema = self.topic.has_schema();
        self.changes.finish(Images { topic, key_columns, rows, whole_schema, unsent, other_keys })
    }

    /// Rows that the next flush will hand over.
    pub(crate) const fn rows(&self) -> usize {
        self.changes.len()
    }

    /// Values moved to the ends of what a table can hold, in all.
    pub(crate) fn clamped(&self) -> u64 {
        self.topic.clamped() + self.parked.values().map(Topic::clamped).sum::<u64>()
    }
}

/// What every decoder leaves to its buffer.
macro_rules! left_to_the_buffer {
    () => {
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
    };
}
pub(crate) use left_to_the_buffer;
