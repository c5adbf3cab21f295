//! Every shared capture of Debezium's JSON replays to the database's own final state.
//!
//! What cannot be reached is upstream's loss, or clamped: `cells.rs` compares, and [`CAPTURES`] says which capture lost what.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cdc_decoders::debezium::DeclaredSchema;
use examples::{Format, Schemas, Summary};
use hudi_writer::{Index, SecondSnapshot};
use kafka_source::{CaptureReader, CapturedRecord};
use serde_json::{Map, Value};

use crate::capture::{folder, truth};
use crate::cells::{Cell, Losses, matches};
use crate::replays::{Replay, StoredRow, sound_rows};

const TABLES: [(&str, &[&str]); 9] = [
    ("customers", &["id"]),
    ("orders", &["id"]),
    ("order_items", &["order_id", "line_no"]),
    ("profiles", &["id"]),
    ("all_types", &["id"]),
    ("defaults_probe", &["id"]),
    // Emptied by a truncate, in mid-stream.
    ("audit_log", &["id"]),
    // Columns are added, widened, dropped and renamed, and every row is written again after each.
    ("evolving", &["id"]),
    // Values that are too long to be sent again with every change, of rows whose key changes too.
    ("toasted", &["id"]),
];

const BUCKETS: Index = Index::Bucket(NonZeroU32::new(4).unwrap());

#[derive(Clone, Copy)]
struct Capture {
    name: &'static str,
    format: Format,
    /// Messages bring their schema.
    inline: bool,
    losses: Losses,
    /// NULL came as the column's default, where it has one.
    defaults: bool,
    /// Truncates were left out.
    truncates_lost: bool,
}

impl Capture {
    const fn of(name: &'static str, losses: Losses) -> Self {
        Self { name, format: Format::DebeziumJson, inline: false, losses, defaults: false, truncates_lost: false }
    }

    const fn with_schema(self) -> Self {
        Self { inline: true, ..self }
    }

    /// The converter knows nothing but defaults for NULL.
    const fn in_avro(self) -> Self {
        Self { format: Format::DebeziumAvro, inline: true, defaults: true, ..self }
    }

    /// As the converter is shipped.
    const fn with_defaults(self) -> Self {
        Self { defaults: true, ..self }
    }

    /// Unwrapped by the connector's transform, which lets no truncate pass.
    const fn flattened(self, format: Format) -> Self {
        Self { format, truncates_lost: true, ..self }
    }

    const fn without_truncates(self) -> Self {
        Self { truncates_lost: true, ..self }
    }
}

const LOSSLESS: Losses = Losses {
    doubles: false,
    millis: false,
    iso: false,
    year_adjusted: false,
    wrapped: false,
    hex: false,
    base64: false,
};
/// Years 0 to 99 are moved, unsigned integers above 2^63 - 1 wrap.
const MARIA: Losses = Losses { year_adjusted: true, wrapped: true, ..LOSSLESS };

const CAPTURES: [Capture; 21] = [
    Capture::of("pg/json", LOSSLESS),
    Capture::of("pg/json-schema", LOSSLESS).with_schema(),
    // Decimals as doubles, times as text without `24:00:00`, bytes as hexadecimal text.
    Capture::of("pg/double-isostring", Losses { doubles: true, iso: true, hex: true, ..LOSSLESS }).with_schema(),
    Capture::of("pg/tx-heartbeat", LOSSLESS),
    Capture::of("pg/incremental", LOSSLESS),
    Capture::of("pg-burst/json", LOSSLESS),
    Capture::of("maria/json", MARIA),
    Capture::of("maria/json-schema", MARIA).with_schema(),
    Capture::of("maria/json-defaults", MARIA).with_defaults().without_truncates(),
    // Milliseconds, no TIME outside of a day, bytes as base64 text; but unsigned integers are precise.
    Capture::of("maria/string-connect", Losses { millis: true, base64: true, wrapped: false, ..MARIA }).with_schema(),
    Capture::of("maria/incremental", MARIA),
    Capture::of("maria-killed/killed", MARIA),
    Capture::of("pg/avro", LOSSLESS).in_avro(),
    Capture::of("pg-killed/killed-avro", LOSSLESS).in_avro(),
    Capture::of("maria/avro", MARIA).in_avro(),
    Capture::of("pg/flat-rewrite", LOSSLESS).flattened(Format::DebeziumFlatJson).with_defaults(),
    Capture::of("pg/flat-tombstone", LOSSLESS).flattened(Format::DebeziumFlatJson).with_defaults(),
    Capture::of("pg/flat-delete-to-tombstone", LOSSLESS).flattened(Format::DebeziumFlatJson).with_defaults(),
    Capture::of("pg/flat-avro", LOSSLESS).in_avro().flattened(Format::DebeziumFlatAvro),
    Capture::of("maria/flat-rewrite", MARIA).flattened(Format::DebeziumFlatJson).with_defaults(),
    Capture::of("maria/flat-tombstone-schema", MARIA).with_schema().flattened(Format::DebeziumFlatJson).with_defaults(),
];

/// One table's messages of a capture.
struct Topic {
    capture: Capture,
    table: &'static str,
    key: &'static [&'static str],
    records: Vec<CapturedRecord>,
    truth: Vec<Map<String, Value>>,
    /// The schema, where the messages bring none: what the same table's messages of another capture bring.
    declared: Option<DeclaredSchema>,
    schemas: Schemas,
}

impl Topic {
    /// One table of a capture, whichever it is.
    fn of(folder: &Path, capture: Capture, table: &'static str, key: &'static [&'static str]) -> Self {
        let set = capture.name.split('/').next().unwrap();
        let database = set.split('-').next().unwrap();
        let with_schema = || by_table(&folder.join(database).join("json-schema"));
        Self {
            capture,
            table,
            key,
            records: by_table(&folder.join(capture.name)).remove(table).unwrap(),
            truth: truth(&folder.join(set), table),
            declared: (!capture.inline).then(|| declared(&with_schema()[table])),
            schemas: Schemas::in_folder(folder.join(capture.name).join("schemas")),
        }
    }

    /// All tables of a capture.
    fn all(folder: &Path, capture: Capture) -> Vec<Self> {
        let set = capture.name.split('/').next().unwrap();
        let mut records = by_table(&folder.join(capture.name));
        let database = set.split('-').next().unwrap();
        let inline =
            if capture.inline { BTreeMap::new() } else { by_table(&folder.join(database).join("json-schema")) };
        let topic = |(table, key)| Self {
            capture,
            table,
            key,
            records: records.remove(table).unwrap(),
            truth: truth(&folder.join(set), table),
            declared: inline.get(table).map(|records| declared(records)),
            schemas: Schemas::in_folder(folder.join(capture.name).join("schemas")),
        };
        TABLES.map(topic).into()
    }

    fn named(folder: &Path, capture: &str, table: &str) -> Self {
        let capture = CAPTURES.into_iter().find(|known| known.name == capture).unwrap();
        Self::all(folder, capture).into_iter().find(|topic| topic.table == table).unwrap()
    }

    fn replay(&self, index: Index, commit_every_rows: usize) -> Replay {
        let (format, schemas) = (self.capture.format, self.schemas.clone());
        Replay { index, commit_every_rows, format, schemas, declared: self.declared.clone(), ..Replay::default() }
    }

    /// Replays twice: the first makes the table, the second finds nothing to do.
    async fn run(&self, replay: &Replay) -> (Summary, Vec<StoredRow>) {
        let folder = tempfile::tempdir().unwrap();
        self.run_at(folder.path(), replay).await
    }

    /// The same, at a place: a folder, or a URL.
    async fn run_at(&self, place: &Path, replay: &Replay) -> (Summary, Vec<StoredRow>) {
        let done = replay.run(place, &self.records).await.unwrap_or_else(|failure| panic!("{failure:?}"));
        let rows = sound_rows(place).await;
        let again = replay.run(place, &self.records).await.unwrap();
        assert_eq!((again.commits, again.upserts, again.deletes, again.dead_letters), (0, 0, 0, 0));
        assert_eq!(again.skipped, BTreeMap::from([("committed_before".to_owned(), self.messages())]));
        assert_eq!(again.checkpoint.unwrap().get(), done.checkpoint.as_ref().unwrap().get());
        (done, rows)
    }

    fn messages(&self) -> u64 {
        self.records.len() as u64
    }

    /// Every message is accounted for.
    fn check_summary(&self, done: &Summary) {
        let skipped: u64 = done.skipped.values().sum();
        assert_eq!(done.dead_letters, 0);
        assert_eq!(done.upserts + done.deletes + done.truncates + done.redelivered + skipped, self.messages());
        assert_eq!(done.skipped.get("tombstone").copied().unwrap_or(0), skipped, "{:?}", done.skipped);
        match self.capture.name {
            // Nobody but the decoder can tell what was sent again in Avro.
            "pg-killed/killed-avro" => assert!(done.redelivered > 0 || self.records.len() < 100),
            _ => assert_eq!(done.redelivered, self.sent_again(), "changes that were sent again"),
        }
    }

    /// Changes that stand in the capture before, told by everything but their offset, time of sending and run.
    fn sent_again(&self) -> u64 {
        if self.capture.inline || self.capture.format != Format::DebeziumJson {
            // Recorded without a restart.
            return 0;
        }
        let mut seen = BTreeSet::new();
        let change = |record: &CapturedRecord| -> Option<String> {
            let mut value: Value = serde_json::from_slice(record.value.as_deref()?).unwrap();
            let value = value.as_object_mut().unwrap();
            value.retain(|name, _| !name.starts_with("ts_"));
            (value["op"] != "r").then(|| format!("{:?} {value:?}", record.key))
        };
        self.records.iter().filter_map(change).filter(|change| !seen.insert(change.clone())).count() as u64
    }

    /// Whether a row is this one of the database.
    fn is_row(&self, truth: &Map<String, Value>, row: &StoredRow) -> bool {
        truth
            .iter()
            .all(|(column, value)| matches(column, value, &row.cells[column], Some(row.op), self.capture.losses))
    }

    fn check_rows(&self, rows: &[StoredRow]) {
        let mut defaults: BTreeMap<&String, &Cell> = BTreeMap::new();
        let mut by_key: BTreeMap<Vec<String>, &StoredRow> =
            rows.iter().map(|row| (self.key.iter().map(|name| key_text(&row.cells[*name])).collect(), row)).collect();
        assert_eq!(by_key.len(), rows.len(), "a key stands twice");
        for expected in &self.truth {
            let key: Vec<_> = self.key.iter().map(|name| expected[*name].to_string()).collect();
            let row = by_key.remove(&key).unwrap_or_else(|| panic!("no row {key:?}"));
            for (column, cell) in row.cells.iter().filter(|(column, _)| !expected.contains_key(*column)) {
                // The source dropped it, and every row was written since.
                assert!(self.table == "evolving" && *cell == Cell::Null, "{column} of {key:?}: {cell:?}");
            }
            for (column, value) in expected {
                let cell = &row.cells[column];
                if self.shows_default(value, cell) {
                    assert_eq!(*defaults.entry(column).or_insert(cell), cell, "{column} of {key:?}");
                    continue;
                }
                let is_true = matches(column, value, cell, Some(row.op), self.capture.losses);
                assert!(is_true, "{column} of {key:?}: want {value}, have {cell:?} by {:?}", row.op);
            }
        }
        if self.table == "audit_log" && self.capture.truncates_lost {
            assert!(!by_key.is_empty(), "the truncate was not lost");
            return;
        }
        assert!(by_key.is_empty(), "rows that the database does not have: {:?}", by_key.keys());
    }

    /// Whether a cell may hold its column's default in place of NULL.
    fn shows_default(&self, truth: &Value, cell: &Cell) -> bool {
        self.capture.defaults && self.table == "defaults_probe" && truth.is_null() && *cell != Cell::Null
    }
}

/// A key's column as the truth's JSON writes it.
fn key_text(cell: &Cell) -> String {
    match cell {
        Cell::Int(value) => value.to_string(),
        other => panic!("a key's column holds {other:?}"),
    }
}

fn by_table(capture: &Path) -> BTreeMap<String, Vec<CapturedRecord>> {
    let mut tables: BTreeMap<String, Vec<CapturedRecord>> = BTreeMap::new();
    for record in CaptureReader::open(capture.join("records.jsonl.gz")).unwrap() {
        let record = record.unwrap();
        let table = record.topic.rsplit('.').next().unwrap().to_owned();
        tables.entry(table).or_default().push(record);
    }
    tables
}

/// What the last message says: the table as it became.
fn declared(records: &[CapturedRecord]) -> DeclaredSchema {
    let message = records.iter().rev().find_map(|record| record.value.as_deref()).unwrap();
    DeclaredSchema::from_json(std::str::from_utf8(message).unwrap()).unwrap()
}

/// Does the jobs on all cores, the longest first.
fn on_all_cores(mut jobs: Vec<(Arc<Topic>, Replay)>, work: impl AsyncFn(&Topic, &Replay) + Sync) {
    jobs.sort_by_key(|(topic, replay)| std::cmp::Reverse((topic.records.len(), replay.commit_every_rows < 1000)));
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                while let Some((topic, replay)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _named = Named(topic, replay);
                    runtime.block_on(work(topic, replay));
                }
            });
        }
    });
}

/// Says which job it was that failed.
struct Named<'a>(&'a Topic, &'a Replay);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        let Self(Topic { capture, table, .. }, Replay { index, commit_every_rows, partition_by, .. }) = self;
        if std::thread::panicking() {
            let partitions = partition_by.join(",");
            eprintln!(
                "in {} {table}, {index:?}, commits of {commit_every_rows} rows, partitions {partitions:?}",
                capture.name
            );
        }
    }
}

#[test]
fn every_shared_capture_replays_to_the_databases_own_state() {
    let Some(folder) = folder() else { return };
    let mut jobs = vec![];
    for capture in CAPTURES {
        for topic in Topic::all(&folder, capture).into_iter().map(Arc::new) {
            let of_all = [(Index::Simple, usize::MAX), (BUCKETS, usize::MAX), (Index::Simple, 100), (BUCKETS, 100)];
            // Many commits take long: those of some topics, with either index.
            let few =
                (topic.records.len() < 800).then_some((if jobs.len() % 2 == 0 { Index::Simple } else { BUCKETS }, 7));
            for (index, rows) in of_all.into_iter().chain(few) {
                jobs.push((Arc::clone(&topic), topic.replay(index, rows)));
            }
        }
    }
    on_all_cores(jobs, async |topic, replay| {
        let (done, rows) = topic.run(replay).await;
        topic.check_summary(&done);
        topic.check_rows(&rows);
        // Changes that were sent again may end a commit too, and one more commit may tell of the last tombstones.
        let changes = done.upserts + done.deletes + done.truncates;
        let full = replay.commit_every_rows as u64;
        let commits = changes / full..=(changes + done.redelivered) / full + 1;
        assert!(commits.contains(&done.commits), "{} commits, not {commits:?}", done.commits);
    });
    println!("{} shared captures replayed to their truth", CAPTURES.len());
}

/// At `s3://`, where `HUDI_TEST_S3` names a server that the AWS variables lead to: each table of each capture, in a few commits.
#[cfg(feature = "s3")]
#[test]
fn every_shared_capture_replays_to_the_same_state_at_s3() {
    use std::io::{Read, Write};
    let Some(folder) = folder() else { return };
    let Ok(url) = std::env::var("HUDI_TEST_S3") else {
        eprintln!("SKIPPED: no HUDI_TEST_S3; run it by .ci/peers/s3.sh");
        return;
    };
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "PUT /captures HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    let mut jobs = vec![];
    for capture in CAPTURES {
        for topic in Topic::all(&folder, capture).into_iter().map(Arc::new) {
            let index = if jobs.len() % 2 == 0 { Index::Simple } else { BUCKETS };
            let rows = (topic.records.len() / 2).max(50);
            jobs.push((Arc::clone(&topic), topic.replay(index, rows)));
        }
    }
    let tables = jobs.len();
    on_all_cores(jobs, async |topic, replay| {
        let place = format!("s3://captures/{}/{}", topic.capture.name, topic.table);
        let (done, rows) = topic.run_at(Path::new(&place), replay).await;
        topic.check_summary(&done);
        topic.check_rows(&rows);
    });
    println!("{} captures, {tables} tables at s3:// are their truth", CAPTURES.len());
}

#[test]
fn without_a_schema_rows_hold_what_the_messages_do() {
    let Some(folder) = folder() else { return };
    let is_plain = |capture: &Capture| !capture.inline && capture.format == Format::DebeziumJson;
    let without = CAPTURES.into_iter().filter(is_plain);
    let topics = without.flat_map(|capture| Topic::all(&folder, capture)).map(Arc::new);
    // Its last message is not the whole of a row.
    let topics = topics.filter(|topic| topic.table != "toasted");
    let replay = |rows| Replay { index: BUCKETS, commit_every_rows: rows, ..Replay::default() };
    let jobs = topics.flat_map(|topic| [usize::MAX, 100].map(|rows| (Arc::clone(&topic), replay(rows)))).collect();
    on_all_cores(jobs, async |topic, replay| {
        let (done, rows) = topic.run(replay).await;
        topic.check_summary(&done);
        let mut sent = last_images(&topic.records);
        for row in rows {
            let key: Vec<_> = topic.key.iter().map(|name| key_text(&row.cells[*name])).collect();
            let image = sent.remove(&key).unwrap_or_else(|| panic!("no message of {key:?}"));
            for (column, cell) in row.cells.iter().filter(|(column, _)| !image.contains_key(*column)) {
                assert!(topic.table == "evolving" && *cell == Cell::Null, "{column} of {key:?}: {cell:?}");
            }
            for (column, value) in &image {
                let cell = &row.cells[column];
                assert!(is_what_was_sent(value, cell), "{column} of {key:?}: sent {value}, have {cell:?}");
            }
        }
        assert!(sent.is_empty(), "rows that are lost: {:?}", sent.keys());
    });
}

/// The newest image of each row, as it was sent.
fn last_images(records: &[CapturedRecord]) -> BTreeMap<Vec<String>, Map<String, Value>> {
    let mut rows = BTreeMap::new();
    for record in records {
        let Some(value) = &record.value else { continue };
        // A truncate has no key.
        let Some(key) = &record.key else {
            rows.clear();
            continue;
        };
        let key: Map<String, Value> = serde_json::from_slice(key).unwrap();
        let key: Vec<_> = key.values().map(Value::to_string).collect();
        let mut value: Map<String, Value> = serde_json::from_slice(value).unwrap();
        match value.remove("after") {
            Some(Value::Object(after)) => drop(rows.insert(key, after)),
            _ => drop(rows.remove(&key)),
        }
    }
    rows
}

/// Whether a cell of a column that was typed by its values holds a value that was sent.
fn is_what_was_sent(value: &Value, cell: &Cell) -> bool {
    match (value, cell) {
        (Value::Null, cell) => *cell == Cell::Null,
        (Value::Bool(value), Cell::Bool(cell)) => value == cell,
        (Value::Number(value), Cell::Int(cell)) => value.as_i64() == Some(*cell),
        (Value::Number(value), Cell::Float(cell)) => value.as_f64() == Some(*cell),
        // Its column met a text too.
        (Value::Number(value), Cell::Text(cell)) => value.to_string() == *cell,
        (Value::String(value), Cell::Text(cell)) => value == cell,
        (Value::String(value), Cell::Float(cell)) => format!("{cell}") == value.replace("Infinity", "inf"),
        (Value::Array(_) | Value::Object(_), Cell::Text(cell)) => {
            serde_json::from_str::<Value>(cell).unwrap() == *value
        }
        _ => false,
    }
}

#[test]
fn a_partitioned_table_holds_the_same_rows() {
    let Some(folder) = folder() else { return };
    let mut jobs = vec![];
    for capture in ["pg/json", "maria/json-schema", "maria-killed/killed"] {
        let topic = Arc::new(Topic::named(&folder, capture, "order_items"));
        for (partition_by, index, rows) in [("line_no", Index::Simple, 20), ("order_id", BUCKETS, usize::MAX)] {
            let replay = Replay {
                key: vec!["order_id".to_owned(), "line_no".to_owned()],
                partition_by: vec![partition_by.to_owned()],
                ..topic.replay(index, rows)
            };
            jobs.push((Arc::clone(&topic), replay));
        }
    }
    on_all_cores(jobs, async |topic, replay| {
        let (done, rows) = topic.run(replay).await;
        topic.check_summary(&done);
        topic.check_rows(&rows);
    });
}

/// MariaDB's updates tell the whole old row, so that one whose partition changes leaves nothing behind.
#[test]
fn a_row_moves_between_partitions_where_the_source_tells_the_old_one() {
    let Some(folder) = folder() else { return };
    let mut jobs = vec![];
    for capture in ["maria/json", "maria/incremental", "maria-killed/killed"] {
        let topic = Arc::new(Topic::named(&folder, capture, "orders"));
        for (index, rows) in [(Index::Simple, 100), (BUCKETS, usize::MAX)] {
            let replay = Replay {
                key: vec!["id".to_owned(), "region".to_owned()],
                partition_by: vec!["region".to_owned()],
                ..topic.replay(index, rows)
            };
            jobs.push((Arc::clone(&topic), replay));
        }
    }
    on_all_cores(jobs, async |topic, replay| {
        let (_, rows) = topic.run(replay).await;
        topic.check_rows(&rows);
    });
}

/// The stored row tells where it is, whatever the source tells of the old one.
#[test]
fn a_row_moves_between_partitions_under_a_global_index() {
    let Some(folder) = folder() else { return };
    let mut jobs = vec![];
    for capture in ["pg/json", "pg/incremental", "maria/json", "maria-killed/killed"] {
        let topic = Arc::new(Topic::named(&folder, capture, "orders"));
        for rows in [30, usize::MAX] {
            let replay = Replay { partition_by: vec!["region".to_owned()], ..topic.replay(Index::GlobalSimple, rows) };
            jobs.push((Arc::clone(&topic), replay));
        }
    }
    on_all_cores(jobs, async |topic, replay| {
        let (done, rows) = topic.run(replay).await;
        topic.check_summary(&done);
        topic.check_rows(&rows);
    });
}

#[test]
fn a_table_follows_a_growing_capture_and_writers_that_die() {
    let Some(folder) = folder() else { return };
    let mut jobs = vec![];
    for (capture, rows) in
        [("pg/json", 50), ("pg/incremental", 70), ("maria/string-connect", 50), ("maria-killed/killed", 200)]
    {
        for table in ["orders", "profiles"] {
            let topic = Arc::new(Topic::named(&folder, capture, table));
            jobs.extend([Index::Simple, BUCKETS].map(|index| (Arc::clone(&topic), topic.replay(index, rows))));
        }
    }
    on_all_cores(jobs, async |topic, replay| {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("grown"), folder.path().join("restarted"));
        replay.run(&first, &first_half(&topic.records)).await.unwrap();
        replay.run(&first, &topic.records).await.unwrap();
        topic.check_rows(&sound_rows(&first).await);
        let restarts = replay.run_with_restarts(&second, &topic.records).await;
        assert!(restarts > 0 || topic.records.len() < replay.commit_every_rows);
        topic.check_rows(&sound_rows(&second).await);
    });
}

/// A table without a key: what is sent again is told by its place in the source's log, and a changed row by what it was.
#[test]
fn a_table_without_a_key_holds_every_row_once() {
    let Some(folder) = folder() else { return };
    for name in
        ["pg/json", "pg/json-schema", "maria/json", "maria/json-schema", "maria/incremental", "maria-killed/killed"]
    {
        let capture = CAPTURES.into_iter().find(|known| known.name == name).unwrap();
        for rows in [1, 5, usize::MAX] {
            let topic = Topic::of(&folder, capture, "events_nokey", &[]);
            let (done, stored, letters) = without_a_key(&topic, rows);
            assert_eq!(stored.len(), topic.truth.len(), "{name}: rows");
            let behind = topic.truth.iter().filter(|truth| !stored.iter().any(|row| topic.is_row(truth, row))).count();
            assert_eq!((behind, letters), (0, 0), "{name}: rows that are not the database's, and dead letters");
            assert!(done.deletes > 0, "{name}: nothing changed");
            // What was sent again may be an update, of two rows.
            let again = topic.messages() - done.upserts;
            assert!((again..=2 * again).contains(&done.redelivered), "{name}: {} sent again", done.redelivered);
        }
    }
}

/// A second full snapshot reads rows under new places in the log: without a key nobody can tell that they are there already.
#[test]
fn a_second_snapshot_doubles_the_rows_of_a_table_without_a_key() {
    let Some(folder) = folder() else { return };
    let capture = Capture::of("maria-resnapshot/killed", MARIA);
    let topic = Topic::of(&folder, capture, "events_nokey", &[]);
    let (done, stored, _) = without_a_key(&topic, usize::MAX);
    assert_eq!(stored.len() as u64, done.upserts);
    assert!(stored.len() > topic.truth.len(), "{} rows", stored.len());
    assert!(topic.truth.iter().all(|truth| stored.iter().any(|row| topic.is_row(truth, row))));
}

/// Replays a topic into a table without a key: what was done, the rows, and the dead letters.
fn without_a_key(topic: &Topic, commit_every_rows: usize) -> (Summary, Vec<StoredRow>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (done, rows) = runtime.block_on(topic.run(&topic.replay(Index::Simple, commit_every_rows)));
    let letters = done.dead_letters as usize;
    (done, rows, letters)
}

/// A connector that was killed before it kept its place took a second snapshot; what was deleted in between it never told of.
#[test]
fn a_second_snapshot_replaces_the_table_where_it_may() {
    let Some(folder) = folder() else { return };
    let capture = Capture::of("maria-resnapshot/killed", MARIA);
    let mut jobs = vec![];
    for topic in Topic::all(&folder, capture).into_iter().map(Arc::new) {
        for (index, rows) in [(Index::Simple, usize::MAX), (BUCKETS, 100), (Index::Simple, 7)] {
            for on_second_snapshot in [SecondSnapshot::Keep, SecondSnapshot::Replace] {
                jobs.push((Arc::clone(&topic), Replay { on_second_snapshot, ..topic.replay(index, rows) }));
            }
        }
    }
    let ghosts = std::sync::Mutex::new(BTreeMap::new());
    on_all_cores(jobs, async |topic, replay| {
        let folder = tempfile::tempdir().unwrap();
        let done = replay.run(folder.path(), &topic.records).await.unwrap();
        let rows = sound_rows(folder.path()).await;
        if replay.on_second_snapshot == SecondSnapshot::Replace {
            topic.check_rows(&rows);
            *ghosts.lock().unwrap().entry(topic.table).or_insert(done.ghosts) = done.ghosts;
        } else {
            assert_eq!(done.ghosts, 0);
        }
    });
    let ghosts = ghosts.into_inner().unwrap();
    println!("rows that the second snapshot lacks: {ghosts:?}");
    assert!(ghosts["orders"] > 20, "{ghosts:?}");
}

/// The first half of each partition.
fn first_half(records: &[CapturedRecord]) -> Vec<CapturedRecord> {
    let partitions = records.chunk_by(|a, b| a.partition == b.partition);
    partitions.flat_map(|partition| partition[..partition.len() / 2].to_vec()).collect()
}
