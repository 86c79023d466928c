//! A sign of life on standard error while a ramp runs: a view or one line written over on a terminal, now and then a line elsewhere.
use super::lines;
use crate::args::Ramp as Asked;
use crate::clock;
use crate::record::{self, Line};
use crate::swarm::Counters;
use crate::view::{self, Screen, Standing, View};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Shortest run that shows how far it is.
const PROGRESS_FROM: Duration = Duration::from_secs(2);

/// Time between two signs of life: a view is drawn so often; on a terminal one line is written over; elsewhere lines add up.
const PROGRESS_VIEW_NS: u64 = 250_000_000;
const PROGRESS_TERMINAL_NS: u64 = 500_000_000;
const PROGRESS_PLAIN_NS: u64 = 10_000_000_000;

/// Different troubles shown in a view.
const TROUBLES: usize = 8;

/// How far it is, said at most so often.
pub(super) struct Progress {
    begun_ns: u64,
    shown_ns: u64,
    total: Duration,
    every_ns: u64,
    received: u64,
    open_line: bool,
    view: Option<View>,
}

impl Progress {
    pub(super) fn new(asked: &Asked) -> Self {
        let now = clock::mono_ns();
        let total = asked.plan.duration();
        let view = if view::is_possible(&asked.told, total) {
            // A terminal that cannot be taken can be written to all the same.
            View::begin(screen(asked)).ok()
        } else {
            None
        };
        Self {
            begun_ns: now,
            shown_ns: now,
            total,
            every_ns: every_ns(view.as_ref()),
            received: 0,
            open_line: false,
            view,
        }
    }

    /// Whether the terminal belongs to a view, and nobody else may write on it.
    pub(super) fn is_view(&self) -> bool {
        self.view.is_some()
    }

    /// A line has ended.
    pub(super) fn line(&self, line: &Line) {
        if let Some(view) = &self.view {
            view.line(line);
        }
    }

    /// `doubt`: why the run is no measurement of the server any more.
    pub(super) fn show(&mut self, counters: &Counters, clients: usize, doubt: Option<String>) {
        let Some(since_ns) = self.due() else { return };
        let since_begun = Duration::from_nanos(self.shown_ns - self.begun_ns);
        let open = counters.upgraded.saturating_sub(counters.closed_total());
        if let Some(view) = self.view.as_ref().filter(|view| !view.is_over()) {
            let mut errors = record::causes(counters);
            errors.truncate(TROUBLES);
            return view.stands(Standing {
                at_s: since_begun.as_secs_f64(),
                clients: clients as u64,
                open,
                upgraded: counters.upgraded,
                received: counters.received,
                lost: counters.lost,
                errors,
                doubt,
            });
        }
        self.end_view();
        let per_s = counters.received.saturating_sub(self.received) as f64 * 1e9 / since_ns as f64;
        self.received = counters.received;
        let (at, total) = (since_begun.as_secs(), self.total.as_secs());
        self.say(&format!(
            "{at} s of {total} s, {open} of {clients} connected, {per_s:.0} messages/s"
        ));
    }

    pub(super) fn wait_for(&mut self, what: &str, missing: usize) {
        if self.due().is_some() {
            self.say(&format!("closing the books: {missing} {what} to come"));
        }
    }

    /// Nanoseconds since the last sign, if it is time for another.
    fn due(&mut self) -> Option<u64> {
        let now = clock::mono_ns();
        let since = now - self.shown_ns;
        if since < self.every_ns || self.total < PROGRESS_FROM {
            return None;
        }
        self.shown_ns = now;
        Some(since)
    }

    fn say(&mut self, text: &str) {
        if self.every_ns == PROGRESS_TERMINAL_NS {
            lines::say(&format!("\r\x1b[K{text}"));
            self.open_line = true;
        } else {
            lines::say(&format!("{text}\n"));
        }
    }

    /// Gives the terminal back; from here on there are lines.
    pub(super) fn clear(&mut self) {
        self.end_view();
        if std::mem::take(&mut self.open_line) {
            lines::say("\r\x1b[K");
        }
    }

    fn end_view(&mut self) {
        if self.view.take().is_some() {
            self.every_ns = every_ns(None);
        }
    }
}

fn every_ns(view: Option<&View>) -> u64 {
    match view {
        Some(_) => PROGRESS_VIEW_NS,
        None if io::stderr().is_terminal() => PROGRESS_TERMINAL_NS,
        None => PROGRESS_PLAIN_NS,
    }
}

fn screen(asked: &Asked) -> Screen {
    let hosts: Vec<&str> = asked
        .targets
        .iter()
        .map(|target| target.host.as_str())
        .collect();
    let title = format!("{} at {}", asked.subject(), hosts.join(", "));
    let total_s = asked.plan.duration().as_secs_f64();
    Screen::new(title, asked.plan.max as u64, total_s)
}
