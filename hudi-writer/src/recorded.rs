//! [`recorded`]: the keys of changes in a table that keeps every one of them.
//!
//! A key is `<source>|<key of the row>|<place>|<operation>|<fingerprint>.<ordinal>`: the same however often the change is read again. Its place
//! is the epoch and the position in the source's stream order, or topic, partition and offset where the source tells none. The
//! ordinal counts changes that are the same in all of that.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use arrow::array::{Array, StringArray, StringBuilder};
use hudi_core::change::{ChangeBatch, Op, StreamPosition};
use hudi_core::checkpoint::{Checkpoint, Judged, Verdict};
use hudi_core::key::{KeyGenerator, KeySpec};

use crate::error::{Result, format};
use crate::keying::{Keyed, is_old_image, sent_only};

/// Derives keys and partition paths of all new changes. `before` is the checkpoint before the batch.
///
/// A partition column that was not sent counts as null. A change without a usable key is kept like any other.
pub(crate) fn recorded(
    spec: &KeySpec,
    source_key: &[String],
    batch: &ChangeBatch,
    judged: &Judged,
    before: &Checkpoint,
) -> Result<Keyed> {
    let partitions = spec.partition_paths(&sent_only(spec, batch)?).map_err(format)?;
    let row_keys = row_keys(source_key, batch)?;
    let mut ordinals = Ordinals { batch, before, at: HashMap::new() };
    let mut keys = StringBuilder::with_capacity(batch.num_rows(), batch.num_rows() * 96);
    for (rows, epoch) in judged.epochs.runs(batch.num_rows()) {
        for row in rows {
            // In a table without a key the decoder tells the old image of an update: it is no change of its own.
            if judged.verdicts[row] != Verdict::New || (source_key.is_empty() && is_old_image(batch, row)) {
                keys.append_null();
                continue;
            }
            let ordinal = ordinals.next(row);
            let row_key = row_keys.as_ref().filter(|keys| keys.is_valid(row)).map_or("", |keys| keys.value(row));
            write_key(batch, row, row_key, epoch, ordinal, &mut keys);
            keys.append_value("");
        }
    }
    let refused: BTreeMap<usize, String> = partitions.refused.into_iter().collect();
    Ok(Keyed { keys: keys.finish(), partitions: partitions.paths, refused })
}

/// The keys of the source's rows, null where one cannot be said; `None`: no row has one.
fn row_keys(source_key: &[String], batch: &ChangeBatch) -> Result<Option<StringArray>> {
    if source_key.is_empty() || batch.ops.iter().all(|op| *op == Op::Truncate) {
        return Ok(None);
    }
    let spec = KeySpec {
        record_key_fields: source_key.to_vec(),
        partition_fields: vec![],
        generator: KeyGenerator::NonPartitioned,
        hive_style: true,
        url_encode: true,
    };
    spec.record_keys(&batch.rows).map(|keys| Some(keys.keys)).map_err(format)
}

/// The change's place in the source's stream order. That of a snapshot row is not its own.
fn place(batch: &ChangeBatch, row: usize) -> Option<StreamPosition> {
    batch.positions[row].filter(|_| batch.ops[row] != Op::Snapshot)
}

fn write_key(batch: &ChangeBatch, row: usize, row_key: &str, epoch: u8, ordinal: u32, to: &mut StringBuilder) {
    // Writing to a builder in memory cannot fail.
    let _ = write!(to, "{}|{row_key}|", batch.source);
    let _ = match place(batch, row) {
        Some(position) => write!(to, "{epoch:02x}{position}"),
        None => write!(to, "{}/{}@{}", batch.topic, batch.partitions[row], batch.offsets[row]),
    };
    let _ = write!(to, "|{}|{:016x}.{ordinal}", batch.ops[row].letter(), batch.fingerprints[row]);
}

/// How many changes of one fingerprint came from one place before.
struct Ordinals<'a> {
    batch: &'a ChangeBatch,
    before: &'a Checkpoint,
    /// By partition: the furthest place, and the fingerprints of the changes there.
    at: HashMap<i32, (StreamPosition, Vec<(u64, u32)>)>,
}

impl Ordinals<'_> {
    fn next(&mut self, row: usize) -> u32 {
        let Some(position) = place(self.batch, row) else { return 0 };
        let (partition, fingerprint) = (self.batch.partitions[row], self.batch.fingerprints[row]);
        let (furthest, counts) = self.at.entry(partition).or_insert_with(|| (position, vec![]));
        if position > *furthest {
            *furthest = position;
            counts.clear();
        }
        if position < *furthest {
            return 0;
        }
        if let Some((_, count)) = counts.iter_mut().find(|(of, _)| *of == fingerprint) {
            *count += 1;
            return *count;
        }
        let Self { batch, before, .. } = self;
        let known = before.count_at(&batch.source, &batch.topic, partition, position, fingerprint);
        counts.push((fingerprint, known));
        known
    }
}
