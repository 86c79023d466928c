//! The processes of a node as a pure state machine: which should run, what each is doing, what is to be done next.
//!
//! Owns every decision of the supervisor: starting, readiness, restarts, more and fewer workers, draining, stopping. Must not
//! contain: processes, sockets, signals, a clock. Driven by [`node`](super::node).
//!
//! How to call it: an input (`handle_*`, with `now` in monotonic nanoseconds), then [`poll_action`](Tree::poll_action) until there
//! is none, then sleep until [`poll_timeout`](Tree::poll_timeout) or the next input.
//!
//! Laws: a place that is wanted is never without a process or a time at which it gets one; a process that was told to go is
//! killed if it has not gone in time; once a stop has begun nothing is started any more; whatever the processes do, the last of them
//! has been killed when the drain window and two graces are over.

use std::collections::VecDeque;
use std::fmt;

use super::restart::{Again, Policy, Restarts};
use crate::link::control::{DrainReason, Order};
use crate::telemetry::scoreboard::State;

const SECOND: u64 = 1_000_000_000;
/// A process that is not ready after this long hangs.
const START_NS: u64 = 30 * SECOND;
/// What a process gets beyond its drain window: to write its last closes.
const DRAIN_GRACE_NS: u64 = 5 * SECOND;
/// What a process gets that was told to stop at once.
const STOP_GRACE_NS: u64 = SECOND;

/// A place for a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Numbers publications.
    Hub,
    /// Serves metrics and status.
    Admin,
    /// Holds clients' connections.
    Worker(u32),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub => f.write_str("hub"),
            Self::Admin => f.write_str("admin"),
            Self::Worker(slot) => write!(f, "worker {slot}"),
        }
    }
}

/// What the driver is to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a process in this place.
    Spawn(Role, u32),
    /// Send it this.
    Order(Role, Order),
    /// SIGKILL.
    Kill(Role),
    /// The node serves: every process is ready for the first time.
    Announce,
    /// From now on no new session is welcome.
    Drain,
    /// Nothing is left to do.
    Finish(Outcome),
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Stopped,
    /// It never became ready: this place kept crashing.
    NeverReady(Role),
}

/// What a node is to be, as far as its processes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Workers wanted.
    pub workers: u32,
    /// Whether there is an admin role.
    pub admin: bool,
    /// Window of a graceful stop.
    pub drain_ms: u64,
}

/// All places of a node.
#[derive(Debug)]
pub struct Tree {
    drain_ms: u64,
    phase: Phase,
    hub: Place,
    admin: Option<Place>,
    workers: Vec<Place>,
    announced: bool,
    outcome: Outcome,
    actions: VecDeque<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Drained for good: workers are there only to say so.
    Drained,
    /// The workers are draining; then hub and admin go.
    Stopping,
    /// Everything goes at once.
    Closing,
    Finished,
}

/// One place and the process in it.
#[derive(Debug)]
struct Place {
    role: Role,
    wanted: bool,
    generation: u32,
    life: Life,
    /// Processes that died unasked.
    restarts: u64,
    policy: Restarts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// No process, none to come.
    Absent,
    /// No process until then.
    Waiting {
        until: u64,
        parked: bool,
    },
    /// Spawned, not ready; killed at the deadline.
    Starting {
        since: u64,
        deadline: u64,
    },
    Up {
        since: u64,
    },
    /// Told to go; killed at the deadline.
    Going {
        deadline: u64,
    },
    /// SIGKILL is on its way.
    Killed {
        since: u64,
    },
}

impl Life {
    fn is_process(self) -> bool {
        !matches!(self, Self::Absent | Self::Waiting { .. })
    }
}

impl Tree {
    /// A node that starts now.
    pub fn new(now: u64, plan: Plan) -> Self {
        let mut tree = Self {
            drain_ms: plan.drain_ms,
            phase: Phase::Serving,
            hub: Place::new(Role::Hub, Policy::ONLY_ONE),
            admin: plan
                .admin
                .then(|| Place::new(Role::Admin, Policy::ONLY_ONE)),
            workers: Vec::new(),
            announced: false,
            outcome: Outcome::Stopped,
            actions: VecDeque::new(),
        };
        let Tree {
            hub,
            admin,
            actions,
            ..
        } = &mut tree;
        hub.want(now, actions);
        if let Some(admin) = admin {
            admin.want(now, actions);
        }
        tree.resize(now, plan.workers);
        tree
    }

    /// A process serves.
    pub fn handle_ready(&mut self, now: u64, role: Role, generation: u32) {
        if let Some(place) = self.present(role, generation)
            && matches!(place.life, Life::Starting { .. })
        {
            place.life = Life::Up { since: now };
        }
        self.announce();
    }

    /// A process is gone. Also called when it could not be spawned.
    pub fn handle_exit(&mut self, now: u64, role: Role, generation: u32) {
        let phase = self.phase;
        let Some(place) = self.present(role, generation) else {
            return;
        };
        let life = std::mem::replace(&mut place.life, Life::Absent);
        if place.wanted && matches!(phase, Phase::Serving | Phase::Drained) {
            place.restarts += u64::from(!matches!(life, Life::Going { .. }));
            let parked = place.again(now, life);
            if parked && !self.announced {
                self.outcome = Outcome::NeverReady(role);
                self.close(now);
            }
        }
        self.handle_timeout(now);
        self.step(now);
    }

    /// Have so many workers; nothing once a stop has begun.
    pub fn handle_resize(&mut self, now: u64, workers: u32) {
        if matches!(self.phase, Phase::Serving | Phase::Drained) {
            self.resize(now, workers);
            self.announce();
        }
    }

    /// Tell all clients to go and welcome no new ones, but stay. Nothing once it has been said, or a stop has begun.
    pub fn handle_drain(&mut self, now: u64) {
        if self.phase == Phase::Serving {
            self.phase = Phase::Drained;
            self.actions.push_back(Action::Drain);
            self.drain_workers(now, DrainReason::Shutdown);
        }
    }

    /// Stop: the first time gracefully, the second time at once.
    pub fn handle_stop(&mut self, now: u64) {
        match self.phase {
            Phase::Serving | Phase::Drained => {
                if self.phase == Phase::Serving {
                    self.actions.push_back(Action::Drain);
                }
                self.phase = Phase::Stopping;
                let Self {
                    hub,
                    admin,
                    workers,
                    ..
                } = self;
                for place in std::iter::once(hub).chain(admin).chain(workers) {
                    place.forget();
                }
                self.drain_workers(now, DrainReason::Shutdown);
            }
            Phase::Stopping => self.close(now),
            Phase::Closing | Phase::Finished => {}
        }
        self.step(now);
    }

    /// The time given by [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: u64) {
        let Self {
            hub,
            admin,
            workers,
            actions,
            ..
        } = self;
        for place in std::iter::once(hub).chain(admin).chain(workers) {
            place.on_time(now, actions);
        }
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.places().filter_map(Place::deadline).min()
    }

    /// Worker places that are in use: those wanted, and beyond them those that still have a process.
    pub fn worker_slots(&self) -> u32 {
        let used = |place: &Place| place.wanted || place.life != Life::Absent;
        self.workers
            .iter()
            .rposition(used)
            .map_or(0, |last| last as u32 + 1)
    }

    /// Workers that are wanted.
    pub fn workers_wanted(&self) -> u32 {
        self.workers.iter().filter(|place| place.wanted).count() as u32
    }

    /// What a place is doing, how many processes it lost, and which process it is at.
    pub fn look(&self, role: Role) -> Look {
        match self.place(role) {
            Some(place) => Look {
                state: place.state(),
                restarts: place.restarts,
                generation: place.generation,
            },
            None => Look {
                state: State::Empty,
                restarts: 0,
                generation: 0,
            },
        }
    }

    /// All places that ever had a process.
    pub fn roles(&self) -> impl Iterator<Item = Role> + '_ {
        self.places().map(|place| place.role)
    }

    /// Whether a stop has begun.
    pub fn is_stopping(&self) -> bool {
        !matches!(self.phase, Phase::Serving | Phase::Drained)
    }

    fn resize(&mut self, now: u64, workers: u32) {
        while self.workers.len() < workers as usize {
            let slot = self.workers.len() as u32;
            self.workers
                .push(Place::new(Role::Worker(slot), Policy::WORKER));
        }
        let window = self.drain_ms;
        for (slot, place) in self.workers.iter_mut().enumerate() {
            if slot < workers as usize {
                place.want(now, &mut self.actions);
            } else {
                place.forget();
                place.drain(now, DrainReason::Rebalance, window, &mut self.actions);
            }
        }
    }

    fn drain_workers(&mut self, now: u64, reason: DrainReason) {
        for place in &mut self.workers {
            place.drain(now, reason, self.drain_ms, &mut self.actions);
        }
    }

    /// Every process stops at once.
    fn close(&mut self, now: u64) {
        self.phase = Phase::Closing;
        let Self {
            hub,
            admin,
            workers,
            actions,
            ..
        } = self;
        for place in std::iter::once(hub).chain(admin).chain(workers) {
            place.forget();
            place.stop(now, actions);
        }
    }

    /// Goes on with a stop as far as it can.
    fn step(&mut self, now: u64) {
        let gone = |place: &Place| !place.life.is_process();
        if self.phase == Phase::Stopping && self.workers.iter().all(gone) {
            self.close(now);
        }
        if self.phase == Phase::Closing && self.places().all(gone) {
            self.phase = Phase::Finished;
            self.actions.push_back(Action::Finish(self.outcome));
        }
    }

    fn announce(&mut self) {
        let ready = self
            .places()
            .all(|place| !place.wanted || matches!(place.life, Life::Up { .. }));
        if !self.announced && self.phase == Phase::Serving && ready {
            self.announced = true;
            self.actions.push_back(Action::Announce);
        }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.hub)
            .chain(&self.admin)
            .chain(&self.workers)
    }

    fn place(&self, role: Role) -> Option<&Place> {
        match role {
            Role::Hub => Some(&self.hub),
            Role::Admin => self.admin.as_ref(),
            Role::Worker(slot) => self.workers.get(slot as usize),
        }
    }

    /// The place, if this is the process it has now.
    fn present(&mut self, role: Role, generation: u32) -> Option<&mut Place> {
        let place = match role {
            Role::Hub => Some(&mut self.hub),
            Role::Admin => self.admin.as_mut(),
            Role::Worker(slot) => self.workers.get_mut(slot as usize),
        };
        place.filter(|place| place.generation == generation && place.life.is_process())
    }
}

/// What a place is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// In the scoreboard's words.
    pub state: State,
    /// Processes it lost.
    pub restarts: u64,
    /// Which process it is at.
    pub generation: u32,
}

impl Place {
    fn new(role: Role, policy: Policy) -> Self {
        let policy = Restarts::new(policy);
        Self {
            role,
            wanted: false,
            generation: 0,
            life: Life::Absent,
            restarts: 0,
            policy,
        }
    }

    /// There should be a process here. One that is going is let go, and followed by another.
    fn want(&mut self, now: u64, actions: &mut VecDeque<Action>) {
        self.wanted = true;
        if self.life == Life::Absent {
            self.spawn(now, actions);
        }
    }

    /// There should be no process here any more, once the one there is has gone.
    fn forget(&mut self) {
        self.wanted = false;
        if !self.life.is_process() {
            self.life = Life::Absent;
        }
    }

    fn spawn(&mut self, now: u64, actions: &mut VecDeque<Action>) {
        self.generation += 1;
        self.life = Life::Starting {
            since: now,
            deadline: now + START_NS,
        };
        actions.push_back(Action::Spawn(self.role, self.generation));
    }

    /// Decides when the next process comes after one died that had this life; whether the place is parked.
    fn again(&mut self, now: u64, life: Life) -> bool {
        let lived = match life {
            // It went because it was told to: no crash.
            Life::Going { .. } => {
                self.life = Life::Waiting {
                    until: now,
                    parked: false,
                };
                return false;
            }
            Life::Starting { since, .. } | Life::Up { since } | Life::Killed { since } => {
                now.saturating_sub(since)
            }
            Life::Absent | Life::Waiting { .. } => 0,
        };
        let (until, parked) = match self.policy.handle_crash(now, lived) {
            Again::At(until) => (until, false),
            Again::Parked(until) => (until, true),
        };
        self.life = Life::Waiting { until, parked };
        parked
    }

    fn drain(
        &mut self,
        now: u64,
        reason: DrainReason,
        window_ms: u64,
        actions: &mut VecDeque<Action>,
    ) {
        match self.life {
            Life::Starting { .. } | Life::Up { .. } => {
                self.life = Life::Going {
                    deadline: now + window_ms * 1_000_000 + DRAIN_GRACE_NS,
                };
                actions.push_back(Action::Order(self.role, Order::Drain { reason, window_ms }));
            }
            Life::Waiting { .. } | Life::Absent | Life::Going { .. } | Life::Killed { .. } => {}
        }
    }

    fn stop(&mut self, now: u64, actions: &mut VecDeque<Action>) {
        match self.life {
            Life::Starting { .. } | Life::Up { .. } | Life::Going { .. } => {
                self.life = Life::Going {
                    deadline: now + STOP_GRACE_NS,
                };
                actions.push_back(Action::Order(self.role, Order::Stop));
            }
            Life::Waiting { .. } | Life::Absent | Life::Killed { .. } => {}
        }
    }

    fn on_time(&mut self, now: u64, actions: &mut VecDeque<Action>) {
        match self.life {
            Life::Waiting { until, .. } if until <= now => self.spawn(now, actions),
            Life::Starting { since, deadline } if deadline <= now => self.kill(since, actions),
            // Its life counts as short: it did not do as it was told.
            Life::Going { deadline } if deadline <= now => self.kill(now, actions),
            _ => {}
        }
    }

    fn kill(&mut self, since: u64, actions: &mut VecDeque<Action>) {
        self.life = Life::Killed { since };
        actions.push_back(Action::Kill(self.role));
    }

    fn deadline(&self) -> Option<u64> {
        match self.life {
            Life::Waiting { until, .. } => Some(until),
            Life::Starting { deadline, .. } | Life::Going { deadline } => Some(deadline),
            Life::Absent | Life::Up { .. } | Life::Killed { .. } => None,
        }
    }

    fn state(&self) -> State {
        match self.life {
            Life::Absent => State::Empty,
            Life::Waiting { parked: true, .. } => State::Parked,
            Life::Waiting { parked: false, .. } => State::Down,
            Life::Starting { .. } => State::Starting,
            Life::Up { .. } => State::Up,
            Life::Going { .. } | Life::Killed { .. } => State::Draining,
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
