//! What a decoder hands over: [`ChangeBatch`], the changes of one topic as Arrow columns, and [`Op`], [`StreamPosition`].
//!
//! A decoder never invents a value: *null*, *not sent* and *sent* stay apart until the writer has the stored row.
//! Not here: which of two changes wins ([`crate::merge`]), and what was already committed ([`crate::checkpoint`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StructArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The columns that we add to the source's own.
pub mod columns {
    /// The operation that made the row what it is: `c`, `u` or `r`; `d` and `t` in tables that keep deleted rows. Text.
    pub const OP: &str = "_cdc_op";
    /// Orders the changes of one row, epoch included: the table's ordering field. `long`, or padded text.
    pub const ORDER: &str = "_cdc_order";
    /// When the source committed the change, as it says. Timestamp in microseconds, UTC.
    pub const SOURCE_TS: &str = "_cdc_source_ts";
    /// What tells a change from all others: the record key of tables that keep every change. Text.
    pub const CHANGE: &str = "_cdc_change";
    /// The columns that the source did not send, in tables that keep every change; null: none. Text, names with commas between.
    pub const UNSENT: &str = "_cdc_unsent";

    /// What the names of all of these begin with. No column of the source is named so.
    pub const PREFIX: &str = "_cdc_";

    /// Whether the column is one of ours.
    #[must_use]
    pub fn is_ours(name: &str) -> bool {
        name.starts_with(PREFIX)
    }
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The source inserted the row.
    Insert,
    /// The source updated the row.
    Update,
    /// The source inserted or updated the row; nobody says which. Where a column counts as unsent, the image holds what its value is
    /// if there is no row to take it from: the row is new then.
    Upsert,
    /// The source deleted the row: the image holds the key, and what the source sent of the old row.
    Delete,
    /// The source's snapshot read the row, full or incremental. Judged by arrival: its position lies.
    Snapshot,
    /// The source emptied its table. Speaks of no row: every column of the image is null, and none counts as unsent.
    Truncate,
}

impl Op {
    /// The letter that stands in the column `_cdc_op`: Debezium's own.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Insert => "c",
            Self::Update | Self::Upsert => "u",
            Self::Delete => "d",
            Self::Snapshot => "r",
            Self::Truncate => "t",
        }
    }
}

/// A place in the source's stream order: that in which its connector sends changes of *all* rows.
///
/// Compared as a whole. PostgreSQL: last commit LSN (64), LSN (64), 0. Binlog: file number (64), position (64), row (64).
/// Printed as 48 hexadecimal digits, which compare as the value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPosition(pub [u64; 3]);

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0;
        write!(f, "{a:016x}{b:016x}{c:016x}")
    }
}

impl StreamPosition {
    /// Reads what [`Display`](fmt::Display) printed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 48 || !text.is_ascii() {
            return None;
        }
        let word = |i: usize| u64::from_str_radix(text.get(i * 16..(i + 1) * 16)?, 16).ok();
        Some(Self([word(0)?, word(1)?, word(2)?]))
    }
}

/// Where one change came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition of the topic.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// The form of the column `_cdc_order`; fixed when the table is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// 64 bits: the epoch in the top 7 (below the sign), the source's position in 56.
    Long,
    /// ASCII of one fixed width, zero-padded, the epoch first.
    Text,
}

impl OrderKind {
    /// The Arrow type of the column.
    #[must_use]
    pub const fn data_type(self) -> DataType {
        match self {
            Self::Long => DataType::Int64,
            Self::Text => DataType::Utf8,
        }
    }

    /// The kind that a column of this type is of.
    #[must_use]
    pub const fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Int64 => Some(Self::Long),
            DataType::Utf8 => Some(Self::Text),
            _ => None,
        }
    }
}

/// The largest position that an [`OrderKind::Long`] can hold beside its epoch.
pub const MAX_LONG_POSITION: i64 = (1 << 56) - 1;

/// Which of the source's snapshots read a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SnapshotPart {
    /// None: the change is of the stream.
    #[default]
    None,
    /// A full one, of the whole table.
    Full,
    /// A full one, and of this table it is the last row.
    FullLast,
    /// An incremental one, which goes on beside the stream.
    Incremental,
}

/// Changes of one topic, one source and one run of its connector, in the order of their arrival.
///
/// Row `i` of every member speaks of the same change. One message may give two rows (a changed key: delete, insert).
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    /// The topic that the changes came by.
    pub topic: Arc<str>,
    /// The source's own name (Debezium's `source.name`).
    pub source: Arc<str>,
    /// Who the source says it is (its server identity), where that can change under one name.
    pub identity: Option<Arc<str>>,
    /// The run of the connector that sent the changes, where it says so.
    pub run: Option<Arc<str>>,
    /// The columns that the source calls the row's key; empty where it has none, or where so far only truncates came.
    pub key_columns: Vec<String>,
    /// The row images: the source's own columns, named and typed as the table will have them. All nullable.
    pub rows: RecordBatch,
    /// Whether `rows` has all columns of the source's table, so that the source dropped those that are missing. `false` where columns
    /// are known from values only.
    pub whole_schema: bool,
    /// What happened.
    pub ops: Vec<Op>,
    /// Orders the changes of one row: `Int64` of at most 56 bits, or `Utf8`; without epoch. Null: judged by arrival.
    pub orders: ArrayRef,
    /// For each column of `rows`: the rows in which the source did *not send* the column. `None`: sent in every row.
    pub unsent: Vec<Option<BooleanBuffer>>,
    /// The partition of each change.
    pub partitions: Vec<i32>,
    /// The offset of each change.
    pub offsets: Vec<i64>,
    /// The place of each change in the source's stream order, where it has one.
    pub positions: Vec<Option<StreamPosition>>,
    /// When the source committed the change, in milliseconds since 1970 UTC.
    pub source_ts_ms: Int64Array,
    /// Which snapshot read the row.
    pub snapshots: Vec<SnapshotPart>,
    /// Where a row's key changed, its other one: for a delete the key that the row has from then on, for an insert the key that it
    /// had. Null where it did not; `None` where no row's did. The columns are `key_columns`, typed as in `rows`.
    pub other_keys: Option<StructArray>,
    /// A hash of key, operation and image: tells two changes at one position apart. The same in every re-delivery.
    pub fingerprints: Vec<u64>,
}

impl ChangeBatch {
    /// Checks that all members speak of the same rows.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the member whose length or type differs.
    pub fn validate(&self) -> Result<()> {
        let rows = self.rows.num_rows();
        let lengths = [
            ("ops", self.ops.len()),
            ("orders", self.orders.len()),
            ("partitions", self.partitions.len()),
            ("offsets", self.offsets.len()),
            ("positions", self.positions.len()),
            ("source_ts_ms", self.source_ts_ms.len()),
            ("snapshots", self.snapshots.len()),
            ("other_keys", self.other_keys.as_ref().map_or(rows, Array::len)),
            ("fingerprints", self.fingerprints.len()),
        ];
        let corrupt = |reason: String| Error::Corrupt { what: format!("change batch of {}", self.topic), reason };
        if let Some((name, length)) = lengths.into_iter().find(|(_, length)| *length != rows) {
            return Err(corrupt(format!("`{name}` has {length} entries for {rows} rows")));
        }
        if self.unsent.len() != self.rows.num_columns() {
            return Err(corrupt(format!("{} masks for {} columns", self.unsent.len(), self.rows.num_columns())));
        }
        let keys = self.other_keys.iter().flat_map(|keys| keys.column_names());
        if let Some(other) = keys.into_iter().find(|name| !self.key_columns.iter().any(|key| key == name)) {
            return Err(corrupt(format!("`other_keys` has the column {other}: want {:?}", self.key_columns)));
        }
        if OrderKind::of(self.orders.data_type()).is_none() {
            return Err(corrupt(format!("`orders` is {}: want Int64 or Utf8", self.orders.data_type())));
        }
        Ok(())
    }

    /// Whether a change speaks of a row, so that `key_columns` say what its key is: not so where all are truncates.
    #[must_use]
    pub fn speaks_of_rows(&self) -> bool {
        self.ops.iter().any(|op| *op != Op::Truncate)
    }

    /// The number of changes.
    #[must_use]
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// The changes for which the mask holds, in their order.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the mask is of another length.
    pub fn retained(&self, holds: &BooleanArray) -> Result<Self> {
        let failed =
            |e: arrow::error::ArrowError| Error::corrupt(format!("change batch of {}", self.topic), e.to_string());
        let kept: Vec<usize> = (0..holds.len()).filter(|row| holds.is_valid(*row) && holds.value(*row)).collect();
        let mask = |mask: &BooleanBuffer| -> BooleanBuffer { kept.iter().map(|row| mask.value(*row)).collect() };
        let other_keys = self.other_keys.as_ref().map(|keys| filter(keys, holds)).transpose().map_err(failed)?;
        Ok(Self {
            topic: Arc::clone(&self.topic),
            source: Arc::clone(&self.source),
            identity: self.identity.clone(),
            run: self.run.clone(),
            key_columns: self.key_columns.clone(),
            rows: filter_record_batch(&self.rows, holds).map_err(failed)?,
            whole_schema: self.whole_schema,
            ops: taken(&self.ops, &kept),
            orders: filter(&self.orders, holds).map_err(failed)?,
            unsent: self.unsent.iter().map(|unsent| unsent.as_ref().map(mask)).collect(),
            partitions: taken(&self.partitions, &kept),
            offsets: taken(&self.offsets, &kept),
            positions: taken(&self.positions, &kept),
            source_ts_ms: kept.iter().map(|row| self.source_time_ms(*row)).collect(),
            snapshots: taken(&self.snapshots, &kept),
            other_keys: other_keys.and_then(|keys| keys.as_struct_opt().cloned()),
            fingerprints: taken(&self.fingerprints, &kept),
        })
    }

    /// When the source committed the change of row `row`, in milliseconds since 1970 UTC.
    #[must_use]
    pub fn source_time_ms(&self, row: usize) -> Option<i64> {
        self.source_ts_ms.is_valid(row).then(|| self.source_ts_ms.value(row))
    }

    /// Bytes that the batch holds in memory, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.rows.get_array_memory_size() + self.orders.get_array_memory_size() + self.num_rows() * 64
    }

    /// Where row `row` came from.
    #[must_use]
    pub fn origin(&self, row: usize) -> Origin {
        Origin { topic: Arc::clone(&self.topic), partition: self.partitions[row], offset: self.offsets[row] }
    }

    /// The kind of `orders`; `Long` unless it is text.
    #[must_use]
    pub fn order_kind(&self) -> OrderKind {
        OrderKind::of(self.orders.data_type()).unwrap_or(OrderKind::Long)
    }
}

fn taken<T: Copy>(all: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|row| all[*row]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_position_is_read_back_and_orders_as_its_text() {
        let positions = [[0, 0, 0], [0, 1, 9], [1, 0, 0], [u64::MAX, 0, 7]].map(StreamPosition);
        for pair in positions.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].to_string() < pair[1].to_string());
        }
        for position in positions {
            assert_eq!(StreamPosition::parse(&position.to_string()), Some(position));
        }
        assert_eq!(StreamPosition::parse("12"), None);
    }
}
