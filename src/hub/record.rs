//! The hub's numbers on the scoreboard.
//!
//! Owns what is copied, and how often, and the measuring of turns. Must not contain: the counting of publications. Driven by the
//! hub's driver, which says how long each turn took and how late its timer came round.
use super::core::Hub;
use super::settings::Counters;
use crate::telemetry::scoreboard::{Scoreboard, advance};
use pubsub_stream::{Histogram, Now};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers are copied no more often than this while much happens: readers look once a second or less.
const PAUSE_NS: u64 = 100_000_000;

/// See the module.
#[derive(Debug)]
pub struct Recorder {
    scoreboard: Arc<Scoreboard>,
    seen: Counters,
    recorded_ns: u64,
    lag: Histogram,
    lag_seen: Histogram,
    /// Longest since the last copy.
    worst_ns: u64,
    longest_turn_ns: u64,
}

impl Recorder {
    /// For a hub whose log has this epoch.
    pub fn new(scoreboard: Arc<Scoreboard>, epoch: &str) -> Self {
        scoreboard.hub().set_epoch(epoch);
        Self {
            scoreboard,
            seen: Counters::default(),
            recorded_ns: 0,
            lag: Histogram::default(),
            lag_seen: Histogram::default(),
            worst_ns: 0,
            longest_turn_ns: 0,
        }
    }

    /// A batch of input and its turn took this long: so long others waited.
    pub fn note_turn(&mut self, ns: u64) {
        self.longest_turn_ns = self.longest_turn_ns.max(ns);
        self.note_late(ns);
    }

    /// A timer came round this much later than it was due.
    pub fn note_late(&mut self, ns: u64) {
        self.lag.record(ns);
        self.worst_ns = self.worst_ns.max(ns);
    }

    /// Copies everything if that was not done lately.
    pub fn record_some(&mut self, now: Now, hub: &Hub) {
        if now.mono_ns.saturating_sub(self.recorded_ns) >= PAUSE_NS {
            self.record(now, hub);
        }
    }

    /// Copies everything and says that the hub lives.
    pub fn record(&mut self, now: Now, hub: &Hub) {
        self.recorded_ns = now.mono_ns;
        let slot = self.scoreboard.hub();
        let (size, head) = (hub.log().size(), hub.log().head());
        set(&slot.heartbeat_ns, now.mono_ns);
        set(&slot.log_bytes, size.bytes);
        set(&slot.log_entries, size.entries);
        set(&slot.first, size.first.unsigned_abs());
        set(&slot.head, head.unsigned_abs());
        set(&slot.topics, hub.topics() as u64);
        set(&slot.keys, hub.keys() as u64);
        set(&slot.workers, hub.workers() as u64);
        set(&slot.loop_lag_us, std::mem::take(&mut self.worst_ns) / 1000);
        set(&slot.blocked_ns, self.longest_turn_ns);
        slot.loop_lag.advance(&self.lag, &mut self.lag_seen);
        let (total, seen) = (hub.counters(), &mut self.seen);
        advance(&slot.published, total.published, &mut seen.published);
        advance(
            &slot.published_bytes,
            total.published_bytes,
            &mut seen.published_bytes,
        );
        advance(&slot.refused, total.refused, &mut seen.refused);
        advance(&slot.evicted, total.evicted, &mut seen.evicted);
        advance(
            &slot.lost_entries,
            total.lost_entries,
            &mut seen.lost_entries,
        );
        advance(&slot.reads, total.reads, &mut seen.reads);
    }
}

fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}
