//! [`Remembered`]: the row memory of a pipeline as it stands in the store, an object for each commit that changes it.
//!
//! It is written before the commit that names it, and stands or falls with it. Not here: what is remembered ([`crate::moves`]).

use std::sync::Arc;

use hudi_core::checkpoint::Checkpoint;
use hudi_core::instant::InstantTime;
use hudi_core::layout;

use crate::components::Components;
use crate::error::{Error, Result, format};
use crate::moves::RowMemory;

/// A row memory that was read or written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remembered {
    /// The instant that it is of, as the checkpoint names it; `None`: nothing is remembered.
    pub(crate) of: Option<String>,
    pub(crate) rows: Arc<RowMemory>,
}

impl Remembered {
    /// The memory that a commit leaves; one without entries has no object.
    pub(crate) fn of_commit(rows: RowMemory, instant: InstantTime) -> Self {
        let of = (!rows.is_empty()).then(|| instant.to_string());
        Self { of, rows: Arc::new(rows) }
    }

    /// Reads the one that the checkpoint names, which must be there. Nobody supersedes it while the lock is held.
    pub(crate) async fn load(parts: &Components, checkpoint: &Checkpoint) -> Result<Self> {
        let Some(of) = checkpoint.memory.clone() else { return Ok(Self::default()) };
        let path = path(parts, &of)?;
        let bytes = parts.store.get(&path).await?;
        let bytes = bytes.ok_or_else(|| Error::corrupt(&path, "a commit names it, and it is gone"))?;
        let decoding = move || RowMemory::of_file(bytes, &path);
        let rows = Arc::new(parts.compute.run(decoding).await?);
        Ok(Self { of: Some(of), rows })
    }

    /// Writes it, if it has an object.
    pub(crate) async fn put(&self, parts: &Components) -> Result<()> {
        let Some(of) = &self.of else { return Ok(()) };
        let (path, rows) = (path(parts, of)?, Arc::clone(&self.rows));
        let name = path.clone();
        let bytes = parts.compute.run(move || rows.to_file(&name)).await?;
        parts.store.put(&path, bytes).await
    }

    /// Names it in the checkpoint that a commit will carry, in place of the one before.
    pub(crate) fn name_in(&self, checkpoint: &mut Checkpoint) {
        let before = std::mem::replace(&mut checkpoint.memory, self.of.clone());
        checkpoint.memory_before.extend(before.filter(|before| Some(before) != self.of.as_ref()));
    }
}

fn path(parts: &Components, of: &str) -> Result<String> {
    Ok(layout::row_memory(&parts.settings.pipeline, InstantTime::parse(of).map_err(format)?))
}

/// Removes the memories that a committed checkpoint calls superseded: nobody reads them any more.
pub(crate) async fn remove_superseded(parts: &Components, committed: &Checkpoint) -> Result<()> {
    if committed.memory_before.is_empty() {
        return Ok(());
    }
    let superseded = committed.memory_before.iter().filter(|before| Some(*before) != committed.memory.as_ref());
    let paths = superseded.map(|before| path(parts, before)).collect::<Result<Vec<_>>>()?;
    parts.store.delete_all(paths).await
}
