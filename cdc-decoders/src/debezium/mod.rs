//! Debezium's change events: the envelope, its schemas, its source blocks.
//!
//! Reading order: `json` (the decoder), `topic` (what is remembered between messages), `envelope` (a message taken apart), `key` (the
//! message key), `source` (position and identity), `changes` (what stands beside the rows), `schema` (Connect and Avro schemas), `plan` (how a field is read, and its Arrow type), `rows` (the columns of the row images), `value` (one value
//! into one column), `inferred` (types from the values), `unavailable` (what stands for "not sent"); `avro`, `avro_plan` and `avro_rows`, the same
//! envelope in Avro.
//!
//! Not here: registry framing ([`crate::wire`]), flattened events, and the table's own rules.

mod avro;
mod avro_plan;
mod avro_rows;
mod changes;
mod envelope;
mod inferred;
mod json;
mod key;
mod rows;
mod schema;
mod source;
mod topic;
mod unavailable;
mod value;

use crate::plan;

pub use avro::{DebeziumAvro, DebeziumAvroBuilder, KeyFormat};
pub use json::{DebeziumJson, DebeziumJsonBuilder};
pub use schema::DeclaredSchema;
pub use unavailable::DEFAULT_PLACEHOLDER;
