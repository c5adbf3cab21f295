//! [`FedTable`]: one table's state between two turns: what waits, how far the table is, how it fares.

use std::collections::BTreeSet;
use std::sync::Arc;

use hudi_core::change::ChangeBatch;

use super::attempt::Anew;
use super::due::Why;
use super::letters::LetterLimit;
use super::outcome::{Condition, TableCounters};
use super::places::{ByPartition, TopicPartition};
use super::settings::{IngestSettings, Triggers};
use super::template::TableTemplate;
use super::work::{Held, Size, Span, Work, earlier, founding_key, spans_of};
use crate::writer::TableWriter;

/// What a table does.
#[derive(Debug, Default)]
pub(super) enum State {
    #[default]
    Ready,
    Resting {
        until_ms: i64,
        reason: String,
    },
    Stopped {
        reason: String,
    },
}

/// What is under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) size: Size,
    pub(super) spans: ByPartition<Span>,
}

/// A partition that is read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// Where reading began.
    pub(super) assigned: Option<i64>,
    /// Everything below is taken, in a decoder, or of no table.
    pub(super) next: i64,
}

/// One table.
#[derive(Debug)]
pub(super) struct FedTable {
    pub(super) template: TableTemplate,
    pub(super) triggers: Triggers,
    pub(super) topics: BTreeSet<Arc<str>>,
    pub(super) state: State,
    /// The commit that is under way. The table may stop meanwhile.
    pub(super) flight: Option<Flight>,
    pub(super) writer: Option<TableWriter>,
    /// Whether it was there when it was looked at.
    pub(super) is_there: bool,
    pub(super) work: Work,
    pub(super) held: Held,
    pub(super) held_since_ms: Option<i64>,
    /// How far the table said that it is.
    pub(super) known: ByPartition<i64>,
    /// Where in each partition begins what came since, without a gap: the table must be as far. Where nothing is told: where
    /// reading began.
    pub(super) first: ByPartition<i64>,
    /// Partitions that must be read again, with where.
    pub(super) reloading: ByPartition<Option<i64>>,
    /// Partitions of which it told a position, and tells none any more: it was deleted, or taken back.
    pub(super) lost: BTreeSet<TopicPartition>,
    /// Partitions of topics that were made anew, until the table says so.
    pub(super) anew: Vec<Anew>,
    pub(super) failures: u32,
    pub(super) drain: bool,
    /// The next turn is the last for now: positions are told, and that all has come.
    pub(super) concludes: bool,
    /// It was told where a snapshot of its source ended, and is to act on that.
    pub(super) is_bounded: bool,
    /// Since when there are positions to tell that no change carries.
    pub(super) lag_since_ms: Option<i64>,
    pub(super) letters: LetterLimit,
    pub(super) newest_source_ms: Option<i64>,
    pub(super) counters: TableCounters,
    /// Changes that the last commit left waiting for a row of another partition.
    pub(super) waiting_changes: u64,
}

impl FedTable {
    pub(super) fn new(template: TableTemplate, triggers: Triggers) -> Self {
        Self {
            topics: template.topics.iter().map(|topic| Arc::from(topic.as_str())).collect(),
            template,
            triggers,
            state: State::Ready,
            flight: None,
            writer: None,
            is_there: false,
            work: Work::default(),
            held: Held::default(),
            held_since_ms: None,
            known: ByPartition::default(),
            first: ByPartition::default(),
            reloading: ByPartition::default(),
            lost: BTreeSet::new(),
            anew: vec![],
            failures: 0,
            drain: false,
            concludes: false,
            is_bounded: false,
            lag_since_ms: None,
            letters: LetterLimit::default(),
            newest_source_ms: None,
            counters: TableCounters::default(),
            waiting_changes: 0,
        }
    }

    pub(super) fn flying_bytes(&self) -> usize {
        self.flight.as_ref().map_or(0, |flight| flight.size.bytes)
    }

    /// Of what waits, in decoders too.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.work.size.bytes + self.held.bytes
    }

    pub(super) fn bytes(&self) -> usize {
        self.waiting_bytes() + self.flying_bytes()
    }

    pub(super) fn waiting_since_ms(&self) -> Option<i64> {
        earlier(self.work.size.since_ms, self.held_since_ms)
    }

    /// Everything that is not committed, but for what decoders hold.
    pub(super) fn uncommitted(&self) -> Size {
        let mut size = self.work.size;
        if let Some(flight) = &self.flight {
            size.add(&flight.size);
        }
        size
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped().is_some()
    }

    pub(super) fn stopped(&self) -> Option<&str> {
        match &self.state {
            State::Stopped { reason } => Some(reason),
            State::Ready | State::Resting { .. } => None,
        }
    }

    /// Offsets of a partition that wait or are under way.
    pub(super) fn span(&self, topic: &str, partition: i32) -> Option<Span> {
        let flying = self.flight.as_ref().and_then(|flight| flight.spans.get(topic, partition));
        let waiting = self.work.spans.get(topic, partition);
        let both = flying.into_iter().chain(waiting).copied();
        both.reduce(|one, other| Span { first: one.first.min(other.first), next: one.next.max(other.next) })
    }

    /// Partitions of which something waits or is under way.
    pub(super) fn places(&self) -> BTreeSet<TopicPartition> {
        let flying = self.flight.iter().flat_map(|flight| flight.spans.iter());
        self.work.spans.iter().chain(flying).map(|(place, _)| place).collect()
    }

    /// Whether something of the partition may wait or be under way; what decoders hold may be of any.
    pub(super) fn holds(&self, place: &TopicPartition) -> bool {
        let in_decoders = self.held.rows > 0 && self.topics.contains(&place.topic);
        in_decoders || self.span(&place.topic, place.partition).is_some()
    }

    /// Whether a message is neither in the table nor here.
    pub(super) fn wants(&self, topic: &str, partition: i32, offset: i64) -> bool {
        let known = self.known.get(topic, partition).copied();
        let next = known.max(self.span(topic, partition).map(|span| span.next));
        self.takes(topic, partition) && next.is_none_or(|next| offset >= next)
    }

    /// Whether messages of a partition are taken.
    pub(super) fn takes(&self, topic: &str, partition: i32) -> bool {
        !self.is_stopped() && self.reloading.get(topic, partition).is_none()
    }

    /// Whether changes are taken; if not because of a partition that is to be read again, all of theirs must be.
    pub(super) fn admits(&mut self, batch: &ChangeBatch) -> bool {
        let partitions = spans_of(batch);
        if partitions.iter().all(|(partition, _)| self.takes(&batch.topic, *partition)) {
            return true;
        }
        if !self.is_stopped() {
            for (partition, _) in partitions {
                let known = self.known.get(&batch.topic, partition).copied();
                *self.reloading.of(&batch.topic, partition) = known;
            }
        }
        false
    }

    /// Whether the table has all of the changes.
    pub(super) fn covers(&self, batch: &ChangeBatch) -> bool {
        let known = |partition| self.known.get(&batch.topic, partition).copied();
        spans_of(batch).into_iter().all(|(partition, span)| known(partition).is_some_and(|next| span.next <= next))
    }

    /// A partition is read from `next` on; `before`: how it was read so far.
    pub(super) fn is_read_from(&mut self, place: &TopicPartition, next: i64, before: Option<Reading>) {
        let (topic, partition) = (&*place.topic, place.partition);
        let wanted = self.reloading.get(topic, partition).copied();
        let is_read_again = wanted.is_some_and(|from| from.is_none_or(|from| next <= from));
        if is_read_again {
            self.reloading.remove(place);
        }
        let had = self.span(topic, partition).map(|span| span.next).max(before.map(|before| before.next));
        if is_read_again || had.is_none_or(|had| next > had) {
            self.first.insert(place.clone(), next);
            let known = self.known.get(topic, partition).copied();
            if let Some(known) = known.filter(|known| *known < next) {
                self.counters.reloads += 1;
                self.reloading.insert(place.clone(), Some(known));
            }
        } else if self.first.get(topic, partition).is_none()
            && let Some(assigned) = before.and_then(|before| before.assigned)
        {
            self.first.insert(place.clone(), assigned);
        }
    }

    /// Where nothing said yet what the table is, and these changes do, it waits no longer.
    pub(super) fn wake_for(&mut self, batch: &ChangeBatch) {
        let waits = matches!(self.state, State::Resting { .. }) && self.failures == 0;
        if waits && founding_key(batch, &self.template.table).is_some() {
            self.state = State::Ready;
        }
    }

    pub(super) fn set_held(&mut self, held: Held, now_ms: i64) {
        let is_any = held != Held::default();
        self.held_since_ms = is_any.then(|| self.held_since_ms.unwrap_or(now_ms));
        self.held = held;
    }

    /// Whether it may have its turn now. A drain does not wait for the end of a rest.
    pub(super) fn may_go(&self, now_ms: i64) -> bool {
        match &self.state {
            State::Ready => self.flight.is_none(),
            State::Resting { until_ms, .. } => self.drain || now_ms >= *until_ms,
            State::Stopped { .. } => false,
        }
    }

    /// Messages of a partition whose position it does not tell.
    pub(super) fn lag(&self, topic: &str, partition: i32, reading: Reading) -> i64 {
        let known = self.known.get(topic, partition).or_else(|| self.first.get(topic, partition)).copied();
        (reading.next - known.or(reading.assigned).unwrap_or(reading.next - 1)).max(0)
    }

    /// Why it is its turn, by what waits. `lag`: messages whose position is not told yet.
    pub(super) fn why(&self, now_ms: i64, lag: i64, settings: &IngestSettings) -> Option<Why> {
        let waited_ms = self.waiting_since_ms().map(|since| now_ms - since);
        let lagged_ms = self.lag_since_ms.map_or(0, |since| now_ms - since);
        let is_told_late = lag >= settings.checkpoint_messages || lagged_ms >= settings.checkpoint_age_ms;
        if self.concludes {
            return Some(Why::Drain);
        }
        let tells = self.is_bounded || (lag > 0 && is_told_late);
        let Some(waited_ms) = waited_ms else { return tells.then_some(Why::Positions) };
        let reasons = [
            (self.drain, Why::Drain),
            (self.waiting_bytes() >= self.triggers.bytes, Why::Bytes),
            (self.work.size.rows + self.held.rows >= self.triggers.rows, Why::Rows),
            (waited_ms >= self.triggers.age_ms, Why::Age),
        ];
        reasons.into_iter().find_map(|(holds, why)| holds.then_some(why))
    }

    /// Nothing more is taken. Where it never said where it begins it still stands for those messages.
    pub(super) fn stop(&mut self, reason: String) {
        let mut left = Work::default();
        for place in self.places() {
            let span = self.span(&place.topic, place.partition).unwrap_or_default();
            if self.known.get(&place.topic, place.partition).is_none() {
                left.spans.insert(place, span);
            }
        }
        (self.work, self.writer, self.drain, self.concludes) = (left, None, false, false);
        self.state = State::Stopped { reason };
    }

    /// What was held is dropped: these partitions must be read again, from where the table is.
    pub(super) fn reload(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        let work = std::mem::take(&mut self.work);
        let of_work = work.spans.iter().map(|(place, span)| (place, Some(span.first)));
        for (place, first) in of_work.chain(partitions.into_iter().map(|place| (place, None))).collect::<Vec<_>>() {
            let known = self.known.get(&place.topic, place.partition).copied();
            if self.reloading.get(&place.topic, place.partition).is_none() {
                self.reloading.insert(place, known.or(first));
            }
        }
        (self.state, self.drain, self.lag_since_ms) = (State::Ready, false, None);
    }

    pub(super) fn condition(&self) -> Condition {
        match &self.state {
            State::Ready if self.flight.is_some() => Condition::Committing,
            State::Ready if !self.reloading.is_empty() => Condition::Reloading,
            State::Ready => Condition::Ready,
            State::Resting { until_ms, reason } => Condition::Resting { until_ms: *until_ms, reason: reason.clone() },
            State::Stopped { reason } => Condition::Stopped { reason: reason.clone() },
        }
    }
}
