//! What a sync leaves in Glue, in how many calls, and after which failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "aws")]
mod aws;
mod crashes;
mod desired;
mod fake;
mod java_rules;
mod partitions;
mod plans;
mod races;
mod random;
mod requests;
mod users;
mod world;
