//! What should happen when, at an even rate, decided beforehand.
//!
//! Pure: it is told the time. Open loop: being late never moves what comes later, so whoever follows a schedule can say how
//! late it was.

/// Events at an even rate from a beginning on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    start_ns: u64,
    per_s: f64,
    done: u64,
}

impl Schedule {
    /// `per_s` events a second, the first at `start_ns`. A rate that is not positive has no events.
    pub fn new(start_ns: u64, per_s: f64) -> Self {
        Self {
            start_ns,
            per_s,
            done: 0,
        }
    }

    /// When event number `n`, counted from 0, is due.
    pub fn due_at(&self, n: u64) -> u64 {
        if self.per_s > 0.0 {
            self.start_ns
                .saturating_add((n as f64 * 1e9 / self.per_s) as u64)
        } else {
            u64::MAX
        }
    }

    /// The next event's number and when it is due.
    pub fn next(&self) -> (u64, u64) {
        (self.done, self.due_at(self.done))
    }

    /// Takes the next event if it is due: its number and when it should have been.
    pub fn poll(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let next = self.next();
        (next.1 <= now_ns).then(|| {
            self.done += 1;
            next
        })
    }

    /// Events taken so far.
    pub fn done(&self) -> u64 {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_rate_has_no_events() {
        assert_eq!(Schedule::new(0, 0.0).poll(u64::MAX - 1), None);
    }

    proptest! {
        #[test]
        fn after_any_delays_as_many_have_happened_as_should_have(
            per_s in 0.5f64..200_000.0, delays in proptest::collection::vec(0u64..50_000_000, 1..40),
        ) {
            let mut schedule = Schedule::new(7, per_s);
            let mut now = 7;
            for delay in delays {
                now += delay;
                while let Some((_, at)) = schedule.poll(now) {
                    prop_assert!(at <= now);
                }
                let expected = ((now - 7) as f64 * per_s / 1e9) as u64 + 1;
                prop_assert!(schedule.done().abs_diff(expected) <= 1, "{} of {expected}", schedule.done());
            }
        }
    }
}
