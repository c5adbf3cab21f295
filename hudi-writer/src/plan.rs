//! From changes to file plans: keys are looked up, folded, and routed to file groups.
//!
//! Decides everything before anything is written. Not here: what becomes of a row ([`crate::fold`]), the timeline, and the
//! files' bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use hudi_core::bucket::bucket_of;
use hudi_core::change::OrderKind;
use hudi_core::file_name::FileId;
use hudi_core::file_slice::FileSlice;
use hudi_core::layout;
use hudi_core::merge::Orders;

use crate::changes::{ChangeSet, KeyTable, RowWrite};
use crate::clock::{Clock, uuid_text};
use crate::commit::Scope;
use crate::compute::Compute;
use crate::cow::FilePlan;
use crate::error::{Error, Result, format};
use crate::file::{BaseFileFooter, read_footer};
use crate::fold::fold;
use crate::index::{Found, look_up};
use crate::settings::Index;
use crate::store::TableStore;
use crate::table::Table;

/// Of a row's bytes in memory, how many a file needs, about; only until the first file tells better.
const ENCODED_SHARE: f64 = 0.4;

/// Partitions that are listed at a time.
const LISTINGS_AT_A_TIME: usize = 8;

/// What the planning of all changes shares.
pub(crate) struct Planner<'a> {
    pub(crate) store: &'a TableStore,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) compute: &'a Compute,
    pub(crate) changes: &'a Arc<ChangeSet>,
    pub(crate) index: Index,
    pub(crate) key_fields: &'a [String],
    pub(crate) target_file_bytes: u64,
    /// The column of `_cdc_order` among the changes' columns.
    pub(crate) order_column: usize,
    /// A delete whose row is not where it says is told: the partition is not part of the key.
    pub(crate) deletes_must_be_found: bool,
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
    /// The base instant of the slice that is written onto.
    pub(crate) fn previous_commit(&self) -> Option<String> {
        self.stored.as_ref().map(|stored| stored.slice.base_instant.to_string())
    }
}

impl Plan {
    /// Adds what another partition's plan says.
    pub(crate) fn add(mut self, other: Self) -> Self {
        self.files.extend(other.files);
        self.unfilled.extend(other.unfilled);
        self.not_found.extend(other.not_found);
        self.ignored += other.ignored;
        self
    }
}

/// What a commit will do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) files: Vec<PlannedFile>,
    /// Changes that lack columns which stand nowhere.
    pub(crate) unfilled: Vec<u32>,
    /// Deletes whose row is not in the partition that they name.
    pub(crate) not_found: Vec<u32>,
    /// How many changes were older than what they met.
    pub(crate) ignored: u64,
    /// Where keys were looked for.
    pub(crate) scope: Scope,
}

impl Planner<'_> {
    /// Plans all changes, several shares of them at a time.
    pub(crate) async fn plan_all(&self, table: &Table) -> Result<Plan> {
        let (changes, buckets) = (Arc::clone(self.changes), self.buckets());
        let fields = self.key_fields.to_vec();
        let shares = self.compute.run(move || Ok(shares(&changes, buckets, &fields))).await?;
        let scope = self.scope(&shares);
        let mut partitions: Vec<&str> = shares.iter().map(|share| share.partition.as_str()).collect();
        partitions.dedup();
        let slices = partitions
            .into_iter()
            .map(|partition| async move { Ok::<_, Error>((partition.to_owned(), table.slices_of(partition).await?)) });
        let slices: HashMap<String, Vec<FileSlice>> =
            futures::stream::iter(slices).buffer_unordered(LISTINGS_AT_A_TIME).try_collect().await?;
        let slices = &slices;
        let plans = shares.into_iter().map(|share| async move {
            let slices = slices.get(&share.partition).map(Vec::as_slice).unwrap_or_default();
            self.plan(share, slices).await
        });
        let plans = futures::stream::iter(plans).buffered(self.compute.parallel());
        plans.try_fold(Plan { scope, ..Plan::default() }, |all, one| async { Ok(all.add(one)) }).await
    }

    fn scope(&self, shares: &[Share]) -> Scope {
        match self.index {
            Index::Simple => Scope::Partitions(shares.iter().map(|share| share.partition.clone()).collect()),
            Index::Bucket(_) => {
                let bucket = |share: &Share| Some((share.partition.clone(), share.bucket?));
                Scope::Buckets(shares.iter().filter_map(bucket).collect())
            }
        }
    }

    fn buckets(&self) -> Option<u32> {
        match self.index {
            Index::Bucket(buckets) => Some(buckets.get()),
            Index::Simple => None,
        }
    }

    /// Plans one share of the changes; `slices` are the file groups of its partition.
    async fn plan(&self, share: Share, slices: &[FileSlice]) -> Result<Plan> {
        let Share { partition, bucket, rows } = share;
        let changes = Arc::clone(self.changes);
        let keys = self.compute.run(move || Ok(Arc::new(KeyTable::new(&changes.keys, rows)))).await?;
        let stored = self.open(&partition, &self.candidates(bucket, slices)?).await?;
        let found = self.look_up_all(&stored, &keys).await?;
        let (changes, order_column) = (Arc::clone(self.changes), self.order_column);
        let folded = self.compute.run(move || fold(&changes, &keys, &found, order_column)).await?;
        let mut files: Vec<PlannedFile> = vec![];
        for (stored, edits) in stored.into_iter().zip(folded.edits) {
            let file_id = stored.slice.file_id.clone();
            let plan = FilePlan { edits, inserts: vec![] };
            files.push(PlannedFile { partition: partition.clone(), file_id, stored: Some(stored), plan });
        }
        self.place(&partition, bucket, folded.inserts, &mut files)?;
        files.retain(|file| !file.plan.is_empty());
        let not_found = if self.deletes_must_be_found { folded.not_found } else { vec![] };
        Ok(Plan { files, unfilled: folded.unfilled, not_found, ignored: folded.ignored, scope: Scope::Nothing })
    }

    /// The file groups that can hold a key of the share.
    fn candidates(&self, bucket: Option<u32>, slices: &[FileSlice]) -> Result<Vec<FileSlice>> {
        let (Some(wanted), Some(buckets)) = (bucket, self.buckets()) else {
            return Ok(slices.to_vec());
        };
        let mut candidates = vec![];
        for slice in slices {
            let bucket = slice.file_id.bucket().filter(|bucket| *bucket < buckets).ok_or_else(|| {
                let why =
                    format!("it does not begin with a bucket's number below {buckets}: want the table's own index");
                Error::refused(format!("file group {}", slice.file_id), why)
            })?;
            if bucket == wanted {
                candidates.push(slice.clone());
            }
        }
        match candidates.as_slice() {
            [] | [_] => Ok(candidates),
            [_, second, ..] => {
                let why = "a second file group of the same bucket: run a check";
                Err(Error::corrupt(second.file_id.to_string(), why))
            }
        }
    }

    async fn open(&self, partition: &str, slices: &[FileSlice]) -> Result<Vec<StoredFile>> {
        let opened = slices.iter().map(|slice| async move {
            let Some(base) = slice.base.as_ref().filter(|_| slice.logs.is_empty()) else {
                let what = format!("file group {} in `{partition}`", slice.file_id);
                return Err(Error::refused(what, "it has log files, and the table is copy-on-write"));
            };
            let path = layout::data_file(partition, &base.name.to_string());
            let footer = read_footer(self.store, &path, base.size_bytes).await?;
            Ok(StoredFile { slice: slice.clone(), footer })
        });
        futures::stream::iter(opened).buffered(self.compute.parallel().max(4)).try_collect().await
    }

    async fn look_up_all(&self, files: &[StoredFile], keys: &Arc<KeyTable>) -> Result<Vec<Found>> {
        let kind = match self.changes.orders {
            Orders::Long(_) => OrderKind::Long,
            Orders::Text(_) => OrderKind::Text,
        };
        let look_ups = files.iter().map(|file| look_up(self.store, &file.footer, Arc::clone(keys), kind, self.compute));
        futures::stream::iter(look_ups).buffered(self.compute.parallel()).try_collect().await
    }

    /// Gives every new row a file group.
    fn place(
        &self,
        partition: &str,
        bucket: Option<u32>,
        inserts: Vec<RowWrite>,
        files: &mut Vec<PlannedFile>,
    ) -> Result<()> {
        let Some(bucket) = bucket else {
            return self.place_in_small_files(partition, inserts, files);
        };
        if files.is_empty() && !inserts.is_empty() {
            let uuid = uuid_text(self.clock.unique_id());
            files.push(self.new_file(partition, FileId::in_bucket(bucket, &uuid).map_err(format)?));
        }
        if let Some(file) = files.first_mut() {
            file.plan.inserts = inserts;
        }
        Ok(())
    }

    /// Fills small files up to the target size, the smallest first, before it begins new ones.
    fn place_in_small_files(
        &self,
        partition: &str,
        inserts: Vec<RowWrite>,
        files: &mut Vec<PlannedFile>,
    ) -> Result<()> {
        let row_bytes = self.row_bytes(files);
        let mut small: BTreeMap<(u64, usize), u64> = BTreeMap::new();
        for (file, planned) in files.iter().enumerate() {
            let size = planned.stored.as_ref().map_or(0, |stored| stored.slice.size_bytes());
            let room = (self.target_file_bytes.saturating_sub(size) as f64 / row_bytes) as u64;
            if room > 0 {
                small.insert((size, file), room);
            }
        }
        let mut rows = inserts.into_iter().peekable();
        for ((_, file), room) in small {
            files[file].plan.inserts.extend(rows.by_ref().take(room as usize));
        }
        let per_file = ((self.target_file_bytes as f64 / row_bytes) as usize).max(1);
        while rows.peek().is_some() {
            let uuid = uuid_text(self.clock.unique_id());
            let mut file = self.new_file(partition, FileId::new(&uuid, 0).map_err(format)?);
            file.plan.inserts.extend(rows.by_ref().take(per_file));
            files.push(file);
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
        let columns = &self.changes.columns;
        (columns.get_array_memory_size() as f64 * ENCODED_SHARE / columns.num_rows().max(1) as f64).max(16.0)
    }

    fn new_file(&self, partition: &str, file_id: FileId) -> PlannedFile {
        PlannedFile { partition: partition.to_owned(), file_id, stored: None, plan: FilePlan::default() }
    }
}

/// Changes that are planned together: those of one partition, and of one bucket of it where there are buckets.
struct Share {
    partition: String,
    bucket: Option<u32>,
    rows: Vec<u32>,
}

/// The shares of the changes, by partition and bucket; each holds its changes in the order of their arrival.
fn shares(changes: &ChangeSet, buckets: Option<u32>, key_fields: &[String]) -> Vec<Share> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    // By the partition's number and the bucket.
    let mut rows_of: Vec<Vec<Vec<u32>>> = vec![];
    let mut last: Option<(&str, usize)> = None;
    for (row, key) in changes.keys.iter().enumerate() {
        let partition = changes.partitions.value(row);
        let number = match last {
            Some((name, number)) if name == partition => number,
            _ => *numbers.entry(partition).or_insert_with(|| {
                rows_of.push(vec![vec![]; buckets.unwrap_or(1) as usize]);
                rows_of.len() - 1
            }),
        };
        last = Some((partition, number));
        let bucket = buckets.map_or(0, |buckets| bucket_of(key.unwrap_or_default(), key_fields, buckets));
        rows_of[number][bucket as usize].push(row as u32);
    }
    let mut shares: Vec<Share> = vec![];
    for (partition, number) in numbers {
        let of_partition = std::mem::take(&mut rows_of[number]);
        for (bucket, rows) in of_partition.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let bucket = buckets.map(|_| bucket as u32);
            shares.push(Share { partition: partition.to_owned(), bucket, rows });
        }
    }
    shares.sort_by(|a, b| (&a.partition, a.bucket).cmp(&(&b.partition, b.bucket)));
    shares
}
