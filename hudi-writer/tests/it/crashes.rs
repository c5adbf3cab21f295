//! Each call of a history goes wrong, in each way: no row is lost, doubled, stale or resurrected, nothing that was told of
//! as done is undone, and the next writer heals what is left.

use std::num::NonZeroU32;
use std::sync::Arc;

use hudi_writer::testing::{Fault, FaultyStore};
use hudi_writer::{Index, NewTable, Table};

use crate::history::{History, Release, World, calls_of, key_changes, moving_commits, survive, usual_commits};

pub(crate) fn bucketed() -> History {
    let table = NewTable::new("t", ["id"]).index(Index::Bucket(NonZeroU32::new(2).unwrap()));
    History { table, commits: usual_commits(), mutant: None }
}

pub(crate) fn simple() -> History {
    History { table: NewTable::new("t", ["id"]), commits: usual_commits(), mutant: None }
}

pub(crate) fn partitioned() -> History {
    History {
        table: NewTable::new("t", ["region", "id"]).partition_by(["region"]),
        commits: usual_commits(),
        mutant: None,
    }
}

pub(crate) fn moving() -> History {
    History { table: NewTable::new("t", ["id"]).partition_by(["region"]), commits: moving_commits(), mutant: None }
}

/// Rows whose key changes, and what is remembered of them.
pub(crate) fn remembering() -> History {
    History { table: NewTable::new("t", ["id"]), commits: key_changes(), mutant: None }
}

/// Lets each call go wrong in each way that makes a difference to it; how many points that were.
async fn survive_everything(name: &str, history: History) -> usize {
    let calls = calls_of(&history).await;
    let mut points = 0;
    for (at, changes) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let is_read = !changes && matches!(fault, Fault::DoneButError | Fault::Late);
            let releases = if fault == Fault::Late { &Release::ALL[..] } else { &Release::ALL[..1] };
            for release in releases.iter().filter(|_| !is_read) {
                if let Err(wrong) = survive(&history, at, fault, *release).await {
                    panic!("{name}: call {at} {fault:?} ({release:?}): {wrong}");
                }
                points += 1;
            }
        }
    }
    println!("{points} crash points: {name}, {} calls", calls.len());
    points
}

#[tokio::test]
async fn a_bucketed_table_survives_whatever_goes_wrong() {
    assert!(survive_everything("bucketed", bucketed()).await > 500);
}

#[tokio::test]
async fn a_simple_table_survives_whatever_goes_wrong() {
    assert!(survive_everything("simple", simple()).await > 500);
}

#[tokio::test]
async fn a_partitioned_table_survives_whatever_goes_wrong() {
    assert!(survive_everything("partitioned", partitioned()).await > 500);
}

#[tokio::test]
async fn a_table_whose_rows_move_survives_whatever_goes_wrong() {
    assert!(survive_everything("moving", moving()).await > 500);
}

#[tokio::test]
async fn a_table_whose_keys_change_survives_whatever_goes_wrong() {
    assert!(survive_everything("remembering", remembering()).await > 500);
}

#[tokio::test]
async fn a_recovery_that_dies_is_healed_by_the_next() {
    let points = die_while_recovering(simple(), 4).await + die_while_recovering(remembering(), 9).await;
    println!("{points} crash points: recovery");
    assert!(points > 300, "{points}");
}

/// Kills the writer at some calls, and the one who heals at each of its own.
async fn die_while_recovering(history: History, step: usize) -> usize {
    let calls = calls_of(&history).await;
    let mut points = 0;
    for at in (0..calls.len()).filter(|at| calls[*at]).step_by(step) {
        for recovery_dies_at in 0..40 {
            let world = World::new(&history, format!("memory:///recovery/{step}/{at}/{recovery_dies_at}"));
            let dying = FaultyStore::new(Arc::clone(&world.inner), at, Fault::Dies);
            let _ = world.send(Arc::new(dying), usize::MAX).await;
            world.clock.advance(61_000);
            let recovery = FaultyStore::new(Arc::clone(&world.inner), recovery_dies_at, Fault::Dies);
            let opened = world.builder(Arc::new(recovery.clone())).open().await.is_ok();
            world.is_some_commit().await.unwrap();
            world.clock.advance(61_000);
            world.send(Arc::clone(&world.inner), usize::MAX).await.unwrap();
            world.end().await.unwrap_or_else(|wrong| panic!("{at}, {recovery_dies_at}: {wrong}"));
            points += 1;
            if opened && recovery.calls().len() <= recovery_dies_at {
                break;
            }
        }
    }
    points
}

#[tokio::test]
async fn what_is_read_after_a_crash_needs_no_writer() {
    let history = bucketed();
    let mut pending = 0;
    for at in 10..calls_of(&history).await.len() {
        let world = World::new(&history, format!("memory:///reader/{at}"));
        let dying = FaultyStore::new(Arc::clone(&world.inner), at, Fault::Dies);
        let _ = world.send(Arc::new(dying), usize::MAX).await;
        let table = Table::open_in(Arc::clone(&world.inner), "base/t", &world.url).await.unwrap();
        pending += table.timeline().pending().count();
        world.is_some_commit().await.unwrap();
    }
    assert!(pending > 20, "{pending}");
}
