//! Healing: what writers that died left behind is rolled back, under the table's lock; the living are left alone.

use hudi_core::instant::{Action, Instant, InstantTime};
use hudi_core::layout;
use hudi_core::timeline::Timeline;
use hudi_core::version::TimelineLayout;

use super::alive::{self, Life};
use super::{litter, rollback};
use crate::components::Components;
use crate::error::{Error, Result};
use crate::lock::Guard;
use crate::mutant::Mutant;
use crate::settings::ForeignPending;
use crate::table;

/// What a clustering plan says of itself, in letters that no overwrite's plan has.
const CLUSTERING: &[u8] = b"CLUSTER";

/// Heals a table that is opened, if there is something to heal. Takes the lock only then; whether anything was changed.
pub(crate) async fn heal_on_opening(parts: &Components, timeline: &Timeline) -> Result<bool> {
    litter::remove(parts, timeline).await?;
    let noted = rollback::noted(&parts.store).await?;
    if noted.is_empty() && dead(parts, timeline).await?.is_empty() {
        return Ok(false);
    }
    let guard = parts.lock.acquire().await?;
    let healed = match parts.is_broken(Mutant::StaleListing) {
        true => heal(parts, timeline).await.map(drop),
        false => heal_noted(parts, timeline.layout(), noted).await,
    };
    guard.release().await;
    healed.map(|()| true)
}

async fn heal_noted(parts: &Components, layout: TimelineLayout, noted: Vec<InstantTime>) -> Result<()> {
    let timeline = table::read_timeline(&parts.store, layout).await?;
    for time in noted {
        rollback::sweep(parts, &timeline, time).await?;
    }
    let timeline = table::read_timeline(&parts.store, layout).await?;
    heal(parts, &timeline).await.map(drop)
}

/// Rolls back the pending instants of writers that are dead, the newest first; whether there were any.
///
/// The lock must be held, and the timeline read under it. Plans that somebody else may still carry out are refused by name.
pub(crate) async fn heal(parts: &Components, timeline: &Timeline) -> Result<bool> {
    let dead = dead(parts, timeline).await?;
    for instant in &dead {
        rollback::undo(parts, timeline, instant).await?;
    }
    Ok(!dead.is_empty())
}

/// Undoes what the last holder of a lock that was left behind may be about to complete: commits of ours, all of whose files
/// are there. It judged them while it held the lock, and may wake at any time; what it completes then finds its place taken.
/// Whether there were any.
pub(crate) async fn undo_left_behind(
    parts: &Components,
    guard: &Guard,
    timeline: &Timeline,
    ours: Option<InstantTime>,
) -> Result<bool> {
    let mut undone = false;
    if !guard.was_left_behind() || parts.is_broken(Mutant::LeftBehindIgnored) {
        return Ok(undone);
    }
    for instant in timeline.pending().rev().filter(|instant| Some(instant.time) != ours) {
        if rollback::may_be_completing(parts, instant).await? {
            rollback::undo(parts, timeline, instant).await?;
            undone = true;
        }
    }
    Ok(undone)
}

/// The pending instants whose writers are dead, the newest first.
async fn dead(parts: &Components, timeline: &Timeline) -> Result<Vec<Instant>> {
    let mut dead = vec![];
    for instant in timeline.pending().rev() {
        match instant.action {
            Action::Clean | Action::Rollback | Action::Savepoint | Action::Indexing => {}
            Action::Commit | Action::ReplaceCommit if !is_clustering(parts, timeline, instant).await? => {
                if is_dead(parts, instant).await? {
                    dead.push(*instant);
                }
            }
            other => {
                return Err(Error::refused(
                    format!("a pending {} at {}", other.as_str(), instant.time),
                    "its file groups must not be written: let the writer that planned it finish it, or roll it back",
                ));
            }
        }
    }
    Ok(dead)
}

async fn is_dead(parts: &Components, instant: &Instant) -> Result<bool> {
    if parts.settings.sole_writer {
        return Ok(true);
    }
    let life = alive::look(&parts.store, instant.time, parts.clock.now_ms()).await?;
    if life == Life::Unknown && parts.settings.foreign_pending == ForeignPending::Leave {
        tracing::warn!(
            table = parts.store.url(), instant = %instant.time,
            "an instant of another writer is pending and has no heartbeat: it is left alone"
        );
        return Ok(false);
    }
    Ok(life != Life::Fresh || parts.is_broken(Mutant::HeartbeatIgnored))
}

/// Whether a pending replace commit is a clustering, which its planner may still carry out.
async fn is_clustering(parts: &Components, timeline: &Timeline, instant: &Instant) -> Result<bool> {
    if instant.action != Action::ReplaceCommit {
        return Ok(false);
    }
    let requested = Instant::requested(instant.time, instant.action);
    let plan = parts.store.get(&layout::timeline_file(timeline.layout(), &requested)).await?.unwrap_or_default();
    Ok(plan.windows(CLUSTERING.len()).any(|window| window == CLUSTERING))
}
