//! What a thousand who have stopped reading and spill to a log on disk cost in memory together, while a gigabyte is published.
//!
//! Twice, each on a node of its own: with all of them and with one, for whom tables, windows and caches grow just the same.
use super::logs::{DATA_BYTES, Log};
use super::stalled::{Case, Filled, grown};
use crate::Asked;
use crate::report::{Findings, Reach};
use serde_json::json;
use std::time::Duration;

const STALLED: usize = 1000;

/// With the time below a gigabyte of data and some more.
const PER_S: f64 = 60_000.0;
const FLOW: Duration = Duration::from_secs(38);

/// A server takes 20,000 publications a second of one session.
const SESSIONS: usize = 6;

const CASE: Case<'static> = Case {
    policy: "spill",
    subscribers: STALLED,
    filled: Filled::Before,
    log: Log::Disk,
    retain: "4GiB",
    sessions: SESSIONS,
    per_s: PER_S,
    data_bytes: Some(DATA_BYTES),
    flow: FLOW,
};

const REACH: Reach = Reach::Most(32.0);

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let many = grown(asked, &CASE)?;
    let one = grown(
        asked,
        &Case {
            subscribers: 1,
            ..CASE
        },
    )?;
    let mb = |bytes: f64| bytes / f64::from(1 << 20);
    let mut findings = Findings::default();
    findings.judge(
        format!("grown with {STALLED} less with one, MB"),
        mb(many.bytes() - one.bytes()),
        REACH,
        &format!("{:.1} MB, {:.1} MB", mb(many.bytes()), mb(one.bytes())),
    );
    findings.judge(
        "the same, once looked at",
        mb(many.once_looked_at() - one.once_looked_at()),
        REACH,
        "",
    );
    for (name, grown) in [(STALLED, &many), (1, &one)] {
        findings.say(
            format!("{name}: published; closed; grown by process"),
            format!(
                "{:.0} MB; {}; {}",
                (grown.published * DATA_BYTES as u64) as f64 / 1e6,
                grown.closed,
                grown.by_process().join(", ")
            ),
        );
    }
    findings.keep(json!({"stalled": STALLED, "grown": many.bytes(), "grown_with_one": one.bytes(), "published": many.published, "published_with_one": one.published}));
    Ok(findings)
}
