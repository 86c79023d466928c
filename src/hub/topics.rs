//! The names of topics and the numbers the hub knows them by.
//!
//! Owns names, numbers and the limit of their number. Must not contain: what is known of a topic; that lies with its owner under
//! the topic's number. Driven by the hub's core. Numbers are dense and used again after a topic was forgotten.
use hashbrown::HashMap;
use slab::Slab;
use std::rc::Rc;

/// A topic's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(u32);

impl TopicId {
    /// As the place in a table by topic.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The node has as many topics as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node has {max} topics, as many as it may")]
pub struct TopicsFull {
    /// The limit.
    pub max: u64,
}

/// All topics that something is known of.
#[derive(Debug)]
pub struct Topics {
    max: u64,
    names: Slab<Rc<str>>,
    numbers: HashMap<Rc<str>, TopicId>,
}

impl Topics {
    /// None yet, and never more than `max`.
    pub fn new(max: u64) -> Self {
        Self {
            max: max.min(u64::from(u32::MAX)),
            names: Slab::new(),
            numbers: HashMap::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The number of a topic that exists.
    pub fn find(&self, name: &str) -> Option<TopicId> {
        self.numbers.get(name).copied()
    }

    /// A number for a topic that doesn't exist yet.
    pub fn insert(&mut self, name: &str) -> Result<TopicId, TopicsFull> {
        if self.names.len() as u64 >= self.max {
            return Err(TopicsFull { max: self.max });
        }
        Ok(self.insert_recovered(name))
    }

    /// A number for a topic that a log has entries of; there may be more of them than new ones would be let in.
    pub fn insert_recovered(&mut self, name: &str) -> TopicId {
        let name: Rc<str> = name.into();
        let topic = TopicId(self.names.insert(Rc::clone(&name)) as u32);
        let before = self.numbers.insert(name, topic);
        debug_assert!(before.is_none(), "a topic has one number");
        topic
    }

    /// Forgets a topic.
    pub fn remove(&mut self, topic: TopicId) {
        if let Some(name) = self.names.try_remove(topic.index()) {
            self.numbers.remove(&name);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, &str)> {
        self.names
            .iter()
            .map(|(number, name)| (TopicId(number as u32), &**name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_topic_makes_room_for_another() {
        let mut topics = Topics::new(2);
        let a = topics.insert("a").unwrap();
        topics.insert("b").unwrap();
        assert_eq!(topics.insert("c"), Err(TopicsFull { max: 2 }));
        topics.remove(a);
        assert_eq!(topics.find("a"), None);
        let c = topics.insert("c").unwrap();
        assert_eq!(topics.find("c"), Some(c));
        assert_eq!(topics.iter().count(), 2);
    }
}
