//! [`keys_of`]: the keys and partition paths of a batch's rows, and which rows can have none; and [`other_keys_of`]: the other
//! keys of rows whose key changed.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, StringBuilder, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, take, take_record_batch};
use hudi_core::change::{ChangeBatch, Op};
use hudi_core::key::{KeySpec, bucket_safe};

use crate::changes::OtherKeys;
use crate::error::{Error, Result, format};
use crate::settings::{Index, Mode};

/// Keys and partition paths of a batch, row by row.
#[derive(Debug)]
pub(crate) struct Keyed {
    /// Null where the row is refused.
    pub(crate) keys: StringArray,
    /// Null where the row is refused. A column that was not sent counts as null in it.
    pub(crate) partitions: StringArray,
    /// The rows that cannot be in the table, with the reason; no values in it. A row without a key that is not among them goes
    /// with one that is.
    pub(crate) refused: BTreeMap<usize, String>,
}

/// Why a row of a table without a key is refused.
const NO_KEY: &str = "the table has no key that tells which row is meant: name its columns with --key when it is made";

/// Derives keys and partition paths.
///
/// Under a global index the stored row tells what the change does not: a delete's partition, and partition columns that were
/// not sent. Truncates have neither. In a table without a key all rows have empty ones for now: a delete finds its row by the image
/// from before it, and so does an update, which comes as a delete and an update out of one message. Those without are refused.
pub(crate) fn keys_of(spec: &KeySpec, index: Index, mode: Mode, batch: &ChangeBatch) -> Result<Keyed> {
    if batch.ops.iter().all(|op| *op == Op::Truncate) {
        let nothing = || StringArray::new_null(batch.num_rows());
        return Ok(Keyed { keys: nothing(), partitions: nothing(), refused: BTreeMap::new() });
    }
    let found_by_key = index == Index::GlobalSimple;
    let mut refused: BTreeMap<usize, String> = BTreeMap::new();
    let keys = match spec.is_keyless() {
        true => told_by_image(batch, &mut refused),
        false => {
            let keys = spec.record_keys(&batch.rows).map_err(format)?;
            refused.extend(keys.refused);
            keys.keys
        }
    };
    let partitions = match found_by_key {
        true if mode == Mode::SoftDelete => {
            // A deleted row that is stored nowhere is kept where rows without partition columns are.
            let partitions = spec.partition_paths(&key_of_deleted_only(spec, batch)?).map_err(format)?;
            refused.extend(partitions.refused);
            partitions.paths
        }
        true => partitions_of_written(spec, batch, &mut refused)?,
        false => {
            let partitions = spec.partition_paths(&batch.rows).map_err(format)?;
            refused.extend(partitions.refused);
            partitions.paths
        }
    };
    let needed_partitions: &[String] = if found_by_key { &[] } else { &spec.partition_fields };
    refuse_unsent(batch, spec.record_key_fields.iter().chain(needed_partitions), &mut refused);
    if let Index::Bucket(_) = index {
        let unsafe_key =
            |(row, key): (usize, Option<&str>)| Some((row, bucket_safe(key?, &spec.record_key_fields).err()?));
        refused.extend(keys.iter().enumerate().filter_map(unsafe_key));
    }
    // A truncate speaks of no row.
    refused.retain(|row, _| batch.ops[*row] != Op::Truncate);
    let valid = (0..batch.num_rows()).map(|row| Some(!refused.contains_key(&row))).collect::<BooleanArray>();
    Ok(Keyed { keys: masked(&keys, &valid)?, partitions, refused })
}

/// The other keys of the changes for which `taken` holds; `None` where no row's key changed.
///
/// A key column of the table that is none of the source's, and a partition column, are as in the change itself: they are not
/// what changed. What cannot be a key of the table is none here either.
pub(crate) fn other_keys_of(
    spec: &KeySpec,
    index: Index,
    batch: &ChangeBatch,
    taken: &BooleanArray,
) -> Result<Option<OtherKeys>> {
    let Some(others) = batch.other_keys.as_ref().filter(|_| !spec.is_keyless()) else { return Ok(None) };
    let is_moved = |row: &usize| others.is_valid(*row) && taken.value(*row);
    let rows: Vec<u32> = (0..batch.num_rows()).filter(is_moved).map(|row| row as u32).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let failed = || Error::columns("choose", "other keys");
    let rows = UInt32Array::from(rows);
    let schema = batch.rows.schema_ref();
    let mut columns = take_record_batch(&batch.rows, &rows).map_err(failed())?.columns().to_vec();
    for (name, values) in others.column_names().into_iter().zip(others.columns()) {
        let Ok(column) = schema.index_of(name) else { continue };
        let values = take(values, &rows, None).map_err(failed())?;
        columns[column] = cast(&values, columns[column].data_type()).map_err(failed())?;
    }
    let moved = RecordBatch::try_new(schema.clone(), columns).map_err(failed())?;
    let mut keys = spec.record_keys(&moved).map_err(format)?.keys;
    if let Index::Bucket(_) = index {
        let safe = |key: &&str| bucket_safe(key, &spec.record_key_fields).is_ok();
        keys = keys.iter().map(|key| key.filter(safe)).collect();
    }
    let partitions = match index {
        Index::GlobalSimple => empty(moved.num_rows()),
        Index::Simple | Index::Bucket(_) => spec.partition_paths(&moved).map_err(format)?.paths,
    };
    let none = |row: usize| keys.is_null(row) || partitions.is_null(row);
    let spread = |array: &StringArray| {
        let mut all = StringBuilder::with_capacity(batch.num_rows(), array.values().len());
        for (place, row) in rows.values().iter().enumerate() {
            all.append_nulls(*row as usize - arrow::array::ArrayBuilder::len(&all));
            all.append_option((!none(place)).then(|| array.value(place)));
        }
        all.append_nulls(batch.num_rows() - arrow::array::ArrayBuilder::len(&all));
        all.finish()
    };
    Ok(Some(OtherKeys { keys: spread(&keys), partitions: spread(&partitions) }))
}

/// Refuses rows of which a named column was not sent.
fn refuse_unsent<'a>(
    batch: &ChangeBatch,
    names: impl Iterator<Item = &'a String>,
    refused: &mut BTreeMap<usize, String>,
) {
    for name in names {
        let column = batch.rows.schema_ref().index_of(name).ok();
        let Some(mask) = column.and_then(|column| batch.unsent[column].as_ref()) else { continue };
        refused.extend(mask.set_indices().map(|row| (row, format!("the source did not send `{name}`"))));
    }
}

/// Empty keys; null where a row cannot be told by its image.
fn told_by_image(batch: &ChangeBatch, refused: &mut BTreeMap<usize, String>) -> StringArray {
    let masks: Vec<&BooleanBuffer> = batch.unsent.iter().flatten().collect();
    let is_whole = |row: usize| masks.iter().all(|mask| !mask.value(row));
    let has_old_image = |row: usize| row > 0 && is_old_image(batch, row - 1);
    let mut key = |row: usize| match batch.ops[row] {
        Op::Insert | Op::Snapshot | Op::Truncate => Some(""),
        Op::Delete if is_whole(row) => Some(""),
        Op::Update if has_old_image(row) => Some("").filter(|_| is_whole(row - 1)),
        Op::Upsert if is_whole(row) => Some(""),
        Op::Delete | Op::Update | Op::Upsert => {
            refused.insert(row, NO_KEY.to_owned());
            None
        }
    };
    (0..batch.num_rows()).map(&mut key).collect()
}

/// Whether the row is what a row was before an update that follows, out of the same message.
pub(crate) fn is_old_image(batch: &ChangeBatch, row: usize) -> bool {
    let next = row + 1;
    next < batch.num_rows()
        && (batch.ops[row], batch.ops[next]) == (Op::Delete, Op::Update)
        && (batch.partitions[row], batch.offsets[row]) == (batch.partitions[next], batch.offsets[next])
}

fn empty(rows: usize) -> StringArray {
    StringArray::from_iter_values(std::iter::repeat_n("", rows))
}

/// The partition paths of the rows that are written; those of deletes are empty.
fn partitions_of_written(
    spec: &KeySpec,
    batch: &ChangeBatch,
    refused: &mut BTreeMap<usize, String>,
) -> Result<StringArray> {
    let is_delete: BooleanArray = batch.ops.iter().map(|op| Some(matches!(op, Op::Delete | Op::Truncate))).collect();
    let nowhere = || empty(batch.num_rows());
    if is_delete.false_count() == 0 {
        return Ok(nowhere());
    }
    let partitions = spec.partition_paths(&sent_only(spec, batch)?).map_err(format)?;
    refused.extend(partitions.refused.into_iter().filter(|(row, _)| !is_delete.value(*row)));
    if is_delete.true_count() == 0 {
        return Ok(partitions.paths);
    }
    let paths = zip(&is_delete, &nowhere(), &partitions.paths).map_err(Error::columns("choose", "partitions"))?;
    text(&paths)
}

/// The batch's rows, null wherever a partition column was not sent.
pub(crate) fn sent_only(spec: &KeySpec, batch: &ChangeBatch) -> Result<RecordBatch> {
    let schema = batch.rows.schema_ref();
    let mut columns = batch.rows.columns().to_vec();
    for column in spec.partition_fields.iter().filter_map(|name| schema.index_of(name).ok()) {
        if let Some(mask) = &batch.unsent[column] {
            let unsent = BooleanArray::new(mask.clone(), None);
            let nulled = arrow::compute::nullif(&columns[column], &unsent);
            columns[column] = nulled.map_err(Error::columns("mask", "partition columns"))?;
        }
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(Error::columns("mask", "partition columns"))
}

/// The same, and null in deletes but for columns of the key.
fn key_of_deleted_only(spec: &KeySpec, batch: &ChangeBatch) -> Result<RecordBatch> {
    let rows = sent_only(spec, batch)?;
    let is_delete: BooleanArray = batch.ops.iter().map(|op| Some(*op == Op::Delete)).collect();
    let schema = rows.schema();
    let mut columns = rows.columns().to_vec();
    let outside = spec.partition_fields.iter().filter(|name| !spec.record_key_fields.contains(name));
    for column in outside.filter_map(|name| schema.index_of(name).ok()) {
        let nulled = arrow::compute::nullif(&columns[column], &is_delete);
        columns[column] = nulled.map_err(Error::columns("mask", "partition columns"))?;
    }
    RecordBatch::try_new(schema, columns).map_err(Error::columns("mask", "partition columns"))
}

/// The array, null where the mask does not hold.
fn masked(array: &StringArray, holds: &BooleanArray) -> Result<StringArray> {
    if holds.false_count() == 0 {
        return Ok(array.clone());
    }
    let inverted = arrow::compute::not(holds).map_err(Error::columns("mask", "keys"))?;
    text(&arrow::compute::nullif(array, &inverted).map_err(Error::columns("mask", "keys"))?)
}

fn text(array: &ArrayRef) -> Result<StringArray> {
    let found = array.as_any().downcast_ref::<StringArray>().cloned();
    found.ok_or_else(|| Error::corrupt("keys", "masking changed their type"))
}
