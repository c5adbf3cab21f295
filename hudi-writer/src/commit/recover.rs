//! Healing: what writers that died left behind is removed, before anything else is read or written.
//!
//! A pending commit is undone in this order: files, markers, inflight, requested; so a death in the middle is healed by
//! the next. Files are found by the markers *and* by their names: files of an instant that never completed become data
//! as soon as the timeline begins after them.

use hudi_core::file_name::{BaseFileName, LogFileName};
use hudi_core::instant::{Action, Instant, InstantTime};
use hudi_core::layout;
use hudi_core::timeline::Timeline;

use super::markers;
use crate::error::{Error, Result};
use crate::store::TableStore;

/// Undoes all pending commits, the newest first; returns their instants.
///
/// Plans that somebody else may still carry out (compaction, clustering, restore) are refused by name.
pub(crate) async fn heal(store: &TableStore, timeline: &Timeline) -> Result<Vec<InstantTime>> {
    let mut healed = vec![];
    for instant in timeline.pending().rev() {
        match instant.action {
            Action::Commit => {
                undo(store, timeline, instant.time, instant.action).await?;
                healed.push(instant.time);
            }
            // One without a plan is a write like any other.
            Action::ReplaceCommit if !has_plan(store, timeline, instant.time).await? => {
                undo(store, timeline, instant.time, instant.action).await?;
                healed.push(instant.time);
            }
            Action::Clean | Action::Rollback | Action::Savepoint | Action::Indexing => {}
            other => {
                return Err(Error::refused(
                    format!("a pending {} at {}", other.as_str(), instant.time),
                    "its file groups must not be written: let the writer that planned it finish it, or roll it back",
                ));
            }
        }
    }
    Ok(healed)
}

/// Whether a replace commit was planned for somebody to carry out. Nothing is in the requested object of ours.
async fn has_plan(store: &TableStore, timeline: &Timeline, time: InstantTime) -> Result<bool> {
    let requested = Instant::requested(time, Action::ReplaceCommit);
    let content = store.get(&layout::timeline_file(timeline.layout(), &requested)).await?;
    Ok(content.is_none_or(|content| !content.is_empty()))
}

async fn undo(store: &TableStore, timeline: &Timeline, time: InstantTime, action: Action) -> Result<()> {
    tracing::warn!(instant = %time, "rolling back a commit that never completed");
    let mut files = markers::read(store, time).await?;
    let listed = store.list("").await?;
    files.extend(listed.into_iter().map(|object| object.path).filter(|path| is_of(path, time)));
    files.push(layout::dead_letters(time));
    files.sort();
    files.dedup();
    store.delete_all(files).await?;
    markers::remove(store, time).await?;
    let requested = Instant::requested(time, action);
    for state in [requested.inflight(), requested] {
        store.delete(&layout::timeline_file(timeline.layout(), &state)).await?;
    }
    Ok(())
}

/// Whether a data file was written by the instant.
fn is_of(path: &str, time: InstantTime) -> bool {
    if layout::is_below_hoodie(path) {
        return false;
    }
    let (_, name) = layout::split(path);
    let base = BaseFileName::parse(name).ok().flatten().map(|name| name.instant);
    base.or_else(|| LogFileName::parse(name).ok().flatten().map(|name| name.instant)) == Some(time)
}
