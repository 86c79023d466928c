//! What one engine counts.
//!
//! Plain numbers: the driver copies them to wherever they are shared. Counters rise only; gauges say what is now.

use pubsub_wire::ErrorCode;

use crate::config::Now;
use crate::subscription::Lost;

/// Buckets of a [`Histogram`]: one below a microsecond, then four an octave up to about 67 seconds; the last takes all above.
pub const HISTOGRAM_BUCKETS: usize = 105;

/// A log-linear histogram of nanoseconds with a relative error of at most a quarter.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// Records in each bucket.
    pub counts: [u64; HISTOGRAM_BUCKETS],
    /// Sum of all that was recorded, nanoseconds.
    pub sum_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; HISTOGRAM_BUCKETS],
            sum_ns: 0,
        }
    }
}

impl Histogram {
    /// Upper bound of bucket `index`, nanoseconds; `u64::MAX` for the last.
    pub const fn bound_ns(index: usize) -> u64 {
        if index == 0 {
            return 1000;
        }
        if index >= HISTOGRAM_BUCKETS - 1 {
            return u64::MAX;
        }
        let octave = (index as u64 - 1) / 4;
        let quarter = (index as u64 - 1) % 4;
        (1 << octave) * (5 + quarter) * 250
    }

    /// Records one duration.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.record_many(ns, 1);
    }

    /// Records a duration that `count` things took together.
    #[inline]
    pub fn record_many(&mut self, ns: u64, count: u32) {
        self.counts[Self::bucket(ns)] += u64::from(count);
        self.sum_ns = self.sum_ns.wrapping_add(ns.wrapping_mul(u64::from(count)));
    }

    /// The bucket a duration falls into: the first whose bound is above it.
    #[inline]
    pub fn bucket(ns: u64) -> usize {
        let quarters = ns / 250;
        if quarters < 4 {
            return 0;
        }
        let octave = quarters.ilog2() - 2;
        let quarter = (quarters >> octave) & 3;
        ((1 + octave * 4) as usize + quarter as usize).min(HISTOGRAM_BUCKETS - 1)
    }

    /// How many durations were recorded.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// How calls of one method ended: with a result, and with each error, in the order of [`ErrorCode::ALL`].
pub type Outcomes = [u64; 1 + ErrorCode::ALL.len()];

/// What an engine has counted since it was made.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Stats {
    // Gauges.
    pub sessions: u64,
    pub subscriptions: u64,
    pub behind: u64,
    pub replaying: u64,
    pub ring_bytes: u64,
    pub views: u64,
    // Counters.
    pub sessions_total: u64,
    pub commands: u64,
    /// Publications handed to the hub.
    pub published: u64,
    pub delivered: u64,
    pub delivered_bytes: u64,
    pub conflated: u64,
    /// Left out by rates, once for each subscription that shares the rate.
    pub filtered: u64,
    pub lost_drop_oldest: u64,
    pub lost_drop_newest: u64,
    pub lost_expired: u64,
    pub lost_memory: u64,
    pub lost_retention: u64,
    pub gaps_epoch: u64,
    /// Refused commands by cause.
    pub rejected_rate: u64,
    pub rejected_forbidden: u64,
    pub rejected_bad: u64,
    pub rejected_limit: u64,
    pub rejected_unavailable: u64,
    /// Sessions closed by this side, by cause.
    pub closed_slow: u64,
    pub closed_heartbeat: u64,
    pub closed_control: u64,
    pub closed_policy: u64,
    pub closed_protocol: u64,
    /// From numbered to handed to the kernel.
    pub delivery: Histogram,
    /// Calls by method, in the order of [`Config::methods`](crate::Config::methods); the last are all others.
    pub calls: Vec<Outcomes>,
    /// From a call received to its answer made.
    pub call: Histogram,
}

impl Stats {
    /// Takes losses in.
    pub(crate) fn add_lost(&mut self, lost: &Lost) {
        self.lost_drop_oldest += lost.drop_oldest;
        self.lost_drop_newest += lost.drop_newest;
        self.lost_expired += lost.expired;
        self.lost_memory += lost.memory;
        self.lost_retention += lost.retention;
    }

    /// A call has ended: `None`, with a result.
    pub(crate) fn count_call(&mut self, method: usize, error: Option<ErrorCode>) {
        let place = |code| ErrorCode::ALL.iter().position(|c| *c == code);
        let outcome = error.and_then(place).map_or(0, |place| place + 1);
        if let Some(outcomes) = self.calls.get_mut(method) {
            outcomes[outcome] += 1;
        }
    }

    /// A frame of `bytes` with `count` messages is with the kernel, of which the first was numbered at `mono_ns`.
    #[inline]
    pub(crate) fn count_delivered(&mut self, now: Now, mono_ns: u64, count: u32, bytes: usize) {
        self.delivered += u64::from(count);
        self.delivered_bytes += bytes as u64;
        let ns = now.mono_ns.saturating_sub(mono_ns);
        self.delivery.record_many(ns, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_counts_in_its_bucket_and_in_the_sum() {
        let mut histogram = Histogram::default();
        histogram.record(5_000);
        histogram.record_many(7_000_000, 3);
        assert_eq!(histogram.total(), 4);
        assert_eq!(histogram.sum_ns, 5_000 + 3 * 7_000_000);
        assert_eq!(histogram.counts[Histogram::bucket(5_000)], 1);
        assert_eq!(histogram.counts[Histogram::bucket(7_000_000)], 3);
    }

    #[test]
    fn what_is_lost_and_delivered_adds_up() {
        let mut stats = Stats::default();
        let lost = Lost {
            drop_oldest: 2,
            drop_newest: 3,
            memory: 4,
            expired: 5,
            retention: 6,
            filtered: 7,
        };
        let now = Now {
            mono_ns: 9_000,
            wall_us: 0,
        };
        for _ in 0..2 {
            stats.add_lost(&lost);
            stats.count_delivered(now, 4_000, 3, 100);
        }
        let counted = [
            stats.lost_drop_oldest,
            stats.lost_drop_newest,
            stats.lost_memory,
            stats.lost_expired,
            stats.lost_retention,
        ];
        assert_eq!(counted, [4, 6, 8, 10, 12]);
        assert_eq!((stats.delivered, stats.delivered_bytes), (6, 200));
        assert_eq!(stats.delivery.counts[Histogram::bucket(5_000)], 6);
    }

    #[test]
    fn a_duration_lies_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
        for exponent in 0..38 {
            for ns in [
                1u64 << exponent,
                (1 << exponent) + 1,
                (3 << exponent) / 2,
                (1 << exponent) * 250,
            ] {
                let bucket = Histogram::bucket(ns);
                assert!(ns < Histogram::bound_ns(bucket), "{ns} in {bucket}");
                assert!(
                    bucket == 0 || ns >= Histogram::bound_ns(bucket - 1),
                    "{ns} in {bucket}"
                );
            }
        }
    }

    #[test]
    fn whatever_is_too_long_falls_into_the_last_bucket() {
        assert_eq!(Histogram::bucket(u64::MAX), HISTOGRAM_BUCKETS - 1);
    }
}
