//! [`Table`]: what a table holds at one moment, for reading. Versions 6; copy-on-write.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use hudi_core::commit::CommitMetadata;
use hudi_core::file_name::FileId;
use hudi_core::file_slice::{self, FileSlice};
use hudi_core::instant::{Action, Instant};
use hudi_core::layout;
use hudi_core::properties::{Recovery, TableProperties, recovery};
use hudi_core::schema::avro::from_avro;
use hudi_core::timeline::Timeline;
use hudi_core::version::{TableType, TableVersion, TimelineLayout};

use crate::error::{Error, Result, format};
use crate::store::{Object, TableStore};

/// A table at one moment: what is committed later is not seen.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) store: TableStore,
    pub(crate) properties: TableProperties,
    pub(crate) timeline: Timeline,
    pub(crate) columns: Option<SchemaRef>,
    pub(crate) replaced: HashSet<(String, FileId)>,
}

impl Table {
    /// Reads the table at a URL (`file:///…`, `s3://…`) or a folder's path. Writes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no table, [`Error::Refused`] for what we do not read.
    pub async fn open(url: &str) -> Result<Self> {
        Self::load(TableStore::at(url).await?).await
    }

    pub(crate) async fn load(store: TableStore) -> Result<Self> {
        let properties = read_properties(&store).await?.properties;
        gate_for_reading(&properties)?;
        let timeline = read_timeline(&store, properties.version().layout()).await?;
        Self::of(store, properties, timeline).await
    }

    /// The table of these properties and this timeline: reads what the commits say of columns and replaced file groups.
    pub(crate) async fn of(store: TableStore, properties: TableProperties, timeline: Timeline) -> Result<Self> {
        let mut table = Self { store, properties, timeline, columns: None, replaced: HashSet::new() };
        table.columns = table.read_columns().await?;
        table.read_replaced().await?;
        Ok(table)
    }

    /// The table's place.
    #[must_use]
    pub fn url(&self) -> &str {
        self.store.url()
    }

    /// The table's properties.
    #[must_use]
    pub fn properties(&self) -> &TableProperties {
        &self.properties
    }

    /// The table's instants.
    #[must_use]
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The table's columns, meta columns not among them; `None` before the first commit with rows.
    #[must_use]
    pub fn columns(&self) -> Option<&SchemaRef> {
        self.columns.as_ref()
    }

    /// The content of a completed commit.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Corrupt`], or [`Error::Format`] where it cannot be read.
    pub async fn commit_metadata(&self, instant: &Instant) -> Result<CommitMetadata> {
        let path = layout::timeline_file(self.timeline.layout(), instant);
        let bytes = self.store.get(&path).await?;
        let bytes = bytes.ok_or_else(|| Error::corrupt(&path, "it was on the timeline and is gone"))?;
        CommitMetadata::from_json(&bytes).map_err(format)
    }

    async fn read_columns(&self) -> Result<Option<SchemaRef>> {
        for instant in self.timeline.completed_writes().rev() {
            if let Some(columns) = columns_of(&self.commit_metadata(instant).await?)? {
                return Ok(Some(columns));
            }
        }
        Ok(None)
    }

    async fn read_replaced(&mut self) -> Result<()> {
        let replacing = |instant: &&Instant| instant.action == Action::ReplaceCommit;
        let replacing: Vec<Instant> = self.timeline.completed_writes().filter(replacing).copied().collect();
        for instant in replacing {
            let metadata = self.commit_metadata(&instant).await?;
            self.note_replaced(metadata.replaced_file_ids())?;
        }
        Ok(())
    }

    /// Notes file groups that are no more, by partition and id.
    pub(crate) fn note_replaced<'a>(&mut self, replaced: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
        for (partition, id) in replaced {
            self.replaced.insert((partition.to_owned(), FileId::parse(id).map_err(format)?));
        }
        Ok(())
    }

    /// The latest committed slice of every file group, by partition.
    pub(crate) async fn slices(&self) -> Result<BTreeMap<String, Vec<FileSlice>>> {
        self.slices_among(self.store.list("").await?)
    }

    /// The same, of objects that were listed already: all of the table's.
    pub(crate) fn slices_among(
        &self,
        objects: impl IntoIterator<Item = Object>,
    ) -> Result<BTreeMap<String, Vec<FileSlice>>> {
        let mut by_partition: BTreeMap<String, Vec<Object>> = BTreeMap::new();
        for object in objects {
            if !layout::is_below_hoodie(&object.path) {
                let (partition, _) = layout::split(&object.path);
                by_partition.entry(partition.to_owned()).or_default().push(object);
            }
        }
        let mut slices = BTreeMap::new();
        for (partition, objects) in by_partition {
            let is_partition = objects.iter().any(|o| layout::split(&o.path).1 == layout::PARTITION_METADATA_FILE);
            if is_partition {
                let latest = self.latest_slices(&partition, &objects)?;
                slices.insert(partition, latest);
            }
        }
        Ok(slices)
    }

    /// The latest committed slice of every file group of one partition.
    pub(crate) async fn slices_of(&self, partition: &str) -> Result<Vec<FileSlice>> {
        let (objects, _) = self.store.list_folder(partition).await?;
        self.latest_slices(partition, &objects)
    }

    fn latest_slices(&self, partition: &str, objects: &[Object]) -> Result<Vec<FileSlice>> {
        let files = objects.iter().map(|object| (layout::split(&object.path).1, object.size_bytes));
        let replaced: HashSet<FileId> =
            self.replaced.iter().filter(|(of, _)| of == partition).map(|(_, id)| id.clone()).collect();
        file_slice::latest_file_slices(files, &self.timeline, &replaced).map_err(format)
    }
}

/// The columns that a commit says the table has.
pub(crate) fn columns_of(metadata: &CommitMetadata) -> Result<Option<SchemaRef>> {
    metadata.schema().map(|schema| from_avro(schema).map(Arc::new).map_err(format)).transpose()
}

/// The properties, those of an update that died in the middle included.
pub(crate) async fn read_properties(store: &TableStore) -> Result<Recovery> {
    let main = store.get_text(&layout::properties()).await?;
    let backup = match &main {
        Some(_) => None,
        None => store.get_text(&layout::properties_backup()).await?,
    };
    let recovery = recovery(main.as_deref(), backup.as_deref()).map_err(format)?;
    recovery.ok_or_else(|| Error::NotFound { url: store.url().to_owned() })
}

pub(crate) async fn read_timeline(store: &TableStore, timeline_layout: TimelineLayout) -> Result<Timeline> {
    let (objects, _) = store.list_folder(&layout::timeline_dir(timeline_layout)).await?;
    let names = objects.iter().map(|object| layout::split(&object.path).1);
    Timeline::from_names(timeline_layout, names).map_err(format)
}

fn gate_for_reading(properties: &TableProperties) -> Result<()> {
    if properties.version() != TableVersion::Six {
        let what = format!("a table of version {}", properties.version().number());
        return Err(Error::refused(what, "this build reads and writes version 6"));
    }
    if properties.table_type() == TableType::MergeOnRead {
        return Err(Error::refused("a merge-on-read table", "this build reads and writes copy-on-write tables"));
    }
    Ok(())
}
