//! Whether a commit may still complete: what others did to the table since it chose what to write.

use std::collections::BTreeSet;

use hudi_core::commit::CommitMetadata;
use hudi_core::file_name::FileId;
use hudi_core::instant::{Action, Instant, InstantTime, State};
use hudi_core::timeline::Timeline;

/// The part of a table that a commit looked at: what another commit changes in it may make ours wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Nothing: it only carries positions.
    #[default]
    Nothing,
    /// Buckets of partitions.
    Buckets(BTreeSet<(String, u32)>),
    /// Whole partitions.
    Partitions(BTreeSet<String>),
    /// The whole table.
    Table,
}

impl Scope {
    /// Both parts.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, only) | (only, Self::Nothing) => only,
            (Self::Buckets(mut all), Self::Buckets(more)) => {
                all.extend(more);
                Self::Buckets(all)
            }
            (Self::Partitions(mut all), Self::Partitions(more)) => {
                all.extend(more);
                Self::Partitions(all)
            }
            // One table has one index: parts of different kinds do not meet.
            _ => Self::Table,
        }
    }

    /// Whether another's commit changed something in it.
    pub(crate) fn meets(&self, other: &CommitMetadata) -> bool {
        let written = other.write_stats().map(|stat| (stat.partition_path.as_str(), stat.file_id.as_str()));
        written.chain(other.replaced_file_ids()).any(|(partition, file_id)| match self {
            Self::Nothing => false,
            Self::Table => true,
            Self::Partitions(partitions) => partitions.contains(partition),
            Self::Buckets(buckets) => {
                let bucket = FileId::parse(file_id).ok().and_then(|id| id.bucket());
                bucket.is_none_or(|bucket| buckets.contains(&(partition.to_owned(), bucket)))
            }
        })
    }
}

/// What a timeline says of a pending instant of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It stands. These writes were completed since, and are older than it.
    Stands(Vec<Instant>),
    /// It must not complete, because of this one.
    Lost(InstantTime),
}

/// Compares the timeline that the commit was planned on with the timeline now. `ours` is what the instant must be, pending.
pub(super) fn standing(then: &Timeline, now: &Timeline, ours: &Instant) -> Standing {
    let is_ours = |i: &&Instant| i.action == ours.action && matches!(i.state, State::Inflight);
    if now.at(ours.time).find(is_ours).is_none() || now.at(ours.time).count() != 1 {
        return Standing::Lost(ours.time);
    }
    let plans = [Action::Compaction, Action::LogCompaction, Action::Clustering];
    let known = |instant: &Instant| then.instants().contains(instant);
    if let Some(plan) = now.pending().find(|i| plans.contains(&i.action) && !known(i)) {
        return Standing::Lost(plan.time);
    }
    let since: Vec<Instant> = now.completed_writes().filter(|i| !known(i)).copied().collect();
    match since.iter().find(|i| i.time > ours.time) {
        Some(newer) => Standing::Lost(newer.time),
        None => Standing::Stands(since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudi_core::commit::WriteStat;
    use hudi_core::version::TimelineLayout;

    fn timeline(names: &[&str]) -> Timeline {
        Timeline::from_names(TimelineLayout::V1, names.iter().copied()).unwrap()
    }

    fn ours() -> Instant {
        Instant::requested(InstantTime::parse("20240101000000005").unwrap(), Action::Commit).inflight()
    }

    const THEN: [&str; 2] = ["20240101000000001.commit", "20240101000000003.inflight"];

    fn judged(since: &[&str]) -> Standing {
        let names: Vec<&str> = THEN.iter().chain(since).copied().collect();
        standing(&timeline(&THEN), &timeline(&names), &ours())
    }

    #[test]
    fn it_stands_while_it_is_inflight_and_the_newest() {
        let mine = ["20240101000000005.commit.requested", "20240101000000005.inflight"];
        assert_eq!(judged(&mine), Standing::Stands(vec![]));
        let Standing::Stands(since) = judged(&[mine[0], mine[1], "20240101000000003.commit"]) else { panic!() };
        assert_eq!(since.len(), 1);
        let lost = |since: &str| judged(&[mine[0], mine[1], since]);
        assert!(matches!(lost("20240101000000007.commit"), Standing::Lost(_)));
        assert!(matches!(lost("20240101000000007.replacecommit"), Standing::Lost(_)));
        assert!(matches!(lost("20240101000000004.compaction.requested"), Standing::Lost(_)));
        assert!(matches!(lost("20240101000000005.commit"), Standing::Lost(_)));
        assert_eq!(judged(&mine[..1]), Standing::Lost(ours().time));
        assert_eq!(judged(&[]), Standing::Lost(ours().time));
    }

    #[test]
    fn another_commit_meets_what_it_shares_a_part_with() {
        let mut other = CommitMetadata::default();
        let file_id = "00000002-0000-4000-8000-000000000000-0".to_owned();
        other.add(WriteStat { partition_path: "p".to_owned(), file_id, ..WriteStat::default() });
        let buckets = |partition: &str, bucket| Scope::Buckets([(partition.to_owned(), bucket)].into());
        assert!(buckets("p", 2).meets(&other) && !buckets("p", 1).meets(&other) && !buckets("q", 2).meets(&other));
        assert!(Scope::Partitions(["p".to_owned()].into()).meets(&other) && Scope::Table.meets(&other));
        assert!(!Scope::Partitions(["q".to_owned()].into()).meets(&other) && !Scope::Nothing.meets(&other));
        assert!(!Scope::Table.meets(&CommitMetadata::default()));
        let both = buckets("q", 1).and(buckets("p", 2)).and(Scope::Nothing);
        assert!(both.meets(&other) && !buckets("q", 1).and(buckets("p", 1)).meets(&other));
        assert_eq!(Scope::Table.and(buckets("q", 1)), Scope::Table);
    }
}
