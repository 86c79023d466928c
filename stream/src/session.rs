//! A session: one client's control lane, the frame under way, and which of its subscriptions have something to send.
//!
//! Owns what belongs to the connection and to no subscription. Small, since a million of them are kept: nothing here grows
//! unless the socket refuses, and then within a bound. Driven by the engine.

use std::collections::VecDeque;
use std::rc::Rc;

use pubsub_wire::Id;

use crate::cohort::SubKey;

/// No subscription, no session.
pub(crate) const NONE: u32 = u32::MAX;

/// What waits in the control lane.
#[derive(Debug)]
pub(crate) enum Control {
    /// A whole frame.
    Frame(Rc<[u8]>),
    /// A ledger, to be taken at the frame boundary where it is written.
    Ledger {
        id: Option<Id>,
        subscription: SubKey,
    },
    /// The end of a subscription with its final ledger, taken likewise.
    Unsubscribed {
        id: Option<Id>,
        subscription: SubKey,
    },
    /// The close frame: nothing after it.
    Close { frame: Rc<[u8]>, code: u16 },
}

/// What an answer that is written later counts against the lane's bound: about what a ledger takes.
const LATER_BYTES: u32 = 300;

impl Control {
    /// What it counts against the lane's bound.
    pub(crate) fn bytes(&self) -> u32 {
        match self {
            Self::Frame(frame) | Self::Close { frame, .. } => frame.len() as u32,
            Self::Ledger { .. } | Self::Unsubscribed { .. } => LATER_BYTES,
        }
    }
}

/// A frame of which the kernel has taken a part.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) frame: Rc<[u8]>,
    pub(crate) done: u32,
    /// What its completion means.
    pub(crate) rest: Rest,
}

/// What the completion of a frame under way means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// So many publications of this subscription will have been delivered; the first was numbered then.
    Message {
        subscription: SubKey,
        mono_ns: u64,
        count: u32,
    },
    /// A heartbeat's ping is with the kernel.
    Ping,
    /// The session is over.
    Close { code: u16 },
    /// Nothing.
    Other,
}

/// How far a heartbeat has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// Waiting for something to be received.
    Listening,
    /// A ping is to go out before all else, as long as the session is open.
    Queued,
    /// A ping went out then.
    Sent(u64),
}

/// A rate with a burst, kept in one number: the time at which the next would be due at an even pace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    due_ns: u64,
}

impl Pace {
    /// Takes `n` at `per_s` a second in bursts of `burst`, or says in how many nanoseconds it may be tried again.
    pub(crate) fn take(&mut self, now_ns: u64, n: u64, per_s: u32, burst: u64) -> Result<(), u64> {
        let cost = |n: u64| n.saturating_mul(1_000_000_000) / u64::from(per_s.max(1));
        let due = self.due_ns.max(now_ns) + cost(n);
        // What alone is larger than the burst passes when the bucket is full, or it never would.
        let room = now_ns + cost(burst.max(n));
        if due > room {
            return Err(due - room);
        }
        self.due_ns = due;
        Ok(())
    }
}

/// One client's connection, as the engine sees it.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, a byte each"
)]
pub(crate) struct Session {
    pub(crate) generation: u32,
    /// Its number in the session's name.
    pub(crate) number: u64,
    /// Head of the list of its subscriptions.
    pub(crate) first: u32,
    pub(crate) subscriptions: u32,
    /// Its subscriptions that have something to send, in turn.
    pub(crate) ready_first: u32,
    pub(crate) ready_last: u32,
    pub(crate) ready: u32,
    /// The kernel refused; nothing is tried until it takes again.
    pub(crate) blocked: bool,
    /// It stands in the engine's queue of visits.
    pub(crate) queued: bool,
    /// A close frame is under way: commands and data are over.
    pub(crate) closing: bool,
    pub(crate) may_publish: bool,
    pub(crate) partial: Option<Partial>,
    pub(crate) control: VecDeque<Control>,
    pub(crate) control_bytes: u32,
    /// Commands refused one after the other for their rate.
    pub(crate) strikes: u32,
    pub(crate) struck_ns: u64,
    /// Calls under way.
    pub(crate) calls: u32,
    pub(crate) received_ns: u64,
    pub(crate) heartbeat: Heartbeat,
    /// When the kernel refused first.
    pub(crate) blocked_ns: u64,
    /// When it is to be closed: a spread goodbye, or a close frame that the kernel does not take. 0: not.
    pub(crate) end_ns: u64,
    pub(crate) end_code: u16,
    pub(crate) commands: Pace,
    pub(crate) publishes: Pace,
    pub(crate) publish_bytes: Pace,
}

impl Session {
    pub(crate) fn new(generation: u32, number: u64, now_ns: u64, may_publish: bool) -> Self {
        Self {
            generation,
            number,
            first: NONE,
            subscriptions: 0,
            ready_first: NONE,
            ready_last: NONE,
            ready: 0,
            blocked: false,
            queued: false,
            closing: false,
            may_publish,
            partial: None,
            control: VecDeque::new(),
            control_bytes: 0,
            strikes: 0,
            struck_ns: 0,
            calls: 0,
            received_ns: now_ns,
            heartbeat: Heartbeat::Listening,
            blocked_ns: 0,
            end_ns: 0,
            end_code: 0,
            commands: Pace::default(),
            publishes: Pace::default(),
            publish_bytes: Pace::default(),
        }
    }

    /// Whether a write would have something to hand over.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        (self.ready_first != NONE && !self.closing) || self.has_more_than_data()
    }

    /// Whether something goes out before what its subscriptions have to send, or instead of it.
    #[inline]
    pub(crate) fn has_more_than_data(&self) -> bool {
        self.partial.is_some() || !self.control.is_empty() || self.owes_ping()
    }

    /// Whether a ping is to go out of which nothing is with the kernel.
    #[inline]
    pub(crate) fn owes_ping(&self) -> bool {
        let begun = |p: &Partial| p.rest == Rest::Ping;
        self.heartbeat == Heartbeat::Queued
            && !self.closing
            && !self.partial.as_ref().is_some_and(begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_allows_its_burst_and_then_its_rate() {
        let mut pace = Pace::default();
        let now = 5_000_000_000;
        for _ in 0..20 {
            assert!(pace.take(now, 1, 10, 20).is_ok());
        }
        assert_eq!(pace.take(now, 1, 10, 20), Err(100_000_000));
        assert!(pace.take(now + 100_000_000, 1, 10, 20).is_ok());
        assert!(pace.take(now + 100_000_000, 1, 10, 20).is_err());
    }

    #[test]
    fn one_that_is_larger_than_the_burst_passes_when_the_bucket_is_full() {
        let mut pace = Pace::default();
        assert!(pace.take(1, 500, 100, 100).is_ok());
        assert!(pace.take(2, 1, 100, 100).is_err());
    }
}
