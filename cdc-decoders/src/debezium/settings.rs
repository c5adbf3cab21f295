//! What a user tells a decoder of Debezium's: [`DebeziumBuilder`], one for all of them.

use std::marker::PhantomData;

use arrow::datatypes::Schema;

use super::metadata::Added;
use super::schema::DeclaredSchema;
use super::source::Connector;
use super::tombstone::Tombstones;
use super::topic::Plain;
use crate::error::DecodeError;
use crate::wire::Framing;

/// What the decoders are told.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) plain: Plain,
    pub(crate) key_columns: Option<Vec<String>>,
    pub(crate) keys_never_change: bool,
    pub(crate) placeholder: Option<String>,
    pub(crate) signals: Vec<String>,
    pub(crate) flat: FlatSettings,
    pub(crate) avro: AvroSettings,
}

/// What the decoders of Avro are told beside.
#[derive(Debug, Default)]
pub(crate) struct AvroSettings {
    pub(crate) framing: Framing,
    pub(crate) key_format: KeyFormat,
    /// The schemas of values and keys without frame.
    pub(crate) unframed: Option<(String, Option<String>)>,
}

/// What the message keys are written in; they may differ from the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyFormat {
    /// As they show: Avro where they have a registry's frame, or a header names their schema; else JSON.
    #[default]
    Auto,
    /// Avro, framed as the values are.
    Avro,
    /// JSON, with or without inline schema.
    Json,
    /// Something that holds no columns, as plain text: it is passed over.
    Opaque,
}

/// What the decoders of flattened rows are told beside.
#[derive(Debug, Default)]
pub(crate) struct FlatSettings {
    pub(crate) fields: Added,
    pub(crate) headers: Added,
    pub(crate) tombstones: Tombstones,
    pub(crate) connector: Option<String>,
}

/// The decoders of flattened rows.
pub trait Flattened: sealed::Sealed {}

/// The decoders of Avro.
pub trait InAvro: sealed::Sealed {}

pub(crate) mod sealed {
    /// Only our own decoders.
    pub trait Sealed {}
}

/// Settings of the decoder `D`; each decoder's `build` makes it.
#[derive(Debug)]
pub struct DebeziumBuilder<D> {
    pub(crate) settings: Settings,
    decoder: PhantomData<fn() -> D>,
}

impl<D> Default for DebeziumBuilder<D> {
    fn default() -> Self {
        Self { settings: Settings::default(), decoder: PhantomData }
    }
}

impl<D> DebeziumBuilder<D> {
    /// The schema of rows whose messages bring none.
    #[must_use]
    pub fn declared(mut self, schema: DeclaredSchema) -> Self {
        self.settings.plain.declared = Some(schema);
        self
    }

    /// The stored schema of the table that the changes go on with: without inline and declared schema its columns keep their types
    /// as long as the values allow. Columns that the table added are passed over.
    #[must_use]
    pub fn known(mut self, stored: &Schema) -> Self {
        self.settings.plain.known = Some(stored.clone());
        self
    }

    /// The key columns, in place of those of the message key.
    #[must_use]
    pub fn key_columns(mut self, names: Vec<String>) -> Self {
        self.settings.key_columns = Some(names);
        self
    }

    /// Declares that the source never changes [`key_columns`](Self::key_columns) of a row: then they may be others than those of the
    /// message key even where the source does not send the row before an update.
    #[must_use]
    pub const fn keys_never_change(mut self) -> Self {
        self.settings.keys_never_change = true;
        self
    }

    /// The connector's `unavailable.value.placeholder`, if it is not the default.
    #[must_use]
    pub fn unavailable_placeholder(mut self, placeholder: impl Into<String>) -> Self {
        self.settings.placeholder = Some(placeholder.into());
        self
    }

    /// The connector's `signal.data.collection`, or the topic of it: its messages are skipped as signals.
    #[must_use]
    pub fn signals(mut self, collection: impl Into<String>) -> Self {
        self.settings.signals.push(collection.into());
        self
    }
}

impl<D: Flattened> DebeziumBuilder<D> {
    /// The transform's `add.fields`, as it stands in its settings: `op,lsn,source.ts_ms:committed_at`. These members are no columns,
    /// and no others, but `__deleted`. Not told, it is every name that the transform makes of Debezium's own fields.
    #[must_use]
    pub fn add_fields(mut self, list: impl Into<String>) -> Self {
        self.settings.flat.fields.list = Some(list.into());
        self
    }

    /// The transform's `add.fields.prefix`, if it is not `__`. With an empty one, [`add_fields`](Self::add_fields) has to be told.
    #[must_use]
    pub fn add_fields_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.flat.fields.prefix = prefix.into();
        self
    }

    /// The transform's `add.headers`, in the same form.
    #[must_use]
    pub fn add_headers(mut self, list: impl Into<String>) -> Self {
        self.settings.flat.headers.list = Some(list.into());
        self
    }

    /// The transform's `add.headers.prefix`, if it is not `__`.
    #[must_use]
    pub fn add_headers_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.flat.headers.prefix = prefix.into();
        self
    }

    /// What a null is: by default a delete, but behind a deleted row of the same key.
    #[must_use]
    pub const fn tombstones(mut self, tombstones: Tombstones) -> Self {
        self.settings.flat.tombstones = tombstones;
        self
    }

    /// The connector that sends the changes, as source blocks name it: `postgresql`, `mysql`, `mariadb`, `oracle`, `sqlserver`, `db2`, `mongodb`.
    /// For messages that do not tell it.
    #[must_use]
    pub fn connector(mut self, name: impl Into<String>) -> Self {
        self.settings.flat.connector = Some(name.into());
        self
    }
}

impl<D: InAvro> DebeziumBuilder<D> {
    /// Where the ids of the schemas stand.
    #[must_use]
    pub const fn framing(mut self, framing: Framing) -> Self {
        self.settings.avro.framing = framing;
        self
    }

    /// What the message keys are written in.
    #[must_use]
    pub const fn key_format(mut self, format: KeyFormat) -> Self {
        self.settings.avro.key_format = format;
        self
    }

    /// The schemas of values and keys that come without frame ([`Framing::None`], which this sets).
    #[must_use]
    pub fn unframed(mut self, value: impl Into<String>, key: Option<String>) -> Self {
        self.settings.avro.framing = Framing::None;
        self.settings.avro.unframed = Some((value.into(), key));
        self
    }
}

impl FlatSettings {
    /// The connector of the user's name; `Other` where there is none.
    pub(crate) fn connector(&self) -> Result<Connector, DecodeError> {
        let Some(name) = self.connector.as_deref() else { return Ok(Connector::Other) };
        match Connector::parse(name.as_bytes()) {
            Connector::Other => {
                Err(DecodeError::schema("(connector)", format!("`{name}` is none whose positions are read")))
            }
            known => Ok(known),
        }
    }
}

impl Settings {
    /// Whether a topic is that of a signal table.
    pub(crate) fn is_signal(&self, topic: &str) -> bool {
        let is = |name: &String| {
            topic.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.signals.iter().any(is)
    }
}
