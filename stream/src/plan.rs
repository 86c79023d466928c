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

use crate::config::{Now, SessionId};
use crate::engine::Engine;
use crate::ring::{Hold, Kind, Mark};
use crate::session::{Control, NONE};
use crate::subscription::{Stage, Subscription};
use crate::view::View;

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
    Control,
    Gap,
    Mode(Mode),
    /// An entry of the ring, by ordinal.
    Message,
    /// A mark of the ring, by ordinal.
    Mark,
    /// An entry of a slice, by index.
    Past,
    /// The end of a subscription that was drained.
    Drained,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) what: What,
    pub(crate) subscription: u32,
    pub(crate) at: u64,
    pub(crate) offset: i64,
    pub(crate) mono_ns: u64,
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

    fn add(&mut self, frame: Rc<[u8]>, what: What, subscription: u32) {
        self.push(
            frame,
            Item {
                what,
                subscription,
                at: 0,
                offset: 0,
                mono_ns: 0,
            },
        );
    }

    #[inline]
    fn push(&mut self, frame: Rc<[u8]>, item: Item) {
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
        if let Some(partial) = &self.sessions[index as usize].partial {
            self.plan.pieces.push(Piece {
                frame: Rc::clone(&partial.frame),
                done: partial.done,
            });
            self.plan.items.push(Item {
                what: What::Rest,
                subscription: NONE,
                at: 0,
                offset: 0,
                mono_ns: 0,
            });
        }
        self.plan_control(index);
        if !self.sessions.get(index as usize).is_some_and(|s| s.closing) {
            self.plan_data(now, index);
            if self.plan.pieces.is_empty() {
                self.rotate(index, self.plan.touched);
                // One that had nothing to hand over may have come to something by its next step.
                self.queue(index);
            }
        }
        &self.plan.pieces
    }

    fn plan_control(&mut self, index: u32) {
        for at in 0..self.sessions[index as usize]
            .control
            .len()
            .min(self.plan.room())
        {
            let frame = match &self.sessions[index as usize].control[at] {
                Control::Frame(frame) | Control::Ping(frame) | Control::Close { frame, .. } => {
                    Rc::clone(frame)
                }
                Control::Ledger { id, subscription } => {
                    let (id, subscription) = (id.clone(), *subscription);
                    self.compose_ledger(id.as_ref(), subscription)
                }
                Control::Unsubscribed { id, subscription } => {
                    let (id, subscription) = (id.clone(), *subscription);
                    self.compose_unsubscribed(id.as_ref(), subscription)
                }
            };
            self.plan.add(frame, What::Control, NONE);
        }
    }

    fn plan_data(&mut self, now: Now, session: u32) {
        let ready = self.sessions[session as usize].ready as usize;
        let turn = if ready > 1 {
            (PIECES_MAX / ready).max(TURN_MIN)
        } else {
            PIECES_MAX
        };
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
            && subscription.cursor < self.views.get(subscription.view).ring.first();
        if overtaken || subscription.hold == Hold::Parked {
            self.settle(index);
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
            Stage::History => self.plan_history(index, until),
        }
    }

    /// Gaps and the present mode, which stand before what follows.
    fn plan_notices(&mut self, now: Now, index: u32, until: usize) {
        let subscription = &self.subscriptions[index as usize];
        let view = self.views.get(subscription.view);
        for gap in subscription.extra.iter().flat_map(|e| &e.gaps) {
            if self.plan.pieces.len() == until {
                return;
            }
            let frame = Rc::from(self.frames.text(|out| encode::gap(out, &view.text, gap)));
            self.plan.add(frame, What::Gap, index);
        }
        if subscription.announce && self.plan.pieces.len() < until {
            let lag = self.lag(now, index, None);
            let (subscription, view) = (&self.subscriptions[index as usize], &self.views);
            let text = &view.get(subscription.view).text;
            let frame = Rc::from(
                self.frames
                    .text(|out| encode::mode(out, text, subscription.mode, &lag)),
            );
            self.plan.add(frame, What::Mode(subscription.mode), index);
        }
    }

    fn plan_history(&mut self, index: u32, until: usize) {
        let Some(history) = self.subscriptions[index as usize].history() else {
            return;
        };
        let mut at = history.index;
        while self.plan.pieces.len() < until {
            let Some(past) = history.entry(at) else {
                return;
            };
            let (offset, mono_ns) = (past.offset, past.mono_ns);
            let item = Item {
                what: What::Past,
                subscription: index,
                at: u64::from(at),
                offset,
                mono_ns,
            };
            self.plan.push(Rc::clone(&past.frame), item);
            at += 1;
        }
    }

    fn plan_ring(&mut self, now: Now, index: u32, until: usize) {
        let subscription = &self.subscriptions[index as usize];
        if subscription.mode == Mode::Live && subscription.draining().is_none() {
            let view = self.views.get(subscription.view);
            if subscription.overflow != Overflow::Conflate
                || subscription.cursor >= view.ring.first()
            {
                plan_entries(&mut self.plan, subscription, view, index, until);
                return;
            }
        }
        self.plan_switching(now, index, until);
    }

    /// As `plan_ring`, for one that is behind, replays or is being drained: its mode may change on the way.
    fn plan_switching(&mut self, now: Now, index: u32, until: usize) {
        let mut cursor = self.subscriptions[index as usize].cursor;
        let mut mode = self.subscriptions[index as usize].mode;
        while self.plan.pieces.len() < until {
            let subscription = &self.subscriptions[index as usize];
            let view = self.views.get(subscription.view);
            let caught_up = match mode {
                Mode::Live => false,
                Mode::Behind => subscription.is_low(view, cursor),
                Mode::Replay => cursor == view.ring.head(),
            };
            if caught_up {
                mode = Mode::Live;
                let lag = self.lag(now, index, Some(cursor));
                let text = &self.views.get(self.subscriptions[index as usize].view).text;
                let frame = Rc::from(
                    self.frames
                        .text(|out| encode::mode(out, text, Mode::Live, &lag)),
                );
                self.plan.add(frame, What::Mode(Mode::Live), index);
                continue;
            }
            let end = subscription.end(view);
            let skips = subscription.overflow == Overflow::Conflate && mode == Mode::Behind;
            let next = match cursor < end {
                false => None,
                true if skips => self.next_survivor(index, cursor),
                true => self.next_entry(index, cursor),
            };
            let Some((frame, item)) = next.filter(|(_, item)| item.at < end) else {
                self.plan_drained(index);
                return;
            };
            cursor = item.at + 1;
            self.plan.push(frame, item);
        }
    }

    fn next_entry(&self, index: u32, cursor: u64) -> Option<(Rc<[u8]>, Item)> {
        let view = self.views.get(self.subscriptions[index as usize].view);
        let entry = view.ring.get(cursor)?;
        let what = if entry.kind == Kind::Message {
            What::Message
        } else {
            What::Mark
        };
        let item = Item {
            what,
            subscription: index,
            at: cursor,
            offset: entry.offset,
            mono_ns: entry.mono_ns,
        };
        Some((Rc::clone(&entry.frame), item))
    }

    /// The next entry that no newer one supersedes, or a mark that stands before it.
    fn next_survivor(&mut self, index: u32, cursor: u64) -> Option<(Rc<[u8]>, Item)> {
        let view = self.views.get(self.subscriptions[index as usize].view);
        let mark = view
            .ring
            .marks_from(cursor)
            .find(|m| m.kind != Kind::Position);
        let newest = view.compact.as_ref().and_then(|c| c.next(cursor));
        let mark = match (mark, newest) {
            (Some(mark), Some((ordinal, _))) if ordinal < mark.ordinal => None,
            (mark, _) => mark.cloned(),
        };
        if let Some(mark) = mark {
            let (at, offset) = (mark.ordinal, mark.after);
            let frame = match view.ring.get(at) {
                Some(entry) => Rc::clone(&entry.frame),
                None => self.compose_mark(index, &mark),
            };
            return Some((
                frame,
                Item {
                    what: What::Mark,
                    subscription: index,
                    at,
                    offset,
                    mono_ns: 0,
                },
            ));
        }
        let Some((at, newest)) = newest else {
            // Only positions are left before the head.
            return self.next_entry(index, cursor.max(view.ring.first()));
        };
        let (offset, mono_ns) = (newest.offset, newest.mono_ns);
        Some((
            Rc::clone(&newest.frame),
            Item {
                what: What::Message,
                subscription: index,
                at,
                offset,
                mono_ns,
            },
        ))
    }

    fn compose_mark(&mut self, index: u32, mark: &Mark) -> Rc<[u8]> {
        let view = self.views.get(self.subscriptions[index as usize].view);
        let gap = view.gap_of(mark);
        Rc::from(self.frames.text(|out| encode::gap(out, &view.text, &gap)))
    }

    /// The end of a subscription that is being drained and has nothing left to receive. Its ledger is taken where it is
    /// written: nothing of it may be planned and not yet written.
    fn plan_drained(&mut self, index: u32) {
        let drains = self.subscriptions[index as usize].draining().is_some();
        if !drains
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
        let frame = self.compose_unsubscribed(id.as_ref(), self.key(index));
        self.plan.add(frame, What::Drained, index);
    }

    /// How far a subscription is behind, or would be with its cursor elsewhere in the ring.
    pub(crate) fn lag(&self, now: Now, index: u32, cursor: Option<u64>) -> Lag {
        let subscription = &self.subscriptions[index as usize];
        let view = self.views.get(subscription.view);
        if let Some(cursor) = cursor {
            let age_ns = view
                .ring
                .get(cursor)
                .map_or(0, |e| now.mono_ns.saturating_sub(e.mono_ns));
            let messages = view.ring.head() - cursor;
            return Lag {
                messages,
                bytes: view.ring.bytes_from(cursor),
                age_ms: age_ns / 1_000_000,
            };
        }
        let age_ns = subscription
            .oldest_ns(view)
            .map_or(0, |t| now.mono_ns.saturating_sub(t));
        Lag {
            messages: subscription.lag_messages(view),
            bytes: subscription.lag_bytes(view, self.under_way_bytes(subscription)),
            age_ms: age_ns / 1_000_000,
        }
    }
}

/// Plans entries of the ring one after the other, as for one that keeps up.
#[inline]
fn plan_entries(
    plan: &mut Plan,
    subscription: &Subscription,
    view: &View,
    index: u32,
    until: usize,
) {
    let mut at = subscription.cursor;
    while plan.pieces.len() < until {
        let Some(entry) = view.ring.get(at) else {
            return;
        };
        let what = if entry.kind == Kind::Message {
            What::Message
        } else {
            What::Mark
        };
        let item = Item {
            what,
            subscription: index,
            at,
            offset: entry.offset,
            mono_ns: entry.mono_ns,
        };
        plan.push(Rc::clone(&entry.frame), item);
        at += 1;
    }
}
