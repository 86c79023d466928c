//! Very many WebSocket subscribers on one thread.
//!
//! Owns the sockets, one epoll instance of its own (edge-triggered, each socket registered once for both directions) and one
//! small record per connection. Must not contain: what should happen when (a scenario decides), or what is printed. Driven by
//! its caller: nothing happens outside [`Swarm::run_until`], so a swarm can be stepped from a command, a bench or a test, on whatever
//! thread it was moved to.
//!
//! - [`frames`], [`head`], [`said`], [`outgoing`], [`upgrade`]: bytes and what they mean; pure
//! - [`tally`], [`lag`], [`counters`], [`published`]: what is counted; pure
//! - `conn`, `topics`: the records
//! - `socket`, `inbound`: the way in and out
//! - [`files`]: how many connections there may be
//!
//! Laws: connections are begun in an even rate decided beforehand; a message is stamped right after the read that brought it;
//! the loop's own slowness is measured all the time; nothing is kept per message.
mod conn;
pub mod counters;
pub mod error;
pub mod files;
pub mod frames;
pub mod head;
mod inbound;
pub mod lag;
pub mod outgoing;
pub mod published;
pub mod said;
pub(crate) mod socket;
pub mod tally;
mod topics;
pub mod upgrade;

pub use conn::Group;
pub use counters::{Books, Counters};
pub use error::{ConnectError, SwarmError};
pub use tally::Tally;
pub use topics::{Subscription, TopicId};

use crate::clock;
use crate::schedule::Schedule;
use crate::target::Target;
use conn::{Conn, Owed, State};
use inbound::{End, Inbound, NO_CLOSE_FRAME, Peer, Visit};
use lag::LoopLag;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use slab::Slab;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Duration;
use topics::Topic;

/// Events of one turn. Many: what a turn visits late has gathered more to be read at once.
const EVENTS: usize = 4096;

/// Connects, or commands, begun in one turn, so that pacing never keeps reads waiting.
const BEGUN_PER_TURN: usize = 64;

/// Close code of a client that is done (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;

/// Connections that are given a command one after the other.
type Paced = (Vec<u64>, Schedule);

/// How a swarm connects and counts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to.
    pub target: Target,
    /// Loopback source addresses that connections take turns on, where the target is loopback.
    pub sources: usize,
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
    /// Receive buffer of the connections in [`Group::APART`], bytes; the kernel doubles it. With a small one the server notices soon
    /// that they have been paused. `None`: the system's.
    pub apart_receive_bytes: Option<usize>,
}

impl Options {
    /// Defaults for this target.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            sources: 1,
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
    inbound: Inbound,
    lag: LoopLag,
    looked_ns: u64,
}

impl Swarm {
    /// A swarm without connections.
    pub fn new(options: Options) -> Result<Self, SwarmError> {
        let epoll =
            epoll::create(CreateFlags::CLOEXEC).map_err(SwarmError::system("epoll_create1"))?;
        let inbound = Inbound::new(options.check_every, options.outliers);
        Ok(Self {
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
            inbound,
            lag: LoopLag::default(),
            looked_ns: clock::mono_ns(),
        })
    }

    /// Makes a subscription known. Every connection has exactly one.
    pub fn topic(&mut self, subscription: &Subscription) -> TopicId {
        self.inbound.topics.push(Topic::new(subscription));
        TopicId(self.inbound.topics.len() as u32 - 1)
    }

    /// Asks for `n` more connections; they are begun at the paced rate.
    pub fn connect(&mut self, n: usize, topic: TopicId, group: Group) {
        if self.queued == 0 {
            self.pace = Some(Schedule::new(clock::mono_ns(), self.options.connects_per_s));
        }
        self.queue.push_back((n, topic, group));
        self.queued += n;
    }

    /// Works until `done` says so, at most for `limit`; whether it was done. `done` is asked once a turn, and
    /// a turn lasts until something happens to the swarm: what comes from elsewhere is to be looked for between short runs.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<bool, SwarmError> {
        let end = clock::mono_ns().saturating_add(limit.as_nanos() as u64);
        self.looked_ns = clock::mono_ns();
        loop {
            if done(self) {
                return Ok(true);
            }
            if clock::mono_ns() >= end {
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
        self.inbound.tallies[group.index()].received
    }

    /// What this group received since the last time, and begins a new window. What was numbered more than `overdue` ago and
    /// has not arrived is counted beside it.
    pub fn take_window(&mut self, group: Group, overdue: Duration) -> Tally {
        let empty = Tally::new(self.options.outliers);
        let mut tally = std::mem::replace(&mut self.inbound.tallies[group.index()], empty);
        tally.overdue = self.overdue(
            group,
            clock::wall_us().saturating_sub(overdue.as_micros() as u64),
        );
        tally
    }

    /// The loop's own slowness since the last time.
    pub fn take_lag(&mut self) -> LoopLag {
        std::mem::take(&mut self.lag)
    }

    /// Stops reading from a group: the kernel's buffers fill, and then the server notices.
    pub fn pause(&mut self, group: Group) {
        self.conns
            .iter_mut()
            .filter(|(_, conn)| conn.group == group)
            .for_each(|(_, conn)| conn.paused = true);
    }

    /// Reads from a group again, beginning with what has gathered.
    pub fn resume(&mut self, group: Group) {
        for (key, conn) in &mut self.conns {
            if conn.group == group && conn.paused {
                conn.paused = false;
                self.again.push(token(key, conn.generation));
            }
        }
    }

    /// Asks every subscription for its ledger, at this rate. [`Swarm::unanswered`] says how many answers are missing.
    pub fn ask_ledgers(&mut self, per_s: f64) {
        let subscribed = |conn: &Conn| conn.state == State::Subscribed && !conn.paused;
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

    /// Waits, takes what came, does what is due: in this order, so that the caller sees at once what was done.
    fn turn(&mut self, end_ns: u64) -> Result<(), SwarmError> {
        let due = if self.again.is_empty() {
            self.due_ns().min(end_ns)
        } else {
            0
        };
        let wait = due.saturating_sub(clock::mono_ns());
        let asleep = clock::mono_ns();
        self.lag.worked(asleep - self.looked_ns);
        self.events.clear();
        let timeout = clock::timespec(wait);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(SwarmError::system("epoll_wait")(error)),
        }
        self.looked_ns = clock::mono_ns();
        self.lag.waited(self.looked_ns - asleep);
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let Event { flags, data, .. } = *event;
            self.on_event(data.u64(), flags);
        }
        self.events = events;
        for token in std::mem::take(&mut self.again) {
            self.on_readable(token, Peer::Done);
        }
        self.act(clock::mono_ns())
    }

    /// When something is to be done next.
    fn due_ns(&self) -> u64 {
        let of = |paced: &Option<Paced>| {
            paced
                .as_ref()
                .map_or(u64::MAX, |(_, schedule)| schedule.next().1)
        };
        let may_begin = self.queued > 0 && self.under_way < self.options.under_way;
        let connect = self
            .pace
            .filter(|_| may_begin)
            .map_or(u64::MAX, |pace| pace.next().1);
        let handshake = self.handshakes.front().map_or(u64::MAX, |(at, _)| *at);
        connect
            .min(handshake)
            .min(of(&self.asking))
            .min(of(&self.leaving))
    }

    /// Does what is due.
    fn act(&mut self, now: u64) -> Result<(), SwarmError> {
        self.begin_due(now)?;
        let asking = self.asking.take();
        self.asking = self.command_due(asking, now, |inbound, conn| {
            let mut command = Vec::new();
            inbound.topics[conn.topic as usize].ledger(&mut command);
            socket::say(conn, &command)
        });
        let leaving = self.leaving.take();
        self.leaving = self.command_due(leaving, now, |_, conn| begin_leaving(conn));
        self.expire(now);
        Ok(())
    }

    fn begin_due(&mut self, now: u64) -> Result<(), SwarmError> {
        for _ in 0..BEGUN_PER_TURN {
            let due = self.queued > 0 && self.under_way < self.options.under_way;
            if !due || self.pace.as_mut().and_then(|pace| pace.poll(now)).is_none() {
                break;
            }
            let Some((left, topic, group)) = self.queue.front_mut() else {
                break;
            };
            let (topic, group) = (*topic, *group);
            *left -= 1;
            if *left == 0 {
                self.queue.pop_front();
            }
            self.queued -= 1;
            self.begin(now, topic, group)?;
        }
        Ok(())
    }

    fn begin(&mut self, now: u64, topic: TopicId, group: Group) -> Result<(), SwarmError> {
        let addr = self.options.target.addr;
        let source = socket::source(addr, self.options.sources, self.begun);
        self.begun += 1;
        let receive_bytes = self
            .options
            .apart_receive_bytes
            .filter(|_| group == Group::APART);
        let fd = match socket::begin(addr, source, receive_bytes) {
            Ok(fd) => fd,
            Err(why) => {
                self.failed(ConnectError::Refused { addr, why });
                return Ok(());
            }
        };
        self.generation = self.generation.wrapping_add(1);
        let entry = self.conns.vacant_entry();
        let token = token(entry.key(), self.generation);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &fd, EventData::new_u64(token), flags)
            .map_err(SwarmError::system("epoll_ctl"))?;
        entry.insert(Conn::new(fd, self.generation, topic.0, group));
        self.under_way += 1;
        self.handshakes
            .push_back((now + self.options.handshake.as_nanos() as u64, token));
        Ok(())
    }

    /// Gives the next of `paced` their command while it is due; what is left of them.
    fn command_due(
        &mut self,
        paced: Option<Paced>,
        now: u64,
        mut command: impl FnMut(&mut Inbound, &mut Conn) -> Result<(), Errno>,
    ) -> Option<Paced> {
        let (mut tokens, mut schedule) = paced?;
        for _ in 0..BEGUN_PER_TURN {
            if tokens.is_empty() || schedule.poll(now).is_none() {
                break;
            }
            let Some(token) = tokens.pop() else { break };
            let Some(conn) = find(&mut self.conns, token) else {
                continue;
            };
            if command(&mut self.inbound, conn).is_err() {
                self.end(token, End::Stream);
            }
        }
        (!tokens.is_empty()).then_some((tokens, schedule))
    }

    /// Ends handshakes whose time is up. All have the same time, so the first begun is the first to end.
    fn expire(&mut self, now: u64) {
        while let Some(&(at, token)) = self.handshakes.front() {
            let pending = find(&mut self.conns, token)
                .is_some_and(|conn| matches!(conn.state, State::Connecting | State::Upgrading));
            if pending && at > now {
                break;
            }
            self.handshakes.pop_front();
            if pending {
                self.forget(token);
                self.failed(ConnectError::Timeout {
                    addr: self.options.target.addr,
                    after: self.options.handshake,
                });
            }
        }
    }

    fn on_event(&mut self, token: u64, flags: EventFlags) {
        let Some(conn) = find(&mut self.conns, token) else {
            return;
        };
        let peer = if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            Peer::Done
        } else {
            Peer::Speaking
        };
        if conn.state == State::Connecting {
            return self.on_connected(token);
        }
        if conn.rare.is_some() && flags.contains(EventFlags::OUT) && socket::flush(conn).is_err() {
            return self.end(token, End::Stream);
        }
        if flags.contains(EventFlags::IN) || peer == Peer::Done {
            self.on_readable(token, peer);
        }
    }

    fn on_connected(&mut self, token: u64) {
        let addr = self.options.target.addr;
        let upgrade = upgrade::Upgrade::new(&self.options.target);
        let Some(conn) = find(&mut self.conns, token) else {
            return;
        };
        let sent = socket::connected(&conn.fd).and_then(|()| {
            conn.state = State::Upgrading;
            socket::say(conn, &upgrade.request)
        });
        match sent {
            Ok(()) => conn.rare().upgrade = Some(upgrade),
            Err(why) => {
                self.forget(token);
                self.failed(ConnectError::Refused { addr, why });
            }
        }
    }

    #[inline]
    fn on_readable(&mut self, token: u64, peer: Peer) {
        let Some(conn) = find(&mut self.conns, token) else {
            return;
        };
        if conn.paused {
            return;
        }
        let before = conn.state;
        let visit = self.inbound.read(conn, peer);
        if before == State::Upgrading && conn.state != State::Upgrading {
            self.under_way -= 1;
        }
        match visit {
            Visit::Drained => {}
            Visit::More => self.again.push(token),
            Visit::Over(end) => self.end(token, end),
        }
    }

    /// A connection is over: counted by what it was and why.
    fn end(&mut self, token: u64, end: End) {
        let addr = self.options.target.addr;
        let Some(conn) = self.forget(token) else {
            return;
        };
        let counters = &mut self.inbound.counters;
        counters.books.unanswered += u64::from(conn.asked);
        match (conn.state, end) {
            (State::Leaving, _) => {}
            (State::Connecting | State::Upgrading, End::Upgrade(why)) => {
                self.failed(ConnectError::Upgrade { addr, why });
            }
            (State::Connecting | State::Upgrading, _) => self.failed(ConnectError::Closed { addr }),
            (state, end) => {
                if let End::Violation(why) = end {
                    counters
                        .first_violation
                        .get_or_insert_with(|| why.to_string());
                }
                let code = if let State::Closing(code) = state {
                    code
                } else {
                    NO_CLOSE_FRAME
                };
                *counters.closed.entry(code).or_default() += 1;
            }
        }
    }

    fn failed(&mut self, why: ConnectError) {
        let counters = &mut self.inbound.counters;
        counters.failed += 1;
        counters.first_failure.get_or_insert(why);
    }

    /// Takes the record away; the socket closes with it.
    fn forget(&mut self, token: u64) -> Option<Conn> {
        find(&mut self.conns, token)?;
        let conn = self.conns.remove(token as u32 as usize);
        self.under_way -= usize::from(matches!(conn.state, State::Connecting | State::Upgrading));
        Some(conn)
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

/// Says goodbye, or just goes where there was no greeting.
fn begin_leaving(conn: &mut Conn) -> Result<(), Errno> {
    let open = conn.is_open();
    conn.paused = false;
    if matches!(conn.state, State::Closing(_)) {
        return Ok(());
    }
    conn.state = State::Leaving;
    if !open {
        return Err(Errno::CANCELED);
    }
    let mut goodbye = Vec::new();
    outgoing::close(&mut goodbye, NORMAL);
    socket::say(conn, &goodbye)
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
