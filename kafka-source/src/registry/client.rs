//! [`Registry`]: a client of Confluent's API.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cdc_decoders::SchemaId;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use super::inline::inline;
use super::settings::{Auth, RegistrySettings};
use super::source::SchemaSource;
use super::timer::{SystemTimer, Timer};
use crate::error::{Error, Result};
use crate::percent::encoded;

/// No schema is larger; what is, is no schema.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// No schema refers to more others.
const MAX_REFERENCES: usize = 1000;

const MAX_PAUSE: Duration = Duration::from_secs(30);

/// A client of a registry of schemas. Cheap to share; the library spawns no task for it.
pub struct Registry {
    settings: RegistrySettings,
    client: Client,
    timer: Arc<dyn Timer>,
    slots: Mutex<HashMap<SchemaId, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// What is known of one id. Who asks holds it, so that others wait for the same answer.
#[derive(Clone, Default)]
enum Slot {
    #[default]
    Unknown,
    Known(Arc<str>),
    Absent {
        until: Duration,
        reason: String,
    },
}

/// A schema, as the registry answers it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    schema: String,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

/// A schema that another one refers to.
#[derive(Deserialize, Clone, PartialEq, Eq, Hash)]
struct Reference {
    subject: String,
    version: i64,
}

/// What came back of one try.
enum Tried {
    Answered(Vec<u8>),
    Absent(String),
    Refused(Error),
    /// Asking again may help, after the pause that the registry wants.
    Failed(Error, Option<Duration>),
}

impl Registry {
    /// A client that waits by the machine's clock.
    ///
    /// # Errors
    /// [`Error::Setting`] where a setting cannot be used.
    pub fn new(settings: RegistrySettings) -> Result<Self> {
        Self::with_timer(settings, Arc::new(SystemTimer::default()))
    }

    /// A client that waits by another clock.
    ///
    /// # Errors
    /// [`Error::Setting`] where a setting cannot be used.
    pub fn with_timer(settings: RegistrySettings, timer: Arc<dyn Timer>) -> Result<Self> {
        settings.check()?;
        let built = Client::builder()
            .timeout(settings.timeout)
            .user_agent(concat!("kafka-source/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = built.map_err(|e| Error::unavailable("to make a client of the registry", e))?;
        Ok(Self { settings, client, timer, slots: Mutex::default() })
    }

    fn slot(&self, id: SchemaId) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(id).or_default())
    }

    /// `None`: there is no such schema, with what the registry says about it.
    async fn fetch(&self, id: SchemaId) -> Result<Result<String, String>> {
        let path = match id {
            SchemaId::Id(id) => format!("/schemas/ids/{id}"),
            SchemaId::Uuid(_) => format!("/schemas/guids/{id}"),
            SchemaId::GlobalId(id) => return self.fetch_global(id).await,
            _ => return Err(Error::schema(id, "is no id of this registry")),
        };
        let answer = match self.get(&self.settings.urls, &path).await? {
            Ok(bytes) => parse(id, &bytes)?,
            Err(absent) => return Ok(Err(absent)),
        };
        self.complete(id, answer).await.map(Ok)
    }

    /// The content of one of Apicurio's eight-byte ids, which Apicurio itself makes complete.
    async fn fetch_global(&self, id: u64) -> Result<Result<String, String>> {
        let Some(url) = &self.settings.apicurio else {
            return Err(Error::schema(id, "is an id of eight bytes: give Apicurio's own address in `apicurio`"));
        };
        // One word for each of its versions.
        let path = format!("/ids/globalIds/{id}?dereference=true&references=DEREFERENCE");
        let got = self.get(std::slice::from_ref(url), &path).await?;
        got.map_or_else(
            |absent| Ok(Err(absent)),
            |bytes| String::from_utf8(bytes).map(Ok).map_err(|_| Error::schema(id, "is no text")),
        )
    }

    /// The schema's text with all that it refers to.
    async fn complete(&self, id: SchemaId, answer: Answer) -> Result<String> {
        let references = answer.references.unwrap_or_default();
        if references.is_empty() {
            return Ok(answer.schema);
        }
        let kind = answer.schema_type.as_deref().unwrap_or("AVRO");
        if kind != "AVRO" {
            return Err(Error::schema(id, format!("refers to others, which is followed for AVRO but not for {kind}")));
        }
        let texts = self.referred(id, references).await?;
        inline(&answer.schema, &texts).map_err(|reason| Error::schema(id, reason))
    }

    /// The texts of all schemas that are referred to, those that these refer to too.
    async fn referred(&self, id: SchemaId, references: Vec<Reference>) -> Result<Vec<String>> {
        let (mut texts, mut seen, mut open) = (vec![], HashSet::new(), references);
        while let Some(reference) = open.pop() {
            if !seen.insert(reference.clone()) {
                continue;
            }
            if seen.len() > MAX_REFERENCES {
                return Err(Error::schema(id, format!("refers to more than {MAX_REFERENCES} others")));
            }
            let Reference { subject, version } = &reference;
            let path = format!("/subjects/{}/versions/{version}", encoded(subject));
            let got = self.get(&self.settings.urls, &path).await?;
            let missing = |reason| Error::schema(id, format!("refers to {subject}, version {version}: {reason}"));
            let answer = parse(id, &got.map_err(missing)?)?;
            texts.push(answer.schema);
            open.extend(answer.references.unwrap_or_default());
        }
        Ok(texts)
    }

    /// Asks until there is an answer. `Err` inside: there is no such thing.
    async fn get(&self, urls: &[String], path: &str) -> Result<Result<Vec<u8>, String>> {
        let mut pause = self.settings.first_pause;
        let mut attempt = 0;
        loop {
            let url = format!("{}{path}", urls[attempt as usize % urls.len()].trim_end_matches('/'));
            attempt += 1;
            match self.try_get(&url).await {
                Tried::Answered(bytes) => return Ok(Ok(bytes)),
                Tried::Absent(reason) => return Ok(Err(reason)),
                Tried::Refused(error) => return Err(error),
                Tried::Failed(error, _) if attempt >= self.settings.attempts => return Err(error),
                Tried::Failed(_, wanted) => self.timer.sleep(wanted.unwrap_or(pause).min(MAX_PAUSE)).await,
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn try_get(&self, url: &str) -> Tried {
        let request =
            self.client.get(url).header("Accept", "application/vnd.schemaregistry.v1+json, application/json, */*");
        let request = match &self.settings.auth {
            Auth::None => request,
            Auth::Basic { user, password } => request.basic_auth(user, Some(password)),
            Auth::Bearer(token) => request.bearer_auth(token),
        };
        let failed = |e: reqwest::Error| Error::unavailable(format!("GET {url}"), e.without_url());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Tried::Failed(failed(error), None),
        };
        let (status, wanted) = (response.status(), retry_after(&response));
        let body = match body(response).await {
            Ok(Some(body)) => body,
            Ok(None) => return Tried::Refused(refused(url, "an answer larger than any schema")),
            Err(error) => return Tried::Failed(failed(error), None),
        };
        match status {
            StatusCode::OK => Tried::Answered(body),
            StatusCode::NOT_FOUND => Tried::Absent(format!("{status} at {url}{}", message(&body))),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Tried::Failed(refused(url, status), wanted),
            status if status.is_server_error() => Tried::Failed(refused(url, status), wanted),
            status => Tried::Refused(refused(url, format!("{status}{}", message(&body)))),
        }
    }
}

#[async_trait]
impl SchemaSource for Registry {
    async fn schema(&self, id: SchemaId) -> Result<Arc<str>> {
        let slot = self.slot(id);
        let mut slot = slot.lock().await;
        match &*slot {
            Slot::Known(text) => return Ok(Arc::clone(text)),
            Slot::Absent { until, reason } if self.timer.elapsed() < *until => return Err(Error::schema(id, reason)),
            _ => {}
        }
        match self.fetch(id).await? {
            Ok(text) => {
                let text: Arc<str> = text.into();
                *slot = Slot::Known(Arc::clone(&text));
                Ok(text)
            }
            Err(reason) => {
                *slot = Slot::Absent { until: self.timer.elapsed() + self.settings.absent_for, reason: reason.clone() };
                Err(Error::schema(id, reason))
            }
        }
    }
}

fn refused(url: &str, what: impl ToString) -> Error {
    Error::unavailable(format!("GET {url}"), what.to_string())
}

fn parse(id: SchemaId, bytes: &[u8]) -> Result<Answer> {
    serde_json::from_slice(bytes).map_err(|e| Error::schema(id, format!("the registry's answer is none: {e}")))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("Retry-After")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// `None`: it is too long.
async fn body(mut response: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = vec![];
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// What the registry says beside the status, cut short.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let said = serde_json::from_slice(body).map(|said: Said| said.message).unwrap_or_default();
    let short: String = said.chars().take(200).collect();
    if short.is_empty() { short } else { format!(": {short}") }
}
