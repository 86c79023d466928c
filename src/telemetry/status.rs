//! How the node is doing, as `/status` and `ctl status` show it.
//!
//! Owns the shape of that object and reading it off the scoreboard. Must not contain: asking other processes (`slowest` is put in by
//! whoever asked them). Driven by the admin role and by the supervisor, on request.
//!
//! Law: names in it are users' to rely on: add, don't change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pubsub_stream::{HISTOGRAM_BUCKETS, Histogram, Now};
use serde::{Deserialize, Serialize};

use super::process::Process;
use super::quantile::quantile_ns;
use super::scoreboard::{Closed, LogSlot, Lost, Rejected, Scoreboard, State, WorkerSlot};
use crate::config::spec::log_sync_text;
use crate::config::{self, Config, LogSync};
use crate::link::ctl::SlowOf;

/// A worker whose loop has not come round for this long is named.
pub const BLOCKED_NS: u64 = 500_000_000;

/// Rows of `slowest`.
pub const SLOWEST: usize = 10;

/// The whole object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Name of the node.
    pub node: String,
    /// This build.
    pub version: String,
    /// `starting`, `ok` or `draining`.
    pub status: String,
    /// Since the supervisor started.
    pub uptime_s: u64,
    /// Epoch of the log; empty before the hub has said it.
    pub epoch: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where this is served over HTTP.
    pub admin: Option<SocketAddr>,
    /// The supervisor's process.
    pub pid: u32,
    /// Sums over all workers that ever were.
    pub totals: Totals,
    /// The hub.
    pub hub: Hub,
    /// The workers in use.
    pub workers: Vec<Worker>,
    /// Topics known to the hub.
    pub topics: u64,
    /// The subscriptions furthest behind; null when nobody could be asked.
    pub slowest: Option<Vec<SlowOf>>,
}

/// Sums over all workers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Open connections.
    pub connections: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Subscriptions in mode behind.
    pub behind: u64,
    /// Connections accepted.
    pub accepted_total: u64,
    /// Sessions opened.
    pub sessions_total: u64,
    /// Publications numbered.
    pub published: u64,
    /// Messages handed whole to the kernel.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Messages left out by rates.
    #[serde(default)]
    pub filtered: u64,
    /// Messages superseded by a newer one of their key.
    pub conflated: u64,
    /// Messages lost, by reason.
    pub lost: Reasons,
    /// What was refused, by reason.
    pub rejected: Reasons,
    /// Connections closed by the server, by reason.
    pub closed: Reasons,
    /// Workers lost.
    pub restarts: u64,
    /// Numbered to handed to the kernel.
    pub delivery: Delivery,
}

/// Counts by reason, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reasons(BTreeMap<String, u64>);

impl Reasons {
    fn add(&mut self, label: &str, count: u64) {
        *self.0.entry(label.to_owned()).or_default() += count;
    }

    /// All that are not zero.
    pub fn some(&self) -> impl Iterator<Item = (&str, u64)> {
        let all = self.0.iter().map(|(label, count)| (label.as_str(), *count));
        all.filter(|(_, count)| *count > 0)
    }
}

/// A latency since the node started, with the buckets that it comes from, so that a reader can take differences.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Median, microseconds, rounded up to a bucket's bound.
    pub p50_us: Option<u64>,
    /// 99th percentile, microseconds, rounded up to a bucket's bound.
    pub p99_us: Option<u64>,
    /// Buckets in which something was recorded: upper bound in microseconds (null: beyond all bounds), how many.
    pub buckets: Vec<(Option<u64>, u64)>,
}

/// The hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hub {
    /// Its process; 0 when there is none.
    pub pid: u32,
    /// `starting`, `up`, `down`, `parked`.
    pub state: String,
    /// Hubs lost.
    pub restarts: u64,
    /// Workers linked to it.
    pub workers: u64,
    /// Publications numbered.
    pub published: u64,
    /// Oldest offset held.
    pub first: u64,
    /// Newest offset.
    pub head: u64,
    /// Entries the log holds.
    pub log_entries: u64,
    /// Bytes the log holds.
    pub log_bytes: u64,
    /// Its log.
    #[serde(default)]
    pub log: Log,
    /// Newest values and orders are still being read from the log of the hub before.
    #[serde(default)]
    pub restoring: bool,
    /// Workers that have yet to be told of what was numbered.
    #[serde(default)]
    pub workers_behind: u64,
    /// Reads and watches of workers that wait for their answer.
    #[serde(default)]
    pub reads_waiting: u64,
    /// Keys whose newest value is kept.
    pub keys: u64,
    /// How late its loop came round last.
    pub loop_lag_us: u64,
    /// Resident memory.
    pub rss_bytes: u64,
}

/// The hub's log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Log {
    /// `memory` or `disk`.
    pub kind: String,
    /// Bytes it holds.
    pub bytes: u64,
    /// Entries it holds.
    pub entries: u64,
    /// Newest offset whose publisher may be told that it is in the log.
    pub acknowledged: u64,
    /// What only one on disk has.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub disk: Option<LogOnDisk>,
}

/// What only a log on disk has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogOnDisk {
    /// Where it is.
    pub folder: PathBuf,
    /// When it syncs, as `--log-sync` has it.
    pub sync: String,
    /// Newest offset that lasts whatever happens to the machine; null where nobody syncs.
    pub synced: Option<u64>,
    /// How long the oldest entry has waited for its sync; null where nobody syncs.
    pub unsynced_ms: Option<u64>,
    /// Segments.
    pub segments: u64,
    /// Bytes that its disk has left; null while nobody knows.
    pub free_bytes: Option<u64>,
    /// There is no space for its next segment.
    pub space_short: bool,
    /// Publications refused for want of room.
    pub refused: u64,
    /// What of it can't be read, as far as it is known.
    pub holes: Holes,
}

/// Ranges of offsets that can't be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holes {
    /// Something there is damaged.
    pub damaged: u64,
    /// They were skipped after a loss.
    pub skipped: u64,
}

/// One worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Worker {
    /// Its place.
    pub slot: u32,
    /// Its process; 0 when there is none.
    pub pid: u32,
    /// `starting`, `up`, `draining`, `down`, `parked`.
    pub state: String,
    /// Open connections.
    pub connections: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Subscriptions in mode behind.
    pub behind: u64,
    /// Connections accepted.
    pub accepted_total: u64,
    /// Messages handed whole to the kernel.
    pub delivered: u64,
    /// How late its loop came round last.
    pub loop_lag_us: u64,
    /// Longest turn of its loop.
    pub blocked_max_ms: u64,
    /// How long its loop has not come round, when that is over half a second: it hangs or is stopped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blocked_ms: Option<u64>,
    /// Bytes of its rings.
    pub ring_bytes: u64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Processes this place lost.
    pub restarts: u64,
}

impl Status {
    /// Reads it off the scoreboard.
    pub fn read(now: Now, board: &Scoreboard, config: &Config) -> Self {
        let node = board.node();
        let status = match (load32(&node.draining), load32(&node.ready)) {
            (0, 0) => "starting",
            (0, _) => "ok",
            _ => "draining",
        };
        Self {
            node: config.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            status: status.to_owned(),
            uptime_s: now.wall_us.saturating_sub(load(&node.started_wall_us)) / 1_000_000,
            epoch: board.hub().epoch(),
            listen: config.listen,
            admin: config.admin,
            pid: load32(&node.supervisor_pid),
            totals: Totals::read(board),
            hub: Hub::read(now, board, config),
            workers: (0..board.workers())
                .map(|slot| Worker::read(now, slot, board.worker(slot)))
                .collect(),
            topics: load(&board.hub().topics),
            slowest: None,
        }
    }
}

impl Totals {
    fn read(board: &Scoreboard) -> Self {
        let mut sum = Self {
            published: load(&board.hub().published),
            ..Self::default()
        };
        let mut delivery = Histogram {
            counts: [0; HISTOGRAM_BUCKETS],
            sum_ns: 0,
        };
        for slot in 0..board.workers_ever() {
            let worker = board.worker(slot);
            sum.add(worker);
            let delivered = worker.delivery.read();
            for (count, more) in delivery.counts.iter_mut().zip(delivered.counts) {
                *count += more;
            }
        }
        sum.delivery = Delivery::read(&delivery);
        sum
    }

    fn add(&mut self, worker: &WorkerSlot) {
        self.connections += load(&worker.connections);
        self.subscriptions += load(&worker.subscriptions);
        self.behind += load(&worker.behind);
        self.accepted_total += load(&worker.accepted_total);
        self.sessions_total += load(&worker.sessions_total);
        self.delivered += load(&worker.delivered);
        self.delivered_bytes += load(&worker.delivered_bytes);
        self.filtered += load(&worker.filtered);
        self.conflated += load(&worker.conflated);
        self.restarts += load(&worker.restarts);
        for why in Lost::ALL {
            self.lost.add(why.label(), load(worker.lost(*why)));
        }
        for why in Rejected::ALL {
            self.rejected.add(why.label(), load(worker.rejected(*why)));
        }
        for why in Closed::ALL {
            self.closed.add(why.label(), load(worker.closed(*why)));
        }
    }
}

impl Delivery {
    fn read(histogram: &Histogram) -> Self {
        let micros = |ns: u64| (ns != u64::MAX).then_some(ns / 1000);
        let quantile = |q| quantile_ns(histogram, q).and_then(micros);
        let recorded = histogram
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        Self {
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            buckets: recorded
                .map(|(i, count)| (micros(Histogram::bound_ns(i)), *count))
                .collect(),
        }
    }
}

impl Hub {
    fn read(now: Now, board: &Scoreboard, config: &Config) -> Self {
        let hub = board.hub();
        let pid = load32(&hub.pid);
        Self {
            pid,
            state: hub.state().as_str().to_owned(),
            restarts: load(&hub.restarts),
            workers: load(&hub.workers),
            published: load(&hub.published),
            first: load(&hub.first),
            head: load(&hub.head),
            log_entries: load(&hub.log_entries),
            log_bytes: load(&hub.log_bytes),
            log: Log::read(now, board, config),
            restoring: load(&hub.restoring) != 0,
            workers_behind: load(&hub.workers_behind),
            reads_waiting: load(&hub.reads_waiting),
            keys: load(&hub.keys),
            loop_lag_us: load(&hub.loop_lag_us),
            rss_bytes: resident(pid),
        }
    }
}

impl Log {
    fn read(now: Now, board: &Scoreboard, config: &Config) -> Self {
        let hub = board.hub();
        let (kind, disk) = match &config.log {
            config::Log::Memory => ("memory", None),
            config::Log::Disk { folder } => {
                let of = LogOnDisk::read(now, &hub.log, folder.clone(), config.log_sync);
                ("disk", Some(of))
            }
        };
        Self {
            kind: kind.to_owned(),
            bytes: load(&hub.log_bytes),
            entries: load(&hub.log_entries),
            acknowledged: load(&hub.log.acknowledged),
            disk,
        }
    }
}

impl LogOnDisk {
    fn read(now: Now, log: &LogSlot, folder: PathBuf, sync: LogSync) -> Self {
        let syncs = sync != LogSync::None;
        Self {
            folder,
            sync: log_sync_text(sync),
            synced: syncs.then(|| load(&log.synced)),
            unsynced_ms: syncs.then(|| log.unsynced_ns(now.mono_ns) / 1_000_000),
            segments: load(&log.segments),
            free_bytes: log.free_bytes(),
            space_short: load(&log.is_short) != 0,
            refused: load(&log.refused),
            holes: Holes {
                damaged: load(&log.damaged),
                skipped: load(&log.skipped),
            },
        }
    }
}

impl Worker {
    fn read(now: Now, slot: u32, worker: &WorkerSlot) -> Self {
        let pid = load32(&worker.pid);
        Self {
            slot,
            pid,
            state: worker.state().as_str().to_owned(),
            connections: load(&worker.connections),
            subscriptions: load(&worker.subscriptions),
            behind: load(&worker.behind),
            accepted_total: load(&worker.accepted_total),
            delivered: load(&worker.delivered),
            loop_lag_us: load(&worker.loop_lag_us),
            blocked_max_ms: load(&worker.blocked_ns) / 1_000_000,
            blocked_ms: blocked_ns(now, worker).map(|ns| ns / 1_000_000),
            ring_bytes: load(&worker.ring_bytes),
            rss_bytes: resident(pid),
            restarts: load(&worker.restarts),
        }
    }
}

/// How long a worker's loop has not come round, if that is worth naming.
pub fn blocked_ns(now: Now, worker: &WorkerSlot) -> Option<u64> {
    let beat = load(&worker.heartbeat_ns);
    let silent = now.mono_ns.saturating_sub(beat);
    let at_work = matches!(worker.state(), State::Up | State::Draining);
    (at_work && beat != 0 && silent > BLOCKED_NS).then_some(silent)
}

fn resident(pid: u32) -> u64 {
    Process::read(pid).map_or(0, |process| process.resident_bytes)
}

fn load(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

fn load32(number: &AtomicU32) -> u32 {
    number.load(Ordering::Relaxed)
}
