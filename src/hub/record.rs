//! The hub's numbers on the scoreboard.
//!
//! Owns what is copied, and how often, and the measuring of turns. Must not contain: the counting of publications. Driven by the
//! hub's driver, which says how long each turn took and how late its timer came round.
use super::core::Hub;
use super::log::Meters;
use super::settings::Counters;
use crate::telemetry::scoreboard::{LogSlot, Scoreboard, advance};
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
    log_seen: Meters,
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
            log_seen: Meters::default(),
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
        advance(&slot.log.refused, total.no_room, &mut seen.no_room);
        advance(
            &slot.log.failures,
            total.log_failures,
            &mut seen.log_failures,
        );
        self.record_readers(hub);
        self.record_log(hub);
    }

    /// How far the workers are, and what they wait for.
    fn record_readers(&self, hub: &Hub) {
        let (slot, head) = (self.scoreboard.hub(), hub.log().head());
        let waiting = hub.workers.iter().map(|(_, worker)| worker.waiting());
        set(&slot.reads_waiting, waiting.sum::<usize>() as u64);
        let lags = hub.workers.iter().filter_map(|(_, worker)| worker.lag);
        set(&slot.workers_behind, lags.clone().count() as u64);
        let furthest = lags.map(|cursor| head - cursor).max();
        set(&slot.behind_entries, furthest.unwrap_or(0).unsigned_abs());
        set(&slot.restoring, u64::from(hub.is_restoring()));
    }

    /// What the log has done with its files.
    fn record_log(&mut self, hub: &Hub) {
        let (slot, log) = (&self.scoreboard.hub().log, hub.log());
        set(&slot.acknowledged, log.acknowledged().unsigned_abs());
        let Some(meters) = log.meters() else {
            return;
        };
        let unsynced = meters.synced.map_or(0, |synced| log.head() - synced);
        set(&slot.synced, meters.synced.unwrap_or(0).unsigned_abs());
        set(&slot.unsynced, unsynced.unsigned_abs());
        set(
            &slot.unsynced_since_ns,
            meters.unsynced_since_ns.unwrap_or(0),
        );
        set(&slot.segments, meters.segments);
        set(&slot.is_short, u64::from(meters.is_short));
        set(&slot.damaged, meters.damaged);
        set(&slot.skipped, meters.skipped);
        let free = meters.free_bytes.map_or(0, |free| free.saturating_add(1));
        set(&slot.free_bytes_and_one, free);
        let behind = log.head() - meters.checkpointed;
        set(&slot.behind_checkpoint, behind.unsigned_abs());
        set(&slot.checkpoint_bytes, meters.checkpoint_bytes);
        count_log(slot, &meters, &mut self.log_seen);
    }
}

/// What only rises, and what of it was counted before.
fn count_log(slot: &LogSlot, now: &Meters, seen: &mut Meters) {
    for (shared, total, seen) in [
        (
            &slot.written_bytes,
            now.written_bytes,
            &mut seen.written_bytes,
        ),
        (&slot.read_bytes, now.read_bytes, &mut seen.read_bytes),
        (&slot.read_entries, now.read_entries, &mut seen.read_entries),
        (
            &slot.removed_segments,
            now.removed_segments,
            &mut seen.removed_segments,
        ),
        (
            &slot.removed_bytes,
            now.removed_bytes,
            &mut seen.removed_bytes,
        ),
        (
            &slot.mended_indexes,
            now.mended_indexes,
            &mut seen.mended_indexes,
        ),
        (&slot.checkpoints, now.checkpoints, &mut seen.checkpoints),
        (
            &slot.failed_checkpoints,
            now.failed_checkpoints,
            &mut seen.failed_checkpoints,
        ),
    ] {
        advance(shared, total, seen);
    }
    slot.write.advance(&now.write, &mut seen.write);
    slot.sync.advance(&now.sync, &mut seen.sync);
    slot.seal.advance(&now.seal, &mut seen.seal);
    slot.read.advance(&now.read, &mut seen.read);
}

fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}
