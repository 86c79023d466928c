//! A server that sends anything: it is objected to or passed over, and never brings the client down.
use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Say(String),
    Ask(u8),
    Lose,
    Wait,
}

fn number() -> impl Strategy<Value = i128> {
    prop_oneof![
        4 => 0..12_i128,
        1 => Just(i128::from(i64::MIN)),
        1 => Just(i128::from(i64::MAX)),
        1 => Just(i128::from(u64::MAX)),
    ]
}

/// Frames of every kind, with numbers that may fit nothing.
fn frame() -> impl Strategy<Value = String> {
    let settings = serde_json::to_string(&settings()).unwrap();
    let at = prop_oneof![
        number().prop_map(|offset| format!(r#""epoch":"e","offset":{offset}"#)),
        number().prop_map(|offset| format!(
            r#""positions":[{{"part":1,"epoch":"e","offset":{offset}}}]"#
        )),
    ];
    (0..12_u8, number(), number(), at, prop_oneof![Just("t"), Just("u")]).prop_map(
        move |(kind, id, n, at, topic)| match kind {
            0 => format!(r#"{{"op":"subscribed","id":{id},"topic":"{topic}",{at},"settings":{settings}}}"#),
            1 => format!(r#"{{"op":"msg","topic":"{topic}","offset":{n},"part":1,"resume":{id},"ts":1,"data":0}}"#),
            2 => format!(r#"{{"op":"gap","topic":"{topic}","from":{n},"to":{id},"count":{n},"reason":"epoch",{at}}}"#),
            3 => format!(r#"{{"op":"error","id":{id},"code":"unavailable","message":"","retry_after_ms":{n}}}"#),
            4 => format!(r#"{{"op":"error","id":{id},"code":"not_subscribed","message":""}}"#),
            5 => format!(r#"{{"op":"position","topic":"{topic}",{at}}}"#),
            6 => format!(r#"{{"op":"goaway","reason":"restart","retry_after_ms":{n},"endpoints":["{topic}"]}}"#),
            7 => format!(r#"{{"op":"reconfigured","id":{id},"topic":"{topic}","settings":{settings}}}"#),
            8 => format!(r#"{{"op":"batch","topic":"{topic}","items":[{{"topic":"v","offset":{n},"ts":1,"data":0}}]}}"#),
            9 => format!(r#"{{"op":"reply","id":{id},"result":{n}}}"#),
            10 => format!(r#"{{"op":"pong","id":{id},"ts":1}}"#),
            _ => format!(r#"{{"op":"{topic}","id":{n}}}"#),
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => frame().prop_map(Step::Say),
        4 => any::<u8>().prop_map(Step::Ask),
        1 => Just(Step::Lose),
        1 => Just(Step::Wait),
    ]
}

fn question(kind: u8, now: Instant) -> Ask {
    let id = SubscriptionId(u64::from(kind % 12));
    match kind % 7 {
        0 => subscribe("t"),
        1 => ask_for(Subscribe {
            topic: "u".into(),
            credit: Some(3),
            ..Subscribe::default()
        }),
        2 => Ask::Credit(id, u64::MAX),
        3 => Ask::Reconfigure(id, Box::default()),
        4 => Ask::Unsubscribe(id, Unsent::Deliver, AnswerTo::Stream),
        5 => Ask::Ledger(id, AnswerTo::Stream),
        _ => {
            let call = Call {
                method: "m".into(),
                params: "1".into(),
                repeat: Repeat::Allowed,
            };
            Ask::Call(Box::new(call), now + Duration::from_secs(1))
        }
    }
}

proptest! {
    #[test]
    fn whatever_a_server_sends_the_client_goes_on_or_objects(steps in prop::collection::vec(step(), 0..60)) {
        let mut played = Played::open();
        for step in steps {
            let now = played.now;
            match step {
                // After an objection the connection is given up.
                Step::Say(text) => if played.session.handle_text(now, &text).is_err() {
                    played.lose();
                    played.connect();
                },
                Step::Ask(kind) => drop(played.session.handle_ask(question(kind, now))),
                Step::Lose => {
                    played.lose();
                    played.connect();
                }
                Step::Wait => {
                    played.now += Duration::from_secs(3600);
                    played.session.handle_timeout(played.now);
                }
            }
            while played.session.poll_transmit(now).is_some() {}
            played.outputs();
            let due = played.session.poll_timeout();
            prop_assert!(due.is_none_or(|due| due <= played.now + Duration::from_secs(3600)));
        }
    }
}
