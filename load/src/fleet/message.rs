//! What the coordinator and the processes of its swarm say to each other.
//!
//! The coordinator orders, a member answers; unasked it only gives a sign of life. `Begin` comes first and once.
use crate::deal::Seat;
use crate::swarm::lag::LoopLag;
use crate::swarm::{Account, CallPlan, Counters, Pace, Staleness, Subscription, Tally};
use crate::target::Target;
use crate::units::Share;
use serde::{Deserialize, Serialize};

/// What a member is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// Be this.
    Begin(Box<Setup>),
    /// So many more connections in the whole fleet: begin those that are yours.
    Connect {
        /// How many.
        more: usize,
    },
    /// End the window, and say what was in it.
    Take {
        /// Age from which a message that has not come is overdue, microseconds.
        overdue_us: u64,
    },
    /// The run is over: close the books.
    Close {
        /// Ledgers asked for per second.
        ledgers_per_s: f64,
    },
    /// Close all connections, and end.
    Leave {
        /// Closes begun per second.
        closes_per_s: f64,
    },
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Where to connect, in turn.
    pub targets: Vec<Target>,
    /// What to subscribe to, in turn.
    pub subscriptions: Vec<Subscription>,
    /// What to call instead of that.
    pub calls: Option<CallPlan>,
    /// Which read slowly.
    pub slow: Vec<SlowShare>,
    /// Whose turns are its own.
    pub seat: Seat,
    /// Connections that it will have at most.
    pub connections: usize,
    /// Source addresses of the whole fleet.
    pub sources: usize,
    /// Connections begun per second, its own.
    pub connects_per_s: f64,
    /// Handshakes under way at once, its own.
    pub under_way: usize,
    /// Outliers remembered per window.
    pub outliers: usize,
    /// Receive buffer of those that read slowly, bytes.
    pub slow_receive_bytes: usize,
}

/// A group that reads slowly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SlowShare {
    /// Of the connections of each step.
    pub share: Share,
    /// How they read.
    pub pace: Pace,
}

/// What a member says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Said {
    /// It has begun.
    Ready,
    /// It lives.
    Sign(Box<Sign>),
    /// What was in the window.
    Window(Box<Window>),
    /// Its books.
    Books(Box<Books>),
    /// All its connections are closed.
    Gone,
    /// It cannot go on, and why.
    Failed {
        /// One line.
        why: String,
    },
}

/// A sign of life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sign {
    /// What happened so far.
    pub counters: Counters,
    /// What it waits for at the end, and how many of it.
    pub waiting: Option<(String, usize)>,
}

/// A window of a member.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window {
    /// What each group received; the first is the healthy one.
    pub groups: Vec<Tally>,
    /// How many subscriptions of each group stand.
    pub standing: Vec<usize>,
    /// What happened so far.
    pub counters: Counters,
    /// The slowness of its loop.
    pub lag: LoopLag,
    /// How long the window was, nanoseconds.
    pub elapsed_ns: u64,
    /// CPU time of its thread in it, nanoseconds.
    pub cpu_ns: u64,
    /// Time its thread was ready in it and had no core, nanoseconds.
    pub starved_ns: u64,
}

/// The books of a member.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Books {
    /// Subscriptions asked for their ledger.
    pub asked: u64,
    /// What each group got; the first is the healthy one.
    pub groups: Vec<GroupEnd>,
    /// What happened in all.
    pub counters: Counters,
}

/// A group at the end of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GroupEnd {
    /// What happened to it.
    pub account: Account,
    /// Open subscriptions that were asked for their ledger and did not answer in time.
    pub late: u64,
    /// Messages that ledgers say were lost and no gap has announced.
    pub unannounced: u64,
    /// How old what it held was.
    pub staleness: Staleness,
}

impl GroupEnd {
    /// Adds the same group of another member.
    pub fn merge(&mut self, other: &Self) {
        self.account.merge(&other.account);
        self.late += other.late;
        self.unannounced += other.unannounced;
        self.staleness.merge(&other.staleness);
    }
}
