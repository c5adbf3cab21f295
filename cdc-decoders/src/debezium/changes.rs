//! What stands beside the columns of a batch: operations, positions, origins, fingerprints.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use hudi_core::change::{ChangeBatch, Op, SnapshotPart, StreamPosition};
use twox_hash::XxHash3_64;

use super::source::Source;
use crate::decoder::Message;
use crate::error::DecodeError;

/// The changes of the buffered rows.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    head: Option<Head>,
    ops: Vec<Op>,
    orders: Vec<Option<i64>>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    positions: Vec<Option<StreamPosition>>,
    source_ts_ms: Vec<Option<i64>>,
    fingerprints: Vec<u64>,
}

/// What a batch has one of, beside topic, schema and key columns.
#[derive(Debug)]
struct Head {
    source: Arc<str>,
    identity: Option<i64>,
    run: Option<Arc<str>>,
}

impl Changes {
    /// Changes so far.
    pub(crate) const fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Whether one of them speaks of a row, and so of a key.
    pub(crate) fn speak_of_rows(&self) -> bool {
        self.ops.iter().any(|op| *op != Op::Truncate)
    }

    /// Takes back all changes from `rows` on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.ops.truncate(rows);
        self.orders.truncate(rows);
        self.partitions.truncate(rows);
        self.offsets.truncate(rows);
        self.positions.truncate(rows);
        self.source_ts_ms.truncate(rows);
        self.fingerprints.truncate(rows);
    }

    /// Whether a batch cannot hold changes of this source and run beside those it holds.
    pub(crate) fn excludes(&self, source: &Source<'_>, run: Option<&[u8]>) -> bool {
        self.head.as_ref().is_some_and(|head| {
            *head.source != *source.name
                || head.run.as_deref().map(str::as_bytes) != run
                || head.identity.zip(source.identity()).is_some_and(|(a, b)| a != b)
        })
    }

    /// Notes source and run of the changes.
    pub(crate) fn note(&mut self, source: &Source<'_>, run: Option<&[u8]>) {
        let head = self.head.get_or_insert_with(|| Head {
            source: (*source.name).into(),
            identity: None,
            run: run.and_then(|run| std::str::from_utf8(run).ok()).map(Into::into),
        });
        head.identity = head.identity.or(source.identity());
    }

    /// Adds a change.
    pub(crate) fn push(
        &mut self,
        message: &Message<'_>,
        source: &Source<'_>,
        op: Op,
        fingerprint: u64,
    ) -> Result<(), DecodeError> {
        let streamed = op != Op::Snapshot;
        self.orders.push(if streamed { Some(source.order()?) } else { None });
        self.positions.push(if streamed { source.stream_position() } else { None });
        self.ops.push(op);
        self.partitions.push(message.partition);
        self.offsets.push(message.offset);
        self.source_ts_ms.push(source.ts_ms);
        self.fingerprints.push(fingerprint);
        Ok(())
    }

    /// The batch of these changes and rows; `self` is empty afterwards.
    pub(crate) fn finish(
        &mut self,
        topic: Arc<str>,
        key_columns: Vec<String>,
        rows: RecordBatch,
        unsent: Vec<Option<BooleanBuffer>>,
    ) -> ChangeBatch {
        let room = self.len();
        let taken = std::mem::replace(self, Self::with_room(room));
        let orders: ArrayRef = Arc::new(Int64Array::from(taken.orders));
        let head = taken.head.unwrap_or_else(|| Head { source: "".into(), identity: None, run: None });
        ChangeBatch {
            topic,
            source: head.source,
            identity: head.identity.map(|id| id.to_string().into()),
            run: head.run,
            key_columns,
            rows,
            whole_schema: false,
            ops: taken.ops,
            orders,
            unsent,
            partitions: taken.partitions,
            offsets: taken.offsets,
            positions: taken.positions,
            source_ts_ms: Int64Array::from(taken.source_ts_ms),
            snapshots: vec![SnapshotPart::None; room],
            other_keys: None,
            fingerprints: taken.fingerprints,
        }
    }

    fn with_room(rows: usize) -> Self {
        Self {
            head: None,
            ops: Vec::with_capacity(rows),
            orders: Vec::with_capacity(rows),
            partitions: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
            positions: Vec::with_capacity(rows),
            source_ts_ms: Vec::with_capacity(rows),
            fingerprints: Vec::with_capacity(rows),
        }
    }
}

/// Tells two changes at one position apart: XXH3 of key, operation and image, as they stand in the message. The same in every
/// re-delivery, for only the connector's own clock and run differ then.
pub(crate) fn fingerprint(key: &str, op: Op, image: &str) -> u64 {
    let letter = op.letter().bytes().next().map_or(0, u64::from);
    let key = XxHash3_64::oneshot_with_seed(letter, key.as_bytes());
    XxHash3_64::oneshot_with_seed(key, image.as_bytes())
}
