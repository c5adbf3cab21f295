//! [`RequestCounts`]: how many requests a store was asked for, by kind; and the wrapper that counts them.

use std::fmt;
use std::ops::{Range, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// S3 answers a list with at most so many keys and folders at once, and deletes so many at most.
pub(super) const KEYS_A_REQUEST: u64 = 1000;

/// How many requests a table's store was asked for, by kind.
///
/// What is counted is what S3 bills: a list as one request for each 1,000 keys and folders of its answer (at least one),
/// a delete as one for up to 1,000 objects on S3, neighbouring ranges that are fetched together as one. Other stores are
/// counted alike, but for deletes: one an object. Requests that the store repeats after a failure of its own, those that
/// go on with a broken answer, and those for credentials are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestCounts {
    /// Reads of an object or of a part of it.
    pub gets: u64,
    /// Reads of an object's size alone.
    pub heads: u64,
    /// Writes of a whole object, whatever is there.
    pub puts: u64,
    /// Writes of a whole object that must not be there.
    pub creates: u64,
    /// Writes of a whole object that must be there as it was read.
    pub updates: u64,
    /// Pages of lists.
    pub lists: u64,
    /// Deletes.
    pub deletes: u64,
    /// Begins of objects that come in parts.
    pub upload_begins: u64,
    /// Parts of objects.
    pub parts: u64,
    /// Ends of objects that come in parts, given up ones among them.
    pub upload_ends: u64,
    /// Copies within the store.
    pub copies: u64,
}

impl RequestCounts {
    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.fields().iter().sum()
    }

    fn fields(&self) -> [u64; KINDS] {
        let Self { gets, heads, puts, creates, updates, lists, deletes, upload_begins, parts, upload_ends, copies } =
            *self;
        [gets, heads, puts, creates, updates, lists, deletes, upload_begins, parts, upload_ends, copies]
    }

    fn of(fields: [u64; KINDS]) -> Self {
        let [gets, heads, puts, creates, updates, lists, deletes, upload_begins, parts, upload_ends, copies] = fields;
        Self { gets, heads, puts, creates, updates, lists, deletes, upload_begins, parts, upload_ends, copies }
    }
}

impl Sub for RequestCounts {
    type Output = Self;

    /// What came since `earlier`; nothing falls below zero.
    fn sub(self, earlier: Self) -> Self {
        let (mut since, earlier) = (self.fields(), earlier.fields());
        for (field, before) in since.iter_mut().zip(earlier) {
            *field = field.saturating_sub(before);
        }
        Self::of(since)
    }
}

const KINDS: usize = 11;

/// The kinds, in the order of the fields of [`RequestCounts`].
#[derive(Debug, Clone, Copy)]
enum Kind {
    Get,
    Head,
    Put,
    Create,
    Update,
    List,
    Delete,
    UploadBegin,
    Part,
    UploadEnd,
    Copy,
}

/// The counts as they grow; shared by all that use one store.
#[derive(Debug, Default)]
pub(super) struct Counters([AtomicU64; KINDS]);

impl Counters {
    fn add(&self, kind: Kind, requests: u64) {
        if let Some(counter) = self.0.get(kind as usize) {
            counter.fetch_add(requests, Ordering::Relaxed);
        }
    }

    /// The counts now.
    pub(super) fn now(&self) -> RequestCounts {
        RequestCounts::of(self.0.each_ref().map(|counter| counter.load(Ordering::Relaxed)))
    }
}

/// Passes everything on to another store, and counts it.
#[derive(Debug)]
pub(super) struct CountedStore {
    inner: Arc<dyn ObjectStore>,
    counters: Arc<Counters>,
    keys_a_delete: u64,
}

impl CountedStore {
    /// Counts the requests to a store that deletes up to `keys_a_delete` objects at once.
    pub(super) fn new(inner: Arc<dyn ObjectStore>, counters: Arc<Counters>, keys_a_delete: u64) -> Self {
        Self { inner, counters, keys_a_delete }
    }

    fn count(&self, kind: Kind) {
        self.counters.add(kind, 1);
    }

    /// Counts a list's pages as its entries come.
    fn counted_list(&self, entries: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count(Kind::List);
        let counters = Arc::clone(&self.counters);
        let count = move |(at, entry)| {
            if begins_a_page(at, KEYS_A_REQUEST) && at > 0 {
                counters.add(Kind::List, 1);
            }
            entry
        };
        numbered(entries).map(count).boxed()
    }
}

/// Whether the entry of this number, from zero on, is the first of a request.
fn begins_a_page(at: u64, entries_a_request: u64) -> bool {
    at.is_multiple_of(entries_a_request)
}

fn numbered<T: Send + 'static>(entries: BoxStream<'static, T>) -> impl futures::Stream<Item = (u64, T)> + Send {
    entries.zip(futures::stream::iter(0..)).map(|(entry, at)| (at, entry))
}

/// How many requests fetch the ranges: those less than a megabyte apart come together.
fn fetches(ranges: &[Range<u64>]) -> u64 {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.start);
    let (mut fetches, mut end) = (0, None::<u64>);
    for range in sorted {
        if end.is_none_or(|end| range.start > end.saturating_add(OBJECT_STORE_COALESCE_DEFAULT)) {
            fetches += 1;
        }
        end = end.max(Some(range.end));
    }
    fetches
}

impl fmt::Display for CountedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for CountedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.count(match options.mode {
            PutMode::Overwrite => Kind::Put,
            PutMode::Create => Kind::Create,
            PutMode::Update(_) => Kind::Update,
        });
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.count(Kind::UploadBegin);
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(CountedUpload { inner, counters: Arc::clone(&self.counters) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.count(if options.head { Kind::Head } else { Kind::Get });
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.counters.add(Kind::Get, fetches(ranges));
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (counters, keys_a_delete) = (Arc::clone(&self.counters), self.keys_a_delete);
        let count = move |(at, location)| {
            if begins_a_page(at, keys_a_delete) {
                counters.add(Kind::Delete, 1);
            }
            location
        };
        self.inner.delete_stream(numbered(locations).map(count).boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counted_list(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.counted_list(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.inner.list_with_delimiter(prefix).await;
        let entries = listed.as_ref().map_or(0, |found| found.objects.len() + found.common_prefixes.len());
        self.counters.add(Kind::List, (entries as u64).div_ceil(KEYS_A_REQUEST).max(1));
        listed
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.count(Kind::Copy);
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.count(Kind::Copy);
        self.count(Kind::Delete);
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct CountedUpload {
    inner: Box<dyn MultipartUpload>,
    counters: Arc<Counters>,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.counters.add(Kind::Part, 1);
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.counters.add(Kind::UploadEnd, 1);
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.counters.add(Kind::UploadEnd, 1);
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_are_near_each_other_come_with_one_request() {
        const NEAR: u64 = OBJECT_STORE_COALESCE_DEFAULT;
        assert_eq!(fetches(&[]), 0);
        assert_eq!(fetches(&[0..10, 10 + NEAR..20 + NEAR]), 1);
        assert_eq!(fetches(&[11 + NEAR..20 + NEAR, 0..10]), 2);
        assert_eq!(fetches(&[0..5 * NEAR, 1..2, 6 * NEAR..6 * NEAR + 1, 8 * NEAR..8 * NEAR + 1]), 2);
    }

    #[test]
    fn what_came_since_is_a_difference_by_kind() {
        let counters = Counters::default();
        counters.add(Kind::Get, 2);
        let before = counters.now();
        counters.add(Kind::Get, 1);
        counters.add(Kind::Copy, 4);
        let since = counters.now() - before;
        assert_eq!(since, RequestCounts { gets: 1, copies: 4, ..RequestCounts::default() });
        assert_eq!((since.total(), counters.now().total()), (5, 7));
        assert_eq!(before - counters.now(), RequestCounts::default());
    }
}
