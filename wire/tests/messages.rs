//! What a server writes and a client reads, message by message, and what a client makes of the unknown.
use pubsub_wire::command::{FieldError, Id};
use pubsub_wire::encode::{self, ErrorFrame};
use pubsub_wire::server::{self, At, ServerMessage, parse_msg, parse_server};
use pubsub_wire::value::{
    Bound, Dropped, From, Gap, GapReason, GoawayReason, Lag, Ledger, Mode, Overflow, PartPosition,
    Pending, Settings, Welcome,
};
use pubsub_wire::{ErrorCode, Limits};
use serde_json::{Value, json};
use std::borrow::Cow;

fn text(build: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    build(&mut out);
    String::from_utf8(out).unwrap()
}

fn sent(build: impl FnOnce(&mut Vec<u8>)) -> (Value, ServerMessage) {
    let text = text(build);
    (
        serde_json::from_str(&text).unwrap(),
        parse_server(&text).unwrap(),
    )
}

fn settings() -> Settings {
    Settings {
        from: From::Last,
        rate: None,
        batch: None,
        bound: Bound {
            messages: Some(1024),
            bytes: Some(1 << 20),
            age_ms: None,
        },
        overflow: Overflow::DropOldest,
        credit: None,
    }
}

fn counts() -> Ledger {
    Ledger {
        published: 9,
        delivered: 5,
        dropped: Dropped {
            drop_oldest: 1,
            drop_newest: 0,
            memory: 2,
        },
        pending: Pending {
            memory: 1,
            spilled: None,
        },
        ..Ledger::default()
    }
}

fn counts_json() -> Value {
    json!({"published": 9, "delivered": 5, "filtered_by_rate": 0, "conflated": 0,
        "dropped": {"drop_oldest": 1, "drop_newest": 0, "memory": 2}, "expired": 0, "retention": 0,
        "pending": {"memory": 1, "spilled": null}})
}

fn one() -> At {
    At::One {
        epoch: "e".into(),
        offset: 41,
    }
}

fn parts() -> Vec<PartPosition> {
    vec![
        PartPosition {
            part: 0,
            epoch: "e".into(),
            offset: 41,
        },
        PartPosition {
            part: 1,
            epoch: "f".into(),
            offset: -1,
        },
    ]
}

fn parts_json() -> Value {
    json!([{"part": 0, "epoch": "e", "offset": 41}, {"part": 1, "epoch": "f", "offset": -1}])
}

#[test]
fn welcome_tells_every_limit() {
    let welcome = Welcome {
        session: "s-1".into(),
        node: "n".into(),
        worker: 3,
        heartbeat_ms: 25_000,
        limits: Limits::default(),
    };
    let (value, message) = sent(|out| encode::welcome(out, &welcome));
    let expected = json!({"op": "welcome", "session": "s-1", "node": "n", "worker": 3, "heartbeat_ms": 25000,
        "limits": {"frame_bytes": 262_144, "topic_bytes": 255, "tokens": 16, "key_bytes": 255, "id_bytes": 64,
            "subscriptions": 1000, "bound": {"messages": 100_000, "bytes": 67_108_864, "age_ms": 600_000}}});
    assert_eq!(value, expected);
    assert!(matches!(message, ServerMessage::Welcome(seen) if seen == welcome));
}

#[test]
fn subscribed_shows_the_settings_with_null_where_off() {
    let id = Id::number(1);
    let shown = json!({"from": "last", "rate": null, "batch": null,
        "bound": {"messages": 1024, "bytes": 1_048_576, "age_ms": null}, "overflow": "drop_oldest", "credit": null});
    let (value, message) =
        sent(|out| encode::subscribed(out, Some(&id), "t", "e", 41, &settings()));
    let expected = json!({"op": "subscribed", "id": 1, "topic": "t", "epoch": "e", "offset": 41, "settings": shown});
    assert_eq!(value, expected);
    let ServerMessage::Subscribed(seen) = message else {
        panic!()
    };
    assert_eq!(
        (seen.id, seen.topic.as_str(), seen.at, seen.settings),
        (Some(id), "t", one(), settings())
    );

    let (value, message) =
        sent(|out| encode::subscribed_parts(out, None, "t", &parts(), &settings()));
    assert_eq!(
        value,
        json!({"op": "subscribed", "topic": "t", "positions": parts_json(), "settings": shown})
    );
    assert!(
        matches!(message, ServerMessage::Subscribed(seen) if seen.at == At::Parts { positions: parts() })
    );

    let (value, message) = sent(|out| encode::reconfigured(out, None, "t", &settings()));
    assert_eq!(
        value,
        json!({"op": "reconfigured", "topic": "t", "settings": shown})
    );
    assert!(matches!(message, ServerMessage::Reconfigured(seen) if seen.settings == settings()));
}

#[test]
fn shown_settings_are_taken_back_by_a_subscribe() {
    let shown = serde_json::to_value(settings()).unwrap();
    let mut command = json!({"op": "subscribe", "topic": "t"});
    command
        .as_object_mut()
        .unwrap()
        .extend(shown.as_object().unwrap().clone());
    assert!(pubsub_wire::command::parse(&command.to_string(), &Limits::default()).is_ok());
}

#[test]
fn ledgers_travel_whole() {
    let id = Id::text("x");
    let (value, message) = sent(|out| encode::ledger(out, Some(&id), "t", "e", &counts()));
    assert_eq!(
        value,
        json!({"op": "ledger", "id": "x", "topic": "t", "epoch": "e", "ledger": counts_json()})
    );
    let ServerMessage::Ledger(seen) = message else {
        panic!()
    };
    assert_eq!((seen.ledger, seen.ledger.residual()), (counts(), 0));

    let (value, message) = sent(|out| encode::unsubscribed(out, None, "t", &counts()));
    assert_eq!(
        value,
        json!({"op": "unsubscribed", "topic": "t", "ledger": counts_json()})
    );
    assert!(matches!(message, ServerMessage::Unsubscribed(seen) if seen.ledger == counts()));
}

#[test]
fn a_gap_and_a_position_name_one_offset_or_one_per_partition() {
    let gap = Gap {
        from: Some(43),
        to: Some(90),
        count: None,
        reason: GapReason::Retention,
        epoch: "e",
        offset: 41,
    };
    let (_, message) = sent(|out| encode::gap(out, "t", &gap));
    let expected = server::Gap {
        topic: "t".into(),
        from: Some(43),
        to: Some(90),
        count: None,
        reason: GapReason::Retention,
        at: one(),
    };
    assert!(matches!(message, ServerMessage::Gap(seen) if seen == expected));

    let (value, message) = sent(|out| encode::gap_parts(out, "t", &gap, &parts()));
    assert_eq!(value["positions"], parts_json());
    assert!(value.get("epoch").is_none());
    assert!(
        matches!(message, ServerMessage::Gap(seen) if seen.at == At::Parts { positions: parts() })
    );

    let (value, message) = sent(|out| encode::position(out, "t", "e", 41));
    assert_eq!(
        value,
        json!({"op": "position", "topic": "t", "epoch": "e", "offset": 41})
    );
    assert!(matches!(message, ServerMessage::Position(seen) if seen.at == one()));
    let (value, _) = sent(|out| encode::position_parts(out, "t", &parts()));
    assert_eq!(
        value,
        json!({"op": "position", "topic": "t", "positions": parts_json()})
    );
}

#[test]
fn mode_published_pong_and_goaway_travel_whole() {
    let lag = Lag {
        messages: 512,
        bytes: 9,
        age_ms: 3,
    };
    let (value, message) = sent(|out| encode::mode(out, "t", Mode::Behind, &lag));
    let lag_json = json!({"messages": 512, "bytes": 9, "age_ms": 3});
    assert_eq!(
        value,
        json!({"op": "mode", "topic": "t", "mode": "behind", "lag": lag_json})
    );
    assert!(
        matches!(message, ServerMessage::Mode(seen) if seen.mode == Mode::Behind && seen.lag == lag)
    );

    let id = Id::number(5);
    let (value, message) = sent(|out| encode::published(out, Some(&id), "t", "e", 42));
    assert_eq!(
        value,
        json!({"op": "published", "id": 5, "topic": "t", "epoch": "e", "offset": 42})
    );
    assert!(
        matches!(message, ServerMessage::Published(seen) if seen.offset == 42 && seen.id == Some(id))
    );

    let (value, message) = sent(|out| encode::pong(out, None, 7));
    assert_eq!(value, json!({"op": "pong", "ts": 7}));
    assert!(matches!(
        message,
        ServerMessage::Pong(server::Pong { id: None, ts: 7 })
    ));

    let (value, message) = sent(|out| encode::goaway(out, GoawayReason::Restart, 3711));
    assert_eq!(
        value,
        json!({"op": "goaway", "reason": "restart", "retry_after_ms": 3711})
    );
    assert!(matches!(message, ServerMessage::Goaway(seen) if seen.endpoints.is_empty()));
    let there = ["ws://b/ws".to_owned()];
    let (value, message) = sent(|out| encode::goaway_to(out, GoawayReason::Rebalance, 0, &there));
    assert_eq!(value["endpoints"], json!(["ws://b/ws"]));
    assert!(matches!(message, ServerMessage::Goaway(seen) if seen.endpoints == there));
}

#[test]
fn replies_and_errors_travel_whole() {
    let id = Id::number(6);
    let (value, message) = sent(|out| encode::reply(out, Some(&id), r#"{"a":[1, 2]}"#));
    assert_eq!(
        value,
        json!({"op": "reply", "id": 6, "result": {"a": [1, 2]}})
    );
    assert!(
        matches!(message, ServerMessage::Reply(seen) if seen.result.get() == r#"{"a":[1, 2]}"#)
    );

    let frame = ErrorFrame {
        id: Some(&id),
        code: ErrorCode::Unavailable,
        message: "the hub is away",
        field: None,
        retry_after_ms: Some(100),
    };
    let fields = [FieldError::new("qty", "is needed")];
    let (_, message) = sent(|out| encode::error_fields(out, &frame, &fields));
    let ServerMessage::Error(seen) = message else {
        panic!()
    };
    assert_eq!(
        (seen.id, seen.code, seen.retry_after_ms),
        (Some(id), ErrorCode::Unavailable, Some(100))
    );
    assert_eq!(
        (seen.message.as_str(), seen.fields.as_slice()),
        ("the hub is away", &fields[..])
    );
}

#[test]
fn unknown_ops_and_fields_are_passed_over() {
    let unknown = parse_server(r#"{"op":"metrics","topic":7}"#).unwrap();
    assert!(matches!(unknown, ServerMessage::Unknown));
    let more = r#"{"op":"msg","topic":"t","offset":1,"ts":2,"data":{},"later":{"x":[1]}}"#;
    assert!(matches!(parse_server(more).unwrap(), ServerMessage::Msg(msg) if msg.key.is_none()));
    let more = r#"{"op":"gap","topic":"t","from":1,"to":2,"count":2,"reason":"expired","epoch":"e","offset":2,"later":{}}"#;
    assert!(matches!(parse_server(more).unwrap(), ServerMessage::Gap(gap) if gap.count == Some(2)));
}

#[test]
fn op_need_not_come_first() {
    let text = r#"{ "topic":"t", "offset":1, "ts":2, "data":1, "op":"msg" }"#;
    assert!(matches!(parse_server(text).unwrap(), ServerMessage::Msg(_)));
    assert!(parse_msg(text).unwrap().is_some());
    let escaped = r#"{"op":"\u006dsg","topic":"t","offset":1,"ts":2,"data":1}"#;
    assert!(matches!(
        parse_server(escaped).unwrap(),
        ServerMessage::Msg(_)
    ));
}

#[test]
fn a_borrowed_message_copies_nothing_that_is_not_escaped() {
    let text =
        r#"{"op":"msg","sub":"a.*","topic":"a.b","offset":1,"ts":2,"key":"k\u0041","data":[1 ]}"#;
    let msg = parse_msg(text).unwrap().unwrap();
    assert!(matches!(msg.sub, Some(Cow::Borrowed("a.*"))));
    assert!(matches!(msg.topic, Cow::Borrowed("a.b")));
    assert_eq!((msg.key.as_deref(), msg.data.get()), (Some("kA"), "[1 ]"));
    let text = r#"{"op":"msg","topic":"a.b","offset":1,"ts":2,"key":null,"data":{"x":7}}"#;
    let msg = parse_msg(text).unwrap().unwrap();
    assert!(msg.sub.is_none() && msg.key.is_none());
    let ServerMessage::Msg(owned) = parse_server(text).unwrap() else {
        panic!()
    };
    assert_eq!(owned.json::<Value>().unwrap(), json!({"x": 7}));
}

#[test]
fn what_is_no_message_is_an_error() {
    for text in [
        "",
        "7",
        "{}",
        r#"{"op":7}"#,
        r#"{"op":"msg"}"#,
        r#"{"op":"msg","topic":"t","offset":1,"ts":2,"data":}"#,
    ] {
        assert!(parse_server(text).is_err(), "{text}");
    }
}
