//! Which partitions changed since a table was synced last. Pure: the commits' contents are read by whoever asks.
//!
//! Commits are told apart by the times at which they were requested, and a writer beside others may complete an earlier one later.
//! So a sync notes which earlier writes were still pending, and the next one looks at them too.

use std::collections::{BTreeMap, BTreeSet};

use hudi_core::commit::{CommitMetadata, WriteOperation};
use hudi_core::instant::{Action, Instant, InstantTime};
use hudi_core::timeline::Timeline;

/// What a sync must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// Every partition: Glue was never synced, or so long ago that the timeline does not reach back, or the table was set back.
    All,
    /// The partitions of these completed writes, oldest first; none: Glue knows all.
    Writes(Vec<Instant>),
    /// Nothing: Glue was synced by somebody who sees a newer table.
    Behind,
}

/// What a sync up to `synced` left to do; `pending` were pending then.
pub fn window(timeline: &Timeline, synced: Option<InstantTime>, pending: &[InstantTime]) -> Window {
    let Some(synced) = synced else { return Window::All };
    let head = timeline.completed_writes().next_back().map(|instant| instant.time);
    if head.is_none_or(|head| synced > head) {
        let sets_back = |instant: &Instant| matches!(instant.action, Action::Restore | Action::Rollback);
        let was_set_back = timeline.completed().any(|instant| sets_back(instant) && instant.time > synced);
        return if was_set_back { Window::All } else { Window::Behind };
    }
    if !timeline.completed_writes().any(|instant| instant.time == synced) {
        return Window::All;
    }
    let is_new = |instant: &&Instant| instant.time > synced || pending.contains(&instant.time);
    Window::Writes(timeline.completed_writes().filter(is_new).copied().collect())
}

/// The writes before `head` that may still complete, and bring partitions.
pub fn pending_before(timeline: &Timeline, head: InstantTime) -> Vec<InstantTime> {
    let brings_rows = |action| matches!(action, Action::Commit | Action::DeltaCommit | Action::ReplaceCommit);
    let pending = timeline.pending().filter(|instant| instant.time < head && brings_rows(instant.action));
    pending.map(|instant| instant.time).collect()
}

/// Whether half of the timeline's writes or more are newer than `synced`: it may be archived soon.
pub fn is_in_older_half(timeline: &Timeline, synced: InstantTime) -> bool {
    let newer = timeline.completed_writes().filter(|instant| instant.time > synced).count();
    newer * 2 >= timeline.completed_writes().count()
}

/// Which partitions some writes left with data, and which without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    by_path: BTreeMap<String, bool>,
}

impl Touched {
    /// Adds a write; they come oldest first.
    pub fn add(&mut self, commit: &CommitMetadata) {
        let drops =
            matches!(commit.operation_type, WriteOperation::DeletePartition | WriteOperation::InsertOverwriteTable);
        let replaced = commit.partition_to_replace_file_ids.iter().flatten().map(|(path, _)| path);
        for path in replaced.filter(|_| drops) {
            self.by_path.insert(path.clone(), false);
        }
        let written = commit.partition_to_write_stats.iter().filter(|(_, stats)| !stats.is_empty());
        for (path, _) in written {
            self.by_path.insert(path.clone(), true);
        }
    }

    /// Of the partitions without data, these have some nevertheless: a write replaced some of their files, and left others.
    pub fn keep(&mut self, with_data: &BTreeSet<String>) {
        for (path, written) in &mut self.by_path {
            *written = *written || with_data.contains(path);
        }
    }

    /// The partitions that have data.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.by_path.iter().filter(|(_, written)| **written).map(|(path, _)| path.as_str())
    }

    /// The partitions that have none any more.
    pub fn dropped(&self) -> impl Iterator<Item = &str> {
        self.by_path.iter().filter(|(_, written)| !**written).map(|(path, _)| path.as_str())
    }
}
