//! Readiness and input of the connections that have a session: the loop's reading half.
//!
//! Owns how events become reads and reads become the engine's inputs. Must not contain: frames (those are `reader`'s). Driven by the
//! worker's loop.
//!
//! Laws: a connection is read once a turn at most, and all reading of a turn is bounded by time; who has more stands in line again.
use super::connection::{Connections, Input, Output};
use super::poller::{EventFlags, Kind, Token};
use super::reader::{Received, Said, Violation};
use super::{Pace, Worker};
use crate::clock;
use crate::telemetry::scoreboard::{Rejected, WorkerSlot};
use pubsub_stream::{Engine, Now, SessionId};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;

/// Reading of one turn at most: what the fan-out and the hub wait for.
const INPUT_NS: u64 = 200_000;

/// Handshakes and farewells of one turn at most, likewise.
const EVENTS_NS: u64 = 200_000;

/// What a read of a connection leads to.
enum After {
    /// All there was has been read.
    Idle,
    /// It stands in line again.
    Again,
    /// The socket is at its end.
    Gone,
}

impl Worker {
    /// Notes what sockets are ready for, and looks after those that have no session, for a while.
    pub(super) fn on_events(&mut self, begun: Now) -> Pace {
        let mut now = begun;
        while let Some(event) = self.poller.next_event() {
            let (token, flags) = (Token::of(&event), event.flags);
            match token.kind {
                Kind::Connection => {
                    note(&mut self.connections, &mut self.engine, now, token, flags);
                    continue;
                }
                Kind::Handshake => self.on_handshake(now, token),
                Kind::Lingering => self.lingerers.handle_ready(token, self.reader.scratch()),
            }
            now = clock::advance(now);
            if now.mono_ns - begun.mono_ns >= EVENTS_NS {
                break;
            }
        }
        if self.poller.has_events() {
            Pace::Hurry
        } else {
            Pace::Wait
        }
    }

    /// Reads those that have something, one after the other, for a while.
    pub(super) fn on_input(&mut self, begun: Now) -> Pace {
        let mut now = begun;
        while let Some(token) = self.connections.next_ready() {
            match self.read(now, token) {
                After::Idle => {}
                After::Again => self.connections.mark_ready(token),
                After::Gone => self.lose(now, token),
            }
            now = clock::advance(now);
            if now.mono_ns - begun.mono_ns >= INPUT_NS {
                break;
            }
        }
        if self.connections.has_ready() {
            Pace::Hurry
        } else {
            Pace::Wait
        }
    }

    /// Takes bytes of a connection that arrived behind its request.
    pub(super) fn on_bytes(&mut self, now: Now, token: Token, bytes: &[u8]) {
        let Some(connection) = self.connections.at(token) else {
            return;
        };
        let (session, input) = (connection.session, &mut connection.input);
        let (engine, slot) = (&mut self.engine, self.front.slot());
        engine.handle_received(now, session);
        self.reader.take(&mut connection.unfinished, bytes, |said| {
            hear(engine, slot, now, session, input, said)
        });
    }

    fn read(&mut self, now: Now, token: Token) -> After {
        let Some(connection) = self.connections.at(token) else {
            return After::Idle;
        };
        let (session, input) = (connection.session, &mut connection.input);
        let (engine, slot) = (&mut self.engine, self.front.slot());
        let read = self.reader.fill(|space| {
            let (_, bytes) = recv(&connection.fd, space, RecvFlags::empty())?;
            Ok(bytes)
        });
        match read {
            Ok(Received::End) => return After::Gone,
            Ok(_) if *input == Input::Over => return After::Again,
            Ok(_) => {}
            Err(Errno::AGAIN) => return After::Idle,
            Err(Errno::INTR) => return After::Again,
            Err(_) => return After::Gone,
        }
        engine.handle_received(now, session);
        self.reader.decode(&mut connection.unfinished, |said| {
            hear(engine, slot, now, session, input, said)
        });
        // A short read is all there was, unless the end is known to follow.
        match (read, *input) {
            (Ok(Received::Part), Input::Open) => After::Idle,
            _ => After::Again,
        }
    }

    /// The socket is at its end: nobody is left to write to either.
    fn lose(&mut self, now: Now, token: Token) {
        if let Some(connection) = self.connections.at(token) {
            let session = connection.session;
            self.connections.remove(session);
            self.engine.handle_disconnect(now, session);
        }
    }
}

fn note(
    connections: &mut Connections,
    engine: &mut Engine,
    now: Now,
    token: Token,
    flags: EventFlags,
) {
    let Some(connection) = connections.at(token) else {
        return;
    };
    let over = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
    if flags.intersects(over) && connection.input == Input::Open {
        connection.input = Input::Ending;
    }
    // Each arrival also says that the socket is writable; only who was refused needs to hear it.
    if flags.contains(EventFlags::OUT) && connection.output == Output::Blocked {
        connection.output = Output::Writable;
        engine.handle_writable(now, connection.session);
    }
    if flags.intersects(over | EventFlags::IN) {
        connections.mark_ready(token);
    }
}

/// Tells the engine what a client said. `Break` when nothing it says counts any more.
fn hear(
    engine: &mut Engine,
    slot: &WorkerSlot,
    now: Now,
    session: SessionId,
    input: &mut Input,
    said: Said<'_>,
) -> ControlFlow<()> {
    match said {
        Said::Text(text) => engine.handle_text(now, session, text),
        Said::Ping(payload) => engine.handle_ping(now, session, payload),
        Said::Close(code) => {
            *input = Input::Over;
            engine.handle_peer_close(now, session, code);
        }
        Said::Violation(Violation { code, reason }) => {
            *input = Input::Over;
            let why = match code {
                pubsub_wire::close::TOO_BIG => Rejected::TooLarge,
                _ => Rejected::Protocol,
            };
            slot.rejected(why).fetch_add(1, Relaxed);
            engine.handle_protocol_error(now, session, code, reason);
        }
    }
    match input {
        Input::Over => ControlFlow::Break(()),
        Input::Open | Input::Ending => ControlFlow::Continue(()),
    }
}
