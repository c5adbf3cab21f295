//! [`Lock`]: what a lock among processes must do. For those who bring their own.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;

/// A lock of one table among processes.
///
/// Whoever shares a table with Java writers must use the lock that they use. The one on the store is file-compatible with
/// Java's `StorageBasedLockProvider`.
#[async_trait]
pub trait Lock: fmt::Debug + Send + Sync {
    /// Tries once to take the lock, without waiting for others.
    ///
    /// # Errors
    /// Where it cannot be told who holds it.
    async fn try_acquire(&self) -> Result<Attempt>;
}

/// How an attempt to take a lock ended.
#[derive(Debug)]
#[must_use]
pub enum Attempt {
    /// It is ours until it is given back, lost, or runs out.
    Held(Box<dyn HeldLock>),
    /// Somebody else holds it.
    Busy {
        /// Who, as far as the lock says.
        owner: String,
    },
}

/// A lock that is held. Dropped without [`HeldLock::release`], it is free once it has run out.
#[async_trait]
pub trait HeldLock: fmt::Debug + Send + Sync {
    /// Until when nobody else can take it, in milliseconds since 1970 by our clock; `i64::MAX` where it does not run out.
    fn valid_until_ms(&self) -> i64;

    /// Whether its last holder did not give it back: it may be about to complete a commit that it judged while it held the
    /// lock.
    fn was_left_behind(&self) -> bool {
        false
    }

    /// Makes it last longer; `false`: somebody else has taken it.
    ///
    /// # Errors
    /// Where the answer is unclear: it is held no longer than it was.
    async fn renew(&mut self) -> Result<bool>;

    /// Gives it back; `false`: somebody else had taken it.
    ///
    /// # Errors
    /// Where the answer is unclear: it runs out by itself.
    async fn release(&mut self) -> Result<bool>;
}
