//! The engine of one worker: its sessions, their subscriptions, and the views these read.
//!
//! Owns everything that a worker knows of its clients but their sockets. Contains no socket, file, clock, thread, lock or log:
//! every input takes `now`, one deadline stands for all timers, and bytes are lent to whoever writes them.
//!
//! The methods come in kinds, to be called in this order by a driver's loop:
//!
//! 1. inputs, `handle_*`: a session opened or gone, a command, an event of the hub, a socket that takes again, the deadline;
//! 2. visits: [`Engine::poll_visit`] names a session worth a write, [`Engine::poll_write`] lends up to 64 pieces of what it is to
//!    receive, [`Engine::handle_written`] takes note of how much the kernel took. Repeat for a slice of time;
//! 3. outputs: [`Engine::poll_call`] what to carry out, [`Engine::poll_hub`] what to ask the hub, [`Engine::poll_closed`] which
//!    connections to end;
//! 4. [`Engine::poll_timeout`]: when to come back at the latest.
//!
//! Between a `poll_write` and its `handle_written` nothing else may be called.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;

use hashbrown::HashTable;
use pubsub_wire::frame::{FrameBuf, opcode};
use pubsub_wire::value::{GoawayReason, Mode, Overflow, Welcome};
use pubsub_wire::{Id, close, encode};
use slab::Slab;

use crate::calls::Calls;
use crate::cohort::SubKey;
use crate::config::{CloseHow, Closed, Config, Now, Peer, SessionId, Slow};
use crate::deadlines::Deadlines;
use crate::hub::HubRequest;
use crate::operator::Released;
use crate::partials::Partials;
use crate::plan::Plan;
use crate::publish::Publishes;
use crate::read::Reads;
use crate::ring::Hold;
use crate::session::{Control, Heartbeat, NONE, Session};
use crate::stats::{Outcomes, Stats};
use crate::subscription::Subscription;
use crate::terms::TermsInUse;
use crate::views::Views;
use crate::visit::Visits;

/// A control lane may hold this many times its bound while the socket still takes: a burst of commands is answered in one turn.
const CONTROL_BURST: usize = 64;

/// What the engine knows of the hub.
#[derive(Debug)]
pub(crate) struct Hub {
    /// A link is there and has said hello.
    pub(crate) up: bool,
    pub(crate) epoch: Rc<str>,
    /// How far this worker has come in the log.
    pub(crate) position: i64,
    pub(crate) requests: VecDeque<HubRequest>,
}

/// The engine of one worker.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) sessions: Slab<Session>,
    pub(crate) subscriptions: Slab<Subscription>,
    pub(crate) views: Views,
    /// Subscriptions by session and view, so that a text is found without keeping it twice.
    pub(crate) names: HashTable<u32>,
    pub(crate) hub: Hub,
    pub(crate) reads: Reads,
    pub(crate) publishes: Publishes,
    pub(crate) calls: Calls,
    pub(crate) visits: Visits,
    pub(crate) plan: Plan,
    pub(crate) terms: TermsInUse,
    pub(crate) partials: Partials,
    /// When sessions are to be looked at.
    pub(crate) timers: Deadlines,
    /// When operators are due, by cohort.
    pub(crate) cohort_timers: Deadlines,
    /// When quiet views are looked at next.
    pub(crate) quiet_ns: u64,
    pub(crate) closed: VecDeque<Closed>,
    pub(crate) frames: FrameBuf,
    /// The frame of every heartbeat.
    pub(crate) ping: Rc<[u8]>,
    pub(crate) route: Vec<u32>,
    /// Scratch space of the way through operators.
    pub(crate) deriving: Vec<u32>,
    pub(crate) released: Vec<Released>,
    pub(crate) item: Vec<u8>,
    /// What gives for want of memory is giving.
    pub(crate) minding: bool,
    /// The moment of the last input.
    pub(crate) now: Now,
    pub(crate) stats: Stats,
    random: fastrand::Rng,
    generations: u32,
    serials: u32,
}

impl Engine {
    /// An engine without sessions and without a hub.
    pub fn new(config: Config) -> Self {
        let budget = Rc::new(Cell::new(0));
        let stats = Stats {
            calls: vec![Outcomes::default(); config.methods.len() + 1],
            ..Stats::default()
        };
        let mut frames = FrameBuf::new();
        let ping = Rc::from(frames.control(opcode::PING, &[]));
        Self {
            reads: Reads::new(config.reads_in_flight, config.ring_bytes / 4, budget),
            publishes: Publishes::default(),
            calls: Calls::default(),
            random: fastrand::Rng::with_seed(config.seed),
            config,
            sessions: Slab::new(),
            subscriptions: Slab::new(),
            views: Views::default(),
            names: HashTable::new(),
            hub: Hub {
                up: false,
                epoch: Rc::from(""),
                position: 0,
                requests: VecDeque::new(),
            },
            visits: Visits::default(),
            plan: Plan::default(),
            terms: TermsInUse::default(),
            partials: Partials::default(),
            timers: Deadlines::default(),
            cohort_timers: Deadlines::default(),
            quiet_ns: u64::MAX,
            closed: VecDeque::new(),
            frames,
            ping,
            route: Vec::new(),
            deriving: Vec::new(),
            released: Vec::new(),
            item: Vec::new(),
            minding: false,
            now: Now {
                mono_ns: 0,
                wall_us: 0,
            },
            stats,
            generations: 0,
            serials: 0,
        }
    }

    /// A connection has been upgraded: its session begins with `welcome`.
    pub fn handle_open(&mut self, now: Now, peer: Peer) -> SessionId {
        self.generations = self.generations.wrapping_add(1);
        self.stats.sessions += 1;
        self.stats.sessions_total += 1;
        let number = self.stats.sessions_total;
        let session = Session::new(self.generations, number, now.mono_ns, peer.may_publish);
        let index = self.sessions.insert(session) as u32;
        let welcome = Welcome {
            session: self.session_name(index),
            node: self.config.node.clone(),
            worker: self.config.worker,
            heartbeat_ms: self.config.heartbeat_ns / 1_000_000,
            limits: self.config.limits,
        };
        self.send(index, |out| encode::welcome(out, &welcome));
        self.arm(index, now.mono_ns + self.config.heartbeat_ns);
        self.session_id(index)
    }

    /// The peer's ping frame: its pong goes into the control lane.
    pub fn handle_ping(&mut self, _now: Now, session: SessionId, payload: &[u8]) {
        if let Some(index) = self.open_session(session) {
            let frame = Rc::from(self.frames.control(opcode::PONG, payload));
            self.control(index, Control::Frame(frame));
        }
    }

    /// Bytes arrived, whatever they were: the peer lives.
    pub fn handle_received(&mut self, now: Now, session: SessionId) {
        if let Some(session) = self.session_mut(session) {
            session.received_ns = now.mono_ns;
            if !matches!(session.heartbeat, Heartbeat::Queued) {
                session.heartbeat = Heartbeat::Listening;
            }
        }
    }

    /// The peer's close frame: it is answered and the session ends.
    pub fn handle_peer_close(&mut self, now: Now, session: SessionId, code: Option<u16>) {
        if let Some(index) = self.open_session(session) {
            self.close(now, index, code.unwrap_or(close::NORMAL), "");
        } else if let Some(index) = self.session_index(session) {
            // Both sides have said goodbye; what ours still waits for doesn't matter any more.
            self.end(index, CloseHow::Hard, code.unwrap_or(close::NORMAL));
        }
    }

    /// The peer broke the rules of its frames.
    pub fn handle_protocol_error(&mut self, now: Now, session: SessionId, code: u16, reason: &str) {
        if let Some(index) = self.open_session(session) {
            self.stats.closed_protocol += 1;
            self.close(now, index, code, reason);
        }
    }

    /// The connection is gone; everything of it is forgotten and nothing more is said of it.
    pub fn handle_disconnect(&mut self, _now: Now, session: SessionId) {
        if let Some(index) = self.session_index(session) {
            self.forget(index);
            self.mind_memory();
        }
    }

    /// The kernel takes bytes of this session again.
    pub fn handle_writable(&mut self, _now: Now, session: SessionId) {
        if let Some(index) = self.session_index(session) {
            self.sessions[index as usize].blocked = false;
            self.wake_readers(index);
            self.queue(index);
        }
    }

    /// Tells every session to go elsewhere; each is closed at a random time within `window_ms`.
    pub fn handle_goaway(&mut self, now: Now, reason: GoawayReason, window_ms: u64) {
        let all: Vec<u32> = self
            .sessions
            .iter()
            .filter(|(_, s)| !s.closing)
            .map(|(i, _)| i as u32)
            .collect();
        for index in all {
            let retry_after_ms = self.draw(window_ms);
            let end_ns = now.mono_ns + self.draw(window_ms) * 1_000_000;
            self.send(index, |out| encode::goaway(out, reason, retry_after_ms));
            let Some(session) = self.sessions.get_mut(index as usize) else {
                continue;
            };
            session.end_ns = end_ns;
            session.end_code = if reason == GoawayReason::Shutdown {
                close::SHUTDOWN
            } else {
                close::RESTART
            };
            self.arm(index, end_ns);
        }
    }

    /// The next session that was ended here; the engine has forgotten it.
    pub fn poll_closed(&mut self) -> Option<Closed> {
        self.closed.pop_front()
    }

    /// The next request for the hub, in order.
    pub fn poll_hub(&mut self) -> Option<HubRequest> {
        // Readers that were overtaken, or gave their slices back, have queued since.
        self.ask();
        let request = self.hub.requests.pop_front()?;
        match request {
            HubRequest::Publish { request, .. } => self.publishes.sent(request),
            HubRequest::Call { request, .. } => self.calls.sent(request),
            HubRequest::Watch { .. }
            | HubRequest::Unwatch { .. }
            | HubRequest::Resume
            | HubRequest::Read { .. } => {}
        }
        Some(request)
    }

    /// The hub's epoch, and the position up to which everything watched has come; `None` before the first hub. A hub that is greeted
    /// with it can go on from there.
    pub fn hub_position(&self) -> Option<(&str, i64)> {
        let hub = &self.hub;
        (!hub.epoch.is_empty()).then_some((&*hub.epoch, hub.position))
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The `n` subscriptions that are furthest behind, by messages. What these have lost so far is settled first.
    pub fn slowest(&mut self, now: Now, n: usize) -> Vec<Slow> {
        let all = self.subscriptions.iter().map(|(i, _)| i as u32);
        let furthest = self.furthest(all, n);
        let keys: Vec<SubKey> = furthest.iter().map(|index| self.key(*index)).collect();
        for key in &keys {
            let Some(index) = self.subscription_index(*key) else {
                continue;
            };
            let subscription = &self.subscriptions[index as usize];
            if subscription.hold == Hold::Parked && !subscription.leaving {
                self.settle(now, index);
            }
        }
        let settled = keys.into_iter().filter_map(|k| self.subscription_index(k));
        let furthest = self.furthest(settled, n);
        furthest.iter().map(|i| self.slow(now, *i)).collect()
    }

    /// Of these the `n` that are furthest behind: only they are worth settling, since most of many may stand still for long, and no
    /// more than so many are remembered at once.
    fn furthest(&self, of: impl Iterator<Item = u32>, n: usize) -> Vec<u32> {
        let mut furthest = BinaryHeap::new();
        for index in of {
            let lag = self.lag_in_bound(index);
            if lag > 0 {
                furthest.push((Reverse(lag), index));
            }
            if furthest.len() > n {
                furthest.pop();
            }
        }
        let sorted = furthest.into_sorted_vec();
        sorted.into_iter().map(|(_, index)| index).collect()
    }

    /// How many messages wait for a subscription. What it has lost beyond its bound and was not settled yet does not.
    fn lag_in_bound(&self, index: u32) -> u64 {
        let subscription = &self.subscriptions[index as usize];
        let lag = subscription.lag_messages(&self.views);
        let bound = match subscription.overflow {
            Overflow::DropOldest | Overflow::DropNewest => subscription.bound().messages,
            Overflow::Conflate | Overflow::Spill | Overflow::Disconnect => u64::MAX,
        };
        let replays = subscription.mode == Mode::Replay;
        // Of what the hub has for one that replays only what was read is counted, and that may be nothing at the moment.
        if replays { lag.max(1) } else { lag.min(bound) }
    }

    fn slow(&self, now: Now, index: u32) -> Slow {
        let subscription = &self.subscriptions[index as usize];
        let lag = self.lag(now, index, None);
        Slow {
            session: self.session_name(subscription.session),
            topic: self.views.get(subscription.view).text.to_string(),
            mode: subscription.mode.as_str(),
            messages: lag.messages,
            bytes: lag.bytes,
            age_ms: lag.age_ms,
            overflow: subscription.overflow,
            settings: self.settings_text(index),
        }
    }

    /// Bytes of the frame of this subscription that is under way, whole.
    pub(crate) fn under_way_bytes(&self, subscription: &Subscription) -> u64 {
        if subscription.under_way == 0 {
            return 0;
        }
        self.sessions[subscription.session as usize]
            .partial
            .as_ref()
            .map_or(0, |p| p.frame.len() as u64)
    }

    fn session_name(&self, index: u32) -> String {
        format!(
            "{}-{:x}",
            self.config.session_prefix, self.sessions[index as usize].number
        )
    }

    #[inline]
    pub(crate) fn session_id(&self, index: u32) -> SessionId {
        SessionId {
            index,
            generation: self.sessions[index as usize].generation,
        }
    }

    /// Where a session stands, unless it is gone.
    #[inline]
    pub(crate) fn session_index(&self, id: SessionId) -> Option<u32> {
        let session = self.sessions.get(id.index as usize)?;
        (session.generation == id.generation).then_some(id.index)
    }

    /// Likewise, unless it is being closed.
    pub(crate) fn open_session(&self, id: SessionId) -> Option<u32> {
        self.session_index(id)
            .filter(|index| !self.sessions[*index as usize].closing)
    }

    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions
            .get_mut(id.index as usize)
            .filter(|s| s.generation == id.generation)
    }

    /// Where a subscription stands, unless it is gone.
    #[inline]
    pub(crate) fn subscription_index(&self, key: SubKey) -> Option<u32> {
        let subscription = self.subscriptions.get(key.index as usize)?;
        (subscription.serial == key.serial).then_some(key.index)
    }

    #[inline]
    pub(crate) fn key(&self, index: u32) -> SubKey {
        SubKey {
            index,
            serial: self.subscriptions[index as usize].serial,
        }
    }

    pub(crate) fn next_serial(&mut self) -> u32 {
        self.serials = self.serials.wrapping_add(1);
        self.serials
    }

    /// Puts a text frame into the control lane.
    pub(crate) fn send(&mut self, session: u32, build: impl FnOnce(&mut Vec<u8>)) {
        let frame = Rc::from(self.frames.text(build));
        self.control(session, Control::Frame(frame));
    }

    /// Refuses a command.
    pub(crate) fn refuse(&mut self, session: u32, id: Option<&Id>, frame: &encode::ErrorFrame<'_>) {
        let frame = encode::ErrorFrame { id, ..*frame };
        self.send(session, |out| encode::error(out, &frame));
    }

    /// Puts something into the control lane; a lane that is full ends the session.
    pub(crate) fn control(&mut self, index: u32, control: Control) {
        let bytes = control.bytes();
        let session = &mut self.sessions[index as usize];
        if session.closing {
            return;
        }
        session.control_bytes += bytes;
        session.control.push_back(control);
        let bound = self.config.control_bytes * if session.blocked { 1 } else { CONTROL_BURST };
        if session.control_bytes as usize > bound {
            self.stats.closed_control += 1;
            self.end(index, CloseHow::Hard, close::CONTROL_OVERFLOW);
            return;
        }
        self.queue_first(index);
    }

    /// A number below `limit`, from the engine's own generator (splitmix64).
    fn draw(&mut self, limit: u64) -> u64 {
        self.random.u64(..limit.max(1))
    }

    /// Ends a session in good order: what is under way finishes, then the close frame goes out, and nothing after it.
    pub(crate) fn close(&mut self, now: Now, index: u32, code: u16, reason: &str) {
        while self.sessions[index as usize].first != NONE {
            self.remove_subscription(self.sessions[index as usize].first);
        }
        let frame = Rc::from(self.frames.close(code, reason));
        let end_ns = now.mono_ns + crate::timer::CLOSE_FLUSH_NS;
        let session = &mut self.sessions[index as usize];
        session.control.retain(|c| matches!(c, Control::Frame(_)));
        session.control.push_back(Control::Close { frame, code });
        session.closing = true;
        session.end_ns = end_ns;
        session.end_code = code;
        self.arm(index, end_ns);
        self.queue_first(index);
    }

    /// Ends a session at once.
    pub(crate) fn end(&mut self, index: u32, how: CloseHow, code: u16) {
        let session = self.session_id(index);
        self.closed.push_back(Closed { session, how, code });
        self.forget(index);
    }

    fn forget(&mut self, index: u32) {
        while self.sessions[index as usize].first != NONE {
            self.remove_subscription(self.sessions[index as usize].first);
        }
        if let Some(partial) = &self.sessions[index as usize].partial {
            self.partials.drop(&partial.frame);
        }
        self.timers.disarm(index);
        self.sessions.remove(index as usize);
        self.stats.sessions -= 1;
        // It may have held slices that others wait for.
        self.ask();
    }

    /// Switches a subscription's mode, which its client is told in its place.
    pub(crate) fn set_mode(stats: &mut Stats, subscription: &mut Subscription, mode: Mode) {
        match subscription.mode {
            Mode::Live => {}
            Mode::Behind => stats.behind -= 1,
            Mode::Replay => stats.replaying -= 1,
        }
        match mode {
            Mode::Live => {}
            Mode::Behind => stats.behind += 1,
            Mode::Replay => stats.replaying += 1,
        }
        subscription.mode = mode;
    }
}
