//! [`Event`]: what a consumer has to say.

use crate::messages::Messages;
use crate::offsets::{Refusal, Start};
use crate::partition::TopicPartition;

/// What a consumer has to say. Each wants something done.
#[derive(Debug)]
pub enum Event {
    /// These become ours: say where they begin, by the tables' checkpoints read anew. Told again until that is said.
    Assigned(Vec<TopicPartition>),
    /// Messages, in the order of each partition.
    Batch(Messages),
    /// These are asked back: commit what was taken of them, and say so. The next call gives up what is not committed; forget that too,
    /// for another consumer reads it.
    Revoked(Vec<TopicPartition>),
    /// These are not ours any more, and another consumer may read them: drop what was taken of them.
    Lost(Vec<TopicPartition>),
    /// So much is in flight that nothing is fetched any more: commit.
    Full,
    /// Messages went away before they were read, and the policy allows it: what is between is lost. Belongs into the tables'
    /// checkpoints ([`Start::note`]), after what was taken before.
    Skipped(Start),
    /// Messages went away before they were read, and the policy does not say what to do: the partition is read no further. Others are.
    Refused(Refusal),
    /// A partition was read to its end. More may come.
    End(TopicPartition),
}

/// How far a partition is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The partition.
    pub place: TopicPartition,
    /// The next offset that is handed on.
    pub next: i64,
    /// The offset after the last message that can be read, when the broker said so last.
    pub latest: i64,
}

impl Lag {
    /// How many messages are still to be read, at most.
    #[must_use]
    pub fn messages(&self) -> i64 {
        (self.latest - self.next).max(0)
    }
}
