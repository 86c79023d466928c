//! The log on disk: segments that are only ever appended to, in a folder of the node's own.
//!
//! Owns offsets, what is known of each topic, and the classes. Must not contain: workers or views. Driven as any
//! [`Log`].
//!
//! An appended record waits in a batch of its class, in memory, until [`commit`](super::Log::commit) writes the batch with one call. Live
//! readers find it in the class's tail; older ones read the files. What a disk may make wait (syncs, the indexes of full segments, new
//! files, deletions) is done by one thread beside it, the keeper.
//!
//! What a topic had before is known by counting: every entry of a topic has an ordinal, which the index of its segment says, so the number
//! of entries between two positions is a difference and costs one look at an index, however long the way.
//!
//! Laws, besides those of every log:
//! - An offset that could have been seen is never given again: offsets up to a mark that lasts are reserved before they are given, and
//!   after a loss, or another boot of the machine, numbering goes on above the mark.
//! - What was committed survives the death of every process; `--log-sync` says what a power cut may take.
//! - Retention takes whole segments.
//! - What can't be read is a hole, which is said to every reader who comes to it, and is in nobody's way.
//!
//! In reading order:
//! - [`format`](mod@format): the layout, and the bytes of records, batches and heads
//! - [`segment`]: a file of them
//! - [`index`]: where a sealed segment's records are
//! - [`folder`]: lock, version, epoch, mark
//! - [`recover`]: what is whole after a crash
//! - `places`: where records are while there is no index yet
//! - `tail`: the newest entries in memory
//! - `holes`: what can't be read; `mend`: indexes made anew; `counts`: what is counted
//! - `class`: the segments of one retention class
//! - [`checkpoint`]: files of newest values and orders
//! - `keeper`: the thread for what is slow; `jobs`: what it is asked for; `chores`: what is done to files
//! - `scan`: a walk over a class; `topic_walk`: over one topic; `cache`: what they read of indexes
//! - `open`: from a folder to a log; `write`: what is appended on its way into the files; `retain`: what leaves; `read`: reads and counts
mod cache;
pub mod checkpoint;
mod chores;
mod class;
mod counts;
pub mod folder;
pub mod format;
mod holes;
pub mod index;
mod jobs;
mod keeper;
mod mend;
mod open;
mod places;
mod read;
pub mod recover;
mod retain;
mod scan;
pub mod segment;
mod tail;
mod topic_walk;
mod write;

use super::checkpoint::{Recall, Saving};
use super::{Backward, Gone, Held, Log, LogFailed, Meters, NoRoom, Past, Scope, Size};
use crate::config::LogSync;
use crate::hub::entry::{Entry, Publication};
use crate::hub::topics::TopicId;
use cache::Cache;
use checkpoint::{Checkpoints, Stamps};
use class::{Class, Index};
use counts::Counts;
use format::RECORD_HEAD_BYTES;
use hashbrown::HashMap;
use holes::Holes;
use keeper::Keeper;
use mend::Mending;
use places::Known;
use pubsub_stream::Now;
use pubsub_stream::hub::EntryRef;
use read::Spots;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use write::NoSegment;

pub use checkpoint::GROWTH_BYTES;
pub use class::SEGMENT_BYTES;
pub use keeper::Wake;
pub use open::{OpenError, Options};

/// So many offsets are reserved at a time: a mark is written once for each of them, long before it is reached.
const RESERVE: i64 = 1 << 24;

/// See the module.
#[derive(Debug)]
pub struct DiskLog {
    /// It has the folder, and syncs before it lets go of it.
    keeper: Keeper,
    epoch: String,
    boot: [u8; 16],
    head: i64,
    /// Offsets up to here may be given.
    mark: i64,
    /// A mark up to here was asked for.
    asked: i64,
    floor: i64,
    /// After a start this is the floor of the whole log: of topics that have no entry left the folder says nothing, so any of them may
    /// have lost something up to there. Who resumes a pattern, or a topic without entries, from before it is told of a gap that may be
    /// none. That is only who was away for so long that the oldest segment has left since, or who follows topics so quiet that nothing came
    /// for as long; topics that have entries know their floor exactly, and a worker's own stream goes on at its position whatever this is.
    ///
    /// To be exact the folder would have to keep the name and last offset of every topic that has left as a whole, bounded, and made to
    /// last before each deletion; and the contract would have to ask for the floor by name. Such a list would have to be right in every
    /// crash, since a floor that is too low is a loss that nobody is told of: a gap too many costs a reader a look at the newest values.
    forgotten_floor: i64,
    synced: i64,
    sync: LogSync,
    classes: Vec<Class>,
    /// By topic number.
    topics: Vec<Topic>,
    by_name: HashMap<Arc<str>, TopicId>,
    /// Topics that were recovered and have no number yet.
    recovered: HashMap<Arc<str>, Recovered>,
    holes: Holes,
    counts: Counts,
    mending: Mending,
    cache: RefCell<Cache>,
    spots: RefCell<Spots>,
    checkpoints: Checkpoints,
    stamps: Stamps,
    scratch: RefCell<Vec<u8>>,
    /// Buffers of walks that have ended.
    blocks: RefCell<Vec<Vec<u8>>>,
    failed: Option<LogFailed>,
}

/// What the log knows of one topic.
#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    /// Where its new entries go.
    class: usize,
    /// Which classes may hold entries of it; a bit for each.
    classes: u64,
    floor: i64,
    past: Past,
    /// How many entries it ever had.
    ever: u64,
    /// Offset of its newest one; 0 when there was none.
    last: i64,
}

/// What was found of a topic when the folder was opened.
#[derive(Debug, Clone, Copy)]
struct Recovered {
    classes: u64,
    floor: i64,
    past: Past,
    ever: u64,
    last: i64,
}

impl DiskLog {
    fn topic(&self, topic: TopicId) -> &Topic {
        &self.topics[topic.index()]
    }

    /// The class of a topic of this name.
    fn class_of(&self, name: &str) -> usize {
        let found = self.classes.iter().position(|class| class.takes(name));
        // The last rule takes every topic.
        found.unwrap_or(self.classes.len() - 1)
    }

    /// Whether retention is about to take something that no checkpoint covers.
    fn is_about_to_forget(&self, now: Now) -> bool {
        let covered = self.checkpoints.covered();
        let mut classes = self.classes.iter();
        classes.any(|class| {
            class
                .excess(now.wall_us)
                .is_some_and(|oldest| oldest.last > covered)
        })
    }
}

/// The bit of a class among those of a topic.
fn bit(class: usize) -> u64 {
    1 << class
}

impl Log for DiskLog {
    fn epoch(&self) -> &str {
        &self.epoch
    }

    fn head(&self) -> i64 {
        self.head
    }

    fn floor(&self) -> i64 {
        self.floor
    }

    fn recovered(&mut self) -> Vec<Box<str>> {
        self.recovered.keys().map(|name| (&**name).into()).collect()
    }

    fn add_topic(&mut self, topic: TopicId, name: &str) {
        let class = self.class_of(name);
        let (name, recovered) = match self.recovered.remove_entry(name) {
            Some(entry) => entry,
            None => (name.into(), Recovered::none(self.forgotten_floor)),
        };
        let of = Topic {
            name: Arc::clone(&name),
            class,
            classes: recovered.classes | bit(class),
            floor: recovered.floor,
            past: recovered.past,
            ever: recovered.ever,
            last: recovered.last,
        };
        if let Some(before) = self.topics.get_mut(topic.index()) {
            *before = of;
        } else {
            debug_assert_eq!(self.topics.len(), topic.index(), "numbers are dense");
            self.topics.push(of);
        }
        self.by_name.insert(name, topic);
    }

    fn forget_topic(&mut self, topic: TopicId) {
        let of = self.topic(topic);
        debug_assert_eq!(
            of.ever, of.past.left,
            "a topic with entries is not forgotten"
        );
        let (floor, name) = (of.floor, Arc::clone(&of.name));
        self.forgotten_floor = self.forgotten_floor.max(floor);
        self.by_name.remove(&name);
        self.cache.get_mut().forget_topic(topic);
    }

    fn topic_floor(&self, topic: TopicId) -> i64 {
        self.topic(topic).floor
    }

    fn forgotten_floor(&self) -> i64 {
        self.forgotten_floor
    }

    fn topic_past(&self, topic: TopicId) -> Past {
        self.topic(topic).past
    }

    fn topic_entries(&self, topic: TopicId) -> usize {
        let of = self.topic(topic);
        (of.ever - of.past.left) as usize
    }

    fn topic_entries_upto(&self, topic: TopicId, position: i64) -> usize {
        let left = self.topic(topic).past.left;
        self.ordinal(topic, position).saturating_sub(left) as usize
    }

    fn check_room(
        &mut self,
        now: Now,
        topic: Option<TopicId>,
        name: &str,
        bytes: usize,
    ) -> Result<(), NoRoom> {
        if self.failed.is_some() || self.head >= self.mark {
            let why = "its next offsets could not be reserved on the disk";
            return Err(NoRoom { why });
        }
        let class = match topic {
            Some(topic) => self.topic(topic).class,
            None => self.class_of(name),
        };
        let bytes = bytes + RECORD_HEAD_BYTES + format::BATCH_HEAD_BYTES;
        match self.make_room(class, self.head + 1, bytes, now) {
            Ok(()) => Ok(()),
            Err(NoSegment::NoRoom) => Err(NoRoom {
                why: "the disk is full",
            }),
            Err(NoSegment::Failed(failed)) => {
                self.failed.get_or_insert(failed);
                Err(NoRoom {
                    why: "the disk has failed",
                })
            }
        }
    }

    fn append(&mut self, now: Now, topic: TopicId, publication: &Publication<'_>) -> Entry {
        self.head += 1;
        let offset = self.head;
        let fields = EntryRef {
            offset,
            ts_us: now.wall_us,
            mono_ns: now.mono_ns,
            topic: publication.topic,
            key: publication.key,
            data: publication.data,
        };
        let entry = Entry::encode(self.scratch.get_mut(), &fields);
        let of = &mut self.topics[topic.index()];
        let class = &mut self.classes[of.class];
        let first = if of.past.first == 0 {
            offset
        } else {
            of.past.first
        };
        if let Some(active) = &mut class.active {
            active.push(
                topic,
                &fields,
                Known {
                    name: &of.name,
                    ordinal: of.ever,
                    before: of.last.max(of.floor),
                    first,
                },
            );
        } else {
            debug_assert!(false, "room is checked before");
        }
        (of.past.first, of.last) = (first, offset);
        of.ever += 1;
        self.checkpoints.note_grown(entry.bytes().len() as u64);
        class.tail.push(Held {
            offset,
            topic,
            entry: entry.clone(),
        });
        entry
    }

    fn commit(&mut self, now: Now) -> Result<(), LogFailed> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        self.write_all(now)?;
        self.hear()?;
        self.checkpoints.hear();
        self.reserve();
        self.ask_to_mend();
        for number in 0..self.classes.len() {
            if self.classes[number].is_due(now.wall_us) {
                self.seal(number)?;
            }
        }
        Ok(())
    }

    fn acknowledged(&self) -> i64 {
        match self.sync {
            LogSync::Always => self.synced,
            LogSync::None | LogSync::Interval { .. } => self.head,
        }
    }

    fn first_after(&self, position: i64) -> Option<i64> {
        self.first_held_after(position)
    }

    fn hole_at(&self, position: i64) -> Option<i64> {
        self.holes.at(position)
    }

    fn read(
        &self,
        scope: Scope<'_>,
        after: i64,
        upto: i64,
        scan: &mut usize,
        visit: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> i64 {
        let upto = upto.min(self.holes.stop_after(after));
        self.counts.time(|| match scope {
            Scope::All => self.read_classes(&|_| true, (after, upto), scan, visit),
            Scope::Matching(wanted) => self.read_classes(wanted, (after, upto), scan, visit),
            Scope::Topics(topics) => self.read_topics(topics, (after, upto), scan, visit),
        })
    }

    fn rewind(&self, scope: Scope<'_>, floor: i64, back: &mut Backward, scan: &mut usize) -> bool {
        self.counts.time(|| match scope {
            Scope::All => self.rewind_classes(&|_| true, floor, back, scan),
            Scope::Matching(wanted) => self.rewind_classes(wanted, floor, back, scan),
            Scope::Topics(topics) => self.rewind_topics(topics, floor, back, scan),
        })
    }

    fn retain(&mut self, now: Now, gone: &mut Vec<Gone>) {
        for number in 0..self.classes.len() {
            while let Some(oldest) = self.classes[number].excess(now.wall_us) {
                if self.checkpoints.wait_for(oldest.last) {
                    break;
                }
                self.let_go(number, now, gone);
            }
        }
    }

    fn size(&self) -> Size {
        Size {
            bytes: self.classes.iter().map(Class::bytes).sum(),
            entries: self.classes.iter().map(Class::records).sum(),
            first: self.first_held_after(0).unwrap_or(0),
        }
    }

    fn checkpoint(&mut self, now: Now) -> Option<Box<dyn Saving>> {
        self.checkpoints.note_made();
        let is_due = self.checkpoints.is_due()
            || (self.checkpoints.is_due_early(now.mono_ns) && self.is_about_to_forget(now));
        if !is_due {
            return None;
        }
        let begun = self.checkpoints.begin(self.head, now)?;
        Some(Box::new(begun))
    }

    fn recall(&mut self) -> Option<Box<dyn Recall>> {
        let reader = self.checkpoints.recall(self.stamps)?;
        Some(Box::new(reader))
    }

    fn meters(&self) -> Option<Meters> {
        Some(self.meters_now())
    }
}

impl Recovered {
    /// Of a topic that nothing is known of.
    fn none(floor: i64) -> Self {
        Self {
            classes: 0,
            floor,
            past: Past::default(),
            ever: 0,
            last: 0,
        }
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        // What was not committed was told to nobody.
        self.keeper.close(self.head);
    }
}

#[cfg(test)]
mod tests;
