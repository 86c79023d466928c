//! The tables of a report: groups, troubles, processes, lines. Pure.
use super::escape::Escaped;
use crate::number;
use crate::record::{Condition, Group, Kind, Latency, Line, Run};
use crate::threshold::Unit;
use std::fmt::{self, Display};

/// What each group got; nothing, where there is one group that had no trouble.
pub(super) struct Groups<'a>(pub(super) &'a Run);

type GroupCell = fn(&Group) -> String;

const GROUP_ROWS: [(&str, GroupCell); 19] = [
    ("subscribed", |group| number::count(group.subscribed)),
    ("closed", |group| number::count(group.closed.values().sum())),
    ("went behind", |group| number::count(group.went_behind)),
    ("went to replay", |group| {
        number::count(group.went_to_replay)
    }),
    ("without ledger", |group| {
        number::count(group.without_ledger)
    }),
    ("published", |group| number::count(group.books.published)),
    ("received", |group| number::count(group.books.received)),
    ("delivered", |group| number::count(group.books.delivered)),
    ("filtered by rate", |group| {
        number::count(group.books.filtered_by_rate)
    }),
    ("conflated", |group| number::count(group.books.conflated)),
    ("drop_oldest", |group| {
        number::count(group.books.drop_oldest)
    }),
    ("drop_newest", |group| {
        number::count(group.books.drop_newest)
    }),
    ("memory", |group| number::count(group.books.memory)),
    ("expired", |group| number::count(group.books.expired)),
    ("retention", |group| number::count(group.books.retention)),
    ("gaps announced", |group| number::count(group.gaps)),
    ("lost, not announced", |group| {
        number::count(group.lost_unannounced)
    }),
    ("residual", |group| number::count(group.books.residual)),
    ("age held, p50 · p99", |group| {
        let ages = [group.staleness_ms.p50, group.staleness_ms.p99];
        let [p50, p99] = ages.map(|age| age.map_or(number::UNKNOWN.to_owned(), number::ms));
        format!("{p50} · {p99}")
    }),
];

/// Shown even where they are 0 in every group.
const ALWAYS: [&str; 3] = ["received", "delivered", "residual"];

impl Display for Groups<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Connections that call have no books.
        if self.0.verdict.calls.is_some() {
            return Ok(());
        }
        let groups = &self.0.groups;
        let names = groups.iter().map(|group| group.name.as_str());
        let head = std::iter::once("").chain(names);
        begin(f, "Groups of connections", "groups", head)?;
        for (name, cell) in GROUP_ROWS {
            let cells: Vec<String> = groups.iter().map(cell).collect();
            if cells.iter().any(|cell| cell != "0") || ALWAYS.contains(&name) {
                row(f, name, cells)?;
            }
        }
        end(f)
    }
}

/// Troubles by what caused them.
pub(super) struct Errors<'a>(pub(super) &'a Run);

impl Display for Errors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.errors.is_empty() {
            return Ok(());
        }
        begin(f, "Troubles by cause", "errors", ["what", "times", "cause"])?;
        for cause in &self.0.errors {
            let kind = match cause.kind {
                Kind::Connect => "could not connect",
                Kind::Closed => "closed by the server",
                Kind::Refused => "refused by the server",
                Kind::Protocol => "not this protocol",
            };
            row(f, kind, [number::count(cause.count), cause.cause.clone()])?;
        }
        end(f)
    }
}

/// What the run was to hold; nothing, where nobody asked for anything.
pub(super) struct Thresholds<'a>(pub(super) &'a Run);

impl Display for Thresholds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thresholds = &self.0.verdict.thresholds;
        if thresholds.is_empty() {
            return Ok(());
        }
        let head = ["threshold", "met", "it was"];
        begin(f, "Thresholds", "thresholds", head)?;
        for threshold in thresholds {
            let met = if threshold.met { "yes" } else { "no" }.to_owned();
            row(f, &threshold.condition, [met, had(threshold)])?;
        }
        end(f)
    }
}

fn had(threshold: &Condition) -> String {
    match (threshold.got, threshold.unit) {
        (None, _) => number::UNKNOWN.to_owned(),
        (Some(got), Unit::Time) => number::latency(Some(got)),
        (Some(Latency(got)), Unit::PerSecond) => format!("{}/s", number::short(got)),
        (Some(Latency(got)), Unit::Count) => number::count(got as u64),
    }
}

/// What became of calls; nothing, where there were none.
pub(super) struct CallTable<'a>(pub(super) &'a Run);

impl Display for CallTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(calls) = &self.0.verdict.calls else {
            return Ok(());
        };
        begin(f, "Calls", "calls", ["what became of them", "calls"])?;
        row(f, "due", [number::count(calls.due)])?;
        row(f, "answered", [number::count(calls.answered)])?;
        for (code, n) in &calls.refused {
            row(f, &format!("refused: {code}"), [number::count(*n)])?;
        }
        row(f, "wrong answer", [number::count(calls.wrong)])?;
        row(f, "not made", [number::count(calls.skipped)])?;
        row(f, "unanswered", [number::count(calls.unanswered)])?;
        end(f)
    }
}

/// What the server's processes cost in the last line.
pub(super) struct Processes<'a>(pub(super) &'a Run);

impl Display for Processes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(server) = self.0.lines.last().and_then(|line| line.server.as_ref()) else {
            return Ok(());
        };
        let head = ["process", "how many", "cores", "memory (PSS)"];
        begin(f, "Server's processes in the last line", "processes", head)?;
        for role in &server.roles {
            let cells = [
                number::count(role.processes),
                number::digits(role.cores),
                number::bytes(role.pss_bytes as f64),
            ];
            row(f, &role.role, cells)?;
        }
        end(f)
    }
}

/// Every line.
pub(super) struct Lines<'a>(pub(super) &'a Run);

type LineCell = fn(&Line) -> String;

const LINE_COLUMNS: [(&str, LineCell); 20] = [
    ("clients", |line| number::count(line.clients)),
    ("connected", |line| {
        number::count(line.connections.subscribed)
    }),
    ("delivered/s", |line| number::short(line.messages.per_s)),
    ("p50", |line| number::latency(line.latency_ms.p50)),
    ("p90", |line| number::latency(line.latency_ms.p90)),
    ("p99", |line| number::latency(line.latency_ms.p99)),
    ("p99.9", |line| number::latency(line.latency_ms.p99_9)),
    ("max", |line| number::latency(line.latency_ms.max)),
    ("expected", |line| number::count(line.messages.expected)),
    ("lost", |line| number::count(line.lost.values().sum())),
    ("overdue", |line| number::count(line.messages.overdue)),
    ("failed", |line| number::count(line.connections.failed)),
    ("closed", |line| number::count(line.connections.closed)),
    ("server cores", |line| {
        known(line.server.as_ref().map(|of| of.cores), number::digits)
    }),
    ("server CPU/message", |line| {
        let us = line.server.as_ref().and_then(|of| of.cpu_us_per_message);
        known(us, us_written)
    }),
    ("server memory", |line| {
        let bytes = line.server.as_ref().map(|of| of.pss_bytes as f64);
        known(bytes, number::bytes)
    }),
    ("TCP memory", |line| {
        known(line.machine.tcp_bytes.map(|of| of as f64), number::bytes)
    }),
    ("own cores", |line| number::digits(line.own.cores)),
    ("own CPU/message", |line| {
        known(line.own.cpu_us_per_message, us_written)
    }),
    ("own lag p99", |line| number::ms(line.own.loop_lag_p99_ms)),
];

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = LINE_COLUMNS.iter().map(|(name, _)| *name);
        let head = ["until"].into_iter().chain(names).chain(["valid"]);
        begin(f, "Lines", "lines", head)?;
        for line in &self.0.lines {
            let valid = if line.valid { "yes" } else { "no" }.to_owned();
            let cells = LINE_COLUMNS.iter().map(|(_, cell)| cell(line));
            row(f, &number::seconds(line.at_s), cells.chain([valid]))?;
        }
        end(f)
    }
}

fn known(value: Option<f64>, written: fn(f64) -> String) -> String {
    value.map_or(number::UNKNOWN.to_owned(), written)
}

fn us_written(us: f64) -> String {
    number::ms(us / 1000.0)
}

fn begin<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    class: &str,
    head: impl IntoIterator<Item = &'a str>,
) -> fmt::Result {
    write!(
        f,
        "<section class=\"table {class}\"><h2>{}</h2><div class=\"scroll\" tabindex=\"0\"><table><thead><tr>",
        Escaped(title)
    )?;
    for name in head {
        write!(f, "<th scope=\"col\">{}</th>", Escaped(name))?;
    }
    writeln!(f, "</tr></thead><tbody>")
}

fn row(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    cells: impl IntoIterator<Item = String>,
) -> fmt::Result {
    write!(f, "<tr><th scope=\"row\">{}</th>", Escaped(name))?;
    for cell in cells {
        write!(f, "<td>{}</td>", Escaped(cell))?;
    }
    writeln!(f, "</tr>")
}

fn end(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "</tbody></table></div></section>")
}
