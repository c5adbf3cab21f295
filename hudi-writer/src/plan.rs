//! From changes to file plans: keys are looked up, folded, and routed to file groups.
//!
//! Decides everything before anything is written. Not here: what becomes of a row ([`crate::fold`]), which file takes a new
//! one ([`crate::placing`]), the timeline, and the files' bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, take_record_batch};
use futures::{StreamExt, TryStreamExt};
use hudi_core::bucket::bucket_of;
use hudi_core::change::{Op, OrderKind, columns};
use hudi_core::file_slice::FileSlice;
use hudi_core::key::KeySpec;
use hudi_core::layout;
use hudi_core::merge::{Orders, Override, RowRef};

use crate::changes::{ChangeSet, KeyTable, RowWrite};
use crate::clearing::{Left, left_of};
use crate::clock::Clock;
use crate::commit::Scope;
use crate::compute::Compute;
use crate::cow::Edit;
use crate::error::{Error, Result};
use crate::file::{BatchReader, align, read_footer};
use crate::fold::{Carried, Folded, Folding, Home, fold};
use crate::images::{Images, Told};
use crate::index::{Found, look_up};
use crate::placing::{Placing, small_file_bytes};
pub(crate) use crate::placing::{PlannedFile, StoredFile};
use crate::settings::{Index, Mode};
use crate::store::TableStore;
use crate::table::Table;
use crate::truncation::Truncation;

/// Partitions that are listed at a time.
const LISTINGS_AT_A_TIME: usize = 8;

/// What the planning of all changes shares.
pub(crate) struct Planner<'a> {
    pub(crate) store: &'a TableStore,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) compute: &'a Compute,
    pub(crate) changes: &'a Arc<ChangeSet>,
    pub(crate) index: Index,
    pub(crate) keys: &'a KeySpec,
    pub(crate) mode: Mode,
    pub(crate) target_file_bytes: u64,
    /// The column of `_cdc_order` among the changes' columns.
    pub(crate) order_column: usize,
    /// A delete whose row is not where it says is told: the partition is not part of the key.
    pub(crate) deletes_must_be_found: bool,
    /// Stored rows that it covers are no more: nothing is folded onto them, and they are removed.
    pub(crate) truncation: Option<&'a Truncation>,
    /// A column outgrew the files that there are: all are written anew.
    pub(crate) has_outgrown: bool,
}

/// What a commit will do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) files: Vec<PlannedFile>,
    /// Changes that lack columns which stand nowhere.
    pub(crate) unfilled: Vec<u32>,
    /// Deletes whose row is not in the partition that they name.
    pub(crate) not_found: Vec<u32>,
    /// Deletes, in a table without a key, whose image is that of no row.
    pub(crate) unmatched: Vec<u32>,
    /// How many changes were older than what they met.
    pub(crate) ignored: u64,
    /// The file groups that are replaced by nothing, by partition.
    pub(crate) replaced: BTreeMap<String, Vec<String>>,
    /// The rows in them.
    pub(crate) replaced_rows: u64,
    /// What was looked at.
    pub(crate) scope: Scope,
}

impl Plan {
    /// Adds what the plan of another share says; the scope stays.
    fn add(mut self, other: Self) -> Self {
        self.files.extend(other.files);
        self.unfilled.extend(other.unfilled);
        self.not_found.extend(other.not_found);
        self.ignored += other.ignored;
        self
    }
}

impl Planner<'_> {
    /// Plans all changes.
    pub(crate) async fn plan_all(&self, table: &Table) -> Result<Plan> {
        let (changes, buckets) = (Arc::clone(self.changes), self.buckets());
        let fields = self.keys.record_key_fields.clone();
        let shares = self.compute.run(move || Ok(shares(&changes, buckets, &fields))).await?;
        let mut cleared = Cleared::default();
        let slices = match self.truncation {
            Some(truncation) => self.clear(table.slices().await?, truncation, &mut cleared).await?,
            None if self.index == Index::GlobalSimple => table.slices().await?,
            None => slices_of(table, &shares).await?,
        };
        let mut plan = match self.index {
            Index::GlobalSimple => self.plan_globally(&slices, &cleared).await?,
            Index::Simple if self.tells_rows_by_image() => self.plan_by_image(shares, &slices, &cleared).await?,
            Index::Simple | Index::Bucket(_) => self.plan_shares(shares, &slices, &cleared).await?,
        };
        plan.ignored += self.changes.covered;
        if self.truncation.is_some() {
            plan.scope = Scope::Table;
            cleared.add_to(&mut plan, self.mark());
        }
        if self.has_outgrown {
            self.add_all_others(table, &mut plan).await?;
        }
        Ok(plan)
    }

    /// Adds the files that nothing changes in, to be written in the columns of now.
    async fn add_all_others(&self, table: &Table, plan: &mut Plan) -> Result<()> {
        let all = table.slices().await?;
        let planned: HashSet<(String, String)> = plan.files.iter().map(PlannedFile::place).collect();
        let is_planned = |partition: &str, id: &str| {
            let replaced = plan.replaced.get(partition);
            planned.contains(&(partition.to_owned(), id.to_owned()))
                || replaced.is_some_and(|ids| ids.iter().any(|of| of == id))
        };
        let others = all.iter().flat_map(|(partition, slices)| {
            let others = slices.iter().filter(|slice| !is_planned(partition, &slice.file_id.to_string()));
            others.map(|slice| (partition.as_str(), slice))
        });
        let others = self.open(others.collect()).await?;
        plan.files.extend(others);
        plan.files.sort_by(|a, b| a.partition.cmp(&b.partition));
        plan.scope = Scope::Table;
        Ok(())
    }

    /// Takes out what a truncate covers: the file groups that are left.
    async fn clear(&self, mut slices: Slices, truncation: &Truncation, cleared: &mut Cleared) -> Result<Slices> {
        let all = slices.iter().flat_map(|(partition, slices)| slices.iter().map(|slice| (partition.as_str(), slice)));
        let looks = self.open(all.collect()).await?.into_iter().map(|file| async move {
            let left = match &file.stored {
                Some(stored) => {
                    let keeps_deleted = self.mode == Mode::SoftDelete;
                    left_of(self.store, self.compute, &stored.footer, truncation, keeps_deleted).await?
                }
                None => Left::All,
            };
            Ok::<_, Error>((file, left))
        });
        let looks: Vec<_> =
            futures::stream::iter(looks.collect::<Vec<_>>()).buffered(self.compute.parallel()).try_collect().await?;
        for (file, left) in looks {
            match left {
                Left::All => {}
                Left::Without(rows) => drop(cleared.rewritten.insert(file.place(), (file, rows.into()))),
                Left::Nothing => {
                    if let Some(slices) = slices.get_mut(&file.partition) {
                        slices.retain(|slice| slice.file_id != file.file_id);
                    }
                    cleared.replace(file);
                }
            }
        }
        Ok(slices)
    }

    /// Plans the changes share by share, several of them at a time.
    async fn plan_shares(&self, shares: Vec<Share>, slices: &Slices, cleared: &Cleared) -> Result<Plan> {
        let only_adds = self.keys.is_keyless() || self.mode == Mode::History;
        // Nothing is looked for where nothing can be found.
        let scope = if only_adds { Scope::Nothing } else { scope_of(&shares) };
        let plans = shares.into_iter().map(|share| async move {
            let slices = slices.get(&share.partition).map(Vec::as_slice).unwrap_or_default();
            match only_adds {
                true => self.plan_new_rows(share, slices).await,
                false => self.plan_share(share, slices, cleared).await,
            }
        });
        let plans = futures::stream::iter(plans.collect::<Vec<_>>()).buffered(self.compute.parallel());
        plans.try_fold(Plan { scope, ..Plan::default() }, |all, one| async { Ok(all.add(one)) }).await
    }

    pub(crate) fn buckets(&self) -> Option<u32> {
        match self.index {
            Index::Bucket(buckets) => Some(buckets.get()),
            Index::Simple | Index::GlobalSimple => None,
        }
    }

    /// Plans one share of the changes; `slices` are the file groups of its partition.
    async fn plan_share(&self, share: Share, slices: &[FileSlice], cleared: &Cleared) -> Result<Plan> {
        let Share { partition, bucket, rows } = share;
        let candidates = self.candidates(bucket, slices)?;
        let mut files = self.open(candidates.iter().map(|slice| (partition.as_str(), slice)).collect()).await?;
        let mut folded = self.fold_onto(&mut files, rows, Routing::Here(partition.clone()), cleared).await?;
        let inserts = folded.inserts.remove(&partition).unwrap_or_default();
        match bucket {
            Some(bucket) => self.placing().in_bucket(&partition, bucket, inserts, &mut files)?,
            None => self.placing().in_small_files(&partition, inserts, &mut files)?,
        }
        Ok(self.planned(files, folded))
    }

    /// Plans a share of a table in which every change is a new row.
    async fn plan_new_rows(&self, share: Share, slices: &[FileSlice]) -> Result<Plan> {
        let Share { partition, rows, .. } = share;
        let small = slices.iter().filter(|slice| slice.size_bytes() < small_file_bytes(self.target_file_bytes));
        let mut files = self.open(small.map(|slice| (partition.as_str(), slice)).collect()).await?;
        let masks: Vec<&BooleanBuffer> = self.changes.unsent.iter().flatten().collect();
        let is_new = |row: &u32| self.changes.ops[*row as usize] == Op::Upsert;
        let is_whole = |row: &u32| is_new(row) || masks.iter().all(|mask| !mask.value(*row as usize));
        let (whole, unfilled): (Vec<u32>, Vec<u32>) = rows.into_iter().partition(is_whole);
        let inserts = whole.into_iter().map(|image| RowWrite { image, overrides: Box::default() }).collect();
        self.placing().in_small_files(&partition, inserts, &mut files)?;
        let makes_keys = self.keys.is_keyless();
        files.iter_mut().for_each(|file| file.plan.makes_keys = makes_keys);
        files.retain(|file| !file.plan.is_empty());
        Ok(Plan { files, unfilled, ..Plan::default() })
    }

    /// Whether there is a change of a row that has no key.
    fn tells_rows_by_image(&self) -> bool {
        self.keys.is_keyless() && self.mode != Mode::History && self.changes.ops.contains(&Op::Delete)
    }

    /// Plans all changes of a table without a key together: a row may leave one partition for another.
    async fn plan_by_image(&self, shares: Vec<Share>, slices: &Slices, cleared: &Cleared) -> Result<Plan> {
        let deletes = |share: &Share| share.rows.iter().any(|row| self.changes.ops[*row as usize] == Op::Delete);
        let looked_into: BTreeSet<String> =
            shares.iter().filter(|share| deletes(share)).map(|share| share.partition.clone()).collect();
        let small = |slice: &FileSlice| slice.size_bytes() < small_file_bytes(self.target_file_bytes);
        let of_shares = shares.iter().flat_map(|share| {
            let is_asked = looked_into.contains(&share.partition);
            let slices = slices.get(&share.partition).into_iter().flatten();
            slices.filter(move |slice| is_asked || small(slice)).map(|slice| (share.partition.as_str(), slice))
        });
        let mut files = self.open(of_shares.collect()).await?;
        let mut told = self.tell(&files, &looked_into, cleared).await?;
        let mut by_partition: BTreeMap<String, Vec<PlannedFile>> = BTreeMap::new();
        for (mut file, edits) in files.drain(..).zip(std::mem::take(&mut told.edits)) {
            file.plan.edits = edits;
            by_partition.entry(file.partition.clone()).or_default().push(file);
        }
        let mut inserts: BTreeMap<String, Vec<RowWrite>> = BTreeMap::new();
        for write in std::mem::take(&mut told.inserts) {
            let partition = self.changes.partitions.value(write.image as usize);
            inserts.entry(partition.to_owned()).or_default().push(write);
        }
        for (partition, inserts) in inserts {
            let files = by_partition.entry(partition.clone()).or_default();
            self.placing().in_small_files(&partition, inserts, files)?;
        }
        let mut files: Vec<PlannedFile> = by_partition.into_values().flatten().collect();
        files.iter_mut().for_each(|file| file.plan.makes_keys = true);
        files.retain(|file| !file.plan.is_empty());
        let Told { unmatched, unfilled, .. } = told;
        Ok(Plan { files, unmatched, unfilled, scope: Scope::Partitions(looked_into), ..Plan::default() })
    }

    /// What becomes of changes that tell their rows by images, looked for in the files of these partitions.
    async fn tell(&self, files: &[PlannedFile], partitions: &BTreeSet<String>, cleared: &Cleared) -> Result<Told> {
        let changes = Arc::clone(self.changes);
        let images = self.compute.run(move || Ok(Arc::new(Images::of(&changes)?))).await?;
        let searches = files.iter().map(|file| {
            let images = &images;
            async move {
                let Some(stored) = file.stored.as_ref().filter(|_| partitions.contains(&file.partition)) else {
                    return Ok(vec![]);
                };
                let covered = cleared.rewritten.get(&file.place()).map(|(_, rows)| Arc::clone(rows));
                images.find(self.store, self.compute, &stored.footer, covered).await
            }
        });
        let searches = futures::stream::iter(searches.collect::<Vec<_>>()).buffered(self.compute.parallel());
        let found: Vec<_> = searches.try_collect().await?;
        let changes = Arc::clone(self.changes);
        self.compute.run(move || Ok(images.tell(&changes, &found))).await
    }

    /// Plans all changes together: a key may stand in any partition, and its row may end in another.
    async fn plan_globally(&self, slices: &Slices, cleared: &Cleared) -> Result<Plan> {
        let slices =
            slices.iter().flat_map(|(partition, slices)| slices.iter().map(|slice| (partition.as_str(), slice)));
        let mut files = self.open(slices.collect()).await?;
        let schema = self.changes.columns.schema_ref();
        let columns = self.keys.partition_fields.iter().map(|name| schema.index_of(name));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(Error::columns("plan", "partitions"))?;
        let rows = self.changes.rows().collect();
        let mut folded = self.fold_onto(&mut files, rows, Routing::ByColumns(columns), cleared).await?;
        let carried = self.read_carried(&folded.carried, &files).await?;
        let mut by_partition: BTreeMap<String, Vec<PlannedFile>> = BTreeMap::new();
        for file in files {
            by_partition.entry(file.partition.clone()).or_default().push(file);
        }
        for (partition, inserts) in std::mem::take(&mut folded.inserts) {
            let files = by_partition.entry(partition.clone()).or_default();
            self.placing().in_small_files(&partition, inserts, files)?;
            let inserted = files.iter_mut().filter(|file| !file.plan.inserts.is_empty());
            inserted.for_each(|file| file.plan.carried.clone_from(&carried));
        }
        let plan = self.planned(by_partition.into_values().flatten().collect(), folded);
        Ok(Plan { scope: Scope::Table, ..plan })
    }

    /// What stored rows become that a truncate covers, where they are kept.
    fn mark(&self) -> Option<RowWrite> {
        let image = self.changes.mark?;
        let schema = self.changes.columns.schema_ref();
        let own = schema.fields().iter().enumerate().filter(|(_, field)| !columns::is_ours(field.name()));
        let overrides = own.map(|(column, _)| Override { column, from: RowRef::Stored }).collect();
        Some(RowWrite { image, overrides })
    }

    fn placing(&self) -> Placing<'_> {
        let Self { clock, target_file_bytes, .. } = *self;
        Placing { clock, target_file_bytes, columns: &self.changes.columns }
    }

    fn planned(&self, mut files: Vec<PlannedFile>, folded: Folded) -> Plan {
        files.retain(|file| !file.plan.is_empty());
        let not_found = if self.deletes_must_be_found { folded.not_found } else { vec![] };
        Plan { files, unfilled: folded.unfilled, not_found, ignored: folded.ignored, ..Plan::default() }
    }

    /// Folds changes onto what is stored of their keys in these files, which get their edits.
    async fn fold_onto(
        &self,
        files: &mut [PlannedFile],
        rows: Vec<u32>,
        routing: Routing,
        cleared: &Cleared,
    ) -> Result<Folded> {
        let changes = Arc::clone(self.changes);
        let keys = self.compute.run(move || Ok(Arc::new(KeyTable::new(&changes.keys, rows)))).await?;
        let mut found = self.look_up_all(files, &keys).await?;
        for (found, file) in found.iter_mut().zip(files.iter()) {
            found.covered = cleared.rewritten.get(&file.place()).map(|(_, rows)| Arc::clone(rows));
        }
        let partitions: Vec<String> = files.iter().map(|file| file.partition.clone()).collect();
        let (changes, order_column, mode) = (Arc::clone(self.changes), self.order_column, self.mode);
        let must_be_found = self.deletes_must_be_found;
        let work = move || {
            let home = match &routing {
                Routing::Here(partition) => Home::Partition(partition),
                Routing::ByColumns(columns) => Home::ByRow { columns, files: &partitions },
            };
            let keeps_deleted = mode == Mode::SoftDelete;
            let found = &found;
            fold(&Folding { changes: &changes, keys: &keys, found, home, order_column, keeps_deleted, must_be_found })
        };
        let mut folded = self.compute.run(work).await?;
        for (file, edits) in files.iter_mut().zip(std::mem::take(&mut folded.edits)) {
            file.plan.edits = edits;
        }
        Ok(folded)
    }

    /// The file groups that can hold a key of the share.
    pub(crate) fn candidates(&self, bucket: Option<u32>, slices: &[FileSlice]) -> Result<Vec<FileSlice>> {
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

    /// Reads the footers of these file groups, each with its partition.
    pub(crate) async fn open(&self, slices: Vec<(&str, &FileSlice)>) -> Result<Vec<PlannedFile>> {
        let opened = slices.into_iter().map(|(partition, slice)| async move {
            let Some(base) = slice.base.as_ref().filter(|_| slice.logs.is_empty()) else {
                let what = format!("file group {} in `{partition}`", slice.file_id);
                return Err(Error::refused(what, "it has log files, and the table is copy-on-write"));
            };
            let path = layout::data_file(partition, &base.name.to_string());
            let footer = read_footer(self.store, &path, base.size_bytes).await?;
            Ok(PlannedFile::of(partition, StoredFile { slice: slice.clone(), footer }))
        });
        futures::stream::iter(opened.collect::<Vec<_>>()).buffered(self.compute.parallel().max(4)).try_collect().await
    }

    /// What every file holds of the keys, in the order of the files.
    pub(crate) async fn look_up_all(&self, files: &[PlannedFile], keys: &Arc<KeyTable>) -> Result<Vec<Found>> {
        let kind = match self.changes.orders {
            Orders::Long(_) => OrderKind::Long,
            Orders::Text(_) => OrderKind::Text,
        };
        let stored = files.iter().filter_map(|file| file.stored.as_ref());
        let look_ups = stored.map(|file| look_up(self.store, &file.footer, Arc::clone(keys), kind, self.compute));
        futures::stream::iter(look_ups.collect::<Vec<_>>()).buffered(self.compute.parallel()).try_collect().await
    }

    /// The stored rows that inserted ones take values from, in the changes' columns; those that nobody takes are null.
    pub(crate) async fn read_carried(&self, carried: &Carried, files: &[PlannedFile]) -> Result<Option<RecordBatch>> {
        if carried.rows.is_empty() {
            return Ok(None);
        }
        let schema = self.changes.columns.schema_ref();
        let names: Vec<&str> = carried.columns.iter().map(|column| schema.field(*column).name().as_str()).collect();
        let mut by_place: Vec<(usize, u64, usize)> =
            carried.rows.iter().enumerate().map(|(number, (file, row))| (*file, *row, number)).collect();
        by_place.sort_unstable();
        let mut batches = vec![];
        for of_file in by_place.chunk_by(|a, b| a.0 == b.0) {
            let Some(stored) = &files[of_file[0].0].stored else { continue };
            let rows: Vec<u64> = of_file.iter().map(|(_, row, _)| *row).collect();
            let mut reader = BatchReader::of_rows(self.store, &stored.footer, &names, &rows, self.compute)?;
            while let Some(batch) = reader.next().await? {
                batches.push(align(&batch, schema, &stored.footer.path)?);
            }
        }
        let failed = || Error::columns("read", "rows that move");
        let all = concat_batches(schema, &batches).map_err(failed())?;
        let mut places = vec![0; by_place.len()];
        by_place.iter().zip(0..).for_each(|((_, _, number), place)| places[*number] = place);
        take_record_batch(&all, &UInt32Array::from(places)).map_err(failed()).map(Some)
    }
}

/// File groups by partition.
type Slices = BTreeMap<String, Vec<FileSlice>>;

/// What a truncate does to stored rows.
#[derive(Debug, Default)]
struct Cleared {
    /// Files of which some rows go: each with their numbers, in ascending order.
    rewritten: BTreeMap<(String, String), Rewritten>,
    /// File groups of which all rows go, by partition.
    replaced: BTreeMap<String, Vec<String>>,
    replaced_rows: u64,
}

/// A file of which these rows go.
type Rewritten = (PlannedFile, Arc<[u64]>);

impl Cleared {
    fn replace(&mut self, file: PlannedFile) {
        self.replaced_rows += file.stored.as_ref().map_or(0, |stored| stored.footer.rows());
        self.replaced.entry(file.partition).or_default().push(file.file_id.to_string());
    }

    /// Adds to a plan what the truncate asks for beside the changes: rows go, or are marked.
    fn add_to(mut self, plan: &mut Plan, mark: Option<RowWrite>) {
        let edits = |rows: &[u64]| rows.iter().map(|row| Edit { row: *row, write: mark.clone() }).collect::<Vec<_>>();
        for file in &mut plan.files {
            if let Some((_, rows)) = self.rewritten.remove(&file.place()) {
                // A change of the row knows of the mark.
                let is_changed = |edit: &Edit| file.plan.edits.binary_search_by_key(&edit.row, |edit| edit.row).is_ok();
                let more: Vec<Edit> = edits(&rows).into_iter().filter(|edit| !is_changed(edit)).collect();
                file.plan.edits.extend(more);
                file.plan.edits.sort_unstable_by_key(|edit| edit.row);
            }
        }
        for (mut file, rows) in self.rewritten.into_values() {
            file.plan.edits = edits(&rows);
            plan.files.push(file);
        }
        plan.files.sort_by(|a, b| a.partition.cmp(&b.partition));
        (plan.replaced, plan.replaced_rows) = (self.replaced, self.replaced_rows);
    }
}

/// Where folded rows belong.
enum Routing {
    /// In this partition.
    Here(String),
    /// Where these columns say.
    ByColumns(Vec<usize>),
}

/// The file groups of the shares' partitions.
async fn slices_of(table: &Table, shares: &[Share]) -> Result<Slices> {
    let mut partitions: Vec<&str> = shares.iter().map(|share| share.partition.as_str()).collect();
    partitions.dedup();
    // Futures are collected, here and elsewhere, so that no closure is held while they are waited for: what is returned could
    // not be sent to another thread.
    let slices = partitions
        .into_iter()
        .map(|partition| async move { Ok::<_, Error>((partition.to_owned(), table.slices_of(partition).await?)) });
    let slices = futures::stream::iter(slices.collect::<Vec<_>>()).buffer_unordered(LISTINGS_AT_A_TIME);
    Ok(slices.try_collect::<Vec<_>>().await?.into_iter().collect())
}

fn scope_of(shares: &[Share]) -> Scope {
    let buckets: Option<BTreeSet<(String, u32)>> =
        shares.iter().map(|share| Some((share.partition.clone(), share.bucket?))).collect();
    match buckets.filter(|buckets| !buckets.is_empty()) {
        Some(buckets) => Scope::Buckets(buckets),
        None => Scope::Partitions(shares.iter().map(|share| share.partition.clone()).collect()),
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
    for change in changes.rows() {
        let row = change as usize;
        let (key, partition) = (changes.keys.value(row), changes.partitions.value(row));
        let number = match last {
            Some((name, number)) if name == partition => number,
            _ => *numbers.entry(partition).or_insert_with(|| {
                rows_of.push(vec![vec![]; buckets.unwrap_or(1) as usize]);
                rows_of.len() - 1
            }),
        };
        last = Some((partition, number));
        let bucket = buckets.map_or(0, |buckets| bucket_of(key, key_fields, buckets));
        rows_of[number][bucket as usize].push(change);
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
