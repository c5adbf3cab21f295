//! [`Messages`]: many messages with their bytes in one place; and [`KeptMessages`], which are found by where they stood.
//!
//! A source that yields thousands of messages a second allocates for a batch of them, not for each. Decoders take them as
//! [`Message`]s that borrow from here. Nothing here looks into keys and values.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use cdc_decoders::{Header, Message};
use hudi_core::dead_letter::{Original, Originals};

/// Messages in the order in which they came, of one topic or several.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    /// Keys, values, headers' names and values, one after the other.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<HeaderEntry>,
    topics: Vec<Arc<str>>,
}

/// Messages that are kept until what came of them is committed.
#[derive(Debug, Default)]
pub struct KeptMessages {
    messages: Messages,
    /// By topic, partition and offset; made when the first is looked for, which is seldom.
    order: OnceLock<Vec<usize>>,
}

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: Option<i64>,
}

#[derive(Debug, Clone)]
struct Entry {
    topic: usize,
    partition: i32,
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

#[derive(Debug, Clone)]
struct HeaderEntry {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

impl Messages {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the keys, values and headers take, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.headers.capacity() * size_of::<HeaderEntry>()
    }

    /// Appends a copy of a message.
    pub fn push(&mut self, message: &Message<'_>) {
        let mut draft = self.draft();
        let key = message.key.map(|bytes| draft.put(bytes));
        let value = message.value.map(|bytes| draft.put(bytes));
        for header in message.headers {
            let name = draft.put(header.name.as_bytes());
            let value = header.value.map(|bytes| draft.put(bytes));
            draft.header(name, value);
        }
        let origin = Origin {
            topic: message.topic,
            partition: message.partition,
            offset: message.offset,
            timestamp_ms: message.timestamp_ms,
        };
        draft.finish(origin, key, value);
    }

    /// The headers of all messages, for [`iter`](Self::iter) and [`get`](Self::get).
    #[must_use]
    pub fn headers(&self) -> Vec<Header<'_>> {
        let name = |range: &Range<usize>| std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or_default();
        let value = |range: &Range<usize>| &self.bytes[range.clone()];
        self.headers.iter().map(|h| Header { name: name(&h.name), value: h.value.as_ref().map(value) }).collect()
    }

    /// One message, with the headers that [`headers`](Self::headers) made.
    #[must_use]
    pub fn get<'a>(&'a self, index: usize, headers: &'a [Header<'a>]) -> Option<Message<'a>> {
        self.entries.get(index).map(|entry| self.message(entry, headers))
    }

    /// All messages in their order, with the headers that [`headers`](Self::headers) made.
    pub fn iter<'a>(&'a self, headers: &'a [Header<'a>]) -> impl Iterator<Item = Message<'a>> {
        self.entries.iter().map(|entry| self.message(entry, headers))
    }

    /// Keeps the messages of these partitions only.
    #[cfg(feature = "rdkafka")]
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, i32) -> bool) {
        self.entries.retain(|entry| keep(&self.topics[entry.topic], entry.partition));
    }

    /// Begins a message whose parts are written one by one. One that is not finished leaves no trace.
    pub(crate) fn draft(&mut self) -> Draft<'_> {
        let (bytes, headers) = (self.bytes.len(), self.headers.len());
        Draft { messages: self, bytes, headers, finished: false }
    }

    fn message<'a>(&'a self, entry: &Entry, headers: &'a [Header<'a>]) -> Message<'a> {
        let part = |range: &Option<Range<usize>>| range.as_ref().map(|range| &self.bytes[range.clone()]);
        Message {
            topic: &self.topics[entry.topic],
            partition: entry.partition,
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            key: part(&entry.key),
            value: part(&entry.value),
            headers: headers.get(entry.headers.clone()).unwrap_or_default(),
        }
    }

    /// The place of a topic's name. There are few, and mostly it is the last message's.
    fn topic(&mut self, topic: &str) -> usize {
        let last = self.entries.last().map(|entry| entry.topic).filter(|last| *self.topics[*last] == *topic);
        last.or_else(|| self.topics.iter().position(|known| **known == *topic)).unwrap_or_else(|| {
            self.topics.push(Arc::from(topic));
            self.topics.len() - 1
        })
    }
}

impl From<Messages> for KeptMessages {
    fn from(messages: Messages) -> Self {
        Self { messages, order: OnceLock::new() }
    }
}

impl KeptMessages {
    fn place(&self, at: usize) -> (&str, i32, i64) {
        let entry = &self.messages.entries[at];
        (&self.messages.topics[entry.topic], entry.partition, entry.offset)
    }

    fn sorted(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.messages.len()).collect();
        order.sort_by_key(|at| self.place(*at));
        order
    }
}

impl Originals for KeptMessages {
    fn original(&self, origin: &hudi_core::change::Origin) -> Option<Original> {
        let wanted = (&*origin.topic, origin.partition, origin.offset);
        let order = self.order.get_or_init(|| self.sorted());
        let found = order.binary_search_by(|at| self.place(*at).cmp(&wanted)).ok()?;
        let headers = self.messages.headers();
        self.messages.get(order[found], &headers).map(|message| original(&message))
    }

    fn memory_bytes(&self) -> usize {
        self.messages.memory_bytes()
    }
}

/// A message, owned, as it came.
#[must_use]
pub fn original(message: &Message<'_>) -> Original {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let origin =
        hudi_core::change::Origin { topic: message.topic.into(), partition: message.partition, offset: message.offset };
    Original {
        origin,
        timestamp_ms: message.timestamp_ms,
        key: owned(message.key),
        value: owned(message.value),
        headers: message.headers.iter().map(|h| (h.name.to_owned(), owned(h.value))).collect(),
    }
}

/// A message that is being written.
pub(crate) struct Draft<'m> {
    messages: &'m mut Messages,
    bytes: usize,
    headers: usize,
    finished: bool,
}

impl Draft<'_> {
    /// Appends bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.messages.bytes.len();
        self.messages.bytes.extend_from_slice(bytes);
        start..self.messages.bytes.len()
    }

    /// Appends what `write` writes.
    #[cfg(feature = "lambda")]
    pub(crate) fn put_by<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> std::result::Result<(), E>,
    ) -> std::result::Result<Range<usize>, E> {
        let start = self.messages.bytes.len();
        write(&mut self.messages.bytes)?;
        Ok(start..self.messages.bytes.len())
    }

    /// Appends a header of parts that were put.
    pub(crate) fn header(&mut self, name: Range<usize>, value: Option<Range<usize>>) {
        self.messages.headers.push(HeaderEntry { name, value });
    }

    /// The message, of parts that were put.
    pub(crate) fn finish(mut self, origin: Origin<'_>, key: Option<Range<usize>>, value: Option<Range<usize>>) {
        let Origin { partition, offset, timestamp_ms, .. } = origin;
        let topic = self.messages.topic(origin.topic);
        let headers = self.headers..self.messages.headers.len();
        self.messages.entries.push(Entry { topic, partition, offset, timestamp_ms, key, value, headers });
        self.finished = true;
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.messages.bytes.truncate(self.bytes);
            self.messages.headers.truncate(self.headers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'a>(topic: &'a str, offset: i64, headers: &'a [Header<'a>]) -> Message<'a> {
        Message { topic, partition: 3, offset, timestamp_ms: Some(9), key: Some(b"k"), value: None, headers }
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let headers = [Header { name: "a", value: Some(b"1") }, Header { name: "a", value: None }];
        let empty = Message { key: None, value: Some(b""), timestamp_ms: None, ..message("t", 2, &[]) };
        let pushed = [message("t", 1, &headers), empty, message("u", 7, &headers[1..]), message("t", 3, &[])];
        let mut messages = Messages::default();
        for message in &pushed {
            messages.push(message);
        }
        let headers = messages.headers();
        assert_eq!(messages.iter(&headers).collect::<Vec<_>>(), pushed);
        assert_eq!(messages.get(2, &headers), Some(pushed[2]));
        assert_eq!(messages.get(4, &headers), None);
        assert_eq!((messages.len(), messages.topics.len(), messages.size_bytes()), (4, 2, 7));
    }

    #[test]
    fn kept_messages_are_found_by_where_they_stood() {
        let headers = [Header { name: "a", value: Some(b"1") }, Header { name: "a", value: None }];
        let kept = [message("u", 7, &headers), message("t", 9, &[]), message("t", 2, &headers[1..])];
        let mut messages = Messages::default();
        kept.iter().for_each(|message| messages.push(message));
        let found = KeptMessages::from(messages);
        assert!(found.memory_bytes() > 0);
        for message in &kept {
            let wanted = original(message);
            assert_eq!(found.original(&wanted.origin), Some(wanted));
        }
        let nowhere = hudi_core::change::Origin { topic: "t".into(), partition: 3, offset: 7 };
        assert_eq!(found.original(&nowhere), None);
    }

    #[test]
    fn a_message_that_is_not_finished_leaves_no_trace() {
        let mut messages = Messages::default();
        messages.push(&message("t", 1, &[]));
        let mut draft = messages.draft();
        let name = draft.put(b"half");
        draft.header(name, None);
        drop(draft);
        assert_eq!((messages.len(), messages.size_bytes(), messages.headers().len()), (1, 1, 0));
    }
}
