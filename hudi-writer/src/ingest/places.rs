//! [`TopicPartition`], [`Position`]; and [`ByPartition`], a map by them that is searched without making either.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use hudi_core::checkpoint::Checkpoint;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A place in a partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The partition.
    pub place: TopicPartition,
    /// The offset of the next message. `None`: nothing is known, which is where a partition begins that was never read.
    pub next: Option<i64>,
}

/// Something of each partition.
#[derive(Debug, Clone)]
pub(super) struct ByPartition<V>(BTreeMap<Arc<str>, BTreeMap<i32, V>>);

impl<V> Default for ByPartition<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> ByPartition<V> {
    pub(super) fn get(&self, topic: &str, partition: i32) -> Option<&V> {
        self.0.get(topic)?.get(&partition)
    }

    pub(super) fn get_mut(&mut self, topic: &str, partition: i32) -> Option<&mut V> {
        self.0.get_mut(topic)?.get_mut(&partition)
    }

    pub(super) fn of_topic(&self, topic: &str) -> impl Iterator<Item = (i32, &V)> {
        self.0.get(topic).into_iter().flatten().map(|(partition, value)| (*partition, value))
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (TopicPartition, &V)> {
        let of_topic = |(topic, partitions): (&Arc<str>, _)| (Arc::clone(topic), partitions);
        self.0.iter().map(of_topic).flat_map(|(topic, partitions): (Arc<str>, &BTreeMap<i32, V>)| {
            let place = move |partition| TopicPartition { topic: Arc::clone(&topic), partition };
            partitions.iter().map(move |(partition, value)| (place(*partition), value))
        })
    }

    pub(super) fn insert(&mut self, place: TopicPartition, value: V) {
        self.0.entry(place.topic).or_default().insert(place.partition, value);
    }

    pub(super) fn remove(&mut self, place: &TopicPartition) -> Option<V> {
        self.0.get_mut(&place.topic)?.remove(&place.partition)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }
}

impl<V: Default> ByPartition<V> {
    pub(super) fn of(&mut self, topic: &Arc<str>, partition: i32) -> &mut V {
        self.0.entry(Arc::clone(topic)).or_default().entry(partition).or_default()
    }
}

/// The next offsets that a checkpoint holds.
pub(super) fn positions_of(checkpoint: &Checkpoint) -> ByPartition<i64> {
    let of_topic = checkpoint.topics.iter().map(|(topic, position)| {
        let partitions = position.partitions.iter().map(|(partition, at)| (*partition, at.next));
        (Arc::from(topic.as_str()), partitions.collect())
    });
    ByPartition(of_topic.collect())
}
