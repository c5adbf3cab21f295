//! [`StoreLease`]: the lock as an object of the table, taken and kept by conditional puts.
//!
//! `.hoodie/.locks/table_lock.json`, as Java's storage-based provider keeps it (Hudi 1.0.2 and later): `expired`,
//! `validUntil` in milliseconds, `owner`. The object is never deleted. Clocks of the machines that share a table must agree
//! within a second: a lease counts as run out half a second after its time, and we stop trusting ours long before.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use hudi_core::layout;
use serde::{Deserialize, Serialize};

use super::contract::{Attempt, HeldLock, Lock};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::store::{Swapped, TableStore, Version};

/// How long a lease lasts: a holder that was killed holds others up no longer.
pub(crate) const LEASE_MS: i64 = 20_000;
/// How far another machine's clock may be behind ours, as Java allows.
const DRIFT_MS: i64 = 500;

/// What the object holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeaseText {
    expired: bool,
    valid_until: i64,
    owner: String,
}

/// A lease on the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreLease {
    store: TableStore,
    clock: Arc<dyn Clock>,
    owner: String,
    /// The object as we gave it back last: taking it again needs no look.
    given_back: Arc<Mutex<Option<Version>>>,
}

#[derive(Debug)]
struct HeldLease {
    lease: StoreLease,
    version: Option<Version>,
    valid_until_ms: i64,
    was_left_behind: bool,
}

impl StoreLease {
    /// The lease of a table, for one owner: a name that nobody else has.
    pub(crate) fn new(store: TableStore, clock: Arc<dyn Clock>, owner: String) -> Self {
        Self { store, clock, owner, given_back: Arc::default() }
    }

    fn body(&self, expired: bool, valid_until: i64) -> Bytes {
        let text = LeaseText { expired, valid_until, owner: self.owner.clone() };
        Bytes::from(serde_json::to_vec(&text).unwrap_or_default())
    }

    async fn take(&self, expected: Option<Version>) -> Result<Option<HeldLease>> {
        let valid_until_ms = self.clock.now_ms() + LEASE_MS;
        match self.store.swap(&layout::table_lock(), self.body(false, valid_until_ms), expected).await? {
            Swapped::Ours(version) => {
                let (lease, version) = (self.clone(), Some(version));
                Ok(Some(HeldLease { lease, version, valid_until_ms, was_left_behind: false }))
            }
            Swapped::Lost => Ok(None),
        }
    }

    /// Takes the lease where nobody touched it since we gave it back.
    async fn take_again(&self) -> Result<Option<HeldLease>> {
        let known = self.given_back.lock().unwrap_or_else(PoisonError::into_inner).take();
        match known {
            Some(version) => self.take(Some(version)).await,
            None => Ok(None),
        }
    }

    /// The lease as it stands; its version is missing where there is none.
    async fn look(&self) -> Result<(Option<LeaseText>, Option<Version>)> {
        let path = layout::table_lock();
        let Some(found) = self.store.get_versioned(&path).await? else { return Ok((None, None)) };
        let text = serde_json::from_slice(&found.bytes)
            .map_err(|_| Error::corrupt(&path, "want `expired`, `validUntil` and `owner` as JSON"))?;
        Ok((Some(text), Some(found.version)))
    }
}

#[async_trait]
impl Lock for StoreLease {
    async fn try_acquire(&self) -> Result<Attempt> {
        if let Some(held) = self.take_again().await? {
            return Ok(Attempt::Held(Box::new(held)));
        }
        let (found, version) = self.look().await?;
        let now = self.clock.now_ms();
        // One that bears our own name is of a put whose answer was lost.
        let by_other = found.filter(|lease| !lease.expired && lease.owner != self.owner);
        let was_left_behind = by_other.is_some();
        if let Some(other) = by_other.filter(|lease| now <= lease.valid_until + DRIFT_MS) {
            return Ok(Attempt::Busy { owner: other.owner });
        }
        Ok(match self.take(version).await? {
            Some(held) => Attempt::Held(Box::new(HeldLease { was_left_behind, ..held })),
            None => Attempt::Busy { owner: "a writer that was quicker".to_owned() },
        })
    }
}

#[async_trait]
impl HeldLock for HeldLease {
    fn valid_until_ms(&self) -> i64 {
        self.valid_until_ms
    }

    fn was_left_behind(&self) -> bool {
        self.was_left_behind
    }

    async fn renew(&mut self) -> Result<bool> {
        let until = self.lease.clock.now_ms() + LEASE_MS;
        self.put(false, until).await.inspect(|ours| {
            if *ours {
                self.valid_until_ms = until;
            }
        })
    }

    async fn release(&mut self) -> Result<bool> {
        let ours = self.put(true, self.valid_until_ms).await?;
        if ours {
            *self.lease.given_back.lock().unwrap_or_else(PoisonError::into_inner) = self.version.take();
        }
        Ok(ours)
    }
}

impl HeldLease {
    async fn put(&mut self, expired: bool, until: i64) -> Result<bool> {
        let Some(version) = self.version.clone() else { return Ok(false) };
        match self.lease.store.swap(&layout::table_lock(), self.lease.body(expired, until), Some(version)).await? {
            Swapped::Ours(version) => self.version = Some(version),
            Swapped::Lost => self.version = None,
        }
        Ok(self.version.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;
    use object_store::memory::InMemory;

    fn leases(count: usize) -> (Arc<ManualClock>, TableStore, Vec<StoreLease>) {
        let clock = Arc::new(ManualClock::default());
        let store = TableStore::of(Arc::new(InMemory::new()), "t", "memory:///lease");
        let lease = |i: usize| StoreLease::new(store.clone(), clock.clone(), format!("owner {i}"));
        let leases = (0..count).map(lease).collect();
        (clock, store, leases)
    }

    async fn held(lease: &StoreLease) -> Option<Box<dyn HeldLock>> {
        match lease.try_acquire().await.unwrap() {
            Attempt::Held(held) => Some(held),
            Attempt::Busy { .. } => None,
        }
    }

    #[tokio::test]
    async fn one_holds_it_until_it_gives_it_back_or_runs_out() {
        let (clock, _, leases) = leases(2);
        let mut first = held(&leases[0]).await.unwrap();
        assert!(held(&leases[1]).await.is_none());
        assert!(first.release().await.unwrap());
        let mut second = held(&leases[1]).await.unwrap();
        assert!(held(&leases[0]).await.is_none());
        clock.advance(LEASE_MS + DRIFT_MS + 1);
        let third = held(&leases[0]).await.unwrap();
        assert!(third.was_left_behind() && !second.was_left_behind());
        assert!(!second.renew().await.unwrap() && !second.release().await.unwrap());
        drop(third);
    }

    #[tokio::test]
    async fn a_renewed_one_lasts_longer() {
        let (clock, _, leases) = leases(2);
        let mut first = held(&leases[0]).await.unwrap();
        for _ in 0..3 {
            clock.advance(LEASE_MS - 1000);
            assert!(first.renew().await.unwrap());
            assert!(held(&leases[1]).await.is_none());
        }
    }

    #[tokio::test]
    async fn it_is_read_and_written_as_java_does() {
        let (clock, store, leases) = leases(1);
        let path = layout::table_lock();
        let java = format!(r#"{{"validUntil":{},"expired":false,"owner":"j","x":1}}"#, clock.now_ms() + 1000);
        store.put(&path, Bytes::from(java)).await.unwrap();
        assert!(held(&leases[0]).await.is_none());
        clock.advance(2000);
        let _held = held(&leases[0]).await.unwrap();
        let text = store.get_text(&path).await.unwrap().unwrap();
        let until = clock.now_ms() + LEASE_MS;
        assert_eq!(text, format!(r#"{{"expired":false,"validUntil":{until},"owner":"owner 0"}}"#));
    }

    #[tokio::test]
    async fn a_lease_of_a_lost_answer_is_adopted() {
        let (_, _, leases) = leases(1);
        drop(held(&leases[0]).await.unwrap());
        assert!(held(&leases[0]).await.is_some());
    }
}
