//! Sends made-up changes to a Kafka cluster, and writes down what the tables hold in the end: to measure, and to test against.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use examples::{Failure, Load, LoadSettings, finish};
use hudi_writer::{Clock, SystemClock};
use kafka_source::CapturedRecord;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// How long is waited for a queue, or for the end.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);
/// Messages between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// Sends made-up changes to a Kafka cluster.
#[derive(Debug, Parser)]
struct Arguments {
    /// Brokers: host:port, by comma.
    #[arg(long)]
    brokers: String,
    /// How many messages.
    #[arg(long)]
    messages: u64,
    /// So many a second. Default: as many as can be.
    #[arg(long)]
    rate: Option<u64>,
    /// Where what the tables hold in the end is written, as JSON lines.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Gives the same messages again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the topics' names begin with.
    #[arg(long, default_value = "load")]
    prefix: String,
    /// Tables, each with a topic of its own.
    #[arg(long, default_value_t = 1)]
    tables: usize,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 3)]
    partitions: i32,
    /// Keys that a table can have.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Of a hundred changes of rows that are there, how many are deletes.
    #[arg(long, default_value_t = 5)]
    deletes: u64,
    /// Each change is a new row with the next key, as of a table that only grows.
    #[arg(long, conflicts_with_all = ["keys", "deletes"])]
    inserts: bool,
    /// Bytes of a message's value, about.
    #[arg(long, default_value_t = 470)]
    bytes: usize,
    /// The source's times are those of sending: to measure how fresh tables are.
    #[arg(long)]
    now: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    finish(send(&Arguments::parse()).await)
}

async fn send(arguments: &Arguments) -> Result<(), Failure> {
    let mut load = Load::new(LoadSettings {
        seed: arguments.seed,
        prefix: arguments.prefix.clone(),
        tables: arguments.tables,
        partitions: arguments.partitions,
        keys: arguments.keys,
        deletes_percent: arguments.deletes,
        only_inserts: arguments.inserts,
        message_bytes: arguments.bytes,
    });
    make_topics(arguments, &load).await?;
    let (clock, producer) = (SystemClock, producer(arguments)?);
    let begun_ms = clock.now_ms();
    for sent in 0..arguments.messages {
        let record = if arguments.now { load.next_record_at(clock.now_ms()) } else { load.next_record() };
        hand_over(&producer, &record)?;
        if sent.is_multiple_of(LOOK_EVERY) {
            producer.poll(Duration::ZERO);
            if let Some(rate) = arguments.rate {
                let due_ms = begun_ms + i64::try_from(sent * 1000 / rate.max(1)).unwrap_or(0);
                clock.sleep((due_ms - clock.now_ms()).max(0)).await;
            }
        }
    }
    producer.flush(PATIENCE).map_err(failed)?;
    let took_s = (clock.now_ms() - begun_ms) as f64 / 1000.0;
    println!("{} messages in {took_s:.1} s: {:.0} a second", arguments.messages, arguments.messages as f64 / took_s);
    arguments.state.as_ref().map_or(Ok(()), |path| write_state(path, &load))
}

fn config(arguments: &Arguments) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &arguments.brokers);
    config
}

fn producer(arguments: &Arguments) -> Result<BaseProducer, Failure> {
    // In order, and once: as a connector does.
    let mut config = config(arguments);
    config.set("enable.idempotence", "true").set("linger.ms", "5").set("batch.size", "262144");
    config.set("queue.buffering.max.kbytes", "65536").create().map_err(failed)
}

async fn make_topics(arguments: &Arguments, load: &Load) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = config(arguments).create().map_err(failed)?;
    let topics: Vec<_> =
        load.topics().map(|topic| NewTopic::new(topic, arguments.partitions, TopicReplication::Fixed(1))).collect();
    for made in admin.create_topics(&topics, &AdminOptions::new()).await.map_err(failed)? {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(Failure::failed(format!("{topic} cannot be made: {code}"))),
        }
    }
    Ok(())
}

fn hand_over(producer: &BaseProducer, record: &CapturedRecord) -> Result<(), Failure> {
    let (key, value) = (record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default());
    let mut message = BaseRecord::to(&record.topic).partition(record.partition).key(key).payload(value);
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                message = back;
                producer.poll(QUEUE_PAUSE);
            }
            Err((error, _)) => return Err(failed(error)),
        }
    }
}

fn write_state(path: &PathBuf, load: &Load) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    for (topic, rows) in load.state() {
        for row in rows {
            writeln!(out, r#"{{"topic":"{topic}","row":{row}}}"#)?;
        }
    }
    Ok(out.flush()?)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}
