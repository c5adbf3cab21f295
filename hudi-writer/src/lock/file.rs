//! [`FileLock`]: the lock of a table in a local folder. The operating system frees it when its holder dies.
//!
//! Below `.hoodie/.cdc/locks`. Good among processes of one machine; a folder that several machines mount needs another.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use hudi_core::layout;

use super::contract::{Attempt, HeldLock, Lock};
use crate::error::{Error, Result};

/// An advisory lock on a file in the table's folder.
#[derive(Debug)]
pub(crate) struct FileLock {
    path: PathBuf,
}

#[derive(Debug)]
struct HeldFile(Option<File>);

impl FileLock {
    /// The lock of the table in this folder.
    pub(crate) fn of(folder: PathBuf) -> Self {
        Self { path: folder.join(layout::file_lock()) }
    }

    fn open(&self) -> std::io::Result<File> {
        if let Some(parent) = self.path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::Store { action: "lock", path: self.path.display().to_string(), source: Arc::new(error) }
    }
}

#[async_trait]
impl Lock for FileLock {
    async fn try_acquire(&self) -> Result<Attempt> {
        let file = self.open().map_err(|error| self.failed(error))?;
        match file.try_lock() {
            Ok(()) => Ok(Attempt::Held(Box::new(HeldFile(Some(file))))),
            Err(TryLockError::WouldBlock) => Ok(Attempt::Busy { owner: "another process of this machine".to_owned() }),
            Err(TryLockError::Error(error)) => Err(self.failed(error)),
        }
    }
}

#[async_trait]
impl HeldLock for HeldFile {
    fn valid_until_ms(&self) -> i64 {
        i64::MAX
    }

    async fn renew(&mut self) -> Result<bool> {
        Ok(self.0.is_some())
    }

    async fn release(&mut self) -> Result<bool> {
        // Closing the file frees the lock.
        Ok(self.0.take().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_held_once_and_freed_by_dropping() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (FileLock::of(folder.path().into()), FileLock::of(folder.path().into()));
        let Attempt::Held(mut held) = one.try_acquire().await.unwrap() else { panic!("it is free") };
        assert!(matches!(other.try_acquire().await.unwrap(), Attempt::Busy { .. }));
        assert!(held.renew().await.unwrap() && held.release().await.unwrap());
        let Attempt::Held(dropped) = other.try_acquire().await.unwrap() else { panic!("it is free") };
        drop(dropped);
        assert!(matches!(one.try_acquire().await.unwrap(), Attempt::Held(_)));
    }
}
