//! Bytes of change messages with their positions.
//!
//! ```text
//!                      tables' checkpoints
//!                              │ where to begin
//!                              ▼
//!   Kafka ──► rebalances ─► Assignment ─► Messages ─► decoders ─► tables ─► commit
//!   Lambda's events ─────────────────────►   ▲                                │
//!   capture files ───────────────────────────┘        Registry ─► schemas     │
//!                  group's offset, a courtesy to monitors ◄───────────────────┘
//! ```
//!
//! A source yields messages as Kafka holds them: topic, partition, offset, timestamp, key, value, headers. It knows no
//! envelope and no table: decoders make sense of the bytes.
//!
//! # Rules
//!
//! * **The position that counts is the one inside the table's commit**, never one that a broker keeps. The group's committed offset
//!   follows it, so that monitors see the lag, and is never asked.
//! * **An offset that the broker no longer has is an error** with topic, partition, the offset wanted and the earliest, unless a
//!   setting allows the gap: then it is told. The same for a topic that was made anew. Nothing is jumped over silently.
//! * **A partition that is asked back is drained**: what was taken is committed, then it is given up. One that is lost is fenced: what
//!   was taken of it is dropped, and nothing more of it is handed on.
//! * **Memory is bounded in bytes**: what was handed on and not committed counts, and above the budget nothing is fetched.
//! * No value and no key stands in an error.
//!
//! # What is here
//!
//! Always: [`capture`](CaptureReader) (files of records), [`Messages`] (many messages, few allocations), [`offsets`] (where to begin),
//! [`assignment`] (what is ours, in flight, or to be given up), [`settings`](Settings).
//!
//! By feature, each alone: `rdkafka` (a consumer; `ssl` and `msk-iam` add what its brokers may want), `registry`
//! (schemas), `lambda` (events that AWS Lambda is called with).

pub mod assignment;
mod capture;
mod error;
mod event;
#[cfg(feature = "lambda")]
pub mod lambda;
mod messages;
pub mod offsets;
mod partition;
#[cfg(any(feature = "registry", feature = "msk-iam"))]
mod percent;
#[cfg(feature = "registry")]
pub mod registry;
mod settings;
#[cfg(feature = "rdkafka")]
pub mod source;

pub use capture::{CaptureReader, CapturedHeader, CapturedRecord};
pub use error::{Error, Result};
pub use event::{Event, Lag};
pub use messages::{KeptMessages, Messages, original};
pub use partition::TopicPartition;
pub use settings::{Settings, Topics};
