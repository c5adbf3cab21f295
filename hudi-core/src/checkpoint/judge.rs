//! Which changes of a batch are new, and in which epoch of their source: [`Checkpoint::judge`].
//!
//! Every topic-partition is judged by its own [`Mark`]: partitions are read at different speeds.
//!
//! * **Sent again**: below the mark, or at it as often as it was sent then. Never within one run of the connector.
//! * **The source went back** (it was restored, or failed over): below the mark, but newer than all before it, in another run; or
//!   below the mark from a server that the partition never heard of. That cannot have been sent before. Identity `0`, or none, says
//!   nothing, and servers that take turns begin nothing as long as each is known.
//! * **A new epoch**, where that is allowed: the source's epoch is one more, and this partition begins it without a mark. The
//!   others follow, each at its first change that is of the new epoch: one that went back by their own mark; one of the run that
//!   began the epoch, or from the server that did; without either, one that is no older than the epoch's beginning. What they
//!   hold from before (a run that was still to be read) is judged in the old epoch, by the old mark, and ordered there.
//! * **Out of the past**: a partition in a new epoch keeps how far it came before, with the newest time and the servers. What is no
//!   further, no newer, and from no other server was sent before, whatever the new mark says: the old history again, from
//!   a server that was thought gone, say. Never within the run that brought the mark.
//!
//! A partition shows that the source went back by its own mark only, for the times of changes may disagree a little with their
//! places. One that the old history took less far than the place of the restoration cannot tell: until another one does, or an
//! old place is reached, its changes are of the old epoch. Among themselves they are ordered rightly; a truncate
//! near them may take too few or too many, which the new snapshot mends that a restored source needs anyway.
//!
//! Changes without a place in the stream, and snapshot rows, are not judged by the mark. Not here: offsets' form, JSON.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::Array;

use super::state::{Began, Checkpoint, MAX_EPOCH, MAX_IDENTITIES, Mark, Past, SourceState};
use crate::change::{ChangeBatch, Op, Origin, StreamPosition};

/// What is done about a source that sent a change from before what it sent already, though it cannot have sent it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceWentBack {
    /// Nothing is taken: somebody must look at the source.
    #[default]
    Stop,
    /// A new epoch of the source begins: its changes win over all from before.
    NewEpoch,
}

/// What the checkpoint says of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen yet.
    New,
    /// Below the partition's next offset: read again from the broker, already in the table.
    Covered,
    /// Sent again by the source's connector, under a new offset: already in the table.
    Redelivered,
}

/// What the checkpoint says of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Of every change.
    pub verdicts: Vec<Verdict>,
    /// The epoch of the source that every new change is in.
    pub epochs: Epochs,
}

/// The epochs of a batch's changes: mostly one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Epochs(Vec<(usize, u8)>);

impl Epochs {
    /// Changes from row `row` on are in this epoch. Rows are told in their order.
    pub fn push(&mut self, row: usize, epoch: u8) {
        if self.0.last().is_none_or(|(_, last)| *last != epoch) {
            self.0.push((row, epoch));
        }
    }

    /// Rows that follow one another in one epoch, with it, up to the row `end`.
    pub fn runs(&self, end: usize) -> impl Iterator<Item = (Range<usize>, u8)> {
        let ends = self.0.iter().skip(1).map(|(row, _)| *row).chain([end]);
        self.0.iter().zip(ends).map(|((row, epoch), end)| (*row..end, *epoch))
    }
}

/// The source sent a change from before what it sent already, that it cannot have sent before: it was restored or failed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WentBack {
    /// The source's name.
    pub source: Arc<str>,
    /// The change that showed it.
    pub origin: Origin,
    /// A new epoch was allowed, but the source is in the last one.
    pub epochs_exhausted: bool,
}

impl Checkpoint {
    /// Judges every change of a batch and moves offsets and marks past it.
    ///
    /// # Errors
    /// [`WentBack`] at the first change that shows it, if that is to stop us or no epoch is left; the checkpoint is as it was.
    pub fn judge(&mut self, batch: &ChangeBatch, on_went_back: SourceWentBack) -> Result<Judged, WentBack> {
        let mut stream = self.stream(batch, on_went_back);
        let mut lanes: HashMap<i32, Lane> = HashMap::new();
        let mut judged = Judged { verdicts: Vec::with_capacity(batch.num_rows()), epochs: Epochs::default() };
        for row in 0..batch.num_rows() {
            let partition = batch.partitions[row];
            let lane = lanes.entry(partition).or_insert_with(|| self.lane(batch, partition));
            let (verdict, epoch) = lane.judge(&mut stream, batch, row)?;
            judged.verdicts.push(verdict);
            judged.epochs.push(row, epoch);
        }
        if lanes.values().any(|lane| lane.judged) {
            stream.take_back(self.sources.entry(batch.source.to_string()).or_default());
        }
        for (partition, lane) in lanes {
            self.take_back(batch, partition, lane);
        }
        Ok(judged)
    }

    /// How many changes of this fingerprint a topic-partition brought from its furthest place, if that is `position`.
    #[must_use]
    pub fn count_at(
        &self,
        source: &str,
        topic: &str,
        partition: i32,
        position: StreamPosition,
        fingerprint: u64,
    ) -> u32 {
        let mark = self.sources.get(source).and_then(|state| state.marks.get(&mark_key(topic, partition)));
        let mark = mark.filter(|mark| mark.mark.as_deref().and_then(StreamPosition::parse) == Some(position));
        mark.and_then(|mark| mark.at.get(&text(fingerprint))).copied().unwrap_or(0)
    }

    fn stream<'a>(&self, batch: &'a ChangeBatch, on_went_back: SourceWentBack) -> Stream<'a> {
        let state = self.sources.get(&*batch.source);
        Stream {
            epoch: state.map_or(0, |state| state.epoch),
            began: state.and_then(|state| state.began.clone()),
            run: batch.run.as_deref(),
            identity: batch.identity.as_deref().filter(|identity| !identity.is_empty() && *identity != "0"),
            on_went_back,
        }
    }

    fn lane(&self, batch: &ChangeBatch, partition: i32) -> Lane {
        let key = mark_key(&batch.topic, partition);
        let mark = self.sources.get(&*batch.source).and_then(|s| s.marks.get(&key)).cloned().unwrap_or_default();
        let position = self.topics.get(&*batch.topic).and_then(|topic| topic.partitions.get(&partition));
        let judged = position.and_then(|position| position.judged).unwrap_or(i64::MIN);
        Lane {
            covered_below: judged,
            next: judged,
            at: mark.mark.as_deref().and_then(StreamPosition::parse),
            past: mark.past.as_ref().and_then(|past| StreamPosition::parse(&past.mark)),
            same_run: mark.run.is_some() && mark.run.as_deref() == batch.run.as_deref(),
            judged: false,
            sent: counts(&mark.at),
            again: counts(&mark.again),
            mark,
        }
    }

    fn take_back(&mut self, batch: &ChangeBatch, partition: i32, lane: Lane) {
        let position = self.position(&batch.topic, partition);
        position.next = position.next.max(lane.next);
        position.judged = Some(lane.next);
        if !lane.judged {
            return;
        }
        let state = self.sources.entry(batch.source.to_string()).or_default();
        let mut mark = lane.mark;
        mark.mark = lane.at.map(|at| at.to_string());
        mark.at = texts(&lane.sent);
        mark.again = texts(&lane.again);
        state.marks.insert(mark_key(&batch.topic, partition), mark);
    }
}

pub(super) fn mark_key(topic: &str, partition: i32) -> String {
    format!("{topic}/{partition}")
}

/// What holds for all partitions of a source while a batch is judged.
struct Stream<'a> {
    epoch: u8,
    began: Option<Began>,
    /// Of the batch.
    run: Option<&'a str>,
    /// Of the batch, where it says something.
    identity: Option<&'a str>,
    on_went_back: SourceWentBack,
}

impl Stream<'_> {
    /// A change shows that the source went back: an epoch begins, or nothing is taken.
    fn begin(&mut self, batch: &ChangeBatch, row: usize, change: &Change, stranger: bool) -> Result<(), WentBack> {
        let epochs_exhausted = self.on_went_back == SourceWentBack::NewEpoch && self.epoch >= MAX_EPOCH;
        if self.on_went_back == SourceWentBack::Stop || epochs_exhausted {
            return Err(WentBack { source: Arc::clone(&batch.source), origin: batch.origin(row), epochs_exhausted });
        }
        self.epoch += 1;
        self.began = Some(Began {
            run: self.run.map(str::to_owned),
            identity: self.identity.filter(|_| stranger).map(str::to_owned),
            ts_ms: change.ts_ms,
        });
        Ok(())
    }

    /// Whether a change that its partition did not see is of the source's epoch; `same_run`: that of the partition's mark.
    fn holds(&self, change: &Change, same_run: bool) -> bool {
        let Some(began) = &self.began else { return true };
        let the_run = self.run.is_some() && self.run == began.run.as_deref();
        match &began.identity {
            Some(identity) => self.identity == Some(identity) || (the_run && !same_run),
            None => the_run || (!same_run && change.ts_ms >= began.ts_ms),
        }
    }

    fn take_back(self, state: &mut SourceState) {
        state.epoch = self.epoch;
        state.began = self.began;
        if let Some(identity) = self.identity.filter(|identity| state.identity.as_deref() != Some(identity)) {
            state.identity = Some(identity.to_owned());
        }
    }
}

/// What of a change is judged.
struct Change {
    position: StreamPosition,
    ts_ms: Option<i64>,
    fingerprint: u64,
}

/// A change against a mark.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    SentAgain,
    New,
    WentBack { stranger: bool },
}

/// One partition's mark while a batch is judged.
struct Lane {
    /// What the checkpoint covered before the batch: one message may give several rows.
    covered_below: i64,
    next: i64,
    at: Option<StreamPosition>,
    /// The furthest place of the epochs before.
    past: Option<StreamPosition>,
    same_run: bool,
    judged: bool,
    /// Fingerprints of the changes at the mark, with how many there were: as good as always one.
    sent: Vec<(u64, u32)>,
    /// Of those, how many a later run has sent again.
    again: Vec<(u64, u32)>,
    mark: Mark,
}

impl Lane {
    fn judge(&mut self, stream: &mut Stream<'_>, batch: &ChangeBatch, row: usize) -> Result<(Verdict, u8), WentBack> {
        let offset = batch.offsets[row];
        if offset < self.covered_below {
            return Ok((Verdict::Covered, stream.epoch));
        }
        self.next = self.next.max(offset + 1);
        let Some(position) = batch.positions[row].filter(|_| batch.ops[row] != Op::Snapshot) else {
            return Ok((Verdict::New, stream.epoch));
        };
        self.judged = true;
        let ts_ms = batch.source_ts_ms.is_valid(row).then(|| batch.source_ts_ms.value(row));
        let change = Change { position, ts_ms, fingerprint: batch.fingerprints[row] };
        let behind = self.mark.epoch < stream.epoch;
        match self.find(stream, &change) {
            Found::SentAgain => return Ok((Verdict::Redelivered, self.mark.epoch)),
            Found::New if behind && stream.holds(&change, self.same_run) => self.enter(stream.epoch),
            Found::New => {}
            Found::WentBack { stranger } => {
                if !behind {
                    stream.begin(batch, row, &change, stranger)?;
                }
                self.enter(stream.epoch);
            }
        }
        self.take(stream, &change);
        Ok((Verdict::New, self.mark.epoch))
    }

    fn find(&mut self, stream: &Stream<'_>, change: &Change) -> Found {
        if self.is_past(stream, change) {
            return Found::SentAgain;
        }
        let mark = self.at;
        match mark {
            Some(at) if change.position < at => {
                let stranger = self.is_stranger(stream);
                if stranger || (!self.same_run && change.ts_ms > self.mark.max_ts_ms) {
                    Found::WentBack { stranger }
                } else if self.same_run {
                    Found::New
                } else {
                    Found::SentAgain
                }
            }
            Some(at) if change.position == at && !self.same_run && self.sent_again(stream, change) => Found::SentAgain,
            _ => Found::New,
        }
    }

    /// Whether a change was sent in an epoch before this one.
    fn is_past(&self, stream: &Stream<'_>, change: &Change) -> bool {
        let (Some(at), Some(past)) = (self.past, &self.mark.past) else { return false };
        let known = |identity| past.identities.iter().any(|known| known == identity);
        !self.same_run
            && change.position <= at
            && change.ts_ms <= past.max_ts_ms
            && stream.identity.is_none_or(|identity| past.identities.is_empty() || known(identity))
    }

    /// Whether the batch comes from a server that this partition, which knows some, never heard of.
    fn is_stranger(&self, stream: &Stream<'_>) -> bool {
        !self.mark.identities.is_empty() && stream.identity.is_some_and(|identity| !self.knows(identity))
    }

    fn knows(&self, identity: &str) -> bool {
        self.mark.identities.iter().any(|known| known == identity)
    }

    /// Exactly at the mark, in another run: sent again as often as it was sent then, new beyond that. Where no run is told
    /// a known one is always sent again, for none says how often.
    fn sent_again(&mut self, stream: &Stream<'_>, change: &Change) -> bool {
        if stream.run.is_none() {
            return *counted(&mut self.sent, change.fingerprint) > 0;
        }
        if self.mark.again_run.as_deref() != stream.run {
            self.again.clear();
            self.mark.again_run = stream.run.map(str::to_owned);
        }
        let before = *counted(&mut self.sent, change.fingerprint);
        let again = counted(&mut self.again, change.fingerprint);
        *again += 1;
        *again <= before
    }

    /// Begins an epoch: without a mark, but remembering how far the epochs before came.
    fn enter(&mut self, epoch: u8) {
        let old = std::mem::take(&mut self.mark);
        self.past = self.past.max(self.at.take());
        let (before, mut identities) = (old.past.unwrap_or_default(), old.identities);
        self.mark.unknown = old.unknown;
        identities.extend(
            before.identities.into_iter().filter(|identity| !identities.contains(identity)).collect::<Vec<_>>(),
        );
        identities.truncate(MAX_IDENTITIES);
        let max_ts_ms = before.max_ts_ms.max(old.max_ts_ms);
        self.mark.past = self.past.map(|at| Past { mark: at.to_string(), max_ts_ms, identities });
        self.mark.epoch = epoch;
        self.same_run = false;
        self.sent.clear();
        self.again.clear();
    }

    fn take(&mut self, stream: &Stream<'_>, change: &Change) {
        match self.at {
            Some(at) if change.position < at => {}
            Some(at) if change.position == at => *counted(&mut self.sent, change.fingerprint) += 1,
            _ => self.move_mark(stream, change),
        }
        self.mark.max_ts_ms = self.mark.max_ts_ms.max(change.ts_ms);
        if let Some(identity) = stream.identity
            && !self.knows(identity)
        {
            self.mark.identities.truncate(MAX_IDENTITIES - 1);
            self.mark.identities.insert(0, identity.to_owned());
        }
    }

    fn move_mark(&mut self, stream: &Stream<'_>, change: &Change) {
        self.at = Some(change.position);
        self.sent.clear();
        self.sent.push((change.fingerprint, 1));
        self.again.clear();
        self.mark.again_run = None;
        if !self.same_run {
            self.mark.run = stream.run.map(str::to_owned);
            self.same_run = stream.run.is_some();
        }
    }
}

/// The count of a fingerprint, 0 if it is new.
fn counted(counts: &mut Vec<(u64, u32)>, fingerprint: u64) -> &mut u32 {
    let place = counts.iter().position(|(of, _)| *of == fingerprint).unwrap_or_else(|| {
        counts.push((fingerprint, 0));
        counts.len() - 1
    });
    &mut counts[place].1
}

fn counts(texts: &BTreeMap<String, u32>) -> Vec<(u64, u32)> {
    texts.iter().filter_map(|(text, count)| Some((u64::from_str_radix(text, 16).ok()?, *count))).collect()
}

fn texts(counts: &[(u64, u32)]) -> BTreeMap<String, u32> {
    let seen = counts.iter().filter(|(_, count)| *count > 0);
    seen.map(|(fingerprint, count)| (text(*fingerprint), *count)).collect()
}

fn text(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::SnapshotPart;
    use Verdict::{Covered, New, Redelivered};
    use arrow::array::{Int64Array, RecordBatch, RecordBatchOptions};
    use arrow::datatypes::Schema;

    /// A batch of run `run`: (offset, position, source time, fingerprint).
    fn batch(run: &str, changes: &[(i64, u64, i64, u64)]) -> ChangeBatch {
        let rows = changes.len();
        ChangeBatch {
            topic: "t".into(),
            source: "s".into(),
            identity: None,
            run: Some(run.into()),
            key_columns: vec![],
            rows: RecordBatch::try_new_with_options(
                Arc::new(Schema::empty()),
                vec![],
                &RecordBatchOptions::new().with_row_count(Some(rows)),
            )
            .unwrap(),
            whole_schema: false,
            ops: vec![Op::Update; rows],
            orders: Arc::new(Int64Array::from(vec![0; rows])),
            unsent: vec![],
            partitions: vec![0; rows],
            offsets: changes.iter().map(|c| c.0).collect(),
            positions: changes.iter().map(|c| Some(StreamPosition([c.1, 0, 0]))).collect(),
            source_ts_ms: changes.iter().map(|c| Some(c.2)).collect(),
            snapshots: vec![SnapshotPart::None; rows],
            other_keys: None,
            fingerprints: changes.iter().map(|c| c.3).collect(),
        }
    }

    use SourceWentBack::{NewEpoch, Stop};

    fn verdicts(checkpoint: &mut Checkpoint, batch: &ChangeBatch) -> Vec<Verdict> {
        checkpoint.judge(batch, Stop).unwrap().verdicts
    }

    /// Whether the changes are new, and in which epoch, `-` where not, one letter each.
    fn epochs(checkpoint: &mut Checkpoint, batch: &ChangeBatch) -> String {
        let judged = checkpoint.judge(batch, NewEpoch).unwrap();
        *checkpoint = reread(checkpoint);
        let of =
            |row| judged.epochs.runs(batch.num_rows()).find(|(rows, _)| rows.contains(&row)).unwrap().1.to_string();
        let shown = |(row, verdict)| if verdict == New { of(row) } else { "-".to_owned() };
        judged.verdicts.iter().copied().enumerate().map(shown).collect()
    }

    fn from(identity: &str, batch: ChangeBatch) -> ChangeBatch {
        ChangeBatch { identity: Some(identity.into()), ..batch }
    }

    fn in_partition(partition: i32, batch: ChangeBatch) -> ChangeBatch {
        ChangeBatch { partitions: vec![partition; batch.num_rows()], ..batch }
    }

    fn reread(checkpoint: &Checkpoint) -> Checkpoint {
        Checkpoint::parse(&checkpoint.to_json()).unwrap()
    }

    #[test]
    fn what_a_restarted_connector_sends_again_is_told_from_what_is_new() {
        let mut checkpoint = Checkpoint::default();
        let first = batch("a", &[(0, 10, 1, 1), (1, 11, 1, 2), (2, 11, 1, 2), (3, 11, 1, 3)]);
        assert_eq!(verdicts(&mut checkpoint, &first), [New; 4]);
        checkpoint = reread(&checkpoint);
        assert_eq!(verdicts(&mut checkpoint, &first), [Covered; 4]);

        let again = batch("b", &[(4, 10, 1, 1), (5, 11, 1, 2)]);
        assert_eq!(verdicts(&mut checkpoint, &again), [Redelivered; 2]);
        checkpoint = reread(&checkpoint);
        let rest = batch("b", &[(6, 11, 1, 2), (7, 11, 1, 3), (8, 11, 1, 2), (9, 12, 2, 1), (10, 11, 2, 1)]);
        assert_eq!(verdicts(&mut checkpoint, &rest), [Redelivered, Redelivered, New, New, New]);
        assert_eq!(checkpoint.next_offset("t", 0), Some(11));
    }

    #[test]
    fn without_runs_the_last_change_is_known_however_often_it_is_sent_again() {
        let mut checkpoint = Checkpoint::default();
        let untold = |changes: &[_]| ChangeBatch { run: None, ..batch("", changes) };
        assert_eq!(verdicts(&mut checkpoint, &untold(&[(0, 10, 1, 1)])), [New]);
        for restart in 1..4 {
            assert_eq!(verdicts(&mut checkpoint, &untold(&[(restart, 10, 1, 1)])), [Redelivered]);
            checkpoint = reread(&checkpoint);
        }
        assert_eq!(verdicts(&mut checkpoint, &untold(&[(4, 10, 1, 2), (5, 11, 1, 1)])), [New, New]);
    }

    #[test]
    fn changes_that_a_decoder_held_are_new_although_later_messages_were_passed() {
        let mut checkpoint = Checkpoint::default();
        checkpoint.advance("t", 0, 3);
        assert_eq!(verdicts(&mut checkpoint, &batch("a", &[(0, 1, 1, 1), (1, 2, 1, 1)])), [New; 2]);
        assert_eq!(checkpoint.next_offset("t", 0), Some(3));
        assert_eq!(verdicts(&mut checkpoint, &batch("a", &[(1, 2, 1, 1)])), [Covered]);
    }

    #[test]
    fn positions_may_go_back_within_one_run() {
        let mut checkpoint = Checkpoint::default();
        assert_eq!(verdicts(&mut checkpoint, &batch("a", &[(0, 20, 1, 1), (1, 10, 1, 2)])), [New; 2]);
    }

    #[test]
    fn a_source_that_went_back_stops_the_pipeline_and_changes_nothing() {
        let mut checkpoint = Checkpoint::default();
        verdicts(&mut checkpoint, &batch("a", &[(0, 20, 100, 1)]));
        let before = checkpoint.clone();
        let went_back = checkpoint.judge(&batch("b", &[(1, 10, 200, 2)]), Stop).unwrap_err();
        assert_eq!(went_back.origin.offset, 1);
        assert_eq!(checkpoint, before);
    }

    #[test]
    fn a_new_epoch_begins_where_the_source_went_back() {
        let mut checkpoint = Checkpoint::default();
        assert_eq!(epochs(&mut checkpoint, &batch("a", &[(0, 10, 1, 1), (1, 20, 2, 2), (2, 30, 3, 3)])), "000");
        // The restored source has the first, and goes on elsewhere from there.
        let restored = batch("b", &[(3, 10, 1, 1), (4, 15, 10, 4), (5, 20, 11, 5), (6, 30, 12, 6), (7, 25, 12, 7)]);
        let before = checkpoint.clone();
        assert_eq!(checkpoint.judge(&restored, Stop).unwrap_err().origin.offset, 4);
        assert_eq!(checkpoint, before);
        assert_eq!(epochs(&mut checkpoint, &restored), "-1111");
        assert_eq!(checkpoint.epoch("s"), 1);
        // Sent again: of the new history, and of the old one, which lies above the new mark.
        assert_eq!(epochs(&mut checkpoint, &batch("c", &[(8, 10, 1, 1), (9, 15, 10, 4), (10, 30, 12, 6)])), "---");
        assert_eq!(epochs(&mut checkpoint, &batch("a", &[(11, 20, 2, 2), (12, 30, 3, 3)])), "--");
        assert_eq!(epochs(&mut checkpoint, &batch("c", &[(13, 31, 13, 8)])), "1");
        // And once more.
        assert_eq!(epochs(&mut checkpoint, &batch("d", &[(14, 18, 20, 1), (15, 19, 21, 1)])), "22");
        let old = batch("e", &[(16, 30, 3, 3), (17, 31, 13, 8), (18, 15, 10, 4), (19, 20, 22, 1)]);
        assert_eq!(epochs(&mut checkpoint, &old), "---2");
    }

    #[test]
    fn the_old_history_that_other_partitions_still_hold_stays_in_its_epoch() {
        let mut checkpoint = Checkpoint::default();
        for partition in 0..3 {
            assert_eq!(epochs(&mut checkpoint, &in_partition(partition, batch("a", &[(0, 20, 2, 1)]))), "0");
        }
        assert_eq!(epochs(&mut checkpoint, &batch("b", &[(1, 10, 10, 2)])), "1");
        // Partition 1: the rest of run `a`, a run between that it sees first now, then the run that began the epoch.
        assert_eq!(epochs(&mut checkpoint, &in_partition(1, batch("a", &[(1, 30, 3, 3)]))), "0");
        assert_eq!(epochs(&mut checkpoint, &in_partition(1, batch("a2", &[(2, 30, 3, 3), (3, 31, 4, 4)]))), "-0");
        let begun = batch("b", &[(4, 5, 1, 9), (5, 30, 3, 3), (6, 40, 11, 5), (7, 12, 11, 6)]);
        assert_eq!(epochs(&mut checkpoint, &in_partition(1, begun)), "--11");
        // Partition 2 saw nothing of that run, but of a later one.
        let later = batch("c", &[(1, 20, 2, 1), (2, 45, 12, 7), (3, 50, 13, 8)]);
        assert_eq!(epochs(&mut checkpoint, &in_partition(2, later)), "-11");
        // Partition 3 begins with the epoch, or before.
        assert_eq!(epochs(&mut checkpoint, &in_partition(3, batch("a", &[(0, 1, 1, 1)]))), "0");
        assert_eq!(epochs(&mut checkpoint, &in_partition(3, batch("b", &[(1, 50, 13, 8)]))), "1");
        assert_eq!(checkpoint.epoch("s"), 1);
    }

    #[test]
    fn one_batch_may_hold_two_epochs_in_any_turn() {
        let mut checkpoint = Checkpoint::default();
        let mut first = batch("a", &[(0, 20, 2, 1), (0, 21, 2, 2)]);
        first.partitions = vec![0, 1];
        assert_eq!(epochs(&mut checkpoint, &first), "00");
        // No run is told: what is older than the epoch's beginning is of the one before.
        let mut mixed = batch("", &[(1, 22, 3, 3), (2, 10, 10, 4), (1, 23, 4, 5), (3, 11, 11, 6), (2, 24, 10, 7)]);
        (mixed.run, mixed.partitions) = (None, vec![0, 0, 1, 0, 1]);
        assert_eq!(epochs(&mut checkpoint, &mixed), "01011");
    }

    #[test]
    fn a_server_that_nobody_knows_below_the_mark_is_another_history() {
        let known = [from("1", batch("a", &[(0, 10, 5, 1), (1, 20, 6, 2)])), from("2", batch("a", &[(2, 30, 7, 3)]))];
        let mut checkpoint = Checkpoint::default();
        known.iter().for_each(|batch| drop(verdicts(&mut checkpoint, batch)));
        checkpoint = reread(&checkpoint);
        // Servers that take turns, or say nothing, are sent again.
        for (identity, changes) in
            [("2", (3, 30, 7, 3)), ("1", (4, 10, 5, 1)), ("0", (5, 20, 6, 2)), ("", (6, 20, 6, 2))]
        {
            assert_eq!(verdicts(&mut checkpoint, &from(identity, batch("b", &[changes]))), [Redelivered], "{identity}");
        }
        // Another one is not, however old its time, and even if the connector did not restart.
        for run in ["a", "c"] {
            let failed_over = from("3", batch(run, &[(7, 15, 1, 4), (8, 16, 1, 5)]));
            let mut checkpoint = checkpoint.clone();
            assert_eq!(checkpoint.judge(&failed_over, Stop).unwrap_err().origin.offset, 7);
            assert_eq!(epochs(&mut checkpoint, &failed_over), "11");
            // The old servers' changes are known; the new one's too.
            assert_eq!(epochs(&mut checkpoint, &from("1", batch("d", &[(9, 20, 6, 2)]))), "-");
            assert_eq!(
                epochs(&mut checkpoint, &from("3", batch("d", &[(10, 15, 1, 4), (11, 16, 1, 5), (12, 17, 1, 6)]))),
                "--1"
            );
        }
        // Above the mark it is welcome.
        let mut checkpoint = checkpoint.clone();
        assert_eq!(epochs(&mut checkpoint, &from("3", batch("c", &[(7, 31, 1, 4)]))), "0");
        assert_eq!(epochs(&mut checkpoint, &from("3", batch("d", &[(8, 30, 1, 5)]))), "-");
    }

    #[test]
    fn servers_are_remembered_up_to_a_number() {
        let mut checkpoint = Checkpoint::default();
        for n in 1..=2 * MAX_IDENTITIES as i64 {
            let batch = from(&n.to_string(), batch("a", &[(n, n as u64, n, 1)]));
            assert_eq!(epochs(&mut checkpoint, &batch), "0");
        }
        let mark = &checkpoint.sources["s"].marks["t/0"];
        assert_eq!((mark.identities.len(), &*mark.identities[0]), (MAX_IDENTITIES, "128"));
    }

    #[test]
    fn the_last_epoch_is_followed_by_none() {
        let mut checkpoint = Checkpoint::default();
        for epoch in 0..=MAX_EPOCH {
            let ts_ms = i64::from(epoch);
            let run = epoch.to_string();
            assert_eq!(
                epochs(&mut checkpoint, &batch(&run, &[(ts_ms, 1000 - ts_ms as u64, ts_ms, 1)])).parse(),
                Ok(epoch)
            );
        }
        let before = checkpoint.clone();
        let again = checkpoint.judge(&batch("x", &[(1000, 1, 1000, 1)]), NewEpoch).unwrap_err();
        assert!(again.epochs_exhausted && checkpoint == before);
        assert!(!checkpoint.judge(&batch("x", &[(1000, 1, 1000, 1)]), Stop).unwrap_err().epochs_exhausted);
        let beyond = checkpoint.to_json().replace(r#""epoch":127"#, r#""epoch":128"#);
        assert!(Checkpoint::parse(&beyond).unwrap_err().to_string().contains("epoch 128"));
    }
}
