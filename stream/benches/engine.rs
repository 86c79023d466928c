//! What the engine itself costs, without sockets: a publication into a ring and through operators, a subscriber's step over one
//! entry, and what those who are behind cost.
//!
//! `cargo bench -p pubsub-stream`. The model network takes all, so that every visit is the one of light load, or nothing at all.
#![allow(clippy::disallowed_methods, reason = "a benchmark lives in real time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pubsub_stream::hub::{EntryRef, HubEvent, HubRequest};
use pubsub_stream::{Config, Engine, Now, Peer, SessionId};

const DATA: [u8; 400] = [b'1'; 400];
const NOW: Now = Now {
    mono_ns: 1_000_000_000,
    wall_us: 1,
};

fn config() -> Config {
    Config {
        heartbeat_ns: u64::MAX / 4,
        write_stall_ns: u64::MAX / 4,
        ring_bytes: 1 << 28,
        ..Config::default()
    }
}

/// An engine with `n` sessions that subscribe to one topic, each with the settings that `of` gives it: further fields of a
/// `subscribe`.
fn engine_with(n: usize, of: impl Fn(usize) -> String) -> (Engine, Vec<SessionId>) {
    let mut engine = Engine::new(config());
    engine.handle_hub(
        NOW,
        HubEvent::Hello {
            epoch: "e",
            position: 0,
        },
    );
    let sessions: Vec<SessionId> = (0..n)
        .map(|_| engine.handle_open(NOW, Peer { may_publish: false }))
        .collect();
    for (number, session) in sessions.iter().enumerate() {
        let command = format!(r#"{{"op":"subscribe","topic":"t",{}}}"#, of(number));
        engine.handle_text(NOW, *session, &command);
    }
    while let Some(request) = engine.poll_hub() {
        if let HubRequest::Watch { view, .. } = request {
            engine.handle_hub(NOW, HubEvent::Watched { view, position: 0 });
        }
    }
    take_all(&mut engine);
    (engine, sessions)
}

fn engine(n: usize, overflow: &str) -> (Engine, Vec<SessionId>) {
    engine_with(n, |_| format!(r#""overflow":"{overflow}""#))
}

fn publish(engine: &mut Engine, offset: i64) {
    publish_at(engine, NOW, offset, None);
}

fn publish_at(engine: &mut Engine, now: Now, offset: i64, key: Option<&str>) {
    let entry = EntryRef {
        offset,
        ts_us: now.wall_us,
        mono_ns: now.mono_ns,
        topic: "t",
        key,
        data: &DATA,
    };
    engine.handle_hub(now, HubEvent::Entry(entry));
}

/// Every session has a socket that takes nothing: what comes from now on finds its subscription parked.
fn refuse_all(engine: &mut Engine) {
    while let Some(session) = engine.poll_visit(NOW) {
        engine.poll_write(NOW, session);
        engine.handle_written(NOW, session, 0, true);
    }
}

/// Every visit hands over all there is.
fn take_all(engine: &mut Engine) {
    while let Some(session) = engine.poll_visit(NOW) {
        let bytes = engine
            .poll_write(NOW, session)
            .iter()
            .map(|p| black_box(p.bytes()).len())
            .sum();
        engine.handle_written(NOW, session, bytes, false);
    }
}

fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("a visit of one message");
    for n in [1, 1000, 10_000] {
        let (mut engine, _) = engine(n, "drop_oldest");
        let mut offset = 0;
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| {
                offset += 1;
                publish(&mut engine, offset);
                take_all(&mut engine);
            });
        });
    }
    group.finish();
}

fn catch_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("a cursor's step in a batch of 64");
    group.throughput(Throughput::Elements(64 * 1000));
    let (mut engine, _) = engine(1000, "drop_oldest");
    let mut offset = 0;
    group.bench_function("1000", |b| {
        b.iter(|| {
            for _ in 0..64 {
                offset += 1;
                publish(&mut engine, offset);
            }
            take_all(&mut engine);
        });
    });
    group.finish();
}

fn insert(c: &mut Criterion) {
    let mut group = c.benchmark_group("a publication into a ring");
    group.throughput(Throughput::Elements(1000));
    for overflow in ["drop_oldest", "conflate"] {
        group.bench_function(overflow, |b| {
            b.iter_batched_ref(
                || {
                    let (mut engine, sessions) = engine(1, overflow);
                    publish(&mut engine, 1);
                    refuse_all(&mut engine);
                    (engine, sessions)
                },
                |(engine, _)| (2..1002).for_each(|offset| publish(engine, offset)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// What a publication costs that goes through the operators of `n` cohorts of one member each and is held there.
fn operators(c: &mut Criterion) {
    let mut group = c.benchmark_group("a publication into operators");
    for n in [1, 100] {
        let (mut engine, _) = engine_with(n, |number| sample(MINUTE_MS + number as u64));
        let mut offset = 0;
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new("sample", n), |b| {
            b.iter(|| {
                offset += 1;
                publish(&mut engine, offset);
            });
        });
    }
    group.finish();
}

/// A minute: nothing is released while the clock stands still.
const MINUTE_MS: u64 = 60_000;

fn sample(ms: u64) -> String {
    format!(r#""rate":{{"mode":"sample","ms":{ms}}}"#)
}

/// What a member costs when its cohort's rate releases a message, beside the visit of one without a rate.
fn release(c: &mut Criterion) {
    const MEMBERS: usize = 10_000;
    const TICK_MS: u64 = 100;
    let mut group = c.benchmark_group("a release to a cohort");
    group.throughput(Throughput::Elements(MEMBERS as u64));
    let (mut engine, _) = engine_with(MEMBERS, |_| sample(TICK_MS));
    let mut offset = 0;
    let mut now = NOW;
    group.bench_function("10000", |b| {
        b.iter(|| {
            offset += 1;
            publish_at(&mut engine, now, offset, None);
            now.mono_ns += TICK_MS * 1_000_000;
            now.wall_us += TICK_MS * 1000;
            engine.handle_timeout(now);
            take_all(&mut engine);
        });
    });
    group.finish();
}

/// A publication while subscriptions that conflate stand still, by how far behind they are and how many keys have changed since.
fn laggards(c: &mut Criterion) {
    const SUBSCRIBERS: usize = 1000;
    let mut group = c.benchmark_group("a publication past conflating laggards");
    for (keys, lag) in [(10, 10), (10, 100_000), (5000, 5000), (5000, 100_000)] {
        let names: Vec<String> = (0..keys).map(|k| format!("k{k}")).collect();
        let (mut engine, _) = engine(SUBSCRIBERS, "conflate");
        let mut offset = 0;
        let mut next = |engine: &mut Engine| {
            offset += 1;
            publish_at(engine, NOW, offset, Some(&names[offset as usize % keys]));
        };
        next(&mut engine);
        refuse_all(&mut engine);
        (0..lag).for_each(|_| next(&mut engine));
        let name = format!("{keys} keys, {lag} entries behind");
        group.bench_function(name, |b| b.iter(|| next(&mut engine)));
    }
    group.finish();
}

/// What it costs to settle what one subscription has lost whose socket refuses, and to offer its socket a write that it refuses.
fn settle(c: &mut Criterion) {
    const SUBSCRIBERS: usize = 1000;
    const LOST: i64 = 4096;
    for overflow in ["drop_oldest", "drop_newest", "conflate"] {
        let mut group = c.benchmark_group(format!("one that refuses, {overflow}"));
        group.throughput(Throughput::Elements(SUBSCRIBERS as u64));
        let (mut engine, sessions) = engine(SUBSCRIBERS, overflow);
        let mut offset = 1;
        publish(&mut engine, offset);
        refuse_all(&mut engine);
        let mut timed = |engine: &mut Engine, rounds: u64, act: fn(&mut Engine, &[SessionId])| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                for _ in 0..LOST {
                    offset += 1;
                    publish(engine, offset);
                }
                let begun = Instant::now();
                act(engine, &sessions);
                spent += begun.elapsed();
            }
            spent
        };
        group.bench_function("a settle", |b| {
            b.iter_custom(|rounds| {
                timed(&mut engine, rounds, |engine, _| {
                    black_box(engine.slowest(NOW, 1));
                })
            });
        });
        group.bench_function("a write refused", |b| {
            b.iter_custom(|rounds| {
                timed(&mut engine, rounds, |engine, sessions| {
                    for session in sessions {
                        engine.handle_writable(NOW, *session);
                    }
                    refuse_all(engine);
                })
            });
        });
        group.finish();
    }
}

criterion_group!(
    benches, fan_out, catch_up, insert, operators, release, laggards, settle
);
criterion_main!(benches);
