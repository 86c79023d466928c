//! What clients ask for: their rates, refusals, publications, and the ends of subscriptions.
use pubsub_stream::hub::{HubEvent, HubRequest, Refusal};
use pubsub_stream::{Config, Defaults, Peer};
use pubsub_wire::limits::BoundLimits;
use pubsub_wire::value::{Batch, Bound, Overflow, Rate, RateMode, When};
use serde_json::{Value, json};

use crate::bench::{Bench, SECOND, config, offsets};

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
fn what_is_published_goes_to_the_hub_and_is_answered_by_its_place_in_the_log() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.engine.handle_text(
        bench.now,
        id,
        r#"{"op":"publish","id":"a","topic":"news.eu","key":"k","data":{"x": 1}}"#,
    );
    bench.engine.handle_text(
        bench.now,
        id,
        r#"{"op":"publish","topic":"news.us","data":null}"#,
    );
    let publish = |request, topic: &str, key: Option<&str>, data: &[u8]| HubRequest::Publish {
        request,
        topic: topic.into(),
        key: key.map(str::to_owned),
        data: data.into(),
    };
    assert_eq!(
        bench.serve_hub(),
        [
            publish(1, "news.eu", Some("k"), br#"{"x": 1}"#),
            publish(0, "news.us", None, b"null")
        ]
    );
    let published = HubEvent::Published {
        request: 1,
        offset: 42,
    };
    bench.engine.handle_hub(bench.now, published);
    let told =
        json!({"op": "published", "id": "a", "topic": "news.eu", "epoch": "e", "offset": 42});
    assert_eq!(bench.take(id), [told]);
    bench.engine.handle_text(
        bench.now,
        id,
        r#"{"op":"publish","id":3,"topic":"t","data":1}"#,
    );
    let why = Refusal {
        code: pubsub_wire::ErrorCode::Limit,
        message: "too many topics",
        retry_after_ms: Some(70),
    };
    let failed = HubEvent::PublishFailed { request: 2, why };
    bench.engine.handle_hub(bench.now, failed);
    let told = &bench.take(id)[0];
    let fields = ["op", "id", "code", "message", "retry_after_ms"];
    let told: Value = fields.iter().map(|f| told[*f].clone()).collect();
    assert_eq!(told, json!(["error", 3, "limit", "too many topics", 70]));
    assert_eq!(bench.engine.stats().published, 3);
}

#[test]
fn who_publishes_too_much_a_second_is_told_when_to_go_on() {
    // Ten publications a second, and 1 MiB.
    for (size, allowed, retry_after_ms) in [(1, 10, 100), (1 << 19, 2, 500)] {
        let mut bench = Bench::new();
        let id = bench.open();
        let data = "1".repeat(size);
        let publish = format!(r#"{{"op":"publish","id":1,"topic":"t","data":{data}}}"#);
        let refused = |bench: &mut Bench| {
            bench.engine.handle_text(bench.now, id, &publish);
            let asked = bench.serve_hub();
            // No answer has to wait in the table.
            for request in asked {
                if let HubRequest::Publish { request, .. } = request {
                    bench
                        .engine
                        .handle_hub(bench.now, HubEvent::Published { request, offset: 1 });
                }
            }
            let told = bench.take(id).remove(0);
            (told["code"] == "rate_limited").then(|| told["retry_after_ms"].clone())
        };
        for _ in 0..allowed {
            assert_eq!(refused(&mut bench), None);
        }
        assert_eq!(refused(&mut bench), Some(json!(retry_after_ms)));
        bench.wait(retry_after_ms * 1_000_000 - 1);
        assert_eq!(refused(&mut bench), Some(json!(1)));
        bench.wait(1);
        assert_eq!(refused(&mut bench), None);
        let stats = bench.engine.stats();
        assert_eq!((stats.published, stats.rejected_rate), (allowed + 1, 2));
    }
}

#[test]
fn what_was_refused_for_its_bytes_leaves_room_for_smaller_ones() {
    let mut bench = Bench::new();
    let id = bench.open();
    let publish = |bench: &mut Bench, size: usize| {
        let data = "1".repeat(size);
        let said = format!(r#"{{"op":"publish","topic":"t","data":{data}}}"#);
        bench.engine.handle_text(bench.now, id, &said);
        bench.serve_hub().len()
    };
    assert_eq!(publish(&mut bench, (1 << 20) - 9), 1);
    for _ in 0..20 {
        assert_eq!(publish(&mut bench, 100), 0);
    }
    for _ in 0..9 {
        assert_eq!(publish(&mut bench, 1), 1);
    }
    assert_eq!(publish(&mut bench, 1), 0);
}

/// A node with settings of its own for quotes.
fn node() -> Config {
    let sample = Rate {
        mode: RateMode::Sample,
        ms: 50,
        max_wait_ms: None,
        when: When::Always,
    };
    let bound = |messages, bytes| Bound {
        messages,
        bytes,
        age_ms: None,
    };
    let most = |messages, bytes, age_ms| BoundLimits {
        messages,
        bytes,
        age_ms,
    };
    Config {
        defaults: vec![
            Defaults {
                pattern: "quotes.>".into(),
                overflow: Some(Overflow::Conflate),
                bound: bound(Some(10), None),
                ..Defaults::default()
            },
            Defaults {
                pattern: "quotes.*".into(),
                overflow: Some(Overflow::DropNewest),
                bound: bound(Some(20), Some(5000)),
                rate: Some(sample),
                batch: Some(Batch {
                    ms: Some(5),
                    messages: None,
                    bytes: None,
                }),
            },
        ],
        most: vec![
            ("quotes.*".into(), most(15, 4000, 1000)),
            (">".into(), most(2000, 1 << 21, 40_000)),
        ],
        ..config()
    }
}

#[test]
fn a_subscription_has_what_it_names_then_what_the_node_has_and_no_more_than_is_allowed() {
    let mut bench = Bench::with(node());
    let id = bench.open();
    let ms = json!({"ms": 5});
    let sample = json!({"mode": "sample", "ms": 50, "when": "always"});
    for (named, rate, batch, bound, overflow, credit) in [
        (
            r#""topic":"quotes.A""#,
            &sample,
            &ms,
            [10, 4000, 1000],
            "conflate",
            Value::Null,
        ),
        (
            r#""topic":"quotes.B","rate":{"mode":"all"},"bound":{"messages":16,"bytes":100},"overflow":"spill","credit":7"#,
            &Value::Null,
            &ms,
            [15, 100, 1000],
            "spill",
            json!(7),
        ),
        (
            r#""topic":"quotes.>","credit":0"#,
            &Value::Null,
            &Value::Null,
            [10, 1 << 20, 30_000],
            "conflate",
            json!(0),
        ),
        (
            r#""topic":"other","bound":{"messages":1000000,"bytes":100000000,"age_ms":50000}"#,
            &Value::Null,
            &Value::Null,
            [2000, 1 << 21, 40_000],
            "drop_oldest",
            Value::Null,
        ),
    ] {
        bench.say(id, &format!(r#"{{"op":"subscribe",{named}}}"#));
        let settings = &bench.take(id)[0]["settings"];
        let told = |all: &Value, fields: &[&str]| -> Value {
            fields.iter().map(|f| all[*f].clone()).collect()
        };
        let bounds = told(&settings["bound"], &["messages", "bytes", "age_ms"]);
        assert_eq!(bounds, json!(bound), "{named}");
        for (field, value) in [("rate", rate), ("batch", batch)] {
            let told = &settings[field];
            let is = value.as_object().map_or(told.is_null(), |all| {
                all.iter().all(|(name, value)| told[name] == *value)
            });
            assert!(is, "{named}: {told} and not {value}");
        }
        assert_eq!(
            told(settings, &["from", "overflow", "credit"]),
            json!(["live", overflow, credit]),
            "{named}"
        );
    }
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
    let stats = bench.engine.stats();
    assert_eq!((stats.published, stats.rejected_unavailable), (2, 2));
    assert_eq!(stats.rejected_forbidden, 1);
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
    let guest = bench.open_as(Peer { may_publish: false });
    let call = r#"{"op":"call","id":1,"method":"m","params":{}}"#;
    let publish = r#"{"op":"publish","id":2,"topic":"t","data":1}"#;
    for (who, said, code) in [
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
    assert_eq!(stats.commands, 6);
    assert_eq!((stats.rejected_forbidden, stats.rejected_bad), (3, 2));
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

#[test]
fn what_is_left_of_a_batch_comes_alone_when_credit_is_lifted() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t","batch":{"messages":2},"credit":1"#);
    bench.publish("t");
    bench.publish("t");
    let items = |all: &[Value]| -> Vec<Value> {
        let batches = all.iter().filter(|f| f["op"] == "batch");
        batches.map(|b| b["items"].clone()).collect()
    };
    let first = items(&bench.take(id));
    assert_eq!(first[0].as_array().unwrap().len(), 1);
    assert_eq!(first[0][0]["offset"], 1);
    bench.say(id, r#"{"op":"reconfigure","topic":"t","credit":null}"#);
    let rest = items(&bench.take(id));
    assert_eq!(rest[0].as_array().unwrap().len(), 1);
    assert_eq!(rest[0][0]["offset"], 2);
}

#[test]
fn who_is_being_drained_goes_on_so_and_is_told_that_when_it_unsubscribes_again() {
    for again in ["true", "false"] {
        let mut bench = Bench::new();
        let id = bench.open();
        bench.subscribe(id, r#""topic":"t""#);
        bench.publish("t");
        bench.refuse(id);
        let drain = r#"{"op":"unsubscribe","id":1,"topic":"t","drain":true}"#;
        bench.say(id, drain);
        let more = format!(r#"{{"op":"unsubscribe","id":2,"topic":"t","drain":{again}}}"#);
        bench.say(id, &more);
        bench.engine.handle_writable(bench.now, id);
        let all = bench.take(id);
        let told: Value = all.iter().map(|f| json!([f["op"], f["id"]])).collect();
        let expected = json!([["error", 2], ["msg", null], ["unsubscribed", 1]]);
        assert_eq!(told, expected);
        assert_eq!(all[0]["code"], "not_subscribed");
    }
}
