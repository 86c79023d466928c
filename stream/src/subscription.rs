//! A subscription: a cursor into a view, its bound and policy, and what it has lost.
//!
//! Counts are derived: what was published for it is the distance from its start to the head, what is pending the distance from
//! its cursor, and what was delivered is the rest once conflated and lost ones are taken off. Only loss is counted.
//! Pure arithmetic over a view; the engine moves cursors, keeps the holds and writes frames.
//!
//! Law: published = delivered + conflated + lost by each reason + pending, at any instant, within one epoch.

use std::collections::VecDeque;
use std::rc::Rc;

use pubsub_wire::Id;
use pubsub_wire::value::{Dropped, Gap, GapReason, Ledger, Mode, Overflow, Pending, Settings};

use crate::history::History;
use crate::hub::Start;
use crate::ring::{Hold, Kind, Mark, Reach};
use crate::session::NONE;
use crate::view::View;

/// Where a subscription reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not yet begun: the hub has been asked where.
    Opening,
    /// From slices of the log.
    History,
    /// From the view's ring.
    Ring,
}

/// What was lost, by reason, in this epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) drop_oldest: u64,
    pub(crate) memory: u64,
    pub(crate) retention: u64,
}

impl Lost {
    fn total(&self) -> u64 {
        self.drop_oldest + self.memory + self.retention
    }

    fn add(&mut self, reason: GapReason, n: u64) {
        match reason {
            GapReason::Memory => self.memory += n,
            GapReason::Retention => self.retention += n,
            _ => self.drop_oldest += n,
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
    pub(crate) settings: Settings,
    /// What the hub is to be asked; nothing: it begins at the head.
    pub(crate) start: Option<Start>,
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

/// What few subscriptions have.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) gaps: VecDeque<PendingGap>,
    pub(crate) history: Option<History>,
    pub(crate) opening: Option<Opening>,
    pub(crate) draining: Option<Draining>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        self.gaps.is_empty()
            && self.history.is_none()
            && self.opening.is_none()
            && self.draining.is_none()
    }
}

/// A cursor into a view.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, a byte each"
)]
pub(crate) struct Subscription {
    pub(crate) serial: u32,
    pub(crate) session: u32,
    pub(crate) view: u32,
    /// Neighbours in the session's list.
    pub(crate) previous: u32,
    pub(crate) next: u32,
    /// The next of the session that has something to send.
    pub(crate) next_ready: u32,
    /// Its place among the view's members.
    pub(crate) member: u32,
    pub(crate) bound_messages: u32,
    pub(crate) bound_bytes: u32,
    pub(crate) overflow: Overflow,
    pub(crate) mode: Mode,
    pub(crate) stage: Stage,
    pub(crate) hold: Hold,
    /// `cursor` is registered with the ring.
    pub(crate) holds: bool,
    /// `cursor` is registered with the compacted view as one that waits.
    pub(crate) waits: bool,
    pub(crate) is_ready: bool,
    /// Its mode has changed and wasn't told yet.
    pub(crate) announce: bool,
    /// Unsubscribed; only its final ledger is still to be written.
    pub(crate) leaving: bool,
    /// A frame of it is under way.
    pub(crate) under_way: bool,
    /// How many times it was parked with a trip set.
    pub(crate) parked: u32,
    /// That frame is of an epoch that has ended: no ledger counts it.
    former: bool,
    pub(crate) start: u64,
    /// Ordinal of the next entry.
    pub(crate) cursor: u64,
    /// The last position that was handed over or announced as lost.
    pub(crate) last: i64,
    pub(crate) conflated: u64,
    pub(crate) lost: Option<Box<Lost>>,
    pub(crate) extra: Option<Box<Extra>>,
}

impl Subscription {
    pub(crate) fn new(
        serial: u32,
        session: u32,
        view: u32,
        bound: Reach,
        overflow: Overflow,
    ) -> Self {
        Self {
            serial,
            session,
            view,
            previous: NONE,
            next: NONE,
            next_ready: NONE,
            member: 0,
            bound_messages: bound.messages as u32,
            bound_bytes: bound.bytes as u32,
            overflow,
            mode: Mode::Live,
            stage: Stage::Opening,
            hold: Hold::Live,
            holds: false,
            waits: false,
            is_ready: false,
            announce: false,
            leaving: false,
            under_way: false,
            parked: 0,
            former: false,
            start: 0,
            cursor: 0,
            last: 0,
            conflated: 0,
            lost: None,
            extra: None,
        }
    }

    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(crate) fn history(&self) -> Option<&History> {
        self.extra.as_ref()?.history.as_ref()
    }

    pub(crate) fn history_mut(&mut self) -> Option<&mut History> {
        self.extra.as_mut()?.history.as_mut()
    }

    pub(crate) fn gaps(&self) -> usize {
        self.extra.as_ref().map_or(0, |e| e.gaps.len())
    }

    pub(crate) fn draining(&self) -> Option<&Draining> {
        self.extra.as_ref()?.draining.as_ref()
    }

    /// Gives memory back that is no longer of use.
    pub(crate) fn tidy(&mut self) {
        if self.extra.as_ref().is_some_and(|e| e.is_empty()) {
            self.extra = None;
        }
    }

    /// Up to which ordinal there is something to hand over.
    pub(crate) fn end(&self, view: &View) -> u64 {
        let head = view.ring.head();
        self.draining().map_or(head, |d| d.stop.min(head))
    }

    /// Whether a visit would have something to hand over.
    pub(crate) fn has_data(&self, view: &View) -> bool {
        if self.leaving {
            return false;
        }
        if self.gaps() > 0 || self.announce {
            return true;
        }
        match self.stage {
            Stage::Opening => false,
            Stage::Ring => {
                self.cursor < self.end(view) || self.mode != Mode::Live || self.draining().is_some()
            }
            Stage::History => self.history().is_some_and(History::has_data),
        }
    }

    /// Moves on to the entry at `to`; publications before it that were superseded are conflated. Returns how many.
    #[inline]
    pub(crate) fn skip_to(&mut self, view: &View, to: u64) -> u64 {
        if self.cursor == to {
            return 0;
        }
        let positions = view
            .ring
            .marks_from(self.cursor)
            .take_while(|m| m.ordinal < to)
            .count() as u64;
        let conflated = to - self.cursor - positions;
        self.start = self.start.wrapping_add(positions);
        self.conflated += conflated;
        self.cursor = to;
        conflated
    }

    /// The epoch it is in.
    pub(crate) fn epoch<'a>(&self, view: &'a View) -> &'a str {
        let joined = self.history().is_some_and(|h| h.joined);
        if joined || self.stage == Stage::Ring {
            view.epoch_at(self.cursor)
        } else {
            &view.epoch
        }
    }

    /// Messages that are numbered and not with the kernel.
    pub(crate) fn lag_messages(&self, view: &View) -> u64 {
        let waiting = match self.stage {
            Stage::Opening => 0,
            Stage::Ring => view.ring.head() - self.cursor,
            Stage::History => self.history().map_or(0, History::pending),
        };
        waiting + u64::from(self.under_way)
    }

    /// Bytes of frames that are numbered and not with the kernel. `under_way`: of the frame that is, whole.
    pub(crate) fn lag_bytes(&self, view: &View, under_way: u64) -> u64 {
        let waiting = match self.stage {
            Stage::Opening => 0,
            Stage::Ring => view.ring.bytes_from(self.cursor),
            Stage::History => self.history().map_or(0, History::pending_bytes),
        };
        waiting + under_way
    }

    /// When the oldest entry that waits was numbered.
    pub(crate) fn oldest_ns(&self, view: &View) -> Option<u64> {
        match self.stage {
            Stage::Opening => None,
            Stage::Ring => view
                .ring
                .get(self.cursor.max(view.ring.first()))
                .map(|e| e.mono_ns),
            Stage::History => self.history()?.next().map(|e| e.mono_ns),
        }
    }

    /// What of the bound is left for entries of the ring while a frame of `under_way` bytes is on its way.
    pub(crate) fn reach(&self, under_way: u64) -> Reach {
        Reach {
            messages: u64::from(self.bound_messages) - u64::from(self.under_way),
            bytes: u64::from(self.bound_bytes).saturating_sub(under_way),
        }
    }

    /// Whether the bound is passed: more messages, or more bytes and not just one message.
    pub(crate) fn is_over(&self, view: &View, under_way: u64) -> bool {
        let messages = self.lag_messages(view);
        messages > u64::from(self.bound_messages)
            || (messages > 1 && self.lag_bytes(view, under_way) > u64::from(self.bound_bytes))
    }

    /// At half of any bound a subscription is behind.
    pub(crate) fn is_high(&self, view: &View, under_way: u64) -> bool {
        self.lag_messages(view) * 2 >= u64::from(self.bound_messages).max(1)
            || self.lag_bytes(view, under_way) * 2 >= u64::from(self.bound_bytes)
    }

    /// Below a quarter of every bound it is live again. `cursor`: where it will stand.
    pub(crate) fn is_low(&self, view: &View, cursor: u64) -> bool {
        (view.ring.head() - cursor) * 4 < u64::from(self.bound_messages)
            && cursor >= view.ring.first()
            && view.ring.bytes_from(cursor) * 4 < u64::from(self.bound_bytes)
    }

    pub(crate) fn lost_to_retention(&self) -> u64 {
        self.lost.as_ref().map_or(0, |l| l.retention)
    }

    /// Gives up the entries before `to`, which are lost for `reason`. Returns how many they were.
    pub(crate) fn lose(&mut self, view: &View, to: u64, reason: GapReason) -> u64 {
        let mut lost = 0;
        while self.cursor < to {
            let mark = view
                .ring
                .marks_from(self.cursor)
                .find(|m| m.ordinal < to && m.kind != Kind::Position);
            let end = mark.map_or(to, |m| m.ordinal);
            let positions = view
                .ring
                .marks_from(self.cursor)
                .take_while(|m| m.ordinal < end)
                .count() as u64;
            let count = end - self.cursor - positions;
            let until = mark.map_or_else(|| view.ring.position_before(to), |m| m.before);
            // A position that was passed over is no publication.
            self.start = self.start.wrapping_add(positions);
            self.cursor = end;
            if count > 0 {
                lost += count;
                self.lost.get_or_insert_default().add(reason, count);
                let gap = PendingGap {
                    reason,
                    from: Some(self.last + 1),
                    to: Some(until),
                    count: Some(count),
                    epoch: Rc::clone(view.epoch_at(end)),
                    offset: until,
                };
                self.announce_gap(gap);
            }
            self.last = self.last.max(until);
            if let Some(mark) = mark {
                let mark = mark.clone();
                self.pass_lost_mark(view, &mark);
            }
        }
        lost
    }

    /// Gives up what is left of former epochs, since their log is gone; `last` is a position of the present epoch then.
    pub(crate) fn lose_epochs(&mut self, view: &View) {
        let epochs = view
            .ring
            .marks_from(self.cursor)
            .filter(|m| m.kind == Kind::Epoch);
        if let Some(ordinal) = epochs.last().map(|m| m.ordinal) {
            self.lose(view, ordinal + 1, GapReason::Retention);
        }
    }

    /// Gives up a mark together with what is around it: what it would have told is told as a gap.
    fn pass_lost_mark(&mut self, view: &View, mark: &Mark) {
        self.cross(mark);
        self.announce_gap(view.gap_of(mark));
    }

    /// Queues a gap, joined with the one before it where both are of one kind.
    pub(crate) fn announce_gap(&mut self, gap: PendingGap) {
        let gaps = &mut self.extra().gaps;
        if gap.reason == GapReason::Epoch {
            // What was lost before is of an epoch that ended.
            gaps.clear();
        }
        match gaps.back_mut() {
            // One that tells where a subscription began stays as `subscribed` told it.
            Some(last)
                if last.reason == gap.reason
                    && gap.reason != GapReason::Retention
                    && last.to.is_some()
                    && gap.from == last.to.map(|t| t + 1) =>
            {
                last.to = gap.to;
                last.count = last.count.zip(gap.count).map(|(a, b)| a + b);
                last.offset = gap.offset;
            }
            _ => gaps.push_back(gap),
        }
    }

    /// Moves past a mark whose frame was handed over (or replaced by a gap).
    pub(crate) fn cross(&mut self, mark: &Mark) {
        debug_assert_eq!(self.cursor, mark.ordinal);
        self.cursor = mark.ordinal + 1;
        self.start = self.start.wrapping_add(1);
        self.last = mark.after;
        match mark.kind {
            Kind::Lost(n) => {
                self.start = self.start.wrapping_sub(n);
                self.lost.get_or_insert_default().retention += n;
            }
            Kind::Epoch => {
                self.former = self.under_way;
                self.start = self.cursor;
                self.conflated = 0;
                self.lost = None;
            }
            Kind::Message | Kind::Position | Kind::LostUncounted => {}
        }
    }

    /// What was published for it since its start, of the present epoch, and how much of that is pending.
    fn counts(&self, view: &View) -> (u64, u64) {
        let under_way = self.in_flight();
        match self.stage {
            Stage::Opening => (0, 0),
            Stage::History => {
                let history = self.history();
                (
                    history.map_or(0, |h| h.published),
                    history.map_or(0, History::pending) + under_way,
                )
            }
            Stage::Ring => {
                let epoch_end = view
                    .ring
                    .marks_from(self.cursor)
                    .find(|m| m.kind == Kind::Epoch);
                let end = epoch_end.map_or(view.ring.head(), |m| m.ordinal);
                let marks = view
                    .ring
                    .marks_from(self.cursor)
                    .take_while(|m| m.ordinal < end)
                    .count() as u64;
                let pending = end - self.cursor - marks;
                (end.wrapping_sub(self.start) - marks, pending + under_way)
            }
        }
    }

    /// A frame has begun, and is of the present epoch.
    pub(crate) fn begin_frame(&mut self) {
        (self.under_way, self.former) = (true, false);
    }

    /// How many messages of the present epoch are under way: one or none.
    pub(crate) fn in_flight(&self) -> u64 {
        u64::from(self.under_way && !self.former)
    }

    /// The ledger at this instant; loss is to be settled before.
    pub(crate) fn ledger(&self, view: &View) -> Ledger {
        let (published, pending) = self.counts(view);
        let lost = self.lost.as_deref().copied().unwrap_or_default();
        Ledger {
            published,
            delivered: published - pending - self.conflated - lost.total(),
            filtered_by_rate: 0,
            conflated: self.conflated,
            dropped: Dropped {
                drop_oldest: lost.drop_oldest,
                drop_newest: 0,
                memory: lost.memory,
            },
            expired: 0,
            retention: lost.retention,
            pending: Pending {
                memory: pending,
                spilled: (self.mode != Mode::Replay).then_some(0),
            },
        }
    }
}
