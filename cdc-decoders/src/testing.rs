//! What every decoder must do, whatever its format: [`conformance`] tries it on samples of that format.
//!
//! Not here: that values are decoded rightly, which each format's own tests say.

use arrow::array::{Array, ArrayRef};
use hudi_core::change::{ChangeBatch, Op};

use crate::decoder::{Decoded, Decoder, Header, Message};

/// A message that owns its bytes.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Sample {
    /// A sample without headers.
    #[must_use]
    pub fn new(topic: &str, offset: i64, key: Option<&str>, value: Option<&str>) -> Self {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Self { topic: topic.to_owned(), offset, key: key.map(bytes), value: value.map(bytes), ..Self::default() }
    }

    /// Gives the message to `f`.
    pub fn with<T>(&self, f: impl FnOnce(&Message<'_>) -> T) -> T {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect();
        f(&Message {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: None,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        })
    }
}

/// Tries a decoder on good samples of one topic, on every truncation of them, on mutations and on garbage.
///
/// * Good samples are taken, and give batches whose members agree, in the order of arrival.
/// * Nothing panics; a message that is cut short is no change.
/// * A message that fails leaves no trace: the batches are those of the good messages alone.
/// * `FlushFirst` is never the answer to an empty decoder.
/// * A truncate holds nothing and has an order, and without it the others are the same, in as many batches.
///
/// # Errors
/// What the decoder did wrong, in words.
pub fn conformance(make: impl Fn() -> Box<dyn Decoder>, good: &[Sample]) -> Result<(), String> {
    let mut decoder = make();
    if decoder.flush().map_err(|e| e.to_string())?.is_some() || decoder.buffered_rows() != 0 {
        return Err("a new decoder holds rows".to_owned());
    }
    let alone = decode_all(&mut *make(), good, &mut |_, _| Ok(()))?;
    if alone.iter().map(ChangeBatch::num_rows).sum::<usize>() == 0 {
        return Err("the good samples give no row".to_owned());
    }
    truncates(&make, good, &alone)?;
    among(&make, good, &alone, "a truncation", &truncations)?;
    among(&make, good, &alone, "garbage", &garbage)?;
    mutations(&make, good)
}

/// Decodes samples by the rules; `between` may give the decoder something else before each.
fn decode_all(
    decoder: &mut dyn Decoder,
    samples: &[Sample],
    between: &mut dyn FnMut(&mut dyn Decoder, &Sample) -> Result<(), String>,
) -> Result<Vec<ChangeBatch>, String> {
    let mut batches = Vec::new();
    for sample in samples {
        between(decoder, sample)?;
        if !offer(decoder, sample).map_err(|e| format!("a good sample: {e}"))? {
            batches.extend(flush(decoder)?);
            if !offer(decoder, sample)? {
                return Err("`FlushFirst` from an empty decoder".to_owned());
            }
        }
    }
    batches.extend(flush(decoder)?);
    Ok(batches)
}

/// Whether the decoder took the sample.
fn offer(decoder: &mut dyn Decoder, sample: &Sample) -> Result<bool, String> {
    let before = decoder.buffered_rows();
    let decoded = sample.with(|message| decoder.decode(message)).map_err(|e| e.to_string());
    let added = match decoded {
        Ok(Decoded::Added { rows }) => rows,
        _ => 0,
    };
    if decoder.buffered_rows() != before + added {
        return Err(format!("{decoded:?}: {before} rows became {}", decoder.buffered_rows()));
    }
    decoded.map(|decoded| decoded != Decoded::FlushFirst)
}

fn flush(decoder: &mut dyn Decoder) -> Result<Option<ChangeBatch>, String> {
    let rows = decoder.buffered_rows();
    let batch = decoder.flush().map_err(|e| e.to_string())?;
    if decoder.buffered_rows() != 0 || decoder.buffered_bytes() != 0 {
        return Err("a flushed decoder is not empty".to_owned());
    }
    if batch.as_ref().map_or(0, ChangeBatch::num_rows) != rows {
        return Err("`buffered_rows` is not what `flush` gives".to_owned());
    }
    batch.iter().try_for_each(ChangeBatch::validate).map_err(|e| e.to_string())?;
    Ok(batch)
}

/// Compares with the good samples without the truncates among them.
fn truncates(make: &impl Fn() -> Box<dyn Decoder>, good: &[Sample], alone: &[ChangeBatch]) -> Result<(), String> {
    let is_truncate = |row: &Row<'_>| row.batch.ops[row.row] == Op::Truncate;
    for row in rows_of(alone).filter(is_truncate) {
        if row.cells().any(|(_, value, unsent)| unsent || value.null_count() == 0) {
            return Err("a truncate tells of a row".to_owned());
        }
        if row.batch.orders.is_null(row.row) {
            return Err("a truncate is not ordered".to_owned());
        }
    }
    let places: Vec<_> = rows_of(alone).filter(is_truncate).map(|row| row.batch.origin(row.row)).collect();
    let others = |sample: &&Sample| {
        !places.iter().any(|place| (place.partition, place.offset) == (sample.partition, sample.offset))
    };
    let others: Vec<_> = good.iter().filter(others).cloned().collect();
    let without = decode_all(&mut *make(), &others, &mut |_, _| Ok(()))?;
    if without.len() != alone.len() || !rows_of(alone).filter(|row| !is_truncate(row)).eq(rows_of(&without)) {
        return Err("a truncate left a trace in the others".to_owned());
    }
    Ok(())
}

/// Decodes the good samples with bad ones before each, and compares with the good ones alone.
fn among(
    make: &impl Fn() -> Box<dyn Decoder>,
    good: &[Sample],
    alone: &[ChangeBatch],
    what: &str,
    bad: &dyn Fn(&Sample) -> Vec<Sample>,
) -> Result<(), String> {
    let mut offer_bad = |decoder: &mut dyn Decoder, sample: &Sample| {
        for bad in bad(sample) {
            let rows = decoder.buffered_rows();
            let outcome = bad.with(|message| decoder.decode(message));
            if matches!(outcome, Ok(Decoded::Added { .. })) || decoder.buffered_rows() != rows {
                return Err(format!("{what} was taken for a change: {:?}", bad.value.map(|v| v.len())));
            }
        }
        Ok(())
    };
    let batches = decode_all(&mut *make(), good, &mut offer_bad)?;
    // A bad message may end a batch early, but nothing else.
    let rows = |batches| rows_of(batches).collect::<Vec<_>>();
    if rows(&batches) != rows(alone) {
        return Err(format!("{what} left a trace"));
    }
    Ok(())
}

/// All rows of some batches.
fn rows_of(batches: &[ChangeBatch]) -> impl Iterator<Item = Row<'_>> {
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| Row { batch, row }))
}

/// A row with all that belongs to it.
#[derive(Debug)]
struct Row<'a> {
    batch: &'a ChangeBatch,
    row: usize,
}

impl Row<'_> {
    /// The columns: name, value, whether it was not sent.
    fn cells(&self) -> impl Iterator<Item = (&str, ArrayRef, bool)> {
        let columns = self.batch.rows.columns().iter().zip(&self.batch.unsent);
        self.batch.rows.schema_ref().fields().iter().zip(columns).map(|(field, (column, unsent))| {
            let unsent = unsent.as_ref().is_some_and(|mask| mask.value(self.row));
            (field.name().as_str(), column.slice(self.row, 1), unsent)
        })
    }
}

impl PartialEq for Row<'_> {
    fn eq(&self, other: &Self) -> bool {
        let beside = |row: &Self| {
            let batch = row.batch;
            (batch.origin(row.row), batch.ops[row.row], batch.fingerprints[row.row], batch.positions[row.row])
        };
        beside(self) == beside(other)
            && self.batch.key_columns == other.batch.key_columns
            && self.batch.orders.slice(self.row, 1) == other.batch.orders.slice(other.row, 1)
            && self.batch.source_ts_ms.slice(self.row, 1) == other.batch.source_ts_ms.slice(other.row, 1)
            && self.cells().eq(other.cells())
    }
}

/// The sample cut at every byte of its value, and of its key.
fn truncations(sample: &Sample) -> Vec<Sample> {
    let cut = |bytes: &Option<Vec<u8>>| {
        let bytes = bytes.clone().unwrap_or_default();
        (0..bytes.trim_ascii_end().len()).map(|end| bytes[..end].to_vec()).collect::<Vec<_>>()
    };
    let values = cut(&sample.value).into_iter().map(|value| Sample { value: Some(value), ..sample.clone() });
    let keys = cut(&sample.key).into_iter().map(|key| Sample { key: Some(key), ..sample.clone() });
    if sample.value.is_some() { values.chain(keys).collect() } else { Vec::new() }
}

fn garbage(sample: &Sample) -> Vec<Sample> {
    let mut random = Random(7);
    let noise = (0..64).map(|_| (0..random.below(40)).map(|_| random.byte()).collect());
    let fixed =
        [&b"\xff\xfe"[..], b"{", b"{}", b"[]", b"0", b"\"x\"", b"{\"schema\":{},\"payload\":{}}", b"\0\0\0\0\x01"];
    let deep = ["[", "{\"a\":"].map(|open| open.repeat(10_000).into_bytes());
    let values: Vec<Vec<u8>> = fixed.into_iter().map(<[u8]>::to_vec).chain(deep).chain(noise).collect();
    values.into_iter().map(|value| Sample { value: Some(value), ..sample.clone() }).collect()
}

/// Single bytes changed, taken out or doubled: whatever the decoder says, its batches hold together.
fn mutations(make: &impl Fn() -> Box<dyn Decoder>, good: &[Sample]) -> Result<(), String> {
    let mut random = Random(11);
    for sample in good.iter().filter(|sample| sample.value.is_some()) {
        let mut decoder = make();
        for _ in 0..500 {
            let mut mutant = sample.clone();
            let part = if random.below(8) == 0 { &mut mutant.key } else { &mut mutant.value };
            if let Some(bytes) = part.as_mut().filter(|bytes| !bytes.is_empty()) {
                random.mutate(bytes);
            }
            if offer(&mut *decoder, &mutant) == Ok(false) {
                flush(&mut *decoder)?;
            }
        }
        flush(&mut *decoder)?;
    }
    Ok(())
}

/// A linear congruential generator: the same bytes on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or(0)
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const TELLING: &[u8] = b"\"\\{}[]:,0-9.eEtn \x00\xff";
        let place = self.below(bytes.len());
        match self.below(4) {
            0 => bytes[place] = self.byte(),
            1 => bytes[place] = TELLING[self.below(TELLING.len())],
            2 => drop(bytes.remove(place)),
            _ => bytes.insert(place, bytes[place]),
        }
    }
}
