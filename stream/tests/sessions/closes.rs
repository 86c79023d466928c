//! How sessions end: heartbeats, stalls, full control lanes, and all at once.
use pubsub_stream::{CloseHow, GoawayReason, SessionId};

use crate::bench::{Bench, SECOND, frames};

#[test]
fn silence_is_pinged_and_two_more_silent_heartbeats_end_the_session() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.wait(24 * SECOND);
    assert!(bench.take(id).is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.take(id), [serde_json::json!({"opcode": 9})]);
    bench.wait(49 * SECOND);
    assert!(bench.take(id).is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.take(id), [serde_json::json!({"close": 4002})]);
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!(
        (closed.session, closed.how, closed.code),
        (id, CloseHow::Flushed, 4002)
    );
    assert_eq!(bench.engine.stats().closed_heartbeat, 1);
}

#[test]
fn a_session_that_is_heard_of_lives_and_is_pinged_anew_after_the_next_silence() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.wait(25 * SECOND);
    assert_eq!(bench.take(id).len(), 1);
    bench.wait(SECOND);
    bench.engine.handle_received(bench.now, id);
    bench.wait(24 * SECOND);
    assert!(bench.take(id).is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.take(id), [serde_json::json!({"opcode": 9})]);
}

#[test]
fn the_time_does_not_run_while_a_ping_has_not_reached_the_kernel() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.wait(25 * SECOND);
    bench.refuse(id);
    bench.wait(90 * SECOND);
    assert_eq!(bench.engine.poll_closed(), None);
    bench.engine.handle_writable(bench.now, id);
    assert_eq!(bench.take(id), [serde_json::json!({"opcode": 9})]);
    bench.wait(49 * SECOND);
    assert!(bench.take(id).is_empty());
}

#[test]
fn a_socket_that_takes_nothing_though_something_waits_is_closed_hard() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(id, r#"{"op":"ping"}"#);
    bench.refuse(id);
    bench.wait(119 * SECOND);
    assert_eq!(bench.engine.poll_closed(), None);
    bench.wait(SECOND);
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!((closed.how, closed.code), (CloseHow::Hard, 4001));
}

#[test]
fn a_socket_that_takes_a_byte_now_and_then_is_not_closed_before_it_takes_none() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(id, r#"{"op":"ping"}"#);
    bench.refuse(id);
    bench.wait(100 * SECOND);
    bench.engine.handle_writable(bench.now, id);
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        assert_eq!(bench.write(visited, 1).len(), 1);
    }
    bench.wait(119 * SECOND);
    assert_eq!(bench.engine.poll_closed(), None);
    bench.wait(SECOND);
    assert_eq!(bench.engine.poll_closed().unwrap().code, 4001);
}

#[test]
fn all_are_told_at_once_to_go_and_closed_within_the_window() {
    let mut bench = Bench::new();
    let all: Vec<SessionId> = (0..50).map(|_| bench.open()).collect();
    bench
        .engine
        .handle_goaway(bench.now, GoawayReason::Shutdown, 5000);
    let mut waits = Vec::new();
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        let told = &frames(&bench.write(visited, usize::MAX))[0];
        assert_eq!(
            (&told["op"], &told["reason"]),
            (&"goaway".into(), &"shutdown".into())
        );
        waits.extend(told["retry_after_ms"].as_u64());
    }
    assert_eq!(waits.len(), all.len());
    assert!(waits.iter().all(|ms| *ms < 5000), "{waits:?}");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 40, "drawn, not all the same: {waits:?}");
    let mut closed = Vec::new();
    for _ in 0..50 {
        bench.wait(SECOND / 10);
        bench.take(all[0]);
        let mut now = 0;
        while let Some(one) = bench.engine.poll_closed() {
            assert_eq!(one.code, 1001);
            now += 1;
        }
        closed.push(now);
    }
    assert_eq!(closed.iter().sum::<i32>(), 50);
    assert!(
        closed.iter().all(|n| *n < 10),
        "spread, not all at once: {closed:?}"
    );
}

#[test]
fn a_control_lane_that_is_filled_and_not_read_ends_the_session() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(id, r#"{"op":"ping","id":1}"#);
    bench.refuse(id);
    for _ in 0..60 {
        bench.engine.handle_ping(bench.now, id, &[0; 100]);
    }
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!((closed.how, closed.code), (CloseHow::Hard, 4003));
    assert_eq!(bench.engine.stats().closed_control, 1);
}

#[test]
fn disconnect_acts_at_the_message_that_passes_the_bound() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(
        id,
        r#""topic":"t","overflow":"disconnect","bound":{"messages":3}"#,
    );
    for n in 1..=4 {
        assert_eq!(bench.engine.poll_closed(), None, "after {} messages", n - 1);
        bench.publish("t");
        bench.refuse(id);
    }
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!((closed.how, closed.code), (CloseHow::Hard, 4001));
}
