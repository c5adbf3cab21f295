//! [`Settings`]: what a consumer of a Kafka cluster is told.
//!
//! Our own are fields. Everything that librdkafka can be told goes into [`Settings::client`] under its own name, unchanged; what
//! would break the rules of this crate is refused by name, so that nothing is set and silently not done:
//!
//! | setting | is | for |
//! |---|---|---|
//! | `enable.auto.commit` | `false` | the tables' commit is the truth, the group's offset follows it |
//! | `enable.auto.offset.store` | `false` | the same |
//! | `auto.offset.reset` | `error` | an offset that is gone is told, never jumped over |
//! | `isolation.level` | `read_committed` | an aborted transaction never happened |
//! | `enable.partition.eof` | `true` | tells that a partition was read to its end |
//! | `statistics.interval.ms` | above 0 (default 5000) | lag, and the consumer stays alive while topics are silent |
//! | `partition.assignment.strategy` | default `cooperative-sticky` | a rebalance stops only what moves |
//! | `queued.max.messages.kbytes` | default: by the budget | what librdkafka fetches ahead counts as memory too |
//!
//! Nothing here connects.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::offsets::Policy;

/// What is always set, to nothing else.
const FIXED: [(&str, &str); 5] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("enable.partition.eof", "true"),
];

/// What has a field of its own, with the field's name.
const FIELDS: [(&str, &str); 3] =
    [("bootstrap.servers", "`servers`"), ("metadata.broker.list", "`servers`"), ("group.id", "`group`")];

/// What wakes a consumer whose topics are silent.
const STATISTICS: &str = "statistics.interval.ms";

/// Which topics are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// These.
    Named(Vec<String>),
    /// All whose name the regular expression finds, those that are made later too. It begins with `^`.
    Matching(String),
}

/// What a consumer of a Kafka cluster is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Brokers to ask first: `host:port`, by comma.
    pub servers: String,
    /// The consumer group.
    pub group: String,
    /// What is read.
    pub topics: Topics,
    /// What is done where the tables do not simply say where to begin.
    pub policy: Policy,
    /// How much may be handed on without being committed, in bytes of keys, values and headers. Above it nothing is fetched.
    pub budget_bytes: u64,
    /// About how much a batch holds, in the same bytes.
    pub batch_bytes: usize,
    /// How long a broker may take to say which offsets it has.
    pub lookup_timeout: Duration,
    /// What librdkafka is told, by its own names. May hold secrets: never printed.
    pub client: BTreeMap<String, String>,
}

/// All but the values that may be secrets.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("servers", &self.servers)
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("policy", &self.policy)
            .field("client", &self.client.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// With 256 MiB in flight, batches of 4 MiB, ten seconds for a look-up, and the policies' defaults.
    pub fn new(servers: impl Into<String>, group: impl Into<String>, topics: Topics) -> Self {
        Self {
            servers: servers.into(),
            group: group.into(),
            topics,
            policy: Policy::default(),
            budget_bytes: 256 * 1024 * 1024,
            batch_bytes: 4 * 1024 * 1024,
            lookup_timeout: Duration::from_secs(10),
            client: BTreeMap::new(),
        }
    }

    /// With one of librdkafka's settings.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.client.insert(name.into(), value.into());
        self
    }

    /// What to subscribe to, in librdkafka's words.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is no topic, or the pattern does not begin with `^`.
    pub fn subscription(&self) -> Result<Vec<&str>> {
        let wrong = |want| Err(Error::setting("topics", want));
        match &self.topics {
            Topics::Named(names) if names.is_empty() => wrong("at least one topic"),
            Topics::Named(names) if names.iter().any(|name| name.is_empty() || name.starts_with('^')) => {
                wrong("names; a regular expression is given as such")
            }
            Topics::Named(names) => Ok(names.iter().map(String::as_str).collect()),
            Topics::Matching(pattern) if !pattern.starts_with('^') => {
                wrong("a regular expression that begins with `^`")
            }
            Topics::Matching(pattern) => Ok(vec![pattern]),
        }
    }

    /// Everything that librdkafka is told.
    ///
    /// # Errors
    /// [`Error::Setting`] where a setting would break the rules of this crate.
    pub fn client_settings(&self) -> Result<BTreeMap<String, String>> {
        self.check()?;
        let queue_kbytes = (self.budget_bytes / 1024).clamp(1024, 2_097_151);
        let mut all = BTreeMap::from([
            (STATISTICS.to_owned(), "5000".to_owned()),
            ("partition.assignment.strategy".to_owned(), "cooperative-sticky".to_owned()),
            ("queued.max.messages.kbytes".to_owned(), queue_kbytes.to_string()),
            // A full queue is looked at again after this time. By default that is a second, in which it is long empty.
            ("fetch.queue.backoff.ms".to_owned(), "10".to_owned()),
        ]);
        all.extend(self.client.clone());
        all.extend(FIXED.map(|(name, value)| (name.to_owned(), value.to_owned())));
        all.insert("bootstrap.servers".to_owned(), self.servers.clone());
        all.insert("group.id".to_owned(), self.group.clone());
        Ok(all)
    }

    fn check(&self) -> Result<()> {
        for (name, what) in [("servers", &self.servers), ("group", &self.group)] {
            if what.trim().is_empty() {
                return Err(Error::setting(name, "something"));
            }
        }
        for (name, amount) in [("budget_bytes", self.budget_bytes), ("batch_bytes", self.batch_bytes as u64)] {
            if amount == 0 {
                return Err(Error::setting(name, "a number above 0"));
            }
        }
        self.client.iter().try_for_each(|(name, value)| check(name, value))
    }
}

fn check(name: &str, value: &str) -> Result<()> {
    if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
        return Err(Error::setting(name, format!("it in {field}")));
    }
    if let Some((_, only)) = FIXED.iter().find(|(known, only)| *known == name && *only != value) {
        return Err(Error::setting(name, format!("`{only}`, which is set already")));
    }
    if name == STATISTICS && !value.parse().is_ok_and(|ms: u64| ms > 0) {
        return Err(Error::setting(name, "a whole number of milliseconds above 0"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("a:1,b:2", "g", Topics::Named(vec!["t".to_owned()]))
    }

    fn check_refused(settings: Settings, name: &str) {
        let error = settings.client_settings().unwrap_err().to_string();
        assert!(error.starts_with(&format!("setting `{name}`: want ")) && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn what_would_break_the_rules_is_refused_by_name() {
        for name in FIXED.map(|(name, _)| name).into_iter().chain(FIELDS.map(|(name, _)| name)).chain([STATISTICS]) {
            check_refused(settings().with(name, "hunter2"), name);
        }
        check_refused(settings().with(STATISTICS, "0"), STATISTICS);
        check_refused(Settings { servers: " ".to_owned(), ..settings() }, "servers");
        check_refused(Settings { group: String::new(), ..settings() }, "group");
        check_refused(Settings { budget_bytes: 0, ..settings() }, "budget_bytes");
        check_refused(Settings { batch_bytes: 0, ..settings() }, "batch_bytes");
    }

    #[test]
    fn everything_else_is_passed_on_and_beats_our_defaults() {
        let settings = settings()
            .with("sasl.password", "hunter2")
            .with("partition.assignment.strategy", "range")
            .with("auto.offset.reset", "error");
        let all = settings.client_settings().unwrap();
        for (name, value) in [
            ("sasl.password", "hunter2"),
            ("partition.assignment.strategy", "range"),
            ("enable.auto.commit", "false"),
            ("bootstrap.servers", "a:1,b:2"),
            ("group.id", "g"),
            ("statistics.interval.ms", "5000"),
            ("queued.max.messages.kbytes", "262144"),
        ] {
            assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
        }
        let shown = format!("{settings:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn topics_are_names_or_one_pattern() {
        let subscription =
            |topics| Settings { topics, ..settings() }.subscription().map(|t| t.join(" ")).map_err(|e| e.to_string());
        assert_eq!(subscription(Topics::Matching("^shop\\.".to_owned())).unwrap(), "^shop\\.");
        assert_eq!(subscription(Topics::Named(vec!["a".to_owned(), "b".to_owned()])).unwrap(), "a b");
        for topics in [
            Topics::Named(vec![]),
            Topics::Named(vec!["^a".to_owned()]),
            Topics::Named(vec![String::new()]),
            Topics::Matching("a".to_owned()),
        ] {
            assert!(subscription(topics).unwrap_err().starts_with("setting `topics`: want "));
        }
    }
}
