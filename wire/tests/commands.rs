//! Commands as clients send them, right and wrong: what they are read as, which field is blamed.
use pubsub_wire::command::{
    BatchPatch, BoundPatch, Call, DEPTH_MAX, FieldError, Patch, Publish, RatePatch, Reconfigure,
    Subscribe, parse,
};
use pubsub_wire::value::{Batch, Bound, Else, From, Overflow, PartPosition, Rate, RateMode, When};
use pubsub_wire::{Command, CommandError, ErrorCode, Id, Limits, Request};
use std::borrow::Cow;

fn read(text: &str) -> Result<Request<'_>, CommandError> {
    parse(text, &Limits::default())
}

fn command(text: &str) -> Command<'_> {
    read(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .command
}

fn refused(text: &str) -> CommandError {
    read(text).expect_err(text)
}

/// Each text is refused with that code, blaming that field.
fn all_refused(code: ErrorCode, cases: &[(&str, &str)]) {
    for (text, field) in cases {
        let error = refused(text);
        assert_eq!(
            (error.code, error.field.as_deref()),
            (code, Some(*field)),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_subscription_needs_only_a_topic() {
    let expected = Subscribe {
        topic: "execs".into(),
        ..Subscribe::default()
    };
    assert_eq!(
        command(r#"{"op":"subscribe","topic":"execs"}"#),
        Command::Subscribe(expected)
    );
}

#[test]
fn a_subscription_takes_every_setting_of_the_protocol() {
    let text = r#"{"op":"subscribe","id":1,"topic":"quotes.*","from":"last","rate":{"mode":"sample","ms":100},
        "batch":{"ms":50,"messages":100,"bytes":65536},"bound":{"messages":1024,"bytes":1048576,"age_ms":10000},
        "overflow":"conflate","credit":100}"#;
    let request = read(text).unwrap();
    assert_eq!(request.id, Some(Id::number(1)));
    let expected = Subscribe {
        topic: "quotes.*".into(),
        from: Some(From::Last),
        rate: Some(Rate {
            mode: RateMode::Sample,
            ms: 100,
            max_wait_ms: None,
            when: When::Always,
        }),
        batch: Some(Batch {
            ms: Some(50),
            messages: Some(100),
            bytes: Some(65536),
        }),
        bound: Bound {
            messages: Some(1024),
            bytes: Some(1_048_576),
            age_ms: Some(10_000),
        },
        overflow: Some(Overflow::Conflate),
        credit: Some(100),
    };
    assert_eq!(request.command, Command::Subscribe(expected));
}

#[test]
fn settings_that_are_null_are_as_good_as_absent_in_a_subscription() {
    let text = r#"{"op":"subscribe","id":null,"topic":"t","from":null,"rate":null,"batch":null,
        "bound":{"messages":null,"bytes":7,"age_ms":null},"overflow":null,"credit":null}"#;
    let expected = Subscribe {
        topic: "t".into(),
        bound: Bound {
            bytes: Some(7),
            ..Bound::default()
        },
        ..Subscribe::default()
    };
    assert_eq!(
        read(text).unwrap(),
        Request {
            id: None,
            command: Command::Subscribe(expected)
        }
    );
}

#[test]
fn a_subscription_may_begin_at_every_place_of_the_protocol() {
    let after = |offset, otherwise| From::After {
        epoch: "e".into(),
        offset,
        otherwise,
    };
    let part = |part, offset| PartPosition {
        part,
        epoch: "e".into(),
        offset,
    };
    for (text, expected) in [
        (r#""live""#, From::Live),
        (r#""earliest""#, From::Earliest),
        (r#""last""#, From::Last),
        (r#"{"recent":50}"#, From::Recent(50)),
        (r#"{"epoch":"e","offset":41}"#, after(41, Else::Earliest)),
        (
            r#"{"epoch":"e","offset":0,"else":"last"}"#,
            after(0, Else::Last),
        ),
        (
            r#"{"epoch":"e","offset":-1,"else":"live"}"#,
            after(-1, Else::Live),
        ),
        (
            r#"{"positions":[{"part":0,"epoch":"e","offset":41},{"part":7,"epoch":"e","offset":-1}],"else":"live"}"#,
            From::Positions {
                positions: vec![part(0, 41), part(7, -1)],
                otherwise: Else::Live,
            },
        ),
    ] {
        let text = format!(r#"{{"op":"subscribe","topic":"t","from":{text}}}"#);
        let Command::Subscribe(subscribe) = command(&text) else {
            panic!("{text}")
        };
        assert_eq!(subscribe.from, Some(expected), "{text}");
    }
}

#[test]
fn a_wrong_place_to_begin_is_blamed_on_its_part() {
    for (from, field) in [
        (r#""lst""#, "from"),
        ("7", "from"),
        ("[]", "from"),
        ("{}", "from"),
        (r#"{"else":"live"}"#, "from"),
        (r#"{"recent":0}"#, "from.recent"),
        (r#"{"recent":-5}"#, "from.recent"),
        (r#"{"recent":5,"else":"live"}"#, "from.else"),
        (r#"{"recent":5,"offset":1}"#, "from"),
        (r#"{"epoch":"e"}"#, "from.offset"),
        (r#"{"offset":1}"#, "from.epoch"),
        (r#"{"epoch":1,"offset":1}"#, "from.epoch"),
        (r#"{"epoch":"e","offset":-2}"#, "from.offset"),
        (r#"{"epoch":"e","offset":"1"}"#, "from.offset"),
        (r#"{"epoch":"e","offset":1.0}"#, "from.offset"),
        (r#"{"epoch":"e","offset":1,"else":"lost"}"#, "from.else"),
        (r#"{"epoch":"e","offset":1,"elze":"last"}"#, "from.elze"),
        (r#"{"epoch":"e","offset":1,"offset":2}"#, "from.offset"),
        (r#"{"epoch":"e","offset":1,"positions":[]}"#, "from"),
        (r#"{"positions":{}}"#, "from.positions"),
        (r#"{"positions":[1]}"#, "from.positions[0]"),
        (
            r#"{"positions":[{"part":0,"epoch":"e","offset":1},{"part":1,"epoch":"e"}]}"#,
            "from.positions[1].offset",
        ),
        (
            r#"{"positions":[{"part":-1,"epoch":"e","offset":1}]}"#,
            "from.positions[0].part",
        ),
        (
            r#"{"positions":[{"part":0,"epoch":"e","offset":1},{"part":0,"epoch":"e","offset":1}]}"#,
            "from.positions",
        ),
    ] {
        let text = format!(r#"{{"op":"subscribe","topic":"t","from":{from}}}"#);
        all_refused(ErrorCode::BadField, &[(&text, field)]);
    }
}

#[test]
fn a_rate_asks_for_what_its_mode_needs_and_nothing_else() {
    let rate = |text: &str| {
        let text = format!(r#"{{"op":"subscribe","topic":"t","rate":{text}}}"#);
        match read(&text).map(|request| request.command) {
            Ok(Command::Subscribe(subscribe)) => Ok(subscribe.rate.unwrap()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.field.unwrap()),
        }
    };
    let debounce = Rate {
        mode: RateMode::Debounce,
        ms: 1,
        max_wait_ms: Some(9),
        when: When::Behind,
    };
    assert_eq!(
        rate(r#"{"mode":"debounce","ms":1,"max_wait_ms":9,"when":"behind"}"#),
        Ok(debounce)
    );
    let all = Rate {
        mode: RateMode::All,
        ms: 0,
        max_wait_ms: None,
        when: When::Always,
    };
    assert_eq!(rate(r#"{"mode":"all"}"#), Ok(all));
    for (text, field) in [
        ("{}", "rate.mode"),
        ("100", "rate"),
        (r#"{"ms":100}"#, "rate.mode"),
        (r#"{"mode":"smaple","ms":100}"#, "rate.mode"),
        (r#"{"mode":1,"ms":100}"#, "rate.mode"),
        (r#"{"mode":"sample"}"#, "rate.ms"),
        (r#"{"mode":"sample","ms":0}"#, "rate.ms"),
        (r#"{"mode":"sample","ms":0.5}"#, "rate.ms"),
        (r#"{"mode":"sample","ms":99999999999999}"#, "rate.ms"),
        (r#"{"mode":"all","ms":1}"#, "rate.ms"),
        (r#"{"mode":"debounce","ms":1}"#, "rate.max_wait_ms"),
        (
            r#"{"mode":"sample","ms":1,"max_wait_ms":5}"#,
            "rate.max_wait_ms",
        ),
        (r#"{"mode":"sample","ms":1,"when":"never"}"#, "rate.when"),
        (r#"{"mode":"sample","ms":1,"wen":"always"}"#, "rate.wen"),
    ] {
        assert_eq!(rate(text), Err(field.to_owned()), "{text}");
    }
}

#[test]
fn absurd_sizes_are_refused_with_what_is_allowed() {
    for (field, least) in [
        ("bound.messages", 1),
        ("bound.bytes", 1),
        ("bound.age_ms", 1),
        ("batch.messages", 1),
        ("batch.bytes", 1),
        ("batch.ms", 1),
    ] {
        let (object, name) = field.split_once('.').unwrap();
        let with = |value: &str| {
            format!(r#"{{"op":"subscribe","topic":"t","{object}":{{"{name}":{value}}}}}"#)
        };
        for absurd in [
            "0",
            "-1",
            "1.5",
            "1e3",
            "9007199254740993",
            "1e999",
            "\"5\"",
            "[5]",
            "true",
        ] {
            let text = with(absurd);
            all_refused(ErrorCode::BadField, &[(&text, field)]);
            assert!(
                refused(&text)
                    .message
                    .contains(&format!("from {least} to ")),
                "{text}"
            );
        }
        command(&with("1"));
    }
    command(r#"{"op":"subscribe","topic":"t","bound":{"messages":9007199254740992},"credit":0}"#);
}

#[test]
fn every_command_of_the_protocol_is_read() {
    let topic = || "t".to_owned();
    let publish = |key| Publish {
        topic: "t".into(),
        key,
        data: "{\"a\" : 1}",
    };
    for (text, expected) in [
        (
            r#"{"op":"credit","topic":"t","n":50}"#,
            Command::Credit {
                topic: topic(),
                n: 50,
            },
        ),
        (
            r#"{"op":"ledger","topic":"t"}"#,
            Command::Ledger { topic: topic() },
        ),
        (
            r#"{"op":"unsubscribe","topic":"t"}"#,
            Command::Unsubscribe {
                topic: topic(),
                drain: false,
            },
        ),
        (
            r#"{"op":"unsubscribe","topic":"t","drain":true}"#,
            Command::Unsubscribe {
                topic: topic(),
                drain: true,
            },
        ),
        (
            r#"{"op":"publish","topic":"t","data": {"a" : 1} }"#,
            Command::Publish(publish(None)),
        ),
        (
            r#"{"op":"publish","topic":"t","key":null,"data":{"a" : 1}}"#,
            Command::Publish(publish(None)),
        ),
        (
            r#"{"op":"publish","topic":"t","key":"","data":{"a" : 1}}"#,
            Command::Publish(publish(Some("".into()))),
        ),
        (r#"{"op":"ping"}"#, Command::Ping),
        (
            r#"{"op":"call","method":"order.submit","params":[ 1 ],"deadline_ms":500}"#,
            Command::Call(Call {
                method: "order.submit".into(),
                params: "[ 1 ]",
                deadline_ms: Some(500),
            }),
        ),
        (
            r#"{"op":"call","method":"m"}"#,
            Command::Call(Call {
                method: "m".into(),
                params: "null",
                deadline_ms: None,
            }),
        ),
    ] {
        assert_eq!(command(text), expected, "{text}");
    }
}

#[test]
fn a_reconfigure_tells_absent_from_null_from_a_value() {
    let text = r#"{"op":"reconfigure","id":2,"topic":"quotes.*","rate":null,"bound":{"messages":64,"bytes":null},
        "batch":{"ms":5},"credit":null}"#;
    let expected = Reconfigure {
        topic: "quotes.*".into(),
        rate: Patch::Reset,
        batch: Patch::Set(BatchPatch {
            ms: Patch::Set(5),
            ..BatchPatch::default()
        }),
        bound: Patch::Set(BoundPatch {
            messages: Patch::Set(64),
            bytes: Patch::Reset,
            age_ms: Patch::Keep,
        }),
        overflow: Patch::Keep,
        credit: Patch::Reset,
    };
    assert_eq!(command(text), Command::Reconfigure(expected));
    let from = refused(r#"{"op":"reconfigure","topic":"t","from":"last"}"#);
    assert_eq!(from.field.as_deref(), Some("from"));
}

#[test]
fn merging_a_rate_keeps_what_still_has_a_meaning() {
    let debounce = Rate {
        mode: RateMode::Debounce,
        ms: 10,
        max_wait_ms: Some(50),
        when: When::Behind,
    };
    let to = |mode| RatePatch {
        mode: Patch::Set(mode),
        ..RatePatch::default()
    };
    let sample = Rate {
        mode: RateMode::Sample,
        max_wait_ms: None,
        ..debounce
    };
    assert_eq!(to(RateMode::Sample).merge(Some(debounce)), Ok(sample));
    let all = Rate {
        mode: RateMode::All,
        ms: 0,
        max_wait_ms: None,
        when: When::Behind,
    };
    assert_eq!(to(RateMode::All).merge(Some(debounce)), Ok(all));
    let blamed = |result: Result<Rate, FieldError>| result.unwrap_err().field;
    assert_eq!(
        blamed(to(RateMode::Debounce).merge(Some(sample))),
        "rate.max_wait_ms"
    );
    assert_eq!(blamed(to(RateMode::Sample).merge(Some(all))), "rate.ms");
    assert_eq!(
        blamed(
            RatePatch {
                ms: Patch::Set(5),
                ..RatePatch::default()
            }
            .merge(None)
        ),
        "rate.mode"
    );
    assert_eq!(
        blamed(
            RatePatch {
                ms: Patch::Reset,
                ..RatePatch::default()
            }
            .merge(Some(sample))
        ),
        "rate.ms"
    );
}

#[test]
fn merging_batches_and_bounds_goes_field_by_field() {
    let current = Batch {
        ms: Some(1),
        messages: Some(2),
        bytes: None,
    };
    let patch = BatchPatch {
        ms: Patch::Reset,
        messages: Patch::Keep,
        bytes: Patch::Set(3),
    };
    let merged = Batch {
        ms: None,
        messages: Some(2),
        bytes: Some(3),
    };
    assert_eq!(patch.merge(Some(current)), Some(merged));
    let off = BatchPatch {
        ms: Patch::Reset,
        messages: Patch::Reset,
        bytes: Patch::Keep,
    };
    assert_eq!(off.merge(Some(current)), None);

    let bound = |n| Bound {
        messages: Some(n),
        bytes: Some(n),
        age_ms: Some(n),
    };
    let patch = BoundPatch {
        messages: Patch::Reset,
        bytes: Patch::Keep,
        age_ms: Patch::Set(9),
    };
    let merged = Bound {
        messages: Some(5),
        bytes: Some(7),
        age_ms: Some(9),
    };
    assert_eq!(patch.merge(bound(7), bound(5)), merged);
}

#[test]
fn what_is_missing_is_named() {
    all_refused(
        ErrorCode::BadField,
        &[
            (r"{}", "op"),
            (r#"{"op":null}"#, "op"),
            (r#"{"op":"subscribe"}"#, "topic"),
            (r#"{"op":"reconfigure"}"#, "topic"),
            (r#"{"op":"credit","topic":"t"}"#, "n"),
            (r#"{"op":"ledger"}"#, "topic"),
            (r#"{"op":"unsubscribe"}"#, "topic"),
            (r#"{"op":"publish","data":1}"#, "topic"),
            (r#"{"op":"publish","topic":"t"}"#, "data"),
            (r#"{"op":"call"}"#, "method"),
            (r#"{"op":"subscribe","topic":"t","batch":{}}"#, "batch"),
        ],
    );
}

#[test]
fn what_is_wrong_is_named() {
    all_refused(
        ErrorCode::BadField,
        &[
            (r#"{"op":7}"#, "op"),
            (r#"{"op":"ping","id":1.5}"#, "id"),
            (r#"{"op":"ping","id":1e3}"#, "id"),
            (r#"{"op":"ping","id":true}"#, "id"),
            (r#"{"op":"ping","id":[]}"#, "id"),
            (r#"{"op":"ping","id":{}}"#, "id"),
            (r#"{"op":"subscribe","topic":7}"#, "topic"),
            (r#"{"op":"subscribe","topic":""}"#, "topic"),
            (r#"{"op":"subscribe","topic":"a..b"}"#, "topic"),
            (r#"{"op":"subscribe","topic":"a\u0020b"}"#, "topic"),
            (r#"{"op":"subscribe","topic":"\ud800"}"#, "topic"),
            (r#"{"op":"publish","topic":"a.*","data":1}"#, "topic"),
            (r#"{"op":"publish","topic":"t","key":7,"data":1}"#, "key"),
            (
                r#"{"op":"subscribe","topic":"t","overflow":"drop"}"#,
                "overflow",
            ),
            (r#"{"op":"subscribe","topic":"t","overflow":1}"#, "overflow"),
            (r#"{"op":"subscribe","topic":"t","credit":-1}"#, "credit"),
            (r#"{"op":"subscribe","topic":"t","bound":7}"#, "bound"),
            (
                r#"{"op":"subscribe","topic":"t","bound":{"mesages":7}}"#,
                "bound.mesages",
            ),
            (r#"{"op":"credit","topic":"t","n":0}"#, "n"),
            (r#"{"op":"credit","topic":"t","n":-3}"#, "n"),
            (r#"{"op":"unsubscribe","topic":"t","drain":1}"#, "drain"),
            (r#"{"op":"call","method":7}"#, "method"),
            (
                r#"{"op":"call","method":"m","deadline_ms":0}"#,
                "deadline_ms",
            ),
        ],
    );
}

#[test]
fn a_field_of_another_command_or_of_none_or_twice_is_an_error() {
    all_refused(
        ErrorCode::BadField,
        &[
            (r#"{"op":"ping","topic":"t"}"#, "topic"),
            (r#"{"op":"ping","topic":null}"#, "topic"),
            (r#"{"op":"subscribe","topic":"t","data":1}"#, "data"),
            (
                r#"{"op":"publish","topic":"t","data":1,"rate":null}"#,
                "rate",
            ),
            (r#"{"op":"subscribe","topik":"t"}"#, "topik"),
            (r#"{"op":"ping","":1}"#, ""),
            (r#"{"op":"ping","op":"ping"}"#, "op"),
            (r#"{"op":"ping","id":1,"id":1}"#, "id"),
            (r#"{"op":"publish","topic":"t","data":1,"data":1}"#, "data"),
            (
                r#"{"op":"subscribe","topic":"t","bound":{"bytes":1,"bytes":1}}"#,
                "bound.bytes",
            ),
        ],
    );
    let message = refused(r#"{"op":"ledger","topik":"t"}"#).message;
    assert!(message.contains("op, id, topic"), "{message}");
}

#[test]
fn an_unknown_op_is_told_the_known_ones() {
    for text in [
        r#"{"op":"subscribed"}"#,
        r#"{"op":"Ping"}"#,
        r#"{"op":""}"#,
        r#"{"op":"nope","nope":1}"#,
    ] {
        let error = refused(text);
        assert_eq!(
            (error.code, error.field.as_deref()),
            (ErrorCode::UnknownOp, Some("op")),
            "{text}"
        );
        assert!(
            error.message.contains("subscribe, reconfigure, credit"),
            "{error}"
        );
    }
}

#[test]
fn an_id_is_any_string_or_integer_and_is_kept_as_sent() {
    for id in [
        "1",
        "-7",
        "123456789012345678901234567890",
        r#""""#,
        r#""a\u0041\"é""#,
        "0",
    ] {
        let text = format!(r#"{{"op":"ping","id":{id}}}"#);
        assert_eq!(read(&text).unwrap().id.unwrap().as_json(), id);
    }
}

#[test]
fn the_id_is_found_wherever_it_stands_and_whatever_else_is_wrong() {
    for text in [
        r#"{"id":5,"op":"nope"}"#,
        r#"{"nope":1,"op":"ping","id":5}"#,
        r#"{"op":"subscribe","topic":"","id":5}"#,
        r#"{"op":"publish","topic":"t","data":1,"data":2,"id":5}"#,
        r#"{"id":5,"op":"ping","#,
        r#"{"id":5,"op":"ping"} x"#,
        r#"{"id":5}"#,
    ] {
        assert_eq!(refused(text).id, Some(Id::number(5)), "{text}");
    }
    assert_eq!(refused(r#"{"op":"ping","id":5,"id":6}"#).id, None);
}

#[test]
fn ids_and_keys_are_taken_up_to_their_limit_and_no_further() {
    let id = |n| format!(r#"{{"op":"ping","id":"{}"}}"#, "x".repeat(n));
    assert!(read(&id(64)).is_ok());
    all_refused(ErrorCode::TooLarge, &[(&id(65), "id")]);
    assert_eq!(refused(&id(65)).id, None);
    let digits = format!(r#"{{"op":"ping","id":{}}}"#, "7".repeat(65));
    all_refused(ErrorCode::TooLarge, &[(&digits, "id")]);

    let key =
        |key: String| format!(r#"{{"op":"publish","id":1,"topic":"t","key":"{key}","data":1}}"#);
    assert!(read(&key("k".repeat(255))).is_ok());
    assert!(
        read(&key("\\u006b".repeat(255))).is_ok(),
        "a key's size is that of what it says"
    );
    all_refused(ErrorCode::TooLarge, &[(&key("k".repeat(256)), "key")]);
}

#[test]
fn what_is_no_json_object_is_bad_json() {
    for text in [
        "",
        " ",
        "x",
        "{",
        "}",
        "[]",
        "[{\"op\":\"ping\"}]",
        "7",
        "null",
        "\"ping\"",
        "{\"op\":\"ping\"}{}",
        "{'op':'ping'}",
        "{\"op\":\"ping\",}",
        "{\"op\":nan}",
        "{\"op\":\"ping\",\"id\":01}",
        "{\"op\":\"pi\nng\"}",
        "{\"op\":\"\\x\"}",
        "{\"op\":\"ping\",\"\\ud800\":1}",
        "\u{feff}{\"op\":\"ping\"}",
    ] {
        let error = refused(text);
        assert_eq!(
            (error.code, error.field),
            (ErrorCode::BadJson, None),
            "{text}"
        );
    }
}

#[test]
fn nesting_stops_at_its_limit_however_deep_it_goes() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"op":"publish","id":1,"topic":"t","data":{open}{close}}}"#)
    };
    assert!(read(&nested(DEPTH_MAX - 1)).is_ok());
    for levels in [DEPTH_MAX, 1_000, 100_000] {
        let error = refused(&nested(levels));
        assert_eq!(
            (error.code, error.id),
            (ErrorCode::BadJson, Some(Id::number(1)))
        );
    }
    let never_closed = format!(r#"{{"op":"publish","data":{}"#, r#"{"a":["#.repeat(50_000));
    assert_eq!(refused(&never_closed).code, ErrorCode::BadJson);
    let in_a_field = format!(
        r#"{{"op":"subscribe","topic":"t","bound":{}1}}"#,
        r#"{"a":"#.repeat(50_000)
    );
    assert_eq!(refused(&in_a_field).code, ErrorCode::BadJson);
}

#[test]
fn brackets_that_are_text_or_side_by_side_are_no_nesting() {
    let text = r#""[[[{{{\"[[[\\""#;
    let siblings = vec![text; 500].join(",");
    let data = format!("[{siblings},{}[]]", "[],".repeat(500));
    let frame = format!(r#"{{"op":"publish","topic":"t","data":{data}}}"#);
    let Command::Publish(publish) = command(&frame) else {
        panic!()
    };
    assert_eq!(publish.data, data);
}

#[test]
fn an_error_stays_short_whatever_was_sent() {
    let long = "ü".repeat(50_000);
    for text in [
        format!(r#"{{"op":"{long}"}}"#),
        format!(r#"{{"op":"ping","{long}":1}}"#),
        format!(r#"{{"op":"ping","id":[{}1]}}"#, "1,".repeat(50_000)),
        format!(r#"{{"op":"subscribe","topic":"{long}"}}"#),
        format!(r#"{{"op":"subscribe","topic":"t","from":"{long}"}}"#),
        format!(r#"{{"op":"subscribe","topic":"t","bound":{{"{long}":1}}}}"#),
        format!(r#"{{"op":"subscribe","topic":"t","bound":{{"bytes":"{long}"}}}}"#),
        format!(r#"{{"op":"subscribe","topic":"t","overflow":"{long}"}}"#),
        format!(r#"{{"op":"subscribe","topic":"t","rate":"{long}"}}"#),
        format!(r#"{{"op":"publish","topic":"t","key":"{long}","data":1}}"#),
    ] {
        let error = refused(&text);
        let size = error.message.len() + error.field.map_or(0, |field| field.len());
        assert!(size < 512, "{size}");
    }
}

#[test]
fn strings_are_borrowed_where_nothing_is_escaped() {
    let text = r#"{"op":"publish","topic":"a.b","key":"k\u0041","data":1}"#;
    let Command::Publish(publish) = command(text) else {
        panic!()
    };
    assert!(matches!(publish.topic, Cow::Borrowed("a.b")));
    assert_eq!(publish.key.as_deref(), Some("kA"));
}
