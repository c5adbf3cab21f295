//! [`DeadLetter`]: a message that could not become a row, kept whole beside the table, with the reason.
//!
//! Ours alone, no part of Hudi's format: one JSON line a message in `.hoodie/.cdc/dead_letters/<instant>.jsonl`, written
//! before the commit that it is named after completes. A letter holds row values: it is never printed in a log.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::change::Origin;
use crate::error::{Error, Result};

/// Where on its way the message failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The bytes are not what the format says.
    Decode,
    /// The row does not fit the table's schema.
    Schema,
    /// The row has no usable key or partition.
    Key,
    /// The row could not be completed or placed.
    Write,
}

/// A source's message, owned, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Where it stood.
    pub origin: Origin,
    /// The broker's time of the message, in milliseconds since 1970 UTC.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes.
    pub value: Option<Vec<u8>>,
    /// Names and bytes of the headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Messages that are kept until what came of them is committed.
pub trait Originals: fmt::Debug + Send + Sync {
    /// The message that stood there, if it is one of these.
    fn original(&self, origin: &Origin) -> Option<Original>;

    /// Bytes of memory that they take, about.
    fn memory_bytes(&self) -> usize;
}

/// What a message takes beside its key, value and headers, about.
const MESSAGE_BYTES: usize = 160;

/// For a few messages: each is looked at.
impl Originals for Vec<Original> {
    fn original(&self, origin: &Origin) -> Option<Original> {
        self.iter().find(|kept| kept.origin == *origin).cloned()
    }

    fn memory_bytes(&self) -> usize {
        self.iter().map(Original::memory_bytes).sum()
    }
}

impl Original {
    /// Bytes of memory that it takes, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(name, value)| MESSAGE_BYTES + name.len() + length(value)).sum();
        MESSAGE_BYTES + length(&self.key) + length(&self.value) + headers
    }
}

/// A message that could not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where on its way it failed.
    pub stage: Stage,
    /// What was wrong and what is wanted. Holds no row value.
    pub reason: String,
    /// The message.
    pub original: Original,
}

#[derive(Serialize)]
struct Line<'a> {
    stage: Stage,
    reason: &'a str,
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    headers: Vec<(&'a str, Option<String>)>,
    key: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct ReadLine {
    stage: Stage,
    reason: String,
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    headers: Vec<(String, Option<String>)>,
    key: Option<String>,
    value: Option<String>,
}

/// A letter that became a change later, as it is noted: where its message stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedLetter {
    topic: String,
    partition: i32,
    offset: i64,
}

impl AppliedLetter {
    /// The note as one line of JSON, without the line's end.
    #[must_use]
    pub fn to_json_line(origin: &Origin) -> String {
        let note = Self { topic: origin.topic.to_string(), partition: origin.partition, offset: origin.offset };
        serde_json::to_string(&note).unwrap_or_default()
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the line is none.
    pub fn parse(line: &str) -> Result<Origin> {
        let Self { topic, partition, offset } = serde_json::from_str(line).map_err(corrupt)?;
        Ok(Origin { topic: topic.into(), partition, offset })
    }
}

/// Holds no value of the line.
fn corrupt(error: serde_json::Error) -> Error {
    let reason = format!("{:?} error at column {}", error.classify(), error.column());
    Error::Corrupt { what: "a line of dead letters".to_owned(), reason }
}

impl DeadLetter {
    /// Reads a line that [`to_json_line`](Self::to_json_line) wrote.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the line is none. Holds no value of it.
    pub fn from_json_line(line: &str) -> Result<Self> {
        let line: ReadLine = serde_json::from_str(line).map_err(corrupt)?;
        let bytes = |text: Option<String>| text.map(|text| STANDARD.decode(text).map_err(|_| no_base64())).transpose();
        let header = |(name, value)| bytes(value).map(|value| (name, value));
        let original = Original {
            origin: Origin { topic: line.topic.into(), partition: line.partition, offset: line.offset },
            timestamp_ms: line.timestamp,
            key: bytes(line.key)?,
            value: bytes(line.value)?,
            headers: line.headers.into_iter().map(header).collect::<Result<_>>()?,
        };
        Ok(Self { stage: line.stage, reason: line.reason, original })
    }

    /// The letter as one line of JSON, without the line's end; keys, values and headers in base64.
    #[must_use]
    pub fn to_json_line(&self) -> String {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|b| STANDARD.encode(b));
        let original = &self.original;
        let line = Line {
            stage: self.stage,
            reason: &self.reason,
            topic: &original.origin.topic,
            partition: original.origin.partition,
            offset: original.origin.offset,
            timestamp: original.timestamp_ms,
            headers: original.headers.iter().map(|(name, value)| (name.as_str(), text(value))).collect(),
            key: text(&original.key),
            value: text(&original.value),
        };
        serde_json::to_string(&line).unwrap_or_default()
    }
}

fn no_base64() -> Error {
    Error::Corrupt { what: "a line of dead letters".to_owned(), reason: "is not base64".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_keeps_the_bytes_of_its_message() {
        let letter = DeadLetter {
            stage: Stage::Decode,
            reason: "no `op`".to_owned(),
            original: Original {
                origin: Origin { topic: "t".into(), partition: 1, offset: 7 },
                timestamp_ms: Some(5),
                key: None,
                value: Some(vec![0xff, 0]),
                headers: vec![("h".to_owned(), Some(b"x".to_vec()))],
            },
        };
        assert_eq!(
            letter.to_json_line(),
            r#"{"stage":"decode","reason":"no `op`","topic":"t","partition":1,"offset":7,"timestamp":5,"headers":[["h","eA=="]],"key":null,"value":"/wA="}"#
        );
        assert_eq!(DeadLetter::from_json_line(&letter.to_json_line()).unwrap(), letter);
        let note = AppliedLetter::to_json_line(&letter.original.origin);
        assert_eq!(AppliedLetter::parse(&note).unwrap(), letter.original.origin);
        let broken = DeadLetter::from_json_line(r#"{"stage":"hunter2"}"#).unwrap_err().to_string();
        assert!(!broken.contains("hunter2"), "{broken}");
    }
}
