//! What a subscription asked to be done with its messages before they count against its bound.
//!
//! `Terms` are its settings of rate and batch; `Acting` is what of them acts at a moment, and names the cohort that does it.
//! Pure values.

use std::rc::Rc;

use hashbrown::HashSet;
use pubsub_wire::value::{Batch, Mode, Rate, RateMode, When};

use crate::operator::Operator;
use crate::ring::Reach;

/// Rate and batch as a subscription has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Terms {
    pub(crate) rate: Option<Rate>,
    pub(crate) batch: Option<Batch>,
}

impl Terms {
    /// A rate that lets everything pass is none.
    pub(crate) fn new(rate: Option<Rate>, batch: Option<Batch>) -> Self {
        Self {
            rate: rate.filter(|r| r.mode != RateMode::All),
            batch,
        }
    }

    /// Whether its rate begins to act when it falls behind.
    pub(crate) fn waits_for_behind(&self) -> bool {
        self.rate.is_some_and(|r| r.when == When::Behind)
    }

    /// What acts in `mode` on a subscription of this bound. In `replay` the log is read as it is.
    pub(crate) fn acting(&self, mode: Mode, bound: Reach) -> Acting {
        if mode == Mode::Replay {
            return Acting::default();
        }
        let acts = |r: &Rate| r.when == When::Always || mode == Mode::Behind;
        Acting {
            // The cohort is the same whenever it acts.
            rate: self.rate.filter(acts).map(|r| Rate {
                when: When::Always,
                ..r
            }),
            batch: self.batch.map(|b| cut(b, bound)),
        }
    }
}

/// The terms in use, each kept once.
#[derive(Debug, Default)]
pub(crate) struct TermsInUse(HashSet<Rc<Terms>>);

impl TermsInUse {
    /// The shared copy of these; nothing where they ask for nothing.
    pub(crate) fn intern(&mut self, terms: Terms) -> Option<Rc<Terms>> {
        if terms == Terms::default() {
            return None;
        }
        Some(Rc::clone(
            self.0.get_or_insert_with(&terms, |t| Rc::new(*t)),
        ))
    }

    /// A subscription has these no more.
    pub(crate) fn forget(&mut self, terms: Option<&Rc<Terms>>) {
        if let Some(terms) = terms
            && Rc::strong_count(terms) <= 2
        {
            self.0.remove(terms);
        }
    }
}

/// A batch that holds as much as the bound is due.
pub(crate) fn cut(batch: Batch, bound: Reach) -> Batch {
    let least = |named: Option<u64>, most: u64| Some(named.map_or(most, |n| n.min(most)));
    Batch {
        ms: batch.ms,
        messages: least(batch.messages, bound.messages),
        bytes: least(batch.bytes, bound.bytes),
    }
}

/// What is done with a view's log before a cohort's cursors read it; nothing: they read the log itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Acting {
    pub(crate) rate: Option<Rate>,
    pub(crate) batch: Option<Batch>,
}

impl Acting {
    pub(crate) fn operator(&self) -> Option<Operator> {
        (*self != Self::default()).then(|| Operator::new(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Reach = Reach {
        messages: 10,
        bytes: 1000,
    };

    fn sample(when: When) -> Rate {
        Rate {
            mode: RateMode::Sample,
            ms: 100,
            max_wait_ms: None,
            when,
        }
    }

    #[test]
    fn a_rate_acts_always_or_when_behind_and_never_in_replay() {
        let always = Terms::new(Some(sample(When::Always)), None);
        let behind = Terms::new(Some(sample(When::Behind)), None);
        for (terms, live) in [(always, true), (behind, false)] {
            assert_eq!(terms.acting(Mode::Live, BOUND).rate.is_some(), live);
            assert!(terms.acting(Mode::Behind, BOUND).rate.is_some());
            assert_eq!(terms.acting(Mode::Replay, BOUND), Acting::default());
        }
        assert_eq!(
            always.acting(Mode::Live, BOUND),
            behind.acting(Mode::Behind, BOUND)
        );
    }

    #[test]
    fn equal_terms_are_kept_once_and_as_long_as_anybody_has_them() {
        let mut all = TermsInUse::default();
        let terms = Terms::new(Some(sample(When::Behind)), None);
        let first = all.intern(terms);
        let second = all.intern(terms);
        assert_eq!(first.as_deref(), Some(&terms));
        assert!(Rc::ptr_eq(
            first.as_ref().unwrap(),
            second.as_ref().unwrap()
        ));
        assert!(first.as_ref().unwrap().waits_for_behind());
        all.forget(first.as_ref());
        assert_eq!(all.0.len(), 1, "the second has them still");
        drop(first);
        all.forget(second.as_ref());
        assert!(all.0.is_empty());
    }

    #[test]
    fn a_rate_that_lets_all_pass_is_nothing_to_be_kept() {
        let mut all = TermsInUse::default();
        let mode = RateMode::All;
        let terms = Terms::new(
            Some(Rate {
                mode,
                ..sample(When::Always)
            }),
            None,
        );
        assert_eq!(all.intern(terms), None);
        all.forget(None);
        assert!(terms.acting(Mode::Behind, BOUND).operator().is_none());
        let always = Terms::new(Some(sample(When::Always)), None);
        assert!(!always.waits_for_behind());
        assert!(always.acting(Mode::Live, BOUND).operator().is_some());
    }

    #[test]
    fn a_batch_is_no_larger_than_the_bound() {
        let batch = Batch {
            ms: Some(50),
            messages: Some(100),
            bytes: None,
        };
        let acting = Terms::new(None, Some(batch)).acting(Mode::Live, BOUND);
        let expected = Batch {
            ms: Some(50),
            messages: Some(10),
            bytes: Some(1000),
        };
        assert_eq!(acting.batch, Some(expected));
    }
}
