//! [`Calls`]: Glue's calls at the pace that Glue allows, within the sizes that it takes.
//!
//! Nobody publishes the rates. So the pace is found: each call that is throttled doubles the time between the starts of calls, each one
//! that is answered shortens it. What was throttled or went unanswered is tried again, with growing waits of random length.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::catalog::{
    Catalog, CatalogError, ErrorKind, Fetched, MAX_BATCH_DELETE, MAX_BATCH_GET, MAX_BATCH_WRITE, MAX_SEGMENTS,
    PageRequest, PartitionError, PartitionPage,
};
use crate::clock::Clock;
use crate::model::{Partition, StorageDescriptor, TableId};

/// How many calls are under way at once.
const CONCURRENT: usize = 4;
/// How many bytes of partitions one call carries, roughly; ours, no limit of Glue's is known.
const MAX_BATCH_BYTES: usize = 1 << 20;
const MAX_THROTTLED: u32 = 30;
const MAX_UNANSWERED: u32 = 6;
const FIRST_WAIT_MS: i64 = 50;
const LONGEST_WAIT_MS: i64 = 10_000;
const FIRST_GAP_MS: i64 = 20;
const LONGEST_GAP_MS: i64 = 2_000;

/// The calls of a catalog.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    pace: Mutex<Pace>,
}

/// A call under way.
type Call<'a, T> = BoxFuture<'a, Result<T, CatalogError>>;

/// How that call is made.
type BatchCall<T> = for<'a> fn(&'a dyn Catalog, &'a TableId, &'a [T]) -> Call<'a, Vec<PartitionError>>;

/// A call that writes several partitions.
struct Batch<T> {
    call: BatchCall<T>,
    values: fn(&T) -> &Vec<String>,
    /// What is as it should be then.
    fine: ErrorKind,
}

/// How far apart calls start.
#[derive(Debug, Default)]
struct Pace {
    gap_ms: i64,
    next_ms: i64,
    slowed_ms: Option<i64>,
}

impl Pace {
    /// How long the next call must wait.
    fn take(&mut self, now_ms: i64) -> i64 {
        let at = self.next_ms.max(now_ms);
        self.next_ms = at + self.gap_ms;
        at - now_ms
    }

    /// Calls that were under way together are throttled together, and slow down once.
    fn slow_down(&mut self, now_ms: i64) {
        if self.slowed_ms.is_some_and(|at| now_ms - at < self.gap_ms * 2) {
            return;
        }
        self.slowed_ms = Some(now_ms);
        self.gap_ms = (self.gap_ms * 2).clamp(FIRST_GAP_MS, LONGEST_GAP_MS);
        self.next_ms = self.next_ms.max(now_ms + self.gap_ms);
    }

    fn speed_up(&mut self) {
        self.gap_ms = self.gap_ms * 19 / 20;
    }
}

impl Calls {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, clock, pace: Mutex::default() }
    }

    /// One call, until it is answered. Dropped half-way, it may have been carried out or not.
    pub(crate) async fn run<'a, T>(&'a self, call: impl Fn(&'a dyn Catalog) -> Call<'a, T>) -> Result<T, CatalogError> {
        let (mut throttled, mut unanswered) = (0, 0);
        loop {
            let wait_ms = self.pace(|pace| pace.take(self.clock.now_ms()));
            if wait_ms > 0 {
                self.clock.sleep(wait_ms).await;
            }
            let error = match call(self.catalog.as_ref()).await {
                Ok(answer) => {
                    self.pace(Pace::speed_up);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            match error.kind {
                ErrorKind::Throttled if throttled < MAX_THROTTLED => {
                    throttled += 1;
                    self.pace(|pace| pace.slow_down(self.clock.now_ms()));
                    self.wait(throttled).await;
                }
                ErrorKind::Unavailable if unanswered < MAX_UNANSWERED => {
                    unanswered += 1;
                    self.wait(unanswered).await;
                }
                _ => return Err(error),
            }
            tracing::debug!(operation = error.operation, code = error.code, "Glue is asked again");
        }
    }

    /// Waits longer with each try, half of it by chance.
    pub(crate) async fn wait(&self, tries: u32) {
        let longest = FIRST_WAIT_MS.saturating_mul(1 << tries.min(16)).min(LONGEST_WAIT_MS);
        let half = longest / 2;
        let chance = (self.clock.unique_id() >> 64) as u64 % half.max(1).unsigned_abs();
        self.clock.sleep(half + i64::try_from(chance).unwrap_or(half)).await;
    }

    fn pace<T>(&self, change: impl FnOnce(&mut Pace) -> T) -> T {
        change(&mut self.pace.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the partitions; what is there already is in the answer.
    pub(crate) async fn create_partitions(
        &self,
        table: &TableId,
        places: &[Place],
        storage: &StorageDescriptor,
    ) -> Result<HashSet<Vec<String>>, CatalogError> {
        let batch = Batch {
            call: |catalog, table, partitions| catalog.batch_create_partition(table, partitions),
            values: |partition: &Partition| &partition.values,
            fine: ErrorKind::AlreadyExists,
        };
        let chunks = places.chunks(batch_size(storage));
        let chunks = chunks.map(|places| places.iter().map(|place| place.partition(storage)).collect());
        self.write_all(table, chunks, &batch).await
    }

    /// Replaces the partitions; those that are not there any more are in the answer.
    pub(crate) async fn update_partitions(
        &self,
        table: &TableId,
        partitions: &[Partition],
        storage: &StorageDescriptor,
    ) -> Result<HashSet<Vec<String>>, CatalogError> {
        let batch = Batch {
            call: |catalog, table, partitions| catalog.batch_update_partition(table, partitions),
            values: |partition: &Partition| &partition.values,
            fine: ErrorKind::NotFound,
        };
        let chunks = partitions.chunks(batch_size(storage)).map(<[Partition]>::to_vec);
        self.write_all(table, chunks, &batch).await
    }

    /// Removes the partitions; those that were not there are in the answer.
    pub(crate) async fn delete_partitions(
        &self,
        table: &TableId,
        values: &[Vec<String>],
    ) -> Result<HashSet<Vec<String>>, CatalogError> {
        let batch = Batch {
            call: |catalog, table, values| catalog.batch_delete_partition(table, values),
            values: |values: &Vec<String>| values,
            fine: ErrorKind::NotFound,
        };
        let chunks = values.chunks(MAX_BATCH_DELETE).map(<[Vec<String>]>::to_vec);
        self.write_all(table, chunks, &batch).await
    }

    /// Several calls side by side; the answer has the partitions that failed in the one way that is fine.
    async fn write_all<T: Send + Sync>(
        &self,
        table: &TableId,
        chunks: impl Iterator<Item = Vec<T>> + Send,
        batch: &Batch<T>,
    ) -> Result<HashSet<Vec<String>>, CatalogError> {
        let calls = chunks.map(|items| self.write(table, items, batch));
        let settled: Vec<HashSet<_>> = stream::iter(calls).buffer_unordered(CONCURRENT).try_collect().await?;
        Ok(settled.into_iter().flatten().collect())
    }

    async fn write<T: Send + Sync>(
        &self,
        table: &TableId,
        mut items: Vec<T>,
        batch: &Batch<T>,
    ) -> Result<HashSet<Vec<String>>, CatalogError> {
        let (mut settled, mut round) = (HashSet::new(), 1);
        loop {
            let errors = self.run(|catalog| (batch.call)(catalog, table, &items)).await?;
            let again = settle(errors, round, batch.fine, &mut settled)?;
            if again.is_empty() {
                return Ok(settled);
            }
            items.retain(|item| again.contains((batch.values)(item)));
            self.wait(round).await;
            round += 1;
        }
    }

    /// Those of the partitions that are there, columns included.
    pub(crate) async fn fetch_partitions(
        &self,
        table: &TableId,
        values: &[Vec<String>],
    ) -> Result<Vec<Partition>, CatalogError> {
        let batches = values.chunks(MAX_BATCH_GET).map(|values| async move {
            let (mut wanted, mut found, mut round) = (values.to_vec(), Vec::new(), 0);
            while !wanted.is_empty() {
                let fetched = self.fetch(table, &wanted).await?;
                found.extend(fetched.partitions);
                if fetched.unprocessed.len() == wanted.len() {
                    round += 1;
                    if round > MAX_UNANSWERED {
                        return Err(CatalogError::unanswered("BatchGetPartition", "no partition was looked for"));
                    }
                    self.wait(round).await;
                }
                wanted = fetched.unprocessed;
            }
            Ok(found)
        });
        let found: Vec<Vec<Partition>> = stream::iter(batches).buffer_unordered(CONCURRENT).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn fetch(&self, table: &TableId, values: &[Vec<String>]) -> Result<Fetched, CatalogError> {
        self.run(|catalog| catalog.batch_get_partition(table, values)).await
    }

    /// All partitions, each handed to `keep`: side by side where one page does not hold them.
    pub(crate) async fn list_partitions<T: Send>(
        &self,
        table: &TableId,
        exclude_columns: bool,
        keep: impl Fn(Partition) -> T + Sync,
    ) -> Result<Vec<T>, CatalogError> {
        let first = PageRequest { exclude_columns, ..PageRequest::default() };
        let page = self.run(|catalog| catalog.get_partitions(table, &first)).await?;
        if page.next_token.is_none() {
            return Ok(page.partitions.into_iter().map(keep).collect());
        }
        drop(page);
        let keep = &keep;
        let segments = (0..MAX_SEGMENTS).map(|segment| async move {
            let segment = Some((segment, MAX_SEGMENTS));
            let (mut request, mut kept) = (PageRequest { segment, exclude_columns, next_token: None }, Vec::new());
            loop {
                let page = self.page(table, &request).await?;
                kept.extend(page.partitions.into_iter().map(keep));
                request.next_token = page.next_token;
                if request.next_token.is_none() {
                    return Ok(kept);
                }
            }
        });
        let kept: Vec<Vec<T>> = stream::iter(segments).buffer_unordered(CONCURRENT).try_collect().await?;
        Ok(kept.into_iter().flatten().collect())
    }

    async fn page(&self, table: &TableId, request: &PageRequest) -> Result<PartitionPage, CatalogError> {
        self.run(|catalog| catalog.get_partitions(table, request)).await
    }
}

/// Sorts what failed: what is as wanted goes to `settled`, the answer must be tried again, everything else is an error.
fn settle(
    errors: Vec<PartitionError>,
    round: u32,
    fine: ErrorKind,
    settled: &mut HashSet<Vec<String>>,
) -> Result<HashSet<Vec<String>>, CatalogError> {
    let mut again = HashSet::new();
    for PartitionError { values, mut error } in errors {
        match error.kind {
            kind if kind == fine => drop(settled.insert(values)),
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict if round <= MAX_UNANSWERED => {
                again.insert(values);
            }
            _ => {
                error.message = format!("partition ({}): {}", values.join(", "), error.message);
                return Err(error);
            }
        }
    }
    Ok(again)
}

/// How many partitions of this storage go with one call.
fn batch_size(storage: &StorageDescriptor) -> usize {
    let columns = storage
        .columns
        .iter()
        .map(|column| column.name.len() + column.type_text.len() + column.comment.as_ref().map_or(0, String::len) + 40);
    let bytes = columns.sum::<usize>() + 2_000;
    (MAX_BATCH_BYTES / bytes).clamp(1, MAX_BATCH_WRITE)
}

/// Where a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its path in the table.
    pub(crate) path: String,
    /// One value a key.
    pub(crate) values: Vec<String>,
    /// Its folder.
    pub(crate) location: String,
}

impl Place {
    fn partition(&self, storage: &StorageDescriptor) -> Partition {
        crate::desired::partition(self.values.clone(), self.location.clone(), storage)
    }
}
