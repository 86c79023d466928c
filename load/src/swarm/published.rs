//! Which publications of a topic the generator knows of, so that what did *not* arrive can be counted.
//!
//! Pure. A publication that one connection has seen was owed to every other; a message that never comes has no latency, and
//! percentiles over what came alone would call the worst case perfect. Kept as a run of (offset, stamp), so that "how many
//! were owed since this position until that moment" is a difference of two searches.
use std::collections::VecDeque;

/// Entries kept at most: two million publications are a quarter of an hour at 2,000 a second, and 32 MB.
const KEPT_MAX: usize = 2_000_000;

/// One publication.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    offset: i64,
    ts_us: u64,
}

/// The publications of one topic in the order of their offsets.
#[derive(Debug, Default)]
pub struct Published {
    forgotten: u64,
    run: VecDeque<Stamp>,
    head: i64,
}

impl Published {
    /// One publication was seen by somebody.
    #[inline]
    pub fn saw(&mut self, offset: i64, ts_us: u64) {
        if offset > self.head {
            self.push(Stamp { offset, ts_us });
        }
    }

    /// Somebody was told that `count` publications up to offset `to` were lost: they were published none the less.
    pub fn heard_of(&mut self, to: i64, count: u64, ts_us: u64) {
        if to > self.head {
            for _ in 0..count.min(KEPT_MAX as u64) {
                self.push(Stamp { offset: to, ts_us });
            }
        }
    }

    /// How many publications up to and including this offset are known of, ever.
    pub fn until_offset(&self, offset: i64) -> u64 {
        self.forgotten + self.run.partition_point(|stamp| stamp.offset <= offset) as u64
    }

    /// How many publications numbered until this moment are known of, ever.
    pub fn until_time(&self, ts_us: u64) -> u64 {
        self.forgotten + self.run.partition_point(|stamp| stamp.ts_us <= ts_us) as u64
    }

    fn push(&mut self, stamp: Stamp) {
        if self.run.len() == KEPT_MAX {
            self.run.pop_front();
            self.forgotten += 1;
        }
        self.head = stamp.offset;
        self.run.push_back(stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_seen_again_is_counted_once() {
        let mut published = Published::default();
        for offset in [1, 4, 4, 1, 6] {
            published.saw(offset, offset as u64);
        }
        assert_eq!(
            (
                published.until_offset(4),
                published.until_offset(5),
                published.until_time(6)
            ),
            (2, 2, 3)
        );
    }

    #[test]
    fn what_was_lost_to_the_foremost_was_published() {
        let mut published = Published::default();
        published.saw(1, 1);
        published.heard_of(9, 5, 2);
        published.heard_of(9, 5, 2);
        assert_eq!(published.until_offset(9), 6);
    }

    proptest! {
        #[test]
        fn owed_is_the_number_of_publications_between_two_positions(offsets in proptest::collection::btree_set(1i64..500, 0..100), a in 0i64..500, b in 0i64..500) {
            let mut published = Published::default();
            for &offset in &offsets {
                published.saw(offset, offset as u64 * 10);
            }
            let (a, b) = (a.min(b), a.max(b));
            let between = offsets.iter().filter(|&&offset| offset > a && offset <= b).count() as u64;
            prop_assert_eq!(published.until_offset(b) - published.until_offset(a), between);
            prop_assert_eq!(published.until_time(b as u64 * 10) - published.until_offset(a), between);
        }
    }
}
