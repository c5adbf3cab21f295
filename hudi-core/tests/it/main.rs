//! What other crates see of this one, tried on known vectors and on the tables in the fixtures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commit;
mod fixtures;
mod keys;
mod properties;
mod redelivery;
mod schema;
mod tables;
