//! The segments of one retention class: sealed ones, oldest first, and the one that is written.
//!
//! Owns which segment an offset is in, when a segment is full, and what retention lets go of. Must not contain: topics' floors, other
//! classes, or the thread that does what is slow. Driven by the log.
//!
//! Retention lets go of whole sealed segments: the class holds no more bytes than its rule says (unless one segment alone does), and no
//! less of the other limits; a segment is sealed early enough that it is at most about an eighth more.
use super::format::BatchWriter;
use super::index::IndexFile;
use super::places::{Known, Places, Sparse};
use super::segment::Writer;
use super::tail::Tail;
use crate::config::Retain;
use crate::hub::topics::TopicId;
use pubsub_stream::hub::EntryRef;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

/// Of smaller segments there would be very many files, of larger ones an unlink or a scan after a crash would be long.
pub const SEGMENT_BYTES: RangeInclusive<u64> = 256 << 10..=64 << 20;
/// Retention acts on whole segments, so a class has at least about so many.
const SEGMENTS_LEAST: u64 = 8;
/// No class has many more files than twice this: very large logs have larger segments.
const SEGMENTS_MOST: u64 = 1024;
/// Positions in a segment are 32 bits.
const SEGMENT_BYTES_LIMIT: u64 = 2 << 30;

/// A segment that is not written any more.
#[derive(Debug)]
pub(super) struct Sealed {
    /// Newest offset of the class before it; 0 when there was none.
    pub(super) before: i64,
    pub(super) base: i64,
    pub(super) last: i64,
    pub(super) records: u64,
    pub(super) bytes: u32,
    pub(super) last_us: u64,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) index: Index,
    /// Its monotonic stamps are of another run of the machine.
    pub(super) is_foreign: bool,
}

/// Where a sealed segment's records are.
#[derive(Debug)]
pub(super) enum Index {
    /// Not written yet.
    Memory(Arc<Places>),
    /// In its file, but for what every scan needs.
    File(IndexFile, Sparse),
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) writer: Writer,
    pub(super) path: PathBuf,
    /// Bytes there is room for.
    pub(super) capacity: u64,
    /// Newest offset of the class before it; 0 when there was none.
    pub(super) before: i64,
    pub(super) places: Places,
    /// What was appended since the last write.
    pub(super) batch: BatchWriter,
    /// Its name has not been handed over to be synced.
    pub(super) is_new: bool,
}

/// A segment that is made ready for its turn.
#[derive(Debug)]
pub(super) enum Spare {
    /// Nobody was asked for one.
    None,
    /// It is on its way.
    Asked,
    /// It is there.
    Ready(Writer),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) pattern: String,
    bytes_max: u64,
    age_us_max: Option<u64>,
    count_max: Option<u64>,
    pub(super) segment_bytes: u64,
    pub(super) folder: PathBuf,
    /// To be synced when there are new names in it.
    pub(super) folder_file: Arc<File>,
    is_former: bool,
    pub(super) sealed: VecDeque<Sealed>,
    pub(super) active: Option<Active>,
    pub(super) spare: Spare,
    /// There was no space for a segment that was needed at once; not to be tried before then.
    pub(super) again_ns: u64,
    /// It has been said that there is no space for the next one.
    pub(super) is_short: bool,
    pub(super) tail: Tail,
    /// Of the sealed segments.
    bytes: u64,
    records: u64,
    floor: i64,
    /// Files that go as soon as another one says how far the class has come.
    pub(super) remains: Vec<PathBuf>,
}

/// Where a read of the files goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// Number of the segment, sealed ones first.
    pub(super) segment: usize,
    /// Byte in it.
    pub(super) at: u32,
}

impl Class {
    /// A class without segments.
    pub(super) fn new(
        rule: &Retain,
        folder: PathBuf,
        sizes: &RangeInclusive<u64>,
        tail_bytes: u64,
    ) -> io::Result<Self> {
        let folder_file = Arc::new(File::open(&folder)?);
        let bytes = (rule.bytes / SEGMENTS_LEAST).clamp(*sizes.start(), *sizes.end());
        let segment_bytes = bytes
            .max(rule.bytes / SEGMENTS_MOST)
            .min(SEGMENT_BYTES_LIMIT);
        Ok(Self {
            pattern: rule.pattern.clone(),
            bytes_max: rule.bytes,
            age_us_max: rule.age_ms.map(|ms| ms.saturating_mul(1000)),
            count_max: rule.count,
            segment_bytes,
            folder,
            folder_file,
            is_former: false,
            sealed: VecDeque::new(),
            active: None,
            spare: Spare::None,
            again_ns: 0,
            is_short: false,
            tail: Tail::new(tail_bytes, 0),
            bytes: 0,
            records: 0,
            floor: 0,
            remains: Vec::new(),
        })
    }

    /// One that no rule names any more: what it has is kept by this rule, and nothing is added.
    pub(super) fn former(
        rule: &Retain,
        folder: PathBuf,
        sizes: &RangeInclusive<u64>,
    ) -> io::Result<Self> {
        let mut class = Self::new(rule, folder, sizes, 0)?;
        class.is_former = true;
        Ok(class)
    }

    /// Whether a topic of this name belongs here.
    pub(super) fn takes(&self, topic: &str) -> bool {
        !self.is_former && pubsub_wire::topic::matches(&self.pattern, topic)
    }

    /// The next segment that was found in the folder.
    pub(super) fn push_recovered(&mut self, sealed: Sealed) {
        self.tail.forget_upto(sealed.last);
        self.push_sealed(sealed);
    }

    /// A segment without any record was found, or is given up.
    pub(super) fn push_empty(&mut self, before: i64, path: PathBuf) {
        if self.sealed.is_empty() {
            self.floor = self.floor.max(before);
        }
        self.tail.forget_upto(before);
        self.remains.push(path);
    }

    /// A segment that is newer than all others is sealed.
    fn push_sealed(&mut self, sealed: Sealed) {
        debug_assert!(
            self.sealed
                .back()
                .is_none_or(|last| last.last < sealed.base)
        );
        if self.sealed.is_empty() {
            self.floor = self.floor.max(sealed.before);
        }
        self.bytes += u64::from(sealed.bytes);
        self.records += sealed.records;
        self.sealed.push_back(sealed);
    }

    /// Newest offset of the class that had left when the folder was opened, or has since.
    pub(super) fn floor(&self) -> i64 {
        self.floor
    }

    /// Newest offset there is here, or that there was.
    pub(super) fn last(&self) -> i64 {
        let sealed = self.sealed.back().map(|sealed| sealed.last);
        let active = self.active.as_ref().map(|active| active.places.last);
        active.or(sealed).unwrap_or(self.floor)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.active.as_ref().map_or(0, Active::len)
    }

    pub(super) fn records(&self) -> u64 {
        self.records
            + self
                .active
                .as_ref()
                .map_or(0, |active| active.places.records)
    }

    /// How many segments there are, the active one included.
    pub(super) fn segments(&self) -> usize {
        self.sealed.len() + usize::from(self.active.is_some())
    }

    /// First and last offset that can be in a segment, and the bytes of it that are in the file.
    pub(super) fn extent(&self, segment: usize) -> Option<(i64, i64, u32)> {
        if let Some(sealed) = self.sealed.get(segment) {
            return Some((sealed.base, sealed.last, sealed.bytes));
        }
        let active = self
            .active
            .as_ref()
            .filter(|_| segment == self.sealed.len())?;
        Some((active.places.base, active.places.last, active.writer.len()))
    }

    pub(super) fn file(&self, segment: usize) -> Option<&Arc<File>> {
        match self.sealed.get(segment) {
            Some(sealed) => Some(&sealed.file),
            None => self.active.as_ref().map(|active| active.writer.file()),
        }
    }

    /// Number of the first segment that may hold something after `position`.
    pub(super) fn segment_after(&self, position: i64) -> usize {
        self.sealed
            .partition_point(|sealed| sealed.last <= position)
    }

    /// The segment of this base.
    pub(super) fn segment_of(&self, base: i64) -> Option<usize> {
        let at = self.sealed.partition_point(|sealed| sealed.base < base);
        self.extent(at).filter(|(of, ..)| *of == base).map(|_| at)
    }

    /// Writes what was appended since the last time; how many bytes that were.
    pub(super) fn write(&mut self) -> io::Result<u64> {
        let Some(active) = &mut self.active else {
            return Ok(0);
        };
        let bytes = active.write()?;
        let written = active.places.last;
        self.tail.trim(written);
        Ok(bytes)
    }

    /// There is no space for the next segment.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Whether the active segment is to be sealed: a record of so many bytes has no room in it, or retention needs it.
    pub(super) fn is_full(&self, offset: i64, record_bytes: usize) -> bool {
        self.active.as_ref().is_some_and(|active| {
            active.len() + record_bytes as u64 > active.capacity || !active.places.takes(offset)
        })
    }

    /// Whether the active segment is to be sealed so that retention can act on it some day.
    pub(super) fn is_due(&self, wall_us: u64) -> bool {
        let Some(active) = self
            .active
            .as_ref()
            .filter(|active| active.places.records > 0)
        else {
            return false;
        };
        let part = |whole: u64| (whole / SEGMENTS_LEAST).max(1);
        let aged = self
            .age_us_max
            .is_some_and(|age| wall_us.saturating_sub(active.places.first_us) >= part(age));
        aged || self
            .count_max
            .is_some_and(|count| active.places.records >= part(count))
    }

    /// Takes the active segment, all of it written, from its place; the caller has it sealed.
    pub(super) fn seal(&mut self) -> Option<(Arc<Places>, Arc<File>, PathBuf)> {
        let active = self.active.take()?;
        debug_assert!(active.batch.is_empty(), "what is not written would be lost");
        let bytes = active.writer.len();
        let (file, path) = (Arc::clone(active.writer.file()), active.path);
        let places = Arc::new(active.places);
        self.push_sealed(Sealed {
            before: active.before,
            base: places.base,
            last: places.last,
            records: places.records,
            bytes,
            last_us: places.last_us,
            file: Arc::clone(&file),
            path: path.clone(),
            index: Index::Memory(Arc::clone(&places)),
            is_foreign: false,
        });
        Some((places, file, path))
    }

    /// The index of a sealed segment has been written.
    pub(super) fn set_index(&mut self, base: i64, file: IndexFile) {
        let sealed = self.sealed.iter_mut().find(|sealed| sealed.base == base);
        if let Some(sealed) = sealed
            && let Index::Memory(places) = &sealed.index
        {
            sealed.index = Index::File(file, places.sparse.clone());
        }
    }

    /// The index of a sealed segment has been made anew; the segment's last offset, if it is still there.
    pub(super) fn replace_index(&mut self, base: i64, file: IndexFile) -> Option<i64> {
        let sealed = self.sealed.iter_mut().find(|sealed| sealed.base == base)?;
        if let Index::File(index, _) = &mut sealed.index {
            *index = file;
        }
        Some(sealed.last)
    }

    /// The oldest sealed segment if the class holds more than its rule allows, or holds enough without it.
    pub(super) fn excess(&self, wall_us: u64) -> Option<&Sealed> {
        let oldest = self.sealed.front()?;
        let over = self.bytes() > self.bytes_max
            || self
                .count_max
                .is_some_and(|count| self.records() - oldest.records >= count)
            || self
                .age_us_max
                .is_some_and(|age| wall_us.saturating_sub(oldest.last_us) >= age);
        over.then_some(oldest)
    }

    /// The oldest sealed segment leaves.
    pub(super) fn pop_sealed(&mut self) -> Option<Sealed> {
        let gone = self.sealed.pop_front()?;
        self.bytes -= u64::from(gone.bytes);
        self.records -= gone.records;
        self.tail.forget_upto(gone.last);
        self.floor = gone.last;
        Some(gone)
    }
}

impl Active {
    /// Bytes it will have once all is written.
    pub(super) fn len(&self) -> u64 {
        u64::from(self.writer.len()) + self.batch.len() as u64
    }

    /// Takes a record into the batch, for which there is room.
    pub(super) fn push(&mut self, topic: TopicId, entry: &EntryRef<'_>, known: Known<'_>) {
        let begins = self.batch.is_empty();
        let at = self.writer.len() + self.batch.push(entry);
        if begins {
            self.places.note_batch(entry.offset, self.writer.len());
        }
        self.places
            .note(topic, entry.offset, at, entry.ts_us, known);
    }

    fn write(&mut self) -> io::Result<u64> {
        if self.batch.is_empty() {
            return Ok(0);
        }
        let bytes = self.batch.finish();
        let written = bytes.len() as u64;
        self.writer.append(bytes)?;
        self.batch.clear();
        Ok(written)
    }
}
