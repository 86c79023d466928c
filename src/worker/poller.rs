//! The worker's own epoll: readiness of all subscribers' sockets.
//!
//! Owns the epoll descriptor and the space for its events. Must not contain: what an event leads to. Driven by the worker's loop.
//!
//! A socket is added once, edge-triggered, for both directions, and never changed: an idle connection costs the kernel's record
//! and nothing of the runtime's. The runtime watches the epoll descriptor itself, as one file among its others.
use crate::kernel::Watched;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

pub(super) use epoll::{Event, EventFlags};

/// Events taken at once; fewer than this many means that there were no more.
const EVENTS: usize = 512;
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// What an event belongs to. A descriptor's number is used again as soon as it is closed, so a token names one connection for
/// good and not its place: events that were taken before a close are recognised as stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// Which table.
    pub(super) kind: Kind,
    /// Place in the table.
    pub(super) index: u32,
    /// Which of those that were at that place.
    pub(super) serial: u32,
}

/// The tables that sockets are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its handshake is under way.
    Handshake,
    /// It has a session.
    Connection,
    /// It is closing.
    Lingering,
}

impl Token {
    /// The serial has 30 bits.
    pub(super) const SERIAL_MASK: u32 = u32::MAX >> 2;

    fn pack(self) -> u64 {
        let kind = match self.kind {
            Kind::Handshake => 0,
            Kind::Connection => 1,
            Kind::Lingering => 2,
        };
        kind << 62 | u64::from(self.serial & Self::SERIAL_MASK) << 32 | u64::from(self.index)
    }

    /// What an event is about.
    pub(super) fn of(event: &Event) -> Self {
        let data = event.data.u64();
        Self {
            kind: match data >> 62 {
                0 => Kind::Handshake,
                1 => Kind::Connection,
                _ => Kind::Lingering,
            },
            serial: (data >> 32) as u32 & Self::SERIAL_MASK,
            index: data as u32,
        }
    }
}

/// Whether a socket is watched already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// It is not.
    Unknown,
    /// It is, by another token.
    Watched,
}

/// The epoll and the events taken from it last.
pub(super) struct Poller {
    epoll: Watched,
    events: Vec<Event>,
    /// Those before have been taken.
    taken: usize,
}

impl Poller {
    /// Call it inside the runtime that is to watch it.
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self {
            epoll: Watched::new(epoll)?,
            events: Vec::with_capacity(EVENTS),
            taken: 0,
        })
    }

    /// Watches a socket; what it is ready for already comes as its first event. Closing the socket ends it. `before` says whether it
    /// was watched by another token until now.
    pub(super) fn watch(&self, socket: impl AsFd, token: Token, before: Before) -> io::Result<()> {
        let input = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        let flags = match token.kind {
            Kind::Connection => input | EventFlags::OUT,
            Kind::Handshake | Kind::Lingering => input,
        };
        match before {
            Before::Unknown => epoll::add(&self.epoll, socket, data(token), flags)?,
            Before::Watched => epoll::modify(&self.epoll, socket, data(token), flags)?,
        }
        Ok(())
    }

    /// Lets go of a socket that stays open elsewhere.
    pub(super) fn forget(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Ready when there are events; [`Poller::next_event`] gives them.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.has_events() {
            let mut ready = ready!(self.epoll.poll_readable(cx))?;
            self.events.clear();
            self.taken = 0;
            let space = spare_capacity(&mut self.events);
            match epoll::wait(&self.epoll, space, Some(&NOW)) {
                Ok(n) if n < EVENTS => ready.clear_ready(),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The next event of the last poll.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        let event = self.events.get(self.taken).copied();
        self.taken += usize::from(event.is_some());
        event
    }

    /// Whether events of the last poll have not been taken.
    pub(super) fn has_events(&self) -> bool {
        self.taken < self.events.len()
    }
}

fn data(token: Token) -> epoll::EventData {
    epoll::EventData::new_u64(token.pack())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn token(index: u32) -> Token {
        Token {
            kind: Kind::Connection,
            index,
            serial: 7,
        }
    }

    fn on_a_runtime<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn a_token_comes_back_as_it_was_packed() {
        for kind in [Kind::Handshake, Kind::Connection, Kind::Lingering] {
            for (index, serial) in [(0, 0), (u32::MAX, Token::SERIAL_MASK), (5, 9)] {
                let token = Token {
                    kind,
                    index,
                    serial,
                };
                let event = Event {
                    flags: EventFlags::IN,
                    data: data(token),
                };
                assert_eq!(Token::of(&event), token);
            }
        }
    }

    #[test]
    fn more_sockets_than_one_wait_gives_are_all_reported_and_only_once() {
        on_a_runtime(async {
            let mut poller = Poller::new().expect("an epoll");
            let pairs: Vec<_> = (0..EVENTS as u32 + 100)
                .map(|i| {
                    let (near, far) = UnixStream::pair().expect("a pair");
                    poller
                        .watch(&near, token(i), Before::Unknown)
                        .expect("watched");
                    (near, far)
                })
                .collect();
            let mut seen = vec![0; pairs.len()];
            let mut total = 0;
            while total < pairs.len() {
                poll_fn(|cx| poller.poll(cx)).await.expect("events");
                while let Some(event) = poller.next_event() {
                    seen[Token::of(&event).index as usize] += 1;
                    total += 1;
                }
            }
            assert!(seen.iter().all(|n| *n == 1));
        });
    }

    #[test]
    fn an_arrival_is_reported_although_nobody_waited_when_it_came() {
        on_a_runtime(async {
            let mut poller = Poller::new().expect("an epoll");
            let (mut near, mut far) = UnixStream::pair().expect("a pair");
            poller
                .watch(&near, token(1), Before::Unknown)
                .expect("watched");
            poll_fn(|cx| poller.poll(cx)).await.expect("writable");
            for round in 0..3 {
                while poller.next_event().is_some() {}
                far.write_all(&[round]).expect("sent");
                poll_fn(|cx| poller.poll(cx)).await.expect("readable");
                let mut arrived = false;
                while let Some(event) = poller.next_event() {
                    arrived |= ({ event.flags }).contains(EventFlags::IN);
                }
                assert!(arrived);
                near.read_exact(&mut [0]).expect("received");
            }
        });
    }
}
