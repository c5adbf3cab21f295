//! What the writer promises, tried at its boundary: every table is compared with a plain map, and checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "several writers at once are tasks here; only the library spawns none")]

mod commits;
mod crashes;
mod gates;
mod history;
mod ingest;
mod ingest_race;
mod ingest_world;
mod keyless;
mod model;
mod moves;
mod mutants;
mod processes;
mod requests;
#[cfg(feature = "s3")]
mod s3;
mod shop;
mod sleepers;
mod truncates;
mod upserts;
mod writers;
