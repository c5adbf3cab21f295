//! A million rows into an empty table of eight buckets; beside a bare `ArrowWriter` on the same rows with meta columns.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use benches::orders::{self, ROWS};
use benches::rows::{changes, rows};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hudi_core::change::Op;
use hudi_writer::TableWriter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// The rows of a table's base files, meta columns first, in memory.
fn stored_rows(table: &Path) -> Vec<RecordBatch> {
    let mut batches = vec![];
    for entry in std::fs::read_dir(table).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "parquet") {
            let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap();
            batches.extend(reader.with_batch_size(8192).build().unwrap().map(Result::unwrap));
        }
    }
    batches
}

fn bare_writer(batches: &[RecordBatch], out: &Path) {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let file = std::io::BufWriter::new(std::fs::File::create(out.join("rows.parquet")).unwrap());
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
}

fn bulk_insert(c: &mut Criterion) {
    let runtime = runtime();
    let ids: Vec<i64> = (0..ROWS).collect();
    let batch = Arc::new(changes(rows(&ids, 1), Op::Insert, 0));
    let ready = || {
        let folder = tempfile::tempdir().unwrap();
        let writer: TableWriter = runtime.block_on(orders::create(folder.path()));
        (folder, writer)
    };
    let mut group = c.benchmark_group("bulk_insert");
    group.sample_size(10).throughput(Throughput::Elements(ROWS as u64));
    group.bench_function("hudi_writer", |b| {
        b.iter_batched(
            ready,
            |(folder, mut writer)| {
                let _ = writer.write(&batch).unwrap();
                runtime.block_on(orders::commit(&mut writer));
                folder
            },
            BatchSize::PerIteration,
        );
    });
    let table = tempfile::tempdir().unwrap();
    runtime.block_on(orders::make(table.path()));
    let stored = stored_rows(table.path());
    group.bench_function("arrow_writer_on_one_core", |b| {
        b.iter_batched(
            || tempfile::tempdir().unwrap(),
            |out| {
                bare_writer(&stored, out.path());
                out
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, bulk_insert);
criterion_main!(benches);
