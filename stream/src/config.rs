//! What an engine is told when it is made, and the small values of its contract.
use std::fmt;

use pubsub_wire::Limits;
use pubsub_wire::limits::BoundLimits;
use pubsub_wire::value::{Batch, Bound, Overflow, Rate};

/// Names one session of one engine; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl SessionId {
    /// Dense and reused: a driver may keep a slab of its own beside the engine's.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// The moment at which an input happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The machine's monotonic clock, comparable with the hub's stamps.
    pub mono_ns: u64,
    /// Microseconds since the Unix epoch.
    pub wall_us: u64,
}

/// What is known of a peer when its session opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// It may publish and call.
    pub may_publish: bool,
}

/// How a connection is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseHow {
    /// The close frame is with the kernel: shut down the writing side and linger for the peer's.
    Flushed,
    /// Close at once.
    Hard,
}

/// A session that the engine has ended and forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub session: SessionId,
    /// How its connection is to be ended.
    pub how: CloseHow,
    /// The close code, sent or not.
    pub code: u16,
}

/// A row of the list of the slowest subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slow {
    /// Session as in its `welcome`.
    pub session: String,
    /// Topic or pattern.
    pub topic: String,
    /// `live`, `behind` or `replay`.
    pub mode: &'static str,
    /// Lag in messages.
    pub messages: u64,
    /// Lag in bytes of frames.
    pub bytes: u64,
    /// Age of the oldest pending message.
    pub age_ms: u64,
    /// Its policy.
    pub overflow: Overflow,
    /// What else acts, in short: `sample 100 ms · batch 50 ms · credit 0`; empty where nothing does.
    pub settings: String,
}

/// What a subscription has that does not name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Topic or pattern: it counts for subscriptions that can receive nothing else.
    pub pattern: String,
    /// Rate.
    pub rate: Option<Rate>,
    /// Batches.
    pub batch: Option<Batch>,
    /// Bound; what is `None` is left to the next that matches.
    pub bound: Bound,
    /// Policy.
    pub overflow: Option<Overflow>,
}

/// Limits and names of one engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Told to each session in `welcome`.
    pub limits: Limits,
    /// Name of the node.
    pub node: String,
    /// Slot of the worker.
    pub worker: u32,
    /// A session's name is this, a dash and a number.
    pub session_prefix: String,
    /// Nothing received for this long: ping. Nothing for two more: close.
    pub heartbeat_ns: u64,
    /// The kernel has taken nothing for this long though something waits: close.
    pub write_stall_ns: u64,
    /// A control lane longer than this, on a socket that takes nothing, ends the session.
    pub control_bytes: usize,
    /// Memory of all rings, of what operators hold and of frames partly written; when it is short the oldest entries leave.
    pub ring_bytes: usize,
    /// Commands per second of a session.
    pub commands_per_s: u32,
    /// Burst of commands.
    pub commands_burst: u32,
    /// Publications per second of a session, in bursts of a second.
    pub publishes_per_s: u32,
    /// Bytes of publications per second of a session, in bursts of a second.
    pub publish_bytes_per_s: u32,
    /// Publications that may wait for the hub's answer.
    pub pending_publishes: usize,
    /// Names of the methods whose calls are counted apart.
    pub methods: Vec<&'static str>,
    /// Calls of a session that may be under way.
    pub calls_per_session: u32,
    /// Calls of all sessions that may be under way.
    pub calls: usize,
    /// Settings of a subscription that names none, by its text: of each setting, the first that matches and has it.
    pub defaults: Vec<Defaults>,
    /// What a subscription may ask for at most, by its text, where that is less than `limits`; the first match counts.
    pub most: Vec<(String, BoundLimits)>,
    /// Different rates and batches on one topic or pattern: each is computed once for all who have it, for every publication.
    pub cohorts: usize,
    /// A subscription's mode switches once in this time at most, but for one that reaches its bound.
    pub mode_hold_ns: u64,
    /// Patterns that only the node itself publishes.
    pub publish_denied: Vec<String>,
    /// Byte budget of one read of history.
    pub read_bytes: u32,
    /// Reads of history under way at once.
    pub reads_in_flight: usize,
    /// Seed of what is drawn at random: the spread of closes.
    pub seed: u64,
}

impl Default for Config {
    /// An engine that nobody has set up: the protocol's defaults, and budgets of a small worker.
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            limits: Limits::default(),
            node: "node".to_owned(),
            worker: 0,
            session_prefix: "s".to_owned(),
            heartbeat_ns: 25 * SECOND,
            write_stall_ns: 120 * SECOND,
            control_bytes: 64 << 10,
            ring_bytes: 64 << 20,
            commands_per_s: 1000,
            commands_burst: 2000,
            publishes_per_s: 20_000,
            publish_bytes_per_s: 32 << 20,
            pending_publishes: 4096,
            methods: Vec::new(),
            calls_per_session: 64,
            calls: 4096,
            defaults: Vec::new(),
            most: Vec::new(),
            cohorts: 1000,
            mode_hold_ns: SECOND,
            publish_denied: Vec::new(),
            read_bytes: 256 << 10,
            reads_in_flight: 16,
            seed: 0,
        }
    }
}
