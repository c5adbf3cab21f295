//! Makes AWS Glue say what Hudi tables say, so that Athena finds them: one table, or all below a place.
//!
//! The last line tells what was done, as JSON. Where nothing changed nothing is written.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser};
use examples::config::{Config, GlueConfig};
use examples::glue::{SyncSummary, Syncer, syncer};
use examples::{Failure, finish};
use hudi_writer::{SystemClock, tables_below};

/// Makes AWS Glue say what Hudi tables say.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    tables: Tables,
    /// A file as `kafka_to_hudi` takes it, of which `[glue]` counts; options add to it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The database, with {name} and {parent} in it if there are to be several.
    #[arg(long)]
    database: Option<String>,
    /// What tables are called: {name} as their properties say, {parent} the folder that they stand in.
    #[arg(long, value_name = "TEMPLATE")]
    name: Option<String>,
    /// The catalog: an account's number. Default: the caller's own.
    #[arg(long)]
    catalog_id: Option<String>,
    /// The region.
    #[arg(long)]
    region: Option<String>,
    /// Where the service is, if not at AWS.
    #[arg(long)]
    endpoint: Option<String>,
    /// A role to assume: that of another account, to write to its catalog.
    #[arg(long)]
    role_arn: Option<String>,
    /// What the role's owner asks to be told.
    #[arg(long)]
    external_id: Option<String>,
    /// Whether Athena reads with its newer Hudi connector. Default: as it stands in Glue.
    #[arg(long)]
    native_connector: Option<bool>,
    /// Prints what would change, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Compares every partition, and not only those that commits since the last sync touched. For repairs.
    #[arg(long)]
    full: bool,
    /// Deletes a table of Glue that is at another place or has other partition keys, and makes it anew.
    #[arg(long)]
    recreate: bool,
}

/// Which tables.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Tables {
    /// The table: s3://…
    #[arg(long)]
    table: Option<String>,
    /// All tables below a place: s3://…
    #[arg(long)]
    below: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
    log.with_writer(std::io::stderr).init();
    finish(run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let glue = arguments.glue()?;
    let mut targets = glue.targets()?;
    targets.usual.full = arguments.full;
    targets.usual.recreate = arguments.recreate;
    let Some(syncer) = syncer(Some(&glue), Arc::new(SystemClock)).await? else { return Ok(()) };
    let syncer = syncer.with(targets);
    let tables = arguments.tables.find().await?;
    syncer.verify_distinct(&tables).await?;
    let (mut summary, mut failures) = (SyncSummary::default(), vec![]);
    for table in &tables {
        if let Err(failure) = one(&syncer, table, arguments.dry_run, &mut summary).await {
            failures.push((table, failure));
        }
    }
    summary.failed = failures.len();
    if arguments.tables.below.is_some() || failures.is_empty() {
        println!("{}", serde_json::to_string(&summary).map_err(|error| Failure::failed(error.to_string()))?);
    }
    failed(failures)
}

/// The only failure; or one that tells of all.
fn failed(mut failures: Vec<(&String, Failure)>) -> Result<(), Failure> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.swap_remove(0).1),
        _ => {
            let text = |(table, failure): &(&String, Failure)| format!("{table}: {failure}");
            Err(Failure::failed(failures.iter().map(text).collect::<Vec<_>>().join("; ")))
        }
    }
}

async fn one(syncer: &Syncer, table: &str, dry_run: bool, summary: &mut SyncSummary) -> Result<(), Failure> {
    if dry_run {
        for plan in syncer.plan(table).await? {
            println!("{plan}");
            summary.plan(&plan);
        }
        return Ok(());
    }
    for report in syncer.sync(table).await? {
        summary.take(&report)?;
    }
    Ok(())
}

impl Arguments {
    fn glue(&self) -> Result<GlueConfig, Failure> {
        let config = self.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let said = config.glue.unwrap_or_default();
        Ok(GlueConfig {
            database: self.database.clone().or(said.database),
            table: self.name.clone().or(said.table),
            catalog_id: self.catalog_id.clone().or(said.catalog_id),
            region: self.region.clone().or(said.region),
            endpoint: self.endpoint.clone().or(said.endpoint),
            role_arn: self.role_arn.clone().or(said.role_arn),
            external_id: self.external_id.clone().or(said.external_id),
            native_connector: self.native_connector.or(said.native_connector),
            ..said
        })
    }
}

impl Tables {
    async fn find(&self) -> Result<Vec<String>, Failure> {
        let Some(below) = &self.below else { return Ok(self.table.iter().cloned().collect()) };
        let tables = tables_below(below).await?;
        match tables.is_empty() {
            true => Err(Failure::failed(format!("there is no table below {below}"))),
            false => Ok(tables),
        }
    }
}
