//! [`with_arrivals`]: orders of changes whose source tells no position: the number of their arrival.
//!
//! The number is kept in the checkpoint, so that what is read again from the broker gets none, and what comes later gets a greater
//! one. Snapshot rows are not numbered: they are judged by arrival everywhere.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use hudi_core::change::{ChangeBatch, Op, OrderKind};
use hudi_core::checkpoint::{Checkpoint, Verdict};

use crate::error::{Error, Result};

/// The batch with an order for every new change of the stream. `before` is the checkpoint before the batch, `checkpoint` counts on.
///
/// Positions and arrivals are not compared with one another: a source that changes from one to the other is refused.
pub(crate) fn with_arrivals<'a>(
    batch: &'a ChangeBatch,
    verdicts: &[Verdict],
    before: &Checkpoint,
    checkpoint: &mut Checkpoint,
) -> Result<Cow<'a, ChangeBatch>> {
    if batch.order_kind() == OrderKind::Text {
        return Ok(Cow::Borrowed(batch));
    }
    let told_before = told_positions(before, &batch.source);
    // A truncate without a position says nothing where rows have one.
    let is_numbered = |op: Op| op != Op::Snapshot && !(op == Op::Truncate && told_before);
    let is_new = |row: &usize| verdicts[*row] == Verdict::New && is_numbered(batch.ops[*row]);
    let orders = batch.orders.as_primitive::<Int64Type>();
    let lacks = |row: &usize| is_new(row) && orders.is_null(*row);
    if !told_before {
        refuse_below_arrivals(batch, before, orders, &is_new)?;
    }
    if orders.null_count() == 0 || !(0..orders.len()).any(|row| lacks(&row)) {
        return Ok(Cow::Borrowed(batch));
    }
    if told_before {
        let what = format!("changes of `{}` that tell no position in its log, after such that did", batch.source);
        return Err(Error::refused(what, "they would count as older: let the connector send it (add.fields)"));
    }
    let mut number = |row: usize| {
        if !lacks(&row) {
            return orders.is_valid(row).then(|| orders.value(row));
        }
        checkpoint.arrivals += 1;
        i64::try_from(checkpoint.arrivals).ok()
    };
    let numbered: Int64Array = (0..orders.len()).map(&mut number).collect();
    Ok(Cow::Owned(ChangeBatch { orders: Arc::new(numbered), ..batch.clone() }))
}

/// Whether a change of the source told its position.
fn told_positions(before: &Checkpoint, source: &str) -> bool {
    let marks = before.sources.get(source).into_iter().flat_map(|state| state.marks.values());
    marks.into_iter().any(|mark| mark.mark.is_some())
}

/// Refuses positions of a source whose changes were numbered so far, as far as they are no greater than those numbers.
fn refuse_below_arrivals(
    batch: &ChangeBatch,
    before: &Checkpoint,
    orders: &Int64Array,
    is_new: &dyn Fn(&usize) -> bool,
) -> Result<()> {
    if before.arrivals == 0 || !before.topics.contains_key(&*batch.topic) {
        return Ok(());
    }
    let arrivals = i64::try_from(before.arrivals).unwrap_or(i64::MAX);
    let below = |row: &usize| is_new(row) && orders.is_valid(*row) && orders.value(*row) <= arrivals;
    match (0..orders.len()).find(below) {
        Some(row) => {
            let what = format!("a position in the log of `{}`, {}", batch.source, batch.origin(row));
            Err(Error::refused(
                what,
                "earlier changes were ordered by arrival, and would count as newer: make the table anew",
            ))
        }
        None => Ok(()),
    }
}
