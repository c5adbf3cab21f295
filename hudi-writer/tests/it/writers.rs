//! Several writers at once on one table, in real time: each has a partition of the topic and keys of its own, and all write
//! the same file groups. Here as tasks of one process; as processes of their own: `processes`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hudi_core::change::{ChangeBatch, Op};
use hudi_writer::testing::ManualClock;
use hudi_writer::{Clock, CommitOutcome, Error, Index, NewTable, SystemClock, Table, TableWriter, WriterBuilder};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::model::{Change, Model, Row, Seeded, any_original, assert_is, batch, try_rows_of};

const TOPIC: &str = "shop.orders";
/// How many keys a writer has.
const KEYS: i64 = 20;
/// How often a writer opens the table at most.
const TRIES: usize = 300;

/// How the table routes keys.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Bucketed,
    Simple,
    /// Partitioned by what is not in the key: rows move.
    Moving,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Bucketed, Self::Simple, Self::Moving];

    pub(crate) fn table(self) -> NewTable {
        let table = NewTable::new("t", ["id"]);
        match self {
            Self::Bucketed => table.index(Index::Bucket(NonZeroU32::new(2).unwrap())),
            Self::Simple => table,
            Self::Moving => table.partition_by(["region"]),
        }
    }
}

/// What one writer writes: a partition of the topic, cut into commits.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    partition: i32,
    commits: Vec<Vec<Change>>,
    /// The writer's own rows after so many commits.
    models: Vec<Model>,
}

impl Part {
    /// The same for the same arguments, in every process.
    pub(crate) fn new(kind: Kind, partition: i32, commits: usize) -> Self {
        let mut part = Self { partition, commits: vec![], models: vec![Model::default()] };
        let mut random = Seeded(partition.unsigned_abs().into());
        for number in 0..commits as i64 {
            let mut model = part.models.last().unwrap().clone();
            let (first, rows) = (random.below(KEYS as u64) as i64, 4 + random.below(4) as i64);
            let keys = (first..first + rows).map(|key| i64::from(partition) * 1000 + key % KEYS);
            let changes: Vec<Change> = keys.map(|id| change(&mut random, &model, kind, id, number + 1)).collect();
            model.commit(&changes);
            part.commits.push(changes);
            part.models.push(model);
        }
        part
    }

    fn batch(&self, changes: &[Change], first_offset: i64) -> ChangeBatch {
        ChangeBatch { partitions: vec![self.partition; changes.len()], ..batch(changes, first_offset) }
    }

    /// Writes and commits what is not in the table yet; whether all of it is in then. Tells of every commit.
    async fn go_on(&self, writer: &mut TableWriter, tell: &mut (impl FnMut(String) + Send)) -> bool {
        let next = writer.checkpoint().next_offset(TOPIC, self.partition).unwrap_or(0);
        let mut offset = 0;
        for changes in &self.commits {
            let first = offset;
            offset += changes.len() as i64;
            if offset <= next {
                continue;
            }
            assert!(first >= next, "half a commit: {next} lies between {first} and {offset}");
            let taken = writer.write(&self.batch(changes, first)).unwrap();
            assert_eq!(taken.upserts + taken.deletes, changes.len() as u64, "{taken:?}");
            // Others get their turn, and what was read of the table ages.
            SystemClock.sleep(first * 7 % 60).await;
            match writer.commit(&any_original).await {
                Ok(CommitOutcome::Committed(committed)) => tell(format!("COMMITTED {}", committed.instant)),
                Ok(CommitOutcome::Conflicted { .. }) => {
                    tell("CONFLICTED".to_owned());
                    return false;
                }
                Err(Error::Locked { .. }) => {
                    tell("LOCKED".to_owned());
                    return false;
                }
                other => panic!("partition {}: {other:?}", self.partition),
            }
        }
        true
    }

    /// Opens the table as often as it takes to write everything.
    pub(crate) async fn send(&self, builder: &WriterBuilder, kind: Kind, mut tell: impl FnMut(String) + Send) {
        for _ in 0..TRIES {
            let mut writer = match builder.clone().open_or_create(&kind.table()).await {
                Ok(writer) => writer,
                Err(Error::Locked { .. }) => {
                    tell("LOCKED".to_owned());
                    continue;
                }
                Err(error) => panic!("partition {}: opening: {error:?}", self.partition),
            };
            if self.go_on(&mut writer, &mut tell).await {
                return;
            }
        }
        panic!("partition {}: not done after {TRIES} tries", self.partition);
    }
}

/// A change of a key. What lacks a column meets a stored row.
fn change(random: &mut Seeded, model: &Model, kind: Kind, id: i64, order: i64) -> Change {
    let op = if random.below(5) == 0 { Op::Delete } else { Op::Update };
    let change = Change::new(op, id, order);
    let change = match kind {
        Kind::Moving => change.in_region(format!("r{}", random.below(3))),
        Kind::Bucketed | Kind::Simple => change,
    };
    let is_partial = op == Op::Update && model.stored.contains_key(&id) && random.below(3) == 0;
    if is_partial { change.without_name() } else { change }
}

/// What the writers told.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    acknowledged: BTreeSet<String>,
    pub(crate) conflicts: usize,
    pub(crate) locked: usize,
}

impl Tally {
    pub(crate) fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("COMMITTED", instant)) => {
                assert!(self.acknowledged.insert(instant.to_owned()), "{instant} was told of twice");
            }
            None if line == "CONFLICTED" => self.conflicts += 1,
            None if line == "LOCKED" => self.locked += 1,
            _ => {}
        }
    }

    pub(crate) fn commits(&self) -> usize {
        self.acknowledged.len()
    }

    /// Everything that was told of is on the timeline, and the table holds what all writers wrote, each row once.
    pub(crate) async fn assert_whole(&self, table: &Table, parts: &[Part]) {
        let mut union = Model::default();
        parts.iter().for_each(|part| union.stored.extend(part.models.last().unwrap().stored.clone()));
        assert_is(table, &union).await;
        let completed: BTreeSet<String> = table.timeline().completed().map(|i| i.time.to_string()).collect();
        let missing: Vec<&String> = self.acknowledged.difference(&completed).collect();
        assert!(missing.is_empty(), "told of, and not on the timeline: {missing:?}");
        assert_eq!(table.timeline().pending().collect::<Vec<_>>(), Vec::<&hudi_core::instant::Instant>::new());
    }
}

/// Opens the table when no heartbeat of today counts any more, and once more when nothing can be under way.
pub(crate) async fn open_much_later(builder: &WriterBuilder) {
    let clock = Arc::new(ManualClock::default());
    clock.advance(SystemClock.now_ms() - clock.now_ms());
    for pause_ms in [61_000, 2 * 3_600_000] {
        clock.advance(pause_ms);
        builder.clone().clock(clock.clone()).open().await.unwrap();
    }
}

/// Looks at the table while others write it: every part is as it was after one of its commits, and never goes back.
async fn watch(open: impl AsyncFn() -> Result<Table, Error>, parts: &[Part], is_done: &AtomicBool) -> usize {
    let (mut looks, mut seen) = (0, vec![0; parts.len()]);
    while !is_done.load(Ordering::SeqCst) {
        let table = match open().await {
            Ok(table) => table,
            Err(Error::NotFound { .. }) => {
                SystemClock.sleep(5).await;
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        let rows = try_rows_of(&table).await.unwrap();
        for (part, seen) in parts.iter().zip(&mut seen) {
            let own: BTreeMap<i64, Row> = rows
                .iter()
                .filter(|(id, _)| *id / 1000 == i64::from(part.partition))
                .map(|(k, v)| (*k, v.clone()))
                .collect();
            let newer = part.models[*seen..].iter().position(|model| model.rows() == own);
            *seen += newer.unwrap_or_else(|| panic!("after commit {seen} of partition {}: {own:?}", part.partition));
        }
        looks += 1;
        SystemClock.sleep(20).await;
    }
    looks
}

/// Each part is written by a task of its own, all at once, while another reads; how many commits conflicted.
#[allow(clippy::disallowed_methods, reason = "the writers run beside each other, each as a task")]
async fn race(
    name: &str,
    kind: Kind,
    builders: Vec<WriterBuilder>,
    open: impl AsyncFn() -> Result<Table, Error>,
    commits: usize,
) -> usize {
    let begun = SystemClock.now_ms();
    let parts: Vec<Part> = (0..builders.len()).map(|at| Part::new(kind, at as i32, commits)).collect();
    let is_done = AtomicBool::new(false);
    let senders = parts.iter().cloned().zip(builders.clone()).map(|(part, builder)| {
        tokio::spawn(async move {
            let mut told = vec![];
            part.send(&builder, kind, |line| told.push(line)).await;
            told
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut tally = Tally::default();
    let writing = async {
        for sender in senders {
            // A sender that failed must not leave the watcher running.
            match sender.await {
                Ok(told) => told.iter().for_each(|line| tally.hear(line)),
                Err(failed) => {
                    is_done.store(true, Ordering::SeqCst);
                    panic!("{failed}");
                }
            }
        }
        is_done.store(true, Ordering::SeqCst);
    };
    let ((), looks) = futures::join!(writing, watch(&open, &parts, &is_done));
    assert_eq!(tally.commits(), commits * parts.len());
    tally.assert_whole(&open().await.unwrap(), &parts).await;
    let Tally { conflicts, locked, .. } = tally;
    println!(
        "{name}, {} writers: {} commits, {conflicts} conflicts, {locked} times locked, {looks} looks, {} ms",
        parts.len(),
        commits * parts.len(),
        SystemClock.now_ms() - begun
    );
    conflicts
}

/// Each writer has a name of its own for the folder, so that only the folder's lock stands between them.
async fn race_in_a_folder(kind: Kind, writers: usize, commits: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    std::fs::create_dir(&path).unwrap();
    let builder = |at: usize| {
        let link = folder.path().join(format!("link-{at}"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        TableWriter::builder(url::Url::from_file_path(link).unwrap())
    };
    let builders = (0..writers).map(builder).collect();
    let open = async || Table::open(path.to_str().unwrap()).await;
    race(&format!("folder, {kind:?}"), kind, builders, open, commits).await
}

/// Each writer has a name of its own for the table, so that only the lease on the store stands between them.
async fn race_in_memory(kind: Kind, writers: usize, commits: usize) -> usize {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let name = |at: usize| format!("memory:///writers/{kind:?}/{writers}?{at}");
    let builders = (0..writers).map(|at| TableWriter::builder(name(at)).store(Arc::clone(&store), "base/t")).collect();
    let open = async || Table::open_in(Arc::clone(&store), "base/t", "memory:///writers").await;
    race(&format!("memory, {kind:?}"), kind, builders, open, commits).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_a_folder_lose_nothing_to_each_other() {
    let mut conflicts = 0;
    for kind in Kind::ALL {
        conflicts += race_in_a_folder(kind, 2, 6).await + race_in_a_folder(kind, 3, 6).await;
    }
    assert!(conflicts > 0, "they did not meet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_with_a_lease_on_the_store_lose_nothing_to_each_other() {
    let mut conflicts = 0;
    for kind in Kind::ALL {
        conflicts += race_in_memory(kind, 2, 6).await + race_in_memory(kind, 3, 6).await;
    }
    assert!(conflicts > 0, "they did not meet");
}

#[cfg(feature = "s3")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_a_bucket_lose_nothing_to_each_other() {
    let Some(bucket) = crate::s3::bucket("writers") else { return };
    let mut conflicts = 0;
    for kind in Kind::ALL {
        let url = format!("{bucket}/{kind:?}");
        let open = async || Table::open(&url).await;
        conflicts += race(&format!("S3, {kind:?}"), kind, vec![TableWriter::builder(&url); 3], open, 4).await;
    }
    assert!(conflicts > 0, "they did not meet");
}
