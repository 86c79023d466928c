//! Those who conflate and read a tenth of what is published: what does their lag cost?
//!
//! Each phase has an audience of its own. They stand still while their lag grows, read at a tenth of the speed that all of it
//! needs, and read all that is left once nothing is published any more. The lag varies while the keys that changed meanwhile do
//! not, and the other way round.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::phase::{self, Audience, FRAME_BYTES, Own, WARM, doubts};
use crate::report::{Findings, Reach, median};
use crate::turns::Turns;
use pubsub_load::floor::TOPIC;
use pubsub_load::measure;
use pubsub_load::publisher::{Acks, Plan, Publisher};
use pubsub_load::swarm::{Group, Pace, Subscription};
use pubsub_load::target::Target;
use serde::Serialize;
use serde_json::json;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SUBSCRIBERS: usize = 1000;
const PER_S: f64 = 2000.0;

/// Bytes a second that a subscriber reads: a tenth of what is published.
const READ_PER_S: NonZeroU64 = NonZeroU64::new(PER_S as u64 / 10 * FRAME_BYTES as u64).unwrap();

/// Keys that take turns, and seconds that the subscribers stand still at first. In the shorter time every key changes too.
const KINDS: [(u64, u64); 6] = [
    (50, 3),
    (50, 12),
    (500, 3),
    (500, 12),
    (5000, 3),
    (5000, 12),
];

/// What four times the lag may cost: no more, but for what two phases of one kind differ by.
const LAG_REACH: Reach = Reach::Most(1.1);

/// Once nothing has come for so long, all is read.
const QUIET: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, Serialize)]
struct Phase {
    /// CPU of the tree per publication while all stand still, microseconds.
    still_us: f64,
    /// The same while they read at a tenth.
    reading_us: f64,
    /// Received meanwhile, per second and subscriber.
    received_per_s: f64,
    /// Received by a subscriber once nothing was published any more.
    caught_up: f64,
    /// CPU of the tree for that, microseconds.
    caught_up_us: f64,
    starved: f64,
    own: Own,
    wrong: u64,
    closed: u64,
    lost: u64,
}

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let server = Server::start(1, asked.pin)?;
    let turns = Turns::take(asked.pairs, KINDS.len(), |kind| {
        let (keys, stall_s) = KINDS[kind];
        measured(asked, &server, keys, Duration::from_secs(stall_s))
    })?;
    let mut findings = Findings::default();
    for short in (0..KINDS.len()).step_by(2) {
        let keys = KINDS[short].0;
        findings.judge(
            format!("{keys} keys: CPU per publication, 4 x the lag / the lag"),
            turns.ratio(short + 1, short, |p| p.reading_us),
            LAG_REACH,
            &format!(
                "while they stand still {:.2}, to catch up {:.2}",
                turns.ratio(short + 1, short, |p| p.still_us),
                turns.ratio(short + 1, short, |p| p.caught_up_us)
            ),
        );
    }
    for (kind, (keys, stall_s)) in KINDS.iter().enumerate() {
        let of = |value: fn(&Phase) -> f64| turns.median(kind, value);
        findings.say(
            format!(
                "{keys} keys, {:.0} entries behind: CPU per publication",
                *stall_s as f64 * PER_S
            ),
            format!(
                "{:.1} us standing still; {:.1} us reading {:.0}/s; then {:.0} messages each in {:.0} us",
                of(|p| p.still_us),
                of(|p| p.reading_us),
                of(|p| p.received_per_s),
                of(|p| p.caught_up),
                of(|p| p.caught_up_us) / SUBSCRIBERS as f64
            ),
        );
    }
    let phases = || (0..KINDS.len()).flat_map(|kind| turns.of(kind));
    let sum = |value: fn(&Phase) -> u64| phases().map(value).sum::<u64>();
    findings.say(
        "announced lost, closed, wrong",
        format!(
            "{}, {}, {}",
            sum(|p| p.lost),
            sum(|p| p.closed),
            sum(|p| p.wrong)
        ),
    );
    let of = |value: fn(&Phase) -> f64| median(phases().map(value).collect());
    findings.doubt(&doubts(
        of(|p| p.starved),
        of(|p| p.own.busy),
        of(|p| p.own.starved),
    ));
    for (kind, (keys, stall_s)) in KINDS.iter().enumerate() {
        findings.keep(json!({"keys": keys, "stall_s": stall_s, "phases": turns.of(kind)}));
    }
    Ok(findings)
}

fn measured(asked: &Asked, server: &Server, keys: u64, stall: Duration) -> Result<Phase, String> {
    let mut audience = Audience::new(server, 2000.0)?;
    let slow = audience.swarm.group(Pace::Read(READ_PER_S));
    audience.swarm.set_pace(slow, Pace::Stall);
    let conflating = Subscription {
        topic: TOPIC.to_owned(),
        settings: std::iter::once(("overflow".to_owned(), json!("conflate"))).collect(),
    };
    audience.join_as(SUBSCRIBERS, &conflating, slow)?;
    let plan = Plan {
        keys,
        ..phase::plan(TOPIC, PER_S, Duration::from_secs(3600), Acks::Unwanted)
    };
    let target = Target::parse(&server.url()).map_err(|error| error.to_string())?;
    let mut publisher = Publisher::connect(&target, 1, Duration::from_secs(10))
        .map_err(|error| error.to_string())?;
    let stop = AtomicBool::new(false);
    let phase = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publisher.run(&plan, &stop));
        let flowing = flowing(asked, server, &mut audience, slow, stall);
        stop.store(true, Ordering::Relaxed);
        publishing
            .join()
            .map_err(|_| "the publishing thread panicked".to_owned())?
            .map_err(|error| error.to_string())?;
        catch_up(server, &mut audience, slow, flowing?)
    })?;
    publisher.close();
    audience.leave()?;
    Ok(phase)
}

/// While it is published.
fn flowing(
    asked: &Asked,
    server: &Server,
    audience: &mut Audience,
    slow: Group,
    stall: Duration,
) -> Result<Phase, String> {
    let tree = || measure::tree(server.pid()).map_err(|error| error.to_string());
    audience.run_for(WARM)?;
    let before = tree()?;
    let own = Own::begin();
    audience.run_for(stall.saturating_sub(WARM))?;
    let (after, own) = (tree()?, own.end());
    let still_us = after.cpu_ns_since(&before) as f64 / 1000.0 / own.seconds / PER_S;

    audience.swarm.set_pace(slow, Pace::Read(READ_PER_S));
    audience.run_for(WARM)?;
    audience.swarm.take_window(slow, Duration::ZERO);
    let before = tree()?;
    let own = Own::begin();
    audience.run_for(asked.window)?;
    let (after, own) = (tree()?, own.end());
    let tally = audience.swarm.take_window(slow, Duration::ZERO);
    let counters = audience.swarm.counters();
    Ok(Phase {
        still_us,
        reading_us: after.cpu_ns_since(&before) as f64 / 1000.0 / own.seconds / PER_S,
        received_per_s: tally.received as f64 / own.seconds / SUBSCRIBERS as f64,
        caught_up: 0.0,
        caught_up_us: 0.0,
        starved: after.starved_ns_since(&before) as f64 / 1e9 / own.seconds,
        own,
        wrong: counters.offset_errors() + counters.malformed,
        closed: counters.closed_total(),
        lost: audience.swarm.account(slow).announced,
    })
}

/// Nothing is published any more: they read all that is left.
fn catch_up(
    server: &Server,
    audience: &mut Audience,
    slow: Group,
    phase: Phase,
) -> Result<Phase, String> {
    let cpu = || measure::tree_cpu_ns(server.pid()).map_err(|error| error.to_string());
    let before = cpu()?;
    audience.swarm.take_window(slow, Duration::ZERO);
    audience.swarm.set_pace(slow, Pace::Full);
    let mut received = 0;
    loop {
        audience.run_for(QUIET)?;
        let now = audience.swarm.received(slow);
        if std::mem::replace(&mut received, now) == now {
            break;
        }
    }
    Ok(Phase {
        caught_up: received as f64 / SUBSCRIBERS as f64,
        caught_up_us: cpu()?.saturating_sub(before) as f64 / 1000.0,
        ..phase
    })
}
