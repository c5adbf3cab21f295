//! [`Watch`]: where the loop puts up how it stands, for whoever asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hudi_writer::Stages;
use hudi_writer::ingest::{Condition, Ended, Outcome, TableCounters, TableReport};
use kafka_source::Lag;

use super::exposition::{Exposition, Sample};
use super::health::{Failing, Limits, complaints};
use super::histogram::Histogram;
use super::syncs::Syncs;

/// How the loop stands.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// When.
    pub now_ms: i64,
    /// The tables.
    pub tables: Vec<TableReport>,
    /// Bytes of uncommitted changes and their messages.
    pub memory_bytes: usize,
    /// How far partitions are behind.
    pub lag: Vec<Lag>,
    /// What is not well beside the tables.
    pub troubles: Vec<String>,
}

/// Where the loop puts up how it stands.
#[derive(Debug)]
pub struct Watch {
    limits: Limits,
    messages: AtomicU64,
    message_bytes: AtomicU64,
    messages_lost: AtomicU64,
    told_ms: AtomicI64,
    times: Mutex<Times>,
    syncs: Mutex<Syncs>,
    board: Mutex<Board>,
}

/// How long things took.
#[derive(Debug, Default)]
struct Times {
    commits: Histogram,
    stages: [Histogram; 4],
    freshness: BTreeMap<Arc<str>, Histogram>,
}

#[derive(Debug, Default)]
struct Board {
    text: String,
    complaints: Vec<String>,
    failing: Failing,
}

const STAGES: [&str; 4] = ["begin", "plan", "write", "complete"];

impl Watch {
    /// Nothing was told yet.
    #[must_use]
    pub fn new(limits: Limits, now_ms: i64) -> Self {
        Self {
            limits,
            messages: AtomicU64::new(0),
            message_bytes: AtomicU64::new(0),
            messages_lost: AtomicU64::new(0),
            told_ms: AtomicI64::new(now_ms),
            times: Mutex::default(),
            syncs: Mutex::default(),
            board: Mutex::default(),
        }
    }

    pub(crate) fn read(&self, messages: usize, bytes: usize) {
        self.messages.fetch_add(messages as u64, Ordering::Relaxed);
        self.message_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self, messages: u64) {
        self.messages_lost.fetch_add(messages, Ordering::Relaxed);
    }

    /// Messages that were read so far.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    pub(crate) fn landed(&self, outcome: &Outcome, now_ms: i64) {
        let Ended::Committed { committed, .. } = &outcome.ended else { return };
        let Stages { begin_ms, plan_ms, write_ms, complete_ms } = committed.stages;
        let mut times = lock(&self.times);
        times.commits.add_ms(outcome.took_ms);
        for (stage, ms) in times.stages.iter_mut().zip([begin_ms, plan_ms, write_ms, complete_ms]) {
            stage.add_ms(ms);
        }
        if let Some(oldest_ms) = outcome.carried.oldest_source_ms {
            times.freshness.entry(Arc::clone(&outcome.table)).or_default().add_ms(now_ms - oldest_ms);
        }
    }

    /// Glue says what a table says.
    pub(crate) fn synced(&self, table: &Arc<str>) {
        lock(&self.syncs).succeeded(table);
    }

    /// A sync of a table to Glue failed.
    pub(crate) fn sync_failed(&self, table: &Arc<str>, reason: &str, now_ms: i64) {
        lock(&self.syncs).failed(table, reason, now_ms);
    }

    /// Puts up how it stands.
    pub fn publish(&self, standing: &Standing) {
        self.told_ms.store(standing.now_ms, Ordering::Relaxed);
        let mut board = lock(&self.board);
        board.complaints = complaints(&standing.tables, &mut board.failing, &self.limits, standing.now_ms);
        board.complaints.extend(standing.troubles.iter().cloned());
        board.complaints.extend(lock(&self.syncs).complaints(self.limits.unsynced_ms, standing.now_ms));
        board.text = self.exposition(standing, board.complaints.is_empty());
    }

    /// Numbers in Prometheus' text form.
    #[must_use]
    pub fn metrics(&self) -> String {
        lock(&self.board).text.clone()
    }

    /// What is not well; nothing where all is.
    #[must_use]
    pub fn complaints(&self, now_ms: i64) -> Vec<String> {
        let silent_ms = now_ms - self.told_ms.load(Ordering::Relaxed);
        let silence = format!("nothing was heard of the loop for {} s", silent_ms / 1000);
        let is_silent = silent_ms > self.limits.silence_ms;
        lock(&self.board).complaints.iter().cloned().chain(is_silent.then_some(silence)).collect()
    }

    fn exposition(&self, standing: &Standing, is_well: bool) -> String {
        let mut of = Exposition::default();
        let bytes = self.message_bytes.load(Ordering::Relaxed);
        of.counter("cdc_messages_total", "Messages that were read.", [one(self.messages())]);
        of.counter("cdc_message_bytes_total", "Bytes of their keys, values and headers.", [one(bytes)]);
        let lost = self.messages_lost.load(Ordering::Relaxed);
        of.counter("cdc_messages_lost_total", "Messages that were gone before they were read.", [one(lost)]);
        of.gauge("cdc_healthy", "1 where all is well.", [one(u8::from(is_well))]);
        of.gauge(
            "cdc_uncommitted_bytes",
            "Memory of uncommitted changes and their messages.",
            [one(standing.memory_bytes)],
        );
        of.gauge("process_resident_memory_bytes", "Resident memory.", resident_bytes().map(one));
        tables(&mut of, standing);
        lags(&mut of, &standing.lag);
        self.times(&mut of);
        lock(&self.syncs).expose(&mut of, standing.now_ms);
        of.into_text()
    }

    fn times(&self, of: &mut Exposition) {
        let times = lock(&self.times);
        of.histograms(
            "cdc_commit_seconds",
            "How long commits took, waits between tries included.",
            [one(&times.commits)],
        );
        let labels = STAGES.map(|stage| [("stage", stage)]);
        let stages = labels.iter().zip(&times.stages).map(|(labels, histogram)| (&labels[..], histogram));
        of.histograms("cdc_commit_stage_seconds", "How long the stages of commits took.", stages);
        let labels: Vec<_> = times.freshness.keys().map(|table| [("table", &**table)]).collect();
        let freshness = labels.iter().zip(times.freshness.values()).map(|(labels, histogram)| (&labels[..], histogram));
        let help = "From the source's commit of a commit's oldest change until it could be queried.";
        of.histograms("cdc_freshness_seconds", help, freshness);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn one<V>(value: V) -> Sample<'static, V> {
    (&[], value)
}

/// What is counted of each table: its name, what it means, which it is.
type Counted = (&'static str, &'static str, fn(&TableCounters) -> u64);

const COUNTED: [Counted; 16] = [
    ("cdc_rows_received_total", "Changes that were decoded.", |of| of.received_rows),
    ("cdc_upserts_total", "Inserts, updates and snapshot rows that were committed.", |of| of.upserts),
    ("cdc_deletes_total", "Deletes that were committed.", |of| of.deletes),
    ("cdc_truncates_total", "Truncates that were committed.", |of| of.truncates),
    ("cdc_covered_total", "Changes that the table had, read again.", |of| of.covered),
    ("cdc_redelivered_total", "Changes that the table had, sent again by the connector.", |of| of.redelivered),
    ("cdc_dead_letters_total", "Messages that could not become rows.", |of| of.dead_letters),
    ("cdc_commits_total", "Commits.", |of| of.commits),
    ("cdc_checkpoint_commits_total", "Commits of positions alone.", |of| of.checkpoints),
    ("cdc_commit_failures_total", "Commits that failed.", |of| of.failures),
    ("cdc_commit_conflicts_total", "Tries that another writer stood against.", |of| of.conflicts),
    ("cdc_commit_locked_total", "Tries in which another writer kept the lock.", |of| of.locked),
    ("cdc_reloads_total", "Times that partitions were read again for the table.", |of| of.reloads),
    ("cdc_files_total", "Files that were written.", |of| of.files),
    ("cdc_file_bytes_total", "Bytes of these files.", |of| of.file_bytes),
    ("cdc_store_requests_total", "Requests of the store.", |of| of.requests),
];

fn tables(of: &mut Exposition, standing: &Standing) {
    let labels: Vec<_> = standing.tables.iter().map(|table| [("table", &*table.table)]).collect();
    let samples = || labels.iter().zip(&standing.tables).map(|(labels, table)| (&labels[..], table));
    for (name, help, count) in COUNTED {
        of.counter(name, help, samples().map(|(labels, table)| (labels, count(&table.counters))));
    }
    let stopped = |table: &TableReport| u8::from(matches!(table.condition, Condition::Stopped { .. }));
    of.gauge("cdc_stopped", "1 where the table has stopped.", samples().map(|(of, table)| (of, stopped(table))));
    let uncommitted = samples().map(|(of, table)| (of, table.uncommitted_rows));
    of.gauge("cdc_uncommitted_rows", "Changes that are not committed.", uncommitted);
    let waiting = samples().map(|(of, table)| (of, table.waiting_changes));
    of.gauge(
        "cdc_waiting_changes",
        "Changes that wait for a row of another partition, as of the last commit.",
        waiting,
    );
    let behind =
        |table: &TableReport| (standing.now_ms - table.oldest_uncommitted_source_ms.unwrap_or(standing.now_ms)).max(0);
    let behind = samples().map(|(of, table)| (of, behind(table) as f64 / 1000.0));
    of.gauge(
        "cdc_behind_seconds",
        "How long ago the source committed the oldest change that is not committed here.",
        behind,
    );
}

fn lags(of: &mut Exposition, lag: &[Lag]) {
    let partitions: Vec<String> = lag.iter().map(|lag| lag.place.partition.to_string()).collect();
    let labels: Vec<_> =
        lag.iter().zip(&partitions).map(|(lag, of)| [("topic", &*lag.place.topic), ("partition", of)]).collect();
    let samples = labels.iter().zip(lag).map(|(labels, lag)| (&labels[..], lag.messages()));
    of.gauge("cdc_lag_messages", "Messages that are still to be read.", samples);
}

/// As the system says, where it does.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
