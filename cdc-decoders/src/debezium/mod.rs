//! Debezium's change events: the envelope, its schemas, its source blocks; and rows that a transform took out of it.
//!
//! Reading order: `settings` (what users say), `event` (what a change does to the columns), `buffer` (what is kept between flushes),
//! `topic` (what is remembered between messages); the decoders `json` with `envelope` (a message taken apart), `key` (the message key),
//! `mongo` and `document` (documents to rows), `avro` with `avro_plan`, `cloudevents`, `flat`, `flat_json` and `flat_avro` with `metadata` (what flattening adds to a row) and
//! `tombstone` (nulls of flattened topics); `source` and `lsn` (position and identity), `changes` (what stands beside the rows), `moved` (the
//! other keys), `schema` (Connect and Avro schemas), `plan` (how a field is read, and its Arrow type), `image` (of a row or key in a message),
//! `rows` (the columns of the row images), `record` (Avro into them), `value` (one value into one column), `inferred` (types from the
//! values), `unavailable` (what stands for "not sent").
//!
//! Not here: registry framing ([`crate::Framing`]), and the table's own rules.

mod avro;
mod avro_plan;
mod buffer;
mod changes;
mod cloudevents;
mod document;
mod envelope;
mod event;
mod flat;
mod flat_avro;
mod flat_json;
mod image;
mod inferred;
mod json;
mod key;
mod lsn;
mod metadata;
mod mongo;
mod moved;
mod record;
mod rows;
mod schema;
mod settings;
mod source;
mod tombstone;
mod topic;
mod unavailable;
mod value;
mod wrapping;

use crate::plan;

pub use avro::{DebeziumAvro, DebeziumAvroBuilder};
pub use cloudevents::{DebeziumCloudEvents, DebeziumCloudEventsBuilder};
pub use flat_avro::{DebeziumFlatAvro, DebeziumFlatAvroBuilder};
pub use flat_json::{DebeziumFlatJson, DebeziumFlatJsonBuilder};
pub use json::{DebeziumJson, DebeziumJsonBuilder};
pub use schema::DeclaredSchema;
pub use settings::{DebeziumBuilder, Flattened, InAvro, KeyFormat};
pub use tombstone::Tombstones;
pub use unavailable::DEFAULT_PLACEHOLDER;
