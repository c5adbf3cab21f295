//! The in-process lock: at most one commit or recovery of a table at a time among the writers of this process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

static LOCKS: LazyLock<Mutex<HashMap<String, Arc<AsyncMutex<()>>>>> = LazyLock::new(Mutex::default);

/// Waits until nobody else in this process commits to the table, and keeps others out until the guard is dropped.
pub(super) async fn lock(url: &str) -> OwnedMutexGuard<()> {
    let lock = {
        let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds or waits for are of no use to anybody.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(url.to_owned()).or_default())
    };
    lock.lock_owned().await
}
