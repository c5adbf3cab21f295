//! [`left_of`]: which stored rows a truncate covers, file by file.
//!
//! Statistics decide where they can; else the two columns that tell are read. Not here: how a file group without survivors is
//! replaced, and one with some is rewritten.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use hudi_core::change::{Op, columns};
use hudi_core::merge::{OrderValue, Orders};

use crate::compute::Compute;
use crate::error::{Error, Result};
use crate::file::{BaseFileFooter, BatchSink, Bounds, scan};
use crate::store::TableStore;
use crate::truncation::Truncation;

/// What a truncate leaves of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All rows.
    All,
    /// All but these, by their number, in ascending order.
    Without(Vec<u64>),
    /// None.
    Nothing,
}

/// What the truncate leaves of a base file. Where deleted rows are kept, those are left alone that are deleted already, and nothing
/// is left of no file.
pub(crate) async fn left_of(
    store: &TableStore,
    compute: &Compute,
    footer: &BaseFileFooter,
    truncation: &Truncation,
    keeps_deleted: bool,
) -> Result<Left> {
    let by_bounds = left_by_bounds(footer, truncation);
    if let Some(left) = by_bounds.filter(|left| !keeps_deleted || *left == Left::All) {
        return Ok(left);
    }
    let (truncation, path) = (truncation.clone(), footer.path.clone());
    let sink = Covered { truncation, keeps_deleted, path, next_row: 0, rows: vec![] };
    let wanted = [columns::ORDER, columns::SOURCE_TS, columns::OP];
    let wanted = &wanted[..if keeps_deleted { 3 } else { 2 }];
    let covered = scan(store, footer, Some(wanted), compute, sink, None).await?.rows;
    Ok(match covered.len() as u64 {
        0 => Left::All,
        rows if rows == footer.rows() && !keeps_deleted => Left::Nothing,
        _ => Left::Without(covered),
    })
}

/// What the statistics of the file tell, if they tell it all.
fn left_by_bounds(footer: &BaseFileFooter, truncation: &Truncation) -> Option<Left> {
    let orders = footer.bounds(columns::ORDER)?;
    let times = footer.bounds(columns::SOURCE_TS)?;
    let groups = || orders.iter().zip(&times);
    if orders.is_empty() || groups().all(|(order, time)| all_survive(order, time, truncation)) {
        return Some(Left::All);
    }
    groups().all(|(order, time)| none_survives(order, time, truncation)).then_some(Left::Nothing)
}

fn all_survive(order: &Bounds, time: &Bounds, truncation: &Truncation) -> bool {
    let above = match order {
        Bounds::AllNull => false,
        Bounds::Long { least, has_nulls, .. } => !has_nulls && OrderValue::Long(*least) >= truncation.order(),
        Bounds::Text { least, has_nulls, .. } => !has_nulls && OrderValue::Text(least) >= truncation.order(),
    };
    let later = match (time, truncation.source_time()) {
        (Bounds::Long { least, has_nulls, .. }, Some(truncated)) => !has_nulls && *least > truncated,
        _ => false,
    };
    above || later
}

fn none_survives(order: &Bounds, time: &Bounds, truncation: &Truncation) -> bool {
    let below = match order {
        Bounds::AllNull => true,
        Bounds::Long { greatest, .. } => OrderValue::Long(*greatest) < truncation.order(),
        Bounds::Text { greatest, .. } => OrderValue::Text(greatest) < truncation.order(),
    };
    let not_later = match (time, truncation.source_time()) {
        (Bounds::AllNull, _) | (_, None) => true,
        (Bounds::Long { greatest, .. }, Some(truncated)) => *greatest <= truncated,
        (Bounds::Text { .. }, Some(_)) => false,
    };
    below && not_later
}

/// What stands in the column `_cdc_op` of rows that are deleted.
const DELETED: [&str; 2] = [Op::Delete.letter(), Op::Truncate.letter()];

/// Collects the rows that the truncate covers.
struct Covered {
    truncation: Truncation,
    keeps_deleted: bool,
    path: String,
    next_row: u64,
    rows: Vec<u64>,
}

impl BatchSink for Covered {
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let orders = batch.column_by_name(columns::ORDER).and_then(|column| Orders::of(column));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let times = batch.column_by_name(columns::SOURCE_TS).map(|column| cast(column, &micros));
        let times = times.transpose().map_err(Error::columns("read the times of", &self.path))?;
        let times = times.as_ref().map(|times| times.as_primitive::<TimestampMicrosecondType>());
        let letters = batch.column_by_name(columns::OP).filter(|_| self.keeps_deleted);
        let letters = letters.and_then(|letters| letters.as_string_opt::<i32>());
        for row in 0..batch.num_rows() {
            let order = orders.as_ref().map_or(OrderValue::Lowest, |orders| orders.value(row));
            let time = times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
            let is_deleted =
                letters.is_some_and(|letters| letters.is_valid(row) && DELETED.contains(&letters.value(row)));
            if self.truncation.covers(order, time) && !is_deleted {
                self.rows.push(self.next_row + row as u64);
            }
        }
        self.next_row += batch.num_rows() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hudi_core::change::OrderKind;
    use hudi_core::checkpoint::{Checkpoint, TruncatedAt};

    fn truncation(order: &str, ts_ms: Option<i64>, kind: OrderKind) -> Truncation {
        let at = TruncatedAt { order: order.to_owned(), ts_ms };
        let mut checkpoint = Checkpoint::default();
        checkpoint.sources.entry("s".to_owned()).or_default().truncated_at = Some(at);
        Truncation::of(&checkpoint, "s", kind).unwrap().unwrap()
    }

    /// Whether statistics say that (all, no) rows survive, by the truncate's time.
    fn told(order: &Bounds, time: &Bounds, at: &Truncation) -> (bool, bool) {
        (all_survive(order, time, at), none_survives(order, time, at))
    }

    fn long(least: i64, greatest: i64, has_nulls: bool) -> Bounds {
        Bounds::Long { least, greatest, has_nulls }
    }

    #[test]
    fn statistics_tell_only_what_holds_for_every_row() {
        let at = truncation("100", Some(7), OrderKind::Long);
        let before = long(0, 7000, false);
        assert_eq!(told(&long(1, 99, false), &before, &at), (false, true));
        assert_eq!(told(&long(1, 99, true), &long(0, 7000, true), &at), (false, true));
        assert_eq!(told(&long(1, 100, false), &before, &at), (false, false));
        assert_eq!(told(&long(100, 200, false), &before, &at), (true, false));
        assert_eq!(told(&long(100, 200, true), &before, &at), (false, false));
        assert_eq!(told(&long(1, 99, false), &long(7001, 8000, false), &at), (true, false));
        assert_eq!(told(&long(1, 99, false), &long(7000, 8000, false), &at), (false, false));
        assert_eq!(told(&long(1, 99, false), &long(7001, 8000, true), &at), (false, false));
        assert_eq!(told(&Bounds::AllNull, &Bounds::AllNull, &at), (false, true));
    }

    #[test]
    fn a_truncate_without_a_time_goes_by_the_order_alone() {
        let at = truncation("0100", None, OrderKind::Text);
        let text = |least: &str, greatest: &str| Bounds::Text {
            least: least.to_owned(),
            greatest: greatest.to_owned(),
            has_nulls: false,
        };
        assert_eq!(told(&text("0001", "0099"), &long(0, 9, false), &at), (false, true));
        assert_eq!(told(&text("0100", "0101"), &long(0, 9, false), &at), (true, false));
        assert!(at.covers(OrderValue::Text("0099"), Some(i64::MAX)));
        assert!(at.covers(OrderValue::Lowest, None));
        assert!(!at.covers(OrderValue::Text("0100"), None));
    }
}
