//! One commit, from the buffered changes to the completed instant. The stages stand in [`Flush::run`], in their order.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hudi_core::bloom::{BloomFilter, TYPE_CODE};
use hudi_core::change::{Op, OrderKind, Origin, columns};
use hudi_core::checkpoint::{Bounding, Checkpoint};
use hudi_core::commit::{CommitMetadata, WriteOperation, WriteStat};
use hudi_core::dead_letter::{AppliedLetter, DeadLetter, Original, Stage};
use hudi_core::file_name::{BaseFileName, Marker, MarkerKind, WriteToken};
use hudi_core::instant::{Action, Instant, InstantTime};
use hudi_core::layout;
use hudi_core::partition_metadata::PartitionMetadata;
use hudi_core::properties::keys;
use hudi_core::schema::{avro, outgrown};
use hudi_core::timeline::Timeline;

use crate::buffer::{Buffer, Shape};
use crate::changes::{ChangeSet, Spot};
use crate::commit::{ATTEMPT_KEY, Completed, Inflight, Requested, Scope, heal, request, undo_left_behind};
use crate::components::Components;
use crate::cow::{FileMeta, Rewrite};
use crate::error::{Error, Result, format};
use crate::file::{BaseFileFooter, EncoderSpec, Encoding, scan};
use crate::ghosts::{Tracked, due, track};
use crate::letters::DELETES_KEY;
use crate::lock::Guard;
use crate::moves::{Waiting, Window, follow};
use crate::mutant::Mutant;
use crate::outcome::{CommitOutcome, Committed, Stages};
use crate::plan::{Plan, PlannedFile, Planner};
use crate::positions::Positions;
use crate::remembered::{Remembered, remove_superseded};
use crate::session::Session;
use crate::settings::{Index, Mode};
use crate::store::Created;
use crate::table::{self, History, Table};
use crate::truncation::Truncation;

/// A commit on its way.
pub(crate) struct Flush<'a> {
    session: &'a mut Session,
    positions: &'a mut Positions,
    originals: &'a (dyn Fn(&Origin) -> Option<Original> + Sync),
    work: Work,
    /// Changes of earlier commits that waited for this one.
    waited: Vec<Waiting>,
}

/// What a commit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// The changes that wait.
    Changes,
    /// The rows that a later snapshot of the source does not have.
    Ghosts,
}

/// Whether a later snapshot of the source has ended, and what it does not have is to be deleted.
pub(crate) fn ghosts_are_due(session: &Session, positions: &Positions) -> bool {
    session.replaces() && bounding(session, &positions.checkpoint).is_some()
}

fn bounding<'a>(session: &Session, checkpoint: &'a Checkpoint) -> Option<(&'a str, &'a Bounding)> {
    let has_stale = !session.memory.rows.stale().is_empty();
    if session.parts.is_broken(Mutant::GhostsBeforeTheEnd) {
        let currents = checkpoint.sources.iter().filter_map(|(name, s)| Some((name, s.snapshot.current.as_ref()?)));
        let mut begun = currents.filter(|(_, current)| current.begin.is_some() && !current.deleted);
        return begun.next().map(|(name, current)| (name.as_str(), current));
    }
    due(checkpoint, session.all_has_come, has_stale)
}

/// What was written, and is not a commit yet.
struct Written {
    action: Action,
    scope: Scope,
    stats: Vec<WriteStat>,
    /// File groups that are no more, by partition.
    replaced: BTreeMap<String, Vec<String>>,
    /// The rows that were in them.
    replaced_rows: u64,
    ignored_changes: u64,
    letters: usize,
    /// Changes that delete a row, whether it was there or not.
    deletes: usize,
    remembering: Remembering,
    stages: Stages,
}

/// What a commit does to the row memory.
#[derive(Default)]
struct Remembering {
    /// The memory after it; `None`: it stays what it is.
    memory: Option<Remembered>,
    /// Another memory would have made a difference.
    depends: bool,
    forgotten: u64,
}

/// A base file that will be written, with its name.
struct Job {
    file: PlannedFile,
    name: BaseFileName,
    task: usize,
}

impl<'a> Flush<'a> {
    pub(crate) fn new(
        session: &'a mut Session,
        positions: &'a mut Positions,
        originals: &'a (dyn Fn(&Origin) -> Option<Original> + Sync),
        work: Work,
    ) -> Self {
        Self { session, positions, originals, work, waited: vec![] }
    }

    pub(crate) async fn run(mut self) -> Result<CommitOutcome> {
        let clock = Arc::clone(&self.session.parts.clock);
        let began_ms = clock.now_ms();
        let guard = self.session.parts.lock.acquire().await?;
        let begun = self.begin(&guard).await;
        guard.release().await;
        let requested = match begun? {
            Ok(requested) => requested,
            Err(with) => return Ok(CommitOutcome::Conflicted { with }),
        };
        if self.session.parts.is_broken(Mutant::CompletedBeforeFiles) {
            return self.write_last(requested).await;
        }
        let begin_ms = clock.now_ms() - began_ms;
        let written = match requested.during(self.write(&requested)).await {
            Ok(written) => written,
            Err(error) => {
                requested.abandon().await;
                return Err(error);
            }
        };
        let (stages, written_ms) = (written.stages, clock.now_ms());
        let outcome = self.complete(requested.written(), written).await?;
        Ok(outcome.within(Stages { begin_ms, complete_ms: clock.now_ms() - written_ms, ..stages }))
    }

    /// Draws the instant, above all that others did. The lock is held; `Err` names what stands against it.
    async fn begin(&mut self, guard: &Guard) -> Result<Result<Requested, InstantTime>> {
        let parts = self.session.parts.clone();
        let layout = self.session.table.timeline.layout();
        let mut timeline = table::read_timeline(&parts.store, layout).await?;
        if undo_left_behind(&parts, guard, &timeline, None).await? {
            timeline = table::read_timeline(&parts.store, layout).await?;
        }
        if heal(&parts, &timeline).await? {
            timeline = table::read_timeline(&parts.store, layout).await?;
        }
        let known = self.session.table.timeline.instants();
        let since: Vec<Instant> = timeline.completed_writes().filter(|i| !known.contains(i)).copied().collect();
        if let Err(with) = self.catch_up(&since, &Scope::Nothing, &[], false).await? {
            return Ok(Err(with));
        }
        if self.session.memory.of != self.positions.checkpoint.memory {
            self.session.memory = Remembered::load(&parts, &self.positions.checkpoint).await?;
        }
        self.session.table.timeline = timeline;
        // What a truncate covers is replaced, unless it is kept.
        let truncates = self.session.buffer.truncation().is_some() && self.session.mode != Mode::SoftDelete;
        let action = if truncates { Action::ReplaceCommit } else { Action::Commit };
        request(&parts, &self.session.table.timeline, action).await.map(Ok)
    }

    /// Takes over what others committed since; `Err` names a commit that stands against ours: it changed what we looked at,
    /// the columns, or dealt with the same part of the source.
    async fn catch_up(
        &mut self,
        since: &[Instant],
        scope: &Scope,
        ours: &[WriteStat],
        remembers: bool,
    ) -> Result<Result<(), InstantTime>> {
        let session = &mut *self.session;
        let mut newest: Option<History> = None;
        // An empty commit may appear below all others, before a rollback: it says nothing of how far anybody got.
        let known = session.table.timeline.completed_writes().next_back().map(|instant| instant.time);
        for instant in since {
            let metadata = session.table.commit_metadata(instant).await?;
            let columns = table::columns_of(&metadata)?;
            let same_columns = columns.is_none() || columns == session.table.columns;
            let overlaps = scope.meets(&metadata) || shares_a_file_group(ours, &metadata);
            if !same_columns || (overlaps && !session.parts.is_broken(Mutant::OverlapIgnored)) {
                return Ok(Err(instant.time));
            }
            session.table.note_replaced(metadata.replaced_file_ids())?;
            if Some(instant.time) > known {
                newest = History::of(&metadata).or(newest);
            }
        }
        let pipeline = &session.parts.settings.pipeline;
        if let (Some(newest), Some(last)) = (newest, since.last())
            && !session.parts.is_broken(Mutant::CheckpointNotJoined)
            && !self.positions.join(newest, pipeline, remembers)?
        {
            return Ok(Err(last.time));
        }
        Ok(Ok(()))
    }

    async fn plan(&mut self, instant: InstantTime) -> Result<(Arc<ChangeSet>, Plan, Remembering)> {
        let session = &mut *self.session;
        let truncation = session.buffer.truncation().cloned();
        let columns = match &session.columns {
            Some(columns) if session.buffer.rows() > 0 || truncation.is_some() => Arc::clone(columns),
            _ => Arc::new(Schema::empty()),
        };
        let snapshots = self.positions.checkpoint.sources.values().map(|source| &source.snapshot);
        let runs = snapshots.flat_map(|s| s.runs.iter().filter(|seen| s.is_before(Some(&seen.run))));
        let old_runs = runs.map(|seen| seen.run.clone()).collect();
        let shape = Shape { old_runs, ..session.shape(&columns) };
        let buffer = std::mem::take(&mut session.buffer);
        let join = move || buffer.into_change_set(&shape);
        let changes = session.parts.compute.run(join).await?;
        if changes.ops.is_empty() && truncation.is_none() {
            let plan = Plan { ignored: changes.covered, ..Plan::default() };
            return Ok((Arc::new(changes), plan, Remembering::default()));
        }
        let settings = &session.parts.settings;
        let window = Window { rows: settings.row_memory_rows, age_ms: settings.row_memory_ms as i64 };
        let now_ms = session.parts.clock.now_ms();
        let (before, of) = (Arc::clone(&session.memory.rows), truncation.clone());
        let joining = move || before.rejoin(changes, of.as_ref(), window, now_ms);
        let all = session.parts.compute.run(joining).await?;
        let planner = session.planner(&all.changes, &columns, truncation.as_ref())?;
        // The last of them is that of a change of this commit, if any is counted.
        let arrivals = i64::try_from(self.positions.checkpoint.arrivals).unwrap_or(i64::MAX);
        let followed = follow(&planner, &session.table, &session.memory.rows, window, arrivals, &all.overdue).await?;
        let planner = Planner { changes: &followed.changes, ..planner };
        let mut plan = planner.plan_all(&session.table).await?;
        plan.scope = plan.scope.and(followed.scope);
        let stale = stale_after(session, &mut self.positions.checkpoint, &planner, &followed.changes).await?;
        let memory = match stale {
            Some(stale) => Some(followed.memory.as_ref().unwrap_or(&session.memory.rows).with_stale(stale)),
            None => followed.memory,
        };
        let before = memory.as_ref().unwrap_or(&session.memory.rows);
        let memory = before.putting_off(&all, &followed.put_off, now_ms, self.originals)?.or(memory);
        let memory = memory.map(|rows| rows.in_columns(&columns)).transpose()?;
        let memory = memory.map(|rows| Remembered::of_commit(rows, instant));
        self.waited = all.waited;
        let remembering = Remembering { memory, depends: followed.depends_on_memory, forgotten: followed.forgotten };
        Ok((followed.changes, plan, remembering))
    }

    /// Plans the deletion of what a snapshot does not have; nothing, if somebody else did so meanwhile.
    async fn plan_ghosts(&mut self, instant: InstantTime) -> Result<(Arc<ChangeSet>, Plan, Remembering)> {
        let session = &mut *self.session;
        let columns = session.columns.clone().unwrap_or_else(|| Arc::new(Schema::empty()));
        let nothing = Buffer::default().into_change_set(&session.shape(&columns))?;
        let changes = Arc::new(nothing);
        let bound = bounding(session, &self.positions.checkpoint).map(|(name, of)| (name.to_owned(), of.begin.clone()));
        let Some((source, Some(begin))) = bound else { return Ok((changes, Plan::default(), Remembering::default())) };
        let before = &session.memory.rows;
        let plan =
            session.planner(&changes, &columns, None)?.plan_ghosts(&session.table, &begin, before.stale()).await?;
        if let Some(current) =
            self.positions.checkpoint.sources.get_mut(&source).and_then(|s| s.snapshot.current.as_mut())
        {
            current.deleted = true;
        }
        let without = before.with_stale(BTreeSet::new());
        let memory = (!before.stale().is_empty()).then(|| Remembered::of_commit(without, instant));
        Ok((changes, plan, Remembering { memory, depends: true, forgotten: 0 }))
    }

    /// Logs that a snapshot will delete nothing, once.
    fn tell_cancelled(&self) {
        for (name, source) in &self.positions.checkpoint.sources {
            let Some(reason) = source.snapshot.cancelled() else { continue };
            let before = self.positions.committed.sources.get(name).and_then(|source| source.snapshot.cancelled());
            if before.is_none() {
                let url = self.session.parts.store.url();
                tracing::warn!(table = url, source = name, reason, "rows that the new snapshot lacks are not deleted");
            }
        }
    }

    /// Changes that cannot be applied become dead letters.
    fn bury(&mut self, changes: &ChangeSet, plan: &Plan) -> Result<()> {
        let unfilled = "the change lacks columns that the source did not send, and no stored row has them";
        let not_found = "no such key in the partition that the delete's before-image names";
        let unmatched = "no row is what this one was before the change, and the table has no key that tells it: name the key's \
                         columns with --key when it is made";
        let reasons = plan.unfilled.iter().map(|c| (c, unfilled)).chain(plan.not_found.iter().map(|c| (c, not_found)));
        for (change, reason) in reasons.chain(plan.unmatched.iter().map(|c| (c, unmatched))) {
            if changes.ops[*change as usize] == Op::Snapshot {
                let sources = self.positions.checkpoint.sources.values_mut();
                sources.for_each(|source| source.snapshot.cancel("a row of it is a dead letter"));
            }
            let lost = || Error::corrupt("changes", "a change without an origin");
            let origin = &changes.origins.of(*change).ok_or_else(lost)?;
            let waited = || self.waited.iter().find(|waited| waited.is_from(origin)).and_then(Waiting::original);
            let original = (self.originals)(origin).or_else(waited).ok_or_else(|| {
                Error::refused(format!("the change {origin}"), format!("{reason}; its message is not at hand"))
            })?;
            self.session.letters.push(DeadLetter { stage: Stage::Write, reason: reason.to_owned(), original });
        }
        Ok(())
    }

    /// The wrong way round: completes what was announced, then writes it.
    async fn write_last(mut self, requested: Requested) -> Result<CommitOutcome> {
        let instant = requested.time();
        let (announced, jobs, changes) = self.announce(&requested).await?;
        let inflight = requested.written();
        let guard = self.session.parts.lock.acquire().await?;
        let metadata = self.metadata(&announced)?;
        if inflight.complete(guard, &metadata).await? == Completed::Taken {
            return Ok(CommitOutcome::Conflicted { with: instant });
        }
        let stats = write_files(self.session, &changes, jobs, instant).await?;
        self.done(instant, &Written { stats, ..announced })
    }

    /// Plans what becomes of every file group, announces it, and writes it.
    async fn write(&mut self, requested: &Requested) -> Result<Written> {
        let clock = Arc::clone(&self.session.parts.clock);
        let began_ms = clock.now_ms();
        let (announced, jobs, changes) = self.announce(requested).await?;
        let planned_ms = clock.now_ms();
        let stats = write_files(self.session, &changes, jobs, requested.time()).await?;
        let (plan_ms, write_ms) = (planned_ms - began_ms, clock.now_ms() - planned_ms);
        Ok(Written { stats, stages: Stages { plan_ms, write_ms, ..Stages::default() }, ..announced })
    }

    /// Plans what becomes of every file group, and says so on the timeline; dead letters are written. The stats are those
    /// announced.
    async fn announce(&mut self, requested: &Requested) -> Result<(Written, Vec<Job>, Arc<ChangeSet>)> {
        let (changes, plan, remembering) = match self.work {
            Work::Changes => self.plan(requested.time()).await?,
            Work::Ghosts => self.plan_ghosts(requested.time()).await?,
        };
        self.bury(&changes, &plan)?;
        let sources = self.positions.checkpoint.sources.values_mut();
        sources.for_each(|source| source.snapshot.commit_in(requested.time().as_str()));
        self.tell_cancelled();
        let session = &mut *self.session;
        let Plan { scope, ignored: ignored_changes, replaced, replaced_rows, .. } = plan;
        let jobs = jobs(plan.files, requested.time(), &*session.parts.clock);
        let operation_type = operation(requested.action());
        let mut metadata = CommitMetadata { operation_type, ..CommitMetadata::default() };
        for job in &jobs {
            metadata.add(announced(job));
        }
        let markers: Vec<Marker> = jobs.iter().map(marker).collect();
        requested.announce(&metadata, &markers).await?;
        let letters = std::mem::take(&mut session.letters);
        write_dead_letters(&session.parts.store, requested.time(), &letters).await?;
        write_applied_letters(&session.parts.store, requested.time(), &std::mem::take(&mut session.applied)).await?;
        if let Some(memory) = &remembering.memory {
            memory.name_in(&mut self.positions.checkpoint);
            let is_broken = |how| session.parts.is_broken(how);
            if !is_broken(Mutant::MemoryNotWritten) && !is_broken(Mutant::MemoryAfterCommit) {
                memory.put(&session.parts).await?;
            }
        }
        let stats = metadata.write_stats().cloned().collect();
        let (action, letters) = (requested.action(), letters.len());
        let (stages, deletes) = (Stages::default(), changes.ops.iter().filter(|op| **op == Op::Delete).count());
        let written = Written {
            action,
            scope,
            stats,
            replaced,
            replaced_rows,
            ignored_changes,
            letters,
            deletes,
            remembering,
            stages,
        };
        Ok((written, jobs, changes))
    }

    /// Completes under the lock what still may be completed.
    async fn complete(mut self, inflight: Inflight, written: Written) -> Result<CommitOutcome> {
        let mut guard = self.session.parts.lock.acquire().await?;
        let judged = inflight.requested().during(self.may_complete(&mut guard, &inflight, &written)).await;
        let metadata = match judged {
            Ok(Ok(metadata)) => metadata,
            refused => {
                guard.release().await;
                inflight.requested().abandon().await;
                return refused.map(|with| match with {
                    Ok(_) => CommitOutcome::Empty,
                    Err(with) => CommitOutcome::Conflicted { with },
                });
            }
        };
        let instant = inflight.requested().time();
        if inflight.complete(guard, &metadata).await? == Completed::Taken {
            return Ok(CommitOutcome::Conflicted { with: instant });
        }
        if self.session.parts.is_broken(Mutant::MemoryAfterCommit)
            && let Some(memory) = &written.remembering.memory
        {
            memory.put(&self.session.parts).await?;
        }
        if self.session.parts.is_broken(Mutant::CheckpointOutsideCommit) && !written.stats.is_empty() {
            let ours = std::mem::replace(&mut self.positions.checkpoint, self.positions.committed.clone());
            let outcome = self.done(instant, &written);
            self.positions.checkpoint = ours;
            return outcome;
        }
        let outcome = self.done(instant, &written);
        self.tidy().await;
        outcome
    }

    /// The commit stands: row memories that it supersedes are litter.
    async fn tidy(&mut self) {
        match remove_superseded(&self.session.parts, &self.positions.committed).await {
            Ok(()) => self.positions.are_tidied(),
            Err(error) => {
                tracing::warn!(%error, "could not remove a row memory that is superseded: the next commit will")
            }
        }
    }

    fn done(&mut self, instant: InstantTime, written: &Written) -> Result<CommitOutcome> {
        let ours = Instant::requested(instant, written.action).completed(None);
        let columns = self.session.columns.clone();
        self.session.table = next_table(&self.session.table, columns, ours, &written.replaced)?;
        self.positions.are_committed();
        if let Some(memory) = &written.remembering.memory {
            self.session.memory = memory.clone();
        }
        let mut committed = summed(instant, &written.stats, written.ignored_changes, written.letters);
        committed.deleted_rows += written.replaced_rows;
        committed.forgotten_moves = written.remembering.forgotten;
        committed.waiting_changes = self.session.memory.rows.waiting() as u64;
        committed.ghosts = if self.work == Work::Ghosts { committed.deleted_rows } else { 0 };
        Ok(CommitOutcome::Committed(committed))
    }

    /// The commit's content, if nothing stands against it. Dropped half-way, nothing is completed.
    async fn may_complete(
        &mut self,
        guard: &mut Guard,
        inflight: &Inflight,
        written: &Written,
    ) -> Result<Result<CommitMetadata, InstantTime>> {
        if guard.was_left_behind() {
            let parts = &self.session.parts;
            let timeline = table::read_timeline(&parts.store, self.session.table.timeline.layout()).await?;
            undo_left_behind(parts, guard, &timeline, Some(inflight.requested().time())).await?;
        }
        let since = match inflight.stands().await? {
            Ok(since) => since,
            Err(with) => return Ok(Err(with)),
        };
        let remembers = written.remembering.depends;
        if let Err(with) = self.catch_up(&since, &written.scope, &written.stats, remembers).await? {
            return Ok(Err(with));
        }
        let ours = inflight.requested().time();
        if !guard.hold().await? {
            return Ok(Err(ours));
        }
        let Components { store, settings, clock, .. } = &self.session.parts;
        let opened = &self.session.table.properties;
        table::gate_for_completing(store, opened, settings.foreign_metadata_table, &**clock).await?;
        // Nobody can take the lock before the put is done or refused.
        if !guard.hold().await? {
            return Ok(Err(ours));
        }
        self.metadata(written).map(Ok)
    }

    /// The checkpoint that the commit carries.
    fn checkpoint(&self, written: &Written) -> Checkpoint {
        let mut checkpoint = self.positions.checkpoint.clone();
        if self.session.parts.is_broken(Mutant::MarkNotKept) {
            checkpoint.sources.clear();
        }
        if self.session.parts.is_broken(Mutant::CheckpointOutsideCommit) && !written.stats.is_empty() {
            checkpoint = self.positions.committed.clone();
        }
        checkpoint
    }

    fn metadata(&self, written: &Written) -> Result<CommitMetadata> {
        let session = &*self.session;
        let operation_type = operation(written.action);
        let mut metadata = CommitMetadata { operation_type, ..CommitMetadata::default() };
        if written.action == Action::ReplaceCommit {
            metadata.partition_to_replace_file_ids = Some(written.replaced.clone());
        }
        metadata.extra_metadata.extend(self.positions.metadata_of(&self.checkpoint(written)));
        if let Some(columns) = &session.columns {
            let schema = avro::to_avro(session.table.properties.name(), columns).map_err(format)?;
            metadata.set_schema(schema);
        }
        let attempt = crate::clock::uuid_text(session.parts.clock.unique_id());
        metadata.extra_metadata.insert(ATTEMPT_KEY.to_owned(), attempt);
        if written.deletes > 0 {
            metadata.extra_metadata.insert(DELETES_KEY.to_owned(), written.deletes.to_string());
        }
        for stat in &written.stats {
            metadata.add(stat.clone());
        }
        Ok(metadata)
    }
}

/// The keys that a commit leaves stale; `None`: those that are remembered.
async fn stale_after(
    session: &Session,
    checkpoint: &mut Checkpoint,
    planner: &Planner<'_>,
    changes: &ChangeSet,
) -> Result<Option<BTreeSet<Spot>>> {
    if !session.replaces() {
        return Ok(None);
    }
    let sources = checkpoint.sources.values_mut();
    let Some(state) = sources.map(|source| &mut source.snapshot).find(|state| state.current.is_some()) else {
        return Ok(None);
    };
    let before = session.memory.rows.stale();
    let current = state.current.as_ref().filter(|current| current.cancelled.is_none());
    let Some(begin) = current.map(|current| current.begin.clone()) else {
        return Ok((!before.is_empty()).then(BTreeSet::new));
    };
    Ok(match track(planner, &session.table, changes, before, begin.as_deref()).await? {
        Tracked::Same => None,
        Tracked::Now(stale) => Some(stale),
        Tracked::TooMany => {
            state.cancel("too much from before it came after it began");
            Some(BTreeSet::new())
        }
    })
}

/// The kind of write that a commit says it is. That of a truncate is Hudi's own for a table emptied and filled anew.
const fn operation(action: Action) -> WriteOperation {
    match action {
        Action::ReplaceCommit => WriteOperation::InsertOverwriteTable,
        _ => WriteOperation::Upsert,
    }
}

/// Whether another's commit wrote a file group that ours wrote.
fn shares_a_file_group(ours: &[WriteStat], other: &CommitMetadata) -> bool {
    let theirs = other.write_stats().map(|stat| (stat.partition_path.as_str(), stat.file_id.as_str()));
    let theirs: HashSet<(&str, &str)> = theirs.chain(other.replaced_file_ids()).collect();
    ours.iter().any(|stat| theirs.contains(&(stat.partition_path.as_str(), stat.file_id.as_str())))
}

/// The table after a commit of ours: only its timeline, its columns and the file groups that are no more are others.
fn next_table(
    table: &Table,
    columns: Option<SchemaRef>,
    ours: Instant,
    replaced: &BTreeMap<String, Vec<String>>,
) -> Result<Table> {
    let instants = table.timeline.instants().iter().copied().chain([ours]);
    let timeline = Timeline::from_instants(table.timeline.layout(), instants);
    let mut next = Table { timeline, columns, ..table.clone() };
    next.note_replaced(
        replaced.iter().flat_map(|(partition, ids)| ids.iter().map(|id| (partition.as_str(), id.as_str()))),
    )?;
    Ok(next)
}

/// Names the files. The write token is drawn: a late put of an attempt that died meets no name of ours.
fn jobs(files: Vec<PlannedFile>, instant: InstantTime, clock: &dyn crate::clock::Clock) -> Vec<Job> {
    let attempt = (clock.unique_id() & 0x7fff_ffff) as u32;
    let name = |(task, file): (usize, PlannedFile)| {
        let write_token = WriteToken::new(task as u32, 0, attempt);
        let name = BaseFileName { file_id: file.file_id.clone(), write_token, instant };
        Job { file, name, task }
    };
    files.into_iter().enumerate().map(name).collect()
}

fn marker(job: &Job) -> Marker {
    let kind = if job.file.stored.is_some() { MarkerKind::Merge } else { MarkerKind::Create };
    Marker { partition: job.file.partition.clone(), file_name: job.name.to_string(), kind }
}

/// What the inflight instant says of a file that is still to be written.
fn announced(job: &Job) -> WriteStat {
    WriteStat {
        file_id: job.file.file_id.to_string(),
        prev_commit: job.file.previous_commit(),
        partition_path: job.file.partition.clone(),
        num_inserts: job.file.plan.inserts.len() as u64,
        num_update_writes: job.file.plan.updates(),
        ..WriteStat::default()
    }
}

async fn write_dead_letters(
    store: &crate::store::TableStore,
    instant: InstantTime,
    letters: &[DeadLetter],
) -> Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    let mut lines = String::new();
    for letter in letters {
        lines.push_str(&letter.to_json_line());
        lines.push('\n');
    }
    store.put(&layout::dead_letters(instant), Bytes::from(lines)).await
}

async fn write_applied_letters(
    store: &crate::store::TableStore,
    instant: InstantTime,
    applied: &[Origin],
) -> Result<()> {
    if applied.is_empty() {
        return Ok(());
    }
    let lines: String = applied.iter().map(|origin| AppliedLetter::to_json_line(origin) + "\n").collect();
    store.put(&layout::applied_letters(instant), Bytes::from(lines)).await
}

/// Writes all files, several at a time; the stats are in the order of the jobs.
async fn write_files(
    session: &Session,
    changes: &Arc<ChangeSet>,
    jobs: Vec<Job>,
    instant: InstantTime,
) -> Result<Vec<WriteStat>> {
    let Some(columns) = session.columns.as_ref().filter(|_| !jobs.is_empty()) else {
        return Ok(vec![]);
    };
    let settings = &session.parts.settings;
    let encoding = Encoding { compression: settings.compression, row_group_bytes: settings.row_group_bytes };
    let spec = EncoderSpec::new(session.table.properties.name(), columns, encoding)?;
    ensure_partitions(session, &jobs, instant).await?;
    let written = jobs.into_iter().map(|job| write_file(session, &spec, changes, job, instant));
    futures::stream::iter(written.collect::<Vec<_>>()).buffered(session.parts.compute.parallel()).try_collect().await
}

async fn ensure_partitions(session: &Session, jobs: &[Job], instant: InstantTime) -> Result<()> {
    let mut partitions: Vec<&str> = jobs.iter().map(|job| job.file.partition.as_str()).collect();
    partitions.dedup();
    let store = &session.parts.store;
    let ensured = partitions.into_iter().map(|partition| async move {
        let path = layout::partition_metadata(partition);
        if store.get(&path).await?.is_some() {
            return Ok(());
        }
        let text = PartitionMetadata::new(instant, partition).to_text();
        match store.create_once(&path, Bytes::from(text)).await? {
            Created::Ours | Created::Taken => Ok::<(), Error>(()),
        }
    });
    futures::stream::iter(ensured.collect::<Vec<_>>()).buffer_unordered(8).try_collect::<Vec<()>>().await?;
    Ok(())
}

async fn write_file(
    session: &Session,
    spec: &EncoderSpec,
    changes: &Arc<ChangeSet>,
    job: Job,
    instant: InstantTime,
) -> Result<WriteStat> {
    let Job { file, name, task } = job;
    let prev_commit = file.previous_commit();
    let (inserts, updates, removals) = (file.plan.inserts.len() as u64, file.plan.updates(), file.plan.removals());
    let path = layout::data_file(&file.partition, &name.to_string());
    let meta = FileMeta { instant, partition: file.partition.clone(), file_name: name.to_string(), task };
    let stored_rows = file.stored.as_ref().map_or(0, |stored| stored.footer.rows());
    let carried = file.stored.as_ref().and_then(|stored| carried_filter(&stored.footer, inserts));
    let expected_rows = stored_rows + inserts;
    let (spec, changes, plan) = (spec.clone(), Arc::clone(changes), file.plan);
    let compute = &session.parts.compute;
    let store = &session.parts.store;
    let mut rewrite = compute.run(move || Ok(Rewrite::new(&spec, changes, plan, meta, carried, expected_rows))).await?;
    let mut upload = store.upload(path.clone());
    if let Some(stored) = &file.stored {
        rewrite = scan(store, &stored.footer, None, compute, rewrite, Some(&mut upload)).await?;
    }
    let (last, encoded) = compute.run(move || rewrite.finish()).await?;
    upload.write(last).await?;
    let size = upload.finish().await?;
    Ok(WriteStat {
        file_id: file.file_id.to_string(),
        path,
        prev_commit,
        num_writes: encoded.rows,
        num_deletes: removals,
        num_update_writes: updates,
        num_inserts: inserts,
        total_write_bytes: size,
        file_size_in_bytes: size,
        partition_path: file.partition,
        ..WriteStat::default()
    })
}

/// The stored file's filter, if it can take the new keys too. Keys that are gone stay in it: that costs a look, no more.
fn carried_filter(footer: &BaseFileFooter, inserts: u64) -> Option<BloomFilter> {
    let text = footer.value(keys::FOOTER_BLOOM_FILTER)?;
    let kind = footer.value(keys::FOOTER_BLOOM_TYPE_CODE).filter(|kind| *kind == TYPE_CODE)?;
    let filter = BloomFilter::from_footer_text(text, Some(kind)).ok()?;
    let mostly_live = filter.added() <= footer.rows() + footer.rows() / 4 + 16;
    (mostly_live && filter.has_room_for(inserts)).then_some(filter)
}

fn summed(instant: InstantTime, written: &[WriteStat], ignored_changes: u64, letters: usize) -> Committed {
    let sum = |of: fn(&WriteStat) -> u64| written.iter().map(of).sum::<u64>();
    Committed {
        instant,
        inserted_rows: sum(|stat| stat.num_inserts),
        updated_rows: sum(|stat| stat.num_update_writes),
        deleted_rows: sum(|stat| stat.num_deletes),
        ignored_changes,
        files: written.len() as u64,
        bytes: sum(|stat| stat.file_size_in_bytes),
        dead_letters: letters as u64,
        forgotten_moves: 0,
        waiting_changes: 0,
        ghosts: 0,
        stages: Stages::default(),
    }
}

impl Session {
    /// The shape of changes in these columns.
    fn shape(&self, columns: &SchemaRef) -> Shape {
        let kind = columns.field_with_name(columns::ORDER).ok().and_then(|f| OrderKind::of(f.data_type()));
        Shape {
            columns: Arc::clone(columns),
            kind: kind.unwrap_or(OrderKind::Long),
            mode: self.mode,
            key: self.keys.record_key_fields.clone(),
            old_runs: HashSet::new(),
        }
    }

    /// Plans changes onto the table as it stands.
    fn planner<'a>(
        &'a self,
        changes: &'a Arc<ChangeSet>,
        columns: &Schema,
        truncation: Option<&'a Truncation>,
    ) -> Result<Planner<'a>> {
        Ok(Planner {
            store: &self.parts.store,
            clock: &*self.parts.clock,
            compute: &self.parts.compute,
            changes,
            index: self.index,
            keys: &self.keys,
            mode: self.mode,
            target_file_bytes: self.parts.settings.target_file_bytes,
            order_column: columns.index_of(columns::ORDER).map_err(Error::columns("plan", "a commit"))?,
            deletes_must_be_found: table::is_immutable(&self.table.properties) && self.index != Index::GlobalSimple,
            truncation,
            has_outgrown: self.table.columns().is_some_and(|stored| !outgrown(stored, columns).is_empty()),
        })
    }
}
