//! The control lane: an answer overtakes the data that waits, at the next frame boundary.
use crate::harness::residual;
use crate::seen::View;
use crate::stage::{FLOOD, HELD_BYTES_MAX, Publisher, Stalled, entry, messages_bound, narrow_node};
use serde_json::{Value, json};

const KEYS: u64 = 7;

/// Bytes of the frames that come before the answer with `id`, and that.
async fn bytes_before(stalled: &mut Stalled, id: &str) -> (usize, Value) {
    let mut bytes = 0;
    loop {
        let frame = stalled.socket.next().await;
        if frame["id"] == id {
            return (bytes, frame);
        }
        bytes += frame.to_string().len();
        stalled.seen.take(&frame);
    }
}

#[tokio::test]
async fn answers_overtake_what_waits_for_a_full_socket() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"bound": messages_bound(10_000)});
    let mut stalled = Stalled::subscribe(&node, View::Topic, fields).await;
    publisher.flood(4 * FLOOD, entry(View::Topic, KEYS)).await;
    for (id, command) in [
        ("pong", json!({"op": "ping"})),
        ("error", json!({"op": "ledger", "topic": "unknown"})),
        ("ledger", json!({"op": "ledger", "topic": "flood"})),
    ] {
        let mut command = command;
        command["id"] = json!(id);
        stalled.socket.send(command).await;
        publisher.round_trip().await;
        let (bytes, answer) = bytes_before(&mut stalled, id).await;
        assert_eq!(answer["op"], id);
        assert!(bytes < HELD_BYTES_MAX, "{id} came behind {bytes} bytes");
        if id == "ledger" {
            stalled.seen.agrees(&answer["ledger"]);
            let pending = answer["ledger"]["pending"]["memory"].as_u64();
            assert!(pending > Some(FLOOD), "its data lane is deep: {answer}");
        }
    }
    stalled.read_to_the_end().await;
    stalled.seen.accounts_for(publisher.log());
}

#[tokio::test]
async fn unsubscribed_comes_at_the_next_frame_and_not_after_what_is_pending() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"bound": messages_bound(10_000)});
    let mut stalled = Stalled::subscribe(&node, View::Topic, fields).await;
    publisher.flood(FLOOD, entry(View::Topic, KEYS)).await;
    let unsubscribe = json!({"op": "unsubscribe", "topic": "flood", "id": "end"});
    stalled.socket.send(unsubscribe).await;
    publisher.round_trip().await;
    let (bytes, end) = bytes_before(&mut stalled, "end").await;
    assert_eq!(end["op"], "unsubscribed");
    assert!(bytes < HELD_BYTES_MAX, "it came behind {bytes} bytes");
    let ledger = &end["ledger"];
    assert_eq!(residual(ledger), 0, "{ledger}");
    assert!(ledger["pending"]["memory"].as_u64() > Some(0), "{ledger}");
    assert!(stalled.socket.is_quiet().await, "nothing of it after that");
}

#[tokio::test]
async fn with_drain_all_that_is_pending_comes_before_unsubscribed() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"bound": messages_bound(10_000)});
    let mut stalled = Stalled::subscribe(&node, View::Topic, fields).await;
    publisher.flood(FLOOD / 4, entry(View::Topic, KEYS)).await;
    let drain = json!({"op": "unsubscribe", "topic": "flood", "id": "end", "drain": true});
    stalled.socket.send(drain).await;
    let (_, end) = bytes_before(&mut stalled, "end").await;
    stalled.seen.accounts_for(publisher.log());
    stalled.seen.agrees(&end["ledger"]);
    assert_eq!(end["ledger"]["pending"]["memory"], 0);
}
