//! The record of one connection: everything the generator keeps of it, small and in one slab.
//!
//! A connection owns bytes only while a frame is incomplete (`partial`) or something rare is under way (`rare`).
use super::calls::Caller;
use super::group::Group;
use super::order::Order;
use super::staleness::Held;
use super::upgrade::Upgrade;
use std::os::fd::OwnedFd;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The kernel is connecting.
    Connecting,
    /// The request is out.
    Upgrading,
    /// `subscribe` is out.
    Subscribing,
    /// Messages come.
    Subscribed,
    /// Upgraded, but its subscription was refused.
    Refused,
    /// The server has sent a close frame with this code; its end of the stream follows.
    Closing(u16),
    /// We have asked for the close.
    Leaving,
}

/// Whether what comes is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// It is.
    On,
    /// It is left where it is.
    Paused,
    /// It is, to the end: the server's side is closed and notices nothing of it.
    ToEnd,
}

/// From where on a subscription is owed messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// What it is owed is not followed.
    Unknown,
    /// Everything after this offset.
    After(i64),
    /// Everything after this many publications.
    Since(u64),
}

/// One connection.
pub(super) struct Conn {
    pub(super) fd: OwnedFd,
    pub(super) generation: u32,
    pub(super) topic: u32,
    pub(super) state: State,
    pub(super) group: Group,
    pub(super) reading: Reading,
    /// `ledger` is out and not answered.
    pub(super) asked: bool,
    /// A `ledger` has been answered.
    pub(super) booked: bool,
    /// Messages received.
    pub(super) received: u64,
    /// Messages that `gap` frames said were lost.
    pub(super) lost: u64,
    /// Messages that its ledger said were lost.
    pub(super) told: u64,
    /// What `received` was when credit was given last, where there is any.
    pub(super) granted: u64,
    /// Offset of the newest message.
    pub(super) last: i64,
    /// The newest value it holds.
    pub(super) held: Held,
    /// What is known of its order, where that is more than `last`.
    pub(super) order: Option<Box<Order>>,
    pub(super) owed: Owed,
    /// Where it calls, what is under way.
    pub(super) caller: Option<Box<Caller>>,
    /// The beginning of a frame whose end has not come.
    pub(super) partial: Vec<u8>,
    pub(super) rare: Option<Box<Rare>>,
}

/// What hardly any connection has at any moment.
#[derive(Default)]
pub(super) struct Rare {
    /// The handshake under way.
    pub(super) upgrade: Option<Upgrade>,
    /// What the socket did not take.
    pub(super) unsent: Vec<u8>,
    /// Payload of the fragments of an unfinished message.
    pub(super) fragments: Option<Vec<u8>>,
}

impl Rare {
    fn is_empty(&self) -> bool {
        self.upgrade.is_none() && self.unsent.is_empty() && self.fragments.is_none()
    }
}

impl Conn {
    pub(super) fn new(fd: OwnedFd, generation: u32, topic: u32, group: Group) -> Self {
        Self {
            fd,
            generation,
            topic,
            state: State::Connecting,
            group,
            reading: Reading::On,
            asked: false,
            booked: false,
            received: 0,
            lost: 0,
            told: 0,
            granted: 0,
            last: i64::MIN,
            held: Held::default(),
            order: None,
            owed: Owed::Unknown,
            caller: None,
            partial: Vec::new(),
            rare: None,
        }
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Gives the rare part back when nothing is in it.
    pub(super) fn tidy(&mut self) {
        if self.rare.as_ref().is_some_and(|rare| rare.is_empty()) {
            self.rare = None;
        }
    }

    /// Reads nothing for now, unless what is there is the last.
    pub(super) fn pause(&mut self) {
        if self.reading == Reading::On {
            self.reading = Reading::Paused;
        }
    }

    /// Reads again; whether it had not.
    pub(super) fn read_on(&mut self) -> bool {
        let paused = self.is_paused();
        if paused {
            self.reading = Reading::On;
        }
        paused
    }

    /// Whether what comes is left where it is.
    pub(super) fn is_paused(&self) -> bool {
        self.reading == Reading::Paused
    }

    /// Whether its subscription stood, ever.
    pub(super) fn has_subscribed(&self) -> bool {
        self.held.since_us > 0
    }

    /// Whether it has passed the handshake and not been closed.
    pub(super) fn is_open(&self) -> bool {
        matches!(
            self.state,
            State::Subscribing | State::Subscribed | State::Refused
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_a_small_record() {
        assert!(size_of::<Conn>() <= 160, "{} bytes", size_of::<Conn>());
    }
}
