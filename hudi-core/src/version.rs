//! Table versions and what each can do; the two table types.
//!
//! The rest of the code asks a [`TableVersion`] instead of comparing numbers. Does not hold how names or contents look: see
//! `instant` and `commit`. Format section 0.3; table versions 6, 8 and 9.

use std::fmt;

use crate::error::{Error, Result};

/// The version of a table's format (`hoodie.table.version`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableVersion {
    /// Hudi 0.14 and 0.15; what Athena reads.
    Six,
    /// Hudi 1.0.
    Eight,
    /// Hudi 1.1.
    Nine,
}

impl TableVersion {
    /// The version of this number. Errors: `Unsupported` for any other than 6, 8 and 9.
    pub fn from_number(number: u32) -> Result<Self> {
        match number {
            6 => Ok(Self::Six),
            8 => Ok(Self::Eight),
            9 => Ok(Self::Nine),
            _ => Err(Error::unsupported(
                format!("table version {number}"),
                "we know versions 6, 8 and 9; upgrade an older table with the Hudi that wrote it",
            )),
        }
    }

    /// The number as it stands in the properties.
    pub fn number(self) -> u32 {
        match self {
            Self::Six => 6,
            Self::Eight => 8,
            Self::Nine => 9,
        }
    }

    /// Where and under which names the timeline is kept.
    pub fn layout(self) -> TimelineLayout {
        match self {
            Self::Six => TimelineLayout::V1,
            Self::Eight | Self::Nine => TimelineLayout::V2,
        }
    }

    /// Whether a completed timeline file is named `<requested>_<completed>.<action>`.
    pub fn completed_name_has_completion_time(self) -> bool {
        self.layout() == TimelineLayout::V2
    }

    /// Whether commit metadata is an Avro container; JSON otherwise.
    pub fn commit_metadata_is_avro(self) -> bool {
        self.layout() == TimelineLayout::V2
    }

    /// Whether a log file carries its own delta commit's instant; the base instant of its slice otherwise.
    pub fn log_name_has_own_instant(self) -> bool {
        self.layout() == TimelineLayout::V2
    }

    /// Whether log data is rolled back by deleting the file; by a rollback block otherwise.
    pub fn rollback_deletes_log_files(self) -> bool {
        self.layout() == TimelineLayout::V2
    }

    /// Whether this crate's users may write tables of the version. The others are read.
    pub fn is_writable(self) -> bool {
        self == Self::Six
    }
}

impl fmt::Display for TableVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// The layout of the timeline (`hoodie.timeline.layout.version`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimelineLayout {
    /// Files directly below `.hoodie`; commits in JSON. Table version 6.
    V1,
    /// Files in `.hoodie/timeline`; commits in Avro, completion times in names. Table versions 8 and 9.
    V2,
}

impl TimelineLayout {
    /// The number as it stands in the properties.
    pub fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// How updates reach the table (`hoodie.table.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableType {
    /// Every update rewrites the base file.
    CopyOnWrite,
    /// Updates are appended as log files and compacted later.
    MergeOnRead,
}

impl TableType {
    /// The name as it stands in the properties.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CopyOnWrite => "COPY_ON_WRITE",
            Self::MergeOnRead => "MERGE_ON_READ",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::CopyOnWrite, Self::MergeOnRead].into_iter().find(|t| t.as_str() == name)
    }
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
