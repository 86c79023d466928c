//! Where the records of a segment are, by topic: in memory while the segment is written and until its index is.
//!
//! Owns the collecting. Must not contain: the bytes of an index (that is `index`) or files. Driven by the class; once the segment is
//! full it is shared with the thread that writes the index.
use super::index::{IndexBuilder, Place};
use crate::hub::topics::TopicId;
use hashbrown::HashMap;
use std::sync::Arc;

/// A scan begins at most this many bytes before what it looks for, and a batch.
const SPARSE_BYTES: u32 = 64 << 10;

/// One topic's records in one segment, and what there was of it before.
#[derive(Debug, Clone)]
pub(super) struct OfTopic {
    pub(super) name: Arc<str>,
    /// How many entries it had in the log before these.
    pub(super) ordinal: u64,
    /// Offset of its newest one before these; 0 when there was none.
    pub(super) before: i64,
    /// Offset of its first ever.
    pub(super) first: i64,
    pub(super) places: Vec<Place>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) base: i64,
    pub(super) last: i64,
    pub(super) records: u64,
    pub(super) first_us: u64,
    pub(super) last_us: u64,
    pub(super) sparse: Sparse,
    pub(super) topics: HashMap<TopicId, OfTopic>,
}

/// What is known of a topic when one of its entries is noted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) ordinal: u64,
    pub(super) before: i64,
    pub(super) first: i64,
}

impl Places {
    /// Of a segment that is empty and begins with this offset.
    pub(super) fn new(base: i64) -> Self {
        Self {
            base,
            last: base - 1,
            records: 0,
            first_us: 0,
            last_us: 0,
            sparse: Sparse::new(base, Vec::new()),
            topics: HashMap::new(),
        }
    }

    /// Whether an offset can be in this segment at all.
    pub(super) fn takes(&self, offset: i64) -> bool {
        u32::try_from(offset - self.base).is_ok()
    }

    /// A batch begins at this byte with this offset.
    pub(super) fn note_batch(&mut self, offset: i64, at: u32) {
        let place = self.place(offset, at);
        self.sparse.note(place);
    }

    /// A record of `topic` begins at this byte; `known` says what there was of it before.
    pub(super) fn note(
        &mut self,
        topic: TopicId,
        offset: i64,
        at: u32,
        ts_us: u64,
        known: Known<'_>,
    ) {
        let place = self.count(offset, at, ts_us);
        let of = self.topics.entry(topic).or_insert_with(|| OfTopic {
            name: Arc::clone(known.name),
            ordinal: known.ordinal,
            before: known.before,
            first: known.first,
            places: Vec::new(),
        });
        of.places.push(place);
    }

    /// A record of some topic begins at this byte.
    pub(super) fn count(&mut self, offset: i64, at: u32, ts_us: u64) -> Place {
        if self.records == 0 {
            self.first_us = ts_us;
        }
        self.last_us = ts_us;
        self.last = offset;
        self.records += 1;
        self.place(offset, at)
    }

    fn place(&self, offset: i64, at: u32) -> Place {
        debug_assert!(
            self.takes(offset),
            "a segment is full before its offsets are"
        );
        Place {
            delta: (offset - self.base) as u32,
            at,
        }
    }

    /// What the index says of the segment, of which so many bytes are whole, and of these topics in it.
    pub(super) fn encode<'a>(
        &self,
        topics: impl Iterator<Item = &'a OfTopic>,
        bytes: u32,
    ) -> Vec<u8> {
        let mut builder = IndexBuilder::new(self.base);
        for place in &self.sparse.places {
            builder.note_batch(*place);
        }
        for of in topics {
            builder.topic(&of.name, of.ordinal, of.before, of.first, &of.places);
        }
        builder.encode(
            self.last,
            self.records,
            bytes,
            (self.first_us, self.last_us),
        )
    }
}

/// Where some of a segment's batches begin: one for every so many bytes.
#[derive(Debug, Clone)]
pub(super) struct Sparse {
    base: i64,
    places: Vec<Place>,
}

impl Sparse {
    pub(super) fn new(base: i64, places: Vec<Place>) -> Self {
        Self { base, places }
    }

    fn note(&mut self, place: Place) {
        let last = self.places.last();
        if last.is_none_or(|last| place.at - last.at >= SPARSE_BYTES) {
            self.places.push(place);
        }
    }

    /// Offset of the first record there is.
    pub(super) fn first(&self) -> Option<i64> {
        let place = self.places.first()?;
        Some(offset_of(self.base, *place))
    }

    /// The byte from which a scan finds everything after `position`; `None`: from the segment's beginning.
    pub(super) fn scan_from(&self, position: i64) -> Option<u32> {
        let before = upto(self.base, &self.places, position + 1);
        before.checked_sub(1).map(|index| self.places[index].at)
    }

    /// The last position before `position` at which a batch is known to end; a step of a walk back.
    pub(super) fn step_before(&self, position: i64) -> i64 {
        let before = upto(self.base, &self.places, position);
        let place = before.checked_sub(1).map(|index| self.places[index]);
        place.map_or(self.base, |place| offset_of(self.base, place)) - 1
    }
}

/// The place's offset in a segment of this base.
pub(super) fn offset_of(base: i64, place: Place) -> i64 {
    base + i64::from(place.delta)
}

/// How many of these are at or before `position`.
pub(super) fn upto(base: i64, places: &[Place], position: i64) -> usize {
    places.partition_point(|place| offset_of(base, *place) <= position)
}
