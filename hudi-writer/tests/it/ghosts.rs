//! Rows that a later full snapshot of the source does not have go, once it has ended; no other row does.

use std::num::NonZeroU32;
use std::sync::Arc;

use hudi_core::change::Origin;
use hudi_core::change::{ChangeBatch, Op, SnapshotPart, StreamPosition};
use hudi_core::dead_letter::{DeadLetter, Stage};
use hudi_writer::testing::{Fault, FaultyStore, ManualClock, Mutant};
use hudi_writer::{
    CommitOutcome, Committed, Compute, Error, Index, NewTable, SecondSnapshot, Table, TableWriter, WriterBuilder,
    WriterSettings, check_table,
};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::model::{Change, Seeded, any_original, batch, moves, rows_of};

use SnapshotPart::{Full, FullLast, None as Streamed};

/// What a run of the connector sends by one partition.
#[derive(Debug, Clone)]
struct Sent {
    run: &'static str,
    partition: i32,
    changes: Vec<(Change, SnapshotPart)>,
}

fn read(ids: &[i64]) -> Vec<(Change, SnapshotPart)> {
    ids.iter().map(|id| (Change::new(Op::Snapshot, *id, 0), Full)).collect()
}

fn read_last(ids: &[i64]) -> Vec<(Change, SnapshotPart)> {
    let mut rows = read(ids);
    rows.last_mut().unwrap().1 = FullLast;
    rows
}

fn streamed(changes: &[Change]) -> Vec<(Change, SnapshotPart)> {
    changes.iter().map(|change| (change.clone(), Streamed)).collect()
}

fn sent(run: &'static str, partition: i32, changes: Vec<(Change, SnapshotPart)>) -> Sent {
    Sent { run, partition, changes }
}

fn insert(id: i64, order: i64) -> Change {
    Change::new(Op::Insert, id, order)
}

/// A table that later snapshots bound, and what was sent to it.
struct Bounded {
    builder: WriterBuilder,
    writer: TableWriter,
    offsets: [i64; 4],
}

fn builder(name: &str) -> WriterBuilder {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let settings = WriterSettings { on_second_snapshot: SecondSnapshot::Replace, ..WriterSettings::default() };
    TableWriter::builder(format!("memory:///{name}")).store(store, "t").settings(settings)
}

impl Bounded {
    async fn new(name: &str, table: &NewTable) -> Self {
        Self::of(builder(name), table).await
    }

    async fn of(builder: WriterBuilder, table: &NewTable) -> Self {
        Self { writer: builder.clone().create(table).await.unwrap(), builder, offsets: [0; 4] }
    }

    fn batch(&mut self, sent: &Sent) -> ChangeBatch {
        let changes: Vec<Change> = sent.changes.iter().map(|(change, _)| change.clone()).collect();
        let offset = &mut self.offsets[sent.partition as usize];
        let mut made = batch(&changes, *offset);
        *offset += changes.len() as i64;
        made.partitions.fill(sent.partition);
        made.run = Some(sent.run.into());
        made.snapshots = sent.changes.iter().map(|(_, part)| *part).collect();
        // The places of a stream go on from run to run.
        let place = |change: &Change| Some(StreamPosition([change.order as u64, 0, 0])).filter(|_| change.order > 0);
        made.positions = changes.iter().map(place).collect();
        made.source_ts_ms = changes.iter().map(|change| Some(change.order)).collect();
        made
    }

    fn write(&mut self, sent: &Sent) {
        let batch = self.batch(sent);
        assert_eq!(self.writer.write(&batch).unwrap().refused, []);
    }

    async fn commit(&mut self) -> Option<Committed> {
        match self.writer.commit(&any_original).await.unwrap() {
            CommitOutcome::Committed(committed) => Some(committed),
            CommitOutcome::Empty => None,
            other => panic!("{other:?}"),
        }
    }

    /// Writes and commits; how many ghosts went.
    async fn send(&mut self, sent: &Sent) -> u64 {
        self.write(sent);
        self.commit().await.map_or(0, |committed| committed.ghosts)
    }

    async fn reopen(&mut self) {
        self.writer = self.builder.clone().open().await.unwrap();
    }

    async fn ids(&self) -> Vec<i64> {
        assert_eq!(check_table(self.writer.table()).await.unwrap().problems, Vec::<String>::new());
        rows_of(self.writer.table()).await.into_keys().collect()
    }
}

fn tables() -> Vec<NewTable> {
    let bucket = Index::Bucket(NonZeroU32::new(3).unwrap());
    vec![
        NewTable::new("t", ["id"]),
        NewTable::new("t", ["id"]).index(bucket),
        NewTable::new("t", ["id"]).partition_by(["region"]),
        NewTable::new("t", ["region", "id"]).partition_by(["region"]),
    ]
}

/// A first snapshot, what was streamed after it, and a second one without two of the rows.
fn resnapshot() -> [Sent; 4] {
    [
        sent("run 1", 0, read_last(&[1, 2, 3, 4, 5])),
        sent("run 1", 0, streamed(&[insert(6, 10), insert(7, 11), Change::new(Op::Update, 2, 12)])),
        sent("run 2", 0, read_last(&[1, 2, 3, 6])),
        sent("run 2", 0, streamed(&[insert(8, 20)])),
    ]
}

#[tokio::test]
async fn rows_that_a_second_snapshot_lacks_go_once_it_has_ended() {
    for table in tables() {
        let mut bounded = Bounded::new("ended", &table).await;
        let [first, stream, second, after] = resnapshot();
        assert_eq!((bounded.send(&first).await, bounded.send(&stream).await), (0, 0));
        assert_eq!(bounded.send(&second).await, 0);
        assert_eq!(bounded.ids().await, [1, 2, 3, 4, 5, 6, 7]);
        bounded.reopen().await;
        let before = bounded.writer.table().timeline().completed_writes().count();
        // What comes after it shows its end. The deletion is a commit of its own.
        assert_eq!(bounded.send(&after).await, 3);
        assert_eq!(bounded.writer.table().timeline().completed_writes().count(), before + 2);
        assert_eq!(bounded.ids().await, [1, 2, 3, 6, 8]);
        assert_eq!(bounded.send(&sent("run 2", 0, streamed(&[insert(9, 21)]))).await, 0);
        assert_eq!(bounded.ids().await, [1, 2, 3, 6, 8, 9]);
    }
}

#[tokio::test]
async fn both_snapshots_may_come_in_one_commit_or_in_many() {
    for table in tables() {
        for every in [1, 2, 3, 7, 100] {
            let mut bounded = Bounded::new("cut", &table).await;
            let mut waiting = 0;
            for sent in resnapshot() {
                for change in &sent.changes {
                    bounded.write(&Sent { changes: vec![change.clone()], ..sent.clone() });
                    waiting += 1;
                    if waiting == every {
                        bounded.commit().await;
                        waiting = 0;
                    }
                }
            }
            bounded.writer.all_has_come();
            bounded.commit().await;
            assert_eq!(bounded.ids().await, [1, 2, 3, 6, 8], "every {every}");
        }
    }
}

#[tokio::test]
async fn by_default_and_after_a_first_snapshot_nothing_goes() {
    let mut bounded =
        Bounded::of(builder("kept").settings(WriterSettings::default()), &NewTable::new("t", ["id"])).await;
    for sent in resnapshot() {
        assert_eq!(bounded.send(&sent).await, 0);
    }
    bounded.writer.all_has_come();
    assert!(bounded.commit().await.is_none());
    assert_eq!(bounded.ids().await.len(), 8);
    let mut bounded = Bounded::new("first", &NewTable::new("t", ["id"])).await;
    let [first, stream, ..] = resnapshot();
    assert_eq!(bounded.send(&first).await + bounded.send(&stream).await, 0);
    bounded.writer.all_has_come();
    assert!(bounded.commit().await.is_none());
}

#[tokio::test]
async fn a_table_without_a_key_cannot_be_bounded() {
    let error = builder("keyless").create(&NewTable::new("t", Vec::<String>::new())).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { what, .. } if what.contains("on_second_snapshot")), "{error}");
}

#[tokio::test]
async fn a_snapshot_has_ended_when_every_partition_was_read_to_where_it_ended() {
    let mut bounded = Bounded::new("high", &NewTable::new("t", ["id"])).await;
    bounded.send(&sent("run 1", 0, read(&[2, 4]))).await;
    bounded.send(&sent("run 1", 1, read_last(&[1, 3, 5]))).await;
    bounded.send(&sent("run 1", 1, streamed(&[insert(7, 10)]))).await;
    bounded.send(&sent("run 2", 0, read_last(&[2]))).await;
    assert_eq!(bounded.writer.wants_high_waters(), Some("shop.orders"));
    for (partition, next) in [(0, 3), (1, 6), (2, 0)] {
        bounded.writer.high_water("shop.orders", partition, next);
    }
    assert_eq!(bounded.writer.wants_high_waters(), None);
    assert_eq!(bounded.commit().await.unwrap().ghosts, 0);
    bounded.reopen().await;
    assert_eq!(bounded.send(&sent("run 2", 1, read(&[1]))).await, 0);
    assert_eq!(bounded.send(&sent("run 2", 1, read(&[5]))).await, 3);
    assert_eq!(bounded.ids().await, [1, 2, 5]);
}

#[tokio::test]
async fn what_is_from_before_the_snapshot_and_comes_late_is_a_ghost_too() {
    for table in tables() {
        for every in [1, 2, 100] {
            let mut bounded = Bounded::new("late", &table).await;
            // One partition after the other, as from files.
            let all = [
                sent("run 1", 0, read_last(&[2, 4, 6])),
                sent("run 1", 0, streamed(&[insert(8, 11)])),
                sent("run 2", 0, read_last(&[2, 6])),
                sent("run 2", 0, streamed(&[insert(10, 21)])),
                sent("run 1", 1, read(&[1, 3, 5])),
                sent("run 1", 1, streamed(&[insert(7, 12), Change::new(Op::Delete, 3, 13), insert(3, 14)])),
                sent("run 2", 1, read(&[1, 5])),
                sent("run 2", 1, streamed(&[Change::new(Op::Update, 5, 22).without_name()])),
            ];
            let mut waiting = 0;
            for sent in all {
                for change in &sent.changes {
                    bounded.write(&Sent { changes: vec![change.clone()], ..sent.clone() });
                    waiting += 1;
                    if waiting == every {
                        bounded.commit().await;
                        waiting = 0;
                    }
                }
                if every == 2 {
                    bounded.commit().await;
                    bounded.reopen().await;
                    waiting = 0;
                }
            }
            bounded.writer.all_has_come();
            bounded.commit().await;
            assert_eq!(bounded.ids().await, [1, 2, 5, 6, 10], "every {every}");
            assert_eq!(bounded.writer.committed().memory, None);
        }
    }
}

#[tokio::test]
async fn a_key_of_the_snapshot_that_an_old_change_meets_by_another_partition_stays() {
    let mut bounded = Bounded::new("grown", &NewTable::new("t", ["id"])).await;
    bounded.send(&sent("run 1", 0, read_last(&[1, 2]))).await;
    bounded.send(&sent("run 2", 1, read_last(&[1, 2]))).await;
    bounded.send(&sent("run 1", 0, streamed(&[Change::new(Op::Update, 1, 10), insert(3, 11)]))).await;
    bounded.writer.all_has_come();
    assert_eq!(bounded.commit().await.unwrap().ghosts, 1);
    assert_eq!(bounded.ids().await, [1, 2]);
}

#[tokio::test]
async fn a_snapshot_that_was_broken_off_deletes_nothing_and_the_next_begins_anew() {
    for table in tables() {
        let mut bounded = Bounded::new("third", &table).await;
        let [first, stream, ..] = resnapshot();
        bounded.send(&first).await;
        bounded.send(&stream).await;
        bounded.send(&sent("run 2", 0, read(&[1, 2, 4]))).await;
        bounded.writer.all_has_come();
        assert!(bounded.commit().await.is_none());
        bounded.send(&sent("run 3", 0, read(&[1, 2]))).await;
        assert_eq!(bounded.send(&sent("run 3", 0, read_last(&[7]))).await, 0);
        assert_eq!(bounded.send(&sent("run 3", 0, streamed(&[insert(8, 20)]))).await, 4);
        assert_eq!(bounded.ids().await, [1, 2, 7, 8]);
    }
}

#[tokio::test]
async fn a_snapshot_that_is_asked_for_in_mid_stream_bounds_nothing() {
    let mut bounded = Bounded::new("asked", &NewTable::new("t", ["id"])).await;
    let [first, stream, ..] = resnapshot();
    bounded.send(&first).await;
    bounded.send(&stream).await;
    bounded.send(&sent("run 2", 0, streamed(&[insert(8, 20)]))).await;
    // It may be of a part of the table.
    bounded.send(&sent("run 2", 0, read_last(&[1]))).await;
    bounded.writer.all_has_come();
    assert!(bounded.commit().await.is_none());
    assert_eq!(bounded.ids().await.len(), 8);
}

fn letter(offset: i64) -> DeadLetter {
    let origin = Origin { topic: "shop.orders".into(), partition: 0, offset };
    DeadLetter { stage: Stage::Decode, reason: "bad".to_owned(), original: any_original(&origin).unwrap() }
}

#[tokio::test]
async fn a_dead_letter_that_may_be_of_the_snapshot_cancels_the_deletion() {
    // Before its first row, among its rows, after its last; and where it can be of the first run, or of the stream.
    for (place, kept) in [(2, true), (3, true), (4, true), (1, false), (5, false)] {
        for cut in [false, true] {
            let mut bounded = Bounded::new("letter", &NewTable::new("t", ["id"])).await;
            let [first, stream, second, after] = resnapshot();
            let (some, rest) = second.changes.split_at(2);
            let second = [some, rest].map(|part| Sent { changes: part.to_vec(), ..second.clone() });
            let [some, rest] = second;
            for (number, sent) in [first, stream, some, rest, after].into_iter().enumerate() {
                if number == place {
                    bounded.writer.dead_letter(letter(bounded.offsets[0]));
                    bounded.offsets[0] += 1;
                }
                bounded.write(&sent);
                if cut {
                    bounded.commit().await;
                    bounded.reopen().await;
                }
            }
            if place == 5 {
                bounded.writer.dead_letter(letter(bounded.offsets[0]));
            }
            bounded.writer.all_has_come();
            bounded.commit().await;
            let ids = bounded.ids().await;
            assert_eq!(ids.len(), if kept { 8 } else { 5 }, "{place} {cut}: {ids:?}");
        }
    }
}

#[tokio::test]
async fn a_row_that_moves_in_between_is_no_ghost() {
    let mut bounded = Bounded::new("moved", &NewTable::new("t", ["id"])).await;
    let [leaves, comes] = moves(1, 11, 30);
    let all = [
        sent("run 1", 0, read_last(&[1, 2, 3])),
        sent("run 2", 0, read_last(&[1, 2])),
        sent("run 2", 1, streamed(&[comes])),
        sent("run 2", 0, streamed(&[leaves])),
    ];
    for sent in all {
        bounded.send(&sent).await;
    }
    assert_eq!(bounded.ids().await, [2, 11]);
}

/// What is left of random runs of snapshots and streams, by partitions that are read at different speeds.
async fn history(seed: u64, table: &NewTable, mutant: Option<Mutant>) -> Result<(), String> {
    let mut random = Seeded(seed);
    let mut source: std::collections::BTreeSet<i64> = (0..20).collect();
    let mut lanes: Vec<Vec<(&'static str, Change, SnapshotPart)>> = vec![vec![]; 3];
    let mut order = 100;
    for run in ["run 1", "run 2", "run 3"] {
        let rows: Vec<i64> = source.iter().copied().collect();
        for (at, id) in rows.iter().enumerate() {
            let part = if at + 1 == rows.len() { FullLast } else { Full };
            lanes[(id % 3) as usize].push((run, Change::new(Op::Snapshot, *id, 0), part));
        }
        for _ in 0..12 {
            order += 1;
            let id = random.below(40) as i64;
            let op = if source.contains(&id) { [Op::Update, Op::Delete][random.below(2) as usize] } else { Op::Insert };
            let _ = if op == Op::Delete { source.remove(&id) } else { source.insert(id) };
            lanes[(id % 3) as usize].push((run, Change::new(op, id, order), Streamed));
        }
        // What nobody hears of.
        for _ in 0..6 {
            source.remove(&(random.below(40) as i64));
        }
        if run == "run 3" {
            // Every partition shows that it has passed.
            for lane in 0..3 {
                order += 1;
                let id = 60 + lane;
                source.insert(id);
                lanes[lane as usize].push((run, insert(id, order), Streamed));
            }
        }
    }
    // The last deletes were not told of.
    let mut bounded = Bounded::of(builder(&format!("random/{seed}/{mutant:?}")).mutant(mutant), table).await;
    let mut next = [0; 3];
    while (0..3).any(|lane| next[lane] < lanes[lane].len()) {
        let lane = random.below(3) as usize;
        for _ in 0..random.below(20) {
            let Some((run, change, part)) = lanes[lane].get(next[lane]).cloned() else { break };
            bounded.write(&sent(run, lane as i32, vec![(change, part)]));
            next[lane] += 1;
            if random.below(6) == 0 {
                bounded.commit().await;
            }
            if random.below(20) == 0 {
                bounded.commit().await;
                bounded.reopen().await;
            }
        }
    }
    bounded.writer.all_has_come();
    bounded.commit().await;
    let told: Vec<i64> = lanes
        .concat()
        .iter()
        .filter(|(run, ..)| *run == "run 3")
        .fold(std::collections::BTreeSet::new(), |mut ids, (_, change, _)| {
            let _ = if change.op == Op::Delete { ids.remove(&change.id) } else { ids.insert(change.id) };
            ids
        })
        .into_iter()
        .collect();
    let seen = bounded.ids().await;
    if seen == told { Ok(()) } else { Err(format!("seed {seed}: {seen:?}, want {told:?}")) }
}

#[tokio::test]
async fn random_snapshots_leave_what_the_last_one_told_of() {
    for seed in 0..40 {
        let tables = tables();
        history(seed, &tables[seed as usize % tables.len()], None).await.unwrap();
    }
}

#[tokio::test]
async fn ghosts_that_are_deleted_before_the_end_was_seen_are_noticed() {
    let mut noticed = 0;
    for seed in 0..6 {
        noticed +=
            usize::from(history(seed, &NewTable::new("t", ["id"]), Some(Mutant::GhostsBeforeTheEnd)).await.is_err());
    }
    assert!(noticed > 0);
}

/// Sends all that the table does not have yet, a commit each.
async fn send_all(builder: WriterBuilder) -> Result<(), Error> {
    let writer = builder.clone().open_or_create(&NewTable::new("t", ["id"])).await?;
    let mut bounded = Bounded { writer, builder, offsets: [0; 4] };
    for sent in resnapshot() {
        let batch = bounded.batch(&sent);
        let taken = bounded.writer.write(&batch)?;
        if taken.covered < batch.num_rows() as u64 {
            let _ = bounded.writer.commit(&any_original).await?;
        }
    }
    bounded.writer.all_has_come();
    let _ = bounded.writer.commit(&any_original).await?;
    Ok(())
}

#[tokio::test]
async fn ghosts_go_and_nothing_else_does_whatever_goes_wrong() {
    let mut points = 0;
    for fault in Fault::ALL {
        for at in 0.. {
            let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let clock = Arc::new(ManualClock::default());
            let url = format!("memory:///wrong/{at}/{fault:?}");
            let builder = |store: Arc<dyn ObjectStore>| {
                let settings = WriterSettings { on_second_snapshot: SecondSnapshot::Replace, ..Default::default() };
                let builder = TableWriter::builder(&url).store(store, "t").settings(settings);
                builder.clock(clock.clone()).compute(Compute::inline())
            };
            let store = FaultyStore::new(Arc::clone(&inner), at, fault);
            let _ = send_all(builder(Arc::new(store.clone()))).await;
            clock.advance(61_000);
            store.release().await;
            if let Ok(table) = Table::open_in(Arc::clone(&inner), "t", &url).await {
                let ids: Vec<i64> = rows_of(&table).await.into_keys().collect();
                let live = ids.iter().filter(|id| [1, 2, 3, 6].contains(*id)).count();
                assert!(ids.is_empty() || live >= 3 && (live == 4 || !ids.contains(&8)), "{at} {fault:?}: {ids:?}");
            }
            // What came late may stand against one commit; not against the next.
            for _ in 0..3 {
                let _ = send_all(builder(Arc::clone(&inner))).await;
                clock.advance(61_000);
            }
            let table = Table::open_in(Arc::clone(&inner), "t", &url).await.unwrap();
            let ids: Vec<i64> = rows_of(&table).await.into_keys().collect();
            assert_eq!(ids, [1, 2, 3, 6, 8], "{at} {fault:?}");
            assert_eq!(check_table(&table).await.unwrap().problems, Vec::<String>::new());
            points += 1;
            if store.calls().len() <= at {
                break;
            }
        }
    }
    println!("{points} crash points: ghosts");
    assert!(points > 400, "{points}");
}
