//! [`replay_letters`]: dead letters that are sent again.
//!
//! A letter goes below all that came since. What became of its row meanwhile, a table that only keeps rows cannot always tell: where
//! deletes came since, a row that is not there may be one of them, and the letter is left unless that is allowed.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::row::{OwnedRow, RowConverter, SortField};
use cdc_decoders::overrides::Overridden;
use cdc_decoders::{Decoded, Decoder};
use futures::TryStreamExt;
use hudi_core::change::{ChangeBatch, Op, Origin};
use hudi_core::dead_letter::Original;
use hudi_writer::{CommitOutcome, KeptLetter, Mode, ReadOptions, Table, TableWriter, WriterBuilder};
use kafka_source::{CapturedHeader, CapturedRecord};
use serde::Serialize;

use crate::{Decoders, Failure};

/// What became of letters.
#[derive(Debug, Default, Serialize)]
pub struct LettersDone {
    /// Letters that were left from before.
    pub letters: u64,
    /// Of these, those that became changes, or hold none.
    pub applied: u64,
    /// Commits.
    pub commits: u64,
    /// Letters that are left, with why.
    pub left: BTreeMap<String, String>,
}

/// How letters are sent again.
#[derive(Debug, Clone, Copy, Default)]
pub struct LetterSettings {
    /// Rows that may have been deleted since come back.
    pub may_return: bool,
}

/// The letters, as they are read.
struct Letters {
    settings: LetterSettings,
    done: LettersDone,
    /// Those that hold changes.
    changes: Vec<(KeptLetter, ChangeBatch)>,
    /// Those that hold none.
    empty: Vec<Origin>,
}

/// Sends the dead letters of a table again, into it or another one; in one commit.
///
/// # Errors
/// Those of the tables. A letter that still cannot be a row is none: it is left.
pub async fn replay_letters(
    from: &Table,
    into: WriterBuilder,
    decoders: &Decoders,
    key: &[String],
    settings: LetterSettings,
) -> Result<LettersDone, Failure> {
    let mut writer = into.open().await?;
    let kept = from.letters_left(writer.table()).await?;
    let done = LettersDone { letters: kept.len() as u64, ..LettersDone::default() };
    let mut letters = Letters { settings, done, changes: vec![], empty: vec![] };
    letters.read(kept, &writer, decoders, key).await?;
    letters.leave_what_may_be_gone(writer.table()).await?;
    letters.apply(&mut writer).await
}

impl Letters {
    fn leave(&mut self, origin: &Origin, reason: impl Into<String>) {
        self.done.left.insert(origin.to_string(), reason.into());
    }

    async fn read(
        &mut self,
        kept: Vec<KeptLetter>,
        writer: &TableWriter,
        decoders: &Decoders,
        key: &[String],
    ) -> Result<(), Failure> {
        let columns = writer.source_columns();
        let mut of_topic: BTreeMap<String, Box<dyn Decoder>> = BTreeMap::new();
        for letter in kept {
            let topic = letter.letter.original.origin.topic.to_string();
            if !of_topic.contains_key(&topic) {
                of_topic.insert(topic.clone(), decoders.decoder(&topic, key, columns.as_ref())?);
            }
            let Some(decoder) = of_topic.get_mut(&topic) else { continue };
            self.read_one(letter, &mut **decoder, decoders).await?;
        }
        Ok(())
    }

    async fn read_one(
        &mut self,
        letter: KeptLetter,
        decoder: &mut dyn Decoder,
        decoders: &Decoders,
    ) -> Result<(), Failure> {
        let origin = letter.letter.original.origin.clone();
        let record = record(&letter.letter.original);
        match decoders.schemas.decode(decoder, &record.as_message(&record.headers())).await? {
            Ok(Decoded::Added { .. }) => {}
            Ok(Decoded::Skipped(_)) => {
                self.empty.push(origin);
                return Ok(());
            }
            Ok(_) => return Err(Failure::failed("the decoder takes no message though it holds none")),
            Err(error) => {
                self.leave(&origin, error.to_string());
                return Ok(());
            }
        }
        let Some(batch) = decoder.flush()? else { return Ok(()) };
        let Overridden { batch, refused } = decoders.overrides.apply(batch)?;
        match refused.first() {
            Some(row) => self.leave(&origin, format!("column `{}`: {}", row.column, row.reason)),
            None if batch.ops.contains(&Op::Truncate) => self.leave(&origin, "a truncate is not done later"),
            None => self.changes.push((letter, batch)),
        }
        Ok(())
    }

    /// A row that is not there may have been deleted since.
    async fn leave_what_may_be_gone(&mut self, table: &Table) -> Result<(), Failure> {
        if self.settings.may_return || table.properties().mode() != Mode::Upsert {
            return Ok(());
        }
        let Some(last_delete) = table.last_delete().await? else { return Ok(()) };
        let adds = |batch: &ChangeBatch| batch.ops.iter().any(|op| *op != Op::Delete);
        let (asked, safe): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|(kept, batch)| kept.of <= last_delete && adds(batch));
        self.changes = safe;
        let there = present(table, asked.iter().map(|(_, batch)| batch)).await?;
        for ((kept, batch), is_there) in asked.into_iter().zip(there) {
            match is_there {
                true => self.changes.push((kept, batch)),
                false => self.leave(
                    &kept.letter.original.origin,
                    "its row is not there, and rows were deleted since: it may be one of them; allow it with --may-return",
                ),
            }
        }
        // In the order in which they came.
        self.changes.sort_by_key(|(kept, _)| place(&kept.letter.original.origin));
        Ok(())
    }

    async fn apply(mut self, writer: &mut TableWriter) -> Result<LettersDone, Failure> {
        let mut originals: BTreeMap<Origin, Original> = BTreeMap::new();
        for (kept, batch) in std::mem::take(&mut self.changes) {
            let original = kept.letter.original;
            let taken = writer.write_again(&batch)?;
            match taken.refused.first() {
                Some(refused) => self.leave(&original.origin, refused.reason.clone()),
                None => {
                    self.empty.push(original.origin.clone());
                    originals.insert(original.origin.clone(), original);
                }
            }
        }
        self.done.applied = self.empty.len() as u64;
        self.empty.drain(..).for_each(|origin| writer.letter_is_applied(origin));
        match writer.commit(&|origin: &Origin| originals.get(origin).cloned()).await? {
            CommitOutcome::Empty => {}
            CommitOutcome::Committed(committed) => {
                self.done.commits = 1;
                self.done.applied -= committed.dead_letters.min(self.done.applied);
            }
            CommitOutcome::Conflicted { with } => {
                let message = format!("another writer committed {with} meanwhile; nothing was written: run again");
                return Err(Failure::failed(message));
            }
        }
        Ok(self.done)
    }
}

fn place(origin: &Origin) -> (String, i32, i64) {
    (origin.topic.to_string(), origin.partition, origin.offset)
}

/// Of each batch, whether all of its rows are in the table, by their keys.
async fn present<'a>(table: &Table, batches: impl Iterator<Item = &'a ChangeBatch>) -> Result<Vec<bool>, Failure> {
    let key = table.properties().source_key().to_vec();
    let (Some(columns), false) = (table.columns(), key.is_empty()) else { return Ok(batches.map(|_| false).collect()) };
    let types = key.iter().map(|name| columns.field_with_name(name).map(|field| field.data_type().clone()));
    let types: Vec<_> = types.collect::<Result<_, _>>().map_err(failed)?;
    let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect()).map_err(failed)?;
    let rows = |batch: &RecordBatch| -> Result<Vec<OwnedRow>, Failure> {
        let column = |(name, to): (&String, &DataType)| {
            let column = batch.column_by_name(name).ok_or_else(|| Failure::failed(format!("no column {name}")))?;
            cast(column, to).map_err(failed)
        };
        let columns: Vec<ArrayRef> = key.iter().zip(&types).map(column).collect::<Result<_, _>>()?;
        let rows = converter.convert_columns(&columns).map_err(failed)?;
        Ok(rows.iter().map(|row| row.owned()).collect())
    };
    let asked: Vec<Vec<OwnedRow>> = batches.map(|batch| rows(&batch.rows)).collect::<Result<_, _>>()?;
    let mut missing: BTreeSet<OwnedRow> = asked.iter().flatten().cloned().collect();
    let options = ReadOptions { columns: Some(key.clone()), ..ReadOptions::default() };
    let mut stored = std::pin::pin!(table.snapshot(&options).await?);
    while let Some(batch) = stored.try_next().await? {
        for row in rows(&batch)? {
            missing.remove(&row);
        }
    }
    Ok(asked.iter().map(|rows| rows.iter().all(|row| !missing.contains(row))).collect())
}

fn failed(error: arrow::error::ArrowError) -> Failure {
    Failure::failed(error.to_string())
}

/// The message of a letter.
fn record(original: &Original) -> CapturedRecord {
    let header =
        |(name, value): &(String, Option<Vec<u8>>)| CapturedHeader { name: name.clone(), value: value.clone() };
    CapturedRecord {
        topic: original.origin.topic.to_string(),
        partition: original.origin.partition,
        offset: original.origin.offset,
        timestamp_ms: original.timestamp_ms,
        key: original.key.clone(),
        value: original.value.clone(),
        headers: original.headers.iter().map(header).collect(),
    }
}
