//! [`DynamoDbEvent`]: what a stream of a DynamoDB table calls with.
//!
//! A table is a topic. A message's value is the record itself, as text of the event; its key is the item's `Keys`. The event does not
//! say which shard it is from: the partition is 0. Positions are no numbers: the sequence number stands in [`Taken::positions`], and
//! offsets are counted from where the caller says, for a checkpoint that goes on counting.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{Anything, name_in_arn, reason, seconds};
use super::taken::{BadRecord, Taken};
use crate::error::{Error, Result};
use crate::messages::Origin;
use crate::partition::TopicPartition;

const KIND: &str = "DynamoDB Streams";

/// An event of records of one table, borrowed from its text.
#[derive(Debug, Deserialize)]
pub struct DynamoDbEvent<'a> {
    #[serde(rename = "Records", borrow)]
    records: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventSourceARN")]
    event_source_arn: String,
    dynamodb: Position,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Position {
    sequence_number: String,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(rename = "eventName")]
    _event_name: Anything,
    #[serde(borrow)]
    dynamodb: Change<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change<'a> {
    #[serde(borrow)]
    keys: &'a RawValue,
    #[serde(borrow, default)]
    approximate_creation_date_time: Option<&'a RawValue>,
}

impl<'a> DynamoDbEvent<'a> {
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
    /// [`Error::Event`] where a record does not tell table and sequence number.
    pub fn take(&self, first: i64) -> Result<Taken> {
        let mut taken = Taken::default();
        for (number, record) in self.records.iter().enumerate() {
            take(record, first, &mut taken).map_err(|reason| Error::event(KIND, format!("record {number}"), reason))?;
        }
        Ok(taken)
    }
}

fn take(raw: &RawValue, first: i64, taken: &mut Taken) -> Result<(), String> {
    let record: Record = serde_json::from_str(raw.get()).map_err(|e| reason(&e))?;
    let table = name_in_arn(&record.event_source_arn, "table").ok_or("`eventSourceARN` names no table")?;
    let (offset, position) = (taken.offset(first), record.dynamodb.sequence_number);
    match serde_json::from_str::<Content<'_>>(raw.get()) {
        Ok(Content { dynamodb, .. }) => {
            let mut draft = taken.messages.draft();
            let key = draft.put(dynamodb.keys.get().as_bytes());
            let value = draft.put(raw.get().as_bytes());
            let timestamp_ms = seconds(dynamodb.approximate_creation_date_time);
            draft.finish(Origin { topic: table, partition: 0, offset, timestamp_ms }, Some(key), Some(value));
            taken.positions.push(position);
        }
        Err(error) => taken.bad.push(BadRecord {
            place: TopicPartition::new(table, 0),
            offset,
            position: Some(position),
            reason: reason(&error),
            text: raw.get().to_owned(),
        }),
    }
    Ok(())
}
