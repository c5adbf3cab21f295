//! [`place`]: which column of the table takes which column of the changes, and what the table's columns are then.
//!
//! The rules, for a column of the source that holds a value:
//!
//! * It goes where it stands, if that takes its type; else to another of the columns that hold it, if one does (a message from before
//!   a change of its meaning may come late); else the column that it stands in grows, where every reader follows ([`super::evolve`]).
//! * Where nothing follows, and where the source dropped the column and it comes back, [`OnSchemaConflict`] says what is done.
//! * Columns of the key and the partition keep their type, but that an `int` may become a `long`: its text stays.
//! * A column that the table has and a topic's rows have no more stays, null in the rows that are written. It counts as dropped if
//!   the messages name all columns of their table, and named it before.
//!
//! A column without any value conflicts with nothing. Partitions are read at different speeds: rows from before a column was added
//! do not drop it, and such from before it was dropped do not bring it back. Not here: the values.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use super::evolution::evolve_column;
use super::mapping::{ColumnMap, Moment, Since};
use super::names;
use crate::change::columns::is_ours;
use crate::error::{Error, Result};

/// What is done with a column of the source that the table's column cannot follow, or that was dropped and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSchemaConflict {
    /// Nothing is taken: somebody must decide.
    #[default]
    Stop,
    /// It goes on in a new column: `amount_v2`, `amount_v3`, …
    NewColumn,
    /// The rows that have a value in it are refused.
    DeadLetter,
}

/// The columns of some changes.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The topic that they came by.
    pub topic: &'a str,
    /// The columns, those that are ours among them.
    pub schema: &'a Schema,
    /// Of each, whether a row has a value.
    pub has_values: &'a [bool],
    /// Whether the columns are all that the source's table has, and a row was written with them.
    pub is_whole: bool,
    /// The moment of the earliest row.
    pub from: Moment,
    /// That of the last.
    pub to: Moment,
    /// The columns of key and partition.
    pub fixed: &'a [String],
}

/// Where a column of the changes goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The table's column; `None`: none, for the column of this name holds another of the source's.
    pub column: Option<String>,
    /// Other columns of the table that hold what the source's column was. A row that did not send it keeps them.
    pub others: Vec<String>,
    /// Rows that have a value are refused for this reason; no value goes to the column then.
    pub refused: Option<String>,
}

/// What becomes of the table's columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// The table's columns, widened where needed, then the new ones.
    pub schema: Schema,
    /// The map after the changes.
    pub map: ColumnMap,
    /// For each column of the changes.
    pub places: Vec<Place>,
}

/// Finds the places of the changes' columns in a table, which has no columns yet where `table` is `None`.
///
/// Errors: `Schema` naming the column, of a name that readers do not take or that differs in case only; of a column of key or
/// partition whose type changes; and of a conflict, if that is to stop us.
pub fn place(
    table: Option<&Schema>,
    map: &ColumnMap,
    incoming: Incoming<'_>,
    on_conflict: OnSchemaConflict,
) -> Result<Placed> {
    names::verify(incoming.schema)?;
    let fields = table.map(|table| table.fields().to_vec()).unwrap_or_default();
    let is_known = map.topics.contains_key(incoming.topic);
    let mut placing = Placing { fields, map: map.clone(), incoming, is_known, on_conflict };
    placing.note_what_is_gone();
    let columns = incoming.schema.fields().iter().zip(incoming.has_values);
    let places = columns.map(|(field, has_values)| placing.column(field, *has_values)).collect::<Result<_>>()?;
    let metadata = table.map(|table| table.metadata().clone()).unwrap_or_default();
    let Placing { fields, map, .. } = placing;
    Ok(Placed { schema: Schema::new_with_metadata(fields, metadata), map, places })
}

struct Placing<'a> {
    fields: Vec<FieldRef>,
    map: ColumnMap,
    incoming: Incoming<'a>,
    /// Whether rows of the topic came before.
    is_known: bool,
    on_conflict: OnSchemaConflict,
}

/// Why a column goes nowhere.
enum Conflict {
    /// The table's column is of another type.
    Type(Error),
    /// It was dropped, and comes back.
    CameBack,
    /// The table's column of the name holds another column of the source.
    Taken(String),
}

impl Placing<'_> {
    /// Notes which columns the topic's rows have no more. Those that it never had are known from its first rows.
    fn note_what_is_gone(&mut self) {
        if !self.incoming.is_whole {
            return;
        }
        let names = self.fields.iter().map(|field| self.map.source_name(field.name()).to_owned());
        let is_gone = |name: &String| !is_ours(name) && self.incoming.schema.index_of(name).is_err();
        let gone: Vec<String> = names.filter(is_gone).collect();
        let from = &self.incoming.from;
        let topic = self.map.topics.entry(self.incoming.topic.to_owned()).or_default();
        if self.is_known {
            gone.iter().for_each(|name| topic.lose(name, from));
        } else {
            topic.began = *from;
            topic.lacks.extend(gone);
        }
    }

    fn column(&mut self, field: &FieldRef, has_values: bool) -> Result<Place> {
        let name = field.name();
        let newest = self.newest(name).to_owned();
        let of = self.map.source_name(&newest);
        if of != name && self.position(&newest).is_some() {
            let conflict = Conflict::Taken(of.to_owned());
            return if has_values { self.resolve(field, &conflict) } else { Ok(Place::nowhere(None)) };
        }
        let is_new = self.position(&newest).is_none();
        let from = self.incoming.from;
        if let Some(topic) = self.map.topics.get_mut(self.incoming.topic)
            && (topic.lacks.contains(name) || is_new && self.is_known)
        {
            topic.gain(name, &from);
        }
        if is_new {
            self.add(&newest, field)?;
        }
        if is_new || !has_values {
            return Ok(self.place(name, newest, None));
        }
        match self.find(field, newest)? {
            Ok(column) => Ok(self.take(name, column)),
            Err(conflict) => self.resolve(field, &conflict),
        }
    }

    fn position(&self, column: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name() == column)
    }

    /// The table's column that takes the values; it grows where that is followed.
    fn find(&mut self, field: &FieldRef, newest: String) -> Result<Result<String, Conflict>> {
        let name = field.name();
        if self.comes_back(name) {
            return Ok(self.after_newest(field, &newest).ok_or(Conflict::CameBack));
        }
        if !self.is_late(name) && self.position(&newest).is_some_and(|at| holds(&self.fields[at], field)) {
            return Ok(Ok(newest));
        }
        let Some(at) = self.position(&newest) else { return Ok(Ok(newest)) };
        if self.is_fixed(name) {
            return self.grow_fixed(at, field).map(|()| Ok(newest));
        }
        if let Some(other) = self.that_takes(name, field) {
            return Ok(Ok(other));
        }
        Ok(match evolve_column(&self.fields[at], field) {
            Ok(grown) => {
                self.fields[at] = grown;
                Ok(newest)
            }
            Err(error) => Err(Conflict::Type(error)),
        })
    }

    /// Keys and partitions are texts of their values: only what leaves the texts alone is followed.
    fn grow_fixed(&mut self, at: usize, field: &FieldRef) -> Result<()> {
        let table = &self.fields[at];
        if (table.data_type(), field.data_type()) == (&DataType::Int32, &DataType::Int64) {
            self.fields[at] = Arc::new(table.as_ref().clone().with_data_type(DataType::Int64));
            return Ok(());
        }
        let types = format!("the table has {}, the changes have {}", table.data_type(), field.data_type());
        let reason = format!("{types}: columns of the key and the partition keep their type; make the table anew");
        Err(Error::schema(field.name(), reason))
    }

    fn is_fixed(&self, name: &str) -> bool {
        is_ours(name) || self.incoming.fixed.iter().any(|fixed| fixed == name)
    }

    /// Whether the source dropped the column before these changes.
    fn comes_back(&self, name: &str) -> bool {
        let dropped = self.map.topics.get(self.incoming.topic).and_then(|topic| topic.dropped.get(name));
        dropped.is_some_and(|at| self.incoming.to.is_before(at) != Some(true))
    }

    /// Whether the changes are from before the column was dropped, which it has been since, and came back.
    fn is_late(&self, name: &str) -> bool {
        self.since(name).is_some_and(|since| self.incoming.to.is_before(&since.at) == Some(true))
    }

    fn since(&self, name: &str) -> Option<&Since> {
        self.map.topics.get(self.incoming.topic)?.since.get(name)
    }

    /// The table's column that the topic wrote last.
    fn newest<'a>(&'a self, name: &'a str) -> &'a str {
        let topic = self.map.topics.get(self.incoming.topic);
        let written = topic.and_then(|topic| topic.newest.get(name));
        written.map(String::as_str).or_else(|| self.map.versions(name).next()).unwrap_or(name)
    }

    /// The table's columns that may hold what comes, the oldest first: those since the column came back, or those before.
    fn open(&self, name: &str) -> Vec<&FieldRef> {
        let versions: Vec<&str> = self.map.versions(name).collect();
        let since = self.since(name).and_then(|since| versions.iter().position(|version| *version == since.column));
        let (before, after) = versions.split_at(since.unwrap_or(0));
        let open = if self.is_late(name) { before } else { after };
        open.iter().filter_map(|version| Some(&self.fields[self.position(version)?])).collect()
    }

    /// Of the columns that may hold it the one that takes the type as it is: the newest of the same, else of a wider one.
    fn that_takes(&self, name: &str, field: &Field) -> Option<String> {
        let open = self.open(name);
        let same = open.iter().rev().find(|table| table.data_type() == field.data_type());
        let found = same.or_else(|| open.iter().rev().find(|table| holds(table, field)));
        found.map(|found| found.name().clone())
    }

    /// For a column that comes back: one that another topic made since.
    fn after_newest(&mut self, field: &FieldRef, newest: &str) -> Option<String> {
        let name = field.name();
        let later = self.map.versions(name).skip_while(|version| *version != newest).skip(1);
        let takes = |version: &&str| self.position(version).is_some_and(|at| holds(&self.fields[at], field));
        let found = later.into_iter().find(takes)?.to_owned();
        self.come_back(name, &found);
        Some(found)
    }

    fn come_back(&mut self, name: &str, column: &str) {
        let topic = self.map.topics.entry(self.incoming.topic.to_owned()).or_default();
        if let Some(at) = topic.dropped.remove(name) {
            topic.since.insert(name.to_owned(), Since { column: column.to_owned(), at });
        }
        topic.gain(name, &self.incoming.from);
    }

    /// The values go to a column; it is the topic's newest from now on if it is later than that.
    fn take(&mut self, name: &str, column: String) -> Place {
        let number = |of: &str| self.map.versions(name).position(|version| version == of);
        if number(&column) > number(self.newest(name)) {
            let topic = self.map.topics.entry(self.incoming.topic.to_owned()).or_default();
            topic.newest.insert(name.to_owned(), column.clone());
        }
        self.place(name, column, None)
    }

    fn place(&self, name: &str, column: String, refused: Option<String>) -> Place {
        let others = self.map.versions(name).filter(|other| *other != column && self.position(other).is_some());
        Place { others: others.map(str::to_owned).collect(), column: Some(column), refused }
    }

    fn resolve(&mut self, field: &FieldRef, conflict: &Conflict) -> Result<Place> {
        let name = field.name();
        let free = self.free_name(name);
        let error = self.told(field, conflict, &free);
        if self.is_fixed(name) {
            return Err(error);
        }
        match (self.on_conflict, conflict) {
            (OnSchemaConflict::Stop, _) => Err(error),
            (OnSchemaConflict::DeadLetter, Conflict::Taken(_)) => Ok(Place::nowhere(Some(error.to_string()))),
            (OnSchemaConflict::DeadLetter, _) => {
                let column = self.newest(name).to_owned();
                Ok(self.place(name, column, Some(error.to_string())))
            }
            (OnSchemaConflict::NewColumn, _) => self.go_on_in(free, field, conflict),
        }
    }

    fn go_on_in(&mut self, free: String, field: &FieldRef, conflict: &Conflict) -> Result<Place> {
        let name = field.name();
        self.add(&free, field)?;
        let first = (!matches!(conflict, Conflict::Taken(_))).then(|| name.clone());
        let versions = self.map.versions.entry(name.clone()).or_insert_with(|| first.into_iter().collect());
        versions.push(free.clone());
        if matches!(conflict, Conflict::CameBack) {
            self.come_back(name, &free);
        }
        Ok(self.take(name, free))
    }

    fn told(&self, field: &FieldRef, conflict: &Conflict, free: &str) -> Error {
        let name = field.name();
        let found = match conflict {
            Conflict::Type(Error::Schema { column, reason }) if column != name => format!("in `{column}` {reason}"),
            Conflict::Type(Error::Schema { reason, .. }) => reason.clone(),
            Conflict::Type(other) => other.to_string(),
            Conflict::CameBack => {
                let table = self.position(self.newest(name)).map(|at| self.fields[at].data_type().to_string());
                let (table, incoming) = (table.unwrap_or_default(), field.data_type());
                format!(
                    "the source dropped it, {table} in the table, and has it again, {incoming}: rows hold old values"
                )
            }
            Conflict::Taken(of) => format!("the table's column of this name holds the source's `{of}`"),
        };
        let settings = format!(
            "the setting `on_schema_conflict`: `new-column` goes on in `{free}`, `dead-letter` refuses rows with a value"
        );
        Error::schema(name, format!("{found} ({settings})"))
    }

    /// The next name with a number that nothing has.
    fn free_name(&self, name: &str) -> String {
        let columns = || self.fields.iter().chain(self.incoming.schema.fields());
        let is_taken = |candidate: &str| columns().any(|field| field.name().eq_ignore_ascii_case(candidate));
        let mut number = (self.map.versions(name).count() + 1).max(2);
        while is_taken(&format!("{name}_v{number}")) {
            number += 1;
        }
        format!("{name}_v{number}")
    }

    /// Adds a column at the end. Other topics' rows do not have it.
    fn add(&mut self, name: &str, field: &FieldRef) -> Result<()> {
        if let Some(other) = self.fields.iter().find(|other| other.name().eq_ignore_ascii_case(name)) {
            let reason = format!("differs from the table's `{}` in case only", other.name());
            return Err(Error::schema(name, reason));
        }
        self.fields.push(Arc::new(field.as_ref().clone().with_name(name).with_nullable(true)));
        if name == field.name() && !is_ours(name) {
            let others = self.map.topics.iter_mut().filter(|(topic, _)| *topic != self.incoming.topic);
            for (_, topic) in others {
                topic.lacks.insert(name.to_owned());
            }
        }
        Ok(())
    }
}

impl Place {
    fn nowhere(refused: Option<String>) -> Self {
        Self { column: None, others: Vec::new(), refused }
    }
}

/// Whether the table's column takes values of the type as it is.
fn holds(table: &FieldRef, incoming: &Field) -> bool {
    evolve_column(table, incoming).is_ok_and(|grown| grown.data_type() == table.data_type())
}
