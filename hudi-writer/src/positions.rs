//! [`Positions`]: what a commit says of how far the pipelines got, and where the columns stand that it got from them.

use std::collections::BTreeMap;

use hudi_core::checkpoint::{Checkpoint, STREAMER_KEY};

use hudi_core::schema::{ColumnMap, mapping};

use crate::error::Result;
use crate::table::History;

/// The checkpoint of our pipeline, and those of the others, which every commit carries on.
#[derive(Debug, Clone)]
pub(crate) struct Positions {
    key: String,
    /// How far the pipeline got: what is committed, and what is buffered.
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint of the newest commit.
    pub(crate) committed: Checkpoint,
    /// The checkpoints of all pipelines, as the newest commit carries them.
    carried: BTreeMap<String, String>,
    /// Where the sources' columns stand: in the table, and in what is buffered.
    pub(crate) columns: ColumnMap,
    /// The same, of the newest commit.
    committed_columns: ColumnMap,
}

impl Positions {
    /// As the table's newest commit with any says.
    pub(crate) fn of(history: History, pipeline: &str) -> Result<Self> {
        let committed = history.checkpoint(pipeline)?;
        let key = Checkpoint::key(pipeline);
        let columns = history.columns()?;
        let (checkpoint, committed_columns) = (committed.clone(), columns.clone());
        Ok(Self { key, checkpoint, committed, carried: history.checkpoints, columns, committed_columns })
    }

    /// Whether there is anything to say that the table does not say yet.
    pub(crate) fn have_moved(&self) -> bool {
        self.checkpoint != self.committed
    }

    /// Takes over what commits of others said since; `false` where they dealt with what we dealt with, too. `remembers`: another
    /// row memory would have made a difference to us.
    pub(crate) fn join(&mut self, newest: History, pipeline: &str, remembers: bool) -> Result<bool> {
        let theirs = newest.checkpoint(pipeline)?;
        if remembers && theirs.memory != self.committed.memory {
            return Ok(false);
        }
        let their_columns = newest.columns()?;
        let joined = self.checkpoint.joined(&self.committed, &theirs);
        let columns = self.columns.joined(&self.committed_columns, &their_columns);
        let (Some(joined), Some(columns)) = (joined, columns) else { return Ok(false) };
        (self.checkpoint, self.committed, self.carried) = (joined, theirs, newest.checkpoints);
        (self.columns, self.committed_columns) = (columns, their_columns);
        Ok(true)
    }

    /// What a commit's `extraMetadata` carries of ours that says `checkpoint` for our pipeline.
    pub(crate) fn metadata_of(&self, checkpoint: &Checkpoint) -> BTreeMap<String, String> {
        let mut extra = self.carried.clone();
        extra.insert(self.key.clone(), checkpoint.to_json());
        if let Some(streamer) = checkpoint.streamer_text() {
            extra.insert(STREAMER_KEY.to_owned(), streamer);
        }
        if let Some(columns) = self.columns.to_json() {
            extra.insert(mapping::KEY.to_owned(), columns);
        }
        extra
    }

    /// The row memories that were superseded are gone.
    pub(crate) fn are_tidied(&mut self) {
        self.checkpoint.memory_before.clear();
        self.committed.memory_before.clear();
    }

    /// The commit stands.
    pub(crate) fn are_committed(&mut self) {
        self.committed = self.checkpoint.clone();
        self.committed_columns = self.columns.clone();
        self.carried.insert(self.key.clone(), self.checkpoint.to_json());
    }
}
