//! `pubsub-load ramp`: connections step by step, a line for each step, and the books at the end.
//!
//! Owns the run: it asks the scenario what is due, tells the fleet, and reads the clocks and `/proc` at the end of each line.
//! What a line looks like is [`row`]'s, what each group got [`groups`]', what a run is worth [`verdict`]'s.
mod begin;
mod clocks;
mod costs;
mod ending;
mod files;
pub mod groups;
mod lines;
pub mod memory;
mod progress;
pub mod row;
mod servers;
mod start;
pub mod verdict;

use crate::args::Ramp as Asked;
use crate::clock;
use crate::failure::Failure;
use crate::fleet::{Fleet, Taken};
use crate::hdr::Interval;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::record::recorder::Recorder;
use crate::record::{self, Beside, End};
use crate::scenario::{Due, Ramp};
use crate::swarm::{CallCounts, Counters, Losses, Tally};
use costs::Line;
use files::Files;
use memory::Memory;
use progress::Progress;
use row::Row;
use servers::Servers;
use std::io::{self, Write};
use std::time::Duration;
use verdict::Trouble;

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
    // Whoever does not read the summary may read the files.
    output.write(&record)?;
    told.map_err(unwritable)?;
    Ok(verdict.code)
}

struct Running<'a> {
    asked: &'a Asked,
    fleet: Fleet,
    /// Before the files: their lines may have to wait for the terminal that it has taken.
    progress: Progress,
    files: Files<'a>,
    servers: Servers,
    recorder: Recorder,
    begun_ns: u64,
    line: Line,
    whole: Tally,
    failed_before: u64,
    closed_before: u64,
    wrong_before: u64,
    lost_before: Losses,
    calls_before: CallCounts,
    windows: usize,
    limit: Trouble,
    clocks: Trouble,
    memory_before: Memory,
    memory: Memory,
    /// The last line.
    row: Row,
    loop_lag_ms: f64,
}

impl<'a> Running<'a> {
    fn new(asked: &'a Asked) -> Result<Self, Failure> {
        let servers = servers::servers(asked)?;
        let files = Files::open(asked, clock::wall_us())?;
        let fleet = start::fleet(asked)?;
        let line = Line::new(&servers.roots);
        let mut running = Self {
            asked,
            fleet,
            files,
            begun_ns: line.begun_ns,
            line,
            recorder: Recorder::new(begin::beginning(asked, servers.roots.first().copied())),
            servers,
            progress: Progress::new(asked),
            whole: Tally::new(asked.outliers),
            failed_before: 0,
            closed_before: 0,
            wrong_before: 0,
            lost_before: Losses::default(),
            calls_before: CallCounts::default(),
            windows: 0,
            limit: Trouble::default(),
            clocks: Trouble::default(),
            memory_before: Memory::default(),
            memory: Memory::default(),
            row: Row::default(),
            loop_lag_ms: 0.0,
        };
        running.memory_before = running.memory();
        if running.progress.is_view() {
            running.files.hold();
        }
        Ok(running)
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
            let doubt = self.doubt();
            self.progress.show(&counters, clients, doubt);
            if interrupt.came() {
                self.give_back()?;
                interrupt.let_go();
                lines::say(
                    "interrupted: the ramp ends here, the books follow (once more to leave at once)\n",
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
        self.give_back()?;
        Ok(End::Planned)
    }

    /// Why the run no longer counts as a measurement of the server.
    fn doubt(&self) -> Option<String> {
        let lost = self.fleet.losses().pop();
        let lost = lost.map(|loss| format!("a process of the swarm {}", loss.why));
        let others = [&self.limit, &self.clocks].map(Trouble::why);
        lost.or_else(|| others.into_iter().flatten().next().map(str::to_owned))
    }

    /// The terminal is for lines again.
    fn give_back(&mut self) -> Result<(), Failure> {
        self.progress.clear();
        self.files.release()
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
            (_, Some(why)) if counters.calls.refused_total() > 0 && Self::hopeless(counters) => {
                Err(Failure::unavailable(format!(
                    "the server refuses the calls: {why}"
                )))
            }
            (_, Some(why)) if counters.subscribed == 0 => Err(Failure::unavailable(format!(
                "the server refuses the subscription to {:?}: {why}",
                self.asked.subject()
            ))),
            _ => Ok(()),
        }
    }

    /// Whether calls are refused for what they are, and not for how many there are.
    fn hopeless(counters: &Counters) -> bool {
        const FOR_GOOD: [&str; 4] = ["forbidden", "unknown_method", "bad_field", "unknown_op"];
        let calls = &counters.calls;
        let for_good = |code: &String| FOR_GOOD.contains(&code.as_str());
        calls.answered == 0 && calls.refused.keys().all(for_good)
    }

    fn write(&mut self, clients: usize) -> Result<(), Failure> {
        let taken = self.fleet.take(OVERDUE);
        self.nothing_works(&taken.counters)?;
        let at = Duration::from_nanos(self.line.begun_ns - self.begun_ns);
        let row = self.row(clients, &taken);
        let length = Duration::from_nanos(self.line.begun_ns - self.begun_ns).saturating_sub(at);
        self.files
            .write(&row, Interval { at, length }, &taken.groups)?;
        self.row = row;
        Ok(())
    }

    /// Ends a line here and begins the next.
    fn row(&mut self, clients: usize, taken: &Taken) -> Row {
        let begun = std::mem::replace(&mut self.line, Line::new(&self.servers.roots));
        let seconds = (self.line.begun_ns - begun.begun_ns) as f64 / 1e9;
        let (tally, slow) = (taken.healthy(), taken.slow());
        self.whole.add(&tally);
        let mut row = self.counts(clients, &tally, taken);
        let received = tally.received + slow.received;
        row.delivered_per_s = received as f64 / seconds;
        self.memory = self.memory();
        self.costs(&mut row, &begun, received, seconds);
        self.own_costs(&mut row, &begun, taken, received, seconds);
        (row.slow_count, row.slow_lost) = (slow.received, slow.lost);
        row.late_ms = begun.late_ns as f64 / 1e6;
        self.judge(&mut row, taken);
        self.judge_clocks(&mut row, &begun, tally.early + slow.early);
        let beside = self.beside(&begun, taken, seconds);
        let line = self.recorder.line(&row, beside);
        self.progress.line(line);
        self.loop_lag_ms = self.loop_lag_ms.max(row.loop_lag_ms);
        row
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

    /// What became of calls since the line before.
    fn calls(&mut self, counters: &Counters) -> CallCounts {
        let before = std::mem::replace(&mut self.calls_before, counters.calls.clone());
        counters.calls.since(&before)
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
            calls: self.asked.calls.is_some().then(|| self.calls(counters)),
            ..Row::default()
        };
        (self.failed_before, self.closed_before, self.wrong_before) = (failed, closed, wrong);
        row
    }
}

#[allow(clippy::needless_pass_by_value)] // what `map_err` hands over
fn unwritable(error: io::Error) -> Failure {
    Failure::unavailable(format!("the summary cannot be written: {error}"))
}
