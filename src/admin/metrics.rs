//! `/metrics`: the scoreboard as Prometheus reads it.
//!
//! Owns which metrics are served with which labels. Must not contain: their names (`telemetry::names`), or the format
//! (`exposition`). Driven by `routes`, per request; holds nothing between two.
//!
//! Laws: labels are a worker's slot, a role, or a reason from a fixed list: nothing that a client chose; counters of a worker that
//! is no longer wanted are still served, so that sums never fall.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::exposition::{Page, seconds};
use crate::config::{Config, Log, LogSync};
use crate::telemetry::names::{self, Metric};
use crate::telemetry::process::Process;
use crate::telemetry::scoreboard::{Closed, Lost, Method, Rejected, Scoreboard, State, WorkerSlot};
use pubsub_stream::Now;
use pubsub_wire::ErrorCode;
use std::iter;

/// The page.
pub fn page(now: Now, board: &Scoreboard, config: &Config) -> String {
    let mut page = Page::default();
    let labels = [
        ("node", config.node.as_str()),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    page.family(names::NODE_INFO).sample(&labels, 1);
    page.family(names::DRAINING)
        .sample(&[], load32(&board.node().draining));
    let workers = Workers::of(board);
    workers.write(&mut page);
    hub(&mut page, board);
    log(&mut page, now, board, config);
    loops(&mut page, board, &workers);
    processes(&mut page, board, &workers);
    page.text()
}

/// The worker slots that ever had a process, each with its number as a label.
struct Workers<'a> {
    slots: Vec<(String, &'a WorkerSlot)>,
}

impl<'a> Workers<'a> {
    fn of(board: &'a Scoreboard) -> Self {
        Self {
            slots: (0..board.workers_ever())
                .map(|slot| (slot.to_string(), board.worker(slot)))
                .collect(),
        }
    }

    /// Slots that have or will have a process.
    fn in_use(&self) -> impl Iterator<Item = &(String, &'a WorkerSlot)> {
        self.slots
            .iter()
            .filter(|(_, worker)| worker.state() != State::Empty)
    }

    fn write(&self, page: &mut Page) {
        self.gauges(page, names::CONNECTIONS, |worker| &worker.connections);
        self.counters(page, names::CONNECTIONS_TOTAL, |worker| {
            &worker.accepted_total
        });
        self.counters(page, names::SESSIONS_TOTAL, |worker| &worker.sessions_total);
        self.gauges(page, names::SUBSCRIPTIONS, |worker| &worker.subscriptions);
        self.gauges(page, names::BEHIND, |worker| &worker.behind);
        self.counters(page, names::COMMANDS_TOTAL, |worker| &worker.commands);
        self.counters(page, names::DELIVERED_TOTAL, |worker| &worker.delivered);
        self.counters(page, names::DELIVERED_BYTES_TOTAL, |worker| {
            &worker.delivered_bytes
        });
        self.counters(page, names::FILTERED_TOTAL, |worker| &worker.filtered);
        self.counters(page, names::CONFLATED_TOTAL, |worker| &worker.conflated);
        self.gauges(page, names::SPILLED_MESSAGES, |worker| &worker.spilled);
        self.gauges(page, names::RING_BYTES, |worker| &worker.ring_bytes);
        self.counters(page, names::ACCEPT_PAUSES_TOTAL, |worker| {
            &worker.accept_pauses
        });
        self.counters(page, names::HUB_LINKS_LOST_TOTAL, |worker| &worker.hub_lost);
        self.counters(page, names::WORKER_RESTARTS_TOTAL, |worker| {
            &worker.restarts
        });
        self.reasons(page, names::LOST_TOTAL, Lost::ALL, |worker, why| {
            (why.label(), worker.lost(why))
        });
        self.reasons(page, names::REJECTED_TOTAL, Rejected::ALL, |worker, why| {
            (why.label(), worker.rejected(why))
        });
        self.reasons(page, names::CLOSED_TOTAL, Closed::ALL, |worker, why| {
            (why.label(), worker.closed(why))
        });
        self.calls(page);
        let mut up = page.family(names::WORKER_UP);
        for (slot, worker) in self.in_use() {
            up.sample(&[("worker", slot)], u8::from(worker.state() == State::Up));
        }
        let mut delivery = page.family(names::DELIVERY_SECONDS);
        for (slot, worker) in &self.slots {
            delivery.histogram(&[("worker", slot)], &worker.delivery.read());
        }
        let mut call = page.family(names::CALL_SECONDS);
        for (slot, worker) in &self.slots {
            call.histogram(&[("worker", slot)], &worker.call.read());
        }
    }

    /// Only what has happened: there are as many ways to end as methods times errors.
    fn calls(&self, page: &mut Page) {
        let mut family = page.family(names::CALLS_TOTAL);
        let codes = || iter::once("ok").chain(ErrorCode::ALL.iter().map(|code| code.as_str()));
        for (slot, worker) in &self.slots {
            for (method, outcomes) in Method::ALL.iter().zip(&worker.calls) {
                for (code, count) in codes().zip(outcomes).filter(|(_, n)| load(n) > 0) {
                    let labels = [
                        ("worker", slot.as_str()),
                        ("method", method.label()),
                        ("code", code),
                    ];
                    family.sample(&labels, load(count));
                }
            }
        }
    }

    fn gauges(&self, page: &mut Page, metric: Metric, number: impl Fn(&WorkerSlot) -> &AtomicU64) {
        let mut family = page.family(metric);
        for (slot, worker) in self.in_use() {
            family.sample(&[("worker", slot)], load(number(worker)));
        }
    }

    fn counters(
        &self,
        page: &mut Page,
        metric: Metric,
        number: impl Fn(&WorkerSlot) -> &AtomicU64,
    ) {
        let mut family = page.family(metric);
        for (slot, worker) in &self.slots {
            family.sample(&[("worker", slot)], load(number(worker)));
        }
    }

    fn reasons<R: Copy>(
        &self,
        page: &mut Page,
        metric: Metric,
        all: &[R],
        number: impl Fn(&WorkerSlot, R) -> (&'static str, &AtomicU64),
    ) {
        let mut family = page.family(metric);
        for (slot, worker) in &self.slots {
            for why in all {
                let (reason, count) = number(worker, *why);
                family.sample(&[("worker", slot), ("reason", reason)], load(count));
            }
        }
    }
}

fn hub(page: &mut Page, board: &Scoreboard) {
    let hub = board.hub();
    page.family(names::HUB_UP)
        .sample(&[], u8::from(hub.state() == State::Up));
    for (metric, number) in [
        (names::HUB_RESTARTS_TOTAL, &hub.restarts),
        (names::HUB_WORKERS, &hub.workers),
        (names::HUB_READS_TOTAL, &hub.reads),
        (names::HUB_READS_WAITING, &hub.reads_waiting),
        (names::HUB_WORKERS_BEHIND, &hub.workers_behind),
        (names::HUB_BEHIND_ENTRIES, &hub.behind_entries),
        (names::HUB_RESTORING, &hub.restoring),
        (names::PUBLISHED_TOTAL, &hub.published),
        (names::PUBLISHED_BYTES_TOTAL, &hub.published_bytes),
        (names::PUBLISH_REFUSED_TOTAL, &hub.refused),
        (names::LOG_BYTES, &hub.log_bytes),
        (names::LOG_ENTRIES, &hub.log_entries),
        (names::LOG_EVICTED_TOTAL, &hub.evicted),
        (names::LOG_LOST_TOTAL, &hub.lost_entries),
        (names::TOPICS, &hub.topics),
        (names::KEYS, &hub.keys),
    ] {
        page.family(metric).sample(&[], load(number));
    }
}

/// The hub's log; one in memory is at zero, and what is not known is left out.
fn log(page: &mut Page, now: Now, board: &Scoreboard, config: &Config) {
    let log = &board.hub().log;
    for (metric, number) in [
        (names::LOG_SEGMENTS, &log.segments),
        (names::LOG_REMOVED_SEGMENTS_TOTAL, &log.removed_segments),
        (names::LOG_REMOVED_BYTES_TOTAL, &log.removed_bytes),
        (names::LOG_WRITTEN_BYTES_TOTAL, &log.written_bytes),
        (names::LOG_FAILURES_TOTAL, &log.failures),
        (names::LOG_REFUSED_TOTAL, &log.refused),
        (names::LOG_SPACE_SHORT, &log.is_short),
        (names::LOG_MENDED_INDEXES_TOTAL, &log.mended_indexes),
        (names::LOG_CHECKPOINTS_TOTAL, &log.checkpoints),
        (
            names::LOG_CHECKPOINT_FAILURES_TOTAL,
            &log.failed_checkpoints,
        ),
        (names::LOG_CHECKPOINT_BYTES, &log.checkpoint_bytes),
        (names::LOG_CHECKPOINT_BEHIND_ENTRIES, &log.behind_checkpoint),
        (names::LOG_READ_BYTES_TOTAL, &log.read_bytes),
        (names::LOG_READ_ENTRIES_TOTAL, &log.read_entries),
    ] {
        page.family(metric).sample(&[], load(number));
    }
    for (metric, times) in [
        (names::LOG_WRITE_SECONDS, &log.write),
        (names::LOG_SYNC_SECONDS, &log.sync),
        (names::LOG_SEAL_SECONDS, &log.seal),
        (names::LOG_READ_SECONDS, &log.read),
    ] {
        page.family(metric).histogram(&[], &times.read());
    }
    let mut holes = page.family(names::LOG_HOLES);
    holes.sample(&[("kind", "damaged")], load(&log.damaged));
    holes.sample(&[("kind", "skipped")], load(&log.skipped));
    let mut free = page.family(names::LOG_DISK_FREE_BYTES);
    if let Some(bytes) = log.free_bytes() {
        free.sample(&[], bytes);
    }
    let syncs = matches!(config.log, Log::Disk { .. }) && config.log_sync != LogSync::None;
    let mut entries = page.family(names::LOG_UNSYNCED_ENTRIES);
    if syncs {
        entries.sample(&[], load(&log.unsynced));
    }
    let mut time = page.family(names::LOG_UNSYNCED_SECONDS);
    if syncs {
        time.sample(&[], seconds(log.unsynced_ns(now.mono_ns)));
    }
}

/// The event loops of workers and hub.
fn loops(page: &mut Page, board: &Scoreboard, workers: &Workers<'_>) {
    let mut lag = page.family(names::LOOP_LAG_SECONDS);
    lag.histogram(
        &[("role", "hub"), ("slot", "0")],
        &board.hub().loop_lag.read(),
    );
    for (slot, worker) in &workers.slots {
        lag.histogram(
            &[("role", "worker"), ("slot", slot)],
            &worker.loop_lag.read(),
        );
    }
    let mut blocked = page.family(names::LOOP_BLOCKED_MAX_SECONDS);
    blocked.sample(
        &[("role", "hub"), ("slot", "0")],
        seconds(load(&board.hub().blocked_ns)),
    );
    for (slot, worker) in workers.in_use() {
        blocked.sample(
            &[("role", "worker"), ("slot", slot)],
            seconds(load(&worker.blocked_ns)),
        );
    }
}

/// What the kernel says of every process of the node.
fn processes(page: &mut Page, board: &Scoreboard, workers: &Workers<'_>) {
    let single = [
        ("supervisor", load32(&board.node().supervisor_pid)),
        ("hub", load32(&board.hub().pid)),
        ("admin", load32(&board.admin().pid)),
    ];
    let all = single.into_iter().map(|(role, pid)| (role, "0", pid));
    let all = all.chain(
        workers
            .in_use()
            .map(|(slot, worker)| ("worker", slot.as_str(), load32(&worker.pid))),
    );
    let living: Vec<_> = all
        .filter_map(|(role, slot, pid)| {
            Some(([("role", role), ("slot", slot)], Process::read(pid)?))
        })
        .collect();
    let mut family = |metric: Metric, value: &dyn Fn(&Process) -> Option<f64>| {
        let mut family = page.family(metric);
        for (labels, process) in &living {
            if let Some(value) = value(process) {
                family.sample(labels, value);
            }
        }
    };
    family(names::CPU_SECONDS_TOTAL, &|process| {
        Some(process.cpu_seconds)
    });
    family(names::RESIDENT_BYTES, &|process| {
        Some(process.resident_bytes as f64)
    });
    family(names::VIRTUAL_BYTES, &|process| {
        Some(process.virtual_bytes as f64)
    });
    family(names::OPEN_FDS, &|process| {
        process.open_files.map(|open| open as f64)
    });
    family(names::MAX_FDS, &|process| {
        process.max_files.map(|max| max as f64)
    });
    family(names::THREADS, &|process| Some(process.threads as f64));
    family(names::START_SECONDS, &|process| Some(process.start_seconds));
}

fn load(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

fn load32(number: &AtomicU32) -> u32 {
    number.load(Ordering::Relaxed)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
