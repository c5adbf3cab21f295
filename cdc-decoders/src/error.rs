//! Why a message, or a schema, could not be decoded.
//!
//! An error names the place (byte offset, column, field) and what is wanted. It never holds a value of a row: errors are
//! logged, rows are not.

use std::fmt;

/// The part of a message that an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The Kafka key.
    Key,
    /// The Kafka value.
    Value,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// What a decoder could not decode, where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes do not follow the format: not JSON, not an envelope.
    #[error("malformed {part} at byte {offset}: {reason}")]
    Malformed {
        /// Key or value.
        part: Part,
        /// The byte at which it showed.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A value does not fit its column.
    #[error("column `{column}`: {reason}")]
    Value {
        /// The column, as the source names it.
        column: String,
        /// What is wanted.
        reason: String,
    },
    /// The source block does not give the position that orders the changes of a row.
    #[error("source field `{field}`: {reason}")]
    Position {
        /// The field of the source block.
        field: &'static str,
        /// What is wanted.
        reason: &'static str,
    },
    /// Well formed, but nothing that we decode; other messages of the topic may be.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// What was found.
        what: String,
        /// Why we do not decode it, and what to do instead.
        why: &'static str,
    },
    /// A kind of source that we do not decode: so will no other message of it.
    #[error("{what} is not supported: {why}")]
    UnsupportedSource {
        /// What was found.
        what: String,
        /// Why we do not decode it, and what to do instead.
        why: &'static str,
    },
    /// A schema, declared or sent along, that cannot be used: no message that follows it can be.
    #[error("schema, column `{column}`: {reason}")]
    Schema {
        /// The column or the part of the schema.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl DecodeError {
    /// Whether other messages may still be decoded: then this one can be written to the dead letters, and the rest goes on.
    #[must_use]
    pub const fn can_go_on(&self) -> bool {
        match self {
            Self::Malformed { .. } | Self::Value { .. } | Self::Position { .. } | Self::Unsupported { .. } => true,
            Self::UnsupportedSource { .. } | Self::Schema { .. } => false,
        }
    }

    pub(crate) fn schema(column: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Schema { column: column.into(), reason: reason.into() }
    }
}
