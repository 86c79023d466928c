//! History: the pieces of the log that a subscription reads before it joins the ring.
//!
//! A slice is encoded once and shared by all who stand at its place. A reader holds at most one; its bytes are counted against a
//! budget of the engine. Where a slice ends at the worker's own place in the log, its readers have joined: they hold the ring
//! from there on and go over to it when the slice is through, so that there is neither a hole nor a duplicate.

use std::cell::Cell;
use std::rc::Rc;

use crate::ring::Seat;

/// One entry of the past.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) offset: i64,
    pub(crate) mono_ns: u64,
    pub(crate) frame: Rc<[u8]>,
    pub(crate) seat: Seat,
    /// What it counts against bounds.
    pub(crate) bytes: u32,
}

/// A piece of the log, as its readers will receive it.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) entries: Vec<Past>,
    bytes: usize,
    budget: Rc<Cell<usize>>,
}

impl Slice {
    pub(crate) fn new(entries: Vec<Past>, budget: &Rc<Cell<usize>>) -> Self {
        let bytes = entries
            .iter()
            .map(|e| e.bytes as usize + size_of::<Past>())
            .sum();
        budget.set(budget.get() + bytes);
        Self {
            entries,
            bytes,
            budget: Rc::clone(budget),
        }
    }
}

impl Slice {
    /// Takes the last entry out: its offset.
    pub(crate) fn pop(&mut self) -> Option<i64> {
        let past = self.entries.pop()?;
        let bytes = past.bytes as usize + size_of::<Past>();
        self.bytes -= bytes;
        self.budget.set(self.budget.get() - bytes);
        Some(past.offset)
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        self.budget.set(self.budget.get() - self.bytes);
    }
}

/// What a reader of history does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has a slice, or waits for nothing.
    Reading,
    /// It will ask when its socket takes bytes again: what nobody takes need not be held.
    Resting,
    /// It will ask when credit comes: what it was given before that, it would give back.
    Starved,
    /// It stands in the queue of those who want to ask.
    Queued,
    /// It has asked.
    Asked,
}

/// How far a subscription has come in the log.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) slice: Option<Rc<Slice>>,
    /// The next entry of the slice.
    pub(crate) index: u32,
    /// The next question begins after this position.
    pub(crate) after: i64,
    /// Only the newest of each key is read.
    pub(crate) compacted: bool,
    /// The slice ends where the subscription's `cursor` stands in the ring.
    pub(crate) joined: bool,
    pub(crate) step: Step,
    /// What was read for it, with what was found lost.
    pub(crate) published: u64,
}

impl History {
    pub(crate) fn new(after: i64, compacted: bool) -> Self {
        Self {
            slice: None,
            index: 0,
            after,
            compacted,
            joined: false,
            step: Step::Reading,
            published: 0,
        }
    }

    /// The next entry to hand over.
    pub(crate) fn next(&self) -> Option<&Past> {
        self.entry(self.index)
    }

    /// The entry at `index` of the slice.
    pub(crate) fn entry(&self, index: u32) -> Option<&Past> {
        self.slice.as_ref()?.entries.get(index as usize)
    }

    /// Entries read and not handed over.
    pub(crate) fn pending(&self) -> u64 {
        self.slice
            .as_ref()
            .map_or(0, |s| s.entries.len() as u64 - u64::from(self.index))
    }

    /// Their bytes.
    pub(crate) fn pending_bytes(&self) -> u64 {
        let rest = self
            .slice
            .as_ref()
            .map_or(&[][..], |s| &s.entries[self.index as usize..]);
        rest.iter().map(|e| u64::from(e.bytes)).sum()
    }

    /// Gives the slice back; what was not handed over is asked for again.
    pub(crate) fn put_back(&mut self, last: i64) {
        self.published -= self.pending();
        self.after = last;
        self.slice = None;
        self.index = 0;
        self.joined = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(offset: i64, bytes: u32) -> Past {
        Past {
            offset,
            mono_ns: 0,
            frame: Rc::from([]),
            seat: Seat::default(),
            bytes,
        }
    }

    #[test]
    fn slices_count_against_their_budget_by_what_they_still_hold() {
        let budget = Rc::new(Cell::new(0));
        let entry = size_of::<Past>();
        let mut slice = Slice::new(vec![past(1, 10), past(2, 20), past(3, 30)], &budget);
        let other = Slice::new(vec![past(9, 1)], &budget);
        assert_eq!(budget.get(), 61 + 4 * entry);
        assert_eq!(slice.pop(), Some(3));
        assert_eq!(budget.get(), 31 + 3 * entry);
        drop(other);
        assert_eq!(budget.get(), 30 + 2 * entry);
        drop(slice);
        assert_eq!(budget.get(), 0);
    }

    #[test]
    fn what_is_left_of_a_slice_is_pending_until_it_is_given_back() {
        let budget = Rc::new(Cell::new(0));
        let mut history = History::new(4, false);
        assert_eq!((history.pending(), history.pending_bytes()), (0, 0));
        history.slice = Some(Rc::new(Slice::new(vec![past(5, 10), past(7, 20)], &budget)));
        (history.index, history.published, history.joined) = (1, 2, true);
        assert_eq!((history.pending(), history.pending_bytes()), (1, 20));
        assert_eq!(history.next().map(|p| p.offset), Some(7));
        history.put_back(5);
        assert_eq!((history.after, history.published), (5, 1));
        assert_eq!((history.pending(), budget.get()), (0, 0));
        assert!(history.next().is_none() && !history.joined);
    }
}
