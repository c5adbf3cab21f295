//! What can go wrong while a source is read.

use std::io;
use std::path::PathBuf;

/// The result of reading a source.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a source yields no further record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or read on, a broken gzip stream included. Reading again yields the same.
    #[error("{}, after line {line}: {source}", file.display())]
    Unreadable {
        /// The capture file.
        file: PathBuf,
        /// The last line that was read whole; 0 before the first.
        line: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// One line is no record. Reading again goes on with the line after it.
    #[error("{}, line {line}: {reason}", file.display())]
    Malformed {
        /// The capture file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An event that a function was called with cannot be read: none of it, for it does not tell positions.
    #[error("event of {kind}, {place}: {reason}")]
    Event {
        /// What events were expected.
        kind: &'static str,
        /// Where in the event.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// A setting cannot be used. Never holds its value, which may be a secret.
    #[error("setting `{name}`: want {want}")]
    Setting {
        /// The setting's name.
        name: String,
        /// What would be accepted.
        want: String,
    },
    /// The broker no longer has messages that the tables have not seen: they are lost to us.
    #[error(
        "{topic}/{partition}: the tables want offset {wanted}, but the broker's earliest is {earliest}: {} messages are gone; \
         load the tables anew, or allow the gap",
        earliest - wanted
    )]
    Gap {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The offset at which the tables would go on.
        wanted: i64,
        /// The earliest that the broker has.
        earliest: i64,
    },
    /// The topic is not the one that the tables were read from, though it has its name: offsets say nothing any more.
    #[error(
        "{topic}/{partition}: the tables want offset {wanted}, but {reason}; allow a topic that was made anew, or another pipeline"
    )]
    Remade {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The offset at which the tables would go on.
        wanted: i64,
        /// What shows it.
        reason: String,
    },
    /// A partition that no table was read from, where a beginning is to be given.
    #[error("{topic}/{partition}: no table has read it; say whether it begins at the earliest or the latest message")]
    Unread {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
    },
    /// The broker, or the registry of schemas, did not do what was asked. Asking again later may help.
    #[error("{doing}: {source}")]
    Unavailable {
        /// What was asked, of whom.
        doing: String,
        /// What came back.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A schema is not there, or cannot be used. Asking again will not help soon.
    #[error("schema {id}: {reason}")]
    Schema {
        /// What the registry calls it.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The consumer cannot go on: a new one must be made.
    #[error("the consumer ended: {reason}")]
    Ended {
        /// What ended it.
        reason: String,
    },
}

impl Error {
    #[cfg(feature = "lambda")]
    pub(crate) fn event(kind: &'static str, place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Event { kind, place: place.into(), reason: reason.into() }
    }

    pub(crate) fn setting(name: impl Into<String>, want: impl Into<String>) -> Self {
        Self::Setting { name: name.into(), want: want.into() }
    }

    #[cfg(feature = "registry")]
    pub(crate) fn schema(id: impl std::fmt::Display, reason: impl Into<String>) -> Self {
        Self::Schema { id: id.to_string(), reason: reason.into() }
    }

    #[cfg(any(feature = "rdkafka", feature = "registry"))]
    pub(crate) fn unavailable(
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { doing: doing.into(), source: source.into() }
    }
}
