//! [`Plan`]: what a sync is about to do to one table of Glue, for people to read first; [`TableReport`]: what it did.

use std::fmt;

use crate::calls::Place;
use crate::difference::Change;
use crate::model::{Partition, PartitionIndex, Table, TableId};

/// How many partitions are shown one by one.
const SHOWN_PARTITIONS: usize = 10;

/// What is about to become of one table of Glue.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) table: TableId,
    pub(crate) found: Option<Table>,
    pub(crate) step: TableStep,
    pub(crate) changes: Vec<Change>,
    pub(crate) add: Vec<Place>,
    /// Whether some of those to add may be there already.
    pub(crate) blind: bool,
    pub(crate) update: Vec<Partition>,
    pub(crate) drop: Vec<Vec<String>>,
    pub(crate) indexes: Vec<PartitionIndex>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) outlook: Outlook,
}

/// What becomes of the table itself; it holds what it is to be, the instant of the sync left out.
#[derive(Debug, Clone)]
pub(crate) enum TableStep {
    Create(Table),
    Recreate(Table),
    /// With `stamp`, an update; without, nothing.
    Keep {
        merged: Box<Table>,
        stamp: bool,
    },
}

/// Whether there is something to do at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outlook {
    Sync,
    NothingYet,
    Behind(String),
}

/// What a sync leaves alone, and people should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// Athena computes the partitions from the table's parameters, and sees none that a sync registers.
    PartitionProjection,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PartitionProjection => {
                "`projection.enabled` is set: Athena does not see the partitions that stand in Glue"
            }
        })
    }
}

impl Plan {
    /// Which table.
    #[must_use]
    pub fn table(&self) -> &TableId {
        &self.table
    }

    /// What becomes of the table itself. That Glue is told up to which instant it was synced is not among it.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The values of partitions that are added.
    pub fn added(&self) -> impl ExactSizeIterator<Item = &[String]> {
        self.add.iter().map(|place| place.values.as_slice())
    }

    /// The values of partitions that get another place, class or type.
    pub fn updated(&self) -> impl ExactSizeIterator<Item = &[String]> {
        self.update.iter().map(|partition| partition.values.as_slice())
    }

    /// The values of partitions that are removed; their data are gone already.
    pub fn dropped(&self) -> impl ExactSizeIterator<Item = &[String]> {
        self.drop.iter().map(Vec::as_slice)
    }

    /// What people should know.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Whether nothing would change that engines see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.add.is_empty() && self.update.is_empty() && self.drop.is_empty()
    }
}

/// One line a change, the table's name before them.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outlook {
            Outlook::NothingYet => return write!(f, "{}: nothing before the first commit with data", self.table),
            Outlook::Behind(at) => return write!(f, "{}: was synced up to {at} already, which is newer", self.table),
            Outlook::Sync if self.is_empty() => write!(f, "{}: nothing changes", self.table)?,
            Outlook::Sync => write!(f, "{}:", self.table)?,
        }
        for change in &self.changes {
            write!(f, "\n  {change}")?;
        }
        let adds = self.add.iter().map(|place| format!("{} at {}", listed(&place.values), place.location));
        show(f, "add partition", adds)?;
        show(f, "update partition", self.update.iter().map(|partition| listed(&partition.values)))?;
        show(f, "drop partition", self.drop.iter().map(|values| listed(values)))?;
        for warning in &self.warnings {
            write!(f, "\n  beware: {warning}")?;
        }
        Ok(())
    }
}

fn listed(values: &[String]) -> String {
    format!("({})", values.join(", "))
}

fn show(f: &mut fmt::Formatter<'_>, what: &str, all: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    let more = all.len().saturating_sub(SHOWN_PARTITIONS);
    for one in all.take(SHOWN_PARTITIONS) {
        write!(f, "\n  {what} {one}")?;
    }
    if more > 0 { write!(f, "\n  {what}: {more} more") } else { Ok(()) }
}

/// What a sync came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Glue says what the table says; nothing was written.
    Unchanged,
    /// Glue says what the table says.
    Synced,
    /// There is no data yet, and engines fail on a table without.
    NothingYet,
    /// Somebody who sees a newer table synced it: open the table anew to sync it.
    Behind {
        /// Up to which instant.
        synced: String,
    },
}

/// What a sync did to one table of Glue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// Which table.
    pub table: TableId,
    /// What it came to.
    pub outcome: Outcome,
    /// What became of the table itself.
    pub changes: Vec<Change>,
    /// How many partitions were made.
    pub added: usize,
    /// How many partitions got another place, class or type.
    pub updated: usize,
    /// How many partitions were removed.
    pub dropped: usize,
    /// What people should know.
    pub warnings: Vec<Warning>,
}
