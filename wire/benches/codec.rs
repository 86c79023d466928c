//! What the codec costs: one message encoded into a frame, commands parsed, a topic matched.
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pubsub_wire::Limits;
use pubsub_wire::command::parse;
use pubsub_wire::encode::{self, MsgView};
use pubsub_wire::frame::FrameBuf;
use pubsub_wire::server::{parse_msg, parse_server};
use pubsub_wire::topic::{check_subscription, matches};
use std::hint::black_box;

/// Payload of the size that all measurements of this project use.
fn payload() -> String {
    let filler = "x".repeat(450 - 64);
    format!(r#"{{"symbol":"AAPL","bid":101.25,"ask":101.27,"volume":1200,"note":"{filler}"}}"#)
}

fn message(data: &str) -> MsgView<'_> {
    MsgView {
        sub: Some("quotes.*"),
        topic: "quotes.AAPL",
        offset: 123_456_789,
        ts: 1_790_000_000_123_456,
        key: Some("AAPL"),
        data: data.as_bytes(),
    }
}

fn server_side(c: &mut Criterion) {
    let data = payload();
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Bytes(data.len() as u64));
    let mut frame = FrameBuf::new();
    group.bench_function("msg 450 B into a frame", |b| {
        b.iter(|| {
            frame
                .text(|out| encode::msg(out, black_box(&message(&data))))
                .len()
        });
    });
    group.finish();

    let limits = Limits::default();
    let mut group = c.benchmark_group("parse");
    let subscribe = r#"{"op":"subscribe","id":1,"topic":"quotes.*","from":"last","bound":{"messages":1024},"overflow":"conflate"}"#;
    group.bench_function("subscribe", |b| {
        b.iter(|| parse(black_box(subscribe), &limits).is_ok());
    });
    let publish =
        format!(r#"{{"op":"publish","id":5,"topic":"quotes.AAPL","key":"AAPL","data":{data}}}"#);
    group.throughput(Throughput::Bytes(publish.len() as u64));
    group.bench_function("publish 450 B", |b| {
        b.iter(|| parse(black_box(&publish), &limits).is_ok());
    });
    group.finish();
}

fn client_side(c: &mut Criterion) {
    let data = payload();
    let mut text = Vec::new();
    encode::msg(&mut text, &message(&data));
    let text = String::from_utf8(text).expect("a message of text is text");
    let mut group = c.benchmark_group("read");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("msg 450 B, owned", |b| {
        b.iter(|| parse_server(black_box(&text)).is_ok());
    });
    group.bench_function("msg 450 B, borrowed", |b| {
        b.iter(|| parse_msg(black_box(&text)).is_ok());
    });
    group.finish();
}

fn topics(c: &mut Criterion) {
    let mut group = c.benchmark_group("topic");
    group.bench_function("matches quotes.*", |b| {
        b.iter(|| matches(black_box("quotes.*"), black_box("quotes.AAPL")));
    });
    let limits = Limits::default();
    group.bench_function("check", |b| {
        b.iter(|| check_subscription(black_box("quotes.AAPL"), &limits).is_ok());
    });
    group.finish();
}

criterion_group!(benches, server_side, client_side, topics);
criterion_main!(benches);
