//! [`ColumnMap`]: in which columns of the table those of a source stand, where that is not the column of the same name.
//!
//! A column of the source that comes to mean something else goes on in a new column of the table (`amount`, `amount_v2`, …), and
//! so does one that was dropped and comes back: rows from before hold its old values. The map rides in the `extraMetadata` of our
//! commits, under [`KEY`], beside the checkpoints. Ours alone, no part of Hudi's format. Not here: which column takes which
//! values ([`super::placing`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::change::StreamPosition;
use crate::error::Error;

/// The key of the map in a commit's `extraMetadata`.
pub const KEY: &str = "cdc.columns";
/// The version of the form that we write, and the greatest that we read.
pub const VERSION: u32 = 1;

/// Where the columns of sources stand in a table. Empty as long as each stands in the one of its name, and none was dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnMap {
    v: u32,
    /// The table's columns that hold a column of the source, the newest last; only those that have another than their own name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) versions: BTreeMap<String, Vec<String>>,
    /// What is known of the columns of each topic whose messages name all columns of their table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) topics: BTreeMap<String, TopicColumns>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

/// The columns of one topic's rows, by the source's names.
///
/// Partitions of a topic are read at different speeds, so that rows from before a change of the schema come after such from behind it:
/// every change is noted with its moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TopicColumns {
    /// The moment from which on the rows are known.
    #[serde(default)]
    pub(super) began: Moment,
    /// The first moment at which the rows had a column, where that is later.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) added: BTreeMap<String, Moment>,
    /// The first moment at which the rows had a column no more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) dropped: BTreeMap<String, Moment>,
    /// Of a column that was dropped and came back, where it stands since.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) since: BTreeMap<String, Since>,
    /// The newest column of the table that was written, where that is not the first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) newest: BTreeMap<String, String>,
    /// Those that other topics brought, and these rows never had.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) lacks: BTreeSet<String>,
}

/// Where a column stands since it came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Since {
    /// The first column of the table that may be written: those before hold what the source dropped.
    pub(super) column: String,
    /// When it was dropped: what is from before may still come.
    pub(super) at: Moment,
}

/// A moment in the life of a source's table: a place in the source's stream, or a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// The place, where the source tells one.
    pub position: Option<StreamPosition>,
    /// The source's time, in milliseconds since 1970 UTC.
    pub ts_ms: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct MomentText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ts_ms: Option<i64>,
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let position = self.position.map(|position| position.to_string());
        MomentText { position, ts_ms: self.ts_ms }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let MomentText { position, ts_ms } = MomentText::deserialize(from)?;
        let wrong = || serde::de::Error::custom("a moment whose place is no stream position");
        let position = position.map(|text| StreamPosition::parse(&text).ok_or_else(wrong)).transpose()?;
        Ok(Self { position, ts_ms })
    }
}

impl Moment {
    /// Whether this moment is before the other; `None` where that cannot be told.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> Option<bool> {
        let places = self.position.zip(other.position).map(|(a, b)| a < b);
        places.or_else(|| self.ts_ms.zip(other.ts_ms).map(|(a, b)| a < b))
    }
}

impl TopicColumns {
    /// Notes that the rows from this moment on have no such column, unless they are from before it was there.
    pub(super) fn lose(&mut self, column: &str, from: &Moment) {
        let known_from = self.added.get(column).unwrap_or(&self.began);
        if self.lacks.contains(column) || from.is_before(known_from) != Some(false) {
            return;
        }
        let at = self.dropped.entry(column.to_owned()).or_insert(*from);
        if from.is_before(at) == Some(true) {
            *at = *from;
        }
    }

    /// Notes that the rows have a column that they did not have before.
    pub(super) fn gain(&mut self, column: &str, from: &Moment) {
        self.lacks.remove(column);
        self.added.insert(column.to_owned(), *from);
    }
}

impl Default for ColumnMap {
    fn default() -> Self {
        Self { v: VERSION, versions: BTreeMap::new(), topics: BTreeMap::new(), unknown: BTreeMap::new() }
    }
}

impl ColumnMap {
    /// Reads a map.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the text is no map, [`Error::Unsupported`] where it is of a later version.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let read: Self = serde_json::from_str(text).map_err(|e| Error::corrupt(KEY, e.to_string()))?;
        if read.v > VERSION {
            let why = format!("this program reads versions up to {VERSION}");
            return Err(Error::unsupported(format!("`{KEY}` of version {}", read.v), why));
        }
        if read.versions.values().any(Vec::is_empty) {
            return Err(Error::corrupt(KEY, "a column that stands in none of the table's"));
        }
        Ok(read)
    }

    /// The map as one line of JSON; `None` where it says nothing.
    #[must_use]
    pub fn to_json(&self) -> Option<String> {
        if *self == Self::default() { None } else { serde_json::to_string(self).ok() }
    }

    /// The table's columns that hold a column of the source, the newest last; the one of its name where nothing else is said.
    pub fn versions<'a>(&'a self, source: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        let named = self.versions.get(source);
        let own = named.is_none().then_some(source);
        named.into_iter().flatten().map(String::as_str).chain(own)
    }

    /// The columns of the source that stand in other columns than those of their names, each with the table's, the newest last.
    pub fn renamed(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.versions.iter().map(|(source, versions)| (source.as_str(), versions.as_slice()))
    }

    /// The columns that a topic's rows had, and have no more: the table keeps them, null in rows written since.
    pub fn dropped(&self, topic: &str) -> impl Iterator<Item = &str> {
        self.topics.get(topic).into_iter().flat_map(|columns| columns.dropped.keys()).map(String::as_str)
    }

    /// The source's name of a column of the table.
    #[must_use]
    pub fn source_name<'a>(&'a self, column: &'a str) -> &'a str {
        let holds = |versions: &[String]| versions.iter().any(|version| version == column);
        self.renamed().find(|(_, versions)| holds(versions)).map_or(column, |(source, _)| source)
    }

    /// Whether the column of the table is the newest that holds its column of the source.
    #[must_use]
    pub fn is_newest(&self, column: &str) -> bool {
        self.versions(self.source_name(column)).next_back() == Some(column)
    }

    /// What this map becomes where another writer committed `theirs` since both began at `base`; `None` where both changed the
    /// same, differently.
    #[must_use]
    pub fn joined(&self, base: &Self, theirs: &Self) -> Option<Self> {
        let mut joined = theirs.clone();
        joined.versions = joined_by_name(&self.versions, &base.versions, &theirs.versions)?;
        joined.topics = joined_by_name(&self.topics, &base.topics, &theirs.topics)?;
        Some(joined)
    }
}

fn joined_by_name<T: Clone + PartialEq>(
    ours: &BTreeMap<String, T>,
    base: &BTreeMap<String, T>,
    theirs: &BTreeMap<String, T>,
) -> Option<BTreeMap<String, T>> {
    let mut joined = BTreeMap::new();
    for name in ours.keys().chain(theirs.keys()) {
        let (our, their, before) = (ours.get(name), theirs.get(name), base.get(name));
        let kept = match (our == before, their == before) {
            (true, _) => their,
            (false, true) => our,
            (false, false) if our == their => our,
            (false, false) => return None,
        };
        if let Some(kept) = kept {
            joined.insert(name.clone(), kept.clone());
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(versions: &[&str], dropped: &[(&str, &str)]) -> ColumnMap {
        let mut map = ColumnMap::default();
        for of in versions {
            map.versions.insert((*of).to_owned(), vec![(*of).to_owned(), format!("{of}_v2")]);
        }
        for (topic, column) in dropped {
            map.topics
                .entry((*topic).to_owned())
                .or_default()
                .dropped
                .insert((*column).to_owned(), Moment { ts_ms: Some(7), ..Moment::default() });
        }
        map
    }

    #[test]
    fn a_map_is_read_back_and_an_empty_one_says_nothing() {
        let map = with(&["a"], &[("t", "x")]);
        assert_eq!(ColumnMap::parse(&map.to_json().unwrap()).unwrap(), map);
        assert_eq!(ColumnMap::default().to_json(), None);
        let kept = r#"{"v":1,"more":[7]}"#;
        assert_eq!(ColumnMap::parse(kept).unwrap().to_json().as_deref(), Some(kept));
        assert!(ColumnMap::parse(r#"{"v":2}"#).unwrap_err().to_string().contains("version 2"));
        assert!(ColumnMap::parse(r#"{"v":1,"versions":{"a":[]}}"#).is_err());
        assert_eq!((map.source_name("a_v2"), map.source_name("b_v2")), ("a", "b_v2"));
        assert_eq!(["a", "a_v2", "b"].map(|column| map.is_newest(column)), [false, true, true]);
    }

    #[test]
    fn what_two_writers_changed_is_joined_unless_it_is_the_same() {
        let base = with(&["a"], &[]);
        let (ours, theirs) = (with(&["a", "b"], &[("t", "x")]), with(&["a", "c"], &[("u", "x")]));
        assert_eq!(ours.joined(&base, &theirs), Some(with(&["a", "b", "c"], &[("t", "x"), ("u", "x")])));
        assert_eq!(base.joined(&base, &theirs), Some(theirs.clone()));
        assert_eq!(theirs.joined(&base, &theirs), Some(theirs));
        assert_eq!(ours.joined(&base, &with(&["a"], &[("t", "y")])), None);
    }
}
