//! The hub under 100,000 publications a second.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::phase::{self, Audience, FanOut, Source};
use crate::report::{Findings, ms};
use pubsub_load::floor::TOPIC;
use pubsub_load::publisher::Acks;
use pubsub_load::swarm::Group;
use serde_json::json;

const WORKERS: u32 = 10;
const PER_S: f64 = 100_000.0;

/// Publishing sessions: a server takes 20,000 publications a second of one.
const SESSIONS: usize = 10;

/// Subscribers to what is published: few, since the hub is what is measured.
const SUBSCRIBERS: [usize; 2] = [0, 2];

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let mut findings = Findings::default();
    for subscribers in SUBSCRIBERS {
        for acks in [Acks::Unwanted, Acks::Wanted] {
            let server = Server::start(WORKERS, asked.pin)?;
            let mut audience = Audience::new(&server, 1000.0)?;
            audience.join(subscribers, TOPIC, Group::MAIN)?;
            let source = Source::sessions(
                &server,
                SESSIONS,
                phase::plan(TOPIC, PER_S, asked.window, acks),
            )?;
            let phase = phase::measure(
                server.pid(),
                &mut audience,
                source,
                FanOut::To(subscribers),
                asked.window,
            )?;
            let what = format!(
                "{subscribers} subscribers, {}",
                if acks == Acks::Wanted {
                    "acknowledged"
                } else {
                    "not acknowledged"
                }
            );
            findings.say(
                format!("{what}: published, not made or refused"),
                format!(
                    "{} in {:.1} s, {}",
                    phase.published,
                    (asked.window + phase::WARM).as_secs_f64(),
                    phase.unpublished
                ),
            );
            let roles: Vec<String> = phase
                .roles
                .iter()
                .map(|(role, cores)| format!("{role} {cores:.2}"))
                .collect();
            findings.say(
                format!("{what}: cores"),
                format!("{:.2}: {}", phase.cores, roles.join(", ")),
            );
            if subscribers > 0 {
                findings.say(
                    format!("{what}: delivered, p50, p99, missing, lost"),
                    format!(
                        "{:.0}/s, {}, {}, {}, {}",
                        phase.delivered_per_s,
                        ms(phase.p50_ms),
                        ms(phase.p99_ms),
                        phase.missing,
                        phase.lost
                    ),
                );
            }
            findings.keep(json!({"subscribers": subscribers, "acknowledged": acks == Acks::Wanted, "phase": phase}));
            audience.leave()?;
        }
    }
    Ok(findings)
}
