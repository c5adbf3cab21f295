//! [`Checkpoint`]: how far a pipeline got, and what tells a re-delivered change from a new one.
//!
//! It rides inside the commit (`extraMetadata`, key `cdc.checkpoint.<pipeline>`), so data and position become visible in
//! one put. Offsets tell what the *broker* sends again; the [`Mark`] tells what the *source's connector* sends again,
//! under new offsets, after it restarts, and what a source that was restored sends in place of what it sent before.

mod join;
pub mod judge;
mod snapshot;
mod state;

pub use judge::{Epochs, Judged, SourceWentBack, Verdict, WentBack};
pub use snapshot::{Bounding, SeenRun, SnapshotState};
pub use state::{
    Began, Checkpoint, KEY_PREFIX, MAX_EPOCH, MAX_IDENTITIES, Mark, PartitionPosition, Past, STREAMER_KEY, SourceState,
    TopicPosition, TruncatedAt, VERSION,
};
