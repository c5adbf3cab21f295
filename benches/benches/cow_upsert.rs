//! 95,000 random rows of a million replaced in eight files, copy-on-write; beside a bare loop of parquet-rs that reads the
//! same files, replaces the same rows and writes them again, without index, footer or commit.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::Int64Type;
use benches::orders::{self, ROWS, UPSERTS};
use benches::rows::{changes, rows, sample};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hudi_core::change::{ChangeBatch, Op};
use hudi_writer::TableWriter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(to.path()).status();
    assert!(status.unwrap().success());
    to
}

/// The writer with its changes taken, ready to commit.
fn ready(runtime: &tokio::runtime::Runtime, table: &Path, batch: &ChangeBatch) -> (tempfile::TempDir, TableWriter) {
    let folder = copy(table);
    let mut writer = runtime.block_on(TableWriter::builder(folder.path().to_string_lossy()).open()).unwrap();
    let _ = writer.write(batch).unwrap();
    (folder, writer)
}

fn base_files(table: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(table).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect()
}

/// Reads a file, replaces the rows whose id is in `by_id` by the update's, writes it.
fn bare_loop(file: &Path, update: &RecordBatch, by_id: &[u32], out: &Path) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap()).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(
        std::io::BufWriter::new(std::fs::File::create(out).unwrap()),
        Arc::clone(reader.schema()),
        Some(properties),
    )
    .unwrap();
    for batch in reader.with_batch_size(8192).build().unwrap() {
        let batch = batch.unwrap();
        let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
        let from: Vec<(usize, usize)> = (0..ids.len())
            .map(|row| match by_id[ids.value(row) as usize] {
                u32::MAX => (0, row),
                update => (1, update as usize),
            })
            .collect();
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            match update.column_by_name(field.name()) {
                Some(update) => interleave(&[&**column, &**update], &from).unwrap(),
                None => Arc::clone(column),
            }
        });
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()).unwrap();
    }
    writer.close().unwrap();
}

fn cow_upsert(c: &mut Criterion) {
    let runtime = runtime();
    let table = tempfile::tempdir().unwrap();
    runtime.block_on(orders::make(table.path()));
    let ids = sample(UPSERTS, ROWS, 3);
    let update = rows(&ids, 4);
    let batch = changes(update.clone(), Op::Update, ROWS);
    let mut by_id = vec![u32::MAX; ROWS as usize];
    ids.iter().enumerate().for_each(|(row, id)| by_id[*id as usize] = row as u32);

    let mut group = c.benchmark_group("cow_upsert");
    group.sample_size(10).throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("hudi_writer", |b| {
        b.iter_batched(
            || ready(&runtime, table.path(), &batch),
            |(folder, mut writer)| {
                runtime.block_on(orders::commit(&mut writer));
                folder
            },
            BatchSize::PerIteration,
        );
    });
    let files = base_files(table.path());
    group.bench_function("parquet_rs_loop_on_one_core", |b| {
        b.iter_batched(
            || tempfile::tempdir().unwrap(),
            |out| {
                for (i, file) in files.iter().enumerate() {
                    bare_loop(file, &update, &by_id, &out.path().join(i.to_string()));
                }
                out
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, cow_upsert);
criterion_main!(benches);
