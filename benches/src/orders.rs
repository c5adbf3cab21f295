//! The orders table that the writing benches share: eight buckets, snappy.

use std::num::NonZeroU32;
use std::path::Path;

use hudi_core::change::Op;
use hudi_core::dead_letter::Original;
use hudi_writer::{CommitOutcome, Index, NewTable, TableWriter};

use crate::rows::{changes, rows, sample};

/// Rows of the table.
pub const ROWS: i64 = 1_000_000;
/// Rows of the table that an upsert replaces.
pub const UPSERTS: usize = 95_000;
/// File groups of the table.
pub const BUCKETS: u32 = 8;

/// The table that is made.
#[must_use]
pub fn new_table() -> NewTable {
    NewTable::new("orders", ["id"]).index(Index::Bucket(NonZeroU32::new(BUCKETS).unwrap_or(NonZeroU32::MIN)))
}

/// Commits, and there was something to commit.
pub async fn commit(writer: &mut TableWriter) {
    let none = |_: &_| -> Option<Original> { None };
    match writer.commit(&none).await {
        Ok(CommitOutcome::Committed(_)) => {}
        other => unreachable!("{other:?}"),
    }
}

/// Makes the table with all its rows.
pub async fn make(folder: &Path) {
    let mut writer = create(folder).await;
    insert_all(&mut writer).await;
}

/// Makes the table without rows.
pub async fn create(folder: &Path) -> TableWriter {
    let builder = TableWriter::builder(folder.to_string_lossy());
    builder.create(&new_table()).await.unwrap_or_else(|e| unreachable!("{e}"))
}

/// Inserts all rows in one commit.
pub async fn insert_all(writer: &mut TableWriter) {
    let ids: Vec<i64> = (0..ROWS).collect();
    let batch = changes(rows(&ids, 1), Op::Insert, 0);
    let _ = writer.write(&batch).unwrap_or_else(|e| unreachable!("{e}"));
    commit(writer).await;
}

/// Upserts [`UPSERTS`] random rows in one commit: the time of this is what the bench measures.
pub async fn upsert(folder: &Path) {
    let builder = TableWriter::builder(folder.to_string_lossy());
    let mut writer = builder.open().await.unwrap_or_else(|e| unreachable!("{e}"));
    let batch = changes(rows(&sample(UPSERTS, ROWS, 3), 4), Op::Update, ROWS);
    let _ = writer.write(&batch).unwrap_or_else(|e| unreachable!("{e}"));
    commit(&mut writer).await;
}
