//! What was read lately of the indexes of sealed segments.
//!
//! Owns the bounds. Must not contain: files. Driven by the log; what is here can be read again at any time.
use super::index::{Directory, Place};
use crate::hub::topics::TopicId;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::hash::Hash;
use std::rc::Rc;

/// Directories of segments: some 12 bytes a topic and 8 for every 64 KiB of the segment.
const DIRECTORIES_MAX: usize = 32;

/// Topics in segments: 8 bytes a record.
const ROWS_MAX: usize = 512;

/// A segment: number of its class, and its base.
pub(super) type SegmentId = (usize, i64);

/// One topic's records in a sealed segment.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) ordinal: u64,
    pub(super) places: Box<[Place]>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) directories: Lately<SegmentId, Rc<Directory>>,
    /// `None`: the segment has nothing of the topic.
    pub(super) rows: Lately<(SegmentId, TopicId), Option<Rc<Row>>>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            directories: Lately::new(DIRECTORIES_MAX),
            rows: Lately::new(ROWS_MAX),
        }
    }
}

impl Cache {
    /// The number will be given to another topic.
    pub(super) fn forget_topic(&mut self, topic: TopicId) {
        self.rows.retain(|(_, of)| *of != topic);
    }

    /// The segment has left.
    pub(super) fn forget_segment(&mut self, segment: SegmentId) {
        self.directories.retain(|of| *of != segment);
        self.rows.retain(|(of, _)| *of != segment);
    }
}

/// The values that were put in last, so many of them.
#[derive(Debug)]
pub(super) struct Lately<K, V> {
    max: usize,
    values: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Copy + Eq + Hash, V: Clone> Lately<K, V> {
    fn new(max: usize) -> Self {
        Self {
            max,
            values: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn get(&self, key: K) -> Option<V> {
        self.values.get(&key).cloned()
    }

    pub(super) fn put(&mut self, key: K, value: V) {
        if self.values.insert(key, value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }

    fn retain(&mut self, kept: impl Fn(&K) -> bool) {
        self.order.retain(|key| kept(key));
        self.values.retain(|key, _| kept(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_first_goes_first() {
        let mut lately = Lately::new(2);
        for key in [1, 2, 1, 3] {
            lately.put(key, key * 10);
        }
        assert_eq!(
            [1, 2, 3].map(|key| lately.get(key)),
            [None, Some(20), Some(30)]
        );
        lately.retain(|key| *key != 2);
        lately.put(4, 40);
        assert_eq!(
            [2, 3, 4].map(|key| lately.get(key)),
            [None, Some(30), Some(40)]
        );
    }
}
