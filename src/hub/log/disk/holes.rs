//! What of the log can't be read: ranges of offsets, first and last.
//!
//! Owns which are known, and how long. Must not contain: how damage is found. Driven by the log.
//!
//! There are two kinds. *Skipped* were offsets after a loss: what may have been there nobody knows, and nothing in the files says so, so
//! such a range is known from the folder and kept for as long as any class has something from before it. *Damaged* is what a reading met;
//! it would be met again, so it may be forgotten at any time.
use std::cell::RefCell;

/// First and last offset.
pub(super) type Range = (i64, i64);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Holes {
    damaged: RefCell<Vec<Range>>,
    skipped: Vec<Range>,
}

impl Holes {
    pub(super) fn new(damaged: Vec<Range>, skipped: &[Range]) -> Self {
        Self {
            damaged: RefCell::new(damaged),
            skipped: skipped.to_vec(),
        }
    }

    /// The last position from `position` on before which there is no hole that is known.
    pub(super) fn stop_after(&self, position: i64) -> i64 {
        let stop = |hole: &Range| (hole.1 > position).then_some((hole.0 - 1).max(position));
        self.least(stop).unwrap_or(i64::MAX)
    }

    /// The end of the hole that begins right behind a position, or has begun.
    pub(super) fn at(&self, position: i64) -> Option<i64> {
        let covers = |hole: &Range| (hole.0..=hole.1).contains(&(position + 1));
        self.least(|hole| covers(hole).then_some(-hole.1))
            .map(|last| -last)
    }

    /// Keeps that something in this range can't be read.
    pub(super) fn note(&self, first: i64, last: i64) {
        let mut damaged = self.damaged.borrow_mut();
        if !damaged.contains(&(first, last)) {
            tracing::error!(
                first,
                last,
                "a part of the log can't be read; who comes to it is told of a gap"
            );
            damaged.push((first, last));
        }
    }

    /// A segment that ended with this offset has left; every class has let go of everything up to `floor`.
    pub(super) fn forget_upto(&mut self, last: i64, floor: i64) {
        self.damaged.get_mut().retain(|hole| hole.1 > last);
        self.skipped.retain(|hole| hole.1 > floor);
    }

    /// What there is between these offsets, the first and the last of a segment, can be read again.
    pub(super) fn forget_within(&mut self, base: i64, last: i64) {
        let of_index = |hole: &Range| hole.0 >= base && hole.1 == last;
        self.damaged.get_mut().retain(|hole| !of_index(hole));
    }

    /// How many are damaged, and how many skipped.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.damaged.borrow().len(), self.skipped.len())
    }

    fn least(&self, of: impl Fn(&Range) -> Option<i64>) -> Option<i64> {
        let damaged = self.damaged.borrow();
        damaged.iter().chain(&self.skipped).filter_map(of).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_stops_before_the_next_hole_and_learns_where_it_ends() {
        let holes = Holes::new(vec![(20, 29), (15, 22)], &[(40, 49)]);
        let stops = [0, 14, 19, 25, 30, 45, 49].map(|position| holes.stop_after(position));
        assert_eq!(stops, [14, 14, 19, 25, 39, 45, i64::MAX]);
        let ends = [0, 14, 19, 25, 29, 39, 49].map(|position| holes.at(position));
        assert_eq!(
            ends,
            [None, Some(22), Some(29), Some(29), None, Some(49), None]
        );
    }

    #[test]
    fn what_was_skipped_is_known_until_the_last_class_is_behind_it() {
        let mut holes = Holes::new(vec![(5, 6)], &[(10, 19)]);
        holes.note(5, 6);
        assert_eq!(holes.count(), (1, 1));
        holes.forget_upto(30, 9);
        assert_eq!((holes.count(), holes.at(9)), ((0, 1), Some(19)));
        holes.forget_upto(40, 19);
        assert_eq!(holes.count(), (0, 0));
    }
}
