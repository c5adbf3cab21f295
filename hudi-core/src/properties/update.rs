//! How the properties' file is recovered and changed, as steps for somebody with a store.
//!
//! Decides; touches nothing. Format sections 1.6 and 1.7; all table versions.

use super::keys;
use super::table::{TableProperties, checksum_of};
use super::text::Properties;
use crate::error::{Error, Result};

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PropertiesFile {
    /// `hoodie.properties`.
    Main,
    /// `hoodie.properties.backup`.
    Backup,
}

/// What is to be done to one file, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make the file; it must not be there.
    Create {
        /// Which.
        file: PropertiesFile,
        /// Its content.
        text: String,
    },
    /// Make or replace the file as a whole.
    Overwrite {
        /// Which.
        file: PropertiesFile,
        /// Its content.
        text: String,
    },
    /// Take the file away.
    Delete {
        /// Which.
        file: PropertiesFile,
    },
}

/// What is in force, and what puts the files in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The properties in force.
    pub properties: TableProperties,
    /// What a writer does, under the table's lock, before anything else; empty as a rule.
    pub steps: Vec<Step>,
}

/// How a store can replace a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpdateProtocol {
    /// A put replaces the object as a whole: one step.
    AtomicOverwrite,
    /// Java's five steps, for stores where a reader can see half a file.
    Backup,
}

/// A change of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets it.
    Set {
        /// The property's name.
        key: String,
        /// Its new value.
        value: String,
    },
    /// Takes it away.
    Remove {
        /// The property's name.
        key: String,
    },
}

/// What stands in the two files, and how to put them in order. `None`: there is no table.
///
/// Errors: those of [`TableProperties::parse`] where neither file is sound, or where the sound one cannot be used.
pub fn recovery(main: Option<&str>, backup: Option<&str>) -> Result<Option<Recovery>> {
    let delete_backup = backup.map(|_| Step::Delete { file: PropertiesFile::Backup });
    match (main, backup) {
        (None, None) => Ok(None),
        (Some(main), backup) if is_sound(main) || !backup.is_some_and(is_sound) => {
            let properties = TableProperties::parse(main)?;
            Ok(Some(Recovery { properties, steps: delete_backup.into_iter().collect() }))
        }
        (_, Some(backup)) => {
            let properties = TableProperties::parse(backup)?;
            let restore = Step::Overwrite { file: PropertiesFile::Main, text: backup.to_owned() };
            Ok(Some(Recovery { properties, steps: [restore].into_iter().chain(delete_backup).collect() }))
        }
        (Some(_), None) => Err(Error::corrupt("properties", "not sound, and there is no backup")),
    }
}

/// The properties after the changes, and the steps to them: none if nothing changes. `current` is the file's text.
///
/// Errors: those of [`TableProperties::parse`], of the current text or the changed one.
pub fn update(
    current: &str,
    changes: &[Change],
    protocol: UpdateProtocol,
    now_ms: i64,
) -> Result<(TableProperties, Vec<Step>)> {
    let before = TableProperties::parse(current)?;
    let mut all = before.all().clone();
    for change in changes {
        match change {
            Change::Set { key, value } => all.set(key, value),
            Change::Remove { key } => drop(all.remove(key)),
        }
    }
    if all == *before.all() {
        return Ok((before, Vec::new()));
    }
    let checksum = checksum_of(&all);
    all.set(keys::TABLE_CHECKSUM, checksum);
    let after = TableProperties::from_properties(all)?;
    let text = after.to_text(now_ms);
    let (main, backup) = (PropertiesFile::Main, PropertiesFile::Backup);
    let steps = match protocol {
        UpdateProtocol::AtomicOverwrite => vec![Step::Overwrite { file: main, text }],
        UpdateProtocol::Backup => vec![
            Step::Create { file: backup, text: current.to_owned() },
            Step::Delete { file: main },
            Step::Create { file: main, text },
            Step::Delete { file: backup },
        ],
    };
    Ok((after, steps))
}

impl TableProperties {
    /// The changes after which the table has no metadata table: none if it has none. Its folder is deleted afterwards.
    ///
    /// A metadata table that is not kept hides our files from readers, and loses our updates to the next Java writer.
    pub fn without_metadata_table(&self) -> Vec<Change> {
        [keys::METADATA_PARTITIONS, keys::METADATA_PARTITIONS_INFLIGHT, keys::INDEX_DEFS_PATH]
            .into_iter()
            .filter(|key| self.get(key).is_some())
            .map(|key| Change::Remove { key: key.to_owned() })
            .collect()
    }
}

/// Whether a reader would take the text: it is whole as far as the checksum tells.
fn is_sound(text: &str) -> bool {
    let Ok(all) = Properties::parse(text) else { return false };
    let checksum = all.get(keys::TABLE_CHECKSUM);
    all.get(keys::TABLE_NAME).is_some() && checksum.is_none_or(|found| found == checksum_of(&all))
}
