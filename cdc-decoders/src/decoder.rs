//! The contract of a decoder: [`Message`] in, [`Decoded`] out, [`ChangeBatch`] at [`Decoder::flush`].

use hudi_core::change::ChangeBatch;

use crate::error::DecodeError;
use crate::wire::SchemaId;

/// A header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's name.
    pub name: &'a str,
    /// The header's value, as sent.
    pub value: Option<&'a [u8]>,
}

/// One message of a topic, as the broker gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition of the topic.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The broker's timestamp in milliseconds since 1970 UTC.
    pub timestamp_ms: Option<i64>,
    /// The key, as sent.
    pub key: Option<&'a [u8]>,
    /// The value, as sent.
    pub value: Option<&'a [u8]>,
    /// The headers, in their order.
    pub headers: &'a [Header<'a>],
}

impl<'a> Message<'a> {
    /// The value of the first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|header| header.name == name)?.value
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Decoded {
    /// Its changes are buffered.
    Added {
        /// How many rows it gave.
        rows: usize,
    },
    /// It holds no change of a row.
    Skipped(SkipReason),
    /// It was *not* taken: it differs from what is buffered in something that a batch has only one of (topic, schema, key columns, source,
    /// its identity, run of the connector), or the buffer is full. Flush and send it again.
    FlushFirst,
    /// It was *not* taken: it was written with a schema that the decoder does not know. Fetch it, [`learn`](Decoder::learn) it,
    /// send the message again.
    NeedsSchema(SchemaId),
}

/// Why a message holds no change of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// No value: a marker for log compaction, after a delete.
    Tombstone,
    /// The connector says that it is alive.
    Heartbeat,
    /// A transaction began or ended.
    Transaction,
    /// The source's schema changed, or is told at the start of a snapshot.
    SchemaChange,
    /// The connector tells of its own progress.
    Notification,
    /// A message that an application wrote to the source's log.
    LogicalMessage,
    /// A row of the table by which users tell the connector what to do.
    Signal,
}

impl SkipReason {
    /// A stable name for counters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Heartbeat => "heartbeat",
            Self::Transaction => "transaction",
            Self::SchemaChange => "schema_change",
            Self::Notification => "notification",
            Self::LogicalMessage => "logical_message",
            Self::Signal => "signal",
        }
    }
}

/// Messages of one format to batches of changes: pushed, synchronous, without I/O.
pub trait Decoder: Send {
    /// Decodes one message into the buffered columns.
    ///
    /// # Errors
    /// A [`DecodeError`] says where, why, and whether going on makes sense. The message left no trace in what is buffered.
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError>;

    /// Learns a schema that [`Decoded::NeedsSchema`] asked for: its text, in the format's own language (Avro: JSON).
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where no message could be decoded by it.
    fn learn(&mut self, id: SchemaId, schema: &str) -> Result<(), DecodeError> {
        let _ = schema;
        Err(DecodeError::schema(id.to_string(), "this decoder asks for no schema"))
    }

    /// Hands over what is buffered, in the order of arrival; `None` where nothing is.
    ///
    /// # Errors
    /// [`DecodeError::Schema`] where the columns do not make a batch; what was buffered is lost then.
    fn flush(&mut self) -> Result<Option<ChangeBatch>, DecodeError>;

    /// Rows that the next [`flush`](Self::flush) will hand over.
    fn buffered_rows(&self) -> usize;

    /// Bytes that the buffered rows take, about.
    fn buffered_bytes(&self) -> usize;

    /// How many values were moved to the ends of what a table can hold (dates and timestamps outside 0001 to 9999), in all.
    fn clamped(&self) -> u64 {
        0
    }
}
