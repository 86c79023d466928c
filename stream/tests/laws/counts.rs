//! What an engine counts over all its subscriptions is what it tells each of them.
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::checker::render;
use crate::corners::publish;
use crate::drive::World;
use crate::laws::{ALL_ACTS, each};
use crate::script::{ANY, End, Script, script};
use crate::subject::Subject;

/// Every script ends with an unsubscribe, whose ledger is the last word.
fn left(script: &Script) -> Script {
    Script {
        end: End::Leave { drain: true },
        ..script.clone()
    }
}

#[test]
fn counters_are_the_sums_of_ledgers() {
    each(script(ANY, ALL_ACTS).prop_map(|s| left(&s)), |script| {
        let mut world = World::new(Subject::new());
        let who = world.open();
        script.begin(&mut world, who);
        for (number, step) in script.steps.iter().enumerate() {
            script.step(&mut world, who, step, number);
        }
        script.end(&mut world, who);
        let seen = world.transcript(who);
        let Some(last) = seen.received().find(|f| f.value["op"] == "unsubscribed") else {
            // It was closed, and told nothing more.
            return Ok(());
        };
        let ledger = &last.value["ledger"];
        let told = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
        let stats = world.machine.stats();
        let counted = [
            (stats.delivered, &ledger["delivered"]),
            (stats.conflated, &ledger["conflated"]),
            (stats.filtered, &ledger["filtered_by_rate"]),
            (stats.lost_drop_oldest, &ledger["dropped"]["drop_oldest"]),
            (stats.lost_drop_newest, &ledger["dropped"]["drop_newest"]),
            (stats.lost_memory, &ledger["dropped"]["memory"]),
            (stats.lost_expired, &ledger["expired"]),
            (stats.lost_retention, &ledger["retention"]),
            (stats.delivery.total(), &ledger["delivered"]),
        ];
        for (number, (counted, ledger)) in counted.into_iter().enumerate() {
            prop_assert_eq!(
                counted,
                told(ledger),
                "counter {} of {}\n{}",
                number,
                last.value,
                render(&seen)
            );
        }
        prop_assert_eq!(
            (stats.subscriptions, stats.behind, stats.replaying),
            (0, 0, 0)
        );
        Ok(())
    });
}

#[test]
fn what_a_rate_leaves_out_counts_for_each_who_shares_it() {
    let script = Script {
        text: "t.a",
        settings: json!({"rate": {"mode": "sample", "ms": 5000}}),
        steps: Vec::new(),
        end: End::Quiet,
    };
    let mut world = World::new(Subject::new());
    let all = [(); 3].map(|()| world.open());
    for who in all {
        script.begin(&mut world, who);
    }
    script.step(&mut world, all[0], &publish(&[0, 1, 0, 0]), 0);
    assert_eq!(world.machine.stats().filtered, 3 * 2);
    world.wait_us(5_000_000);
    for who in all {
        script.end(&mut world, who);
        let seen = world.transcript(who);
        let last = seen.received().find(|f| f.value["op"] == "unsubscribed");
        assert_eq!(last.unwrap().value["ledger"]["filtered_by_rate"], 2);
    }
}
