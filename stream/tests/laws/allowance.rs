//! Memory: what is held is let go of once nobody needs it, is never more than allowed, and what was taken for want of it is told.
use proptest::prelude::*;
use pubsub_stream::Config;
use serde_json::{Value, json};

use crate::checker::{ALL, CONTENTS, ORDER, check, items, render};
use crate::drive::{Room, Transcript, World};
use crate::laws::{ALL_ACTS, each};
use crate::script::{ANY, Draw, End, Pub, Script, Step, script};
use crate::subject::{Subject, config};

/// A handful of messages.
const SHORT: usize = 1500;
const PLENTY: usize = 1 << 26;

/// No rate that leaves something out, no key that is superseded, and no log that is read again: what doesn't come was lost.
const LOSSY: Draw = Draw {
    rates: &[],
    overflows: &["drop_oldest", "drop_newest"],
    ..ANY
};

fn world(ring_bytes: usize) -> World<Subject> {
    World::new(Subject::with(Config {
        ring_bytes,
        ..config()
    }))
}

/// All is taken, and nothing is held back any more.
fn rest(script: &Script, world: &mut World<Subject>, who: usize) {
    world.note_quiet(who);
    world.set_room(who, Room::All);
    for (id, command) in [
        json!({"op": "credit", "n": 1_000_000}),
        json!({"op": "reconfigure", "batch": null, "rate": null, "bound": null}),
        json!({"op": "credit", "n": 1_000_000}),
    ]
    .iter_mut()
    .enumerate()
    {
        command["topic"] = script.text.into();
        command["id"] = (2_000_000 + id).into();
        world.say(who, command);
    }
    world.wait_us(crate::script::QUIET_US);
}

fn leave(script: &Script, world: &mut World<Subject>, who: usize) {
    world.say(
        who,
        &json!({"op": "unsubscribe", "id": 2_000_010, "topic": script.text}),
    );
    world.wait_us(1);
}

/// Runs a script and holds the memory against the budget after each step.
fn run(script: &Script, ring_bytes: usize) -> Result<(Transcript, World<Subject>), TestCaseError> {
    let mut world = world(ring_bytes);
    let who = world.open();
    script.begin(&mut world, who);
    for (number, step) in script.steps.iter().enumerate() {
        script.step(&mut world, who, step, number);
        let held = world.machine.stats().ring_bytes;
        prop_assert!(
            held <= ring_bytes as u64,
            "{} bytes are held after step {}\n{}",
            held,
            number,
            render(&world.transcript(who))
        );
    }
    rest(script, &mut world, who);
    let held = world.machine.stats().ring_bytes;
    prop_assert_eq!(
        held,
        0,
        "all that came was taken\n{}",
        render(&world.transcript(who))
    );
    leave(script, &mut world, who);
    let stats = world.machine.stats();
    prop_assert_eq!((stats.ring_bytes, stats.subscriptions), (0, 0));
    Ok((world.transcript(who), world))
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

/// What a ledger counts is what the client saw, and its counts make up what was published.
fn adds_up(seen: &Transcript) -> Result<(), TestCaseError> {
    let (mut came, mut taken) = (0, 0);
    for frame in seen.received() {
        let value = &frame.value;
        came += items(value).len() as u64;
        if value["op"] == "gap" && value["reason"] == "memory" {
            taken += number(value, "/count");
        }
        let ledger = &value["ledger"];
        if !ledger.is_object() {
            continue;
        }
        let counts = [
            "/delivered",
            "/filtered_by_rate",
            "/conflated",
            "/dropped/drop_oldest",
            "/dropped/drop_newest",
            "/dropped/memory",
            "/expired",
            "/retention",
            "/pending/memory",
            "/pending/spilled",
        ];
        let sum: u64 = counts.iter().map(|path| number(ledger, path)).sum();
        prop_assert_eq!(number(ledger, "/published"), sum, "{}", ledger);
        prop_assert_eq!(number(ledger, "/delivered"), came, "{}", ledger);
        let counted = number(ledger, "/dropped/memory");
        let settled = value["op"] == "unsubscribed";
        prop_assert!(
            taken == counted || (taken < counted && !settled),
            "{} were told to be lost to memory: {}\n{}",
            taken,
            ledger,
            render(seen)
        );
    }
    Ok(())
}

/// Every publication came, or lies in a gap that counts it.
fn nothing_is_silent(seen: &Transcript, text: &str) -> Result<(), TestCaseError> {
    let inside = |from: i64, to: i64| {
        let of_view = seen
            .log
            .iter()
            .filter(|e| crate::subject::covers(text, &e.topic));
        of_view.filter(|e| (from..=to).contains(&e.offset)).count() as u64
    };
    let mut passed = 0;
    for frame in seen.received() {
        for item in items(&frame.value) {
            let offset = item["offset"].as_i64().unwrap();
            let silent = inside(passed + 1, offset - 1);
            prop_assert_eq!(silent, 0, "before {}\n{}", offset, render(seen));
            passed = offset;
        }
        if frame.value["op"] == "gap" {
            let gap = &frame.value;
            let (from, to) = (gap["from"].as_i64().unwrap(), gap["to"].as_i64().unwrap());
            prop_assert!(from > passed && to >= from, "{}\n{}", gap, render(seen));
            prop_assert_eq!(inside(passed + 1, from - 1), 0, "{}\n{}", gap, render(seen));
            let lost = inside(from, to);
            prop_assert_eq!(lost, number(gap, "/count"), "{}\n{}", gap, render(seen));
            passed = to;
        }
    }
    Ok(())
}

#[test]
fn who_has_all_costs_no_memory() {
    each(script(ANY, ALL_ACTS), |script| {
        run(script, PLENTY).map(|_| ())
    });
}

#[test]
fn short_memory_is_never_passed_and_what_it_costs_is_counted() {
    each(script(ANY, ALL_ACTS), |script| {
        let (seen, _) = run(script, SHORT)?;
        check(&seen, script.text, &[ORDER, CONTENTS]).map_err(TestCaseError::fail)?;
        adds_up(&seen)
    });
}

#[test]
fn what_short_memory_took_is_told_in_its_place() {
    each(script(LOSSY, ALL_ACTS), |script| {
        let (seen, _) = run(script, SHORT)?;
        adds_up(&seen)?;
        nothing_is_silent(&seen, script.text)
    });
}

/// A slice of the log is more than may be held of slices; the driver fails where the machine doesn't come to rest.
#[test]
fn who_reads_the_log_without_credit_while_memory_is_short_asks_again_when_there_is_some() {
    let large = || {
        let large = Pub {
            topic: 0,
            key: 0,
            size: 250,
        };
        Step::Publish(vec![large; 3])
    };
    let refused = [Step::Refuse, Step::Take(1)];
    for between in [&[][..], &refused[..1], &refused[1..]] {
        let socket = between
            .iter()
            .cloned()
            .chain([Step::Credit(1), Step::TakeAll]);
        let script = Script {
            text: "t.a",
            settings: json!({"bound": {"messages": 2}, "credit": 0, "overflow": "spill"}),
            steps: [large(), large(), large()]
                .into_iter()
                .chain(socket)
                .collect(),
            end: End::Quiet,
        };
        let (seen, _) = run(&script, SHORT).unwrap();
        let came: Vec<i64> = (seen.received().flat_map(|f| items(&f.value)))
            .filter_map(|item| item["offset"].as_i64())
            .collect();
        assert_eq!(came, (1..=9).collect::<Vec<i64>>(), "{}", render(&seen));
        adds_up(&seen).unwrap();
    }
}

fn publish(sizes: &[usize]) -> Step {
    let of = |size: &usize| Pub {
        topic: 0,
        key: 0,
        size: *size,
    };
    Step::Publish(sizes.iter().map(of).collect())
}

fn steps(settings: Value, steps: Vec<Step>) -> Script {
    Script {
        text: "t.a",
        settings,
        steps,
        end: End::Quiet,
    }
}

/// What waited when its settings changed stands apart from what came later.
#[test]
fn what_waits_from_before_other_settings_is_lost_to_a_smaller_bound_from_its_end() {
    let batch = Step::Reconfigure(json!({"batch": {"ms": 20}}));
    let smaller = Step::Reconfigure(json!({"bound": {"messages": 1}}));
    for socket in [Step::Refuse, Step::Take(1)] {
        let script = steps(
            json!({"bound": {"messages": 3}, "overflow": "drop_newest"}),
            vec![socket, publish(&[1; 3]), batch.clone(), smaller.clone()],
        );
        let seen = script.run(Subject::new());
        check(&seen, script.text, &ALL).unwrap();
        let told: Vec<&Value> = (seen.received().map(|f| &f.value))
            .filter(|v| v["op"] == "gap" || !items(v).is_empty())
            .collect();
        assert_eq!(told.len(), 2, "{}", render(&seen));
        assert_eq!(items(told[0])[0]["offset"], 1);
        let gap = [&told[1]["from"], &told[1]["to"], &told[1]["count"]];
        assert_eq!(gap, [2, 3, 2]);
    }
}

#[test]
fn what_memory_took_of_what_waits_from_before_other_settings_is_counted_once() {
    let script = steps(
        json!({"overflow": "drop_oldest"}),
        vec![
            Step::Refuse,
            publish(&[250; 3]),
            Step::Reconfigure(json!({"batch": {"ms": 20}})),
            publish(&[250; 6]),
            Step::WaitUs(100_000),
        ],
    );
    let (seen, world) = run(&script, SHORT).unwrap();
    adds_up(&seen).unwrap();
    nothing_is_silent(&seen, script.text).unwrap();
    let last = seen.received().last().unwrap();
    let told = number(&last.value, "/ledger/dropped/memory");
    assert!(told > 3, "{}", render(&seen));
    assert_eq!(world.machine.stats().lost_memory, told);
}

#[test]
fn what_was_read_of_what_waits_from_before_other_settings_is_let_go_of() {
    let script = steps(json!({"overflow": "drop_oldest"}), Vec::new());
    let mut world = world(PLENTY);
    let who = world.open();
    script.begin(&mut world, who);
    let held = |world: &World<Subject>| world.machine.stats().ring_bytes;
    let batch = Step::Reconfigure(json!({"batch": {"ms": 20}}));
    for step in [Step::Refuse, publish(&[250; 10]), batch] {
        script.step(&mut world, who, &step, 1);
    }
    let all = held(&world);
    script.step(&mut world, who, &Step::Take(2000), 2);
    let rest = held(&world);
    assert!(rest > 0 && rest < all / 2, "{rest} of {all}");
    script.step(&mut world, who, &Step::TakeAll, 3);
    assert_eq!(held(&world), 0);
}
