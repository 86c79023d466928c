//! The supervisor of one node: the driver of [`tree`](super::tree).
//!
//! Owns the processes, their control pipes, the signals and the control socket, and carries out what the tree decides. Must not
//! contain: decisions about processes (`tree`), data of clients (none ever comes here). Driven by `main`.
//!
//! Laws: everything that can be refused is refused before a process is started, and cleared away again; from then on no single
//! process, asker or signal makes the supervisor wait.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::ctl::{self, Asked};
use super::questions::Questions;
use super::spawn::{self, Kit};
use super::tree::{Action, Outcome, Plan, Role, Tree};
use super::watch::{Seen, Watch};
use crate::clock;
use crate::config::Config;
use crate::link::control::{self, Order, Report, SLOW_MAX, Sender};
use crate::link::ctl::{Answer, Ask, SlowOf};
use crate::telemetry::scoreboard::{SLOTS, Scoreboard, State};
use crate::telemetry::status::Status;

/// Messages of all processes that wait to be looked at; a process that says more waits.
const EVENTS: usize = 256;
/// How often the workers' heartbeats are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// A node about to run: everything bound and made, nothing started.
#[derive(Debug)]
pub struct Node {
    /// As the roles are handed it, with the addresses that were bound.
    pub config: Config,
    /// What the roles inherit.
    pub kit: Kit,
    /// The node's scoreboard.
    pub scoreboard: Scoreboard,
    /// The control socket.
    pub ctl: std::os::unix::net::UnixListener,
}

enum Event {
    Exited(Role, u32, io::Result<ExitStatus>),
    Reported(Role, u32, Report),
}

struct Process {
    pid: u32,
    generation: u32,
    /// Names this very process, also when its number is used again.
    handle: OwnedFd,
    orders: Sender<Order>,
}

struct Driver {
    config: Config,
    kit: Kit,
    board: Scoreboard,
    tree: Tree,
    processes: HashMap<Role, Process>,
    questions: Questions<oneshot::Sender<Answer>>,
    watch: Watch,
    events: mpsc::Sender<Event>,
    /// Last state written for each role: a worker may overwrite its own.
    shown: HashMap<Role, State>,
}

struct Signals {
    terminate: SignalStream,
    interrupt: SignalStream,
    hang_up: SignalStream,
    roll: SignalStream,
}

impl Node {
    /// Runs the node to its end. An error is a fault of this machine that leaves no node to run.
    pub async fn run(self) -> io::Result<Outcome> {
        let mut signals = Signals::listen()?;
        let (events, mut happened) = mpsc::channel(EVENTS);
        let (ask, mut asked) = mpsc::channel(ctl::ASKERS_MAX);
        tokio::spawn(async move {
            if let Err(error) = ctl::listen(self.ctl, ask).await {
                error!(%error, "the control socket is gone");
            }
        });
        let plan = Plan {
            workers: self.config.workers,
            admin: self.kit.admin.is_some(),
            drain_ms: self.config.drain_ms,
        };
        let mut driver = Driver {
            config: self.config,
            kit: self.kit,
            board: self.scoreboard,
            tree: Tree::new(clock::mono_ns(), plan),
            processes: HashMap::new(),
            questions: Questions::default(),
            watch: Watch::default(),
            events,
            shown: HashMap::new(),
        };
        driver.begin();
        let mut watch = tokio::time::interval(WATCH);
        loop {
            if let Some(outcome) = driver.act() {
                return Ok(outcome);
            }
            tokio::select! {
                Some(event) = happened.recv() => driver.on_event(event),
                Some(asked) = asked.recv() => driver.on_asked(asked),
                stop = signals.next() => if stop == Some(()) { driver.tree.handle_stop(clock::mono_ns()) },
                () = until(driver.poll_timeout()) => driver.on_time(),
                _ = watch.tick() => driver.look(),
            }
        }
    }
}

/// Sleeps until a monotonic time; for ever without one.
async fn until(deadline: Option<u64>) {
    match deadline {
        Some(at) => {
            tokio::time::sleep(Duration::from_nanos(at.saturating_sub(clock::mono_ns()))).await
        }
        None => std::future::pending().await,
    }
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            roll: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next signal; `Some` when it asks to stop.
    async fn next(&mut self) -> Option<()> {
        tokio::select! {
            _ = self.terminate.recv() => { info!("SIGTERM: stopping"); Some(()) }
            _ = self.interrupt.recv() => { info!("SIGINT: stopping"); Some(()) }
            _ = self.hang_up.recv() => {
                warn!("SIGHUP: no setting of this build can be reloaded while it runs; the node goes on as it is");
                None
            }
            _ = self.roll.recv() => {
                warn!("SIGUSR2: this build cannot roll its workers yet; the node goes on as it is");
                None
            }
        }
    }
}

impl Driver {
    fn begin(&self) {
        let node = self.board.node();
        node.supervisor_pid.store(std::process::id(), Relaxed);
        node.started_wall_us.store(clock::wall_us(), Relaxed);
        let (listen, workers) = (self.config.listen, self.config.workers);
        info!(%listen, workers, node = %self.config.node, "starting");
    }

    /// Does all that the tree decided; its end, when it has come.
    fn act(&mut self) -> Option<Outcome> {
        while let Some(action) = self.tree.poll_action() {
            // Before the action: a process must find its slot as it will be.
            self.publish();
            match action {
                Action::Spawn(role, generation) => self.spawn(role, generation),
                Action::Order(role, order) => self.order(role, &order),
                Action::Kill(role) => self.kill(role),
                Action::Announce => self.announce(),
                Action::Drain => self.board.node().draining.store(1, Relaxed),
                Action::Finish(outcome) => return Some(outcome),
            }
        }
        self.publish();
        None
    }

    fn spawn(&mut self, role: Role, generation: u32) {
        match self.try_spawn(role, generation) {
            Ok(process) => {
                info!(role = %Named(role), pid = process.pid, "started");
                self.pid(role).store(process.pid, Relaxed);
                self.processes.insert(role, process);
            }
            Err(error) => {
                error!(role = %Named(role), %error, "cannot be started");
                self.tree.handle_exit(clock::mono_ns(), role, generation);
            }
        }
    }

    fn try_spawn(&mut self, role: Role, generation: u32) -> io::Result<Process> {
        let (command, ours) = spawn::command(&self.kit, role, generation)?;
        let mut child = tokio::process::Command::from(command).spawn()?;
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        let number = Pid::from_raw(pid as i32).ok_or(io::ErrorKind::NotFound)?;
        let handle = pidfd_open(number, PidfdFlags::empty());
        // A process that could not be killed later is not to be had.
        let handle = handle.inspect_err(|_| drop(child.start_kill()))?;
        let (orders, mut reports) = control::open::<Order, Report>(ours)?;
        let (exits, said) = (self.events.clone(), self.events.clone());
        tokio::spawn(async move {
            let status = child.wait().await;
            let _ = exits.send(Event::Exited(role, generation, status)).await;
        });
        tokio::spawn(async move {
            loop {
                let event = match reports.recv().await {
                    Ok(Some(report)) => Event::Reported(role, generation, report),
                    Ok(None) => return,
                    Err(error) => {
                        warn!(role = %Named(role), %error, "said something that is no report");
                        continue;
                    }
                };
                if said.send(event).await.is_err() {
                    return;
                }
            }
        });
        Ok(Process {
            pid,
            generation,
            handle,
            orders,
        })
    }

    fn order(&mut self, role: Role, order: &Order) {
        let Some(process) = self.processes.get_mut(&role) else {
            return;
        };
        if let Err(error) = process.orders.try_send(order) {
            // It is dying or hangs: its end or its deadline comes next.
            warn!(role = %Named(role), %error, "cannot be told {order:?}");
        }
    }

    fn kill(&self, role: Role) {
        let Some(process) = self.processes.get(&role) else {
            return;
        };
        warn!(role = %Named(role), pid = process.pid, "did not do as it was told in time: killed");
        if let Err(error) = pidfd_send_signal(&process.handle, Signal::KILL) {
            error!(role = %Named(role), pid = process.pid, %error, "cannot be killed");
        }
    }

    fn announce(&self) {
        self.board.node().ready.store(1, Relaxed);
        let admin = self
            .config
            .admin
            .map_or_else(|| "none".to_owned(), |admin| admin.to_string());
        let (listen, workers, pid) = (
            self.config.listen,
            self.tree.workers_wanted(),
            std::process::id(),
        );
        let mut stdout = io::stdout().lock();
        // Whoever started the node may have closed its end: the node serves all the same.
        let _ = writeln!(
            stdout,
            "ready listen={listen} admin={admin} workers={workers} pid={pid}"
        )
        .and_then(|()| stdout.flush());
        info!("ready");
    }

    fn on_event(&mut self, event: Event) {
        let now = clock::mono_ns();
        match event {
            Event::Reported(role, generation, Report::Ready) => {
                self.tree.handle_ready(now, role, generation)
            }
            Event::Reported(role, _, Report::Drained) => info!(role = %Named(role), "drained"),
            Event::Reported(Role::Worker(slot), _, Report::Slow { id, rows }) => {
                self.questions.handle_answer(slot, id, rows);
                self.answer();
            }
            Event::Reported(role, _, Report::Slow { .. }) => {
                warn!(role = %Named(role), "answered what it was not asked")
            }
            Event::Exited(role, generation, status) => self.on_exit(now, role, generation, status),
        }
    }

    fn on_exit(&mut self, now: u64, role: Role, generation: u32, status: io::Result<ExitStatus>) {
        if self
            .processes
            .get(&role)
            .is_some_and(|process| process.generation == generation)
        {
            self.processes.remove(&role);
            self.pid(role).store(0, Relaxed);
            match role {
                Role::Worker(slot) => self.board.worker(slot).clear_gauges(),
                Role::Hub => self.board.hub().clear_gauges(),
                Role::Admin => {}
            }
        }
        self.tree.handle_exit(now, role, generation);
        let (how, next) = (Ended(status), self.tree.look(role).state.as_str());
        match &how.0 {
            Ok(status) if status.success() => info!(role = %Named(role), next, "{how}"),
            _ => warn!(role = %Named(role), next, "{how}"),
        }
        if let Role::Worker(slot) = role {
            self.questions.handle_gone(slot);
            self.answer();
        }
    }

    fn on_asked(&mut self, (ask, reply): Asked) {
        let now = clock::mono_ns();
        let answer = match ask {
            Ask::Status => self.status(),
            Ask::Slow { n } => return self.ask_slow(now, n.clamp(1, SLOW_MAX), reply),
            Ask::Stop => {
                info!("ctl: stopping");
                self.tree.handle_stop(now);
                Answer::Done("stopping".to_owned())
            }
            Ask::Workers { .. } | Ask::Drain if self.tree.is_stopping() => {
                Answer::Refused("the node is stopping".to_owned())
            }
            Ask::Workers { n } if n == 0 || n > SLOTS => {
                Answer::Refused(format!("expected 1 to {SLOTS} workers, not {n}"))
            }
            Ask::Workers { n } => {
                let before = self.tree.workers_wanted();
                info!(before, now = n, "ctl: number of workers");
                self.tree.handle_resize(now, n);
                Answer::Done(format!("workers {before} -> {n}"))
            }
            Ask::Drain => {
                info!("ctl: draining");
                self.tree.handle_drain(now);
                Answer::Done(
                    "draining: sessions are told to go, new ones are answered 503".to_owned(),
                )
            }
        };
        let _ = reply.send(answer);
    }

    fn status(&self) -> Answer {
        let status = Status::read(clock::now(), &self.board, &self.config);
        match serde_json::value::to_raw_value(&status) {
            Ok(status) => Answer::Status(status),
            Err(error) => Answer::Refused(error.to_string()),
        }
    }

    fn ask_slow(&mut self, now: u64, n: usize, reply: oneshot::Sender<Answer>) {
        let up = |role: Role| match role {
            Role::Worker(slot) if self.tree.look(role).state == State::Up => Some(slot),
            _ => None,
        };
        let workers: Vec<u32> = self.tree.roles().filter_map(up).collect();
        match self.questions.try_ask(now, reply, n, workers.clone()) {
            Ok(id) => workers
                .into_iter()
                .for_each(|slot| self.order(Role::Worker(slot), &Order::Slow { id, n })),
            Err(reply) => {
                let _ = reply.send(Answer::Refused(
                    "too many ask at once: try again".to_owned(),
                ));
            }
        }
        self.answer();
    }

    fn answer(&mut self) {
        while let Some((reply, rows)) = self.questions.poll_answered(clock::mono_ns()) {
            let rows: Vec<SlowOf> = rows;
            let _ = reply.send(Answer::Slow(rows));
        }
    }

    fn poll_timeout(&self) -> Option<u64> {
        [self.tree.poll_timeout(), self.questions.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_time(&mut self) {
        self.tree.handle_timeout(clock::mono_ns());
        self.answer();
    }

    /// Names workers whose loop does not come round, and those that are back.
    fn look(&mut self) {
        let now = clock::now();
        for slot in 0..self.tree.worker_slots() {
            match self.watch.handle_look(now, slot, self.board.worker(slot)) {
                Some(Seen::Blocked(ms)) => {
                    let pid = self.board.worker(slot).pid.load(Relaxed);
                    warn!(
                        worker = slot,
                        pid, ms, "its loop does not come round: blocked or stopped"
                    );
                }
                Some(Seen::Back) => info!(worker = slot, "its loop comes round again"),
                None => {}
            }
        }
    }

    /// Writes what the tree knows where every process can read it.
    fn publish(&mut self) {
        let node = self.board.node();
        node.workers.store(self.tree.worker_slots(), Relaxed);
        node.workers_ever
            .fetch_max(self.tree.worker_slots(), Relaxed);
        let roles: Vec<Role> = self.tree.roles().collect();
        for role in roles {
            let look = self.tree.look(role);
            let (state, restarts) = match role {
                Role::Hub => (&self.board.hub().state, &self.board.hub().restarts),
                Role::Admin => (&self.board.admin().state, &self.board.admin().restarts),
                Role::Worker(slot) => (
                    &self.board.worker(slot).state,
                    &self.board.worker(slot).restarts,
                ),
            };
            restarts.store(look.restarts, Relaxed);
            if self.shown.insert(role, look.state) != Some(look.state) {
                state.store(look.state as u32, Relaxed);
            }
        }
    }

    fn pid(&self, role: Role) -> &std::sync::atomic::AtomicU32 {
        match role {
            Role::Hub => &self.board.hub().pid,
            Role::Admin => &self.board.admin().pid,
            Role::Worker(slot) => &self.board.worker(slot).pid,
        }
    }
}

/// A role's name for people.
struct Named(Role);

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Role::Hub => f.write_str("hub"),
            Role::Admin => f.write_str("admin"),
            Role::Worker(slot) => write!(f, "worker {slot}"),
        }
    }
}

/// How a process ended, for people.
struct Ended(io::Result<ExitStatus>);

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ok(status) => write!(f, "ended: {status}"),
            Err(error) => write!(f, "ended, and cannot be waited for: {error}"),
        }
    }
}
