//! Credit over a socket that takes everything, and over one that doesn't: never more than was asked for, and what waits is bounded.
use crate::harness::{Closing, Node, Socket};
use crate::seen::View;
use crate::stage::{FLOOD, Publisher, Stalled, entry, messages_bound, narrow_node};
use serde_json::{Value, json};

const KEYS: u64 = 7;
const BOUND: u64 = 30;

async fn with_credit(node: &Node, overflow: &str, credit: u64) -> Stalled {
    let fields = json!({"overflow": overflow, "credit": credit, "bound": messages_bound(BOUND)});
    let socket = Socket::open(node.listen).await;
    Stalled::subscribe_on(socket, View::Topic, fields).await
}

/// Reads until `asked` messages came, and that is all there is.
async fn takes(stalled: &mut Stalled, asked: u64) -> Value {
    while stalled.seen.received() < asked {
        stalled.read_one().await;
        assert!(stalled.seen.received() <= asked, "more than was asked for");
    }
    let ledger = stalled.ledger().await;
    assert_eq!(ledger["delivered"], asked, "{ledger}");
    ledger
}

#[tokio::test]
async fn never_more_comes_than_was_asked_for_and_what_waits_is_bounded() {
    for overflow in ["drop_oldest", "drop_newest"] {
        let node = narrow_node().await;
        let mut publisher = Publisher::start(&node).await;
        let mut stalled = with_credit(&node, overflow, 0).await;
        let mut asked = 0;
        for n in [0, 5, 1, 7] {
            if n > 0 {
                stalled.credit(n).await;
            }
            asked += n;
            publisher.flood(FLOOD, entry(View::Topic, KEYS)).await;
            let ledger = takes(&mut stalled, asked).await;
            let pending = ledger["pending"]["memory"].as_u64();
            assert!(pending <= Some(BOUND), "{overflow}: {ledger}");
        }
        stalled.credit(1_000_000).await;
        stalled.read_to_the_end().await;
        stalled.seen.accounts_for(publisher.log());
        assert!(stalled.seen.announced_as(overflow) > FLOOD);
    }
}

#[tokio::test]
async fn conflate_and_spill_without_credit_lose_nothing() {
    for overflow in ["conflate", "spill"] {
        let node = narrow_node().await;
        let mut publisher = Publisher::start(&node).await;
        let mut stalled = with_credit(&node, overflow, 3).await;
        publisher.flood(FLOOD, entry(View::Topic, KEYS)).await;
        takes(&mut stalled, 3).await;
        let credit = stalled.reconfigure(json!({"credit": null})).await["credit"].clone();
        assert!(credit.is_null(), "{credit}");
        let ledger = stalled.read_to_the_end().await;
        assert_eq!(stalled.seen.announced(), 0, "{overflow}: {ledger}");
        assert_eq!(ledger["conflated"], stalled.seen.left_out(publisher.log()));
        if overflow == "conflate" {
            stalled.seen.holds_the_newest(publisher.log());
        }
    }
}

#[tokio::test]
async fn disconnect_acts_on_what_waits_for_credit() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let mut stalled = with_credit(&node, "disconnect", 2).await;
    publisher.flood(FLOOD, entry(View::Topic, KEYS)).await;
    let (frames, closing) = stalled.socket.rest().await;
    stalled.seen.take_all(&frames);
    assert!(stalled.seen.received() <= 2);
    assert!(
        matches!(closing, Closing::Cut | Closing::Frame(4001, _)),
        "{closing:?}"
    );
}

#[tokio::test]
async fn an_item_of_a_batch_takes_one_and_a_batch_is_cut_to_what_is_left() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let batch = json!({"messages": 8, "ms": 5});
    let fields = json!({"batch": batch, "credit": 3, "bound": messages_bound(10_000)});
    let socket = Socket::open(node.listen).await;
    let mut stalled = Stalled::subscribe_on(socket, View::Pattern, fields).await;
    publisher.flood(FLOOD, entry(View::Pattern, KEYS)).await;
    takes(&mut stalled, 3).await;
    stalled.credit(20).await;
    takes(&mut stalled, 23).await;
    assert!(stalled.seen.batches.iter().all(|items| *items <= 8));
    stalled.reconfigure(json!({"credit": null})).await;
    stalled.read_to_the_end().await;
    stalled.seen.accounts_for(publisher.log());
}

#[tokio::test]
async fn credit_and_a_full_socket_bound_together() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"credit": FLOOD / 2, "bound": messages_bound(BOUND)});
    let mut stalled = Stalled::subscribe(&node, View::Pattern, fields).await;
    publisher.flood(FLOOD, entry(View::Pattern, KEYS)).await;
    stalled.credit(FLOOD).await;
    stalled.read_to_the_end().await;
    stalled.seen.accounts_for(publisher.log());
    assert!(stalled.seen.announced_as("drop_oldest") > 0);
}
