//! [`Mutant`]: the ways in which a writer can be broken on purpose, to see that the tests would notice.
//!
//! Each takes one precaution away. Nothing is ever broken without the feature `testing`.

/// One precaution that is not taken.
#[cfg_attr(
    not(any(test, feature = "testing")),
    allow(dead_code, unreachable_pub, reason = "only tests ask for one, by the module `testing`")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Mutant {
    /// Files are written without markers.
    NoMarkers,
    /// The completed instant is put before the files are.
    CompletedBeforeFiles,
    /// The checkpoint is an object of its own, put after the commit.
    CheckpointOutsideCommit,
    /// Marks are not kept in the checkpoint.
    MarkNotKept,
    /// What another writer of the pipeline committed is overwritten by our own checkpoint.
    CheckpointNotJoined,
    /// Instants are rolled back by a timeline that was listed before the lock was taken.
    StaleListing,
    /// A rollback leaves no note.
    NoNote,
    /// A rollback leaves the timeline without a beginning.
    NoAnchor,
    /// A rollback removes the instant before its files.
    InstantUndoneFirst,
    /// A pending instant is rolled back although its writer is alive.
    HeartbeatIgnored,
    /// A heartbeat is never renewed.
    HeartbeatNotRenewed,
    /// Nobody takes the lock.
    LockIgnored,
    /// A commit completes although its instant was undone.
    OwnInstantOnFaith,
    /// A commit completes although a newer one is there.
    NewerIgnored,
    /// A commit completes although another changed the same part of the table.
    OverlapIgnored,
    /// What the last holder of a lock that ran out may be about to complete is left alone.
    LeftBehindIgnored,
    /// What is remembered of moved rows is named by the commit, and not written.
    MemoryNotWritten,
    /// It is written after the commit.
    MemoryAfterCommit,
    /// What a snapshot does not have is deleted before its end was seen.
    GhostsBeforeTheEnd,
}
