//! [`Syncs`]: how it goes with Glue, table by table. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::exposition::{Exposition, Sample};

/// How it goes with Glue.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    tables: BTreeMap<Arc<str>, Synced>,
}

#[derive(Debug, Default)]
struct Synced {
    syncs: u64,
    failures: u64,
    /// Since when they fail, and why the last did.
    failing: Option<(i64, String)>,
}

impl Syncs {
    pub(super) fn succeeded(&mut self, table: &Arc<str>) {
        let of = self.tables.entry(Arc::clone(table)).or_default();
        of.syncs += 1;
        of.failing = None;
    }

    pub(super) fn failed(&mut self, table: &Arc<str>, reason: &str, now_ms: i64) {
        let of = self.tables.entry(Arc::clone(table)).or_default();
        of.failures += 1;
        let since_ms = of.failing.as_ref().map_or(now_ms, |(since_ms, _)| *since_ms);
        of.failing = Some((since_ms, reason.to_owned()));
    }

    /// Tables whose syncs fail for longer than this.
    pub(super) fn complaints(&self, longest_ms: i64, now_ms: i64) -> Vec<String> {
        let complaint = |(table, of): (&Arc<str>, &Synced)| {
            let (since_ms, reason) = of.failing.as_ref()?;
            let failing_ms = now_ms - since_ms;
            let told = || format!("{table} has not been synced to Glue for {} s: {reason}", failing_ms / 1000);
            (failing_ms > longest_ms).then(told)
        };
        self.tables.iter().filter_map(complaint).collect()
    }

    pub(super) fn expose(&self, of: &mut Exposition, now_ms: i64) {
        let labels: Vec<_> = self.tables.keys().map(|table| [("table", &**table)]).collect();
        let samples = || labels.iter().zip(self.tables.values()).map(|(labels, table)| (&labels[..], table));
        let counted = |count: fn(&Synced) -> u64| {
            samples().map(move |(labels, table)| -> Sample<'_, u64> { (labels, count(table)) })
        };
        of.counter(
            "cdc_glue_syncs_total",
            "Times that Glue was made to say what the table says.",
            counted(|of| of.syncs),
        );
        of.counter("cdc_glue_sync_failures_total", "Times that it could not be.", counted(|of| of.failures));
        let failing =
            |of: &Synced| of.failing.as_ref().map_or(0.0, |(since_ms, _)| (now_ms - since_ms) as f64 / 1000.0);
        let failing = samples().map(|(labels, table)| (labels, failing(table)));
        of.gauge("cdc_glue_failing_seconds", "For how long they have failed.", failing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_glue_does_not_have_is_told_of_after_a_while() {
        let (mut syncs, table) = (Syncs::default(), Arc::<str>::from("t"));
        syncs.failed(&table, "denied", 1_000);
        syncs.failed(&table, "denied again", 9_000);
        assert_eq!(syncs.complaints(10_000, 11_000), [""; 0]);
        assert_eq!(syncs.complaints(10_000, 12_000), ["t has not been synced to Glue for 11 s: denied again"]);
        let mut told = Exposition::default();
        syncs.expose(&mut told, 12_000);
        let text = told.into_text();
        for line in ["cdc_glue_sync_failures_total{table=\"t\"} 2", "cdc_glue_failing_seconds{table=\"t\"} 11"] {
            assert!(text.contains(line), "{text}");
        }
        syncs.succeeded(&table);
        assert_eq!(syncs.complaints(10_000, 99_000), [""; 0]);
    }
}
