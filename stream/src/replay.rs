//! How a subscription leaves the ring for the log, reads on there, and comes back.
//!
//! Owns the transitions between reading slices and standing in the plain cohort's ring. Live and replay are decided in one turn, so
//! that there is neither a hole nor a duplicate.

use pubsub_wire::value::{GapReason, Mode};

use crate::backlog::{Backlog, Part};
use crate::config::Now;
use crate::cursor::{lift, place};
use crate::engine::Engine;
use crate::history::{History, Step};
use crate::session::NONE;
use crate::subscription::Stage;

impl Engine {
    /// A reader of history whose socket refuses, or whose credit is used up, gives its slice back when memory for slices is short.
    pub(crate) fn put_back(&mut self, index: u32) {
        if !self.reads.is_short() {
            return;
        }
        let subscription = &mut self.subscriptions[index as usize];
        let last = subscription.last;
        let ring = &self.views.cohort(subscription.cohort).ring;
        // What is left of a former epoch cannot be asked for again.
        let meets_epoch = ring.meets_epoch(subscription.cursor);
        let Some(history) = subscription
            .history_mut()
            .filter(|h| h.step == Step::Reading && !(h.joined && meets_epoch))
        else {
            return;
        };
        history.put_back(last);
        history.step = Step::Starved;
        let cohort = self.views.cohort_mut(subscription.cohort);
        lift(subscription, cohort);
        if subscription.credit > 0 {
            self.want_slice(index);
        }
    }

    /// A reader of history is to ask for its next piece, as soon as its socket takes bytes.
    fn want_slice(&mut self, index: u32) {
        let key = self.key(index);
        let subscription = &mut self.subscriptions[index as usize];
        let rests = self.sessions[subscription.session as usize].blocked;
        let Some(history) = subscription.history_mut() else {
            return;
        };
        if rests {
            history.step = Step::Resting;
        } else {
            history.step = Step::Queued;
            self.reads.queue(key);
        }
    }

    /// The socket takes bytes again: what its readers of history wait for is asked for.
    pub(crate) fn wake_readers(&mut self, session: u32) {
        let mut next = self.sessions[session as usize].first;
        while next != NONE {
            let index = next;
            next = self.subscriptions[index as usize].next;
            self.wake_reader(index, Step::Resting);
        }
    }

    /// What it waits for of history, if it waits in that way, is asked for as soon as its socket takes bytes.
    pub(crate) fn wake_reader(&mut self, index: u32, waits: Step) {
        let history = self.subscriptions[index as usize].history();
        if history.is_some_and(|h| h.step == waits) {
            self.want_slice(index);
        }
    }

    /// The ring has moved past a subscription in `replay`: it reads on from the log.
    pub(crate) fn back_to_history(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        lift(subscription, self.views.cohort_mut(subscription.cohort));
        subscription.lose_epochs(&self.views.stand(subscription.cohort));
        let mut history = History::new(subscription.last, false);
        history.published = subscription.cursor.wrapping_sub(subscription.start);
        subscription.extra().history = Some(Box::new(history));
        subscription.stage = Stage::History;
        self.want_slice(index);
    }

    /// The bound is reached and nothing is to be lost: what is pending stays in the log, and is read from there.
    pub(crate) fn spill(&mut self, now: Now, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        Self::set_mode(&mut self.stats, subscription, Mode::Replay);
        subscription.announce = true;
        subscription.switched_ns = now.mono_ns;
        let is_plain = self.views.cohort(subscription.cohort).is_plain();
        if is_plain && subscription.backlog().is_none() {
            if subscription.cursor < self.views.cohort(subscription.cohort).ring.first() {
                self.back_to_history(index);
            }
            return;
        }
        self.lose_former_epochs(index);
        let subscription = &mut self.subscriptions[index as usize];
        let counts = subscription.counts(&self.views);
        if counts.filtered > 0 {
            subscription.lost.get_or_insert_default().filtered = counts.filtered;
        }
        // What waits is read again, and so is what fell into a hole that was not told yet.
        let again = counts.pending + counts.falling;
        let published = counts.published - again;
        self.drop_backlog(index);
        self.leave_cohort(index);
        let plain = self
            .views
            .get(self.subscriptions[index as usize].view)
            .plain;
        self.join(index, plain, published);
        let subscription = &mut self.subscriptions[index as usize];
        lift(subscription, self.views.cohort_mut(plain));
        let mut history = History::new(subscription.last, false);
        history.published = published;
        subscription.extra().history = Some(Box::new(history));
        subscription.stage = Stage::History;
        self.want_slice(index);
    }

    /// What is pending of former epochs cannot be read from the log any more. Lifts the cursor.
    fn lose_former_epochs(&mut self, index: u32) {
        let ends = |e: &Self| {
            let subscription = &e.subscriptions[index as usize];
            let ring = &e.views.cohort(subscription.cohort).ring;
            let in_ring = ring.meets_epoch(subscription.cursor);
            let parts = subscription.backlog();
            parts.is_some_and(|b| in_ring || b.iter().any(|p| p.ends_epoch(&e.views)))
        };
        while ends(self) {
            self.lose_first_part(index);
        }
        let subscription = &mut self.subscriptions[index as usize];
        lift(subscription, self.views.cohort_mut(subscription.cohort));
        subscription.lose_epochs(&self.views.stand(subscription.cohort));
    }

    /// Gives up the first part of its backlog, whatever it is.
    fn lose_first_part(&mut self, index: u32) {
        let front = self.subscriptions[index as usize].backlog();
        match front.and_then(Backlog::front) {
            Some(Part::Gap(_)) => self.tell_gap(index),
            Some(Part::Window(window)) if window.conflates => {
                let (window, reason) = (*window, GapReason::Retention);
                self.lose_from_window(index, window, window.until, reason);
                self.tidy_backlog(index);
            }
            Some(Part::Window(_) | Part::Held { .. }) => {
                self.lose_front(index, GapReason::Retention);
            }
            None => {}
        }
    }

    /// A reader of history goes on in the ring, at its present head, once it is through with its slice.
    pub(crate) fn join_at_head(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        let cohort = self.views.cohort_mut(subscription.cohort);
        let Some(history) = subscription.history_mut() else {
            return;
        };
        history.step = Step::Reading;
        if !std::mem::replace(&mut history.joined, true) {
            lift(subscription, cohort);
            subscription.cursor = cohort.ring.head();
            place(subscription, cohort);
        }
    }

    /// Where a slice is through, its reader goes on in the ring, or asks for the next.
    pub(crate) fn advance_history(&mut self, index: u32) {
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
        let watched = self.views.get(subscription.view).watched;
        let cohort = self.views.cohort_mut(subscription.cohort);
        let ordinal = match (joined, compacted) {
            (true, _) => Some(subscription.cursor).filter(|c| *c >= cohort.ring.first()),
            // The ring holds every entry after its base, not only the newest of each key.
            (false, true) => None,
            (false, false) => cohort.ring.ordinal_after(after).filter(|_| watched),
        };
        lift(subscription, cohort);
        if let Some(ordinal) = ordinal {
            subscription.extra().history = None;
            subscription.tidy();
            subscription.stage = Stage::Ring;
            subscription.cursor = ordinal;
            subscription.start = ordinal.wrapping_sub(published);
            subscription.last = subscription.last.max(after);
            place(subscription, cohort);
            return;
        }
        let begins_anew = joined && cohort.ring.meets_epoch(subscription.cursor);
        let mut history = History::new(after, compacted);
        history.published = published;
        if begins_anew {
            subscription.lose_epochs(&self.views.stand(subscription.cohort));
            history = History::new(subscription.last, false);
        }
        subscription.extra().history = Some(Box::new(history));
        if begins_anew {
            // It may find its new place in the ring.
            self.advance_history(index);
        } else {
            self.want_slice(index);
        }
    }
}
