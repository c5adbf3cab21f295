//! [`Replayer`]: feeds tables from messages that end, such as a capture's.
//!
//! Commits are waited for, so that the same messages make the same commits. What lies below a table's checkpoint is passed over; a gap
//! above it is none, for what there is to read is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_decoders::Message;
use hudi_writer::ingest::{Ended, Ingest, IngestSettings, Outcome, Triggers, Unfounded};
use hudi_writer::{Error, SystemClock};

use super::intake::{Fed, Feed, FeedSettings, OnBadMessage, Route};
use super::summary::Summary;
use super::turns::Stopped;
use crate::Failure;

/// Bytes of changes and their messages that are committed at the latest.
const COMMIT_BYTES: usize = 256 << 20;
/// Messages between two looks at the memory of all tables.
const LOOK_EVERY: u32 = 1024;
const NEVER_MS: i64 = i64::MAX / 4;
/// Why truncates are passed over that come before the table is there.
const NOTHING_TO_TRUNCATE: &str = "nothing_to_truncate";

/// What a replay is told.
#[derive(Debug, Clone, Copy)]
pub struct ReplaySettings {
    /// A table commits whenever so many changes wait.
    pub commit_every_rows: usize,
    /// Bytes that all tables may hold together.
    pub budget_bytes: usize,
}

impl Default for ReplaySettings {
    fn default() -> Self {
        Self { commit_every_rows: usize::MAX, budget_bytes: 1 << 30 }
    }
}

/// Feeds tables from messages that end.
#[derive(Debug)]
pub struct Replayer {
    feed: Feed,
    settings: ReplaySettings,
    stops_at_letters: bool,
    since_look: u32,
    failures: BTreeMap<Arc<str>, Failure>,
}

impl Replayer {
    /// Of these topics, each into its table; the tables are opened.
    ///
    /// # Errors
    /// Where settings cannot be used, or a table cannot be opened or is not what was asked for.
    pub async fn open(
        settings: ReplaySettings,
        feed: FeedSettings,
        routes: impl IntoIterator<Item = (String, Route)>,
    ) -> Result<Self, Failure> {
        let stops_at_letters = feed.on_bad == OnBadMessage::Stop;
        let ingest = Ingest::new(ingest_settings(&settings, stops_at_letters), Arc::new(SystemClock))?;
        let mut feed = Feed::new(ingest, feed);
        for (topic, route) in routes {
            feed.add_topic(&topic, route)?;
        }
        for outcome in feed.open().await? {
            if let Ended::Failed { error, .. } = outcome.ended {
                return Err(error.into());
            }
        }
        Ok(Self { feed, settings, stops_at_letters, since_look: 0, failures: BTreeMap::new() })
    }

    /// Takes a message; commits what is enough for it. A table that cannot go on is left behind, and [`finish`](Self::finish) tells
    /// why.
    ///
    /// # Errors
    /// Where a decoder cannot be made.
    pub async fn feed(&mut self, message: &Message<'_>) -> Result<(), Failure> {
        let Some(table) = self.feed.table_of(message.topic).cloned() else { return Ok(()) };
        if self.failures.contains_key(&table) {
            return Ok(());
        }
        self.begin(message);
        match self.feed.add(message).await {
            Ok(Fed::Done) => {}
            Ok(Fed::Later(reason)) => self.fails((Arc::clone(&table), Failure::failed(reason))),
            Err(failure) => self.fails((Arc::clone(&table), failure)),
        }
        let waiting = self.feed.waiting(&table);
        self.since_look += 1;
        if waiting.rows >= self.settings.commit_every_rows
            || waiting.bytes >= COMMIT_BYTES
            || self.since_look >= LOOK_EVERY
        {
            self.since_look = 0;
            self.commit().await?;
        }
        Ok(())
    }

    /// Whether no table goes on.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.feed.by_table.keys().all(|table| self.failures.contains_key(table))
    }

    /// What lies between the table's position and the first message was never there.
    fn begin(&mut self, message: &Message<'_>) {
        let (topic, partition) = (message.topic, message.partition);
        if !self.feed.ingest().is_read(topic, partition) {
            let next = self.feed.ingest().start_offset(topic, partition).unwrap_or(message.offset);
            self.feed.ingest_mut().assign(topic, partition, next);
        }
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        loop {
            let stopped = self.feed.turn();
            stopped.into_iter().for_each(|stopped| self.fails(stopped));
            let Some(outcome) = self.feed.next().await? else { return Ok(()) };
            self.land(outcome);
        }
    }

    fn land(&mut self, outcome: Outcome) {
        let Outcome { table, ended, .. } = outcome;
        let failure = match ended {
            Ended::Committed { .. } | Ended::Nothing | Ended::Unfounded(_) => return,
            Ended::Reload => Failure::failed("the table went back while it was written: run again"),
            // A message that cannot be a row was to stop us.
            Ended::Failed { error: error @ Error::Refused { .. }, retry_at_ms: None } if self.stops_at_letters => {
                Failure::failed(error.to_string())
            }
            Ended::Failed { error, .. } => error.into(),
        };
        self.fails((table, failure));
    }

    fn fails(&mut self, (table, failure): Stopped) {
        self.feed.ingest_mut().stop(&table, failure.to_string());
        self.failures.entry(table).or_insert(failure);
    }

    /// What was done to a topic's table so far.
    #[must_use]
    pub fn summary(&self, topic: &str) -> Summary {
        self.feed.table_of(topic).map(|table| self.feed.summary(table)).unwrap_or_default()
    }

    /// Commits the rest, to which nothing more comes: what was done, by topic, and which failed.
    ///
    /// # Errors
    /// Where a decoder cannot be made.
    pub async fn finish(mut self) -> Result<(BTreeMap<String, Summary>, Vec<(String, Failure)>), Failure> {
        let stopped = self.feed.conclude();
        stopped.into_iter().for_each(|stopped| self.fails(stopped));
        let mut unfounded = vec![];
        loop {
            self.feed.turn().into_iter().for_each(|stopped| self.fails(stopped));
            let Some(outcome) = self.feed.next().await? else { break };
            match outcome.ended {
                Ended::Unfounded(waits) => unfounded.push((outcome.table, waits)),
                _ => self.land(outcome),
            }
        }
        let mut truncates = BTreeMap::new();
        for (table, waits) in unfounded {
            truncates.insert(Arc::clone(&table), waits.truncates as u64);
            if let Some(failure) = self.founds_nothing(&table, &waits) {
                self.fails((table, failure));
            }
        }
        Ok(self.done(&truncates))
    }

    fn founds_nothing(&self, table: &str, waits: &Unfounded) -> Option<Failure> {
        let topic = self.feed.topics_of(table).next()?;
        match (waits.letters, waits.changes, &waits.first_letter) {
            (0, 0, _) => None,
            (0, ..) => {
                Some(Failure::usage(format!("the messages of {topic} have no key: name its columns with --key")))
            }
            (letters, changes, first) => Some(Failure::failed(format!(
                "no message became a row, and {} could not: the first, {}",
                letters + changes,
                first.as_deref().unwrap_or_default()
            ))),
        }
    }

    fn done(mut self, truncates: &BTreeMap<Arc<str>, u64>) -> (BTreeMap<String, Summary>, Vec<(String, Failure)>) {
        let (mut summaries, mut failures) = (BTreeMap::new(), vec![]);
        for (topic, lane) in &self.feed.by_topic {
            let table = &self.feed.lanes[*lane].table;
            if let Some(failure) = self.failures.remove(table) {
                failures.push((topic.to_string(), failure));
            } else if !summaries.contains_key(&**topic) {
                let mut summary = self.feed.summary(table);
                if let Some(truncates) = truncates.get(table).filter(|truncates| **truncates > 0) {
                    summary.skip(NOTHING_TO_TRUNCATE, *truncates);
                }
                summaries.insert(topic.to_string(), summary);
            }
        }
        (summaries, failures)
    }
}

/// Time plays no part, nor do positions before the end.
fn ingest_settings(settings: &ReplaySettings, stops_at_letters: bool) -> IngestSettings {
    let triggers = Triggers { bytes: COMMIT_BYTES, rows: settings.commit_every_rows, age_ms: NEVER_MS };
    IngestSettings {
        budget_bytes: settings.budget_bytes,
        table_share_bytes: settings.budget_bytes,
        triggers,
        checkpoint_age_ms: NEVER_MS,
        checkpoint_messages: i64::MAX,
        dead_letters_per_minute: stops_at_letters.then_some(0),
        ..IngestSettings::default()
    }
}
