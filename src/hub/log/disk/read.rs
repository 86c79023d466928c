//! Reads and counts over classes and topics.
//!
//! Owns the order in which several walks are gone as one. Must not contain: the way through a class (that is `scan`) or a topic
//! (`topic_walk`). Driven by the log's contract.
use super::super::{Backward, Held};
use super::DiskLog;
use super::class::{Class, Spot};
use super::places::{Sparse, offset_of, upto as places_upto};
use super::scan::{Next, Origin, Scan, Shown};
use super::topic_walk::TopicWalk;
use crate::hub::entry::Entry;
use crate::hub::topics::TopicId;
use pubsub_stream::hub::EntryRef;
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Readers that are under way and find the place where they stopped without a search.
const SPOTS_MAX: usize = 256;

/// Where reads have stopped lately: class, position, base of the segment, byte in it.
#[derive(Debug, Default)]
pub(super) struct Spots(VecDeque<(usize, i64, i64, u32)>);

impl Spots {
    fn find(&self, number: usize, class: &Class, position: i64) -> Option<Spot> {
        let found = self
            .0
            .iter()
            .rev()
            .find(|spot| (spot.0, spot.1) == (number, position))?;
        let segment = class.segment_of(found.2)?;
        Some(Spot {
            segment,
            at: found.3,
        })
    }

    fn note(&mut self, number: usize, class: &Class, position: i64, spot: Spot) {
        let Some((base, ..)) = class.extent(spot.segment) else {
            return;
        };
        if self.0.len() == SPOTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((number, position, base, spot.at));
    }
}

/// After this position, and up to that one.
type Span = (i64, i64);

impl DiskLog {
    /// The entries of all classes whose topic is wanted, as `Log::read` shows them.
    pub(super) fn read_classes(
        &self,
        wanted: &dyn Fn(TopicId) -> bool,
        (after, upto): Span,
        scan: &mut usize,
        visit: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> i64 {
        let mut walks = self.walks(after);
        let mut reached = after;
        let end = loop {
            let Some((at, next)) = first(walks.iter_mut().map(|(_, walk)| walk.peek()), upto)
            else {
                break upto;
            };
            if *scan == 0 {
                break reached;
            }
            *scan -= 1;
            let offset = match next {
                Next::Entry(offset) => offset,
                Next::Hole(first, last) => {
                    self.holes.note(first, last);
                    break first - 1;
                }
                Next::End => break upto,
            };
            let walk = &mut walks[at].1;
            let shown = walk.shown().and_then(|shown| self.wanted(shown, wanted));
            if shown.is_some_and(|held| visit(&held).is_break()) {
                break offset - 1;
            }
            walk.pass();
            reached = offset;
        };
        self.leave(walks, end.max(reached));
        end
    }

    /// The entries of some topics, as `Log::read` shows them.
    pub(super) fn read_topics(
        &self,
        topics: &[TopicId],
        (after, upto): Span,
        scan: &mut usize,
        visit: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> i64 {
        let mut walks = self.topic_walks(topics, after);
        let mut reached = after;
        loop {
            let Some((at, next)) = first(walks.iter_mut().map(|(_, walk)| walk.peek()), upto)
            else {
                return upto;
            };
            if *scan == 0 {
                return reached;
            }
            *scan -= 1;
            let (offset, last) = match next {
                Next::Entry(offset) => (offset, offset),
                Next::Hole(first, last) => (first.max(reached + 1), last),
                Next::End => return upto,
            };
            let (topic, walk) = &mut walks[at];
            let (Next::Entry(_), Ok(shown)) = (next, walk.shown()) else {
                self.holes.note(offset, last);
                return offset - 1;
            };
            let held = self.held(shown, *topic);
            if visit(&held).is_break() {
                return offset - 1;
            }
            walk.pass();
            reached = offset;
        }
    }

    /// Back over the entries of all classes: a stretch at a time, which is read forwards.
    pub(super) fn rewind_classes(
        &self,
        wanted: &dyn Fn(TopicId) -> bool,
        floor: i64,
        back: &mut Backward,
        scan: &mut usize,
    ) -> bool {
        while back.left > 0 && back.at > floor {
            if *scan == 0 {
                return false;
            }
            let begin = self.step_before(back.at).max(floor);
            let offsets = self.offsets_between(wanted, (begin, back.at), scan);
            let counted = (offsets.len() as u64).min(back.left);
            back.left -= counted;
            back.at = match offsets.len().checked_sub(counted as usize) {
                Some(first) if back.left == 0 && counted > 0 => offsets[first] - 1,
                _ => begin,
            };
        }
        true
    }

    /// Back over the entries of some topics.
    pub(super) fn rewind_topics(
        &self,
        topics: &[TopicId],
        floor: i64,
        back: &mut Backward,
        scan: &mut usize,
    ) -> bool {
        let mut walks = self.topic_walks(topics, back.at);
        let mut heads: Vec<Option<i64>> = walks.iter_mut().map(|(_, walk)| walk.back()).collect();
        while back.left > 0 {
            let newest = heads
                .iter()
                .enumerate()
                .filter_map(|(at, head)| Some(((*head)?, at)));
            let Some((offset, at)) = newest.max().filter(|(offset, _)| *offset > floor) else {
                back.at = floor.min(back.at);
                return true;
            };
            if *scan == 0 {
                return false;
            }
            *scan -= 1;
            back.at = offset - 1;
            back.left -= 1;
            heads[at] = walks[at].1.back();
        }
        true
    }

    /// Offset of the oldest entry after `position`.
    pub(super) fn first_held_after(&self, position: i64) -> Option<i64> {
        if self
            .classes
            .iter()
            .all(|class| class.begins_after(position))
        {
            return self.classes.iter().filter_map(Class::first).min();
        }
        let mut walks = self.walks(position);
        let firsts = walks.iter_mut().filter_map(|(_, walk)| {
            loop {
                match walk.peek() {
                    Next::Entry(offset) => return Some(offset),
                    Next::Hole(..) => walk.pass(),
                    Next::End => return None,
                }
            }
        });
        let first = firsts.min();
        self.keep_blocks(walks);
        first
    }

    /// How many entries of a topic there were up to a position, since it is known.
    pub(super) fn ordinal(&self, topic: TopicId, position: i64) -> u64 {
        let of = self.topic(topic);
        if position >= of.last {
            return of.ever;
        }
        let numbers =
            (0..self.classes.len()).filter(|number| of.classes & super::bit(*number) != 0);
        let counted = numbers.filter_map(|number| self.ordinal_in(number, topic, position));
        counted.max().unwrap_or(of.past.left)
    }

    /// The same by what one class has, if it has any of the topic up to there.
    fn ordinal_in(&self, number: usize, topic: TopicId, position: i64) -> Option<u64> {
        let class = &self.classes[number];
        let last = class
            .segment_after(position)
            .min(class.segments().checked_sub(1)?);
        (0..=last).rev().find_map(|segment| {
            let rows = self.rows(number, segment, topic).ok()??;
            let (base, ..) = class.extent(segment)?;
            let places = rows.places();
            let begins_before = places
                .first()
                .is_some_and(|place| offset_of(base, *place) <= position);
            let upto = places_upto(base, places, position) as u64;
            begins_before.then_some(rows.ordinal() + upto)
        })
    }

    /// A position before `position` between which and that one there is not much to be read.
    fn step_before(&self, position: i64) -> i64 {
        let steps = self
            .classes
            .iter()
            .filter_map(|class| class.step_before(position));
        steps.max().unwrap_or(0)
    }

    /// Offsets of the wanted entries in a span; all of it is looked at, and that is paid for.
    fn offsets_between(
        &self,
        wanted: &dyn Fn(TopicId) -> bool,
        (after, upto): Span,
        scan: &mut usize,
    ) -> Vec<i64> {
        let mut offsets = Vec::new();
        let mut walks = self.walks(after);
        while let Some((at, next)) = first(walks.iter_mut().map(|(_, walk)| walk.peek()), upto) {
            *scan = scan.saturating_sub(1);
            let walk = &mut walks[at].1;
            if let (Next::Entry(offset), Some(shown)) = (next, walk.shown()) {
                let topic = self.topic_of(&shown);
                if topic.is_some_and(wanted) {
                    offsets.push(offset);
                }
            }
            walk.pass();
        }
        self.keep_blocks(walks);
        offsets
    }

    fn walks(&self, after: i64) -> Vec<(usize, Scan<'_>)> {
        let spots = self.spots.borrow();
        let classes = self.classes.iter().enumerate();
        let with_more = classes.filter(|(_, class)| class.last() > after);
        with_more
            .map(|(number, class)| {
                let spot = spots.find(number, class, after);
                let block = self.blocks.borrow_mut().pop().unwrap_or_default();
                (number, Scan::new(class, after, spot, block))
            })
            .collect()
    }

    /// Remembers where the reading of files has stopped. With several classes each has its own place for a position.
    fn leave(&self, walks: Vec<(usize, Scan<'_>)>, position: i64) {
        let mut spots = self.spots.borrow_mut();
        for (number, walk) in &walks {
            if let Some(spot) = walk.spot() {
                spots.note(*number, &self.classes[*number], position, spot);
            }
        }
        self.keep_blocks(walks);
    }

    fn keep_blocks(&self, walks: Vec<(usize, Scan<'_>)>) {
        let read = walks.iter().map(|(_, walk)| walk.read_bytes());
        self.counts.note_read(read.sum());
        let blocks = walks.into_iter().map(|(_, walk)| walk.into_block());
        let mut kept = self.blocks.borrow_mut();
        kept.extend(blocks.filter(|block| block.capacity() > 0));
        kept.truncate(self.classes.len());
    }

    fn topic_walks(&self, topics: &[TopicId], position: i64) -> Vec<(TopicId, TopicWalk<'_>)> {
        let mut walks = Vec::with_capacity(topics.len());
        for &topic in topics {
            let of = self.topic(topic);
            for number in (0..self.classes.len()).filter(|n| of.classes & super::bit(*n) != 0) {
                walks.push((topic, TopicWalk::new(self, number, topic, position)));
            }
        }
        walks
    }

    fn topic_of(&self, shown: &Shown<'_>) -> Option<TopicId> {
        match shown {
            Shown::Held(held) => Some(held.topic),
            Shown::Record(entry, _) => self.by_name.get(entry.topic).copied(),
        }
    }

    fn wanted(&self, shown: Shown<'_>, wanted: &dyn Fn(TopicId) -> bool) -> Option<Held> {
        let topic = self.topic_of(&shown).filter(|topic| wanted(*topic))?;
        Some(self.held(shown, topic))
    }

    fn held(&self, shown: Shown<'_>, topic: TopicId) -> Held {
        let (entry, origin) = match shown {
            Shown::Held(held) => return held.clone(),
            Shown::Record(entry, origin) => (entry, origin),
        };
        self.counts.note_entry();
        let mono_ns = match origin {
            Origin::Here => entry.mono_ns,
            Origin::Foreign => self.stamps.mono_ns(entry.ts_us),
        };
        let fields = EntryRef { mono_ns, ..entry };
        Held {
            offset: entry.offset,
            topic,
            entry: Entry::encode(&mut self.scratch.borrow_mut(), &fields),
        }
    }
}

impl Class {
    /// Offset of the oldest entry there is, in the file or about to be.
    fn first(&self) -> Option<i64> {
        self.sparse(0)?.first()
    }

    fn begins_after(&self, position: i64) -> bool {
        self.first().is_none_or(|first| first > position)
    }

    /// A position before `position` from which to it there is about a block of this class to be read; `None`: there is nothing of it.
    fn step_before(&self, position: i64) -> Option<i64> {
        let newest = self.segments().checked_sub(1)?;
        let segment = self.segment_after(position - 1).min(newest);
        let (base, ..) = self.extent(segment)?;
        if position <= base {
            let (_, last, _) = self.extent(segment.checked_sub(1)?)?;
            return Some(last);
        }
        Some(self.sparse(segment)?.step_before(position))
    }

    /// Where a segment's batches begin.
    pub(super) fn sparse(&self, segment: usize) -> Option<&Sparse> {
        match self.sealed.get(segment).map(|sealed| &sealed.index) {
            Some(super::Index::Memory(places)) => Some(&places.sparse),
            Some(super::Index::File(_, sparse)) => Some(sparse),
            None if segment == self.sealed.len() => Some(&self.active.as_ref()?.places.sparse),
            None => None,
        }
    }
}

/// Which of several walks goes next, and with what: the smallest offset, if it is at or before `upto`.
fn first(nexts: impl Iterator<Item = Next>, upto: i64) -> Option<(usize, Next)> {
    let offsets = nexts
        .enumerate()
        .filter_map(|(at, next)| Some((next.offset()?, at, next)));
    let (offset, at, next) = offsets.min_by_key(|(offset, ..)| *offset)?;
    (offset <= upto).then_some((at, next))
}
