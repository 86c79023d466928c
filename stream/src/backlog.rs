//! What a subscription has yet to receive before it comes to its ring: what was pending when it went on to another cohort.
//!
//! Owns a short queue of parts: a pinned window of the ring it left, what that ring's operator held, and gaps in their place. It
//! copies no entry but what an operator held. Driven by the engine; moves no cursor of a ring.
//!
//! Laws: no part is without anything to hand over; every window is pinned, from its cursor to its end, and registered with its cohort.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::history::Slice;
use crate::subscription::{PendingGap, join};

/// Parts that wait at most: a client that changes its settings over and over while it reads nothing is refused.
pub(crate) const PARTS_MAX: usize = 32;

/// A part of the ring of a cohort that was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) cohort: u32,
    pub(crate) cursor: u64,
    pub(crate) until: u64,
    /// Entries of the source before this one are not the subscription's.
    pub(crate) since: u64,
    /// What a newer entry of its key supersedes is skipped while behind.
    pub(crate) conflates: bool,
    /// How many publications of its own stand in it.
    pub(crate) own: u64,
    /// The position at its end, if anything stands in it.
    pub(crate) position: Option<i64>,
}

/// One part.
#[derive(Debug)]
pub(crate) enum Part {
    Window(Window),
    Held {
        slice: Rc<Slice>,
        index: u32,
        rated: bool,
        /// The epoch it is of.
        epoch: Rc<str>,
    },
    /// Where its range begins is known when its place is reached.
    Gap(PendingGap),
}

/// What comes before the ring, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    parts: VecDeque<Part>,
    /// Number of the first part.
    first: u32,
    /// For each place in it where the log begins anew: what rates of cohorts that were left had left out from there to the next.
    filtered_anew: VecDeque<u64>,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn push(&mut self, part: Part) {
        self.parts.push_back(part);
    }

    /// A loss behind all others, joined with the one before it where both are of one kind.
    pub(crate) fn push_gap(&mut self, gap: PendingGap) {
        let joins =
            |last: &PendingGap| last.reason == gap.reason && last.to.is_some() == gap.to.is_some();
        match self.parts.back_mut() {
            Some(Part::Gap(last)) if joins(last) => join(last, &gap),
            _ => self.parts.push_back(Part::Gap(gap)),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Part> {
        self.first = self.first.wrapping_add(1);
        let part = self.parts.pop_front();
        if self.parts.is_empty() {
            self.parts = VecDeque::new();
        }
        part
    }

    /// Takes the last part out, if it is so.
    pub(crate) fn pop_last_if(&mut self, is: impl FnOnce(&Part) -> bool) -> Option<Part> {
        self.parts.back().filter(|p| is(p))?;
        self.parts.pop_back()
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut Part> {
        self.parts.back_mut()
    }

    /// Number of the part that is next.
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    pub(crate) fn front(&self) -> Option<&Part> {
        self.parts.front()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut Part> {
        self.parts.front_mut()
    }

    /// The part of that number.
    pub(crate) fn part(&self, number: u32) -> Option<&Part> {
        self.parts.get(number.wrapping_sub(self.first) as usize)
    }

    /// The log begins anew in what is about to be pushed, and `filtered` were left out from there on.
    pub(crate) fn push_epoch(&mut self, filtered: u64) {
        self.filtered_anew.push_back(filtered);
    }

    /// More were left out of the last epoch that begins in it.
    pub(crate) fn filter_last_epoch(&mut self, filtered: u64) {
        if let Some(last) = self.filtered_anew.back_mut() {
            *last += filtered;
        }
    }

    /// The next epoch begins. Returns what was left out of it.
    pub(crate) fn begin_epoch(&mut self) -> u64 {
        self.filtered_anew.pop_front().unwrap_or(0)
    }

    /// How many epochs begin in it.
    pub(crate) fn epochs(&self) -> usize {
        self.filtered_anew.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Part> {
        self.parts.iter()
    }
}

#[cfg(test)]
mod tests {
    use pubsub_wire::value::GapReason;

    use super::*;

    /// A loss of one at an offset; with a rate there is no range.
    fn gap(reason: GapReason, to: Option<i64>) -> PendingGap {
        PendingGap {
            reason,
            from: None,
            to,
            count: Some(1),
            epoch: Rc::from("e"),
            offset: to.unwrap_or(0),
        }
    }

    fn counts(backlog: &Backlog) -> Vec<Option<u64>> {
        let count = |p: &Part| match p {
            Part::Gap(gap) => gap.count,
            Part::Window(_) | Part::Held { .. } => None,
        };
        backlog.iter().map(count).collect()
    }

    #[test]
    fn losses_of_one_kind_that_follow_each_other_are_one() {
        let mut backlog = Backlog::default();
        backlog.push_gap(gap(GapReason::DropNewest, Some(4)));
        backlog.push_gap(gap(GapReason::DropNewest, Some(5)));
        assert_eq!(counts(&backlog), [Some(2)]);
        backlog.push_gap(gap(GapReason::DropOldest, Some(6)));
        backlog.push_gap(gap(GapReason::DropOldest, None));
        backlog.push_gap(gap(GapReason::DropOldest, None));
        assert_eq!(counts(&backlog), [Some(2), Some(1), Some(2)]);
        assert_eq!(backlog.len(), 3);
        let Some(Part::Gap(first)) = backlog.pop() else {
            panic!("a gap");
        };
        assert_eq!((first.to, first.offset), (Some(5), 5));
    }

    #[test]
    fn what_was_left_out_of_each_epoch_is_known_until_it_begins() {
        let mut backlog = Backlog::default();
        backlog.filter_last_epoch(9);
        backlog.push_epoch(2);
        backlog.push_epoch(3);
        backlog.filter_last_epoch(4);
        assert_eq!(backlog.epochs(), 2);
        let begun = [0; 3].map(|_| backlog.begin_epoch());
        assert_eq!(
            begun,
            [2, 7, 0],
            "of none that begins in it nothing is known"
        );
    }
}
