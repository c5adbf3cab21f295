//! How taking changes and committing them can end. All of these are ordinary endings.

use std::collections::{BTreeMap, HashSet};

use hudi_core::change::{ChangeBatch, Origin};
use hudi_core::checkpoint::Verdict;
use hudi_core::dead_letter::Stage;
use hudi_core::instant::InstantTime;

/// What became of the changes of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Taken {
    /// Inserts, updates and snapshot rows that wait for the commit.
    pub upserts: u64,
    /// Deletes that wait for the commit.
    pub deletes: u64,
    /// Truncates: rows from before go with the commit, unless the table knows of a later one.
    pub truncates: u64,
    /// Changes that the broker sent again: below the checkpoint's offset.
    pub covered: u64,
    /// Changes that the source's connector sent again: by the checkpoint's mark.
    pub redelivered: u64,
    /// Changes that cannot be in the table. Give their messages to [`TableWriter::dead_letter`](crate::TableWriter::dead_letter) before the commit.
    pub refused: Vec<Refused>,
}

/// A change that cannot be in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The change's message.
    pub origin: Origin,
    /// Where on its way it failed.
    pub stage: Stage,
    /// Why. Holds no row value.
    pub reason: String,
}

/// What of a batch cannot be in the table. A message is refused as a whole, and once.
pub(crate) struct Refusals<'a> {
    batch: &'a ChangeBatch,
    verdicts: &'a [Verdict],
    messages: HashSet<(i32, i64)>,
    refused: Vec<Refused>,
}

impl<'a> Refusals<'a> {
    /// Of those changes of the batch that are new.
    pub(crate) fn of(batch: &'a ChangeBatch, verdicts: &'a [Verdict]) -> Self {
        Self { batch, verdicts, messages: HashSet::new(), refused: vec![] }
    }

    /// Refuses rows, each for its reason.
    pub(crate) fn add(&mut self, stage: Stage, rows: &BTreeMap<usize, String>) {
        for (row, reason) in rows.iter().filter(|(row, _)| self.verdicts[**row] == Verdict::New) {
            if self.messages.insert((self.batch.partitions[*row], self.batch.offsets[*row])) {
                self.refused.push(Refused { origin: self.batch.origin(*row), stage, reason: reason.clone() });
            }
        }
    }

    /// Whether a row's message is refused.
    pub(crate) fn hold(&self, row: usize) -> bool {
        !self.messages.is_empty() && self.messages.contains(&(self.batch.partitions[row], self.batch.offsets[row]))
    }

    pub(crate) fn finish(self) -> Vec<Refused> {
        self.refused
    }
}

/// How a commit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum CommitOutcome {
    /// The changes and the checkpoint are in the table.
    Committed(Committed),
    /// There was nothing to commit: no change, no dead letter, no new position.
    Empty,
    /// Another writer committed since this one was opened. Nothing of ours is in the table: open it again, and send
    /// everything after its checkpoint.
    Conflicted {
        /// The other writer's newest commit.
        with: InstantTime,
    },
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The commit's instant.
    pub instant: InstantTime,
    /// Rows that are new in the table.
    pub inserted_rows: u64,
    /// Rows that were replaced.
    pub updated_rows: u64,
    /// Rows that are gone.
    pub deleted_rows: u64,
    /// Changes that were older than what they met.
    pub ignored_changes: u64,
    /// Base files that were written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages that could not become rows, in `.hoodie/.cdc/dead_letters/<instant>.jsonl`.
    pub dead_letters: u64,
    /// Halves of moves that were waited for no longer: the window of the row memory is over.
    pub forgotten_moves: u64,
    /// Changes that wait for a row which may come by another partition: no part of this commit, but kept beside the table by it.
    pub waiting_changes: u64,
    /// Of the deleted rows, those that a later snapshot of the source does not have.
    pub ghosts: u64,
    /// How long its stages took.
    pub stages: Stages,
}

/// How long the stages of a commit took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    /// The lock was waited for, the timeline read and healed, the instant drawn.
    pub begin_ms: i64,
    /// Changes were joined, keys looked for, what is to be done was announced.
    pub plan_ms: i64,
    /// Files were merged, encoded and put.
    pub write_ms: i64,
    /// The lock was waited for again, others were looked for, the instant was completed.
    pub complete_ms: i64,
}

impl Stages {
    const fn and(self, next: Self) -> Self {
        Self {
            begin_ms: self.begin_ms + next.begin_ms,
            plan_ms: self.plan_ms + next.plan_ms,
            write_ms: self.write_ms + next.write_ms,
            complete_ms: self.complete_ms + next.complete_ms,
        }
    }
}

impl CommitOutcome {
    /// With how long it took.
    pub(crate) fn within(self, stages: Stages) -> Self {
        match self {
            Self::Committed(committed) => Self::Committed(Committed { stages, ..committed }),
            other => other,
        }
    }
}

impl Committed {
    /// This one, and the next of the same call.
    pub(crate) fn and(self, next: Self) -> Self {
        Self {
            instant: next.instant,
            inserted_rows: self.inserted_rows + next.inserted_rows,
            updated_rows: self.updated_rows + next.updated_rows,
            deleted_rows: self.deleted_rows + next.deleted_rows,
            ignored_changes: self.ignored_changes + next.ignored_changes,
            files: self.files + next.files,
            bytes: self.bytes + next.bytes,
            dead_letters: self.dead_letters + next.dead_letters,
            forgotten_moves: self.forgotten_moves + next.forgotten_moves,
            waiting_changes: next.waiting_changes,
            ghosts: self.ghosts + next.ghosts,
            stages: self.stages.and(next.stages),
        }
    }
}
