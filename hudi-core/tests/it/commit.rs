//! Commit metadata: read as Java wrote it, written as Java reads it.

use hudi_core::commit::{CommitMetadata, LogStat, WriteOperation, WriteStat};

use crate::fixtures::fixture;

#[test]
fn a_commit_of_java_is_read_and_printed_with_the_same_members() {
    let Some(path) = fixture("hudi-files/commit_metadata/v6_commit.json") else { return };
    let bytes = std::fs::read(path).unwrap();
    let commit = CommitMetadata::from_json(&bytes).unwrap();
    let stat = commit.write_stats().next().unwrap();
    assert_eq!(stat.prev_commit.as_deref(), Some("20240418173550988"));
    assert_eq!((stat.num_writes, stat.num_update_writes, stat.file_size_in_bytes), (4, 1, 441_520));
    assert_eq!(stat.runtime_stats.unwrap().total_upsert_time_ms, 105);
    assert!(commit.schema().unwrap().starts_with("{\"type\":\"record\""));
    let ours: serde_json::Value = serde_json::from_str(&commit.to_json()).unwrap();
    assert_eq!(ours, serde_json::from_slice::<serde_json::Value>(&bytes).unwrap());
}

#[test]
fn an_empty_file_is_empty_metadata() {
    assert_eq!(CommitMetadata::from_json(b"").unwrap(), CommitMetadata::default());
    assert!(CommitMetadata::from_json(b"{").is_err());
    assert!(CommitMetadata::from_json(b"[]").is_err());
}

#[test]
fn what_is_missing_null_or_unknown_is_tolerated() {
    let text = r#"{"partitionToWriteStats":{"p":[{"fileId":"f","numWrites":null,"recordsStats":{"val":null},"prevCommit":"null"}]},
        "extraMetadata":{"a":"b","c":null},"operationType":"OF_TOMORROW","tomorrow":[]}"#;
    let commit = CommitMetadata::from_json(text.as_bytes()).unwrap();
    let stat = WriteStat { file_id: "f".to_owned(), ..WriteStat::default() };
    assert_eq!(commit.write_stats().collect::<Vec<_>>(), [&stat]);
    assert_eq!(commit.operation_type, WriteOperation::Unknown);
    assert_eq!(commit.extra_metadata.len(), 1);
}

#[test]
fn what_is_written_is_read_back() {
    let mut commit = CommitMetadata { operation_type: WriteOperation::Upsert, ..CommitMetadata::default() };
    commit.set_schema("{}");
    let log = LogStat { log_version: 2, log_offset: 0, base_file: "b".to_owned(), log_files: vec!["l".to_owned()] };
    let stat = WriteStat {
        partition_path: "a=1".to_owned(),
        log: Some(log),
        num_writes: u64::from(u32::MAX),
        ..WriteStat::default()
    };
    commit.add(stat);
    commit.partition_to_replace_file_ids = Some([("a=1".to_owned(), vec!["x-0".to_owned()])].into());
    let text = commit.to_json();
    assert_eq!(CommitMetadata::from_json(text.as_bytes()).unwrap(), commit);
    assert!(text.contains("\"prevCommit\": \"null\"") && text.starts_with("{\n  \"partitionToWriteStats\": {"));
    assert_eq!(commit.replaced_file_ids().collect::<Vec<_>>(), [("a=1", "x-0")]);
}

#[test]
fn operations_have_hudis_names() {
    for name in ["UPSERT_PREPPED", "BULK_INSERT", "INSERT_OVERWRITE_TABLE", "LOG_COMPACT", "UNKNOWN", "BUCKET_RESCALE"]
    {
        assert_eq!(WriteOperation::from_name(name).as_str(), name);
    }
}
