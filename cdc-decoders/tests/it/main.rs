//! What the decoders do, seen from outside. One binary for all topics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod avro;
mod capture;
mod captures;
mod cells;
mod envelope;
mod flat;
mod fuzz;
mod mongo;
mod moved;
