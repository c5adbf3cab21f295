//! What the writer promises, tried at its boundary: every table is compared with a plain map, and checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, reason = "several writers at once are tasks here; only the library spawns none")]

mod columns;
mod commits;
mod crashes;
mod every_change;
mod gates;
mod ghosts;
mod history;
mod ingest;
mod ingest_race;
mod ingest_world;
mod key_changes;
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
mod soft_deletes;
mod truncates;
mod upserts;
mod writers;
