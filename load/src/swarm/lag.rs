//! How long the generator itself kept a message waiting, so that its own slowness is not taken for the server's.
//!
//! Pure. A turn of the loop is blind to what arrives meanwhile. A message comes at any moment with equal probability, so a turn
//! of `n` microseconds counts `n` times, and time spent waiting counts as no lag at all: the p99 is what 99 % of the
//! messages did not exceed, however they were spread over turns.
use super::packed::Packed;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest turn told apart: a minute.
const TURN_MAX_US: u64 = 60_000_000;

/// Significant digits of a turn.
const DIGITS: u8 = 2;

/// Time-weighted lengths of the loop's turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoopLag {
    #[serde(with = "Packed::<TURN_MAX_US, DIGITS>")]
    turns_us: Histogram<u64>,
}

impl Default for LoopLag {
    fn default() -> Self {
        Self {
            turns_us: Histogram::new_with_bounds(1, TURN_MAX_US, DIGITS).expect("constant bounds"),
        }
    }
}

impl LoopLag {
    /// The loop worked for this long without looking.
    #[inline]
    pub fn worked(&mut self, ns: u64) {
        let us = ns / 1000;
        self.turns_us.saturating_record_n(us, us);
    }

    /// The loop waited for this long, ready for whatever came.
    #[inline]
    pub fn waited(&mut self, ns: u64) {
        self.turns_us.saturating_record_n(0, ns / 1000);
    }

    /// Adds another window's turns.
    pub fn add(&mut self, other: &Self) {
        let added = self.turns_us.add(&other.turns_us);
        debug_assert!(added.is_ok(), "equal bounds");
    }

    /// What this share of messages did not wait longer than, milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.turns_us.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// The longest turn, milliseconds.
    pub fn max_ms(&self) -> f64 {
        if self.turns_us.is_empty() {
            0.0
        } else {
            self.turns_us.max() as f64 / 1000.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_waits_has_no_lag() {
        let mut lag = LoopLag::default();
        lag.waited(999_000_000);
        lag.worked(1_000_000);
        assert!(lag.quantile_ms(0.99) < 0.001);
        assert!((lag.max_ms() - 1.0).abs() < 0.02);
    }

    #[test]
    fn one_long_turn_among_many_short_ones_weighs_what_it_lasts() {
        let mut lag = LoopLag::default();
        (0..1000).for_each(|_| lag.worked(100_000));
        lag.worked(100_000_000);
        assert!((lag.quantile_ms(0.40) - 0.1).abs() < 0.01);
        assert!(lag.quantile_ms(0.60) > 90.0);
    }
}
