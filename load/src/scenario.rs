//! What a ramp does when, decided before it begins.
//!
//! Pure: it is told the time and says what is due. Open loop: steps happen when they are due, not when the last one has come
//! to rest, and how late they were is the caller's to measure.
use crate::units::Rate;
use std::time::Duration;

/// A ramp as it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Connections added in a step.
    pub step: usize,
    /// Time from one step to the next; every such time has a line in the report.
    pub every: Duration,
    /// Connections at the end.
    pub max: usize,
    /// Time after the last step's own, with all of them.
    pub hold: Duration,
}

/// Something that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Connect so many more.
    Connect {
        /// How many.
        more: usize,
        /// How many that makes.
        clients: usize,
    },
    /// A line of the report ends here.
    Report {
        /// Connections asked for in it.
        clients: usize,
    },
    /// That was all.
    End,
}

/// A stretch of a line's length over this one is no line: the time for connects of a soak is mostly such a remainder.
const SHORT: u32 = 10;

/// A ramp under way.
#[derive(Debug, Clone)]
pub struct Ramp {
    plan: Plan,
    start_ns: u64,
    next: Option<(Due, Duration)>,
}

impl Plan {
    /// All connections at once, at their rate, and this long with all of them; so often a line.
    pub fn soak(connections: usize, rate: Rate, every: Duration, duration: Duration) -> Self {
        let connecting = Duration::try_from_secs_f64(connections as f64 / rate.0);
        let whole = connecting.unwrap_or(Duration::MAX).saturating_add(duration);
        Self {
            step: connections,
            every: every.min(whole),
            max: connections,
            hold: whole.saturating_sub(every),
        }
    }

    fn steps(&self) -> usize {
        self.max.div_ceil(self.step.max(1))
    }

    /// From the first step to the end.
    pub fn duration(&self) -> Duration {
        let steps = u32::try_from(self.steps()).unwrap_or(u32::MAX);
        self.every.saturating_mul(steps).saturating_add(self.hold)
    }

    fn clients_at(&self, step: usize) -> usize {
        (step + 1).saturating_mul(self.step.max(1)).min(self.max)
    }

    /// Where a line ends that begins here: a remainder that is too short to say anything is the end of the line before it.
    fn line_end(&self, at: Duration) -> Duration {
        let (end, whole) = (at + self.every, self.duration());
        if whole.saturating_sub(end) <= self.every / SHORT {
            whole
        } else {
            end
        }
    }

    /// What follows `due`, which was due at `at`.
    fn after(&self, due: Due, at: Duration) -> Option<(Due, Duration)> {
        match due {
            Due::Connect { clients, .. } => Some((Due::Report { clients }, self.line_end(at))),
            Due::Report { clients } if clients < self.max => {
                let more = self.step.max(1).min(self.max - clients);
                Some((
                    Due::Connect {
                        more,
                        clients: clients + more,
                    },
                    at,
                ))
            }
            Due::Report { clients } if at < self.duration() => {
                Some((Due::Report { clients }, self.line_end(at)))
            }
            Due::Report { .. } => Some((Due::End, at)),
            Due::End => None,
        }
    }
}

impl Ramp {
    /// Begins at this moment.
    pub fn new(plan: Plan, start_ns: u64) -> Self {
        let clients = plan.clients_at(0);
        Self {
            plan,
            start_ns,
            next: Some((
                Due::Connect {
                    more: clients,
                    clients,
                },
                Duration::ZERO,
            )),
        }
    }

    /// When something is due next, on the clock that [`Ramp::new`] was told.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.next
            .map(|(_, at)| self.start_ns.saturating_add(at.as_nanos() as u64))
    }

    /// Takes what is due now, and when it should have been.
    pub fn poll(&mut self, now_ns: u64) -> Option<(Due, u64)> {
        let at_ns = self.poll_timeout().filter(|at| *at <= now_ns)?;
        let (due, at) = self.next.take()?;
        self.next = self.plan.after(due, at);
        Some((due, at_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn plan(step: usize, every_s: u64, max: usize, hold_s: u64) -> Plan {
        Plan {
            step,
            every: Duration::from_secs(every_s),
            max,
            hold: Duration::from_secs(hold_s),
        }
    }

    fn all(plan: Plan) -> Vec<(Due, u64)> {
        let mut ramp = Ramp::new(plan, 0);
        std::iter::from_fn(|| ramp.poll(u64::MAX))
            .map(|(due, at)| (due, at / SECOND))
            .collect()
    }

    #[test]
    fn steps_are_followed_by_their_reports_and_the_hold_by_its_own() {
        let connect = |more, clients| Due::Connect { more, clients };
        let report = |clients| Due::Report { clients };
        assert_eq!(
            all(plan(100, 15, 250, 20)),
            [
                (connect(100, 100), 0),
                (report(100), 15),
                (connect(100, 200), 15),
                (report(200), 30),
                (connect(50, 250), 30),
                (report(250), 45),
                (report(250), 60),
                (report(250), 65),
                (Due::End, 65),
            ]
        );
    }

    #[test]
    fn without_a_hold_it_ends_with_the_last_step() {
        assert_eq!(all(plan(10, 2, 10, 0)).last(), Some(&(Due::End, 2)));
    }

    #[test]
    fn a_soak_lasts_from_the_last_connect_on_and_has_a_line_even_if_it_is_short() {
        let soak = |every| {
            Plan::soak(
                4000,
                Rate(1000.0),
                Duration::from_secs(every),
                Duration::from_secs(6),
            )
        };
        assert_eq!(soak(5).duration().as_secs(), 10);
        assert_eq!(soak(60).duration().as_secs(), 10);
        assert_eq!(all(soak(60)).len(), 3);
    }

    #[test]
    fn a_remainder_is_a_line_unless_it_is_too_short_to_say_anything() {
        let ends = |hold| {
            let reports = all(plan(1, 10, 1, hold)).into_iter();
            let ends =
                reports.filter_map(|(due, at)| matches!(due, Due::Report { .. }).then_some(at));
            ends.collect::<Vec<_>>()
        };
        assert_eq!(ends(12), [10, 20, 22]);
        assert_eq!(ends(11), [10, 21]);
        assert_eq!((ends(1), ends(0)), (vec![11], vec![10]));
    }

    #[test]
    fn nothing_is_due_early() {
        let mut ramp = Ramp::new(plan(1, 1, 2, 0), 5 * SECOND);
        assert_eq!(ramp.poll(5 * SECOND - 1), None);
        assert!(ramp.poll(5 * SECOND).is_some());
        assert_eq!(ramp.poll(6 * SECOND - 1), None);
        assert_eq!(ramp.poll_timeout(), Some(6 * SECOND));
    }

    proptest! {
        #[test]
        fn a_ramp_ends_with_all_its_clients_and_on_time_however_late_it_is_asked(
            step in 1usize..500, every in 1u64..20, max in 1usize..5000, hold in 0u64..60, late in 0u64..10,
        ) {
            let plan = plan(step, every, max, hold);
            let mut ramp = Ramp::new(plan, 0);
            let (mut clients, mut last, mut reports) = (0, 0, 0);
            while let Some(at) = ramp.poll_timeout() {
                let (due, due_at) = ramp.poll(at + late * SECOND).unwrap();
                prop_assert!(due_at >= last);
                last = due_at;
                match due {
                    Due::Connect { more, clients: then } => {
                        clients += more;
                        prop_assert_eq!(clients, then);
                    }
                    Due::Report { clients: then } => {
                        reports += 1;
                        prop_assert_eq!(clients, then);
                    }
                    Due::End => prop_assert_eq!(clients, max),
                }
            }
            prop_assert_eq!(last, plan.duration().as_nanos() as u64);
            let remainder = u64::from(hold % every * 10 > every);
            prop_assert_eq!(reports, plan.steps() + (hold / every + remainder) as usize);
        }
    }
}
