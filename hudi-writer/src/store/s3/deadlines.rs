//! [`Deadlines`]: how long a request to S3 may take and how often it is repeated. The only place that repeats any.
//!
//! A request that S3 refuses for now (5xx, 429, 408), or whose connection breaks before the answer, is repeated after a
//! pause that grows; one that takes too long is repeated where that is harmless, which excludes conditional puts.
//!
//! * **Conditional puts** (create, update) decide who owns a table: they must not land when the lease under which they
//!   were sent is long over. Each try has 4 s, connecting included; none begins later than 4 s after the first (3 s, and the
//!   pause before it, at most 1 s). So none lands more than 8 s after it was begun, and 10 s with credentials that are due
//!   to be renewed. A repeated one may meet what it wrote itself and answer that the object exists: the caller reads it back.
//! * **Conditional puts of an empty object** have one such try: nothing could be told from reading them back.
//! * **Everything else** has 30 s a try, and up to 8 more tries that begin within 65 s. A read that breaks off goes on where
//!   it was. Parts of an object have 8 MiB, which fit 30 s from 3 Mbit/s on.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, RetryConfig,
};

/// How long one kind of request may take.
struct Patience {
    connect: Duration,
    one_try: Duration,
    first_pause: Duration,
    longest_pause: Duration,
    more_tries: usize,
    begin_within: Duration,
}

const CONDITIONAL: Patience = Patience {
    connect: Duration::from_secs(2),
    one_try: Duration::from_secs(4),
    first_pause: Duration::from_millis(100),
    longest_pause: Duration::from_secs(1),
    more_tries: 6,
    begin_within: Duration::from_secs(3),
};

const CONDITIONAL_AND_EMPTY: Patience = Patience { more_tries: 0, ..CONDITIONAL };

const OTHER: Patience = Patience {
    connect: Duration::from_secs(5),
    one_try: Duration::from_secs(30),
    first_pause: Duration::from_millis(100),
    longest_pause: Duration::from_secs(5),
    more_tries: 8,
    begin_within: Duration::from_secs(60),
};

impl Patience {
    fn store(&self, builder: AmazonS3Builder, http: bool) -> Result<AmazonS3> {
        let options =
            ClientOptions::new().with_connect_timeout(self.connect).with_timeout(self.one_try).with_allow_http(http);
        let backoff = BackoffConfig { init_backoff: self.first_pause, max_backoff: self.longest_pause, base: 2.0 };
        let retry = RetryConfig { backoff, max_retries: self.more_tries, retry_timeout: self.begin_within };
        builder.with_client_options(options).with_retry(retry).build()
    }
}

/// A bucket with short patience for conditional puts and a longer one for the rest.
#[derive(Debug)]
pub(super) struct Deadlines {
    conditional: AmazonS3,
    conditional_and_empty: AmazonS3,
    other: AmazonS3,
}

impl Deadlines {
    /// The bucket; `http` allows requests that are not encrypted.
    pub(super) fn build(builder: AmazonS3Builder, http: bool) -> Result<Self> {
        Ok(Self {
            conditional: CONDITIONAL.store(builder.clone(), http)?,
            conditional_and_empty: CONDITIONAL_AND_EMPTY.store(builder.clone(), http)?,
            other: OTHER.store(builder, http)?,
        })
    }
}

impl fmt::Display for Deadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.other.fmt(f)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for Deadlines {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let store = match options.mode {
            PutMode::Overwrite => &self.other,
            PutMode::Create | PutMode::Update(_) if payload.content_length() == 0 => &self.conditional_and_empty,
            PutMode::Create | PutMode::Update(_) => &self.conditional,
        };
        store.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.other.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.other.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.other.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.other.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.other.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.other.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.other.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.other.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.other.rename_opts(from, to, options).await
    }
}
