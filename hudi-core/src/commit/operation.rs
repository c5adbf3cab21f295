//! [`WriteOperation`]: the kind of write, under the exact names of Hudi.
//!
//! Any other text makes the whole commit unreadable for Java. Format section 2.5; all table versions.

use std::fmt;

macro_rules! operations {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// The kind of write that made a commit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub enum WriteOperation {
            $($(#[doc = $doc])+ $variant,)+
            /// Not said, or of a Hudi that is younger than we are.
            #[default]
            Unknown,
        }

        impl WriteOperation {
            /// Hudi's name.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Unknown => "UNKNOWN",
                }
            }

            /// The operation of this name; [`Self::Unknown`] if we know none.
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)+
                    _ => Self::Unknown,
                }
            }
        }
    };
}

operations! {
    /// New rows only.
    Insert = "INSERT",
    /// As `Insert`, rows prepared.
    InsertPrepped = "INSERT_PREPPED",
    /// Rows inserted or updated by key.
    Upsert = "UPSERT",
    /// As `Upsert`, rows prepared.
    UpsertPrepped = "UPSERT_PREPPED",
    /// New rows, in bulk.
    BulkInsert = "BULK_INSERT",
    /// As `BulkInsert`, rows prepared.
    BulkInsertPrepped = "BULK_INSERT_PREPPED",
    /// Rows deleted by key.
    Delete = "DELETE",
    /// As `Delete`, rows prepared.
    DeletePrepped = "DELETE_PREPPED",
    /// Existing files taken over.
    Bootstrap = "BOOTSTRAP",
    /// Partitions replaced.
    InsertOverwrite = "INSERT_OVERWRITE",
    /// File groups rewritten in another order or size.
    Cluster = "CLUSTER",
    /// Partitions dropped.
    DeletePartition = "DELETE_PARTITION",
    /// The whole table replaced.
    InsertOverwriteTable = "INSERT_OVERWRITE_TABLE",
    /// Logs merged into base files.
    Compact = "COMPACT",
    /// An index built.
    Index = "INDEX",
    /// The schema changed.
    AlterSchema = "ALTER_SCHEMA",
    /// Log blocks merged.
    LogCompact = "LOG_COMPACT",
    /// The number of buckets changed (1.1 and later).
    BucketRescale = "BUCKET_RESCALE",
}

impl fmt::Display for WriteOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
