//! The log: where a publication gets its offset, and from where it can be read again.
//!
//! Owns the contract that every log fulfils, and the words it is put in. Must not contain: workers, views or anybody's cursor.
//! Driven by the hub's core, in its own thread; [`memory`] is the log that forgets with the process, [`disk`] the one that lasts.
//!
//! Laws, for every log:
//! - Offsets rise strictly over all topics; an offset that was seen is never given to another publication of the same epoch.
//! - What has left of a topic is everything up to its floor. What has left of the log as a whole may have holes, because
//!   retention differs by pattern; it has none after [`Log::floor`].
//! - Reading never takes longer than its scan budget; a long way is gone in several calls. (A log that has to wait for a broker
//!   answers such a call with a position it has already reached, and goes on in the next one.)
//! - What was appended since the last [`Log::commit`] is told to nobody before the next one. What was committed survives the death
//!   of the process if anything of the log does; up to [`Log::acknowledged`] it may be said to be in the log.
//! - A log that has failed to keep what it was given says so in `commit`, once, and is used no more.
pub mod checkpoint;
pub mod class;
#[cfg(test)]
mod conformance;
pub mod disk;
pub mod memory;
mod merge;
mod meters;
pub mod tool;

use super::entry::{Entry, Publication};
use super::topics::TopicId;
use checkpoint::{Recall, Saving};
use pubsub_stream::Now;
use std::collections::VecDeque;
use std::ops::ControlFlow;

pub use disk::DiskLog;
pub use memory::MemoryLog;
pub use meters::Meters;

/// One entry with what the hub needs to know of it without looking inside.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its place in the log.
    pub offset: i64,
    /// Its topic.
    pub topic: TopicId,
    /// The entry.
    pub entry: Entry,
}

/// Which entries a reader wants.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    /// All.
    All,
    /// Those of a few topics; found without a scan.
    Topics(&'a [TopicId]),
    /// Those of topics that pass; found by scanning.
    Matching(&'a dyn Fn(TopicId) -> bool),
}

/// A way back from a position, to be gone in several steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backward {
    /// Everything wanted after this position has been counted.
    pub at: i64,
    /// How many are still to be counted.
    pub left: u64,
}

/// Entries of one topic that have left the log together, all that were held of it up to the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// Their topic.
    pub topic: TopicId,
    /// Offset of the oldest.
    pub first: i64,
    /// Offset of the newest.
    pub last: i64,
    /// How many; at least one.
    pub entries: u64,
}

/// There is no room for another entry now; there may be later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot take it: {why}")]
pub struct NoRoom {
    /// What is short.
    pub why: &'static str,
}

/// The log could not keep what it was given, or cannot say whether it has. Nothing that was appended since the last commit may be
/// told to anybody.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct LogFailed {
    /// What it was doing, and to which file.
    pub what: String,
    /// What the system said.
    pub source: std::io::Error,
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes, with what keeping them costs.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Oldest offset held; 0 when there is none.
    pub first: i64,
}

/// The contract.
pub trait Log: std::fmt::Debug {
    /// Name of this sequence of offsets.
    fn epoch(&self) -> &str;

    /// The newest offset; 0 before the first.
    fn head(&self) -> i64;

    /// The newest offset that has left; everything after it is held.
    fn floor(&self) -> i64;

    /// Names of the topics of which entries were recovered. Each is to be added before anything else is asked.
    fn recovered(&mut self) -> Vec<Box<str>>;

    /// From now on `topic` may be appended to.
    fn add_topic(&mut self, topic: TopicId, name: &str);

    /// Nothing is held of `topic` and its number will be given to another one.
    fn forget_topic(&mut self, topic: TopicId);

    /// The newest offset that has left of `topic`; for one that was forgotten before, of any forgotten one.
    fn topic_floor(&self, topic: TopicId) -> i64;

    /// The newest offset that has left of any topic that was forgotten.
    fn forgotten_floor(&self) -> i64;

    /// How many entries of `topic` have left, and the offset of its first ever; exact only for what came after
    /// [`Log::forgotten_floor`].
    fn topic_past(&self, topic: TopicId) -> Past;

    /// How many entries of `topic` are held.
    fn topic_entries(&self, topic: TopicId) -> usize;

    /// How many of them have offsets up to `position`.
    fn topic_entries_upto(&self, topic: TopicId, position: i64) -> usize;

    /// Whether an entry can be appended now whose topic, key and data have so many bytes together; `topic` is that of `name`, once it
    /// has been added.
    fn check_room(
        &mut self,
        now: Now,
        topic: Option<TopicId>,
        name: &str,
        bytes: usize,
    ) -> Result<(), NoRoom>;

    /// Numbers a publication, for which there is room, and keeps it; `now` becomes its stamp.
    fn append(&mut self, now: Now, topic: TopicId, publication: &Publication<'_>) -> Entry;

    /// Ends a batch of appends: from now on they may be told. Work that others do for the log is taken notice of too, so it is to
    /// be called a few times a second also when nothing was appended.
    fn commit(&mut self, now: Now) -> Result<(), LogFailed>;

    /// Newest offset whose publisher may be told, after the next commit, that it is in the log.
    fn acknowledged(&self) -> i64;

    /// Offset of the oldest entry held after `position`.
    fn first_after(&self, position: i64) -> Option<i64>;

    /// Whether what comes next after a position can't be read, and where that ends: of what there was up to there nothing can be
    /// said. Reading and rewinding stop there and notice it, if nobody has before.
    fn hole_at(&self, position: i64) -> Option<i64>;

    /// Shows the entries of `scope` with offsets in `after+1..=upto` in log order, until `visit` breaks (that entry counts as not
    /// shown) or `scan` entries were looked at. Returns the position up to which everything was shown.
    fn read(
        &self,
        scope: Scope<'_>,
        after: i64,
        upto: i64,
        scan: &mut usize,
        visit: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> i64;

    /// Goes back over the entries of `scope` until none is left to be counted or `floor` is reached; `true` when it has
    /// arrived. At most `scan` entries are looked at.
    fn rewind(&self, scope: Scope<'_>, floor: i64, back: &mut Backward, scan: &mut usize) -> bool;

    /// Lets go of what is over its limits, the oldest first, and notes it in `gone`, what left first in front.
    fn retain(&mut self, now: Now, gone: &mut Vec<Gone>);

    /// What it holds.
    fn size(&self) -> Size;

    /// Begins a checkpoint of the head, all up to which is committed, if it is time for one. Of a log that is asked, retention takes nothing
    /// that no checkpoint covers. A log that ends with the process wants none.
    fn checkpoint(&mut self, _now: Now) -> Option<Box<dyn Saving>> {
        None
    }

    /// After a start: the newest checkpoint, and when that is damaged the one before it.
    fn recall(&mut self) -> Option<Box<dyn Recall>> {
        None
    }

    /// What it has done with its files, and how it is; `None`: it has none.
    fn meters(&self) -> Option<Meters> {
        None
    }
}

/// What is known of the entries of a topic that have left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past {
    /// How many.
    pub left: u64,
    /// Offset of the first ever; 0 when there was none.
    pub first: i64,
}

/// Place of the first of these, which are in order, after `position`.
fn place_after(entries: &VecDeque<Held>, position: i64) -> usize {
    let Some(first) = entries.front() else {
        return 0;
    };
    // With one class offsets are consecutive, so the place is a subtraction.
    let guess = usize::try_from(position.saturating_sub(first.offset) + 1).unwrap_or(0);
    match entries.get(guess) {
        Some(held) if held.offset == position + 1 => guess,
        _ => entries.partition_point(|held| held.offset <= position),
    }
}
