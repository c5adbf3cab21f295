//! Why reading a message's bytes stopped, before it is known which part of the message or which column they belong to.
//!
//! Not here: what a caller is told ([`DecodeError`]).

use crate::error::{DecodeError, Part};

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The bytes do not follow the format, from this one on.
    Syntax { at: usize, why: &'static str },
    /// A value, but not what the column wants.
    Value { want: &'static str },
    /// The column can take no value at all, of this or of any other message.
    Unusable { why: &'static str },
}

impl Fault {
    /// The error of a message whose `part` was read, where no column is to be named.
    pub(crate) fn in_part(self, part: Part) -> DecodeError {
        match self {
            Self::Syntax { at, why } => DecodeError::Malformed { part, offset: at, reason: why },
            Self::Value { want } | Self::Unusable { why: want } => {
                DecodeError::Malformed { part, offset: 0, reason: want }
            }
        }
    }

    /// The error of a value of `column`.
    pub(crate) fn in_column(self, part: Part, column: &str) -> DecodeError {
        match self {
            Self::Value { want } => DecodeError::Value { column: column.to_owned(), reason: want.to_owned() },
            Self::Unusable { why } => DecodeError::schema(column, why),
            syntax @ Self::Syntax { .. } => syntax.in_part(part),
        }
    }
}

/// What was read, or why not.
pub(crate) type Scanned<T> = Result<T, Fault>;
