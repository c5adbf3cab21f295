//! [`ManualClock`]: time moves when somebody moves it or sleeps, and ids count.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::clock::Clock;

/// When a [`ManualClock`] begins, in milliseconds since 1970 UTC.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// A clock of a simulation: it stands still but for [`ManualClock::advance`] and those who sleep, who move it at once.
#[derive(Debug, Default)]
pub struct ManualClock {
    ids: AtomicU64,
    passed_ms: Arc<AtomicI64>,
}

impl ManualClock {
    /// Lets time pass.
    pub fn advance(&self, ms: i64) {
        self.passed_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        BEGIN_MS + self.passed_ms.load(Ordering::SeqCst)
    }

    fn unique_id(&self) -> u128 {
        u128::from(self.ids.fetch_add(1, Ordering::SeqCst)) << 64 | 1
    }

    fn sleep(&self, ms: i64) -> BoxFuture<'static, ()> {
        let passed_ms = Arc::clone(&self.passed_ms);
        async move {
            tokio::task::yield_now().await;
            passed_ms.fetch_add(ms, Ordering::SeqCst);
        }
        .boxed()
    }
}
