//! Schemas: the meta columns, Arrow to Avro and back, legal names, which changes a table can follow, and in which of its
//! columns a source's stand.

pub mod avro;
pub mod evolution;
pub mod mapping;
pub mod meta;
pub mod names;
pub mod placing;

mod from_avro;

pub use evolution::{Evolution, evolve, outgrown};
pub use mapping::ColumnMap;
pub use placing::{Incoming, OnSchemaConflict, Place, Placed, place};
