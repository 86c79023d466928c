//! Connecting: how evenly ten workers share it, how fast one worker is at it.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::phase::Audience;
use crate::report::Findings;
use pubsub_load::floor::TOPIC;
use pubsub_load::swarm::Group;
use pubsub_load::{clock, http, measure};
use serde_json::{Value, json};
use std::time::Duration;

const WORKERS: u32 = 10;
const SHARED: usize = 5000;
const UPGRADES: usize = 10_000;

/// A pace that everybody must be taken at, and one that nobody keeps.
const PACES: [f64; 2] = [2000.0, 1e6];

/// Time for an admin to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn balance(asked: &Asked) -> Result<Findings, String> {
    let server = Server::start(WORKERS, asked.pin)?;
    let mut audience = Audience::new(&server, PACES[0])?;
    audience.join(SHARED, TOPIC, Group::MAIN)?;
    audience.run_for(Duration::from_secs(1))?;
    let told: Vec<u64> = (0..WORKERS)
        .map(|slot| {
            audience
                .swarm
                .counters()
                .workers
                .get(&slot)
                .copied()
                .unwrap_or(0)
        })
        .collect();
    let mut findings = Findings::default();
    let mut counts = vec![("by welcome", told)];
    match by_status(&server) {
        Ok(counted) => counts.push(("by /status", counted)),
        Err(why) => findings.say("/status", why),
    }
    for (whose, counts) in &counts {
        let mean = counts.iter().sum::<u64>() as f64 / f64::from(WORKERS);
        let fullest = counts.iter().max().copied().unwrap_or(0);
        findings.say(
            format!("fullest worker / mean, {whose}"),
            format!("{:.3} ({fullest} of {counts:?})", fullest as f64 / mean),
        );
    }
    findings.say("failed", format!("{}", audience.swarm.counters().failed));
    findings.keep(json!({"connections": counts}));
    audience.leave()?;
    Ok(findings)
}

fn by_status(server: &Server) -> Result<Vec<u64>, String> {
    let body = http::get(server.admin(), "/status", PATIENCE).map_err(|error| error.to_string())?;
    let status: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let workers = status["workers"].as_array().ok_or("no workers in it")?;
    Ok(workers
        .iter()
        .map(|worker| worker["connections"].as_u64().unwrap_or(0))
        .collect())
}

pub fn upgrades(asked: &Asked) -> Result<Findings, String> {
    let mut findings = Findings::default();
    for pace in PACES {
        let server = Server::start(1, asked.pin)?;
        let mut audience = Audience::new(&server, pace)?;
        audience.join(100, TOPIC, Group::MAIN)?;
        let cpu = || measure::tree_cpu_ns(server.pid()).map_err(|error| error.to_string());
        let (before, own, begun) = (cpu()?, clock::thread_cpu_ns(), clock::mono_ns());
        audience.join(UPGRADES, TOPIC, Group::MAIN)?;
        let seconds = (clock::mono_ns() - begun) as f64 / 1e9;
        let (spent, own) = (cpu()?.saturating_sub(before), clock::thread_cpu_ns() - own);
        let each = |ns: u64| ns as f64 / 1000.0 / UPGRADES as f64;
        let name = if pace > 1e5 {
            "as fast as it goes".to_owned()
        } else {
            format!("at {pace:.0}/s")
        };
        findings.say(
            format!("{name}: upgraded and subscribed"),
            format!(
                "{:.0}/s, {:.1} us of the tree each, {:.1} us of the subscribers' side",
                UPGRADES as f64 / seconds,
                each(spent),
                each(own)
            ),
        );
        findings.say(
            format!("{name}: failed"),
            format!("{}", audience.swarm.counters().failed),
        );
        findings.keep(json!({"pace": pace, "seconds": seconds, "tree_us": each(spent), "failed": audience.swarm.counters().failed}));
        audience.leave()?;
    }
    Ok(findings)
}
