//! Writer settings: what one process wants, checked once. What belongs to the *table* stands in its properties.

use std::num::NonZeroU32;

pub use hudi_core::checkpoint::SourceWentBack;
pub use hudi_core::properties::Mode;
pub use hudi_core::schema::OnSchemaConflict;

use crate::error::{Error, Result};

/// How a base file's pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileCompression {
    /// Not at all.
    Uncompressed,
    /// Snappy: quick to write and read.
    #[default]
    Snappy,
    /// Zstandard of a level from 1 to 22: smaller.
    Zstd(i32),
}

/// What is done about a metadata table that somebody else keeps in the table, and that we do not maintain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignMetadataTable {
    /// It is dropped before the commit, with a warning; Java builds it anew when it writes next.
    #[default]
    Drop,
    /// The table is not written.
    Refuse,
}

/// What is done about a pending instant of another writer that shows no sign of life: Java writes heartbeats only where
/// failed writes are cleaned lazily.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignPending {
    /// It is left alone, with a warning: its writer may be at work.
    #[default]
    Leave,
    /// It is rolled back: no other writer is at work without heartbeats.
    RollBack,
}

/// What is done about rows that a later full snapshot of the source does not have. A connector that lost its place takes a new
/// snapshot, and what was deleted since its last word is never told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecondSnapshot {
    /// They stay.
    #[default]
    Keep,
    /// They are deleted once the snapshot has ended: it bounds the table. Not for a source whose snapshots leave rows out.
    Replace,
}

/// How keys are routed to file groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Index {
    /// Keys are looked for in the base files of their partition. New rows fill small files first.
    #[default]
    Simple,
    /// Keys are looked for in the base files of all partitions, so that a row may move from one to another. New rows fill
    /// small files first. A commit lists the whole table and reads the footers of all its base files.
    GlobalSimple,
    /// A key's hash names its file group; each partition has this many. Fixed for the life of the table.
    Bucket(NonZeroU32),
}

/// What a writer in this process does. Every value has a default that a table can live with.
#[derive(Debug, Clone)]
pub struct WriterSettings {
    /// Whose checkpoint the commits carry. Default `default`.
    pub pipeline: String,
    /// How base files are compressed. Default Snappy.
    pub compression: FileCompression,
    /// New rows fill files up to this size before a new file is begun: files that are rewritten anyway, and others below a quarter of it.
    /// Default 120 MiB. (All but the bucket index.)
    pub target_file_bytes: u64,
    /// Encoded bytes after which a row group is closed: bounds the memory of each file in work. Default 32 MiB.
    pub row_group_bytes: usize,
    /// What is done about a metadata table of somebody else's.
    pub foreign_metadata_table: ForeignMetadataTable,
    /// What is done about a pending instant of another writer without a heartbeat.
    pub foreign_pending: ForeignPending,
    /// No other process writes the table: no lock is taken among processes, no heartbeat is kept, and whatever is pending
    /// was left by the dead. Default false.
    pub sole_writer: bool,
    /// How long the lock of the table is waited for, in milliseconds. Default 60,000.
    pub lock_wait_ms: u64,
    /// What is done about a source that was restored or failed over, and sends other changes in place of what it sent before.
    /// Default: nothing is taken, with [`Error::SourceWentBack`].
    pub on_source_went_back: SourceWentBack,
    /// What is done with a column that comes to mean something else: of a type that the table's cannot follow, or dropped by the source
    /// and there again. Default: nothing is taken, with [`Error::Format`].
    pub on_schema_conflict: OnSchemaConflict,
    /// Whether several tables of the source are routed to one topic: a column that a message does not have, though it names all of its
    /// table's, says nothing of the others then, and counts as dropped of none. Default: no.
    pub tables_share_topics: bool,
    /// Whether a table without a key takes the messages of several partitions of a topic. What the source's connector sends
    /// again may come by another of them then, and is a second row. Default: no.
    pub keyless_partitions: bool,
    /// How many halves of moves (a row whose key changed is deleted under one and inserted under another) wait for the other
    /// half beside the table; the oldest are forgotten. Default 10,000.
    pub row_memory_rows: usize,
    /// How long they wait, in milliseconds. Default a day.
    pub row_memory_ms: u64,
    /// What is done about rows that a later full snapshot of the source does not have. Default: they stay.
    pub on_second_snapshot: SecondSnapshot,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            pipeline: "default".to_owned(),
            compression: FileCompression::default(),
            target_file_bytes: 120 << 20,
            row_group_bytes: 32 << 20,
            foreign_metadata_table: ForeignMetadataTable::default(),
            foreign_pending: ForeignPending::default(),
            sole_writer: false,
            lock_wait_ms: 60_000,
            on_source_went_back: SourceWentBack::default(),
            on_schema_conflict: OnSchemaConflict::default(),
            tables_share_topics: false,
            keyless_partitions: false,
            row_memory_rows: 10_000,
            row_memory_ms: 24 * 3_600_000,
            on_second_snapshot: SecondSnapshot::default(),
        }
    }
}

impl WriterSettings {
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |setting: &str, value: String, want: &str| {
            Err(Error::Setting { setting: setting.to_owned(), value, want: want.to_owned() })
        };
        if self.pipeline.is_empty() || !self.pipeline.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            return wrong("pipeline", self.pipeline.clone(), "letters, digits, `-`, `_` and `.`");
        }
        if let FileCompression::Zstd(level) = self.compression
            && !(1..=22).contains(&level)
        {
            return wrong("compression", format!("zstd({level})"), "a level from 1 to 22");
        }
        if self.target_file_bytes < 1 << 20 {
            return wrong("target_file_bytes", self.target_file_bytes.to_string(), "at least 1048576");
        }
        if self.row_group_bytes < 1 << 20 {
            return wrong("row_group_bytes", self.row_group_bytes.to_string(), "at least 1048576");
        }
        Ok(())
    }
}

/// What a table that is created will be, for its whole life.
#[derive(Debug, Clone)]
pub struct NewTable {
    /// The table's name.
    pub name: String,
    /// The columns that make up the record key, in this order. Empty: a table without a key, whose rows are told apart by all of their
    /// values. In a [`Mode::History`] table they are the key of the source's rows, and the record key tells changes apart.
    pub key: Vec<String>,
    /// The columns that make up the partition path, in this order.
    pub partition_by: Vec<String>,
    /// A row's partition columns never change: needed where they are not all in the key.
    pub partition_immutable: bool,
    /// How keys are routed to file groups. `None`: [`Index::GlobalSimple`] where a row can move from one partition to
    /// another (a partition column is neither part of the key nor immutable), else [`Index::Simple`].
    pub index: Option<Index>,
    /// What becomes of changes.
    pub mode: Mode,
    /// Further table properties, by their full names.
    pub properties: Vec<(String, String)>,
}

impl NewTable {
    /// An unpartitioned table with the index that suits it.
    #[must_use]
    pub fn new(name: impl Into<String>, key: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: name.into(),
            key: key.into_iter().map(Into::into).collect(),
            partition_by: vec![],
            partition_immutable: false,
            index: None,
            mode: Mode::default(),
            properties: vec![],
        }
    }

    /// Partitions the table by these columns.
    #[must_use]
    pub fn partition_by(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Does this with changes.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Routes keys by this index.
    #[must_use]
    pub fn index(mut self, index: Index) -> Self {
        self.index = Some(index);
        self
    }
}
