//! The timeline: the set of instants of a table, each in its highest state.
//!
//! Does not read directories nor file contents; it is built from names. Format sections 2.1 and 2.7; timeline layouts 1
//! and 2.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::instant::{Action, Instant, InstantTime};
use crate::version::TimelineLayout;

/// The instants of a table in the order of their times. Immutable: a newer listing makes a newer timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    layout: TimelineLayout,
    instants: Vec<Instant>,
    /// Times of completed writes: what `is_committed` asks.
    committed: BTreeSet<InstantTime>,
    /// The oldest completed write that no savepoint holds back: what is older was archived.
    start: Option<InstantTime>,
}

impl Timeline {
    /// From the names in the timeline directory; other files are passed over.
    ///
    /// Errors: `BadName` for a timeline file whose digits are no instant.
    pub fn from_names<'a>(layout: TimelineLayout, names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut found = Vec::new();
        for name in names {
            found.extend(Instant::parse(layout, name)?);
        }
        Ok(Self::from_instants(layout, found))
    }

    /// From instants in any order; of each the highest state is kept.
    pub fn from_instants(layout: TimelineLayout, instants: impl IntoIterator<Item = Instant>) -> Self {
        let mut highest: BTreeMap<(InstantTime, Action), Instant> = BTreeMap::new();
        for instant in instants {
            let kept = highest.entry((instant.time, instant.action.comparable())).or_insert(instant);
            if instant.state > kept.state {
                *kept = instant;
            }
        }
        let instants: Vec<_> = highest.into_values().collect();
        let of = |wanted: fn(&Instant) -> bool| -> BTreeSet<_> {
            instants.iter().filter(|i| wanted(i)).map(|i| i.time).collect()
        };
        let committed = of(|i| i.is_completed() && i.action.is_write());
        let savepoints = of(|i| i.is_completed() && i.action == Action::Savepoint);
        let start = committed.difference(&savepoints).next().copied();
        Self { layout, instants, committed, start }
    }

    /// The layout the names were read by.
    pub fn layout(&self) -> TimelineLayout {
        self.layout
    }

    /// All instants, oldest first.
    pub fn instants(&self) -> &[Instant] {
        &self.instants
    }

    /// The completed instants, oldest first.
    pub fn completed(&self) -> impl DoubleEndedIterator<Item = &Instant> {
        self.instants.iter().filter(|i| i.is_completed())
    }

    /// The instants that are requested or inflight, oldest first.
    pub fn pending(&self) -> impl DoubleEndedIterator<Item = &Instant> {
        self.instants.iter().filter(|i| !i.is_completed())
    }

    /// The completed commits, delta commits and replace commits, in the order of their (requested) times.
    pub fn completed_writes(&self) -> impl DoubleEndedIterator<Item = &Instant> {
        self.completed().filter(|i| i.action.is_write())
    }

    /// The compactions that are scheduled and not done.
    pub fn pending_compactions(&self) -> impl DoubleEndedIterator<Item = &Instant> {
        self.pending().filter(|i| i.action == Action::Compaction)
    }

    /// The instant with the greatest time, in any state.
    pub fn last(&self) -> Option<&Instant> {
        self.instants.last()
    }

    /// The greatest time on the timeline, over all states and, in layout 2, completion times. A new instant must be above.
    pub fn latest_time(&self) -> Option<InstantTime> {
        let completion = |i: &Instant| match i.state {
            crate::instant::State::Completed { at } => at,
            _ => None,
        };
        self.instants.iter().flat_map(|i| [Some(i.time), completion(i)]).flatten().max()
    }

    /// The instants of this time, in any state: one as a rule.
    pub fn at(&self, time: InstantTime) -> impl Iterator<Item = &Instant> {
        let from = self.instants.partition_point(|i| i.time < time);
        self.instants[from..].iter().take_while(move |i| i.time == time)
    }

    /// Whether files of this instant are data: a completed write, or a write so old that it was archived.
    ///
    /// "Older than the oldest active completed write" means archived to every reader; a savepointed commit that archiving
    /// left behind does not count as the oldest. Readers differ on the files of an instant that is pending and older than
    /// that: it is not committed here.
    pub fn is_committed(&self, time: &InstantTime) -> bool {
        if self.committed.contains(time) {
            return true;
        }
        let archived = self.start.is_some_and(|start| *time < start);
        archived && !self.at(*time).any(|i| i.action.is_write() && !i.is_completed())
    }

    /// Whether a compaction of this time is scheduled and not done.
    pub fn is_pending_compaction(&self, time: &InstantTime) -> bool {
        self.at(*time).any(|i| i.action == Action::Compaction && !i.is_completed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: TimelineLayout = TimelineLayout::V1;

    fn timeline(names: &[&str]) -> Timeline {
        Timeline::from_names(V1, names.iter().copied()).unwrap()
    }

    fn time(text: &str) -> InstantTime {
        InstantTime::parse(text).unwrap()
    }

    #[test]
    fn the_highest_state_of_each_instant_is_kept() {
        let t = timeline(&[
            "20240101000000003.compaction.requested",
            "20240101000000001.commit",
            "20240101000000001.inflight",
            "20240101000000001.commit.requested",
            "20240101000000002.compaction.requested",
            "20240101000000002.compaction.inflight",
            "20240101000000002.commit",
            "20240101000000004.clean.requested",
            "something else",
        ]);
        let seen: Vec<_> = t.instants().iter().map(|i| i.file_name(V1)).collect();
        assert_eq!(
            seen,
            [
                "20240101000000001.commit",
                "20240101000000002.commit",
                "20240101000000003.compaction.requested",
                "20240101000000004.clean.requested"
            ]
        );
        assert_eq!(t.completed_writes().count(), 2);
        assert_eq!(t.pending().count(), 2);
        assert_eq!(t.latest_time(), Some(time("20240101000000004")));
        assert!(t.is_pending_compaction(&time("20240101000000003")));
    }

    #[test]
    fn what_is_older_than_the_timeline_is_committed() {
        let t = timeline(&[
            "20240101000000002.inflight",
            "20240101000000005.commit",
            "20240101000000006.deltacommit.inflight",
            "20240101000000001.clean",
        ]);
        for (instant, committed) in
            [("0001", true), ("0002", false), ("0003", true), ("0005", true), ("0006", false), ("0009", false)]
        {
            assert_eq!(t.is_committed(&time(&format!("2024010100000{instant}"))), committed, "{instant}");
        }
        assert!(!timeline(&[]).is_committed(&time("20240101000000001")));
    }

    #[test]
    fn a_savepointed_commit_is_not_the_start_of_the_timeline() {
        let t = timeline(&["20240101000000001.commit", "20240101000000001.savepoint", "20240101000000009.commit"]);
        assert!(t.is_committed(&time("20240101000000005")));
    }

    #[test]
    fn completion_times_count_for_the_latest_time() {
        let t = Timeline::from_names(
            TimelineLayout::V2,
            ["20240101000000001_20240101000000007.commit", "20240101000000003.inflight"],
        );
        assert_eq!(t.unwrap().latest_time(), Some(time("20240101000000007")));
    }
}
