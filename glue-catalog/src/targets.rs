//! Which tables of Glue a Hudi table has, under which names.
//!
//! The rule is that of Hudi's own sync since 0.14. Names are in lower case, for Athena knows no other; where that makes two names one
//! it is refused.

use std::collections::BTreeMap;

use hudi_core::version::TableType;

use crate::error::{Error, Result};
use crate::settings::{Strategy, SyncSettings};

const MAX_NAME_CHARS: usize = 255;

/// What a table of Glue answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// The rows of a copy-on-write table.
    Snapshot,
    /// The rows of base files alone: what was not compacted yet is not seen.
    ReadOptimized,
    /// The rows of base files and logs.
    RealTime,
}

/// A table of Glue that a Hudi table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What it answers.
    pub answers: Answers,
}

/// The tables of Glue that a Hudi table of this name and kind has.
///
/// # Errors
/// [`Error::Setting`] for a name that Glue does not take, [`Error::SameName`] where two of them have one name.
pub fn targets(name: &str, table_type: TableType, settings: &SyncSettings) -> Result<Vec<Target>> {
    let name = settings.table_name.as_deref().unwrap_or(name);
    let target = |suffix: &str, answers| Target { name: format!("{}{suffix}", name.to_lowercase()), answers };
    let ro_suffix = if settings.ro_suffix { "_ro" } else { "" };
    let targets = match (table_type, settings.strategy) {
        (TableType::CopyOnWrite, _) => vec![target("", Answers::Snapshot)],
        (TableType::MergeOnRead, Strategy::ReadOptimized) => vec![target("", Answers::ReadOptimized)],
        (TableType::MergeOnRead, Strategy::RealTime) => vec![target("", Answers::RealTime)],
        (TableType::MergeOnRead, Strategy::All) => {
            let mut all = vec![target(ro_suffix, Answers::ReadOptimized), target("_rt", Answers::RealTime)];
            all.extend(settings.snapshot_table.then(|| target("", Answers::RealTime)));
            all
        }
    };
    for target in &targets {
        if target.name.trim().is_empty() || target.name.contains(['\n', '\r', '/']) {
            return Err(Error::setting("table_name", name, "a name without slash and line feed"));
        }
        if target.name.chars().count() > MAX_NAME_CHARS {
            return Err(Error::setting("table_name", name, "at most 255 characters, suffix included"));
        }
    }
    verify_distinct(targets.iter().map(|target| (describe(name, target.answers), target.name.clone())))?;
    Ok(targets)
}

/// Refuses tables that would have one name: each is told of as its owner wants, with its name in Glue (database included, where they
/// are of several).
///
/// # Errors
/// [`Error::SameName`] with the first two.
pub fn verify_distinct(tables: impl IntoIterator<Item = (String, String)>) -> Result<()> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (what, name) in tables {
        let name = name.to_lowercase();
        if let Some(first) = seen.get(&name) {
            return Err(Error::SameName { name, first: first.clone(), second: what });
        }
        seen.insert(name, what);
    }
    Ok(())
}

fn describe(name: &str, answers: Answers) -> String {
    let what = match answers {
        Answers::Snapshot => "the rows",
        Answers::ReadOptimized => "the base files",
        Answers::RealTime => "the base files and logs",
    };
    format!("{what} of `{name}`")
}
