//! Connections on their way out: the close frame is with the kernel, and the client may still be sending.
//!
//! Owns their sockets until the client's end, or until it has had time enough. Must not contain: sessions; the engine has forgotten
//! these. Driven by the worker's loop.
//!
//! A socket closed while unread bytes wait answers with a reset, and a reset throws away what the client has not read: the close frame.
//! So the sending side is shut down, what still comes is read and thrown away, and the socket is closed at the client's end.
use super::front::Seat;
use super::poller::{Before, Kind, Poller, Token};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use slab::Slab;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// Time for the client's end: a round trip and a busy client.
const LINGER_NS: u64 = 2_000_000_000;
/// At most this many wait; over it the oldest is closed as it is. Bounds what a crowd that never ends can hold.
const LINGERERS: usize = 4096;
/// Reads at one event before giving a client up that goes on sending: 256 KiB, over what was under way when it was told.
const READS: usize = 16;

#[derive(Debug)]
struct Lingerer {
    fd: OwnedFd,
    serial: u32,
    _seat: Seat,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Lingerers {
    slots: Slab<Lingerer>,
    serial: u32,
    /// Until when, in the order they came, which is the order of their ends.
    ends: VecDeque<(u64, Token)>,
}

impl Lingerers {
    /// Shuts a connection's sending side down and waits for the client's.
    pub(super) fn insert(
        &mut self,
        now_ns: u64,
        fd: OwnedFd,
        seat: Seat,
        before: Before,
        poller: &Poller,
    ) {
        if shutdown(&fd, Shutdown::Write).is_err() {
            return;
        }
        self.serial = self.serial.wrapping_add(1) & Token::SERIAL_MASK;
        let entry = self.slots.vacant_entry();
        let token = Token {
            kind: Kind::Lingering,
            index: entry.key() as u32,
            serial: self.serial,
        };
        if poller.watch(&fd, token, before).is_err() {
            return;
        }
        entry.insert(Lingerer {
            fd,
            serial: self.serial,
            _seat: seat,
        });
        self.ends.push_back((now_ns + LINGER_NS, token));
        while self.slots.len() > LINGERERS {
            self.close_oldest();
        }
    }

    /// Something came, or the end did.
    pub(super) fn handle_ready(&mut self, token: Token, scratch: &mut [u8]) {
        let known = self.slots.get(token.index as usize);
        let Some(lingerer) = known.filter(|known| known.serial == token.serial) else {
            return;
        };
        for _ in 0..READS {
            match recv(&lingerer.fd, &mut *scratch, RecvFlags::empty()) {
                Err(Errno::AGAIN) => return,
                Ok((1.., _)) | Err(Errno::INTR) => {}
                Ok(_) | Err(_) => break,
            }
        }
        self.slots.remove(token.index as usize);
    }

    /// Closes those that have had their time.
    pub(super) fn handle_timeout(&mut self, now_ns: u64) {
        while self.poll_timeout().is_some_and(|end| end <= now_ns) {
            self.close_oldest();
        }
    }

    /// When the next one has had its time.
    pub(super) fn poll_timeout(&mut self) -> Option<u64> {
        while let Some((end, token)) = self.ends.front() {
            if self.holds(*token) {
                return Some(*end);
            }
            self.ends.pop_front();
        }
        None
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn close_oldest(&mut self) {
        if let Some((_, token)) = self.ends.pop_front()
            && self.holds(token)
        {
            self.slots.remove(token.index as usize);
        }
    }

    fn holds(&self, token: Token) -> bool {
        let lingerer = self.slots.get(token.index as usize);
        lingerer.is_some_and(|lingerer| lingerer.serial == token.serial)
    }
}
