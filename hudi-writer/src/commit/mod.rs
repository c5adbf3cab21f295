//! The commit: in which order objects may be written, what stands against it, and what is done about those of writers that
//! died.

mod alive;
mod conflict;
mod litter;
mod markers;
mod protocol;
mod recover;
mod rollback;

pub(crate) use conflict::Scope;
pub(crate) use protocol::{Completed, Inflight, Requested, request};
pub(crate) use recover::{heal, heal_on_opening, undo_left_behind};

/// Where a commit names the attempt that made it: a body that no other attempt has.
pub(crate) const ATTEMPT_KEY: &str = "cdc.attempt";
