//! Seeded data for the benches.

pub mod debezium;
pub mod orders;
pub mod rows;
