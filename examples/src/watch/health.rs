//! Whether all is well: [`Limits`]. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use hudi_writer::ingest::{Condition, TableReport};

/// What is not well any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the commits of a table may fail, in milliseconds. Default 60,000.
    pub failing_ms: i64,
    /// How long ago the source may have committed what is not in its table yet, in milliseconds. `None`: however long, as while old
    /// messages are read. Default `None`.
    pub freshness_ms: Option<i64>,
    /// After how long without a word from the loop it counts as stuck, in milliseconds. Default 120,000.
    pub silence_ms: i64,
    /// How long syncs of a table to Glue may fail, in milliseconds. Default 600,000.
    pub unsynced_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { failing_ms: 60_000, freshness_ms: None, silence_ms: 120_000, unsynced_ms: 600_000 }
    }
}

/// Since when tables fail.
pub(super) type Failing = BTreeMap<Arc<str>, i64>;

/// What is not well.
pub(super) fn complaints(tables: &[TableReport], failing: &mut Failing, limits: &Limits, now_ms: i64) -> Vec<String> {
    let is_failing = |table: &TableReport| matches!(&table.condition, Condition::Resting { .. }) && table.failures > 0;
    failing
        .retain(|of, _| tables.iter().any(|table| table.table == *of && (is_failing(table) || commits_again(table))));
    let mut complaints = vec![];
    for table in tables {
        if is_failing(table) {
            failing.entry(Arc::clone(&table.table)).or_insert(now_ms);
        }
        complaints.extend(complaint(table, failing.get(&table.table).copied(), limits, now_ms));
    }
    complaints
}

/// It failed, and is tried again: nobody knows yet.
fn commits_again(table: &TableReport) -> bool {
    table.condition == Condition::Committing && table.failures > 0
}

fn complaint(table: &TableReport, failing_since: Option<i64>, limits: &Limits, now_ms: i64) -> Option<String> {
    let name = &table.table;
    if let Condition::Stopped { reason } = &table.condition {
        return Some(format!("{name} has stopped: {reason}"));
    }
    if let Some(since) = failing_since.filter(|since| now_ms - since > limits.failing_ms) {
        let reason = match &table.condition {
            Condition::Resting { reason, .. } => reason,
            _ => "it is tried again",
        };
        return Some(format!("{name} has not been committed for {} s: {reason}", (now_ms - since) / 1000));
    }
    let behind_ms = table.oldest_uncommitted_source_ms.map(|oldest| now_ms - oldest)?;
    limits.freshness_ms.filter(|limit| behind_ms > *limit)?;
    Some(format!("{name} is {} s behind its source", behind_ms / 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(condition: Condition, failures: u32, oldest_ms: Option<i64>) -> TableReport {
        TableReport {
            table: "t".into(),
            condition,
            failures,
            uncommitted_rows: 0,
            uncommitted_bytes: 0,
            waiting_changes: 0,
            waited_ms: None,
            oldest_uncommitted_source_ms: oldest_ms,
            newest_committed_source_ms: None,
            counters: hudi_writer::ingest::TableCounters::default(),
        }
    }

    fn resting(failures: u32) -> TableReport {
        table(Condition::Resting { until_ms: 0, reason: "full".to_owned() }, failures, None)
    }

    #[test]
    fn a_table_that_stopped_is_not_well_and_one_that_fails_after_a_while() {
        let (limits, mut failing) = (Limits::default(), Failing::new());
        let mut ask = |table: TableReport, now_ms| complaints(&[table], &mut failing, &limits, now_ms).join(", ");
        let stopped = table(Condition::Stopped { reason: "no key".to_owned() }, 0, None);
        assert_eq!(ask(stopped, 0), "t has stopped: no key");
        assert_eq!(ask(resting(1), 1_000), "");
        assert_eq!(ask(table(Condition::Committing, 1, None), 30_000), "");
        assert_eq!(ask(resting(2), 62_000), "t has not been committed for 61 s: full");
        assert_eq!(ask(table(Condition::Ready, 0, None), 63_000), "");
        assert_eq!(ask(resting(1), 64_000), "");
        // It waits for its first row.
        assert_eq!((ask(resting(0), 65_000), ask(resting(0), 999_000)), (String::new(), String::new()));
    }

    #[test]
    fn freshness_counts_where_it_has_a_limit() {
        let old = || table(Condition::Ready, 0, Some(1_000));
        let ask = |freshness_ms| {
            let limits = Limits { freshness_ms, ..Limits::default() };
            complaints(&[old()], &mut Failing::new(), &limits, 11_000).join(", ")
        };
        assert_eq!([None, Some(10_000), Some(9_999)].map(ask), ["", "", "t is 10 s behind its source"]);
    }
}
