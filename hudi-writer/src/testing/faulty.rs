//! [`FaultyStore`]: a store of which one call goes wrong, in one of the ways that a network and a killed process have.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use tokio::sync::Semaphore;

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process is killed before it: this call and all later ones fail.
    Dies,
    /// It is not carried out and fails. The process lives on.
    Fails,
    /// It is carried out and fails.
    DoneButError,
    /// The process is killed, and the call is carried out later: see [`FaultyStore::release`].
    Late,
    /// The process sleeps before it, however long that is: it wakes at [`FaultyStore::release`], and goes on.
    Sleeps,
    /// It takes until [`FaultyStore::release`]; the rest of the process is awake.
    Waits,
}

impl Fault {
    /// All that end without anybody's help.
    pub const ALL: [Self; 4] = [Self::Dies, Self::Fails, Self::DoneButError, Self::Late];
}

/// Passes everything on to another store, but for one call.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    calls: Arc<Mutex<Calls>>,
    /// Closed once the sleeper may wake.
    awake: Arc<Semaphore>,
}

#[derive(Debug)]
struct Calls {
    at: Option<(usize, Fault)>,
    /// Of each call so far, whether it changes anything.
    seen: Vec<bool>,
    dead: bool,
    late: Option<Late>,
}

/// A call that is carried out later.
#[derive(Debug)]
enum Late {
    Put(Path, PutPayload, PutOptions),
    Delete(Path),
    Complete(Box<dyn MultipartUpload>),
}

/// What is to be done about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Do,
    DoAndFail,
    Keep,
}

fn failed(what: &'static str) -> object_store::Error {
    object_store::Error::Generic { store: "FaultyStore", source: what.into() }
}

impl FaultyStore {
    /// A store of which nothing goes wrong; it counts.
    #[must_use]
    pub fn sound(inner: Arc<dyn ObjectStore>) -> Self {
        Self::of(inner, None)
    }

    /// A store of which the call number `at` (the first is 0) goes wrong.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, at: usize, fault: Fault) -> Self {
        Self::of(inner, Some((at, fault)))
    }

    fn of(inner: Arc<dyn ObjectStore>, at: Option<(usize, Fault)>) -> Self {
        let calls = Calls { at, seen: vec![], dead: false, late: None };
        Self { inner, calls: Arc::new(Mutex::new(calls)), awake: Arc::new(Semaphore::new(0)) }
    }

    /// Of each call so far, whether it changes anything.
    #[must_use]
    pub fn calls(&self) -> Vec<bool> {
        self.lock().seen.clone()
    }

    /// Carries out the call that came late, and wakes the one who sleeps, if there is one.
    pub async fn release(&self) {
        self.awake.close();
        let late = self.lock().late.take();
        // Whatever it comes to, nobody hears of it.
        match late {
            Some(Late::Put(path, payload, options)) => drop(self.inner.put_opts(&path, payload, options).await),
            Some(Late::Delete(path)) => drop(self.inner.delete(&path).await),
            Some(Late::Complete(mut upload)) => drop(upload.complete().await),
            None => {}
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody sleeps.
    #[must_use]
    pub fn sleeps(&self) -> bool {
        let calls = self.lock();
        let waits = |fault| matches!(fault, Fault::Sleeps | Fault::Waits);
        let reached = calls.at.is_some_and(|(at, fault)| waits(fault) && calls.seen.len() > at);
        reached && !self.awake.is_closed()
    }

    async fn turn(&self, changes: bool) -> Result<Turn> {
        let (turn, is_last) = {
            let mut calls = self.lock();
            let before = calls.seen.len();
            let turn = calls.turn(changes)?;
            (turn, calls.at == Some((before, Fault::Waits)))
        };
        let sleeps = self.lock().at.is_some_and(|(_, fault)| fault == Fault::Sleeps);
        if self.sleeps() && (sleeps || is_last) {
            // Closing it is an error to who waits.
            let _ = self.awake.acquire().await;
        }
        Ok(turn)
    }

    fn turn_now(&self, changes: bool) -> Result<Turn> {
        self.lock().turn(changes)
    }

    async fn read(&self) -> Result<()> {
        Self::is_read(self.turn(false).await?)
    }

    fn is_read(turn: Turn) -> Result<()> {
        match turn {
            Turn::Do => Ok(()),
            Turn::DoAndFail | Turn::Keep => Err(failed("the answer was lost")),
        }
    }

    fn keep(&self, late: Late) -> object_store::Error {
        self.lock().late = Some(late);
        failed("the process was killed, and its call is under way")
    }
}

impl Calls {
    fn turn(&mut self, changes: bool) -> Result<Turn> {
        if self.dead {
            return Err(failed("the process is dead"));
        }
        self.seen.push(changes);
        let now = self.seen.len() - 1;
        match self.at.filter(|(at, _)| *at == now).map(|(_, fault)| fault) {
            None | Some(Fault::Sleeps | Fault::Waits) => Ok(Turn::Do),
            Some(Fault::Fails) => Err(failed("the call failed")),
            Some(Fault::DoneButError) => Ok(Turn::DoAndFail),
            Some(Fault::Dies) => {
                self.dead = true;
                Err(failed("the process was killed"))
            }
            Some(Fault::Late) => {
                self.dead = true;
                Ok(Turn::Keep)
            }
        }
    }
}

fn told<T>(turn: Turn, result: Result<T>) -> Result<T> {
    match turn {
        Turn::DoAndFail => result.and(Err(failed("the answer was lost"))),
        _ => result,
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.turn(true).await? {
            Turn::Keep => Err(self.keep(Late::Put(location.clone(), payload, options))),
            turn => told(turn, self.inner.put_opts(location, payload, options).await),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.read().await?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(FaultyUpload { inner: Some(inner), store: self.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.read().await?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read().await?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = locations.then(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                match store.turn(true).await? {
                    Turn::Keep => Err(store.keep(Late::Delete(location))),
                    turn => told(turn, store.inner.delete(&location).await.map(|()| location)),
                }
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            store.read().await?;
            Ok::<_, object_store::Error>(store.inner.list(prefix.as_ref()))
        };
        futures::stream::once(listed).try_flatten().boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix, offset) = (self.clone(), prefix.cloned(), offset.clone());
        let listed = async move {
            store.read().await?;
            Ok::<_, object_store::Error>(store.inner.list_with_offset(prefix.as_ref(), &offset))
        };
        futures::stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.read().await?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.read().await?;
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    /// Gone once its end was kept for later.
    inner: Option<Box<dyn MultipartUpload>>,
    store: FaultyStore,
}

impl FaultyUpload {
    fn upload(&mut self) -> Result<&mut Box<dyn MultipartUpload>> {
        self.inner.as_mut().ok_or_else(|| failed("the process is dead"))
    }
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let passed = self.store.turn_now(false).and_then(FaultyStore::is_read);
        match passed.and_then(|()| self.upload()) {
            Ok(inner) => inner.put_part(data),
            Err(e) => Box::pin(async move { Err(e) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let turn = self.store.turn(true).await?;
        if turn == Turn::Keep {
            let late = self.inner.take().map(Late::Complete);
            return Err(late.map_or_else(|| failed("the process is dead"), |late| self.store.keep(late)));
        }
        told(turn, self.upload()?.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.read().await?;
        self.upload()?.abort().await
    }
}
