//! Reads of history: who waits for a piece of the log, and what is asked of the hub.
//!
//! Those who want the same piece at the same time share one question and one answer. Questions under way are few, and none is
//! asked while the slices that readers hold are over their budget.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;
use pubsub_wire::value::{Gap, GapReason, Mode};
use pubsub_wire::{ErrorCode, encode};

use crate::cohort::SubKey;
use crate::command::not_subscribed;
use crate::config::Now;
use crate::cursor::{lift, place};
use crate::engine::Engine;
use crate::history::{History, Past, Slice, Step};
use crate::hub::{EntryRef, HubRequest, LostHistory, Refusal, SliceHead, Start};
use crate::ring::Seat;
use crate::subscription::{Leave, Stage};

#[derive(Debug)]
struct Ask {
    view: u32,
    start: Start,
    waiters: Vec<SubKey>,
}

/// The questions about history.
#[derive(Debug)]
pub(crate) struct Reads {
    waiting: VecDeque<SubKey>,
    asked: HashMap<u32, Ask>,
    in_flight_max: usize,
    bytes_max: usize,
    /// Bytes of all slices that are held.
    bytes: Rc<Cell<usize>>,
    last: u32,
}

impl Reads {
    pub(crate) fn new(in_flight_max: usize, bytes_max: usize, bytes: Rc<Cell<usize>>) -> Self {
        Self {
            waiting: VecDeque::new(),
            asked: HashMap::new(),
            in_flight_max,
            bytes_max,
            bytes,
            last: 0,
        }
    }

    /// A subscription wants its next piece.
    pub(crate) fn queue(&mut self, key: SubKey) {
        self.waiting.push_back(key);
    }

    /// What slices are counted against.
    pub(crate) fn bytes(&self) -> &Rc<Cell<usize>> {
        &self.bytes
    }

    /// Readers that don't get on should give their slices back.
    pub(crate) fn is_short(&self) -> bool {
        self.bytes.get() > self.bytes_max / 2
    }

    fn may_ask(&self) -> bool {
        self.asked.len() < self.in_flight_max && self.bytes.get() <= self.bytes_max
    }

    /// No answer will come any more; returns who waited for one.
    pub(crate) fn reset(&mut self) -> Vec<SubKey> {
        self.asked
            .drain()
            .flat_map(|(_, ask)| ask.waiters)
            .collect()
    }
}

impl Engine {
    /// Asks for as many pieces as may be under way.
    pub(crate) fn ask(&mut self) {
        while self.hub.up && !self.reads.waiting.is_empty() && self.reads.may_ask() {
            let Some(key) = self.reads.waiting.pop_front() else {
                return;
            };
            if let Some(index) = self.subscription_index(key) {
                self.ask_for(index, key);
            }
        }
    }

    fn ask_for(&mut self, index: u32, key: SubKey) {
        let subscription = &mut self.subscriptions[index as usize];
        let view = self.views.get(subscription.view);
        // Until the hub has confirmed the view, `Watched` will queue it again.
        if subscription.leaving || !view.watched {
            return;
        }
        let id = view.id;
        let start = match subscription.stage {
            Stage::Ring => return,
            Stage::Opening => match subscription.extra().opening.as_mut() {
                Some(opening) if !opening.asked => {
                    let Some(start) = opening.start.clone() else {
                        return;
                    };
                    opening.asked = true;
                    start
                }
                _ => return,
            },
            Stage::History => match subscription.history_mut() {
                Some(history) if history.step == Step::Queued => {
                    history.step = Step::Asked;
                    Start::Continue {
                        offset: history.after,
                        compacted: history.compacted,
                    }
                }
                _ => return,
            },
        };
        if let Some(ask) = self
            .reads
            .asked
            .values_mut()
            .find(|a| a.view == id && a.start == start)
        {
            ask.waiters.push(key);
            return;
        }
        self.reads.last = self.reads.last.wrapping_add(1);
        let request = self.reads.last;
        self.reads.asked.insert(
            request,
            Ask {
                view: id,
                start: start.clone(),
                waiters: vec![key],
            },
        );
        let budget_bytes = self.config.read_bytes;
        self.hub.requests.push_back(HubRequest::Read {
            request,
            view: id,
            start,
            budget_bytes,
        });
    }

    /// A piece of history came.
    pub(crate) fn on_slice(
        &mut self,
        now: Now,
        head: SliceHead,
        entries: &mut dyn Iterator<Item = EntryRef<'_>>,
    ) {
        let Some(ask) = self.reads.asked.remove(&head.request) else {
            return;
        };
        let Some(view) = self.views.by_id(ask.view) else {
            // Nobody waits for it any more.
            self.ask();
            return;
        };
        let past: Vec<Past> = entries.map(|e| self.past(view, &e)).collect();
        let compacted = match ask.start {
            Start::Last => true,
            Start::Continue { compacted, .. } => compacted,
            Start::After { otherwise, .. } => {
                head.gap.is_some() && otherwise == pubsub_wire::value::Else::Last
            }
            Start::Earliest | Start::Recent(_) => false,
        };
        let mut head = head;
        if compacted && !matches!(ask.start, Start::Continue { .. }) {
            // Before the first of the snapshot; without one, where the live stream goes on.
            head.start = past.first().map_or(head.end, |p| p.offset - 1);
        }
        let slice = Rc::new(Slice::new(past, self.reads.bytes()));
        for key in ask.waiters {
            if let Some(index) = self.subscription_index(key) {
                self.hand_slice(now, index, &head, &slice, compacted);
            }
            if let Some(index) = self.subscription_index(key) {
                self.leave_if_wanted(now, index);
            }
        }
        self.ask();
    }

    fn past(&mut self, view: u32, entry: &EntryRef<'_>) -> Past {
        let frame = self.encode(view, entry);
        Past {
            offset: entry.offset,
            mono_ns: entry.mono_ns,
            bytes: frame.len() as u32,
            frame,
            seat: Seat::default(),
        }
    }

    fn hand_slice(
        &mut self,
        now: Now,
        index: u32,
        head: &SliceHead,
        slice: &Rc<Slice>,
        compacted: bool,
    ) {
        let opens = self.subscriptions[index as usize].stage == Stage::Opening;
        if opens {
            let key = self.key(index);
            self.begin_history(index, head.start, compacted);
            // A full control lane may have ended the session.
            if self.subscription_index(key).is_none() {
                return;
            }
        }
        let subscription = &mut self.subscriptions[index as usize];
        if let Some(gap) = head.gap {
            let reason = match gap.reason {
                LostHistory::Retention => GapReason::Retention,
                LostHistory::Epoch => GapReason::Epoch,
                LostHistory::Memory => GapReason::Memory,
            };
            let epoch = Rc::clone(&self.views.get(subscription.view).epoch);
            // Where it is unknown how much is gone, the range says no more than the position does.
            let known = gap.count.is_some();
            let gap = Gap {
                from: gap.from.filter(|_| known),
                to: gap.to.filter(|_| known),
                count: gap.count,
                reason,
                epoch,
                offset: head.start,
            };
            if let Some(count) = gap.count {
                subscription.lost.get_or_insert_default().retention += count;
                self.stats.lost_retention += count;
                if let Some(history) = subscription.history_mut() {
                    history.published += count;
                }
            }
            subscription.announce_gap(gap);
            subscription.last = subscription.last.max(head.start);
            self.stats.gaps_epoch += u64::from(reason == GapReason::Epoch);
        }
        let is_empty = slice.entries.is_empty();
        if let Some(history) = subscription.history_mut() {
            history.published += slice.entries.len() as u64;
            history.slice = Some(Rc::clone(slice));
            history.index = 0;
            history.after = head.end;
            history.step = Step::Reading;
            history.joined = head.joined;
        }
        if head.joined {
            // What follows comes live: the ring is held from here on.
            let cohort = self.views.cohort_mut(subscription.cohort);
            lift(subscription, cohort);
            subscription.cursor = cohort.ring.head();
            place(subscription, cohort);
        }
        if opens && !(head.joined && is_empty) {
            Self::set_mode(&mut self.stats, subscription, Mode::Replay);
            subscription.announce = true;
        }
        let session = subscription.session;
        let key = self.key(index);
        let blocked = self.sessions[session as usize].blocked;
        if !blocked {
            // A write is tried before it gives anything back.
            self.unpark(index);
        }
        self.next_step(now, index);
        if self.subscription_index(key).is_none() {
            return;
        }
        if blocked && self.subscriptions[index as usize].is_ready {
            self.park(now, index);
        }
        if self.subscription_index(key).is_some() {
            self.queue(session);
        }
    }

    /// A subscription that waited for the hub begins to read history after `position`; its client is told.
    fn begin_history(&mut self, index: u32, position: i64, compacted: bool) {
        let subscription = &mut self.subscriptions[index as usize];
        subscription.stage = Stage::History;
        subscription.last = position;
        subscription.extra().history = Some(Box::new(History::new(position, compacted)));
        self.answer_subscribed(index, position);
    }

    /// A read could not be answered.
    pub(crate) fn on_read_failed(&mut self, now: Now, request: u32, why: &Refusal<'_>) {
        let Some(ask) = self.reads.asked.remove(&request) else {
            return;
        };
        for key in ask.waiters {
            // The end of one that leaves is under way.
            let stays = |i: &u32| !self.subscriptions[*i as usize].leaving;
            let Some(index) = self.subscription_index(key).filter(stays) else {
                continue;
            };
            if self.end_drain(now, index) {
                continue;
            }
            self.refuse_opening(index, why.code, why.message, why.retry_after_ms);
        }
        self.ask();
    }

    /// Gives up a subscription: its client is told why.
    fn refuse_opening(
        &mut self,
        index: u32,
        code: ErrorCode,
        message: &str,
        retry_after_ms: Option<u64>,
    ) {
        let session = self.subscriptions[index as usize].session;
        let opening = self.subscriptions[index as usize].extra().opening.take();
        self.remove_subscription(index);
        let (id, leave) = opening.map_or((None, None), |o| (o.id, o.leave));
        let frame = encode::ErrorFrame {
            id: None,
            code,
            message,
            field: None,
            retry_after_ms,
        };
        self.refuse(session, id.as_ref(), &frame);
        if let Some(Leave(id)) = leave
            && self.sessions.contains(session as usize)
        {
            self.answer_error(session, id.as_ref(), &not_subscribed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_short_past_half_of_what_they_may_hold_and_none_is_asked_for_past_all_of_it() {
        let held = Rc::new(Cell::new(0));
        let reads = Reads::new(2, 100, Rc::clone(&held));
        for (bytes, is_short, may_ask) in [
            (0, false, true),
            (50, false, true),
            (51, true, true),
            (100, true, true),
            (101, true, false),
        ] {
            held.set(bytes);
            assert_eq!((reads.is_short(), reads.may_ask()), (is_short, may_ask));
        }
    }
}
