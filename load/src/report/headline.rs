//! What a run is worth, in a sentence, and the numbers that people ask for first. Pure.
use super::escape::Escaped;
use crate::failure::exit;
use crate::number;
use crate::record::{Calls, Line, Run};
use std::fmt;

/// What the run is worth.
pub(super) struct Headline<'a>(pub(super) &'a Run);

/// How good the news is.
enum News {
    Good,
    Doubtful,
    Bad,
}

impl fmt::Display for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (news, text, reasons) = judged(self.0);
        let class = match news {
            News::Good => "good",
            News::Doubtful => "doubtful",
            News::Bad => "bad",
        };
        writeln!(f, "<section class=\"verdict {class}\"><h2>{text}</h2>")?;
        for reason in reasons {
            writeln!(f, "<p>{}</p>", Escaped(reason))?;
        }
        writeln!(f, "</section>")
    }
}

fn judged(run: &Run) -> (News, &'static str, Vec<String>) {
    let verdict = &run.verdict;
    if verdict.code != 0 {
        let text = if verdict.books.residual > 0 {
            "Failed: the books do not close"
        } else if verdict.code == exit::MISSED {
            "A threshold was missed"
        } else {
            "Failed"
        };
        return (News::Bad, text, verdict.summary.clone());
    }
    if verdict.valid {
        return (News::Good, "Valid", vec![good(run)]);
    }
    let reasons = verdict.reasons.iter().map(|reason| capital(reason));
    (
        News::Doubtful,
        "Not valid as a measurement of the server",
        reasons.collect(),
    )
}

fn good(run: &Run) -> String {
    let said = match &run.verdict.calls {
        Some(calls) => format!(
            "{} of {} calls were answered with what they asked for",
            number::count(calls.answered),
            number::count(calls.due)
        ),
        None => format!(
            "Every one of {} ledgers closes",
            number::count(run.verdict.books.ledgers)
        ),
    };
    format!("{said}, and the generator was never the limit.")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first
        .into_iter()
        .flatten()
        .chain(chars)
        .chain(['.'])
        .collect()
}

/// The numbers.
pub(super) struct Numbers<'a>(pub(super) &'a Run);

/// A number, what it is, and what belongs to it.
struct Tile {
    name: &'static str,
    value: String,
    beside: String,
}

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "<section class=\"tiles\" aria-label=\"Numbers\">")?;
        for tile in tiles(self.0) {
            writeln!(
                f,
                "<div><h3>{}</h3><p class=\"value\">{}</p><p class=\"beside\">{}</p></div>",
                tile.name,
                Escaped(tile.value),
                Escaped(tile.beside)
            )?;
        }
        writeln!(f, "</section>")
    }
}

fn tiles(run: &Run) -> Vec<Tile> {
    let latency = &run.verdict.latency_ms;
    let tile = |name, value, beside: &str| Tile {
        name,
        value,
        beside: beside.to_owned(),
    };
    let slow = run.groups.len() > 1;
    let of = if slow {
        "of all expected by the healthy"
    } else {
        "of all expected"
    };
    let [first, second] = match &run.verdict.calls {
        Some(calls) => [calls_due(calls), calls_failed(calls)],
        None => [lost(run), residual(run)],
    };
    vec![
        clients(run),
        delivered(run),
        first,
        second,
        tile("p50", number::latency(latency.p50), of),
        tile("p99", number::latency(latency.p99), of),
        tile("p99.9", number::latency(latency.p99_9), of),
        tile("Longest", number::latency(latency.max), "of what came"),
        per_message(run),
        per_connection(run),
    ]
}

fn clients(run: &Run) -> Tile {
    let reached = run.lines.iter().map(|line| line.connections.subscribed);
    Tile {
        name: "Connections",
        value: number::count(reached.max().unwrap_or(0)),
        beside: format!("of {} asked for", number::count(run.asked.clients)),
    }
}

fn delivered(run: &Run) -> Tile {
    let most = run.lines.iter().map(|line| line.messages.per_s);
    Tile {
        name: "Delivered",
        value: format!("{}/s", number::short(most.fold(0.0, f64::max))),
        beside: format!(
            "at most; {} messages in all",
            number::short(run.verdict.received as f64)
        ),
    }
}

fn lost(run: &Run) -> Tile {
    let unannounced: u64 = run.groups.iter().map(|group| group.lost_unannounced).sum();
    let lost = run.verdict.books.lost();
    Tile {
        name: "Lost",
        value: number::count(lost),
        beside: match (lost, unannounced) {
            (0, 0) => "nothing at all".to_owned(),
            (_, 0) => "every one announced".to_owned(),
            (_, silent) => format!("{} never announced", number::count(silent)),
        },
    }
}

fn calls_due(calls: &Calls) -> Tile {
    Tile {
        name: "Calls",
        value: number::count(calls.due),
        beside: format!("{} answered as asked", number::count(calls.answered)),
    }
}

fn calls_failed(calls: &Calls) -> Tile {
    let refused: u64 = calls.refused.values().sum();
    Tile {
        name: "Failed",
        value: number::count(calls.failed),
        beside: format!(
            "{} refused, {} not made",
            number::count(refused),
            number::count(calls.skipped)
        ),
    }
}

fn residual(run: &Run) -> Tile {
    let books = &run.verdict.books;
    Tile {
        name: "Residual",
        value: number::count(books.residual),
        beside: format!("over {} ledgers", number::count(books.ledgers)),
    }
}

fn per_message(run: &Run) -> Tile {
    let fullest = fullest(run).and_then(|line| Some((line.server.as_ref()?, &line.own)));
    let us = |us: Option<f64>| us.map_or(number::UNKNOWN.to_owned(), |us| number::ms(us / 1000.0));
    Tile {
        name: "Server CPU",
        value: us(fullest.and_then(|(server, _)| server.cpu_us_per_message)),
        beside: format!(
            "a message; generator {}",
            us(fullest.and_then(|(_, own)| own.cpu_us_per_message))
        ),
    }
}

fn per_connection(run: &Run) -> Tile {
    let each = |line: &Line, bytes: Option<u64>| {
        let connections = line.connections.subscribed.max(1) as f64;
        bytes.map_or(number::UNKNOWN.to_owned(), |bytes| {
            number::bytes(bytes as f64 / connections)
        })
    };
    let fullest = fullest(run);
    let server = |line: &Line| each(line, line.server.as_ref().map(|server| server.pss_bytes));
    let kernel = |line: &Line| each(line, line.machine.tcp_bytes);
    let unknown = || number::UNKNOWN.to_owned();
    Tile {
        name: "Server memory",
        value: fullest.map_or_else(unknown, server),
        beside: format!(
            "a connection; kernel's TCP {}",
            fullest.map_or_else(unknown, kernel)
        ),
    }
}

/// The last line with the most connections: a constant share weighs least there.
fn fullest(run: &Run) -> Option<&Line> {
    run.lines
        .iter()
        .max_by_key(|line| line.connections.subscribed)
}
