//! How old the newest value was that a group of connections held.
//!
//! Pure. A value is as old as its stamp. Its age is looked at where it was greatest, when the next one comes, and weighs as much as
//! the time it was held: a connection that reads nothing for seconds and then a hundred messages in one go has been stale for
//! seconds, not for a hundredth of its messages.
use super::packed::Packed;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest age told apart, microseconds: an hour.
const AGE_MAX_US: u64 = 3_600_000_000;

/// Significant digits of an age.
const DIGITS: u8 = 2;

/// Ages of the newest values held.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Staleness {
    #[serde(with = "Packed::<AGE_MAX_US, DIGITS>")]
    during_us: Histogram<u64>,
    #[serde(with = "Packed::<AGE_MAX_US, DIGITS>")]
    at_end_us: Histogram<u64>,
}

/// The newest value that one connection holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Its stamp, microseconds since the Unix epoch; 0: it holds none.
    pub ts_us: u64,
    /// When it, or the last one before it, came.
    pub since_us: u64,
}

impl Default for Staleness {
    fn default() -> Self {
        let ages = || Histogram::new_with_bounds(1, AGE_MAX_US, DIGITS).expect("constant bounds");
        Self {
            during_us: ages(),
            at_end_us: ages(),
        }
    }
}

impl Staleness {
    /// A newer value came now.
    #[inline]
    pub fn replaced(&mut self, held: Held, now_us: u64) {
        if held.ts_us > 0 {
            let weight = now_us.saturating_sub(held.since_us).max(1);
            let age = now_us.saturating_sub(held.ts_us);
            self.during_us.saturating_record_n(age, weight);
        }
    }

    /// The run ends now, and this is what a connection holds.
    pub fn ended(&mut self, held: Held, now_us: u64) {
        self.replaced(held, now_us);
        if held.ts_us > 0 {
            self.at_end_us
                .saturating_record(now_us.saturating_sub(held.ts_us));
        }
    }

    /// Adds what other connections held.
    pub fn merge(&mut self, other: &Self) {
        for (own, others) in [
            (&mut self.during_us, &other.during_us),
            (&mut self.at_end_us, &other.at_end_us),
        ] {
            let added = own.add(others);
            debug_assert!(added.is_ok(), "equal bounds");
        }
    }

    /// Age in milliseconds that was not exceeded for this share of the time; `None`: nothing was held.
    pub fn during_ms(&self, quantile: f64) -> Option<f64> {
        quantile_ms(&self.during_us, quantile)
    }

    /// Age in milliseconds at the end that this share of the connections did not exceed; `None`: nothing was held.
    pub fn at_end_ms(&self, quantile: f64) -> Option<f64> {
        quantile_ms(&self.at_end_us, quantile)
    }
}

fn quantile_ms(us: &Histogram<u64>, quantile: f64) -> Option<f64> {
    (!us.is_empty()).then(|| us.value_at_quantile(quantile) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ts_us: u64, since_us: u64) -> Held {
        Held { ts_us, since_us }
    }

    fn about(ms: Option<f64>, expected: f64) -> bool {
        ms.is_some_and(|ms| (ms - expected).abs() <= expected * 0.02)
    }

    #[test]
    fn who_holds_nothing_is_not_stale() {
        let mut staleness = Staleness::default();
        staleness.replaced(Held::default(), 5_000_000);
        staleness.ended(Held::default(), 5_000_000);
        assert_eq!(
            (staleness.during_ms(0.5), staleness.at_end_ms(0.5)),
            (None, None)
        );
    }

    #[test]
    fn an_age_weighs_what_it_was_held() {
        let mut staleness = Staleness::default();
        for n in 0..100 {
            staleness.replaced(
                held(1_000_000 + n * 1000, 1_001_000 + n * 1000),
                1_002_000 + n * 1000,
            );
        }
        assert!(about(staleness.during_ms(0.99), 2.0));
        staleness.replaced(held(1_000_000, 2_000_000), 5_000_000);
        assert!(
            about(staleness.during_ms(0.5), 4000.0),
            "{:?}",
            staleness.during_ms(0.5)
        );
    }

    #[test]
    fn what_is_held_at_the_end_counts_though_nothing_replaces_it() {
        let mut staleness = Staleness::default();
        staleness.ended(held(1_000_000, 1_000_000), 4_000_000);
        staleness.ended(held(3_000_000, 3_000_000), 4_000_000);
        assert!(about(staleness.at_end_ms(1.0), 3000.0) && about(staleness.at_end_ms(0.5), 1000.0));
        assert!(about(staleness.during_ms(0.99), 3000.0));
    }
}
