//! The newest entries of a class, in memory: what live readers a little behind ask for is there without a look at the file.
//!
//! Owns their number and the bound on their bytes. Must not contain: files. Driven by the class.
//!
//! Law: an entry that is not in the file yet is here.
use super::super::{Held, place_after};
use std::collections::VecDeque;

/// What keeping one costs besides its bytes: its place (32) and the counts before its bytes (16).
const KEEPING_BYTES: u64 = 48;

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    entries: VecDeque<Held>,
    bytes: u64,
    bytes_max: u64,
    /// Newest offset of the class that is not here any more.
    dropped: i64,
}

impl Tail {
    /// Of a class whose newest entry is this one.
    pub(super) fn new(bytes_max: u64, last: i64) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max,
            dropped: last,
        }
    }

    pub(super) fn push(&mut self, held: Held) {
        self.bytes += cost(&held);
        self.entries.push_back(held);
    }

    /// Everything up to here is in the file: the oldest may go.
    pub(super) fn trim(&mut self, written: i64) {
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.entries.front()
            && oldest.offset <= written
        {
            self.drop_front();
        }
    }

    /// Everything up to here has left the log.
    pub(super) fn forget_upto(&mut self, offset: i64) {
        while self
            .entries
            .front()
            .is_some_and(|oldest| oldest.offset <= offset)
        {
            self.drop_front();
        }
        self.dropped = self.dropped.max(offset);
    }

    fn drop_front(&mut self) {
        if let Some(gone) = self.entries.pop_front() {
            self.bytes -= cost(&gone);
            self.dropped = gone.offset;
        }
    }

    /// Whether all that the class has after `position` is here.
    pub(super) fn has_all_after(&self, position: i64) -> bool {
        position >= self.dropped
    }

    /// Place of the first entry after `position`.
    pub(super) fn after(&self, position: i64) -> usize {
        place_after(&self.entries, position)
    }

    pub(super) fn at(&self, place: usize) -> Option<&Held> {
        self.entries.get(place)
    }

    /// The entry with this offset, if it is here.
    pub(super) fn find(&self, offset: i64) -> Option<&Held> {
        self.at(self.after(offset - 1))
            .filter(|held| held.offset == offset)
    }
}

fn cost(held: &Held) -> u64 {
    held.entry.bytes().len() as u64 + KEEPING_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::entry::Entry;
    use crate::hub::topics::Topics;
    use pubsub_stream::hub::EntryRef;

    fn held(offset: i64) -> Held {
        let fields = EntryRef {
            offset,
            ts_us: 0,
            mono_ns: 0,
            topic: "a",
            key: None,
            data: b"1",
        };
        Held {
            offset,
            topic: Topics::new(1).insert("a").expect("room"),
            entry: Entry::encode(&mut Vec::new(), &fields),
        }
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_bytes_and_they_are_in_the_file() {
        let mut tail = Tail::new(2 * cost(&held(1)), 0);
        for offset in [1, 2, 4, 7] {
            tail.push(held(offset));
        }
        tail.trim(1);
        assert_eq!(tail.find(1).map(|h| h.offset), None);
        assert!(tail.find(2).is_some(), "it is not in the file");
        tail.trim(7);
        assert_eq!(tail.at(0).map(|h| h.offset), Some(4));
        assert!(tail.has_all_after(2) && !tail.has_all_after(1));
    }

    #[test]
    fn what_left_the_log_is_not_here_either() {
        let mut tail = Tail::new(u64::MAX, 0);
        for offset in [1, 2, 4] {
            tail.push(held(offset));
        }
        tail.forget_upto(3);
        assert_eq!(tail.at(0).map(|h| h.offset), Some(4));
        assert!(tail.has_all_after(3));
        assert_eq!(tail.after(3), 0);
        assert_eq!(tail.after(4), 1);
    }
}
