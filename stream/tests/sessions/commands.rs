//! What clients ask for: their rates, refusals, publications, and the ends of subscriptions.
use pubsub_stream::Peer;
use pubsub_stream::hub::HubRequest;
use serde_json::Value;

use crate::bench::{Bench, SECOND, offsets};

#[test]
fn commands_too_fast_are_refused_with_a_time_and_whoever_goes_on_is_closed() {
    let mut bench = Bench::new();
    let id = bench.open();
    for _ in 0..21 {
        bench.say(id, r#"{"op":"ping","id":1}"#);
    }
    let answers = bench.take(id);
    assert_eq!(answers[19]["op"], "pong");
    assert_eq!(
        (&answers[20]["code"], &answers[20]["retry_after_ms"]),
        (&"rate_limited".into(), &100.into())
    );
    assert_eq!(bench.engine.stats().rejected_rate, 1);
    bench.wait(SECOND / 10);
    bench.say(id, r#"{"op":"ping","id":2}"#);
    assert_eq!(bench.take(id)[0]["op"], "pong");
    for _ in 0..60 {
        bench.say(id, r#"{"op":"ping"}"#);
    }
    assert_eq!(
        *bench.take(id).last().unwrap(),
        serde_json::json!({"close": 1008})
    );
    let stats = bench.engine.stats();
    assert_eq!(stats.closed_policy, 1);
    assert!(stats.rejected_rate > 20, "{}", stats.rejected_rate);
}

#[test]
fn publications_are_answered_by_what_became_of_them() {
    let mut bench = Bench::new();
    let id = bench.open();
    let publish = |n: u32| format!(r#"{{"op":"publish","id":{n},"topic":"t","data":1}}"#);
    bench.engine.handle_text(bench.now, id, &publish(1));
    assert!(matches!(
        bench.engine.poll_hub(),
        Some(HubRequest::Publish { request: 1, .. })
    ));
    bench.engine.handle_text(bench.now, id, &publish(2));
    bench.engine.handle_text(bench.now, id, &publish(3));
    assert_eq!(
        bench.take(id)[0]["code"],
        "unavailable",
        "the table of those that wait is full"
    );
    bench.engine.handle_hub_down(bench.now);
    let answers = bench.take(id);
    assert_eq!(
        (&answers[0]["id"], &answers[0]["code"]),
        (&1.into(), &"unknown_outcome".into())
    );
    assert_eq!(
        (&answers[1]["id"], &answers[1]["code"]),
        (&2.into(), &"unavailable".into())
    );
    assert!(answers[1]["retry_after_ms"].is_u64());
    bench.say(id, &publish(4));
    assert_eq!(bench.take(id)[0]["code"], "unavailable");
    bench.say(id, r#"{"op":"publish","id":5,"topic":"execs","data":1}"#);
    assert_eq!(bench.take(id)[0]["code"], "forbidden");
}

#[test]
fn one_more_rate_than_the_node_computes_for_a_topic_is_refused_and_one_that_others_have_is_not() {
    let mut bench = Bench::new();
    let rate = |ms: u64| format!(r#""topic":"t","rate":{{"mode":"sample","ms":{ms}}}"#);
    let first = bench.open();
    bench.subscribe(first, &rate(1));
    bench.wait(SECOND);
    let second = bench.open();
    bench.subscribe(second, &rate(2));
    for (ms, op) in [(3, "error"), (2, "subscribed")] {
        bench.wait(SECOND);
        let id = bench.open();
        bench.say(id, &format!(r#"{{"op":"subscribe",{}}}"#, rate(ms)));
        let answers = bench.take(id);
        assert_eq!(answers[0]["op"], op, "{answers:?}");
        let refused = op == "error";
        assert_eq!(answers[0]["code"] == "limit", refused);
        assert_eq!(answers[0]["field"] == "rate", refused);
    }
    let stats = bench.engine.stats();
    assert_eq!((stats.rejected_limit, stats.rejected_bad), (1, 0));
}

#[test]
fn an_unsubscribe_before_the_hub_has_answered_is_carried_out_after_it() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench
        .engine
        .handle_text(bench.now, id, r#"{"op":"subscribe","id":1,"topic":"t"}"#);
    bench
        .engine
        .handle_text(bench.now, id, r#"{"op":"unsubscribe","id":2,"topic":"t"}"#);
    assert!(bench.take(id).is_empty());
    bench.serve_hub();
    let ops: Vec<Value> = bench.take(id).iter().map(|f| f["op"].clone()).collect();
    assert_eq!(ops, ["subscribed", "unsubscribed"]);
    assert_eq!(
        (
            bench.engine.stats().subscriptions,
            bench.engine.stats().views
        ),
        (0, 0)
    );
}

#[test]
fn a_client_that_was_too_fast_begins_anew_after_more_than_ten_seconds() {
    // One burst is allowed, and so many that were refused.
    let (burst, strikes) = (20, 40);
    for (pause_ns, closed) in [(10 * SECOND + 1, false), (10 * SECOND, true)] {
        let mut bench = Bench::new();
        let id = bench.open();
        for _ in 0..burst + strikes {
            bench.say(id, r#"{"op":"ping"}"#);
        }
        assert!(bench.take(id).iter().all(|f| f["close"].is_null()));
        bench.wait(pause_ns);
        for _ in 0..=burst {
            bench.say(id, r#"{"op":"ping"}"#);
        }
        let close = bench.take(id).iter().any(|f| f["close"] == 1008);
        assert_eq!(close, closed, "after {pause_ns} ns");
    }
}

#[test]
fn what_is_said_is_counted_and_so_is_what_is_refused() {
    let mut bench = Bench::new();
    let (id, guest) = (bench.open(), bench.open_as(Peer { may_publish: false }));
    let call = r#"{"op":"call","id":1,"method":"m","params":{}}"#;
    let publish = r#"{"op":"publish","id":2,"topic":"t","data":1}"#;
    for (who, said, code) in [
        (id, call, "unknown_method"),
        (guest, call, "forbidden"),
        (guest, call, "forbidden"),
        (guest, publish, "forbidden"),
        (guest, r#"{"op":"ping""#, "bad_json"),
        (guest, r#"{"op":"ledger","topic":"t"}"#, "not_subscribed"),
    ] {
        bench.say(who, said);
        assert_eq!(bench.take(who)[0]["code"], code, "{said}");
    }
    bench.say(guest, r#"{"op":"ping"}"#);
    let stats = bench.engine.stats();
    assert_eq!(stats.commands, 7);
    assert_eq!((stats.rejected_forbidden, stats.rejected_bad), (3, 3));
    let others = (
        stats.rejected_limit,
        stats.rejected_rate,
        stats.rejected_unavailable,
    );
    assert_eq!(others, (0, 0, 0));
}

#[test]
fn what_comes_after_credit_was_given_waits_for_a_write_and_not_for_the_bound() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(
        id,
        r#""topic":"t","credit":0,"overflow":"drop_oldest","bound":{"messages":2}"#,
    );
    for _ in 0..2 {
        bench.publish("t");
    }
    assert!(offsets(&bench.take(id)).is_empty());
    bench.say(id, r#"{"op":"credit","topic":"t","n":9}"#);
    for _ in 0..3 {
        bench.publish("t");
    }
    assert_eq!(offsets(&bench.take(id)), [1, 2, 3, 4, 5]);
}
