//! All views of one engine and their cohorts, and which views an entry belongs to.
//!
//! One lookup by topic finds the view of that very topic; the patterns that match a topic are found once and remembered, so that a
//! publication costs what it is delivered to and not how many patterns are in use.

use std::rc::Rc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use slab::Slab;
use std::hash::{BuildHasher, Hash};

use pubsub_wire::value::{Gap, GapReason};

use crate::cohort::Cohort;
use crate::ring::{Kind, Mark};
use crate::terms::Acting;
use crate::view::View;

/// Topics whose matching patterns are remembered; past it the memory is begun anew.
const REMEMBERED_MAX: usize = 100_000;

/// A cohort and the view it reads: where a cursor stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stand<'a> {
    pub(crate) view: &'a View,
    pub(crate) cohort: &'a Cohort,
}

impl<'a> Stand<'a> {
    /// The epoch of the entry at `ordinal`.
    pub(crate) fn epoch_at(&self, ordinal: u64) -> &'a Rc<str> {
        let mut marks = self.cohort.ring.marks_from(ordinal);
        let ended = marks.find_map(|m| m.epoch.as_ref());
        ended.unwrap_or(&self.view.epoch)
    }

    /// The position before `ordinal`, as far as it is known: everything of this view up to it stands before `ordinal`, and all that
    /// is at hand from `ordinal` on lies after it.
    pub(crate) fn position_before(&self, ordinal: u64) -> Option<i64> {
        let ring = &self.cohort.ring;
        if let Some(position) = ring.position_before(ordinal) {
            return Some(position);
        }
        if self.cohort.is_rated() {
            // Offsets are not in order: the next tells nothing of what was before.
            return None;
        }
        let compact = self.cohort.compact.as_ref();
        let survivor = compact.and_then(|c| c.range(ordinal, ring.first()).next());
        let survivor = survivor.map(|(at, e)| (*at, e.offset - 1));
        let pinned = ring
            .pinned_from(ordinal)
            .map(|(at, offset)| (at, offset - 1));
        let mark = ring.break_from(ordinal).map(|m| (m.ordinal, m.before));
        let begin = ring.position_before(ring.first());
        let begin = begin.map(|before| (ring.first(), before));
        // Whatever is at hand next tells where it begins; a mark that is pinned tells it itself.
        let all = [begin, mark, survivor, pinned].into_iter().flatten();
        let next = all.min_by_key(|(at, _)| *at);
        next.map(|(_, before)| before)
    }

    /// Where a conflating cursor at `ordinal` goes on: there, or where the ring has overtaken it at the next survivor or mark.
    pub(crate) fn at_hand(&self, ordinal: u64) -> u64 {
        let ring = &self.cohort.ring;
        if ordinal >= ring.first() {
            return ordinal;
        }
        let compact = self.cohort.compact.as_ref();
        let survivor = compact.and_then(|c| c.range(ordinal, ring.first()).next());
        let mark = ring.break_from(ordinal).map(|m| m.ordinal);
        let next = [survivor.map(|(at, _)| *at), mark];
        next.into_iter().flatten().fold(ring.first(), u64::min)
    }

    /// The gap that a mark of lost entries tells of.
    pub(crate) fn gap_of(&self, mark: &Mark) -> Gap<Rc<str>> {
        let (reason, span, count) = match mark.kind {
            Kind::Epoch => (GapReason::Epoch, None, None),
            Kind::Lost(n) => (
                GapReason::Retention,
                Some((mark.before + 1, mark.after)),
                Some(n),
            ),
            _ => (GapReason::Retention, None, None),
        };
        Gap {
            from: span.map(|s| s.0),
            to: span.map(|s| s.1),
            count,
            reason,
            epoch: Rc::clone(self.epoch_at(mark.ordinal + 1)),
            offset: mark.after,
        }
    }
}

/// The views of one engine, and their cohorts.
#[derive(Debug, Default)]
pub(crate) struct Views {
    all: Slab<View>,
    cohorts: Slab<Cohort>,
    by_text: HashTable<u32>,
    by_acting: HashMap<(u32, Acting), u32>,
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
        let index = self.all.vacant_key() as u32;
        let plain = self
            .cohorts
            .insert(Cohort::new(index, Acting::default(), 0)) as u32;
        let view = View::new(Rc::from(text), self.next_id, Rc::clone(epoch), plain);
        let is_pattern = view.is_pattern;
        self.all.insert(view);
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

    /// Forgets a view and its plain cohort; it must have no other.
    pub(crate) fn remove(&mut self, index: u32) -> View {
        let view = self.all.remove(index as usize);
        debug_assert!(view.derived.is_empty());
        self.cohorts.remove(view.plain as usize);
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

    /// The cohort of a view that does this; one that nobody was in yet begins with what comes from now on.
    pub(crate) fn cohort_of(&mut self, view: u32, acting: Acting) -> u32 {
        if acting == Acting::default() {
            return self.get(view).plain;
        }
        if let Some(found) = self.by_acting.get(&(view, acting)) {
            return *found;
        }
        let position = self.get(view).told;
        let index = self.cohorts.insert(Cohort::new(view, acting, position)) as u32;
        self.by_acting.insert((view, acting), index);
        self.get_mut(view).derived.push(index);
        index
    }

    /// Whether there is a cohort of a view that does this.
    pub(crate) fn has_cohort(&self, view: u32, acting: Acting) -> bool {
        acting == Acting::default() || self.by_acting.contains_key(&(view, acting))
    }

    /// Forgets a cohort with an operator that nobody is in any more.
    pub(crate) fn remove_cohort(&mut self, index: u32) {
        let cohort = self.cohorts.remove(index as usize);
        self.by_acting.remove(&(cohort.view, cohort.acting));
        self.get_mut(cohort.view).derived.retain(|i| *i != index);
    }

    pub(crate) fn hash(&self, name: impl Hash) -> u64 {
        self.hasher.hash_one(name)
    }

    #[inline]
    pub(crate) fn cohort(&self, index: u32) -> &Cohort {
        &self.cohorts[index as usize]
    }

    #[inline]
    pub(crate) fn cohort_mut(&mut self, index: u32) -> &mut Cohort {
        &mut self.cohorts[index as usize]
    }

    /// The cohort at `index`, if there still is one.
    #[inline]
    pub(crate) fn find_cohort(&mut self, index: u32) -> Option<&mut Cohort> {
        self.cohorts.get_mut(index as usize)
    }

    /// A cohort with its view.
    #[inline]
    pub(crate) fn stand(&self, cohort: u32) -> Stand<'_> {
        let cohort = &self.cohorts[cohort as usize];
        Stand {
            view: &self.all[cohort.view as usize],
            cohort,
        }
    }

    pub(crate) fn cohorts(&self) -> impl Iterator<Item = (u32, &Cohort)> {
        self.cohorts.iter().map(|(i, c)| (i as u32, c))
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

    #[inline]
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
    fn what_is_remembered_of_topics_is_begun_anew_once_it_is_too_much() {
        let mut views = Views::default();
        let all = views.insert(">", &Rc::from("e"));
        let mut found = Vec::new();
        for number in 0..REMEMBERED_MAX {
            views.route(&number.to_string(), &mut found);
        }
        assert_eq!(views.matching.len(), REMEMBERED_MAX);
        views.route("0", &mut found);
        assert_eq!(views.matching.len(), REMEMBERED_MAX);
        views.route("one more", &mut found);
        assert_eq!((views.matching.len(), found), (1, vec![all]));
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
