//! Where everything of a table stands. The only place that joins paths.
//!
//! All paths are relative to the table's base, `/` separated, without a slash at either end. Holds no file names' grammar
//! (`instant`, `file_name`). Format sections 1.1, 2.8 and 3.1; timeline layouts 1 and 2.

use crate::file_name::Marker;
use crate::instant::{Instant, InstantTime};
use crate::properties::{PropertiesFile, keys};
use crate::version::TimelineLayout;

/// The folder of everything that is not data.
pub const HOODIE_DIR: &str = ".hoodie";
/// The name of the file that makes a folder a partition.
pub const PARTITION_METADATA_FILE: &str = ".hoodie_partition_metadata";
/// The kind of marker files of an instant: text of [`MARKERS_TYPE_FILE`] where markers are batched.
pub const TIMELINE_SERVER_MARKERS: &str = "TIMELINE_SERVER_BASED";
/// The file that tells that an instant's markers are batched.
pub const MARKERS_TYPE_FILE: &str = "MARKERS.type";
/// What names of batched marker files begin with, before a number; one marker a line.
pub const MARKERS_PREFIX: &str = "MARKERS";
/// The partition of a table that has none.
pub const NO_PARTITION: &str = "";

/// `parent/child`, or the other if one is empty.
pub fn join(parent: &str, child: &str) -> String {
    match (parent, child) {
        ("", only) | (only, "") => only.to_owned(),
        (parent, child) => format!("{parent}/{child}"),
    }
}

/// The properties.
pub fn properties() -> String {
    below_hoodie(keys::PROPERTIES_FILE)
}

/// The copy of the properties in the middle of an update.
pub fn properties_backup() -> String {
    below_hoodie(keys::PROPERTIES_BACKUP_FILE)
}

/// One of the two files of the properties.
pub fn properties_file(file: PropertiesFile) -> String {
    match file {
        PropertiesFile::Main => properties(),
        PropertiesFile::Backup => properties_backup(),
    }
}

/// The checksum file that Java keeps beside a file on a local file system; a rewrite must delete it.
pub fn crc_sibling(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/.{name}.crc"),
        None => format!(".{path}.crc"),
    }
}

/// The folder of the timeline.
pub fn timeline_dir(layout: TimelineLayout) -> String {
    match layout {
        TimelineLayout::V1 => HOODIE_DIR.to_owned(),
        TimelineLayout::V2 => below_hoodie("timeline"),
    }
}

/// The file of an instant's state.
pub fn timeline_file(layout: TimelineLayout, instant: &Instant) -> String {
    join(&timeline_dir(layout), &instant.file_name(layout))
}

/// The folder of the archive: below `.hoodie`, named by the table's properties, in layout 1; `timeline/history` in layout 2.
pub fn archive_dir(layout: TimelineLayout, archive_folder: &str) -> String {
    match layout {
        TimelineLayout::V1 => below_hoodie(archive_folder),
        TimelineLayout::V2 => join(&timeline_dir(layout), "history"),
    }
}

/// The folder of everything that is only there during a write.
pub fn temp_dir() -> String {
    below_hoodie(".temp")
}

/// The folder of an instant's markers.
pub fn marker_dir(instant: InstantTime) -> String {
    join(&temp_dir(), instant.as_str())
}

/// A direct marker: one empty object for each file to be written.
pub fn marker(instant: InstantTime, marker: &Marker) -> String {
    join(&marker_dir(instant), &marker.to_string())
}

/// A file of batched markers.
pub fn batched_markers(instant: InstantTime, number: u32) -> String {
    join(&marker_dir(instant), &format!("{MARKERS_PREFIX}{number}"))
}

/// The file that tells that an instant's markers are batched.
pub fn markers_type(instant: InstantTime) -> String {
    join(&marker_dir(instant), MARKERS_TYPE_FILE)
}

/// The folder of heartbeats.
pub fn heartbeat_dir() -> String {
    below_hoodie(".heartbeat")
}

/// The sign of life of the writer of a pending instant.
pub fn heartbeat(instant: InstantTime) -> String {
    join(&heartbeat_dir(), instant.as_str())
}

/// The folder of the metadata table.
pub fn metadata_table() -> String {
    below_hoodie("metadata")
}

/// Where old Trino and Athena readers look for the plan of a pending compaction.
pub fn auxiliary(name: &str) -> String {
    join(&below_hoodie(".aux"), name)
}

/// The file that makes a folder a partition.
pub fn partition_metadata(partition: &str) -> String {
    join(partition, PARTITION_METADATA_FILE)
}

/// A base or log file. `partition` is the encoded partition path, [`NO_PARTITION`] for a table without partitions.
pub fn data_file(partition: &str, name: &str) -> String {
    join(partition, name)
}

/// The folder of everything that is ours and not Hudi's.
pub fn cdc_dir() -> String {
    below_hoodie(".cdc")
}

/// The folder of messages that instants could not apply.
pub fn dead_letters_dir() -> String {
    join(&cdc_dir(), "dead_letters")
}

/// The messages that an instant could not apply.
pub fn dead_letters(instant: InstantTime) -> String {
    join(&dead_letters_dir(), &format!("{instant}.jsonl"))
}

/// The folder of what became of such messages later.
pub fn applied_letters_dir() -> String {
    join(&cdc_dir(), "applied_letters")
}

/// The messages of earlier instants that an instant applied.
pub fn applied_letters(instant: InstantTime) -> String {
    join(&applied_letters_dir(), &format!("{instant}.jsonl"))
}

/// What a pipeline remembers of rows beside the table, as of an instant.
pub fn row_memory(pipeline: &str, instant: InstantTime) -> String {
    join(&join(&cdc_dir(), pipeline), &format!("memory-{instant}.parquet"))
}

/// The lock of a table in a local folder: an empty file that the operating system locks.
pub fn file_lock() -> String {
    join(&cdc_dir(), "table.lock")
}

/// The lock of a table on an object store, as Java's storage-based lock provider keeps it.
pub fn table_lock() -> String {
    below_hoodie(".locks/table_lock.json")
}

/// The folder of notes on instants that were rolled back.
pub fn rolled_back_dir() -> String {
    join(&cdc_dir(), "rolled_back")
}

/// The note that an instant was rolled back, and which files it must not have.
pub fn rolled_back(instant: InstantTime) -> String {
    join(&rolled_back_dir(), &format!("{instant}.json"))
}

/// Whether a path is below `.hoodie`.
pub fn is_below_hoodie(path: &str) -> bool {
    path.strip_prefix(HOODIE_DIR).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The folder and the name of a path; the folder of a name alone is empty.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn below_hoodie(name: &str) -> String {
    join(HOODIE_DIR, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instant::Action;

    #[test]
    fn paths_have_no_slash_at_their_ends() {
        let t = InstantTime::from_millis(0);
        assert_eq!(data_file("", "f.parquet"), "f.parquet");
        assert_eq!(data_file("a=1/b=2", "f.parquet"), "a=1/b=2/f.parquet");
        assert_eq!(partition_metadata(""), ".hoodie_partition_metadata");
        assert_eq!(crc_sibling(&properties()), ".hoodie/.hoodie.properties.crc");
        assert_eq!(heartbeat(t), ".hoodie/.heartbeat/19700101000000000");
        assert_eq!(dead_letters(t), ".hoodie/.cdc/dead_letters/19700101000000000.jsonl");
        let commit = Instant::requested(t, Action::Commit).inflight();
        assert_eq!(timeline_file(TimelineLayout::V1, &commit), ".hoodie/19700101000000000.inflight");
        assert_eq!(timeline_file(TimelineLayout::V2, &commit), ".hoodie/timeline/19700101000000000.inflight");
        assert!(is_below_hoodie(".hoodie/x") && !is_below_hoodie(".hoodie_partition_metadata"));
    }
}
