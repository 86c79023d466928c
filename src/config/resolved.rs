//! The configuration as meant: every default filled in, every value checked. Travels as JSON from the supervisor to the roles.
use pubsub_wire::Limits;
use pubsub_wire::limits::BoundLimits;
use pubsub_wire::value::{Batch, Bound, Overflow, Rate};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything a node was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Worker processes, 1..=1024.
    pub workers: u32,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Metrics, health, status; `None` is off.
    pub admin: Option<SocketAddr>,
    /// What publishes inside the node.
    pub sources: Vec<Source>,
    /// Pause between two pushes, milliseconds, drawn anew each time.
    pub interval_ms: (u64, u64),
    /// Executions in one `execs` payload.
    pub rows: u32,
    /// Which log.
    pub log: Log,
    /// When a log on disk syncs.
    pub log_sync: LogSync,
    /// What the log keeps, first matching pattern wins, the last is `>`.
    pub retain: Vec<Retain>,
    /// Most topics of the node.
    pub topics_max: u64,
    /// Most keys whose newest value is kept.
    pub keys_max: u64,
    /// Nothing received for this long: ping.
    pub heartbeat_ms: u64,
    /// Nothing taken by the kernel though something waits.
    pub write_stall_ms: u64,
    /// Control socket, lock, hub socket.
    pub run_dir: PathBuf,
    /// Log lines as text or JSON.
    pub log_format: LogFormat,
    /// Who may publish and call.
    pub publish: PublishFrom,
    /// Other origins that browsers may come from.
    pub origins: Vec<String>,
    /// Window of a graceful stop.
    pub drain_ms: u64,
    /// Name of this node.
    pub node: String,
    /// Where this node's orders are filled.
    pub venue: Venue,
    /// Most orders that are remembered.
    pub orders_max: u64,
    /// `/echo` is served.
    pub echo: bool,
    /// Limits of a connection, told in `welcome`.
    pub limits: Limits,
    /// Limits of a worker.
    pub worker: WorkerLimits,
    /// What a subscription has that does not name it: of each setting, the first that covers its text and has it; the last is `>`.
    pub defaults: Vec<Defaults>,
    /// What a subscription may ask for at most where that is less than `limits`: the first that covers its text.
    pub most: Vec<Most>,
}

/// What subscriptions of a pattern have that do not name it; `None` is left to a later entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defaults {
    /// Topic or pattern: it counts for subscriptions that can receive nothing else.
    pub pattern: String,
    /// How much may be pending.
    pub bound: Bound,
    /// What gives when the bound is reached.
    pub overflow: Option<Overflow>,
    /// Rate.
    pub rate: Option<Rate>,
    /// Batches.
    pub batch: Option<Batch>,
}

/// The largest bound that subscriptions of a pattern may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Most {
    /// Topic or pattern: it counts for subscriptions that can receive nothing else.
    pub pattern: String,
    /// The bound.
    pub bound: BoundLimits,
}

/// What publishes inside the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `execs` payloads and quotes, made up.
    Synthetic,
    /// A recorded file.
    Replay {
        /// CSV, also gzipped.
        file: PathBuf,
        /// Begin again at the end.
        again: bool,
    },
}

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Log {
    /// In the hub's memory.
    Memory,
    /// In segments in a folder.
    Disk {
        /// The folder.
        folder: PathBuf,
    },
}

/// When a log on disk has the system write to the disk what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSync {
    /// When the system wants to.
    None,
    /// This long after it was given at the latest.
    Interval {
        /// Milliseconds.
        ms: u64,
    },
    /// Before anybody is told that it is in the log.
    Always,
}

/// Where orders are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Venue {
    /// Here, at the node's own quotes.
    Paper,
    /// Nowhere.
    None,
}

/// What the log keeps of the topics that match a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retain {
    /// Topic pattern.
    pub pattern: String,
    /// Bytes of entries.
    pub bytes: u64,
    /// Oldest age, milliseconds.
    pub age_ms: Option<u64>,
    /// Entries.
    pub count: Option<u64>,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum LogFormat {
    Text,
    Json,
}

/// Who may publish and call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum PublishFrom {
    Loopback,
    Anyone,
    Nobody,
}

/// Limits of one worker; all configurable in the file's `[worker]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerLimits {
    /// Connections of one worker.
    pub connections: u32,
    /// Connections of the node.
    pub node_connections: u32,
    /// Connections from one address, per node as far as a worker sees it: per worker.
    pub per_address: u32,
    /// Handshakes under way at once.
    pub handshakes: u32,
    /// Time for a handshake, milliseconds.
    pub handshake_ms: u64,
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Commands per second of a session, and the burst.
    pub commands_per_s: u32,
    /// Burst of commands.
    pub commands_burst: u32,
    /// Publications per second of a session.
    pub publishes_per_s: u32,
    /// Bytes of publications per second of a session.
    pub publish_bytes_per_s: u32,
    /// Publications of this worker that may wait for the hub.
    pub pending_publishes: usize,
    /// Calls of a session that may be under way.
    pub calls_per_session: u32,
    /// Calls of this worker that may be under way.
    pub calls: usize,
    /// Control lane of one session, bytes.
    pub control_bytes: usize,
    /// Memory of one worker, bytes: its rings, what rates and batches hold, and frames partly written.
    pub ring_bytes: usize,
    /// One read of history, bytes.
    pub read_bytes: u32,
    /// Kernel send buffer of a connection (`SO_SNDBUF`), bytes; 0 leaves the system's.
    pub send_buffer_bytes: usize,
    /// `TCP_NOTSENT_LOWAT`, bytes; 0 leaves the system's.
    pub notsent_lowat_bytes: u32,
    /// A subscription's mode switches once in this time at most, milliseconds.
    pub mode_hold_ms: u64,
    /// Different rates and batches on one topic or pattern.
    pub cohorts: usize,
}

impl Default for WorkerLimits {
    /// What a worker has when nobody says, but for `connections`, which is as many as the limit of open files allows.
    fn default() -> Self {
        Self {
            connections: 10_000,
            // A million connections take about 12 GB, most of it the kernel's.
            node_connections: 1_000_000,
            // Behind a proxy all have one address; one address reaches one port with some 28,000 at most.
            per_address: 20_000,
            // With the largest head each, 16 MiB.
            handshakes: 1024,
            handshake_ms: 10_000,
            header_bytes: 16 << 10,
            commands_per_s: 1000,
            commands_burst: 2000,
            publishes_per_s: 20_000,
            publish_bytes_per_s: 32 << 20,
            pending_publishes: 4096,
            // One client may keep a worker's turn busy for about a millisecond.
            calls_per_session: 64,
            calls: 4096,
            control_bytes: 64 << 10,
            ring_bytes: 64 << 20,
            read_bytes: 256 << 10,
            // The kernel finds a good size by itself; what it holds unsent is bounded by the next.
            send_buffer_bytes: 0,
            // What the kernel holds unsent can no longer be conflated.
            notsent_lowat_bytes: 16 << 10,
            // Who reads in jerks is not told of each.
            mode_hold_ms: 1000,
            // Each costs about a tenth of a microsecond for each publication.
            cohorts: 1000,
        }
    }
}
