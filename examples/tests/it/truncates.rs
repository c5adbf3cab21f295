//! Truncates in a replay, before there is a table to empty.

use std::path::Path;

use kafka_source::CapturedRecord;

use crate::cells::Cell;
use crate::replays::{Replay, sound_rows};
use crate::shop::{TOPIC, envelope, item, record, schema, tombstone, upsert};

fn truncate(offset: i64) -> CapturedRecord {
    record(offset, None::<&str>, Some(envelope(offset, "\"t\"", "null", "null")))
}

async fn names(folder: &Path) -> Vec<Cell> {
    let mut rows = sound_rows(folder).await;
    rows.sort_by_key(|row| format!("{:?}", row.cells["id"]));
    rows.iter().map(|row| row.cells["name"].clone()).collect()
}

#[tokio::test]
async fn truncates_alone_make_no_table() {
    for commit_every_rows in [1, usize::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("table");
        let replay = Replay { commit_every_rows, ..Replay::default() };
        let done = replay.run(&table, &[truncate(0), truncate(1)]).await.unwrap();
        assert_eq!((done.commits, done.truncates, done.dead_letters), (0, 0, 0));
        assert_eq!(done.skipped["nothing_to_truncate"], 2);
        assert!(!table.exists());
    }
}

#[tokio::test]
async fn a_truncate_before_the_first_row_leaves_the_key_to_the_rows() {
    for declared in [None, Some(schema())] {
        let folder = tempfile::tempdir().unwrap();
        let sent = [
            truncate(0),
            tombstone(1, 9),
            truncate(2),
            upsert(3, 'c', 1, &item(1, "one", 10)),
            upsert(4, 'c', 2, &item(2, "two", 20)),
            upsert(5, 'u', 1, &item(1, "one, later", 11)),
        ];
        let replay = Replay { commit_every_rows: 1, declared, ..Replay::default() };
        let done = replay.run(folder.path(), &sent).await.unwrap();
        assert_eq!((done.upserts, done.truncates, done.dead_letters), (3, 2, 0));
        assert_eq!(names(folder.path()).await, ["one, later", "two"].map(|name| Cell::Text(name.to_owned())));
        let checkpoint: serde_json::Value = serde_json::from_str(done.checkpoint.unwrap().get()).unwrap();
        assert_eq!(checkpoint["topics"][TOPIC]["partitions"]["0"]["next"], 6);
        let again = replay.run(folder.path(), &sent).await.unwrap();
        assert_eq!((again.commits, again.skipped["committed_before"]), (0, 6));
    }
}
