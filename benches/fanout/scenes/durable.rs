//! Acknowledged publications with a log on disk, beside one in memory.
//!
//! Connections that each have one publication under way: the next goes out when its answer is read. All nodes run, and take turns.
use super::logs::{Cost, DATA_BYTES, Log, Node, folder};
use crate::Asked;
use crate::phase;
use crate::report::{Findings, Reach};
use crate::talk::Talk;
use crate::turns::Turns;
use pubsub_load::clock;
use serde::Serialize;
use serde_json::json;
use std::io::Write;
use std::time::Duration;

const PUBLISHERS: usize = 64;

const RETAIN: &str = "1GiB";

/// Answers are short.
const RECEIVE_BYTES: usize = 16 * 1024;

const REACH: Reach = Reach::Least(0.7);

/// The kinds of phases; behind them, a bare loop of `write` and `fdatasync`.
const LOGS: [Log; 3] = [Log::Memory, Log::Disk, Log::DiskAlways];
const BARE: usize = LOGS.len();

#[derive(Debug, Clone, Serialize)]
struct Phase {
    per_s: f64,
    /// Of the bare loop there is none.
    cost: Option<Cost>,
}

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let nodes = LOGS
        .iter()
        .map(|log| Node::start(asked, *log, RETAIN))
        .collect::<Result<Vec<_>, _>>()?;
    let turns = Turns::take(asked.pairs, BARE + 1, |kind| match nodes.get(kind) {
        Some(node) => published(asked, node),
        None => synced(asked),
    })?;
    let mut findings = Findings::default();
    for (kind, log) in LOGS.iter().enumerate() {
        findings.say(
            format!("{}: acknowledged, cores", log.name()),
            format!(
                "{:.0}/s, {:.2}",
                turns.median(kind, |p| p.per_s),
                turns.median(kind, |p| p.cost.as_ref().map_or(0.0, |cost| cost.cores))
            ),
        );
        findings.keep(json!({"log": log.name(), "phases": turns.of(kind)}));
    }
    findings.keep(json!({"bare": turns.of(BARE)}));
    findings.judge(
        "acknowledged a second, disk / memory",
        turns.ratio(1, 0, |p| p.per_s),
        REACH,
        "",
    );
    findings.say(
        "disk, synced always / a write and fdatasync each",
        format!(
            "{:.2}: {:.0}/s of the bare loop",
            turns.ratio(2, BARE, |p| p.per_s),
            turns.median(BARE, |p| p.per_s)
        ),
    );
    let costs = [0, 1].into_iter().flat_map(|kind| turns.of(kind));
    Cost::judge(&mut findings, costs.filter_map(|p| p.cost.as_ref()));
    Ok(findings)
}

fn published(asked: &Asked, node: &Node) -> Result<Phase, String> {
    let target = node.target()?;
    let mut talks = (0..PUBLISHERS)
        .map(|_| Talk::connect(&target, RECEIVE_BYTES))
        .collect::<Result<Vec<_>, _>>()?;
    let command = format!(
        r#"{{"op":"publish","id":1,"topic":"durable","data":"{}"}}"#,
        "x".repeat(DATA_BYTES - 2)
    );
    for talk in &mut talks {
        talk.say(&command)?;
    }
    publish_for(&mut talks, &command, phase::WARM)?;
    let (acknowledged, cost) = node.cost(|| publish_for(&mut talks, &command, asked.window))?;
    Ok(Phase {
        per_s: acknowledged as f64 / cost.seconds(),
        cost: Some(cost),
    })
}

/// How many were acknowledged.
fn publish_for(talks: &mut [Talk], command: &str, time: Duration) -> Result<u64, String> {
    let end = clock::mono_ns() + time.as_nanos() as u64;
    let mut acknowledged = 0;
    while clock::mono_ns() < end {
        for talk in &mut *talks {
            talk.hear(r#"{"op":"published","#)?;
            talk.say(command)?;
            acknowledged += 1;
        }
    }
    Ok(acknowledged)
}

/// One write and one sync for each, to the same disk.
fn synced(asked: &Asked) -> Result<Phase, String> {
    let folder = folder()?;
    let said = |error: std::io::Error| format!("the bare loop: {error}");
    let mut file = std::fs::File::create(folder.path().join("bare")).map_err(said)?;
    let data = [b'x'; DATA_BYTES];
    let begun = clock::mono_ns();
    let end = begun + asked.window.as_nanos() as u64;
    let mut written = 0;
    while clock::mono_ns() < end {
        file.write_all(&data)
            .and_then(|()| file.sync_data())
            .map_err(said)?;
        written += 1;
    }
    let seconds = (clock::mono_ns() - begun) as f64 / 1e9;
    Ok(Phase {
        per_s: f64::from(written) / seconds,
        cost: None,
    })
}
