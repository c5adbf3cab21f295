//! [`Images`]: rows of a table without a key, told by all of their values.
//!
//! A delete removes one row that is equal to its image in every column of the source, null being equal to null; of several equal rows any
//! one. Not here: which files are looked into, and which take the new rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use hudi_core::change::{Op, columns};
use hudi_core::merge::{Override, RowRef};

use crate::changes::{ChangeSet, RowWrite};
use crate::compute::Compute;
use crate::cow::Edit;
use crate::error::{Error, Result};
use crate::file::{BaseFileFooter, BatchSink, align, scan};
use crate::store::TableStore;

/// The images of a commit's changes.
pub(crate) struct Images {
    converter: RowConverter,
    /// The source's columns.
    schema: SchemaRef,
    rows: Rows,
    /// The images of deletes: each with its number, and how many deletes have it.
    wanted: HashMap<Box<[u8]>, (usize, usize)>,
}

/// A row that is equal to an image.
#[derive(Debug, Clone, Copy)]
enum Equal {
    /// A row of a file that was looked into.
    Stored { file: usize, row: u64 },
    /// A new row.
    New { change: u32 },
}

/// What becomes of the changes.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// For each file that was looked into: the rows that go, by their number.
    pub(crate) edits: Vec<Vec<Edit>>,
    /// New rows, in the order of their arrival.
    pub(crate) inserts: Vec<RowWrite>,
    /// Deletes whose image is that of no row; an update goes with its own.
    pub(crate) unmatched: Vec<u32>,
    /// New rows that lack columns.
    pub(crate) unfilled: Vec<u32>,
}

impl Images {
    /// The images of all changes, in the columns of the source.
    pub(crate) fn of(changes: &ChangeSet) -> Result<Self> {
        let failed = || Error::columns("compare", "rows without a key");
        let all = changes.columns.schema_ref().fields().iter().enumerate();
        let own: Vec<usize> = all.filter(|(_, field)| !columns::is_ours(field.name())).map(|(i, _)| i).collect();
        let schema = Arc::new(changes.columns.schema_ref().project(&own).map_err(failed())?);
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(failed())?;
        let filled = own.iter().map(|column| filled(changes, *column)).collect::<Result<Vec<_>>>()?;
        let rows = converter.convert_columns(&filled).map_err(failed())?;
        let mut images = Self { converter, schema, rows, wanted: HashMap::new() };
        for row in changes.rows().filter(|row| changes.ops[*row as usize] == Op::Delete) {
            let number = images.wanted.len();
            let (_, deletes) = images.wanted.entry(images.rows.row(row as usize).data().into()).or_insert((number, 0));
            *deletes += 1;
        }
        Ok(images)
    }

    /// The number of the deletes' image that a change has, if it has one.
    fn wanted(&self, change: u32) -> Option<usize> {
        self.wanted.get(self.rows.row(change as usize).data()).map(|(number, _)| *number)
    }

    /// Looks for the deletes' images in a base file: (number of the image, row of the file).
    pub(crate) async fn find(
        self: &Arc<Self>,
        store: &TableStore,
        compute: &Compute,
        footer: &BaseFileFooter,
        covered: Option<Arc<[u64]>>,
    ) -> Result<Vec<(usize, u64)>> {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let left = vec![0; self.wanted.len()];
        let (images, path) = (Arc::clone(self), footer.path.clone());
        let mut sink = Search { images, path, covered, next_row: 0, left, found: vec![] };
        self.wanted.values().for_each(|(number, deletes)| sink.left[*number] = *deletes);
        Ok(scan(store, footer, Some(&names), compute, sink, None).await?.found)
    }

    /// Goes through the changes in the order of their arrival. `found`: what is stored, by file.
    pub(crate) fn tell(&self, changes: &ChangeSet, found: &[Vec<(usize, u64)>]) -> Told {
        let mut equal: Vec<Vec<Equal>> = vec![vec![]; self.wanted.len()];
        for (file, rows) in found.iter().enumerate() {
            rows.iter().for_each(|(number, row)| equal[*number].push(Equal::Stored { file, row: *row }));
        }
        let mut told = Told { edits: found.iter().map(|_| vec![]).collect(), ..Told::default() };
        let mut is_new = vec![false; changes.ops.len()];
        let mut last_was_found = false;
        for change in changes.rows() {
            match changes.ops[change as usize] {
                Op::Delete => {
                    let found = self.wanted(change).and_then(|number| equal[number].pop());
                    last_was_found = found.is_some();
                    match found {
                        Some(Equal::Stored { file, row }) => told.edits[file].push(Edit { row, write: None }),
                        Some(Equal::New { change }) => is_new[change as usize] = false,
                        None => told.unmatched.push(change),
                    }
                    continue;
                }
                Op::Update if !last_was_found => continue,
                Op::Insert | Op::Snapshot if lacks(changes, change) => told.unfilled.push(change),
                Op::Update | Op::Upsert | Op::Insert | Op::Snapshot => {
                    is_new[change as usize] = true;
                    if let Some(number) = self.wanted(change) {
                        equal[number].push(Equal::New { change });
                    }
                }
                Op::Truncate => {}
            }
        }
        told.inserts = changes.rows().filter(|row| is_new[*row as usize]).map(|row| write(changes, row)).collect();
        told.edits.iter_mut().for_each(|edits| edits.sort_unstable_by_key(|edit| edit.row));
        told
    }
}

/// Whether a column of the change was not sent.
fn lacks(changes: &ChangeSet, change: u32) -> bool {
    changes.unsent.iter().flatten().any(|mask| mask.value(change as usize))
}

/// An update takes what it did not send from the image before it, which is the change before it.
fn write(changes: &ChangeSet, image: u32) -> RowWrite {
    let masks = changes.unsent.iter().enumerate().filter_map(|(column, mask)| Some((column, mask.as_ref()?)));
    let unsent = masks.filter(|(_, mask)| mask.value(image as usize));
    let before = RowRef::Change(image.saturating_sub(1));
    RowWrite { image, overrides: unsent.map(|(column, _)| Override { column, from: before }).collect() }
}

/// The column, with what updates did not send.
fn filled(changes: &ChangeSet, column: usize) -> Result<ArrayRef> {
    let values = changes.columns.column(column);
    let Some(mask) = &changes.unsent[column] else { return Ok(Arc::clone(values)) };
    let is_filled = |row: u32| mask.value(row as usize) && changes.ops[row as usize] == Op::Update;
    let from = |row: u32| if is_filled(row) { row.saturating_sub(1) } else { row };
    let rows: UInt32Array = (0..changes.ops.len() as u32).map(from).collect();
    take(values, &rows, None).map_err(Error::columns("compare", "rows without a key"))
}

/// Looks for images in the batches of a file; so many of each as there are deletes.
struct Search {
    images: Arc<Images>,
    path: String,
    covered: Option<Arc<[u64]>>,
    next_row: u64,
    left: Vec<usize>,
    found: Vec<(usize, u64)>,
}

impl BatchSink for Search {
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let batch = align(&batch, &self.images.schema, &self.path)?;
        let rows = self.images.converter.convert_columns(batch.columns());
        let rows = rows.map_err(Error::columns("compare the rows of", &self.path))?;
        for (row, at) in rows.iter().zip(self.next_row..) {
            let is_covered = || self.covered.as_ref().is_some_and(|covered| covered.binary_search(&at).is_ok());
            if let Some((number, _)) = self.images.wanted.get(row.data())
                && self.left[*number] > 0
                && !is_covered()
            {
                self.left[*number] -= 1;
                self.found.push((*number, at));
            }
        }
        self.next_row += batch.num_rows() as u64;
        Ok(())
    }
}
