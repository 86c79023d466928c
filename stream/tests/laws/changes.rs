//! What a change of settings does to what waits: it goes out by the settings under which it came.
use serde_json::{Value, json};

use crate::checker::{CONTENTS, GAPS, LEDGER, ORDER, REST, check};
use crate::corners::{assert_came, came, closed, publish, run};
use crate::drive::What;
use crate::script::{End, Script, Step};
use crate::subject::Subject;

fn change(settings: Value) -> Step {
    Step::Reconfigure(settings)
}

#[test]
fn a_smaller_bound_acts_by_the_policy_that_was_when_both_change() {
    let both = json!({"bound": {"messages": 1}, "overflow": "drop_oldest"});
    let steps = vec![Step::Refuse, publish(&[0, 0, 0]), change(both)];
    let settings = json!({"bound": {"messages": 3}, "overflow": "drop_newest"});
    let told = json!([1, ["drop_newest", 2, 3]]);
    assert_came(settings, steps, End::Quiet, &told);
}

#[test]
fn changes_that_leave_too_much_waiting_apart_are_refused_and_lose_nothing() {
    let mut steps = vec![Step::Refuse];
    for number in 0..40 {
        steps.extend([publish(&[0]), change(json!({"batch": {"ms": 1 + number}}))]);
    }
    let script = Script {
        text: "t.a",
        settings: json!({}),
        steps,
        end: End::Quiet,
    };
    let seen = script.run(Subject::new());
    check(&seen, script.text, &[CONTENTS, ORDER, GAPS, LEDGER, REST]).unwrap();
    let of = |op: &str| {
        let answers = seen.received().filter(|f| f.value["op"] == op);
        answers
            .filter_map(|f| f.value["id"].as_u64())
            .filter(|id| *id < 100)
            .collect::<Vec<_>>()
    };
    let changes: Vec<u64> = (0..40).map(|n| 2 + 2 * n).collect();
    assert_eq!(of("reconfigured"), changes[..30]);
    assert_eq!(of("error"), changes[30..]);
    let all: Vec<u64> = (1..=40).collect();
    assert_eq!(Value::from(came(&seen)), json!(all));
}

#[test]
fn what_a_newer_one_superseded_before_the_change_is_conflated_after_it() {
    let steps = vec![
        Step::Refuse,
        publish(&[1, 1, 1]),
        Step::Ledger,
        change(json!({"overflow": "drop_oldest"})),
    ];
    let settings = json!({"bound": {"messages": 2}, "overflow": "conflate"});
    assert_came(settings, steps, End::Quiet, &json!([3]));
}

#[test]
fn without_credit_a_loss_is_told_all_the_same() {
    let settings = json!({"bound": {"messages": 1}, "overflow": "drop_oldest", "credit": 0});
    let steps = vec![publish(&[0, 0, 0])];
    let seen = run(settings, steps, End::Quiet);
    let is_quiet = |(_, what): &(u64, What)| matches!(what, What::Quiet);
    let before = seen.events.iter().take_while(|e| !is_quiet(e));
    let whole = before.filter_map(|(_, what)| match what {
        What::Whole(frame) => Some(&seen.frames[*frame].value),
        _ => None,
    });
    let gaps: Vec<&Value> = whole.filter(|v| v["op"] == "gap").collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!((&gaps[0]["from"], &gaps[0]["to"]), (&json!(1), &json!(2)));
}

#[test]
fn a_rate_that_begins_in_time_spares_one_that_would_be_closed() {
    let rate = json!({"mode": "sample", "ms": 1000, "when": "behind"});
    let settings = json!({"overflow": "disconnect", "bound": {"messages": 8}, "rate": rate});
    let steps = vec![Step::Refuse, publish(&[0]), publish(&[0; 13])];
    let seen = run(settings, steps, End::Quiet);
    assert_eq!(closed(&seen), None);
    assert_eq!(Value::from(came(&seen)), json!([1, 2, 3, 4, 14]));
}

#[test]
fn what_a_rate_let_pass_before_it_ceases_to_act_comes_before_what_it_does_not_act_on() {
    let rate = json!({"mode": "sample", "ms": 1000, "when": "behind"});
    let settings = json!({"overflow": "drop_oldest", "bound": {"messages": 9}, "rate": rate});
    let steps = vec![
        Step::Refuse,
        publish(&[0]),
        publish(&[0; 4]),
        publish(&[1, 2, 1]),
        Step::WaitUs(1_000_000),
        Step::TakeAll,
        publish(&[1, 1]),
    ];
    assert_came(
        settings,
        steps,
        End::Quiet,
        &json!([1, 2, 3, 4, 5, 7, 8, 9, 10]),
    );
}

#[test]
fn what_a_newer_one_supersedes_after_the_change_is_conflated_all_the_same() {
    let steps = vec![
        Step::Refuse,
        publish(&[1]),
        Step::Ledger,
        change(json!({"overflow": "drop_oldest"})),
        publish(&[1; 5]),
    ];
    let settings = json!({"bound": {"messages": 2}, "overflow": "conflate"});
    let told = json!([["drop_oldest", 2, 4], 5, 6]);
    assert_came(settings, steps, End::Quiet, &told);
}
