//! What the decoders do, seen from outside. One binary for all topics.

mod capture;
mod captures;
mod cells;
mod envelope;
mod fuzz;
