//! What the decoders do, seen from outside. One binary for all topics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod avro;
mod avro_envelope;
mod capture;
mod captures;
mod cells;
mod cloudevents;
mod documentation;
mod envelope;
mod flat;
mod fuzz;
mod mongo;
mod moved;
mod overrides;
mod suite;
