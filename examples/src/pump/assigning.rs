//! Partitions that come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use hudi_core::checkpoint::Checkpoint;
use hudi_writer::TableWriter;
use hudi_writer::ingest::Ended;
use kafka_source::offsets::{Start, Wanted, Why};
use kafka_source::{Error, TopicPartition};

use super::driver::{Pump, table_place};
use super::source::Source;
use crate::Failure;

impl<S: Source> Pump<S> {
    /// These become ours. Their tables are opened anew, for another consumer may have written them since.
    pub(super) async fn assigned(&mut self, places: &[TopicPartition]) -> Result<(), Failure> {
        self.add_topics(places)?;
        for outcome in self.feed.open().await? {
            if let Ended::Failed { .. } = outcome.ended {
                self.unopened.insert(Arc::clone(&outcome.table));
            }
            self.land(&outcome)?;
        }
        let checkpoints = self.checkpoints(places);
        let wanted = |place: &TopicPartition| Wanted::of(place, checkpoints.get(&place.topic));
        match self.source.begin(&wanted).await {
            Ok(starts) => starts.iter().for_each(|start| self.begun(start)),
            Err(error @ Error::Unavailable { .. }) => {
                tracing::warn!(error = crate::exit::chain(&error), "the broker is asked again");
                self.rests_until_ms = self.clock.now_ms() + self.settings.rest_ms;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Finds tables for topics that are new here. One without is not read.
    fn add_topics(&mut self, places: &[TopicPartition]) -> Result<(), Failure> {
        for place in places {
            if !self.feed.has_topic(&place.topic) {
                let added = (self.routes)(&place.topic).and_then(|route| self.feed.add_topic(&place.topic, route));
                if let Err(failure) = added {
                    tracing::error!(topic = %place.topic, %failure, "the topic is not read");
                    self.astray.insert(Arc::clone(&place.topic), failure.to_string());
                }
            }
            if self.astray.contains_key(&place.topic) {
                self.source.hold_back(std::slice::from_ref(place))?;
            }
        }
        Ok(())
    }

    /// How far the tables of topics are, as far as they could be opened.
    fn checkpoints(&self, places: &[TopicPartition]) -> BTreeMap<Arc<str>, Checkpoint> {
        let checkpoint = |topic: &Arc<str>| {
            let writer = self.feed.table_of(topic).and_then(|table| self.feed.ingest().writer(table));
            Some((Arc::clone(topic), writer.map(TableWriter::committed)?.clone()))
        };
        places.iter().filter_map(|place| checkpoint(&place.topic)).collect()
    }

    /// What is said of a partition by the table that its topic feeds.
    pub(super) fn wanted_by_table(&self, place: &TopicPartition) -> Wanted {
        Wanted::of(place, self.checkpoints(std::slice::from_ref(place)).get(&place.topic))
    }

    /// A partition is read from here on.
    pub(super) fn begun(&mut self, start: &Start) {
        let Start { place, at, why, identity } = start;
        let (topic, partition) = (&*place.topic, place.partition);
        let ingest = self.feed.ingest_mut();
        match why {
            Why::Resumed | Why::TopicUnread | Why::PartitionIsNew => ingest.assign(topic, partition, *at),
            Why::Gap { wanted } => {
                ingest.assign(topic, partition, *wanted);
                ingest.advance(topic, partition, *at);
            }
            Why::Remade { .. } => ingest.begin_anew(topic, partition, *at),
        }
        if !identity.is_unknown() {
            ingest.identify(topic, &identity.to_string());
        }
        self.ended.remove(place);
        self.tell_start(start);
    }

    fn tell_start(&self, start: &Start) {
        let Start { place, at, why, .. } = start;
        match why {
            Why::Gap { wanted } => {
                let lost = at - wanted;
                tracing::error!(%place, wanted, at, lost, "messages are gone that were never read: load the tables anew");
                self.watch.lost(u64::try_from(lost).unwrap_or(0));
            }
            Why::Remade { wanted } => tracing::warn!(%place, wanted, at, "the topic was made anew"),
            _ => tracing::info!(%place, at, ?why, "the partition is read"),
        }
    }

    /// Messages went away while we read, and that is allowed.
    pub(super) fn skipped(&mut self, start: &Start) {
        let (topic, partition) = (&*start.place.topic, start.place.partition);
        self.feed.ingest_mut().advance(topic, partition, start.at);
        self.tell_start(start);
    }

    /// These are asked back: what is held of them is committed, as far as that can be done in time.
    pub(super) async fn revoked(&mut self, places: &[TopicPartition]) -> Result<(), Failure> {
        let drained: Vec<_> = places.iter().map(table_place).collect();
        for (table, failure) in self.feed.drain(&drained) {
            self.has_stopped(&table, &failure)?;
        }
        self.finish_drain().await?;
        self.tell()?;
        self.release(places);
        Ok(())
    }

    /// These are read no more.
    pub(super) fn release(&mut self, places: &[TopicPartition]) {
        for place in places {
            tracing::info!(%place, "the partition is read no more");
            self.feed.ingest_mut().release(&place.topic, place.partition);
            self.ended.remove(place);
        }
        self.later.forget(places);
        if self.later.told().is_none() {
            self.feed.rest_schemas(None);
        }
    }
}
