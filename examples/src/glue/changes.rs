//! [`Changes`]: whether what was committed to a table is anything to Glue.

use std::collections::HashSet;

use arrow::datatypes::SchemaRef;
use hudi_core::commit::CommitMetadata;
use hudi_core::instant::{Instant, InstantTime};
use hudi_writer::Table;

use crate::Failure;

/// How many partitions of one table are remembered at most.
const MAX_PARTITIONS: usize = 100_000;

/// After so many commits Glue is told that there is nothing new: the next sync reads all commits since.
const MAX_COMMITS: usize = 200;

/// What Glue was told of a table, as far as it is remembered.
#[derive(Debug, Default)]
pub struct Changes {
    /// Glue was told everything.
    is_synced: bool,
    columns: Option<SchemaRef>,
    partitions: HashSet<String>,
    /// Those that were written since.
    written: HashSet<String>,
    /// Commits since.
    commits: usize,
}

impl Changes {
    /// Whether a sync is due: always at first, and after one that failed; else where the commits of these instants may have made a
    /// partition or dropped one, or changed a column. One read of the store for each commit to a table with partitions.
    ///
    /// # Errors
    /// Where a commit cannot be read.
    pub async fn are_due(&mut self, table: &Table, instants: &[InstantTime]) -> Result<bool, Failure> {
        if self.is_synced && self.columns.as_ref() != table.columns() {
            self.is_synced = false;
        }
        self.columns = table.columns().cloned();
        if table.properties().partition_fields().is_empty() {
            return Ok(!self.is_synced);
        }
        let is_wanted = |instant: &&Instant| instants.contains(&instant.time);
        let commits: Vec<Instant> = table.timeline().completed_writes().filter(is_wanted).copied().collect();
        for instant in &commits {
            let commit = table.commit_metadata(instant).await.inspect_err(|_| self.is_synced = false)?;
            self.look_at(&commit);
        }
        self.commits += commits.len();
        self.is_synced &= self.commits < MAX_COMMITS;
        Ok(!self.is_synced)
    }

    fn look_at(&mut self, commit: &CommitMetadata) {
        if commit.partition_to_replace_file_ids.as_ref().is_some_and(|replaced| !replaced.is_empty()) {
            // What is gone may come back.
            self.partitions.clear();
            self.written.clear();
            self.is_synced = false;
        }
        for (partition, stats) in &commit.partition_to_write_stats {
            // Whoever writes a new version of a file found a partition there.
            let was_there = stats.iter().any(|stat| stat.prev_commit.as_deref().is_some_and(is_instant));
            if !was_there && !self.partitions.contains(partition) {
                self.is_synced = false;
            }
            if self.partitions.len() + self.written.len() < MAX_PARTITIONS {
                self.written.insert(partition.clone());
            }
        }
    }

    /// A sync came to an end.
    pub fn ended(&mut self, is_done: bool) {
        self.is_synced = is_done;
        if is_done {
            self.partitions.extend(self.written.drain());
            self.commits = 0;
        }
    }
}

/// Java writes `null` in place of none.
fn is_instant(text: &str) -> bool {
    InstantTime::parse(text).is_ok()
}
