//! A history of commits that is written through a store of which calls go wrong, and what must hold whatever happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt;
use hudi_core::change::Op;
use hudi_core::checkpoint::Checkpoint;
use hudi_writer::testing::{Fault, FaultyStore, ManualClock, Mutant};
use hudi_writer::{CommitOutcome, Compute, Error, NewTable, Table, TableWriter, WriterBuilder, check_table};
use object_store::memory::InMemory;
use object_store::{ObjectMeta, ObjectStore};

use crate::model::{Change, Model, any_original, batch, moves, try_rows_of};

/// Longer than a lease and a heartbeat last.
const LONG_MS: i64 = 61_000;

/// One commit after the other.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) table: NewTable,
    pub(crate) commits: Vec<Vec<Change>>,
    /// How all writers are broken, to see whether somebody notices.
    pub(crate) mutant: Option<Mutant>,
}

/// When a call that comes late is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// Before anybody else opens the table.
    AtOnce,
    /// After the next writer opened it.
    Opened,
    /// After the next writer's first commit.
    Committed,
    /// After everything.
    AtLast,
}

impl Release {
    pub(crate) const ALL: [Self; 4] = [Self::AtOnce, Self::Opened, Self::Committed, Self::AtLast];
}

/// A table in memory, and who writes it.
#[derive(Clone)]
pub(crate) struct World {
    history: History,
    pub(crate) url: String,
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) clock: Arc<ManualClock>,
    models: Vec<Model>,
    /// How many commits were told of as done.
    acknowledged: Arc<AtomicUsize>,
}

pub(crate) type Held<T = ()> = Result<T, String>;

/// Inserts, updates (partial ones among them), deletes and rows that come back; then a truncate, rows of before and after it, and
/// one commit more.
pub(crate) fn usual_commits() -> Vec<Vec<Change>> {
    let insert = (0..12).map(|id| Change::new(Op::Insert, id, 1)).collect();
    let upsert = (6..18).map(|id| Change::new(Op::Update, id, 2));
    let upsert = upsert.map(|change| if change.id == 7 { change.without_name() } else { change }).collect();
    let delete = (0..9).step_by(2).map(|id| Change::new(Op::Delete, id, 3)).collect();
    let again = [Change::new(Op::Insert, 2, 4), Change::new(Op::Update, 3, 4)].to_vec();
    let truncated =
        [Change::truncate(5).at(1000), Change::new(Op::Insert, 50, 4), Change::new(Op::Insert, 51, 6)].to_vec();
    let after = [Change::new(Op::Update, 51, 7), Change::new(Op::Insert, 3, 7)].to_vec();
    vec![insert, upsert, delete, again, truncated, after]
}

/// The same, with rows that move between partitions, back again and out of the table.
pub(crate) fn moving_commits() -> Vec<Vec<Change>> {
    let mut commits = usual_commits();
    let to = |id, order, region: &str| Change::new(Op::Update, id, order).in_region(region);
    commits[1].extend([to(1, 2, "r0"), to(2, 2, "r9").without_name(), to(3, 2, "r1")]);
    commits[2].extend([to(1, 3, "r1"), Change::new(Op::Delete, 3, 3).without_region()]);
    commits[5].push(to(51, 8, "r2"));
    commits
}

/// Rows whose key changes: the halves of a move in two commits, either first, in one, and a truncate between.
pub(crate) fn key_changes() -> Vec<Vec<Change>> {
    let insert = (0..8).map(|id| Change::new(Op::Insert, id, 1)).collect();
    let halves = vec![Change::leaves(1, 11, 10), Change::comes(12, 2, 10)];
    let more = vec![Change::comes(11, 1, 10), Change::new(Op::Update, 2, 9), Change::leaves(3, 13, 11)];
    let settled = vec![Change::leaves(2, 12, 10)];
    let whole = [moves(4, 14, 20), moves(14, 15, 21)].concat();
    let forgotten = vec![Change::leaves(5, 16, 22), Change::truncate(30).at(1000), Change::new(Op::Insert, 1, 31)];
    let last = vec![Change::leaves(1, 17, 40), Change::new(Op::Insert, 1, 41)];
    vec![insert, halves, more, settled, whole, forgotten, last]
}

impl World {
    pub(crate) fn new(history: &History, url: String) -> Self {
        let mut models = vec![Model::default()];
        for changes in &history.commits {
            let mut model = models.last().unwrap().clone();
            model.commit(changes);
            models.push(model);
        }
        let (inner, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::default()));
        Self { history: history.clone(), url, inner, clock, models, acknowledged: Arc::default() }
    }

    pub(crate) fn builder(&self, store: Arc<dyn ObjectStore>) -> WriterBuilder {
        let builder = TableWriter::builder(&self.url).store(store, "base/t");
        builder.clock(self.clock.clone()).compute(Compute::inline()).mutant(self.history.mutant)
    }

    /// Sends what the table does not have yet, `at_most` commits; how far it got stands in `acknowledged`.
    pub(crate) async fn send(&self, store: Arc<dyn ObjectStore>, at_most: usize) -> Result<(), Error> {
        let mut writer = self.builder(store).open_or_create(&self.history.table).await?;
        let (mut offset, mut commits) = (0, 0);
        for (number, changes) in self.history.commits.clone().into_iter().enumerate() {
            let taken = writer.write(&batch(&changes, offset))?;
            offset += changes.len() as i64;
            if taken.covered < changes.len() as u64 {
                match writer.commit(&any_original).await? {
                    CommitOutcome::Committed(_) => {
                        self.acknowledged.fetch_max(number + 1, Ordering::SeqCst);
                    }
                    CommitOutcome::Empty => {}
                    CommitOutcome::Conflicted { .. } => return Ok(()),
                }
                commits += 1;
            }
            if commits == at_most {
                break;
            }
        }
        Ok(())
    }

    /// What readers see is the table after some commit, and after no earlier one than was told of.
    pub(crate) async fn is_some_commit(&self) -> Held {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let seen = match Table::open_in(Arc::clone(&self.inner), "base/t", &self.url).await {
            Ok(table) => try_rows_of(&table).await?,
            Err(Error::NotFound { .. }) if acknowledged == 0 => return Ok(()),
            Err(error) => return Err(format!("cannot be read: {error}")),
        };
        match self.models[acknowledged..].iter().any(|model| model.rows() == seen) {
            true => Ok(()),
            false => Err(format!("after {acknowledged} acknowledged commits: {seen:?}")),
        }
    }

    /// Everything is in the table, and nothing else is left of anybody.
    pub(crate) async fn is_whole(&self) -> Held {
        let last = self.models.last().unwrap();
        let table = Table::open_in(Arc::clone(&self.inner), "base/t", &self.url).await.map_err(|e| e.to_string())?;
        let seen = try_rows_of(&table).await?;
        if seen != last.rows() {
            return Err(format!("want {:?}, have {seen:?}", last.rows()));
        }
        let report = check_table(&table).await.map_err(|e| e.to_string())?;
        if !report.is_ok() {
            return Err(report.problems.join("; "));
        }
        let left = self.leftovers(&table).await;
        match (table.timeline().pending().count(), left.as_slice()) {
            (0, []) => Ok(()),
            (pending, _) => Err(format!("{pending} pending; left over: {left:?}")),
        }
    }

    /// After some hours nothing of the past is under way any more; then the table is opened once more.
    pub(crate) async fn end(&self) -> Held {
        for pause_ms in [LONG_MS, 2 * 3_600_000] {
            self.clock.advance(pause_ms);
            self.builder(Arc::clone(&self.inner)).open().await.map_err(|e| e.to_string())?;
        }
        self.is_whole().await
    }

    /// Markers, heartbeats, notes, and row memories but the one that is named.
    async fn leftovers(&self, table: &Table) -> Vec<String> {
        let named = memory_of(table).await.map(|of| format!("memory-{of}.parquet"));
        let is_superseded = |path: &str| {
            let name = path.rsplit('/').next().filter(|name| name.starts_with("memory-"));
            name.is_some_and(|name| Some(name) != named.as_deref())
        };
        let objects: Vec<ObjectMeta> = self.inner.list(None).try_collect().await.unwrap();
        let paths = objects.into_iter().map(|meta| meta.location.to_string());
        paths
            .filter(|path| {
                path.contains("/rolled_back/")
                    || path.contains(".hoodie/.temp/")
                    || path.contains(".hoodie/.heartbeat/")
                    || is_superseded(path)
            })
            .collect()
    }
}

/// The row memory that the newest checkpoint names.
async fn memory_of(table: &Table) -> Option<String> {
    for instant in table.timeline().completed_writes().rev() {
        let metadata = table.commit_metadata(instant).await.unwrap();
        if let Some(text) = metadata.extra_metadata.get(&Checkpoint::key("default")) {
            return Checkpoint::parse(text).unwrap().memory;
        }
    }
    None
}

/// The calls that writing the history takes, each with whether it changes anything.
pub(crate) async fn calls_of(history: &History) -> Vec<bool> {
    let world = World::new(history, "memory:///calls".to_owned());
    let store = FaultyStore::sound(Arc::clone(&world.inner));
    world.send(Arc::new(store.clone()), usize::MAX).await.unwrap();
    world.is_whole().await.unwrap();
    store.calls()
}

/// Writes the history with one call going wrong; then others go on, and all must be well.
pub(crate) async fn survive(history: &History, at: usize, fault: Fault, release: Release) -> Held {
    let world = World::new(history, format!("memory:///{at}/{fault:?}/{release:?}/{:?}", history.mutant));
    let store = FaultyStore::new(Arc::clone(&world.inner), at, fault);
    // One whose process lives on opens the table again after an error.
    let tries = if matches!(fault, Fault::Dies | Fault::Late) { 1 } else { 3 };
    for _ in 0..tries {
        let sent = world.send(Arc::new(store.clone()), usize::MAX).await;
        world.is_some_commit().await?;
        if sent.is_ok() {
            break;
        }
    }
    world.clock.advance(LONG_MS);
    succeed(&world, &store, release).await
}

/// The next writer after one that died.
async fn succeed(world: &World, store: &FaultyStore, release: Release) -> Held {
    let when = |now: Release| async move {
        if release == now {
            store.release().await;
        }
    };
    let sound = Arc::clone(&world.inner);
    when(Release::AtOnce).await;
    world.is_some_commit().await?;
    world.builder(Arc::clone(&sound)).open_or_create(&world.history.table).await.map_err(|e| e.to_string())?;
    when(Release::Opened).await;
    world.is_some_commit().await?;
    world.send(Arc::clone(&sound), 1).await.map_err(|e| e.to_string())?;
    world.is_some_commit().await?;
    when(Release::Committed).await;
    world.is_some_commit().await?;
    // What came late may stand against one commit; not against the next.
    for _ in 0..2 {
        world.send(Arc::clone(&sound), usize::MAX).await.map_err(|e| e.to_string())?;
        world.is_some_commit().await?;
    }
    when(Release::AtLast).await;
    world.end().await
}

/// Writes the history; one who does so falls asleep before a call, is thought dead, and wakes after another went on.
pub(crate) async fn survive_a_sleeper(history: &History, at: usize, pause_ms: i64) -> Held {
    let world = World::new(history, format!("memory:///sleeper/{at}/{pause_ms}/{:?}", history.mutant));
    let store = FaultyStore::new(Arc::clone(&world.inner), at, Fault::Sleeps);
    let (sleeper, its_store) = (world.clone(), Arc::new(store.clone()));
    let sleeper = tokio::spawn(async move { sleeper.send(its_store, usize::MAX).await });
    asleep_or_done(&store, &sleeper).await;
    world.clock.advance(pause_ms);
    // By another name, as from another process: nothing but the lease keeps it out.
    let other = World { url: format!("{}/other", world.url), ..world.clone() };
    let other = tokio::spawn(async move { other.send(Arc::clone(&other.inner), 1).await });
    let_others_go_on().await;
    store.release().await;
    let ended = [sleeper.await, other.await];
    world.is_some_commit().await?;
    for ended in ended {
        match ended.map_err(|e| e.to_string())? {
            // Who lost a race may also be refused by what it finds.
            Ok(())
            | Err(Error::Corrupt { .. } | Error::Refused { .. } | Error::Store { .. } | Error::Locked { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    world.clock.advance(LONG_MS);
    for _ in 0..2 {
        world.send(Arc::clone(&world.inner), usize::MAX).await.map_err(|e| e.to_string())?;
        world.is_some_commit().await?;
    }
    world.end().await
}

/// Until the task that uses the store has fallen asleep, or has come to its end.
pub(crate) async fn asleep_or_done<T>(store: &FaultyStore, task: &tokio::task::JoinHandle<T>) {
    while !store.sleeps() && !task.is_finished() {
        tokio::task::yield_now().await;
    }
}

/// Long enough for another task to do whatever it can do without waiting for somebody.
pub(crate) async fn let_others_go_on() {
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
}
