//! [`KafkaSource`]: the consumer.
//!
//! Glue between librdkafka, which is polled here and only here, and [`Assignment`], which decides. What was polled is kept until it is
//! handed over, so that a call that is dropped half-way loses nothing.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::topic_partition_list::Offset;

use super::callbacks::{Callbacks, Rebalance, Statistics};
use super::lookup::{self, list};
use super::token::TokenSource;
use crate::assignment::{Action, Assignment};
use crate::error::{Error, Result};
use crate::event::{Event, Lag};
use crate::messages::{Messages, Origin};
use crate::offsets::{Found, Start, Starts, Wanted, Why, starts};
use crate::partition::TopicPartition;
use crate::settings::Settings;

/// What a message takes beside its bytes, about.
const MESSAGE_BYTES: usize = 64;

/// How long a closing consumer is waited for at a time.
const CLOSE_POLL: Duration = Duration::from_millis(100);

/// A consumer of a Kafka cluster. Dropping it leaves the group and may block for that; [`close`](Self::close) does not.
pub struct KafkaSource {
    consumer: Arc<BaseConsumer<Callbacks>>,
    waker: Arc<AtomicWaker>,
    settings: Settings,
    assignment: Assignment,
    batch: Messages,
    events: VecDeque<Event>,
    errors: VecDeque<Error>,
    statistics: Statistics,
    /// Up to where the ends of partitions were told.
    ends: BTreeMap<TopicPartition, i64>,
    /// An end was reached, but it is not known of which partition.
    end_unknown: bool,
    /// The caller knows of the revocation that is being drained.
    revoked_told: bool,
    /// An offset is not there any more: it is to be seen which.
    recheck: bool,
    /// What was warned of last, since a message came.
    warned: Option<RDKafkaErrorCode>,
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource")
            .field("settings", &self.settings)
            .field("assignment", &self.assignment)
            .finish_non_exhaustive()
    }
}

impl KafkaSource {
    /// Joins the group. Brokers are reached for later: one that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Setting`] where a setting is refused, by us or by librdkafka.
    pub fn subscribe(settings: Settings) -> Result<Self> {
        Self::subscribe_with(settings, None)
    }

    /// Joins the group, with tokens for brokers that want them.
    ///
    /// # Errors
    /// [`Error::Setting`] where a setting is refused, by us or by librdkafka.
    pub fn subscribe_with(settings: Settings, tokens: Option<Box<dyn TokenSource>>) -> Result<Self> {
        let mut config = ClientConfig::new();
        for (name, value) in settings.client_settings()? {
            config.set(name, value);
        }
        let topics = settings.subscription()?;
        let mut consumer = BaseConsumer::from_config_and_context(&config, Callbacks::new(tokens)).map_err(refused)?;
        let waker = Arc::new(AtomicWaker::new());
        let wakes = Arc::clone(&waker);
        consumer.set_nonempty_callback(move || wakes.wake());
        consumer.subscribe(&topics).map_err(|e| Error::unavailable("to subscribe", e))?;
        let assignment = Assignment::new(settings.budget_bytes);
        Ok(Self {
            consumer: Arc::new(consumer),
            waker,
            settings,
            assignment,
            batch: Messages::default(),
            events: VecDeque::new(),
            errors: VecDeque::new(),
            statistics: Statistics::default(),
            ends: BTreeMap::new(),
            end_unknown: false,
            revoked_told: false,
            recheck: false,
            warned: None,
        })
    }

    /// Waits for what comes next. Dropped half-way: nothing is lost, the next call goes on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the broker refuses something (a topic, a right): asked again, it may have changed its mind.
    /// [`Error::Ended`] where a new consumer is needed.
    pub async fn next(&mut self) -> Result<Event> {
        if std::mem::take(&mut self.revoked_told) {
            let actions = self.assignment.give_up();
            self.act(actions)?;
        }
        loop {
            self.poll_some();
            self.take_rebalances()?;
            if let Some(event) = self.ready()? {
                self.revoked_told = matches!(event, Event::Revoked(_));
                return Ok(event);
            }
            if self.recheck {
                self.check_again().await?;
                continue;
            }
            poll_fn(|cx| self.poll_library(cx)).await;
        }
    }

    /// Says where the partitions that [`Event::Assigned`] named begin, by what their tables want. Asks the broker what it has.
    /// Dropped half-way: nothing has begun.
    ///
    /// The beginnings belong into the tables' checkpoints ([`Start::note`]). A partition about which the policy does not say what to do is
    /// refused: it is ours and is not read, until it is assigned anew.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the broker does not answer. Nothing has begun then, and it may be said again.
    pub async fn begin(&mut self, wanted: impl Fn(&TopicPartition) -> Wanted) -> Result<Starts> {
        let found = self.find(self.assignment.waiting().to_vec()).await?;
        let starts = starts(&found, wanted, self.settings.policy);
        let mut offsets: BTreeMap<_, _> = found.into_iter().map(|(place, found)| (place, found.latest)).collect();
        offsets.extend(starts.begun.iter().map(|start| (start.place.clone(), start.at)));
        self.refuse(&starts)?;
        let actions = self.assignment.begin(&offsets);
        self.act(actions)?;
        Ok(starts)
    }

    /// Says how far the tables' commits are: of every partition, below which offset all is dealt with. Frees what is in flight, ends
    /// what is drained, and tells the group, which does not wait for the answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where librdkafka refuses something.
    pub fn committed(&mut self, covered: impl Fn(&TopicPartition) -> Option<i64>) -> Result<()> {
        let actions = self.assignment.committed(covered);
        self.act(actions)
    }

    /// Reads partitions again, or on elsewhere, by what their tables want: where they are behind what was handed on. Others than those
    /// that are being read are passed over; one that is refused is read no further. Dropped half-way: some have begun, and it may be
    /// said again.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn begin_again(
        &mut self,
        places: &[TopicPartition],
        wanted: impl Fn(&TopicPartition) -> Wanted,
    ) -> Result<Starts> {
        let read = |place: &&TopicPartition| self.assignment.next_offset(place).is_some();
        let found = self.find(places.iter().filter(read).cloned().collect()).await?;
        let starts = starts(&found, wanted, self.settings.policy);
        self.refuse(&starts)?;
        starts.refused.iter().for_each(|refusal| self.forget_messages(&refusal.place));
        for start in &starts.begun {
            self.seek(start)?;
            self.forget_messages(&start.place);
            self.assignment.go_back(&start.place, start.at);
            self.ends.remove(&start.place);
        }
        let balance = self.assignment.balance();
        self.act(balance)?;
        Ok(starts)
    }

    /// From here on librdkafka hands on nothing of the partition from before.
    fn seek(&self, start: &Start) -> Result<()> {
        let (place, at) = (&start.place, Offset::Offset(start.at));
        let sought = self.consumer.seek(&place.topic, place.partition, at, Duration::ZERO);
        sought.map_err(|e| Error::unavailable(format!("to go on with {place} at {}", start.at), e))
    }

    fn forget_messages(&mut self, of: &TopicPartition) {
        let keep = |topic: &str, partition| partition != of.partition || *topic != *of.topic;
        self.batch.retain(keep);
        for event in &mut self.events {
            if let Event::Batch(batch) = event {
                batch.retain(keep);
            }
        }
    }

    /// Reads these no further until they are [let go](Self::let_go). What came of them is still handed on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where librdkafka refuses it.
    pub fn hold_back(&mut self, places: &[TopicPartition]) -> Result<()> {
        let action = self.assignment.hold_back(places);
        self.act(action)
    }

    /// Reads these on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where librdkafka refuses it.
    pub fn let_go(&mut self, places: &[TopicPartition]) -> Result<()> {
        let action = self.assignment.let_go(places);
        self.act(action)
    }

    /// How far the partitions that are read are behind, as the broker said last.
    pub fn lag(&self) -> Vec<Lag> {
        let lag = |place: TopicPartition| {
            let (next, latest) = (self.assignment.next_offset(&place)?, self.statistics.of(&place)?.latest()?);
            Some(Lag { place, next, latest })
        };
        self.assignment.reading().filter_map(lag).collect()
    }

    /// The offsets after the last messages that can be read now, of all partitions of a topic, whoever reads them. Dropped half-way:
    /// nothing happened.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the broker does not answer.
    pub async fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let topic = topic.to_owned();
        self.ask(move |consumer, timeout| lookup::ends(consumer, &topic, timeout)).await
    }

    /// What was handed on and is not committed, in bytes.
    #[must_use]
    pub const fn in_flight_bytes(&self) -> u64 {
        self.assignment.in_flight_bytes()
    }

    /// Leaves the group: partitions go to others at once. What is not committed is theirs to read. Dropped half-way: it goes on by itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the runtime ends before it is done.
    pub async fn close(self) -> Result<()> {
        self.ask(|consumer, _| {
            end(consumer);
            while !consumer.closed() {
                let _ = consumer.poll(CLOSE_POLL);
            }
            Ok(())
        })
        .await
    }

    /// Asks librdkafka something that blocks.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer<Callbacks>, Duration) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (consumer, timeout) = (Arc::clone(&self.consumer), self.settings.lookup_timeout);
        let asked = tokio::task::spawn_blocking(move || question(&consumer, timeout)).await;
        asked.map_err(|e| Error::unavailable("to ask librdkafka", e))?
    }

    /// What the broker has of these.
    async fn find(&self, places: Vec<TopicPartition>) -> Result<BTreeMap<TopicPartition, Found>> {
        self.ask(move |consumer, timeout| lookup::find(consumer, &places, timeout)).await
    }

    /// Reads those no further that are refused.
    fn refuse(&mut self, starts: &Starts) -> Result<()> {
        let refused: Vec<_> = starts.refused.iter().map(|refusal| refusal.place.clone()).collect();
        let pause = self.assignment.refuse(&refused);
        self.act(pause)
    }

    /// What can be told without polling.
    fn ready(&mut self) -> Result<Option<Event>> {
        self.tell_ends();
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        if !self.batch.is_empty() {
            return Ok(Some(Event::Batch(std::mem::take(&mut self.batch))));
        }
        if let Some(error) = self.errors.pop_front() {
            return Err(error);
        }
        if self.assignment.is_over() {
            let action = self.assignment.balance();
            self.act(action)?;
            return Ok(Some(Event::Full));
        }
        let waiting = self.assignment.waiting();
        Ok(Some(Event::Assigned(waiting.to_vec())).filter(|_| !waiting.is_empty()))
    }

    /// Is ready once something happened.
    fn poll_library(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.poll_some() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        // Something may have come before the waker was there.
        if self.poll_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Polls until nothing is there, the batch is full, or something else than messages came. Whether anything was there.
    fn poll_some(&mut self) -> bool {
        let consumer = Arc::clone(&self.consumer);
        let callbacks = consumer.context();
        let began = callbacks.served();
        let mut any = false;
        while !self.has_enough() {
            let served = callbacks.served();
            match consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) => self.note_error(&error),
                None if callbacks.served() == served => break,
                None => {}
            }
            any = true;
            if callbacks.has_rebalance() {
                break;
            }
        }
        any || callbacks.served() != began
    }

    fn has_enough(&self) -> bool {
        let batch_bytes = self.batch.size_bytes() + self.batch.len() * MESSAGE_BYTES;
        let told = !self.events.is_empty() || !self.errors.is_empty();
        told || batch_bytes >= self.settings.batch_bytes || self.assignment.is_over()
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        self.warned = None;
        let bytes = size_bytes(message) as u64;
        if self.assignment.take(message.topic(), message.partition(), message.offset(), bytes) {
            copy(message, &mut self.batch);
        }
    }

    fn note_error(&mut self, error: &KafkaError) {
        let said = || self.consumer.context().last_error();
        match error {
            KafkaError::PartitionEOF(partition) => self.note_end(*partition),
            KafkaError::MessageConsumptionFatal(_) => self.errors.push_back(Error::Ended { reason: said() }),
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.recheck = true;
            }
            KafkaError::MessageConsumption(code) if is_refusal(*code) => {
                self.errors.push_back(Error::unavailable(format!("to read as {}", self.settings.group), said()));
            }
            // It is tried again by librdkafka, which says so each time.
            other => {
                let code = other.rdkafka_error_code();
                if self.warned.is_none() || self.warned != code {
                    tracing::warn!(error = %other, "{}", said());
                    self.warned = code;
                }
            }
        }
    }

    /// The end of a partition of this number was reached. librdkafka does not say of which topic.
    fn note_end(&mut self, partition: i32) {
        let mut of_number = self.assignment.reading().filter(|place| place.partition == partition);
        match (of_number.next(), of_number.next()) {
            (Some(place), None) => {
                drop(of_number);
                self.tell_end(place);
            }
            (None, _) => {}
            // The statistics say it, a little later.
            _ => {
                drop(of_number);
                self.end_unknown = true;
            }
        }
    }

    /// Tells the ends that new statistics know of, where librdkafka did not say which was reached.
    fn tell_ends(&mut self) {
        let Some(new) = self.consumer.context().take_statistics() else { return };
        self.statistics = new;
        if !std::mem::take(&mut self.end_unknown) {
            return;
        }
        for place in self.assignment.reading().collect::<Vec<_>>() {
            let next = self.assignment.next_offset(&place).unwrap_or_default();
            let at_end =
                self.statistics.of(&place).is_some_and(|p| p.eof_offset >= next && Some(p.eof_offset) >= p.latest());
            if at_end {
                self.tell_end(place);
            }
        }
    }

    /// After the messages that came before it, and once.
    fn tell_end(&mut self, place: TopicPartition) {
        let Some(next) = self.assignment.next_offset(&place) else { return };
        if self.ends.insert(place.clone(), next) != Some(next) {
            self.hand_over_batch();
            self.events.push_back(Event::End(place));
        }
    }

    fn hand_over_batch(&mut self) {
        if !self.batch.is_empty() {
            self.events.push_back(Event::Batch(std::mem::take(&mut self.batch)));
        }
    }

    fn take_rebalances(&mut self) -> Result<()> {
        while let Some(rebalance) = self.consumer.context().next_rebalance() {
            let actions = match rebalance {
                Rebalance::Assigned(places) => {
                    self.ends.retain(|place, _| !places.contains(place));
                    self.assignment.assigned(places)
                }
                Rebalance::Revoked { places, lost: true } => {
                    self.batch.retain(|topic, partition| !places.contains(&TopicPartition::new(topic, partition)));
                    self.events.push_back(Event::Lost(places.clone()));
                    self.assignment.lost(places)
                }
                Rebalance::Revoked { places, lost: false } => {
                    self.hand_over_batch();
                    self.events.push_back(Event::Revoked(places.clone()));
                    self.assignment.revoked(places)
                }
            };
            self.act(actions)?;
        }
        Ok(())
    }

    /// An offset is out of the broker's range: says of which partition, or goes on where the policy says.
    async fn check_again(&mut self) -> Result<()> {
        let places: Vec<_> = self.assignment.reading().collect();
        let next: BTreeMap<_, _> =
            places.iter().filter_map(|p| Some((p.clone(), self.assignment.next_offset(p)?))).collect();
        let wanted = |place: &TopicPartition| Wanted { next: next.get(place).copied(), ..Wanted::default() };
        let found = self.find(places).await?;
        let starts = starts(&found, wanted, self.settings.policy);
        self.recheck = false;
        for start in &starts.begun {
            if let Why::Remade { wanted } = start.why {
                // Offsets would go back: only an assignment does that.
                let reason = format!("{} was made anew while it was read, up to offset {wanted}", start.place);
                return Err(Error::Ended { reason });
            }
            self.assignment.skip_to(&start.place, start.at);
        }
        self.refuse(&starts)?;
        // librdkafka fetches the partition no more, and takes no other offset for it but in an assignment.
        self.act(self.assignment.fetch_anew())?;
        self.hand_over_batch();
        let is_skipped = |start: &Start| matches!(start.why, Why::Gap { .. });
        self.events.extend(starts.begun.into_iter().filter(is_skipped).map(Event::Skipped));
        self.events.extend(starts.refused.into_iter().map(Event::Refused));
        Ok(())
    }

    fn act(&self, actions: impl IntoIterator<Item = Action>) -> Result<()> {
        actions.into_iter().try_for_each(|action| act(&self.consumer, action))
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // The consumer's own end waits for answers that would never come.
        if !self.consumer.closed() {
            end(&self.consumer);
        }
    }
}

fn size_bytes(message: &BorrowedMessage<'_>) -> usize {
    let header = |h: rdkafka::message::Header<'_, &[u8]>| h.key.len() + h.value.map_or(0, <[u8]>::len);
    let headers = message.headers().map_or(0, |headers| headers.iter().map(header).sum());
    MESSAGE_BYTES + message.key_len() + message.payload_len() + headers
}

fn copy(message: &BorrowedMessage<'_>, into: &mut Messages) {
    let mut draft = into.draft();
    let key = message.key().map(|bytes| draft.put(bytes));
    let value = message.payload().map(|bytes| draft.put(bytes));
    for header in message.headers().map(Headers::iter).into_iter().flatten() {
        let name = draft.put(header.key.as_bytes());
        let value = header.value.map(|bytes| draft.put(bytes));
        draft.header(name, value);
    }
    let (partition, offset, timestamp_ms) = (message.partition(), message.offset(), message.timestamp().to_millis());
    draft.finish(Origin { topic: message.topic(), partition, offset, timestamp_ms }, key, value);
}

/// Begins to close. Rebalances are answered at once, the one that waits too.
fn end(consumer: &BaseConsumer<Callbacks>) {
    consumer.context().close();
    let _ = consumer.close_queue();
    let _ = consumer.unassign();
}

fn act(consumer: &BaseConsumer<Callbacks>, action: Action) -> Result<()> {
    let eager = !matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
    let all = |places: &[TopicPartition]| list(places.iter().map(|place| (place, Offset::Invalid)));
    let (doing, done) = match &action {
        Action::Assign(starts) => {
            let list = list(starts.iter().map(|(place, at)| (place, Offset::Offset(*at))))?;
            let assigned = if eager { consumer.assign(&list) } else { consumer.incremental_assign(&list) };
            // librdkafka keeps a partition paused that was ours before.
            ("to begin", assigned.and_then(|()| if starts.is_empty() { Ok(()) } else { consumer.resume(&list) }))
        }
        Action::Reassign(starts) => {
            let list = list(starts.iter().map(|(place, at)| (place, Offset::Offset(*at))))?;
            let add = || consumer.incremental_unassign(&list).and_then(|()| consumer.incremental_assign(&list));
            ("to go on", if eager { consumer.assign(&list) } else { add() })
        }
        Action::Unassign(_) if eager => ("to give up", consumer.unassign()),
        Action::Unassign(places) => ("to give up", consumer.incremental_unassign(&all(places)?)),
        Action::Pause(places) => ("to pause", consumer.pause(&all(places)?)),
        Action::Resume(places) => ("to resume", consumer.resume(&all(places)?)),
        Action::Commit(offsets) => {
            let list = list(offsets.iter().map(|(place, at)| (place, Offset::Offset(*at))))?;
            ("to tell the group", consumer.commit(&list, CommitMode::Async))
        }
    };
    match done {
        Err(error) if matches!(action, Action::Commit(_)) => {
            // The tables have what counts.
            tracing::warn!(%error, "the group was not told how far the tables are");
            Ok(())
        }
        // The group waits for an answer that it cannot get any more.
        Err(error) if matches!(action, Action::Assign(_) | Action::Reassign(_) | Action::Unassign(_)) => {
            Err(Error::Ended { reason: format!("{doing}: {error}") })
        }
        done => done.map_err(|source| Error::unavailable(doing, source)),
    }
}

/// What waiting does not cure.
const fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InconsistentGroupProtocol
            | RDKafkaErrorCode::UnsupportedFeature
            | RDKafkaErrorCode::FencedInstanceId
    )
}

/// Why there is no consumer. Values of settings may be secrets: they are not shown.
fn refused(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, reason, name, value) if value.is_empty() => Error::setting(name, reason),
        KafkaError::ClientConfig(_, reason, name, value) => Error::setting(name, reason.replace(&value, "…")),
        other => Error::setting("client", other.to_string()),
    }
}
