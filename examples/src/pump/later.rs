//! [`Later`]: topics whose messages cannot be read yet, for whoever has their schemas does not answer. Pure.

use std::collections::BTreeMap;

use kafka_source::TopicPartition;

/// The longest rest is so many times the first.
const LONGEST: i64 = 30;

/// Partitions that are read again from where their schema was missing.
#[derive(Debug, Default)]
pub(super) struct Later {
    from: BTreeMap<TopicPartition, i64>,
    until_ms: i64,
    rest_ms: i64,
    reason: String,
}

impl Later {
    /// A message whose schema is not to be had.
    pub(super) fn begin(&mut self, place: TopicPartition, offset: i64, reason: &str) {
        self.from.entry(place).or_insert(offset);
        reason.clone_into(&mut self.reason);
    }

    /// Rests; for longer than last time, if that is not long ago.
    pub(super) fn rest(&mut self, now_ms: i64, first_rest_ms: i64) {
        let longest_ms = first_rest_ms * LONGEST;
        let again = now_ms <= self.until_ms + longest_ms;
        self.rest_ms = if again { (self.rest_ms * 2).clamp(first_rest_ms, longest_ms) } else { first_rest_ms };
        self.until_ms = now_ms + self.rest_ms;
    }

    /// Whether a message is to be passed over: its topic waits. It is noted then, to be read again.
    pub(super) fn passes(&mut self, topic: &str, partition: i32, offset: i64) -> bool {
        if self.from.is_empty() || !self.waits(topic) {
            return false;
        }
        self.from.entry(TopicPartition::new(topic, partition)).or_insert(offset);
        true
    }

    pub(super) fn waits(&self, topic: &str) -> bool {
        self.from.keys().any(|place| *place.topic == *topic)
    }

    pub(super) fn forget(&mut self, places: &[TopicPartition]) {
        self.from.retain(|place, _| !places.contains(place));
    }

    /// What rests, and why.
    pub(super) fn told(&self) -> Option<(usize, &str)> {
        (!self.from.is_empty()).then_some((self.from.len(), &*self.reason))
    }

    /// What is to be tried again now, from where.
    pub(super) fn due(&mut self, now_ms: i64) -> BTreeMap<TopicPartition, i64> {
        match now_ms >= self.until_ms {
            true => std::mem::take(&mut self.from),
            false => BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    #[test]
    fn a_topic_waits_as_a_whole_and_is_read_again_from_where_each_partition_stood() {
        let mut later = Later::default();
        assert!(!later.passes("t", 0, 3));
        later.begin(place(0), 4, "away");
        later.rest(100, 10);
        assert!(later.passes("t", 0, 5) && later.passes("t", 1, 7) && later.passes("t", 1, 8));
        assert!(!later.passes("u", 0, 1));
        assert_eq!(later.told(), Some((2, "away")));
        assert!(later.due(109).is_empty());
        assert_eq!(later.due(110), BTreeMap::from([(place(0), 4), (place(1), 7)]));
        assert_eq!(later.told(), None);
    }

    #[test]
    fn rests_grow_while_nothing_comes() {
        let mut later = Later::default();
        later.begin(place(0), 0, "");
        let rest = |later: &mut Later, now_ms| {
            later.rest(now_ms, 10);
            later.until_ms - now_ms
        };
        assert_eq!([10, 20, 40, 80, 160, 300, 300], [0; 7].map(|now_ms| rest(&mut later, now_ms)));
        assert_eq!([600, 901].map(|now_ms| rest(&mut later, now_ms)), [300, 300]);
        assert_eq!(rest(&mut later, 1502), 10);
        later.forget(&[place(0)]);
        assert_eq!(later.told(), None);
    }
}
