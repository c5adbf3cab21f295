//! [`Conformance`]: one suite that holds every decoder, ours and a user's, to the same cases.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::Array;
use hudi_core::change::{ChangeBatch, Op};

use super::random::{Random, garbage, truncations};
use super::row::{Row, changes_of, rows_of};
use super::sample::Sample;
use crate::decoder::{Decoded, Decoder};
use crate::wire::SchemaId;

/// What a bad message's place is moved by, to tell its rows from those of good ones.
const BAD: i64 = 1 << 40;
/// The header by which Debezium names the run of a connector.
const RUN_ID: &str = "__debezium.context.runId";
/// A batch may take so many times the bytes of its messages,
const MEMORY_FACTOR: usize = 64;
/// and so many bytes a column beside.
const COLUMN_BYTES: usize = 4096;

/// Tries a decoder on good samples of one topic, in their order, and on bad ones made of them.
///
/// * Good samples are taken, and give rows in the order of arrival, with their own origin; batches validate.
/// * `FlushFirst` is never the answer to an empty decoder, and what is sent again is taken; what is flushed in between changes no row.
/// * `NeedsSchema` is answered once an id, and takes nothing; a schema that is none is refused.
/// * A batch is of one topic and one run of the connector; a null value is skipped, or a delete.
/// * Nothing panics: not messages cut at any byte (which are no change), not garbage, not mutations. What fails leaves no trace: the
///   rows are those of the good messages alone, wherever the bad ones stood.
/// * A truncate holds nothing and has an order, and without it the others are the same, in as many batches.
/// * Rows and bytes are counted, and a batch's memory is bounded by that of its messages: at most 64 times their bytes, and 4 KiB a column.
///
/// ```
/// use cdc_decoders::debezium::DebeziumJson;
/// use cdc_decoders::testing::{Conformance, Sample};
///
/// let value = |id: u32| format!(r#"{{"before":null,"after":{{"id":{id}}},"op":"c",
///     "source":{{"connector":"postgresql","name":"shop","lsn":{id}}}}}"#);
/// let good: Vec<_> = (1..4)
///     .map(|id| Sample::new("shop.t", i64::from(id), Some(&format!(r#"{{"id":{id}}}"#)), Some(&value(id))))
///     .collect();
/// Conformance::new(|| Box::new(DebeziumJson::builder().build().expect("settings")), &good).run().unwrap();
/// ```
pub struct Conformance<'a> {
    make: Box<dyn Fn() -> Box<dyn Decoder> + 'a>,
    good: &'a [Sample],
    schemas: BTreeMap<SchemaId, String>,
    opaque_keys: bool,
    mutations: usize,
}

impl std::fmt::Debug for Conformance<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conformance").field("good", &self.good.len()).finish_non_exhaustive()
    }
}

/// What became of the messages of a [fuzzing](Conformance::fuzz).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fuzzed {
    /// Mutations that were decoded to rows.
    pub added: u64,
    /// Mutations that were skipped.
    pub skipped: u64,
    /// Mutations that were refused.
    pub refused: u64,
    /// Mutations that asked for a schema that there is not.
    pub unknown: u64,
    /// Batches.
    pub batches: u64,
}

impl std::ops::AddAssign for Fuzzed {
    fn add_assign(&mut self, more: Self) {
        self.added += more.added;
        self.skipped += more.skipped;
        self.refused += more.refused;
        self.unknown += more.unknown;
        self.batches += more.batches;
    }
}

/// [`Conformance`] of a decoder that asks for no schema.
///
/// # Errors
/// What the decoder did wrong, in words.
pub fn conformance(make: impl Fn() -> Box<dyn Decoder>, good: &[Sample]) -> Result<(), String> {
    Conformance::new(make, good).run()
}

impl<'a> Conformance<'a> {
    /// The suite for a decoder that `make` makes, on good samples of one topic.
    #[must_use]
    pub fn new(make: impl Fn() -> Box<dyn Decoder> + 'a, good: &'a [Sample]) -> Self {
        Self { make: Box::new(make), good, schemas: BTreeMap::new(), opaque_keys: false, mutations: 500 }
    }

    /// A schema that the decoder may ask for.
    #[must_use]
    pub fn schema(mut self, id: SchemaId, text: impl Into<String>) -> Self {
        self.schemas.insert(id, text.into());
        self
    }

    /// The decoder looks at no key: one that is cut short is no error.
    #[must_use]
    pub const fn opaque_keys(mut self) -> Self {
        self.opaque_keys = true;
        self
    }

    /// So many mutations of each sample; 500 if not told.
    #[must_use]
    pub const fn mutations(mut self, mutations: usize) -> Self {
        self.mutations = mutations;
        self
    }

    /// Tries all.
    ///
    /// # Errors
    /// What the decoder did wrong, in words.
    pub fn run(&self) -> Result<(), String> {
        let mut decoder = (self.make)();
        if decoder.flush().map_err(|e| e.to_string())?.is_some() || decoder.buffered_rows() != 0 {
            return Err("a new decoder holds rows".to_owned());
        }
        let alone = self.alone(self.good)?;
        if alone.iter().map(ChangeBatch::num_rows).sum::<usize>() == 0 {
            return Err("the good samples give no row".to_owned());
        }
        self.in_order(&alone)?;
        self.in_other_batches(&alone)?;
        self.of_two_topics()?;
        self.of_two_runs()?;
        self.nulls()?;
        self.truncates(&alone)?;
        self.memory()?;
        self.among(&alone, "a truncation", &|sample| truncations(sample, !self.opaque_keys))?;
        self.among(&alone, "garbage", &garbage)?;
        self.fuzz(11, self.mutations * self.good.len()).map(drop)
    }

    /// Decodes the good samples alone.
    fn alone(&self, samples: &[Sample]) -> Result<Vec<ChangeBatch>, String> {
        self.session().decode_all(samples, &mut |_, _| Ok(()))
    }

    fn session(&self) -> Session<'_> {
        Session { decoder: (self.make)(), schemas: &self.schemas, asked: BTreeSet::new() }
    }

    /// Rows come in the order of arrival, from where they came; a message's rows follow each other.
    fn in_order(&self, alone: &[ChangeBatch]) -> Result<(), String> {
        let mut places = changes_of(alone).into_iter().map(|change| change.origin).collect::<Vec<_>>();
        places.dedup();
        let mut arrived = self.good.iter();
        for place in &places {
            let is = |sample: &Sample| {
                (sample.topic.as_str(), sample.partition, sample.offset)
                    == (&*place.topic, place.partition, place.offset)
            };
            if !arrived.any(is) {
                return Err(format!("a row of {place} stands out of the order of arrival"));
            }
        }
        let again = self.session().twice(self.good)?;
        if !again.iter().flat_map(|batches| rows_of(batches)).eq([alone, alone].into_iter().flat_map(rows_of)) {
            return Err("the same messages, sent again, give other rows".to_owned());
        }
        Ok(())
    }

    /// A flush after each message changes nothing about a change.
    fn in_other_batches(&self, alone: &[ChangeBatch]) -> Result<(), String> {
        let mut session = self.session();
        let mut batches = Vec::new();
        for sample in self.good {
            batches.extend(session.decode_all(std::slice::from_ref(sample), &mut |_, _| Ok(()))?);
        }
        if changes_of(&batches) != changes_of(alone) {
            return Err("changes are others where each message is flushed".to_owned());
        }
        Ok(())
    }

    /// Two topics that take turns: no batch holds both, and none is lost.
    fn of_two_topics(&self) -> Result<(), String> {
        let renamed = |sample: &Sample| {
            let topic = format!("{}2", sample.topic);
            Sample { topic, offset: sample.offset + BAD, ..sample.clone() }
        };
        let both: Vec<_> = self.good.iter().flat_map(|sample| [sample.clone(), renamed(sample)]).collect();
        let count = |batches: &[ChangeBatch]| batches.iter().map(ChangeBatch::num_rows).sum::<usize>();
        let batches = self.alone(&both)?;
        if count(&batches) != 2 * count(&self.alone(self.good)?) {
            return Err("topics that take turns lose rows".to_owned());
        }
        self.origins_are(&both, &batches)
    }

    /// Two runs of the connector: no batch that names its run holds rows of another.
    fn of_two_runs(&self) -> Result<(), String> {
        let run = |sample: &Sample, id: &str| {
            let mut sample = sample.clone();
            sample.headers.retain(|(name, _)| name != RUN_ID);
            sample.headers.push((RUN_ID.to_owned(), Some(id.as_bytes().to_vec())));
            sample
        };
        let runs: Vec<_> = ["a", "b"]
            .into_iter()
            .enumerate()
            .flat_map(|(n, id)| self.good.iter().map(move |sample| (n, id, sample)))
            .map(|(n, id, sample)| Sample { offset: sample.offset + if n == 0 { 0 } else { BAD }, ..run(sample, id) })
            .collect();
        let batches = self.alone(&runs)?;
        for row in rows_of(&batches) {
            let sent = if row.batch.offsets[row.row] < BAD { "a" } else { "b" };
            if row.batch.run.as_deref().is_some_and(|named| named != sent) {
                return Err("a batch holds rows of two runs of the connector".to_owned());
            }
        }
        self.origins_are(&runs, &batches)
    }

    /// Every row came from one of the samples.
    fn origins_are(&self, samples: &[Sample], batches: &[ChangeBatch]) -> Result<(), String> {
        let places: BTreeSet<_> = samples.iter().map(|s| (s.topic.as_str(), s.partition, s.offset)).collect();
        let is = |row: &Row<'_>| {
            let origin = row.change().origin;
            places.contains(&(&*origin.topic, origin.partition, origin.offset))
        };
        if rows_of(batches).all(|row| is(&row)) { Ok(()) } else { Err("a row names another origin".to_owned()) }
    }

    /// A null is skipped, or a delete.
    fn nulls(&self) -> Result<(), String> {
        let keyed = self.good.iter().filter(|sample| sample.key.is_some());
        let null = |sample: &Sample| Sample { value: None, offset: sample.offset + BAD, ..sample.clone() };
        let both: Vec<_> = keyed.flat_map(|sample| [sample.clone(), null(sample)]).collect();
        for row in rows_of(&self.alone(&both)?) {
            if row.batch.offsets[row.row] >= BAD && row.batch.ops[row.row] != Op::Delete {
                return Err("a null is another change than a delete".to_owned());
            }
        }
        Ok(())
    }

    /// Compares with the good samples without the truncates among them.
    fn truncates(&self, alone: &[ChangeBatch]) -> Result<(), String> {
        let is_truncate = |row: &Row<'_>| row.batch.ops[row.row] == Op::Truncate;
        for row in rows_of(alone).filter(is_truncate) {
            if row.cells().any(|(_, value, unsent)| unsent || value.null_count() == 0) {
                return Err("a truncate tells of a row".to_owned());
            }
            if row.batch.orders.is_null(row.row) {
                return Err("a truncate is not ordered".to_owned());
            }
        }
        let places: Vec<_> = rows_of(alone).filter(is_truncate).map(|row| row.change().origin).collect();
        let others = |sample: &&Sample| {
            !places.iter().any(|place| (place.partition, place.offset) == (sample.partition, sample.offset))
        };
        let others: Vec<_> = self.good.iter().filter(others).cloned().collect();
        let without = self.alone(&others)?;
        if without.len() != alone.len() || !rows_of(alone).filter(|row| !is_truncate(row)).eq(rows_of(&without)) {
            return Err("a truncate left a trace in the others".to_owned());
        }
        Ok(())
    }

    /// Bytes grow with the rows, and bound what a batch takes.
    fn memory(&self) -> Result<(), String> {
        let mut session = self.session();
        let mut input = 0;
        for sample in self.good.iter().cycle().take(1000.max(self.good.len())) {
            let (rows, bytes) = (session.decoder.buffered_rows(), session.decoder.buffered_bytes());
            match session.offer(sample)? {
                Outcome::Taken if session.decoder.buffered_rows() > rows => input += sample.len(),
                Outcome::Taken => continue,
                _ => {
                    bounded(session.flush()?.as_ref(), std::mem::take(&mut input))?;
                    continue;
                }
            }
            if session.decoder.buffered_bytes() <= bytes {
                return Err("rows are buffered, and `buffered_bytes` did not grow".to_owned());
            }
        }
        bounded(session.flush()?.as_ref(), input)
    }

    /// Decodes the good samples with bad ones before each, and compares with the good ones alone.
    fn among(&self, alone: &[ChangeBatch], what: &str, bad: &dyn Fn(&Sample) -> Vec<Sample>) -> Result<(), String> {
        let mut offer_bad = |session: &mut Session<'_>, sample: &Sample| {
            for bad in bad(sample) {
                let rows = session.decoder.buffered_rows();
                let outcome = bad.with(|message| session.decoder.decode(message));
                if matches!(outcome, Ok(Decoded::Added { .. })) || session.decoder.buffered_rows() != rows {
                    return Err(format!("{what} was taken for a change: {:?}", bad.value.map(|v| v.len())));
                }
            }
            Ok(())
        };
        let mut session = self.session();
        self.schemas.keys().try_for_each(|id| session.learn(*id))?;
        let batches = session.decode_all(self.good, &mut offer_bad)?;
        // A bad message may end a batch early, but nothing else.
        if !rows_of(&batches).eq(rows_of(alone)) {
            return Err(format!("{what} left a trace"));
        }
        Ok(())
    }

    /// Decodes `count` mutations, with good samples among them, from a seed: whatever the decoder says, its batches hold
    /// together, and they hold every good row.
    ///
    /// # Errors
    /// What the decoder did wrong, in words.
    pub fn fuzz(&self, seed: u64, count: usize) -> Result<Fuzzed, String> {
        let (mut random, mut session, mut fuzzed) = (Random(seed), self.session(), Fuzzed::default());
        let expected = changes_of(&self.alone(self.good)?);
        let rounds = count.div_ceil(self.good.len().max(1) * 8).max(1);
        // Of two names that no table can tell apart the first that comes counts: the right ones come first.
        for sample in self.good {
            session.take(sample)?;
        }
        session.flush()?;
        for _ in 0..rounds {
            let mut batches = Vec::new();
            for sample in self.good {
                for _ in 0..8 {
                    let mut mutant = random.mutant(sample);
                    mutant.offset += BAD;
                    batches.extend(session.offer_any(&mutant, &mut fuzzed)?);
                }
                batches.extend(session.take(sample)?);
            }
            batches.extend(session.flush()?);
            fuzzed.batches += batches.len() as u64;
            let mut good = changes_of(&batches);
            good.retain(|change| change.origin.offset < BAD);
            if good != expected {
                return Err(format!("mutations made of {} good rows {}", expected.len(), good.len()));
            }
        }
        Ok(fuzzed)
    }
}

fn bounded(batch: Option<&ChangeBatch>, input_bytes: usize) -> Result<(), String> {
    let Some(batch) = batch else { return Ok(()) };
    let columns = batch.rows.num_columns() + 1;
    let bound = MEMORY_FACTOR * input_bytes + columns * COLUMN_BYTES + batch.num_rows() * 64;
    if batch.memory_bytes() > bound {
        return Err(format!("{} bytes of messages became {}", input_bytes, batch.memory_bytes()));
    }
    Ok(())
}

/// A decoder, and the schemas that it asked for.
struct Session<'a> {
    decoder: Box<dyn Decoder>,
    schemas: &'a BTreeMap<SchemaId, String>,
    asked: BTreeSet<SchemaId>,
}

/// What became of a good sample.
enum Outcome {
    Taken,
    FlushFirst,
}

impl Session<'_> {
    /// Decodes samples by the rules; `between` may give the decoder something else before each.
    fn decode_all(
        &mut self,
        samples: &[Sample],
        between: &mut dyn FnMut(&mut Self, &Sample) -> Result<(), String>,
    ) -> Result<Vec<ChangeBatch>, String> {
        let mut batches = Vec::new();
        for sample in samples {
            between(self, sample)?;
            batches.extend(self.take(sample)?);
        }
        batches.extend(self.flush()?);
        Ok(batches)
    }

    /// The samples, decoded two times.
    fn twice(mut self, samples: &[Sample]) -> Result<[Vec<ChangeBatch>; 2], String> {
        let first = self.decode_all(samples, &mut |_, _| Ok(()))?;
        Ok([first, self.decode_all(samples, &mut |_, _| Ok(()))?])
    }

    /// Takes a good sample; the batch that it had to be flushed for, if there is one.
    fn take(&mut self, sample: &Sample) -> Result<Option<ChangeBatch>, String> {
        let good = |error: String| format!("a good sample: {error}");
        let mut flushed = None;
        loop {
            let rows = self.decoder.buffered_rows();
            match self.offer(sample).map_err(good)? {
                Outcome::Taken => return Ok(flushed),
                Outcome::FlushFirst if rows == 0 => return Err("`FlushFirst` from an empty decoder".to_owned()),
                Outcome::FlushFirst => flushed = self.flush()?,
            }
        }
    }

    /// Offers a good sample, and the schemas that it needs.
    fn offer(&mut self, sample: &Sample) -> Result<Outcome, String> {
        loop {
            match self.decode(sample)? {
                Decoded::Added { .. } | Decoded::Skipped(_) => return Ok(Outcome::Taken),
                Decoded::FlushFirst => return Ok(Outcome::FlushFirst),
                Decoded::NeedsSchema(id) => self.learn(id)?,
            }
        }
    }

    /// Offers a message that may be good or bad.
    fn offer_any(&mut self, sample: &Sample, fuzzed: &mut Fuzzed) -> Result<Option<ChangeBatch>, String> {
        let mut flushed = None;
        loop {
            let rows = self.decoder.buffered_rows();
            match sample.with(|message| self.decoder.decode(message)) {
                Ok(Decoded::Added { .. }) => fuzzed.added += 1,
                Ok(Decoded::Skipped(_)) => fuzzed.skipped += 1,
                Ok(Decoded::FlushFirst) if rows == 0 => return Err("`FlushFirst` from an empty decoder".to_owned()),
                Ok(Decoded::FlushFirst) => {
                    flushed = self.flush()?;
                    continue;
                }
                Ok(Decoded::NeedsSchema(id)) if self.schemas.contains_key(&id) => {
                    self.learn(id)?;
                    continue;
                }
                Ok(Decoded::NeedsSchema(_)) => fuzzed.unknown += 1,
                Err(_) => fuzzed.refused += 1,
            }
            return Ok(flushed);
        }
    }

    /// Decodes, and checks the count of rows.
    fn decode(&mut self, sample: &Sample) -> Result<Decoded, String> {
        let before = self.decoder.buffered_rows();
        let decoded = sample.with(|message| self.decoder.decode(message)).map_err(|e| e.to_string());
        let added = match decoded {
            Ok(Decoded::Added { rows }) => rows,
            _ => 0,
        };
        if self.decoder.buffered_rows() != before + added {
            return Err(format!("{decoded:?}: {before} rows became {}", self.decoder.buffered_rows()));
        }
        decoded
    }

    /// Answers a question, the first time with what is no schema.
    fn learn(&mut self, id: SchemaId) -> Result<(), String> {
        if !self.asked.insert(id) {
            return Err(format!("schema {id} is asked for again"));
        }
        let text = self.schemas.get(&id).ok_or_else(|| format!("schema {id} is asked for, and there is none"))?;
        if self.decoder.learn(id, "{").is_ok() {
            return Err("what is no schema was learnt".to_owned());
        }
        self.decoder.learn(id, text).map_err(|e| format!("schema {id}: {e}"))
    }

    fn flush(&mut self) -> Result<Option<ChangeBatch>, String> {
        let rows = self.decoder.buffered_rows();
        let batch = self.decoder.flush().map_err(|e| e.to_string())?;
        if self.decoder.buffered_rows() != 0 || self.decoder.buffered_bytes() != 0 {
            return Err("a flushed decoder is not empty".to_owned());
        }
        if batch.as_ref().map_or(0, ChangeBatch::num_rows) != rows {
            return Err("`buffered_rows` is not what `flush` gives".to_owned());
        }
        batch.iter().try_for_each(ChangeBatch::validate).map_err(|e| e.to_string())?;
        Ok(batch)
    }
}
