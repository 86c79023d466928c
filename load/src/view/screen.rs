//! What a view shows: how things stand, how they were a little while ago, and the lines until now.
//!
//! Pure. Everything that grows has a limit.
use crate::record::{Cause, Latency, Line, Percentiles};
use crate::swarm::Losses;
use std::collections::VecDeque;

/// Moments remembered: more than a terminal is wide.
const MOMENTS_MAX: usize = 512;

/// Lines remembered.
const LINES_MAX: usize = 1024;

/// Over how long connections a second are counted, and messages: much longer than from one sign of a process to the next.
const PACE_S: f64 = 2.0;
const RATE_S: f64 = 1.0;

/// How things stand at a moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Since the beginning.
    pub at_s: f64,
    /// Connections asked for until now.
    pub clients: u64,
    /// Open connections.
    pub open: u64,
    /// Connections that came about, ever.
    pub upgraded: u64,
    /// Messages received.
    pub received: u64,
    /// Announced as lost.
    pub lost: Losses,
    /// Troubles by cause.
    pub errors: Vec<Cause>,
    /// Why the run no longer counts as a measurement of the server.
    pub doubt: Option<String>,
}

/// What is shown.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// What is done, in words.
    pub title: String,
    /// Connections in the end.
    pub clients_max: u64,
    /// How long all of it takes.
    pub total_s: f64,
    /// How things stand.
    pub now: Standing,
    /// Whether the end was asked for.
    pub ending: Ending,
    moments: VecDeque<Moment>,
    lines: VecDeque<Point>,
    last: Option<Line>,
    lines_seen: u64,
    lines_invalid: u64,
}

/// Whether the run is to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ending {
    /// As planned.
    #[default]
    Planned,
    /// As soon as may be in order.
    Asked,
}

#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    at_s: f64,
    upgraded: u64,
    received: u64,
    per_s: f64,
}

/// Latencies of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// When it ended.
    pub at_s: f64,
    /// They.
    pub latency_ms: Percentiles,
}

impl Screen {
    /// Before anything has happened.
    pub fn new(title: String, clients_max: u64, total_s: f64) -> Self {
        Self {
            title,
            clients_max,
            total_s,
            ..Self::default()
        }
    }

    /// This is how things stand.
    pub fn stands(&mut self, standing: Standing) {
        let newest_s = self.moments.back().map_or(0.0, |moment| moment.at_s);
        if standing.at_s > newest_s {
            let earlier = self.earlier(standing.at_s, RATE_S);
            let seconds = standing.at_s - earlier.at_s;
            let more = standing.received.saturating_sub(earlier.received);
            self.moments.push_back(Moment {
                at_s: standing.at_s,
                upgraded: standing.upgraded,
                received: standing.received,
                per_s: more as f64 / seconds,
            });
        }
        if self.moments.len() > MOMENTS_MAX {
            self.moments.pop_front();
        }
        self.now = standing;
    }

    /// The last moment that was so long before this one; the beginning, where there is none.
    fn earlier(&self, at_s: f64, seconds: f64) -> Moment {
        let long_before = |moment: &&Moment| at_s - moment.at_s >= seconds;
        let earlier = self.moments.iter().rev().find(long_before);
        earlier.copied().unwrap_or_default()
    }

    /// A line has ended.
    pub fn line(&mut self, line: &Line) {
        self.lines.push_back(Point {
            at_s: line.at_s,
            latency_ms: line.latency_ms.clone(),
        });
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
        }
        self.lines_seen += 1;
        self.lines_invalid += u64::from(!line.valid);
        self.last = Some(line.clone());
    }

    /// The last line.
    pub fn last(&self) -> Option<&Line> {
        self.last.as_ref()
    }

    /// Latencies of the lines remembered, in order.
    pub fn points(&self) -> impl ExactSizeIterator<Item = &Point> {
        self.lines.iter()
    }

    /// Lines until now, and how many of them are invalid.
    pub fn validity(&self) -> (u64, u64) {
        (self.lines_invalid, self.lines_seen)
    }

    /// Messages a second, the newest first.
    pub fn delivered(&self) -> impl Iterator<Item = f64> {
        self.moments.iter().rev().map(|moment| moment.per_s)
    }

    /// Connections that come about a second, lately.
    pub fn connects_per_s(&self) -> f64 {
        let Some(newest) = self.moments.back() else {
            return 0.0;
        };
        let earlier = self.earlier(newest.at_s, PACE_S);
        let more = newest.upgraded.saturating_sub(earlier.upgraded);
        more as f64 / (newest.at_s - earlier.at_s)
    }

    /// How much of the time is over: 0 to 1.
    pub fn share(&self) -> f64 {
        if self.total_s > 0.0 {
            (self.now.at_s / self.total_s).clamp(0.0, 1.0)
        } else {
            1.0
        }
    }

    /// What is left of the time.
    pub fn left_s(&self) -> f64 {
        (self.total_s - self.now.at_s).max(0.0)
    }

    /// The least and the greatest latency shown that are numbers above 0.
    pub fn span_ms(&self) -> Option<(f64, f64)> {
        let all = self.points().flat_map(|point| {
            let of = &point.latency_ms;
            [of.p50, of.p90, of.p99, of.p99_9]
        });
        let finite = all.flatten().filter_map(Latency::finite);
        finite
            .filter(|ms| *ms > 0.0)
            .fold(None, |span, ms| match span {
                None => Some((ms, ms)),
                Some((least, most)) => Some((ms.min(least), ms.max(most))),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ramp::row::{Row, Valid};
    use crate::record::Beside;
    use proptest::prelude::*;

    fn standing(at_s: f64, upgraded: u64, received: u64) -> Standing {
        Standing {
            at_s,
            upgraded,
            received,
            ..Standing::default()
        }
    }

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-6
    }

    #[test]
    fn rates_are_of_the_time_that_passed() {
        let mut screen = Screen::new("t".to_owned(), 100, 60.0);
        assert!(close(screen.connects_per_s(), 0.0));
        for (at_s, upgraded, received) in [(1.0, 100, 50), (1.5, 200, 150), (4.0, 300, 650)] {
            screen.stands(standing(at_s, upgraded, received));
        }
        let per_s: Vec<f64> = screen.delivered().collect();
        assert_eq!(per_s, [200.0, 100.0, 50.0], "over a second at least");
        assert!(
            close(screen.connects_per_s(), 40.0),
            "over 2.5 s: {}",
            screen.connects_per_s()
        );
        assert!(close(screen.left_s(), 56.0) && close(screen.share(), 4.0 / 60.0));
    }

    #[test]
    fn lines_are_counted_with_those_that_are_invalid() {
        let mut screen = Screen::default();
        for (valid, p99_ms) in [
            (Valid::Yes, Some(3.0)),
            (Valid::No, Some(f64::INFINITY)),
            (Valid::No, None),
        ] {
            let row = Row {
                valid,
                p50_ms: Some(0.0),
                p99_ms,
                ..Row::default()
            };
            screen.line(&Line::new(&row, Beside::default()));
        }
        assert_eq!(screen.validity(), (2, 3));
        assert_eq!(screen.points().len(), 3);
        assert_eq!(
            screen.span_ms(),
            Some((3.0, 3.0)),
            "0 and for ever have no place"
        );
    }

    proptest! {
        #[test]
        fn whatever_it_is_told_it_remembers_no_more_than_it_may(
            moments in proptest::collection::vec((-1.0f64..1e6, any::<u64>(), any::<u64>()), 0..1500),
        ) {
            let mut screen = Screen::new(String::new(), 1, 0.0);
            for (at_s, upgraded, received) in moments {
                screen.stands(standing(at_s, upgraded, received));
                screen.line(&Line::new(&Row::default(), Beside::default()));
                prop_assert!(screen.delivered().all(|per_s| per_s >= 0.0));
                prop_assert!(screen.connects_per_s().is_finite() && screen.share() <= 1.0);
            }
            prop_assert!(screen.delivered().count() <= MOMENTS_MAX && screen.points().len() <= LINES_MAX);
        }
    }
}
