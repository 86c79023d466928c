//! What one session is to receive next.
//!
//! A plan is made anew for every write: the rest of the frame under way, then the control lane, then the session's subscriptions
//! in turn, up to 64 pieces in all. Only what is lost already is settled while it is made. Driven by whoever writes; what the
//! kernel takes of it is carried out elsewhere.
//!
//! Law: a plan that is not carried out leaves no trace.

use std::rc::Rc;

use pubsub_wire::encode;
use pubsub_wire::value::{Lag, Mode, Overflow};

use crate::cohort::SubKey;
use crate::config::{Now, SessionId};
use crate::engine::Engine;
use crate::ring::{Hold, Ring};
use crate::session::{Control, NONE};
use crate::subscription::{Stage, Subscription};

/// Pieces of one write: what a vectored write takes without allocating, and enough to make its cost per message small.
pub const PIECES_MAX: usize = 64;
/// The least that a subscription gets when several take turns.
const TURN_MIN: usize = 8;

/// Bytes of one frame, or of the rest of one, to hand to the kernel.
#[derive(Debug)]
pub struct Piece {
    pub(crate) frame: Rc<[u8]>,
    pub(crate) done: u32,
}

impl Piece {
    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.frame[self.done as usize..]
    }
}

/// What a piece is, and what its beginning and its completion mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Rest,
    /// A heartbeat's: from its hand-over on the time runs.
    Ping,
    Control,
    Gap,
    Mode(Mode),
    /// Messages: one, or a batch of them.
    Messages,
    /// A mark of a ring.
    Mark,
    /// The end of a subscription that was drained.
    Drained,
}

/// Where messages and marks are planned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The ring of its cohort, by ordinal.
    Ring,
    /// A part of its backlog: its number; by ordinal, or by index.
    Part(u32),
    /// A slice of history, by index.
    Past,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) what: What,
    pub(crate) subscription: u32,
    pub(crate) place: Place,
    /// The last of the messages.
    pub(crate) at: u64,
    pub(crate) count: u32,
    /// The position after it.
    pub(crate) offset: i64,
    /// When the first of the messages was numbered.
    pub(crate) mono_ns: u64,
}

impl Item {
    fn of(what: What, subscription: u32) -> Self {
        Self {
            what,
            subscription,
            place: Place::Ring,
            at: 0,
            count: 0,
            offset: 0,
            mono_ns: 0,
        }
    }
}

/// What is being offered to the kernel.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) items: Vec<Item>,
    /// How many of the session's ready subscriptions had their turn.
    pub(crate) touched: u32,
}

impl Plan {
    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.items.clear();
        self.touched = 0;
    }

    fn room(&self) -> usize {
        PIECES_MAX - self.pieces.len()
    }

    pub(crate) fn add(&mut self, frame: Rc<[u8]>, what: What, subscription: u32) {
        self.push(frame, Item::of(what, subscription));
    }

    #[inline]
    pub(crate) fn push(&mut self, frame: Rc<[u8]>, item: Item) {
        self.pieces.push(Piece { frame, done: 0 });
        self.items.push(item);
    }
}

impl Engine {
    /// Lends what `session` is to receive next; nothing: it has all, or is gone.
    pub fn poll_write(&mut self, now: Now, session: SessionId) -> &[Piece] {
        self.plan.clear();
        let Some(index) = self.session_index(session) else {
            return &[];
        };
        if self.try_plan_newest(index) {
            return &self.plan.pieces;
        }
        if let Some(partial) = &self.sessions[index as usize].partial {
            self.plan.pieces.push(Piece {
                frame: Rc::clone(&partial.frame),
                done: partial.done,
            });
            self.plan.items.push(Item::of(What::Rest, NONE));
        }
        if self.sessions[index as usize].owes_ping() {
            self.plan.add(Rc::clone(&self.ping), What::Ping, NONE);
        }
        let through = self.plan_control(now, index);
        if through && !self.sessions.get(index as usize).is_some_and(|s| s.closing) {
            self.plan_data(now, index);
            if self.plan.pieces.is_empty() {
                self.rotate(now, index, self.plan.touched);
                if self.session_index(session).is_some() {
                    // What its socket refused before was given up.
                    self.sessions[index as usize].blocked_ns = 0;
                    // One that had nothing to hand over may have come to something by its next step.
                    self.queue(index);
                }
            }
        }
        &self.plan.pieces
    }

    /// The way of almost every visit: a session of which nothing but one subscription has something to send, and that keeps up and has
    /// all but the newest message. `false`: it is not so, and nothing is planned.
    #[inline]
    fn try_plan_newest(&mut self, session: u32) -> bool {
        let session = &self.sessions[session as usize];
        if session.ready != 1 || session.has_more_than_data() {
            return false;
        }
        let index = session.ready_first;
        let subscription = &self.subscriptions[index as usize];
        let ring = &self.views.cohort(subscription.cohort).ring;
        let Some((at, newest)) = ring.newest() else {
            return false;
        };
        let is_next = subscription.cursor == at && newest.is_message() && newest.seat.of == 0;
        if !is_next || !self.keeps_up(index, at + 1) {
            return false;
        }
        let item = Item {
            at,
            count: 1,
            offset: newest.offset,
            mono_ns: newest.mono_ns,
            ..Item::of(What::Messages, index)
        };
        self.plan.push(Rc::clone(&newest.frame), item);
        self.plan.touched = 1;
        true
    }

    /// Whether nothing of the lane is left out.
    fn plan_control(&mut self, now: Now, index: u32) -> bool {
        for at in 0..self.sessions[index as usize]
            .control
            .len()
            .min(self.plan.room())
        {
            let frame = match &self.sessions[index as usize].control[at] {
                Control::Frame(frame) | Control::Close { frame, .. } => Rc::clone(frame),
                Control::Ledger { id, subscription } => {
                    let (id, subscription) = (id.clone(), *subscription);
                    self.compose_ledger(now, id.as_ref(), subscription)
                }
                Control::Unsubscribed { subscription, .. } if self.is_under_way(*subscription) => {
                    // What falls into a hole is told, once the frame before it is whole.
                    return false;
                }
                Control::Unsubscribed { id, subscription } => {
                    let (id, subscription) = (id.clone(), *subscription);
                    self.compose_unsubscribed(now, id.as_ref(), subscription)
                }
            };
            self.plan.add(frame, What::Control, NONE);
        }
        true
    }

    fn is_under_way(&self, key: SubKey) -> bool {
        self.subscription_index(key)
            .is_some_and(|i| self.subscriptions[i as usize].under_way > 0)
    }

    fn plan_data(&mut self, now: Now, session: u32) {
        let ready = self.sessions[session as usize].ready as usize;
        let turn = (PIECES_MAX / ready.max(1)).max(TURN_MIN);
        let mut next = self.sessions[session as usize].ready_first;
        self.plan.touched = 0;
        while next != NONE && self.plan.room() > 0 {
            self.plan.touched += 1;
            let index = next;
            next = self.subscriptions[index as usize].next_ready;
            let room = self.plan.room().min(turn);
            self.plan_subscription(now, index, room);
        }
    }

    fn plan_subscription(&mut self, now: Now, index: u32, room: usize) {
        let subscription = &self.subscriptions[index as usize];
        let overtaken = subscription.stage == Stage::Ring
            && subscription.cursor < self.views.cohort(subscription.cohort).ring.first();
        if overtaken || subscription.hold == Hold::Parked {
            self.settle(now, index);
        }
        let until = self.plan.pieces.len() + room;
        let subscription = &self.subscriptions[index as usize];
        if subscription.leaving {
            return;
        }
        if subscription.extra.is_some() || subscription.announce {
            self.plan_notices(now, index, until);
        }
        match self.subscriptions[index as usize].stage {
            Stage::Opening => {}
            Stage::Ring => self.plan_ring(now, index, until),
            Stage::History => {
                self.plan_history(index, until);
                if self.subscriptions[index as usize].credit == 0 {
                    self.plan_drained(now, index);
                }
            }
        }
    }

    /// Gaps and the present mode, which stand before what follows.
    fn plan_notices(&mut self, now: Now, index: u32, until: usize) {
        let subscription = &self.subscriptions[index as usize];
        if subscription.under_way > 0 && subscription.is_at_hole() {
            // What fell into the hole is told first, once the frame before it is whole.
            return;
        }
        // What conflation left out before a gap is explained by the mode in which it did.
        let conflates = subscription.overflow == Overflow::Conflate || subscription.conflated > 0;
        let mode_first = conflates && subscription.mode == Mode::Behind;
        if mode_first {
            self.plan_mode(now, index, until);
        }
        self.plan_gaps(index, until);
        if !mode_first {
            self.plan_mode(now, index, until);
        }
    }

    fn plan_gaps(&mut self, index: u32, until: usize) {
        let subscription = &self.subscriptions[index as usize];
        let text = &self.views.get(subscription.view).text;
        for gap in subscription.gaps() {
            if self.plan.pieces.len() == until {
                return;
            }
            let frame = Rc::from(self.frames.text(|out| encode::gap(out, text, gap)));
            self.plan.add(frame, What::Gap, index);
        }
    }

    fn plan_mode(&mut self, now: Now, index: u32, until: usize) {
        let subscription = &self.subscriptions[index as usize];
        if !subscription.announce || self.plan.pieces.len() >= until {
            return;
        }
        let mode = subscription.mode;
        let frame = self.compose_mode(now, index);
        self.plan.add(frame, What::Mode(mode), index);
    }

    /// Tells its present mode.
    pub(crate) fn compose_mode(&mut self, now: Now, index: u32) -> Rc<[u8]> {
        let subscription = &self.subscriptions[index as usize];
        let (mode, lag) = (subscription.mode, self.lag(now, index, None));
        let text = &self.views.get(subscription.view).text;
        Rc::from(self.frames.text(|out| encode::mode(out, text, mode, &lag)))
    }

    fn plan_ring(&mut self, now: Now, index: u32, until: usize) {
        let subscription = &self.subscriptions[index as usize];
        if subscription.is_simple() {
            // One that was overtaken has been settled, and a conflating one doesn't keep up any more.
            let ring = &self.views.cohort(subscription.cohort).ring;
            if plan_entries(&mut self.plan, subscription, ring, index, until) {
                return;
            }
        }
        self.plan_walk(now, index, until);
    }

    /// The end of a subscription that is being drained and has nothing left to receive. Its ledger is taken where it is
    /// written: nothing of it may be planned and not yet written.
    pub(crate) fn plan_drained(&mut self, now: Now, index: u32) {
        let subscription = &self.subscriptions[index as usize];
        if subscription.draining().is_none()
            || subscription.under_way > 0
            || self.plan.room() == 0
            || self
                .plan
                .items
                .last()
                .is_some_and(|i| i.subscription == index)
        {
            return;
        }
        let id = self.subscriptions[index as usize]
            .draining()
            .and_then(|d| d.id.clone());
        let frame = self.compose_unsubscribed(now, id.as_ref(), self.key(index));
        self.plan.add(frame, What::Drained, index);
    }

    /// How far a subscription is behind, or would be with its cursor elsewhere in the ring and nothing before that.
    pub(crate) fn lag(&self, now: Now, index: u32, cursor: Option<u64>) -> Lag {
        let subscription = &self.subscriptions[index as usize];
        if let Some(cursor) = cursor {
            let ring = &self.views.cohort(subscription.cohort).ring;
            let age_ns = ring
                .get(cursor)
                .map_or(0, |e| now.mono_ns.saturating_sub(e.mono_ns));
            return Lag {
                messages: ring.head() - cursor,
                bytes: ring.bytes_between(cursor, ring.head()),
                age_ms: age_ns / 1_000_000,
            };
        }
        let age_ns = self
            .oldest_ns(index)
            .map_or(0, |t| now.mono_ns.saturating_sub(t));
        Lag {
            messages: subscription.lag_messages(&self.views),
            bytes: subscription.lag_bytes(&self.views, self.under_way_bytes(subscription)),
            age_ms: age_ns / 1_000_000,
        }
    }
}

/// Plans entries of the ring one after the other, as for one that keeps up. `false`: it stands within a batch.
#[inline]
fn plan_entries(
    plan: &mut Plan,
    subscription: &Subscription,
    ring: &Ring,
    index: u32,
    until: usize,
) -> bool {
    let mut at = subscription.cursor;
    while plan.pieces.len() < until {
        let Some(entry) = ring.get(at) else {
            return true;
        };
        if entry.seat.index > 0 {
            return false;
        }
        // Batches stand in the ring whole.
        let last = at + u64::from(entry.seat.of.max(1)) - 1;
        let offset = if last == at {
            entry.offset
        } else {
            ring.get(last).map_or(entry.offset, |e| e.offset)
        };
        let what = if entry.is_message() {
            What::Messages
        } else {
            What::Mark
        };
        let item = Item {
            what,
            subscription: index,
            place: Place::Ring,
            at: last,
            count: entry.seat.of.max(1),
            offset,
            mono_ns: entry.mono_ns,
        };
        plan.push(Rc::clone(&entry.frame), item);
        at = last + 1;
    }
    true
}
