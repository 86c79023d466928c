//! Whom to write to next.
//!
//! A publication marks its cohorts; a pass over a cohort's active members then visits each that has something to receive, and hands it
//! all it is behind by. What arrives during a pass is taken along by those not yet visited and starts another pass for the rest,
//! so that batches grow by themselves when the machine is busy. Sessions with control frames go first; those that are catching
//! up take turns with the passes, byte for byte: neither starves the other, and a message of now doesn't wait for sixty of before.

use std::collections::VecDeque;

use crate::cohort::Scan;
use crate::config::{Now, SessionId};
use crate::engine::Engine;
use crate::session::NONE;

/// Visits of one cohort before the next with something new gets a turn.
const TURN: u32 = 256;

/// The queues of sessions and cohorts that wait for a visit.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    /// Sessions with control frames.
    first: VecDeque<u32>,
    /// Sessions that take again, or have more than one write holds.
    again: VecDeque<u32>,
    /// Cohorts with something new.
    dirty: VecDeque<u32>,
    /// Of which of the last two the session under way is; `None`: it has control frames.
    turn: Option<Turn>,
    /// Bytes that those of `again` were handed and the passes have yet to be, while they have something.
    ahead: usize,
    /// Visits of the present cohort in this turn.
    taken: u32,
}

/// Those that take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Again,
    Pass,
}

impl Visits {
    /// The session under way was handed so much.
    #[inline]
    pub(crate) fn handed(&mut self, bytes: usize) {
        match self.turn {
            Some(Turn::Again) => self.ahead += bytes,
            Some(Turn::Pass) => self.ahead = self.ahead.saturating_sub(bytes),
            None => {}
        }
    }
}

impl Engine {
    /// The next session worth a write.
    pub fn poll_visit(&mut self, now: Now) -> Option<SessionId> {
        while let Some(index) = self.visits.first.pop_front() {
            if let Some(id) = self.visit(index) {
                self.visits.turn = None;
                return Some(id);
            }
        }
        if self.visits.ahead == 0
            && let Some(id) = self.next_again()
        {
            return Some(self.in_turn(Turn::Again, id));
        }
        if let Some(id) = self.next_of_pass(now) {
            return Some(self.in_turn(Turn::Pass, id));
        }
        self.visits.ahead = 0;
        // A pass may come to those that have no credit but something to tell.
        let id = self.next_again()?;
        Some(self.in_turn(Turn::Again, id))
    }

    fn in_turn(&mut self, turn: Turn, id: SessionId) -> SessionId {
        self.visits.turn = Some(turn);
        id
    }

    /// Whether a visit is waiting, so that a driver does not sleep.
    pub fn has_visits(&self) -> bool {
        !(self.visits.first.is_empty()
            && self.visits.again.is_empty()
            && self.visits.dirty.is_empty())
    }

    fn next_again(&mut self) -> Option<SessionId> {
        while let Some(index) = self.visits.again.pop_front() {
            if let Some(id) = self.visit(index) {
                return Some(id);
            }
        }
        None
    }

    /// The session at `index`, if it is there, waits for a visit and takes bytes.
    fn visit(&mut self, index: u32) -> Option<SessionId> {
        let session = self.sessions.get_mut(index as usize)?;
        session.queued = false;
        if session.blocked || !session.has_work() {
            return None;
        }
        Some(self.session_id(index))
    }

    /// Queues a session for a visit.
    pub(crate) fn queue(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        if !session.queued && !session.blocked && session.has_work() {
            session.queued = true;
            self.visits.again.push_back(index);
        }
    }

    /// Queues a session with a control frame before all others.
    pub(crate) fn queue_first(&mut self, index: u32) {
        let session = &mut self.sessions[index as usize];
        if !session.queued && !session.blocked {
            session.queued = true;
            self.visits.first.push_back(index);
        }
    }

    /// Something new stands in a cohort's ring.
    pub(crate) fn mark_dirty(&mut self, cohort: u32) {
        match &mut self.views.cohort_mut(cohort).scan {
            Scan::At { again, .. } => *again = true,
            scan @ Scan::Idle => {
                *scan = Scan::At {
                    next: 0,
                    again: false,
                };
                self.visits.dirty.push_back(cohort);
            }
        }
    }

    fn next_of_pass(&mut self, now: Now) -> Option<SessionId> {
        while let Some(cohort) = self.visits.dirty.front().copied() {
            if self.visits.taken >= TURN {
                self.visits.dirty.rotate_left(1);
                self.visits.taken = 0;
                continue;
            }
            if let Some(session) = self.advance_pass(now, cohort) {
                self.visits.taken += 1;
                return Some(self.session_id(session));
            }
            self.visits.dirty.pop_front();
            self.visits.taken = 0;
        }
        None
    }

    /// The session of the next active member that has something to receive; nothing: the pass is over.
    fn advance_pass(&mut self, now: Now, cohort_index: u32) -> Option<u32> {
        loop {
            let cohort = self.views.find_cohort(cohort_index)?;
            let Scan::At { next, again } = cohort.scan else {
                return None;
            };
            let Some(subscription_index) = cohort.active(next) else {
                if !again {
                    cohort.scan = Scan::Idle;
                    return None;
                }
                cohort.scan = Scan::At {
                    next: 0,
                    again: false,
                };
                continue;
            };
            let subscription = &self.subscriptions[subscription_index as usize];
            let passed = Scan::At {
                next: next + 1,
                again,
            };
            if subscription.is_ready || subscription.cursor == cohort.ring.head() {
                cohort.scan = passed;
                continue;
            }
            let session = subscription.session;
            if subscription.credit > 0 && !self.sessions[session as usize].blocked {
                cohort.scan = passed;
                self.make_ready(subscription_index);
                return Some(session);
            }
            if subscription.credit == 0 {
                // It comes back with credit. Another member stands at `next` now.
                self.next_step(now, subscription_index);
                self.keep_going(cohort_index, next, subscription_index);
            } else {
                // Its socket refused: it comes back when the socket takes again. Another member stands at `next` now.
                self.make_ready(subscription_index);
                self.park(now, subscription_index);
            }
            self.mind_memory();
        }
    }

    /// A pass goes on behind a member that could not be visited, if that still stands there.
    fn keep_going(&mut self, cohort: u32, next: u32, subscription: u32) {
        let Some(cohort) = self.views.find_cohort(cohort) else {
            return;
        };
        if cohort.active(next) == Some(subscription)
            && let Scan::At { next, .. } = &mut cohort.scan
        {
            *next += 1;
        }
    }

    /// Puts a subscription into its session's list of those that have something to send.
    #[inline]
    pub(crate) fn make_ready(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        if subscription.is_ready {
            return;
        }
        subscription.is_ready = true;
        subscription.next_ready = NONE;
        let session = &mut self.sessions[subscription.session as usize];
        let last = std::mem::replace(&mut session.ready_last, index);
        session.ready += 1;
        if last == NONE {
            session.ready_first = index;
        } else {
            self.subscriptions[last as usize].next_ready = index;
        }
    }

    /// Takes the first subscription out of a session's list.
    #[inline]
    pub(crate) fn pop_ready(&mut self, session: u32) -> Option<u32> {
        let session = &mut self.sessions[session as usize];
        let first = session.ready_first;
        if first == NONE {
            return None;
        }
        let subscription = &mut self.subscriptions[first as usize];
        subscription.is_ready = false;
        session.ready -= 1;
        session.ready_first = subscription.next_ready;
        if session.ready_first == NONE {
            session.ready_last = NONE;
        }
        Some(first)
    }

    /// Takes a subscription out of its session's list, wherever it stands there.
    pub(crate) fn remove_ready(&mut self, index: u32) {
        if !self.subscriptions[index as usize].is_ready {
            return;
        }
        let session = self.subscriptions[index as usize].session;
        for _ in 0..self.sessions[session as usize].ready {
            let Some(first) = self.pop_ready(session) else {
                return;
            };
            if first != index {
                self.make_ready(first);
            }
        }
    }
}
