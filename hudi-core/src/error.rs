//! What can be wrong with the bytes, names and values of a Hudi table.
//!
//! Holds the crate's one error type. A variant exists only where a caller would act differently. Nothing here is about I/O,
//! and ordinary endings (a refused row, a file that is not ours) are values elsewhere, not errors.

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong, where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or path name claims to be of a kind and does not follow its grammar.
    #[error("bad name `{name}`: {reason}")]
    BadName {
        /// The name as found.
        name: String,
        /// What breaks the grammar.
        reason: String,
    },
    /// A property or setting has a value that cannot be used.
    #[error("{key} = `{value}`: want {want}")]
    BadProperty {
        /// The property's name.
        key: String,
        /// The value as found.
        value: String,
        /// What would be accepted.
        want: String,
    },
    /// A property that must be there is absent.
    #[error("{key} is missing: want {want}")]
    MissingProperty {
        /// The property's name.
        key: String,
        /// What would be accepted.
        want: String,
    },
    /// Bytes or text that do not follow their format.
    #[error("corrupt {what}: {reason}")]
    Corrupt {
        /// The kind of thing that was read, with its place where known.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Well formed, but something we do not do; the answer is another setting or another tool.
    #[error("{what} is not supported: {why}")]
    Unsupported {
        /// The thing asked for or found.
        what: String,
        /// Why we do not do it, and what to do instead.
        why: String,
    },
    /// A column cannot be stored, or cannot change the way it is asked to.
    #[error("column `{column}`: {reason}")]
    Schema {
        /// The column's path, parts joined by dots.
        column: String,
        /// What is wrong, naming the types.
        reason: String,
    },
}

impl Error {
    /// A [`Error::BadName`].
    pub fn bad_name(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::BadName { name: name.into(), reason: reason.into() }
    }

    /// A [`Error::BadProperty`].
    pub fn bad_property(key: impl Into<String>, value: impl Into<String>, want: impl Into<String>) -> Self {
        Self::BadProperty { key: key.into(), value: value.into(), want: want.into() }
    }

    /// A [`Error::Corrupt`].
    pub fn corrupt(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), reason: reason.into() }
    }

    /// A [`Error::Unsupported`].
    pub fn unsupported(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), why: why.into() }
    }

    /// A [`Error::Schema`].
    pub fn schema(column: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Schema { column: column.into(), reason: reason.into() }
    }
}
