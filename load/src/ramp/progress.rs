//! A sign of life on standard error while a ramp runs: one line written over on a terminal, now and then a line elsewhere.
use crate::clock;
use crate::swarm::Counters;
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Shortest run that shows how far it is.
const PROGRESS_FROM: Duration = Duration::from_secs(2);

/// Time between two signs of life: on a terminal one line is written over; elsewhere lines add up.
const PROGRESS_TERMINAL_NS: u64 = 500_000_000;
const PROGRESS_PLAIN_NS: u64 = 10_000_000_000;

/// How far it is, said at most so often.
pub(super) struct Progress {
    begun_ns: u64,
    shown_ns: u64,
    total: Duration,
    every_ns: u64,
    received: u64,
    open_line: bool,
}

impl Progress {
    pub(super) fn new(total: Duration) -> Self {
        let now = clock::mono_ns();
        let every_ns = if io::stderr().is_terminal() {
            PROGRESS_TERMINAL_NS
        } else {
            PROGRESS_PLAIN_NS
        };
        Self {
            begun_ns: now,
            shown_ns: now,
            total,
            every_ns,
            received: 0,
            open_line: false,
        }
    }

    pub(super) fn show(&mut self, counters: &Counters, clients: usize) {
        let Some(since_ns) = self.due() else { return };
        let per_s = counters.received.saturating_sub(self.received) as f64 * 1e9 / since_ns as f64;
        self.received = counters.received;
        let at = Duration::from_nanos(self.shown_ns - self.begun_ns).as_secs();
        let open = counters.upgraded - counters.closed_total();
        let total = self.total.as_secs();
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
            eprint!("\r\x1b[K{text}");
            self.open_line = true;
        } else {
            eprintln!("{text}");
        }
    }

    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.open_line) {
            eprint!("\r\x1b[K");
        }
    }
}
