//! [`Waiting`]: inserts of moved rows that lack columns which stand nowhere yet, and what came for the same keys since.
//!
//! The old key's row may come by another partition that is read later, or by another process. Until then such changes are no
//! part of any commit: they are put off into the row memory, and join the changes of each commit that follows, as if they came
//! with it. Not here: which those are ([`super::trace`], [`super::follow`]).

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use hudi_core::change::{Op, OrderKind, Origin, columns};
use hudi_core::dead_letter::{DeadLetter, Original, Stage};
use hudi_core::merge::Orders;
use serde::{Deserialize, Serialize};

use super::ids::{order_of_text, order_text};
use super::memory::{RowMemory, Window};
use crate::changes::{ChangeSet, OriginRun, OtherKeys, Spot};
use crate::error::{Error, Result};
use crate::file::align;
use crate::truncation::Truncation;

/// A change that waits, but for its columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    op: Op,
    /// The order, epoch included, as text; empty where it is judged by arrival.
    order: String,
    own: Spot,
    /// The other key of a row whose key changed.
    other: Option<Spot>,
    /// The columns that were not sent.
    unsent: Vec<String>,
    /// When it was put off first, by our clock, in milliseconds since 1970 UTC.
    at_ms: i64,
    topic: String,
    partition: i32,
    offset: i64,
    /// Its message, as a line of dead letters would hold it.
    message: Option<String>,
}

/// The changes of a commit, with those that waited before them.
#[derive(Debug)]
pub(crate) struct Rejoined {
    pub(crate) changes: Arc<ChangeSet>,
    /// Those that waited: the first changes.
    pub(crate) waited: Vec<Waiting>,
    /// Those that have waited for as long as they may.
    pub(crate) overdue: HashSet<u32>,
    /// How many do not wait any more as a truncate covers them.
    covered: usize,
}

fn failed() -> impl FnOnce(arrow::error::ArrowError) -> Error {
    Error::columns("join", "changes that waited")
}

impl Waiting {
    /// Its message, if it was at hand when it was put off.
    pub(crate) fn original(&self) -> Option<Original> {
        self.message.as_deref().and_then(|line| DeadLetter::from_json_line(line).ok()).map(|letter| letter.original)
    }

    pub(crate) fn is_from(&self, origin: &Origin) -> bool {
        (&*self.topic, self.partition, self.offset) == (&*origin.topic, origin.partition, origin.offset)
    }
}

impl RowMemory {
    /// The changes of a commit, after those that wait for it.
    pub(crate) fn rejoin(
        &self,
        changes: ChangeSet,
        truncation: Option<&Truncation>,
        window: Window,
        now_ms: i64,
    ) -> Result<Rejoined> {
        let (kind, rows) = match (&changes.orders, &self.waiting_rows) {
            (_, None) => {
                let changes = Arc::new(changes);
                return Ok(Rejoined { changes, waited: vec![], overdue: HashSet::new(), covered: 0 });
            }
            (Orders::Long(_), Some(rows)) => (OrderKind::Long, rows),
            (Orders::Text(_), Some(rows)) => (OrderKind::Text, rows),
        };
        let times = rows.column_by_name(columns::SOURCE_TS);
        let times = times.and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        let time = |row: usize| times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
        let is_covered = |row: usize| {
            truncation.is_some_and(|of| of.covers(order_of_text(&self.waiting[row].order, kind), time(row)))
        };
        let kept: Vec<u32> = (0..self.waiting.len() as u32).filter(|row| !is_covered(*row as usize)).collect();
        let waited: Vec<Waiting> = kept.iter().map(|row| self.waiting[*row as usize].clone()).collect();
        let covered = self.waiting.len() - waited.len();
        // The oldest stand first.
        let excess = waited.len().saturating_sub(window.rows) as u32;
        let oldest = now_ms.saturating_sub(window.age_ms);
        let is_overdue = |(row, waited): &(u32, &Waiting)| *row < excess || waited.at_ms < oldest;
        let overdue = (0..).zip(&waited).filter(is_overdue).map(|(row, _)| row).collect();
        let rows = take_record_batch(rows, &UInt32Array::from(kept)).map_err(failed())?;
        let rows = align(&rows, changes.columns.schema_ref(), "row memory")?;
        let changes = if waited.is_empty() { changes } else { joined(&waited, &rows, &changes, kind)? };
        Ok(Rejoined { changes: Arc::new(changes), waited, overdue, covered })
    }

    /// The same, with these changes of a commit as those that wait; `None`: they are those that waited before. Their columns and
    /// those of remembered rows are in the columns of the changes.
    pub(crate) fn putting_off(
        &self,
        all: &Rejoined,
        put_off: &[u32],
        now_ms: i64,
        original: &dyn Fn(&Origin) -> Option<Original>,
    ) -> Result<Option<Self>> {
        let waited = all.waited.len() as u32;
        if all.covered == 0 && put_off.iter().copied().eq(0..waited) {
            return Ok(None);
        }
        let Rejoined { changes, .. } = all;
        let wait = |change: &u32| match all.waited.get(*change as usize) {
            Some(waited) => Ok(waited.clone()),
            None => waiting(changes, *change, now_ms, original),
        };
        let waiting = put_off.iter().map(wait).collect::<Result<Vec<Waiting>>>()?;
        let taken = take_record_batch(&changes.columns, &UInt32Array::from(put_off.to_vec())).map_err(failed())?;
        let waiting_rows = Some(taken).filter(|_| !waiting.is_empty());
        Ok(Some(Self { waiting, waiting_rows, ..self.clone() }))
    }

    /// The same, with all rows in these columns.
    pub(crate) fn in_columns(self, columns: &SchemaRef) -> Result<Self> {
        let aligned = |rows: Option<RecordBatch>| rows.map(|rows| align(&rows, columns, "row memory")).transpose();
        Ok(Self { rows: aligned(self.rows)?, waiting_rows: aligned(self.waiting_rows)?, ..self })
    }
}

/// A change that is put off.
fn waiting(
    changes: &ChangeSet,
    change: u32,
    now_ms: i64,
    original: &dyn Fn(&Origin) -> Option<Original>,
) -> Result<Waiting> {
    let row = change as usize;
    let origin = changes.origins.of(change).ok_or_else(|| Error::corrupt("changes", "a change without an origin"))?;
    let schema = changes.columns.schema_ref();
    let was_not_sent = |mask: &Option<BooleanBuffer>| mask.as_ref().is_some_and(|mask| mask.value(row));
    let unsent = changes.unsent.iter().enumerate().filter(|(_, mask)| was_not_sent(mask));
    let unsent = unsent.map(|(column, _)| schema.field(column).name().clone()).collect();
    let letter = |original| DeadLetter { stage: Stage::Write, reason: String::new(), original }.to_json_line();
    Ok(Waiting {
        op: changes.ops[row],
        order: order_text(changes.orders.value(row)).into_owned(),
        own: changes.spot(change, false).to_spot(),
        other: changes.other_spot(change).map(|spot| spot.to_spot()),
        unsent,
        at_ms: now_ms,
        message: original(&origin).map(letter),
        topic: origin.topic.to_string(),
        partition: origin.partition,
        offset: origin.offset,
    })
}

/// One change set of those that waited and those that came.
fn joined(waited: &[Waiting], rows: &RecordBatch, came: &ChangeSet, kind: OrderKind) -> Result<ChangeSet> {
    let first = waited.len();
    let schema = came.columns.schema();
    let orders: ArrayRef = match kind {
        OrderKind::Long => Arc::new(waited.iter().map(|w| w.order.parse::<i64>().ok()).collect::<Int64Array>()),
        OrderKind::Text => {
            let told = |w: &Waiting| Some(w.order.clone()).filter(|order| !order.is_empty());
            Arc::new(waited.iter().map(told).collect::<StringArray>())
        }
    };
    let orders = match &came.orders {
        Orders::Long(long) => concat(&[&*orders, long]),
        Orders::Text(text) => concat(&[&*orders, text]),
    };
    let orders = orders.map_err(failed())?;
    let orders = Orders::of(&orders).ok_or_else(|| Error::corrupt(columns::ORDER, "neither long nor text"))?;
    let text = |of: &dyn Fn(&Waiting) -> Option<String>, came: &StringArray| -> StringArray {
        waited.iter().map(of).chain(came.iter().map(|text| text.map(str::to_owned))).collect()
    };
    let unsent = came.unsent.iter().enumerate().map(|(column, mask)| {
        let name = schema.field(column).name();
        let mut all: Vec<bool> = waited.iter().map(|waited| waited.unsent.contains(name)).collect();
        match mask {
            Some(mask) => all.extend(mask),
            None if all.contains(&true) => all.resize(first + came.ops.len(), false),
            None => return None,
        }
        Some(BooleanBuffer::from(all))
    });
    let none = || -> StringArray { came.ops.iter().map(|_| None::<&str>).collect() };
    let others = came.others.clone().unwrap_or_else(|| OtherKeys { keys: none(), partitions: none() });
    let run = |waited: &Waiting| OriginRun {
        topic: waited.topic.as_str().into(),
        partitions: vec![waited.partition],
        offsets: vec![waited.offset],
    };
    let none_is_old = |old: &BooleanBuffer| std::iter::repeat_n(false, first).chain(old).collect();
    Ok(ChangeSet {
        columns: concat_batches(&schema, [rows, &came.columns]).map_err(failed())?,
        keys: text(&|waited| Some(waited.own.key.clone()), &came.keys),
        partitions: text(&|waited| Some(waited.own.partition.clone()), &came.partitions),
        ops: waited.iter().map(|waited| waited.op).chain(came.ops.iter().copied()).collect(),
        orders,
        unsent: unsent.collect(),
        others: Some(OtherKeys {
            keys: text(&|waited| waited.other.as_ref().map(|spot| spot.key.clone()), &others.keys),
            partitions: text(&|waited| waited.other.as_ref().map(|spot| spot.partition.clone()), &others.partitions),
        }),
        old: came.old.as_ref().map(none_is_old),
        origins: came.origins.after(waited.iter().map(run)),
        covered: came.covered,
        mark: came.mark.map(|mark| mark + first as u32),
    })
}

#[cfg(test)]
impl Waiting {
    /// One with something in every member.
    pub(super) fn sample() -> Self {
        let spot = |key: &str| Spot { partition: "p=1".to_owned(), key: key.to_owned() };
        Self {
            op: Op::Insert,
            order: "7".to_owned(),
            own: spot("b"),
            other: Some(spot("a")),
            unsent: vec!["text".to_owned()],
            at_ms: 8,
            topic: "t".to_owned(),
            partition: 1,
            offset: 9,
            message: Some("{}".to_owned()),
        }
    }
}
