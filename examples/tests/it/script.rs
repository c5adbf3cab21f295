//! [`Script`]: a source that does what a test says: topics in memory, a group that gives and takes.

#![allow(clippy::disallowed_methods, reason = "a script waits by the machine's clock")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use examples::{Covers, Source, Wants};
use kafka_source::offsets::{Found, Policy, Start, Starts, TopicIdentity, starts};
use kafka_source::{CapturedRecord, Error, Event, Lag, Messages, Result, TopicPartition};

/// Messages of one batch.
const BATCH: usize = 7;

/// What the brokers hold, and what the group does.
#[derive(Default)]
pub(crate) struct Brokers {
    logs: BTreeMap<TopicPartition, Log>,
    events: VecDeque<Event>,
    errors: VecDeque<Error>,
    waiting: Vec<TopicPartition>,
    reading: BTreeMap<TopicPartition, i64>,
    held_back: BTreeSet<TopicPartition>,
    ended: BTreeSet<TopicPartition>,
    /// How far the tables are, as the group was told.
    pub(crate) told: BTreeMap<TopicPartition, i64>,
    pub(crate) policy: Policy,
    pub(crate) identity: TopicIdentity,
    pub(crate) closed: bool,
}

#[derive(Default)]
struct Log {
    first: i64,
    records: Vec<CapturedRecord>,
}

impl Log {
    fn next(&self) -> i64 {
        self.first + self.records.len() as i64
    }
}

/// A consumer, and the hand of the test.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<Brokers>>);

pub(crate) fn place(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

impl Script {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Brokers> {
        self.0.lock().unwrap()
    }

    /// Appends messages, each to its partition.
    pub(crate) fn produce(&self, records: impl IntoIterator<Item = CapturedRecord>) {
        let mut brokers = self.lock();
        for record in records {
            let log = brokers.logs.entry(place(&record.topic, record.partition)).or_default();
            let offset = log.next();
            log.records.push(CapturedRecord { offset, ..record });
        }
    }

    /// The messages of a partition below an offset are gone.
    pub(crate) fn expire(&self, place: &TopicPartition, below: i64) {
        let mut brokers = self.lock();
        let log = brokers.logs.get_mut(place).unwrap();
        log.records.drain(..(below - log.first) as usize);
        log.first = below;
    }

    /// The topic is deleted, and is there again, without messages.
    pub(crate) fn make_anew(&self, topic: &str, id: &str) {
        let mut brokers = self.lock();
        brokers.logs.retain(|place, _| *place.topic != *topic);
        brokers.identity.topic = Some(id.to_owned());
    }

    pub(crate) fn assign(&self, places: &[TopicPartition]) {
        let mut brokers = self.lock();
        for place in places {
            brokers.logs.entry(place.clone()).or_default();
        }
        brokers.waiting.extend_from_slice(places);
    }

    pub(crate) fn event(&self, event: Event) {
        self.lock().events.push_back(event);
    }

    pub(crate) fn error(&self, error: Error) {
        self.lock().errors.push_back(error);
    }

    /// Another consumer of the same group's brokers.
    pub(crate) fn another(&self) -> Self {
        let from = self.lock();
        let copy = |log: &Log| Log { first: log.first, records: log.records.clone() };
        let logs = from.logs.iter().map(|(place, log)| (place.clone(), copy(log))).collect();
        let brokers = Brokers { logs, policy: from.policy, identity: from.identity.clone(), ..Brokers::default() };
        Self(Arc::new(Mutex::new(brokers)))
    }
}

impl Brokers {
    pub(crate) fn is_held_back(&self, topic: &str, partition: i32) -> bool {
        self.held_back.contains(&place(topic, partition))
    }

    pub(crate) fn is_read(&self, topic: &str, partition: i32) -> bool {
        self.reading.contains_key(&place(topic, partition))
    }

    fn event(&mut self) -> Option<Result<Event>> {
        if !self.waiting.is_empty() {
            return Some(Ok(Event::Assigned(self.waiting.clone())));
        }
        if let Some(event) = self.events.pop_front() {
            if let Event::Lost(places) | Event::Revoked(places) = &event {
                self.reading.retain(|place, _| !places.contains(place));
            }
            return Some(Ok(event));
        }
        self.errors.pop_front().map(Err).or_else(|| self.batch().map(Ok)).or_else(|| self.end().map(Ok))
    }

    fn batch(&mut self) -> Option<Event> {
        let mut messages = Messages::default();
        for (place, next) in self.reading.iter_mut().filter(|(place, _)| !self.held_back.contains(place)) {
            let log = &self.logs[place];
            let from = usize::try_from(*next - log.first).unwrap();
            for record in log.records.iter().skip(from).take(BATCH) {
                messages.push(&record.as_message(&record.headers()));
                *next = record.offset + 1;
            }
        }
        Some(Event::Batch(messages)).filter(|event| !matches!(event, Event::Batch(none) if none.is_empty()))
    }

    fn end(&mut self) -> Option<Event> {
        let is_new = |(place, next): &(&TopicPartition, &i64)| {
            **next == self.logs[*place].next() && !self.ended.contains(*place)
        };
        let place = self.reading.iter().find(is_new)?.0.clone();
        self.ended.insert(place.clone());
        Some(Event::End(place))
    }

    fn starts(&self, places: &[TopicPartition], wanted: &Wants<'_>) -> Starts {
        let found = |place: &TopicPartition| {
            let log = &self.logs[place];
            let found = Found { earliest: log.first, latest: log.next(), identity: self.identity.clone() };
            (place.clone(), found)
        };
        starts(&places.iter().map(found).collect(), wanted, self.policy)
    }

    fn read(&mut self, starts: &[Start]) {
        for start in starts {
            self.reading.insert(start.place.clone(), start.at);
            self.ended.remove(&start.place);
        }
    }
}

impl Source for Script {
    async fn next(&mut self) -> Result<Event> {
        loop {
            let event = self.lock().event();
            match event {
                Some(event) => return event,
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }

    async fn begin(&mut self, wanted: &Wants<'_>) -> Result<Starts> {
        let mut brokers = self.lock();
        let starts = brokers.starts(&brokers.waiting, wanted);
        brokers.waiting.clear();
        brokers.read(&starts.begun);
        Ok(starts)
    }

    async fn begin_again(&mut self, places: &[TopicPartition], wanted: &Wants<'_>) -> Result<Starts> {
        let mut brokers = self.lock();
        let read: Vec<_> = places.iter().filter(|place| brokers.reading.contains_key(place)).cloned().collect();
        let starts = brokers.starts(&read, wanted);
        brokers.reading.retain(|place, _| !starts.refused.iter().any(|refusal| refusal.place == *place));
        brokers.read(&starts.begun);
        Ok(starts)
    }

    fn committed(&mut self, covered: &Covers<'_>) -> Result<()> {
        let mut brokers = self.lock();
        let told: Vec<_> = brokers.reading.keys().filter_map(|place| Some((place.clone(), covered(place)?))).collect();
        brokers.told.extend(told);
        Ok(())
    }

    fn hold_back(&mut self, places: &[TopicPartition]) -> Result<()> {
        self.lock().held_back.extend(places.iter().cloned());
        Ok(())
    }

    fn let_go(&mut self, places: &[TopicPartition]) -> Result<()> {
        self.lock().held_back.retain(|place| !places.contains(place));
        Ok(())
    }

    async fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let brokers = self.lock();
        let of_topic = brokers.logs.iter().filter(|(place, _)| *place.topic == *topic);
        Ok(of_topic.map(|(place, log)| (place.partition, log.next())).collect())
    }

    fn lag(&self) -> Vec<Lag> {
        let brokers = self.lock();
        let lag = |(place, next): (&TopicPartition, &i64)| Lag {
            place: place.clone(),
            next: *next,
            latest: brokers.logs[place].next(),
        };
        brokers.reading.iter().map(lag).collect()
    }

    async fn close(self) -> Result<()> {
        self.lock().closed = true;
        Ok(())
    }
}
