//! [`Handler`]: one invocation after the other: the event by tables, each table's commit within the deadline, and the answer.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::future::{Either, select};
use futures::{StreamExt, stream};
use hudi_writer::{Clock, Table};
use kafka_source::TopicPartition;
use kafka_source::lambda::{BatchResponse, KafkaEvent};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::batch::{Batch, Batches, Limits, Undone};
use super::runtime::Invocation;
use super::session::{Session, Stuck};
use super::settings::LambdaSettings;
use super::syncing::Syncing;
use super::tally::Tally;
use super::telling::{Told, tell};
use crate::glue::Syncer;
use crate::{Failure, OnBadMessage};

/// What handles invocations, with what it keeps between them.
#[derive(Debug)]
pub struct Handler {
    settings: LambdaSettings,
    clock: Arc<dyn Clock>,
    sessions: BTreeMap<String, Session>,
    syncing: Option<Syncing>,
    invocations: u64,
}

/// What became of one table.
struct TableEnd {
    table: String,
    /// Where the next event goes on.
    session: Option<Session>,
    /// As of its last commit.
    seen: Option<Table>,
    done: Tally,
    undone: Vec<Undone>,
}

impl Handler {
    /// Nothing is read or asked before the first event.
    pub fn new(settings: LambdaSettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock, sessions: BTreeMap::new(), syncing: None, invocations: 0 }
    }

    /// Tells Glue what is committed.
    #[must_use]
    pub fn syncing(self, syncer: Option<Syncer>) -> Self {
        Self { syncing: syncer.map(Syncing::new), ..self }
    }

    /// Commits what an event brings, and says so in a line of metrics. The answer to Lambda: all is done, or from where it is to be
    /// sent again.
    ///
    /// Dropped half-way, it is as if the process was killed.
    ///
    /// # Errors
    /// Where an event is none of ours; and where something is to be sent again, but Lambda was not told that answers say what.
    pub async fn handle(&mut self, invocation: &Invocation) -> Result<String, Failure> {
        let began_ms = self.clock.now_ms();
        self.invocations += 1;
        let mut told = Told::new(&invocation.request_id, self.invocations == 1);
        let undone = self.commit(invocation, &mut told).await;
        told.duration_ms = self.clock.now_ms() - began_ms;
        let answer = undone.and_then(|undone| self.answer(&undone, &mut told));
        told.is_failed = answer.is_err();
        tell(&told, &self.settings, self.clock.now_ms());
        answer
    }

    async fn commit(&mut self, invocation: &Invocation, told: &mut Told<'_>) -> Result<Vec<Undone>, Failure> {
        tracing::info!(request_id = &*invocation.request_id, bytes = invocation.event.len(), "begins");
        let event = parse(&invocation.event)?;
        let taken = event.take(self.settings.framing)?;
        told.records = event.len();
        told.record_bytes = taken.messages.size_bytes();
        let headers = taken.messages.headers();
        let Batches { of_tables, astray: mut undone } = Batches::of(&taken, &headers, &self.settings.router);
        let until_ms = invocation.deadline_ms.saturating_sub(self.settings.deadline_margin_ms);
        let (settings, clock) = (&self.settings, &self.clock);
        let batches: Vec<(&Batch<'_>, Option<Session>)> =
            of_tables.iter().map(|batch| (batch, self.sessions.remove(&batch.table))).collect();
        let commits = batches
            .into_iter()
            .map(|(batch, session)| within(until_ms, clock, batch, commit_table(batch, session, settings, clock)));
        let ends: Vec<TableEnd> = stream::iter(commits).buffer_unordered(settings.concurrent_commits).collect().await;
        let mut seen = vec![];
        for end in ends {
            seen.extend(end.seen.map(|table| (end.table.clone(), table, end.done.instants.clone())));
            told.tables.push((end.table.clone(), end.done));
            undone.extend(end.undone);
            self.sessions.extend(end.session.map(|session| (end.table, session)));
        }
        if let Some(syncing) = &mut self.syncing {
            told.glue = syncing.after(seen, until_ms, &*self.clock).await;
        }
        Ok(undone)
    }

    /// What Lambda is to send again; everything, where it cannot be told.
    fn answer(&self, undone: &[Undone], told: &mut Told<'_>) -> Result<String, Failure> {
        told.undone = undone.len();
        for Undone { topic, partition, offset, reason } in undone {
            tracing::error!(topic, partition, offset, reason, "not committed from here on: it is to be sent again");
        }
        if undone.is_empty() || self.settings.partial_failures {
            let place = |of: &Undone| (TopicPartition::new(&*of.topic, of.partition), of.offset);
            return Ok(BatchResponse::kafka(undone.iter().map(place)).to_json());
        }
        Err(Failure::failed(undone.iter().map(Undone::to_string).collect::<Vec<_>>().join("; ")))
    }
}

/// Commits a table's batch: what comes before that which cannot be taken.
async fn commit_table(
    batch: &Batch<'_>,
    mut kept: Option<Session>,
    settings: &LambdaSettings,
    clock: &Arc<dyn Clock>,
) -> TableEnd {
    let mut limits = Limits::default();
    if settings.on_bad == OnBadMessage::Stop {
        batch.stop_at_nothing(&mut limits);
    }
    loop {
        let made = kept.take().map_or_else(|| Session::new(batch, settings, Arc::clone(clock)), Ok);
        let mut session = match made {
            Ok(session) => session,
            Err(why) => return nothing_done(batch, &why.to_string()),
        };
        match session.commit(batch, &limits, settings).await {
            Ok(done) => {
                let seen = session.table().cloned();
                let (session, undone) = (Some(session).filter(Session::goes_on), limits.into_undone().collect());
                return TableEnd { table: batch.table.clone(), session, seen, done, undone };
            }
            // Once more, without it and what follows it.
            Err(Stuck { at: Some(at), why }) if limits.lower(&at, &why.to_string()) => {}
            Err(Stuck { why, .. }) => return nothing_done(batch, &why.to_string()),
        }
    }
}

/// Ends before the deadline. What is under way then is dropped: invisible, and rolled back by who comes next.
async fn within(
    until_ms: i64,
    clock: &Arc<dyn Clock>,
    batch: &Batch<'_>,
    commit: impl Future<Output = TableEnd>,
) -> TableEnd {
    let left_ms = until_ms - clock.now_ms();
    let timer = clock.sleep(left_ms);
    match select(pin!(commit), timer).await {
        Either::Left((end, _)) => end,
        Either::Right(_) => nothing_done(batch, "not committed before the deadline came near"),
    }
}

fn nothing_done(batch: &Batch<'_>, reason: &str) -> TableEnd {
    TableEnd {
        table: batch.table.clone(),
        session: None,
        seen: None,
        done: Tally::default(),
        undone: batch.undone(reason),
    }
}

/// What an event says of where it is from.
#[derive(Deserialize)]
struct Sender<'a> {
    #[serde(rename = "Records", borrow, default)]
    records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct SenderOfRecord {
    #[serde(rename = "eventSource", alias = "EventSource", default)]
    event_source: String,
}

fn parse(event: &[u8]) -> Result<KafkaEvent<'_>, Failure> {
    KafkaEvent::parse(event).map_err(|error| {
        let Ok(Sender { records }) = serde_json::from_slice(event) else { return error.into() };
        let first = records.first().and_then(|record| serde_json::from_str(record.get()).ok());
        match first.map(|SenderOfRecord { event_source }| event_source).as_deref() {
            Some("aws:kinesis") => Failure::usage(
                "an event of Kinesis: its sequence numbers have more digits than a table's checkpoint keeps; bring the stream to Kafka",
            ),
            Some("aws:dynamodb") => Failure::usage("an event of DynamoDB Streams: nothing decodes its records yet"),
            Some(other) if !other.is_empty() => {
                Failure::usage(format!("an event of {other}: want one of Kafka (aws:kafka, SelfManagedKafka)"))
            }
            _ => error.into(),
        }
    })
}
