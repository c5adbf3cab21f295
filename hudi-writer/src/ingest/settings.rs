//! [`IngestSettings`]: how much is held and for how long, how often a commit is tried, and when a table rests or stops.

use std::num::NonZeroUsize;

use crate::error::{Error, Result};

/// When the changes of a table are enough for a commit: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Triggers {
    /// Bytes of memory that they take. Default 128 MiB.
    pub bytes: usize,
    /// Their number. Default 1,000,000.
    pub rows: usize,
    /// How long the first of them has waited, in milliseconds. Default 60,000.
    pub age_ms: i64,
}

impl Default for Triggers {
    fn default() -> Self {
        Self { bytes: 128 << 20, rows: 1_000_000, age_ms: 60_000 }
    }
}

/// What an [`Ingest`](super::Ingest) does. Every value has a default that a process of a gigabyte can live with.
#[derive(Debug, Clone)]
pub struct IngestSettings {
    /// Bytes of uncommitted changes and their messages, of all tables together. Default 512 MiB.
    ///
    /// What is held never exceeds it by more than the batch of each table that is handed over next, if the caller pauses what
    /// [`flow`](super::Ingest::flow) tells. Beside it, each commit that is under way takes memory for its changes once more and
    /// for the files in work.
    pub budget_bytes: usize,
    /// Bytes that one table may hold while others need memory too: beyond them its partitions are paused. At least as many as
    /// commit a table. Default 256 MiB.
    pub table_share_bytes: usize,
    /// When a table commits, where its template says nothing else.
    pub triggers: Triggers,
    /// After how long positions are committed that no change carries, in milliseconds. Default 300,000.
    pub checkpoint_age_ms: i64,
    /// After how many messages positions are committed that no change carries. Default 100,000.
    pub checkpoint_messages: i64,
    /// How many tables commit at a time. Default 4.
    pub concurrent_commits: NonZeroUsize,
    /// How often a commit is tried that other writers stand against. Default 5.
    pub tries: u32,
    /// How long is waited before the second try, about, in milliseconds; before each later one twice as long. Default 200.
    pub retry_wait_ms: i64,
    /// How long a table rests after a failure, about, in milliseconds; after each further one twice as long. Default 1,000.
    pub rest_ms: i64,
    /// The longest rest, in milliseconds. Default 60,000.
    pub max_rest_ms: i64,
    /// How many messages a minute may become dead letters of a table before it stops. `None`: as many as come. Default 1,000.
    pub dead_letters_per_minute: Option<u32>,
}

impl Default for IngestSettings {
    fn default() -> Self {
        Self {
            budget_bytes: 512 << 20,
            table_share_bytes: 256 << 20,
            triggers: Triggers::default(),
            checkpoint_age_ms: 300_000,
            checkpoint_messages: 100_000,
            concurrent_commits: NonZeroUsize::MIN.saturating_add(3),
            tries: 5,
            retry_wait_ms: 200,
            rest_ms: 1_000,
            max_rest_ms: 60_000,
            dead_letters_per_minute: Some(1_000),
        }
    }
}

impl IngestSettings {
    pub(super) fn check(&self) -> Result<()> {
        check_range("budget_bytes", self.budget_bytes as u64, 1, i64::MAX as u64)?;
        check_range("table_share_bytes", self.table_share_bytes as u64, 1, self.budget_bytes as u64)?;
        self.check_triggers(&self.triggers)?;
        let above_0 = [
            ("checkpoint_age_ms", self.checkpoint_age_ms),
            ("checkpoint_messages", self.checkpoint_messages),
            ("tries", self.tries.into()),
            ("retry_wait_ms", self.retry_wait_ms),
            ("rest_ms", self.rest_ms),
        ];
        above_0.into_iter().try_for_each(|(name, value)| check_range(name, whole(value), 1, i64::MAX as u64))?;
        check_range("max_rest_ms", whole(self.max_rest_ms), whole(self.rest_ms), i64::MAX as u64)
    }

    pub(super) fn check_triggers(&self, triggers: &Triggers) -> Result<()> {
        check_range("triggers.bytes", triggers.bytes as u64, 1, self.table_share_bytes as u64)?;
        check_range("triggers.rows", triggers.rows as u64, 1, u64::MAX)?;
        check_range("triggers.age_ms", whole(triggers.age_ms), 1, i64::MAX as u64)
    }

    /// Above this the largest and oldest tables commit, so that memory is free before the budget is used up.
    pub(super) const fn high_bytes(&self) -> usize {
        self.budget_bytes - self.budget_bytes / 4
    }

    /// They are as many as it takes to come down to this.
    pub(super) const fn low_bytes(&self) -> usize {
        self.budget_bytes / 2
    }
}

/// A number below 0 is as wrong as 0.
fn whole(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn check_range(setting: &str, value: u64, least: u64, greatest: u64) -> Result<()> {
    if (least..=greatest).contains(&value) {
        return Ok(());
    }
    let want = format!("a whole number from {least} to {greatest}");
    Err(Error::Setting { setting: setting.to_owned(), value: value.to_string(), want })
}
