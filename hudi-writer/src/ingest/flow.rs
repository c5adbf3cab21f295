//! [`Flow`]: which partitions are read and which are not, so that memory stays bounded. Pure.

use std::collections::BTreeSet;

use super::places::TopicPartition;
use super::settings::IngestSettings;

/// What changed since it was asked last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Flow {
    /// Partitions that are to be read no further for now.
    pub pause: Vec<TopicPartition>,
    /// Partitions that are to be read again.
    pub resume: Vec<TopicPartition>,
}

impl Flow {
    pub(super) fn between(before: &BTreeSet<TopicPartition>, now: &BTreeSet<TopicPartition>) -> Self {
        Self { pause: now.difference(before).cloned().collect(), resume: before.difference(now).cloned().collect() }
    }
}

/// Whether all reading rests: once the budget is used up, until there is room.
pub(super) fn is_full(was_full: bool, total_bytes: usize, settings: &IngestSettings) -> bool {
    total_bytes >= settings.budget_bytes || (was_full && total_bytes > settings.high_bytes())
}

/// How much one table may hold before its partitions rest. All those that fail together leave half of the budget to the others.
pub(super) fn share_bytes(fails: bool, failing: usize, settings: &IngestSettings) -> usize {
    match fails {
        true => settings.table_share_bytes.min(settings.low_bytes() / failing.max(1)),
        false => settings.table_share_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_rests_when_the_budget_is_used_up_and_until_there_is_room() {
        let settings = IngestSettings { budget_bytes: 1000, ..IngestSettings::default() };
        let full = |was, total| is_full(was, total, &settings);
        assert_eq!((full(false, 999), full(false, 1000)), (false, true));
        assert_eq!((full(true, 751), full(true, 750)), (true, false));
    }

    #[test]
    fn tables_that_fail_share_half_of_the_budget() {
        let settings = IngestSettings { budget_bytes: 1000, table_share_bytes: 400, ..IngestSettings::default() };
        let share = |fails, failing| share_bytes(fails, failing, &settings);
        assert_eq!([share(false, 9), share(true, 1), share(true, 2), share(true, 5)], [400, 400, 250, 100]);
    }

    #[test]
    fn only_changes_are_told() {
        let places = |partitions: &[i32]| partitions.iter().map(|p| TopicPartition::new("t", *p)).collect();
        let flow = Flow::between(&places(&[0, 1]), &places(&[1, 2]));
        assert_eq!((flow.pause, flow.resume), (vec![TopicPartition::new("t", 2)], vec![TopicPartition::new("t", 0)]));
    }
}
