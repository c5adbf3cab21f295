//! [`DyingStore`]: a store that fails for good after its n-th changing call, as if the process had been killed.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// Passes everything on to another store, until it has changed things often enough.
#[derive(Debug, Clone)]
pub struct DyingStore {
    inner: Arc<dyn ObjectStore>,
    lives: Arc<Lives>,
}

#[derive(Debug)]
struct Lives {
    left: AtomicU64,
    spent: AtomicU64,
}

impl Lives {
    /// Spends a life; an error once there are none.
    fn spend(&self) -> Result<()> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_err() {
            return Err(dead());
        }
        self.spent.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn alive(&self) -> Result<()> {
        if self.left.load(Ordering::SeqCst) == 0 { Err(dead()) } else { Ok(()) }
    }
}

fn dead() -> object_store::Error {
    object_store::Error::Generic { store: "DyingStore", source: "the process is dead".into() }
}

impl DyingStore {
    /// A store that carries out `lives` changing calls and fails every call after the last, reads included.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, lives: u64) -> Self {
        Self { inner, lives: Arc::new(Lives { left: AtomicU64::new(lives), spent: AtomicU64::new(0) }) }
    }

    /// How many changing calls were carried out.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.lives.spent.load(Ordering::SeqCst)
    }
}

impl fmt::Display for DyingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DyingStore({})", self.inner)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for DyingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.lives.spend()?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.lives.spend()?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(DyingUpload { inner, lives: Arc::clone(&self.lives) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.lives.alive()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.lives.alive()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let lives = Arc::clone(&self.lives);
        let paid = locations.map(move |location| lives.spend().and(location)).boxed();
        self.inner.delete_stream(paid)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.lives.alive() {
            Ok(()) => self.inner.list(prefix),
            Err(e) => futures::stream::iter([Err(e)]).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.lives.alive() {
            Ok(()) => self.inner.list_with_offset(prefix, offset),
            Err(e) => futures::stream::iter([Err(e)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.lives.alive()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.lives.spend()?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.lives.spend()?;
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct DyingUpload {
    inner: Box<dyn MultipartUpload>,
    lives: Arc<Lives>,
}

#[async_trait]
impl MultipartUpload for DyingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.lives.spend() {
            Ok(()) => self.inner.put_part(data),
            Err(e) => Box::pin(async move { Err(e) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.lives.spend()?;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.lives.spend()?;
        self.inner.abort().await
    }
}
