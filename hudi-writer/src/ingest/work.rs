//! [`Work`]: what waits for a table's commit, in the order of its arrival, with the messages it came by.
//!
//! It is kept until the table has it: a commit that others stand against is done again from it. Nothing of it is judged
//! before; re-deliveries are found when it is handed to the table, which every try does anew.

use hudi_core::change::{ChangeBatch, Op, Origin};
use hudi_core::dead_letter::{DeadLetter, Original, Originals};

use super::places::ByPartition;
use crate::settings::NewTable;

/// What the keys and partition paths of a change take while it is committed, about.
const ROW_BYTES: usize = 48;

/// What the caller still holds for a table: rows in decoders, messages that wait for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Rows that the decoders will hand over.
    pub rows: usize,
    /// Bytes of memory that these and their messages take.
    pub bytes: usize,
}

impl Held {
    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, bytes: self.bytes + other.bytes }
    }
}

/// Something that waits for the commit.
#[derive(Debug)]
pub(super) enum Item {
    /// Changes, and their messages.
    Changes(Box<ChangeBatch>, Box<dyn Originals>),
    /// A message that could not become a change.
    Letter(DeadLetter),
}

/// Offsets of one partition, from the first up to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) next: i64,
}

impl Default for Span {
    fn default() -> Self {
        Self { first: i64::MAX, next: i64::MIN }
    }
}

impl Span {
    fn take_in(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.next = self.next.max(other.next);
    }
}

/// Everything that waits for the commit of one table.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) items: Vec<Item>,
    pub(super) size: Size,
    pub(super) spans: ByPartition<Span>,
}

/// How much waits, and since when.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) letters: usize,
    /// When the first came.
    pub(super) since_ms: Option<i64>,
    /// When the source committed the oldest change.
    pub(super) oldest_source_ms: Option<i64>,
    /// The newest.
    pub(super) newest_source_ms: Option<i64>,
}

impl Work {
    pub(super) fn add_changes(&mut self, batch: ChangeBatch, originals: Box<dyn Originals>, since_ms: i64) {
        for (partition, span) in spans_of(&batch) {
            self.spans.of(&batch.topic, partition).take_in(span);
        }
        self.size.add(&Size {
            rows: batch.num_rows(),
            bytes: batch.memory_bytes() + batch.num_rows() * ROW_BYTES + originals.memory_bytes(),
            letters: 0,
            since_ms: Some(since_ms),
            oldest_source_ms: arrow::compute::min(&batch.source_ts_ms),
            newest_source_ms: arrow::compute::max(&batch.source_ts_ms),
        });
        self.items.push(Item::Changes(Box::new(batch), originals));
    }

    pub(super) fn add_letter(&mut self, letter: DeadLetter, now_ms: i64) {
        let Origin { topic, partition, offset } = &letter.original.origin;
        self.spans.of(topic, *partition).take_in(Span { first: *offset, next: offset + 1 });
        let bytes = letter.original.memory_bytes() + letter.reason.len();
        self.size.add(&Size { bytes, letters: 1, since_ms: Some(now_ms), ..Size::default() });
        self.items.push(Item::Letter(letter));
    }

    /// Adds what came later.
    pub(super) fn append(&mut self, later: Self) {
        self.items.extend(later.items);
        self.size.add(&later.size);
        for (place, span) in later.spans.iter() {
            self.spans.of(&place.topic, place.partition).take_in(*span);
        }
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &ChangeBatch> {
        self.items.iter().filter_map(|item| match item {
            Item::Changes(batch, _) => Some(&**batch),
            Item::Letter(_) => None,
        })
    }

    pub(super) fn first_letter(&self) -> Option<&DeadLetter> {
        self.items.iter().find_map(|item| match item {
            Item::Letter(letter) => Some(letter),
            Item::Changes(..) => None,
        })
    }

    /// The message of a change that waits here.
    pub(super) fn original(&self, origin: &Origin) -> Option<Original> {
        let kept = self.items.iter().filter_map(|item| match item {
            Item::Changes(batch, originals) if batch.topic == origin.topic => Some(originals),
            _ => None,
        });
        kept.filter_map(|originals| originals.original(origin)).next()
    }

    /// The key of the table that is made for this: none where rows without one are added. `None`: no change says what the
    /// table is.
    pub(super) fn founding_key(&self, table: &NewTable) -> Option<Vec<String>> {
        self.batches().find_map(|batch| founding_key(batch, table))
    }
}

impl Size {
    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.letters += other.letters;
        self.since_ms = earlier(self.since_ms, other.since_ms);
        self.oldest_source_ms = earlier(self.oldest_source_ms, other.oldest_source_ms);
        self.newest_source_ms = self.newest_source_ms.max(other.newest_source_ms);
    }
}

/// The earlier of two times, where there are two.
pub(super) fn earlier(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

/// The key of the table that is made for these changes, if they say what it is.
pub(super) fn founding_key(batch: &ChangeBatch, table: &NewTable) -> Option<Vec<String>> {
    let key = if table.key.is_empty() { &batch.key_columns } else { &table.key };
    let adds_rows = batch.ops.iter().any(|op| matches!(op, Op::Insert | Op::Snapshot));
    (batch.speaks_of_rows() && (adds_rows || !key.is_empty())).then(|| key.clone())
}

/// The offsets of a batch by partition: of few, each in runs.
pub(super) fn spans_of(batch: &ChangeBatch) -> Vec<(i32, Span)> {
    let mut spans: Vec<(i32, Span)> = vec![];
    let mut at = 0;
    for (partition, offset) in batch.partitions.iter().zip(&batch.offsets) {
        if spans.get(at).is_none_or(|(of, _)| of != partition) {
            at = spans.iter().position(|(of, _)| of == partition).unwrap_or_else(|| {
                spans.push((*partition, Span::default()));
                spans.len() - 1
            });
        }
        spans[at].1.take_in(Span { first: *offset, next: offset + 1 });
    }
    spans
}
