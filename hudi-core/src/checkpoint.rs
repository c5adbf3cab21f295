//! [`Checkpoint`]: how far a pipeline got, and what tells a re-delivered change from a new one.
//!
//! It rides inside the commit (`extraMetadata`, key `cdc.checkpoint.<pipeline>`), so data and position become visible in
//! one put. Offsets tell what the *broker* sends again; the [`Mark`] tells what the *source's connector* sends again,
//! under new offsets, after it restarts. Ours alone, no part of Hudi's format; members that we do not know are kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::change::{ChangeBatch, Op, Origin, StreamPosition};
use crate::error::{Error, Result};

/// The version of the form that we write, and the greatest that we read.
pub const VERSION: u32 = 1;
/// The prefix of the checkpoint's key in a commit's `extraMetadata`; the pipeline's name follows.
pub const KEY_PREFIX: &str = "cdc.checkpoint.";

/// Where Hudi Streamer keeps the positions of one topic in a commit's `extraMetadata`.
pub const STREAMER_KEY: &str = "deltastreamer.checkpoint.key";

type Unknown = BTreeMap<String, Value>;

/// How far one pipeline got, by topic and by source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    v: u32,
    /// The next offset of every partition, by topic.
    #[serde(default)]
    pub topics: BTreeMap<String, TopicPosition>,
    /// What is known of every source's stream, by the source's name.
    #[serde(default)]
    pub sources: BTreeMap<String, SourceState>,
    /// Changes counted so far, for sources that send no position.
    #[serde(default)]
    pub arrivals: u64,
    #[serde(flatten)]
    unknown: Unknown,
}

/// Positions in one topic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicPosition {
    /// The broker's id of the topic: tells a topic made anew from one that moved on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The position in each partition.
    #[serde(default)]
    pub partitions: BTreeMap<i32, PartitionPosition>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// The position in one partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionPosition {
    /// The next offset to read: everything below has been dealt with.
    pub next: i64,
    /// Changes below were judged: further than `next` never, and less far while a decoder still holds some.
    #[serde(skip)]
    judged: Option<i64>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// What is known of one source's stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// How often the source's positions began anew; the top bits of `_cdc_order`.
    #[serde(default)]
    pub epoch: u8,
    /// Who the source said it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The source's last truncate that is in the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated_at: Option<TruncatedAt>,
    /// The marks, by `topic/partition`.
    #[serde(default)]
    pub marks: BTreeMap<String, Mark>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// When a source emptied its table: rows from before are not in the table, and changes from before stay out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruncatedAt {
    /// The truncate's `_cdc_order`, epoch included, as text.
    pub order: String,
    /// When the source committed it, in milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts_ms: Option<i64>,
}

/// The furthest place in a source's stream order that a topic-partition brought.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The place, as [`StreamPosition`] prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The greatest source time seen, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ts_ms: Option<i64>,
    /// The run of the connector that moved the mark last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Fingerprints of the changes exactly at the mark, with how many there were.
    #[serde(default)]
    pub at: BTreeMap<String, u32>,
    /// Of those, how many a later run has sent again so far.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub again: BTreeMap<String, u32>,
    /// The run that `again` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_run: Option<String>,
    #[serde(flatten)]
    unknown: Unknown,
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

/// The source sent a change from *before* what it sent already, but with a newer time: it was restored or failed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WentBack {
    /// The source's name.
    pub source: Arc<str>,
    /// The change that showed it.
    pub origin: Origin,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { v: VERSION, topics: BTreeMap::new(), sources: BTreeMap::new(), arrivals: 0, unknown: Unknown::new() }
    }
}

impl Checkpoint {
    /// The key of this pipeline's checkpoint in a commit's `extraMetadata`.
    #[must_use]
    pub fn key(pipeline: &str) -> String {
        format!("{KEY_PREFIX}{pipeline}")
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the text is no checkpoint, [`Error::Unsupported`] where it is of a later version.
    pub fn parse(text: &str) -> Result<Self> {
        let corrupt = |reason: String| Error::Corrupt { what: "checkpoint".to_owned(), reason };
        let mut read: Self = serde_json::from_str(text).map_err(|e| corrupt(e.to_string()))?;
        if read.v > VERSION {
            return Err(Error::Unsupported {
                what: format!("checkpoint of version {}", read.v),
                why: format!("this program reads versions up to {VERSION}"),
            });
        }
        for (source, state) in &read.sources {
            for (partition, mark) in &state.marks {
                if mark.mark.as_deref().is_some_and(|text| StreamPosition::parse(text).is_none()) {
                    return Err(corrupt(format!("the mark of {source} in {partition} is no stream position")));
                }
            }
        }
        for position in read.topics.values_mut().flat_map(|topic| topic.partitions.values_mut()) {
            position.judged = Some(position.next);
        }
        Ok(read)
    }

    /// The checkpoint as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The next offset to read of a partition; `None` where it was never read.
    #[must_use]
    pub fn next_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        Some(self.topics.get(topic)?.partitions.get(&partition)?.next)
    }

    /// Notes that everything below `next` has been dealt with, or will be before the commit. Never goes back.
    pub fn advance(&mut self, topic: &str, partition: i32, next: i64) {
        let position = self.position(topic, partition);
        position.next = position.next.max(next);
    }

    fn position(&mut self, topic: &str, partition: i32) -> &mut PartitionPosition {
        self.topics.entry(topic.to_owned()).or_default().partitions.entry(partition).or_default()
    }

    /// The positions as Hudi Streamer writes them (`topic,0:124,1:99`), if all are of one topic that it can name.
    #[must_use]
    pub fn streamer_text(&self) -> Option<String> {
        let (topic, position) =
            self.topics.iter().next().filter(|(topic, _)| self.topics.len() == 1 && !topic.contains(','))?;
        let partitions = position.partitions.iter().map(|(partition, at)| format!(",{partition}:{}", at.next));
        Some(std::iter::once(topic.clone()).chain(partitions).collect())
    }

    /// The epoch of a source: 0 until its positions begin anew.
    #[must_use]
    pub fn epoch(&self, source: &str) -> u8 {
        self.sources.get(source).map_or(0, |state| state.epoch)
    }

    /// Judges every change of a batch and moves offsets and marks past it.
    ///
    /// Snapshot rows are not judged by the mark: they come whenever a snapshot is taken.
    ///
    /// # Errors
    /// [`WentBack`] at the first change that shows it; the checkpoint is left as it was.
    pub fn judge(&mut self, batch: &ChangeBatch) -> Result<Vec<Verdict>, WentBack> {
        let mut lanes: HashMap<i32, Lane> = HashMap::new();
        let mut verdicts = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let partition = batch.partitions[row];
            let lane = lanes.entry(partition).or_insert_with(|| self.lane(batch, partition));
            verdicts.push(lane.judge(batch, row)?);
        }
        for (partition, lane) in lanes {
            self.take_back(batch, partition, lane);
        }
        Ok(verdicts)
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
        if let Some(identity) = &batch.identity {
            state.identity = Some(identity.to_string());
        }
        let mut mark = lane.mark;
        mark.mark = lane.at.map(|at| at.to_string());
        mark.at = texts(&lane.sent);
        mark.again = texts(&lane.again);
        state.marks.insert(mark_key(&batch.topic, partition), mark);
    }
}

impl Checkpoint {
    /// The topic-partitions that were dealt with since an earlier checkpoint of the same pipeline.
    fn moved_since(&self, earlier: &Self) -> Vec<(&str, i32)> {
        let partitions = |topic: &'_ TopicPosition| topic.partitions.iter().map(|(p, at)| (*p, at.next)).collect::<Vec<_>>();
        let all = self.topics.iter().flat_map(|(name, topic)| {
            partitions(topic).into_iter().map(move |(partition, next)| (name.as_str(), partition, next))
        });
        all.filter(|(topic, partition, next)| earlier.next_offset(topic, *partition) != Some(*next))
            .map(|(topic, partition, _)| (topic, partition))
            .collect()
    }

    /// What this checkpoint becomes where another writer of the pipeline committed `newest` since both began at `base`:
    /// theirs, but for the partitions that ours dealt with.
    ///
    /// `None` where both dealt with the same: a partition, a truncate, an epoch, an arrival. Ours must be done anew then.
    #[must_use]
    pub fn joined(&self, base: &Self, newest: &Self) -> Option<Self> {
        let ours = self.moved_since(base);
        let stood = |(topic, partition): &(&str, i32)| {
            newest.next_offset(topic, *partition) == base.next_offset(topic, *partition)
        };
        if !ours.iter().all(stood) || (self.arrivals != base.arrivals && newest.arrivals != base.arrivals) {
            return None;
        }
        let mut joined = newest.clone();
        joined.arrivals = joined.arrivals.max(self.arrivals);
        for (topic, partition) in &ours {
            let position = self.topics.get(*topic)?.partitions.get(partition)?.clone();
            let topic_id = self.topics.get(*topic)?.id.clone();
            let to = joined.topics.entry((*topic).to_owned()).or_default();
            to.id = topic_id.or(to.id.take());
            to.partitions.insert(*partition, position);
        }
        let marks: Vec<String> = ours.iter().map(|(topic, partition)| mark_key(topic, *partition)).collect();
        for (name, source) in &self.sources {
            let before = base.sources.get(name).cloned().unwrap_or_default();
            let to = joined.sources.entry(name.clone()).or_default();
            to.take_over(source, &before, &marks)?;
        }
        Some(joined)
    }
}

impl SourceState {
    /// Puts what `ours` changed since `before` on top of what another writer changed.
    fn take_over(&mut self, ours: &Self, before: &Self, marks: &[String]) -> Option<()> {
        let theirs_changed = (self.epoch, &self.truncated_at) != (before.epoch, &before.truncated_at);
        if theirs_changed {
            return None;
        }
        self.epoch = ours.epoch;
        self.truncated_at.clone_from(&ours.truncated_at);
        if ours.identity != before.identity {
            self.identity.clone_from(&ours.identity);
        }
        let moved = ours.marks.iter().filter(|(key, _)| marks.contains(key));
        self.marks.extend(moved.map(|(key, mark)| (key.clone(), mark.clone())));
        Some(())
    }
}

fn mark_key(topic: &str, partition: i32) -> String {
    format!("{topic}/{partition}")
}

/// One partition's mark while a batch is judged.
struct Lane {
    /// What the checkpoint covered before the batch: one message may give several rows.
    covered_below: i64,
    next: i64,
    at: Option<StreamPosition>,
    same_run: bool,
    judged: bool,
    /// Fingerprints of the changes at the mark, with how many there were: as good as always one.
    sent: Vec<(u64, u32)>,
    /// Of those, how many a later run has sent again.
    again: Vec<(u64, u32)>,
    mark: Mark,
}

impl Lane {
    fn judge(&mut self, batch: &ChangeBatch, row: usize) -> Result<Verdict, WentBack> {
        let offset = batch.offsets[row];
        if offset < self.covered_below {
            return Ok(Verdict::Covered);
        }
        self.next = self.next.max(offset + 1);
        let Some(position) = batch.positions[row].filter(|_| batch.ops[row] != Op::Snapshot) else {
            return Ok(Verdict::New);
        };
        self.judged = true;
        let ts_ms = (!arrow::array::Array::is_null(&batch.source_ts_ms, row)).then(|| batch.source_ts_ms.value(row));
        match self.at {
            Some(at) if position < at && !self.same_run => {
                if ts_ms > self.mark.max_ts_ms {
                    return Err(WentBack { source: Arc::clone(&batch.source), origin: batch.origin(row) });
                }
                return Ok(Verdict::Redelivered);
            }
            Some(at) if position < at => {}
            Some(at) if position == at => {
                if !self.same_run && self.sent_again(batch, row) {
                    return Ok(Verdict::Redelivered);
                }
                *counted(&mut self.sent, batch.fingerprints[row]) += 1;
            }
            _ => self.move_mark(batch, row, position),
        }
        self.mark.max_ts_ms = self.mark.max_ts_ms.max(ts_ms);
        Ok(Verdict::New)
    }

    /// Exactly at the mark, in another run: sent again as often as it was sent then, new beyond that.
    fn sent_again(&mut self, batch: &ChangeBatch, row: usize) -> bool {
        if self.mark.again_run.as_deref() != batch.run.as_deref() {
            self.again.clear();
            self.mark.again_run = batch.run.as_deref().map(str::to_owned);
        }
        let before = *counted(&mut self.sent, batch.fingerprints[row]);
        let again = counted(&mut self.again, batch.fingerprints[row]);
        *again += 1;
        *again <= before
    }

    fn move_mark(&mut self, batch: &ChangeBatch, row: usize, position: StreamPosition) {
        self.at = Some(position);
        self.sent.clear();
        self.sent.push((batch.fingerprints[row], 1));
        self.again.clear();
        self.mark.again_run = None;
        if !self.same_run {
            self.mark.run = batch.run.as_deref().map(str::to_owned);
            self.same_run = batch.run.is_some();
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
    seen.map(|(fingerprint, count)| (format!("{fingerprint:016x}"), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
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
            ops: vec![Op::Update; rows],
            orders: Arc::new(Int64Array::from(vec![0; rows])),
            unsent: vec![],
            partitions: vec![0; rows],
            offsets: changes.iter().map(|c| c.0).collect(),
            positions: changes.iter().map(|c| Some(StreamPosition([c.1, 0, 0]))).collect(),
            source_ts_ms: changes.iter().map(|c| Some(c.2)).collect(),
            fingerprints: changes.iter().map(|c| c.3).collect(),
        }
    }

    fn reread(checkpoint: &Checkpoint) -> Checkpoint {
        Checkpoint::parse(&checkpoint.to_json()).unwrap()
    }

    #[test]
    fn what_a_restarted_connector_sends_again_is_told_from_what_is_new() {
        use Verdict::{Covered, New, Redelivered};
        let mut checkpoint = Checkpoint::default();
        let first = batch("a", &[(0, 10, 1, 1), (1, 11, 1, 2), (2, 11, 1, 2), (3, 11, 1, 3)]);
        assert_eq!(checkpoint.judge(&first).unwrap(), [New; 4]);
        checkpoint = reread(&checkpoint);
        assert_eq!(checkpoint.judge(&first).unwrap(), [Covered; 4]);

        let again = batch("b", &[(4, 10, 1, 1), (5, 11, 1, 2)]);
        assert_eq!(checkpoint.judge(&again).unwrap(), [Redelivered; 2]);
        checkpoint = reread(&checkpoint);
        let rest = batch("b", &[(6, 11, 1, 2), (7, 11, 1, 3), (8, 11, 1, 2), (9, 12, 2, 1), (10, 11, 2, 1)]);
        assert_eq!(checkpoint.judge(&rest).unwrap(), [Redelivered, Redelivered, New, New, New]);
        assert_eq!(checkpoint.next_offset("t", 0), Some(11));
    }

    #[test]
    fn changes_that_a_decoder_held_are_new_although_later_messages_were_passed() {
        let mut checkpoint = Checkpoint::default();
        checkpoint.advance("t", 0, 3);
        assert_eq!(checkpoint.judge(&batch("a", &[(0, 1, 1, 1), (1, 2, 1, 1)])).unwrap(), [Verdict::New; 2]);
        assert_eq!(checkpoint.next_offset("t", 0), Some(3));
        assert_eq!(checkpoint.judge(&batch("a", &[(1, 2, 1, 1)])).unwrap(), [Verdict::Covered]);
    }

    #[test]
    fn positions_may_go_back_within_one_run() {
        let mut checkpoint = Checkpoint::default();
        let verdicts = checkpoint.judge(&batch("a", &[(0, 20, 1, 1), (1, 10, 1, 2)])).unwrap();
        assert_eq!(verdicts, [Verdict::New; 2]);
    }

    #[test]
    fn a_source_that_went_back_stops_the_pipeline_and_changes_nothing() {
        let mut checkpoint = Checkpoint::default();
        checkpoint.judge(&batch("a", &[(0, 20, 100, 1)])).unwrap();
        let before = checkpoint.clone();
        let went_back = checkpoint.judge(&batch("b", &[(1, 10, 200, 2)])).unwrap_err();
        assert_eq!(went_back.origin.offset, 1);
        assert_eq!(checkpoint, before);
    }

    #[test]
    fn unknown_members_are_kept_and_later_versions_refused() {
        let text = r#"{"v":1,"topics":{"t":{"partitions":{"3":{"next":5,"x":1}},"y":2}},"sources":{},"arrivals":0,"memory":"z"}"#;
        let mut checkpoint = Checkpoint::parse(text).unwrap();
        checkpoint.advance("t", 3, 4);
        assert_eq!(reread(&checkpoint), checkpoint);
        assert_eq!(checkpoint.next_offset("t", 3), Some(5));
        for kept in [r#""x":1"#, r#""y":2"#, r#""memory":"z""#] {
            assert!(checkpoint.to_json().contains(kept), "{kept}");
        }
        assert!(Checkpoint::parse(r#"{"v":2}"#).unwrap_err().to_string().contains("version 2"));
    }
}
