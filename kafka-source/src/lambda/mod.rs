//! Events that AWS Lambda is called with, as [`Messages`](crate::Messages): Kafka (MSK and self-managed), Kinesis, DynamoDB
//! Streams.
//!
//! ```text
//!   event's JSON ─► parse (borrowed) ─► take ─► Taken { messages, positions, bad }
//!                                                   │                          └► dead letters, with the record's text
//!                                                   └► decoders ─► tables ─► BatchResponse: what is to be sent again
//! ```
//!
//! * One record's shape never poisons the batch: what cannot be read of it stands in [`Taken::bad`]. Only where an event does not tell
//!   its positions, none of it is taken.
//! * A value that is null or absent is a tombstone. Base64 is decoded once, into the batch's own bytes.
//! * Lambda's own retries make nothing exactly once: the tables' checkpoints do, as for every source.
//!
//! Reading order: `taken` (what all give), [`kafka`], [`kinesis`], [`dynamodb`], `response`; `fields` (the odd spellings).
//! No runtime and no network is here: call it from a handler.

pub mod dynamodb;
mod fields;
pub mod kafka;
pub mod kinesis;
mod response;
mod taken;

pub use dynamodb::DynamoDbEvent;
pub use kafka::{Framing, KafkaEvent};
pub use kinesis::{KinesisEvent, StreamKey};
pub use response::BatchResponse;
pub use taken::{BadRecord, Taken};
