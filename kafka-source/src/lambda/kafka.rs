//! [`KafkaEvent`]: what an event source of Amazon MSK or of a Kafka of one's own calls with.
//!
//! ```json
//! {"eventSource":"aws:kafka","records":{"t-0":[{"topic":"t","partition":0,"offset":7,"timestamp":1,"key":"a2V5","value":null,"headers":[{"h":[120]}]}]}}
//! ```
//!
//! Topic and partition are the record's own: a topic's name may hold the `-` that joins them in the key. With an event source that
//! knows a registry, the schema's id is taken off the message and stands beside it: [`Framing::Restored`] puts it back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{Headers, Text, base64, milliseconds, reason};
use super::taken::{BadRecord, Taken};
use crate::error::{Error, Result};
use crate::messages::{Draft, Origin};
use crate::partition::TopicPartition;

const KIND: &str = "Kafka";

/// What is done about the schema's id that the event source took off the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Nothing: messages are as they were sent, or were turned into JSON (`EventRecordFormat` `JSON`).
    #[default]
    AsGiven,
    /// It is put before the message again, as its registry does it (`EventRecordFormat` `SOURCE`).
    Restored,
}

/// An event of Kafka records, borrowed from its text.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaEvent<'a> {
    /// What called: `aws:kafka`, `SelfManagedKafka`, `aws:SelfManagedKafka`.
    #[serde(borrow, default)]
    pub event_source: Cow<'a, str>,
    /// The cluster, of Amazon MSK only.
    #[serde(default)]
    pub event_source_arn: Option<String>,
    /// The cluster's brokers, by comma.
    #[serde(default)]
    pub bootstrap_servers: Option<String>,
    #[serde(borrow)]
    records: BTreeMap<String, Vec<&'a RawValue>>,
}

/// What must be there for a record to be told from others.
#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
}

/// What a record holds. Every member is read for itself, so that one odd shape is told and the rest goes on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    headers: Option<&'a RawValue>,
    #[serde(borrow, default)]
    key_schema_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value_schema_metadata: Option<&'a RawValue>,
}

impl<'a> KafkaEvent<'a> {
    /// Reads an event. Its records are looked at by [`take`](Self::take).
    ///
    /// # Errors
    /// [`Error::Event`] where the text is no such event.
    pub fn parse(text: &'a [u8]) -> Result<Self> {
        serde_json::from_slice(text).map_err(|e| Error::event(KIND, format!("line {}", e.line()), reason(&e)))
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records as messages, partition by partition.
    ///
    /// # Errors
    /// [`Error::Event`] where a record does not tell topic, partition and offset: then nothing can be said of what was taken.
    pub fn take(&self, framing: Framing) -> Result<Taken> {
        let mut taken = Taken::default();
        for (partition, records) in &self.records {
            for (number, record) in records.iter().enumerate() {
                take(record, framing, &mut taken)
                    .map_err(|e| Error::event(KIND, format!("record {number} of {partition}"), reason(&e)))?;
            }
        }
        Ok(taken)
    }
}

fn take(record: &RawValue, framing: Framing, taken: &mut Taken) -> serde_json::Result<()> {
    let place: Place<'_> = serde_json::from_str(record.get())?;
    if let Err(reason) = read(record, &place, framing, taken) {
        taken.bad.push(BadRecord {
            place: TopicPartition::new(&*place.topic, place.partition),
            offset: place.offset,
            position: None,
            reason,
            text: record.get().to_owned(),
        });
    }
    Ok(())
}

fn read(record: &RawValue, place: &Place<'_>, framing: Framing, taken: &mut Taken) -> Result<(), String> {
    let content: Content<'_> = serde_json::from_str(record.get()).map_err(|e| reason(&e))?;
    let mut draft = taken.messages.draft();
    let key = part("key", content.key, content.key_schema_metadata, framing, &mut draft)?;
    let value = part("value", content.value, content.value_schema_metadata, framing, &mut draft)?;
    let headers: Vec<Headers> = match content.headers {
        Some(headers) => serde_json::from_str(headers.get()).map_err(|e| format!("headers: {}", reason(&e)))?,
        None => vec![],
    };
    for (name, bytes) in headers.into_iter().flat_map(|headers| headers.0) {
        let name = draft.put(name.as_bytes());
        let bytes = bytes.map(|bytes| draft.put(&bytes));
        draft.header(name, bytes);
    }
    let timestamp_ms = milliseconds(content.timestamp);
    let origin = Origin { topic: &place.topic, partition: place.partition, offset: place.offset, timestamp_ms };
    draft.finish(origin, key, value);
    Ok(())
}

/// The bytes of a key or a value, with the schema's id before them if that is to be restored.
fn part(
    name: &str,
    raw: Option<&RawValue>,
    schema: Option<&RawValue>,
    framing: Framing,
    draft: &mut Draft<'_>,
) -> Result<Option<Range<usize>>, String> {
    let Some(raw) = raw else { return Ok(None) };
    let frame = match (framing, schema) {
        (Framing::Restored, Some(schema)) => {
            frame(schema).ok_or_else(|| format!("{name}: unknown form of schema id"))?
        }
        _ => vec![],
    };
    let bytes = draft.put_by(|bytes| {
        bytes.extend_from_slice(&frame);
        base64(raw, bytes)
    });
    bytes.map(Some).map_err(|what| format!("{name} {what}"))
}

/// What a registry writes before a message: Confluent for a number, AWS Glue for a UUID.
fn frame(metadata: &RawValue) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata<'a> {
        #[serde(borrow)]
        schema_id: Text<'a>,
    }
    let metadata: Metadata<'_> = serde_json::from_str(metadata.get()).ok()?;
    let id = &*metadata.schema_id.0;
    if let Ok(id) = id.parse::<u32>() {
        return Some([&[0][..], &id.to_be_bytes()].concat());
    }
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    let uuid = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some([&[3, 0][..], &uuid.to_be_bytes()].concat())
}
