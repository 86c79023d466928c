//! What lies in the scoreboard of the hub's log: atomics, as in [`slots`](super::slots), whose laws hold here too.
//!
//! Owns the layout. Must not contain: how anything is shown. Written by the hub, read by all. A log in memory leaves all of it at zero but
//! for `acknowledged` and `refused`.
use super::slots::SharedHistogram;
use std::sync::atomic::{AtomicU64, Ordering};

/// The hub's log.
#[derive(Debug)]
#[repr(C)]
pub struct LogSlot {
    /// Gauge: newest offset whose publisher may be told that it is in the log.
    pub acknowledged: AtomicU64,
    /// Gauge: newest offset that lasts whatever happens to the machine; 0 while nobody syncs.
    pub synced: AtomicU64,
    /// Gauge: entries behind that one.
    pub unsynced: AtomicU64,
    /// Gauge: when the oldest entry was written of those that do not last yet, monotonic nanoseconds; 0: all do.
    pub unsynced_since_ns: AtomicU64,
    /// Gauge: segments.
    pub segments: AtomicU64,
    /// Gauge: 1 while there is no space for the next segment.
    pub is_short: AtomicU64,
    /// Gauge: ranges of offsets in which damage is known.
    pub damaged: AtomicU64,
    /// Gauge: ranges of offsets that were skipped after a loss.
    pub skipped: AtomicU64,
    /// Gauge: bytes that the disk has left and one more; 0: nobody knows.
    pub free_bytes_and_one: AtomicU64,
    /// Publications refused for want of room.
    pub refused: AtomicU64,
    /// Logs that have failed.
    pub failures: AtomicU64,
    /// Bytes of batches written.
    pub written_bytes: AtomicU64,
    /// Bytes of segments read.
    pub read_bytes: AtomicU64,
    /// Entries taken out of them.
    pub read_entries: AtomicU64,
    /// Segments that retention took.
    pub removed_segments: AtomicU64,
    /// Their bytes.
    pub removed_bytes: AtomicU64,
    /// Damaged indexes that were made anew.
    pub mended_indexes: AtomicU64,
    /// Checkpoints written.
    pub checkpoints: AtomicU64,
    /// Checkpoints that could not be.
    pub failed_checkpoints: AtomicU64,
    /// Gauge: entries behind the newest checkpoint.
    pub behind_checkpoint: AtomicU64,
    /// Gauge: its bytes.
    pub checkpoint_bytes: AtomicU64,
    /// How long a commit's write took.
    pub write: SharedHistogram,
    /// How long a sync took.
    pub sync: SharedHistogram,
    /// How long a segment took to be sealed.
    pub seal: SharedHistogram,
    /// How long a call that read segments took.
    pub read: SharedHistogram,
}

impl LogSlot {
    /// Bytes that the disk has left, if that is known.
    pub fn free_bytes(&self) -> Option<u64> {
        self.free_bytes_and_one
            .load(Ordering::Relaxed)
            .checked_sub(1)
    }

    /// How long the oldest entry has waited for a sync, nanoseconds.
    pub fn unsynced_ns(&self, now_ns: u64) -> u64 {
        match self.unsynced_since_ns.load(Ordering::Relaxed) {
            0 => 0,
            since => now_ns.saturating_sub(since),
        }
    }

    /// Zeroes what belongs to a process.
    pub(super) fn clear_gauges(&self) {
        let gauges = [
            &self.acknowledged,
            &self.synced,
            &self.unsynced,
            &self.unsynced_since_ns,
            &self.segments,
            &self.is_short,
            &self.damaged,
            &self.skipped,
            &self.free_bytes_and_one,
            &self.behind_checkpoint,
            &self.checkpoint_bytes,
        ];
        for gauge in gauges {
            gauge.store(0, Ordering::Relaxed);
        }
    }
}
