//! Many topics to many tables under one budget of memory: what a long-lived consumer, a replay and a Lambda share.
//!
//! ```text
//!  caller: messages, decoders ─► take · dead_letter · advance ─► Work of each table (kept until committed)
//!                                                                 │ due: bytes, rows, age, memory, drain
//!          outcomes, flow, reloads, committable ◄── next ◄── Attempt: open, hand over, commit; redo on conflict
//! ```
//!
//! [`Ingest`] is the façade. Decisions are pure and stand apart from it: when a table is to commit (`due`), which partitions are
//! paused (`flow`), where each is read from (`places`, `fed_table`). One commit with its redoes is an `attempt`: the only place here
//! that calls a table. Not here: decoders, brokers, the loop that reads messages; how one table is written
//! ([`TableWriter`](crate::TableWriter)).

mod attempt;
mod due;
mod fed_table;
mod flow;
mod intake;
mod landing;
mod letters;
mod outcome;
mod places;
mod settings;
mod standing;
mod template;
mod turns;
mod work;

pub use due::{Due, Why};
pub use flow::Flow;
pub use intake::Ingest;
pub use outcome::{Carried, Condition, Ended, Outcome, TableCounters, TableReport, Unfounded};
pub use places::{Position, TopicPartition};
pub use settings::{IngestSettings, Triggers};
pub use template::{Given, TableTemplate};
pub use work::Held;
