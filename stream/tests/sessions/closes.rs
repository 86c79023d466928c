//! How sessions end: heartbeats, stalls, full control lanes, and all at once.
use pubsub_stream::{CloseHow, Config, GoawayReason, Peer, SessionId};
use serde_json::{Value, json};

use crate::bench::{Bench, SECOND, config, frames, offsets};

#[test]
fn silence_is_pinged_and_two_more_silent_heartbeats_end_the_session() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.wait(24 * SECOND);
    assert!(bench.take(id).is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.take(id), [json!({"opcode": 9})]);
    bench.wait(49 * SECOND);
    assert!(bench.take(id).is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.take(id), [json!({"close": 4002})]);
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
    assert_eq!(bench.take(id), [json!({"opcode": 9})]);
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
    assert_eq!(bench.take(id), [json!({"opcode": 9})]);
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

#[test]
fn a_session_is_told_who_it_is_and_all_are_counted() {
    let mut bench = Bench::new();
    let mut opened = Vec::new();
    for number in 1..=3 {
        let id = bench
            .engine
            .handle_open(bench.now, Peer { may_publish: false });
        let welcome = &bench.take(id)[0];
        let fields = ["op", "session", "node", "worker", "heartbeat_ms"];
        let told: Value = fields.iter().map(|f| welcome[*f].clone()).collect();
        let name = format!("s-{number}");
        assert_eq!(told, json!(["welcome", name, "node", 3, 25_000]));
        opened.push(id);
    }
    bench.engine.handle_disconnect(bench.now, opened[1]);
    let stats = bench.engine.stats();
    assert_eq!((stats.sessions, stats.sessions_total), (2, 3));
    // Its place is taken by another of which nothing is known yet.
    let next = bench.open();
    assert_eq!(next.index(), opened[1].index());
    assert_ne!(next, opened[1]);
    assert_ne!(next.to_string(), opened[1].to_string());
    bench.engine.handle_disconnect(bench.now, opened[1]);
    assert_eq!(bench.engine.stats().sessions, 3);
}

#[test]
fn a_close_of_the_peer_is_answered_by_its_code() {
    for (said, answered) in [(Some(4321), 4321), (Some(4002), 4002), (None, 1000)] {
        let mut bench = Bench::new();
        let id = bench.open();
        bench.engine.handle_peer_close(bench.now, id, said);
        assert_eq!(bench.take(id), [json!({"close": answered})]);
        let closed = bench.engine.poll_closed().unwrap();
        assert_eq!(
            (closed.session, closed.how, closed.code),
            (id, CloseHow::Flushed, answered)
        );
        let stats = bench.engine.stats();
        assert_eq!(stats.sessions, 0);
        // This side had no cause.
        assert_eq!((stats.closed_heartbeat, stats.closed_protocol), (0, 0));
    }
}

#[test]
fn where_both_sides_have_closed_nothing_is_waited_for() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench
        .engine
        .handle_protocol_error(bench.now, id, 1002, "masked");
    bench.refuse(id);
    assert_eq!(bench.engine.poll_closed(), None);
    bench.engine.handle_peer_close(bench.now, id, Some(1000));
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!((closed.how, closed.code), (CloseHow::Hard, 1000));
}

#[test]
fn what_breaks_the_rules_is_closed_and_not_heard_any_more() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t""#);
    for _ in 0..2 {
        bench
            .engine
            .handle_protocol_error(bench.now, id, 1002, "masked");
        bench.say(id, r#"{"op":"ping","id":1}"#);
        bench.engine.handle_ping(bench.now, id, &[]);
        bench.publish("t");
    }
    assert_eq!(bench.take(id), [json!({"close": 1002})]);
    assert_eq!(bench.engine.poll_closed().unwrap().code, 1002);
    let stats = bench.engine.stats();
    assert_eq!((stats.closed_protocol, stats.commands), (1, 1));
    assert_eq!((stats.sessions, stats.subscriptions), (0, 0));
}

#[test]
fn a_close_that_the_kernel_does_not_take_is_given_up_after_five_seconds() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.engine.handle_peer_close(bench.now, id, Some(1000));
    bench.refuse(id);
    bench.wait(5 * SECOND - 1);
    assert_eq!(bench.engine.poll_closed(), None);
    bench.wait(1);
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!((closed.how, closed.code), (CloseHow::Hard, 1000));
    assert_eq!(bench.engine.poll_closed(), None);
}

#[test]
fn a_socket_that_says_it_takes_and_takes_nothing_is_closed_all_the_same() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(id, r#"{"op":"ping"}"#);
    for _ in 0..12 {
        bench.engine.handle_writable(bench.now, id);
        bench.refuse(id);
        assert_eq!(bench.engine.poll_closed(), None);
        bench.wait(10 * SECOND);
    }
    assert_eq!(bench.engine.poll_closed().unwrap().code, 4001);
    assert_eq!(bench.engine.stats().closed_slow, 1);
}

#[test]
fn a_drain_ends_after_five_seconds_with_what_is_left_in_its_ledger() {
    for (waited_ns, delivered) in [(5 * SECOND - 1, 3), (5 * SECOND, 0)] {
        let mut bench = Bench::new();
        let id = bench.open();
        bench.subscribe(id, r#""topic":"t""#);
        for _ in 0..3 {
            bench.publish("t");
        }
        bench.refuse(id);
        bench.say(id, r#"{"op":"unsubscribe","topic":"t","drain":true}"#);
        bench.wait(waited_ns);
        bench.publish("t");
        bench.engine.handle_writable(bench.now, id);
        let all = bench.take(id);
        assert_eq!(offsets(&all).len(), delivered, "{all:?}");
        let last = all.last().unwrap();
        assert_eq!(last["op"], "unsubscribed");
        assert_eq!(last["ledger"]["delivered"], delivered);
        // A drained one receives nothing that came later.
        assert_eq!(last["ledger"]["pending"]["memory"], 4 - delivered);
        assert_eq!(bench.engine.stats().subscriptions, 0);
    }
}

#[test]
fn a_session_that_is_being_closed_is_not_pinged_and_keeps_its_code() {
    for pinged in [false, true] {
        let mut bench = Bench::new();
        let id = bench.open();
        if pinged {
            bench.wait(25 * SECOND);
            assert_eq!(bench.take(id), [json!({"opcode": 9})]);
            bench.wait(25 * SECOND);
        }
        // Its heartbeat would be due three seconds from then.
        bench.wait(22 * SECOND);
        bench
            .engine
            .handle_goaway(bench.now, GoawayReason::Restart, 1);
        bench.wait(0);
        bench.refuse(id);
        for _ in 0..5 {
            assert_eq!(bench.engine.poll_closed(), None);
            bench.wait(SECOND);
            bench.refuse(id);
        }
        let closed = bench.engine.poll_closed().unwrap();
        assert_eq!((closed.how, closed.code), (CloseHow::Hard, 1012));
    }
}

#[test]
fn a_ping_that_goes_out_in_two_parts_is_one() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.wait(25 * SECOND);
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let mut bytes = bench.write(visited, 1);
    bench.wait(90 * SECOND);
    bench.engine.handle_writable(bench.now, id);
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        bytes.extend(bench.write(visited, usize::MAX));
    }
    assert_eq!(frames(&bytes), [json!({"opcode": 9})]);
    // The time runs from there.
    bench.wait(50 * SECOND - 1);
    assert!(bench.take(id).is_empty());
    bench.wait(1);
    assert_eq!(bench.take(id), [json!({"close": 4002})]);
}

#[test]
fn a_ping_goes_before_what_was_published_and_behind_a_frame_that_has_begun() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t""#);
    bench.wait(25 * SECOND - 1);
    bench.publish("t");
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let mut bytes = bench.write(visited, 9);
    bench.publish("t");
    bench.wait(1);
    bench.say(id, r#"{"op":"ping"}"#);
    bench.engine.handle_writable(bench.now, id);
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    bytes.extend(bench.write(visited, usize::MAX));
    let told = |f: &Value| {
        if f["op"].is_null() {
            f["opcode"].clone()
        } else {
            f["op"].clone()
        }
    };
    let told: Vec<Value> = frames(&bytes).iter().map(told).collect();
    assert_eq!(json!(told), json!(["msg", 9, "pong", "msg"]));
}

#[test]
fn a_control_lane_may_be_as_long_as_its_bound_and_no_longer() {
    let one = "pong";
    let mut bench = Bench::new();
    let id = bench.open();
    bench.engine.handle_ping(bench.now, id, one.as_bytes());
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let length = bench.write(visited, usize::MAX).len();
    let mut bench = Bench::with(Config {
        control_bytes: 4 * length,
        ..config()
    });
    let id = bench.open();
    for n in 1..=5 {
        bench.engine.handle_ping(bench.now, id, one.as_bytes());
        bench.refuse(id);
        assert_eq!(bench.engine.poll_closed().is_some(), n == 5, "{n}");
    }
}

#[test]
fn an_engine_of_which_all_have_gone_waits_for_nothing() {
    let mut bench = Bench::new();
    let ids = [bench.open(), bench.open()];
    assert_eq!(ids.map(SessionId::index), [0, 1]);
    bench.subscribe(ids[0], r#""topic":"t""#);
    bench.publish("t");
    bench.take(ids[0]);
    // Until it would be pinged or told how far the log has come.
    let next = bench.now.mono_ns + 12 * SECOND;
    assert_eq!(bench.engine.poll_timeout(), Some(next));
    for id in ids {
        bench.engine.handle_disconnect(bench.now, id);
    }
    bench.wait(12 * SECOND);
    assert_eq!(bench.engine.poll_timeout(), None);
}
