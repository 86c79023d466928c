//! Who is to be looked at, and when: for each at most one deadline, the earliest that was asked for.
//!
//! Owns a binary heap and where everyone stands in it, so that an earlier deadline takes the place of a later one and nobody stands in
//! it twice. A deadline that moved later costs nothing until the old one fires: whoever is looked at asks for the next. Knows nothing of
//! what is due.
//!
//! Laws: nobody's deadline is before his parent's; `places[heap[at].1] == at`, and all other places are nowhere.

/// The place of those who have no deadline.
const NOWHERE: u32 = u32::MAX;

/// Room for so many is kept, however few there are.
const ROOM: usize = 64;

/// The deadlines of those who have a number, which must be dense.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// When, and whose.
    heap: Vec<(u64, u32)>,
    /// Where each stands in the heap.
    places: Vec<u32>,
}

impl Deadlines {
    /// The earliest of all.
    pub(crate) fn next(&self) -> Option<u64> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// `who` is to be looked at then, if not before.
    pub(crate) fn arm(&mut self, who: u32, at: u64) {
        if self.places.len() <= who as usize {
            self.places.resize(who as usize + 1, NOWHERE);
        }
        let place = match self.places[who as usize] {
            NOWHERE => {
                self.heap.push((at, who));
                self.heap.len() - 1
            }
            place if at < self.heap[place as usize].0 => place as usize,
            _ => return,
        };
        self.rise(place, (at, who));
    }

    /// One whose deadline has come by `now`, the earliest first; he has none any more.
    pub(crate) fn pop(&mut self, now: u64) -> Option<u32> {
        let (at, who) = *self.heap.first()?;
        if at > now {
            return None;
        }
        self.remove(0);
        Some(who)
    }

    /// `who` is not to be looked at any more.
    pub(crate) fn disarm(&mut self, who: u32) {
        let place = self.places.get(who as usize);
        if let Some(place) = place.copied().filter(|p| *p != NOWHERE) {
            self.remove(place as usize);
        }
    }

    fn remove(&mut self, place: usize) {
        let (_, who) = self.heap.swap_remove(place);
        self.places[who as usize] = NOWHERE;
        if let Some(moved) = self.heap.get(place).copied() {
            // The last may belong on either side of where it has come to.
            let place = self.rise(place, moved);
            self.sink(place, moved);
        }
        if self.heap.capacity() > ROOM.max(4 * self.heap.len()) {
            self.heap.shrink_to(ROOM.max(2 * self.heap.len()));
        }
    }

    /// Puts `one` at `place` or above it: its place.
    fn rise(&mut self, mut place: usize, one: (u64, u32)) -> usize {
        while let Some(parent) = place.checked_sub(1).map(|below| below / 2)
            && one < self.heap[parent]
        {
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, one);
        place
    }

    /// Puts `one` at `place` or below it.
    fn sink(&mut self, mut place: usize, one: (u64, u32)) {
        loop {
            let children = 2 * place + 1..self.heap.len().min(2 * place + 3);
            match children.min_by_key(|child| self.heap[*child]) {
                Some(child) if self.heap[child] < one => {
                    self.put(place, self.heap[child]);
                    place = child;
                }
                _ => break,
            }
        }
        self.put(place, one);
    }

    fn put(&mut self, place: usize, one: (u64, u32)) {
        self.heap[place] = one;
        self.places[one.1 as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Arm(u32, u64),
        Disarm(u32),
        Pop(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0u32..40, 0u64..100).prop_map(|(who, at)| Step::Arm(who, at)),
            1 => (0u32..50).prop_map(Step::Disarm),
            1 => (0u64..100).prop_map(Step::Pop),
        ]
    }

    fn check(deadlines: &Deadlines) {
        for (place, one) in deadlines.heap.iter().enumerate() {
            assert!(place == 0 || deadlines.heap[(place - 1) / 2] <= *one);
            assert_eq!(deadlines.places[one.1 as usize], place as u32);
        }
        let standing = deadlines.places.iter().filter(|p| **p != NOWHERE);
        assert_eq!(standing.count(), deadlines.heap.len());
    }

    proptest! {
        #[test]
        fn they_come_in_their_order_and_each_but_once(steps in prop::collection::vec(step(), 0..300)) {
            let mut deadlines = Deadlines::default();
            let mut model = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Arm(who, at) => {
                        deadlines.arm(who, at);
                        let earliest = model.entry(who).or_insert(at);
                        *earliest = at.min(*earliest);
                    }
                    Step::Disarm(who) => {
                        deadlines.disarm(who);
                        model.remove(&who);
                    }
                    Step::Pop(now) => {
                        let first = model.iter().map(|(who, at)| (*at, *who)).min();
                        let due = first.filter(|(at, _)| *at <= now).map(|(_, who)| who);
                        prop_assert_eq!(deadlines.pop(now), due);
                        due.and_then(|who| model.remove(&who));
                    }
                }
                prop_assert_eq!(deadlines.next(), model.values().min().copied());
                check(&deadlines);
            }
        }
    }

    #[test]
    fn room_for_many_is_given_back_when_few_are_left() {
        let mut deadlines = Deadlines::default();
        for who in 0..1000 {
            deadlines.arm(who, u64::from(who));
        }
        let full = deadlines.heap.capacity();
        for now in 0..200 {
            assert_eq!(deadlines.pop(now), Some(now as u32));
        }
        assert_eq!(deadlines.heap.capacity(), full, "they may come back");
        for who in 250..1000 {
            deadlines.disarm(who);
        }
        assert!((50..=200).contains(&deadlines.heap.capacity()));
        for now in 200..250 {
            assert_eq!(deadlines.pop(now), Some(now as u32));
        }
        let room = deadlines.heap.capacity();
        assert!(room >= ROOM, "one that comes and goes allocates nothing");
    }

    #[test]
    fn half_of_the_room_is_given_back_where_less_than_a_quarter_is_in_use() {
        let mut deadlines = Deadlines::default();
        for who in 0..512 {
            deadlines.arm(who, 1);
        }
        let full = deadlines.heap.capacity();
        while deadlines.heap.len() > full / 4 {
            deadlines.pop(1);
        }
        assert_eq!(deadlines.heap.capacity(), full);
        deadlines.pop(1);
        let left = deadlines.heap.len();
        assert_eq!(deadlines.heap.capacity(), 2 * left);
    }
}
