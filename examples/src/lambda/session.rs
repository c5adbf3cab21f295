//! [`Session`]: one table, from the event that first needs it on. Its writer and decoders stay between invocations.
//!
//! After a failure it is dropped: what it held is in the next event.

use std::sync::Arc;

use hudi_core::change::Origin;
use hudi_writer::ingest::{Ended, Ingest, IngestSettings, TopicPartition, Triggers};
use hudi_writer::{Clock, Table, TableWriter};
use kafka_source::offsets::OnGap;

use super::batch::{Batch, Holds, Limits, Part, Record, letter, origin};
use super::settings::LambdaSettings;
use super::tally::Tally;
use crate::{Failure, Fed, Feed};

/// Why records are passed over that the table has.
const COMMITTED_BEFORE: &str = "committed_before";

/// One table.
#[derive(Debug)]
pub(super) struct Session {
    feed: Feed,
    table: Arc<str>,
}

/// The table does not go on.
#[derive(Debug)]
pub(super) struct Stuck {
    /// The message that it stops at, where it is one.
    pub(super) at: Option<Origin>,
    pub(super) why: Failure,
}

impl From<Failure> for Stuck {
    fn from(why: Failure) -> Self {
        Self { at: None, why }
    }
}

impl Session {
    /// Nothing is asked of the store yet.
    pub(super) fn new(batch: &Batch<'_>, settings: &LambdaSettings, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let ingest = Ingest::new(ingest_settings(settings.dead_letters_per_minute), clock)?;
        let feed = Feed::new(ingest, settings.decoders.clone().into_feed(settings.on_bad));
        Ok(Self { feed, table: batch.table.as_str().into() })
    }

    /// Commits a batch up to the limits. Dropped half-way, with the session, it is as if the process was killed.
    pub(super) async fn commit(
        &mut self,
        batch: &Batch<'_>,
        limits: &Limits,
        settings: &LambdaSettings,
    ) -> Result<Tally, Stuck> {
        let parts = batch.parts(limits);
        if parts.is_empty() {
            return Ok(Tally::default());
        }
        let before = self.committed_before();
        self.add_topics(batch)?;
        self.look_unless_it_goes_on(&parts).await?;
        let mut done = Tally { gap_offsets: self.begin(&parts, settings.on_gap)?, ..Tally::default() };
        for record in parts.iter().flat_map(|part| part.records) {
            self.take(record).await?;
        }
        self.land(&parts, &mut done).await?;
        for part in &parts {
            self.feed.ingest_mut().release(part.topic, part.partition);
        }
        done.committed_before = self.committed_before() - before;
        Ok(done)
    }

    /// Whether it can go on with the next event: nothing is held, and the table takes more.
    pub(super) fn goes_on(&self) -> bool {
        let ingest = self.feed.ingest();
        !ingest.all_stopped() && ingest.memory_bytes() == 0
    }

    /// The table, as of the last commit.
    pub(super) fn table(&self) -> Option<&Table> {
        self.feed.ingest().writer(&self.table).map(TableWriter::table)
    }

    fn committed_before(&self) -> u64 {
        self.feed.summary(&self.table).skipped.get(COMMITTED_BEFORE).copied().unwrap_or(0)
    }

    fn add_topics(&mut self, batch: &Batch<'_>) -> Result<(), Failure> {
        let new: Vec<_> = batch.routes.iter().filter(|(topic, _)| !self.feed.has_topic(topic)).collect();
        new.into_iter().try_for_each(|(topic, route)| self.feed.add_topic(topic, route.clone()))
    }

    /// Where each partition begins where the table was left, the commit finds out whether somebody else was there since.
    async fn look_unless_it_goes_on(&mut self, parts: &[Part<'_, '_>]) -> Result<(), Failure> {
        let goes_on = |part: &Part<'_, '_>| self.position(part) == Some(part.first);
        if parts.iter().all(goes_on) {
            return Ok(());
        }
        for outcome in self.feed.open().await? {
            if let Ended::Failed { error, .. } = outcome.ended {
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn position(&self, part: &Part<'_, '_>) -> Option<i64> {
        self.feed.ingest().position(&self.table, part.topic, part.partition)
    }

    /// Each partition is read from where the table is; how many offsets are jumped over.
    fn begin(&mut self, parts: &[Part<'_, '_>], on_gap: OnGap) -> Result<u64, Stuck> {
        let mut gap_offsets = 0;
        for part in parts {
            let next = self.position(part).unwrap_or(part.first);
            if part.first > next {
                gap_offsets += (part.first - next).unsigned_abs();
                let gap = gap(part, next);
                match on_gap {
                    OnGap::Earliest => tracing::warn!(table = &*self.table, gap, "goes on behind a gap"),
                    _ => return Err(Stuck { at: Some(origin(&part.records[0])), why: Failure::failed(gap) }),
                }
            }
            if part.records.last().is_some_and(|last| last.offset < next) {
                let Part { topic, partition, first, .. } = part;
                tracing::warn!(
                    topic,
                    partition,
                    first,
                    next,
                    "passed over: the table is further; or the topic was made anew"
                );
            }
            self.feed.ingest_mut().assign(part.topic, part.partition, next);
        }
        Ok(gap_offsets)
    }

    async fn take(&mut self, record: &Record<'_>) -> Result<(), Stuck> {
        let fed = match record.holds {
            Holds::Message(message) => self.feed.add(&message).await,
            Holds::Nothing(bad) => {
                let ingest = self.feed.ingest_mut();
                let buried = ingest.dead_letter(&self.table, letter(record, bad));
                ingest.advance(record.topic, record.partition, record.offset + 1);
                buried.map(|()| Fed::Done).map_err(Failure::from)
            }
        };
        match fed {
            Ok(Fed::Done) => Ok(()),
            Ok(Fed::Later(reason)) => Err(Stuck { at: Some(origin(record)), why: Failure::failed(reason) }),
            Err(why) => Err(self.stuck(why)),
        }
    }

    /// Commits everything.
    async fn land(&mut self, parts: &[Part<'_, '_>], done: &mut Tally) -> Result<(), Stuck> {
        let places: Vec<_> = parts.iter().map(|part| TopicPartition::new(part.topic, part.partition)).collect();
        let mut stopped = self.feed.drain(&places);
        loop {
            stopped.extend(self.feed.turn());
            if let Some((_, why)) = stopped.pop() {
                return Err(self.stuck(why));
            }
            let Some(outcome) = self.feed.next().await? else { break };
            done.take(outcome).map_err(|why| self.stuck(why))?;
        }
        match parts.iter().all(|part| self.has(part)) {
            true => Ok(()),
            false => Err(Failure::failed("the table's position is not behind the event").into()),
        }
    }

    /// Whether the table says that it is past a partition's last record; or there is none, and nothing to make it of.
    fn has(&self, part: &Part<'_, '_>) -> bool {
        let is_past = |next| part.records.last().is_none_or(|last| next > last.offset);
        self.position(part).map_or_else(|| self.feed.ingest().writer(&self.table).is_none(), is_past)
    }

    fn stuck(&self, why: Failure) -> Stuck {
        Stuck { at: self.feed.stopped_at(&self.table).cloned(), why }
    }
}

fn gap(part: &Part<'_, '_>, next: i64) -> String {
    let Part { topic, partition, first, .. } = part;
    format!(
        "{topic}/{partition}: the table wants offset {next}, but the event begins at {first}: what lies between was lost, or is no message \
         (transactions, compaction); HUDI_ON_GAP=go-on jumps over it"
    )
}

/// Nothing is due before an event was taken, but for positions; a commit is tried until there is no more time.
fn ingest_settings(dead_letters_per_minute: Option<u32>) -> IngestSettings {
    let everything = usize::MAX / 4;
    IngestSettings {
        budget_bytes: everything,
        table_share_bytes: everything,
        triggers: Triggers { bytes: everything, rows: everything, age_ms: i64::MAX / 4 },
        checkpoint_messages: 1,
        tries: u32::MAX,
        dead_letters_per_minute,
        ..IngestSettings::default()
    }
}
