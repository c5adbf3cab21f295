//! [`NewTable`]: the properties that a table of ours is created with.
//!
//! Format section 1.4; table version 6. Which settings they come from is the writer's affair.

use super::keys;
use super::table::{KeyGenerator, TableIndex, TableProperties, checksum_of};
use super::text::Properties;
use crate::error::{Error, Result};
use crate::version::{TableType, TableVersion};

/// What must be said to create a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTable {
    /// The table's name.
    pub name: String,
    /// The database's name, if it has one; part of the checksum.
    pub database: Option<String>,
    /// How updates reach the table.
    pub table_type: TableType,
    /// The columns of the record key, in its order; empty: a table without a key.
    pub record_key_fields: Vec<String>,
    /// The partition columns; empty: not partitioned.
    pub partition_fields: Vec<String>,
    /// What makes keys and partition paths.
    pub key_generator: KeyGenerator,
    /// The column whose greater value wins. None: the later write wins.
    pub ordering_field: Option<String>,
    /// The Avro schema, JSON, without meta columns.
    pub create_schema: Option<String>,
    /// The index, to be remembered.
    pub index: Option<TableIndex>,
    /// Further properties, as the user sets them: they win over the defaults, but not over what is said above.
    pub extra: Vec<(String, String)>,
}

impl NewTable {
    /// A copy-on-write table with the key generator that its columns ask for, nothing else said.
    pub fn new(name: impl Into<String>, record_key_fields: Vec<String>, partition_fields: Vec<String>) -> Self {
        Self {
            name: name.into(),
            database: None,
            table_type: TableType::CopyOnWrite,
            key_generator: KeyGenerator::inferred(record_key_fields.len(), partition_fields.len()),
            record_key_fields,
            partition_fields,
            ordering_field: None,
            create_schema: None,
            index: None,
            extra: Vec::new(),
        }
    }

    /// The properties of the table, version 6.
    ///
    /// Errors: `BadProperty` for a further property that the table decides itself, that is no Hudi property, or whose value
    /// is malformed; `MissingProperty` for an empty name.
    pub fn to_properties(&self) -> Result<TableProperties> {
        let mut all = Properties::new();
        self.put_identity(&mut all);
        self.put_keys(&mut all);
        self.put_merging(&mut all);
        if let Some(schema) = &self.create_schema {
            all.set(keys::CREATE_SCHEMA, schema);
        }
        if let Some(index) = &self.index {
            index.write(&mut all);
        }
        for (key, value) in &self.extra {
            verify_extra(key, value)?;
            all.set(key, value);
        }
        let checksum = checksum_of(&all);
        all.set(keys::TABLE_CHECKSUM, checksum);
        TableProperties::from_properties(all)
    }

    fn put_identity(&self, all: &mut Properties) {
        all.set(keys::TABLE_NAME, &self.name);
        if let Some(database) = &self.database {
            all.set(keys::DATABASE_NAME, database);
        }
        let version = TableVersion::Six;
        all.set(keys::TABLE_TYPE, self.table_type.as_str());
        all.set(keys::TABLE_VERSION, version.to_string());
        all.set(keys::TIMELINE_LAYOUT_VERSION, version.layout().number().to_string());
        all.set(keys::TIMELINE_TIMEZONE, "UTC");
        all.set(keys::ARCHIVELOG_FOLDER, "archived");
        all.set(keys::BASE_FILE_FORMAT, "PARQUET");
        all.set(keys::POPULATE_META_FIELDS, "true");
    }

    fn put_keys(&self, all: &mut Properties) {
        if !self.record_key_fields.is_empty() {
            all.set(keys::RECORDKEY_FIELDS, self.record_key_fields.join(","));
        }
        if !self.partition_fields.is_empty() {
            all.set(keys::PARTITION_FIELDS, self.partition_fields.join(","));
        }
        all.set(keys::KEYGENERATOR_CLASS, self.key_generator.class());
        all.set(keys::HIVE_STYLE_PARTITIONING, "true");
        all.set(keys::PARTITIONPATH_URLENCODE, "true");
        all.set(keys::DROP_PARTITION_COLUMNS, "false");
    }

    /// With an ordering column, the one payload that is right in every reader; without, arrival order.
    fn put_merging(&self, all: &mut Properties) {
        match &self.ordering_field {
            Some(field) => {
                all.set(keys::PRECOMBINE_FIELD, field);
                all.set(keys::PAYLOAD_ORDERING_FIELD, field);
                all.set(keys::PAYLOAD_CLASS, keys::DEFAULT_PAYLOAD);
            }
            None => all.set(keys::PAYLOAD_CLASS, keys::OVERWRITE_WITH_LATEST_PAYLOAD),
        }
        if self.table_type == TableType::MergeOnRead {
            all.set(keys::RECORD_MERGER_STRATEGY, keys::EVENT_TIME_MERGER);
        }
    }
}

/// What the members of [`NewTable`] decide, or what would make the table another than it is.
const DECIDED: [&str; 13] = [
    keys::TABLE_NAME,
    keys::DATABASE_NAME,
    keys::TABLE_TYPE,
    keys::TABLE_VERSION,
    keys::TIMELINE_LAYOUT_VERSION,
    keys::TIMELINE_TIMEZONE,
    keys::TABLE_CHECKSUM,
    keys::RECORDKEY_FIELDS,
    keys::PARTITION_FIELDS,
    keys::PRECOMBINE_FIELD,
    keys::BASE_FILE_FORMAT,
    keys::METADATA_PARTITIONS,
    keys::METADATA_PARTITIONS_INFLIGHT,
];

fn verify_extra(key: &str, value: &str) -> Result<()> {
    if !key.starts_with(keys::PREFIX) {
        return Err(Error::bad_property(key, value, format!("a property whose name begins with `{}`", keys::PREFIX)));
    }
    if DECIDED.contains(&key) {
        return Err(Error::bad_property(
            key,
            value,
            "no further property of this name: the table's own settings decide it",
        ));
    }
    Ok(())
}
