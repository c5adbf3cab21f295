//! A table in a minute: some thousand real changes of an orders table, as a database's connector sent them, become a Hudi
//! table in a folder, or wherever it is told. Run again, and there is nothing to do: the table knows how far it got.

use std::io::stdout;
use std::process::ExitCode;

use cdc_decoders::Decoder;
use cdc_decoders::debezium::{DebeziumJson, DeclaredSchema};
use clap::Parser;
use examples::{Failure, Given, Pipeline, TableTemplate, describe, finish, print_table};
use hudi_writer::{NewTable, ReadOptions, Table, TableWriter, check_table};
use kafka_source::{CaptureReader, CapturedRecord};

/// Messages of Debezium on PostgreSQL, without inline schema.
const CAPTURE: &[u8] = include_bytes!("../../data/orders.jsonl.gz");
/// Their schema, as Debezium would write it inline.
const SCHEMA: &str = include_str!("../../data/orders.schema.json");
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
    let table = TableTemplate { table: NewTable::new("orders", ["id"]), given: Given::default() };
    let decoder = |_: Option<&TableWriter>| -> Result<Box<dyn Decoder>, Failure> {
        Ok(Box::new(DebeziumJson::builder().declared(DeclaredSchema::from_json(SCHEMA)?).build()?))
    };
    let mut pipeline =
        Pipeline::open(TableWriter::builder(place), table, decoder).await?.commit_every_rows(COMMIT_EVERY_ROWS);
    let mut capture = CaptureReader::from_reader("the embedded capture", CAPTURE)?;
    let mut record = CapturedRecord::default();
    while capture.read_next(&mut record)? {
        pipeline.feed(std::mem::take(&mut record)).await?;
    }
    let done = pipeline.finish().await?;
    show(place).await?;
    match done.commits {
        0 => println!("Nothing to do: all of it was in the table already."),
        commits => println!("{commits} commits: {} upserts, {} deletes.", done.upserts, done.deletes),
    }
    println!("The table is in {place}");
    Ok(())
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
