//! The end of a run: the books, what is said of it, and what it leaves.
use super::Running;
use super::groups::Report;
use super::memory::PerConnection;
use super::row::Row;
use super::verdict::{Run, Shown, Standing, Verdict};
use crate::args::Ramp as Asked;
use crate::fleet::message::GroupEnd;
use crate::record::recorder::Ending;
use crate::record::{self, End};
use crate::swarm::Counters;
use crate::threshold::Facts;

impl Running<'_> {
    /// Asks each subscription for its ledger, compares, and goes.
    pub(super) fn close_the_books(mut self, end: End) -> (Verdict, record::Run) {
        let latency_ms = [
            self.whole.quantile_ms(0.5),
            self.whole.quantile_ms(0.99),
            self.whole.max_ms(),
        ];
        let progress = &mut self.progress;
        let books = self
            .fleet
            .close(|what, missing| progress.wait_for(what, missing));
        progress.clear();
        let losses = self.fleet.losses();
        let groups = reports(self.asked, books.groups);
        let table = if self.asked.slow.is_empty() && self.plain() {
            Shown::No
        } else {
            Shown::Yes
        };
        let memory = PerConnection::of(self.memory_before, self.memory, self.row.connected);
        let mut verdict = Verdict::of(&Run {
            counters: &books.counters,
            asked: books.asked,
            losses: &losses,
            processes: self.fleet.len(),
            groups: &groups,
            table,
            latency_ms,
            standing: standing(end, &self.row, &books.counters, &groups),
            memory,
            unmeasured: &self.servers.unmeasured,
            limit: &self.limit,
            clocks: &self.clocks,
            windows: self.windows,
        });
        verdict.hold(
            &self.asked.thresholds,
            &self.facts(&books.counters, &verdict, &groups),
        );
        let record = self.recorder.end(&Ending {
            end,
            counters: &books.counters,
            whole: &self.whole,
            groups: &groups,
            memory,
            verdict: &verdict,
        });
        self.fleet.leave();
        (verdict, record)
    }

    /// What thresholds are about.
    fn facts(&self, counters: &Counters, verdict: &Verdict, groups: &[Report]) -> Facts {
        let whole = &self.whole;
        let late: u64 = groups.iter().map(|group| group.late).sum();
        let seconds = (self.line.begun_ns - self.begun_ns) as f64 / 1e9;
        Facts {
            p50_ms: whole.quantile_ms(0.5),
            p90_ms: whole.quantile_ms(0.9),
            p99_ms: whole.quantile_ms(0.99),
            p999_ms: whole.quantile_ms(0.999),
            max_ms: whole.max_ms(),
            mean_ms: whole.mean_ms(),
            loop_lag_ms: Some(self.loop_lag_ms),
            rate_per_s: (seconds > 0.0).then(|| counters.received as f64 / seconds),
            connects_per_s: counters.connects_per_s(),
            connected: self.row.connected as u64,
            received: counters.received,
            lost: counters.lost.total() + unmade(counters),
            overdue: whole.overdue,
            failed: counters.failed,
            closed: counters.closed_total(),
            errors: counters.errors,
            wrong: counters.offset_errors() + counters.malformed + counters.calls.wrong,
            residual: counters.books.residual,
            unanswered: counters.books.unanswered + late + counters.calls.unanswered,
            skipped: counters.calls.skipped,
            invalid: verdict.reasons().len() as u64,
        }
    }

    /// Whether all subscribe with the server's defaults.
    fn plain(&self) -> bool {
        self.asked
            .subscriptions
            .iter()
            .all(|subscription| subscription.settings.is_empty())
    }
}

/// The healthy, then the slow as they were asked for.
fn reports(asked: &Asked, ends: Vec<GroupEnd>) -> Vec<Report> {
    let slow = asked.slow.iter().map(|slow| slow.name.as_str());
    let names = std::iter::once("healthy").chain(slow);
    let ends = ends
        .into_iter()
        .chain(std::iter::repeat_with(GroupEnd::default));
    names
        .zip(ends)
        .map(|(name, end)| Report {
            name: name.to_owned(),
            account: end.account,
            late: end.late,
            unannounced: end.unannounced,
            staleness: end.staleness,
        })
        .collect()
}

/// Calls that came to nothing.
fn unmade(counters: &Counters) -> u64 {
    let calls = &counters.calls;
    calls.skipped + calls.unanswered + calls.refused_total()
}

/// Connections that should have been up at the end of the last line, and those that were. That a slow one was closed may be what was
/// asked for.
fn standing(end: End, row: &Row, counters: &Counters, groups: &[Report]) -> Standing {
    let due = match end {
        End::Planned => row.clients as u64,
        // Those that were under way are nobody's fault.
        End::Interrupted => row.connected as u64 + counters.failed + counters.closed_total(),
    };
    let slow = groups.get(1..).unwrap_or_default();
    let excused: u64 = slow
        .iter()
        .flat_map(|group| group.account.closed.values())
        .sum();
    let up = row.connected as u64;
    Standing {
        due: due.saturating_sub(excused),
        up,
    }
}
