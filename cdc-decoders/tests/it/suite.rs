//! The conformance suite notices what it promises to: each fault of a decoder that is otherwise good.

use arrow::array::{Int64Array, UInt32Array};
use arrow::compute::{take, take_record_batch};
use cdc_decoders::debezium::DebeziumJson;
use cdc_decoders::testing::{Conformance, Sample};
use cdc_decoders::{DecodeError, Decoded, Decoder, Message, SchemaId, SkipReason};
use hudi_core::change::ChangeBatch;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Rows of a batch in another order.
    Reversed,
    /// A row of every batch is lost.
    Loses,
    /// A row of every batch comes from elsewhere.
    WrongOffset,
    /// What fails counts as a row.
    KeepsBad,
    /// What is cut short is taken.
    TakesCut,
    FlushesForNothing,
    /// What was refused for a flush is refused for ever.
    NeverTakes,
    NullIsAnError,
    NullIsAnInsert,
    /// The run of a batch is that of its last message.
    MixesRuns,
    MixesTopics,
    /// Asks for a schema although it was told.
    AsksAgain,
    /// Learns anything.
    LearnsAnything,
    BytesStandStill,
    BytesStay,
    CountsRowsWrongly,
    /// A batch of a size that has nothing to do with its messages.
    Bloated,
    ForgetsAfterABadOne,
    Remembers,
}

/// A good decoder with a fault.
struct Faulty {
    inner: DebeziumJson,
    fault: Fault,
    known: bool,
    refusing: bool,
    messages: usize,
    bad: usize,
    run: Option<Vec<u8>>,
    topic: Option<String>,
}

const ID: SchemaId = SchemaId::Id(7);

impl Faulty {
    fn boxed(fault: Fault) -> Box<dyn Decoder> {
        let inner = DebeziumJson::builder().build().unwrap();
        Box::new(Self { inner, fault, known: false, refusing: false, messages: 0, bad: 0, run: None, topic: None })
    }

    fn take(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let run = "__debezium.context.runId";
        let mut headers = message.headers.to_vec();
        let mut message = *message;
        if self.fault == Fault::MixesRuns {
            self.run = message.header(run).map(<[u8]>::to_vec).or(self.run.take());
            headers.retain(|header| header.name != run);
        }
        if self.fault == Fault::MixesTopics {
            self.topic.get_or_insert_with(|| message.topic.to_owned());
            message.topic = "t";
        }
        self.inner.decode(&Message { headers: &headers, ..message })
    }
}

fn refused() -> DecodeError {
    DecodeError::Unsupported { what: "it".to_owned(), why: "of a fault" }
}

fn reordered(batch: ChangeBatch, rows: &[u32]) -> ChangeBatch {
    let places = UInt32Array::from(rows.to_vec());
    let of = |row: &u32| *row as usize;
    ChangeBatch {
        rows: take_record_batch(&batch.rows, &places).unwrap(),
        ops: rows.iter().map(|r| batch.ops[of(r)]).collect(),
        orders: take(&batch.orders, &places, None).unwrap(),
        unsent: vec![None; batch.rows.num_columns()],
        partitions: rows.iter().map(|r| batch.partitions[of(r)]).collect(),
        offsets: rows.iter().map(|r| batch.offsets[of(r)]).collect(),
        positions: rows.iter().map(|r| batch.positions[of(r)]).collect(),
        source_ts_ms: Int64Array::from(rows.iter().map(|r| batch.source_ts_ms.value(of(r))).collect::<Vec<_>>()),
        snapshots: rows.iter().map(|r| batch.snapshots[of(r)]).collect(),
        fingerprints: rows.iter().map(|r| batch.fingerprints[of(r)]).collect(),
        other_keys: None,
        ..batch
    }
}

impl Decoder for Faulty {
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        self.messages += 1;
        match (self.fault, message.value) {
            (Fault::NullIsAnError, None) => return Err(refused()),
            (Fault::NullIsAnInsert, None) => {
                let value = br#"{"before":null,"after":{"id":1},"source":{"connector":"postgresql","name":"pg","lsn":1},"op":"c"}"#;
                return self.take(&Message { value: Some(value), ..*message });
            }
            (Fault::FlushesForNothing, _) if self.messages == 1 => return Ok(Decoded::FlushFirst),
            (Fault::NeverTakes, _) if self.messages > 2 || self.refusing => {
                self.refusing = true;
                return Ok(Decoded::FlushFirst);
            }
            (Fault::AsksAgain | Fault::LearnsAnything, _) if !self.known => return Ok(Decoded::NeedsSchema(ID)),
            (Fault::TakesCut, Some(value)) if value.starts_with(b"{\"before\"") && !value.ends_with(b"}") => {
                let value = br#"{"before":null,"after":{"id":1},"source":{"connector":"postgresql","name":"pg","lsn":1},"op":"c"}"#;
                return self.take(&Message { value: Some(value), ..*message });
            }
            (Fault::ForgetsAfterABadOne, _) if self.bad == 2 => {
                self.bad = 0;
                let _ = self.inner.flush();
                return Ok(Decoded::Skipped(SkipReason::Tombstone));
            }
            _ => {}
        }
        let decoded = self.take(message);
        if decoded.is_err() {
            self.bad += 1;
        }
        decoded
    }

    fn learn(&mut self, _: SchemaId, schema: &str) -> Result<(), DecodeError> {
        self.known = self.fault == Fault::LearnsAnything;
        if schema == "{" && !self.known { Err(refused()) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<Option<ChangeBatch>, DecodeError> {
        self.bad = if self.fault == Fault::Remembers { self.bad } else { 0 };
        let Some(mut batch) = self.inner.flush()? else { return Ok(None) };
        let rows: Vec<u32> = (0..u32::try_from(batch.num_rows()).unwrap()).collect();
        match self.fault {
            Fault::Reversed => batch = reordered(batch, &rows.into_iter().rev().collect::<Vec<_>>()),
            Fault::Loses => batch = reordered(batch, &rows[1..]),
            Fault::WrongOffset => batch.offsets[0] += 1000,
            Fault::MixesRuns => batch.run = self.run.take().map(|run| std::str::from_utf8(&run).unwrap().into()),
            Fault::MixesTopics => batch.topic = self.topic.take().unwrap().into(),
            Fault::Bloated => {
                let long = "x".repeat(40_000);
                let column = arrow::array::StringArray::from(vec![Some(&*long); batch.num_rows()]);
                let fields = batch.rows.schema().fields().iter().cloned().collect::<Vec<_>>();
                let field = arrow::datatypes::Field::new("more", arrow::datatypes::DataType::Utf8, true);
                let fields = fields.into_iter().chain([field.into()]).collect::<Vec<_>>();
                let mut columns = batch.rows.columns().to_vec();
                columns.push(std::sync::Arc::new(column));
                let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(fields));
                batch.rows = arrow::array::RecordBatch::try_new(schema, columns).unwrap();
                batch.unsent.push(None);
            }
            Fault::Remembers if self.bad > 0 => batch.fingerprints[0] += 1,
            _ => {}
        }
        Ok(Some(batch))
    }

    fn buffered_rows(&self) -> usize {
        match self.fault {
            Fault::CountsRowsWrongly => self.inner.buffered_rows().min(1),
            Fault::KeepsBad => self.inner.buffered_rows() + self.bad,
            _ => self.inner.buffered_rows(),
        }
    }

    fn buffered_bytes(&self) -> usize {
        match self.fault {
            Fault::BytesStandStill => self.inner.buffered_bytes().min(1),
            Fault::BytesStay => self.inner.buffered_bytes() + 1,
            _ => self.inner.buffered_bytes(),
        }
    }
}

fn samples() -> Vec<Sample> {
    let value = |id: i64, op: &str| {
        let source = format!(r#"{{"connector":"postgresql","name":"pg","ts_ms":{id},"lsn":{id}}}"#);
        format!(r#"{{"before":null,"after":{{"id":{id},"name":"n{id}"}},"source":{source},"op":"{op}"}}"#)
    };
    let sample = |id: i64, op: &str| Sample::new("t", id, Some(&format!(r#"{{"id":{id}}}"#)), Some(&value(id, op)));
    vec![sample(1, "r"), sample(2, "c"), sample(3, "u")]
}

fn verdict(fault: Fault) -> Result<(), String> {
    let samples = samples();
    Conformance::new(move || Faulty::boxed(fault), &samples).schema(ID, "any").mutations(100).run()
}

#[test]
fn every_fault_is_named() {
    assert_eq!(verdict(Fault::None), Ok(()));
    for (fault, words) in [
        (Fault::Reversed, "order of arrival"),
        (Fault::Loses, "not what `flush` gives"),
        (Fault::WrongOffset, "out of the order of arrival"),
        (Fault::KeepsBad, "truncation was taken"),
        (Fault::TakesCut, "truncation was taken"),
        (Fault::FlushesForNothing, "from an empty decoder"),
        (Fault::NeverTakes, "from an empty decoder"),
        (Fault::NullIsAnError, "of a fault"),
        (Fault::NullIsAnInsert, "another change than a delete"),
        (Fault::MixesRuns, "two runs"),
        (Fault::MixesTopics, "another origin"),
        (Fault::AsksAgain, "asked for again"),
        (Fault::LearnsAnything, "no schema was learnt"),
        (Fault::BytesStandStill, "did not grow"),
        (Fault::BytesStay, "not empty"),
        (Fault::CountsRowsWrongly, "rows became"),
        (Fault::Bloated, "bytes of messages became"),
        (Fault::ForgetsAfterABadOne, ""),
        (Fault::Remembers, ""),
    ] {
        match verdict(fault) {
            Err(told) => assert!(told.contains(words), "{fault:?}: {told}"),
            Ok(()) => panic!("{fault:?} was not noticed"),
        }
    }
}

#[test]
fn what_fuzzing_saw_is_told() {
    let samples = samples();
    let suite = Conformance::new(|| Faulty::boxed(Fault::None), &samples);
    let fuzzed = suite.fuzz(3, 2400).unwrap();
    assert_eq!(fuzzed.added + fuzzed.skipped + fuzzed.refused + fuzzed.unknown, 2400);
    assert!(fuzzed.added > 0 && fuzzed.refused > 0 && fuzzed.batches >= 100);
    assert_eq!(suite.fuzz(3, 2400), Ok(fuzzed));
}
