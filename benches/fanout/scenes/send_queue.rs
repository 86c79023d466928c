//! What the kernel holds for a subscriber that has stopped reading, and what it costs to keep that small: freshness against
//! throughput.
//!
//! A server for each setting, in turns. In each phase a thousand healthy subscribers are flooded, some have stopped, and some read a
//! tenth and conflate, so that the age of what they hold tells what could no longer be conflated. Then a few read a long history as
//! fast as they can: the link at its best.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::phase::{self, Audience, FanOut, Own, Phase, Source};
use crate::report::{Findings, Reach, median};
use crate::sockets;
use crate::turns::Turns;
use pubsub_load::floor::TOPIC;
use pubsub_load::measure;
use pubsub_load::publisher::Acks;
use pubsub_load::swarm::{Group, Pace, Subscription};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::num::NonZeroU64;
use std::time::Duration;

const HEALTHY: usize = 1000;
const STOPPED: usize = 10;
const SLOW: usize = 10;
const PER_S: f64 = 2000.0;

/// A tenth of what is published.
const READ_PER_S: NonZeroU64 =
    NonZeroU64::new(PER_S as u64 / 10 * phase::FRAME_BYTES as u64).unwrap();

/// History: how many read it, and how long it is. Its topic has a log of its own, which nothing else drives out.
const READERS: usize = 10;
const HISTORY: u64 = 60_000;
const HISTORY_TOPIC: &str = "history";
const HISTORY_PER_S: f64 = 15_000.0;
const LOG: &str = "[[retain]]\npattern = \"history\"\nsize = \"64MiB\"\n";

/// Time for a history to be read.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of `[worker]`. The first is what a server has by itself, the second leaves all to the kernel: what all are compared with.
const VARIANTS: [(&str, &str); 6] = [
    ("as it is", ""),
    ("kernel's own", "notsent_lowat_bytes = 0\n"),
    ("unsent 4 KiB", "notsent_lowat_bytes = \"4KiB\"\n"),
    ("unsent 64 KiB", "notsent_lowat_bytes = \"64KiB\"\n"),
    ("buffer 16 KiB", "send_buffer_bytes = \"16KiB\"\n"),
    ("buffer 64 KiB", "send_buffer_bytes = \"64KiB\"\n"),
];
const AS_IT_IS: usize = 0;
const KERNELS_OWN: usize = 1;

const QUEUE_REACH: Reach = Reach::Most(64.0);
const HEALTHY_REACH: Reach = Reach::Most(1.1);

#[derive(Debug, Clone, Serialize)]
struct Found {
    flood: Phase,
    /// Bytes in the server's kernel for each that has stopped or is slow, largest first.
    queued: Vec<u64>,
    /// Age of the newest value that the slow ones held, median over their time, milliseconds.
    age_ms: f64,
    /// History read, bytes a second.
    read_per_s: f64,
    /// CPU of the tree per message of it, microseconds.
    read_cpu_us: f64,
}

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let servers = VARIANTS
        .iter()
        .map(|(_, worker)| {
            let file = format!("{LOG}[worker]\n{worker}");
            let server = Server::configured(1, asked.pin, &file)?;
            fill(&server)?;
            Ok(server)
        })
        .collect::<Result<Vec<_>, String>>()?;
    let turns = Turns::take(asked.pairs, VARIANTS.len(), |kind| {
        measured(asked, &servers[kind])
    })?;
    let mut findings = Findings::default();
    judge(&mut findings, &turns);
    for (kind, (name, _)) in VARIANTS.iter().enumerate() {
        describe(&mut findings, &turns, kind, name);
        findings.keep(json!({"variant": name, "phases": turns.of(kind)}));
    }
    let phases = || (0..VARIANTS.len()).flat_map(|kind| turns.of(kind));
    let of = |value: fn(&Phase) -> f64| median(phases().map(|f| value(&f.flood)).collect());
    findings.doubt(&phase::doubts(
        of(|p| p.starved),
        of(|p| p.own_busy),
        of(|p| p.own_starved),
    ));
    Ok(findings)
}

fn judge(findings: &mut Findings, turns: &Turns<Found>) {
    let ratio = |value: fn(&Found) -> f64| turns.ratio(AS_IT_IS, KERNELS_OWN, value);
    let largest = turns.of(AS_IT_IS).iter().filter_map(|f| f.queued.first());
    findings.judge(
        "as it is: largest send queue of one that stopped, KB",
        largest.max().copied().unwrap_or(0) as f64 / 1024.0,
        QUEUE_REACH,
        "",
    );
    findings.judge(
        "as it is / kernel's own: CPU per message of the healthy",
        ratio(|f| f.flood.cpu_us),
        HEALTHY_REACH,
        "",
    );
    findings.judge(
        "as it is / kernel's own: p99 of the healthy",
        ratio(|f| f.flood.p99_ms.unwrap_or(f64::INFINITY)),
        HEALTHY_REACH,
        "",
    );
    findings.judge(
        "kernel's own / as it is: history a second",
        1.0 / ratio(|f| f.read_per_s),
        HEALTHY_REACH,
        "",
    );
}

fn describe(findings: &mut Findings, turns: &Turns<Found>, kind: usize, name: &str) {
    let of = |value: fn(&Found) -> f64| turns.median(kind, value);
    let queued = |f: &Found, at: usize| f.queued.get(at).map_or(0.0, |b| *b as f64 / 1024.0);
    findings.say(
        format!("{name}: send queue of a stopped one, age at a slow one"),
        format!(
            "{:.0} KB (largest {:.0}), {:.0} ms",
            turns.median(kind, |f| queued(f, STOPPED / 2)),
            turns.median(kind, |f| queued(f, 0)),
            of(|f| f.age_ms)
        ),
    );
    findings.say(
        format!("{name}: healthy, delivered, CPU, p50, p99"),
        format!(
            "{:.0}/s, {:.3} us, {:.1} ms, {:.1} ms",
            of(|f| f.flood.delivered_per_s),
            of(|f| f.flood.cpu_us),
            of(|f| f.flood.p50_ms.unwrap_or(f64::INFINITY)),
            of(|f| f.flood.p99_ms.unwrap_or(f64::INFINITY))
        ),
    );
    findings.say(
        format!("{name}: history, CPU per message of it"),
        format!(
            "{:.0} MB/s, {:.3} us",
            of(|f| f.read_per_s) / 1e6,
            of(|f| f.read_cpu_us)
        ),
    );
}

fn measured(asked: &Asked, server: &Server) -> Result<Found, String> {
    let mut audience = Audience::new(server, 4000.0)?;
    let stopped = audience.swarm.group(Pace::Stall);
    let slow = audience.swarm.group(Pace::Read(READ_PER_S));
    let with = |overflow: &str| Subscription {
        topic: TOPIC.to_owned(),
        settings: settings(&[("overflow", json!(overflow))]),
    };
    audience.join_as(STOPPED, &with("drop_oldest"), stopped)?;
    audience.join_as(SLOW, &with("conflate"), slow)?;
    audience.join(HEALTHY, TOPIC, Group::MAIN)?;
    let source = Source::sessions(
        server,
        1,
        phase::plan(TOPIC, PER_S, asked.window, Acks::Unwanted),
    )?;
    let flood = phase::measure(
        server.pid(),
        &mut audience,
        source,
        FanOut::To(HEALTHY),
        asked.window,
    )?;
    let age_ms = audience.swarm.take_staleness(slow).during_ms(0.5);
    let mut queued: Vec<u64> = sockets::queues(server.port(), None)
        .iter()
        .map(|queue| queue.send)
        .collect();
    queued.sort_unstable_by_key(|bytes| std::cmp::Reverse(*bytes));
    queued.truncate(STOPPED + SLOW);
    audience.leave()?;
    let (read_per_s, read_cpu_us) = read_history(server)?;
    Ok(Found {
        flood,
        queued,
        age_ms: age_ms.unwrap_or(f64::INFINITY),
        read_per_s,
        read_cpu_us,
    })
}

/// Puts a history into the log.
fn fill(server: &Server) -> Result<(), String> {
    let mut audience = Audience::new(server, 100.0)?;
    let long = Duration::from_secs_f64(HISTORY as f64 / HISTORY_PER_S);
    let plan = phase::plan(HISTORY_TOPIC, HISTORY_PER_S, long, Acks::Unwanted);
    Source::sessions(server, 1, plan)?
        .finish(&mut audience)
        .map(|_| ())
}

/// Some read the whole history; bytes a second of all of them together, and CPU of the tree per message.
fn read_history(server: &Server) -> Result<(f64, f64), String> {
    let mut audience = Audience::new(server, 1e6)?;
    let cpu = || measure::tree_cpu_ns(server.pid()).map_err(|error| error.to_string());
    let before = cpu()?;
    let own = Own::begin();
    let from_earliest = Subscription {
        topic: HISTORY_TOPIC.to_owned(),
        settings: settings(&[("from", json!("earliest"))]),
    };
    audience.join_as(READERS, &from_earliest, Group::MAIN)?;
    let all = HISTORY * READERS as u64;
    let whole = audience.run_until(PATIENCE, |swarm| swarm.received(Group::MAIN) >= all)?;
    let (own, spent) = (own.end(), cpu()?.saturating_sub(before));
    let bytes = audience.swarm.counters().wire_bytes as f64;
    let received = audience.swarm.received(Group::MAIN);
    audience.leave()?;
    if !whole {
        return Err(format!("{received} of {all} messages of history came"));
    }
    Ok((bytes / own.seconds, spent as f64 / 1000.0 / received as f64))
}

fn settings(fields: &[(&str, Value)]) -> Map<String, Value> {
    let owned = |(name, value): &(&str, Value)| ((*name).to_owned(), value.clone());
    fields.iter().map(owned).collect()
}
