//! [`Error`]: one variant for each different thing that a caller would do.

use std::io;
use std::sync::Arc;

use hudi_core::change::Origin;

const FULL: [io::ErrorKind; 2] = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
const MAKE_ROOM: &str = "there is no room left where the table stands: make some";

/// What a table can answer instead of a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no Hudi table at the place. Create it, or correct the place.
    #[error("no Hudi table at {url}: want `.hoodie/hoodie.properties` there")]
    NotFound {
        /// The table's place.
        url: String,
    },
    /// There is a table already. Open it.
    #[error("there is a Hudi table at {url} already")]
    AlreadyExists {
        /// The table's place.
        url: String,
    },
    /// The table, or what was asked of it, is something that we do not write. Nothing was changed.
    #[error("refused: {what}: {why}")]
    Refused {
        /// What is refused.
        what: String,
        /// Why, and what to do instead.
        why: String,
    },
    /// A setting's value cannot be used.
    #[error("{setting} = `{value}`: want {want}")]
    Setting {
        /// The setting's name.
        setting: String,
        /// Its value.
        value: String,
        /// What would be accepted.
        want: String,
    },
    /// A file of the table is not what it should be. Do not write before it is mended.
    #[error("{path}: {reason}")]
    Corrupt {
        /// The file's path below the table.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The store failed. Open the table again: what was half done is rolled back then.
    #[error("could not {action} {path}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// The object's path below the table.
        path: String,
        /// What the store said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Another writer holds the table's lock. Try again: a holder that died loses it after half a minute at most.
    #[error("the lock of {url} was held by {owner} for {waited_ms} ms")]
    Locked {
        /// The table's place.
        url: String,
        /// Who holds it, as far as the lock says.
        owner: String,
        /// How long it was waited for, in milliseconds.
        waited_ms: i64,
    },
    /// The source sent a change from before what it sent already, which it cannot have sent before: it was restored or failed over.
    /// Nothing was taken. Check the source, then allow a new epoch ([`crate::SourceWentBack`]) and take a new snapshot.
    #[error(
        "the source `{source_name}` went back: {origin} lies before what is in the table, but is newer or from another server; check \
         the source: if it was restored or failed over, allow a new epoch (the setting `on_source_went_back`: `new-epoch`) and take \
         a new snapshot; rows that the restored source no longer has stay until then"
    )]
    SourceWentBack {
        /// The source's name.
        source_name: String,
        /// The change that showed it.
        origin: Origin,
    },
    /// A schema, a name, a property or a checkpoint is not as it should be, or cannot be followed.
    #[error(transparent)]
    Format(hudi_core::error::Error),
    /// Columns could not be computed, encoded or decoded.
    #[error("could not {action} {path}")]
    Columns {
        /// What was tried.
        action: &'static str,
        /// The file or table part.
        path: String,
        /// What arrow or parquet said.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What is wrong and what caused it, in one line; and what to do, where waiting alone does not help.
    #[must_use]
    pub fn told(&self) -> String {
        let mut text = self.to_string();
        let mut is_full = false;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.contains(&next) {
                text = format!("{text}: {next}");
            }
            is_full |= error.downcast_ref::<io::Error>().is_some_and(|error| FULL.contains(&error.kind()));
            cause = error.source();
        }
        if is_full { format!("{text}; {MAKE_ROOM}") } else { text }
    }

    /// A refusal.
    pub(crate) fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), why: why.into() }
    }

    /// A file that is not what it should be.
    pub(crate) fn corrupt(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), reason: reason.into() }
    }

    /// For `map_err` on what arrow and parquet return.
    pub(crate) fn columns<E: std::error::Error + Send + Sync + 'static>(
        action: &'static str,
        path: &str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Columns { action, path: path.to_owned(), source: Arc::new(source) }
    }
}

/// The format's own errors, as they are.
pub(crate) fn format(error: hudi_core::error::Error) -> Error {
    Error::Format(error)
}
