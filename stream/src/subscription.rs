//! A subscription: a cursor into a cohort's ring, its bound and policy, and what it has lost.
//!
//! Counts are derived: what was published for it is the distance from its start to the head, what is pending the distance from
//! its cursor, and what was delivered is the rest once conflated, filtered and lost ones are taken off. Only loss is counted.
//! Pure arithmetic over a cohort; the engine moves cursors, keeps the holds and writes frames.
//!
//! Law: published = delivered + conflated + filtered + lost by each reason + pending, at any instant, within one epoch.

mod accounts;
mod gaps;
mod lose;

use std::rc::Rc;

use pubsub_wire::Id;
use pubsub_wire::value::{From, Gap, GapReason, Mode, Overflow};

pub(crate) use gaps::{Gaps, join};
pub(crate) use lose::Met;

use crate::backlog::{Backlog, Part};
use crate::history::History;
use crate::hub::Start;
use crate::ring::{Hold, Reach};
use crate::session::NONE;
use crate::terms::{Acting, Terms};
use crate::views::{Stand, Views};

/// Credit of a subscription whose demand is unlimited.
pub(crate) const UNLIMITED: u64 = u64::MAX;

/// Where a subscription reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not yet begun: the hub has been asked where.
    Opening,
    /// From slices of the log.
    History,
    /// From its backlog, if it has one, and then its cohort's ring.
    Ring,
}

/// What was lost, by reason, and left out by rates, in this epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) drop_oldest: u64,
    pub(crate) drop_newest: u64,
    pub(crate) memory: u64,
    pub(crate) expired: u64,
    pub(crate) retention: u64,
    /// By rates of cohorts that it has left.
    pub(crate) filtered: u64,
}

impl Lost {
    fn total(&self) -> u64 {
        self.drop_oldest + self.drop_newest + self.memory + self.expired + self.retention
    }

    pub(crate) fn of(&mut self, reason: GapReason) -> &mut u64 {
        match reason {
            GapReason::DropOldest => &mut self.drop_oldest,
            GapReason::DropNewest => &mut self.drop_newest,
            GapReason::Expired => &mut self.expired,
            GapReason::Memory => &mut self.memory,
            // A gap of the epoch has no count.
            GapReason::Retention | GapReason::Epoch => &mut self.retention,
        }
    }
}

/// A loss that has yet to be announced.
pub(crate) type PendingGap = Gap<Rc<str>>;

/// An unsubscribe that waits, and the id it is to be answered with.
#[derive(Debug)]
pub(crate) struct Leave(pub(crate) Option<Id>);

/// What a subscription that has not begun waits with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) id: Option<Id>,
    /// What the hub is to be asked; nothing: it begins at the head.
    pub(crate) start: Option<Start>,
    /// It has been asked.
    pub(crate) asked: bool,
    /// It was unsubscribed before it began.
    pub(crate) leave: Option<Leave>,
}

/// An unsubscribe that lets what is pending go out first.
#[derive(Debug)]
pub(crate) struct Draining {
    pub(crate) id: Option<Id>,
    /// Nothing from this ordinal on.
    pub(crate) stop: u64,
    pub(crate) until_ns: u64,
}

/// The hole of `drop_newest`: what arrives from `from` on is lost until all before it is handed over. Pinned from `pinned` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hole {
    pub(crate) from: u64,
    pub(crate) pinned: u64,
    /// The position before `from`.
    pub(crate) position: Option<i64>,
}

/// How a subscription joined a cohort that has an operator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined {
    /// Entries of the source before this one are not its own.
    pub(crate) since: u64,
    /// How many the operator had left out by then, so that differences count what it left out for this one.
    pub(crate) filtered: u64,
    /// How many it held then that may still come; 0 once they have.
    pub(crate) older: u64,
    /// How many of those its cursor has passed.
    pub(crate) passed: u64,
}

/// What few subscriptions have; a hole many at once.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    gaps: Option<Box<Gaps>>,
    backlog: Option<Box<Backlog>>,
    pub(crate) hole: Option<Hole>,
    pub(crate) history: Option<Box<History>>,
    pub(crate) opening: Option<Box<Opening>>,
    pub(crate) draining: Option<Box<Draining>>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.gaps.as_ref().is_none_or(|g| g.is_empty())
            && self.backlog.as_ref().is_none_or(|b| b.is_empty())
            && self.hole.is_none()
            && self.history.is_none()
            && self.opening.is_none()
            && self.draining.is_none()
    }

    pub(crate) fn backlog_mut(&mut self) -> &mut Backlog {
        self.backlog.get_or_insert_default()
    }
}

/// A cursor into a cohort's ring.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, a byte each"
)]
pub(crate) struct Subscription {
    pub(crate) serial: u32,
    pub(crate) session: u32,
    pub(crate) view: u32,
    pub(crate) cohort: u32,
    /// Neighbours in the session's list.
    pub(crate) previous: u32,
    pub(crate) next: u32,
    /// The next of the session that has something to send.
    pub(crate) next_ready: u32,
    /// Its place among the cohort's members.
    pub(crate) member: u32,
    pub(crate) bound_messages: u32,
    pub(crate) bound_bytes: u32,
    pub(crate) bound_age_ms: u32,
    pub(crate) overflow: Overflow,
    pub(crate) mode: Mode,
    pub(crate) stage: Stage,
    pub(crate) hold: Hold,
    /// How `cursor` is registered with the ring.
    pub(crate) held: Option<Hold>,
    /// `cursor` is registered with the compacted view as one that waits.
    pub(crate) waits: bool,
    pub(crate) is_ready: bool,
    /// Its mode has changed and wasn't told yet.
    pub(crate) announce: bool,
    /// Unsubscribed; only its final ledger is still to be written.
    pub(crate) leaving: bool,
    /// Messages in the frame of it that is under way.
    pub(crate) under_way: u32,
    /// How many times it was parked with a trip set.
    pub(crate) parked: u32,
    pub(crate) start: u64,
    /// Ordinal of the next entry.
    pub(crate) cursor: u64,
    /// The last position that was handed over or announced as lost.
    pub(crate) last: i64,
    pub(crate) conflated: u64,
    /// Messages it may still be sent.
    pub(crate) credit: u64,
    /// When its mode switched last.
    pub(crate) switched_ns: u64,
    pub(crate) terms: Option<Rc<Terms>>,
    /// Where it began, unless that was live.
    pub(crate) from: Option<Box<From>>,
    pub(crate) joined: Option<Box<Joined>>,
    pub(crate) lost: Option<Box<Lost>>,
    pub(crate) extra: Option<Box<Extra>>,
    /// How many frames have begun, message by message: what the differences are held against in debug builds.
    #[cfg(debug_assertions)]
    pub(crate) begun: u64,
}

impl Subscription {
    pub(crate) fn new(serial: u32, session: u32, view: u32, cohort: u32) -> Self {
        Self {
            serial,
            session,
            view,
            cohort,
            previous: NONE,
            next: NONE,
            next_ready: NONE,
            member: 0,
            bound_messages: 0,
            bound_bytes: 0,
            bound_age_ms: 0,
            overflow: Overflow::DropOldest,
            mode: Mode::Live,
            stage: Stage::Opening,
            hold: Hold::Live,
            held: None,
            waits: false,
            is_ready: false,
            announce: false,
            leaving: false,
            under_way: 0,
            parked: 0,
            start: 0,
            cursor: 0,
            last: 0,
            conflated: 0,
            credit: UNLIMITED,
            switched_ns: 0,
            terms: None,
            from: None,
            joined: None,
            lost: None,
            extra: None,
            #[cfg(debug_assertions)]
            begun: 0,
        }
    }

    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(crate) fn history(&self) -> Option<&History> {
        self.extra.as_ref()?.history.as_deref()
    }

    pub(crate) fn history_mut(&mut self) -> Option<&mut History> {
        self.extra.as_mut()?.history.as_deref_mut()
    }

    pub(crate) fn backlog(&self) -> Option<&Backlog> {
        let backlog = self.extra.as_ref()?.backlog.as_deref();
        backlog.filter(|b| !b.is_empty())
    }

    /// Losses that have yet to be announced.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = &PendingGap> {
        let gaps = self.extra.as_ref().and_then(|e| e.gaps.as_deref());
        gaps.into_iter().flat_map(Gaps::iter)
    }

    /// The first of them is told.
    pub(crate) fn pop_gap(&mut self) {
        if let Some(gaps) = self.extra.as_mut().and_then(|e| e.gaps.as_mut()) {
            gaps.pop();
        }
        self.tidy();
    }

    pub(crate) fn hole(&self) -> Option<Hole> {
        self.extra.as_ref()?.hole
    }

    /// Nothing is left to hand over before its hole.
    pub(crate) fn is_at_hole(&self) -> bool {
        self.backlog().is_none() && self.hole().is_some_and(|h| self.cursor >= h.from)
    }

    pub(crate) fn draining(&self) -> Option<&Draining> {
        self.extra.as_ref()?.draining.as_deref()
    }

    /// Gives memory back that is no longer of use.
    pub(crate) fn tidy(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.gaps.take_if(|g| g.is_empty());
        }
        if self.extra.as_ref().is_some_and(|e| e.is_empty()) {
            self.extra = None;
        }
    }

    /// Its bound by messages and bytes.
    pub(crate) fn bound(&self) -> Reach {
        Reach {
            messages: u64::from(self.bound_messages),
            bytes: u64::from(self.bound_bytes),
        }
    }

    pub(crate) fn set_bound(&mut self, bound: &pubsub_wire::value::Bound) {
        // The node's limits are below what these hold, or the bound is as good as none.
        let narrow = |n: Option<u64>| u32::try_from(n.unwrap_or(0)).unwrap_or(u32::MAX);
        self.bound_messages = narrow(bound.messages);
        self.bound_bytes = narrow(bound.bytes);
        self.bound_age_ms = narrow(bound.age_ms);
    }

    /// What acts on its messages now.
    pub(crate) fn acting(&self) -> Acting {
        let terms = self.terms.as_deref().copied().unwrap_or_default();
        if self.stage == Stage::Ring {
            terms.acting(self.mode, self.bound())
        } else {
            Acting::default()
        }
    }

    /// Whether its bound acts: it stands in the ring, and reads nothing again from the log.
    pub(crate) fn is_bounded(&self) -> bool {
        self.stage == Stage::Ring && self.mode != Mode::Replay
    }

    /// Whether each of its messages comes in a `batch`.
    pub(crate) fn is_batched(&self) -> bool {
        self.terms.as_ref().is_some_and(|t| t.batch.is_some())
    }

    /// It keeps up, has no demand to mind and nothing before its ring, which holds its messages as they go out.
    #[inline]
    pub(crate) fn is_simple(&self) -> bool {
        self.mode == Mode::Live
            && self.extra.is_none()
            && self.credit == UNLIMITED
            && self.joined.as_ref().is_none_or(|j| j.older == 0)
    }

    /// The epoch it is in.
    pub(crate) fn epoch<'a>(&'a self, views: &'a Views) -> &'a Rc<str> {
        let stand = views.stand(self.cohort);
        let joined = self.history().is_some_and(|h| h.joined);
        match self.backlog().and_then(Backlog::front) {
            Some(Part::Window(window)) => {
                return views.stand(window.cohort).epoch_at(window.cursor);
            }
            Some(Part::Held { epoch, .. }) => return epoch,
            Some(Part::Gap(gap)) => return &gap.epoch,
            None => {}
        }
        if joined || self.stage == Stage::Ring {
            stand.epoch_at(self.cursor)
        } else {
            &stand.view.epoch
        }
    }

    /// Up to which ordinal there is something to hand over.
    pub(crate) fn end(&self, stand: &Stand<'_>) -> u64 {
        let head = stand.cohort.ring.head();
        let Some(extra) = &self.extra else {
            return head;
        };
        let hole = extra.hole.map_or(head, |h| h.from);
        extra.draining.as_ref().map_or(hole, |d| d.stop.min(hole))
    }

    /// Whether there is something to hand over but messages.
    fn has_notices(&self, stand: &Stand<'_>, may_switch: bool) -> bool {
        if self.announce || may_switch || self.gaps().next().is_some() {
            return true;
        }
        let gap = matches!(self.backlog().and_then(Backlog::front), Some(Part::Gap(_)));
        let through = self.stage == Stage::Ring && !self.has_messages(stand);
        gap || self.draining().is_some() && (through || self.credit == 0)
    }

    /// Whether messages wait that would be handed over, had they credit.
    pub(crate) fn has_messages(&self, stand: &Stand<'_>) -> bool {
        match self.stage {
            Stage::Opening => false,
            Stage::Ring => self.backlog().is_some() || self.cursor < self.end(stand),
            Stage::History => self.history().is_some_and(|h| h.pending() > 0),
        }
    }

    /// Whether a visit would come to something. `may_switch`: its mode would be live again if it has caught up.
    pub(crate) fn has_data(&self, stand: &Stand<'_>, may_switch: bool) -> bool {
        if self.leaving {
            return false;
        }
        self.has_notices(stand, may_switch) || (self.credit > 0 && self.has_messages(stand))
    }

    /// A frame with `messages` of the present epoch has begun.
    pub(crate) fn begin_frame(&mut self, messages: u32) {
        self.under_way = messages;
        #[cfg(debug_assertions)]
        {
            self.begun += u64::from(messages);
        }
        if self.credit != UNLIMITED {
            self.credit = self.credit.saturating_sub(u64::from(messages));
        }
    }

    /// More demand; what was asked for before stays.
    pub(crate) fn add_credit(&mut self, n: u64) {
        self.credit = self.credit.saturating_add(n).min(UNLIMITED - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credit_however_large_becomes_unlimited() {
        let mut subscription = Subscription::new(0, 0, 0, 0);
        subscription.credit = 5;
        subscription.add_credit(u64::MAX - 7);
        assert_eq!(subscription.credit, UNLIMITED - 2);
        subscription.add_credit(7);
        assert_eq!(subscription.credit, UNLIMITED - 1);
    }
}
