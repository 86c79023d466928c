//! The worker: sockets on one side, the pure engine in the middle, the link to the hub on the other.
//!
//! Owns the one loop of the process: input in, visits out, requests out, timer. Must not contain: what a command means, which message
//! goes where (that is `pubsub_stream`), signals, exits, globals: all it needs comes in [`WorkerArgs`], so that a test can run a
//! worker as a thread. Driven by the worker role.
//!
//! A worker is one thread with one current-thread runtime. Connections that have a session are not the runtime's: they are records in a
//! table and entries of one epoll, which the runtime watches as a single file.
//!
//! In the order a connection meets them:
//! - `gate` decides who accepts, `accept` does it, `front` counts who is in
//! - `upgrade` reads the request, `http` and `origin` decide what it gets, `arrival` does what follows, `echo` (with
//!   `early`) is one of the answers
//! - `poller` watches, `connection` remembers, `input`, `reader` and `frames` understand what clients send
//! - `calls` answers what clients ask of the node's services, or sends it on
//! - `fanout` hands the kernel what the engine has for them, `linger` sees them out
//! - `hub_link` and `control` speak with the hub and the supervisor, `drain` is the end
//! - `setup` is the beginning, `duties` what a turn does besides
//! - `monitor` measures the loop, `tally` carries the numbers to the scoreboard
//!
//! Laws: every turn is bounded, so that nobody starves: reads by time, visits by a slice, the hub by its buffer, accepts by number. What
//! a turn leaves over makes the next one follow without waiting, but never without the other tasks having had theirs.
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the map of this room is for those inside it"
)]
mod accept;
mod arrival;
mod calls;
mod connection;
mod control;
mod drain;
mod duties;
mod early;
mod echo;
mod fanout;
mod frames;
mod front;
mod gate;
mod http;
mod hub_link;
mod input;
mod linger;
mod monitor;
mod origin;
mod poller;
mod reader;
mod setup;
mod tally;
mod upgrade;

use crate::clock;
use crate::config::Config;
use crate::kernel::Timer;
use crate::link::control::{Order, Report};
use crate::telemetry::scoreboard::Scoreboard;
use connection::Connections;
use control::Control;
use drain::Drain;
use fanout::Slice;
use front::Front;
use hub_link::HubLink;
use linger::Lingerers;
use monitor::{Monitor, Part};
use poller::Poller;
use pubsub_stream::{Engine, Now};
use reader::Reader;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use tally::Tally;
use tokio::task::{JoinHandle, LocalSet, yield_now};
use upgrade::Handshakes;

pub use control::Terminate;

/// Everything a worker needs.
pub struct WorkerArgs {
    /// The node's configuration.
    pub config: Config,
    /// This worker's slot in the scoreboard.
    pub slot: u32,
    /// Which life of the slot this is.
    pub generation: u32,
    /// The node's listener, shared with the other workers.
    pub listener: TcpListener,
    /// Where the hub listens.
    pub hub_path: PathBuf,
    /// The node's scoreboard.
    pub scoreboard: Arc<Scoreboard>,
    /// The line to the supervisor.
    pub control: Option<UnixStream>,
    /// Ready when this worker is to drain and end.
    pub terminate: Option<Terminate>,
}

/// Why a worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The listener cannot be used.
    #[error("the listener cannot be used: {0}")]
    Listener(#[source] io::Error),
    /// The kernel's readiness notification failed.
    #[error("the event queue failed: {0}")]
    Poller(#[source] io::Error),
    /// The hub's address cannot be one.
    #[error("{path:?} cannot be the hub's address: {source}")]
    HubPath {
        /// The address.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The line to the supervisor cannot be used.
    #[error("the line to the supervisor cannot be used: {0}")]
    Control(#[source] io::Error),
}

/// Serves until it has drained or is told to stop. Call it inside a current-thread runtime with I/O and time.
pub async fn run(args: WorkerArgs) -> Result<(), WorkerError> {
    // On the heap: the worker is some ten kilobytes, and a future is moved before it is first polled.
    let serve = Box::pin(async { Worker::start(args)?.serve().await });
    LocalSet::new().run_until(serve).await
}

/// Whether the next turn has something to do already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// It waits for something to happen.
    Wait,
    /// It follows at once.
    Hurry,
}

/// One worker at work.
struct Worker {
    engine: Engine,
    front: Rc<Front>,
    handshakes: Handshakes,
    connections: Connections,
    lingerers: Lingerers,
    poller: Poller,
    reader: Reader,
    hub: HubLink,
    control: Control,
    /// When this worker calls itself ready without a hub; `None` once it has.
    ready_by_ns: Option<u64>,
    /// The task that accepts, until this worker leaves that to others.
    accepting: Option<JoinHandle<()>>,
    drain: Drain,
    timer: Timer,
    heartbeat_ns: u64,
    monitor: Monitor,
    /// Apart: a kilobyte of histograms, looked at now and then.
    tally: Box<Tally>,
    /// Whether the last turn's fan-out came to its end.
    fan_out: Slice,
    /// How the next turn follows the last one.
    pace: Pace,
    /// How the last one followed the one before.
    followed: Pace,
}

impl Worker {
    async fn serve(mut self) -> Result<(), WorkerError> {
        loop {
            let order = self.wait().await?;
            if self.turn(order) == Turn::Last {
                self.carry(u64::MAX);
                self.control.finish().await;
                return Ok(());
            }
        }
    }

    /// Waits until there is something to do. The other tasks have their turn before the second one in a row that need not wait.
    async fn wait(&mut self) -> Result<Option<Order>, WorkerError> {
        if self.pace == Pace::Wait {
            let deadline_ns = self.deadline_ns();
            self.timer.arm(deadline_ns).map_err(WorkerError::Poller)?;
        }
        if self.pace == Pace::Hurry || self.followed == Pace::Hurry {
            yield_now().await;
        }
        self.followed = Pace::Hurry;
        poll_fn(|cx| {
            let polled = self.poll(cx);
            if polled.is_pending() {
                self.followed = Pace::Wait;
            }
            polled
        })
        .await
    }

    /// Asks every source, so that none waits for another.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Order>, WorkerError>> {
        let mut woken = self.pace == Pace::Hurry;
        if let Poll::Ready(outcome) = self.poller.poll(cx) {
            outcome.map_err(WorkerError::Poller)?;
            woken = true;
        }
        woken |= self.hub.poll(cx, self.fan_out).is_ready();
        woken |= self.front.poll_arrived(cx).is_ready();
        woken |= self.timer.poll(cx).is_ready();
        match self.control.poll(cx) {
            Poll::Ready(order) => Poll::Ready(Ok(Some(order))),
            Poll::Pending if woken => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// One turn: everything that has happened goes in, as much as a slice allows goes out.
    fn turn(&mut self, order: Option<Order>) -> Turn {
        let now = clock::now();
        self.monitor.begin(now.mono_ns);
        self.front.slot().heartbeat_ns.store(now.mono_ns, Relaxed);
        if let Some(order) = order
            && self.on_order(now, &order) == Turn::Last
        {
            return Turn::Last;
        }
        let more_arrivals = self.on_arrivals(now);
        let now = self.finished(Part::Arrivals, now);
        let more_events = self.on_events(now);
        let more_input = self.on_input(now);
        let now = self.finished(Part::Input, now);
        calls::run(&mut self.engine, now);
        self.hub.handle_input(now, &mut self.engine);
        self.report_ready(now);
        let now = self.finished(Part::Hub, now);
        self.on_deadline(now);
        let now = self.finished(Part::Timers, now);
        self.fan_out = fanout::run(&mut self.engine, &mut self.connections, now);
        let now = self.finished(Part::Fanout, now);
        self.hub.send(&mut self.engine);
        self.on_closed(now);
        let now = self.finished(Part::Output, now);
        self.account(now);
        let all_in = [more_arrivals, more_events, more_input] == [Pace::Wait; 3];
        self.pace = match self.fan_out {
            Slice::Done if all_in => Pace::Wait,
            Slice::Done | Slice::More => Pace::Hurry,
        };
        if self.drain.is_over(now.mono_ns, self.left()) {
            self.control.report(Report::Drained);
            return Turn::Last;
        }
        Turn::More
    }

    fn finished(&mut self, part: Part, since: Now) -> Now {
        let now = clock::advance(since);
        self.monitor.finish(part, now.mono_ns);
        now
    }
}

/// Whether another turn follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    More,
    Last,
}

#[cfg(test)]
mod tests;
