//! A table in a minute: some thousand real changes of an orders table, as a database's connector sent them, become a Hudi
//! table in a folder, or wherever it is told. Run again, and there is nothing to do: the table knows how far it got.

use std::io::stdout;
use std::process::ExitCode;

use cdc_decoders::debezium::{DebeziumJson, DeclaredSchema};
use cdc_decoders::overrides::Overrides;
use clap::Parser;
use examples::{
    Failure, FeedSettings, OnBadMessage, ReplaySettings, Replayer, Route, Schemas, Summary, describe, finish,
    print_table,
};
use hudi_writer::ingest::TableTemplate;
use hudi_writer::{NewTable, ReadOptions, Table, TableWriter, check_table};
use kafka_source::{CaptureReader, CapturedRecord};

/// Messages of Debezium on PostgreSQL, without inline schema.
const CAPTURE: &[u8] = include_bytes!("../../data/orders.jsonl.gz");
/// Their schema, as Debezium would write it inline.
const SCHEMA: &str = include_str!("../../data/orders.schema.json");
const TOPIC: &str = "pg_dev_13.json.public.orders";
/// Changes of one commit.
const COMMIT_EVERY_ROWS: usize = 1000;

/// Makes a table of changes that are built in.
#[derive(Debug, Parser)]
struct Arguments {
    /// The table: a folder's path, file:///… or s3://…
    #[arg(long, default_value = "quickstart-table")]
    table: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    finish(quickstart(&Arguments::parse().table).await)
}

async fn quickstart(place: &str) -> Result<(), Failure> {
    let done = replay(place).await?;
    show(place).await?;
    match done.commits {
        0 => println!("Nothing to do: all of it was in the table already."),
        commits => println!("{commits} commits: {} upserts, {} deletes.", done.upserts, done.deletes),
    }
    println!("The table is in {place}");
    Ok(())
}

async fn replay(place: &str) -> Result<Summary, Failure> {
    let schema = DeclaredSchema::from_json(SCHEMA)?;
    let feed = FeedSettings {
        decoders: Box::new(move |_, _, _| Ok(Box::new(DebeziumJson::builder().declared(schema.clone()).build()?))),
        schemas: Schemas::None,
        overrides: Overrides::default(),
        on_bad: OnBadMessage::DeadLetter,
    };
    let template = TableTemplate::new(TableWriter::builder(place), NewTable::new("orders", ["id"]));
    let route = (TOPIC.to_owned(), Route { table: place.to_owned(), template });
    let settings = ReplaySettings { commit_every_rows: COMMIT_EVERY_ROWS, ..ReplaySettings::default() };
    let mut replayer = Replayer::open(settings, feed, [route]).await?;
    let mut capture = CaptureReader::from_reader("the embedded capture", CAPTURE)?;
    let mut record = CapturedRecord::default();
    while capture.read_next(&mut record)? {
        replayer.feed(&record.as_message(&record.headers())).await?;
    }
    let (mut done, failures) = replayer.finish().await?;
    failures.into_iter().next().map_or(Ok(()), |(_, failure)| Err(failure))?;
    Ok(done.remove(TOPIC).unwrap_or_default())
}

async fn show(place: &str) -> Result<(), Failure> {
    let table = Table::open(place).await?;
    println!("Timeline:");
    for instant in table.timeline().completed() {
        let metadata = table.commit_metadata(instant).await?;
        println!("  {} {}: {}", instant.time, instant.action.as_str(), describe(&metadata));
    }
    println!("Rows:");
    print_table(table.snapshot(&ReadOptions::default()).await?, 10, stdout().lock()).await?;
    let report = check_table(&table).await?;
    println!("Check: {} files, {} rows, {} problems", report.files, report.rows, report.problems.len());
    Ok(())
}
