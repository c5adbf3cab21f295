//! Events of AWS Lambda: the documentation's samples, and captures made into events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kafka_source::lambda::{DynamoDbEvent, Framing, KafkaEvent, KinesisEvent, StreamKey, Taken};
use kafka_source::{CaptureReader, CapturedRecord, TopicPartition};
use serde_json::{Value, json};

fn shared(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures").join(folder);
    if !path.is_dir() {
        eprintln!("skipped: no shared {folder} beside this clone");
        return None;
    }
    Some(path)
}

fn take(text: &[u8]) -> Taken {
    KafkaEvent::parse(text).unwrap().take(Framing::AsGiven).unwrap()
}

fn event(records: Value) -> Vec<u8> {
    json!({"eventSource": "aws:kafka", "bootstrapServers": "b:1", "records": records}).to_string().into_bytes()
}

/// Topic, partition, offset; time; key and value as text; headers as text.
type Plain = (String, i32, i64, Option<i64>, Option<String>, Option<String>, Vec<(String, Option<Vec<u8>>)>);

fn plain(taken: &Taken) -> Vec<Plain> {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let headers = taken.messages.headers();
    let messages = taken.messages.iter(&headers);
    messages
        .map(|m| {
            let headers = m.headers.iter().map(|h| (h.name.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
            (m.topic.to_owned(), m.partition, m.offset, m.timestamp_ms, text(m.key), text(m.value), headers)
        })
        .collect()
}

#[test]
fn the_documentations_samples_are_read() {
    let Some(folder) = shared("cdc-docs/lambda-kafka") else { return };
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(file.unwrap().path()).unwrap();
        let event = KafkaEvent::parse(&text).unwrap();
        let taken = event.take(Framing::AsGiven).unwrap();
        assert_eq!((taken.messages.len(), taken.bad.len(), event.len()), (1, 0, 1));
        let message = plain(&taken).remove(0);
        assert_eq!(message.6, [("headerKey".to_owned(), Some(b"headerValue".to_vec()))]);
        assert!(event.event_source.ends_with("afka") && message.3.is_some() && message.4.is_some());
        read += 1;
    }
    assert!(read >= 3, "{read}");
}

/// The records of the captures that the events were made of, by place.
fn captured(folder: &Path) -> BTreeMap<(String, i32, i64), CapturedRecord> {
    let mut records = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        for record in CaptureReader::open(file.unwrap().path()).unwrap() {
            let record = record.unwrap();
            records.insert((record.topic.clone(), record.partition, record.offset), record);
        }
    }
    records
}

#[test]
fn kafka_events_hold_what_the_captures_do() {
    let Some(folder) = shared("dynamodb-captures/basic") else { return };
    let captured = captured(&folder.join("streams-kafka"));
    for name in ["all-tables", "msk-two-topics", "one-partition", "redelivery-overlap", "self-managed-headers", "empty"]
    {
        let text = std::fs::read(folder.join(format!("lambda-kafka/{name}.json"))).unwrap();
        let event = KafkaEvent::parse(&text).unwrap();
        let taken = event.take(Framing::AsGiven).unwrap();
        assert_eq!((taken.bad.len(), taken.messages.len()), (0, event.len()), "{name}");
        assert_eq!(event.is_empty(), name == "empty");
        let headers = taken.messages.headers();
        for message in taken.messages.iter(&headers) {
            let record = &captured[&(message.topic.to_owned(), message.partition, message.offset)];
            assert_eq!(message.key, record.key.as_deref(), "{name}");
            assert_eq!(message.value, record.value.as_deref(), "{name}");
            assert_eq!(message.timestamp_ms, record.timestamp_ms, "{name}");
        }
        if name == "all-tables" {
            assert_eq!(taken.messages.len(), captured.len(), "every record is there once");
        }
    }
}

#[test]
fn odd_shapes_are_told_and_the_rest_goes_on() {
    let Some(folder) = shared("dynamodb-captures/basic/lambda-kafka") else { return };
    let text = std::fs::read(folder.join("odd-shapes.json")).unwrap();
    let event = KafkaEvent::parse(&text).unwrap();
    let taken = event.take(Framing::AsGiven).unwrap();
    assert_eq!((taken.messages.len(), taken.bad.len()), (event.len(), 0), "{:?}", taken.bad.first().map(|b| &b.reason));
    let messages = plain(&taken);
    assert!(messages.iter().any(|m| m.3.is_none()), "a time of -1 is none");
    assert!(messages.iter().any(|m| m.4.is_none()), "a key that is absent is none");
    assert!(messages.iter().filter(|m| m.5.is_none()).count() >= 2, "a value that is null or absent is a tombstone");
}

#[test]
fn one_bad_record_does_not_poison_the_batch() {
    let good = |offset| json!({"topic": "a-b", "partition": 1, "offset": offset, "value": "eA==", "timestamp": 7});
    let mut bad = vec![];
    for (member, value, reason) in [
        ("value", json!({"secret": 1}), "value is no string"),
        ("value", json!("secret"), "value is not base64"),
        ("key", json!("e"), "key is not base64"),
        ("headers", json!({"secret": [1]}), "headers: a value of the wrong type: want a sequence"),
        ("headers", json!([{"secret": [300]}]), "headers: a byte is not within -128 to 255"),
        ("headers", json!([{"secret": ["secret"]}]), "headers: a value of the wrong type: want i16"),
    ] {
        let mut record = good(10 + bad.len());
        record[member] = value;
        bad.push((record, reason));
    }
    let records: Vec<_> = [good(1)].into_iter().chain(bad.iter().map(|(r, _)| r.clone())).chain([good(99)]).collect();
    let taken = take(&event(json!({"a-b-1": records})));
    assert_eq!(plain(&taken).iter().map(|m| m.2).collect::<Vec<_>>(), [1, 99]);
    for (found, (record, reason)) in taken.bad.iter().zip(&bad) {
        assert_eq!(found.reason, *reason);
        assert_eq!(found.place, TopicPartition::new("a-b", 1));
        assert_eq!(serde_json::from_str::<Value>(&found.text).unwrap(), *record);
        assert_eq!(json!(found.offset), record["offset"]);
    }
    assert_eq!(taken.bad.len(), bad.len());
}

#[test]
fn a_record_without_a_place_makes_the_event_unreadable() {
    let refused = |text: &[u8]| match KafkaEvent::parse(text) {
        Ok(event) => event.take(Framing::AsGiven).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let error = refused(&event(json!({"t-0": [{"topic": "t", "partition": "secret", "offset": 1}]})));
    assert_eq!(error, "event of Kafka, record 0 of t-0: a value of the wrong type: want i32");
    let error = refused(&event(json!({"t-0": [{"topic": "t", "partition": 0}]})));
    assert_eq!(error, "event of Kafka, record 0 of t-0: missing field `offset`");
    assert_eq!(refused(b"{}"), "event of Kafka, line 1: missing field `records`");
    assert_eq!(refused(b"{\n\"records\":"), "event of Kafka, line 2: EOF while parsing a value");
}

#[test]
fn headers_keep_their_order_and_repeat() {
    let headers = json!([{"b": [1, -2, 254]}, {"a": []}, {"b": null}]);
    let taken = take(&event(json!({"t-0": [{"topic": "t", "partition": 0, "offset": 1, "headers": headers}]})));
    let expect = [("b", Some(vec![1, 254, 254])), ("a", Some(vec![])), ("b", None)];
    assert_eq!(plain(&taken)[0].6, expect.map(|(name, bytes)| (name.to_owned(), bytes)));
}

#[test]
fn a_schemas_id_is_put_back_where_the_event_source_took_it_off() {
    let uuid = "00010203-0405-0607-0809-0a0b0c0d0e0f";
    let schema = |id: &str| json!({"schemaId": id, "dataFormat": "AVRO"});
    let record = |offset, key: Value, value: Value| json!({"topic": "t", "partition": 0, "offset": offset, "key": "eA==", "value": "eA==", "keySchemaMetadata": key, "valueSchemaMetadata": value});
    let text = event(json!({"t-0": [record(0, schema("258"), schema(uuid)), record(1, Value::Null, schema("what"))]}));
    let event = KafkaEvent::parse(&text).unwrap();
    let taken = event.take(Framing::Restored).unwrap();
    let headers = taken.messages.headers();
    let message = taken.messages.get(0, &headers).unwrap();
    assert_eq!(message.key.unwrap(), b"\0\0\0\x01\x02x");
    let expect: Vec<u8> = [3, 0].into_iter().chain(0..16).chain([b'x']).collect();
    assert_eq!(message.value.unwrap(), expect);
    assert_eq!((taken.messages.len(), &*taken.bad[0].reason), (1, "value: unknown form of schema id"));
    let taken = event.take(Framing::AsGiven).unwrap();
    let headers = taken.messages.headers();
    assert!(taken.messages.iter(&headers).all(|m| m.value == Some(b"x")));
}

#[test]
fn kinesis_events_hold_what_the_captures_do() {
    let Some(folder) = shared("dynamodb-captures/basic") else { return };
    for name in ["audit", "blobs", "events", "orders", "sessions", "tokens"] {
        let text = std::fs::read(folder.join(format!("lambda-kinesis/{name}.json"))).unwrap();
        let taken = KinesisEvent::parse(&text).unwrap().take(StreamKey::None, 100).unwrap();
        let captured: Vec<_> = CaptureReader::open(folder.join(format!("kinesis-kafka/{name}.jsonl")))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!((taken.bad.len(), taken.positions.len()), (0, taken.messages.len()), "{name}");
        assert!(!taken.messages.is_empty() && taken.messages.len() <= captured.len());
        let headers = taken.messages.headers();
        let mut values: Vec<_> = captured.iter().map(|record| record.value.as_deref()).collect();
        for (number, message) in taken.messages.iter(&headers).enumerate() {
            assert_eq!((message.key, message.offset), (None, 100 + number as i64), "{name}");
            let found = values.iter().position(|value| *value == message.value);
            values.remove(found.unwrap_or_else(|| panic!("{name}: record {number} is in no capture")));
        }
        assert!(taken.positions.is_sorted());
    }
}

fn kinesis(data: &str, event_id: &str) -> Vec<u8> {
    let kinesis = json!({"partitionKey": "pk", "sequenceNumber": "4959", "data": data, "approximateArrivalTimestamp": 1607497475.5});
    let arn = "arn:aws:kinesis:us-east-1:1:stream/s";
    json!({"Records": [{"kinesis": kinesis, "eventID": event_id, "eventSourceARN": arn}]}).to_string().into_bytes()
}

#[test]
fn a_kinesis_record_has_its_streams_and_shards_place() {
    let text = kinesis("eA==", "shardId-000000000006:4959");
    let taken = KinesisEvent::parse(&text).unwrap().take(StreamKey::PartitionKey, 5).unwrap();
    let expect = ("s".to_owned(), 6, 5, Some(1_607_497_475_500), Some("pk".to_owned()), Some("x".to_owned()), vec![]);
    assert_eq!((plain(&taken), taken.positions), (vec![expect], vec!["4959".to_owned()]));
    let packed = kinesis("84mawg==", "shardId-000000000006:4959");
    let taken = KinesisEvent::parse(&packed).unwrap().take(StreamKey::None, 5).unwrap();
    assert_eq!(taken.bad[0].reason, "data holds several records, which are not unpacked");
    assert_eq!((taken.bad[0].position.as_deref(), taken.bad[0].offset, taken.messages.len()), (Some("4959"), 5, 0));
    let lost = kinesis("eA==", "4959");
    let error = KinesisEvent::parse(&lost).unwrap().take(StreamKey::None, 5).unwrap_err().to_string();
    assert_eq!(error, "event of Kinesis, record 0: `eventID` names no shard");
}

#[test]
fn dynamodb_events_hold_what_the_captures_do() {
    let Some(folder) = shared("dynamodb-captures/basic") else { return };
    let captured = captured(&folder.join("streams-kafka"));
    for name in ["audit", "blobs", "events", "orders", "sessions", "tokens"] {
        let text = std::fs::read(folder.join(format!("lambda-streams/{name}-000.json"))).unwrap();
        let taken = DynamoDbEvent::parse(&text).unwrap().take(7).unwrap();
        assert_eq!((taken.bad.len(), taken.positions.len()), (0, taken.messages.len()), "{name}");
        assert!(!taken.messages.is_empty(), "{name}");
        let json = |bytes: Option<&[u8]>| serde_json::from_slice::<Value>(bytes.unwrap()).unwrap();
        let known: BTreeMap<String, (Value, Value)> = captured
            .values()
            .filter(|record| record.topic == format!("ddb.{name}"))
            .map(|record| {
                let value = json(record.value.as_deref());
                let position = value["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned();
                (position, (json(record.key.as_deref()), value["dynamodb"].clone()))
            })
            .collect();
        let headers = taken.messages.headers();
        for (message, position) in taken.messages.iter(&headers).zip(&taken.positions) {
            let (key, change) = &known[position];
            let value = json(message.value);
            assert_eq!((&json(message.key), &value["dynamodb"]), (key, change), "{name}");
            assert_eq!((message.topic, message.partition), (name, 0));
            let seconds = change["ApproximateCreationDateTime"].as_i64().unwrap();
            assert_eq!(message.timestamp_ms, Some(seconds * 1000));
        }
    }
}

#[test]
fn the_documentations_dynamodb_samples_are_read() {
    let Some(folder) = shared("cdc-docs/dynamodb") else { return };
    let text = std::fs::read(folder.join("lambdars-example-dynamodb-event.json")).unwrap();
    let taken = DynamoDbEvent::parse(&text).unwrap().take(0).unwrap();
    assert!(taken.messages.len() > 1 && taken.bad.is_empty());
    let text = std::fs::read(folder.join("powertools-py-dynamoStreamEvent.json")).unwrap();
    let error = DynamoDbEvent::parse(&text).unwrap().take(0).unwrap_err().to_string();
    assert_eq!(error, "event of DynamoDB Streams, record 0: `eventSourceARN` names no table", "theirs is made up");
}

#[test]
fn a_dynamodb_record_without_keys_is_bad_and_one_without_position_ends_it() {
    let arn = "arn:aws:dynamodb:us-east-1:1:table/orders/stream/x";
    let record = |dynamodb: Value| {
        json!({"Records": [{"eventName": "INSERT", "eventSourceARN": arn, "dynamodb": dynamodb}]}).to_string()
    };
    let text = record(json!({"SequenceNumber": "5"}));
    let taken = DynamoDbEvent::parse(text.as_bytes()).unwrap().take(3).unwrap();
    assert_eq!((&*taken.bad[0].reason, taken.bad[0].offset, taken.messages.len()), ("missing field `Keys`", 3, 0));
    let text = record(json!({"Keys": {}}));
    let error = DynamoDbEvent::parse(text.as_bytes()).unwrap().take(3).unwrap_err().to_string();
    assert_eq!(error, "event of DynamoDB Streams, record 0: missing field `SequenceNumber`");
}
