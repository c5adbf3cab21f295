//! Ghosts: rows that a later full snapshot of the source does not have, for what deleted them was never sent.
//!
//! A row is one if nothing of the snapshot's run, or of a later one, ever touched it. That is told by the commit which wrote it:
//! before the first that holds a row of the snapshot. Partitions are read at different speeds, so that rows of before the snapshot
//! are still written after that; their keys are remembered (*stale*) until something newer touches them. Copied rows
//! keep their commit, so that a rewrite of their file hides nothing.
//!
//! Not here: what begins and ends a snapshot ([`hudi_core::checkpoint::SnapshotState`]).

use std::collections::{BTreeSet, HashMap};

use arrow::array::{AsArray, RecordBatch};
use futures::{StreamExt, TryStreamExt};
use hudi_core::checkpoint::{Bounding, Checkpoint};
use hudi_core::schema::meta;

use crate::changes::{ChangeSet, Spot, SpotRef};
use crate::commit::Scope;
use crate::cow::Edit;
use crate::error::{Error, Result};
use crate::file::{BaseFileFooter, BatchSink, Bounds, scan};
use crate::plan::{Plan, PlannedFile, Planner};
use crate::settings::Index;
use crate::table::Table;

/// How many keys are remembered as stale; with more nothing is deleted.
const MAX_STALE: usize = 1_000_000;

/// What is remembered of stale keys after a commit.
#[derive(Debug)]
pub(crate) enum Tracked {
    /// What was remembered before.
    Same,
    /// These.
    Now(BTreeSet<Spot>),
    /// They are too many.
    TooMany,
}

/// The snapshot whose ghosts are to be deleted now. `all_has_come`: every partition was read to its end.
pub(crate) fn due(checkpoint: &Checkpoint, all_has_come: bool, has_stale: bool) -> Option<(&str, &Bounding)> {
    // Of several sources, which rows are its own is not known.
    let (name, state) = checkpoint.sources.iter().next().filter(|_| checkpoint.sources.len() == 1)?;
    let current = state.snapshot.current.as_ref()?;
    let topic = checkpoint.topics.get(&current.topic)?;
    let has_ended = |partition: &i32| {
        let next = topic.partitions.get(partition).map_or(0, |at| at.next);
        current.passed.contains(partition) || current.ends.get(partition).is_some_and(|end| next >= *end)
    };
    let is_read = state.snapshot.unread.is_empty();
    let ended = all_has_come || topic.partitions.keys().chain(current.ends.keys()).all(has_ended);
    let is_open = current.cancelled.is_none() && current.begin.is_some() && (!current.deleted || has_stale);
    (is_open && is_read && current.last_seen && ended).then_some((name, current))
}

/// Which keys a commit's changes leave stale; `begin`: the snapshot's first commit, none if it is this one.
pub(crate) async fn track(
    planner: &Planner<'_>,
    table: &Table,
    changes: &ChangeSet,
    before: &BTreeSet<Spot>,
    begin: Option<&str>,
) -> Result<Tracked> {
    let by_key = planner.index == Index::GlobalSimple;
    let mut stale = if begin.is_some() { before.clone() } else { BTreeSet::new() };
    if changes.old.is_none() && stale.is_empty() {
        return Ok(if before.is_empty() { Tracked::Same } else { Tracked::Now(stale) });
    }
    let mut only_old: HashMap<SpotRef<'_>, bool> = HashMap::new();
    for change in 0..changes.ops.len() as u32 {
        let is_old = changes.old.as_ref().is_some_and(|old| old.value(change as usize));
        *only_old.entry(changes.spot(change, by_key)).or_insert(true) &= is_old;
    }
    stale.retain(|spot| only_old.get(&spot.as_ref()).copied().unwrap_or(true));
    let touched = only_old.into_iter().filter(|(_, only_old)| *only_old).map(|(spot, _)| spot.to_spot());
    let mut touched: Vec<Spot> = touched.filter(|spot| !stale.contains(spot)).collect();
    touched.sort_unstable();
    match begin {
        // Whatever is stored is from before.
        None => stale.extend(touched),
        Some(begin) => stale.extend(untouched_since(planner, table, touched, begin).await?),
    }
    Ok(match stale.len() {
        too_many if too_many > MAX_STALE => Tracked::TooMany,
        _ if stale == *before => Tracked::Same,
        _ => Tracked::Now(stale),
    })
}

/// Those keys that nothing of the snapshot touched: not stored, or from before it.
async fn untouched_since(planner: &Planner<'_>, table: &Table, keys: Vec<Spot>, begin: &str) -> Result<Vec<Spot>> {
    let spots: Vec<&Spot> = keys.iter().collect();
    let whereabouts = planner.look_for(table, &spots).await?;
    let times = planner.read_commit_times(&whereabouts).await?;
    let is_newer = |time: &Option<String>| time.as_ref().is_some_and(|time| time.as_str() >= begin);
    Ok(keys.into_iter().zip(times).filter(|(_, time)| !is_newer(time)).map(|(spot, _)| spot).collect())
}

impl Planner<'_> {
    /// Plans the deletion of all ghosts.
    pub(crate) async fn plan_ghosts(&self, table: &Table, begin: &str, stale: &BTreeSet<Spot>) -> Result<Plan> {
        let slices = table.slices().await?;
        let all = slices.iter().flat_map(|(partition, slices)| slices.iter().map(|slice| (partition.as_str(), slice)));
        let looks = self.open(all.collect()).await?.into_iter().map(|mut file| async move {
            file.plan.edits = self.ghosts_of(&file, begin, stale).await?;
            Ok::<_, Error>(file)
        });
        let looks = futures::stream::iter(looks.collect::<Vec<_>>()).buffered(self.compute.parallel());
        let mut files: Vec<PlannedFile> = looks.try_collect().await?;
        files.retain(|file| !file.plan.is_empty());
        Ok(Plan { files, scope: Scope::Table, ..Plan::default() })
    }

    async fn ghosts_of(&self, file: &PlannedFile, begin: &str, stale: &BTreeSet<Spot>) -> Result<Vec<Edit>> {
        let Some(stored) = &file.stored else { return Ok(vec![]) };
        if stale.is_empty() && is_since(&stored.footer, begin) {
            return Ok(vec![]);
        }
        let partition = if self.index == Index::GlobalSimple { "" } else { &file.partition };
        let keys = stale.iter().filter(|spot| spot.partition == partition).map(|spot| spot.key.clone()).collect();
        let path = stored.footer.path.clone();
        let sink = Ghosts { begin: begin.to_owned(), keys, path, next_row: 0, edits: vec![] };
        let wanted = [meta::COMMIT_TIME, meta::RECORD_KEY];
        Ok(scan(self.store, &stored.footer, Some(&wanted), self.compute, sink, None).await?.edits)
    }
}

/// Whether statistics tell that all rows were written since.
fn is_since(footer: &BaseFileFooter, begin: &str) -> bool {
    let since =
        |bounds: &Bounds| matches!(bounds, Bounds::Text { least, has_nulls: false, .. } if least.as_str() >= begin);
    footer.bounds(meta::COMMIT_TIME).is_some_and(|groups| groups.iter().all(since))
}

/// Collects the ghosts of a file.
struct Ghosts {
    begin: String,
    keys: BTreeSet<String>,
    path: String,
    next_row: u64,
    edits: Vec<Edit>,
}

impl BatchSink for Ghosts {
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let text = |name: &str| {
            let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            column.ok_or_else(|| Error::corrupt(&self.path, format!("no column {name}")))
        };
        let (times, keys) = (text(meta::COMMIT_TIME)?, text(meta::RECORD_KEY)?);
        let is_ghost = |row: &usize| times.value(*row) < self.begin.as_str() || self.keys.contains(keys.value(*row));
        let edit = |row: usize| Edit { row: self.next_row + row as u64, write: None };
        let edits: Vec<Edit> = (0..batch.num_rows()).filter(is_ghost).map(edit).collect();
        self.edits.extend(edits);
        self.next_row += batch.num_rows() as u64;
        Ok(())
    }
}
