//! [`LambdaSettings`]: what a function is told in variables of its environment, which stand here once.

use std::path::PathBuf;

use kafka_source::lambda::Framing;
use kafka_source::offsets::OnGap;

use crate::config::{Config, Duration, GlueConfig, Router, choice, nearest_of};
use crate::{Decoders, Failure, Format, OnBadMessage};

/// Variables of other names are not ours.
const OURS: &str = "HUDI_";

/// What a function is told. All of it is checked before the first event.
#[derive(Debug)]
pub struct LambdaSettings {
    /// Makes the decoders.
    pub decoders: Decoders,
    /// Finds the tables.
    pub router: Router,
    /// About a record that cannot become a row.
    pub on_bad: OnBadMessage,
    /// How many a minute may become dead letters of a table.
    pub dead_letters_per_minute: Option<u32>,
    /// About a table whose next message does not come.
    pub on_gap: OnGap,
    /// Whether Lambda was told that answers name what is to be sent again.
    pub partial_failures: bool,
    /// How long before the deadline there is an answer.
    pub deadline_margin_ms: i64,
    /// About schemas' ids that the event source took off.
    pub framing: Framing,
    /// How many tables commit at a time.
    pub concurrent_commits: usize,
    /// Where Athena finds the tables, if anywhere.
    pub glue: Option<GlueConfig>,
    /// Where CloudWatch keeps the metrics.
    pub namespace: String,
    /// The function's name.
    pub function: String,
    /// What is logged.
    pub log: tracing::level_filters::LevelFilter,
}

/// What the variables say so far.
struct Said {
    config: Config,
    on_gap: Option<String>,
    framing: Option<String>,
    log: Option<String>,
    partial_failures: bool,
    deadline_margin: Duration,
    concurrent_commits: usize,
    namespace: String,
}

/// Notes what a variable says.
type Put = fn(&mut Said, &str) -> Result<(), String>;

/// A variable: its name, what it is called in a file, and how it is noted.
type Variable = (&'static str, &'static str, Put);

const VARIABLES: [Variable; 38] = [
    ("HUDI_CONFIG", "config", |_, _| Ok(())),
    ("HUDI_TABLES", "tables.url", |said, text| put(&mut said.config.tables.url, text)),
    ("HUDI_FORMAT", "format", |said, text| said.format(text)),
    ("HUDI_FORMAT_SETTINGS", "format.settings", |said, text| pairs(text).map(|of| said.config.format.settings = of)),
    ("HUDI_SCHEMA", "format.schema", |said, text| path(&mut said.config.format.schema, text)),
    ("HUDI_SCHEMAS", "format.schemas", |said, text| path(&mut said.config.format.schemas, text)),
    ("HUDI_OVERRIDES", "format.overrides", |said, text| {
        said.config.format.overrides = parts(text, ';');
        Ok(())
    }),
    ("HUDI_HASH_KEYS", "format.hash_keys", |said, text| pairs(text).map(|of| said.config.format.hash_keys = of)),
    ("HUDI_REGISTRY", "registry.urls", |said, text| {
        said.config.registry.get_or_insert_default().urls = parts(text, ',');
        Ok(())
    }),
    ("HUDI_REGISTRY_USER", "registry.user", |said, text| {
        put(&mut said.config.registry.get_or_insert_default().user, text)
    }),
    ("HUDI_REGISTRY_PASSWORD", "registry.password", |said, text| {
        put(&mut said.config.registry.get_or_insert_default().password, text)
    }),
    ("HUDI_REGISTRY_TOKEN", "registry.token", |said, text| {
        put(&mut said.config.registry.get_or_insert_default().token, text)
    }),
    ("HUDI_REGISTRY_APICURIO", "registry.apicurio", |said, text| {
        put(&mut said.config.registry.get_or_insert_default().apicurio, text)
    }),
    ("HUDI_REGISTRY_TIMEOUT", "registry.timeout", |said, text| {
        text.parse().map(|time: Duration| said.config.registry.get_or_insert_default().timeout = Some(time))
    }),
    ("HUDI_EVENT_FRAMING", "framing", |said, text| put(&mut said.framing, text)),
    ("HUDI_KEY", "tables.key", |said, text| list(&mut said.config.tables.key, text)),
    ("HUDI_PARTITION_BY", "tables.partition_by", |said, text| list(&mut said.config.tables.partition_by, text)),
    ("HUDI_PARTITION_IMMUTABLE", "tables.partition_immutable", |said, text| {
        flag(text).map(|on| said.config.tables.partition_immutable = Some(on))
    }),
    ("HUDI_INDEX", "tables.index", |said, text| put(&mut said.config.tables.index, text)),
    ("HUDI_MODE", "tables.mode", |said, text| put(&mut said.config.tables.mode, text)),
    ("HUDI_PROPERTIES", "tables.properties", |said, text| {
        pairs(text).map(|of| said.config.tables.properties = Some(of))
    }),
    ("HUDI_PIPELINE", "tables.pipeline", |said, text| put(&mut said.config.tables.pipeline, text)),
    ("HUDI_KEYLESS_PARTITIONS", "tables.keyless_partitions", |said, text| {
        flag(text).map(|on| said.config.tables.keyless_partitions = Some(on))
    }),
    ("HUDI_SEVERAL_TOPICS", "tables.several_topics", |said, text| {
        flag(text).map(|on| said.config.tables.several_topics = Some(on))
    }),
    ("HUDI_ON_SOURCE_WENT_BACK", "tables.on_source_went_back", |said, text| {
        put(&mut said.config.tables.on_source_went_back, text)
    }),
    ("HUDI_ON_SECOND_SNAPSHOT", "tables.on_second_snapshot", |said, text| {
        put(&mut said.config.tables.on_second_snapshot, text)
    }),
    ("HUDI_ON_SCHEMA_CONFLICT", "tables.on_schema_conflict", |said, text| {
        put(&mut said.config.tables.on_schema_conflict, text)
    }),
    ("HUDI_ON_FOREIGN_PENDING", "tables.on_foreign_pending", |said, text| {
        put(&mut said.config.tables.on_foreign_pending, text)
    }),
    ("HUDI_BAD_RECORD", "errors.bad_message", |said, text| put(&mut said.config.errors.bad_message, text)),
    ("HUDI_DEAD_LETTERS_PER_MINUTE", "errors.dead_letters_per_minute", |said, text| {
        number(text).map(|limit| said.config.errors.dead_letters_per_minute = Some(limit))
    }),
    ("HUDI_ON_GAP", "on_gap", |said, text| put(&mut said.on_gap, text)),
    ("HUDI_PARTIAL_FAILURES", "partial_failures", |said, text| flag(text).map(|on| said.partial_failures = on)),
    ("HUDI_DEADLINE_MARGIN", "deadline_margin", |said, text| text.parse().map(|time| said.deadline_margin = time)),
    ("HUDI_CONCURRENT_COMMITS", "concurrent_commits", |said, text| {
        let above_0 = number(text).ok().filter(|tables: &usize| *tables > 0);
        above_0.map(|tables| said.concurrent_commits = tables).ok_or_else(|| "want a whole number above 0".to_owned())
    }),
    ("HUDI_GLUE_DATABASE", "glue.database", |said, text| {
        put(&mut said.config.glue.get_or_insert_default().database, text)
    }),
    ("HUDI_GLUE_TABLE", "glue.table", |said, text| put(&mut said.config.glue.get_or_insert_default().table, text)),
    ("HUDI_METRICS_NAMESPACE", "namespace", |said, text| {
        text.clone_into(&mut said.namespace);
        Ok(())
    }),
    ("HUDI_LOG", "log.level", |said, text| put(&mut said.log, text)),
];

impl LambdaSettings {
    /// What these variables say; those of other programs are passed over.
    ///
    /// # Errors
    /// A variable of ours that is none, with the nearest that is; or what is wrong with one, by its name.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, Failure> {
        let (mut ours, mut function) = (vec![], None);
        for (name, value) in variables {
            match name.as_str() {
                "AWS_LAMBDA_FUNCTION_NAME" => function = Some(value),
                _ if name.starts_with(OURS) => ours.push((name, value)),
                _ => {}
            }
        }
        ours.sort();
        let mut said = Said::new(ours.iter().find(|(name, _)| name == "HUDI_CONFIG").map(|(_, path)| path))?;
        ours.iter().try_for_each(|(name, value)| said.put(name, value))?;
        let settings = said.settings(function.unwrap_or_else(|| "local".to_owned()));
        settings.map_err(|failure| Failure::usage(by_variables(&failure.to_string())))
    }
}

impl Said {
    fn new(file: Option<&String>) -> Result<Self, Failure> {
        let config = file.map(|path| Config::read(path.as_ref())).transpose()?.unwrap_or_default();
        Ok(Self {
            config,
            on_gap: None,
            framing: None,
            log: None,
            partial_failures: false,
            deadline_margin: Duration { ms: 1_000 },
            concurrent_commits: 4,
            namespace: "HudiCdc".to_owned(),
        })
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let Some((_, _, put)) = VARIABLES.iter().find(|(known, ..)| *known == name) else {
            let nearest = nearest_of(name, VARIABLES.iter().map(|(known, ..)| *known));
            let nearest = nearest.map_or(String::new(), |nearest| format!("; did you mean {nearest}?"));
            return Err(Failure::usage(format!("{name}: there is no such setting{nearest}")));
        };
        put(self, value).map_err(|wrong| Failure::usage(format!("{name}: {wrong}")))
    }

    fn format(&mut self, text: &str) -> Result<(), String> {
        let format = <Format as clap::ValueEnum>::from_str(text, false);
        let known = <Format as clap::ValueEnum>::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
        let known = || known.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ");
        self.config.format.name = Some(format.map_err(|_| format!("want one of {}", known()))?);
        Ok(())
    }

    fn settings(self, function: String) -> Result<LambdaSettings, Failure> {
        let config = &self.config;
        refuse_what_says_nothing(config)?;
        config.check_glue()?;
        let mut decoders = config.decoders()?;
        if let Some(registry) = &config.registry {
            decoders.schemas = registry.schemas()?;
        }
        let router = config.router()?;
        if config.tables.url.is_none() && config.overrides.is_empty() {
            return Err(Failure::usage("tables.url: want the place of the tables"));
        }
        let on_bad = config.on_bad()?;
        let dead_letters_per_minute = match (on_bad, config.errors.dead_letters_per_minute) {
            (OnBadMessage::Stop, _) => Some(0),
            (OnBadMessage::DeadLetter, Some(0)) => None,
            (OnBadMessage::DeadLetter, limit) => limit.or(Some(1_000)),
        };
        Ok(LambdaSettings {
            decoders,
            router,
            on_bad,
            dead_letters_per_minute,
            on_gap: choice("on_gap", self.on_gap.as_deref(), &[("stop", OnGap::Stop), ("go-on", OnGap::Earliest)])?,
            partial_failures: self.partial_failures,
            deadline_margin_ms: self.deadline_margin.ms,
            framing: choice("framing", self.framing.as_deref(), &FRAMING)?,
            concurrent_commits: self.concurrent_commits,
            glue: self.config.glue,
            namespace: self.namespace,
            function,
            log: log_level(self.log.as_deref())?,
        })
    }
}

const FRAMING: [(&str, Framing); 2] = [("as-given", Framing::AsGiven), ("restored", Framing::Restored)];

fn log_level(said: Option<&str>) -> Result<tracing::level_filters::LevelFilter, Failure> {
    use tracing::level_filters::LevelFilter as Level;
    let levels = [
        ("info", Level::INFO),
        ("off", Level::OFF),
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("debug", Level::DEBUG),
    ];
    choice("log.level", said, &levels)
}

/// A file may serve the consumer too; but what only that does is not to be thought done.
fn refuse_what_says_nothing(config: &Config) -> Result<(), Failure> {
    let mut commits = config.overrides.iter().chain([&config.tables]).map(|table| table.commit);
    let nothing = [
        ("kafka", config.kafka != Default::default()),
        ("commit", config.commit != Default::default() || commits.any(|commit| commit.is_some())),
        ("memory", config.memory != Default::default()),
        ("glue.max_failing", config.glue.as_ref().is_some_and(|glue| glue.max_failing.is_some())),
        ("watch", config.watch != Default::default()),
        ("log", config.log != Default::default()),
        ("errors.stop_with_a_table", config.errors.stop_with_a_table),
    ];
    match nothing.into_iter().find(|(_, is_said)| *is_said) {
        Some((name, _)) => {
            Err(Failure::usage(format!("{name}: says nothing to a function: it commits what it is called with")))
        }
        None => Ok(()),
    }
}

/// A message about a file's key, about the variable.
fn by_variables(message: &str) -> String {
    let of_key = |(_, key, _): &&Variable| message.strip_prefix(*key).is_some_and(|rest| rest.starts_with(':'));
    match VARIABLES.iter().find(of_key) {
        Some((name, key, _)) => format!("{name}{}", &message[key.len()..]),
        None => message.to_owned(),
    }
}

fn put(to: &mut Option<String>, text: &str) -> Result<(), String> {
    *to = Some(text.to_owned());
    Ok(())
}

fn path(to: &mut Option<PathBuf>, text: &str) -> Result<(), String> {
    *to = Some(text.into());
    Ok(())
}

fn list(to: &mut Option<Vec<String>>, text: &str) -> Result<(), String> {
    *to = Some(parts(text, ','));
    Ok(())
}

fn parts(text: &str, by: char) -> Vec<String> {
    text.split(by).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn pairs<C: FromIterator<(String, String)>>(text: &str) -> Result<C, String> {
    let pair = |part: String| {
        let (key, value) = part.split_once('=').ok_or("want KEY=VALUE, several by `;`")?;
        Ok((key.trim().to_owned(), value.to_owned()))
    };
    parts(text, ';').into_iter().map(pair).collect()
}

fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "want true or false".to_owned())
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "want a whole number".to_owned())
}
