//! The compacted view: the newest entry of each key, in the order of the log.
//!
//! Kept once per view while some subscription of it conflates, and as far back as the slowest of these stands. A subscriber that
//! moves from ordinal a to the next survivor b conflates the b - a - 1 entries between. Identity is (topic, key); an entry
//! without key is keyed by its topic.
//!
//! Laws: at most one entry per identity; an entry is here if and only if it is the newest of its identity and not before both ring and
//! cursors that wait.

use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;

use crate::ring::{NewEntry, Seat};

/// An entry that no newer one supersedes.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) offset: i64,
    pub(crate) mono_ns: u64,
    pub(crate) frame: Rc<[u8]>,
    pub(crate) seat: Seat,
    pub(crate) source: u64,
    bytes: u32,
    identity: Rc<str>,
}

/// The newest entry of each key.
#[derive(Debug, Default)]
pub(crate) struct Compact {
    by_ordinal: BTreeMap<u64, Newest>,
    by_identity: HashMap<Rc<str>, u64>,
    /// Where parked or overtaken conflating cursors stand, and how many at each place.
    laggards: BTreeMap<u64, u32>,
    /// Bytes of what has left the ring.
    kept_bytes: u64,
    /// What was before this ordinal was taken away, though it was the newest: memory was short.
    horizon: u64,
    /// Where the ring begins.
    ring_first: u64,
    scratch: String,
}

impl Compact {
    /// Knows what comes from `ordinal` on.
    pub(crate) fn new(ordinal: u64) -> Self {
        Self {
            ring_first: ordinal,
            ..Self::default()
        }
    }

    /// Takes a new entry in; the one it supersedes leaves.
    pub(crate) fn insert(
        &mut self,
        ordinal: u64,
        topic: &str,
        key: Option<&str>,
        entry: &NewEntry,
    ) {
        self.scratch.clear();
        self.scratch.push_str(topic);
        if let Some(key) = key {
            // A topic holds no control character, so this cannot be mistaken for another identity.
            self.scratch.push('\0');
            self.scratch.push_str(key);
        }
        let identity = match self.by_identity.get_key_value(self.scratch.as_str()) {
            Some((identity, old)) => {
                if let Some(gone) = self.by_ordinal.remove(old)
                    && *old < self.ring_first
                {
                    self.kept_bytes -= u64::from(gone.bytes);
                }
                Rc::clone(identity)
            }
            None => Rc::from(self.scratch.as_str()),
        };
        self.by_identity.insert(Rc::clone(&identity), ordinal);
        self.by_ordinal.insert(
            ordinal,
            Newest {
                offset: entry.offset,
                mono_ns: entry.mono_ns,
                frame: Rc::clone(&entry.frame),
                seat: entry.seat,
                source: entry.source,
                bytes: entry.bytes,
                identity,
            },
        );
    }

    /// The survivors in `from..to`.
    pub(crate) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = (&u64, &Newest)> {
        self.by_ordinal.range(from..to.max(from))
    }

    /// A conflating cursor stands still at `ordinal`.
    pub(crate) fn wait_at(&mut self, ordinal: u64) {
        *self.laggards.entry(ordinal).or_default() += 1;
    }

    /// It moves on.
    pub(crate) fn leave(&mut self, ordinal: u64) {
        if let Some(n) = self.laggards.get_mut(&ordinal) {
            *n -= 1;
            if *n == 0 {
                self.laggards.remove(&ordinal);
            }
        }
    }

    /// The ring begins at `ring_first` now.
    pub(crate) fn set_ring_first(&mut self, ring_first: u64) {
        let left = self
            .by_ordinal
            .range(self.ring_first..ring_first.max(self.ring_first));
        self.kept_bytes += left.map(|(_, e)| u64::from(e.bytes)).sum::<u64>();
        self.ring_first = ring_first;
    }

    /// Lets go of what is before the ring and before every cursor that waits.
    pub(crate) fn purge(&mut self) {
        let ring_first = self.ring_first;
        let laggard = self.laggards.keys().next();
        let horizon = laggard.map_or(ring_first, |o| ring_first.min(*o));
        while self
            .by_ordinal
            .first_key_value()
            .is_some_and(|(at, _)| *at < horizon)
        {
            self.remove_first();
        }
    }

    /// Memory is short: the oldest of what has left the ring leaves, whoever has not read it.
    pub(crate) fn pop_first(&mut self) -> bool {
        let Some((ordinal, _)) = self.first_before(self.ring_first) else {
            return false;
        };
        self.remove_first();
        self.horizon = ordinal + 1;
        true
    }

    /// Lets go of the oldest, which has left the ring.
    fn remove_first(&mut self) {
        if let Some((_, entry)) = self.by_ordinal.pop_first() {
            self.kept_bytes -= u64::from(entry.bytes);
            self.by_identity.remove(&entry.identity);
        }
    }

    /// The oldest that has left the ring: where it was, and when it was numbered.
    pub(crate) fn first_before(&self, ring_first: u64) -> Option<(u64, u64)> {
        let (ordinal, entry) = self.by_ordinal.first_key_value()?;
        (*ordinal < ring_first).then_some((*ordinal, entry.mono_ns))
    }

    /// What was before this ordinal and newest of its key is lost to who had not read it.
    pub(crate) fn horizon(&self) -> u64 {
        self.horizon
    }

    /// Bytes of what has left the ring.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// How many keys are held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        debug_assert_eq!(self.by_ordinal.len(), self.by_identity.len());
        self.by_ordinal.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(compact: &mut Compact, ordinal: u64, topic: &str, key: Option<&str>) {
        let entry = NewEntry {
            offset: ordinal as i64,
            mono_ns: 0,
            frame: Rc::from([0_u8; 4]),
            seat: Seat::default(),
            source: 0,
            bytes: 4,
        };
        compact.insert(ordinal, topic, key, &entry);
    }

    fn first(compact: &Compact, from: u64) -> Option<u64> {
        compact.range(from, u64::MAX).next().map(|(at, _)| *at)
    }

    #[test]
    fn a_newer_entry_of_a_key_supersedes_the_older() {
        let mut compact = Compact::default();
        insert(&mut compact, 1, "a", Some("k"));
        insert(&mut compact, 2, "a", None);
        insert(&mut compact, 3, "b", Some("k"));
        insert(&mut compact, 4, "a", Some("k"));
        assert_eq!(first(&compact, 1), Some(2));
        assert_eq!(first(&compact, 4), Some(4));
        assert_eq!(compact.len(), 3);
    }

    #[test]
    fn memory_takes_the_oldest_that_has_left_the_ring_and_says_up_to_where() {
        let mut compact = Compact::default();
        for ordinal in 1..=4 {
            insert(&mut compact, ordinal, "t", Some(&ordinal.to_string()));
        }
        assert!(!compact.pop_first(), "all are in the ring, whose they are");
        compact.wait_at(1);
        compact.set_ring_first(3);
        compact.purge();
        assert_eq!(compact.kept_bytes(), 8);
        assert_eq!(compact.first_before(3), Some((1, 0)));
        assert_eq!(compact.first_before(1), None);
        assert!(compact.pop_first());
        assert_eq!((compact.horizon(), compact.kept_bytes()), (2, 4));
        assert!(compact.pop_first());
        assert_eq!((compact.horizon(), compact.kept_bytes()), (3, 0));
        assert!(!compact.pop_first());
        assert_eq!(first(&compact, 0), Some(3));
    }

    #[test]
    fn what_is_superseded_is_kept_no_longer_in_the_ring_or_behind_it() {
        let mut compact = Compact::new(1);
        for ordinal in 1..=4 {
            insert(&mut compact, ordinal, "t", Some(&ordinal.to_string()));
        }
        compact.wait_at(1);
        compact.set_ring_first(2);
        compact.set_ring_first(3);
        assert_eq!(compact.kept_bytes(), 8);
        insert(&mut compact, 5, "t", Some("3"));
        assert_eq!(compact.kept_bytes(), 8, "it was in the ring");
        insert(&mut compact, 6, "t", Some("2"));
        assert_eq!(compact.kept_bytes(), 4);
        let all: Vec<u64> = compact.range(0, 6).map(|(at, _)| *at).collect();
        assert_eq!(all, [1, 4, 5]);
        assert_eq!(compact.range(5, 4).count(), 0);
        assert_eq!(compact.first_before(2), Some((1, 0)));
        compact.leave(1);
        compact.purge();
        assert_eq!((compact.kept_bytes(), compact.len()), (0, 3));
    }

    #[test]
    fn what_several_wait_for_is_kept_until_the_last_has_moved_on() {
        let mut compact = Compact::new(1);
        insert(&mut compact, 1, "t", None);
        compact.wait_at(1);
        compact.wait_at(1);
        compact.set_ring_first(2);
        compact.leave(1);
        compact.purge();
        assert_eq!(first(&compact, 0), Some(1));
        compact.leave(1);
        compact.purge();
        assert_eq!(first(&compact, 0), None);
    }

    #[test]
    fn the_empty_key_is_a_key() {
        let mut compact = Compact::default();
        insert(&mut compact, 1, "a", Some(""));
        insert(&mut compact, 2, "a", None);
        assert_eq!(compact.len(), 2);
    }

    #[test]
    fn what_is_before_the_ring_stays_only_for_those_who_wait_before_it() {
        let mut compact = Compact::default();
        for ordinal in 1..=4 {
            insert(&mut compact, ordinal, "t", Some(&ordinal.to_string()));
        }
        compact.wait_at(2);
        compact.set_ring_first(4);
        compact.purge();
        assert_eq!(first(&compact, 0), Some(2));
        compact.leave(2);
        compact.purge();
        assert_eq!(first(&compact, 0), Some(4));
    }
}
