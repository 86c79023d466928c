//! From a readable socket to counts: one read into a buffer that all connections share, frames found in place.
//!
//! Driven by the loop. The cost per message decides whether the generator can follow a server, so a plain `msg` touches the
//! record, a prefix comparison, two numbers and a histogram; everything else goes through the parser.
//!
//! Laws: the receive time is taken right after the read; a connection keeps bytes only of a frame whose end has not come.
use super::conn::{Conn, Owed, State};
use super::counters::Counters;
use super::frames::{Frame, FrameError, Opcode, PAYLOAD_MAX, Scan, scan};
use super::head::Head;
use super::said::{self, Log, Said};
use super::socket::say;
use super::tally::Tally;
use super::topics::{Topic, id};
use super::upgrade::UpgradeError;
use super::{Group, outgoing};
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
    pub(super) tallies: [Tally; Group::COUNT],
    pub(super) counters: Counters,
    buffer: Vec<u8>,
    check_every: u32,
    until_check: u32,
}

impl Inbound {
    pub(super) fn new(check_every: u32, outliers: usize) -> Self {
        Self {
            topics: Vec::new(),
            tallies: [(); Group::COUNT].map(|()| Tally::new(outliers)),
            counters: Counters::default(),
            buffer: vec![0; BUFFER],
            check_every: check_every.max(1),
            until_check: check_every.max(1),
        }
    }

    /// Reads what there is.
    pub(super) fn read(&mut self, conn: &mut Conn, peer: Peer) -> Visit {
        let mut buffer = std::mem::take(&mut self.buffer);
        let visit = self.read_into(&mut buffer, conn, peer);
        self.buffer = buffer;
        visit.unwrap_or_else(Visit::Over)
    }

    fn read_into(
        &mut self,
        buffer: &mut Vec<u8>,
        conn: &mut Conn,
        peer: Peer,
    ) -> Result<Visit, End> {
        for _ in 0..READS_PER_TURN {
            let carried = conn.partial.len();
            if buffer.len() < carried + ROOM_MIN {
                buffer.resize((carried * 2).min(PAYLOAD_MAX + BUFFER), 0);
            }
            buffer[..carried].copy_from_slice(&conn.partial);
            let room = buffer.len() - carried;
            let read = match recv(&conn.fd, &mut buffer[carried..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(End::Stream),
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Ok(Visit::Drained),
                Err(Errno::INTR) => continue,
                Err(_) => return Err(End::Stream),
            };
            let now_us = clock::wall_us();
            self.counters.reads += 1;
            self.counters.wire_bytes += read as u64;
            let used = self.take(conn, &buffer[..carried + read], now_us)?;
            keep(conn, &buffer[used..carried + read]);
            if read < room && peer == Peer::Speaking {
                return Ok(Visit::Drained);
            }
        }
        Ok(Visit::More)
    }

    /// Takes what is whole; how many bytes that was.
    fn take(&mut self, conn: &mut Conn, bytes: &[u8], now_us: u64) -> Result<usize, End> {
        let mut at = 0;
        if conn.state == State::Upgrading {
            match self.upgrade(conn, bytes)? {
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

    fn upgrade(&mut self, conn: &mut Conn, bytes: &[u8]) -> Result<Option<usize>, End> {
        let Some(upgrade) = conn.rare.as_ref().and_then(|rare| rare.upgrade.as_ref()) else {
            return Ok(Some(0));
        };
        let head = upgrade.check(bytes).map_err(End::Upgrade)?;
        if head.is_some() {
            conn.rare().upgrade = None;
            conn.tidy();
            conn.state = State::Subscribing;
            self.counters.upgraded += 1;
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

    #[inline]
    fn text(&mut self, conn: &mut Conn, payload: &[u8], now_us: u64) {
        let Some(head) = self.topics[conn.topic as usize].head(payload) else {
            return self.other(conn, payload, now_us);
        };
        self.message(conn, head, payload.len(), now_us);
        self.until_check -= 1;
        if self.until_check == 0 {
            self.check(head, payload);
        }
    }

    #[inline]
    fn message(&mut self, conn: &mut Conn, head: Head, bytes: usize, now_us: u64) {
        let topic = &mut self.topics[conn.topic as usize];
        conn.received += 1;
        self.counters.received += 1;
        if head.offset > conn.last {
            conn.last = head.offset;
        } else if topic.rises {
            self.counters.duplicates += u64::from(head.offset == conn.last);
            self.counters.disorders += u64::from(head.offset < conn.last);
        }
        if let Some(published) = &mut topic.published {
            published.saw(head);
        }
        self.tallies[conn.group.index()].receive(now_us.saturating_sub(head.ts_us), bytes);
    }

    /// Every so often a message is parsed whole: what the fast path read must be what a parser reads.
    #[cold]
    fn check(&mut self, head: Head, payload: &[u8]) {
        self.until_check = self.check_every;
        self.counters.checked += 1;
        let whole = said::whole_msg(payload);
        let agrees = whole.is_some_and(|msg| msg.offset == head.offset && msg.ts == head.ts_us);
        self.counters.malformed += u64::from(!agrees);
    }

    #[cold]
    fn other(&mut self, conn: &mut Conn, payload: &[u8], now_us: u64) {
        self.counters.parsed += 1;
        match said::parse(payload) {
            Some(Said::Messages(heads)) => {
                let each = payload.len() / heads.len().max(1);
                for head in heads {
                    self.message(conn, head, each, now_us);
                }
            }
            Some(Said::Subscribed { offset }) => self.subscribed(conn, offset),
            Some(Said::Gap {
                to,
                count,
                offset,
                log: Log::Same,
            }) => self.gap(conn, to.or(offset), count, now_us),
            Some(Said::Gap {
                offset,
                log: Log::Another,
                ..
            }) => self.another_log(conn, offset),
            Some(Said::Ledger(ledger)) => {
                conn.asked = false;
                self.counters.books.enter(&ledger, conn.received);
            }
            Some(Said::Error { id, text }) => self.error(conn, id, text),
            Some(Said::Welcome { worker }) => {
                *self.counters.workers.entry(worker).or_default() += 1;
            }
            Some(Said::Goaway) => self.counters.goaways += 1,
            Some(Said::Published { .. } | Said::Other) => {}
            None => self.counters.malformed += 1,
        }
    }

    fn subscribed(&mut self, conn: &mut Conn, offset: Option<i64>) {
        conn.state = State::Subscribed;
        self.counters.subscribed += 1;
        let followed = self.topics[conn.topic as usize].published.is_some();
        if let Some(offset) = offset {
            conn.last = offset;
            conn.owed = if followed {
                Owed::After(offset)
            } else {
                Owed::Unknown
            };
        }
    }

    fn gap(&mut self, conn: &mut Conn, to: Option<i64>, count: Option<u64>, now_us: u64) {
        self.counters.gaps += 1;
        let Some(count) = count else {
            self.counters.gaps_uncounted += 1;
            conn.owed = Owed::Unknown;
            return;
        };
        conn.lost += count;
        self.tallies[conn.group.index()].lost += count;
        if let (Some(published), Some(to)) = (&mut self.topics[conn.topic as usize].published, to) {
            published.heard_of(to, count, now_us);
        }
    }

    /// Another epoch: the ledger and the offsets begin anew, and what was owed in the old log never will be.
    fn another_log(&mut self, conn: &mut Conn, offset: Option<i64>) {
        self.counters.gaps += 1;
        self.counters.gaps_uncounted += 1;
        conn.received = 0;
        conn.lost = 0;
        conn.last = offset.unwrap_or(i64::MIN);
        conn.owed = Owed::Unknown;
        self.topics[conn.topic as usize].published = None;
    }

    fn error(&mut self, conn: &mut Conn, id: Option<u64>, text: String) {
        self.counters.error(text);
        match id {
            Some(id::SUBSCRIBE) => conn.state = State::Refused,
            Some(id::LEDGER) => {
                conn.asked = false;
                self.counters.books.unanswered += 1;
            }
            _ => {}
        }
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
