//! Changes that AWS Lambda is called with, to tables: one commit an invocation and table.
//!
//! ```text
//!  runtime ─► event ─► batches, one a table ─► Session of the table ─► one commit
//!     ▲                                             │ at which message it stopped, whose lock it waited for
//!     └── answer: all is done, or from where it is to be sent again ◄┘
//! ```
//!
//! * Lambda's own retries make nothing exactly once; the position inside the table's commit does. What the table has is passed over;
//!   what begins above the table's position is a gap, and is not jumped over in silence.
//! * A session is kept between invocations and goes on where it stands, without a request to the store, if the event does so too.
//!   Otherwise, and after any failure, the table is looked at anew: another instance may have been there.
//! * What cannot be taken stops its partition there. Everything before it, and every other partition and table, is committed.
//! * Before the deadline comes there is an answer. What is under way then is left as if the process had been killed.
//!
//! The loop over Lambda's runtime API is our own: `lambda_runtime` would be ten more crates and 0.27 MB for what are three requests, and
//! wants events that own their bytes.
//!
//! Reading order: `settings` (what is told, in variables), `batch` (an event by tables), `session` (one table), `handler` (one invocation), `syncing` (Glue),
//! `tally` (what was done), `telling` (metrics), `runtime` (Lambda's API).

mod batch;
mod handler;
mod runtime;
mod session;
mod settings;
mod syncing;
mod tally;
mod telling;

pub use handler::Handler;
pub use runtime::{Invocation, RuntimeApi};
pub use settings::LambdaSettings;
