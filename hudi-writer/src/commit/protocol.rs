//! The order of an instant's objects: heartbeat → requested → inflight → markers → files → completed. Nothing else orders them.
//!
//! Each stage owns what it has, and only the next can be reached from it. The completed object is the commit point: it is
//! created under the lock, never overwritten, and verified after an unclear answer. Timeline layout 1 (table version 6).

use bytes::Bytes;
use hudi_core::commit::CommitMetadata;
use hudi_core::file_name::Marker;
use hudi_core::instant::{Action, Instant, InstantTime};
use hudi_core::layout;
use hudi_core::timeline::Timeline;

use super::alive::{self, Alive};
use super::conflict::{Standing, standing};
use super::{markers, rollback};
use crate::components::Components;
use crate::error::{Error, Result};
use crate::lock::Guard;
use crate::mutant::Mutant;
use crate::store::Created;
use crate::table;

/// How often an instant that somebody else took is drawn anew.
const DRAWS: usize = 8;

/// An instant that is ours, on the timeline as requested.
#[derive(Debug)]
pub(crate) struct Requested {
    parts: Components,
    /// The timeline that the instant was drawn above.
    then: Timeline,
    instant: Instant,
    /// A sole writer has no heartbeat.
    alive: Option<Alive>,
}

/// An instant whose content is announced: files may be written.
#[derive(Debug)]
pub(crate) struct Inflight(Requested);

/// What completing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Completed {
    /// The commit is there.
    Done,
    /// It is not there, and will not be: somebody else completed or undid this instant.
    Taken,
}

/// Draws an instant above all others and requests it. The lock must be held, and the timeline read under it.
pub(crate) async fn request(parts: &Components, then: &Timeline, action: Action) -> Result<Requested> {
    let mut time = match then.latest_time() {
        Some(latest) => latest.next(parts.clock.now_ms()),
        None => InstantTime::from_millis(parts.clock.now_ms()),
    };
    for _ in 0..DRAWS {
        let instant = Instant::requested(time, action);
        if let Some(alive) = begin(parts, then, &instant).await? {
            return Ok(Requested { parts: parts.clone(), then: then.clone(), instant, alive });
        }
        time = time.next(parts.clock.now_ms());
    }
    Err(Error::refused("an instant", format!("{DRAWS} in a row were taken by other writers: try again later")))
}

/// Puts heartbeat and requested instant; `None` where the instant is taken. The outer option is the instant, the inner the
/// heartbeat.
async fn begin(parts: &Components, then: &Timeline, instant: &Instant) -> Result<Option<Option<Alive>>> {
    let mut alive = None;
    if !parts.settings.sole_writer {
        // Before the instant itself: who finds it must be able to tell whether we are alive.
        alive = Alive::begin(parts, instant.time).await?;
        if alive.is_none() {
            return Ok(None);
        }
    }
    match parts.store.create_once(&layout::timeline_file(then.layout(), instant), Bytes::new()).await? {
        Created::Ours => Ok(Some(alive)),
        // The heartbeat stays: it tells that whatever we put there is of the dead.
        Created::Taken => Ok(None),
    }
}

impl Requested {
    pub(crate) fn time(&self) -> InstantTime {
        self.instant.time
    }

    pub(crate) fn action(&self) -> Action {
        self.instant.action
    }

    /// Does the work, and says that we are alive while it waits.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.alive {
            Some(alive) => alive.during(work).await,
            None => work.await,
        }
    }

    /// Announces what will be written, and says which files: first the inflight instant, then the markers.
    pub(crate) async fn announce(&self, workload: &CommitMetadata, files: &[Marker]) -> Result<()> {
        let path = layout::timeline_file(self.then.layout(), &self.instant.inflight());
        match self.parts.store.create_once(&path, Bytes::from(workload.to_json())).await? {
            Created::Ours => {}
            Created::Taken => {
                return Err(Error::corrupt(path, "somebody else went on with an instant that we requested"));
            }
        }
        if !files.is_empty() && !self.parts.is_broken(Mutant::NoMarkers) {
            markers::write(&self.parts.store, self.instant.time, files).await?;
        }
        Ok(())
    }

    /// All files are written.
    pub(crate) fn written(self) -> Inflight {
        Inflight(self)
    }

    /// Undoes the instant, which will not be completed. What fails is left for the next who opens the table.
    pub(crate) async fn abandon(&self) {
        let ours = self.then.instants().iter().copied().chain([self.instant]);
        let timeline = Timeline::from_instants(self.then.layout(), ours);
        if let Err(error) = rollback::undo(&self.parts, &timeline, &self.instant).await {
            tracing::warn!(instant = %self.instant.time, %error, "could not undo an instant that was given up");
        }
    }
}

impl Inflight {
    pub(crate) fn requested(&self) -> &Requested {
        &self.0
    }

    /// Whether the instant may complete: `Ok` names the writes that were completed since, `Err` what stands against it. The
    /// lock must be held.
    pub(crate) async fn stands(&self) -> Result<Result<Vec<Instant>, InstantTime>> {
        let Requested { parts, then, instant, alive } = &self.0;
        let now = table::read_timeline(&parts.store, then.layout()).await?;
        if parts.is_broken(Mutant::OwnInstantOnFaith) {
            return Ok(Ok(vec![]));
        }
        let ignored = parts.is_broken(Mutant::NewerIgnored);
        let since = match standing(then, &now, &instant.inflight()) {
            Standing::Lost(with) if ignored && with > instant.time => vec![],
            Standing::Stands(since) => since,
            Standing::Lost(with) => return Ok(Err(with)),
        };
        if let Some(alive) = alive {
            let is_undone = !alive.stands().await? || rollback::is_noted(&parts.store, instant.time).await?;
            if is_undone {
                return Ok(Err(instant.time));
            }
        }
        Ok(Ok(since))
    }

    /// The commit point. All files must be there, the instant must stand, and the lock must last for a put.
    ///
    /// A commit is only told of as done while the lock is surely ours; else it is looked at under the lock once more.
    pub(crate) async fn complete(&self, guard: Guard, metadata: &CommitMetadata) -> Result<Completed> {
        let Requested { parts, then, instant, .. } = &self.0;
        let path = layout::timeline_file(then.layout(), &instant.completed(None));
        let created = parts.store.create_once(&path, Bytes::from(metadata.to_json())).await;
        let is_sure = guard.is_sure();
        guard.release().await;
        if created? == Created::Taken || !(is_sure || self.was_not_undone().await?) {
            return Ok(Completed::Taken);
        }
        self.clean_up().await;
        Ok(Completed::Done)
    }

    async fn was_not_undone(&self) -> Result<bool> {
        let guard = self.0.parts.lock.acquire().await?;
        let noted = rollback::is_noted(&self.0.parts.store, self.0.instant.time).await;
        guard.release().await;
        Ok(!noted?)
    }

    /// The commit stands: markers and heartbeat are litter.
    async fn clean_up(&self) {
        let Requested { parts, instant, alive, .. } = &self.0;
        let mut cleaned = markers::remove(&parts.store, instant.time).await;
        if alive.is_some() {
            cleaned = cleaned.and(alive::end(&parts.store, instant.time).await);
        }
        if let Err(error) = cleaned {
            tracing::warn!(instant = %instant.time, %error, "could not remove what a completed commit needs no more");
        }
    }
}
