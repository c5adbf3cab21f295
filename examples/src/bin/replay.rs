//! Replays a capture of Kafka records into a Hudi table, from where the table's checkpoint says.
//!
//! The last line on standard output is one JSON object: what was done, and how far the table got.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use cdc_decoders::debezium::{DebeziumJson, DeclaredSchema};
use cdc_decoders::{Decoded, Decoder};
use clap::{Parser, ValueEnum};
use examples::{Failure, Given, IndexOption, OnBadMessage, Pipeline, TableTemplate, finish, parse_property};
use hudi_writer::{ForeignPending, NewTable, SourceWentBack, TableWriter, WriterSettings};
use kafka_source::{CaptureReader, CapturedRecord};

/// Messages between two reports of progress.
const REPORT_EVERY: u64 = 10_000;

/// Replays a capture into a Hudi table.
#[derive(Debug, Parser)]
struct Arguments {
    /// The capture: one Kafka record a line, as JSON with base64; plain or gzip.
    #[arg(long)]
    input: PathBuf,
    /// The form of the messages.
    #[arg(long)]
    format: Format,
    /// The table: a folder's path, file:///… or s3://…
    #[arg(long)]
    table: String,
    /// The topic; needed where the capture has several with rows.
    #[arg(long)]
    topic: Option<String>,
    /// How the table is written.
    #[arg(long, default_value = "cow")]
    table_type: TableType,
    /// The columns of the record key. Default: those of the messages' key; without one, all of its values tell a row.
    #[arg(long, value_delimiter = ',')]
    key: Vec<String>,
    /// The columns of the partition path.
    #[arg(long, value_delimiter = ',')]
    partition_by: Vec<String>,
    /// A row's partition columns never change: spares the look into all partitions where they are not part of the key.
    #[arg(long)]
    partition_immutable: bool,
    /// How keys are routed to file groups: simple, global-simple (a row may move between partitions), or bucket:N. Default:
    /// global-simple where a partition column is neither part of the key nor immutable, else simple.
    #[arg(long)]
    index: Option<IndexOption>,
    /// A table without a key takes several partitions of the topic: what is sent again by another of them is a second row.
    #[arg(long)]
    keyless_partitions: bool,
    /// Commits whenever so many changes wait. Default: by bytes, and at the end.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    commit_every_rows: Option<u64>,
    /// The schema of messages that bring none: Kafka Connect's JSON, or Avro.
    #[arg(long)]
    schema: Option<PathBuf>,
    /// Whose checkpoint the commits carry.
    #[arg(long, default_value = "default")]
    pipeline: String,
    /// What is done about a source that was restored or failed over, and sends other changes in place of earlier ones.
    #[arg(long, default_value = "stop")]
    on_source_went_back: OnSourceWentBack,
    /// A further property of a table that is created.
    #[arg(long = "set", value_name = "HOODIE.KEY=VALUE", value_parser = parse_property)]
    properties: Vec<(String, String)>,
    /// What is done about a pending instant of another writer without a heartbeat, such as Java's.
    #[arg(long, default_value = "leave")]
    foreign_pending: OnForeignPending,
    /// Stops at the first message that cannot become a row, instead of keeping it beside the table.
    #[arg(long)]
    stop_on_bad_message: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    DebeziumJson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TableType {
    Cow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnForeignPending {
    /// It is left alone: its writer may be at work.
    Leave,
    /// It is rolled back: no other writer is at work.
    RollBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnSourceWentBack {
    /// Nothing more is taken: look at the source first.
    Stop,
    /// Its changes win over all from before; take a new snapshot too.
    NewEpoch,
}

#[tokio::main]
async fn main() -> ExitCode {
    finish(replay(Arguments::parse()).await)
}

async fn replay(arguments: Arguments) -> Result<(), Failure> {
    let declared = declared(&arguments)?;
    let topic = topic(&arguments, declared.as_ref())?;
    let settings = settings(&arguments);
    let builder = TableWriter::builder(&arguments.table).settings(settings);
    let make = |writer: Option<&TableWriter>| decoder(&arguments, declared.as_ref(), writer);
    let mut pipeline = Pipeline::open(builder, template(&arguments), make)
        .await?
        .commit_every_rows(arguments.commit_every_rows.map_or(usize::MAX, |rows| rows as usize));
    pipeline.reads_only(&topic)?;
    if arguments.stop_on_bad_message {
        pipeline = pipeline.on_bad_message(OnBadMessage::Stop);
    }
    let mut reader = CaptureReader::open(&arguments.input)?;
    let (mut progress, mut messages) = (Progress::new(), 0);
    loop {
        let mut record = CapturedRecord::default();
        if !reader.read_next(&mut record)? {
            break;
        }
        if record.topic == topic {
            pipeline.feed(record).await?;
            messages += 1;
            progress.report(messages, pipeline.summary().commits);
        }
    }
    progress.clear();
    if messages == 0 {
        return Err(Failure::failed(format!("{}: no message of the topic {topic}", arguments.input.display())));
    }
    let summary = pipeline.finish().await?;
    if summary.clamped > 0 {
        eprintln!(
            "{} dates and times outside the years 1 to 9999 were moved to the ends of that range",
            summary.clamped
        );
    }
    let line = serde_json::to_string(&summary).map_err(|error| Failure::failed(error.to_string()))?;
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

fn settings(arguments: &Arguments) -> WriterSettings {
    let on_source_went_back = match arguments.on_source_went_back {
        OnSourceWentBack::Stop => SourceWentBack::Stop,
        OnSourceWentBack::NewEpoch => SourceWentBack::NewEpoch,
    };
    let foreign_pending = match arguments.foreign_pending {
        OnForeignPending::Leave => ForeignPending::Leave,
        OnForeignPending::RollBack => ForeignPending::RollBack,
    };
    WriterSettings {
        pipeline: arguments.pipeline.clone(),
        on_source_went_back,
        foreign_pending,
        keyless_partitions: arguments.keyless_partitions,
        ..WriterSettings::default()
    }
}

fn template(arguments: &Arguments) -> TableTemplate {
    let name = arguments.table.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let mut table = NewTable::new(name, &arguments.key).partition_by(&arguments.partition_by);
    table.partition_immutable = arguments.partition_immutable;
    table.index = arguments.index.map(|index| index.0);
    table.properties.clone_from(&arguments.properties);
    let given = Given {
        key: !arguments.key.is_empty(),
        partition_by: !arguments.partition_by.is_empty(),
        index: arguments.index.is_some(),
    };
    TableTemplate { table, given }
}

fn declared(arguments: &Arguments) -> Result<Option<DeclaredSchema>, Failure> {
    let Some(path) = &arguments.schema else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let schema = DeclaredSchema::from_json(&text);
    schema.map(Some).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn decoder(
    arguments: &Arguments,
    declared: Option<&DeclaredSchema>,
    writer: Option<&TableWriter>,
) -> Result<DebeziumJson, Failure> {
    let Format::DebeziumJson = arguments.format;
    let mut builder = DebeziumJson::builder();
    if !arguments.key.is_empty() {
        builder = builder.key_columns(arguments.key.clone());
    }
    if let Some(schema) = declared {
        builder = builder.declared(schema.clone());
    }
    if let Some(columns) = writer.and_then(TableWriter::source_columns) {
        builder = builder.known(&columns);
    }
    Ok(builder.build()?)
}

/// The topic to read: the one named, or the only one that holds rows.
fn topic(arguments: &Arguments, declared: Option<&DeclaredSchema>) -> Result<String, Failure> {
    if let Some(topic) = &arguments.topic {
        return Ok(topic.clone());
    }
    let mut has_rows: BTreeMap<String, bool> = BTreeMap::new();
    let mut reader = CaptureReader::open(&arguments.input)?;
    let mut record = CapturedRecord::default();
    while reader.read_next(&mut record)? {
        if has_rows.get(&record.topic).is_none_or(|has_rows| !has_rows) {
            let mut decoder = decoder(arguments, declared, None)?;
            let headers = record.headers();
            let skipped = matches!(decoder.decode(&record.as_message(&headers)), Ok(Decoded::Skipped(_)));
            has_rows.insert(record.topic.clone(), !skipped);
        }
    }
    let topics: Vec<&String> = has_rows.iter().filter(|(_, has_rows)| **has_rows).map(|(topic, _)| topic).collect();
    match topics.as_slice() {
        [topic] => Ok((*topic).clone()),
        [] => Err(Failure::failed(format!("{}: no message holds a row", arguments.input.display()))),
        several => Err(Failure::usage(format!(
            "the capture has {} topics with rows: name one with --topic: {several:?}",
            several.len()
        ))),
    }
}

/// Progress on standard error, where a person sees it.
struct Progress(bool);

impl Progress {
    fn new() -> Self {
        Self(std::io::stderr().is_terminal())
    }

    fn report(&mut self, messages: u64, commits: u64) {
        if self.0 && messages.is_multiple_of(REPORT_EVERY) {
            eprint!("\r{messages} messages, {commits} commits");
        }
    }

    fn clear(&mut self) {
        if self.0 {
            eprint!("\r\x1b[K");
        }
    }
}
