//! [`Beside`]: syncs that go on beside the loop from messages to tables, which tells them by [`Notes`] what it commits.
//!
//! One sync of a table at a time, a few tables at once. What fails is tried again, ever later. Nothing is kept: who starts again syncs all.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, LocalBoxFuture, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use glue_catalog::{Outcome, TableReport};
use hudi_core::instant::InstantTime;
use hudi_writer::ingest::Ended;
use hudi_writer::{Clock, Table};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::changes::Changes;
use super::syncer::Syncer;
use crate::{Failure, Watch};

/// How many tables are synced at a time.
const CONCURRENT: usize = 4;
const FIRST_REST_MS: i64 = 5_000;
/// How long syncs are waited for at the end.
const PATIENCE_MS: i64 = 20_000;
const LONGEST_REST_MS: i64 = 300_000;

/// A table at one moment, and the commit that it was noted for.
#[derive(Debug)]
struct Note {
    name: Arc<str>,
    table: Table,
    instant: Option<InstantTime>,
}

/// Takes what the loop has to tell. Costs it no waiting.
#[derive(Debug, Clone)]
pub struct Notes(UnboundedSender<Note>);

impl Notes {
    /// A table's turn ended so, and left this table.
    pub fn landed(&self, name: &Arc<str>, ended: &Ended, table: &Table) {
        let instant = match ended {
            Ended::Committed { committed, .. } => Some(committed.instant),
            Ended::Nothing => None,
            Ended::Unfounded(_) | Ended::Reload | Ended::Failed { .. } => return,
        };
        // Who listens no more needs to know nothing.
        let _ = self.0.send(Note { name: Arc::clone(name), table: table.clone(), instant });
    }
}

/// Syncs tables beside the loop.
#[derive(Debug)]
pub struct Beside {
    syncer: Syncer,
    clock: Arc<dyn Clock>,
    watch: Arc<Watch>,
    notes: UnboundedReceiver<Note>,
}

/// One table.
#[derive(Debug, Default)]
struct Lane {
    /// With a sync under way where it is not here.
    changes: Option<Changes>,
    /// As it was noted last, where that was not looked at yet.
    table: Option<Table>,
    instants: Vec<InstantTime>,
    failures: u32,
    rests_until_ms: i64,
}

/// What came of one look at a table.
struct JobEnd {
    name: Arc<str>,
    changes: Changes,
    table: Table,
    /// `None`: nothing was due.
    ended: Result<Option<Vec<TableReport>>, Failure>,
}

impl Beside {
    /// Nothing is synced before [`Beside::run`].
    pub fn new(syncer: Syncer, clock: Arc<dyn Clock>, watch: Arc<Watch>) -> (Self, Notes) {
        let (sender, notes) = unbounded_channel();
        (Self { syncer, clock, watch, notes }, Notes(sender))
    }

    /// Syncs until nobody has anything more to tell; then what was told last, once.
    ///
    /// Dropped, what is under way is left to the next process.
    pub async fn run(self) {
        let Self { syncer, clock, watch, mut notes } = self;
        let mut lanes = Lanes { lanes: BTreeMap::new(), clock: &*clock, watch: &watch };
        let mut jobs: FuturesUnordered<LocalBoxFuture<'_, JobEnd>> = FuturesUnordered::new();
        let mut is_over = false;
        loop {
            while jobs.len() < CONCURRENT {
                let Some((name, changes, table, instants)) = lanes.next() else { break };
                jobs.push(job(&syncer, name, changes, table, instants).boxed_local());
            }
            if is_over && jobs.is_empty() {
                return;
            }
            let wait_ms = lanes.wait_ms().unwrap_or(LONGEST_REST_MS);
            tokio::select! {
                note = notes.recv(), if !is_over => match note {
                    Some(note) => lanes.note(note),
                    None => is_over = true,
                },
                Some(end) = jobs.next(), if !jobs.is_empty() => lanes.ended(end),
                // With all hands full nothing begins before one is free.
                () = clock.sleep(wait_ms), if !is_over && jobs.len() < CONCURRENT => {}
            }
        }
    }
}

/// Goes on until the first is over, and then as long as the syncs take, but not for ever.
pub async fn beside<T>(pumped: impl Future<Output = T>, syncs: Option<Beside>, clock: &dyn Clock) -> T {
    let Some(syncs) = syncs else { return pumped.await };
    match select(pin!(pumped), pin!(syncs.run())).await {
        Either::Left((ended, syncs)) => {
            if let Either::Right(_) = select(syncs, clock.sleep(PATIENCE_MS)).await {
                tracing::warn!("not everything is in Glue that is committed: the next start syncs it");
            }
            ended
        }
        Either::Right(((), pumped)) => pumped.await,
    }
}

/// Looks at a table, and syncs it if that is due.
async fn job(
    syncer: &Syncer,
    name: Arc<str>,
    mut changes: Changes,
    table: Table,
    instants: Vec<InstantTime>,
) -> JobEnd {
    let ended = match changes.are_due(&table, &instants).await {
        Ok(false) => Ok(None),
        Ok(true) => syncer.sync(table.url()).await.map(Some),
        Err(failure) => Err(failure),
    };
    match &ended {
        Ok(None) => {}
        Ok(Some(reports)) => changes.ended(are_done(reports)),
        Err(_) => changes.ended(false),
    }
    JobEnd { name, changes, table, ended }
}

/// Whether there is nothing left to do until the table changes.
pub(crate) fn are_done(reports: &[TableReport]) -> bool {
    reports.iter().all(|report| matches!(report.outcome, Outcome::Synced | Outcome::Unchanged)) && !reports.is_empty()
}

struct Lanes<'a> {
    lanes: BTreeMap<Arc<str>, Lane>,
    clock: &'a dyn Clock,
    watch: &'a Watch,
}

impl Lanes<'_> {
    fn note(&mut self, Note { name, table, instant }: Note) {
        let fresh = || Lane { changes: Some(Changes::default()), ..Lane::default() };
        let lane = self.lanes.entry(name).or_insert_with(fresh);
        lane.table = Some(table);
        lane.instants.extend(instant);
    }

    /// The next table that is to be looked at.
    fn next(&mut self) -> Option<(Arc<str>, Changes, Table, Vec<InstantTime>)> {
        let now_ms = self.clock.now_ms();
        let is_ready = |lane: &Lane| lane.changes.is_some() && lane.table.is_some() && lane.rests_until_ms <= now_ms;
        let (name, lane) = self.lanes.iter_mut().find(|(_, lane)| is_ready(lane))?;
        let changes = lane.changes.take()?;
        Some((Arc::clone(name), changes, lane.table.take()?, std::mem::take(&mut lane.instants)))
    }

    /// How long nothing is to be done, of itself.
    fn wait_ms(&self) -> Option<i64> {
        let waits = self.lanes.values().filter(|lane| lane.table.is_some() && lane.changes.is_some());
        let now_ms = self.clock.now_ms();
        waits.map(|lane| (lane.rests_until_ms - now_ms).max(1)).min()
    }

    fn ended(&mut self, JobEnd { name, changes, table, ended }: JobEnd) {
        let now_ms = self.clock.now_ms();
        let Some(lane) = self.lanes.get_mut(&name) else { return };
        lane.changes = Some(changes);
        match ended {
            Ok(None) => {}
            Ok(Some(reports)) => {
                lane.failures = 0;
                tell(&name, &reports);
                self.watch.synced(&name);
            }
            Err(failure) => {
                lane.failures += 1;
                let rest_ms = FIRST_REST_MS << lane.failures.min(7).saturating_sub(1);
                lane.rests_until_ms = now_ms + rest_ms.min(LONGEST_REST_MS);
                // What came meanwhile is newer.
                lane.table.get_or_insert(table);
                tracing::warn!(table = &*name, %failure, "Glue does not say yet what the table says; it is tried again");
                self.watch.sync_failed(&name, &failure.to_string(), now_ms);
            }
        }
    }
}

/// Logs what syncs did.
pub(crate) fn tell(name: &str, reports: &[TableReport]) {
    for TableReport { table, outcome, changes, added, updated, dropped, .. } in reports {
        match outcome {
            Outcome::Synced => {
                let changes = changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                tracing::info!(table = name, glue = %table, added, updated, dropped, changes, "Glue says what the table says");
            }
            Outcome::Behind { synced } => {
                tracing::warn!(table = name, glue = %table, synced, "was synced by somebody who saw a newer table: left as it is");
            }
            Outcome::Unchanged | Outcome::NothingYet => {
                tracing::debug!(table = name, glue = %table, ?outcome, "looked at in Glue");
            }
        }
    }
}
