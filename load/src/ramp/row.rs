//! One line of the report: the prototype's twelve columns in their order, then what it did not know.
//!
//! Pure. Where some read slowly, latencies and what belongs to them are of the others; columns further back have the slow. Where
//! connections call, latencies are of their calls, and the last columns have them once more beside how many were due and failed. What is not known (the server is on another machine, nothing was received) is an empty field; a percentile over messages
//! that never came is `inf`.
use crate::swarm::CallCounts;
use std::fmt::Write;

/// The names, in order. The first twelve are the prototype's, to the letter: people's scripts read them.
pub const COLUMNS: [&str; 43] = [
    "clients",
    "connected",
    "cpu time",
    "load avg",
    "total memory (M)",
    "used memory(M)",
    "count",
    "average response (ms)",
    "average outlier high response (ms)",
    "average outlier low response (ms)",
    "average message size",
    "messages received",
    "p50 (ms)",
    "p90 (ms)",
    "p99 (ms)",
    "p99.9 (ms)",
    "max (ms)",
    "delivered/s",
    "expected",
    "lost",
    "overdue",
    "failed",
    "closed",
    "offset errors",
    "server cores",
    "server starved (cores)",
    "server cpu per message (us)",
    "server PSS (M)",
    "TCP memory (M)",
    "own cores",
    "own starved (cores)",
    "own cpu per message (us)",
    "own PSS (M)",
    "loop lag p99 (ms)",
    "step late (ms)",
    "valid",
    "slow connected",
    "slow count",
    "slow lost",
    "calls due",
    "call p50 (ms)",
    "call p99 (ms)",
    "calls failed",
];

/// One line's values, in the columns' units.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)] // the columns' names say it
pub struct Row {
    pub clients: usize,
    pub connected: usize,
    pub cpu_time_s: Option<f64>,
    pub load_avg: f64,
    pub total_memory_m: f64,
    pub used_memory_m: f64,
    pub count: u64,
    pub average_ms: Option<f64>,
    pub average_high_ms: Option<f64>,
    pub average_low_ms: Option<f64>,
    pub average_bytes: Option<f64>,
    pub received: u64,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub p999_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub delivered_per_s: f64,
    pub expected: u64,
    pub lost: u64,
    pub overdue: u64,
    pub failed: u64,
    pub closed: u64,
    pub offset_errors: u64,
    pub server_cores: Option<f64>,
    pub server_starved: Option<f64>,
    pub server_us: Option<f64>,
    pub server_pss_m: Option<f64>,
    pub tcp_memory_m: Option<f64>,
    pub own_cores: f64,
    pub own_starved: f64,
    pub own_us: Option<f64>,
    pub own_pss_m: Option<f64>,
    pub loop_lag_ms: f64,
    pub late_ms: f64,
    pub valid: Valid,
    pub slow_connected: usize,
    pub slow_count: u64,
    pub slow_lost: u64,
    pub calls: Option<CallCounts>,
}

/// Whether a line's latencies are the server's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Valid {
    /// They are.
    #[default]
    Yes,
    /// The generator was the limit.
    No,
}

/// The header line, without its end.
pub fn header() -> String {
    COLUMNS.join(",")
}

impl Row {
    /// The line, without its end. No value holds a comma, so none is quoted.
    pub fn line(&self) -> String {
        let mut line = Line(String::new());
        line.whole(self.clients as u64)
            .whole(self.connected as u64)
            .maybe(self.cpu_time_s);
        line.number(self.load_avg)
            .number(self.total_memory_m)
            .number(self.used_memory_m)
            .whole(self.count);
        line.maybe(self.average_ms)
            .maybe(self.average_high_ms)
            .maybe(self.average_low_ms);
        line.maybe(self.average_bytes).whole(self.received);
        line.maybe(self.p50_ms)
            .maybe(self.p90_ms)
            .maybe(self.p99_ms)
            .maybe(self.p999_ms)
            .maybe(self.max_ms);
        line.number(self.delivered_per_s)
            .whole(self.expected)
            .whole(self.lost)
            .whole(self.overdue);
        line.whole(self.failed)
            .whole(self.closed)
            .whole(self.offset_errors);
        line.maybe(self.server_cores)
            .maybe(self.server_starved)
            .maybe(self.server_us)
            .maybe(self.server_pss_m)
            .maybe(self.tcp_memory_m);
        line.number(self.own_cores)
            .number(self.own_starved)
            .maybe(self.own_us)
            .maybe(self.own_pss_m)
            .number(self.loop_lag_ms);
        line.number(self.late_ms)
            .whole(u64::from(self.valid == Valid::Yes));
        line.whole(self.slow_connected as u64)
            .whole(self.slow_count)
            .whole(self.slow_lost);
        let calls = self.calls.as_ref();
        line.maybe_whole(calls.map(CallCounts::due))
            .maybe(calls.and(self.p50_ms))
            .maybe(calls.and(self.p99_ms))
            .maybe_whole(calls.map(CallCounts::failed));
        line.0
    }
}

struct Line(String);

impl Line {
    fn field(&mut self, value: std::fmt::Arguments<'_>) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        // A string takes everything.
        let _ = self.0.write_fmt(value);
        self
    }

    fn whole(&mut self, value: u64) -> &mut Self {
        self.field(format_args!("{value}"))
    }

    fn maybe_whole(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.whole(value),
            None => self.field(format_args!("")),
        }
    }

    fn number(&mut self, value: f64) -> &mut Self {
        if value.is_infinite() {
            self.field(format_args!("inf"))
        } else {
            self.field(format_args!("{value:.3}"))
        }
    }

    fn maybe(&mut self, value: Option<f64>) -> &mut Self {
        match value {
            Some(value) => self.number(value),
            None => self.field(format_args!("")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_twelve_columns_are_the_prototypes() {
        let prototype = "clients,connected,cpu time,load avg,total memory (M),used memory(M),count,average response (ms),\
            average outlier high response (ms),average outlier low response (ms),average message size,messages received";
        assert!(header().starts_with(&format!("{prototype},")));
    }

    #[test]
    fn every_column_has_its_value_and_only_the_unknown_are_empty() {
        let line = Row::default().line();
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), COLUMNS.len());
        let empty: Vec<&str> = COLUMNS
            .into_iter()
            .zip(&fields)
            .filter(|(_, value)| value.is_empty())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            empty,
            [
                "cpu time",
                "average response (ms)",
                "average outlier high response (ms)",
                "average outlier low response (ms)",
                "average message size",
                "p50 (ms)",
                "p90 (ms)",
                "p99 (ms)",
                "p99.9 (ms)",
                "max (ms)",
                "server cores",
                "server starved (cores)",
                "server cpu per message (us)",
                "server PSS (M)",
                "TCP memory (M)",
                "own cpu per message (us)",
                "own PSS (M)",
                "calls due",
                "call p50 (ms)",
                "call p99 (ms)",
                "calls failed"
            ]
        );
    }

    #[test]
    fn calls_stand_behind_everything_else() {
        let row = Row {
            p50_ms: Some(1.5),
            p99_ms: Some(f64::INFINITY),
            calls: Some(CallCounts {
                made: 9,
                skipped: 1,
                unanswered: 2,
                ..CallCounts::default()
            }),
            ..Row::default()
        };
        assert!(
            row.line().ends_with(",0,0,0,10,1.500,inf,3"),
            "{}",
            row.line()
        );
    }

    #[test]
    fn values_stand_under_their_names() {
        let row = Row {
            clients: 1,
            count: 7,
            average_bytes: Some(12.5),
            received: 12,
            p99_ms: Some(f64::INFINITY),
            overdue: 3,
            offset_errors: 4,
            server_us: Some(0.5),
            loop_lag_ms: 2.0,
            valid: Valid::No,
            slow_connected: 5,
            slow_count: 6,
            slow_lost: 8,
            ..Row::default()
        };
        let line = row.line();
        let of = |name: &str| {
            let at = COLUMNS.iter().position(|column| *column == name).unwrap();
            line.split(',').nth(at).unwrap().to_owned()
        };
        assert_eq!(
            (of("clients"), of("count"), of("messages received")),
            ("1".into(), "7".into(), "12".into())
        );
        assert_eq!(
            (of("average message size"), of("p99 (ms)"), of("overdue")),
            ("12.500".into(), "inf".into(), "3".into())
        );
        assert_eq!(
            (of("offset errors"), of("server cpu per message (us)")),
            ("4".into(), "0.500".into())
        );
        assert_eq!(
            (of("loop lag p99 (ms)"), of("valid")),
            ("2.000".into(), "0".into())
        );
        assert_eq!(
            (of("slow connected"), of("slow count"), of("slow lost")),
            ("5".into(), "6".into(), "8".into())
        );
    }
}
