//! `pubsub-load ramp`: connections step by step, a line for each step, and the books at the end.
//!
//! Owns the run: it asks the scenario what is due, tells the swarm, and reads the clocks and `/proc` at the end of each line.
//! What a line looks like is [`row`]'s, what a run is worth [`verdict`]'s.
mod progress;
pub mod row;
pub mod verdict;

use crate::args::{Ramp as Asked, ServerPid};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::scenario::{Due, Ramp};
use crate::swarm::lag::LoopLag;
use crate::swarm::{Group, Options, Swarm, SwarmError, Tally, TopicId, files, socket};
use crate::{clock, measure};
use progress::Progress;
use row::Row;
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;
use verdict::{Own, Run, Verdict};

/// The longest time between two looks at Ctrl-C and at the clock.
const SLICE: Duration = Duration::from_millis(100);

/// A message older than this that has not arrived counts as never arriving in its line's percentiles.
const OVERDUE: Duration = Duration::from_secs(5);

/// Ledgers asked for per second: a thousandth of what a worker delivers.
const LEDGERS_PER_S: f64 = 5000.0;

/// Closes begun per second.
const CLOSES_PER_S: f64 = 10_000.0;

/// Time for the last connections to come about, for all ledgers to be answered beyond the time that asking takes, and for all
/// connections to close.
const ANSWERS: Duration = Duration::from_secs(30);

/// Runs a ramp to its end; the exit code.
pub fn run(asked: &Asked, interrupt: &mut Interrupt) -> Result<u8, Failure> {
    files::reserve(asked.plan.max).map_err(Failure::unavailable)?;
    let mut ramp = Running::new(asked)?;
    ramp.climb(interrupt)?;
    let verdict = ramp.close_the_books()?;
    // The report may be standard output itself; what people read goes beside it then.
    let told = match asked.csv {
        Some(_) => write!(io::stdout(), "{verdict}"),
        None => write!(io::stderr(), "{verdict}"),
    };
    told.map_err(unwritable)?;
    Ok(verdict.code)
}

struct Running<'a> {
    asked: &'a Asked,
    swarm: Swarm,
    topic: TopicId,
    csv: Box<dyn Write>,
    server: Option<u32>,
    progress: Progress,
    line: Line,
    whole: Tally,
    failed_before: u64,
    closed_before: u64,
    wrong_before: u64,
    invalid: usize,
    windows: usize,
    limit: Option<(usize, String)>,
}

/// What a line is measured from.
struct Line {
    begun_ns: u64,
    own_ns: u64,
    own_starved_ns: u64,
    server: Option<measure::Sample>,
    late_ns: u64,
}

impl Line {
    fn new(server: Option<u32>) -> Self {
        Self {
            begun_ns: clock::mono_ns(),
            own_ns: clock::thread_cpu_ns(),
            own_starved_ns: measure::own_thread_starved_ns().unwrap_or(0),
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
        let sources = asked
            .sources
            .unwrap_or_else(|| asked.plan.max.div_ceil(socket::PER_SOURCE));
        let options = Options {
            sources,
            connects_per_s: asked.connects_per_s,
            outliers: asked.outliers,
            ..Options::new(asked.target.clone())
        };
        let mut swarm = Swarm::new(options).map_err(Failure::fault)?;
        let topic = swarm.topic(&asked.subscription);
        let server = match asked.server {
            ServerPid::Auto => measure::listener(asked.target.addr),
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
            swarm,
            topic,
            csv,
            server,
            progress: Progress::new(asked.plan.duration()),
            line: Line::new(server),
            whole: Tally::new(asked.outliers),
            failed_before: 0,
            closed_before: 0,
            wrong_before: 0,
            invalid: 0,
            windows: 0,
            limit: None,
        })
    }

    /// All steps and the hold, or until Ctrl-C.
    fn climb(&mut self, interrupt: &mut Interrupt) -> Result<(), Failure> {
        let mut ramp = Ramp::new(self.asked.plan, clock::mono_ns());
        let mut clients = 0;
        while let Some(at) = ramp.poll_timeout() {
            let wait = Duration::from_nanos(at.saturating_sub(clock::mono_ns())).min(SLICE);
            self.swarm.run_for(wait).map_err(fault)?;
            self.nothing_works()?;
            self.progress.show(&self.swarm, clients);
            if interrupt.came() {
                self.progress.clear();
                eprintln!(
                    "interrupted: the ramp ends here, the books follow (once more to leave at once)"
                );
                return self.write(clients);
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
                        self.swarm.connect(more, self.topic, Group::MAIN);
                        clients = then;
                    }
                    Due::Report { clients } => self.write(clients)?,
                    Due::End => {}
                }
            }
        }
        self.progress.clear();
        Ok(())
    }

    /// When not one connection has come about, or not one subscription, there is nothing to measure.
    fn nothing_works(&self) -> Result<(), Failure> {
        let counters = self.swarm.counters();
        match (&counters.first_failure, &counters.first_error) {
            (Some(why), _) if counters.upgraded == 0 => Err(Failure::unavailable(why)),
            (_, Some(why)) if counters.subscribed == 0 => Err(Failure::unavailable(format!(
                "the server refuses the subscription to {:?}: {why}",
                self.asked.subscription.topic
            ))),
            _ => Ok(()),
        }
    }

    fn write(&mut self, clients: usize) -> Result<(), Failure> {
        let row = self.row(clients);
        writeln!(self.csv, "{}", row.line())
            .and_then(|()| self.csv.flush())
            .map_err(unwritable)
    }

    /// Ends a line here and begins the next.
    fn row(&mut self, clients: usize) -> Row {
        let tally = self.swarm.take_window(Group::MAIN, OVERDUE);
        let lag = self.swarm.take_lag();
        let begun = std::mem::replace(&mut self.line, Line::new(self.server));
        let seconds = (self.line.begun_ns - begun.begun_ns) as f64 / 1e9;
        self.whole.add(&tally);
        let mut row = self.counts(clients, &tally, seconds);
        self.costs(&mut row, &begun, &tally, seconds);
        row.late_ms = begun.late_ns as f64 / 1e6;
        self.judge(&mut row, &lag);
        row
    }

    fn counts(&mut self, clients: usize, tally: &Tally, seconds: f64) -> Row {
        let counters = self.swarm.counters();
        let (failed, closed) = (counters.failed, counters.closed_total());
        let wrong = counters.offset_errors() + counters.malformed;
        let row = Row {
            clients,
            connected: self.swarm.standing().subscribed,
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
            delivered_per_s: tally.received as f64 / seconds,
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

    /// What both sides cost from the beginning of the line to its end.
    fn costs(&self, row: &mut Row, begun: &Line, tally: &Tally, seconds: f64) {
        let per_message =
            |ns: u64| (tally.received > 0).then(|| ns as f64 / 1000.0 / tally.received as f64);
        if let (Some(before), Some(after)) = (&begun.server, &self.line.server) {
            let ns = after.cpu_ns_since(before);
            row.cpu_time_s = Some(ns as f64 / 1e9);
            row.server_cores = Some(ns as f64 / 1e9 / seconds);
            row.server_us = per_message(ns);
            row.server_starved = Some(after.starved_ns_since(before) as f64 / 1e9 / seconds);
            row.server_pss_m = Some(mb(after.pss_bytes()));
        }
        if let Ok((load, total, used)) = measure::machine() {
            (row.load_avg, row.total_memory_m, row.used_memory_m) = (load, mb(total), mb(used));
        }
        row.tcp_memory_m = measure::tcp_memory_bytes().ok().map(mb);
        row.own_pss_m = measure::process(std::process::id())
            .ok()
            .map(|own| mb(own.pss_bytes));
        let own_ns = self.line.own_ns - begun.own_ns;
        row.own_cores = own_ns as f64 / 1e9 / seconds;
        row.own_us = per_message(own_ns);
        row.own_starved = (self.line.own_starved_ns - begun.own_starved_ns) as f64 / 1e9 / seconds;
    }

    fn judge(&mut self, row: &mut Row, lag: &LoopLag) {
        row.loop_lag_ms = lag.quantile_ms(0.99);
        let own = Own {
            lag_ms: row.loop_lag_ms,
            busy: row.own_cores,
            starved: row.own_starved,
        };
        let limit = verdict::limit(own, self.asked.lag_max);
        row.valid = verdict::valid(limit.as_ref());
        self.windows += 1;
        if let Some(why) = limit {
            self.invalid += 1;
            self.limit.get_or_insert((row.clients, why));
        }
    }

    /// Asks each subscription for its ledger, compares, and goes.
    fn close_the_books(mut self) -> Result<Verdict, Failure> {
        // What is measured ends here: from now on the generator loads the server with questions.
        let latency_ms = [
            self.whole.quantile_ms(0.5),
            self.whole.quantile_ms(0.99),
            self.whole.max_ms(),
        ];
        let Self {
            swarm, progress, ..
        } = &mut self;
        let settled = |swarm: &Swarm| {
            let unsettled = swarm.unsettled();
            progress.wait_for("connections", unsettled);
            unsettled == 0
        };
        swarm.run_until(ANSWERS, settled).map_err(fault)?;
        let asked = swarm.standing().subscribed as u64;
        swarm.ask_ledgers(LEDGERS_PER_S);
        let limit = ANSWERS + Duration::from_secs_f64(asked as f64 / LEDGERS_PER_S);
        let answered = |swarm: &Swarm| {
            let unanswered = swarm.unanswered();
            progress.wait_for("ledgers", unanswered);
            unanswered == 0
        };
        swarm.run_until(limit, answered).map_err(fault)?;
        progress.clear();
        let late = self.swarm.unanswered() as u64;
        let verdict = Verdict::of(&Run {
            counters: self.swarm.counters(),
            asked,
            late,
            latency_ms,
            limit: self.limit.as_ref(),
            invalid: self.invalid,
            windows: self.windows,
        });
        self.swarm.leave(CLOSES_PER_S);
        self.swarm
            .run_until(ANSWERS, Swarm::is_empty)
            .map_err(fault)?;
        Ok(verdict)
    }
}

fn fault(error: SwarmError) -> Failure {
    Failure::fault(error)
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
