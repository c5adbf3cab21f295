//! A table's rows and commits, printed.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use arrow_json::WriterBuilder;
use arrow_json::writer::LineDelimited;
use futures::{Stream, StreamExt};
use hudi_core::commit::CommitMetadata;

use crate::Failure;

/// What a commit did to rows, in words.
#[must_use]
pub fn describe(commit: &CommitMetadata) -> String {
    let (inserts, updates, deletes) = commit.write_stats().fold((0, 0, 0), |(inserts, updates, deletes), stat| {
        (inserts + stat.num_inserts, updates + stat.num_update_writes, deletes + stat.num_deletes)
    });
    format!("{inserts} inserted, {updates} updated, {deletes} deleted")
}

/// One JSON object a row and line, nulls spelled out.
///
/// # Errors
/// Those of the rows, and of the output.
pub async fn print_jsonl(
    rows: impl Stream<Item = hudi_writer::Result<RecordBatch>>,
    out: impl Write,
) -> Result<(), Failure> {
    let mut rows = std::pin::pin!(rows);
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(out);
    let failed = |error: arrow::error::ArrowError| Failure::failed(error.to_string());
    while let Some(batch) = rows.next().await {
        writer.write(&batch?).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

/// The first `limit` rows in columns.
///
/// # Errors
/// Those of the rows, and of the output.
pub async fn print_table(
    rows: impl Stream<Item = hudi_writer::Result<RecordBatch>>,
    limit: usize,
    mut out: impl Write,
) -> Result<(), Failure> {
    let mut rows = std::pin::pin!(rows);
    let (mut shown, mut left, mut all) = (vec![], limit, 0);
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        all += batch.num_rows();
        let take = left.min(batch.num_rows());
        if take > 0 {
            shown.push(batch.slice(0, take));
        }
        left -= take;
    }
    let text = pretty_format_batches(&shown).map_err(|error| Failure::failed(error.to_string()))?;
    writeln!(out, "{text}")?;
    writeln!(out, "{} of {all} rows", all.min(limit))?;
    Ok(())
}
