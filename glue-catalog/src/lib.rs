//! Makes AWS Glue say what an Apache Hudi table says, so that Athena and its family query it.
//!
//! ```text
//!  the table: properties, columns, timeline ─► Desired ─┐
//!                                                       ├─► Plan ─► calls
//!  Glue: GetTable, partitions where needed ─────────────┘
//! ```
//!
//! Outside the table's transaction, idempotent, a difference: where nothing changed it reads once and writes nothing. What is ours and
//! what is the users' of Glue's table stands in [`difference`]; which parameters and classes engines look at, in [`desired`].
//!
//! # The modules, in reading order
//!
//! | module | holds |
//! |---|---|
//! | [`error`] | what can be wrong |
//! | [`model`], [`types`] | Glue's own words; columns and their types |
//! | [`settings`] | what one table is to be in Glue |
//! | [`location`], [`targets`], [`partition`], [`spark`] | places, names, partition values, Spark's copy of the schema |
//! | [`desired`] | what Glue must hold |
//! | [`difference`] | what of Glue's table changes, and what stays |
//! | [`window`] | which partitions changed since the last sync |
//! | [`source`], [`catalog`], [`clock`] | what others implement: the table, Glue, time |
//! | [`plan`] | what a sync is about to do, and what it did |
//! | [`sync`] | the sync |
//!
//! Everything but [`sync`] is pure. With the feature `aws` there is the client of AWS (`aws`), with `testing` a strict stand-in of Glue
//! in memory (`testing`).

#[cfg(feature = "aws")]
pub mod aws;
pub mod catalog;
pub mod clock;
pub mod desired;
pub mod difference;
pub mod error;
pub mod location;
pub mod model;
pub mod partition;
pub mod plan;
pub mod settings;
pub mod source;
pub mod spark;
pub mod sync;
pub mod targets;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod types;
pub mod window;

mod calls;
mod known;

pub use error::{Error, Result};
pub use plan::{Outcome, Plan, TableReport};
pub use settings::SyncSettings;
pub use source::HudiTable;
pub use sync::GlueSync;
