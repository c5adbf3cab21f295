//! [`Batch`]: what an event brings for one table, in the order of each partition; and [`Limits`], up to where of it is taken.

use std::collections::BTreeMap;
use std::fmt;

use cdc_decoders::{Header, Message};
use hudi_core::change::Origin;
use hudi_core::dead_letter::{DeadLetter, Original, Stage};
use kafka_source::lambda::{BadRecord, Taken};

use crate::Route;
use crate::config::Router;

/// A record of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) holds: Holds<'a>,
}

/// What a record holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holds<'a> {
    Message(Message<'a>),
    /// It is no message, which Lambda would not send: something else wrote the event.
    Nothing(&'a BadRecord),
}

/// What an event brings for one table.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    /// The table's place.
    pub(super) table: String,
    /// How the topics lead to the table.
    pub(super) routes: BTreeMap<&'a str, Route>,
    /// By topic, partition and offset.
    records: Vec<Record<'a>>,
}

/// The records of one partition that are taken: one at least.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a, 'b> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) first: i64,
    pub(super) records: &'b [Record<'a>],
}

/// The batches of an event, by table; and topics without one.
#[derive(Debug, Default)]
pub(super) struct Batches<'a> {
    pub(super) of_tables: Vec<Batch<'a>>,
    pub(super) astray: Vec<Undone>,
}

/// From where a partition is to be sent again, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undone {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) reason: String,
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, offset, reason } = self;
        write!(f, "{topic}/{partition}, from {offset} on: {reason}")
    }
}

/// Up to where each partition is taken.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<(String, i32), (i64, String)>);

impl<'a> Batches<'a> {
    /// Finds the table of each record.
    pub(super) fn of(taken: &'a Taken, headers: &'a [Header<'a>], router: &Router) -> Self {
        let mut records: Vec<Record<'a>> = taken.messages.iter(headers).map(Record::of_message).collect();
        records.extend(taken.bad.iter().map(Record::of_nothing));
        records.sort_by(|a, b| a.place().cmp(&b.place()));
        let mut batches = Self::default();
        for of_topic in records.chunk_by(|a, b| a.topic == b.topic) {
            match router.route(of_topic[0].topic) {
                Ok(route) => batches.add(route, of_topic),
                Err(failure) => batches.astray.extend(undone(of_topic, &failure.to_string())),
            }
        }
        batches
    }

    fn add(&mut self, route: Route, records: &[Record<'a>]) {
        let known = self.of_tables.iter().position(|batch| batch.table == route.table);
        let at = known.unwrap_or_else(|| {
            self.of_tables.push(Batch { table: route.table.clone(), routes: BTreeMap::new(), records: vec![] });
            self.of_tables.len() - 1
        });
        let batch = &mut self.of_tables[at];
        batch.routes.insert(records[0].topic, route);
        batch.records.extend_from_slice(records);
    }
}

impl<'a> Record<'a> {
    fn of_message(message: Message<'a>) -> Self {
        let Message { topic, partition, offset, .. } = message;
        Self { topic, partition, offset, holds: Holds::Message(message) }
    }

    fn of_nothing(bad: &'a BadRecord) -> Self {
        let (topic, partition) = (&*bad.place.topic, bad.place.partition);
        Self { topic, partition, offset: bad.offset, holds: Holds::Nothing(bad) }
    }

    fn place(&self) -> (&'a str, i32, i64) {
        (self.topic, self.partition, self.offset)
    }
}

impl<'a> Batch<'a> {
    /// The records up to the limits, by partition.
    pub(super) fn parts<'b>(&'b self, limits: &Limits) -> Vec<Part<'a, 'b>> {
        let of_partition = self.records.chunk_by(|a, b| (a.topic, a.partition) == (b.topic, b.partition));
        let part = |records: &'b [Record<'a>]| {
            let Record { topic, partition, offset: first, .. } = records[0];
            let limit = limits.0.get(&(topic.to_owned(), partition)).map_or(i64::MAX, |(offset, _)| *offset);
            let records = &records[..records.partition_point(|record| record.offset < limit)];
            (!records.is_empty()).then_some(Part { topic, partition, first, records })
        };
        of_partition.filter_map(part).collect()
    }

    /// Nothing of it is done.
    pub(super) fn undone(&self, reason: &str) -> Vec<Undone> {
        undone(&self.records, reason)
    }

    /// Limits before all that are no messages.
    pub(super) fn stop_at_nothing(&self, limits: &mut Limits) {
        for record in &self.records {
            if let Holds::Nothing(bad) = record.holds {
                limits.lower(&origin(record), &format!("{}: {}", origin(record), bad.reason));
            }
        }
    }
}

impl Limits {
    /// Nothing of a partition is taken from this message on. Whether that is less than before.
    pub(super) fn lower(&mut self, to: &Origin, reason: &str) -> bool {
        let place = (to.topic.to_string(), to.partition);
        if self.0.get(&place).is_some_and(|(offset, _)| *offset <= to.offset) {
            return false;
        }
        self.0.insert(place, (to.offset, reason.to_owned()));
        true
    }

    /// What is left undone by them.
    pub(super) fn into_undone(self) -> impl Iterator<Item = Undone> {
        let undone = |((topic, partition), (offset, reason))| Undone { topic, partition, offset, reason };
        self.0.into_iter().map(undone)
    }
}

/// Where a record stands.
pub(super) fn origin(record: &Record<'_>) -> Origin {
    Origin { topic: record.topic.into(), partition: record.partition, offset: record.offset }
}

/// A record that is no message, kept as it stood in the event.
pub(super) fn letter(record: &Record<'_>, bad: &BadRecord) -> DeadLetter {
    let value = Some(bad.text.clone().into_bytes());
    let original = Original { origin: origin(record), timestamp_ms: None, key: None, value, headers: vec![] };
    DeadLetter { stage: Stage::Decode, reason: bad.reason.clone(), original }
}

fn undone(records: &[Record<'_>], reason: &str) -> Vec<Undone> {
    let of_partition = records.chunk_by(|a, b| (a.topic, a.partition) == (b.topic, b.partition));
    let first = |records: &[Record<'_>]| {
        let Record { topic, partition, offset, .. } = records[0];
        Undone { topic: topic.to_owned(), partition, offset, reason: reason.to_owned() }
    };
    of_partition.map(first).collect()
}
