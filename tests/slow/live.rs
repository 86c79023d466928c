//! Settings that change while messages flow: whatever acts, no offset comes twice and nothing is lost unannounced. (What a spill
//! behind a rate reads again may come twice; here nothing of a rate is left when it spills.)
use crate::harness::{Node, Socket};
use crate::seen::View;
use crate::stage::{FLOOD, Publisher, Stalled, entry, messages_bound, narrow_node};
use serde_json::{Value, json};

const KEYS: u64 = 7;

/// Changes, one after the other, from `drop_oldest` and back.
fn changes() -> Vec<Value> {
    let throttled = json!({"mode": "throttle", "ms": 1, "when": "behind"});
    vec![
        json!({"overflow": "spill"}),
        json!({"overflow": "drop_oldest", "bound": {"messages": 20}}),
        json!({"overflow": "conflate"}),
        json!({"rate": {"mode": "sample", "ms": 2}}),
        json!({"batch": {"messages": 6, "ms": 3}}),
        json!({"overflow": "drop_newest", "credit": 10}),
        json!({"rate": null}),
        json!({"credit": null}),
        json!({"rate": throttled, "overflow": "drop_oldest"}),
        json!({"batch": null, "rate": null, "bound": {"messages": 40}}),
    ]
}

async fn begin(node: &Node, view: View, socket: Socket) -> Stalled {
    assert_eq!(node.members().len(), 4, "supervisor, hub, admin, worker");
    let fields = json!({"overflow": "drop_oldest", "bound": messages_bound(40)});
    Stalled::subscribe_on(socket, view, fields).await
}

/// What was named in a change stands in the settings that act.
fn shows(settings: &Value, change: &Value) {
    for (name, value) in change.as_object().expect("an object") {
        let acts = &settings[name];
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    assert_eq!(&acts[field], value, "{name}.{field} of {settings}");
                }
            }
            value => assert_eq!(acts, value, "{name} of {settings}"),
        }
    }
}

/// The ledger knows all that was published; in `replay`, what has been read.
async fn published(stalled: &mut Stalled, publisher: &Publisher) {
    let ledger = stalled.ledger().await;
    let wanted = stalled.seen.wanted(publisher.log()).len();
    if ledger["pending"]["spilled"].is_null() {
        assert!(
            ledger["published"].as_u64() <= Some(wanted as u64),
            "{ledger}"
        );
    } else {
        assert_eq!(ledger["published"], wanted, "{ledger}");
    }
}

fn balanced(stalled: &Stalled, ledger: &Value, publisher: &Publisher) {
    let count = |name: &str| ledger[name].as_u64().expect("a count");
    let left_out = count("filtered_by_rate") + count("conflated");
    assert_eq!(stalled.seen.left_out(publisher.log()), left_out, "{ledger}");
}

#[tokio::test]
async fn settings_change_under_a_client_that_stands_still_now_and_then() {
    for view in View::BOTH {
        let node = narrow_node().await;
        let mut publisher = Publisher::start(&node).await;
        let mut stalled = begin(&node, view, Socket::open_narrow(node.listen).await).await;
        for change in [changes(), changes()].concat() {
            publisher.flood(FLOOD / 4, entry(view, KEYS)).await;
            let settings = stalled.reconfigure(change.clone()).await;
            shows(&settings, &change);
            publisher.flood(FLOOD / 4, entry(view, KEYS)).await;
            published(&mut stalled, &publisher).await;
        }
        let ledger = stalled.read_to_the_end().await;
        balanced(&stalled, &ledger, &publisher);
    }
}

#[tokio::test]
async fn settings_change_under_a_client_that_reads_while_messages_flow() {
    for view in View::BOTH {
        let node = narrow_node().await;
        let mut publisher = Publisher::start(&node).await;
        let mut stalled = begin(&node, view, Socket::open(node.listen).await).await;
        for change in [changes(), changes()].concat() {
            let changing = async {
                let settings = stalled.reconfigure(change.clone()).await;
                shows(&settings, &change);
                stalled.ledger().await;
            };
            tokio::join!(publisher.flood(FLOOD / 2, entry(view, KEYS)), changing);
            published(&mut stalled, &publisher).await;
        }
        let ledger = stalled.read_to_the_end().await;
        balanced(&stalled, &ledger, &publisher);
    }
}

#[tokio::test]
async fn a_smaller_bound_acts_at_once() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"bound": messages_bound(10_000)});
    let mut stalled = Stalled::subscribe(&node, View::Topic, fields).await;
    publisher.flood(FLOOD, entry(View::Topic, KEYS)).await;
    let reconfigure = json!({"op": "reconfigure", "topic": "flood", "bound": {"messages": 10}});
    stalled.socket.send(reconfigure).await;
    publisher.round_trip().await;
    stalled.socket.next_op("reconfigured").await;
    let ledger = stalled.socket.ledger("flood").await;
    assert!(
        ledger["dropped"]["drop_oldest"].as_u64() > Some(FLOOD / 2),
        "{ledger}"
    );
}

#[tokio::test]
async fn credit_that_is_lifted_and_given_again_counts_from_there() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"credit": 2, "bound": messages_bound(10_000)});
    let socket = Socket::open(node.listen).await;
    let mut stalled = Stalled::subscribe_on(socket, View::Topic, fields).await;
    publisher.flood(10, entry(View::Topic, KEYS)).await;
    assert_eq!(stalled.ledger().await["delivered"], 2);
    stalled.reconfigure(json!({"credit": null})).await;
    stalled.read_to_the_end().await;
    let before = stalled.seen.received();
    stalled.reconfigure(json!({"credit": 3})).await;
    publisher.flood(10, entry(View::Topic, KEYS)).await;
    while stalled.seen.received() < before + 3 {
        stalled.read_one().await;
    }
    let ledger = stalled.ledger().await;
    assert_eq!(ledger["delivered"], before + 3);
    stalled.credit(100).await;
    stalled.read_to_the_end().await;
    stalled.seen.accounts_for(publisher.log());
}
