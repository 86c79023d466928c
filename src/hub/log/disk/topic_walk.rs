//! A walk over the entries of one topic in one class, forwards or backwards, by what the indexes say of it.
//!
//! Owns the way from segment to segment, and how much of a file is read for one record. Must not contain: other topics, or what is done
//! with an entry. Driven by the log's reads.
use super::DiskLog;
use super::cache::Row;
use super::class::{Class, Index};
use super::format::{Fault, read_record};
use super::index::Place;
use super::places::{OfTopic, offset_of, upto};
use super::scan::{Next, Origin, Shown};
use super::segment::read_at;
use crate::hub::topics::TopicId;
use std::rc::Rc;

/// What is read of a file at once at most.
const BLOCK_BYTES: u32 = 64 << 10;

/// A record whose length is not known yet is taken to be about so long.
const RECORD_BYTES: u32 = 512;

/// See the module.
#[derive(Debug)]
pub(super) struct TopicWalk<'a> {
    log: &'a DiskLog,
    topic: TopicId,
    number: usize,
    class: &'a Class,
    segment: usize,
    row: Option<Rows<'a>>,
    /// Place in the row of what comes next.
    next: usize,
    /// The index of this segment can't be read.
    unreadable: Option<(i64, i64)>,
    block: Vec<u8>,
    block_at: u32,
    record_bytes: u32,
}

/// One topic's records in one segment.
#[derive(Debug, Clone)]
pub(super) enum Rows<'a> {
    Memory(&'a OfTopic),
    File(Rc<Row>),
}

impl Rows<'_> {
    pub(super) fn places(&self) -> &[Place] {
        match self {
            Self::Memory(of) => &of.places,
            Self::File(row) => &row.places,
        }
    }

    pub(super) fn ordinal(&self) -> u64 {
        match self {
            Self::Memory(of) => of.ordinal,
            Self::File(row) => row.ordinal,
        }
    }
}

impl<'a> TopicWalk<'a> {
    /// What comes next is the first entry after `position`, what came before the one before it.
    pub(super) fn new(log: &'a DiskLog, number: usize, topic: TopicId, position: i64) -> Self {
        let class = &log.classes[number];
        let mut walk = Self {
            log,
            topic,
            number,
            class,
            segment: class.segment_after(position),
            row: None,
            next: 0,
            unreadable: None,
            block: Vec::new(),
            block_at: 0,
            record_bytes: RECORD_BYTES,
        };
        walk.load();
        walk.next = upto(walk.base(), walk.places(), position);
        walk
    }

    /// What comes next; it stays next until [`pass`](Self::pass).
    pub(super) fn peek(&mut self) -> Next {
        loop {
            if let Some((first, last)) = self.unreadable {
                return Next::Hole(first, last);
            }
            if let Some(place) = self.places().get(self.next) {
                return Next::Entry(offset_of(self.base(), *place));
            }
            if self.segment >= self.class.segments() {
                return Next::End;
            }
            self.enter(self.segment + 1);
        }
    }

    /// Goes past what comes next.
    pub(super) fn pass(&mut self) {
        if self.unreadable.take().is_some() {
            self.enter(self.segment + 1);
        } else {
            self.next += 1;
        }
    }

    /// The offset of the entry before; the walk stands before it then.
    pub(super) fn back(&mut self) -> Option<i64> {
        loop {
            if let Some(before) = self.next.checked_sub(1) {
                self.next = before;
                return Some(offset_of(self.base(), self.places()[before]));
            }
            self.enter(self.segment.checked_sub(1)?);
            self.next = self.places().len();
        }
    }

    /// The entry that comes next; an error if it can't be read.
    pub(super) fn shown(&mut self) -> Result<Shown<'_>, Fault> {
        let place = *self.places().get(self.next).ok_or(Fault::Shape)?;
        let offset = offset_of(self.base(), place);
        if let Some(held) = self.class.tail.find(offset) {
            return Ok(Shown::Held(held));
        }
        self.read(place)?;
        let (entry, bytes) = read_record(&self.block[(place.at - self.block_at) as usize..])?;
        if entry.offset != offset {
            return Err(Fault::Shape);
        }
        self.record_bytes = bytes as u32;
        let foreign = self
            .class
            .sealed
            .get(self.segment)
            .is_some_and(|s| s.is_foreign);
        let origin = if foreign {
            Origin::Foreign
        } else {
            Origin::Here
        };
        Ok(Shown::Record(entry, origin))
    }

    /// Has the record of a place in the block, whole.
    fn read(&mut self, place: Place) -> Result<(), Fault> {
        let mut wanted = self.span(place);
        loop {
            let begin = place
                .at
                .checked_sub(self.block_at)
                .map(|begin| begin as usize);
            if let Some(bytes) = begin.and_then(|begin| self.block.get(begin..)) {
                match read_record(bytes) {
                    Err(Fault::Short { needed }) if needed > bytes.len() => {
                        wanted = wanted.max(needed as u32);
                    }
                    read => return read.map(|_| ()),
                }
            }
            let (_, _, length) = self.class.extent(self.segment).ok_or(Fault::Shape)?;
            let file = self.class.file(self.segment).ok_or(Fault::Shape)?;
            let there = length.checked_sub(place.at).ok_or(Fault::Shape)?;
            if self.block_at == place.at && self.block.len() as u32 >= there {
                // All of it is here already, and it isn't whole.
                return Err(Fault::Shape);
            }
            let asked = wanted.min(there) as usize;
            read_at(file, u64::from(place.at), asked, &mut self.block).map_err(|_| Fault::Shape)?;
            self.block_at = place.at;
            let is_short = self.block.len() < asked;
            if is_short && matches!(read_record(&self.block), Err(Fault::Short { .. })) {
                // The file is shorter than it was.
                return Err(Fault::Shape);
            }
            self.log.counts.note_read(self.block.len() as u64);
        }
    }

    /// How much to read for a record: those behind it too as long as most of what is read is the topic's.
    fn span(&self, place: Place) -> u32 {
        let (mut last, guess) = (place.at, self.record_bytes);
        for next in &self.places()[self.next + 1..] {
            if next.at - last > 2 * guess || next.at + guess - place.at > BLOCK_BYTES {
                break;
            }
            last = next.at;
        }
        last - place.at + guess
    }

    fn enter(&mut self, segment: usize) {
        self.segment = segment;
        self.block.clear();
        self.next = 0;
        self.load();
    }

    fn load(&mut self) {
        self.row = None;
        if let Ok(row) = self.log.rows(self.number, self.segment, self.topic) {
            self.row = row;
        } else {
            let extent = self.class.extent(self.segment);
            if let Some((base, ..)) = extent {
                self.log.mending.note((self.number, base));
            }
            self.unreadable = extent.map(|(base, last, _)| (base, last));
        }
    }

    fn places(&self) -> &[Place] {
        self.row.as_ref().map_or(&[], Rows::places)
    }

    fn base(&self) -> i64 {
        self.class.extent(self.segment).map_or(0, |(base, ..)| base)
    }
}

impl DiskLog {
    /// What a segment has of a topic.
    pub(super) fn rows(
        &self,
        number: usize,
        segment: usize,
        topic: TopicId,
    ) -> Result<Option<Rows<'_>>, super::index::IndexError> {
        let class = &self.classes[number];
        let Some(sealed) = class.sealed.get(segment) else {
            let active = class
                .active
                .as_ref()
                .filter(|_| segment == class.sealed.len());
            let of = active.and_then(|active| active.places.topics.get(&topic));
            return Ok(of.map(Rows::Memory));
        };
        let (index, _) = match &sealed.index {
            Index::Memory(places) => return Ok(places.topics.get(&topic).map(Rows::Memory)),
            Index::File(index, sparse) => (index, sparse),
        };
        let id = (number, sealed.base);
        if let Some(row) = self.cache.borrow().rows.get((id, topic)) {
            return Ok(row.map(Rows::File));
        }
        let known = self.cache.borrow().directories.get(id);
        let directory = if let Some(directory) = known {
            directory
        } else {
            let directory = Rc::new(index.directory()?);
            let kept = Rc::clone(&directory);
            self.cache.borrow_mut().directories.put(id, kept);
            directory
        };
        let row = match directory.find(&self.topic(topic).name, index)? {
            None => None,
            Some(row) => Some(Rc::new(Row {
                ordinal: row.ordinal,
                places: index.postings(&row)?.into_boxed_slice(),
            })),
        };
        self.cache.borrow_mut().rows.put((id, topic), row.clone());
        Ok(row.map(Rows::File))
    }
}
