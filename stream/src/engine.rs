//! Placeholder: the engine's contract.
#![allow(clippy::todo, unused_variables, clippy::unused_self, clippy::needless_pass_by_value, missing_docs)]
use crate::hub::{HubEvent, HubRequest};
use pubsub_wire::Limits;
use pubsub_wire::value::Overflow;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId { index: u32, generation: u32 }
impl SessionId {
    /// Dense: a driver may keep a slab beside the engine's.
    pub fn index(self) -> usize { self.index as usize }
}

/// The moment an input happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The machine's monotonic clock, comparable with the hub's stamps.
    pub mono_ns: u64,
    /// Microseconds since the Unix epoch.
    pub wall_us: u64,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub limits: Limits,
    pub node: String,
    pub worker: u32,
    /// Session names are this, a dash and a counter.
    pub session_prefix: String,
    pub heartbeat_ns: u64,
    pub write_stall_ns: u64,
    /// Bound of one session's control lane; over it the session is closed with 4003.
    pub control_bytes: usize,
    /// Memory budget of all rings of this worker.
    pub ring_bytes: usize,
    pub commands_per_s: u32,
    pub commands_burst: u32,
    pub publishes_per_s: u32,
    pub publish_bytes_per_s: u32,
    /// Publications of this worker that may wait for the hub.
    pub pending_publishes: usize,
    pub default_messages: u64,
    pub default_bytes: u64,
    /// First match wins; else drop_oldest.
    pub overflow_by_pattern: Vec<(String, Overflow)>,
    /// Patterns that only the node publishes: `forbidden`.
    pub publish_denied: Vec<String>,
    /// Byte budget of one read of history.
    pub read_bytes: u32,
}

#[derive(Debug, Clone, Copy)]
pub struct Peer { pub may_publish: bool }

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoawayReason { Shutdown, Restart, Rebalance }

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseHow {
    /// The close frame is with the kernel: shut down the writing side, linger for the peer's.
    Flushed,
    /// Close at once.
    Hard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed { pub session: SessionId, pub how: CloseHow, pub code: u16 }

/// Bytes of one frame, or of the rest of one, to hand to the kernel.
pub struct Piece { frame: std::rc::Rc<[u8]>, skip: u32 }
impl Piece { pub fn bytes(&self) -> &[u8] { &self.frame[self.skip as usize..] } }

/// Log2-linear histogram of nanoseconds: 4 buckets per octave; see `Histogram::bound_ns`.
#[derive(Debug, Clone)]
pub struct Histogram { pub counts: [u64; HISTOGRAM_BUCKETS], pub sum_ns: u64 }
/// 1 us doubling to about 67 s, 4 steps per octave, and one bucket for all above.
pub const HISTOGRAM_BUCKETS: usize = 105;
impl Histogram {
    /// Upper bound of bucket `i` (inclusive); `u64::MAX` for the last.
    pub fn bound_ns(i: usize) -> u64 { todo!() }
    pub fn record(&mut self, ns: u64, times: u64) { todo!() }
}

/// Counters since the engine began.
#[derive(Debug, Clone)]
pub struct Stats {
    pub sessions: u64, pub subscriptions: u64, pub behind: u64, pub spilled_messages: u64, pub ring_bytes: u64,
    pub sessions_total: u64, pub delivered: u64, pub delivered_bytes: u64, pub conflated: u64,
    pub lost_drop_oldest: u64, pub lost_drop_newest: u64, pub lost_expired: u64, pub lost_memory: u64, pub lost_retention: u64, pub gaps_epoch: u64,
    pub published: u64, pub commands: u64,
    /// Refusals by cause.
    pub rejected_rate: u64, pub rejected_forbidden: u64, pub rejected_bad: u64, pub rejected_limit: u64,
    pub closed_slow: u64, pub closed_heartbeat: u64, pub closed_control: u64, pub closed_policy: u64,
    /// Numbered to handed to the kernel.
    pub delivery: Histogram,
}

#[derive(Debug, Clone)]
pub struct Slow { pub session: String, pub topic: String, pub mode: &'static str, pub messages: u64, pub bytes: u64, pub age_ms: u64, pub overflow: Overflow }

pub struct Engine;
impl Engine {
    pub fn new(config: Config) -> Self { todo!() }
    pub fn handle_open(&mut self, now: Now, peer: Peer) -> SessionId { todo!() }
    pub fn handle_text(&mut self, now: Now, session: SessionId, text: &str) { todo!() }
    pub fn handle_received(&mut self, now: Now, session: SessionId) { todo!() }
    pub fn handle_ping(&mut self, now: Now, session: SessionId, payload: &[u8]) { todo!() }
    pub fn handle_peer_close(&mut self, now: Now, session: SessionId, code: Option<u16>) { todo!() }
    pub fn handle_protocol_error(&mut self, now: Now, session: SessionId, code: u16, reason: &str) { todo!() }
    pub fn handle_disconnect(&mut self, now: Now, session: SessionId) { todo!() }
    pub fn handle_writable(&mut self, now: Now, session: SessionId) { todo!() }
    pub fn handle_written(&mut self, now: Now, session: SessionId, bytes: usize, blocked: bool) { todo!() }
    pub fn handle_hub(&mut self, now: Now, event: HubEvent<'_>) { todo!() }
    pub fn handle_hub_down(&mut self, now: Now) { todo!() }
    pub fn handle_timeout(&mut self, now: Now) { todo!() }
    pub fn handle_goaway(&mut self, now: Now, reason: GoawayReason, window_ms: u64) { todo!() }
    pub fn poll_visit(&mut self, now: Now) -> Option<SessionId> { todo!() }
    pub fn poll_write(&mut self, now: Now, session: SessionId) -> &[Piece] { todo!() }
    pub fn poll_hub(&mut self) -> Option<HubRequest> { todo!() }
    pub fn poll_closed(&mut self) -> Option<Closed> { todo!() }
    pub fn poll_timeout(&self) -> Option<u64> { todo!() }
    pub fn stats(&self) -> &Stats { todo!() }
    pub fn slowest(&self, now: Now, n: usize) -> Vec<Slow> { todo!() }
}
