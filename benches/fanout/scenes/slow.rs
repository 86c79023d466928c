//! One in a hundred has stopped reading for good, one reads 2 KB a second, one pauses for five seconds at a time: do the others
//! notice?
//!
//! One run, phases in turns: all read, the slow are slow, all read… The audience is split into groups, and only the healthy one is
//! measured: what the slow ones cost is counted as if the healthy paid it.
use crate::Asked;
use crate::child::{Measured, Pin, Server};
use crate::phase::{self, Audience, Own, doubts};
use crate::report::{Findings, Reach, median, ms};
use crate::turns::Turns;
use pubsub_load::floor::TOPIC;
use pubsub_load::measure;
use pubsub_load::publisher::{Acks, Publisher};
use pubsub_load::swarm::{Group, Pace, Subscription, Tally};
use pubsub_load::target::Target;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HEALTHY: usize = 970;
/// Of each kind of slow ones.
const SLOW: usize = 10;

/// Messages that may wait for a slow one.
const BOUND: u64 = 16;

/// Publications a second: a third of what one core can write one by one.
const PER_S: f64 = 60.0;

/// Pairs of phases.
const ROUNDS: usize = 10;

/// From the change of a phase to its measurement: the stopped ones' buffers are full, or they have caught up.
const CHANGE: Duration = Duration::from_secs(3);

const READ_PER_S: NonZeroU64 = NonZeroU64::new(2000).unwrap();
const PAUSE: Duration = Duration::from_secs(5);

const CPU_REACH: Reach = Reach::Most(1.05);
const P99_REACH: Reach = Reach::Most(1.25);

/// The kinds of phases.
const ALL_READ: usize = 0;
const SOME_SLOW: usize = 1;

#[derive(Debug, Clone, Serialize)]
struct Phase {
    cpu_us: f64,
    p99_ms: f64,
    missing: u64,
    starved: f64,
    own: Own,
    own_lag_ms: f64,
}

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let server = Server::start(1, asked.pin)?;
    let mut audience = Audience::new(&server, 2000.0)?;
    let paces = [Pace::Stall, Pace::Read(READ_PER_S), Pace::Pause(PAUSE)];
    let slow = paces.map(|pace| (audience.swarm.group(pace), pace));
    let bounded = Subscription {
        topic: TOPIC.to_owned(),
        settings: settings(),
    };
    for (group, _) in slow {
        audience.join_as(SLOW, &bounded, group)?;
    }
    audience.join(HEALTHY, TOPIC, Group::MAIN)?;
    let target = Target::parse(&server.url()).map_err(|error| error.to_string())?;
    let mut publisher = Publisher::connect(&target, 1, Duration::from_secs(10))
        .map_err(|error| error.to_string())?;
    let all = (asked.window + CHANGE) * 2 * ROUNDS as u32 + Duration::from_secs(60);
    let plan = phase::plan(TOPIC, PER_S, all, Acks::Unwanted);
    let stop = AtomicBool::new(false);
    let turns = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publisher.run(&plan, &stop));
        let turns = Turns::take(ROUNDS, 2, |kind| {
            measured(asked, &server, &mut audience, &slow, kind)
        });
        stop.store(true, Ordering::Relaxed);
        publishing
            .join()
            .map_err(|_| "the publishing thread panicked".to_owned())?
            .map_err(|error| error.to_string())?;
        turns
    })?;
    let mut findings = Findings::default();
    judge(&mut findings, &turns);
    say_slow(&mut findings, &audience, &slow);
    if asked.pin == Pin::Nowhere {
        findings.say(
            "note",
            "nothing pinned: the subscribers' side moves between cores",
        );
    }
    let phases = |kind| turns.of(kind);
    findings.keep(json!({"healthy": HEALTHY, "slow_of_each_kind": SLOW, "per_s": PER_S, "all_read": phases(ALL_READ), "some_slow": phases(SOME_SLOW)}));
    Ok(findings)
}

/// A bound that is reached soon after they are slow: their policy acts for most of the phase.
fn settings() -> Map<String, Value> {
    let bound = json!({"messages": BOUND});
    [
        ("bound".to_owned(), bound),
        ("overflow".to_owned(), json!("drop_oldest")),
    ]
    .into_iter()
    .collect()
}

fn measured(
    asked: &Asked,
    server: &Server,
    audience: &mut Audience,
    slow: &[(Group, Pace)],
    kind: usize,
) -> Result<Phase, String> {
    for (group, pace) in slow {
        let pace = if kind == SOME_SLOW { *pace } else { Pace::Full };
        audience.swarm.set_pace(*group, pace);
    }
    audience.run_for(CHANGE)?;
    take(audience, slow);
    audience.swarm.take_lag();
    let tree = || measure::tree(server.pid()).map_err(|error| error.to_string());
    let before = tree()?;
    let own = Own::begin();
    audience.run_for(asked.window)?;
    let after = tree()?;
    let own = own.end();
    let (healthy, others) = take(audience, slow);
    // Where all read, the others are as healthy as anybody.
    let paid_for = match kind {
        ALL_READ => healthy.received + others,
        _ => healthy.received,
    };
    Ok(Phase {
        cpu_us: after.cpu_ns_since(&before) as f64 / 1000.0 / paid_for.max(1) as f64,
        p99_ms: healthy.quantile_ms(0.99).unwrap_or(f64::INFINITY),
        missing: healthy.lost + healthy.overdue,
        starved: after.starved_ns_since(&before) as f64 / 1e9 / own.seconds,
        own_lag_ms: audience.swarm.take_lag().quantile_ms(0.99),
        own,
    })
}

/// What came since the last time: to the healthy ones, and how much to the others.
fn take(audience: &mut Audience, slow: &[(Group, Pace)]) -> (Tally, u64) {
    let overdue = Duration::from_secs(2);
    let mut of = |group| audience.swarm.take_window(group, overdue);
    let healthy = of(Group::MAIN);
    let others = slow.iter().map(|(group, _)| of(*group).received).sum();
    (healthy, others)
}

fn judge(findings: &mut Findings, turns: &Turns<Phase>) {
    let both =
        |value: fn(&Phase) -> f64| [SOME_SLOW, ALL_READ].map(|kind| turns.median(kind, value));
    let [slow, all] = both(|p| p.cpu_us);
    findings.judge(
        "CPU per message to the healthy, some slow / all read",
        turns.ratio(SOME_SLOW, ALL_READ, |p| p.cpu_us),
        CPU_REACH,
        &format!("{slow:.2} us, {all:.2} us (median of {ROUNDS} pairs)"),
    );
    let [slow, all] = both(|p| p.p99_ms);
    findings.judge(
        "p99 of the healthy, some slow / all read",
        turns.ratio(SOME_SLOW, ALL_READ, |p| p.p99_ms),
        P99_REACH,
        &format!("{}, {}", ms(Some(slow)), ms(Some(all))),
    );
    let phases = || {
        [ALL_READ, SOME_SLOW]
            .into_iter()
            .flat_map(|kind| turns.of(kind))
    };
    let missing: u64 = phases().map(|phase| phase.missing).sum();
    findings.judge(
        "missing of the healthy",
        missing as f64,
        Reach::Most(0.0),
        "",
    );
    let of = |value: fn(&Phase) -> f64| median(phases().map(value).collect());
    findings.say(
        "subscribers' own share of a core, loop lag p99",
        format!("{:.2}, {:.1} ms", of(|p| p.own.busy), of(|p| p.own_lag_ms)),
    );
    findings.doubt(&doubts(
        of(|p| p.starved),
        of(|p| p.own.busy),
        of(|p| p.own.starved),
    ));
}

/// That the slow ones were slow, and were told what they lost.
fn say_slow(findings: &mut Findings, audience: &Audience, slow: &[(Group, Pace)]) {
    for ((group, _), name) in slow.iter().zip(["stopped", "2 KB/s", "pausing 5 s"]) {
        let account = audience.swarm.account(*group);
        findings.say(
            format!("{name}: received, announced lost, gaps, behind"),
            format!(
                "{}, {}, {}, {}",
                account.received, account.announced, account.gaps, account.behind
            ),
        );
    }
    let counters = audience.swarm.counters();
    findings.say(
        "closed, wrong",
        format!(
            "{}, {}",
            counters.closed_total(),
            counters.offset_errors() + counters.malformed
        ),
    );
}
