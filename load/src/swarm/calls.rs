//! Connections that call instead of subscribing: when each is to make its next call, and which of them are unanswered.
//!
//! Pure: it is told the time, and draws from a seed. Open loop: a call is due when it was planned, whatever became of those before it. Its
//! latency counts from then, so that neither a slow server nor a slow generator hides what it keeps waiting.
use super::request::Method;
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

/// Codes of errors that are told apart; there are fewer.
const CODES_MAX: usize = 32;

/// What connections call, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPlan {
    /// What.
    pub method: Method,
    /// Nanoseconds from one call of a connection to its next, drawn evenly.
    pub every_ns: RangeInclusive<u64>,
    /// Calls of a connection that may be unanswered. One more is not made, and counted.
    pub in_flight: NonZeroUsize,
    /// How long an answer is of use.
    pub deadline_ms: Option<u64>,
}

/// When who is to call.
#[derive(Debug)]
pub struct Agenda {
    due: BinaryHeap<Reverse<(u64, u64)>>,
    rng: Rng,
}

impl Agenda {
    /// Nobody yet.
    pub fn new(seed: u64) -> Self {
        Self {
            due: BinaryHeap::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// This connection's next call is planned from this moment on.
    pub fn plan(&mut self, token: u64, from_ns: u64, every_ns: &RangeInclusive<u64>) {
        let wait_ns = self.rng.u64(every_ns.clone());
        self.due
            .push(Reverse((from_ns.saturating_add(wait_ns), token)));
    }

    /// When the next call is due.
    pub fn due_ns(&self) -> u64 {
        self.due.peek().map_or(u64::MAX, |Reverse((due, _))| *due)
    }

    /// Takes the next call that is due: who is to make it, and when it should have been.
    pub fn poll(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        if self.due_ns() > now_ns {
            return None;
        }
        self.due.pop().map(|Reverse((due, token))| (token, due))
    }

    /// Nobody calls any more.
    pub fn clear(&mut self) {
        self.due.clear();
    }
}

/// What is known of a connection that calls.
#[derive(Debug, Default)]
pub struct Caller {
    /// The how manieth of its run it is.
    pub number: u64,
    /// Calls made, which name the next one.
    made: u64,
    /// When what is unanswered was due, by id.
    unanswered: BTreeMap<u64, u64>,
}

impl Caller {
    /// One that has not called.
    pub fn new(number: u64) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// Makes a call that was due then; its id. `None`: too many are unanswered.
    pub fn call(&mut self, due_ns: u64, in_flight: NonZeroUsize) -> Option<u64> {
        if self.open() >= in_flight.get() {
            return None;
        }
        let id = self.made;
        self.made += 1;
        self.unanswered.insert(id, due_ns);
        Some(id)
    }

    /// The call of this id is answered: when it was due. `None`: there is none, or it was answered before.
    pub fn answer(&mut self, id: u64) -> Option<u64> {
        self.unanswered.remove(&id)
    }

    /// Calls that are unanswered.
    pub fn open(&self) -> usize {
        self.unanswered.len()
    }

    /// Of these, the ones due until this moment.
    pub fn open_since(&self, until_ns: u64) -> u64 {
        let due = self.unanswered.values();
        due.filter(|due| **due <= until_ns).count() as u64
    }
}

/// What became of calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Made.
    pub made: u64,
    /// Answered with what was asked for.
    pub answered: u64,
    /// Answered with an error, by its code.
    pub refused: BTreeMap<String, u64>,
    /// Answered with something else than what was asked for, or without having been asked.
    pub wrong: u64,
    /// Due and not made: too many were unanswered.
    pub skipped: u64,
    /// Unanswered when their connection ended, or when the run did.
    pub unanswered: u64,
}

impl CallCounts {
    /// Calls that were due.
    pub fn due(&self) -> u64 {
        self.made + self.skipped
    }

    /// Calls that were answered with an error.
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Calls that were due and have no answer that is of use.
    pub fn failed(&self) -> u64 {
        self.refused_total() + self.wrong + self.skipped + self.unanswered
    }

    /// What has become of calls since an earlier count.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |code| earlier.refused.get(code).copied().unwrap_or(0);
        let refused = self
            .refused
            .iter()
            .map(|(code, n)| (code.clone(), n.saturating_sub(before(code))))
            .filter(|(_, n)| *n > 0);
        Self {
            made: self.made.saturating_sub(earlier.made),
            answered: self.answered.saturating_sub(earlier.answered),
            refused: refused.collect(),
            wrong: self.wrong.saturating_sub(earlier.wrong),
            skipped: self.skipped.saturating_sub(earlier.skipped),
            unanswered: self.unanswered.saturating_sub(earlier.unanswered),
        }
    }

    /// One was answered with this code.
    pub fn refuse(&mut self, code: &str) {
        self.refuse_many(code, 1);
    }

    /// Adds those of others.
    pub fn merge(&mut self, other: &Self) {
        self.made += other.made;
        self.answered += other.answered;
        self.wrong += other.wrong;
        self.skipped += other.skipped;
        self.unanswered += other.unanswered;
        for (code, n) in &other.refused {
            self.refuse_many(code, *n);
        }
    }

    fn refuse_many(&mut self, code: &str, n: u64) {
        let known = self.refused.len() < CODES_MAX || self.refused.contains_key(code);
        let code = if known { code } else { "others" };
        *self.refused.entry(code.to_owned()).or_default() += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

    #[test]
    fn answers_come_in_any_order_and_count_once() {
        let mut caller = Caller::new(0);
        assert_eq!(
            (caller.call(10, TWO), caller.call(20, TWO)),
            (Some(0), Some(1))
        );
        assert_eq!(caller.answer(1), Some(20));
        assert_eq!((caller.answer(1), caller.answer(7)), (None, None));
        assert_eq!((caller.answer(0), caller.answer(0)), (Some(10), None));
        assert_eq!((caller.call(30, TWO), caller.open()), (Some(2), 1));
    }

    #[test]
    fn one_more_than_may_be_unanswered_is_not_made() {
        let mut caller = Caller::new(0);
        caller.call(10, TWO);
        caller.call(20, TWO);
        assert_eq!(caller.call(30, TWO), None);
        assert_eq!((caller.open_since(10), caller.open_since(99)), (1, 2));
        caller.answer(1);
        assert_eq!(caller.call(40, TWO), Some(2));
    }

    #[test]
    fn calls_are_due_in_order_whoever_makes_them() {
        let mut agenda = Agenda::new(1);
        agenda.plan(7, 100, &(5..=5));
        agenda.plan(8, 50, &(5..=5));
        assert_eq!((agenda.due_ns(), agenda.poll(54)), (55, None));
        assert_eq!(
            (agenda.poll(200), agenda.poll(200)),
            (Some((8, 55)), Some((7, 105)))
        );
        assert_eq!((agenda.poll(u64::MAX), agenda.due_ns()), (None, u64::MAX));
    }

    #[test]
    fn codes_beyond_those_told_apart_are_counted_together() {
        let mut counts = CallCounts::default();
        for code in 0..CODES_MAX + 5 {
            counts.refuse(&code.to_string());
        }
        counts.refuse("0");
        let mut sum = CallCounts::default();
        sum.merge(&counts);
        assert_eq!((sum.refused["0"], sum.refused["others"]), (2, 5));
        assert_eq!(sum.refused_total(), CODES_MAX as u64 + 6);
    }

    #[test]
    fn what_came_since_and_what_was_before_are_all_there_is() {
        let mut before = CallCounts {
            made: 5,
            skipped: 1,
            ..CallCounts::default()
        };
        before.refuse("limit");
        let mut more = CallCounts {
            made: 3,
            answered: 1,
            wrong: 1,
            unanswered: 1,
            ..CallCounts::default()
        };
        more.refuse("deadline");
        let mut all = before.clone();
        all.merge(&more);
        assert_eq!(
            all.since(&before),
            more,
            "a code that did not come again is left out"
        );
        assert_eq!((more.due(), more.failed(), before.failed()), (3, 3, 2));
    }

    proptest! {
        #[test]
        fn a_late_caller_makes_as_many_calls_as_one_that_is_not(
            least in 1u64..100, more in 0u64..100, late in proptest::collection::vec(0u64..500, 1..20), seed in any::<u64>(),
        ) {
            let every = least..=least + more;
            let (mut prompt, mut tardy) = (Agenda::new(seed), Agenda::new(seed));
            prompt.plan(1, 0, &every);
            tardy.plan(1, 0, &every);
            let (mut now, mut planned) = (0, Vec::new());
            for late in late {
                now += late;
                while let Some((token, due)) = tardy.poll(now) {
                    planned.push(due);
                    tardy.plan(token, due, &every);
                }
            }
            for due in planned {
                prop_assert_eq!(prompt.poll(due), Some((1, due)));
                prompt.plan(1, due, &every);
            }
            prop_assert!(prompt.due_ns() > now);
        }
    }
}
