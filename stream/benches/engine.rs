//! What the engine itself costs, without sockets: a publication into a ring, and a subscriber's step over one entry.
//!
//! `cargo bench -p pubsub-stream`. The model network takes all, so that every visit is the one of light load.
use std::hint::black_box;

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

/// An engine with `n` sessions that subscribe to one topic.
fn engine(n: usize, overflow: &str) -> (Engine, Vec<SessionId>) {
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
    for session in &sessions {
        let command = format!(r#"{{"op":"subscribe","topic":"t","overflow":"{overflow}"}}"#);
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

fn publish(engine: &mut Engine, offset: i64) {
    let entry = EntryRef {
        offset,
        ts_us: 1,
        mono_ns: NOW.mono_ns,
        topic: "t",
        key: None,
        data: &DATA,
    };
    engine.handle_hub(NOW, HubEvent::Entry(entry));
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
                    while let Some(session) = engine.poll_visit(NOW) {
                        engine.poll_write(NOW, session);
                        engine.handle_written(NOW, session, 0, true);
                    }
                    (engine, sessions)
                },
                |(engine, _)| (2..1002).for_each(|offset| publish(engine, offset)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, fan_out, catch_up, insert);
criterion_main!(benches);
