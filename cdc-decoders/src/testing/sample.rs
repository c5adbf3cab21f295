//! [`Sample`]: a message that owns its bytes.

use crate::decoder::{Header, Message};

/// A message that owns its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Sample {
    /// A sample of texts, without headers.
    #[must_use]
    pub fn new(topic: &str, offset: i64, key: Option<&str>, value: Option<&str>) -> Self {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Self { topic: topic.to_owned(), offset, key: key.map(bytes), value: value.map(bytes), ..Self::default() }
    }

    /// Gives the message to `f`.
    pub fn with<T>(&self, f: impl FnOnce(&Message<'_>) -> T) -> T {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
        f(&Message {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: None,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        })
    }

    /// Bytes of key and value.
    #[must_use]
    pub fn len(&self) -> usize {
        [&self.key, &self.value].into_iter().flatten().map(Vec::len).sum()
    }

    /// Whether key and value have no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
