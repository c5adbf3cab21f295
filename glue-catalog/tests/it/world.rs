//! A Glue, a clock and tables to sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{DataType, Field, Schema};
use futures::FutureExt;
use futures::future::BoxFuture;
use glue_catalog::clock::Clock;
use glue_catalog::model::{Partition, Table, TableId};
use glue_catalog::testing::{FakeGlue, FakeTable};
use glue_catalog::{GlueSync, Outcome, SyncSettings, TableReport};
use hudi_core::properties::{NewTable, TableProperties};
use hudi_core::version::TableType;

pub(crate) const BASE: &str = "s3://bucket/orders";

/// Tokio's clock, which stands still until all wait for it.
#[derive(Debug)]
pub(crate) struct TestClock {
    began: tokio::time::Instant,
    drawn: AtomicU64,
}

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { began: tokio::time::Instant::now(), drawn: AtomicU64::new(1) })
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    fn unique_id(&self) -> u128 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        u128::from(drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 64
    }

    #[allow(clippy::disallowed_methods, reason = "this is the clock of the tests")]
    fn sleep(&self, ms: i64) -> BoxFuture<'static, ()> {
        tokio::time::sleep(std::time::Duration::from_millis(ms.unsigned_abs())).boxed()
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) glue: Arc<FakeGlue>,
    pub(crate) settings: SyncSettings,
}

impl World {
    /// An empty Glue with a database.
    pub(crate) fn new() -> Self {
        let clock = TestClock::new();
        let glue = Arc::new(FakeGlue::new(Arc::clone(&clock) as Arc<dyn Clock>));
        glue.add_database(None, "db");
        Self { clock, glue, settings: SyncSettings::new("db") }
    }

    /// A process that syncs: it remembers nothing of others.
    pub(crate) fn process(&self) -> GlueSync {
        GlueSync::new(Arc::clone(&self.glue) as _, Arc::clone(&self.clock) as _)
    }

    /// Syncs in a new process.
    pub(crate) async fn sync(&self, table: &FakeTable) -> Vec<TableReport> {
        self.process().sync(table, &self.settings).await.unwrap()
    }

    /// Syncs in a new process, and is refused.
    pub(crate) async fn refused(&self, table: &FakeTable) -> String {
        self.process().sync(table, &self.settings).await.unwrap_err().to_string()
    }

    pub(crate) fn table(&self, name: &str) -> Table {
        self.glue.table(&id(name)).unwrap()
    }

    /// The partitions' values and places.
    pub(crate) fn places(&self, name: &str) -> Vec<(String, String)> {
        let place = |p: Partition| (p.values.join("/"), p.storage.location.unwrap_or_default());
        self.glue.partitions(&id(name)).into_iter().map(place).collect()
    }

    /// The partitions' values.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        self.places(name).into_iter().map(|(values, _)| values).collect()
    }

    /// All that stands in Glue, but for versions and times.
    pub(crate) fn content(&self) -> Vec<(TableId, Table, Vec<Partition>)> {
        let tables = self.glue.tables().into_iter();
        let content = tables.map(|id| {
            let table = self.glue.table(&id).unwrap();
            let table = Table { last_access_ms: None, last_analyzed_ms: None, ..table };
            (id.clone(), table, self.glue.partitions(&id))
        });
        content.collect()
    }
}

pub(crate) fn id(name: &str) -> TableId {
    TableId { catalog_id: None, database: "db".to_owned(), name: name.to_owned() }
}

pub(crate) fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

pub(crate) fn columns() -> Schema {
    Schema::new(vec![field("id", DataType::Int64), field("name", DataType::Utf8), field("dt", DataType::Utf8)])
}

/// Copy-on-write, hive-style, values escaped.
pub(crate) fn properties(name: &str, partitions: &[&str]) -> TableProperties {
    new_table(name, partitions).to_properties().unwrap()
}

pub(crate) fn merge_on_read(name: &str, partitions: &[&str]) -> TableProperties {
    let mut new = new_table(name, partitions);
    new.table_type = TableType::MergeOnRead;
    new.to_properties().unwrap()
}

pub(crate) fn new_table(name: &str, partitions: &[&str]) -> NewTable {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let keys = if partitions.len() > 1 { owned(&["id", "name"]) } else { owned(&["id"]) };
    NewTable::new(name, keys, owned(partitions))
}

/// The table `orders`, partitioned by `dt`, without commits.
pub(crate) fn orders() -> FakeTable {
    FakeTable::new(BASE, properties("orders", &["dt"]), columns())
}

/// The paths of so many partitions.
pub(crate) fn days(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("dt=day-{n:05}")).collect()
}

/// What the only table's sync came to.
pub(crate) fn outcome(reports: &[TableReport]) -> &Outcome {
    assert_eq!(reports.len(), 1);
    &reports[0].outcome
}

pub(crate) fn stamp(table: &Table) -> Option<&str> {
    table.parameters.get("last_commit_time_sync").map(String::as_str)
}
