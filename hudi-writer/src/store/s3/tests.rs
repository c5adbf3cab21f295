//! The store against a server that speaks S3, where `HUDI_TEST_S3` names one (`.ci/peers/s3.sh` starts it): what was asked
//! of it is taken from its own log, and what fails is told to it before.
#![allow(clippy::disallowed_methods, reason = "how long a request takes is measured by the machine's clock")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use aws_config::Region;
use aws_credential_types::Credentials as Found;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::*;
use crate::store::{Created, Object, Place, PlaceKind, RequestCounts, TableStore};

/// A bucket of its own for each test.
struct Server {
    address: String,
    bucket: String,
}

impl Server {
    /// `None`, said aloud, where there is no server.
    fn with_bucket(bucket: &str) -> Option<Self> {
        let Ok(url) = std::env::var("HUDI_TEST_S3") else {
            eprintln!("SKIPPED: no HUDI_TEST_S3; run it by .ci/peers/s3.sh");
            return None;
        };
        let server = Self { address: url.strip_prefix("http://").unwrap().to_owned(), bucket: bucket.to_owned() };
        server.ask("PUT", &format!("/{bucket}"), "");
        Some(server)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = &self.address;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n").unwrap();
        write!(stream, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The next `times` requests that fit are answered as `rule` says.
    fn fail(&self, method: &str, key: &str, times: u32, mut rule: Value) {
        rule["match"] = json!(format!("{method} /{}/{key}", self.bucket));
        rule["times"] = json!(times);
        self.ask("POST", "/-/faults", &rule.to_string());
    }

    fn log(&self) -> Vec<Value> {
        let lines = self.ask("GET", &format!("/-/log?{}", self.bucket), "");
        let entries = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        // The first is the one that made the bucket.
        entries.skip(1).collect()
    }

    fn found(&self) -> SdkConfig {
        found().endpoint_url(format!("http://{}", self.address)).build()
    }

    async fn store(&self) -> TableStore {
        self.store_with(&StoreSettings::default(), &|_| None).await
    }

    async fn store_with(
        &self,
        settings: &StoreSettings,
        variable: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> TableStore {
        let url = format!("s3://{}/t", self.bucket);
        let store = build(&self.bucket, &url, settings, &self.found(), variable).await.unwrap();
        TableStore::in_place(Place { store, prefix: "t".into(), url, kind: PlaceKind::Bucket })
    }
}

/// What an environment with a region and fixed credentials comes to.
fn found() -> aws_types::sdk_config::Builder {
    let fixed = Found::new("test", "test", None, None, "test");
    SdkConfig::builder().region(Region::new("us-east-1")).credentials_provider(SharedCredentialsProvider::new(fixed))
}

/// What the server saw, by the kinds that we count.
fn seen(log: &[Value]) -> RequestCounts {
    let mut seen = RequestCounts::default();
    for entry in log {
        let text = |name: &str| entry[name].as_str().unwrap();
        let asks = |part: &str| text("query").split('&').any(|p| p.split('=').next() == Some(part));
        let has = |header: &str| entry["headers"][header].is_string();
        let field = match text("method") {
            "GET" if asks("list-type") => &mut seen.lists,
            "GET" => &mut seen.gets,
            "HEAD" => &mut seen.heads,
            "PUT" if asks("partNumber") => &mut seen.parts,
            "PUT" if has("if-none-match") => &mut seen.creates,
            "PUT" if has("if-match") => &mut seen.updates,
            "PUT" => &mut seen.puts,
            "POST" if asks("uploads") => &mut seen.upload_begins,
            "POST" if asks("uploadId") => &mut seen.upload_ends,
            "POST" if asks("delete") => &mut seen.deletes,
            other => panic!("{other} {entry}"),
        };
        *field += 1;
    }
    seen
}

fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[tokio::test]
async fn keys_are_taken_letter_by_letter() {
    let Some(server) = Server::with_bucket("letters") else { return };
    let store = server.store().await;
    let paths = [".hoodie/.temp/1/z", "p=ü 日/#1?&+/y", "region=a%2Fb/x=1 2.parquet", "~/(!*')/$@,:;"];
    for path in paths {
        store.put(path, body(path)).await.unwrap();
        assert_eq!(store.get(path).await.unwrap().unwrap(), path);
    }
    let mut listed: Vec<String> = store.list("").await.unwrap().into_iter().map(|o| o.path).collect();
    listed.sort();
    let mut expected = paths.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(listed, expected);
    assert_eq!(store.list_folder("region=a%2Fb").await.unwrap().0[0].path, paths[2]);
    store.delete_all(expected).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
}

#[tokio::test]
async fn of_24_creators_one_wins_and_all_know_who() {
    let Some(server) = Server::with_bucket("races") else { return };
    let store = server.store().await;
    for race in 0..5 {
        let path = format!("race {race}");
        let tries = (0..24).map(|n| {
            let (store, path) = (store.clone(), path.clone());
            async move { (n, store.create_once(&path, body(&n.to_string())).await.unwrap()) }
        });
        let ended = futures::future::join_all(tries).await;
        let winners: Vec<i32> =
            ended.into_iter().filter(|(_, ended)| *ended == Created::Ours).map(|(n, _)| n).collect();
        let there: i32 = store.get_text(&path).await.unwrap().unwrap().parse().unwrap();
        assert_eq!(winners, [there]);
    }
}

#[tokio::test]
async fn a_create_that_was_done_but_answered_with_an_error_is_known_as_ours() {
    let Some(server) = Server::with_bucket("unclear") else { return };
    let store = server.store().await;
    let faults = [
        ("done, then busy", json!({"status": 503, "after": true}), Some(Created::Ours)),
        ("done, then dropped", json!({"drop": true, "after": true}), Some(Created::Ours)),
        ("not done, conflict", json!({"status": 409}), None),
        ("not done, dropped", json!({"drop": true}), Some(Created::Ours)),
        ("not done, busy", json!({"status": 503}), Some(Created::Ours)),
    ];
    for (at, (name, rule, expected)) in faults.into_iter().enumerate() {
        for kind in ["ours", "theirs"] {
            let path = format!("{kind}{at}");
            if kind == "theirs" {
                server.ask("PUT", &format!("/unclear/t/{path}"), "theirs");
            }
            server.fail("PUT", &format!("t/{path}"), 1, rule.clone());
            let ended = store.create_once(&path, body("mine")).await;
            let expected = if kind == "theirs" { Some(Created::Taken) } else { expected };
            assert_eq!(ended.ok(), expected, "{name}, {kind}");
        }
    }
}

#[tokio::test]
async fn an_empty_object_tells_nobody_whose_it_is() {
    let Some(server) = Server::with_bucket("empty") else { return };
    let store = server.store().await;
    assert_eq!(store.create_once("a", Bytes::new()).await.unwrap(), Created::Ours);
    assert_eq!(store.create_once("a", Bytes::new()).await.unwrap(), Created::Taken);
    for (path, rule) in [("b", json!({"drop": true, "after": true})), ("c", json!({"status": 503, "after": true}))] {
        server.fail("PUT", &format!("t/{path}"), 1, rule);
        assert!(store.create_once(path, Bytes::new()).await.is_err(), "{path}");
        assert_eq!(store.create_once(path, Bytes::new()).await.unwrap(), Created::Taken, "{path}");
    }
}

#[tokio::test]
async fn a_conditional_put_ends_well_before_a_lease_does() {
    let Some(server) = Server::with_bucket("patience") else { return };
    let store = server.store().await;
    server.fail("PUT", "t/a", 1_000, json!({"status": 503}));
    let (mut put, began) = (0, Instant::now());
    assert!(store.create_once("a", body("1")).await.is_err());
    let took = began.elapsed();
    server.log().iter().for_each(|entry| put += u32::from(entry["method"] == "PUT"));
    assert!(put > 1 && took < Duration::from_secs(5), "{put} tries in {took:?}");
}

#[tokio::test]
async fn a_conditional_put_to_a_silent_server_is_given_up_after_one_try() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let found = found().endpoint_url(format!("http://{}", silent.local_addr().unwrap())).build();
    let store = build("b", "s3://b", &StoreSettings::default(), &found, &|_| None).await.unwrap();
    let began = Instant::now();
    let options = object_store::PutOptions::from(object_store::PutMode::Create);
    assert!(store.put_opts(&"a".into(), "1".into(), options).await.is_err());
    let took = began.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn what_s3_refuses_for_now_is_asked_for_again() {
    let Some(server) = Server::with_bucket("busy") else { return };
    let store = server.store().await;
    for method in ["PUT", "GET"] {
        server.fail(method, "t/a", 2, json!({"status": 503}));
    }
    store.put("a", body("1")).await.unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap(), "1");
    assert_eq!(server.log().len(), 6);
}

#[tokio::test]
async fn more_than_1000_objects_are_listed_and_removed_and_every_request_is_counted() {
    let Some(server) = Server::with_bucket("counts") else { return };
    let store = server.store().await;
    let made: Vec<String> = (0..1105).map(|at| format!("many/{at}")).collect();
    let puts = futures::stream::iter(&made).map(|path| store.put(path, body("1"))).buffer_unordered(50);
    puts.try_collect::<Vec<()>>().await.unwrap();
    let before = store.request_counts();
    assert_eq!(before, RequestCounts { puts: 1105, ..RequestCounts::default() });
    assert_eq!(store.list("many").await.unwrap().len(), 1105);
    assert_eq!(store.list_folder("many").await.unwrap().0.len(), 1105);
    assert_eq!(store.list("none").await.unwrap(), []);
    assert_eq!(store.get("none").await.unwrap(), None);
    assert_eq!(store.create_once("a", body("1")).await.unwrap(), Created::Ours);
    assert_eq!(store.create_once("a", body("2")).await.unwrap(), Created::Taken);
    store.put("b", Bytes::from(vec![7; 3 << 20])).await.unwrap();
    let ranges = [0..10, 100..110, (2 << 20)..(2 << 20) + 10];
    assert!(store.get_ranges("b", &ranges).await.unwrap().iter().all(|part| part[..] == [7; 10]));
    store.delete("a").await.unwrap();
    store.delete("a").await.unwrap();
    let all = store.list("").await.unwrap().into_iter().map(|o| o.path).collect();
    store.delete_all(all).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.request_counts(), seen(&server.log()));
    let expected = RequestCounts { lists: 8, gets: 4, creates: 2, puts: 1, deletes: 4, ..RequestCounts::default() };
    assert_eq!(store.request_counts() - before, expected);
}

#[tokio::test]
async fn a_large_object_comes_in_parts_and_appears_at_once() {
    let Some(server) = Server::with_bucket("parts") else { return };
    let store = server.store().await;
    let pieces: Vec<Bytes> = (0..21_u8).map(|n| Bytes::from(vec![n; 1 << 20])).collect();
    // One of the parts is refused at first.
    server.fail("PUT", ".*partNumber=2", 1, json!({"status": 503}));
    let mut upload = store.upload("large".into());
    for piece in &pieces {
        upload.write(piece.clone()).await.unwrap();
        assert_eq!(store.list("").await.unwrap(), []);
    }
    assert_eq!(upload.finish().await.unwrap(), 21 << 20);
    let object = Object { path: "large".into(), size_bytes: 21 << 20 };
    assert_eq!(store.list("").await.unwrap(), [object]);
    assert_eq!(store.get("large").await.unwrap().unwrap(), pieces.concat());
    let counts = store.request_counts();
    assert_eq!((counts.upload_begins, counts.parts, counts.upload_ends), (1, 3, 1));
    assert_eq!(seen(&server.log()).parts, 4);
}

#[tokio::test]
async fn encryption_is_asked_for_with_every_object() {
    let Some(server) = Server::with_bucket("encryption") else { return };
    let kms = Encryption::Kms { key: Some("key/1".into()), bucket_key: Some(true) };
    let variables = |name: &str| {
        let value = match name {
            ENCRYPTION => "aws:kms",
            KMS_KEY => "key/2",
            BUCKET_KEY => "false",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let none = |_: &str| None;
    let by_setting = |encryption| StoreSettings { encryption: Some(encryption) };
    let stores = [
        ("none", server.store_with(&StoreSettings::default(), &none).await),
        ("s3", server.store_with(&by_setting(Encryption::S3), &variables).await),
        ("kms", server.store_with(&by_setting(kms), &variables).await),
        ("twice", server.store_with(&by_setting(Encryption::KmsTwice { key: None }), &none).await),
        ("variables", server.store_with(&StoreSettings::default(), &variables).await),
    ];
    for (name, store) in &stores {
        store.put(&format!("{name}/put"), body("1")).await.unwrap();
        assert_eq!(store.create_once(&format!("{name}/create"), body("1")).await.unwrap(), Created::Ours);
        let mut upload = store.upload(format!("{name}/parts"));
        upload.write(Bytes::from(vec![1; 9 << 20])).await.unwrap();
        upload.finish().await.unwrap();
    }
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in server.log().iter().filter(|entry| entry["query"] == "" || entry["query"] == "uploads=") {
        let path = entry["path"].as_str().unwrap().strip_prefix("/encryption/t/").unwrap();
        let header = |name: &str| entry["headers"][name].as_str().unwrap_or("-").to_owned();
        let suffixes = ["", "-aws-kms-key-id", "-bucket-key-enabled"];
        let text = suffixes.map(|suffix| header(&format!("x-amz-server-side-encryption{suffix}"))).join(" ");
        asked.entry(path.split('/').next().unwrap().to_owned()).or_default().push(text);
    }
    let expected = [
        ("kms", "aws:kms key/1 true"),
        ("none", "- - -"),
        ("s3", "AES256 - -"),
        ("twice", "aws:kms:dsse - -"),
        ("variables", "aws:kms key/2 false"),
    ];
    assert_eq!(asked, expected.map(|(name, text)| (name.to_owned(), vec![text.to_owned(); 3])).into());
}

async fn refusal(found: &SdkConfig, variable: &(dyn Fn(&str) -> Option<String> + Sync)) -> String {
    let error = build("b", "s3://b/t", &StoreSettings::default(), found, variable).await.unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    for region in [None, Some(Region::new(""))] {
        let text = refusal(&found().region(region).build(), &|_| None).await;
        assert!(text.starts_with("AWS_REGION = ``: want the bucket's region"), "{text}");
    }
    let text = refusal(&found().endpoint_url("127.0.0.1:1").build(), &|_| None).await;
    assert!(text.starts_with("AWS_ENDPOINT_URL_S3 = `127.0.0.1:1`: want a URL"), "{text}");
    let odd = |wanted: &'static str| move |name: &str| (name == wanted).then(|| "odd".to_owned());
    let text = refusal(&found().build(), &odd(ENCRYPTION)).await;
    assert!(text.starts_with("AWS_SERVER_SIDE_ENCRYPTION = `odd`: want `AES256`"), "{text}");
    let two = |name: &str| Some(if name == BUCKET_KEY { "yes".to_owned() } else { "aws:kms".to_owned() });
    let text = refusal(&found().build(), &two).await;
    assert!(text.starts_with("AWS_SSE_BUCKET_KEY_ENABLED = `yes`: want `true`"), "{text}");
    let broken = aws_credential_types::provider::error::CredentialsError::not_loaded("nothing here");
    let provider = aws_credential_types::credential_fn::provide_credentials_fn(move || {
        let error = format!("{broken:?}");
        async move { Err(aws_credential_types::provider::error::CredentialsError::not_loaded(error)) }
    });
    let text =
        refusal(&found().credentials_provider(SharedCredentialsProvider::new(provider)).build(), &|_| None).await;
    assert!(text.starts_with("could not find credentials for s3://b/t: "), "{text}");
    assert!(text.contains("nothing here"), "{text}");
}

#[test]
fn a_bucket_is_addressed_by_host_at_aws_and_by_path_elsewhere() {
    let at = |endpoint: &str, bucket_in_host, http| Address { endpoint: endpoint.into(), bucket_in_host, http };
    let of = |bucket: &str, region: &str, custom: Option<&str>| Address::of(bucket, region, custom.map(str::to_owned));
    let host = "https://b.s3.eu-west-1.amazonaws.com";
    assert_eq!(of("b", "eu-west-1", None).unwrap(), at(host, true, false));
    assert_eq!(of("b", "cn-north-1", None).unwrap(), at("https://b.s3.cn-north-1.amazonaws.com.cn", true, false));
    assert_eq!(of("b.c", "eu-west-1", None).unwrap(), at("https://s3.eu-west-1.amazonaws.com", false, false));
    assert_eq!(of("b", "eu-west-1", Some("http://h:1")).unwrap(), at("http://h:1", false, true));
    assert_eq!(of("b", "eu-west-1", Some("https://h")).unwrap(), at("https://h", false, false));
}
