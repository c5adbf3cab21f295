//! Replays messages into a table in a folder, as the program `replay` does, and reads the table's rows back.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::AsArray;
use cdc_decoders::debezium::DeclaredSchema;
use examples::{Decoders, Failure, Format, Given, OnBadMessage, Pipeline, Schemas, Summary, TableTemplate};
use futures::TryStreamExt;
use hudi_core::change::{Op, columns};
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
    pub(crate) async fn open(&self, folder: &Path) -> Result<Pipeline, Failure> {
        let mut table = NewTable::new("replayed", &self.key).partition_by(&self.partition_by);
        table.index = Some(self.index);
        let given =
            Given { key: !self.key.is_empty(), partition_by: !self.partition_by.is_empty(), index: true, mode: true };
        let decoders = Decoders::new(self.format, self.declared.clone(), self.schemas.clone());
        let decoder = |writer: Option<&TableWriter>| decoders.decoder("", &self.key, writer);
        let settings = WriterSettings {
            on_source_went_back: self.on_source_went_back,
            on_second_snapshot: self.on_second_snapshot,
            ..WriterSettings::default()
        };
        let builder = TableWriter::builder(folder.to_str().unwrap()).settings(settings);
        let pipeline = Pipeline::open(builder, TableTemplate { table, given }, decoder).await?;
        let pipeline = pipeline.schemas(self.schemas.clone());
        Ok(pipeline.commit_every_rows(self.commit_every_rows).on_bad_message(self.on_bad))
    }

    /// From where the table's checkpoint says, to the end.
    pub(crate) async fn run(&self, folder: &Path, records: &[CapturedRecord]) -> Result<Summary, Failure> {
        let mut pipeline = self.open(folder).await?;
        for record in records {
            pipeline.feed(record.clone()).await?;
        }
        pipeline.finish().await
    }

    /// To the end, by processes that die after each commit.
    pub(crate) async fn run_with_restarts(&self, folder: &Path, records: &[CapturedRecord]) -> usize {
        for restarts in 0.. {
            let mut pipeline = self.open(folder).await.unwrap();
            let mut left = records.iter();
            for record in left.by_ref() {
                pipeline.feed(record.clone()).await.unwrap();
                if pipeline.summary().commits > 0 {
                    break;
                }
            }
            if left.len() == 0 {
                pipeline.finish().await.unwrap();
                return restarts;
            }
        }
        unreachable!()
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
