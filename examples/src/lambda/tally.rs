//! [`Tally`]: what was done in an invocation, summed over tables.

use hudi_core::instant::InstantTime;
use hudi_writer::Error;
use hudi_writer::ingest::{Ended, Outcome, Unfounded};
use serde::Serialize;

use crate::Failure;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Commits.
    pub(super) commits: u64,
    /// Inserts, updates and snapshot rows.
    pub(super) upserts: u64,
    /// Deletes.
    pub(super) deletes: u64,
    /// Truncates.
    pub(super) truncates: u64,
    /// Changes that the source's connector had sent before.
    pub(super) redelivered: u64,
    /// Records that the table had.
    pub(super) committed_before: u64,
    /// Records that could not become rows.
    pub(super) dead_letters: u64,
    /// Offsets that were jumped over, where that is allowed.
    pub(super) gap_offsets: u64,
    /// Bytes of files that were written.
    pub(super) file_bytes: u64,
    /// When the source committed the oldest of the changes.
    #[serde(skip)]
    pub(super) oldest_source_ms: Option<i64>,
    /// Of the commits.
    #[serde(skip)]
    pub(super) instants: Vec<InstantTime>,
}

impl Tally {
    /// Adds what was done elsewhere.
    pub(super) fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.upserts += other.upserts;
        self.deletes += other.deletes;
        self.truncates += other.truncates;
        self.redelivered += other.redelivered;
        self.committed_before += other.committed_before;
        self.dead_letters += other.dead_letters;
        self.gap_offsets += other.gap_offsets;
        self.file_bytes += other.file_bytes;
        let both = self.oldest_source_ms.into_iter().chain(other.oldest_source_ms);
        self.oldest_source_ms = both.min();
        self.instants.extend(&other.instants);
    }

    /// Adds what a turn of a table came to.
    ///
    /// # Errors
    /// Where it is not in the table.
    pub(super) fn take(&mut self, outcome: Outcome) -> Result<(), Failure> {
        match outcome.ended {
            Ended::Committed { committed, taken } => {
                self.add(&Self {
                    commits: 1,
                    upserts: taken.upserts,
                    deletes: taken.deletes,
                    truncates: taken.truncates,
                    redelivered: taken.redelivered,
                    dead_letters: committed.dead_letters,
                    file_bytes: committed.bytes,
                    oldest_source_ms: outcome.carried.oldest_source_ms,
                    instants: vec![committed.instant],
                    ..Self::default()
                });
                Ok(())
            }
            Ended::Nothing => Ok(()),
            Ended::Unfounded(waits) => founds_nothing(&waits),
            Ended::Reload => Err(Failure::failed("the table went back while it was written")),
            Ended::Failed { error: error @ Error::Refused { .. }, .. } => Err(Failure::failed(error.to_string())),
            Ended::Failed { error, .. } => Err(error.into()),
        }
    }
}

/// Truncates of a table that is not there are done.
fn founds_nothing(waits: &Unfounded) -> Result<(), Failure> {
    match (waits.letters, waits.changes, waits.first_letter.as_deref()) {
        (0, 0, _) => Ok(()),
        (0, ..) => {
            Err(Failure::usage("there is no table yet, and the messages have no key: name its columns in HUDI_KEY"))
        }
        (letters, changes, first) => Err(Failure::failed(format!(
            "there is no table yet, no message became a row, and {} could not: the first, {}",
            letters + changes,
            first.unwrap_or_default()
        ))),
    }
}
