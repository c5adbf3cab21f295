//! What can be asked of an [`Ingest`]: where each partition is read from and what may be told to the broker, which rest, and how
//! the tables fare.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fed_table::{FedTable, Reading};
use super::flow::{Flow, is_full, share_bytes};
use super::intake::Ingest;
use super::outcome::TableReport;
use super::places::{Position, TopicPartition};
use super::work::Held;
use crate::writer::TableWriter;

impl Ingest {
    /// The writer of a table; `None` while a commit is under way, before it is opened and after a failure.
    #[must_use]
    pub fn writer(&self, table: &str) -> Option<&TableWriter> {
        self.tables.get(table)?.writer.as_ref()
    }

    /// Where a partition must be read from: the smallest position that a table of its topic tells. `None`: no table says anything of
    /// it, so that it is read from its beginning. Open the tables before.
    ///
    /// A table that is not there yet, or tells nothing of the partition while another of the topic does, begins where that one is.
    #[must_use]
    pub fn start_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.of_topic(topic).filter_map(|fed| fed.known.get(topic, partition)).min().copied()
    }

    /// Where every partition must be read from of which a table tells.
    #[must_use]
    pub fn start_offsets(&self) -> Vec<Position> {
        let known = self
            .tables
            .values()
            .flat_map(|fed| fed.known.iter().map(|(place, _)| place).filter(|place| fed.topics.contains(&place.topic)));
        let places: BTreeSet<TopicPartition> = known.collect();
        let position =
            |place: TopicPartition| Position { next: self.start_offset(&place.topic, place.partition), place };
        places.into_iter().map(position).collect()
    }

    /// How far a table is in a partition, as it said last.
    #[must_use]
    pub fn position(&self, table: &str, topic: &str, partition: i32) -> Option<i64> {
        self.tables.get(table)?.known.get(topic, partition).copied()
    }

    /// Whether a table told how far it is in a partition and does not any more: it was deleted, or taken back. What it had of the
    /// partition must be read again, as far as it is still there.
    #[must_use]
    pub fn has_lost(&self, table: &str, topic: &str, partition: i32) -> bool {
        self.tables.get(table).is_some_and(|fed| fed.lost.contains(&TopicPartition::new(topic, partition)))
    }

    /// Why a table has stopped, if it has.
    #[must_use]
    pub fn stopped(&self, table: &str) -> Option<&str> {
        self.tables.get(table)?.stopped()
    }

    /// Whether a table lacks the message: it is neither in it nor held for it, and is not passed over. Ask before decoding.
    #[must_use]
    pub fn wants(&self, table: &str, topic: &str, partition: i32, offset: i64) -> bool {
        self.tables.get(table).is_none_or(|fed| fed.wants(topic, partition, offset))
    }

    /// Partitions that must be read again, each from its `next` (`None`: from its beginning). Hand over what the decoders hold of their
    /// topics (tables that are to be read again pass it over), then [`assign`](Self::assign) each and read on from there. It is told until
    /// that was done. What other tables have or hold of these messages is not doubled.
    #[must_use]
    pub fn reloads(&self) -> Vec<Position> {
        let wanted = self.tables.values().filter(|fed| !fed.is_stopped()).flat_map(|fed| fed.reloading.iter());
        let mut positions: Vec<Position> = vec![];
        for (place, next) in wanted {
            match positions.iter_mut().find(|position| position.place == place) {
                Some(position) => position.next = position.next.min(*next),
                None => positions.push(Position { place, next: *next }),
            }
        }
        positions
    }

    /// What may be told to the broker of each partition that is read: the smallest position that a table of its topic has committed.
    /// A courtesy to those who watch the lag: the tables alone say where reading goes on.
    #[must_use]
    pub fn committable(&self) -> Vec<Position> {
        let position = |place: TopicPartition| {
            let reading = self.readings.get(&place.topic, place.partition).copied().unwrap_or_default();
            let said = self.of_topic(&place.topic).filter_map(|fed| committed(fed, &place, reading)).min();
            Position { next: said.or(Some(reading.next)), place }
        };
        self.readings.iter().map(|(place, _)| position(place)).collect()
    }

    /// Bytes of uncommitted changes and their messages, those under way and in decoders among them.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.tables.values().map(FedTable::bytes).sum()
    }

    /// What waits for a table's next commit and is in no decoder.
    #[must_use]
    pub fn waiting(&self, table: &str) -> Held {
        let size = self.tables.get(table).map(|fed| fed.work.size).unwrap_or_default();
        Held { rows: size.rows, bytes: size.bytes }
    }

    /// Whether a partition is read.
    #[must_use]
    pub fn is_read(&self, topic: &str, partition: i32) -> bool {
        self.readings.get(topic, partition).is_some()
    }

    /// Whether something that was to be [drained](Self::drain) is not committed yet. What cannot be committed now is waited for no longer.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.tables.values().any(|fed| fed.drain)
    }

    /// The partitions that are read.
    pub fn places_read(&self) -> impl Iterator<Item = TopicPartition> {
        self.readings.iter().map(|(place, _)| place)
    }

    /// Whether there are tables, and all have stopped.
    #[must_use]
    pub fn all_stopped(&self) -> bool {
        !self.tables.is_empty() && self.tables.values().all(FedTable::is_stopped)
    }

    /// How many more commits may begin now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.settings.concurrent_commits.get().saturating_sub(self.running.len())
    }

    /// Whether a commit is under way, for which [`next`](Self::next) waits.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        !self.running.is_empty()
    }

    /// Which partitions are to be paused and which resumed, since it was asked last: all while the budget is used up, and those of
    /// tables that hold more than their share or all of whose tables stopped.
    pub fn flow(&mut self) -> Flow {
        self.is_full = is_full(self.is_full, self.memory_bytes(), &self.settings);
        let heavy = self.heavy_topics();
        let is_vain = |topic: &str| {
            let mut tables = self.of_topic(topic).peekable();
            tables.peek().is_some() && tables.all(FedTable::is_stopped)
        };
        let rest = self.readings.topics().filter(|topic| self.is_full || heavy.contains(*topic) || is_vain(topic));
        let now: BTreeSet<TopicPartition> = rest.flat_map(|topic| self.places_in(topic)).collect();
        let flow = Flow::between(&self.paused, &now);
        self.paused = now;
        flow
    }

    /// Whether a partition is to be read no further for now, as [`flow`](Self::flow) told last.
    #[must_use]
    pub fn is_paused(&self, topic: &str, partition: i32) -> bool {
        self.paused.contains(&TopicPartition::new(topic, partition))
    }

    /// The topics of tables that hold more than their share.
    fn heavy_topics(&self) -> BTreeSet<Arc<str>> {
        let failing = self.tables.values().filter(|fed| fed.failures > 0).count();
        let is_heavy = |fed: &&FedTable| fed.bytes() >= share_bytes(fed.failures > 0, failing, &self.settings);
        self.tables.values().filter(is_heavy).flat_map(|fed| fed.topics.iter().cloned()).collect()
    }

    /// Lets a table that stopped take changes again: its partitions must be read again. Whether there is such a table, and no commit
    /// of it is under way any more.
    pub fn restart(&mut self, table: &str) -> bool {
        let Some(fed) = self.tables.get(table).filter(|fed| fed.is_stopped() && fed.flight.is_none()) else {
            return false;
        };
        let places = self.places_read_of(fed);
        if let Some(fed) = self.tables.get_mut(table) {
            fed.failures = 0;
            fed.reload(places);
        }
        true
    }

    /// The partitions of a table's topics that are read.
    pub(super) fn places_read_of(&self, fed: &FedTable) -> Vec<TopicPartition> {
        fed.topics.iter().flat_map(|topic| self.places_in(topic)).collect()
    }

    /// The partitions of a topic that are read.
    fn places_in<'a>(&'a self, topic: &'a Arc<str>) -> impl Iterator<Item = TopicPartition> + 'a {
        let partitions = self.readings.of_topic(topic).map(|(partition, _)| partition);
        partitions.map(|partition| TopicPartition { topic: Arc::clone(topic), partition })
    }

    /// How every table fares.
    #[must_use]
    pub fn report(&self) -> Vec<TableReport> {
        let now_ms = self.clock.now_ms();
        self.tables.iter().map(|(table, fed)| report(Arc::clone(table), fed, now_ms)).collect()
    }

    /// The tables that a topic feeds.
    pub(super) fn of_topic(&self, topic: &str) -> impl Iterator<Item = &FedTable> {
        self.fed_by.get(topic).into_iter().flatten().filter_map(|table| self.tables.get(table))
    }
}

/// How far a partition is safe, as far as a table is concerned; `None`: it has nothing of it.
fn committed(fed: &FedTable, place: &TopicPartition, reading: Reading) -> Option<i64> {
    let known = fed.known.get(&place.topic, place.partition).copied();
    known.or_else(|| Some(fed.span(&place.topic, place.partition)?.first)).or_else(|| {
        // What decoders hold may be of this partition, from wherever it began.
        reading.assigned.filter(|_| fed.held.rows > 0)
    })
}

fn report(table: Arc<str>, fed: &FedTable, now_ms: i64) -> TableReport {
    let size = fed.uncommitted();
    let since_ms = super::work::earlier(size.since_ms, fed.held_since_ms);
    TableReport {
        table,
        condition: fed.condition(),
        failures: fed.failures,
        uncommitted_rows: size.rows + fed.held.rows,
        uncommitted_bytes: fed.bytes(),
        waiting_changes: fed.waiting_changes,
        waited_ms: since_ms.map(|since| now_ms - since),
        oldest_uncommitted_source_ms: size.oldest_source_ms,
        newest_committed_source_ms: fed.newest_source_ms,
        counters: fed.counters,
    }
}
