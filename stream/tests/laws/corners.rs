//! Corners: short scripts in which several rules meet. Every law holds in them, and what comes is what the name says.
use serde_json::{Value, json};

use crate::checker::{ALL, check, items};
use crate::drive::{Transcript, What};
use crate::script::{End, Pub, Script, Step};
use crate::subject::Subject;

/// Publishes small messages of one topic, by their keys.
pub fn publish(keys: &[usize]) -> Step {
    let small = |key: &usize| Pub {
        topic: 0,
        key: *key,
        size: 1,
    };
    Step::Publish(keys.iter().map(small).collect())
}

#[track_caller]
pub fn run(settings: Value, steps: Vec<Step>, end: End) -> Transcript {
    let script = Script {
        text: "t.a",
        settings,
        steps,
        end,
    };
    let seen = script.run(Subject::new());
    if let Err(why) = check(&seen, "t.a", &ALL) {
        panic!("{why}");
    }
    seen
}

/// Offsets of messages and ranges of gaps, in the order in which they came.
pub fn came(seen: &Transcript) -> Vec<Value> {
    let mut all = Vec::new();
    for frame in seen.received() {
        all.extend(items(&frame.value).iter().map(|i| i["offset"].clone()));
        if frame.value["op"] == "gap" {
            let gap = &frame.value;
            all.push(json!([gap["reason"], gap["from"], gap["to"]]));
        }
    }
    all
}

#[test]
fn what_falls_into_a_hole_while_a_rate_begins_to_act_is_told_whole() {
    let rate = json!({"rate": {"mode": "sample", "ms": 1, "when": "behind"}});
    let steps = vec![
        Step::Reconfigure(rate),
        Step::Take(139),
        publish(&[0]),
        publish(&[0, 0, 0]),
    ];
    let settings = json!({"bound": {"messages": 1}, "overflow": "drop_newest"});
    let seen = run(settings, steps, End::Quiet);
    assert_eq!(
        came(&seen),
        json!([1, 2, ["drop_newest", 3, 4]])
            .as_array()
            .unwrap()
            .clone()
    );
}

#[track_caller]
pub fn assert_came(settings: Value, steps: Vec<Step>, end: End, expected: &Value) {
    assert_eq!(Value::from(came(&run(settings, steps, end))), *expected);
}

#[test]
fn what_changes_while_a_socket_refuses_is_visited_when_it_takes_again() {
    for (settings, patch) in [
        (
            json!({"rate": {"mode": "sample", "ms": 1}}),
            json!({"rate": null}),
        ),
        (json!({"overflow": "spill"}), json!({"batch": {"ms": 1}})),
    ] {
        let steps = vec![
            Step::Refuse,
            Step::Ledger,
            Step::Reconfigure(patch),
            publish(&[0]),
        ];
        assert_came(settings, steps, End::Quiet, &json!([1]));
    }
}

#[test]
fn what_came_before_there_was_a_batch_comes_alone() {
    let steps = vec![
        publish(&[0]),
        Step::Reconfigure(json!({"batch": {"ms": 20}})),
    ];
    let seen = run(
        json!({"rate": {"mode": "sample", "ms": 1}}),
        steps,
        End::Quiet,
    );
    assert!(seen.received().all(|f| f.value["op"] != "batch"));
    assert_eq!(came(&seen), [json!(1)]);
}

#[test]
fn a_batch_in_which_the_rate_begins_to_act_comes_whole() {
    let settings = json!({
        "rate": {"mode": "sample", "ms": 1, "when": "behind"}, "batch": {"bytes": 155}, "bound": {"messages": 7}
    });
    let steps = vec![
        publish(&[0]),
        Step::Refuse,
        publish(&[0, 0]),
        publish(&[0, 0]),
    ];
    assert_came(settings, steps, End::Quiet, &json!([1, 2, 3, 4, 5]));
}

#[test]
fn a_hole_behind_a_frame_under_way_is_told_before_the_end() {
    for end in [End::Leave { drain: false }, End::Leave { drain: true }] {
        let steps = vec![Step::Take(1), publish(&[0, 0])];
        let settings = json!({"bound": {"messages": 1}, "overflow": "drop_newest"});
        assert_came(settings, steps, end, &json!([1, ["drop_newest", 2, 2]]));
    }
}

#[test]
fn a_hole_that_a_ledger_closed_opens_again() {
    let settings =
        json!({"bound": {"age_ms": 1, "messages": 1}, "credit": 0, "overflow": "drop_newest"});
    let steps = vec![
        publish(&[0, 0]),
        Step::WaitUs(10_000),
        Step::Ledger,
        publish(&[0, 0]),
    ];
    let told = json!([
        ["expired", 1, 1],
        ["drop_newest", 2, 2],
        3,
        ["drop_newest", 4, 4]
    ]);
    assert_came(settings, steps, End::Quiet, &told);
}

#[test]
fn a_smaller_bound_moves_the_hole() {
    let settings = json!({"bound": {"messages": 3}, "overflow": "drop_newest"});
    let smaller = Step::Reconfigure(json!({"bound": {"messages": 1}}));
    let steps = vec![Step::Refuse, publish(&[0, 0, 0, 0]), smaller];
    assert_came(
        settings,
        steps,
        End::Quiet,
        &json!([1, ["drop_newest", 2, 4]]),
    );
}

#[test]
fn what_fell_into_a_hole_and_was_not_told_is_read_from_the_log_after_all() {
    let settings = json!({"bound": {"messages": 1}, "overflow": "drop_newest"});
    let spill = Step::Reconfigure(json!({"overflow": "spill"}));
    let steps = vec![
        Step::Refuse,
        publish(&[0]),
        publish(&[0]),
        spill,
        publish(&[0]),
    ];
    assert_came(settings, steps, End::Quiet, &json!([1, 2, 3]));
}

#[test]
fn what_waited_by_one_policy_goes_out_by_it() {
    let settings = json!({"bound": {"messages": 2}, "overflow": "drop_oldest"});
    let conflate = Step::Reconfigure(json!({"overflow": "conflate"}));
    let steps = vec![
        Step::Refuse,
        publish(&[0, 0, 0]),
        conflate,
        publish(&[0, 0]),
    ];
    assert_came(
        settings,
        steps,
        End::Quiet,
        &json!([["drop_oldest", 1, 1], 2, 3, 5]),
    );
}

#[test]
fn one_that_waits_for_the_rest_of_a_frame_alone_is_bounded_by_its_age() {
    let settings = json!({"bound": {"age_ms": 20}, "overflow": "disconnect"});
    let steps = vec![Step::Take(30), publish(&[0]), Step::WaitUs(1_000_000)];
    assert_eq!(
        closed(&run(settings, steps, End::Quiet)),
        Some(1_020_000_001)
    );
}

/// When it was closed as a slow consumer.
pub fn closed(seen: &Transcript) -> Option<u64> {
    let closed = |(at, what): &(u64, What)| matches!(what, What::Closed(4001)).then_some(*at);
    seen.events.iter().find_map(closed)
}

#[test]
fn one_whose_rate_begins_to_act_at_its_bound_is_closed_all_the_same() {
    let rate = json!({"mode": "sample", "ms": 1, "when": "behind"});
    let settings = json!({"bound": {"bytes": 101}, "overflow": "disconnect", "rate": rate});
    let steps = vec![Step::Refuse, publish(&[0, 0]), publish(&[0])];
    assert_eq!(
        closed(&run(settings, steps, End::Quiet)),
        Some(1_000_000_000)
    );
}

#[test]
fn what_a_rate_of_before_releases_into_a_hole_is_not_lost_there() {
    let rate = |ms: u64| Step::Reconfigure(json!({"rate": {"ms": ms}}));
    let tick = || Step::WaitUs(100_000);
    let both = Step::Publish(
        [0, 1]
            .map(|topic| Pub {
                topic,
                key: 0,
                size: 1,
            })
            .to_vec(),
    );
    let settings = json!({
        "rate": {"mode": "sample", "ms": 100}, "bound": {"messages": 1}, "overflow": "drop_newest"
    });
    let script = Script {
        text: "t.*",
        settings,
        steps: vec![
            publish(&[0]),
            Step::Refuse,
            tick(),
            rate(400),
            both,
            rate(100),
            tick(),
        ],
        end: End::Quiet,
    };
    let seen = script.run(Subject::new());
    check(&seen, script.text, &ALL).unwrap();
    let told = json!([1, ["drop_newest", null, null]]);
    assert_eq!(Value::from(came(&seen)), told);
}

#[test]
fn a_hole_that_closes_behind_a_frame_under_way_keeps_nothing_from_the_next_policy() {
    let settings = json!({"bound": {"messages": 1}, "overflow": "drop_newest"});
    let oldest = Step::Reconfigure(json!({"overflow": "drop_oldest"}));
    let steps = vec![Step::Take(1), publish(&[0, 0]), oldest, publish(&[0])];
    let told = json!([1, ["drop_newest", 2, 2], ["drop_oldest", 3, 3]]);
    assert_came(settings, steps, End::Quiet, &told);
}

#[test]
fn what_one_policy_loses_behind_what_another_keeps_is_told_as_its_own() {
    let by = |overflow: &str| Step::Reconfigure(json!({"overflow": overflow}));
    let steps = vec![
        Step::Refuse,
        publish(&[0]),
        by("drop_oldest"),
        publish(&[1]),
        publish(&[1]),
        Step::WaitUs(1000),
        by("drop_newest"),
        publish(&[2]),
        publish(&[2]),
    ];
    let settings = json!({"bound": {"messages": 1}, "overflow": "conflate"});
    let told = json!([1, ["drop_oldest", 2, 3], ["drop_newest", 4, 5]]);
    assert_came(settings, steps, End::Quiet, &told);
}

#[test]
fn a_larger_bound_brings_nothing_back() {
    let settings = json!({"bound": {"messages": 1}, "overflow": "drop_oldest"});
    let larger = Step::Reconfigure(json!({"bound": null}));
    let steps = vec![Step::Take(1), publish(&[0]), publish(&[0]), larger];
    let told = json!([1, ["drop_oldest", 2, 2]]);
    assert_came(settings, steps, End::Quiet, &told);
}

#[test]
fn a_drain_takes_what_a_rate_holds_behind_the_hole() {
    let settings = json!({
        "rate": {"mode": "sample", "ms": 1}, "bound": {"messages": 3}, "overflow": "drop_newest"
    });
    let steps = vec![
        Step::Refuse,
        publish(&[0, 1, 2, 3]),
        Step::WaitUs(1000),
        Step::Take(300),
        publish(&[0]),
    ];
    let told = json!([1, 2, 3, ["drop_newest", null, null], 5]);
    assert_came(settings, steps, End::Leave { drain: true }, &told);
}

#[test]
fn what_is_lost_behind_a_backlog_begins_after_it() {
    let rate = json!({"mode": "sample", "ms": 100});
    let settings = json!({"bound": {"messages": 1}, "overflow": "conflate", "rate": rate});
    let oldest = Step::Reconfigure(json!({"overflow": "drop_oldest", "rate": null}));
    let steps = vec![
        publish(&[0]),
        Step::Refuse,
        Step::WaitUs(100_000),
        oldest,
        publish(&[2]),
        publish(&[0]),
    ];
    let told = json!([1, ["drop_oldest", 2, 3]]);
    assert_came(settings, steps, End::Quiet, &told);
}

#[test]
fn what_a_drain_makes_pending_behind_a_hole_is_told_with_it() {
    let settings = json!({
        "batch": {"messages": 2}, "bound": {"messages": 2}, "overflow": "drop_newest"
    });
    let foreign = || {
        Step::Publish(vec![Pub {
            topic: 1,
            key: 0,
            size: 1,
        }])
    };
    for refuses in [Step::Refuse, Step::Take(1)] {
        let steps = vec![
            publish(&[0, 0]),
            refuses,
            publish(&[0, 0]),
            publish(&[0, 0]),
            foreign(),
            publish(&[0]),
        ];
        let told = json!([1, 2, 3, 4, ["drop_newest", 5, 8]]);
        assert_came(settings.clone(), steps, End::Leave { drain: true }, &told);
    }
}

#[test]
fn a_hole_that_opens_where_its_cohort_begins_is_told_from_there() {
    let settings = json!({"bound": {"messages": 3}, "overflow": "drop_newest"});
    let smaller = Step::Reconfigure(json!({"bound": {"messages": 1}}));
    let batch = Step::Reconfigure(json!({"batch": {"ms": 20}}));
    let steps = vec![
        Step::Take(1),
        publish(&[0]),
        publish(&[0, 1]),
        smaller,
        batch,
    ];
    let told = json!([1, ["drop_newest", 2, 3]]);
    assert_came(settings, steps, End::Quiet, &told);
}

#[test]
fn who_comes_back_to_a_rate_that_nobody_had_meanwhile_begins_anew() {
    let settings = json!({"rate": {"mode": "throttle", "ms": 1}});
    let batch = |batch: Value| Step::Reconfigure(json!({"batch": batch}));
    let steps = vec![
        Step::Refuse,
        publish(&[0, 0]),
        batch(json!({"bytes": 100})),
        publish(&[0, 0]),
        batch(Value::Null),
        publish(&[1]),
    ];
    assert_came(settings, steps, End::Quiet, &json!([1, 2, 3, 4, 5]));
}
