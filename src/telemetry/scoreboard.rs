//! The shared-memory scoreboard: placeholder of its contract.
#![allow(clippy::todo, unused_variables, missing_docs, clippy::unused_self)]
use pubsub_stream::HISTOGRAM_BUCKETS;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A mapping of the scoreboard; cheap to share by reference.
pub struct Scoreboard { _map: () }
impl Scoreboard {
    /// Made by the supervisor: a memfd sized for 1024 worker slots (sparse).
    pub fn create() -> std::io::Result<(Self, OwnedFd)> { todo!() }
    /// Mapped by a role.
    pub fn open(fd: BorrowedFd<'_>) -> std::io::Result<Self> { todo!() }
    pub fn worker(&self, slot: u32) -> &WorkerSlot { todo!() }
    /// Slots in use are 0..workers(); the supervisor sets it.
    pub fn workers(&self) -> u32 { todo!() }
    pub fn hub(&self) -> &HubSlot { todo!() }
    pub fn node(&self) -> &NodeSlot { todo!() }
}
/// Set by the supervisor.
#[repr(C)]
pub struct NodeSlot { pub draining: AtomicU32, pub workers: AtomicU32, pub started_wall_us: AtomicU64, pub supervisor_pid: AtomicU32 }
/// One worker slot. Gauges are of the present process; counters go on over a respawn (a worker begins from what it finds).
#[repr(C)]
pub struct WorkerSlot {
    pub pid: AtomicU32, pub generation: AtomicU32, pub state: AtomicU32 /* State */, pub restarts: AtomicU64,
    pub heartbeat_ns: AtomicU64, pub born_ns: AtomicU64,
    pub connections: AtomicU64, pub subscriptions: AtomicU64, pub behind: AtomicU64, pub spilled: AtomicU64, pub ring_bytes: AtomicU64, pub loop_lag_us: AtomicU64, pub blocked_ns: AtomicU64 /* longest turn since start */,
    pub accepted_total: AtomicU64, pub sessions_total: AtomicU64, pub delivered: AtomicU64, pub delivered_bytes: AtomicU64, pub conflated: AtomicU64, pub published: AtomicU64,
    pub lost: [AtomicU64; 6] /* drop_oldest drop_newest expired memory retention epoch */, pub rejected: [AtomicU64; 16] /* Rejected */,
    pub delivery: SharedHistogram, pub loop_lag: SharedHistogram,
}
#[repr(C)]
pub struct SharedHistogram { pub counts: [AtomicU64; HISTOGRAM_BUCKETS], pub sum_ns: AtomicU64 }
#[repr(C)]
pub struct HubSlot { pub pid: AtomicU32, pub generation: AtomicU32, pub state: AtomicU32, pub restarts: AtomicU64, pub heartbeat_ns: AtomicU64,
    pub published: AtomicU64, pub published_bytes: AtomicU64, pub log_bytes: AtomicU64, pub log_entries: AtomicU64, pub topics: AtomicU64, pub keys: AtomicU64, pub workers: AtomicU64, pub head: AtomicU64, pub first: AtomicU64, pub evicted: AtomicU64, pub lost_entries: AtomicU64,
    pub epoch: [AtomicU64; 4] /* UTF-8, zero padded, at most 32 bytes */, pub admin_pid: AtomicU32 }
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State { Empty, Starting, Up, Draining, Down, Parked }
/// Index into `WorkerSlot::rejected`.
#[repr(usize)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected { Origin, HandshakeTimeout, HandshakeFull, BadRequest, PerAddress, WorkerFull, NodeFull, Draining, RateLimited, Forbidden, BadCommand, Limit, TooLarge, Protocol }
