//! What an order costs on each side of the link, without sockets: the worker reads, checks and packs it; the hub unpacks it, numbers its
//! two reports, keeps the order and answers.
//!
//! Criterion's throughput line is per order. The hub's book is full, so that each order takes the place of another, and its log is as
//! large as it may be. Each batch has a new quote.
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pubsub_server::config::Retain;
use pubsub_server::hub::core::Hub;
use pubsub_server::hub::entry::Publication;
use pubsub_server::hub::log::MemoryLog;
use pubsub_server::hub::settings::Settings;
use pubsub_server::hub::worker::WorkerId;
use pubsub_server::link::CallRef;
use pubsub_server::orders::book::Book;
use pubsub_server::orders::desk::{Call, Desk};
use pubsub_server::orders::venue::Paper;
use pubsub_stream::Now;
use pubsub_wire::Limits;
use std::hint::black_box;

/// As in the node's process: what allocating costs is part of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Orders that come at once.
const BATCH: usize = 100;
const ACCOUNTS: usize = 100;
/// As many as a node remembers by default.
const ORDERS: usize = 100_000;
const NOW: Now = Now {
    mono_ns: 1,
    wall_us: 1_790_000_000_000_000,
};

/// The parameters of the `n`-th order.
fn order(n: usize) -> String {
    format!(
        r#"{{"client_order_id":"{0}-{n}","account":"a{0}","symbol":"ABC","side":"buy","qty":"1.50","type":"market"}}"#,
        n % ACCOUNTS
    )
}

fn read(params: &str) -> Call {
    let read = Call::read("order.submit", params).expect("a method");
    read.expect("right parameters")
}

/// A batch of orders from the `n`-th on, packed.
fn packed(n: usize) -> Vec<Vec<u8>> {
    (n..n + BATCH).map(|n| read(&order(n)).pack()).collect()
}

fn hub() -> (Hub, WorkerId) {
    let all = Retain {
        pattern: ">".into(),
        bytes: 64 << 20,
        age_ms: None,
        count: None,
    };
    let settings = Settings::new(Limits::default(), 100_000, 1_000_000);
    let mut hub = Hub::new(MemoryLog::new("0".repeat(16), &[all]), settings);
    let book = Book::new("01234567", ORDERS);
    hub.open_desk(Desk::new(book, Box::<Paper>::default()));
    let worker = hub.handle_join(NOW, None);
    (hub, worker)
}

/// What the driver does with one read of a socket, and then with the outbox.
fn carry_out(hub: &mut Hub, from: WorkerId, batch: &[Vec<u8>]) {
    let quote = Publication {
        topic: "quotes.ABC",
        key: Some("ABC"),
        data: br#"{"symbol":"ABC","bid":9.5,"ask":10.5,"last":10,"volume":1,"time":"t"}"#,
    };
    hub.publish(NOW, &quote).expect("a good quote");
    for (request, bytes) in (1..).zip(batch) {
        let call = CallRef {
            request,
            deadline_ns: 0,
            bytes,
        };
        hub.handle_call(NOW, from, &call).expect("a call");
    }
    hub.turn(NOW);
    while let Some(worker) = hub.poll_write() {
        let (bytes, _) = hub.take(worker);
        assert!(bytes.len() > 100 * batch.len(), "an answer each");
        hub.give_back(worker, bytes);
    }
}

fn orders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("order");
    group.throughput(Throughput::Elements(BATCH as u64));
    let params: Vec<String> = (0..BATCH).map(order).collect();
    group.bench_function("the worker: read, check, pack", |bencher| {
        bencher.iter(|| {
            for params in &params {
                black_box(read(params).pack());
            }
        });
    });
    let (mut hub, worker) = hub();
    let mut n = 0;
    while n < 2 * ORDERS {
        carry_out(&mut hub, worker, &packed(n));
        n += BATCH;
    }
    group.bench_function("the hub: unpack, report, keep, answer", |bencher| {
        bencher.iter_batched(
            || {
                n += BATCH;
                packed(n)
            },
            |batch| carry_out(&mut hub, worker, &batch),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, orders);
criterion_main!(benches);
