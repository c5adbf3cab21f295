//! [`Timer`]: the time that a client waits by, handed in so that tests need not wait.

use std::time::Duration;

use async_trait::async_trait;

/// Time that only goes forward.
#[async_trait]
pub trait Timer: Send + Sync {
    /// Since some moment that stays the same.
    fn elapsed(&self) -> Duration;

    /// Is ready once so much has passed.
    async fn sleep(&self, pause: Duration);
}

/// The machine's. Sleeps on tokio's timer, which the runtime must have enabled.
#[derive(Debug, Clone, Copy)]
pub struct SystemTimer(std::time::Instant);

impl Default for SystemTimer {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that others are told to use")]
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

#[async_trait]
impl Timer for SystemTimer {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "this is what others sleep by")]
    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}
