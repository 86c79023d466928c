//! Answers of a node as people read them in a terminal.
//!
//! Owns the tables. Must not contain: asking. Driven by `command`.

use std::fmt::Write as _;

use crate::link::ctl::SlowOf;
use crate::telemetry::status::{Log, Reasons, Status, Worker};

/// Units of bytes, each 1024 times the one before.
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// The node, its hub, and a line per worker.
pub fn status(status: &Status) -> String {
    let (totals, hub) = (&status.totals, &status.hub);
    let admin = status
        .admin
        .map_or_else(|| "none".to_owned(), |admin| admin.to_string());
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    line(format!(
        "node {}  {}  up {}  version {}  supervisor {}  listen {}  admin {admin}",
        status.node,
        status.status,
        duration(status.uptime_s),
        status.version,
        status.pid,
        status.listen,
    ));
    line(format!(
        "clients: {} connections, {} subscriptions ({} behind)",
        totals.connections, totals.subscriptions, totals.behind
    ));
    line(format!(
        "messages: {} published, {} delivered ({}), {} filtered by rates, {} conflated, lost {}; delivery p50 {} p99 {}",
        totals.published,
        totals.delivered,
        bytes(totals.delivered_bytes),
        totals.filtered,
        totals.conflated,
        reasons(&totals.lost),
        micros(totals.delivery.p50_us),
        micros(totals.delivery.p99_us),
    ));
    line(format!(
        "refused: {}; closed: {}",
        reasons(&totals.rejected),
        reasons(&totals.closed)
    ));
    line(format!(
        "hub {}  pid {}  restarts {}  {} workers  {} topics  {} keys  log {} in {} entries, {}..{}  epoch {}  rss {}",
        hub.state,
        hub.pid,
        hub.restarts,
        hub.workers,
        status.topics,
        hub.keys,
        bytes(hub.log_bytes),
        hub.log_entries,
        hub.first,
        hub.head,
        status.epoch,
        bytes(hub.rss_bytes),
    ));
    line(log(&hub.log));
    if hub.restoring {
        line("newest values and orders are still being read from the log".to_owned());
    }
    let head = [
        "worker",
        "pid",
        "state",
        "connections",
        "subscriptions",
        "behind",
        "delivered",
        "lag",
        "rss",
        "restarts",
    ];
    text + &table(&head, status.workers.iter().map(worker).collect())
}

fn log(log: &Log) -> String {
    let Some(disk) = &log.disk else {
        return format!("log {}", log.kind);
    };
    let synced = match (disk.synced, disk.unsynced_ms) {
        (Some(synced), Some(ms)) => format!("{synced} ({ms} ms behind)"),
        _ => "never".to_owned(),
    };
    let free = match disk.free_bytes {
        Some(free) if disk.space_short => format!("{}, too little", bytes(free)),
        Some(free) => bytes(free),
        None => "-".to_owned(),
    };
    format!(
        "log {} in {}  {} segments  sync {}  acknowledged {}  synced {synced}  free {free}  {} refused  holes {} damaged, {} skipped",
        log.kind,
        disk.folder.display(),
        disk.segments,
        disk.sync,
        log.acknowledged,
        disk.refused,
        disk.holes.damaged,
        disk.holes.skipped,
    )
}

fn worker(worker: &Worker) -> Vec<String> {
    let state = match worker.blocked_ms {
        Some(ms) => format!("{} (blocked for {ms} ms)", worker.state),
        None => worker.state.clone(),
    };
    vec![
        worker.slot.to_string(),
        worker.pid.to_string(),
        state,
        worker.connections.to_string(),
        worker.subscriptions.to_string(),
        worker.behind.to_string(),
        worker.delivered.to_string(),
        micros(Some(worker.loop_lag_us)),
        bytes(worker.rss_bytes),
        worker.restarts.to_string(),
    ]
}

/// The subscriptions that are furthest behind.
pub fn slow(rows: &[SlowOf]) -> String {
    if rows.is_empty() {
        return "no subscription is behind\n".to_owned();
    }
    let row = |of: &SlowOf| {
        let (row, lag) = (&of.row, &of.row.lag);
        vec![
            of.worker.to_string(),
            row.session.clone(),
            row.topic.clone(),
            row.mode.clone(),
            lag.messages.to_string(),
            bytes(lag.bytes),
            format!("{} ms", lag.age_ms),
            row.overflow.as_str().to_owned(),
            row.settings.clone(),
        ]
    };
    let head = [
        "worker", "session", "topic", "mode", "messages", "bytes", "age", "overflow", "settings",
    ];
    table(&head, rows.iter().map(row).collect())
}

/// Columns as wide as their widest cell, numbers to the right.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        all.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let is_number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit());
    let mut text = String::new();
    for row in &all {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let (width, right) = (
                width(column),
                all[1..].iter().all(|row| is_number(&row[column])),
            );
            let _ = if right {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn reasons(reasons: &Reasons) -> String {
    let some: Vec<String> = reasons
        .some()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    if some.is_empty() {
        "none".to_owned()
    } else {
        some.join(", ")
    }
}

fn duration(seconds: u64) -> String {
    match (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s}s"),
        (0, h, m, _) => format!("{h}h{m}m"),
        (d, h, _, _) => format!("{d}d{h}h"),
    }
}

fn micros(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(us @ 0..1000) => format!("{us} us"),
        Some(us @ 1000..1_000_000) => format!("{:.1} ms", us as f64 / 1e3),
        Some(us) => format!("{:.1} s", us as f64 / 1e6),
    }
}

fn bytes(bytes: u64) -> String {
    let power = (bytes.max(1).ilog2() / 10).min(UNITS.len() as u32 - 1);
    match power {
        0 => format!("{bytes} B"),
        _ => format!(
            "{:.1} {}",
            bytes as f64 / f64::from(1024_u32).powi(power as i32),
            UNITS[power as usize]
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::control::{SlowLag, SlowRow};
    use crate::telemetry::status::{Holes, LogOnDisk};
    use pubsub_wire::value::Overflow;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = vec![
            vec!["0".to_owned(), "up".to_owned()],
            vec!["10".to_owned(), "draining".to_owned()],
        ];
        assert_eq!(
            table(&["slot", "state"], rows),
            "slot  state\n   0  up\n  10  draining\n"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1536), bytes(64 << 20)],
            ["0 B", "1023 B", "1.5 KiB", "64.0 MiB"]
        );
        assert_eq!(
            [duration(59), duration(61), duration(3661), duration(90_000)],
            ["59s", "1m1s", "1h1m", "1d1h"]
        );
        assert_eq!(
            [micros(None), micros(Some(36)), micros(Some(1500))],
            ["-", "36 us", "1.5 ms"]
        );
    }

    #[test]
    fn a_log_on_disk_says_how_it_is_and_one_in_memory_that_it_is_one() {
        let mut of = Log {
            kind: "memory".to_owned(),
            ..Log::default()
        };
        assert_eq!(log(&of), "log memory");
        let disk = LogOnDisk {
            folder: "/d".into(),
            sync: "always".to_owned(),
            synced: Some(8),
            unsynced_ms: Some(3),
            segments: 2,
            free_bytes: Some(2048),
            space_short: true,
            refused: 1,
            holes: Holes {
                damaged: 4,
                skipped: 5,
            },
        };
        (of.kind, of.acknowledged, of.disk) = ("disk".to_owned(), 9, Some(disk));
        assert_eq!(
            log(&of),
            "log disk in /d  2 segments  sync always  acknowledged 9  synced 8 (3 ms behind)  free 2.0 KiB, too little  1 refused  \
             holes 4 damaged, 5 skipped"
        );
    }

    #[test]
    fn slow_subscriptions_are_a_table() {
        let lag = SlowLag {
            messages: 1024,
            bytes: 2048,
            age_ms: 70,
        };
        let row = SlowRow {
            session: "s-1".into(),
            topic: "execs".into(),
            mode: "behind".into(),
            lag,
            overflow: Overflow::DropOldest,
            settings: "batch 50 ms · credit 0".into(),
        };
        let text = slow(&[SlowOf { worker: 3, row }]);
        let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            words,
            [
                "3",
                "s-1",
                "execs",
                "behind",
                "1024",
                "2.0",
                "KiB",
                "70",
                "ms",
                "drop_oldest",
                "batch",
                "50",
                "ms",
                "·",
                "credit",
                "0"
            ]
        );
        assert_eq!(slow(&[]), "no subscription is behind\n");
    }
}
