//! [`TableProperties`]: what the properties say, typed.
//!
//! Every key is kept, known or not, and written back untouched. Does not say how a new table's are made (`new_table`) nor in
//! which steps the file changes (`update`). Format sections 1.3, 1.4 and 6.2; table versions 6, 8 and 9.

use super::keys;
use super::text::{Properties, checksum};
use crate::error::{Error, Result};
use crate::version::{TableType, TableVersion, TimelineLayout};

/// The zone in which instants are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timezone {
    /// As all our tables.
    Utc,
    /// That of each Java process; also when the key is absent.
    Local,
}

/// The format of base files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BaseFileFormat {
    /// The only one we read and write.
    Parquet,
    /// Any other, by its name.
    Other(String),
}

/// What makes record keys and partition paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyGenerator {
    /// One key column, one partition column.
    Simple,
    /// Several key or partition columns.
    Complex,
    /// One or several key columns, no partition.
    NonPartitioned,
    /// One that we do not write with, by its class or type.
    Other(String),
}

impl KeyGenerator {
    /// The class, as version 6 names it.
    pub fn class(&self) -> &str {
        match self {
            Self::Simple => keys::SIMPLE_KEY_GENERATOR,
            Self::Complex => keys::COMPLEX_KEY_GENERATOR,
            Self::NonPartitioned => keys::NON_PARTITIONED_KEY_GENERATOR,
            Self::Other(class) => class,
        }
    }

    /// That of this class (version 6).
    pub fn from_class(class: &str) -> Self {
        [Self::Simple, Self::Complex, Self::NonPartitioned]
            .into_iter()
            .find(|g| g.class() == class)
            .unwrap_or_else(|| Self::Other(class.to_owned()))
    }

    /// That of this type (versions 8 and 9).
    pub fn from_type(name: &str) -> Self {
        match name {
            "SIMPLE" | "SIMPLE_AVRO" => Self::Simple,
            "COMPLEX" | "COMPLEX_AVRO" => Self::Complex,
            "NON_PARTITION" | "NON_PARTITION_AVRO" => Self::NonPartitioned,
            other => Self::Other(other.to_owned()),
        }
    }

    /// What Java takes when nothing is configured.
    pub fn inferred(record_key_fields: usize, partition_fields: usize) -> Self {
        match (record_key_fields, partition_fields) {
            (_, 0) => Self::NonPartitioned,
            (0 | 1, 1) => Self::Simple,
            _ => Self::Complex,
        }
    }
}

/// What becomes of changes: fixed for the life of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// A key's newest change is its row; a deleted row is gone.
    #[default]
    Upsert,
    /// The same, but a deleted row stays, with the values that it had, marked.
    SoftDelete,
    /// Every change is a row, deletes and truncates too.
    History,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Upsert, Self::SoftDelete, Self::History];

    /// Its name in the properties.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::SoftDelete => "soft-delete",
            Self::History => "history",
        }
    }

    /// That of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    fn read(all: &Properties) -> Result<Self> {
        let Some(name) = non_empty(all, keys::TABLE_MODE) else { return Ok(Self::default()) };
        let wrong = || Error::bad_property(keys::TABLE_MODE, name, Self::ALL.map(Self::as_str).join(", "));
        Self::from_name(name).ok_or_else(wrong)
    }
}

/// How keys are found again, as far as the table remembers it. Hudi keeps this in each writer's settings only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TableIndex {
    /// The key's hash names the file group.
    Bucket {
        /// How many file groups a partition has.
        num_buckets: u32,
        /// The key columns that are hashed; empty: all.
        hash_fields: Vec<String>,
    },
    /// Any other, by Hudi's name: `SIMPLE`, `BLOOM`, …
    Named(String),
}

impl TableIndex {
    const BUCKET: &str = "BUCKET";
    const SIMPLE_ENGINE: &str = "SIMPLE";

    fn read(all: &Properties) -> Result<Option<Self>> {
        match non_empty(all, keys::INDEX_TYPE) {
            None => Ok(None),
            Some(Self::BUCKET) => Self::read_bucket(all).map(Some),
            Some(other) => Ok(Some(Self::Named(other.to_owned()))),
        }
    }

    fn read_bucket(all: &Properties) -> Result<Self> {
        let engine = non_empty(all, keys::INDEX_BUCKET_ENGINE).unwrap_or(Self::SIMPLE_ENGINE);
        if engine != Self::SIMPLE_ENGINE {
            return Err(Error::bad_property(keys::INDEX_BUCKET_ENGINE, engine, Self::SIMPLE_ENGINE));
        }
        let want = "a whole number from 1 to 99999999";
        let number = non_empty(all, keys::BUCKET_NUM_BUCKETS).ok_or_else(|| Error::MissingProperty {
            key: keys::BUCKET_NUM_BUCKETS.to_owned(),
            want: want.to_owned(),
        })?;
        let num_buckets = number.parse().ok().filter(|n| (1..100_000_000).contains(n));
        let num_buckets = num_buckets.ok_or_else(|| Error::bad_property(keys::BUCKET_NUM_BUCKETS, number, want))?;
        Ok(Self::Bucket { num_buckets, hash_fields: list(all, keys::BUCKET_HASH_FIELD) })
    }

    pub(super) fn write(&self, all: &mut Properties) {
        match self {
            Self::Named(name) => all.set(keys::INDEX_TYPE, name),
            Self::Bucket { num_buckets, hash_fields } => {
                all.set(keys::INDEX_TYPE, Self::BUCKET);
                all.set(keys::INDEX_BUCKET_ENGINE, Self::SIMPLE_ENGINE);
                all.set(keys::BUCKET_NUM_BUCKETS, num_buckets.to_string());
                if !hash_fields.is_empty() {
                    all.set(keys::BUCKET_HASH_FIELD, hash_fields.join(","));
                }
            }
        }
    }
}

/// The properties of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableProperties {
    all: Properties,
    table_type: TableType,
    version: TableVersion,
    record_key_fields: Vec<String>,
    partition_fields: Vec<String>,
    key_generator: KeyGenerator,
    ordering_fields: Vec<String>,
    hive_style: bool,
    url_encode: bool,
    drop_partition_columns: bool,
    populate_meta_fields: bool,
    cdc_enabled: bool,
    timezone: Timezone,
    base_file_format: BaseFileFormat,
    metadata_partitions: Vec<String>,
    index: Option<TableIndex>,
    mode: Mode,
    history_key: Vec<String>,
}

impl TableProperties {
    /// Reads the file's text.
    ///
    /// Errors: `MissingProperty`, `BadProperty` or `Unsupported` naming the key; `Corrupt` for text that is no properties,
    /// or whose checksum is not that of the table's name (half an update: see [`super::recovery`]).
    pub fn parse(text: &str) -> Result<Self> {
        Self::from_properties(Properties::parse(text)?)
    }

    /// The typed view of these properties. Errors: as [`Self::parse`].
    pub fn from_properties(all: Properties) -> Result<Self> {
        required(&all, keys::TABLE_NAME, "the table's name")?;
        verify_checksum(&all)?;
        let version = read_version(&all)?;
        verify_layout(&all, version)?;
        let record_key_fields = list(&all, keys::RECORDKEY_FIELDS);
        let partition_fields: Vec<String> =
            list(&all, keys::PARTITION_FIELDS).into_iter().map(without_partition_type).collect();
        let key_generator = read_key_generator(&all, record_key_fields.len(), partition_fields.len());
        Ok(Self {
            table_type: match non_empty(&all, keys::TABLE_TYPE) {
                Some(name) => TableType::from_name(name)
                    .ok_or_else(|| Error::bad_property(keys::TABLE_TYPE, name, "COPY_ON_WRITE or MERGE_ON_READ"))?,
                None => TableType::CopyOnWrite,
            },
            version,
            record_key_fields,
            partition_fields,
            key_generator,
            ordering_fields: read_ordering_fields(&all),
            hive_style: boolean(&all, keys::HIVE_STYLE_PARTITIONING, false)?,
            url_encode: boolean(&all, keys::PARTITIONPATH_URLENCODE, false)?,
            drop_partition_columns: boolean(&all, keys::DROP_PARTITION_COLUMNS, false)?,
            populate_meta_fields: boolean(&all, keys::POPULATE_META_FIELDS, true)?,
            cdc_enabled: boolean(&all, keys::CDC_ENABLED, false)?,
            timezone: read_timezone(&all)?,
            base_file_format: match non_empty(&all, keys::BASE_FILE_FORMAT) {
                None | Some("PARQUET") => BaseFileFormat::Parquet,
                Some(other) => BaseFileFormat::Other(other.to_owned()),
            },
            metadata_partitions: list(&all, keys::METADATA_PARTITIONS),
            index: TableIndex::read(&all)?,
            mode: Mode::read(&all)?,
            history_key: list(&all, keys::HISTORY_KEY),
            all,
        })
    }

    /// The file's text, under Java's comment lines.
    pub fn to_text(&self, now_ms: i64) -> String {
        let comment = format!("Updated at {}", super::text::iso_instant(now_ms));
        self.all.to_text(&comment, now_ms)
    }

    /// All keys and values, in the order of the file.
    pub fn all(&self) -> &Properties {
        &self.all
    }

    /// The value of any key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all.get(key)
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        self.all.get(keys::TABLE_NAME).unwrap_or_default()
    }

    /// The database's name, if it has one.
    pub fn database(&self) -> Option<&str> {
        non_empty(&self.all, keys::DATABASE_NAME)
    }

    /// How updates reach the table.
    pub fn table_type(&self) -> TableType {
        self.table_type
    }

    /// The version of the format.
    pub fn version(&self) -> TableVersion {
        self.version
    }

    /// The layout of the timeline; always the version's.
    pub fn layout(&self) -> TimelineLayout {
        self.version.layout()
    }

    /// The columns of the record key, in its order.
    pub fn record_key_fields(&self) -> &[String] {
        &self.record_key_fields
    }

    /// The partition columns; empty: not partitioned.
    pub fn partition_fields(&self) -> &[String] {
        &self.partition_fields
    }

    /// What makes keys and partition paths; inferred as Java does where the table does not say.
    pub fn key_generator(&self) -> &KeyGenerator {
        &self.key_generator
    }

    /// The ordering column: the precombine field, or the first of the ordering fields.
    pub fn ordering_field(&self) -> Option<&str> {
        self.ordering_fields.first().map(String::as_str)
    }

    /// All ordering columns. More than one only in version 9.
    pub fn ordering_fields(&self) -> &[String] {
        &self.ordering_fields
    }

    /// Whether partition folders are named `column=value`.
    pub fn hive_style(&self) -> bool {
        self.hive_style
    }

    /// Whether partition values are escaped in paths.
    pub fn url_encode(&self) -> bool {
        self.url_encode
    }

    /// Whether partition columns are left out of the files.
    pub fn drop_partition_columns(&self) -> bool {
        self.drop_partition_columns
    }

    /// Whether the meta columns are filled.
    pub fn populate_meta_fields(&self) -> bool {
        self.populate_meta_fields
    }

    /// Whether writers keep CDC logs.
    pub fn cdc_enabled(&self) -> bool {
        self.cdc_enabled
    }

    /// The zone of instants.
    pub fn timezone(&self) -> Timezone {
        self.timezone
    }

    /// The format of base files.
    pub fn base_file_format(&self) -> &BaseFileFormat {
        &self.base_file_format
    }

    /// The class that decides which of two versions of a row wins.
    pub fn payload_class(&self) -> Option<&str> {
        non_empty(&self.all, keys::PAYLOAD_CLASS)
    }

    /// The ready partitions of the metadata table; empty: it has none.
    pub fn metadata_partitions(&self) -> &[String] {
        &self.metadata_partitions
    }

    /// The table that this one was bootstrapped from.
    pub fn bootstrap_base_path(&self) -> Option<&str> {
        non_empty(&self.all, keys::BOOTSTRAP_BASE_PATH)
    }

    /// The Avro schema at creation, JSON, without meta columns.
    pub fn create_schema(&self) -> Option<&str> {
        non_empty(&self.all, keys::CREATE_SCHEMA)
    }

    /// The archive's folder below `.hoodie` (timeline layout 1).
    pub fn archive_folder(&self) -> &str {
        non_empty(&self.all, keys::ARCHIVELOG_FOLDER).unwrap_or("archived")
    }

    /// What becomes of changes.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The columns that are the key of the source's rows: those of the record key, but in a table that keeps every change.
    pub fn source_key(&self) -> &[String] {
        if self.mode == Mode::History { &self.history_key } else { &self.record_key_fields }
    }

    /// The index that the table remembers.
    pub fn index(&self) -> Option<&TableIndex> {
        self.index.as_ref()
    }
}

/// The value of a key, an empty one being none.
fn non_empty<'a>(all: &'a Properties, key: &str) -> Option<&'a str> {
    all.get(key).map(str::trim).filter(|v| !v.is_empty())
}

fn required<'a>(all: &'a Properties, key: &str, want: &str) -> Result<&'a str> {
    non_empty(all, key).ok_or_else(|| Error::MissingProperty { key: key.to_owned(), want: want.to_owned() })
}

fn list(all: &Properties, key: &str) -> Vec<String> {
    let text = all.get(key).unwrap_or_default();
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn boolean(all: &Properties, key: &str, default: bool) -> Result<bool> {
    match non_empty(all, key) {
        None => Ok(default),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(text) => Err(Error::bad_property(key, text, "true or false")),
    }
}

fn number(all: &Properties, key: &str, want: &str) -> Result<u32> {
    let text = required(all, key, want)?;
    text.parse().map_err(|_| Error::bad_property(key, text, want))
}

fn read_version(all: &Properties) -> Result<TableVersion> {
    TableVersion::from_number(number(all, keys::TABLE_VERSION, "6, 8 or 9")?)
}

fn verify_layout(all: &Properties, version: TableVersion) -> Result<()> {
    let want = format!("{}, as table version {version} has", version.layout().number());
    let found = number(all, keys::TIMELINE_LAYOUT_VERSION, &want)?;
    if found == version.layout().number() {
        return Ok(());
    }
    Err(Error::bad_property(keys::TIMELINE_LAYOUT_VERSION, found.to_string(), want))
}

fn verify_checksum(all: &Properties) -> Result<()> {
    let Some(found) = non_empty(all, keys::TABLE_CHECKSUM) else { return Ok(()) };
    let want = checksum_of(all);
    if found == want {
        return Ok(());
    }
    Err(Error::corrupt("properties", format!("{} = `{found}`, computed {want}", keys::TABLE_CHECKSUM)))
}

/// The checksum that the properties must have.
pub(super) fn checksum_of(all: &Properties) -> String {
    let database = all.get(keys::DATABASE_NAME).unwrap_or_default();
    checksum(database, all.get(keys::TABLE_NAME).unwrap_or_default()).to_string()
}

fn read_timezone(all: &Properties) -> Result<Timezone> {
    match non_empty(all, keys::TIMELINE_TIMEZONE) {
        None => Ok(Timezone::Local),
        Some(text) if text.eq_ignore_ascii_case("UTC") => Ok(Timezone::Utc),
        Some(text) if text.eq_ignore_ascii_case("LOCAL") => Ok(Timezone::Local),
        Some(text) => Err(Error::bad_property(keys::TIMELINE_TIMEZONE, text, "UTC or LOCAL")),
    }
}

fn read_key_generator(all: &Properties, record_key_fields: usize, partition_fields: usize) -> KeyGenerator {
    if let Some(class) = non_empty(all, keys::KEYGENERATOR_CLASS) {
        return KeyGenerator::from_class(class);
    }
    match non_empty(all, keys::KEYGENERATOR_TYPE) {
        Some(name) => KeyGenerator::from_type(name),
        None => KeyGenerator::inferred(record_key_fields, partition_fields),
    }
}

fn read_ordering_fields(all: &Properties) -> Vec<String> {
    let fields = list(all, keys::ORDERING_FIELDS);
    if fields.is_empty() { list(all, keys::PRECOMBINE_FIELD) } else { fields }
}

/// The custom key generator of version 8 stores `column:TYPE`.
fn without_partition_type(field: String) -> String {
    match field.split_once(':') {
        Some((name, _)) => name.to_owned(),
        None => field,
    }
}
