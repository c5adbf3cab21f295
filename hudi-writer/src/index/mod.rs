//! Keys to file groups: where the rows that change are stored.
//!
//! One [`Lookup`](lookup) scans keys and orders of a base file for the keys of its changes, if its footer says that it can
//! hold one; whichever index is asked only chooses the files. Not here: what becomes of the rows.

mod lookup;
mod prune;

pub(crate) use lookup::{Found, look_up};
