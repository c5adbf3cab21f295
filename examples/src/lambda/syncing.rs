//! [`Syncing`]: Glue is told what an invocation committed, before it is answered; for between invocations a function stands still.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::future::{Either, select};
use futures::{StreamExt, stream};
use hudi_core::instant::InstantTime;
use hudi_writer::{Clock, Table};

use crate::Failure;
use crate::glue::{Changes, Syncer, are_done, tell};

/// How many tables are synced at a time.
const CONCURRENT: usize = 4;

/// Tells Glue, and remembers what it was told.
#[derive(Debug)]
pub(super) struct Syncing {
    syncer: Syncer,
    changes: BTreeMap<String, Changes>,
}

/// A table after an invocation, with its commits.
pub(super) type Committed = (String, Table, Vec<InstantTime>);

/// How often Glue was told, and could not be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Synced {
    pub(super) syncs: u64,
    pub(super) failures: u64,
}

impl Syncing {
    pub(super) fn new(syncer: Syncer) -> Self {
        Self { syncer, changes: BTreeMap::new() }
    }

    /// Syncs tables as far as that is due, and the time allows. What fails is due at the table's next event.
    pub(super) async fn after(&mut self, tables: Vec<Committed>, until_ms: i64, clock: &dyn Clock) -> Synced {
        let mut remembered = std::mem::take(&mut self.changes);
        let syncs = tables.into_iter().map(|of| {
            let changes = remembered.remove(&of.0).unwrap_or_default();
            in_time(&self.syncer, of, changes, until_ms, clock)
        });
        let ends: Vec<_> = stream::iter(syncs).buffer_unordered(CONCURRENT).collect().await;
        self.changes = remembered;
        let mut synced = Synced::default();
        for (name, changes, ended) in ends {
            match ended {
                Ok(is_synced) => synced.syncs += u64::from(is_synced),
                Err(failure) => {
                    synced.failures += 1;
                    tracing::warn!(table = name, %failure, "Glue does not say yet what the table says; the table's next event tries again");
                }
            }
            self.changes.extend(changes.map(|changes| (name, changes)));
        }
        synced
    }
}

/// What was remembered, and whether Glue was told.
type End = (String, Option<Changes>, Result<bool, Failure>);

async fn in_time(syncer: &Syncer, of: Committed, changes: Changes, until_ms: i64, clock: &dyn Clock) -> End {
    let name = of.0.clone();
    let timer = clock.sleep(until_ms - clock.now_ms());
    match select(pin!(sync(syncer, of, changes)), timer).await {
        Either::Left((end, _)) => end,
        Either::Right(_) => (name, None, Err(Failure::failed("not done before the deadline came near"))),
    }
}

async fn sync(syncer: &Syncer, (name, table, instants): Committed, mut changes: Changes) -> End {
    let is_due = changes.are_due(&table, &instants).await;
    let ended = match is_due {
        Ok(false) => Ok(false),
        Ok(true) => syncer.sync(table.url()).await.map(|reports| {
            tell(&name, &reports);
            changes.ended(are_done(&reports));
            true
        }),
        Err(failure) => Err(failure),
    };
    if ended.is_err() {
        changes.ended(false);
    }
    (name, Some(changes), ended)
}
