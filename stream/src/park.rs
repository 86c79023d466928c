//! Who waits: a write was refused, or credit is used up, and the cursor is parked.
//!
//! The fan-out passes by what is parked. What must act at the very entry (`disconnect`, the hole of `drop_newest`, a rate that begins
//! when behind) hangs in the cohort by the head or the byte sum at which it trips; what must act at an age, in the session's
//! deadline. What acts is settled elsewhere.
//!
//! Law: one that is parked and must act has its trips and its deadline set for where it stands.

use pubsub_wire::close;
use pubsub_wire::value::{Mode, Overflow};

use crate::cohort::{Gauge, Trip};
use crate::config::{CloseHow, Now};
use crate::cursor;
use crate::engine::Engine;
use crate::ring::{Hold, Reach};
use crate::session::{NONE, Rest};
use crate::subscription::Subscription;

impl Engine {
    /// The kernel refused: what the session's subscriptions wait for is bounded from now on.
    pub(crate) fn block(&mut self, now: Now, session: u32) {
        let record = &mut self.sessions[session as usize];
        record.blocked = true;
        if record.blocked_ns == 0 {
            record.blocked_ns = now.mono_ns;
            self.arm(session, now.mono_ns + self.config.write_stall_ns);
        }
        // One that waits for nothing but the rest of its frame is bounded like the others.
        if let Some(index) = self.writing(session) {
            self.make_ready(index);
        }
        let mut next = self.sessions[session as usize].ready_first;
        while next != NONE {
            let index = next;
            next = self.subscriptions[index as usize].next_ready;
            self.park(now, index);
            if !self.sessions.contains(session as usize) {
                return;
            }
        }
        self.mind_memory();
    }

    /// The subscription whose messages are in the frame under way.
    fn writing(&self, session: u32) -> Option<u32> {
        let partial = self.sessions[session as usize].partial.as_ref()?;
        let Rest::Message { subscription, .. } = partial.rest else {
            return None;
        };
        let index = self.subscription_index(subscription)?;
        (!self.subscriptions[index as usize].leaving).then_some(index)
    }

    /// A subscription's socket refused, or its credit is used up: the fan-out passes it by, and its bound acts. It may cost the
    /// session.
    pub(crate) fn park(&mut self, now: Now, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        let cohort = self.views.cohort_mut(subscription.cohort);
        cursor::hold(subscription, cohort, Hold::Parked);
        self.set_aside(index);
        self.settle(now, index);
        let cohort = self.subscriptions[index as usize].cohort;
        self.trim(cohort);
        self.set_trips(now, index);
        self.disconnect_if_over(now, index);
    }

    /// How much may come before a parked subscription is to be looked at.
    fn trip_reach(&self, index: u32) -> Option<Reach> {
        let subscription = &self.subscriptions[index as usize];
        if !subscription.is_bounded() {
            return None;
        }
        let left = subscription.reach(&self.views, self.under_way_bytes(subscription));
        let at_bound = match subscription.overflow {
            // Its ring lets go of nothing as long as what is older than its start may come.
            _ if subscription.since() > 0 => true,
            Overflow::Disconnect => true,
            Overflow::DropNewest => subscription.hole().is_none(),
            _ => false,
        };
        let at_half = self.acts_at_half(index);
        // Half of a bound is reached by one less than it takes to pass it.
        let half = |bound: u32, left: u64| left.saturating_sub(u64::from(bound / 2) + 1);
        match (at_half, at_bound) {
            (true, _) => Some(Reach {
                messages: half(subscription.bound_messages, left.messages),
                bytes: half(subscription.bound_bytes, left.bytes),
            }),
            (false, true) => Some(left),
            (false, false) => None,
        }
    }

    pub(crate) fn set_trips(&mut self, now: Now, index: u32) {
        self.arm_age(now, index);
        let Some(reach) = self.trip_reach(index) else {
            return;
        };
        let key = self.key(index);
        let subscription = &mut self.subscriptions[index as usize];
        subscription.parked = subscription.parked.wrapping_add(1);
        let trip = Trip {
            key,
            parked: subscription.parked,
        };
        let cohort = self.views.cohort_mut(subscription.cohort);
        let (head, sum) = (cohort.ring.head(), cohort.ring.sum());
        // What acts no further now acts at the next entry at the earliest.
        let at_head = (subscription.cursor + reach.messages).max(head);
        let at_sum = (cohort.ring.sum_before(subscription.cursor) + reach.bytes).max(sum);
        let trips = cohort.trips.get_or_insert_default();
        trips.set(Gauge::Head, at_head, trip);
        trips.set(Gauge::Sum, at_sum, trip);
    }

    /// The session's deadline looks at one that is to act at an age.
    fn arm_age(&mut self, now: Now, index: u32) {
        if let Some(at) = self.age_deadline(now, index) {
            self.arm(self.subscriptions[index as usize].session, at);
        }
    }

    /// Whether a subscription is parked and something is to act at an age.
    fn acts_at_age(&self, index: u32) -> bool {
        let subscription = &self.subscriptions[index as usize];
        subscription.is_bounded()
            && subscription.hold == Hold::Parked
            && (subscription.overflow == Overflow::Disconnect || self.acts_at_half(index))
    }

    /// Whether a rate begins to act on it when it is behind, which it is not yet.
    fn acts_at_half(&self, index: u32) -> bool {
        let subscription = &self.subscriptions[index as usize];
        let terms = subscription.terms.as_ref();
        subscription.mode == Mode::Live && terms.is_some_and(|t| t.waits_for_behind())
    }

    /// When a parked subscription is to be looked at for its age.
    fn age_deadline(&self, now: Now, index: u32) -> Option<u64> {
        if !self.acts_at_age(index) {
            return None;
        }
        let oldest = self.oldest_ns(index)?;
        let subscription = &self.subscriptions[index as usize];
        let age = subscription.bound_age_ns();
        let past = oldest + age + 1;
        if self.acts_at_half(index) {
            let at = (oldest + age / 2).max(self.may_fall_ns(subscription));
            let at = at.min(past);
            if now.mono_ns < at {
                return Some(at);
            }
        }
        (subscription.overflow == Overflow::Disconnect).then_some(past)
    }

    /// From when on it may be behind before it passes its bound.
    pub(crate) fn may_fall_ns(&self, subscription: &Subscription) -> u64 {
        match subscription.switched_ns {
            0 => 0,
            at => at.saturating_add(self.config.mode_hold_ns),
        }
    }

    /// When the oldest message that is not with the kernel whole was numbered.
    pub(crate) fn oldest_ns(&self, index: u32) -> Option<u64> {
        let subscription = &self.subscriptions[index as usize];
        if subscription.under_way > 0
            && let Some(partial) = &self.sessions[subscription.session as usize].partial
            && let Rest::Message { mono_ns, .. } = partial.rest
        {
            return Some(mono_ns);
        }
        subscription.oldest_ns(&self.views)
    }

    /// A deadline of the session has come: what acts at an age acts, and a mode that was held may switch.
    pub(crate) fn on_subscription_deadline(&mut self, now: Now, index: u32) {
        let key = self.key(index);
        if self.acts_at_age(index) {
            self.settle(now, index);
            self.set_trips(now, index);
            self.disconnect_if_over(now, index);
        }
        if self.subscription_index(key).is_none() {
            return;
        }
        let subscription = &self.subscriptions[index as usize];
        let may = subscription.mode == Mode::Behind && subscription.hold == Hold::Live;
        if may && !subscription.is_ready {
            let session = subscription.session;
            self.next_step(now, index);
            self.queue(session);
        }
    }

    /// Whether it has passed its bound by messages or bytes, and its session ends with that.
    pub(crate) fn is_to_end(&self, index: u32) -> bool {
        self.may_end(index) && self.is_over(index)
    }

    /// Whether its session ends when it passes its bound.
    fn may_end(&self, index: u32) -> bool {
        let subscription = &self.subscriptions[index as usize];
        subscription.overflow == Overflow::Disconnect
            && subscription.hold == Hold::Parked
            && subscription.is_bounded()
    }

    /// Ends the session of a subscription that has passed its bound and wants that.
    fn disconnect_if_over(&mut self, now: Now, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        if !self.may_end(index) || subscription.leaving {
            return;
        }
        let age = self
            .oldest_ns(index)
            .map_or(0, |at| now.mono_ns.saturating_sub(at));
        if age > subscription.bound_age_ns() || self.is_over(index) {
            self.stats.closed_slow += 1;
            self.end(subscription.session, CloseHow::Hard, close::SLOW_CONSUMER);
        }
    }

    /// Looks at those whose mark the newest entry of a cohort has passed.
    pub(crate) fn trip(&mut self, now: Now, cohort: u32) {
        loop {
            let Some(record) = self.views.find_cohort(cohort) else {
                return;
            };
            let (head, sum) = (record.ring.head(), record.ring.sum());
            let Some((_, trip)) = record.trips.as_mut().and_then(|t| t.next(head, sum)) else {
                return;
            };
            let due = |s: &Subscription| s.hold == Hold::Parked && s.parked == trip.parked;
            let found = self.subscription_index(trip.key);
            let Some(index) = found.filter(|i| due(&self.subscriptions[*i as usize])) else {
                continue;
            };
            self.settle(now, index);
            // One message alone is let through however large, and history is not bounded: the next entry tells.
            self.set_trips(now, index);
            self.disconnect_if_over(now, index);
        }
    }

    pub(crate) fn set_aside(&mut self, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let (cohort, member) = (subscription.cohort, subscription.member);
        let subscriptions = &mut self.subscriptions;
        let mut moved = |who: u32, at: u32| subscriptions[who as usize].member = at;
        self.views.cohort_mut(cohort).set_aside(member, &mut moved);
    }

    pub(crate) fn set_active(&mut self, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let (cohort, member) = (subscription.cohort, subscription.member);
        if self.views.cohort(cohort).is_active(member) {
            return;
        }
        let subscriptions = &mut self.subscriptions;
        let mut moved = |who: u32, at: u32| subscriptions[who as usize].member = at;
        self.views.cohort_mut(cohort).set_active(member, &mut moved);
    }
}
