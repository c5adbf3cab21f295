//! What earlier commits carry for later ones: the pipelines' checkpoints, and where the sources' columns stand.

use std::collections::BTreeMap;

use hudi_core::checkpoint::{Checkpoint, KEY_PREFIX};
use hudi_core::commit::CommitMetadata;
use hudi_core::schema::{ColumnMap, mapping};

use super::state::Table;
use crate::error::{Error, Result, format};

/// Where a commit keeps the schema of tables that are evolved with column ids.
const SCHEMA_ON_READ: &str = "latest_schema";

/// The checkpoints that the newest commit with any carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// Text by key, of all pipelines.
    pub(crate) checkpoints: BTreeMap<String, String>,
    /// Text.
    columns: Option<String>,
}

impl History {
    /// What a commit carries; `None` where it carries nothing of ours.
    pub(crate) fn of(metadata: &CommitMetadata) -> Option<Self> {
        let ours = metadata.extra_metadata.iter().filter(|(key, _)| key.starts_with(KEY_PREFIX));
        let checkpoints: BTreeMap<_, _> = ours.map(|(key, value)| (key.clone(), value.clone())).collect();
        let columns = metadata.extra_metadata.get(mapping::KEY).cloned();
        (!checkpoints.is_empty()).then_some(Self { checkpoints, columns })
    }

    /// Where the sources' columns stand.
    pub(crate) fn columns(&self) -> Result<ColumnMap> {
        self.columns.as_deref().map(ColumnMap::parse).transpose().map_err(format).map(Option::unwrap_or_default)
    }

    /// The checkpoint of one pipeline; a new one where it has none.
    pub(crate) fn checkpoint(&self, pipeline: &str) -> Result<Checkpoint> {
        match self.checkpoints.get(&Checkpoint::key(pipeline)) {
            Some(text) => Checkpoint::parse(text).map_err(format),
            None => Ok(Checkpoint::default()),
        }
    }
}

impl Table {
    /// Where the sources' columns stand, as the newest commit of ours says.
    ///
    /// # Errors
    /// Whatever the store says; [`Error::Format`] where it cannot be read.
    pub async fn column_map(&self) -> Result<ColumnMap> {
        for instant in self.timeline.completed_writes().rev() {
            if let Some(history) = History::of(&self.commit_metadata(instant).await?) {
                return history.columns();
            }
        }
        Ok(ColumnMap::default())
    }
}

/// Looks for checkpoints from the newest commit back; commits of others, which carry none, are looked past.
pub(crate) async fn read_history(table: &Table) -> Result<History> {
    let mut looked_at = 0;
    for instant in table.timeline.completed_writes().rev() {
        let metadata = table.commit_metadata(instant).await?;
        if looked_at == 0 && metadata.extra_metadata.contains_key(SCHEMA_ON_READ) {
            let why = "its column ids would be lost: we keep no schema history";
            return Err(Error::refused(
                format!("a table with schema-on-read (`{SCHEMA_ON_READ}` in {})", instant.time),
                why,
            ));
        }
        if let Some(history) = History::of(&metadata) {
            return Ok(history);
        }
        looked_at += 1;
    }
    if looked_at > 0 {
        let why = format!(
            "none of its {looked_at} commits carries one, so what was written cannot be told from what was not"
        );
        return Err(Error::refused("a table without a checkpoint", why));
    }
    Ok(History::default())
}
