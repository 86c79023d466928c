//! The circuit breaker of calls, pure: whether a call is worth asking now. `now` is an argument.
//!
//! Laws: while it is open nothing passes; when its time is over one call passes alone, and what becomes of that decides;
//! an answer of any kind closes it, since who says no is there.
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// When calls that would not be answered are no longer tried.
///
/// After `failures` calls in a row that nobody answered ([`CallError::is_unanswered`](crate::CallError::is_unanswered)), further ones fail at
/// once with [`CallError::Open`](crate::CallError::Open) for `open_for`. Then one is let through: answered, all are; unanswered, the time
/// doubles, up to `open_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it acts once it is given to the builder"]
pub struct Breaker {
    failures: Option<NonZeroU32>,
    open_for: Duration,
    open_max: Duration,
}

impl Default for Breaker {
    /// Five in a row; one second, doubling up to 30.
    fn default() -> Self {
        Self {
            failures: NonZeroU32::new(5),
            open_for: Duration::from_secs(1),
            open_max: Duration::from_secs(30),
        }
    }
}

impl Breaker {
    /// Every call is tried.
    pub fn off() -> Self {
        Self {
            failures: None,
            ..Self::default()
        }
    }

    /// How many unanswered calls in a row open it; 5 unless told.
    pub fn failures(mut self, failures: NonZeroU32) -> Self {
        self.failures = Some(failures);
        self
    }

    /// How long it is open at first; 1 s unless told.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.open_for = time;
        self
    }

    /// The longest time it is open; 30 s unless told.
    pub fn open_max(mut self, time: Duration) -> Self {
        self.open_max = time;
        self
    }
}

/// What became of a call that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Somebody was there, whatever they said.
    Answered,
    Unanswered,
    /// The program gave it up: nothing is learnt.
    Abandoned,
}

/// Permission for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Ordinary,
    /// The one call that finds out whether it can be closed again.
    Trial,
}

/// A longer time is for ever.
const OPEN_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// How it stands.
#[derive(Debug)]
pub(crate) struct Circuit {
    settings: Breaker,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, time: Duration },
    Trying { time: Duration },
}

impl Circuit {
    pub(crate) fn new(settings: Breaker) -> Self {
        let state = State::Closed { failures: 0 };
        Self { settings, state }
    }

    /// Lets a call through, or says when one may be.
    pub(crate) fn try_pass(&mut self, now: Instant) -> Result<Pass, Duration> {
        match self.state {
            State::Closed { .. } => Ok(Pass::Ordinary),
            State::Open { until, time } if now >= until => {
                self.state = State::Trying { time };
                Ok(Pass::Trial)
            }
            State::Open { until, .. } => Err(until - now),
            // The trial ends within its own time limit; when is not known here.
            State::Trying { time } => Err(time),
        }
    }

    /// Takes what became of a call. Ordinary ones that end after it has opened change nothing.
    pub(crate) fn handle_outcome(&mut self, now: Instant, pass: Pass, outcome: Outcome) {
        match (self.state, pass, outcome) {
            (State::Closed { failures }, _, Outcome::Unanswered) => {
                self.on_failure(now, failures.saturating_add(1));
            }
            (State::Closed { .. }, _, Outcome::Answered)
            | (State::Trying { .. }, Pass::Trial, Outcome::Answered) => {
                self.state = State::Closed { failures: 0 };
            }
            (State::Trying { time }, Pass::Trial, Outcome::Unanswered) => {
                let time = time.saturating_mul(2).min(self.settings.open_max);
                self.open(now, time);
            }
            // The next one tries in its place.
            (State::Trying { time }, Pass::Trial, Outcome::Abandoned) => {
                self.state = State::Open { until: now, time };
            }
            _ => {}
        }
    }

    fn on_failure(&mut self, now: Instant, failures: u32) {
        match self.settings.failures {
            Some(limit) if failures >= limit.get() => {
                self.open(now, self.settings.open_for.min(self.settings.open_max));
            }
            _ => self.state = State::Closed { failures },
        }
    }

    fn open(&mut self, now: Instant, time: Duration) {
        let time = time.min(OPEN_MAX);
        let until = now + time;
        self.state = State::Open { until, time };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Breaker {
        let failures = NonZeroU32::new(3).unwrap();
        Breaker::default().failures(failures).open_max(3 * SECOND)
    }

    fn fail(circuit: &mut Circuit, now: Instant) {
        let pass = circuit.try_pass(now).unwrap();
        circuit.handle_outcome(now, pass, Outcome::Unanswered);
    }

    #[test]
    fn it_opens_after_so_many_in_a_row_and_says_when_to_return() {
        let now = Instant::now();
        let mut circuit = Circuit::new(breaker());
        fail(&mut circuit, now);
        fail(&mut circuit, now);
        let pass = circuit.try_pass(now).unwrap();
        circuit.handle_outcome(now, pass, Outcome::Answered);
        fail(&mut circuit, now);
        fail(&mut circuit, now);
        assert_eq!(circuit.try_pass(now), Ok(Pass::Ordinary));
        fail(&mut circuit, now);
        assert_eq!(circuit.try_pass(now), Err(SECOND));
        assert_eq!(circuit.try_pass(now + SECOND / 4), Err(SECOND * 3 / 4));
    }

    #[test]
    fn one_is_let_through_when_its_time_is_over_and_its_failure_doubles_the_time() {
        let mut now = Instant::now();
        let mut circuit = Circuit::new(breaker());
        (0..3).for_each(|_| fail(&mut circuit, now));
        for (open, next) in [(1, 2), (2, 3), (3, 3)] {
            now += open * SECOND;
            assert_eq!(circuit.try_pass(now), Ok(Pass::Trial));
            assert!(circuit.try_pass(now).is_err(), "only one");
            circuit.handle_outcome(now, Pass::Trial, Outcome::Unanswered);
            assert_eq!(circuit.try_pass(now), Err(next * SECOND));
        }
        now += 3 * SECOND;
        assert_eq!(circuit.try_pass(now), Ok(Pass::Trial));
        circuit.handle_outcome(now, Pass::Trial, Outcome::Answered);
        fail(&mut circuit, now);
        assert_eq!(circuit.try_pass(now), Ok(Pass::Ordinary), "it counts anew");
    }

    #[test]
    fn a_trial_that_was_given_up_is_made_by_the_next() {
        let now = Instant::now();
        let mut circuit = Circuit::new(breaker());
        (0..3).for_each(|_| fail(&mut circuit, now));
        let later = now + SECOND;
        assert_eq!(circuit.try_pass(later), Ok(Pass::Trial));
        circuit.handle_outcome(later, Pass::Trial, Outcome::Abandoned);
        assert_eq!(circuit.try_pass(later), Ok(Pass::Trial));
    }

    #[test]
    fn switched_off_it_lets_all_through() {
        let now = Instant::now();
        let mut circuit = Circuit::new(Breaker::off());
        (0..1000).for_each(|_| fail(&mut circuit, now));
        assert_eq!(circuit.try_pass(now), Ok(Pass::Ordinary));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Ask,
        End(usize, Outcome),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let outcome = prop_oneof![
            1 => Just(Outcome::Answered),
            4 => Just(Outcome::Unanswered),
            1 => Just(Outcome::Abandoned),
        ];
        prop_oneof![
            3 => Just(Step::Ask),
            3 => (0..4_usize, outcome).prop_map(|(at, outcome)| Step::End(at, outcome)),
            1 => (0..2_000_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn it_never_stays_shut_and_tries_with_one_at_a_time(steps in prop::collection::vec(step(), 0..200)) {
            let mut now = Instant::now();
            let mut circuit = Circuit::new(breaker());
            let mut under_way = Vec::new();
            for step in steps {
                match step {
                    Step::Ask => match circuit.try_pass(now) {
                        Ok(pass) => under_way.push(pass),
                        Err(wait) => prop_assert!(wait <= 3 * SECOND && !wait.is_zero()),
                    },
                    Step::End(at, outcome) if at < under_way.len() => {
                        let pass = under_way.remove(at);
                        circuit.handle_outcome(now, pass, outcome);
                    }
                    Step::End(..) => {}
                    Step::Wait(ms) => now += Duration::from_millis(ms),
                }
                let trials = under_way.iter().filter(|pass| **pass == Pass::Trial).count();
                prop_assert!(trials <= 1, "{} trials", trials);
            }
            for pass in under_way {
                circuit.handle_outcome(now, pass, Outcome::Answered);
            }
            prop_assert!(circuit.try_pass(now + 3 * SECOND).is_ok());
        }
    }
}
