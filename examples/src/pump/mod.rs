//! From a broker to tables without end.
//!
//! ```text
//!   Source ── batches, rebalances ─► Pump ─► Feed ─► commits
//!      ▲                              │
//!      └── begin, hold back, again, committed: by what the tables say
//! ```
//!
//! * A partition begins where its tables are, which are opened anew for that; the group's committed offset follows, and is never asked.
//! * What is asked back is committed before it is given up, as far as that can be done in time. What is lost is let go.
//! * A table that fails rests; one that cannot go on stops. Others do not notice: its partitions rest.
//! * A registry of schemas that does not answer is waited for: topics that need it rest, and are read again from there.
//!
//! Reading order: `source` (what is pumped from), `settings`, `driver` (the loop), `assigning` (partitions that come and go), `again` (what is
//! read again), `later` (topics that wait for schemas).

mod again;
mod assigning;
mod driver;
mod later;
mod settings;
mod source;

pub use driver::Pump;
pub use settings::{PumpSettings, Routes};
pub use source::{Covers, Source, Wants};
