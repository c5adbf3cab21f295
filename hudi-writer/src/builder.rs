//! [`WriterBuilder`]: the components of a writer. The only file beside `store` that names an object store.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::clock::{Clock, SystemClock};
use crate::components::Components;
use crate::compute::Compute;
use crate::error::{Error, Result};
use crate::settings::{NewTable, WriterSettings};
use crate::store::TableStore;
use crate::table::{self, Table};
use crate::writer::TableWriter;

/// Puts a [`TableWriter`] together.
#[derive(Debug, Clone)]
pub struct WriterBuilder {
    url: String,
    store: Option<(Arc<dyn ObjectStore>, String)>,
    settings: WriterSettings,
    clock: Arc<dyn Clock>,
    compute: Compute,
}

impl TableWriter {
    /// A writer of the table at a URL (`file:///…`, `s3://…`) or a folder's path.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> WriterBuilder {
        WriterBuilder::new(url)
    }
}

impl Table {
    /// Reads the table below `prefix` of a store. `url` names it in messages.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub async fn open_in(store: Arc<dyn ObjectStore>, prefix: &str, url: &str) -> Result<Self> {
        Self::load(TableStore::of(store, prefix, url)).await
    }
}

impl WriterBuilder {
    /// A writer of the table at a URL (`file:///…`, `s3://…`) or a folder's path.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            store: None,
            settings: WriterSettings::default(),
            clock: Arc::new(SystemClock),
            compute: Compute::default(),
        }
    }

    /// Keeps the table below `prefix` of this store; the URL then only names it. The store must support conditional puts.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn ObjectStore>, prefix: impl Into<String>) -> Self {
        self.store = Some((store, prefix.into()));
        self
    }

    /// Settings other than the defaults.
    #[must_use]
    pub fn settings(mut self, settings: WriterSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Where time and ids come from.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where columns are computed.
    #[must_use]
    pub fn compute(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    async fn components(self) -> Result<Components> {
        self.settings.check()?;
        let store = match self.store {
            Some((store, prefix)) => TableStore::of(store, &prefix, &self.url),
            None => TableStore::at(&self.url).await?,
        };
        Ok(Components { store, settings: self.settings, clock: self.clock, compute: self.compute })
    }

    /// Opens the table for writing. What a writer that died left behind is rolled back first.
    ///
    /// Dropped half-way, the table is as valid as before; opening it again goes on with what is left to roll back.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no table, [`Error::Refused`] for one that we do not write.
    pub async fn open(self) -> Result<TableWriter> {
        TableWriter::load(self.components().await?).await
    }

    /// Creates the table and opens it for writing.
    ///
    /// Dropped half-way, there is the whole table or none.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where there is a table, [`Error::Refused`] for one that readers could not read rightly.
    pub async fn create(self, table: &NewTable) -> Result<TableWriter> {
        let components = self.components().await?;
        table::create(&components.store, table, &*components.clock).await?;
        TableWriter::load(components).await
    }

    /// Opens the table, or creates it where there is none. A table that is there stays what it is.
    ///
    /// # Errors
    /// As [`WriterBuilder::open`] and [`WriterBuilder::create`].
    pub async fn open_or_create(self, table: &NewTable) -> Result<TableWriter> {
        match self.clone().open().await {
            Err(Error::NotFound { .. }) => self.create(table).await,
            other => other,
        }
    }
}
