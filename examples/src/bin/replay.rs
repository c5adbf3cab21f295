//! Replays a capture of Kafka records into Hudi tables, from where the tables' checkpoints say.
//!
//! The last line on standard output is one JSON object: what was done, and how far the table got. With several tables it
//! holds the sums, and the same of each topic's table.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cdc_decoders::Decoded;
use clap::{Args, Parser, ValueEnum};
use examples::{
    Decoders, Failure, FormatOptions, IndexOption, LetterSettings, OnBadMessage, ReplaySettings, Replayer, Route,
    Summary, UrlTemplate, finish, parse_property, replay_letters,
};
use hudi_writer::ingest::{Given, TableTemplate};
use hudi_writer::{
    ForeignPending, Mode, NewTable, OnSchemaConflict, SecondSnapshot, SourceWentBack, Table, TableWriter,
    WriterSettings,
};
use kafka_source::{CaptureReader, CapturedRecord};
use serde::Serialize;

/// Messages between two reports of progress.
const REPORT_EVERY: u64 = 10_000;

/// Replays a capture into Hudi tables.
#[derive(Debug, Parser)]
struct Arguments {
    /// The capture: one Kafka record a line, as JSON with base64; plain or gzip.
    #[arg(long, required_unless_present = "dead_letters")]
    input: Option<PathBuf>,
    /// In place of a capture: the dead letters that this table keeps, sent again into it, or into --table.
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["input", "tables"])]
    dead_letters: Option<String>,
    /// With --dead-letters: rows that may have been deleted since come back.
    #[arg(long, requires = "dead_letters")]
    may_return: bool,
    #[command(flatten)]
    format: FormatOptions,
    #[command(flatten)]
    target: Target,
    /// The topic; needed where the capture has several with rows and they go to one table.
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
    /// Whose checkpoint the commits carry.
    #[arg(long, default_value = "default")]
    pipeline: String,
    /// What is done about a source that was restored or failed over, and sends other changes in place of earlier ones.
    #[arg(long, default_value = "stop")]
    on_source_went_back: OnSourceWentBack,
    /// What is done about rows that a later full snapshot of the source does not have. The messages end where they end: replace only
    /// where all of them are there.
    #[arg(long = "resnapshot", default_value = "keep")]
    on_second_snapshot: OnSecondSnapshot,
    /// What becomes of changes; for a table's whole life. Default: upsert.
    #[arg(long)]
    mode: Option<ModeOption>,
    /// What is done with a column that comes to mean something else than the table's of its name.
    #[arg(long, default_value = "stop")]
    on_schema_conflict: SchemaConflict,
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

/// Where the rows go.
#[derive(Debug, Args)]
#[group(required = false, multiple = false)]
struct Target {
    /// The table: a folder's path, file:///… or s3://…
    #[arg(long)]
    table: Option<String>,
    /// A table for each topic with rows: the same with {topic}, {db}, {schema}, {table} in it, taken from the topic's name.
    #[arg(long, value_name = "URL-TEMPLATE")]
    tables: Option<UrlTemplate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TableType {
    Cow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeOption {
    /// A key's newest change is its row; a deleted row is gone.
    Upsert,
    /// The same, but a deleted row stays, marked.
    Soft,
    /// Every change is a row.
    History,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaConflict {
    /// Nothing is written.
    Stop,
    /// It goes on in a new column: `amount_v2`.
    NewColumn,
    /// The rows that have a value in it are kept beside the table.
    DeadLetter,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnSecondSnapshot {
    /// They stay.
    Keep,
    /// They are deleted: what deleted them at the source was never sent.
    Replace,
}

/// What was done to all tables.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    sums: &'a Summary,
    tables: BTreeMap<&'a str, Done<'a>>,
}

/// What was done to one of them.
#[derive(Debug, Serialize)]
struct Done<'a> {
    table: &'a str,
    #[serde(flatten)]
    summary: &'a Summary,
}

#[tokio::main]
async fn main() -> ExitCode {
    finish(replay(Arguments::parse()).await)
}

async fn replay(arguments: Arguments) -> Result<(), Failure> {
    let decoders = arguments.format.decoders()?;
    if let Some(from) = &arguments.dead_letters {
        return letters(&arguments, &decoders, from).await;
    }
    let tables = tables(&arguments, &decoders).await?;
    let on_bad = if arguments.stop_on_bad_message { OnBadMessage::Stop } else { OnBadMessage::DeadLetter };
    let rows = arguments.commit_every_rows.map_or(usize::MAX, |rows| rows as usize);
    let replay = ReplaySettings { commit_every_rows: rows, ..ReplaySettings::default() };
    let routes = tables.iter().map(|(topic, table)| (topic.clone(), route(&arguments, table)));
    let replayer = Replayer::open(replay, decoders.into_feed(on_bad), routes).await?;
    let (summaries, failures) = feed(&arguments, &tables, replayer).await?;
    let clamped: u64 = summaries.values().map(|summary| summary.clamped).sum();
    if clamped > 0 {
        eprintln!("{clamped} dates and times outside the years 1 to 9999 were moved to the ends of that range");
    }
    if arguments.target.tables.is_some() || failures.is_empty() {
        writeln!(std::io::stdout(), "{}", last_line(&arguments, &tables, &summaries)?)?;
    }
    failed(failures)
}

/// Sends the dead letters of a table again.
async fn letters(arguments: &Arguments, decoders: &Decoders, from: &str) -> Result<(), Failure> {
    let into = arguments.target.table.as_deref().unwrap_or(from);
    let builder = TableWriter::builder(into).settings(settings(arguments));
    let how = LetterSettings { may_return: arguments.may_return };
    let done = replay_letters(&Table::open(from).await?, builder, decoders, &arguments.key, how).await?;
    let text = serde_json::to_string(&done).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// What was done, by topic, and what failed.
type Ended = (BTreeMap<String, Summary>, Vec<(String, Failure)>);

/// Feeds the tables to the end of the capture. One that fails is left behind, the others go on.
async fn feed(
    arguments: &Arguments,
    tables: &BTreeMap<String, String>,
    mut replayer: Replayer,
) -> Result<Ended, Failure> {
    let input = input(arguments)?;
    let mut reader = CaptureReader::open(input)?;
    let mut record = CapturedRecord::default();
    let (mut progress, mut messages) = (Progress::new(), 0);
    while !replayer.is_over() && reader.read_next(&mut record)? {
        if tables.contains_key(&record.topic) {
            replayer.feed(&record.as_message(&record.headers())).await?;
            messages += 1;
            progress.report(messages);
        }
    }
    progress.clear();
    if messages == 0 {
        let topics: Vec<&String> = tables.keys().collect();
        return Err(Failure::failed(format!("{}: no message of {topics:?}", input.display())));
    }
    replayer.finish().await
}

/// The only failure; or one that tells of all.
fn failed(mut failures: Vec<(String, Failure)>) -> Result<(), Failure> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.swap_remove(0).1),
        _ => {
            let text = |(topic, failure): &(String, Failure)| format!("{topic}: {failure}");
            Err(Failure::failed(failures.iter().map(text).collect::<Vec<_>>().join("; ")))
        }
    }
}

/// The topics and the tables that they go to.
async fn tables(arguments: &Arguments, decoders: &Decoders) -> Result<BTreeMap<String, String>, Failure> {
    let topics = topics(arguments, decoders).await?;
    match &arguments.target {
        Target { table: Some(table), .. } => Ok(BTreeMap::from([(the_topic(topics)?, table.clone())])),
        Target { tables: Some(template), .. } => template.urls(&topics),
        Target { .. } => Err(Failure::usage("want --table or --tables")),
    }
}

/// The table at a place.
fn route(arguments: &Arguments, place: &str) -> Route {
    let name = place.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let mut table = NewTable::new(name, &arguments.key).partition_by(&arguments.partition_by);
    table.partition_immutable = arguments.partition_immutable;
    table.index = arguments.index.map(|index| index.0);
    table.mode = match arguments.mode.unwrap_or(ModeOption::Upsert) {
        ModeOption::Upsert => Mode::Upsert,
        ModeOption::Soft => Mode::SoftDelete,
        ModeOption::History => Mode::History,
    };
    table.properties.clone_from(&arguments.properties);
    let given = Given {
        key: !arguments.key.is_empty(),
        partition_by: !arguments.partition_by.is_empty(),
        index: arguments.index.is_some(),
        mode: arguments.mode.is_some(),
    };
    let builder = TableWriter::builder(place).settings(settings(arguments));
    Route { table: place.to_owned(), template: TableTemplate::new(builder, table).given(given) }
}

fn last_line(
    arguments: &Arguments,
    tables: &BTreeMap<String, String>,
    summaries: &BTreeMap<String, Summary>,
) -> Result<String, Failure> {
    let mut sums = Summary::default();
    summaries.values().for_each(|summary| sums.add(summary));
    let done = |(topic, summary)| (String::as_str(topic), Done { table: &tables[topic], summary });
    let text = match summaries.values().next() {
        Some(only) if arguments.target.table.is_some() => serde_json::to_string(only),
        _ => serde_json::to_string(&Report { sums: &sums, tables: summaries.iter().map(done).collect() }),
    };
    text.map_err(|error| Failure::failed(error.to_string()))
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
    let on_schema_conflict = match arguments.on_schema_conflict {
        SchemaConflict::Stop => OnSchemaConflict::Stop,
        SchemaConflict::NewColumn => OnSchemaConflict::NewColumn,
        SchemaConflict::DeadLetter => OnSchemaConflict::DeadLetter,
    };
    let on_second_snapshot = match arguments.on_second_snapshot {
        OnSecondSnapshot::Keep => SecondSnapshot::Keep,
        OnSecondSnapshot::Replace => SecondSnapshot::Replace,
    };
    WriterSettings {
        pipeline: arguments.pipeline.clone(),
        on_source_went_back,
        on_second_snapshot,
        on_schema_conflict,
        foreign_pending,
        keyless_partitions: arguments.keyless_partitions,
        ..WriterSettings::default()
    }
}

/// The topics to read: the one named, or all that hold rows.
async fn topics(arguments: &Arguments, decoders: &Decoders) -> Result<Vec<String>, Failure> {
    if let Some(topic) = &arguments.topic {
        return Ok(vec![topic.clone()]);
    }
    let mut has_rows: BTreeMap<String, bool> = BTreeMap::new();
    let input = input(arguments)?;
    let mut reader = CaptureReader::open(input)?;
    let mut record = CapturedRecord::default();
    while reader.read_next(&mut record)? {
        if has_rows.get(&record.topic).is_none_or(|has_rows| !has_rows) {
            let mut decoder = decoders.decoder(&record.topic, &arguments.key, None)?;
            let headers = record.headers();
            let decoded = decoders.schemas.decode(&mut *decoder, &record.as_message(&headers)).await?;
            has_rows.insert(record.topic.clone(), !matches!(decoded, Ok(Decoded::Skipped(_))));
        }
    }
    let topics: Vec<String> = has_rows.into_iter().filter(|(_, has_rows)| *has_rows).map(|(topic, _)| topic).collect();
    if topics.is_empty() {
        return Err(Failure::failed(format!("{}: no message holds a row", input.display())));
    }
    Ok(topics)
}

fn input(arguments: &Arguments) -> Result<&Path, Failure> {
    arguments.input.as_deref().ok_or_else(|| Failure::usage("want --input"))
}

fn the_topic(mut topics: Vec<String>) -> Result<String, Failure> {
    match (topics.pop(), topics.is_empty()) {
        (Some(topic), true) => Ok(topic),
        (last, _) => {
            topics.extend(last);
            let several = topics.len();
            let advice = "name one with --topic, or give each a table with --tables";
            Err(Failure::usage(format!("the capture has {several} topics with rows: {advice}: {topics:?}")))
        }
    }
}

/// Progress on standard error, where a person sees it.
struct Progress(bool);

impl Progress {
    fn new() -> Self {
        Self(std::io::stderr().is_terminal())
    }

    fn report(&mut self, messages: u64) {
        if self.0 && messages.is_multiple_of(REPORT_EVERY) {
            eprint!("\r{messages} messages");
        }
    }

    fn clear(&mut self) {
        if self.0 {
            eprint!("\r\x1b[K");
        }
    }
}
