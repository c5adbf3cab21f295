//! What the parts of the program are told: [`Told`], a [`Config`] that was checked.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use hudi_writer::ingest::{Given, IngestSettings, TableTemplate, Triggers};
use hudi_writer::{
    ForeignPending, Mode, NewTable, OnSchemaConflict, SecondSnapshot, SourceWentBack, TableWriter, WriterSettings,
};
use kafka_source::offsets::{OnGap, OnRemade, Policy, Unread};
use kafka_source::{Settings, Topics};

use super::amounts::Duration;
use super::file::{CommitConfig, Config, ErrorConfig, FormatConfig, KafkaConfig, MemoryConfig, TableConfig};
use crate::{Decoders, Failure, FormatOptions, IndexOption, Limits, OnBadMessage, PumpSettings, Route, UrlTemplate};

/// librdkafka holds so much of the budget, fetched and not handed on.
const QUEUE_SHARE: u64 = 8;
const MAX_QUEUE_BYTES: u64 = 64 << 20;
/// Of one batch of messages.
const BATCH_BYTES: usize = 1 << 20;

/// A [`Config`] that was checked, as the parts of the program take it.
pub struct Told {
    /// The consumer.
    pub kafka: Settings,
    /// The decoders.
    pub decoders: Decoders,
    /// About a message that cannot become a row.
    pub on_bad: OnBadMessage,
    /// When tables commit, and how much is held.
    pub ingest: IngestSettings,
    /// Which tables there are.
    pub router: Router,
    /// How long is waited for what.
    pub pump: PumpSettings,
    /// What is not well any more.
    pub limits: Limits,
}

/// Finds the tables of topics.
pub struct Router {
    tables: TableConfig,
    overrides: Vec<TableConfig>,
    /// Which topic a place was given to.
    taken: Mutex<BTreeMap<String, String>>,
}

impl Config {
    /// What the parts of the program are told.
    ///
    /// # Errors
    /// What is wrong, by its name in the file.
    pub fn told(&self) -> Result<Told, Failure> {
        let budget_bytes = self.memory.budget.map_or(512 << 20, |budget| budget.0);
        self.check_glue()?;
        let router = self.router()?;
        for topic in &self.kafka.topics {
            router.route(topic)?;
        }
        Ok(Told {
            kafka: kafka(&self.kafka, budget_bytes)?,
            decoders: self.decoders()?,
            on_bad: self.on_bad()?,
            ingest: ingest(&self.memory, &self.commit, &self.errors, budget_bytes),
            router,
            pump: PumpSettings { stops_with_a_table: self.errors.stop_with_a_table, ..PumpSettings::default() },
            limits: self.limits(),
        })
    }

    /// What makes the decoders.
    ///
    /// # Errors
    /// What is wrong with the format.
    pub fn decoders(&self) -> Result<Decoders, Failure> {
        options(&self.format)?.decoders()
    }

    /// What is done about a message that cannot become a row.
    ///
    /// # Errors
    /// Where that is none of what can be done.
    pub fn on_bad(&self) -> Result<OnBadMessage, Failure> {
        choice("errors.bad_message", self.errors.bad_message.as_deref(), &BAD_MESSAGE)
    }

    /// What finds the tables.
    ///
    /// # Errors
    /// What is wrong with a table.
    pub fn router(&self) -> Result<Router, Failure> {
        Router::new(self.tables.clone(), self.overrides.clone())
    }

    fn limits(&self) -> Limits {
        let (usual, ms) = (Limits::default(), |time: Option<Duration>| time.map(|time| time.ms));
        Limits {
            failing_ms: ms(self.watch.max_failing).unwrap_or(usual.failing_ms),
            freshness_ms: ms(self.watch.max_freshness),
            unsynced_ms: ms(self.glue.as_ref().and_then(|glue| glue.max_failing)).unwrap_or(usual.unsynced_ms),
            ..usual
        }
    }
}

const BAD_MESSAGE: [(&str, OnBadMessage); 2] =
    [("dead-letter", OnBadMessage::DeadLetter), ("stop", OnBadMessage::Stop)];
const UNREAD: [(&str, Unread); 3] =
    [("earliest", Unread::Earliest), ("latest", Unread::Latest), ("refuse", Unread::Refuse)];
const GAP: [(&str, OnGap); 2] = [("stop", OnGap::Stop), ("earliest", OnGap::Earliest)];
const REMADE: [(&str, OnRemade); 2] = [("stop", OnRemade::Stop), ("earliest", OnRemade::Earliest)];
const MODE: [(&str, Mode); 3] = [("upsert", Mode::Upsert), ("soft", Mode::SoftDelete), ("history", Mode::History)];
const WENT_BACK: [(&str, SourceWentBack); 2] =
    [("stop", SourceWentBack::Stop), ("new-epoch", SourceWentBack::NewEpoch)];
const SNAPSHOT: [(&str, SecondSnapshot); 2] = [("keep", SecondSnapshot::Keep), ("replace", SecondSnapshot::Replace)];
const CONFLICT: [(&str, OnSchemaConflict); 3] = [
    ("stop", OnSchemaConflict::Stop),
    ("new-column", OnSchemaConflict::NewColumn),
    ("dead-letter", OnSchemaConflict::DeadLetter),
];
const PENDING: [(&str, ForeignPending); 2] =
    [("leave", ForeignPending::Leave), ("roll-back", ForeignPending::RollBack)];

/// One of several words; the first where none is said.
pub(crate) fn choice<T: Copy>(name: &str, said: Option<&str>, known: &[(&str, T)]) -> Result<T, Failure> {
    let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
    let wrong = || Failure::usage(format!("{name}: want one of {}", words.join(", ")));
    match said {
        None => known.first().map(|(_, value)| *value).ok_or_else(wrong),
        Some(said) => known.iter().find(|(word, _)| *word == said).map(|(_, value)| *value).ok_or_else(wrong),
    }
}

fn kafka(of: &KafkaConfig, budget_bytes: u64) -> Result<Settings, Failure> {
    let topics = match (&of.topic_pattern, of.topics.is_empty()) {
        (Some(pattern), true) => Topics::Matching(pattern.clone()),
        (None, false) => Topics::Named(of.topics.clone()),
        _ => return Err(Failure::usage("kafka: want either `topics` or `topic_pattern`")),
    };
    let policy = Policy {
        unread: choice("kafka.unread", of.unread.as_deref(), &UNREAD)?,
        on_gap: choice("kafka.on_gap", of.on_gap.as_deref(), &GAP)?,
        on_remade: choice("kafka.on_topic_remade", of.on_topic_remade.as_deref(), &REMADE)?,
    };
    let queue_kbytes = (budget_bytes / QUEUE_SHARE).clamp(1 << 20, MAX_QUEUE_BYTES) / 1024;
    let mut client = BTreeMap::from([
        ("queued.max.messages.kbytes".to_owned(), queue_kbytes.to_string()),
        ("fetch.max.bytes".to_owned(), (queue_kbytes * 1024).to_string()),
    ]);
    client.extend(of.client.clone());
    let group = of.group.clone().unwrap_or_else(|| "hudi".to_owned());
    let settings = Settings {
        policy,
        // What is held for tables is bounded behind it, in memory that is really taken.
        budget_bytes: u64::MAX,
        batch_bytes: BATCH_BYTES,
        client,
        ..Settings::new(of.brokers.clone(), group, topics)
    };
    let wrong = |error: kafka_source::Error| Failure::usage(format!("kafka: {error}"));
    settings.client_settings().map_err(wrong)?;
    settings.subscription().map_err(wrong)?;
    Ok(settings)
}

fn options(of: &FormatConfig) -> Result<FormatOptions, Failure> {
    let pairs = |of: &BTreeMap<String, String>| of.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(FormatOptions {
        format: of.name.ok_or_else(|| Failure::usage("format: want `name`, such as \"debezium-json\""))?,
        schema: of.schema.clone(),
        schemas: of.schemas.clone(),
        settings: pairs(&of.settings),
        overrides: of.overrides.clone(),
        hash_keys: pairs(&of.hash_keys),
    })
}

fn ingest(memory: &MemoryConfig, commit: &CommitConfig, errors: &ErrorConfig, budget_bytes: u64) -> IngestSettings {
    let (usual, budget_bytes) = (IngestSettings::default(), size(budget_bytes));
    let share = memory.table_share.map_or(budget_bytes / 2, |share| size(share.0));
    let usual_triggers = Triggers { bytes: usual.triggers.bytes.min(budget_bytes / 4).max(1), ..Triggers::default() };
    IngestSettings {
        budget_bytes,
        table_share_bytes: share.max(1),
        triggers: triggers(commit, usual_triggers),
        concurrent_commits: memory.concurrent_commits.and_then(NonZeroUsize::new).unwrap_or(usual.concurrent_commits),
        dead_letters_per_minute: match (errors.bad_message.as_deref(), errors.dead_letters_per_minute) {
            (Some("stop"), _) => Some(0),
            (_, Some(0)) => None,
            (_, limit) => limit.or(usual.dead_letters_per_minute),
        },
        ..usual
    }
}

fn triggers(of: &CommitConfig, usual: Triggers) -> Triggers {
    Triggers {
        bytes: of.bytes.map_or(usual.bytes, |bytes| size(bytes.0)),
        rows: of.rows.map_or(usual.rows, size),
        age_ms: of.age.map_or(usual.age_ms, |age| age.ms),
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Router {
    /// # Errors
    /// What is wrong with a table, by its name in the file.
    pub fn new(tables: TableConfig, overrides: Vec<TableConfig>) -> Result<Self, Failure> {
        if tables.topics.is_some() {
            return Err(Failure::usage("tables.topics: want it in [[override]], for tables that are otherwise"));
        }
        if overrides.iter().any(|of| of.topics.as_ref().is_none_or(Vec::is_empty)) {
            return Err(Failure::usage("override.topics: want the topics that it is for"));
        }
        let router = Self { tables, overrides, taken: Mutex::default() };
        let all = router.overrides.iter().map(|of| of.or(&router.tables)).chain([router.tables.clone()]);
        all.into_iter().try_for_each(|table| table.check())?;
        Ok(router)
    }

    /// The table of a topic.
    ///
    /// # Errors
    /// Where there is none for it, or it is another's.
    pub fn route(&self, topic: &str) -> Result<Route, Failure> {
        let matches = |of: &&TableConfig| of.topics.iter().flatten().any(|pattern| is_like(pattern, topic));
        let of = self.overrides.iter().find(matches).map_or_else(|| self.tables.clone(), |of| of.or(&self.tables));
        let place = of.place(topic)?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let other = taken.entry(place.clone()).or_insert_with(|| topic.to_owned());
        if other != topic && of.several_topics != Some(true) {
            return Err(Failure::usage(format!(
                "the topics {other} and {topic} meet in one table, {place}: use {{topic}}, or more of its parts, or allow \
                 `several_topics`"
            )));
        }
        of.route(place)
    }
}

/// Whether a name is what a pattern with `*` says.
fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| is_like(rest, &name[at..]))
        }),
    }
}

impl TableConfig {
    /// What is said here, and elsewhere what is said there.
    fn or(&self, usual: &Self) -> Self {
        macro_rules! or {
            ($($field:ident),*) => {
                Self { topics: self.topics.clone(), $($field: self.$field.clone().or_else(|| usual.$field.clone())),* }
            };
        }
        or!(
            url,
            key,
            partition_by,
            partition_immutable,
            index,
            mode,
            properties,
            pipeline,
            keyless_partitions,
            several_topics,
            sole_writer,
            on_source_went_back,
            on_second_snapshot,
            on_schema_conflict,
            on_foreign_pending,
            commit
        )
    }

    fn check(&self) -> Result<(), Failure> {
        self.writer_settings()?;
        self.new_table("checked").map(drop)
    }

    fn place(&self, topic: &str) -> Result<String, Failure> {
        let url = self.url.as_deref().ok_or_else(|| Failure::usage("tables: want `url`, the place of the tables"))?;
        if url.contains('{') {
            let template: UrlTemplate = url.parse().map_err(|want| Failure::usage(format!("tables.url: {want}")))?;
            return template.url(topic);
        }
        Ok(url.to_owned())
    }

    fn route(&self, place: String) -> Result<Route, Failure> {
        let name = place.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let table = self.new_table(name)?;
        let given = Given {
            key: self.key.is_some(),
            partition_by: self.partition_by.is_some(),
            index: self.index.is_some(),
            mode: self.mode.is_some(),
        };
        let builder = TableWriter::builder(&place).settings(self.writer_settings()?);
        let mut template = TableTemplate::new(builder, table).given(given);
        template.several_topics = self.several_topics == Some(true);
        template.triggers = self.commit.as_ref().map(|commit| triggers(commit, Triggers::default()));
        Ok(Route { table: place, template })
    }

    fn new_table(&self, name: &str) -> Result<NewTable, Failure> {
        let mut table = NewTable::new(name, self.key.iter().flatten()).partition_by(self.partition_by.iter().flatten());
        let index = self.index.as_deref().map(str::parse::<IndexOption>).transpose();
        table.index = index.map_err(|want| Failure::usage(format!("tables.index: {want}")))?.map(|index| index.0);
        table.partition_immutable = self.partition_immutable == Some(true);
        table.mode = choice("tables.mode", self.mode.as_deref(), &MODE)?;
        table.properties = self.properties.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(table)
    }

    fn writer_settings(&self) -> Result<WriterSettings, Failure> {
        let usual = WriterSettings::default();
        let went_back = self.on_source_went_back.as_deref();
        let snapshot = self.on_second_snapshot.as_deref();
        let conflict = self.on_schema_conflict.as_deref();
        let pending = self.on_foreign_pending.as_deref();
        Ok(WriterSettings {
            pipeline: self.pipeline.clone().unwrap_or(usual.pipeline),
            on_source_went_back: choice("tables.on_source_went_back", went_back, &WENT_BACK)?,
            on_second_snapshot: choice("tables.on_second_snapshot", snapshot, &SNAPSHOT)?,
            on_schema_conflict: choice("tables.on_schema_conflict", conflict, &CONFLICT)?,
            foreign_pending: choice("tables.on_foreign_pending", pending, &PENDING)?,
            keyless_partitions: self.keyless_partitions == Some(true),
            sole_writer: self.sole_writer == Some(true),
            ..usual
        })
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// The tables of topics, for a pump.
impl From<Router> for crate::Routes {
    fn from(router: Router) -> Self {
        let router = Arc::new(router);
        Box::new(move |topic| router.route(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &str =
        "[kafka]\nbrokers = \"a:1\"\ntopics = [\"shop.public.orders\"]\n[format]\nname = \"debezium-json\"\n";

    fn told(more: &str) -> Result<Told, String> {
        let config = Config::parse(&format!("{USUAL}{more}"), &|_| None)?;
        config.told().map_err(|failure| failure.to_string())
    }

    fn check_refused(more: &str, message: &str) {
        let refused = told(more).err().unwrap_or_else(|| panic!("{more}"));
        assert!(refused.contains(message), "{message}: {refused}");
    }

    #[test]
    fn little_must_be_said() {
        let told = told("[tables]\nurl = \"/lake/{table}\"").unwrap();
        assert_eq!(told.router.route("shop.public.orders").unwrap().table, "/lake/orders");
        assert_eq!((told.ingest.budget_bytes, told.ingest.triggers.bytes), (512 << 20, 128 << 20));
        assert_eq!((told.kafka.group.as_str(), told.on_bad), ("hudi", OnBadMessage::DeadLetter));
        let client = told.kafka.client_settings().unwrap();
        assert_eq!(client["queued.max.messages.kbytes"], "65536");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_name_before_anything_starts() {
        check_refused("", "want `url`");
        check_refused("[tables]\nurl = \"/lake/{tabel}\"", "tables.url");
        check_refused(
            "[tables]\nurl = \"/l/{db}\"\nmode = \"append\"",
            "tables.mode: want one of upsert, soft, history",
        );
        check_refused("[tables]\nurl = \"/l\"\nindex = \"bloom\"", "tables.index");
        check_refused("[tables]\nurl = \"/l\"\ntopics = [\"a\"]", "tables.topics");
        check_refused("[tables]\nurl = \"/l\"\n[[override]]\nkey = [\"id\"]", "override.topics");
        check_refused("[tables]\nurl = \"/l\"\n[errors]\nbad_message = \"ignore\"", "errors.bad_message");
        check_refused("[tables]\nurl = \"/l\"\n[kafka.client]\n\"group.id\" = \"x\"", "group.id");
        check_refused("[tables]\nurl = \"/l\"\n[format.settings]\ncolour = \"red\"", "colour");
    }

    #[test]
    fn tables_of_some_topics_are_otherwise_and_the_first_that_matches_counts() {
        let overrides = "[tables]\nurl = \"/lake/{table}\"\nkey = [\"id\"]\n[[override]]\ntopics = [\"*.orders\"]\nmode = \"history\"\n\
                         commit = { age = \"5s\" }\n[[override]]\ntopics = [\"shard*.*\"]\nurl = \"/all\"\nkey = []\nseveral_topics = true";
        let router = told(overrides).unwrap().router;
        let orders = router.route("shop.public.orders").unwrap().template;
        assert_eq!((orders.table.mode, orders.table.key.clone()), (Mode::History, vec!["id".to_owned()]));
        assert_eq!(orders.triggers.unwrap(), Triggers { age_ms: 5_000, ..Triggers::default() });
        for shard in ["shard1.public.x", "shard2.public.x"] {
            let route = router.route(shard).unwrap();
            assert!(route.table == "/all" && route.template.several_topics && route.template.table.key.is_empty());
        }
        assert!(router.route("other.public.orders").unwrap_err().to_string().contains("meet in one table"));
    }

    #[test]
    fn dead_letters_are_counted_where_they_are_not_to_stop_it_at_once() {
        let limit = |errors: &str| {
            told(&format!("[tables]\nurl = \"/l\"\n[errors]\n{errors}")).unwrap().ingest.dead_letters_per_minute
        };
        assert_eq!(limit(""), Some(1_000));
        assert_eq!(limit("dead_letters_per_minute = 5"), Some(5));
        assert_eq!(limit("dead_letters_per_minute = 0"), None);
        assert_eq!(limit("bad_message = \"stop\""), Some(0));
    }
}
