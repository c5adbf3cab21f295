//! What stands beside the columns of a batch: operations, positions, origins, fingerprints.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StructArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use hudi_core::change::{ChangeBatch, Op, OrderKind, SnapshotPart, StreamPosition};
use twox_hash::XxHash3_64;

use super::source::{Order, Source};
use crate::columns::{Column, Numbers, Texts};
use crate::decoder::Message;
use crate::error::DecodeError;

/// The changes of the buffered rows.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    head: Option<Head>,
    ops: Vec<Op>,
    orders: Orders,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    positions: Vec<Option<StreamPosition>>,
    source_ts_ms: Vec<Option<i64>>,
    snapshots: Vec<SnapshotPart>,
    fingerprints: Vec<u64>,
}

/// What the changes of a batch consist of beside [`Changes`].
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) topic: Arc<str>,
    pub(crate) key_columns: Vec<String>,
    pub(crate) rows: RecordBatch,
    /// `rows` has all columns of the source's table: a schema says so.
    pub(crate) whole_schema: bool,
    pub(crate) unsent: Vec<Option<BooleanBuffer>>,
    pub(crate) other_keys: Option<StructArray>,
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
        self.orders.0.truncate(rows);
        self.partitions.truncate(rows);
        self.offsets.truncate(rows);
        self.positions.truncate(rows);
        self.source_ts_ms.truncate(rows);
        self.snapshots.truncate(rows);
        self.fingerprints.truncate(rows);
    }

    /// Whether a batch cannot hold changes of this source and run beside those it holds.
    pub(crate) fn excludes(&self, source: &Source<'_>, run: Option<&[u8]>) -> bool {
        self.head.as_ref().is_some_and(|head| {
            *head.source != *source.name
                || head.run.as_deref().map(str::as_bytes) != run
                || head.identity.zip(source.identity()).is_some_and(|(a, b)| a != b)
                || self.orders.kind().zip(source.connector.order_kind()).is_some_and(|(a, b)| a != b)
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
        self.orders.push(if streamed { source.order()? } else { None }, source.connector.order_kind());
        self.positions.push(if streamed { source.stream_position() } else { None });
        self.snapshots.push(if streamed { SnapshotPart::None } else { source.snapshot });
        self.ops.push(op);
        self.partitions.push(message.partition);
        self.offsets.push(message.offset);
        self.source_ts_ms.push(source.ts_ms);
        self.fingerprints.push(fingerprint);
        Ok(())
    }

    /// The batch of these changes and rows; `self` is empty afterwards.
    pub(crate) fn finish(&mut self, images: Images) -> Result<ChangeBatch, ArrowError> {
        let room = self.len();
        let orders = self.orders.finish()?;
        let room_for_orders = std::mem::take(&mut self.orders);
        let taken = std::mem::replace(self, Self { orders: room_for_orders, ..Self::with_room(room) });
        let head = taken.head.unwrap_or_else(|| Head { source: "".into(), identity: None, run: None });
        Ok(ChangeBatch {
            topic: images.topic,
            source: head.source,
            identity: head.identity.map(|id| id.to_string().into()),
            run: head.run,
            key_columns: images.key_columns,
            rows: images.rows,
            whole_schema: images.whole_schema,
            ops: taken.ops,
            orders,
            unsent: images.unsent,
            partitions: taken.partitions,
            offsets: taken.offsets,
            positions: taken.positions,
            source_ts_ms: Int64Array::from(taken.source_ts_ms),
            snapshots: taken.snapshots,
            other_keys: images.other_keys,
            fingerprints: taken.fingerprints,
        })
    }

    fn with_room(rows: usize) -> Self {
        Self {
            head: None,
            ops: Vec::with_capacity(rows),
            orders: Orders::default(),
            partitions: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
            positions: Vec::with_capacity(rows),
            source_ts_ms: Vec::with_capacity(rows),
            snapshots: Vec::with_capacity(rows),
            fingerprints: Vec::with_capacity(rows),
        }
    }
}

/// The orders of the changes: of one form, which the first source that has any decides.
#[derive(Debug)]
struct Orders(Column);

impl Default for Orders {
    fn default() -> Self {
        Self(Column::Null(0))
    }
}

impl Orders {
    fn kind(&self) -> Option<OrderKind> {
        OrderKind::of(&self.0.data_type())
    }

    #[inline]
    fn push(&mut self, order: Option<Order>, kind: Option<OrderKind>) {
        if self.0.is_empty() || (kind.is_some() && matches!(self.0, Column::Null(_))) {
            self.retype(kind);
        }
        match (&mut self.0, order) {
            (Column::Int64(column), Some(Order::Long(order))) => column.push(order),
            (Column::Text(column), Some(Order::Lsns(order))) => {
                order.print(column.open());
                column.close();
            }
            (column, _) => column.push_null(),
        }
    }

    /// Nothing but nulls so far: the column becomes one of this kind.
    #[cold]
    fn retype(&mut self, kind: Option<OrderKind>) {
        if self.kind() == kind {
            return;
        }
        let mut column = match kind {
            Some(OrderKind::Long) => Column::Int64(Numbers::default()),
            Some(OrderKind::Text) => Column::Text(Texts::default()),
            None => Column::Null(0),
        };
        (0..self.0.len()).for_each(|_| column.push_null());
        self.0 = column;
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let column = self.0.finish()?;
        Ok(match column.data_type() {
            DataType::Null => Arc::new(Int64Array::new_null(column.len())),
            _ => column,
        })
    }
}

/// Tells two changes at one position apart: XXH3 of key, operation and image, as they stand in the message. The same in every
/// re-delivery, for only the connector's own clock and run differ then.
pub(crate) fn fingerprint<T: AsRef<[u8]> + ?Sized>(key: &T, op: Op, image: &T) -> u64 {
    let letter = op.letter().bytes().next().map_or(0, u64::from);
    let key = XxHash3_64::oneshot_with_seed(letter, key.as_ref());
    XxHash3_64::oneshot_with_seed(key, image.as_ref())
}
