//! [`TableWriter`]: the façade. Changes go in, commits come out, each with the position in the source that it reaches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::datatypes::{Schema, SchemaRef};
use hudi_core::change::{ChangeBatch, Op, OrderKind, Origin, columns};
use hudi_core::checkpoint::{Checkpoint, Verdict};
use hudi_core::dead_letter::{DeadLetter, Original, Stage};
use hudi_core::key::KeySpec;
use hudi_core::schema::evolution::evolve;

use crate::buffer::{Buffer, with_our_columns};
use crate::commit::heal;
use crate::components::Components;
use crate::error::{Error, Result, format};
use crate::flush::Flush;
use crate::keying::{Keyed, keys_of};
use crate::lock::lock;
use crate::outcome::{CommitOutcome, Refused, Taken};
use crate::session::Session;
use crate::settings::Index;
use crate::table::{self, Table, gate_for_writing, read_history, stored_index};
use crate::truncation::{Truncation, note_truncates};
use crate::types::with_table_types;

/// Writes one table: made by a [`WriterBuilder`](crate::WriterBuilder). One commit at a time; concurrency is inside a call.
///
/// After an error from [`TableWriter::commit`] the writer is of no more use: open the table again. What was half done is
/// rolled back then, and the checkpoint says where to go on.
#[derive(Debug)]
pub struct TableWriter {
    session: Session,
    checkpoint: Checkpoint,
    /// The checkpoint of the newest commit.
    committed: Checkpoint,
    /// The checkpoints of all pipelines, as the newest commit carries them.
    carried: BTreeMap<String, String>,
    failed: bool,
}

impl TableWriter {
    pub(crate) async fn load(parts: Components) -> Result<Self> {
        let _alone = lock(parts.store.url()).await;
        let recovery = table::read_properties(&parts.store).await?;
        gate_for_writing(&recovery.properties)?;
        table::apply(&parts.store, recovery.steps).await?;
        let mut timeline = table::read_timeline(&parts.store, &recovery.properties).await?;
        if !heal(&parts.store, &timeline).await?.is_empty() {
            timeline = table::read_timeline(&parts.store, &recovery.properties).await?;
        }
        let table = Table::of(parts.store.clone(), recovery.properties, timeline).await?;
        let history = read_history(&table).await?;
        let checkpoint = history.checkpoint(&parts.settings.pipeline)?;
        let session = Session {
            keys: KeySpec::of(&table.properties),
            index: stored_index(&table.properties)?,
            columns: table.columns.clone(),
            buffer: Buffer::default(),
            letters: vec![],
            table,
            parts,
        };
        Ok(Self { session, committed: checkpoint.clone(), checkpoint, carried: history.checkpoints, failed: false })
    }

    /// How far the pipeline got: what is committed, and what is buffered.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How far the pipeline got: what is committed.
    #[must_use]
    pub fn committed(&self) -> &Checkpoint {
        &self.committed
    }

    /// The table as of the last commit, or of the opening.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.session.table
    }

    /// How keys are routed to file groups.
    #[must_use]
    pub fn index(&self) -> Index {
        self.session.index
    }

    /// The source's columns in the table, ours not among them; `None` before the first row.
    #[must_use]
    pub fn source_columns(&self) -> Option<Schema> {
        let ours = [columns::OP, columns::ORDER, columns::SOURCE_TS];
        let fields =
            self.session.columns.as_ref()?.fields().iter().filter(|field| !ours.contains(&field.name().as_str()));
        Some(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }

    /// Changes that wait for the commit.
    #[must_use]
    pub fn buffered_rows(&self) -> usize {
        self.session.buffer.rows()
    }

    /// Bytes of memory that they take, about.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.session.buffer.bytes()
    }

    /// Takes changes, in the order of their arrival. What is in the table already is dropped and counted.
    ///
    /// # Errors
    /// [`Error::Format`] where the table's schema cannot follow the batch's, [`Error::SourceWentBack`]; nothing of the
    /// batch is taken then.
    pub fn write(&mut self, batch: &ChangeBatch) -> Result<Taken> {
        self.refuse_if_failed()?;
        batch.validate().map_err(format)?;
        self.refuse_doubles(batch)?;
        let batch = &*with_table_types(batch)?;
        let columns = self.columns_with(batch)?;
        let mut checkpoint = self.checkpoint.clone();
        let verdicts = checkpoint
            .judge(batch)
            .map_err(|back| Error::SourceWentBack { source_name: back.source.to_string(), origin: back.origin })?;
        let Keyed { keys, partitions, refused } = keys_of(&self.session.keys, self.session.index, batch)?;
        let truncates = note_truncates(batch, &verdicts, &mut checkpoint)?;
        let truncation = Truncation::of(&checkpoint, &batch.source, batch.order_kind())?;
        let refused_as = |stage| move |(row, reason)| Refused { origin: batch.origin(row), stage, reason };
        let refused_rows = refused.into_iter().filter(|(row, _)| verdicts[*row] == Verdict::New);
        let refused_truncates = truncates.refused.len() as u64;
        let refused = refused_rows.map(refused_as(Stage::Key));
        let refused = refused.chain(truncates.refused.into_iter().map(refused_as(Stage::Write))).collect();
        let is_taken = |row: usize| {
            let speaks_of_a_row = batch.ops[row] != Op::Truncate;
            verdicts[row] == Verdict::New && speaks_of_a_row && keys.is_valid(row) && partitions.is_valid(row)
        };
        let taken: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_taken(row))).collect();
        let epoch = checkpoint.epoch(&batch.source);
        if let Some(truncation) = truncation {
            self.session.buffer.truncate(&batch.source, truncation, truncates.any_new);
        }
        self.session.buffer.add(batch, &taken, keys, partitions, epoch)?;
        (self.checkpoint, self.session.columns) = (checkpoint, Some(columns));
        let mut counts = counted(batch, &verdicts, &taken, refused);
        counts.truncates -= refused_truncates;
        Ok(counts)
    }

    fn columns_with(&self, batch: &ChangeBatch) -> Result<SchemaRef> {
        let kind = batch.order_kind();
        let incoming = with_our_columns(batch.rows.schema_ref(), kind);
        let Some(table) = &self.session.columns else {
            hudi_core::schema::names::verify(&incoming).map_err(format)?;
            return Ok(Arc::new(incoming));
        };
        let ordered_by = table.field_with_name(columns::ORDER).ok().and_then(|f| OrderKind::of(f.data_type()));
        if ordered_by != Some(kind) {
            let what = format!("changes of `{}`, whose positions are {kind:?}", batch.source);
            return Err(Error::refused(what, format!("the table is ordered by {ordered_by:?}, for its whole life")));
        }
        Ok(Arc::new(evolve(table, &incoming).map_err(format)?.schema))
    }

    /// Refuses the messages of a second partition in a table without a key: what is sent again by another than the first
    /// time is a second row there.
    fn refuse_doubles(&self, batch: &ChangeBatch) -> Result<()> {
        if !self.session.keys.is_keyless() || self.session.parts.settings.keyless_partitions {
            return Ok(());
        }
        let known = self.checkpoint.topics.get(&*batch.topic).into_iter().flat_map(|topic| topic.partitions.keys());
        let mut partitions = known.chain(&batch.partitions);
        let first = partitions.next();
        let Some(second) = partitions.find(|partition| Some(*partition) != first) else { return Ok(()) };
        Err(Error::refused(
            format!("partition {second} of {} beside another, in a table without a key", batch.topic),
            "a change that the source's connector sends again by another partition would be a second row: name the \
             key's columns, or allow it (--keyless-partitions)",
        ))
    }

    /// Notes that the messages of a partition below `next` need no more attention: they were skipped.
    pub fn advance(&mut self, topic: &str, partition: i32, next: i64) {
        self.checkpoint.advance(topic, partition, next);
    }

    /// Keeps a message that could not become a row: it is written with the next commit.
    pub fn dead_letter(&mut self, letter: DeadLetter) {
        let origin = &letter.original.origin;
        self.checkpoint.advance(&origin.topic, origin.partition, origin.offset + 1);
        self.session.letters.push(letter);
    }

    /// Commits everything that was taken, with the checkpoint, in one instant.
    ///
    /// `originals` finds the message of a change that turns out not to be applicable (a partial change of a row that is
    /// nowhere): it becomes a dead letter. Without a message for it nothing is committed.
    ///
    /// Dropped half-way, nothing is visible; the next opening removes what was written.
    ///
    /// # Errors
    /// Whatever the store or the files say. The table is the old one; open it again.
    pub async fn commit(&mut self, originals: &(dyn Fn(&Origin) -> Option<Original> + Sync)) -> Result<CommitOutcome> {
        self.refuse_if_failed()?;
        if self.session.buffer.rows() == 0 && self.session.letters.is_empty() && self.checkpoint == self.committed {
            return Ok(CommitOutcome::Empty);
        }
        self.failed = true;
        let _alone = lock(self.session.parts.store.url()).await;
        self.carried.insert(Checkpoint::key(&self.session.parts.settings.pipeline), self.checkpoint.to_json());
        let positions = self.positions();
        let outcome = Flush { session: &mut self.session, positions, originals }.run().await?;
        if let CommitOutcome::Committed(_) = &outcome {
            self.committed = self.checkpoint.clone();
            self.failed = false;
        }
        Ok(outcome)
    }

    /// What a commit's `extraMetadata` carries of ours.
    fn positions(&self) -> BTreeMap<String, String> {
        let mut positions = self.carried.clone();
        if let Some(streamer) = self.checkpoint.streamer_text() {
            positions.insert(hudi_core::checkpoint::STREAMER_KEY.to_owned(), streamer);
        }
        positions
    }

    fn refuse_if_failed(&self) -> Result<()> {
        if self.failed {
            return Err(Error::refused("a writer whose commit did not succeed", "open the table again"));
        }
        Ok(())
    }
}

fn counted(batch: &ChangeBatch, verdicts: &[Verdict], taken: &BooleanArray, refused: Vec<Refused>) -> Taken {
    let mut counts = Taken { refused, ..Taken::default() };
    for (row, verdict) in verdicts.iter().enumerate() {
        match (verdict, batch.ops[row]) {
            (Verdict::Covered, _) => counts.covered += 1,
            (Verdict::Redelivered, _) => counts.redelivered += 1,
            (Verdict::New, Op::Truncate) => counts.truncates += 1,
            (Verdict::New, _) if !taken.value(row) => {}
            (Verdict::New, Op::Delete) => counts.deletes += 1,
            (Verdict::New, _) => counts.upserts += 1,
        }
    }
    counts
}
