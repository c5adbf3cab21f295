//! What Glue must hold of a table: [`Desired`].
//!
//! Formats, parameters and their spelling are those of Hudi's own sync, for table versions 6, 8 and 9. Not here: what Glue has, which
//! partitions there are, and up to which instant a table was synced.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use hudi_core::properties::{TableProperties, keys};

use crate::error::{Error, Result};
use crate::location;
use crate::model::{Partition, SerDe, StorageDescriptor, Table, TableId};
use crate::partition::PartitionScheme;
use crate::settings::SyncSettings;
use crate::spark;
use crate::targets::{Answers, Target, targets};
use crate::types::{self, Timestamps};

/// The only kind of table that files have.
pub const EXTERNAL_TABLE: &str = "EXTERNAL_TABLE";
/// Reads the base files alone.
pub const BASE_FILES: &str = "org.apache.hudi.hadoop.HoodieParquetInputFormat";
/// Reads base files and logs.
pub const BASE_FILES_AND_LOGS: &str = "org.apache.hudi.hadoop.realtime.HoodieParquetRealtimeInputFormat";
const OUTPUT_FORMAT: &str = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat";
const SERDE: &str = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe";
const SERDE_PATH: &str = "path";

/// How the values of the partitions were made: tells whether those that are there can be trusted.
pub const PARTITION_VALUES: &str = "glue_catalog.partition_values";
/// Whether Athena reads with its newer Hudi connector.
pub const NATIVE_CONNECTOR: &str = "athena_enable_native_hudi_connector_implementation";
/// Which indexes over partitions were made: tells whether Glue must be asked.
pub const PARTITION_INDEXES: &str = "glue_catalog.partition_indexes";
const PARTITION_FILTERING: &str = "partition_filtering.enabled";
const METADATA_LISTING: &str = "hudi.metadata-listing-enabled";

/// What Glue must hold of one Hudi table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The tables, without the instant up to which they were synced.
    pub tables: Vec<Table>,
    /// Their partition keys, and how paths become values.
    pub scheme: PartitionScheme,
}

impl Desired {
    /// Of a table at this place, with these columns, meta columns not among them.
    ///
    /// # Errors
    /// Whatever Glue cannot hold: a column, a name, a place.
    pub fn of(location: &str, properties: &TableProperties, columns: &Schema, settings: &SyncSettings) -> Result<Self> {
        settings.verify()?;
        let location = location::normal(location)?;
        let scheme = PartitionScheme::of(properties, columns, settings)?;
        let indexed = settings.partition_indexes.iter().flatten();
        if let Some(stranger) = indexed.into_iter().find(|name| !scheme.fields().contains(name)) {
            let want = format!("partition columns, which are ({})", scheme.fields().join(", "));
            return Err(Error::setting("partition_indexes", stranger, want));
        }
        let targets = targets(properties.name(), properties.table_type(), settings)?;
        let tables = targets.iter().map(|target| table(target, &location, columns, &scheme, settings));
        Ok(Self { tables: tables.collect::<Result<_>>()?, scheme })
    }

    /// Where each of the tables is.
    #[must_use]
    pub fn id(table: &Table, settings: &SyncSettings) -> TableId {
        TableId {
            catalog_id: settings.catalog_id.clone(),
            database: settings.database.to_lowercase(),
            name: table.name.clone(),
        }
    }
}

fn table(
    target: &Target,
    location: &str,
    columns: &Schema,
    scheme: &PartitionScheme,
    settings: &SyncSettings,
) -> Result<Table> {
    let timestamps = match target.answers {
        Answers::RealTime => settings.realtime_timestamps,
        Answers::Snapshot | Answers::ReadOptimized => Timestamps::Timestamp,
    };
    let all = types::columns(columns, timestamps);
    let all = all.map_err(|source| Error::Schema { table: target.name.clone(), source })?;
    let is_key = |name: &str| scheme.keys().iter().any(|key| key.name == name);
    Ok(Table {
        name: target.name.clone(),
        table_type: Some(EXTERNAL_TABLE.to_owned()),
        parameters: parameters(columns, scheme, settings),
        partition_keys: scheme.keys().to_vec(),
        storage: StorageDescriptor {
            columns: all.into_iter().filter(|column| !is_key(&column.name)).collect::<Arc<[_]>>(),
            location: Some(location.to_owned()),
            input_format: Some(input_format(target.answers).to_owned()),
            output_format: Some(OUTPUT_FORMAT.to_owned()),
            serde: Some(serde(target.answers, location, settings)),
            ..StorageDescriptor::default()
        },
        ..Table::default()
    })
}

/// The class that reads what the table answers: it alone decides.
fn input_format(answers: Answers) -> &'static str {
    match answers {
        Answers::Snapshot | Answers::ReadOptimized => BASE_FILES,
        Answers::RealTime => BASE_FILES_AND_LOGS,
    }
}

fn serde(answers: Answers, location: &str, settings: &SyncSettings) -> SerDe {
    let as_ro = (answers == Answers::ReadOptimized).to_string();
    let mut parameters = settings.serde_parameters.clone();
    parameters.extend([
        (SERDE_PATH.to_owned(), location.to_owned()),
        (keys::QUERY_AS_RO_TABLE.to_owned(), as_ro),
        ("serialization.format".to_owned(), "1".to_owned()),
    ]);
    SerDe { name: None, library: Some(SERDE.to_owned()), parameters }
}

fn parameters(columns: &Schema, scheme: &PartitionScheme, settings: &SyncSettings) -> BTreeMap<String, String> {
    let mut parameters = settings.parameters.clone();
    let mut set = |key: &str, value: &str| parameters.insert(key.to_owned(), value.to_owned());
    set("EXTERNAL", "TRUE");
    set(METADATA_LISTING, if settings.metadata_listing { "TRUE" } else { "FALSE" });
    if let Some(native) = settings.native_connector {
        set(NATIVE_CONNECTOR, if native { "true" } else { "false" });
    }
    if !scheme.is_empty() {
        set(PARTITION_VALUES, settings.partition_values.as_str());
    }
    if !settings.partition_indexes.is_empty() {
        let indexes: Vec<String> = settings.partition_indexes.iter().map(|keys| keys.join(",")).collect();
        set(PARTITION_INDEXES, &indexes.join(";"));
        set(PARTITION_FILTERING, "true");
    }
    if settings.spark {
        parameters.extend(spark::parameters(columns, scheme.fields(), settings.spark_version.as_deref()));
    }
    parameters
}

/// The partition of these values at this place, with all that engines read of it: `storage` is its table's.
#[must_use]
pub fn partition(values: Vec<String>, location: String, storage: &StorageDescriptor) -> Partition {
    let storage = StorageDescriptor { location: Some(location), ..storage.clone() };
    Partition { values, storage, ..Partition::default() }
}
