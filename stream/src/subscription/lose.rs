//! Passing over what a subscription is not to receive: lost, superseded, or told by a mark.
//!
//! Laws: a loss is counted when its gap is queued; gaps are queued in the order of the stream; a cursor is moved here or by the
//! beginning of a frame, and nowhere else.

use std::rc::Rc;

use pubsub_wire::value::GapReason;

use super::{PendingGap, Subscription};
use crate::backlog::{Backlog, Part, Window};
use crate::ring::{Kind, Mark};
use crate::views::{Stand, Views};

/// Where a mark or a loss is met: in the ring of the cohort, or in the part before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    Ring,
    Backlog,
}

impl Subscription {
    /// Moves on in the ring to `to`, of which `delivered` are handed over; the other publications before it were superseded.
    /// Returns how many those were.
    #[inline]
    pub(crate) fn advance(&mut self, stand: &Stand<'_>, to: u64, delivered: u64) -> u64 {
        if to == self.cursor + delivered {
            // Nothing between: no mark, since that is handed over by itself, and nothing older than its start.
            self.cursor = to;
            return 0;
        }
        let own = self.census(stand, self.cursor, to).own;
        self.pass(stand, to);
        self.conflated += own - delivered;
        own - delivered
    }

    /// Moves the cursor to `to`, whatever stands before it.
    fn pass(&mut self, stand: &Stand<'_>, to: u64) {
        if self.joined.is_some() {
            let strangers = self.census(stand, self.cursor, to).strangers;
            if let Some(joined) = &mut self.joined {
                joined.passed += strangers;
            }
        } else {
            let marks = stand.cohort.ring.marks_from(self.cursor);
            let marks = marks.take_while(|m| m.ordinal < to).count() as u64;
            // A position that was passed over is no publication.
            self.start = self.start.wrapping_add(marks);
        }
        self.cursor = to;
    }

    /// Everything before `to` has been passed over as superseded: a gap that follows begins after it.
    pub(crate) fn pass_position(&mut self, stand: &Stand<'_>, to: u64) {
        // With a rate offsets are not in order: only what was handed over can be resumed after.
        if !stand.cohort.is_rated()
            && let Some(position) = stand.position_before(to)
        {
            self.last = self.last.max(position);
        }
    }

    /// Passes over what stands at the cursor and is older than its start, positions among it.
    pub(crate) fn pass_strangers(&mut self, stand: &Stand<'_>) {
        let since = self.since();
        if since == 0 {
            return;
        }
        let ring = &stand.cohort.ring;
        let is_older = |at: &u64| match ring.source(*at) {
            Some(source) => source < since,
            None => ring.is_position_before(*at, self.last),
        };
        let older = (self.cursor..ring.head()).take_while(is_older);
        let to = self.cursor + older.count() as u64;
        self.pass(stand, to);
    }

    /// Whether nothing older than its start can come any more.
    pub(crate) fn is_settled(&self, stand: &Stand<'_>) -> bool {
        let Some(joined) = &self.joined else {
            return false;
        };
        let operator = stand.cohort.operator.as_ref();
        operator.is_none_or(|o| o.is_through(joined.since))
            && self
                .census(stand, self.cursor, stand.cohort.ring.head())
                .strangers
                == 0
    }

    /// Nothing older than its start can come: what of that did not pass it was left out by the rate. `true`: it was so only now.
    pub(crate) fn settle_start(&mut self, stand: &Stand<'_>) -> bool {
        let settled = self.is_settled(stand);
        if let Some(joined) = self.joined.as_mut().filter(|_| settled) {
            joined.filtered += joined.older - joined.passed;
            (joined.older, joined.passed) = (0, 0);
        }
        settled
    }

    /// Gives up the entries of the ring before `to`, which are lost for `reason`. Returns how many they were.
    pub(crate) fn lose(&mut self, stand: &Stand<'_>, to: u64, reason: GapReason) -> u64 {
        let mut lost = 0;
        while self.cursor < to {
            let (end, mark) = next_loss(stand, self.cursor, to);
            let count = self.census(stand, self.cursor, end).own;
            self.pass(stand, end);
            let known = self.hole().filter(|h| h.from == end);
            let known = known.and_then(|h| h.position);
            let until = mark.as_ref().map(|m| m.before).or(known);
            lost += self.tell_lost(stand, end, until, count, reason);
            if let Some(mark) = mark {
                self.cross(&mark, 0);
                self.announce_gap(stand.gap_of(&mark));
            }
        }
        lost
    }

    /// The same for the first part of its backlog, up to `to`; the part's cursor is the caller's to move.
    pub(crate) fn lose_window(
        &mut self,
        views: &Views,
        window: Window,
        to: u64,
        reason: GapReason,
    ) -> u64 {
        let stand = views.stand(window.cohort);
        let ring = &stand.cohort.ring;
        let (mut lost, mut rest) = (0, window);
        while rest.cursor < to {
            let (end, mark) = next_loss(&stand, rest.cursor, to);
            let count = rest.own_before(ring, end);
            rest.move_to(ring, end);
            let known = window.position.filter(|_| end == window.until);
            let until = mark.as_ref().map(|m| m.before).or(known);
            lost += self.tell_lost(&stand, end, until, count, reason);
            if let Some(mark) = mark {
                rest.move_to(ring, end + 1);
                let left = self.rest_after(rest);
                self.meet(&mark, Met::Backlog, left);
                self.announce_gap(stand.gap_of(&mark));
            }
        }
        lost
    }

    /// Tells a loss of what stood before `end`; `until` is the position there, where it is known.
    fn tell_lost(
        &mut self,
        stand: &Stand<'_>,
        end: u64,
        until: Option<i64>,
        count: u64,
        reason: GapReason,
    ) -> u64 {
        let until = until.or_else(|| stand.position_before(end));
        let until = until.unwrap_or(self.last);
        if count > 0 {
            let epoch = Rc::clone(stand.epoch_at(end));
            self.lose_counted(count, reason, until, epoch, stand.cohort.is_rated());
        }
        self.last = self.last.max(until);
        count
    }

    /// Counts a loss up to position `until` and queues its gap.
    pub(crate) fn lose_counted(
        &mut self,
        count: u64,
        reason: GapReason,
        until: i64,
        epoch: Rc<str>,
        rated: bool,
    ) {
        *self.lost.get_or_insert_default().of(reason) += count;
        // With a rate offsets are not in order: a range would name what was not lost.
        let span = (!rated).then_some((self.last + 1, until));
        self.announce_gap(PendingGap {
            reason,
            from: span.map(|s| s.0),
            to: span.map(|s| s.1),
            count: Some(count),
            epoch,
            offset: until.max(self.last),
        });
        self.last = self.last.max(until);
    }

    /// Gives up the entries of the ring before `to` while something is pending before them: that is told when its place is reached.
    /// Goes no further than the next mark.
    pub(crate) fn lose_behind(&mut self, stand: &Stand<'_>, to: u64, reason: GapReason) {
        let (end, mark) = next_loss(stand, self.cursor, to.max(self.cursor));
        let count = self.census(stand, self.cursor, end).own;
        // When its place is reached, it begins after what was handed over or told before.
        let before = self.last;
        let until = mark
            .map(|m| m.before)
            .or_else(|| stand.position_before(end));
        let until = until.unwrap_or(before);
        self.pass(stand, end);
        if count > 0 {
            let ranged = !stand.cohort.is_rated();
            let gap = PendingGap {
                reason,
                from: None,
                to: ranged.then_some(until),
                count: Some(count),
                epoch: Rc::clone(stand.epoch_at(end)),
                offset: until,
            };
            self.extra().backlog_mut().push_gap(gap);
        }
    }

    /// Publications of its backlog after this rest of the first part.
    pub(crate) fn rest_after(&self, rest: Window) -> u64 {
        let parts = self.backlog().into_iter().flat_map(Backlog::iter).skip(1);
        let later: u64 = parts.map(Part::all).sum();
        later + rest.own
    }

    /// Gives up what is left of former epochs, since their log is gone; `last` is a position of the present epoch then.
    pub(crate) fn lose_epochs(&mut self, stand: &Stand<'_>) {
        let epochs = stand
            .cohort
            .ring
            .marks_from(self.cursor)
            .filter(|m| m.kind == Kind::Epoch);
        if let Some(ordinal) = epochs.last().map(|m| m.ordinal) {
            self.lose(stand, ordinal + 1, GapReason::Retention);
        }
    }

    /// Queues a gap.
    pub(crate) fn announce_gap(&mut self, gap: PendingGap) {
        self.extra().gaps.get_or_insert_default().push(gap);
    }

    /// Moves past a mark of the ring whose frame was handed over (or replaced by a gap).
    pub(crate) fn cross(&mut self, mark: &Mark, backlog_left: u64) {
        debug_assert_eq!(self.cursor, mark.ordinal);
        self.cursor = mark.ordinal + 1;
        if self.joined.is_none() {
            self.start = self.start.wrapping_add(1);
        }
        self.meet(mark, Met::Ring, backlog_left);
    }

    /// What a mark means for the counts. `left`: publications that wait behind it in the backlog.
    pub(crate) fn meet(&mut self, mark: &Mark, met: Met, left: u64) {
        self.last = mark.after;
        match mark.kind {
            Kind::Lost(n) => {
                self.start = self.start.wrapping_sub(n);
                self.lost.get_or_insert_default().retention += n;
            }
            Kind::Epoch => {
                #[cfg(debug_assertions)]
                {
                    self.begun = 0;
                }
                self.conflated = 0;
                self.lost = None;
                if met == Met::Backlog {
                    let backlog = self.extra().backlog_mut();
                    let filtered = backlog.begin_epoch();
                    if filtered > 0 {
                        self.lost.get_or_insert_default().filtered = filtered;
                    }
                    self.start = self.gauge().wrapping_sub(left + filtered);
                } else if let Some(joined) = &mut self.joined {
                    // Nothing was held any more when the mark came.
                    self.start = mark.seen;
                    **joined = super::Joined {
                        since: mark.seen + 1,
                        filtered: mark.filtered,
                        older: joined.older,
                        passed: joined.older,
                    };
                } else {
                    self.start = self.cursor;
                }
            }
            Kind::Message | Kind::Position | Kind::LostUncounted => {}
        }
    }
}

/// Up to where what is lost goes, and the mark that ends it.
fn next_loss(stand: &Stand<'_>, cursor: u64, to: u64) -> (u64, Option<Mark>) {
    let mark = stand.cohort.ring.break_from(cursor);
    let mark = mark.filter(|m| m.ordinal < to).cloned();
    (mark.as_ref().map_or(to, |m| m.ordinal), mark)
}
