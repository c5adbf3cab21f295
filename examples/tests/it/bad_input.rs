//! Messages that cannot become rows: each is kept whole beside the table with its reason, or stops the pipeline; nothing else suffers.

use std::collections::BTreeMap;
use std::path::Path;

use examples::{Failure, OnBadMessage, Summary};
use kafka_source::{CaptureReader, CapturedRecord};
use serde::Deserialize;
use serde_json::Value;

use crate::cells::Cell;
use crate::replays::{Replay, sound_rows};
use crate::shop::{TOPIC, delete, envelope, item, key, record, schema, tombstone, upsert};

/// A message at an offset, and what its dead letter says.
struct Bad {
    what: &'static str,
    make: Box<dyn Fn(i64) -> CapturedRecord>,
    stage: &'static str,
    reason: &'static str,
}

fn bad(
    what: &'static str,
    stage: &'static str,
    reason: &'static str,
    make: impl Fn(i64) -> CapturedRecord + 'static,
) -> Bad {
    Bad { what, make: Box::new(make), stage, reason }
}

/// A message with these bytes under a good key.
fn bytes(what: &'static str, value: &'static [u8], reason: &'static str) -> Bad {
    bad(what, "decode", reason, move |offset| record(offset, Some(key(1)), Some(value)))
}

/// A good message but for the row, `{"id":1,…}` with a column replaced.
fn column(what: &'static str, from: &'static str, to: &'static str, reason: &'static str) -> Bad {
    let row = item(1, "never", 1);
    assert!(row.contains(from));
    let row = row.replace(from, to);
    bad(what, "decode", reason, move |offset| upsert(offset, 'u', 1, &row))
}

/// A good message but for a part of the envelope.
fn part(what: &'static str, from: &'static str, to: &'static str, reason: &'static str) -> Bad {
    let edit = move |offset| {
        let text = envelope(offset, "\"u\"", "null", &item(1, "never", 1));
        assert!(text.contains(from), "{text}");
        record(offset, Some(key(1)), Some(text.replacen(from, to, 1)))
    };
    bad(what, "decode", reason, edit)
}

fn all_bad() -> Vec<Bad> {
    let good = |offset| envelope(offset, "\"u\"", "null", &item(1, "never", 1));
    vec![
        bytes("nothing", b"", ""),
        bytes("blanks", b"  ", ""),
        bytes("garbage", b"\xff\xfe\x00\x01\x80", ""),
        bytes("a text", b"\"after\"", ""),
        bytes("a number", b"17", ""),
        bytes("a list", b"[1,2]", ""),
        bytes("an empty object", b"{}", ""),
        bytes("a row without envelope", br#"{"id":1,"name":"never"}"#, ""),
        bad("a message cut short", "decode", "", move |offset| {
            let text = good(offset);
            record(offset, Some(key(1)), Some(&text[..text.len() / 2]))
        }),
        bad("two messages in one", "decode", "", move |offset| {
            record(offset, Some(key(1)), Some(good(offset) + &good(offset)))
        }),
        bad("text that is no UTF-8", "decode", "", move |offset| {
            let mut bytes = good(offset).into_bytes();
            let at = bytes.windows(5).position(|word| word == b"never").unwrap();
            bytes[at] = 0xff;
            record(offset, Some(key(1)), Some(bytes))
        }),
        bad("nested without end", "decode", "", |offset| {
            let row = item(1, "never", 1).replace("\"never\"", &"[".repeat(200_000));
            upsert(offset, 'u', 1, &row)
        }),
        column("a text for an integer", ":1,\"price", ":\"1\",\"price", "stock"),
        column("a fraction for an integer", ":1,\"price", ":1.5,\"price", "stock"),
        column("an object for an integer", ":1,\"price", ":{},\"price", "stock"),
        column("an integer beyond 32 bits", ":1,\"price", ":2147483648,\"price", "stock"),
        column("an integer beyond 64 bits", "\"id\":1", "\"id\":9223372036854775808", "id"),
        column("a number for a text", "\"never\"", "5", "name"),
        column("an escape that is none", "never", r"n\ever", ""),
        column("half of a pair of escapes", "never", r"\ud800", ""),
        column("a line feed in a text", "never", "ne\nver", ""),
        column("truncated base64", "/wA=", "/wA", "photo"),
        column("base64 with a foreign letter", "/wA=", "/w*=", "photo"),
        column("a decimal longer than its precision", "BNI=", "MDk=", "price"),
        column("a decimal in truncated base64", "BNI=", "BNI", "price"),
        column("a decimal with more digits than its scale", "\"BNI=\"", "12.345", "price"),
        column("a decimal that is true", "\"BNI=\"", "true", "price"),
        part("an unknown operation", r#""op":"u""#, r#""op":"x""#, "operation `x`"),
        part("a number as the operation", r#""op":"u""#, r#""op":5"#, "op"),
        part("a truncate that tells of a row", r#""op":"u""#, r#""op":"t""#, "truncate"),
        part("a text as the row", r#""after":{"#, r#""after":"row","x":{"#, "after"),
        part("no row", r#""after":{"#, r#""after":null,"x":{"#, "after"),
        part("no source", r#""source":"#, r#""sauce":"#, "source"),
        part("a position that is a text", r#""lsn":"#, r#""lsn":"x","y":"#, "source"),
        part("a member twice", r#""op":"u""#, r#""op":"u","op":"u""#, "twice"),
        bad("no key anywhere", "key", "", |offset| {
            let row = item(1, "never", 1).replace("\"id\":1,", "");
            record(offset, None::<&str>, Some(envelope(offset, "\"u\"", "null", &row)))
        }),
        bad("a key of garbage", "decode", "key", move |offset| record(offset, Some(b"\xff"), Some(good(offset)))),
        bad("a null in the key", "key", "key", |offset| {
            let text = envelope(offset, "\"u\"", "null", &item(1, "never", 1).replace("\"id\":1", "\"id\":null"));
            record(offset, Some(r#"{"id":null}"#), Some(text))
        }),
        bad("a delete without key and row", "decode", "key", |offset| {
            record(offset, None::<&str>, Some(envelope(offset, "\"d\"", "null", "null")))
        }),
    ]
}

type Rows = BTreeMap<i64, (String, i64)>;

fn replay(commit_every_rows: usize) -> Replay {
    Replay { commit_every_rows, declared: Some(schema()), ..Replay::default() }
}

async fn rows(folder: &Path) -> Rows {
    let mut rows = Rows::new();
    for row in sound_rows(folder).await {
        match (&row.cells["id"], &row.cells["name"], &row.cells["stock"]) {
            (Cell::Int(id), Cell::Text(name), Cell::Int(stock)) => drop(rows.insert(*id, (name.clone(), *stock))),
            other => panic!("{other:?}"),
        }
    }
    rows
}

/// The n-th of the messages that come between the bad ones, at an offset.
fn good(n: usize, offset: i64) -> CapturedRecord {
    match n {
        0 => upsert(offset, 'c', 1, &item(1, "one", 10)),
        1 => upsert(offset, 'c', 2, &item(2, "two", 20)),
        2 => upsert(offset, 'u', 1, &item(1, "one, later", 11)),
        3 => delete(offset, 2),
        4 => tombstone(offset, 2),
        _ => upsert(offset, 'c', 3, &item(3, "three", 30)),
    }
}

const GOOD: usize = 6;

/// What the good messages lead to.
fn model() -> Rows {
    Rows::from([(1, ("one, later".to_owned(), 11)), (3, ("three".to_owned(), 30))])
}

/// The good messages, with `bad` before the n-th of them each; [`GOOD`]: after the last.
fn mixed<'a>(places: impl IntoIterator<Item = (usize, &'a Bad)>) -> Vec<CapturedRecord> {
    let mut bad: BTreeMap<usize, Vec<&Bad>> = BTreeMap::new();
    for (place, one) in places {
        bad.entry(place).or_default().push(one);
    }
    let mut records = vec![];
    for n in 0..=GOOD {
        for one in bad.remove(&n).unwrap_or_default() {
            records.push((one.make)(records.len() as i64));
        }
        if n < GOOD {
            records.push(good(n, records.len() as i64));
        }
    }
    records
}

/// A line of a file of dead letters, as far as it is no record.
#[derive(Debug, Deserialize)]
struct Letter {
    stage: String,
    reason: String,
}

/// The dead letters of a table, each read as a record of a capture too, in the order of their offsets.
fn letters(folder: &Path) -> Vec<(Letter, CapturedRecord)> {
    let mut letters = vec![];
    let Ok(files) = std::fs::read_dir(folder.join(".hoodie/.cdc/dead_letters")) else { return letters };
    for file in files {
        let path = file.unwrap().path();
        let instant = path.file_name().unwrap().to_str().unwrap().strip_suffix(".jsonl").unwrap().to_owned();
        assert!(folder.join(format!(".hoodie/{instant}.commit")).is_file(), "letters without their commit {instant}");
        let text = std::fs::read_to_string(&path).unwrap();
        let records = CaptureReader::open(&path).unwrap().map(Result::unwrap);
        letters.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()).zip(records));
    }
    letters.sort_by_key(|(_, record)| record.offset);
    letters
}

#[track_caller]
fn check_letters(folder: &Path, sent: &[CapturedRecord], bad: &[(i64, &Bad)]) {
    let letters = letters(folder);
    let offsets: Vec<_> = letters.iter().map(|(_, record)| record.offset).collect();
    assert_eq!(offsets, bad.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), "{letters:?}");
    for ((letter, record), (offset, bad)) in letters.iter().zip(bad) {
        let what = bad.what;
        assert_eq!(*record, sent[*offset as usize], "{what}: the letter is the message");
        assert_eq!(letter.stage, bad.stage, "{what}: {}", letter.reason);
        assert!(letter.reason.contains(bad.reason) && !letter.reason.is_empty(), "{what}: {}", letter.reason);
        assert!(!letter.reason.contains("never"), "{what}: a value in {}", letter.reason);
    }
}

fn failed(result: Result<Summary, Failure>) -> String {
    match result {
        Err(Failure::Failed(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_bad_message_is_kept_whole_and_nothing_else_suffers() {
    for bad in all_bad() {
        // First, between two changes of a row, and last.
        for (place, offset) in [(0, 0), (2, 2), (GOOD, 6)] {
            for commit_every_rows in [1, usize::MAX] {
                let folder = tempfile::tempdir().unwrap();
                let sent = mixed([(place, &bad)]);
                let done = replay(commit_every_rows).run(folder.path(), &sent).await;
                let done = done.unwrap_or_else(|failure| panic!("{} at {place}: {failure:?}", bad.what));
                assert_eq!((done.upserts, done.deletes, done.dead_letters), (4, 1, 1), "{} at {place}", bad.what);
                check_letters(folder.path(), &sent, &[(offset, &bad)]);
                assert_eq!(rows(folder.path()).await, model(), "{} at {place}", bad.what);
            }
        }
    }
}

#[tokio::test]
async fn many_bad_messages_are_kept_once_each() {
    let all = all_bad();
    for commit_every_rows in [1, 3, usize::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let sent = mixed(all.iter().enumerate().map(|(n, bad)| (n % (GOOD + 1), bad)));
        let replay = replay(commit_every_rows);
        let done = replay.run(folder.path(), &sent).await.unwrap();
        assert_eq!(done.dead_letters, all.len() as u64);
        assert_eq!(letters(folder.path()).len(), all.len());
        let again = replay.run(folder.path(), &sent).await.unwrap();
        assert_eq!((again.commits, again.dead_letters, again.skipped["committed_before"]), (0, 0, sent.len() as u64));
        assert_eq!(letters(folder.path()).len(), all.len());
        assert_eq!(rows(folder.path()).await, model());
    }
}

#[tokio::test]
async fn a_table_that_is_there_takes_bad_messages_alone() {
    for bad in all_bad() {
        let folder = tempfile::tempdir().unwrap();
        let mut sent = mixed([]);
        replay(usize::MAX).run(folder.path(), &sent).await.unwrap();
        sent.push((bad.make)(sent.len() as i64));
        let done = replay(usize::MAX).run(folder.path(), &sent).await.unwrap();
        assert_eq!((done.commits, done.upserts, done.dead_letters), (1, 0, 1), "{}", bad.what);
        check_letters(folder.path(), &sent, &[(GOOD as i64, &bad)]);
        assert_eq!(rows(folder.path()).await, model());
    }
}

#[tokio::test]
async fn nothing_is_created_of_messages_that_cannot_be_decoded() {
    let undecodable: Vec<_> = all_bad().into_iter().filter(|bad| bad.stage == "decode").collect();
    let records: Vec<_> = undecodable.iter().zip(0..).map(|(bad, offset)| (bad.make)(offset)).collect();
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    let message = failed(replay(usize::MAX).run(&table, &records).await);
    let count = format!("{} could not", records.len());
    assert!(message.contains(&count) && message.contains(&format!("{TOPIC}/0@0")), "{message}");
    assert!(!table.exists());
}

#[tokio::test]
async fn a_bad_message_stops_a_pipeline_that_is_told_so() {
    for bad in all_bad() {
        let folder = tempfile::tempdir().unwrap();
        let sent = mixed([(2, &bad)]);
        let replay = Replay { on_bad: OnBadMessage::Stop, ..replay(1) };
        let message = failed(replay.run(folder.path(), &sent).await);
        assert!(message.contains(&format!("{TOPIC}/0@2")), "{}: {message}", bad.what);
        assert!(message.contains(bad.reason) && !message.contains("never"), "{}: {message}", bad.what);
        let before = Rows::from([(1, ("one".to_owned(), 10)), (2, ("two".to_owned(), 20))]);
        assert_eq!(rows(folder.path()).await, before, "what was committed stays");
        assert!(letters(folder.path()).is_empty());
        // Told otherwise, it goes on.
        replay_on(folder.path(), &sent).await;
        assert_eq!(rows(folder.path()).await, model(), "{}", bad.what);
    }
}

async fn replay_on(folder: &Path, sent: &[CapturedRecord]) {
    let done = replay(usize::MAX).run(folder, sent).await.unwrap();
    assert_eq!((done.dead_letters, done.skipped["committed_before"]), (1, 2));
}

/// The row tells its key too, once the table is there.
#[tokio::test]
async fn a_row_without_a_message_key_is_placed_by_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let mut sent = mixed([]);
    sent[2].key = None;
    let done = replay(1).run(folder.path(), &sent).await.unwrap();
    assert_eq!((done.upserts, done.dead_letters), (4, 0));
    assert_eq!(rows(folder.path()).await, model());
}

#[tokio::test]
async fn messages_that_all_lack_a_key_only_add_rows_and_the_others_ask_for_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let mut sent = mixed([]);
    sent.retain(|record| record.value.is_some());
    sent.iter_mut().for_each(|record| record.key = None);
    let is_new = |record: &CapturedRecord| {
        let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        value["op"] == "c" || value["op"] == "r"
    };
    let (new, others): (Vec<_>, Vec<_>) = sent.iter().cloned().partition(is_new);
    assert!(!new.is_empty() && !others.is_empty());
    for (name, rows) in [("at once", usize::MAX), ("one by one", 1)] {
        let table = folder.path().join(name);
        let done = replay(rows).run(&table, &sent).await.unwrap();
        assert_eq!((done.upserts, done.dead_letters), (new.len() as u64, others.len() as u64));
        assert_eq!(sound_rows(&table).await.len(), new.len());
        for (letter, _) in letters(&table) {
            assert!(["key", "write"].contains(&&*letter.stage) && letter.reason.contains("--key"), "{letter:?}");
        }
    }
    let table = folder.path().join("never");
    match replay(usize::MAX).run(&table, &others).await {
        Err(Failure::Usage(message)) => assert!(message.contains("--key"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert!(!table.exists());
}

/// Damages a byte of the columns behind the key, or takes it away, or writes a part of them twice.
fn damaged(record: &CapturedRecord, mut below: impl FnMut(usize) -> usize) -> CapturedRecord {
    let mut bytes = record.value.clone().unwrap();
    let find = |word: &[u8]| bytes.windows(word.len()).position(|at| at == word).unwrap();
    let (from, to) = (find(b"\"name\""), find(b"},\"source\""));
    let at = from + below(to - from);
    match below(3) {
        0 => bytes[at] = b"\"{}[],:0-.eE\\x\xc3\x00"[below(16)],
        1 => drop(bytes.remove(at)),
        _ => drop(bytes.splice(at..at, bytes[from..at].to_vec())),
    }
    CapturedRecord { value: Some(bytes), ..record.clone() }
}

/// Whatever happens to the columns of a message, it becomes the row of its key or a dead letter, and no other row is touched.
#[tokio::test]
async fn damaged_messages_become_their_row_or_a_letter() {
    const MESSAGES: i64 = 600;
    let is_damaged = |id: i64| id % 3 == 2;
    for declared in [Some(schema()), None] {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |end: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % end
        };
        let mut message = |id| {
            let whole = upsert(id, 'c', id, &item(id, "fine", 1));
            if is_damaged(id) { damaged(&whole, &mut below) } else { whole }
        };
        let sent: Vec<_> = (0..MESSAGES).map(&mut message).collect();
        let folder = tempfile::tempdir().unwrap();
        let done = Replay { declared, ..replay(50) }.run(folder.path(), &sent).await.unwrap();
        let letters = letters(folder.path());
        assert_eq!(letters.len() as u64, done.dead_letters);
        assert!(letters.len() > 100, "{} letters", letters.len());
        let mut ids = vec![];
        for (letter, record) in letters {
            assert!(is_damaged(record.offset) && record == sent[record.offset as usize], "{letter:?}");
            ids.push(record.offset);
        }
        for row in sound_rows(folder.path()).await {
            let Cell::Int(id) = row.cells["id"] else { panic!("{row:?}") };
            assert!(is_damaged(id) || row.cells["name"] == Cell::Text("fine".to_owned()), "{row:?}");
            ids.push(id);
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..MESSAGES));
    }
}
