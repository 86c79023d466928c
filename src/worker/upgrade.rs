//! Handshakes: from an accepted socket to a session, an echo, or an answer and the end.
//!
//! Owns the connections whose request has not all arrived, reading it, and writing the answer. Must not contain: what is answered
//! (that is `http`). Driven by the worker's loop.
//!
//! A request has usually arrived before its connection is accepted: then the handshake is two calls, and nothing is remembered. Who
//! comes without one, or with half of one, waits in a table, watched like every other socket.
//!
//! Laws:
//! - The whole of it takes `handshake_ms` at most and the head `header_bytes` at most, however slowly or endlessly it is sent.
//! - When the table is full, those that have held a place for long give way: honest ones are done in a round trip.
//! - Bytes that arrived behind the request belong to the session and are handed on.
use super::front::{Arrival, Front, Seat, Underway};
use super::http::{self, Head, Refusal, Route, Service, Site};
use super::poller::{Before, Kind, Poller, Token};
use crate::telemetry::scoreboard::Rejected;
use ::http::{Request, header};
use pubsub_stream::Peer;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, getsockname, recv, send};
use slab::Slab;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// A handshake this old gives way when there is no room for another one: well over a round trip.
const PATIENCE_NS: u64 = 1_000_000_000;
/// One part in this many of the table gives way at once, so that a crowd of silent ones is outpaced.
const GIVE_WAY_DIVISOR: usize = 16;

/// A connection whose handshake is under way.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) fd: OwnedFd,
    pub(super) seat: Seat,
    address: IpAddr,
    refusing: Option<Service>,
    /// What has arrived of the head.
    bytes: Vec<u8>,
    since_ns: u64,
    _underway: Underway,
}

/// What came of looking at a handshake.
#[derive(Debug)]
pub(super) enum Step {
    /// Its request has not all arrived.
    Wait,
    /// Nobody is there any more.
    Gone,
    /// It is answered.
    Done(Reply),
}

/// An answer that has been written, and what follows it.
#[derive(Debug)]
pub(super) enum Reply {
    /// A session, which begins with these bytes.
    Session {
        /// What its peer may do.
        peer: Peer,
        /// What had arrived behind the request.
        rest: Vec<u8>,
    },
    /// An echo, likewise.
    Echo {
        /// What had arrived behind the request.
        rest: Vec<u8>,
    },
    /// The end.
    Close,
}

impl Handshake {
    pub(super) fn new(arrival: Arrival) -> Self {
        Self {
            fd: arrival.fd,
            seat: arrival.seat,
            address: arrival.address,
            refusing: arrival.refusing,
            bytes: Vec::new(),
            since_ns: arrival.since_ns,
            _underway: arrival.underway,
        }
    }

    /// Reads what has arrived, with the help of `scratch`, and answers if that is a request.
    pub(super) fn advance(&mut self, front: &Front, scratch: &mut [u8]) -> Step {
        loop {
            let room = front.config.worker.header_bytes - self.bytes.len();
            let space = room.min(scratch.len());
            let arrived = match recv(&self.fd, &mut scratch[..space], RecvFlags::empty()) {
                Ok((0, _)) => return Step::Gone,
                Ok((bytes, _)) => &scratch[..bytes],
                Err(Errno::AGAIN) => return Step::Wait,
                Err(Errno::INTR) => continue,
                Err(_) => return Step::Gone,
            };
            match self.read(front, arrived) {
                Step::Wait if arrived.len() == space => {}
                step => return step,
            }
        }
    }

    fn read(&mut self, front: &Front, arrived: &[u8]) -> Step {
        if self.bytes.is_empty() {
            // All at once, as it usually comes: nothing is copied.
            let step = self.answer(front, http::parse(arrived), arrived);
            if matches!(step, Step::Wait) {
                self.bytes.extend_from_slice(arrived);
            }
            return step;
        }
        let before = self.bytes.len();
        self.bytes.extend_from_slice(arrived);
        let full = self.bytes.len() >= front.config.worker.header_bytes;
        // A head sent byte by byte is parsed when it may be whole, not with each byte.
        if !full && !may_end(&self.bytes, before) {
            return Step::Wait;
        }
        let bytes = std::mem::take(&mut self.bytes);
        match self.answer(front, http::parse(&bytes), &bytes) {
            Step::Wait => {
                self.bytes = bytes;
                Step::Wait
            }
            step => step,
        }
    }

    fn answer(&self, front: &Front, head: Head, bytes: &[u8]) -> Step {
        match head {
            Head::Whole(request, length) => self.route(front, &request, &bytes[length..]),
            Head::Bad(refusal) => self.refuse(front, &refusal),
            Head::Partial if bytes.len() >= front.config.worker.header_bytes => {
                self.refuse(front, &http::too_large())
            }
            Head::Partial => Step::Wait,
        }
    }

    fn route(&self, front: &Front, request: &Request<()>, rest: &[u8]) -> Step {
        let site = Site {
            origins: &front.origins,
            local: self.local(request),
            service: self.refusing.unwrap_or_else(|| front.service()),
            echo: front.echo(),
        };
        let rest = rest.to_vec();
        match http::route(request, &site) {
            Route::Session(response) => {
                let peer = front.peer(self.address, http::is_forwarded(request));
                self.write(&http::switching(&response), Reply::Session { peer, rest })
            }
            Route::Echo(response) => self.write(&http::switching(&response), Reply::Echo { rest }),
            Route::Health => {
                let (node, worker) = (&front.config.node, front.number());
                let json = serde_json::json!({ "status": "ok", "node": node, "worker": worker });
                self.write(&http::health(&json.to_string()), Reply::Close)
            }
            Route::Refuse(refusal) => self.refuse(front, &refusal),
        }
    }

    fn refuse(&self, front: &Front, refusal: &Refusal) -> Step {
        front.count(refusal.why);
        self.write(&refusal.to_bytes(), Reply::Close)
    }

    /// Writes an answer; an empty send buffer holds any of them.
    fn write(&self, bytes: &[u8], reply: Reply) -> Step {
        match send(&self.fd, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == bytes.len() => Step::Done(reply),
            Ok(_) | Err(_) => Step::Gone,
        }
    }

    /// The address it came in on; asked for only where a page wants in.
    fn local(&self, request: &Request<()>) -> IpAddr {
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if !request.headers().contains_key(header::ORIGIN) {
            return unspecified;
        }
        let address = getsockname(&self.fd).and_then(SocketAddr::try_from);
        address.map_or(unspecified, |address| address.ip().to_canonical())
    }
}

/// Whether an empty line ends in the bytes from `new` on.
fn may_end(bytes: &[u8], new: usize) -> bool {
    let fresh = &bytes[new.saturating_sub(2)..];
    fresh.windows(2).any(|w| w == b"\n\n") || fresh.windows(3).any(|w| w == b"\n\r\n")
}

/// Those whose request has not all arrived.
#[derive(Debug)]
pub(super) struct Handshakes {
    slots: Slab<(u32, Handshake)>,
    serial: u32,
    /// In the order they came, which is the order of their ends.
    order: VecDeque<Token>,
    limit: usize,
    handshake_ns: u64,
}

impl Handshakes {
    /// At most `limit` of them, each for `handshake_ns` at most.
    pub(super) fn new(limit: usize, handshake_ns: u64) -> Self {
        Self {
            slots: Slab::new(),
            serial: 0,
            order: VecDeque::new(),
            limit,
            handshake_ns,
        }
    }

    /// Watches one for the rest of its request. A socket that cannot be watched is dropped.
    pub(super) fn insert(&mut self, handshake: Handshake, poller: &Poller) {
        self.serial = self.serial.wrapping_add(1) & Token::SERIAL_MASK;
        let entry = self.slots.vacant_entry();
        let token = Token {
            kind: Kind::Handshake,
            index: entry.key() as u32,
            serial: self.serial,
        };
        if poller.watch(&handshake.fd, token, Before::Unknown).is_ok() {
            entry.insert((self.serial, handshake));
            self.order.push_back(token);
        }
    }

    /// The one an event is about, unless it is stale.
    pub(super) fn at(&mut self, token: Token) -> Option<&mut Handshake> {
        let (serial, handshake) = self.slots.get_mut(token.index as usize)?;
        (*serial == token.serial).then_some(handshake)
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, token: Token) -> Option<Handshake> {
        self.at(token)?;
        Some(self.slots.remove(token.index as usize).1)
    }

    /// When the oldest has had its time, or gives way.
    pub(super) fn poll_timeout(&mut self) -> Option<u64> {
        let patience_ns = self.patience_ns();
        self.oldest()
            .map(|(_, since_ns)| since_ns.saturating_add(patience_ns))
    }

    /// The next one that has had its time, with what it is told; or that gives way, told nothing.
    pub(super) fn poll_overdue(&mut self, now_ns: u64, front: &Front) -> Option<(Handshake, Step)> {
        let (token, since_ns) = self.oldest()?;
        let age_ns = now_ns.saturating_sub(since_ns);
        if age_ns >= self.handshake_ns {
            let late = self.remove(token)?;
            let step = late.refuse(front, &http::too_slow());
            return Some((late, step));
        }
        if age_ns < self.patience_ns() {
            return None;
        }
        front.count(Rejected::HandshakeFull);
        self.remove(token).map(|late| (late, Step::Gone))
    }

    /// How long one may take: less when there is hardly room for another.
    fn patience_ns(&self) -> u64 {
        let crowded = self.slots.len() + self.limit / GIVE_WAY_DIVISOR >= self.limit;
        if crowded {
            self.handshake_ns.min(PATIENCE_NS)
        } else {
            self.handshake_ns
        }
    }

    fn oldest(&mut self) -> Option<(Token, u64)> {
        while let Some(token) = self.order.front().copied() {
            if let Some(handshake) = self.at(token) {
                return Some((token, handshake.since_ns));
            }
            self.order.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_is_seen_wherever_the_pieces_are_cut() {
        for text in ["GET / HTTP/1.1\r\nA: b\r\n\r\n", "GET / HTTP/1.1\nA: b\n\n"] {
            for cut in 1..text.len() {
                assert!(may_end(text.as_bytes(), cut), "{text:?} at {cut}");
            }
            assert!(!may_end(&text.as_bytes()[..text.len() - 1], 5));
        }
    }
}
