//! [`WriterBuilder`]: the components of a writer. The only file beside `store` that names an object store.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::clock::{Clock, SystemClock, uuid_text};
use crate::components::Components;
use crate::compute::Compute;
use crate::error::{Error, Result};
use crate::lock::{FileLock, Lock, StoreLease, TableLock};
use crate::settings::{Mode, NewTable, WriterSettings};
use crate::store::{StoreSettings, TableStore};
use crate::table::{self, Table};
use crate::writer::TableWriter;

/// Puts a [`TableWriter`] together.
#[derive(Debug, Clone)]
pub struct WriterBuilder {
    url: String,
    store: Option<(Arc<dyn ObjectStore>, String)>,
    store_settings: StoreSettings,
    settings: WriterSettings,
    clock: Arc<dyn Clock>,
    compute: Compute,
    lock: Option<Arc<dyn Lock>>,
    #[cfg(any(test, feature = "testing"))]
    mutant: Option<crate::mutant::Mutant>,
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
            store_settings: StoreSettings::default(),
            settings: WriterSettings::default(),
            clock: Arc::new(SystemClock),
            compute: Compute::default(),
            lock: None,
            #[cfg(any(test, feature = "testing"))]
            mutant: None,
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

    /// The lock that all writers of the table use, where it is not the usual one: the operating system's for a table in a
    /// local folder, otherwise a lease on the store, as Java's `StorageBasedLockProvider` keeps it.
    #[must_use]
    pub fn lock(mut self, lock: Arc<dyn Lock>) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Breaks the writer on purpose.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn mutant(mut self, mutant: Option<crate::mutant::Mutant>) -> Self {
        self.mutant = mutant;
        self
    }

    /// What the place needs to be told beyond its URL. Not for a store that is handed in.
    #[must_use]
    pub fn store_settings(mut self, settings: StoreSettings) -> Self {
        self.store_settings = settings;
        self
    }

    async fn components(self) -> Result<Components> {
        self.settings.check()?;
        let store = match self.store {
            Some((store, prefix)) => TableStore::of(store, &prefix, &self.url),
            None => TableStore::at_with(&self.url, &self.store_settings).await?,
        };
        let lock = TableLock {
            url: store.url().into(),
            lock: match self.settings.sole_writer {
                true => None,
                false => Some(self.lock.unwrap_or_else(|| usual_lock(&store, &self.clock))),
            },
            clock: Arc::clone(&self.clock),
            wait_ms: self.settings.lock_wait_ms,
            #[cfg(any(test, feature = "testing"))]
            is_ignored: self.mutant == Some(crate::mutant::Mutant::LockIgnored),
            #[cfg(not(any(test, feature = "testing")))]
            is_ignored: false,
        };
        Ok(Components {
            store,
            settings: self.settings,
            lock,
            clock: self.clock,
            compute: self.compute,
            #[cfg(any(test, feature = "testing"))]
            mutant: self.mutant,
        })
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
    /// As [`WriterBuilder::open`] and [`WriterBuilder::create`]; [`Error::Refused`] for a table of another mode.
    pub async fn open_or_create(self, table: &NewTable) -> Result<TableWriter> {
        match self.clone().open().await {
            Err(Error::NotFound { .. }) => {}
            other => return of_mode(other?, table.mode),
        }
        match self.clone().create(table).await {
            // Somebody else was quicker.
            Err(Error::AlreadyExists { .. }) => of_mode(self.open().await?, table.mode),
            other => other,
        }
    }
}

/// The writer, if its table does with changes what is wanted.
fn of_mode(writer: TableWriter, wanted: Mode) -> Result<TableWriter> {
    let found = writer.table().properties().mode();
    if found == wanted {
        return Ok(writer);
    }
    let what = format!("a table of the mode `{}`, where `{}` is wanted", found.as_str(), wanted.as_str());
    Err(Error::refused(what, "it has its mode for its whole life: open it as it is, or make another"))
}

fn usual_lock(store: &TableStore, clock: &Arc<dyn Clock>) -> Arc<dyn Lock> {
    match store.local_folder() {
        Some(folder) => Arc::new(FileLock::of(folder)),
        None => Arc::new(StoreLease::new(store.clone(), Arc::clone(clock), uuid_text(clock.unique_id()))),
    }
}
