//! Subscribers with equal settings: each gets what it would get alone, and a late one joins the others' phase.
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::checker::{ALL, check, render};
use crate::drive::{Transcript, World};
use crate::equal::{differ, messages, told};
use crate::laws::each;
use crate::script::{ANY, Acts, Draw, End, Pub, Script, Step, patch, script, step};
use crate::subject::Subject;

const ON_SOCKETS: Acts = Acts {
    socket: true,
    parts: true,
    reconfigure: false,
    wait_us: 500_000,
};
const KEEPS_UP: Acts = Acts {
    socket: false,
    ..ON_SOCKETS
};
/// Whoever begins to share a rate when it falls behind joins the phase of those who did before, and when loss by age is looked at
/// is free: none of that here.
const GROUPED: Draw = Draw {
    overflows: &["drop_oldest", "drop_newest", "conflate"],
    ages: false,
    behind: false,
    ..ANY
};

/// What one of the others does, before a step of the first.
#[derive(Debug, Clone)]
enum Act {
    Socket(Step),
    Reconfigure(Value),
    Leave,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (1_usize..900).prop_map(|n| Act::Socket(Step::Take(n))),
        2 => Just(Act::Socket(Step::Refuse)),
        1 => Just(Act::Socket(Step::TakeAll)),
        1 => patch(GROUPED).prop_map(Act::Reconfigure),
        1 => Just(Act::Leave),
    ]
}

/// The first of a group, whose others begin with it and then do as they like.
fn run(script: &Script, others: usize, acts: &[(usize, usize, Act)]) -> Transcript {
    let mut world = World::new(Subject::new());
    for _ in 0..=others {
        world.open();
    }
    for who in 0..=others {
        script.begin(&mut world, who);
    }
    for (number, step) in script.steps.iter().enumerate() {
        for (id, (_, who, act)) in acts
            .iter()
            .enumerate()
            .filter(|(_, (at, _, _))| *at == number)
        {
            let who = 1 + who % others.max(1);
            if who > others {
                continue;
            }
            match act {
                Act::Socket(step) => script.step(&mut world, who, step, 0),
                Act::Reconfigure(patch) => {
                    script.step(&mut world, who, &Step::Reconfigure(patch.clone()), 500 + id);
                }
                Act::Leave => {
                    world.say(
                        who,
                        &json!({"op": "unsubscribe", "id": 500 + id, "topic": script.text}),
                    );
                }
            }
        }
        script.step(&mut world, 0, step, number);
    }
    script.end(&mut world, 0);
    world.transcript(0)
}

fn group() -> impl Strategy<Value = (Script, usize, Vec<(usize, usize, Act)>)> {
    let acts = proptest::collection::vec((0_usize..50, 0_usize..4, act()), 0..20);
    (script(GROUPED, ON_SOCKETS), 1_usize..4, acts)
}

#[test]
fn equal_settings_give_equal_sequences_alone_or_in_a_cohort() {
    each(group(), |(script, others, acts)| {
        let (alone, among) = (run(script, 0, &[]), run(script, *others, acts));
        prop_assert!(alone.received().any(|f| f.value["op"] == "subscribed"));
        let (left, right) = (told(&alone, script.text), told(&among, script.text));
        let at = differ(&alone, &left, &among, &right);
        prop_assert!(
            at.is_none(),
            "frame {:?}\nalone:\n{}\namong {}:\n{}",
            at,
            render(&alone),
            others,
            render(&among)
        );
        Ok(())
    });
}

#[test]
fn a_late_joiner_gets_the_part_that_is_newer_than_its_start_in_the_phase_of_the_others() {
    let draw = Draw {
        overflows: &["drop_oldest"],
        credit: false,
        ages: false,
        behind: false,
        ..ANY
    };
    let steps = proptest::collection::vec(step(draw, KEEPS_UP), 1..40);
    each((script(draw, KEEPS_UP), steps), |(script, after)| {
        let mut world = World::new(Subject::new());
        let (first, late) = (world.open(), world.open());
        script.begin(&mut world, first);
        for (number, step) in script.steps.iter().enumerate() {
            script.step(&mut world, first, step, number);
        }
        script.begin(&mut world, late);
        let (start, joined_ns) = (world.log_len() as i64, world.now.mono_ns);
        for (number, step) in after.iter().enumerate() {
            script.step(&mut world, first, step, 1000 + number);
        }
        script.end(&mut world, late);
        let (first, late) = (world.transcript(first), world.transcript(late));
        check(&late, script.text, &ALL).map_err(TestCaseError::fail)?;
        // What its own end flushed came to it alone.
        let end_ns = late
            .frames
            .iter()
            .find(|f| f.value["op"] == "unsubscribed")
            .map_or(0, |f| f.whole_ns);
        let newer = messages(&first).into_iter().map(|(at, mut items)| {
            items.retain(|i| i["offset"].as_i64() > Some(start));
            (at, items)
        });
        let newer: Vec<_> = newer
            .filter(|(at, i)| !i.is_empty() && (joined_ns..end_ns).contains(at))
            .collect();
        let mut got = messages(&late);
        got.retain(|(at, _)| *at < end_ns);
        prop_assert_eq!(
            newer,
            got,
            "the first:\n{}\nthe late:\n{}",
            render(&first),
            render(&late)
        );
        Ok(())
    });
}

#[test]
fn one_that_goes_over_to_another_cohort_because_of_an_entry_has_it_once() {
    let begin = |when: &str| Script {
        text: "t.a",
        settings: json!({
            "batch": {"messages": 1},
            "rate": {"mode": "throttle", "ms": 100, "when": when},
            "bound": {"messages": 4},
        }),
        steps: Vec::new(),
        end: End::Quiet,
    };
    let (goes, stays) = (begin("behind"), begin("always"));
    let mut world = World::new(Subject::new());
    let (first, second) = (world.open(), world.open());
    goes.begin(&mut world, first);
    // The cohort that the first will go over to is there, and gets each entry after the one it leaves.
    stays.begin(&mut world, second);
    let entry = Pub {
        topic: 0,
        key: 0,
        size: 1,
    };
    goes.step(&mut world, first, &Step::Refuse, 0);
    for number in 1..6 {
        goes.step(&mut world, first, &Step::Publish(vec![entry]), number);
    }
    goes.step(&mut world, first, &Step::TakeAll, 6);
    goes.end(&mut world, first);
    let seen = world.transcript(first);
    check(&seen, "t.a", &ALL).unwrap_or_else(|why| panic!("{why}"));
    let came: Vec<_> = messages(&seen)
        .into_iter()
        .flat_map(|(_, items)| items)
        .collect();
    let offsets: Vec<_> = came.iter().map(|i| i["offset"].clone()).collect();
    let once: std::collections::BTreeSet<_> = offsets.iter().map(Value::to_string).collect();
    assert_eq!(offsets.len(), once.len(), "{}", render(&seen));
}
