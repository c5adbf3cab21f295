//! [`RowMemory`]: what is remembered of moves of which one half has come, or neither row, bounded by a window of time and rows; and of
//! keys that a snapshot has not touched.
//!
//! Not here: its form in the store ([`super::memory_file`]), and what comes to be remembered ([`super::settle`]).

use std::collections::BTreeSet;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use hudi_core::change::OrderKind;
use serde::{Deserialize, Serialize};

use super::ids::MoveId;
use super::waiting::Waiting;
use crate::changes::Spot;
use crate::error::{Error, Result};
use crate::truncation::Truncation;

/// What a pipeline remembers of rows beside the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowMemory {
    /// Rows that their delete took away, whose insert has not come.
    pub(super) given: Vec<Given>,
    /// Each such row, in the table's columns of the time; `None` where there are none.
    pub(super) rows: Option<RecordBatch>,
    /// Columns that were filled from a row that may still change.
    pub(super) owed: Vec<Owed>,
    /// Changes that are put off, the oldest first.
    pub(super) waiting: Vec<Waiting>,
    /// Each such change, in the table's columns of the time; `None` where there are none.
    pub(super) waiting_rows: Option<RecordBatch>,
    /// Keys that nothing of the last full snapshot, or of what came after it, has touched, though they were written since it began.
    pub(super) stale: BTreeSet<Spot>,
}

/// When something came to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Since {
    /// By our clock, in milliseconds since 1970 UTC.
    pub(super) at_ms: i64,
    /// When the source committed the move, in microseconds since 1970 UTC.
    pub(super) source_time: Option<i64>,
}

/// A row that a delete took away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) id: MoveId,
    pub(super) since: Since,
}

/// Columns of a row that the delete of a move settles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Owed {
    /// The move whose delete has not come.
    pub(super) id: MoveId,
    pub(super) since: Since,
    pub(super) holder: Holder,
    pub(super) columns: Vec<String>,
}

/// Where a row stands that owes columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Holder {
    /// In the table.
    Row(Spot),
    /// In this memory: a delete took it away.
    Given(MoveId),
}

/// What is remembered at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) rows: usize,
    pub(crate) age_ms: i64,
}

impl RowMemory {
    pub(crate) fn is_empty(&self) -> bool {
        self.knows_no_move() && self.stale.is_empty()
    }

    /// How many changes are put off.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The keys that the last snapshot has not touched.
    pub(crate) fn stale(&self) -> &BTreeSet<Spot> {
        &self.stale
    }

    /// The same, but for the stale keys.
    pub(crate) fn with_stale(&self, stale: BTreeSet<Spot>) -> Self {
        Self { stale, ..self.clone() }
    }

    /// Whether no half of a move waits for the other.
    pub(super) fn knows_no_move(&self) -> bool {
        self.given.is_empty() && self.owed.is_empty() && self.waiting.is_empty()
    }

    /// Forgets what fell out of the window; how much that was.
    pub(super) fn keep_within(&mut self, window: Window, now_ms: i64) -> Result<u64> {
        let before = self.given.len() + self.owed.len();
        let mut by_age: Vec<(i64, usize)> = self.sinces().map(|since| since.at_ms).zip(0..).collect();
        by_age.sort_unstable();
        let oldest = now_ms.saturating_sub(window.age_ms);
        let excess = before.saturating_sub(window.rows);
        let mut kept = vec![true; before];
        for (rank, (at_ms, place)) in by_age.into_iter().enumerate() {
            kept[place] = rank >= excess && at_ms >= oldest;
        }
        let owed_kept = kept.split_off(self.given.len());
        let mut owed_kept = owed_kept.into_iter();
        self.owed.retain(|_| owed_kept.next().unwrap_or(true));
        self.retain_given(&kept)?;
        Ok((before - self.given.len() - self.owed.len()) as u64)
    }

    fn sinces(&self) -> impl Iterator<Item = Since> {
        self.given.iter().map(|given| given.since).chain(self.owed.iter().map(|owed| owed.since))
    }

    /// Forgets what a truncate covers: no insert from before it is taken any more. Whether there was any.
    pub(super) fn truncate(&mut self, truncation: &Truncation, kind: OrderKind) -> Result<bool> {
        let survives = |id: &MoveId, since: &Since| !truncation.covers(id.order_value(kind), since.source_time);
        let before = (self.given.len(), self.owed.len());
        let kept: Vec<bool> = self.given.iter().map(|given| survives(&given.id, &given.since)).collect();
        self.retain_given(&kept)?;
        self.owed.retain(|owed| survives(&owed.id, &owed.since));
        Ok(before != (self.given.len(), self.owed.len()))
    }

    /// Forgets the rows for which `kept` does not hold, and what they owe.
    pub(super) fn retain_given(&mut self, kept: &[bool]) -> Result<()> {
        if kept.iter().all(|kept| *kept) {
            return Ok(());
        }
        let mask = BooleanArray::from(kept.to_vec());
        let rows = self.rows.as_ref().map(|rows| filter_record_batch(rows, &mask));
        self.rows = rows.transpose().map_err(Error::columns("keep", "the row memory"))?.filter(|r| r.num_rows() > 0);
        let mut kept = kept.iter();
        self.given.retain(|_| kept.next().is_some_and(|kept| *kept));
        let Self { given, owed, .. } = self;
        owed.retain(|owed| match &owed.holder {
            Holder::Row(_) => true,
            Holder::Given(id) => given.iter().any(|given| given.id == *id),
        });
        Ok(())
    }
}
