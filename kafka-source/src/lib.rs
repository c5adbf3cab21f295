//! Bytes of change messages with their positions.
//!
//! A source yields records as Kafka holds them: topic, partition, offset, timestamp, key, value, headers. It knows no
//! envelope and no table: decoders make sense of the bytes, and the position that counts is the one inside the table's
//! commit, never one that a broker keeps.
//!
//! What is here: [`CaptureReader`], which reads records from a *capture file*.

mod capture;
mod error;

pub use capture::{CaptureReader, CapturedHeader, CapturedRecord};
pub use error::{Error, Result};
