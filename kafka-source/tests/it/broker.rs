//! The consumer against a real broker, that of `HUDI_TEST_KAFKA`; `.ci/peers/broker.sh` brings one. Without it nothing is tested here.
//!
//! The tables of these tests are a [`Table`] in memory, which keeps the rules that ours have: a commit takes what follows the
//! checkpoint and nothing else, and rows are counted, so that one that is lost or doubled shows.

#![allow(clippy::disallowed_methods, reason = "tests that wait for a real broker")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hudi_core::checkpoint::Checkpoint;
use kafka_source::offsets::{OnGap, OnRemade, Policy, Refusal, Unread, Wanted, Why, covered};
use kafka_source::source::{Event, KafkaSource};
use kafka_source::{Error, Messages, Settings, TopicPartition, Topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::RwLock;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// Who restarts the broker is alone with it.
static BROKER: RwLock<()> = RwLock::const_new(());

/// A broker, or `None` and a word about it.
fn broker() -> Option<Broker> {
    let Ok(servers) = std::env::var("HUDI_TEST_KAFKA") else {
        eprintln!("skipped: no HUDI_TEST_KAFKA; run by .ci/peers/broker.sh");
        return None;
    };
    Some(Broker { servers })
}

struct Broker {
    servers: String,
}

impl Broker {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    /// A topic of this test's own.
    async fn topic(&self, name: &str, partitions: i32) -> String {
        let name = format!("{name}-{}", std::process::id());
        self.create(&name, partitions).await;
        name
    }

    async fn create(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        // One that was just deleted may be there for a moment.
        for _ in 0..100 {
            let made = self.admin().create_topics([&topic], &AdminOptions::new()).await.unwrap();
            if made[0].is_ok() {
                return self.wait_for(name, partitions).await;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} cannot be made");
    }

    async fn wait_for(&self, name: &str, partitions: i32) {
        let consumer: BaseConsumer = self.config().create().unwrap();
        for _ in 0..300 {
            let metadata = consumer.fetch_metadata(Some(name), Duration::from_secs(30)).unwrap();
            let found = metadata.topics()[0].partitions();
            if found.len() == partitions as usize && found.iter().all(|p| p.leader() >= 0 && p.error().is_none()) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} does not come");
    }

    async fn delete(&self, name: &str) {
        self.admin().delete_topics(&[name], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    }

    async fn add_partitions(&self, name: &str, partitions: usize) {
        let more = NewPartitions::new(name, partitions);
        self.admin().create_partitions([&more], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
        self.wait_for(name, i32::try_from(partitions).unwrap()).await;
    }

    /// What retention does.
    async fn delete_records(&self, name: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(name, partition, Offset::Offset(before)).unwrap();
        self.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    }

    /// Messages whose value is their number.
    fn produce(&self, topic: &str, partition: i32, numbers: std::ops::Range<i64>) {
        let producer: BaseProducer = self.config().set("linger.ms", "0").create().unwrap();
        for number in numbers {
            let value = number.to_string();
            let record = BaseRecord::to(topic).partition(partition).key("k").payload(&value);
            producer.send(record).map_err(|(e, _)| e).unwrap();
            producer.poll(Duration::ZERO);
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn settings(&self, topic: &str) -> Settings {
        Settings::new(&self.servers, format!("group-of-{topic}"), Topics::Named(vec![topic.to_owned()]))
            .with("statistics.interval.ms", "200")
            .with("topic.metadata.refresh.interval.ms", "500")
            .with("session.timeout.ms", "30000")
    }

    /// What the group committed: for monitors.
    fn group_offset(&self, settings: &Settings, place: &TopicPartition) -> Offset {
        let consumer: BaseConsumer = self.config().set("group.id", &settings.group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(&place.topic, place.partition);
        let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
        committed.elements()[0].offset()
    }

    fn restart(&self) -> bool {
        let Ok(restart) = std::env::var("HUDI_TEST_KAFKA_RESTART") else {
            eprintln!("skipped: no HUDI_TEST_KAFKA_RESTART; run by .ci/peers/broker.sh");
            return false;
        };
        assert!(Command::new(restart).status().unwrap().success());
        true
    }
}

/// A table: what was committed, and how often.
#[derive(Default)]
struct Table {
    checkpoint: Checkpoint,
    rows: BTreeMap<(String, i32, i64), u32>,
    conflicts: u32,
}

type Shared = Arc<Mutex<Table>>;

fn locked(table: &Shared) -> std::sync::MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// Takes what follows the checkpoint; anything else was read by somebody who should not have.
    fn commit(&mut self, rows: Vec<(String, i32, i64)>, begun: &BTreeMap<TopicPartition, i64>) {
        let follows = begun.iter().all(|(place, at)| {
            self.checkpoint.next_offset(&place.topic, place.partition).is_none_or(|next| next == *at)
        });
        if !follows {
            self.conflicts += 1;
            return;
        }
        for (topic, partition, offset) in rows {
            self.checkpoint.advance(&topic, partition, offset + 1);
            *self.rows.entry((topic, partition, offset)).or_default() += 1;
        }
    }

    fn holds(&self, topic: &str, messages: i64) -> bool {
        i64::try_from(self.rows.keys().filter(|(t, _, _)| t == topic).count()).unwrap() >= messages
    }

    fn assert_exactly(&self, topic: &str, partitions: &[(i32, i64)]) {
        for (partition, messages) in partitions {
            for offset in 0..*messages {
                assert_eq!(
                    self.rows.get(&(topic.to_owned(), *partition, offset)),
                    Some(&1),
                    "{topic}/{partition}/{offset}"
                );
            }
        }
        let all: i64 = partitions.iter().map(|(_, messages)| messages).sum();
        assert_eq!(i64::try_from(self.rows.len()).unwrap(), all);
    }
}

/// A consumer that writes a shared table.
struct Reader {
    source: KafkaSource,
    table: Shared,
    buffer: Vec<(String, i32, i64)>,
    /// Where the buffer begins.
    begun: BTreeMap<TopicPartition, i64>,
    /// Partitions that are not read.
    refused: Vec<Refusal>,
    log: Vec<String>,
}

impl Reader {
    fn new(settings: Settings, table: &Shared) -> Self {
        let source = KafkaSource::subscribe(settings).unwrap();
        Self { source, table: Arc::clone(table), buffer: vec![], begun: BTreeMap::new(), refused: vec![], log: vec![] }
    }

    async fn step(&mut self) -> Result<(), Error> {
        match self.source.next().await? {
            Event::Assigned(places) => {
                self.log.push(format!("assigned {}", places.len()));
                let checkpoint = locked(&self.table).checkpoint.clone();
                let starts = self.source.begin(|place| Wanted::of(place, [&checkpoint])).await?;
                self.refused.extend(starts.refused);
                for start in starts.begun {
                    self.log.push(format!("{} at {}: {:?}", start.place, start.at, start.why));
                    start.note(&mut locked(&self.table).checkpoint);
                }
            }
            Event::Batch(messages) => self.add(&messages),
            Event::Revoked(places) => {
                self.log.push(format!("revoked {}", places.len()));
                self.commit();
            }
            Event::Full => self.commit(),
            Event::Lost(places) => {
                self.log.push(format!("lost {}", places.len()));
                self.buffer.retain(|(t, p, _)| !places.contains(&TopicPartition::new(t.as_str(), *p)));
                self.begun.retain(|place, _| !places.contains(place));
            }
            Event::Skipped(start) => {
                self.log.push(format!("skipped to {}: {:?}", start.at, start.why));
                self.commit();
                start.note(&mut locked(&self.table).checkpoint);
            }
            Event::Refused(refusal) => self.refused.push(refusal),
            Event::End(place) => {
                self.log.push(format!("end {place}"));
                self.commit();
            }
        }
        if self.buffer.len() > 100 {
            self.commit();
        }
        Ok(())
    }

    fn add(&mut self, messages: &Messages) {
        let headers = messages.headers();
        for message in messages.iter(&headers) {
            let place = TopicPartition::new(message.topic, message.partition);
            self.begun.entry(place).or_insert(message.offset);
            self.buffer.push((message.topic.to_owned(), message.partition, message.offset));
        }
    }

    fn commit(&mut self) {
        let rows = std::mem::take(&mut self.buffer);
        let begun = std::mem::take(&mut self.begun);
        let checkpoint = {
            let mut table = locked(&self.table);
            table.commit(rows, &begun);
            table.checkpoint.clone()
        };
        self.source.committed(|place| covered(place, [&checkpoint])).unwrap();
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let story = timeout(PATIENCE, async {
            while !done(self) {
                self.step().await.unwrap();
            }
        });
        assert!(story.await.is_ok(), "it does not come to it: {:?}", self.log);
    }

    async fn until_holds(&mut self, topic: &str, messages: i64) {
        self.until(|reader| locked(&reader.table).holds(topic, messages)).await;
    }

    /// What stands against the first partition that is refused.
    async fn refusal(&mut self) -> Error {
        self.until(|reader| !reader.refused.is_empty()).await;
        self.refused.remove(0).error
    }

    fn logged(&self, part: &str) -> bool {
        self.log.iter().any(|line| line.contains(part))
    }
}

fn table() -> Shared {
    Shared::default()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_come_with_all_that_they_hold() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("whole", 1).await;
    let producer: BaseProducer = broker.config().create().unwrap();
    let header = |key, value| Header { key, value };
    let headers = OwnedHeaders::new()
        .insert(header("a", Some("1")))
        .insert(header("b", None::<&str>))
        .insert(header("a", Some("")));
    producer
        .send(BaseRecord::to(&topic).key("k").payload("v").timestamp(7).headers(headers))
        .map_err(|(e, _)| e)
        .unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).key("k").timestamp(8)).map_err(|(e, _)| e).unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).payload("").timestamp(9)).map_err(|(e, _)| e).unwrap();
    producer.flush(PATIENCE).unwrap();
    let mut source = KafkaSource::subscribe(broker.settings(&topic)).unwrap();
    let mut all = Messages::default();
    while all.len() < 3 {
        match timeout(PATIENCE, source.next()).await.unwrap().unwrap() {
            Event::Assigned(_) => drop(source.begin(|place| Wanted::of(place, [])).await.unwrap()),
            Event::Batch(messages) => {
                let headers = messages.headers();
                messages.iter(&headers).for_each(|message| all.push(&message));
            }
            other => panic!("{other:?}"),
        }
    }
    let headers = all.headers();
    let plain: Vec<_> = all.iter(&headers).map(|m| (m.offset, m.timestamp_ms, m.key, m.value)).collect();
    let (k, v) = (Some(&b"k"[..]), Some(&b"v"[..]));
    assert_eq!(plain, [(0, Some(7), k, v), (1, Some(8), k, None), (2, Some(9), None, Some(&b""[..]))]);
    let first: Vec<_> = all.get(0, &headers).unwrap().headers.iter().map(|h| (h.name, h.value)).collect();
    assert_eq!(first, [("a", Some(&b"1"[..])), ("b", None), ("a", Some(&b""[..]))]);
    source.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_say_where_to_begin_and_the_group_only_follows() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("truth", 1).await;
    broker.produce(&topic, 0, 0..10);
    let (settings, place) = (broker.settings(&topic), TopicPartition::new(topic.as_str(), 0));
    let shared = table();
    let mut reader = Reader::new(settings.clone(), &shared);
    reader.until(|reader| reader.logged("end ")).await;
    assert!(reader.logged("/0 at 0: TopicUnread"), "{:?}", reader.log);
    locked(&shared).assert_exactly(&topic, &[(0, 10)]);
    reader.source.close().await.unwrap();
    assert_eq!(broker.group_offset(&settings, &place), Offset::Offset(10), "monitors see no lag");
    // Somebody moved the group, and the table is another one.
    let consumer: BaseConsumer = broker.config().set("group.id", &settings.group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(7)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
    let other = table();
    locked(&other).checkpoint.advance(&topic, 0, 3);
    let mut reader = Reader::new(settings, &other);
    reader.until(|reader| reader.logged("end ")).await;
    assert!(reader.logged("/0 at 3: Resumed"), "{:?}", reader.log);
    let first = locked(&other).rows.keys().next().unwrap().2;
    assert_eq!((first, locked(&other).rows.len()), (3, 7));
    let id = locked(&other).checkpoint.topics[&topic].id.clone().unwrap();
    assert!(id.len() > 10 && id.ends_with('/'), "the cluster is known, the topic's id is not: {id}");
}

/// Two consumers of a group that come and go while messages come.
async fn share(strategy: &str) {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic(&format!("share-{strategy}"), 4).await;
    let settings = broker.settings(&topic).with("partition.assignment.strategy", strategy);
    let shared = table();
    let produce = |range: std::ops::Range<i64>| (0..4).for_each(|p| broker.produce(&topic, p, range.clone()));
    produce(0..300);
    let mut first = Reader::new(settings.clone(), &shared);
    first.until(|reader| locked(&reader.table).holds(&topic, 150)).await;
    let mut second = Reader::new(settings, &shared);
    produce(300..600);
    // Both at once, as in two processes, until each has a half.
    let halves = |reader: &Reader| reader.source.lag().len() == 2;
    timeout(PATIENCE, async {
        while !(halves(&first) && halves(&second)) {
            tokio::select! {
                done = first.step() => done.unwrap(),
                done = second.step() => done.unwrap(),
                () = sleep(Duration::from_millis(300)) => {}
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{:?} {:?}", first.log, second.log));
    assert!(first.logged("revoked ") && !first.logged("lost"), "{:?}", first.log);
    produce(600..900);
    timeout(PATIENCE, async {
        while !locked(&shared).holds(&topic, 3600) {
            tokio::select! {
                done = first.step() => done.unwrap(),
                done = second.step() => done.unwrap(),
                () = sleep(Duration::from_millis(300)) => {
                    first.commit();
                    second.commit();
                }
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{:?} {:?}", first.log, second.log));
    locked(&shared).assert_exactly(&topic, &[(0, 900), (1, 900), (2, 900), (3, 900)]);
    // What the second one took and did not commit is the first one's to read.
    produce(900..1000);
    second.source.close().await.unwrap();
    timeout(PATIENCE, async {
        while !locked(&shared).holds(&topic, 4000) {
            tokio::select! {
                done = first.step() => done.unwrap(),
                () = sleep(Duration::from_millis(300)) => first.commit(),
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{:?}", first.log));
    let table = locked(&shared);
    table.assert_exactly(&topic, &[(0, 1000), (1, 1000), (2, 1000), (3, 1000)]);
    assert_eq!(table.conflicts, 0, "nothing was read by two at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_consumers_share_a_topic_cooperatively() {
    share("cooperative-sticky").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_consumers_share_a_topic_eagerly() {
    share("range").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_committed_when_it_is_asked_back_is_given_up() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("given-up", 2).await;
    (0..2).for_each(|partition| broker.produce(&topic, partition, 0..10));
    let shared = table();
    let mut first = Reader::new(broker.settings(&topic), &shared);
    first.until(|reader| reader.buffer.len() + locked(&reader.table).rows.len() == 20).await;
    let mut second = Reader::new(broker.settings(&topic), &shared);
    let ignored = timeout(PATIENCE, async {
        loop {
            tokio::select! {
                event = first.source.next() => if let Event::Revoked(places) = event.unwrap() { return places },
                done = second.step() => done.unwrap(),
            }
        }
    });
    assert_eq!(ignored.await.unwrap().len(), 1);
    // The next call answers the group; without it the second one would wait for its partition in vain.
    timeout(PATIENCE, async {
        while !second.logged(" at ") {
            tokio::select! {
                event = first.source.next() => drop(event.unwrap()),
                done = second.step() => done.unwrap(),
            }
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_too_long_has_lost_his_partitions() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("lost", 1).await;
    broker.produce(&topic, 0, 0..10);
    let settings = broker
        .settings(&topic)
        .with("session.timeout.ms", "1500")
        .with("heartbeat.interval.ms", "300")
        .with("max.poll.interval.ms", "2000");
    let shared = table();
    let mut reader = Reader::new(settings, &shared);
    reader.until(|reader| !reader.buffer.is_empty()).await;
    sleep(Duration::from_secs(5)).await;
    reader.until(|reader| reader.logged("lost 1")).await;
    assert_eq!((reader.buffer.len(), reader.source.in_flight_bytes()), (0, 0));
    assert!(locked(&shared).rows.is_empty());
    reader.until_holds(&topic, 10).await;
    locked(&shared).assert_exactly(&topic, &[(0, 10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_is_waited_for() {
    let Some(broker) = broker() else { return };
    let _alone = BROKER.write().await;
    let topic = broker.topic("restart", 2).await;
    (0..2).for_each(|partition| broker.produce(&topic, partition, 0..500));
    let shared = table();
    let mut reader = Reader::new(broker.settings(&topic), &shared);
    reader.until_holds(&topic, 500).await;
    if !broker.restart() {
        return;
    }
    (0..2).for_each(|partition| broker.produce(&topic, partition, 500..1000));
    timeout(PATIENCE, async {
        while !locked(&shared).holds(&topic, 2000) {
            tokio::select! {
                done = reader.step() => done.unwrap(),
                () = sleep(Duration::from_millis(300)) => reader.commit(),
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{:?}", reader.log));
    locked(&shared).assert_exactly(&topic, &[(0, 1000), (1, 1000)]);
}

const ALLOWED: Policy = Policy { unread: Unread::Earliest, on_gap: OnGap::Earliest, on_remade: OnRemade::Earliest };

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_retention_took_are_an_error_with_their_offsets() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("gap", 1).await;
    broker.produce(&topic, 0, 0..20);
    broker.delete_records(&topic, 0, 8).await;
    let behind = || {
        let shared = table();
        locked(&shared).checkpoint.advance(&topic, 0, 5);
        shared
    };
    let mut reader = Reader::new(broker.settings(&topic), &behind());
    match reader.refusal().await {
        Error::Gap { topic: t, partition: 0, wanted: 5, earliest: 8 } => assert_eq!(t, topic),
        other => panic!("{other}"),
    }
    // Nobody said what to do about it: leaving must not wait for that.
    timeout(PATIENCE, reader.source.close()).await.unwrap().unwrap();
    let (shared, settings) = (behind(), Settings { policy: ALLOWED, ..broker.settings(&topic) });
    let mut reader = Reader::new(settings, &shared);
    reader.until(|reader| reader.logged("end ")).await;
    assert!(reader.logged("/0 at 8: Gap { wanted: 5 }"), "{:?}", reader.log);
    assert_eq!(locked(&shared).rows.len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_messages_are_gone_rests_and_the_others_are_read() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    for strategy in ["cooperative-sticky", "range"] {
        let topic = broker.topic(&format!("gap-of-one-{strategy}"), 2).await;
        broker.produce(&topic, 0, 0..20);
        broker.produce(&topic, 1, 0..7);
        broker.delete_records(&topic, 0, 8).await;
        let shared = table();
        locked(&shared).checkpoint.advance(&topic, 0, 5);
        locked(&shared).checkpoint.advance(&topic, 1, 0);
        let mut reader = Reader::new(broker.settings(&topic).with("partition.assignment.strategy", strategy), &shared);
        reader.until_holds(&topic, 7).await;
        assert!(matches!(reader.refusal().await, Error::Gap { partition: 0, wanted: 5, earliest: 8, .. }));
        // A rebalance later it is as before.
        broker.add_partitions(&topic, 3).await;
        broker.produce(&topic, 1, 7..9);
        broker.produce(&topic, 2, 0..5);
        reader.until_holds(&topic, 14).await;
        assert!(locked(&shared).rows.keys().all(|(_, partition, _)| *partition != 0), "{strategy}");
        timeout(PATIENCE, reader.source.close()).await.unwrap().unwrap();
    }
}

/// A consumer that is paused where retention takes what it has not read.
async fn overtaken(broker: &Broker, name: &str, policy: Policy) -> (Reader, Shared) {
    let topic = broker.topic(name, 1).await;
    broker.produce(&topic, 0, 0..1000);
    // librdkafka fetches little ahead, and nothing that was fetched outlives a pause.
    let settings = broker.settings(&topic).with("fetch.message.max.bytes", "2000").with("fetch.max.bytes", "2000");
    let settings =
        Settings { policy, budget_bytes: 1000, batch_bytes: 100, ..settings.with("message.max.bytes", "2000") };
    let shared = table();
    let mut reader = Reader::new(settings, &shared);
    let story = timeout(PATIENCE, async {
        loop {
            match reader.source.next().await.unwrap() {
                Event::Assigned(_) => drop(reader.source.begin(|place| Wanted::of(place, [])).await.unwrap()),
                Event::Batch(messages) => reader.add(&messages),
                Event::Full => return,
                _ => {}
            }
        }
    });
    story.await.unwrap();
    broker.delete_records(&topic, 0, 900).await;
    reader.commit();
    (reader, shared)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_go_away_while_we_read_are_an_error_too() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let (mut reader, _) = overtaken(&broker, "overtaken", Policy::default()).await;
    match reader.refusal().await {
        Error::Gap { partition: 0, wanted, earliest: 900, .. } => assert!(wanted < 900, "{wanted}"),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_go_away_while_we_read_are_told_where_that_is_allowed() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let (mut reader, shared) = overtaken(&broker, "overtaken-allowed", ALLOWED).await;
    reader.until(|reader| reader.logged("end ")).await;
    assert!(reader.logged("skipped to 900: Gap"), "{:?}", reader.log);
    assert_eq!(locked(&shared).rows.keys().next_back().unwrap().2, 999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_is_told_from_one_that_moved_on() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("anew", 1).await;
    broker.produce(&topic, 0, 0..20);
    let shared = table();
    let mut reader = Reader::new(broker.settings(&topic), &shared);
    reader.until(|reader| reader.logged("end ")).await;
    reader.source.close().await.unwrap();
    broker.delete(&topic).await;
    broker.create(&topic, 1).await;
    broker.produce(&topic, 0, 0..5);
    let mut reader = Reader::new(broker.settings(&topic), &shared);
    let error = reader.refusal().await;
    assert!(matches!(&error, Error::Remade { wanted: 20, partition: 0, .. }), "{error}");
    assert!(error.to_string().contains("the topic ends at 5"), "{error}");
    drop(reader);
    locked(&shared).rows.clear();
    let mut reader = Reader::new(Settings { policy: ALLOWED, ..broker.settings(&topic) }, &shared);
    reader.until(|reader| reader.logged("end ")).await;
    assert!(reader.logged("at 0: Remade { wanted: 20 }"), "{:?}", reader.log);
    locked(&shared).assert_exactly(&topic, &[(0, 5)]);
    assert_eq!(locked(&shared).checkpoint.next_offset(&topic, 0), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_added_is_read_from_its_first_message() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("grows", 1).await;
    broker.produce(&topic, 0, 0..5);
    let policy = Policy { unread: Unread::Latest, ..Policy::default() };
    let shared = table();
    let mut reader = Reader::new(Settings { policy, ..broker.settings(&topic) }, &shared);
    reader.until(|reader| reader.logged("/0 at 5: TopicUnread")).await;
    broker.add_partitions(&topic, 2).await;
    broker.produce(&topic, 1, 0..7);
    reader.until(|reader| reader.logged("/1 at ")).await;
    assert!(reader.logged("/1 at 0: PartitionIsNew"), "{:?}", reader.log);
    reader.until(|reader| reader.logged("/1") && locked(&reader.table).holds(&topic, 7)).await;
    assert!(locked(&shared).rows.keys().all(|(_, partition, _)| *partition == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_stays_within_the_budget() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("budget", 2).await;
    (0..2).for_each(|partition| broker.produce(&topic, partition, 0..1000));
    let settings = Settings { budget_bytes: 10_000, batch_bytes: 500, ..broker.settings(&topic) };
    let mut source = KafkaSource::subscribe(settings).unwrap();
    let (mut next, mut fulls, mut most) = (Checkpoint::default(), 0, 0);
    let story = timeout(PATIENCE, async {
        while [0, 1].iter().any(|p| next.next_offset(&topic, *p) != Some(1000)) {
            match source.next().await.unwrap() {
                Event::Assigned(_) => drop(source.begin(|place| Wanted::of(place, [])).await.unwrap()),
                Event::Batch(messages) => {
                    let headers = messages.headers();
                    messages.iter(&headers).for_each(|m| next.advance(m.topic, m.partition, m.offset + 1));
                }
                Event::Full => {
                    let silent = timeout(Duration::from_millis(500), source.next()).await;
                    assert!(silent.is_err(), "something comes though the budget is spent: {silent:?}");
                    fulls += 1;
                    source.committed(|place| covered(place, [&next])).unwrap();
                    assert_eq!(source.in_flight_bytes(), 0);
                }
                _ => {}
            }
            most = most.max(source.in_flight_bytes());
        }
    });
    story.await.unwrap();
    assert!(fulls >= 5 && most <= 12_000, "{fulls} times full, {most} bytes at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_never_happened() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("transactions", 1).await;
    let producer: BaseProducer = broker.config().set("transactional.id", &topic).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for (value, commits) in [("a", true), ("b", false), ("c", true), ("d", false)] {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<str, str>::to(&topic).payload(value)).map_err(|(e, _)| e).unwrap();
        producer.flush(PATIENCE).unwrap();
        if commits { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }.unwrap();
    }
    let shared = table();
    let mut reader = Reader::new(broker.settings(&topic), &shared);
    reader.until(|reader| reader.logged("end ")).await;
    let offsets: Vec<_> = locked(&shared).rows.keys().map(|(_, _, offset)| *offset).collect();
    assert_eq!(offsets, [0, 4], "each transaction ends with a marker of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_by_pattern_are_read_and_each_of_their_ends_is_told() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let first = broker.topic("pattern-a", 2).await;
    let second = broker.topic("pattern-b", 2).await;
    for topic in [&first, &second] {
        (0..2).for_each(|partition| broker.produce(topic, partition, 0..50));
    }
    let pattern = Topics::Matching(format!("^pattern-.-{}$", std::process::id()));
    let shared = table();
    let mut reader = Reader::new(Settings { topics: pattern, ..broker.settings(&first) }, &shared);
    reader.until(|reader| reader.log.iter().filter(|line| line.starts_with("end ")).count() >= 4).await;
    for topic in [&first, &second] {
        (0..2).for_each(|partition| assert!(reader.logged(&format!("end {topic}/{partition}")), "{:?}", reader.log));
    }
    assert_eq!(locked(&shared).rows.len(), 200);
    reader.commit();
    assert!(reader.source.lag().iter().all(|lag| lag.messages() == 0 && lag.latest == 50), "{:?}", reader.source.lag());
    assert_eq!(reader.source.ends(&second).await.unwrap(), BTreeMap::from([(0, 50), (1, 50)]));
    let third = broker.topic("pattern-c", 1).await;
    broker.produce(&third, 0, 0..3);
    reader.until(|reader| reader.logged(&format!("{third}/0 at 0: TopicUnread"))).await;
    reader.until_holds(&third, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_ends_whatever_it_was_asked() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let topic = broker.topic("ends", 2).await;
    let assigned = |source: &mut KafkaSource| {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            runtime.block_on(async {
                let event = timeout(PATIENCE, source.next()).await.unwrap().unwrap();
                assert!(matches!(event, Event::Assigned(_)), "{event:?}");
            });
        });
    };
    for strategy in ["cooperative-sticky", "range"] {
        let settings = broker.settings(&topic).with("partition.assignment.strategy", strategy);
        // Before it joined, when it was asked to begin, and when it was read.
        let source = KafkaSource::subscribe(settings.clone()).unwrap();
        timeout(PATIENCE, source.close()).await.unwrap().unwrap();
        let mut source = KafkaSource::subscribe(settings.clone()).unwrap();
        assigned(&mut source);
        timeout(PATIENCE, source.close()).await.unwrap().unwrap();
        let mut source = KafkaSource::subscribe(settings.clone()).unwrap();
        assigned(&mut source);
        timeout(PATIENCE, tokio::task::spawn_blocking(move || drop(source))).await.unwrap().unwrap();
        let mut source = KafkaSource::subscribe(settings).unwrap();
        assigned(&mut source);
        let _ = source.begin(|place| Wanted::of(place, [])).await.unwrap();
        timeout(PATIENCE, tokio::task::spawn_blocking(move || drop(source))).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_an_error_by_its_name() {
    let Some(broker) = broker() else { return };
    let _alive = BROKER.read().await;
    let mut source = KafkaSource::subscribe(broker.settings("nowhere")).unwrap();
    let error = timeout(PATIENCE, source.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.to_string().contains("nowhere"), "{error}");
    timeout(PATIENCE, source.close()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_broker_is_away_waits_and_can_be_closed() {
    let settings = Settings::new("127.0.0.1:1", "g", Topics::Named(vec!["t".to_owned()]));
    let mut source = KafkaSource::subscribe(settings).unwrap();
    assert!(timeout(Duration::from_secs(2), source.next()).await.is_err(), "nothing comes, and nothing fails");
    timeout(PATIENCE, source.close()).await.unwrap().unwrap();
}

#[test]
fn settings_that_librdkafka_refuses_are_named_without_their_value() {
    let settings = Settings::new("127.0.0.1:1", "g", Topics::Named(vec!["t".to_owned()]));
    for name in ["no.such.setting", "fetch.wait.max.ms", "security.protocol"] {
        let error = KafkaSource::subscribe(settings.clone().with(name, "hunter2")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("setting `{name}`: want ")) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn why_is_shown_in_logs() {
    assert_eq!(format!("{:?}", Why::Gap { wanted: 5 }), "Gap { wanted: 5 }");
}

#[cfg(feature = "ssl")]
#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_want_a_token_get_one_from_its_source() {
    use kafka_source::source::{Token, TokenSource};
    struct Counts(Arc<Mutex<u32>>);
    impl TokenSource for Counts {
        fn token(&self) -> Result<Token, String> {
            *self.0.lock().unwrap() += 1;
            Err("none today".to_owned())
        }
    }
    let asked = Arc::new(Mutex::new(0));
    let settings = Settings::new("127.0.0.1:1", "g", Topics::Named(vec!["t".to_owned()]))
        .with("security.protocol", "SASL_PLAINTEXT")
        .with("sasl.mechanism", "OAUTHBEARER");
    let mut source = KafkaSource::subscribe_with(settings, Some(Box::new(Counts(Arc::clone(&asked))))).unwrap();
    let waited = timeout(PATIENCE, async {
        while *asked.lock().unwrap() == 0 {
            let _ = timeout(Duration::from_millis(100), source.next()).await;
        }
    });
    waited.await.unwrap();
    timeout(PATIENCE, source.close()).await.unwrap().unwrap();
}
