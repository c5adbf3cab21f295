//! Change-data-capture messages to Arrow columns, without I/O.
//!
//! A [`Decoder`] is pushed one [`Message`] at a time and hands over [`hudi_core::change::ChangeBatch`]es: the row images in the
//! types that a Hudi table can hold, what happened to each row, where it came from, and what orders the changes of one row.
//! It is synchronous and sees no table, no topic list and no network.
//!
//! Reading order: [`decoder`] (the contract), `wire` (what stands before a message's body), [`debezium`] (the envelope, and what users
//! start from), `scan` (JSON), `avro` (Avro's binary encoding), `plan` (how a field is read, and its Arrow type), `conversion` (what numbers and
//! texts mean, in every syntax), `columns` (growing columns that can take a row back), `images` (the columns of row images, with
//! what was not sent), `temporal` and `decimal` (texts and bytes to numbers), [`overrides`] (columns that are to be other than the
//! source sends them), [`testing`] (what every decoder must do).
//!
//! Not here: which change wins, keys and partition paths, and what was committed already.

mod avro;
pub mod columns;
mod conversion;
pub mod debezium;
mod decimal;
pub mod decoder;
mod error;
mod fault;
mod images;
pub mod overrides;
mod plan;
mod scan;
mod temporal;
pub mod testing;
mod wire;

pub use decoder::{Decoded, Decoder, Header, Message, SkipReason};
pub use error::{DecodeError, Part};
pub use wire::{Framing, MAX_INFLATED_BYTES, SchemaId};
