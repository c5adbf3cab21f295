//! Litter: heartbeats and markers that nobody needs any more, of writers that died right before or after their instant.

use std::collections::BTreeSet;

use hudi_core::instant::InstantTime;
use hudi_core::layout;
use hudi_core::timeline::Timeline;

use super::alive::{self, Life};
use super::markers;
use crate::components::Components;
use crate::error::Result;

/// Removes the heartbeats and markers of instants that are not pending. One that is not on the timeline may come onto it:
/// by a writer that is alive, or by a put of a dead one that is still under way.
pub(super) async fn remove(parts: &Components, timeline: &Timeline) -> Result<()> {
    let (beats, _) = parts.store.list_folder(&layout::heartbeat_dir()).await?;
    let (_, marked) = parts.store.list_folder(&layout::temp_dir()).await?;
    let names = beats.iter().map(|object| object.path.as_str()).chain(marked.iter().map(String::as_str));
    let instants: BTreeSet<InstantTime> =
        names.filter_map(|path| InstantTime::parse(layout::split(path).1).ok()).collect();
    for instant in instants {
        let mut on_timeline = timeline.at(instant).peekable();
        let is_litter = match on_timeline.peek() {
            Some(_) => on_timeline.all(|instant| instant.is_completed()),
            None => {
                let life = alive::look(&parts.store, instant, parts.clock.now_ms()).await?;
                matches!(life, Life::LongGone | Life::Unknown)
            }
        };
        if is_litter {
            markers::remove(&parts.store, instant).await?;
            alive::end(&parts.store, instant).await?;
        }
    }
    Ok(())
}
