//! The table's objects: [`TableStore`], the only part that knows what they are kept on.
//!
//! Paths are relative to the table and are taken letter by letter: partitions may hold `%`. Not here: which objects a
//! table has, and in which order they may be written.

mod conditional;
mod counts;
mod place;
#[cfg(feature = "s3")]
mod s3;
mod settings;
mod upload;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hudi_core::layout;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::{Error, Result};
pub(crate) use conditional::{Swapped, Version};
use counts::{CountedStore, Counters, KEYS_A_REQUEST};
use place::{Place, PlaceKind};

pub use counts::RequestCounts;
pub use settings::{Encryption, StoreSettings};
pub(crate) use upload::Upload;

/// An object of the table: its path below the table and its size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    pub(crate) path: String,
    pub(crate) size_bytes: u64,
}

/// What a create-if-absent came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Created {
    /// The object is ours.
    Ours,
    /// Somebody else's object stands there.
    Taken,
}

/// The objects below one table's place.
#[derive(Debug, Clone)]
pub(crate) struct TableStore {
    store: Arc<dyn ObjectStore>,
    counters: Arc<Counters>,
    prefix: String,
    url: Arc<str>,
    /// Java keeps a checksum beside each file that it writes to a local folder, and checks it.
    java_checksums: bool,
}

impl TableStore {
    /// The table at a URL (`file:///…`, `s3://…`) or a path of the local file system.
    pub(crate) async fn at(url: &str) -> Result<Self> {
        Self::at_with(url, &StoreSettings::default()).await
    }

    /// The table at a URL or a path, with settings for its store.
    pub(crate) async fn at_with(url: &str, settings: &StoreSettings) -> Result<Self> {
        Ok(Self::in_place(place::resolve(url, settings).await?))
    }

    /// The table below `prefix` of a store.
    pub(crate) fn of(store: Arc<dyn ObjectStore>, prefix: &str, url: &str) -> Self {
        let kind = if url.starts_with("file:") { PlaceKind::Folder } else { PlaceKind::Other };
        Self::in_place(Place { store, prefix: prefix.trim_matches('/').to_owned(), url: url.to_owned(), kind })
    }

    fn in_place(Place { store, prefix, url, kind }: Place) -> Self {
        let counters = Arc::new(Counters::default());
        let keys_a_delete = if kind == PlaceKind::Bucket { KEYS_A_REQUEST } else { 1 };
        let store = Arc::new(CountedStore::new(store, Arc::clone(&counters), keys_a_delete));
        Self { store, counters, prefix, url: url.into(), java_checksums: kind == PlaceKind::Folder }
    }

    /// How many requests were made of the store, by this table and its clones.
    pub(crate) fn request_counts(&self) -> RequestCounts {
        self.counters.now()
    }

    /// The folder of a table in the local file system.
    pub(crate) fn local_folder(&self) -> Option<PathBuf> {
        url::Url::parse(&self.url).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
    }

    /// The table's place, as it was given.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn path(&self, relative: &str) -> Result<Path> {
        let full = match (self.prefix.as_str(), relative) {
            ("", relative) => relative.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, relative) => format!("{prefix}/{relative}"),
        };
        Path::parse(&full).map_err(|source| self.failed("name", relative)(source.into()))
    }

    fn failed<'a>(
        &'a self,
        action: &'static str,
        path: &'a str,
    ) -> impl FnOnce(object_store::Error) -> Error + use<'a> {
        move |source| Error::Store { action, path: format!("{}/{path}", self.url), source: Arc::new(source) }
    }

    /// The object's bytes; `None` where there is none.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        let found = match self.store.get(&self.path(path)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(self.failed("read", path)(e)),
        };
        found.bytes().await.map(Some).map_err(self.failed("read", path))
    }

    /// The object's text; `None` where there is none.
    pub(crate) async fn get_text(&self, path: &str) -> Result<Option<String>> {
        let Some(bytes) = self.get(path).await? else { return Ok(None) };
        let text = String::from_utf8(bytes.into()).map_err(|_| Error::corrupt(path, "not UTF-8 text"))?;
        Ok(Some(text))
    }

    /// Parts of an object.
    pub(crate) async fn get_ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store.get_ranges(&self.path(path)?, ranges).await.map_err(self.failed("read", path))
    }

    /// Writes an object whose name nobody else uses.
    pub(crate) async fn put(&self, path: &str, body: impl Into<PutPayload>) -> Result<()> {
        self.store.put(&self.path(path)?, body.into()).await.map_err(self.failed("write", path))?;
        Ok(())
    }

    /// Replaces an object that Java may have written.
    pub(crate) async fn replace(&self, path: &str, body: impl Into<PutPayload>) -> Result<()> {
        self.drop_java_checksum(path).await?;
        self.put(path, body).await
    }

    /// Creates an object that must not exist. After an unclear answer it is read back: `body` must be unique to the
    /// attempt to tell ours from a rival's, so an empty body that fails unclearly stays a failure.
    pub(crate) async fn create_once(&self, path: &str, body: Bytes) -> Result<Created> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let answer = self.store.put_opts(&self.path(path)?, PutPayload::from(body.clone()), options).await;
        let error = match answer {
            Ok(_) => return Ok(Created::Ours),
            Err(e) => e,
        };
        let exists = matches!(error, object_store::Error::AlreadyExists { .. });
        if body.is_empty() {
            return if exists { Ok(Created::Taken) } else { Err(self.failed("create", path)(error)) };
        }
        match self.get(path).await {
            Ok(Some(found)) if found == body => Ok(Created::Ours),
            Ok(Some(_)) => Ok(Created::Taken),
            _ => Err(self.failed("create", path)(error)),
        }
    }

    /// Removes an object; one that is not there is no error.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.drop_java_checksum(path).await?;
        match self.store.delete(&self.path(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed("delete", path)(e)),
        }
    }

    async fn drop_java_checksum(&self, path: &str) -> Result<()> {
        if !self.java_checksums {
            return Ok(());
        }
        let checksum = layout::crc_sibling(path);
        match self.store.delete(&self.path(&checksum)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed("delete", &checksum)(e)),
        }
    }

    /// All objects below a folder, in all depths, sorted; Java's checksum files left out.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let prefix = if self.prefix.is_empty() && folder.is_empty() { None } else { Some(self.path(folder)?) };
        let listed: Vec<_> =
            self.store.list(prefix.as_ref()).try_collect().await.map_err(self.failed("list", folder))?;
        let mut objects: Vec<Object> = listed.iter().filter_map(|meta| self.object(meta)).collect();
        objects.sort();
        Ok(objects)
    }

    /// The objects directly in a folder, and its sub-folders, as paths below the table.
    pub(crate) async fn list_folder(&self, folder: &str) -> Result<(Vec<Object>, Vec<String>)> {
        let prefix = if self.prefix.is_empty() && folder.is_empty() { None } else { Some(self.path(folder)?) };
        let listed = self.store.list_with_delimiter(prefix.as_ref()).await.map_err(self.failed("list", folder))?;
        let mut objects: Vec<Object> = listed.objects.iter().filter_map(|meta| self.object(meta)).collect();
        let mut folders: Vec<String> =
            listed.common_prefixes.iter().filter_map(|path| self.relative(path.as_ref())).collect();
        objects.sort();
        folders.sort();
        Ok((objects, folders))
    }

    fn object(&self, meta: &object_store::ObjectMeta) -> Option<Object> {
        let path = self.relative(meta.location.as_ref())?;
        if self.java_checksums && is_java_checksum(&path) {
            return None;
        }
        Some(Object { path, size_bytes: meta.size })
    }

    fn relative(&self, full: &str) -> Option<String> {
        if self.prefix.is_empty() {
            return Some(full.to_owned());
        }
        Some(full.strip_prefix(&self.prefix)?.strip_prefix('/')?.to_owned())
    }

    /// Begins an object that comes in pieces.
    pub(crate) fn upload(&self, path: String) -> Upload {
        Upload::new(self.clone(), path)
    }

    /// Removes many objects; those that are not there are no error. A store that can removes many with one request.
    pub(crate) async fn delete_all(&self, paths: Vec<String>) -> Result<()> {
        if self.java_checksums {
            self.delete_stream(paths.iter().map(|path| layout::crc_sibling(path)).collect()).await?;
        }
        self.delete_stream(paths).await
    }

    async fn delete_stream(&self, paths: Vec<String>) -> Result<()> {
        let locations: Vec<Path> = paths.iter().map(|path| self.path(path)).collect::<Result<_>>()?;
        let locations = futures::stream::iter(locations.into_iter().map(Ok)).boxed();
        let mut answers = self.store.delete_stream(locations);
        let mut names = paths.iter();
        while let Some(answer) = answers.next().await {
            let name = names.next().map_or("", String::as_str);
            match answer {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(self.failed("delete", name)(e)),
            }
        }
        Ok(())
    }
}

/// Whether a file is one of the checksums that Java keeps beside its files.
fn is_java_checksum(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.starts_with('.') && name.ends_with(".crc")
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn paths_are_taken_letter_by_letter() {
        let folder = tempfile::tempdir().unwrap();
        let store = TableStore::at(folder.path().to_str().unwrap()).await.unwrap();
        for path in ["region=a%2Fb/x.parquet", "p=ü 日/#1/y", ".hoodie/.temp/1/z"] {
            store.put(path, Bytes::from_static(b"1")).await.unwrap();
            assert!(folder.path().join(path).exists(), "{path}");
            assert_eq!(store.get(path).await.unwrap().unwrap(), "1");
        }
        let listed: Vec<String> = store.list("").await.unwrap().into_iter().map(|o| o.path).collect();
        assert_eq!(listed, [".hoodie/.temp/1/z", "p=ü 日/#1/y", "region=a%2Fb/x.parquet"]);
        let (_, folders) = store.list_folder("").await.unwrap();
        assert_eq!(folders, [".hoodie", "p=ü 日", "region=a%2Fb"]);
    }

    #[tokio::test]
    async fn a_create_tells_ours_from_a_rivals() {
        let store = TableStore::of(Arc::new(InMemory::new()), "t", "memory:///t");
        assert_eq!(store.create_once("a", Bytes::from_static(b"1")).await.unwrap(), Created::Ours);
        assert_eq!(store.create_once("a", Bytes::from_static(b"1")).await.unwrap(), Created::Ours);
        assert_eq!(store.create_once("a", Bytes::from_static(b"2")).await.unwrap(), Created::Taken);
        assert_eq!(store.create_once("b", Bytes::new()).await.unwrap(), Created::Ours);
        assert_eq!(store.create_once("b", Bytes::new()).await.unwrap(), Created::Taken);
        store.delete("a").await.unwrap();
        store.delete("a").await.unwrap();
        assert_eq!(store.get("a").await.unwrap(), None);
    }

    #[tokio::test]
    async fn replacing_a_file_of_javas_removes_its_checksum() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".x.crc"), "crc").unwrap();
        let store = TableStore::at(folder.path().to_str().unwrap()).await.unwrap();
        assert_eq!(store.list("").await.unwrap(), []);
        store.replace("x", Bytes::from_static(b"1")).await.unwrap();
        assert!(!folder.path().join(".x.crc").exists());
    }

    #[tokio::test]
    async fn removing_many_files_removes_javas_checksums_and_minds_no_absence() {
        let folder = tempfile::tempdir().unwrap();
        let store = TableStore::at(folder.path().to_str().unwrap()).await.unwrap();
        let paths: Vec<String> = (0..30).map(|at| format!("p={at}/x")).collect();
        for path in paths.iter().skip(1) {
            store.put(path, Bytes::from_static(b"1")).await.unwrap();
        }
        std::fs::write(folder.path().join("p=7/.x.crc"), "crc").unwrap();
        store.put("kept", Bytes::from_static(b"1")).await.unwrap();
        store.delete_all(paths).await.unwrap();
        assert!(!folder.path().join("p=7/.x.crc").exists());
        let left: Vec<String> = store.list("").await.unwrap().into_iter().map(|o| o.path).collect();
        assert_eq!(left, ["kept"]);
    }

    #[tokio::test]
    async fn a_stores_requests_are_counted_by_kind_whatever_it_is() {
        let store = TableStore::of(Arc::new(InMemory::new()), "t", "memory:///t");
        store.put("a", Bytes::from_static(b"1")).await.unwrap();
        assert_eq!(store.create_once("a", Bytes::from_static(b"2")).await.unwrap(), Created::Taken);
        assert_eq!(store.clone().list("").await.unwrap().len(), 1);
        store.delete_all(vec!["a".into(), "b".into()]).await.unwrap();
        let expected = RequestCounts { puts: 1, creates: 1, gets: 1, lists: 1, deletes: 2, ..RequestCounts::default() };
        assert_eq!(store.request_counts(), expected);
    }
}
