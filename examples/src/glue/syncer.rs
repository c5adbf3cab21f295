//! [`Syncer`]: makes Glue say what a table says, once.

use std::fmt;
use std::sync::Arc;

use glue_catalog::catalog::Catalog;
use glue_catalog::targets::{targets, verify_distinct};
use glue_catalog::{GlueSync, HudiTable, Outcome, Plan, SyncSettings, TableReport};
use hudi_writer::{Clock, Table};

use super::clock::GlueClock;
use super::names::NameTemplate;
use super::source::OpenTable;
use crate::Failure;

/// How often a table is opened anew because somebody synced it who saw a newer one.
const TRIES: u32 = 3;

/// What tables are to be in Glue.
#[derive(Debug, Clone)]
pub struct GlueTargets {
    /// The database.
    pub database: NameTemplate,
    /// The table.
    pub table: NameTemplate,
    /// Everything else, of all of them.
    pub usual: SyncSettings,
}

/// Where engines find a table.
type Place = Box<dyn Fn(&Table) -> String + Send + Sync>;

/// Makes Glue say what tables say. Keep it: it remembers the pace that Glue allows.
pub struct Syncer {
    sync: GlueSync,
    targets: GlueTargets,
    place: Place,
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer").field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl Syncer {
    /// Syncs to this catalog.
    pub fn new(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>, targets: GlueTargets) -> Self {
        let sync = GlueSync::new(catalog, Arc::new(GlueClock(clock)));
        Self { sync, targets, place: Box::new(|table| table.url().to_owned()) }
    }

    /// Where engines find tables elsewhere than we do: through a mount of the bucket, for one.
    #[must_use]
    pub fn found_at(self, place: impl Fn(&Table) -> String + Send + Sync + 'static) -> Self {
        Self { place: Box::new(place), ..self }
    }

    /// With other targets.
    #[must_use]
    pub fn with(self, targets: GlueTargets) -> Self {
        Self { targets, ..self }
    }

    /// Refuses tables that would have one name in Glue. Those that cannot be opened are passed over: their sync tells.
    ///
    /// # Errors
    /// [`Failure::Usage`] with the first two.
    pub async fn verify_distinct(&self, urls: &[String]) -> Result<(), Failure> {
        let mut names = vec![];
        for url in urls {
            let Ok(table) = self.open(url).await else { continue };
            let settings = self.settings(&table)?;
            let all = targets(table.properties().name(), table.properties().table_type(), &settings)?;
            names.extend(all.into_iter().map(|of| (url.clone(), format!("{}.{}", settings.database, of.name))));
        }
        Ok(verify_distinct(names)?)
    }

    /// What a sync of the table at this place would do. Writes nothing.
    ///
    /// # Errors
    /// As [`Syncer::sync`].
    pub async fn plan(&self, url: &str) -> Result<Vec<Plan>, Failure> {
        let table = self.open(url).await?;
        Ok(self.sync.plan(&table, &self.settings(&table)?).await?)
    }

    /// Makes Glue say what the table at this place says. It is opened for that: what others committed is synced too.
    ///
    /// Dropped half-way, the next sync completes it.
    ///
    /// # Errors
    /// [`Failure::Usage`] for what Glue cannot hold or is not to replace; [`Failure::Failed`] where the table cannot be read, or Glue refuses.
    pub async fn sync(&self, url: &str) -> Result<Vec<TableReport>, Failure> {
        let mut tries = 1;
        loop {
            let table = self.open(url).await?;
            let reports = self.sync.sync(&table, &self.settings(&table)?).await?;
            let is_behind = reports.iter().any(|report| matches!(report.outcome, Outcome::Behind { .. }));
            if !is_behind || tries == TRIES {
                return Ok(reports);
            }
            tries += 1;
        }
    }

    async fn open(&self, url: &str) -> Result<OpenTable, Failure> {
        let table = Table::open(url).await?;
        let place = (self.place)(&table);
        Ok(OpenTable::at(table, place))
    }

    fn settings(&self, table: &OpenTable) -> Result<SyncSettings, Failure> {
        let name = |template: &NameTemplate| template.of(table.properties().name(), table.location());
        let (database, table_name) = (name(&self.targets.database)?, Some(name(&self.targets.table)?));
        Ok(SyncSettings { database, table_name, ..self.targets.usual.clone() })
    }
}

impl From<glue_catalog::Error> for Failure {
    fn from(error: glue_catalog::Error) -> Self {
        use glue_catalog::Error::{Catalog, Contended, Source};
        let message = crate::exit::chain(&error);
        match error {
            Catalog { .. } | Contended { .. } | Source { .. } => Self::Failed(message),
            _ => Self::Usage(message),
        }
    }
}
