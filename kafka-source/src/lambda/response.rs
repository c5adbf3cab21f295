//! [`BatchResponse`]: what a function answers where only a part of a batch is to be sent again (`ReportBatchItemFailures`).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::partition::TopicPartition;

/// From where a batch is to be sent again. An empty one: nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BatchResponse {
    #[serde(rename = "batchItemFailures")]
    failures: Vec<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: Identifier,
}

/// An object for Kafka, a text for Kinesis and DynamoDB Streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Identifier {
    Kafka { partition: String, offset: i64 },
    Stream(String),
}

impl BatchResponse {
    /// Kafka: each partition that is named is sent again from its smallest offset here.
    #[must_use]
    pub fn kafka(failed: impl IntoIterator<Item = (TopicPartition, i64)>) -> Self {
        let mut first: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        for (place, offset) in failed {
            first.entry(place).and_modify(|first| *first = offset.min(*first)).or_insert(offset);
        }
        let failure = |(place, offset): (TopicPartition, i64)| {
            let partition = format!("{}-{}", place.topic, place.partition);
            Failure { item_identifier: Identifier::Kafka { partition, offset } }
        };
        Self { failures: first.into_iter().map(failure).collect() }
    }

    /// Kinesis and DynamoDB Streams: everything is sent again from this sequence number on.
    #[must_use]
    pub fn stream(from: Option<&str>) -> Self {
        let failure = |from: &str| Failure { item_identifier: Identifier::Stream(from.to_owned()) };
        Self { failures: from.map(failure).into_iter().collect() }
    }

    /// The answer as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_form_that_lambda_reads() {
        let place = |partition| TopicPartition::new("my-topic", partition);
        let kafka = BatchResponse::kafka([(place(1), 9), (place(0), 123), (place(1), 7), (place(1), 8)]);
        assert_eq!(
            kafka.to_json(),
            r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"my-topic-0","offset":123}},{"itemIdentifier":{"partition":"my-topic-1","offset":7}}]}"#
        );
        let stream = BatchResponse::stream(Some("4959"));
        assert_eq!(stream.to_json(), r#"{"batchItemFailures":[{"itemIdentifier":"4959"}]}"#);
        for nothing in [BatchResponse::stream(None), BatchResponse::kafka([]), BatchResponse::default()] {
            assert_eq!(nothing.to_json(), r#"{"batchItemFailures":[]}"#);
        }
    }
}
