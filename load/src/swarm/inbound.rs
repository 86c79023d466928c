//! From a readable socket to texts: one read into a buffer that all connections share, frames found in place.
//!
//! Driven by the loop; what a text says is `heard`'s.
//!
//! Laws: the receive time is taken right after the read; a connection keeps bytes only of a frame whose end has not come.
use super::batch::Item;
use super::conn::{Conn, State};
use super::counters::Counters;
use super::frames::{Frame, FrameError, Opcode, PAYLOAD_MAX, Scan, scan};
use super::group::Members;
use super::order::Room;
use super::outgoing;
use super::socket::say;
use super::topics::Topic;
use super::upgrade::UpgradeError;
use crate::clock;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// One read's room. Larger than a socket's receive buffer usually is, so that a short read says "drained"; small enough
/// for the second-level cache, where the next connection's bytes overwrite it.
const BUFFER: usize = 256 * 1024;

/// Room that a read has at least, however much is carried over.
const ROOM_MIN: usize = 64 * 1024;

/// Reads of one connection before others have their turn.
const READS_PER_TURN: usize = 4;

/// Keys of rated subscriptions whose order is followed at most, over all connections: 40 MB.
const KEYS_MAX: usize = 1 << 20;

/// Close code of a connection that ended without a close frame (RFC 6455 section 7.1.5).
pub(super) const NO_CLOSE_FRAME: u16 = 1006;

/// Close code of a close frame without one.
const NO_STATUS: u16 = 1005;

/// What a visit to a socket came to.
#[derive(Debug)]
pub(super) enum Visit {
    /// Nothing more for now.
    Drained,
    /// Perhaps more: come again.
    More,
    /// It is over.
    Over(End),
}

/// Why it is over.
#[derive(Debug)]
pub(super) enum End {
    /// End of stream or reset.
    Stream,
    /// The handshake failed.
    Upgrade(UpgradeError),
    /// The server broke the rules.
    Violation(FrameError),
}

/// Whether the kernel has said that the peer is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Speaking,
    Done,
}

/// What all connections share.
pub(super) struct Inbound {
    pub(super) topics: Vec<Topic>,
    pub(super) groups: Vec<Members>,
    pub(super) counters: Counters,
    /// What is left to follow the order of keys with.
    pub(super) room: Room,
    /// Of the batch at hand.
    pub(super) items: Vec<Item>,
    buffer: Vec<u8>,
    pub(super) check_every: u32,
    pub(super) until_check: u32,
}

impl Inbound {
    pub(super) fn new(check_every: u32) -> Self {
        Self {
            topics: Vec::new(),
            groups: Vec::new(),
            counters: Counters::default(),
            room: Room {
                keys: KEYS_MAX,
                unfollowed: 0,
            },
            items: Vec::new(),
            buffer: vec![0; BUFFER],
            check_every: check_every.max(1),
            until_check: check_every.max(1),
        }
    }

    /// Reads what there is, at most so many bytes.
    pub(super) fn read(&mut self, conn: &mut Conn, peer: Peer, limit: usize) -> Visit {
        let mut buffer = std::mem::take(&mut self.buffer);
        let visit = self.read_into(&mut buffer, conn, peer, limit);
        self.buffer = buffer;
        visit.unwrap_or_else(Visit::Over)
    }

    fn read_into(
        &mut self,
        buffer: &mut Vec<u8>,
        conn: &mut Conn,
        peer: Peer,
        mut limit: usize,
    ) -> Result<Visit, End> {
        for _ in 0..READS_PER_TURN {
            let carried = conn.partial.len();
            if buffer.len() < carried + ROOM_MIN {
                buffer.resize((carried * 2).min(PAYLOAD_MAX + BUFFER), 0);
            }
            buffer[..carried].copy_from_slice(&conn.partial);
            let room = limit.min(buffer.len() - carried);
            let free = &mut buffer[carried..carried + room];
            let read = match recv(&conn.fd, free, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(End::Stream),
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Ok(Visit::Drained),
                Err(Errno::INTR) => continue,
                Err(_) => return Err(End::Stream),
            };
            let now_us = clock::wall_us();
            self.counters.reads += 1;
            self.counters.wire_bytes += read as u64;
            let used = self.take_all(conn, &buffer[..carried + read], now_us)?;
            keep(conn, &buffer[used..carried + read]);
            limit -= read;
            let drained = read < room && peer == Peer::Speaking;
            if drained || conn.is_paused() || limit == 0 {
                return Ok(Visit::Drained);
            }
        }
        Ok(Visit::More)
    }

    /// Takes what is whole, and does what follows from it for the connection; how many bytes that was.
    #[inline]
    fn take_all(&mut self, conn: &mut Conn, bytes: &[u8], now_us: u64) -> Result<usize, End> {
        let (held, before) = (conn.held, self.counters.received);
        let used = self.take(conn, bytes, now_us)?;
        if self.counters.received != before {
            conn.held.since_us = now_us;
            self.groups[conn.group.index()]
                .staleness
                .replaced(held, now_us);
            self.grant(conn)?;
        }
        Ok(used)
    }

    /// Gives more credit where half is used.
    #[inline]
    fn grant(&mut self, conn: &mut Conn) -> Result<(), End> {
        let topic = &self.topics[conn.topic as usize];
        let Some(n) = topic.due_credit(conn.received.wrapping_sub(conn.granted)) else {
            return Ok(());
        };
        conn.granted = conn.received;
        let mut command = Vec::new();
        topic.credit(n, &mut command);
        say(conn, &command).map_err(|_| End::Stream)
    }

    /// Takes what is whole; how many bytes that was.
    fn take(&mut self, conn: &mut Conn, bytes: &[u8], now_us: u64) -> Result<usize, End> {
        let mut at = 0;
        if conn.state == State::Upgrading {
            match self.upgrade(conn, bytes, now_us)? {
                Some(head) => at = head,
                None => return Ok(0),
            }
        }
        while let Scan::Whole(frame, len) = scan(&bytes[at..]).map_err(End::Violation)? {
            self.frame(conn, frame, now_us)?;
            at += len;
        }
        Ok(at)
    }

    fn upgrade(
        &mut self,
        conn: &mut Conn,
        bytes: &[u8],
        now_us: u64,
    ) -> Result<Option<usize>, End> {
        let Some(upgrade) = conn.rare.as_ref().and_then(|rare| rare.upgrade.as_ref()) else {
            return Ok(Some(0));
        };
        let head = upgrade.check(bytes).map_err(End::Upgrade)?;
        if head.is_some() {
            conn.rare().upgrade = None;
            conn.tidy();
            self.counters.upgraded(clock::mono_ns());
            if conn.caller.is_some() {
                self.stands(conn, now_us);
                return Ok(head);
            }
            conn.state = State::Subscribing;
            let mut command = Vec::new();
            self.topics[conn.topic as usize].subscribe(&mut command);
            say(conn, &command).map_err(|_| End::Stream)?;
        }
        Ok(head)
    }

    #[inline]
    fn frame(&mut self, conn: &mut Conn, frame: Frame<'_>, now_us: u64) -> Result<(), End> {
        if frame.opcode == Opcode::Text && frame.fin && conn.rare.is_none() {
            self.text(conn, frame.payload, now_us);
            return Ok(());
        }
        self.rare_frame(conn, frame, now_us)
    }

    #[cold]
    fn rare_frame(&mut self, conn: &mut Conn, frame: Frame<'_>, now_us: u64) -> Result<(), End> {
        let under_way = conn
            .rare
            .as_ref()
            .is_some_and(|rare| rare.fragments.is_some());
        match (frame.opcode, frame.fin) {
            (Opcode::Ping, _) => {
                self.counters.pings += 1;
                let mut pong = Vec::new();
                outgoing::frame(&mut pong, Opcode::Pong, frame.payload);
                say(conn, &pong).map_err(|_| End::Stream)
            }
            (Opcode::Pong, _) => Ok(()),
            (Opcode::Close, _) => close(conn, frame.payload),
            (Opcode::Binary, _) => Err(End::Violation(FrameError::NotOurs)),
            (Opcode::Text | Opcode::Continuation, _)
                if under_way == (frame.opcode == Opcode::Text) =>
            {
                Err(End::Violation(FrameError::Fragments))
            }
            (Opcode::Text, true) => {
                self.text(conn, frame.payload, now_us);
                Ok(())
            }
            (Opcode::Text, false) => {
                conn.rare().fragments = Some(frame.payload.to_vec());
                Ok(())
            }
            (Opcode::Continuation, fin) => {
                self.fragment(conn, frame.payload, fin.then_some(now_us))
            }
        }
    }

    /// One more piece; `complete_us` when it is the last.
    fn fragment(
        &mut self,
        conn: &mut Conn,
        payload: &[u8],
        complete_us: Option<u64>,
    ) -> Result<(), End> {
        let mut text = conn.rare().fragments.take().unwrap_or_default();
        if text.len() + payload.len() > PAYLOAD_MAX {
            return Err(End::Violation(FrameError::TooLong(
                (text.len() + payload.len()) as u64,
            )));
        }
        text.extend_from_slice(payload);
        match complete_us {
            Some(now_us) => self.text(conn, &text, now_us),
            None => conn.rare().fragments = Some(text),
        }
        conn.tidy();
        Ok(())
    }
}

/// Answers a close with the same code, unless it is itself the answer to ours.
fn close(conn: &mut Conn, payload: &[u8]) -> Result<(), End> {
    if conn.state == State::Leaving {
        return Ok(());
    }
    let code = payload
        .first_chunk()
        .map_or(NO_STATUS, |code| u16::from_be_bytes(*code));
    conn.state = State::Closing(code);
    let mut answer = Vec::new();
    outgoing::frame(
        &mut answer,
        Opcode::Close,
        payload.get(..2).unwrap_or_default(),
    );
    say(conn, &answer).map_err(|_| End::Stream)
}

/// What begins a frame is kept; what was kept and is used up is given back.
#[inline]
fn keep(conn: &mut Conn, rest: &[u8]) {
    if rest.is_empty() {
        if conn.partial.capacity() > 0 {
            conn.partial = Vec::new();
        }
    } else {
        conn.partial.clear();
        conn.partial.extend_from_slice(rest);
    }
}
