//! Server and floor in turns, at the same rate, over as many sockets.
use crate::Asked;
use crate::child::{FloorChild, Measured, Server};
use crate::phase::{self, Audience, FanOut, Phase, Source, doubts};
use crate::report::{Findings, Reach, median, ms};
use pubsub_load::floor::TOPIC;
use pubsub_load::measure as processes;
use pubsub_load::publisher::Acks;
use pubsub_load::swarm::Group;
use serde_json::json;
use std::time::Duration;

/// Connects per second while a phase is prepared.
const CONNECTS_PER_S: f64 = 4000.0;

/// What a server has done after a connect is done too when its memory is read.
const QUIET: Duration = Duration::from_millis(500);

/// Whether a bare loop can keep up, and so what is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// It can: a message may cost hardly more than there.
    Light,
    /// It cannot: many more messages are to be delivered than there.
    Flood,
}

const LIGHT_REACH: Reach = Reach::Most(1.1);
const FLOOD_REACH: Reach = Reach::Least(10.0);

pub fn run(asked: &Asked, subscribers: usize, per_s: f64, load: Load) -> Result<Findings, String> {
    let server = Server::start(1, asked.pin)?;
    let mut floor = FloorChild::start(asked.pin)?;
    let (mut ours, mut bare, mut growth) = (Vec::new(), Vec::new(), Vec::new());
    let empty = pss(&server)?;
    for pair in 0..asked.pairs {
        eprintln!("fanout: pair {} of {}", pair + 1, asked.pairs);
        // Who goes first alternates, so that neither always has the warmer machine.
        if pair % 2 == 0 {
            let (phase, grown) = of_server(asked, &server, subscribers, per_s)?;
            ours.push(phase);
            growth.push(grown);
            bare.push(of_floor(asked, &mut floor, subscribers, per_s)?);
        } else {
            bare.push(of_floor(asked, &mut floor, subscribers, per_s)?);
            let (phase, grown) = of_server(asked, &server, subscribers, per_s)?;
            ours.push(phase);
            growth.push(grown);
        }
    }
    let mut findings = Findings::default();
    compare(&mut findings, load, &ours, &bare);
    let peak = ours.iter().map(|phase| phase.pss_bytes).max().unwrap_or(0);
    let per_connection =
        |bytes: u64| bytes.saturating_sub(empty) as f64 / 1024.0 / subscribers as f64;
    findings.say(
        "memory: tree empty, under load (PSS)",
        format!("{:.1} MB, {:.1} MB", mb(empty), mb(peak)),
    );
    findings.say(
        "memory per connection over the empty tree",
        format!("{:.2} KB, rings and log included", per_connection(peak)),
    );
    let grown = median(
        growth
            .iter()
            .map(|bytes| *bytes as f64 / 1024.0 / subscribers as f64)
            .collect(),
    );
    findings.say(
        "memory per connection over the idle audience",
        format!("{grown:.2} KB, rings and log included"),
    );
    findings.keep(json!({"subscribers": subscribers, "per_s": per_s, "server": ours, "floor": bare, "empty_bytes": empty}));
    Ok(findings)
}

/// The phase, and how much larger the tree was in it than with the same audience idle.
fn of_server(
    asked: &Asked,
    server: &Server,
    subscribers: usize,
    per_s: f64,
) -> Result<(Phase, u64), String> {
    let mut audience = Audience::new(server, CONNECTS_PER_S)?;
    audience.join(subscribers, TOPIC, Group::MAIN)?;
    audience.run_for(QUIET)?;
    let idle = pss(server)?;
    let plan = phase::plan(TOPIC, per_s, asked.window, Acks::Unwanted);
    let source = Source::sessions(server, 1, plan)?;
    let phase = phase::measure(
        server.pid(),
        &mut audience,
        source,
        FanOut::To(subscribers),
        asked.window,
    )?;
    audience.leave()?;
    let grown = phase.pss_bytes.saturating_sub(idle);
    Ok((phase, grown))
}

fn of_floor(
    asked: &Asked,
    floor: &mut FloorChild,
    subscribers: usize,
    per_s: f64,
) -> Result<Phase, String> {
    let mut audience = Audience::new(floor, CONNECTS_PER_S)?;
    floor.accept(subscribers);
    audience.join(subscribers, TOPIC, Group::MAIN)?;
    let root = floor.pid();
    let source = Source::floor(floor, per_s, 1, asked.window);
    let phase = phase::measure(
        root,
        &mut audience,
        source,
        FanOut::To(subscribers),
        asked.window,
    )?;
    audience.swarm.leave(20_000.0);
    audience.run_for(QUIET)?;
    floor.close();
    audience.leave()?;
    Ok(phase)
}

fn compare(findings: &mut Findings, load: Load, ours: &[Phase], bare: &[Phase]) {
    let of =
        |phases: &[Phase], value: fn(&Phase) -> f64| median(phases.iter().map(value).collect());
    let pairs = || ours.iter().zip(bare);
    let cpu = median(
        pairs()
            .map(|(ours, bare)| ours.cpu_us / bare.cpu_us)
            .collect(),
    );
    let speed = median(
        pairs()
            .map(|(ours, bare)| ours.delivered_per_s / bare.delivered_per_s)
            .collect(),
    );
    match load {
        Load::Light => {
            findings.judge("CPU per message, server / floor", cpu, LIGHT_REACH, "");
            findings.say("messages a second, server / floor", format!("{speed:.2}"));
        }
        Load::Flood => {
            findings.judge("messages a second, server / floor", speed, FLOOD_REACH, "");
            findings.say("CPU per message, server / floor", format!("{cpu:.2}"));
        }
    }
    for (name, phases) in [("server", ours), ("floor", bare)] {
        findings.say(
            format!("{name}: delivered, CPU per message, cores, starved"),
            format!(
                "{:.0}/s, {:.2} us, {:.2}, {:.2}",
                of(phases, |p| p.delivered_per_s),
                of(phases, |p| p.cpu_us),
                of(phases, |p| p.cores),
                of(phases, |p| p.starved)
            ),
        );
        let worst = phases
            .iter()
            .map(|phase| phase.p99_ms.unwrap_or(f64::INFINITY))
            .fold(0.0, f64::max);
        let p50 = ms(Some(of(phases, |phase| {
            phase.p50_ms.unwrap_or(f64::INFINITY)
        })));
        let p99 = ms(Some(of(phases, |phase| {
            phase.p99_ms.unwrap_or(f64::INFINITY)
        })));
        findings.say(
            format!("{name}: p50, p99, worst p99"),
            format!("{p50}, {p99}, {}", ms(Some(worst))),
        );
        let sum = |value: fn(&Phase) -> u64| phases.iter().map(value).sum::<u64>();
        findings.say(
            format!("{name}: missing, announced lost, closed, wrong"),
            format!(
                "{}, {}, {}, {}",
                sum(|p| p.missing),
                sum(|p| p.lost),
                sum(|p| p.closed),
                sum(|p| p.wrong)
            ),
        );
    }
    findings.doubt(&doubts(
        of(ours, |phase| phase.starved).max(of(bare, |phase| phase.starved)),
        of(ours, |phase| phase.own_busy),
        of(ours, |phase| phase.own_starved).max(of(bare, |phase| phase.own_starved)),
    ));
    findings.say(
        "subscribers' own CPU per message, busy, loop lag p99",
        format!(
            "{:.2} us, {:.0} %, {:.1} ms (beside the server)",
            of(ours, |phase| phase.own_cpu_us),
            of(ours, |phase| phase.own_busy * 100.0),
            of(ours, |phase| phase.own_lag_ms)
        ),
    );
    if let Some(phase) = ours.last() {
        let roles: Vec<String> = phase
            .roles
            .iter()
            .map(|(role, cores)| format!("{role} {cores:.3}"))
            .collect();
        findings.say("server: cores by role", roles.join(", "));
    }
}

fn pss(server: &Server) -> Result<u64, String> {
    processes::tree(server.pid())
        .map(|tree| tree.pss_bytes())
        .map_err(|error| error.to_string())
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
