//! Corners: short scripts in which several rules meet. Every law holds in them, and what comes is what the name says.
use serde_json::{Value, json};

use crate::checker::{ALL, check, items};
use crate::drive::Transcript;
use crate::script::{End, Pub, Script, Step};
use crate::subject::Subject;

/// Publishes small messages of one topic, by their keys.
fn publish(keys: &[usize]) -> Step {
    let small = |key: &usize| Pub {
        topic: 0,
        key: *key,
        size: 1,
    };
    Step::Publish(keys.iter().map(small).collect())
}

#[track_caller]
fn run(settings: Value, steps: Vec<Step>, end: End) -> Transcript {
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
fn came(seen: &Transcript) -> Vec<Value> {
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
