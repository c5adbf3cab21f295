//! [`FormatOptions`]: the form of the messages as a command line tells it, and the decoder that reads it.

use std::path::{Path, PathBuf};

use cdc_decoders::Decoder;
use cdc_decoders::debezium::{DebeziumAvro, DebeziumJson, DeclaredSchema};
use clap::{Args, ValueEnum};
use hudi_writer::TableWriter;

use crate::{Failure, Schemas};

/// The form of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Debezium's envelope in JSON, with or without inline schema.
    DebeziumJson,
    /// Debezium's envelope in Avro.
    DebeziumAvro,
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
}

/// Makes the decoders of topics.
#[derive(Debug, Clone)]
pub struct Decoders {
    format: Format,
    declared: Option<DeclaredSchema>,
    /// The schemas that messages were written with.
    pub schemas: Schemas,
}

impl FormatOptions {
    /// What makes the decoders.
    ///
    /// # Errors
    /// Where a file cannot be read, or says what no decoder follows.
    pub fn decoders(&self) -> Result<Decoders, Failure> {
        Ok(Decoders {
            format: self.format,
            declared: self.schema.as_deref().map(declared).transpose()?,
            schemas: self.schemas.as_ref().map(Schemas::in_folder).unwrap_or_default(),
        })
    }
}

impl Decoders {
    /// Those of a format whose messages bring no schema.
    #[must_use]
    pub fn new(format: Format, declared: Option<DeclaredSchema>, schemas: Schemas) -> Self {
        Self { format, declared, schemas }
    }

    /// A decoder of one topic: `key` in place of the messages' own key columns, and going on with the columns of a table.
    ///
    /// # Errors
    /// Where the table has columns that no decoder gives.
    pub fn decoder(&self, key: &[String], writer: Option<&TableWriter>) -> Result<Box<dyn Decoder>, Failure> {
        let known = writer.and_then(TableWriter::source_columns);
        let key = (!key.is_empty()).then(|| key.to_vec());
        Ok(match self.format {
            Format::DebeziumJson => {
                let mut builder = DebeziumJson::builder();
                if let Some(key) = key {
                    builder = builder.key_columns(key);
                }
                if let Some(schema) = &self.declared {
                    builder = builder.declared(schema.clone());
                }
                if let Some(columns) = known {
                    builder = builder.known(&columns);
                }
                Box::new(builder.build()?)
            }
            Format::DebeziumAvro => {
                let mut builder = DebeziumAvro::builder();
                if let Some(key) = key {
                    builder = builder.key_columns(key);
                }
                Box::new(builder.build()?)
            }
        })
    }
}

fn declared(path: &Path) -> Result<DeclaredSchema, Failure> {
    let wrong = |error: String| Failure::usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    DeclaredSchema::from_json(&text).map_err(|error| wrong(error.to_string()))
}
