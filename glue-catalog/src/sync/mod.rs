//! [`GlueSync`]: makes Glue say what a table says.
//!
//! ```text
//!  GetTable ─► which commits since ─► partitions: create, update, delete ─► UpdateTable, the instant with it
//!     1 call      the table's own           one call for 100, 25                 1 call, on the version read
//! ```
//!
//! The instant up to which a table was synced is written last, with the table. So a sync that dies anywhere is taken up by the next
//! one, which does the same things again; and where the instant is the newest, there is nothing to do. Outside the table's
//! transaction: it comes after the commit, and its failure is none of the commit's.

mod applying;
mod planning;
mod reading;
mod stamp;

use std::sync::Arc;

use crate::calls::Calls;
use crate::catalog::{Catalog, CatalogError, ErrorKind};
use crate::clock::Clock;
use crate::desired::Desired;
use crate::error::{Error, Result};
use crate::known::Known;
use crate::model::{Table, TableId};
use crate::plan::{Outcome, Outlook, Plan, TableReport};
use crate::settings::SyncSettings;
use crate::source::HudiTable;

use applying::Done;
use planning::Job;
use reading::Reading;
use stamp::Stamp;

/// How often a table is read again because others changed it meanwhile.
const MAX_TRIES: u32 = 6;

/// Syncs tables to one catalog. Keep it: it remembers the pace that Glue allows, and the partitions that it has seen there.
#[derive(Debug)]
pub struct GlueSync {
    calls: Calls,
    known: Known,
}

impl GlueSync {
    /// Syncs to this catalog.
    pub fn new(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self { calls: Calls::new(catalog, clock), known: Known::default() }
    }

    /// What a sync would do, one plan for each table of Glue. Reads only.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub async fn plan(&self, table: &dyn HudiTable, settings: &SyncSettings) -> Result<Vec<Plan>> {
        let Some(desired) = desired(table, settings)? else { return Ok(Vec::new()) };
        let mut reading = Reading::of(table);
        let mut plans = Vec::new();
        for job in desired.jobs(settings) {
            let mut plan = self.plan_table(&job, &mut reading).await?;
            self.open_eyes(&mut plan).await?;
            plans.push(plan);
        }
        Ok(plans)
    }

    /// Makes Glue say what the table says, one report for each table of Glue; none before the first commit with rows.
    ///
    /// Dropped half-way, or failed, it leaves Glue somewhere between; the next sync completes it.
    ///
    /// # Errors
    /// What Glue cannot hold is found before anything of that table is written: [`Error::Schema`], [`Error::Setting`],
    /// [`Error::SameName`], [`Error::Partition`], [`Error::OtherLocation`], [`Error::OtherPartitionKeys`],
    /// [`Error::NotATable`]. [`Error::Source`] where the table cannot be read, [`Error::Catalog`] for what Glue says,
    /// [`Error::Contended`] where others never let go.
    pub async fn sync(&self, table: &dyn HudiTable, settings: &SyncSettings) -> Result<Vec<TableReport>> {
        let Some(desired) = desired(table, settings)? else { return Ok(Vec::new()) };
        let mut reading = Reading::of(table);
        let mut reports = Vec::new();
        for job in desired.jobs(settings) {
            reports.push(self.sync_table(&job, &mut reading).await?);
        }
        Ok(reports)
    }

    async fn sync_table(&self, job: &Job<'_>, reading: &mut Reading<'_>) -> Result<TableReport> {
        let mut done = Done::default();
        let stamp = Stamp::of(reading.table.timeline());
        for tries in 1..=MAX_TRIES {
            let plan = self.plan_table(job, reading).await?;
            for warning in &plan.warnings {
                tracing::warn!(table = %job.id, "{warning}");
            }
            match &plan.outlook {
                Outlook::NothingYet => return Ok(done.report(job, Outcome::NothingYet)),
                Outlook::Behind(synced) => {
                    if done.touched_partitions() {
                        self.distrust(&job.id).await.map_err(catalog_error(&job.id))?;
                    }
                    return Ok(done.report(job, Outcome::Behind { synced: synced.clone() }));
                }
                Outlook::Sync => {}
            }
            if self.apply(job, plan, &stamp, &mut done).await.map_err(catalog_error(&job.id))? {
                let outcome = if done.wrote { Outcome::Synced } else { Outcome::Unchanged };
                return Ok(done.report(job, outcome));
            }
            self.calls.wait(tries).await;
        }
        Err(Error::Contended { table: job.id.to_string(), tries: MAX_TRIES })
    }

    /// Takes away the instant up to which the table was synced: the next sync compares everything.
    ///
    /// For a sync that was overtaken after it wrote partitions: what it made the other may have removed before, and the other way
    /// round.
    async fn distrust(&self, table: &TableId) -> Result<(), CatalogError> {
        for tries in 1..=MAX_TRIES {
            let Some(mut found) = self.calls.run(|catalog| catalog.get_table(table)).await? else { return Ok(()) };
            if Stamp::read(&found) == Stamp::default() {
                return Ok(());
            }
            Stamp::default().write(&mut found);
            match self.update(table, &found).await {
                Err(error) if matches!(error.kind, ErrorKind::Conflict | ErrorKind::NotFound) => {}
                other => return other,
            }
            self.calls.wait(tries).await;
        }
        Ok(())
    }

    async fn update(&self, id: &TableId, table: &Table) -> Result<(), CatalogError> {
        self.calls.run(|catalog| catalog.update_table(id, table, true)).await
    }
}

/// What Glue must hold; `None` before the first commit with rows.
fn desired(table: &dyn HudiTable, settings: &SyncSettings) -> Result<Option<Desired>> {
    let has_commits = table.timeline().completed_writes().next().is_some();
    let columns = table.columns().filter(|_| has_commits);
    columns.map(|columns| Desired::of(table.location(), table.properties(), columns, settings)).transpose()
}

fn catalog_error(table: &TableId) -> impl Fn(CatalogError) -> Error {
    let table = table.to_string();
    move |source| Error::Catalog { table: table.clone(), source }
}
