//! Checkpoints: files beside the segments, each written aside, synced and renamed, so that a name is only ever that of a whole one.
//!
//! Owns when it is time for one, and which are kept. Must not contain: what is kept in them. Driven by the log.
//!
//! A checkpoint is written anew each time, so it is made when the log has grown by many times what the last one was: that keeps what is
//! written for it a small part of all, and what is to be read after a start short. It is made sooner when retention waits for it: what no
//! checkpoint covers stays, so that a log holds more than its rules say by about what its checkpoint has. Where checkpoints fail, for want of
//! space, retention waits for none.
//!
//! A file is a head as that of a segment with a magic of its own and the position in the place of the base, then batches of records as in a
//! segment, whose offsets say what they are: those above 0 are newest values; 0 is an order, with the time of its acceptance; below are
//! numbers, in the place of a time: how many orders were accepted, and at the very end how many records there are.
mod read;
#[cfg(test)]
mod tests;
mod write;

use super::folder::make;
use super::format::SegmentHead;
use super::keeper::Wake;
use super::segment::number_of;
use crate::hub::log::Meters;
use pubsub_stream::Now;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use read::{Reader, Stamps};
pub(super) use write::Writer;

/// The log grows by at least so many bytes from one to the next, unless for a reason: they are read in a tenth of a second.
pub const GROWTH_BYTES: u64 = 64 << 20;

/// It grows by at least so many times what the last one has.
const GROWTH_TIMES: u64 = 16;

/// What is written a second at most for checkpoints that retention waits for in a log that hardly grows.
const EARLY_BYTES_PER_S: u64 = 8 << 20;

/// One that is damaged has one before it.
const KEPT: usize = 2;

/// Ends their names.
const EXTENSION: &str = "ckp";

const OF_ORDER: i64 = 0;
const OF_ACCEPTED: i64 = -1;
const OF_END: i64 = -2;

/// See the module.
pub(super) struct Checkpoints {
    folder: PathBuf,
    boot: [u8; 16],
    growth: u64,
    wake: Wake,
    /// Those that were found, the newest last, and not tried yet.
    found: Vec<(i64, PathBuf)>,
    /// Newest position that one covers.
    covered: i64,
    /// Bytes of the last one.
    bytes: u64,
    /// Bytes appended since the last one was begun.
    grown: u64,
    /// When that was.
    begun_ns: u64,
    /// Somebody fills them, and the last one did not fail: retention may wait for the next.
    are_made: bool,
    under_way: Option<(i64, Outcome)>,
    written: u64,
    failed: u64,
}

impl std::fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Checkpoints");
        shown.field("folder", &self.folder);
        shown
            .field("covered", &self.covered)
            .finish_non_exhaustive()
    }
}

/// Where the thread that writes one says what has become of it: its bytes.
type Outcome = Arc<Mutex<Option<io::Result<u64>>>>;

impl Checkpoints {
    /// Those of a log's folder. One of a position behind `head` is of another log, and goes.
    pub(super) fn open(
        log: &Path,
        boot: [u8; 16],
        head: i64,
        growth: u64,
        wake: Wake,
    ) -> io::Result<Self> {
        let folder = log.join(FOLDER);
        make(&folder)?;
        let mut found = all(&folder)?;
        for (_, path) in found.extract_if(.., |(position, _)| *position > head) {
            fs::remove_file(path)?;
        }
        remove_unfinished(&folder)?;
        Ok(Self {
            covered: found.last().map_or(0, |(position, _)| *position),
            folder,
            boot,
            growth,
            wake,
            found,
            bytes: 0,
            grown: 0,
            begun_ns: 0,
            are_made: false,
            under_way: None,
            written: 0,
            failed: 0,
        })
    }

    /// Newest position that one covers.
    pub(super) fn covered(&self) -> i64 {
        self.covered
    }

    /// Whether what ends at this offset is to stay until a checkpoint covers it.
    pub(super) fn wait_for(&self, offset: i64) -> bool {
        self.are_made && offset > self.covered
    }

    /// So much was appended.
    pub(super) fn note_grown(&mut self, bytes: u64) {
        self.grown += bytes;
    }

    /// Whether it is time for one.
    pub(super) fn is_due(&self) -> bool {
        let growth = self.growth.max(self.bytes.saturating_mul(GROWTH_TIMES));
        self.under_way.is_none() && self.grown >= growth
    }

    /// Whether it is time for one if retention waits for it: the log has grown by as much as the last one has, or there was time to write
    /// that at a modest rate.
    pub(super) fn is_due_early(&self, now_ns: u64) -> bool {
        let pause_ns = self.bytes.saturating_mul(1_000_000_000) / EARLY_BYTES_PER_S;
        let has_passed = now_ns.saturating_sub(self.begun_ns) >= pause_ns;
        self.under_way.is_none() && (self.grown >= self.bytes || has_passed)
    }

    /// There is somebody who fills checkpoints.
    pub(super) fn note_made(&mut self) {
        self.are_made |= self.under_way.is_none() && self.begun_ns == 0;
    }

    /// Begins one. If it can't be, that is tried again when the log has grown again.
    pub(super) fn begin(&mut self, position: i64, now: Now) -> Option<Writer> {
        (self.grown, self.begun_ns) = (0, now.mono_ns.max(1));
        let head = SegmentHead {
            base: position,
            before: 0,
            boot: self.boot,
            created_us: now.wall_us,
        };
        let outcome = Outcome::default();
        match Writer::start(&self.folder, head, &outcome, &self.wake) {
            Ok(writer) => {
                self.under_way = Some((position, outcome));
                self.are_made = true;
                Some(writer)
            }
            Err(error) => {
                self.are_made = false;
                self.failed += 1;
                tracing::warn!(%error, "no checkpoint of the log could be begun");
                None
            }
        }
    }

    /// Takes notice of what has become of one that is written.
    pub(super) fn hear(&mut self) {
        let Some((position, outcome)) = &self.under_way else {
            return;
        };
        let heard = outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match heard {
            None => return,
            Some(Ok(bytes)) => {
                (self.covered, self.bytes) = (*position, bytes);
                self.written += 1;
            }
            Some(Err(error)) => {
                self.are_made = false;
                self.failed += 1;
                tracing::warn!(
                    position,
                    %error,
                    "a checkpoint of the log could not be written; the next start goes on from the one before it"
                );
            }
        }
        self.under_way = None;
    }

    /// Adds what there is to say of them.
    pub(super) fn meter(&self, meters: &mut Meters) {
        meters.checkpoints = self.written;
        meters.failed_checkpoints = self.failed;
        meters.checkpointed = self.covered;
        meters.checkpoint_bytes = self.bytes;
    }

    /// The newest one that was not tried yet, to be read.
    pub(super) fn recall(&mut self, stamps: Stamps) -> Option<Reader> {
        loop {
            let newest = self.found.pop();
            self.covered = newest.as_ref().map_or(0, |(position, _)| *position);
            let (position, path) = newest?;
            match Reader::open(&path, position, self.boot, stamps) {
                Ok(reader) => {
                    self.bytes = reader.bytes();
                    return Some(reader);
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a checkpoint of the log can't be read");
                }
            }
        }
    }
}

/// Its name in the log's.
const FOLDER: &str = "checkpoints";

/// The checkpoints of a log's folder, the newest last: positions and files.
pub fn checkpoints_in(log: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    match all(&log.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found,
    }
}

/// Reads a checkpoint through: how many records it has, `None` where it is damaged.
pub fn verify(path: &Path, position: i64) -> io::Result<Option<u64>> {
    let mut reader = Reader::open(path, position, [0; 16], Stamps::default())?;
    Ok(reader.through())
}

/// What was never given its name was never whole.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn all(folder: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(position) = number_of(&path, EXTENSION) {
            all.push((position, path));
        }
    }
    all.sort_unstable();
    Ok(all)
}
