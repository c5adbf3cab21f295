//! Reads recorded topics: one Kafka record a line, in gzip; and what the database itself held at the end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cdc_decoders::Message;
use cdc_decoders::testing::Sample;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    key: Option<Base64>,
    value: Option<Base64>,
    headers: Vec<(String, Option<Base64>)>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Base64(Vec<u8>);

impl TryFrom<String> for Base64 {
    type Error = base64::DecodeError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD.decode(text).map(Self)
    }
}

impl Record {
    pub(crate) fn sample(&self) -> Sample {
        let bytes = |b: &Option<Base64>| b.as_ref().map(|b| b.0.clone());
        Sample {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            key: bytes(&self.key),
            value: bytes(&self.value),
            headers: self.headers.iter().map(|(name, value)| (name.clone(), bytes(value))).collect(),
        }
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&Message<'_>) -> T) -> T {
        self.sample().with(f)
    }

    /// The table that the topic is of.
    pub(crate) fn table(&self) -> &str {
        self.topic.rsplit('.').next().unwrap()
    }

    pub(crate) fn is_truncate(&self) -> bool {
        let op = br#""op":"t""#;
        self.value().is_some_and(|value| value.windows(op.len()).any(|part| part == op))
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.value.as_ref().map(|b| b.0.as_slice())
    }
}

/// The folder of the captures; `None` (said aloud) where it is not there.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures/cdc-captures"));
    if !folder.is_dir() {
        println!("SKIPPED: no captures in {}", folder.display());
        return None;
    }
    Some(folder)
}

/// The schemas that the registry of a capture holds, by id.
pub(crate) fn schemas(capture: &Path) -> BTreeMap<u32, String> {
    let files = std::fs::read_dir(capture.join("schemas")).unwrap().map(|entry| entry.unwrap().path());
    let id = |path: &Path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    files.map(|path| (id(&path), std::fs::read_to_string(&path).unwrap())).collect()
}

fn lines(path: &Path) -> impl Iterator<Item = String> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    BufReader::new(MultiGzDecoder::new(file)).lines().map(Result::unwrap)
}

pub(crate) fn records(capture: &Path) -> Vec<Record> {
    lines(&capture.join("records.jsonl.gz")).map(|line| serde_json::from_str(&line).unwrap()).collect()
}

pub(crate) fn truth(set: &Path, table: &str) -> Vec<Map<String, Value>> {
    lines(&set.join("truth").join(format!("{table}.jsonl.gz")))
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect()
}
