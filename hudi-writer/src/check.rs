//! [`check_table`]: whether a table is what its timeline says, file by file and row by row.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use hashbrown::DefaultHashBuilder;
use hudi_core::bloom::BloomFilter;
use hudi_core::bucket::bucket_of;
use hudi_core::commit::WriteStat;
use hudi_core::file_name::BaseFileName;
use hudi_core::file_slice::FileSlice;
use hudi_core::instant::InstantTime;
use hudi_core::key::KeySpec;
use hudi_core::layout;
use hudi_core::properties::keys;
use hudi_core::schema::meta;

use crate::compute::Compute;
use crate::error::{Error, Result, format};
use crate::file::{BaseFileFooter, BatchReader, java_less, read_footer};
use crate::settings::Index;
use crate::store::Object;
use crate::table::{Table, stored_index};

/// Of one kind, so many problems are listed for one file.
const LISTED: usize = 3;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Base files that were read.
    pub files: u64,
    /// Rows that were read.
    pub rows: u64,
    /// What is wrong, each with the path that it is about. Holds record keys.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, path: &str, problem: impl AsRef<str>) {
        self.problems.push(format!("{path}: {}", problem.as_ref()));
    }
}

/// Reads the whole table and compares it with itself: every committed file is there with its recorded size and rows, every
/// key stands once (in its partition, or under a global index in the table) and in its bucket, meta columns, footers and statistics are true, and nothing uncommitted can be seen.
///
/// Memory follows the keys of one partition, or of the table under a global index (16 bytes each). Writes nothing.
///
/// # Errors
/// Where the store or a file cannot be read at all; what can be read and is wrong is in the report.
pub async fn check_table(table: &Table) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let (stats, listed) = latest_stats(table).await?;
    let objects = table.store.list("").await?;
    let slices = table.slices_among(objects.iter().cloned())?;
    check_objects(table, &objects, &stats, &listed, &mut report).await?;
    check_stats(&stats, &slices, table, &mut report);
    let global = stored_index(&table.properties)? == Index::GlobalSimple;
    let mut seen = HashSet::new();
    for (partition, slices) in &slices {
        if !global {
            seen.clear();
        }
        for slice in slices {
            let stat = stats.get(&(partition.clone(), slice.file_id.to_string()));
            SliceCheck::new(table, partition, slice)?.run(stat, &mut seen, &mut report).await?;
        }
    }
    Ok(report)
}

type Stats = BTreeMap<(String, String), WriteStat>;

/// The newest stat of every file group, by partition and file id; and every path that a commit lists.
async fn latest_stats(table: &Table) -> Result<(Stats, HashSet<String>)> {
    let (mut stats, mut listed) = (Stats::new(), HashSet::new());
    for instant in table.timeline.completed_writes() {
        let metadata = table.commit_metadata(instant).await?;
        for (partition, of_partition) in metadata.partition_to_write_stats {
            for stat in of_partition {
                listed.insert(stat.path.clone());
                stats.insert((partition.clone(), stat.file_id.clone()), stat);
            }
        }
    }
    Ok((stats, listed))
}

/// Files that no instant answers for, and folders that Java would not read.
async fn check_objects(
    table: &Table,
    objects: &[Object],
    stats: &Stats,
    listed: &HashSet<String>,
    report: &mut CheckReport,
) -> Result<()> {
    let folder = layout::archive_dir(table.timeline.layout(), table.properties.archive_folder());
    let archived = !table.store.list(&folder).await?.is_empty();
    let begins = table.timeline.instants().first().map(|instant| instant.time);
    let pending: HashSet<InstantTime> = table.timeline.pending().map(|instant| instant.time).collect();
    let mut has_data: HashSet<String> = HashSet::new();
    let mut is_partition: HashSet<String> = HashSet::new();
    for object in objects {
        if layout::is_below_hoodie(&object.path) {
            continue;
        }
        let (partition, name) = layout::split(&object.path);
        if name == layout::PARTITION_METADATA_FILE {
            is_partition.insert(partition.to_owned());
            continue;
        }
        let Some(base) = BaseFileName::parse(name).ok().flatten() else {
            report.add(&object.path, "neither a base file nor anything else that a copy-on-write table has");
            continue;
        };
        has_data.insert(partition.to_owned());
        let before_the_timeline = archived && begins.is_some_and(|begins| base.instant < begins);
        if !listed.contains(&object.path) && !pending.contains(&base.instant) && !before_the_timeline {
            report.add(&object.path, "no commit lists it, and it is not pending: it is data, or may become data");
        }
        let stat = stats.get(&(partition.to_owned(), base.file_id.to_string())).filter(|s| s.path == object.path);
        if let Some(stat) = stat.filter(|stat| stat.file_size_in_bytes != object.size_bytes) {
            report.add(&object.path, format!("{} bytes, recorded {}", object.size_bytes, stat.file_size_in_bytes));
        }
    }
    for partition in has_data.difference(&is_partition) {
        report.add(partition, format!("no {}: Java does not see its rows", layout::PARTITION_METADATA_FILE));
    }
    Ok(())
}

/// Whether the newest file of every file group is the one that is read.
fn check_stats(stats: &Stats, slices: &BTreeMap<String, Vec<FileSlice>>, table: &Table, report: &mut CheckReport) {
    let mut read: HashMap<(&str, &str), &FileSlice> = HashMap::new();
    for (partition, slices) in slices {
        read.extend(slices.iter().map(|slice| ((partition.as_str(), slice.file_id.as_str()), slice)));
    }
    for ((partition, file_id), stat) in stats {
        if table.replaced.iter().any(|(of, id)| of == partition && id.as_str() == file_id) {
            continue;
        }
        let base = read.get(&(partition.as_str(), file_id.as_str())).and_then(|slice| slice.base.as_ref());
        let path = base.map(|base| layout::data_file(partition, &base.name.to_string()));
        if path.as_deref() != Some(stat.path.as_str()) {
            report.add(&stat.path, "committed, but it is not what is read of its file group");
        }
    }
}

/// The check of one file.
struct SliceCheck<'a> {
    table: &'a Table,
    partition: &'a str,
    slice: &'a FileSlice,
    keys: KeySpec,
    index: Index,
    path: String,
    rows: u64,
    least: Option<String>,
    greatest: Option<String>,
    found: BTreeMap<&'static str, Vec<String>>,
}

impl<'a> SliceCheck<'a> {
    fn new(table: &'a Table, partition: &'a str, slice: &'a FileSlice) -> Result<Self> {
        let name = slice.base.as_ref().map(|base| base.name.to_string()).unwrap_or_default();
        Ok(Self {
            table,
            partition,
            slice,
            keys: KeySpec::of(&table.properties),
            index: stored_index(&table.properties)?,
            path: layout::data_file(partition, &name),
            rows: 0,
            least: None,
            greatest: None,
            found: BTreeMap::new(),
        })
    }

    async fn run(
        mut self,
        stat: Option<&WriteStat>,
        seen: &mut HashSet<(u64, u64)>,
        report: &mut CheckReport,
    ) -> Result<()> {
        let Some(base) = &self.slice.base else { return Ok(()) };
        match self.read(base.size_bytes, stat, seen).await {
            // What cannot be decoded is a finding like any other.
            Err(error @ (Error::Columns { .. } | Error::Corrupt { .. })) => report.problems.push(error.to_string()),
            other => other?,
        }
        report.files += 1;
        report.rows += self.rows;
        for (kind, examples) in &self.found {
            for example in examples.iter().take(LISTED) {
                report.add(&self.path, format!("{kind}: {example}"));
            }
            if examples.len() > LISTED {
                report.add(&self.path, format!("{kind}: {} more", examples.len() - LISTED));
            }
        }
        Ok(())
    }

    async fn read(&mut self, size_bytes: u64, stat: Option<&WriteStat>, seen: &mut HashSet<(u64, u64)>) -> Result<()> {
        let footer = read_footer(&self.table.store, &self.path, size_bytes).await?;
        let filter = self.filter(&footer);
        let mut reader = BatchReader::new(&self.table.store, &footer, None, &Compute::default())?;
        while let Some(batch) = reader.next().await? {
            self.check_batch(&batch, filter.as_ref(), seen)?;
        }
        self.check_footer(&footer, stat);
        Ok(())
    }

    fn note(&mut self, kind: &'static str, example: impl Into<String>) {
        self.found.entry(kind).or_default().push(example.into());
    }

    fn filter(&mut self, footer: &BaseFileFooter) -> Option<BloomFilter> {
        let Some(text) = footer.value(keys::FOOTER_BLOOM_FILTER) else {
            self.note("footer", "no bloom filter: Java's BLOOM index fails on it");
            return None;
        };
        match BloomFilter::from_footer_text(text, footer.value(keys::FOOTER_BLOOM_TYPE_CODE)) {
            Ok(filter) => Some(filter),
            Err(error) => {
                self.note("footer", error.to_string());
                None
            }
        }
    }

    fn check_batch(
        &mut self,
        batch: &RecordBatch,
        filter: Option<&BloomFilter>,
        seen: &mut HashSet<(u64, u64)>,
    ) -> Result<()> {
        let column = |name: &str| batch.column_by_name(name).and_then(|c| c.as_string_opt::<i32>()).cloned();
        let all: Vec<Option<StringArray>> = meta::NAMES.iter().map(|name| column(name)).collect();
        let [Some(times), Some(seqnos), Some(record_keys), Some(partitions), Some(names)] = all.as_slice() else {
            self.note("meta columns", "not all five are there as text");
            return Ok(());
        };
        // Keys that were made up are those of no column.
        let derived = match self.keys.is_keyless() {
            true => record_keys.clone(),
            false => self.keys.record_keys(batch).map_err(format)?.keys,
        };
        let paths = self.keys.partition_paths(batch).map_err(format)?;
        for row in 0..batch.num_rows() {
            let key = record_keys.value(row);
            self.check_key(key, filter, seen);
            if derived.is_valid(row) && derived.value(row) != key || record_keys.is_null(row) {
                self.note("record key differs from its columns", key);
            }
            let in_folder = partitions.is_valid(row) && partitions.value(row) == self.partition;
            if !in_folder || paths.paths.is_valid(row) && paths.paths.value(row) != self.partition {
                self.note("row in the wrong partition", key);
            }
            if names.is_null(row) || !self.path.ends_with(names.value(row)) {
                self.note("another file's name", key);
            }
            self.check_time(times.value(row), seqnos.value(row), key);
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn check_key(&mut self, key: &str, filter: Option<&BloomFilter>, seen: &mut HashSet<(u64, u64)>) {
        if !seen.insert(double_hash(key)) {
            let twice = match self.index {
                Index::GlobalSimple => "key stands twice in the table",
                Index::Simple | Index::Bucket(_) => "key stands twice in its partition",
            };
            self.note(twice, key);
        }
        if filter.is_some_and(|filter| !filter.contains(key.as_bytes())) {
            self.note("key is not in the bloom filter", key);
        }
        if let Index::Bucket(buckets) = self.index {
            let bucket = bucket_of(key, &self.keys.record_key_fields, buckets.get());
            if self.slice.file_id.bucket() != Some(bucket) {
                self.note("key in the wrong bucket", key);
            }
        }
        if self.least.as_deref().is_none_or(|least| java_less(key, least)) {
            self.least = Some(key.to_owned());
        }
        if self.greatest.as_deref().is_none_or(|greatest| java_less(greatest, key)) {
            self.greatest = Some(key.to_owned());
        }
    }

    fn check_time(&mut self, time: &str, seqno: &str, key: &str) {
        let parsed = InstantTime::parse(time).ok();
        if !parsed.is_some_and(|t| t <= self.slice.base_instant && self.table.timeline.is_committed(&t)) {
            self.note("commit time is no committed instant up to the file's", key);
        }
        if !seqno.strip_prefix(time).is_some_and(|rest| rest.starts_with('_')) {
            self.note("sequence number of another commit", key);
        }
    }

    fn check_footer(&mut self, footer: &BaseFileFooter, stat: Option<&WriteStat>) {
        let bounds =
            [(keys::FOOTER_MIN_RECORD_KEY, self.least.take()), (keys::FOOTER_MAX_RECORD_KEY, self.greatest.take())];
        for (name, bound) in bounds {
            if footer.value(name) != bound.as_deref() {
                self.note("footer", format!("{name} is not that of the rows"));
            }
        }
        if let Some(stat) = stat.filter(|stat| stat.path == self.path && stat.num_writes != self.rows) {
            let (rows, recorded) = (self.rows, stat.num_writes);
            self.note("statistics", format!("{rows} rows, recorded {recorded}"));
        }
    }
}

/// Two independent hashes: keys are told apart by 128 bits.
fn double_hash(key: &str) -> (u64, u64) {
    use std::sync::LazyLock;
    static HASHERS: LazyLock<[DefaultHashBuilder; 2]> = LazyLock::new(Default::default);
    (HASHERS[0].hash_one(key), HASHERS[1].hash_one((key, 1u8)))
}
