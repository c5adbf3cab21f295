//! [`GlueClock`]: the writer's clock, for a sync.

use std::sync::Arc;

use futures::future::BoxFuture;
use hudi_writer::Clock;

/// The writer's clock, for a sync.
#[derive(Debug, Clone)]
pub(super) struct GlueClock(pub(super) Arc<dyn Clock>);

impl glue_catalog::clock::Clock for GlueClock {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }

    fn unique_id(&self) -> u128 {
        self.0.unique_id()
    }

    fn sleep(&self, ms: i64) -> BoxFuture<'static, ()> {
        self.0.sleep(ms)
    }
}
