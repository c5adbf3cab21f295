//! [`SnapshotState`]: full snapshots of a source. A later one than the first bounds the table: rows that it does not have are
//! ghosts, for what deleted them was never sent.
//!
//! A snapshot is one run's of the connector. It is known by its rows before the run sent anything else: what comes later is
//! asked for by a signal, and may be of a part of the table. It has ended in a partition when the run's (or a later one's) stream
//! comes there, or when the partition was read up to where it ended after the last row was seen. Not here: what
//! becomes of the ghosts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::judge::mark_key;
use super::state::SourceState;
use crate::change::{ChangeBatch, SnapshotPart};

/// How many runs are remembered.
const MAX_RUNS: usize = 64;

/// Why a snapshot of which a message may be missing deletes nothing.
const UNREAD: &str = "a message that may be of it could not be read";

/// What is known of a source's full snapshots.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapshotState {
    /// The runs of the connector, in the order in which they were seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<SeenRun>,
    /// The last full snapshot, unless it is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Bounding>,
    /// The topic-partitions of which a message could not be read since the last that could.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unread: BTreeSet<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// A run of the connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRun {
    /// Its name.
    pub run: String,
    /// It sent more than a snapshot.
    #[serde(default)]
    pub streamed: bool,
}

/// A full snapshot that bounds the table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounding {
    /// The run that reads it.
    pub run: String,
    /// The topic that it comes by.
    pub topic: String,
    /// The instant of the first commit that holds a row of it; none before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<String>,
    /// Its last row was seen.
    #[serde(default)]
    pub last_seen: bool,
    /// Where each partition ended after that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ends: BTreeMap<i32, i64>,
    /// The partitions in which what follows it was seen.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passed: BTreeSet<i32>,
    /// Why nothing is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<String>,
    /// What it does not have was deleted.
    #[serde(default)]
    pub deleted: bool,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl SnapshotState {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a run came before that of the current snapshot.
    #[must_use]
    pub fn is_before(&self, run: Option<&str>) -> bool {
        let Some(current) = &self.current else { return false };
        self.runs.iter().take_while(|seen| seen.run != current.run).any(|seen| Some(seen.run.as_str()) == run)
    }

    /// A commit is about to hold what was seen.
    pub fn commit_in(&mut self, instant: &str) {
        if let Some(current) = &mut self.current {
            current.begin.get_or_insert_with(|| instant.to_owned());
        }
    }

    /// Why the current snapshot deletes nothing, if so.
    #[must_use]
    pub fn cancelled(&self) -> Option<&str> {
        self.current.as_ref()?.cancelled.as_deref()
    }

    /// Nothing is deleted by the current snapshot.
    pub fn cancel(&mut self, reason: &str) {
        if let Some(current) = self.current.as_mut().filter(|current| current.cancelled.is_none()) {
            current.cancelled = Some(reason.to_owned());
        }
    }

    /// A message of a topic-partition could not be read: it may be of a snapshot.
    pub fn see_unread(&mut self, topic: &str, partition: i32) {
        let is_past = |current: &Bounding| current.topic == topic && current.passed.contains(&partition);
        if !self.current.as_ref().is_some_and(is_past) {
            self.unread.insert(mark_key(topic, partition));
        }
    }

    /// Nothing more comes: what could not be read stays unknown.
    pub fn all_has_come(&mut self) {
        let waits = self.current.as_ref().is_some_and(|current| current.last_seen && !current.deleted);
        if waits && !self.unread.is_empty() {
            self.cancel(UNREAD);
        }
    }

    fn run_at(&mut self, run: &str) -> usize {
        if let Some(at) = self.runs.iter().position(|seen| seen.run == run) {
            return at;
        }
        if self.runs.len() >= MAX_RUNS {
            self.runs.remove(0);
        }
        self.runs.push(SeenRun { run: run.to_owned(), streamed: false });
        self.runs.len() - 1
    }

    fn see(&mut self, batch: &ChangeBatch, run: &str, row: usize) {
        let at = self.run_at(run);
        let partition = batch.partitions[row];
        let of_full = matches!(batch.snapshots[row], SnapshotPart::Full | SnapshotPart::FullLast);
        let is_current = |current: &Bounding| current.run == run;
        if of_full && at > 0 && !self.runs[at].streamed && !self.current.as_ref().is_some_and(is_current) {
            let (run, topic) = (run.to_owned(), batch.topic.to_string());
            self.current = Some(Bounding { run, topic, ..Bounding::default() });
        }
        self.runs[at].streamed |= !of_full;
        let was_unread = self.unread.remove(&mark_key(&batch.topic, partition));
        if self.is_before(Some(run)) {
            return;
        }
        let Some(current) = &mut self.current else { return };
        match batch.snapshots[row] {
            SnapshotPart::FullLast if current.run == run => current.last_seen = true,
            SnapshotPart::Full | SnapshotPart::FullLast => {}
            SnapshotPart::None | SnapshotPart::Incremental => drop(current.passed.insert(partition)),
        }
        if was_unread {
            self.cancel(UNREAD);
        }
    }
}

impl SourceState {
    /// Notes the runs and snapshots that changes are of, for which `is_new` holds. A run that is not told of says nothing.
    pub fn see_snapshots(&mut self, batch: &ChangeBatch, is_new: impl Fn(usize) -> bool) {
        let Some(run) = batch.run.as_deref() else { return };
        if self.snapshot.runs.is_empty() {
            // From before anybody noted them.
            let mut known: Vec<&str> = self.marks.values().filter_map(|mark| mark.run.as_deref()).collect();
            known.sort_unstable();
            known.dedup();
            let known = known.into_iter().filter(|known| *known != run);
            let runs = known.map(|run| SeenRun { run: run.to_owned(), streamed: true }).collect();
            self.snapshot.runs = runs;
        }
        (0..batch.num_rows()).filter(|row| is_new(*row)).for_each(|row| self.snapshot.see(batch, run, row));
    }
}

impl Bounding {
    /// Puts together what two writers saw of one snapshot; `None` where it is not one.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        if self.run != other.run || self.begin != other.begin {
            return None;
        }
        let mut both = self.clone();
        both.last_seen |= other.last_seen;
        both.deleted |= other.deleted;
        both.cancelled = both.cancelled.or_else(|| other.cancelled.clone());
        both.passed.extend(&other.passed);
        both.ends.extend(&other.ends);
        Some(both)
    }
}
