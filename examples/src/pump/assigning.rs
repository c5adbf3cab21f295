//! Partitions that come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use hudi_core::checkpoint::Checkpoint;
use hudi_writer::TableWriter;
use hudi_writer::ingest::Ended;
use kafka_source::offsets::{Refusal, Start, Wanted, Why};
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
        // Whoever sees to it starts again.
        let stopped: Vec<_> = places.iter().filter(|place| self.is_stopped(place)).cloned().collect();
        if !stopped.is_empty() {
            self.source.hold_back(&stopped)?;
        }
        let wanted = self.wanted_by_tables(places);
        let told = |place: &TopicPartition| wanted.get(place).cloned().unwrap_or_default();
        match self.source.begin(&told).await {
            Ok(starts) => {
                let begun = starts.begun.iter().filter(|start| !stopped.contains(&start.place));
                begun.for_each(|start| self.begun(start));
                starts.refused.into_iter().try_for_each(|refusal| self.refused(refusal))?;
            }
            Err(error @ Error::Unavailable { .. }) => {
                tracing::warn!(error = crate::exit::chain(&error), "the broker is asked again");
                self.rests_until_ms = self.clock.now_ms() + self.settings.rest_ms;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn is_stopped(&self, place: &TopicPartition) -> bool {
        let table = self.feed.table_of(&place.topic);
        table.is_some_and(|table| self.feed.ingest().stopped(table).is_some())
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

    /// What is said of partitions by the tables that their topics feed.
    pub(super) fn wanted_by_tables(&self, places: &[TopicPartition]) -> BTreeMap<TopicPartition, Wanted> {
        let checkpoints = self.checkpoints(places);
        let wanted = |place: &TopicPartition| {
            let wanted = Wanted::of(place, checkpoints.get(&place.topic));
            (place.clone(), Wanted { next: wanted.next.or_else(|| self.anew(place)), ..wanted })
        };
        places.iter().map(wanted).collect()
    }

    /// Where a partition must be read from whose table was deleted: where it was read from at first, as far as we know, else from its
    /// very beginning. What the broker does not have of that any more is a gap.
    pub(super) fn anew(&self, place: &TopicPartition) -> Option<i64> {
        let table = self.feed.table_of(&place.topic)?;
        let is_lost = self.feed.ingest().has_lost(table, &place.topic, place.partition);
        is_lost.then(|| self.origins.get(place).copied().unwrap_or(0))
    }

    /// A partition is read from here on.
    pub(super) fn begun(&mut self, start: &Start) {
        let Start { place, at, why, identity } = start;
        let (topic, partition) = (&*place.topic, place.partition);
        if self.is_unread(place) {
            self.origins.insert(place.clone(), *at);
        }
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

    /// Whether the partition's table is known to tell no position of it.
    fn is_unread(&self, place: &TopicPartition) -> bool {
        let Some(table) = self.feed.table_of(&place.topic) else { return false };
        let position = self.feed.ingest().position(table, &place.topic, place.partition);
        position.is_none() && !self.unopened.contains(table)
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
            Why::TopicUnread if *at > 0 => {
                tracing::warn!(%place, at, "the partition is read, and what was before is not in the table");
            }
            _ => tracing::info!(%place, at, ?why, "the partition is read"),
        }
    }

    /// A partition is not read: where its table goes on is gone. The table stops; the others go on.
    pub(super) fn refused(&mut self, refusal: Refusal) -> Result<(), Failure> {
        let Refusal { place, error } = refusal;
        let failure: Failure = error.into();
        tracing::error!(%place, %failure, "the partition is not read");
        let Some(table) = self.feed.table_of(&place.topic).cloned().filter(|_| !self.is_stopped(&place)) else {
            return Ok(());
        };
        self.feed.ingest_mut().stop(&table, failure.to_string());
        self.has_stopped(&table, &failure)
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
