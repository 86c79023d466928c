//! What lies in the scoreboard: one slot per process, made of atomics.
//!
//! Owns the layout and the words for reasons. Must not contain: the mapping (that is [`scoreboard`](super::scoreboard)), or how
//! anything is shown. Written by the process that owns a slot (gauges and counters) and by the supervisor (`pid`, `generation`,
//! `state`, `restarts`); read by all.
//!
//! Laws: all loads and stores are `Relaxed`, because each number stands for itself: no reader concludes from one what another
//! must hold (the epoch, which is longer than one atomic, has a version for that). Gauges are of the present process; counters
//! only rise and outlive it, so whoever takes a slot over adds to what it finds.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::log_slot::LogSlot;
use pubsub_stream::{HISTOGRAM_BUCKETS, Histogram};
use pubsub_wire::ErrorCode;

/// Room for this many workers: the largest `--workers`.
pub const SLOTS: u32 = 1024;

/// Ways for a call to end: with a result, and with each error.
pub const OUTCOMES: usize = 1 + ErrorCode::ALL.len();

/// Set by the supervisor.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct NodeSlot {
    /// 1 while the node drains: new connections are answered 503.
    pub draining: AtomicU32,
    /// Worker slots in use.
    pub workers: AtomicU32,
    /// Worker slots that ever had a process.
    pub workers_ever: AtomicU32,
    /// When the node started, microseconds since the Unix epoch.
    pub started_wall_us: AtomicU64,
    /// The supervisor's process.
    pub supervisor_pid: AtomicU32,
    /// 1 once every role has reported ready for the first time.
    pub ready: AtomicU32,
}

/// One worker. The first line holds what the accept gate of every other worker reads at each accept.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct WorkerSlot {
    /// Present process; 0 when there is none. The supervisor's.
    pub pid: AtomicU32,
    /// Rises by one with each process that has the slot. The supervisor's.
    pub generation: AtomicU32,
    /// A [`State`]. The supervisor's, but a worker that was told to drain says so itself.
    pub state: AtomicU32,
    /// When its loop last came round, monotonic nanoseconds.
    pub heartbeat_ns: AtomicU64,
    /// When the present process began to accept, monotonic nanoseconds; 0 before.
    pub born_ns: AtomicU64,
    /// Gauge: open connections.
    pub connections: AtomicU64,
    /// Gauge: subscriptions.
    pub subscriptions: AtomicU64,
    /// Processes this slot lost and got again. The supervisor's.
    pub restarts: AtomicU64,
    /// Gauge: subscriptions in mode behind.
    pub behind: AtomicU64,
    /// Gauge: messages spilled and not yet read back.
    pub spilled: AtomicU64,
    /// Gauge: bytes of this worker's rings.
    pub ring_bytes: AtomicU64,
    /// Gauge: how late the loop came round last, microseconds.
    pub loop_lag_us: AtomicU64,
    /// Gauge: longest turn of the present process's loop, nanoseconds.
    pub blocked_ns: AtomicU64,
    /// Connections accepted.
    pub accepted_total: AtomicU64,
    /// WebSocket sessions opened.
    pub sessions_total: AtomicU64,
    /// Messages handed whole to the kernel.
    pub delivered: AtomicU64,
    /// Bytes of those.
    pub delivered_bytes: AtomicU64,
    /// Messages left out by rates.
    pub filtered: AtomicU64,
    /// Messages skipped because a newer one of their key superseded them.
    pub conflated: AtomicU64,
    /// Publications taken from sessions.
    pub published: AtomicU64,
    /// Commands received.
    pub commands: AtomicU64,
    /// Times that accepting paused for want of file descriptors or memory.
    pub accept_pauses: AtomicU64,
    /// Links to the hub that broke.
    pub hub_lost: AtomicU64,
    /// Messages lost, by [`Lost`].
    pub lost: [AtomicU64; Lost::ALL.len()],
    /// What was refused, by [`Rejected`].
    pub rejected: [AtomicU64; 16],
    /// Connections closed by the server, by [`Closed`].
    pub closed: [AtomicU64; 8],
    /// Calls ended, by [`Method`], with a result and with each error.
    pub calls: [[AtomicU64; OUTCOMES]; Method::ALL.len()],
    /// Numbered to handed to the kernel.
    pub delivery: SharedHistogram,
    /// A call received to its answer made.
    pub call: SharedHistogram,
    /// How late the loop came round.
    pub loop_lag: SharedHistogram,
}

impl WorkerSlot {
    /// The counter of losses of one kind.
    pub fn lost(&self, why: Lost) -> &AtomicU64 {
        &self.lost[why as usize]
    }

    /// The counter of refusals of one kind.
    pub fn rejected(&self, why: Rejected) -> &AtomicU64 {
        &self.rejected[why as usize]
    }

    /// The counter of closes of one kind.
    pub fn closed(&self, why: Closed) -> &AtomicU64 {
        &self.closed[why as usize]
    }

    /// Present state.
    pub fn state(&self) -> State {
        State::from_u32(self.state.load(Ordering::Relaxed))
    }

    /// Zeroes what belongs to a process, when the slot is given to a new one or to none. Counters stay.
    pub fn clear_gauges(&self) {
        let gauges = [
            &self.heartbeat_ns,
            &self.born_ns,
            &self.connections,
            &self.subscriptions,
            &self.behind,
            &self.spilled,
            &self.ring_bytes,
            &self.loop_lag_us,
            &self.blocked_ns,
        ];
        for gauge in gauges {
            gauge.store(0, Ordering::Relaxed);
        }
    }
}

/// The hub.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct HubSlot {
    /// Present process; 0 when there is none. The supervisor's.
    pub pid: AtomicU32,
    /// Rises by one with each process. The supervisor's.
    pub generation: AtomicU32,
    /// A [`State`]. The supervisor's.
    pub state: AtomicU32,
    /// Odd while the epoch is being written.
    epoch_version: AtomicU32,
    /// Hubs lost and started again. The supervisor's.
    pub restarts: AtomicU64,
    /// When its loop last came round, monotonic nanoseconds.
    pub heartbeat_ns: AtomicU64,
    /// Publications numbered.
    pub published: AtomicU64,
    /// Bytes of those.
    pub published_bytes: AtomicU64,
    /// Publications refused.
    pub refused: AtomicU64,
    /// Gauge: bytes the log holds.
    pub log_bytes: AtomicU64,
    /// Gauge: entries the log holds.
    pub log_entries: AtomicU64,
    /// Gauge: topics known.
    pub topics: AtomicU64,
    /// Gauge: keys whose newest value is kept.
    pub keys: AtomicU64,
    /// Gauge: workers linked.
    pub workers: AtomicU64,
    /// Gauge: newest offset.
    pub head: AtomicU64,
    /// Gauge: oldest offset held.
    pub first: AtomicU64,
    /// Entries that retention took.
    pub evicted: AtomicU64,
    /// Entries that retention took before a worker's cursor had passed them, summed over workers.
    pub lost_entries: AtomicU64,
    /// Pieces of history answered.
    pub reads: AtomicU64,
    /// Gauge: reads and watches of workers that wait for their answer.
    pub reads_waiting: AtomicU64,
    /// Gauge: workers whose cursor is behind the head.
    pub workers_behind: AtomicU64,
    /// Gauge: how many entries the furthest of them is behind.
    pub behind_entries: AtomicU64,
    /// Gauge: 1 while newest values and orders are read from a recovered log.
    pub restoring: AtomicU64,
    /// Gauge: how late the loop came round last, microseconds.
    pub loop_lag_us: AtomicU64,
    /// Gauge: longest turn of the present process's loop, nanoseconds.
    pub blocked_ns: AtomicU64,
    /// UTF-8, zero padded.
    epoch: [AtomicU64; 4],
    /// How late the loop came round.
    pub loop_lag: SharedHistogram,
    /// Its log.
    pub log: LogSlot,
}

impl HubSlot {
    /// Longest epoch, bytes.
    pub const EPOCH_BYTES: usize = 32;

    /// Present state.
    pub fn state(&self) -> State {
        State::from_u32(self.state.load(Ordering::Relaxed))
    }

    /// Says which epoch the log has; one writer at a time.
    ///
    /// # Panics
    /// When the epoch is longer than [`Self::EPOCH_BYTES`]: the hub makes it.
    pub fn set_epoch(&self, epoch: &str) {
        let mut padded = [0; Self::EPOCH_BYTES];
        padded[..epoch.len()].copy_from_slice(epoch.as_bytes());
        // A hub that died within these few stores leaves an odd version: `| 1` begins anew from there.
        let odd = self.epoch_version.load(Ordering::Relaxed) | 1;
        self.epoch_version.store(odd, Ordering::Relaxed);
        // The odd version is seen before any of the words; the even one after all of them.
        fence(Ordering::Release);
        for (word, bytes) in self.epoch.iter().zip(padded.chunks_exact(8)) {
            word.store(
                u64::from_le_bytes(std::array::from_fn(|i| bytes[i])),
                Ordering::Relaxed,
            );
        }
        self.epoch_version
            .store(odd.wrapping_add(1), Ordering::Release);
    }

    /// The log's epoch; empty before the first hub has said it, and while it is being written.
    pub fn epoch(&self) -> String {
        let before = self.epoch_version.load(Ordering::Acquire);
        let mut bytes = Vec::with_capacity(Self::EPOCH_BYTES);
        for word in &self.epoch {
            bytes.extend(word.load(Ordering::Relaxed).to_le_bytes());
        }
        fence(Ordering::Acquire);
        if before % 2 == 1 || before != self.epoch_version.load(Ordering::Relaxed) {
            return String::new();
        }
        bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// Zeroes what belongs to a process, when the slot is given to a new one or to none. Counters and the epoch stay.
    pub fn clear_gauges(&self) {
        let gauges = [
            &self.heartbeat_ns,
            &self.log_bytes,
            &self.log_entries,
            &self.topics,
            &self.keys,
            &self.workers,
            &self.head,
            &self.first,
            &self.reads_waiting,
            &self.workers_behind,
            &self.behind_entries,
            &self.restoring,
            &self.loop_lag_us,
            &self.blocked_ns,
        ];
        for gauge in gauges {
            gauge.store(0, Ordering::Relaxed);
        }
        self.log.clear_gauges();
    }
}

/// The admin role.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct AdminSlot {
    /// Present process; 0 when there is none. The supervisor's.
    pub pid: AtomicU32,
    /// A [`State`]. The supervisor's.
    pub state: AtomicU32,
    /// Processes lost and started again. The supervisor's.
    pub restarts: AtomicU64,
}

/// A histogram in shared memory; its buckets are those of [`Histogram`].
#[derive(Debug)]
#[repr(C)]
pub struct SharedHistogram {
    /// Times recorded, by bucket.
    pub counts: [AtomicU64; HISTOGRAM_BUCKETS],
    /// Sum of all that was recorded, nanoseconds.
    pub sum_ns: AtomicU64,
}

impl SharedHistogram {
    /// Adds what was recorded elsewhere.
    pub fn add(&self, delta: &Histogram) {
        for (count, more) in self.counts.iter().zip(&delta.counts) {
            if *more > 0 {
                count.fetch_add(*more, Ordering::Relaxed);
            }
        }
        self.sum_ns.fetch_add(delta.sum_ns, Ordering::Relaxed);
    }

    /// Adds what `total` has beyond `seen`, and remembers it there: for a histogram that goes on rising in its process.
    pub fn advance(&self, total: &Histogram, seen: &mut Histogram) {
        for ((count, total), seen) in self.counts.iter().zip(&total.counts).zip(&mut seen.counts) {
            advance(count, *total, seen);
        }
        advance(&self.sum_ns, total.sum_ns, &mut seen.sum_ns);
    }

    /// What has been recorded so far.
    pub fn read(&self) -> Histogram {
        Histogram {
            counts: std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed)),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
        }
    }
}

/// Adds to a shared counter what `total` has beyond `seen`, and remembers it there.
pub fn advance(counter: &AtomicU64, total: u64, seen: &mut u64) {
    if total != *seen {
        counter.fetch_add(total.wrapping_sub(*seen), Ordering::Relaxed);
        *seen = total;
    }
}

/// Where a process of the node is in its life.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The slot is not in use.
    Empty,
    /// Spawned, not yet ready.
    Starting,
    /// At work.
    Up,
    /// Takes no more connections; those it has are being closed.
    Draining,
    /// Dead, to be started again.
    Down,
    /// It kept crashing: tried again only now and then.
    Parked,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Empty,
        Self::Starting,
        Self::Up,
        Self::Draining,
        Self::Down,
        Self::Parked,
    ];

    /// The state a slot's number stands for; an unknown number is `Empty`.
    pub fn from_u32(number: u32) -> Self {
        Self::ALL
            .get(number as usize)
            .copied()
            .unwrap_or(Self::Empty)
    }

    /// Its name in `/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::Parked => "parked",
        }
    }
}

/// Makes an enum whose values index an array of counters, with a label each.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[repr(usize)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$each])* $variant,)* }

        impl $name {
            /// All of them, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its value of the label `reason`.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

reasons! {
    /// Why messages were lost; index into [`WorkerSlot::lost`].
    Lost {
        /// The oldest gave way to a bound.
        DropOldest = "drop_oldest",
        /// The newest gave way to a bound.
        DropNewest = "drop_newest",
        /// Older than the bound by age.
        Expired = "expired",
        /// The worker's memory budget was short.
        Memory = "memory",
        /// Left the log before it was read.
        Retention = "retention",
        /// Gaps over a change of epoch (how much they held is not known).
        Epoch = "epoch",
    }
}

reasons! {
    /// What was refused; index into [`WorkerSlot::rejected`].
    Rejected {
        /// An `Origin` that is not allowed: 403.
        Origin = "origin",
        /// A handshake that took too long.
        HandshakeTimeout = "handshake_timeout",
        /// Too many handshakes under way: 503.
        HandshakeFull = "handshake_full",
        /// Not the HTTP that is spoken here.
        BadRequest = "bad_request",
        /// Too many connections from one address.
        PerAddress = "per_address",
        /// This worker has as many connections as it may.
        WorkerFull = "worker_full",
        /// The node has as many connections as it may.
        NodeFull = "node_full",
        /// The node drains: 503.
        Draining = "draining",
        /// Commands or publications over their rate.
        RateLimited = "rate_limited",
        /// Publications by who may not.
        Forbidden = "forbidden",
        /// Commands that are not understood.
        BadCommand = "bad_command",
        /// One more than a limit allows.
        Limit = "limit",
        /// Longer than a limit allows.
        TooLarge = "too_large",
        /// Frames that RFC 6455 forbids.
        Protocol = "protocol",
    }
}

reasons! {
    /// Why the server closed a connection; index into [`WorkerSlot::closed`].
    Closed {
        /// A slow consumer: 4001.
        Slow = "slow",
        /// No answer to a ping: 4002.
        Heartbeat = "heartbeat",
        /// The control lane overflowed: 4003.
        Control = "control",
        /// Policy: 1008.
        Policy = "policy",
        /// A frame that is not allowed: 1002, 1003, 1007, 1009.
        Protocol = "protocol",
        /// The node or the worker stopped: 1001, 1012.
        Goaway = "goaway",
    }
}

reasons! {
    /// Methods whose calls are counted apart; index into [`WorkerSlot::calls`].
    Method {
        /// A new order.
        Submit = "order.submit",
        /// One order.
        Get = "order.get",
        /// The end of one that rests.
        Cancel = "order.cancel",
        /// Orders of an account.
        List = "order.list",
        /// The prototype's request.
        Echo = "order.echo",
        /// What there is not; the last, since a client chose its name.
        Other = "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{align_of, offset_of, size_of};

    fn histogram(fill: impl Fn(usize) -> u64, sum_ns: u64) -> Histogram {
        Histogram {
            counts: std::array::from_fn(fill),
            sum_ns,
        }
    }

    fn shared() -> SharedHistogram {
        SharedHistogram {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_ns: AtomicU64::new(0),
        }
    }

    #[test]
    fn what_the_accept_gate_reads_is_on_one_cache_line() {
        assert!(offset_of!(WorkerSlot, connections) + size_of::<AtomicU64>() <= 64);
        assert_eq!(align_of::<WorkerSlot>() % 64, 0);
        assert_eq!(size_of::<WorkerSlot>() % 64, 0);
    }

    #[test]
    fn every_reason_has_its_own_counter_and_label() {
        let labels = |labels: Vec<&'static str>| {
            let mut unique = labels.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), labels.len(), "{labels:?}");
        };
        labels(Lost::ALL.iter().map(|r| r.label()).collect());
        labels(Rejected::ALL.iter().map(|r| r.label()).collect());
        labels(Closed::ALL.iter().map(|r| r.label()).collect());
        labels(Method::ALL.iter().map(|r| r.label()).collect());
        assert!(Rejected::ALL.len() <= 16 && Closed::ALL.len() <= 8);
        assert!(
            Rejected::ALL
                .iter()
                .enumerate()
                .all(|(i, r)| *r as usize == i)
        );
    }

    #[test]
    fn a_histogram_that_rises_elsewhere_is_added_once() {
        let (shared, mut seen) = (shared(), histogram(|_| 0, 0));
        shared.advance(&histogram(|i| i as u64, 10), &mut seen);
        shared.advance(&histogram(|i| i as u64 * 2, 25), &mut seen);
        shared.add(&histogram(|i| u64::from(i == 3), 5));
        let read = shared.read();
        assert_eq!(
            (read.counts[3], read.counts[104], read.sum_ns),
            (7, 208, 30)
        );
    }

    #[test]
    fn states_survive_the_way_through_a_number() {
        for state in State::ALL {
            assert_eq!(State::from_u32(state as u32), state);
        }
        assert_eq!(State::from_u32(99), State::Empty);
    }
}
