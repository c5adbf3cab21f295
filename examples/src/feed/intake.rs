//! [`Feed`]: what goes in. What comes of it: `turns`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use cdc_decoders::overrides::Overrides;
use cdc_decoders::{DecodeError, Decoded, Decoder, Message};
use hudi_core::change::Origin;
use hudi_core::dead_letter::{DeadLetter, Stage};
use hudi_writer::ingest::{Ingest, TableTemplate};
use kafka_source::original;

use super::lane::{HandedOver, Lane};
use super::summary::Summary;
use crate::Failure;
use crate::schemas::{NoSchema, Schemas};

/// Why messages that a table has are passed over.
const COMMITTED_BEFORE: &str = "committed_before";

/// What is done about a message that cannot become a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadMessage {
    /// It is kept beside the table, and the rest goes on.
    #[default]
    DeadLetter,
    /// The table stops with its reason.
    Stop,
}

/// Makes the decoder of a topic: with these columns as the key, if there are any, in place of the messages' own, and going on with the
/// columns of its table.
pub type MakeDecoder = Box<dyn Fn(&str, &[String], Option<&Schema>) -> Result<Box<dyn Decoder>, Failure> + Send + Sync>;

/// How messages become changes.
pub struct FeedSettings {
    /// Makes the topics' decoders.
    pub decoders: MakeDecoder,
    /// Where the schemas are that messages were written with.
    pub schemas: Schemas,
    /// What columns are to be in place of what is sent.
    pub overrides: Overrides,
    /// What is done about a message that cannot become a row.
    pub on_bad: OnBadMessage,
}

/// The table that a topic feeds.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name here: its URL.
    pub table: String,
    /// What it is.
    pub template: TableTemplate,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Fed {
    /// It is dealt with.
    Done,
    /// It is not taken: whoever has its schema does not answer. Send it again, and all after it of its partition.
    Later(String),
}

/// Messages to tables.
pub struct Feed {
    pub(super) settings: FeedSettings,
    pub(super) ingest: Ingest,
    pub(super) lanes: Vec<Lane>,
    pub(super) by_topic: BTreeMap<Arc<str>, usize>,
    pub(super) by_table: BTreeMap<Arc<str>, Vec<usize>>,
    pub(super) summaries: BTreeMap<Arc<str>, Summary>,
    /// The lane of the last message: mostly that of the next.
    last: usize,
    /// The message that each table stopped at.
    pub(super) stopped_at: BTreeMap<Arc<str>, Origin>,
    /// Schemas are not asked for, for this reason.
    schemas_rest: Option<String>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("ingest", &self.ingest).field("topics", &self.by_topic).finish_non_exhaustive()
    }
}

impl Feed {
    /// Without topics.
    #[must_use]
    pub fn new(ingest: Ingest, settings: FeedSettings) -> Self {
        Self {
            settings,
            ingest,
            lanes: vec![],
            by_topic: BTreeMap::new(),
            by_table: BTreeMap::new(),
            summaries: BTreeMap::new(),
            last: 0,
            stopped_at: BTreeMap::new(),
            schemas_rest: None,
        }
    }

    /// The tables.
    #[must_use]
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// The tables, to be asked and told what does not go through decoders.
    pub fn ingest_mut(&mut self) -> &mut Ingest {
        &mut self.ingest
    }

    /// Asks for no schemas for now: messages that need one are to come [later](Fed::Later), for this reason.
    pub fn rest_schemas(&mut self, reason: Option<String>) {
        self.schemas_rest = reason;
    }

    /// The message that a table stopped at, where it was one.
    #[must_use]
    pub fn stopped_at(&self, table: &str) -> Option<&Origin> {
        self.stopped_at.get(table)
    }

    /// Whether a topic was added.
    #[must_use]
    pub fn has_topic(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// The table that a topic feeds.
    #[must_use]
    pub fn table_of(&self, topic: &str) -> Option<&Arc<str>> {
        self.by_topic.get(topic).map(|lane| &self.lanes[*lane].table)
    }

    /// The topics that feed a table.
    pub fn topics_of(&self, table: &str) -> impl Iterator<Item = &Arc<str>> {
        self.by_table.get(table).into_iter().flatten().map(|lane| &self.lanes[*lane].topic)
    }

    /// Adds a topic, and its table if no other topic feeds that. Open the tables before its messages come.
    ///
    /// # Errors
    /// Where the table is not to be fed from several topics, or a decoder cannot be made.
    pub fn add_topic(&mut self, topic: &str, route: Route) -> Result<(), Failure> {
        let Route { table, template } = route;
        let topic: Arc<str> = topic.into();
        let key = template.table.key.clone();
        match self.by_table.contains_key(&*table) {
            false => self.ingest.add_table(&table, template.topic(&*topic))?,
            true => self.ingest.add_topic(&table, &topic)?,
        }
        let table: Arc<str> = table.into();
        let decoder = (self.settings.decoders)(&topic, &key, None)?;
        self.summaries.entry(Arc::clone(&table)).or_default();
        self.by_table.entry(Arc::clone(&table)).or_default().push(self.lanes.len());
        self.by_topic.insert(Arc::clone(&topic), self.lanes.len());
        self.lanes.push(Lane::new(topic, table, key, decoder));
        Ok(())
    }

    /// Takes a message of a topic that was added; others are of no use to any table. Dropped half-way, it was not taken.
    ///
    /// # Errors
    /// What the message's table cannot go on with: it has stopped.
    pub async fn add(&mut self, message: &Message<'_>) -> Result<Fed, Failure> {
        let Message { topic, partition, offset, .. } = *message;
        let Some(lane) = self.lane_of(topic) else { return Ok(Fed::Done) };
        let table = Arc::clone(&self.lanes[lane].table);
        if !self.ingest.wants(&table, topic, partition, offset) {
            self.skip(&table, COMMITTED_BEFORE);
            return Ok(Fed::Done);
        }
        match self.decode(lane, message).await {
            Ok(Fed::Done) => self.ingest.advance(topic, partition, offset + 1),
            Ok(later) => return Ok(later),
            Err(failure) => {
                self.ingest.stop(&table, failure.to_string());
                // Unless it was an earlier one that the decoder had held.
                self.stopped_at.entry(table).or_insert_with(|| Origin { topic: topic.into(), partition, offset });
                return Err(failure);
            }
        }
        Ok(Fed::Done)
    }

    fn lane_of(&mut self, topic: &str) -> Option<usize> {
        if self.lanes.get(self.last).is_none_or(|lane| *lane.topic != *topic) {
            self.last = *self.by_topic.get(topic)?;
        }
        Some(self.last)
    }

    async fn decode(&mut self, at: usize, message: &Message<'_>) -> Result<Fed, Failure> {
        let mut decoded = self.try_decode(at, message).await;
        if matches!(decoded, Ok(Ok(Decoded::FlushFirst))) {
            self.hand_over(at)?;
            decoded = self.try_decode(at, message).await;
        }
        match decoded {
            Ok(Ok(Decoded::Added { .. })) => self.lanes[at].keep(message),
            Ok(Ok(Decoded::Skipped(reason))) => {
                let table = Arc::clone(&self.lanes[at].table);
                self.skip(&table, reason.as_str());
            }
            Ok(Ok(_)) => return Err(Failure::failed("the decoder takes a message neither before nor after a flush")),
            Ok(Err(error)) => self.bad_message(at, message, &error)?,
            Err(NoSchema::Later(reason)) => return Ok(Fed::Later(reason)),
            Err(NoSchema::Missing(failure)) => return Err(failure),
        }
        Ok(Fed::Done)
    }

    async fn try_decode(&mut self, at: usize, message: &Message<'_>) -> Result<Result<Decoded, DecodeError>, NoSchema> {
        let decoder = &mut *self.lanes[at].decoder;
        let decoded = decoder.decode(message);
        match (&decoded, &self.schemas_rest) {
            (Ok(Decoded::NeedsSchema(_)), Some(reason)) => Err(NoSchema::Later(reason.clone())),
            (Ok(Decoded::NeedsSchema(id)), None) => self.settings.schemas.learn_and_decode(decoder, message, *id).await,
            _ => Ok(decoded),
        }
    }

    fn skip(&mut self, table: &str, reason: &str) {
        if let Some(summary) = self.summaries.get_mut(table) {
            summary.skip(reason, 1);
        }
    }

    fn bad_message(&mut self, at: usize, message: &Message<'_>, error: &DecodeError) -> Result<(), Failure> {
        let original = original(message);
        let told = format!("{}: {error}", original.origin);
        if matches!(error, DecodeError::UnsupportedSource { .. }) {
            // No message of this source will do: what was asked for is refused.
            return Err(Failure::usage(told));
        }
        if self.settings.on_bad == OnBadMessage::Stop || !error.can_go_on() {
            return Err(Failure::failed(told));
        }
        let table = Arc::clone(&self.lanes[at].table);
        self.bury(&table, DeadLetter { stage: Stage::Decode, reason: error.to_string(), original })
    }

    fn bury(&mut self, table: &str, letter: DeadLetter) -> Result<(), Failure> {
        let origin = letter.original.origin.clone();
        let buried = match self.settings.on_bad {
            OnBadMessage::Stop => Err(Failure::failed(format!("{origin}: {}", letter.reason))),
            OnBadMessage::DeadLetter => {
                self.ingest.dead_letter(table, letter).map_err(|error| Failure::failed(error.to_string()))
            }
        };
        buried.inspect_err(|_| drop(self.stopped_at.insert(table.into(), origin)))
    }

    /// Hands what a lane's decoder holds to its table.
    pub(super) fn hand_over(&mut self, at: usize) -> Result<(), Failure> {
        let table = Arc::clone(&self.lanes[at].table);
        let Some(handed) = self.lanes[at].hand_over(&self.settings.overrides)? else { return Ok(()) };
        let HandedOver { batch, originals, letters } = handed;
        letters.into_iter().try_for_each(|letter| self.bury(&table, letter))?;
        Ok(self.ingest.take(&table, batch, originals)?)
    }
}
