//! Laws over made-up input: what one side writes the other reads; nothing panics; data stays the bytes it was.
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use pubsub_wire::command::{
    BatchPatch, BoundPatch, Call, Patch, Publish, RatePatch, Reconfigure, Subscribe, parse,
};
use pubsub_wire::encode::{self, MsgView, Place};
use pubsub_wire::frame::{FrameBuf, frame_len};
use pubsub_wire::server::{ServerMessage, parse_msg, parse_server};
use pubsub_wire::topic::{check_subscription, check_topic, is_pattern, matches};
use pubsub_wire::value::{Batch, Bound, Else, From, Overflow, PartPosition, Rate, RateMode, When};
use pubsub_wire::{Command, ErrorCode, Id, Limits};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write;

const INTEGER_MAX: u64 = 1 << 53;

fn name() -> impl Strategy<Value = String> {
    vec("[a-c]{1,2}|ü|A-1", 1..5).prop_map(|tokens| tokens.join("."))
}

fn subscription() -> impl Strategy<Value = String> {
    let tokens = vec(
        prop_oneof![3 => "[a-c]{1,2}|ü", 1 => Just("*".to_owned())],
        1..5,
    );
    (tokens, any::<bool>()).prop_map(|(mut tokens, tail)| {
        if tail {
            tokens.push(">".into());
        }
        tokens.join(".")
    })
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![1..100_u64, 1..=INTEGER_MAX, Just(INTEGER_MAX)]
}

fn millis() -> impl Strategy<Value = u64> {
    1..=3_600_000_u64
}

fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![-1..100_i64, Just(INTEGER_MAX as i64)]
}

/// JSON as publishers write it: any values, with white space of any kind between the tokens.
fn json() -> impl Strategy<Value = String> {
    let space = "[ \t\r\n]{0,2}";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\ud800 \u00e9 \/""#.to_owned()),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let element = (space, inner, space).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let field = (any::<String>(), element.clone())
            .prop_map(|(name, value)| format!("{}:{value}", serde_json::to_string(&name).unwrap()));
        prop_oneof![
            vec(element, 0..5).prop_map(|list| format!("[{}]", list.join(","))),
            vec(field, 0..5).prop_map(|list| format!("{{{}}}", list.join(","))),
        ]
    })
}

fn id() -> impl Strategy<Value = Option<Id>> {
    option::of(prop_oneof![
        any::<u64>().prop_map(Id::number),
        "\\PC{0,10}".prop_map(|text| Id::text(&text)),
    ])
}

fn from() -> impl Strategy<Value = From> {
    let otherwise = prop::sample::select(&Else::ALL[..]);
    let position = (0..50_u32, any::<String>(), offset());
    prop_oneof![
        Just(From::Live),
        Just(From::Earliest),
        Just(From::Last),
        size().prop_map(From::Recent),
        (".{0,20}", offset(), otherwise.clone()).prop_map(|(epoch, offset, otherwise)| {
            From::After {
                epoch,
                offset,
                otherwise,
            }
        }),
        (vec(position, 0..5), otherwise).prop_map(|(list, otherwise)| {
            let named = list.into_iter().enumerate();
            let positions = named.map(|(index, (part, epoch, offset))| PartPosition {
                part: part * 10 + index as u32,
                epoch,
                offset,
            });
            From::Positions {
                positions: positions.collect(),
                otherwise,
            }
        }),
    ]
}

fn rate() -> impl Strategy<Value = Rate> {
    let when = prop::sample::select(&When::ALL[..]);
    (
        prop::sample::select(&RateMode::ALL[..]),
        millis(),
        millis(),
        when,
    )
        .prop_map(|(mode, ms, wait, when)| Rate {
            mode,
            ms: if mode == RateMode::All { 0 } else { ms },
            max_wait_ms: (mode == RateMode::Debounce).then_some(wait),
            when,
        })
}

fn batch() -> impl Strategy<Value = Batch> {
    (option::of(millis()), option::of(size()), option::of(size()))
        .prop_map(|(ms, messages, bytes)| Batch {
            ms,
            messages,
            bytes,
        })
        .prop_filter("at least one", |batch| *batch != Batch::default())
}

fn bound() -> impl Strategy<Value = Bound> {
    (option::of(size()), option::of(size()), option::of(size())).prop_map(
        |(messages, bytes, age_ms)| Bound {
            messages,
            bytes,
            age_ms,
        },
    )
}

fn patch<T: Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Patch<T>> {
    prop_oneof![
        Just(Patch::Keep),
        Just(Patch::Reset),
        value.prop_map(Patch::Set)
    ]
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    let overflow = prop::sample::select(&Overflow::ALL[..]);
    (
        subscription(),
        option::of(from()),
        option::of(rate()),
        option::of(batch()),
        bound(),
        option::of(overflow),
        option::of(0..=INTEGER_MAX),
    )
        .prop_map(
            |(topic, from, rate, batch, bound, overflow, credit)| Subscribe {
                topic,
                from,
                rate,
                batch,
                bound,
                overflow,
                credit,
            },
        )
}

fn reconfigure() -> impl Strategy<Value = Reconfigure> {
    let rate = (
        patch(prop::sample::select(&RateMode::ALL[..])),
        patch(millis()),
        patch(millis()),
        patch(prop::sample::select(&When::ALL[..])),
    )
        .prop_map(|(mode, ms, max_wait_ms, when)| RatePatch {
            mode,
            ms,
            max_wait_ms,
            when,
        });
    let batch =
        (patch(millis()), patch(size()), patch(size())).prop_map(|(ms, messages, bytes)| {
            BatchPatch {
                ms,
                messages,
                bytes,
            }
        });
    let bound =
        (patch(size()), patch(size()), patch(size())).prop_map(|(messages, bytes, age_ms)| {
            BoundPatch {
                messages,
                bytes,
                age_ms,
            }
        });
    let overflow = prop::sample::select(&Overflow::ALL[..]);
    (
        subscription(),
        patch(rate),
        patch(batch),
        patch(bound),
        patch(overflow),
        patch(0..=INTEGER_MAX),
    )
        .prop_map(
            |(topic, rate, batch, bound, overflow, credit)| Reconfigure {
                topic,
                rate,
                batch,
                bound,
                overflow,
                credit,
            },
        )
}

/// A command without what it borrows.
fn command() -> impl Strategy<Value = Command<'static>> {
    prop_oneof![
        4 => subscribe().prop_map(Command::Subscribe),
        4 => reconfigure().prop_map(Command::Reconfigure),
        1 => (subscription(), size()).prop_map(|(topic, n)| Command::Credit { topic, n }),
        1 => subscription().prop_map(|topic| Command::Ledger { topic }),
        1 => (subscription(), any::<bool>()).prop_map(|(topic, drain)| Command::Unsubscribe { topic, drain }),
        1 => Just(Command::Ping),
    ]
}

fn written(id: Option<&Id>, command: &Command<'_>) -> String {
    let mut out = Vec::new();
    encode::command::command(&mut out, id, command);
    String::from_utf8(out).unwrap()
}

/// What matching means, by the tokens.
fn model_matches(pattern: &str, topic: &str) -> bool {
    let pattern: Vec<_> = pattern.split('.').collect();
    let topic: Vec<_> = topic.split('.').collect();
    match pattern.split_last() {
        Some((&">", head)) => topic.len() > head.len() && same_tokens(head, &topic[..head.len()]),
        _ => same_tokens(&pattern, &topic),
    }
}

fn same_tokens(pattern: &[&str], topic: &[&str]) -> bool {
    pattern.len() == topic.len() && pattern.iter().zip(topic).all(|(p, t)| *p == "*" || p == t)
}

/// Takes a server's frame apart by the letter of RFC 6455 section 5.2.
fn unframe(bytes: &[u8]) -> (u8, &[u8]) {
    assert_eq!(bytes[1] & 0x80, 0, "a server's frame is not masked");
    let (header, length) = match bytes[1] {
        126 => (4, u64::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap())),
        short => (2, u64::from(short)),
    };
    assert_eq!(bytes.len() as u64, header as u64 + length);
    (bytes[0], &bytes[header..])
}

proptest! {
    #[test]
    fn a_command_is_read_as_it_was_written(id in id(), command in command()) {
        let text = written(id.as_ref(), &command);
        let request = parse(&text, &Limits::default()).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(request.id, id);
        prop_assert_eq!(request.command, command);
    }

    #[test]
    fn published_data_stays_the_bytes_it_was(
        id in id(), topic in name(), key in option::of("\\PC{0,60}"), data in json(), part in option::of(0..9_u32),
        offset in offset(), ts in 0..u64::MAX,
    ) {
        let publish = Publish { topic: topic.into(), key: key.map(Into::into), data: &data };
        let text = written(id.as_ref(), &Command::Publish(publish.clone()));
        let request = parse(&text, &Limits::default()).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(&request.command, &Command::Publish(publish.clone()));

        let view = MsgView {
            sub: Some("a.>"), topic: &publish.topic, offset, ts, key: publish.key.as_deref(), data: data.as_bytes(),
        };
        let place = Place { part, resume: Some(offset) };
        let mut out = Vec::new();
        encode::msg_at(&mut out, &view, place);
        let text = String::from_utf8(out).unwrap();
        let msg = parse_msg(&text).unwrap().unwrap();
        let seen = MsgView {
            sub: msg.sub.as_deref(), topic: &msg.topic, offset: msg.offset, ts: msg.ts, key: msg.key.as_deref(),
            data: msg.data.get().as_bytes(),
        };
        prop_assert_eq!(seen, view);
        prop_assert_eq!((msg.part, msg.resume), (part, Some(offset)));

        let mut out = Vec::new();
        encode::batch(&mut out, "a.>", [(view, place), (view, Place::default())]);
        let ServerMessage::Batch(batch) = parse_server(std::str::from_utf8(&out).unwrap()).unwrap() else { panic!() };
        prop_assert_eq!(batch.items.len(), 2);
        for item in &batch.items {
            prop_assert_eq!(item.data.get(), &data);
            prop_assert_eq!(item.key.as_deref(), publish.key.as_deref());
        }
    }

    #[test]
    fn a_call_is_read_as_it_was_written(id in id(), method in ".{0,20}", params in json(), ms in option::of(millis())) {
        let call = Call { method: method.into(), params: &params, deadline_ms: ms };
        let text = written(id.as_ref(), &Command::Call(call.clone()));
        let request = parse(&text, &Limits::default()).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(request.command, Command::Call(call));
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in any::<String>(), json in json()) {
        for text in [text, json] {
            let _ = parse(&text, &Limits::default());
            let _ = parse_server(&text);
        }
    }

    #[test]
    fn a_damaged_command_is_answered_shortly_or_is_another_command(
        id in id(), command in command(), at in any::<prop::sample::Index>(), cut in 0..4_usize, with in "[\\PC{}\\[\\]\",:0-9]{0,3}",
    ) {
        let mut text: Vec<char> = written(id.as_ref(), &command).chars().collect();
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        text.splice(start..end, with.chars());
        let text: String = text.into_iter().collect();
        if let Err(error) = parse(&text, &Limits::default()) {
            prop_assert!(error.message.len() < 512, "{}", error);
            let whole = serde_json::from_str::<BTreeMap<String, &RawValue>>(&text).is_ok();
            prop_assert_eq!(error.code == ErrorCode::BadJson, !whole, "{}: {}", text, error);
        }
    }

    #[test]
    fn any_object_of_known_names_is_read_or_refused_with_its_id(
        fields in prop::sample::subsequence(
            vec!["op", "topic", "from", "rate", "batch", "bound", "overflow", "credit", "n", "drain", "key", "data"], 0..8),
        values in vec(prop_oneof![json(), Just("\"subscribe\"".to_owned()), Just("\"publish\"".to_owned())], 8),
    ) {
        let mut text = "{\"id\":77".to_owned();
        for (name, value) in fields.iter().zip(values) {
            write!(text, ",\"{name}\":{value}").unwrap();
        }
        text.push('}');
        let id = match parse(&text, &Limits::default()) {
            Ok(request) => request.id,
            Err(error) => error.id,
        };
        prop_assert_eq!(id, Some(Id::number(77)), "{}", text);
    }

    #[test]
    fn matching_means_what_the_tokens_say(pattern in subscription(), topic in name()) {
        prop_assert_eq!(matches(&pattern, &topic), model_matches(&pattern, &topic));
        prop_assert!(matches(&topic, &topic));
    }

    #[test]
    fn a_text_is_allowed_by_the_rules_and_not_otherwise(text in "[ab*>. \\PC]{0,12}", tokens in 1..6_usize) {
        let limits = Limits { tokens, topic_bytes: 14, ..Limits::default() };
        let parts: Vec<_> = text.split('.').collect();
        let clean = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '\\';
        let wild = |part: &&str| matches!(*part, "*" | ">");
        let allowed = text.len() <= 14
            && parts.len() <= tokens
            && text.chars().all(clean)
            && parts.iter().all(|part| !part.is_empty() && (wild(part) || !part.contains(['*', '>'])))
            && !parts[..parts.len() - 1].contains(&">");
        prop_assert_eq!(check_subscription(&text, &limits).is_ok(), allowed);
        let pattern = parts.iter().any(wild);
        prop_assert_eq!(is_pattern(&text), pattern);
        prop_assert_eq!(check_topic(&text, &limits).is_ok(), allowed && !pattern);
    }

    #[test]
    fn a_frame_comes_apart_into_what_went_in(payload in vec(any::<u8>(), 0..70_000), opcode in 8..11_u8) {
        let mut frame = FrameBuf::new();
        let bytes = frame.text(|out| out.extend_from_slice(&payload));
        prop_assert_eq!(unframe(bytes), (0x81, payload.as_slice()));
        prop_assert_eq!(bytes.len(), frame_len(payload.len()));
        let short = &payload[..payload.len().min(125)];
        prop_assert_eq!(unframe(frame.control(opcode, &payload)), (0x80 | opcode, short));
    }
}
