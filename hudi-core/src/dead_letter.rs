//! [`DeadLetter`]: a message that could not become a row, kept whole beside the table, with the reason.
//!
//! Ours alone, no part of Hudi's format: one JSON line a message in `.hoodie/.cdc/dead_letters/<instant>.jsonl`, written
//! before the commit that it is named after completes. A letter holds row values: it is never printed in a log.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::change::Origin;

/// Where on its way the message failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

impl DeadLetter {
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
    }
}
