//! How subscriptions and views come and go.

use pubsub_wire::value::{From, Mode, Overflow, Settings};

use crate::config::Now;
use crate::cursor::{lift, place};
use crate::engine::Engine;
use crate::hub::{HubRequest, Start};
use crate::ring::Hold;
use crate::session::NONE;
use crate::subscription::{Stage, Subscription, UNLIMITED};
use crate::terms::Terms;

impl Engine {
    /// A new subscription, which has not begun.
    pub(crate) fn add_subscription(
        &mut self,
        now: Now,
        session: u32,
        text: &str,
        settings: &Settings,
    ) -> u32 {
        let view = self
            .views
            .find(text)
            .unwrap_or_else(|| self.add_view(now, text));
        let serial = self.next_serial();
        let plain = self.views.get(view).plain;
        let mut subscription = Subscription::new(serial, session, view, plain);
        let first = self.sessions[session as usize].first;
        subscription.next = first;
        subscription.set_bound(&settings.bound);
        subscription.overflow = settings.overflow;
        subscription.credit = settings.credit.unwrap_or(UNLIMITED);
        subscription.terms = self.terms.intern(Terms::new(settings.rate, settings.batch));
        let live = settings.from == From::Live;
        subscription.from = (!live).then(|| Box::new(settings.from.clone()));
        let (messages, bytes) = (subscription.bound_messages, subscription.bound_bytes);
        let index = self.subscriptions.insert(subscription) as u32;
        if first != NONE {
            self.subscriptions[first as usize].previous = index;
        }
        let record = &mut self.sessions[session as usize];
        record.first = index;
        record.subscriptions += 1;
        self.views.get_mut(view).subscriptions += 1;
        let cohort = self.views.cohort_mut(plain);
        self.subscriptions[index as usize].member = cohort.add(index, messages, bytes);
        if settings.overflow == Overflow::Conflate {
            cohort.add_conflater();
        }
        let (views, subscriptions) = (&self.views, &self.subscriptions);
        let name = views.hash((session, view));
        self.names.insert_unique(name, index, |i| {
            let subscription = &subscriptions[*i as usize];
            views.hash((subscription.session, subscription.view))
        });
        self.stats.subscriptions += 1;
        index
    }

    fn add_view(&mut self, now: Now, text: &str) -> u32 {
        let index = self.views.insert(text, &self.hub.epoch);
        self.stats.views += 1;
        if self.hub.up {
            let view = self.views.get(index).id;
            self.hub.requests.push_back(HubRequest::Watch {
                view,
                text: text.to_owned(),
            });
        }
        self.arm_quiet(now);
        index
    }

    /// The subscription of a session to a view, by its text.
    pub(crate) fn named(&self, session: u32, view: u32) -> Option<u32> {
        let is_it = |i: &u32| {
            let subscription = &self.subscriptions[*i as usize];
            subscription.session == session && subscription.view == view
        };
        let name = self.views.hash((session, view));
        self.names.find(name, is_it).copied()
    }

    /// The text is free again for another subscription of the session.
    pub(crate) fn forget_name(&mut self, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let hash = self.views.hash((subscription.session, subscription.view));
        if let Ok(entry) = self.names.find_entry(hash, |i| *i == index) {
            entry.remove();
        }
    }

    /// Lets a subscription begin as soon as it is known where.
    pub(crate) fn open(&mut self, now: Now, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let view = self.views.get(subscription.view);
        let start = subscription
            .extra
            .as_ref()
            .and_then(|e| e.opening.as_ref()?.start.as_ref());
        if !view.begun {
            return;
        }
        let Some(start) = start else {
            let position = if view.watched {
                self.hub.position
            } else {
                view.told
            };
            self.begin_live(now, index, position);
            return;
        };
        if let Start::After { epoch, offset, .. } = start {
            let reachable = **epoch == *view.epoch && *offset <= self.hub.position && view.watched;
            if let Some(ordinal) = self
                .views
                .cohort(view.plain)
                .ring
                .ordinal_after(*offset)
                .filter(|_| reachable)
            {
                let offset = *offset;
                self.begin_in_ring(now, index, ordinal, offset);
                return;
            }
        }
        if view.watched {
            let key = self.key(index);
            self.reads.queue(key);
        }
    }

    fn begin_live(&mut self, now: Now, index: u32, position: i64) {
        let cohort = self.subscriptions[index as usize].cohort;
        let head = self.views.cohort(cohort).ring.head();
        self.begin_in_ring(now, index, head, position);
    }

    /// A subscription begins at an ordinal of the ring, which is after `position`; its client is told.
    fn begin_in_ring(&mut self, now: Now, index: u32, ordinal: u64, position: i64) {
        let subscription = &mut self.subscriptions[index as usize];
        let cohort = self.views.cohort_mut(subscription.cohort);
        subscription.stage = Stage::Ring;
        subscription.start = ordinal;
        subscription.cursor = ordinal;
        subscription.last = position;
        place(subscription, cohort);
        if ordinal < cohort.ring.head() {
            Self::set_mode(&mut self.stats, subscription, Mode::Replay);
            subscription.announce = true;
        }
        let key = self.key(index);
        self.answer_subscribed(index, position);
        // A full control lane may have ended the session.
        if self.subscription_index(key).is_none() {
            return;
        }
        self.leave_if_wanted(now, index);
        let session = self.subscriptions[index as usize].session;
        self.next_step(now, index);
        if self.subscription_index(key).is_none() {
            return;
        }
        if self.sessions[session as usize].blocked && self.subscriptions[index as usize].is_ready {
            self.park(now, index);
        } else {
            self.queue(session);
        }
    }

    /// Forgets a subscription, and its view if it was the last.
    pub(crate) fn remove_subscription(&mut self, index: u32) {
        let record = &self.subscriptions[index as usize];
        if record.hold == Hold::Parked && !record.leaving && record.mode != Mode::Replay {
            // What it lost is counted, though there is nobody left to be told.
            self.settle(self.now, index);
        }
        self.remove_ready(index);
        self.forget_name(index);
        self.drop_backlog(index);
        let subscription = &mut self.subscriptions[index as usize];
        lift(subscription, self.views.cohort_mut(subscription.cohort));
        Self::set_mode(&mut self.stats, subscription, Mode::Live);
        self.leave_cohort(index);
        let subscription = self.subscriptions.remove(index as usize);
        self.terms.forget(subscription.terms.as_ref());
        self.stats.subscriptions -= 1;
        self.unlink(&subscription);
        let view = self.views.get_mut(subscription.view);
        view.subscriptions -= 1;
        if view.subscriptions == 0 {
            self.remove_view(subscription.view);
        }
    }

    fn unlink(&mut self, subscription: &Subscription) {
        let session = &mut self.sessions[subscription.session as usize];
        session.subscriptions -= 1;
        if subscription.previous == NONE {
            session.first = subscription.next;
        } else {
            self.subscriptions[subscription.previous as usize].next = subscription.next;
        }
        if subscription.next != NONE {
            self.subscriptions[subscription.next as usize].previous = subscription.previous;
        }
    }

    /// Its bounds count no more for what its cohort keeps.
    pub(crate) fn remove_bounds(&mut self, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        let (messages, bytes) = (subscription.bound_messages, subscription.bound_bytes);
        let subscriptions = &self.subscriptions;
        let cohort = self.views.cohort_mut(subscription.cohort);
        if cohort.remove_bounds(messages, bytes) {
            let of = |i: u32| {
                let other = &subscriptions[i as usize];
                (other.bound_messages, other.bound_bytes)
            };
            let others = cohort.members.iter().copied().filter(|i| *i != index);
            let bounds: Vec<(u32, u32)> = others.map(of).collect();
            cohort.measure(bounds.into_iter());
        }
    }

    fn remove_view(&mut self, index: u32) {
        let plain = self.views.get(index).plain;
        self.trim(plain);
        self.stats.ring_bytes -= self.views.cohort(plain).ring.bytes();
        let view = self.views.remove(index);
        self.stats.views -= 1;
        if self.hub.up {
            self.hub
                .requests
                .push_back(HubRequest::Unwatch { view: view.id });
        }
    }
}
