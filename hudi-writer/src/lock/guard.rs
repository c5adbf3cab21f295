//! [`Guard`]: the table's lock as the rest of the crate holds it.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::contract::{Attempt, HeldLock, Lock};
use super::in_process;
use crate::clock::Clock;
use crate::error::{Error, Result};

/// Between two attempts.
const RETRY_MS: i64 = 200;
/// A put that was sent is done or refused within this time: less than that must never be left when one is begun.
const PUT_MS: i64 = 10_000;

/// The lock of one table.
#[derive(Debug, Clone)]
pub(crate) struct TableLock {
    pub(crate) url: Arc<str>,
    /// The lock among processes; a sole writer has none.
    pub(crate) lock: Option<Arc<dyn Lock>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wait_ms: u64,
    /// Nothing is locked, not even among the writers of this process: for tests that must notice.
    pub(crate) is_ignored: bool,
}

/// The lock, held. Dropped without [`Guard::release`], a lease runs out by itself.
#[derive(Debug)]
pub(crate) struct Guard {
    lock: TableLock,
    held: Option<Box<dyn HeldLock>>,
    _alone: Option<OwnedMutexGuard<()>>,
}

impl TableLock {
    /// Waits for the lock, as long as the settings say. A sole writer only waits for the others of this process.
    pub(crate) async fn acquire(&self) -> Result<Guard> {
        let alone = match self.is_ignored {
            true => None,
            false => Some(in_process::lock(&self.url).await),
        };
        let guard = |held| Guard { lock: self.clone(), held, _alone: alone };
        let Some(lock) = self.lock.as_ref().filter(|_| !self.is_ignored) else { return Ok(guard(None)) };
        let begun = self.clock.now_ms();
        loop {
            let owner = match lock.try_acquire().await? {
                Attempt::Held(held) => return Ok(guard(Some(held))),
                Attempt::Busy { owner } => owner,
            };
            let waited_ms = self.clock.now_ms() - begun;
            if waited_ms >= self.wait_ms as i64 {
                return Err(Error::Locked { url: self.url.to_string(), owner, waited_ms });
            }
            self.clock.sleep(RETRY_MS).await;
        }
    }
}

impl Guard {
    /// Whether nobody else can have taken the lock up to now.
    pub(crate) fn is_sure(&self) -> bool {
        self.left_ms() > 0
    }

    /// Whether its last holder did not give it back.
    pub(crate) fn was_left_behind(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.was_left_behind())
    }

    fn left_ms(&self) -> i64 {
        let until = self.held.as_ref().map_or(i64::MAX, |held| held.valid_until_ms());
        until.saturating_sub(self.lock.clock.now_ms())
    }

    /// Makes sure that the lock lasts for a put that is begun now; `false`: it is lost.
    pub(crate) async fn hold(&mut self) -> Result<bool> {
        if self.left_ms() > PUT_MS {
            return Ok(true);
        }
        match &mut self.held {
            Some(held) => Ok(held.renew().await? && self.left_ms() > PUT_MS),
            None => Ok(true),
        }
    }

    /// Gives the lock back. What was done under it is done, so that a failure is only told.
    pub(crate) async fn release(mut self) {
        let url = &*self.lock.url;
        let Some(held) = &mut self.held else { return };
        match held.release().await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(table = url, "the lock was taken by another writer while we held it"),
            Err(error) => tracing::warn!(table = url, %error, "the lock could not be given back: it will run out"),
        }
    }
}
