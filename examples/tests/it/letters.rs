//! Dead letters that are sent again, by the program `replay`: below what came since, once, and not where their row may be gone.

use std::path::Path;
use std::process::Command;

use hudi_writer::Table;
use kafka_source::CapturedRecord;
use serde_json::{Value, json};

use crate::cells::Cell;
use crate::replays::sound_rows;
use crate::shop::{SCHEMA, capture, delete, item, upsert};

const REPLAY: &str = env!("CARGO_BIN_EXE_replay");

/// A text, that is no number.
const PHOTO: &str = r#"{"type":"string","optional":true,"field":"photo"}"#;
/// What makes letters of rows with a photo; and what does not.
const REFUSES: [&str; 2] = ["--override", "photo:type=int"];
const TAKES: [&str; 2] = ["--override", "photo:drop"];

/// A folder with a capture and its schema.
struct Shop(tempfile::TempDir);

impl Shop {
    fn new(records: &[CapturedRecord]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        capture(folder.path(), records);
        let schema = SCHEMA.replace(r#"{"type":"bytes","optional":true,"field":"photo"}"#, PHOTO);
        assert!(schema.contains(PHOTO));
        std::fs::write(folder.path().join("schema.json"), schema).unwrap();
        Self(folder)
    }

    /// The last line of a run that ended well.
    fn run(&self, arguments: &[&str]) -> Value {
        let usual = ["--format", "debezium-json", "--schema", "schema.json"];
        let output = Command::new(REPLAY).args(usual).args(arguments).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Replays the capture, so that rows with a photo become letters.
    fn replayed(records: &[CapturedRecord], more: &[&str]) -> Self {
        let shop = Self::new(records);
        shop.run(&[&["--input", "capture.jsonl", "--table", "items"], &REFUSES[..], more].concat());
        shop
    }

    /// Sends the letters again: how many there were, became rows, and are left.
    fn again(&self, more: &[&str]) -> [u64; 3] {
        let done = self.run(&[&["--dead-letters", "items"], more].concat());
        let left = done["left"].as_object().unwrap().len() as u64;
        [done["letters"].as_u64().unwrap(), done["applied"].as_u64().unwrap(), left]
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    async fn names(&self, table: &str) -> Vec<(i64, String)> {
        let row = |row: crate::replays::StoredRow| match (&row.cells["id"], &row.cells["name"]) {
            (Cell::Int(id), Cell::Text(name)) => (*id, name.clone()),
            other => panic!("{other:?}"),
        };
        let mut rows: Vec<_> = sound_rows(&self.path(table)).await.into_iter().map(row).collect();
        rows.sort();
        rows
    }
}

fn without_photo(id: i64, name: &str) -> String {
    item(id, name, 1).replace("\"/wA=\"", "null")
}

/// A letter that is older than its row, one of a snapshot that is, and one whose row never came.
fn messages() -> Vec<CapturedRecord> {
    vec![
        upsert(0, 'c', 1, &without_photo(1, "one")),
        upsert(1, 'c', 2, &item(2, "never", 1)),
        upsert(2, 'u', 2, &without_photo(2, "two, later")),
        upsert(3, 'u', 3, &without_photo(3, "three")),
        upsert(4, 'r', 3, &item(3, "never", 1)),
        upsert(5, 'c', 4, &item(4, "four", 1)),
    ]
}

fn named(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter().map(|(id, name)| (*id, (*name).to_owned())).collect()
}

async fn commits(place: &Path) -> usize {
    Table::open(place.to_str().unwrap()).await.unwrap().timeline().completed_writes().count()
}

#[tokio::test]
async fn a_letter_that_is_good_now_becomes_a_row_below_what_came_since_and_once() {
    for more in [&[][..], &["--commit-every-rows", "1"], &["--mode", "soft"]] {
        let shop = Shop::replayed(&messages(), more);
        assert_eq!(shop.again(&REFUSES), [3, 0, 3], "still bad");
        assert_eq!(shop.names("items").await, named(&[(1, "one"), (2, "two, later"), (3, "three")]));
        assert_eq!(shop.again(&TAKES), [3, 3, 0]);
        let rows = named(&[(1, "one"), (2, "two, later"), (3, "three"), (4, "four")]);
        assert_eq!(shop.names("items").await, rows);
        let before = commits(&shop.path("items")).await;
        assert_eq!(shop.again(&TAKES), [0, 0, 0]);
        assert_eq!(commits(&shop.path("items")).await, before);
        // The pipeline goes on from where it was.
        let again = shop.run(&[&["--input", "capture.jsonl", "--table", "items"], &TAKES[..]].concat());
        assert_eq!((&again["commits"], &again["skipped"]), (&json!(0), &json!({"committed_before": 6})));
        assert_eq!(shop.names("items").await, rows);
    }
}

#[tokio::test]
async fn what_came_after_the_letter_of_a_row_wins_and_what_comes_later_too() {
    let shop = Shop::replayed(&messages(), &[]);
    assert_eq!(shop.again(&TAKES), [3, 3, 0]);
    let mut records = messages();
    records.push(upsert(6, 'u', 4, &without_photo(4, "four, later")));
    records.push(delete(7, 1));
    capture(shop.0.path(), &records);
    shop.run(&[&["--input", "capture.jsonl", "--table", "items"], &TAKES[..]].concat());
    let rows = named(&[(2, "two, later"), (3, "three"), (4, "four, later")]);
    assert_eq!(shop.names("items").await, rows);
}

#[tokio::test]
async fn a_row_that_may_have_been_deleted_since_comes_back_only_if_it_may() {
    let mut records = messages();
    records.push(delete(6, 4));
    let rows = named(&[(1, "one"), (2, "two, later"), (3, "three")]);
    for rows_a_commit in ["1", "1000"] {
        let shop = Shop::replayed(&records, &["--commit-every-rows", rows_a_commit]);
        let done = shop.run(&[&["--dead-letters", "items"], &TAKES[..]].concat());
        assert_eq!((&done["letters"], &done["applied"]), (&json!(3), &json!(2)));
        let (_, reason) = done["left"].as_object().unwrap().iter().next().unwrap();
        assert!(reason.as_str().unwrap().contains("--may-return"), "{reason}");
        assert_eq!(shop.names("items").await, rows);
        assert_eq!(shop.again(&TAKES), [1, 0, 1]);
        assert_eq!(shop.again(&[&TAKES[..], &["--may-return"]].concat()), [1, 1, 0]);
        assert_eq!(shop.names("items").await.len(), 4);
    }
    // Where deleted rows are kept there is no doubt.
    let shop = Shop::replayed(&records, &["--mode", "soft"]);
    assert_eq!(shop.again(&TAKES), [3, 3, 0]);
}

#[tokio::test]
async fn letters_may_become_rows_of_another_table() {
    let shop = Shop::replayed(&messages(), &[]);
    capture(shop.0.path(), &messages()[..1]);
    shop.run(&[&["--input", "capture.jsonl", "--table", "others"], &TAKES[..]].concat());
    let others = [&TAKES[..], &["--table", "others"]].concat();
    assert_eq!(shop.again(&others), [3, 3, 0]);
    assert_eq!(shop.names("others").await, named(&[(1, "one"), (2, "never"), (3, "never"), (4, "four")]));
    assert_eq!(shop.again(&others), [0, 0, 0]);
    assert_eq!(shop.again(&TAKES), [3, 3, 0], "the table itself has not taken them");
}
