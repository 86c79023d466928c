//! What a hub that begins with a recovered log reads out of it: the newest value of every key.
//!
//! Owns how far that has come. Must not contain: the log or the table. Driven by the core's turns, a piece in each, while publications
//! are numbered already: who asks for the newest values is answered when they are there.
use super::core::Hub;
use super::log::{Held, Scope};
use std::ops::ControlFlow;

/// Entries read in one turn: a few milliseconds, so that those who publish or follow live hardly notice.
const ENTRIES_PER_TURN: usize = 4096;

/// How far it has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restore {
    reached: i64,
    upto: i64,
}

impl Restore {
    /// Of a log whose newest offset is this one; `None`: there is nothing in it.
    pub(super) fn of(head: i64) -> Option<Self> {
        (head > 0).then_some(Self {
            reached: 0,
            upto: head,
        })
    }
}

impl Hub {
    /// Whether newest values are still missing that the log has.
    pub fn is_restoring(&self) -> bool {
        self.restore.is_some()
    }

    /// Reads on. `true`: there is more.
    pub(super) fn restore_some(&mut self) -> bool {
        let Some(Restore { reached, upto }) = self.restore else {
            return false;
        };
        let mut found = std::mem::take(&mut self.found);
        let mut scan = ENTRIES_PER_TURN;
        let mut keep = |held: &Held| {
            found.push(held.clone());
            ControlFlow::Continue(())
        };
        let mut now_at = self
            .log
            .read(Scope::All, reached, upto, &mut scan, &mut keep);
        if now_at == reached
            && let Some(end) = self.log.hole_at(reached)
        {
            now_at = end.min(upto);
        }
        for held in found.drain(..) {
            self.restore_one(&held);
        }
        self.found = found;
        self.restore = (now_at < upto).then_some(Restore {
            reached: now_at,
            upto,
        });
        self.restore.is_some()
    }

    fn restore_one(&mut self, held: &Held) {
        if let Some(left) = self.newest.restore(held.topic, &held.entry) {
            self.interest.note_newest_left(left.topic, left.offset);
            self.forget_if_idle(left.topic);
        }
    }
}
