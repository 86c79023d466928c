//! That what is served is what Prometheus accepts: a strict reader of its text format, and the page against it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::admin::exposition::Labels;
use crate::telemetry::names::Kind;

const NOW: Now = Now {
    mono_ns: 5_000_000_000,
    wall_us: 1,
};

/// A family as read: its type, and its samples by name and labels.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: BTreeMap<String, f64>,
}

/// Reads a page as strictly as the format is written down; the error names the line.
fn read(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut present: Option<String> = None;
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    for line in text.lines() {
        let wrong = |why: &str| Err(format!("{why}: {line:?}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, help)) = rest.split_once(' ') else {
                return wrong("no help");
            };
            if help.is_empty() || families.contains_key(name) {
                return wrong("no help, or a family twice");
            }
            present = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else {
                return wrong("no type");
            };
            if present.as_deref() != Some(name)
                || !["counter", "gauge", "histogram"].contains(&kind)
            {
                return wrong("a type that does not follow its help, or none there is");
            }
            families.insert(
                name.to_owned(),
                Family {
                    kind: kind.to_owned(),
                    ..Family::default()
                },
            );
        } else {
            let (name, labels, value) = sample(line).map_err(|why| format!("{why}: {line:?}"))?;
            let family = present
                .as_ref()
                .and_then(|name| families.get_mut(name).map(|family| (name, family)));
            let Some((of, family)) = family else {
                return wrong("a sample of no family");
            };
            let suffix = name.strip_prefix(of.as_str());
            let fits = match family.kind.as_str() {
                "histogram" => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
                _ => suffix == Some(""),
            };
            if !fits {
                return wrong("a sample of another family");
            }
            if family
                .samples
                .insert(format!("{name}{labels:?}"), value)
                .is_some()
            {
                return wrong("the same sample twice");
            }
            if family.kind != "gauge" && value.is_sign_negative() {
                return wrong("a count below zero");
            }
        }
    }
    Ok(families)
}

type Sample = (String, BTreeMap<String, String>, f64);

fn sample(line: &str) -> Result<Sample, &'static str> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err("no name");
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("no label")?;
            let (value, after) = quoted(after).ok_or("an open quote")?;
            if !label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') || label.is_empty() {
                return Err("no label name");
            }
            if labels.insert(label.to_owned(), value).is_some() {
                return Err("a label twice");
            }
            match after.as_bytes() {
                [b',', ..] => rest = &after[1..],
                [b'}', ..] => break rest = &after[1..],
                _ => return Err("no end of the labels"),
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    Ok((
        name.to_owned(),
        labels,
        value.parse().map_err(|_| "no number")?,
    ))
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            '\n' => return None,
            c => value.push(c),
        }
    }
    None
}

fn board() -> Scoreboard {
    let (board, _fd) = Scoreboard::create().unwrap();
    board.node().workers.store(2, Ordering::Relaxed);
    board.node().workers_ever.store(3, Ordering::Relaxed);
    board
        .node()
        .supervisor_pid
        .store(std::process::id(), Ordering::Relaxed);
    for slot in 0..2 {
        board
            .worker(slot)
            .state
            .store(State::Up as u32, Ordering::Relaxed);
        board
            .worker(slot)
            .pid
            .store(std::process::id(), Ordering::Relaxed);
        board.worker(slot).connections.store(5, Ordering::Relaxed);
    }
    for slot in 0..3 {
        board.worker(slot).delivered.store(100, Ordering::Relaxed);
        board.worker(slot).delivery.counts[30].store(100, Ordering::Relaxed);
    }
    board
        .worker(1)
        .lost(Lost::Memory)
        .store(7, Ordering::Relaxed);
    board.worker(1).filtered.store(8, Ordering::Relaxed);
    board
}

fn served(board: &Scoreboard) -> BTreeMap<String, Family> {
    served_at(board, &config(), NOW)
}

fn served_at(board: &Scoreboard, config: &Config, now: Now) -> BTreeMap<String, Family> {
    let text = page(now, board, config);
    read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn config() -> Config {
    use crate::config::file::File;
    use crate::config::resolve::resolve;
    use crate::config::setting::Typed;
    let here = crate::config::Surroundings {
        host: "a\"b".to_owned(),
        ..crate::config::Surroundings::look()
    };
    resolve(
        &Typed::default(),
        &Typed::default(),
        &File::default(),
        &here,
    )
    .unwrap()
    .config
}

fn value(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels: BTreeMap<String, String> = labels
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let family = name.strip_suffix("_bucket").unwrap_or(name);
    families
        .get(family)?
        .samples
        .get(&format!("{name}{labels:?}"))
        .copied()
}

#[test]
fn every_named_metric_is_served_and_every_served_one_is_named() {
    let families = served(&board());
    let kind = |kind: Kind| kind.as_str().to_owned();
    let named: BTreeSet<(String, String)> = names::ALL
        .iter()
        .map(|m| (m.name.to_owned(), kind(m.kind)))
        .collect();
    let served: BTreeSet<(String, String)> = families
        .iter()
        .map(|(name, f)| (name.clone(), f.kind.clone()))
        .collect();
    assert_eq!(served, named);
}

#[test]
fn the_numbers_are_those_of_the_scoreboard() {
    let families = served(&board());
    let has = |name: &str, labels: &[(&str, &str)], wanted: f64| {
        assert_eq!(
            value(&families, name, labels),
            Some(wanted),
            "{name}{labels:?}"
        );
    };
    has("pubsub_connections", &[("worker", "1")], 5.0);
    has(
        "pubsub_lost_total",
        &[("worker", "1"), ("reason", "memory")],
        7.0,
    );
    has("pubsub_filtered_total", &[("worker", "1")], 8.0);
    has("pubsub_worker_up", &[("worker", "0")], 1.0);
    has("pubsub_hub_up", &[], 0.0);
    has(
        "pubsub_delivery_seconds_bucket",
        &[("worker", "0"), ("le", "+Inf")],
        100.0,
    );
    has(
        "pubsub_node_info",
        &[("node", "a\"b"), ("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    let cpu = value(
        &families,
        "process_cpu_seconds_total",
        &[("role", "supervisor"), ("slot", "0")],
    );
    assert!(cpu.is_some_and(|seconds| seconds >= 0.0));
}

#[test]
fn of_a_log_on_disk_everything_is_served_and_of_one_in_memory_no_sync_and_no_disk() {
    let board = board();
    let log = &board.hub().log;
    log.unsynced.store(3, Ordering::Relaxed);
    log.unsynced_since_ns
        .store(NOW.mono_ns - 250_000_000, Ordering::Relaxed);
    log.free_bytes_and_one.store(1, Ordering::Relaxed);
    log.skipped.store(2, Ordering::Relaxed);
    log.sync.counts[30].store(4, Ordering::Relaxed);
    let folder = "/var/lib/x".into();
    let on_disk = Config {
        log: Log::Disk { folder },
        ..config()
    };
    let families = served_at(&board, &on_disk, NOW);
    let wanted: [(&str, &Labels<'_>, f64); 6] = [
        ("pubsub_log_unsynced_entries", &[], 3.0),
        ("pubsub_log_unsynced_seconds", &[], 0.25),
        ("pubsub_log_disk_free_bytes", &[], 0.0),
        ("pubsub_log_holes", &[("kind", "damaged")], 0.0),
        ("pubsub_log_holes", &[("kind", "skipped")], 2.0),
        ("pubsub_log_sync_seconds_bucket", &[("le", "+Inf")], 4.0),
    ];
    for (name, labels, wanted) in wanted {
        assert_eq!(value(&families, name, labels), Some(wanted), "{name}");
    }
    board.hub().clear_gauges();
    let unsynced = "pubsub_log_unsynced_seconds";
    let families = served_at(&board, &on_disk, NOW);
    assert_eq!(value(&families, unsynced, &[]), Some(0.0));
    let families = served(&board);
    for name in [
        unsynced,
        "pubsub_log_unsynced_entries",
        "pubsub_log_disk_free_bytes",
    ] {
        assert_eq!(value(&families, name, &[]), None, "{name}");
    }
}

#[test]
fn a_loss_of_every_kind_the_protocol_knows_is_served() {
    let families = served(&board());
    let reasons = [
        "drop_oldest",
        "drop_newest",
        "expired",
        "memory",
        "retention",
        "epoch",
    ];
    for reason in reasons {
        let labels = [("worker", "0"), ("reason", reason)];
        assert_eq!(value(&families, "pubsub_lost_total", &labels), Some(0.0));
    }
    // Three workers, and no other reason.
    assert_eq!(
        families["pubsub_lost_total"].samples.len(),
        3 * reasons.len()
    );
}

#[test]
fn a_worker_that_is_gone_keeps_its_counters_and_loses_its_gauges() {
    let families = served(&board());
    assert_eq!(
        value(&families, "pubsub_delivered_total", &[("worker", "2")]),
        Some(100.0)
    );
    assert_eq!(
        value(&families, "pubsub_connections", &[("worker", "2")]),
        None
    );
    assert_eq!(
        value(&families, "pubsub_worker_up", &[("worker", "2")]),
        None
    );
}

#[test]
fn buckets_never_fall_and_end_with_the_count() {
    for family in served(&board())
        .values()
        .filter(|family| family.kind == "histogram")
    {
        let counts = family
            .samples
            .iter()
            .filter(|(name, _)| name.contains("_count"));
        assert!(counts.clone().count() > 0);
        for (name, count) in counts {
            let last = name.replace("_count{", "_bucket{\"le\": \"+Inf\", ");
            let last = last.replace(", }", "}");
            assert_eq!(family.samples.get(&last), Some(count), "{last}");
        }
    }
}

#[test]
fn the_reader_refuses_what_prometheus_would() {
    let head = "# HELP a_total b\n# TYPE a_total counter\n";
    assert!(read(&format!("{head}a_total{{x=\"1\"}} 1\n")).is_ok());
    for (body, why) in [
        ("b_total 1\n", "another family"),
        ("a_total{x=\"1} 1\n", "an open quote"),
        ("a_total{x=\"1\" 1\n", "no end of the labels"),
        ("a_total x\n", "no number"),
        ("a_total -1\n", "below zero"),
        ("a_total 1\na_total 1\n", "twice"),
        ("a_total 1", "does not end"),
        ("# HELP a_total b\n", "twice"),
        ("# TYPE b gauge\n", "does not follow"),
    ] {
        let refused = read(&format!("{head}{body}")).unwrap_err();
        assert!(refused.contains(why), "{why:?} is not in {refused:?}");
    }
}
