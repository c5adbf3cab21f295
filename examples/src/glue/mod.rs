//! From tables to AWS Glue: what is committed becomes visible to Athena.
//!
//! ```text
//!  Pump, Handler ── Notes: this table, this commit ─► Beside ─► Changes: is there anything to sync? ─► Syncer ─► Glue
//! ```
//!
//! * A sync comes after the commit and is no part of it: where it fails the commit stands, and the next sync makes it good.
//! * It is due when a table is heard of first, and after commits that may have made a partition, dropped one, or changed a column.
//! * Beside the loop from messages to tables, which never waits for it.
//!
//! Reading order: `names` (what a table is called), `clock`, `source` (a table, as a sync reads it), `syncer` (one sync), `summary`, `changes` (whether
//! one is due), `beside` (the loop), `client` (AWS).

mod beside;
mod changes;
mod client;
mod clock;
mod names;
mod source;
mod summary;
mod syncer;

pub use beside::{Beside, Notes, beside};
#[cfg(feature = "lambda")]
pub(crate) use beside::{are_done, tell};
pub use changes::Changes;
pub use client::syncer;
pub use names::NameTemplate;
pub use source::OpenTable;
pub use summary::SyncSummary;
pub use syncer::{GlueTargets, Syncer};
