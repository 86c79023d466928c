//! What was received in a window of time, and the percentiles over what should have been.
//!
//! Pure. One tally per group of connections and window, never per connection.
use super::packed::Packed;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Longest latency told apart, microseconds: an hour. More is counted as an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// Significant digits of a latency: errors under 0.1 %.
const DIGITS: u8 = 3;

/// Counts and latencies of one window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tally {
    /// Messages received.
    pub received: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Announced as lost by `gap` frames.
    pub lost: u64,
    /// Owed, and overdue when the window was closed.
    pub overdue: u64,
    /// Of those received: stamped later than they arrived, so that their latency is no such thing.
    pub early: u64,
    #[serde(with = "Packed::<LATENCY_MAX_US, DIGITS>")]
    latency_us: Histogram<u64>,
    sum_us: u64,
    outliers: Outliers,
}

impl Tally {
    /// An empty one that remembers this many of the highest and of the lowest latencies.
    ///
    /// # Panics
    /// Never: the bounds of the histogram are constants that it takes.
    pub fn new(outliers: usize) -> Self {
        let latency_us =
            Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS).expect("constant bounds");
        Self {
            received: 0,
            payload_bytes: 0,
            lost: 0,
            overdue: 0,
            early: 0,
            latency_us,
            sum_us: 0,
            outliers: Outliers::new(outliers),
        }
    }

    /// How many of the highest and of the lowest latencies it remembers.
    pub fn outliers(&self) -> usize {
        self.outliers.kept
    }

    /// One message came.
    #[inline]
    pub fn receive(&mut self, latency_us: u64, payload_bytes: usize) {
        self.received += 1;
        self.payload_bytes += payload_bytes as u64;
        self.sum_us += latency_us;
        self.latency_us.saturating_record(latency_us);
        self.outliers.see(latency_us);
    }

    /// Adds the counts of a later window to these: what is overdue at its end is what counts.
    pub fn add(&mut self, later: &Self) {
        self.merge(later);
        self.overdue = later.overdue;
    }

    /// Adds what others received in the same window.
    pub fn merge(&mut self, other: &Self) {
        self.received += other.received;
        self.payload_bytes += other.payload_bytes;
        self.lost += other.lost;
        self.overdue += other.overdue;
        self.early += other.early;
        self.sum_us += other.sum_us;
        let added = self.latency_us.add(&other.latency_us);
        debug_assert!(added.is_ok(), "equal bounds");
        self.outliers.add(&other.outliers);
    }

    /// The latencies of what came, microseconds.
    pub fn latencies_us(&self) -> &Histogram<u64> {
        &self.latency_us
    }

    /// Messages that came, were lost or are overdue.
    pub fn expected(&self) -> u64 {
        self.received + self.lost + self.overdue
    }

    /// Latency in milliseconds that this share of the *expected* messages did not exceed; what never came took for ever.
    /// `None`: nothing was expected.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let expected = self.expected();
        // Half a place before its end, a rank is not lifted to the next by a rounding.
        let rank = ((quantile * expected as f64).ceil() as u64).clamp(1, expected.max(1));
        match (expected, self.received) {
            (0, _) => None,
            (_, received) if rank > received => Some(f64::INFINITY),
            (_, received) => Some(
                self.latency_us
                    .value_at_quantile((rank as f64 - 0.5) / received as f64)
                    as f64
                    / 1000.0,
            ),
        }
    }

    /// The longest latency of what came, milliseconds.
    pub fn max_ms(&self) -> Option<f64> {
        (self.received > 0).then(|| self.latency_us.max() as f64 / 1000.0)
    }

    /// Mean latency of what came, milliseconds.
    pub fn mean_ms(&self) -> Option<f64> {
        (self.received > 0).then(|| self.sum_us as f64 / self.received as f64 / 1000.0)
    }

    /// Mean of the highest latencies, milliseconds.
    pub fn mean_high_ms(&self) -> Option<f64> {
        mean_ms(self.outliers.highest.iter().map(|Reverse(us)| *us))
    }

    /// Mean of the lowest latencies, milliseconds.
    pub fn mean_low_ms(&self) -> Option<f64> {
        mean_ms(self.outliers.lowest.iter().copied())
    }

    /// Mean bytes of a payload.
    pub fn mean_bytes(&self) -> Option<f64> {
        (self.received > 0).then(|| self.payload_bytes as f64 / self.received as f64)
    }
}

fn mean_ms(values: impl ExactSizeIterator<Item = u64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<u64>() as f64 / count as f64 / 1000.0)
}

/// The `kept` highest and lowest values. The two limits make the common case two comparisons.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outliers {
    kept: usize,
    highest: BinaryHeap<Reverse<u64>>,
    lowest: BinaryHeap<u64>,
    above: u64,
    below: u64,
}

impl Outliers {
    fn new(kept: usize) -> Self {
        let (highest, lowest) = (
            BinaryHeap::with_capacity(kept + 1),
            BinaryHeap::with_capacity(kept + 1),
        );
        Self {
            kept,
            highest,
            lowest,
            above: 0,
            below: u64::MAX,
        }
    }

    #[inline]
    fn see(&mut self, value: u64) {
        if value >= self.above {
            self.keep_high(value);
        }
        if value <= self.below {
            self.keep_low(value);
        }
    }

    fn keep_high(&mut self, value: u64) {
        self.highest.push(Reverse(value));
        if self.highest.len() > self.kept {
            self.highest.pop();
            self.above = self
                .highest
                .peek()
                .map_or(u64::MAX, |Reverse(least)| least + 1);
        }
    }

    fn keep_low(&mut self, value: u64) {
        self.lowest.push(value);
        if self.lowest.len() > self.kept {
            self.lowest.pop();
            self.below = self.lowest.peek().map_or(0, |most| most.saturating_sub(1));
        }
    }

    fn add(&mut self, other: &Self) {
        other
            .highest
            .iter()
            .for_each(|Reverse(value)| self.keep_high(*value));
        other.lowest.iter().for_each(|value| self.keep_low(*value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_expected_has_no_percentile() {
        let tally = Tally::new(10);
        assert_eq!(
            (
                tally.quantile_ms(0.5),
                tally.max_ms(),
                tally.mean_ms(),
                tally.mean_high_ms()
            ),
            (None, None, None, None)
        );
    }

    #[test]
    fn what_never_came_took_for_ever() {
        let mut tally = Tally::new(10);
        for _ in 0..98 {
            tally.receive(1000, 1);
        }
        (tally.lost, tally.overdue) = (1, 1);
        assert_eq!(tally.quantile_ms(0.98), Some(1.0));
        assert_eq!(tally.quantile_ms(0.99), Some(f64::INFINITY));
        assert_eq!(tally.max_ms(), Some(1.0));
    }

    #[test]
    fn all_lost_is_no_percentile_of_zero() {
        let mut tally = Tally::new(10);
        tally.lost = 3;
        assert_eq!(tally.quantile_ms(0.5), Some(f64::INFINITY));
    }

    proptest! {
        #[test]
        fn a_percentile_is_that_of_the_sorted_list_with_the_lost_at_its_end(
            mut came in proptest::collection::vec(1u64..1_000_000, 1..300), lost in 0u64..50, quantile in 0.01f64..1.0,
        ) {
            let mut tally = Tally::new(3);
            for us in &came {
                tally.receive(*us, 1);
            }
            tally.lost = lost;
            came.sort_unstable();
            let rank = (quantile * (came.len() as f64 + lost as f64)).ceil() as usize;
            let got = tally.quantile_ms(quantile).unwrap();
            match came.get(rank.max(1) - 1) {
                Some(us) => prop_assert!((got * 1000.0 - *us as f64).abs() <= *us as f64 * 0.001 + 1.0, "{got} ms, {us} us"),
                None => prop_assert!(got.is_infinite()),
            }
        }

        #[test]
        fn outliers_are_the_ends_of_the_sorted_list(mut values in proptest::collection::vec(0u64..1000, 1..200), kept in 1usize..12, cut in any::<proptest::sample::Index>()) {
            let cut = cut.index(values.len());
            let (mut first, mut second) = (Tally::new(kept), Tally::new(kept));
            values[..cut].iter().for_each(|us| first.receive(*us, 1));
            values[cut..].iter().for_each(|us| second.receive(*us, 1));
            first.add(&second);
            values.sort_unstable();
            let n = kept.min(values.len());
            let mean = |part: &[u64]| Some(part.iter().sum::<u64>() as f64 / part.len() as f64 / 1000.0);
            prop_assert_eq!(first.mean_low_ms(), mean(&values[..n]));
            prop_assert_eq!(first.mean_high_ms(), mean(&values[values.len() - n..]));
        }
    }
}
