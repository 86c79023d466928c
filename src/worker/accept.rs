//! Takes connections from the shared listener, each behind the gate.
//!
//! Owns the listener's registration and the pauses between two looks at it. Must not contain: the gate's rule, or anything a
//! connection says. Driven as a task of the worker's runtime; ending the task takes the listener out of the runtime again.
//!
//! The listener is one open file shared by all workers of the node. Each registers it with its own runtime, so each is told of
//! an arrival; the gate decides who accepts, and an accept that finds nothing any more is the normal end of a round.
use super::front::{Front, Room};
use super::gate::{self, Accepts, Decision, Seen};
use crate::clock;
use crate::kernel::Watched;
use crate::telemetry::scoreboard::{State, WorkerSlot};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::SockRef;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::sleep;

/// Accepted before others get a turn: as many handshakes as take about as long as a slice of the fan-out.
const ACCEPTS_PER_TURN: usize = 16;
/// How long to leave a pending connection to others before looking again; the gate's patience is some of these.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// No room for handshakes: honest ones make some within a round trip.
const NO_ROOM: Duration = Duration::from_millis(5);
/// First pause when descriptors or memory are short, and the longest; connections that close make room.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What came of one look at the listener.
enum Looked {
    /// A connection was taken.
    Took,
    /// Nothing pends.
    Empty,
    /// Something pends that others should take first.
    Left,
    /// Something pends that there is no room for.
    NoRoom,
    /// The process or the machine is short of descriptors or memory, or the network is down.
    Short(Errno),
}

/// Sets on the listener what each connection is to have: an accepted socket inherits it.
pub(super) fn prepare(listener: &TcpListener, front: &Front) -> io::Result<()> {
    let limits = &front.config.worker;
    let socket = SockRef::from(listener);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if limits.send_buffer_bytes > 0 {
        socket.set_send_buffer_size(limits.send_buffer_bytes)?;
    }
    if limits.notsent_lowat_bytes > 0 {
        socket.set_tcp_notsent_lowat(limits.notsent_lowat_bytes)?;
    }
    Ok(())
}

/// Accepts until it is dropped.
pub(super) async fn serve(front: Rc<Front>, listener: Watched) {
    let mut pause = PAUSE.0;
    loop {
        let Ok(mut pending) = listener.readable().await else {
            return;
        };
        match round(&front, &listener).await {
            Ok(()) => {
                pending.clear_ready();
                pause = PAUSE.0;
            }
            Err(errno) => {
                if pause == PAUSE.0 {
                    tracing::warn!(error = %io::Error::from(errno), "accepting pauses");
                }
                front.slot().accept_pauses.fetch_add(1, Relaxed);
                aside(&front, pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

/// Leaves all to the others for a while.
async fn aside(front: &Front, pause: Duration) {
    front.announce(Accepts::No);
    sleep(pause).await;
    front.announce(Accepts::Yes);
}

/// Takes what is this worker's to take until nothing pends.
async fn round(front: &Rc<Front>, listener: &Watched) -> Result<(), Errno> {
    let mut pending_ns = clock::mono_ns();
    let mut taken = 0;
    loop {
        match look(front, listener, pending_ns) {
            Looked::Took => {
                taken += 1;
                pending_ns = clock::mono_ns();
                if taken % ACCEPTS_PER_TURN == 0 {
                    yield_now().await;
                }
            }
            Looked::Empty => return Ok(()),
            Looked::NoRoom => aside(front, NO_ROOM).await,
            Looked::Left => sleep(LOOK_AGAIN).await,
            Looked::Short(errno) => return Err(errno),
        }
    }
}

fn look(front: &Rc<Front>, listener: &Watched, pending_ns: u64) -> Looked {
    let now_ns = clock::mono_ns();
    if decide(front, now_ns, pending_ns) == Decision::Wait {
        return if pends(listener) {
            Looked::Left
        } else {
            Looked::Empty
        };
    }
    if front.room() == Room::None {
        return Looked::NoRoom;
    }
    match acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok((fd, Some(address))) => {
            if let Ok(address) = SocketAddr::try_from(address) {
                front.arrive(fd, address.ip(), now_ns);
            }
            Looked::Took
        }
        Err(Errno::AGAIN) => Looked::Empty,
        // The client has gone while it waited, a firewall has a say, or the call was interrupted.
        Ok((_, None)) | Err(Errno::CONNABORTED | Errno::PROTO | Errno::PERM | Errno::INTR) => {
            Looked::Took
        }
        Err(errno) => Looked::Short(errno),
    }
}

fn pends(listener: &Watched) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)];
    poll(&mut fds, Some(&now)) != Ok(0)
}

fn decide(front: &Front, now_ns: u64, pending_ns: u64) -> Decision {
    let board = front.scoreboard();
    let others = (0..board.workers())
        .filter(|slot| *slot != front.number())
        .map(|slot| seen(board.worker(slot)));
    let own = Seen {
        accepts: Accepts::Yes,
        ..seen(front.slot())
    };
    gate::decide(now_ns, pending_ns, own, others)
}

fn seen(slot: &WorkerSlot) -> Seen {
    let born_ns = slot.born_ns.load(Relaxed);
    let accepts = if slot.state() == State::Up && born_ns > 0 {
        Accepts::Yes
    } else {
        Accepts::No
    };
    Seen {
        accepts,
        connections: slot.connections.load(Relaxed),
        heartbeat_ns: slot.heartbeat_ns.load(Relaxed),
        born_ns,
    }
}
