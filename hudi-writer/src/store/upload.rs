//! [`Upload`]: an object whose bytes come in pieces. A small one is written by one put, a large one in parts.

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use super::TableStore;
use crate::error::Result;

/// Above this, bytes go out as parts while the rest is still made.
const PART_BYTES: usize = 8 << 20;

/// An object on its way. Dropped half-way, no object appears; its parts may stay with the store until that clears them.
pub(crate) struct Upload {
    store: TableStore,
    path: String,
    parts: Option<Box<dyn MultipartUpload>>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    size_bytes: u64,
}

impl Upload {
    pub(super) fn new(store: TableStore, path: String) -> Self {
        Self { store, path, parts: None, waiting: vec![], waiting_bytes: 0, size_bytes: 0 }
    }

    /// Adds bytes.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.size_bytes += bytes.len() as u64;
        self.waiting_bytes += bytes.len();
        if !bytes.is_empty() {
            self.waiting.push(bytes);
        }
        if self.waiting_bytes >= PART_BYTES { self.put_part().await } else { Ok(()) }
    }

    async fn put_part(&mut self) -> Result<()> {
        if self.parts.is_none() {
            let path = self.store.path(&self.path)?;
            let begun = self.store.store.put_multipart(&path).await;
            self.parts = Some(begun.map_err(self.store.failed("write", &self.path))?);
        }
        let payload = self.take_waiting();
        if let Some(parts) = &mut self.parts {
            parts.put_part(payload).await.map_err(self.store.failed("write", &self.path))?;
        }
        Ok(())
    }

    fn take_waiting(&mut self) -> PutPayload {
        self.waiting_bytes = 0;
        PutPayload::from_iter(std::mem::take(&mut self.waiting))
    }

    /// Makes the object appear; its size in bytes.
    pub(crate) async fn finish(mut self) -> Result<u64> {
        if self.parts.is_none() {
            let payload = self.take_waiting();
            self.store.put(&self.path, payload).await?;
            return Ok(self.size_bytes);
        }
        if self.waiting_bytes > 0 {
            self.put_part().await?;
        }
        if let Some(parts) = &mut self.parts {
            parts.complete().await.map_err(self.store.failed("write", &self.path))?;
        }
        Ok(self.size_bytes)
    }
}
