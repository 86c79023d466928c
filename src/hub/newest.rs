//! The newest value of every (topic, key), kept also when its entry has left the log.
//!
//! Owns the table and the limit of its size. Must not contain: views or workers. Driven by the hub's core.
//!
//! All of it is ordered by offset, for patterns and to find what has been unchanged longest; each topic finds its own: most have
//! one key and need no table for it. A message without key is keyed by its topic.
mod sequence;

use super::entry::Entry;
use super::log::{Held, Scope};
use super::topics::TopicId;
use hashbrown::hash_table::Entry as Place;
use hashbrown::{DefaultHashBuilder, HashTable};
use sequence::Sequence;
use std::hash::BuildHasher;
use std::ops::ControlFlow;

/// See the module.
#[derive(Debug)]
pub struct NewestTable {
    max: u64,
    by_offset: Sequence<Held>,
    /// By topic number.
    topics: Vec<OfTopic>,
    hasher: DefaultHashBuilder,
}

/// The newest values of one topic.
#[derive(Debug, Default)]
enum OfTopic {
    #[default]
    None,
    One(Entry),
    Many(Box<Many>),
}

#[derive(Debug, Default)]
struct Many {
    by_key: HashTable<Keyed>,
    offsets: Sequence<()>,
}

/// A value with the hash of its key, so that a table that grows looks at no entry.
#[derive(Debug)]
struct Keyed {
    hash: u64,
    entry: Entry,
}

impl NewestTable {
    /// None yet, and never more than `max` (at least one).
    pub fn new(max: u64) -> Self {
        Self {
            max: max.max(1),
            by_offset: Sequence::default(),
            topics: Vec::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.by_offset.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_offset.is_empty()
    }

    /// Whether the topic has a newest value.
    pub fn has(&self, topic: TopicId) -> bool {
        !matches!(self.topics.get(topic.index()), None | Some(OfTopic::None))
    }

    /// The newest of all values of a topic.
    pub fn latest(&self, topic: TopicId) -> Option<&Entry> {
        match self.topics.get(topic.index())? {
            OfTopic::None => None,
            OfTopic::One(entry) => Some(entry),
            OfTopic::Many(many) => {
                let (offset, ()) = many.offsets.last()?;
                self.by_offset.get(offset).map(|held| &held.entry)
            }
        }
    }

    /// An entry has been numbered. Returns the value that had to leave for it: the limit is reached, and its key is the one longest
    /// unchanged.
    pub fn insert(&mut self, topic: TopicId, entry: &Entry) -> Option<Held> {
        if self.topics.len() <= topic.index() {
            self.topics.resize_with(topic.index() + 1, OfTopic::default);
        }
        let superseded = self.topics[topic.index()].insert(entry, &self.hasher);
        if let Some(offset) = superseded {
            self.by_offset.remove(offset);
        }
        let offset = entry.offset();
        self.by_offset.push(
            offset,
            Held {
                offset,
                topic,
                entry: entry.clone(),
            },
        );
        if self.by_offset.len() as u64 > self.max {
            self.remove_oldest()
        } else {
            None
        }
    }

    /// Shows the newest values of `scope` with offsets in `after+1..=upto` in log order, as `Log::read` does.
    pub fn read(
        &self,
        scope: Scope<'_>,
        after: i64,
        upto: i64,
        scan: &mut usize,
        visit: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> i64 {
        if after >= upto {
            return upto;
        }
        match scope {
            Scope::Topics(topics) => self.read_topics(topics, after, upto, scan, visit),
            Scope::All => self.read_all(&|_| true, after, upto, scan, visit),
            Scope::Matching(wanted) => self.read_all(wanted, after, upto, scan, visit),
        }
    }

    fn read_all(
        &self,
        wanted: &dyn Fn(TopicId) -> bool,
        after: i64,
        upto: i64,
        scan: &mut usize,
        visit: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> i64 {
        let mut reached = after;
        for (offset, held) in self.by_offset.between(after, upto) {
            if *scan == 0 {
                return reached;
            }
            *scan -= 1;
            if wanted(held.topic) && visit(held).is_break() {
                return offset - 1;
            }
            reached = offset;
        }
        upto
    }

    /// A few topics: each knows its own offsets, so the next one is the smallest of theirs.
    fn read_topics(
        &self,
        topics: &[TopicId],
        after: i64,
        upto: i64,
        scan: &mut usize,
        visit: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> i64 {
        let mut reached = after;
        loop {
            let nexts = topics
                .iter()
                .filter_map(|&topic| self.next_of(topic, reached, upto));
            let Some(offset) = nexts.min() else {
                return upto;
            };
            if *scan == 0 {
                return reached;
            }
            *scan -= 1;
            let Some(held) = self.by_offset.get(offset) else {
                return reached;
            };
            if visit(held).is_break() {
                return offset - 1;
            }
            reached = offset;
        }
    }

    fn next_of(&self, topic: TopicId, after: i64, upto: i64) -> Option<i64> {
        match self.topics.get(topic.index())? {
            OfTopic::None => None,
            OfTopic::One(entry) => Some(entry.offset()).filter(|o| (after + 1..=upto).contains(o)),
            OfTopic::Many(many) => {
                let mut offsets = many.offsets.between(after, upto);
                offsets.next().map(|(offset, ())| offset)
            }
        }
    }

    fn remove_oldest(&mut self) -> Option<Held> {
        let (offset, held) = self.by_offset.pop_first()?;
        self.topics[held.topic.index()].remove(offset, &held.entry, &self.hasher);
        Some(held)
    }
}

impl OfTopic {
    /// Puts it in the place of the same key's value, whose offset is returned.
    fn insert(&mut self, entry: &Entry, hasher: &DefaultHashBuilder) -> Option<i64> {
        match self {
            Self::None => {
                *self = Self::One(entry.clone());
                None
            }
            Self::One(held) if held.identity() == entry.identity() => {
                let before = held.offset();
                *held = entry.clone();
                Some(before)
            }
            Self::One(held) => {
                let mut many = Many::default();
                many.insert(held, hasher);
                many.insert(entry, hasher);
                *self = Self::Many(Box::new(many));
                None
            }
            Self::Many(many) => many.insert(entry, hasher),
        }
    }

    fn remove(&mut self, offset: i64, entry: &Entry, hasher: &DefaultHashBuilder) {
        match self {
            Self::None => {}
            Self::One(_) => *self = Self::None,
            Self::Many(many) => {
                many.remove(offset, entry, hasher);
                if many.offsets.is_empty() {
                    *self = Self::None;
                }
            }
        }
    }
}

impl Many {
    fn insert(&mut self, entry: &Entry, hasher: &DefaultHashBuilder) -> Option<i64> {
        let identity = entry.identity();
        let hash = hasher.hash_one(identity);
        let is_it = |held: &Keyed| held.hash == hash && held.entry.identity() == identity;
        let before = match self.by_key.entry(hash, is_it, |held| held.hash) {
            Place::Occupied(mut held) => {
                let before = std::mem::replace(&mut held.get_mut().entry, entry.clone()).offset();
                self.offsets.remove(before);
                Some(before)
            }
            Place::Vacant(place) => {
                let entry = entry.clone();
                place.insert(Keyed { hash, entry });
                None
            }
        };
        self.offsets.push(entry.offset(), ());
        before
    }

    fn remove(&mut self, offset: i64, entry: &Entry, hasher: &DefaultHashBuilder) {
        let hash = hasher.hash_one(entry.identity());
        let is_it = |held: &Keyed| held.hash == hash && held.entry.offset() == offset;
        if let Ok(held) = self.by_key.find_entry(hash, is_it) {
            held.remove();
        }
        self.offsets.remove(offset);
    }
}

#[cfg(test)]
mod tests;
