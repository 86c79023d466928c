//! One line of a run: what was measured between two moments. Pure.
use super::{Calls, Latency};
use crate::ramp::row::{Row, Valid};
use crate::swarm::Losses;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of the unit in which a [`Row`] counts memory.
const M: f64 = 1_048_576.0;

/// What was measured in a stretch of time. Where some connections read slowly, latencies are of the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When it ended, from the beginning of the run.
    pub at_s: f64,
    /// How long it was.
    pub seconds: f64,
    /// Connections asked for.
    pub clients: u64,
    /// Connections.
    pub connections: Connections,
    /// Over all messages expected.
    pub latency_ms: Percentiles,
    /// Messages.
    pub messages: Messages,
    /// Messages that gaps announced as lost, by reason; of all connections.
    pub lost: BTreeMap<String, u64>,
    /// Messages twice, out of order or malformed.
    pub offset_errors: u64,
    /// What the server cost; `null`: its process is not known.
    pub server: Option<Server>,
    /// What the generator cost.
    pub own: Own,
    /// The machine.
    pub machine: Machine,
    /// What became of calls; `null`: the connections make none.
    pub calls: Option<Calls>,
    /// Whether the latencies are the server's.
    pub valid: bool,
}

/// Connections of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Subscribed at the end of the line.
    pub subscribed: u64,
    /// Of these, those that read slowly.
    pub slow: u64,
    /// Did not come about.
    pub failed: u64,
    /// Ended though nobody here asked for it.
    pub closed: u64,
}

/// Latencies of a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // their names say it
pub struct Percentiles {
    pub p50: Option<Latency>,
    pub p90: Option<Latency>,
    pub p99: Option<Latency>,
    pub p99_9: Option<Latency>,
    /// Of what came.
    pub max: Option<Latency>,
    /// Of what came.
    pub mean: Option<f64>,
    /// Mean of the highest few.
    pub mean_highest: Option<f64>,
    /// Mean of the lowest few.
    pub mean_lowest: Option<f64>,
}

/// Messages of a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Messages {
    /// Received by the healthy.
    pub received: u64,
    /// The same since the beginning of the run.
    pub received_in_all: u64,
    /// Received by all connections, a second.
    pub per_s: f64,
    /// Came, were lost or are overdue.
    pub expected: u64,
    /// Announced to the healthy as lost.
    pub lost: u64,
    /// Owed for longer than patience lasts.
    pub overdue: u64,
    /// Bytes of a payload.
    pub mean_bytes: Option<f64>,
    /// Received by those that read slowly.
    pub slow_received: u64,
    /// Announced to those as lost.
    pub slow_lost: u64,
}

/// What the server's processes cost in a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// CPU time.
    pub cpu_s: f64,
    /// Cores in use.
    pub cores: f64,
    /// Cores that it was ready for and did not get.
    pub starved_cores: f64,
    /// CPU time for each message received.
    pub cpu_us_per_message: Option<f64>,
    /// Memory, what is shared counted once.
    pub pss_bytes: u64,
    /// Its processes, grouped by what they do.
    pub roles: Vec<Role>,
}

/// Processes that do the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// What they do.
    pub role: String,
    /// How many.
    pub processes: u64,
    /// Cores in use.
    pub cores: f64,
    /// Memory, what is shared counted once.
    pub pss_bytes: u64,
}

/// What the generator cost in a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// Cores in use.
    pub cores: f64,
    /// Cores that it was ready for and did not get.
    pub starved_cores: f64,
    /// CPU time for each message received.
    pub cpu_us_per_message: Option<f64>,
    /// Memory, what is shared counted once.
    pub pss_bytes: Option<u64>,
    /// How long it kept a message waiting itself: 99 % of them no longer.
    pub loop_lag_p99_ms: f64,
    /// How much later than planned the line began.
    pub step_late_ms: f64,
}

/// The machine in a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Load average of a minute.
    pub load: f64,
    /// Memory in all.
    pub memory_bytes: u64,
    /// Memory in use.
    pub used_bytes: u64,
    /// The kernel's memory of all TCP sockets; in no process.
    pub tcp_bytes: Option<u64>,
}

/// What a line has beside its [`Row`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    /// When it ended, from the beginning of the run.
    pub at_s: f64,
    /// How long it was.
    pub seconds: f64,
    /// Announced as lost in it.
    pub lost: Losses,
    /// The server's processes.
    pub roles: Vec<Role>,
}

impl Line {
    /// Of a row and what it has no columns for.
    pub fn new(row: &Row, beside: Beside) -> Self {
        let Beside {
            at_s,
            seconds,
            lost,
            roles,
        } = beside;
        Self {
            at_s,
            seconds,
            clients: row.clients as u64,
            connections: Connections {
                subscribed: row.connected as u64,
                slow: row.slow_connected as u64,
                failed: row.failed,
                closed: row.closed,
            },
            latency_ms: percentiles(row),
            messages: messages(row),
            lost: by_reason(&lost),
            offset_errors: row.offset_errors,
            server: server(row, roles),
            own: Own {
                cores: row.own_cores,
                starved_cores: row.own_starved,
                cpu_us_per_message: row.own_us,
                pss_bytes: row.own_pss_m.map(bytes),
                loop_lag_p99_ms: row.loop_lag_ms,
                step_late_ms: row.late_ms,
            },
            machine: Machine {
                load: row.load_avg,
                memory_bytes: bytes(row.total_memory_m),
                used_bytes: bytes(row.used_memory_m),
                tcp_bytes: row.tcp_memory_m.map(bytes),
            },
            calls: row.calls.as_ref().map(Calls::new),
            valid: row.valid == Valid::Yes,
        }
    }
}

/// Reasons for which something was lost.
pub(super) fn by_reason(lost: &Losses) -> BTreeMap<String, u64> {
    lost.iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| (reason.as_str().to_owned(), count))
        .collect()
}

fn percentiles(row: &Row) -> Percentiles {
    Percentiles {
        p50: row.p50_ms.map(Latency),
        p90: row.p90_ms.map(Latency),
        p99: row.p99_ms.map(Latency),
        p99_9: row.p999_ms.map(Latency),
        max: row.max_ms.map(Latency),
        mean: row.average_ms,
        mean_highest: row.average_high_ms,
        mean_lowest: row.average_low_ms,
    }
}

fn messages(row: &Row) -> Messages {
    Messages {
        received: row.count,
        received_in_all: row.received,
        per_s: row.delivered_per_s,
        expected: row.expected,
        lost: row.lost,
        overdue: row.overdue,
        mean_bytes: row.average_bytes,
        slow_received: row.slow_count,
        slow_lost: row.slow_lost,
    }
}

fn server(row: &Row, roles: Vec<Role>) -> Option<Server> {
    Some(Server {
        cpu_s: row.cpu_time_s?,
        cores: row.server_cores?,
        starved_cores: row.server_starved?,
        cpu_us_per_message: row.server_us,
        pss_bytes: bytes(row.server_pss_m?),
        roles,
    })
}

fn bytes(m: f64) -> u64 {
    (m * M).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ramp::row::COLUMNS;
    use crate::swarm::CallCounts;
    use pubsub_wire::value::GapReason;

    /// A row with another value in every field.
    fn row() -> Row {
        Row {
            clients: 1,
            connected: 2,
            cpu_time_s: Some(3.0),
            load_avg: 4.0,
            total_memory_m: 5.0,
            used_memory_m: 6.0,
            count: 7,
            average_ms: Some(8.0),
            average_high_ms: Some(9.0),
            average_low_ms: Some(10.0),
            average_bytes: Some(11.0),
            received: 12,
            p50_ms: Some(13.0),
            p90_ms: Some(14.0),
            p99_ms: Some(15.0),
            p999_ms: Some(f64::INFINITY),
            max_ms: Some(17.0),
            delivered_per_s: 18.0,
            expected: 19,
            lost: 20,
            overdue: 21,
            failed: 22,
            closed: 23,
            offset_errors: 24,
            server_cores: Some(25.0),
            server_starved: Some(26.0),
            server_us: Some(27.0),
            server_pss_m: Some(28.0),
            tcp_memory_m: Some(29.0),
            own_cores: 30.0,
            own_starved: 31.0,
            own_us: Some(32.0),
            own_pss_m: Some(33.0),
            loop_lag_ms: 34.0,
            late_ms: 35.0,
            valid: Valid::No,
            slow_connected: 36,
            slow_count: 37,
            slow_lost: 38,
            calls: Some(CallCounts {
                made: 390,
                answered: 40,
                refused: BTreeMap::from([("limit".to_owned(), 41)]),
                wrong: 42,
                skipped: 43,
                unanswered: 44,
            }),
        }
    }

    /// All numbers and texts in it.
    fn leaves(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.values().for_each(|value| leaves(value, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
            leaf => found.push(leaf.to_string()),
        }
    }

    #[test]
    fn every_column_of_a_row_is_in_its_record_once() {
        let line = Line::new(&row(), Beside::default());
        let mut found = Vec::new();
        leaves(&serde_json::to_value(&line).unwrap(), &mut found);
        let csv = row().line();
        for (column, value) in COLUMNS.iter().zip(csv.split(',')) {
            let written = match (*column, value) {
                ("valid", _) => "false".to_owned(),
                (_, "inf") => r#""never""#.to_owned(),
                (column, value) if column.contains("(M)") || column.contains("memory(M)") => {
                    (value.parse::<f64>().unwrap() as u64 * 1_048_576).to_string()
                }
                (_, value) => value.trim_end_matches("00").to_owned(),
            };
            let times = found.iter().filter(|leaf| **leaf == written).count();
            assert_eq!(times, 1, "{column} = {value}: {written} in {found:?}");
        }
        assert_eq!(
            found.len(),
            COLUMNS.len() - 2 + 2 + 5,
            "the latency of calls once; besides, its time, how long it was, and what became of calls"
        );
    }

    #[test]
    fn a_server_that_is_not_known_is_null_and_losses_have_their_reasons() {
        let mut lost = Losses::default();
        lost.add(GapReason::DropOldest, 5);
        let beside = Beside {
            lost,
            ..Beside::default()
        };
        let line = Line::new(&Row::default(), beside);
        assert_eq!(line.server, None);
        assert_eq!(line.lost, BTreeMap::from([("drop_oldest".to_owned(), 5)]));
        assert_eq!(line.latency_ms.p50, None);
    }
}
