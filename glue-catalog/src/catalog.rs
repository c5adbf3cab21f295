//! [`Catalog`]: the calls of Glue's API that a sync makes, in types of our own.
//!
//! One method is one call. Whoever implements it checks nothing and repeats nothing: limits of the API, throttling and conflicts are
//! the sync's. Shapes and limits are those of the Glue service model.

use std::fmt;

use async_trait::async_trait;

use crate::model::{Partition, PartitionIndex, Table, TableId};

/// Most partitions of one `BatchCreatePartition` or `BatchUpdatePartition`.
pub const MAX_BATCH_WRITE: usize = 100;
/// Most partitions of one `BatchDeletePartition`.
pub const MAX_BATCH_DELETE: usize = 25;
/// Most partitions of one `BatchGetPartition`, and of one page of `GetPartitions`.
pub const MAX_BATCH_GET: usize = 1000;
/// Most segments of `GetPartitions`.
pub const MAX_SEGMENTS: u32 = 10;

/// Glue's Data Catalog.
#[async_trait]
pub trait Catalog: fmt::Debug + Send + Sync {
    /// `GetTable`; `None` where there is no such table, or no such database.
    async fn get_table(&self, table: &TableId) -> Result<Option<Table>, CatalogError>;

    /// `CreateDatabase`, of a name and nothing else.
    async fn create_database(&self, catalog_id: Option<&str>, name: &str) -> Result<(), CatalogError>;

    /// `CreateTable`, with indexes over its partitions.
    async fn create_table(&self, id: &TableId, table: &Table, indexes: &[PartitionIndex]) -> Result<(), CatalogError>;

    /// `UpdateTable`: replaces all of it, if the version is still the table's; `skip_archive` keeps no copy of the old one.
    async fn update_table(&self, id: &TableId, table: &Table, skip_archive: bool) -> Result<(), CatalogError>;

    /// `DeleteTable`, its partitions with it.
    async fn delete_table(&self, table: &TableId) -> Result<(), CatalogError>;

    /// `GetPartitions`, one page.
    async fn get_partitions(&self, table: &TableId, page: &PageRequest) -> Result<PartitionPage, CatalogError>;

    /// `BatchGetPartition`; partitions that are not there are just absent in the answer.
    async fn batch_get_partition(&self, table: &TableId, values: &[Vec<String>]) -> Result<Fetched, CatalogError>;

    /// `BatchCreatePartition`. What failed is in the answer, the others are there.
    async fn batch_create_partition(
        &self,
        table: &TableId,
        partitions: &[Partition],
    ) -> Result<Vec<PartitionError>, CatalogError>;

    /// `BatchUpdatePartition`, by the partitions' values. What failed is in the answer, the others are done.
    async fn batch_update_partition(
        &self,
        table: &TableId,
        partitions: &[Partition],
    ) -> Result<Vec<PartitionError>, CatalogError>;

    /// `BatchDeletePartition`. What failed is in the answer, the others are gone.
    async fn batch_delete_partition(
        &self,
        table: &TableId,
        values: &[Vec<String>],
    ) -> Result<Vec<PartitionError>, CatalogError>;

    /// `GetPartitionIndexes`, all pages.
    async fn get_partition_indexes(&self, table: &TableId) -> Result<Vec<PartitionIndex>, CatalogError>;

    /// `CreatePartitionIndex`; the index is built after the answer.
    async fn create_partition_index(&self, table: &TableId, index: &PartitionIndex) -> Result<(), CatalogError>;
}

/// Which page of a table's partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// What the page before answered; `None`: the first.
    pub next_token: Option<String>,
    /// One of so many parts that are read side by side: number and total.
    pub segment: Option<(u32, u32)>,
    /// Whether the partitions come without their columns.
    pub exclude_columns: bool,
}

/// One page of a table's partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionPage {
    /// The partitions.
    pub partitions: Vec<Partition>,
    /// What the next page is asked for with; `None`: this was the last.
    pub next_token: Option<String>,
}

/// Partitions by their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Those that are there.
    pub partitions: Vec<Partition>,
    /// Those that Glue did not look for: ask again.
    pub unprocessed: Vec<Vec<String>>,
}

/// Why one partition of several was not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionError {
    /// The partition.
    pub values: Vec<String>,
    /// Why.
    pub error: CatalogError,
}

/// What Glue said instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct CatalogError {
    /// Glue's name of the call.
    pub operation: &'static str,
    /// What a caller does about it.
    pub kind: ErrorKind,
    /// Glue's name of the error; empty if there was no answer.
    pub code: String,
    /// Glue's text.
    pub message: String,
}

impl CatalogError {
    /// The error of this code.
    pub fn new(operation: &'static str, code: impl Into<String>, message: impl Into<String>) -> Self {
        let code = code.into();
        Self { operation, kind: ErrorKind::from_code(&code), code, message: message.into() }
    }

    /// There was no answer: the call may have been carried out, or not.
    pub fn unanswered(operation: &'static str, message: impl Into<String>) -> Self {
        Self { operation, kind: ErrorKind::Unavailable, code: "no answer".to_owned(), message: message.into() }
    }
}

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It is not there.
    NotFound,
    /// It is there already.
    AlreadyExists,
    /// Somebody else changed it: read again, merge again.
    Conflict,
    /// Too many calls: slow down.
    Throttled,
    /// Try again.
    Unavailable,
    /// Nothing that another try would cure.
    Refused,
}

impl ErrorKind {
    /// The kind of Glue's error of this name.
    #[must_use]
    pub fn from_code(code: &str) -> Self {
        match code {
            "EntityNotFoundException" => Self::NotFound,
            "AlreadyExistsException" => Self::AlreadyExists,
            "ConcurrentModificationException" => Self::Conflict,
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "SlowDown"
            | "LimitExceededException"
            | "ProvisionedThroughputExceededException" => Self::Throttled,
            "OperationTimeoutException"
            | "InternalServiceException"
            | "ResourceNotReadyException"
            | "InternalFailure"
            | "InternalServerError"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "RequestTimeout"
            | "RequestTimeoutException" => Self::Unavailable,
            _ => Self::Refused,
        }
    }
}
