//! What a sync leaves in Glue, in how many calls, and after which failures.

#[cfg(feature = "aws")]
mod aws;
mod crashes;
mod desired;
mod fake;
mod java_rules;
mod partitions;
mod plans;
mod races;
mod requests;
mod users;
mod world;
