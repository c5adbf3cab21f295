//! Where the tests of `ingest` take place: a store that answers when it likes, a clock that goes on by itself, and topics whose
//! messages say what every table must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use hudi_core::change::{ChangeBatch, Op, Origin, StreamPosition};
use hudi_core::dead_letter::{DeadLetter, Original, Stage};
use hudi_writer::{Clock, Table};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use crate::model::{Change, Model, Seeded, any_original, assert_is, batch};

/// Time goes on by itself, a little whenever somebody waits.
#[derive(Debug, Default)]
pub(crate) struct Walking {
    now_ms: Arc<AtomicI64>,
    ids: AtomicU64,
}

impl Walking {
    pub(crate) fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for Walking {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000 + self.now_ms.load(Ordering::SeqCst)
    }

    fn unique_id(&self) -> u128 {
        u128::from(self.ids.fetch_add(1, Ordering::SeqCst)) << 64 | 1
    }

    fn sleep(&self, ms: i64) -> BoxFuture<'static, ()> {
        let now_ms = Arc::clone(&self.now_ms);
        let until = now_ms.load(Ordering::SeqCst) + ms;
        futures::future::poll_fn(move |context| {
            if now_ms.fetch_add(1, Ordering::SeqCst) >= until {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .boxed()
    }
}

/// Lets others go on, so many times.
pub(crate) async fn pause(times: u64) {
    for _ in 0..times {
        let mut waited = false;
        futures::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// A store in memory. Each call takes as long as a seed says; some fail while they are told to.
#[derive(Debug, Clone)]
pub(crate) struct Unsteady {
    pub(crate) inner: Arc<InMemory>,
    random: Arc<Mutex<Seeded>>,
    /// How often others go on before a call, at most.
    longest: u64,
    /// All calls below such a path fail.
    broken: Arc<Mutex<Option<String>>>,
    /// Puts are answered with an error although they were done, now and then.
    pub(crate) loses_answers: Arc<AtomicBool>,
}

impl Unsteady {
    pub(crate) fn new(seed: u64, longest: u64) -> Self {
        let random = Arc::new(Mutex::new(Seeded(seed)));
        Self {
            inner: Arc::new(InMemory::new()),
            random,
            longest,
            broken: Arc::default(),
            loses_answers: Arc::default(),
        }
    }

    pub(crate) fn breaks(&self, below: Option<&str>) {
        *self.broken.lock().unwrap() = below.map(str::to_owned);
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.lock().unwrap().below(bound)
    }

    fn sound(&self, path: &str) -> Result<()> {
        match self.broken.lock().unwrap().as_deref().is_some_and(|below| path.starts_with(below)) {
            true => Err(failed()),
            false => Ok(()),
        }
    }

    async fn turn(&self, path: &Path) -> Result<()> {
        pause(if self.longest == 0 { 0 } else { self.below(self.longest) }).await;
        self.sound(path.as_ref())
    }

    fn told<T>(&self, done: T) -> Result<T> {
        match self.loses_answers.load(Ordering::SeqCst) && self.below(40) == 0 {
            true => Err(failed()),
            false => Ok(done),
        }
    }
}

fn failed() -> object_store::Error {
    object_store::Error::Generic { store: "Unsteady", source: "it is unsteady".into() }
}

impl fmt::Display for Unsteady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unsteady")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Unsteady {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.turn(location).await?;
        self.told(self.inner.put_opts(location, payload, options).await?)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.turn(location).await?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.turn(location).await?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.turn(location).await?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                store.turn(&location).await?;
                store.inner.delete(&location).await.map(|()| location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let listed = async move {
            store.turn(&prefix).await?;
            Ok::<_, object_store::Error>(store.inner.list(Some(&prefix)))
        };
        futures::stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.turn(prefix.unwrap_or(&Path::default())).await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.turn(from).await?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.turn(from).await?;
        self.inner.rename_opts(from, to, options).await
    }
}

/// A message of a topic.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// A change of a row of a table.
    Change(&'static str, Change),
    /// Bytes that no decoder takes, of a table.
    Bad(&'static str),
    /// Nothing to any table.
    Skip,
}

/// A change with its place.
pub(crate) type Placed = (i32, i64, Change);

/// Changes of a topic at these places.
pub(crate) fn placed(topic: &str, changes: &[Placed]) -> ChangeBatch {
    let bare: Vec<Change> = changes.iter().map(|(_, _, change)| change.clone()).collect();
    ChangeBatch {
        topic: topic.into(),
        partitions: changes.iter().map(|(partition, _, _)| *partition).collect(),
        offsets: changes.iter().map(|(_, offset, _)| *offset).collect(),
        positions: changes.iter().map(|(_, offset, _)| Some(StreamPosition([*offset as u64, 0, 0]))).collect(),
        fingerprints: changes.iter().map(|(_, offset, _)| *offset as u64).collect(),
        ..batch(&bare, 0)
    }
}

pub(crate) fn original(topic: &str, partition: i32, offset: i64) -> Original {
    any_original(&Origin { topic: topic.into(), partition, offset }).unwrap()
}

pub(crate) fn letter(topic: &str, partition: i32, offset: i64) -> DeadLetter {
    DeadLetter { stage: Stage::Decode, reason: "bad".to_owned(), original: original(topic, partition, offset) }
}

/// All messages that there will ever be, by topic and partition; rows of a table stay in their partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(pub(crate) BTreeMap<(&'static str, i32), Vec<Message>>);

impl Log {
    /// Messages of these tables in one topic.
    pub(crate) fn fill(
        &mut self,
        topic: &'static str,
        partitions: i32,
        tables: &[(&'static str, bool)],
        length: u64,
        random: &mut Seeded,
    ) {
        for partition in 0..partitions {
            let messages = (0..length).map(|offset| {
                let (table, keyed) = tables[random.below(tables.len() as u64) as usize];
                let id = i64::from(partition) * 1000 + if keyed { random.below(12) as i64 } else { offset as i64 };
                let order = offset as i64 + 1;
                match random.below(12) {
                    0 => Message::Skip,
                    1 => Message::Bad(table),
                    _ if !keyed => Message::Change(table, Change::new(Op::Insert, id, order)),
                    2..=3 => Message::Change(table, Change::new(Op::Delete, id, order)),
                    4..=5 => Message::Change(table, Change::new(Op::Update, id, order).without_name()),
                    _ => Message::Change(table, Change::new(Op::Insert, id, order)),
                }
            });
            self.0.insert((topic, partition), messages.collect());
        }
    }

    /// What the table must hold in the end, and which messages are dead letters of it.
    pub(crate) fn truth(&self, table: &str) -> (Model, BTreeSet<(String, i32, i64)>) {
        let (mut model, mut letters) = (Model::default(), BTreeSet::new());
        for ((topic, partition), messages) in &self.0 {
            for (offset, message) in (0..).zip(messages) {
                let is_dead = match message {
                    Message::Change(of, change) if *of == table => {
                        let dead = change.name.is_none() && !model.stored.contains_key(&change.id);
                        model.apply(change);
                        dead
                    }
                    Message::Bad(of) => *of == table,
                    _ => false,
                };
                if is_dead {
                    letters.insert(((*topic).to_owned(), *partition, offset));
                }
            }
        }
        (model, letters)
    }
}

/// The table holds what the log says, each row and each dead letter once.
pub(crate) async fn assert_truth(store: &Arc<InMemory>, table: &str, log: &Log) {
    let (model, letters) = log.truth(table);
    let opened = Table::open_in(store.clone(), table, "memory:///truth").await.unwrap();
    assert_is(&opened, &model).await;
    assert_eq!(
        dead_letters(store, &opened, table).await,
        letters.into_iter().collect::<Vec<_>>(),
        "letters of {table}"
    );
}

/// The places of the dead letters beside a table, in their order.
pub(crate) async fn dead_letters(store: &Arc<InMemory>, opened: &Table, table: &str) -> Vec<(String, i32, i64)> {
    let mut found = vec![];
    for instant in opened.timeline().completed() {
        let path = Path::from(format!("{table}/.hoodie/.cdc/dead_letters/{}.jsonl", instant.time));
        let Ok(object) = store.get(&path).await else { continue };
        let text = String::from_utf8(object.bytes().await.unwrap().to_vec()).unwrap();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let number = |name: &str| line[name].as_i64().unwrap();
            found.push((line["topic"].as_str().unwrap().to_owned(), number("partition") as i32, number("offset")));
        }
    }
    found.sort();
    found
}
