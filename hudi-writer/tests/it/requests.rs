//! What a commit asks of the store does not grow with the table.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use hudi_core::change::Op;
use hudi_writer::{Index, NewTable, RequestCounts, TableWriter, WriterSettings};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::model::{Change, batch, commit};

/// Rows of one commit while the table is filled.
const CHUNK_ROWS: i64 = 500_000;

/// A place, or a store that is handed in.
#[derive(Clone)]
enum Place {
    Memory(Arc<dyn ObjectStore>, String),
    #[cfg(feature = "s3")]
    Url(String),
}

impl Place {
    fn writer(&self, sole_writer: bool) -> hudi_writer::WriterBuilder {
        let settings = WriterSettings { sole_writer, ..WriterSettings::default() };
        match self {
            Self::Memory(store, name) => {
                TableWriter::builder(format!("memory:///{name}")).store(Arc::clone(store), "t").settings(settings)
            }
            #[cfg(feature = "s3")]
            Self::Url(url) => TableWriter::builder(url).settings(settings),
        }
    }
}

/// How many rows a table has, in how many file groups.
type Size = (i64, u32);

/// The requests of a commit that changes one row, after the table was filled.
async fn requests_of_a_commit(place: &Place, (rows, buckets): Size, sole_writer: bool) -> RequestCounts {
    let table = NewTable::new("t", ["id"]).index(Index::Bucket(NonZeroU32::new(buckets).unwrap()));
    let mut writer = place.writer(sole_writer).create(&table).await.unwrap();
    let mut offset = 0;
    while offset < rows {
        let end = rows.min(offset + CHUNK_ROWS);
        let changes: Vec<Change> = (offset..end).map(|id| Change::new(Op::Insert, id, 1)).collect();
        assert_eq!(writer.write(&batch(&changes, offset)).unwrap().refused, []);
        commit(&mut writer).await;
        offset = end;
    }
    let mut counts = vec![];
    for round in 0..2 {
        let before = writer.requests();
        let change = Change::new(Op::Update, 7, 2 + round);
        let _ = writer.write(&batch(&[change], offset + round)).unwrap();
        let done = commit(&mut writer).await;
        assert_eq!((done.updated_rows, done.files), (1, 1));
        counts.push(writer.requests() - before);
    }
    assert_eq!(counts[0], counts[1], "the second commit costs what the first did");
    counts[1]
}

async fn compare(name: &str, place: impl Fn(&str) -> Place, sizes: [Size; 2]) {
    for sole_writer in [false, true] {
        let mut counts = vec![];
        for size in sizes {
            let place = place(&format!("{name}-{}-{sole_writer}", size.0));
            counts.push(requests_of_a_commit(&place, size, sole_writer).await);
        }
        let lock = if sole_writer { "without" } else { "with" };
        println!(
            "{} requests a commit {lock} lock, {name}, {sizes:?} rows and file groups: {:?}",
            counts[0].total(),
            counts[0]
        );
        let but_for_data = |of: &RequestCounts| {
            (of.heads, of.puts + of.upload_ends, of.creates, of.updates, of.lists, of.deletes, of.copies)
        };
        assert_eq!(but_for_data(&counts[0]), but_for_data(&counts[1]));
        assert!(sizes[1].0 > 1_000_000 || counts[0] == counts[1]);
        assert!(counts[1].total() <= counts[0].total() + 5, "{:?}", counts[1]);
        assert!(counts[0].total() <= if sole_writer { 20 } else { 34 });
    }
}

fn in_memory(name: &str) -> Place {
    Place::Memory(Arc::new(InMemory::new()), name.to_owned())
}

#[tokio::test]
async fn a_commit_into_one_file_group_costs_the_same_in_a_small_table_and_a_larger_one() {
    compare("memory", in_memory, [(200, 16), (20_000, 16)]).await;
}

/// But for the file itself, which is larger: it is read, and put, in several parts.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_commit_into_one_file_group_costs_the_same_in_a_table_of_ten_million_rows() {
    compare("memory", in_memory, [(200, 16), (10_000_000, 16)]).await;
}

/// What commits cost that change a row in each of so many file groups: by how many there are.
async fn requests_by_files(sole_writer: bool) -> BTreeMap<u64, RequestCounts> {
    let table = NewTable::new("t", ["id"]).index(Index::Bucket(NonZeroU32::new(16).unwrap()));
    let mut writer = in_memory("files").writer(sole_writer).create(&table).await.unwrap();
    let rows = 200;
    let changes: Vec<Change> = (0..rows).map(|id| Change::new(Op::Insert, id, 1)).collect();
    let _ = writer.write(&batch(&changes, 0)).unwrap();
    commit(&mut writer).await;
    let (mut offset, mut counts) = (rows, BTreeMap::new());
    for ids in 1..rows / 4 {
        let before = writer.requests();
        let changes: Vec<Change> = (0..ids).map(|id| Change::new(Op::Update, id, 1 + ids)).collect();
        let _ = writer.write(&batch(&changes, offset)).unwrap();
        offset += ids;
        let done = commit(&mut writer).await;
        counts.insert(done.files, writer.requests() - before);
    }
    counts
}

#[tokio::test]
async fn each_further_file_group_of_a_commit_costs_as_much_as_the_one_before() {
    for sole_writer in [false, true] {
        let counts = requests_by_files(sole_writer).await;
        assert!(counts.len() > 5 && counts.contains_key(&2), "{counts:?}");
        let each = counts[&2] - counts[&1];
        println!("sole writer: {sole_writer}; one file group: {:?}; each further one: {each:?}", counts[&1]);
        for (files, count) in &counts {
            assert_eq!(count.total(), counts[&1].total() + (files - 1) * each.total(), "{files} file groups");
        }
        assert!(each.total() <= 6, "{each:?}");
    }
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn so_it_does_at_s3() {
    let Some(bucket) = crate::s3::bucket("requests") else { return };
    compare("s3", |name| Place::Url(format!("{bucket}/{name}")), [(200, 16), (20_000, 16)]).await;
}

/// Nothing archives it yet: each commit leaves three files there, and a page of a list holds a thousand.
#[tokio::test]
async fn a_timeline_that_grows_is_listed_in_more_pages_and_costs_nothing_else() {
    let mut writer = in_memory("age").writer(true).create(&NewTable::new("t", ["id"])).await.unwrap();
    let mut counts = vec![];
    for round in 0..400 {
        let before = writer.requests();
        let _ = writer.write(&batch(&[Change::new(Op::Update, 7, 1 + round)], round)).unwrap();
        commit(&mut writer).await;
        counts.push(writer.requests() - before);
    }
    let (young, old) = (counts[10], counts[399]);
    println!("{young:?}, after 400 commits {old:?}");
    assert!(old.lists > young.lists, "{young:?}, {old:?}");
    assert_eq!(old.total() - old.lists, young.total() - young.lists, "{young:?}, {old:?}");
}
