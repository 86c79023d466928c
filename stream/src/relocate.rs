//! How a subscription goes from one cohort to another: when its rate begins or ceases to act, and when its settings change.
//!
//! What is pending stays ahead of what comes: a pinned window of the ring it leaves, then what that ring's operator holds of its
//! own, then the ring it goes to, from its head on. Owns that move and the windows it leaves behind.
//!
//! Laws: no publication is passed over or comes twice; `published` goes on from where it was; a window is registered with its cohort
//! exactly as long as it is in a backlog.

use std::rc::Rc;

use pubsub_wire::value::{GapReason, Mode, Overflow};

use crate::backlog::{Backlog, PARTS_MAX, Part, Window};
use crate::cursor::{lift, place};
use crate::engine::Engine;
use crate::history::Slice;
use crate::ring::Hold;
use crate::subscription::{Joined, Lost, PendingGap, Stage};

impl Engine {
    /// Brings a subscription to the cohort that does what is to be done with its messages now.
    pub(crate) fn relocate(&mut self, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        if subscription.terms.is_none() && subscription.joined.is_none() {
            return;
        }
        if subscription.stage != Stage::Ring || subscription.leaving {
            return;
        }
        let acting = subscription.acting();
        if acting == self.views.cohort(subscription.cohort).acting || !self.may_depart(index) {
            return;
        }
        let published = self.depart(index);
        let view = self.subscriptions[index as usize].view;
        let cohort = self.views.cohort_of(view, acting);
        self.join(index, cohort, published);
    }

    /// Whether its pending part can be put into its backlog now; if not, it will be when that has become shorter.
    pub(crate) fn may_depart(&self, index: u32) -> bool {
        let subscription = &self.subscriptions[index as usize];
        if subscription.draining().is_some() {
            return false;
        }
        let parts = subscription.backlog().map_or(0, Backlog::len);
        parts + 3 <= PARTS_MAX
    }

    /// Puts all that is pending into the backlog and leaves the cohort. Returns what was published for it so far.
    pub(crate) fn depart(&mut self, index: u32) -> u64 {
        let subscription = &self.subscriptions[index as usize];
        let counts = subscription.counts(&self.views);
        self.leave_filtered(index, counts.filtered);
        let subscription = &mut self.subscriptions[index as usize];
        let cohort = self.views.cohort_mut(subscription.cohort);
        lift(subscription, cohort);
        let resolved = counts.published - counts.pending - counts.falling;
        self.leave_window(index);
        self.leave_held(index);
        let subscription = &self.subscriptions[index as usize];
        let published = resolved + subscription.backlog_whole();
        self.leave_cohort(index);
        published
    }

    /// What the rate of its cohort left out is remembered with the epoch it is of. `present`: of the one it is in.
    fn leave_filtered(&mut self, index: u32, present: u64) {
        let subscription = &self.subscriptions[index as usize];
        let (ring, anew) = subscription.filtered_in_ring(&self.views);
        let subscription = &mut self.subscriptions[index as usize];
        let begins = subscription.backlog().is_some_and(|b| b.epochs() > 0);
        if begins {
            subscription.extra().backlog_mut().filter_last_epoch(ring);
        } else if present > 0 {
            subscription.lost.get_or_insert_default().filtered = present;
        }
        for filtered in anew {
            subscription.extra().backlog_mut().push_epoch(filtered);
        }
    }

    /// What stands in the ring for it becomes a window of its backlog; a hole behind it becomes gaps.
    fn leave_window(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        let stand = self.views.stand(subscription.cohort);
        let head = stand.cohort.ring.head();
        let hole = subscription.hole();
        let (cursor, until) = (subscription.cursor, hole.map_or(head, |h| h.from));
        let window = Window {
            cohort: subscription.cohort,
            cursor,
            until,
            since: subscription.since(),
            conflates: subscription.overflow == Overflow::Conflate,
            own: subscription.census(&stand, cursor, until).own,
            position: hole.map_or(Some(stand.cohort.ring.position()), |h| h.position),
        };
        subscription.cursor = head;
        if window.cursor < window.until {
            self.push_window(index, window);
        }
        let Some(hole) = hole else { return };
        let mut from = hole.from.max(window.cursor);
        while from < head {
            from = self.leave_hole(index, &window, from, head);
        }
        let extra = self.subscriptions[index as usize].extra();
        extra.hole = None;
        let ring = &mut self.views.cohort_mut(window.cohort).ring;
        ring.unpin(hole.pinned, hole.from);
    }

    /// What fell into a hole from `from` on, up to a mark that stands in it, becomes a gap, and the mark a window of its own. Returns
    /// how far that goes.
    fn leave_hole(&mut self, index: u32, window: &Window, from: u64, head: u64) -> u64 {
        let stand = self.views.stand(window.cohort);
        let mark = stand.cohort.ring.break_from(from).cloned();
        let end = mark.as_ref().map_or(head, |m| m.ordinal);
        let to = mark
            .as_ref()
            .map_or(stand.cohort.ring.position(), |m| m.before);
        let count = self.subscriptions[index as usize]
            .census(&stand, from, end)
            .own;
        let ranged = !stand.cohort.is_rated();
        let gap = PendingGap {
            reason: GapReason::DropNewest,
            from: None,
            to: ranged.then_some(to),
            count: Some(count),
            epoch: Rc::clone(stand.epoch_at(end)),
            offset: to,
        };
        if count > 0 {
            let backlog = self.subscriptions[index as usize].extra().backlog_mut();
            backlog.push_gap(gap);
        }
        if mark.is_none() {
            return head;
        }
        let only_mark = Window {
            cursor: end,
            until: end + 1,
            own: 0,
            ..*window
        };
        self.push_window(index, only_mark);
        end + 1
    }

    fn push_window(&mut self, index: u32, window: Window) {
        self.enter_window(&window);
        let backlog = self.subscriptions[index as usize].extra().backlog_mut();
        backlog.push(Part::Window(window));
    }

    /// What its operator holds of its own becomes a part of its backlog.
    fn leave_held(&mut self, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let Some(since) = subscription.joined.as_ref().map(|j| j.since) else {
            return;
        };
        let cohort = subscription.cohort;
        let rated = self.views.cohort(cohort).is_rated();
        let held = self.held_since(cohort, since);
        if !held.is_empty() {
            let slice = Rc::new(Slice::new(held, self.reads.bytes()));
            let part = Part::Held {
                slice,
                index: 0,
                rated,
                epoch: Rc::clone(&self.views.stand(cohort).view.epoch),
            };
            self.subscriptions[index as usize]
                .extra()
                .backlog_mut()
                .push(part);
        }
    }

    /// Passes over what stands at its cursor and is older than its start. Its cursor must be lifted.
    pub(crate) fn pass_strangers(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.since() == 0 {
            return;
        }
        let stand = self.views.stand(subscription.cohort);
        subscription.pass_strangers(&stand);
        if subscription.settle_start(&stand) {
            let cohort = self.views.cohort_mut(subscription.cohort);
            cohort.ring.remove_teller();
        }
    }

    /// Is no member of its cohort any more. Its cursor must be lifted.
    pub(crate) fn leave_cohort(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        debug_assert!(subscription.held.is_none());
        let tells = subscription.since() > 0;
        subscription.joined = None;
        let (cohort, member) = (subscription.cohort, subscription.member);
        let overflow = subscription.overflow;
        self.remove_bounds(index);
        let subscriptions = &mut self.subscriptions;
        let record = self.views.cohort_mut(cohort);
        record.remove(member, |who, at| {
            // The one that leaves is moved too, and may be gone from the slab already.
            if let Some(other) = subscriptions.get_mut(who as usize) {
                other.member = at;
            }
        });
        if overflow == Overflow::Conflate {
            record.remove_conflater();
        }
        if tells {
            record.ring.remove_teller();
        }
        if record.members.is_empty()
            && let Some(operator) = &mut record.operator
        {
            // Who comes next is not to share the phase of those who are gone.
            operator.forget_held(record.acting);
        }
        self.trim(cohort);
        self.forget_if_empty(cohort);
    }

    /// Becomes a member of a cohort, from its head on.
    pub(crate) fn join(&mut self, index: u32, cohort: u32, published: u64) {
        let subscription = &mut self.subscriptions[index as usize];
        let record = self.views.cohort_mut(cohort);
        subscription.cohort = cohort;
        if record.members.is_empty()
            && let Some(operator) = &mut record.operator
        {
            // What came while there was nobody is nobody's, and keeps no position back.
            operator.forget_held(record.acting);
        }
        let (messages, bytes) = (subscription.bound_messages, subscription.bound_bytes);
        subscription.member = record.add(index, messages, bytes);
        if subscription.overflow == Overflow::Conflate {
            record.add_conflater();
        }
        subscription.cursor = record.ring.head();
        let gauge = record
            .operator
            .as_ref()
            .map_or(subscription.cursor, |o| o.seen);
        subscription.joined = record.operator.as_ref().map(|operator| {
            Box::new(Joined {
                since: operator.seen + 1,
                filtered: operator.filtered,
                older: operator.held(),
                passed: 0,
            })
        });
        subscription.start = gauge.wrapping_sub(published);
        if subscription.since() > 0 {
            record.ring.add_teller();
        }
        place(subscription, record);
    }

    fn enter_window(&mut self, window: &Window) {
        let cohort = self.views.cohort_mut(window.cohort);
        cohort.ring.pin(window.cursor, window.until);
        cohort.windows += 1;
        if window.conflates {
            cohort.add_conflater();
        }
        hold_window(cohort, window);
    }

    /// The first window of its backlog begins at `to` from now on.
    pub(crate) fn move_window(&mut self, index: u32, to: u64) {
        let backlog = self.subscriptions[index as usize].extra().backlog_mut();
        let Some(Part::Window(window)) = backlog.front_mut() else {
            return;
        };
        let cohort = self.views.cohort_mut(window.cohort);
        release_window(cohort, window);
        cohort.ring.unpin(window.cursor, to);
        window.move_to(&cohort.ring, to);
        hold_window(cohort, window);
        let cohort = window.cohort;
        self.trim_beside(index, cohort);
    }

    /// Trims a cohort of which a subscription had a window, unless its own cursor belongs there too and is lifted: then nothing may be
    /// let go of before that is placed.
    fn trim_beside(&mut self, index: u32, cohort: u32) {
        let subscription = &self.subscriptions[index as usize];
        if subscription.cohort != cohort || subscription.held.is_some() {
            self.trim(cohort);
        }
    }

    /// The first part of its backlog is through, or given up.
    pub(crate) fn pop_part(&mut self, index: u32) {
        let part = self.subscriptions[index as usize]
            .extra()
            .backlog_mut()
            .pop();
        self.leave_part(index, part.as_ref());
    }

    /// Nothing is left of the last part of its backlog.
    pub(crate) fn pop_last_part(&mut self, index: u32) {
        let backlog = self.subscriptions[index as usize].extra().backlog_mut();
        let part = backlog.pop_last_if(|_| true);
        self.leave_part(index, part.as_ref());
    }

    fn leave_part(&mut self, index: u32, part: Option<&Part>) {
        if let Some(Part::Window(window)) = part {
            let cohort = self.views.cohort_mut(window.cohort);
            release_window(cohort, window);
            cohort.ring.unpin(window.cursor, window.until);
            cohort.windows -= 1;
            if window.conflates {
                cohort.remove_conflater();
            }
            self.trim_beside(index, window.cohort);
            self.forget_if_empty(window.cohort);
        }
    }

    /// Nobody needs a derived log any more.
    fn forget_if_empty(&mut self, index: u32) {
        let cohort = self.views.cohort(index);
        if cohort.is_empty() && !cohort.is_plain() {
            self.trim(index);
            let cohort = self.views.cohort(index);
            // Its operator's holdings go with it.
            let held = cohort.operator.as_ref().map_or(0, |o| o.held_bytes());
            self.stats.ring_bytes -= cohort.ring.bytes() + held;
            self.cohort_timers.disarm(index);
            self.views.remove_cohort(index);
        }
    }

    /// Brings to the front of the backlog what is to be handed over: gaps in their place are queued, what is through leaves.
    pub(crate) fn tidy_backlog(&mut self, index: u32) {
        if self.subscriptions[index as usize].extra.is_none() {
            return;
        }
        loop {
            let subscription = &self.subscriptions[index as usize];
            let Some(front) = subscription.backlog().and_then(|b| b.front()) else {
                break;
            };
            let through = match front {
                Part::Gap(_) => {
                    self.tell_gap(index);
                    continue;
                }
                Part::Held { slice, index, .. } => *index as usize >= slice.entries.len(),
                Part::Window(window) => self.clear_window(index, *window),
            };
            if !through {
                return;
            }
            self.pop_part(index);
        }
        self.subscriptions[index as usize].tidy();
    }

    /// A gap that is the first part of its backlog is queued to be told.
    pub(crate) fn tell_gap(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        let part = subscription.extra().backlog_mut().pop();
        debug_assert!(matches!(part, Some(Part::Gap(_))));
        let Some(Part::Gap(gap)) = part else {
            return;
        };
        let (reason, count) = (gap.reason, gap.count.unwrap_or(0));
        *subscription.lost.get_or_insert_default().of(reason) += count;
        let position = gap.offset;
        // Its range begins after the last that was handed over, or announced: whatever lies between is not of its topics.
        let from = gap.to.map(|_| subscription.last + 1);
        subscription.announce_gap(PendingGap { from, ..gap });
        subscription.last = subscription.last.max(position);
        self.count_lost(reason, count);
    }

    /// Passes over what is not to be handed over at the beginning of a window. Whether nothing is left of it.
    fn clear_window(&mut self, index: u32, window: Window) -> bool {
        let cohort = self.views.cohort(window.cohort);
        let behind = self.subscriptions[index as usize].mode == Mode::Behind;
        let conflates = window.conflates && behind;
        let horizon = cohort.compact.as_ref().map_or(0, |c| c.horizon());
        let gone = match conflates {
            true if window.cursor < horizon => self.views.stand(window.cohort).at_hand(horizon),
            true => window.cursor,
            false => cohort.ring.available(window.cursor),
        };
        let gone = gone.min(window.until);
        if window.cursor < gone {
            let subscription = &mut self.subscriptions[index as usize];
            let lost = subscription.lose_window(&self.views, window, gone, GapReason::Memory);
            self.stats.lost_memory += lost;
            self.move_window(index, gone);
            return gone == window.until;
        }
        let last = self.subscriptions[index as usize].last;
        let next = self.next_in_window(&window, last, window.cursor, conflates);
        let to = next.map_or(window.until, |step| step.at);
        if conflates && to > window.cursor {
            self.conflate_window(index, window, to, 0);
            let stand = self.views.stand(window.cohort);
            self.subscriptions[index as usize].pass_position(&stand, to);
        }
        if to > window.cursor {
            self.move_window(index, to);
        }
        to >= window.until
    }

    /// What a window passes over up to `to`, but for `delivered` of it, was superseded.
    pub(crate) fn conflate_window(&mut self, index: u32, window: Window, to: u64, delivered: u64) {
        let ring = &self.views.cohort(window.cohort).ring;
        let own = window.own_before(ring, to);
        self.subscriptions[index as usize].conflated += own - delivered;
        self.stats.conflated += own - delivered;
    }

    /// Gives up all of its backlog: it reads it elsewhere, or leaves.
    pub(crate) fn drop_backlog(&mut self, index: u32) {
        while self.subscriptions[index as usize].backlog().is_some() {
            self.pop_part(index);
        }
        let subscription = &mut self.subscriptions[index as usize];
        if let Some(hole) = subscription.extra.as_mut().and_then(|e| e.hole.take()) {
            self.views
                .cohort_mut(subscription.cohort)
                .ring
                .unpin(hole.pinned, hole.from);
        }
        self.subscriptions[index as usize].tidy();
    }

    /// Counts of loss by its reason.
    pub(crate) fn count_lost(&mut self, reason: GapReason, n: u64) {
        let mut lost = Lost::default();
        *lost.of(reason) = n;
        self.stats.add_lost(&lost);
    }
}

fn hold_window(cohort: &mut crate::cohort::Cohort, window: &Window) {
    cohort.ring.hold(window.cursor, Hold::Parked);
    if let (true, Some(compact)) = (window.conflates, &mut cohort.compact) {
        compact.wait_at(window.cursor);
    }
}

fn release_window(cohort: &mut crate::cohort::Cohort, window: &Window) {
    cohort.ring.release(window.cursor, Hold::Parked);
    if let (true, Some(compact)) = (window.conflates, &mut cohort.compact) {
        compact.leave(window.cursor);
    }
}
