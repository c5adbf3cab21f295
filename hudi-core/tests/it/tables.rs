//! Real tables of Hudi's Java, where they are at hand: names, properties, commits, slices, bloom filters.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use hudi_core::bloom::{BloomFilter, TYPE_CODE};
use hudi_core::commit::{CommitMetadata, WriteOperation};
use hudi_core::file_name::{BaseFileName, FileId, LogFileName};
use hudi_core::file_slice::{file_groups, latest_file_slices};
use hudi_core::instant::Instant;
use hudi_core::key::{KeyGenerator, KeySpec};
use hudi_core::layout;
use hudi_core::properties::text::from_latin1;
use hudi_core::properties::{TableProperties, keys};
use hudi_core::schema::{avro, meta};
use hudi_core::timeline::Timeline;
use hudi_core::version::TimelineLayout;

use crate::fixtures::ZippedTable;

fn properties(table: &ZippedTable) -> TableProperties {
    let text = from_latin1(&table.read(&layout::properties()));
    TableProperties::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", table.label()))
}

fn timeline(table: &ZippedTable, layout: TimelineLayout) -> Timeline {
    Timeline::from_names(layout, table.names_in(&layout::timeline_dir(layout))).unwrap()
}

fn commits(table: &ZippedTable, timeline: &Timeline) -> Vec<CommitMetadata> {
    let file = |i| layout::timeline_file(timeline.layout(), i);
    timeline.completed_writes().map(|i| CommitMetadata::from_json(&table.read(&file(i))).unwrap()).collect()
}

#[test]
fn every_tables_properties_are_read_and_their_checksum_holds() {
    for table in ZippedTable::all() {
        let p = properties(&table);
        assert!(p.get(keys::TABLE_CHECKSUM).is_some(), "{}", table.label());
        assert_eq!(TableProperties::parse(&p.to_text(0)).unwrap(), p);
        assert!(table.label().contains(&format!("v{}_", p.version())));
        let writable = matches!(p.key_generator(), KeyGenerator::Simple | KeyGenerator::NonPartitioned);
        assert!(!writable || KeySpec::of(&p).verify().is_ok(), "{}", table.label());
    }
}

#[test]
fn every_file_of_every_timeline_is_known_and_printed_as_it_was() {
    for table in ZippedTable::all() {
        let layout = properties(&table).layout();
        let dir = layout::timeline_dir(layout);
        let digits_first = |n: &&str| n.starts_with(|c: char| c.is_ascii_digit());
        for name in table.names_in(&dir).filter(digits_first) {
            let instant = Instant::parse(layout, name).unwrap();
            let instant = instant.unwrap_or_else(|| panic!("{}: {name} is unknown", table.label()));
            assert_eq!(instant.file_name(layout), name);
        }
    }
}

#[test]
fn commits_of_version_6_are_read_and_their_files_are_the_latest_slices() {
    for table in ZippedTable::all() {
        let p = properties(&table);
        if p.layout() != TimelineLayout::V1 {
            continue;
        }
        let timeline = timeline(&table, p.layout());
        let commits = commits(&table, &timeline);
        let mut replaced = HashSet::new();
        let mut newest: BTreeMap<(String, String), String> = BTreeMap::new();
        for commit in &commits {
            assert_ne!(commit.operation_type, WriteOperation::Unknown, "{}", table.label());
            assert_eq!(CommitMetadata::from_json(commit.to_json().as_bytes()).unwrap(), *commit);
            replaced.extend(commit.replaced_file_ids().map(|(_, id)| FileId::parse(id).unwrap()));
            for stat in commit.write_stats().filter(|s| s.log.is_none()) {
                let (partition, name) = layout::split(&stat.path);
                assert_eq!(partition, stat.partition_path);
                newest.insert((partition.to_owned(), stat.file_id.clone()), name.to_owned());
            }
        }
        newest.retain(|(_, id), _| !replaced.contains(&FileId::parse(id).unwrap()));
        let partitions: BTreeSet<&str> = table.data().map(|path| layout::split(path).0).collect();
        let mut found = BTreeMap::new();
        for partition in partitions {
            let files = table.names_in(partition).map(|n| (n, 1));
            for slice in latest_file_slices(files, &timeline, &replaced).unwrap() {
                if let Some(base) = slice.base {
                    found.insert((partition.to_owned(), slice.file_id.to_string()), base.name.to_string());
                }
            }
        }
        assert_eq!(found, newest, "{}", table.label());
    }
}

#[test]
fn every_data_file_is_known_and_printed_as_it_was() {
    for table in ZippedTable::all() {
        for path in table.data().filter(|p| !p.ends_with(".crc") && !p.ends_with(".lance")) {
            let name = layout::split(path).1;
            if name == layout::PARTITION_METADATA_FILE {
                let text = from_latin1(&table.read(path));
                let metadata = hudi_core::partition_metadata::PartitionMetadata::parse(&text).unwrap();
                let partition = layout::split(path).0;
                assert_eq!(
                    metadata,
                    hudi_core::partition_metadata::PartitionMetadata::new(metadata.commit_time, partition)
                );
            } else if name.ends_with(".parquet") {
                assert_eq!(BaseFileName::parse(name).unwrap().unwrap().to_string(), name);
            } else if name.contains(".log.") {
                assert_eq!(LogFileName::parse(name).unwrap().unwrap().to_string(), name);
            }
        }
        let layout = properties(&table).layout();
        for partition in table.data().map(|p| layout::split(p).0).collect::<BTreeSet<_>>() {
            file_groups(table.names_in(partition).map(|n| (n, 1)), &timeline(&table, layout)).unwrap();
        }
    }
}

#[test]
fn the_schema_of_a_commit_comes_back_as_it_was() {
    let (mut seen, mut columns) = (0, 0);
    for table in ZippedTable::all() {
        let p = properties(&table);
        if p.layout() != TimelineLayout::V1 {
            continue;
        }
        for commit in commits(&table, &timeline(&table, p.layout())) {
            let Some(avro_json) = commit.schema() else { continue };
            let schema = avro::from_avro(avro_json).unwrap();
            let back: serde_json::Value = serde_json::from_str(&avro::to_avro(p.name(), &schema).unwrap()).unwrap();
            let want: serde_json::Value = serde_json::from_str(avro_json).unwrap();
            assert_eq!(back, want, "{}", table.label());
            let with_meta = meta::with_meta_fields(&schema);
            let read = avro::from_avro(&avro::to_avro(p.name(), &with_meta).unwrap()).unwrap();
            assert_eq!(read, with_meta);
            assert_eq!(meta::without_meta_fields(&read), schema);
            seen += 1;
            columns = columns.max(schema.fields().len());
        }
    }
    eprintln!("{seen} schemas, up to {columns} columns");
}

/// The value of a footer's key, found by its bytes: each text is behind its type and length.
fn footer_value(file: &[u8], key: &str) -> Option<String> {
    let at = file.windows(key.len()).rposition(|w| w == key.as_bytes())? + key.len();
    assert_eq!(file[at], 0x18);
    let (mut length, mut shift, mut from) = (0_usize, 0, at + 1);
    loop {
        length |= usize::from(file[from] & 0x7f) << shift;
        (shift, from) = (shift + 7, from + 1);
        if file[from - 1] & 0x80 == 0 {
            break;
        }
    }
    Some(String::from_utf8(file[from..from + length].to_vec()).unwrap())
}

#[test]
fn bloom_filters_of_java_hold_their_keys_and_those_of_two_keys_are_ours_to_the_bit() {
    let (mut read, mut exact) = (0, 0);
    for table in ZippedTable::all() {
        for path in table.data().filter(|p| p.ends_with(".parquet")) {
            let file = table.read(path);
            let Some(text) = footer_value(&file, keys::FOOTER_BLOOM_FILTER) else { continue };
            assert_eq!(footer_value(&file, keys::FOOTER_BLOOM_TYPE_CODE).as_deref(), Some(TYPE_CODE));
            let filter = BloomFilter::from_footer_text(&text, Some(TYPE_CODE)).unwrap();
            assert_eq!(filter.to_footer_text(), text);
            let ends = [keys::FOOTER_MIN_RECORD_KEY, keys::FOOTER_MAX_RECORD_KEY].map(|key| footer_value(&file, key));
            let ends: BTreeSet<String> = ends.into_iter().flatten().collect();
            assert!(ends.iter().all(|key| filter.contains(key.as_bytes())));
            let count = i32::from_be_bytes(filter.to_bytes()[17..21].try_into().unwrap());
            if count == ends.len() as i32 {
                let mut ours = BloomFilter::new(60_000, 1e-9, 100_000);
                ends.iter().for_each(|key| ours.insert(key.as_bytes()));
                assert_eq!(ours, filter, "{path}");
                exact += 1;
            }
            read += 1;
        }
    }
    eprintln!("{read} filters read, {exact} made again");
}
