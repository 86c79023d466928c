//! The highest rate to 10,000 subscribers at which nothing is lost.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::phase::{self, Audience, FanOut, Phase, Source};
use crate::report::{Findings, ms};
use pubsub_load::floor::TOPIC;
use pubsub_load::publisher::Acks;
use pubsub_load::swarm::Group;
use serde_json::json;

const SUBSCRIBERS: usize = 10_000;

/// What a rate must stay under to count.
const P99_MAX_MS: f64 = 200.0;

/// Publications a second: where the search begins, what it does not go beyond, and how near it comes.
const FROM: f64 = 100.0;
const TO: f64 = 3200.0;
const NEAR: f64 = 1.06;

/// Above this the subscribers' side has no core to spare, and may be the limit itself.
const BUSY: f64 = 0.9;

/// A rate and what came of it.
type Tried = Option<(f64, Phase)>;

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let mut tried = Vec::new();
    let (mut held, mut broke): (Tried, Tried) = (None, None);
    loop {
        let per_s = match (&held, &broke) {
            (None, None) => FROM,
            (Some((held, _)), None) => held * 2.0,
            (None, Some((broke, _))) => broke / 2.0,
            (Some((held, _)), Some((broke, _))) => (held * broke).sqrt(),
        };
        let near =
            matches!((&held, &broke), (Some((held, _)), Some((broke, _))) if broke / held < NEAR);
        if near || !(1.0..=TO).contains(&per_s) {
            break;
        }
        let phase = at(asked, per_s)?;
        let p99 = phase.p99_ms.unwrap_or(f64::INFINITY);
        let holds = phase.is_whole() && p99 < P99_MAX_MS;
        eprintln!(
            "fanout: {per_s:.0}/s to {SUBSCRIBERS}: {} (p99 {})",
            if holds { "holds" } else { "breaks" },
            ms(phase.p99_ms)
        );
        tried.push(json!({"per_s": per_s, "holds": holds, "phase": phase}));
        if holds {
            held = Some((per_s, phase));
        } else {
            broke = Some((per_s, phase));
        }
    }
    let mut findings = Findings::default();
    match &held {
        Some((per_s, phase)) => {
            findings.say(
                "highest rate held",
                format!(
                    "{:.0} messages/s ({per_s:.0}/s x {SUBSCRIBERS})",
                    phase.delivered_per_s
                ),
            );
            describe(&mut findings, "there", phase);
        }
        None => findings.say("highest rate held", "none was"),
    }
    if let Some((per_s, phase)) = &broke {
        findings.say(
            "lowest rate that broke",
            format!("{per_s:.0}/s x {SUBSCRIBERS}"),
        );
        describe(&mut findings, "there", phase);
        findings.say("what limits it", limit(phase));
    }
    findings.keep(json!({"tried": tried}));
    Ok(findings)
}

/// A fresh server and audience each time: what a rate that breaks leaves behind is no part of the next.
fn at(asked: &Asked, per_s: f64) -> Result<Phase, String> {
    let server = Server::start(1, asked.pin)?;
    let mut audience = Audience::new(&server, 4000.0)?;
    audience.join(SUBSCRIBERS, TOPIC, Group::MAIN)?;
    let source = Source::sessions(
        &server,
        1,
        phase::plan(TOPIC, per_s, asked.window, Acks::Unwanted),
    )?;
    let phase = phase::measure(
        server.pid(),
        &mut audience,
        source,
        FanOut::To(SUBSCRIBERS),
        asked.window,
    )?;
    audience.leave()?;
    Ok(phase)
}

fn describe(findings: &mut Findings, when: &str, phase: &Phase) {
    findings.say(
        format!("{when}: p50, p99; missing, announced lost, closed"),
        format!(
            "{}, {}; {}, {}, {}",
            ms(phase.p50_ms),
            ms(phase.p99_ms),
            phase.missing,
            phase.lost,
            phase.closed
        ),
    );
    findings.say(
        format!("{when}: server, starved, subscribers, loop lag p99"),
        format!(
            "{:.2} cores, {:.2} cores, {:.2} cores, {:.1} ms",
            phase.cores, phase.starved, phase.own_busy, phase.own_lag_ms
        ),
    );
}

fn limit(phase: &Phase) -> String {
    let busiest = phase.roles.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    match busiest {
        _ if phase.own_busy > BUSY => "the subscribers' side: its core was full".to_owned(),
        _ if phase.starved > 1.0 - BUSY => {
            "other processes of this machine took the server's core: not a finding".to_owned()
        }
        Some((role, cores)) if *cores > BUSY => format!("{role}: its core was full ({cores:.2})"),
        _ => "neither side's core was full: see the latencies".to_owned(),
    }
}
