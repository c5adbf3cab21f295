//! Overrides of columns, on batches that a decoder gave.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use cdc_decoders::debezium::DebeziumJson;
use cdc_decoders::overrides::{HashKeys, Overridden, Overrides};
use cdc_decoders::testing::Sample;
use cdc_decoders::{DecodeError, Decoded, Decoder};
use hudi_core::change::{ChangeBatch, Op};

/// A row of which the source did not send a column.
const UNSENT: &str = r#"{"id":4,"n":"__debezium_unavailable_value"}"#;
const TOPIC: &str = "pg.public.customers";

/// A batch of inserts of these rows, by key `id`; the offsets count from 0.
fn batch(rows: &[&str]) -> ChangeBatch {
    let mut decoder = DebeziumJson::builder().build().unwrap();
    for (offset, row) in rows.iter().enumerate() {
        let value = format!(
            r#"{{"before":null,"after":{row},"op":"u","source":{{"connector":"postgresql","name":"pg","ts_ms":17,"lsn":34}}}}"#
        );
        let id: String = row.chars().skip_while(|c| *c != ':').skip(1).take_while(char::is_ascii_digit).collect();
        let key = format!(r#"{{"id":{id}}}"#);
        let sample = Sample::new(TOPIC, offset as i64, Some(&key), Some(&value));
        assert_eq!(sample.with(|message| decoder.decode(message)), Ok(Decoded::Added { rows: 1 }));
    }
    decoder.flush().unwrap().unwrap()
}

fn keys() -> HashKeys {
    HashKeys::default().with("k", b"0123456789abcdef").unwrap()
}

fn apply(rules: &[&str], batch: ChangeBatch) -> Result<Overridden, DecodeError> {
    let overridden = Overrides::parse(rules.iter().copied(), keys()).unwrap().apply(batch)?;
    overridden.batch.validate().unwrap();
    Ok(overridden)
}

/// A column as texts; `-` for null, `?` where it was not sent.
fn texts(batch: &ChangeBatch, column: &str) -> Vec<String> {
    let at = batch.rows.schema_ref().index_of(column).unwrap();
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let values = batch.rows.column(at);
    let values = if values.data_type().is_temporal() { cast(values, &utc()).unwrap() } else { Arc::clone(values) };
    let values = cast(&values, &DataType::Utf8).unwrap();
    let text = |row| match &batch.unsent[at] {
        Some(mask) if mask.value(row) => "?".to_owned(),
        _ if values.is_null(row) => "-".to_owned(),
        _ => values.as_string::<i32>().value(row).to_owned(),
    };
    (0..values.len()).map(text).collect()
}

fn names(batch: &ChangeBatch) -> Vec<String> {
    batch.rows.schema_ref().fields().iter().map(|field| field.name().clone()).collect()
}

#[test]
fn columns_are_dropped_emptied_and_typed_by_pattern() {
    let rows = [r#"{"id":1,"price":"12.5","secret_a":"x","note":"n","at":"2024-01-01T10:00:00"}"#];
    let rules = ["secret_*:drop", "pg.*.note:null", "price:type=decimal(10,2)", "at:type=timestamp", "nobody:drop"];
    let Overridden { batch, refused } = apply(&rules, batch(&rows)).unwrap();
    assert_eq!((names(&batch), refused), (["id", "price", "note", "at"].map(str::to_owned).to_vec(), vec![]));
    assert_eq!((texts(&batch, "price"), texts(&batch, "note")), (vec!["12.50".to_owned()], vec!["-".to_owned()]));
    assert_eq!(texts(&batch, "at"), ["2024-01-01T10:00:00Z"]);
}

/// The first rule of a kind counts, and the kinds come one after the other, wherever they stand.
#[test]
fn the_first_match_of_each_kind_counts() {
    let rows = [r#"{"id":1,"at":"2024-01-01T10:00:00"}"#];
    let rules = ["at:zone=+02:00", "at:type=timestamp", "*:type=int", "*:zone=-05:00", "id:type=string"];
    let Overridden { batch, .. } = apply(&rules, batch(&rows)).unwrap();
    assert_eq!(texts(&batch, "at"), ["2024-01-01T08:00:00Z"]);
    // Of whole numbers `int` came first.
    assert_eq!(batch.rows.schema_ref().field_with_name("id").unwrap().data_type(), &DataType::Int32);
}

#[test]
fn a_row_with_a_value_that_does_not_fit_is_refused_alone() {
    let rows = [r#"{"id":1,"n":"5"}"#, r#"{"id":2,"n":"many"}"#, r#"{"id":3,"n":null}"#, UNSENT];
    let Overridden { batch, refused } = apply(&["n:type=int"], batch(&rows)).unwrap();
    assert_eq!(
        (texts(&batch, "id"), texts(&batch, "n")),
        (vec!["1".to_owned(), "3".into(), "4".into()], ["5", "-", "?"].map(str::to_owned).to_vec())
    );
    assert_eq!(batch.offsets, [0, 2, 3]);
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].origin.offset, refused[0].column.as_str()), (1, "n"));
    assert!(refused[0].reason.contains("`n`") && refused[0].reason.contains("Int32"));
    assert!(!refused[0].reason.contains("many"), "{}", refused[0].reason);
}

/// One message may give two rows: neither is written without the other.
#[test]
fn all_rows_of_a_message_are_refused_together() {
    let mut two = batch(&[r#"{"id":1,"n":"5"}"#, r#"{"id":1,"n":"x"}"#, r#"{"id":2,"n":"7"}"#]);
    (two.ops, two.offsets) = (vec![Op::Delete, Op::Update, Op::Update], vec![0, 0, 1]);
    let Overridden { batch, refused } = apply(&["n:type=int"], two).unwrap();
    assert_eq!((texts(&batch, "n"), refused.len()), (vec!["7".to_owned()], 1));
}

#[test]
fn keys_are_hashed_the_same_wherever_they_stand() {
    let mut moved = batch(&[
        r#"{"id":1,"mail":"a@b"}"#,
        r#"{"id":2,"mail":null}"#,
        r#"{"id":3,"mail":"__debezium_unavailable_value"}"#,
    ]);
    let other = Field::new("id", DataType::Int64, true);
    let ids = moved.rows.column_by_name("id").unwrap().slice(0, 3);
    moved.other_keys = Some(StructArray::new(vec![other].into(), vec![ids], None));
    let Overridden { batch, .. } = apply(&["id:hash=k", "mail:hash=k"], moved).unwrap();
    let ids = texts(&batch, "id");
    let others = batch.other_keys.as_ref().unwrap().column(0).as_string::<i32>();
    assert_eq!(others.iter().flatten().collect::<Vec<_>>(), ids);
    assert!(ids.iter().all(|id| id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    assert_ne!(ids[0], ids[1]);
    let mails = texts(&batch, "mail");
    assert_eq!((mails[0].len(), mails[1].as_str(), mails[2].as_str()), (64, "-", "?"));
    // A text of the same letters has the same hash, so that tables can be joined by it.
    let text = apply(&["id:type=string", "id:hash=k"], self::batch(&[r#"{"id":1}"#])).unwrap().batch;
    assert_eq!(texts(&text, "id")[0], ids[0]);
}

#[test]
fn what_cannot_be_is_an_error_that_says_why() {
    let rows = [r#"{"id":1,"n":5}"#];
    for (rule, named) in
        [("id:drop", "key"), ("i?:null", "key"), ("n:type=timestamp", "timestamp(ms)"), ("n:type=binary", "Int64")]
    {
        let error = apply(&[rule], batch(&rows)).unwrap_err();
        assert!(error.to_string().contains(named) && !error.can_go_on(), "{rule}: {error}");
    }
    let error = Overrides::parse(["n:hash=other"], keys()).unwrap_err().to_string();
    assert!(error.contains("`other`"), "{error}");
}

#[test]
fn nothing_to_override_leaves_the_batch_alone() {
    let rows = [r#"{"id":1,"n":5}"#];
    for rules in [vec![], vec!["other:drop", "n:zone=+02:00"]] {
        let Overridden { batch, refused } = apply(&rules, self::batch(&rows)).unwrap();
        assert_eq!((batch.rows, refused), (self::batch(&rows).rows, vec![]));
    }
}

/// A decoder must not take the types that an override gave for those of the source.
#[test]
fn a_decoder_knows_the_columns_that_are_as_the_source_sends_them() {
    let overrides = Overrides::parse(["n:type=string", "*.h:hash=k", "t:zone=+02:00"], keys()).unwrap();
    let table: Vec<Field> = ["id", "n", "h", "t"].map(|name| Field::new(name, DataType::Utf8, true)).to_vec();
    let known = overrides.known(TOPIC, &Schema::new(table));
    assert_eq!(known.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["id", "t"]);
}
