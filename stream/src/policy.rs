//! What a refused write leads to: policies act, cursors are parked; and what a taken one leads to: cursors come back.
//!
//! Loss is settled when a subscription is looked at, never by walking the laggards at each publication. What must act on a socket
//! that takes nothing (`disconnect`) hangs in the view by the head or the byte sum at which it trips.

use pubsub_wire::close;
use pubsub_wire::value::{GapReason, Mode, Overflow};

use crate::config::{CloseHow, Now};
use crate::cursor::{self, lift, place};
use crate::engine::Engine;
use crate::history::{History, Step};
use crate::ring::{Hold, Kind};
use crate::session::NONE;
use crate::subscription::{Stage, Subscription};
use crate::view::{Gauge, Trip, View};

impl Engine {
    /// The kernel refused: what the session's subscriptions wait for is bounded from now on.
    pub(crate) fn block(&mut self, now: Now, session: u32) {
        let record = &mut self.sessions[session as usize];
        record.blocked = true;
        if record.blocked_ns == 0 {
            record.blocked_ns = now.mono_ns;
            self.arm(session, now.mono_ns + self.config.write_stall_ns);
        }
        let mut next = self.sessions[session as usize].ready_first;
        while next != NONE {
            let index = next;
            next = self.subscriptions[index as usize].next_ready;
            self.park(index);
            if !self.sessions.contains(session as usize) {
                return;
            }
        }
    }

    /// A subscription's socket refused: the fan-out passes it by, and its bound acts. It may cost the session.
    pub(crate) fn park(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        let view = self.views.get_mut(subscription.view);
        cursor::hold(subscription, view, Hold::Parked);
        self.set_aside(index);
        self.settle(index);
        self.set_trips(index);
        let view = self.subscriptions[index as usize].view;
        self.stats.ring_bytes -= self.views.get_mut(view).trim();
        self.disconnect_if_over(index);
    }

    /// A parked subscription that wants to be disconnected is looked at when its bound may be passed.
    fn set_trips(&mut self, index: u32) {
        let key = self.key(index);
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.overflow != Overflow::Disconnect || subscription.stage != Stage::Ring {
            return;
        }
        subscription.parked = subscription.parked.wrapping_add(1);
        let trip = Trip {
            key,
            parked: subscription.parked,
        };
        let subscription = &self.subscriptions[index as usize];
        let reach = subscription.reach(self.under_way_bytes(subscription));
        let (cursor, view) = (subscription.cursor, subscription.view);
        let view = self.views.get_mut(view);
        let sum = view.ring.sum_before(cursor) + reach.bytes;
        let trips = view.trips.get_or_insert_default();
        trips.set(Gauge::Head, cursor + reach.messages, trip);
        trips.set(Gauge::Sum, sum, trip);
    }

    /// Ends the session of a subscription that has passed its bound and wants that.
    fn disconnect_if_over(&mut self, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let applies =
            subscription.overflow == Overflow::Disconnect && subscription.hold == Hold::Parked;
        if !applies
            || subscription.stage != Stage::Ring
            || subscription.mode == Mode::Replay
            || subscription.leaving
        {
            return;
        }
        let view = self.views.get(subscription.view);
        if subscription.is_over(view, self.under_way_bytes(subscription)) {
            self.stats.closed_slow += 1;
            self.end(subscription.session, CloseHow::Hard, close::SLOW_CONSUMER);
        }
    }

    /// Looks at those whose bound the newest entry of a view may have passed.
    pub(crate) fn trip(&mut self, view: u32) {
        loop {
            let Some(record) = self.views.find_by_index(view) else {
                return;
            };
            let (head, sum) = (record.ring.head(), record.ring.sum());
            let Some((gauge, trip)) = record.trips.as_mut().and_then(|t| t.next(head, sum)) else {
                return;
            };
            let due = |s: &Subscription| s.hold == Hold::Parked && s.parked == trip.parked;
            let Some(index) = self
                .subscription_index(trip.key)
                .filter(|i| due(&self.subscriptions[*i as usize]))
            else {
                continue;
            };
            self.disconnect_if_over(index);
            let remains = self.subscription_index(trip.key).is_some();
            let Some(record) = self.views.find_by_index(view).filter(|_| remains) else {
                continue;
            };
            // One message alone is let through however large, and history is not bounded: the next entry tells.
            let at = if gauge == Gauge::Head { head } else { sum };
            record.trips.get_or_insert_default().set(gauge, at, trip);
        }
    }

    /// Settles what a subscription has lost up to now, and whether it is behind.
    pub(crate) fn settle(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.stage != Stage::Ring {
            self.put_back(index);
            return;
        }
        let view = self.views.get_mut(subscription.view);
        if subscription.mode == Mode::Replay {
            if subscription.cursor < view.ring.first() {
                self.back_to_history(index);
            }
            return;
        }
        let under_way = self.under_way_bytes(&self.subscriptions[index as usize]);
        let subscription = &mut self.subscriptions[index as usize];
        let view = self.views.get_mut(subscription.view);
        let parked = subscription.hold == Hold::Parked;
        if parked && subscription.mode == Mode::Live && subscription.is_high(view, under_way) {
            Self::set_mode(&mut self.stats, subscription, Mode::Behind);
            subscription.announce = true;
        }
        let retention = subscription.lost_to_retention();
        lift(subscription, view);
        match subscription.overflow {
            Overflow::Conflate => {
                if subscription.cursor < view.ring.first() && subscription.mode == Mode::Live {
                    Self::set_mode(&mut self.stats, subscription, Mode::Behind);
                    subscription.announce = true;
                }
                self.stats.conflated += pass_superseded(subscription, view);
            }
            Overflow::DropOldest if parked => {
                let to = drop_to(subscription, view, under_way);
                self.stats.lost_drop_oldest += subscription.lose(view, to, GapReason::DropOldest);
            }
            _ => {}
        }
        let first = view.ring.first();
        if subscription.overflow != Overflow::Conflate && subscription.cursor < first {
            self.stats.lost_memory += subscription.lose(view, first, GapReason::Memory);
        }
        self.stats.lost_retention += subscription.lost_to_retention().saturating_sub(retention);
        place(subscription, view);
        self.stats.ring_bytes -= view.trim();
    }

    /// A reader of history whose socket refuses gives its slice back when memory for slices is short.
    fn put_back(&mut self, index: u32) {
        if !self.reads.is_short() {
            return;
        }
        let subscription = &mut self.subscriptions[index as usize];
        let last = subscription.last;
        let view = self.views.get(subscription.view);
        // What is left of a former epoch cannot be asked for again.
        let meets_epoch = view
            .ring
            .marks_from(subscription.cursor)
            .any(|m| m.kind == Kind::Epoch);
        let Some(history) = subscription
            .history_mut()
            .filter(|h| h.step == Step::Reading && h.pending() > 0 && !(h.joined && meets_epoch))
        else {
            return;
        };
        history.put_back(last);
        history.step = Step::Queued;
        let view = self.views.get_mut(subscription.view);
        lift(subscription, view);
        self.reads.queue(self.key(index));
    }

    /// The ring has moved past a subscription in `replay`: it reads on from the log.
    fn back_to_history(&mut self, index: u32) {
        let key = self.key(index);
        let subscription = &mut self.subscriptions[index as usize];
        let view = self.views.get_mut(subscription.view);
        lift(subscription, view);
        subscription.lose_epochs(view);
        let mut history = History::new(subscription.last, false);
        history.published = subscription.cursor.wrapping_sub(subscription.start);
        history.step = Step::Queued;
        subscription.extra().history = Some(history);
        subscription.stage = Stage::History;
        self.reads.queue(key);
    }

    /// The kernel took all of a write: the first `turns` ready subscriptions had theirs and stand behind the others now.
    pub(crate) fn rotate(&mut self, session: u32, turns: u32) {
        for _ in 0..turns {
            let Some(index) = self.pop_ready(session) else {
                return;
            };
            // A write was tried and taken: nothing gives before the next is refused.
            let subscription = &mut self.subscriptions[index as usize];
            let view = self.views.get_mut(subscription.view);
            if subscription.hold == Hold::Parked {
                cursor::hold(subscription, view, Hold::Live);
                self.stats.ring_bytes -= view.trim();
            }
            self.next_step(index);
        }
        self.ask();
    }

    /// Decides what a subscription waits for: its session's next write, the next entry of its view, or a piece of history.
    pub(crate) fn next_step(&mut self, index: u32) {
        self.advance_history(index);
        let view = self.views.get_mut(self.subscriptions[index as usize].view);
        self.stats.ring_bytes -= view.trim();
        let subscription = &self.subscriptions[index as usize];
        if subscription.has_data(self.views.get(subscription.view)) {
            self.make_ready(index);
        } else if subscription.stage == Stage::Ring && !subscription.leaving {
            self.set_active(index);
        }
    }

    /// Where a slice is through, its reader goes on in the ring, or asks for the next.
    fn advance_history(&mut self, index: u32) {
        let key = self.key(index);
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.stage != Stage::History || subscription.leaving {
            return;
        }
        let Some(history) = subscription.history_mut() else {
            return;
        };
        if history.step != Step::Reading || history.pending() > 0 {
            return;
        }
        let (joined, published, after) = (history.joined, history.published, history.after);
        let compacted = history.compacted;
        let view = self.views.get_mut(subscription.view);
        let ordinal = match (joined, compacted) {
            (true, _) => Some(subscription.cursor).filter(|c| *c >= view.ring.first()),
            // The ring holds every entry after its base, not only the newest of each key.
            (false, true) => None,
            (false, false) => view.ring.ordinal_after(after).filter(|_| view.watched),
        };
        lift(subscription, view);
        if let Some(ordinal) = ordinal {
            subscription.extra().history = None;
            subscription.tidy();
            subscription.stage = Stage::Ring;
            subscription.cursor = ordinal;
            subscription.start = ordinal.wrapping_sub(published);
            subscription.last = subscription.last.max(after);
            place(subscription, view);
            return;
        }
        let begins_anew = joined
            && view
                .ring
                .marks_from(subscription.cursor)
                .any(|m| m.kind == Kind::Epoch);
        let mut history = History::new(after, compacted);
        history.published = published;
        if begins_anew {
            subscription.lose_epochs(view);
            history = History::new(subscription.last, false);
        } else {
            history.step = Step::Queued;
        }
        subscription.extra().history = Some(history);
        if begins_anew {
            // It may find its new place in the ring.
            self.advance_history(index);
        } else {
            self.reads.queue(key);
        }
    }

    pub(crate) fn set_aside(&mut self, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let (view, member) = (subscription.view, subscription.member);
        let subscriptions = &mut self.subscriptions;
        self.views.get_mut(view).set_aside(member, &mut |who, at| {
            subscriptions[who as usize].member = at;
        });
    }

    pub(crate) fn set_active(&mut self, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let (view, member) = (subscription.view, subscription.member);
        if self.views.get(view).is_active(member) {
            return;
        }
        let subscriptions = &mut self.subscriptions;
        self.views.get_mut(view).set_active(member, &mut |who, at| {
            subscriptions[who as usize].member = at;
        });
    }
}

/// The first entry that `drop_oldest` keeps.
fn drop_to(subscription: &Subscription, view: &View, under_way: u64) -> u64 {
    if !subscription.is_over(view, under_way) {
        return subscription.cursor;
    }
    let mut to = view.ring.within(subscription.reach(under_way));
    if !subscription.under_way {
        // One message is always let through when nothing else waits, however large.
        to = to.min(view.ring.head() - 1);
    }
    // What memory took on top of it is lost together with it: its offsets are no longer known one by one.
    to.max(view.ring.first()).max(subscription.cursor)
}

/// Moves a conflating cursor that the ring has overtaken to the next entry that still means something.
fn pass_superseded(subscription: &mut Subscription, view: &View) -> u64 {
    let first = view.ring.first();
    if subscription.cursor >= first {
        return 0;
    }
    let newest = view
        .compact
        .as_ref()
        .and_then(|c| c.next(subscription.cursor))
        .map(|(ordinal, _)| ordinal);
    let mark = view
        .ring
        .marks_from(subscription.cursor)
        .find(|m| m.kind != Kind::Position)
        .map(|m| m.ordinal);
    let to = [newest, mark].into_iter().flatten().fold(first, u64::min);
    subscription.skip_to(view, to)
}
