//! Percentiles of what the histograms hold.
//!
//! Owns reading a quantile off buckets, and which few buckets are shown. Must not contain: the buckets' bounds (the engine's
//! [`Histogram`] has them). Driven by `status` and the metrics page.

use pubsub_stream::{HISTOGRAM_BUCKETS, Histogram};

/// Shortest time shown as a bucket of its own, nanoseconds: no delivery is faster.
const SHOWN_MIN_NS: u64 = 32_000;
/// Longest time shown as a bucket of its own, nanoseconds: later is as good as never.
const SHOWN_MAX_NS: u64 = 35_000_000_000;

/// The upper bound, in nanoseconds, of the bucket that holds the `q`-th part of what was recorded (0 < q ≤ 1); `None` when nothing
/// was, `u64::MAX` when it is beyond the last bound. At most a quarter of an octave above the true value.
pub fn quantile_ns(histogram: &Histogram, q: f64) -> Option<u64> {
    quantile_by(&histogram.counts, q, Histogram::bound_ns)
}

fn quantile_by(counts: &[u64], q: f64, bound_ns: impl Fn(usize) -> u64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    let rank = ((total as f64 * q).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    counts
        .iter()
        .enumerate()
        .filter(|_| total > 0)
        .find_map(|(i, count)| {
            seen += count;
            (seen >= rank).then(|| bound_ns(i))
        })
}

/// The buckets shown to Prometheus: whole octaves. Each is (upper bound in nanoseconds, recorded up to it).
pub fn octaves(histogram: &Histogram) -> Vec<(u64, u64)> {
    octaves_by(&histogram.counts, Histogram::bound_ns)
}

fn octaves_by(counts: &[u64], bound_ns: impl Fn(usize) -> u64) -> Vec<(u64, u64)> {
    let shown = |bound: u64| {
        let whole = bound.is_multiple_of(1000) && (bound / 1000).is_power_of_two();
        whole && (SHOWN_MIN_NS..=SHOWN_MAX_NS).contains(&bound)
    };
    let mut seen = 0;
    let cumulative = counts
        .iter()
        .take(HISTOGRAM_BUCKETS - 1)
        .enumerate()
        .map(|(i, count)| {
            seen += count;
            (bound_ns(i), seen)
        });
    cumulative.filter(|(bound, _)| shown(*bound)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four steps per octave from a microsecond on.
    fn bound(i: usize) -> u64 {
        let octave = 1000 << (i / 4);
        if i == HISTOGRAM_BUCKETS - 1 {
            u64::MAX
        } else {
            octave + octave * (i as u64 % 4) / 4
        }
    }

    #[test]
    fn a_quantile_is_the_bound_of_the_bucket_it_falls_in() {
        let mut counts = [0; HISTOGRAM_BUCKETS];
        assert_eq!(quantile_by(&counts, 0.5, bound), None);
        (counts[0], counts[8], counts[104]) = (50, 49, 1);
        assert_eq!(quantile_by(&counts, 0.5, bound), Some(1000));
        assert_eq!(quantile_by(&counts, 0.51, bound), Some(4000));
        assert_eq!(quantile_by(&counts, 0.99, bound), Some(4000));
        assert_eq!(quantile_by(&counts, 1.0, bound), Some(u64::MAX));
        counts[8] = 0;
        counts[104] = 0;
        assert_eq!(quantile_by(&counts, 0.001, bound), Some(1000));
    }

    #[test]
    fn the_buckets_shown_are_cumulative_and_double() {
        let mut counts = [0; HISTOGRAM_BUCKETS];
        (counts[0], counts[20], counts[21], counts[104]) = (1, 2, 4, 8);
        let shown = octaves_by(&counts, bound);
        assert_eq!(shown[0], (32_000, 3));
        assert_eq!(shown[1], (64_000, 7));
        assert!(
            shown
                .windows(2)
                .all(|pair| pair[1].0 == 2 * pair[0].0 && pair[1].1 >= pair[0].1)
        );
        assert!((10..=25).contains(&shown.len()), "{}", shown.len());
    }
}
