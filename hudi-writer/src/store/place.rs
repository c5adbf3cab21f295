//! A table's place: a URL, or a path of the local file system, to a store and a prefix in it.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use crate::error::{Error, Result};

/// Where a table stands.
pub(super) struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: String,
    pub(super) url: String,
    pub(super) local: bool,
}

pub(super) fn resolve(text: &str) -> Result<Place> {
    let wrong = |want: &str| Error::Setting { setting: "table".into(), value: text.into(), want: want.into() };
    let folder = match text.split_once("://") {
        None => std::path::absolute(text).map_err(|_| wrong("a folder's path or a file:// URL"))?,
        Some(("file", _)) => Url::parse(text)
            .ok()
            .and_then(|url| url.to_file_path().ok())
            .ok_or_else(|| wrong("file:///ABSOLUTE/PATH"))?,
        Some((scheme, _)) => {
            return Err(Error::refused(
                format!("a table at {scheme}://"),
                "this build writes to folders (a path, or file:///…); hand in a store of your own otherwise",
            ));
        }
    };
    let url = Url::from_file_path(&folder).map_err(|()| wrong("an absolute path"))?;
    let prefix = folder.to_str().ok_or_else(|| wrong("a path in UTF-8"))?.trim_matches('/').to_owned();
    Ok(Place { store: Arc::new(LocalFileSystem::new()), prefix, url: url.to_string(), local: true })
}
