//! Truncates on their way through the loop, above all those that come before there is a table.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use cdc_decoders::overrides::Overrides;
use cdc_decoders::{DecodeError, Decoded, Decoder, Message};
use examples::{Failure, FeedSettings, OnBadMessage, ReplaySettings, Replayer, Route, Schemas};
use futures::TryStreamExt;
use hudi_core::change::{ChangeBatch, Op, SnapshotPart, StreamPosition};
use hudi_writer::ingest::TableTemplate;
use hudi_writer::{NewTable, ReadOptions, Table, TableWriter, check_table};
use kafka_source::CapturedRecord;

use crate::replays::end;

const TOPIC: &str = "shop.events";

/// Says what each message is: `t`, `c` or `u`, with the id of its row; a batch for each kind of key.
#[derive(Default)]
struct Letters(Vec<(Op, bool, i32, i64)>);

impl Decoder for Letters {
    fn decode(&mut self, message: &Message<'_>) -> Result<Decoded, DecodeError> {
        let keyed = message.key.is_some();
        if self.0.first().is_some_and(|(_, first, ..)| *first != keyed) {
            return Ok(Decoded::FlushFirst);
        }
        let op = match message.value {
            Some(b"t") => Op::Truncate,
            Some(b"u") => Op::Update,
            _ => Op::Insert,
        };
        self.0.push((op, keyed, message.partition, message.offset));
        Ok(Decoded::Added { rows: 1 })
    }

    fn flush(&mut self) -> Result<Option<ChangeBatch>, DecodeError> {
        let changes = std::mem::take(&mut self.0);
        if changes.is_empty() {
            return Ok(None);
        }
        let ids = changes.iter().map(|(op, .., offset)| (*op != Op::Truncate).then_some(*offset));
        let ids: ArrayRef = Arc::new(ids.collect::<Int64Array>());
        let offsets: Vec<i64> = changes.iter().map(|(.., offset)| *offset).collect();
        Ok(Some(ChangeBatch {
            topic: TOPIC.into(),
            source: "shop".into(),
            identity: None,
            run: None,
            key_columns: if changes[0].1 { vec!["id".to_owned()] } else { vec![] },
            rows: RecordBatch::try_from_iter_with_nullable([("id", ids, true)]).unwrap(),
            whole_schema: false,
            ops: changes.iter().map(|(op, ..)| *op).collect(),
            orders: Arc::new(Int64Array::from(offsets.clone())),
            unsent: vec![None],
            partitions: changes.iter().map(|(_, _, partition, _)| *partition).collect(),
            positions: offsets.iter().map(|at| Some(StreamPosition([*at as u64, 0, 0]))).collect(),
            source_ts_ms: Int64Array::from(offsets.clone()),
            snapshots: vec![SnapshotPart::None; changes.len()],
            other_keys: None,
            fingerprints: offsets.iter().map(|at| *at as u64).collect(),
            offsets,
        }))
    }

    fn buffered_rows(&self) -> usize {
        self.0.len()
    }

    fn buffered_bytes(&self) -> usize {
        0
    }
}

/// Feeds messages, each a letter; a capital one has a key.
async fn feed(folder: &Path, letters: &str, commit_every_rows: usize) -> Result<(), Failure> {
    let place = folder.to_str().unwrap();
    let template = TableTemplate::new(TableWriter::builder(place), NewTable::new("t", Vec::<String>::new()));
    let settings = FeedSettings {
        decoders: Box::new(|_, _, _| Ok(Box::new(Letters::default()))),
        schemas: Schemas::None,
        overrides: Overrides::default(),
        on_bad: OnBadMessage::DeadLetter,
    };
    let route = (TOPIC.to_owned(), Route { table: place.to_owned(), template });
    let replay = ReplaySettings { commit_every_rows, ..ReplaySettings::default() };
    let mut replayer = Replayer::open(replay, settings, [route]).await?;
    for (offset, letter) in (0..).zip(letters.chars()) {
        let key = letter.is_uppercase().then(|| b"key".to_vec());
        let value = Some(letter.to_lowercase().to_string().into_bytes());
        let record = CapturedRecord { topic: TOPIC.to_owned(), offset, key, value, ..CapturedRecord::default() };
        replayer.feed(&record.as_message(&[])).await?;
    }
    end(replayer).await.map(drop)
}

/// The ids in the table, and its key.
async fn table(folder: &Path) -> (Vec<i64>, Vec<String>) {
    let table = Table::open(folder.to_str().unwrap()).await.unwrap();
    assert_eq!(check_table(&table).await.unwrap().problems, Vec::<String>::new());
    let batches: Vec<_> = table.snapshot(&ReadOptions::default()).await.unwrap().try_collect().await.unwrap();
    let of_batch = |batch: &RecordBatch| {
        let ids: &Int64Array = batch.column(0).as_any().downcast_ref().unwrap();
        ids.values().to_vec()
    };
    (batches.iter().flat_map(of_batch).collect(), table.properties().record_key_fields().to_vec())
}

#[tokio::test]
async fn a_table_is_made_as_its_first_rows_say_whatever_truncate_comes_before() {
    let id = || vec!["id".to_owned()];
    for (letters, want) in [
        ("tCC", (vec![1, 2], id())),
        ("ttCCU", (vec![2, 3, 4], id())),
        ("tcc", (vec![1, 2], vec![])),
        ("CCtC", (vec![3], id())),
        ("cctc", (vec![3], vec![])),
    ] {
        for rows in [1, usize::MAX] {
            let folder = tempfile::tempdir().unwrap();
            feed(folder.path(), letters, rows).await.unwrap();
            assert_eq!(table(folder.path()).await, want, "{letters}, commits of {rows}");
        }
    }
}

#[tokio::test]
async fn truncates_alone_make_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("table");
    feed(&place, "tt", usize::MAX).await.unwrap();
    assert!(!place.exists());
}
