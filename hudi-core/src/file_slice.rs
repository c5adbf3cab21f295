//! File groups and their slices: which files of a partition are data, and which belong together.
//!
//! Built from names and sizes, a timeline, and the file groups that were replaced. Does not list, nor read files: which
//! *blocks* of a log are committed is seen only inside it. Format sections 2.7, 4.1 and 5.2; table versions 6, 8 and 9.

use std::collections::{BTreeMap, HashSet};

use crate::error::Result;
use crate::file_name::{BaseFileName, FileId, LogFileName};
use crate::instant::{InstantTime, State};
use crate::timeline::Timeline;
use crate::version::TimelineLayout;

/// A base file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFile {
    /// Its name.
    pub name: BaseFileName,
    /// Its size, bytes.
    pub size_bytes: u64,
}

/// A log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its name.
    pub name: LogFileName,
    /// Its size, bytes.
    pub size_bytes: u64,
}

/// A base file and the logs on top of it: one version of a file group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSlice {
    /// The file group.
    pub file_id: FileId,
    /// The instant of the base file; of the first log where there is none.
    pub base_instant: InstantTime,
    /// The base file, if there is one.
    pub base: Option<BaseFile>,
    /// The logs, in the order in which they are read.
    pub logs: Vec<LogFile>,
    /// A compaction that is scheduled for the file group, as far as its logs show: new logs must carry its instant.
    pub pending_compaction: Option<InstantTime>,
}

impl FileSlice {
    fn new(file_id: &FileId, base_instant: InstantTime) -> Self {
        Self { file_id: file_id.clone(), base_instant, base: None, logs: Vec::new(), pending_compaction: None }
    }

    /// The bytes of all its files.
    pub fn size_bytes(&self) -> u64 {
        let base = self.base.as_ref().map_or(0, |base| base.size_bytes);
        base + self.logs.iter().map(|log| log.size_bytes).sum::<u64>()
    }

    /// The names of all its files, the base file first.
    pub fn file_names(&self) -> impl Iterator<Item = String> {
        let base = self.base.iter().map(|base| base.name.to_string());
        base.chain(self.logs.iter().map(|log| log.name.to_string()))
    }
}

/// The newest committed slice of each file group of a partition, ordered by file id.
///
/// `files` are names and sizes in bytes of everything in the partition's folder; what is not Hudi's, not committed, or of a
/// file group in `replaced` is passed over. While a compaction waits, its logs are read on top of the slice before it.
/// Errors: `BadName` for a file that claims to be a base or log file and breaks the grammar.
pub fn latest_file_slices<'a>(
    files: impl IntoIterator<Item = (&'a str, u64)>,
    timeline: &Timeline,
    replaced: &HashSet<FileId>,
) -> Result<Vec<FileSlice>> {
    let groups = file_groups(files, timeline)?;
    let kept = groups.into_iter().filter(|(file_id, _)| !replaced.contains(file_id));
    Ok(kept.filter_map(|(_, slices)| latest(slices)).collect())
}

/// All committed slices of each file group of a partition, oldest first; replaced groups too.
///
/// A slice whose base instant is a pending compaction stands last, with logs only. Errors: as [`latest_file_slices`].
pub fn file_groups<'a>(
    files: impl IntoIterator<Item = (&'a str, u64)>,
    timeline: &Timeline,
) -> Result<BTreeMap<FileId, Vec<FileSlice>>> {
    let mut slices: BTreeMap<(FileId, InstantTime), FileSlice> = BTreeMap::new();
    let mut logs = Vec::new();
    for (name, size_bytes) in files {
        match DataFileName::parse(name)? {
            Some(DataFileName::Base(name)) if timeline.is_committed(&name.instant) => {
                let slice = slices.entry((name.file_id.clone(), name.instant));
                let slice = slice.or_insert_with(|| FileSlice::new(&name.file_id, name.instant));
                slice.base = newer_attempt(slice.base.take(), BaseFile { name, size_bytes });
            }
            Some(DataFileName::Log(name)) if !name.is_cdc && is_visible(&name, timeline) => {
                logs.push(LogFile { name, size_bytes });
            }
            _ => {}
        }
    }
    // Oldest first, so that in layout 2 a slice of logs alone begins with the first of them.
    logs.sort_by(|a, b| a.name.read_order().cmp(&b.name.read_order()));
    for log in logs {
        let base_instant = base_instant(&log.name, &slices, timeline);
        let slice = slices.entry((log.name.file_id.clone(), base_instant));
        let slice = slice.or_insert_with(|| FileSlice::new(&log.name.file_id, base_instant));
        slice.pending_compaction = timeline.is_pending_compaction(&base_instant).then_some(base_instant);
        slice.logs.push(log);
    }
    let mut groups: BTreeMap<FileId, Vec<FileSlice>> = BTreeMap::new();
    for ((file_id, _), slice) in slices {
        groups.entry(file_id).or_default().push(slice);
    }
    Ok(groups)
}

/// The names of the base and log files that no completed instant vouches for, in the order given.
///
/// What a rollback deletes, and what becomes data once the timeline has passed it. In version 6 a log file that was added
/// to a committed slice is not among them: its name carries the slice's instant. Errors: as [`latest_file_slices`].
pub fn uncommitted_files<'a>(names: impl IntoIterator<Item = &'a str>, timeline: &Timeline) -> Result<Vec<&'a str>> {
    let mut uncommitted = Vec::new();
    for name in names {
        let committed = match DataFileName::parse(name)? {
            Some(DataFileName::Base(base)) => timeline.is_committed(&base.instant),
            Some(DataFileName::Log(log)) => is_visible(&log, timeline),
            None => true,
        };
        if !committed {
            uncommitted.push(name);
        }
    }
    Ok(uncommitted)
}

/// A file of a partition that is Hudi's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum DataFileName {
    Base(BaseFileName),
    Log(LogFileName),
}

impl DataFileName {
    fn parse(name: &str) -> Result<Option<Self>> {
        if let Some(log) = LogFileName::parse(name)? {
            return Ok(Some(Self::Log(log)));
        }
        Ok(BaseFileName::parse(name)?.map(Self::Base))
    }
}

/// Two attempts of one instant: Java's readers take either; we take the one with the greater token.
fn newer_attempt(kept: Option<BaseFile>, found: BaseFile) -> Option<BaseFile> {
    match kept {
        Some(kept) if kept.name.write_token >= found.name.write_token => Some(kept),
        _ => Some(found),
    }
}

fn is_visible(log: &LogFileName, timeline: &Timeline) -> bool {
    let waits_for_base = timeline.layout() == TimelineLayout::V1 && timeline.is_pending_compaction(&log.instant);
    waits_for_base || timeline.is_committed(&log.instant)
}

/// The base instant of the slice that a visible log belongs to.
fn base_instant(
    log: &LogFileName,
    slices: &BTreeMap<(FileId, InstantTime), FileSlice>,
    timeline: &Timeline,
) -> InstantTime {
    match timeline.layout() {
        TimelineLayout::V1 => log.instant,
        TimelineLayout::V2 => {
            let completed = completion_time(log.instant, timeline);
            let earliest = (log.file_id.clone(), InstantTime::EARLIEST);
            let range = slices.range(earliest..=(log.file_id.clone(), completed));
            range.map(|((_, instant), _)| *instant).next_back().unwrap_or(log.instant)
        }
    }
}

/// An archived instant's completion time is not on the timeline; nothing active was before it.
fn completion_time(instant: InstantTime, timeline: &Timeline) -> InstantTime {
    let completed = timeline.at(instant).filter(|i| i.action.is_write()).find_map(|i| match i.state {
        State::Completed { at } => at,
        _ => None,
    });
    completed.unwrap_or(instant)
}

/// The newest slice; one that waits for its base file is put on top of the one before.
fn latest(mut slices: Vec<FileSlice>) -> Option<FileSlice> {
    let newest = slices.pop()?;
    if newest.pending_compaction.is_none() {
        return Some(newest);
    }
    let Some(mut before) = latest(slices) else { return Some(newest) };
    before.logs.extend(newest.logs);
    before.pending_compaction = newest.pending_compaction;
    Some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: [&str; 10] = [
        "20240101000000000",
        "20240101000000001",
        "20240101000000002",
        "20240101000000003",
        "20240101000000004",
        "20240101000000005",
        "20240101000000006",
        "20240101000000007",
        "20240101000000008",
        "20240101000000009",
    ];

    fn base(group: &str, at: usize) -> String {
        format!("{group}-0_0-1-2_{}.parquet", T[at])
    }

    fn log(group: &str, at: usize, version: u32) -> String {
        format!(".{group}-0_{}.log.{version}_0-1-2", T[at])
    }

    fn slices(
        layout: TimelineLayout,
        timeline: &[String],
        files: &[String],
        replaced: &[&str],
    ) -> Vec<(String, Vec<String>)> {
        let timeline = Timeline::from_names(layout, timeline.iter().map(String::as_str)).unwrap();
        let replaced = replaced.iter().map(|id| FileId::parse(id).unwrap()).collect();
        let files = files.iter().map(|f| (f.as_str(), 1));
        let slices = latest_file_slices(files, &timeline, &replaced).unwrap();
        slices.iter().map(|s| (s.base_instant.to_string(), s.file_names().collect())).collect()
    }

    #[test]
    fn the_newest_committed_base_file_of_each_group_is_taken() {
        let timeline = [format!("{}.commit", T[1]), format!("{}.commit", T[2]), format!("{}.inflight", T[3])];
        let files =
            [base("b", 3), base("a", 1), base("a", 2), base("a", 3), base("c", 2), base("r", 1), "readme".to_owned()];
        let got = slices(TimelineLayout::V1, &timeline, &files, &["r-0"]);
        assert_eq!(got, [(T[2].to_owned(), vec![base("a", 2)]), (T[2].to_owned(), vec![base("c", 2)])]);
        let all = Timeline::from_names(TimelineLayout::V1, timeline.iter().map(String::as_str)).unwrap();
        let uncommitted = uncommitted_files(files.iter().map(String::as_str), &all).unwrap();
        assert_eq!(uncommitted, [base("b", 3), base("a", 3)]);
    }

    #[test]
    fn logs_of_version_6_belong_to_the_base_file_of_their_instant() {
        let timeline = [format!("{}.deltacommit", T[1]), format!("{}.commit", T[4])];
        let files = [
            log("a", 4, 10),
            base("a", 1),
            log("a", 1, 1),
            base("a", 4),
            log("a", 4, 2),
            log("b", 1, 1),
            log("c", 7, 1),
        ];
        let got = slices(TimelineLayout::V1, &timeline, &files, &[]);
        let a = vec![base("a", 4), log("a", 4, 2), log("a", 4, 10)];
        assert_eq!(got, [(T[4].to_owned(), a), (T[1].to_owned(), vec![log("b", 1, 1)])]);
    }

    #[test]
    fn logs_that_wait_for_a_compaction_are_read_on_the_slice_before() {
        let timeline = [
            format!("{}.deltacommit", T[1]),
            format!("{}.compaction.requested", T[4]),
            format!("{}.deltacommit", T[5]),
        ];
        let files = [base("a", 1), log("a", 1, 1), log("a", 4, 1), base("a", 4), log("b", 4, 1)];
        let got = slices(TimelineLayout::V1, &timeline, &files, &[]);
        let a = vec![base("a", 1), log("a", 1, 1), log("a", 4, 1)];
        assert_eq!(got, [(T[1].to_owned(), a), (T[4].to_owned(), vec![log("b", 4, 1)])]);
        let timeline = Timeline::from_names(TimelineLayout::V1, timeline.iter().map(String::as_str)).unwrap();
        let slices = latest_file_slices(files.iter().map(|f| (f.as_str(), 1)), &timeline, &HashSet::new()).unwrap();
        assert!(slices.iter().all(|s| s.pending_compaction == Some(InstantTime::parse(T[4]).unwrap())));
    }

    #[test]
    fn logs_of_layout_2_belong_to_the_base_file_before_their_completion() {
        let done = |at: usize, done: usize, action: &str| format!("{}_{}.{action}", T[at], T[done]);
        let timeline =
            [done(1, 2, "deltacommit"), done(4, 6, "commit"), done(3, 7, "deltacommit"), done(2, 3, "deltacommit")];
        let files = [
            base("a", 1),
            base("a", 4),
            log("a", 2, 1),
            log("a", 3, 1),
            log("a", 8, 1),
            log("b", 2, 1),
            log("b", 3, 1),
        ];
        let got = slices(TimelineLayout::V2, &timeline, &files, &[]);
        let (a, b) = (vec![base("a", 4), log("a", 3, 1)], vec![log("b", 2, 1), log("b", 3, 1)]);
        assert_eq!(got, [(T[4].to_owned(), a), (T[2].to_owned(), b)]);
    }
}
