//! What of a plan the kernel took.
//!
//! It is carried out piece by piece: a frame that has begun is past the reach of every policy, one that has not may be planned
//! otherwise the next time.
//!
//! Laws: bytes go out in the order planned; a cursor moves exactly when its frame begins; a frame counts as delivered exactly when
//! it is whole.

use std::rc::Rc;

use crate::config::{CloseHow, Now, SessionId};
use crate::cursor::{lift, place};
use crate::engine::Engine;
use crate::plan::{Item, Plan, What};
use crate::ring::Kind;
use crate::session::{Control, Heartbeat, NONE, Partial, Rest};
use crate::subscription::Stage;

impl Engine {
    /// The kernel took `bytes` of what was lent; `blocked`: it would take no more.
    pub fn handle_written(&mut self, now: Now, session: SessionId, bytes: usize, blocked: bool) {
        let Some(index) = self.session_index(session) else {
            return;
        };
        let mut plan = std::mem::take(&mut self.plan);
        let planned = plan.pieces.iter().map(|p| p.bytes().len()).sum::<usize>();
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
        self.rotate(index, touched);
        if blocked || bytes < planned {
            self.block(now, index);
        } else {
            self.queue(index);
        }
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
                self.sessions[session as usize].partial = Some(Partial {
                    frame: Rc::clone(&piece.frame),
                    done: piece.done + bytes as u32,
                    rest,
                });
                break;
            }
            bytes -= length;
            self.sessions[session as usize].partial = None;
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
                lift(subscription, self.views.get_mut(subscription.view));
            }
        }
    }

    #[inline]
    fn put_down(&mut self, index: u32) {
        if index != NONE {
            let subscription = &mut self.subscriptions[index as usize];
            if subscription.stage == Stage::Ring {
                let view = self.views.get_mut(subscription.view);
                place(subscription, view);
                self.stats.ring_bytes -= view.trim();
            }
        }
    }

    /// The first byte of a piece is with the kernel. Returns what its last will mean.
    #[inline]
    fn begin(&mut self, session: u32, item: &Item) -> Rest {
        if item.subscription == NONE {
            return self.begin_control(session, item.what);
        }
        let key = self.key(item.subscription);
        let subscription = &mut self.subscriptions[item.subscription as usize];
        let view = self.views.get(subscription.view);
        match item.what {
            What::Message => {
                self.stats.conflated += subscription.skip_to(view, item.at);
                subscription.cursor = item.at + 1;
                subscription.last = item.offset;
                subscription.begin_frame();
                return Rest::Message {
                    subscription: key,
                    mono_ns: item.mono_ns,
                };
            }
            What::Past => {
                subscription.last = item.offset;
                subscription.begin_frame();
                if let Some(history) = subscription.history_mut() {
                    history.index += 1;
                }
                return Rest::Message {
                    subscription: key,
                    mono_ns: item.mono_ns,
                };
            }
            What::Mark => {
                self.stats.conflated += subscription.skip_to(view, item.at);
                if let Some(mark) = view.ring.mark_from(item.at) {
                    subscription.cross(mark);
                    if let Kind::Lost(n) = mark.kind {
                        self.stats.lost_retention += n;
                    }
                }
            }
            What::Gap => {
                subscription.extra().gaps.pop_front();
                subscription.tidy();
            }
            What::Mode(mode) => {
                subscription.announce = false;
                Self::set_mode(&mut self.stats, subscription, mode);
            }
            What::Drained => self.remove_subscription(item.subscription),
            What::Rest | What::Control => {}
        }
        Rest::Other
    }

    fn begin_control(&mut self, session: u32, what: What) -> Rest {
        let session = &mut self.sessions[session as usize];
        if what == What::Rest {
            return session.partial.take().map_or(Rest::Other, |p| p.rest);
        }
        let Some(control) = session.control.pop_front() else {
            return Rest::Other;
        };
        if session.control.is_empty() {
            session.control.shrink_to(0);
        }
        session.control_bytes = session.control_bytes.saturating_sub(control.bytes());
        match control {
            Control::Ping(_) => Rest::Ping,
            Control::Close { code, .. } => {
                self.stats.count_close(code);
                Rest::Close { code }
            }
            Control::Unsubscribed { subscription, .. } => {
                if let Some(index) = self.subscription_index(subscription) {
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
            } => {
                if let Some(index) = self.subscription_index(subscription) {
                    self.subscriptions[index as usize].under_way = false;
                }
                self.stats.delivered += 1;
                self.stats.delivered_bytes += bytes as u64;
                self.stats
                    .delivery
                    .record(now.mono_ns.saturating_sub(mono_ns));
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
