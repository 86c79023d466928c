//! Rates and batches of a client that stands still: their output is what the bound bounds, and the books close over both.
use crate::harness::Node;
use crate::seen::View;
use crate::stage::{Publisher, Stalled, entry, messages_bound, narrow_node};
use serde_json::{Value, json};

const KEYS: u64 = 20;
const BOUND: u64 = 30;
/// Rounds behind the one that filled the bound.
const ROUNDS_MORE: u64 = 5;

/// Floods in rounds of the keys, so that a rate of a millisecond lets much through, until the bound is full and more.
async fn overflow(node: &Node, publisher: &mut Publisher, view: View) {
    loop {
        publisher.flood(KEYS * 5, entry(view, KEYS)).await;
        let status = node.status().await;
        let lag = &status["slowest"][0]["lag"]["messages"];
        if lag.as_u64() >= Some(BOUND - 1) {
            break;
        }
    }
    for _ in 0..ROUNDS_MORE {
        publisher.flood(KEYS * 5, entry(view, KEYS)).await;
    }
}

async fn stalled(fields: &Value, overflow_policy: &str, view: View) -> (Node, Publisher, Stalled) {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let mut all = json!({"overflow": overflow_policy, "bound": messages_bound(BOUND)});
    let all_fields = all.as_object_mut().expect("an object");
    all_fields.extend(fields.as_object().expect("fields").clone());
    let stalled = Stalled::subscribe(&node, view, all).await;
    overflow(&node, &mut publisher, view).await;
    (node, publisher, stalled)
}

#[tokio::test]
async fn what_a_rate_lets_through_is_bounded_and_what_it_leaves_out_is_counted() {
    for (rate, view) in [
        (json!({"mode": "sample", "ms": 1}), View::Topic),
        (json!({"mode": "throttle", "ms": 1}), View::Pattern),
        (json!({"mode": "throttle_first", "ms": 1}), View::Topic),
        (
            json!({"mode": "debounce", "ms": 1, "max_wait_ms": 2}),
            View::Pattern,
        ),
    ] {
        for policy in ["drop_oldest", "drop_newest"] {
            let (node, publisher, mut stalled) =
                stalled(&json!({"rate": rate}), policy, view).await;
            let ledger = stalled.read_to_the_end().await;
            let seen = &stalled.seen;
            let filtered = seen.left_out(publisher.log());
            assert_eq!(ledger["filtered_by_rate"], filtered, "{rate} {ledger}");
            assert_eq!(ledger["conflated"], 0);
            assert_eq!(seen.announced(), seen.announced_as(policy), "{ledger}");
            assert!(
                seen.messages.iter().all(|message| message.resume.is_some()),
                "each says where to resume"
            );
            assert!(
                seen.gaps.iter().all(|gap| gap.range.is_none()),
                "a gap counts what the rate let through: {:?}",
                seen.gaps
            );
            node.until_metric("pubsub_filtered_total", "", filtered)
                .await;
            node.until_metric("pubsub_lost_total", policy, seen.announced())
                .await;
        }
    }
}

#[tokio::test]
async fn conflation_behind_a_rate_ends_with_the_newest_of_every_key() {
    for mode in [
        json!({"mode": "sample", "ms": 1}),
        json!({"mode": "throttle", "ms": 1}),
        json!({"mode": "debounce", "ms": 1, "max_wait_ms": 2}),
    ] {
        let view = View::Pattern;
        let (node, publisher, mut stalled) =
            stalled(&json!({"rate": mode}), "conflate", view).await;
        let ledger = stalled.read_to_the_end().await;
        let seen = &stalled.seen;
        let count = |name: &str| ledger[name].as_u64().expect("a count");
        let (filtered, conflated) = (count("filtered_by_rate"), count("conflated"));
        assert_eq!(filtered + conflated, seen.left_out(publisher.log()));
        assert_eq!(seen.announced(), 0);
        seen.holds_the_newest(publisher.log());
        node.until_metric("pubsub_filtered_total", "", filtered)
            .await;
        node.until_metric("pubsub_conflated_total", "", conflated)
            .await;
    }
}

#[tokio::test]
async fn a_rate_for_when_it_is_behind_lets_everything_through_before_and_after() {
    let rate = json!({"mode": "sample", "ms": 1, "when": "behind"});
    let view = View::Pattern;
    let (_node, mut publisher, mut stalled) =
        stalled(&json!({"rate": rate}), "drop_oldest", view).await;
    let ledger = stalled.read_to_the_end().await;
    let filtered = stalled.seen.left_out(publisher.log());
    assert_eq!(ledger["filtered_by_rate"], filtered);
    assert!(filtered > 0, "{ledger}");
    while stalled.seen.modes.last().map(String::as_str) != Some("live") {
        stalled.read_one().await;
    }
    let before = stalled.seen.messages.len();
    publisher.flood(KEYS, entry(view, KEYS)).await;
    stalled.read_to_the_end().await;
    assert_eq!(stalled.seen.left_out(publisher.log()), filtered);
    let after = &stalled.seen.messages[before..];
    assert!(
        after.iter().all(|message| message.resume.is_none()),
        "{after:?}"
    );
}

#[tokio::test]
async fn batches_are_dropped_and_delivered_by_their_items() {
    const ITEMS: u64 = 8;
    for policy in ["drop_oldest", "drop_newest", "conflate", "spill"] {
        for view in View::BOTH {
            let batch = json!({"batch": {"messages": ITEMS, "ms": 5}});
            let (_node, publisher, mut stalled) = stalled(&batch, policy, view).await;
            let ledger = stalled.read_to_the_end().await;
            let seen = &stalled.seen;
            assert_eq!(ledger["conflated"], seen.left_out(publisher.log()));
            match policy {
                "conflate" => seen.holds_the_newest(publisher.log()),
                _ => seen.accounts_for(publisher.log()),
            }
            assert_eq!(seen.announced() > 0, policy.starts_with("drop"), "{ledger}");
            let items: usize = seen.batches.iter().sum();
            assert_eq!(items, seen.messages.len(), "every message came in a batch");
            let live = policy != "spill";
            assert!(
                !live || seen.batches.iter().all(|items| *items as u64 <= ITEMS),
                "{:?}",
                seen.batches
            );
        }
    }
}

#[tokio::test]
async fn a_rate_and_batches_act_together() {
    let fields = json!({"rate": {"mode": "sample", "ms": 1}, "batch": {"ms": 3}});
    let (_node, publisher, mut stalled) = stalled(&fields, "drop_oldest", View::Pattern).await;
    let ledger = stalled.read_to_the_end().await;
    let seen = &stalled.seen;
    assert_eq!(ledger["filtered_by_rate"], seen.left_out(publisher.log()));
    assert_eq!(seen.batches.iter().sum::<usize>(), seen.messages.len());
}
