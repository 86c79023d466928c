//! What is flushed when a subscription ends, and what becomes of what waits when its settings change.
use crate::bench::{Bench, offsets};
use serde_json::Value;

fn items(batch: &Value) -> Vec<i64> {
    let items = batch["items"].as_array().expect("items");
    items.iter().filter_map(|i| i["offset"].as_i64()).collect()
}

const UNSUBSCRIBE: &str = r#"{"op":"unsubscribe","id":9,"topic":"t"}"#;

#[test]
fn of_an_open_batch_as_much_is_flushed_as_credit_covers() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t","batch":{"ms":1000},"credit":2"#);
    for _ in 0..3 {
        bench.publish("t");
    }
    bench.say(id, UNSUBSCRIBE);
    let said = bench.take(id);
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(
        (&said[0]["op"], items(&said[0])),
        (&"batch".into(), vec![1, 2])
    );
    let ledger = &said[1]["ledger"];
    assert_eq!(
        (&ledger["delivered"], &ledger["pending"]["memory"]),
        (&2.into(), &1.into())
    );
}

#[test]
fn what_a_rate_holds_is_not_flushed_past_what_waits() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t","rate":{"mode":"throttle","ms":1000}"#);
    // One is let through and waits for the socket, one is held.
    bench.publish("t");
    bench.refuse(id);
    bench.publish("t");
    bench.say(id, UNSUBSCRIBE);
    bench.engine.handle_writable(bench.now, id);
    let said = bench.take(id);
    assert!(offsets(&said).is_empty(), "{said:?}");
    let ledger = &said.last().expect("unsubscribed")["ledger"];
    assert_eq!(
        (&ledger["delivered"], &ledger["pending"]["memory"]),
        (&0.into(), &2.into())
    );
}

#[test]
fn what_waited_before_there_were_batches_comes_as_it_was() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t""#);
    for _ in 0..3 {
        bench.publish("t");
    }
    bench.refuse(id);
    bench.say(
        id,
        r#"{"op":"reconfigure","topic":"t","batch":{"ms":1000,"messages":2}}"#,
    );
    for _ in 0..4 {
        bench.publish("t");
    }
    bench.engine.handle_writable(bench.now, id);
    let said = bench.take(id);
    assert_eq!(offsets(&said), [1, 2, 3]);
    let batches = said.iter().filter(|f| f["op"] == "batch");
    let batches: Vec<Vec<i64>> = batches.map(items).collect();
    assert_eq!(batches, [[4, 5], [6, 7]]);
    assert_eq!(said.len(), 6, "{said:?}");
}

#[test]
fn what_a_smaller_bound_costs_one_that_conflated_before_is_lost_by_its_policy() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(
        id,
        r#""topic":"t","overflow":"conflate","bound":{"messages":4}"#,
    );
    bench.publish("t");
    bench.refuse(id);
    bench.say(
        id,
        r#"{"op":"reconfigure","topic":"t","overflow":"drop_newest"}"#,
    );
    bench.publish("t");
    bench.publish("t");
    // The first is superseded where it waits; of the other two there is room for one.
    bench.say(
        id,
        r#"{"op":"reconfigure","topic":"t","bound":{"messages":1}}"#,
    );
    bench.engine.handle_writable(bench.now, id);
    let said = bench.take(id);
    assert_eq!(offsets(&said), [2], "{said:?}");
    let gaps: Vec<&Value> = said.iter().filter(|f| f["op"] == "gap").collect();
    assert_eq!(gaps.len(), 1, "{said:?}");
    assert_eq!(
        (&gaps[0]["reason"], &gaps[0]["from"], &gaps[0]["to"]),
        (&"drop_newest".into(), &3.into(), &3.into())
    );
}
