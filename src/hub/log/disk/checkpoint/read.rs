//! A checkpoint on its way out of its file.
//!
//! Owns the belief in nothing that stands there. Must not contain: what becomes of it. Driven by whoever restores from it, a batch at a time.
use super::{OF_ACCEPTED, OF_END, OF_ORDER};
use crate::hub::log::checkpoint::{Recall, Recalled, Saved};
use crate::hub::log::disk::format::{
    self, BATCH_HEAD_BYTES, RECORD_BYTES_MAX, SEGMENT_HEAD_BYTES, read_batch_head,
};
use pubsub_stream::hub::EntryRef;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How times become stamps on the monotonic clock of this run of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Stamps {
    /// What is added to a wall clock's nanoseconds.
    pub(in super::super) mono_less_wall_ns: i64,
}

impl Stamps {
    /// When that was; it may be before this run began.
    pub(in super::super) fn mono_ns(self, ts_us: u64) -> u64 {
        let wall_ns = i64::try_from(ts_us.saturating_mul(1000)).unwrap_or(i64::MAX);
        u64::try_from(wall_ns.saturating_add(self.mono_less_wall_ns)).unwrap_or(0)
    }
}

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Reader {
    file: File,
    bytes: u64,
    position: i64,
    /// Its monotonic stamps are of another run of the machine.
    is_foreign: bool,
    stamps: Stamps,
    /// Shown so far.
    records: u64,
    /// Offset of the newest value that was shown last.
    last: i64,
    batch: Vec<u8>,
}

impl Reader {
    /// Opens the one of this position.
    pub(super) fn open(
        path: &Path,
        position: i64,
        boot: [u8; 16],
        stamps: Stamps,
    ) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut bytes = [0; SEGMENT_HEAD_BYTES];
        file.read_exact(&mut bytes)?;
        let head = format::read_checkpoint_head(&bytes).map_err(io::Error::other)?;
        if head.base != position {
            return Err(io::Error::other(
                "it is of another position than its name says",
            ));
        }
        Ok(Self {
            bytes: file.metadata()?.len(),
            file,
            position,
            is_foreign: head.boot != boot,
            stamps,
            records: 0,
            last: 0,
            batch: Vec::new(),
        })
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads all of it: how many records there are, `None` where it is damaged.
    pub(super) fn through(&mut self) -> Option<u64> {
        loop {
            match self.read_some(&mut |_| {}) {
                Recalled::Some => {}
                Recalled::All(_) => return Some(self.records),
                Recalled::Damaged => return None,
            }
        }
    }

    /// Shows the next batch; `None`: it is none that was written.
    fn next_batch(&mut self, visit: &mut dyn FnMut(Saved<'_>)) -> Option<Recalled> {
        let mut batch = std::mem::take(&mut self.batch);
        let shown = self
            .fill(&mut batch)
            .and_then(|()| self.show(&batch, visit));
        self.batch = batch;
        shown
    }

    fn fill(&mut self, batch: &mut Vec<u8>) -> Option<()> {
        let mut head = [0; BATCH_HEAD_BYTES];
        self.file.read_exact(&mut head).ok()?;
        let bytes = read_batch_head(&head).ok()?.bytes as usize;
        if bytes > 2 * RECORD_BYTES_MAX {
            return None;
        }
        batch.resize(bytes, 0);
        self.file.read_exact(batch).ok()
    }

    fn show(&mut self, mut batch: &[u8], visit: &mut dyn FnMut(Saved<'_>)) -> Option<Recalled> {
        while !batch.is_empty() {
            let (record, length) = format::read_record(batch).ok()?;
            batch = &batch[length..];
            let saved = match record.offset {
                OF_ORDER => Saved::Order {
                    told: record.data,
                    accepted_us: record.ts_us,
                },
                OF_ACCEPTED => Saved::Accepted(record.ts_us),
                OF_END if record.ts_us == self.records && batch.is_empty() => {
                    return Some(Recalled::All(self.position));
                }
                offset if offset > self.last && offset <= self.position => {
                    self.last = offset;
                    Saved::Newest(self.stamped(record))
                }
                _ => return None,
            };
            self.records += 1;
            visit(saved);
        }
        Some(Recalled::Some)
    }

    fn stamped<'a>(&self, entry: EntryRef<'a>) -> EntryRef<'a> {
        if !self.is_foreign {
            return entry;
        }
        EntryRef {
            mono_ns: self.stamps.mono_ns(entry.ts_us),
            ..entry
        }
    }
}

impl Recall for Reader {
    fn read_some(&mut self, visit: &mut dyn FnMut(Saved<'_>)) -> Recalled {
        self.next_batch(visit).unwrap_or(Recalled::Damaged)
    }
}
