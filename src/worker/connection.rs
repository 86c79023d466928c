//! The table of connections that have a session.
//!
//! Owns the sockets, one small record each, and which of them have input waiting. Must not contain: what is read or written. Driven by
//! the worker's loop; a connection's place in the table is its session's index, so neither side keeps a map.
//!
//! Laws: a record is the descriptor and what reading must remember; an idle connection owns nothing else. With edge-triggered
//! events whoever leaves bytes unread must come back by himself: such connections stand in the `ready` queue, once.
use super::front::Seat;
use super::poller::{Kind, Token};
use super::reader::Unfinished;
use pubsub_stream::SessionId;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

/// One connection with a session.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) fd: OwnedFd,
    serial: u32,
    pub(super) session: SessionId,
    pub(super) seat: Seat,
    pub(super) unfinished: Option<Box<Unfinished>>,
    pub(super) input: Input,
    pub(super) output: Output,
    queue: Queue,
}

/// What is done with what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// It is read.
    Open,
    /// It is read, and its end is known to come: reading goes on until it is seen.
    Ending,
    /// It is thrown away: the client has closed or has broken the rules.
    Over,
}

/// Whether the socket takes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// As far as is known.
    Writable,
    /// The kernel has taken less than it was offered; an event will tell.
    Blocked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Out,
    In,
}

/// All connections of a worker that have a session.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    /// The next connection's serial.
    serial: u32,
    ready: VecDeque<Token>,
}

impl Connections {
    /// Puts a socket at its session's place. What the caller watches it by.
    pub(super) fn insert(&mut self, fd: OwnedFd, session: SessionId, seat: Seat) -> Token {
        let index = session.index();
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        self.serial = self.serial.wrapping_add(1) & Token::SERIAL_MASK;
        debug_assert!(
            self.slots[index].is_none(),
            "a session's place is free before it is given again"
        );
        let connection = Connection {
            fd,
            serial: self.serial,
            session,
            seat,
            unfinished: None,
            input: Input::Open,
            output: Output::Writable,
            queue: Queue::Out,
        };
        let token = connection.token();
        self.slots[index] = Some(connection);
        token
    }

    /// The connection of a session, if it still has one.
    pub(super) fn of(&mut self, session: SessionId) -> Option<&mut Connection> {
        let connection = self.slots.get_mut(session.index())?.as_mut()?;
        (connection.session == session).then_some(connection)
    }

    /// The connection an event is about, unless it is stale.
    pub(super) fn at(&mut self, token: Token) -> Option<&mut Connection> {
        let connection = self.slots.get_mut(token.index as usize)?.as_mut()?;
        (connection.serial == token.serial).then_some(connection)
    }

    /// Takes a session's connection out.
    pub(super) fn remove(&mut self, session: SessionId) -> Option<Connection> {
        self.of(session)?;
        self.slots[session.index()].take()
    }

    /// It has input waiting.
    pub(super) fn mark_ready(&mut self, token: Token) {
        let Some(connection) = self.at(token) else {
            return;
        };
        if connection.queue == Queue::Out {
            connection.queue = Queue::In;
            self.ready.push_back(token);
        }
    }

    /// The next connection that has input waiting; it must be marked again if some remains.
    pub(super) fn next_ready(&mut self) -> Option<Token> {
        while let Some(token) = self.ready.pop_front() {
            if let Some(connection) = self.at(token) {
                connection.queue = Queue::Out;
                return Some(token);
            }
        }
        None
    }

    /// Whether any has input waiting.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

impl Connection {
    /// What its events carry.
    pub(super) fn token(&self) -> Token {
        Token {
            kind: Kind::Connection,
            index: self.session.index() as u32,
            serial: self.serial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Option<Connection>>() <= 48);
    }
}
