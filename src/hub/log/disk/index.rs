//! The index of a sealed segment: where its records are, by topic and by offset.
//!
//! ```text
//! head (96 bytes)   magic "PSIX" · version u32 · base i64 · last i64 · first_us u64 · last_us u64 · records u64 · bytes of the segment
//!                   u32 · topics u32 · four sections, each: begin u32, crc u32 · end of the file u32 · zeros · crc u32
//! sparse            places (8 bytes) at which batches begin, one for every 64 KiB
//! keys              for each topic: hash of its name u64 · where its row is, from the begin of the rows, u32; by hash
//! rows              for each topic: ordinal u64 · before i64 · first i64 · last i64 · count u32 · postings u32 · crc u32 of those ·
//!                   bytes of the name u16 · name · crc u32 of the row
//! postings          for each topic the places of its records, in order
//! place             offset less base u32 · byte of the segment u32
//! ```
//!
//! A topic's `ordinal` is how many entries it had in the log before this segment, `before` the newest offset of those (0 for none), `first`
//! the offset of its first ever: so the number of its entries between any two positions is a difference, however many segments lie between.
//!
//! Owns these bytes, and reads of the file no more than is asked for. Must not contain: segments. Written by the thread beside the log;
//! read by the log, the recovery and the tools. What is read is believed in nothing.
use super::format::{Fault, i64_at, u16_at, u32_at, u64_at};
use super::segment::read_at;
use std::fs::File;
use std::io;
use std::path::Path;

/// Version of an index. An index of another one is made anew from its segment.
const VERSION: u32 = 1;
const MAGIC: [u8; 4] = *b"PSIX";
const HEAD_BYTES: usize = 96;
const PLACE_BYTES: usize = 8;
const KEY_BYTES: usize = 12;
/// Bytes of a row before the name, and behind it.
const ROW_BYTES: usize = 46;
const CRC_BYTES: usize = 4;
/// What is read at once when all rows are.
const BLOCK_BYTES: usize = 256 << 10;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its offset less the segment's base.
    pub delta: u32,
    /// Its first byte in the segment.
    pub at: u32,
}

/// Why an index is of no use.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    /// It isn't what was written.
    #[error("it is damaged: {0}")]
    Damaged(#[from] Fault),
}

/// What an index says of its segment as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexHead {
    /// The segment's first offset.
    pub base: i64,
    /// Its last offset.
    pub last: i64,
    /// When its first record was numbered, microseconds since the Unix epoch.
    pub first_us: u64,
    /// When its last record was.
    pub last_us: u64,
    /// How many records it has.
    pub records: u64,
    /// How many of its bytes hold them.
    pub bytes: u32,
    topics: u32,
    sections: [Section; 4],
    end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Section {
    begin: u32,
    crc: u32,
}

const SPARSE: usize = 0;
const KEYS: usize = 1;
const ROWS: usize = 2;
const POSTINGS: usize = 3;

/// What an index says of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How many entries it had before.
    pub ordinal: u64,
    /// Offset of the newest one of those; 0 when there was none.
    pub before: i64,
    /// Offset of its first ever.
    pub first: i64,
    /// Offset of its last one here.
    pub last: i64,
    /// How many it has here.
    pub count: u32,
    postings: u32,
    crc: u32,
    /// Its name.
    pub name: Box<str>,
}

/// Collects what an index says.
#[derive(Debug)]
pub struct IndexBuilder {
    base: i64,
    sparse: Vec<u8>,
    keys: Vec<(u64, u32)>,
    rows: Vec<u8>,
    postings: Vec<u8>,
}

impl IndexBuilder {
    /// Of the segment with this base.
    pub fn new(base: i64) -> Self {
        Self {
            base,
            sparse: Vec::new(),
            keys: Vec::new(),
            rows: Vec::new(),
            postings: Vec::new(),
        }
    }

    /// A batch begins here; those before it began before.
    pub fn note_batch(&mut self, place: Place) {
        put_place(&mut self.sparse, place);
    }

    /// A topic, and its records here in order; one without any is none.
    pub fn topic(&mut self, name: &str, ordinal: u64, before: i64, first: i64, places: &[Place]) {
        let Some(last) = places.last() else {
            return;
        };
        let (row, postings) = (self.rows.len(), self.postings.len());
        self.keys.push((hash(name), row as u32));
        for place in places {
            put_place(&mut self.postings, *place);
        }
        let out = &mut self.rows;
        out.extend_from_slice(&ordinal.to_le_bytes());
        out.extend_from_slice(&before.to_le_bytes());
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&(self.base + i64::from(last.delta)).to_le_bytes());
        out.extend_from_slice(&(places.len() as u32).to_le_bytes());
        out.extend_from_slice(&(postings as u32).to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&self.postings[postings..]).to_le_bytes());
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        let crc = crc32c::crc32c(&out[row..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// The bytes of the index, of a segment that ends with this offset, has so many records in so many bytes, the first and last of them
    /// numbered then.
    pub fn encode(
        mut self,
        last: i64,
        records: u64,
        bytes: u32,
        (first_us, last_us): (u64, u64),
    ) -> Vec<u8> {
        self.keys.sort_unstable();
        let topics = self.keys.len() as u32;
        let mut keys = Vec::with_capacity(self.keys.len() * KEY_BYTES);
        for (hash, row) in self.keys {
            keys.extend_from_slice(&hash.to_le_bytes());
            keys.extend_from_slice(&row.to_le_bytes());
        }
        let mut out = Vec::with_capacity(
            HEAD_BYTES + self.sparse.len() + keys.len() + self.rows.len() + self.postings.len(),
        );
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
        out.extend_from_slice(&first_us.to_le_bytes());
        out.extend_from_slice(&last_us.to_le_bytes());
        out.extend_from_slice(&records.to_le_bytes());
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(&topics.to_le_bytes());
        let mut begin = HEAD_BYTES as u32;
        let sections = [&self.sparse, &keys, &self.rows, &self.postings];
        for section in sections {
            out.extend_from_slice(&begin.to_le_bytes());
            out.extend_from_slice(&crc32c::crc32c(section).to_le_bytes());
            begin += section.len() as u32;
        }
        out.extend_from_slice(&begin.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(out.len(), HEAD_BYTES);
        for section in sections {
            out.extend_from_slice(section);
        }
        out
    }
}

/// An index in its file.
#[derive(Debug)]
pub struct IndexFile {
    file: File,
    head: IndexHead,
}

impl IndexFile {
    /// Opens it, and looks at its head alone.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut bytes = Vec::new();
        read_at(&file, 0, HEAD_BYTES, &mut bytes)?;
        let head = read_head(&bytes)?;
        if u64::from(head.end) != length {
            return Err(Fault::Short {
                needed: head.end as usize,
            }
            .into());
        }
        Ok(Self { file, head })
    }

    /// What it says of the segment.
    pub fn head(&self) -> &IndexHead {
        &self.head
    }

    /// Where batches begin.
    pub fn sparse(&self) -> Result<Vec<Place>, IndexError> {
        let bytes = self.section(SPARSE)?;
        Ok(bytes.chunks_exact(PLACE_BYTES).map(place).collect())
    }

    /// What it takes to find a topic.
    pub fn directory(&self) -> Result<Directory, IndexError> {
        let bytes = self.section(KEYS)?;
        let key = |bytes: &[u8]| (u64_at(bytes, 0), u32_at(bytes, 8));
        let keys = bytes.chunks_exact(KEY_BYTES).map(key).collect();
        Ok(Directory { keys })
    }

    /// Shows every topic's row.
    pub fn rows(&self, visit: &mut dyn FnMut(&Row)) -> Result<(), IndexError> {
        let (begin, end) = self.bounds(ROWS);
        let (mut at, mut crc, mut block) = (begin, 0, Vec::new());
        for _ in 0..self.head.topics {
            let (row, length) = loop {
                match read_row(&block) {
                    Ok(found) => break found,
                    Err(Fault::Short { needed }) if needed > block.len() && at < end => {
                        let mut more = Vec::new();
                        let bytes = (end - at).min(BLOCK_BYTES.max(needed) as u32);
                        read_at(&self.file, at.into(), bytes as usize, &mut more)?;
                        if more.is_empty() {
                            return Err(Fault::Short { needed }.into());
                        }
                        crc = crc32c::crc32c_append(crc, &more);
                        at += more.len() as u32;
                        block.extend_from_slice(&more);
                    }
                    Err(fault) => return Err(fault.into()),
                }
            };
            visit(&row);
            block.drain(..length);
        }
        if crc != self.head.sections[ROWS].crc || at != end {
            return Err(Fault::Crc.into());
        }
        Ok(())
    }

    /// Where a topic's records are.
    pub fn postings(&self, row: &Row) -> Result<Vec<Place>, IndexError> {
        let (begin, end) = self.bounds(POSTINGS);
        let (from, bytes) = (begin + row.postings, row.count as usize * PLACE_BYTES);
        if row.postings as usize + bytes > (end - begin) as usize {
            return Err(Fault::Shape.into());
        }
        let mut out = Vec::new();
        read_at(&self.file, from.into(), bytes, &mut out)?;
        if out.len() != bytes || crc32c::crc32c(&out) != row.crc {
            return Err(Fault::Crc.into());
        }
        Ok(out.chunks_exact(PLACE_BYTES).map(place).collect())
    }

    /// Reads all of it; what a tool that looks for damage wants to know.
    pub fn verify(&self) -> Result<(), IndexError> {
        for section in [SPARSE, KEYS, ROWS, POSTINGS] {
            self.section(section)?;
        }
        Ok(())
    }

    fn bounds(&self, section: usize) -> (u32, u32) {
        let begin = self.head.sections[section].begin;
        let next = self.head.sections.get(section + 1);
        (begin, next.map_or(self.head.end, |next| next.begin))
    }

    fn section(&self, section: usize) -> Result<Vec<u8>, IndexError> {
        let (begin, end) = self.bounds(section);
        let mut bytes = Vec::new();
        read_at(&self.file, begin.into(), (end - begin) as usize, &mut bytes)?;
        if bytes.len() != (end - begin) as usize
            || crc32c::crc32c(&bytes) != self.head.sections[section].crc
        {
            return Err(Fault::Crc.into());
        }
        Ok(bytes)
    }
}

/// What it takes to find a topic in an index.
#[derive(Debug)]
pub struct Directory {
    keys: Vec<(u64, u32)>,
}

impl Directory {
    /// The row of a topic in the index that this is of.
    pub fn find(&self, name: &str, index: &IndexFile) -> Result<Option<Row>, IndexError> {
        let hash = hash(name);
        let first = self.keys.partition_point(|(other, _)| *other < hash);
        let same = self.keys[first..]
            .iter()
            .take_while(|(other, _)| *other == hash);
        let (begin, end) = index.bounds(ROWS);
        let mut bytes = Vec::new();
        for (_, row) in same {
            let left = (end - begin).checked_sub(*row).ok_or(Fault::Shape)?;
            let mut length = (ROW_BYTES + name.len() + CRC_BYTES).min(left as usize);
            let found = loop {
                let at = u64::from(begin) + u64::from(*row);
                read_at(&index.file, at, length, &mut bytes)?;
                match read_row(&bytes) {
                    // Another one of the same hash, with a longer name: if its check says so, too.
                    Err(Fault::Short { needed }) if needed > length && needed <= left as usize => {
                        length = needed;
                    }
                    read => break read?.0,
                }
            };
            if &*found.name == name {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn read_head(bytes: &[u8]) -> Result<IndexHead, Fault> {
    let head = bytes
        .get(..HEAD_BYTES)
        .ok_or(Fault::Short { needed: HEAD_BYTES })?;
    if !head.starts_with(&MAGIC) {
        return Err(Fault::Shape);
    }
    if crc32c::crc32c(&head[..HEAD_BYTES - 4]) != u32_at(head, HEAD_BYTES - 4) {
        return Err(Fault::Crc);
    }
    if u32_at(head, 4) != VERSION {
        return Err(Fault::Version(u32_at(head, 4)));
    }
    let section = |number: usize| Section {
        begin: u32_at(head, 56 + 8 * number),
        crc: u32_at(head, 60 + 8 * number),
    };
    let sections = [section(0), section(1), section(2), section(3)];
    let end = u32_at(head, 88);
    let rises = sections
        .windows(2)
        .all(|pair| pair[0].begin <= pair[1].begin);
    if !rises || sections[POSTINGS].begin > end {
        return Err(Fault::Shape);
    }
    Ok(IndexHead {
        base: i64_at(head, 8),
        last: i64_at(head, 16),
        first_us: u64_at(head, 24),
        last_us: u64_at(head, 32),
        records: u64_at(head, 40),
        bytes: u32_at(head, 48),
        topics: u32_at(head, 52),
        sections,
        end,
    })
}

fn read_row(bytes: &[u8]) -> Result<(Row, usize), Fault> {
    if bytes.len() < ROW_BYTES {
        return Err(Fault::Short { needed: ROW_BYTES });
    }
    let name = ROW_BYTES..ROW_BYTES + usize::from(u16_at(bytes, ROW_BYTES - 2));
    let whole = name.end + CRC_BYTES;
    let bytes = bytes.get(..whole).ok_or(Fault::Short { needed: whole })?;
    if crc32c::crc32c(&bytes[..name.end]) != u32_at(bytes, name.end) {
        return Err(Fault::Crc);
    }
    let row = Row {
        ordinal: u64_at(bytes, 0),
        before: i64_at(bytes, 8),
        first: i64_at(bytes, 16),
        last: i64_at(bytes, 24),
        count: u32_at(bytes, 32),
        postings: u32_at(bytes, 36),
        crc: u32_at(bytes, 40),
        name: str::from_utf8(&bytes[name])
            .map_err(|_| Fault::Shape)?
            .into(),
    };
    Ok((row, whole))
}

fn put_place(out: &mut Vec<u8>, place: Place) {
    out.extend_from_slice(&place.delta.to_le_bytes());
    out.extend_from_slice(&place.at.to_le_bytes());
}

fn place(bytes: &[u8]) -> Place {
    Place {
        delta: u32_at(bytes, 0),
        at: u32_at(bytes, 4),
    }
}

/// FNV-1a, 64 bits: the same in every build and on every machine.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::fs;

    /// Names, and what they have: ordinal, before, and steps from place to place.
    type Topics = BTreeMap<String, (u64, i64, Vec<(u32, u32)>)>;

    fn topics() -> impl Strategy<Value = Topics> {
        let steps = vec((1u32..50, 40u32..90), 1..20);
        btree_map("[a-zé.]{1,12}", (0u64..1000, 0i64..9, steps), 0..30)
    }

    fn places(steps: &[(u32, u32)]) -> Vec<Place> {
        let mut place = Place { delta: 0, at: 64 };
        let next = |step: &(u32, u32)| {
            place.delta += step.0;
            place.at += step.1;
            place
        };
        steps.iter().map(next).collect()
    }

    fn written(topics: &Topics) -> Vec<u8> {
        let mut builder = IndexBuilder::new(10);
        builder.note_batch(Place { delta: 0, at: 64 });
        builder.note_batch(Place {
            delta: 9,
            at: 70_000,
        });
        for (name, (ordinal, before, steps)) in topics {
            builder.topic(name, *ordinal, *before, before + 1, &places(steps));
        }
        builder.encode(2000, 7, 100_000, (3, 4))
    }

    proptest! {
        #[test]
        fn every_topic_is_found_with_what_it_has(topics in topics()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.idx");
            fs::write(&path, written(&topics)).unwrap();
            let index = IndexFile::open(&path).unwrap();
            index.verify().unwrap();
            let head = index.head();
            prop_assert_eq!((head.base, head.last, head.records, head.bytes), (10, 2000, 7, 100_000));
            prop_assert_eq!((head.first_us, head.last_us), (3, 4));
            prop_assert_eq!(index.sparse().unwrap().len(), 2);
            let directory = index.directory().unwrap();
            for (name, (ordinal, before, steps)) in &topics {
                let row = directory.find(name, &index).unwrap().expect("a row");
                prop_assert_eq!((row.ordinal, row.before, row.first), (*ordinal, *before, before + 1));
                prop_assert_eq!(index.postings(&row).unwrap(), places(steps));
            }
            prop_assert_eq!(directory.find("A", &index).unwrap(), None);
            let mut names = Vec::new();
            index.rows(&mut |row| names.push(row.name.to_string())).unwrap();
            prop_assert_eq!(names, topics.keys().cloned().collect::<Vec<_>>());
        }

        #[test]
        fn a_changed_byte_is_noticed_and_nothing_panics(topics in topics(), place in 0.0..1.0f64, by in 1u8..) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.idx");
            let mut bytes = written(&topics);
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] ^= by;
            fs::write(&path, bytes).unwrap();
            let Ok(index) = IndexFile::open(&path) else {
                return Ok(());
            };
            prop_assert!(index.verify().is_err());
            let _ = (index.sparse(), index.rows(&mut |_| {}));
            if let Ok(directory) = index.directory() {
                for name in topics.keys() {
                    if let Ok(Some(row)) = directory.find(name, &index) {
                        let _ = index.postings(&row);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_whose_length_is_damaged_is_not_taken_for_that_of_another_topic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.idx");
        let topics = Topics::from([("a".to_owned(), (0, 0, vec![(1, 40)]))]);
        let mut bytes = written(&topics);
        fs::write(&path, &bytes).unwrap();
        let (rows, _) = IndexFile::open(&path).unwrap().bounds(ROWS);
        bytes[rows as usize + ROW_BYTES - 2] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let index = IndexFile::open(&path).unwrap();
        assert!(index.directory().unwrap().find("a", &index).is_err());
    }

    #[test]
    fn one_that_was_cut_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.idx");
        let mut bytes = written(&Topics::new());
        bytes.pop();
        fs::write(&path, bytes).unwrap();
        assert!(IndexFile::open(&path).is_err());
    }
}
