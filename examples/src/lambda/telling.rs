//! What is told of an invocation: one line of metrics in CloudWatch's embedded form. Holds no row value.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::settings::LambdaSettings;
use super::syncing::Synced;
use super::tally::Tally;

/// What is told of an invocation.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) request_id: &'a str,
    pub(super) is_first: bool,
    pub(super) records: usize,
    pub(super) record_bytes: usize,
    pub(super) tables: Vec<(String, Tally)>,
    /// Partitions of which something is to be sent again.
    pub(super) undone: usize,
    pub(super) glue: Synced,
    pub(super) is_failed: bool,
    pub(super) duration_ms: i64,
}

impl<'a> Told<'a> {
    pub(super) fn new(request_id: &'a str, is_first: bool) -> Self {
        let (tables, glue, is_failed) = (vec![], Synced::default(), false);
        Self { request_id, is_first, records: 0, record_bytes: 0, tables, undone: 0, glue, is_failed, duration_ms: 0 }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "_aws")]
    aws: Aws<'a>,
    #[serde(rename = "FunctionName")]
    function: &'a str,
    request_id: &'a str,
    #[serde(flatten)]
    values: BTreeMap<&'static str, f64>,
    /// For queries; no metrics.
    tables: BTreeMap<&'a str, &'a Tally>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Aws<'a> {
    timestamp: i64,
    cloud_watch_metrics: [Directive<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive<'a> {
    namespace: &'a str,
    dimensions: [[&'static str; 1]; 1],
    metrics: Vec<Metric>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

/// Prints the line.
pub(super) fn tell(told: &Told<'_>, settings: &LambdaSettings, now_ms: i64) {
    let line = line(told, settings, now_ms);
    // Who cannot print cannot tell of it either.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn line(told: &Told<'_>, settings: &LambdaSettings, now_ms: i64) -> String {
    let measured = measured(told, now_ms);
    let metrics = measured.iter().map(|(name, unit, _)| Metric { name, unit }).collect();
    let directive = Directive { namespace: &settings.namespace, dimensions: [["FunctionName"]], metrics };
    let line = Line {
        aws: Aws { timestamp: now_ms, cloud_watch_metrics: [directive] },
        function: &settings.function,
        request_id: told.request_id,
        values: measured.iter().map(|(name, _, value)| (*name, *value)).collect(),
        tables: told.tables.iter().map(|(table, done)| (&**table, done)).collect(),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

/// Names, units and values.
fn measured(told: &Told<'_>, now_ms: i64) -> Vec<(&'static str, &'static str, f64)> {
    let mut sum = Tally::default();
    told.tables.iter().for_each(|(_, done)| sum.add(done));
    let count = |name, value: u64| (name, "Count", value as f64);
    let mut measured = vec![
        count("Records", told.records as u64),
        ("RecordBytes", "Bytes", told.record_bytes as f64),
        count("Rows", sum.upserts + sum.deletes),
        count("Commits", sum.commits),
        ("FileBytes", "Bytes", sum.file_bytes as f64),
        count("DeadLetters", sum.dead_letters),
        count("Redelivered", sum.redelivered),
        count("CommittedBefore", sum.committed_before),
        count("GapOffsets", sum.gap_offsets),
        count("PartitionsUndone", told.undone as u64),
        count("GlueSyncs", told.glue.syncs),
        count("GlueSyncFailures", told.glue.failures),
        count("Failed", told.is_failed.into()),
        count("ColdStarts", told.is_first.into()),
        ("Duration", "Milliseconds", told.duration_ms as f64),
    ];
    let oldest_ms = sum.oldest_source_ms.map(|oldest| (now_ms - oldest).max(0));
    measured.extend(oldest_ms.map(|ms| ("Freshness", "Seconds", ms as f64 / 1000.0)));
    measured.extend(peak_bytes().map(|bytes| ("PeakMemory", "Bytes", bytes as f64)));
    measured
}

/// As the system says, where it does.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
