//! What a connection costs in memory: idle on a common topic, and each on a topic of its own under load.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::phase::{self, Audience, FanOut, Source};
use crate::report::{Findings, ms};
use pubsub_load::floor::TOPIC;
use pubsub_load::measure::{self, Sample};
use pubsub_load::publisher::{Acks, Topics};
use pubsub_load::swarm::{Group, Subscription};
use serde_json::json;
use std::time::Duration;

const CONNECTIONS: usize = 10_000;

/// Connections that come and go before the first look, so that code pages and pools are there.
const FIRST: usize = 200;

/// What a connect has begun is over by then: timers of the handshake, pages given back.
const REST: Duration = Duration::from_secs(3);

pub fn idle(asked: &Asked) -> Result<Findings, String> {
    let server = Server::start(1, asked.pin)?;
    let empty = at_rest(&server, None)?;
    let tcp_empty = tcp();
    let mut audience = Audience::new(&server, 4000.0)?;
    audience.join(CONNECTIONS, TOPIC, Group::MAIN)?;
    let full = at_rest(&server, Some(&mut audience))?;
    let mut findings = Findings::default();
    grown(&mut findings, &empty, &full, CONNECTIONS);
    let kernel = tcp().saturating_sub(tcp_empty) as f64 / 1024.0 / CONNECTIONS as f64;
    findings.say(
        "TCP memory of the kernel per connection, both ends",
        format!("{kernel:.2} KB (queued bytes only)"),
    );
    audience.leave()?;
    let gone = at_rest(&server, None)?;
    findings.say(
        "tree after all have gone (PSS)",
        format!("{:.1} MB", mb(gone.pss_bytes())),
    );
    findings.keep(json!({"connections": CONNECTIONS, "empty": empty.pss_bytes(), "full": full.pss_bytes(), "gone": gone.pss_bytes()}));
    Ok(findings)
}

pub fn own_topics(asked: &Asked) -> Result<Findings, String> {
    let server = Server::start(1, asked.pin)?;
    let empty = at_rest(&server, None)?;
    let mut audience = Audience::new(&server, 4000.0)?;
    for number in 0..CONNECTIONS {
        let topic = audience
            .swarm
            .topic(&Subscription::plain(format!("own.{number}")));
        audience.swarm.connect(1, topic, Group::MAIN);
    }
    audience.settle(CONNECTIONS)?;
    let quiet = at_rest(&server, Some(&mut audience))?;
    let mut plan = phase::plan("own.1234", CONNECTIONS as f64, asked.window, Acks::Unwanted);
    plan.topics = Topics::Many {
        prefix: "own".to_owned(),
        count: CONNECTIONS as u64,
    };
    let source = Source::sessions(&server, 1, plan)?;
    let phase = phase::measure(
        server.pid(),
        &mut audience,
        source,
        FanOut::To(1),
        asked.window,
    )?;
    let loaded = measure::tree(server.pid()).map_err(|error| error.to_string())?;
    let mut findings = Findings::default();
    findings.say(
        "delivered, CPU per message, cores",
        format!(
            "{:.0}/s, {:.2} us, {:.2}",
            phase.delivered_per_s, phase.cpu_us, phase.cores
        ),
    );
    findings.say(
        "p50, p99; missing, announced lost, wrong",
        format!(
            "{}, {}; {}, {}, {}",
            ms(phase.p50_ms),
            ms(phase.p99_ms),
            phase.missing,
            phase.lost,
            phase.wrong
        ),
    );
    let roles: Vec<String> = phase
        .roles
        .iter()
        .map(|(role, cores)| format!("{role} {cores:.3}"))
        .collect();
    findings.say("cores by role", roles.join(", "));
    findings.say(
        "each connection subscribed to a topic of its own, nothing published:",
        "",
    );
    grown(&mut findings, &empty, &quiet, CONNECTIONS);
    findings.say("under load, with the messages that the log keeps:", "");
    grown(&mut findings, &empty, &loaded, CONNECTIONS);
    findings.keep(json!({"connections": CONNECTIONS, "phase": phase, "empty": empty.pss_bytes(), "quiet": quiet.pss_bytes(), "loaded": loaded.pss_bytes()}));
    audience.leave()?;
    Ok(findings)
}

/// The tree when it has come to rest, with this audience or after a few who came and went.
fn at_rest(server: &Server, audience: Option<&mut Audience>) -> Result<Sample, String> {
    if let Some(audience) = audience {
        audience.run_for(REST)?;
    } else {
        let mut first = Audience::new(server, 4000.0)?;
        first.join(FIRST, "first", Group::MAIN)?;
        first.leave()?;
        first.run_for(REST)?;
    }
    measure::tree(server.pid()).map_err(|error| error.to_string())
}

fn grown(findings: &mut Findings, before: &Sample, after: &Sample, connections: usize) {
    let per = |bytes: u64| bytes as f64 / 1024.0 / connections as f64;
    let all = after.pss_bytes().saturating_sub(before.pss_bytes());
    findings.say(
        "tree (PSS) before, after",
        format!(
            "{:.1} MB, {:.1} MB",
            mb(before.pss_bytes()),
            mb(after.pss_bytes())
        ),
    );
    findings.say("grown per connection", format!("{:.2} KB", per(all)));
    let of = |process: &measure::Process| {
        let earlier = before
            .processes
            .iter()
            .find(|earlier| earlier.pid == process.pid)
            .map_or(0, |earlier| earlier.pss_bytes);
        format!(
            "{} {:.2} KB",
            process.role,
            per(process.pss_bytes.saturating_sub(earlier))
        )
    };
    let roles: Vec<String> = after.processes.iter().map(of).collect();
    findings.say("grown per connection, by process", roles.join(", "));
}

fn tcp() -> u64 {
    measure::tcp_memory_bytes().unwrap_or(0)
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
