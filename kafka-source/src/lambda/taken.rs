//! [`Taken`]: what was read of an event.

use crate::Messages;
use crate::partition::TopicPartition;

/// What was read of an event.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The messages, in the order of each partition.
    pub messages: Messages,
    /// Where positions are no numbers (Kinesis, DynamoDB Streams): each message's sequence number.
    pub positions: Vec<String>,
    /// Records that are no messages. They are to become dead letters, or the batch is to be sent again.
    pub bad: Vec<BadRecord>,
}

/// A record of an event that is no message, though its position is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// The partition that it is from.
    pub place: TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// Its sequence number, where positions are no numbers.
    pub position: Option<String>,
    /// What is wrong with it. Holds no value.
    pub reason: String,
    /// The record as it stands in the event, values included: for a dead letter, not for a log.
    pub text: String,
}

impl Taken {
    /// The next record's offset where the source has none: counted from `first`.
    pub(super) fn offset(&self, first: i64) -> i64 {
        let taken = self.messages.len() + self.bad.len();
        first.saturating_add(i64::try_from(taken).unwrap_or(i64::MAX))
    }
}
