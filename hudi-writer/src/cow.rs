//! Copy-on-write: a base file and its changes to the file group's next base file.
//!
//! Which rows change is known before ([`FilePlan`]), so that the file's rows are only copied here, batch by batch, untouched
//! batches whole. Not here: how changes are folded, and where files are put on the timeline.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder, UInt32Array};
use arrow::compute::{interleave, take};
use bytes::Bytes;
use hudi_core::bloom::BloomFilter;
use hudi_core::instant::InstantTime;
use hudi_core::merge::RowRef;

use crate::changes::{ChangeSet, RowWrite};
use crate::error::{Error, Result};
use crate::file::{BaseFileEncoder, BatchSink, Encoded, EncoderSpec, align};

/// Rows of one chunk of new rows.
const CHUNK_ROWS: usize = 8192;

/// A stored row that changes.
#[derive(Debug)]
pub(crate) struct Edit {
    /// The row's number in the file.
    pub(crate) row: u64,
    /// What it becomes; `None`: it is removed.
    pub(crate) write: Option<RowWrite>,
}

/// What becomes of one file group.
#[derive(Debug, Default)]
pub(crate) struct FilePlan {
    /// Stored rows that change, by their number.
    pub(crate) edits: Vec<Edit>,
    /// Rows that are new to the file.
    pub(crate) inserts: Vec<RowWrite>,
    /// Rows of other files that those take values from: the first is referred to as the change after the last.
    pub(crate) carried: Option<RecordBatch>,
    /// New rows get a key that is made up: the table has none of its own.
    pub(crate) makes_keys: bool,
}

impl FilePlan {
    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.inserts.is_empty()
    }

    pub(crate) fn updates(&self) -> u64 {
        self.edits.iter().filter(|edit| edit.write.is_some()).count() as u64
    }

    pub(crate) fn removals(&self) -> u64 {
        self.edits.len() as u64 - self.updates()
    }
}

/// The values of the meta columns that are the same for all rows of a file.
#[derive(Debug, Clone)]
pub(crate) struct FileMeta {
    pub(crate) instant: InstantTime,
    pub(crate) partition: String,
    pub(crate) file_name: String,
    /// The file's number in the commit: stands in the sequence numbers of its rows.
    pub(crate) task: usize,
}

/// Writes the next base file of a file group: takes the rows of the stored one, then adds what is new.
pub(crate) struct Rewrite {
    changes: Arc<ChangeSet>,
    plan: FilePlan,
    carried: Option<RecordBatch>,
    meta: FileMeta,
    encoder: BaseFileEncoder,
    spec: EncoderSpec,
    next_row: u64,
    next_edit: usize,
    next_seqno: u64,
    /// The filter was made for this file: it needs every key.
    all_keys_to_bloom: bool,
    /// The table has no key: that of a new row is its sequence number, as in Hudi.
    makes_keys: bool,
    instants: StringArray,
    file_names: StringArray,
    partitions: StringArray,
}

/// The rows of one batch that is put out, and where each comes from.
struct Gather<'a> {
    stored: Option<&'a RecordBatch>,
    /// (0, row of the stored batch) or (1, change).
    from: Vec<(usize, usize)>,
    /// The rows that a change writes: (row put out, its stored row, what is written).
    writes: Vec<(usize, Option<usize>, &'a RowWrite)>,
}

impl Gather<'_> {
    /// Where keys come from: a stored row keeps its own, whatever it becomes.
    fn keys_from(&self) -> Vec<(usize, usize)> {
        let mut from = self.from.clone();
        for (row, stored_row, _) in &self.writes {
            if let Some(stored_row) = stored_row {
                from[*row] = (0, *stored_row);
            }
        }
        from
    }
}

impl Rewrite {
    /// `stored_keys` is the filter of the stored file, if it can take the new keys.
    pub(crate) fn new(
        spec: &EncoderSpec,
        changes: Arc<ChangeSet>,
        mut plan: FilePlan,
        meta: FileMeta,
        stored_keys: Option<BloomFilter>,
        expected_rows: u64,
    ) -> Self {
        let makes_keys = plan.makes_keys;
        let all_keys_to_bloom = stored_keys.is_none();
        let bloom = stored_keys.unwrap_or_else(|| BloomFilter::sized_for(expected_rows));
        let encoder = BaseFileEncoder::new(spec, &meta.file_name, bloom);
        Self {
            changes,
            carried: plan.carried.take(),
            plan,
            encoder,
            spec: spec.clone(),
            next_row: 0,
            next_edit: 0,
            next_seqno: 0,
            all_keys_to_bloom,
            makes_keys,
            instants: repeated(meta.instant.as_str(), CHUNK_ROWS),
            file_names: repeated(&meta.file_name, CHUNK_ROWS),
            partitions: repeated(&meta.partition, CHUNK_ROWS),
            meta,
        }
    }

    /// Adds the rows that are new to the file and ends it. Runs where computing is done.
    pub(crate) fn finish(mut self) -> Result<(Bytes, Encoded)> {
        let inserts = std::mem::take(&mut self.plan.inserts);
        for chunk in inserts.chunks(CHUNK_ROWS) {
            let gather = Gather {
                stored: None,
                from: chunk.iter().map(|write| (1, write.image as usize)).collect(),
                writes: chunk.iter().enumerate().map(|(row, write)| (row, None, write)).collect(),
            };
            self.put_out(&gather)?;
        }
        if self.next_edit < self.plan.edits.len() {
            return Err(Error::corrupt(&self.meta.file_name, "the stored file ends before the rows that change"));
        }
        self.encoder.finish()
    }

    fn put_out(&mut self, gather: &Gather<'_>) -> Result<()> {
        let rows = gather.from.len();
        if rows == 0 {
            return Ok(());
        }
        let columns = self.changes.columns.num_columns();
        let mut out: Vec<ArrayRef> = Vec::with_capacity(columns + 5);
        out.extend(self.meta_columns(gather)?);
        for column in 0..columns {
            out.push(self.column(gather, column)?);
        }
        self.note_new_keys(gather, &out[2]);
        let batch = RecordBatch::try_new(Arc::clone(self.spec.schema()), out)
            .map_err(Error::columns("merge", &self.meta.file_name))?;
        self.encoder.write(&batch)
    }

    fn meta_columns(&mut self, gather: &Gather<'_>) -> Result<[ArrayRef; 5]> {
        let rows = gather.from.len();
        let new_seqnos: ArrayRef = Arc::new(self.draw_seqnos(gather.writes.len()));
        let keys = match gather.stored {
            None if self.makes_keys => Arc::clone(&new_seqnos),
            stored => self.gathered(stored.map(|b| &**b.column(2)), &self.changes.keys, &gather.keys_from())?,
        };
        let (times, seqnos) = match gather.stored {
            None => (constant(&self.instants, self.meta.instant.as_str(), rows), new_seqnos),
            Some(stored) => self.changed_meta(gather, stored, &new_seqnos)?,
        };
        let partitions = constant(&self.partitions, &self.meta.partition, rows);
        let file_names = constant(&self.file_names, &self.meta.file_name, rows);
        Ok([times, seqnos, keys, partitions, file_names])
    }

    /// Times and sequence numbers: copied rows keep theirs.
    fn changed_meta(
        &self,
        gather: &Gather<'_>,
        stored: &RecordBatch,
        new_seqnos: &ArrayRef,
    ) -> Result<(ArrayRef, ArrayRef)> {
        let mut times = gather.from.clone();
        let mut seqnos = gather.from.clone();
        for (i, (row, _, _)) in gather.writes.iter().enumerate() {
            times[*row] = (1, 0);
            seqnos[*row] = (1, i);
        }
        Ok((
            self.gathered(Some(stored.column(0)), &self.instants, &times)?,
            self.gathered(Some(stored.column(1)), new_seqnos, &seqnos)?,
        ))
    }

    fn draw_seqnos(&mut self, count: usize) -> StringArray {
        let mut builder = StringBuilder::with_capacity(count, count * 28);
        for _ in 0..count {
            // Writing to a builder in memory cannot fail.
            let _ = write!(builder, "{}_{}_{}", self.meta.instant, self.meta.task, self.next_seqno);
            builder.append_value("");
            self.next_seqno += 1;
        }
        builder.finish()
    }

    fn column(&self, gather: &Gather<'_>, column: usize) -> Result<ArrayRef> {
        let stored = gather.stored.map(|batch| &**batch.column(column + 5));
        let changed = self.changes.columns.column(column);
        let mut patched: Option<Vec<(usize, usize)>> = None;
        for (row, stored_row, write) in &gather.writes {
            for instead in write.overrides.iter().filter(|o| o.column == column) {
                patched.get_or_insert_with(|| gather.from.clone())[*row] = self.source(instead.from, *stored_row)?;
            }
        }
        let carried = self.carried.as_ref().filter(|_| patched.is_some()).map(|rows| &**rows.column(column));
        let sources = [stored.unwrap_or(changed), changed, carried.unwrap_or(changed)];
        let from = patched.as_ref().unwrap_or(&gather.from);
        match (stored, carried) {
            (_, Some(_)) => self.interleaved(&sources, from),
            (Some(_), None) => self.interleaved(&sources[..2], from),
            (None, None) => self.gathered(None, changed, from),
        }
    }

    /// Where a value that is not the image's stands: (source, row of it).
    fn source(&self, from: RowRef, stored_row: Option<usize>) -> Result<(usize, usize)> {
        let changes = self.changes.ops.len();
        let corrupt = |why| Error::corrupt(&self.meta.file_name, why);
        match (from, stored_row) {
            (RowRef::Change(change), _) if (change as usize) < changes => Ok((1, change as usize)),
            (RowRef::Change(_), _) if self.carried.is_none() => {
                Err(corrupt("a new row takes a value that is not there"))
            }
            (RowRef::Change(carried), _) => Ok((2, carried as usize - changes)),
            (RowRef::Stored, Some(stored_row)) => Ok((0, stored_row)),
            (RowRef::Stored, None) => Err(corrupt("a new row takes a stored value")),
        }
    }

    fn gathered(&self, stored: Option<&dyn Array>, changed: &dyn Array, from: &[(usize, usize)]) -> Result<ArrayRef> {
        match stored {
            Some(stored) => self.interleaved(&[stored, changed], from),
            // Nothing refers to source 0.
            None => {
                let rows: UInt32Array = from.iter().map(|(_, row)| *row as u32).collect();
                take(changed, &rows, None).map_err(Error::columns("merge", &self.meta.file_name))
            }
        }
    }

    fn interleaved(&self, sources: &[&dyn Array], from: &[(usize, usize)]) -> Result<ArrayRef> {
        interleave(sources, from).map_err(Error::columns("merge", &self.meta.file_name))
    }

    fn note_new_keys(&mut self, gather: &Gather<'_>, keys: &ArrayRef) {
        if !self.all_keys_to_bloom && gather.stored.is_some() {
            return;
        }
        if let Some(keys) = keys.as_any().downcast_ref::<StringArray>() {
            self.encoder.bloom().insert_all(keys);
        }
    }

    /// Copies a batch in which no row changes.
    fn copy(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut columns = batch.columns().to_vec();
        columns[4] = constant(&self.file_names, &self.meta.file_name, batch.num_rows());
        if self.all_keys_to_bloom
            && let Some(keys) = columns[2].as_any().downcast_ref::<StringArray>()
        {
            self.encoder.bloom().insert_all(keys);
        }
        let batch = RecordBatch::try_new(Arc::clone(self.spec.schema()), columns)
            .map_err(Error::columns("copy", &self.meta.file_name))?;
        self.encoder.write(&batch)
    }
}

impl BatchSink for Rewrite {
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let batch = align(&batch, self.spec.schema(), &self.meta.file_name)?;
        let (start, end) = (self.next_row, self.next_row + batch.num_rows() as u64);
        self.next_row = end;
        let count = self.plan.edits[self.next_edit..].iter().take_while(|edit| edit.row < end).count();
        if count == 0 {
            return self.copy(&batch);
        }
        let edits = self.next_edit..self.next_edit + count;
        self.next_edit = edits.end;
        let plan = std::mem::take(&mut self.plan);
        let result = self.put_out(&gather(&batch, &plan.edits[edits], start));
        self.plan = plan;
        result
    }

    fn output(&mut self) -> Option<Bytes> {
        Some(self.encoder.take_bytes()).filter(|bytes| !bytes.is_empty())
    }
}

/// Lays out a batch whose first row is row `start` of the file.
fn gather<'a>(batch: &'a RecordBatch, edits: &'a [Edit], start: u64) -> Gather<'a> {
    let mut from = Vec::with_capacity(batch.num_rows());
    let mut writes = Vec::with_capacity(edits.len());
    let mut row = 0;
    for edit in edits {
        let edited = (edit.row - start) as usize;
        from.extend((row..edited).map(|row| (0, row)));
        if let Some(write) = &edit.write {
            writes.push((from.len(), Some(edited), write));
            from.push((1, write.image as usize));
        }
        row = edited + 1;
    }
    from.extend((row..batch.num_rows()).map(|row| (0, row)));
    Gather { stored: Some(batch), from, writes }
}

fn repeated(text: &str, rows: usize) -> StringArray {
    StringArray::from_iter_values(std::iter::repeat_n(text, rows))
}

/// `rows` times the text, out of an array of it if that is long enough.
fn constant(long: &StringArray, text: &str, rows: usize) -> ArrayRef {
    if rows <= long.len() { Arc::new(long.slice(0, rows)) } else { Arc::new(repeated(text, rows)) }
}
