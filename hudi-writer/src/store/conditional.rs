//! Objects that several writers change: read with their version, put only where they still are of that version.
//!
//! Every unclear answer is cleared up by reading back: bodies are unique to the attempt.

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

use super::TableStore;
use crate::error::{Error, Result};

/// Which state of an object was seen.
#[derive(Debug, Clone)]
pub(crate) struct Version(UpdateVersion);

/// An object as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Versioned {
    pub(crate) bytes: Bytes,
    pub(crate) version: Version,
    /// When the store says it was written, in milliseconds since 1970 UTC.
    pub(crate) modified_ms: i64,
}

/// What a conditional put came to.
#[derive(Debug)]
#[must_use]
pub(crate) enum Swapped {
    /// The object is ours, in this version.
    Ours(Version),
    /// Somebody else's object stands there.
    Lost,
}

impl TableStore {
    /// The object with its version; `None` where there is none.
    pub(crate) async fn get_versioned(&self, path: &str) -> Result<Option<Versioned>> {
        let found = match self.store.get(&self.path(path)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(self.failed("read", path)(e)),
        };
        let version = Version(UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() });
        let modified_ms = found.meta.last_modified.timestamp_millis();
        let bytes = found.bytes().await.map_err(self.failed("read", path))?;
        Ok(Some(Versioned { bytes, version, modified_ms }))
    }

    /// Whether there is an object of this name.
    pub(crate) async fn is_there(&self, path: &str) -> Result<bool> {
        match self.store.head(&self.path(path)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(self.failed("look for", path)(e)),
        }
    }

    /// Puts an object where it still is of the version that was seen; without one, where there is none.
    pub(crate) async fn swap(&self, path: &str, body: Bytes, seen: Option<Version>) -> Result<Swapped> {
        let mode = seen.map_or(PutMode::Create, |version| PutMode::Update(version.0));
        let options = PutOptions { mode, ..PutOptions::default() };
        let answer = self.store.put_opts(&self.path(path)?, PutPayload::from(body.clone()), options).await;
        let error = match answer {
            Ok(put) => return Ok(Swapped::Ours(Version(put.into()))),
            Err(object_store::Error::NotImplemented { .. }) => {
                return Err(Error::refused(
                    format!("the lock of {}", self.url),
                    "its store has no conditional puts: hand in a lock of your own, or say that you are the sole writer",
                ));
            }
            Err(e) => e,
        };
        match self.get_versioned(path).await {
            Ok(Some(found)) if found.bytes == body => Ok(Swapped::Ours(found.version)),
            Ok(Some(_)) => Ok(Swapped::Lost),
            _ => Err(self.failed("write", path)(error)),
        }
    }
}
