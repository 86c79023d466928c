//! A naive ring: everything that was ever pushed and every cursor and window in a list. Whatever is done, the ring answers as it does.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::*;

/// The same scripts every time, unless another seed is asked for.
const SEED: u64 = 1;

/// One entry that was pushed.
struct Past {
    offset: i64,
    mono_ns: u64,
    bytes: u64,
    source: u64,
    kind: Kind,
}

struct Naive {
    /// The entry of ordinal 1 is the first.
    all: Vec<Past>,
    first: u64,
    /// The position before `first`.
    base: i64,
    taken: (u64, i64),
    cursors: Vec<(u64, Hold)>,
    windows: Vec<(u64, u64)>,
    /// Pinned entries that were taken away.
    stolen: BTreeSet<u64>,
    marks: Vec<Mark>,
    tellers: u32,
    /// From here on it is known where in the source each was.
    told_from: u64,
}

/// One entry as both sides tell it.
type Seen = (u64, i64, u64, u64, Kind);

fn seen((at, e): (u64, &Entry)) -> Seen {
    (at, e.offset, e.mono_ns, u64::from(e.bytes), e.kind)
}

impl Naive {
    fn new(position: i64) -> Self {
        Self {
            all: Vec::new(),
            first: 1,
            base: position,
            taken: (0, position),
            cursors: Vec::new(),
            windows: Vec::new(),
            stolen: BTreeSet::new(),
            marks: Vec::new(),
            tellers: 0,
            told_from: 1,
        }
    }

    fn head(&self) -> u64 {
        self.all.len() as u64 + 1
    }

    fn is_empty(&self) -> bool {
        self.first == self.head()
    }

    fn past(&self, ordinal: u64) -> &Past {
        &self.all[ordinal as usize - 1]
    }

    fn position(&self) -> i64 {
        if self.is_empty() {
            self.base
        } else {
            self.past(self.head() - 1).offset
        }
    }

    fn is_pinned(&self, ordinal: u64) -> bool {
        let inside = |(from, to): &(u64, u64)| (*from..*to).contains(&ordinal);
        ordinal < self.first && self.windows.iter().any(inside) && !self.stolen.contains(&ordinal)
    }

    fn is_at_hand(&self, ordinal: u64) -> bool {
        (self.first..self.head()).contains(&ordinal) || self.is_pinned(ordinal)
    }

    /// What is at hand of these.
    fn range(&self, from: u64, to: u64) -> Vec<Seen> {
        let at_hand = (from.max(1)..to.min(self.head())).filter(|o| self.is_at_hand(*o));
        let seen = |o: u64| {
            let past = self.past(o);
            (o, past.offset, past.mono_ns, past.bytes, past.kind)
        };
        at_hand.map(seen).collect()
    }

    fn pinned(&self) -> Vec<u64> {
        (1..self.first).filter(|o| self.is_pinned(*o)).collect()
    }

    /// The first at hand at or after `ordinal`.
    fn available(&self, ordinal: u64) -> u64 {
        let pinned = (ordinal..self.first).find(|o| self.is_pinned(*o));
        pinned.unwrap_or(self.first.max(ordinal))
    }

    /// Bytes of all that was ever before `ordinal`.
    fn sum_before(&self, ordinal: u64) -> u64 {
        (1..ordinal).map(|o| self.past(o).bytes).sum()
    }

    fn bytes_between(&self, from: u64, to: u64) -> u64 {
        let last = (1..to).rev().find(|o| self.is_at_hand(*o));
        let end = if to >= self.first {
            to
        } else {
            last.map_or(1, |o| o + 1)
        };
        self.sum_before(end)
            .saturating_sub(self.sum_before(self.available(from)))
    }

    fn within(&self, reach: Reach) -> u64 {
        let total = self.sum_before(self.head());
        let fits = |o: &u64| {
            self.head() - o <= reach.messages && total - self.sum_before(*o) <= reach.bytes
        };
        (self.first..=self.head()).find(fits).unwrap()
    }

    fn younger(&self, from: u64, to: u64, floor_ns: u64) -> u64 {
        let all = self.range(from, to);
        let old = all.iter().take_while(|(_, _, ns, ..)| *ns < floor_ns);
        old.last().map_or(from, |(at, ..)| at + 1)
    }

    fn source(&self, ordinal: u64) -> Option<u64> {
        let told = self.is_at_hand(ordinal)
            || (self.tellers > 0 && (self.told_from..self.first).contains(&ordinal));
        let source = told.then(|| self.past(ordinal).source)?;
        (source != u64::MAX).then_some(source)
    }

    fn marks_from(&self, ordinal: u64) -> Vec<&Mark> {
        self.marks.iter().filter(|m| m.ordinal >= ordinal).collect()
    }

    fn ordinal_after(&self, position: i64) -> Option<u64> {
        let begins = self.marks_from(self.first);
        let begin = begins.iter().rfind(|m| m.kind == Kind::Epoch);
        let (from, base) = begin.map_or((self.first, self.base), |m| (m.ordinal + 1, m.after));
        let later = (from..self.head()).find(|o| self.past(*o).offset > position);
        let ordinal = later.unwrap_or(self.head());
        let inside = self.marks.iter().any(|m| {
            let loses = matches!(m.kind, Kind::Lost(_) | Kind::LostUncounted);
            m.ordinal == ordinal && loses && m.before < position
        });
        (position >= base && !inside).then_some(ordinal)
    }

    fn is_overtaken(&self) -> bool {
        self.cursors.iter().any(|(at, _)| *at < self.first)
    }

    fn waits_at_first(&self, hold: Hold) -> bool {
        self.cursors.contains(&(self.first, hold))
    }

    fn pop(&mut self) -> bool {
        if self.is_empty() {
            return false;
        }
        self.base = self.past(self.first).offset;
        self.first += 1;
        true
    }

    fn evict(&mut self, reach: Reach) {
        while !self.is_empty() && !self.waits_at_first(Hold::Live) {
            let held = self.head() - self.first;
            let bytes = self.sum_before(self.head()) - self.sum_before(self.first);
            let fits = held <= reach.messages && (held == 1 || bytes <= reach.bytes);
            let waits = self.waits_at_first(Hold::Parked) || self.is_overtaken();
            if waits && fits {
                return;
            }
            self.pop();
        }
    }
}

/// Both, and what is done to them.
struct Pair {
    ring: Ring,
    naive: Naive,
}

impl Pair {
    fn new() -> Self {
        Self {
            ring: Ring::new(5),
            naive: Naive::new(5),
        }
    }

    fn push(&mut self, kind: Kind, offset: i64, mono_ns: u64, bytes: u64) {
        let (ring, naive) = (&mut self.ring, &mut self.naive);
        let ordinal = naive.head();
        // Where the ring is empty nothing tells what was before.
        let before_ns = if naive.is_empty() {
            0
        } else {
            naive.past(ordinal - 1).mono_ns
        };
        let frame: Rc<[u8]> = vec![0; bytes as usize].into();
        let is_mark = kind != Kind::Message;
        naive.all.push(Past {
            offset,
            mono_ns: mono_ns.max(before_ns),
            bytes,
            source: if is_mark { u64::MAX } else { ordinal * 3 },
            kind,
        });
        let pushed = if is_mark {
            let mark = Mark {
                ordinal,
                kind,
                before: ring.position(),
                after: offset,
                epoch: None,
                seen: 0,
                filtered: 0,
            };
            naive.marks.push(mark.clone());
            ring.push_mark(mark, mono_ns, frame)
        } else {
            ring.push(NewEntry {
                offset,
                mono_ns,
                frame,
                seat: Seat::default(),
                source: ordinal * 3,
                bytes: bytes as u32,
            })
        };
        assert_eq!(pushed, ordinal);
    }

    /// Does what these numbers say, where it makes sense.
    fn step(&mut self, (what, a, b): (u8, u64, u64)) {
        let position = self.naive.position();
        let hold = [Hold::Live, Hold::Parked][b as usize % 2];
        let reach = Reach {
            messages: a % 8,
            bytes: b % 90,
        };
        match what {
            0..=4 => self.push(Kind::Message, position + 1 + a as i64 % 3, b, a % 4 * 10),
            5 => {
                let (kind, after) = [
                    (Kind::Position, position + b as i64 % 3),
                    (Kind::Epoch, b as i64 % 3),
                    (Kind::Lost(b % 4), position + b as i64 % 4),
                    (Kind::LostUncounted, position + b as i64 % 4),
                ][a as usize % 4];
                self.push(kind, after, b, 7);
            }
            6 | 7 => {
                let from = self.naive.first.saturating_sub(2).max(1);
                let at = from + a % (self.naive.head() + 1 - from);
                self.ring.hold(at, hold);
                self.naive.cursors.push((at, hold));
            }
            8 | 9 if !self.naive.cursors.is_empty() => {
                let which = a as usize % self.naive.cursors.len();
                let (at, hold) = self.naive.cursors.swap_remove(which);
                self.ring.release(at, hold);
            }
            10 => {
                self.ring.evict(reach);
                self.naive.evict(reach);
            }
            11 => assert_eq!(self.ring.pop(), self.naive.pop()),
            12 => {
                let popped = self.naive.pop();
                assert_eq!(self.ring.take_oldest(), popped);
                if popped {
                    self.naive.taken = (self.naive.first, self.naive.base);
                }
            }
            13 => {
                let from = 1 + a % self.naive.head();
                let to = (from + b % 5).min(self.naive.head());
                if (from..to).all(|o| self.naive.is_at_hand(o)) {
                    self.ring.pin(from, to);
                    self.naive.windows.push((from, to));
                }
            }
            14 if !self.naive.windows.is_empty() => {
                let which = a as usize % self.naive.windows.len();
                let (from, to) = self.naive.windows.swap_remove(which);
                self.ring.unpin(from, to);
            }
            15 => {
                let first = self.naive.pinned().first().copied();
                assert_eq!(self.ring.pop_pinned(), first.is_some());
                self.naive.stolen.extend(first);
            }
            16 => {
                self.ring.forget_marks();
                if !self.naive.is_overtaken() {
                    let first = self.naive.first;
                    self.naive.marks.retain(|m| m.ordinal >= first);
                }
            }
            17 => {
                if self.naive.tellers == 0 {
                    self.naive.told_from = self.naive.first;
                }
                self.ring.add_teller();
                self.naive.tellers += 1;
            }
            18 if self.naive.tellers > 0 => {
                self.ring.remove_teller();
                self.naive.tellers -= 1;
            }
            19 if self.naive.is_empty() => {
                let to = a as i64 % 40;
                if b % 2 == 0 {
                    self.ring.skip(to);
                    self.naive.base = self.naive.base.max(to);
                } else {
                    self.ring.begin(to);
                    self.naive.base = to;
                }
            }
            _ => {}
        }
    }

    /// What the ring says of itself.
    fn compare(&self) {
        let (ring, naive) = (&self.ring, &self.naive);
        let head = naive.head();
        assert_eq!((ring.first(), ring.head()), (naive.first, head));
        assert_eq!(ring.position(), naive.position());
        assert_eq!(ring.taken(), naive.taken.0);
        assert_eq!(ring.sum(), naive.sum_before(head));
        let at_hand = naive.range(1, head);
        let bytes: u64 = at_hand.iter().map(|(_, _, _, bytes, _)| bytes).sum();
        assert_eq!(ring.bytes(), bytes);
        assert_eq!(
            ring.is_held(),
            !naive.is_empty() && naive.waits_at_first(Hold::Live)
        );
        let wanted = !naive.is_empty() || !naive.cursors.is_empty();
        assert_eq!(ring.is_wanted(), wanted);
        let pinned = naive.pinned().first().copied();
        assert_eq!(ring.first_pinned().map(|(at, _)| at), pinned);
        let inside = naive.range(naive.first, head);
        assert_eq!(ring.newest().map(seen), inside.last().copied());
        let front = ring.front().map(|e| seen((naive.first, e)));
        assert_eq!(front, inside.first().copied());
    }

    /// What it says of one ordinal.
    fn compare_at(&self, at: u64) {
        let (ring, naive) = (&self.ring, &self.naive);
        let here = naive.range(at, at + 1).first().copied();
        assert_eq!(ring.get(at).map(|e| seen((at, e))), here);
        assert_eq!(ring.available(at), naive.available(at));
        assert_eq!(ring.source(at), naive.source(at), "source of {at}");
        let pinned = (at..naive.first).find(|o| naive.is_pinned(*o));
        let pinned = pinned.map(|o| (o, naive.past(o).offset));
        assert_eq!(ring.pinned_from(at), pinned);
        let before = match at {
            _ if at == naive.first => Some(naive.base),
            _ if at == naive.taken.0 => Some(naive.taken.1),
            _ => naive
                .range(at - 1, at)
                .first()
                .map(|(_, offset, ..)| *offset),
        };
        assert_eq!(ring.position_before(at), before);
        let marks = naive.marks_from(at);
        let ordinals = |marks: &[&Mark]| marks.iter().map(|m| m.ordinal).collect::<Vec<_>>();
        let told: Vec<&Mark> = ring.marks_from(at).collect();
        assert_eq!(ordinals(&told), ordinals(&marks));
        let mark = marks.first().map(|m| m.ordinal);
        assert_eq!(ring.mark_from(at).map(|m| m.ordinal), mark);
        let breaks = marks.iter().find(|m| m.kind != Kind::Position);
        let break_at = breaks.map(|m| m.ordinal);
        assert_eq!(ring.break_from(at).map(|m| m.ordinal), break_at);
        let epoch = marks.iter().any(|m| m.kind == Kind::Epoch);
        assert_eq!(ring.meets_epoch(at), epoch);
        for position in naive.position() - 3..=naive.position() + 3 {
            let stands = marks
                .iter()
                .any(|m| m.ordinal == at && m.kind == Kind::Position && m.after < position);
            assert_eq!(ring.is_position_before(at, position), stands);
        }
        if at <= naive.head() {
            let sum = naive.sum_before(naive.available(at));
            assert_eq!(ring.sum_before(at), sum, "sum before {at}");
        }
    }

    fn compare_between(&self, from: u64, to: u64) {
        let (ring, naive) = (&self.ring, &self.naive);
        let range: Vec<Seen> = ring.range(from, to).map(seen).collect();
        assert_eq!(range, naive.range(from, to), "range {from}..{to}");
        if from <= to && to <= naive.head() {
            assert_eq!(
                ring.bytes_between(from, to),
                naive.bytes_between(from, to),
                "bytes in {from}..{to}"
            );
            for floor_ns in [10, 50, 90] {
                assert_eq!(
                    ring.younger(from, to, floor_ns),
                    naive.younger(from, to, floor_ns)
                );
            }
        }
    }

    fn compare_all(&self) {
        let head = self.naive.head();
        for at in 1..=head + 1 {
            self.compare_at(at);
            for to in at.saturating_sub(1)..=head + 1 {
                self.compare_between(at, to);
            }
        }
        for position in -2..=self.naive.position() + 2 {
            let expected = self.naive.ordinal_after(position);
            assert_eq!(
                self.ring.ordinal_after(position),
                expected,
                "after {position}"
            );
        }
        for messages in 0..8 {
            for bytes in [0, 1, 10, 25, 60, 1000] {
                let reach = Reach { messages, bytes };
                assert_eq!(
                    self.ring.within(reach),
                    self.naive.within(reach),
                    "{reach:?}"
                );
            }
        }
    }
}

#[test]
fn whatever_is_done_to_it_it_answers_as_a_list_of_everything_does() {
    let said = ProptestConfig::default();
    let config = ProptestConfig {
        failure_persistence: None,
        rng_seed: match said.rng_seed {
            RngSeed::Random => RngSeed::Fixed(SEED),
            fixed @ RngSeed::Fixed(_) => fixed,
        },
        ..said
    };
    let script = proptest::collection::vec((0_u8..20, 0_u64..100, 0_u64..100), 1..70);
    let outcome = TestRunner::new(config).run(&script, |steps| {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step);
            pair.compare();
            pair.compare_at(1 + step.1 % (pair.naive.head() + 1));
        }
        pair.compare_all();
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn a_burst_leaves_no_large_buffer_behind() {
    let mut pair = Pair::new();
    for offset in 6..506 {
        pair.push(Kind::Message, offset, 0, 1);
    }
    let capacity = pair.ring.entries.capacity();
    assert!(capacity >= 500, "{capacity}");
    pair.ring.evict(Reach {
        messages: 10,
        bytes: 10,
    });
    let capacity = pair.ring.entries.capacity();
    assert!(capacity <= 64, "{capacity}");
}

#[test]
fn nor_does_one_that_is_nearly_through() {
    let mut pair = Pair::new();
    for offset in 6..506 {
        pair.push(Kind::Message, offset, 0, 1);
    }
    let ring = &mut pair.ring;
    let reach = Reach {
        messages: 0,
        bytes: 0,
    };
    ring.hold(ring.head() - 200, Hold::Live);
    ring.evict(reach);
    assert!(ring.entries.capacity() >= 500, "it may go on");
    ring.release(ring.head() - 200, Hold::Live);
    ring.hold(ring.head() - 100, Hold::Live);
    ring.evict(reach);
    let capacity = ring.entries.capacity();
    assert!((100..=200).contains(&capacity), "{capacity}");
}
