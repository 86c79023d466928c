//! What is whole in a segment that nobody sealed, and what is not.
//!
//! Owns the way through a file whose end may be torn and whose middle may be damaged. Must not contain: what becomes of it. Driven by the
//! log when it opens its folder, and by the tools.
//!
//! Every record that checks is shown, also of a damaged batch. What does not check is damage if something whole follows it, and torn if
//! nothing does: it is cut off. Torn is either the last write of a process that was killed in it, of which nobody was told: the file ends
//! within a batch, and what there is of that is right. Or something else is wrong, and it may have been whole before.
use super::format::{
    BATCH_HEAD_BYTES, RECORD_BYTES_MAX, SEGMENT_HEAD_BYTES, is_batch_head, is_begun_head,
    read_batch_head, read_record, record_bytes,
};
use super::segment::read_at;
use pubsub_stream::hub::EntryRef;
use rustix::fs::{fdatasync, ftruncate};
use std::fs::File;
use std::io;

/// What is read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// A damaged part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Its first byte in the file.
    pub from_at: u32,
    /// The first byte behind it.
    pub to_at: u32,
    /// Offset of the last record before it; one less than the segment's base if there is none.
    pub after: i64,
    /// Offset of the first record behind it.
    pub before: i64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Records shown.
    pub records: u64,
    /// Offset of the last; one less than the base if there is none.
    pub last: i64,
    /// What is damaged.
    pub holes: Vec<Hole>,
    /// Everything from this byte on is torn, or nothing is.
    pub end: u32,
    /// Length of the file.
    pub length: u32,
    /// What is torn is the beginning of a write: the file ends before its batch does, and nothing else is wrong with that.
    pub is_unfinished: bool,
}

/// One record of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Its first byte.
    pub at: u32,
    /// The first byte of its batch, if it is the first record shown of it.
    pub batch: Option<u32>,
    /// It.
    pub entry: EntryRef<'a>,
}

/// Reads the segment with this base through.
pub fn scan(file: &File, base: i64, visit: &mut dyn FnMut(&Shown<'_>)) -> io::Result<Found> {
    let length = file.metadata()?.len();
    let length = u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut walk = Walk {
        block: Block {
            file,
            length,
            begin: 0,
            bytes: Vec::new(),
        },
        found: Found {
            records: 0,
            last: base - 1,
            holes: Vec::new(),
            end: length.min(SEGMENT_HEAD_BYTES as u32),
            length,
            is_unfinished: false,
        },
        batch: None,
        batch_end: SEGMENT_HEAD_BYTES as u32,
    };
    let mut at = walk.found.end;
    while at < length {
        at = match walk.step(at, visit)? {
            Some(next) => next,
            None => walk.next_whole(at)?.unwrap_or(length),
        };
    }
    walk.found.is_unfinished = walk.ends_in_a_write()?;
    Ok(walk.found)
}

/// Cuts a segment off at this byte, and has that last.
pub fn cut(file: &File, at: u32) -> io::Result<()> {
    ftruncate(file, at.into())?;
    Ok(fdatasync(file)?)
}

struct Walk<'a> {
    block: Block<'a>,
    found: Found,
    /// Where the batch begins that no record was shown of yet.
    batch: Option<u32>,
    /// The first byte behind the last batch that has a whole head, by that.
    batch_end: u32,
}

impl Walk<'_> {
    /// Goes past the head or the record at this byte; `None`: there is no whole one.
    fn step(&mut self, at: u32, visit: &mut dyn FnMut(&Shown<'_>)) -> io::Result<Option<u32>> {
        let bytes = self.block.from(at, BATCH_HEAD_BYTES)?;
        if is_batch_head(bytes) {
            self.batch = Some(at);
            let Ok(head) = read_batch_head(bytes) else {
                return Ok(None);
            };
            let begin = at + BATCH_HEAD_BYTES as u32;
            self.batch_end = begin.saturating_add(head.bytes);
            return Ok(Some(begin));
        }
        let Some(length) = record_bytes(bytes) else {
            return Ok(None);
        };
        let bytes = self.block.from(at, length)?;
        let Ok((entry, _)) = read_record(bytes) else {
            return Ok(None);
        };
        if entry.offset <= self.found.last {
            return Ok(None);
        }
        if is_hole(&self.found, self.batch, at) {
            self.found.holes.push(Hole {
                from_at: self.found.end,
                to_at: self.batch.unwrap_or(at),
                after: self.found.last,
                before: entry.offset,
            });
        }
        self.found.last = entry.offset;
        self.found.records += 1;
        self.found.end = at + length as u32;
        visit(&Shown {
            at,
            batch: self.batch.take(),
            entry,
        });
        Ok(Some(at + length as u32))
    }

    /// The next byte behind a damaged one from which there is something whole: the record behind it, if its length is what it was, or a
    /// batch.
    fn next_whole(&mut self, at: u32) -> io::Result<Option<u32>> {
        self.batch = None;
        let behind = record_bytes(self.block.from(at, 4)?);
        if let Some(next) = behind.and_then(|bytes| at.checked_add(bytes as u32))
            && self.is_record(next)?
        {
            return Ok(Some(next));
        }
        let mut at = at + 1;
        while at < self.block.length {
            let bytes = self.block.from(at, BATCH_HEAD_BYTES)?;
            let place = (0..bytes.len()).find(|&begin| is_batch_head(&bytes[begin..]));
            let Some(place) = place else {
                // A head may begin in the last bytes of this block.
                at += (bytes.len().saturating_sub(3)).max(1) as u32;
                continue;
            };
            at += place as u32;
            if read_batch_head(self.block.from(at, BATCH_HEAD_BYTES)?).is_ok() {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }

    /// Whether the file ends within a batch of which all there is is right, but not whole.
    fn ends_in_a_write(&mut self) -> io::Result<bool> {
        let (end, length) = (self.found.end, self.block.length);
        let rest = self.block.from(end, BATCH_HEAD_BYTES)?;
        if rest.is_empty() {
            return Ok(false);
        }
        if self.batch_end <= length {
            // Nothing of a batch that goes on: at most the beginning of a head.
            let is_begun = rest.len() < BATCH_HEAD_BYTES && is_begun_head(rest);
            return Ok(end == self.batch_end && is_begun);
        }
        let begin = if is_batch_head(rest) {
            end + BATCH_HEAD_BYTES as u32
        } else {
            end
        };
        let rest = self.block.from(begin, 4)?;
        let goes_beyond = |bytes| u64::from(begin) + bytes as u64 > u64::from(length);
        Ok(rest.len() < 4 || record_bytes(rest).is_some_and(goes_beyond))
    }

    fn is_record(&mut self, at: u32) -> io::Result<bool> {
        if at >= self.block.length {
            return Ok(false);
        }
        let bytes = self.block.from(at, 4)?;
        if is_batch_head(bytes) {
            return Ok(read_batch_head(self.block.from(at, BATCH_HEAD_BYTES)?).is_ok());
        }
        let Some(length) = record_bytes(bytes) else {
            return Ok(false);
        };
        let last = self.found.last;
        let bytes = self.block.from(at, length)?;
        Ok(read_record(bytes).is_ok_and(|(entry, _)| entry.offset > last))
    }
}

/// Whether there is more than a batch's head between what was whole so far and the record at this byte.
fn is_hole(found: &Found, batch: Option<u32>, at: u32) -> bool {
    let behind_head = batch == Some(found.end) && at == found.end + BATCH_HEAD_BYTES as u32;
    at > found.end && !behind_head
}

/// The part of a file that was read last.
struct Block<'a> {
    file: &'a File,
    length: u32,
    begin: u32,
    bytes: Vec<u8>,
}

impl Block<'_> {
    /// The bytes from `at` on: at least so many, unless the file ends before.
    fn from(&mut self, at: u32, wanted: usize) -> io::Result<&[u8]> {
        let there = (self.length.saturating_sub(at)) as usize;
        let wanted = wanted.min(RECORD_BYTES_MAX + 4).min(there);
        let place = at.checked_sub(self.begin).map(|place| place as usize);
        let has = place.and_then(|place| self.bytes.len().checked_sub(place));
        if has.is_none_or(|has| has < wanted) {
            read_at(
                self.file,
                at.into(),
                wanted.max(BLOCK_BYTES).min(there),
                &mut self.bytes,
            )?;
            self.begin = at;
        }
        Ok(&self.bytes[(at - self.begin) as usize..])
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{BatchWriter, SegmentHead, write_segment_head};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::fs;

    const BASE: i64 = 100;

    /// A segment with batches of so many records, each record with so many bytes; where each begins.
    fn segment(batches: &[Vec<usize>]) -> (Vec<u8>, Vec<u32>) {
        let mut bytes = write_segment_head(&SegmentHead {
            base: BASE,
            before: 0,
            boot: [0; 16],
            created_us: 0,
        })
        .to_vec();
        let (mut begins, mut offset) = (Vec::new(), BASE);
        for batch in batches {
            let mut writer = BatchWriter::default();
            for &length in batch {
                let data = vec![b'0' + (offset % 10) as u8; length];
                let entry = EntryRef {
                    offset,
                    ts_us: 1,
                    mono_ns: 2,
                    topic: "a.b",
                    key: None,
                    data: &data,
                };
                begins.push(bytes.len() as u32 + writer.push(&entry));
                offset += 1;
            }
            bytes.extend_from_slice(writer.finish());
        }
        (bytes, begins)
    }

    /// What is found in a file of these bytes, and the offsets shown with where they are.
    fn found(bytes: &[u8]) -> (Found, Vec<(i64, u32)>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, bytes).unwrap();
        let mut shown = Vec::new();
        let found = scan(&File::open(&path).unwrap(), BASE, &mut |record| {
            assert!(
                record
                    .entry
                    .data
                    .iter()
                    .all(|&b| b == b'0' + (record.entry.offset % 10) as u8)
            );
            shown.push((record.entry.offset, record.at));
        });
        (found.unwrap(), shown)
    }

    fn batches() -> impl Strategy<Value = Vec<Vec<usize>>> {
        vec(vec(0usize..300, 1..6), 1..8)
    }

    proptest! {
        #[test]
        fn what_is_whole_is_found_whole(batches in batches()) {
            let (bytes, begins) = segment(&batches);
            let (found, shown) = found(&bytes);
            let expected: Vec<(i64, u32)> = (BASE..).zip(begins).collect();
            prop_assert_eq!(shown, expected);
            prop_assert_eq!((found.end as usize, found.holes.len()), (bytes.len(), 0));
            prop_assert!(!found.is_unfinished);
        }

        #[test]
        fn of_a_cut_file_everything_before_the_cut_is_found(batches in batches(), place in 0.0..1.0f64) {
            let (mut bytes, begins) = segment(&batches);
            let cut = SEGMENT_HEAD_BYTES + (place * (bytes.len() - SEGMENT_HEAD_BYTES) as f64) as usize;
            let ends: Vec<usize> = begins.iter().map(|&at| at as usize + read_record(&bytes[at as usize..]).unwrap().1).collect();
            bytes.truncate(cut);
            let (found, shown) = found(&bytes);
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            prop_assert_eq!(shown.len(), whole);
            prop_assert!(found.holes.is_empty());
            prop_assert_eq!(found.end as usize, ends[..whole].last().copied().unwrap_or(SEGMENT_HEAD_BYTES));
            prop_assert_eq!(found.is_unfinished, (found.end as usize) < cut);
        }

        #[test]
        fn of_a_damaged_file_what_is_not_shown_is_in_a_hole_or_torn(
            batches in batches(),
            place in 0.0..1.0f64,
            flips in vec(1u8.., 1..100),
        ) {
            let (mut bytes, begins) = segment(&batches);
            let whole = bytes.clone();
            let at = SEGMENT_HEAD_BYTES + (place * (bytes.len() - SEGMENT_HEAD_BYTES) as f64) as usize;
            for (byte, by) in bytes[at..].iter_mut().zip(&flips) {
                *byte ^= by;
            }
            let touched = at..at + flips.len();
            let (found, shown) = found(&bytes);
            prop_assert!(!found.is_unfinished, "a whole file with damage is no write that was cut short");
            for (offset, begin) in (BASE..).zip(begins) {
                let length = read_record(&whole[begin as usize..]).unwrap().1;
                let is_touched = (begin as usize) < touched.end && begin as usize + length > touched.start;
                let is_shown = shown.contains(&(offset, begin));
                let in_hole = found.holes.iter().any(|hole| hole.after < offset && offset < hole.before);
                let is_torn = offset > found.last;
                prop_assert!(!is_shown || !is_touched, "a damaged record was shown");
                prop_assert!(is_shown || in_hole || is_torn, "a record is missing, and nobody says so");
                prop_assert!(!(is_shown && (in_hole || is_torn)));
                let before_all = begin as usize + length <= touched.start;
                prop_assert!(is_shown || !before_all, "what lies before the damage is lost");
            }
        }
    }
}
