//! [`Attempt`]: one table's turn, from opening it to the commit, and again where another writer stood against it.
//!
//! A redo opens the table anew and hands the same work over: what the table has by then is dropped (offsets), what it took from
//! elsewhere is judged by its marks, and the checkpoint is joined by the writer. Where the table is *behind* the place where
//! the work begins, nothing is written: somebody must read again. Not here: when a table's turn comes, and what a failure means.

use std::collections::HashSet;
use std::sync::Arc;

use hudi_core::change::Origin;
use hudi_core::checkpoint::Checkpoint;
use hudi_core::dead_letter::DeadLetter;
use hudi_core::error::Error as FormatError;
use hudi_core::instant::InstantTime;

use super::letters::{LetterLimit, told};
use super::outcome::Unfounded;
use super::places::TopicPartition;
use super::template::TableTemplate;
use super::work::{Item, Work};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::outcome::{CommitOutcome, Committed, Refused, Taken};
use crate::settings::NewTable;
use crate::writer::TableWriter;

/// The longest wait between two tries.
const MAX_WAIT_MS: i64 = 10_000;

/// What a table's turn is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The table is opened: how far is it?
    Look,
    /// The table notes where its work begins, and takes nothing of it yet. Makes the table if need be.
    Begin,
    /// The work is committed.
    Commit,
}

/// The messages of a partition that a turn deals with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) place: TopicPartition,
    /// How far the table said that it is.
    pub(super) known: Option<i64>,
    /// Where what came of the partition begins.
    pub(super) first: Option<i64>,
    pub(super) to: i64,
}

/// A partition of a topic that was made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anew {
    pub(super) place: TopicPartition,
    /// Where the table was in the old one: if it is not there, somebody has noted it already.
    pub(super) was: i64,
    /// Where the new one begins.
    pub(super) at: i64,
}

/// How often a commit is tried, and how long is waited between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) tries: u32,
    pub(super) wait_ms: i64,
}

/// One table's turn.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) table: Arc<str>,
    pub(super) template: TableTemplate,
    pub(super) purpose: Purpose,
    /// The table said before how far it is.
    pub(super) was_there: bool,
    /// Gone after a failure.
    pub(super) writer: Option<TableWriter>,
    pub(super) work: Work,
    /// Nothing more comes for now.
    pub(super) concludes: bool,
    pub(super) claims: Vec<Claim>,
    /// Partitions of topics that were made anew.
    pub(super) anew: Vec<Anew>,
    /// By what topics are told from others of their names.
    pub(super) identities: Vec<(Arc<str>, Arc<str>)>,
    pub(super) patience: Patience,
    pub(super) letters: LetterLimit,
    pub(super) letter_limit: Option<u32>,
    pub(super) clock: Arc<dyn Clock>,
    /// That the writer made before this turn.
    pub(super) requests_before: u64,
}

/// What a turn came to. The work is what it was.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) table: Arc<str>,
    pub(super) purpose: Purpose,
    pub(super) writer: Option<TableWriter>,
    pub(super) work: Work,
    pub(super) end: Result<End, Wrong>,
    pub(super) met: Met,
    pub(super) took_ms: i64,
    /// Requests that were made of the store, but for those of tries that failed.
    pub(super) requests: u64,
}

/// How a turn ended that met no error.
#[derive(Debug)]
pub(super) enum End {
    /// The work is in the table.
    Done(Box<Done>),
    /// There is no table, and nothing to make it of.
    Unfounded(Unfounded),
    /// The table is behind where the work begins.
    Behind(Checkpoint),
}

/// What went wrong, by what is to be done about it.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It may be right another time.
    Rests(Error),
    /// Somebody must look at it.
    Stops(Error),
}

impl From<Error> for Wrong {
    /// A table that refuses, or is broken, may be mended while we wait; who lost a race is told either, too.
    fn from(error: Error) -> Self {
        match error {
            Error::SourceWentBack { .. } | Error::Format(_) | Error::Setting { .. } => Self::Stops(error),
            other => Self::Rests(other),
        }
    }
}

/// What is in the table.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// `None`: there was nothing to commit.
    pub(super) committed: Option<Committed>,
    pub(super) taken: Taken,
    /// Dead letters that the table made, and the first of them.
    pub(super) letters: u64,
    pub(super) first_letter: Option<String>,
}

/// What was met on the way.
#[derive(Debug, Clone, Default)]
pub(super) struct Met {
    /// Others.
    pub(super) conflicts: u64,
    pub(super) locked: u64,
    /// The change that the table stops at.
    pub(super) refused: Option<Origin>,
}

/// How one try ended.
enum Try {
    Ended(End),
    Conflicted(InstantTime),
}

impl Attempt {
    /// Takes the turn. Dropped half-way, nothing of it is visible; what was begun is rolled back when the table is next opened.
    pub(super) async fn run(mut self) -> Landed {
        let begun_ms = self.clock.now_ms();
        let mut met = Met::default();
        self.requests_before = self.writer.as_ref().map_or(0, |writer| writer.requests().total());
        let end = self.try_until_done(&mut met).await;
        let took_ms = self.clock.now_ms() - begun_ms;
        let Self { table, purpose, writer, work, requests_before, .. } = self;
        let requests = writer.as_ref().map_or(0, |writer| writer.requests().total()).saturating_sub(requests_before);
        Landed { table, purpose, writer, work, end, met, took_ms, requests }
    }

    async fn try_until_done(&mut self, met: &mut Met) -> Result<End, Wrong> {
        let mut wait_ms = self.patience.wait_ms;
        for left in (0..self.patience.tries).rev() {
            let against = match self.try_once(met).await {
                Ok(Try::Ended(end)) => return Ok(end),
                Ok(Try::Conflicted(with)) => {
                    met.conflicts += 1;
                    conflicted(&self.table, self.patience.tries, with)
                }
                Err(Wrong::Rests(locked @ Error::Locked { .. })) => {
                    met.locked += 1;
                    locked
                }
                Err(error) => return Err(error),
            };
            if left == 0 {
                return Err(Wrong::Rests(against));
            }
            self.clock.sleep(jittered(wait_ms, &*self.clock)).await;
            wait_ms = wait_ms.saturating_mul(2).min(MAX_WAIT_MS);
        }
        Err(Wrong::Stops(Error::refused("a commit that is never tried", "want `tries` above 0")))
    }

    /// The writer is only kept if it can go on.
    async fn try_once(&mut self, met: &mut Met) -> Result<Try, Wrong> {
        let Some(mut writer) = self.open().await? else {
            return Ok(Try::Ended(match self.purpose {
                // It was deleted: what begins it anew is to be read first.
                _ if self.was_there => End::Behind(Checkpoint::default()),
                Purpose::Look => End::Done(Box::default()),
                Purpose::Begin | Purpose::Commit => End::Unfounded(unfounded(&self.work)),
            }));
        };
        self.refuse_other_topics(writer.committed())?;
        if let Some(with) = self.begin_anew(&mut writer).await? {
            return Ok(Try::Conflicted(with));
        }
        if self.claims.iter().any(|claim| is_behind(writer.committed(), claim)) {
            let is_at = writer.committed().clone();
            self.writer = Some(writer);
            return Ok(Try::Ended(End::Behind(is_at)));
        }
        let mut done = Done::default();
        match self.purpose {
            Purpose::Look => {
                self.writer = Some(writer);
                return Ok(Try::Ended(End::Done(Box::default())));
            }
            Purpose::Begin => {}
            Purpose::Commit => self.hand_over(&mut writer, &mut done, met)?,
        }
        for claim in &self.claims {
            writer.advance(&claim.place.topic, claim.place.partition, claim.to);
        }
        for (topic, id) in &self.identities {
            writer.identify(topic, id);
        }
        if self.concludes {
            writer.all_has_come();
        }
        let work = &self.work;
        match writer.commit(&|origin: &Origin| work.original(origin)).await? {
            CommitOutcome::Committed(committed) => done.committed = Some(committed),
            CommitOutcome::Empty => {}
            CommitOutcome::Conflicted { with } => return Ok(Try::Conflicted(with)),
        }
        self.writer = Some(writer);
        Ok(Try::Ended(End::Done(Box::new(done))))
    }

    /// Has the table forget how far it was in topics that were made anew; the commit that stands against it.
    async fn begin_anew(&self, writer: &mut TableWriter) -> Result<Option<InstantTime>> {
        let is_there = |anew: &&Anew| {
            let Anew { place, was, .. } = anew;
            writer.committed().next_offset(&place.topic, place.partition) == Some(*was)
        };
        let anew: Vec<&Anew> = self.anew.iter().filter(is_there).collect();
        for Anew { place, at, .. } in &anew {
            writer.begin_anew(&place.topic, place.partition, *at);
        }
        if anew.is_empty() {
            return Ok(None);
        }
        match writer.commit(&|_: &Origin| None).await? {
            CommitOutcome::Conflicted { with } => Ok(Some(with)),
            CommitOutcome::Committed(_) | CommitOutcome::Empty => Ok(None),
        }
    }

    /// The table, made if there is something to make it of.
    async fn open(&mut self) -> Result<Option<TableWriter>> {
        if let Some(writer) = self.writer.take() {
            return Ok(Some(writer));
        }
        let builder = &self.template.builder;
        match builder.clone().open().await {
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
            Ok(writer) => {
                self.requests_before = 0;
                return self.template.accept(&writer).map(|()| Some(writer));
            }
        }
        let is_looked_at = self.purpose == Purpose::Look || self.was_there;
        let key = if is_looked_at { None } else { self.work.founding_key(&self.template.table) };
        let Some(key) = key else { return Ok(None) };
        let table = NewTable { key, ..self.template.table.clone() };
        self.requests_before = 0;
        let made = builder.clone().open_or_create(&table).await;
        made.map(Some).map_err(|error| match error {
            // There is no table yet: what is wrong was given.
            Error::Format(wrong @ FormatError::BadProperty { .. }) => {
                Error::refused(format!("to make the table {}", table.name), wrong.to_string())
            }
            other => other,
        })
    }

    fn refuse_other_topics(&self, committed: &Checkpoint) -> Result<(), Wrong> {
        if self.template.several_topics {
            return Ok(());
        }
        let claimed = self.claims.iter().map(|claim| &*claim.place.topic);
        let ours = self.template.topics.iter().map(String::as_str).chain(claimed);
        let mut topics = committed.topics.keys().map(String::as_str).chain(ours);
        let Some(first) = topics.next() else { return Ok(()) };
        match topics.find(|topic| *topic != first) {
            Some(other) => Err(Wrong::Stops(two_topics(&self.table, first, other))),
            None => Ok(()),
        }
    }

    /// Gives everything to the writer; what it refuses becomes dead letters, and what another writer dealt with is passed over.
    fn hand_over(&self, writer: &mut TableWriter, done: &mut Done, met: &mut Met) -> Result<(), Wrong> {
        let mut buried: HashSet<Origin> = HashSet::new();
        let mut first_origin = None;
        for item in &self.work.items {
            match item {
                Item::Changes(batch, _) => {
                    let mut taken = writer.write(batch)?;
                    for refused in std::mem::take(&mut taken.refused) {
                        first_origin.get_or_insert_with(|| refused.origin.clone());
                        let letter = self.letter_of(refused)?;
                        done.letters += 1;
                        done.first_letter.get_or_insert_with(|| told(&letter));
                        bury(writer, &mut buried, &letter);
                    }
                    add(&mut done.taken, &taken);
                }
                Item::Letter(letter) => bury(writer, &mut buried, letter),
            }
        }
        let (now_ms, first) = (self.clock.now_ms(), done.first_letter.clone());
        let too_many = self.letters.clone().count(done.letters, first, self.letter_limit, now_ms);
        let Some(error) = too_many else { return Ok(()) };
        met.refused = first_origin;
        Err(Wrong::Stops(error))
    }

    fn letter_of(&self, refused: Refused) -> Result<DeadLetter, Wrong> {
        let Refused { origin, stage, reason } = refused;
        match self.work.original(&origin) {
            Some(original) => Ok(DeadLetter { stage, reason, original }),
            None => {
                let why = format!("{reason}; its message is not at hand");
                Err(Wrong::Stops(Error::refused(format!("the change {origin}"), why)))
            }
        }
    }
}

/// Once, and only if the table does not have it.
fn bury(writer: &mut TableWriter, buried: &mut HashSet<Origin>, letter: &DeadLetter) {
    let origin = &letter.original.origin;
    let next = writer.committed().next_offset(&origin.topic, origin.partition);
    if next.is_none_or(|next| origin.offset >= next) && buried.insert(origin.clone()) {
        writer.dead_letter(letter.clone());
    }
}

/// Whether messages between the table's position and the claim would be left out.
pub(super) fn is_behind(committed: &Checkpoint, claim: &Claim) -> bool {
    let TopicPartition { topic, partition } = &claim.place;
    match committed.next_offset(topic, *partition) {
        Some(next) => claim.known.max(claim.first).is_some_and(|from| next < from),
        None => claim.known.is_some(),
    }
}

fn unfounded(work: &Work) -> Unfounded {
    use hudi_core::change::Op;
    let truncates = |ops: &[Op]| ops.iter().filter(|op| **op == Op::Truncate).count();
    let truncates = work.batches().map(|batch| truncates(&batch.ops)).sum();
    Unfounded {
        changes: work.size.rows - truncates,
        truncates,
        letters: work.size.letters,
        first_letter: work.first_letter().map(told),
    }
}

fn add(sum: &mut Taken, taken: &Taken) {
    sum.upserts += taken.upserts;
    sum.deletes += taken.deletes;
    sum.truncates += taken.truncates;
    sum.covered += taken.covered;
    sum.redelivered += taken.redelivered;
}

/// What is said of a table that a second topic would feed.
pub(super) fn two_topics(table: &str, first: &str, other: &str) -> Error {
    Error::refused(
        format!("the topic {other} for the table {table}"),
        format!("it is fed from the topic {first}: rows would be taken for one another's (allow it: `several_topics`)"),
    )
}

fn conflicted(table: &str, tries: u32, with: InstantTime) -> Error {
    let what = format!("a commit to {table}");
    Error::refused(what, format!("other writers committed meanwhile, in each of {tries} tries; the last time {with}"))
}

/// Half of it at least, so that writers who met do not meet again.
pub(super) fn jittered(ms: i64, clock: &dyn Clock) -> i64 {
    let id = clock.unique_id();
    let mixed = ((id >> 64) as u64 ^ id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let half = ms / 2;
    half + (mixed % (half.unsigned_abs() + 1)) as i64
}
