//! What a log that keeps files has done, and how it is.
//!
//! Owns the shape. Must not contain: where it is shown. Filled in by the log, looked at by the hub's recorder a few times a second; so it
//! may cost the log nothing but plain numbers while it works.
use pubsub_stream::Histogram;

/// Counters since the log was opened, and how it is now.
#[derive(Debug, Clone, Default)]
pub struct Meters {
    /// Counter: bytes of batches written to segments.
    pub written_bytes: u64,
    /// How long a commit took to write what had been appended. The hub waits for it.
    pub write: Histogram,
    /// How long a sync took.
    pub sync: Histogram,
    /// How long a full segment took to be synced and to get its index.
    pub seal: Histogram,
    /// Counter: bytes of segments read for readers. Mostly they come out of the system's page cache.
    pub read_bytes: u64,
    /// Counter: entries taken out of them.
    pub read_entries: u64,
    /// How long a call that read segments took. The hub waits for it.
    pub read: Histogram,
    /// Counter: segments that retention took.
    pub removed_segments: u64,
    /// Counter: their bytes.
    pub removed_bytes: u64,
    /// Counter: damaged indexes that were made anew.
    pub mended_indexes: u64,
    /// Counter: checkpoints written.
    pub checkpoints: u64,
    /// Counter: checkpoints that could not be.
    pub failed_checkpoints: u64,
    /// Newest position that a checkpoint covers; 0: there is none.
    pub checkpointed: i64,
    /// Bytes of that one.
    pub checkpoint_bytes: u64,
    /// Segments, sealed or being written.
    pub segments: u64,
    /// Newest offset that lasts whatever happens to the machine; `None`: nobody syncs.
    pub synced: Option<i64>,
    /// When the oldest entry was written of those that do not last yet, monotonic nanoseconds.
    pub unsynced_since_ns: Option<u64>,
    /// There is no space for a class's next segment.
    pub is_short: bool,
    /// Ranges of offsets in which damage is known.
    pub damaged: u64,
    /// Ranges of offsets that were skipped after a loss.
    pub skipped: u64,
    /// Bytes that its disk has left, if that can be said.
    pub free_bytes: Option<u64>,
}
