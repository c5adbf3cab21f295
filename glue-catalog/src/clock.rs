//! [`Clock`]: where time comes from, so that tests can hand it in.

use std::fmt;

use futures::future::BoxFuture;

/// Time, and numbers that nobody foretells. Of one shape with the writer's clock, which a few lines hand on.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Milliseconds since 1970 UTC.
    fn now_ms(&self) -> i64;

    /// 128 bits that nobody else draws.
    fn unique_id(&self) -> u128;

    /// Is ready once so many milliseconds have passed.
    fn sleep(&self, ms: i64) -> BoxFuture<'static, ()>;
}
