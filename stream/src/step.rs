//! What a subscription waits for next, once it has been written to or has changed.

use std::rc::Rc;

use pubsub_wire::value::Mode;

use crate::config::Now;
use crate::cursor::{self, lift, place};
use crate::engine::Engine;
use crate::ring::Hold;
use crate::subscription::{Stage, Subscription};
use crate::terms::Terms;

impl Engine {
    /// The kernel took all of a write: the first `turns` ready subscriptions had theirs and stand behind the others now.
    pub(crate) fn rotate(&mut self, now: Now, session: u32, turns: u32) {
        let generation = self.sessions[session as usize].generation;
        for _ in 0..turns {
            let Some(index) = self.pop_ready(session) else {
                break;
            };
            let cursor = self.subscriptions[index as usize].cursor;
            if self.keeps_up(index, cursor) {
                // It waits for the next entry, as it did before.
                continue;
            }
            // A write was tried and taken: nothing gives before the next is refused.
            self.unpark(index);
            self.next_step(now, index);
            let lives = |s: &crate::session::Session| s.generation == generation;
            if !self.sessions.get(session as usize).is_some_and(lives) {
                return;
            }
        }
        self.ask();
    }

    /// Whether it has all there is, with its cursor at `cursor`, and nothing is to be decided for it: the way of almost every visit.
    #[inline]
    pub(crate) fn keeps_up(&self, index: u32, cursor: u64) -> bool {
        let subscription = &self.subscriptions[index as usize];
        let cohort = self.views.cohort(subscription.cohort);
        // What acts on its messages acts in every mode, and it is where that is done.
        let stays = |t: &Rc<Terms>| subscription.joined.is_some() && !t.waits_for_behind();
        subscription.is_simple()
            && subscription.terms.as_ref().is_none_or(stays)
            && subscription.stage == Stage::Ring
            && subscription.hold == Hold::Live
            && cursor == cohort.ring.head()
            && cohort.is_active(subscription.member)
    }

    /// It takes what it is given again.
    pub(crate) fn unpark(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.hold == Hold::Parked {
            cursor::hold(
                subscription,
                self.views.cohort_mut(subscription.cohort),
                Hold::Live,
            );
            let cohort = subscription.cohort;
            self.trim(cohort);
        }
    }

    /// Decides what a subscription waits for: its session's next write, credit, the next entry of its cohort, or a piece of history.
    pub(crate) fn next_step(&mut self, now: Now, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        if subscription.extra.is_some() || subscription.joined.is_some() {
            self.tidy_window(index);
        }
        self.advance_history(index);
        self.relocate(index);
        let cohort = self.subscriptions[index as usize].cohort;
        self.trim(cohort);
        self.subscriptions[index as usize].check(&self.views);
        let may_switch = self.may_switch(now, index);
        let subscription = &self.subscriptions[index as usize];
        let stand = self.views.stand(subscription.cohort);
        if subscription.has_data(&stand, may_switch) {
            self.make_ready(index);
        } else if subscription.leaving {
            // Its end waits in the control lane.
        } else if subscription.credit == 0 && subscription.has_messages(&stand) {
            self.park(now, index);
            // Parking may have found a loss, which is told without credit.
            self.tell_if_starved(index);
        } else if subscription.stage == Stage::Ring {
            self.arm_switch(now, index);
            self.set_active(index);
        }
    }

    /// A subscription without credit that was parked has something to tell.
    fn tell_if_starved(&mut self, index: u32) {
        let Some(subscription) = self.subscriptions.get(index as usize) else {
            return;
        };
        let stand = self.views.stand(subscription.cohort);
        if subscription.has_data(&stand, false) && !subscription.is_ready {
            let session = subscription.session;
            self.make_ready(index);
            if self.sessions[session as usize].blocked {
                return;
            }
            self.queue(session);
        }
    }

    /// What stands before its next entry and is through, or not its own, is passed over.
    fn tidy_window(&mut self, index: u32) {
        self.tidy_backlog(index);
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.stage != Stage::Ring {
            return;
        }
        lift(subscription, self.views.cohort_mut(subscription.cohort));
        self.pass_strangers(index);
        self.close_hole(index);
        let subscription = &mut self.subscriptions[index as usize];
        place(subscription, self.views.cohort_mut(subscription.cohort));
    }

    /// Whether it would be live again if it were written to now.
    pub(crate) fn may_switch(&self, now: Now, index: u32) -> bool {
        let subscription = &self.subscriptions[index as usize];
        if subscription.stage != Stage::Ring
            || subscription.backlog().is_some()
            || subscription.hole().is_some()
        {
            return false;
        }
        self.has_caught_up(now, subscription, subscription.mode, subscription.cursor)
    }

    /// Whether one in `mode` whose cursor were at `cursor`, with nothing before its ring, would be live again.
    pub(crate) fn has_caught_up(
        &self,
        now: Now,
        subscription: &Subscription,
        mode: Mode,
        cursor: u64,
    ) -> bool {
        let stand = self.views.stand(subscription.cohort);
        match mode {
            Mode::Live => false,
            Mode::Behind => {
                let from_ns = subscription
                    .switched_ns
                    .saturating_add(self.config.mode_hold_ns);
                now.mono_ns >= from_ns && subscription.is_low(&stand, cursor, now.mono_ns)
            }
            Mode::Replay => cursor == stand.cohort.ring.head(),
        }
    }

    /// One that has caught up is live again when its mode may switch.
    fn arm_switch(&mut self, now: Now, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let at = subscription
            .switched_ns
            .saturating_add(self.config.mode_hold_ns);
        if subscription.mode == Mode::Behind && at > now.mono_ns {
            self.arm(subscription.session, at);
        }
    }
}
