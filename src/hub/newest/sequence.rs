//! What lies at offsets, in their order; the newest apart.
//!
//! Owns that order. Must not contain: what the offsets are of. Driven by the table of newest values.
//!
//! Very often what comes supersedes what came just before: the reports of one order, or the values of a topic with one key. So the newest
//! enters the tree only when something else has followed it.
use std::collections::BTreeMap;
use std::ops::Bound;

/// See the module.
#[derive(Debug)]
pub(super) struct Sequence<T> {
    older: BTreeMap<i64, T>,
    newest: Option<(i64, T)>,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self {
            older: BTreeMap::new(),
            newest: None,
        }
    }
}

impl<T> Sequence<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.older.len() + usize::from(self.newest.is_some())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.newest.is_none() && self.older.is_empty()
    }

    /// Adds one behind all that there ever were.
    pub(super) fn push(&mut self, offset: i64, value: T) {
        if let Some((before, value)) = self.newest.replace((offset, value)) {
            debug_assert!(before < offset, "offsets rise");
            self.older.insert(before, value);
        }
    }

    /// What lies at this offset.
    pub(super) fn get(&self, offset: i64) -> Option<&T> {
        match &self.newest {
            Some((at, value)) if *at == offset => Some(value),
            _ => self.older.get(&offset),
        }
    }

    /// The last.
    pub(super) fn last(&self) -> Option<(i64, &T)> {
        match &self.newest {
            Some((offset, value)) => Some((*offset, value)),
            None => self.older.last_key_value().map(|(o, value)| (*o, value)),
        }
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, offset: i64) -> Option<T> {
        match &self.newest {
            Some((at, _)) if *at == offset => self.newest.take().map(|(_, value)| value),
            _ => self.older.remove(&offset),
        }
    }

    /// Takes the first out.
    pub(super) fn pop_first(&mut self) -> Option<(i64, T)> {
        self.older.pop_first().or_else(|| self.newest.take())
    }

    /// Those with offsets in `after+1..=upto`; `after` is no more than `upto`.
    pub(super) fn between(&self, after: i64, upto: i64) -> impl Iterator<Item = (i64, &T)> {
        let range = (Bound::Excluded(after), Bound::Included(upto));
        let older = self
            .older
            .range(range)
            .map(|(offset, value)| (*offset, value));
        let newest = self.newest.as_ref().map(|(offset, value)| (*offset, value));
        older.chain(newest.filter(move |(offset, _)| (after + 1..=upto).contains(offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_map_by_offset(steps in proptest::collection::vec((0u8..4, 0i64..40), 0..60)) {
            let (mut sequence, mut naive) = (Sequence::default(), BTreeMap::new());
            for (offset, (what, at)) in (1_i64..).zip(steps) {
                match what {
                    0 | 1 => {
                        sequence.push(offset, 2 * offset);
                        naive.insert(offset, 2 * offset);
                    }
                    // Most often the last, as it is.
                    2 => prop_assert_eq!(sequence.remove(offset - at / 8), naive.remove(&(offset - at / 8))),
                    _ => prop_assert_eq!(sequence.pop_first(), naive.pop_first()),
                }
                prop_assert_eq!((sequence.len(), sequence.is_empty()), (naive.len(), naive.is_empty()));
                prop_assert_eq!(sequence.get(at), naive.get(&at));
                prop_assert_eq!(sequence.last(), naive.last_key_value().map(|(o, v)| (*o, v)));
                let found: Vec<i64> = sequence.between(at, at + 9).map(|(o, _)| o).collect();
                let expected: Vec<i64> = naive.range(at + 1..=at + 9).map(|(o, _)| *o).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
