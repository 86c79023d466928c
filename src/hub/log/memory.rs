//! The log in the hub's memory.
//!
//! Owns the entries, by retention class, and per topic where its entries are. Must not contain: workers or views. Driven as any
//! [`Log`].
//!
//! Offsets are consecutive, from 1. A class is a deque, so the oldest of a class leaves at no cost; reading merges the classes
//! (usually there is one). Each topic has the offsets of its entries, so that one topic of ten thousand is read without a scan.
use super::class::Class;
use super::merge::{backward, forward};
use super::{Backward, Gone, Held, Log, LogFailed, NoRoom, Past, Scope, Size};
use crate::config::Retain;
use crate::hub::entry::{Entry, Publication};
use crate::hub::topics::TopicId;
use pubsub_stream::Now;
use pubsub_stream::hub::EntryRef;
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// See the module.
#[derive(Debug)]
pub struct MemoryLog {
    epoch: String,
    head: i64,
    floor: i64,
    forgotten_floor: i64,
    classes: Vec<Class>,
    /// By topic number.
    topics: Vec<TopicLog>,
    scratch: Vec<u8>,
}

/// What the log knows of one topic.
#[derive(Debug, Default)]
struct TopicLog {
    class: usize,
    floor: i64,
    past: Past,
    /// Offsets of its entries.
    offsets: VecDeque<i64>,
}

impl MemoryLog {
    /// An empty log. Of `rules` the first that matches a topic applies to it.
    ///
    /// # Panics
    /// Without any rule; a checked configuration ends with one for `>`.
    pub fn new(epoch: String, rules: &[Retain]) -> Self {
        assert!(
            !rules.is_empty(),
            "a log without a retention rule would grow for ever"
        );
        Self {
            epoch,
            head: 0,
            floor: 0,
            forgotten_floor: 0,
            classes: rules.iter().map(Class::new).collect(),
            topics: Vec::new(),
            scratch: Vec::new(),
        }
    }

    fn topic(&self, topic: TopicId) -> &TopicLog {
        &self.topics[topic.index()]
    }

    fn topic_mut(&mut self, topic: TopicId) -> &mut TopicLog {
        &mut self.topics[topic.index()]
    }

    fn note_gone(&mut self, held: &Held) -> Gone {
        let (topic, offset) = (held.topic, held.offset);
        self.floor = self.floor.max(offset);
        let of = self.topic_mut(topic);
        let oldest = of.offsets.pop_front();
        debug_assert_eq!(oldest, Some(offset), "a topic's entries leave in order");
        of.floor = offset;
        of.past.left += 1;
        if of.offsets.is_empty() {
            // What is quiet needs no room.
            of.offsets = VecDeque::new();
        }
        Gone {
            topic,
            first: offset,
            last: offset,
            entries: 1,
        }
    }

    /// The entry at a step of a walk over the classes or over some topics.
    fn held(&self, scope: Scope<'_>, run: usize, index: usize, offset: i64) -> Option<&Held> {
        match scope {
            Scope::Topics(topics) => self.classes[self.topic(topics[run]).class].find(offset),
            Scope::All | Scope::Matching(_) => self.classes[run].at(index),
        }
    }

    /// The offset at a place of one of the sequences that a walk merges.
    fn offset_at(&self, scope: Scope<'_>, run: usize, index: usize) -> Option<i64> {
        match scope {
            Scope::Topics(topics) => self.topic(topics[run]).offsets.get(index).copied(),
            Scope::All | Scope::Matching(_) => self.classes[run].at(index).map(|held| held.offset),
        }
    }

    /// The places in those sequences of what comes first after `position`.
    fn places_after(&self, scope: Scope<'_>, position: i64) -> Vec<usize> {
        match scope {
            Scope::Topics(topics) => topics
                .iter()
                .map(|&topic| self.topic_entries_upto(topic, position))
                .collect(),
            Scope::All | Scope::Matching(_) => self
                .classes
                .iter()
                .map(|class| class.after(position))
                .collect(),
        }
    }
}

impl Log for MemoryLog {
    fn epoch(&self) -> &str {
        &self.epoch
    }

    fn head(&self) -> i64 {
        self.head
    }

    fn floor(&self) -> i64 {
        self.floor
    }

    fn recovered(&mut self) -> Vec<Box<str>> {
        Vec::new()
    }

    fn add_topic(&mut self, topic: TopicId, name: &str) {
        let last = self.classes.len() - 1;
        let class = self
            .classes
            .iter()
            .position(|class| class.takes(name))
            .unwrap_or(last);
        if self.topics.len() <= topic.index() {
            self.topics
                .resize_with(topic.index() + 1, TopicLog::default);
        }
        let floor = self.forgotten_floor;
        *self.topic_mut(topic) = TopicLog {
            class,
            floor,
            ..TopicLog::default()
        };
    }

    fn forget_topic(&mut self, topic: TopicId) {
        let of = std::mem::take(self.topic_mut(topic));
        debug_assert!(
            of.offsets.is_empty(),
            "a topic with entries is not forgotten"
        );
        self.forgotten_floor = self.forgotten_floor.max(of.floor);
    }

    fn topic_floor(&self, topic: TopicId) -> i64 {
        self.topic(topic).floor
    }

    fn forgotten_floor(&self) -> i64 {
        self.forgotten_floor
    }

    fn topic_past(&self, topic: TopicId) -> Past {
        self.topic(topic).past
    }

    fn topic_entries(&self, topic: TopicId) -> usize {
        self.topic(topic).offsets.len()
    }

    fn topic_entries_upto(&self, topic: TopicId, position: i64) -> usize {
        self.topic(topic)
            .offsets
            .partition_point(|&offset| offset <= position)
    }

    fn check_room(
        &mut self,
        _now: Now,
        _topic: Option<TopicId>,
        _name: &str,
        _bytes: usize,
    ) -> Result<(), NoRoom> {
        // The oldest make room.
        Ok(())
    }

    fn append(&mut self, now: Now, topic: TopicId, publication: &Publication<'_>) -> Entry {
        self.head += 1;
        let offset = self.head;
        let Publication {
            topic: name,
            key,
            data,
        } = *publication;
        let Now {
            mono_ns,
            wall_us: ts_us,
        } = now;
        let fields = EntryRef {
            offset,
            ts_us,
            mono_ns,
            topic: name,
            key,
            data,
        };
        let entry = Entry::encode(&mut self.scratch, &fields);
        let of = &mut self.topics[topic.index()];
        of.offsets.push_back(offset);
        if of.past.first == 0 {
            of.past.first = offset;
        }
        self.classes[of.class].push(Held {
            offset,
            topic,
            entry: entry.clone(),
        });
        entry
    }

    fn commit(&mut self, _now: Now) -> Result<(), LogFailed> {
        Ok(())
    }

    fn acknowledged(&self) -> i64 {
        self.head
    }

    fn first_after(&self, position: i64) -> Option<i64> {
        let firsts = self
            .classes
            .iter()
            .filter_map(|class| class.at(class.after(position)));
        firsts.map(|held| held.offset).min()
    }

    fn hole_at(&self, _position: i64) -> Option<i64> {
        None
    }

    fn read(
        &self,
        scope: Scope<'_>,
        after: i64,
        upto: i64,
        scan: &mut usize,
        visit: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> i64 {
        let places = self.places_after(scope, after);
        let mut reached = after;
        for (run, index, offset) in forward(places, |run, index| self.offset_at(scope, run, index))
        {
            if offset > upto {
                break;
            }
            if *scan == 0 {
                return reached;
            }
            *scan -= 1;
            let Some(held) = self.held(scope, run, index, offset) else {
                continue;
            };
            if is_wanted(scope, held.topic) && visit(held).is_break() {
                return offset - 1;
            }
            reached = offset;
        }
        upto
    }

    fn rewind(&self, scope: Scope<'_>, floor: i64, back: &mut Backward, scan: &mut usize) -> bool {
        let places = self.places_after(scope, back.at);
        for (run, index, offset) in backward(places, |run, index| self.offset_at(scope, run, index))
        {
            if back.left == 0 {
                return true;
            }
            if offset <= floor {
                break;
            }
            if *scan == 0 {
                return false;
            }
            *scan -= 1;
            back.at = offset - 1;
            let held = self.held(scope, run, index, offset);
            back.left -= u64::from(held.is_some_and(|held| is_wanted(scope, held.topic)));
        }
        if back.left > 0 {
            back.at = floor.min(back.at);
        }
        true
    }

    fn retain(&mut self, now: Now, gone: &mut Vec<Gone>) {
        for class in 0..self.classes.len() {
            while let Some(held) = self.classes[class].pop_excess(now.mono_ns) {
                let noted = self.note_gone(&held);
                gone.push(noted);
            }
        }
    }

    fn size(&self) -> Size {
        Size {
            bytes: self.classes.iter().map(Class::bytes).sum(),
            entries: self.classes.iter().map(|class| class.len() as u64).sum(),
            first: self.first_after(0).unwrap_or(0),
        }
    }
}

fn is_wanted(scope: Scope<'_>, topic: TopicId) -> bool {
    match scope {
        Scope::All | Scope::Topics(_) => true,
        Scope::Matching(wanted) => wanted(topic),
    }
}

#[cfg(test)]
mod tests;
