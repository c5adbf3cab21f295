//! Heartbeats: whether the writer of a pending instant is alive. [`Alive`] is ours; [`look`] sees those of others.
//!
//! `.hoodie/.heartbeat/<instant>`, as Java has it. Java's is empty and counts from its time in the store, for two minutes;
//! ours says when it was written, by the writer's clock, and counts for half a minute: so a writer that was killed holds
//! nobody up for long.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{Either, select};
use hudi_core::instant::InstantTime;
use hudi_core::layout;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, uuid_text};
use crate::components::Components;
use crate::error::Result;
use crate::mutant::Mutant;
use crate::store::{Created, TableStore};

/// Our heartbeat counts so long.
const EXPIRY_MS: i64 = 30_000;
/// Ours is renewed so often.
const RENEWAL_MS: i64 = 8_000;
/// Java's counts so long: its interval of a minute, missed twice.
const JAVA_EXPIRY_MS: i64 = 120_000;

/// No put is under way for longer.
pub(super) const LATEST_MS: i64 = 3_600_000;

/// What our heartbeat holds.
#[derive(Debug, Serialize, Deserialize)]
struct Beat {
    owner: String,
    at_ms: i64,
}

/// What the heartbeat of a pending instant says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Its writer is alive.
    Fresh,
    /// Its writer is dead, but what it sent may still be under way.
    Expired,
    /// Its writer is dead, and nothing that it sent can be under way.
    LongGone,
    /// There is none.
    Unknown,
}

/// The heartbeat of an instant of ours.
#[derive(Debug, Clone)]
pub(crate) struct Alive {
    store: TableStore,
    clock: Arc<dyn Clock>,
    instant: InstantTime,
    owner: String,
    is_renewed: bool,
}

impl Alive {
    /// Begins the heartbeat of an instant, which must have none; `None`: somebody else has one there.
    pub(super) async fn begin(parts: &Components, instant: InstantTime) -> Result<Option<Self>> {
        let owner = uuid_text(parts.clock.unique_id());
        let is_renewed = !parts.is_broken(Mutant::HeartbeatNotRenewed);
        let alive = Self { store: parts.store.clone(), clock: Arc::clone(&parts.clock), instant, owner, is_renewed };
        match parts.store.create_once(&layout::heartbeat(instant), alive.beat()).await? {
            Created::Ours => Ok(Some(alive)),
            Created::Taken => Ok(None),
        }
    }

    fn beat(&self) -> Bytes {
        let beat = Beat { owner: self.owner.clone(), at_ms: self.clock.now_ms() };
        Bytes::from(serde_json::to_vec(&beat).unwrap_or_default())
    }

    /// Does the work, and renews the heartbeat while it waits.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        match select(std::pin::pin!(work), std::pin::pin!(self.renew_for_ever())).await {
            Either::Left((done, _)) => done,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn renew_for_ever(&self) -> std::convert::Infallible {
        loop {
            self.clock.sleep(RENEWAL_MS).await;
            if !self.is_renewed {
                continue;
            }
            // Who cannot say that it is alive is found out before it completes.
            if let Err(error) = self.store.put(&layout::heartbeat(self.instant), self.beat()).await {
                tracing::warn!(instant = %self.instant, %error, "could not renew the heartbeat");
            }
        }
    }

    /// Whether the heartbeat is still there and ours.
    pub(super) async fn stands(&self) -> Result<bool> {
        let Some(found) = self.store.get(&layout::heartbeat(self.instant)).await? else { return Ok(false) };
        Ok(serde_json::from_slice::<Beat>(&found).is_ok_and(|beat| beat.owner == self.owner))
    }
}

/// What the heartbeat of an instant says, now.
pub(super) async fn look(store: &TableStore, instant: InstantTime, now_ms: i64) -> Result<Life> {
    let Some(found) = store.get_versioned(&layout::heartbeat(instant)).await? else { return Ok(Life::Unknown) };
    let (at_ms, expiry_ms) = match serde_json::from_slice::<Beat>(&found.bytes) {
        Ok(beat) => (beat.at_ms, EXPIRY_MS),
        Err(_) => (found.modified_ms, JAVA_EXPIRY_MS),
    };
    Ok(match now_ms - at_ms {
        age_ms if age_ms <= expiry_ms => Life::Fresh,
        age_ms if age_ms <= LATEST_MS => Life::Expired,
        _ => Life::LongGone,
    })
}

/// Whether the instant has a heartbeat of ours.
pub(super) async fn is_ours(store: &TableStore, instant: InstantTime) -> Result<bool> {
    let found = store.get(&layout::heartbeat(instant)).await?;
    Ok(found.is_some_and(|found| serde_json::from_slice::<Beat>(&found).is_ok()))
}

/// Ends a heartbeat.
pub(super) async fn end(store: &TableStore, instant: InstantTime) -> Result<()> {
    store.delete(&layout::heartbeat(instant)).await
}
