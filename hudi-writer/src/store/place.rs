//! A table's place: a URL, or a path of the local file system, to a store and a prefix in it.

use std::path::{Component, Path, PathBuf};
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

/// The path without `..`, which stores do not know: what stands before the last one is resolved.
fn without_parents(folder: &Path) -> Option<PathBuf> {
    let parts: Vec<Component<'_>> = folder.components().collect();
    let Some(last) = parts.iter().rposition(|part| *part == Component::ParentDir) else {
        return Some(folder.to_owned());
    };
    let (before, after) = parts.split_at(last + 1);
    let resolved = before.iter().collect::<PathBuf>().canonicalize().ok()?;
    Some(resolved.join(after.iter().collect::<PathBuf>()))
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
    let folder = without_parents(&folder).ok_or_else(|| wrong("a path whose folders before `..` are there"))?;
    let url = Url::from_file_path(&folder).map_err(|()| wrong("an absolute path"))?;
    let prefix = folder.to_str().ok_or_else(|| wrong("a path in UTF-8"))?.trim_matches('/').to_owned();
    Ok(Place { store: Arc::new(LocalFileSystem::new()), prefix, url: url.to_string(), local: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_may_be_named_in_several_ways() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir(folder.join("a")).unwrap();
        let text = folder.to_str().unwrap();
        let prefix = format!("{text}/t").trim_start_matches('/').to_owned();
        for name in ["/t", "/t/", "/./t", "/a/../t", "/a/../a/../t/"] {
            assert_eq!(resolve(&format!("{text}{name}")).unwrap().prefix, prefix, "{name}");
            assert_eq!(resolve(&format!("file://{text}{name}")).unwrap().prefix, prefix, "{name}");
        }
        assert!(resolve(&format!("{text}/none/../t")).is_err());
        assert!(resolve("s3://bucket/t").is_err());
    }
}
