//! Seeded data for the benches.

pub mod debezium;
