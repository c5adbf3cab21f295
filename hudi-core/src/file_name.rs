//! Names of base files, log files and markers.
//!
//! Each is parsed once into a type and printed from it. Does not say which files are visible (`file_slice`) nor where they
//! stand (`layout`). Format sections 2.8, 4.1, 5.1 and 7.2 (bucket ids); table versions 6, 8 and 9.

use std::fmt;

use crate::error::{Error, Result};
use crate::instant::InstantTime;

/// The id of a file group, constant for its life: `<uuid>-<n>`, or a bucket number in the first eight places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(String);

impl FileId {
    /// `<uuid>-<n>`. Errors: `BadName` if `uuid` holds other than letters, digits and `-`.
    pub fn new(uuid: &str, n: u32) -> Result<Self> {
        Self::parse(&format!("{uuid}-{n}"))
    }

    /// The only file group of a bucket: eight digits of the bucket, the rest of `uuid`, `-0`.
    ///
    /// Errors: `BadName` if `uuid` has not more than eight places or holds other than letters, digits and `-`;
    /// or if the bucket has more than eight digits.
    pub fn in_bucket(bucket: u32, uuid: &str) -> Result<Self> {
        let rest = uuid.get(8..).filter(|rest| !rest.is_empty() && bucket < 100_000_000);
        let rest = rest.ok_or_else(|| Error::bad_name(uuid, "want a UUID, and a bucket below 100000000"))?;
        Self::parse(&format!("{bucket:08}{rest}-0"))
    }

    /// Reads an id. Errors: `BadName` if it is empty or holds other than letters, digits and `-`.
    pub fn parse(text: &str) -> Result<Self> {
        if !is_word(text) {
            return Err(Error::bad_name(text, "a file id holds letters, digits and `-` only"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The bucket, if the id begins with eight digits. Only in a bucket-indexed table: some random UUIDs do as well.
    pub fn bucket(&self) -> Option<u32> {
        let digits = self.0.get(..8)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What tells the attempts to write one file apart: `<partition of the task>-<stage>-<attempt>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteToken(String);

impl WriteToken {
    /// A token of three numbers, as log files need.
    pub fn new(task_partition: u32, stage: u32, attempt: u32) -> Self {
        Self(format!("{task_partition}-{stage}-{attempt}"))
    }

    /// Reads a token. Errors: `BadName` if it is empty or holds other than letters, digits and `-`.
    pub fn parse(text: &str) -> Result<Self> {
        if !is_word(text) {
            return Err(Error::bad_name(text, "a write token holds letters, digits and `-` only"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WriteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a base file: `<file id>_<write token>_<instant>.parquet`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseFileName {
    /// The file group.
    pub file_id: FileId,
    /// The attempt.
    pub write_token: WriteToken,
    /// The (requested) instant that wrote it.
    pub instant: InstantTime,
}

impl BaseFileName {
    const EXTENSION: &'static str = ".parquet";

    /// Reads a name. `Ok(None)`: some other file, also a parquet file that is not named as Hudi does.
    ///
    /// Errors: `BadName` for three parts of which one breaks the grammar.
    pub fn parse(name: &str) -> Result<Option<Self>> {
        let Some(stem) = name.strip_suffix(Self::EXTENSION) else { return Ok(None) };
        if stem.starts_with('.') {
            return Ok(None);
        }
        let parts: Vec<&str> = stem.split('_').collect();
        let [file_id, write_token, instant] = parts[..] else { return Ok(None) };
        let in_name = |_| Error::bad_name(name, "want <file id>_<write token>_<instant>.parquet");
        Ok(Some(Self {
            file_id: FileId::parse(file_id).map_err(in_name)?,
            write_token: WriteToken::parse(write_token).map_err(in_name)?,
            instant: InstantTime::parse(instant).map_err(in_name)?,
        }))
    }
}

impl fmt::Display for BaseFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}{}", self.file_id, self.write_token, self.instant, Self::EXTENSION)
    }
}

/// The name of a log file: `.<file id>_<instant>.log.<version>_<write token>[.cdc]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogFileName {
    /// The file group.
    pub file_id: FileId,
    /// Version 6: the base instant of the slice. Versions 8 and 9: the delta commit's own.
    pub instant: InstantTime,
    /// From 1; the next free one among the logs of this file group and instant.
    pub version: u32,
    /// The attempt; only ancient files lack it.
    pub write_token: Option<WriteToken>,
    /// Whether it holds before- and after-images beside the data, which ordinary reads ignore.
    pub is_cdc: bool,
}

impl LogFileName {
    /// Reads a name. `Ok(None)`: some other file. Errors: `BadName` if it claims to be a log file and breaks the grammar.
    pub fn parse(name: &str) -> Result<Option<Self>> {
        let Some((stem, tail)) = name.strip_prefix('.').and_then(|n| n.split_once(".log.")) else {
            return Ok(None);
        };
        let bad = |reason: &str| Error::bad_name(name, reason);
        let (file_id, instant) = stem.split_once('_').ok_or_else(|| bad("no `_` after the file id"))?;
        let (tail, is_cdc) = match tail.strip_suffix(".cdc") {
            Some(tail) => (tail, true),
            None => (tail, false),
        };
        let (version, token) = match tail.split_once('_') {
            Some((version, token)) => (version, Some(token)),
            None => (tail, None),
        };
        let token = token.map(WriteToken::parse).transpose().map_err(|_| bad("no write token after the version"))?;
        Ok(Some(Self {
            file_id: FileId::parse(file_id).map_err(|_| bad("the file id holds more than letters, digits and `-`"))?,
            instant: InstantTime::parse(instant).map_err(|_| bad("no instant after the file id"))?,
            version: version.parse().map_err(|_| bad("the version is no number"))?,
            write_token: token,
            is_cdc,
        }))
    }

    /// By which the log files of a slice are ordered for reading.
    pub fn read_order(&self) -> (InstantTime, u32, &str, bool) {
        (self.instant, self.version, self.write_token.as_ref().map_or("", WriteToken::as_str), self.is_cdc)
    }
}

impl fmt::Display for LogFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".{}_{}.log.{}", self.file_id, self.instant, self.version)?;
        if let Some(token) = &self.write_token {
            write!(f, "_{token}")?;
        }
        f.write_str(if self.is_cdc { ".cdc" } else { "" })
    }
}

/// What was about to be done to the file that a marker names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MarkerKind {
    /// A new file of a new file group (or a new log file).
    Create,
    /// A new base file of an existing file group.
    Merge,
    /// A log file.
    Append,
}

impl MarkerKind {
    const ALL: [Self; 3] = [Self::Create, Self::Merge, Self::Append];

    /// The name in file extensions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Merge => "MERGE",
            Self::Append => "APPEND",
        }
    }
}

/// A file that an instant was about to write: `<partition>/<file name>.marker.<kind>`. What a rollback goes by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Marker {
    /// The encoded partition path; empty for a table without partitions.
    pub partition: String,
    /// The name of the data file.
    pub file_name: String,
    /// What was about to be done.
    pub kind: MarkerKind,
}

impl Marker {
    /// Reads a marker's path below the instant's marker folder, or a line of a file of batched markers.
    ///
    /// `Ok(None)`: some other file. Errors: `BadName` for a marker of unknown kind.
    pub fn parse(path: &str) -> Result<Option<Self>> {
        let Some((file, kind)) = path.rsplit_once(".marker.") else { return Ok(None) };
        let kind = MarkerKind::ALL.into_iter().find(|k| k.as_str() == kind);
        let kind = kind.ok_or_else(|| Error::bad_name(path, "a marker is a CREATE, MERGE or APPEND"))?;
        let (partition, file_name) = file.rsplit_once('/').unwrap_or(("", file));
        Ok(Some(Self { partition: partition.to_owned(), file_name: file_name.to_owned(), kind }))
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.partition.is_empty() { "" } else { "/" };
        write!(f, "{}{separator}{}.marker.{}", self.partition, self.file_name, self.kind.as_str())
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "97de74b1-2a8e-4bb7-874c-0a74e1f42a77";

    #[test]
    fn names_parse_and_print() {
        let name = format!("{UUID}-0_0-119-166_20240418172804498.parquet");
        let base = BaseFileName::parse(&name).unwrap().unwrap();
        assert_eq!(base.file_id, FileId::new(UUID, 0).unwrap());
        assert_eq!(base.write_token, WriteToken::new(0, 119, 166));
        assert_eq!(base.to_string(), name);
        for tail in ["log.1_0-26-85", "log.12_1-0-1", "log.3", "log.1_0-2-3.cdc"] {
            let name = format!(".{UUID}-0_20250331030642808.{tail}");
            assert_eq!(LogFileName::parse(&name).unwrap().unwrap().to_string(), name);
        }
        for text in ["a=1/b=2/f.parquet.marker.CREATE", ".f.log.1_0-1-2.marker.APPEND"] {
            assert_eq!(Marker::parse(text).unwrap().unwrap().to_string(), text);
        }
    }

    #[test]
    fn strangers_are_none_and_broken_names_are_errors() {
        for name in [
            "part-0.parquet",
            ".hoodie_partition_metadata",
            ".hoodie_partition_metadata.parquet",
            "a_b_c.orc",
            "x.log.1",
        ] {
            assert_eq!(BaseFileName::parse(name), Ok(None), "{name}");
            assert_eq!(LogFileName::parse(name), Ok(None), "{name}");
        }
        assert!(BaseFileName::parse("a_b_c.parquet").is_err());
        assert!(LogFileName::parse(".a_20250331030642808.log.x_1-2-3").is_err());
        assert!(LogFileName::parse(".a.log.1_1-2-3").is_err());
        assert_eq!(Marker::parse("MARKERS.type"), Ok(None));
        assert!(Marker::parse("f.marker.WRITE").is_err());
        assert!(FileId::new("a_b", 0).is_err());
    }

    #[test]
    fn a_bucket_stands_in_the_first_eight_places() {
        let id = FileId::in_bucket(66, "c8abbe79-8d89-47ea-b4ce-4d224bae5bfa").unwrap();
        assert_eq!(id.as_str(), "00000066-8d89-47ea-b4ce-4d224bae5bfa-0");
        assert_eq!(id.bucket(), Some(66));
        assert_eq!(FileId::new(UUID, 0).unwrap().bucket(), None);
    }
}
