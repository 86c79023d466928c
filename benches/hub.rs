//! What a publication costs the hub: decoded from a worker's link, numbered, kept, and copied to the workers that want it.
//!
//! Time per iteration is for one batch as one read of a socket gives it; criterion's throughput line is per publication. Sockets
//! are left out: what they cost is the kernel's, and shows in the macro bench.
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pubsub_server::config::Retain;
use pubsub_server::hub::core::Hub;
use pubsub_server::hub::entry::Publication;
use pubsub_server::hub::log::MemoryLog;
use pubsub_server::hub::settings::Settings;
use pubsub_server::hub::worker::WorkerId;
use pubsub_server::link::{LinkReader, WorkerFrame, encode_request};
use pubsub_stream::Now;
use pubsub_stream::hub::{HubRequest, Start};
use pubsub_wire::Limits;
use std::hint::black_box;

/// Publications in 64 KiB of link, about.
const BATCH: usize = 128;
const WORKERS: u32 = 10;
const NOW: Now = Now {
    mono_ns: 1,
    wall_us: 1,
};

fn hub() -> Hub {
    let all = Retain {
        pattern: ">".into(),
        bytes: 64 << 20,
        age_ms: None,
        count: None,
    };
    let settings = Settings::new(Limits::default(), 100_000, 1_000_000);
    Hub::new(MemoryLog::new("0".repeat(16), &[all]), settings)
}

fn join(hub: &mut Hub, texts: &[&str]) -> Vec<WorkerId> {
    let workers: Vec<WorkerId> = (0..WORKERS).map(|_| hub.handle_join(NOW, None)).collect();
    for &worker in &workers {
        for (view, text) in texts.iter().enumerate() {
            let watch = HubRequest::Watch {
                view: view as u32,
                text: (*text).to_owned(),
            };
            hub.handle_request(NOW, worker, watch)
                .expect("a good watch");
        }
    }
    workers
}

/// The bytes of one batch over `topics` topics, from the `n`-th on.
fn batch(n: usize, topics: usize) -> Vec<u8> {
    let data: Box<[u8]> = format!("\"{}\"", "x".repeat(448)).into_bytes().into();
    let mut bytes = Vec::new();
    for n in n..n + BATCH {
        let topic = format!("quotes.S{}", n % topics);
        encode_request(
            &mut bytes,
            &HubRequest::Publish {
                request: n as u64 + 1,
                topic,
                key: None,
                data: data.clone(),
            },
        );
    }
    bytes
}

/// What the driver does with one read of a socket, and then with the outboxes.
fn handle(hub: &mut Hub, from: WorkerId, bytes: &[u8]) {
    let mut reader = LinkReader::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let filled = reader.fill(|space| {
            let n = space.len().min(rest.len());
            space[..n].copy_from_slice(&rest[..n]);
            Ok::<_, ()>(n)
        });
        rest = &rest[filled.unwrap_or(0)..];
        while let Some(frame) = reader.next_request().expect("well formed") {
            let WorkerFrame::Publish(publish) = frame else {
                continue;
            };
            let publication = Publication {
                topic: publish.topic,
                key: publish.key,
                data: publish.data,
            };
            hub.handle_publish(NOW, from, publish.request, &publication);
        }
    }
    hub.turn(NOW);
    while let Some(worker) = hub.poll_write() {
        let (bytes, _) = hub.take(worker);
        black_box(bytes.len());
        hub.give_back(worker, bytes);
    }
}

fn publications(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publication");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, topics, texts) in [
        ("one topic, nobody watches", 1, &[][..]),
        ("one topic, ten workers watch", 1, &["quotes.S0"][..]),
        (
            "twenty topics, ten workers watch all",
            20,
            &["quotes.*"][..],
        ),
        (
            "twenty topics, ten workers watch one",
            20,
            &["quotes.S3"][..],
        ),
        ("ten thousand topics, nobody watches", 10_000, &[][..]),
    ] {
        let mut hub = hub();
        let workers = join(&mut hub, texts);
        let mut n = 0;
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    n += BATCH;
                    batch(n, topics)
                },
                |bytes| handle(&mut hub, workers[0], &bytes),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn history(criterion: &mut Criterion) {
    let mut hub = hub();
    let workers = join(&mut hub, &["quotes.S7", "quotes.*"]);
    for n in (0..100_000).step_by(BATCH) {
        handle(&mut hub, workers[0], &batch(n, 1000));
    }
    let mut group = criterion.benchmark_group("history");
    for (name, view, start) in [
        (
            "the newest 50 of one topic in a thousand",
            0,
            Start::Recent(50),
        ),
        ("the newest 50 of a pattern", 1, Start::Recent(50)),
        ("the newest of a thousand keys", 1, Start::Last),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let start = start.clone();
                let read = HubRequest::Read {
                    request: 1,
                    view,
                    start,
                    budget_bytes: 256 << 10,
                };
                hub.handle_request(NOW, workers[1], read)
                    .expect("a good read");
                while hub.turn(NOW) {}
                let (bytes, _) = hub.take(workers[1]);
                black_box(bytes.len());
                hub.give_back(workers[1], bytes);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, publications, history);
criterion_main!(benches);
