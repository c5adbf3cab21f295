//! [`Truncation`]: a source emptied its table. Which rows it covers, and which truncates of a batch are new.
//!
//! A row is covered if its order is below the truncate's and its source time is not later: rows of a snapshot, whose order is
//! the lowest, survive if they were read later. Whether the row came before or after the truncate does not matter. Not here: what becomes
//! of stored rows ([`crate::clearing`]).

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};
use hudi_core::change::{ChangeBatch, Op, OrderKind, columns};
use hudi_core::checkpoint::{Checkpoint, Judged, TruncatedAt, Verdict};
use hudi_core::merge::{OrderValue, Orders};

use crate::error::{Error, Result};
use crate::orders::with_epochs;

/// The moment at which a source emptied its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truncation {
    order: Order,
    /// Microseconds since 1970 UTC.
    source_time: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    Long(i64),
    Text(String),
}

/// What the truncates of a batch come to.
#[derive(Debug, Default)]
pub(crate) struct Truncates {
    /// One of them is above those that the table knows.
    pub(crate) any_new: bool,
    /// The rows of those that cannot be followed, with the reason.
    pub(crate) refused: BTreeMap<usize, String>,
}

impl Truncation {
    /// The last one of a source, as the checkpoint remembers it.
    pub(crate) fn of(checkpoint: &Checkpoint, source: &str, kind: OrderKind) -> Result<Option<Self>> {
        let Some(at) = checkpoint.sources.get(source).and_then(|state| state.truncated_at.as_ref()) else {
            return Ok(None);
        };
        let order = match kind {
            OrderKind::Text => Order::Text(at.order.clone()),
            OrderKind::Long => {
                let broken = |_| Error::corrupt("checkpoint", "the order of a truncate is no whole number");
                Order::Long(at.order.parse().map_err(broken)?)
            }
        };
        Ok(Some(Self { order, source_time: at.ts_ms.map(micros) }))
    }

    /// Its order, epoch included.
    pub(crate) fn order(&self) -> OrderValue<'_> {
        match &self.order {
            Order::Long(order) => OrderValue::Long(*order),
            Order::Text(order) => OrderValue::Text(order),
        }
    }

    /// Its time at the source, in microseconds since 1970 UTC.
    pub(crate) fn source_time(&self) -> Option<i64> {
        self.source_time
    }

    /// Whether a row of this order and this source time (microseconds) is covered.
    pub(crate) fn covers(&self, order: OrderValue<'_>, source_time: Option<i64>) -> bool {
        let is_later = self.source_time.zip(source_time).is_some_and(|(truncated, row)| row > truncated);
        order < self.order() && !is_later
    }
}

/// Notes the truncates of a batch in the checkpoint. Those at or below the last one that it knows are passed over.
pub(crate) fn note_truncates(batch: &ChangeBatch, judged: &Judged, checkpoint: &mut Checkpoint) -> Result<Truncates> {
    let mut truncates = Truncates::default();
    let is_new = |row: &usize| batch.ops[*row] == Op::Truncate && judged.verdicts[*row] == Verdict::New;
    let rows: Vec<usize> = (0..batch.num_rows()).filter(is_new).collect();
    if rows.is_empty() {
        return Ok(truncates);
    }
    let orders = with_epochs(&batch.orders, &judged.epochs)?;
    for row in rows {
        match order_at(&orders, row)? {
            _ if checkpoint.sources.keys().any(|source| *source != *batch.source) => {
                let reason =
                    "a truncate of one of several sources that feed the table: which rows are its own is not known";
                truncates.refused.insert(row, reason.to_owned());
            }
            None => drop(truncates.refused.insert(row, "a truncate without a position: want one".to_owned())),
            Some(order) => {
                let ts_ms = batch.source_ts_ms.is_valid(row).then(|| batch.source_ts_ms.value(row));
                truncates.any_new |= note(checkpoint, batch, order, ts_ms)?;
            }
        }
    }
    Ok(truncates)
}

/// Whether the truncate is above the last one that the checkpoint knows; it is the last one then.
fn note(checkpoint: &mut Checkpoint, batch: &ChangeBatch, order: Order, ts_ms: Option<i64>) -> Result<bool> {
    let last = Truncation::of(checkpoint, &batch.source, batch.order_kind())?;
    let this = Truncation { order, source_time: ts_ms.map(micros) };
    if last.is_some_and(|last| this.order() <= last.order()) {
        return Ok(false);
    }
    let order = match this.order {
        Order::Long(order) => order.to_string(),
        Order::Text(order) => order,
    };
    let state = checkpoint.sources.entry(batch.source.to_string()).or_default();
    state.truncated_at = Some(TruncatedAt { order, ts_ms });
    Ok(true)
}

fn order_at(orders: &ArrayRef, row: usize) -> Result<Option<Order>> {
    let orders = Orders::of(orders).ok_or_else(|| Error::corrupt(columns::ORDER, "neither long nor text"))?;
    Ok(match orders.value(row) {
        OrderValue::Lowest => None,
        OrderValue::Long(order) => Some(Order::Long(order)),
        OrderValue::Text(order) => Some(Order::Text(order.to_owned())),
    })
}

/// Milliseconds as microseconds.
pub(crate) fn micros(ms: i64) -> i64 {
    ms.saturating_mul(1000)
}
