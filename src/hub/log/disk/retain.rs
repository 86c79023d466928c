//! What leaves a class: its oldest segment, and what every topic had in it.
//!
//! Owns that topics' floors and counts follow. Must not contain: when a segment has to leave (that is the class's rule). Driven by the log's
//! contract.
use super::class::{Class, Index, Sealed};
use super::jobs::Job;
use super::{DiskLog, bit, index, places};
use crate::hub::log::Gone;
use crate::hub::topics::TopicId;
use pubsub_stream::Now;

impl DiskLog {
    /// The oldest segment of a class leaves: what it held is noted. Its files go once another one is there, which says, to one who opens the
    /// folder, how far the class has come.
    pub(super) fn let_go(&mut self, number: usize, now: Now, gone: &mut Vec<Gone>) {
        let Some(sealed) = self.classes[number].pop_sealed() else {
            return;
        };
        self.floor = self.floor.max(sealed.last);
        self.counts.removed_segments += 1;
        self.counts.removed_bytes += u64::from(sealed.bytes);
        let before = gone.len();
        let listed = each_topic(&sealed.index, &mut |name, ordinal, count, first, last| {
            let Some(&topic) = self.by_name.get(name) else {
                return;
            };
            let of = &mut self.topics[topic.index()];
            of.floor = of.floor.max(last);
            of.past.left = of.past.left.max(ordinal + count);
            gone.push(Gone {
                topic,
                first,
                last,
                entries: count,
            });
        });
        if let Err(error) = listed {
            tracing::warn!(segment = %sealed.path.display(), %error, "the index of a segment that leaves the log can't be read");
            self.let_go_blindly(number, &sealed, gone);
        }
        gone[before..].sort_unstable_by_key(|gone| gone.last);
        self.cache.get_mut().forget_segment((number, sealed.base));
        self.mending.forget((number, sealed.base));
        let floor = self.classes.iter().map(Class::floor).min().unwrap_or(0);
        self.holes.forget_upto(sealed.last, floor);
        let class = &mut self.classes[number];
        let index = sealed.path.with_extension("idx");
        class.remains.extend([sealed.path, index]);
        if class.segments() > 0 {
            let remains = std::mem::take(&mut class.remains);
            self.keeper.ask(Job::Remove(remains));
        } else if self.begin(number, self.head + 1, 0, now).is_err() {
            // They go when one has begun.
            tracing::debug!(class = number, "the files of a segment that has left stay");
        }
    }

    /// A segment whose index can't be read leaves: every topic that may be in it may have lost something, nobody knows how much.
    pub(super) fn let_go_blindly(&mut self, number: usize, sealed: &Sealed, gone: &mut Vec<Gone>) {
        let topics: Vec<TopicId> = self.by_name.values().copied().collect();
        for topic in topics {
            let of = &mut self.topics[topic.index()];
            if of.classes & bit(number) != 0 && of.floor < sealed.last.min(of.last) {
                of.floor = sealed.last.min(of.last);
                gone.push(Gone {
                    topic,
                    first: sealed.base,
                    last: of.floor,
                    entries: 1,
                });
            }
        }
    }
}

/// Shows what a sealed segment has of each topic: its name, how many entries it had before, how many here, and the first and last offset
/// between which they are.
fn each_topic(
    index: &Index,
    visit: &mut dyn FnMut(&str, u64, u64, i64, i64),
) -> Result<(), index::IndexError> {
    match index {
        Index::Memory(places) => {
            for of in places.topics.values() {
                let offset = |place: &index::Place| places::offset_of(places.base, *place);
                let (first, last) = (of.places.first().map(offset), of.places.last().map(offset));
                if let (Some(first), Some(last)) = (first, last) {
                    visit(&of.name, of.ordinal, of.places.len() as u64, first, last);
                }
            }
            Ok(())
        }
        Index::File(file, _) => file.rows(&mut |row| {
            visit(
                &row.name,
                row.ordinal,
                u64::from(row.count),
                row.before + 1,
                row.last,
            );
        }),
    }
}
