//! `pubsub-load ramp`: connections step by step, a line for each step, and the books at the end.
//!
//! Owns the run: it asks the scenario what is due, tells the swarm, and reads the clocks and `/proc` at the end of each line.
//! What a line looks like is [`row`]'s, what each group got [`groups`]', what a run is worth [`verdict`]'s.
mod begin;
mod close;
pub mod groups;
mod progress;
pub mod row;
pub mod verdict;

use crate::args::{Ramp as Asked, ServerPid};
use crate::deal::Deal;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::record::recorder::{Ending, Recorder};
use crate::record::{self, Beside, End};
use crate::scenario::{Due, Ramp};
use crate::swarm::lag::LoopLag;
use crate::swarm::{Group, Losses, Options, Swarm, SwarmError, Tally, TopicId, files, socket};
use crate::{clock, measure};
use close::{Closing, Named};
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

/// Receive buffer of those that read slowly, bytes; the kernel doubles it. About the least that TCP works with.
const SLOW_RECEIVE_BYTES: usize = 4096;

/// Runs a ramp to its end; the exit code.
pub fn run(asked: &Asked, interrupt: &mut Interrupt) -> Result<u8, Failure> {
    files::reserve(asked.plan.max).map_err(Failure::unavailable)?;
    let output = Output::open(&asked.told)?;
    let mut ramp = Running::new(asked)?;
    let end = ramp.climb(interrupt)?;
    let (verdict, record) = ramp.close_the_books(end)?;
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
    swarm: Swarm,
    topics: Vec<TopicId>,
    /// The first is the healthy one.
    groups: Vec<Named>,
    deal: Deal,
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
            apart_receive_bytes: Some(SLOW_RECEIVE_BYTES),
            ..Options::new(asked.target.clone())
        };
        let mut swarm = Swarm::new(options).map_err(Failure::fault)?;
        let topics: Vec<TopicId> = asked
            .subscriptions
            .iter()
            .map(|subscription| swarm.topic(subscription))
            .collect();
        let groups = groups_of(asked, &mut swarm);
        let shares = asked.slow.iter().map(|slow| slow.share);
        let deal = Deal::new(shares, topics.len());
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
            topics,
            groups,
            deal,
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
            self.swarm.run_for(wait).map_err(fault)?;
            self.nothing_works()?;
            self.progress.show(&self.swarm, clients);
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
                        self.connect(more);
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

    /// Asks for so many more, each in its group and with its settings.
    fn connect(&mut self, more: usize) {
        for run in self.deal.deal(more) {
            let (topic, group) = (self.topics[run.settings], self.groups[run.group].group);
            self.swarm.connect(run.n, topic, group);
        }
    }

    /// When not one connection has come about, or not one subscription, there is nothing to measure.
    fn nothing_works(&self) -> Result<(), Failure> {
        let counters = self.swarm.counters();
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
        let row = self.row(clients);
        writeln!(self.csv, "{}", row.line())
            .and_then(|()| self.csv.flush())
            .map_err(unwritable)
    }

    /// Ends a line here and begins the next.
    fn row(&mut self, clients: usize) -> Row {
        let tally = self.swarm.take_window(Group::MAIN, OVERDUE);
        let slow = self.take_slow();
        let lag = self.swarm.take_lag();
        let begun = std::mem::replace(&mut self.line, Line::new(self.server));
        let seconds = (self.line.begun_ns - begun.begun_ns) as f64 / 1e9;
        self.whole.add(&tally);
        let mut row = self.counts(clients, &tally);
        let received = tally.received + slow.received;
        row.delivered_per_s = received as f64 / seconds;
        self.costs(&mut row, &begun, received, seconds);
        (row.slow_count, row.slow_lost) = (slow.received, slow.lost);
        row.late_ms = begun.late_ns as f64 / 1e6;
        self.judge(&mut row, &lag);
        let beside = self.beside(&begun, seconds);
        self.recorder.line(&row, beside);
        row
    }

    /// What a line's record has that its row has not.
    fn beside(&mut self, begun: &Line, seconds: f64) -> Beside {
        let lost = self.swarm.counters().lost;
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

    /// What all slow groups received since the last line.
    fn take_slow(&mut self) -> Tally {
        let mut all = Tally::new(0);
        for named in &self.groups[1..] {
            all.add(&self.swarm.take_window(named.group, OVERDUE));
        }
        all
    }

    fn counts(&mut self, clients: usize, tally: &Tally) -> Row {
        let counters = self.swarm.counters();
        let (failed, closed) = (counters.failed, counters.closed_total());
        let wrong = counters.offset_errors() + counters.malformed;
        let connected = self.swarm.standing().subscribed;
        let row = Row {
            clients,
            connected,
            slow_connected: connected - self.swarm.subscribed(Group::MAIN),
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

    /// What both sides cost from the beginning of the line to its end.
    fn costs(&self, row: &mut Row, begun: &Line, received: u64, seconds: f64) {
        let per_message = |ns: u64| (received > 0).then(|| ns as f64 / 1000.0 / received as f64);
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
    fn close_the_books(mut self, end: End) -> Result<(Verdict, record::Run), Failure> {
        let latency_ms = [
            self.whole.quantile_ms(0.5),
            self.whole.quantile_ms(0.99),
            self.whole.max_ms(),
        ];
        let closing = Closing {
            swarm: &mut self.swarm,
            progress: &mut self.progress,
            groups: &self.groups,
        };
        let (groups, asked) = closing.books().map_err(fault)?;
        let table = if self.asked.slow.is_empty() && self.plain() {
            Shown::No
        } else {
            Shown::Yes
        };
        let verdict = Verdict::of(&Run {
            counters: self.swarm.counters(),
            asked,
            groups: &groups,
            table,
            latency_ms,
            limit: self.limit.as_ref(),
            invalid: self.invalid,
            windows: self.windows,
        });
        let record = self.recorder.end(&Ending {
            end,
            counters: self.swarm.counters(),
            whole: &self.whole,
            groups: &groups,
            verdict: &verdict,
        });
        close::leave(&mut self.swarm).map_err(fault)?;
        Ok((verdict, record))
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
fn groups_of(asked: &Asked, swarm: &mut Swarm) -> Vec<Named> {
    let healthy = Named {
        name: "healthy".to_owned(),
        group: Group::MAIN,
    };
    let slow = asked.slow.iter().map(|slow| Named {
        name: slow.name.clone(),
        group: swarm.group(slow.pace),
    });
    std::iter::once(healthy).chain(slow).collect()
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
