//! [`TableTemplate`]: where a table is, what it is made of when its first row comes, and what feeds it.

use crate::builder::WriterBuilder;
use crate::settings::NewTable;

use super::settings::Triggers;

/// A table that is opened where it is, and made where it is not once there is a row for it.
#[derive(Debug, Clone)]
pub struct TableTemplate {
    /// The writer of the table.
    pub builder: WriterBuilder,
    /// The table that is made. Without a key it gets that of the first messages; where those have none, and add rows, it has none.
    pub table: NewTable,
    /// The topics that feed the table. Those of changes that are handed over need not be named, but where a consumer starts in a
    /// topic is only known of the tables that name it.
    pub topics: Vec<String>,
    /// Several topics may feed the table. Otherwise changes of a second one are refused: its rows would be taken for those of
    /// the first. Default: no.
    pub several_topics: bool,
    /// When the table commits, where not as the others do.
    pub triggers: Option<Triggers>,
}

impl TableTemplate {
    /// A table that nothing feeds yet.
    #[must_use]
    pub fn new(builder: WriterBuilder, table: NewTable) -> Self {
        Self { builder, table, topics: vec![], several_topics: false, triggers: None }
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
}
