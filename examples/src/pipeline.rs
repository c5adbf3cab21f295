//! [`Pipeline`]: the loop from messages to one table.
//!
//! The table is the only truth about how far the pipeline got: what lies below its checkpoint is passed over. Messages are
//! kept until their changes are committed, so that one which turns out not to be applicable becomes a whole dead letter.

use std::collections::{BTreeMap, HashMap};

use cdc_decoders::overrides::{Overridden, Overrides};
use cdc_decoders::{DecodeError, Decoded, Decoder};
use hudi_core::change::{ChangeBatch, Op, Origin};
use hudi_core::dead_letter::{DeadLetter, Original, Stage};
use hudi_writer::{CommitOutcome, NewTable, Refused, TableWriter, WriterBuilder};
use kafka_source::CapturedRecord;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Failure, Schemas};

/// Bytes of changes that are committed at the latest.
const COMMIT_BYTES: usize = 128 << 20;
/// What a message takes beside its key and value, about.
const MESSAGE_BYTES: usize = 256;
/// Why messages below the checkpoint are passed over.
const COMMITTED_BEFORE: &str = "committed_before";
/// Why truncates are passed over that come before the table is there.
const NOTHING_TO_TRUNCATE: &str = "nothing_to_truncate";

/// What is done about a message that cannot become a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadMessage {
    /// It is kept beside the table, and the rest goes on.
    DeadLetter,
    /// The pipeline stops with its reason.
    Stop,
}

/// What a table is created from, once the first change says what its key is.
#[derive(Debug, Clone)]
pub struct TableTemplate {
    /// The table; its key is that of the messages where none is given. Where new rows come without one, it has none.
    pub table: NewTable,
    /// What the options that make up the table say on the command line: compared with a table that is there.
    pub given: Given,
}

/// Which parts of a table's definition were given, and must be those of a table that is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given {
    /// The key.
    pub key: bool,
    /// The partition columns.
    pub partition_by: bool,
    /// The index.
    pub index: bool,
    /// What becomes of changes.
    pub mode: bool,
}

/// What a pipeline did.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Commits.
    pub commits: u64,
    /// Inserts, updates and snapshot rows that were taken.
    pub upserts: u64,
    /// Deletes that were taken.
    pub deletes: u64,
    /// Truncates that were taken.
    pub truncates: u64,
    /// Changes that the source's connector had sent before.
    pub redelivered: u64,
    /// Messages that could not become rows.
    pub dead_letters: u64,
    /// Rows that went because a later snapshot of the source does not have them.
    pub ghosts: u64,
    /// Messages without a change of a row, and those that were committed before, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Dates and times outside the years 1 to 9999, moved to the ends of that range. Told apart from the rest.
    #[serde(skip)]
    pub clamped: u64,
    /// How far the table got.
    pub checkpoint: Option<Box<RawValue>>,
}

impl Summary {
    /// Adds what was done to another table; checkpoints have no sum.
    pub fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.upserts += other.upserts;
        self.deletes += other.deletes;
        self.truncates += other.truncates;
        self.redelivered += other.redelivered;
        self.dead_letters += other.dead_letters;
        self.ghosts += other.ghosts;
        self.clamped += other.clamped;
        for (reason, count) in &other.skipped {
            *self.skipped.entry(reason.clone()).or_default() += count;
        }
    }
}

/// Messages to one table.
pub struct Pipeline {
    builder: WriterBuilder,
    template: TableTemplate,
    writer: Option<TableWriter>,
    decoder: Box<dyn Decoder>,
    schemas: Schemas,
    overrides: Overrides,
    on_bad: OnBadMessage,
    commit_every_rows: usize,
    kept: HashMap<Origin, CapturedRecord>,
    kept_bytes: usize,
    /// What there is to say to a table that is not there yet.
    positions: BTreeMap<(String, i32), i64>,
    letters: Vec<DeadLetter>,
    letters_bytes: usize,
    /// Truncates from before there was a table.
    held: Vec<ChangeBatch>,
    summary: Summary,
}

impl Pipeline {
    /// A pipeline into the table that `builder` names. `decoder` is made knowing what the table's columns are, if it is there.
    ///
    /// # Errors
    /// Where the table cannot be opened, or is not what the template says.
    pub async fn open(
        builder: WriterBuilder,
        template: TableTemplate,
        decoder: impl FnOnce(Option<&TableWriter>) -> Result<Box<dyn Decoder>, Failure>,
    ) -> Result<Self, Failure> {
        let writer = match builder.clone().open().await {
            Ok(writer) => Some(writer),
            Err(hudi_writer::Error::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(writer) = &writer {
            template.compare(writer)?;
        }
        let decoder = decoder(writer.as_ref())?;
        Ok(Self {
            builder,
            template,
            writer,
            decoder,
            schemas: Schemas::default(),
            overrides: Overrides::default(),
            on_bad: OnBadMessage::DeadLetter,
            commit_every_rows: usize::MAX,
            kept: HashMap::new(),
            kept_bytes: 0,
            positions: BTreeMap::new(),
            letters: vec![],
            letters_bytes: 0,
            held: vec![],
            summary: Summary::default(),
        })
    }

    /// Commits whenever so many changes wait.
    #[must_use]
    pub fn commit_every_rows(mut self, rows: usize) -> Self {
        self.commit_every_rows = rows;
        self
    }

    /// What is done about a message that cannot become a row.
    #[must_use]
    pub fn on_bad_message(mut self, what: OnBadMessage) -> Self {
        self.on_bad = what;
        self
    }

    /// Where the schemas are that messages were written with.
    #[must_use]
    pub fn schemas(mut self, schemas: Schemas) -> Self {
        self.schemas = schemas;
        self
    }

    /// What columns are to be in place of what is sent.
    #[must_use]
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Refuses a table that this pipeline feeds from another topic: its rows would be taken for one another's.
    ///
    /// # Errors
    /// Naming the other topic.
    pub fn reads_only(&self, topic: &str) -> Result<(), Failure> {
        let topics = self.writer.as_ref().map(|writer| &writer.committed().topics);
        match topics.and_then(|topics| topics.keys().find(|other| *other != topic)) {
            Some(other) => Err(Failure::usage(format!(
                "the table is fed from the topic {other}, not {topic}: its rows would be taken for one another's"
            ))),
            None => Ok(()),
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Takes a message; commits when enough changes wait.
    ///
    /// # Errors
    /// Those of the table; and of the message, where those stop the pipeline.
    pub async fn feed(&mut self, record: CapturedRecord) -> Result<(), Failure> {
        if self.next_offset(&record.topic, record.partition).is_some_and(|next| record.offset < next) {
            *self.summary.skipped.entry(COMMITTED_BEFORE.to_owned()).or_default() += 1;
            return Ok(());
        }
        let mut decoded = self.schemas.decode(&mut *self.decoder, &record)?;
        if matches!(decoded, Ok(Decoded::FlushFirst)) {
            self.flush().await?;
            decoded = self.schemas.decode(&mut *self.decoder, &record)?;
        }
        match decoded {
            Ok(Decoded::Added { .. }) => self.keep(record),
            Ok(Decoded::Skipped(reason)) => {
                *self.summary.skipped.entry(reason.as_str().to_owned()).or_default() += 1;
                self.advance(&record.topic, record.partition, record.offset + 1);
            }
            Ok(_) => return Err(Failure::failed("the decoder takes a message neither before nor after a flush")),
            Err(error) => self.bad_message(record, &error)?,
        }
        if self.waiting_rows() >= self.commit_every_rows || self.kept_bytes >= COMMIT_BYTES {
            self.commit().await?;
        }
        self.check_letters(COMMIT_BYTES)
    }

    fn next_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        // While a pipeline runs, only what stood in the table when it was opened can come again.
        self.writer.as_ref()?.committed().next_offset(topic, partition)
    }

    fn waiting_rows(&self) -> usize {
        self.decoder.buffered_rows() + self.writer.as_ref().map_or(0, TableWriter::buffered_rows)
    }

    fn keep(&mut self, record: CapturedRecord) {
        self.kept_bytes += bytes_of(&record);
        self.kept.insert(origin(&record), record);
    }

    fn advance(&mut self, topic: &str, partition: i32, next: i64) {
        if let Some(writer) = &mut self.writer {
            return writer.advance(topic, partition, next);
        }
        let position = self.positions.entry((topic.to_owned(), partition)).or_default();
        *position = next.max(*position);
    }

    fn bad_message(&mut self, record: CapturedRecord, error: &DecodeError) -> Result<(), Failure> {
        if matches!(error, DecodeError::UnsupportedSource { .. }) {
            // No message of this source will do: what was asked for is refused.
            return Err(Failure::usage(format!("{}: {error}", origin(&record))));
        }
        if self.on_bad == OnBadMessage::Stop || !error.can_go_on() {
            return Err(Failure::failed(format!("{}: {error}", origin(&record))));
        }
        self.bury(DeadLetter { stage: Stage::Decode, reason: error.to_string(), original: original(record) });
        Ok(())
    }

    fn bury(&mut self, letter: DeadLetter) {
        match &mut self.writer {
            Some(writer) => writer.dead_letter(letter),
            None => {
                self.letters_bytes += letter.original.value.as_ref().map_or(0, Vec::len) + MESSAGE_BYTES;
                self.letters.push(letter);
            }
        }
    }

    /// Refuses to hold more than so many bytes of dead letters without a table to keep them beside.
    fn check_letters(&self, max_bytes: usize) -> Result<(), Failure> {
        let Some(first) = self.letters.first().filter(|_| self.letters_bytes > max_bytes) else { return Ok(()) };
        let (count, place) = (self.letters.len(), &first.original.origin);
        if self.letters.iter().all(|letter| letter.stage == Stage::Key) {
            let message = format!("the messages of {} have no key: name its columns with --key", place.topic);
            return Err(Failure::usage(message));
        }
        let message = format!("no message became a row, and {count} could not: the first, {place}: {}", first.reason);
        Err(Failure::failed(message))
    }

    /// Hands what is decoded to the table; makes the table if it is not there.
    async fn flush(&mut self) -> Result<(), Failure> {
        let Some(batch) = self.decoder.flush()? else { return Ok(()) };
        let Overridden { batch, refused: unfit } = self.overrides.apply(batch)?;
        for row in unfit {
            let reason = format!("column `{}`: {}", row.column, row.reason);
            self.bury_row(Refused { origin: row.origin, stage: Stage::Schema, reason })?;
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.writer.is_none() && !batch.speaks_of_rows() {
            // There is nothing to empty yet, nor does it say what the table is; but older changes may still come.
            self.held.push(batch);
            return Ok(());
        }
        let adds_rows = batch.ops.iter().any(|op| matches!(op, Op::Insert | Op::Snapshot));
        if self.writer.is_none() && self.template.key(&batch).is_empty() && !adds_rows {
            self.pass_truncates(&batch);
            return self.refuse(&batch, "the message has no key, and none before it said what the key is (--key)");
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(create(&self.builder, &self.template, &batch).await?),
        };
        for ((topic, partition), next) in std::mem::take(&mut self.positions) {
            writer.advance(&topic, partition, next);
        }
        for letter in self.letters.drain(..) {
            writer.dead_letter(letter);
        }
        let mut refused = vec![];
        for batch in self.held.drain(..).chain([batch]) {
            let taken = writer.write(&batch)?;
            self.summary.upserts += taken.upserts;
            self.summary.deletes += taken.deletes;
            self.summary.truncates += taken.truncates;
            self.summary.redelivered += taken.redelivered;
            refused.extend(taken.refused);
        }
        refused.into_iter().try_for_each(|refused| self.bury_row(refused))
    }

    /// Takes none of the rows; the truncates among them were passed over.
    fn refuse(&mut self, batch: &ChangeBatch, reason: &str) -> Result<(), Failure> {
        let refused = |row| Refused { origin: batch.origin(row), stage: Stage::Key, reason: reason.to_owned() };
        let rows = (0..batch.num_rows()).filter(|row| batch.ops[*row] != Op::Truncate);
        rows.map(refused).try_for_each(|refused| self.bury_row(refused))
    }

    /// There is no table, so nothing to truncate; nor do truncates say what its key will be.
    fn pass_truncates(&mut self, batch: &ChangeBatch) {
        for row in (0..batch.num_rows()).filter(|row| batch.ops[*row] == Op::Truncate) {
            let Origin { topic, partition, offset } = batch.origin(row);
            let kept = self.kept.remove(&batch.origin(row));
            self.kept_bytes -= kept.as_ref().map_or(0, bytes_of);
            self.advance(&topic, partition, offset + 1);
            *self.summary.skipped.entry(NOTHING_TO_TRUNCATE.to_owned()).or_default() += 1;
        }
    }

    fn bury_row(&mut self, refused: Refused) -> Result<(), Failure> {
        let Refused { origin, stage, reason } = refused;
        if self.on_bad == OnBadMessage::Stop {
            return Err(Failure::failed(format!("{origin}: {reason}")));
        }
        if let Some(record) = self.kept.get(&origin) {
            let original = original(record.clone());
            self.bury(DeadLetter { stage, reason, original });
        }
        Ok(())
    }

    /// Commits what waits.
    ///
    /// # Errors
    /// Those of the table. Open it again: the checkpoint says where to go on.
    pub async fn commit(&mut self) -> Result<(), Failure> {
        self.flush().await?;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let kept = &self.kept;
        let originals = |origin: &Origin| kept.get(origin).cloned().map(original);
        match writer.commit(&originals).await? {
            CommitOutcome::Empty => {}
            CommitOutcome::Committed(done) => {
                self.summary.commits += 1;
                self.summary.dead_letters += done.dead_letters;
                self.summary.ghosts += done.ghosts;
            }
            CommitOutcome::Conflicted { with } => {
                let message = format!("another writer committed {with} meanwhile; nothing was written: run again");
                return Err(Failure::failed(message));
            }
        }
        self.kept.clear();
        self.kept_bytes = 0;
        Ok(())
    }

    /// Commits the rest, to which nothing more comes; what was done.
    ///
    /// # Errors
    /// As [`Pipeline::commit`]; and where no message gave a row, so that there is no table to keep the others beside.
    pub async fn finish(mut self) -> Result<Summary, Failure> {
        self.flush().await?;
        if let Some(writer) = &mut self.writer {
            writer.all_has_come();
        }
        self.commit().await?;
        self.check_letters(0)?;
        for batch in std::mem::take(&mut self.held) {
            self.pass_truncates(&batch);
        }
        let checkpoint = self.writer.as_ref().map(|writer| writer.checkpoint().to_json());
        self.summary.clamped = self.decoder.clamped();
        self.summary.checkpoint = checkpoint.and_then(|text| RawValue::from_string(text).ok());
        Ok(self.summary)
    }
}

fn bytes_of(record: &CapturedRecord) -> usize {
    record.value.as_ref().map_or(0, Vec::len) + record.key.as_ref().map_or(0, Vec::len) + MESSAGE_BYTES
}

async fn create(
    builder: &WriterBuilder,
    template: &TableTemplate,
    first: &ChangeBatch,
) -> Result<TableWriter, Failure> {
    let table = NewTable { key: template.key(first).to_vec(), ..template.table.clone() };
    builder.clone().create(&table).await.map_err(|error| match error {
        // There is no table yet: what is wrong was given.
        hudi_writer::Error::Format(hudi_core::error::Error::BadProperty { .. }) => Failure::usage(error.to_string()),
        other => other.into(),
    })
}

impl TableTemplate {
    /// The key of the table that is made for these changes.
    fn key<'a>(&'a self, first: &'a ChangeBatch) -> &'a [String] {
        if self.table.key.is_empty() { &first.key_columns } else { &self.table.key }
    }

    /// Refuses a table that is there and is another than what was asked for.
    fn compare(&self, writer: &TableWriter) -> Result<(), Failure> {
        let properties = writer.table().properties();
        let differs = |what: &str, has: &dyn std::fmt::Debug| {
            Err(Failure::usage(format!("the table is there already, with the {what} {has:?}, for its whole life")))
        };
        if self.given.key && self.table.key != properties.source_key() {
            return differs("key", &properties.source_key());
        }
        if self.given.partition_by && self.table.partition_by != properties.partition_fields() {
            return differs("partition columns", &properties.partition_fields());
        }
        if self.given.mode && self.table.mode != properties.mode() {
            return differs("mode", &properties.mode());
        }
        if self.given.index && self.table.index != Some(writer.index()) {
            return differs("index", &writer.index());
        }
        Ok(())
    }
}

fn origin(record: &CapturedRecord) -> Origin {
    Origin { topic: record.topic.as_str().into(), partition: record.partition, offset: record.offset }
}

fn original(record: CapturedRecord) -> Original {
    Original {
        origin: origin(&record),
        timestamp_ms: record.timestamp_ms,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(|header| (header.name, header.value)).collect(),
    }
}
