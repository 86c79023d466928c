//! What a hub that begins with a recovered log reads: the newest value of every key, and the orders, out of a checkpoint and out of what the
//! log has behind it; without a checkpoint, out of all of the log.
//!
//! Owns how far that has come. Must not contain: the log or the table. Driven by the core's turns, a piece in each.
//!
//! Publications are numbered and delivered meanwhile; they too come into the table by being read, in their turn, so that it always grows in
//! log order. Who asks for the newest values is answered once all are there; orders are taken, and retention acts, from then on.
use super::core::Hub;
use super::entry::Entry;
use super::log::checkpoint::{Recall, Recalled, Saved};
use super::log::{Held, Log, Scope};
use super::newest::NewestTable;
use super::topics::TopicId;
use crate::orders::desk::REPORTS;
use pubsub_stream::Now;
use std::ops::ControlFlow;

/// Entries read in one turn: about a millisecond, so that those who publish or follow live hardly notice.
const ENTRIES_PER_TURN: usize = 4096;

/// What is being read.
#[derive(Debug)]
pub(super) enum Restoring {
    /// A checkpoint.
    Checkpoint(Box<dyn Recall>),
    /// The log, up to this position so far.
    Log(i64),
}

impl Restoring {
    /// From the newest checkpoint that was not tried yet; without one, from the beginning of the log.
    pub(super) fn begin(log: &mut (impl Log + ?Sized)) -> Self {
        log.recall().map_or(Self::Log(0), Self::Checkpoint)
    }
}

impl Hub {
    /// Whether newest values are still missing that the log has.
    pub fn is_restoring(&self) -> bool {
        self.restoring.is_some()
    }

    /// Reads on. `true`: there is more.
    pub(super) fn restore_some(&mut self, now: Now) -> bool {
        let next = match self.restoring.take() {
            None => return false,
            Some(Restoring::Checkpoint(checkpoint)) => Some(self.restore_saved(checkpoint)),
            Some(Restoring::Log(reached)) => self.restore_logged(reached).map(Restoring::Log),
        };
        self.restoring = next;
        if !self.is_restoring() {
            self.resume_desk(now);
        }
        self.is_restoring()
    }

    fn restore_saved(&mut self, mut checkpoint: Box<dyn Recall>) -> Restoring {
        let mut scratch = Vec::new();
        match checkpoint.read_some(&mut |saved| self.take_saved(&saved, &mut scratch)) {
            Recalled::Some => Restoring::Checkpoint(checkpoint),
            Recalled::All(position) => Restoring::Log(position),
            Recalled::Damaged => {
                tracing::error!("a checkpoint of the log is damaged; more of the log is read");
                self.newest = NewestTable::new(self.settings.keys_max);
                Restoring::begin(&mut *self.log)
            }
        }
    }

    fn take_saved(&mut self, saved: &Saved<'_>, scratch: &mut Vec<u8>) {
        match saved {
            Saved::Newest(fields) => {
                let topic = self.topic_of(fields.topic);
                self.note_newest(topic, &Entry::encode(scratch, fields));
            }
            Saved::Order { told, accepted_us } => {
                if let Some(desk) = &mut self.desk {
                    desk.restore_saved(told, *accepted_us);
                }
            }
            Saved::Accepted(orders) => {
                if let Some(desk) = &mut self.desk {
                    desk.restore_accepted(*orders);
                }
            }
        }
    }

    /// The number of a topic that has a newest value, though perhaps no entry any more.
    fn topic_of(&mut self, name: &str) -> TopicId {
        if let Some(topic) = self.topics.find(name) {
            return topic;
        }
        let topic = self.topics.insert_recovered(name);
        self.enter_topic(topic, name);
        topic
    }

    /// Up to where the log has been read now; `None`: up to its head.
    fn restore_logged(&mut self, reached: i64) -> Option<i64> {
        let head = self.log.head();
        let mut found = std::mem::take(&mut self.found);
        let mut scan = ENTRIES_PER_TURN;
        let mut keep = |held: &Held| {
            found.push(held.clone());
            ControlFlow::Continue(())
        };
        let mut now_at = self
            .log
            .read(Scope::All, reached, head, &mut scan, &mut keep);
        if now_at == reached
            && let Some(end) = self.log.hole_at(reached)
        {
            now_at = end.min(head);
        }
        for held in found.drain(..) {
            self.note_newest(held.topic, &held.entry);
            let fields = held.entry.fields();
            if let Some(desk) = &mut self.desk
                && fields.topic.starts_with(REPORTS)
            {
                desk.restore(fields.data);
            }
        }
        self.found = found;
        (now_at < head).then_some(now_at)
    }
}
