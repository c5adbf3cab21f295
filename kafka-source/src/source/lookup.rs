//! [`find`]: which offsets the broker has.
//!
//! Blocks: to be called where that is allowed. One request for a leader of partitions, however many there are.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::callbacks::Callbacks;
use crate::error::{Error, Result};
use crate::offsets::{Found, TopicIdentity};
use crate::partition::TopicPartition;

/// What the broker has of these partitions.
pub(super) fn find(
    consumer: &BaseConsumer<Callbacks>,
    places: &[TopicPartition],
    timeout: Duration,
) -> Result<BTreeMap<TopicPartition, Found>> {
    let earliest = offsets(consumer, places, Offset::Beginning, timeout)?;
    let latest = offsets(consumer, places, Offset::End, timeout)?;
    let cluster = consumer.client().fetch_cluster_id(timeout);
    let found = |place: &TopicPartition| {
        let identity = TopicIdentity { cluster: cluster.clone(), topic: None };
        Some((place.clone(), Found { earliest: *earliest.get(place)?, latest: *latest.get(place)?, identity }))
    };
    places.iter().map(|place| found(place).ok_or_else(|| unknown(place))).collect()
}

/// Where all partitions of a topic end.
pub(super) fn ends(consumer: &BaseConsumer<Callbacks>, topic: &str, timeout: Duration) -> Result<BTreeMap<i32, i64>> {
    let failed = |source| Error::unavailable(format!("to ask for the partitions of {topic}"), source);
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(failed)?;
    let partitions = metadata.topics().iter().filter(|of| of.name() == topic).flat_map(|of| of.partitions());
    let places: Vec<_> = partitions.map(|partition| TopicPartition::new(topic, partition.id())).collect();
    let ends = offsets(consumer, &places, Offset::End, timeout)?;
    Ok(ends.into_iter().map(|(place, end)| (place.partition, end)).collect())
}

/// The earliest or the latest offset of each: what a time before, or after, all others is at.
pub(super) fn offsets(
    consumer: &BaseConsumer<Callbacks>,
    places: &[TopicPartition],
    which: Offset,
    timeout: Duration,
) -> Result<BTreeMap<TopicPartition, i64>> {
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    let failed = |source| Error::unavailable(format!("to ask for {which:?} of {} partitions", places.len()), source);
    let list = list(places.iter().map(|place| (place, which)))?;
    let found = consumer.offsets_for_times(list, timeout).map_err(failed)?;
    let mut offsets = BTreeMap::new();
    for element in found.elements() {
        let place = TopicPartition::new(element.topic(), element.partition());
        element.error().map_err(|source| Error::unavailable(format!("to ask for {which:?} of {place}"), source))?;
        match element.offset() {
            Offset::Offset(offset) => drop(offsets.insert(place, offset)),
            _ => return Err(unknown(&place)),
        }
    }
    Ok(offsets)
}

/// Partitions and offsets, as librdkafka takes them.
pub(super) fn list<'a>(places: impl IntoIterator<Item = (&'a TopicPartition, Offset)>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (place, offset) in places {
        list.add_partition_offset(&place.topic, place.partition, offset)
            .map_err(|source| Error::unavailable(format!("to name {offset:?} of {place}"), source))?;
    }
    Ok(list)
}

fn unknown(place: &TopicPartition) -> Error {
    Error::unavailable(format!("to ask for the offsets of {place}"), "the broker does not say")
}
