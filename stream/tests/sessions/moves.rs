//! Other settings for a subscription of which something waits, or that is about to end.
use pubsub_stream::hub::Start;
use pubsub_stream::{Config, SessionId};
use serde_json::{Value, json};

use crate::bench::{Bench, SECOND, config, offsets, told};

fn change(bench: &mut Bench, id: SessionId, rest: &str) {
    let command = format!(r#"{{"op":"reconfigure","id":7,"topic":"t",{rest}}}"#);
    bench.say(id, &command);
}

/// One of which so many messages wait, and whose socket takes nothing.
fn waiting(bench: &mut Bench, rest: &str, n: usize) -> SessionId {
    let id = bench.open();
    bench.subscribe(id, &format!(r#""topic":"t",{rest}"#));
    for _ in 0..n {
        bench.publish("t");
        bench.refuse(id);
    }
    id
}

fn ledger(bench: &mut Bench, id: SessionId) -> Value {
    bench.say(id, r#"{"op":"ledger","id":1,"topic":"t"}"#);
    bench.engine.handle_writable(bench.now, id);
    let all = bench.take(id);
    let told = all.iter().find(|f| f["op"] == "ledger").unwrap();
    told["ledger"].clone()
}

#[test]
fn a_batch_goes_on_where_another_policy_comes_and_nothing_waits_for_it_to_act_on() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t","batch":{"messages":2}"#);
    bench.publish("t");
    change(&mut bench, id, r#""overflow":"conflate""#);
    let ops: Vec<Value> = bench.take(id).iter().map(|f| f["op"].clone()).collect();
    assert_eq!(ops, ["reconfigured"]);
    bench.publish("t");
    assert_eq!(bench.take(id)[0]["items"].as_array().unwrap().len(), 2);
}

#[test]
fn what_was_superseded_by_the_policy_that_was_comes_whole_to_one_that_spills() {
    let mut bench = Bench::new();
    let conflates = r#""overflow":"conflate","bound":{"messages":10}"#;
    let id = waiting(&mut bench, conflates, 6);
    change(&mut bench, id, r#""overflow":"spill""#);
    bench.engine.handle_writable(bench.now, id);
    assert_eq!(offsets(&bench.take(id)), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_smaller_bound_costs_nothing_to_one_that_takes_what_it_is_given() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t","overflow":"drop_oldest""#);
    for _ in 0..5 {
        bench.publish("t");
    }
    change(&mut bench, id, r#""bound":{"messages":2}"#);
    assert_eq!(offsets(&bench.take(id)), [1, 2, 3, 4, 5]);
}

#[test]
fn who_is_ended_by_a_smaller_bound_has_lost_nothing_to_memory() {
    let mut bench = Bench::new();
    let id = waiting(&mut bench, r#""overflow":"disconnect""#, 5);
    change(&mut bench, id, r#""bound":{"messages":2}"#);
    assert_eq!(bench.engine.poll_closed().unwrap().code, 4001);
    let stats = bench.engine.stats();
    assert_eq!((stats.closed_slow, stats.lost_memory), (1, 0));
}

#[test]
fn credit_and_bound_may_change_where_too_many_other_changes_wait() {
    let mut bench = Bench::with(Config {
        control_bytes: 1 << 20,
        ..config()
    });
    let id = waiting(&mut bench, r#""overflow":"drop_oldest""#, 1);
    for overflow in ["conflate", "drop_oldest"].repeat(20) {
        bench.publish("t");
        bench.wait(SECOND / 10);
        change(&mut bench, id, &format!(r#""overflow":"{overflow}""#));
    }
    for rest in [
        r#""credit":9"#,
        r#""bound":{"messages":90}"#,
        r#""overflow":"spill""#,
    ] {
        bench.wait(SECOND / 10);
        change(&mut bench, id, rest);
    }
    bench.engine.handle_writable(bench.now, id);
    let all = bench.take(id);
    let answers = all.iter().filter(|f| f["id"] == 7);
    let refused: Vec<bool> = answers.map(|f| f["code"] == "limit").collect();
    let begun = refused.iter().position(|r| *r).unwrap();
    assert!((20..40).contains(&begun), "{begun}");
    // Every other asks for the policy that is.
    let other = (begun..40).map(|n| n % 2 == begun % 2);
    let more = other.chain([false, false, true]);
    assert_eq!(refused[begun..], more.collect::<Vec<_>>());
}

#[test]
fn an_epoch_that_begins_behind_what_was_left_is_not_of_it() {
    let mut bench = Bench::new();
    let id = waiting(&mut bench, r#""overflow":"drop_oldest""#, 1);
    change(&mut bench, id, r#""rate":{"mode":"sample","ms":1000}"#);
    bench.publish("t");
    bench.restart_hub("f");
    bench.serve_hub();
    let ledger = ledger(&mut bench, id);
    let counts = [&ledger["published"], &ledger["pending"]["memory"]];
    assert_eq!(counts, [2, 2]);
}

#[test]
fn an_epoch_that_begins_right_behind_what_was_left_is_not_of_it() {
    let mut bench = Bench::new();
    let rate = r#""rate":{"mode":"throttle_first","ms":1000}"#;
    let stays = bench.open();
    bench.subscribe(stays, &format!(r#""topic":"t",{rate}"#));
    let id = waiting(&mut bench, rate, 1);
    change(&mut bench, id, r#""rate":null"#);
    // Of this one the rate that was left lets nothing pass.
    bench.publish("t");
    bench.restart_hub("f");
    bench.serve_hub();
    let ledger = ledger(&mut bench, id);
    let counts = [&ledger["published"], &ledger["pending"]["memory"]];
    assert_eq!(counts, [2, 2]);
}

#[test]
fn who_is_about_to_end_goes_to_no_other_rate_though_it_falls_behind() {
    let mut bench = Bench::new();
    let rate = r#""rate":{"mode":"sample","ms":1000,"when":"behind"}"#;
    let id = waiting(
        &mut bench,
        &format!(r#"{rate},"bound":{{"messages":20}}"#),
        1,
    );
    bench.say(id, r#"{"op":"unsubscribe","topic":"t"}"#);
    for _ in 0..15 {
        bench.publish("t");
    }
    bench.engine.handle_writable(bench.now, id);
    let all = bench.take(id);
    let ledger = &all.last().unwrap()["ledger"];
    let counts = [
        &ledger["published"],
        &ledger["filtered_by_rate"],
        &ledger["pending"]["memory"],
    ];
    assert_eq!(counts, [16, 0, 16]);
}

#[test]
fn of_what_was_left_behind_by_one_that_spills_the_former_epoch_is_lost_and_no_more() {
    let mut bench = Bench::new();
    let id = waiting(
        &mut bench,
        r#""overflow":"spill","bound":{"messages":5}"#,
        1,
    );
    bench.restart_hub("f");
    bench.serve_hub();
    for _ in 0..2 {
        bench.publish("t");
    }
    change(&mut bench, id, r#""rate":{"mode":"throttle_first","ms":1}"#);
    for _ in 0..6 {
        bench.wait(SECOND / 100);
        bench.publish("t");
    }
    bench.engine.handle_writable(bench.now, id);
    let gaps = json!([["epoch", null, null, null]]);
    assert_eq!(told(&bench.take(id)), gaps);
    let start = Start::Continue {
        offset: 1,
        compacted: false,
    };
    assert_eq!(bench.reads()[0].1, start);
}
