//! How long the event loop keeps others waiting.
//!
//! Owns the measuring of turns and of late timers. Must not contain: a clock, the scoreboard. Driven by the worker's loop, which says
//! when a turn begins, which part of it is over, and when it ends.
//!
//! Law: whatever makes a client wait here is seen: a long turn by its length, anything else that held the thread (another task, the
//! machine itself) by how late a timer comes round.
use pubsub_stream::Histogram;

/// A turn this long is named: clients notice it, and a worker is taken for hung after twice that.
const BLOCKED_NS: u64 = 500_000_000;

/// The parts of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Orders of the supervisor and connections that are new.
    Arrivals,
    /// Input of clients.
    Input,
    /// What the hub said.
    Hub,
    /// Deadlines.
    Timers,
    /// Visits.
    Fanout,
    /// Requests to the hub, closes, counters.
    Output,
    /// None of these: between turns something else held the thread.
    Elsewhere,
}

/// Measures one loop.
#[derive(Debug)]
pub(super) struct Monitor {
    lag: Histogram,
    /// Longest since it was last asked.
    worst_ns: u64,
    /// Longest of all.
    longest_ns: u64,
    /// How late the timer was that came round in this turn.
    late_ns: u64,
    /// Beginning of the part under way.
    since_ns: u64,
    began_ns: u64,
    /// The longest part of the turn under way.
    slowest: (u64, Part),
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            lag: Histogram::default(),
            worst_ns: 0,
            longest_ns: 0,
            late_ns: 0,
            since_ns: 0,
            began_ns: 0,
            slowest: (0, Part::Arrivals),
        }
    }
}

/// The loop was away for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocked {
    /// How long.
    pub(super) ns: u64,
    /// What took longest.
    pub(super) part: Part,
}

impl Monitor {
    /// A turn begins.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.began_ns = now_ns;
        self.since_ns = now_ns;
        self.slowest = (0, Part::Arrivals);
    }

    /// A part of the turn is over.
    pub(super) fn finish(&mut self, part: Part, now_ns: u64) {
        let took_ns = now_ns.saturating_sub(self.since_ns);
        self.since_ns = now_ns;
        if took_ns > self.slowest.0 {
            self.slowest = (took_ns, part);
        }
    }

    /// The turn is over with its last part.
    pub(super) fn end(&mut self) -> Option<Blocked> {
        let turn_ns = self.since_ns.saturating_sub(self.began_ns);
        self.record(turn_ns);
        let late_ns = std::mem::take(&mut self.late_ns);
        let (ns, part) = if late_ns > turn_ns {
            (late_ns, Part::Elsewhere)
        } else {
            (turn_ns, self.slowest.1)
        };
        (ns >= BLOCKED_NS).then_some(Blocked { ns, part })
    }

    /// A timer that was due at `due_ns` has come round.
    pub(super) fn timer(&mut self, due_ns: u64, now_ns: u64) {
        self.late_ns = now_ns.saturating_sub(due_ns);
        self.record(self.late_ns);
    }

    /// All lags so far.
    pub(super) fn lag(&self) -> &Histogram {
        &self.lag
    }

    /// The longest that anybody has waited so far.
    pub(super) fn longest_ns(&self) -> u64 {
        self.longest_ns
    }

    /// The worst lag since the last call.
    pub(super) fn take_worst_ns(&mut self) -> u64 {
        std::mem::take(&mut self.worst_ns)
    }

    fn record(&mut self, ns: u64) {
        self.lag.record(ns);
        self.worst_ns = self.worst_ns.max(ns);
        self.longest_ns = self.longest_ns.max(ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_long_turn_is_named_with_its_longest_part() {
        let mut monitor = Monitor::default();
        monitor.begin(1000 * MS);
        monitor.finish(Part::Input, 1100 * MS);
        monitor.finish(Part::Hub, 1450 * MS);
        monitor.finish(Part::Fanout, 1500 * MS);
        let blocked = monitor.end().expect("half a second is too long");
        assert_eq!((blocked.ns, blocked.part), (500 * MS, Part::Hub));
        assert_eq!(monitor.longest_ns(), 500 * MS);
    }

    #[test]
    fn a_short_turn_is_recorded_and_not_named() {
        let mut monitor = Monitor::default();
        monitor.begin(0);
        monitor.finish(Part::Fanout, 499 * MS);
        assert_eq!(monitor.end(), None);
        assert_eq!(monitor.lag().total(), 1);
    }

    #[test]
    fn a_timer_that_is_very_late_is_named_once_though_its_turn_was_short() {
        let mut monitor = Monitor::default();
        monitor.begin(5000 * MS);
        monitor.timer(1000 * MS, 5000 * MS);
        monitor.finish(Part::Timers, 5001 * MS);
        let blocked = monitor.end().expect("four seconds are too long");
        assert_eq!((blocked.ns, blocked.part), (4000 * MS, Part::Elsewhere));
        monitor.begin(5001 * MS);
        assert_eq!(monitor.end(), None);
    }

    #[test]
    fn a_late_timer_is_a_lag() {
        let mut monitor = Monitor::default();
        monitor.timer(MS, 8 * MS);
        assert_eq!(monitor.take_worst_ns(), 7 * MS);
        assert_eq!(monitor.take_worst_ns(), 0);
    }
}
