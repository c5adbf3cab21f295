//! [`FormatOptions`]: the form of the messages as a command line tells it, and [`Decoders`], which read it.

use std::path::{Path, PathBuf};

use arrow::datatypes::Schema;
use cdc_decoders::debezium::{
    DebeziumAvro, DebeziumBuilder, DebeziumCloudEvents, DebeziumFlatAvro, DebeziumFlatJson, DebeziumJson,
    DeclaredSchema, Flattened, InAvro, KeyFormat, Tombstones,
};
use cdc_decoders::overrides::{HashKeys, Overrides};
use cdc_decoders::{Decoder, Framing};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::{Failure, FeedSettings, OnBadMessage, Schemas};

/// The form of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Debezium's envelope in JSON, with or without inline schema.
    DebeziumJson,
    /// Debezium's envelope in Avro.
    DebeziumAvro,
    /// Rows flattened by ExtractNewRecordState, in JSON.
    DebeziumFlatJson,
    /// The same in Avro.
    DebeziumFlatAvro,
    /// Debezium's CloudEvents, structured, in JSON.
    Cloudevents,
}

/// What a command line says of the messages.
#[derive(Debug, Clone, Args)]
pub struct FormatOptions {
    /// The form of the messages.
    #[arg(long)]
    pub format: Format,
    /// The schema of messages that bring none: Kafka Connect's JSON, or Avro.
    #[arg(long)]
    pub schema: Option<PathBuf>,
    /// A folder of the schemas that messages were written with, each in a file `<id>.avsc`.
    #[arg(long, value_name = "DIR")]
    pub schemas: Option<PathBuf>,
    /// A setting of the format; `docs/decoders.md` lists them.
    #[arg(long = "set-format", value_name = "KEY=VALUE", value_parser = crate::parse_property)]
    pub settings: Vec<(String, String)>,
    /// What a column is to be in place of what is sent: its name, or TOPIC.COLUMN, with `*`; and `type=T`, `zone=Z`, `drop`, `null` or
    /// `hash=KEY`. May be given several times.
    #[arg(long = "override", value_name = "PATTERN:ACTION")]
    pub overrides: Vec<String>,
    /// A key to hash with, in a file.
    #[arg(long = "hash-key", value_name = "KEY=FILE", value_parser = crate::parse_property)]
    pub hash_keys: Vec<(String, String)>,
}

/// Makes the decoders of topics.
#[derive(Debug, Clone)]
pub struct Decoders {
    format: Format,
    declared: Option<DeclaredSchema>,
    settings: Vec<(String, String)>,
    /// The schemas that messages were written with.
    pub schemas: Schemas,
    /// What columns are to be in place of what is sent.
    pub overrides: Overrides,
}

impl FormatOptions {
    /// What makes the decoders.
    ///
    /// # Errors
    /// Where a file cannot be read, or something says what no decoder follows.
    pub fn decoders(&self) -> Result<Decoders, Failure> {
        let mut keys = HashKeys::default();
        for (name, path) in &self.hash_keys {
            let key = std::fs::read(path).map_err(|error| Failure::usage(format!("{path}: {error}")))?;
            keys = keys.with(name, key.trim_ascii()).map_err(|error| Failure::usage(error.to_string()))?;
        }
        let rules = self.overrides.iter().map(String::as_str);
        let decoders = Decoders {
            format: self.format,
            declared: self.schema.as_deref().map(declared).transpose()?,
            settings: self.settings.clone(),
            schemas: self.schemas.as_ref().map(Schemas::in_folder).unwrap_or_default(),
            overrides: Overrides::parse(rules, keys).map_err(|error| Failure::usage(error.to_string()))?,
        };
        // Settings that are none are told before anything is read.
        decoders.decoder("", &[], None).map(|_| decoders).map_err(|failure| Failure::usage(failure.to_string()))
    }
}

impl Decoders {
    /// Those of a format, with nothing else told.
    #[must_use]
    pub fn new(format: Format, declared: Option<DeclaredSchema>, schemas: Schemas) -> Self {
        Self { format, declared, settings: vec![], schemas, overrides: Overrides::default() }
    }

    /// A decoder of one topic: `key` in place of the messages' own key columns, and going on with the columns of a table.
    ///
    /// # Errors
    /// Where a setting is none of the format's, or the table has columns that no decoder gives.
    pub fn decoder(&self, topic: &str, key: &[String], columns: Option<&Schema>) -> Result<Box<dyn Decoder>, Failure> {
        let with = Told { decoders: self, topic, key, columns };
        Ok(match self.format {
            Format::DebeziumJson => Box::new(with.told(DebeziumJson::builder(), none)?.build()?),
            Format::DebeziumAvro => Box::new(with.told(DebeziumAvro::builder(), avro)?.build()?),
            Format::DebeziumFlatJson => Box::new(with.told(DebeziumFlatJson::builder(), flat)?.build()?),
            Format::DebeziumFlatAvro => Box::new(with.told(DebeziumFlatAvro::builder(), flat_avro)?.build()?),
            Format::Cloudevents => Box::new(with.told(DebeziumCloudEvents::builder(), none)?.build()?),
        })
    }
}

impl Decoders {
    /// How messages of this form become changes.
    #[must_use]
    pub fn into_feed(self, on_bad: OnBadMessage) -> FeedSettings {
        let (schemas, overrides) = (self.schemas.clone(), self.overrides.clone());
        let decoder = move |topic: &str, key: &[String], columns: Option<&Schema>| self.decoder(topic, key, columns);
        let decoders = Box::new(decoder);
        FeedSettings { decoders, schemas, overrides, on_bad }
    }
}

/// What a decoder is told.
struct Told<'a> {
    decoders: &'a Decoders,
    topic: &'a str,
    key: &'a [String],
    columns: Option<&'a Schema>,
}

/// A builder with a setting; or the builder as it was, where the setting is of another format.
type Set<D> = Result<Result<DebeziumBuilder<D>, DebeziumBuilder<D>>, Failure>;

impl Told<'_> {
    fn told<D>(
        &self,
        mut builder: DebeziumBuilder<D>,
        of_format: fn(DebeziumBuilder<D>, &str, &str) -> Set<D>,
    ) -> Result<DebeziumBuilder<D>, Failure> {
        if !self.key.is_empty() {
            builder = builder.key_columns(self.key.to_vec());
        }
        if let Some(schema) = &self.decoders.declared {
            builder = builder.declared(schema.clone());
        }
        if let Some(columns) = self.columns {
            builder = builder.known(&self.decoders.overrides.known(self.topic, columns));
        }
        for (name, value) in &self.decoders.settings {
            builder = match name.as_str() {
                "unavailable.value.placeholder" => builder.unavailable_placeholder(value),
                "signal.data.collection" => builder.signals(value),
                "keys.never.change" if value == "true" => builder.keys_never_change(),
                _ => of_format(builder, name, value)?.map_err(|_| unknown(self.decoders.format, name, value))?,
            };
        }
        Ok(builder)
    }
}

fn unknown(format: Format, name: &str, value: &str) -> Failure {
    let format = format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    Failure::usage(format!("--set-format {name}={value}: no such setting of {format}; docs/decoders.md lists them"))
}

fn none<D>(builder: DebeziumBuilder<D>, _: &str, _: &str) -> Set<D> {
    Ok(Err(builder))
}

fn flat<D: Flattened>(builder: DebeziumBuilder<D>, name: &str, value: &str) -> Set<D> {
    Ok(Ok(match (name, value) {
        ("add.fields", list) => builder.add_fields(list),
        ("add.fields.prefix", prefix) => builder.add_fields_prefix(prefix),
        ("add.headers", list) => builder.add_headers(list),
        ("add.headers.prefix", prefix) => builder.add_headers_prefix(prefix),
        ("nulls", "delete") => builder.tombstones(Tombstones::Delete),
        ("nulls", "skip") => builder.tombstones(Tombstones::Skip),
        ("connector", connector) => builder.connector(connector),
        _ => return Ok(Err(builder)),
    }))
}

fn avro<D: InAvro>(builder: DebeziumBuilder<D>, name: &str, value: &str) -> Set<D> {
    Ok(Ok(match (name, value) {
        ("framing", "auto") => builder.framing(Framing::Auto),
        ("framing", "id") => builder.framing(Framing::Id),
        ("framing", "global-id") => builder.framing(Framing::GlobalId),
        ("framing", "glue") => builder.framing(Framing::Glue),
        ("framing", "headers") => builder.framing(Framing::Headers),
        ("key.format", "auto") => builder.key_format(KeyFormat::Auto),
        ("key.format", "avro") => builder.key_format(KeyFormat::Avro),
        ("key.format", "json") => builder.key_format(KeyFormat::Json),
        ("key.format", "opaque") => builder.key_format(KeyFormat::Opaque),
        // Of messages without frame: the files of the value's schema, and of the key's.
        ("unframed", files) => {
            let (value, key) = files.split_once(',').map_or((files, None), |(value, key)| (value, Some(key)));
            builder.unframed(text_of(value)?, key.map(text_of).transpose()?)
        }
        _ => return Ok(Err(builder)),
    }))
}

fn flat_avro<D: Flattened + InAvro>(builder: DebeziumBuilder<D>, name: &str, value: &str) -> Set<D> {
    match flat(builder, name, value)? {
        Ok(builder) => Ok(Ok(builder)),
        Err(builder) => avro(builder, name, value),
    }
}

fn text_of(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{path}: {error}")))
}

fn declared(path: &Path) -> Result<DeclaredSchema, Failure> {
    let wrong = |error: String| Failure::usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    DeclaredSchema::from_json(&text).map_err(|error| wrong(error.to_string()))
}
