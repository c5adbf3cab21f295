//! [`Compute`]: where columns are merged, encoded and decoded, so that the reactor is never held up.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::error::{Error, Result};

/// A bounded share of the blocking pool, or the caller's own thread.
#[derive(Debug, Clone)]
pub struct Compute {
    permits: Option<Arc<Semaphore>>,
    parallel: usize,
}

impl Default for Compute {
    fn default() -> Self {
        Self::pool(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }
}

impl Compute {
    /// At most `parallel` pieces of work at a time, on tokio's blocking pool.
    #[must_use]
    pub fn pool(parallel: NonZeroUsize) -> Self {
        Self { permits: Some(Arc::new(Semaphore::new(parallel.get()))), parallel: parallel.get() }
    }

    /// Work is done where it is asked for, one piece after the other: for simulations.
    #[must_use]
    pub const fn inline() -> Self {
        Self { permits: None, parallel: 1 }
    }

    /// How many files are worth being worked on at a time.
    #[must_use]
    pub const fn parallel(&self) -> usize {
        self.parallel
    }

    /// Does a piece of work that owns its input. Dropped half-way, the work runs to its end and its result is lost.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let Some(permits) = &self.permits else {
            return work();
        };
        let stopped = |source: Arc<dyn std::error::Error + Send + Sync>| Error::Columns {
            action: "compute",
            path: "a part of the table".to_owned(),
            source,
        };
        let permit = Arc::clone(permits).acquire_owned().await.map_err(|e| stopped(Arc::new(e)))?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        task.await.map_err(|e: JoinError| stopped(Arc::new(e)))?
    }
}
