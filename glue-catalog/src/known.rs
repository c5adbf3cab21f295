//! [`Known`]: partitions that this process knows to stand in Glue, so that commits to them cost no call.
//!
//! Believed only as long as nobody else synced the table in between; and only memory: a process that starts knows nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::model::{Table, TableId};

/// How many partitions of one table are known at most.
const MAX_PARTITIONS: usize = 100_000;

/// What this process knows to stand in Glue.
#[derive(Debug, Default)]
pub(crate) struct Known {
    tables: Mutex<HashMap<TableId, KnownTable>>,
}

#[derive(Debug, Default)]
struct KnownTable {
    /// What the table's parameters said when this process had synced it: any other value tells of somebody else.
    parameters: Vec<(String, String)>,
    partitions: HashSet<String>,
}

impl Known {
    /// Those of the partitions that are not known to stand in `found`.
    pub(crate) fn without_known<'a>(
        &self,
        table: &TableId,
        found: &Table,
        paths: impl Iterator<Item = &'a str>,
    ) -> Vec<&'a str> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tables.get(table).filter(|known| known.parameters == signs(found));
        paths.filter(|path| known.is_none_or(|known| !known.partitions.contains(*path))).collect()
    }

    /// Notes what stands in Glue now: `before` is the table as it was found, `after` as it was left.
    pub(crate) fn note<'a>(
        &self,
        table: &TableId,
        (before, after): (Option<&Table>, &Table),
        there: impl Iterator<Item = &'a str>,
        gone: bool,
    ) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tables.entry(table.clone()).or_default();
        if gone || before.is_none_or(|before| known.parameters != signs(before)) {
            known.partitions.clear();
        }
        known.parameters = signs(after);
        let room = MAX_PARTITIONS.saturating_sub(known.partitions.len());
        known.partitions.extend(there.take(room).map(str::to_owned));
    }
}

/// What every sync leaves otherwise than it found it.
fn signs(table: &Table) -> Vec<(String, String)> {
    let synced = table.parameters.iter().filter(|(key, _)| key.starts_with("last_commit_"));
    synced.map(|(key, value)| (key.clone(), value.clone())).collect()
}
