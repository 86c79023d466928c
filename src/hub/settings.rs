//! What a hub is told, what it refuses, and what it counts.
//!
//! Owns these words. Must not contain: anything that acts. Used by the core and by whoever drives it.
use super::log::NoRoom;
use super::topics::TopicsFull;
use crate::orders::packed::NoCall;
use pubsub_wire::topic::TopicError;
use pubsub_wire::{ErrorCode, Limits};

/// Room in a log comes back when somebody has made some: trying more often would only cost.
const NO_ROOM_RETRY_MS: u64 = 1000;

/// Limits of a hub.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Sizes of topics, keys and payloads.
    pub limits: Limits,
    /// Most topics.
    pub topics_max: u64,
    /// Most keys whose newest value is kept.
    pub keys_max: u64,
    /// Entries go into a worker's outbox until it holds this much.
    pub outbox_bytes: usize,
    /// History's share of an outbox: slices go in while they are less than this, and none is larger, whatever was asked for.
    pub history_bytes: usize,
    /// Entries looked at for one worker in one turn, for its live stream and once more for its reads.
    pub scan_entries: usize,
    /// Requests of one worker that may wait for their turn.
    pub waiting_max: usize,
    /// A view of more topics than this is read by scanning the log, one of fewer by merging what each topic has.
    pub merge_topics: usize,
}

impl Settings {
    /// The configured limits, and for the others:
    /// - outbox: with as much on its way in the socket's writer it makes 256 KiB, which is what a stopped worker may cost;
    /// - history: as much, so that at worst live entries and replay take turns;
    /// - scan: about a millisecond, so that other workers and their acknowledgements wait no longer than that;
    /// - waiting: a storm of resumptions on one worker fits in;
    /// - merge: each step of a merge looks at all of its topics, which a scan of a full log does worse up to about so many.
    pub fn new(limits: Limits, topics_max: u64, keys_max: u64) -> Self {
        Self {
            limits,
            topics_max,
            keys_max,
            outbox_bytes: 128 << 10,
            history_bytes: 128 << 10,
            scan_entries: 8192,
            waiting_max: 16_384,
            merge_topics: 64,
        }
    }
}

/// Why a publication was not numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No topic that can be published to.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The key is too long.
    #[error("a key has at most {max} bytes, this one has {bytes}")]
    Key {
        /// The length found.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The payload is too long.
    #[error("a payload has at most {max} bytes, this one has {bytes}")]
    Data {
        /// The length found.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// There are as many topics as there may be.
    #[error(transparent)]
    Full(#[from] TopicsFull),
    /// The log has no room now.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

impl Refused {
    /// The code for the client.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Topic(_) => ErrorCode::BadField,
            Self::Key { .. } | Self::Data { .. } => ErrorCode::TooLarge,
            Self::Full(_) => ErrorCode::Limit,
            Self::NoRoom(_) => ErrorCode::Unavailable,
        }
    }

    /// When to try again, if that may help.
    pub fn retry_after_ms(self) -> Option<u64> {
        matches!(self, Self::NoRoom(_)).then_some(NO_ROOM_RETRY_MS)
    }
}

/// What a worker must not ask; its link ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A view's number was used twice.
    #[error("view {0} is watched already")]
    ViewTaken(u32),
    /// No topic or pattern.
    #[error("a view's text is wrong: {0}")]
    BadText(TopicError),
    /// The bytes of a call are none.
    #[error("a call cannot be read: {0}")]
    BadCall(NoCall),
}

/// What has happened since the hub began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Publications numbered.
    pub published: u64,
    /// Bytes of their payloads.
    pub published_bytes: u64,
    /// Publications refused.
    pub refused: u64,
    /// Those of them that the log had no room for.
    pub no_room: u64,
    /// Logs that have failed: one at most, which is the end of the hub.
    pub log_failures: u64,
    /// Entries that retention took.
    pub evicted: u64,
    /// Those of them that a worker's cursor had not reached although it wanted them, summed over workers.
    pub lost_entries: u64,
    /// Pieces of history answered.
    pub reads: u64,
}
