//! Every sample of Debezium's own documentation is decoded to what its page says, skipped, or refused for a reason.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use cdc_decoders::debezium::{DebeziumCloudEvents, DebeziumJson};
use cdc_decoders::testing::Sample;
use cdc_decoders::{Decoded, Decoder};
use hudi_core::change::{ChangeBatch, OrderKind};

use crate::cells::{Cell, cell};

/// What pages leave out: schemas, source blocks, the attribute that two connectors' pages share.
fn filled_in(page: &str, text: &str) -> String {
    let source = match page.split('-').next().unwrap() {
        "postgresql" => r#""connector": "postgresql", "name": "s", "lsn": 7"#,
        "oracle" => r#""connector": "oracle", "name": "s", "commit_scn": "7""#,
        "sqlserver" => r#""connector": "sqlserver", "name": "s", "commit_lsn": "0:0:7", "change_lsn": "0:0:6""#,
        "db2" => r#""connector": "db2", "name": "s", "commit_lsn": "7", "change_lsn": "6""#,
        "mongodb" | "mongo" => r#""connector": "mongodb", "name": "s", "ts_ms": 7000, "ord": 1"#,
        _ => r#""connector": "mysql", "name": "s", "file": "b.1", "pos": 7"#,
    };
    let mut text = text.replace("{context}", "mysql");
    for (elided, filling) in [
        ("\"schema\": {\n  \"$elided_in_doc\": true\n }", "\"schema\": null"),
        ("\"schema\": {},", "\"schema\": null,"),
        ("\"schema\": { ... },\n  },", "\"schema\": null,"),
        ("\"schema\": { ... },", "\"schema\": null,"),
    ] {
        text = text.replace(elided, filling);
    }
    for elided in ["\"$elided_in_doc\": true\n }", "\"snapshot\": \"incremental\"\n }"] {
        text = text.replace(elided, &format!("{source}, {elided}"));
    }
    text
}

/// What becomes of a sample, in short.
fn outcome(name: &str, text: &str) -> String {
    let text = filled_in(name, text);
    if name.contains("event-key") {
        return of_key(&text);
    }
    let mut decoder: Box<dyn Decoder> = match name.starts_with("cloudevents") {
        true => Box::new(DebeziumCloudEvents::builder().build().unwrap()),
        false => Box::new(DebeziumJson::builder().build().unwrap()),
    };
    let key = if name.starts_with("mongo") { Some(r#"{"id":"1004"}"#) } else { None };
    let decoded = Sample::new("t", 0, key, Some(&text)).with(|message| decoder.decode(message));
    match decoded {
        Ok(Decoded::Added { .. }) => row(&decoder.flush().unwrap().unwrap()),
        Ok(Decoded::Skipped(reason)) => format!("skipped: {}", reason.as_str()),
        Ok(other) => format!("{other:?}"),
        Err(error) if error.to_string().contains("no Debezium envelope") => of_key(&text),
        Err(error) => format!("refused: {error}"),
    }
}

/// The same of a message key, told with a row that lacks it.
fn of_key(text: &str) -> String {
    const ROW: &str = r#"{"after":{},"source":{"connector":"mysql","name":"s","file":"b.1","pos":1},"op":"c"}"#;
    let mut decoder = DebeziumJson::builder().build().unwrap();
    match Sample::new("t", 0, Some(text), Some(ROW)).with(|message| decoder.decode(message)) {
        Ok(Decoded::Added { .. }) => {
            let batch = decoder.flush().unwrap().unwrap();
            format!("key {:?} of {}", batch.key_columns, cells(&batch))
        }
        other => format!("no key: {other:?}"),
    }
}

/// The last row: without key, an update has the old one before it.
fn row(batch: &ChangeBatch) -> String {
    batch.validate().unwrap();
    let last = batch.num_rows() - 1;
    let order = match batch.order_kind() {
        _ if batch.orders.is_null(last) => "-".to_owned(),
        OrderKind::Long => batch.orders.as_primitive::<Int64Type>().value(last).to_string(),
        OrderKind::Text => batch.orders.as_string::<i32>().value(last).to_owned(),
    };
    format!("{} {} @{order}: {}", batch.ops[last].letter(), batch.source, cells(batch))
}

fn cells(batch: &ChangeBatch) -> String {
    let schema = batch.rows.schema();
    let cell = |i: usize| {
        let value = match cell(batch.rows.column(i), batch.num_rows() - 1) {
            Cell::Int(value) => value.to_string(),
            Cell::Text(text) => text,
            other => format!("{other:?}"),
        };
        format!("{}={value}", schema.field(i).name())
    };
    (0..batch.rows.num_columns()).map(cell).collect::<Vec<_>>().join(" ")
}

/// The samples by page and number; of those with several messages each.
const SAMPLES: &[(&str, &str)] = &[
    ("cloudevents-01", "r test_server @-: pk=1 name=Bob"),
    (
        "cloudevents-02",
        "refused: a CloudEvent with data in Avro is not supported: data in JSON is decoded: set the converter's data.serializer.type=json",
    ),
    ("db2-01", r#"key ["databaseName"] of databaseName=inventory"#),
    ("db2-02", "skipped: schema_change"),
    ("db2-03", r#"key ["databaseName"] of databaseName=TESTDB"#),
    ("db2-04", "skipped: transaction"),
    ("db2-04", "skipped: transaction"),
    ("db2-05", "c s @0000000000000000000000000000000700000000000000000000000000000006: pk=2 aa=1"),
    ("db2-07", r#"key ["ID"] of ID=1004"#),
    (
        "db2-08",
        "c myconnector @0000000000000000002700000758000500000000000000000027000007580003: ID=1005 FIRST_NAME=john LAST_NAME=doe EMAIL=john.doe@example.org",
    ),
    (
        "db2-09",
        "u myconnector @0000000000000000002700000ac000070000000000000000002700000ac00002: ID=1005 FIRST_NAME=john LAST_NAME=doe EMAIL=noreply@example.org",
    ),
    (
        "db2-10",
        "d myconnector @0000000000000000002700000db000070000000000000000002700000db00005: ID=1005 FIRST_NAME=john LAST_NAME=doe EMAIL=noreply@example.org",
    ),
    ("flatten-01", "u s @4294967303: field1=newvalue1 field2=newvalue2"),
    ("mongo-flatten-01", r#"c s @117440513: id=1004 document={"field1":"newvalue1","field2":"newvalue1"}"#),
    ("mongo-flatten-07", "refused: malformed value at byte 0: want an object: Debezium's envelope"),
    ("mongodb-01", "skipped: transaction"),
    ("mongodb-01", "skipped: transaction"),
    (
        "mongodb-02",
        r#"c s @117440513: id=1004 document={"_id" : {"$numberLong" : "1004"},"first_name" : "Anne","last_name" : "Kretchmar","email" : "annek@noanswer.org"}"#,
    ),
    ("mongodb-05", r#"key ["id"] of id=1004"#),
    ("mongodb-07", "refused: source field `ts_ms`: want milliseconds since 1970, of seconds that fit 32 bits"),
    (
        "mongodb-08",
        r#"u fulfillment @26155101064265729: id=1004 document={"_id": {"$numberLong": "1004"},"first_name": "Anne Marie","last_name": "Kretchmar","email": "annek@noanswer.org"}"#,
    ),
    (
        "mongodb-09",
        r#"d fulfillment @26155101064265734: id=1004 document={"_id": {"$numberLong": "1004"},"first_name": "Anne Marie","last_name": "Kretchmar","email": "annek@noanswer.org"}"#,
    ),
    ("oracle-02", r#"key ["databaseName"] of databaseName=inventory"#),
    ("oracle-03", "refused: malformed value at byte 18: want `,` or `}` between members"),
    ("oracle-04", r#"key ["databaseName"] of databaseName=ORCLPDB1"#),
    ("oracle-05", "skipped: transaction"),
    ("oracle-05", "skipped: transaction"),
    ("oracle-06", "c s @7: pk=2 aa=1"),
    ("oracle-08", r#"key ["ID"] of ID=1004"#),
    ("oracle-09", "c server1 @2122185: ID=1004 FIRST_NAME=Anne LAST_NAME=Kretchmar EMAIL=annek@noanswer.org"),
    ("oracle-10", "u server1 @2125544: ID=1004 FIRST_NAME=Anne LAST_NAME=Kretchmar EMAIL=anne@example.com"),
    ("oracle-11", "d server1 @2122184: ID=1004 FIRST_NAME=Anne LAST_NAME=Kretchmar EMAIL=anne@example.com"),
    ("oracle-12", "t oracle_server @13271102: "),
    ("partial-proc-deleting-record-database-viewing-de-01", r#"key ["id"] of id=1004"#),
    (
        "partial-proc-deleting-record-database-viewing-de-02",
        "d dbserver1 @12884902613: id=1004 first_name=Anne Marie last_name=Kretchmar email=annek@noanswer.org",
    ),
    ("partial-proc-deleting-record-database-viewing-de-03", r#"key ["id"] of id=1004"#),
    ("partial-proc-deleting-record-database-viewing-de-04", "skipped: tombstone"),
    ("partial-proc-restarting-kafka-connect-service-01", r#"key ["id"] of id=1005"#),
    (
        "partial-proc-restarting-kafka-connect-service-01",
        "c dbserver1 @12884902934: id=1005 first_name=Sarah last_name=Thompson email=kitt@acme.com",
    ),
    ("partial-proc-restarting-kafka-connect-service-01", r#"key ["id"] of id=1006"#),
    (
        "partial-proc-restarting-kafka-connect-service-01",
        "c dbserver1 @12884903244: id=1006 first_name=Kenneth last_name=Anderson email=kander@acme.com",
    ),
    ("partial-proc-running-an-ad-hoc-snapshot-with-add-01", "r s @-: pk=1 value=New data"),
    ("partial-proc-triggering-an-incremental-snapshot--01", "r s @-: pk=1 value=New data"),
    ("partial-proc-updating-database-viewing-update-ev-01", r#"key ["id"] of id=1004"#),
    (
        "partial-proc-updating-database-viewing-update-ev-02",
        "u dbserver1 @12884902252: id=1004 first_name=Anne Marie last_name=Kretchmar email=annek@noanswer.org",
    ),
    ("partial-proc-viewing-create-event-01", r#"key ["id"] of id=1004"#),
    (
        "partial-proc-viewing-create-event-02",
        "r dbserver1 @-: id=1004 first_name=Anne last_name=Kretchmar email=annek@noanswer.org",
    ),
    ("partial-shared-mariadb-mysql-01", r#"key ["databaseName"] of databaseName=inventory"#),
    ("partial-shared-mariadb-mysql-02", "skipped: schema_change"),
    ("partial-shared-mariadb-mysql-03", "skipped: transaction"),
    ("partial-shared-mariadb-mysql-03", "skipped: transaction"),
    ("partial-shared-mariadb-mysql-04", "c s @4294967303: pk=2 aa=1"),
    ("partial-shared-mariadb-mysql-06", r#"key ["id"] of id=1001"#),
    (
        "partial-shared-mariadb-mysql-07",
        "c mysql-server-1 @12884902042: id=1004 first_name=Anne last_name=Kretchmar email=annek@noanswer.org",
    ),
    (
        "partial-shared-mariadb-mysql-08",
        "u mysql-server-1 @12884902372: id=1004 first_name=Anne Marie last_name=Kretchmar email=annek@noanswer.org",
    ),
    (
        "partial-shared-mariadb-mysql-09",
        "d mysql-server-1 @12884902693: id=1004 first_name=Anne Marie last_name=Kretchmar email=annek@noanswer.org",
    ),
    ("partial-shared-mariadb-mysql-10", "t mysql-server-1 @12884902372: "),
    ("postgresql-01", "skipped: transaction"),
    ("postgresql-01", "skipped: transaction"),
    ("postgresql-02", "c s @7: pk=2 aa=1"),
    ("postgresql-04", r#"key ["id"] of id=1"#),
    (
        "postgresql-05",
        "c PostgreSQL_server @24023128: id=1 first_name=Anne last_name=Kretchmar email=annek@noanswer.org",
    ),
    (
        "postgresql-06",
        "u PostgreSQL_server @24023128: id=1 first_name=Anne Marie last_name=Kretchmar email=annek@noanswer.org",
    ),
    ("postgresql-07", "d PostgreSQL_server @46523128: id=1"),
    ("postgresql-08", "t PostgreSQL_server @46523128: "),
    ("postgresql-09", "skipped: logical_message"),
    ("postgresql-10", "refused: malformed value at byte 690: want `,` or `}` between members"),
    ("sqlserver-01", r#"key ["databaseName"] of databaseName=inventory"#),
    ("sqlserver-02", "skipped: schema_change"),
    ("sqlserver-03", r#"key ["databaseName"] of databaseName=testDB"#),
    ("sqlserver-05", r#"key ["id"] of id=1004"#),
    (
        "sqlserver-06",
        "c server1 @000000270000075800050000002700000758000300000001: id=1005 first_name=john last_name=doe email=john.doe@example.org",
    ),
    (
        "sqlserver-07",
        "u server1 @0000002700000ac000070000002700000ac0000200000002: id=1005 first_name=john last_name=doe email=noreply@example.org",
    ),
    (
        "sqlserver-08",
        "d server1 @0000002700000db000070000002700000db0000500000001: id=1005 first_name=john last_name=doe email=noreply@example.org",
    ),
    ("sqlserver-09", "skipped: transaction"),
    ("sqlserver-09", "skipped: transaction"),
    ("sqlserver-10", "c s @000000000000000000070000000000000000000600000000: pk=2 aa=1"),
];

fn page_and_number(name: &str) -> String {
    let is_number = |at: &usize| name.as_bytes()[at + 1..at + 3].iter().all(u8::is_ascii_digit);
    let at = name.match_indices('-').map(|(at, _)| at).find(is_number).unwrap();
    name[..at + 3].to_owned()
}

#[test]
fn every_sample_is_what_its_page_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures/cdc-docs/debezium/docs");
    let Ok(files) = std::fs::read_dir(folder) else {
        println!("SKIPPED: no samples in {folder}");
        return;
    };
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        // Nothing but what is left out.
        if name.ends_with("data-change-events.json") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let texts: Vec<&str> = if name.ends_with("ndjson") { text.lines().collect() } else { vec![&text] };
        found.extend(texts.into_iter().map(|text| (page_and_number(name), outcome(name, text))));
    }
    assert_eq!(found.len(), SAMPLES.len());
    for ((sample, outcome), expected) in found.iter().zip(SAMPLES) {
        assert_eq!((sample.as_str(), outcome.as_str()), *expected);
    }
}
