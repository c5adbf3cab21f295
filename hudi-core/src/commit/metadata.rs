//! [`CommitMetadata`] and its [`WriteStat`]s, free of their encoding.
//!
//! The encodings are beside: `json` for timeline layout 1. Format section 2.5; the members that version 6 knows.

use std::collections::BTreeMap;

use super::operation::WriteOperation;

/// What a completed commit, delta commit or replace commit says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitMetadata {
    /// One stat for each file written, by encoded partition path (`""` without partitions).
    pub partition_to_write_stats: BTreeMap<String, Vec<WriteStat>>,
    /// Whether it is a compaction.
    pub compacted: bool,
    /// What travels with the commit: the schema, checkpoints, whatever a writer adds.
    pub extra_metadata: BTreeMap<String, String>,
    /// The kind of write.
    pub operation_type: WriteOperation,
    /// The file groups that are no more, by partition. Replace commits only.
    pub partition_to_replace_file_ids: Option<BTreeMap<String, Vec<String>>>,
}

impl CommitMetadata {
    /// The extra metadata's key of the Avro schema in force after the commit, JSON, without meta columns.
    pub const SCHEMA: &'static str = "schema";

    /// The Avro schema in force after the commit; an empty one is none.
    pub fn schema(&self) -> Option<&str> {
        self.extra_metadata.get(Self::SCHEMA).map(String::as_str).filter(|s| !s.is_empty())
    }

    /// Sets the Avro schema in force after the commit.
    pub fn set_schema(&mut self, avro_json: impl Into<String>) {
        self.extra_metadata.insert(Self::SCHEMA.to_owned(), avro_json.into());
    }

    /// Adds the stat of a file, under its partition.
    pub fn add(&mut self, stat: WriteStat) {
        self.partition_to_write_stats.entry(stat.partition_path.clone()).or_default().push(stat);
    }

    /// All stats, partition by partition.
    pub fn write_stats(&self) -> impl Iterator<Item = &WriteStat> {
        self.partition_to_write_stats.values().flatten()
    }

    /// The partitions and ids of the file groups that are no more.
    pub fn replaced_file_ids(&self) -> impl Iterator<Item = (&str, &str)> {
        let partitions = self.partition_to_replace_file_ids.iter().flatten();
        partitions.flat_map(|(partition, ids)| ids.iter().map(move |id| (partition.as_str(), id.as_str())))
    }
}

/// What was written to one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteStat {
    /// The file group. Required by incremental readers.
    pub file_id: String,
    /// The file, relative to the table's base, partition included. Required by incremental readers.
    pub path: String,
    /// CDC logs written beside, with their sizes in bytes.
    pub cdc_stats: Option<BTreeMap<String, u64>>,
    /// The base instant of the slice that was written onto; none for a new file group.
    pub prev_commit: Option<String>,
    /// Rows in the new base file, copied ones included; records appended to a log.
    pub num_writes: u64,
    /// Rows deleted.
    pub num_deletes: u64,
    /// Rows updated.
    pub num_update_writes: u64,
    /// Rows inserted.
    pub num_inserts: u64,
    /// Bytes written.
    pub total_write_bytes: u64,
    /// Rows that could not be written.
    pub total_write_errors: u64,
    /// The encoded partition path.
    pub partition_path: String,
    /// Of a compaction: log records read.
    pub total_log_records: u64,
    /// Of a compaction: log files read.
    pub total_log_files_compacted: u64,
    /// Of a compaction: bytes of log files read.
    pub total_log_size_compacted: u64,
    /// Of a compaction: rows updated.
    pub total_updated_records_compacted: u64,
    /// Of a compaction: log blocks read.
    pub total_log_blocks: u64,
    /// Of a compaction: broken log blocks passed over.
    pub total_corrupt_log_block: u64,
    /// Of a compaction: rollback blocks read.
    pub total_rollback_blocks: u64,
    /// The exact size of the object, bytes: readers open it without asking the store.
    pub file_size_in_bytes: u64,
    /// The least event time of the rows, milliseconds.
    pub min_event_time: Option<i64>,
    /// The greatest event time of the rows, milliseconds.
    pub max_event_time: Option<i64>,
    /// How long it took.
    pub runtime_stats: Option<RuntimeStats>,
    /// Of a log file.
    pub log: Option<LogStat>,
}

/// How long the parts of a write took, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuntimeStats {
    /// Reading logs.
    pub total_scan_time_ms: u64,
    /// Updating.
    pub total_upsert_time_ms: u64,
    /// Creating.
    pub total_create_time_ms: u64,
}

/// What a stat says more of a log file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogStat {
    /// The number after `.log.`.
    pub log_version: u32,
    /// Where the commit's first block begins, bytes: 0 for a new file.
    pub log_offset: u64,
    /// The name of the slice's base file; empty if it has none.
    pub base_file: String,
    /// The names of the slice's log files, the new one included.
    pub log_files: Vec<String>,
}
