//! A table's place: a URL, or a path of the local file system, to a store and a prefix in it. Not here: how a bucket is
//! reached.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use super::settings::StoreSettings;
use crate::error::{Error, Result};

/// Where a table stands.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: String,
    pub(super) url: String,
    pub(super) kind: PlaceKind,
}

/// What stores differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceKind {
    /// A folder of the local file system.
    Folder,
    /// A bucket of S3.
    Bucket,
    /// A store that was handed in.
    Other,
}

/// A place as it is named.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Folder(PathBuf),
    /// The prefix is taken letter by letter, as Hadoop does: `%` stands for itself.
    Bucket {
        bucket: String,
        prefix: String,
    },
}

impl Named {
    fn parse(text: &str) -> Result<Self> {
        match text.split_once("://") {
            None => {
                let folder = std::path::absolute(text).map_err(|_| wrong(text, "a folder's path, file:// or s3://"))?;
                Ok(Self::Folder(folder))
            }
            Some(("file", _)) => {
                let folder = Url::parse(text).ok().and_then(|url| url.to_file_path().ok());
                folder.map(Self::Folder).ok_or_else(|| wrong(text, "file:///ABSOLUTE/PATH"))
            }
            // Hadoop's names for the same thing.
            Some(("s3" | "s3a" | "s3n", rest)) => Self::parse_bucket(text, rest),
            Some((scheme, _)) => Err(Error::refused(
                format!("a table at {scheme}://"),
                "we write to folders (a path, or file:///…) and to s3://; hand in a store of your own otherwise",
            )),
        }
    }

    fn parse_bucket(text: &str, rest: &str) -> Result<Self> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let letters = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let known = !prefix.starts_with('/') && object_store::path::Path::parse(prefix).is_ok();
        if bucket.is_empty() || !bucket.chars().all(letters) || !known {
            return Err(wrong(text, "s3://BUCKET/PREFIX, without `//`, `.` and `..` in the prefix"));
        }
        Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.trim_end_matches('/').to_owned() })
    }
}

fn wrong(text: &str, want: &str) -> Error {
    Error::Setting { setting: "table".into(), value: text.into(), want: want.into() }
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

/// Finds the store of a place.
pub(super) async fn resolve(text: &str, settings: &StoreSettings) -> Result<Place> {
    match Named::parse(text)? {
        Named::Folder(_) if settings.encryption.is_some() => {
            Err(Error::refused(format!("encryption by S3 of a table at {text}"), "it is not at s3://"))
        }
        Named::Folder(folder) => resolve_folder(text, &folder),
        Named::Bucket { bucket, prefix } => resolve_bucket(&bucket, prefix, settings).await,
    }
}

fn resolve_folder(text: &str, folder: &Path) -> Result<Place> {
    let folder = without_parents(folder).ok_or_else(|| wrong(text, "a path whose folders before `..` are there"))?;
    let url = Url::from_file_path(&folder).map_err(|()| wrong(text, "an absolute path"))?;
    let prefix = folder.to_str().ok_or_else(|| wrong(text, "a path in UTF-8"))?.trim_matches('/').to_owned();
    Ok(Place { store: Arc::new(LocalFileSystem::new()), prefix, url: url.to_string(), kind: PlaceKind::Folder })
}

#[cfg(feature = "s3")]
async fn resolve_bucket(bucket: &str, prefix: String, settings: &StoreSettings) -> Result<Place> {
    let url = bucket_url(bucket, &prefix);
    let store = super::s3::open(bucket, &url, settings).await?;
    Ok(Place { store, prefix, url, kind: PlaceKind::Bucket })
}

#[cfg(not(feature = "s3"))]
#[allow(clippy::unused_async, reason = "with the feature, credentials are loaded")]
async fn resolve_bucket(bucket: &str, prefix: String, _: &StoreSettings) -> Result<Place> {
    Err(Error::refused(
        format!("the table at {}", bucket_url(bucket, &prefix)),
        "this build has no S3: build with the feature `s3`",
    ))
}

fn bucket_url(bucket: &str, prefix: &str) -> String {
    if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Encryption;
    use super::*;

    async fn folder(text: &str) -> Result<Place> {
        resolve(text, &StoreSettings::default()).await
    }

    #[tokio::test]
    async fn one_place_may_be_named_in_several_ways() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("a")).unwrap();
        let text = root.to_str().unwrap();
        let prefix = format!("{text}/t").trim_start_matches('/').to_owned();
        for name in ["/t", "/t/", "/./t", "/a/../t", "/a/../a/../t/"] {
            assert_eq!(folder(&format!("{text}{name}")).await.unwrap().prefix, prefix, "{name}");
            assert_eq!(folder(&format!("file://{text}{name}")).await.unwrap().prefix, prefix, "{name}");
        }
        assert!(folder(&format!("{text}/none/../t")).await.is_err());
    }

    #[test]
    fn a_bucket_has_three_schemes_and_a_prefix_that_is_taken_letter_by_letter() {
        let place = |bucket: &str, prefix: &str| Named::Bucket { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(Named::parse("s3://b/t").unwrap(), place("b", "t"));
        assert_eq!(Named::parse("s3a://b/t/").unwrap(), place("b", "t"));
        assert_eq!(Named::parse("s3n://b.c-1/a/p=x%2Fy z/#ü?").unwrap(), place("b.c-1", "a/p=x%2Fy z/#ü?"));
        assert_eq!(Named::parse("s3://b").unwrap(), place("b", ""));
        for wrong in ["s3://", "s3:///t", "s3://b/a//t", "s3://b/../t", "s3://b/./t", "s3://u:p@b/t", "s3://b//"] {
            let error = Named::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("s3://BUCKET/PREFIX"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_a_place_cannot_do_is_refused_by_name() {
        let error = folder("gs://bucket/t").await.unwrap_err().to_string();
        assert!(error.contains("a table at gs://") && error.contains("s3://"), "{error}");
        let settings = StoreSettings { encryption: Some(Encryption::S3) };
        let error = resolve("/t", &settings).await.unwrap_err().to_string();
        assert!(error.contains("encryption by S3"), "{error}");
    }

    #[cfg(not(feature = "s3"))]
    #[tokio::test]
    async fn a_build_without_s3_says_what_it_lacks() {
        let error = folder("s3a://bucket/t").await.unwrap_err().to_string();
        assert!(error.contains("s3://bucket/t") && error.contains("feature `s3`"), "{error}");
    }
}
