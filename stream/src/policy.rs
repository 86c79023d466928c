//! What one that waits loses, skips or reads again, and when it is behind.
//!
//! Loss is settled when a subscription is looked at, never by walking the laggards at each publication. Driven by whoever parks it,
//! writes to it or asks for its ledger.

use pubsub_wire::value::{GapReason, Mode, Overflow};

use crate::backlog::{Part, Window};
use crate::config::Now;
use crate::cursor::{lift, place};
use crate::engine::Engine;
use crate::ring::Hold;
use crate::subscription::{Stage, Subscription};
use crate::views::{Stand, Views};

impl Engine {
    /// Settles what a subscription has lost up to now, whether it is behind, and what acts on its messages.
    pub(crate) fn settle(&mut self, now: Now, index: u32) {
        let place = |s: &Subscription| (s.cohort, s.hole().is_some());
        let before = place(&self.subscriptions[index as usize]);
        self.settle_losses(now, index);
        let subscription = &self.subscriptions[index as usize];
        if subscription.hold == Hold::Parked && place(subscription) != before {
            // What tripped, or stands in another ring, is to be looked at another time.
            self.set_trips(now, index);
        }
    }

    fn settle_losses(&mut self, now: Now, index: u32) {
        if self.subscriptions[index as usize].stage != Stage::Ring {
            self.put_back(index);
            return;
        }
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.mode == Mode::Replay {
            self.tidy_backlog(index);
            let subscription = &self.subscriptions[index as usize];
            if subscription.cursor < self.views.cohort(subscription.cohort).ring.first() {
                self.back_to_history(index);
            }
            return;
        }
        // As long as it is lifted its ring lets go of nothing, though its bound may have shrunk.
        lift(subscription, self.views.cohort_mut(subscription.cohort));
        self.tidy_backlog(index);
        self.fall_behind(now, index);
        self.pass_strangers(index);
        let subscription = &self.subscriptions[index as usize];
        let parked = subscription.hold == Hold::Parked;
        let mut spills = self.lose_to_memory(index);
        // What is pending before its ring is through before anything of that is told.
        let before = self.subscriptions[index as usize].backlog();
        match self.subscriptions[index as usize].overflow {
            Overflow::Conflate if before.is_none() => self.pass_superseded(index),
            Overflow::DropOldest | Overflow::DropNewest if parked => {
                self.expire(now, index);
                if self.subscriptions[index as usize].overflow == Overflow::DropOldest {
                    self.drop_oldest(index);
                } else {
                    self.open_hole(index);
                }
            }
            Overflow::DropOldest => self.drop_overtaken(index),
            // One that takes is looked at only where memory has overtaken it.
            Overflow::Spill => spills |= self.is_over(index),
            _ => {}
        }
        self.close_hole(index);
        let subscription = &mut self.subscriptions[index as usize];
        place(subscription, self.views.cohort_mut(subscription.cohort));
        let cohort = subscription.cohort;
        self.trim(cohort);
        self.subscriptions[index as usize].check(&self.views);
        if spills {
            self.spill(now, index);
        } else if !self.is_to_end(index) {
            self.relocate(index);
        }
        self.subscriptions[index as usize].check(&self.views);
    }

    /// Past the high watermark a parked subscription is behind; at its bound whenever it switched last.
    fn fall_behind(&mut self, now: Now, index: u32) {
        let under_way = self.under_way_bytes(&self.subscriptions[index as usize]);
        let age = self
            .oldest_ns(index)
            .map_or(0, |at| now.mono_ns.saturating_sub(at));
        let may = now.mono_ns >= self.may_fall_ns(&self.subscriptions[index as usize]);
        let subscription = &mut self.subscriptions[index as usize];
        let waits = subscription.lag_messages(&self.views) > u64::from(subscription.under_way);
        if subscription.mode != Mode::Live || !waits {
            return;
        }
        let parked = subscription.hold == Hold::Parked;
        let high = |s: &Subscription, views: &Views| {
            s.is_high(views, under_way) || age * 2 >= s.bound_age_ns()
        };
        let over =
            |s: &Subscription, views: &Views| s.is_over(views, under_way) || age > s.bound_age_ns();
        let ring = &self.views.cohort(subscription.cohort).ring;
        let overtaken =
            subscription.overflow == Overflow::Conflate && subscription.cursor < ring.first();
        let falls =
            parked && high(subscription, &self.views) && (may || over(subscription, &self.views));
        if overtaken || falls {
            subscription.switched_ns = now.mono_ns;
            Self::set_mode(&mut self.stats, subscription, Mode::Behind);
            subscription.announce = true;
        }
    }

    /// What is older than the bound of age is lost.
    fn expire(&mut self, now: Now, index: u32) {
        let reason = GapReason::Expired;
        let age = self.subscriptions[index as usize].bound_age_ns();
        let floor_ns = now.mono_ns.saturating_sub(age);
        loop {
            let subscription = &self.subscriptions[index as usize];
            let Some(front) = subscription.backlog().and_then(|b| b.front()) else {
                break;
            };
            let old = match front {
                // It goes out by the policy under which it waited.
                Part::Window(window) if window.conflates => return,
                Part::Gap(_) => return,
                Part::Held { slice, index, .. } => {
                    slice.entries[*index as usize].mono_ns < floor_ns
                }
                Part::Window(w) => {
                    let ring = &self.views.cohort(w.cohort).ring;
                    ring.younger(w.cursor, w.cursor + 1, floor_ns) > w.cursor
                }
            };
            if !old {
                return;
            }
            self.lose_front(index, reason);
        }
        let subscription = &mut self.subscriptions[index as usize];
        let stand = self.views.stand(subscription.cohort);
        let ring = &stand.cohort.ring;
        let end = subscription.hole().map_or(ring.head(), |h| h.from);
        let to = ring.younger(subscription.cursor, end, floor_ns);
        let lost = subscription.lose(&stand, to, reason);
        self.count_lost(reason, lost);
    }

    /// The oldest that passes the bound is lost.
    fn drop_oldest(&mut self, index: u32) {
        let reason = GapReason::DropOldest;
        let under_way = self.under_way_bytes(&self.subscriptions[index as usize]);
        let over = |s: &Subscription, views: &Views| s.is_over(views, under_way);
        while over(&self.subscriptions[index as usize], &self.views)
            && self.subscriptions[index as usize].backlog().is_some()
            && self.lose_front(index, reason)
        {}
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.backlog().is_some() {
            self.drop_behind(index, under_way);
            return;
        }
        let mut lost = 0;
        while over(subscription, &self.views) {
            let stand = self.views.stand(subscription.cohort);
            let to = if subscription.since() > 0 {
                subscription.cursor + 1
            } else {
                drop_to(subscription, &self.views, &stand, under_way)
            };
            lost += subscription.lose(&stand, to, reason);
            subscription.pass_strangers(&stand);
            if subscription.since() == 0 {
                break;
            }
        }
        self.count_lost(reason, lost);
    }

    /// What of the backlog goes out whatever the bound is leaves so much less for what comes behind it.
    fn drop_behind(&mut self, index: u32, under_way: u64) {
        let subscription = &mut self.subscriptions[index as usize];
        if !subscription.loses_behind(&self.views) || !subscription.is_over(&self.views, under_way)
        {
            return;
        }
        let stand = self.views.stand(subscription.cohort);
        let ring = &stand.cohort.ring;
        let to = ring.within(subscription.reach(&self.views, under_way));
        subscription.lose_behind(&stand, to.max(ring.first()), GapReason::DropOldest);
    }

    /// What passed the bound before it was written to again is lost, and no more than the ring let go of.
    fn drop_overtaken(&mut self, index: u32) {
        let reason = GapReason::DropOldest;
        let subscription = &mut self.subscriptions[index as usize];
        let stand = self.views.stand(subscription.cohort);
        let to = stand.cohort.ring.available(subscription.cursor);
        if subscription.backlog().is_none() {
            let lost = subscription.lose(&stand, to, reason);
            self.count_lost(reason, lost);
        }
    }

    /// Gives up the first message of the backlog. `false`: a frame under way has to be whole before, or it conflates.
    pub(crate) fn lose_front(&mut self, index: u32, reason: GapReason) -> bool {
        let subscription = &mut self.subscriptions[index as usize];
        let Some(front) = subscription.backlog().and_then(|b| b.front()) else {
            return false;
        };
        match front {
            // It goes out by the policy under which it waited.
            Part::Window(window) if window.conflates => return false,
            Part::Gap(_) => return false,
            Part::Held {
                slice,
                index: at,
                rated,
                epoch,
            } => {
                let (position, rated) = (slice.entries[*at as usize].offset, *rated);
                let epoch = std::rc::Rc::clone(epoch);
                subscription.lose_counted(1, reason, position, epoch, rated);
                self.count_lost(reason, 1);
                if let Some(Part::Held { index: at, .. }) = self.subscriptions[index as usize]
                    .extra()
                    .backlog_mut()
                    .front_mut()
                {
                    *at += 1;
                }
            }
            Part::Window(window) => {
                let window = *window;
                self.lose_from_window(index, window, window.cursor + 1, reason);
            }
        }
        self.tidy_backlog(index);
        true
    }

    /// Gives up what stands before `to` in the window that is the first part of its backlog.
    pub(crate) fn lose_from_window(
        &mut self,
        index: u32,
        window: Window,
        to: u64,
        reason: GapReason,
    ) {
        let subscription = &mut self.subscriptions[index as usize];
        let lost = subscription.lose_window(&self.views, window, to, reason);
        self.count_lost(reason, lost);
        self.move_window(index, to);
    }

    /// Moves a conflating cursor that the ring has overtaken to the next entry that still means something. Its cursor must be lifted.
    fn pass_superseded(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        let stand = self.views.stand(subscription.cohort);
        let horizon = stand.cohort.compact.as_ref().map_or(0, |c| c.horizon());
        if subscription.cursor < horizon {
            // All before the next that is at hand is told as one loss: of what is gone no more is known.
            let to = stand.at_hand(horizon);
            let lost = subscription.lose(&stand, to, GapReason::Memory);
            self.stats.lost_memory += lost;
        }
        let to = stand.at_hand(subscription.cursor);
        if to > subscription.cursor {
            self.stats.conflated += subscription.advance(&stand, to, 0);
            subscription.pass_position(&stand, to);
        }
    }

    /// What memory took from a subscription is lost, unless it reads on from the log: `true`. Its cursor must be lifted.
    fn lose_to_memory(&mut self, index: u32) -> bool {
        let subscription = &mut self.subscriptions[index as usize];
        let stand = self.views.stand(subscription.cohort);
        let ring = &stand.cohort.ring;
        let available = ring.available(subscription.cursor);
        let to = match (subscription.hole(), subscription.overflow) {
            // The window before a hole is pinned: only memory can have taken from it.
            (Some(hole), _) => available.min(hole.from),
            // The ring may have let go of more, which then was more than the bound allows.
            (None, Overflow::DropOldest) => available.min(ring.taken()),
            (None, Overflow::Disconnect) if subscription.hold == Hold::Parked => {
                available.min(ring.taken())
            }
            (None, _) => available,
        };
        match subscription.overflow {
            Overflow::Conflate => false,
            Overflow::Spill => available > subscription.cursor,
            _ if subscription.backlog().is_some() => {
                if subscription.loses_behind(&self.views) {
                    subscription.lose_behind(&stand, ring.taken(), GapReason::Memory);
                }
                false
            }
            _ => {
                let lost = subscription.lose(&stand, to, GapReason::Memory);
                self.stats.lost_memory += lost;
                false
            }
        }
    }

    pub(crate) fn is_over(&self, index: u32) -> bool {
        let subscription = &self.subscriptions[index as usize];
        subscription.is_over(&self.views, self.under_way_bytes(subscription))
    }
}

/// The first entry that `drop_oldest` keeps.
fn drop_to(subscription: &Subscription, views: &Views, stand: &Stand<'_>, under_way: u64) -> u64 {
    let ring = &stand.cohort.ring;
    let mut to = ring.within(subscription.reach(views, under_way));
    if subscription.under_way == 0 {
        // One message is always let through when nothing else waits, however large.
        to = to.min(ring.head() - 1);
    }
    // What the ring let go of was more than the bound allows.
    to.max(ring.first()).max(subscription.cursor)
}
