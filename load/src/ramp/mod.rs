//! `pubsub-load ramp`: connections step by step, a line for each step, and the books at the end.
//!
//! Owns the run: it asks the scenario what is due, tells the fleet, and reads the clocks and `/proc` at the end of each line.
//! What a line looks like is [`row`]'s, what each group got [`groups`]', what a run is worth [`verdict`]'s.
mod begin;
pub mod groups;
mod progress;
pub mod row;
mod start;
pub mod verdict;

use crate::args::{Ramp as Asked, ServerPid};
use crate::failure::Failure;
use crate::fleet::message::GroupEnd;
use crate::fleet::{Fleet, Taken};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::record::recorder::{Ending, Recorder};
use crate::record::{self, Beside, End};
use crate::scenario::{Due, Ramp};
use crate::swarm::{Counters, Losses, Tally};
use crate::{clock, measure};
use groups::Report;
use progress::Progress;
use row::Row;
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;
use verdict::{Own, Run, Shown, Verdict};

/// The longest time between two looks at Ctrl-C and at the clock.
const SLICE: Duration = Duration::from_millis(100);

/// A message older than this that has not arrived counts as never arriving in its line's percentiles.
const OVERDUE: Duration = Duration::from_secs(5);

/// Runs a ramp to its end; the exit code.
pub fn run(asked: &Asked, interrupt: &mut Interrupt) -> Result<u8, Failure> {
    let output = Output::open(&asked.told)?;
    let mut ramp = Running::new(asked)?;
    let end = ramp.climb(interrupt)?;
    let (verdict, record) = ramp.close_the_books(end);
    // The report may be standard output itself; what people read goes beside it then.
    let told = match asked.csv {
        Some(_) => write!(io::stdout(), "{verdict}"),
        None => write!(io::stderr(), "{verdict}"),
    };
    told.map_err(unwritable)?;
    output.write(&record)?;
    Ok(verdict.code)
}

struct Running<'a> {
    asked: &'a Asked,
    fleet: Fleet,
    csv: Box<dyn Write>,
    server: Option<u32>,
    progress: Progress,
    recorder: Recorder,
    begun_ns: u64,
    line: Line,
    whole: Tally,
    failed_before: u64,
    closed_before: u64,
    wrong_before: u64,
    lost_before: Losses,
    invalid: usize,
    windows: usize,
    limit: Option<(usize, String)>,
}

/// What a line is measured from.
struct Line {
    begun_ns: u64,
    own_ns: u64,
    server: Option<measure::Sample>,
    late_ns: u64,
}

impl Line {
    fn new(server: Option<u32>) -> Self {
        Self {
            begun_ns: clock::mono_ns(),
            own_ns: clock::process_cpu_ns(),
            server: server.and_then(sample),
            late_ns: 0,
        }
    }
}

fn sample(server: u32) -> Option<measure::Sample> {
    measure::tree(server)
        .ok()
        .filter(|sample| !sample.processes.is_empty())
}

impl<'a> Running<'a> {
    fn new(asked: &'a Asked) -> Result<Self, Failure> {
        let server = match asked.server {
            ServerPid::Auto => measure::listener(asked.targets[0].addr),
            ServerPid::Pid(pid) if sample(pid).is_none() => {
                return Err(Failure::unavailable(format!(
                    "--server-pid {pid}: no such process, or not ours to look at"
                )));
            }
            ServerPid::Pid(pid) => Some(pid),
            ServerPid::None => None,
        };
        let mut csv = report(asked)?;
        writeln!(csv, "{}", row::header()).map_err(unwritable)?;
        Ok(Self {
            asked,
            fleet: start::fleet(asked)?,
            csv,
            server,
            progress: Progress::new(asked.plan.duration()),
            recorder: Recorder::new(begin::beginning(asked, server)),
            begun_ns: clock::mono_ns(),
            line: Line::new(server),
            whole: Tally::new(asked.outliers),
            failed_before: 0,
            closed_before: 0,
            wrong_before: 0,
            lost_before: Losses::default(),
            invalid: 0,
            windows: 0,
            limit: None,
        })
    }

    /// All steps and the hold, or until Ctrl-C.
    fn climb(&mut self, interrupt: &mut Interrupt) -> Result<End, Failure> {
        let mut ramp = Ramp::new(self.asked.plan, clock::mono_ns());
        let mut clients = 0;
        while let Some(at) = ramp.poll_timeout() {
            let wait = Duration::from_nanos(at.saturating_sub(clock::mono_ns())).min(SLICE);
            self.fleet.work(wait);
            let counters = self.fleet.counters();
            self.nothing_works(&counters)?;
            self.progress.show(&counters, clients);
            if interrupt.came() {
                self.progress.clear();
                eprintln!(
                    "interrupted: the ramp ends here, the books follow (once more to leave at once)"
                );
                return self.write(clients).map(|()| End::Interrupted);
            }
            while let Some((due, at_ns)) = ramp.poll(clock::mono_ns()) {
                self.line.late_ns = self
                    .line
                    .late_ns
                    .max(clock::mono_ns().saturating_sub(at_ns));
                match due {
                    Due::Connect {
                        more,
                        clients: then,
                    } => {
                        self.fleet.connect(more);
                        clients = then;
                    }
                    Due::Report { clients } => self.write(clients)?,
                    Due::End => {}
                }
            }
        }
        self.progress.clear();
        Ok(End::Planned)
    }

    /// When not one connection has come about, or not one subscription, or nobody is left, there is nothing to measure.
    fn nothing_works(&self, counters: &Counters) -> Result<(), Failure> {
        if self.fleet.pids().is_empty() {
            let why = self.fleet.losses().pop().map(|loss| loss.why);
            return Err(Failure::fault(format!(
                "no process of the swarm is left; the last one {}",
                why.unwrap_or_default()
            )));
        }
        match (&counters.first_failure, &counters.first_error) {
            (Some(why), _) if counters.upgraded == 0 => Err(Failure::unavailable(why)),
            (_, Some(why)) if counters.subscribed == 0 => Err(Failure::unavailable(format!(
                "the server refuses the subscription to {:?}: {why}",
                self.asked.subscriptions[0].topic
            ))),
            _ => Ok(()),
        }
    }

    fn write(&mut self, clients: usize) -> Result<(), Failure> {
        let row = self.row(clients)?;
        writeln!(self.csv, "{}", row.line())
            .and_then(|()| self.csv.flush())
            .map_err(unwritable)
    }

    /// Ends a line here and begins the next.
    fn row(&mut self, clients: usize) -> Result<Row, Failure> {
        let taken = self.fleet.take(OVERDUE);
        self.nothing_works(&taken.counters)?;
        let begun = std::mem::replace(&mut self.line, Line::new(self.server));
        let seconds = (self.line.begun_ns - begun.begun_ns) as f64 / 1e9;
        let (tally, slow) = (taken.healthy(), taken.slow());
        self.whole.add(&tally);
        let mut row = self.counts(clients, &tally, &taken);
        let received = tally.received + slow.received;
        row.delivered_per_s = received as f64 / seconds;
        self.costs(&mut row, &begun, received, seconds);
        self.own_costs(&mut row, &begun, &taken, received, seconds);
        (row.slow_count, row.slow_lost) = (slow.received, slow.lost);
        row.late_ms = begun.late_ns as f64 / 1e6;
        self.judge(&mut row, &taken);
        let beside = self.beside(&begun, &taken, seconds);
        self.recorder.line(&row, beside);
        Ok(row)
    }

    /// What a line's record has that its row has not.
    fn beside(&mut self, begun: &Line, taken: &Taken, seconds: f64) -> Beside {
        let lost = taken.counters.lost;
        let lost_before = std::mem::replace(&mut self.lost_before, lost);
        let roles = match (&begun.server, &self.line.server) {
            (Some(before), Some(now)) => record::roles(before, now, seconds),
            _ => Vec::new(),
        };
        Beside {
            at_s: (self.line.begun_ns - self.begun_ns) as f64 / 1e9,
            seconds,
            lost: lost.since(&lost_before),
            roles,
        }
    }

    fn counts(&mut self, clients: usize, tally: &Tally, taken: &Taken) -> Row {
        let counters = &taken.counters;
        let (failed, closed) = (counters.failed, counters.closed_total());
        let wrong = counters.offset_errors() + counters.malformed;
        let connected = taken.standing.iter().sum();
        let slow_connected = taken.standing.iter().skip(1).sum();
        let row = Row {
            clients,
            connected,
            slow_connected,
            count: tally.received,
            average_ms: tally.mean_ms(),
            average_high_ms: tally.mean_high_ms(),
            average_low_ms: tally.mean_low_ms(),
            average_bytes: tally.mean_bytes(),
            received: self.whole.received,
            p50_ms: tally.quantile_ms(0.5),
            p90_ms: tally.quantile_ms(0.9),
            p99_ms: tally.quantile_ms(0.99),
            p999_ms: tally.quantile_ms(0.999),
            max_ms: tally.max_ms(),
            expected: tally.expected(),
            lost: tally.lost,
            overdue: tally.overdue,
            failed: failed - self.failed_before,
            closed: closed - self.closed_before,
            offset_errors: wrong - self.wrong_before,
            ..Row::default()
        };
        (self.failed_before, self.closed_before, self.wrong_before) = (failed, closed, wrong);
        row
    }

    /// What the server cost from the beginning of the line to its end, and what the machine had.
    fn costs(&self, row: &mut Row, begun: &Line, received: u64, seconds: f64) {
        if let (Some(before), Some(after)) = (&begun.server, &self.line.server) {
            let ns = after.cpu_ns_since(before);
            row.cpu_time_s = Some(ns as f64 / 1e9);
            row.server_cores = Some(ns as f64 / 1e9 / seconds);
            row.server_us = per_message(ns, received);
            row.server_starved = Some(after.starved_ns_since(before) as f64 / 1e9 / seconds);
            row.server_pss_m = Some(mb(after.pss_bytes()));
        }
        if let Ok((load, total, used)) = measure::machine() {
            (row.load_avg, row.total_memory_m, row.used_memory_m) = (load, mb(total), mb(used));
        }
        row.tcp_memory_m = measure::tcp_memory_bytes().ok().map(mb);
    }

    /// What this side cost, all its processes together.
    fn own_costs(&self, row: &mut Row, begun: &Line, taken: &Taken, received: u64, seconds: f64) {
        let own_ns = taken.cpu_ns() + self.line.own_ns - begun.own_ns;
        row.own_cores = own_ns as f64 / 1e9 / seconds;
        row.own_us = per_message(own_ns, received);
        row.own_starved = taken.starved();
        let pids = self.fleet.pids().into_iter().chain([std::process::id()]);
        let pss: Vec<u64> = pids
            .filter_map(|pid| Some(measure::process(pid).ok()?.pss_bytes))
            .collect();
        row.own_pss_m = (!pss.is_empty()).then(|| mb(pss.iter().sum()));
    }

    /// Each process is judged by itself: the worst of them is what counts.
    fn judge(&mut self, row: &mut Row, taken: &Taken) {
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
        let limit = limits.next();
        row.valid = verdict::valid(limit.as_ref());
        self.windows += 1;
        if let Some(why) = limit {
            self.invalid += 1;
            self.limit.get_or_insert((row.clients, why));
        }
    }

    /// Asks each subscription for its ledger, compares, and goes.
    fn close_the_books(mut self, end: End) -> (Verdict, record::Run) {
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
        let verdict = Verdict::of(&Run {
            counters: &books.counters,
            asked: books.asked,
            losses: &losses,
            processes: self.fleet.len(),
            groups: &groups,
            table,
            latency_ms,
            limit: self.limit.as_ref(),
            invalid: self.invalid,
            windows: self.windows,
        });
        let record = self.recorder.end(&Ending {
            end,
            counters: &books.counters,
            whole: &self.whole,
            groups: &groups,
            verdict: &verdict,
        });
        self.fleet.leave();
        (verdict, record)
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

fn per_message(ns: u64, received: u64) -> Option<f64> {
    (received > 0).then(|| ns as f64 / 1000.0 / received as f64)
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn report(asked: &Asked) -> Result<Box<dyn Write>, Failure> {
    match &asked.csv {
        Some(path) => match File::create(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(Failure::unavailable(format!(
                "--csv {}: {error}",
                path.display()
            ))),
        },
        None => Ok(Box::new(io::stdout())),
    }
}

#[allow(clippy::needless_pass_by_value)] // what `map_err` hands over
fn unwritable(error: io::Error) -> Failure {
    Failure::unavailable(format!("the report cannot be written: {error}"))
}
