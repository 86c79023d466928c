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
//! - [`gate`] decides who accepts, [`accept`] does it, [`front`] counts who is in
//! - [`upgrade`] reads the request, [`http`] and [`origin`] decide what it gets, [`arrival`] does what follows, [`echo`] (with
//!   [`early`]) is one of the answers
//! - [`poller`] watches, [`connection`] remembers, [`input`], [`reader`] and [`frames`] understand what clients send
//! - [`fanout`] hands the kernel what the engine has for them, [`linger`] sees them out
//! - [`hub_link`] and [`control`] speak with the hub and the supervisor, [`drain`] is the end
//! - [`monitor`] measures the loop, [`tally`] carries the numbers to the scoreboard
//!
//! Laws: every turn is bounded, so that nobody starves: reads by time, visits by a slice, the hub by its buffer, accepts by number. What
//! a turn leaves over makes the next one follow without waiting, but never without the other tasks having had theirs.
mod accept;
mod arrival;
mod connection;
mod control;
mod drain;
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
mod tally;
mod timer;
mod upgrade;
mod watched;

use crate::clock;
use crate::config::Config;
use crate::link::control::{Order, Report, SLOW_MAX, SlowLag, SlowRow};
use crate::telemetry::scoreboard::{Closed as Count, Scoreboard, State};
use connection::Connections;
use control::Control;
use drain::{Door, Drain};
use fanout::Slice;
use front::Front;
use gate::Accepts;
use hub_link::HubLink;
use linger::Lingerers;
use monitor::{Monitor, Part};
use poller::{Before, Poller};
use pubsub_stream::{CloseHow, Closed, Engine, Now, Slow};
use reader::Reader;
use rustix::net::sockopt::set_socket_linger;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tally::Tally;
use timer::Timer;
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};
use upgrade::Handshakes;
use watched::Watched;

pub use control::Terminate;

/// How often the scoreboard hears of this worker even when nothing happens; a worker silent for four of these is not waited for.
const HEARTBEAT_NS: u64 = 250_000_000;

const MS: u64 = 1_000_000;
/// Pieces of history asked of the hub at once: enough that one long answer does not hold up all, and few enough that what they bring
/// is small beside the rings.
const READS_IN_FLIGHT: usize = 16;

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

/// How long a worker waits for a hub's answer before it calls itself ready: one that is being started again has answered by
/// then, and one that stays away is no reason to hold back connections.
const READY_WITHOUT_HUB_NS: u64 = 1_000_000_000;

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
    tally: Tally,
    pace: Pace,
}

impl Worker {
    fn start(args: WorkerArgs) -> Result<Self, WorkerError> {
        let now = clock::now();
        let config = Rc::new(args.config);
        let front = Front::new(Rc::clone(&config), args.scoreboard, args.slot, now.mono_ns);
        let engine = Engine::new(engine_config(&config, args.slot, args.generation, now));
        let hub = HubLink::new(&args.hub_path, args.slot, args.generation);
        let hub = hub.map_err(|source| WorkerError::HubPath {
            path: args.hub_path,
            source,
        })?;
        let control = Control::start(args.control, args.terminate, config.drain_ms)
            .map_err(WorkerError::Control)?;
        accept::prepare(&args.listener, &front).map_err(WorkerError::Listener)?;
        let listener = Watched::new(args.listener.into()).map_err(WorkerError::Listener)?;
        begin_slot(&front, now.mono_ns);
        Ok(Self {
            tally: Tally::default(),
            reader: Reader::new(config.limits.frame_bytes),
            poller: Poller::new().map_err(WorkerError::Poller)?,
            accepting: Some(spawn_local(accept::serve(Rc::clone(&front), listener))),
            engine,
            front,
            handshakes: Handshakes::new(
                config.worker.handshakes as usize,
                config.worker.handshake_ms.saturating_mul(MS),
            ),
            connections: Connections::default(),
            lingerers: Lingerers::default(),
            hub,
            control,
            ready_by_ns: Some(now.mono_ns + READY_WITHOUT_HUB_NS),
            drain: Drain::Serving,
            timer: Timer::new().map_err(WorkerError::Poller)?,
            heartbeat_ns: now.mono_ns,
            monitor: Monitor::default(),
            pace: Pace::Hurry,
        })
    }

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

    /// Waits until there is something to do, and gives the other tasks their turn in any case.
    async fn wait(&mut self) -> Result<Option<Order>, WorkerError> {
        if self.pace == Pace::Hurry {
            yield_now().await;
        } else {
            let deadline_ns = self.deadline_ns();
            self.timer.arm(deadline_ns).map_err(WorkerError::Poller)?;
        }
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Asks every source, so that none waits for another.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Order>, WorkerError>> {
        let mut woken = self.pace == Pace::Hurry;
        if let Poll::Ready(outcome) = self.poller.poll(cx) {
            outcome.map_err(WorkerError::Poller)?;
            woken = true;
        }
        woken |= self.hub.poll(cx).is_ready();
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
        self.hub.handle_input(now, &mut self.engine);
        self.report_ready(now);
        let now = self.finished(Part::Hub, now);
        self.on_deadline(now);
        let now = self.finished(Part::Timers, now);
        let slice = fanout::run(&mut self.engine, &mut self.connections, now);
        let now = self.finished(Part::Fanout, now);
        self.hub.send(&mut self.engine);
        self.on_closed(now);
        let now = self.finished(Part::Output, now);
        self.account(now);
        let all_in = [more_arrivals, more_events, more_input] == [Pace::Wait; 3];
        self.pace = match slice {
            Slice::Done if all_in => Pace::Wait,
            Slice::Done | Slice::More => Pace::Hurry,
        };
        if self.drain.is_over(now.mono_ns, self.left()) {
            self.control.report(Report::Drained);
            return Turn::Last;
        }
        Turn::More
    }

    /// Says that it is ready once the hub has answered, so that the first publication of a client isn't refused.
    fn report_ready(&mut self, now: Now) {
        let due = |by_ns| self.hub.has_answered() || by_ns <= now.mono_ns;
        if self.ready_by_ns.is_some_and(due) {
            self.ready_by_ns = None;
            self.control.report(Report::Ready);
        }
    }

    fn finished(&mut self, part: Part, since: Now) -> Now {
        let now = clock::advance(since);
        self.monitor.finish(part, now.mono_ns);
        now
    }

    fn on_closed(&mut self, now: Now) {
        while let Some(closed) = self.engine.poll_closed() {
            self.close(now, closed);
        }
    }

    fn close(&mut self, now: Now, closed: Closed) {
        let Some(connection) = self.connections.remove(closed.session) else {
            return;
        };
        if [pubsub_wire::close::SHUTDOWN, pubsub_wire::close::RESTART].contains(&closed.code) {
            self.front
                .slot()
                .closed(Count::Goaway)
                .fetch_add(1, Relaxed);
        }
        match closed.how {
            CloseHow::Flushed => {
                let (fd, seat) = (connection.fd, connection.seat);
                self.lingerers
                    .insert(now.mono_ns, fd, seat, Before::Watched, &self.poller);
            }
            // With a reset, so that the kernel lets go of what nobody reads. A socket that is already gone needs none.
            CloseHow::Hard => drop(set_socket_linger(&connection.fd, Some(Duration::ZERO))),
        }
    }

    fn on_order(&mut self, now: Now, order: &Order) -> Turn {
        match *order {
            Order::Stop => return Turn::Last,
            Order::Slow { id, n } => {
                let rows = self.engine.slowest(now, n.min(SLOW_MAX));
                let rows = rows.into_iter().map(slow_row).collect();
                self.control.report(Report::Slow { id, rows });
            }
            Order::Drain { reason, window_ms } => {
                if let Some(begun) = self.drain.begin(now.mono_ns, reason, window_ms) {
                    tracing::info!(?reason, window_ms, sessions = self.left(), "draining");
                    self.front
                        .slot()
                        .state
                        .store(State::Draining as u32, Relaxed);
                    self.answer_or_leave(begun.door);
                    self.engine.handle_goaway(now, begun.reason, window_ms);
                }
            }
        }
        Turn::More
    }

    fn answer_or_leave(&mut self, door: Door) {
        match door {
            Door::Answers(service) => self.front.set_service(service),
            Door::Shut => {
                if let Some(accepting) = self.accepting.take() {
                    // With the task goes the listener's registration.
                    accepting.abort();
                }
            }
        }
    }

    /// Sessions, and connections on their way out.
    fn left(&self) -> usize {
        self.engine.stats().sessions as usize + self.lingerers.len()
    }

    fn on_deadline(&mut self, now: Now) {
        if now.mono_ns >= self.heartbeat_ns {
            self.monitor.timer(self.heartbeat_ns, now.mono_ns);
            self.heartbeat_ns = now.mono_ns + HEARTBEAT_NS;
            self.hub.rest();
        }
        self.hub.handle_timeout(now);
        self.on_overdue(now);
        self.lingerers.handle_timeout(now.mono_ns);
        let due = self.engine.poll_timeout();
        if due.is_some_and(|at| at <= now.mono_ns) {
            self.engine.handle_timeout(now);
        }
    }

    /// The one deadline of all that this worker waits for.
    fn deadline_ns(&mut self) -> u64 {
        [
            self.engine.poll_timeout(),
            self.hub.poll_timeout(),
            self.ready_by_ns,
            self.handshakes.poll_timeout(),
            self.lingerers.poll_timeout(),
            self.drain.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .fold(self.heartbeat_ns, u64::min)
    }

    fn account(&mut self, now: Now) {
        if let Some(blocked) = self.monitor.end() {
            let (ms, part) = (blocked.ns / MS, blocked.part);
            tracing::warn!(ms, ?part, "the event loop was blocked");
        }
        self.carry(now.mono_ns);
    }

    fn carry(&mut self, now_ns: u64) {
        let (slot, stats) = (self.front.slot(), self.engine.stats());
        self.tally.carry(now_ns, slot, stats, &mut self.monitor);
    }
}

/// Whether another turn follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    More,
    Last,
}

/// The slot says from now on that this worker accepts.
fn begin_slot(front: &Front, now_ns: u64) {
    let slot = front.slot();
    slot.clear_gauges();
    slot.heartbeat_ns.store(now_ns, Relaxed);
    front.announce(Accepts::Yes);
    slot.state.store(State::Up as u32, Relaxed);
}

fn slow_row(slow: Slow) -> SlowRow {
    SlowRow {
        session: slow.session,
        topic: slow.topic,
        mode: slow.mode.to_owned(),
        lag: SlowLag {
            messages: slow.messages,
            bytes: slow.bytes,
            age_ms: slow.age_ms,
        },
        overflow: slow.overflow,
    }
}

fn engine_config(config: &Config, slot: u32, generation: u32, now: Now) -> pubsub_stream::Config {
    let worker = &config.worker;
    pubsub_stream::Config {
        limits: config.limits,
        node: config.node.clone(),
        worker: slot,
        // Unique over the lives of slot and node, so that a line in a log names one session for good.
        session_prefix: format!("{:x}-{slot}-{generation}", now.wall_us / 1_000_000),
        heartbeat_ns: config.heartbeat_ms.saturating_mul(MS),
        write_stall_ns: config.write_stall_ms.saturating_mul(MS),
        control_bytes: worker.control_bytes,
        ring_bytes: worker.ring_bytes,
        commands_per_s: worker.commands_per_s,
        commands_burst: worker.commands_burst,
        publishes_per_s: worker.publishes_per_s,
        publish_bytes_per_s: worker.publish_bytes_per_s,
        pending_publishes: worker.pending_publishes,
        default_messages: config.default_messages,
        default_bytes: config.default_bytes,
        overflow_by_pattern: config.overflow.clone(),
        publish_denied: publish_denied(config),
        read_bytes: worker.read_bytes,
        reads_in_flight: READS_IN_FLIGHT,
        seed: now.mono_ns ^ u64::from(slot) << 48,
    }
}

/// What only the node publishes: executions always, quotes while a source makes them.
fn publish_denied(config: &Config) -> Vec<String> {
    let mut denied = vec!["execs".to_owned(), "execs.*".to_owned()];
    if !config.sources.is_empty() {
        denied.push("quotes.>".to_owned());
    }
    denied
}

#[cfg(test)]
mod tests;
