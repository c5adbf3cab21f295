//! [`Histogram`]: how often something took how long.

/// Upper ends in seconds, as Prometheus' clients have them, and further: freshness may be hours.
pub(super) const ENDS_S: [f64; 16] =
    [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0];

/// How often something took how long.
#[derive(Debug, Clone, Default)]
pub(super) struct Histogram {
    /// Those up to each end, and not up to the one before; the last: those above all.
    counts: [u64; ENDS_S.len() + 1],
    sum_s: f64,
}

impl Histogram {
    pub(super) fn add_ms(&mut self, ms: i64) {
        let seconds = ms.max(0) as f64 / 1000.0;
        let at = ENDS_S.iter().position(|end| seconds <= *end).unwrap_or(ENDS_S.len());
        self.counts[at] += 1;
        self.sum_s += seconds;
    }

    /// How many took no longer than each end, in its order.
    pub(super) fn up_to(&self) -> impl Iterator<Item = (f64, u64)> {
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        ENDS_S.into_iter().zip(sums)
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) const fn sum_s(&self) -> f64 {
        self.sum_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_counts_all_below() {
        let mut histogram = Histogram::default();
        for ms in [-5, 10, 11, 2_500, 100_000_000] {
            histogram.add_ms(ms);
        }
        let at = |end: f64| histogram.up_to().find(|(of, _)| *of == end).map(|(_, count)| count);
        assert_eq!([0.01, 0.05, 2.5, 14400.0].map(at), [Some(2), Some(3), Some(4), Some(4)]);
        assert_eq!((histogram.count(), histogram.sum_s()), (5, 100_002.521));
    }
}
