//! Very many WebSocket subscribers on one thread.
//!
//! Owns the sockets, one epoll instance of its own (edge-triggered, each socket registered once for both directions) and one
//! small record per connection. Must not contain: what should happen when (a scenario decides), or what is printed. Driven by
//! its caller: nothing happens outside [`Swarm::run_until`], so a swarm can be stepped from a command, a bench or a test, on whatever
//! thread it was moved to.
//!
//! - [`frames`], [`head`], [`batch`], [`json`], [`said`], [`outgoing`], [`upgrade`]: bytes and what they mean; pure
//! - [`tally`], [`staleness`], [`lag`], [`counters`], [`losses`], [`causes`], [`account`], [`published`]: what is counted; pure
//! - `packed`: histograms as they travel; pure
//! - [`order`], [`pace`]: what is promised of offsets, and whose turn it is to read; pure
//! - `conn`, `group`, `topics`: the records
//! - `socket`, `inbound`, `heard`: the way in and out
//! - [`calls`], [`request`]: calls that are due and under way, what they say; pure. `calling`: the same in the loop
//! - `turn`, `due`: the loop
//! - `closing`: the end of a run
//! - [`files`]: how many connections there may be
//!
//! Laws: connections are begun in an even rate decided beforehand; a message is stamped right after the read that brought it;
//! the loop's own slowness is measured all the time; nothing is kept per message.
pub mod account;
pub mod batch;
mod calling;
pub mod calls;
pub mod causes;
mod closing;
mod conn;
pub mod counters;
mod due;
pub mod error;
pub mod files;
pub mod frames;
mod group;
pub mod head;
mod heard;
mod inbound;
pub mod json;
pub mod lag;
pub mod losses;
pub mod order;
pub mod outgoing;
pub mod pace;
mod packed;
pub mod published;
pub mod request;
pub mod said;
pub(crate) mod socket;
pub mod staleness;
pub mod tally;
mod topics;
mod turn;
pub mod upgrade;

pub use account::Account;
pub use calls::{CallCounts, CallPlan};
pub use causes::Causes;
pub use counters::{Books, Counters};
pub use error::{ConnectError, SwarmError};
pub use group::Group;
pub use losses::Losses;
pub use pace::Pace;
pub use request::Method;
pub(crate) use socket::{PER_SOURCE, SOURCES_MAX};
pub use staleness::Staleness;
pub use tally::Tally;
pub use topics::{Subscription, TopicId};

use crate::clock;
use crate::deal::Seat;
use crate::schedule::Schedule;
use crate::target::Target;
use calls::Agenda;
use conn::{Conn, Owed, State};
use group::Members;
use inbound::Inbound;
use lag::LoopLag;
use pace::Waiting;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use slab::Slab;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use topics::Topic;

/// Events of one turn. Many: what a turn visits late has gathered more to be read at once.
const EVENTS: usize = 4096;

/// Names what is watched for its caller: no connection has all bits of both halves.
const CALLER: u64 = u64::MAX;

/// Connections that are given a command one after the other.
type Paced = (Vec<u64>, Schedule);

/// How a swarm connects and counts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to; which of them is a matter of the subscription.
    pub targets: Vec<Target>,
    /// Loopback source addresses that connections take turns on, where the target is loopback.
    pub sources: usize,
    /// Where others connect too, the turns that are this swarm's.
    pub seat: Seat,
    /// Connections begun per second.
    pub connects_per_s: f64,
    /// Handshakes under way at once.
    pub under_way: usize,
    /// Time for connect and handshake.
    pub handshake: Duration,
    /// Every how manieth message is parsed whole and compared.
    pub check_every: u32,
    /// How many of the highest and of the lowest latencies a window remembers.
    pub outliers: usize,
    /// Receive buffer of the connections outside of [`Group::MAIN`], bytes; the kernel doubles it. With a small one the server notices
    /// soon that they do not read. Where a pace needs a larger one, it has it. `None`: the system's.
    pub apart_receive_bytes: Option<usize>,
}

impl Options {
    /// Defaults for this target.
    pub fn new(target: Target) -> Self {
        Self {
            targets: vec![target],
            sources: 1,
            seat: Seat::default(),
            connects_per_s: 2000.0,
            under_way: 256,
            handshake: Duration::from_secs(10),
            check_every: 1024,
            outliers: 10,
            apart_receive_bytes: None,
        }
    }
}

/// How many connections are in which state now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Asked for and not begun.
    pub queued: usize,
    /// Handshake under way.
    pub under_way: usize,
    /// Open, whatever became of the subscription.
    pub open: usize,
    /// Subscribed and open.
    pub subscribed: usize,
    /// Records held, closing ones included.
    pub held: usize,
}

/// Subscribers on one thread.
pub struct Swarm {
    options: Options,
    epoll: OwnedFd,
    events: Vec<Event>,
    conns: Slab<Conn>,
    generation: u32,
    begun: usize,
    queue: VecDeque<(usize, TopicId, Group)>,
    queued: usize,
    pace: Option<Schedule>,
    handshakes: VecDeque<(u64, u64)>,
    under_way: usize,
    again: Vec<u64>,
    asking: Option<Paced>,
    leaving: Option<Paced>,
    waiting: Vec<Waiting>,
    agenda: Agenda,
    inbound: Inbound,
    lag: LoopLag,
    looked_ns: u64,
    called: bool,
}

impl Swarm {
    /// A swarm without connections.
    pub fn new(options: Options) -> Result<Self, SwarmError> {
        let epoll =
            epoll::create(CreateFlags::CLOEXEC).map_err(SwarmError::system("epoll_create1"))?;
        let inbound = Inbound::new(options.check_every);
        let mut swarm = Self {
            options,
            epoll,
            events: Vec::with_capacity(EVENTS),
            conns: Slab::new(),
            generation: 0,
            begun: 0,
            queue: VecDeque::new(),
            queued: 0,
            pace: None,
            handshakes: VecDeque::new(),
            under_way: 0,
            again: Vec::new(),
            asking: None,
            leaving: None,
            waiting: Vec::new(),
            agenda: Agenda::new(fastrand::u64(..)),
            inbound,
            lag: LoopLag::default(),
            looked_ns: clock::mono_ns(),
            called: false,
        };
        for known in [Group::MAIN, Group::APART] {
            let group = swarm.group(Pace::Full);
            debug_assert_eq!(group, known);
        }
        Ok(swarm)
    }

    /// Makes a further group known, whose connections read like this once they have subscribed.
    ///
    /// # Panics
    /// When there are [`Group::MAX`] already.
    pub fn group(&mut self, pace: Pace) -> Group {
        let group = Group::next(self.waiting.len()).expect("fewer groups than there may be");
        self.waiting.push(Waiting::new(pace));
        let members = Members::new(pace, self.options.outliers);
        self.inbound.groups.push(members);
        group
    }

    /// Makes a subscription known. Every connection has exactly one.
    pub fn topic(&mut self, subscription: &Subscription) -> TopicId {
        self.topic_at(0, subscription)
    }

    /// The same at another target than the first: what one server numbers has nothing to do with what another does.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn topic_at(&mut self, target: usize, subscription: &Subscription) -> TopicId {
        assert!(target < self.options.targets.len(), "a target there is");
        self.inbound.topics.push(Topic::new(subscription, target));
        TopicId(self.inbound.topics.len() as u32 - 1)
    }

    /// Makes known what connections call instead of subscribing, at this target.
    ///
    /// # Panics
    /// When there is no such target.
    pub fn calls_at(&mut self, target: usize, plan: CallPlan) -> TopicId {
        assert!(target < self.options.targets.len(), "a target there is");
        self.inbound.topics.push(Topic::calling(plan, target));
        TopicId(self.inbound.topics.len() as u32 - 1)
    }

    /// Watches this too: a run ends early as soon as there is something to be read from it, until [`Swarm::take_called`].
    pub fn watch(&mut self, caller: impl AsFd) -> Result<(), SwarmError> {
        epoll::add(
            &self.epoll,
            caller,
            EventData::new_u64(CALLER),
            EventFlags::IN,
        )
        .map_err(SwarmError::system("epoll_ctl"))
    }

    /// Whether what is watched has something to be read. It is noticed while the swarm runs.
    pub fn is_called(&self) -> bool {
        self.called
    }

    /// The same, and runs last again.
    pub fn take_called(&mut self) -> bool {
        std::mem::take(&mut self.called)
    }

    /// Asks for `n` more connections; they are begun at the paced rate.
    pub fn connect(&mut self, n: usize, topic: TopicId, group: Group) {
        if self.queued + self.under_way == 0 {
            self.inbound.counters.connecting(clock::mono_ns());
        }
        if self.queued == 0 {
            self.pace = Some(Schedule::new(clock::mono_ns(), self.options.connects_per_s));
        }
        self.queue.push_back((n, topic, group));
        self.queued += n;
    }

    /// Works until `done` says so, at most for `limit` or until it is called; whether it was done. `done` is asked once a turn, and
    /// a turn lasts until something happens to the swarm: what comes from elsewhere is to be looked for between short runs.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, SwarmError> {
        let end = clock::mono_ns().saturating_add(limit.as_nanos() as u64);
        loop {
            if done(self) {
                return Ok(true);
            }
            if self.called || clock::mono_ns() >= end {
                return Ok(false);
            }
            self.turn(end)?;
        }
    }

    /// Works for this long.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), SwarmError> {
        self.run_until(duration, |_| false).map(|_| ())
    }

    /// How many connections are in which state. Walks the records.
    pub fn standing(&self) -> Standing {
        let mut standing = Standing {
            queued: self.queued,
            under_way: self.under_way,
            held: self.conns.len(),
            ..Standing::default()
        };
        for (_, conn) in &self.conns {
            standing.open += usize::from(conn.is_open());
            standing.subscribed += usize::from(conn.state == State::Subscribed);
        }
        standing
    }

    /// Connections asked for that have neither come about nor failed, and those whose `subscribe` is unanswered. Walks the records.
    pub fn unsettled(&self) -> usize {
        let waiting = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.state == State::Subscribing);
        self.queued + self.under_way + waiting.count()
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.inbound.counters
    }

    /// Messages received by this group since its window began.
    pub fn received(&self, group: Group) -> u64 {
        self.inbound.groups[group.index()].tally.received
    }

    /// What this group received since the last time, and begins a new window. What was numbered more than `overdue` ago and
    /// has not arrived is counted beside it.
    pub fn take_window(&mut self, group: Group, overdue: Duration) -> Tally {
        let mut tally = self.inbound.groups[group.index()].take_window(self.options.outliers);
        tally.overdue = self.overdue(
            group,
            clock::wall_us().saturating_sub(overdue.as_micros() as u64),
        );
        let since_ns = clock::mono_ns().saturating_sub(overdue.as_nanos() as u64);
        tally.overdue += self.calls_overdue(group, since_ns);
        tally
    }

    /// The loop's own slowness since the last time. Time between two runs counts as one long turn: nobody was looking.
    pub fn take_lag(&mut self) -> LoopLag {
        std::mem::take(&mut self.lag)
    }

    /// Stops reading from a group: the kernel's buffers fill, and then the server notices.
    pub fn pause(&mut self, group: Group) {
        self.conns
            .iter_mut()
            .filter(|(_, conn)| conn.group == group)
            .for_each(|(_, conn)| conn.pause());
    }

    /// Reads from a group again, beginning with what has gathered.
    pub fn resume(&mut self, group: Group) {
        for (key, conn) in &mut self.conns {
            if conn.group == group && conn.read_on() {
                self.again.push(token(key, conn.generation));
            }
        }
    }

    /// Has a group read like this from now on, each connection from where it stands.
    pub fn set_pace(&mut self, group: Group, pace: Pace) {
        self.inbound.groups[group.index()].pace = pace;
        let mut waiting = Waiting::new(pace);
        let now = clock::mono_ns();
        for (key, conn) in &mut self.conns {
            if conn.group != group || conn.state != State::Subscribed {
                continue;
            }
            let token = token(key, conn.generation);
            if pace.pauses() {
                conn.pause();
            } else if conn.read_on() {
                self.again.push(token);
            }
            waiting.push(token, now);
        }
        self.waiting[group.index()] = waiting;
    }

    /// Asks every subscription for its ledger, at this rate. [`Swarm::unanswered`] says how many answers are missing.
    pub fn ask_ledgers(&mut self, per_s: f64) {
        let subscribed = |conn: &Conn| {
            conn.state == State::Subscribed && conn.caller.is_none() && !conn.is_paused()
        };
        let mut tokens = Vec::new();
        for (key, conn) in self.conns.iter_mut().filter(|(_, conn)| subscribed(conn)) {
            conn.asked = true;
            tokens.push(token(key, conn.generation));
        }
        self.asking = Some((tokens, Schedule::new(clock::mono_ns(), per_s)));
    }

    /// Ledgers asked for and not answered.
    pub fn unanswered(&self) -> usize {
        self.conns.iter().filter(|(_, conn)| conn.asked).count()
    }

    /// Closes all connections at this rate, in order (close frame, the server's answer, end of stream).
    pub fn leave(&mut self, per_s: f64) {
        self.queue.clear();
        self.queued = 0;
        let tokens = self
            .conns
            .iter()
            .map(|(key, conn)| token(key, conn.generation))
            .collect();
        self.leaving = Some((tokens, Schedule::new(clock::mono_ns(), per_s)));
    }

    /// Whether no connection is left.
    pub fn is_empty(&self) -> bool {
        self.conns.is_empty() && self.queued == 0
    }

    /// Messages numbered until `until_us` that connections of this group are owed and have neither received nor been told the
    /// loss of. What a paused connection is owed counts too.
    fn overdue(&mut self, group: Group, until_us: u64) -> u64 {
        let mut missing = 0;
        for (_, conn) in &mut self.conns {
            let Some(published) = &self.inbound.topics[conn.topic as usize].published else {
                continue;
            };
            if let Owed::After(offset) = conn.owed {
                conn.owed = Owed::Since(published.until_offset(offset));
            }
            if let (Owed::Since(start), true) = (conn.owed, conn.group == group) {
                let owed = published.until_time(until_us).saturating_sub(start);
                missing += owed.saturating_sub(conn.received + conn.lost);
            }
        }
        missing
    }
}

impl Swarm {
    fn target(&self, topic: u32) -> &Target {
        &self.options.targets[self.inbound.topics[topic as usize].target]
    }
}

/// Names a record beyond its own life: the slot it is in and the how manieth connection it is.
fn token(key: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | key as u64
}

#[inline]
fn find(conns: &mut Slab<Conn>, token: u64) -> Option<&mut Conn> {
    conns
        .get_mut(token as u32 as usize)
        .filter(|conn| conn.generation == (token >> 32) as u32)
}
