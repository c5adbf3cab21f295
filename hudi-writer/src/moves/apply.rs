//! [`Values`]: puts the columns of moved rows where they belong, into the changes and into the memory.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBufferBuilder, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, interleave, take_record_batch};
use hudi_core::change::Op;
use hudi_core::key::KeySpec;
use hudi_core::merge::Orders;

use super::memory::RowMemory;
use super::settle::Settled;
use super::trace::{Numbers, Place};
use crate::changes::{ChangeSet, OtherKeys, Spot};
use crate::error::{Error, Result, format};

/// A row of no source.
const NOTHING: (usize, usize) = (3, 0);

/// The rows that values are taken from.
pub(super) struct Values<'a> {
    pub(super) changes: &'a ChangeSet,
    pub(super) numbers: Numbers,
    /// Stored rows, in the table's columns.
    pub(super) stored: Option<RecordBatch>,
    /// Of each lane, its row among them.
    pub(super) stored_rows: Vec<Option<usize>>,
    /// Rows of the memory, in the table's columns.
    pub(super) given: Option<RecordBatch>,
}

/// What is set of each row that is patched.
pub(super) struct Patch {
    pub(super) lane: usize,
    /// (column, row that it stands in), sorted.
    pub(super) columns: Vec<(usize, u32)>,
}

fn failed() -> impl FnOnce(arrow::error::ArrowError) -> Error {
    Error::columns("fill", "rows that move")
}

impl Values<'_> {
    /// Of which source, which row.
    fn at(&self, number: u32) -> Result<(usize, usize)> {
        let absent = || Error::corrupt("row memory", "a value stands in a row that was not read");
        Ok(match self.numbers.place(number) {
            Place::Change(row) => (0, row),
            Place::Stored(lane) => (1, self.stored_rows[lane].ok_or_else(absent)?),
            Place::Given(row) => (2, row),
        })
    }

    /// Rows of one column, by their places.
    fn gathered(&self, column: usize, places: &[(usize, usize)]) -> Result<ArrayRef> {
        let changed = self.changes.columns.column(column);
        let of = |batch: &Option<RecordBatch>| {
            batch.as_ref().map_or_else(|| Arc::clone(changed), |b| Arc::clone(b.column(column)))
        };
        let nothing = new_null_array(changed.data_type(), 1);
        interleave(&[&**changed, &*of(&self.stored), &*of(&self.given), &*nothing], places).map_err(failed())
    }

    /// Whether a column stands in both rows alike.
    fn is_same(&self, column: usize, a: u32, b: u32) -> Result<bool> {
        let of = |number| Ok::<_, Error>(self.gathered(column, &[self.at(number)?])?.to_data());
        Ok(of(a)? == of(b)?)
    }

    /// The patches that change something, by lane.
    pub(super) fn patches(&self, settled: &Settled) -> Result<Vec<Patch>> {
        let mut patches: Vec<Patch> = vec![];
        for (lane, column, row) in &settled.patches {
            if self.is_same(*column, self.numbers.stored(*lane), *row)? {
                continue;
            }
            match patches.last_mut().filter(|patch| patch.lane == *lane) {
                Some(patch) => patch.columns.push((*column, *row)),
                None => patches.push(Patch { lane: *lane, columns: vec![(*column, *row)] }),
            }
        }
        Ok(patches)
    }

    /// The changes, each insert of a moved row with all its columns; patches come last, judged by arrival.
    pub(super) fn changes(
        &self,
        settled: &Settled,
        patches: &[Patch],
        spots: &[Spot],
        spec: &KeySpec,
    ) -> Result<ChangeSet> {
        let columns = (0..self.changes.columns.num_columns()).map(|column| self.column(column, settled, patches));
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let rows = self.changes.ops.len() + patches.len();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = RecordBatch::try_new_with_options(self.changes.columns.schema(), columns, &options);
        let columns = columns.map_err(failed())?;
        let spot = |patch: &Patch| &spots[patch.lane];
        let added = |array: &StringArray, of: &dyn Fn(&Spot) -> String| {
            array.iter().map(|text| text.map(str::to_owned)).chain(patches.iter().map(|p| Some(of(spot(p))))).collect()
        };
        let (keys, partitions): (StringArray, StringArray) = match patches {
            [] => (self.changes.keys.clone(), self.changes.partitions.clone()),
            _ => (
                added(&self.changes.keys, &|spot| spot.key.clone()),
                added(&self.changes.partitions, &|spot| spot.partition.clone()),
            ),
        };
        let mut ops = self.changes.ops.clone();
        ops.resize(rows, Op::Update);
        let mut changes = ChangeSet {
            columns,
            keys,
            partitions,
            ops,
            orders: with_none(&self.changes.orders, patches.len())?,
            unsent: (0..self.changes.unsent.len()).map(|column| self.mask(column, settled, patches)).collect(),
            others: self.changes.others.as_ref().map(|others| padded(others, patches.len())).transpose()?,
            old: self.old(patches.len()),
            origins: self.changes.origins.clone(),
            covered: self.changes.covered,
            mark: self.changes.mark,
        };
        changes.partitions = self.partitions(&changes, settled, patches, spec)?;
        Ok(changes)
    }

    fn column(&self, column: usize, settled: &Settled, patches: &[Patch]) -> Result<ArrayRef> {
        let changed = self.changes.columns.column(column);
        let fills: Vec<_> = settled.fills.iter().filter(|fill| fill.1 == column).collect();
        let is_patched = patches.iter().any(|patch| patch.columns.iter().any(|(of, _)| *of == column));
        if fills.is_empty() && !is_patched {
            return match patches.len() {
                0 => Ok(Arc::clone(changed)),
                rows => concat(&[&**changed, &*new_null_array(changed.data_type(), rows)]).map_err(failed()),
            };
        }
        let mut places: Vec<(usize, usize)> = (0..changed.len()).map(|row| (0, row)).collect();
        for (change, _, row) in fills {
            places[*change as usize] = self.at(*row)?;
        }
        for patch in patches {
            let row = patch.columns.iter().find(|(of, _)| *of == column).map(|(_, row)| self.at(*row));
            places.push(row.transpose()?.unwrap_or(NOTHING));
        }
        self.gathered(column, &places)
    }

    /// The changes that did not send the column, once it is filled.
    fn mask(&self, column: usize, settled: &Settled, patches: &[Patch]) -> Option<BooleanBuffer> {
        let before = self.changes.unsent[column].as_ref();
        let is_filled = settled.fills.iter().any(|fill| fill.1 == column);
        if patches.is_empty() && !is_filled {
            return before.cloned();
        }
        let mut mask = BooleanBufferBuilder::new(self.changes.ops.len() + patches.len());
        match before {
            Some(before) => mask.append_buffer(before),
            None => mask.append_n(self.changes.ops.len(), false),
        }
        for (change, _, _) in settled.fills.iter().filter(|fill| fill.1 == column) {
            mask.set_bit(*change as usize, false);
        }
        for patch in patches {
            mask.append(!patch.columns.iter().any(|(of, _)| *of == column));
        }
        Some(mask.finish()).filter(|mask| mask.count_set_bits() > 0)
    }

    /// The changes of old runs. A patch is no newer than what it patches.
    fn old(&self, patches: usize) -> Option<BooleanBuffer> {
        let before = self.changes.old.as_ref()?;
        let mut old = BooleanBufferBuilder::new(before.len() + patches);
        old.append_buffer(before);
        old.append_n(patches, true);
        Some(old.finish())
    }

    /// The partitions, anew of rows of which a partition column was filled.
    fn partitions(
        &self,
        filled: &ChangeSet,
        settled: &Settled,
        patches: &[Patch],
        spec: &KeySpec,
    ) -> Result<StringArray> {
        let schema = filled.columns.schema_ref();
        let of_path: Vec<usize> = spec.partition_fields.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let is_of_path = |column: &usize| of_path.contains(column);
        let mut rows: Vec<u32> = settled.fills.iter().filter(|fill| is_of_path(&fill.1)).map(|fill| fill.0).collect();
        let patched = (self.changes.ops.len() as u32..).zip(patches);
        let moved = patched.filter(|(_, patch)| patch.columns.iter().any(|(column, _)| is_of_path(column)));
        rows.extend(moved.map(|(row, _)| row));
        if rows.is_empty() {
            return Ok(filled.partitions.clone());
        }
        rows.dedup();
        let rows_filled = take_record_batch(&filled.columns, &UInt32Array::from(rows.clone())).map_err(failed())?;
        let anew = spec.partition_paths(&rows_filled).map_err(format)?.paths;
        let mut paths: Vec<Option<&str>> = filled.partitions.iter().collect();
        for (row, path) in rows.into_iter().zip(&anew) {
            // One that can be no folder stays where it was.
            paths[row as usize] = path.or(paths[row as usize]);
        }
        Ok(paths.into_iter().collect())
    }

    /// The memory after the commit.
    pub(super) fn memory(&self, settled: Settled) -> Result<RowMemory> {
        let (given, stands): (Vec<_>, Vec<_>) = settled.given.into_iter().unzip();
        if given.is_empty() {
            return Ok(RowMemory { given, owed: settled.owed, ..RowMemory::default() });
        }
        let mut columns = vec![];
        for column in 0..self.changes.columns.num_columns() {
            let places = stands.iter().map(|stands: &Vec<u32>| self.at(stands[column])).collect::<Result<Vec<_>>>()?;
            columns.push(self.gathered(column, &places)?);
        }
        let rows = RecordBatch::try_new(self.changes.columns.schema(), columns).map_err(failed())?;
        Ok(RowMemory { given, rows: Some(rows), owed: settled.owed, ..RowMemory::default() })
    }
}

fn with_none(orders: &Orders, rows: usize) -> Result<Orders> {
    let none = |array: &dyn Array| concat(&[array, &*new_null_array(array.data_type(), rows)]).map_err(failed());
    let all = match orders {
        _ if rows == 0 => return Ok(orders.clone()),
        Orders::Long(long) => none(long)?,
        Orders::Text(text) => none(text)?,
    };
    Orders::of(&all).ok_or_else(|| Error::corrupt("changes", "their orders are neither long nor text"))
}

fn padded(others: &OtherKeys, rows: usize) -> Result<OtherKeys> {
    let pad = |array: &StringArray| -> StringArray { array.iter().chain(std::iter::repeat_n(None, rows)).collect() };
    Ok(OtherKeys { keys: pad(&others.keys), partitions: pad(&others.partitions) })
}
