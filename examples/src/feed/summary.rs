//! [`Summary`]: what was done to a table.

use std::collections::BTreeMap;

use hudi_writer::ingest::Ended;
use serde::Serialize;
use serde_json::value::RawValue;

/// What was done to a table.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Summary {
    /// Commits.
    pub commits: u64,
    /// Inserts, updates and snapshot rows that were taken.
    pub upserts: u64,
    /// Deletes that were taken.
    pub deletes: u64,
    /// Truncates that were taken.
    pub truncates: u64,
    /// Changes that the source's connector had sent before.
    pub redelivered: u64,
    /// Messages that could not become rows.
    pub dead_letters: u64,
    /// Changes that wait beside the table for a row which may come by another partition.
    pub waiting: u64,
    /// Rows that went because a later snapshot of the source does not have them.
    pub ghosts: u64,
    /// Messages without a change of a row, and those that were committed before, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Dates and times outside the years 1 to 9999, moved to the ends of that range. Told apart from the rest.
    #[serde(skip)]
    pub clamped: u64,
    /// How far the table got.
    pub checkpoint: Option<Box<RawValue>>,
}

impl Summary {
    /// Adds what was done to another table; checkpoints have no sum.
    pub fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.upserts += other.upserts;
        self.deletes += other.deletes;
        self.truncates += other.truncates;
        self.redelivered += other.redelivered;
        self.dead_letters += other.dead_letters;
        self.waiting += other.waiting;
        self.ghosts += other.ghosts;
        self.clamped += other.clamped;
        for (reason, count) in &other.skipped {
            self.skip(reason, *count);
        }
    }

    pub(super) fn skip(&mut self, reason: &str, count: u64) {
        match self.skipped.get_mut(reason) {
            Some(sum) => *sum += count,
            None => drop(self.skipped.insert(reason.to_owned(), count)),
        }
    }

    /// Adds what a table's turn came to.
    pub(super) fn take(&mut self, ended: &Ended) {
        let Ended::Committed { committed, taken } = ended else { return };
        self.commits += 1;
        self.upserts += taken.upserts;
        self.deletes += taken.deletes;
        self.truncates += taken.truncates;
        self.redelivered += taken.redelivered;
        self.dead_letters += committed.dead_letters;
        self.waiting = committed.waiting_changes;
        self.ghosts += committed.ghosts;
    }
}
