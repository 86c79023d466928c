//! What becomes of connections between `accept` and their session: the loop's door.
//!
//! Owns how a handshake's outcome becomes a session, an echo or an end. Must not contain: requests and answers (those are `upgrade`'s).
//! Driven by the worker's loop.
use super::drain::Drain;
use super::echo::{self, Echo};
use super::front::Seat;
use super::poller::{Before, Token};
use super::upgrade::{Handshake, Reply, Step};
use super::{Pace, Worker};
use crate::clock;
use pubsub_stream::{Now, Peer};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

/// Handshakes of one turn at most: what the fan-out and the hub wait for.
const ARRIVALS_NS: u64 = 200_000;

impl Worker {
    /// Looks at those that have just been accepted, for a while.
    pub(super) fn on_arrivals(&mut self, begun: Now) -> Pace {
        let mut now = begun;
        while let Some(arrival) = self.front.next_arrived() {
            let mut handshake = Handshake::new(arrival);
            let step = handshake.advance(&self.front, self.reader.scratch());
            self.step(now, handshake, step, Before::Unknown);
            now = clock::advance(now);
            if now.mono_ns - begun.mono_ns >= ARRIVALS_NS {
                return Pace::Hurry;
            }
        }
        Pace::Wait
    }

    /// More of a request has arrived.
    pub(super) fn on_handshake(&mut self, now: Now, token: Token) {
        let Some(handshake) = self.handshakes.at(token) else {
            return;
        };
        let step = handshake.advance(&self.front, self.reader.scratch());
        if matches!(step, Step::Wait) {
            return;
        }
        if let Some(handshake) = self.handshakes.remove(token) {
            self.step(now, handshake, step, Before::Watched);
        }
    }

    /// Ends handshakes that have had their time.
    pub(super) fn on_overdue(&mut self, now: Now) {
        while let Some((handshake, step)) = self.handshakes.poll_overdue(now.mono_ns, &self.front) {
            self.step(now, handshake, step, Before::Watched);
        }
    }

    fn step(&mut self, now: Now, handshake: Handshake, step: Step, before: Before) {
        let reply = match step {
            Step::Wait => return self.handshakes.insert(handshake, &self.poller),
            Step::Gone => return,
            Step::Done(reply) => reply,
        };
        let Handshake { fd, seat, .. } = handshake;
        match reply {
            Reply::Session { peer, rest } => self.open(now, fd, seat, peer, &rest, before),
            Reply::Echo { rest } => self.echo(fd, seat, rest, before),
            Reply::Close => {
                self.lingerers
                    .insert(now.mono_ns, fd, seat, before, &self.poller);
            }
        }
    }

    fn open(&mut self, now: Now, fd: OwnedFd, seat: Seat, peer: Peer, rest: &[u8], before: Before) {
        if self.drain != Drain::Serving {
            // Everybody else has been told already; it has been promised nothing yet.
            return;
        }
        // A place that the engine has freed is given again, so its old holder must be gone.
        self.on_closed(now);
        let session = self.engine.handle_open(now, peer);
        let token = self.connections.insert(fd, session, seat);
        let watched = self
            .connections
            .of(session)
            .is_some_and(|connection| self.poller.watch(&connection.fd, token, before).is_ok());
        if !watched {
            self.connections.remove(session);
            self.engine.handle_disconnect(now, session);
        } else if !rest.is_empty() {
            self.on_bytes(now, token, rest);
        }
    }

    /// Hands the socket over to a task of the runtime's.
    fn echo(&self, fd: OwnedFd, seat: Seat, bytes: Vec<u8>, before: Before) {
        if before == Before::Watched && self.poller.forget(&fd).is_err() {
            return;
        }
        if let Ok(stream) = tokio::net::TcpStream::from_std(TcpStream::from(fd)) {
            tokio::task::spawn_local(echo::serve(Echo {
                stream,
                bytes,
                seat,
            }));
        }
    }
}
