//! How a subscription ends: at once, or with what is pending delivered first; and what it is told of its accounts then, and at any
//! other time.

use std::rc::Rc;

use pubsub_wire::value::{Ledger, Mode};
use pubsub_wire::{CommandError, ErrorCode, Id, encode};

use crate::cohort::SubKey;
use crate::command::{frame_of, not_subscribed, refusal};
use crate::config::Now;
use crate::cursor;
use crate::engine::Engine;
use crate::history::Past;
use crate::ring::Hold;
use crate::session::Control;
use crate::subscription::{Draining, Leave, Lost, Stage};
use crate::timer::CLOSE_FLUSH_NS;

impl Engine {
    pub(crate) fn unsubscribe(
        &mut self,
        now: Now,
        session: u32,
        id: Option<Id>,
        topic: &str,
        drain: bool,
    ) -> Result<(), CommandError> {
        let index = self.find(session, topic)?;
        let subscription = &mut self.subscriptions[index as usize];
        if let Some(opening) = subscription.extra.as_mut().and_then(|e| e.opening.as_mut()) {
            opening.leave = Some(Leave(id));
            self.forget_name(index);
            return Ok(());
        }
        if subscription.draining().is_some() {
            return Err(refusal(
                ErrorCode::NotSubscribed,
                "topic",
                "it is being unsubscribed already",
            ));
        }
        if drain {
            self.drain(now, index, id);
        } else {
            self.leave(now, index, id);
        }
        Ok(())
    }

    /// Everything that is pending, also what its rate and batch hold, is delivered first.
    fn drain(&mut self, now: Now, index: u32, id: Option<Id>) {
        let key = self.key(index);
        if self.subscriptions[index as usize].hold == Hold::Parked {
            self.settle(now, index);
        }
        if self.subscriptions[index as usize].joined.is_some() && self.may_depart(index) {
            let cohort = self.subscriptions[index as usize].cohort;
            let acting = self.views.cohort(cohort).acting;
            let published = self.depart(index);
            let view = self.subscriptions[index as usize].view;
            let cohort = self.views.cohort_of(view, acting);
            self.join(index, cohort, published);
            if self.subscriptions[index as usize].hold == Hold::Parked {
                // What rate and batch held counts against the bound from now on.
                self.settle(now, index);
            }
        }
        let subscription = &mut self.subscriptions[index as usize];
        let stop = self.views.cohort(subscription.cohort).ring.head();
        let until_ns = now.mono_ns + CLOSE_FLUSH_NS;
        subscription.extra().draining = Some(Box::new(Draining { id, stop, until_ns }));
        let session = subscription.session;
        self.make_ready(index);
        self.arm(session, until_ns);
        if self.sessions[session as usize].blocked {
            // What rate and batch held waits for the socket like the rest.
            self.park(now, index);
        }
        if self.subscription_index(key).is_some() {
            self.queue(session);
        }
    }

    /// Ends a drain with what is left undelivered in its ledger. `false`: there is none.
    pub(crate) fn end_drain(&mut self, now: Now, index: u32) -> bool {
        let extra = self.subscriptions[index as usize].extra.as_mut();
        let Some(draining) = extra.and_then(|e| e.draining.take()) else {
            return false;
        };
        self.leave(now, index, draining.id);
        true
    }

    /// Ends a subscription at the next frame boundary.
    pub(crate) fn leave(&mut self, now: Now, index: u32, id: Option<Id>) {
        let key = self.key(index);
        if self.subscriptions[index as usize].hold == Hold::Parked {
            self.settle(now, index);
        }
        let subscription = &mut self.subscriptions[index as usize];
        let session = subscription.session;
        subscription.leaving = true;
        // It may have to wait for its socket, and keeps nothing beyond its bound meanwhile.
        let cohort = self.views.cohort_mut(subscription.cohort);
        cursor::hold(subscription, cohort, Hold::Parked);
        self.set_aside(index);
        self.forget_name(index);
        self.remove_ready(index);
        self.control(
            session,
            Control::Unsubscribed {
                id,
                subscription: key,
            },
        );
    }

    /// Ends a subscription that was unsubscribed before it had begun.
    pub(crate) fn leave_if_wanted(&mut self, now: Now, index: u32) {
        let Some(opening) = self.subscriptions[index as usize]
            .extra
            .as_mut()
            .and_then(|e| e.opening.take())
        else {
            return;
        };
        self.subscriptions[index as usize].tidy();
        if let Some(Leave(id)) = opening.leave {
            self.leave(now, index, id);
        }
    }

    pub(crate) fn compose_ledger(&mut self, now: Now, id: Option<&Id>, key: SubKey) -> Rc<[u8]> {
        let Some(index) = self.subscription_index(key) else {
            // The hub has refused it since it was asked for.
            let error = not_subscribed();
            let frame = frame_of(&error, id);
            return Rc::from(self.frames.text(|out| encode::error(out, &frame)));
        };
        self.settle_for_ledger(now, index);
        let subscription = &self.subscriptions[index as usize];
        let ledger = subscription.ledger(&self.views);
        let stand = self.views.stand(subscription.cohort);
        let epoch = subscription.epoch(&self.views);
        let text = &stand.view.text;
        Rc::from(
            self.frames
                .text(|out| encode::ledger(out, id, text, epoch, &ledger)),
        )
    }

    /// The gaps that were not announced yet, what is flushed, and the final ledger, as one piece.
    pub(crate) fn compose_unsubscribed(
        &mut self,
        now: Now,
        id: Option<&Id>,
        key: SubKey,
    ) -> Rc<[u8]> {
        let Some(index) = self.subscription_index(key) else {
            return Rc::from([]);
        };
        self.settle_for_ledger(now, index);
        let mut bytes = Vec::new();
        if self.subscriptions[index as usize].announce {
            // Under which what is not here was left out.
            bytes.extend_from_slice(&self.compose_mode(now, index));
        }
        let subscription = &self.subscriptions[index as usize];
        let view = self.views.get(subscription.view);
        for gap in subscription.gaps() {
            bytes.extend_from_slice(self.frames.text(|out| encode::gap(out, &view.text, gap)));
        }
        let mut ledger = subscription.ledger(&self.views);
        self.write_flushed(index, &mut bytes, &mut ledger);
        let view = self.views.get(self.subscriptions[index as usize].view);
        bytes.extend_from_slice(
            self.frames
                .text(|out| encode::unsubscribed(out, id, &view.text, &ledger)),
        );
        bytes.into()
    }

    /// What is lost and only its last ledger tells counts as lost.
    pub(crate) fn count_untold(&mut self, index: u32) {
        let mut untold = Lost::default();
        self.subscriptions[index as usize].add_untold(&self.views, &mut untold);
        self.stats.add_lost(&untold);
    }

    /// How much of what a rate or batch holds goes out with the end: all that credit covers, if nothing stands before it.
    pub(crate) fn flushed(&self, index: u32) -> u64 {
        let subscription = &self.subscriptions[index as usize];
        let Some(joined) = &subscription.joined else {
            return 0;
        };
        let stand = self.views.stand(subscription.cohort);
        // One that is drained was given what was held when that began.
        let at_head = subscription.stage == Stage::Ring
            && subscription.mode == Mode::Live
            && subscription.draining().is_none()
            && !subscription.has_messages(&stand)
            && subscription.hole().is_none();
        let operator = stand.cohort.operator.as_ref().filter(|_| at_head);
        let held = operator.map_or(0, |o| o.held() - o.held_before(joined.since));
        held.min(subscription.credit)
    }

    fn write_flushed(&mut self, index: u32, bytes: &mut Vec<u8>, ledger: &mut Ledger) {
        let count = self.flushed(index);
        if count == 0 {
            return;
        }
        let subscription = &self.subscriptions[index as usize];
        let since = subscription.joined.as_ref().map_or(0, |j| j.since);
        let (cohort, view) = (subscription.cohort, subscription.view);
        let mut held = self.held_since(cohort, since);
        held.truncate(count as usize);
        for batch in held.chunk_by(|a, b| Rc::ptr_eq(&a.frame, &b.frame)) {
            self.write_past(view, batch, bytes);
        }
        ledger.delivered += count;
        ledger.pending.memory -= count;
    }

    /// One frame of these: a message, or as much of a batch as they are.
    fn write_past(&mut self, view: u32, batch: &[Past], bytes: &mut Vec<u8>) {
        let Some(first) = batch.first() else { return };
        if first.seat.of as usize <= batch.len() {
            bytes.extend_from_slice(&first.frame);
            return;
        }
        let text = &self.views.get(view).text;
        bytes.extend_from_slice(self.frames.text(|out| {
            encode::batch_begin(out, text);
            for (at, past) in batch.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(&past.frame[past.seat.from as usize..past.seat.to as usize]);
            }
            out.extend_from_slice(encode::BATCH_END.as_bytes());
        }));
    }

    fn settle_for_ledger(&mut self, now: Now, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        if subscription.hold == Hold::Parked && subscription.stage == Stage::Ring {
            self.settle(now, index);
        }
    }
}
