//! What stands in a ring: entries, marks, and who holds them. Plain values.

use std::rc::Rc;

/// What stands in a ring at one ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A publication.
    Message,
    /// Tells how far a quiet view has come; counts for nothing.
    Position,
    /// The log began anew here: what follows is of another epoch.
    Epoch,
    /// So many publications left the log before this worker read them.
    Lost(u64),
    /// Unknown how many did.
    LostUncounted,
}

/// How a cursor holds the entry it stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Until it has moved on.
    Live,
    /// As far as the bounds reach.
    Parked,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Holds {
    pub(super) live: u32,
    pub(super) parked: u32,
}

impl Holds {
    pub(super) fn count(&mut self, hold: Hold) -> &mut u32 {
        match hold {
            Hold::Live => &mut self.live,
            Hold::Parked => &mut self.parked,
        }
    }
}

/// Where something stands that is no publication, and what was before it.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) ordinal: u64,
    pub(crate) kind: Kind,
    /// The last offset before what the mark tells of.
    pub(crate) before: i64,
    /// Position after which entries follow.
    pub(crate) after: i64,
    /// Epoch of what stands before an `Epoch`.
    pub(crate) epoch: Option<Rc<str>>,
    /// What the cohort's operator had seen and left out when it came.
    pub(crate) seen: u64,
    pub(crate) filtered: u64,
}

impl Mark {
    pub(super) fn is_loss(&self) -> bool {
        matches!(self.kind, Kind::Lost(_) | Kind::LostUncounted)
    }
}

/// Which part of its frame an entry is, where a frame holds a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Its bytes in the frame, one JSON object.
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// The how manyth it is.
    pub(crate) index: u32,
    /// Of how many; 0: the frame is one message and no batch.
    pub(crate) of: u32,
}

/// An entry to be appended.
#[derive(Debug)]
pub(crate) struct NewEntry {
    pub(crate) offset: i64,
    pub(crate) mono_ns: u64,
    pub(crate) frame: Rc<[u8]>,
    pub(crate) seat: Seat,
    /// Its number in the cohort's source; 0 where the ring is the view's own.
    pub(crate) source: u64,
    /// What it counts against bounds.
    pub(crate) bytes: u32,
}

/// One place in the ring.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Position after it: its offset in the log, with a rate the one to resume after; of a mark, the position it tells.
    pub(crate) offset: i64,
    /// When it was numbered, monotonic; never less than that of the entry before.
    pub(crate) mono_ns: u64,
    /// The whole frame, shared by all subscribers.
    pub(crate) frame: Rc<[u8]>,
    pub(crate) seat: Seat,
    pub(crate) source: u64,
    pub(crate) kind: Kind,
    pub(crate) bytes: u32,
    /// Windows that need it whatever becomes of the ring.
    pub(super) pins: u32,
    /// Running sum of bytes up to and with this entry.
    pub(super) end_bytes: u64,
    pub(super) holds: Holds,
}

impl Entry {
    pub(crate) fn is_message(&self) -> bool {
        self.kind == Kind::Message
    }
}

/// How far back a parked cursor may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}
