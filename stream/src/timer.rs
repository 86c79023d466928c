//! The engine's clock work: heartbeats, write stalls, closes, and the positions of quiet views.
//!
//! A session is armed for the earliest of its deadlines; when that fires, all of them are looked at and the next is armed.

use std::rc::Rc;

use pubsub_wire::{close, encode};

use crate::config::{CloseHow, Now, SessionId};
use crate::engine::Engine;
use crate::ring::{Kind, Mark};
use crate::session::{Heartbeat, NONE};

/// A close frame that the kernel has not taken for so long is given up.
pub(crate) const CLOSE_FLUSH_NS: u64 = 5_000_000_000;
/// How often quiet views are looked at; a position is told within twice this, and `position` is promised within 30 s.
const QUIET_NS: u64 = 12_000_000_000;

impl Engine {
    /// The one deadline: when `handle_timeout` is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<u64> {
        let timer = self.timers.next().unwrap_or(u64::MAX);
        Some(timer.min(self.quiet_ns).min(self.cohorts_due_ns())).filter(|at| *at != u64::MAX)
    }

    /// The deadline has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.on_cohorts_due(now);
        while let Some(index) = self.timers.pop(now.mono_ns) {
            self.on_deadline(now, index);
        }
        if now.mono_ns >= self.quiet_ns {
            self.tell_positions(now);
        }
        self.mind_memory();
    }

    /// `session` is to be looked at then, if not before.
    pub(crate) fn arm(&mut self, session: u32, at_ns: u64) {
        self.timers.arm(session, at_ns);
    }

    fn on_deadline(&mut self, now: Now, index: u32) {
        let id = self.session_id(index);
        self.check_end(now, index);
        if self.session_index(id).is_some() {
            self.check_stall(now, index);
        }
        if self.session_index(id).is_some() {
            self.check_subscriptions(now, id, index);
        }
        if self.session_index(id).is_some() {
            self.check_heartbeat(now, index);
        }
    }

    fn check_end(&mut self, now: Now, index: u32) {
        let session = &self.sessions[index as usize];
        let (end_ns, code, closing) = (session.end_ns, session.end_code, session.closing);
        if end_ns == 0 {
            return;
        }
        if now.mono_ns < end_ns {
            self.arm(index, end_ns);
        } else if closing {
            self.end(index, CloseHow::Hard, code);
        } else {
            self.close(now, index, code, "");
        }
    }

    fn check_stall(&mut self, now: Now, index: u32) {
        let blocked_ns = self.sessions[index as usize].blocked_ns;
        if blocked_ns == 0 {
            return;
        }
        let deadline = blocked_ns + self.config.write_stall_ns;
        if now.mono_ns < deadline {
            self.arm(index, deadline);
        } else {
            self.stats.closed_slow += 1;
            self.end(index, CloseHow::Hard, close::SLOW_CONSUMER);
        }
    }

    /// What of its subscriptions has a deadline of its own.
    fn check_subscriptions(&mut self, now: Now, id: SessionId, index: u32) {
        let mut next = self.sessions[index as usize].first;
        while next != NONE {
            let subscription = next;
            next = self.subscriptions[subscription as usize].next;
            if self.subscriptions[subscription as usize].leaving {
                continue;
            }
            if !self.check_drain(now, index, subscription) {
                self.on_subscription_deadline(now, subscription);
            }
            if self.session_index(id).is_none() {
                return;
            }
        }
    }

    /// A drain that took too long ends. `false`: it is none.
    fn check_drain(&mut self, now: Now, session: u32, index: u32) -> bool {
        let subscription = &self.subscriptions[index as usize];
        let Some(until) = subscription.draining().map(|d| d.until_ns) else {
            return false;
        };
        if now.mono_ns >= until {
            self.end_drain(now, index);
        } else {
            self.arm(session, until);
        }
        true
    }

    fn check_heartbeat(&mut self, now: Now, index: u32) {
        let session = &self.sessions[index as usize];
        if session.closing {
            // Its end has a deadline of its own.
            return;
        }
        let idle_at = session.received_ns + self.config.heartbeat_ns;
        match session.heartbeat {
            Heartbeat::Listening if now.mono_ns >= idle_at => {
                self.sessions[index as usize].heartbeat = Heartbeat::Queued;
                self.queue_first(index);
            }
            Heartbeat::Listening => self.arm(index, idle_at),
            // The time does not run before the ping has reached the kernel.
            Heartbeat::Queued => {}
            Heartbeat::Sent(at) if now.mono_ns < at + 2 * self.config.heartbeat_ns => {
                self.arm(index, at + 2 * self.config.heartbeat_ns);
            }
            Heartbeat::Sent(_) => {
                self.stats.closed_heartbeat += 1;
                self.close(now, index, close::HEARTBEAT, "nothing was heard");
            }
        }
    }

    /// Tells the subscribers of views where nothing happened how far the log has come, so that they can resume from there.
    fn tell_positions(&mut self, now: Now) {
        self.quiet_ns = if self.views.len() == 0 {
            u64::MAX
        } else {
            now.mono_ns + QUIET_NS
        };
        let position = self.hub.position;
        let quiet = |told_ns: u64| now.mono_ns.saturating_sub(told_ns) >= QUIET_NS;
        let views: Vec<u32> = (self.views.iter())
            .filter(|(_, v)| v.watched && v.told < position && quiet(v.told_ns))
            .map(|(index, _)| index)
            .collect();
        for index in views {
            let view = self.views.get_mut(index);
            let before = std::mem::replace(&mut view.told, position);
            view.told_ns = now.mono_ns;
            for cohort in view.cohorts().collect::<Vec<u32>>() {
                self.tell_position(now, cohort, (before, position));
            }
        }
    }

    /// The subscribers of one cohort are told: no further than what it holds allows.
    fn tell_position(&mut self, now: Now, index: u32, span: (i64, i64)) {
        let stand = self.views.stand(index);
        let operator = stand.cohort.operator.as_ref();
        let after = operator.map_or(span.1, |o| o.resume(span.1));
        let last = stand.cohort.ring.position();
        if !stand.cohort.ring.is_wanted() || after <= last {
            return;
        }
        let (text, epoch) = (&stand.view.text, &stand.view.epoch);
        let frame = self
            .frames
            .text(|out| encode::position(out, text, epoch, after));
        let frame: Rc<[u8]> = Rc::from(frame);
        let mark = Mark {
            ordinal: stand.cohort.ring.head(),
            kind: Kind::Position,
            before: span.0,
            after,
            epoch: None,
            seen: operator.map_or(0, |o| o.seen),
            filtered: operator.map_or(0, |o| o.filtered),
        };
        self.views
            .cohort_mut(index)
            .ring
            .push_mark(mark, now.mono_ns, frame);
        self.trim(index);
        self.mark_dirty(index);
    }

    /// Views are there: their quiet ones are looked at from now on.
    pub(crate) fn arm_quiet(&mut self, now: Now) {
        self.quiet_ns = self.quiet_ns.min(now.mono_ns + QUIET_NS);
    }
}
