//! Who wants which topics.
//!
//! Owns the views (a topic's name or a pattern, once for all workers that watch it), which topics each has, and since when each
//! worker watches it. Must not contain: the log, or what a worker has been sent. Driven by the hub's core.
//!
//! Patterns are matched once over all topics when a view begins and once for each new topic, never per publication: from then on
//! a topic knows its views, and a view its watchers.
use super::patterns::Patterns;
use super::topics::{TopicId, Topics};
use super::worker::WorkerId;
use hashbrown::HashMap;
use pubsub_wire::topic::{is_pattern, matches};
use slab::Slab;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Places remembered of readers of one view; with more readers than this under way, those furthest behind are not told how many
/// entries they lost, only that they did. At most 32 KiB a view.
const MARKS_MAX: usize = 1024;

/// A view's number; used again when nobody watches it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(u32);

#[cfg(test)]
impl ViewId {
    pub(super) fn numbered(number: u32) -> Self {
        Self(number)
    }
}

/// A topic or pattern that somebody watches.
#[derive(Debug)]
pub struct View {
    text: Rc<str>,
    /// Its topics that exist.
    pub topics: Vec<TopicId>,
    /// Who watches it.
    pub watchers: Vec<Watcher>,
    /// The newest offset of any of its entries that has left the log. Its history is what lies above.
    pub floor: i64,
    /// The newest offset that has left the table of newest values for want of room since it is watched: a reader of the newest
    /// of each key who had not come so far misses some.
    pub newest_left: i64,
    /// How many of its entries have left the log since it is watched.
    pub left: u64,
    /// Of some positions that readers have reached: how many of its entries lie at or before (counted as `left` is, plus what
    /// is held). A reader that comes back after retention overtook it learns from it how many it lost.
    marks: BTreeMap<i64, u64>,
}

/// One worker's interest in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watcher {
    /// The worker.
    pub worker: WorkerId,
    /// The worker's own number for the view.
    pub id: u32,
    /// Entries after this position are wanted.
    pub since: i64,
    /// Entries that left the log before this worker's cursor reached them, and which it has not been told of.
    pub lost: u64,
    /// It has been told of some of them already, without their number.
    pub vague: bool,
}

/// Every view.
#[derive(Debug, Default)]
pub struct Interest {
    views: Slab<View>,
    by_text: HashMap<Rc<str>, ViewId>,
    patterns: Patterns,
    /// The views of each topic, by topic number.
    topics: Vec<Vec<ViewId>>,
}

impl Interest {
    /// The views a topic is in.
    pub fn of_topic(&self, topic: TopicId) -> &[ViewId] {
        self.topics.get(topic.index()).map_or(&[], Vec::as_slice)
    }

    /// The newest value of a key of this topic has left the table for want of room.
    pub fn note_newest_left(&mut self, topic: TopicId, offset: i64) {
        let Some(views) = self.topics.get(topic.index()) else {
            return;
        };
        for view in views {
            self.views[view.0 as usize].newest_left = offset;
        }
    }

    /// A view that exists.
    pub fn view(&self, view: ViewId) -> &View {
        &self.views[view.0 as usize]
    }

    /// A view that exists.
    pub fn view_mut(&mut self, view: ViewId) -> &mut View {
        &mut self.views[view.0 as usize]
    }

    /// The view of this text, begun if nobody watched it so far; `floor_of` says what its topics and those that were forgotten
    /// have lost. Besides, how many topics were looked at.
    pub fn enter(
        &mut self,
        text: &str,
        topics: &Topics,
        floor_of: impl Fn(Option<TopicId>) -> i64,
    ) -> (ViewId, usize) {
        if let Some(&view) = self.by_text.get(text) {
            return (view, 0);
        }
        let found = topics_of(text, topics);
        let floors = found.iter().map(|&topic| floor_of(Some(topic)));
        let floor = match (is_pattern(text), found.is_empty()) {
            (false, false) => floors.max().unwrap_or(0),
            _ => floors.fold(floor_of(None), i64::max),
        };
        let text: Rc<str> = text.into();
        let view = self.insert(View {
            text: Rc::clone(&text),
            topics: found,
            watchers: Vec::new(),
            floor,
            newest_left: 0,
            left: 0,
            marks: BTreeMap::new(),
        });
        if is_pattern(&text) {
            self.patterns.insert(&text, view);
        }
        let looked_at = if is_pattern(&text) { topics.len() } else { 1 };
        self.by_text.insert(text, view);
        (view, looked_at)
    }

    /// Forgets a view that nobody watches any more; its topics.
    pub fn leave(&mut self, view: ViewId) -> Vec<TopicId> {
        let View {
            text,
            topics,
            watchers,
            ..
        } = self.views.remove(view.0 as usize);
        debug_assert!(watchers.is_empty(), "a watched view is left");
        self.by_text.remove(&text);
        if is_pattern(&text) {
            self.patterns.remove(&text);
        }
        for &topic in &topics {
            self.topics[topic.index()].retain(|&v| v != view);
        }
        topics
    }

    /// A topic has come into being.
    pub fn add_topic(&mut self, topic: TopicId, name: &str) {
        let mut views: Vec<ViewId> = self.by_text.get(name).copied().into_iter().collect();
        self.patterns.matching(name, &mut |view| views.push(view));
        for &view in &views {
            self.view_mut(view).topics.push(topic);
        }
        views.shrink_to_fit();
        *self.slot(topic) = views;
    }

    /// Whether `worker` wants an entry of `topic` with this offset.
    pub fn wants(&self, worker: WorkerId, topic: TopicId, offset: i64) -> bool {
        self.of_topic(topic).iter().any(|&view| {
            let watchers = &self.view(view).watchers;
            watchers
                .iter()
                .any(|watcher| watcher.worker == worker && watcher.since < offset)
        })
    }

    fn insert(&mut self, view: View) -> ViewId {
        let topics = view.topics.clone();
        let view = ViewId(self.views.insert(view) as u32);
        for topic in topics {
            self.slot(topic).push(view);
        }
        view
    }

    fn slot(&mut self, topic: TopicId) -> &mut Vec<ViewId> {
        if self.topics.len() <= topic.index() {
            self.topics.resize_with(topic.index() + 1, Vec::new);
        }
        &mut self.topics[topic.index()]
    }
}

impl View {
    /// A reader has reached `position`, with so many entries at or before it.
    pub fn mark(&mut self, position: i64, ordinal: u64) {
        self.marks.insert(position, ordinal);
        if self.marks.len() > MARKS_MAX {
            self.marks.pop_first();
        }
    }

    /// How many entries lie at or before a position that a reader had reached, if that is remembered.
    pub fn marked(&self, position: i64) -> Option<u64> {
        self.marks.get(&position).copied()
    }

    /// A worker's own interest in it.
    pub fn watcher(&self, worker: WorkerId, id: u32) -> Option<&Watcher> {
        self.watchers
            .iter()
            .find(|watcher| watcher.worker == worker && watcher.id == id)
    }

    /// A worker's own interest in it.
    pub fn watcher_mut(&mut self, worker: WorkerId, id: u32) -> Option<&mut Watcher> {
        self.watchers
            .iter_mut()
            .find(|watcher| watcher.worker == worker && watcher.id == id)
    }
}

fn topics_of(text: &str, topics: &Topics) -> Vec<TopicId> {
    if is_pattern(text) {
        topics
            .iter()
            .filter(|(_, name)| matches(text, name))
            .map(|(topic, _)| topic)
            .collect()
    } else {
        topics.find(text).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_places_readers_have_reached_the_newest_are_remembered() {
        let mut interest = Interest::default();
        let (id, _) = interest.enter("a", &Topics::new(1), |_| 0);
        let view = interest.view_mut(id);
        for position in 0..2 * MARKS_MAX as i64 {
            view.mark(position, 7);
        }
        assert_eq!(view.marks.len(), MARKS_MAX);
        assert_eq!(
            (view.marked(0), view.marked(2 * MARKS_MAX as i64 - 1)),
            (None, Some(7))
        );
    }

    #[test]
    fn a_topic_belongs_to_its_own_view_and_to_the_patterns_that_match_whoever_came_first() {
        let (mut interest, mut topics) = (Interest::default(), Topics::new(10));
        let early = topics.insert("q.a").unwrap();
        interest.add_topic(early, "q.a");
        let views = ["q.a", "q.b", "q.*", "r.*"].map(|text| interest.enter(text, &topics, |_| 0).0);
        let late = topics.insert("q.b").unwrap();
        interest.add_topic(late, "q.b");
        assert_eq!(interest.of_topic(early), [views[0], views[2]]);
        assert_eq!(interest.of_topic(late), [views[1], views[2]]);
        assert_eq!(interest.view(views[2]).topics, [early, late]);
        assert_eq!(interest.leave(views[2]), [early, late]);
        assert_eq!(interest.of_topic(early), [views[0]]);
        let later = topics.insert("q.c").unwrap();
        interest.add_topic(later, "q.c");
        assert_eq!(interest.of_topic(later), []);
    }
}
