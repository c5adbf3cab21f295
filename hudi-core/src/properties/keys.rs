//! Every `hoodie.*` name and every value with a fixed spelling, once, with its meaning.
//!
//! Holds constants only. Format sections 1.4, 6.2, 7.1 and 8.1. "v6", "v8", "v9": the table versions that write the key;
//! without: all.

/// The properties' file name.
pub const PROPERTIES_FILE: &str = "hoodie.properties";
/// The copy that exists in the middle of an update.
pub const PROPERTIES_BACKUP_FILE: &str = "hoodie.properties.backup";
/// What every name of a Hudi property begins with.
pub const PREFIX: &str = "hoodie.";
/// The namespace of a table's Avro record is this and the table's name.
pub const AVRO_NAMESPACE: &str = "hoodie";

/// The table's name. Required.
pub const TABLE_NAME: &str = "hoodie.table.name";
/// The database's name; part of the checksum.
pub const DATABASE_NAME: &str = "hoodie.database.name";
/// `COPY_ON_WRITE` or `MERGE_ON_READ`. Required.
pub const TABLE_TYPE: &str = "hoodie.table.type";
/// The version of the format. Required.
pub const TABLE_VERSION: &str = "hoodie.table.version";
/// The version at creation. v8, v9.
pub const TABLE_INITIAL_VERSION: &str = "hoodie.table.initial.version";
/// `1` with v6, `2` with v8 and v9. Required.
pub const TIMELINE_LAYOUT_VERSION: &str = "hoodie.timeline.layout.version";
/// The timeline's folder below `.hoodie`. v8, v9; default `timeline`.
pub const TIMELINE_PATH: &str = "hoodie.timeline.path";
/// The archive's folder below the timeline's. v8, v9; default `history`.
pub const TIMELINE_HISTORY_PATH: &str = "hoodie.timeline.history.path";
/// `UTC` or `LOCAL`: the zone of instants. Java's default is `LOCAL`, so it is always written.
pub const TIMELINE_TIMEZONE: &str = "hoodie.table.timeline.timezone";
/// CRC-32 of `<database>.<table>`, decimal. Does not cover the file.
pub const TABLE_CHECKSUM: &str = "hoodie.table.checksum";
/// The archive's folder below `.hoodie`. v6: `archived`.
pub const ARCHIVELOG_FOLDER: &str = "hoodie.archivelog.folder";
/// `PARQUET` (default), `ORC`, `HFILE`.
pub const BASE_FILE_FORMAT: &str = "hoodie.table.base.file.format";
/// Comma list of the columns that make the record key.
pub const RECORDKEY_FIELDS: &str = "hoodie.table.recordkey.fields";
/// Comma list of the partition columns; absent or empty: not partitioned.
pub const PARTITION_FIELDS: &str = "hoodie.table.partition.fields";
/// The class that makes keys. v6.
pub const KEYGENERATOR_CLASS: &str = "hoodie.table.keygenerator.class";
/// The kind of class that makes keys. v8, v9.
pub const KEYGENERATOR_TYPE: &str = "hoodie.table.keygenerator.type";
/// Whether partition folders are named `column=value`; default false.
pub const HIVE_STYLE_PARTITIONING: &str = "hoodie.datasource.write.hive_style_partitioning";
/// Whether partition values are escaped in paths; default false.
pub const PARTITIONPATH_URLENCODE: &str = "hoodie.datasource.write.partitionpath.urlencode";
/// Whether partition columns are left out of the files; default false.
pub const DROP_PARTITION_COLUMNS: &str = "hoodie.datasource.write.drop.partition.columns";
/// Whether the meta columns are filled; default true.
pub const POPULATE_META_FIELDS: &str = "hoodie.populate.meta.fields";
/// The ordering column. v6, v8.
pub const PRECOMBINE_FIELD: &str = "hoodie.table.precombine.field";
/// The ordering columns, comma list. v9.
pub const ORDERING_FIELDS: &str = "hoodie.table.ordering.fields";
/// The ordering column once more, for the compaction procedures of 0.14 and 0.15, which look for `ts` without it. v6.
pub const PAYLOAD_ORDERING_FIELD: &str = "hoodie.payload.ordering.field";
/// The class that decides which of two versions of a row wins. v6, v8.
pub const PAYLOAD_CLASS: &str = "hoodie.compaction.payload.class";
/// The merger's UUID. v6.
pub const RECORD_MERGER_STRATEGY: &str = "hoodie.compaction.record.merger.strategy";
/// `EVENT_TIME_ORDERING`, `COMMIT_TIME_ORDERING` or `CUSTOM`. v8, v9.
pub const RECORD_MERGE_MODE: &str = "hoodie.record.merge.mode";
/// The merger's UUID. v8, v9.
pub const RECORD_MERGE_STRATEGY_ID: &str = "hoodie.record.merge.strategy.id";
/// The Avro schema at creation, without meta columns.
pub const CREATE_SCHEMA: &str = "hoodie.table.create.schema";
/// Comma list of the metadata table's ready partitions; absent or empty: there is no metadata table.
pub const METADATA_PARTITIONS: &str = "hoodie.table.metadata.partitions";
/// Comma list of the metadata table's partitions that are being built.
pub const METADATA_PARTITIONS_INFLIGHT: &str = "hoodie.table.metadata.partitions.inflight";
/// Where the definitions of the metadata table's indexes are.
pub const INDEX_DEFS_PATH: &str = "hoodie.table.index.defs.path";
/// Whether writers keep CDC logs.
pub const CDC_ENABLED: &str = "hoodie.table.cdc.enabled";
/// The table that this one was bootstrapped from.
pub const BOOTSTRAP_BASE_PATH: &str = "hoodie.bootstrap.base.path";
/// Whether timestamps in keys are printed as dates; a write setting that Java does not persist, default false.
pub const KEYGEN_CONSISTENT_TIMESTAMP: &str =
    "hoodie.datasource.write.keygenerator.consistent.logical.timestamp.enabled";

/// The index. A write setting in Hudi; our tables remember it.
pub const INDEX_TYPE: &str = "hoodie.index.type";
/// `SIMPLE` or `CONSISTENT_HASHING`.
pub const INDEX_BUCKET_ENGINE: &str = "hoodie.index.bucket.engine";
/// How many file groups a partition has.
pub const BUCKET_NUM_BUCKETS: &str = "hoodie.bucket.index.num.buckets";
/// Comma list of the key columns that are hashed; default: all.
pub const BUCKET_HASH_FIELD: &str = "hoodie.bucket.index.hash.field";

/// In a catalog's SerDe parameters: whether a merge-on-read table answers with its base files alone.
pub const QUERY_AS_RO_TABLE: &str = "hoodie.query.as.ro.table";

/// Ours: a row's partition columns never change, as the user declared.
pub const PARTITION_IMMUTABLE: &str = "hoodie.cdc.partition.immutable";
/// Ours: what becomes of changes, `upsert` (also where nothing is said), `soft-delete` or `history`.
pub const TABLE_MODE: &str = "hoodie.cdc.mode";
/// Ours: of a table that keeps every change, comma list of the columns that are the key of the source's rows.
pub const HISTORY_KEY: &str = "hoodie.cdc.history.key";

/// Footer key of the Base64 bloom filter of a base file.
pub const FOOTER_BLOOM_FILTER: &str = "org.apache.hudi.bloomfilter";
/// Footer key of the bloom filter's kind; absent: `SIMPLE`.
pub const FOOTER_BLOOM_TYPE_CODE: &str = "hoodie_bloom_filter_type_code";
/// Footer key of the smallest record key of a base file.
pub const FOOTER_MIN_RECORD_KEY: &str = "hoodie_min_record_key";
/// Footer key of the greatest record key of a base file.
pub const FOOTER_MAX_RECORD_KEY: &str = "hoodie_max_record_key";

/// Value of [`KEYGENERATOR_CLASS`]: one key column, one partition column.
pub const SIMPLE_KEY_GENERATOR: &str = "org.apache.hudi.keygen.SimpleKeyGenerator";
/// Value of [`KEYGENERATOR_CLASS`]: several key or partition columns.
pub const COMPLEX_KEY_GENERATOR: &str = "org.apache.hudi.keygen.ComplexKeyGenerator";
/// Value of [`KEYGENERATOR_CLASS`]: no partition column.
pub const NON_PARTITIONED_KEY_GENERATOR: &str = "org.apache.hudi.keygen.NonpartitionedKeyGenerator";
/// Value of [`PAYLOAD_CLASS`]: the greater ordering value wins, everywhere.
pub const DEFAULT_PAYLOAD: &str = "org.apache.hudi.common.model.DefaultHoodieRecordPayload";
/// Value of [`PAYLOAD_CLASS`]: the later write wins.
pub const OVERWRITE_WITH_LATEST_PAYLOAD: &str = "org.apache.hudi.common.model.OverwriteWithLatestAvroPayload";
/// Value of [`RECORD_MERGER_STRATEGY`]: the one every built-in payload uses.
pub const EVENT_TIME_MERGER: &str = "eeb8d96f-b1e4-49fd-bbf8-28ac514178e5";
