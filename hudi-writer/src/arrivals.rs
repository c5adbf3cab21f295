//! [`with_arrivals`]: orders of changes whose source tells no position: the number of their arrival.
//!
//! The number is kept in the checkpoint, so that what is read again from the broker gets none, and what comes later gets a greater
//! one. Snapshot rows are not numbered: they are judged by arrival everywhere.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use hudi_core::change::{ChangeBatch, Op};
use hudi_core::checkpoint::{Checkpoint, Verdict};

use crate::error::{Error, Result};

/// The batch with an order for every new change of the stream. `before` is the checkpoint before the batch, `checkpoint` counts on.
///
/// Positions and arrivals are not compared with one another: a source that changes from one to the other is refused. Only a
/// delete may tell no position where others do, as it may come as nothing but a key: it is judged by arrival, and has none.
pub(crate) fn with_arrivals<'a>(
    batch: &'a ChangeBatch,
    verdicts: &[Verdict],
    before: &Checkpoint,
    checkpoint: &mut Checkpoint,
) -> Result<Cow<'a, ChangeBatch>> {
    let is_new = |row: usize| verdicts[row] == Verdict::New && batch.ops[row] != Op::Snapshot;
    let tells = |row: usize| is_new(row) && batch.orders.is_valid(row);
    let told_before = told_order(before, &batch.source);
    if !told_before {
        refuse_below_arrivals(batch, before, &tells)?;
        if (0..batch.num_rows()).any(tells) {
            checkpoint.sources.entry(batch.source.to_string()).or_default().ordered = true;
        }
    }
    let Some(orders) = batch.orders.as_primitive_opt::<Int64Type>().filter(|orders| orders.null_count() > 0) else {
        return Ok(Cow::Borrowed(batch));
    };
    let mut told = told_before;
    let mut number = |row: usize| {
        told |= tells(row);
        match batch.ops[row] {
            _ if !is_new(row) || orders.is_valid(row) => Ok(orders.is_valid(row).then(|| orders.value(row))),
            Op::Delete | Op::Truncate if told => Ok(None),
            _ if told => Err(untold(batch, row)),
            _ => {
                checkpoint.arrivals += 1;
                Ok(i64::try_from(checkpoint.arrivals).ok())
            }
        }
    };
    let numbered = (0..orders.len()).map(&mut number).collect::<Result<Int64Array>>()?;
    Ok(Cow::Owned(ChangeBatch { orders: Arc::new(numbered), ..batch.clone() }))
}

/// Whether a change of the source told what orders it.
fn told_order(before: &Checkpoint, source: &str) -> bool {
    before
        .sources
        .get(source)
        .is_some_and(|state| state.ordered || state.marks.values().any(|mark| mark.mark.is_some()))
}

fn untold(batch: &ChangeBatch, row: usize) -> Error {
    let what = format!(
        "{}, a change of `{}` that tells no position in its log, after such that did",
        batch.origin(row),
        batch.source
    );
    Error::refused(what, "it would count as older: let the connector send it (add.fields)")
}

/// Refuses positions of a source whose changes were numbered so far, as far as they are no greater than those numbers.
fn refuse_below_arrivals(batch: &ChangeBatch, before: &Checkpoint, tells: &dyn Fn(usize) -> bool) -> Result<()> {
    let Some(orders) = batch.orders.as_primitive_opt::<Int64Type>() else { return Ok(()) };
    if before.arrivals == 0 || !before.topics.contains_key(&*batch.topic) {
        return Ok(());
    }
    let arrivals = i64::try_from(before.arrivals).unwrap_or(i64::MAX);
    match (0..orders.len()).find(|row| tells(*row) && orders.value(*row) <= arrivals) {
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
