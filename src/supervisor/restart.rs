//! When a process that died is started again.
//!
//! Owns the policy. Must not contain: processes, a clock, or what else happens at a death (`tree`). Driven by `tree`, one
//! [`Restarts`] per place.
//!
//! Laws: the first crash after a healthy life costs no time; each further one waits longer, up to a longest delay; after too many
//! within a window the place is parked and tried only now and then; a life as long as the window makes everything forgotten.

use std::collections::VecDeque;

const MS: u64 = 1_000_000;

/// How patient a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Delay of the second crash within the window; each further one doubles it.
    pub first_delay_ns: u64,
    /// No delay is longer.
    pub longest_delay_ns: u64,
    /// Crashes older than this don't count; a life this long is a healthy one.
    pub window_ns: u64,
    /// So many crashes within the window park the place.
    pub crashes_to_park: usize,
    /// Pause between two tries of a parked place.
    pub parked_retry_ns: u64,
}

impl Policy {
    /// A worker: nine tries within some twenty seconds, then one a minute. The other workers serve meanwhile.
    pub const WORKER: Self = Self {
        first_delay_ns: 100 * MS,
        longest_delay_ns: 5_000 * MS,
        window_ns: 60_000 * MS,
        crashes_to_park: 10,
        parked_retry_ns: 60_000 * MS,
    };
    /// Hub and admin, of which there is one each: never long away, since nobody else does their work.
    pub const ONLY_ONE: Self = Self {
        longest_delay_ns: 2_000 * MS,
        parked_retry_ns: 5_000 * MS,
        ..Self::WORKER
    };
}

/// What to do about a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Start it at this time.
    At(u64),
    /// It is parked; try once more at this time.
    Parked(u64),
}

/// The crashes of one place.
#[derive(Debug, Clone)]
pub struct Restarts {
    policy: Policy,
    /// Times of crashes within the window; never more than park the place.
    crashes: VecDeque<u64>,
    parked: bool,
}

impl Restarts {
    /// A place that has seen no crash.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            crashes: VecDeque::new(),
            parked: false,
        }
    }

    /// A process died unasked after it had lived for `lived_ns`.
    pub fn handle_crash(&mut self, now: u64, lived_ns: u64) -> Again {
        if lived_ns >= self.policy.window_ns {
            self.crashes.clear();
            self.parked = false;
        }
        let policy = self.policy;
        self.crashes
            .retain(|at| now.saturating_sub(*at) < policy.window_ns);
        self.crashes.push_back(now);
        self.parked |= self.crashes.len() >= policy.crashes_to_park;
        if self.parked {
            self.crashes.clear();
            return Again::Parked(now + policy.parked_retry_ns);
        }
        Again::At(now + self.delay())
    }

    /// Nothing for the first crash, then doubling.
    fn delay(&self) -> u64 {
        match self.crashes.len() {
            0 | 1 => 0,
            crashes => {
                // Past 32 doublings every delay is the longest.
                let doublings = (crashes - 2).min(32) as u32;
                self.policy
                    .first_delay_ns
                    .saturating_mul(1 << doublings)
                    .min(self.policy.longest_delay_ns)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1000 * MS;
    const POLICY: Policy = Policy::WORKER;

    /// Crashes of processes that die as soon as they are started, until the place is parked.
    fn crash_until_parked(restarts: &mut Restarts, mut now: u64) -> (Vec<u64>, u64) {
        let mut delays = Vec::new();
        loop {
            match restarts.handle_crash(now, 0) {
                Again::At(at) => {
                    delays.push((at - now) / MS);
                    now = at;
                }
                Again::Parked(at) => return (delays, at),
            }
        }
    }

    #[test]
    fn the_first_crash_costs_no_time_and_later_ones_more_and_more() {
        let (delays, _) = crash_until_parked(&mut Restarts::new(POLICY), 7 * S);
        assert_eq!(delays, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }

    #[test]
    fn a_parked_place_stays_parked_until_a_process_lives_through_a_window() {
        let mut restarts = Restarts::new(POLICY);
        let (_, retry) = crash_until_parked(&mut restarts, 0);
        assert_eq!(
            restarts.handle_crash(retry, S),
            Again::Parked(retry + 60 * S)
        );
        assert_eq!(
            restarts.handle_crash(retry + 600 * S, 59 * S),
            Again::Parked(retry + 660 * S)
        );
        assert_eq!(
            restarts.handle_crash(retry + 900 * S, 60 * S),
            Again::At(retry + 900 * S)
        );
    }

    #[test]
    fn crashes_that_are_far_apart_cost_no_time() {
        let mut restarts = Restarts::new(POLICY);
        for n in 1..100 {
            assert_eq!(
                restarts.handle_crash(n * 60 * S, 50 * S),
                Again::At(n * 60 * S)
            );
        }
    }

    proptest! {
        #[test]
        fn no_delay_is_longer_than_the_longest_and_no_memory_grows(lives in prop::collection::vec(0..70 * S, 1..200)) {
            let (mut restarts, mut now) = (Restarts::new(POLICY), 0);
            for lived in lives {
                now += lived;
                let (at, most) = match restarts.handle_crash(now, lived) {
                    Again::At(at) => (at, POLICY.longest_delay_ns),
                    Again::Parked(at) => (at, POLICY.parked_retry_ns),
                };
                prop_assert!(at >= now && at - now <= most);
                prop_assert!(restarts.crashes.len() < POLICY.crashes_to_park);
                now = at;
            }
        }
    }
}
