//! A cohort: subscriptions that share one derived log, and that log.
//!
//! Owns the ring its members' cursors stand in, the operator that feeds it (none where it is the view's own log: no rate, no
//! batch), its compacted form while somebody conflates, and its members in two parts: those that a fan-out visits (`active`) and
//! those aside (their socket refused, they wait for credit or for what is older). Driven by the engine; knows no session.
//!
//! Laws: a member is in `members` exactly once; `members[..active]` are the active ones; `counted` is what the engine's budget has
//! been told of.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::compact::Compact;
use crate::operator::Operator;
use crate::ring::{Reach, Ring};
use crate::terms::Acting;

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
            Some(Reverse((at, _))) if reached > *at => {}
            _ => return None,
        }
        let trip = heap.pop().map(|Reverse((_, trip))| trip);
        if heap.is_empty() {
            // Many trip together, and seldom again soon.
            heap.shrink_to_fit();
        }
        trip
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

/// One derived log and its members.
#[derive(Debug)]
pub(crate) struct Cohort {
    pub(crate) view: u32,
    /// What acts on the view's log before it stands in the ring.
    pub(crate) acting: Acting,
    pub(crate) operator: Option<Box<Operator>>,
    pub(crate) ring: Ring,
    pub(crate) members: Vec<u32>,
    active: u32,
    pub(crate) scan: Scan,
    pub(crate) compact: Option<Box<Compact>>,
    pub(crate) conflaters: u32,
    /// Windows of subscriptions that have gone on to another cohort.
    pub(crate) windows: u32,
    pub(crate) trips: Option<Box<Trips>>,
    messages: Largest,
    bytes: Largest,
    /// Something new is in the ring of which not everything has followed yet.
    pub(crate) pushed: bool,
    counted: u64,
}

impl Cohort {
    pub(crate) fn new(view: u32, acting: Acting, position: i64) -> Self {
        Self {
            view,
            acting,
            operator: acting.operator().map(Box::new),
            ring: Ring::new(position),
            members: Vec::new(),
            active: 0,
            scan: Scan::Idle,
            compact: None,
            conflaters: 0,
            windows: 0,
            trips: None,
            messages: Largest::default(),
            bytes: Largest::default(),
            pushed: false,
            counted: 0,
        }
    }

    /// Its messages come one by one as the log has them, and offsets tell what is between them.
    pub(crate) fn is_plain(&self) -> bool {
        self.operator.is_none()
    }

    /// Messages come in the order of release, so that only `resume` tells a position.
    pub(crate) fn is_rated(&self) -> bool {
        self.acting.rate.is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.windows == 0
    }

    /// How far back a parked cursor may stand.
    pub(crate) fn reach(&self) -> Reach {
        Reach {
            messages: u64::from(self.messages.value),
            bytes: u64::from(self.bytes.value),
        }
    }

    /// Lets go of what nobody needs; of nothing, as long as those are looked at whom the newest is too much for.
    pub(crate) fn trim(&mut self) {
        if self.pushed {
            return;
        }
        let reach = self.reach();
        self.ring.evict(reach);
        if let Some(compact) = &mut self.compact {
            compact.set_ring_first(self.ring.first());
            compact.purge();
        }
        self.ring.forget_marks();
    }

    /// Takes the oldest entry away, whoever needs it. `false`: there is none. Conflating cursors that it overtakes must be entered
    /// anew before the next `trim`.
    pub(crate) fn pop_oldest(&mut self) -> bool {
        let first = self.ring.first();
        let pinned = self.ring.first_pinned().map_or(u64::MAX, |(at, _)| at);
        let kept = self.compact.as_ref().and_then(|c| c.first_before(first));
        let kept = kept.map_or(u64::MAX, |(at, _)| at);
        let popped = if pinned.min(kept) == u64::MAX {
            self.ring.take_oldest()
        } else if pinned <= kept {
            self.ring.pop_pinned()
        } else {
            self.compact.as_mut().is_some_and(|c| c.pop_first())
        };
        if let Some(compact) = &mut self.compact {
            compact.set_ring_first(self.ring.first());
        }
        popped
    }

    /// When the oldest entry at hand was numbered.
    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        let pinned = self.ring.first_pinned().map(|(_, e)| e.mono_ns);
        let kept = self
            .compact
            .as_ref()
            .and_then(|c| c.first_before(self.ring.first()));
        let front = self.ring.front().map(|e| e.mono_ns);
        [pinned, kept.map(|(_, ns)| ns), front]
            .into_iter()
            .flatten()
            .min()
    }

    /// How many bytes it holds more than when it was last asked.
    pub(crate) fn count(&mut self) -> i64 {
        let bytes = self.ring.bytes()
            + self.compact.as_ref().map_or(0, |c| c.kept_bytes())
            + self.operator.as_ref().map_or(0, |o| o.held_bytes());
        let more = bytes as i64 - self.counted as i64;
        self.counted = bytes;
        more
    }

    /// Somebody conflates from now on.
    pub(crate) fn add_conflater(&mut self) {
        self.conflaters += 1;
        self.compact
            .get_or_insert_with(|| Box::new(Compact::new(self.ring.head())));
    }

    pub(crate) fn remove_conflater(&mut self) {
        self.conflaters -= 1;
        if self.conflaters == 0 {
            self.compact = None;
        }
    }

    /// A subscription with these bounds comes; the place it gets among the members.
    pub(crate) fn add(&mut self, subscription: u32, messages: u32, bytes: u32) -> u32 {
        self.add_bounds(messages, bytes);
        self.members.push(subscription);
        self.members.len() as u32 - 1
    }

    pub(crate) fn add_bounds(&mut self, messages: u32, bytes: u32) {
        self.messages.add(messages);
        self.bytes.add(bytes);
    }

    /// A member has these bounds no more. `true`: the largest must be found anew with [`Cohort::measure`].
    pub(crate) fn remove_bounds(&mut self, messages: u32, bytes: u32) -> bool {
        let anew = self.messages.remove(messages);
        self.bytes.remove(bytes) || anew
    }

    /// A subscription leaves. `moved` is told which member now stands where.
    pub(crate) fn remove(&mut self, member: u32, mut moved: impl FnMut(u32, u32)) {
        let at = self.set_aside(member, &mut moved);
        self.members.swap_remove(at as usize);
        if let Some(other) = self.members.get(at as usize) {
            moved(*other, at);
        }
        if self.members.len() * 4 < self.members.capacity() {
            self.members.shrink_to(self.members.len() * 2);
        }
    }

    /// Finds the largest bounds anew.
    pub(crate) fn measure(&mut self, bounds: impl Iterator<Item = (u32, u32)>) {
        (self.messages, self.bytes) = (Largest::default(), Largest::default());
        for (messages, bytes) in bounds {
            self.add_bounds(messages, bytes);
        }
    }

    /// The active member at `index`.
    #[inline]
    pub(crate) fn active(&self, index: u32) -> Option<u32> {
        if index < self.active {
            Some(self.members[index as usize])
        } else {
            None
        }
    }

    /// Whether the member at this place is visited by the fan-out.
    #[inline]
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

    fn cohort_of(n: u32) -> Cohort {
        let mut cohort = Cohort::new(0, Acting::default(), 0);
        for i in 0..n {
            let at = cohort.add(i, 10, 100);
            cohort.set_active(at, &mut |_, _| {});
        }
        cohort
    }

    #[test]
    fn members_set_aside_are_not_visited_and_come_back() {
        let mut cohort = cohort_of(4);
        let mut place: Vec<u32> = (0..4).collect();
        let mut moved = |who: u32, at: u32| place[who as usize] = at;
        cohort.set_aside(1, &mut moved);
        let visited: Vec<u32> = (0..4).filter_map(|i| cohort.active(i)).collect();
        assert_eq!(visited.len(), 3);
        assert!(!visited.contains(&1));
        for (who, at) in place.iter().enumerate() {
            assert_eq!(cohort.members[*at as usize], who as u32);
        }
        cohort.set_active(place[1], &mut |_, _| {});
        assert_eq!((0..4).filter_map(|i| cohort.active(i)).count(), 4);
    }

    #[test]
    fn whoever_is_moved_is_told_where_to_and_no_other() {
        let mut cohort = cohort_of(3);
        let mut moved = Vec::new();
        let mut note = |who: u32, at: u32| moved.push((who, at));
        assert_eq!(cohort.set_active(0, &mut note), 0, "it is already");
        assert_eq!(cohort.set_aside(2, &mut note), 2, "it is the last");
        assert_eq!(cohort.set_aside(2, &mut note), 2, "it is already");
        assert_eq!(cohort.set_aside(0, &mut note), 1);
        assert_eq!(cohort.set_active(2, &mut note), 1);
        assert_eq!(moved, [(1, 0), (0, 1), (0, 2), (2, 1)]);
        let is_active = [0, 1, 2].map(|at| cohort.is_active(at));
        assert_eq!(is_active, [true, true, false]);
        assert_eq!(cohort.members, [1, 2, 0]);
        let mut moved = Vec::new();
        cohort.remove(0, |who, at| moved.push((who, at)));
        assert_eq!(
            (moved, cohort.members),
            (vec![(2, 0), (1, 1), (0, 1)], vec![2, 0])
        );
    }

    #[test]
    fn a_pass_is_repeated_only_when_a_member_may_have_moved_behind_it() {
        let at = |again| Scan::At { next: 2, again };
        for (member, again) in [(0, true), (1, true), (2, false), (3, false)] {
            let mut cohort = cohort_of(4);
            cohort.scan = at(false);
            cohort.set_aside(member, &mut |_, _| {});
            assert_eq!(cohort.scan, at(again), "{member}");
            cohort.scan = at(true);
            cohort.set_aside(0, &mut |_, _| {});
            assert_eq!(cohort.scan, at(true));
        }
    }

    #[test]
    fn room_for_many_members_is_given_back_when_they_are_gone() {
        let mut cohort = cohort_of(0);
        cohort.members.reserve_exact(128);
        for i in 0..128 {
            cohort.add(i, 1, 1);
        }
        while cohort.members.len() > 32 {
            cohort.remove(0, |_, _| {});
        }
        assert_eq!(cohort.members.capacity(), 128, "they may come back");
        cohort.remove(0, |_, _| {});
        let room = cohort.members.capacity();
        assert!((62..128).contains(&room), "room for {room}");
    }

    #[test]
    fn the_newest_of_each_key_is_kept_while_anybody_conflates() {
        let mut cohort = cohort_of(0);
        cohort.add_conflater();
        cohort.add_conflater();
        cohort.remove_conflater();
        assert!(cohort.compact.is_some());
        cohort.remove_conflater();
        assert!(cohort.compact.is_none());
    }

    #[test]
    fn the_largest_bound_is_found_anew_only_when_the_last_that_has_it_leaves() {
        let mut cohort = cohort_of(0);
        let all = [(10, 100), (10, 20), (5, 100), (5, 100), (1, 1)];
        for (i, (messages, bytes)) in (0..).zip(all) {
            cohort.add(i, messages, bytes);
        }
        let reach = |cohort: &Cohort| (cohort.reach().messages, cohort.reach().bytes);
        assert!(!cohort.remove_bounds(1, 1));
        assert!(!cohort.remove_bounds(10, 100));
        assert!(!cohort.remove_bounds(5, 100));
        assert_eq!(reach(&cohort), (10, 100));
        assert!(cohort.remove_bounds(10, 20), "messages");
        cohort.measure([(5, 100)].into_iter());
        assert_eq!(reach(&cohort), (5, 100));
        cohort.add_bounds(7, 100);
        cohort.add_bounds(8, 30);
        assert_eq!(reach(&cohort), (8, 100));
        assert!(!cohort.remove_bounds(7, 100));
        assert!(cohort.remove_bounds(5, 100), "bytes");
    }

    #[test]
    fn the_reach_is_that_of_the_largest_bound_still_there() {
        let mut cohort = cohort_of(1);
        cohort.add(1, 50, 20);
        assert_eq!(
            cohort.reach(),
            Reach {
                messages: 50,
                bytes: 100
            }
        );
        cohort.remove(1, |_, _| {});
        assert!(cohort.remove_bounds(50, 20));
        cohort.measure([(10, 100)].into_iter());
        assert_eq!(
            cohort.reach(),
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
