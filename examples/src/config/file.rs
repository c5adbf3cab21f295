//! What can be said in a file: [`Config`]. Everything has a default but the brokers, the topics, the format and the tables' place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Deserialize;

use super::amounts::{Bytes, Duration};
use crate::Format;

/// What `kafka_to_hudi` is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the messages are.
    pub kafka: KafkaConfig,
    /// What they look like.
    pub format: FormatConfig,
    /// Where their schemas are.
    pub registry: Option<RegistryConfig>,
    /// The tables.
    pub tables: TableConfig,
    /// Tables that are otherwise. The first whose topics match counts.
    #[serde(rename = "override")]
    pub overrides: Vec<TableConfig>,
    /// When tables commit.
    pub commit: CommitConfig,
    /// How much is held.
    pub memory: MemoryConfig,
    /// What is done about what is wrong.
    pub errors: ErrorConfig,
    /// Where Athena finds the tables. Default: nowhere.
    pub glue: Option<GlueConfig>,
    /// What is told of how it goes.
    pub watch: WatchConfig,
    /// What is logged.
    pub log: LogConfig,
}

/// Where the messages are.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// Brokers to ask first: `host:port`, by comma.
    pub brokers: String,
    /// The consumer group. Default `hudi`.
    pub group: Option<String>,
    /// The topics; or
    pub topics: Vec<String>,
    /// all whose name this finds, those that come later too. Begins with `^`.
    pub topic_pattern: Option<String>,
    /// Where a topic begins that no table was read from: `earliest` (default), `latest`, `refuse`.
    pub unread: Option<String>,
    /// Where messages are gone that were never read: `stop` (default), `earliest`.
    pub on_gap: Option<String>,
    /// Where a topic was made anew: `stop` (default), `earliest`.
    pub on_topic_remade: Option<String>,
    /// Tokens for Amazon MSK (feature `msk-iam`), for this region.
    pub msk_iam_region: Option<String>,
    /// What librdkafka is told, by its own names.
    pub client: BTreeMap<String, String>,
}

/// What the messages look like.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FormatConfig {
    /// `debezium-json`, `debezium-avro`, `debezium-flat-json`, `debezium-flat-avro`, `cloudevents`.
    pub name: Option<Format>,
    /// A file with the schema of messages that bring none.
    pub schema: Option<PathBuf>,
    /// A folder of schemas, each in a file `<id>.avsc`.
    pub schemas: Option<PathBuf>,
    /// Settings of the format.
    pub settings: BTreeMap<String, String>,
    /// What columns are to be in place of what is sent: `PATTERN:ACTION`.
    pub overrides: Vec<String>,
    /// Keys to hash with, each in a file.
    pub hash_keys: BTreeMap<String, String>,
}

/// A registry of schemas.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// Its addresses, asked in turn.
    pub urls: Vec<String>,
    /// A name,
    pub user: Option<String>,
    /// with its password; or
    pub password: Option<String>,
    /// a token.
    pub token: Option<String>,
    /// Apicurio's own API.
    pub apicurio: Option<String>,
    /// How long one request may take. Default 5 s.
    pub timeout: Option<Duration>,
}

/// Tables.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableConfig {
    /// In `[[override]]`: the topics whose tables are so, with `*` for anything.
    pub topics: Option<Vec<String>>,
    /// Where a topic's table is: a folder's path, file:///… or s3://…, with `{topic}`, `{db}`, `{schema}`, `{table}` in it.
    pub url: Option<String>,
    /// The columns of the record key. Default: those of the messages' key.
    pub key: Option<Vec<String>>,
    /// The columns of the partition path.
    pub partition_by: Option<Vec<String>>,
    /// A row's partition columns never change.
    pub partition_immutable: Option<bool>,
    /// `simple`, `global-simple` or `bucket:N`.
    pub index: Option<String>,
    /// What becomes of changes: `upsert` (default), `soft`, `history`.
    pub mode: Option<String>,
    /// Further table properties.
    pub properties: Option<BTreeMap<String, String>>,
    /// Whose checkpoint the commits carry. Default `default`.
    pub pipeline: Option<String>,
    /// A table without a key takes several partitions of its topic.
    pub keyless_partitions: Option<bool>,
    /// Several topics may feed the table.
    pub several_topics: Option<bool>,
    /// No other process writes the table.
    pub sole_writer: Option<bool>,
    /// What is done about a source that was restored or failed over: `stop` (default), `new-epoch`.
    pub on_source_went_back: Option<String>,
    /// What is done about rows that a later full snapshot does not have: `keep` (default), `replace`.
    pub on_second_snapshot: Option<String>,
    /// What is done with a column that comes to mean something else: `stop` (default), `new-column`, `dead-letter`.
    pub on_schema_conflict: Option<String>,
    /// What is done about a pending instant of another writer without a heartbeat: `leave` (default), `roll-back`.
    pub on_foreign_pending: Option<String>,
    /// When it commits, where not as `[commit]` says.
    pub commit: Option<CommitConfig>,
}

/// When a table commits: whichever comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommitConfig {
    /// So much memory is taken by what waits. Default 128 MiB, or a quarter of the budget.
    pub bytes: Option<Bytes>,
    /// So many changes wait. Default 1,000,000.
    pub rows: Option<u64>,
    /// The first of them has waited for so long. Default 60 s.
    pub age: Option<Duration>,
}

/// How much is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// Uncommitted changes and their messages, of all tables together. Default 512 MiB.
    pub budget: Option<Bytes>,
    /// Of one table, while others need memory too. Default: half of the budget.
    pub table_share: Option<Bytes>,
    /// How many tables commit at a time. Default 4.
    pub concurrent_commits: Option<usize>,
}

/// What is done about what is wrong.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorConfig {
    /// About a message that cannot become a row: `dead-letter` (default), `stop`.
    pub bad_message: Option<String>,
    /// How many a minute may become dead letters of a table before it stops. Default 1,000; 0: any number.
    pub dead_letters_per_minute: Option<u32>,
    /// A table that cannot go on ends the program, in place of stopping alone.
    pub stop_with_a_table: bool,
}

/// Tables in AWS Glue.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GlueConfig {
    /// The database, with `{name}` and `{parent}` in it if there are to be several.
    pub database: Option<String>,
    /// What tables are called: `{name}` (default) as their properties say, `{parent}` the folder that they stand in.
    pub table: Option<String>,
    /// Makes the database where it is not there. Default: yes.
    pub create_database: Option<bool>,
    /// The catalog, an account's number. Default: the caller's own.
    pub catalog_id: Option<String>,
    /// Its region. Default: as found in the environment.
    pub region: Option<String>,
    /// Where the service is, if not at AWS.
    pub endpoint: Option<String>,
    /// A role to assume: that of another account, to write to its catalog.
    pub role_arn: Option<String>,
    /// What the role's owner asks to be told.
    pub external_id: Option<String>,
    /// Whether Athena reads with its newer Hudi connector. Default: as it stands in Glue.
    pub native_connector: Option<bool>,
    /// More parameters of every table.
    pub parameters: BTreeMap<String, String>,
    /// How long syncs of a table may fail before it is not well. Default 10 min.
    pub max_failing: Option<Duration>,
}

/// What is told of how it goes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchConfig {
    /// Where `/metrics` and `/healthz` are answered: `host:port`. Default: nowhere.
    pub address: Option<String>,
    /// How long a table's commits may fail before it is not well. Default 60 s.
    pub max_failing: Option<Duration>,
    /// How long ago the source may have committed what is not in its table. Default: however long.
    pub max_freshness: Option<Duration>,
}

/// What is logged.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` (default), `json`.
    pub format: LogFormat,
    /// What: `info` (default), `debug`, or `tracing`'s directives.
    pub level: Option<String>,
}

/// How a log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// A line of text an event.
    #[default]
    Text,
    /// A JSON object an event.
    Json,
}
