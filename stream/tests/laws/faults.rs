//! The checker against the model: it finds nothing wrong with it, and finds every fault that is planted into what a client saw.
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::checker::{
    AGE, ALL, ANNOUNCED, BATCHES, CONTENTS, CREDIT, GAPS, LEDGER, Law, MODES, NEWEST, ORDER, REST,
    WINDOW, broken, check,
};
use crate::drive::{Transcript, What};
use crate::laws::{ALL_ACTS, each};
use crate::model::Model;
use crate::script::{ANY, End, Pub, Script, Step, script};

#[test]
fn the_model_keeps_every_law() {
    each(script(ANY, ALL_ACTS), |script| {
        let seen = script.run(Model::new());
        check(&seen, script.text, &ALL).map_err(TestCaseError::fail)
    });
}

fn publish(keys: &[usize]) -> Step {
    Step::Publish(
        keys.iter()
            .map(|key| Pub {
                topic: 0,
                key: *key,
                size: 20,
            })
            .collect(),
    )
}

/// A stall over twelve publications, with one frame partly written, and a ledger at its end.
fn stalled(settings: Value) -> Transcript {
    let steps = vec![
        publish(&[1, 2, 1]),
        Step::Take(30),
        publish(&[1, 2, 1, 2]),
        Step::WaitUs(50_000),
        publish(&[1, 1, 2, 1]),
        Step::WaitUs(50_000),
        publish(&[2, 1, 1, 2]),
        Step::Ledger,
        Step::TakeAll,
        publish(&[1, 2]),
        Step::Ledger,
    ];
    run(settings, steps)
}

fn run(settings: Value, steps: Vec<Step>) -> Transcript {
    Script {
        text: "t.a",
        settings,
        steps,
        end: End::Quiet,
    }
    .run(Model::new())
}

/// Changes the nth frame of a kind.
fn change(seen: &Transcript, op: &str, nth: usize, how: impl Fn(&mut Value)) -> Transcript {
    let mut seen = seen.clone();
    let mut frames = seen.frames.iter_mut().filter(|f| f.value["op"] == op);
    how(&mut frames.nth(nth).expect("a frame of this kind").value);
    seen
}

/// Takes the nth frame of a kind away.
fn remove(seen: &Transcript, op: &str, nth: usize) -> Transcript {
    change(seen, op, nth, |frame| *frame = json!({"op": "nothing"}))
}

fn assert_found(seen: &Transcript, law: Law) {
    assert!(
        !broken(seen, "t.a", &[law]).is_empty(),
        "{} found nothing\n{}",
        law.0,
        crate::checker::render(seen)
    );
}

fn add(path: &'static str, n: i64) -> impl Fn(&mut Value) {
    move |frame| {
        let number = frame.pointer_mut(path).expect("a number");
        *number = (number.as_i64().unwrap() + n).into();
    }
}

#[test]
fn a_message_missing_twice_or_out_of_order_is_found() {
    let seen = stalled(json!({"bound": {"messages": 100}}));
    assert!(broken(&seen, "t.a", &ALL).is_empty());
    assert_found(&remove(&seen, "msg", 3), GAPS);
    assert_found(&remove(&seen, "msg", 3), LEDGER);
    assert_found(&change(&seen, "msg", 3, add("/offset", -1)), ORDER);
    assert_found(&change(&seen, "msg", 3, add("/offset", -2)), ORDER);
    assert_found(&change(&seen, "msg", 3, add("/offset", 1)), CONTENTS);
    assert_found(
        &change(&seen, "msg", 0, |m| m["data"] = json!("other")),
        CONTENTS,
    );
    assert_found(
        &change(&seen, "msg", 0, |m| m["resume"] = 1.into()),
        CONTENTS,
    );
}

#[test]
fn a_message_that_rate_or_conflation_left_out_wrongly_is_found() {
    let rated = stalled(json!({"rate": {"mode": "sample", "ms": 10}}));
    assert!(broken(&rated, "t.a", &ALL).is_empty());
    let last = rated.received().filter(|f| f.value["op"] == "msg").count() - 1;
    assert_found(&remove(&rated, "msg", last), NEWEST);
    assert_found(&change(&rated, "msg", 1, |m| m["resume"] = 0.into()), ORDER);
    assert_found(&change(&rated, "msg", 0, |m| m["resume"] = 7.into()), ORDER);
    let conflated = stalled(json!({"overflow": "conflate", "bound": {"messages": 4}}));
    assert!(broken(&conflated, "t.a", &ALL).is_empty());
    let last = conflated
        .received()
        .filter(|f| f.value["op"] == "msg")
        .count()
        - 1;
    assert_found(&remove(&conflated, "msg", last), NEWEST);
    assert_found(&remove(&conflated, "mode", 0), GAPS);
}

#[test]
fn a_gap_that_is_wrong_by_one_is_found() {
    for policy in ["drop_oldest", "drop_newest"] {
        let seen = stalled(json!({"overflow": policy, "bound": {"messages": 4}}));
        assert!(
            broken(&seen, "t.a", &ALL).is_empty(),
            "{:?}",
            broken(&seen, "t.a", &ALL)
        );
        assert_found(&change(&seen, "gap", 0, add("/count", 1)), GAPS);
        assert_found(&change(&seen, "gap", 0, add("/count", -1)), ANNOUNCED);
        assert_found(&change(&seen, "gap", 0, add("/from", 1)), GAPS);
        assert_found(&change(&seen, "gap", 0, add("/from", -1)), GAPS);
        assert_found(&change(&seen, "gap", 0, add("/to", 1)), GAPS);
        assert_found(&remove(&seen, "gap", 0), GAPS);
        assert_found(&remove(&seen, "gap", 0), ANNOUNCED);
        let other = if policy == "drop_oldest" {
            "drop_newest"
        } else {
            "drop_oldest"
        };
        assert_found(
            &change(&seen, "gap", 0, |g| g["reason"] = other.into()),
            GAPS,
        );
    }
}

#[test]
fn a_count_of_the_ledger_that_is_wrong_is_found() {
    let seen = stalled(json!({"bound": {"messages": 4}}));
    for path in [
        "published",
        "delivered",
        "filtered_by_rate",
        "conflated",
        "expired",
        "retention",
    ] {
        let count = |frame: &mut Value| {
            frame["ledger"][path] = (frame["ledger"][path].as_u64().unwrap() + 1).into();
        };
        assert_found(&change(&seen, "ledger", 0, count), LEDGER);
        assert_found(&change(&seen, "unsubscribed", 0, count), LEDGER);
    }
    // Wrong twice, so that the sum is right.
    let both = |one: &'static str, other: &'static str| {
        change(&seen, "ledger", 0, move |frame| {
            add(one, 1)(frame);
            add(other, -1)(frame);
        })
    };
    assert_found(&both("/ledger/delivered", "/ledger/pending/memory"), LEDGER);
    assert_found(
        &both("/ledger/dropped/drop_oldest", "/ledger/pending/memory"),
        LEDGER,
    );
    assert_found(
        &both("/ledger/conflated", "/ledger/dropped/drop_oldest"),
        LEDGER,
    );
    let pending = change(&seen, "unsubscribed", 0, |frame| {
        add("/ledger/pending/memory", 1)(frame);
        add("/ledger/dropped/drop_oldest", -1)(frame);
    });
    assert_found(&pending, REST);
}

#[test]
fn a_mode_that_does_not_alternate_or_does_not_end_live_is_found() {
    let seen = stalled(json!({"bound": {"messages": 4}}));
    assert_found(&remove(&seen, "mode", 0), MODES);
    assert_found(&remove(&seen, "mode", 1), MODES);
    assert_found(
        &change(&seen, "mode", 1, |m| m["lag"]["messages"] = 2.into()),
        MODES,
    );
}

#[test]
fn a_bound_that_kept_one_too_many_is_found() {
    // The record of one that kept 5, read as that of one that should keep 4; likewise with bytes and age.
    let cases = [
        (
            json!({"bound": {"messages": 5}}),
            json!({"messages": 4, "bytes": 9999, "age_ms": 30_000}),
            WINDOW,
        ),
        (
            json!({"bound": {"bytes": 500}}),
            json!({"messages": 99, "bytes": 330, "age_ms": 30_000}),
            WINDOW,
        ),
        (
            json!({"bound": {"age_ms": 90}}),
            json!({"messages": 99, "bytes": 9999, "age_ms": 40}),
            AGE,
        ),
    ];
    for (settings, told, law) in cases {
        let seen = stalled(settings);
        assert!(broken(&seen, "t.a", &ALL).is_empty());
        assert_found(
            &change(&seen, "subscribed", 0, |s| {
                s["settings"]["bound"] = told.clone();
            }),
            law,
        );
    }
}

#[test]
fn a_batch_that_is_too_large_or_none_is_found() {
    let seen = stalled(json!({"batch": {"messages": 3}, "bound": {"messages": 100}}));
    assert!(broken(&seen, "t.a", &ALL).is_empty());
    assert_found(
        &change(&seen, "subscribed", 0, |s| {
            s["settings"]["batch"]["messages"] = 2.into();
        }),
        BATCHES,
    );
    assert_found(
        &change(&seen, "subscribed", 0, |s| {
            s["settings"]["batch"]["bytes"] = 200.into();
        }),
        BATCHES,
    );
    assert_found(
        &change(&seen, "subscribed", 0, |s| {
            s["settings"]["batch"] = Value::Null;
        }),
        BATCHES,
    );
    assert_found(
        &change(&seen, "batch", 0, |b| b["items"] = json!([])),
        BATCHES,
    );
    assert_found(
        &change(&seen, "batch", 1, |b| {
            b["items"].as_array_mut().unwrap().reverse();
        }),
        ORDER,
    );
}

#[test]
fn a_message_that_was_not_asked_for_is_found() {
    let steps = vec![
        publish(&[1, 2, 1]),
        Step::Credit(2),
        publish(&[1, 2, 1, 2]),
        Step::Credit(3),
    ];
    let seen = run(json!({"credit": 1, "bound": {"messages": 20}}), steps);
    assert!(broken(&seen, "t.a", &ALL).is_empty());
    let mut less = seen.clone();
    for (_, what) in &mut less.events {
        match what {
            What::Command(command) if command["op"] == "credit" && command["n"] == 2 => {
                command["n"] = 1.into();
            }
            _ => {}
        }
    }
    assert_found(&less, CREDIT);
}
