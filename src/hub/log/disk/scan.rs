//! A walk over the entries of one class, in order: through its files, and from where its tail begins through that.
//!
//! Owns the reading of blocks, and what is done about damage: it is stepped over, and said. Must not contain: other classes, or which
//! entries are wanted. Driven by the log's reads.
use super::super::Held;
use super::class::{Class, Spot};
use super::format::{
    BATCH_HEAD_BYTES, Fault, SEGMENT_HEAD_BYTES, is_batch_head, read_batch_head, read_record,
    record_bytes,
};
use super::segment::read_at;
use pubsub_stream::hub::EntryRef;
use std::ops::Range;

/// What is read of a file at once: enough to make the call pay, and not much more than one slice of history takes.
const BLOCK_BYTES: usize = 64 << 10;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// An entry with this offset.
    Entry(i64),
    /// What there was in this range of offsets can't be read; first and last.
    Hole(i64, i64),
    /// Nothing.
    End,
}

impl Next {
    /// The offset by which it is ordered.
    pub(super) fn offset(self) -> Option<i64> {
        match self {
            Self::Entry(offset) | Self::Hole(offset, _) => Some(offset),
            Self::End => None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    class: &'a Class,
    state: State,
    /// Everything up to here has been passed.
    position: i64,
    block: Vec<u8>,
    /// Byte of the file at which the block begins.
    block_at: u32,
    /// Bytes read so far.
    read_bytes: u64,
    next: Option<Next>,
    /// The next entry's place in the block.
    found: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    File(Spot),
    Tail(usize),
}

/// One entry of a walk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown<'a> {
    /// It is in memory.
    Held(&'a Held),
    /// It was read from a segment; its monotonic stamp is of another run of the machine or not.
    Record(EntryRef<'a>, Origin),
}

/// Of which run of the machine an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This one.
    Here,
    /// Another one.
    Foreign,
}

impl<'a> Scan<'a> {
    /// After `position`; `spot` is where its reading goes on, if that is known. `block` is overwritten.
    pub(super) fn new(class: &'a Class, position: i64, spot: Option<Spot>, block: Vec<u8>) -> Self {
        let state = if class.tail.has_all_after(position) {
            State::Tail(class.tail.after(position))
        } else {
            State::File(spot.unwrap_or_else(|| find(class, position)))
        };
        let mut scan = Self {
            class,
            state,
            position,
            block,
            block_at: 0,
            read_bytes: 0,
            next: None,
            found: 0..0,
        };
        scan.block.clear();
        scan
    }

    /// What comes next; it stays next until [`pass`](Self::pass).
    pub(super) fn peek(&mut self) -> Next {
        if let Some(next) = self.next {
            return next;
        }
        let next = loop {
            match self.state {
                State::Tail(place) => {
                    let held = self.class.tail.at(place);
                    break held.map_or(Next::End, |held| Next::Entry(held.offset));
                }
                State::File(_) if self.class.tail.has_all_after(self.position) => {
                    self.state = State::Tail(self.class.tail.after(self.position));
                }
                State::File(spot) => {
                    if let Some(next) = self.step(spot) {
                        break next;
                    }
                }
            }
        };
        self.next = Some(next);
        next
    }

    /// The entry that comes next.
    pub(super) fn shown(&self) -> Option<Shown<'_>> {
        match (self.next?, self.state) {
            (Next::Entry(_), State::Tail(place)) => self.class.tail.at(place).map(Shown::Held),
            (Next::Entry(_), State::File(spot)) => {
                let (entry, _) = read_record(&self.block[self.found.clone()]).ok()?;
                let foreign = self
                    .class
                    .sealed
                    .get(spot.segment)
                    .is_some_and(|s| s.is_foreign);
                let origin = if foreign {
                    Origin::Foreign
                } else {
                    Origin::Here
                };
                Some(Shown::Record(entry, origin))
            }
            _ => None,
        }
    }

    /// Goes past what comes next.
    pub(super) fn pass(&mut self) {
        match (self.next.take(), &mut self.state) {
            (Some(Next::Entry(offset)), State::Tail(place)) => {
                self.position = offset;
                *place += 1;
            }
            (Some(Next::Entry(offset)), State::File(spot)) => {
                self.position = offset;
                spot.at += self.found.len() as u32;
            }
            (Some(Next::Hole(_, upto)), _) => self.position = upto,
            (Some(Next::End) | None, _) => {}
        }
    }

    /// Where the reading of the files goes on, for a walk that begins after the entry that was passed last.
    pub(super) fn spot(&self) -> Option<Spot> {
        match (self.state, self.next) {
            // What can't be read must be met again.
            (State::Tail(_), _) | (_, Some(Next::Hole(..))) => None,
            (State::File(spot), _) => Some(spot),
        }
    }

    /// How many bytes of the files were read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Gives the buffer back.
    pub(super) fn into_block(self) -> Vec<u8> {
        self.block
    }

    /// Looks at what is at a spot of the files; `None`: the walk has gone on, look again.
    fn step(&mut self, spot: Spot) -> Option<Next> {
        let Some((_, last, length)) = self.class.extent(spot.segment) else {
            // What is behind the files is in the tail.
            self.state = State::Tail(self.class.tail.after(self.position));
            return None;
        };
        if spot.at >= length || last <= self.position {
            self.enter(spot.segment + 1);
            return None;
        }
        let outcome = match self.load(spot, length, 4) {
            Err(error) => Err(error),
            Ok(bytes) if is_batch_head(bytes) => self.step_head(spot, length),
            Ok(_) => self.step_record(spot, length),
        };
        outcome.unwrap_or_else(|Unreadable| self.step_over(spot, length))
    }

    /// A batch begins here.
    fn step_head(&mut self, spot: Spot, length: u32) -> Result<Option<Next>, Unreadable> {
        let bytes = self.load(spot, length, BATCH_HEAD_BYTES)?;
        read_batch_head(bytes).map_err(|_| Unreadable)?;
        self.state = State::File(Spot {
            at: spot.at + BATCH_HEAD_BYTES as u32,
            ..spot
        });
        Ok(None)
    }

    /// A record begins here.
    fn step_record(&mut self, spot: Spot, length: u32) -> Result<Option<Next>, Unreadable> {
        let (offset, bytes) = self.record(spot, length)?;
        if offset > self.position {
            let begin = (spot.at - self.block_at) as usize;
            self.found = begin..begin + bytes;
            return Ok(Some(Next::Entry(offset)));
        }
        self.state = State::File(Spot {
            at: spot.at + bytes as u32,
            ..spot
        });
        Ok(None)
    }

    /// Offset and length of the whole record that begins here.
    fn record(&mut self, spot: Spot, length: u32) -> Result<(i64, usize), Unreadable> {
        let mut wanted = 4;
        loop {
            let bytes = self.load(spot, length, wanted)?;
            match read_record(bytes) {
                Ok((entry, whole)) => return Ok((entry.offset, whole)),
                Err(Fault::Short { needed }) if needed > bytes.len() => wanted = needed,
                Err(_) => return Err(Unreadable),
            }
        }
    }

    /// What is at this spot can't be read: goes on with the next record that can, in this segment or behind it. `None`: nothing is
    /// missing after the position; look again.
    fn step_over(&mut self, spot: Spot, length: u32) -> Option<Next> {
        let first = self.position + 1;
        let mut at = self.record_behind(spot, length).unwrap_or(spot.at + 1);
        while at < length {
            let here = Spot { at, ..spot };
            if let Some((at, offset)) = self.record_at(here, length) {
                self.state = State::File(Spot { at, ..spot });
                return (offset > first).then_some(Next::Hole(first, offset - 1));
            }
            at = self.next_head(here, length);
        }
        self.enter(spot.segment + 1);
        let last = self
            .class
            .extent(spot.segment)
            .map_or(0, |(_, last, _)| last);
        (last >= first).then_some(Next::Hole(first, last))
    }

    /// Where the record behind a damaged one is, if its length is what it was and a whole one follows.
    fn record_behind(&mut self, spot: Spot, length: u32) -> Option<u32> {
        let bytes = self.load(spot, length, 4).ok()?;
        let at = spot
            .at
            .checked_add(u32::try_from(record_bytes(bytes)?).ok()?)?;
        let here = Spot { at, ..spot };
        (at < length && self.record_at(here, length).is_some()).then_some(at)
    }

    /// The whole record that begins here, or with the batch that begins here: where it is, and its offset.
    fn record_at(&mut self, spot: Spot, length: u32) -> Option<(u32, i64)> {
        let bytes = self.load(spot, length, 4).ok()?;
        let at = if is_batch_head(bytes) {
            let head = self.load(spot, length, BATCH_HEAD_BYTES).ok()?;
            read_batch_head(head).ok()?;
            spot.at + BATCH_HEAD_BYTES as u32
        } else {
            spot.at
        };
        let (offset, _) = self.record(Spot { at, ..spot }, length).ok()?;
        Some((at, offset))
    }

    /// The next byte at which a batch may begin.
    fn next_head(&mut self, spot: Spot, length: u32) -> u32 {
        let mut at = spot.at + 1;
        while at < length {
            let Ok(bytes) = self.load(Spot { at, ..spot }, length, BATCH_HEAD_BYTES) else {
                return length;
            };
            match (0..bytes.len().saturating_sub(3)).find(|&begin| is_batch_head(&bytes[begin..])) {
                Some(begin) => return at + begin as u32,
                None => at += (bytes.len().saturating_sub(3)).max(1) as u32,
            }
        }
        length
    }

    /// Goes on with another segment.
    fn enter(&mut self, segment: usize) {
        let at = self.class.scan_from(segment, self.position);
        self.state = State::File(Spot { segment, at });
        self.block.clear();
        self.block_at = 0;
    }

    /// The bytes from a spot on, at least so many of them, or what there is.
    fn load(&mut self, spot: Spot, length: u32, wanted: usize) -> Result<&[u8], Unreadable> {
        let there = (length - spot.at) as usize;
        if wanted > there {
            return Err(Unreadable);
        }
        let begin = spot
            .at
            .checked_sub(self.block_at)
            .map(|begin| begin as usize);
        let has = begin.and_then(|begin| self.block.len().checked_sub(begin));
        if has.is_none_or(|has| has < wanted) {
            let file = self.class.file(spot.segment).ok_or(Unreadable)?;
            let bytes = wanted.max(BLOCK_BYTES).min(there);
            read_at(file, u64::from(spot.at), bytes, &mut self.block).map_err(|_| Unreadable)?;
            self.block_at = spot.at;
            self.read_bytes += self.block.len() as u64;
        }
        // The file may be shorter than it was.
        let bytes = &self.block[(spot.at - self.block_at) as usize..];
        if bytes.len() < wanted {
            return Err(Unreadable);
        }
        Ok(bytes)
    }
}

/// There are no whole bytes at this place.
#[derive(Debug, Clone, Copy)]
struct Unreadable;

/// Where a walk over a class that begins after `position` begins.
fn find(class: &Class, position: i64) -> Spot {
    let segment = class.segment_after(position);
    Spot {
        segment,
        at: class.scan_from(segment, position),
    }
}

impl Class {
    /// The byte of a segment from which a walk finds everything after `position`.
    fn scan_from(&self, segment: usize, position: i64) -> u32 {
        let begin = SEGMENT_HEAD_BYTES as u32;
        let places = self
            .sparse(segment)
            .and_then(|sparse| sparse.scan_from(position));
        places.unwrap_or(begin).max(begin)
    }
}
