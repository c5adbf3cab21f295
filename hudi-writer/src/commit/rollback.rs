//! Rolling an instant back: everything that its writer made is removed, and must stay removed.
//!
//! In this order: a note, files, markers, the completed instant (of a zombie), inflight, requested, heartbeat. So a death in
//! the middle is healed by the next; and what a zombie's put brings late, after its instant is gone, is known by the note
//! and removed when a table is opened. The note ([`Note`]) lists the files, so that nothing has to be searched for.
//!
//! A completed instant that comes late would hide what it replaces until then, or stand beside what was committed meanwhile. So
//! where it may be under way (all its files are there), one that does nothing is put in its place: what comes late finds
//! it, and fails.
//!
//! Format sections of rollback are not followed: no `rollback` instant is written. Hudi's readers and writers do not ask
//! for one where an instant left nothing behind.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hudi_core::checkpoint::Checkpoint;
use hudi_core::commit::{CommitMetadata, WriteOperation};
use hudi_core::file_name::{BaseFileName, LogFileName};
use hudi_core::instant::{Action, Instant, InstantTime, State};
use hudi_core::layout;
use hudi_core::timeline::Timeline;
use serde::{Deserialize, Serialize};

use super::{ATTEMPT_KEY, alive, markers};
use crate::clock::uuid_text;
use crate::components::Components;
use crate::error::{Error, Result};
use crate::mutant::Mutant;
use crate::store::{Created, TableStore};

/// Says that an instant was rolled back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    at_ms: i64,
    action: String,
    files: BTreeSet<String>,
    /// A completed instant that does nothing stands in the place of the one that was rolled back.
    #[serde(default)]
    fenced: bool,
}

/// The instants that notes say were rolled back.
pub(super) async fn noted(store: &TableStore) -> Result<Vec<InstantTime>> {
    let (notes, _) = store.list_folder(&layout::rolled_back_dir()).await?;
    let names = notes.iter().filter_map(|note| layout::split(&note.path).1.strip_suffix(".json"));
    Ok(names.filter_map(|name| InstantTime::parse(name).ok()).collect())
}

/// Whether a note says that the instant was rolled back.
pub(super) async fn is_noted(store: &TableStore, instant: InstantTime) -> Result<bool> {
    Ok(store.get(&layout::rolled_back(instant)).await?.is_some())
}

/// Whether a pending instant is of ours, and its writer may be about to complete it: all its files are there.
pub(super) async fn may_be_completing(parts: &Components, instant: &Instant) -> Result<bool> {
    if instant.state != State::Inflight || !alive::is_ours(&parts.store, instant.time).await? {
        return Ok(false);
    }
    are_there(&parts.store, &files_of(&parts.store, instant.time).await?).await
}

/// Undoes a pending instant.
pub(super) async fn undo(parts: &Components, timeline: &Timeline, instant: &Instant) -> Result<()> {
    tracing::warn!(table = parts.store.url(), instant = %instant.time, "rolling back an instant that never completed");
    if !parts.is_broken(Mutant::NoAnchor) {
        anchor(parts, timeline).await?;
    }
    let mut files = files_of(&parts.store, instant.time).await?;
    // One who began to undo it has removed the markers perhaps.
    let before = read_note(&parts.store, instant.time).await?;
    let mut fenced = before.as_ref().is_some_and(|note| note.fenced);
    files.extend(before.map(|note| note.files).unwrap_or_default());
    // Nobody is at work where another's instant is rolled back.
    if instant.state == State::Inflight && !fenced && alive::is_ours(&parts.store, instant.time).await? {
        fenced = are_there(&parts.store, &files).await?;
    }
    let action = instant.action.comparable().as_str().to_owned();
    let note = Note { at_ms: parts.clock.now_ms(), action, files, fenced };
    let body = Bytes::from(serde_json::to_vec(&note).unwrap_or_default());
    if parts.is_broken(Mutant::InstantUndoneFirst) {
        remove_instant(&parts.store, timeline, instant.time, instant.action).await?;
    } else if !parts.is_broken(Mutant::NoNote) {
        parts.store.put(&layout::rolled_back(instant.time), body).await?;
    }
    remove(parts, timeline, instant.time, instant.action, note).await
}

/// Whether all the files are there: only then can the completed instant of those who wrote them be under way.
async fn are_there(store: &TableStore, files: &BTreeSet<String>) -> Result<bool> {
    for file in files {
        if !store.is_there(file).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes once more what a noted instant may have brought since, and a note that has become too old to be of use.
pub(super) async fn sweep(parts: &Components, timeline: &Timeline, time: InstantTime) -> Result<()> {
    let Some(note) = read_note(&parts.store, time).await? else { return Ok(()) };
    let action = Action::ALL.into_iter().find(|action| action.as_str() == note.action).unwrap_or(Action::Commit);
    let at_ms = note.at_ms;
    remove(parts, timeline, time, action, note).await?;
    if parts.clock.now_ms() - at_ms > alive::LATEST_MS {
        parts.store.delete(&layout::rolled_back(time)).await?;
    }
    Ok(())
}

async fn read_note(store: &TableStore, time: InstantTime) -> Result<Option<Note>> {
    let path = layout::rolled_back(time);
    let Some(bytes) = store.get(&path).await? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::corrupt(&path, e.to_string()))
}

async fn remove(
    parts: &Components,
    timeline: &Timeline,
    time: InstantTime,
    action: Action,
    Note { files, fenced, .. }: Note,
) -> Result<()> {
    let store = &parts.store;
    let letters = [layout::dead_letters(time), layout::applied_letters(time)];
    let beside = memories(store, time).await?.into_iter().chain(letters);
    store.delete_all(files.into_iter().chain(beside).collect()).await?;
    markers::remove(store, time).await?;
    match fenced {
        true => fence(parts, timeline, time, action).await?,
        false => remove_instant(store, timeline, time, action).await?,
    }
    alive::end(store, time).await
}

/// The row memories that the instant may have left: one of its pipeline, whichever that is.
async fn memories(store: &TableStore, time: InstantTime) -> Result<Vec<String>> {
    let (_, folders) = store.list_folder(&layout::cdc_dir()).await?;
    Ok(folders.iter().map(|folder| layout::row_memory(layout::split(folder).1, time)).collect())
}

/// Completes an instant that was rolled back as one that does nothing.
async fn fence(parts: &Components, timeline: &Timeline, time: InstantTime, action: Action) -> Result<()> {
    let completed = Instant::requested(time, action).completed(None);
    let path = layout::timeline_file(timeline.layout(), &completed);
    let replaces = action == Action::ReplaceCommit;
    let nothing = CommitMetadata {
        operation_type: if replaces { WriteOperation::InsertOverwriteTable } else { WriteOperation::Upsert },
        partition_to_replace_file_ids: replaces.then(BTreeMap::new),
        extra_metadata: [(ATTEMPT_KEY.to_owned(), format!("fence {time}"))].into(),
        ..CommitMetadata::default()
    };
    let body = Bytes::from(nothing.to_json());
    if parts.store.create_once(&path, body.clone()).await? == Created::Taken {
        // The zombie was quicker, but its files are gone.
        parts.store.delete(&path).await?;
        let _ = parts.store.create_once(&path, body).await?;
    }
    Ok(())
}

async fn remove_instant(store: &TableStore, timeline: &Timeline, time: InstantTime, action: Action) -> Result<()> {
    let requested = Instant::requested(time, action);
    for state in [requested.completed(None), requested.inflight(), requested] {
        store.delete(&layout::timeline_file(timeline.layout(), &state)).await?;
    }
    Ok(())
}

/// The files that the instant may have written: by its markers; by their names where it has none.
async fn files_of(store: &TableStore, time: InstantTime) -> Result<BTreeSet<String>> {
    if let Some(files) = markers::read(store, time).await? {
        return Ok(files.into_iter().collect());
    }
    // Ours has its markers before its files; another's may have none.
    if alive::is_ours(store, time).await? {
        return Ok(BTreeSet::new());
    }
    let listed = store.list("").await?;
    Ok(listed.into_iter().map(|object| object.path).filter(|path| is_of(path, time)).collect())
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

/// Makes sure that the timeline begins before every instant that is rolled back.
///
/// Files from before the first completed write count as archived data, for every reader. Where nothing was completed yet,
/// an empty commit goes before all that is pending, so that no late file is ever older than the timeline.
async fn anchor(parts: &Components, timeline: &Timeline) -> Result<()> {
    if timeline.completed_writes().next().is_some() {
        return Ok(());
    }
    let Some(oldest_ms) = timeline.pending().next().and_then(|oldest| oldest.time.to_millis()) else { return Ok(()) };
    let before = Instant::requested(InstantTime::from_millis(oldest_ms - 1), Action::Commit).completed(None);
    let mut metadata = CommitMetadata::default();
    let checkpoint = Checkpoint::key(&parts.settings.pipeline);
    metadata.extra_metadata.insert(checkpoint, Checkpoint::default().to_json());
    metadata.extra_metadata.insert(ATTEMPT_KEY.to_owned(), uuid_text(parts.clock.unique_id()));
    let path = layout::timeline_file(timeline.layout(), &before);
    match parts.store.create_once(&path, Bytes::from(metadata.to_json())).await? {
        Created::Ours | Created::Taken => Ok(()),
    }
}
