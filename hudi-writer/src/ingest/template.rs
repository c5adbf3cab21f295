//! [`TableTemplate`]: where a table is, what it is made of when its first row comes, and what feeds it.

use crate::builder::WriterBuilder;
use crate::error::{Error, Result};
use crate::settings::NewTable;
use crate::writer::TableWriter;

use super::settings::Triggers;

/// A table that is opened where it is, and made where it is not once there is a row for it.
#[derive(Debug, Clone)]
pub struct TableTemplate {
    /// The writer of the table.
    pub builder: WriterBuilder,
    /// The table that is made. Without a key it gets that of the first messages; where those have none, and add rows, it has none.
    pub table: NewTable,
    /// What of it must be so in a table that is there: otherwise it is refused.
    pub given: Given,
    /// The topics that feed the table. Those of changes that are handed over need not be named, but where a consumer starts in a
    /// topic is only known of the tables that name it.
    pub topics: Vec<String>,
    /// Several topics may feed the table. Otherwise changes of a second one are refused: its rows would be taken for those of
    /// the first. Default: no.
    pub several_topics: bool,
    /// When the table commits, where not as the others do.
    pub triggers: Option<Triggers>,
}

/// Parts of a table's definition that somebody asked for, and that a table has for its whole life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// The key.
    pub key: bool,
    /// The partition columns.
    pub partition_by: bool,
    /// The index.
    pub index: bool,
    /// What becomes of changes.
    pub mode: bool,
}

impl TableTemplate {
    /// A table that nothing feeds yet.
    #[must_use]
    pub fn new(builder: WriterBuilder, table: NewTable) -> Self {
        Self { builder, table, given: Given::default(), topics: vec![], several_topics: false, triggers: None }
    }

    /// Takes no table that differs in this.
    #[must_use]
    pub fn given(mut self, given: Given) -> Self {
        self.given = given;
        self
    }

    /// Feeds the table from a topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Feeds the table from as many topics as bring changes of it.
    #[must_use]
    pub fn several_topics(mut self) -> Self {
        self.several_topics = true;
        self
    }

    /// Commits the table at other times than the others.
    #[must_use]
    pub fn triggers(mut self, triggers: Triggers) -> Self {
        self.triggers = Some(triggers);
        self
    }

    /// Refuses a table that is there and is another than what was asked for.
    pub(super) fn accept(&self, writer: &TableWriter) -> Result<()> {
        let (wanted, given, properties) = (&self.table, self.given, writer.table().properties());
        let differs = |what: &str, has: &dyn std::fmt::Debug| {
            let why = format!("the table is there already, with the {what} {has:?}, for its whole life");
            Err(Error::refused(format!("another {what}"), why))
        };
        if given.key && wanted.key != properties.source_key() {
            return differs("key", &properties.source_key());
        }
        if given.partition_by && wanted.partition_by != properties.partition_fields() {
            return differs("partition columns", &properties.partition_fields());
        }
        if given.mode && wanted.mode != properties.mode() {
            return differs("mode", &properties.mode());
        }
        if given.index && wanted.index != Some(writer.index()) {
            return differs("index", &writer.index());
        }
        Ok(())
    }
}
