//! This worker's numbers, carried to the scoreboard.
//!
//! Owns what has been carried already. Must not contain: the counting itself. Driven by the worker's loop, now and then.
//!
//! Law: counters in the scoreboard outlive the process: only what is new is added to them.
use super::monitor::Monitor;
use crate::telemetry::scoreboard::{Closed, Lost, Rejected, WorkerSlot, advance};
use pubsub_stream::{Histogram, Outcomes, Stats};
use std::sync::atomic::Ordering::Relaxed;

/// No more often than this: readers look about once a second, and the histograms are some hundred words each.
const CARRY_NS: u64 = 100_000_000;

/// What the scoreboard has of this process; nothing at first.
#[derive(Debug, Default)]
pub(super) struct Tally {
    carried: Stats,
    lag: Histogram,
    due_ns: u64,
}

impl Tally {
    /// Carries what is new, if it is time.
    pub(super) fn carry(
        &mut self,
        now_ns: u64,
        slot: &WorkerSlot,
        stats: &Stats,
        monitor: &mut Monitor,
    ) {
        if now_ns < self.due_ns {
            return;
        }
        self.due_ns = now_ns.saturating_add(CARRY_NS);
        self.carry_counters(slot, stats);
        self.carry_calls(slot, stats);
        carry_gauges(slot, stats);
        slot.loop_lag.advance(monitor.lag(), &mut self.lag);
        slot.loop_lag_us
            .store(monitor.take_worst_ns() / 1000, Relaxed);
        slot.blocked_ns.store(monitor.longest_ns(), Relaxed);
    }

    fn carry_counters(&mut self, slot: &WorkerSlot, now: &Stats) {
        let was = &mut self.carried;
        let counters = [
            (
                &slot.sessions_total,
                now.sessions_total,
                &mut was.sessions_total,
            ),
            (&slot.delivered, now.delivered, &mut was.delivered),
            (
                &slot.delivered_bytes,
                now.delivered_bytes,
                &mut was.delivered_bytes,
            ),
            (&slot.conflated, now.conflated, &mut was.conflated),
            (&slot.filtered, now.filtered, &mut was.filtered),
            (&slot.published, now.published, &mut was.published),
            (&slot.commands, now.commands, &mut was.commands),
            (
                slot.lost(Lost::DropOldest),
                now.lost_drop_oldest,
                &mut was.lost_drop_oldest,
            ),
            (
                slot.lost(Lost::DropNewest),
                now.lost_drop_newest,
                &mut was.lost_drop_newest,
            ),
            (
                slot.lost(Lost::Expired),
                now.lost_expired,
                &mut was.lost_expired,
            ),
            (
                slot.lost(Lost::Memory),
                now.lost_memory,
                &mut was.lost_memory,
            ),
            (
                slot.lost(Lost::Retention),
                now.lost_retention,
                &mut was.lost_retention,
            ),
            (slot.lost(Lost::Epoch), now.gaps_epoch, &mut was.gaps_epoch),
            (
                slot.rejected(Rejected::RateLimited),
                now.rejected_rate,
                &mut was.rejected_rate,
            ),
            (
                slot.rejected(Rejected::Forbidden),
                now.rejected_forbidden,
                &mut was.rejected_forbidden,
            ),
            (
                slot.rejected(Rejected::BadCommand),
                now.rejected_bad,
                &mut was.rejected_bad,
            ),
            (
                slot.rejected(Rejected::Limit),
                now.rejected_limit,
                &mut was.rejected_limit,
            ),
            (
                slot.closed(Closed::Slow),
                now.closed_slow,
                &mut was.closed_slow,
            ),
            (
                slot.closed(Closed::Heartbeat),
                now.closed_heartbeat,
                &mut was.closed_heartbeat,
            ),
            (
                slot.closed(Closed::Control),
                now.closed_control,
                &mut was.closed_control,
            ),
            (
                slot.closed(Closed::Policy),
                now.closed_policy,
                &mut was.closed_policy,
            ),
            (
                slot.closed(Closed::Protocol),
                now.closed_protocol,
                &mut was.closed_protocol,
            ),
        ];
        for (counter, total, carried) in counters {
            advance(counter, total, carried);
        }
        slot.delivery.advance(&now.delivery, &mut was.delivery);
    }

    fn carry_calls(&mut self, slot: &WorkerSlot, now: &Stats) {
        let was = &mut self.carried;
        slot.call.advance(&now.call, &mut was.call);
        was.calls.resize(now.calls.len(), Outcomes::default());
        let methods = slot.calls.iter().zip(&now.calls).zip(&mut was.calls);
        for ((counters, totals), carried) in methods {
            for ((counter, total), carried) in counters.iter().zip(totals).zip(carried) {
                advance(counter, *total, carried);
            }
        }
    }
}

fn carry_gauges(slot: &WorkerSlot, now: &Stats) {
    slot.subscriptions.store(now.subscriptions, Relaxed);
    slot.behind.store(now.behind, Relaxed);
    slot.ring_bytes.store(now.ring_bytes, Relaxed);
}
