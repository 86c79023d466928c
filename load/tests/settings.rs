//! What a swarm understands of subscriptions with batches, rates, credit and history.
mod support;

use pubsub_load::swarm::{Counters, Group, Options, Subscription, Swarm};
use pubsub_load::target::Target;
use pubsub_wire::value::Mode;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use support::{Script, Step, serve};

/// Far longer than anything here takes; what is waited for is always an event.
const PATIENCE: Duration = Duration::from_secs(60);

fn subscription(settings: Value) -> Subscription {
    let Value::Object(settings) = settings else {
        panic!("no object")
    };
    Subscription {
        topic: "t".into(),
        settings,
    }
}

/// One connection, after so many messages; every message is checked by the parser.
fn after(addr: SocketAddr, settings: Value, messages: u64) -> Swarm {
    let target = Target::parse(&format!("ws://{addr}/ws")).unwrap();
    let mut swarm = Swarm::new(Options {
        check_every: 1,
        ..Options::new(target)
    })
    .unwrap();
    let topic = swarm.topic(&subscription(settings));
    swarm.connect(1, topic, Group::MAIN);
    let all = |swarm: &Swarm| swarm.counters().received == messages;
    assert!(swarm.run_until(PATIENCE, all).unwrap(), "not all came");
    swarm
}

fn sent(steps: Vec<Step>, settings: Value, messages: u64) -> Counters {
    let script = Script {
        steps,
        ..Script::honest(0)
    };
    after(serve(script), settings, messages).counters().clone()
}

fn sampled() -> Value {
    json!({"rate": {"mode": "sample", "ms": 100}})
}

fn wrong(counters: &Counters) -> [u64; 3] {
    [counters.duplicates, counters.disorders, counters.malformed]
}

#[test]
fn the_items_of_a_batch_are_messages_that_rise() {
    let steps = vec![Step::Batch(vec![1, 2, 5]), Step::Batch(vec![6])];
    let counters = sent(steps, json!({"batch": {"messages": 3}}), 4);
    assert_eq!(wrong(&counters), [0, 0, 0]);
    assert_eq!((counters.batches, counters.checked), (2, 4));
}

#[test]
fn items_that_come_twice_or_fall_are_noticed() {
    let steps = vec![Step::Batch(vec![1, 1, 5]), Step::Batch(vec![4])];
    let counters = sent(steps, json!({"batch": {"messages": 3}}), 4);
    assert_eq!(wrong(&counters), [1, 1, 0]);
}

#[test]
fn a_batch_with_fields_of_another_order_is_read_by_the_parser() {
    let text = r#"{"op":"batch","items":[{"ts":9,"topic":"t","offset":1,"data":1},{"ts":9,"topic":"t","offset":2,"data":1}],"topic":"t"}"#;
    let counters = sent(vec![Step::Text(text.into())], json!({}), 2);
    assert_eq!(wrong(&counters), [0, 0, 0]);
    assert_eq!(counters.batches, 0);
}

#[test]
fn with_a_rate_offsets_rise_within_a_key_only() {
    let steps = [("a", 9, 5), ("b", 7, 9), ("a", 12, 9), ("b", 8, 12)];
    let steps = steps.map(|(key, offset, resume)| Step::Released(key, offset, resume));
    let counters = sent(steps.to_vec(), sampled(), 4);
    assert_eq!(wrong(&counters), [0, 0, 0]);
    let without = sent(steps.to_vec(), json!({}), 4);
    assert_eq!(
        wrong(&without),
        [0, 2, 0],
        "without a rate they rise over all"
    );
}

#[test]
fn with_a_rate_a_key_that_comes_again_or_falls_is_noticed() {
    let steps = [
        ("a", 9, 9),
        ("a", 9, 9),
        ("b", 9, 9),
        ("a", 8, 9),
        ("c", 20, 8),
    ];
    let steps = steps.map(|(key, offset, resume)| Step::Released(key, offset, resume));
    let counters = sent(steps.to_vec(), sampled(), 5);
    assert_eq!(wrong(&counters), [1, 2, 0]);
}

#[test]
fn after_a_spill_with_a_rate_newest_values_may_come_again() {
    let steps = vec![
        Step::Released("a", 9, 5),
        Step::Mode(Mode::Replay),
        Step::Msg(6),
        Step::Msg(9),
        Step::Mode(Mode::Live),
        Step::Released("a", 10, 10),
    ];
    let counters = sent(steps, sampled(), 4);
    assert_eq!(wrong(&counters), [0, 0, 0]);
}

#[test]
fn after_a_spill_without_a_rate_nothing_comes_again() {
    let steps = vec![Step::Msg(9), Step::Mode(Mode::Replay), Step::Msg(9)];
    let counters = sent(steps, json!({"overflow": "spill"}), 2);
    assert_eq!(wrong(&counters), [1, 0, 0]);
}

#[test]
fn partitions_have_orders_of_their_own() {
    let msg = |part, offset| {
        let text = format!(
            r#"{{"op":"msg","topic":"t","offset":{offset},"part":{part},"ts":1790000000123456,"data":1}}"#
        );
        Step::Text(text)
    };
    let steps = vec![msg(0, 100), msg(1, 3), msg(0, 101), msg(1, 3)];
    let counters = sent(steps, json!({}), 4);
    assert_eq!(wrong(&counters), [1, 0, 0]);
}

#[test]
fn a_gap_without_places_counts_what_it_says_was_lost() {
    let gap = r#"{"op":"gap","topic":"t","from":null,"to":null,"count":3,"reason":"drop_oldest","epoch":"e","offset":9}"#;
    let script = Script {
        steps: vec![
            Step::Mode(Mode::Behind),
            Step::Text(gap.into()),
            Step::Released("a", 12, 12),
        ],
        delivered: Some(1),
        lost: 3,
        ..Script::honest(0)
    };
    let mut swarm = after(serve(script), sampled(), 1);
    swarm.ask_ledgers(1e6);
    let answered = |swarm: &Swarm| swarm.unanswered() == 0;
    assert!(swarm.run_until(PATIENCE, answered).unwrap());
    let account = swarm.account(Group::MAIN);
    assert_eq!((account.gaps, account.announced, account.behind), (1, 3, 1));
    assert_eq!((account.books.lost(), account.books.residual), (3, 0));
    assert_eq!(swarm.unannounced(Group::MAIN), 0);
}

#[test]
fn what_a_ledger_says_was_lost_waits_for_its_gap() {
    let script = Script {
        lost: 3,
        ..Script::honest(2)
    };
    let mut swarm = after(serve(script), json!({}), 2);
    swarm.ask_ledgers(1e6);
    let answered = |swarm: &Swarm| swarm.unanswered() == 0;
    assert!(swarm.run_until(PATIENCE, answered).unwrap());
    assert_eq!(swarm.unannounced(Group::MAIN), 3);
    assert_eq!(swarm.account(Group::MAIN).books.residual, 0);
}

#[test]
fn credit_is_given_again_and_again_until_all_has_come() {
    for credit in [1, 2, 7] {
        let script = Script::honest(100);
        let swarm = after(serve(script), json!({"credit": credit}), 100);
        assert_eq!(wrong(swarm.counters()), [0, 0, 0]);
    }
}

#[test]
fn the_items_of_a_batch_take_credit_each() {
    let steps = (0..20).map(|n| Step::Batch(vec![3 * n + 1, 3 * n + 2, 3 * n + 3]));
    let counters = sent(
        steps.collect(),
        json!({"credit": 6, "batch": {"messages": 3}}),
        60,
    );
    assert_eq!((counters.batches, counters.errors), (20, 0));
}
