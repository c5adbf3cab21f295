//! Does what a plan says: the second half of a sync. Partitions first, the table with the instant last.

use crate::calls::Place;
use crate::catalog::{CatalogError, ErrorKind};
use crate::difference::{Change, merge};
use crate::model::{Partition, StorageDescriptor, Table};
use crate::plan::{Outcome, Plan, TableReport, TableStep, Warning};

use super::GlueSync;
use super::planning::{Job, put_right};
use super::stamp::Stamp;

/// What a sync did to one table so far, over all its tries.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) wrote: bool,
    changes: Vec<Change>,
    added: usize,
    updated: usize,
    dropped: usize,
    warnings: Vec<Warning>,
}

impl Done {
    pub(super) fn touched_partitions(&self) -> bool {
        self.added + self.updated + self.dropped > 0
    }

    pub(super) fn report(self, job: &Job<'_>, outcome: Outcome) -> TableReport {
        let Self { changes, added, updated, dropped, warnings, .. } = self;
        TableReport { table: job.id.clone(), outcome, changes, added, updated, dropped, warnings }
    }
}

impl GlueSync {
    /// Does what the plan says; `false` where others changed the table meanwhile, so that another plan must be made.
    pub(super) async fn apply(
        &self,
        job: &Job<'_>,
        plan: Plan,
        stamp: &Stamp,
        done: &mut Done,
    ) -> Result<bool, CatalogError> {
        done.warnings.clone_from(&plan.warnings);
        match self.carry_out(job, &plan, stamp, done).await {
            Ok(is_done) => {
                if is_done {
                    done.changes.extend(plan.changes);
                }
                Ok(is_done)
            }
            // Made, changed or removed by somebody else since it was read; or by ourselves, in a call without answer.
            Err(error)
                if matches!(error.kind, ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::NotFound) =>
            {
                tracing::debug!(table = %job.id, %error, "Glue's table is read again");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn carry_out(
        &self,
        job: &Job<'_>,
        plan: &Plan,
        stamp: &Stamp,
        done: &mut Done,
    ) -> Result<bool, CatalogError> {
        match &plan.step {
            TableStep::Create(table) => self.create(job, plan, table, stamp, done).await,
            TableStep::Recreate(table) => {
                done.wrote = true;
                match self.calls.run(|catalog| catalog.delete_table(&job.id)).await {
                    Err(error) if error.kind != ErrorKind::NotFound => Err(error),
                    _ => self.create(job, plan, table, stamp, done).await,
                }
            }
            TableStep::Keep { merged, stamp: is_due } => {
                if !self.write_partitions(job, plan, &merged.storage, done).await? {
                    return Ok(false);
                }
                for index in &plan.indexes {
                    done.wrote = true;
                    match self.calls.run(|catalog| catalog.create_partition_index(&job.id, index)).await {
                        Err(error) if error.kind != ErrorKind::AlreadyExists => return Err(error),
                        _ => {}
                    }
                }
                if *is_due {
                    let mut table = (**merged).clone();
                    stamp.write(&mut table);
                    self.finish(job, plan, &table, done).await?;
                }
                Ok(true)
            }
        }
    }

    async fn create(
        &self,
        job: &Job<'_>,
        plan: &Plan,
        table: &Table,
        stamp: &Stamp,
        done: &mut Done,
    ) -> Result<bool, CatalogError> {
        let mut table = table.clone();
        if job.scheme.is_empty() {
            stamp.write(&mut table);
        }
        done.wrote = true;
        self.create_table(job, plan, &table).await?;
        if job.scheme.is_empty() {
            return Ok(true);
        }
        if !self.write_partitions(job, plan, &table.storage, done).await? {
            return Ok(false);
        }
        let found = self.calls.run(|catalog| catalog.get_table(&job.id)).await?;
        let Some(found) = found.filter(|found| Stamp::read(found) == Stamp::default()) else { return Ok(false) };
        let mut merged = merge(&found, job.desired);
        stamp.write(&mut merged);
        self.finish(job, plan, &merged, done).await?;
        Ok(true)
    }

    async fn create_table(&self, job: &Job<'_>, plan: &Plan, table: &Table) -> Result<(), CatalogError> {
        let create = || self.calls.run(|catalog| catalog.create_table(&job.id, table, &plan.indexes));
        let error = match create().await {
            Err(error) if error.kind == ErrorKind::NotFound => error,
            other => return other,
        };
        if !job.settings.create_database {
            return Err(CatalogError { kind: ErrorKind::Refused, ..error });
        }
        let (catalog_id, database) = (job.id.catalog_id.as_deref(), job.id.database.as_str());
        match self.calls.run(|catalog| catalog.create_database(catalog_id, database)).await {
            Err(error) if error.kind != ErrorKind::AlreadyExists => Err(error),
            _ => create().await,
        }
    }

    /// The last call: the table, with the instant up to which it is synced now.
    async fn finish(&self, job: &Job<'_>, plan: &Plan, table: &Table, done: &mut Done) -> Result<(), CatalogError> {
        let skip_archive = job.settings.skip_archive;
        self.calls.run(|catalog| catalog.update_table(&job.id, table, skip_archive)).await?;
        done.wrote = true;
        let there = plan.add.iter().map(|place| place.path.as_str());
        self.known.note(&job.id, (plan.found.as_ref(), table), there, !plan.drop.is_empty());
        Ok(())
    }

    /// `false` where a partition was there and is gone.
    async fn write_partitions(
        &self,
        job: &Job<'_>,
        plan: &Plan,
        storage: &StorageDescriptor,
        done: &mut Done,
    ) -> Result<bool, CatalogError> {
        let (mut is_complete, mut updates) = (true, plan.update.clone());
        if !plan.add.is_empty() {
            done.wrote = true;
            let existing = self.calls.create_partitions(&job.id, &plan.add, storage).await?;
            done.added += plan.add.len() - existing.len();
            if !existing.is_empty() {
                let existing: Vec<Place> =
                    plan.add.iter().filter(|place| existing.contains(&place.values)).cloned().collect();
                is_complete &= self.judge_existing(job, &existing, storage, &mut updates).await?;
            }
        }
        if !updates.is_empty() {
            done.wrote = true;
            let gone = self.calls.update_partitions(&job.id, &updates, storage).await?;
            done.updated += updates.len() - gone.len();
            is_complete &= gone.is_empty();
        }
        if !plan.drop.is_empty() {
            done.wrote = true;
            let gone = self.calls.delete_partitions(&job.id, &plan.drop).await?;
            done.dropped += plan.drop.len() - gone.len();
        }
        Ok(is_complete)
    }

    /// Looks at the partitions that were there already, which others may have put elsewhere; `false` where one is gone.
    async fn judge_existing(
        &self,
        job: &Job<'_>,
        existing: &[Place],
        storage: &StorageDescriptor,
        updates: &mut Vec<Partition>,
    ) -> Result<bool, CatalogError> {
        let values: Vec<Vec<String>> = existing.iter().map(|place| place.values.clone()).collect();
        let there = self.calls.fetch_partitions(&job.id, &values).await?;
        put_right(&there, existing, storage, updates);
        Ok(there.len() >= values.len())
    }
}
