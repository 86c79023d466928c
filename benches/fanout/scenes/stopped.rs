//! One in a hundred has stopped reading for good: do the others notice?
//!
//! One run, phases in turns: all read, a hundredth is stopped, all read… The audience is split into two groups, and only the
//! healthy one is measured.
use crate::Asked;
use crate::child::{Measured, Pin, Server};
use crate::phase::{self, Audience};
use crate::report::{Findings, median, ms};
use pubsub_load::clock;
use pubsub_load::floor::TOPIC;
use pubsub_load::measure;
use pubsub_load::publisher::{Acks, Publisher};
use pubsub_load::swarm::{Group, Subscription};
use pubsub_load::target::Target;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HEALTHY: usize = 990;
const STOPPED: usize = 10;

/// Messages that may wait for one of those that stop.
const BOUND: u64 = 16;

/// Publications a second: a third of what one core can write one by one.
const PER_S: f64 = 60.0;

/// Phases, half of each kind.
const PHASES: usize = 20;

/// From the change of a phase to its measurement: the stopped ones' buffers are full, or they have caught up.
const CHANGE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Serialize)]
struct Phase {
    stopped: bool,
    cpu_us: f64,
    p99_ms: f64,
    missing: u64,
}

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let server = Server::start(1, asked.pin)?;
    let mut audience = Audience::new(&server, 2000.0)?;
    let bound = Subscription {
        topic: TOPIC.to_owned(),
        settings: bound(),
    };
    audience.join_as(STOPPED, &bound, Group::APART)?;
    audience.join(HEALTHY, TOPIC, Group::MAIN)?;
    let target = Target::parse(&server.url()).map_err(|error| error.to_string())?;
    let mut publisher = Publisher::connect(&target, 1, Duration::from_secs(10))
        .map_err(|error| error.to_string())?;
    let each = asked.window + CHANGE;
    let plan = phase::plan(
        TOPIC,
        PER_S,
        each * PHASES as u32 + Duration::from_secs(60),
        Acks::Unwanted,
    );
    let stop = AtomicBool::new(false);
    let phases = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publisher.run(&plan, &stop));
        let phases = phases(asked, &server, &mut audience);
        stop.store(true, Ordering::Relaxed);
        publishing
            .join()
            .map_err(|_| "the publishing thread panicked".to_owned())?
            .map_err(|error| error.to_string())?;
        phases
    })?;
    let mut findings = Findings::default();
    judge(&mut findings, &phases);
    let counters = audience.swarm.counters();
    findings.say(
        "announced lost, closed, wrong",
        format!(
            "{} gaps, {}, {}",
            counters.gaps,
            counters.closed_total(),
            counters.offset_errors() + counters.malformed
        ),
    );
    if asked.pin == Pin::Nowhere {
        findings.say(
            "note",
            "nothing pinned: the subscribers' side moves between cores",
        );
    }
    findings
        .keep(json!({"healthy": HEALTHY, "stopped": STOPPED, "per_s": PER_S, "phases": phases}));
    Ok(findings)
}

/// A bound that is reached soon after they stop: their policy acts for most of the phase.
fn bound() -> Map<String, Value> {
    let bound = json!({"messages": BOUND});
    [
        ("bound".to_owned(), bound),
        ("overflow".to_owned(), json!("drop_oldest")),
    ]
    .into_iter()
    .collect()
}

fn phases(asked: &Asked, server: &Server, audience: &mut Audience) -> Result<Vec<Phase>, String> {
    let mut phases = Vec::new();
    for number in 0..PHASES {
        let stopped = number % 2 == 1;
        if stopped {
            audience.swarm.pause(Group::APART);
        } else {
            audience.swarm.resume(Group::APART);
        }
        audience.run_for(CHANGE)?;
        audience.swarm.take_window(Group::MAIN, Duration::ZERO);
        audience.swarm.take_window(Group::APART, Duration::ZERO);
        let cpu = || measure::tree_cpu_ns(server.pid()).map_err(|error| error.to_string());
        let (before, begun) = (cpu()?, clock::mono_ns());
        audience.run_for(asked.window)?;
        let (spent, seconds) = (
            cpu()?.saturating_sub(before),
            (clock::mono_ns() - begun) as f64 / 1e9,
        );
        let tally = audience
            .swarm
            .take_window(Group::MAIN, Duration::from_secs(2));
        let healthy = tally.received.max(1) as f64;
        eprintln!(
            "fanout: phase {} of {PHASES}, {:.0} messages/s",
            number + 1,
            healthy / seconds
        );
        phases.push(Phase {
            stopped,
            cpu_us: spent as f64 / 1000.0 / healthy,
            p99_ms: tally.quantile_ms(0.99).unwrap_or(f64::INFINITY),
            missing: tally.lost + tally.overdue,
        });
    }
    Ok(phases)
}

/// A phase is compared with its neighbour, so that a machine that drifts takes both along.
fn judge(findings: &mut Findings, phases: &[Phase]) {
    let ratio = |value: fn(&Phase) -> f64| {
        median(
            phases
                .chunks_exact(2)
                .map(|pair| value(&pair[1]) / value(&pair[0]))
                .collect(),
        )
    };
    let of = |stopped: bool, value: fn(&Phase) -> f64| {
        median(
            phases
                .iter()
                .filter(|phase| phase.stopped == stopped)
                .map(value)
                .collect(),
        )
    };
    findings.say(
        "CPU per message to the healthy, stopped / all read",
        format!(
            "{:.3} (median of {} pairs): {:.2} us, {:.2} us",
            ratio(|p| p.cpu_us),
            phases.len() / 2,
            of(true, |p| p.cpu_us),
            of(false, |p| p.cpu_us)
        ),
    );
    findings.say(
        "p99 of the healthy, stopped / all read",
        format!(
            "{:.3}: {}, {}",
            ratio(|p| p.p99_ms),
            ms(Some(of(true, |p| p.p99_ms))),
            ms(Some(of(false, |p| p.p99_ms)))
        ),
    );
    findings.say(
        "missing of the healthy",
        format!("{}", phases.iter().map(|phase| phase.missing).sum::<u64>()),
    );
}
