//! The parameters that say up to which instant a table was synced. Written last, after the partitions: whoever reads them may trust
//! these.

use hudi_core::instant::{InstantTime, State};
use hudi_core::timeline::Timeline;

use crate::model::Table;
use crate::window::pending_before;

const SYNCED: &str = "last_commit_time_sync";
const COMPLETED: &str = "last_commit_completion_time_sync";
/// Ours: earlier writes that had not completed then.
const PENDING: &str = "glue_catalog.pending_instants";

/// Up to which instant Glue says that a table was synced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    synced: Option<InstantTime>,
    completed: Option<String>,
    pub(super) pending: Vec<InstantTime>,
}

impl Stamp {
    /// That of a sync of this timeline.
    pub(super) fn of(timeline: &Timeline) -> Self {
        let Some(head) = timeline.completed_writes().next_back() else { return Self::default() };
        let completed = match head.state {
            State::Completed { at: Some(at) } => Some(at.to_string()),
            _ => None,
        };
        Self { synced: Some(head.time), completed, pending: pending_before(timeline, head.time) }
    }

    /// What Glue says. Text that is no instant is none: everything is compared then.
    pub(super) fn read(table: &Table) -> Self {
        let instant = |text: &String| InstantTime::parse(text).ok();
        let pending = table.parameters.get(PENDING).map(String::as_str).unwrap_or_default();
        Self {
            synced: table.parameters.get(SYNCED).and_then(instant),
            completed: table.parameters.get(COMPLETED).cloned(),
            pending: pending.split(',').filter_map(|text| InstantTime::parse(text).ok()).collect(),
        }
    }

    pub(super) fn synced(&self) -> Option<InstantTime> {
        self.synced
    }

    /// Puts it on a table in place of what stands there.
    pub(super) fn write(&self, table: &mut Table) {
        let pending: Vec<&str> = self.pending.iter().map(InstantTime::as_str).collect();
        let mut set = |key: &str, value: Option<String>| match value {
            Some(value) => drop(table.parameters.insert(key.to_owned(), value)),
            None => drop(table.parameters.remove(key)),
        };
        set(SYNCED, self.synced.map(|time| time.to_string()));
        set(COMPLETED, self.completed.clone());
        set(PENDING, (!pending.is_empty()).then(|| pending.join(",")));
    }
}
