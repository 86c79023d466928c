//! Calls: handed out, answered once, bounded, and what they come to when the hub goes away.
use crate::bench::{Bench, SECOND, config};
use pubsub_stream::hub::{HubEvent, HubRequest, Refusal};
use pubsub_stream::{Answer, Called, Config, Peer};
use pubsub_wire::ErrorCode;
use pubsub_wire::command::FieldError;
use serde_json::json;

const CALL: &str = r#"{"op":"call","id":"a","method":"m","params":{"x":[1]}}"#;

fn call(n: u32) -> String {
    format!(r#"{{"op":"call","id":{n},"method":"m"}}"#)
}

/// How many calls of a method ended so: with a result, or with this error.
fn ended(bench: &Bench, method: usize, error: Option<ErrorCode>) -> u64 {
    let place = |code| ErrorCode::ALL.iter().position(|c| *c == code).unwrap();
    bench.engine.stats().calls[method][error.map_or(0, |code| 1 + place(code))]
}

#[test]
fn calls_are_counted_by_method_and_by_how_they_ended() {
    let mut bench = Bench::with(Config {
        methods: vec!["x", "m"],
        calls_per_session: 2,
        ..config()
    });
    let (id, guest) = (bench.open(), bench.open_as(Peer { may_publish: false }));
    bench.say(id, &call(1));
    bench.say(id, r#"{"op":"call","method":"y"}"#);
    bench.say(id, &call(3));
    bench.say(guest, &call(4));
    bench.wait(3_000_000);
    bench
        .engine
        .handle_answer(bench.now, 1, Answer::Result("1"));
    bench.engine.handle_disconnect(bench.now, id);
    bench.engine.handle_answer(bench.now, 2, Answer::Wrong(&[]));
    assert_eq!(ended(&bench, 1, None), 1);
    assert_eq!(ended(&bench, 1, Some(ErrorCode::Limit)), 1);
    assert_eq!(ended(&bench, 1, Some(ErrorCode::Forbidden)), 1);
    assert_eq!(ended(&bench, 2, Some(ErrorCode::BadField)), 1);
    let stats = bench.engine.stats();
    assert_eq!(stats.calls.iter().flatten().sum::<u64>(), 4);
    // Those that were begun, and how long they took.
    assert_eq!((stats.call.total(), stats.call.sum_ns), (2, 6_000_000));
}

/// As few as may be.
fn narrow(calls_per_session: u32, calls: usize) -> Bench {
    Bench::with(Config {
        calls_per_session,
        calls,
        ..config()
    })
}

#[test]
fn a_call_is_handed_out_as_it_came_and_its_answer_goes_to_who_asked() {
    let mut bench = Bench::new();
    let (one, other) = (bench.open(), bench.open());
    bench.say(one, CALL);
    bench.say(other, r#"{"op":"call","method":"n","deadline_ms":7}"#);
    let expected = |request, method: &str, params: &str, deadline_ns| Called {
        request,
        method: method.into(),
        params: params.into(),
        deadline_ns,
    };
    let now = bench.now.mono_ns;
    assert_eq!(
        bench.engine.poll_call(),
        Some(expected(1, "m", r#"{"x":[1]}"#, 0))
    );
    assert_eq!(
        bench.engine.poll_call(),
        Some(expected(2, "n", "null", now + 7_000_000))
    );
    assert_eq!(bench.engine.poll_call(), None);
    bench
        .engine
        .handle_answer(bench.now, 2, Answer::Result("5"));
    assert_eq!(bench.take(other), [json!({"op": "reply", "result": 5})]);
    bench
        .engine
        .handle_answer(bench.now, 1, Answer::Result(r#"{"y":2}"#));
    // What is answered is answered.
    bench
        .engine
        .handle_answer(bench.now, 1, Answer::Result("3"));
    assert_eq!(
        bench.take(one),
        [json!({"op": "reply", "id": "a", "result": {"y": 2}})]
    );
}

#[test]
fn a_call_that_comes_to_nothing_says_why() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(id, &call(1));
    bench.say(id, &call(2));
    let why = Refusal {
        code: ErrorCode::Rejected,
        message: "not today",
        retry_after_ms: Some(9),
    };
    bench
        .engine
        .handle_answer(bench.now, 1, Answer::Failed(why));
    let fields = [
        FieldError::new("qty", "is needed"),
        FieldError::new("side", "is wrong"),
    ];
    bench
        .engine
        .handle_answer(bench.now, 2, Answer::Wrong(&fields));
    assert_eq!(
        bench.take(id),
        [
            json!({"op": "error", "id": 1, "code": "rejected", "message": "not today", "retry_after_ms": 9}),
            json!({"op": "error", "id": 2, "code": "bad_field", "message": "some parameters are wrong",
                   "fields": [{"field": "qty", "message": "is needed"}, {"field": "side", "message": "is wrong"}]}),
        ]
    );
}

#[test]
fn only_so_many_are_under_way_for_a_session_and_for_all() {
    let mut bench = narrow(2, 3);
    let (one, other) = (bench.open(), bench.open());
    for (who, n, code) in [
        (one, 1, None),
        (one, 2, None),
        (one, 3, Some("limit")),
        (other, 4, None),
        (other, 5, Some("limit")),
    ] {
        bench.say(who, &call(n));
        let said = bench.take(who);
        assert_eq!(said.first().and_then(|f| f["code"].as_str()), code, "{n}");
        assert!(said.iter().all(|f| f["retry_after_ms"] == 50));
    }
    assert_eq!(bench.engine.stats().rejected_limit, 2);
    bench
        .engine
        .handle_answer(bench.now, 1, Answer::Result("1"));
    bench.take(one);
    bench.say(other, &call(6));
    assert!(bench.take(other).is_empty());
    assert_eq!(bench.engine.stats().rejected_limit, 2);
}

#[test]
fn an_answer_to_one_who_has_gone_is_nothing_and_makes_room() {
    let mut bench = narrow(1, 1);
    let gone = bench.open();
    bench.say(gone, &call(1));
    bench.engine.handle_disconnect(bench.now, gone);
    let next = bench.open();
    bench.say(next, &call(2));
    assert_eq!(bench.take(next)[0]["code"], "limit");
    bench
        .engine
        .handle_answer(bench.now, 1, Answer::Result("1"));
    assert!(bench.take(next).is_empty());
    bench.say(next, &call(3));
    assert!(bench.take(next).is_empty());
}

#[test]
fn a_call_sent_on_is_the_hubs_and_its_answer_comes_as_an_event() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(
        id,
        r#"{"op":"call","id":1,"method":"m","params":"p","deadline_ms":1000}"#,
    );
    let called = bench.engine.poll_call().unwrap();
    bench
        .engine
        .forward_call(bench.now, &called, (*b"packed").into());
    let expected = HubRequest::Call {
        request: 1,
        deadline_ns: bench.now.mono_ns + SECOND,
        bytes: (*b"packed").into(),
    };
    assert_eq!(bench.serve_hub(), [expected]);
    let result = r#"{"status":"accepted"}"#;
    bench
        .engine
        .handle_hub(bench.now, HubEvent::Replied { request: 1, result });
    assert_eq!(bench.take(id)[0]["result"]["status"], "accepted");
    bench.say(id, &call(2));
    let called = bench.engine.poll_call().unwrap();
    bench.engine.forward_call(bench.now, &called, Vec::new());
    let why = Refusal {
        code: ErrorCode::Deadline,
        message: "late",
        retry_after_ms: None,
    };
    bench
        .engine
        .handle_hub(bench.now, HubEvent::CallFailed { request: 2, why });
    assert_eq!(bench.take(id)[0]["code"], "deadline");
}

#[test]
fn when_the_hub_goes_what_was_sent_is_unknown_and_what_was_not_is_not_done() {
    let mut bench = Bench::new();
    let id = bench.open();
    for n in 1..=3 {
        bench.say(id, &call(n));
    }
    for n in 0..2 {
        let called = bench.engine.poll_call().unwrap();
        bench.engine.forward_call(bench.now, &called, Vec::new());
        if n == 0 {
            assert_eq!(bench.serve_hub().len(), 1);
        }
    }
    bench.engine.handle_hub_down(bench.now);
    let said = bench.take(id);
    let codes: Vec<_> = said.iter().map(|f| (&f["id"], &f["code"])).collect();
    assert_eq!(
        codes,
        [
            (&json!(1), &json!("unknown_outcome")),
            (&json!(2), &json!("unavailable"))
        ]
    );
    assert_eq!(
        (&said[0]["retry_after_ms"], &said[1]["retry_after_ms"]),
        (&json!(null), &json!(500))
    );
    assert!(bench.serve_hub().is_empty());
    // The third was never the hub's: it is still to be answered here, and cannot be sent on.
    let called = bench.engine.poll_call().unwrap();
    bench.engine.forward_call(bench.now, &called, Vec::new());
    let said = bench.take(id);
    assert_eq!(
        (&said[0]["id"], &said[0]["code"]),
        (&json!(3), &json!("unavailable"))
    );
}

#[test]
fn a_call_that_is_answered_makes_room_for_another_of_its_session() {
    let mut bench = narrow(2, 10);
    let id = bench.open();
    for n in 1..=5 {
        bench.say(id, &call(n));
        let called = bench.engine.poll_call().unwrap();
        let answer = Answer::Result("1");
        bench
            .engine
            .handle_answer(bench.now, called.request, answer);
        assert_eq!(bench.take(id)[0]["op"], "reply");
    }
}
