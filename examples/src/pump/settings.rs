//! [`PumpSettings`]: how long is waited for what.

use crate::{Failure, Route};

/// The table that a topic feeds.
pub type Routes = Box<dyn Fn(&str) -> Result<Route, Failure> + Send + Sync>;

/// How long is waited for what, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PumpSettings {
    /// Between two looks at which tables are due. Default 50.
    pub look_every_ms: i64,
    /// Between two times that the group is told how far the tables are, and what is watched is published. Default 1,000.
    pub tell_every_ms: i64,
    /// How long commits may take of partitions that are asked back; less than `max.poll.interval.ms`. Default 120,000.
    pub drain_ms: i64,
    /// Before who did not answer is asked again, at first; each time twice as long, up to thirty times. Default 1,000.
    pub rest_ms: i64,
    /// Ends once every partition was read to its end. Default: no.
    pub until_the_end: bool,
    /// Ends with the first table that stops, in place of going on with the others. Default: no.
    pub stops_with_a_table: bool,
}

impl Default for PumpSettings {
    fn default() -> Self {
        Self {
            look_every_ms: 50,
            tell_every_ms: 1_000,
            drain_ms: 120_000,
            rest_ms: 1_000,
            until_the_end: false,
            stops_with_a_table: false,
        }
    }
}
