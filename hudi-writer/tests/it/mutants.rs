//! Writers that are broken on purpose, each without one precaution: the tests must notice, or they prove nothing.

use std::sync::Arc;

use futures::FutureExt;
use hudi_core::change::Op;
use hudi_core::checkpoint::Checkpoint;
use hudi_core::commit::CommitMetadata;
use hudi_core::instant::InstantTime;
use hudi_writer::testing::{Fault, FaultyStore, Mutant};
use hudi_writer::{CommitOutcome, NewTable, Table, TableWriter};
use object_store::{ObjectStore, ObjectStoreExt};

use crate::crashes::{bucketed, moving, remembering};
use crate::history::{History, Release, World, asleep_or_done, calls_of, let_others_go_on, survive, survive_a_sleeper};
use crate::model::{Change, any_original, batch, try_rows_of};

/// Whether a crash at some call of the history shows that the writer is broken.
async fn crashes_show(mutant: Mutant, history: History, faults: &[Fault]) -> bool {
    let calls = calls_of(&history).await;
    let broken = History { mutant: Some(mutant), ..history };
    for at in 0..calls.len() + 10 {
        for fault in faults {
            let releases = if *fault == Fault::Late { &Release::ALL[..] } else { &Release::ALL[..1] };
            for release in releases {
                if let Err(wrong) = survive(&broken, at, *fault, *release).await {
                    println!("{mutant:?}: call {at} {fault:?} ({release:?}): {wrong:.200}");
                    return true;
                }
            }
        }
    }
    false
}

/// Whether one who sleeps before some call of the history shows it.
async fn sleepers_show(mutant: Mutant, history: History) -> bool {
    let calls = calls_of(&history).await.len();
    let broken = History { mutant: Some(mutant), ..history };
    for at in 0..calls + 10 {
        for pause_ms in [0, 25_000, 61_000] {
            if let Err(wrong) = survive_a_sleeper(&broken, at, pause_ms).await {
                println!("{mutant:?}: asleep at call {at} for {pause_ms} ms: {wrong:.200}");
                return true;
            }
        }
    }
    false
}

const DIES: &[Fault] = &[Fault::Dies];
const LATE: &[Fault] = &[Fault::Late];

#[tokio::test]
async fn files_without_markers_are_noticed() {
    assert!(crashes_show(Mutant::NoMarkers, bucketed(), DIES).await);
}

#[tokio::test]
async fn a_commit_completed_before_its_files_is_noticed() {
    assert!(crashes_show(Mutant::CompletedBeforeFiles, bucketed(), DIES).await);
}

#[tokio::test]
async fn a_rollback_without_a_note_is_noticed() {
    assert!(crashes_show(Mutant::NoNote, bucketed(), LATE).await);
}

#[tokio::test]
async fn a_timeline_without_a_beginning_is_noticed() {
    assert!(crashes_show(Mutant::NoAnchor, bucketed(), LATE).await);
}

#[tokio::test]
async fn a_row_memory_that_is_not_written_is_noticed() {
    assert!(crashes_show(Mutant::MemoryNotWritten, remembering(), DIES).await);
}

#[tokio::test]
async fn a_row_memory_that_is_written_after_the_commit_is_noticed() {
    assert!(crashes_show(Mutant::MemoryAfterCommit, remembering(), DIES).await);
}

#[tokio::test]
async fn an_instant_undone_before_its_files_is_noticed() {
    let history = History { mutant: Some(Mutant::InstantUndoneFirst), ..bucketed() };
    let mut noticed = false;
    for at in 20..60 {
        for recovery_dies_at in 0..40 {
            let world = World::new(&history, format!("memory:///undone/{at}/{recovery_dies_at}"));
            noticed |= dies_while_it_recovers(&world, at, recovery_dies_at).await.is_err();
        }
    }
    assert!(noticed);
}

async fn dies_while_it_recovers(world: &World, at: usize, recovery_dies_at: usize) -> Result<(), String> {
    let dying = FaultyStore::new(Arc::clone(&world.inner), at, Fault::Dies);
    let _ = world.send(Arc::new(dying), usize::MAX).await;
    world.clock.advance(61_000);
    let recovery = FaultyStore::new(Arc::clone(&world.inner), recovery_dies_at, Fault::Dies);
    let _ = world.builder(Arc::new(recovery)).open().await;
    world.clock.advance(61_000);
    world.send(Arc::clone(&world.inner), usize::MAX).await.map_err(|e| e.to_string())?;
    world.end().await
}

#[tokio::test]
async fn a_listing_from_before_the_lock_is_noticed() {
    assert!(sleepers_show(Mutant::StaleListing, bucketed()).await);
}

#[tokio::test]
async fn an_instant_taken_on_faith_is_noticed() {
    assert!(sleepers_show(Mutant::OwnInstantOnFaith, bucketed()).await);
}

#[tokio::test]
async fn a_newer_commit_passed_over_is_noticed() {
    assert!(sleepers_show(Mutant::NewerIgnored, bucketed()).await);
}

#[tokio::test]
async fn a_lock_left_behind_and_not_looked_after_is_noticed() {
    assert!(sleepers_show(Mutant::LeftBehindIgnored, bucketed()).await);
}

#[tokio::test]
async fn a_lock_that_nobody_takes_is_noticed() {
    assert!(sleepers_show(Mutant::LockIgnored, moving()).await);
}

/// Two writers, each with a partition of its own, on one table; the first is opened first and commits last.
struct Pair {
    world: World,
    first: TableWriter,
    second: TableWriter,
}

impl Pair {
    async fn open(mutant: Option<Mutant>, name: &str) -> Self {
        let history = History { mutant, commits: vec![], ..bucketed() };
        let world = World::new(&history, format!("memory:///pair/{name}/{mutant:?}"));
        let open = |store: Arc<dyn ObjectStore>| world.builder(store).open_or_create(&history.table);
        let mut first = open(Arc::clone(&world.inner)).await.unwrap();
        // So that there are file groups to meet in.
        let rows: Vec<Change> = (0..8).map(|id| Change::new(Op::Insert, id, 1)).collect();
        let _ = first.write(&in_partition(&rows, 0, 0)).unwrap();
        assert!(matches!(first.commit(&any_original).await.unwrap(), CommitOutcome::Committed(_)));
        let second = open(Arc::clone(&world.inner)).await.unwrap();
        Self { world, first, second }
    }

    async fn table(&self) -> Table {
        Table::open_in(Arc::clone(&self.world.inner), "base/t", &self.world.url).await.unwrap()
    }
}

fn in_partition(changes: &[Change], partition: i32, offset: i64) -> hudi_core::change::ChangeBatch {
    let mut batch = batch(changes, offset);
    batch.partitions = vec![partition; changes.len()];
    batch
}

/// What is said of a partition that another writer dealt with after ours was opened.
async fn joined_offset(mutant: Option<Mutant>) -> Option<i64> {
    let mut pair = Pair::open(mutant, "joined").await;
    let _ = pair.second.write(&in_partition(&[Change::new(Op::Insert, 20, 5)], 1, 0)).unwrap();
    let _ = pair.second.commit(&any_original).await.unwrap();
    let _ = pair.first.write(&in_partition(&[Change::new(Op::Insert, 21, 5)], 0, 8)).unwrap();
    assert!(matches!(pair.first.commit(&any_original).await.unwrap(), CommitOutcome::Committed(_)));
    let reopened = pair.world.builder(Arc::clone(&pair.world.inner)).open().await.unwrap();
    reopened.checkpoint().next_offset("shop.orders", 1)
}

#[tokio::test]
async fn a_checkpoint_that_is_not_joined_is_noticed() {
    assert_eq!(joined_offset(None).await, Some(1));
    assert_eq!(joined_offset(Some(Mutant::CheckpointNotJoined)).await, None);
}

#[tokio::test]
async fn a_commit_that_appears_below_all_others_says_nothing_of_positions() {
    let mut pair = Pair::open(None, "below").await;
    let newest = pair.table().await.timeline().last().unwrap().time;
    let below = InstantTime::from_millis(newest.to_millis().unwrap() - 1);
    let mut empty = CommitMetadata::default();
    empty.extra_metadata.insert(Checkpoint::key("default"), Checkpoint::default().to_json());
    let path = format!("base/t/.hoodie/{below}.commit");
    pair.world.inner.put(&path.into(), empty.to_json().into()).await.unwrap();
    let _ = pair.second.write(&in_partition(&[Change::new(Op::Insert, 20, 5)], 1, 0)).unwrap();
    assert!(matches!(pair.second.commit(&any_original).await.unwrap(), CommitOutcome::Committed(_)));
    let reopened = pair.world.builder(Arc::clone(&pair.world.inner)).open().await.unwrap();
    let next = |partition| reopened.checkpoint().next_offset("shop.orders", partition);
    assert_eq!((next(0), next(1)), (Some(8), Some(1)));
}

/// Two commits overlap in time and change the same bucket; the one with the older instant completes first. How many of the
/// two changes are in the table after both were told of as done, or refused: those told of, at least.
async fn is_overlap_lost(mutant: Option<Mutant>) -> bool {
    let opening = calls_of(&History { mutant, commits: vec![], ..bucketed() }).await.len();
    let last_call = opening.min(22);
    for at in 0..60 {
        let pair = Pair::open(mutant, &format!("overlap/{at}")).await;
        // The second draws its instant while the first, whose instant is older, sleeps.
        let sleepy = FaultyStore::new(Arc::clone(&pair.world.inner), at, Fault::Sleeps);
        let (world, store) = (pair.world.clone(), Arc::new(sleepy.clone()));
        let first = tokio::spawn(async move { change_one(&world, store, 0, 8).await });
        asleep_or_done(&sleepy, &first).await;
        // Its own store sleeps once it has its instant, so that the first can complete before it.
        let other = FaultyStore::new(Arc::clone(&pair.world.inner), last_call, Fault::Sleeps);
        let (world, store) = (pair.world.clone(), Arc::new(other.clone()));
        let second = tokio::spawn(async move { change_one(&world, store, 1, 0).await });
        let_others_go_on().await;
        sleepy.release().await;
        let_others_go_on().await;
        other.release().await;
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        let Ok(rows) = try_rows_of(&pair.table().await).await else { return true };
        for (told, id) in [(first, 30), (second, 31)] {
            if told && !rows.contains_key(&id) {
                return true;
            }
        }
    }
    false
}

/// Inserts row 30 + partition; whether that was told of as done.
async fn change_one(world: &World, store: Arc<dyn ObjectStore>, partition: i32, offset: i64) -> bool {
    let Ok(mut writer) = world.builder(store).open().await else { return false };
    let changes = [0, 2, 4, 6].map(|id| Change::new(Op::Update, id + i64::from(partition), 9));
    let changes = [&changes[..], &[Change::new(Op::Insert, 30 + i64::from(partition), 9)]].concat();
    let Ok(_) = writer.write(&in_partition(&changes, partition, offset)) else { return false };
    matches!(writer.commit(&any_original).await, Ok(CommitOutcome::Committed(_)))
}

#[tokio::test]
async fn an_overlap_passed_over_is_noticed() {
    assert!(!is_overlap_lost(None).await);
    assert!(is_overlap_lost(Some(Mutant::OverlapIgnored)).await);
}

/// Whether a deleted row is back after its changes were sent again, by another run of the connector, under new offsets, where
/// the writer died at some call before.
async fn is_resurrected(mutant: Option<Mutant>) -> bool {
    let history = History { table: NewTable::new("t", Vec::<String>::new()), commits: vec![], mutant };
    for at in 0..80 {
        let world = World::new(&history, format!("memory:///again/{at}/{mutant:?}"));
        let rows: Vec<Change> = (0..5).map(|id| Change::new(Op::Insert, id, id + 1)).collect();
        let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(Arc::clone(&world.inner), at, Fault::Dies));
        let first = async {
            let mut writer = world.builder(store).open_or_create(&history.table).await?;
            let _ = writer.write(&batch(&rows, 0))?;
            writer.commit(&any_original).await
        };
        let _ = first.await;
        world.clock.advance(61_000);
        let mut writer = world.builder(Arc::clone(&world.inner)).open_or_create(&history.table).await.unwrap();
        // What the broker has, and then all of it under new offsets.
        let mut again = batch(&rows, 0);
        let _ = writer.write(&again).unwrap();
        again.offsets = (5..10).collect();
        again.run = Some("run 2".into());
        let _ = writer.write(&again).unwrap();
        let _ = writer.commit(&any_original).await.unwrap();
        let table = Table::open_in(Arc::clone(&world.inner), "base/t", &world.url).await.unwrap();
        if try_rows_of(&table).await.is_err() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_mark_that_is_not_kept_is_noticed() {
    assert!(!is_resurrected(None).await);
    assert!(is_resurrected(Some(Mutant::MarkNotKept)).await);
}

#[tokio::test]
async fn a_checkpoint_outside_the_commit_is_noticed() {
    assert!(is_resurrected(Some(Mutant::CheckpointOutsideCommit)).await);
}

/// Whether a writer that is alive, and slow, has its instant rolled back by another who opens the table.
async fn is_disturbed(mutant: Option<Mutant>) -> bool {
    let calls = calls_of(&History { commits: vec![bucketed().commits[0].clone()], ..bucketed() }).await.len();
    for at in 0..calls {
        let history = History { mutant, ..bucketed() };
        let world = World::new(&history, format!("memory:///slow/{at}/{mutant:?}"));
        let slow = FaultyStore::new(Arc::clone(&world.inner), at, Fault::Waits);
        let (writer, store) = (world.clone(), Arc::new(slow.clone()));
        let writer = tokio::spawn(async move { writer.send(store, 1).await });
        asleep_or_done(&slow, &writer).await;
        // Time passes while it waits: it sleeps by the clock, and says that it is alive.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        let before = Table::open_in(Arc::clone(&world.inner), "base/t", &world.url).await;
        let pending = before.map_or(0, |table| table.timeline().pending().count());
        let opening = world.builder(Arc::clone(&world.inner)).open().boxed();
        // It waits where the slow one holds the lock.
        let _ = futures::future::select(opening, let_others_go_on().boxed()).await;
        let after = Table::open_in(Arc::clone(&world.inner), "base/t", &world.url).await;
        let left = after.map_or(0, |table| table.timeline().pending().count());
        slow.release().await;
        let _ = writer.await;
        if left < pending {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn rolling_back_the_living_is_noticed() {
    assert!(!is_disturbed(None).await);
    assert!(is_disturbed(Some(Mutant::HeartbeatIgnored)).await);
}

#[tokio::test]
async fn a_heartbeat_that_is_not_renewed_is_noticed() {
    assert!(is_disturbed(Some(Mutant::HeartbeatNotRenewed)).await);
}
