//! CloudEvents: what each becomes, and that they say what the envelopes say of which they are made.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use cdc_decoders::debezium::{DebeziumCloudEvents, DebeziumCloudEventsBuilder, DebeziumJson, DeclaredSchema};
use cdc_decoders::testing::{Sample, conformance};
use cdc_decoders::{DecodeError, Decoded, Decoder, SkipReason};
use hudi_core::change::{ChangeBatch, Op, SnapshotPart, StreamPosition};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::capture::{Record, folder, records};

const ID: &str = r#"{"id":1}"#;

fn plain() -> DebeziumCloudEvents {
    DebeziumCloudEvents::builder().build().unwrap()
}

/// An event as the converter makes it of an envelope: attributes of lower-case letters and digits, long numbers as text.
fn event(envelope: &Value) -> Value {
    let source = envelope["source"].as_object().unwrap();
    let connector = source["connector"].as_str().unwrap();
    let mut event = json!({
        "id": "name:x", "source": format!("/debezium/{connector}/{}", source["name"].as_str().unwrap()), "specversion": "1.0",
        "type": format!("io.debezium.connector.{connector}.DataChangeEvent"), "time": "2020-01-13T13:55:39.738Z",
        "datacontenttype": "application/json", "iodebeziumop": envelope["op"],
    });
    let attributes: Map<String, Value> = source
        .iter()
        .map(|(name, value)| {
            let name = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
            let is_short = name == "row" || name == "ord";
            (
                format!("iodebezium{name}"),
                if value.is_number() && !is_short { value.to_string().into() } else { value.clone() },
            )
        })
        .collect();
    event.as_object_mut().unwrap().extend(attributes);
    event["data"] = json!({"before": envelope["before"], "after": envelope["after"]});
    event
}

fn envelope(op: &str, before: Value, after: Value) -> Value {
    json!({"before": before, "after": after, "op": op, "source": {"version": "3.6", "connector": "postgresql", "name": "pg", "ts_ms": 17,
        "snapshot": if op == "r" { "last" } else { "false" }, "db": "d", "sequence": "[\"12\",\"34\"]", "lsn": 34, "xmin": null}})
}

fn sample(key: Option<&str>, value: &Value) -> Sample {
    Sample::new("t", 5, key, Some(&value.to_string()))
}

fn decode(decoder: &mut DebeziumCloudEvents, sample: &Sample) -> Result<Decoded, DecodeError> {
    sample.with(|message| decoder.decode(message))
}

fn flush(decoder: &mut dyn Decoder) -> ChangeBatch {
    let batch = decoder.flush().unwrap().unwrap();
    batch.validate().unwrap();
    batch
}

#[test]
fn attributes_tell_what_the_envelope_tells() {
    let mut decoder = plain();
    for (op, before, after) in [
        ("r", Value::Null, json!({"id": 1, "a": "x"})),
        ("c", Value::Null, json!({"id": 1, "a": "x"})),
        ("u", json!({"id": 1}), json!({"id": 1})),
        ("d", json!({"id": 1, "a": "z"}), Value::Null),
        ("t", Value::Null, Value::Null),
    ] {
        let key = if op == "t" { None } else { Some(ID) };
        let sample = sample(key, &event(&envelope(op, before, after)));
        assert_eq!(decode(&mut decoder, &sample), Ok(Decoded::Added { rows: 1 }), "{op}");
    }
    let batch = flush(&mut decoder);
    assert_eq!(batch.ops, [Op::Snapshot, Op::Insert, Op::Update, Op::Delete, Op::Truncate]);
    assert_eq!((&*batch.source, &batch.key_columns, batch.rows.num_columns()), ("pg", &vec!["id".to_owned()], 2));
    assert_eq!(batch.orders.as_primitive::<Int64Type>().values()[1..], [34; 4]);
    assert_eq!(batch.positions[1], Some(StreamPosition([12, 34, 0])));
    assert_eq!((batch.source_ts_ms.value(0), batch.snapshots[0]), (17, SnapshotPart::FullLast));
    assert!(batch.rows.column(1).is_null(2));
    // A truncate without data, and a name that only the attribute `source` has.
    let mut truncate = event(&envelope("t", Value::Null, Value::Null));
    truncate["data"] = Value::Null;
    truncate.as_object_mut().unwrap().remove("iodebeziumname");
    assert_eq!(decode(&mut decoder, &sample(None, &truncate)), Ok(Decoded::Added { rows: 1 }));
    assert_eq!(&*flush(&mut decoder).source, "pg");
}

#[test]
fn what_is_no_event_of_a_change_is_skipped_or_refused_by_name() {
    let good = event(&envelope("c", Value::Null, json!({"id": 1})));
    let with = |name: &str, value: Value| {
        let mut event = good.clone();
        event[name] = value;
        event
    };
    let without = |name: &str| {
        let mut event = good.clone();
        event.as_object_mut().unwrap().remove(name);
        event
    };
    for (value, reason) in [
        (Value::Null, SkipReason::Tombstone),
        (json!({"ts_ms": 1}), SkipReason::Heartbeat),
        (json!({"schema": null, "payload": {"ts_ms": 1}}), SkipReason::Heartbeat),
        (json!({"source": {}, "databaseName": "d", "ddl": "DROP", "tableChanges": []}), SkipReason::SchemaChange),
        (with("iodebeziumop", "m".into()), SkipReason::LogicalMessage),
    ] {
        assert_eq!(decode(&mut plain(), &sample(Some(ID), &value)), Ok(Decoded::Skipped(reason)), "{value}");
    }
    for (value, part) in [
        (with("type", "com.example.Order".into()), "com.example.Order"),
        (without("type"), "type"),
        (without("iodebeziumop"), "extension.attributes.enable"),
        (with("data", "AAAA".into()), "data.serializer.type=json"),
        (with("data", Value::Null), "`data`"),
        (without("data"), "`data`"),
        (with("iodebeziumop", "x".into()), "`x`"),
        (with("iodebeziumlsn", "hidden".into()), "lsn"),
        (without("iodebeziumlsn"), "lsn"),
        (without("specversion"), "no CloudEvent"),
        (envelope("c", Value::Null, json!({"id": 1})), "no CloudEvent"),
    ] {
        let mut decoder = plain();
        let error = decode(&mut decoder, &sample(Some(ID), &value)).unwrap_err();
        assert!(error.can_go_on() && error.to_string().contains(part), "{value}: {error}");
        assert!(!error.to_string().contains("hidden"));
        assert_eq!(decode(&mut decoder, &sample(Some(ID), &good)), Ok(Decoded::Added { rows: 1 }));
    }
    let twice = good.to_string().replacen("{", r#"{"iodebeziumop":"d","#, 1);
    let error = decode(&mut plain(), &Sample::new("t", 0, Some(ID), Some(&twice))).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

#[test]
fn documents_come_as_events_too() {
    let envelope = json!({"before": null, "after": r#"{"_id":1}"#, "op": "c", "source": {"connector": "mongodb", "name": "rs", "ts_ms": 7000, "ord": 1}});
    let mut decoder = plain();
    assert_eq!(decode(&mut decoder, &sample(Some(r#"{"id":"1"}"#), &event(&envelope))), Ok(Decoded::Added { rows: 1 }));
    let batch = flush(&mut decoder);
    assert_eq!(batch.rows.column(1).as_string::<i32>().value(0), r#"{"_id":1}"#);
    assert_eq!(batch.orders.as_primitive::<Int64Type>().value(0), 7 << 24 | 1);
}

const ROW: &str =
    r#"{"type":"struct","field":"after","fields":[{"type":"int32","field":"id"},{"type":"string","field":"name"}]}"#;

#[test]
fn bad_bytes_leave_no_trace() {
    let row = |id: i64| json!({"id": id, "name": format!("a\u{e9} \"{id}\"")});
    let schema: Value = serde_json::from_str(&format!(r#"{{"type":"struct","fields":[{ROW}]}}"#)).unwrap();
    let samples = |wrapped: bool| -> Vec<Sample> {
        let messages = [
            ("r", Value::Null, row(1)),
            ("u", row(1), row(1)),
            ("t", Value::Null, Value::Null),
            ("d", row(1), Value::Null),
        ];
        let sample = |(offset, (op, before, after)): (i64, (&str, Value, Value))| {
            let mut event = event(&envelope(op, before, after));
            if wrapped {
                event["data"] = json!({"schema": schema, "payload": event["data"]});
            }
            Sample { offset, ..sample(if op == "t" { None } else { Some(ID) }, &event) }
        };
        (0..).zip(messages).map(sample).collect()
    };
    let boxed = |builder: DebeziumCloudEventsBuilder| Box::new(builder.build().unwrap()) as Box<dyn Decoder>;
    conformance(|| boxed(DebeziumCloudEvents::builder()), &samples(false)).unwrap();
    conformance(|| boxed(DebeziumCloudEvents::builder()), &samples(true)).unwrap();
    let declared = DeclaredSchema::from_json(ROW).unwrap();
    conformance(|| boxed(DebeziumCloudEvents::builder().declared(declared.clone())), &samples(false)).unwrap();
}

/// The message of an event made of an envelope's: the images as they stand there, the schema less what is not in the data.
pub(crate) fn as_event(record: &Record) -> Option<Sample> {
    let sample = record.sample();
    let mut value: Value = serde_json::from_slice(sample.value.as_ref()?).unwrap();
    let schema = value.get("payload").is_some().then(|| value["schema"].take());
    let envelope = if schema.is_some() { value["payload"].take() } else { value };
    envelope.get("op")?;
    let mut event = event(&envelope);
    event.as_object_mut().unwrap().remove("data");
    let images = images(sample.value.as_ref()?, schema.is_some());
    let data = match schema {
        Some(mut schema) => {
            let is_image = |field: &Value| field["field"] == "before" || field["field"] == "after";
            schema["fields"].as_array_mut().unwrap().retain(is_image);
            format!(r#"{{"schema":{schema},"payload":{images}}}"#)
        }
        None => images,
    };
    let event = format!(r#"{},"data":{data}}}"#, event.to_string().strip_suffix('}').unwrap());
    Some(Sample { value: Some(event.into_bytes()), ..sample })
}

fn images(message: &[u8], wrapped: bool) -> String {
    type Members<'a> = std::collections::HashMap<String, &'a RawValue>;
    let mut members: Members<'_> = serde_json::from_slice(message).unwrap();
    if wrapped {
        members = serde_json::from_str(members["payload"].get()).unwrap();
    }
    format!(r#"{{"before":{},"after":{}}}"#, members["before"], members["after"])
}

#[test]
fn events_made_of_the_captures_say_what_their_envelopes_say() {
    let Some(folder) = folder() else { return };
    for capture in ["pg/json", "pg/json-schema", "maria/json", "maria/json-schema", "pg/incremental"] {
        let (mut events, mut envelopes) = (plain(), DebeziumJson::builder().build().unwrap());
        let mut rows = 0;
        let mut compare = |events: &mut DebeziumCloudEvents, envelopes: &mut DebeziumJson| {
            let (events, envelopes) = (flush(events), flush(envelopes));
            rows += events.num_rows();
            assert_eq!(
                (&events.topic, &events.source, &events.identity),
                (&envelopes.topic, &envelopes.source, &envelopes.identity)
            );
            assert_eq!((&events.run, &events.key_columns), (&envelopes.run, &envelopes.key_columns));
            assert_eq!(format!("{:?}", events.rows), format!("{:?}", envelopes.rows), "{capture} {}", events.topic);
            assert_eq!(
                (&events.unsent, &events.ops, &events.orders),
                (&envelopes.unsent, &envelopes.ops, &envelopes.orders)
            );
            assert_eq!((&events.positions, &events.source_ts_ms), (&envelopes.positions, &envelopes.source_ts_ms));
            assert_eq!((&events.snapshots, &events.other_keys), (&envelopes.snapshots, &envelopes.other_keys));
        };
        for record in records(&folder.join(capture)) {
            let Some(event) = as_event(&record) else { continue };
            let mut decoded = decode(&mut events, &event).unwrap();
            if decoded == Decoded::FlushFirst {
                assert_eq!(record.with(|message| envelopes.decode(message)), Ok(Decoded::FlushFirst));
                compare(&mut events, &mut envelopes);
                decoded = decode(&mut events, &event).unwrap();
            }
            assert_eq!(record.with(|message| envelopes.decode(message)), Ok(decoded), "{capture}");
        }
        compare(&mut events, &mut envelopes);
        assert!(rows > 1300, "{capture}: {rows}");
    }
}
