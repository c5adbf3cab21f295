//! [`start`]: where reading a partition begins. [`starts`]: of several, each by itself.
//!
//! The tables say where: the position inside their last commit. What the group committed to the broker is a courtesy to
//! monitors and is never asked. What the broker still has is held against it:
//!
//! | the tables want | the broker has | then |
//! |---|---|---|
//! | nothing: the topic was never read | anything | by [`Unread`]: earliest, latest, or an error |
//! | nothing of this partition, though the topic was read | anything | earliest: the partition is new, `latest` would lose its first messages |
//! | an offset | it | that offset |
//! | an offset | only later ones | a gap: an error, or by [`OnGap`] the earliest, with the gap told |
//! | an offset | only earlier ones, or another topic of the name | the topic was made anew: an error, or by [`OnRemade`] the earliest |
//!
//! Several tables of one topic: the smallest offset that one of them wants. Those further ahead drop what they have.
//!
//! A topic that was deleted and made anew is told by its id, or its cluster's, and else only by an offset beyond its end. One that
//! was filled beyond the old offset again, in the same cluster, is recognised by the topic's id alone.
//!
//! Nothing here asks a broker.

use std::collections::BTreeMap;
use std::fmt;

use hudi_core::checkpoint::{Checkpoint, PartitionPosition};

use crate::error::{Error, Result};
use crate::partition::TopicPartition;

/// Where a topic begins that no table was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unread {
    /// With the earliest message that the broker has.
    #[default]
    Earliest,
    /// With the next message that comes.
    Latest,
    /// Nowhere: somebody must decide.
    Refuse,
}

/// What is done where the broker no longer has the message that the tables want next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// Nothing is read.
    #[default]
    Stop,
    /// Reading goes on with the earliest message, and [`Why::Gap`] tells what is lost.
    Earliest,
}

/// What is done where the topic is another one than the tables were read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRemade {
    /// Nothing is read.
    #[default]
    Stop,
    /// The new topic is read from its earliest message.
    Earliest,
}

/// What is done where the tables do not simply say where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// No table was read from the topic.
    pub unread: Unread,
    /// What the tables want is gone.
    pub on_gap: OnGap,
    /// The topic was made anew.
    pub on_remade: OnRemade,
}

/// What tells a topic from another one of its name, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicIdentity {
    /// The id of the cluster.
    pub cluster: Option<String>,
    /// The id of the topic within the cluster.
    pub topic: Option<String>,
}

impl TopicIdentity {
    /// Reads what [`Display`](fmt::Display) prints. Text without a slash is a topic's id alone.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let known = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
        let (cluster, topic) = text.split_once('/').unwrap_or(("", text));
        Self { cluster: known(cluster), topic: known(topic) }
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.cluster.is_none() && self.topic.is_none()
    }

    /// What shows that the two are not the same topic; `None` where nothing does.
    fn differs(&self, other: &Self) -> Option<&'static str> {
        let differ = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        if differ(&self.cluster, &other.cluster) {
            Some("that was in another cluster")
        } else if differ(&self.topic, &other.topic) {
            Some("the topic was deleted and made anew since")
        } else {
            None
        }
    }

    /// What is known of both together.
    fn or(self, other: Self) -> Self {
        Self { cluster: self.cluster.or(other.cluster), topic: self.topic.or(other.topic) }
    }
}

/// `cluster/topic`, as it stands in a checkpoint.
impl fmt::Display for TopicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        write!(f, "{}/{}", part(&self.cluster), part(&self.topic))
    }
}

/// What the tables of a topic say of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The smallest next offset of those that have read it.
    pub next: Option<i64>,
    /// A table has read the topic, but not this partition.
    pub partition_is_new: bool,
    /// A table has never read the topic, or there is no table yet.
    pub topic_is_new: bool,
    /// Which topics they were read from.
    pub identities: Vec<TopicIdentity>,
}

impl Wanted {
    /// Asks the checkpoints of all tables that are fed by the topic.
    pub fn of<'a>(place: &TopicPartition, tables: impl IntoIterator<Item = &'a Checkpoint>) -> Self {
        let mut wanted = Self::default();
        let mut tables = tables.into_iter().peekable();
        wanted.topic_is_new = tables.peek().is_none();
        for table in tables {
            wanted.ask(place, table);
        }
        wanted
    }

    fn ask(&mut self, place: &TopicPartition, table: &Checkpoint) {
        let Some(topic) = table.topics.get(&*place.topic).filter(|topic| !topic.partitions.is_empty()) else {
            self.topic_is_new = true;
            return;
        };
        self.identities.extend(topic.id.as_deref().map(TopicIdentity::parse));
        match topic.partitions.get(&place.partition) {
            Some(at) => self.next = Some(self.next.map_or(at.next, |next| next.min(at.next))),
            None => self.partition_is_new = true,
        }
    }
}

/// What the broker says of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The earliest offset.
    pub earliest: i64,
    /// The offset after the last message that can be read.
    pub latest: i64,
    /// Which topic it is.
    pub identity: TopicIdentity,
}

/// Where reading a partition begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The partition.
    pub place: TopicPartition,
    /// The first offset that is read.
    pub at: i64,
    /// Why there.
    pub why: Why,
    /// Which topic it is, as far as the tables or the broker know.
    pub identity: TopicIdentity,
}

/// Why reading begins where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The tables go on there.
    Resumed,
    /// No table was read from the topic.
    TopicUnread,
    /// The topic was read, but not this partition, which is new.
    PartitionIsNew,
    /// What the tables wanted is gone; they miss what was from there on.
    Gap {
        /// The offset at which they would have gone on.
        wanted: i64,
    },
    /// The topic was made anew.
    Remade {
        /// The offset at which they would have gone on, in the old one.
        wanted: i64,
    },
}

/// Where partitions begin.
#[derive(Debug, Default)]
#[must_use]
pub struct Starts {
    /// Those that do.
    pub begun: Vec<Start>,
    /// Those that do not: the policy does not say what to do about them.
    pub refused: Vec<Refusal>,
}

/// A partition that is not read.
#[derive(Debug)]
pub struct Refusal {
    /// The partition.
    pub place: TopicPartition,
    /// Why: [`Error::Gap`], [`Error::Remade`] or [`Error::Unread`].
    pub error: Error,
}

impl Start {
    /// Notes the beginning in a table's checkpoint: without it, one that began at the latest message and saw none would have
    /// begun nowhere. Where the topic was made anew, its old position is forgotten.
    pub fn note(&self, checkpoint: &mut Checkpoint) {
        let topic = checkpoint.topics.entry(self.place.topic.to_string()).or_default();
        if !self.identity.is_unknown() {
            topic.id = Some(self.identity.to_string());
        }
        if matches!(self.why, Why::Remade { .. }) {
            let mut anew = PartitionPosition::default();
            anew.next = self.at;
            topic.partitions.insert(self.place.partition, anew);
        } else if !topic.partitions.contains_key(&self.place.partition) || matches!(self.why, Why::Gap { .. }) {
            checkpoint.advance(&self.place.topic, self.place.partition, self.at);
        }
    }
}

/// Where reading a partition begins.
///
/// # Errors
/// [`Error::Gap`], [`Error::Remade`] and [`Error::Unread`], where the policy does not say what to do about them.
pub fn start(place: &TopicPartition, wanted: &Wanted, found: &Found, policy: Policy) -> Result<Start> {
    let begin = |at, why| {
        let told = if matches!(why, Why::Remade { .. }) { None } else { wanted.identities.first().cloned() };
        let identity = found.identity.clone().or(told.unwrap_or_default());
        Ok(Start { place: place.clone(), at, why, identity })
    };
    if let Some(reason) = remade(wanted, found) {
        let wanted = wanted.next.unwrap_or_default();
        return match policy.on_remade {
            OnRemade::Stop => Err(refuse_remade(place, wanted, reason)),
            OnRemade::Earliest => begin(found.earliest, Why::Remade { wanted }),
        };
    }
    if let Some(next) = wanted.next.filter(|next| *next < found.earliest) {
        return match policy.on_gap {
            OnGap::Stop => Err(refuse_gap(place, next, found.earliest)),
            OnGap::Earliest => begin(found.earliest, Why::Gap { wanted: next }),
        };
    }
    if wanted.partition_is_new {
        return begin(found.earliest, Why::PartitionIsNew);
    }
    match (wanted.next, wanted.topic_is_new, policy.unread) {
        (Some(next), false, _) | (Some(next), true, Unread::Latest) => begin(next, Why::Resumed),
        (_, _, Unread::Earliest) => begin(found.earliest, Why::TopicUnread),
        (None, _, Unread::Latest) => begin(found.latest, Why::TopicUnread),
        (_, _, Unread::Refuse) => Err(Error::Unread { topic: place.topic.to_string(), partition: place.partition }),
    }
}

/// Where reading partitions begins. One that is refused keeps no other from it.
pub fn starts(
    found: &BTreeMap<TopicPartition, Found>,
    wanted: impl Fn(&TopicPartition) -> Wanted,
    policy: Policy,
) -> Starts {
    let mut starts = Starts::default();
    for (place, found) in found {
        match start(place, &wanted(place), found, policy) {
            Ok(start) => starts.begun.push(start),
            Err(error) => starts.refused.push(Refusal { place: place.clone(), error }),
        }
    }
    starts
}

/// What shows that the topic is another one than the tables were read from.
fn remade(wanted: &Wanted, found: &Found) -> Option<String> {
    let differs = wanted.identities.iter().find_map(|known| known.differs(&found.identity));
    let beyond = wanted.next.filter(|next| *next > found.latest);
    let end = beyond.map(|_| format!("the topic ends at {}: it was made anew, or its end was lost", found.latest));
    differs.map(str::to_owned).or(end)
}

fn refuse_remade(place: &TopicPartition, wanted: i64, reason: String) -> Error {
    Error::Remade { topic: place.topic.to_string(), partition: place.partition, wanted, reason }
}

fn refuse_gap(place: &TopicPartition, wanted: i64, earliest: i64) -> Error {
    Error::Gap { topic: place.topic.to_string(), partition: place.partition, wanted, earliest }
}

/// Below which offset all tables of a topic have dealt with a partition; `None` where one of them never read it.
pub fn covered<'a>(place: &TopicPartition, tables: impl IntoIterator<Item = &'a Checkpoint>) -> Option<i64> {
    let wanted = Wanted::of(place, tables);
    wanted.next.filter(|_| !wanted.topic_is_new && !wanted.partition_is_new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> TopicPartition {
        TopicPartition::new("t", 1)
    }

    fn table(partitions: &[(i32, i64)]) -> Checkpoint {
        let mut table = Checkpoint::default();
        for (partition, next) in partitions {
            table.advance("t", *partition, *next);
        }
        table
    }

    fn found(earliest: i64, latest: i64) -> Found {
        Found { earliest, latest, identity: TopicIdentity::default() }
    }

    /// `tables` as `partition 1's next`, in a broker that has 10 to 20.
    fn check(tables: &[Checkpoint], policy: Policy, expect: Result<(i64, Why), &str>) {
        let started = start(&place(), &Wanted::of(&place(), tables), &found(10, 20), policy);
        match expect {
            Ok((at, why)) => {
                let started = started.unwrap();
                assert_eq!((started.at, started.why), (at, why));
            }
            Err(part) => {
                let error = started.unwrap_err().to_string();
                assert!(error.starts_with("t/1: ") && error.contains(part), "{error}");
            }
        }
    }

    const STOP: Policy = Policy { unread: Unread::Refuse, on_gap: OnGap::Stop, on_remade: OnRemade::Stop };
    const LATEST: Policy = Policy { unread: Unread::Latest, ..STOP };
    const EARLIEST: Policy =
        Policy { unread: Unread::Earliest, on_gap: OnGap::Earliest, on_remade: OnRemade::Earliest };

    #[test]
    fn reading_goes_on_where_the_tables_say() {
        for next in [10, 15, 20] {
            check(&[table(&[(1, next)])], STOP, Ok((next, Why::Resumed)));
        }
        check(&[table(&[(1, 15)]), table(&[(1, 13)])], EARLIEST, Ok((13, Why::Resumed)));
    }

    #[test]
    fn a_topic_that_was_never_read_begins_where_the_setting_says() {
        for tables in [&[][..], &[table(&[])]] {
            check(tables, EARLIEST, Ok((10, Why::TopicUnread)));
            check(tables, LATEST, Ok((20, Why::TopicUnread)));
            check(tables, STOP, Err("no table has read it"));
        }
    }

    #[test]
    fn a_partition_that_was_added_is_never_begun_at_its_end() {
        for policy in [STOP, LATEST, EARLIEST] {
            check(&[table(&[(0, 5)])], policy, Ok((10, Why::PartitionIsNew)));
        }
        check(&[table(&[(0, 5)]), table(&[(1, 15)])], LATEST, Ok((10, Why::PartitionIsNew)));
    }

    #[test]
    fn a_table_that_was_added_begins_where_the_setting_says_but_holds_no_other_back() {
        let tables = [table(&[]), table(&[(1, 15)])];
        check(&tables, EARLIEST, Ok((10, Why::TopicUnread)));
        check(&tables, LATEST, Ok((15, Why::Resumed)));
        check(&tables, STOP, Err("no table has read it"));
    }

    #[test]
    fn what_the_broker_no_longer_has_is_an_error_or_told() {
        let tables = [table(&[(1, 15)]), table(&[(1, 7)])];
        check(&tables, STOP, Err("want offset 7, but the broker's earliest is 10: 3 messages are gone"));
        check(&tables, EARLIEST, Ok((10, Why::Gap { wanted: 7 })));
    }

    #[test]
    fn an_offset_beyond_the_end_is_never_waited_for() {
        check(&[table(&[(1, 21)])], STOP, Err("the topic ends at 20"));
        check(&[table(&[(1, 21)])], EARLIEST, Ok((10, Why::Remade { wanted: 21 })));
    }

    #[test]
    fn a_topic_made_anew_is_told_by_its_id_though_the_offset_is_there() {
        let judge = |stored: &str, now: &str, policy| {
            let mut table = table(&[(1, 15)]);
            table.topics.get_mut("t").unwrap().id = Some(stored.to_owned());
            let found = Found { identity: TopicIdentity::parse(now), ..found(10, 20) };
            start(&place(), &Wanted::of(&place(), [&table]), &found, policy)
        };
        assert!(judge("c/x", "c/y", STOP).unwrap_err().to_string().contains("deleted and made anew"));
        assert!(judge("x", "c/y", STOP).unwrap_err().to_string().contains("deleted and made anew"));
        assert!(judge("c/x", "d/x", STOP).unwrap_err().to_string().contains("another cluster"));
        let anew = judge("c/x", "c/y", EARLIEST).unwrap();
        assert_eq!((anew.at, anew.why, anew.identity.to_string().as_str()), (10, Why::Remade { wanted: 15 }, "c/y"));
        for (stored, now, known) in [("c/x", "c/x", "c/x"), ("c/x", "c/", "c/x"), ("x", "c/", "c/x"), ("c/", "", "c/")]
        {
            let resumed = judge(stored, now, STOP).unwrap();
            assert_eq!((resumed.why, resumed.identity.to_string().as_str()), (Why::Resumed, known), "{stored} {now}");
        }
    }

    #[test]
    fn a_beginning_that_is_noted_is_where_reading_goes_on() {
        let begin =
            |tables: &[Checkpoint], policy| start(&place(), &Wanted::of(&place(), tables), &found(10, 20), policy);
        let again = |tables: &mut [Checkpoint], policy| {
            let started = begin(tables, policy).unwrap();
            tables.iter_mut().for_each(|table| started.note(table));
            let resumed = begin(tables, STOP).unwrap();
            assert_eq!((resumed.at, resumed.why), (started.at, Why::Resumed));
        };
        again(&mut [table(&[])], LATEST);
        again(&mut [table(&[(0, 3)])], LATEST);
        again(&mut [table(&[(1, 7)])], EARLIEST);
        again(&mut [table(&[(1, 300)]), table(&[(1, 12)])], EARLIEST);
        let mut ahead = table(&[(1, 15)]);
        begin(&[table(&[(1, 12)]), ahead.clone()], STOP).unwrap().note(&mut ahead);
        assert_eq!(ahead.next_offset("t", 1), Some(15), "a table that is ahead of another stays there");
    }

    #[test]
    fn one_partition_that_is_refused_keeps_no_other_from_being_read() {
        let other = TopicPartition::new("u", 0);
        let found = BTreeMap::from([(place(), found(10, 20)), (other.clone(), found(0, 5))]);
        let wanted =
            |place: &TopicPartition| Wanted { next: Some(if *place == other { 3 } else { 7 }), ..Wanted::default() };
        let starts = starts(&found, wanted, STOP);
        assert_eq!(starts.begun.iter().map(|start| (&start.place, start.at)).collect::<Vec<_>>(), [(&other, 3)]);
        assert!(matches!(&starts.refused[..], [Refusal { error: Error::Gap { wanted: 7, .. }, .. }]), "{starts:?}");
    }

    #[test]
    fn an_old_position_of_a_topic_made_anew_covers_nothing_of_the_new_one() {
        let mut stored = Checkpoint::parse(&table(&[(1, 300)]).to_json()).unwrap();
        start(&place(), &Wanted::of(&place(), [&stored]), &found(10, 20), EARLIEST).unwrap().note(&mut stored);
        assert_eq!(stored.topics["t"].partitions, table(&[(1, 10)]).topics["t"].partitions);
    }

    #[test]
    fn only_what_every_table_has_is_covered() {
        assert_eq!(covered(&place(), [&table(&[(1, 15)]), &table(&[(1, 13)])]), Some(13));
        assert_eq!(covered(&place(), [&table(&[(1, 15)]), &table(&[(0, 13)])]), None);
        assert_eq!(covered(&place(), []), None);
    }
}
