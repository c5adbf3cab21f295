//! Two writers of one pipeline, each with partitions of its own: [`Checkpoint::joined`].

use super::judge::mark_key;
use super::snapshot::SnapshotState;
use super::state::{Checkpoint, SourceState};

impl Checkpoint {
    /// The topic-partitions that were dealt with since an earlier checkpoint of the same pipeline.
    fn moved_since(&self, earlier: &Self) -> Vec<(&str, i32)> {
        let mut moved = vec![];
        for (topic, position) in &self.topics {
            let ours = position.partitions.iter();
            let new = ours.filter(|(partition, at)| earlier.next_offset(topic, **partition) != Some(at.next));
            moved.extend(new.map(|(partition, _)| (topic.as_str(), *partition)));
        }
        moved
    }

    /// What this checkpoint becomes where another writer of the pipeline committed `newest` since both began at `base`:
    /// theirs, but for the partitions that ours dealt with.
    ///
    /// `None` where both dealt with the same: a partition, a truncate, an epoch, the row memory. Ours must be done anew then.
    /// Arrivals are those of the one that counted further: rows of different partitions are not compared, and what comes next
    /// is above both.
    #[must_use]
    pub fn joined(&self, base: &Self, newest: &Self) -> Option<Self> {
        let ours = self.moved_since(base);
        let stood = |(topic, partition): &(&str, i32)| {
            newest.next_offset(topic, *partition) == base.next_offset(topic, *partition)
        };
        if !ours.iter().all(stood) {
            return None;
        }
        let remembers = self.memory != base.memory;
        if remembers && newest.memory != base.memory {
            return None;
        }
        let mut joined = newest.clone();
        if remembers {
            joined.memory.clone_from(&self.memory);
        }
        joined.memory_before.extend(self.memory_before.iter().filter(|of| !newest.memory_before.contains(of)).cloned());
        joined.arrivals = joined.arrivals.max(self.arrivals);
        for (topic, partition) in &ours {
            let position = self.topics.get(*topic)?.partitions.get(partition)?.clone();
            let topic_id = self.topics.get(*topic)?.id.clone();
            let to = joined.topics.entry((*topic).to_owned()).or_default();
            to.id = topic_id.or(to.id.take());
            to.partitions.insert(*partition, position);
        }
        let marks: Vec<String> = ours.iter().map(|(topic, partition)| mark_key(topic, *partition)).collect();
        for (name, source) in &self.sources {
            let before = base.sources.get(name).cloned().unwrap_or_default();
            let to = joined.sources.entry(name.clone()).or_default();
            to.take_over(source, &before, &marks)?;
        }
        Some(joined)
    }
}

impl SourceState {
    /// Puts what `ours` changed since `before` on top of what another writer changed.
    fn take_over(&mut self, ours: &Self, before: &Self, marks: &[String]) -> Option<()> {
        let theirs_changed = (self.epoch, &self.truncated_at) != (before.epoch, &before.truncated_at);
        if theirs_changed {
            return None;
        }
        self.epoch = ours.epoch;
        self.began.clone_from(&ours.began);
        self.truncated_at.clone_from(&ours.truncated_at);
        self.ordered |= ours.ordered;
        if ours.identity != before.identity {
            self.identity.clone_from(&ours.identity);
        }
        self.snapshot = both(&ours.snapshot, &before.snapshot, &self.snapshot)?;
        let moved = ours.marks.iter().filter(|(key, _)| marks.contains(key));
        self.marks.extend(moved.map(|(key, mark)| (key.clone(), mark.clone())));
        Some(())
    }
}

/// What two writers know of snapshots; `None` where they saw different ones begin.
fn both(ours: &SnapshotState, before: &SnapshotState, theirs: &SnapshotState) -> Option<SnapshotState> {
    if ours == before || ours == theirs {
        return Some(theirs.clone());
    }
    if theirs == before {
        return Some(ours.clone());
    }
    let mut joined = theirs.clone();
    joined.current = match (&ours.current, &theirs.current) {
        (Some(ours), Some(theirs)) => Some(theirs.and(ours)?),
        (None, None) => None,
        _ => return None,
    };
    for run in &ours.runs {
        match joined.runs.iter_mut().find(|seen| seen.run == run.run) {
            Some(seen) => seen.streamed |= run.streamed,
            None => joined.runs.push(run.clone()),
        }
    }
    joined.unread.extend(ours.unread.iter().cloned());
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Bounding, Mark};

    fn at(positions: &[(i32, i64)]) -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        for (partition, next) in positions {
            checkpoint.advance("t", *partition, *next);
            let mark = Mark { max_ts_ms: Some(*next), ..Mark::default() };
            let source = checkpoint.sources.entry("s".to_owned()).or_default();
            source.marks.insert(mark_key("t", *partition), mark);
        }
        checkpoint
    }

    #[test]
    fn each_keeps_what_it_dealt_with() {
        let (base, theirs) = (at(&[(0, 5), (1, 7)]), at(&[(0, 9), (1, 7), (2, 1)]));
        let joined = at(&[(0, 5), (1, 8)]).joined(&base, &theirs).unwrap();
        assert_eq!(joined, at(&[(0, 9), (1, 8), (2, 1)]));
        assert_eq!(base.joined(&base, &theirs), Some(theirs));
    }

    #[test]
    fn arrivals_go_on_above_those_of_both() {
        for (counted, by_them) in [(3, 8), (8, 3)] {
            let (mut ours, mut theirs) = (at(&[(0, 6), (1, 7)]), at(&[(0, 5), (1, 9)]));
            (ours.arrivals, theirs.arrivals) = (counted, by_them);
            let joined = ours.joined(&at(&[(0, 5), (1, 7)]), &theirs);
            assert_eq!(joined.map(|joined| joined.arrivals), Some(8));
        }
    }

    #[test]
    fn what_both_dealt_with_is_not_joined() {
        let base = at(&[(0, 5)]);
        assert_eq!(at(&[(0, 6)]).joined(&base, &at(&[(0, 7)])), None);
        assert_eq!(at(&[(0, 6)]).joined(&base, &at(&[(0, 6)])), None);
        assert_eq!(at(&[(0, 5), (1, 1)]).joined(&base, &at(&[(0, 5), (1, 2)])), None);
        let remembers = |instant: &str| {
            let mut checkpoint = base.clone();
            checkpoint.memory = Some(instant.to_owned());
            checkpoint
        };
        assert_eq!(remembers("1").joined(&base, &remembers("2")), None);
        assert_eq!(remembers("1").joined(&base, &base), Some(remembers("1")));
        assert_eq!(base.joined(&base, &remembers("2")), Some(remembers("2")));
        let mut theirs = at(&[(0, 5), (1, 1)]);
        theirs.sources.get_mut("s").unwrap().epoch = 1;
        assert_eq!(at(&[(0, 6)]).joined(&base, &theirs), None);
    }

    #[test]
    fn what_two_writers_saw_of_one_snapshot_is_put_together() {
        let seen = |run: &str, passed: &[i32], last_seen| {
            let mut current = Bounding::default();
            run.clone_into(&mut current.run);
            current.passed.extend(passed);
            current.last_seen = last_seen;
            let mut state = SnapshotState::default();
            state.current = Some(current);
            state
        };
        let before = seen("2", &[], false);
        let joined = both(&seen("2", &[0], true), &before, &seen("2", &[1], false));
        assert_eq!(joined, Some(seen("2", &[0, 1], true)));
        assert_eq!(both(&before, &before, &seen("3", &[], false)), Some(seen("3", &[], false)));
        assert_eq!(both(&seen("3", &[], false), &before, &before), Some(seen("3", &[], false)));
        assert_eq!(both(&seen("3", &[], false), &before, &seen("2", &[1], false)), None);
    }
}
