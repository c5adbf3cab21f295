//! Keys to file groups: where the rows that change are stored.
//!
//! One [`Lookup`] scans keys and orders of a base file for the keys of its changes; whichever index is asked only chooses
//! the files. Not here: what becomes of the rows.

mod lookup;

pub(crate) use lookup::{Found, look_up};
