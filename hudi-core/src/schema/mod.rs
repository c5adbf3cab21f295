//! Schemas: the meta columns, Arrow to Avro and back, legal names, and which changes a table can follow.

pub mod avro;
pub mod evolution;
pub mod meta;
pub mod names;

mod from_avro;

pub use evolution::{Evolution, evolve};
