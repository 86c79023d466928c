//! The exact marks at which a bound acts: by messages, by bytes and by age, whole, at half of it and at a quarter.
use pubsub_stream::Config;
use serde_json::{Value, json};

use crate::checker::{ALL, check};
use crate::corners::{assert_came, came, closed, publish, run};
use crate::drive::{Transcript, World};
use crate::script::{End, Pub, Script, Step};
use crate::subject::{Subject, config};

const BEGUN_NS: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// Publishes one small message.
fn one() -> Step {
    publish(&[0])
}

fn many(n: usize) -> impl Iterator<Item = Step> {
    (0..n).map(|_| one())
}

/// Bytes of the frame of one small message.
fn size() -> u64 {
    let seen = run(json!({}), vec![one()], End::Quiet);
    let msg = seen.received().find(|f| f.value["op"] == "msg").unwrap();
    msg.bytes as u64
}

/// What came: offsets, gaps, and the names of modes.
fn told(seen: &Transcript) -> Value {
    let mut all = Vec::new();
    for frame in seen.received() {
        match frame.value["op"].as_str() {
            Some("mode") => all.push(frame.value["mode"].clone()),
            Some("msg" | "batch" | "gap") => {
                let alone = Transcript {
                    frames: vec![frame.clone()],
                    ..Transcript::default()
                };
                all.extend(came(&alone));
            }
            _ => {}
        }
    }
    all.into()
}

/// The script with this much time between modes.
fn run_with_hold(hold_ns: u64, settings: Value, steps: Vec<Step>) -> Transcript {
    let script = Script {
        text: "t.a",
        settings,
        steps,
        end: End::Quiet,
    };
    let seen = script.run(Subject::with(Config {
        mode_hold_ns: hold_ns,
        ..config()
    }));
    if let Err(why) = check(&seen, "t.a", &ALL) {
        panic!("{why}");
    }
    seen
}

#[test]
fn disconnect_acts_at_the_first_message_past_the_bound_and_not_before() {
    // What was taken before has moved the cursor off the beginning.
    for bound in [1, 2, 5] {
        let settings = json!({"overflow": "disconnect", "bound": {"messages": bound}});
        let begin = || many(3).chain([Step::Refuse]);
        let steps = begin().chain(many(bound)).collect();
        assert_eq!(closed(&run(settings.clone(), steps, End::Quiet)), None);
        let mut steps: Vec<Step> = begin().collect();
        for _ in 0..=bound {
            steps.extend([Step::WaitUs(1000), one()]);
        }
        steps.extend([Step::WaitUs(1000), one()]);
        let at = BEGUN_NS + (bound as u64 + 1) * MS;
        assert_eq!(closed(&run(settings, steps, End::Quiet)), Some(at));
    }
}

#[test]
fn disconnect_acts_at_the_first_byte_past_the_bound_and_not_before() {
    let size = size();
    for (bytes, waits) in [(size * 3, 3), (size * 3 - 1, 2), (size * 4 - 1, 3)] {
        let settings = json!({"overflow": "disconnect", "bound": {"bytes": bytes}});
        let begin = || many(3).chain([Step::Refuse]);
        let steps = begin().chain(many(waits)).collect();
        assert_eq!(closed(&run(settings.clone(), steps, End::Quiet)), None);
        let mut steps: Vec<Step> = begin().collect();
        for _ in 0..waits + 2 {
            steps.extend([Step::WaitUs(1000), one()]);
        }
        let at = BEGUN_NS + (waits as u64 + 1) * MS;
        assert_eq!(closed(&run(settings, steps, End::Quiet)), Some(at));
    }
}

#[test]
fn bytes_of_a_frame_under_way_count_whole() {
    let size = size();
    for (bytes, closes) in [(size * 2, false), (size * 2 - 1, true)] {
        let settings = json!({"overflow": "disconnect", "bound": {"bytes": bytes}});
        let steps = vec![Step::Take(1), one(), Step::WaitUs(1000), one()];
        let at = closes.then_some(BEGUN_NS + MS);
        assert_eq!(closed(&run(settings, steps, End::Quiet)), at);
    }
}

#[test]
fn one_message_waits_however_large_it_is() {
    for overflow in ["disconnect", "drop_oldest", "drop_newest"] {
        let settings = json!({"overflow": overflow, "bound": {"bytes": 10}});
        let steps = vec![one(), Step::Refuse, one(), Step::WaitUs(1000)];
        let seen = run(settings, steps, End::Quiet);
        assert_eq!(closed(&seen), None);
        assert_eq!(Value::from(came(&seen)), json!([1, 2]), "{overflow}");
    }
}

#[test]
fn disconnect_acts_at_the_first_instant_past_the_age() {
    // Of the oldest that waits, whatever was taken before and whatever comes behind it.
    let settings = json!({"overflow": "disconnect", "bound": {"age_ms": 20}});
    let steps = || {
        let first = [Step::WaitUs(5000), Step::Refuse, one()];
        let second = [Step::WaitUs(15_000), one()];
        many(2).chain(first).chain(second)
    };
    // Looked at in the very instant, it is not past it.
    let look = Step::Reconfigure(json!({"credit": null}));
    let still = steps().chain([Step::WaitUs(5000), look, Step::TakeAll]);
    let seen = run(settings.clone(), still.collect(), End::Quiet);
    assert_eq!(closed(&seen), None);
    let longer = steps().chain([Step::WaitUs(9000)]).collect();
    let at = BEGUN_NS + 25 * MS + 1;
    assert_eq!(closed(&run(settings, longer, End::Quiet)), Some(at));
}

#[test]
fn what_is_older_than_the_bound_expires_and_what_is_as_old_does_not() {
    for overflow in ["drop_oldest", "drop_newest"] {
        let settings = json!({"overflow": overflow, "bound": {"age_ms": 20}});
        for (us, first) in [(20_000, json!(1)), (20_001, json!(["expired", 1, 1]))] {
            let steps = vec![
                Step::Refuse,
                one(),
                Step::WaitUs(5000),
                one(),
                Step::WaitUs(us - 5000),
                Step::Ledger,
            ];
            assert_came(settings.clone(), steps, End::Quiet, &json!([first, 2]));
        }
    }
}

/// Another batch puts what is pending before the ring; another rate puts it there as it holds it.
#[test]
fn what_is_pending_before_the_ring_expires_like_what_stands_in_it() {
    let batch = |ms: u64| Step::Reconfigure(json!({"batch": {"ms": ms}}));
    let rate = Step::Reconfigure(json!({"rate": null}));
    let sample = json!({"mode": "sample", "ms": 10_000});
    let cases = [
        (json!({}), publish(&[0]), publish(&[1]), batch(1)),
        (
            json!({"batch": {"ms": 500}}),
            publish(&[0]),
            publish(&[1]),
            batch(1000),
        ),
        (json!({"rate": sample}), publish(&[0]), publish(&[1]), rate),
    ];
    for (with, first, second, change) in cases {
        for (us, lost) in [(20_000, false), (20_001, true)] {
            let mut settings = with.clone();
            settings["overflow"] = "drop_oldest".into();
            settings["bound"] = json!({"age_ms": 20});
            let steps = vec![
                Step::Refuse,
                first.clone(),
                Step::WaitUs(5000),
                second.clone(),
                // A refused answer lets it wait.
                Step::Ledger,
                change.clone(),
                Step::WaitUs(us - 5000),
                Step::Ledger,
            ];
            let seen = run(settings.clone(), steps, End::Quiet);
            let gaps = seen.received().filter(|f| f.value["op"] == "gap");
            let counts: Vec<u64> = gaps.filter_map(|f| f.value["count"].as_u64()).collect();
            let expected: &[u64] = if lost { &[1] } else { &[] };
            assert_eq!(counts, expected, "{settings} after {us} us");
            assert_eq!(came(&seen).last(), Some(&json!(2)));
        }
    }
}

#[test]
fn at_half_of_its_messages_it_is_behind() {
    for (bound, waits) in [(1, 1), (4, 2), (5, 3), (8, 4)] {
        let settings = json!({"overflow": "drop_oldest", "bound": {"messages": bound}});
        for (n, is_behind) in [(waits - 1, false), (waits, true)] {
            let begin = many(2).chain([Step::Refuse]);
            let steps = begin.chain(many(n)).chain([Step::Ledger]).collect();
            let seen = run(settings.clone(), steps, End::Quiet);
            let all = told(&seen);
            let behind = all.as_array().unwrap().contains(&json!("behind"));
            assert_eq!(behind, is_behind, "{n} of {bound}: {all}");
        }
    }
}

#[test]
fn at_half_of_its_bytes_it_is_behind() {
    let size = size();
    for (bytes, is_behind) in [(size * 4, true), (size * 4 + 1, false)] {
        let settings = json!({"overflow": "drop_oldest", "bound": {"bytes": bytes}});
        let begin = many(2).chain([Step::Refuse]);
        let steps = begin.chain(many(2)).chain([Step::Ledger]).collect();
        let all = told(&run(settings, steps, End::Quiet));
        let behind = all.as_array().unwrap().contains(&json!("behind"));
        assert_eq!(behind, is_behind, "{bytes} bytes: {all}");
    }
}

#[test]
fn at_half_of_its_age_it_is_behind() {
    let settings = json!({"overflow": "drop_oldest", "bound": {"age_ms": 20}});
    for (us, expected) in [
        (9999, json!([1, 2])),
        (10_000, json!([1, "behind", 2, "live"])),
    ] {
        let steps = vec![
            one(),
            Step::Refuse,
            one(),
            Step::WaitUs(us),
            Step::Ledger,
            Step::TakeAll,
        ];
        assert_eq!(told(&run(settings.clone(), steps, End::Quiet)), expected);
    }
}

#[test]
fn what_waits_before_the_ring_is_as_old_as_it_is() {
    let settings = json!({"overflow": "drop_oldest", "bound": {"age_ms": 20}});
    let batch = Step::Reconfigure(json!({"batch": {"ms": 1000}}));
    for (us, expected) in [
        (4999, json!([1, 2])),
        (5000, json!([1, "behind", 2, "live"])),
    ] {
        let steps = vec![
            one(),
            Step::Refuse,
            one(),
            Step::WaitUs(5000),
            batch.clone(),
            Step::WaitUs(us),
            Step::Ledger,
            Step::TakeAll,
        ];
        assert_eq!(told(&run(settings.clone(), steps, End::Quiet)), expected);
    }
}

#[test]
fn one_that_waits_for_nothing_but_the_rest_of_its_frame_is_not_behind() {
    let settings = json!({"overflow": "drop_oldest", "bound": {"messages": 1}});
    let steps = vec![Step::Take(1), one(), Step::Ledger];
    assert_eq!(told(&run(settings, steps, End::Quiet)), json!([1]));
}

/// What one is told whose socket refuses while `n` messages come, and then takes all.
fn refused(bound: &Value, n: usize) -> Value {
    let settings = json!({"overflow": "drop_oldest", "bound": bound});
    let steps = [Step::Refuse].into_iter().chain(many(n));
    let steps = steps.chain([Step::Ledger, Step::TakeAll]).collect();
    told(&run(settings, steps, End::Quiet))
}

#[test]
fn it_is_live_again_with_less_than_a_quarter_of_its_messages_before_it() {
    // Eight: one is less than a quarter, two are not.
    for (bound, expected) in [
        (8, json!(["behind", 1, 2, 3, "live", 4])),
        (4, json!(["behind", 1, 2, 3, 4, "live"])),
        (9, json!(["behind", 1, 2, 3, "live", 4, 5])),
    ] {
        let n = if bound == 9 { 5 } else { 4 };
        assert_eq!(refused(&json!({"messages": bound}), n), expected, "{bound}");
    }
}

#[test]
fn it_is_live_again_with_less_than_a_quarter_of_its_bytes_before_it() {
    let size = size();
    for (bytes, expected) in [
        (size * 4, json!(["behind", 1, 2, 3, "live"])),
        (size * 4 + 1, json!(["behind", 1, 2, "live", 3])),
    ] {
        assert_eq!(refused(&json!({"bytes": bytes}), 3), expected, "{bytes}");
    }
}

#[test]
fn it_is_live_again_when_what_is_left_is_younger_than_a_quarter_of_its_age() {
    let settings = json!({"overflow": "drop_oldest", "bound": {"age_ms": 20}});
    for (us, expected) in [
        (4999, json!(["behind", 1, "live", 2])),
        (5000, json!(["behind", 1, 2, "live"])),
    ] {
        let steps = vec![
            Step::Refuse,
            one(),
            Step::WaitUs(9000),
            one(),
            Step::WaitUs(us),
            Step::Ledger,
            Step::TakeAll,
        ];
        assert_eq!(told(&run(settings.clone(), steps, End::Quiet)), expected);
    }
}

#[test]
fn a_rate_that_waits_for_it_acts_from_half_of_the_bound_on() {
    let size = size();
    let rate = json!({"mode": "sample", "ms": 1000, "when": "behind"});
    for (bound, whole) in [
        (json!({"messages": 8}), 4),
        (json!({"messages": 9}), 5),
        (json!({"messages": 2}), 1),
        (json!({"bytes": size * 6}), 3),
        (json!({"bytes": size * 6 + 1}), 4),
    ] {
        for taken in [0, 3] {
            let settings = json!({"overflow": "drop_oldest", "bound": bound, "rate": rate});
            let steps = many(taken).chain([Step::Refuse]).chain(many(whole + 3));
            let seen = run(settings, steps.collect(), End::Quiet);
            let mut expected: Vec<usize> = (1..=taken + whole).collect();
            // Of what came when it acted, the newest.
            expected.push(taken + whole + 3);
            assert_eq!(Value::from(came(&seen)), json!(expected), "{bound}");
        }
    }
}

#[test]
fn a_rate_that_waits_for_it_acts_from_half_of_the_age_on() {
    let rate = json!({"mode": "sample", "ms": 1000, "when": "behind"});
    let settings = json!({"overflow": "drop_oldest", "bound": {"age_ms": 20}, "rate": rate});
    for (us, expected) in [(9999, json!([1, 2, 3, 4])), (10_000, json!([1, 2, 4]))] {
        let steps = vec![
            one(),
            Step::WaitUs(3000),
            Step::Refuse,
            one(),
            Step::WaitUs(us),
            publish(&[0, 0]),
            Step::TakeAll,
        ];
        assert_came(settings.clone(), steps, End::Quiet, &expected);
    }
}

#[test]
fn a_rate_that_waits_for_it_keeps_to_the_time_between_modes_but_for_the_bound() {
    let rate = json!({"mode": "sample", "ms": 10_000, "when": "behind"});
    let settings = json!({"overflow": "drop_oldest", "bound": {"age_ms": 100}, "rate": rate});
    let held = |hold_ms: u64, second_us: u64| {
        let steps = vec![
            Step::Refuse,
            one(),
            // Behind at 50 ms of age, and live again as soon as it may.
            Step::WaitUs(50_000),
            Step::TakeAll,
            Step::WaitUs(hold_ms * 1000),
            // Half of its age has come 50 ms later, and the time between modes `hold_ms` after it was live again.
            Step::Refuse,
            one(),
            Step::WaitUs(second_us),
            publish(&[0, 0]),
            Step::Ledger,
            Step::TakeAll,
        ];
        told(&run_with_hold(hold_ms * MS, settings.clone(), steps))
    };
    for (hold_ms, second_us, expected) in [
        (60, 55_000, json!([2, 3, 4])),
        (60, 65_000, json!(["behind", 2, "live", 4])),
        (500, 95_000, json!([2, 3, 4])),
        (
            500,
            105_000,
            json!([["expired", 2, 2], "behind", "live", 4]),
        ),
    ] {
        let all = held(hold_ms, second_us);
        // Behind, the first, and live again.
        let after = &all.as_array().unwrap()[3..];
        assert_eq!(Value::from(after), expected, "{hold_ms} ms: {all}");
    }
}

#[test]
fn a_mode_stays_for_a_while_unless_the_bound_is_passed() {
    let hold = 1000 * MS;
    let settings = json!({"overflow": "drop_oldest", "bound": {"messages": 4, "age_ms": 50}});
    // Behind at 1 s, live again at 2 s, though it caught up at once.
    let begin = |then_us: u64| {
        vec![
            Step::Refuse,
            publish(&[0, 0]),
            Step::Ledger,
            Step::TakeAll,
            Step::WaitUs(999_999),
            publish(&[0]),
            Step::WaitUs(1),
            Step::WaitUs(then_us),
            Step::Refuse,
        ]
    };
    let before = json!(["behind", 1, 2, 3, "live"]);
    let after = |then_us: u64, steps: Vec<Step>| {
        let steps = begin(then_us).into_iter().chain(steps);
        let seen = run_with_hold(hold, settings.clone(), steps.collect());
        let all = told(&seen).as_array().unwrap().clone();
        let (first, rest) = all.split_at(5);
        assert_eq!(Value::from(first), before);
        Value::from(rest)
    };
    let half = || vec![publish(&[0, 0]), Step::Ledger, Step::TakeAll];
    // What is to be told as live again comes at the end, when everything is quiet.
    assert_eq!(after(999_999, half()), json!([4, 5]));
    assert_eq!(after(1_000_000, half()), json!(["behind", 4, 5, "live"]));
    let past = vec![publish(&[0, 0, 0, 0, 0]), Step::Ledger, Step::TakeAll];
    let told = json!([["drop_oldest", 4, 4], "behind", 5, 6, 7, 8, "live"]);
    assert_eq!(after(1000, past), told);
    for (us, expected) in [
        (50_000, json!([4])),
        (50_001, json!([["expired", 4, 4], "behind", "live"])),
    ] {
        let old = vec![one(), Step::WaitUs(us), Step::Ledger, Step::TakeAll];
        assert_eq!(after(1000, old), expected);
    }
}

/// One small message without key.
fn of(topic: usize) -> Pub {
    Pub {
        topic,
        key: 0,
        size: 1,
    }
}

#[test]
fn what_a_rate_still_held_from_before_its_start_takes_no_room_from_it() {
    let rate = json!({"mode": "throttle", "ms": 100});
    for overflow in ["drop_oldest", "drop_newest", "disconnect"] {
        let settings = json!({"rate": rate, "bound": {"messages": 1}, "overflow": overflow});
        let script = |text| Script {
            text,
            settings: settings.clone(),
            steps: Vec::new(),
            end: End::Quiet,
        };
        let script = script("t.*");
        let mut world = World::new(Subject::new());
        let first = world.open();
        script.begin(&mut world, first);
        script.step(&mut world, first, &Step::Publish(vec![of(0), of(0)]), 0);
        // The second of them waits in the rate, older than the start of the next client.
        let second = world.open();
        script.begin(&mut world, second);
        script.step(&mut world, second, &Step::Refuse, 1);
        script.step(&mut world, second, &Step::Publish(vec![of(1)]), 2);
        world.wait_us(200_000);
        script.end(&mut world, second);
        let seen = world.transcript(second);
        check(&seen, "t.*", &ALL).unwrap();
        assert_eq!(closed(&seen), None, "{overflow}");
        assert_eq!(Value::from(came(&seen)), json!([3]), "{overflow}");
    }
}

/// Whether the settings change while it waits: what does then stands in a window before the ring.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Nothing,
    Rate,
}

/// What comes to one between whose first two messages its rate lets one pass that is older than its start; more are published then.
/// Messages, and how many were lost.
fn with_an_older_one_between(bound: &Value, overflow: &str, more: usize, change: Change) -> Value {
    let settings = json!({
        "rate": {"mode": "throttle", "ms": 100}, "bound": bound, "overflow": overflow
    });
    let script = Script {
        text: "t.*",
        settings,
        steps: Vec::new(),
        end: End::Quiet,
    };
    let mut world = World::new(Subject::new());
    let first = world.open();
    script.begin(&mut world, first);
    script.step(&mut world, first, &Step::Publish(vec![of(0), of(0)]), 0);
    let second = world.open();
    script.begin(&mut world, second);
    script.step(&mut world, second, &Step::Refuse, 1);
    script.step(&mut world, second, &Step::Publish(vec![of(1)]), 2);
    world.wait_us(100_000);
    script.step(&mut world, second, &Step::Publish(vec![of(2)]), 3);
    if change == Change::Rate {
        let none = Step::Reconfigure(json!({"rate": null}));
        script.step(&mut world, second, &none, 4);
    }
    for number in 0..more {
        world.wait_us(100_000);
        script.step(&mut world, second, &Step::Publish(vec![of(1)]), 5 + number);
    }
    script.step(&mut world, second, &Step::Ledger, 10);
    script.end(&mut world, second);
    let seen = world.transcript(second);
    check(&seen, "t.*", &ALL).unwrap();
    let gaps = seen.received().filter(|f| f.value["op"] == "gap");
    let lost: u64 = gaps.filter_map(|f| f.value["count"].as_u64()).sum();
    let messages = came(&seen).into_iter().filter(Value::is_i64);
    match closed(&seen) {
        Some(_) => "closed".into(),
        None => json!([messages.collect::<Vec<_>>(), lost]),
    }
}

#[test]
fn what_is_older_than_its_start_and_stands_among_its_own_counts_for_nothing() {
    let size = {
        let script = Script {
            text: "t.*",
            settings: json!({"rate": {"mode": "throttle", "ms": 100}}),
            steps: vec![one()],
            end: End::Quiet,
        };
        let seen = script.run(Subject::new());
        let msg = seen.received().find(|f| f.value["op"] == "msg").unwrap();
        msg.bytes
    };
    for change in [Change::Nothing, Change::Rate] {
        for bound in [json!({"messages": 2}), json!({"bytes": 2 * size})] {
            for (overflow, expected) in [
                ("drop_oldest", json!([[4, 5], 1])),
                ("drop_newest", json!([[3, 4], 1])),
                ("disconnect", json!("closed")),
            ] {
                let run = |more| with_an_older_one_between(&bound, overflow, more, change);
                let why = format!("{overflow} {bound} {change:?}");
                assert_eq!(run(0), json!([[3, 4], 0]), "{why}");
                assert_eq!(run(1), expected, "{why}");
            }
        }
    }
}
