//! Bounds of age: what is too old when a client goes on reading is lost, and who wants no old connection loses it.
use crate::harness::{Closing, Node, worker};
use crate::seen::View;
use crate::stage::{FLOOD, Publisher, Stalled, entry, messages_bound, narrow_node};
use serde_json::{Value, json};
use std::time::Instant;

const AGE_MS: u64 = 150;
const KEYS: u64 = 7;

/// Bound of this age, and no other that acts.
fn young() -> Value {
    json!({"messages": 100_000, "bytes": 64 << 20, "age_ms": AGE_MS})
}

/// A subscription that stood still until what it waits for was too old.
async fn aged(node: &Node, publisher: &mut Publisher, view: View, overflow: &str) -> Stalled {
    let fields = json!({"overflow": overflow, "bound": young()});
    let stalled = Stalled::subscribe(node, view, fields).await;
    flood_grown_old(node, publisher, view).await;
    stalled
}

/// Floods, and waits until the newest of it is older than the bound of age: the oldest then is by the time the flood took more.
#[allow(
    clippy::disallowed_methods,
    reason = "how long the flood took is how much older the oldest has to be"
)]
async fn flood_grown_old(node: &Node, publisher: &mut Publisher, view: View) {
    let begun = Instant::now();
    publisher.flood(FLOOD, entry(view, KEYS)).await;
    let age_ms = AGE_MS + begun.elapsed().as_millis() as u64 + 1;
    node.until("all that is pending is old", |status| {
        status["slowest"][0]["lag"]["age_ms"].as_u64() > Some(age_ms)
    })
    .await;
}

/// A socket that takes again is written to before anything expires; so the age is only made a bound while it stands still.
#[tokio::test]
async fn what_is_too_old_is_announced_as_expired() {
    for overflow in ["drop_oldest", "drop_newest"] {
        for view in View::BOTH {
            let node = narrow_node().await;
            let mut publisher = Publisher::start(&node).await;
            let fields = json!({"overflow": overflow, "bound": messages_bound(100_000)});
            let mut stalled = Stalled::subscribe(&node, view, fields).await;
            flood_grown_old(&node, &mut publisher, view).await;
            let command = json!({"op": "reconfigure", "topic": stalled.text, "bound": young()});
            stalled.socket.send(command).await;
            publisher.round_trip().await;
            stalled.take_up_to("reconfigured").await;
            let ledger = stalled.read_to_the_end().await;
            let expired = stalled.seen.announced_as("expired");
            assert!(expired > FLOOD / 2, "{overflow}: {ledger}");
            assert_eq!(expired, stalled.seen.announced(), "{overflow}: {ledger}");
            stalled.seen.accounts_for(publisher.log());
            node.until_metric("pubsub_lost_total", "expired", expired)
                .await;
        }
    }
}

#[tokio::test]
async fn the_newest_of_a_key_grows_never_too_old_for_conflate() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let mut stalled = aged(&node, &mut publisher, View::Pattern, "conflate").await;
    let ledger = stalled.read_to_the_end().await;
    assert_eq!(stalled.seen.announced(), 0, "{ledger}");
    assert_eq!(ledger["conflated"], stalled.seen.left_out(publisher.log()));
    stalled.seen.holds_the_newest(publisher.log());
}

#[tokio::test]
async fn spill_keeps_what_is_old() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let mut stalled = aged(&node, &mut publisher, View::Topic, "spill").await;
    stalled.read_to_the_end().await;
    assert_eq!(stalled.seen.announced(), 0, "{:?}", stalled.seen.gaps);
    stalled.seen.accounts_for(publisher.log());
}

#[tokio::test]
async fn disconnect_acts_on_age_though_nothing_more_is_published() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"overflow": "disconnect", "bound": young()});
    let mut stalled = Stalled::subscribe(&node, View::Topic, fields).await;
    publisher.flood(FLOOD, entry(View::Topic, KEYS)).await;
    node.until("only the publisher is left", |status| {
        worker(status, 0)["connections"] == 1
    })
    .await;
    node.until_metric("pubsub_closed_total", "slow", 1).await;
    let (frames, closing) = stalled.socket.rest().await;
    assert!(
        matches!(closing, Closing::Cut | Closing::Frame(4001, _)),
        "{closing:?}"
    );
    stalled.seen.take_all(&frames);
    assert!(stalled.seen.received() < FLOOD / 2);
}
