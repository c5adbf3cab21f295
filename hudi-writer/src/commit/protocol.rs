//! The order of an instant's objects: requested → inflight → markers → files → completed. Nothing else orders them.
//!
//! Each stage owns what it has, and only the next can be reached from it. The completed object is the commit point: it is
//! created, never overwritten, and verified after an unclear answer. Timeline layout 1 (table version 6).

use bytes::Bytes;
use hudi_core::commit::CommitMetadata;
use hudi_core::file_name::Marker;
use hudi_core::instant::{Action, Instant, InstantTime};
use hudi_core::layout;
use hudi_core::timeline::Timeline;
use hudi_core::version::TimelineLayout;

use super::markers;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::store::{Created, TableStore};

/// How often an instant that somebody else took is drawn anew.
const DRAWS: usize = 8;

/// An instant that is ours, on the timeline as requested.
#[derive(Debug)]
pub(crate) struct Requested<'a> {
    store: &'a TableStore,
    layout: TimelineLayout,
    instant: Instant,
}

/// An instant whose content is announced: files may be written.
#[derive(Debug)]
pub(crate) struct Inflight<'a>(Requested<'a>);

/// What completing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Completed {
    /// The commit is there.
    Done,
    /// Somebody else completed this instant: ours is not there.
    Taken,
}

/// Draws an instant above all others and requests it. `action`: a commit, or a replace commit (whose requested object holds
/// nothing either: it has no plan).
pub(crate) async fn request<'a>(
    store: &'a TableStore,
    timeline: &Timeline,
    action: Action,
    clock: &dyn Clock,
) -> Result<Requested<'a>> {
    let layout = timeline.layout();
    let mut time = match timeline.latest_time() {
        Some(latest) => latest.next(clock.now_ms()),
        None => InstantTime::from_millis(clock.now_ms()),
    };
    for _ in 0..DRAWS {
        let instant = Instant::requested(time, action);
        match store.create_once(&layout::timeline_file(layout, &instant), Bytes::new()).await? {
            Created::Ours => return Ok(Requested { store, layout, instant }),
            Created::Taken => time = time.next(clock.now_ms()),
        }
    }
    Err(Error::refused("an instant", format!("{DRAWS} in a row were taken by other writers: try again later")))
}

impl<'a> Requested<'a> {
    pub(crate) fn time(&self) -> InstantTime {
        self.instant.time
    }

    /// Announces what will be written, and says which files: first the inflight instant, then the markers.
    pub(crate) async fn inflight(self, workload: &CommitMetadata, files: &[Marker]) -> Result<Inflight<'a>> {
        let path = layout::timeline_file(self.layout, &self.instant.inflight());
        match self.store.create_once(&path, Bytes::from(workload.to_json())).await? {
            Created::Ours => {}
            Created::Taken => {
                return Err(Error::corrupt(path, "somebody else went on with an instant that we requested"));
            }
        }
        if !files.is_empty() {
            markers::write(self.store, self.instant.time, files).await?;
        }
        Ok(Inflight(self))
    }
}

impl Inflight<'_> {
    /// The commit point. All files must be there.
    pub(crate) async fn complete(self, metadata: &CommitMetadata) -> Result<Completed> {
        let Requested { store, layout, instant } = self.0;
        let path = layout::timeline_file(layout, &instant.completed(None));
        let body = Bytes::from(metadata.to_json());
        if store.create_once(&path, body).await? == Created::Taken {
            return Ok(Completed::Taken);
        }
        // The commit stands: markers that stay are only litter.
        if let Err(error) = markers::remove(store, instant.time).await {
            tracing::warn!(instant = %instant.time, %error, "could not remove the markers of a completed commit");
        }
        Ok(Completed::Done)
    }
}
