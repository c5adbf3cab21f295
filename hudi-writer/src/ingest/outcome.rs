//! How a table's commit ended, and what is told of a table: plain values for the caller and its metrics.

use std::sync::Arc;

use hudi_core::change::Origin;

use crate::error::Error;
use crate::outcome::{Committed, Taken};

/// How one table's turn ended.
#[derive(Debug)]
#[must_use]
pub struct Outcome {
    /// The table.
    pub table: Arc<str>,
    /// How.
    pub ended: Ended,
    /// How long it took, in milliseconds, waits between tries included.
    pub took_ms: i64,
    /// What it was about.
    pub carried: Carried,
    /// The first of the changes that are none for the table, where it stopped because of them.
    pub refused: Option<Origin>,
}

/// What a turn was to commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Changes, those that the table had already among them.
    pub rows: usize,
    /// Bytes of memory that they took, with their messages.
    pub bytes: usize,
    /// Messages that could not become changes.
    pub letters: usize,
    /// When the source committed the oldest of the changes, in milliseconds since 1970 UTC.
    pub oldest_source_ms: Option<i64>,
    /// And the newest.
    pub newest_source_ms: Option<i64>,
}

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    /// Everything that was held when the commit began is in the table.
    Committed {
        /// What the commit did.
        committed: Committed,
        /// What became of the changes. Those refused are dead letters.
        taken: Taken,
    },
    /// Everything that was held was in the table already; or the table was only looked at.
    Nothing,
    /// There is no table, and nothing held says what it is to be. What is held stays.
    Unfounded(Unfounded),
    /// The table is behind where its changes begin. What was held of it is dropped, and what comes is passed over, until the
    /// caller reads its partitions again: from where [`reloads`](super::Ingest::reloads) says.
    Reload,
    /// It is not in the table; what was held stays, unless the table stopped.
    Failed {
        /// Why.
        error: Error,
        /// When it is tried again, in milliseconds since 1970 UTC. `None`: the table stopped. Nothing more is taken for it until
        /// [`restart`](super::Ingest::restart).
        retry_at_ms: Option<i64>,
    },
}

/// What waits for a table that nothing says how to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unfounded {
    /// Changes of rows; none with a key, none that adds one.
    pub changes: usize,
    /// Changes that empty a table.
    pub truncates: usize,
    /// Messages that could not become changes.
    pub letters: usize,
    /// The first of them: where it stood, and what was wrong. Holds no row value.
    pub first_letter: Option<String>,
}

/// How a table fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It takes changes.
    Ready,
    /// A commit is under way. It takes changes.
    Committing,
    /// It failed, and is tried again. It takes changes.
    Resting {
        /// When, in milliseconds since 1970 UTC.
        until_ms: i64,
        /// Why.
        reason: String,
    },
    /// Its partitions must be read again. What comes meanwhile is passed over.
    Reloading,
    /// It takes nothing until somebody looks at it.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// What happened to a table since it was added. Numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// Changes that were handed over, those sent again among them.
    pub received_rows: u64,
    /// Bytes of memory that they took, with their messages.
    pub received_bytes: u64,
    /// Inserts, updates and snapshot rows that were committed.
    pub upserts: u64,
    /// Deletes that were committed.
    pub deletes: u64,
    /// Truncates that were committed.
    pub truncates: u64,
    /// Changes that were in the table already: read again from the broker.
    pub covered: u64,
    /// Changes that were in the table already: sent again by the source's connector.
    pub redelivered: u64,
    /// Messages that could not become rows, committed as dead letters.
    pub dead_letters: u64,
    /// Commits, those of positions alone among them.
    pub commits: u64,
    /// Commits of positions alone.
    pub checkpoints: u64,
    /// Files that were written, and their bytes.
    pub files: u64,
    /// Bytes of these files.
    pub file_bytes: u64,
    /// Milliseconds that commits took, waits between tries included.
    pub commit_ms: u64,
    /// Tries that another writer's commit stood against.
    pub conflicts: u64,
    /// Tries in which another writer kept the lock.
    pub locked: u64,
    /// Commits that failed.
    pub failures: u64,
    /// Times that its partitions had to be read again.
    pub reloads: u64,
    /// Requests that were made of the store, but for those of tries that failed.
    pub requests: u64,
}

/// One table at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// The table.
    pub table: Arc<str>,
    /// How it fares.
    pub condition: Condition,
    /// How often in a row its commits failed.
    pub failures: u32,
    /// Changes that are not committed: decoded or not, under way or not.
    pub uncommitted_rows: usize,
    /// Bytes of memory that they and their messages take.
    pub uncommitted_bytes: usize,
    /// Changes that wait beside the table for a row which may come by another partition, as of the last commit.
    pub waiting_changes: u64,
    /// How long the first uncommitted change has waited, in milliseconds.
    pub waited_ms: Option<i64>,
    /// When the source committed the oldest change that is not committed here, in milliseconds since 1970 UTC. What decoders hold
    /// is not known.
    pub oldest_uncommitted_source_ms: Option<i64>,
    /// The newest source time that is committed here.
    pub newest_committed_source_ms: Option<i64>,
    /// What happened so far.
    pub counters: TableCounters,
}

impl TableCounters {
    pub(super) fn committed(&mut self, committed: &Committed, taken: &Taken, took_ms: i64) {
        self.upserts += taken.upserts;
        self.deletes += taken.deletes;
        self.truncates += taken.truncates;
        self.dead_letters += committed.dead_letters;
        self.commits += 1;
        let changes = taken.upserts + taken.deletes + taken.truncates + committed.dead_letters;
        self.checkpoints += u64::from(changes == 0);
        self.files += committed.files;
        self.file_bytes += committed.bytes;
        self.commit_ms += u64::try_from(took_ms).unwrap_or(0);
    }
}
