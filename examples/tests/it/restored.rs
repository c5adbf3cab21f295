//! A database that was restored, or failed over: real messages, and after them some of them again as if their source had
//! gone back and taken another way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use examples::Failure;
use hudi_writer::SourceWentBack;
use kafka_source::{CaptureReader, CapturedRecord};
use serde_json::{Map, Value};

use crate::capture::folder;
use crate::cells::Cell;
use crate::replays::{Replay, sound_rows};

type Rows = BTreeMap<i64, BTreeMap<String, String>>;

const DAY_MS: i64 = 86_400_000;

/// The messages of a capture's orders.
fn orders(capture: &Path) -> Vec<CapturedRecord> {
    let all = CaptureReader::open(capture.join("records.jsonl.gz")).unwrap().map(Result::unwrap);
    all.filter(|record| record.topic.ends_with(".orders")).collect()
}

/// The middle of every partition again, at the partition's end, with the source block as `edit` makes it, from another run.
fn taken_another_way(
    records: &[CapturedRecord],
    run: &str,
    edit: impl Fn(&mut Map<String, Value>),
) -> Vec<CapturedRecord> {
    let mut again = vec![];
    for partition in records.chunk_by(|a, b| a.partition == b.partition) {
        let mut offset = partition.last().unwrap().offset;
        for record in &partition[partition.len() / 3..partition.len() / 2] {
            let Some(mut value) = record.value.as_ref().map(|value| serde_json::from_slice::<Value>(value).unwrap())
            else {
                continue;
            };
            if value["op"] == "r" {
                continue;
            }
            edit(value["source"].as_object_mut().unwrap());
            offset += 1;
            let mut record = CapturedRecord { offset, value: Some(value.to_string().into_bytes()), ..record.clone() };
            for header in record.headers.iter_mut().filter(|header| header.name == "__debezium.context.runId") {
                header.value = Some(run.as_bytes().to_vec());
            }
            again.push(record);
        }
    }
    assert!(again.len() > 50, "{}", again.len());
    again
}

/// PostgreSQL, restored: its log is written anew from an earlier place, later.
fn restored(source: &mut Map<String, Value>) {
    let back = |lsn: i64| lsn - 64;
    let pair: [Option<String>; 2] = serde_json::from_str(source["sequence"].as_str().unwrap()).unwrap();
    let pair = pair.map(|lsn| lsn.map(|lsn| back(lsn.parse().unwrap()).to_string()));
    source["sequence"] = serde_json::to_string(&pair).unwrap().into();
    source["lsn"] = back(source["lsn"].as_i64().unwrap()).into();
    source["ts_ms"] = (source["ts_ms"].as_i64().unwrap() + DAY_MS).into();
}

/// MariaDB, failed over to a server whose log is shorter and whose clock is behind.
fn failed_over(source: &mut Map<String, Value>) {
    source["server_id"] = 4343.into();
    source["pos"] = (source["pos"].as_i64().unwrap() - 64).into();
    source["ts_ms"] = (source["ts_ms"].as_i64().unwrap() - DAY_MS).into();
}

/// The newest image of every row, its text columns only: what was sent last for its key.
fn last_images(records: &[CapturedRecord]) -> Rows {
    let mut rows = BTreeMap::new();
    for record in records {
        let Some(value) = &record.value else { continue };
        let key: Value = serde_json::from_slice(record.key.as_deref().unwrap()).unwrap();
        let value: Value = serde_json::from_slice(value).unwrap();
        let texts = |row: &Map<String, Value>| {
            let texts = row.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            texts.collect::<BTreeMap<_, _>>()
        };
        match &value["after"] {
            Value::Object(after) => drop(rows.insert(key["id"].as_i64().unwrap(), texts(after))),
            _ => drop(rows.remove(&key["id"].as_i64().unwrap())),
        }
    }
    rows
}

async fn rows(table: &Path) -> Rows {
    let mut rows = BTreeMap::new();
    for row in sound_rows(table).await {
        let Cell::Int(id) = row.cells["id"] else { panic!("{row:?}") };
        let text = |(name, cell)| match cell {
            Cell::Text(text) => Some((name, text)),
            _ => None,
        };
        rows.insert(id, row.cells.into_iter().filter_map(text).collect());
    }
    rows
}

async fn check_rows(table: &Path, expected: &Rows) {
    let rows = rows(table).await;
    let differ = |id: &&i64| rows.get(id) != expected.get(id);
    let shown = |id: &i64| (*id, rows.get(id).cloned(), expected.get(id).cloned());
    let ids: BTreeSet<_> = rows.keys().chain(expected.keys()).collect();
    let differing: Vec<_> = ids.iter().copied().filter(differ).map(shown).collect();
    assert!(differing.is_empty(), "id, row, expected: {differing:?}");
}

/// A history, and what followed it.
struct GoneBack {
    before: Vec<CapturedRecord>,
    after: Vec<CapturedRecord>,
}

impl GoneBack {
    fn all() -> Vec<Self> {
        let Some(folder) = folder() else { return vec![] };
        let mut all = vec![];
        for (capture, edit) in [("pg/json", restored as fn(&mut _)), ("maria/json", failed_over)] {
            let before = orders(&folder.join(capture));
            let after = taken_another_way(&before, "another", edit);
            all.push(Self { before: without_runs(&before), after: without_runs(&after) });
            all.push(Self { before, after });
        }
        all
    }

    /// By partition, each in its order: what a broker gives.
    fn sent(&self) -> Vec<CapturedRecord> {
        [&self.before[..], &self.after].concat()
    }

    fn source(&self) -> String {
        let value: Value = serde_json::from_slice(self.before[0].value.as_ref().unwrap()).unwrap();
        value["source"]["name"].as_str().unwrap().to_owned()
    }
}

fn without_runs(records: &[CapturedRecord]) -> Vec<CapturedRecord> {
    records.iter().cloned().map(|record| CapturedRecord { headers: vec![], ..record }).collect()
}

#[tokio::test]
async fn a_replay_stops_where_the_source_went_back_and_the_table_stays() {
    for gone_back in GoneBack::all() {
        let folder = tempfile::tempdir().unwrap();
        let replay = Replay { commit_every_rows: 300, ..Replay::default() };
        replay.run(folder.path(), &gone_back.before).await.unwrap();
        let stopped = replay.run(folder.path(), &gone_back.sent()).await;
        let Err(Failure::Failed(message)) = stopped else { panic!("{stopped:?}") };
        let place = &gone_back.after[0];
        let place = format!("{}/{}@{} ", place.topic, place.partition, place.offset);
        assert!(message.contains(&format!("`{}` went back: {place}", gone_back.source())), "{message}");
        assert!(message.contains("check the source") && message.contains("new snapshot"), "{message}");
        check_rows(folder.path(), &last_images(&gone_back.before)).await;
    }
}

#[tokio::test]
async fn in_a_new_epoch_what_the_source_sent_last_wins() {
    for gone_back in GoneBack::all() {
        let (sent, expected) = (gone_back.sent(), last_images(&gone_back.sent()));
        assert_ne!(expected, last_images(&gone_back.before));
        for commit_every_rows in [50, usize::MAX] {
            let folder = tempfile::tempdir().unwrap();
            let replay =
                Replay { commit_every_rows, on_source_went_back: SourceWentBack::NewEpoch, ..Replay::default() };
            let done = replay.run(folder.path(), &sent).await.unwrap();
            assert_eq!((done.redelivered, done.dead_letters), (0, 0));
            check_rows(folder.path(), &expected).await;
            let checkpoint: Value = serde_json::from_str(done.checkpoint.unwrap().get()).unwrap();
            assert_eq!(checkpoint["sources"][gone_back.source()]["epoch"], 1);
            let again = replay.run(folder.path(), &sent).await.unwrap();
            assert_eq!((again.commits, again.skipped["committed_before"]), (0, sent.len() as u64));

            // Both histories again, the old one last: from a server that was thought gone.
            let changes = |records: &[CapturedRecord]| {
                let streamed = |record: &&CapturedRecord| {
                    let text = record.value.as_ref().map(|value| String::from_utf8_lossy(value));
                    text.is_some_and(|text| !text.contains("\"op\":\"r\""))
                };
                records.iter().filter(streamed).cloned().collect::<Vec<_>>()
            };
            let mut redelivered = [changes(&gone_back.after), changes(&gone_back.before)].concat();
            redelivered.iter_mut().zip(1_000_000..).for_each(|(record, offset)| record.offset = offset);
            let count = redelivered.len() as u64;
            for header in redelivered.iter_mut().flat_map(|record| &mut record.headers) {
                if header.name == "__debezium.context.runId" {
                    header.value = Some(b"a third".to_vec());
                }
            }
            let done = replay.run(folder.path(), &redelivered).await.unwrap();
            assert_eq!((done.upserts, done.deletes, done.redelivered), (0, 0, count));
            check_rows(folder.path(), &expected).await;
        }
    }
}

#[tokio::test]
async fn writers_that_die_enter_the_new_epoch_once() {
    for gone_back in GoneBack::all() {
        let folder = tempfile::tempdir().unwrap();
        let on_source_went_back = SourceWentBack::NewEpoch;
        let replay = Replay { commit_every_rows: 60, on_source_went_back, ..Replay::default() };
        assert!(replay.run_with_restarts(folder.path(), &gone_back.sent()).await > 3);
        check_rows(folder.path(), &last_images(&gone_back.sent())).await;
        let done = replay.run(folder.path(), &[]).await.unwrap();
        let checkpoint: Value = serde_json::from_str(done.checkpoint.unwrap().get()).unwrap();
        assert_eq!(checkpoint["sources"][gone_back.source()]["epoch"], 1);
    }
}
