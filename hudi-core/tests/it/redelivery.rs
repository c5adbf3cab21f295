//! Made-up histories of a source, sent by a connector that is killed anywhere, read by a consumer that dies anywhere: every change
//! is taken once, and the table is what a plain model says.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int64Type, Schema};
use hudi_core::change::{ChangeBatch, Op, SnapshotPart, StreamPosition};
use hudi_core::checkpoint::{Checkpoint, SourceWentBack, Verdict};

const PARTITIONS: i32 = 3;
const KEYS: u64 = 7;

/// A linear congruential generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// A change as the source logs it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Change {
    /// Tells it from all others, but for one that is the same twice.
    id: u64,
    op: Op,
    key: u64,
    partition: i32,
    position: [u64; 3],
    order: i64,
    ts_ms: i64,
    server: u32,
}

/// A source that logs transactions.
struct Source {
    random: Random,
    next_id: u64,
    lsn: u64,
    last_commit: u64,
    /// How far its clock is ahead of its log.
    clock_ms: i64,
    server: u32,
    /// It may log the same twice at one place.
    twins: bool,
    log: Vec<Change>,
}

impl Source {
    fn new(seed: u64, twins: bool) -> Self {
        Self { twins, random: Random(seed), next_id: 1, lsn: 100, last_commit: 0, clock_ms: 0, server: 1, log: vec![] }
    }

    /// The source as it was after so many changes, going on another way: restored, later, or on a server whose clock is behind.
    fn gone_back(&self, changes: usize, server: u32) -> Self {
        let log = self.log[..changes].to_vec();
        let lsn = log.iter().map(|change| change.order as u64).max().unwrap_or(100);
        // Whole transactions only.
        let last_commit = lsn + 1;
        Self {
            twins: self.twins,
            random: Random(self.random.0 ^ 0x5555),
            next_id: self.next_id,
            lsn: last_commit,
            last_commit,
            clock_ms: self.clock_ms + if server == self.server { 1_000_000 } else { -1_000_000 },
            server,
            log,
        }
    }

    fn change(&mut self, op: Op, key: u64, partition: i32) -> Change {
        self.lsn += 1 + self.random.below(3) as u64;
        self.next_id += 1;
        let order = self.lsn as i64;
        Change { id: self.next_id, op, key, partition, position: [0; 3], order, ts_ms: 0, server: self.server }
    }

    fn changes(&mut self, keys: std::ops::Range<u64>) -> Vec<Change> {
        let mut changes = vec![];
        for _ in 0..=self.random.below(3) {
            let key = keys.start + self.random.below((keys.end - keys.start) as usize) as u64;
            let op = [Op::Insert, Op::Update, Op::Delete][self.random.below(3)];
            let change = self.change(op, key, (key % PARTITIONS as u64) as i32);
            changes.push(change);
            if self.random.below(6) == 0 {
                // The same again at the same place, as a source may log that has no key; or another at that place.
                let id = change.id + if self.twins { self.random.below(2) as u64 } else { 1 };
                self.next_id += 1;
                changes.push(Change { id, op, ..change });
            }
        }
        changes
    }

    fn commit(&mut self, changes: Vec<Change>) {
        self.lsn += 1;
        let (last_commit, ts_ms) = (self.last_commit, self.clock_ms + self.lsn as i64);
        self.last_commit = self.lsn;
        let sent = |c: Change| Change { position: [last_commit, c.order as u64, 0], ts_ms, ..c };
        self.log.extend(changes.into_iter().map(sent));
    }

    /// Two transactions at a time, of which the one that began later may commit first; or a truncate, alone.
    fn run(&mut self, transactions: usize, truncates: bool) {
        for _ in 0..transactions {
            if truncates && self.random.below(5) == 0 {
                let partition = self.random.below(PARTITIONS as usize) as i32;
                let truncate = self.change(Op::Truncate, u64::MAX, partition);
                self.commit(vec![truncate]);
                continue;
            }
            let mut both = [self.changes(0..KEYS / 2), self.changes(KEYS / 2..KEYS)];
            if self.random.below(2) == 0 {
                both.reverse();
            }
            both.into_iter().for_each(|changes| self.commit(changes));
        }
    }
}

/// A message of a partition.
type Sent = (Change, u32);

/// What the broker holds of a topic.
#[derive(Default)]
struct Broker {
    partitions: [Vec<Sent>; PARTITIONS as usize],
    runs: u32,
}

impl Broker {
    /// A run of the connector: it sends the changes from a place on, all that are at the first one's among them, and is killed.
    fn send(&mut self, log: &[Change], from: usize) {
        self.runs += 1;
        let there = |change: &Change| log.get(from).is_some_and(|first| change.position == first.position);
        let from = log.iter().position(there).unwrap_or(from);
        log[from..].iter().for_each(|change| self.partitions[change.partition as usize].push((*change, self.runs)));
    }

    fn len(&self) -> usize {
        self.partitions.iter().map(Vec::len).sum()
    }
}

/// A table: the order and the last change of every key.
#[derive(Debug, Clone, Default, PartialEq)]
struct Table {
    rows: BTreeMap<u64, (i64, u64)>,
    truncated_at: i64,
}

impl Table {
    fn apply(&mut self, change: &Change, order: i64) {
        let key = change.key;
        if change.op == Op::Truncate {
            self.rows.retain(|_, (stored, _)| *stored > order);
            self.truncated_at = self.truncated_at.max(order);
            return;
        }
        if order < self.truncated_at || self.rows.get(&key).is_some_and(|(stored, _)| *stored > order) {
            return;
        }
        match change.op {
            Op::Delete => drop(self.rows.remove(&key)),
            _ => drop(self.rows.insert(key, (order, change.id))),
        }
    }

    fn last_changes(&self) -> BTreeMap<u64, u64> {
        self.rows.iter().map(|(key, (_, id))| (*key, *id)).collect()
    }
}

/// What the changes lead to, each applied once, one after the other.
fn model(changes: &[Change]) -> BTreeMap<u64, u64> {
    let mut rows = BTreeMap::new();
    for change in changes {
        match change.op {
            Op::Truncate => rows.clear(),
            Op::Delete => drop(rows.remove(&change.key)),
            _ => drop(rows.insert(change.key, change.id)),
        }
    }
    rows
}

/// How often each change came.
fn counted<'a>(changes: impl IntoIterator<Item = &'a Change>) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    changes.into_iter().for_each(|change| *counts.entry(change.id).or_default() += 1);
    counts
}

/// What one commit holds.
#[derive(Debug, Clone, Default)]
struct Committed {
    checkpoint: String,
    table: Table,
    taken: Vec<Change>,
}

/// How a broker is read.
struct Reading<'a> {
    broker: &'a Broker,
    says_runs: bool,
    says_servers: bool,
    on_went_back: SourceWentBack,
}

impl Reading<'_> {
    /// To the end: partitions at any speed, in batches of any size, dying now and then since the last commit.
    fn read(&self, random: &mut Random) -> Committed {
        let mut committed = Committed { checkpoint: Checkpoint::default().to_json(), ..Committed::default() };
        for attempts in 0.. {
            let (mut now, mut left) = (committed.clone(), 20);
            while let Some(messages) = self.some(&now.checkpoint, random) {
                self.take(&mut now, &messages);
                left -= 1;
                match random.below(8) {
                    0 | 1 => committed = now.clone(),
                    2 if attempts < 20 && left < 15 => break,
                    _ => {}
                }
            }
            if self.some(&now.checkpoint, random).is_none() {
                return now;
            }
        }
        unreachable!()
    }

    /// Messages of one run and server that come next, of one partition or more.
    fn some(&self, checkpoint: &str, random: &mut Random) -> Option<Vec<(i64, Sent)>> {
        let checkpoint = Checkpoint::parse(checkpoint).unwrap();
        let mut next: Vec<usize> =
            (0..PARTITIONS).map(|p| checkpoint.next_offset("t", p).unwrap_or(0) as usize).collect();
        let waiting = |next: &[usize], p: usize| self.broker.partitions[p].get(next[p]).copied();
        let first = random.below(PARTITIONS as usize);
        let first = (0..PARTITIONS as usize).map(|n| (first + n) % 3).find(|p| waiting(&next, *p).is_some())?;
        let of = |(change, run): &Sent| (*run, change.server);
        let run = of(&waiting(&next, first).unwrap());
        let (mut messages, mut partition) = (vec![], first);
        for _ in 0..=random.below(6) {
            if let Some(sent) = waiting(&next, partition).filter(|sent| of(sent) == run) {
                messages.push((next[partition] as i64, sent));
                next[partition] += 1;
            }
            partition = random.below(PARTITIONS as usize);
        }
        Some(messages)
    }

    fn take(&self, now: &mut Committed, messages: &[(i64, Sent)]) {
        let batch = self.batch(messages);
        batch.validate().unwrap();
        let mut checkpoint = Checkpoint::parse(&now.checkpoint).unwrap();
        let judged = checkpoint.judge(&batch, self.on_went_back).unwrap();
        let orders = batch.orders.as_primitive::<Int64Type>();
        for (rows, epoch) in judged.epochs.runs(batch.num_rows()) {
            for row in rows.filter(|row| judged.verdicts[*row] == Verdict::New) {
                let change = messages[row].1.0;
                now.table.apply(&change, i64::from(epoch) << 56 | orders.value(row));
                now.taken.push(change);
            }
        }
        now.checkpoint = checkpoint.to_json();
    }

    fn batch(&self, messages: &[(i64, Sent)]) -> ChangeBatch {
        let changes: Vec<&Change> = messages.iter().map(|(_, (change, _))| change).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        let orders: ArrayRef = Arc::new(changes.iter().map(|c| Some(c.order)).collect::<Int64Array>());
        ChangeBatch {
            topic: "t".into(),
            source: "s".into(),
            identity: self.says_servers.then(|| messages[0].1.0.server.to_string().into()),
            run: self.says_runs.then(|| messages[0].1.1.to_string().into()),
            key_columns: vec![],
            rows,
            whole_schema: false,
            ops: changes.iter().map(|c| c.op).collect(),
            orders,
            unsent: vec![],
            partitions: changes.iter().map(|c| c.partition).collect(),
            offsets: messages.iter().map(|(offset, _)| *offset).collect(),
            positions: changes.iter().map(|c| Some(StreamPosition(c.position))).collect(),
            source_ts_ms: changes.iter().map(|c| Some(c.ts_ms)).collect(),
            snapshots: vec![SnapshotPart::None; changes.len()],
            other_keys: None,
            fingerprints: changes.iter().map(|c| c.id).collect(),
        }
    }
}

#[test]
fn whatever_a_killed_connector_sends_again_is_taken_once() {
    let mut source = Source::new(2, true);
    source.run(14, true);
    let log = &source.log;
    assert!(log.iter().filter(|change| change.op == Op::Truncate).count() > 1 && log.len() > 40);
    assert!(counted(log).values().any(|times| *times > 1));
    let expected = model(log);
    let mut random = Random(2);
    for killed in 0..=log.len() {
        for from in 0..=killed {
            let mut broker = Broker::default();
            broker.send(&log[..killed], 0);
            if random.below(2) == 0 {
                // Killed again, before or after it came as far.
                let again = from + random.below(log.len() - from + 1);
                broker.send(&log[..again], from);
                broker.send(log, random.below(from + 1));
            } else {
                broker.send(log, from);
            }
            let reading =
                Reading { broker: &broker, says_runs: true, says_servers: false, on_went_back: SourceWentBack::Stop };
            let done = reading.read(&mut random);
            assert_eq!(counted(&done.taken), counted(log), "killed after {killed}, going on from {from}");
            assert_eq!(done.table.last_changes(), expected, "killed after {killed}, going on from {from}");
        }
    }
}

#[test]
fn a_source_that_went_back_is_followed_from_every_place_and_nothing_is_taken_twice() {
    let mut random = Random(3);
    for seed in 0..40 {
        // Only within a run that says so is the same twice not the same again.
        let (says_runs, says_servers) = (seed % 2 == 0, seed % 4 > 1);
        let mut source = Source::new(seed, says_runs);
        source.run(4, true);
        let kept = source.log.len();
        source.run(4, false);
        let lost = source.log.len();
        let mut restored = source.gone_back(kept, if says_servers { 2 } else { 1 });
        restored.run(6, false);
        let both = [&source.log[..], &restored.log[kept..]].concat();
        for from in 0..=kept {
            let mut broker = Broker::default();
            let killed = random.below(lost + 1);
            broker.send(&source.log[..killed], 0);
            broker.send(&source.log, random.below(killed + 1));
            let until = kept + random.below(restored.log.len() - kept + 1);
            broker.send(&restored.log[..until], from);
            // Some from the source that was thought gone.
            broker.send(&source.log, random.below(lost + 1));
            broker.send(&restored.log, random.below(until + 1));
            let reading = Reading { broker: &broker, says_runs, says_servers, on_went_back: SourceWentBack::NewEpoch };
            let done = reading.read(&mut random);
            assert!(done.taken.len() < broker.len());
            assert_eq!(
                counted(&done.taken),
                counted(&both),
                "seed {seed}, restored after {kept}, going on from {from}"
            );
            assert_eq!(done.table.last_changes(), model(&both), "seed {seed}, after {kept}, going on from {from}");
        }
    }
}
