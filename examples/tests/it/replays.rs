//! Replays messages into a table in a folder, as the program `replay` does, and reads the table's rows back.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::AsArray;
use cdc_decoders::debezium::DeclaredSchema;
use examples::{Decoders, Failure, Format, OnBadMessage, ReplaySettings, Replayer, Route, Schemas, Summary};
use futures::TryStreamExt;
use hudi_core::change::{Op, columns};
use hudi_writer::ingest::{Given, TableTemplate};
use hudi_writer::{
    Index, NewTable, ReadOptions, SecondSnapshot, SourceWentBack, Table, TableWriter, WriterSettings, check_table,
};
use kafka_source::CapturedRecord;

use crate::cells::{Cell, cell};

/// How messages are replayed; by default without a schema, by the messages' key, in one commit.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    pub(crate) index: Index,
    pub(crate) commit_every_rows: usize,
    pub(crate) format: Format,
    pub(crate) declared: Option<DeclaredSchema>,
    pub(crate) schemas: Schemas,
    pub(crate) key: Vec<String>,
    pub(crate) partition_by: Vec<String>,
    pub(crate) on_bad: OnBadMessage,
    pub(crate) on_source_went_back: SourceWentBack,
    pub(crate) on_second_snapshot: SecondSnapshot,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            index: Index::Simple,
            commit_every_rows: usize::MAX,
            format: Format::DebeziumJson,
            declared: None,
            schemas: Schemas::default(),
            key: vec![],
            partition_by: vec![],
            on_bad: OnBadMessage::DeadLetter,
            on_source_went_back: SourceWentBack::Stop,
            on_second_snapshot: SecondSnapshot::Keep,
        }
    }
}

impl Replay {
    async fn open(&self, folder: &Path, topic: &str) -> Result<Replayer, Failure> {
        let mut table = NewTable::new("replayed", &self.key).partition_by(&self.partition_by);
        table.index = Some(self.index);
        let given =
            Given { key: !self.key.is_empty(), partition_by: !self.partition_by.is_empty(), index: true, mode: true };
        let settings = WriterSettings {
            on_source_went_back: self.on_source_went_back,
            on_second_snapshot: self.on_second_snapshot,
            ..WriterSettings::default()
        };
        let place = folder.to_str().unwrap();
        let template = TableTemplate::new(TableWriter::builder(place).settings(settings), table).given(given);
        let decoders = Decoders::new(self.format, self.declared.clone(), self.schemas.clone());
        let route = (topic.to_owned(), Route { table: place.to_owned(), template });
        let replay = ReplaySettings { commit_every_rows: self.commit_every_rows, ..ReplaySettings::default() };
        Replayer::open(replay, decoders.into_feed(self.on_bad), [route]).await
    }

    /// From where the table's checkpoint says, to the end.
    pub(crate) async fn run(&self, folder: &Path, records: &[CapturedRecord]) -> Result<Summary, Failure> {
        let mut replayer = self.open(folder, &topic_of(folder, records).await).await?;
        for record in records {
            replayer.feed(&record.as_message(&record.headers())).await?;
        }
        end(replayer).await
    }

    /// To the end, by processes that die after each commit.
    pub(crate) async fn run_with_restarts(&self, folder: &Path, records: &[CapturedRecord]) -> usize {
        let topic = &records[0].topic;
        for restarts in 0.. {
            let mut replayer = self.open(folder, topic).await.unwrap();
            let mut left = records.iter();
            for record in left.by_ref() {
                replayer.feed(&record.as_message(&record.headers())).await.unwrap();
                if replayer.summary(topic).commits > 0 {
                    break;
                }
            }
            if left.len() == 0 {
                end(replayer).await.unwrap();
                return restarts;
            }
        }
        unreachable!()
    }
}

/// The topic that the records are of; without any, the one that fed the table.
async fn topic_of(folder: &Path, records: &[CapturedRecord]) -> String {
    if let Some(record) = records.first() {
        return record.topic.clone();
    }
    let writer = TableWriter::builder(folder.to_str().unwrap()).open().await.unwrap();
    writer.committed().topics.keys().next().unwrap().clone()
}

/// What was done to the one table.
pub(crate) async fn end(replayer: Replayer) -> Result<Summary, Failure> {
    let (mut summaries, mut failures) = replayer.finish().await?;
    match failures.pop() {
        Some((_, failure)) => Err(failure),
        None => Ok(summaries.pop_first().unwrap().1),
    }
}

/// A row as it is read back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredRow {
    /// The source's own columns.
    pub(crate) cells: BTreeMap<String, Cell>,
    /// What made the row what it is.
    pub(crate) op: Op,
}

/// All rows of a table that a check finds sound.
pub(crate) async fn sound_rows(folder: &Path) -> Vec<StoredRow> {
    let table = Table::open(folder.to_str().unwrap()).await.unwrap();
    let report = check_table(&table).await.unwrap();
    assert!(report.is_ok(), "{:#?}", report.problems);
    let batches: Vec<_> = table.snapshot(&ReadOptions::default()).await.unwrap().try_collect().await.unwrap();
    let mut rows = vec![];
    for batch in batches {
        let schema = batch.schema();
        let ops = batch.column_by_name(columns::OP).unwrap().as_string::<i32>().clone();
        for row in 0..batch.num_rows() {
            let source =
                schema.fields().iter().zip(batch.columns()).filter(|(field, _)| !field.name().starts_with("_cdc_"));
            let cells = source.map(|(field, column)| (field.name().clone(), cell(column, row))).collect();
            let op =
                [Op::Insert, Op::Update, Op::Snapshot].into_iter().find(|op| op.letter() == ops.value(row)).unwrap();
            rows.push(StoredRow { cells, op });
        }
    }
    assert_eq!(rows.len() as u64, report.rows);
    rows
}
