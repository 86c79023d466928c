//! The compacted view: the newest entry of each key, in the order of the log.
//!
//! Kept once per view while some subscription of it conflates, and as far back as the slowest of these stands. A subscriber that
//! moves from ordinal a to the next survivor b conflates the b - a - 1 entries between. Identity is (topic, key); an entry
//! without key is keyed by its topic.
//!
//! Laws: at most one entry per identity; an entry is here if and only if it is the newest of its identity and not before the
//! horizon of the last purge.

use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;

/// An entry that no newer one supersedes.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) offset: i64,
    pub(crate) mono_ns: u64,
    pub(crate) frame: Rc<[u8]>,
    identity: Rc<str>,
}

/// The newest entry of each key.
#[derive(Debug, Default)]
pub(crate) struct Compact {
    by_ordinal: BTreeMap<u64, Newest>,
    by_identity: HashMap<Rc<str>, u64>,
    /// Where parked or overtaken conflating cursors stand, and how many at each place.
    laggards: BTreeMap<u64, u32>,
    scratch: String,
}

impl Compact {
    /// Takes a new entry in; the one it supersedes leaves.
    pub(crate) fn insert(
        &mut self,
        ordinal: u64,
        topic: &str,
        key: Option<&str>,
        newest: (i64, u64, &Rc<[u8]>),
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
                self.by_ordinal.remove(old);
                Rc::clone(identity)
            }
            None => Rc::from(self.scratch.as_str()),
        };
        self.by_identity.insert(Rc::clone(&identity), ordinal);
        let (offset, mono_ns, frame) = newest;
        self.by_ordinal.insert(
            ordinal,
            Newest {
                offset,
                mono_ns,
                frame: Rc::clone(frame),
                identity,
            },
        );
    }

    /// The first survivor at or after `ordinal`.
    pub(crate) fn next(&self, ordinal: u64) -> Option<(u64, &Newest)> {
        self.by_ordinal
            .range(ordinal..)
            .next()
            .map(|(o, e)| (*o, e))
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

    /// Lets go of what is before the ring and before every cursor that waits.
    pub(crate) fn purge(&mut self, ring_first: u64) {
        let horizon = self
            .laggards
            .keys()
            .next()
            .map_or(ring_first, |o| ring_first.min(*o));
        while let Some(first) = self.by_ordinal.first_entry() {
            if *first.key() >= horizon {
                return;
            }
            self.by_identity.remove(&first.remove().identity);
        }
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
        compact.insert(
            ordinal,
            topic,
            key,
            (ordinal as i64, 0, &Rc::from([0_u8; 4])),
        );
    }

    #[test]
    fn a_newer_entry_of_a_key_supersedes_the_older() {
        let mut compact = Compact::default();
        insert(&mut compact, 1, "a", Some("k"));
        insert(&mut compact, 2, "a", None);
        insert(&mut compact, 3, "b", Some("k"));
        insert(&mut compact, 4, "a", Some("k"));
        assert_eq!(compact.next(1).map(|(o, _)| o), Some(2));
        assert_eq!(compact.next(4).map(|(o, _)| o), Some(4));
        assert_eq!(compact.len(), 3);
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
        compact.purge(4);
        assert_eq!(compact.next(0).map(|(o, _)| o), Some(2));
        compact.leave(2);
        compact.purge(4);
        assert_eq!(compact.next(0).map(|(o, _)| o), Some(4));
    }
}
