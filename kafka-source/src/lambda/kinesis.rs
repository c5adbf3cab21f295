//! [`KinesisEvent`]: what a Kinesis data stream calls with.
//!
//! A stream is a topic, a shard is a partition (its number, from `eventID`). Positions are no numbers: the sequence number stands in
//! [`Taken::positions`], and offsets are counted from where the caller says, for a checkpoint that goes on counting.
//!
//! Records that a producer's library packed into one are not unpacked: they are bad records.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{base64, name_in_arn, reason, seconds};
use super::taken::{BadRecord, Taken};
use crate::error::{Error, Result};
use crate::messages::Origin;
use crate::partition::TopicPartition;

const KIND: &str = "Kinesis";

/// What several records in one begin with.
const AGGREGATED: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// What a message's key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamKey {
    /// There is none: the partition key only spreads records, as DynamoDB's does.
    #[default]
    None,
    /// The partition key, as Debezium Server writes the row's key there.
    PartitionKey,
}

/// An event of records of one shard, borrowed from its text.
#[derive(Debug, Deserialize)]
pub struct KinesisEvent<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventID")]
    event_id: String,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: String,
    kinesis: Position,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Position {
    sequence_number: String,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    kinesis: Data<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(default)]
    partition_key: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow, default)]
    approximate_arrival_timestamp: Option<&'a RawValue>,
}

impl<'a> KinesisEvent<'a> {
    /// Reads an event. Its records are looked at by [`take`](Self::take).
    ///
    /// # Errors
    /// [`Error::Event`] where the text is no such event.
    pub fn parse(text: &'a [u8]) -> Result<Self> {
        serde_json::from_slice(text).map_err(|e| Error::event(KIND, format!("line {}", e.line()), reason(&e)))
    }

    /// The records as messages, whose offsets are counted from `first`.
    ///
    /// # Errors
    /// [`Error::Event`] where a record does not tell stream, shard and sequence number.
    pub fn take(&self, key: StreamKey, first: i64) -> Result<Taken> {
        let mut taken = Taken::default();
        for (number, record) in self.records.iter().enumerate() {
            take(record, key, first, &mut taken)
                .map_err(|reason| Error::event(KIND, format!("record {number}"), reason))?;
        }
        Ok(taken)
    }
}

fn take(raw: &RawValue, key: StreamKey, first: i64, taken: &mut Taken) -> Result<(), String> {
    let record: Record = serde_json::from_str(raw.get()).map_err(|e| reason(&e))?;
    let stream = name_in_arn(&record.event_source_arn, "stream").ok_or("`eventSourceARN` names no stream")?;
    let place = TopicPartition::new(stream, shard(&record.event_id).ok_or("`eventID` names no shard")?);
    let offset = taken.offset(first);
    match read(raw, key, &place, offset, taken) {
        Ok(()) => taken.positions.push(record.kinesis.sequence_number),
        Err(reason) => taken.bad.push(BadRecord {
            place,
            offset,
            position: Some(record.kinesis.sequence_number),
            reason,
            text: raw.get().to_owned(),
        }),
    }
    Ok(())
}

fn read(raw: &RawValue, key: StreamKey, place: &TopicPartition, offset: i64, taken: &mut Taken) -> Result<(), String> {
    let Content { kinesis } = serde_json::from_str(raw.get()).map_err(|e| reason(&e))?;
    let mut draft = taken.messages.draft();
    let partition_key = kinesis.partition_key.filter(|_| key == StreamKey::PartitionKey);
    let key = partition_key.map(|key| draft.put(key.as_bytes()));
    let value = draft.put_by(|bytes| {
        let start = bytes.len();
        base64(kinesis.data, bytes)?;
        let packed = bytes.get(start..).is_some_and(|data| data.starts_with(&AGGREGATED));
        if packed { Err("holds several records, which are not unpacked") } else { Ok(()) }
    });
    let value = value.map_err(|what| format!("data {what}"))?;
    let timestamp_ms = seconds(kinesis.approximate_arrival_timestamp);
    draft.finish(Origin { topic: &place.topic, partition: place.partition, offset, timestamp_ms }, key, Some(value));
    Ok(())
}

/// The number in `shardId-000000000006:4959…`.
fn shard(event_id: &str) -> Option<i32> {
    event_id.split(':').next()?.strip_prefix("shardId-")?.parse().ok()
}
