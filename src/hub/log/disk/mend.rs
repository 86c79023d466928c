//! An index that turns out to be damaged while the log is used is made anew.
//!
//! Owns from what. Must not contain: what is read meanwhile (its segment is a hole for readers of topics). A reading of a topic notices the
//! damage, the log asks the keeper once, and the keeper reads the segment through.
//!
//! How many entries each topic had before the segment stands only in the index's rows, so those have to be whole, and the segment has to
//! hold just what they say. Where they are not, the hole stays until the folder is opened the next time, which counts from its beginning.
use super::cache::SegmentId;
use super::chores::write_index;
use super::index::{IndexError, IndexFile};
use super::jobs::Job;
use super::places::{OfTopic, Places};
use super::{DiskLog, recover};
use hashbrown::HashMap;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Why an index can't be made anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unmendable {
    /// Its segment can't be read, or the new one can't be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It doesn't say either what topics had before.
    #[error("what it says of topics can't be read: {0}")]
    Rows(#[from] IndexError),
    /// What it says of topics is not what is in the segment.
    #[error("its segment is not whole either")]
    Segment,
}

/// Makes the index of this segment anew.
pub(super) fn mend(segment: &Path, file: &File) -> Result<IndexFile, Unmendable> {
    let old = IndexFile::open(&segment.with_extension("idx"))?;
    let head = *old.head();
    let mut topics = HashMap::new();
    old.rows(&mut |row| {
        let of = OfTopic {
            name: (&*row.name).into(),
            ordinal: row.ordinal,
            before: row.before,
            first: row.first,
            places: Vec::new(),
        };
        topics.insert(row.name.clone(), (row.count as usize, of));
    })?;
    let (mut places, mut is_same) = (Places::new(head.base), true);
    let found = recover::scan(file, head.base, &mut |shown| {
        if let Some(batch) = shown.batch {
            places.note_batch(shown.entry.offset, batch);
        }
        let place = places.count(shown.entry.offset, shown.at, shown.entry.ts_us);
        match topics.get_mut(shown.entry.topic) {
            Some((_, of)) => of.places.push(place),
            None => is_same = false,
        }
    })?;
    let counts = topics.values();
    is_same &= counts.clone().all(|(count, of)| *count == of.places.len());
    if !is_same || (found.end, found.last) != (head.bytes, head.last) {
        return Err(Unmendable::Segment);
    }
    let bytes = places.encode(counts.map(|(_, of)| of), head.bytes);
    Ok(write_index(segment, &bytes)?)
}

/// Indexes that are to be made anew.
#[derive(Debug, Default)]
pub(super) struct Mending {
    noticed: RefCell<Vec<SegmentId>>,
    /// Under way, or in vain.
    asked: Vec<SegmentId>,
}

impl Mending {
    /// The index of this segment can't be read.
    pub(super) fn note(&self, segment: SegmentId) {
        let mut noticed = self.noticed.borrow_mut();
        if !noticed.contains(&segment) {
            noticed.push(segment);
        }
    }

    /// The segment has left, or its index is good.
    pub(super) fn forget(&mut self, segment: SegmentId) {
        self.noticed.get_mut().retain(|of| *of != segment);
        self.asked.retain(|of| *of != segment);
    }
}

impl DiskLog {
    /// Asks for what was noticed since the last time.
    pub(super) fn ask_to_mend(&mut self) {
        for segment in std::mem::take(self.mending.noticed.get_mut()) {
            let (class, base) = segment;
            let mut sealed = self.classes[class].sealed.iter();
            let Some(sealed) = sealed.find(|sealed| sealed.base == base) else {
                continue;
            };
            if self.mending.asked.contains(&segment) {
                continue;
            }
            self.mending.asked.push(segment);
            self.keeper.ask(Job::Mend {
                class,
                base,
                file: Arc::clone(&sealed.file),
                path: sealed.path.clone(),
            });
        }
    }

    /// An index has been made anew: what its segment has can be read again.
    pub(super) fn on_mended(&mut self, segment: SegmentId, index: IndexFile) {
        let (class, base) = segment;
        self.mending.forget(segment);
        self.cache.get_mut().forget_segment(segment);
        if let Some(last) = self.classes[class].replace_index(base, index) {
            self.holes.forget_within(base, last);
            self.counts.mended += 1;
        }
    }
}
