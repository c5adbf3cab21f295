//! [`PlannedFile`], and [`Placing`]: which file group takes which new row.
//!
//! Not here: which rows are new, and how file groups are found.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use hudi_core::file_name::FileId;
use hudi_core::file_slice::FileSlice;

use crate::changes::RowWrite;
use crate::clock::{Clock, uuid_text};
use crate::cow::FilePlan;
use crate::error::{Result, format};
use crate::file::BaseFileFooter;

/// Of a row's bytes in memory, how many a file needs, about; only until the first file tells better.
const ENCODED_SHARE: f64 = 0.4;

/// Files below this share of the target size are rewritten for new rows alone. Above it that costs more than it is worth: what is
/// written at each commit would grow with the file, many times what the commit brings.
const SMALL_SHARE: u64 = 4;

/// Below which size files are rewritten for new rows alone, where files grow to this size.
pub(crate) const fn small_file_bytes(target_file_bytes: u64) -> u64 {
    target_file_bytes / SMALL_SHARE
}

/// A base file that is there already.
#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    pub(crate) slice: FileSlice,
    pub(crate) footer: BaseFileFooter,
}

/// A base file that will be written.
#[derive(Debug)]
pub(crate) struct PlannedFile {
    pub(crate) partition: String,
    pub(crate) file_id: FileId,
    pub(crate) stored: Option<StoredFile>,
    pub(crate) plan: FilePlan,
}

impl PlannedFile {
    /// A file group that is there, with nothing to change yet.
    pub(crate) fn of(partition: &str, stored: StoredFile) -> Self {
        let file_id = stored.slice.file_id.clone();
        Self { partition: partition.to_owned(), file_id, stored: Some(stored), plan: FilePlan::default() }
    }

    fn begun(partition: &str, file_id: FileId, inserts: Vec<RowWrite>) -> Self {
        let plan = FilePlan { inserts, ..FilePlan::default() };
        Self { partition: partition.to_owned(), file_id, stored: None, plan }
    }

    /// What tells it from all others: partition and file group.
    pub(crate) fn place(&self) -> (String, String) {
        (self.partition.clone(), self.file_id.to_string())
    }

    /// The base instant of the slice that is written onto.
    pub(crate) fn previous_commit(&self) -> Option<String> {
        self.stored.as_ref().map(|stored| stored.slice.base_instant.to_string())
    }
}

/// Places new rows in the files of one partition.
pub(crate) struct Placing<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) target_file_bytes: u64,
    /// The columns of the changes that rows are taken from.
    pub(crate) columns: &'a RecordBatch,
}

impl Placing<'_> {
    /// Gives every new row of a bucket its one file group; `files` holds that group alone, if it is there.
    pub(crate) fn in_bucket(
        &self,
        partition: &str,
        bucket: u32,
        inserts: Vec<RowWrite>,
        files: &mut Vec<PlannedFile>,
    ) -> Result<()> {
        match files.first_mut() {
            Some(file) => file.plan.inserts = inserts,
            None if inserts.is_empty() => {}
            None => {
                let uuid = uuid_text(self.clock.unique_id());
                let file_id = FileId::in_bucket(bucket, &uuid).map_err(format)?;
                files.push(PlannedFile::begun(partition, file_id, inserts));
            }
        }
        Ok(())
    }

    /// Fills files up to the target size before it begins new ones: those that are rewritten anyway, then small ones, the smallest first.
    pub(crate) fn in_small_files(
        &self,
        partition: &str,
        inserts: Vec<RowWrite>,
        files: &mut Vec<PlannedFile>,
    ) -> Result<()> {
        let row_bytes = self.row_bytes(files);
        let mut with_room: BTreeMap<(bool, u64, usize), u64> = BTreeMap::new();
        for (file, planned) in files.iter().enumerate() {
            let size = planned.stored.as_ref().map_or(0, |stored| stored.slice.size_bytes());
            let room = (self.target_file_bytes.saturating_sub(size) as f64 / row_bytes) as u64;
            let is_left = planned.plan.is_empty();
            if room > 0 && (!is_left || size < small_file_bytes(self.target_file_bytes)) {
                with_room.insert((is_left, size, file), room);
            }
        }
        let mut rows = inserts.into_iter().peekable();
        for ((_, _, file), room) in with_room {
            files[file].plan.inserts.extend(rows.by_ref().take(room as usize));
        }
        let per_file = ((self.target_file_bytes as f64 / row_bytes) as usize).max(1);
        while rows.peek().is_some() {
            let uuid = uuid_text(self.clock.unique_id());
            let file_id = FileId::new(&uuid, 0).map_err(format)?;
            files.push(PlannedFile::begun(partition, file_id, rows.by_ref().take(per_file).collect()));
        }
        Ok(())
    }

    /// How many bytes of a file a row takes, by the files that are there, else by the rows in memory.
    fn row_bytes(&self, files: &[PlannedFile]) -> f64 {
        let stored = files.iter().filter_map(|file| file.stored.as_ref());
        let (bytes, rows) =
            stored.fold((0, 0), |(bytes, rows), file| (bytes + file.slice.size_bytes(), rows + file.footer.rows()));
        if rows >= 1000 {
            return (bytes as f64 / rows as f64).max(1.0);
        }
        let in_memory = self.columns.get_array_memory_size() as f64;
        (in_memory * ENCODED_SHARE / self.columns.num_rows().max(1) as f64).max(16.0)
    }
}
