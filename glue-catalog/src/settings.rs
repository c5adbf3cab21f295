//! [`SyncSettings`]: what one table is to be in Glue, as far as the table itself does not say.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::types::Timestamps;

const MAX_INDEXES: usize = 3;
const MAX_KEY_CHARS: usize = 255;
const MAX_VALUE_CHARS: usize = 512_000;

/// Which tables of Glue a merge-on-read table has. A copy-on-write table has one, of its own name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// `t_ro` (base files alone), `t_rt` (with the logs), and `t`, which is `t_rt` once more.
    #[default]
    All,
    /// `t`: base files alone.
    ReadOptimized,
    /// `t`: with the logs.
    RealTime,
}

/// How a partition's path becomes its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PartitionValues {
    /// As the rows have them: what the path escapes is undone.
    #[default]
    Decoded,
    /// As the path has them, which is what Hudi's own sync does if not told otherwise.
    AsInPath,
    /// One key, whose path is `yyyy/mm/dd`: `yyyy-mm-dd`.
    SlashEncodedDay,
}

impl PartitionValues {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Decoded => "decoded",
            Self::AsInPath => "as in path",
            Self::SlashEncodedDay => "slash-encoded day",
        }
    }
}

/// When Glue is told up to which instant a table was synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stamping {
    /// With every new commit: one `UpdateTable` each.
    #[default]
    EveryCommit,
    /// When something else changes, and before the instant is older than half of the timeline.
    Lazy,
}

/// What one table is to be in Glue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSettings {
    /// The catalog; `None`: the caller's own.
    pub catalog_id: Option<String>,
    /// The database.
    pub database: String,
    /// Whether to make the database where it is not there.
    pub create_database: bool,
    /// The table's name in Glue; `None`: that of the table's properties.
    pub table_name: Option<String>,
    /// Which tables a merge-on-read table has.
    pub strategy: Strategy,
    /// Whether [`Strategy::All`] has a table of the plain name.
    pub snapshot_table: bool,
    /// Whether the name of base files alone ends in `_ro` under [`Strategy::All`].
    pub ro_suffix: bool,
    /// What timestamps are in tables that are read with their logs.
    pub realtime_timestamps: Timestamps,
    /// Whether readers may trust the table's metadata table for its files.
    pub metadata_listing: bool,
    /// Whether Athena reads with its newer Hudi connector; `None`: as Glue has it.
    pub native_connector: Option<bool>,
    /// Whether the parameters by which Spark knows the table are kept.
    pub spark: bool,
    /// The version that Spark is told the table was made by.
    pub spark_version: Option<String>,
    /// How a partition's path becomes its values.
    pub partition_values: PartitionValues,
    /// Hive types of partition keys, by column, in place of those that follow from the columns.
    pub key_types: BTreeMap<String, String>,
    /// More parameters of the table.
    pub parameters: BTreeMap<String, String>,
    /// More parameters of its SerDe.
    pub serde_parameters: BTreeMap<String, String>,
    /// Indexes over partitions, each a list of partition columns; three at most.
    pub partition_indexes: Vec<Vec<String>>,
    /// When Glue is told up to which instant a table was synced.
    pub stamping: Stamping,
    /// Whether `UpdateTable` leaves no copy of the old version, of which an account has room for so many.
    pub skip_archive: bool,
    /// Whether a table at another place, or of other partition keys, is deleted and made anew.
    pub recreate: bool,
    /// Whether every partition is compared, and not only those that commits since the last sync touched; and whether what somebody
    /// synced who saw a newer table is replaced. For repairs.
    pub full: bool,
}

impl SyncSettings {
    /// What is usual, in this database.
    pub fn new(database: impl Into<String>) -> Self {
        Self {
            catalog_id: None,
            database: database.into(),
            create_database: true,
            table_name: None,
            strategy: Strategy::default(),
            snapshot_table: true,
            ro_suffix: true,
            realtime_timestamps: Timestamps::default(),
            metadata_listing: false,
            native_connector: None,
            spark: true,
            spark_version: None,
            partition_values: PartitionValues::default(),
            key_types: BTreeMap::new(),
            parameters: BTreeMap::new(),
            serde_parameters: BTreeMap::new(),
            partition_indexes: Vec::new(),
            stamping: Stamping::default(),
            skip_archive: true,
            recreate: false,
            full: false,
        }
    }

    /// Whether Glue can hold what is asked for; the partition columns are not looked at.
    pub(crate) fn verify(&self) -> Result<()> {
        if self.database.is_empty() || self.database.chars().count() > MAX_KEY_CHARS {
            return Err(Error::setting("database", &self.database, "a name of 1 to 255 characters"));
        }
        if self.partition_indexes.len() > MAX_INDEXES {
            let value = self.partition_indexes.len().to_string();
            return Err(Error::setting("partition_indexes", value, "at most three: a table has no more"));
        }
        for (name, all) in [("parameters", &self.parameters), ("serde_parameters", &self.serde_parameters)] {
            for (key, value) in all {
                if !(1..=MAX_KEY_CHARS).contains(&key.chars().count()) {
                    return Err(Error::setting(name, key, "keys of 1 to 255 characters"));
                }
                if value.chars().count() > MAX_VALUE_CHARS {
                    return Err(Error::setting(name, key, "values of at most 512000 characters"));
                }
            }
        }
        Ok(())
    }
}
