//! The hole of `drop_newest`: what arrives while the window is full is lost, until all before it is handed over.
//!
//! Owns where a hole opens, that it moves when the bound shrinks, what of the backlog falls into one, and its end. Driven by the
//! policies; a cursor must be lifted.

use std::rc::Rc;

use pubsub_wire::value::GapReason;

use crate::backlog::{Part, Window};
use crate::engine::Engine;
use crate::ring::Entry;
use crate::subscription::{Hole, PendingGap};

impl Engine {
    /// The first arrival that found the window full opened a hole; a window that is too large for a smaller bound ends sooner.
    pub(crate) fn open_hole(&mut self, index: u32) {
        if !self.is_over(index) {
            return;
        }
        let from = self.full_at(index);
        let subscription = &mut self.subscriptions[index as usize];
        let (cursor, hole) = (subscription.cursor, subscription.hole());
        let ring = &mut self.views.cohort_mut(subscription.cohort).ring;
        match hole {
            Some(hole) => ring.unpin(from.max(hole.pinned), hole.from),
            None => ring.pin(cursor, from),
        }
        // Where it stays, what was known before it may have been taken since.
        let stays = hole.filter(|h| h.from == from).and_then(|h| h.position);
        let position = stays.or_else(|| ring.position_before(from));
        let pinned = hole.map_or(cursor, |h| h.pinned).min(from);
        subscription.extra().hole = Some(Hole {
            from,
            pinned,
            position,
        });
        while self.is_over(index) && self.lose_last(index) {}
    }

    /// The ordinal of the first entry for which there is no room.
    fn full_at(&self, index: u32) -> u64 {
        let subscription = &self.subscriptions[index as usize];
        let reach = subscription.reach(&self.views, self.under_way_bytes(subscription));
        let alone = subscription.under_way == 0 && subscription.backlog().is_none();
        let since = subscription.since();
        let ring = &self.views.cohort(subscription.cohort).ring;
        let end = subscription.hole().map_or(ring.head(), |h| h.from);
        let (mut messages, mut bytes) = (0, 0);
        let mut is_full = |e: &Entry| {
            if e.source >= since {
                messages += 1;
                bytes += u64::from(e.bytes);
            }
            // One message is let through when nothing else waits, however large.
            messages > reach.messages || (bytes > reach.bytes && !(alone && messages <= 1))
        };
        let mut window = ring.range(subscription.cursor, end);
        window.find(|(_, e)| is_full(e)).map_or(end, |(at, _)| at)
    }

    /// The last message of the backlog falls into the hole behind it. `false`: there is none, or a mark or what conflates stands
    /// there.
    fn lose_last(&mut self, index: u32) -> bool {
        let backlog = self.subscriptions[index as usize].extra().backlog_mut();
        let behind = backlog.pop_last_if(|p| matches!(p, Part::Gap(_)));
        let behind = behind.and_then(|part| match part {
            Part::Gap(gap) => Some(gap),
            Part::Window(_) | Part::Held { .. } => None,
        });
        let lost = self.take_last(index);
        let found = lost.is_some();
        let backlog = self.subscriptions[index as usize].extra().backlog_mut();
        for gap in lost.into_iter().chain(behind) {
            backlog.push_gap(gap);
        }
        found
    }

    /// Takes the last message out of the backlog, as a gap in its place.
    fn take_last(&mut self, index: u32) -> Option<PendingGap> {
        let backlog = self.subscriptions[index as usize].extra().backlog_mut();
        let gap = |offset: i64, rated: bool, epoch: Rc<str>| PendingGap {
            reason: GapReason::DropNewest,
            from: None,
            to: (!rated).then_some(offset),
            count: Some(1),
            epoch,
            offset,
        };
        match backlog.last_mut()? {
            Part::Gap(_) => None,
            Part::Held {
                slice,
                index,
                rated,
                epoch,
            } => {
                let (rated, epoch) = (*rated, Rc::clone(epoch));
                let slice = Rc::get_mut(slice)?;
                let offset = slice.pop()?;
                let is_through = slice.entries.len() <= *index as usize;
                backlog.pop_last_if(|_| is_through);
                Some(gap(offset, rated, epoch))
            }
            Part::Window(window) => {
                let end = window.until;
                let epoch = Rc::clone(self.views.stand(window.cohort).epoch_at(end));
                let cohort = self.views.cohort_mut(window.cohort);
                let offset = take_last_of(window, &mut cohort.ring)?;
                let rated = cohort.is_rated();
                if window.cursor == window.until {
                    self.pop_last_part(index);
                }
                Some(gap(offset, rated, epoch))
            }
        }
    }

    /// A hole before which everything has been handed over, or is gone, is told; the cursor goes to the head. Its cursor must be
    /// lifted.
    pub(crate) fn close_hole(&mut self, index: u32) {
        let reason = GapReason::DropNewest;
        let subscription = &mut self.subscriptions[index as usize];
        let Some(hole) = subscription.hole() else {
            return;
        };
        if subscription.cursor < hole.from
            || subscription.under_way > 0
            || subscription.backlog().is_some()
        {
            return;
        }
        let cohort = self.views.cohort_mut(subscription.cohort);
        cohort.ring.unpin(hole.pinned, hole.from);
        subscription.extra().hole = None;
        let stand = self.views.stand(subscription.cohort);
        let lost = subscription.lose(&stand, stand.cohort.ring.head(), reason);
        subscription.tidy();
        self.count_lost(reason, lost);
    }
}

/// The last of a window's own messages leaves it: its offset.
fn take_last_of(window: &mut Window, ring: &mut crate::ring::Ring) -> Option<i64> {
    if window.conflates {
        return None;
    }
    while window.cursor < window.until {
        let last = window.until - 1;
        let entry = ring.get(last).filter(|e| e.is_message())?;
        let (offset, own) = (entry.offset, entry.source >= window.since);
        ring.unpin(last, window.until);
        let before = ring.range(window.cursor, last).last();
        window.position = Some(before.map_or(offset - 1, |(_, e)| e.offset));
        window.until = last;
        if own {
            window.own -= 1;
            return Some(offset);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{NewEntry, Ring, Seat};

    /// Three entries that have left the ring and are pinned, at offsets 10, 20 and 30, and the window of them from `cursor` on.
    fn pinned(cursor: u64, since: u64) -> (Ring, Window) {
        let mut ring = Ring::new(0);
        for source in 1..=3 {
            ring.push(NewEntry {
                offset: source as i64 * 10,
                mono_ns: 0,
                frame: Rc::from([]),
                seat: Seat::default(),
                source,
                bytes: 0,
            });
        }
        ring.pin(1, 4);
        while ring.pop() {}
        let window = Window {
            cohort: 0,
            cursor,
            until: 4,
            since,
            conflates: false,
            own: 1,
            position: Some(30),
        };
        (ring, window)
    }

    #[test]
    fn what_is_before_the_last_and_was_taken_ends_right_before_that() {
        let (mut ring, mut window) = pinned(1, 0);
        ring.pop_pinned();
        ring.pop_pinned();
        assert_eq!(take_last_of(&mut window, &mut ring), Some(30));
        assert_eq!((window.until, window.position), (3, Some(29)));
    }

    #[test]
    fn nothing_is_taken_from_before_a_window() {
        let (mut ring, mut window) = pinned(3, 9);
        assert_eq!(take_last_of(&mut window, &mut ring), None);
        assert_eq!(window.until, 3);
    }
}
