//! The record of one connection: everything the generator keeps of it, small and in one slab.
//!
//! A connection owns bytes only while a frame is incomplete (`partial`) or something rare is under way (`rare`).
use super::upgrade::Upgrade;
use std::os::fd::OwnedFd;

/// A group of connections that is counted, paused and resumed together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Group(pub(super) u8);

impl Group {
    /// How many groups there are.
    pub const COUNT: usize = 2;
    /// Where connections belong unless they are told otherwise.
    pub const MAIN: Self = Self(0);
    /// Those set apart: the slow, the stopped.
    pub const APART: Self = Self(1);

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

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
    /// Nothing is read from it.
    pub(super) paused: bool,
    /// `ledger` is out and not answered.
    pub(super) asked: bool,
    /// Messages received.
    pub(super) received: u64,
    /// Messages that `gap` frames said were lost.
    pub(super) lost: u64,
    /// Offset of the newest message.
    pub(super) last: i64,
    pub(super) owed: Owed,
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
            paused: false,
            asked: false,
            received: 0,
            lost: 0,
            last: i64::MIN,
            owed: Owed::Unknown,
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
