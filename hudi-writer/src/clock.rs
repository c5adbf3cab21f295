//! [`Clock`]: where time and identities come from, so that a simulation can hand them in.

use std::fmt;

use futures::FutureExt;
use futures::future::BoxFuture;

/// Time and identities.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Milliseconds since 1970 UTC. May go back; instants do not.
    fn now_ms(&self) -> i64;

    /// 128 bits that nobody else draws.
    fn unique_id(&self) -> u128;

    /// Is ready once so many milliseconds have passed.
    fn sleep(&self, ms: i64) -> BoxFuture<'static, ()>;
}

/// The machine's clock and its random numbers. Sleeps on tokio's timer, which the runtime must have enabled.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that the others are told to use")]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    #[allow(clippy::disallowed_methods, reason = "this is where ids come from")]
    fn unique_id(&self) -> u128 {
        uuid::Uuid::new_v4().as_u128()
    }

    #[allow(clippy::disallowed_methods, reason = "this is what the others sleep by")]
    fn sleep(&self, ms: i64) -> BoxFuture<'static, ()> {
        tokio::time::sleep(std::time::Duration::from_millis(ms.max(0).unsigned_abs())).boxed()
    }
}

/// An id in the text form of a UUID.
pub(crate) fn uuid_text(id: u128) -> String {
    uuid::Uuid::from_u128(id).hyphenated().to_string()
}
