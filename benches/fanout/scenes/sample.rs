//! A rate beside a source that is no faster than the rate: what the messages cost that are left out, and what it costs that
//! subscribers agree on no setting.
//!
//! Law: all kinds are delivered the same number of messages a second, so that nothing but how they come about differs.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::phase::{self, Audience, FanOut, Phase, Source};
use crate::report::{Findings, Reach};
use crate::turns::Turns;
use pubsub_load::floor::TOPIC;
use pubsub_load::publisher::Acks;
use pubsub_load::swarm::{Group, Subscription};
use serde_json::{Map, Value, json};

const SUBSCRIBERS: usize = 10_000;
const CONNECTS_PER_S: f64 = 4000.0;

/// What is delivered of each kind, and what the rates are fed with.
const DELIVERED_PER_S: f64 = 10.0;
const FED_PER_S: f64 = 1000.0;
const MS: u64 = 100;

/// 100 settings that come to [`DELIVERED_PER_S`] on the average: the sum of 1000 / ms over them is 1,000 within a hundredth.
const SETTINGS: std::ops::Range<u64> = 59..159;

/// The kinds of phases.
const PLAIN: usize = 0;
const SAMPLED: usize = 1;
const SPLIT: usize = 2;
const NAMES: [&str; 3] = ["plain 10/s", "sample 100 ms", "100 samples"];

const SAMPLE_REACH: Reach = Reach::Most(1.1);
const SPLIT_REACH: Reach = Reach::Most(1.3);

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let server = Server::start(1, asked.pin)?;
    let turns = Turns::take(asked.pairs, NAMES.len(), |kind| {
        measured(asked, &server, kind)
    })?;
    let mut findings = Findings::default();
    let cpu = |phase: &Phase| phase.cpu_us;
    findings.judge(
        "CPU per message, sample 100 ms of 1,000/s / plain 10/s",
        turns.ratio(SAMPLED, PLAIN, cpu),
        SAMPLE_REACH,
        "",
    );
    findings.judge(
        "CPU per message, 100 different samples / one",
        turns.ratio(SPLIT, SAMPLED, cpu),
        SPLIT_REACH,
        "",
    );
    for (kind, name) in NAMES.iter().enumerate() {
        turns.describe(&mut findings, kind, name);
    }
    let roles: Vec<String> = turns
        .of(SPLIT)
        .iter()
        .flat_map(|phase| &phase.roles)
        .map(|(role, cores)| format!("{role} {cores:.3}"))
        .take(4)
        .collect();
    findings.say("100 samples: cores by role", roles.join(", "));
    findings.doubt(&turns.doubts());
    let phases = |kind| turns.of(kind);
    findings
        .keep(json!({"plain": phases(PLAIN), "sampled": phases(SAMPLED), "split": phases(SPLIT)}));
    Ok(findings)
}

fn measured(asked: &Asked, server: &Server, kind: usize) -> Result<Phase, String> {
    let mut audience = Audience::new(server, CONNECTS_PER_S)?;
    let settings: Vec<Map<String, Value>> = match kind {
        PLAIN => vec![Map::new()],
        SAMPLED => vec![sample(MS)],
        _ => SETTINGS.map(sample).collect(),
    };
    let each = SUBSCRIBERS / settings.len();
    for settings in settings {
        let topic = TOPIC.to_owned();
        let id = audience.swarm.topic(&Subscription { topic, settings });
        audience.swarm.connect(each, id, Group::MAIN);
    }
    audience.settle(SUBSCRIBERS)?;
    let (per_s, fan_out) = match kind {
        PLAIN => (DELIVERED_PER_S, FanOut::To(SUBSCRIBERS)),
        _ => (FED_PER_S, FanOut::Thinned),
    };
    let plan = phase::plan(TOPIC, per_s, asked.window, Acks::Unwanted);
    let source = Source::sessions(server, 1, plan)?;
    let phase = phase::measure(server.pid(), &mut audience, source, fan_out, asked.window)?;
    audience.leave()?;
    Ok(phase)
}

fn sample(ms: u64) -> Map<String, Value> {
    let rate = json!({"mode": "sample", "ms": ms});
    std::iter::once(("rate".to_owned(), rate)).collect()
}
