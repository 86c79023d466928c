//! A walk over what a subscription is to receive, for one that is not simply keeping up: it is behind, replays, drains, minds its
//! credit, receives batches in part, or has a backlog.
//!
//! Owns the virtual cursor of a plan: where it would stand, in which mode, with how much credit left, after what is planned so far.
//! Moves nothing of the subscription.

use std::rc::Rc;

use pubsub_wire::encode;
use pubsub_wire::frame::{FrameBuf, frame_len};
use pubsub_wire::value::{Batch, Mode, Overflow};

use crate::backlog::{Part, Window};
use crate::config::Now;
use crate::engine::Engine;
use crate::plan::{Item, Place, What};
use crate::ring::{Kind, Mark, Seat};
use crate::subscription::Subscription;
use crate::terms::cut;

/// Where the walk is.
#[derive(Debug, Clone, Copy)]
struct Walk {
    place: Place,
    at: u64,
    mode: Mode,
    credit: u64,
}

/// What it comes to.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) place: Place,
    pub(crate) at: u64,
    pub(crate) is_message: bool,
    pub(crate) frame: Rc<[u8]>,
    pub(crate) seat: Seat,
    pub(crate) offset: i64,
    pub(crate) mono_ns: u64,
}

impl Engine {
    /// Plans for a subscription whose mode may change on the way.
    pub(crate) fn plan_walk(&mut self, now: Now, index: u32, until: usize) {
        let mut walk = self.begin_walk(index);
        while self.plan.pieces.len() < until {
            if self.goes_live(now, index, &walk) {
                walk.mode = Mode::Live;
                self.plan_live(now, index, &walk);
                continue;
            }
            let step = self.next_step_of(index, &walk);
            match step {
                Some(step) if !step.is_message => {
                    (walk.place, walk.at) = (step.place, step.at + 1);
                    let item = item_of(What::Mark, index, &step, 0);
                    self.plan.push(step.frame, item);
                }
                Some(step) if walk.credit > 0 => self.plan_messages(index, &mut walk, step),
                _ => {
                    self.plan_drained(now, index);
                    return;
                }
            }
        }
    }

    fn begin_walk(&self, index: u32) -> Walk {
        let subscription = &self.subscriptions[index as usize];
        let (place, at) = match subscription.backlog() {
            Some(backlog) => (Place::Part(backlog.first()), begin_of(backlog.front())),
            None => (Place::Ring, subscription.cursor),
        };
        Walk {
            place,
            at,
            mode: subscription.mode,
            credit: subscription.credit,
        }
    }

    fn goes_live(&self, now: Now, index: u32, walk: &Walk) -> bool {
        let subscription = &self.subscriptions[index as usize];
        walk.place == Place::Ring
            && subscription.hole().is_none()
            && self.has_caught_up(now, subscription, walk.mode, walk.at)
    }

    fn plan_live(&mut self, now: Now, index: u32, walk: &Walk) {
        let lag = self.lag(now, index, Some(walk.at));
        let text = &self.views.get(self.subscriptions[index as usize].view).text;
        let frame = self
            .frames
            .text(|out| encode::mode(out, text, Mode::Live, &lag));
        self.plan
            .add(Rc::from(frame), What::Mode(Mode::Live), index);
    }

    /// Plans a message, or as many as go into one batch.
    fn plan_messages(&mut self, index: u32, walk: &mut Walk, first: Step) {
        // What came before there was a batch stays as it was; in history every message comes in one.
        let joins = self.subscriptions[index as usize].is_batched() && walk.mode == Mode::Replay;
        if first.seat.of == 0 && !joins {
            (walk.place, walk.at) = (first.place, first.at + 1);
            walk.credit = spend(walk.credit, 1);
            let item = item_of(What::Messages, index, &first, 1);
            self.plan.push(first.frame, item);
            return;
        }
        let group = self.gather(index, walk, first);
        walk.credit = spend(walk.credit, group.len() as u64);
        self.plan_group(index, &group);
    }

    /// The messages from `first` on that go into one frame.
    fn gather(&self, index: u32, walk: &mut Walk, first: Step) -> Vec<Step> {
        let subscription = &self.subscriptions[index as usize];
        let mut size = Size::new(batch_limits(subscription));
        size.add(self, subscription, &first);
        (walk.place, walk.at) = (first.place, first.at + 1);
        let mut group = vec![first];
        while (group.len() as u64) < walk.credit {
            let next = self.next_step_of(index, walk);
            let Some(next) = next.filter(|n| goes_with(&group[0], n)) else {
                break;
            };
            if next.seat.of == 0 && !size.add(self, subscription, &next) {
                break;
            }
            (walk.place, walk.at) = (next.place, next.at + 1);
            group.push(next);
        }
        group
    }

    /// Plans one frame of these messages: the one they share, if it is all of it.
    fn plan_group(&mut self, index: u32, group: &[Step]) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return;
        };
        let item = Item {
            mono_ns: first.mono_ns,
            ..item_of(What::Messages, index, last, group.len() as u32)
        };
        if first.seat.of as usize == group.len() {
            self.plan.push(Rc::clone(&first.frame), item);
            return;
        }
        let view = self.views.get(self.subscriptions[index as usize].view);
        let sub = view.is_pattern.then_some(&*view.text);
        let frame = self.frames.text(|out| {
            encode::batch_begin(out, &view.text);
            for (at, step) in group.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_step(out, step, sub);
            }
            out.extend_from_slice(encode::BATCH_END.as_bytes());
        });
        let frame = Rc::from(frame);
        self.plan.push(frame, item);
    }

    /// The entry or mark that the walk comes to; nothing: what is there is through.
    fn next_step_of(&self, index: u32, walk: &Walk) -> Option<Step> {
        let subscription = &self.subscriptions[index as usize];
        let (mut place, mut at) = (walk.place, walk.at);
        while let Place::Part(number) = place {
            let found = match subscription.backlog().and_then(|b| b.part(number)) {
                // What it tells has to become the first before it is told.
                Some(Part::Gap(_)) => return None,
                Some(Part::Window(window)) => {
                    let conflates = window.conflates && walk.mode == Mode::Behind;
                    if self.is_gone(window, at, conflates) {
                        return None;
                    }
                    self.next_in_window(window, subscription.last, at, conflates)
                }
                Some(Part::Held { slice, .. }) => slice.entries.get(at as usize).map(|e| Step {
                    place,
                    at,
                    is_message: true,
                    frame: Rc::clone(&e.frame),
                    seat: e.seat,
                    offset: e.offset,
                    mono_ns: e.mono_ns,
                }),
                None => {
                    at = subscription.cursor;
                    break;
                }
            };
            if let Some(found) = found {
                return Some(Step { place, ..found });
            }
            place = Place::Part(number.wrapping_add(1));
            at = begin_of(
                subscription
                    .backlog()
                    .and_then(|b| b.part(number.wrapping_add(1))),
            );
        }
        let end = subscription.end(&self.views.stand(subscription.cohort));
        let conflates = subscription.overflow == Overflow::Conflate && walk.mode == Mode::Behind;
        let window = Window {
            cohort: subscription.cohort,
            cursor: at,
            until: end,
            since: subscription.since(),
            conflates,
            own: 0,
            position: None,
        };
        if self.is_gone(&window, at, conflates) {
            return None;
        }
        self.next_in_window(&window, subscription.last, at, conflates)
    }

    /// Whether what stood at `at` in a window was taken away: that is settled before anything behind it is handed over.
    fn is_gone(&self, window: &Window, at: u64, conflates: bool) -> bool {
        let cohort = self.views.cohort(window.cohort);
        let next = if conflates {
            cohort.compact.as_ref().map_or(0, |c| c.horizon())
        } else {
            cohort.ring.available(at)
        };
        at < window.until && next > at
    }

    /// The next entry or mark of a window from `at` on; of the entries only the newest of each key, if it conflates. `last`: the
    /// position before it, for one that joined a cohort which still held what is older.
    pub(crate) fn next_in_window(
        &self,
        window: &Window,
        last: i64,
        mut at: u64,
        conflates: bool,
    ) -> Option<Step> {
        loop {
            let step = self.next_of_window(window, at, conflates)?;
            if window.since == 0 || !self.is_stale(window, last, &step) {
                return Some(step);
            }
            at = step.at + 1;
        }
    }

    /// Whether it is a position older than the one it stands behind: a rate or a batch still held something older.
    fn is_stale(&self, window: &Window, last: i64, step: &Step) -> bool {
        let ring = &self.views.cohort(window.cohort).ring;
        !step.is_message && ring.is_position_before(step.at, last)
    }

    fn next_of_window(&self, window: &Window, at: u64, conflates: bool) -> Option<Step> {
        if at >= window.until {
            return None;
        }
        if conflates {
            return self.next_survivor(window, at);
        }
        let cohort = self.views.cohort(window.cohort);
        let mut range = cohort.ring.range(at, window.until);
        let (at, entry) = range.find(|(_, e)| e.source >= window.since)?;
        Some(Step {
            place: Place::Ring,
            at,
            is_message: entry.is_message(),
            frame: Rc::clone(&entry.frame),
            seat: entry.seat,
            offset: entry.offset,
            mono_ns: entry.mono_ns,
        })
    }

    /// The next entry that no newer one supersedes, or a mark that stands before it.
    fn next_survivor(&self, window: &Window, at: u64) -> Option<Step> {
        let cohort = self.views.cohort(window.cohort);
        let mut marks = cohort.ring.marks_from(at);
        let mark = marks.find(|m| m.kind != Kind::Position && m.ordinal < window.until);
        let newest = cohort.compact.as_ref().and_then(|c| {
            let own = c
                .range(at, window.until)
                .find(|(_, e)| e.source >= window.since);
            own.map(|(at, e)| (*at, e))
        });
        match (mark, newest) {
            (Some(mark), Some((newest, _))) if mark.ordinal < newest => {
                Some(self.step_of_mark(window, mark))
            }
            (Some(mark), None) => Some(self.step_of_mark(window, mark)),
            (_, Some((at, newest))) => Some(Step {
                place: Place::Ring,
                at,
                is_message: true,
                frame: Rc::clone(&newest.frame),
                seat: newest.seat,
                offset: newest.offset,
                mono_ns: newest.mono_ns,
            }),
            (None, None) => self.last_position(window, at),
        }
    }

    /// Only positions are left before the end.
    fn last_position(&self, window: &Window, at: u64) -> Option<Step> {
        let ring = &self.views.cohort(window.cohort).ring;
        let mark = ring
            .marks_from(at)
            .take_while(|m| m.ordinal < window.until)
            .last()?;
        ring.get(mark.ordinal)?;
        Some(self.step_of_mark(window, mark))
    }

    fn step_of_mark(&self, window: &Window, mark: &Mark) -> Step {
        let stand = self.views.stand(window.cohort);
        let held = stand.cohort.ring.get(mark.ordinal);
        let frame = held.map_or_else(
            || {
                let gap = stand.gap_of(mark);
                let mut frames = FrameBuf::new();
                Rc::from(frames.text(|out| encode::gap(out, &stand.view.text, &gap)))
            },
            |entry| Rc::clone(&entry.frame),
        );
        Step {
            place: Place::Ring,
            at: mark.ordinal,
            is_message: false,
            frame,
            seat: Seat::default(),
            offset: mark.after,
            mono_ns: 0,
        }
    }

    /// History: what of the slice goes out, and in what frames.
    pub(crate) fn plan_history(&mut self, index: u32, until: usize) {
        let subscription = &self.subscriptions[index as usize];
        let Some(history) = subscription.history() else {
            return;
        };
        let (mut at, mut credit) = (u64::from(history.index), subscription.credit);
        let is_batched = subscription.is_batched();
        while self.plan.pieces.len() < until && credit > 0 {
            let subscription = &self.subscriptions[index as usize];
            let mut size = Size::new(batch_limits(subscription));
            let mut group: Vec<Step> = Vec::new();
            while let Some(step) = past_step(subscription, at) {
                let fits = group.is_empty() || is_batched && (group.len() as u64) < credit;
                if !fits
                    || (is_batched && !size.add(self, subscription, &step) && !group.is_empty())
                {
                    break;
                }
                at += 1;
                group.push(step);
            }
            if group.is_empty() {
                return;
            }
            credit = spend(credit, group.len() as u64);
            match &group[..] {
                [one] if !is_batched => {
                    let item = item_of(What::Messages, index, one, 1);
                    self.plan.push(Rc::clone(&one.frame), item);
                }
                _ => self.plan_group(index, &group),
            }
        }
    }
}

fn batch_limits(subscription: &Subscription) -> Batch {
    let batch = subscription.terms.as_ref().and_then(|t| t.batch);
    cut(batch.unwrap_or_default(), subscription.bound())
}

fn past_step(subscription: &Subscription, at: u64) -> Option<Step> {
    let past = subscription.history()?.entry(at as u32)?;
    Some(Step {
        place: Place::Past,
        at,
        is_message: true,
        frame: Rc::clone(&past.frame),
        seat: past.seat,
        offset: past.offset,
        mono_ns: past.mono_ns,
    })
}

fn begin_of(part: Option<&Part>) -> u64 {
    match part {
        Some(Part::Window(window)) => window.cursor,
        Some(Part::Held { index, .. }) => u64::from(*index),
        Some(Part::Gap(_)) | None => 0,
    }
}

fn item_of(what: What, subscription: u32, step: &Step, count: u32) -> Item {
    Item {
        what,
        subscription,
        place: step.place,
        at: step.at,
        count,
        offset: step.offset,
        mono_ns: step.mono_ns,
    }
}

/// What is left of a credit.
fn spend(credit: u64, n: u64) -> u64 {
    if credit == crate::subscription::UNLIMITED {
        credit
    } else {
        credit - n
    }
}

/// Whether a message may stand in one batch with the first: both of the same that came together, or neither of any.
fn goes_with(first: &Step, next: &Step) -> bool {
    next.is_message
        && next.place == first.place
        && (next.seat.of > 0) == (first.seat.of > 0)
        && (next.seat.of == 0 || Rc::ptr_eq(&next.frame, &first.frame))
}

/// A message as an item of a batch.
fn write_step(out: &mut Vec<u8>, step: &Step, sub: Option<&str>) {
    if step.seat.of > 0 {
        out.extend_from_slice(&step.frame[step.seat.from as usize..step.seat.to as usize]);
    } else {
        out.push(b'{');
        out.extend_from_slice(encode::msg_fields(&step.frame, sub));
        out.push(b'}');
    }
}

/// How large a batch becomes that is put together from single messages.
struct Size {
    limits: Batch,
    messages: u64,
    bytes: u64,
}

impl Size {
    fn new(limits: Batch) -> Self {
        Self {
            limits,
            messages: 0,
            bytes: 0,
        }
    }

    /// Takes one more in, if it fits.
    fn add(&mut self, engine: &Engine, subscription: &Subscription, step: &Step) -> bool {
        let view = engine.views.get(subscription.view);
        let sub = view.is_pattern.then_some(&*view.text);
        // Braces and a comma.
        let item = encode::msg_fields(&step.frame, sub).len() as u64 + 3;
        let around = encode::batch_len(&view.text) as u64;
        let bytes = frame_len((around + self.bytes + item - 1) as usize) as u64;
        let fits = self.messages < self.limits.messages.unwrap_or(u64::MAX)
            && bytes <= self.limits.bytes.unwrap_or(u64::MAX);
        if fits || self.messages == 0 {
            self.messages += 1;
            self.bytes += item;
        }
        fits
    }
}
