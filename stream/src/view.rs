//! A view of the log: the entries of one topic, or of all topics that a pattern matches, and who subscribes to it.
//!
//! Owns the view's ring, its compacted form while somebody conflates, and its members in two parts: those that a fan-out visits
//! (`active`) and those aside (their socket refused, or they read history). Driven by the engine; knows no session.
//!
//! Laws: a member is in `members` exactly once; `members[..active]` are the active ones.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use pubsub_wire::value::{Gap, GapReason};

use crate::compact::Compact;
use crate::ring::{Kind, Mark, Reach, Ring};

/// Names one subscription of one engine; a number used again has another serial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SubKey {
    pub(crate) index: u32,
    pub(crate) serial: u32,
}

/// How far the fan-out over a view has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// Nothing new.
    Idle,
    /// The next member to look at; something came since the pass began.
    At { next: u32, again: bool },
}

/// A subscription to be looked at when a mark is passed; void once it was parked another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trip {
    pub(crate) key: SubKey,
    pub(crate) parked: u32,
}

/// What a trip waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gauge {
    /// The ordinal of the head.
    Head,
    /// The running sum of bytes.
    Sum,
}

/// When parked subscriptions pass their bounds.
#[derive(Debug, Default)]
pub(crate) struct Trips {
    by_head: BinaryHeap<Reverse<(u64, Trip)>>,
    by_sum: BinaryHeap<Reverse<(u64, Trip)>>,
}

impl Trips {
    /// `trip` is due when the gauge passes `at`.
    pub(crate) fn set(&mut self, gauge: Gauge, at: u64, trip: Trip) {
        self.heap(gauge).push(Reverse((at, trip)));
    }

    /// The next that is due, and by which gauge.
    pub(crate) fn next(&mut self, head: u64, sum: u64) -> Option<(Gauge, Trip)> {
        let by_head = self.pop(Gauge::Head, head).map(|t| (Gauge::Head, t));
        by_head.or_else(|| self.pop(Gauge::Sum, sum).map(|t| (Gauge::Sum, t)))
    }

    fn heap(&mut self, gauge: Gauge) -> &mut BinaryHeap<Reverse<(u64, Trip)>> {
        match gauge {
            Gauge::Head => &mut self.by_head,
            Gauge::Sum => &mut self.by_sum,
        }
    }

    fn pop(&mut self, gauge: Gauge, reached: u64) -> Option<Trip> {
        let heap = self.heap(gauge);
        match heap.peek() {
            Some(Reverse((at, _))) if reached > *at => heap.pop().map(|Reverse((_, trip))| trip),
            _ => None,
        }
    }
}

/// The largest bound of a view's subscriptions, and how many have it.
#[derive(Debug, Clone, Copy, Default)]
struct Largest {
    value: u32,
    count: u32,
}

impl Largest {
    fn add(&mut self, value: u32) {
        if value > self.value {
            *self = Self { value, count: 1 };
        } else if value == self.value {
            self.count += 1;
        }
    }

    /// Whether the largest has left, so that it must be found anew.
    fn remove(&mut self, value: u32) -> bool {
        if value == self.value {
            self.count -= 1;
        }
        self.count == 0
    }
}

/// One view and its members.
#[derive(Debug)]
pub(crate) struct View {
    /// The topic or pattern.
    pub(crate) text: Rc<str>,
    /// The number by which the hub knows it on the present link.
    pub(crate) id: u32,
    pub(crate) is_pattern: bool,
    /// Epoch of what stands at the head of the ring.
    pub(crate) epoch: Rc<str>,
    /// The hub has confirmed interest on the present link.
    pub(crate) watched: bool,
    /// It was watched once: the ring means something.
    pub(crate) begun: bool,
    pub(crate) ring: Ring,
    pub(crate) members: Vec<u32>,
    active: u32,
    pub(crate) scan: Scan,
    pub(crate) compact: Option<Box<Compact>>,
    pub(crate) conflaters: u32,
    pub(crate) trips: Option<Box<Trips>>,
    messages: Largest,
    bytes: Largest,
    /// The last position that subscribers of this view have heard of.
    pub(crate) told: i64,
    /// Since when nothing was told.
    pub(crate) told_ns: u64,
}

impl View {
    pub(crate) fn new(text: Rc<str>, id: u32, epoch: Rc<str>) -> Self {
        Self {
            is_pattern: pubsub_wire::topic::is_pattern(&text),
            text,
            id,
            epoch,
            watched: false,
            begun: false,
            ring: Ring::new(0),
            members: Vec::new(),
            active: 0,
            scan: Scan::Idle,
            compact: None,
            conflaters: 0,
            trips: None,
            messages: Largest::default(),
            bytes: Largest::default(),
            told: 0,
            told_ns: 0,
        }
    }

    /// How far back a parked cursor may stand.
    pub(crate) fn reach(&self) -> Reach {
        Reach {
            messages: u64::from(self.messages.value),
            bytes: u64::from(self.bytes.value),
        }
    }

    /// Lets go of what nobody needs. Returns how many bytes left the ring.
    pub(crate) fn trim(&mut self) -> u64 {
        let bytes = self.ring.bytes();
        let reach = self.reach();
        self.ring.evict(reach);
        if let Some(compact) = &mut self.compact {
            compact.purge(self.ring.first());
        }
        self.ring.forget_marks();
        bytes - self.ring.bytes()
    }

    /// The gap that a mark of lost entries tells of.
    pub(crate) fn gap_of(&self, mark: &Mark) -> Gap<Rc<str>> {
        let (reason, span, count) = match mark.kind {
            Kind::Epoch => (GapReason::Epoch, None, None),
            Kind::Lost(n) => (
                GapReason::Retention,
                Some((mark.before + 1, mark.after)),
                Some(n),
            ),
            _ => (GapReason::Retention, None, None),
        };
        Gap {
            from: span.map(|s| s.0),
            to: span.map(|s| s.1),
            count,
            reason,
            epoch: Rc::clone(self.epoch_at(mark.ordinal + 1)),
            offset: mark.after,
        }
    }

    /// The epoch of the entry at `ordinal`.
    pub(crate) fn epoch_at(&self, ordinal: u64) -> &Rc<str> {
        self.ring
            .marks_from(ordinal)
            .find_map(|m| m.epoch.as_ref())
            .unwrap_or(&self.epoch)
    }

    /// A subscription with these bounds comes; the place it gets among the members.
    pub(crate) fn add(&mut self, subscription: u32, messages: u32, bytes: u32) -> u32 {
        self.messages.add(messages);
        self.bytes.add(bytes);
        self.members.push(subscription);
        self.members.len() as u32 - 1
    }

    /// A subscription with these bounds leaves. `true`: the largest bounds must be found anew with [`View::measure`].
    /// `moved` is told which member now stands where.
    pub(crate) fn remove(
        &mut self,
        member: u32,
        bounds: (u32, u32),
        mut moved: impl FnMut(u32, u32),
    ) -> bool {
        let at = self.set_aside(member, &mut moved);
        self.members.swap_remove(at as usize);
        if let Some(other) = self.members.get(at as usize) {
            moved(*other, at);
        }
        if self.members.capacity() > 16 && self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to(self.members.len() * 2);
        }
        let messages = self.messages.remove(bounds.0);
        self.bytes.remove(bounds.1) || messages
    }

    /// Finds the largest bounds anew.
    pub(crate) fn measure(&mut self, bounds: impl Iterator<Item = (u32, u32)>) {
        (self.messages, self.bytes) = (Largest::default(), Largest::default());
        for (messages, bytes) in bounds {
            self.messages.add(messages);
            self.bytes.add(bytes);
        }
    }

    /// The active member at `index`.
    pub(crate) fn active(&self, index: u32) -> Option<u32> {
        if index < self.active {
            Some(self.members[index as usize])
        } else {
            None
        }
    }

    /// Whether the member at this place is visited by the fan-out.
    pub(crate) fn is_active(&self, member: u32) -> bool {
        member < self.active
    }

    /// The fan-out shall visit this member from now on. Returns its new place.
    pub(crate) fn set_active(&mut self, member: u32, moved: &mut impl FnMut(u32, u32)) -> u32 {
        if member < self.active {
            return member;
        }
        self.active += 1;
        self.swap(member, self.active - 1, moved)
    }

    /// The fan-out shall pass this member by. Returns its new place.
    pub(crate) fn set_aside(&mut self, member: u32, moved: &mut impl FnMut(u32, u32)) -> u32 {
        if member >= self.active {
            return member;
        }
        self.active -= 1;
        if let Scan::At { next, again } = &mut self.scan {
            // The last active member moves to a place that the pass may have left behind.
            *again |= member < *next;
        }
        self.swap(member, self.active, moved)
    }

    fn swap(&mut self, from: u32, to: u32, moved: &mut impl FnMut(u32, u32)) -> u32 {
        if from != to {
            self.members.swap(from as usize, to as usize);
            moved(self.members[from as usize], from);
            moved(self.members[to as usize], to);
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view_of(n: u32) -> View {
        let mut view = View::new(Rc::from("t"), 1, Rc::from("e"));
        for i in 0..n {
            let at = view.add(i, 10, 100);
            view.set_active(at, &mut |_, _| {});
        }
        view
    }

    #[test]
    fn members_set_aside_are_not_visited_and_come_back() {
        let mut view = view_of(4);
        let mut place: Vec<u32> = (0..4).collect();
        let mut moved = |who: u32, at: u32| place[who as usize] = at;
        view.set_aside(1, &mut moved);
        let visited: Vec<u32> = (0..4).filter_map(|i| view.active(i)).collect();
        assert_eq!(visited.len(), 3);
        assert!(!visited.contains(&1));
        for (who, at) in place.iter().enumerate() {
            assert_eq!(view.members[*at as usize], who as u32);
        }
        view.set_active(place[1], &mut |_, _| {});
        assert_eq!((0..4).filter_map(|i| view.active(i)).count(), 4);
    }

    #[test]
    fn a_pass_is_repeated_when_a_member_may_have_moved_behind_it() {
        let mut view = view_of(4);
        view.scan = Scan::At {
            next: 2,
            again: false,
        };
        view.set_aside(0, &mut |_, _| {});
        assert_eq!(
            view.scan,
            Scan::At {
                next: 2,
                again: true
            }
        );
    }

    #[test]
    fn the_reach_is_that_of_the_largest_bound_still_there() {
        let mut view = view_of(1);
        view.add(1, 50, 20);
        assert_eq!(
            view.reach(),
            Reach {
                messages: 50,
                bytes: 100
            }
        );
        assert!(view.remove(1, (50, 20), |_, _| {}));
        view.measure([(10, 100)].into_iter());
        assert_eq!(
            view.reach(),
            Reach {
                messages: 10,
                bytes: 100
            }
        );
    }

    #[test]
    fn a_trip_fires_once_its_mark_is_passed() {
        let mut trips = Trips::default();
        let trip = Trip {
            key: SubKey {
                index: 1,
                serial: 1,
            },
            parked: 1,
        };
        trips.set(Gauge::Head, 10, trip);
        trips.set(Gauge::Sum, 1000, trip);
        assert_eq!(trips.next(10, 1000), None);
        assert_eq!(trips.next(11, 0), Some((Gauge::Head, trip)));
        assert_eq!(trips.next(11, 1001), Some((Gauge::Sum, trip)));
        assert_eq!(trips.next(99, 9999), None);
    }
}
