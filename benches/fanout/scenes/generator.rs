//! The generator alone: the floor writes many frames at once, so that the subscribers' side is what is measured.
use crate::Asked;
use crate::child::{FloorChild, Measured};
use crate::phase::{self, Audience, FanOut, Source};
use crate::report::{Findings, ms};
use pubsub_load::floor::TOPIC;
use pubsub_load::swarm::Group;
use serde_json::json;

/// Subscribers, publications a second, publications in one write.
const LOADS: [(usize, f64, usize); 5] = [
    (1000, 50.0, 1),
    (1000, 2000.0, 20),
    (10_000, 5.0, 1),
    (10_000, 200.0, 10),
    (10_000, 200.0, 40),
];

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let mut findings = Findings::default();
    for (subscribers, per_s, per_write) in LOADS {
        let mut floor = FloorChild::start(asked.pin)?;
        let mut audience = Audience::new(&floor, 10_000.0)?;
        floor.accept(subscribers);
        audience.join(subscribers, TOPIC, Group::MAIN)?;
        let pid = floor.pid();
        let source = Source::floor(&mut floor, per_s, per_write, asked.window);
        let phase = phase::measure(
            pid,
            &mut audience,
            source,
            FanOut::To(subscribers),
            asked.window,
        )?;
        findings.say(
            format!("{subscribers} x {per_s}/s, {per_write} per write"),
            format!(
                "{:.0}/s, {:.3} us own CPU per message, {:.0} % busy, loop lag p99 {:.1} ms, p99 {}, missing {}, wrong {}",
                phase.delivered_per_s, phase.own_cpu_us, phase.own_busy * 100.0, phase.own_lag_ms, ms(phase.p99_ms), phase.missing, phase.wrong
            ),
        );
        findings.keep(json!({"subscribers": subscribers, "per_s": per_s, "per_write": per_write, "phase": phase}));
        floor.close();
        audience.leave()?;
    }
    Ok(findings)
}
