//! History and what is read again from the log: in what frames it comes.
use serde_json::{Value, json};

use crate::checker::items;
use crate::drive::{Transcript, World};
use crate::script::{End, Pub, Script, Step};
use crate::subject::Subject;

fn small(topic: usize) -> Pub {
    Pub {
        topic,
        key: 0,
        size: 1,
    }
}

fn script(settings: Value) -> Script {
    Script {
        text: "t.*",
        settings,
        steps: Vec::new(),
        end: End::Quiet,
    }
}

/// What one sees who subscribes after `before` was published.
fn late(before: &[usize], settings: Value) -> Transcript {
    let mut world = World::new(Subject::new());
    let source = script(json!({}));
    let first = world.open();
    source.begin(&mut world, first);
    let all = before.iter().map(|t| small(*t)).collect();
    source.step(&mut world, first, &Step::Publish(all), 0);
    let script = script(settings);
    let who = world.open();
    script.begin(&mut world, who);
    script.end(&mut world, who);
    world.transcript(who)
}

/// How many messages each `batch` holds, and its bytes.
fn batches(seen: &Transcript) -> Vec<(usize, usize)> {
    let batches = seen.received().filter(|f| f.value["op"] == "batch");
    batches.map(|f| (items(&f.value).len(), f.bytes)).collect()
}

#[test]
fn history_comes_in_batches_that_are_as_full_as_they_may_be() {
    let of = |batch: Value| {
        let seen = late(&[0; 7], json!({"from": "earliest", "batch": batch}));
        batches(&seen)
    };
    let by_messages = of(json!({"messages": 3}));
    let sizes: Vec<usize> = by_messages.iter().map(|b| b.0).collect();
    assert_eq!(sizes, [3, 3, 1]);
    let three = by_messages[0].1;
    for (bytes, expected) in [(three, vec![3, 3, 1]), (three - 1, vec![2, 2, 2, 1])] {
        let sizes: Vec<usize> = of(json!({"bytes": bytes})).iter().map(|b| b.0).collect();
        assert_eq!(sizes, expected, "{bytes} bytes, {by_messages:?}");
    }
}
