//! Noticing workers whose loop no longer comes round.
//!
//! Owns who is known to be blocked, so that each is named once. Must not contain: what is done about it (nothing: it may be a
//! debugger, or a machine that swaps). Driven by [`node`](super::node), once a second.

use std::collections::HashSet;

use pubsub_stream::Now;

use crate::telemetry::scoreboard::WorkerSlot;
use crate::telemetry::status::blocked_ns;

/// What a look found that was not so before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Its loop has not come round for so many milliseconds.
    Blocked(u64),
    /// It comes round again.
    Back,
}

/// The workers that are blocked.
#[derive(Debug, Default)]
pub struct Watch {
    blocked: HashSet<u32>,
}

impl Watch {
    /// Looks at one worker.
    pub fn handle_look(&mut self, now: Now, slot: u32, worker: &WorkerSlot) -> Option<Seen> {
        match blocked_ns(now, worker) {
            Some(ns) => self
                .blocked
                .insert(slot)
                .then_some(Seen::Blocked(ns / 1_000_000)),
            None => self.blocked.remove(&slot).then_some(Seen::Back),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::scoreboard::{Scoreboard, State};
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn a_worker_that_hangs_is_named_once_and_again_when_it_is_back() {
        let (board, _fd) = Scoreboard::create().unwrap();
        let (worker, mut watch) = (board.worker(0), Watch::default());
        let at = |ms: u64| Now {
            mono_ns: ms * 1_000_000,
            wall_us: 0,
        };
        worker.state.store(State::Up as u32, Relaxed);
        assert_eq!(
            watch.handle_look(at(9000), 0, worker),
            None,
            "it has not begun"
        );
        worker.heartbeat_ns.store(at(1000).mono_ns, Relaxed);
        assert_eq!(watch.handle_look(at(1400), 0, worker), None);
        assert_eq!(
            watch.handle_look(at(3000), 0, worker),
            Some(Seen::Blocked(2000))
        );
        assert_eq!(watch.handle_look(at(4000), 0, worker), None);
        worker.heartbeat_ns.store(at(4900).mono_ns, Relaxed);
        assert_eq!(watch.handle_look(at(5000), 0, worker), Some(Seen::Back));
        worker.state.store(State::Down as u32, Relaxed);
        assert_eq!(
            watch.handle_look(at(9000), 0, worker),
            None,
            "a dead worker hangs not"
        );
    }
}
