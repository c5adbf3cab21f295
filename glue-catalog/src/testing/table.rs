//! [`FakeTable`]: a Hudi table of no files, whose commits a test makes up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::Schema;
use async_trait::async_trait;
use hudi_core::commit::{CommitMetadata, WriteOperation, WriteStat};
use hudi_core::instant::{Action, Instant, InstantTime};
use hudi_core::properties::TableProperties;
use hudi_core::timeline::Timeline;

use crate::source::{HudiTable, SourceError};

/// A table whose commits a test makes up.
#[derive(Debug)]
pub struct FakeTable {
    location: String,
    properties: TableProperties,
    columns: Option<Schema>,
    instants: Vec<Instant>,
    timeline: Timeline,
    commits: BTreeMap<InstantTime, CommitMetadata>,
    partitions: BTreeSet<String>,
    lists: AtomicUsize,
    commits_read: AtomicUsize,
}

impl Clone for FakeTable {
    fn clone(&self) -> Self {
        Self {
            location: self.location.clone(),
            properties: self.properties.clone(),
            columns: self.columns.clone(),
            instants: self.instants.clone(),
            timeline: self.timeline.clone(),
            commits: self.commits.clone(),
            partitions: self.partitions.clone(),
            lists: AtomicUsize::new(0),
            commits_read: AtomicUsize::new(0),
        }
    }
}

impl FakeTable {
    /// A table without commits.
    pub fn new(location: &str, properties: TableProperties, columns: Schema) -> Self {
        Self {
            location: location.to_owned(),
            timeline: Timeline::from_instants(properties.layout(), []),
            properties,
            columns: Some(columns),
            instants: Vec::new(),
            commits: BTreeMap::new(),
            partitions: BTreeSet::new(),
            lists: AtomicUsize::new(0),
            commits_read: AtomicUsize::new(0),
        }
    }

    /// Gives the table other columns.
    pub fn set_columns(&mut self, columns: Option<Schema>) {
        self.columns = columns;
    }

    /// Puts the table elsewhere.
    pub fn set_location(&mut self, location: &str) {
        location.clone_into(&mut self.location);
    }

    /// A write to these partitions completes at this moment.
    pub fn write<S: AsRef<str>>(&mut self, at_ms: i64, partitions: impl IntoIterator<Item = S>) {
        let mut commit = CommitMetadata { operation_type: WriteOperation::Upsert, ..CommitMetadata::default() };
        for path in partitions {
            let partition_path = path.as_ref().to_owned();
            self.partitions.insert(partition_path.clone());
            commit.add(WriteStat { partition_path, num_writes: 1, ..WriteStat::default() });
        }
        self.complete(at_ms, Action::Commit, commit);
    }

    /// These partitions are deleted.
    pub fn delete_partitions(&mut self, at_ms: i64, partitions: &[&str]) {
        let replaced = partitions.iter().map(|path| ((*path).to_owned(), vec!["file".to_owned()])).collect();
        for path in partitions {
            self.partitions.remove(*path);
        }
        let commit = CommitMetadata {
            operation_type: WriteOperation::DeletePartition,
            partition_to_replace_file_ids: Some(replaced),
            ..CommitMetadata::default()
        };
        self.complete(at_ms, Action::ReplaceCommit, commit);
    }

    /// Some files of these partitions are replaced by none, others stay.
    pub fn replace_some_files(&mut self, at_ms: i64, partitions: &[&str]) {
        let replaced = partitions.iter().map(|path| ((*path).to_owned(), vec!["file".to_owned()])).collect();
        let commit = CommitMetadata {
            operation_type: WriteOperation::InsertOverwriteTable,
            partition_to_replace_file_ids: Some(replaced),
            ..CommitMetadata::default()
        };
        self.complete(at_ms, Action::ReplaceCommit, commit);
    }

    /// A write begins and does not complete; [`Self::write`] at the same moment completes it.
    pub fn begin(&mut self, at_ms: i64) {
        self.instants.push(Instant::requested(InstantTime::from_millis(at_ms), Action::Commit).inflight());
        self.retime();
    }

    /// The table is set back to what it was at a moment; `partitions` are those that it had then.
    pub fn restore(&mut self, at_ms: i64, to_ms: i64, partitions: &[&str]) {
        let to = InstantTime::from_millis(to_ms);
        self.instants.retain(|instant| instant.time <= to);
        let restore = Instant::requested(InstantTime::from_millis(at_ms), Action::Restore);
        self.instants.push(restore.completed(None));
        self.partitions = partitions.iter().map(|path| (*path).to_owned()).collect();
        self.retime();
    }

    /// What is older is archived.
    pub fn archive_before(&mut self, at_ms: i64) {
        let at = InstantTime::from_millis(at_ms);
        self.instants.retain(|instant| instant.time >= at);
        self.retime();
    }

    /// How often all partitions were asked for.
    pub fn lists(&self) -> usize {
        self.lists.load(Ordering::Relaxed)
    }

    /// How many commits were read.
    pub fn commits_read(&self) -> usize {
        self.commits_read.load(Ordering::Relaxed)
    }

    fn complete(&mut self, at_ms: i64, action: Action, commit: CommitMetadata) {
        let time = InstantTime::from_millis(at_ms);
        self.instants.retain(|instant| instant.time != time);
        self.instants.push(Instant::requested(time, action).completed(None));
        self.commits.insert(time, commit);
        self.retime();
    }

    fn retime(&mut self) {
        self.timeline = Timeline::from_instants(self.properties.layout(), self.instants.iter().copied());
    }
}

#[async_trait]
impl HudiTable for FakeTable {
    fn location(&self) -> &str {
        &self.location
    }

    fn properties(&self) -> &TableProperties {
        &self.properties
    }

    fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn columns(&self) -> Option<&Schema> {
        self.columns.as_ref()
    }

    async fn commit_metadata(&self, instant: &Instant) -> Result<CommitMetadata, SourceError> {
        self.commits_read.fetch_add(1, Ordering::Relaxed);
        self.commits.get(&instant.time).cloned().ok_or_else(|| format!("no commit {}", instant.time).into())
    }

    async fn partitions(&self) -> Result<BTreeSet<String>, SourceError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        Ok(self.partitions.clone())
    }
}
