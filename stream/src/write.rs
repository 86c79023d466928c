//! What of a plan the kernel took.
//!
//! It is carried out piece by piece: a frame that has begun is past the reach of every policy, one that has not may be planned
//! otherwise the next time.
//!
//! Laws: bytes go out in the order planned; a cursor moves exactly when its frame begins; a frame counts as delivered exactly when
//! it is whole.

use std::rc::Rc;

use crate::backlog::Part;
use crate::config::{CloseHow, Now, SessionId};
use crate::cursor::{lift, place};
use crate::engine::Engine;
use crate::plan::{Item, Place, Plan, What};
use crate::ring::Kind;
use crate::session::{Control, Heartbeat, NONE, Partial, Rest};
use crate::subscription::{Met, Stage};

impl Engine {
    /// The kernel took `bytes` of what was lent; `blocked`: it would take no more.
    pub fn handle_written(&mut self, now: Now, session: SessionId, bytes: usize, blocked: bool) {
        let Some(index) = self.session_index(session) else {
            return;
        };
        self.now = now;
        self.visits.handed(bytes);
        if !blocked && self.try_hand_over(now, index, bytes) {
            self.plan.clear();
            return;
        }
        let mut plan = std::mem::take(&mut self.plan);
        let over = self.carry_out(now, index, &plan, bytes);
        let touched = plan.touched;
        plan.clear();
        self.plan = plan;
        if over {
            return;
        }
        if bytes > 0 {
            self.sessions[index as usize].blocked_ns = 0;
        }
        self.rotate(now, index, touched);
        if self.session_index(session).is_none() {
            return;
        }
        if blocked {
            self.block(now, index);
        } else {
            self.queue(index);
        }
        self.mind_memory();
    }

    /// The way of almost every visit: one message, whole, and whom it is for keeps up and has all there is with it. `false`: it is not
    /// so, and nothing was done.
    #[inline]
    fn try_hand_over(&mut self, now: Now, session: u32, bytes: usize) -> bool {
        let ([piece], [item]) = (&self.plan.pieces[..], &self.plan.items[..]) else {
            return false;
        };
        let is_whole = item.what == What::Messages && bytes == piece.bytes().len();
        let (index, to) = (item.subscription, item.at + 1);
        if !is_whole || self.sessions[session as usize].ready != 1 || !self.keeps_up(index, to) {
            return false;
        }
        let subscription = &mut self.subscriptions[index as usize];
        debug_assert_eq!(to, subscription.cursor + u64::from(item.count));
        let cohort = self.views.cohort_mut(subscription.cohort);
        lift(subscription, cohort);
        subscription.cursor = to;
        subscription.last = subscription.last.max(item.offset);
        subscription.begin_frame(item.count);
        subscription.under_way = 0;
        place(subscription, cohort);
        let (cohort, is_held) = (subscription.cohort, cohort.ring.is_held());
        self.stats
            .count_delivered(now, item.mono_ns, item.count, bytes);
        self.sessions[session as usize].blocked_ns = 0;
        self.pop_ready(session);
        if !is_held {
            self.trim(cohort);
        }
        true
    }

    /// Begins and completes what the kernel took. `true`: the session is over.
    fn carry_out(&mut self, now: Now, session: u32, plan: &Plan, mut bytes: usize) -> bool {
        let mut lifted = NONE;
        for (piece, item) in plan.pieces.iter().zip(&plan.items) {
            if bytes == 0 {
                break;
            }
            if item.subscription != lifted {
                self.put_down(lifted);
                self.pick_up(item.subscription);
                lifted = item.subscription;
            }
            let length = piece.bytes().len();
            let rest = self.begin(session, item);
            if item.what == What::Drained {
                lifted = NONE;
            }
            if bytes < length {
                self.partials.keep(&piece.frame);
                self.sessions[session as usize].partial = Some(Partial {
                    frame: Rc::clone(&piece.frame),
                    done: piece.done + bytes as u32,
                    rest,
                });
                break;
            }
            bytes -= length;
            if self.complete(now, session, rest, piece.frame.len()) {
                return true;
            }
        }
        self.put_down(lifted);
        false
    }

    #[inline]
    fn pick_up(&mut self, index: u32) {
        if index != NONE {
            let subscription = &mut self.subscriptions[index as usize];
            if subscription.stage == Stage::Ring {
                lift(subscription, self.views.cohort_mut(subscription.cohort));
            }
        }
    }

    #[inline]
    fn put_down(&mut self, index: u32) {
        if index != NONE {
            let subscription = &mut self.subscriptions[index as usize];
            if subscription.stage == Stage::Ring {
                let cohort = subscription.cohort;
                place(subscription, self.views.cohort_mut(cohort));
                self.trim(cohort);
            }
        }
    }

    /// The first byte of a piece is with the kernel. Returns what its last will mean.
    #[inline]
    fn begin(&mut self, session: u32, item: &Item) -> Rest {
        if item.subscription == NONE {
            return self.begin_control(session, item.what);
        }
        match item.what {
            What::Messages => {
                self.move_to(item, u64::from(item.count));
                let key = self.key(item.subscription);
                let subscription = &mut self.subscriptions[item.subscription as usize];
                // What a rate holds from before it came keeps the position of its first messages back.
                subscription.last = subscription.last.max(item.offset);
                subscription.begin_frame(item.count);
                return Rest::Message {
                    subscription: key,
                    mono_ns: item.mono_ns,
                    count: item.count,
                };
            }
            What::Mark => self.begin_mark(item),
            What::Gap => {
                let subscription = &mut self.subscriptions[item.subscription as usize];
                subscription.pop_gap();
            }
            What::Mode(mode) => {
                let subscription = &mut self.subscriptions[item.subscription as usize];
                if subscription.mode != mode {
                    subscription.switched_ns = self.now.mono_ns;
                }
                subscription.announce = false;
                Self::set_mode(&mut self.stats, subscription, mode);
            }
            What::Drained => {
                self.count_untold(item.subscription);
                self.remove_subscription(item.subscription);
            }
            What::Rest | What::Ping | What::Control => {}
        }
        Rest::Other
    }

    /// Moves the cursor behind what an item hands over, of which there are `delivered` publications.
    #[inline]
    fn move_to(&mut self, item: &Item, delivered: u64) {
        let index = item.subscription;
        match item.place {
            Place::Ring => {
                if self.subscriptions[index as usize].extra.is_some() {
                    self.finish_parts(index, None);
                }
                let subscription = &mut self.subscriptions[index as usize];
                let stand = self.views.stand(subscription.cohort);
                self.stats.conflated += subscription.advance(&stand, item.at + 1, delivered);
            }
            Place::Part(number) => {
                self.finish_parts(index, Some(number));
                self.move_part(index, item.at + 1, delivered);
            }
            Place::Past => {
                if let Some(history) = self.subscriptions[index as usize].history_mut() {
                    history.index = item.at as u32 + 1;
                }
            }
        }
    }

    fn move_part(&mut self, index: u32, to: u64, delivered: u64) {
        let backlog = self.subscriptions[index as usize].extra().backlog_mut();
        match backlog.front_mut() {
            Some(Part::Window(window)) => {
                let window = *window;
                self.conflate_window(index, window, to, delivered);
                self.move_window(index, to);
            }
            Some(Part::Held { index, .. }) => *index = to as u32,
            Some(Part::Gap(_)) | None => {}
        }
    }

    /// Parts before the one of that number, or all of them, are through: what is left of them was superseded.
    fn finish_parts(&mut self, index: u32, before: Option<u32>) {
        while let Some(backlog) = self.subscriptions[index as usize].backlog() {
            if before == Some(backlog.first()) {
                return;
            }
            if let Some(Part::Window(window)) = backlog.front() {
                let window = *window;
                self.conflate_window(index, window, window.until, 0);
            }
            self.pop_part(index);
        }
    }

    fn begin_mark(&mut self, item: &Item) {
        let index = item.subscription;
        if let Place::Part(number) = item.place {
            self.finish_parts(index, Some(number));
            self.begin_mark_in_window(index, item.at);
            return;
        }
        if self.subscriptions[index as usize].extra.is_some() {
            self.finish_parts(index, None);
        }
        let subscription = &mut self.subscriptions[index as usize];
        let stand = self.views.stand(subscription.cohort);
        self.stats.conflated += subscription.advance(&stand, item.at, 0);
        if let Some(mark) = stand.cohort.ring.mark_from(item.at) {
            subscription.cross(mark, 0);
            if let Kind::Lost(n) = mark.kind {
                self.stats.lost_retention += n;
            }
        }
    }

    fn begin_mark_in_window(&mut self, index: u32, at: u64) {
        let subscription = &mut self.subscriptions[index as usize];
        let Some(Part::Window(window)) = subscription.backlog().and_then(|b| b.front()) else {
            return;
        };
        let window = *window;
        self.conflate_window(index, window, at, 0);
        let mark = self.views.cohort(window.cohort).ring.mark_from(at).cloned();
        self.move_window(index, at + 1);
        if let Some(mark) = mark {
            let rest = self.subscriptions[index as usize].backlog();
            let Some(Part::Window(rest)) = rest.and_then(|b| b.front()) else {
                return;
            };
            let left = self.subscriptions[index as usize].rest_after(*rest);
            self.subscriptions[index as usize].meet(&mark, Met::Backlog, left);
            if let Kind::Lost(n) = mark.kind {
                self.stats.lost_retention += n;
            }
        }
    }

    fn begin_control(&mut self, session: u32, what: What) -> Rest {
        let session = &mut self.sessions[session as usize];
        if what == What::Rest {
            let Some(partial) = session.partial.take() else {
                return Rest::Other;
            };
            self.partials.drop(&partial.frame);
            return partial.rest;
        }
        if what == What::Ping {
            return Rest::Ping;
        }
        let Some(control) = session.control.pop_front() else {
            return Rest::Other;
        };
        if session.control.is_empty() {
            session.control.shrink_to(0);
        }
        session.control_bytes = session.control_bytes.saturating_sub(control.bytes());
        match control {
            Control::Close { code, .. } => Rest::Close { code },
            Control::Unsubscribed { subscription, .. } => {
                if let Some(index) = self.subscription_index(subscription) {
                    self.stats.delivered += self.flushed(index);
                    self.count_untold(index);
                    self.remove_subscription(index);
                }
                Rest::Other
            }
            Control::Frame(_) | Control::Ledger { .. } => Rest::Other,
        }
    }

    /// The last byte of a frame is with the kernel. `true`: the session is over.
    #[inline]
    fn complete(&mut self, now: Now, session: u32, rest: Rest, bytes: usize) -> bool {
        match rest {
            Rest::Message {
                subscription,
                mono_ns,
                count,
            } => {
                if let Some(index) = self.subscription_index(subscription) {
                    self.subscriptions[index as usize].under_way = 0;
                }
                self.stats.count_delivered(now, mono_ns, count, bytes);
            }
            Rest::Ping => {
                self.sessions[session as usize].heartbeat = Heartbeat::Sent(now.mono_ns);
                self.arm(session, now.mono_ns + self.config.heartbeat_ns);
            }
            Rest::Close { code } => {
                self.end(session, CloseHow::Flushed, code);
                return true;
            }
            Rest::Other => {}
        }
        false
    }
}
