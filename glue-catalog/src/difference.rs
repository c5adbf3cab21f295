//! What of Glue's table stays, what changes, and how that reads: [`merge`], [`differences`], [`needs_cascade`].
//!
//! Ours are the name, the kind, the columns' names, order and types, the place, the classes, and the parameters that a sync writes.
//! Everything else is the users' and stays: descriptions, owners, comments, other parameters. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::location;
use crate::model::{Partition, SerDe, StorageDescriptor, Table};
use crate::spark;
use crate::types::Column;

/// How many characters of a value a change shows.
const SHOWN_CHARS: usize = 80;

/// One thing that a sync does to a table of Glue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The table is made.
    CreateTable {
        /// Where it is.
        location: String,
        /// How many columns it has.
        columns: usize,
    },
    /// The table is deleted and made anew.
    RecreateTable {
        /// Why.
        why: String,
    },
    /// A column more.
    AddColumn {
        /// Its name.
        name: String,
        /// Its type.
        type_text: String,
    },
    /// A column less.
    RemoveColumn {
        /// Its name.
        name: String,
    },
    /// A column of another type.
    RetypeColumn {
        /// Its name.
        name: String,
        /// The type that Glue has.
        from: String,
        /// The type that it has.
        to: String,
    },
    /// The same columns in another order.
    ReorderColumns,
    /// A comment where there was none.
    Comment {
        /// The column.
        column: String,
        /// What is said of it.
        to: String,
    },
    /// A parameter, or a member of the storage descriptor.
    Set {
        /// Which.
        name: String,
        /// What Glue has.
        from: Option<String>,
        /// What it is to be.
        to: String,
    },
    /// A parameter that is no more.
    Unset {
        /// Which.
        name: String,
    },
    /// An index over the partitions.
    CreateIndex {
        /// The partition keys.
        keys: Vec<String>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTable { location, columns } => write!(f, "create table at {location}, {columns} columns"),
            Self::RecreateTable { why } => write!(f, "delete table and create it anew: {why}"),
            Self::AddColumn { name, type_text } => write!(f, "add column {name} {}", shown(type_text)),
            Self::RemoveColumn { name } => write!(f, "remove column {name}"),
            Self::RetypeColumn { name, from, to } => {
                write!(f, "change column {name} from {} to {}", shown(from), shown(to))
            }
            Self::ReorderColumns => f.write_str("put columns in order"),
            Self::Comment { column, to } => write!(f, "comment column {column}: {}", shown(to)),
            Self::Set { name, from: Some(from), to } => {
                write!(f, "set {name} from `{}` to `{}`", shown(from), shown(to))
            }
            Self::Set { name, from: None, to } => write!(f, "set {name} to `{}`", shown(to)),
            Self::Unset { name } => write!(f, "remove {name}"),
            Self::CreateIndex { keys } => write!(f, "create partition index ({})", keys.join(", ")),
        }
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Glue's table as it must be: ours of `desired`, and the users' of `found`.
#[must_use]
pub fn merge(found: &Table, desired: &Table) -> Table {
    let mut parameters = found.parameters.clone();
    if desired.parameters.keys().any(|key| key.starts_with(spark::SCHEMA_PREFIX)) {
        parameters.retain(|key, _| !key.starts_with(spark::SCHEMA_PREFIX));
    }
    parameters.extend(desired.parameters.clone());
    Table {
        name: desired.name.clone(),
        table_type: desired.table_type.clone(),
        parameters,
        partition_keys: merge_keys(&found.partition_keys, &desired.partition_keys),
        storage: StorageDescriptor {
            location: merge_location(found, desired),
            ..merge_storage(&found.storage, &desired.storage)
        },
        view_original_text: None,
        view_expanded_text: None,
        ..found.clone()
    }
}

/// A slash at the end that somebody gave the table stays.
fn merge_location(found: &Table, desired: &Table) -> Option<String> {
    let kept = found.storage.location.as_ref().zip(desired.storage.location.as_ref());
    let kept = kept.filter(|(found, ours)| location::is_readable(found) && location::is_same(found, ours));
    kept.map_or_else(|| desired.storage.location.clone(), |(found, _)| Some(found.clone()))
}

/// The types of keys stay as Glue has them: no update changes them, and values are verified against them.
fn merge_keys(found: &[Column], desired: &[Column]) -> Vec<Column> {
    let merged = merge_columns(found, desired);
    let typed = merged.into_iter().zip(found);
    typed.map(|(key, found)| Column { type_text: found.type_text.clone(), ..key }).collect()
}

fn merge_columns(found: &[Column], desired: &[Column]) -> Vec<Column> {
    let by_name: BTreeMap<String, &Column> = found.iter().map(|column| (column.name.to_lowercase(), column)).collect();
    let merged = desired.iter().map(|ours| {
        let Some(theirs) = by_name.get(&ours.name) else { return ours.clone() };
        let comment = theirs.comment.clone().filter(|comment| !comment.is_empty());
        Column {
            comment: comment.or_else(|| ours.comment.clone()),
            parameters: theirs.parameters.clone(),
            ..ours.clone()
        }
    });
    merged.collect()
}

/// Ours of `desired`, its place among it, and the users' of `found`.
fn merge_storage(found: &StorageDescriptor, desired: &StorageDescriptor) -> StorageDescriptor {
    let columns: Arc<[Column]> = match found.columns.is_empty() {
        true => Arc::clone(&desired.columns),
        false => merge_columns(&found.columns, &desired.columns).into(),
    };
    StorageDescriptor {
        columns: if columns == desired.columns { Arc::clone(&desired.columns) } else { columns },
        location: desired.location.clone(),
        input_format: desired.input_format.clone(),
        output_format: desired.output_format.clone(),
        serde: merge_serde(found.serde.as_ref(), desired.serde.as_ref()),
        ..found.clone()
    }
}

fn merge_serde(found: Option<&SerDe>, desired: Option<&SerDe>) -> Option<SerDe> {
    let (Some(found), Some(desired)) = (found, desired) else { return desired.or(found).cloned() };
    let mut parameters = found.parameters.clone();
    parameters.extend(desired.parameters.clone());
    Some(SerDe { name: found.name.clone(), library: desired.library.clone(), parameters })
}

/// Glue's partition as it must be, with its table's storage, at this place.
#[must_use]
pub fn merge_partition(found: &Partition, table: &StorageDescriptor, location: &str) -> Partition {
    let ours = StorageDescriptor { location: Some(location.to_owned()), ..table.clone() };
    let found_without_columns = StorageDescriptor { columns: Arc::default(), ..found.storage.clone() };
    Partition { storage: merge_storage(&found_without_columns, &ours), ..found.clone() }
}

/// Whether engines would read a partition otherwise than they should; its columns are looked at only if they are there.
#[must_use]
pub fn is_partition_astray(found: &Partition, table: &StorageDescriptor, location: &str) -> bool {
    let storage = &found.storage;
    let at = storage.location.as_deref();
    let is_here = at.is_some_and(|at| location::is_readable(at) && location::is_same(at, location));
    let library = |storage: &StorageDescriptor| storage.serde.as_ref().and_then(|serde| serde.library.clone());
    !is_here
        || storage.input_format != table.input_format
        || storage.output_format != table.output_format
        || library(storage) != library(table)
        || !storage.columns.is_empty() && needs_cascade(&storage.columns, &table.columns)
}

/// What changes from one to the other, ours alone.
#[must_use]
pub fn differences(found: &Table, merged: &Table) -> Vec<Change> {
    let mut changes = column_differences(&found.storage.columns, &merged.storage.columns);
    changes.extend(comments(&found.partition_keys, &merged.partition_keys));
    let (was, is) = (&found.storage, &merged.storage);
    set(&mut changes, "table type", found.table_type.as_deref(), merged.table_type.as_deref());
    set(&mut changes, "location", was.location.as_deref(), is.location.as_deref());
    set(&mut changes, "input format", was.input_format.as_deref(), is.input_format.as_deref());
    set(&mut changes, "output format", was.output_format.as_deref(), is.output_format.as_deref());
    let none = SerDe::default();
    let (was, is) = (was.serde.as_ref().unwrap_or(&none), is.serde.as_ref().unwrap_or(&none));
    set(&mut changes, "SerDe", was.library.as_deref(), is.library.as_deref());
    parameter_differences(&mut changes, "SerDe parameter", &was.parameters, &is.parameters);
    parameter_differences(&mut changes, "parameter", &found.parameters, &merged.parameters);
    changes
}

fn column_differences(found: &[Column], merged: &[Column]) -> Vec<Change> {
    let mut changes = Vec::new();
    let by_name: BTreeMap<String, &Column> = found.iter().map(|column| (column.name.to_lowercase(), column)).collect();
    for column in merged {
        let Column { name, type_text, .. } = column;
        match by_name.get(name) {
            None => changes.push(Change::AddColumn { name: name.clone(), type_text: type_text.clone() }),
            Some(was) if was.type_text != *type_text => changes.push(Change::RetypeColumn {
                name: name.clone(),
                from: was.type_text.clone(),
                to: type_text.clone(),
            }),
            Some(_) => {}
        }
    }
    let gone = found.iter().filter(|was| merged.iter().all(|column| column.name != was.name.to_lowercase()));
    changes.extend(gone.map(|was| Change::RemoveColumn { name: was.name.clone() }));
    let common = |of: &[Column], other: &[Column]| -> Vec<String> {
        let names = of.iter().map(|column| column.name.to_lowercase());
        names.filter(|name| other.iter().any(|column| column.name.eq_ignore_ascii_case(name))).collect()
    };
    if common(found, merged) != common(merged, found) {
        changes.push(Change::ReorderColumns);
    }
    changes.extend(comments(found, merged));
    changes
}

fn comments(found: &[Column], merged: &[Column]) -> Vec<Change> {
    let said = |column: &Column| column.comment.clone().unwrap_or_default();
    let changed = merged.iter().filter_map(|column| {
        let was = found.iter().find(|was| was.name.eq_ignore_ascii_case(&column.name))?;
        (said(was) != said(column)).then(|| Change::Comment { column: column.name.clone(), to: said(column) })
    });
    changed.collect()
}

fn set(changes: &mut Vec<Change>, name: &str, from: Option<&str>, to: Option<&str>) {
    if let Some(to) = to.filter(|to| from != Some(*to)) {
        let (name, from, to) = (name.to_owned(), from.map(str::to_owned), to.to_owned());
        changes.push(Change::Set { name, from, to });
    }
}

fn parameter_differences(
    changes: &mut Vec<Change>,
    what: &str,
    found: &BTreeMap<String, String>,
    merged: &BTreeMap<String, String>,
) {
    for (key, to) in merged {
        set(changes, &format!("{what} {key}"), found.get(key).map(String::as_str), Some(to));
    }
    let gone = found.keys().filter(|key| !merged.contains_key(*key));
    changes.extend(gone.map(|key| Change::Unset { name: format!("{what} {key}") }));
}

/// Whether partitions with the columns `found` must get those of `desired` too, or queries fail.
///
/// Athena compares the types of a partition's columns with the table's. It takes columns more or fewer, and a struct that has more
/// fields at its end; every other change of a type it refuses.
#[must_use]
pub fn needs_cascade(found: &[Column], desired: &[Column]) -> bool {
    let changed = |ours: &Column| {
        let theirs = found.iter().find(|column| column.name.eq_ignore_ascii_case(&ours.name));
        theirs.is_some_and(|theirs| !only_appends(&theirs.type_text, &ours.type_text))
    };
    desired.iter().any(changed)
}

/// Whether a type is the other, but for structs with more fields at their ends.
fn only_appends(from: &str, to: &str) -> bool {
    if from.eq_ignore_ascii_case(to) {
        return true;
    }
    let (Some(from), Some(to)) = (struct_fields(from), struct_fields(to)) else { return false };
    from.len() <= to.len()
        && from.iter().zip(&to).all(|((was, old), (is, new))| was.eq_ignore_ascii_case(is) && only_appends(old, new))
}

/// The fields of `struct<a:int,b:…>`, each with its type.
fn struct_fields(type_text: &str) -> Option<Vec<(&str, &str)>> {
    let inside = type_text.trim().strip_prefix("struct<")?.strip_suffix('>')?;
    let (mut fields, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => {
                fields.push(inside[start..at].split_once(':')?);
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(inside[start..].split_once(':')?);
    Some(fields)
}
