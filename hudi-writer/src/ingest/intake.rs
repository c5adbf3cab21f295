//! [`Ingest`]: the façade, and what goes in: tables, partitions, changes, dead letters, positions. What comes of it: `turns`;
//! what can be asked: `standing`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use hudi_core::change::ChangeBatch;
use hudi_core::dead_letter::{DeadLetter, Originals};

use super::attempt::{Anew, Landed, two_topics};
use super::fed_table::{FedTable, Reading};
use super::letters::told;
use super::places::{ByPartition, TopicPartition};
use super::settings::IngestSettings;
use super::template::TableTemplate;
use super::work::Held;
use crate::clock::Clock;
use crate::error::{Error, Result, format};

/// What a table is that nobody added, by its name.
type Templates = Box<dyn Fn(&str) -> Option<TableTemplate> + Send + Sync>;

/// Many topics to many tables, under one budget of memory.
///
/// The caller reads messages, decodes them, and hands over what becomes of each: changes ([`take`](Self::take)), a dead letter
/// ([`dead_letter`](Self::dead_letter)), or nothing. In a loop it then
///
/// 1. says how far each partition is dealt with ([`advance`](Self::advance)), and what its decoders hold ([`hold`](Self::hold));
/// 2. empties the decoders of the tables that are [`due`](Self::due) and lets their commits begin ([`start`](Self::start));
/// 3. waits for the next commit to end ([`next`](Self::next)) beside the next message;
/// 4. pauses and resumes what [`flow`](Self::flow) tells, and reads again what [`reloads`](Self::reloads) tells;
/// 5. may tell the broker what is [`committable`](Self::committable).
///
/// Without a stream of messages, [`commit_due`](Self::commit_due) does 2 and 3 until nothing is due.
///
/// A table's changes are kept until they are committed, so that a commit that another writer stood against is done again. Several
/// consumers of one group may write the same tables: each message ends in a table once, whoever brings it, as long as every
/// partition is read from [`start_offset`](Self::start_offset) on, without a gap.
///
/// Where several tables come from one topic, those that exist must be added before reading begins: where one begins decides
/// where the topic is read from.
///
/// No task is spawned: commits go on while the caller waits in [`next`](Self::next) or [`commit_due`](Self::commit_due), and rest
/// while it does not. One that rests for longer than a lock lasts may be thought dead by others; it notices, and is done again.
/// Dropped, commits that are under way are as those of a process that was killed: invisible, and rolled back at the next opening.
pub struct Ingest {
    pub(super) settings: IngestSettings,
    pub(super) clock: Arc<dyn Clock>,
    templates: Option<Templates>,
    pub(super) tables: BTreeMap<Arc<str>, FedTable>,
    /// The tables that a topic feeds.
    pub(super) fed_by: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    pub(super) readings: ByPartition<Reading>,
    pub(super) running: FuturesUnordered<BoxFuture<'static, Landed>>,
    pub(super) paused: BTreeSet<TopicPartition>,
    pub(super) is_full: bool,
    /// By what topics are told from others of their names.
    pub(super) identities: BTreeMap<Arc<str>, Arc<str>>,
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, tables, readings, running, paused, .. } = self;
        let mut told = f.debug_struct("Ingest");
        told.field("settings", settings).field("tables", &tables.keys()).field("readings", readings);
        told.field("running", &running.len()).field("paused", paused).finish_non_exhaustive()
    }
}

impl Ingest {
    /// Without tables.
    ///
    /// # Errors
    /// [`Error::Setting`] names a setting that cannot be used.
    pub fn new(settings: IngestSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        settings.check()?;
        Ok(Self {
            settings,
            clock,
            templates: None,
            tables: BTreeMap::new(),
            fed_by: BTreeMap::new(),
            readings: ByPartition::default(),
            running: FuturesUnordered::new(),
            paused: BTreeSet::new(),
            is_full: false,
            identities: BTreeMap::new(),
        })
    }

    /// Adds a table that nobody added when its first change comes, if this says what it is.
    #[must_use]
    pub fn templates(mut self, of: impl Fn(&str) -> Option<TableTemplate> + Send + Sync + 'static) -> Self {
        self.templates = Some(Box::new(of));
        self
    }

    /// Adds a table by a name of the caller's. It is opened by [`open`](Self::open), or when it has its first turn; where it is
    /// not there it is made once there is a row for it.
    ///
    /// # Errors
    /// [`Error::Setting`] for triggers that cannot be used, [`Error::Refused`] for several topics where that is not allowed;
    /// and [`Error::AlreadyExists`] for a name that was added before.
    pub fn add_table(&mut self, table: &str, template: TableTemplate) -> Result<()> {
        if self.tables.contains_key(table) {
            return Err(Error::AlreadyExists { url: table.to_owned() });
        }
        let triggers = template.triggers.unwrap_or(self.settings.triggers);
        self.settings.check_triggers(&triggers)?;
        if let ([first, other, ..], false) = (template.topics.as_slice(), template.several_topics) {
            return Err(two_topics(table, first, other));
        }
        let table: Arc<str> = table.into();
        let fed = FedTable::new(template, triggers);
        for topic in &fed.topics {
            self.fed_by.entry(Arc::clone(topic)).or_default().insert(Arc::clone(&table));
        }
        self.tables.insert(table, fed);
        Ok(())
    }

    /// The table of this name; one that a template makes where nobody added it.
    fn fed(&mut self, table: &str) -> Result<&mut FedTable> {
        if !self.tables.contains_key(table) {
            let template = self.templates.as_ref().and_then(|of| of(table));
            let template = template.ok_or_else(|| unknown(table))?;
            self.add_table(table, template)?;
        }
        self.tables.get_mut(table).ok_or_else(|| unknown(table))
    }

    /// From here on the partition is read from `next` on, without a gap. What decoders held of it before must have been handed over.
    ///
    /// Where a table is behind `next`, it takes nothing of the partition until it is read again: see [`reloads`](Self::reloads). A table that
    /// was not opened yet finds that out at its next commit.
    pub fn assign(&mut self, topic: &str, partition: i32, next: i64) {
        let place = TopicPartition::new(topic, partition);
        let before = self.readings.get(topic, partition).copied();
        for table in self.fed_by.get(topic).into_iter().flatten() {
            if let Some(fed) = self.tables.get_mut(table) {
                fed.is_read_from(&place, next, before);
            }
        }
        let before = before.filter(|before| next <= before.next);
        let assigned = before.map_or(Some(next), |before| before.assigned.map(|first| first.min(next)));
        self.readings.insert(place, Reading { assigned, next });
    }

    /// Notes by what a topic is told from another one of its name: the tables keep it with their positions.
    pub fn identify(&mut self, topic: &str, id: &str) {
        self.identities.insert(topic.into(), id.into());
    }

    /// The topic was made anew, so that offsets of this partition begin again, and it is read from `at` on. What tables have of the old
    /// one stays; how far they were in it is forgotten.
    ///
    /// To be said when nothing of the partition is held.
    pub fn begin_anew(&mut self, topic: &str, partition: i32, at: i64) {
        let place = TopicPartition::new(topic, partition);
        for table in self.fed_by.get(topic).into_iter().flatten() {
            if let Some(fed) = self.tables.get_mut(table) {
                if let Some(was) = fed.known.remove(&place) {
                    fed.anew.push(Anew { place: place.clone(), was, at });
                }
                fed.reloading.remove(&place);
                fed.first.insert(place.clone(), at);
            }
        }
        self.readings.insert(place, Reading { assigned: Some(at), next: at });
    }

    /// The partition is read no more. What is held of it may still be committed: whoever reads it now, each message ends in its
    /// table once. To have it committed before, [`drain`](Self::drain) it.
    pub fn release(&mut self, topic: &str, partition: i32) {
        let place = TopicPartition::new(topic, partition);
        for table in self.fed_by.get(topic).into_iter().flatten() {
            if let Some(fed) = self.tables.get_mut(table) {
                fed.reloading.remove(&place);
            }
        }
        self.readings.remove(&place);
        self.paused.remove(&place);
    }

    /// Notes that all messages of the partition below `next` were dealt with: handed over, in a decoder of which
    /// [`hold`](Self::hold) tells, or of no use to any table. Never goes back.
    pub fn advance(&mut self, topic: &str, partition: i32, next: i64) {
        if let Some(reading) = self.readings.get_mut(topic, partition) {
            reading.next = reading.next.max(next);
            return;
        }
        self.readings.insert(TopicPartition::new(topic, partition), Reading { assigned: None, next });
    }

    /// Notes what the caller's decoders hold for a table, messages included: in place of what was noted before. It counts for the
    /// budget and for when the table is due; the table has its turn once nothing is held.
    ///
    /// # Errors
    /// [`Error::Refused`] for a table that nobody knows.
    pub fn hold(&mut self, table: &str, held: Held) -> Result<()> {
        let now_ms = self.clock.now_ms();
        self.fed(table)?.set_held(held, now_ms);
        Ok(())
    }

    /// Takes changes of a table, in the order of their arrival, with the messages that they came by: one that turns out not to be
    /// applicable becomes a dead letter of it. They are judged when they are committed.
    ///
    /// A table that stopped, or whose partitions are to be read again, passes them over: nothing is lost, for its positions stay.
    ///
    /// # Errors
    /// [`Error::Refused`] for a table that nobody knows, or that another topic feeds; [`Error::Format`] for a batch that is none.
    /// The table has stopped then, if there is one.
    pub fn take(&mut self, table: &str, batch: ChangeBatch, originals: impl Originals + 'static) -> Result<()> {
        let now_ms = self.clock.now_ms();
        self.fed(table)?;
        let wrong = batch.validate().map_err(format).and_then(|()| self.feed(table, &batch.topic)).err();
        let fed = self.fed(table)?;
        if let Some(wrong) = wrong {
            fed.stop(wrong.to_string());
            return Err(wrong);
        }
        fed.counters.received_rows += batch.num_rows() as u64;
        if batch.num_rows() == 0 || !fed.admits(&batch) {
            return Ok(());
        }
        if fed.covers(&batch) {
            fed.counters.covered += batch.num_rows() as u64;
            return Ok(());
        }
        let before = fed.work.size.bytes;
        fed.wake_for(&batch);
        // They came when the decoder that holds changes got the first of them.
        let since_ms = fed.held_since_ms.unwrap_or(now_ms);
        fed.work.add_changes(batch, Box::new(originals), since_ms);
        fed.counters.received_bytes += (fed.work.size.bytes - before) as u64;
        Ok(())
    }

    /// Keeps a message that could not become a change: it is written with the table's next commit.
    ///
    /// # Errors
    /// [`Error::Refused`] for a table that nobody knows or that another topic feeds, and where dead letters are too many. The table
    /// has stopped then, if there is one.
    pub fn dead_letter(&mut self, table: &str, letter: DeadLetter) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let limit = self.settings.dead_letters_per_minute;
        let origin = &letter.original.origin;
        self.fed(table)?;
        let wrong = self.feed(table, &origin.topic).err();
        let fed = self.fed(table)?;
        if !fed.wants(&origin.topic, origin.partition, origin.offset) && wrong.is_none() {
            return Ok(());
        }
        if let Some(wrong) = wrong.or_else(|| fed.letters.count(1, Some(told(&letter)), limit, now_ms)) {
            fed.stop(wrong.to_string());
            return Err(wrong);
        }
        fed.work.add_letter(letter, now_ms);
        Ok(())
    }

    /// Notes that a topic feeds a table that was added.
    ///
    /// # Errors
    /// [`Error::Refused`] for a table that nobody knows, or that another topic feeds.
    pub fn add_topic(&mut self, table: &str, topic: &Arc<str>) -> Result<()> {
        self.feed(table, topic)
    }

    fn feed(&mut self, table: &str, topic: &Arc<str>) -> Result<()> {
        let Some((table, fed)) = self.tables.get_key_value(table) else { return Err(unknown(table)) };
        if fed.topics.contains(topic) {
            return Ok(());
        }
        if let Some(first) = fed.topics.first().filter(|_| !fed.template.several_topics) {
            return Err(two_topics(table, first, topic));
        }
        let table = Arc::clone(table);
        self.fed_by.entry(Arc::clone(topic)).or_default().insert(Arc::clone(&table));
        self.fed(&table)?.topics.insert(Arc::clone(topic));
        Ok(())
    }

    /// Has everything committed that tables hold of these partitions, at once; the tables that hold some. Empty their decoders.
    pub fn drain(&mut self, places: &[TopicPartition]) -> Vec<Arc<str>> {
        let holds = |fed: &FedTable| !fed.is_stopped() && places.iter().any(|place| fed.holds(place));
        let mut drained = vec![];
        for (table, fed) in self.tables.iter_mut().filter(|(_, fed)| holds(fed)) {
            fed.drain = true;
            drained.push(Arc::clone(table));
        }
        drained
    }

    /// Nothing more comes, or not for now: all tables have a turn at once in which everything is committed that is held, positions that
    /// no change carries too, and in which their writers are told that all has come
    /// ([`TableWriter::all_has_come`](crate::TableWriter::all_has_come)). Empty all decoders before.
    pub fn conclude(&mut self) {
        for fed in self.tables.values_mut().filter(|fed| !fed.is_stopped()) {
            (fed.drain, fed.concludes) = (true, true);
        }
    }

    /// Topics of which a later full snapshot of the source was read to its last row, so that tables wait to be told where the topics'
    /// partitions end now: by [`high_waters`](Self::high_waters).
    #[must_use]
    pub fn wants_high_waters(&self) -> BTreeSet<Arc<str>> {
        let writers = self.tables.values().filter_map(|fed| fed.writer.as_ref());
        writers.filter_map(|writer| writer.wants_high_waters().map(Arc::from)).collect()
    }

    /// Tells where all partitions of a topic end, whoever reads them: a snapshot that was read to its last row before has ended once
    /// each was read so far. Tables that do not want it do not mind.
    pub fn high_waters(&mut self, topic: &str, ends: &BTreeMap<i32, i64>) {
        for table in self.fed_by.get(topic).into_iter().flatten() {
            let Some(fed) = self.tables.get_mut(table) else { continue };
            let Some(writer) = fed.writer.as_mut().filter(|writer| writer.wants_high_waters() == Some(topic)) else {
                continue;
            };
            ends.iter().for_each(|(partition, next)| writer.high_water(topic, *partition, *next));
            fed.is_bounded = true;
        }
    }

    /// Nothing more is taken for a table, until [`restart`](Self::restart): the caller cannot go on with its messages. Whether there is
    /// such a table.
    pub fn stop(&mut self, table: &str, reason: impl Into<String>) -> bool {
        let Some(fed) = self.tables.get_mut(table) else { return false };
        fed.stop(reason.into());
        true
    }

    /// Has everything committed that is held, at once; the tables that hold something. Empty their decoders.
    pub fn drain_all(&mut self) -> Vec<Arc<str>> {
        let holds = |fed: &FedTable| !fed.is_stopped() && (fed.held.rows > 0 || !fed.places().is_empty());
        let mut drained = vec![];
        for (table, fed) in self.tables.iter_mut().filter(|(_, fed)| holds(fed)) {
            fed.drain = true;
            drained.push(Arc::clone(table));
        }
        drained
    }
}

fn unknown(table: &str) -> Error {
    Error::refused(format!("changes of {table}"), "no such table was added, and no template says what it is")
}
