//! What is appended on its way into the files: segments that begin and end, batches that are written, and what the keeper is asked for.
//!
//! Owns the order of these. Must not contain: what is known of topics. Driven by the log's contract.
use super::chores::is_full;
use super::class::{Active, Class, Spare};
use super::format::{self, BatchWriter, SegmentHead};
use super::jobs::{Done, Job};
use super::places::Places;
use super::segment::Writer;
use super::{DiskLog, RESERVE};
use crate::clock;
use crate::config::LogSync;
use crate::hub::log::LogFailed;
use pubsub_stream::Now;
use std::io;
use std::sync::Arc;

/// Where there is no space for a segment that is needed at once, it is tried no more often than this.
const AGAIN_NS: u64 = 1_000_000_000;

/// Why a class has no segment to be written.
#[derive(Debug)]
pub(super) enum NoSegment {
    /// There is no space.
    NoRoom,
    /// Something else is wrong.
    Failed(LogFailed),
}

impl DiskLog {
    /// Seals what a class writes: it is full, or retention needs it.
    pub(super) fn seal(&mut self, number: usize) -> Result<(), LogFailed> {
        self.write(number)?;
        let class = &mut self.classes[number];
        if let Some(empty) = class.active.take_if(|active| active.places.records == 0) {
            class.push_empty(empty.before, empty.path);
            return Ok(());
        }
        let Some((places, file, path)) = self.classes[number].seal() else {
            return Ok(());
        };
        let bytes = self.classes[number]
            .sealed
            .back()
            .map_or(0, |sealed| sealed.bytes);
        self.keeper.ask(Job::Seal {
            class: number,
            places,
            file,
            path,
            bytes,
        });
        Ok(())
    }

    pub(super) fn write(&mut self, number: usize) -> Result<(), LogFailed> {
        let class = &mut self.classes[number];
        let written = class.write().map_err(|source| LogFailed {
            what: format!("the log could not be written in {}", class.folder.display()),
            source,
        })?;
        self.counts.written_bytes += written;
        Ok(())
    }

    /// Has a class an active segment with room for a record of so many bytes.
    pub(super) fn make_room(
        &mut self,
        number: usize,
        offset: i64,
        bytes: usize,
        now: Now,
    ) -> Result<(), NoSegment> {
        if self.classes[number].is_full(offset, bytes) {
            self.seal(number).map_err(NoSegment::Failed)?;
        }
        if self.classes[number].active.is_some() {
            return Ok(());
        }
        self.begin(number, offset, bytes, now)
    }

    /// Begins a class's next segment, with room for a record of so many bytes.
    pub(super) fn begin(
        &mut self,
        number: usize,
        offset: i64,
        bytes: usize,
        now: Now,
    ) -> Result<(), NoSegment> {
        let class = &mut self.classes[number];
        let wanted = (bytes + format::SEGMENT_HEAD_BYTES + format::BATCH_HEAD_BYTES) as u64;
        let capacity = class.segment_bytes.max(wanted);
        let writer = match std::mem::replace(&mut class.spare, Spare::None) {
            Spare::Ready(writer) if capacity == class.segment_bytes => writer,
            kept => {
                // Nobody made one ready in time, or it has to be a larger one.
                class.spare = kept;
                if class.again_ns > now.mono_ns {
                    return Err(NoSegment::NoRoom);
                }
                Writer::prepare(&class.folder, capacity)
                    .map_err(|error| class.no_segment(error, now))?
            }
        };
        let head = SegmentHead {
            base: offset,
            before: class.last(),
            boot: self.boot,
            created_us: now.wall_us,
        };
        let begun = writer.begin(&class.folder, &head);
        let (writer, path) = begun.map_err(|error| class.no_segment(error, now))?;
        let mut remains = std::mem::take(&mut class.remains);
        // One that was given up may have had the same base.
        remains.retain(|remains| *remains != path);
        if !remains.is_empty() {
            self.keeper.ask(Job::Remove(remains));
        }
        class.active = Some(Active {
            before: head.before,
            is_new: true,
            writer,
            path,
            capacity,
            places: Places::new(offset),
            batch: BatchWriter::default(),
        });
        if matches!(class.spare, Spare::None) {
            class.spare = Spare::Asked;
            let (folder, capacity) = (class.folder.clone(), class.segment_bytes);
            self.keeper.ask(Job::Prepare {
                class: number,
                folder,
                capacity,
            });
        }
        Ok(())
    }

    /// Takes notice of what the keeper has done.
    pub(super) fn hear(&mut self) -> Result<(), LogFailed> {
        for done in self.keeper.heard() {
            match done {
                Done::Sealed { class, base, index } => self.classes[class].set_index(base, index),
                Done::Mended { class, base, index } => self.on_mended((class, base), index),
                Done::Prepared { class, writer } => self.classes[class].take_spare(writer),
                Done::NoRoom { class } => self.classes[class].note_short(),
                Done::Reserved(upto) => self.mark = upto,
                Done::Synced(upto) => self.synced = upto,
                Done::Failed { what, error } => {
                    return Err(LogFailed {
                        what,
                        source: error,
                    });
                }
            }
        }
        Ok(())
    }

    /// Has more offsets reserved long before there are none.
    pub(super) fn reserve(&mut self) {
        if self.asked - self.head < RESERVE / 2 {
            self.asked = self.head + RESERVE;
            self.keeper.ask(Job::Reserve(self.asked));
        }
    }

    /// Writes every class's batch.
    pub(super) fn write_all(&mut self, now: Now) -> Result<(), LogFailed> {
        if !self.classes.iter().any(Class::has_batch) {
            return Ok(());
        }
        let begun_ns = clock::mono_ns();
        for number in 0..self.classes.len() {
            if self.classes[number].has_batch() {
                self.write(number)?;
            }
        }
        let took_ns = clock::mono_ns().saturating_sub(begun_ns);
        self.counts.write.record(took_ns);
        if self.sync != LogSync::None {
            self.note_written(now);
        }
        Ok(())
    }

    /// Tells the keeper what is to be synced: files, and folders that have new names in them.
    fn note_written(&mut self, now: Now) {
        let mut files = Vec::with_capacity(2 * self.classes.len());
        for class in &mut self.classes {
            let Some(active) = &mut class.active else {
                continue;
            };
            files.push(Arc::clone(active.writer.file()));
            if std::mem::take(&mut active.is_new) {
                files.push(Arc::clone(&class.folder_file));
            }
        }
        self.keeper.note_written(now.mono_ns, files, self.head);
    }
}

impl Class {
    /// Whether something was appended that is not written.
    fn has_batch(&self) -> bool {
        let active = self.active.as_ref();
        active.is_some_and(|active| !active.batch.is_empty())
    }

    /// The next segment is ready.
    fn take_spare(&mut self, writer: Writer) {
        self.spare = Spare::Ready(writer);
        if std::mem::take(&mut self.is_short) {
            tracing::info!(folder = %self.folder.display(), "there is space for the log's next segment again");
        }
    }

    /// There is no space for the next segment. The keeper goes on trying; it is said once.
    fn note_short(&mut self) {
        if !std::mem::replace(&mut self.is_short, true) {
            tracing::warn!(folder = %self.folder.display(), "there is no space for the log's next segment; publications are refused when this one is full, until there is");
        }
    }

    fn no_segment(&mut self, error: io::Error, now: Now) -> NoSegment {
        if is_full(&error) {
            self.again_ns = now.mono_ns.saturating_add(AGAIN_NS);
            return NoSegment::NoRoom;
        }
        NoSegment::Failed(LogFailed {
            what: format!("no segment could be made in {}", self.folder.display()),
            source: error,
        })
    }
}
