//! What can be wrong with a sync, and what to do about it.

use crate::catalog::CatalogError;
use crate::types;

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a table cannot be what it must be in Glue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A column that Glue cannot hold.
    #[error("table {table}: {source}")]
    Schema {
        /// Glue's table.
        table: String,
        /// The column, and what is wrong.
        source: types::Error,
    },
    /// A setting that cannot be used, or a property of the table for which there is a setting.
    #[error("{name} = `{value}`: want {want}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        want: String,
    },
    /// Two tables whose names are one in Glue.
    #[error("{first} and {second} would both be `{name}` in Glue, where case does not count: give one another name")]
    SameName {
        /// Glue's name.
        name: String,
        /// The one that came first.
        first: String,
        /// The other.
        second: String,
    },
    /// A partition that Glue cannot hold under the table's partition keys.
    #[error("table {table}, partition `{partition}`: {reason}")]
    Partition {
        /// Glue's table.
        table: String,
        /// The partition's path.
        partition: String,
        /// What is wrong and what would do.
        reason: String,
    },
    /// Glue's table is of another place.
    #[error(
        "table {table} is at {found} in Glue, and the table that is synced at {wanted}: choose another name, or sync with `recreate`"
    )]
    OtherLocation {
        /// Glue's table.
        table: String,
        /// Where Glue says it is.
        found: String,
        /// Where it is.
        wanted: String,
    },
    /// Glue's table has other partition keys, which no update changes.
    #[error(
        "table {table} is partitioned by ({found}) in Glue, and the table that is synced by ({wanted}): sync with `recreate`"
    )]
    OtherPartitionKeys {
        /// Glue's table.
        table: String,
        /// The keys in Glue.
        found: String,
        /// The table's.
        wanted: String,
    },
    /// Glue has something of this name that is not a table of files.
    #[error("table {table} is {what} in Glue, which a sync does not replace: choose another name, or remove it")]
    NotATable {
        /// Glue's table.
        table: String,
        /// What it is.
        what: String,
    },
    /// The table that is synced could not be read.
    #[error("the table at {location}, {what}: {source}")]
    Source {
        /// Where it is.
        location: String,
        /// What was read.
        what: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Glue refused, or could not be reached.
    #[error("table {table}: {source}")]
    Catalog {
        /// Glue's table.
        table: String,
        /// What Glue said.
        source: CatalogError,
    },
    /// Others changed Glue's table between each reading and writing. The next sync goes on.
    #[error("table {table} was changed by others {tries} times while it was synced")]
    Contended {
        /// Glue's table.
        table: String,
        /// How often it was tried.
        tries: u32,
    },
}

impl Error {
    pub(crate) fn setting(name: &'static str, value: impl Into<String>, want: impl Into<String>) -> Self {
        Self::Setting { name, value: value.into(), want: want.into() }
    }
}
