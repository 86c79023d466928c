//! What became of a run: the books, the troubles, the verdict. Pure.
use super::{Calls, Latency, Percentiles};
use crate::ramp::memory;
use crate::swarm::{self, Causes, Counters, Tally};
use crate::threshold::{Held, Unit};
use serde::{Deserialize, Serialize};

/// How a run came to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All steps and the hold were done.
    #[default]
    Planned,
    /// It was told to end.
    Interrupted,
}

/// The sum of ledgers: published = delivered + filtered by rate + conflated + dropped + expired + retention + pending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Ledgers in it.
    pub ledgers: u64,
    /// Ledgers refused, or whose connection ended first.
    pub unanswered: u64,
    /// Published for these subscriptions.
    pub published: u64,
    /// Delivered, as the server counts.
    pub delivered: u64,
    /// Received, as this side counts.
    pub received: u64,
    /// Left out by a rate.
    pub filtered_by_rate: u64,
    /// Replaced by a newer one of their key.
    pub conflated: u64,
    /// Lost: the oldest went.
    pub drop_oldest: u64,
    /// Lost: the newest went.
    pub drop_newest: u64,
    /// Lost: the worker's memory was short.
    pub memory: u64,
    /// Lost: too old.
    pub expired: u64,
    /// Lost: they had left the log.
    pub retention: u64,
    /// To be delivered yet, in memory.
    pub pending_memory: u64,
    /// To be delivered yet, from the log; `null`: unknown of some.
    pub pending_spilled: Option<u64>,
    /// What the two sides disagree by. Anything but 0 is an error.
    pub residual: u64,
}

impl Books {
    pub(super) fn new(books: &swarm::Books) -> Self {
        let sum = &books.sum;
        let spilled = sum.pending.spilled.unwrap_or(0);
        Self {
            ledgers: books.answered,
            unanswered: books.unanswered,
            published: sum.published,
            delivered: sum.delivered,
            received: books.received,
            filtered_by_rate: sum.filtered_by_rate,
            conflated: sum.conflated,
            drop_oldest: sum.dropped.drop_oldest,
            drop_newest: sum.dropped.drop_newest,
            memory: sum.dropped.memory,
            expired: sum.expired,
            retention: sum.retention,
            pending_memory: sum.pending.memory,
            pending_spilled: (books.spilled_unknown == 0).then_some(spilled),
            residual: books.residual,
        }
    }

    /// Lost for any reason.
    pub fn lost(&self) -> u64 {
        self.drop_oldest + self.drop_newest + self.memory + self.expired + self.retention
    }
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A connection did not come about.
    Connect,
    /// A connection ended though nobody here asked for it.
    Closed,
    /// The server refused a command.
    Refused,
    /// What the server sent is not this protocol.
    Protocol,
}

/// A trouble and how often it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What kind it is of.
    pub kind: Kind,
    /// In words.
    pub cause: String,
    /// How often.
    pub count: u64,
}

/// All troubles of a run by cause.
pub fn causes(counters: &Counters) -> Vec<Cause> {
    let of = |kind, causes: &Causes| -> Vec<Cause> {
        let ranked = causes.ranked().into_iter();
        let cause = |(cause, count): (&str, u64)| Cause {
            kind,
            cause: cause.to_owned(),
            count,
        };
        ranked.map(cause).collect()
    };
    let mut closed = Causes::default();
    for (code, count) in &counters.closed {
        closed.count_many(&close_code(*code), *count);
    }
    [
        of(Kind::Connect, &counters.failure_causes),
        of(Kind::Closed, &closed),
        of(Kind::Refused, &counters.error_causes),
        of(Kind::Protocol, &counters.violations),
    ]
    .concat()
}

fn close_code(code: u16) -> String {
    match code {
        1006 => "without a close frame (1006)".to_owned(),
        code => format!("close code {code}"),
    }
}

/// What a run is worth.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Exit code: 0 is a success.
    pub code: u8,
    /// Whether it counts as a measurement of the server.
    pub valid: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// Lines whose latencies are not the server's.
    pub lines_invalid: u64,
    /// Over all lines and all messages expected.
    pub latency_ms: Percentiles,
    /// Messages received, of all connections.
    pub received: u64,
    /// The sum of all ledgers.
    pub books: Books,
    /// What became of all calls; `null`: the connections made none.
    pub calls: Option<Calls>,
    /// What a connection has added to the memory in use; `null`: they were too few to say.
    pub per_connection: Option<PerConnection>,
    /// What the run was to hold, in the order it was asked for.
    #[serde(default)]
    pub thresholds: Vec<Condition>,
    /// What is told at the end of the run, line by line.
    pub summary: Vec<String>,
}

/// What each connection has added to the memory in use since before the first. Negative where it has become less.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PerConnection {
    /// Over so many.
    pub connections: u64,
    /// PSS of all the server's processes; `null`: they are not known.
    pub server_bytes: Option<f64>,
    /// PSS of the generator's processes.
    pub own_bytes: Option<f64>,
    /// The kernel's, of all TCP sockets of the machine.
    pub tcp_bytes: Option<f64>,
}

impl PerConnection {
    pub(super) fn new(of: memory::PerConnection) -> Self {
        Self {
            connections: of.connections as u64,
            server_bytes: of.server,
            own_bytes: of.own,
            tcp_bytes: of.tcp,
        }
    }
}

/// A condition of a threshold, and whether it was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// As typed.
    pub condition: String,
    /// Whether it was met.
    pub met: bool,
    /// What the run had; `null`: it was not measured, and so not met.
    pub got: Option<Latency>,
    /// What that is counted in.
    pub unit: Unit,
}

impl Condition {
    pub(super) fn new(held: &Held) -> Self {
        Self {
            condition: held.condition.clone(),
            met: held.met,
            got: held.got.map(Latency),
            unit: held.unit,
        }
    }
}

/// What a tally's percentiles are.
pub(super) fn percentiles(tally: &Tally) -> Percentiles {
    let quantile = |quantile| tally.quantile_ms(quantile).map(Latency);
    Percentiles {
        p50: quantile(0.5),
        p90: quantile(0.9),
        p99: quantile(0.99),
        p99_9: quantile(0.999),
        max: tally.max_ms().map(Latency),
        mean: tally.mean_ms(),
        mean_highest: tally.mean_high_ms(),
        mean_lowest: tally.mean_low_ms(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pubsub_wire::value::{Dropped, Ledger, Pending};

    #[test]
    fn the_books_have_every_count_of_the_ledgers() {
        let ledger = Ledger {
            published: 55,
            delivered: 1,
            filtered_by_rate: 2,
            conflated: 3,
            dropped: Dropped {
                drop_oldest: 4,
                drop_newest: 5,
                memory: 6,
            },
            expired: 7,
            retention: 8,
            pending: Pending {
                memory: 9,
                spilled: Some(10),
            },
        };
        let mut sum = swarm::Books::default();
        sum.enter(
            &ledger,
            swarm::counters::Seen {
                received: 1,
                announced: 0,
            },
        );
        let books = Books::new(&sum);
        let left = books.delivered + books.filtered_by_rate + books.conflated;
        let pending = books.pending_memory + books.pending_spilled.unwrap();
        assert_eq!(left + books.lost() + pending, books.published);
        assert_eq!((books.residual, books.lost(), books.ledgers), (0, 30, 1));
        sum.spilled_unknown = 1;
        assert_eq!(
            Books::new(&sum).pending_spilled,
            None,
            "what is unknown is not 0"
        );
    }

    #[test]
    fn troubles_are_grouped_by_kind_and_then_by_how_often_they_were_seen() {
        let mut counters = Counters::default();
        counters.closed.insert(1001, 2);
        counters.closed.insert(1006, 5);
        counters.error_causes.count("limit: no room");
        counters.failure_causes.count("connection refused");
        let causes = causes(&counters);
        let told: Vec<_> = causes
            .iter()
            .map(|cause| (cause.kind, cause.cause.as_str(), cause.count))
            .collect();
        assert_eq!(
            told,
            [
                (Kind::Connect, "connection refused", 1),
                (Kind::Closed, "without a close frame (1006)", 5),
                (Kind::Closed, "close code 1001", 2),
                (Kind::Refused, "limit: no room", 1),
            ]
        );
    }
}
