//! [`TableWriter`]: the façade. Changes go in, commits come out, each with the position in the source that it reaches.

use std::borrow::Cow;

use arrow::array::{Array, BooleanArray, new_null_array};
use arrow::datatypes::{FieldRef, Schema};
use hudi_core::change::{ChangeBatch, Op, OrderKind, Origin, columns};
use hudi_core::checkpoint::{Bounding, Checkpoint, Epochs, Judged, MAX_EPOCH, PartitionPosition, Verdict, WentBack};
use hudi_core::dead_letter::{DeadLetter, Original, Stage};
use hudi_core::key::KeySpec;
use hudi_core::properties::TableProperties;
use hudi_core::schema::ColumnMap;

use crate::arrivals::with_arrivals;
use crate::buffer::Buffer;
use crate::commit::heal_on_opening;
use crate::components::Components;
use crate::error::{Error, Result, format};
use crate::flush::{Flush, Work, ghosts_are_due};
use crate::keying::{Keyed, keys_of, other_keys_of};
use crate::letters::below_all;
use crate::mutant::Mutant;
use crate::outcome::{CommitOutcome, Refusals, Refused, Taken};
use crate::positions::Positions;
use crate::recorded::recorded;
use crate::remembered::{Remembered, remove_superseded};
use crate::session::Session;
use crate::settings::{Index, Mode, SecondSnapshot};
use crate::settled::{Settled, Settling};
use crate::store::RequestCounts;
use crate::table::{self, Table, gate_for_writing, read_history, stored_index};
use crate::truncation::{Truncates, Truncation, note_truncates};
use crate::types::with_table_types;

/// Writes one table: made by a [`WriterBuilder`](crate::WriterBuilder). One commit at a time; concurrency is inside a call.
///
/// After an error from [`TableWriter::commit`] the writer is of no more use: open the table again. What was half done is
/// rolled back then, and the checkpoint says where to go on.
#[derive(Debug)]
pub struct TableWriter {
    session: Session,
    positions: Positions,
    failed: bool,
}

impl TableWriter {
    pub(crate) async fn load(parts: Components) -> Result<Self> {
        let properties = healed_properties(&parts).await?;
        let layout = properties.version().layout();
        let mut timeline = table::read_timeline(&parts.store, layout).await?;
        if heal_on_opening(&parts, &timeline).await? {
            timeline = table::read_timeline(&parts.store, layout).await?;
        }
        let table = Table::of(parts.store.clone(), properties, timeline).await?;
        let mut positions = Positions::of(read_history(&table).await?, &parts.settings.pipeline)?;
        remove_superseded(&parts, &positions.committed).await?;
        positions.are_tidied();
        let keys = KeySpec::of(&table.properties);
        gate_replacing(parts.settings.on_second_snapshot, &keys, table.properties.mode())?;
        let session = Session {
            keys,
            index: stored_index(&table.properties)?,
            mode: table.properties.mode(),
            columns: table.columns.clone(),
            buffer: Buffer::default(),
            letters: vec![],
            applied: vec![],
            memory: Remembered::default(),
            all_has_come: false,
            table,
            parts,
        };
        Ok(Self { session, positions, failed: false })
    }

    /// How far the pipeline got: what is committed, and what is buffered.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.positions.checkpoint
    }

    /// How far the pipeline got: what is committed.
    #[must_use]
    pub fn committed(&self) -> &Checkpoint {
        &self.positions.committed
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

    /// The source's columns by its own names, each as the newest that the table has for it; `None` before the first row.
    #[must_use]
    pub fn source_columns(&self) -> Option<Schema> {
        let map = self.column_map();
        let named = |field: &FieldRef| {
            let is_current = !columns::is_ours(field.name()) && map.is_newest(field.name());
            is_current.then(|| field.as_ref().clone().with_name(map.source_name(field.name())))
        };
        Some(Schema::new(self.session.columns.as_ref()?.fields().iter().filter_map(named).collect::<Vec<_>>()))
    }

    /// In which columns of the table those of the source stand, where that is not the one of the same name.
    #[must_use]
    pub fn column_map(&self) -> &ColumnMap {
        &self.positions.columns
    }

    /// What becomes of changes.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.session.mode
    }

    /// How many requests the writer made of the store since it was opened, the opening among them.
    #[must_use]
    pub fn requests(&self) -> RequestCounts {
        self.session.parts.store.request_counts()
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
        let batch = &*self.in_table_order(batch);
        let mut checkpoint = self.positions.checkpoint.clone();
        let judged = checkpoint.judge(batch, self.session.parts.settings.on_source_went_back).map_err(went_back)?;
        let batch = &*with_arrivals(batch, &judged.verdicts, &self.positions.checkpoint, &mut checkpoint)?;
        self.take(batch, &judged, checkpoint)
    }

    /// Takes the changes of dead letters, whatever the table says of how far it is: below what came since. One that is taken is
    /// [applied](Self::letter_is_applied) with the commit; those refused stay letters.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_again(&mut self, batch: &ChangeBatch) -> Result<Taken> {
        self.refuse_if_failed()?;
        batch.validate().map_err(format)?;
        let batch = with_table_types(batch)?;
        let batch = below_all(&self.in_table_order(&batch));
        let checkpoint = self.positions.checkpoint.clone();
        let mut judged = Judged { verdicts: vec![Verdict::New; batch.num_rows()], epochs: Epochs::default() };
        judged.epochs.push(0, checkpoint.epoch(&batch.source));
        self.take(&batch, &judged, checkpoint)
    }

    /// Notes with the next commit that a dead letter became changes that were taken, or holds none.
    pub fn letter_is_applied(&mut self, origin: Origin) {
        self.session.applied.push(origin);
    }

    fn take(&mut self, batch: &ChangeBatch, judged: &Judged, mut checkpoint: Checkpoint) -> Result<Taken> {
        let verdicts = &judged.verdicts;
        let settled = self.settle(batch, verdicts)?;
        let batch = settled.as_ref().map_or(batch, |settled| &*settled.batch);
        let Keyed { keys, partitions, refused } = self.keys_of(batch, judged)?;
        let truncates = match self.session.mode {
            Mode::History => Truncates::default(),
            Mode::Upsert | Mode::SoftDelete => note_truncates(batch, judged, &mut checkpoint)?,
        };
        let mut refusals = Refusals::of(batch, verdicts);
        settled.iter().for_each(|settled| refusals.add(Stage::Schema, &settled.refused));
        refusals.add(Stage::Key, &refused);
        refusals.add(Stage::Write, &truncates.refused);
        if self.session.replaces() {
            note_snapshots(batch, verdicts, &refusals, &mut checkpoint);
        }
        let is_taken = |row: usize| {
            let is_row = batch.ops[row] != Op::Truncate || self.session.mode == Mode::History;
            let is_usable = keys.is_valid(row) && partitions.is_valid(row) && !refusals.hold(row);
            verdicts[row] == Verdict::New && is_row && is_usable
        };
        let taken: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_taken(row))).collect();
        if self.session.mode != Mode::History
            && let Some(truncation) = Truncation::of(&checkpoint, &batch.source, batch.order_kind())?
        {
            self.session.buffer.truncate(&batch.source, truncation, truncates.any_new);
        }
        let others = match self.session.mode {
            Mode::History => None,
            Mode::Upsert | Mode::SoftDelete => other_keys_of(&self.session.keys, self.session.index, batch, &taken)?,
        };
        self.session.buffer.add(batch, &taken, (keys, partitions), others, &judged.epochs)?;
        let mut counts = counted(batch, &judged.verdicts, &taken, refusals.finish());
        counts.truncates -= truncates.refused.len() as u64;
        if let Some(Settled { columns, map, .. }) = settled {
            (self.session.columns, self.positions.columns) = (Some(columns), map);
        }
        self.positions.checkpoint = checkpoint;
        self.session.all_has_come = false;
        Ok(counts)
    }

    /// The batch in the columns of the table; `None` where nothing of it is new.
    fn settle<'b>(&self, batch: &'b ChangeBatch, verdicts: &[Verdict]) -> Result<Option<Settled<'b>>> {
        if !verdicts.contains(&Verdict::New) {
            return Ok(None);
        }
        let session = &self.session;
        self.refuse_another_order(batch)?;
        let keeps_every_change = session.mode == Mode::History;
        let properties = &session.table.properties;
        let fixed = [properties.source_key(), properties.partition_fields()].concat();
        let settling = Settling {
            columns: session.columns.as_ref(),
            map: &self.positions.columns,
            fixed: &fixed,
            on_conflict: session.parts.settings.on_schema_conflict,
            follows_drops: !session.parts.settings.tables_share_topics,
            reads_deleted: keeps_every_change || session.keys.is_keyless(),
            keeps_every_change,
        };
        settling.settle(batch, verdicts).map(Some)
    }

    fn keys_of(&self, batch: &ChangeBatch, judged: &Judged) -> Result<Keyed> {
        let Session { keys, index, mode, table, .. } = &self.session;
        match mode {
            Mode::History => recorded(keys, table.properties.source_key(), batch, judged, &self.positions.checkpoint),
            Mode::Upsert | Mode::SoftDelete => keys_of(keys, *index, *mode, batch),
        }
    }

    /// What orders the table's rows, once it has columns.
    fn ordered_by(&self) -> Option<OrderKind> {
        let order = self.session.columns.as_ref()?.field_with_name(columns::ORDER).ok()?;
        OrderKind::of(order.data_type())
    }

    /// Changes that tell no order at all fit every table.
    fn in_table_order<'a>(&self, batch: &'a ChangeBatch) -> Cow<'a, ChangeBatch> {
        match self.ordered_by() {
            Some(kind) if kind != batch.order_kind() && batch.orders.null_count() == batch.num_rows() => {
                let orders = new_null_array(&kind.data_type(), batch.num_rows());
                Cow::Owned(ChangeBatch { orders, ..batch.clone() })
            }
            _ => Cow::Borrowed(batch),
        }
    }

    fn refuse_another_order(&self, batch: &ChangeBatch) -> Result<()> {
        let (ordered_by, kind) = (self.ordered_by(), batch.order_kind());
        if self.session.columns.is_some() && ordered_by != Some(kind) {
            let what = format!("changes of `{}`, whose positions are {kind:?}", batch.source);
            return Err(Error::refused(what, format!("the table is ordered by {ordered_by:?}, for its whole life")));
        }
        Ok(())
    }

    /// Refuses the messages of a second partition in a table without a key: what is sent again by another than the first
    /// time is a second row there.
    fn refuse_doubles(&self, batch: &ChangeBatch) -> Result<()> {
        let is_keyless = self.session.table.properties.source_key().is_empty();
        if !is_keyless || self.session.parts.settings.keyless_partitions {
            return Ok(());
        }
        let known =
            self.positions.checkpoint.topics.get(&*batch.topic).into_iter().flat_map(|topic| topic.partitions.keys());
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
        self.positions.checkpoint.advance(topic, partition, next);
    }

    /// Notes that a topic of this name was made anew: offsets of this partition begin again, at `next`. What the table has of the old one
    /// stays. To be committed before changes of the new one are written.
    pub fn begin_anew(&mut self, topic: &str, partition: i32, next: i64) {
        let topic = self.positions.checkpoint.topics.entry(topic.to_owned()).or_default();
        let mut anew = PartitionPosition::default();
        anew.next = next;
        topic.partitions.insert(partition, anew);
    }

    /// Notes by what a topic that feeds the table is told from another one of its name.
    pub fn identify(&mut self, topic: &str, id: &str) {
        if let Some(topic) = self.positions.checkpoint.topics.get_mut(topic) {
            topic.id = Some(id.to_owned());
        }
    }

    /// Keeps a message that could not become a row: it is written with the next commit.
    pub fn dead_letter(&mut self, letter: DeadLetter) {
        let origin = &letter.original.origin;
        self.positions.checkpoint.advance(&origin.topic, origin.partition, origin.offset + 1);
        if self.session.replaces() && !matches!(letter.stage, Stage::Key | Stage::Write) {
            let sources = self.positions.checkpoint.sources.values_mut();
            sources.for_each(|source| source.snapshot.see_unread(&origin.topic, origin.partition));
        }
        self.session.letters.push(letter);
    }

    /// The topic of a later full snapshot of the source that waits to be told, by [`TableWriter::high_water`], where the topic's
    /// partitions end: its last row was seen.
    #[must_use]
    pub fn wants_high_waters(&self) -> Option<&str> {
        let mut currents = self.positions.checkpoint.sources.values().filter_map(|s| s.snapshot.current.as_ref());
        let waits = |current: &&Bounding| current.last_seen && !current.deleted && current.ends.is_empty();
        currents.find(waits).filter(|_| self.session.replaces()).map(|current| &*current.topic)
    }

    /// Tells where a partition ends, as the broker says after the last row of a snapshot was seen. Once one is told, all must be:
    /// the snapshot has ended when each was read so far. Where none is, it has when each partition that was ever heard of brought
    /// something from after it, or at [`TableWriter::all_has_come`].
    pub fn high_water(&mut self, topic: &str, partition: i32, next: i64) {
        let sources = self.positions.checkpoint.sources.values_mut();
        let currents = sources.filter_map(|source| source.snapshot.current.as_mut());
        for current in currents.filter(|current| current.last_seen && current.topic == topic) {
            current.ends.entry(partition).or_insert(next);
        }
    }

    /// Tells that every partition of the source's topic was read to its end: there is nothing more to come, or not for now. Holds
    /// until changes are written again.
    pub fn all_has_come(&mut self) {
        self.session.all_has_come = true;
        for source in self.positions.checkpoint.sources.values_mut() {
            source.snapshot.all_has_come();
        }
    }

    /// Commits everything that was taken, with the checkpoint, in one instant; and in a second one, if a later snapshot of the
    /// source has ended and is to replace the table ([`SecondSnapshot::Replace`]), the deletion of what it does not have.
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
        let mut outcome = CommitOutcome::Empty;
        let Session { buffer, letters, applied, .. } = &self.session;
        if buffer.rows() > 0 || !letters.is_empty() || !applied.is_empty() || self.positions.have_moved() {
            outcome = self.flush(originals, Work::Changes).await?;
        }
        if self.failed || !ghosts_are_due(&self.session, &self.positions) {
            return Ok(outcome);
        }
        let deleted = self.flush(originals, Work::Ghosts).await?;
        Ok(match (outcome, deleted) {
            (CommitOutcome::Committed(first), CommitOutcome::Committed(second)) => {
                CommitOutcome::Committed(first.and(second))
            }
            (_, deleted) => deleted,
        })
    }

    async fn flush(
        &mut self,
        originals: &(dyn Fn(&Origin) -> Option<Original> + Sync),
        work: Work,
    ) -> Result<CommitOutcome> {
        self.failed = true;
        let flush = Flush::new(&mut self.session, &mut self.positions, originals, work);
        let outcome = flush.run().await?;
        if self.session.parts.is_broken(Mutant::CheckpointOutsideCommit) && self.positions.have_moved() {
            let flush = Flush::new(&mut self.session, &mut self.positions, originals, work);
            let _ = flush.run().await?;
        }
        self.failed = !matches!(outcome, CommitOutcome::Committed(_));
        Ok(outcome)
    }

    fn refuse_if_failed(&self) -> Result<()> {
        if self.failed {
            return Err(Error::refused("a writer whose commit did not succeed", "open the table again"));
        }
        Ok(())
    }
}

/// Refuses to delete what a second snapshot lacks where rows are not told by a key, or are kept.
fn gate_replacing(setting: SecondSnapshot, keys: &KeySpec, mode: Mode) -> Result<()> {
    let why = match mode {
        _ if setting == SecondSnapshot::Keep => return Ok(()),
        Mode::Upsert if !keys.is_keyless() => return Ok(()),
        Mode::Upsert => "the table has no key: what a snapshot reads again cannot be told from what is there",
        Mode::SoftDelete | Mode::History => "the table keeps what is deleted",
    };
    Err(Error::refused("`on_second_snapshot` = `replace`", format!("{why}: leave it at `keep`")))
}

/// The table's properties; an update of them that died in the middle is carried on, under the lock.
async fn healed_properties(parts: &Components) -> Result<TableProperties> {
    let recovery = table::read_properties(&parts.store).await?;
    gate_for_writing(&recovery.properties)?;
    if recovery.steps.is_empty() {
        return Ok(recovery.properties);
    }
    let guard = parts.lock.acquire().await?;
    let recovered = recover_properties(parts).await;
    guard.release().await;
    recovered
}

async fn recover_properties(parts: &Components) -> Result<TableProperties> {
    let recovery = table::read_properties(&parts.store).await?;
    table::apply(&parts.store, recovery.steps).await?;
    Ok(recovery.properties)
}

fn went_back(back: WentBack) -> Error {
    let WentBack { source, origin, epochs_exhausted } = back;
    if epochs_exhausted {
        let what = format!("a new epoch of `{source}`, which went back again at {origin}");
        return Error::refused(what, format!("epoch {MAX_EPOCH} is the last: make the table anew"));
    }
    Error::SourceWentBack { source_name: source.to_string(), origin }
}

/// Notes the snapshots that new changes are of. A row of one that cannot be in the table would be taken for deleted.
fn note_snapshots(batch: &ChangeBatch, verdicts: &[Verdict], refusals: &Refusals<'_>, checkpoint: &mut Checkpoint) {
    let source = checkpoint.sources.entry(batch.source.to_string()).or_default();
    source.see_snapshots(batch, |row| verdicts[row] == Verdict::New);
    if (0..batch.num_rows()).any(|row| batch.ops[row] == Op::Snapshot && refusals.hold(row)) {
        source.snapshot.cancel("a row of it is a dead letter");
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

#[cfg(test)]
mod tests {
    use super::*;

    const fn is_send<T: Send>(_: &T) {}

    #[test]
    fn every_future_may_be_spawned() {
        let _ = |builder: crate::WriterBuilder, table: &crate::NewTable| is_send(&builder.open_or_create(table));
        let _ = |writer: &mut TableWriter, originals: &(dyn Fn(&Origin) -> Option<Original> + Sync)| {
            is_send(&writer.commit(originals));
        };
        let _ = |table: &Table| is_send(&crate::check_table(table));
        let _ = |table: &Table, options: &crate::ReadOptions| is_send(&table.snapshot(options));
    }
}
