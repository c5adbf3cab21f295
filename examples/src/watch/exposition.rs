//! [`Exposition`]: numbers in Prometheus' text form, version 0.0.4.

use std::fmt::{Display, Write};

use super::histogram::Histogram;

/// Numbers in Prometheus' text form.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// One number's labels and value.
pub(super) type Sample<'a, V> = (&'a [(&'a str, &'a str)], V);

impl Exposition {
    pub(super) fn counter<'a, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'a, V>>,
    ) {
        self.family(name, help, "counter", samples);
    }

    pub(super) fn gauge<'a, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'a, V>>,
    ) {
        self.family(name, help, "gauge", samples);
    }

    fn family<'a, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        samples: impl IntoIterator<Item = Sample<'a, V>>,
    ) {
        self.head(name, help, kind);
        for (labels, value) in samples {
            self.sample(name, labels, None, value);
        }
    }

    pub(super) fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        histograms: impl IntoIterator<Item = Sample<'a, &'a Histogram>>,
    ) {
        self.head(name, help, "histogram");
        for (labels, histogram) in histograms {
            let bucket = format!("{name}_bucket");
            for (end, count) in histogram.up_to() {
                self.sample(&bucket, labels, Some(&end.to_string()), count);
            }
            self.sample(&bucket, labels, Some("+Inf"), histogram.count());
            self.sample(&format!("{name}_sum"), labels, None, histogram.sum_s());
            self.sample(&format!("{name}_count"), labels, None, histogram.count());
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], end: Option<&str>, value: impl Display) {
        self.0.push_str(name);
        let labels = labels.iter().copied().chain(end.map(|end| ("le", end)));
        let mut open = '{';
        for (label, value) in labels {
            let _ = write!(self.0, "{open}{label}=\"{}\"", escaped(value));
            open = ',';
        }
        if open == ',' {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_with_their_labels_under_what_they_mean() {
        let mut exposition = Exposition::default();
        exposition.counter("rows_total", "Rows.", [(&[("table", "a\"b\\c")][..], 3), (&[], 4)]);
        exposition.gauge("lag", "Behind.", [(&[("topic", "t"), ("partition", "0")][..], 1.5)]);
        let expected = "# HELP rows_total Rows.\n# TYPE rows_total counter\nrows_total{table=\"a\\\"b\\\\c\"} 3\n\
                        rows_total 4\n# HELP lag Behind.\n# TYPE lag gauge\nlag{topic=\"t\",partition=\"0\"} 1.5\n";
        assert_eq!(exposition.into_text(), expected);
    }

    #[test]
    fn a_histogram_ends_with_its_sum_and_count() {
        let mut histogram = Histogram::default();
        histogram.add_ms(40);
        let mut exposition = Exposition::default();
        exposition.histograms("took", "How long.", [(&[("stage", "plan")][..], &histogram)]);
        let text = exposition.into_text();
        assert!(
            text.contains("took_bucket{stage=\"plan\",le=\"0.01\"} 0\ntook_bucket{stage=\"plan\",le=\"0.05\"} 1\n")
        );
        let end =
            "took_bucket{stage=\"plan\",le=\"+Inf\"} 1\ntook_sum{stage=\"plan\"} 0.04\ntook_count{stage=\"plan\"} 1\n";
        assert!(text.ends_with(end), "{text}");
    }
}
