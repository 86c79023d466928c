//! What a line is measured from, and what both sides cost and were like from its beginning to its end.
use super::Running;
use super::clocks::Moment;
use super::memory::Memory;
use super::row::{Row, Valid};
use super::verdict::{self, Own};
use crate::fleet::Taken;
use crate::{clock, measure};

/// What a line is measured from.
pub(super) struct Line {
    pub(super) begun_ns: u64,
    moment: Moment,
    own_ns: u64,
    pub(super) server: Option<measure::Sample>,
    pub(super) late_ns: u64,
}

impl Line {
    pub(super) fn new(servers: &[u32]) -> Self {
        let begun_ns = clock::mono_ns();
        Self {
            begun_ns,
            moment: Moment {
                mono_us: begun_ns / 1000,
                wall_us: clock::wall_us(),
            },
            own_ns: clock::process_cpu_ns(),
            server: sample(servers),
            late_ns: 0,
        }
    }
}

/// All processes of these trees; `None`: there are none.
pub(super) fn sample(roots: &[u32]) -> Option<measure::Sample> {
    let trees = roots.iter().filter_map(|root| measure::tree(*root).ok());
    let processes: Vec<_> = trees.flat_map(|tree| tree.processes).collect();
    (!processes.is_empty()).then_some(measure::Sample { processes })
}

impl Running<'_> {
    /// What the server cost from the beginning of the line to its end, and what the machine had.
    pub(super) fn costs(&self, row: &mut Row, begun: &Line, received: u64, seconds: f64) {
        if let (Some(before), Some(after)) = (&begun.server, &self.line.server) {
            let ns = after.cpu_ns_since(before);
            row.cpu_time_s = Some(ns as f64 / 1e9);
            row.server_cores = Some(ns as f64 / 1e9 / seconds);
            row.server_us = per_message(ns, received);
            row.server_starved = Some(after.starved_ns_since(before) as f64 / 1e9 / seconds);
        }
        if let Ok((load, total, used)) = measure::machine() {
            (row.load_avg, row.total_memory_m, row.used_memory_m) = (load, mb(total), mb(used));
        }
        row.server_pss_m = self.memory.server.map(mb);
        row.tcp_memory_m = self.memory.tcp.map(mb);
        row.own_pss_m = self.memory.own.map(mb);
    }

    /// What this side cost, all its processes together.
    pub(super) fn own_costs(
        &self,
        row: &mut Row,
        begun: &Line,
        taken: &Taken,
        received: u64,
        seconds: f64,
    ) {
        let own_ns = taken.cpu_ns() + self.line.own_ns - begun.own_ns;
        row.own_cores = own_ns as f64 / 1e9 / seconds;
        row.own_us = per_message(own_ns, received);
        row.own_starved = taken.starved();
    }

    /// What both sides hold now.
    pub(super) fn memory(&self) -> Memory {
        let pids = self.fleet.pids().into_iter().chain([std::process::id()]);
        let own: Vec<u64> = pids
            .filter_map(|pid| Some(measure::process(pid).ok()?.pss_bytes))
            .collect();
        Memory {
            server: self.line.server.as_ref().map(measure::Sample::pss_bytes),
            own: (!own.is_empty()).then(|| own.iter().sum()),
            tcp: measure::tcp_memory_bytes().ok(),
        }
    }

    /// Each process is judged by itself: the worst of them is what counts.
    pub(super) fn judge(&mut self, row: &mut Row, taken: &Taken) {
        let own = taken.own.iter().map(|own| Own {
            lag_ms: own.lag.quantile_ms(0.99),
            busy: own.busy,
            starved: own.starved,
        });
        let own: Vec<Own> = own.collect();
        row.loop_lag_ms = own.iter().map(|own| own.lag_ms).fold(0.0, f64::max);
        let mut limits = own
            .iter()
            .filter_map(|own| verdict::limit(*own, self.asked.lag_max));
        if let Some(why) = limits.next() {
            self.limit.see(row.clients, why);
            row.valid = Valid::No;
        }
        self.windows += 1;
    }

    /// A latency is a difference of two times: both clocks have to go evenly.
    pub(super) fn judge_clocks(&mut self, row: &mut Row, begun: &Line, early: u64) {
        let back = self.line.moment.set_back_us(begun.moment);
        let why = match (back, early) {
            (Some(us), _) => format!(
                "the wall clock was set back by {:.1} ms",
                us as f64 / 1000.0
            ),
            (None, 0) => return,
            (None, early) => format!(
                "{early} messages were stamped later than they came: server and generator do not have the same time"
            ),
        };
        self.clocks.see(row.clients, why);
        row.valid = Valid::No;
    }
}

fn per_message(ns: u64, received: u64) -> Option<f64> {
    (received > 0).then(|| ns as f64 / 1000.0 / received as f64)
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
