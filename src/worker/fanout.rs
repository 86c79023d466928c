//! The fan-out: sessions that have something for their client are visited, and the kernel is handed all of it at once.
//!
//! Owns the slice (how long visits may go on before others get a turn) and the system call of a visit. Must not contain: what
//! is sent, or when; the engine says. Driven by the worker's loop.
//!
//! Laws: one visit is one call: `send` for one piece, `sendmsg` for several. Nothing is copied or allocated. A socket that breaks is
//! an ordinary event: its session is gone, and nobody writes a line about it.
use super::connection::{Connections, Output};
use crate::clock;
use pubsub_stream::{Engine, Now, Piece, SessionId};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use std::io::IoSlice;
use std::os::fd::BorrowedFd;

/// Visits of one slice at most.
const VISITS: usize = 256;
/// Time of one slice at most: what reads, accepts and heartbeats wait for.
const SLICE_NS: u64 = 200_000;
/// Pieces of one visit at most, as the engine lends them.
const PIECES: usize = 64;
/// Pieces between two looks at the clock: a look costs what a tenth of a visit does, and so few pieces take some microseconds.
const PIECES_A_LOOK: usize = 4;

/// Whether visits remain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slice {
    /// None: everybody has what there is, or takes no more.
    Done,
    /// The slice was full.
    More,
}

/// Visits sessions until there is none to visit or the slice is full.
pub(super) fn run(engine: &mut Engine, connections: &mut Connections, begun: Now) -> Slice {
    let (mut now, mut since_look) = (begun, 0);
    for _ in 0..VISITS {
        let Some(session) = engine.poll_visit(now) else {
            return Slice::Done;
        };
        since_look += visit(engine, connections, now, session).max(1);
        if since_look >= PIECES_A_LOOK {
            (now, since_look) = (clock::advance(now), 0);
            if now.mono_ns - begun.mono_ns >= SLICE_NS {
                return Slice::More;
            }
        }
    }
    Slice::More
}

/// Hands the kernel what one session is to receive. How many pieces that were.
fn visit(
    engine: &mut Engine,
    connections: &mut Connections,
    now: Now,
    session: SessionId,
) -> usize {
    let Some(connection) = connections.of(session) else {
        engine.handle_disconnect(now, session);
        return 0;
    };
    let pieces = engine.poll_write(now, session);
    let offered = pieces.len();
    if offered == 0 {
        return 0;
    }
    match write(rustix::fd::AsFd::as_fd(&connection.fd), pieces) {
        Wrote::All(bytes) => engine.handle_written(now, session, bytes, false),
        Wrote::Part(bytes) => {
            connection.output = Output::Blocked;
            engine.handle_written(now, session, bytes, true);
        }
        Wrote::Gone => {
            connections.remove(session);
            engine.handle_disconnect(now, session);
        }
    }
    offered
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrote {
    /// All that was offered.
    All(usize),
    /// Less; the kernel tells when it takes more.
    Part(usize),
    /// Nobody is there.
    Gone,
}

fn write(socket: BorrowedFd<'_>, pieces: &[Piece]) -> Wrote {
    loop {
        let (offered, outcome) = match pieces {
            [piece] => {
                let bytes = piece.bytes();
                (bytes.len(), send(socket, bytes, SendFlags::NOSIGNAL))
            }
            _ => send_many(socket, pieces),
        };
        return match outcome {
            Ok(bytes) if bytes == offered => Wrote::All(bytes),
            Ok(bytes) => Wrote::Part(bytes),
            Err(Errno::AGAIN) => Wrote::Part(0),
            Err(Errno::INTR) => continue,
            Err(_) => Wrote::Gone,
        };
    }
}

fn send_many(socket: BorrowedFd<'_>, pieces: &[Piece]) -> (usize, rustix::io::Result<usize>) {
    let mut slices = [IoSlice::new(&[]); PIECES];
    let mut offered = 0;
    let count = pieces.len().min(PIECES);
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece.bytes());
        offered += slice.len();
    }
    let mut control = SendAncillaryBuffer::default();
    let sent = sendmsg(socket, &slices[..count], &mut control, SendFlags::NOSIGNAL);
    (offered, sent)
}
