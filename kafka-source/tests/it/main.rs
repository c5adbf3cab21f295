//! The crate's integration tests, in one binary. Those of the features are there with them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod assignment;
#[cfg(feature = "rdkafka")]
mod broker;
#[cfg(feature = "lambda")]
mod lambda;
#[cfg(feature = "registry")]
mod registry;
