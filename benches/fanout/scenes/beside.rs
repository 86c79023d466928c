//! What live subscribers notice of a hundred who read a log on disk from its beginning.
//!
//! One node, phases in turns: without readers, with them… Readers are a swarm on a thread of its own that gives way to the live
//! ones' thread, which is to be late for nobody. Each phase's readers begin anew; none comes to the end within one.
use super::logs::{Cost, DATA_BYTES, Log, Node};
use crate::Asked;
use crate::phase::{self, Audience};
use crate::report::{Findings, Reach, median, ms};
use crate::turns::Turns;
use pubsub_load::clock;
use pubsub_load::floor::TOPIC;
use pubsub_load::publisher::Acks;
use pubsub_load::swarm::{Group, Options, Subscription, Swarm};
use pubsub_load::target::Target;
use serde::Serialize;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LIVE: usize = 1000;
const PER_S: f64 = 20.0;

const READERS: usize = 100;
const HISTORY: &str = "history";
const RETAIN: &str = "2GiB";

/// How much the readers' thread gives way.
const NICE: i32 = 15;

/// How often the readers look whether to stop.
const SLICE: Duration = Duration::from_millis(20);

/// Pairs of phases.
const ROUNDS: usize = 8;

/// From the change of a phase to its measurement.
const CHANGE: Duration = Duration::from_secs(2);

const REACH: Reach = Reach::Most(1.3);

/// The kinds of phases.
const WITHOUT: usize = 0;
const WITH: usize = 1;

#[derive(Debug, Clone, Serialize)]
struct Phase {
    p50_ms: f64,
    p99_ms: f64,
    missing: u64,
    /// Payload to all readers, from their first connect on.
    read_mb_per_s: f64,
    cost: Cost,
    own_lag_ms: f64,
}

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let node = Node::start(asked, Log::Disk, RETAIN)?;
    node.fill(HISTORY)?;
    let mut audience = Audience::new(&node.server, 2000.0)?;
    audience.join(LIVE, TOPIC, Group::MAIN)?;
    let mut publisher = node.publisher(1)?;
    let all = (asked.window + CHANGE) * 4 * ROUNDS as u32 + Duration::from_secs(60);
    let plan = phase::plan(TOPIC, PER_S, all, Acks::Unwanted);
    let stop = AtomicBool::new(false);
    let turns = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publisher.run(&plan, &stop));
        let turns = Turns::take(ROUNDS, 2, |kind| phase(asked, &node, &mut audience, kind));
        stop.store(true, Ordering::Relaxed);
        publishing
            .join()
            .map_err(|_| "the publishing thread panicked".to_owned())?
            .map_err(|error| error.to_string())?;
        turns
    })?;
    let mut findings = Findings::default();
    judge(&mut findings, &turns);
    findings.keep(json!({"live": LIVE, "per_s": PER_S, "readers": READERS, "without": turns.of(WITHOUT), "with": turns.of(WITH)}));
    Ok(findings)
}

fn phase(
    asked: &Asked,
    node: &Node,
    audience: &mut Audience,
    kind: usize,
) -> Result<Phase, String> {
    if kind == WITHOUT {
        return live(asked, node, audience);
    }
    let target = node.target()?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(target, &stop));
        let live = live(asked, node, audience);
        stop.store(true, Ordering::Relaxed);
        let read_mb_per_s = reading
            .join()
            .map_err(|_| "the readers' thread panicked".to_owned())??;
        Ok(Phase {
            read_mb_per_s,
            ..live?
        })
    })
}

/// Reads from the beginning until it is told to stop; payload a second.
fn read(target: Target, stop: &AtomicBool) -> Result<f64, String> {
    rustix::process::nice(NICE).map_err(|error| error.to_string())?;
    let mut swarm = Swarm::new(Options::new(target)).map_err(|error| error.to_string())?;
    let topic = swarm.topic(&Subscription {
        topic: HISTORY.to_owned(),
        settings: [("from", "earliest"), ("overflow", "spill")]
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .into_iter()
            .collect(),
    });
    let begun = clock::mono_ns();
    swarm.connect(READERS, topic, Group::MAIN);
    while !stop.load(Ordering::Relaxed) {
        swarm.run_for(SLICE).map_err(|error| error.to_string())?;
    }
    let counters = swarm.counters();
    if counters.subscribed < READERS as u64 || counters.closed_total() > 0 {
        return Err(format!(
            "{} of {READERS} readers: {:?} closed {:?}",
            counters.subscribed, counters.first_error, counters.closed
        ));
    }
    let seconds = (clock::mono_ns() - begun) as f64 / 1e9;
    let bytes = swarm.received(Group::MAIN) * DATA_BYTES as u64;
    Ok(bytes as f64 / 1e6 / seconds)
}

fn live(asked: &Asked, node: &Node, audience: &mut Audience) -> Result<Phase, String> {
    let overdue = Duration::from_secs(2);
    audience.run_for(CHANGE)?;
    audience.swarm.take_window(Group::MAIN, overdue);
    audience.swarm.take_lag();
    let ((), cost) = node.cost(|| audience.run_for(asked.window))?;
    let tally = audience.swarm.take_window(Group::MAIN, overdue);
    Ok(Phase {
        p50_ms: tally.quantile_ms(0.5).unwrap_or(f64::INFINITY),
        p99_ms: tally.quantile_ms(0.99).unwrap_or(f64::INFINITY),
        missing: tally.lost + tally.overdue,
        read_mb_per_s: 0.0,
        own_lag_ms: audience.swarm.take_lag().quantile_ms(0.99),
        cost,
    })
}

fn judge(findings: &mut Findings, turns: &Turns<Phase>) {
    let [with, without] = [WITH, WITHOUT].map(|kind| turns.median(kind, |p| p.p99_ms));
    findings.judge(
        "p99 of the live, with readers / without",
        turns.ratio(WITH, WITHOUT, |p| p.p99_ms),
        REACH,
        &format!(
            "{}, {} (median of {ROUNDS} pairs)",
            ms(Some(with)),
            ms(Some(without))
        ),
    );
    for (kind, name) in [(WITHOUT, "without"), (WITH, "with readers")] {
        let missing: u64 = turns.of(kind).iter().map(|phase| phase.missing).sum();
        findings.say(
            format!("{name}: p50; missing; cores"),
            format!(
                "{}; {missing}; {}",
                ms(Some(turns.median(kind, |p| p.p50_ms))),
                turns.of(kind)[0].cost.roles()
            ),
        );
    }
    findings.say(
        format!("payload to the {READERS} readers together"),
        format!("{:.0} MB/s", turns.median(WITH, |p| p.read_mb_per_s)),
    );
    let phases = || [WITHOUT, WITH].into_iter().flat_map(|kind| turns.of(kind));
    findings.say(
        "live subscribers' loop lag, p99",
        format!("{:.1} ms", median(phases().map(|p| p.own_lag_ms).collect())),
    );
    Cost::judge(findings, phases().map(|phase| &phase.cost));
}
