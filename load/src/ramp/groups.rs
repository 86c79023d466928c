//! What each group of connections got, as a table for people: a column per group, a line per count.
//!
//! Pure. What no ledger says is `unknown`, never 0; connections without a ledger are named below the table.
use crate::swarm::{Account, Staleness};
use std::collections::BTreeMap;
use std::fmt;

/// One group at the end of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it is called.
    pub name: String,
    /// What happened to it.
    pub account: Account,
    /// Open subscriptions that were asked for their ledger and did not answer in time.
    pub late: u64,
    /// Messages that ledgers say were lost and no gap has announced.
    pub unannounced: u64,
    /// How old what it held was.
    pub staleness: Staleness,
}

/// The table.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a>(pub &'a [Report]);

type Cell = fn(&Report) -> String;

/// The lines, in order.
const LINES: [(&str, Cell); 21] = [
    ("subscribed", |group| group.account.subscribed.to_string()),
    ("closed", |group| closed(&group.account.closed)),
    ("went behind", |group| group.account.behind.to_string()),
    ("went to replay", |group| group.account.replays.to_string()),
    ("ledgers", |group| group.account.books.answered.to_string()),
    ("published", |group| {
        booked(group, |account| account.books.sum.published)
    }),
    ("received", |group| {
        booked(group, |account| account.books.received)
    }),
    ("delivered", |group| {
        booked(group, |account| account.books.sum.delivered)
    }),
    ("conflated", |group| {
        booked(group, |account| account.books.sum.conflated)
    }),
    ("filtered by rate", |group| {
        booked(group, |account| account.books.sum.filtered_by_rate)
    }),
    ("drop_oldest", |group| {
        booked(group, |account| account.books.sum.dropped.drop_oldest)
    }),
    ("drop_newest", |group| {
        booked(group, |account| account.books.sum.dropped.drop_newest)
    }),
    ("memory", |group| {
        booked(group, |account| account.books.sum.dropped.memory)
    }),
    ("expired", |group| {
        booked(group, |account| account.books.sum.expired)
    }),
    ("retention", |group| {
        booked(group, |account| account.books.sum.retention)
    }),
    ("pending", pending),
    ("gaps announced", gaps),
    ("lost, not announced", |group| group.unannounced.to_string()),
    ("residual", |group| {
        booked(group, |account| account.books.residual)
    }),
    ("stale p50 / p99", |group| {
        let during = |quantile| group.staleness.during_ms(quantile);
        ages(during(0.5), during(0.99))
    }),
    ("stale at the end p50 / max", |group| {
        let at_end = |quantile| group.staleness.at_end_ms(quantile);
        ages(at_end(0.5), at_end(1.0))
    }),
];

/// Shown even where they are 0 in every group.
const ALWAYS: [&str; 4] = ["published", "received", "delivered", "residual"];

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = LINES
            .iter()
            .map(|(label, _)| label.len())
            .max()
            .unwrap_or(0);
        let columns: Vec<(usize, Vec<String>)> = self.0.iter().map(column).collect();
        let line = |f: &mut fmt::Formatter<'_>, name: &str, row: usize| {
            write!(f, "{name:label$}")?;
            for (width, cells) in &columns {
                write!(f, "  {:>width$}", cells[row])?;
            }
            writeln!(f)
        };
        line(f, "", 0)?;
        for (row, (name, _)) in LINES.iter().enumerate() {
            let nothing = columns
                .iter()
                .all(|(_, cells)| matches!(cells[row + 1].as_str(), "0" | "-"));
            if !nothing || ALWAYS.contains(name) {
                line(f, name, row + 1)?;
            }
        }
        writeln!(f, "(lines that are 0 in every group are left out)")?;
        self.0.iter().try_for_each(|group| missing(f, group))
    }
}

/// A group's name and counts, and how wide they are.
fn column(group: &Report) -> (usize, Vec<String>) {
    let cells = std::iter::once(group.name.clone())
        .chain(LINES.iter().map(|(_, cell)| cell(group)))
        .collect::<Vec<String>>();
    let width = cells.iter().map(|cell| cell.chars().count()).max();
    (width.unwrap_or(0), cells)
}

/// Names what is in none of the sums.
fn missing(f: &mut fmt::Formatter<'_>, group: &Report) -> fmt::Result {
    let account = &group.account;
    if account.unbooked() > 0 {
        let name = &group.name;
        writeln!(
            f,
            "{name}: {} of {} have no ledger and are in no sum from published to residual: {} ended before (they had received {}), {} did not answer in time",
            account.unbooked(),
            account.subscribed,
            account.ended_unbooked,
            account.received_unbooked,
            group.late,
        )?;
    }
    Ok(())
}

/// A sum over ledgers.
fn booked(group: &Report, of: impl FnOnce(&Account) -> u64) -> String {
    if group.account.books.answered > 0 {
        of(&group.account).to_string()
    } else if group.account.subscribed > 0 {
        "unknown".to_owned()
    } else {
        "-".to_owned()
    }
}

fn pending(group: &Report) -> String {
    let known = booked(group, |account| account.books.pending());
    match group.account.books.spilled_unknown {
        0 => known,
        n => format!("{known}, and unknown of {n}"),
    }
}

fn gaps(group: &Report) -> String {
    let account = &group.account;
    match account.gaps_uncounted {
        0 if account.gaps == 0 => "0".to_owned(),
        0 => format!("{} (lost {})", account.gaps, account.announced),
        n => format!(
            "{} (lost {}, and unknown in {n})",
            account.gaps, account.announced
        ),
    }
}

/// Numbers of connections by close code.
pub(super) fn closed(codes: &BTreeMap<u16, u64>) -> String {
    if codes.is_empty() {
        return "0".to_owned();
    }
    let codes: Vec<String> = codes
        .iter()
        .map(|(code, n)| match code {
            1006 => format!("{n} hard (1006)"),
            code => format!("{n} with {code}"),
        })
        .collect();
    codes.join(", ")
}

fn ages(usual: Option<f64>, most: Option<f64>) -> String {
    match (usual, most) {
        (Some(usual), Some(most)) => format!("{} / {}", age(usual), age(most)),
        _ => "nothing held".to_owned(),
    }
}

fn age(ms: f64) -> String {
    if ms < 1000.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::counters::Seen;
    use crate::swarm::staleness::Held;
    use pubsub_wire::value::Ledger;

    fn report(name: &str, subscribed: u64, ledgers: &[Ledger]) -> Report {
        let mut account = Account {
            subscribed,
            ..Account::default()
        };
        for ledger in ledgers {
            let seen = Seen {
                received: ledger.delivered,
                announced: 0,
            };
            account.books.enter(ledger, seen);
        }
        Report {
            name: name.to_owned(),
            account,
            late: 0,
            unannounced: 0,
            staleness: Staleness::default(),
        }
    }

    /// The cells of a line, parted where two spaces are.
    fn cells(table: &str, name: &str) -> Vec<String> {
        let line = table.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no line {name}: {table}"))
            .split("  ")
            .map(|cell| cell.trim().to_owned())
            .filter(|cell| !cell.is_empty())
            .collect()
    }

    #[test]
    fn every_group_has_its_own_column() {
        let ledger = |published, conflated| Ledger {
            published,
            conflated,
            delivered: published - conflated,
            ..Ledger::default()
        };
        let healthy = report("healthy", 2, &[ledger(7, 0), ledger(9, 0)]);
        let slow = report("5%:stall", 1, &[ledger(16, 10)]);
        let text = Table(&[healthy, slow]).to_string();
        assert_eq!(cells(&text, ""), ["healthy", "5%:stall"]);
        assert_eq!(cells(&text, "subscribed"), ["2", "1"]);
        assert_eq!(cells(&text, "published"), ["16", "16"]);
        assert_eq!(cells(&text, "delivered"), ["16", "6"]);
        assert_eq!(cells(&text, "conflated"), ["0", "10"]);
        assert_eq!(cells(&text, "residual"), ["0", "0"]);
        let widths: Vec<usize> = text.lines().map(str::len).collect();
        let (_, table) = widths.split_last().unwrap();
        assert!(table.iter().all(|width| *width == table[0]), "{text}");
        assert!(
            !text.contains("drop_oldest"),
            "nobody lost anything: {text}"
        );
    }

    #[test]
    fn what_no_ledger_says_is_unknown_and_named() {
        let mut slow = report("5%:stall", 3, &[]);
        slow.account.closed.insert(4001, 2);
        slow.account.closed.insert(1006, 1);
        (slow.account.ended_unbooked, slow.account.received_unbooked) = (2, 40);
        slow.late = 1;
        let text = Table(&[slow]).to_string();
        assert_eq!(cells(&text, "published"), ["unknown"]);
        assert_eq!(cells(&text, "closed"), ["1 hard (1006), 2 with 4001"]);
        assert!(text.contains("5%:stall: 3 of 3 have no ledger"), "{text}");
        assert!(text.contains("2 ended before (they had received 40), 1 did not answer in time"));
    }

    #[test]
    fn a_group_without_connections_has_no_counts() {
        let text = Table(&[report("healthy", 0, &[])]).to_string();
        assert_eq!(cells(&text, "published"), ["-"]);
        assert!(!text.contains("no ledger"), "{text}");
    }

    #[test]
    fn what_cannot_be_counted_is_said_beside_what_can() {
        let mut ledger = Ledger::default();
        ledger.pending.memory = 4;
        let mut slow = report("1%:pause=5s", 1, &[ledger]);
        (
            slow.account.gaps,
            slow.account.announced,
            slow.account.gaps_uncounted,
        ) = (3, 70, 1);
        slow.staleness.ended(
            Held {
                ts_us: 1,
                since_us: 1,
            },
            2_000_001,
        );
        let text = Table(&[slow]).to_string();
        assert_eq!(cells(&text, "pending"), ["4, and unknown of 1"]);
        assert_eq!(
            cells(&text, "gaps announced"),
            ["3 (lost 70, and unknown in 1)"]
        );
        assert_eq!(
            cells(&text, "stale at the end p50 / max"),
            ["2.0 s / 2.0 s"]
        );
    }
}
