//! How long to wait before the next attempt, pure: exponential, with full jitter. The seed is an argument.
use std::time::Duration;

/// Doubles the longest wait at each failure; what is waited is drawn evenly from nothing to that, so that many clients that
/// lost one server don't return together.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    random: fastrand::Rng,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self {
            min: min.min(max),
            max,
            failures: 0,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The wait after one more failure.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let longest = self.longest();
        self.failures = self.failures.saturating_add(1);
        self.draw(longest)
    }

    /// The wait where it is known to take long, as after many failures.
    pub(crate) fn long_wait(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.draw(self.max)
    }

    /// A connection has lasted.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    fn longest(&self) -> Duration {
        let times = 2_u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        self.min.saturating_mul(times).min(self.max)
    }

    fn draw(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.u64(0..=nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_waits_no_longer_than_doubling_says_and_never_longer_than_its_maximum(
            min in 0..10_000_u64, max in 0..1_000_000_u64, seed: u64, failures in 0..100_u32
        ) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
            let mut backoff = Backoff::new(min, max, seed);
            for failure in 0..failures {
                let longest = min.saturating_mul(2_u32.saturating_pow(failure)).min(max);
                prop_assert!(backoff.next_wait() <= longest);
            }
            backoff.reset();
            prop_assert!(backoff.next_wait() <= min);
        }
    }

    #[test]
    fn jitter_is_full_and_a_seed_repeats_it() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(64));
        let waits = |seed| {
            let mut backoff = Backoff::new(min, max, seed);
            let _: Duration = (0..7).map(|_| backoff.next_wait()).sum();
            (0..1000)
                .map(|_| backoff.next_wait())
                .collect::<Vec<Duration>>()
        };
        let drawn = waits(7);
        assert_eq!(drawn, waits(7));
        assert_ne!(drawn, waits(8));
        for quarter in 0..4 {
            let within = max / 4 * quarter..=max / 4 * (quarter + 1);
            let count = drawn.iter().filter(|wait| within.contains(wait)).count();
            assert!((200..=300).contains(&count), "{count} in {within:?}");
        }
    }

    #[test]
    fn where_it_takes_long_the_first_wait_is_drawn_from_the_whole() {
        let (min, max) = (Duration::from_millis(1), Duration::from_secs(64));
        let longest = (0..100)
            .map(|seed| Backoff::new(min, max, seed).long_wait())
            .max();
        assert!(longest > Some(max / 2));
    }
}
