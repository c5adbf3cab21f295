//! The file that makes a folder a partition.
//!
//! Java finds partitions by this file alone. Holds its text; its place is in `layout`. Format section 3.1; all table
//! versions.

use crate::error::{Error, Result};
use crate::instant::InstantTime;
use crate::properties::text::Properties;

/// The content of `.hoodie_partition_metadata`, written once and never again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// The instant that made the partition.
    pub commit_time: InstantTime,
    /// How many folders the partition is below the table's base; 0 for a table without partitions.
    pub partition_depth: usize,
}

impl PartitionMetadata {
    const COMMIT_TIME: &'static str = "commitTime";
    const DEPTH: &'static str = "partitionDepth";

    /// Of the partition at this encoded path, made by this instant.
    pub fn new(commit_time: InstantTime, partition: &str) -> Self {
        let partition_depth = if partition.is_empty() { 0 } else { partition.split('/').count() };
        Self { commit_time, partition_depth }
    }

    /// The file's text. The comment's date is the instant's.
    pub fn to_text(&self) -> String {
        let mut properties = Properties::new();
        properties.set(Self::COMMIT_TIME, self.commit_time.as_str());
        properties.set(Self::DEPTH, self.partition_depth.to_string());
        properties.to_text("partition metadata", self.commit_time.to_millis().unwrap_or_default())
    }

    /// Reads the file's text. Errors: `Corrupt` if a member is missing or malformed.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |reason: String| Error::corrupt("partition metadata", reason);
        let properties = Properties::parse(text)?;
        let member = |key: &str| properties.get(key).ok_or_else(|| bad(format!("no {key}")));
        let commit_time = InstantTime::parse(member(Self::COMMIT_TIME)?).map_err(|e| bad(e.to_string()))?;
        let depth = member(Self::DEPTH)?;
        let partition_depth = depth.parse().map_err(|_| bad(format!("{} = `{depth}` is no number", Self::DEPTH)))?;
        Ok(Self { commit_time, partition_depth })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_java_writes() {
        let time = InstantTime::parse("20240418172802262").unwrap();
        let metadata = PartitionMetadata::new(time, "byteField=20/shortField=100");
        let text = metadata.to_text();
        let want =
            "#partition metadata\n#Thu Apr 18 17:28:02 UTC 2024\ncommitTime=20240418172802262\npartitionDepth=2\n";
        assert_eq!(text, want);
        assert_eq!(text.len(), 96);
        assert_eq!(PartitionMetadata::parse(&text), Ok(metadata));
        assert_eq!(PartitionMetadata::new(time, "").partition_depth, 0);
        assert!(PartitionMetadata::parse("commitTime=1\npartitionDepth=1").is_err());
    }
}
