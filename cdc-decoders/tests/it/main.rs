//! What the decoders do, seen from outside. One binary for all topics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod capture;
mod captures;
mod cells;
mod envelope;
mod fuzz;
mod overrides;
