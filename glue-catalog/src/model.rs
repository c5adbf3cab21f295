//! Glue's own words: table, partition, storage descriptor, SerDe.
//!
//! Everything that a `TableInput` carries stands here, for an update replaces all of it and what is not sent is lost. What a table
//! of files cannot have is told of and not carried: a link to another table, the definition of a view.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::types::Column;

/// Which table, where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The catalog, an account's number as a rule; `None`: the caller's own.
    pub catalog_id: Option<String>,
    /// The database.
    pub database: String,
    /// The table, in lower case.
    pub name: String,
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(catalog) = &self.catalog_id {
            write!(f, "{catalog}.")?;
        }
        write!(f, "{}.{}", self.database, self.name)
    }
}

/// A table, as `GetTable` answers and `UpdateTable` takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// What people say of it.
    pub description: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// `EXTERNAL_TABLE` for tables of files.
    pub table_type: Option<String>,
    /// Parameters by key.
    pub parameters: BTreeMap<String, String>,
    /// The partition keys, in the order of the partitions' values; not among the columns.
    pub partition_keys: Vec<Column>,
    /// Where and how its data stand.
    pub storage: StorageDescriptor,
    /// Days of retention.
    pub retention: Option<i32>,
    /// When it was read last, milliseconds since 1970 UTC.
    pub last_access_ms: Option<i64>,
    /// When its statistics were computed last, milliseconds since 1970 UTC.
    pub last_analyzed_ms: Option<i64>,
    /// Hive's text of a view.
    pub view_original_text: Option<String>,
    /// Hive's expanded text of a view.
    pub view_expanded_text: Option<String>,
    /// The table that this one is only a link to. Answers only.
    pub target: Option<String>,
    /// The version that this is. Answers only; an update that names it fails where it is no longer the newest.
    pub version_id: Option<String>,
}

/// Where and how data stand, of a table or of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageDescriptor {
    /// The columns. Shared, for every partition repeats them.
    pub columns: Arc<[Column]>,
    /// The folder.
    pub location: Option<String>,
    /// More folders.
    pub additional_locations: Vec<String>,
    /// The class that reads.
    pub input_format: Option<String>,
    /// The class that writes.
    pub output_format: Option<String>,
    /// Whether files are compressed as a whole.
    pub compressed: bool,
    /// How many buckets Hive has.
    pub number_of_buckets: i32,
    /// How rows are read from files.
    pub serde: Option<SerDe>,
    /// The columns that Hive's buckets go by.
    pub bucket_columns: Vec<String>,
    /// The columns by which files are sorted, with 1 for ascending.
    pub sort_columns: Vec<(String, i32)>,
    /// Parameters by key.
    pub parameters: BTreeMap<String, String>,
    /// Values that are very frequent.
    pub skewed: Option<Skewed>,
    /// Whether files stand in folders below.
    pub stored_as_sub_directories: bool,
}

/// How rows are read from files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SerDe {
    /// Its name.
    pub name: Option<String>,
    /// The class.
    pub library: Option<String>,
    /// Parameters by key.
    pub parameters: BTreeMap<String, String>,
}

/// Values that are very frequent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skewed {
    /// The columns.
    pub columns: Vec<String>,
    /// The values.
    pub values: Vec<String>,
    /// Where each stands.
    pub locations: BTreeMap<String, String>,
}

/// A partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition {
    /// One value a partition key.
    pub values: Vec<String>,
    /// Where and how its data stand: engines read this and not the table's.
    pub storage: StorageDescriptor,
    /// Parameters by key.
    pub parameters: BTreeMap<String, String>,
    /// When it was read last, milliseconds since 1970 UTC.
    pub last_access_ms: Option<i64>,
    /// When its statistics were computed last, milliseconds since 1970 UTC.
    pub last_analyzed_ms: Option<i64>,
}

/// An index over a table's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionIndex {
    /// Its name.
    pub name: String,
    /// The partition keys, in order.
    pub keys: Vec<String>,
}
