//! What comes of a [`Feed`]: the tables' turns, and what was done.

use std::collections::BTreeSet;
use std::sync::Arc;

use hudi_core::change::Origin;
use hudi_writer::ingest::{Due, Ended, Held, Outcome, TopicPartition};
use hudi_writer::{Error, TableWriter};
use serde_json::value::RawValue;

use super::intake::Feed;
use super::summary::Summary;
use crate::Failure;

/// A table that cannot go on, and why.
pub(crate) type Stopped = (Arc<str>, Failure);

impl Feed {
    /// Opens the tables: how far are they? Decoders go on with the columns that they have.
    ///
    /// Dropped half-way, the rest is opened while the caller waits for the next outcome.
    ///
    /// # Errors
    /// Where a decoder cannot be made.
    pub async fn open(&mut self) -> Result<Vec<Outcome>, Failure> {
        let outcomes = self.ingest.open().await;
        outcomes.iter().try_for_each(|outcome| self.land(outcome))?;
        Ok(outcomes)
    }

    /// What of a table's changes waits for a commit, in decoders and behind them.
    pub(super) fn waiting(&self, table: &str) -> Held {
        let lanes = self.by_table.get(table).into_iter().flatten();
        lanes.fold(self.ingest.waiting(table), |sum, lane| sum.and(self.lanes[*lane].held()))
    }

    /// Empties the decoders of tables that are due, and lets their commits begin, as many as may be under way. Tables that cannot go
    /// on have stopped.
    pub fn turn(&mut self) -> Vec<Stopped> {
        self.tell_held();
        let room = self.ingest.room();
        let due: Vec<Due> = self.ingest.due().into_iter().take(room).collect();
        let stopped = due.iter().filter_map(|due| self.empty(&due.table)).collect();
        self.tell_held();
        self.ingest.start();
        stopped
    }

    /// Waits until the next commit ends; `None` where none is under way. Dropped half-way, the commit goes on when it is called
    /// again.
    ///
    /// # Errors
    /// Where a decoder cannot be made.
    pub async fn next(&mut self) -> Result<Option<Outcome>, Failure> {
        let outcome = self.ingest.next().await;
        outcome.iter().try_for_each(|outcome| self.land(outcome))?;
        Ok(outcome)
    }

    /// Has everything committed that is held of these partitions, at once. Tables that cannot go on have stopped.
    pub fn drain(&mut self, places: &[TopicPartition]) -> Vec<Stopped> {
        self.tell_held();
        let tables = self.ingest.drain(places);
        tables.iter().filter_map(|table| self.empty(table)).collect()
    }

    /// Nothing more comes: everything is committed at once, the last positions too. Tables that cannot go on have stopped.
    pub fn conclude(&mut self) -> Vec<Stopped> {
        let tables: Vec<Arc<str>> = self.by_table.keys().cloned().collect();
        let stopped = tables.iter().filter_map(|table| self.empty(table)).collect();
        self.tell_held();
        self.ingest.conclude();
        stopped
    }

    /// Hands over what decoders hold of these topics: before their messages come again.
    pub fn empty_topics(&mut self, topics: &BTreeSet<Arc<str>>) -> Vec<Stopped> {
        let tables: BTreeSet<Arc<str>> = topics.iter().filter_map(|topic| self.table_of(topic).cloned()).collect();
        let stopped = tables.iter().filter_map(|table| self.empty(table)).collect();
        self.tell_held();
        stopped
    }

    /// Empties the decoders of a table.
    fn empty(&mut self, table: &Arc<str>) -> Option<Stopped> {
        let lanes = self.by_table.get(table).cloned().unwrap_or_default();
        let failure = lanes.into_iter().find_map(|lane| self.hand_over(lane).err())?;
        self.ingest.stop(table, failure.to_string());
        Some((Arc::clone(table), failure))
    }

    /// Tells the tables what their decoders hold, where that changed.
    fn tell_held(&mut self) {
        let changed: BTreeSet<Arc<str>> =
            self.lanes.iter_mut().filter(|lane| !lane.is_told).map(|lane| Arc::clone(&lane.table)).collect();
        for table in changed {
            let mut held = Held::default();
            for lane in self.by_table.get(&table).into_iter().flatten() {
                let lane = &mut self.lanes[*lane];
                held = held.and(lane.held());
                lane.is_told = true;
            }
            // Tables of lanes are known.
            let _ = self.ingest.hold(&table, held);
        }
    }

    /// Notes how a table's turn ended.
    fn land(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        if let Some(summary) = self.summaries.get_mut(&outcome.table) {
            summary.take(&outcome.ended);
        }
        if let Some(origin) = refused(outcome) {
            self.stopped_at.insert(Arc::clone(&outcome.table), origin.clone());
        }
        for at in self.by_table.get(&outcome.table).cloned().unwrap_or_default() {
            if matches!(outcome.ended, Ended::Nothing | Ended::Committed { .. }) && !self.lanes[at].knows_the_table {
                self.acquaint(at)?;
            }
        }
        Ok(())
    }

    /// The table was opened, if there is one: from here on the lane's decoder goes on with its columns.
    fn acquaint(&mut self, at: usize) -> Result<(), Failure> {
        self.lanes[at].knows_the_table = true;
        let writer = self.ingest.writer(&self.lanes[at].table);
        let Some(columns) = writer.and_then(TableWriter::source_columns) else { return Ok(()) };
        self.hand_over(at)?;
        let lane = &mut self.lanes[at];
        lane.replace_decoder((self.settings.decoders)(&lane.topic, &lane.key, Some(&columns))?);
        Ok(())
    }

    /// What was done to a table so far.
    #[must_use]
    pub fn summary(&self, table: &str) -> Summary {
        let mut summary = self.summaries.get(table).cloned().unwrap_or_default();
        let lanes = self.by_table.get(table).into_iter().flatten();
        summary.clamped = lanes.map(|lane| self.lanes[*lane].clamped()).sum();
        let checkpoint = self.ingest.writer(table).map(|writer| writer.checkpoint().to_json());
        summary.checkpoint = checkpoint.and_then(|text| RawValue::from_string(text).ok());
        summary
    }
}

/// The message that a table does not go on with.
fn refused(outcome: &Outcome) -> Option<&Origin> {
    match &outcome.ended {
        Ended::Failed { error: Error::SourceWentBack { origin, .. }, .. } => Some(origin),
        Ended::Failed { retry_at_ms: None, .. } => outcome.refused.as_ref(),
        _ => None,
    }
}
