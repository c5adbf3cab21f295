//! [`HudiTable`]: what a sync asks of the table.

use std::collections::BTreeSet;

use arrow::datatypes::Schema;
use async_trait::async_trait;
use hudi_core::commit::CommitMetadata;
use hudi_core::instant::Instant;
use hudi_core::properties::TableProperties;
use hudi_core::timeline::Timeline;

/// Why a table could not be read.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A table at one moment.
#[async_trait]
pub trait HudiTable: Send + Sync {
    /// Where it is: `s3://BUCKET/PREFIX`, letter by letter.
    fn location(&self) -> &str;

    /// Its properties.
    fn properties(&self) -> &TableProperties;

    /// Its instants.
    fn timeline(&self) -> &Timeline;

    /// Its columns, meta columns not among them; `None` before the first commit with rows.
    fn columns(&self) -> Option<&Schema>;

    /// The content of a completed write.
    async fn commit_metadata(&self, instant: &Instant) -> Result<CommitMetadata, SourceError>;

    /// The encoded paths of all partitions with data files; `""` alone for a table without partitions, nothing before the first file.
    /// Asked for where the commits since the last sync do not tell.
    async fn partitions(&self) -> Result<BTreeSet<String>, SourceError>;
}
