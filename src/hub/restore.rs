//! What a hub that begins with a recovered log reads out of it: the newest value of every key, and the orders.
//!
//! Owns how far that has come. Must not contain: the log or the table. Driven by the core's turns, a piece in each.
//!
//! Publications are numbered and delivered meanwhile; they too come into the table by being read, in their turn, so that it always grows in
//! log order. Who asks for the newest values is answered once all are there; orders are taken from then on.
use super::core::Hub;
use super::log::{Held, Scope};
use crate::orders::desk::REPORTS;
use pubsub_stream::Now;
use std::ops::ControlFlow;

/// Entries read in one turn: about a millisecond, so that those who publish or follow live hardly notice.
const ENTRIES_PER_TURN: usize = 4096;

impl Hub {
    /// Whether newest values are still missing that the log has.
    pub fn is_restoring(&self) -> bool {
        self.restored.is_some()
    }

    /// Reads on. `true`: there is more.
    pub(super) fn restore_some(&mut self, now: Now) -> bool {
        let Some(reached) = self.restored else {
            return false;
        };
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
        self.restored = (now_at < head).then_some(now_at);
        if !self.is_restoring() {
            self.resume_desk(now);
        }
        self.is_restoring()
    }
}
