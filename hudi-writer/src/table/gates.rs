//! What stands between us and a table that we would make wrong: everything that we cannot keep up is refused by name.

use hudi_core::change::columns;
use hudi_core::key::KeySpec;
use hudi_core::layout;
use hudi_core::properties::{
    BaseFileFormat, KeyGenerator, Mode, PropertiesFile, Step, TableProperties, Timezone, UpdateProtocol, keys, update,
};
use hudi_core::version::{TableType, TableVersion};

use super::index::{is_immutable, partitioned_outside, stored_index};
use crate::clock::Clock;
use crate::error::{Error, Result, format};
use crate::settings::{ForeignMetadataTable, Index, NewTable};
use crate::store::TableStore;

/// Whether rows of these partition columns can be found again by their key.
pub(super) fn gate_partitions(key: &[String], partition_by: &[String], immutable: bool, index: Index) -> Result<()> {
    if key.len() == 1 && partition_by.len() > 1 {
        return Err(Error::refused(
            format!("one key column (`{}`) with {} partition columns", key[0], partition_by.len()),
            "Hudi's releases spell such keys differently and would double rows: use one partition column, or more key columns",
        ));
    }
    if key.is_empty() && index != Index::Simple {
        let why = "an index finds rows by their key: leave it out, or name the key's columns";
        return Err(Error::refused("an index of a table without a record key", why));
    }
    let Some(outside) = partitioned_outside(key, partition_by).filter(|_| !immutable) else { return Ok(()) };
    let kind = match index {
        Index::GlobalSimple => return Ok(()),
        Index::Simple => "simple",
        Index::Bucket(_) => "bucket",
    };
    Err(Error::refused(
        format!("a {kind} index with the partition column `{outside}`, which is not part of the key"),
        "a row that changes it would be left behind in its old partition: make it part of the key, take the global simple \
         index, or declare that it never changes (immutable)",
    ))
}

/// Whether the mode is one that such a table can have.
pub(super) fn gate_mode(table: &NewTable) -> Result<()> {
    match (table.mode, table.index) {
        (Mode::SoftDelete, _) if table.key.is_empty() => {
            let why = "deleted rows are told by their key: name its columns with --key";
            Err(Error::refused("a table that keeps deleted rows, without a record key", why))
        }
        (Mode::History, Some(index)) if index != Index::Simple => {
            let why = "rows are only added, and none is looked for: leave the index out";
            Err(Error::refused("an index of a table that keeps every change", why))
        }
        _ => Ok(()),
    }
}

/// Refuses tables that our commits would make wrong for somebody.
pub(crate) fn gate_for_writing(properties: &TableProperties) -> Result<()> {
    let refuse = |what: String, why: &str| Err(Error::refused(what, why));
    if properties.version() != TableVersion::Six {
        return refuse(format!("a table of version {}", properties.version().number()), "this build writes version 6");
    }
    if properties.table_type() != TableType::CopyOnWrite {
        return refuse("a merge-on-read table".into(), "this build writes copy-on-write tables");
    }
    if properties.timezone() != Timezone::Utc {
        let key = keys::TIMELINE_TIMEZONE;
        return refuse(format!("{key} other than UTC"), "our instants are in UTC and would not be above the others");
    }
    if *properties.base_file_format() != BaseFileFormat::Parquet {
        return refuse("base files other than parquet".into(), "we write parquet");
    }
    if !properties.populate_meta_fields() || properties.drop_partition_columns() || properties.cdc_enabled() {
        let what = [keys::POPULATE_META_FIELDS, keys::DROP_PARTITION_COLUMNS, keys::CDC_ENABLED].join(", ");
        return refuse(
            what,
            "want true, false and false: we fill meta columns, keep partition columns, write no CDC logs",
        );
    }
    if properties.bootstrap_base_path().is_some() {
        return refuse("a bootstrapped table".into(), "its rows stand in files that we do not read");
    }
    gate_order(properties)?;
    gate_keys(properties)
}

fn gate_order(properties: &TableProperties) -> Result<()> {
    match properties.ordering_field() {
        Some(columns::ORDER) => {}
        other => {
            let what = format!("{} = {}", keys::PRECOMBINE_FIELD, other.unwrap_or("nothing"));
            return Err(Error::refused(what, format!("changes are ordered by `{}`", columns::ORDER)));
        }
    }
    match properties.payload_class() {
        None | Some(keys::DEFAULT_PAYLOAD) => Ok(()),
        Some(other) => {
            Err(Error::refused(format!("{} = {other}", keys::PAYLOAD_CLASS), format!("want {}", keys::DEFAULT_PAYLOAD)))
        }
    }
}

fn gate_keys(properties: &TableProperties) -> Result<()> {
    let (key, partition_by) = (properties.record_key_fields(), properties.partition_fields());
    if let KeyGenerator::Other(class) = properties.key_generator() {
        return Err(Error::refused(
            format!("the key generator {class}"),
            "we write simple, complex and unpartitioned keys",
        ));
    }
    KeySpec::of(properties).verify().map_err(|error| Error::refused("the table's keys", error.to_string()))?;
    gate_partitions(key, partition_by, is_immutable(properties), stored_index(properties)?)
}

/// The last look at the properties before a commit, under the lock: somebody else may have upgraded or remade the table since
/// it was opened as `opened`, or may keep a metadata table, which would hide our rows and is done away with.
pub(crate) async fn gate_for_completing(
    store: &TableStore,
    opened: &TableProperties,
    setting: ForeignMetadataTable,
    clock: &dyn Clock,
) -> Result<()> {
    let Some(text) = store.get_text(&layout::properties()).await? else {
        return Err(Error::NotFound { url: store.url().to_owned() });
    };
    let properties = TableProperties::parse(&text).map_err(format)?;
    gate_for_writing(&properties)?;
    let is_same = KeySpec::of(&properties) == KeySpec::of(opened)
        && stored_index(&properties)? == stored_index(opened)?
        && (properties.mode(), properties.source_key()) == (opened.mode(), opened.source_key());
    if !is_same {
        let why = "somebody made it anew: open it again";
        return Err(Error::refused(
            "a table whose keys, partitions, index or mode are not those it was opened with",
            why,
        ));
    }
    drop_metadata_table(store, &text, &properties, setting, clock).await
}

/// First it is declared absent, then its files are removed.
async fn drop_metadata_table(
    store: &TableStore,
    text: &str,
    properties: &TableProperties,
    setting: ForeignMetadataTable,
    clock: &dyn Clock,
) -> Result<()> {
    let changes = properties.without_metadata_table();
    if changes.is_empty() {
        return Ok(());
    }
    if setting == ForeignMetadataTable::Refuse {
        let why = "our rows would be invisible to its readers: let it be dropped, or switch it off where it is written";
        return Err(Error::refused(format!("{} is set", keys::METADATA_PARTITIONS), why));
    }
    tracing::warn!(table = store.url(), "dropping the metadata table, which another writer made and we do not keep up");
    let (_, steps) = update(text, &changes, UpdateProtocol::AtomicOverwrite, clock.now_ms()).map_err(format)?;
    apply(store, steps).await?;
    let files = store.list(&layout::metadata_table()).await?;
    store.delete_all(files.into_iter().map(|object| object.path).collect()).await
}

/// Carries out steps on the files of the properties.
pub(crate) async fn apply(store: &TableStore, steps: Vec<Step>) -> Result<()> {
    let path = |file| match file {
        PropertiesFile::Main => layout::properties(),
        PropertiesFile::Backup => layout::properties_backup(),
    };
    for step in steps {
        match step {
            Step::Create { file, text } | Step::Overwrite { file, text } => {
                store.replace(&path(file), bytes::Bytes::from(text)).await?
            }
            Step::Delete { file } => store.delete(&path(file)).await?,
        }
    }
    Ok(())
}
