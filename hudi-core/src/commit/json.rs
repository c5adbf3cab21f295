//! Commit metadata as JSON.
//!
//! Reading is as tolerant as Java's: unknown members are passed over, missing and null numbers are 0. Format section 2.5;
//! timeline layout 1.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::metadata::{CommitMetadata, LogStat, RuntimeStats, WriteStat};
use super::operation::WriteOperation;
use crate::error::{Error, Result};

/// What stands in `prevCommit` of a new file group: these four letters, no JSON null.
const NO_COMMIT: &str = "null";

impl CommitMetadata {
    /// Reads a completed (or inflight) file. An empty file is empty metadata.
    ///
    /// Errors: `Corrupt` if it is not JSON, or a member is of another kind than Hudi's.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|e| corrupt(e.to_string()))?;
        let commit = Members(value.as_object().ok_or_else(|| corrupt("not an object"))?);
        let stats = commit.map("partitionToWriteStats", |stats| {
            let stats = stats.as_array().ok_or_else(|| corrupt("write stats are no list"))?;
            stats.iter().map(read_stat).collect()
        })?;
        Ok(Self {
            partition_to_write_stats: stats.unwrap_or_default(),
            compacted: commit.get("compacted").and_then(Value::as_bool).unwrap_or_default(),
            extra_metadata: read_extra(&commit)?,
            operation_type: WriteOperation::from_name(commit.text("operationType").unwrap_or_default()),
            partition_to_replace_file_ids: commit.map("partitionToReplaceFileIds", read_texts)?,
        })
    }

    /// The file's text, printed as Java does.
    pub fn to_json(&self) -> String {
        let stats = |stats: &Vec<WriteStat>| Value::Array(stats.iter().map(write_stat).collect());
        let mut commit = Map::new();
        let mut put = |name: &str, value: Value| commit.insert(name.to_owned(), value);
        put("partitionToWriteStats", object(&self.partition_to_write_stats, stats));
        put("compacted", self.compacted.into());
        put("extraMetadata", object(&self.extra_metadata, |text| text.as_str().into()));
        put("operationType", self.operation_type.as_str().into());
        if let Some(replaced) = &self.partition_to_replace_file_ids {
            put("partitionToReplaceFileIds", object(replaced, |ids| ids.as_slice().into()));
        }
        format!("{:#}", Value::Object(commit))
    }
}

fn corrupt(reason: impl Into<String>) -> Error {
    Error::corrupt("commit metadata", reason)
}

/// Null values are none: Java's maps hold them, and nobody reads them.
fn read_extra(commit: &Members<'_>) -> Result<BTreeMap<String, String>> {
    let texts = commit.map("extraMetadata", |value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(corrupt("extra metadata that is no text")),
    })?;
    Ok(texts.unwrap_or_default().into_iter().filter_map(|(key, text)| Some((key, text?))).collect())
}

fn read_texts(value: &Value) -> Result<Vec<String>> {
    let texts = value.as_array().ok_or_else(|| corrupt("not a list of texts"))?;
    texts.iter().map(|t| t.as_str().map(str::to_owned).ok_or_else(|| corrupt("not a list of texts"))).collect()
}

fn read_stat(value: &Value) -> Result<WriteStat> {
    let stat = Members(value.as_object().ok_or_else(|| corrupt("a write stat is no object"))?);
    let text = |name| stat.text(name).unwrap_or_default().to_owned();
    Ok(WriteStat {
        file_id: text("fileId"),
        path: text("path"),
        cdc_stats: stat.map("cdcStats", |size| Ok(size.as_u64().unwrap_or_default()))?,
        prev_commit: stat.text("prevCommit").filter(|c| *c != NO_COMMIT).map(str::to_owned),
        num_writes: stat.number("numWrites"),
        num_deletes: stat.number("numDeletes"),
        num_update_writes: stat.number("numUpdateWrites"),
        num_inserts: stat.number("numInserts"),
        total_write_bytes: stat.number("totalWriteBytes"),
        total_write_errors: stat.number("totalWriteErrors"),
        partition_path: text("partitionPath"),
        total_log_records: stat.number("totalLogRecords"),
        total_log_files_compacted: stat.number("totalLogFilesCompacted"),
        total_log_size_compacted: stat.number("totalLogSizeCompacted"),
        total_updated_records_compacted: stat.number("totalUpdatedRecordsCompacted"),
        total_log_blocks: stat.number("totalLogBlocks"),
        total_corrupt_log_block: stat.number("totalCorruptLogBlock"),
        total_rollback_blocks: stat.number("totalRollbackBlocks"),
        file_size_in_bytes: stat.number("fileSizeInBytes"),
        min_event_time: stat.get("minEventTime").and_then(Value::as_i64),
        max_event_time: stat.get("maxEventTime").and_then(Value::as_i64),
        runtime_stats: stat.get("runtimeStats").and_then(Value::as_object).map(|times| read_times(&Members(times))),
        log: read_log(&stat)?,
    })
}

fn read_times(times: &Members<'_>) -> RuntimeStats {
    RuntimeStats {
        total_scan_time_ms: times.number("totalScanTime"),
        total_upsert_time_ms: times.number("totalUpsertTime"),
        total_create_time_ms: times.number("totalCreateTime"),
    }
}

fn read_log(stat: &Members<'_>) -> Result<Option<LogStat>> {
    let Some(version) = stat.get("logVersion").and_then(Value::as_u64) else { return Ok(None) };
    Ok(Some(LogStat {
        log_version: u32::try_from(version).map_err(|_| corrupt(format!("log version {version}")))?,
        log_offset: stat.number("logOffset"),
        base_file: stat.text("baseFile").unwrap_or_default().to_owned(),
        log_files: stat.get("logFiles").map(read_texts).transpose()?.unwrap_or_default(),
    }))
}

fn write_stat(stat: &WriteStat) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("fileId", stat.file_id.as_str().into());
    put("path", stat.path.as_str().into());
    put("cdcStats", stat.cdc_stats.as_ref().map_or(Value::Null, |sizes| object(sizes, |size| (*size).into())));
    put("prevCommit", stat.prev_commit.as_deref().unwrap_or(NO_COMMIT).into());
    put("numWrites", stat.num_writes.into());
    put("numDeletes", stat.num_deletes.into());
    put("numUpdateWrites", stat.num_update_writes.into());
    put("numInserts", stat.num_inserts.into());
    put("totalWriteBytes", stat.total_write_bytes.into());
    put("totalWriteErrors", stat.total_write_errors.into());
    put("tempPath", Value::Null);
    put("partitionPath", stat.partition_path.as_str().into());
    put("totalLogRecords", stat.total_log_records.into());
    put("totalLogFilesCompacted", stat.total_log_files_compacted.into());
    put("totalLogSizeCompacted", stat.total_log_size_compacted.into());
    put("totalUpdatedRecordsCompacted", stat.total_updated_records_compacted.into());
    put("totalLogBlocks", stat.total_log_blocks.into());
    put("totalCorruptLogBlock", stat.total_corrupt_log_block.into());
    put("totalRollbackBlocks", stat.total_rollback_blocks.into());
    put("fileSizeInBytes", stat.file_size_in_bytes.into());
    put("minEventTime", stat.min_event_time.into());
    put("maxEventTime", stat.max_event_time.into());
    put("runtimeStats", stat.runtime_stats.as_ref().map_or(Value::Null, write_times));
    if let Some(log) = &stat.log {
        put("logVersion", log.log_version.into());
        put("logOffset", log.log_offset.into());
        put("baseFile", log.base_file.as_str().into());
        put("logFiles", log.log_files.as_slice().into());
    }
    Value::Object(out)
}

fn write_times(times: &RuntimeStats) -> Value {
    let members = [
        ("totalScanTime", times.total_scan_time_ms),
        ("totalUpsertTime", times.total_upsert_time_ms),
        ("totalCreateTime", times.total_create_time_ms),
    ];
    members.into_iter().map(|(name, ms)| (name.to_owned(), ms)).collect()
}

fn object<T>(members: &BTreeMap<String, T>, value: impl Fn(&T) -> Value) -> Value {
    Value::Object(members.iter().map(|(name, member)| (name.clone(), value(member))).collect())
}

/// An object, null members being absent.
struct Members<'a>(&'a Map<String, Value>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(Value::as_str)
    }

    fn number(&self, name: &str) -> u64 {
        self.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    fn map<T>(&self, name: &str, read: impl Fn(&'a Value) -> Result<T>) -> Result<Option<BTreeMap<String, T>>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let members = value.as_object().ok_or_else(|| corrupt(format!("`{name}` is no object")))?;
        members.iter().map(|(key, member)| Ok((key.clone(), read(member)?))).collect::<Result<_>>().map(Some)
    }
}
