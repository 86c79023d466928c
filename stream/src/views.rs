//! All views of one engine, and which of them an entry belongs to.
//!
//! One lookup by topic finds the view of that very topic; the patterns that match a topic are found once and remembered, so that a
//! publication costs what it is delivered to and not how many patterns are in use.

use std::rc::Rc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use slab::Slab;
use std::hash::BuildHasher;

use crate::view::View;

/// Topics whose matching patterns are remembered; past it the memory is begun anew.
const REMEMBERED_MAX: usize = 100_000;

/// The views of one engine.
#[derive(Debug, Default)]
pub(crate) struct Views {
    all: Slab<View>,
    by_text: HashTable<u32>,
    hasher: DefaultHashBuilder,
    patterns: Vec<u32>,
    matching: HashMap<Box<str>, Box<[u32]>>,
    by_id: HashMap<u32, u32>,
    next_id: u32,
}

impl Views {
    /// The view of a topic or pattern.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.by_text
            .find(hash, |i| *self.all[*i as usize].text == *text)
            .copied()
    }

    /// A new view; it must not be there yet.
    pub(crate) fn insert(&mut self, text: &str, epoch: &Rc<str>) -> u32 {
        self.next_id += 1;
        let view = View::new(Rc::from(text), self.next_id, Rc::clone(epoch));
        let is_pattern = view.is_pattern;
        let index = self.all.insert(view) as u32;
        let (all, hasher) = (&self.all, &self.hasher);
        self.by_text
            .insert_unique(hasher.hash_one(text), index, |i| {
                hasher.hash_one(&*all[*i as usize].text)
            });
        self.by_id.insert(self.next_id, index);
        if is_pattern {
            self.patterns.push(index);
            self.matching.clear();
        }
        index
    }

    /// Forgets a view.
    pub(crate) fn remove(&mut self, index: u32) -> View {
        let view = self.all.remove(index as usize);
        let hash = self.hasher.hash_one(&*view.text);
        if let Ok(entry) = self.by_text.find_entry(hash, |i| *i == index) {
            entry.remove();
        }
        self.by_id.remove(&view.id);
        if view.is_pattern {
            self.patterns.retain(|i| *i != index);
            self.matching.clear();
        }
        view
    }

    /// Gives every view a new number, as on a new link; calls `each` with all of them.
    pub(crate) fn renumber(&mut self, mut each: impl FnMut(&mut View)) {
        self.by_id.clear();
        for (index, view) in &mut self.all {
            self.next_id += 1;
            view.id = self.next_id;
            self.by_id.insert(view.id, index as u32);
            each(view);
        }
    }

    /// The view that the hub knows by this number.
    pub(crate) fn by_id(&self, id: u32) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// The views an entry of `topic` belongs to.
    pub(crate) fn route(&mut self, topic: &str, into: &mut Vec<u32>) {
        into.clear();
        into.extend(self.find(topic));
        if self.patterns.is_empty() {
            return;
        }
        if let Some(found) = self.matching.get(topic) {
            into.extend_from_slice(found);
            return;
        }
        let all = &self.all;
        let matches = |i: &&u32| pubsub_wire::topic::matches(&all[**i as usize].text, topic);
        let found: Box<[u32]> = self.patterns.iter().filter(matches).copied().collect();
        into.extend_from_slice(&found);
        if self.matching.len() >= REMEMBERED_MAX {
            self.matching.clear();
        }
        self.matching.insert(topic.into(), found);
    }

    pub(crate) fn get(&self, index: u32) -> &View {
        &self.all[index as usize]
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> &mut View {
        &mut self.all[index as usize]
    }

    /// The view at `index`, if there still is one.
    pub(crate) fn find_by_index(&mut self, index: u32) -> Option<&mut View> {
        self.all.get_mut(index as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &View)> {
        self.all.iter().map(|(i, v)| (i as u32, v))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_belongs_to_its_topic_and_to_every_pattern_that_matches() {
        let mut views = Views::default();
        let epoch = Rc::from("e");
        let topic = views.insert("quotes.A", &epoch);
        let one = views.insert("quotes.*", &epoch);
        views.insert("news.>", &epoch);
        let mut found = Vec::new();
        for _ in 0..2 {
            views.route("quotes.A", &mut found);
            assert_eq!(found, [topic, one]);
        }
        let all = views.insert(">", &epoch);
        views.remove(one);
        views.route("quotes.A", &mut found);
        assert_eq!(found, [topic, all]);
        views.route("other", &mut found);
        assert_eq!(found, [all]);
    }

    #[test]
    fn a_view_is_found_by_its_text_and_by_its_number() {
        let mut views = Views::default();
        let index = views.insert("a", &Rc::from("e"));
        assert_eq!(views.find("a"), Some(index));
        assert_eq!(views.by_id(views.get(index).id), Some(index));
        let old = views.get(index).id;
        views.renumber(|_| {});
        assert_eq!(views.by_id(old), None);
        views.remove(index);
        assert_eq!(views.find("a"), None);
    }
}
