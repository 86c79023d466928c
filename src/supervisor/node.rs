//! The supervisor of one node: the driver of [`tree`](super::tree).
//!
//! Owns the processes, the signals and the control socket, and carries out what the tree decides. Must not contain: decisions about
//! processes (`tree`), data of clients (none ever comes here). Driven by `main`.
//!
//! Law: no single process, asker or signal makes the supervisor wait.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::unix::net::UnixListener;
use std::process::ExitStatus;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::ctl::{self, Asked};
use super::process::{Event, Process};
use super::questions::Questions;
use super::signals::{Signals, Wish};
use super::spawn::Kit;
use super::tree::{Action, Outcome, Plan, Role, Tree};
use super::watch::{Seen, Watch};
use crate::clock;
use crate::config::Config;
use crate::link::control::{Order, Report, SLOW_MAX};
use crate::link::ctl::{Answer, Ask, SlowOf};
use crate::telemetry::scoreboard::{SLOTS, Scoreboard, State};
use crate::telemetry::status::{SLOWEST, Status};

/// Events of all processes that wait to be looked at; a process that says more waits.
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
    pub ctl: UnixListener,
}

struct Driver {
    config: Config,
    kit: Kit,
    board: Scoreboard,
    tree: Tree,
    processes: HashMap<Role, Process>,
    questions: Questions<Asker>,
    watch: Watch,
    events: mpsc::Sender<Event>,
    /// Last state written for each role: a worker may overwrite its own.
    shown: HashMap<Role, State>,
}

/// What becomes of the slowest subscriptions once the workers have told them.
enum Asker {
    /// They are the answer.
    Slow(oneshot::Sender<Answer>),
    /// They are a part of it.
    Status(oneshot::Sender<Answer>),
}

impl Node {
    /// Runs the node to its end.
    pub async fn run(self, mut signals: Signals) -> Outcome {
        let (events, mut happened) = mpsc::channel(EVENTS);
        let (ask, mut asked) = mpsc::channel(ctl::ASKERS_MAX);
        tokio::spawn(async move {
            if let Err(error) = ctl::listen(self.ctl, ask).await {
                error!(%error, "the control socket is gone");
            }
        });
        let (workers, admin) = (self.config.workers, self.kit.admin.is_some());
        let plan = Plan {
            workers,
            admin,
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
                return outcome;
            }
            tokio::select! {
                Some(event) = happened.recv() => driver.on_event(event),
                Some(asked) = asked.recv() => driver.on_asked(asked),
                wish = signals.next() => driver.on_wish(wish),
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
            tokio::time::sleep(Duration::from_nanos(at.saturating_sub(clock::mono_ns()))).await;
        }
        None => std::future::pending().await,
    }
}

impl Driver {
    fn begin(&self) {
        let node = self.board.node();
        node.supervisor_pid.store(std::process::id(), Relaxed);
        node.started_wall_us.store(clock::wall_us(), Relaxed);
        let (listen, workers) = (self.config.listen, self.config.workers);
        info!(%listen, workers, node = %self.config.node, run_dir = %self.config.run_dir.display(), "starting");
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
        match Process::start(&self.kit, role, generation, &self.events) {
            Ok(process) => {
                info!(%role, pid = process.pid, "process started");
                self.pid(role).store(process.pid, Relaxed);
                self.processes.insert(role, process);
            }
            Err(error) => {
                error!(%role, %error, "process cannot be started");
                self.tree.handle_exit(clock::mono_ns(), role, generation);
            }
        }
    }

    fn order(&mut self, role: Role, order: &Order) {
        let Some(process) = self.processes.get_mut(&role) else {
            return;
        };
        if let Err(error) = process.order(order) {
            // It is dying or hangs: its end or its deadline comes next.
            warn!(%role, pid = process.pid, %error, ?order, "process cannot be told");
        }
    }

    fn kill(&self, role: Role) {
        let Some(process) = self.processes.get(&role) else {
            return;
        };
        warn!(%role, pid = process.pid, "process did not do as it was told in time: killed");
        if let Err(error) = process.kill() {
            error!(%role, pid = process.pid, %error, "process cannot be killed");
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
        let line = format!("ready listen={listen} admin={admin} workers={workers} pid={pid}\n");
        // Whoever started the node may have closed its end: the node serves all the same.
        let _ = stdout
            .write_all(line.as_bytes())
            .and_then(|()| stdout.flush());
        info!("ready");
        info!(
            "to see it work: pubsub-load ramp --url ws://{listen}/ws, or pubsub-server ctl status"
        );
    }

    fn on_event(&mut self, event: Event) {
        let now = clock::mono_ns();
        match event {
            Event::Reported(role, generation, Report::Ready) => {
                self.tree.handle_ready(now, role, generation);
            }
            Event::Reported(role, _, Report::Drained) => info!(%role, "drained"),
            Event::Reported(Role::Worker(slot), _, Report::Slow { id, rows }) => {
                self.questions.handle_answer(slot, id, rows);
                self.answer();
            }
            Event::Reported(role, _, Report::Slow { .. }) => {
                warn!(%role, "answered what it was not asked");
            }
            Event::Exited(role, generation, status) => self.on_exit(now, role, generation, status),
        }
    }

    fn on_exit(&mut self, now: u64, role: Role, generation: u32, status: io::Result<ExitStatus>) {
        let present = |process: &Process| process.generation == generation;
        let pid = self
            .processes
            .get(&role)
            .filter(|process| present(process))
            .map(|process| process.pid);
        if pid.is_some() {
            self.processes.remove(&role);
            self.pid(role).store(0, Relaxed);
            match role {
                Role::Worker(slot) => self.board.worker(slot).clear_gauges(),
                Role::Hub => self.board.hub().clear_gauges(),
                Role::Admin => {}
            }
        }
        self.tree.handle_exit(now, role, generation);
        let next = self.tree.look(role).state.as_str();
        match status {
            Ok(how) if how.success() => info!(%role, pid, %how, next, "process ended"),
            Ok(how) => warn!(%role, pid, %how, next, "process ended"),
            Err(error) => {
                error!(%role, pid, %error, next, "process ended and cannot be waited for");
            }
        }
        if let Role::Worker(slot) = role {
            self.questions.handle_gone(slot);
            self.answer();
        }
    }

    fn on_wish(&mut self, wish: Wish) {
        if wish == Wish::Stop {
            self.tree.handle_stop(clock::mono_ns());
        }
    }

    fn on_asked(&mut self, (ask, reply): Asked) {
        let now = clock::mono_ns();
        let answer = match ask {
            Ask::Status => return self.ask_workers(now, SLOWEST, Asker::Status(reply)),
            Ask::Slow { n } => {
                return self.ask_workers(now, n.clamp(1, SLOW_MAX), Asker::Slow(reply));
            }
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
        // An asker that has gone needs no answer, here and below.
        let _ = reply.send(answer);
    }

    /// Asks the workers that can answer for their slowest subscriptions.
    fn ask_workers(&mut self, now: u64, n: usize, asker: Asker) {
        let up = |role: Role| match role {
            Role::Worker(slot) if self.tree.look(role).state == State::Up => Some(slot),
            _ => None,
        };
        let workers: Vec<u32> = self.tree.roles().filter_map(up).collect();
        match self.questions.try_ask(now, asker, n, workers.clone()) {
            Ok(id) => {
                for slot in workers {
                    self.order(Role::Worker(slot), &Order::Slow { id, n });
                }
            }
            Err(Asker::Slow(reply) | Asker::Status(reply)) => {
                let _ = reply.send(Answer::Refused(
                    "too many ask at once: try again".to_owned(),
                ));
            }
        }
        self.answer();
    }

    /// Passes on what the workers have told.
    fn answer(&mut self) {
        while let Some((asker, rows)) = self.questions.poll_answered(clock::mono_ns()) {
            let _ = match asker {
                Asker::Slow(reply) => reply.send(Answer::Slow(rows)),
                Asker::Status(reply) => reply.send(self.status(rows)),
            };
        }
    }

    fn status(&self, slowest: Vec<SlowOf>) -> Answer {
        let status = Status {
            slowest: Some(slowest),
            ..Status::read(clock::now(), &self.board, &self.config)
        };
        match serde_json::value::to_raw_value(&status) {
            Ok(status) => Answer::Status(status),
            Err(error) => Answer::Refused(error.to_string()),
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
            let worker = self.board.worker(slot);
            let (role, pid) = (Role::Worker(slot), worker.pid.load(Relaxed));
            match self.watch.handle_look(now, slot, worker) {
                Some(Seen::Blocked(ms)) => {
                    warn!(%role, pid, ms, "loop does not come round: blocked or stopped");
                }
                Some(Seen::Back) => info!(%role, pid, "loop comes round again"),
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
        for role in self.tree.roles() {
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

    fn pid(&self, role: Role) -> &AtomicU32 {
        match role {
            Role::Hub => &self.board.hub().pid,
            Role::Admin => &self.board.admin().pid,
            Role::Worker(slot) => &self.board.worker(slot).pid,
        }
    }
}
