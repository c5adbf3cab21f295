//! [`Checkpoint`]: how far a pipeline got, and what tells a re-delivered change from a new one.
//!
//! Ours alone, no part of Hudi's format; members that we do not know are kept. Not here: what marks are good for
//! ([`super::judge`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::snapshot::SnapshotState;
use crate::change::StreamPosition;
use crate::error::{Error, Result};

/// The version of the form that we write, and the greatest that we read.
pub const VERSION: u32 = 1;
/// The prefix of the checkpoint's key in a commit's `extraMetadata`; the pipeline's name follows.
pub const KEY_PREFIX: &str = "cdc.checkpoint.";

/// Where Hudi Streamer keeps the positions of one topic in a commit's `extraMetadata`.
pub const STREAMER_KEY: &str = "deltastreamer.checkpoint.key";

/// The last epoch that a source can have: seven bits of an order.
pub const MAX_EPOCH: u8 = 127;
/// How many identities of a source a topic-partition remembers.
pub const MAX_IDENTITIES: usize = 64;

type Unknown = BTreeMap<String, Value>;

/// How far one pipeline got, by topic and by source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    v: u32,
    /// The next offset of every partition, by topic.
    #[serde(default)]
    pub topics: BTreeMap<String, TopicPosition>,
    /// What is known of every source's stream, by the source's name.
    #[serde(default)]
    pub sources: BTreeMap<String, SourceState>,
    /// Changes counted so far, for sources that send no position.
    #[serde(default)]
    pub arrivals: u64,
    /// The instant whose row memory holds, as text: what is remembered of rows beside the table. None where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The instants whose row memories are superseded, and may still be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory_before: Vec<String>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// Positions in one topic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TopicPosition {
    /// The broker's id of the topic: tells a topic made anew from one that moved on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The position in each partition.
    #[serde(default)]
    pub partitions: BTreeMap<i32, PartitionPosition>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// The position in one partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionPosition {
    /// The next offset to read: everything below has been dealt with.
    pub next: i64,
    /// Changes below were judged: further than `next` never, and less far while a decoder still holds some.
    #[serde(skip)]
    pub(super) judged: Option<i64>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// What is known of one source's stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// How often the source's positions began anew; the top bits of `_cdc_order`.
    #[serde(default)]
    pub epoch: u8,
    /// What began the epoch, unless it is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Began>,
    /// Who the source said last that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Changes of its log told what orders them: those that do not are judged by arrival, and not counted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ordered: bool,
    /// The source's last truncate that is in the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated_at: Option<TruncatedAt>,
    /// Its full snapshots, where later ones bound the table.
    #[serde(default, skip_serializing_if = "SnapshotState::is_empty")]
    pub snapshot: SnapshotState,
    /// The marks, by `topic/partition`.
    #[serde(default)]
    pub marks: BTreeMap<String, Mark>,
    #[serde(flatten)]
    unknown: Unknown,
}

/// How an epoch of a source began: tells, where partitions are read at different speeds, what is of the new one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// The run of the connector that showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The server that nobody knew, if that showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// When the source committed the change that showed it, in milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts_ms: Option<i64>,
}

/// How far a topic-partition came in the epochs before this one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The furthest place, as [`StreamPosition`] prints it.
    pub mark: String,
    /// The greatest source time seen, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ts_ms: Option<i64>,
    /// Who the source said it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
}

/// When a source emptied its table: rows from before are not in the table, and changes from before stay out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TruncatedAt {
    /// The truncate's `_cdc_order`, epoch included, as text.
    pub order: String,
    /// When the source committed it, in milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts_ms: Option<i64>,
}

/// The furthest place in a source's stream order that a topic-partition brought.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The place, as [`StreamPosition`] prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The greatest source time seen, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ts_ms: Option<i64>,
    /// The run of the connector that moved the mark last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Fingerprints of the changes exactly at the mark, with how many there were.
    #[serde(default)]
    pub at: BTreeMap<String, u32>,
    /// The epoch of the source that the mark is in: the source's own, or an earlier one whose rest is still to come.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epoch: u8,
    /// Who the source said it was, in this epoch: at most [`MAX_IDENTITIES`], the earliest forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    /// What was before the epoch, unless it is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<Past>,
    /// Of those at the mark, how many a later run has sent again so far.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub again: BTreeMap<String, u32>,
    /// The run that `again` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_run: Option<String>,
    #[serde(flatten)]
    pub(super) unknown: Unknown,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            v: VERSION,
            topics: BTreeMap::new(),
            sources: BTreeMap::new(),
            arrivals: 0,
            memory: None,
            memory_before: vec![],
            unknown: Unknown::new(),
        }
    }
}

impl Checkpoint {
    /// The key of this pipeline's checkpoint in a commit's `extraMetadata`.
    #[must_use]
    pub fn key(pipeline: &str) -> String {
        format!("{KEY_PREFIX}{pipeline}")
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the text is no checkpoint, [`Error::Unsupported`] where it is of a later version.
    pub fn parse(text: &str) -> Result<Self> {
        let corrupt = |reason: String| Error::Corrupt { what: "checkpoint".to_owned(), reason };
        let mut read: Self = serde_json::from_str(text).map_err(|e| corrupt(e.to_string()))?;
        if read.v > VERSION {
            return Err(Error::Unsupported {
                what: format!("checkpoint of version {}", read.v),
                why: format!("this program reads versions up to {VERSION}"),
            });
        }
        for (source, state) in &read.sources {
            if state.epoch > MAX_EPOCH {
                return Err(corrupt(format!("epoch {} of {source}", state.epoch)));
            }
            for (partition, mark) in &state.marks {
                let mut places = mark.mark.iter().chain(mark.past.iter().map(|past| &past.mark));
                if places.any(|text| StreamPosition::parse(text).is_none()) {
                    return Err(corrupt(format!("the mark of {source} in {partition} is no stream position")));
                }
            }
        }
        for position in read.topics.values_mut().flat_map(|topic| topic.partitions.values_mut()) {
            position.judged = Some(position.next);
        }
        Ok(read)
    }

    /// The checkpoint as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The next offset to read of a partition; `None` where it was never read.
    #[must_use]
    pub fn next_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        Some(self.topics.get(topic)?.partitions.get(&partition)?.next)
    }

    /// Notes that everything below `next` has been dealt with, or will be before the commit. Never goes back.
    pub fn advance(&mut self, topic: &str, partition: i32, next: i64) {
        let position = self.position(topic, partition);
        position.next = position.next.max(next);
    }

    pub(super) fn position(&mut self, topic: &str, partition: i32) -> &mut PartitionPosition {
        self.topics.entry(topic.to_owned()).or_default().partitions.entry(partition).or_default()
    }

    /// The positions as Hudi Streamer writes them (`topic,0:124,1:99`), if all are of one topic that it can name.
    #[must_use]
    pub fn streamer_text(&self) -> Option<String> {
        let (topic, position) =
            self.topics.iter().next().filter(|(topic, _)| self.topics.len() == 1 && !topic.contains(','))?;
        let partitions = position.partitions.iter().map(|(partition, at)| format!(",{partition}:{}", at.next));
        Some(std::iter::once(topic.clone()).chain(partitions).collect())
    }

    /// The epoch of a source: 0 until its positions begin anew.
    #[must_use]
    pub fn epoch(&self, source: &str) -> u8 {
        self.sources.get(source).map_or(0, |state| state.epoch)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reread(checkpoint: &Checkpoint) -> Checkpoint {
        Checkpoint::parse(&checkpoint.to_json()).unwrap()
    }

    #[test]
    fn unknown_members_are_kept_and_later_versions_refused() {
        let text = r#"{"v":1,"topics":{"t":{"partitions":{"3":{"next":5,"x":1}},"y":2}},"sources":{},"arrivals":0,"memory":"z","later":"w"}"#;
        let mut checkpoint = Checkpoint::parse(text).unwrap();
        checkpoint.advance("t", 3, 4);
        assert_eq!(reread(&checkpoint), checkpoint);
        assert_eq!(checkpoint.next_offset("t", 3), Some(5));
        for kept in [r#""x":1"#, r#""y":2"#, r#""memory":"z""#, r#""later":"w""#] {
            assert!(checkpoint.to_json().contains(kept), "{kept}");
        }
        assert!(Checkpoint::parse(r#"{"v":2}"#).unwrap_err().to_string().contains("version 2"));
    }
}
