//! Changes from a Kafka cluster to Hudi tables, until it is told to end.
//!
//! SIGTERM or SIGINT: what is held is committed, then it ends with 0; a second one ends it at once. What it is told stands in a file,
//! `docs/kafka.md` says what can; a simple case takes a few options.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use examples::config::{Config, Duration, LogConfig, LogFormat, Told};
use examples::glue::{Beside, beside, syncer};
use examples::{Failure, Feed, Format, Pump, Watch, finish, serve};
use hudi_writer::ingest::Ingest;
use hudi_writer::{Clock, SystemClock};
use kafka_source::source::KafkaSource;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Batches of hundreds of megabytes come and go on several threads: the system's allocator keeps much of what they leave.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How a process ends that was interrupted.
const INTERRUPTED: i32 = 130;

/// Changes from a Kafka cluster to Hudi tables.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is to be done, in a file; options add to it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Brokers to ask first: host:port, by comma.
    #[arg(long)]
    brokers: Option<String>,
    /// The consumer group.
    #[arg(long)]
    group: Option<String>,
    /// The topics.
    #[arg(long, value_delimiter = ',')]
    topics: Vec<String>,
    /// The form of the messages.
    #[arg(long)]
    format: Option<Format>,
    /// The schema of messages that bring none.
    #[arg(long)]
    schema: Option<PathBuf>,
    /// The registry of their schemas.
    #[arg(long)]
    registry: Option<String>,
    /// The tables: a folder's path, file:///… or s3://…, with {topic}, {db}, {schema}, {table} in it unless there is one topic.
    #[arg(long, value_name = "URL-TEMPLATE", alias = "table")]
    tables: Option<String>,
    /// The columns of the record key. Default: those of the messages' key.
    #[arg(long, value_delimiter = ',')]
    key: Vec<String>,
    /// Commits what waits for so long: 500ms, 60s, 5m.
    #[arg(long)]
    commit_age: Option<Duration>,
    /// Where /metrics and /healthz are answered: host:port.
    #[arg(long)]
    watch: Option<String>,
    /// A JSON object for each event that is logged.
    #[arg(long)]
    log_json: bool,
    /// Ends once every partition was read to its end.
    #[arg(long)]
    until_the_end: bool,
    /// Says whether all is as it should be in what it is told, and ends.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let result = Arguments::parse().config().and_then(|(config, arguments)| {
        let told = config.told()?;
        if arguments.check {
            println!("ok");
            return Ok(());
        }
        begin_log(&config.log)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let ended = runtime.block_on(run(config, told, arguments.until_the_end));
        runtime.shutdown_background();
        ended
    });
    finish(result)
}

impl Arguments {
    fn config(mut self) -> Result<(Config, Self), Failure> {
        let mut config = self.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let put = |to: &mut String, said: Option<String>| said.into_iter().for_each(|said| *to = said);
        put(&mut config.kafka.brokers, self.brokers.take());
        config.kafka.group = self.group.take().or(config.kafka.group);
        if !self.topics.is_empty() {
            config.kafka.topics.clone_from(&self.topics);
        }
        config.format.name = self.format.or(config.format.name);
        config.format.schema = self.schema.take().or(config.format.schema);
        if let Some(url) = self.registry.take() {
            config.registry.get_or_insert_default().urls = vec![url];
        }
        config.tables.url = self.tables.take().or(config.tables.url);
        config.tables.key = Some(self.key.clone()).filter(|key| !key.is_empty()).or(config.tables.key);
        config.commit.age = self.commit_age.or(config.commit.age);
        config.watch.address = self.watch.take().or(config.watch.address);
        if self.log_json {
            config.log.format = LogFormat::Json;
        }
        Ok((config, self))
    }
}

fn begin_log(of: &LogConfig) -> Result<(), Failure> {
    let level = of.level.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(level).map_err(|error| Failure::usage(format!("log.level: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = match of.format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| Failure::failed(error.to_string()))
}

async fn run(config: Config, told: Told, until_the_end: bool) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (mut to_end, mut at_once) = (Signals::new()?, Signals::new()?);
    let watch = Arc::new(Watch::new(told.limits, clock.now_ms()));
    let listener = match &config.watch.address {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .map_err(|error| Failure::usage(format!("watch.address = {address}: {error}")))?,
        ),
        None => None,
    };
    let mut decoders = told.decoders;
    if let Some(registry) = &config.registry {
        decoders.schemas = registry.schemas()?;
    }
    let feed = Feed::new(Ingest::new(told.ingest, Arc::clone(&clock))?, decoders.into_feed(told.on_bad));
    let source = subscribe(&config, told.kafka).await?;
    let settings = examples::PumpSettings { until_the_end, ..told.pump };
    let pump = Pump::new(source, feed, told.router.into(), settings, Arc::clone(&clock), Arc::clone(&watch));
    let (syncs, notes) = match syncer(config.glue.as_ref(), Arc::clone(&clock)).await? {
        Some(syncer) => {
            let (syncs, notes) = Beside::new(syncer, Arc::clone(&clock), Arc::clone(&watch));
            (Some(syncs), Some(notes))
        }
        None => (None, None),
    };
    let pumped = beside(pump.noting(notes).run(to_end.first()), syncs, &*clock);
    let for_answers = Arc::clone(&clock);
    let answers = async {
        match listener {
            Some(listener) => serve(listener, watch, for_answers).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = pumped => ended,
        () = answers => Ok(()),
        () = at_once.second() => std::process::exit(INTERRUPTED),
    }
}

/// What asks the process to end.
struct Signals([Signal; 2]);

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]))
    }

    async fn next(&mut self) {
        let [terminate, interrupt] = &mut self.0;
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
    }

    async fn first(&mut self) {
        self.next().await;
        tracing::info!("what is held is committed, then it ends; a second signal ends it at once");
    }

    async fn second(&mut self) {
        self.next().await;
        self.next().await;
    }
}

#[cfg(feature = "msk-iam")]
async fn subscribe(config: &Config, settings: kafka_source::Settings) -> Result<KafkaSource, Failure> {
    use kafka_source::source::MskIam;
    let Some(region) = config.kafka.msk_iam_region.clone() else { return Ok(KafkaSource::subscribe(settings)?) };
    let tokens = MskIam::from_environment(Some(region)).await?;
    Ok(KafkaSource::subscribe_with(MskIam::settings(settings), Some(Box::new(tokens)))?)
}

#[cfg(not(feature = "msk-iam"))]
async fn subscribe(config: &Config, settings: kafka_source::Settings) -> Result<KafkaSource, Failure> {
    if config.kafka.msk_iam_region.is_some() {
        return Err(Failure::usage("kafka.msk_iam_region: this program was built without the feature msk-iam"));
    }
    Ok(KafkaSource::subscribe(settings)?)
}
