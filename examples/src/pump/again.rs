//! What is read again: where a table is behind, was opened late, or had to wait for a schema.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_source::offsets::Wanted;
use kafka_source::{Error, TopicPartition};

use super::driver::{Pump, kafka_place};
use super::source::Source;
use crate::Failure;

impl<S: Source> Pump<S> {
    /// A message cannot be read before its schema is to be had: its topic rests.
    pub(super) fn put_off(&mut self, topic: &str, partition: i32, offset: i64, reason: &str) -> Result<(), Failure> {
        let place = TopicPartition::new(topic, partition);
        if self.later.told().is_none() {
            self.later.rest(self.clock.now_ms(), self.settings.rest_ms);
            self.feed.rest_schemas(Some(reason.to_owned()));
        }
        tracing::warn!(%place, offset, reason, "the topic waits for its schema");
        self.later.begin(place, offset, reason);
        let places = self.places_of(topic);
        Ok(self.source.hold_back(&places)?)
    }

    fn places_of(&self, topic: &str) -> Vec<TopicPartition> {
        self.feed.ingest().places_read().map(kafka_place).filter(|place| *place.topic == *topic).collect()
    }

    /// Reads again what waited for a schema, once it is time.
    pub(super) async fn try_later(&mut self, now_ms: i64) -> Result<(), Failure> {
        let due = self.later.due(now_ms);
        if due.is_empty() {
            return Ok(());
        }
        self.feed.rest_schemas(None);
        let topics: BTreeSet<Arc<str>> = due.keys().map(|place| Arc::clone(&place.topic)).collect();
        let wanted = due.iter().map(|(place, next)| (place.clone(), next_of(Some(*next)))).collect();
        self.begin_again(&wanted, false).await?;
        let rests = |place: &TopicPartition| self.feed.ingest().is_paused(&place.topic, place.partition);
        let places = topics.iter().flat_map(|topic| self.places_of(topic));
        let places: Vec<_> = places.filter(|place| !rests(place)).collect();
        Ok(self.source.let_go(&places)?)
    }

    /// Reads again what tables lack, and begins anew with those that were opened late.
    pub(super) async fn read_again(&mut self, now_ms: i64) -> Result<(), Failure> {
        if now_ms < self.again_ms {
            return Ok(());
        }
        let mut wanted = self.opened_late();
        for position in self.feed.ingest().reloads() {
            let place = kafka_place(position.place);
            let next = position.next.or_else(|| self.anew(&place));
            wanted.insert(place, Wanted { topic_is_new: position.next.is_none(), ..next_of(next) });
        }
        wanted.retain(|place, _| !self.later.waits(&place.topic));
        if wanted.is_empty() {
            return Ok(());
        }
        self.again_ms = now_ms + self.settings.rest_ms;
        let topics = wanted.keys().map(|place| Arc::clone(&place.topic)).collect();
        for (table, failure) in self.feed.empty_topics(&topics) {
            self.has_stopped(&table, &failure)?;
        }
        self.begin_again(&wanted, true).await
    }

    fn opened_late(&mut self) -> BTreeMap<TopicPartition, Wanted> {
        let ingest = self.feed.ingest();
        let opened: Vec<Arc<str>> =
            self.unopened.iter().filter(|table| ingest.writer(table).is_some()).cloned().collect();
        let mut wanted = BTreeMap::new();
        for table in opened {
            self.unopened.remove(&table);
            for topic in self.feed.topics_of(&table).cloned().collect::<Vec<_>>() {
                wanted.extend(self.wanted_by_tables(&self.places_of(&topic)));
            }
        }
        wanted
    }

    /// `by_tables`: they say where; otherwise it only goes back in what they take.
    async fn begin_again(&mut self, wanted: &BTreeMap<TopicPartition, Wanted>, by_tables: bool) -> Result<(), Failure> {
        let places: Vec<_> = wanted.keys().cloned().collect();
        let told = |place: &TopicPartition| wanted.get(place).cloned().unwrap_or_default();
        match self.source.begin_again(&places, &told).await {
            Ok(starts) => {
                for start in starts.begun {
                    self.ended.remove(&start.place);
                    if by_tables {
                        self.begun(&start);
                    }
                }
                starts.refused.into_iter().try_for_each(|refusal| self.refused(refusal))
            }
            Err(error @ Error::Unavailable { .. }) => {
                tracing::warn!(error = crate::exit::chain(&error), "the broker is asked again");
                if !by_tables {
                    // They wait on.
                    self.wait_on(wanted);
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn wait_on(&mut self, wanted: &BTreeMap<TopicPartition, Wanted>) {
        for (place, wanted) in wanted {
            self.later.begin(place.clone(), wanted.next.unwrap_or_default(), "the broker does not answer");
        }
        self.later.rest(self.clock.now_ms(), self.settings.rest_ms);
    }
}

/// Where a partition goes on; `None`: nothing was read of its topic.
fn next_of(next: Option<i64>) -> Wanted {
    Wanted { next, topic_is_new: next.is_none(), ..Wanted::default() }
}
