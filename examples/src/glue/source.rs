//! [`OpenTable`]: a table of the writer's, as a sync reads it.

use std::collections::BTreeSet;

use arrow::datatypes::Schema;
use async_trait::async_trait;
use glue_catalog::HudiTable;
use glue_catalog::source::SourceError;
use hudi_core::commit::CommitMetadata;
use hudi_core::instant::Instant;
use hudi_core::properties::TableProperties;
use hudi_core::timeline::Timeline;
use hudi_writer::Table;

/// A table at one moment, and where engines find it.
#[derive(Debug, Clone)]
pub struct OpenTable {
    table: Table,
    location: String,
}

impl OpenTable {
    /// A table that engines find at this place.
    pub fn at(table: Table, location: impl Into<String>) -> Self {
        Self { table, location: location.into() }
    }
}

#[async_trait]
impl HudiTable for OpenTable {
    fn location(&self) -> &str {
        &self.location
    }

    fn properties(&self) -> &TableProperties {
        self.table.properties()
    }

    fn timeline(&self) -> &Timeline {
        self.table.timeline()
    }

    fn columns(&self) -> Option<&Schema> {
        self.table.columns().map(AsRef::as_ref)
    }

    async fn commit_metadata(&self, instant: &Instant) -> Result<CommitMetadata, SourceError> {
        Ok(self.table.commit_metadata(instant).await?)
    }

    async fn partitions(&self) -> Result<BTreeSet<String>, SourceError> {
        Ok(self.table.files().await?.into_iter().map(|file| file.partition).collect())
    }
}
