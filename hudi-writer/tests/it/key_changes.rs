//! Rows whose key changes: whenever and by whichever partition the delete and the insert come, the values go with the row.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use futures::TryStreamExt;
use hudi_core::change::{ChangeBatch, Op};
use hudi_core::layout;
use hudi_writer::testing::{Fault, FaultyStore, ManualClock};
use hudi_writer::{CommitOutcome, Index, NewTable, Table, TableWriter, WriterBuilder, WriterSettings, check_table};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::history::{asleep_or_done, let_others_go_on};
use crate::model::{Change, Row, Seeded, any_original, batch, commit, moves, rows_of};
use crate::shop::Shop;

fn bucket(buckets: u32) -> Index {
    Index::Bucket(NonZeroU32::new(buckets).unwrap())
}

fn tables() -> Vec<NewTable> {
    vec![
        NewTable::new("t", ["id"]),
        NewTable::new("t", ["id"]).index(bucket(4)),
        NewTable::new("t", ["id"]).index(Index::GlobalSimple),
        NewTable::new("t", ["id"]).partition_by(["region"]),
    ]
}

fn inserts(ids: std::ops::Range<i64>) -> Vec<Change> {
    ids.map(|id| Change::new(Op::Insert, id, 1)).collect()
}

fn named(id: i64, order: i64) -> Option<String> {
    Some(format!("name {id} at {order}"))
}

impl Shop {
    fn name(&self, id: i64) -> Option<String> {
        self.model.rows().get(&id).and_then(|row| row.1.clone())
    }

    /// The objects of the row memory.
    fn memories(&self) -> Vec<String> {
        let folder = self.folder.path().join(layout::cdc_dir()).join("default");
        let Ok(listed) = std::fs::read_dir(folder) else { return vec![] };
        listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn named_memory(&self) -> Vec<String> {
        self.writer.committed().memory.iter().map(|of| format!("memory-{of}.parquet")).collect()
    }
}

/// A few changes, and the names that rows must have in the end.
pub(crate) type Story = (&'static str, Vec<Change>, Vec<(i64, Option<String>)>);

pub(crate) fn stories() -> Vec<Story> {
    let chain = [moves(1, 11, 10), moves(11, 12, 20), moves(12, 13, 30)].concat();
    let swap = [moves(1, 9, 10), moves(2, 1, 11), moves(9, 2, 12)].concat();
    let back =
        [moves(1, 11, 10).to_vec(), vec![Change::new(Op::Update, 11, 15).without_name()], moves(11, 1, 20).to_vec()];
    let renamed = [vec![Change::new(Op::Update, 1, 5)], moves(1, 11, 10).to_vec()].concat();
    let reused = [moves(1, 11, 10).to_vec(), vec![Change::new(Op::Insert, 1, 20)]].concat();
    let got_by_itself = [moves(1, 11, 10).to_vec(), vec![Change::new(Op::Update, 11, 20)]].concat();
    let updated = [moves(1, 11, 10).to_vec(), vec![Change::new(Op::Update, 11, 20).without_name()]].concat();
    let gone = [moves(1, 11, 10).to_vec(), vec![Change::new(Op::Delete, 11, 20)]].concat();
    let onto_a_deleted = [vec![Change::new(Op::Delete, 2, 5)], moves(1, 2, 10).to_vec()].concat();
    vec![
        ("a move", moves(1, 11, 10).to_vec(), vec![(11, named(1, 1))]),
        ("a chain", chain, vec![(13, named(1, 1))]),
        ("a swap", swap, vec![(1, named(2, 1)), (2, named(1, 1))]),
        ("there and back", back.concat(), vec![(1, named(1, 1))]),
        ("renamed before", renamed, vec![(11, named(1, 5))]),
        ("the old key is used again", reused, vec![(1, named(1, 20)), (11, named(1, 1))]),
        ("renamed after", got_by_itself, vec![(11, named(11, 20))]),
        ("updated after", updated, vec![(11, named(1, 1))]),
        ("deleted after", gone, vec![(11, None)]),
        ("onto a deleted key", onto_a_deleted, vec![(2, named(1, 1))]),
    ]
}

#[tokio::test]
async fn values_go_with_the_row_in_one_commit() {
    for table in tables() {
        for (story, changes, names) in stories() {
            let mut shop = Shop::new(&table).await;
            shop.commit(&inserts(0..6)).await;
            shop.commit(&changes).await;
            for (id, name) in &names {
                assert_eq!(shop.name(*id), *name, "{story}: {id}");
            }
            assert_eq!(shop.memories(), Vec::<String>::new(), "{story}");
        }
    }
}

#[tokio::test]
async fn values_go_with_the_row_whereever_the_commits_are_cut() {
    for table in tables() {
        for (story, changes, names) in stories() {
            // After each change, and after all of them.
            let ends = changes.len() - 1;
            for cuts in (0..ends).map(|at| 1_u32 << at).chain([(1 << ends) - 1]) {
                let mut shop = Shop::new(&table).await;
                shop.commit(&inserts(0..6)).await;
                let mut of_commit = vec![];
                for (at, change) in changes.iter().enumerate() {
                    of_commit.push(change.clone());
                    if cuts >> at & 1 == 1 {
                        shop.commit(&std::mem::take(&mut of_commit)).await;
                        assert_eq!(shop.memories(), shop.named_memory(), "{story}");
                    }
                    if cuts & 2 == 2 {
                        shop.reopen().await;
                    }
                }
                shop.commit(&of_commit).await;
                for (id, name) in &names {
                    assert_eq!(shop.name(*id), *name, "{story}, cut {cuts:b}: {id}");
                }
                assert_eq!((shop.memories(), shop.writer.committed().memory.clone()), (vec![], None), "{story}");
            }
        }
    }
}

/// A flattened delete may be nothing but a key, and an insert that tells its position goes on with the row all the same; or neither
/// tells one.
#[tokio::test]
async fn values_go_with_the_row_where_its_delete_tells_no_position() {
    let without = |mut of: ChangeBatch, is_untold: &dyn Fn(Op) -> bool| {
        let orders = of.orders.as_primitive::<Int64Type>().iter().zip(&of.ops);
        of.orders = Arc::new(orders.map(|(told, op)| told.filter(|_| !is_untold(*op))).collect::<Int64Array>());
        of.positions.fill(None);
        of
    };
    for is_untold in [|op| op == Op::Delete, |_| true] {
        for (story, changes, names) in stories() {
            for at_once in [1, changes.len()] {
                let mut shop = Shop::new(&NewTable::new("t", ["id"])).await;
                for changes in [inserts(0..6)].iter().map(Vec::as_slice).chain(changes.chunks(at_once)) {
                    let _ = shop.writer.write(&without(batch(changes, shop.offset), &is_untold)).unwrap();
                    shop.offset += changes.len() as i64;
                    commit(&mut shop.writer).await;
                }
                shop.model.commit(&inserts(0..6));
                changes.chunks(at_once).for_each(|changes| shop.model.commit(changes));
                let stored = rows_of(shop.writer.table()).await;
                assert_eq!(stored.keys().collect::<Vec<_>>(), shop.model.rows().keys().collect::<Vec<_>>(), "{story}");
                for (id, name) in &names {
                    let has = stored.get(id).and_then(|row| row.1.clone());
                    assert_eq!(has, *name, "{story}, {at_once} at once: {id}");
                }
            }
        }
    }
}

/// Both halves of one move, and the partitions that they come by.
#[tokio::test]
async fn an_insert_that_comes_first_is_filled_and_filled_again_when_its_delete_comes() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        shop.commit(&inserts(0..6)).await;
        let [leaves, comes] = moves(1, 11, 10);
        shop.commit(&[comes]).await;
        assert_eq!((shop.name(11), shop.memories().len()), (named(1, 1), 1));
        // A later change of the new row that says nothing of the name; one of the old row that was on its way still.
        shop.commit(&[Change::new(Op::Update, 11, 12).without_name()]).await;
        shop.commit(&[Change::new(Op::Update, 1, 9)]).await;
        assert_eq!(shop.name(11), named(1, 1));
        shop.reopen().await;
        let committed = shop.commit(&[leaves]).await;
        assert_eq!((committed.updated_rows, committed.deleted_rows), (1, 1));
        assert_eq!((shop.name(11), shop.name(1)), (named(1, 9), None));
        assert_eq!(shop.memories(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_row_that_got_its_values_by_itself_is_left_alone_by_the_delete() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        shop.commit(&inserts(0..6)).await;
        let [leaves, comes] = moves(1, 11, 10);
        shop.commit(&[comes]).await;
        shop.commit(&[Change::new(Op::Update, 11, 12), Change::new(Op::Update, 1, 9)]).await;
        assert_eq!(shop.memories(), Vec::<String>::new());
        let committed = shop.commit(&[leaves]).await;
        assert_eq!((committed.updated_rows, committed.deleted_rows), (0, 1));
        assert_eq!((shop.name(11), shop.memories()), (named(11, 12), vec![]));
    }
}

#[tokio::test]
async fn an_old_row_that_did_not_change_costs_no_second_write() {
    let mut shop = Shop::new(&NewTable::new("t", ["id"]).index(bucket(16))).await;
    shop.commit(&inserts(0..6)).await;
    let [leaves, comes] = moves(1, 11, 10);
    shop.commit(&[comes]).await;
    let committed = shop.commit(&[leaves]).await;
    assert_eq!((committed.updated_rows, committed.deleted_rows, committed.files), (0, 1, 1));
}

/// A source whose rows change and move, and what it sends by each partition of its topic.
struct Source {
    rows: BTreeMap<i64, Row>,
    order: i64,
    /// Every change, with its partition.
    sent: Vec<(Change, i32)>,
    random: Seeded,
}

const PARTITIONS: i32 = 3;

impl Source {
    fn new(seed: u64) -> Self {
        Self { rows: BTreeMap::new(), order: 0, sent: vec![], random: Seeded(seed) }
    }

    fn send(&mut self, change: Change) {
        let partition = change.id.rem_euclid(i64::from(PARTITIONS)) as i32;
        self.sent.push((change, partition));
    }

    /// A free key, or one that is there.
    fn key(&mut self, is_free: bool) -> Option<i64> {
        let keys: Vec<i64> = (0..9).filter(|id| self.rows.contains_key(id) != is_free).collect();
        (!keys.is_empty()).then(|| keys[self.random.below(keys.len() as u64) as usize])
    }

    fn change(&mut self) {
        self.order += 1;
        let order = self.order;
        match self.random.below(10) {
            0..2 => {
                let Some(id) = self.key(true) else { return };
                let change = Change::new(Op::Insert, id, order);
                self.rows.insert(id, row_of(&change));
                self.send(change);
            }
            2 => {
                let Some(id) = self.key(false) else { return };
                self.rows.remove(&id);
                self.send(Change::new(Op::Delete, id, order));
            }
            3..6 => {
                let Some(id) = self.key(false) else { return };
                let is_partial = self.random.below(2) == 0;
                let made = Change::new(Op::Update, id, order);
                let row = self.rows.get_mut(&id).unwrap();
                let name = if is_partial { row.1.clone() } else { made.name.clone().flatten() };
                *row = (made.region.clone().unwrap(), name, made.amount);
                self.send(if is_partial { made.without_name() } else { made });
            }
            _ => self.moves(),
        }
    }

    fn moves(&mut self) {
        let (Some(old), Some(new)) = (self.key(false), self.key(true)) else { return };
        let row = self.rows.remove(&old).unwrap();
        let [leaves, mut comes] = moves(old, new, self.order);
        let is_partial = self.random.below(4) > 0;
        if !is_partial {
            comes.name = Some(row.1.clone());
        }
        self.rows.insert(new, (comes.region.clone().unwrap(), row.1, comes.amount));
        self.send(leaves);
        self.send(comes);
    }
}

fn row_of(change: &Change) -> Row {
    (change.region.clone().unwrap(), change.name.clone().flatten(), change.amount)
}

fn in_partition(mut sent: ChangeBatch, partition: i32) -> ChangeBatch {
    sent.partitions.fill(partition);
    sent
}

/// Commits what there is; how many of its changes became dead letters.
async fn letters_of(writer: &mut TableWriter) -> u64 {
    match writer.commit(&any_original).await.unwrap() {
        CommitOutcome::Committed(committed) => {
            if std::env::var("DBG").is_ok() {
                println!("commit {}", committed.dead_letters);
                if committed.dead_letters > 0 {
                    for l in writer.table().dead_letters().await.unwrap() {
                        println!("LETTER {:?} {}", l.letter.original.origin, l.letter.reason);
                    }
                }
            }
            committed.dead_letters
        }
        CommitOutcome::Empty => 0,
        other => panic!("{other:?}"),
    }
}

/// Random moves by several partitions, which are read at different speeds, in several commits: the table ends as the source.
async fn history(seed: u64, table: &NewTable) {
    let mut source = Source::new(seed);
    (0..150).for_each(|_| source.change());
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let builder = || TableWriter::builder(format!("memory:///{seed}")).store(Arc::clone(&store), "t");
    let mut writer = builder().create(table).await.unwrap();
    let mut lanes: Vec<Vec<usize>> = vec![vec![]; PARTITIONS as usize];
    for (at, (_, partition)) in source.sent.iter().enumerate() {
        lanes[*partition as usize].push(at);
    }
    let mut next = vec![0; lanes.len()];
    let (mut random, mut dead_letters) = (Seeded(seed ^ 77), 0);
    while (0..lanes.len()).any(|lane| next[lane] < lanes[lane].len()) {
        let lane = random.below(lanes.len() as u64) as usize;
        for _ in 0..=random.below(30) {
            let Some(at) = lanes[lane].get(next[lane]) else { break };
            let (change, partition) = &source.sent[*at];
            if std::env::var("DBG").is_ok() {
                println!(
                    "{lane} {} {:?} id {} other {:?} order {} name {:?}",
                    next[lane],
                    change.op,
                    change.id,
                    change.other,
                    change.order,
                    change.name.is_some()
                );
            }
            let sent = in_partition(batch(std::slice::from_ref(change), next[lane] as i64), *partition);
            assert_eq!(writer.write(&sent).unwrap().refused, []);
            next[lane] += 1;
            if random.below(4) == 0 {
                dead_letters += letters_of(&mut writer).await;
            }
            if random.below(25) == 0 {
                dead_letters += letters_of(&mut writer).await;
                writer = builder().open().await.unwrap();
            }
        }
    }
    dead_letters += letters_of(&mut writer).await;
    assert_eq!((rows_of(writer.table()).await, dead_letters), (source.rows, 0), "seed {seed}");
    assert_eq!(check_table(writer.table()).await.unwrap().problems, Vec::<String>::new());
    let objects: Vec<_> = store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    let memories = objects.iter().filter(|path| path.contains("/memory-")).count();
    // A row whose insert came first, and is gone again, waits for nobody: until the window is over.
    assert_eq!(memories, usize::from(writer.committed().memory.is_some()), "seed {seed}");
}

#[tokio::test]
async fn rows_that_move_by_several_partitions_end_as_at_the_source() {
    for seed in 0..80 {
        let tables = tables();
        history(seed, &tables[seed as usize % tables.len()]).await;
    }
}

/// Writes and commits changes that came by a partition; how many became dead letters, and how many moves were forgotten.
async fn commit_by(writer: &mut TableWriter, changes: &[Change], partition: i32, offset: i64) -> (u64, u64) {
    let _ = writer.write(&in_partition(batch(changes, offset), partition)).unwrap();
    let committed = commit(writer).await;
    (committed.dead_letters, committed.forgotten_moves)
}

#[tokio::test]
async fn what_falls_out_of_the_window_is_told_and_its_insert_is_a_dead_letter() {
    let clock = Arc::new(ManualClock::default());
    // Nobody sleeps, which would move the clock.
    let sole_writer = true;
    let settings =
        WriterSettings { row_memory_rows: 2, row_memory_ms: 60_000, sole_writer, ..WriterSettings::default() };
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let builder = TableWriter::builder("memory:///window").store(store, "t").clock(clock.clone()).settings(settings);
    let mut writer = builder.create(&NewTable::new("t", ["id"])).await.unwrap();
    assert_eq!(commit_by(&mut writer, &inserts(0..9), 0, 0).await, (0, 0));
    let leave = |ids: std::ops::Range<i64>| ids.map(|id| Change::leaves(id, id + 10, 20)).collect::<Vec<_>>();
    // By number: the third is one too many, and the oldest goes.
    assert_eq!(commit_by(&mut writer, &leave(0..1), 0, 9).await, (0, 0));
    clock.advance(1000);
    assert_eq!(commit_by(&mut writer, &leave(1..3), 0, 10).await, (0, 1));
    let come = |id: i64| [Change::comes(id + 10, id, 20)];
    // Its row may come yet, for all that is known.
    assert_eq!(commit_by(&mut writer, &come(0), 1, 0).await, (0, 0));
    assert_eq!(commit_by(&mut writer, &come(1), 1, 1).await, (0, 0));
    // By time: a row that waits for its insert, and an insert that waits for its row.
    clock.advance(61_000);
    assert_eq!(commit_by(&mut writer, &[Change::new(Op::Insert, 50, 21)], 0, 12).await, (1, 1));
    let letters = writer.table().dead_letters().await.unwrap();
    assert_eq!((letters.len(), letters[0].letter.original.origin.offset), (1, 0));
    assert_eq!(commit_by(&mut writer, &come(2), 1, 2).await, (0, 0));
    clock.advance(61_000);
    assert_eq!(commit_by(&mut writer, &[Change::new(Op::Insert, 51, 22)], 0, 13).await, (1, 0));
    assert_eq!(writer.committed().memory, None);
    // By number: the oldest that wait are given up.
    let unknown: Vec<Change> = (60..64).map(|id| Change::comes(id + 10, id, 30)).collect();
    assert_eq!(commit_by(&mut writer, &unknown, 1, 3).await, (0, 0));
    assert_eq!(commit_by(&mut writer, &[Change::new(Op::Insert, 52, 31)], 0, 14).await, (2, 0));
    let rows = rows_of(writer.table()).await;
    assert_eq!((rows[&11].1.clone(), rows.contains_key(&10), rows.contains_key(&12)), (named(1, 1), false, false));
}

#[tokio::test]
async fn an_insert_whose_old_row_nobody_knows_is_a_dead_letter() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        shop.commit(&inserts(0..3)).await;
        shop.write(&moves(77, 78, 10));
        assert_eq!(commit(&mut shop.writer).await.dead_letters, 1);
        // The old key is another row's since: its values are not the moved one's, which may come yet.
        shop.commit(&[Change::new(Op::Delete, 1, 11), Change::new(Op::Insert, 1, 30)]).await;
        shop.write(&[Change::comes(79, 1, 20)]);
        let committed = commit(&mut shop.writer).await;
        assert_eq!((committed.dead_letters, committed.files, shop.memories().len()), (0, 0, 1));
        shop.assert_is_model().await;
    }
}

#[tokio::test]
async fn an_insert_waits_for_a_row_that_has_not_come() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        shop.commit(&inserts(0..3)).await;
        // Row 20 comes to be, moves to 21, to 22, and is changed there. All but its insert comes first, in single commits.
        let late = [
            Change::comes(21, 20, 11),
            Change::new(Op::Update, 21, 12).without_name(),
            Change::comes(22, 21, 13),
            Change::leaves(21, 22, 13),
            Change::new(Op::Update, 22, 14).without_name(),
        ];
        let mut waiting = 0;
        for change in late {
            shop.write(&[change]);
            let committed = commit(&mut shop.writer).await;
            waiting += 1;
            assert_eq!((committed.dead_letters, committed.files, committed.waiting_changes), (0, 0, waiting));
            shop.assert_is_model().await;
            shop.reopen().await;
        }
        shop.write(&[Change::new(Op::Insert, 20, 10), Change::leaves(20, 21, 11)]);
        let committed = commit(&mut shop.writer).await;
        assert_eq!((committed.dead_letters, shop.writer.committed().memory.clone()), (0, None));
        let rows = rows_of(shop.writer.table()).await;
        assert_eq!(
            (rows.len(), rows[&22].1.clone(), rows[&22].2),
            (4, named(20, 10), Change::new(Op::Update, 22, 14).amount)
        );
    }
}

#[tokio::test]
async fn an_insert_waits_no_more_when_its_row_was_sent_whole_deleted_or_truncated() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        shop.commit(&[Change::new(Op::Insert, 1, 1).at(1)]).await;
        let wait = [31, 32, 33].map(|id| Change::comes(id, id - 10, 10).at(10));
        shop.write(&wait);
        assert_eq!(commit(&mut shop.writer).await.files, 0);
        shop.commit(&[Change::new(Op::Update, 31, 20).at(20), Change::new(Op::Delete, 32, 20).at(20)]).await;
        assert_eq!(shop.memories().len(), 1);
        let committed = shop.commit(&[Change::truncate(15)]).await;
        assert_eq!((committed.dead_letters, shop.memories()), (0, vec![]));
    }
}

#[tokio::test]
async fn a_truncate_between_the_halves_of_a_move_ends_it() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        let rows: Vec<Change> = inserts(0..6).into_iter().map(|row| row.at(1)).collect();
        shop.commit(&rows).await;
        shop.commit(&[Change::leaves(1, 11, 10).at(10), Change::comes(12, 2, 11).at(11)]).await;
        shop.commit(&[Change::truncate(20)]).await;
        assert_eq!(shop.memories(), Vec::<String>::new());
        let late = [Change::comes(11, 1, 10).at(10), Change::leaves(2, 12, 11).at(11)];
        let committed = shop.commit(&late).await;
        assert_eq!((committed.ignored_changes, committed.dead_letters, shop.model.rows().len()), (2, 0, 0));
        // Both in one commit with the truncate: what is from before takes nothing with it.
        shop.commit(&[Change::new(Op::Insert, 1, 30).at(30)]).await;
        shop.write(&[Change::truncate(40), Change::leaves(1, 11, 50).at(50), Change::comes(11, 1, 50).at(50)]);
        shop.model.commit(&[Change::truncate(40)]);
        assert_eq!(commit(&mut shop.writer).await.dead_letters, 1);
        shop.assert_is_model().await;
    }
}

#[tokio::test]
async fn halves_that_are_sent_again_change_nothing() {
    for table in tables() {
        let mut shop = Shop::new(&table).await;
        shop.commit(&inserts(0..6)).await;
        let both = moves(1, 11, 10);
        shop.commit(&both).await;
        // By the connector that was restarted: known by its place. By another partition: by order.
        let mut again = batch(&both, 6);
        (again.run, again.offsets) = (Some("run 2".into()), vec![20, 21]);
        assert_eq!(shop.writer.write(&again).unwrap().redelivered, 2);
        for change in &both {
            assert_eq!(commit_by(&mut shop.writer, std::slice::from_ref(change), 1, change.id).await, (0, 0));
            assert_eq!((shop.memories(), shop.writer.committed().memory.clone()), (vec![], None));
            shop.assert_is_model().await;
        }
    }
}

#[tokio::test]
async fn a_move_goes_to_another_partition_whose_column_is_part_of_the_key() {
    for index in [Index::Simple, bucket(2)] {
        for cut in [false, true] {
            let table = NewTable::new("t", ["region", "id"]).partition_by(["region"]).index(index);
            let mut shop = Shop::new(&table).await;
            shop.commit(&(0..6).map(|id| Change::new(Op::Insert, id, 1).in_region("a")).collect::<Vec<_>>()).await;
            let leaves = Change::leaves(1, 1, 10).in_region("a");
            let comes = Change::comes(1, 1, 10).in_region("b");
            for (half, other) in [(leaves, ("b", 1)), (comes, ("a", 1))] {
                let sent = with_regions(batch(std::slice::from_ref(&half), shop.offset), &[Some(other)]);
                assert_eq!(shop.writer.write(&sent).unwrap().refused, []);
                shop.offset += 1;
                if cut {
                    commit(&mut shop.writer).await;
                }
            }
            let _ = shop.writer.commit(&any_original).await.unwrap();
            let rows = rows_of(shop.writer.table()).await;
            assert_eq!((rows.len(), rows[&1].clone()), (6, ("b".to_owned(), named(1, 1), Some(100))));
            assert_eq!(check_table(shop.writer.table()).await.unwrap().problems, Vec::<String>::new());
        }
    }
}

/// The batch with keys of region and id.
fn with_regions(mut sent: ChangeBatch, others: &[Option<(&str, i64)>]) -> ChangeBatch {
    let regions: ArrayRef =
        Arc::new(others.iter().map(|other| other.map(|(region, _)| region)).collect::<StringArray>());
    let ids: ArrayRef = Arc::new(others.iter().map(|other| other.map(|(_, id)| id)).collect::<Int64Array>());
    let fields = [Field::new("region", DataType::Utf8, true), Field::new("id", DataType::Int64, true)];
    sent.key_columns = vec!["region".to_owned(), "id".to_owned()];
    sent.other_keys = Some(StructArray::new(fields.to_vec().into(), vec![regions, ids], None));
    sent
}

#[tokio::test]
async fn a_partition_column_that_was_not_sent_goes_with_the_row() {
    let table = NewTable::new("t", ["id"]).partition_by(["region"]);
    for first_leaves in [true, false] {
        let mut shop = Shop::new(&table).await;
        shop.commit(&(0..3).map(|id| Change::new(Op::Insert, id, 1).in_region("a")).collect::<Vec<_>>()).await;
        let [leaves, comes] = moves(1, 11, 10);
        let comes = comes.without_region();
        if first_leaves {
            shop.write(&[leaves]);
            commit(&mut shop.writer).await;
            shop.write(&[comes]);
            commit(&mut shop.writer).await;
        } else {
            shop.write(&[comes]);
            commit(&mut shop.writer).await;
            // The old row went elsewhere before it left.
            shop.write(&[Change::new(Op::Update, 1, 9).in_region("b")]);
            commit(&mut shop.writer).await;
            shop.write(&[leaves]);
            commit(&mut shop.writer).await;
        }
        let rows = rows_of(shop.writer.table()).await;
        let (region, name) = if first_leaves { ("a", named(1, 1)) } else { ("b", named(1, 9)) };
        assert_eq!(rows[&11], (region.to_owned(), name, Some(100)));
        assert_eq!(check_table(shop.writer.table()).await.unwrap().problems, Vec::<String>::new());
    }
}

/// Two writers of one pipeline, each with a partition of its own.
struct Pair {
    first: TableWriter,
    second: TableWriter,
}

impl Pair {
    async fn new(name: &str) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let builder = || TableWriter::builder(format!("memory:///{name}")).store(Arc::clone(&store), "t");
        let table = NewTable::new("t", ["id"]).index(bucket(64));
        let mut first = builder().create(&table).await.unwrap();
        commit_by(&mut first, &inserts(0..6), 0, 0).await;
        Self { first, second: builder().open().await.unwrap() }
    }
}

#[tokio::test]
async fn the_halves_of_a_move_may_come_to_two_writers() {
    for leaves_first in [true, false] {
        let mut pair = Pair::new(&format!("halves/{leaves_first}")).await;
        let [leaves, comes] = moves(1, 11, 10);
        if leaves_first {
            commit_by(&mut pair.first, &[leaves], 0, 6).await;
            assert_eq!(commit_by(&mut pair.second, &[comes], 1, 0).await, (0, 0));
        } else {
            assert_eq!(commit_by(&mut pair.second, &[comes], 1, 0).await, (0, 0));
            commit_by(&mut pair.first, &[Change::new(Op::Update, 1, 9), leaves], 0, 6).await;
        }
        // Whoever comes next finds the memory as it is.
        commit_by(&mut pair.second, &[Change::new(Op::Insert, 40, 11)], 1, 5).await;
        assert_eq!(pair.second.committed().memory, None);
        let rows = rows_of(pair.second.table()).await;
        let name = if leaves_first { named(1, 1) } else { named(1, 9) };
        assert_eq!((rows[&11].1.clone(), rows.contains_key(&1)), (name, false));
    }
}

/// Sends changes of a partition until they are committed; a writer that was conflicted opens the table again.
async fn send(builder: WriterBuilder, changes: Vec<Change>, partition: i32, first: i64) {
    loop {
        let mut writer = builder.clone().open().await.unwrap();
        let taken = writer.write(&in_partition(batch(&changes, first), partition)).unwrap();
        if taken.covered == changes.len() as u64 {
            return;
        }
        let _ = writer.commit(&any_original).await;
    }
}

#[tokio::test]
async fn a_memory_that_another_writer_changed_meanwhile_is_not_overwritten() {
    let [leaves, comes] = moves(1, 11, 10);
    let [leaves_too, comes_too] = moves(2, 12, 10);
    let by_first = vec![Change::new(Op::Update, 1, 9), leaves, Change::new(Op::Update, 2, 9), leaves_too];
    let by_second = [Change::new(Op::Insert, 40, 8), comes, comes_too];
    // What the second does while the first sleeps: something else, or its halves of the moves too.
    for (at, meanwhile) in (0..64).flat_map(|at| [(at, 1), (at, 3)]) {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let clock = Arc::new(ManualClock::default());
        let settings = WriterSettings { lock_wait_ms: 100_000_000, ..WriterSettings::default() };
        let builder = |store: &Arc<dyn ObjectStore>, name: &str| {
            let builder = TableWriter::builder(format!("memory:///meanwhile/{at}/{meanwhile}/{name}"));
            builder.store(Arc::clone(store), "t").clock(clock.clone()).settings(settings.clone())
        };
        let table = NewTable::new("t", ["id"]).index(bucket(64));
        let mut writer = builder(&inner, "").create(&table).await.unwrap();
        commit_by(&mut writer, &inserts(0..6), 0, 0).await;
        let sleepy = FaultyStore::new(Arc::clone(&inner), at, Fault::Waits);
        let sleepy_store: Arc<dyn ObjectStore> = Arc::new(sleepy.clone());
        let first = tokio::spawn(send(builder(&sleepy_store, "first"), by_first.clone(), 0, 6));
        asleep_or_done(&sleepy, &first).await;
        let second = tokio::spawn(send(builder(&inner, "second"), by_second[..meanwhile].to_vec(), 1, 0));
        let_others_go_on().await;
        sleepy.release().await;
        first.await.unwrap();
        second.await.unwrap();
        send(builder(&inner, "second"), by_second.to_vec(), 1, 0).await;
        let table = Table::open_in(Arc::clone(&inner), "t", "memory:///meanwhile").await.unwrap();
        let names: Vec<_> = rows_of(&table).await.into_iter().map(|(id, row)| (id, row.1)).collect();
        let want = [(0, named(0, 1)), (3, named(3, 1)), (4, named(4, 1)), (5, named(5, 1)), (11, named(1, 9))];
        let want = want.into_iter().chain([(12, named(2, 9)), (40, named(40, 8))]);
        assert_eq!(names, want.collect::<Vec<_>>(), "waits at call {at}");
    }
}
