//! How fast one subscriber who spilled reads what it missed, with a log on disk beside one in memory.
//!
//! It doesn't read while some 500 MB are published, and then reads all there is. Every phase has a node of its own.
use super::logs::{Cost, DATA_BYTES, Log, Node};
use crate::Asked;
use crate::report::{Findings, Reach};
use crate::talk::Talk;
use crate::turns::Turns;
use pubsub_load::floor::TOPIC;
use serde::Serialize;
use serde_json::json;

const RETAIN: &str = "2GiB";

/// Messages that may wait before it spills.
const BOUND: u64 = 64;

/// As much as the kernel gives.
const RECEIVE_BYTES: usize = 1 << 20;

const LOGS: [Log; 2] = [Log::Memory, Log::Disk];

const REACH: Reach = Reach::Least(0.6);

#[derive(Debug, Clone, Serialize)]
struct Phase {
    messages: u64,
    /// Payload.
    mb_per_s: f64,
    cost: Cost,
}

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let turns = Turns::take(asked.pairs, LOGS.len(), |kind| caught_up(asked, LOGS[kind]))?;
    let mut findings = Findings::default();
    for (kind, log) in LOGS.iter().enumerate() {
        findings.say(
            format!("{}: payload to one who catches up; cores", log.name()),
            format!(
                "{:.0} MB/s ({:.0} MB); {}",
                turns.median(kind, |p| p.mb_per_s),
                turns.median(kind, |p| mb(p.messages)),
                turns.of(kind)[0].cost.roles()
            ),
        );
        findings.keep(json!({"log": log.name(), "phases": turns.of(kind)}));
    }
    findings.judge(
        "payload a second, disk / memory",
        turns.ratio(1, 0, |p| p.mb_per_s),
        REACH,
        "",
    );
    let phases = [0, 1].into_iter().flat_map(|kind| turns.of(kind));
    Cost::judge(&mut findings, phases.map(|phase| &phase.cost));
    Ok(findings)
}

fn caught_up(asked: &Asked, log: Log) -> Result<Phase, String> {
    let node = Node::start(asked, log, RETAIN)?;
    let mut talk = Talk::connect(&node.target()?, RECEIVE_BYTES)?;
    talk.say(
        &json!({"op": "subscribe", "id": 1, "topic": TOPIC, "overflow": "spill", "bound": {"messages": BOUND}})
            .to_string(),
    )?;
    talk.hear(r#"{"op":"subscribed","#)?;
    let messages = node.fill(TOPIC)?;
    let ((), cost) = node.cost(|| talk.hear_many(r#"{"op":"msg","#, messages))?;
    Ok(Phase {
        messages,
        mb_per_s: mb(messages) / cost.seconds(),
        cost,
    })
}

fn mb(messages: u64) -> f64 {
    (messages * DATA_BYTES as u64) as f64 / 1e6
}
