//! The commit: in which order objects may be written, and what is done about those of writers that died.

mod markers;
mod protocol;
mod recover;

pub(crate) use protocol::{Completed, request};
pub(crate) use recover::heal;
