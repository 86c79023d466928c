//! Publications at a fixed rate over a few sessions, and how long their acknowledgements took.
//!
//! Owns its sessions' sockets and one epoll instance. Open loop: the rate is a schedule decided beforehand; what is late is sent at
//! once, lateness and the latency of acknowledgements count from the moment a publication was *due*. Everything due in one turn goes
//! out in one write per session. Driven by [`Publisher::run`], on a thread of its own where subscribers are to be served meanwhile.
pub mod payload;
mod session;

use crate::clock;
use crate::schedule::Schedule;
use crate::swarm::{ConnectError, SwarmError};
use crate::target::Target;
use hdrhistogram::Histogram;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use session::{Due, Session};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;

/// Publications made in one turn at most, so that acknowledgements are read meanwhile.
const DUE_PER_TURN: usize = 4096;

/// Shortest sleep: what falls due within it goes out in one write.
const TURN_MIN_NS: u64 = 200_000;

/// How long answers are waited for when all has been sent.
const ANSWERS_NS: u64 = 5_000_000_000;

/// Longest latency told apart, microseconds.
const LATENCY_MAX_US: u64 = 600_000_000;

/// What is published.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where to.
    pub topics: Topics,
    /// Publications per second, over all sessions.
    pub per_s: f64,
    /// Bytes of `data`.
    pub size: usize,
    /// Keys `k0`… that take turns; 0: none.
    pub keys: u64,
    /// Whether the server is asked to acknowledge.
    pub acks: Acks,
    /// How long.
    pub duration: Duration,
}

/// The topics of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// One.
    One(String),
    /// `PREFIX.0`, `PREFIX.1`… in turn.
    Many {
        /// What they begin with.
        prefix: String,
        /// How many.
        count: u64,
    },
}

/// Whether publications carry an id, and so are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Acks {
    Wanted,
    Unwanted,
}

/// What became of a plan.
#[derive(Debug, Clone)]
pub struct Report {
    /// Publications handed to sockets.
    pub sent: u64,
    /// Publications that were due but not made: their session's socket had taken nothing for too long.
    pub unsent: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Refused, by error code and message, of which the first few are kept.
    pub refused: u64,
    /// The refusals' texts and how often.
    pub refusals: BTreeMap<String, u64>,
    /// Sessions that ended meanwhile.
    pub sessions_lost: usize,
    /// From due to acknowledged, microseconds.
    pub ack_us: Histogram<u64>,
    /// From due to handed to the socket, microseconds: how late the generator itself was.
    pub late_us: Histogram<u64>,
    /// From the first due to the last sent.
    pub elapsed: Duration,
}

impl Report {
    fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("constant bounds");
        Self {
            sent: 0,
            unsent: 0,
            acknowledged: 0,
            refused: 0,
            refusals: BTreeMap::new(),
            sessions_lost: 0,
            ack_us: histogram(),
            late_us: histogram(),
            elapsed: Duration::ZERO,
        }
    }

    /// Sent, and neither acknowledged nor refused.
    pub fn unanswered(&self) -> u64 {
        self.sent.saturating_sub(self.acknowledged + self.refused)
    }
}

/// Why nothing can be published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// A session did not come about.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The kernel refuses what the loop needs.
    #[error(transparent)]
    System(#[from] SwarmError),
    /// No session is left.
    #[error("all sessions were closed by the server; the last {0}")]
    Lost(String),
}

/// Sessions that publish.
pub struct Publisher {
    epoll: OwnedFd,
    sessions: Vec<Session>,
    buffer: Vec<u8>,
}

impl Publisher {
    /// Connects this many sessions, one after the other.
    pub fn connect(
        target: &Target,
        sessions: usize,
        patience: Duration,
    ) -> Result<Self, PublishError> {
        let epoll =
            epoll::create(CreateFlags::CLOEXEC).map_err(SwarmError::system("epoll_create1"))?;
        let sessions = (0..sessions.max(1))
            .map(|_| Session::connect(target, patience))
            .collect::<Result<Vec<_>, _>>()?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        for (index, session) in sessions.iter().enumerate() {
            epoll::add(
                &epoll,
                session.socket(),
                EventData::new_u64(index as u64),
                flags,
            )
            .map_err(SwarmError::system("epoll_ctl"))?;
        }
        Ok(Self {
            epoll,
            sessions,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Publishes as planned, until it is done or `stop` is set, and waits for the answers.
    pub fn run(&mut self, plan: &Plan, stop: &AtomicBool) -> Result<Report, PublishError> {
        let mut report = Report::new();
        let start = clock::mono_ns();
        let end = start + plan.duration.as_nanos() as u64;
        let mut schedule = Schedule::new(start, plan.per_s);
        self.sessions.iter_mut().for_each(Session::begin);
        loop {
            let now = clock::mono_ns();
            self.publish_due(
                plan,
                &mut schedule,
                now.min(end.saturating_sub(1)),
                &mut report,
            );
            self.flush(&mut report);
            let next = schedule.next().1;
            let over = next >= end || stop.load(Ordering::Relaxed);
            if over {
                report.elapsed = Duration::from_nanos(clock::mono_ns().min(end) - start);
                break;
            }
            self.wait(next.max(now + TURN_MIN_NS), &mut report)?;
        }
        let patience = clock::mono_ns() + ANSWERS_NS;
        while self.sessions.iter().any(Session::has_work) && clock::mono_ns() < patience {
            self.flush(&mut report);
            self.wait(patience, &mut report)?;
        }
        Ok(report)
    }

    /// Closes the sessions.
    pub fn close(self) {
        self.sessions.into_iter().for_each(Session::close);
    }

    fn publish_due(
        &mut self,
        plan: &Plan,
        schedule: &mut Schedule,
        until: u64,
        report: &mut Report,
    ) {
        let wall_less_mono = clock::wall_us() as i64 - (clock::mono_ns() / 1000) as i64;
        let sessions = self.sessions.len() as u64;
        for _ in 0..DUE_PER_TURN {
            let Some((number, mono_ns)) = schedule.poll(until) else {
                break;
            };
            let wall_us = ((mono_ns / 1000) as i64 + wall_less_mono) as u64;
            let session = &mut self.sessions[(number % sessions) as usize];
            let made = session.publish(
                plan,
                Due {
                    number,
                    mono_ns,
                    wall_us,
                },
            );
            report.unsent += u64::from(!made);
        }
    }

    fn flush(&mut self, report: &mut Report) {
        for session in &mut self.sessions {
            session.flush(report);
        }
    }

    fn wait(&mut self, until: u64, report: &mut Report) -> Result<(), PublishError> {
        let mut events: Vec<Event> = Vec::with_capacity(self.sessions.len());
        let timeout = clock::timespec(until.saturating_sub(clock::mono_ns()));
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(SwarmError::system("epoll_wait")(error).into()),
        }
        for event in &events {
            let Event { data, .. } = *event;
            self.sessions[data.u64() as usize].read(&mut self.buffer, report);
        }
        match self.sessions.iter().find_map(Session::ended) {
            Some(why)
                if self
                    .sessions
                    .iter()
                    .all(|session| session.ended().is_some()) =>
            {
                Err(PublishError::Lost(why.to_owned()))
            }
            _ => Ok(()),
        }
    }
}
