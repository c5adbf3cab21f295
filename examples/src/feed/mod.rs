//! From messages to tables: what every program that reads changes does with them.
//!
//! ```text
//!  message ─► lane of its topic: decoder, schemas, overrides ─► Ingest: what waits for each table ─► commits
//!     └─ cannot become a row: dead letter, or the table stops
//! ```
//!
//! [`Feed`] is pushed; where the messages come from, and when it is waited for commits, its caller knows: [`Replayer`] for what ends,
//! [`Pump`](crate::Pump) for what does not.
//!
//! Reading order: `summary` (what was done), `lane` (one topic), `feed`, `turns` (commits), `replayer`.

mod intake;
mod lane;
mod replayer;
mod summary;
mod turns;

pub use intake::{Fed, Feed, FeedSettings, MakeDecoder, OnBadMessage, Route};
pub use replayer::{ReplaySettings, Replayer};
pub use summary::Summary;
