//! Shows a Hudi table: its rows, its timeline, its files; or checks it.

use std::io::{BufWriter, Write, stdout};
use std::process::ExitCode;

use clap::{Args, Parser, ValueEnum};
use examples::{Failure, describe, finish, print_jsonl, print_table};
use hudi_core::checkpoint::KEY_PREFIX;
use hudi_core::instant::{Instant, State};
use hudi_core::schema::mapping;
use hudi_writer::{ReadOptions, Table, check_table};

/// Shows a Hudi table.
#[derive(Debug, Parser)]
struct Arguments {
    /// The table: a folder's path, file:///… or s3://…
    #[arg(long)]
    table: String,
    #[command(flatten)]
    what: What,
    /// How rows are printed.
    #[arg(long, default_value = "table", conflicts_with_all = ["timeline", "files", "check"])]
    output: Output,
    /// With Hudi's meta columns.
    #[arg(long, conflicts_with_all = ["timeline", "files", "check"])]
    meta: bool,
    /// Rows that are shown as a table.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

/// What is shown; the rows of a snapshot where nothing is named.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct What {
    /// The rows of a query.
    #[arg(long, default_value = "snapshot")]
    query: Query,
    /// The instants, with what each did.
    #[arg(long)]
    timeline: bool,
    /// The files that a snapshot reads.
    #[arg(long)]
    files: bool,
    /// Compares the table with itself: fails if anything is wrong.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Query {
    Snapshot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Jsonl,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    finish(inspect(&arguments).await)
}

async fn inspect(arguments: &Arguments) -> Result<(), Failure> {
    let table = Table::open(&arguments.table).await?;
    if arguments.what.timeline {
        return timeline(&table).await;
    }
    if arguments.what.files {
        return files(&table).await;
    }
    if arguments.what.check {
        return check(&table).await;
    }
    let Query::Snapshot = arguments.what.query;
    let rows = table.snapshot(&ReadOptions { meta_columns: arguments.meta, ..ReadOptions::default() }).await?;
    let out = BufWriter::new(stdout().lock());
    match arguments.output {
        Output::Jsonl => print_jsonl(rows, out).await,
        Output::Table => print_table(rows, arguments.limit, out).await,
    }
}

async fn timeline(table: &Table) -> Result<(), Failure> {
    let mut out = BufWriter::new(stdout().lock());
    for instant in table.timeline().instants() {
        write!(out, "{} {} {}", instant.time, instant.action.as_str(), state(instant))?;
        if instant.is_completed() && instant.action.is_write() {
            let metadata = table.commit_metadata(instant).await?;
            write!(out, ": {}, {} files", describe(&metadata), metadata.write_stats().count())?;
            let ours = |key: &str| key.starts_with(KEY_PREFIX) || key == mapping::KEY;
            for (key, value) in metadata.extra_metadata.iter().filter(|(key, _)| ours(key)) {
                write!(out, "\n    {key} {value}")?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn state(instant: &Instant) -> &'static str {
    match instant.state {
        State::Requested => "requested",
        State::Inflight => "inflight",
        State::Completed { .. } => "completed",
    }
}

async fn files(table: &Table) -> Result<(), Failure> {
    let mut out = BufWriter::new(stdout().lock());
    for file in table.files().await? {
        writeln!(out, "{:>12} {}", file.size_bytes, file.path)?;
    }
    Ok(())
}

async fn check(table: &Table) -> Result<(), Failure> {
    let report = check_table(table).await?;
    for problem in &report.problems {
        println!("{problem}");
    }
    println!("{} files, {} rows, {} problems", report.files, report.rows, report.problems.len());
    if report.is_ok() { Ok(()) } else { Err(Failure::failed("the table is not what its timeline says")) }
}
