//! Nulls of flattened topics: deletes of their own, or tombstones behind a deleted row.
//!
//! The transform's modes cannot be told from one message: in some a null *is* the delete, in others it follows the deleted row of the
//! same key, in the same partition, right behind it. Where the deleted row is gone (compaction) or was read before (a restart), the
//! null counts as a delete: it is one, and deleting twice does no harm.

use std::collections::HashMap;

use twox_hash::XxHash3_64;

use crate::decoder::Message;

/// What a null in a flattened topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tombstones {
    /// The delete of its key, but right behind the deleted row of the same key: its tombstone then.
    #[default]
    Delete,
    /// Nothing: the source's deletes are not to reach the table by nulls.
    Skip,
}

/// For each partition whose last change was a deleted row: a hash of its message key.
#[derive(Debug, Default)]
pub(crate) struct LastDeletes {
    keys: HashMap<i32, u64>,
}

impl LastDeletes {
    /// Notes a change that came as a row.
    #[inline]
    pub(crate) fn note(&mut self, message: &Message<'_>, deleted: bool) {
        if deleted {
            self.keys.insert(message.partition, key_of(message));
        } else if !self.keys.is_empty() {
            self.keys.remove(&message.partition);
        }
    }

    /// Whether a null follows the deleted row of its key. It does so once.
    pub(crate) fn take(&mut self, message: &Message<'_>) -> bool {
        self.keys.remove(&message.partition) == Some(key_of(message))
    }
}

fn key_of(message: &Message<'_>) -> u64 {
    XxHash3_64::oneshot(message.key.unwrap_or_default())
}
