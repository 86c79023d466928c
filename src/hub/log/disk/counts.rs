//! What the log counts while it works.
//!
//! Owns the numbers of its own thread; the keeper has those of the other one. Must not contain: what they are shown as. Driven by whoever
//! does what is counted.
use super::DiskLog;
use super::class::Class;
use crate::clock;
use crate::config::LogSync;
use crate::hub::log::Meters;
use pubsub_stream::Histogram;
use std::cell::{Cell, RefCell};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) written_bytes: u64,
    pub(super) write: Histogram,
    pub(super) removed_segments: u64,
    pub(super) removed_bytes: u64,
    pub(super) mended: u64,
    read_bytes: Cell<u64>,
    read_entries: Cell<u64>,
    read: RefCell<Histogram>,
}

impl Counts {
    /// So many bytes of segments were read.
    pub(super) fn note_read(&self, bytes: u64) {
        self.read_bytes.set(self.read_bytes.get() + bytes);
    }

    /// One entry was taken out of them.
    pub(super) fn note_entry(&self) {
        self.read_entries.set(self.read_entries.get() + 1);
    }

    /// Does something, and notes how long it took if segments were read for it.
    pub(super) fn time<T>(&self, act: impl FnOnce() -> T) -> T {
        let (begun_ns, before) = (clock::mono_ns(), self.read_bytes.get());
        let outcome = act();
        if self.read_bytes.get() != before {
            let took_ns = clock::mono_ns().saturating_sub(begun_ns);
            self.read.borrow_mut().record(took_ns);
        }
        outcome
    }
}

impl DiskLog {
    /// Everything that is counted.
    pub(super) fn meters_now(&self) -> Meters {
        let counts = &self.counts;
        let (damaged, skipped) = self.holes.count();
        let mut meters = Meters {
            written_bytes: counts.written_bytes,
            write: counts.write.clone(),
            read_bytes: counts.read_bytes.get(),
            read_entries: counts.read_entries.get(),
            read: counts.read.borrow().clone(),
            removed_segments: counts.removed_segments,
            removed_bytes: counts.removed_bytes,
            mended_indexes: counts.mended,
            segments: self.classes.iter().map(Class::segments).sum::<usize>() as u64,
            synced: (self.sync != LogSync::None).then_some(self.synced),
            is_short: self.classes.iter().any(Class::is_short),
            damaged: damaged as u64,
            skipped: skipped as u64,
            ..Meters::default()
        };
        self.keeper.meter(&mut meters);
        self.checkpoints.meter(&mut meters);
        meters
    }
}
