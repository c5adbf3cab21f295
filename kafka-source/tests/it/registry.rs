//! The client of a registry, against a small server that answers what a test tells it to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cdc_decoders::{DecodeError, Decoded, Decoder, Message, SchemaId};
use hudi_core::change::ChangeBatch;
use kafka_source::Error;
use kafka_source::registry::timer::Timer;
use kafka_source::registry::{Auth, Registry, RegistrySettings, SchemaSource, decode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server answers to a path: one after the other, the last one again and again.
type Answers = HashMap<String, Vec<(u16, String)>>;

#[derive(Default)]
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: impl IntoIterator<Item = (&str, Vec<(u16, String)>)>) -> Self {
        let answers: Answers = answers.into_iter().map(|(path, answers)| (path.to_owned(), answers)).collect();
        let answers = Arc::new(Mutex::new(answers));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(vec![]));
        let seen = Arc::clone(&requests);
        #[allow(clippy::disallowed_methods, reason = "a server of a test")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers), Arc::clone(&seen)));
            }
        });
        Self { url, requests }
    }

    fn paths(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect()
    }

    fn settings(&self) -> RegistrySettings {
        RegistrySettings { timeout: Duration::from_millis(500), ..RegistrySettings::new([&self.url]) }
    }

    fn registry(&self) -> Registry {
        registry(self.settings())
    }
}

fn registry(settings: RegistrySettings) -> Registry {
    Registry::with_timer(settings, Arc::new(Jumps::default())).unwrap()
}

async fn serve(mut stream: TcpStream, answers: Arc<Mutex<Answers>>, seen: Arc<Mutex<Vec<String>>>) {
    let mut request = vec![];
    let mut piece = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(read @ 1..) = stream.read(&mut piece).await else { return };
        request.extend_from_slice(&piece[..read]);
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    seen.lock().unwrap().push(request);
    let (status, body) = match answers.lock().unwrap().get_mut(&path) {
        Some(answers) if answers.len() > 1 => answers.remove(0),
        Some(answers) => answers[0].clone(),
        None => (404, json!({"error_code": 40403, "message": "Schema not found"}).to_string()),
    };
    if status == 0 {
        // Never answered: the client's time runs out.
        return std::future::pending().await;
    }
    let retry = if status == 429 { "Retry-After: 7\r\n" } else { "" };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} X\r\n{retry}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// Time that passes only by sleeping.
#[derive(Default)]
struct Jumps(AtomicU64);

#[async_trait]
impl Timer for Jumps {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    async fn sleep(&self, pause: Duration) {
        self.0.fetch_add(u64::try_from(pause.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

fn schema(text: &str) -> (u16, String) {
    (200, json!({ "schema": text }).to_string())
}

async fn refused(registry: &Registry, id: SchemaId) -> String {
    registry.schema(id).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_schema_is_asked_for_once_however_many_want_it() {
    let server = Server::start([("/schemas/ids/7", vec![schema("\"int\"")])]).await;
    let registry = Arc::new(server.registry());
    let all = futures::future::join_all((0..20).map(|_| registry.schema(SchemaId::Id(7)))).await;
    assert!(all.into_iter().all(|text| &*text.unwrap() == "\"int\""));
    assert_eq!(&*registry.schema(SchemaId::Id(7)).await.unwrap(), "\"int\"");
    assert_eq!(server.paths(), ["/schemas/ids/7"]);
}

#[tokio::test]
async fn ids_have_their_own_addresses() {
    let guid = "/schemas/guids/00010203-0405-0607-0809-0a0b0c0d0e0f";
    let global = "/own/ids/globalIds/9?dereference=true&references=DEREFERENCE";
    let server = Server::start([(guid, vec![schema("\"long\"")]), (global, vec![(200, "\"bytes\"".to_owned())])]).await;
    let uuid: Vec<u8> = (0..16).collect();
    let uuid = SchemaId::Uuid(uuid.try_into().unwrap());
    assert_eq!(&*server.registry().schema(uuid).await.unwrap(), "\"long\"");
    let error = refused(&server.registry(), SchemaId::GlobalId(9)).await;
    assert_eq!(error, "schema 9: is an id of eight bytes: give Apicurio's own address in `apicurio`");
    let settings = RegistrySettings { apicurio: Some(format!("{}/own/", server.url)), ..server.settings() };
    assert_eq!(&*registry(settings).schema(SchemaId::GlobalId(9)).await.unwrap(), "\"bytes\"");
}

#[tokio::test]
async fn a_registry_that_fails_is_asked_again_with_pauses() {
    let answers = vec![(503, String::new()), (0, String::new()), (429, String::new()), schema("\"int\"")];
    let server = Server::start([("/schemas/ids/1", answers)]).await;
    let time = Arc::new(Jumps::default());
    let registry = Registry::with_timer(server.settings(), Arc::clone(&time) as Arc<dyn Timer>).unwrap();
    assert_eq!(&*registry.schema(SchemaId::Id(1)).await.unwrap(), "\"int\"");
    assert_eq!(server.paths().len(), 4);
    assert_eq!(time.elapsed(), Duration::from_millis(500 + 1000 + 7000), "the third pause is what the registry wants");
}

#[tokio::test]
async fn a_registry_that_goes_on_failing_is_an_error_that_may_pass() {
    let server = Server::start([("/schemas/ids/1", vec![(500, String::new())])]).await;
    let settings = RegistrySettings { attempts: 3, ..server.settings() };
    let registry = registry(settings);
    for asked in [3, 6] {
        let error = registry.schema(SchemaId::Id(1)).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }) && error.to_string().contains("500"), "{error}");
        assert_eq!(server.paths().len(), asked, "a failure is not remembered");
    }
}

#[tokio::test]
async fn the_next_address_is_asked_where_one_does_not_answer() {
    let server = Server::start([("/schemas/ids/1", vec![schema("\"int\"")])]).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let settings = RegistrySettings::new([format!("http://{gone}"), server.url.clone()]);
    assert_eq!(&*registry(settings).schema(SchemaId::Id(1)).await.unwrap(), "\"int\"");
}

#[tokio::test]
async fn that_there_is_none_is_remembered_for_a_time() {
    let absent = (404, json!({"error_code": 40403, "message": "Schema 5 not found"}).to_string());
    let server = Server::start([("/schemas/ids/5", vec![absent, schema("\"int\"")])]).await;
    let time = Arc::new(Jumps::default());
    let registry = Registry::with_timer(server.settings(), Arc::clone(&time) as Arc<dyn Timer>).unwrap();
    for _ in 0..3 {
        let error = refused(&registry, SchemaId::Id(5)).await;
        assert!(
            error.starts_with("schema 5: 404 Not Found at http") && error.ends_with(": Schema 5 not found"),
            "{error}"
        );
    }
    assert_eq!(server.paths().len(), 1);
    time.sleep(Duration::from_secs(60)).await;
    assert_eq!(&*registry.schema(SchemaId::Id(5)).await.unwrap(), "\"int\"");
}

#[tokio::test]
async fn who_asks_is_said_and_never_shown() {
    let answers = || vec![(401, json!({"message": "Unauthorized"}).to_string())];
    for (auth, header) in [
        (Auth::Basic { user: "u".to_owned(), password: "hunter2".to_owned() }, "authorization: Basic dTpodW50ZXIy"),
        (Auth::Bearer("hunter2".to_owned()), "authorization: Bearer hunter2"),
    ] {
        let server = Server::start([("/schemas/ids/1", answers())]).await;
        let registry = registry(RegistrySettings { auth, ..server.settings() });
        let error = refused(&registry, SchemaId::Id(1)).await;
        assert!(error.contains("401 Unauthorized: Unauthorized") && !error.contains("hunter2"), "{error}");
        let requests = server.requests.lock().unwrap();
        assert_eq!(requests.len(), 1, "who is refused does not ask again");
        assert!(requests[0].to_lowercase().contains(&header.to_lowercase()), "{}", requests[0]);
    }
}

#[tokio::test]
async fn what_a_schema_refers_to_stands_within_it() {
    let answer = |schema: serde_json::Value, references: serde_json::Value| {
        vec![(200, json!({"schema": schema.to_string(), "references": references}).to_string())]
    };
    let refer = |name: &str, subject: &str| json!({"name": name, "subject": subject, "version": 3});
    let record = |name: &str, of: &str| json!({"type": "record", "name": name, "fields": [{"name": "f", "type": of}]});
    let server = Server::start([
        ("/schemas/ids/1", answer(record("a.Order", "a.Part"), json!([refer("a.Part", "a/part value")]))),
        ("/subjects/a%2Fpart%20value/versions/3", answer(record("a.Part", "a.Unit"), json!([refer("a.Unit", "unit")]))),
        (
            "/subjects/unit/versions/3",
            answer(json!({"type": "fixed", "name": "a.Unit", "size": 3}), json!([refer("a.Order", "unit")])),
        ),
    ])
    .await;
    let text = server.registry().schema(SchemaId::Id(1)).await.unwrap();
    let mut expect = record("a.Order", "");
    expect["fields"][0]["type"] = record("a.Part", "");
    expect["fields"][0]["type"]["fields"][0]["type"] = json!({"type": "fixed", "name": "a.Unit", "size": 3});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expect);
    assert_eq!(server.paths().len(), 3, "what refers in a circle is asked for once");
}

#[tokio::test]
async fn references_that_cannot_be_followed_are_refused() {
    let refer = |kind: &str| {
        let references = json!([{"name": "n", "subject": "gone", "version": 1}]);
        vec![(200, json!({"schema": "{}", "schemaType": kind, "references": references}).to_string())]
    };
    let plain = vec![(200, json!({"schema": "message X {}", "schemaType": "PROTOBUF", "references": []}).to_string())];
    let server = Server::start([
        ("/schemas/ids/1", refer("JSON")),
        ("/schemas/ids/2", refer("AVRO")),
        ("/schemas/ids/3", plain),
    ])
    .await;
    let registry = server.registry();
    let error = refused(&registry, SchemaId::Id(1)).await;
    assert_eq!(error, "schema 1: refers to others, which is followed for AVRO but not for JSON");
    let error = refused(&registry, SchemaId::Id(2)).await;
    assert!(error.starts_with("schema 2: refers to gone, version 1: 404 Not Found"), "{error}");
    assert_eq!(&*registry.schema(SchemaId::Id(3)).await.unwrap(), "message X {}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error() {
    let server = Server::start([("/schemas/ids/1", vec![(200, "<html>".to_owned())])]).await;
    let error = refused(&server.registry(), SchemaId::Id(1)).await;
    assert!(error.starts_with("schema 1: the registry's answer is none: "), "{error}");
}

/// Wants one schema after the other, and takes the message once it has them.
struct Asks {
    wants: Vec<SchemaId>,
    learned: Vec<String>,
    forgets: bool,
}

impl Decoder for Asks {
    fn decode(&mut self, _: &Message<'_>) -> Result<Decoded, DecodeError> {
        Ok(self.wants.get(self.learned.len()).map_or(Decoded::Added { rows: 1 }, |id| Decoded::NeedsSchema(*id)))
    }

    fn learn(&mut self, id: SchemaId, schema: &str) -> Result<(), DecodeError> {
        if schema == "bad" {
            return Err(DecodeError::Schema { column: id.to_string(), reason: "bad".to_owned() });
        }
        if !self.forgets {
            self.learned.push(schema.to_owned());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<Option<ChangeBatch>, DecodeError> {
        Ok(None)
    }

    fn buffered_rows(&self) -> usize {
        0
    }

    fn buffered_bytes(&self) -> usize {
        0
    }
}

#[tokio::test]
async fn a_decoder_is_taught_what_it_asks_for() {
    let server = Server::start([
        ("/schemas/ids/1", vec![schema("one")]),
        ("/schemas/ids/2", vec![schema("two")]),
        ("/schemas/ids/3", vec![schema("bad")]),
    ])
    .await;
    let registry = server.registry();
    let message =
        Message { topic: "t", partition: 0, offset: 0, timestamp_ms: None, key: None, value: None, headers: &[] };
    let asks = |wants: &[u32]| Asks {
        wants: wants.iter().copied().map(SchemaId::Id).collect(),
        learned: vec![],
        forgets: false,
    };
    let mut decoder = asks(&[1, 2]);
    assert_eq!(decode(&mut decoder, &message, &registry).await.unwrap(), Ok(Decoded::Added { rows: 1 }));
    assert_eq!(decoder.learned, ["one", "two"]);
    assert!(decode(&mut asks(&[3]), &message, &registry).await.unwrap().is_err(), "a schema that is no good");
    assert!(decode(&mut asks(&[4]), &message, &registry).await.is_err(), "a schema that is not there");
    let error = decode(&mut Asks { forgets: true, ..asks(&[1]) }, &message, &registry).await.unwrap_err().to_string();
    assert_eq!(error, "schema 1: the decoder learned it and asks for it again");
}
