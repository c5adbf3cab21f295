//! [`SyncSummary`]: what syncs did, or would do.

use glue_catalog::{Outcome, Plan, TableReport};
use serde::Serialize;

use crate::Failure;

/// What syncs did, or would do; of tables of Glue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SyncSummary {
    /// Tables that change.
    pub changed: usize,
    /// Tables that are as they should be.
    pub unchanged: usize,
    /// Tables without data yet.
    pub nothing_yet: usize,
    /// Partitions that are made.
    pub added: usize,
    /// Partitions that get another place, class or type.
    pub updated: usize,
    /// Partitions that are removed.
    pub dropped: usize,
    /// Hudi tables that could not be synced.
    pub failed: usize,
}

impl SyncSummary {
    /// Adds what a sync did.
    ///
    /// # Errors
    /// Where somebody synced the table who saw a newer one: opened anew, it is still older.
    pub fn take(&mut self, report: &TableReport) -> Result<(), Failure> {
        match &report.outcome {
            Outcome::Synced => self.changed += 1,
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::NothingYet => self.nothing_yet += 1,
            Outcome::Behind { synced } => {
                let table = &report.table;
                let told =
                    format!("{table} was synced up to {synced}, which the table does not have: `--full` replaces that");
                return Err(Failure::failed(told));
            }
        }
        self.added += report.added;
        self.updated += report.updated;
        self.dropped += report.dropped;
        Ok(())
    }

    /// Adds what a sync would do.
    pub fn plan(&mut self, plan: &Plan) {
        match plan.is_empty() {
            true => self.unchanged += 1,
            false => self.changed += 1,
        }
        self.added += plan.added().len();
        self.updated += plan.updated().len();
        self.dropped += plan.dropped().len();
    }
}
