//! [`Pump`]: the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use hudi_writer::Clock;
use hudi_writer::ingest::{Ended, Outcome, TableReport};
use kafka_source::{Error, Event, Messages, TopicPartition};

use super::later::Later;
use super::settings::{PumpSettings, Routes};
use super::source::Source;
use crate::glue::Notes;
use crate::watch::{Standing, Watch};
use crate::{Failure, Fed, Feed};

/// So many bytes of messages are reason enough for a look at which tables are due.
const LOOK_BYTES: usize = 1 << 20;

/// Pumps messages from a source to tables.
pub struct Pump<S> {
    pub(super) source: S,
    pub(super) feed: Feed,
    pub(super) routes: Routes,
    pub(super) settings: PumpSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) watch: Arc<Watch>,
    /// Who syncs what is committed.
    notes: Option<Notes>,
    pub(super) later: Later,
    /// Tables that could not be opened when their partitions began.
    pub(super) unopened: BTreeSet<Arc<str>>,
    /// Topics that no table can be told for.
    pub(super) astray: BTreeMap<Arc<str>, String>,
    /// Where partitions began that no table had been read from.
    pub(super) origins: BTreeMap<TopicPartition, i64>,
    /// Partitions that were read to their ends.
    pub(super) ended: BTreeSet<TopicPartition>,
    /// The source is not asked before.
    pub(super) rests_until_ms: i64,
    pub(super) looked_ms: i64,
    pub(super) told_ms: i64,
    pub(super) again_ms: i64,
    /// The source is not asked before where topics end.
    ends_ms: i64,
}

/// What the loop waited for.
enum Heard {
    Event(Event),
    Trouble(Error),
    Landed(Box<Outcome>),
    Nothing,
    Stop,
}

impl<S: Source> Pump<S> {
    /// Nothing is read yet.
    pub fn new(
        source: S,
        feed: Feed,
        routes: Routes,
        settings: PumpSettings,
        clock: Arc<dyn Clock>,
        watch: Arc<Watch>,
    ) -> Self {
        let now_ms = clock.now_ms();
        Self {
            source,
            feed,
            routes,
            settings,
            clock,
            watch,
            notes: None,
            later: Later::default(),
            unopened: BTreeSet::new(),
            astray: BTreeMap::new(),
            origins: BTreeMap::new(),
            ended: BTreeSet::new(),
            rests_until_ms: now_ms,
            looked_ms: now_ms,
            told_ms: now_ms,
            again_ms: now_ms,
            ends_ms: now_ms,
        }
    }

    /// With other settings.
    #[must_use]
    pub fn with(self, settings: PumpSettings) -> Self {
        Self { settings, ..self }
    }

    /// Tells somebody of each table that is opened or committed.
    #[must_use]
    pub fn noting(self, notes: Option<Notes>) -> Self {
        Self { notes, ..self }
    }

    /// Pumps until `stop` is ready, or cannot go on; then commits what is held, and leaves the group.
    ///
    /// Dropped half-way, it is as if the process was killed: nothing is lost.
    ///
    /// # Errors
    /// What the source or all tables cannot go on with.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Failure> {
        let mut stop = pin!(stop);
        let ended = loop {
            match self.step(stop.as_mut()).await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        if let Err(failure) = &ended {
            tracing::error!(%failure, "what is held is committed, then it ends");
        }
        self.conclude().await?;
        self.source.close().await?;
        ended
    }

    /// Whether there is a next one.
    async fn step(&mut self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<bool, Failure> {
        self.steer().await?;
        if self.settings.until_the_end && self.is_at_the_end() {
            return self.end();
        }
        match self.wait(stop).await? {
            Heard::Event(event) => self.hear(event).await?,
            Heard::Trouble(error) => self.is_troubled(error)?,
            Heard::Landed(outcome) => self.land(&outcome)?,
            Heard::Nothing => {}
            Heard::Stop => return Ok(false),
        }
        Ok(true)
    }

    async fn wait(&mut self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<Heard, Failure> {
        let (commits, asks) = (self.feed.ingest().is_committing(), self.clock.now_ms() >= self.rests_until_ms);
        tokio::select! {
            biased;
            () = stop => Ok(Heard::Stop),
            outcome = self.feed.next(), if commits => Ok(outcome?.map_or(Heard::Nothing, |outcome| Heard::Landed(Box::new(outcome)))),
            event = self.source.next(), if asks => Ok(event.map_or_else(Heard::Trouble, Heard::Event)),
            () = self.clock.sleep(self.settings.look_every_ms) => Ok(Heard::Nothing),
        }
    }

    async fn hear(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Batch(messages) => return self.take(&messages).await,
            Event::Assigned(places) => return self.assigned(&places).await,
            Event::Revoked(places) => return self.revoked(&places).await,
            Event::Lost(places) => self.release(&places),
            Event::Full => self.looked_ms = 0,
            Event::Skipped(start) => self.skipped(&start),
            Event::Refused(refusal) => self.refused(refusal)?,
            Event::End(place) => drop(self.ended.insert(place)),
        }
        Ok(())
    }

    async fn take(&mut self, messages: &Messages) -> Result<(), Failure> {
        let headers = messages.headers();
        for message in messages.iter(&headers) {
            if self.later.passes(message.topic, message.partition, message.offset) {
                continue;
            }
            match self.feed.add(&message).await {
                Ok(Fed::Done) => {}
                Ok(Fed::Later(reason)) => self.put_off(message.topic, message.partition, message.offset, &reason)?,
                Err(failure) => {
                    let table = self.feed.table_of(message.topic).cloned().unwrap_or_default();
                    self.has_stopped(&table, &failure)?;
                }
            }
        }
        self.watch.read(messages.len(), messages.size_bytes());
        if messages.size_bytes() >= LOOK_BYTES {
            self.looked_ms = 0;
        }
        Ok(())
    }

    /// Has commits begin, pauses what is too much, reads again what must be, and tells how it stands: each when it is time.
    async fn steer(&mut self) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        if now_ms - self.looked_ms < self.settings.look_every_ms {
            return Ok(());
        }
        self.looked_ms = now_ms;
        for (table, failure) in self.feed.turn() {
            self.has_stopped(&table, &failure)?;
        }
        self.flow()?;
        self.try_later(now_ms).await?;
        self.read_again(now_ms).await?;
        if now_ms - self.told_ms >= self.settings.tell_every_ms {
            self.told_ms = now_ms;
            self.tell()?;
            self.tell_ends(now_ms).await?;
        }
        Ok(())
    }

    /// Tells tables where their topics end: those that read a second snapshot of their source to its last row.
    async fn tell_ends(&mut self, now_ms: i64) -> Result<(), Failure> {
        let topics = if now_ms < self.ends_ms { BTreeSet::new() } else { self.feed.ingest().wants_high_waters() };
        for topic in topics {
            match self.source.ends(&topic).await {
                Ok(ends) => self.feed.ingest_mut().high_waters(&topic, &ends),
                Err(error) => {
                    self.ends_ms = now_ms + self.settings.drain_ms;
                    self.is_troubled(error)?;
                }
            }
        }
        Ok(())
    }

    /// Pauses and resumes as the tables want it. Who waits for a schema waits on.
    fn flow(&mut self) -> Result<(), Failure> {
        let flow = self.feed.ingest_mut().flow();
        let places = |of: Vec<hudi_writer::ingest::TopicPartition>| of.into_iter().map(kafka_place);
        let pause: Vec<_> = places(flow.pause).collect();
        let resume: Vec<_> = places(flow.resume).filter(|place| !self.later.waits(&place.topic)).collect();
        if !pause.is_empty() {
            self.source.hold_back(&pause)?;
        }
        if !resume.is_empty() {
            self.source.let_go(&resume)?;
        }
        Ok(())
    }

    /// Tells the group and whoever watches how it stands.
    pub(super) fn tell(&mut self) -> Result<(), Failure> {
        let positions = self.feed.ingest().committable();
        let known = positions.into_iter().filter_map(|at| Some((kafka_place(at.place), at.next?)));
        let covered: BTreeMap<TopicPartition, i64> = known.collect();
        self.source.committed(&|place| covered.get(place).copied())?;
        let trouble = self.later.told().map(|(partitions, reason)| format!("{partitions} partitions wait: {reason}"));
        let astray = self.astray.iter().map(|(topic, reason)| format!("{topic}: {reason}"));
        self.watch.publish(&Standing {
            now_ms: self.clock.now_ms(),
            tables: self.feed.ingest().report(),
            memory_bytes: self.feed.ingest().memory_bytes(),
            lag: self.source.lag(),
            troubles: trouble.into_iter().chain(astray).collect(),
        });
        Ok(())
    }

    pub(super) fn land(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        self.note(outcome);
        let Outcome { table, ended, .. } = outcome;
        match ended {
            Ended::Committed { committed, .. } => {
                tracing::debug!(%table, instant = %committed.instant, rows = outcome.carried.rows, "committed");
                // The commit stands, and dead letters that it made are too many.
                if let Some(reason) = self.feed.ingest().stopped(table) {
                    let failure = Failure::failed(reason);
                    self.has_stopped(table, &failure)?;
                }
            }
            Ended::Nothing => {}
            Ended::Unfounded(waits) => tracing::info!(%table, ?waits, "no message says yet what the table is"),
            Ended::Reload => tracing::warn!(%table, "the table is behind what was read: it is read again"),
            Ended::Failed { error, retry_at_ms: Some(_) } => {
                tracing::warn!(%table, error = error.told(), "not committed; it is tried again");
            }
            Ended::Failed { error, .. } => {
                let failure = Failure::failed(error.told());
                self.has_stopped(table, &failure)?;
            }
        }
        self.looked_ms = 0;
        Ok(())
    }

    /// Tells of a turn's end whoever wants to know.
    fn note(&self, outcome: &Outcome) {
        self.watch.landed(outcome, self.clock.now_ms());
        let writer = self.feed.ingest().writer(&outcome.table);
        if let (Some(notes), Some(writer)) = (&self.notes, writer) {
            notes.landed(&outcome.table, &outcome.ended, writer.table());
        }
    }

    /// A table cannot go on. The others do, if there are any, and if that is wanted.
    pub(super) fn has_stopped(&mut self, table: &str, failure: &Failure) -> Result<(), Failure> {
        tracing::error!(table, %failure, "the table has stopped: see to it, then start again; its messages stay at the broker");
        let is_last = self.feed.ingest().all_stopped();
        match is_last || self.settings.stops_with_a_table {
            true => Err(Failure::failed(format!("{table}: {failure}"))),
            false => Ok(()),
        }
    }

    fn is_troubled(&mut self, error: Error) -> Result<(), Failure> {
        match error {
            Error::Unavailable { .. } => {
                tracing::warn!(error = crate::exit::chain(&error), "the broker is asked again");
                self.rests_until_ms = self.clock.now_ms() + self.settings.rest_ms;
                Ok(())
            }
            other => Err(other.into()),
        }
    }

    fn is_at_the_end(&self) -> bool {
        let mut read = self.feed.ingest().places_read().peekable();
        let stopped = |topic: &str| self.feed.ingest().stopped(self.feed.table_of(topic)?).map(drop);
        let is_over = |place: hudi_writer::ingest::TopicPartition| {
            stopped(&place.topic).is_some() || self.ended.contains(&kafka_place(place))
        };
        read.peek().is_some() && self.later.told().is_none() && read.all(is_over)
    }

    /// Everything was read. That is no good end where a table has stopped.
    fn end(&self) -> Result<bool, Failure> {
        let stopped = |report: &TableReport| self.feed.ingest().stopped(&report.table).map(str::to_owned);
        let reports = self.feed.ingest().report();
        match reports.iter().find_map(|report| Some((&report.table, stopped(report)?))) {
            Some((table, reason)) => Err(Failure::failed(format!("{table} has stopped: {reason}"))),
            None => Ok(false),
        }
    }

    /// Commits everything that is held, as far as that can be done.
    async fn conclude(&mut self) -> Result<(), Failure> {
        for (table, failure) in self.feed.conclude() {
            tracing::error!(%table, %failure, "not committed: its messages stay at the broker");
        }
        self.finish_drain().await?;
        self.tell()
    }

    /// Waits for what is being drained, but not for ever.
    pub(super) async fn finish_drain(&mut self) -> Result<(), Failure> {
        let until_ms = self.clock.now_ms() + self.settings.drain_ms;
        while self.feed.ingest().is_draining() && self.clock.now_ms() < until_ms {
            for (table, failure) in self.feed.turn() {
                tracing::error!(%table, %failure, "not committed: its messages stay at the broker");
            }
            let commits = self.feed.ingest().is_committing();
            let landed = tokio::select! {
                outcome = self.feed.next(), if commits => outcome?,
                () = self.clock.sleep(self.settings.look_every_ms) => None,
            };
            if let Some(outcome) = landed {
                self.note(&outcome);
                if let Ended::Failed { error, .. } = &outcome.ended {
                    let (table, error) = (&outcome.table, error.told());
                    tracing::error!(%table, error, "not committed: its messages stay at the broker");
                }
            }
        }
        Ok(())
    }
}

/// A partition in the source's words.
pub(super) fn kafka_place(place: hudi_writer::ingest::TopicPartition) -> TopicPartition {
    TopicPartition { topic: place.topic, partition: place.partition }
}

/// A partition in the tables' words.
pub(super) fn table_place(place: &TopicPartition) -> hudi_writer::ingest::TopicPartition {
    hudi_writer::ingest::TopicPartition { topic: Arc::clone(&place.topic), partition: place.partition }
}
